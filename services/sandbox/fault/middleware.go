package fault

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox/tape"
)

// maxHeld is how much of an answer is held back to cut or delay it. A longer answer is cut there.
const maxHeld = 1 << 20

// signInPage stands for the page Azure DevOps sends with 203 to a caller it doesn't know. The real one is about 16 KB;
// only its status, type and being HTML are relied on (modelled, azure-devops.md §2.10).
const signInPage = `<!DOCTYPE html>
<html lang="en-US"><head><title>Azure DevOps Services | Sign In</title></head>
<body><form action="/_signin" method="post"><p>Sign in to continue.</p></form></body></html>
`

// WriteSignInPage answers 203 with the sign-in page, for handlers that refuse a caller in that manner by themselves.
func WriteSignInPage(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(http.StatusNonAuthoritativeInfo)
	_, _ = io.WriteString(w, signInPage)
}

// Middleware puts the rules before next. It breaks connections by panicking with [http.ErrAbortHandler], as net/http
// provides, so it must stand inside a net/http server and outside anything that recovers panics.
func (s *Set) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		rule, gone, hit := s.take(req)
		if !hit {
			next.ServeHTTP(w, req)
			return
		}
		if !wait(req, rule.Delay, gone) {
			panic(http.ErrAbortHandler)
		}
		switch rule.Kind {
		case KindThrottle, KindUnavailable, KindStatus, KindSignIn:
			s.tape.Handler(tape.Fault, http.HandlerFunc(rule.answer)).ServeHTTP(w, req)
		case KindLostReply:
			next.ServeHTTP(&held{header: http.Header{}, drop: true}, req)
			wait(req, rule.ReplyDelay, gone)
			panic(http.ErrAbortHandler)
		case KindCut:
			h := &held{header: http.Header{}}
			next.ServeHTTP(h, req)
			wait(req, rule.ReplyDelay, gone)
			rule.cut(w, h)
		case KindPass:
			rule.pass(w, req, next, gone)
		}
	})
}

// pass lets the exchange through, with the rule's headers and delay on the answer.
func (r Rule) pass(w http.ResponseWriter, req *http.Request, next http.Handler, gone <-chan struct{}) {
	if r.RetryAfter > 0 {
		w.Header().Set("Retry-After", wholeSeconds(r.RetryAfter))
	}
	for k, v := range r.Headers {
		w.Header().Set(k, v)
	}
	if r.ReplyDelay <= 0 {
		next.ServeHTTP(w, req)
		return
	}
	h := &held{header: http.Header{}}
	next.ServeHTTP(h, req)
	if !wait(req, r.ReplyDelay, gone) || h.over {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), h.header)
	w.WriteHeader(h.statusOr200())
	_, _ = w.Write(h.body.Bytes())
}

// answer writes the fault's own answer.
func (r Rule) answer(w http.ResponseWriter, _ *http.Request) {
	for k, v := range r.Headers {
		w.Header().Set(k, v)
	}
	status, body, contentType := r.Status, r.Body, r.ContentType
	retryAfter := r.RetryAfter
	switch r.Kind {
	case KindThrottle:
		status = http.StatusTooManyRequests
		if retryAfter == 0 {
			retryAfter = Duration(time.Second)
		}
	case KindUnavailable:
		status = http.StatusServiceUnavailable
	case KindSignIn:
		status = http.StatusNonAuthoritativeInfo
		if body == "" {
			body, contentType = signInPage, "text/html; charset=utf-8"
		}
	case KindStatus, KindPass, KindCut, KindLostReply:
	}
	if retryAfter > 0 {
		w.Header().Set("Retry-After", wholeSeconds(retryAfter))
	}
	if body == "" && status != http.StatusNoContent && status != http.StatusNotModified {
		body = fmt.Sprintf(`{"message":"%s (planted fault)"}`, http.StatusText(status))
	}
	if contentType == "" {
		contentType = "application/json; charset=utf-8"
	}
	if body != "" {
		w.Header().Set("Content-Type", contentType)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// cut announces the whole answer, sends a part and breaks the connection.
func (r Rule) cut(w http.ResponseWriter, h *held) {
	maps.Copy(w.Header(), h.header)
	for k, v := range r.Headers {
		w.Header().Set(k, v)
	}
	whole := h.body.Bytes()
	n := len(whole) / 2
	if r.CutAfter > 0 {
		n = min(r.CutAfter, max(len(whole)-1, 0))
	}
	// One byte more than there is keeps an empty body from looking complete.
	w.Header().Set("Content-Length", strconv.Itoa(max(len(whole), 1)))
	w.WriteHeader(h.statusOr200())
	_, _ = w.Write(whole[:n])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func wholeSeconds(d Duration) string {
	return strconv.FormatInt(int64((time.Duration(d)+time.Second-1)/time.Second), 10)
}

// held is a ResponseWriter that keeps the answer back (or drops it).
type held struct {
	header http.Header
	status int
	body   bytes.Buffer
	drop   bool
	over   bool // the answer was longer than maxHeld
}

func (h *held) Header() http.Header { return h.header }

func (h *held) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

func (h *held) Write(p []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	if h.drop {
		return len(p), nil
	}
	if room := maxHeld - h.body.Len(); len(p) > room {
		h.over = true
		h.body.Write(p[:room])
		return len(p), nil
	}
	return h.body.Write(p)
}

// Flush does nothing: a held answer goes out at once or not at all.
func (h *held) Flush() {}

func (h *held) statusOr200() int {
	if h.status == 0 {
		return http.StatusOK
	}
	return h.status
}
