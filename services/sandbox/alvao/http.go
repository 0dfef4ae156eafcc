package alvao

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// call is one authenticated REST call.
type call struct {
	s    *Server
	w    http.ResponseWriter
	r    *http.Request
	who  actor
	lang string
}

// routes puts the resources in place. Paths are lower-case here: ASP.NET routes without regard to letter case.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	base := strings.ToLower(s.opts.BasePath)
	handle := func(method, path string, fn func(*call) error) {
		route := method + " " + path
		mux.HandleFunc(method+" "+base+strings.ToLower(path), func(w http.ResponseWriter, r *http.Request) {
			s.serve(w, r, route, fn)
		})
	}
	handle("GET", "/v1/tickets", (*call).listTickets)
	handle("POST", "/v1/tickets", (*call).createTicket)
	handle("GET", "/v1/tickets/{id}", (*call).getTicket)
	handle("PATCH", "/v1/tickets/{id}", (*call).patchTicket)
	handle("PUT", "/v1/tickets/{id}/state", (*call).putState)
	handle("GET", "/v1/tickets/{id}/nextStates", (*call).nextStates)
	handle("PUT", "/v1/tickets/{id}/solver", (*call).putSolver)
	handle("PUT", "/v1/tickets/{id}/service", (*call).putService)
	handle("GET", "/v1/tickets/{id}/log", (*call).listLog)
	handle("POST", "/v1/tickets/{id}/log", (*call).postLog)
	handle("GET", "/v1/attachments/{id}", (*call).getAttachment)
	handle("GET", "/v1/users", (*call).listUsers)
	handle("GET", "/v1/services", (*call).listServices)
	handle("POST", "/webhooks/tickettransitionstostatus", (*call).postStatusWebhook)
	handle("POST", "/webhooks/ticketfieldchanged", (*call).postFieldWebhook)
	handle("DELETE", "/webhooks/{id}", (*call).deleteWebhook)
	handle("GET", "/webhooks/suggestcolumnsforticket", (*call).suggestColumns)
	return mux
}

// ServeHTTP answers under BasePath.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func (s *Server) handle(w http.ResponseWriter, r *http.Request) {
	if lower := strings.ToLower(r.URL.Path); lower != r.URL.Path {
		r = r.Clone(r.Context())
		r.URL.Path, r.URL.RawPath = lower, ""
	}
	if s.opts.MaxQueryString > 0 && len(r.URL.RawQuery) > s.opts.MaxQueryString {
		// IIS request filtering answers 404.15 with its own page before the application is asked (Microsoft: IIS
		// request limits, maxQueryString).
		http.Error(w, "HTTP Error 404.15 - Not Found", http.StatusNotFound)
		return
	}
	s.routed.ServeHTTP(w, r)
}

// statusWriter remembers the status for the count of calls.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (s *Server) serve(w http.ResponseWriter, r *http.Request, route string, fn func(*call) error) {
	sw := &statusWriter{ResponseWriter: w, status: http.StatusOK}
	defer func() {
		s.callsMu.Lock()
		s.calls[route+" "+strconv.Itoa(sw.status)]++
		s.callsMu.Unlock()
	}()
	account := s.authenticate(r)
	if account == nil {
		sw.Header().Set("WWW-Authenticate", `Basic realm="Alvao"`)
		sw.WriteHeader(http.StatusUnauthorized)
		return
	}
	c := &call{s: s, w: sw, r: r, who: actor{person: s.dir.login(account.Login), account: account}, lang: s.language(account)}
	r.Body = http.MaxBytesReader(sw, r.Body, s.opts.MaxBody)
	if err := fn(c); err != nil {
		c.fail(err)
	}
}

// authenticate finds the application account of a request; nil if there is none. Persons can't use the API with a
// password (Alvao documentation: REST API authentication).
func (s *Server) authenticate(r *http.Request) *Account {
	if login, password, ok := r.BasicAuth(); ok {
		a := s.accounts[strings.ToLower(login)]
		if a == nil || a.Password == "" || a.Password != password {
			return nil
		}
		return a
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || s.opts.Bearer == nil {
		return nil
	}
	login, ok := s.opts.Bearer(token)
	if !ok {
		return nil
	}
	return s.accounts[strings.ToLower(login)]
}

// ticketID reads the id of the path; what is no number matches no route at the vendor's, so 404.
func (c *call) ticketID() (int, error) {
	id, err := strconv.ParseInt(c.r.PathValue("id"), 10, 32)
	if err != nil {
		return 0, ErrNotFound
	}
	return int(id), nil
}

// ticket finds the ticket of the path, if the account may see it.
func (c *call) ticket() (*ticket, error) {
	id, err := c.ticketID()
	if err != nil {
		return nil, err
	}
	t := c.s.store.ticket(id)
	if t == nil {
		return nil, ErrNotFound
	}
	if !c.sees(t) {
		return nil, forbid("You do not have permission to read ticket %s.", t.tag())
	}
	return t, nil
}

func (c *call) sees(t *ticket) bool { return c.who.account.role(t.service) >= RoleReader }

// change runs one change of the ticket of the path.
func (c *call) change(fn func(*draft) error) (*draft, error) {
	t, err := c.ticket()
	if err != nil {
		return nil, err
	}
	return c.s.change(c.r.Context(), t.id, c.who, fn)
}

// fail answers with an error.
func (c *call) fail(err error) {
	_, tooLarge := errors.AsType[*http.MaxBytesError](err)
	refusal, isRefusal := errors.AsType[*RefusedError](err)
	switch {
	case isRefusal:
		c.refuse(refusal)
	case errors.Is(err, ErrNotFound):
		c.w.WriteHeader(http.StatusNotFound)
	case tooLarge:
		c.w.WriteHeader(http.StatusRequestEntityTooLarge)
	case errors.Is(err, ErrClosed):
		c.w.WriteHeader(http.StatusServiceUnavailable)
	default:
		c.answer(http.StatusInternalServerError, map[string]any{"message": err.Error()})
	}
}

// refuse answers with one of the three bodies that errors have.
func (c *call) refuse(r *RefusedError) {
	style := r.style
	if forced := c.s.opts.Tenant.Errors; forced != ErrorsMixed {
		style = forced
	}
	switch style {
	case ErrorsOData:
		c.answer(r.Status, map[string]any{"error": map[string]any{"code": strconv.Itoa(r.Status), "message": r.Text}})
	case ErrorsProblem:
		field := r.Field
		if field == "" {
			field = "$"
		}
		c.answer(r.Status, map[string]any{
			"type": "https://tools.ietf.org/html/rfc9110#section-15.5.1", "title": "One or more validation errors occurred.",
			"status": r.Status, "errors": map[string]any{field: []string{r.Text}},
		})
	case ErrorsMessage, ErrorsMixed:
		c.answer(r.Status, map[string]any{"message": r.Text})
	}
}

// largeBody is the size in bytes from which bodies wait for each other.
const largeBody = 1 << 20

// body reads the JSON body. Unlike ASP.NET, which ignores them, unknown properties are refused: a misspelt one would go
// unnoticed for long.
func (c *call) body(into any) error {
	mediaType, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/json" {
		r := refuseField("", "Unsupported Media Type")
		r.Status = http.StatusUnsupportedMediaType
		return r
	}
	if c.r.ContentLength < 0 || c.r.ContentLength > largeBody {
		// A body is held several times over while it is read, so only a few large ones are read at once.
		c.s.large <- struct{}{}
		defer func() { <-c.s.large }()
	}
	d := json.NewDecoder(c.r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return fmt.Errorf("reading body: %w", err)
		}
		return badJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return refuseField("$", "The request body holds more than one JSON value.")
	}
	return nil
}

func badJSON(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return refuseField("$."+wrong.Field, "The JSON value could not be converted to %s.", wrong.Type)
	}
	return refuseField("$", "The request body is not valid: %v.", err)
}

// person finds a person named by id in a body.
func (c *call) person(field string, id *int) (*Person, error) {
	if id == nil || *id == 0 {
		return nil, nil //nolint:nilnil // no person was named
	}
	p := c.s.dir.person(*id)
	if p == nil {
		return nil, refuseField(field, "There is no user with the ID %d.", *id)
	}
	return p, nil
}

// baseURL is scheme, host and port for links.
func (c *call) baseURL() string {
	if base := *c.s.base.Load(); base != "" {
		return base
	}
	scheme := "http"
	if c.r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + c.r.Host
}

func (c *call) api(path string) string { return c.baseURL() + c.s.opts.BasePath + path }

// date writes a time as the tenant does; empty for none.
func (s *Server) date(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case s.opts.Tenant.NoOffsets:
		return t.UTC().Format("2006-01-02T15:04:05.999")
	}
	return t.UTC().Format("2006-01-02T15:04:05.999Z07:00")
}
