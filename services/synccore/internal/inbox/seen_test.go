package inbox_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// layoutOneID stores an id as builds of layout 1 did: by a key of its own, which ends with
// the window.
func layoutOneID(t *testing.T, store *datastore.Store, id string, left time.Duration) {
	t.Helper()
	sum := sha256.Sum256([]byte(id))
	key := store.Key("inbox", "seen:"+base64.RawURLEncoding.EncodeToString(sum[:16]))
	if err := store.Client().Set(t.Context(), key, "1", left).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestUpgradeOfIDs: a store of the layout before keeps its memory of ids, its queue, and
// nothing of the old form.
func TestUpgradeOfIDs(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, open func(testing.TB) *datastore.Store) {
		t.Helper()
		store := open(t)
		box, err := inbox.New(store, inbox.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = box.Close() }()
		if _, err := box.Append(t.Context(), item.Event{Key: key(1)}); err != nil {
			t.Fatal(err)
		}
		const ids = 1200
		for n := range ids {
			layoutOneID(t, store, fmt.Sprint("old/", n), 72*time.Hour-time.Duration(n)*time.Minute)
		}
		if err := store.Client().Set(t.Context(), store.Key("inbox", "seen:odd"), "1", time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // again does no harm
			if _, err := store.Upgrade(t.Context(), inbox.Steps()); err != nil {
				t.Fatal(err)
			}
		}
		for n := range ids {
			if stored, err := box.Append(t.Context(), item.Event{ID: fmt.Sprint("old/", n), Key: key(2)}); stored || err != nil {
				t.Fatalf("id %d: stored %t, %v; want a duplicate", n, stored, err)
			}
		}
		if stored, err := box.Append(t.Context(), item.Event{ID: "new", Key: key(2)}); !stored || err != nil {
			t.Errorf("a new id: stored %t, %v", stored, err)
		}
		left := 0
		for _, k := range redistest.Keys(t, store, store.Key("inbox", "seen:*")) {
			if !strings.HasSuffix(k, "seen:odd") {
				left++
			}
		}
		if left > 0 {
			t.Errorf("%d keys of the old form are left", left)
		}
		if s, err := box.Stats(t.Context()); err != nil || s.QueuedLive != 2 {
			t.Errorf("%+v, %v; want two items", s, err)
		}
	})
}

// TestIDsEndInTime: an id is known for the whole window and at most half as long again, and
// then nothing of it is left.
func TestIDsEndInTime(t *testing.T) {
	t.Parallel()
	const window = 72 * time.Hour
	for _, after := range []time.Duration{0, time.Hour, window/2 - time.Millisecond, window / 2, window - time.Hour} {
		store, advance := redistest.Clocked(t)
		box, err := inbox.New(store, inbox.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = box.Close() }()
		if after > 0 {
			advance(after)
		}
		known := func() bool {
			t.Helper()
			stored, err := box.Append(t.Context(), item.Event{ID: "id", Key: key(1)})
			if err != nil {
				t.Fatal(err)
			}
			return !stored
		}
		if known() {
			t.Fatal("a new id is known")
		}
		advance(window - time.Millisecond)
		if !known() {
			t.Errorf("stored %s in, it is forgotten before its window", after)
		}
		advance(window/2 + time.Millisecond)
		if left := redistest.Keys(t, store, store.Key("inbox", "ids:*")); len(left) > 0 {
			t.Errorf("stored %s in, it is there after one and a half windows: %v", after, left)
		}
		if known() {
			t.Errorf("stored %s in, it is known after one and a half windows", after)
		}
	}
}
