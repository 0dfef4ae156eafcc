package datastore_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

func TestUpgrade(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, open func(testing.TB) *datastore.Store) {
		t.Helper()
		t.Run("once, in order, while others wait", func(t *testing.T) { t.Parallel(); upgradesOnce(t, open(t)) })
		t.Run("goes on where it failed", func(t *testing.T) { t.Parallel(); goesOn(t, open(t)) })
		t.Run("an old store", func(t *testing.T) { t.Parallel(); oldStore(t, open(t)) })
		t.Run("a newer store", func(t *testing.T) { t.Parallel(); newerStore(t, open(t)) })
	})
}

// oldStore is one of the first layout, which noted none.
func oldStore(t *testing.T, store *datastore.Store) {
	t.Helper()
	if err := store.Client().Set(t.Context(), store.Key(datastore.InboxTag, "seen:x"), 1, 0).Err(); err != nil {
		t.Fatal(err)
	}
	if fresh, err := store.Fresh(t.Context()); err != nil || fresh {
		t.Errorf("a store of the first layout is taken for an empty one: %v", err)
	}
}

func upgradesOnce(t *testing.T, store *datastore.Store) {
	t.Helper()
	var (
		mu  sync.Mutex
		ran []int
		at  atomic.Int32
	)
	step := func(to int) datastore.Step {
		return datastore.Step{To: to, Readable: 1, Run: func(context.Context, *datastore.Store) error {
			if at.Add(1) != 1 {
				t.Error("two upgrade at once")
			}
			mu.Lock()
			ran = append(ran, to)
			mu.Unlock()
			at.Add(-1)
			return nil
		}}
	}
	steps := []datastore.Step{step(2), step(3)}
	if fresh, err := store.Fresh(t.Context()); err != nil || !fresh {
		t.Errorf("an empty store is taken for a used one: %v", err)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := store.Upgrade(t.Context(), steps); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(ran) != 2 || ran[0] != 2 || ran[1] != 3 {
		t.Errorf("the steps ran as %v, want 2, 3", ran)
	}
	if fresh, err := store.Fresh(t.Context()); err != nil || fresh {
		t.Errorf("an upgraded store is taken for an empty one: %v", err)
	}
	if from, err := store.Upgrade(t.Context(), append(steps, step(4))); err != nil || from != 3 {
		t.Errorf("it came from layout %d, %v; want 3", from, err)
	}
	if len(ran) != 3 {
		t.Errorf("the steps ran as %v, want one more", ran)
	}
}

func goesOn(t *testing.T, store *datastore.Store) {
	t.Helper()
	broken, first, second := errors.New("broken"), 0, 0
	steps := []datastore.Step{
		{To: 2, Readable: 1, Run: func(context.Context, *datastore.Store) error { first++; return nil }},
		{To: 3, Readable: 1, Run: func(context.Context, *datastore.Store) error {
			if second++; second == 1 {
				return broken
			}
			return nil
		}},
	}
	if _, err := store.Upgrade(t.Context(), steps); !errors.Is(err, broken) {
		t.Errorf("got %v, want the step's error", err)
	}
	if from, err := store.Upgrade(t.Context(), steps); err != nil || from != 2 {
		t.Errorf("it came from layout %d, %v; want 2", from, err)
	}
	if first != 1 || second != 2 {
		t.Errorf("the steps ran %d and %d times, want 1 and 2", first, second)
	}
}

// newerStore: one that this build can still work with is left alone, as in a rolling
// update; another is refused.
func newerStore(t *testing.T, store *datastore.Store) {
	t.Helper()
	none := func(context.Context, *datastore.Store) error { t.Error("it was upgraded"); return nil }
	steps := []datastore.Step{{To: 2, Readable: 1, Run: none}}
	write := func(version, readable int) {
		t.Helper()
		if err := store.Client().HSet(t.Context(), store.Key("schema", "layout"), "version", version, "readable", readable).Err(); err != nil {
			t.Fatal(err)
		}
	}
	write(7, 2)
	if from, err := store.Upgrade(t.Context(), steps); err != nil || from != 7 {
		t.Errorf("a newer store that it can work with: from %d, %v", from, err)
	}
	write(7, 3)
	_, err := store.Upgrade(t.Context(), steps)
	if !fault.Is(err, fault.Misconfigured) || !strings.Contains(fault.Sentence(err), "layout 7") {
		t.Errorf("got %v, want a refusal that names the layout", err)
	}
}
