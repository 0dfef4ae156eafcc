package runs_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/runs"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const name = "development"

func TestRuns(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, open func(testing.TB) *datastore.Store) {
		t.Helper()
		t.Run("asking", func(t *testing.T) { t.Parallel(); asking(t, open(t)) })
		t.Run("turn", func(t *testing.T) { t.Parallel(); turn(t, open(t)) })
		t.Run("cancelling", func(t *testing.T) { t.Parallel(); cancelling(t, open(t)) })
		t.Run("outcomes", func(t *testing.T) { t.Parallel(); outcomes(t, open(t)) })
		t.Run("kept", func(t *testing.T) { t.Parallel(); kept(t, open(t)) })
	})
}

func must[T any](t *testing.T) func(T, error) T {
	t.Helper()
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

func hold(t *testing.T, store *datastore.Store) (*lease.Leases, lease.Lease) {
	t.Helper()
	leases := lease.New(store)
	return leases, must[lease.Lease](t)(leases.Acquire(t.Context(), runs.TurnKey(name), time.Minute))
}

func asking(t *testing.T, store *datastore.Store) {
	t.Helper()
	r := runs.New(store)
	if _, waits, err := r.Waiting(t.Context(), name); waits || err != nil {
		t.Errorf("at first: %v, %v", waits, err)
	}
	at := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	first := item.Resync{ID: runs.NewID(at, nil), State: item.ResyncWaiting, Reason: item.ResyncAsked, Asked: at}
	got := must[item.Resync](t)(r.Ask(t.Context(), name, "", first))
	second := item.Resync{ID: runs.NewID(at.Add(time.Second), nil), State: item.ResyncWaiting}
	again := must[item.Resync](t)(r.Ask(t.Context(), name, "", second))
	if diff := cmp.Diff(got, again); diff != "" || got.ID != first.ID {
		t.Errorf("asked twice: %s", diff)
	}
	if other, waits, err := r.Waiting(t.Context(), "support"); waits || err != nil {
		t.Errorf("another connector: %+v, %v", other, err)
	}
	// Whoever begins it takes it from those that wait.
	_, held := hold(t, store)
	first.State = item.ResyncRunning
	must[bool](t)(r.Turn(held).Save(t.Context(), first, item.ResyncFound{}))
	if _, waits, err := r.Waiting(t.Context(), name); waits || err != nil {
		t.Errorf("once it began: %v, %v", waits, err)
	}
	if next := must[item.Resync](t)(r.Ask(t.Context(), name, "", second)); next.ID != second.ID {
		t.Errorf("asked while it runs: %+v", next)
	}
	// A request gets what it got, though that has begun; another one gets what waits.
	third := item.Resync{ID: runs.NewID(at.Add(time.Minute), nil), State: item.ResyncWaiting}
	if known := must[item.Resync](t)(r.Ask(t.Context(), name, "portal-1", third)); known.ID != second.ID {
		t.Errorf("with an id, while one waits: %+v", known)
	}
	second.State = item.ResyncRunning
	must[bool](t)(r.Turn(held).Save(t.Context(), second, item.ResyncFound{}))
	if known := must[item.Resync](t)(r.Ask(t.Context(), name, "portal-1", third)); known.ID != second.ID || known.State != item.ResyncRunning {
		t.Errorf("with the same id again: %+v", known)
	}
	if known := must[item.Resync](t)(r.Ask(t.Context(), "support", "portal-1", first)); known.ID != first.ID {
		t.Errorf("with the same id for another connector: %+v", known)
	}
	all := must[[]item.Resync](t)(r.List(t.Context(), name))
	if len(all) != 2 || all[0].ID != second.ID || all[1].State != item.ResyncRunning {
		t.Errorf("listed %+v", all)
	}
	if _, err := r.Get(t.Context(), name, "none"); !fault.Is(err, fault.NotFound) {
		t.Errorf("of no such id: %v", err)
	}
}

// Where a resync goes on and what it found are stored together, by the holder of the turn.
func turn(t *testing.T, store *datastore.Store) {
	t.Helper()
	r := runs.New(store)
	leases, held := hold(t, store)
	mine := r.Turn(held)
	run := item.Resync{ID: "1", State: item.ResyncRunning, Cursor: "200", Writes: map[string]int{"set-state": 1}}
	found := item.ResyncFound{Listed: []int64{1, 2}, Back: []int64{3}, Counted: []int64{4, 5}, Hints: []item.ResyncHint{{Ticket: 6}, {Ticket: 7, ID: "x"}}}
	must[bool](t)(mine.Save(t.Context(), run, found))
	must[bool](t)(mine.Save(t.Context(), run, item.ResyncFound{Hints: []item.ResyncHint{{Ticket: 8}}}))
	for set, want := range map[item.ResyncSet][]bool{
		item.SetListed: {true, false, false, false, false}, item.SetBack: {false, true, false, false, false}, item.SetCounted: {false, false, true, true, false},
	} {
		if diff := cmp.Diff(want, must[[]bool](t)(mine.Has(t.Context(), "1", set, []int64{1, 3, 4, 5, 9}))); diff != "" {
			t.Errorf("%s: %s", set, diff)
		}
	}
	if diff := cmp.Diff([]item.ResyncHint{{Ticket: 7, ID: "x"}, {Ticket: 8}}, must[[]item.ResyncHint](t)(mine.Hints(t.Context(), "1", 1, 10))); diff != "" {
		t.Error(diff)
	}
	if err := leases.Release(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	_, next := hold(t, store)
	late := run
	late.Cursor = "400"
	if _, err := mine.Save(t.Context(), late, item.ResyncFound{Listed: []int64{99}}); !fault.Is(err, fault.Conflict) {
		t.Errorf("after the turn: %v", err)
	}
	theirs := r.Turn(next)
	if got := must[item.Resync](t)(r.Get(t.Context(), name, "1")); got.Cursor != "200" || must[[]bool](t)(theirs.Has(t.Context(), "1", item.SetListed, []int64{99}))[0] {
		t.Errorf("a late write came through: %+v", got)
	}
	// At the end nothing of a ticket is kept.
	run.State = item.ResyncSucceeded
	must[bool](t)(theirs.Save(t.Context(), run, item.ResyncFound{}))
	if left := must[[]item.ResyncHint](t)(theirs.Hints(t.Context(), "1", 0, 10)); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func cancelling(t *testing.T, store *datastore.Store) {
	t.Helper()
	r := runs.New(store)
	now := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	if _, err := r.Cancel(t.Context(), name, "1", now); !fault.Is(err, fault.NotFound) {
		t.Errorf("none: %v", err)
	}
	must[item.Resync](t)(r.Ask(t.Context(), name, "", item.Resync{ID: "1", State: item.ResyncWaiting, Asked: now.Add(-time.Second)}))
	got := must[item.Resync](t)(r.Cancel(t.Context(), name, "1", now))
	if _, waits, _ := r.Waiting(t.Context(), name); waits || got.State != item.ResyncCancelled || !got.Ended.Equal(now) || !got.Answers(now.Add(-time.Second)) {
		t.Errorf("one that waited: %+v", got)
	}
	_, held := hold(t, store)
	run := item.Resync{ID: "2", State: item.ResyncRunning}
	if stop := must[bool](t)(r.Turn(held).Save(t.Context(), run, item.ResyncFound{})); stop {
		t.Error("nobody cancelled it")
	}
	if got := must[item.Resync](t)(r.Cancel(t.Context(), name, "2", now)); got.State != item.ResyncRunning || !got.Cancelling {
		t.Errorf("one that runs: %+v", got)
	}
	if stop := must[bool](t)(r.Turn(held).Save(t.Context(), run, item.ResyncFound{})); !stop {
		t.Error("it does not hear")
	}
	run.State = item.ResyncCancelled
	must[bool](t)(r.Turn(held).Save(t.Context(), run, item.ResyncFound{}))
	if got := must[item.Resync](t)(r.Cancel(t.Context(), name, "2", now)); got.Cancelling {
		t.Errorf("one that has ended: %+v", got)
	}
}

func outcomes(t *testing.T, store *datastore.Store) {
	t.Helper()
	r := runs.New(store)
	_, held := hold(t, store)
	must[bool](t)(r.Turn(held).Save(t.Context(), item.Resync{ID: "1", State: item.ResyncRunning}, item.ResyncFound{}))
	for _, one := range []struct {
		ticket  int64
		outcome item.ResyncOutcome
	}{
		{1, item.OutcomeFailed}, {1, item.OutcomeWritten}, {1, item.OutcomeNothing}, // it was retried, and looked at once more
		{2, item.OutcomeNothing}, {3, item.OutcomeFailed}, {3, item.OutcomeFailed}, {4, item.OutcomeWritten},
	} {
		if err := r.Settle(t.Context(), name, "1", one.ticket, one.outcome); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Settle(t.Context(), name, "unknown", 1, item.OutcomeWritten); err != nil {
		t.Fatal(err)
	}
	got := must[item.Resync](t)(r.Get(t.Context(), name, "1"))
	if got.Written != 2 || got.Failed != 1 || got.Settled != 4 {
		t.Errorf("%+v", got)
	}
}

// Whatever clocks say, what is made later comes behind.
func TestIDsRise(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 2, 8, 0, 0, 123_456_789, time.UTC)
	first := runs.NewID(at, nil)
	there := []item.Resync{{ID: first}, {ID: "1"}, {ID: ""}}
	for _, now := range []time.Time{at, at.Add(-time.Hour), at.Add(time.Microsecond)} {
		if next := runs.NewID(now, there); next <= first {
			t.Errorf("%s after %s", next, first)
		}
	}
	if next := runs.NewID(at.Add(time.Hour), there); next[:15] != "20260302-090000" {
		t.Errorf("an hour later: %s", next)
	}
}

// Only the last ones are remembered.
func kept(t *testing.T, store *datastore.Store) {
	t.Helper()
	r := runs.New(store)
	_, held := hold(t, store)
	at := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	for i := range runs.Kept + 10 {
		run := item.Resync{ID: runs.NewID(at.Add(time.Duration(i)*time.Second), nil), State: item.ResyncRunning}
		must[bool](t)(r.Turn(held).Save(t.Context(), run, item.ResyncFound{}))
		run.State = item.ResyncSucceeded
		must[bool](t)(r.Turn(held).Save(t.Context(), run, item.ResyncFound{}))
	}
	all := must[[]item.Resync](t)(r.List(t.Context(), name))
	if newest := runs.NewID(at.Add((runs.Kept+9)*time.Second), nil); len(all) != runs.Kept || all[0].ID[:15] != newest[:15] {
		t.Errorf("%d kept, the newest is %s", len(all), all[0].ID)
	}
}
