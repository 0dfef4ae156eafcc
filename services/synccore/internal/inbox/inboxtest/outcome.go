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
	if second.Attempt != 1 || second.Count != 2 || second.ID != first.ID || second.LastReason == "" {
		b.t.Errorf("%+v", second)
	}
	if second.Token == first.Token {
		b.t.Error("the token did not change")
	}
	r.done(second)
	b.wantOnlyDedup()
}

// lapsesApart: holders that vanish are counted until the item was served and failed. That
// it only had to wait says nothing: an item that kills workers waits for the lease of its
// last victim, too.
func (b *bench) lapsesApart() {
	b.t.Helper()
	died := b.open(inbox.Options{Visibility: brief})
	died.append(hint(ticket(1)))
	var d inbox.Delivery
	for n := range 3 {
		if d = died.one(); d.Lapses != n || d.Attempt != n {
			b.t.Fatalf("after %d lapses: %+v", n, d)
		}
	}
	r := b.open(inbox.Options{})
	d = r.one()
	r.retry(d, inbox.RetryOptions{Reason: "busy"})
	if d = r.one(); d.Lapses != 3 {
		b.t.Errorf("a wait changed the lapses: %+v", d)
	}
	r.retry(d, inbox.RetryOptions{Counted: true, Reason: "no luck"})
	if d = r.one(); d.Lapses != 0 || d.Attempt != 4 {
		b.t.Errorf("after it was served: %+v", d)
	}
	r.done(d)
	b.wantOnlyDedup()
}

// lateWord: a worker that was cut off from Redis, or paused, is not killed by its item.
func (b *bench) lateWord() {
	b.t.Helper()
	paused := b.open(inbox.Options{Visibility: brief})
	r := b.open(inbox.Options{})
	paused.append(hint(ticket(1)))
	first := paused.one()
	second := paused.one()
	third := r.one()
	r.wantFault(paused.Extend(b.ctx(), first), fault.Conflict, "the word of the one before")
	r.retry(third, inbox.RetryOptions{})
	if third = r.one(); third.Lapses != 2 {
		b.t.Errorf("the last holder has not spoken: %+v", third)
	}
	r.wantFault(paused.Extend(b.ctx(), second), fault.Conflict, "the last one's word")
	r.retry(third, inbox.RetryOptions{})
	if third = r.one(); third.Lapses != 0 {
		b.t.Errorf("the last holder lives: %+v", third)
	}
	r.done(third)
	b.wantOnlyDedup()
}

func (b *bench) unexpected() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(hint(ticket(1)))
	for n, step := range []struct {
		counted, unexpected bool
		want                int
	}{
		{true, false, 0}, {true, true, 1}, {true, true, 2}, {false, true, 2}, {false, false, 2}, {true, true, 3}, {true, false, 0}, {true, true, 1},
	} {
		r.retry(r.one(), inbox.RetryOptions{Counted: step.counted, Unexpected: step.unexpected})
		d := r.one()
		if d.Unexpected != step.want {
			b.t.Errorf("step %d: %+v, want %d unexpected failures", n, d, step.want)
		}
		r.retry(d, inbox.RetryOptions{})
	}
	r.done(r.one())
	b.wantOnlyDedup()
}

// unreadable: a build that is older than what is stored, after a rollback, serves what it
// can read, and leaves the rest to a newer one.
func (b *bench) unreadable() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(hint(ticket(1)), hint(ticket(2)), hint(ticket(3)), hint(ticket(4)))
	stored := func(k item.Key) string { return b.store.Key("inbox", "item:"+k.String()) }
	field := func(k item.Key, name, value string) string {
		was, err := b.store.Client().HGet(b.ctx(), stored(k), name).Result()
		r.ok(err)
		r.ok(b.store.Client().HSet(b.ctx(), stored(k), name, value).Err())
		return was
	}
	const future = `{"k":"development/later/2"}`
	known := field(ticket(2), "wf", future)
	field(ticket(4), "wf", future)
	field(ticket(4), "n", "200") // tried for longer than a day
	got, err := r.Receive(b.ctx(), 10, 0)
	r.wantFault(err, fault.Invalid, "receiving what can't be read")
	if !strings.Contains(fault.Sentence(err), ticket(2).String()) {
		b.t.Errorf("the item is not named: %s", fault.Sentence(err))
	}
	if len(got) != 2 || got[0].Key != ticket(1) || got[1].Key != ticket(3) {
		b.t.Fatalf("received %+v", got)
	}
	r.done(got...)
	r.wantStats(inbox.Stats{Waiting: 1, Dead: 1})
	r.wantListed("", inbox.Waiting)
	r.wantListed("", inbox.Dead)

	r.append(hint(ticket(2))) // knocks in vain
	r.wantNone()
	field(ticket(2), "wf", known)
	r.ok(r.ReleaseHeld(b.ctx(), ticket(2).Connector))
	d := r.one()
	if d.Count != 2 || d.Attempt != 1 || !strings.Contains(d.LastReason, "can't read") {
		b.t.Errorf("%+v", d)
	}
	r.done(d)
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
	if d.Attempt != 0 || d.LastReason != "" {
		b.t.Errorf("%+v", d)
	}
	for n := 1; n < 4; n++ {
		r.retry(d, inbox.RetryOptions{Counted: true, Reason: "no luck", TraceID: "trace"})
		d = r.one()
		if d.Attempt != n || d.LastReason != "no luck" || d.LastTraceID != "trace" {
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
	if d = r.one(); d.Attempt != 0 || d.LastReason != "" {
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
