package reconcile_test

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	sandboxfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

const developer = "jana.dvorakova@contoso.com"

// chat is a linked pair whose people talk.
type chat struct {
	*world

	ticket, workItem int64
}

func chatting(t *testing.T, change ...func(*options)) *chat {
	t.Helper()
	w := setup(t, append([]func(*options){talking}, change...)...)
	c := &chat{world: w, ticket: w.ticket(t, "Development")}
	w.handle(t, c.ticket)
	c.workItem = w.link(t, c.ticket).WorkItem
	return c
}

// write lets the requester write into the log.
func (c *chat) write(t *testing.T, html string, files ...standalvao.NewAttachment) standalvao.Record {
	t.Helper()
	r, err := c.desk.AddMessage(t.Context(), standalvao.Requester, int(c.ticket), standalvao.Message{
		Subject: "About the printer", HTML: html, Attachments: files,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// comment lets a developer comment.
func (c *chat) comment(t *testing.T, html string) standazure.Comment {
	t.Helper()
	made, err := c.boards.As(developer).Comment(int(c.workItem), html, "html")
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func (c *chat) attach(t *testing.T, name string, content []byte) standazure.Attachment {
	t.Helper()
	made, err := c.boards.As(developer).Attach(int(c.workItem), name, bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// comments are the texts of the comments of the work item that hold a text and are
// not deleted.
func (c *chat) comments(holding string) []string {
	var texts []string
	for _, one := range c.boards.Comments(int(c.workItem)) {
		if !one.Deleted && strings.Contains(one.Text, holding) {
			texts = append(texts, one.Text)
		}
	}
	return texts
}

// records are the records that Tandem wrote into the log and that hold a text.
func (c *chat) records(holding string) []standalvao.Record {
	var found []standalvao.Record
	for _, r := range c.desk.Records(int(c.ticket)) {
		if r.ByApplication && (strings.Contains(r.HTML, holding) || strings.Contains(r.Subject, holding)) {
			found = append(found, r)
		}
	}
	return found
}

// attached are the files of the work item of that name.
func (c *chat) attached(name string) []standazure.Relation {
	shown, _ := c.boards.WorkItem(int(c.workItem))
	var found []standazure.Relation
	for _, r := range shown.Relations {
		if r.Attachment != nil && r.Attachment.Name == name {
			found = append(found, r)
		}
	}
	return found
}

// files are the files of that name in records of Tandem.
func (c *chat) files(name string) []standalvao.Attachment {
	var found []standalvao.Attachment
	for _, r := range c.records("") {
		for _, a := range r.Attachments {
			if a.Name == name {
				found = append(found, a)
			}
		}
	}
	return found
}

func (c *chat) round(t *testing.T) { t.Helper(); c.handle(t, c.ticket) }

// quiet checks that further rounds write nothing.
func (c *chat) quiet(t *testing.T) {
	t.Helper()
	before := c.writes()
	for range 2 {
		r := c.handle(t, c.ticket)
		if r.Writes != 0 || c.writes() != before {
			t.Errorf("another round wrote %d times: %v", r.Writes, r.Steps)
		}
	}
}

func TestMessagesCrossBothWaysOnce(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	c.write(t, "<p>It is on <b>fire</b> & smoking &lt;here&gt;.</p>")
	c.comment(t, "<div>Have you tried <i>water</i>?</div>")
	c.round(t)
	got := c.comments("<strong>fire</strong> &amp; smoking &lt;here&gt;.")
	if len(got) != 1 {
		t.Fatalf("comments %v", c.comments(""))
	}
	for _, want := range []string{"About the printer", "Jana Dvořáková", "TANDEM-A" + strconv.FormatInt(c.ticket, 10) + "-R"} {
		if !strings.Contains(got[0], want) {
			t.Errorf("comment lacks %q: %s", want, got[0])
		}
	}
	records := c.records("Have you tried <em>water</em>?")
	if len(records) != 1 {
		t.Fatalf("records %+v", c.records(""))
	}
	if r := records[0]; r.ShowToRequester || r.Kind != standalvao.KindNote || r.From != "Jana Dvořáková" ||
		!strings.Contains(r.HTML, "TANDEM-W"+strconv.FormatInt(c.workItem, 10)+"-C") {
		t.Errorf("record %+v", r)
	}
	c.quiet(t)
	// What the ticket was founded with crosses as well; system noise does not.
	if n := len(c.comments("Smoke &amp; flames")); n != 1 {
		t.Errorf("the founding message stands %d times", n)
	}
	if n := len(c.comments("TANDEM-A")); n != 2 {
		t.Errorf("%d comments: %v", n, c.comments(""))
	}
}

func TestMessagesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	for i := range 12 {
		c.write(t, fmt.Sprintf("<p>message-%02d</p>", i))
		c.comment(t, fmt.Sprintf("<p>answer-%02d</p>", i))
	}
	c.round(t)
	var messages, answers []string
	for i := range 12 {
		messages = append(messages, fmt.Sprintf("message-%02d", i))
		answers = append(answers, fmt.Sprintf("answer-%02d", i))
	}
	var got []string
	for _, text := range c.comments("message-") {
		at := strings.Index(text, "message-")
		got = append(got, text[at:at+len("message-00")])
	}
	if !slices.Equal(got, messages) {
		t.Errorf("comments in the order %v", got)
	}
	got = nil
	for _, r := range c.records("answer-") {
		at := strings.Index(r.HTML, "answer-")
		got = append(got, r.HTML[at:at+len("answer-00")])
	}
	if !slices.Equal(got, answers) {
		t.Errorf("records in the order %v", got)
	}
	c.quiet(t)
}

func TestEditsFollow(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	message := c.write(t, "<p>first wording</p>")
	answer := c.comment(t, "<p>first answer</p>")
	c.round(t)
	if err := c.desk.EditMessage(t.Context(), standalvao.Requester, int(c.ticket), message.ID, "<p>second wording</p>"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.boards.As(developer).EditComment(int(c.workItem), answer.ID, "<p>second answer</p>"); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if len(c.comments("first wording")) != 0 || len(c.comments("second wording")) != 1 {
		t.Errorf("comments %v", c.comments("wording"))
	}
	// A record can't be changed, so another one says that it replaces it.
	if r := c.records("second answer"); len(r) != 1 || !strings.Contains(r[0].HTML, "replaces") || len(c.records("first answer")) != 1 {
		t.Errorf("records %+v", c.records("answer"))
	}
	c.quiet(t)
	// And back: the last record counts.
	if _, err := c.boards.As(developer).EditComment(int(c.workItem), answer.ID, "<p>first answer</p>"); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if n := len(c.records("first answer")); n != 2 {
		t.Errorf("the first wording stands %d times", n)
	}
	c.quiet(t)
}

func TestDeletionsAreToldOnce(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	message := c.write(t, "<p>regretted</p>")
	answer := c.comment(t, "<p>withdrawn</p>")
	c.round(t)
	if err := c.desk.DeleteMessage(t.Context(), standalvao.Requester, int(c.ticket), message.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.boards.As(developer).DeleteComment(int(c.workItem), answer.ID); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if len(c.comments("regretted")) != 0 || len(c.comments("was deleted in Alvao")) != 1 {
		t.Errorf("comments %v", c.comments(""))
	}
	if n := len(c.records("was deleted in Azure DevOps")); n != 1 {
		t.Errorf("the deletion is told %d times", n)
	}
	c.quiet(t)
}

func TestSilentRecordsAndOldOnesStay(t *testing.T) {
	t.Parallel()
	c := chatting(t, func(o *options) { o.messages.SinceLinked = true; o.messages.Rules.Kinds = []string{"Email"} })
	if n := len(c.comments("")); n != 0 {
		t.Errorf("%d comments of what was there before the link", n)
	}
	if _, err := c.desk.AddMessage(t.Context(), standalvao.Solver, int(c.ticket), standalvao.Message{
		Kind: standalvao.KindNote, Subject: "Internal", Plain: "between us",
	}); err != nil {
		t.Fatal(err)
	}
	c.write(t, "<p>hello</p>")
	c.round(t)
	if len(c.comments("between us")) != 0 || len(c.comments("hello")) != 1 {
		t.Errorf("comments %v", c.comments(""))
	}
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

func TestLogThatCantBeReadLeavesTheStateInStep(t *testing.T) {
	t.Parallel()
	c := chatting(t, func(o *options) { o.desk.Tenant.LogUnreadable = true })
	c.comment(t, "<p>anybody there?</p>")
	c.setState(t, c.workItem, "Done")
	r := c.handle(t, c.ticket)
	if c.status(t, c.ticket) != "Testing" || !strings.Contains(r.Reason, "messages stay where they are") {
		t.Errorf("status %q, reason %q", c.status(t, c.ticket), r.Reason)
	}
	if len(c.records("anybody there")) != 0 {
		t.Error("a comment crossed, though nobody could tell that it had")
	}
	c.quiet(t)
}

func TestMarkdownWhereTheServerTakesIt(t *testing.T) {
	t.Parallel()
	c := chatting(t, func(o *options) { o.messages.Format = item.Markdown })
	client, ok := c.connector.WorkItems.(cutWorkItems)
	if !ok {
		t.Fatal("another client")
	}
	if _, err := client.Identity(t.Context()); err != nil {
		t.Fatal(err)
	}
	message := c.write(t, "<p>it is <b>hot</b>, see #12 and @petr</p>")
	c.round(t)
	all := c.boards.Comments(int(c.workItem))
	last := all[len(all)-1]
	if last.Format != "markdown" || !strings.Contains(last.Text, "it is **hot**") || strings.Contains(last.Text, "#12") || strings.Contains(last.Text, "@petr") {
		t.Errorf("comment %+v", last)
	}
	c.quiet(t)
	if err := c.desk.EditMessage(t.Context(), standalvao.Requester, int(c.ticket), message.ID, "<p>it is cold</p>"); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if len(c.comments("it is cold")) != 1 || len(c.comments("hot")) != 0 {
		t.Errorf("comments %v", c.comments("it is"))
	}
	c.quiet(t)
}

func TestPeopleTalkWhileAnApprovalRuns(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	c.setState(t, c.workItem, "Done")
	c.comment(t, "<p>please approve</p>")
	if err := c.desk.StartApproval(t.Context(), standalvao.Solver, int(c.ticket)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket)); !fault.Is(err, fault.Busy) {
		t.Fatalf("while an approval runs: %v", err)
	}
	if len(c.records("please approve")) != 1 {
		t.Error("the comment waits for the approval")
	}
}

func TestForgottenMirrorsAreRecognised(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	message := c.write(t, "<p>one</p>", standalvao.NewAttachment{Name: "a.txt", Content: []byte("a")})
	answer := c.comment(t, "<p>two</p>")
	c.attach(t, "b.txt", []byte("b"))
	gone := c.comment(t, "<p>three</p>")
	c.round(t)
	if _, err := c.boards.As(developer).EditComment(int(c.workItem), answer.ID, "<p>two, better</p>"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.boards.As(developer).DeleteComment(int(c.workItem), gone.ID); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	before := c.writes()
	if err := c.store.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if c.link(t, c.ticket).WorkItem != c.workItem || c.writes() != before {
		t.Errorf("%d writes after the memory was lost", c.writes()-before)
	}
	c.quiet(t)
	// What was found again is kept in step.
	if err := c.desk.EditMessage(t.Context(), standalvao.Requester, int(c.ticket), message.ID, "<p>one, better</p>"); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if len(c.comments("one, better")) != 1 || c.writes() != before+1 {
		t.Errorf("comments %v", c.comments("one"))
	}
}

// A round without news reads each side twice.
func TestQuietRoundCostsFourCalls(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	c.write(t, "<p>one</p>")
	c.round(t)
	c.round(t)
	sum := func(calls map[string]int) int {
		n := 0
		for _, k := range calls {
			n += k
		}
		return n
	}
	c.boards.ResetCallCounts()
	desk := sum(c.desk.Calls())
	c.round(t)
	if n := sum(c.boards.CallCounts()); n > 2 {
		t.Errorf("%d calls of Azure DevOps: %v", n, c.boards.CallCounts())
	}
	if n := sum(c.desk.Calls()) - desk; n > 2 {
		t.Errorf("%d calls of Alvao", n)
	}
}

// A hint of a revision is an echo only when the messages up to it have crossed.
func TestRevisionIsSeenWithItsMessages(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	c.round(t)
	c.comment(t, "<p>new</p>")
	shown, _ := c.boards.WorkItem(int(c.workItem))
	// The state of the new revision is seen by a round that dies before the messages.
	c.cuts.arm(1, true)
	c.setStatus(t, c.ticket, "Testing")
	if _, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket)); err == nil {
		t.Fatal("nothing died")
	}
	c.cuts.arm(0, false)
	h := hints(c.ticket)
	h.Revision = int64(shown.Rev)
	if _, err := c.engine.Handle(t.Context(), c.connector, h); err != nil {
		t.Fatal(err)
	}
	if len(c.records("new")) != 1 {
		t.Error("the comment was taken for an echo")
	}
	c.round(t)
	shown, _ = c.boards.WorkItem(int(c.workItem))
	h.Revision = int64(shown.Rev)
	c.boards.ResetCallCounts()
	if _, err := c.engine.Handle(t.Context(), c.connector, h); err != nil || len(c.boards.CallCounts()) != 0 {
		t.Errorf("an echo was looked into: %v, %v", err, c.boards.CallCounts())
	}
}

func TestReporterIsTheRequesterIfKnown(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reporter, want string
	}{
		{"Requester", standalvao.Requester},
		{standalvao.Solver, standalvao.Solver},
		{"nobody@contoso.com", ""},
		{"Default", ""},
	} {
		t.Run(tc.reporter, func(t *testing.T) {
			t.Parallel()
			w := setup(t, func(o *options) { o.reporter = tc.reporter })
			ticket := w.ticket(t, "Development")
			w.handle(t, ticket)
			shown, _ := w.boards.WorkItem(int(w.link(t, ticket).WorkItem))
			owner := setupOwner(w, ticket)
			want := tc.want
			if want == "" {
				want = owner
			}
			if shown.CreatedBy != want {
				t.Errorf("created by %q, want %q", shown.CreatedBy, want)
			}
		})
	}
}

// setupOwner is whom the token belongs to: the one who last changed the item.
func setupOwner(w *world, ticket int64) string {
	for _, write := range w.boards.Writes() {
		if write.REST && write.Kind == standazure.WriteCreate {
			return write.By
		}
	}
	return fmt.Sprintf("nobody made a work item for ticket %d", ticket)
}

// The process dies before or after each effect on messages and files in turn, alone
// and in pairs; every one of them crosses exactly once all the same.
func TestDeathAmongMessages(t *testing.T) {
	t.Parallel()
	png := []byte("\x89PNG\r\n\x1a\nsmoke")
	prepare := func(t *testing.T) *chat {
		t.Helper()
		c := chatting(t)
		early, answer := c.write(t, "<p>first wording</p>"), c.comment(t, "<p>first answer</p>")
		regretted, withdrawn := c.write(t, "<p>regretted</p>"), c.comment(t, "<p>withdrawn</p>")
		c.round(t)
		steps := []func() error{
			func() error {
				return c.desk.EditMessage(t.Context(), standalvao.Requester, int(c.ticket), early.ID, "<p>second wording</p>")
			},
			func() error {
				_, err := c.boards.As(developer).EditComment(int(c.workItem), answer.ID, "<p>second answer</p>")
				return err
			},
			func() error {
				return c.desk.DeleteMessage(t.Context(), standalvao.Requester, int(c.ticket), regretted.ID)
			},
			func() error {
				_, err := c.boards.As(developer).DeleteComment(int(c.workItem), withdrawn.ID)
				return err
			},
		}
		for _, do := range steps {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}
		made := c.write(t, "<p>with a file</p>", standalvao.NewAttachment{Name: "smoke.png", ContentType: "image/png", Content: png},
			standalvao.NewAttachment{Name: "a.txt", Content: []byte("a")})
		if err := c.desk.EditMessage(t.Context(), standalvao.Requester, int(c.ticket), made.ID,
			fmt.Sprintf(`<p>new message <img src="/AlvaoRestApi/v1/attachments/%d" alt="smoke"></p>`, made.Attachments[0].ID)); err != nil {
			t.Fatal(err)
		}
		c.comment(t, "<p>new answer</p>")
		c.attach(t, "b.txt", []byte("b"))
		c.attach(t, "virus.exe", []byte("MZ"))
		return c
	}
	check := func(t *testing.T, c *chat) {
		t.Helper()
		for what, n := range map[string]int{
			"first wording": len(c.comments("first wording")), "regretted": len(c.comments("regretted")),
			"virus.exe as a file": len(c.files("virus.exe")), "the image as a file": len(c.attached("smoke.png")),
		} {
			if n != 0 {
				t.Errorf("%s stands %d times", what, n)
			}
		}
		for what, n := range map[string]int{
			"second wording": len(c.comments("second wording")), "second answer": len(c.records("second answer")),
			"regret": len(c.comments("This message was deleted in Alvao")), "withdrawal": len(c.records("was deleted in Azure DevOps")),
			"new message": len(c.comments("new message")), "new answer": len(c.records("new answer")),
			"a.txt": len(c.attached("a.txt")), "b.txt": len(c.files("b.txt")), "virus.exe": len(c.records("virus.exe")),
		} {
			if n != 1 {
				t.Errorf("%s stands %d times", what, n)
			}
		}
	}
	calm := prepare(t)
	calm.cuts.arm(0, false)
	calm.round(t)
	check(t, calm)
	effects := slices.Clone(calm.cuts.names)
	if len(effects) < 20 {
		t.Fatalf("only these effects: %v", effects)
	}
	for first := 1; first <= len(effects); first++ {
		for _, second := range []int{0, 3} {
			for _, before := range []bool{true, false} {
				t.Run(fmt.Sprintf("%d %s, then %d, before %v", first, effects[first-1], second, before), func(t *testing.T) {
					t.Parallel()
					c := prepare(t)
					for _, at := range []int{first, second} {
						c.cuts.arm(at, before)
						_, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket))
						if at == first && err == nil {
							t.Fatal("nothing died")
						}
						c.pass(plan.Settle)
					}
					c.cuts.arm(0, false)
					c.round(t)
					check(t, c)
					c.quiet(t)
				})
			}
		}
	}
}

// The answer to each write is lost in turn: what was written is found again, and
// nothing is written anew before it could have arrived.
func TestLostAnswersAmongMessages(t *testing.T) {
	t.Parallel()
	for skip := range 6 {
		t.Run(strconv.Itoa(skip), func(t *testing.T) {
			t.Parallel()
			faults := sandboxfault.NewSet(1)
			c := chatting(t, func(o *options) { o.faults = faults })
			c.write(t, "<p>message</p>", standalvao.NewAttachment{Name: "a.txt", Content: []byte("a")})
			c.comment(t, "<p>answer</p>")
			c.attach(t, "b.txt", []byte("b"))
			for _, method := range []string{http.MethodPost, http.MethodPatch} {
				if _, err := faults.Add(sandboxfault.Rule{Method: method, Kind: sandboxfault.KindLostReply, Skip: skip, Count: 1}); err != nil {
					t.Fatal(err)
				}
			}
			for range 4 {
				_, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket))
				if told, ok := fault.As(err); err != nil && (!ok || told.Kind != fault.Unavailable && told.Kind != fault.Busy) {
					t.Fatal(err)
				} else if err != nil {
					c.pass(told.RetryAfter)
				}
			}
			c.round(t)
			for what, n := range map[string]int{
				"message": len(c.comments(">message<")), "answer": len(c.records("answer")),
				"a.txt": len(c.attached("a.txt")), "b.txt": len(c.files("b.txt")),
			} {
				if n != 1 {
					t.Errorf("%s stands %d times", what, n)
				}
			}
			c.quiet(t)
		})
	}
}

func TestTwentyTicketsAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t, talking)
	var chats []*chat
	for i := range 20 {
		c := &chat{world: w, ticket: w.ticket(t, "Development")}
		w.handle(t, c.ticket)
		c.workItem = w.link(t, c.ticket).WorkItem
		c.write(t, fmt.Sprintf("<p>message %d.</p>", i))
		c.comment(t, fmt.Sprintf("<p>answer %d.</p>", i))
		chats = append(chats, c)
	}
	var group errgroup.Group
	for _, c := range chats {
		group.Go(func() error {
			_, err := w.engine.Handle(t.Context(), w.connector, hints(c.ticket))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, c := range chats {
		if len(c.comments(fmt.Sprintf("message %d.", i))) != 1 || len(c.records(fmt.Sprintf("answer %d.", i))) != 1 {
			t.Errorf("pair %d: %v, %v", i, c.comments(""), c.records(""))
		}
		c.quiet(t)
	}
}

// A file of 30 MiB passes through in pieces: what is held of it at any time is a small
// part. The stand-ins hold their files in memory and on disk all the time.
func TestLargeFileIsNotHeldInMemory(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	if testing.Short() {
		t.Skip("moves 30 MiB")
	}
	const size, most = 30 << 20, 15 << 20
	c := chatting(t)
	c.write(t, "<p>a dump</p>", standalvao.NewAttachment{Name: "dump.bin", Content: make([]byte, size)})
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	done, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var highest uint64
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			runtime.ReadMemStats(&now)
			highest = max(highest, now.HeapAlloc)
			select {
			case <-done:
				peak <- highest
				return
			case <-tick.C:
			}
		}
	}()
	c.round(t)
	close(done)
	if highest := <-peak; highest > before.HeapAlloc+most {
		t.Errorf("%d MiB more were held for a file of %d MiB", (highest-before.HeapAlloc)>>20, size>>20)
	}
	if found := c.attached("dump.bin"); len(found) != 1 || found[0].Attachment.Size != size {
		t.Errorf("attached %+v", found)
	}
}
