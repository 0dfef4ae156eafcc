package page_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/page"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// board is a running page over a stand-in Alvao and a few work items held here.
type board struct {
	t      *testing.T
	url    string
	desk   *alvao.Server
	items  *items
	page   *page.Page
	client *http.Client
}

func newBoard(t *testing.T) *board {
	t.Helper()
	desk, err := alvao.New(alvao.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &board{t: t, desk: desk, items: &items{}, client: &http.Client{Transport: &http.Transport{}}}
	b.page = page.NewPage(page.Options{
		Tickets: page.NewTicketSystem(desk, alvao.ExternalIDColumn), WorkItems: b.items, Faults: fault.NewSet(1), Pace: time.Millisecond,
	})
	srv := httptest.NewServer(b.page)
	b.url = srv.URL
	t.Cleanup(func() {
		b.page.Close()
		b.client.CloseIdleConnections()
		srv.Close()
		desk.Close()
	})
	return b
}

func (b *board) do(method, path, body string, header ...string) (int, http.Header, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(raw)
}

// want makes a call that must answer with a status and decodes the item it answers.
func (b *board) want(status int, method, path, body string) page.Item {
	b.t.Helper()
	got, _, raw := b.do(method, path, body)
	if got != status {
		b.t.Fatalf("%s %s: got %d, want %d: %s", method, path, got, status, raw)
	}
	var it page.Item
	if err := json.Unmarshal([]byte(raw), &it); err != nil {
		b.t.Fatalf("%v in %s", err, raw)
	}
	return it
}

const by = `"by":"` + alvao.Solver + `"`

func TestTicketsThroughTheAPI(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	it := b.want(201, "POST", "/sandbox/api/tickets", `{`+by+`,"title":"Printer","kind":"Development","description":"<p onclick=x()>It <script>x</script>broke</p>"}`)
	path := "/sandbox/api/tickets/" + strconv.Itoa(it.ID)
	if it.State != "New" || it.Description != "<p>It broke</p>" || !slices.Contains(it.States, "Development pending") || slices.Contains(it.States, "Deleted") {
		t.Errorf("got %+v", it)
	}
	if it = b.want(200, "PUT", path+"/state", `{`+by+`,"state":"Development"}`); it.State != "Development" {
		t.Errorf("got %+v", it)
	}
	b.want(409, "PUT", path+"/state", `{`+by+`,"state":"Development"}`)
	b.want(409, "PUT", path+"/state", `{`+by+`,"state":"Doing"}`)
	b.want(404, "PUT", path+"/state", `{"by":"nobody","state":"Testing"}`)
	b.want(404, "PUT", "/sandbox/api/tickets/1/state", `{`+by+`,"state":"Testing"}`)
	if status, _, _ := b.do("PUT", "/sandbox/api/cards/1/state", `{`+by+`,"state":"Testing"}`); status != 404 {
		t.Errorf("an unknown side was answered %d", status)
	}
	b.want(400, "PUT", path+"/state", `{"who":1}`)
	b.want(400, "POST", "/sandbox/api/tickets", `{`+by+`,"title":" "}`)
	b.want(400, "POST", path+"/messages", `{`+by+`,"text":" "}`)

	it = b.want(201, "POST", path+"/messages", `{`+by+`,"text":"See <this>","files":[
		{"name":"a.png","contentType":"image/png","content":"aGVsbG8="},{"name":"b.html","contentType":"text/html","content":"aGVsbG8="}]}`)
	note := it.Messages[len(it.Messages)-1]
	if note.HTML != "See &lt;this&gt;" || note.Author != "Petr Svoboda" || !note.Internal || len(it.Attachments) != 2 {
		t.Errorf("got %+v", it)
	}
	for i, want := range []string{"image/png inline", "application/octet-stream attachment"} {
		status, h, raw := b.do("GET", it.Attachments[i].URL, "")
		disposition, _, _ := strings.Cut(h.Get("Content-Disposition"), ";")
		if got := h.Get("Content-Type") + " " + disposition; status != 200 || raw != "hello" || got != want || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("attachment %d: got %d %s %q", i, status, got, raw)
		}
	}
	b.want(404, "GET", "/sandbox/api/tickets/attachments/1", "")
	for _, step := range []struct{ action, state, note string }{
		{"start-approval", "Development", "approval running"}, {"reject", "Development", ""}, {"delete", "Deleted", ""}, {"restore", "New", ""},
	} {
		it = b.want(200, "POST", path+"/"+step.action, `{`+by+`}`)
		if it.State != step.state || strings.Join(it.Notes, "") != step.note {
			t.Errorf("after %s: %+v", step.action, it)
		}
	}
	b.want(404, "POST", path+"/explode", `{`+by+`}`)
}

func TestBoardPairsItems(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	it := b.want(201, "POST", "/sandbox/api/tickets", `{`+by+`,"title":"Printer"}`)
	if err := b.desk.SetField(t.Context(), alvao.Solver, it.ID, alvao.ExternalIDColumn, "18"); err != nil {
		t.Fatal(err)
	}
	b.items.add(page.Item{ID: 18, Tag: "#18", Title: "Printer", Pair: it.ID})
	_, _, raw := b.do("GET", "/sandbox/api/board?limit=10", "")
	var got struct {
		People  []page.Person
		Tickets struct {
			Kinds []string
			Items []page.Item
		}
		WorkItems struct{ Items []page.Item }
	}
	if err := json.Unmarshal([]byte(raw), &got); err != nil {
		t.Fatal(err)
	}
	if got.Tickets.Items[0].Pair != 18 || got.WorkItems.Items[0].Pair != it.ID || len(got.Tickets.Kinds) != 2 {
		t.Errorf("got %s", raw)
	}
	for _, p := range got.People {
		if p.Login == alvao.ApplicationAccount || p.Login == "guest" {
			t.Errorf("%s may act", p.Login)
		}
	}
}

func TestEventsStream(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	next := b.stream(ctx)
	if name, _ := next(); name != "hello" {
		t.Fatalf("the stream begins with %s", name)
	}
	ticket, err := b.desk.CreateTicket(ctx, alvao.Requester, alvao.NewTicket{Name: "Printer"})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.desk.SetStatus(ctx, alvao.Solver, ticket.ID, "Testing"); err != nil {
		t.Fatal(err)
	}
	b.items.move(page.Event{ID: 99, By: "Tandem", Application: true, Verb: "moved", From: "To Do", To: "Doing"})
	seen := map[string]page.Event{}
	for len(seen) < 3 {
		name, data := next()
		if name != "changes" {
			t.Fatalf("got %s", name)
		}
		var got struct {
			Events []page.Event
			Items  map[string][]page.Item
		}
		if err := json.Unmarshal([]byte(data), &got); err != nil {
			t.Fatal(err)
		}
		for _, e := range got.Events {
			seen[e.Side+" "+e.Verb+" "+strconv.Itoa(e.ID)] = e
			if !slices.ContainsFunc(got.Items[e.Side], func(it page.Item) bool { return it.ID == e.ID }) {
				t.Errorf("the event %+v came without its item", e)
			}
		}
	}
	if wrote, ok := seen["tickets wrote "+strconv.Itoa(ticket.ID)]; ok {
		t.Errorf("the founding record is told as a message: %+v", wrote)
	}
	moved := seen["tickets moved "+strconv.Itoa(ticket.ID)]
	if moved.By != "Petr Svoboda" || moved.Application || moved.From != "New" || moved.To != "Testing" {
		t.Errorf("got %+v", moved)
	}
	if e := seen["work-items moved 99"]; !e.Application {
		t.Errorf("got %+v", e)
	}
	// A browser that fell far behind reads the board anew.
	// Holding the items keeps the stream from sending more than one batch meanwhile.
	b.items.mu.Lock()
	for range 5000 {
		b.items.fns[0](page.Event{ID: 99, Verb: "changed"})
	}
	b.items.mu.Unlock()
	for {
		name, _ := next()
		if name == "reset" {
			break
		}
	}
}

// stream opens the event stream and returns what reads the next event.
func (b *board) stream(ctx context.Context) func() (string, string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.url+"/sandbox/api/events", http.NoBody)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = resp.Body.Close() })
	lines := bufio.NewReaderSize(resp.Body, 1<<20)
	return func() (string, string) {
		name := ""
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				b.t.Fatal(err)
			}
			if v, ok := strings.CutPrefix(line, "event: "); ok {
				name = strings.TrimSpace(v)
			}
			if v, ok := strings.CutPrefix(line, "data: "); ok {
				return name, v
			}
		}
	}
}

func TestPageIsOneFileThatLetsNothingElseIn(t *testing.T) {
	t.Parallel()
	b := newBoard(t)
	status, h, raw := b.do("GET", "/", "")
	if status != 200 || strings.Contains(raw, "/*CSS*/") || strings.Contains(raw, "/*JS*/") {
		t.Errorf("got %d, and the page is not put together", status)
	}
	for _, foreign := range []string{"src=\"http", "href=\"http", "url(", "@import", " style=", " onclick="} {
		if strings.Contains(raw, foreign) {
			t.Errorf("the page has %q", foreign)
		}
	}
	if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("the policy is %q", csp)
	}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Origin", "https://evil.example"}} {
		if status, _, _ := b.do("POST", "/sandbox/api/tickets", `{`+by+`,"title":"x"}`, header...); status != 403 {
			t.Errorf("%v was answered %d", header, status)
		}
	}
	if status, _, raw := b.do("GET", "/sandbox/api/faults/", ""); status != 200 || !strings.Contains(raw, "rules") {
		t.Errorf("the fault API answers %d %s", status, raw)
	}
	if status, _, _ := b.do("GET", "/nothing", ""); status != 404 {
		t.Errorf("got %d", status)
	}
}

// items stands for Azure DevOps: just enough to have a second side.
type items struct {
	mu   sync.Mutex
	list []page.Item
	fns  []func(page.Event)
}

var errNo = errors.New("no")

func (s *items) add(it page.Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it.Created, it.Changed = time.Unix(1, 0), time.Unix(1, 0)
	s.list = append(s.list, it)
}

func (s *items) move(e page.Event) {
	s.mu.Lock()
	fns := s.fns
	s.mu.Unlock()
	for _, fn := range fns {
		fn(e)
	}
}

func (s *items) Items(int) []page.Item {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

func (s *items) Item(id int) (page.Item, error) {
	for _, it := range s.Items(0) {
		if it.ID == id {
			return it, nil
		}
	}
	return page.Item{}, fmt.Errorf("work item %d: %w", id, page.ErrNotFound)
}
func (s *items) Create(context.Context, page.New) (int, error)       { return 0, errNo }
func (s *items) SetState(context.Context, string, int, string) error { return errNo }
func (s *items) AddMessage(context.Context, int, page.Message) error { return errNo }
func (s *items) Act(context.Context, string, int, string) error      { return errNo }
func (s *items) Attachment(string) (page.File, error)                { return page.File{}, errNo }
func (s *items) People() []page.Person                               { return nil }
func (s *items) Kinds() []string                                     { return []string{"Task"} }
func (s *items) Watch(fn func(page.Event)) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fns = append(s.fns, fn)
	return func() {}
}
