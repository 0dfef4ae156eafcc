package resync_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/resync"
	"github.com/tandem-sync/tandem/services/synccore/internal/runs"
)

var errKilled = errors.New("the process was killed")

// mortal is a store of which the process dies at a save: before it, or after it with the
// answer lost.
type mortal struct {
	resync.Store

	left  int
	after bool
	last  *item.Resync
}

func (m *mortal) Save(ctx context.Context, run item.Resync, found item.ResyncFound) (bool, error) {
	if m.left--; m.left > 0 || m.after {
		cancel, err := m.Store.Save(ctx, run, found)
		*m.last = run
		if m.left > 0 || err != nil {
			return cancel, err
		}
	}
	return false, errKilled
}

// dying is Run of a process that dies at its n-th save.
func (b *bench) dying(t *testing.T, at item.Resync, n int, after bool) (item.Resync, bool) {
	t.Helper()
	held, err := b.leases.Acquire(t.Context(), runs.TurnKey(name), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	ctx, die := context.WithCancel(t.Context())
	defer die()
	stored := at
	run := b.resync
	run.Store = killing{&mortal{Store: b.runs.Turn(held), left: n, after: after, last: &stored}, die}
	ended, err := run.Run(ctx, at)
	if err := b.leases.Release(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	if err == nil {
		return ended, true
	}
	if !errors.Is(err, errKilled) {
		t.Fatal(err)
	}
	return stored, false
}

// killing ends everything once the process was killed.
type killing struct {
	*mortal

	die context.CancelFunc
}

func (k killing) Save(ctx context.Context, run item.Resync, found item.ResyncFound) (bool, error) {
	cancel, err := k.mortal.Save(ctx, run, found)
	if errors.Is(err, errKilled) {
		k.die()
	}
	return cancel, err
}

// A process that dies at any page is followed by one that goes on: everything is compared
// once, judged once, and nothing is left out.
func TestAnotherProcessGoesOn(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		b := setup(t, redistest.Embedded(t))
		const pairs = 450
		for id := int64(1); id <= pairs; id++ {
			b.pair(t, id)
		}
		var want []int64
		for id := int64(1); id <= pairs; id += 10 {
			b.setState(id, "Done")
			want = append(want, id)
		}
		b.change(7, func(t *item.Ticket) { t.Status = "Testing" })
		b.tickets = slices.DeleteFunc(b.tickets, func(t item.Ticket) bool { return t.ID == 444 })
		want = append(want, 7, 444)
		slices.Sort(want)
		judged := 0
		b.resync.Judge = func(_ context.Context, f brake.Foresight) (bool, error) {
			judged++
			if f.Total() != len(want)-1 || f.Links != pairs {
				t.Errorf("foreseen %d of %d", f.Total(), f.Links)
			}
			return false, nil
		}
		at := item.Resync{ID: "1", State: item.ResyncRunning, Began: time.Now()}
		deaths := 0
		// Each process lives for two pages at most.
		for done := false; !done; deaths++ {
			if deaths > 100 {
				t.Fatalf("it comes to no end: %+v", at)
			}
			at, done = b.dying(t, at, 2, after)
		}
		if at.Links != pairs || at.Tickets != pairs-1 || at.Drifted != len(want) || at.Foreseen != len(want)-1 || at.TicketsThere != pairs-1 || at.LinksThere != pairs {
			t.Errorf("after: %v, %d deaths: %+v", after, deaths, at)
		}
		if ids := b.take(t); !slices.Equal(slices.Compact(ids), want) {
			t.Errorf("after: %v, queued %v, want %v", after, ids, want)
		}
		if deaths < 8 || judged > 2 {
			t.Errorf("after: %v, %d deaths, judged %d times", after, deaths, judged)
		}
		// Pages of work items that were compared are not read again: one call for each 200,
		// and one for each death on the way.
		if most := 3 + 3; b.calls > most {
			t.Errorf("after: %v, %d calls", after, b.calls)
		}
	}
}

func TestCancelledAtTheNextPage(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	for id := int64(1); id <= 450; id++ {
		b.pair(t, id)
		b.setState(id, "Done")
	}
	b.resync.WorkItems = cancelling{b}
	at, err := b.try(t)
	if !errors.Is(err, resync.ErrCancelled) || at.Links != 200 {
		t.Errorf("%+v, %v", at, err)
	}
	if ids := b.take(t); len(ids) != 0 {
		t.Errorf("queued %v", ids)
	}
}

// cancelling has the resync cancelled while its first page is read.
type cancelling struct{ *bench }

func (c cancelling) WorkItems(ctx context.Context, ids []int64) ([]item.WorkItem, error) {
	all, err := c.runs.List(ctx, name)
	if err != nil {
		return nil, err
	}
	if _, err := c.runs.Cancel(ctx, name, all[0].ID, time.Now()); err != nil {
		return nil, err
	}
	return c.systems.WorkItems(ctx, ids)
}
