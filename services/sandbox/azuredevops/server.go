package azuredevops

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/tape"
)

// maxJSON bounds the JSON bodies that are read.
const maxJSON = 32 << 20

// Server is one organisation. It is an http.Handler for the paths below BaseURL. All methods may be called from
// several goroutines.
type Server struct {
	opts         Options
	routes       []route
	handler      http.Handler
	collectionID string
	tenantID     string
	started      time.Time

	// mu guards everything below it. It is never held while something is written to a caller.
	mu       sync.RWMutex
	base     string
	fields   *catalogue
	users    []*User
	tokens   map[tokenKey]*Token
	projects []*project
	items    map[int]*item
	order    []*item // by id
	journal  []journalEntry
	tags     map[string][]*item // lower-case tag to the items that bear it
	lastItem, lastComment,
	lastRelation, watermark int
	indexLag time.Duration
	ledger   ledger
	watchers watchers

	blobs    *blobStore
	hooks    *hookEngine
	throttle *throttle

	callsMu sync.Mutex
	calls   map[string]int
}

// New makes an organisation. Call [Server.Close] to end its deliveries and remove its temporary files.
func New(opts Options) *Server {
	opts = opts.withDefaults()
	s := &Server{
		opts: opts, base: strings.TrimRight(opts.BaseURL, "/"), started: toMillis(opts.Now()),
		collectionID: derivedID("collection", opts.Organization), tenantID: derivedID("tenant", opts.Organization),
		fields: newCatalogue(opts.Fields), tokens: map[tokenKey]*Token{}, items: map[int]*item{}, tags: map[string][]*item{},
		lastItem: opts.FirstID - 1, lastComment: 1000, lastRelation: 100_000, watermark: 1, indexLag: opts.IndexLag,
		blobs: newBlobStore(opts.Limits), throttle: newThrottle(opts.Throttle), calls: map[string]int{},
	}
	for _, u := range opts.Users {
		s.users = append(s.users, complete(u))
	}
	for _, t := range opts.Tokens {
		s.AddToken(t)
	}
	for _, p := range opts.Projects {
		s.projects = append(s.projects, newProject(opts.Organization, p, s.started))
	}
	s.routes = s.table()
	s.handler = tape.Open().Handler(tape.Server, http.HandlerFunc(s.handle))
	s.hooks = newHookEngine(s)
	return s
}

// Close stops the deliveries, waits for the ones under way, and removes temporary files. The handler must not be
// called any more.
func (s *Server) Close() error {
	s.hooks.close()
	s.mu.Lock()
	s.watchers.close()
	s.mu.Unlock()
	return s.blobs.close()
}

// SetBaseURL tells the absolute URL the handler is mounted at, for when it is known only after listening.
func (s *Server) SetBaseURL(base string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base = strings.TrimRight(base, "/")
}

// URL is the organisation's absolute URL, without a slash at its end.
func (s *Server) URL() string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.here().root
}

// SetIndexLag changes how long new work items stay invisible to WIQL. It does not affect those that exist.
func (s *Server) SetIndexLag(lag time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.indexLag = lag
}

// CallCounts tells how often each route was called, keyed like "GET wit/workitems/{n}", whatever the outcome.
func (s *Server) CallCounts() map[string]int {
	s.callsMu.Lock()
	defer s.callsMu.Unlock()
	return maps.Clone(s.calls)
}

// ResetCallCounts sets all counts of [Server.CallCounts] to zero.
func (s *Server) ResetCallCounts() {
	s.callsMu.Lock()
	defer s.callsMu.Unlock()
	clear(s.calls)
}

// place is where URLs in answers begin.
type place struct {
	root  string // base URL and organisation
	scope string // the same with a project's GUID
}

// here is the place outside of any project. Call it with mu held.
func (s *Server) here() place {
	root := s.base + "/" + url.PathEscape(s.opts.Organization)
	return place{root: root, scope: root}
}

// at is the place within a project.
func (p place) at(pr *project) place {
	p.scope = p.root + "/" + pr.id
	return p
}

// call is one request on its way.
type call struct {
	w       http.ResponseWriter
	r       *http.Request
	values  url.Values
	token   *Token
	user    *User
	project *project // nil if the path names none
	args    []string // what the route's placeholders stand for
	version string
}

func (c *call) query(name string) string {
	if v := c.values.Get(name); v != "" {
		return v
	}
	for k, v := range c.values { // names are matched without regard to case
		if strings.EqualFold(k, name) && len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

func (c *call) flag(name string) bool { return strings.EqualFold(c.query(name), "true") }

// decode reads a JSON body.
func (c *call) decode(into any) error {
	dec := json.NewDecoder(http.MaxBytesReader(c.w, c.r.Body, maxJSON))
	if err := dec.Decode(into); err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return &Error{Status: http.StatusRequestEntityTooLarge, TypeKey: "RequestTooLargeException", Message: "The request is too large."}
		}
		return &malformed{"The request body could not be read: " + err.Error()}
	}
	return nil
}

// answer is what a handler gives back, to be written when no lock is held.
type answer struct {
	status int
	header http.Header
	body   []byte
	stream io.ReadCloser
}

// marshal writes JSON without escaping <, > and &, as the service does.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimRight(buf.Bytes(), "\n"), nil
}

func reply(status int, v any) (answer, error) {
	body, err := marshal(v)
	return answer{status: status, body: body}, err
}

func ok(v any) (answer, error) { return reply(http.StatusOK, v) }

// collection is the service's wrapper of lists.
type collection[T any] struct {
	Count int `json:"count"`
	Value []T `json:"value"`
}

func list[T any](v []T) (answer, error) {
	if v == nil {
		v = []T{}
	}
	return ok(collection[T]{len(v), v})
}

// ServeHTTP answers one request below BaseURL: /{organization}[/{project}[/{team}]]/_apis/….
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("ActivityId", uuid.NewString())
	h.Set("X-TFS-ProcessId", s.collectionID)
	h.Set("X-TFS-Session", orElse(r.Header.Get("X-TFS-Session"), s.tenantID))
	h.Set("Cache-Control", "no-cache, no-store, must-revalidate")
	s.learnBase(r)

	// The service takes a bare semicolon in a value, as its own continuation tokens have; Go's parser does not.
	r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, ";", "%3B")
	c := &call{w: w, r: r, values: r.URL.Query()}
	a, err := s.serve(c)
	if err == nil {
		s.write(c, a)
		return
	}
	s.writeError(c, err)
}

// learnBase takes the base URL from the first request if none was given.
func (s *Server) learnBase(r *http.Request) {
	s.mu.RLock()
	known := s.base != ""
	s.mu.RUnlock()
	if known {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base = orElse(s.base, "http://"+r.Host)
}

func (s *Server) serve(c *call) (answer, error) {
	if err := s.authenticate(c); err != nil {
		return answer{}, err
	}
	c.w.Header().Set("X-VSS-UserData", c.user.ID+":"+c.user.UniqueName)
	where, err := s.locate(c)
	if err != nil {
		return answer{}, err
	}
	s.callsMu.Lock()
	s.calls[where.method+" "+where.pattern]++
	s.callsMu.Unlock()
	if err := s.throttle.take(c, s.opts.Now, where.costs); err != nil {
		return answer{}, err
	}
	if c.token.Rights&where.right != where.right {
		if where.right == ManageHooks {
			return answer{}, errForbidden(c.user, "Edit Subscriptions")
		}
		return answer{}, errUnauthorized(c.user)
	}
	if err := c.checkVersion(where); err != nil {
		return answer{}, err
	}
	return where.serve(c)
}

func (s *Server) write(c *call, a answer) {
	maps.Copy(c.w.Header(), a.header)
	if a.stream != nil {
		defer func() { _ = a.stream.Close() }()
		c.w.WriteHeader(a.status)
		_, _ = io.Copy(c.w, a.stream)
		return
	}
	if a.body != nil {
		kind := "application/json; charset=utf-8"
		if c.version != "" {
			kind += "; api-version=" + c.version
		}
		c.w.Header().Set("Content-Type", kind)
	}
	c.w.WriteHeader(orElse(a.status, http.StatusOK))
	_, _ = c.w.Write(a.body)
}

func (s *Server) writeError(c *call, err error) {
	var (
		known  *Error
		bad    *malformed
		nobody *noControllerError
		sign   *signInError
	)
	h := c.w.Header()
	switch {
	case errors.As(err, &sign):
		sign.write(c)
	case errors.As(err, &known):
		h.Set("X-TFS-ServiceError", url.PathEscape(known.Message))
		s.writeJSON(c, known.Status, known.body())
	case errors.As(err, &nobody):
		h.Set("X-TFS-ServiceError", url.PathEscape(nobody.Error()))
		h.Set("Content-Type", "text/plain; charset=utf-8")
		c.w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(c.w, nobody.Error())
	case errors.As(err, &bad):
		s.writeJSON(c, http.StatusBadRequest, map[string]any{"count": 1, "value": map[string]string{"Message": bad.Error()}})
	default:
		s.writeJSON(c, http.StatusInternalServerError, (&Error{TypeKey: "Exception", Message: err.Error()}).body())
	}
}

func (s *Server) writeJSON(c *call, status int, v any) {
	body, err := marshal(v)
	if err != nil {
		c.w.WriteHeader(http.StatusInternalServerError)
		return
	}
	c.w.Header().Set("Content-Type", "application/json; charset=utf-8")
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body)
}

// signInError is the refusal of unknown credentials.
type signInError struct{ page bool }

// Error says that the caller is not known.
func (*signInError) Error() string { return "the caller is not signed in" }

func (e *signInError) write(c *call) {
	if e.page {
		fault.WriteSignInPage(c.w)
		return
	}
	c.w.Header().Set("WWW-Authenticate", `Basic realm="`+c.r.Host+`/"`)
	c.w.WriteHeader(http.StatusUnauthorized)
}
