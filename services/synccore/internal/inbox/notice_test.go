package inbox_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// A ticket's notices are an item of their own beside the ticket: served apart from it,
// found by their id, and replayed.
func TestNoticesStandBesideTheirTicket(t *testing.T) {
	t.Parallel()
	box, err := inbox.New(redistest.Embedded(t), inbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() }) // it has nothing to fail with
	notices := item.Key{Connector: "development", System: item.Notices, ID: 7}
	for _, key := range []item.Key{{Connector: "development", System: item.Alvao, ID: 7}, notices} {
		if _, err := box.Append(t.Context(), item.Event{Key: key, Type: "test", Received: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := box.Receive(t.Context(), 5, 0)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d deliveries, %v", len(got), err)
	}
	for _, d := range got {
		if d.Key != notices {
			continue
		}
		if err := box.Dead(t.Context(), d, "The webhook is gone.", ""); err != nil {
			t.Fatal(err)
		}
	}
	letters, _, err := box.List(t.Context(), "development", inbox.Dead, 10, "")
	if err != nil || len(letters) != 1 || letters[0].Key != notices || !strings.HasPrefix(letters[0].ID, "n7-") {
		t.Fatalf("%+v, %v", letters, err)
	}
	if found, err := box.Get(t.Context(), "development", letters[0].ID); err != nil || found.Key != notices {
		t.Errorf("%+v, %v", found, err)
	}
	if again, err := box.Replay(t.Context(), "development", letters[0].ID); err != nil || again.Key != notices {
		t.Errorf("%+v, %v", again, err)
	}
}
