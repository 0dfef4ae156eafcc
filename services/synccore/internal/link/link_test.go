package link_test

import (
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/link/linktest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestLinks(t *testing.T) {
	t.Parallel()
	redistest.Each(t, linktest.Run)
}

// What is about to be made or posted is not before a replica knows of it: a fail-over that
// forgot it would have it made twice.
func TestIntentsReachAReplica(t *testing.T) {
	t.Parallel()
	pair := redistest.StartPair(t, time.Hour)
	store := pair.Open(t)
	links := link.New(store)
	held, err := lease.New(store).Acquire(t.Context(), link.TicketKey("development", 1), 10*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	intent := item.Link{Connector: "development", Ticket: 1, State: item.LinkCreating}
	intent, err = links.Put(t.Context(), held, intent)
	if err != nil {
		t.Fatal(err)
	}
	_, replica := pair.Now(t)
	replica.Pause(t)
	posting := item.Mirror{Posting: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)}
	if _, err := links.Put(t.Context(), held, intent); !fault.Is(err, fault.Unavailable) || datastore.Reason(err) != "replicas" {
		t.Errorf("that a work item is about to be created: %v", err)
	}
	if err := links.PutMirror(t.Context(), held, "r:1", posting); !fault.Is(err, fault.Unavailable) {
		t.Errorf("that a message is about to be posted: %v", err)
	}
	if err := links.PutMirror(t.Context(), held, "r:1", item.Mirror{Target: "7"}); err != nil {
		t.Errorf("that it was posted is found again by its mark: %v", err)
	}
	replica.Resume(t)
}
