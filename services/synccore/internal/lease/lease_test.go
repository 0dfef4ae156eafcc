package lease_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease/leasetest"
	"github.com/tandem-sync/tandem/services/synccore/internal/tenure"
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

// TestHoldEndsWithoutRedis: nobody says that the lease is lost, but its time passes, and
// the next server to answer would give it to another.
func TestHoldEndsWithoutRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	l := lease.New(server.Open(t))
	k := item.Key{Connector: "development", System: item.Alvao, ID: 7}
	const ttl = 2 * time.Second
	holding, held, err := l.Hold(t.Context(), k, ttl)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	if failed := errors.New("x"); !errors.Is(held.Why(failed), failed) {
		t.Error("a failure is told as something else though the lease is held")
	}
	server.Kill()
	select {
	case <-holding.Done():
	case <-time.After(time.Minute):
		t.Fatal("the holder goes on after its time, without Redis")
	}
	if err := context.Cause(holding); !fault.Is(err, fault.Conflict) {
		t.Errorf("the context ended with %v, want a conflict", err)
	}
	if err := held.Why(holding.Err()); !fault.Is(err, fault.Conflict) {
		t.Errorf("what failed then is told as %v, want a conflict", err)
	}
	if err := held.Why(nil); err != nil {
		t.Errorf("what went well is told as %v", err)
	}
}

// TestHoldOfAnEndedCaller: that the caller was stopped is no loss of the lease.
// A holder that was stopped past its lease's time knows by the clock that it must not go on,
// before any timer was served.
func TestHolderKnowsByTheClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wire := miniredis.NewMiniRedis()
		defer wire.Close()
		store, err := datastore.Open(t.Context(), datastore.Options{
			URL: "redis://memory", AllowVolatile: true, Dial: func(context.Context, string, string) (net.Conn, error) { return wire.Dial() },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = store.Close() }()
		ctx, held, err := lease.New(store).Hold(t.Context(), item.Key{Connector: "development", System: item.Alvao, ID: 1}, 20*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		defer held.Release()
		wire.SetError("gone") // nothing is renewed any more
		if err := tenure.Ended(ctx); err != nil {
			t.Errorf("it has just begun, and is said to have ended: %v", err)
		}
		time.Sleep(20*time.Second - time.Nanosecond) //nolint:forbidigo // virtual time
		if err := tenure.Ended(ctx); err != nil {
			t.Errorf("it ended early: %v", err)
		}
		time.Sleep(time.Nanosecond) //nolint:forbidigo // virtual time
		if err := tenure.Ended(ctx); !fault.Is(err, fault.Conflict) {
			t.Errorf("its time is over: %v, want a conflict", err)
		}
		if ctx.Err() == nil {
			t.Error("its context goes on")
		}
	})
}

func TestHoldOfAnEndedCaller(t *testing.T) {
	t.Parallel()
	l := lease.New(redistest.Embedded(t))
	ctx, stop := context.WithCancel(t.Context())
	_, held, err := l.Hold(ctx, item.Key{Connector: "development", System: item.Alvao, ID: 7}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	stop()
	if err := held.Why(context.Canceled); fault.Is(err, fault.Conflict) {
		t.Errorf("a stop is told as %v", err)
	}
}
