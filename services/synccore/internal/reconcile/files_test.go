package reconcile_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
)

func file(name, content string) standalvao.NewAttachment {
	return standalvao.NewAttachment{Name: name, Content: []byte(content)}
}

// TestSameFileCrossesOnce: files of the same name and content are one file, whoever
// attached them where and how often.
func TestSameFileCrossesOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		attach func(*testing.T, *chat)
		// boards and desk are how many files of that name stand there in the end.
		boards, desk int
	}{
		"twice in Alvao": {func(t *testing.T, c *chat) {
			t.Helper()
			c.write(t, "<p>one</p>", file("a.txt", "same"))
			c.write(t, "<p>two</p>", file("A.txt", "same"))
		}, 1, 2},
		"twice in one record": {func(t *testing.T, c *chat) {
			t.Helper()
			c.write(t, "<p>one</p>", file("a.txt", "same"), file("a.txt", "same"))
		}, 1, 2},
		"twice in Azure DevOps": {func(t *testing.T, c *chat) {
			t.Helper()
			c.attach(t, "a.txt", []byte("same"))
			c.attach(t, "a.txt", []byte("same"))
		}, 2, 1},
		"on both sides": {func(t *testing.T, c *chat) {
			t.Helper()
			c.write(t, "<p>one</p>", file("a.txt", "same"))
			c.attach(t, "a.txt", []byte("same"))
		}, 1, 1},
		"again, once it has crossed": {func(t *testing.T, c *chat) {
			t.Helper()
			c.write(t, "<p>one</p>", file("a.txt", "same"))
			c.round(t)
			c.attach(t, "a.txt", []byte("same"))
			c.round(t)
			c.write(t, "<p>two</p>", file("a.txt", "same"))
		}, 2, 2},
		"brought back by a person": {func(t *testing.T, c *chat) {
			t.Helper()
			c.attach(t, "a.txt", []byte("same"))
			c.round(t)
			c.write(t, "<p>one</p>", file("a.txt", "same"))
		}, 1, 2},
		"another content": {func(t *testing.T, c *chat) {
			t.Helper()
			c.write(t, "<p>one</p>", file("a.txt", "same"))
			c.attach(t, "a.txt", []byte("diff"))
		}, 2, 2},
		"another name": {func(t *testing.T, c *chat) {
			t.Helper()
			c.write(t, "<p>one</p>", file("a.txt", "same"), file("b.txt", "same"))
		}, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := chatting(t)
			tc.attach(t, c)
			c.round(t)
			check := func(when string) {
				t.Helper()
				if boards, desk := len(c.attached("a.txt")), len(c.allFiles("a.txt")); boards != tc.boards || desk != tc.desk {
					t.Errorf("%s it stands %d times in Azure DevOps and %d times in Alvao, want %d and %d", when, boards, desk, tc.boards, tc.desk)
				}
			}
			check("at first")
			c.quiet(t)
			// What is remembered can be lost; what stands there tells the same.
			if err := c.store.Client().FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			if err := c.origins.MarkComplete(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			c.round(t)
			check("after the memory was lost")
			c.quiet(t)
		})
	}
}

// allFiles are the files of a name in the ticket's log, whoever attached them.
func (c *chat) allFiles(name string) []standalvao.Attachment {
	var found []standalvao.Attachment
	for _, r := range c.desk.Records(int(c.ticket)) {
		for _, a := range r.Attachments {
			if strings.EqualFold(a.Name, name) {
				found = append(found, a)
			}
		}
	}
	return found
}

// TestOneOfTwoEqualFilesIsRemoved: the other side is told only when the last one is
// gone.
func TestOneOfTwoEqualFilesIsRemoved(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	first, second := c.attach(t, "a.txt", []byte("same")), c.attach(t, "a.txt", []byte("same"))
	c.round(t)
	remove := func(id string) {
		t.Helper()
		shown, _ := c.boards.WorkItem(int(c.workItem))
		for _, relation := range shown.Relations {
			if relation.Attachment != nil && relation.Attachment.ID == id {
				if _, err := c.boards.As(developer).Unlink(int(c.workItem), relation.URL); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.round(t)
		c.quiet(t)
	}
	remove(first.ID)
	if n := len(c.records("was deleted")); n != 0 {
		t.Errorf("told %d times, though the file is still there", n)
	}
	remove(second.ID)
	if n := len(c.records("was deleted")); n != 1 {
		t.Errorf("told %d times that the file is gone", n)
	}
}

// counted counts the bytes that are read of files.
type counted struct {
	reconcile.Tickets

	read *atomic.Int64
}

func (c counted) OpenFile(ctx context.Context, file item.Attachment) (io.ReadCloser, int64, string, error) {
	content, size, kind, err := c.Tickets.OpenFile(ctx, file)
	if err != nil {
		return nil, 0, "", err
	}
	return countedFile{content, c.read}, size, kind, nil
}

type countedFile struct {
	io.ReadCloser

	read *atomic.Int64
}

func (c countedFile) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// TestUntoldSizes: a file whose size nobody tells crosses all the same, and one that is
// too large is read no further than the largest that crosses.
func TestUntoldSizes(t *testing.T) {
	t.Parallel()
	const most = 1 << 20
	c := chatting(t, func(o *options) { o.desk.Tenant.NoFileLengths, o.messages.MaxFile = true, most })
	var read atomic.Int64
	c.connector.Tickets = counted{c.connector.Tickets, &read}
	content := bytes.Repeat([]byte("0123456789abcdef"), 40_000)
	c.write(t, "<p>small</p>", standalvao.NewAttachment{Name: "small.bin", Content: content})
	c.round(t)
	if found := c.attached("small.bin"); len(found) != 1 || found[0].Attachment.Size != int64(len(content)) {
		t.Errorf("attached %+v", found)
	}
	read.Store(0)
	c.write(t, "<p>large</p>", standalvao.NewAttachment{Name: "large.bin", Zeros: 1 << 30})
	c.round(t)
	if len(c.attached("large.bin")) != 0 || len(c.comments("large.bin")) != 1 || !strings.Contains(c.comments("large.bin")[0], "1 MiB") {
		t.Errorf("comments %v", c.comments("large.bin"))
	}
	if n := read.Load(); n > most+1 {
		t.Errorf("%d bytes were read", n)
	}
	c.quiet(t)
}

func TestFilesCrossBothWaysOnce(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	content := bytes.Repeat([]byte("log line\n"), 1000)
	c.write(t, "<p>see the log</p>", standalvao.NewAttachment{Name: "printer.log", ContentType: "text/plain", Content: content})
	c.attach(t, "fix.patch", []byte("--- a\n+++ b\n"))
	c.round(t)
	found := c.attached("printer.log")
	if len(found) != 1 || found[0].Attachment.Size != int64(len(content)) || !strings.Contains(found[0].Comment, "alvao/file/") {
		t.Errorf("attached %+v", found)
	}
	back := c.files("fix.patch")
	if len(back) != 1 || string(back[0].Content) != "--- a\n+++ b\n" {
		t.Errorf("files %+v", back)
	}
	c.quiet(t)
}

func TestInlineImagesCross(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	png := []byte("\x89PNG\r\n\x1a\nsmoke")
	made := c.write(t, "<p>placeholder</p>", standalvao.NewAttachment{Name: "smoke.png", ContentType: "image/png", Content: png})
	id := made.Attachments[0].ID
	if err := c.desk.EditMessage(t.Context(), standalvao.Requester, int(c.ticket), made.ID,
		fmt.Sprintf(`<p>look <img src="/AlvaoRestApi/v1/attachments/%d" alt="smoke"></p>`, id)); err != nil {
		t.Fatal(err)
	}
	uploaded := c.attach(t, "shot.png", png)
	c.comment(t, fmt.Sprintf(`<p>mine <img src="%s/_apis/wit/attachments/%s?fileName=shot.png" alt="shot"></p>`, strings.TrimSuffix(c.connector.Messages.Boards, "/Alvaoproject"), uploaded.ID))
	c.round(t)
	got := c.comments("look")
	if len(got) != 1 || !strings.Contains(got[0], "_apis/wit/attachments/") || !strings.Contains(got[0], `alt="smoke"`) {
		t.Errorf("comment %v", got)
	}
	if n := len(c.attached("smoke.png")); n != 0 {
		t.Errorf("the image was attached %d times beside", n)
	}
	records := c.records("mine")
	if len(records) != 1 || len(records[0].Attachments) != 1 || !bytes.Equal(records[0].Attachments[0].Content, png) ||
		!strings.Contains(records[0].HTML, "[image attached: shot.png]") {
		t.Errorf("record %+v", records)
	}
	c.quiet(t)
}

func TestFilesThatCantCrossAreNamed(t *testing.T) {
	t.Parallel()
	c := chatting(t, func(o *options) { o.messages.MaxFile = 1 << 20 })
	c.write(t, "<p>too much</p>", standalvao.NewAttachment{Name: "dump.bin", Content: make([]byte, 1<<20+1)})
	c.attach(t, "virus.exe", []byte("MZ"))
	c.attach(t, "huge.bin", make([]byte, 3<<20))
	c.write(t, "<p>afterwards</p>")
	c.round(t)
	if len(c.attached("dump.bin")) != 0 || len(c.comments("dump.bin")) != 1 {
		t.Errorf("comments %v", c.comments("dump.bin"))
	}
	for _, file := range []string{"virus.exe", "huge.bin"} {
		if len(c.files(file)) != 0 || len(c.records(file)) != 1 || !strings.Contains(c.records(file)[0].HTML, "was not carried over") {
			t.Errorf("records about %s: %+v", file, c.records(file))
		}
	}
	if len(c.comments("afterwards")) != 1 {
		t.Error("a file that was left out kept a message from crossing")
	}
	history, err := c.links.History(t.Context(), name, c.ticket, 0)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(slices.DeleteFunc(history, func(h item.LinkChange) bool { return h.Action != "leave-out" })); n != 3 {
		t.Errorf("the history names %d of 3", n)
	}
	c.quiet(t)
}

// Azure DevOps calls every pasted image image.png: that one is lost says nothing of the
// other.
func TestNotesOfImagesTellThemApart(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	uploaded := c.attach(t, "image.png", []byte("\x89PNG\r\n\x1a\nsmoke"))
	files := strings.TrimSuffix(c.connector.Messages.Boards, "/Alvaoproject") + "/_apis/wit/attachments/"
	c.comment(t, fmt.Sprintf(`<p>lost <img src="%s00000000-0000-4000-8000-000000000001?fileName=image.png"> kept <img src="%s%s?fileName=image.png"></p>`,
		files, files, uploaded.ID))
	c.round(t)
	records := c.records("lost")
	if len(records) != 1 || !strings.Contains(records[0].HTML, "lost [image not carried over: image.png] kept [image attached: image.png]") {
		t.Errorf("records %+v", records)
	}
}
