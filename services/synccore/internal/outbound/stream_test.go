package outbound_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

func put(content io.Reader, length int64) outbound.Request {
	return outbound.Request{Method: http.MethodPut, URL: "http://home/x", ContentType: "application/octet-stream", Content: content, Length: length}
}

func TestExactly(t *testing.T) {
	t.Parallel()
	reset := errors.New("reset")
	for name, tc := range map[string]struct {
		content io.Reader
		size    int64
		want    string
		fails   bool
	}{
		"fits":              {strings.NewReader("abc"), 3, "abc", false},
		"byte by byte":      {iotest.OneByteReader(strings.NewReader("abc")), 3, "abc", false},
		"end with the data": {iotest.DataErrReader(strings.NewReader("abc")), 3, "abc", false},
		"empty":             {strings.NewReader(""), 0, "", false},
		"short":             {strings.NewReader("ab"), 3, "ab", true},
		"long":              {strings.NewReader("abcd"), 3, "abc", true},
		"fails":             {io.MultiReader(strings.NewReader("a"), iotest.ErrReader(reset)), 3, "a", true},
		"fails at its end":  {io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(reset)), 3, "abc", true},
		"as if it ended":    {io.MultiReader(strings.NewReader("a"), iotest.ErrReader(io.ErrUnexpectedEOF)), 3, "a", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := outbound.Exactly(tc.content, tc.size)
			got, err := io.ReadAll(r)
			if string(got) != tc.want || errors.Is(err, outbound.ErrContent) != tc.fails || (err == nil) == tc.fails {
				t.Errorf("got %q, %v", got, err)
			}
			if n, again := r.Read(make([]byte, 1)); n != 0 || again == nil || (tc.fails && !errors.Is(again, err)) {
				t.Errorf("reading on gives %d, %v", n, again)
			}
		})
	}
}

// TestContentIsSentOnce: content can't be read twice, so the request is not repeated,
// whatever happens to it.
func TestContentIsSentOnce(t *testing.T) {
	t.Parallel()
	tries := 0
	client := chain(replies(func(r *http.Request) (*http.Response, error) {
		tries++
		data, err := io.ReadAll(r.Body)
		if string(data) != "content" || err != nil || r.ContentLength != 7 || r.Header.Get("X-Part") != "1" || r.Header.Get("Expect") != "" {
			t.Errorf("sent %q of %d, %v, %v", data, r.ContentLength, r.Header, err)
		}
		return reply(http.StatusServiceUnavailable, nil, "busy"), nil
	}), outbound.PaceOptions{})
	q := put(strings.NewReader("content"), 7)
	q.Header, q.Reads = http.Header{"X-Part": {"1"}}, true
	if answer, err := client.Do(t.Context(), q); err != nil || answer.Status != http.StatusServiceUnavailable || tries != 1 {
		t.Errorf("got %+v, %v after %d tries", answer, err, tries)
	}
}

// TestLateRead: a transport that goes on reading after its answer gets no more.
func TestLateRead(t *testing.T) {
	t.Parallel()
	var body io.Reader
	client := chain(replies(func(r *http.Request) (*http.Response, error) {
		body = r.Body
		return reply(http.StatusRequestEntityTooLarge, nil, ""), nil
	}), outbound.PaceOptions{})
	content := bytes.NewReader(make([]byte, 100))
	if _, err := client.Do(t.Context(), put(content, 100)); err != nil {
		t.Error(err)
	}
	if n, err := body.Read(make([]byte, 10)); n != 0 || err == nil || content.Len() != 100 {
		t.Errorf("read %d, %v; %d are left", n, err, content.Len())
	}
}

// TestBadContent: what is wrong with the content is told, even if the transport calls
// it otherwise or got an answer.
func TestBadContent(t *testing.T) {
	t.Parallel()
	read := func(size int64) func(*http.Request) {
		return func(r *http.Request) { _, _ = io.CopyN(io.Discard, r.Body, size) }
	}
	for name, tc := range map[string]struct {
		content string
		read    func(*http.Request)
		then    error
	}{
		"short, transport gives up": {"abc", read(99), errors.New("http: length")}, "short, answered": {"abc", read(99), nil},
		"long, transport gives up": {"abcdef", read(99), errors.New("http: length")}, "long, answered at the last byte": {"abcdef", read(5), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			closed := false
			client := chain(replies(func(r *http.Request) (*http.Response, error) {
				tc.read(r)
				if tc.then != nil {
					return nil, tc.then
				}
				answer := reply(http.StatusOK, nil, "")
				answer.Body = closing{answer.Body, &closed}
				return answer, nil
			}), outbound.PaceOptions{})
			_, err := client.Do(t.Context(), put(strings.NewReader(tc.content), 5))
			if !errors.Is(err, outbound.ErrContent) || closed != (tc.then == nil) {
				t.Errorf("got %v, closed %v", err, closed)
			}
		})
	}
}

type closing struct {
	io.ReadCloser
	closed *bool
}

func (c closing) Close() error { *c.closed = true; return c.ReadCloser.Close() }

// TestOpenFreesItsPlace: who reads a file here and writes it to the other system must
// not hold what others wait for who do the same the other way round.
func TestOpenFreesItsPlace(t *testing.T) {
	t.Parallel()
	client := chain(replies(func(*http.Request) (*http.Response, error) {
		return reply(http.StatusOK, nil, "file"), nil
	}), outbound.PaceOptions{Concurrent: 1})
	var open []outbound.Stream
	for range 5 {
		s, err := client.Open(t.Context(), outbound.Request{Method: http.MethodGet, URL: "http://home/x"})
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, s)
	}
	for _, s := range open {
		if data, err := io.ReadAll(s.Content); string(data) != "file" || err != nil {
			t.Errorf("got %q, %v", data, err)
		}
		if err := s.Content.Close(); err != nil {
			t.Error(err)
		}
	}
}

// body answers each read after a while of waiting.
type body struct {
	ctx   context.Context
	waits []time.Duration
}

func (b *body) Read(p []byte) (int, error) {
	if len(b.waits) == 0 {
		return 0, io.EOF
	}
	timer := time.NewTimer(b.waits[0])
	defer timer.Stop()
	b.waits = b.waits[1:]
	select {
	case <-timer.C:
		return copy(p, "x"), nil
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
}

func (b *body) Close() error { return nil }

// TestStreamIsTimedByWaits: a stream may last as long as it moves; only the other
// side's silence ends it, and never the slowness of the one who reads or feeds it.
func TestStreamIsTimedByWaits(t *testing.T) {
	t.Parallel()
	read := func(t *testing.T, pause time.Duration, waits ...time.Duration) (int, error) {
		t.Helper()
		client := chain(replies(func(r *http.Request) (*http.Response, error) {
			answer := reply(http.StatusOK, nil, "")
			answer.Body = &body{ctx: r.Context(), waits: waits}
			return answer, nil
		}), outbound.PaceOptions{})
		s, err := client.Open(t.Context(), outbound.Request{Method: http.MethodGet, URL: "http://home/x"})
		if err != nil {
			return 0, err
		}
		defer s.Content.Close()
		for n := 0; ; n++ {
			<-time.After(pause)
			if _, err := s.Content.Read(make([]byte, 8)); err != nil {
				return n, err
			}
		}
	}
	feed := func(t *testing.T, answers time.Duration, waits ...time.Duration) error {
		t.Helper()
		client := chain(replies(func(r *http.Request) (*http.Response, error) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return nil, err
			}
			select {
			case <-time.After(answers):
				return reply(http.StatusOK, nil, ""), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}), outbound.PaceOptions{})
		_, err := client.Do(t.Context(), put(&body{ctx: t.Context(), waits: waits}, int64(len(waits))))
		return err
	}
	const slow = 50 * time.Second
	synctest.Test(t, func(t *testing.T) {
		if n, err := read(t, 0, slow, slow, slow); n != 3 || !errors.Is(err, io.EOF) {
			t.Errorf("a slow answer: %d, %v", n, err)
		}
		if n, err := read(t, 10*time.Minute, slow, slow); n != 2 || !errors.Is(err, io.EOF) {
			t.Errorf("a slow reader: %d, %v", n, err)
		}
		if n, err := read(t, 0, slow, 2*time.Minute); n != 1 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an answer that stops: %d, %v", n, err)
		}
		if err := feed(t, slow, time.Hour, time.Hour); err != nil {
			t.Errorf("slow content: %v", err)
		}
		if err := feed(t, 2*time.Minute, slow); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no answer: %v", err)
		}
	})
}

// TestLargeIsAskedFirst: over a real connection, a large body is not sent to who
// refuses it by its head, and a small one is sent at once.
func TestLargeIsAskedFirst(t *testing.T) {
	t.Parallel()
	var read atomic.Int64
	listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("take") {
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil {
				t.Error(err)
			}
			read.Store(n)
			return
		}
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}))
	t.Cleanup(listener.Close)
	transport, err := outbound.Transport("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	client := chain(transport, outbound.PaceOptions{})
	for _, size := range []int64{0, 1000, 4 << 20} {
		content := bytes.NewReader(make([]byte, size))
		q := put(content, size)
		q.URL = listener.URL + "?take"
		if answer, err := client.Do(t.Context(), q); err != nil || answer.Status != http.StatusOK || read.Load() != size {
			t.Errorf("%d bytes: %+v, %v, %d read", size, answer, err, read.Load())
		}
		content = bytes.NewReader(make([]byte, size))
		q = put(content, size)
		q.URL = listener.URL
		answer, err := client.Do(t.Context(), q)
		if err != nil || answer.Status != http.StatusRequestEntityTooLarge {
			t.Errorf("%d bytes refused: %+v, %v", size, answer, err)
		}
		if size > 1<<20 && int64(content.Len()) != size {
			t.Errorf("%d of %d bytes were read in vain", size-int64(content.Len()), size)
		}
	}
}

// TestRest: the text of a refusal is read up to a bound, without its BOM.
func TestRest(t *testing.T) {
	t.Parallel()
	client := chain(replies(func(*http.Request) (*http.Response, error) {
		return reply(http.StatusNotFound, nil, "\ufeff"+strings.Repeat("x", 1<<20)), nil
	}), outbound.PaceOptions{})
	s, err := client.Open(t.Context(), outbound.Request{Method: http.MethodGet, URL: "http://home/x"})
	if err != nil {
		t.Fatal(err)
	}
	if a := s.Rest(); a.Status != http.StatusNotFound || len(a.Body) != 64<<10-3 || a.Body[0] != 'x' {
		t.Errorf("%d bytes of %d", len(a.Body), a.Status)
	}
}

// TestPageFor: a web page in place of a file is known by its type, and where that says
// nothing, or the file should be a picture, by how it begins. The content stays whole.
func TestPageFor(t *testing.T) {
	t.Parallel()
	const page, text, png = "\n<!DOCTYPE html><html><body>Sign in", "plain", "\x89PNG\r\n\x1a\n"
	for name, tc := range map[string]struct {
		media, file, body string
		want              bool
	}{
		"by type":                 {"Text/HTML; charset=utf-8", "a.png", png, true},
		"meant to be one":         {"text/html", "A.HTM", page, false},
		"meant, without type":     {"", "a.html", page, false},
		"a later end":             {"text/html", "a.html.png", png, true},
		"no name":                 {"text/html", "", text, true},
		"without type":            {"", "a.bin", page, true},
		"without type, no page":   {"", "a.bin", text, false},
		"empty":                   {"", "a.bin", "", false},
		"a picture that is none":  {"application/octet-stream", "a.PNG", page, true},
		"a picture":               {"application/octet-stream", "a.png", png, false},
		"a drawing begins alike":  {"application/octet-stream", "a.svg", page, false},
		"a text may begin alike":  {"application/octet-stream", "a.log", page, false},
		"a picture told as a one": {"image/png", "a.png", page, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := chain(replies(func(*http.Request) (*http.Response, error) {
				return reply(http.StatusOK, http.Header{"Content-Type": {tc.media}}, tc.body), nil
			}), outbound.PaceOptions{})
			s, err := client.Open(t.Context(), outbound.Request{Method: http.MethodGet, URL: "http://home/x"})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Content.Close()
			if got := s.PageFor(tc.file); got != tc.want {
				t.Errorf("got %v", got)
			}
			if data, err := io.ReadAll(s.Content); string(data) != tc.body || err != nil {
				t.Errorf("read %q, %v", data, err)
			}
		})
	}
}
