package inboxtest

import (
	"context"
	"fmt"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

func (b *bench) deadLetter() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	events := []item.Event{
		{ID: "1", Key: workItem(5), Type: "a", Revision: 1, TraceParent: traceparent(1)},
		{ID: "2", Key: workItem(5), Type: "b", Revision: 2, Payload: []byte("{}")},
	}
	r.append(events...)
	d := r.one()
	r.retry(d, inbox.RetryOptions{Counted: true})
	d = r.one()
	r.append(item.Event{ID: "3", Key: workItem(5), Type: "c", Revision: 3})
	r.dead(d, "The project is gone.")
	d = r.one() // what came meanwhile starts afresh
	if d.Attempt != 0 || d.Count != 1 || d.First.Type != "c" {
		b.t.Errorf("%+v", d)
	}
	r.done(d)
	r.wantStats(inbox.Stats{Dead: 1})
	r.wantListed("development", inbox.Dead, workItem(5))
	r.wantListed("", inbox.Dead, workItem(5))
	r.wantListed("other", inbox.Dead)

	letter := r.pages("development", inbox.Dead, 10)[0]
	got, err := r.Get(b.ctx(), "development", letter.ID)
	r.ok(err)
	want := inbox.Record{
		ID: letter.ID, Key: workItem(5), State: inbox.Dead, First: events[0], Last: events[1], Count: 2, MaxRevision: 2,
		Failures: 2, Reason: "The project is gone.", TraceID: "0af7651916cd43dd8448eb211c80319c",
	}
	ignore := cmpopts.IgnoreFields(inbox.Record{}, "Died")
	if diff := cmp.Diff(want, got, ignore); diff != "" {
		b.t.Errorf("letter (-want +got):\n%s", diff)
	}
	if got.Died.IsZero() || !got.Died.Equal(letter.Died) {
		b.t.Errorf("died %s, listed %s", got.Died, letter.Died)
	}
	want.Last.Payload = nil
	if diff := cmp.Diff(want, letter, ignore); diff != "" {
		b.t.Errorf("listed (-want +got):\n%s", diff)
	}

	_, err = r.Replay(b.ctx(), "other", letter.ID)
	r.wantFault(err, fault.NotFound, "replaying under another connector")
	replayed, err := r.Replay(b.ctx(), "development", letter.ID)
	r.ok(err)
	if replayed.State != inbox.Queued || replayed.ID != letter.ID || replayed.Failures != 0 {
		b.t.Errorf("replayed: %+v", replayed)
	}
	_, err = r.Replay(b.ctx(), "development", letter.ID)
	r.wantFault(err, fault.NotFound, "replaying again")
	d = r.one()
	if d.ID != letter.ID || d.Count != 2 || d.Attempt != 0 || string(d.Last.Payload) != "{}" {
		b.t.Errorf("%+v", d)
	}
	r.done(d)
	b.wantOnlyDedup()
}

// replayJoins replays a letter whose item is stored again, in each state.
func (b *bench) replayJoins() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	die := func() string {
		r.append(hint(ticket(1)))
		d := r.one()
		r.dead(d, "broken")
		return d.ID
	}
	replay := func(id string) inbox.Record {
		got, err := r.Replay(b.ctx(), "development", id)
		r.ok(err)
		return got
	}
	id := die()
	r.append(background(ticket(1)))
	if got := replay(id); got.Count != 2 || got.Background {
		b.t.Errorf("queued: %+v", got)
	}
	r.done(r.one())

	id = die()
	r.append(hint(ticket(1)))
	r.retry(r.one(), inbox.RetryOptions{After: long, Held: true, Counted: true})
	if got := replay(id); got.State != inbox.Queued || got.Count != 2 || got.Failures != 0 {
		b.t.Errorf("held: %+v", got)
	}
	r.done(r.one())

	id = die()
	r.append(hint(ticket(1)))
	running := r.one()
	if got := replay(id); got.State != inbox.Queued || got.ID != id {
		b.t.Errorf("running: %+v", got)
	}
	r.wantNone()
	r.done(running)
	r.done(r.one())

	full := b.open(inbox.Options{MaxItems: 1})
	id = die()
	r.append(hint(ticket(2)))
	_, err := full.Replay(b.ctx(), "development", id)
	r.wantFault(err, fault.Throttled, "replaying into a full inbox")
	r.done(r.one())
	if _, err := full.Replay(b.ctx(), "development", id); err != nil {
		b.t.Errorf("the letter is gone after a refusal: %v", err)
	}
	r.done(r.one())
	b.wantOnlyDedup()
}

func (b *bench) deadCap() {
	b.t.Helper()
	const most = 3
	r := b.open(inbox.Options{MaxDead: most})
	for n := int64(1); n <= most+2; n++ {
		r.append(hint(ticket(n)))
		r.dead(r.one(), fmt.Sprintf("%d is broken", n))
	}
	got := r.pages("development", inbox.Dead, 100)
	if len(got) != most {
		b.t.Fatalf("%d letters are kept, want %d", len(got), most)
	}
	strict := b.open(inbox.Options{MaxDead: 1})
	r.ok(strict.Maintain(b.ctx()))
	r.wantStats(inbox.Stats{Dead: 1})
	for _, letter := range r.pages("", inbox.Dead, 100) {
		_, err := r.Replay(b.ctx(), "development", letter.ID)
		r.ok(err)
	}
	r.done(r.one())
	b.wantOnlyDedup()
}

func (b *bench) deadRetention() {
	b.t.Helper()
	r := b.open(inbox.Options{DeadRetention: brief})
	r.append(hint(ticket(1)))
	r.dead(r.one(), "broken")
	patient := b.open(inbox.Options{})
	r.ok(patient.Maintain(b.ctx()))
	r.wantStats(inbox.Stats{Dead: 1})
	ctx, cancel := context.WithTimeout(b.ctx(), long)
	defer cancel()
	ticker := time.NewTicker(brief / 5)
	defer ticker.Stop()
	for {
		r.ok(r.Maintain(ctx))
		s, err := r.Stats(ctx)
		r.ok(err)
		if s.Dead == 0 {
			break
		}
		<-ticker.C
	}
	b.wantOnlyDedup()
}

func (b *bench) list() {
	b.t.Helper()
	r := b.open(inbox.Options{Replica: "me"})
	other := item.Key{Connector: "other", System: item.Alvao, ID: 9}
	r.append(hint(ticket(1)), hint(ticket(2)), hint(ticket(3)), hint(other))
	for _, d := range r.receive(4) {
		// In reverse order of coming, all but one at the same time.
		r.retry(d, inbox.RetryOptions{After: time.Hour - time.Duration(d.Key.ID)*time.Minute, Reason: "busy", Counted: true, Held: true})
	}
	r.append(hint(ticket(11)), hint(ticket(12)))
	r.receive(2)
	r.append(background(ticket(20)), hint(ticket(21)), background(ticket(22)), hint(ticket(23)), hint(ticket(21)))

	r.wantListed("development", inbox.Queued, ticket(21), ticket(23), ticket(20), ticket(22))
	r.wantListed("development", inbox.Running, ticket(11), ticket(12))
	r.wantListed("development", inbox.Waiting, ticket(3), ticket(2), ticket(1))
	r.wantListed("other", inbox.Waiting, other)
	r.wantListed("", inbox.Waiting, other, ticket(3), ticket(2), ticket(1))
	r.wantListed("third", inbox.Queued)

	waiting := r.pages("other", inbox.Waiting, 10)[0]
	if !waiting.Held || waiting.Reason != "busy" || waiting.Failures != 1 || time.Until(waiting.Due) > time.Hour {
		b.t.Errorf("%+v", waiting)
	}
	if running := r.pages("development", inbox.Running, 10)[0]; running.Replica != "me" {
		b.t.Errorf("%+v", running)
	}
	if queued := r.pages("development", inbox.Queued, 10)[0]; queued.Count != 2 || queued.Background {
		b.t.Errorf("%+v", queued)
	}

	// A page goes on where the one before ended, whatever came and went.
	_, token, err := r.List(b.ctx(), "development", inbox.Queued, 1, "")
	r.ok(err)
	r.wantItems(1, ticket(21))
	r.append(hint(ticket(24)))
	page, _, err := r.List(b.ctx(), "development", inbox.Queued, 2, token)
	r.ok(err)
	if len(page) != 2 || page[0].Key != ticket(23) || page[1].Key != ticket(24) {
		b.t.Errorf("%+v", page)
	}
}

func (b *bench) listDead() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	die := func(k item.Key) {
		r.append(hint(k))
		r.dead(r.one(), "broken")
	}
	for n := int64(1); n <= 7; n++ {
		die(ticket(n))
		die(item.Key{Connector: "other", System: item.Alvao, ID: n})
	}
	page, token, err := r.List(b.ctx(), "development", inbox.Dead, 3, "")
	r.ok(err)
	seen := map[item.Key]int{}
	for _, letter := range page {
		seen[letter.Key]++
	}
	_, err = r.Replay(b.ctx(), "development", page[0].ID)
	r.ok(err)
	_, err = r.Replay(b.ctx(), "development", page[2].ID) // the one that the token names
	r.ok(err)
	die2 := ticket(8)
	r.done(r.receive(10)...)
	die(die2)
	for token != "" {
		page, token, err = r.List(b.ctx(), "development", inbox.Dead, 3, token)
		r.ok(err)
		for _, letter := range page {
			seen[letter.Key]++
		}
	}
	for n := int64(1); n <= 8; n++ {
		if seen[ticket(n)] != 1 {
			b.t.Errorf("letter of ticket %d was listed %d times", n, seen[ticket(n)])
		}
	}
	if got := len(r.pages("", inbox.Dead, 4)); got != 7+6 {
		b.t.Errorf("%d letters of all connectors, want 13", got)
	}
}

func (b *bench) badTokens() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	for state, tokens := range map[inbox.State][]string{
		inbox.Queued:  {"x", "l", "lx-1", "l1", "b1-x", "c1-1"},
		inbox.Waiting: {"x", "1", "x/1", "+inf(/1"},
		"parked":      {""},
	} {
		for _, token := range tokens {
			_, _, err := r.List(b.ctx(), "development", state, 1, token)
			r.wantFault(err, fault.Invalid, fmt.Sprintf("listing %s from %q", state, token))
		}
	}
}

func (b *bench) get() {
	b.t.Helper()
	r := b.open(inbox.Options{})
	r.append(item.Event{Key: workItem(5), Payload: []byte("body")})
	id := r.pages("development", inbox.Queued, 1)[0].ID
	want := func(state inbox.State) {
		b.t.Helper()
		got, err := r.Get(b.ctx(), "development", id)
		if err != nil || got.State != state || got.ID != id || got.Key != workItem(5) {
			b.t.Fatalf("%+v %v, want %s", got, err, state)
		}
		if string(got.Last.Payload) != "body" {
			b.t.Errorf("%s: payload %q", state, got.Last.Payload)
		}
	}
	want(inbox.Queued)
	d := r.one()
	want(inbox.Running)
	r.retry(d, inbox.RetryOptions{After: long})
	want(inbox.Waiting)
	r.append(hint(workItem(5)))
	d = r.one()
	r.append(item.Event{Key: workItem(5), Payload: []byte("next")})
	r.dead(d, "broken")
	want(inbox.Dead)
	d = r.one()
	_, err := r.Get(b.ctx(), "other", id)
	r.wantFault(err, fault.NotFound, "reading under another connector")
	r.done(d)
	for _, none := range []string{d.ID, "", "-", "t", "t-", "t1", "x1-a", "t01-a", "t-1-a", "t+1-a", "t1-../../x", "w5-nothing"} {
		_, err := r.Get(b.ctx(), "development", none)
		r.wantFault(err, fault.NotFound, fmt.Sprintf("reading %q", none))
		_, err = r.Replay(b.ctx(), "development", none)
		r.wantFault(err, fault.NotFound, fmt.Sprintf("replaying %q", none))
	}
}
