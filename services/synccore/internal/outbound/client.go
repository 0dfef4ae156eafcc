package outbound

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// ErrTooLarge tells that an answer is larger than the cap; nothing of it is used.
var ErrTooLarge = errors.New("answer is larger than allowed")

// DefaultCap is the largest answer that is read where a request sets no other.
const DefaultCap = 32 << 20

// longestWait bounds what a Retry-After can ask for, so that one absurd header
// can't stop a connector for days.
const longestWait = time.Hour

// Client sends requests through a chain of round trippers and reads whole answers.
// It never follows a redirect: neither vendor's API answers one but to a sign-in
// page. Safe for use by many goroutines.
type Client struct {
	http *http.Client
}

// NewClient makes a client over the chain, usually Guard → Retry → transport.
func NewClient(chain http.RoundTripper) *Client {
	return &Client{http: &http.Client{
		Transport:     chain,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Request is what to send.
type Request struct {
	Method, URL string
	// ContentType is the type of Body; empty: no body.
	ContentType string
	Body        []byte
	// Content replaces Body: it is read once, while it is sent, and never again after
	// the call. Such a request is never repeated.
	Content io.Reader
	// Length is Content's, in bytes; it must be right.
	Length int64
	// Header is sent as well; may be nil.
	Header http.Header
	// Reads marks a POST that changes nothing and may be repeated.
	Reads bool
	// Cap is the most that is read of the answer; 0: DefaultCap.
	Cap int64
}

// Answer is what came back, whatever its status.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Do sends the request and reads the answer. An error means that no whole answer
// came: what was sent may or may not have had its effect. ErrContent is the
// exception: the request was broken off.
func (c *Client) Do(ctx context.Context, q Request) (Answer, error) {
	if q.Reads {
		ctx = Replayable(ctx)
	}
	if q.Content != nil {
		ctx = streamed(ctx)
	}
	resp, err := c.send(ctx, q)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	most := q.Cap
	if most <= 0 {
		most = DefaultCap
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return Answer{}, fmt.Errorf("reading answer: %w", err)
	}
	if int64(len(data)) > most {
		return Answer{}, fmt.Errorf("reading answer: %w", ErrTooLarge)
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: trimBOM(data)}, nil
}

// send sends the request; the answer's body must be closed.
func (c *Client) send(ctx context.Context, q Request) (*http.Response, error) {
	var body io.Reader
	var content *lent
	switch {
	case q.Content != nil:
		content = &lent{from: exactly(q.Content, q.Length)}
		body = content
	case q.ContentType != "":
		body = bytes.NewReader(q.Body)
	}
	r, err := http.NewRequestWithContext(ctx, q.Method, q.URL, body)
	if err != nil {
		return nil, fmt.Errorf("building request: %w", err)
	}
	maps.Copy(r.Header, q.Header)
	if q.ContentType != "" {
		r.Header.Set("Content-Type", q.ContentType)
	}
	if content != nil {
		defer func() { _ = content.takeBack() }()
		if r.ContentLength = q.Length; q.Length == 0 {
			// A length of 0 beside a body would mean that it is not known.
			r.Body = http.NoBody
		}
		if q.Length >= askFirst {
			r.Header.Set("Expect", "100-continue")
		}
	}
	resp, err := c.http.Do(r)
	if content != nil {
		if broken := content.takeBack(); broken != nil {
			if err == nil {
				_ = resp.Body.Close()
			}
			err = broken
		}
	}
	if err != nil {
		// url.Error repeats the query, which may name people.
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return nil, fmt.Errorf("calling %s %s: %w", q.Method, r.URL.Path, err)
	}
	return resp, nil
}

func trimBOM(data []byte) []byte { return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")) }

// Media is the answer's media type in lower case, without parameters; empty if not told.
func (a Answer) Media() string {
	media, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return media
}

// LooksHTML tells whether the answer is a web page rather than data: by its type,
// and where that says nothing useful by its first character.
func (a Answer) LooksHTML() bool {
	switch media := a.Media(); {
	case isPage(media):
		return true
	case strings.HasSuffix(media, "json"):
		return false
	default:
		return bytes.HasPrefix(bytes.TrimSpace(a.Body), []byte("<"))
	}
}

func isPage(media string) bool { return media == "text/html" || media == "application/xhtml+xml" }

// Date is the server's clock by the Date header; zero if not told.
func (a Answer) Date() time.Time {
	t, err := http.ParseTime(a.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t
}

// RetryAfter reads the Retry-After header, given in seconds or as a date; 0: none.
// At most one hour.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		if !(seconds > 0) { // also false for NaN
			return 0
		}
		if seconds >= longestWait.Seconds() {
			return longestWait
		}
		return time.Duration(seconds * float64(time.Second))
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(0, at.Sub(now)), longestWait)
}
