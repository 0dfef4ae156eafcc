package inbox

import (
	"context"
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// TestBatchOutlivesItsCallers: callers leave after their batch was formed, which from
// outside is too short a moment to meet.
func TestBatchOutlivesItsCallers(t *testing.T) {
	t.Parallel()
	box, err := New(redistest.Embedded(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = box.Close() }()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	var calls []*appendCall
	for n, caller := range []context.Context{gone, t.Context(), gone} {
		call, err := newCall(caller, item.Event{Key: item.Key{Connector: "c", System: item.Alvao, ID: int64(n + 1)}})
		if err != nil {
			t.Fatal(err)
		}
		calls = append(calls, call)
	}
	box.storeBatch(calls)
	for n, call := range calls {
		if stored, err := verdict(<-call.answer); !stored || err != nil {
			t.Errorf("hint %d: stored %t, %v", n, stored, err)
		}
	}
}

// FuzzID: what comes in as a public id is a stranger's.
func FuzzID(f *testing.F) {
	for _, seed := range []string{"t1-abc", "w99-x", "", "-", "t", "t-1-", "t01-", "t+1-", "x1-", "t9223372036854775808-"} {
		f.Add("connector", seed)
	}
	f.Add("a/b", "t1-abc")
	f.Fuzz(func(t *testing.T, connector, id string) {
		k, ok := keyOfID(connector, id)
		if !ok {
			return
		}
		if _, err := item.ParseKey(k.String()); err != nil {
			t.Errorf("%q of %q gave %+v: %v", id, connector, k, err)
		}
		made := newID(k)
		if again, ok := keyOfID(connector, made); !ok || again != k {
			t.Errorf("%+v became %q became %+v", k, made, again)
		}
	})
}
