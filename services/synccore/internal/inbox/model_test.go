package inbox_test

import (
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox/inboxtest"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

func TestModelWithTime(t *testing.T) {
	t.Parallel()
	store, advance := redistest.Clocked(t)
	inboxtest.Model(t, func() (*datastore.Store, func(time.Duration)) {
		if err := store.Client().FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		return store, advance
	})
}

func TestModelOnRedis(t *testing.T) {
	t.Parallel()
	store := redistest.Start(t).Open(t)
	inboxtest.Model(t, func() (*datastore.Store, func(time.Duration)) {
		if err := store.Client().FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		return store, nil
	})
}

// TestLapsesAreForgotten: holders that vanish a quarter of an hour apart were not killed
// by the item, or it would have killed each of those between.
func TestLapsesAreForgotten(t *testing.T) {
	t.Parallel()
	const visibility = 20 * time.Second
	store, advance := redistest.Clocked(t)
	box, err := inbox.New(store, inbox.Options{Visibility: visibility})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = box.Close() }()
	if _, err := box.Append(t.Context(), item.Event{Key: key(1)}); err != nil {
		t.Fatal(err)
	}
	for n, step := range []struct {
		pass time.Duration
		want int
	}{{0, 0}, {visibility, 1}, {visibility, 2}, {15 * time.Minute, 3}, {15*time.Minute + time.Millisecond, 1}, {visibility, 2}} {
		if step.pass > 0 {
			advance(step.pass)
		}
		got, err := box.Receive(t.Context(), 1, 0)
		if err != nil || len(got) != 1 || got[0].Lapses != step.want {
			t.Fatalf("step %d: %+v %v, want %d lapses", n, got, err, step.want)
		}
	}
}
