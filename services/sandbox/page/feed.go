package page

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// feedLength is how many events are kept for browsers that lag behind; one that lags more reads the board anew.
const feedLength = 2000

// maxBatch bounds the events of one message; the items they are about come with their present state.
const maxBatch = 200

// feed is the recent past, shared by all browsers.
type feed struct {
	mu     sync.Mutex
	seq    int64
	events []Event
	moved  chan struct{} // closed and replaced at every event
}

func newFeed() *feed { return &feed{moved: make(chan struct{})} }

func (f *feed) add(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seq++
	e.Seq = f.seq
	if len(f.events) >= feedLength {
		f.events = append(f.events[:0:0], f.events[feedLength/2:]...)
	}
	f.events = append(f.events, e)
	close(f.moved)
	f.moved = make(chan struct{})
}

func (f *feed) last() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seq
}

// after gives what came after seq, whether something in between is lost, and what to wait on for more.
func (f *feed) after(seq int64) ([]Event, bool, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := int(f.seq - seq)
	if n > len(f.events) {
		return nil, true, f.moved
	}
	events := slices.Clone(f.events[len(f.events)-n:])
	if len(events) > maxBatch {
		events = events[:maxBatch]
	}
	return events, false, f.moved
}

// batch is one `changes` message.
type batch struct {
	Events []Event           `json:"events"`
	Items  map[string][]Item `json:"items"`
}

// events streams what moves. Batches are paced so that a busy system does not flood a browser: an item that moved ten
// times in between comes once.
func (p *Page) events(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	out := http.NewResponseController(w)
	seq := p.feed.last()
	send := func(event string, v any) error {
		raw, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("encoding event: %w", err)
		}
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, raw); err != nil {
			return fmt.Errorf("sending event: %w", err)
		}
		return out.Flush() //nolint:wrapcheck // any error ends the stream alike
	}
	if send("hello", map[string]int64{"seq": seq}) != nil {
		return
	}
	pace := time.NewTicker(p.pace)
	defer pace.Stop()
	alive := time.NewTicker(15 * time.Second)
	defer alive.Stop()
	for {
		events, lost, more := p.feed.after(seq)
		var err error
		switch {
		case lost:
			seq = p.feed.last()
			err = send("reset", map[string]int64{"seq": seq})
		case len(events) > 0:
			seq = events[len(events)-1].Seq
			err = send("changes", p.batch(events))
		}
		if err != nil {
			return
		}
		if len(events) < maxBatch {
			select {
			case <-more:
			case <-alive.C:
				// A comment keeps proxies from closing the stream and notices a browser that is gone.
				if _, err := fmt.Fprint(w, ": alive\n\n"); err != nil || out.Flush() != nil {
					return
				}
			case <-r.Context().Done():
				return
			case <-p.done:
				return
			}
		}
		select {
		case <-pace.C:
		case <-r.Context().Done():
			return
		case <-p.done:
			return
		}
	}
}

// batch adds to events the items they are about, as they are now.
func (p *Page) batch(events []Event) batch {
	b := batch{Events: events, Items: map[string][]Item{}}
	type key struct {
		side string
		id   int
	}
	seen := map[key]bool{}
	for _, e := range events {
		k := key{e.Side, e.ID}
		if e.ID == 0 || seen[k] {
			continue
		}
		seen[k] = true
		if it, err := p.sides[e.Side].Item(e.ID); err == nil {
			b.Items[e.Side] = append(b.Items[e.Side], brief(it))
		} else {
			b.Items[e.Side] = append(b.Items[e.Side], Item{ID: e.ID, Deleted: true})
		}
	}
	return b
}

// briefNotes is how many messages an item carries on the board.
const briefNotes = 6

// brief keeps the latest messages only.
func brief(it Item) Item {
	if n := len(it.Messages) - briefNotes; n > 0 {
		it.MoreNotes += n
		it.Messages = it.Messages[n:]
	}
	return it
}
