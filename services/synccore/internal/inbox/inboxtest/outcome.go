package inboxtest

import (
	"strings"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// lapses: the worker dies after Receive. Another replica gets the item, with the hints
// that came meanwhile, and it counts, so that an item that kills workers is given up.
func (b *bench) lapses() {
	b.t.Helper()
	died := b.open(inbox.Options{Visibility: brief})
	r := b.open(inbox.Options{})
	died.append(hint(ticket(1)))
	first := died.one()
	died.append(hint(ticket(1)))
	second := r.one()
	if second.Attempt != 1 || !second.Redelivered || second.Count != 2 || second.ID != first.ID || second.LastReason == "" {
		b.t.Errorf("%+v", second)
	}
	if second.Token == first.Token {
		b.t.Error("the token did not change")
	}
	r.done(second)
	b.wantOnlyDedup()
}

func (b *bench) extends() {
	b.t.Helper()
	r := b.open(inbox.Options{Visibility: brief})
	r.append(hint(ticket(1)))
	d := r.one()
	patient := b.open(inbox.Options{Visibility: long})
	r.ok(patient.Extend(b.ctx(), d))
	if got, err := r.Receive(b.ctx(), 1, 2*brief); err != nil || len(got) != 0 {
		b.t.Errorf("an extended item was given to another: %+v %v", got, err)
	}
	r.done(d)
}

// stale: a worker wakes after its item was given to another. Nothing it says counts.
func (b *bench) stale() {
	b.t.Helper()
	paused := b.open(inbox.Options{Visibility: brief})
	r := b.open(inbox.Options{})
	paused.append(hint(ticket(1)))
	old := paused.one()
	outcomes := map[string]func() error{
		"extend":  func() error { return paused.Extend(b.ctx(), old) },
		"done":    func() error { return paused.Done(b.ctx(), old) },
		"retry":   func() error { return paused.Retry(b.ctx(), old, inbox.RetryOptions{Counted: true}) },
		"dead":    func() error { return paused.Dead(b.ctx(), old, "broken", "") },
		"forward": func() error { return paused.Forward(b.ctx(), old, ticket(2)) },
	}
	refused := func(when string) {
		for name, do := range outcomes {
			r.wantFault(do(), fault.Conflict, name+" "+when)
		}
	}
	taken := r.one()
	refused("while another serves it")
	r.wantStats(inbox.Stats{Running: 1})
	r.retry(taken, inbox.RetryOptions{After: long, Held: true})
	refused("while it waits")
	r.wantStats(inbox.Stats{Waiting: 1})
	r.ok(r.ReleaseHeld(b.ctx(), ticket(1).Connector))
	refused("while it is queued")
	again := r.one()
	if again.Attempt != 1 {
		b.t.Errorf("attempt %d, want 1", again.Attempt)
	}
	r.done(again)
	refused("after it was served")
	b.wantOnlyDedup()
}

func (b *bench) counted() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(hint(ticket(1)))
	d := r.one()
	if d.Attempt != 0 || d.Redelivered || d.LastReason != "" {
		b.t.Errorf("%+v", d)
	}
	for n := 1; n < 4; n++ {
		r.retry(d, inbox.RetryOptions{Counted: true, Reason: "no luck", TraceID: "trace"})
		d = r.one()
		if d.Attempt != n || !d.Redelivered || d.LastReason != "no luck" || d.LastTraceID != "trace" {
			b.t.Errorf("after %d counted retries: %+v", n, d)
		}
		r.retry(d, inbox.RetryOptions{Reason: longReason()})
		d = r.one()
		if d.Attempt != n {
			b.t.Errorf("an uncounted retry counted: %+v", d)
		}
		if !utf8.ValidString(d.LastReason) || len(d.LastReason) > 5000 || !strings.HasSuffix(d.LastReason, "…") {
			b.t.Errorf("the reason of %d bytes is not cut well", len(d.LastReason))
		}
	}
	r.append(hint(ticket(1)))
	r.done(d)
	if d = r.one(); d.Attempt != 0 || d.Redelivered || d.LastReason != "" {
		b.t.Errorf("later hints do not start afresh: %+v", d)
	}
}

func (b *bench) softWait() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(hint(ticket(1)))
	r.retry(r.one(), inbox.RetryOptions{After: long, Counted: true})
	r.wantNone()
	r.append(hint(ticket(1)))
	d := r.one()
	if d.Count != 2 || d.Attempt != 1 {
		b.t.Errorf("%+v", d)
	}
	r.done(d)
	b.wantOnlyDedup()
}

func (b *bench) softRetry() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(hint(ticket(1)))
	d := r.one()
	r.append(hint(ticket(1)))
	r.retry(d, inbox.RetryOptions{After: long})
	d = r.one()
	r.append(hint(ticket(1)))
	r.retry(d, inbox.RetryOptions{After: long, Held: true})
	r.wantNone()
	r.wantStats(inbox.Stats{Waiting: 1})
}

func (b *bench) heldWait() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(background(ticket(1)), hint(ticket(2)))
	for _, d := range r.receive(2) {
		r.retry(d, inbox.RetryOptions{Held: true, After: long, Reason: "bad token"})
	}
	r.append(hint(ticket(1)), hint(ticket(2)))
	r.wantNone()
	r.ok(r.ReleaseHeld(b.ctx(), ticket(1).Connector))
	got := r.receive(10)
	if len(got) != 2 || got[0].Count != 2 || got[1].Count != 2 || got[0].Background || got[1].Background {
		b.t.Fatalf("%+v", got)
	}
	r.ok(r.ReleaseHeld(b.ctx(), ticket(1).Connector))
	r.done(got[0])
	r.retry(got[1], inbox.RetryOptions{Held: true, After: brief})
	d := r.one() // by its time
	r.append(hint(d.Key))
	r.retry(d, inbox.RetryOptions{Held: true}) // for a minute
	r.wantNone()
	r.ok(r.ReleaseHeld(b.ctx(), ticket(1).Connector))
	r.done(r.one())
	b.wantOnlyDedup()
}

func (b *bench) releaseApart() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	other := item.Key{Connector: "other", System: item.Alvao, ID: 1}
	r.append(hint(ticket(1)), hint(other))
	for _, d := range r.receive(2) {
		r.retry(d, inbox.RetryOptions{Held: true, After: long})
	}
	r.ok(r.ReleaseHeld(b.ctx(), "third"))
	r.wantNone()
	r.ok(r.ReleaseHeld(b.ctx(), "other"))
	r.wantItems(10, other)
}

func (b *bench) forward() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(item.Event{Key: workItem(5), Type: "a", Revision: 3, Payload: []byte("body"), TraceParent: traceparent(1)},
		item.Event{Key: workItem(5), Type: "b", Revision: 4})
	d := r.one()
	r.append(item.Event{Key: workItem(5), Type: "c"})
	r.wantFault(r.Forward(b.ctx(), d, d.Key), fault.Invalid, "forwarding to itself")
	r.wantFault(r.Forward(b.ctx(), d, item.Key{}), fault.Invalid, "forwarding to nothing")
	r.ok(r.Forward(b.ctx(), d, ticket(1)))
	got := r.wantItems(10, workItem(5), ticket(1))
	later, forwarded := got[0], got[1]
	for _, running := range got {
		if record, err := r.Get(b.ctx(), "development", running.ID); err != nil || record.Key != running.Key {
			b.t.Errorf("record of %s: %+v %v", running.Key, record, err)
		}
	}
	if later.First.Type != "c" || later.Count != 1 {
		b.t.Errorf("what came meanwhile: %+v", later)
	}
	last := d.Last
	want := inbox.Delivery{
		ID: forwarded.ID, Key: ticket(1), First: d.First, Last: last, Count: 2, MaxRevision: 4,
		TraceParents: []string{traceparent(1)}, Token: forwarded.Token,
	}
	if diff := cmp.Diff(want, forwarded); diff != "" {
		b.t.Errorf("(-want +got):\n%s", diff)
	}
	r.done(got...)
	b.wantOnlyDedup()
}

// forwardMeets forwards to an item in each state it may be in.
func (b *bench) forwardMeets() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	send := func() {
		r.append(hint(workItem(5)))
		for _, d := range r.receive(10) {
			if d.Key == workItem(5) {
				r.ok(r.Forward(b.ctx(), d, ticket(1)))
				continue
			}
			r.retry(d, inbox.RetryOptions{}) // back into the queue
		}
	}
	send() // idle
	send() // queued
	d := r.one()
	if d.Count != 2 {
		b.t.Errorf("queued: %+v", d)
	}
	send() // running
	r.wantNone()
	r.retry(d, inbox.RetryOptions{After: long, Held: true})
	send() // held
	r.wantNone()
	r.ok(r.ReleaseHeld(b.ctx(), d.Key.Connector))
	d = r.one()
	if d.Count != 4 {
		b.t.Errorf("held: %+v", d)
	}
	r.retry(d, inbox.RetryOptions{After: long})
	send() // waiting
	d = r.one()
	if d.Count != 5 {
		b.t.Errorf("waiting: %+v", d)
	}
	r.done(d)
	b.wantOnlyDedup()
}

// crowd lets replicas with many workers serve items with every outcome, some of them
// without an answer. No item is in two hands at once, nothing acknowledged is lost,
// and in the end nothing is left.
func (b *bench) crowd() {
	b.t.Helper()
	c := newCrowd(b)
	c.run()
	b.wantOnlyDedup()
}
