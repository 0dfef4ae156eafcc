package azuredevops_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	sandbox "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	faults "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

const guid = "098a279a-60b9-40a8-868b-b7fd00c0a439"

// noise is size bytes that no compression makes smaller.
func noise(size int64) io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), size) }

func hashOf(t *testing.T, r io.Reader) string {
	t.Helper()
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func chunks(above, size int64) func(*azuredevops.Options) {
	return func(o *azuredevops.Options) { o.ChunkAbove, o.Chunk = above, size }
}

// TestFiles takes files of many sizes there and back, in one piece and in several.
func TestFiles(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]settings{
		"simple": {}, "server": {change: func(o *sandbox.Options) { o.Flavor = sandbox.OnPremises }},
		"chunked": {client: chunks(1000, 4096)}, "one piece exactly": {client: chunks(1, 100_000)},
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); open(t, s).carry(t) })
	}
}

func (o org) carry(t *testing.T) {
	t.Helper()
	made, err := o.Create(t.Context(), taskDraft("Task"))
	if err != nil {
		t.Fatal(err)
	}
	for n, size := range []int64{0, 1, 1000, 1001, 4096, 100_000, 2 << 20} {
		name := fmt.Sprintf("žluť & #%d.png", n)
		url, err := o.UploadFile(t.Context(), "", item.Upload{Name: name, ContentType: "image/png", Size: size, Content: noise(size)})
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		if id, told, ok := o.AttachmentOfURL(url); !ok || id == "" || told != name {
			t.Errorf("its own address %s is %q %q %v", url, id, told, ok)
		}
		before := made.Rev
		if made, err = o.AttachFile(t.Context(), made.ID, before, url, "from Alvao"); err != nil || len(made.Attachments) != n+1 {
			t.Fatalf("attached %+v, %v", made, err)
		}
		// Attached already, with a stale revision and with none.
		if size == 1 {
			if again, err := o.AttachFile(t.Context(), made.ID, 0, url, ""); err != nil || len(again.Attachments) != n+1 {
				t.Errorf("again: %+v, %v", again, err)
			}
			if _, err := o.AttachFile(t.Context(), made.ID, before+99, url, ""); !fault.Is(err, fault.Conflict) {
				t.Errorf("a stale revision: %v", err)
			}
		}
		// Relations come in any order.
		at := made.Attachments[slices.IndexFunc(made.Attachments, func(a item.Attachment) bool { return a.Name == name })]
		if at.Name != name || (at.Size != size && size > 0) || at.Added.IsZero() {
			t.Errorf("got %+v", at)
		}
		content, length, media, err := o.OpenFile(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		if got := hashOf(t, content); got != hashOf(t, noise(size)) || length != size || media != "application/octet-stream" {
			t.Errorf("%d bytes came back as %d bytes of %s", size, length, media)
		}
		if err := content.Close(); err != nil {
			t.Error(err)
		}
	}
	read, err := o.WorkItem(t.Context(), made.ID)
	if diff := cmp.Diff(made, read); diff != "" || err != nil {
		t.Errorf("read back: %s %v", diff, err)
	}
}

// TestChunks compares the pieces with the specification's examples: announced without a
// body, then sent one after the other, each with its place in the whole.
func TestChunks(t *testing.T) {
	t.Parallel()
	var got []string
	var o azuredevops.Options
	chunks(9, 4)(&o)
	o.ProjectURL, o.Now = projectURL, clock
	o.Credential = azuredevops.PAT(func() (string, error) { return pat, nil })
	o.Base = replies(func(r *http.Request) *http.Response {
		body := []byte{}
		if r.Body != nil {
			var err error
			if body, err = io.ReadAll(r.Body); err != nil {
				t.Error(err)
			}
		}
		got = append(got, strings.Join([]string{r.Method, r.URL.RequestURI(), r.Header.Get("Content-Type"), r.Header.Get("Content-Range"), string(body)}, " "))
		return plainAnswer(http.StatusCreated, []byte(`{"id":"`+guid+`","url":"https://dev.azure.com/contoso/_apis/wit/attachments/`+guid+`?fileName=x"}`))
	})
	c, err := azuredevops.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range []string{"0123456789", "012345678"} {
		if _, err := c.UploadFile(t.Context(), "P 1", item.Upload{Name: "a b.txt", Size: int64(len(content)), Content: strings.NewReader(content)}); err != nil {
			t.Error(err)
		}
	}
	const at, kind = "/contoso/P%201/_apis/wit/attachments", " application/octet-stream "
	const piece = "PUT " + at + "/" + guid + "?api-version=7.1&uploadType=chunked&fileName=a+b.txt" + kind + "bytes "
	want := []string{
		"POST " + at + "?api-version=7.1&uploadType=chunked&fileName=a+b.txt   ",
		piece + "0-3/10 0123", piece + "4-7/10 4567", piece + "8-9/10 89",
		"POST " + at + "?api-version=7.1&uploadType=simple&fileName=a+b.txt" + kind + " 012345678",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestFileLimits: what Azure DevOps does not take is refused in words, and nothing is
// attached.
func TestFileLimits(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]func(*azuredevops.Options){"simple": nil, "chunked": chunks(100, 1000)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := open(t, settings{client: client, change: func(o *sandbox.Options) {
				o.Limits.Attachment, o.Limits.AttachmentsPerItem = 3<<20, 1
			}})
			// The stand-in breaks the connection off where much more is left to send.
			const size = 3<<20 + 100<<10
			_, err := o.UploadFile(t.Context(), "", item.Upload{Name: "big.bin", Size: size, Content: noise(size)})
			wantKind(t, err, fault.Refused)
			if !strings.Contains(fault.Sentence(err), "big.bin") || !strings.Contains(fault.Sentence(err), "larger") {
				t.Errorf("%q", fault.Sentence(err))
			}
			made, err := o.Create(t.Context(), taskDraft("Task"))
			if err != nil {
				t.Fatal(err)
			}
			for n := range 2 {
				url, err := o.UploadFile(t.Context(), "Alvaoproject", item.Upload{Name: "a", Size: 150, Content: noise(150)})
				if err != nil {
					t.Fatal(err)
				}
				if _, err = o.AttachFile(t.Context(), made.ID, 0, url, ""); n == 1 {
					wantKind(t, err, fault.Refused)
				} else if err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestContentBreaks: content that is not what was told, or that fails, is a fault that
// can be tried again, and the other system's own words are kept.
func TestContentBreaks(t *testing.T) {
	t.Parallel()
	theirs := fault.New(fault.Throttled, "Alvao asked for a pause.")
	for name, client := range map[string]func(*azuredevops.Options){"simple": nil, "chunked": chunks(100, 1000)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := open(t, settings{client: client})
			for name, tc := range map[string]struct {
				content io.Reader
				want    fault.Kind
			}{
				"short":  {noise(4999), fault.Unavailable},
				"long":   {noise(5001), fault.Unavailable},
				"fails":  {io.MultiReader(noise(2500), broken{errors.New("reset")}), fault.Unavailable},
				"theirs": {io.MultiReader(noise(2500), broken{theirs}), fault.Throttled},
			} {
				_, err := o.UploadFile(t.Context(), "", item.Upload{Name: name, Size: 5000, Content: tc.content})
				wantKind(t, err, tc.want)
			}
			_, err := o.UploadFile(t.Context(), "", item.Upload{Name: "x", Size: 5})
			wantKind(t, err, fault.Invalid)
		})
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// TestDownloadTrouble: what is not the file is never taken for it
// (azure-devops.md §8, 19). Answers are modelled.
func TestDownloadTrouble(t *testing.T) {
	t.Parallel()
	file := item.Attachment{ID: guid, Name: "a.png"}
	text, page := file, file
	text.Name = "a.txt"
	page.Name = "report.HTML"
	for name, tc := range map[string]struct {
		file   item.Attachment
		status int
		media  string
		bad    bool // the token is refused elsewhere too
		want   fault.Kind
	}{
		"203 sign-in page":               {file: file, status: 203, media: "text/html", bad: true, want: fault.BadToken},
		"203 sign-in page for a page":    {file: page, status: 203, media: "text/html", bad: true, want: fault.BadToken},
		"203, token good":                {file: file, status: 203, media: "image/png", want: fault.Refused},
		"sign-in page, bad token":        {file: file, status: 200, media: "text/html; charset=utf-8", bad: true, want: fault.BadToken},
		"page in place, token good":      {file: file, status: 200, media: "TEXT/HTML", want: fault.Refused},
		"page in place, xhtml":           {file: file, status: 200, media: "application/xhtml+xml", want: fault.Refused},
		"redirect":                       {file: file, status: 302, media: "text/html", bad: true, want: fault.BadToken},
		"redirect, token good":           {file: file, status: 307, want: fault.Refused},
		"401":                            {file: file, status: 401, want: fault.BadToken},
		"403":                            {file: file, status: 403, media: "application/json", want: fault.Denied},
		"404":                            {file: file, status: 404, media: "application/json", want: fault.NotFound},
		"500":                            {file: file, status: 500, want: fault.Unavailable},
		"206":                            {file: file, status: 206, media: "image/png", want: fault.Refused},
		"a page that is meant to be one": {file: page, status: 200, media: "text/html"},
		"a page as a picture":            {file: file, status: 200, media: "application/octet-stream", want: fault.Refused},
		"a text like a page":             {file: text, status: 200, media: "application/octet-stream"},
		"no type":                        {file: text, status: 200, want: fault.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
				switch {
				case !strings.HasSuffix(r.URL.Path, "/connectionData"):
					w.Header()["Content-Type"] = []string{tc.media}
					w.Header().Set("Location", "https://evil.example/")
					w.WriteHeader(tc.status)
					_, _ = io.WriteString(w, signIn)
				case tc.bad:
					w.WriteHeader(http.StatusUnauthorized)
				default:
					answerJSON(w, http.StatusOK, me)
				}
			})
			content, _, _, err := c.OpenFile(t.Context(), tc.file)
			if tc.want != fault.Internal {
				wantKind(t, err, tc.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer content.Close()
			if got, err := io.ReadAll(content); err != nil || string(got) != signIn {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// TestForeignFiles: an address in a comment is whatever its author wrote; nothing is
// called for it but files of the own account, and those by our own address.
func TestForeignFiles(t *testing.T) {
	t.Parallel()
	const path = "/_apis/wit/attachments/" + guid
	for address, want := range map[string]string{
		"https://dev.azure.com/contoso" + path + "?fileName=a.png":                                           path + "?api-version=7.1&download=true&fileName=x.png",
		"https://DEV.azure.com/Contoso/d54eda2e-82d5-4ec7-b6ea-bb444a5c6a70" + path:                          "/d54eda2e-82d5-4ec7-b6ea-bb444a5c6a70" + path + "?api-version=7.1&download=true&fileName=x.png",
		"http://contoso.visualstudio.com" + path:                                                             path + "?api-version=7.1&download=true&fileName=x.png",
		"https://contoso.visualstudio.com/DefaultCollection" + path:                                          path + "?api-version=7.1&download=true&fileName=x.png",
		"https://contoso.visualstudio.com/My%20Project/_APIS/wit/Attachments/" + strings.ToUpper(guid) + "/": "/My%20Project" + path + "?api-version=7.1&download=true&fileName=x.png",
		"https://contoso.visualstudio.com/Other/" + path:                                                     "",
		"https://dev.azure.com/other" + path:                                                                 "",
		"https://dev.azure.com/contoso.evil" + path:                                                          "",
		"https://dev.azure.com/other/contoso" + path:                                                         "",
		"https://dev.azure.com/contoso/a/b" + path:                                                           "",
		"https://dev.azure.com/contoso/.." + path:                                                            "",
		"https://dev.azure.com/contoso/%2e%2e" + path:                                                        "",
		"https://dev.azure.com.evil.example/contoso" + path:                                                  "",
		"https://evil.example/contoso" + path:                                                                "",
		"https://user@dev.azure.com/contoso" + path:                                                          "",
		"https://dev.azure.com/contoso/_apis/wit/attachments/../../x":                                        "",
		"https://dev.azure.com/contoso/_apis/wit/attachments/":                                               "",
		"https://dev.azure.com/contoso/_apis/git/x":                                                          "",
		"file:///contoso" + path:                                                                             "", path: "", "data:image/png;base64,AAAA": "", "http://169.254.169.254/latest": "",
	} {
		var called []string
		c := over(t, replies(func(r *http.Request) *http.Response {
			called = append(called, strings.TrimPrefix(r.URL.String(), "https://dev.azure.com/contoso"))
			return plainAnswer(http.StatusOK, nil)
		}))
		id, _, ours := c.AttachmentOfURL(address)
		if ours != (want != "") || (ours && id != guid) {
			t.Errorf("%s: recognised %v as %s", address, ours, id)
		}
		content, _, _, err := c.OpenFile(t.Context(), item.Attachment{ID: guid, Name: "x.png", URL: address})
		if want == "" {
			wantKind(t, err, fault.Refused)
			if len(called) != 0 {
				t.Errorf("%s: called %s", address, called)
			}
			if _, err := c.AttachFile(t.Context(), 1, 0, address, ""); !fault.Is(err, fault.Invalid) {
				t.Errorf("%s was attached: %v", address, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		_ = content.Close()
		if diff := cmp.Diff([]string{want}, called); diff != "" {
			t.Errorf("%s: %s", address, diff)
		}
	}
	c := over(t, replies(func(r *http.Request) *http.Response { t.Errorf("called %s", r.URL); return plainAnswer(500, nil) }))
	_, _, _, err := c.OpenFile(t.Context(), item.Attachment{ID: "../../x", Name: "x"})
	wantKind(t, err, fault.Refused)
}

// TestServerFiles: the project in an address on a Server is told from the collection.
func TestServerFiles(t *testing.T) {
	t.Parallel()
	c, err := azuredevops.New(azuredevops.Options{
		ProjectURL: "https://tfs.example:8443/tfs/Coll/P", Credential: azuredevops.PAT(func() (string, error) { return pat, nil }), Now: clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"https://tfs.example:8443/tfs/Coll/_apis/wit/attachments/" + guid:   true,
		"https://tfs.example:8443/tfs/coll/P/_apis/wit/attachments/" + guid: true,
		"https://tfs.example:8443/tfs/_apis/wit/attachments/" + guid:        false,
		"https://tfs.example:8443/tfs/Other/_apis/wit/attachments/" + guid:  false,
		"https://tfs.example/tfs/Coll/_apis/wit/attachments/" + guid:        false,
	} {
		if _, _, ok := c.AttachmentOfURL(address); ok != want {
			t.Errorf("%s: %v", address, ok)
		}
	}
}

// TestBrokenDownload: a file that ends early is a fault at reading, never a short file.
func TestBrokenDownload(t *testing.T) {
	t.Parallel()
	o := open(t, settings{})
	made, err := o.Create(t.Context(), taskDraft("Task"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Server.As(jana).Attach(int(made.ID), "a.bin", noise(300_000)); err != nil {
		t.Fatal(err)
	}
	if made, err = o.WorkItem(t.Context(), made.ID); err != nil || len(made.Attachments) != 1 || made.Attachments[0].Size != 300_000 {
		t.Fatalf("got %+v, %v", made, err)
	}
	if _, err := o.faults.Add(faults.Rule{Kind: faults.KindCut, Method: http.MethodGet, Path: "/**/attachments/*", Count: 1}); err != nil {
		t.Fatal(err)
	}
	content, _, _, err := o.OpenFile(t.Context(), made.Attachments[0])
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	n, err := io.Copy(io.Discard, content)
	wantKind(t, err, fault.Unavailable)
	if n >= 300_000 {
		t.Errorf("%d bytes came", n)
	}
}

// reaching makes a client of a server of ours, over the transport that is used for real.
func reaching(t *testing.T, address string, change func(*azuredevops.Options)) *azuredevops.Client {
	t.Helper()
	transport, err := outbound.Transport("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	o := azuredevops.Options{
		ProjectURL: address + "/contoso/P", Base: transport,
		Credential: azuredevops.PAT(func() (string, error) { return pat, nil }),
	}
	if change != nil {
		change(&o)
	}
	c, err := azuredevops.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestUploadRefusedEarly: a large file is not sent to a server that refuses it at once.
func TestUploadRefusedEarly(t *testing.T) {
	t.Parallel()
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}))
	t.Cleanup(listener.Close)
	c := reaching(t, listener.URL, nil)
	counted := &counter{from: noise(20 << 20)}
	_, err := c.UploadFile(t.Context(), "", item.Upload{Name: "x", Size: 20 << 20, Content: counted})
	wantKind(t, err, fault.Refused)
	if counted.n != 0 {
		t.Errorf("%d bytes were read", counted.n)
	}
}

type counter struct {
	from io.Reader
	n    int64
	each func(n int64) int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += int64(n)
	if c.each != nil {
		c.each(c.n)
	}
	return n, err
}

// TestMemory carries 50 MiB there and back while little is held. The server is one of
// its own, since the stand-in's work would be counted too.
func TestMemory(t *testing.T) { //nolint:paralleltest // what others hold would be counted too
	const size, most = 50 << 20, 8 << 20
	want := hashOf(t, noise(size))
	received := sha256.New()
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = io.Copy(w, noise(size))
			return
		}
		if _, err := io.Copy(received, r.Body); err != nil {
			t.Error(err)
		}
		answerJSON(w, http.StatusCreated, `{"id":"`+guid+`","url":"http://`+r.Host+`/contoso`+`/_apis/wit/attachments/`+guid+`"}`)
	}))
	t.Cleanup(listener.Close)
	for name, change := range map[string]func(*azuredevops.Options){"simple": nil, "chunked": chunks(1<<20, 8<<20)} { //nolint:paralleltest // as above
		t.Run(name, func(t *testing.T) {
			c := reaching(t, listener.URL, change)
			received.Reset()
			peak := watchHeap(t)
			url, err := c.UploadFile(t.Context(), "", item.Upload{Name: "big.bin", Size: size, Content: &counter{from: noise(size), each: peak}})
			if err != nil {
				t.Fatal(err)
			}
			if hex.EncodeToString(received.Sum(nil)) != want {
				t.Error("another file arrived")
			}
			content, _, _, err := c.OpenFile(t.Context(), item.Attachment{Name: "big.bin", URL: url})
			if err != nil {
				t.Fatal(err)
			}
			defer content.Close()
			if hashOf(t, &counter{from: content, each: peak}) != want {
				t.Error("another file came back")
			}
			if held := peak(0); held > most {
				t.Errorf("%d bytes were held", held)
			}
		})
	}
}

// watchHeap tells how much more than now was ever held, looking every 4 MiB.
func watchHeap(t *testing.T) func(int64) int64 {
	t.Helper()
	live := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before, last, next, peak := live(), int64(0), int64(0), int64(0)
	return func(n int64) int64 {
		if n < last {
			next = 0 // another file
		}
		if last = n; n >= next {
			next = n + 4<<20
			peak = max(peak, int64(live())-int64(before))
		}
		return peak
	}
}

// TestUploadEndsWithCaller: a caller that goes away is not kept, nor is its content
// read any longer.
func TestUploadEndsWithCaller(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	listener := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 1000)
		<-release
	}))
	t.Cleanup(listener.Close)
	t.Cleanup(func() { close(release) })
	c := reaching(t, listener.URL, nil)
	ctx, cancel := context.WithCancel(t.Context())
	content := bytes.NewReader(make([]byte, 64<<20))
	_, err := c.UploadFile(ctx, "", item.Upload{Name: "x", Size: 64 << 20, Content: &counter{from: content, each: func(n int64) int64 {
		if n > 1<<20 {
			cancel()
		}
		return 0
	}}})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	// The race detector would see a reader that goes on.
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		t.Error(err)
	}
}
