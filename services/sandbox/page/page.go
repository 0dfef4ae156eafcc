// Package page shows the two stand-ins side by side in a browser, live, and lets a person act in both: tickets left, work
// items right, paired ones joined. Its JSON control API is what the page itself uses, and what a demonstration or a test
// may use too.
//
// The invariant: the page only shows what the systems say at that moment. It keeps no state but the feed of what moved.
//
// The control API, same origin only (requests that a foreign page makes in a browser are refused):
//
//	GET    /sandbox/api/board?limit=100              {"people":[…],"tickets":{"states":[…],"kinds":[…],"items":[Item]},"workItems":{…}}
//	GET    /sandbox/api/{side}/{id}                  Item, with all its messages
//	POST   /sandbox/api/{side}                       New → 201 Item
//	PUT    /sandbox/api/{side}/{id}/state            {"by":login,"state":name} → Item
//	POST   /sandbox/api/{side}/{id}/messages         Message → 201 Item
//	POST   /sandbox/api/{side}/{id}/{action}         {"by":login} → Item; actions are named by the item itself
//	GET    /sandbox/api/{side}/attachments/{id}      the file
//	GET    /sandbox/api/events                       Server-Sent Events: `hello`, `changes` with {"events":[Event],"items":{side:[Item]}}, `reset`
//	…      /sandbox/api/faults…                      see package fault
//	GET    /sandbox/api/notices                      {"mails":[…],"cards":[…]}: what people were told; DELETE forgets it
//
// side is `tickets` or `work-items`. Refusals answer 4xx with {"error":"…"}.
package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// The sides of the page, as they appear in paths.
const (
	// Tickets is the service desk's side, on the left.
	Tickets = "tickets"
	// WorkItems is Azure DevOps' side, on the right.
	WorkItems = "work-items"
)

// ErrNotFound is wrapped by a System for an item or attachment that is not there.
var ErrNotFound = errors.New("not found")

// System is one of the two systems, as far as the page needs it. Methods may be called from several goroutines.
type System interface {
	// Items gives up to limit items, those with the latest change first, each with its latest messages.
	Items(limit int) []Item
	// Item gives one item with all its messages.
	Item(id int) (Item, error)
	// Create, SetState, AddMessage and Act change the system as the person with the login `by`.
	Create(ctx context.Context, in New) (int, error)
	SetState(ctx context.Context, by string, id int, state string) error
	AddMessage(ctx context.Context, id int, in Message) error
	// Act does one of the actions that the item names.
	Act(ctx context.Context, by string, id int, action string) error
	// Attachment gives a file by its id.
	Attachment(id string) (File, error)
	// People who may act, and Kinds of item that may be created.
	People() []Person
	Kinds() []string
	// Watch calls fn for every change until stop is called; fn does not block.
	Watch(fn func(Event)) (stop func())
}

// Person is somebody who may act.
type Person struct {
	Login string `json:"login"`
	Name  string `json:"name"`
}

// Item is a ticket or a work item.
type Item struct {
	ID    int    `json:"id"`
	Tag   string `json:"tag"` // as people write it: T1001SD, #18
	Title string `json:"title"`
	// Kind is the service or the work item type.
	Kind  string `json:"kind"`
	State string `json:"state"`
	// States are those a person may choose from.
	States []string `json:"states"`
	// Requester and Assignee are names; empty where there is none.
	Requester string `json:"requester,omitempty"`
	Assignee  string `json:"assignee,omitempty"`
	// Pair is the id of the item on the other side; zero means none.
	Pair        int       `json:"pair,omitempty"`
	Notes       []string  `json:"notes,omitempty"` // such as "approval running"
	Created     time.Time `json:"created"`
	Changed     time.Time `json:"changed"`
	Deleted     bool      `json:"deleted,omitempty"`
	Actions     []string  `json:"actions,omitempty"`
	Description string    `json:"description,omitempty"` // HTML, made safe
	Messages    []Note    `json:"messages"`
	MoreNotes   int       `json:"moreMessages,omitempty"` // older ones that are not shown
	Attachments []FileRef `json:"attachments"`
}

// Note is a message or comment.
type Note struct {
	ID     int       `json:"id"`
	Author string    `json:"author"`
	At     time.Time `json:"at"`
	Kind   string    `json:"kind,omitempty"`
	HTML   string    `json:"html"` // made safe
	// Internal messages are not shown to the requester.
	Internal bool `json:"internal,omitempty"`
	// System messages were written by the system itself.
	System bool `json:"system,omitempty"`
}

// FileRef names an attachment and where the page gets it.
type FileRef struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Size int64  `json:"size"`
	URL  string `json:"url"`
}

// File is the content of an attachment.
type File struct {
	Name, ContentType string
	Content           []byte
}

// New is an item to be created.
type New struct {
	By          string `json:"by"`
	Title       string `json:"title"`
	Kind        string `json:"kind"`
	Description string `json:"description"` // plain text or HTML
	State       string `json:"state"`       // entered right after creation; empty means the first one
}

// Message is a message or comment to be written, with files.
type Message struct {
	By   string `json:"by"`
	Text string `json:"text"` // plain text; used when HTML is empty
	HTML string `json:"html"`
	// Visible shows it to the requester, in the service desk.
	Visible bool     `json:"visible"`
	Files   []Upload `json:"files"`
}

// Upload is a file that comes with a message.
type Upload struct {
	Name        string `json:"name"`
	ContentType string `json:"contentType"`
	Content     []byte `json:"content"` // base64 in JSON
}

// Event is something that moved.
type Event struct {
	Seq  int64     `json:"seq"`
	Side string    `json:"side"`
	ID   int       `json:"id"`
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	// Application tells that a program did it through the system's API.
	Application bool `json:"application"`
	// Verb is what happened: created, moved, wrote, attached, changed, deleted, restored.
	Verb string `json:"verb"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Detail is the title, the fields or the subject.
	Detail string `json:"detail,omitempty"`
}

//go:embed index.html
var indexHTML string

//go:embed page.css
var pageCSS string

//go:embed page.js
var pageJS string

// Options configures a [Page].
type Options struct {
	// Tickets and WorkItems are the two systems; WorkItems may be nil.
	Tickets, WorkItems System
	// Faults answers under /sandbox/api/faults/, if not nil, with that prefix stripped.
	Faults http.Handler
	// Notices answers under /sandbox/api/notices, if not nil.
	Notices http.Handler
	// MaxBody bounds a request in bytes; default 32 MiB.
	MaxBody int64
	// Pace is the shortest time between two batches of events for one browser; default 50 ms.
	Pace time.Duration
}

// Page is the handler of the page and its API. Close it when done.
type Page struct {
	sides   map[string]System
	feed    *feed
	stops   []func()
	maxBody int64
	pace    time.Duration
	html    []byte
	csp     string
	handler http.Handler
	done    chan struct{}
	once    sync.Once
}

// NewPage makes the page over two systems and begins to watch them.
func NewPage(o Options) *Page {
	p := &Page{sides: map[string]System{}, feed: newFeed(), maxBody: o.MaxBody, pace: o.Pace, done: make(chan struct{})}
	if p.maxBody == 0 {
		p.maxBody = 32 << 20
	}
	if p.pace == 0 {
		p.pace = 50 * time.Millisecond
	}
	for side, system := range map[string]System{Tickets: o.Tickets, WorkItems: o.WorkItems} {
		if system == nil {
			continue
		}
		p.sides[side] = system
		p.stops = append(p.stops, system.Watch(func(e Event) {
			e.Side = side
			p.feed.add(e)
		}))
	}
	p.assemble()
	p.handler = p.routes(o.Faults, o.Notices)
	return p
}

// Close ends the event streams and stops watching.
func (p *Page) Close() {
	p.once.Do(func() {
		for _, stop := range p.stops {
			stop()
		}
		close(p.done)
	})
}

// assemble puts style and script into the one page and computes the content security policy that lets only them run.
func (p *Page) assemble() {
	page := strings.Replace(indexHTML, "/*CSS*/", pageCSS, 1)
	page = strings.Replace(page, "/*JS*/", pageJS, 1)
	p.html = []byte(page)
	p.csp = fmt.Sprintf(
		"default-src 'none'; connect-src 'self'; img-src 'self' data:; form-action 'none'; base-uri 'none'; style-src %s; script-src %s",
		hashOf(pageCSS), hashOf(pageJS))
}

func hashOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (p *Page) routes(faults, notices http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.index)
	mux.HandleFunc("GET /sandbox/api/board", p.board)
	mux.HandleFunc("GET /sandbox/api/events", p.events)
	for _, side := range []string{Tickets, WorkItems} {
		handle := func(method, path string, fn http.HandlerFunc) {
			mux.HandleFunc(method+" /sandbox/api/"+side+path, func(w http.ResponseWriter, r *http.Request) {
				r.SetPathValue("side", side)
				fn(w, r)
			})
		}
		handle("POST", "", p.create)
		handle("GET", "/{id}", p.item)
		handle("PUT", "/{id}/state", p.state)
		handle("POST", "/{id}/messages", p.message)
		handle("POST", "/{id}/{action}", p.act)
		handle("GET", "/attachments/{id}", p.attachment)
	}
	if faults != nil {
		mux.Handle("/sandbox/api/faults/", http.StripPrefix("/sandbox/api/faults", faults))
	}
	if notices != nil {
		mux.Handle("/sandbox/api/notices", notices)
	}
	return http.NewCrossOriginProtection().Handler(mux)
}

// ServeHTTP answers `/` and everything under /sandbox/.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

func (p *Page) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", p.csp)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(p.html)
}

// side finds the system of a path, or answers 404.
func (p *Page) side(w http.ResponseWriter, r *http.Request) (System, bool) {
	s, ok := p.sides[r.PathValue("side")]
	if !ok {
		answerError(w, http.StatusNotFound, "there is no such side")
	}
	return s, ok
}

// target finds the system and the item id of a path, or answers 404.
func (p *Page) target(w http.ResponseWriter, r *http.Request) (System, int, bool) {
	s, ok := p.side(w, r)
	if !ok {
		return nil, 0, false
	}
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		answerError(w, http.StatusNotFound, "there is no such item")
		return nil, 0, false
	}
	return s, id, true
}

type boardSide struct {
	Kinds []string `json:"kinds"`
	Items []Item   `json:"items"`
}

func (p *Page) board(w http.ResponseWriter, r *http.Request) {
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit < 1 || limit > 1000 {
		limit = 100
	}
	out := struct {
		Seq       int64     `json:"seq"`
		People    []Person  `json:"people"`
		Tickets   boardSide `json:"tickets"`
		WorkItems boardSide `json:"workItems"`
	}{Seq: p.feed.last()}
	for side, into := range map[string]*boardSide{Tickets: &out.Tickets, WorkItems: &out.WorkItems} {
		*into = boardSide{Kinds: []string{}, Items: []Item{}}
		if s := p.sides[side]; s != nil {
			into.Kinds = s.Kinds()
			into.Items = append(into.Items, s.Items(limit)...)
		}
	}
	if s := p.sides[Tickets]; s != nil {
		out.People = s.People()
	}
	answer(w, http.StatusOK, out)
}

func (p *Page) item(w http.ResponseWriter, r *http.Request) {
	if s, id, ok := p.target(w, r); ok {
		p.show(w, http.StatusOK, s, id, nil)
	}
}

// show answers with the item as it is after a change, or with what stood against the change.
func (p *Page) show(w http.ResponseWriter, status int, s System, id int, err error) {
	var it Item
	if err == nil {
		it, err = s.Item(id)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		answerError(w, http.StatusNotFound, err.Error())
	case err != nil:
		answerError(w, http.StatusConflict, err.Error())
	default:
		answer(w, status, it)
	}
}

func (p *Page) create(w http.ResponseWriter, r *http.Request) {
	s, ok := p.side(w, r)
	var in New
	if !ok || !p.read(w, r, &in) {
		return
	}
	if strings.TrimSpace(in.Title) == "" {
		answerError(w, http.StatusBadRequest, "a title is needed")
		return
	}
	id, err := s.Create(r.Context(), in)
	p.show(w, http.StatusCreated, s, id, err)
}

func (p *Page) state(w http.ResponseWriter, r *http.Request) {
	s, id, ok := p.target(w, r)
	var in struct {
		By    string `json:"by"`
		State string `json:"state"`
	}
	if ok && p.read(w, r, &in) {
		p.show(w, http.StatusOK, s, id, s.SetState(r.Context(), in.By, id, in.State))
	}
}

func (p *Page) message(w http.ResponseWriter, r *http.Request) {
	s, id, ok := p.target(w, r)
	var in Message
	if !ok || !p.read(w, r, &in) {
		return
	}
	if strings.TrimSpace(in.Text+in.HTML) == "" && len(in.Files) == 0 {
		answerError(w, http.StatusBadRequest, "a text or a file is needed")
		return
	}
	p.show(w, http.StatusCreated, s, id, s.AddMessage(r.Context(), id, in))
}

func (p *Page) act(w http.ResponseWriter, r *http.Request) {
	s, id, ok := p.target(w, r)
	var in struct {
		By string `json:"by"`
	}
	if ok && p.read(w, r, &in) {
		p.show(w, http.StatusOK, s, id, s.Act(r.Context(), in.By, id, r.PathValue("action")))
	}
}

// attachment serves a file so that it can do no harm on this origin: only plain pictures are shown, the rest is saved.
func (p *Page) attachment(w http.ResponseWriter, r *http.Request) {
	s, ok := p.side(w, r)
	if !ok {
		return
	}
	f, err := s.Attachment(r.PathValue("id"))
	if err != nil {
		answerError(w, http.StatusNotFound, err.Error())
		return
	}
	disposition, contentType := "attachment", "application/octet-stream"
	switch f.ContentType {
	case "image/png", "image/jpeg", "image/gif", "image/webp":
		disposition, contentType = "inline", f.ContentType
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Disposition", mime.FormatMediaType(disposition, map[string]string{"filename": f.Name}))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.Content))
}

func (p *Page) read(w http.ResponseWriter, r *http.Request, into any) bool {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, p.maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		answerError(w, http.StatusBadRequest, "reading request: "+err.Error())
		return false
	}
	return true
}

func answer(w http.ResponseWriter, status int, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "encoding answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}

func answerError(w http.ResponseWriter, status int, text string) {
	answer(w, status, map[string]string{"error": text})
}
