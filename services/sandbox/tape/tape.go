// Package tape keeps what passes over HTTP between clients and the stand-ins, so that after a whole test run every
// exchange can be held against the vendors' documents.
//
// The invariant: nothing is written unless the environment names a folder, and what is written holds no credential: of
// headers only those in [Exchange].
//
// Exchanges of one shape are kept once, whichever process saw them: a shape is the call, the keys and types of both
// bodies, and the status. Each is a file of its own, named by its shape.
package tape

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Variable is the environment variable that names the folder; unset: nothing is kept.
const Variable = "TANDEM_TAPE"

// maxBody is how much of a body is kept; a longer one is left out.
const maxBody = 1 << 20

// smallBody is how long a request may be to be read for the tape's sake alone.
const smallBody = 1 << 16

// Sides that keep exchanges.
const (
	// Client is the one that sends requests.
	Client = "client"
	// Server is the stand-in.
	Server = "server"
	// Fault is a planted fault, which answers in the stand-in's place.
	Fault = "fault"
)

// Exchange is one request and its answer.
type Exchange struct {
	// By is the side that kept it.
	By string `json:"by"`
	// Test is the program that ran, such as "reconcile.test".
	Test string `json:"test"`

	Method string `json:"method"`
	// Host is empty for what a stand-in kept, whose path begins with the organisation.
	Host string `json:"host,omitempty"`
	// Path is escaped, Query as it was sent.
	Path  string `json:"path"`
	Query string `json:"query"`
	// Scheme is the kind of credential that was sent: "Basic", "Bearer" or empty.
	Scheme  string            `json:"scheme"`
	Header  map[string]string `json:"header"`
	Request Body              `json:"request"`

	// Status is 0 where no answer came.
	Status int               `json:"status"`
	Answer map[string]string `json:"answer"`
	Reply  Body              `json:"reply"`
}

// Body is what was sent one way.
type Body struct {
	// Size is in bytes, as far as it was read.
	Size int64 `json:"size"`
	// Text is empty for what is no text.
	Text string `json:"text,omitempty"`
	// Cut tells that the body was not read to its end, or is too long to be kept.
	Cut bool `json:"cut,omitempty"`
}

// requestHeaders are those of a request that are kept, answerHeaders those of an answer.
func requestHeaders() []string {
	return []string{"Accept", "Content-Type", "Content-Range", "User-Agent", "X-Tfs-Fedauthredirect"}
}

func answerHeaders() []string {
	return []string{"Content-Type", "Activityid", "X-Tfs-Serviceerror", "Www-Authenticate", "Retry-After", "Location"}
}

// Tape keeps exchanges in a folder. A nil Tape keeps nothing. Safe for use by many goroutines.
type Tape struct {
	dir  string
	mu   sync.Mutex
	seen map[string]bool
}

// Open gives the tape that the environment asks for, or nil.
func Open() *Tape {
	if dir := os.Getenv(Variable); dir != "" {
		return In(dir)
	}
	return nil
}

// In gives a tape that keeps exchanges in a folder.
func In(dir string) *Tape { return &Tape{dir: dir, seen: map[string]bool{}} }

// Handler keeps what next is asked and answers. by is [Server] or [Fault].
func (t *Tape) Handler(by string, next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, sent := begin(by, r)
		if r.Body != nil && r.Body != http.NoBody {
			r = r.Clone(r.Context())
			r.Body = sent.over(r.Body)
		}
		got := &writer{ResponseWriter: w}
		defer func() { // a fault may break the connection by a panic
			if r.ContentLength > 0 && r.ContentLength <= smallBody {
				_, _ = io.Copy(io.Discard, r.Body) // who refuses a request may not have read it
			}
			if sent.isBroken() {
				return // its sender was killed, or gave up: that is nobody's request
			}
			x.Request = sent.body(x.Header["Content-Type"], r.ContentLength)
			x.Status, x.Answer = got.status, pick(w.Header(), answerHeaders())
			x.Reply = got.kept.body(x.Answer["Content-Type"], -1)
			t.keep(x)
		}()
		next.ServeHTTP(got, r)
	})
}

// Transport keeps what is sent through next.
func (t *Tape) Transport(next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	return transport{t, next}
}

type transport struct {
	tape *Tape
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper. The answer's body is left alone: what a stand-in answers it keeps itself.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	x, sent := begin(Client, r)
	x.Host = r.URL.Host
	if r.Body != nil && r.Body != http.NoBody {
		body := sent.over(r.Body)
		r = r.Clone(r.Context())
		if r.ContentLength <= smallBody { // a fake may answer without reading it
			data, err := io.ReadAll(body)
			if err = errors.Join(err, body.Close()); err != nil {
				return nil, err
			}
			body = io.NopCloser(bytes.NewReader(data))
		}
		r.Body = body
	}
	resp, err := t.next.RoundTrip(r)
	x.Request = sent.body(x.Header["Content-Type"], r.ContentLength)
	if resp != nil {
		x.Status, x.Answer = resp.StatusCode, pick(resp.Header, answerHeaders())
		x.Reply.Cut = true
	}
	t.tape.keep(x)
	return resp, err
}

func begin(by string, r *http.Request) (Exchange, *copied) {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return Exchange{
		By: by, Test: filepath.Base(os.Args[0]), Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery,
		Scheme: scheme, Header: pick(r.Header, requestHeaders()),
	}, &copied{}
}

func pick(h http.Header, names []string) map[string]string {
	out := map[string]string{}
	for _, name := range names {
		if v := h.Get(name); v != "" {
			out[name] = v
		}
	}
	return out
}

// copied is what passed of a body. A transport may still read while the answer is there.
type copied struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	size int64
	end  bool
	// broken tells that the body could not be read to its end.
	broken bool
}

func (c *copied) isBroken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken
}

func (c *copied) take(p []byte, end bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.size += int64(len(p))
	c.end = c.end || end
	if room := maxBody + 1 - c.buf.Len(); room > 0 {
		c.buf.Write(p[:min(room, len(p))])
	}
}

// body is what is kept. length is how much was announced; -1: not told, and it ended where nothing more came.
func (c *copied) body(contentType string, length int64) Body {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := Body{Size: c.size}
	// Decoders stop at the end of a value, so a body may be whole without its end having been read.
	b.Cut = c.size > maxBody || length > 0 && c.size < length && !c.end
	media, _, err := mime.ParseMediaType(contentType)
	if err == nil && !b.Cut && (strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "json")) {
		b.Text = c.buf.String()
	}
	return b
}

func (c *copied) over(body io.ReadCloser) io.ReadCloser { return &reader{body, c} }

type reader struct {
	io.ReadCloser

	to *copied
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	r.to.take(p[:n], errors.Is(err, io.EOF))
	if errors.Is(err, io.ErrUnexpectedEOF) {
		r.to.mu.Lock()
		r.to.broken = true
		r.to.mu.Unlock()
	}
	return n, err
}

type writer struct {
	http.ResponseWriter

	status int
	kept   copied
}

// WriteHeader implements http.ResponseWriter.
func (w *writer) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements io.Writer.
func (w *writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	w.kept.take(p, false)
	return w.ResponseWriter.Write(p)
}

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// keep writes x unless one of its shape is there. A tape that can't be written must not let a run pass for checked, so
// it panics.
func (t *Tape) keep(x Exchange) {
	sum := sha256.Sum256([]byte(shapeOf(x)))
	name := hex.EncodeToString(sum[:16]) + ".json"
	t.mu.Lock()
	known := t.seen[name]
	t.seen[name] = true
	t.mu.Unlock()
	if known {
		return
	}
	data, err := json.Marshal(x)
	if err == nil {
		err = t.write(name, data)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		panic(fmt.Sprintf("keeping an exchange: %v", err))
	}
}

// write makes the file whole or not at all.
func (t *Tape) write(name string, data []byte) error {
	file := filepath.Join(t.dir, name)
	if _, err := os.Stat(file); err == nil {
		return fs.ErrExist
	}
	if err := os.MkdirAll(t.dir, 0o750); err != nil {
		return err
	}
	part, err := os.CreateTemp(t.dir, "*.part")
	if err != nil {
		return err
	}
	_, err = part.Write(data)
	return errors.Join(err, part.Close(), os.Rename(part.Name(), file))
}

// Read gives all exchanges that are kept in a folder, ordered by their shape's name.
func Read(dir string) ([]Exchange, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	all := make([]Exchange, 0, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var x Exchange
		if err := json.Unmarshal(data, &x); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		all = append(all, x)
	}
	return all, nil
}
