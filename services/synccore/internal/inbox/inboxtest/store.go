package inboxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

func (b *bench) once() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.wantNone()
	r.append(item.Event{ID: "1", Key: ticket(1)})
	d := r.one()
	r.wantNone()
	r.done(d)
	r.wantNone()
	b.wantOnlyDedup()
}

func traceparent(n int) string { return fmt.Sprintf("00-%032x-%016x-01", n+1, n+1) }

func (b *bench) comesBack() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	first := item.Event{
		ID: "a/b c", Key: workItem(1 << 40), Type: "workitem.updated", Revision: 1 << 40, Payload: []byte("older"),
		Received: time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC), TraceParent: traceparent(1),
	}
	last := item.Event{
		ID: "ž", Key: workItem(1 << 40), Type: "ž\"\n", Revision: 3, Payload: all,
		Received: first.Received.Add(time.Second), TraceParent: traceparent(2), Background: true,
	}
	r.append(first, item.Event{Key: first.Key, Revision: 2}, last)
	got := r.one()
	if got.ID == "" || got.Token == 0 {
		b.t.Errorf("id %q, token %d", got.ID, got.Token)
	}
	first.Payload = nil // only the newest is kept
	want := inbox.Delivery{
		ID: got.ID, Key: first.Key, First: first, Last: last, Count: 3, MaxRevision: 1 << 40,
		TraceParents: []string{traceparent(1), traceparent(2)}, Token: got.Token,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("(-want +got):\n%s", diff)
	}
	r.append(item.Event{Key: ticket(1), Payload: all}, hint(ticket(1)))
	if next := r.one(); !bytes.Equal(next.Last.Payload, all) {
		b.t.Error("a hint without payload took the payload before it away")
	}
}

func (b *bench) duplicates() {
	b.t.Helper()
	const copies = 200
	r := b.open(inbox.Options{})
	other := b.open(inbox.Options{})
	var stored atomic.Int64
	var all sync.WaitGroup
	for n := range copies {
		all.Go(func() {
			box := []*replica{r, other}[n%2]
			isNew, err := box.Append(b.ctx(), item.Event{ID: "same", Key: ticket(1)})
			if err != nil {
				b.t.Errorf("appending: %v", err)
			}
			if isNew {
				stored.Add(1)
			}
		})
	}
	all.Wait()
	if stored.Load() != 1 {
		b.t.Errorf("%d copies were stored, want 1", stored.Load())
	}
	d := r.one()
	if d.Count != 1 {
		b.t.Errorf("%d hints are served, want 1", d.Count)
	}
	r.done(d)
	if isNew, err := r.Append(b.ctx(), item.Event{ID: "same", Key: ticket(1)}); isNew || err != nil {
		b.t.Errorf("after it was served: stored %t, %v", isNew, err)
	}
	r.wantNone()
	b.wantOnlyDedup()
}

func (b *bench) window() {
	b.t.Helper()
	r := b.open(inbox.Options{DedupWindow: brief})
	r.append(item.Event{ID: "same", Key: ticket(1)})
	ctx, cancel := context.WithTimeout(b.ctx(), long)
	defer cancel()
	ticker := time.NewTicker(brief / 5)
	defer ticker.Stop()
	for {
		isNew, err := r.Append(ctx, item.Event{ID: "same", Key: ticket(1)})
		if err != nil {
			b.t.Fatal(err)
		}
		if isNew {
			return
		}
		<-ticker.C
	}
}

func (b *bench) noID() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(hint(ticket(1)), hint(ticket(1)), hint(ticket(1)))
	if d := r.one(); d.Count != 3 {
		b.t.Errorf("%d hints, want 3", d.Count)
	}
}

func (b *bench) needsItem() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	for _, k := range []item.Key{
		{},
		{Connector: "c", System: item.Alvao},
		{Connector: "c", System: "x", ID: 1},
		{System: item.Alvao, ID: 1},
		{Connector: "a/b", System: item.Alvao, ID: 1},
		{Connector: "c", System: item.Alvao, ID: -1},
	} {
		_, err := r.Append(b.ctx(), hint(k))
		r.wantFault(err, fault.Invalid, fmt.Sprintf("appending for %+v", k))
	}
	r.wantStats(inbox.Stats{})
}

func (b *bench) longPayload() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(item.Event{Key: ticket(1), Payload: make([]byte, inbox.MaxPayload)})
	d := r.one()
	if len(d.Last.Payload) != inbox.MaxPayload {
		b.t.Errorf("%d bytes came back, want %d", len(d.Last.Payload), inbox.MaxPayload)
	}
	r.done(d)
	r.append(item.Event{Key: ticket(1), Payload: make([]byte, inbox.MaxPayload+1)})
	if d := r.one(); d.Last.Payload != nil {
		b.t.Errorf("%d bytes came back, want none", len(d.Last.Payload))
	}
}

// burst: 200 hints of one item, some before and some while it is served.
func (b *bench) burst() {
	b.t.Helper()
	const hints = 200
	r := b.open(inbox.Options{})
	send := func(from, to int64) {
		var all sync.WaitGroup
		for n := from; n < to; n++ {
			all.Go(func() {
				if _, err := r.Append(b.ctx(), item.Event{ID: strconv.FormatInt(n, 10), Key: workItem(1), Revision: n + 1}); err != nil {
					b.t.Errorf("appending: %v", err)
				}
			})
		}
		all.Wait()
	}
	send(0, hints/2)
	first := r.one()
	send(hints/2, hints)
	r.wantNone()
	r.done(first)
	second := r.one()
	r.done(second)
	r.wantNone()
	if first.Count+second.Count != hints || first.MaxRevision != hints/2 || second.MaxRevision != hints {
		b.t.Errorf("served %d hints up to revision %d and %d up to %d",
			first.Count, first.MaxRevision, second.Count, second.MaxRevision)
	}
	b.wantOnlyDedup()
}

func (b *bench) revisions() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	for _, c := range []struct {
		revisions []int64
		want      int64
	}{
		{[]int64{7}, 7},
		{[]int64{7, 9, 8}, 9},
		{[]int64{7, 0, 8}, 0},
		{[]int64{0, 7}, 0},
		{[]int64{0}, 0},
		{[]int64{-3, 5}, 0},
	} {
		for _, revision := range c.revisions {
			r.append(item.Event{Key: workItem(1), Revision: revision})
		}
		d := r.one()
		if d.MaxRevision != c.want {
			b.t.Errorf("hints of revisions %v: got %d, want %d", c.revisions, d.MaxRevision, c.want)
		}
		r.done(d)
	}
}

func (b *bench) traces() {
	b.t.Helper()
	const most = 32
	r := b.open(inbox.Options{})
	r.append(hint(ticket(1)), item.Event{Key: ticket(1), TraceParent: "no traceparent"},
		item.Event{Key: ticket(1), TraceParent: "short"}, item.Event{Key: ticket(1), TraceParent: traceparent(1) + "-more"})
	for n := range most + 10 {
		r.append(item.Event{Key: ticket(1), TraceParent: traceparent(n)})
	}
	var want []string
	for n := range most {
		want = append(want, traceparent(n))
	}
	if diff := cmp.Diff(want, r.one().TraceParents); diff != "" {
		b.t.Errorf("(-want +got):\n%s", diff)
	}
}

func (b *bench) full() {
	b.t.Helper()
	r := b.open(inbox.Options{MaxItems: 2})
	r.append(hint(ticket(1)), hint(ticket(2)))
	_, err := r.Append(b.ctx(), item.Event{ID: "third", Key: ticket(3)})
	r.wantFault(err, fault.Throttled, "appending a third item")
	r.append(item.Event{ID: "more", Key: ticket(1)}) // an item that is there may get more
	d := r.receive(1)
	_, err = r.Append(b.ctx(), item.Event{ID: "third", Key: ticket(3)})
	r.wantFault(err, fault.Throttled, "appending a third item while one runs")
	r.done(d...)
	r.append(item.Event{ID: "third", Key: ticket(3)}) // the refusal was no receipt
	r.wantStats(inbox.Stats{QueuedLive: 2})
}

// leaving: of many callers that are stored together, some have gone away before and
// some go while they are served.
func (b *bench) leaving() {
	b.t.Helper()
	const callers, rounds = 30, 20
	r := b.open(inbox.Options{})
	gone, cancel := context.WithCancel(b.ctx())
	cancel()
	for round := range int64(rounds) {
		going, cancel := context.WithCancel(b.ctx())
		var all sync.WaitGroup
		for n := round * callers; n < (round+1)*callers; n++ {
			all.Go(func() {
				caller := []context.Context{gone, going, b.ctx()}[n%3]
				stored, err := r.Append(caller, hint(ticket(n+1))) //nolint:contextcheck // three kinds of callers are the point
				switch {
				case n%3 == 2 && (err != nil || !stored):
					b.t.Errorf("hint %d: stored %t, %v", n, stored, err)
				case err != nil && !errors.Is(err, context.Canceled):
					b.t.Errorf("hint %d of a caller that left: %v", n, err)
				}
				if n%callers == callers/2 {
					cancel()
				}
			})
		}
		all.Wait()
		cancel()
	}
	got := map[string]bool{}
	for {
		deliveries := r.receive(inbox.MaxReceive)
		if len(deliveries) == 0 {
			break
		}
		for _, d := range deliveries {
			got[d.Key.String()] = true
		}
	}
	for n := range int64(callers * rounds) {
		if n%3 == 2 && !got[ticket(n+1).String()] {
			b.t.Errorf("hint %d was acknowledged and is not there", n)
		}
	}
}

// crowdedFull: many new items at once, of which only some have room.
func (b *bench) crowdedFull() {
	b.t.Helper()
	const room, callers = 10, 100
	r := b.open(inbox.Options{MaxItems: room})
	var stored atomic.Int64
	var all sync.WaitGroup
	for n := range int64(callers) {
		all.Go(func() {
			isNew, err := r.Append(b.ctx(), hint(ticket(n+1)))
			if isNew {
				stored.Add(1)
			}
			if err != nil && !fault.Is(err, fault.Throttled) {
				b.t.Errorf("appending: %v", err)
			}
		})
	}
	all.Wait()
	if stored.Load() != room {
		b.t.Errorf("%d items were stored, want %d", stored.Load(), room)
	}
	r.wantStats(inbox.Stats{QueuedLive: room})
}

func (b *bench) closed() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(hint(ticket(1)))
	r.ok(r.Close())
	r.ok(r.Close())
	_, err := r.Append(b.ctx(), hint(ticket(2)))
	r.wantFault(err, fault.Unavailable, "appending after close")
	next := b.open(inbox.Options{})
	if d := next.one(); d.Key != ticket(1) {
		b.t.Errorf("got %s", d.Key)
	}
}

func (b *bench) stats() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.wantStats(inbox.Stats{})
	r.append(hint(ticket(1)), hint(ticket(1)), hint(ticket(2)), hint(ticket(3)), hint(ticket(4)),
		background(ticket(5)), background(ticket(6)))
	taken := r.receive(3)
	r.retry(taken[0], inbox.RetryOptions{After: long})
	r.dead(taken[1], "broken")
	want := inbox.Stats{QueuedLive: 1, QueuedBackground: 2, Running: 1, Waiting: 1, Dead: 1}
	r.wantStats(want)
	if want.Items() != 5 {
		b.t.Errorf("%d items, want 5", want.Items())
	}
	if got, err := r.Stats(b.ctx()); err != nil || got.OldestAge < 0 || got.OldestAge > long || got.LiveDelay > long {
		b.t.Errorf("%+v %v", got, err)
	}
}

// patients are old only once something failed.
func (b *bench) patients() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(hint(ticket(1)))
	began := time.Now() //nolint:forbidigo // Redis goes by the real time.
	r.retry(r.receive(1)[0], inbox.RetryOptions{After: long})
	for time.Since(began) < 50*time.Millisecond {
		if got, err := r.Stats(b.ctx()); err != nil || got.OldestAge != 0 || got.Waiting != 1 {
			b.t.Fatalf("what waits: %+v %v", got, err)
		}
	}
	r.append(hint(ticket(1)))
	r.retry(r.receive(1)[0], inbox.RetryOptions{After: long, Counted: true})
	if got, err := r.Stats(b.ctx()); err != nil || got.OldestAge < 50*time.Millisecond || got.Waiting != 1 {
		b.t.Errorf("what failed: %+v %v", got, err)
	}
}

// reasons are cut, as a person reads them.
func longReason() string { return strings.Repeat("ž", 5000) }
