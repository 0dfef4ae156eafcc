package connector_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/runs"
)

// usual are the brake's settings as by default.
func usual(c *config.Connector, _ *mapping.Settings) {
	c.Brake = brake.Settings{Share: 0.2, AtLeast: 25}
}

// swapped pairs the states with other statuses, so that no link agrees any more.
func swapped(_ *config.Connector, s *mapping.Settings) {
	s.StatusMap = []item.Pair{
		{State: "Doing", Status: "Development"}, {State: "To Do", Status: "Development pending"}, {State: "Done", Status: "Testing"},
	}
}

// writes counts all that was written to either system.
func (s *systems) writes() int {
	all, _ := s.desk.WriteCounts()
	return int(all) + len(s.boards.Writes())
}

// pairs makes tickets and waits until each is linked and at rest.
func (r *replica) pairs(t *testing.T, n int) []int64 {
	t.Helper()
	tickets := make([]int64, n)
	for i := range tickets {
		tickets[i] = r.ticket(t, "Development")
		r.hint(t, name, tickets[i])
	}
	for _, ticket := range tickets {
		eventually(t, "a ticket is linked", r.linked(t, name, ticket))
	}
	r.quiet(t)
	return tickets
}

// agrees tells whether the pairs are in step with a map.
func (r *replica) agrees(t *testing.T, tickets []int64, cfg config.Connector) func() bool {
	t.Helper()
	return func() bool {
		for _, ticket := range tickets {
			shown, _ := r.desk.Ticket(int(ticket))
			workItem, _ := r.boards.WorkItem(int(r.link(t, name, ticket).WorkItem))
			if !cfg.Rules.Statuses.Agree(workItem.State, shown.Status) {
				return false
			}
		}
		return true
	}
}

func (r *replica) brake(t *testing.T) brake.State {
	t.Helper()
	state, err := r.set.Brake(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// compared tells whether the newest resync began after a time and came to its end.
func (r *replica) compared(t *testing.T, after time.Time) func() bool {
	t.Helper()
	return func() bool {
		all, err := runs.New(r.store).List(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		newest := slices.MaxFunc(all, func(a, b item.Resync) int { return a.Began.Compare(b.Began) })
		return newest.State == item.ResyncSucceeded && newest.Began.After(after)
	}
}

// resyncs waits for so many lines about resyncs that came to their end.
func (r *replica) resyncs(t *testing.T, n int) {
	t.Helper()
	eventually(t, "a resync was done", func() bool { return len(r.log.lines(t, "resync.done")) >= n })
}

func TestMassChangeWaitsForAPerson(t *testing.T) {
	t.Parallel()
	s, store, dir := startSystems(t, standazure.Options{}), redistest.Embedded(t), t.TempDir()
	write(t, dir, "pat", "sandbox-pat")
	write(t, dir, "password", "tandem")
	r := newReplica(t, s, store, dir)
	before := r.settings(t, name, usual)
	r.apply(t, before)
	r.ready(t, name)
	tickets := r.pairs(t, 60)
	written := s.writes()

	// The settings change: it is judged at once, and nothing is written.
	after := r.settings(t, name, usual, swapped)
	r.apply(t, after)
	eventually(t, "the change waits", func() bool { return r.brake(t).Held() })
	state := r.brake(t)
	if f := state.Foresight; f.Links != 60 || f.Total() != 60 || len(f.Examples) != brake.MaxExamples {
		t.Errorf("foresight %+v", f)
	}
	for _, example := range state.Foresight.Examples {
		if example.Ticket == 0 || example.WorkItem == 0 || !strings.Contains(example.Detail, "are paired no longer") {
			t.Errorf("example %+v", example)
		}
	}
	if told := state.Sentence(); !strings.Contains(told, "60 items") {
		t.Errorf("it is told as %q", told)
	}
	eventually(t, "it is logged", func() bool { return len(r.log.lines(t, "connector.braked")) == 1 })
	if line := r.log.lines(t, "connector.braked")[0]; line["level"] != "ERROR" || line["brake"] != state.ID() {
		t.Errorf("logged as %v", line)
	}
	r.quiet(t)
	if n := s.writes() - written; n != 0 {
		t.Errorf("%d writes before anybody let it go", n)
	}

	// Another replica tells the same, and stays braked when it starts with it.
	other := newReplica(t, s, store, dir)
	other.apply(t, after)
	eventually(t, "the other replica is ready", func() bool { one, ok := other.set.Get(name); return ok && one.Ready })
	if got := other.brake(t); got.ID() != state.ID() || !got.Held() {
		t.Errorf("the other replica tells %+v", got)
	}
	// A resync of its own judges again, tells nothing new and queues nothing. The others
	// leave before, or one of them may have the turn.
	r.leave()
	other.leave()
	if err := r.origins.SetCursor(t.Context(), name, "resync-at", ""); err != nil {
		t.Fatal(err)
	}
	third := newReplica(t, s, store, dir)
	third.apply(t, after)
	third.resyncs(t, 1)
	third.quiet(t)
	if got := third.brake(t); got.ID() != state.ID() || !got.Held() || len(third.log.lines(t, "connector.braked")) != 0 || s.writes() != written {
		t.Errorf("judged again: %+v, %d writes", got, s.writes()-written)
	}

	// Only what was told can be let go, at whichever replica.
	other = newReplica(t, s, store, dir)
	other.apply(t, after)
	eventually(t, "the other replica is ready", func() bool { one, ok := other.set.Get(name); return ok && one.Ready })
	if err := other.set.Release(t.Context(), name, "another"); !fault.Is(err, fault.Refused) {
		t.Errorf("another change was let go: %v", err)
	}
	released := other.now()
	for range 2 {
		if err := other.set.Release(t.Context(), name, state.ID()); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all links agree under the new map", r.agrees(t, tickets, after))
	r.quiet(t)
	// Once it is done, nothing waits. A resync that was cut off would be gone on with: it
	// judged while the links still differed.
	eventually(t, "the resync that wrote it came to its end", other.compared(t, released))
	third.leave()
	other.leave()
	if err := r.origins.SetCursor(t.Context(), name, "resync-at", ""); err != nil {
		t.Fatal(err)
	}
	written = s.writes()
	fourth := newReplica(t, s, store, dir)
	fourth.apply(t, after)
	fourth.resyncs(t, 1)
	if got := fourth.brake(t); got.Exists() {
		t.Errorf("after all is done: %+v", got)
	}
	fourth.quiet(t)
	if s.writes() != written {
		t.Errorf("a further resync wrote %d times", s.writes()-written)
	}
	if err := fourth.set.Release(t.Context(), name, state.ID()); !fault.Is(err, fault.Refused) {
		t.Errorf("what is over was let go: %v", err)
	}
}

func TestMassChangeIsTakenBackWithItsSettings(t *testing.T) {
	t.Parallel()
	r := setup(t)
	before := r.settings(t, name, usual)
	r.apply(t, before)
	r.ready(t, name)
	tickets := r.pairs(t, 30)
	written := r.writes()
	r.apply(t, r.settings(t, name, usual, swapped))
	eventually(t, "the change waits", func() bool { return r.brake(t).Held() })
	r.apply(t, before)
	eventually(t, "nothing waits", func() bool { return !r.brake(t).Exists() })
	r.quiet(t)
	if r.writes() != written || !r.agrees(t, tickets, before)() {
		t.Errorf("%d writes", r.writes()-written)
	}
	if len(r.log.lines(t, "connector.unbraked")) != 1 {
		t.Error("that it is over is not logged once")
	}
}

func TestFewWritesGoThrough(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name, usual))
	r.ready(t, name)
	tickets := r.pairs(t, 24)
	for range 6 {
		tickets = append(tickets, r.ticket(t, "Testing"))
		r.hint(t, name, tickets[len(tickets)-1])
	}
	for _, ticket := range tickets {
		eventually(t, "a ticket is linked", r.linked(t, name, ticket))
	}
	r.quiet(t)
	// 24 of 30 differ under the new map.
	after := r.settings(t, name, usual, swapped)
	r.apply(t, after)
	eventually(t, "all links agree under the new map", r.agrees(t, tickets, after))
	if r.brake(t).Exists() || len(r.log.lines(t, "connector.braked")) != 0 {
		t.Error("it was braked")
	}
}

func TestBrakeCanBeSwitchedOff(t *testing.T) {
	t.Parallel()
	r := setup(t)
	off := func(c *config.Connector, _ *mapping.Settings) { c.Brake = brake.Settings{Share: 1, AtLeast: 25} }
	r.apply(t, r.settings(t, name, off))
	r.ready(t, name)
	tickets := r.pairs(t, 26)
	after := r.settings(t, name, off, swapped)
	r.apply(t, after)
	eventually(t, "all links agree under the new map", r.agrees(t, tickets, after))
}

// Work items for tickets from before wait when a changed setting asks for them, those
// for new tickets never do, and neither do any at the very first start.
func TestCreationsCountWhenSettingsAskForThem(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for range 30 {
		r.ticket(t, "Development")
	}
	r.apply(t, r.settings(t, name, usual))
	r.ready(t, name)
	r.resyncs(t, 1)
	r.quiet(t)
	all := func(c *config.Connector, _ *mapping.Settings) { c.Rules.ExistingTickets = mapping.ExistingLink }
	r.apply(t, r.settings(t, name, usual, all))
	eventually(t, "the change waits", func() bool { return r.brake(t).Held() })
	if f := r.brake(t).Foresight; f.Writes["create-work-item"] != 30 {
		t.Errorf("foresight %+v", f)
	}
	r.quiet(t)
	before := r.boards.Writes()
	if len(before) != 0 {
		t.Errorf("%d writes", len(before))
	}
	// A new ticket gets its work item meanwhile.
	fresh := r.ticket(t, "Development")
	r.hint(t, name, fresh)
	eventually(t, "the new ticket is linked", r.linked(t, name, fresh))
	if !r.brake(t).Held() {
		t.Error("the change went")
	}
}

func TestFirstStartIsNotBraked(t *testing.T) {
	t.Parallel()
	r := setup(t)
	tickets := make([]int64, 30)
	for i := range tickets {
		tickets[i] = r.ticket(t, "Development")
	}
	r.apply(t, r.settings(t, name, usual, func(c *config.Connector, _ *mapping.Settings) { c.Rules.ExistingTickets = mapping.ExistingLink }))
	for _, ticket := range tickets {
		eventually(t, "an old ticket is linked", r.linked(t, name, ticket))
	}
	if r.brake(t).Exists() {
		t.Error("it was braked")
	}
}

// Messages that never crossed wait when a changed setting asks for them.
func TestMessagesCountWhenSettingsAskForThem(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name, usual))
	r.ready(t, name)
	r.pairs(t, 26)
	written := r.writes()
	r.apply(t, r.settings(t, name, usual, func(_ *config.Connector, s *mapping.Settings) { s.SyncCommunication = true }))
	eventually(t, "the change waits", func() bool { return r.brake(t).Held() })
	if f := r.brake(t).Foresight; f.Writes["post-message"] != 26 {
		t.Errorf("foresight %+v", f)
	}
	r.quiet(t)
	if r.writes() != written {
		t.Errorf("%d writes", r.writes()-written)
	}
}
