package inboxtest

import (
	"context"
	"errors"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// received is what a Receive in the background came back with.
type received struct {
	items []inbox.Delivery
	err   error
}

func (r *replica) receiving(ctx context.Context, block time.Duration) <-chan received {
	out := make(chan received, 1)
	go func() {
		items, err := r.Receive(ctx, 10, block)
		out <- received{items, err}
	}()
	return out
}

func (b *bench) waits() {
	b.t.Helper()
	r, other := b.open(inbox.Options{}), b.open(inbox.Options{})
	for n := int64(1); n < 20; n++ {
		waiting := other.receiving(b.ctx(), long)
		e := hint(ticket(n))
		e.Background = n%2 == 0
		r.append(e)
		got := <-waiting
		if got.err != nil || len(got.items) != 1 || got.items[0].Key != e.Key {
			b.t.Fatalf("%+v", got)
		}
		other.done(got.items...)
	}
	b.wantOnlyDedup()
}

func (b *bench) givesUp() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	got, err := r.Receive(b.ctx(), 10, 30*time.Millisecond)
	if len(got) != 0 || err != nil {
		b.t.Errorf("%v %v", got, err)
	}
	r.append(hint(ticket(1)))
	r.retry(r.one(), inbox.RetryOptions{After: long})
	if got, err := r.Receive(b.ctx(), 10, 30*time.Millisecond); len(got) != 0 || err != nil {
		b.t.Errorf("beside a waiting item: %v %v", got, err)
	}
}

func (b *bench) cancelled() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	const tries, soon = 5, 200 * time.Millisecond // a busy machine may be late, but not always
	for try := range tries {
		ctx, cancel := context.WithCancel(b.ctx())
		waiting := r.receiving(ctx, long)
		if got, err := r.Receive(b.ctx(), 1, soon); len(got) != 0 || err != nil {
			b.t.Errorf("%v %v", got, err)
		}
		began := time.Now() //nolint:forbidigo // a test measures
		cancel()
		got := <-waiting
		took := time.Since(began)
		if len(got.items) != 0 || !errors.Is(got.err, context.Canceled) {
			b.t.Errorf("%+v", got)
		}
		if _, err := r.Receive(ctx, 10, 0); !errors.Is(err, context.Canceled) {
			b.t.Errorf("with an ended context: %v", err)
		}
		if took < soon {
			return
		}
		if try == tries-1 {
			b.t.Errorf("it goes on for %s after its context", took)
		}
	}
}

func (b *bench) wakesWhenDue() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(hint(ticket(1)))
	const wait = 100 * time.Millisecond
	r.retry(r.one(), inbox.RetryOptions{After: wait})
	began := time.Now() //nolint:forbidigo // a test measures
	d := r.one()
	if took := time.Since(began); took < wait/2 || took > 10*wait {
		b.t.Errorf("it came after %s, want %s", took, wait)
	}
	if d.Attempt != 0 {
		b.t.Errorf("attempt %d", d.Attempt)
	}
}

func (b *bench) liveFirst() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(background(ticket(1)), background(ticket(2)), hint(ticket(3)), hint(ticket(4)))
	got := r.wantItems(3, ticket(3), ticket(4), ticket(1))
	if got[0].Background || !got[2].Background {
		b.t.Errorf("background: %t %t", got[0].Background, got[2].Background)
	}
	r.wantItems(3, ticket(2))
}

func (b *bench) noStarvation() {
	b.t.Helper()
	const share, rounds = 3, 4
	r := b.open(inbox.Options{LiveShare: share})
	for n := int64(1); n <= 100; n++ {
		r.append(hint(ticket(n)), background(ticket(1000+n)))
	}
	for _, most := range []int{1, 2, 3, 7} {
		var behind int
		total := 0
		for total < rounds*(share+1) {
			for _, d := range r.receive(most) {
				total++
				if d.Background {
					behind++
				}
				r.done(d)
			}
		}
		if want := total / (share + 1); behind < want-1 || behind > want+1 {
			b.t.Errorf("%d at a time: %d of %d are background, want %d", most, behind, total, want)
		}
	}
}

func (b *bench) promotes() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(background(ticket(1)), background(ticket(2)), hint(ticket(3)), hint(ticket(2)), background(ticket(3)))
	r.wantStats(inbox.Stats{QueuedLive: 2, QueuedBackground: 1})
	got := r.wantItems(10, ticket(3), ticket(2), ticket(1))
	if got[1].Count != 2 || got[1].Background {
		b.t.Errorf("promoted: %+v", got[1])
	}
	r.done(got...)
	b.wantOnlyDedup()
}

func (b *bench) whileRunning() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(hint(ticket(1)))
	d := r.one()
	r.append(item.Event{Key: ticket(1), Type: "later", Payload: []byte("p")}, background(ticket(1)))
	r.wantNone()
	r.done(d)
	next := r.one()
	if next.First.Type != "later" || next.Count != 2 || next.ID == d.ID || next.Background || next.Attempt != 0 {
		b.t.Errorf("%+v", next)
	}
	r.append(background(ticket(1)))
	r.done(next)
	last := r.one()
	if !last.Background {
		b.t.Error("only background hints came meanwhile, but it is live")
	}
	r.done(last)
	b.wantOnlyDedup()
}
