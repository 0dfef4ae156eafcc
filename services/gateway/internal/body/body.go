// Package body reads the bodies of requests that may come from anybody.
//
// Its one invariant: what it holds is bounded, however many senders there are and however
// slowly they send. A body takes memory only as it arrives; short ones are few bytes each,
// and all longer ones together share a room that is never exceeded.
package body

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"golang.org/x/sync/semaphore"
)

const (
	// small is what a body begins with: a notice of Alvao, or the first piece of what a slow
	// sender sends.
	small = 2 << 10
	// usual is what nearly all bodies fit into; an event of Azure DevOps is about 5 KB.
	usual = 16 << 10
	// atOnce is how many of the largest bodies the room has place for.
	atOnce = 4
)

// Errors of Read. Any other one means that the body did not arrive whole.
var (
	// ErrTooLarge: the body is larger than allowed.
	ErrTooLarge = errors.New("body is larger than allowed")
	// ErrNoRoom: too many large bodies are held right now.
	ErrNoRoom = errors.New("no room for a body")
)

// Reader reads bodies. It is safe for many goroutines.
type Reader struct {
	most         int64
	room         *semaphore.Weighted
	small, usual sync.Pool
}

// New makes a Reader of bodies of most bytes.
func New(most int64) *Reader {
	return &Reader{
		most: most, room: semaphore.NewWeighted(atOnce * (most + usual)),
		small: sync.Pool{New: func() any { return &Body{buf: make([]byte, 0, small)} }},
		usual: sync.Pool{New: func() any { return &Body{buf: make([]byte, 0, usual)} }},
	}
}

// Body is what was read. It must be released.
type Body struct {
	buf   []byte
	from  *Reader
	taken int64
}

// Bytes are the body's own until it is released.
func (b *Body) Bytes() []byte { return b.buf }

// Release gives back what the body holds.
func (b *Body) Release() {
	from := b.from
	b.from = nil
	switch cap(b.buf) {
	case small:
		from.small.Put(b)
	case usual:
		from.usual.Put(b)
	default:
		from.room.Release(b.taken)
	}
}

// Read reads the body of r. Where it fails nothing needs to be released.
func (r *Reader) Read(w http.ResponseWriter, req *http.Request) (*Body, error) {
	content := http.MaxBytesReader(w, req.Body, r.most)
	b := r.begin(&r.small)
	for {
		if len(b.buf) == cap(b.buf) {
			larger, err := r.grow(b)
			if err != nil {
				b.Release()
				return nil, err
			}
			b = larger
		}
		n, err := content.Read(b.buf[len(b.buf):cap(b.buf)])
		b.buf = b.buf[:len(b.buf)+n]
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) {
			return b, nil
		}
		b.Release()
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return nil, ErrTooLarge
		}
		return nil, fmt.Errorf("reading body: %w", err)
	}
}

func (r *Reader) begin(pool *sync.Pool) *Body {
	b, ok := pool.Get().(*Body)
	if !ok {
		b = &Body{buf: make([]byte, 0, small)}
	}
	b.buf, b.from, b.taken = b.buf[:0], r, 0
	return b
}

// grow moves a body that is full into more memory.
func (r *Reader) grow(b *Body) (*Body, error) {
	if cap(b.buf) == small {
		larger := r.begin(&r.usual)
		larger.buf = append(larger.buf, b.buf...)
		b.Release()
		return larger, nil
	}
	// A byte more than allowed is read before the body is known to be too large.
	size := min(2*int64(cap(b.buf)), r.most+1)
	if size <= int64(cap(b.buf)) {
		size = int64(cap(b.buf)) + 1
	}
	if !r.room.TryAcquire(size) {
		return nil, ErrNoRoom
	}
	larger := &Body{buf: make([]byte, len(b.buf), size), from: r, taken: size}
	copy(larger.buf, b.buf)
	b.Release()
	return larger, nil
}
