package alvao_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	sandbox "github.com/tandem-sync/tandem/services/sandbox/alvao"
	faults "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

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

func message(files ...item.Upload) item.NewRecord {
	return item.NewRecord{
		Subject: "Komentář <12>", HTML: `<p>Žluťoučký & "kůň" ` + "\u2028" + `</p>`, Kind: "Note", From: "Jana Dvořáková", Files: files,
	}
}

func file(name string, size int64) item.Upload {
	return item.Upload{Name: name, ContentType: "image/png", Size: size, Content: noise(size)}
}

// TestAddRecord writes records with and without files on every kind of tenant.
func TestAddRecord(t *testing.T) {
	t.Parallel()
	for name, kind := range map[string]sandbox.Tenant{
		"plain": {}, "string ids": {StringIDs: true}, "capital keys": {CapitalKeys: true}, "nulls": {Nulls: true},
		"no offsets": {NoOffsets: true}, "relative links": {RelativeLinks: true}, "visibility told": {LogShowsVisibility: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			open(t, func(o *sandbox.Options) { o.Tenant = kind }, nil).records(t, kind)
		})
	}
}

func (n tenant) records(t *testing.T, kind sandbox.Tenant) {
	t.Helper()
	id := n.file(t, sandbox.NewTicket{Name: "x"})
	bare, err := n.AddRecord(t.Context(), id, message())
	if err != nil || bare.ID == 0 || bare.Kind != "Note" || bare.From != "Jana Dvořáková" || bare.ShowToRequester || bare.Created.IsZero() || len(bare.Attachments) != 0 {
		t.Fatalf("got %+v, %v", bare, err)
	}
	sizes := []int64{0, 1, 2, 3, 4096, 12288, 12289, 100_000}
	var files []item.Upload
	for at, size := range sizes {
		files = append(files, file("žluť & \"uvozovky\" "+string(rune('a'+at))+".png", size))
	}
	shown := message(files...)
	shown.ShowToRequester = true
	made, err := n.AddRecord(t.Context(), id, shown)
	if err != nil || !made.ShowToRequester || len(made.Attachments) != len(sizes) {
		t.Fatalf("got %+v, %v", made, err)
	}
	for at, a := range made.Attachments {
		content, length, media, err := n.OpenFile(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		if hashOf(t, content) != hashOf(t, noise(sizes[at])) || length != sizes[at] || media != "image/png" || a.Name != files[at].Name || a.ID == "" {
			t.Errorf("%+v came back as %d bytes of %s", a, length, media)
		}
		if err := content.Close(); err != nil {
			t.Error(err)
		}
	}
	// What the desk holds, and what it shows of it.
	stored := n.Server.Records(int(id))
	last := stored[len(stored)-1]
	if last.HTML != shown.HTML || last.Subject != shown.Subject || !last.ShowToRequester || last.Kind != sandbox.KindNote || !last.ByApplication {
		t.Errorf("the desk holds %+v", last)
	}
	read, err := n.Records(t.Context(), id, bare.ID-1)
	want := []item.Record{bare, made}
	if !kind.LogShowsVisibility {
		want[1].ShowToRequester = false
	}
	if diff := cmp.Diff(want, read); diff != "" || err != nil {
		t.Error(diff, err)
	}
	_, err = n.AddRecord(t.Context(), 99999, message())
	wantKind(t, err, fault.NotFound)
}

// TestAddRecordWire compares the body with the OpenAPI, and its length with what is
// announced.
func TestAddRecordWire(t *testing.T) {
	t.Parallel()
	o := options()
	var length int64
	var body []byte
	o.Base = replies(func(r *http.Request) (*http.Response, error) {
		length = r.ContentLength
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		if r.Header.Get("Content-Type") != "application/json" || r.Method != http.MethodPost || r.URL.Path != "/AlvaoRestApi/v1/tickets/5/log" {
			t.Errorf("called %s %s %s", r.Method, r.URL, r.Header)
		}
		w := httptest.NewRecorder()
		answerJSON(w, http.StatusCreated, `{"id":"9001","created":"2026-03-04T05:00:00"}`)
		return w.Result(), nil
	})
	c := client(t, o)
	for name, files := range map[string][]item.Upload{
		"no files": nil,
		"two":      {{Name: "a\".txt", Size: 4, Content: strings.NewReader("abcd")}, {Name: "b", ContentType: "image/png", Size: 0, Content: strings.NewReader("")}},
	} {
		r := message(files...)
		made, err := c.AddRecord(t.Context(), 5, r)
		if err != nil || made.ID != 9001 {
			t.Errorf("%s: %+v, %v", name, made, err)
		}
		if length != int64(len(body)) {
			t.Errorf("%s: %d bytes announced, %d sent", name, length, len(body))
		}
		want := map[string]any{
			"subject": r.Subject, "contentHtml": r.HTML, "kind": "Note", "from": r.From, "showToRequester": false,
		}
		if files != nil {
			want["attachments"] = []any{
				map[string]any{"name": `a".txt`, "contentBytes": base64.StdEncoding.EncodeToString([]byte("abcd"))},
				map[string]any{"name": "b", "contentType": "image/png", "contentBytes": ""},
			}
		}
		var got map[string]any
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%s: %v in %s", name, err, body)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestRecordRefused: what Alvao does not take is refused in words and nothing is
// written. The page of IIS is modelled after Microsoft's description.
func TestRecordRefused(t *testing.T) {
	t.Parallel()
	n := open(t, func(o *sandbox.Options) { o.MaxBody = 2 << 20 }, func(o *alvao.Options) { o.MaxUpload = 10 << 20 })
	id := n.file(t, sandbox.NewTicket{Name: "x"})
	before := len(n.Server.Records(int(id)))
	refused := func(r item.NewRecord, says ...string) {
		t.Helper()
		_, err := n.AddRecord(t.Context(), id, r)
		wantKind(t, err, fault.Refused)
		for _, say := range says {
			if !strings.Contains(fault.Sentence(err), say) {
				t.Errorf("%q does not say %q", fault.Sentence(err), say)
			}
		}
	}
	refused(message(file("a.png", 10), file("virus.exe", 10)), "virus.exe", ".exe can't be attached")
	refused(message(file("a.png", 1600<<10)), "larger")
	refused(message(file("a.png", 6<<20), file("b.png", 6<<20)), "12582912")
	for _, planted := range []faults.Rule{
		{Kind: faults.KindStatus, Status: http.StatusNotFound, Body: "<html><h2>404.13 - Not Found</h2></html>", ContentType: "text/html"},
		{Kind: faults.KindStatus, Status: http.StatusRequestEntityTooLarge, Body: "x", ContentType: "text/plain"},
	} {
		n.faults.Clear()
		if _, err := n.faults.Add(planted); err != nil {
			t.Fatal(err)
		}
		refused(message(file("a.png", 10)), "larger")
	}
	n.faults.Clear()
	invalid := func(r item.NewRecord) {
		t.Helper()
		_, err := n.AddRecord(t.Context(), id, r)
		wantKind(t, err, fault.Invalid)
	}
	bad := message()
	bad.Kind = "SMS"
	invalid(bad)
	bad.Kind = ""
	invalid(bad)
	invalid(message(item.Upload{Name: "x", Size: 1}))
	invalid(message(file(" ", 1)))
	if after := len(n.Server.Records(int(id))); after != before {
		t.Errorf("%d records were written", after-before)
	}
}

type broken struct{ err error }

func (b broken) Read([]byte) (int, error) { return 0, b.err }

// TestRecordContentBreaks: a file that breaks off leaves no record behind, and the
// other system's own words are kept.
func TestRecordContentBreaks(t *testing.T) {
	t.Parallel()
	n := open(t, nil, nil)
	id := n.file(t, sandbox.NewTicket{Name: "x"})
	before := len(n.Server.Records(int(id)))
	for name, tc := range map[string]struct {
		content io.Reader
		want    fault.Kind
	}{
		"short":                 {noise(49_999), fault.Unavailable},
		"long":                  {noise(50_001), fault.Unavailable},
		"fails":                 {io.MultiReader(noise(25_000), broken{errors.New("reset")}), fault.Unavailable},
		"fails as if it ended":  {io.MultiReader(noise(25_000), broken{io.ErrUnexpectedEOF}), fault.Unavailable},
		"fails at its very end": {io.MultiReader(noise(50_000), broken{errors.New("reset")}), fault.Unavailable},
		"theirs":                {io.MultiReader(noise(25_000), broken{fault.New(fault.BadToken, "No token.")}), fault.BadToken},
	} {
		_, err := n.AddRecord(t.Context(), id, message(item.Upload{Name: "a", Size: 50_000, Content: tc.content}))
		wantKind(t, err, tc.want)
		if after := len(n.Server.Records(int(id))); after != before {
			t.Errorf("%s: a record was written", name)
		}
	}
}

// TestLostRecord: a record is not sent again, and the fault says that it is open
// whether it was written.
func TestLostRecord(t *testing.T) {
	t.Parallel()
	n := open(t, nil, nil)
	id := n.file(t, sandbox.NewTicket{Name: "x"})
	before := len(n.Server.Records(int(id)))
	for _, kind := range []faults.Kind{faults.KindLostReply, faults.KindCut, faults.KindUnavailable} {
		n.faults.Clear()
		if _, err := n.faults.Add(faults.Rule{Kind: kind, Method: http.MethodPost, Count: 1}); err != nil {
			t.Fatal(err)
		}
		_, err := n.AddRecord(t.Context(), id, message(file("a", 10)))
		wantKind(t, err, fault.Unavailable)
		if !strings.Contains(fault.Sentence(err), "it is open whether") {
			t.Errorf("%q", fault.Sentence(err))
		}
	}
	if after := len(n.Server.Records(int(id))); after != before+2 {
		t.Errorf("%d records after two lost replies and a refusal", after-before)
	}
}

// TestDownloads: what is not the file is never taken for it, and the password goes
// nowhere but to Alvao. Answers are modelled.
func TestDownloads(t *testing.T) {
	t.Parallel()
	const host, octets = "https://contoso.onalvao.com", "application/octet-stream"
	for name, tc := range map[string]struct {
		link, name string
		status     int
		media      string
		bad        bool // the password is refused elsewhere too
		called     string
		want       fault.Kind
	}{
		"absolute":               {link: host + "/AlvaoRestApi/v1/attachments/5", media: octets, called: host + "/AlvaoRestApi/v1/attachments/5"},
		"from the host":          {link: "/AlvaoRestApi/v1/attachments/5?x=1", media: octets, called: host + "/AlvaoRestApi/v1/attachments/5?x=1"},
		"relative":               {link: "v1/attachments/5", media: octets, called: host + "/AlvaoRestApi/v1/attachments/5"},
		"web application":        {link: host + "/Alvao/File/5", media: octets, called: host + "/Alvao/File/5"},
		"file of its own type":   {link: "x", media: "image/png", called: host + "/AlvaoRestApi/x"},
		"page that is meant":     {link: "x", name: "a.htm", media: "text/html", called: host + "/AlvaoRestApi/x"},
		"page without type":      {link: "x", want: fault.Refused},
		"page in place":          {link: "x", media: "text/html; charset=utf-8", want: fault.Refused},
		"page, bad password":     {link: "x", media: "text/html", bad: true, want: fault.BadToken},
		"redirect":               {link: "x", status: 302, want: fault.Refused},
		"redirect, bad password": {link: "x", status: 302, bad: true, want: fault.BadToken},
		"203":                    {link: "x", status: 203, bad: true, want: fault.BadToken},
		"204":                    {link: "x", status: 204, want: fault.Refused},
		"206":                    {link: "x", status: 206, want: fault.Refused},
		"401":                    {link: "x", status: 401, want: fault.BadToken},
		"403":                    {link: "x", status: 403, want: fault.Denied},
		"404":                    {link: "x", status: 404, want: fault.NotFound},
		"500":                    {link: "x", status: 500, want: fault.Unavailable},
		"no link":                {want: fault.Refused},
		"other host":             {link: "https://evil.example/AlvaoRestApi/x", want: fault.Refused},
		"other host, no scheme":  {link: "//evil.example/AlvaoRestApi/x", want: fault.Refused},
		"other scheme":           {link: "http://contoso.onalvao.com/AlvaoRestApi/x", want: fault.Refused},
		"other port":             {link: host + ":8443/AlvaoRestApi/x", want: fault.Refused},
		"other application":      {link: "/Other/x", want: fault.Refused},
		"out of the application": {link: "../x", want: fault.Refused},
		"password in the link":   {link: "https://a:b@contoso.onalvao.com.evil.example/AlvaoRestApi/x", want: fault.Refused},
		"a share":                {link: "file://server/share", want: fault.Refused},
		"a drive":                {link: `C:\x`, want: fault.Refused},
		"nonsense":               {link: "%zz", want: fault.Refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.status == 0 {
				tc.status = http.StatusOK
			}
			if tc.name == "" {
				tc.name = "a.txt"
			}
			var called []string
			o := options()
			o.Base = replies(func(r *http.Request) (*http.Response, error) {
				w := httptest.NewRecorder()
				switch {
				case r.URL.Path != "/AlvaoRestApi/v1/tickets":
					called = append(called, r.URL.String())
					w.Header()["Content-Type"] = []string{tc.media}
					w.Header().Set("Location", "https://evil.example")
					w.WriteHeader(tc.status)
					_, _ = io.WriteString(w, "<html>content")
				case tc.bad:
					w.WriteHeader(http.StatusUnauthorized)
				default:
					answerJSON(w, http.StatusOK, `{"value":[]}`)
				}
				return w.Result(), nil
			})
			c := client(t, o)
			content, _, _, err := c.OpenFile(t.Context(), item.Attachment{Name: tc.name, URL: tc.link})
			if tc.want != fault.Internal {
				wantKind(t, err, tc.want)
				if tc.link != "x" && len(called) > 0 {
					t.Errorf("called %s", called)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer content.Close()
			if got, err := io.ReadAll(content); err != nil || string(got) != "<html>content" {
				t.Errorf("got %q, %v", got, err)
			}
			if diff := cmp.Diff([]string{tc.called}, called); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestWebApplicationIsNoRoot: a web application without a path of its own, or on
// another host, opens nothing beside the REST API.
func TestWebApplicationIsNoRoot(t *testing.T) {
	t.Parallel()
	for _, web := range []string{"https://contoso.onalvao.com", "https://other.example/Alvao", "http://contoso.onalvao.com/Alvao", "https://contoso.onalvao.com/Alvao/{id}"} {
		o := options()
		o.WebURL = web
		o.Base = replies(func(r *http.Request) (*http.Response, error) {
			t.Errorf("%s: called %s", web, r.URL)
			return nil, errors.New("no")
		})
		for _, link := range []string{"https://contoso.onalvao.com/x", "https://contoso.onalvao.com/Alvao/x", "https://other.example/Alvao/x", "http://contoso.onalvao.com/Alvao/x"} {
			_, _, _, err := client(t, o).OpenFile(t.Context(), item.Attachment{Name: "a", URL: link})
			wantKind(t, err, fault.Refused)
		}
	}
}

// TestBrokenDownload: a file that ends early is a fault at reading, never a short file.
func TestBrokenDownload(t *testing.T) {
	t.Parallel()
	n := open(t, nil, nil)
	id := n.file(t, sandbox.NewTicket{Name: "x"})
	made, err := n.AddRecord(t.Context(), id, message(file("a.bin", 300_000)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.faults.Add(faults.Rule{Kind: faults.KindCut, Method: http.MethodGet, Path: "/**/attachments/*", Count: 1}); err != nil {
		t.Fatal(err)
	}
	content, _, _, err := n.OpenFile(t.Context(), made.Attachments[0])
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	got, err := io.Copy(io.Discard, content)
	wantKind(t, err, fault.Unavailable)
	if got >= 300_000 {
		t.Errorf("%d bytes came", got)
	}
}

// counter calls each with what was read so far.
type counter struct {
	from io.Reader
	n    int64
	each func(int64)
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.n += int64(n)
	c.each(c.n)
	return n, err
}

// TestMemory sends and reads 50 MiB while little is held. The receiver is one of its
// own, since the stand-in keeps files in memory.
func TestMemory(t *testing.T) { //nolint:paralleltest // what others hold would be counted too
	const size, most = 50 << 20, 8 << 20
	var received string
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "application/octet-stream")
			_, _ = io.Copy(w, noise(size))
			return
		}
		opening := `"contentBytes":"`
		var head bytes.Buffer
		for one := make([]byte, 1); !strings.HasSuffix(head.String(), opening); head.Write(one) {
			if _, err := io.ReadFull(r.Body, one); err != nil {
				t.Error(err)
				return
			}
		}
		h := sha256.New()
		if _, err := io.CopyN(h, base64.NewDecoder(base64.StdEncoding, r.Body), size); err != nil {
			t.Error(err)
		}
		received = hex.EncodeToString(h.Sum(nil))
		_, _ = io.Copy(io.Discard, r.Body)
		answerJSON(w, http.StatusCreated, `{"id":1}`)
	}))
	t.Cleanup(listener.Close)
	transport, err := outbound.Transport("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	o := options()
	o.BaseURL, o.Base, o.MaxUpload = listener.URL+"/AlvaoRestApi", transport, 100<<20
	c := client(t, o)

	live := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, peak := live(), int64(0)
	watch := func(from io.Reader) io.Reader {
		next := int64(0)
		return &counter{from: from, each: func(n int64) {
			if n >= next {
				next = n + 4<<20
				peak = max(peak, live()-before)
			}
		}}
	}
	want := hashOf(t, noise(size))
	if _, err := c.AddRecord(t.Context(), 5, message(item.Upload{Name: "a.bin", Size: size, Content: watch(noise(size))})); err != nil {
		t.Fatal(err)
	}
	if received != want {
		t.Error("another file arrived")
	}
	content, _, _, err := c.OpenFile(t.Context(), item.Attachment{Name: "a.bin", URL: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	if hashOf(t, watch(content)) != want {
		t.Error("another file came back")
	}
	if peak > most {
		t.Errorf("%d bytes were held", peak)
	}
}

func FuzzRecords(f *testing.F) {
	for _, seed := range []string{
		`{"value":[{"id":9001,"subject":"s","contentHtml":"<p>h</p>","created":"2026-03-04T05:00:00","kind":"Note","attachments":[{"name":"a","id":7,"link":"x","size":"5"}],"important":1}]}`,
		`{"id":"1","attachments":[{"link":"//evil/x"},{"link":"%zz"},null]}`, `{"value":{}}`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		o := options()
		o.Base = replies(func(*http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			answerJSON(w, http.StatusOK, string(body))
			return w.Result(), nil
		})
		c := client(t, o)
		read, err := c.Records(t.Context(), 5, 0)
		if err != nil && fault.KindOf(err) == fault.Internal {
			t.Errorf("no fault: %v", err)
		}
		made, err := c.AddRecord(t.Context(), 5, message())
		if err != nil && fault.KindOf(err) == fault.Internal {
			t.Errorf("no fault: %v", err)
		}
		if err == nil {
			read = append(read, made)
		}
		for _, r := range read {
			if r.ID <= 0 {
				t.Errorf("got %+v", r)
			}
		}
	})
}
