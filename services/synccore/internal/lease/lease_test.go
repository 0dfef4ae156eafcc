package lease_test

import (
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease/leasetest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestLeases(t *testing.T) {
	t.Parallel()
	redistest.Each(t, leasetest.Run)
}

func TestLeaseSurvivesKill(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	l := lease.New(server.Open(t))
	k := item.Key{Connector: "development", System: item.Alvao, ID: 7}
	held, err := l.Acquire(t.Context(), k, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if err := l.Renew(t.Context(), held, 1<<40); !fault.Is(err, fault.Unavailable) {
		t.Errorf("renewing without Redis: got %v, want unavailable", err)
	}
	server.Restart(t)
	if _, err := l.Acquire(t.Context(), k, 1<<40); !fault.Is(err, fault.Conflict) {
		t.Errorf("acquiring what is held: got %v, want a conflict", err)
	}
	if err := l.Release(t.Context(), held); err != nil {
		t.Error(err)
	}
	next, err := l.Acquire(t.Context(), k, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	if next.Token <= held.Token {
		t.Errorf("token %d after %d", next.Token, held.Token)
	}
}
