package outbound

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// ErrContent tells that the content of a request could not be read to its told end,
// so the other side got a broken-off request and can't have acted on it.
var ErrContent = errors.New("content can't be read as told")

// askFirst is the size from which the other side is asked before the content is sent
// (Expect: 100-continue, RFC 9110 §10.1.1): who refuses a large body may close the
// connection while it is sent, and the refusal would be lost with it.
const askFirst = 1 << 20

// Stream is an answer whose body has not been read yet. The body must be closed.
type Stream struct {
	Answer
	// Content is the body; Answer.Body is empty.
	Content io.ReadCloser
	// Length is in bytes; -1 if not told.
	Length int64
}

// Open sends the request and returns with the head of the answer. Content is read as
// fast as the caller does; only waiting for the other side counts against the time
// limit, and the call's place in the gate is free from then on, so that whoever reads
// here and writes to the other system can't wait for itself.
func (c *Client) Open(ctx context.Context, q Request) (Stream, error) {
	resp, err := c.send(streamed(ctx), q) //nolint:bodyclose // handed on as Content
	if err != nil {
		return Stream{}, err
	}
	return Stream{
		Answer:  Answer{Status: resp.StatusCode, Header: resp.Header},
		Content: resp.Body, Length: resp.ContentLength,
	}, nil
}

// PageFor tells whether the answer is a web page although a file of that name should
// be none: by its media type, and by how it begins where no type is told or the file
// should be a picture. Other files may well begin like a page.
func (s *Stream) PageFor(name string) bool {
	extension := strings.ToLower(path.Ext(name))
	switch extension {
	case ".html", ".htm", ".xhtml", ".xht", ".mht", ".mhtml", ".shtml":
		return false
	}
	media := s.Media()
	if isPage(media) {
		return true
	}
	picture := strings.HasPrefix(mime.TypeByExtension(extension), "image/") && extension != ".svg"
	if media != "" && !picture {
		return false
	}
	content := bufio.NewReader(s.Content)
	// A failure to read comes again when the content is read.
	head, _ := content.Peek(512)
	s.Content = struct {
		io.Reader
		io.Closer
	}{content, s.Content}
	return strings.HasPrefix(http.DetectContentType(head), "text/html")
}

// Rest reads what is left of the body, at most 64 KiB, and closes it: for a refusal,
// whose text is wanted.
func (s *Stream) Rest() Answer {
	defer s.Content.Close()
	// What could be read of a refusal is all there is to tell.
	data, _ := io.ReadAll(io.LimitReader(s.Content, 64<<10))
	a := s.Answer
	a.Body = trimBOM(data)
	return a
}

// Exactly reads size bytes from content. Content that ends before or goes on behind
// is an ErrContent, and so is content that fails.
func Exactly(content io.Reader, size int64) io.Reader { return exactly(content, size) }

func exactly(content io.Reader, size int64) *exact { return &exact{from: content, left: size} }

type exact struct {
	from io.Reader
	left int64
	err  error
}

// Read implements io.Reader.
func (e *exact) Read(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if e.left <= 0 {
		e.err = e.end()
		return 0, e.err
	}
	n, err := e.from.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	switch {
	case err == nil:
	case !errors.Is(err, io.EOF):
		e.err = fmt.Errorf("%w: %w", ErrContent, err)
	case e.left > 0:
		e.err = fmt.Errorf("%w: it ends %d bytes early", ErrContent, e.left)
	}
	return n, e.err
}

// end looks whether the content really ends where it should.
func (e *exact) end() error {
	var more [1]byte
	switch n, err := io.ReadFull(e.from, more[:]); {
	case n > 0:
		return fmt.Errorf("%w: it is longer than told", ErrContent)
	case errors.Is(err, io.EOF):
		return io.EOF
	default:
		return fmt.Errorf("%w: %w", ErrContent, err)
	}
}

// lent is content that is read only as long as the call lasts: a transport may go on
// reading a body after it has returned the answer.
type lent struct {
	mu   sync.Mutex
	from *exact
	err  error
}

// Read implements io.Reader.
func (l *lent) Read(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.from.Read(p)
	l.err = err
	return n, err
}

// takeBack ends reading and gives what went wrong with the content, if anything did.
func (l *lent) takeBack() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil && l.from.left <= 0 {
		// The answer to all of it may come before the transport looks for more.
		_, l.err = l.from.Read(make([]byte, 1))
	}
	if l.err == nil {
		l.err = http.ErrBodyReadAfterClose
	}
	if errors.Is(l.err, ErrContent) {
		return l.err
	}
	return nil
}

type streamKey struct{}

// streamed marks the requests made with the context as streams.
func streamed(ctx context.Context) context.Context { return context.WithValue(ctx, streamKey{}, true) }

func isStream(ctx context.Context) bool {
	marked, ok := ctx.Value(streamKey{}).(bool)
	return ok && marked
}

// stream sends one try of a streamed request. Its time limit is for each wait on the
// other side, not for the whole, which depends on the size.
func (t *Retry) stream(r *http.Request, leave func(*http.Response)) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	w := &waiting{most: orDefault(t.Timeout, 60*time.Second)}
	w.timer = time.AfterFunc(w.most, func() { cancel(context.DeadlineExceeded) })
	end := func() { w.end(); cancel(nil) }
	out := r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		out.Body = &sending{ReadCloser: r.Body, waiting: w}
	}
	answer, err := t.Next.RoundTrip(out)
	w.answered()
	leave(answer)
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, context.DeadlineExceeded) {
			err = cause
		}
		end()
		return nil, err
	}
	answer.Body = &receiving{ReadCloser: answer.Body, ctx: ctx, waiting: w, done: sync.OnceFunc(end)}
	return answer, nil
}

// waiting is the clock of a stream. It runs only while the other side is waited for.
type waiting struct {
	most  time.Duration
	timer *time.Timer

	mu            sync.Mutex
	headCame, off bool
}

// sends stops the clock while content is fetched, and starts it when that is over.
func (w *waiting) sends(fetching bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.headCame || w.off:
	case fetching:
		w.timer.Stop()
	default:
		w.timer.Reset(w.most)
	}
}

func (w *waiting) answered() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.headCame = true
	w.timer.Stop()
}

func (w *waiting) receives(reading bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
	if reading && !w.off {
		w.timer.Reset(w.most)
	}
}

func (w *waiting) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.off = true
	w.timer.Stop()
}

type sending struct {
	io.ReadCloser

	waiting *waiting
}

// Read implements io.Reader.
func (s *sending) Read(p []byte) (int, error) {
	s.waiting.sends(true)
	defer s.waiting.sends(false)
	return s.ReadCloser.Read(p)
}

type receiving struct {
	io.ReadCloser

	ctx     context.Context //nolint:containedctx // it lives as long as the body does
	waiting *waiting
	done    func()
}

// Read implements io.Reader.
func (b *receiving) Read(p []byte) (int, error) {
	b.waiting.receives(true)
	n, err := b.ReadCloser.Read(p)
	b.waiting.receives(false)
	if err != nil && errors.Is(context.Cause(b.ctx), context.DeadlineExceeded) {
		err = context.DeadlineExceeded
	}
	return n, err
}

// Close implements io.Closer.
func (b *receiving) Close() error {
	err := b.ReadCloser.Close()
	b.done()
	return err
}
