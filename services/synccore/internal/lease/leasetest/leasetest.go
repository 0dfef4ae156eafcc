// Package leasetest is what any store of leases must pass, whatever Redis is behind.
package leasetest

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
)

const (
	long  = time.Minute
	brief = 50 * time.Millisecond
)

// Run runs the suite; open gives a store without keys.
func Run(t *testing.T, open func(testing.TB) *datastore.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, *datastore.Store){
		"one holder at a time":             oneHolder,
		"keys are independent":             independent,
		"a lease ends with its time":       ends,
		"renewing keeps it":                renewing,
		"a lost lease is told":             lost,
		"tokens rise in a race":            race,
		"tokens rise without the fence":    withoutFence,
		"tokens rise when time runs back":  timeRunsBack,
		"hold renews until release":        hold,
		"hold ends the context when taken": holdLost,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func ticket(n int64) item.Key { return item.Key{Connector: "development", System: item.Alvao, ID: n} }

func acquire(t *testing.T, l *lease.Leases, k item.Key, ttl time.Duration) lease.Lease {
	t.Helper()
	got, err := l.Acquire(t.Context(), k, ttl)
	if err != nil {
		t.Fatalf("acquiring %s: %v", k, err)
	}
	if got.Key != k || got.Token <= 0 {
		t.Fatalf("acquired %+v for %s", got, k)
	}
	return got
}

// acquireLater takes a lease as soon as its holder's time is over.
func acquireLater(t *testing.T, l *lease.Leases, k item.Key) lease.Lease {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), long)
	defer cancel()
	for {
		got, err := l.Acquire(ctx, k, long)
		if err == nil {
			return got
		}
		f, ok := fault.As(err)
		if !ok || f.Kind != fault.Conflict || f.RetryAfter <= 0 {
			t.Fatalf("acquiring a held lease: got %v, want a conflict that tells when to retry", err)
		}
		select {
		case <-time.After(f.RetryAfter):
		case <-ctx.Done():
			t.Fatal("the lease did not end")
		}
	}
}

func wantConflict(t *testing.T, err error, doing string) {
	t.Helper()
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("%s: got %v, want a conflict", doing, err)
	}
}

func oneHolder(t *testing.T, s *datastore.Store) {
	t.Helper()
	l := lease.New(s)
	first := acquire(t, l, ticket(1), long)
	_, err := l.Acquire(t.Context(), ticket(1), long)
	wantConflict(t, err, "acquiring what is held")
	if f, _ := fault.As(err); f != nil && (f.RetryAfter <= 0 || f.RetryAfter > long) {
		t.Errorf("told to retry after %s, want at most %s", f.RetryAfter, long)
	}
	if err := l.Release(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	second := acquire(t, l, ticket(1), long)
	if second.Token <= first.Token {
		t.Errorf("token %d after %d", second.Token, first.Token)
	}
	wantConflict(t, l.Release(t.Context(), first), "releasing an old lease")
	if err := l.Renew(t.Context(), second, long); err != nil {
		t.Errorf("an old lease's release touched the new one: %v", err)
	}
}

func independent(t *testing.T, s *datastore.Store) {
	t.Helper()
	l := lease.New(s)
	acquire(t, l, ticket(1), long)
	acquire(t, l, ticket(11), long)
	acquire(t, l, item.Key{Connector: "other", System: item.Alvao, ID: 1}, long)
	acquire(t, l, item.Key{Connector: "development", System: item.AzureDevOps, ID: 1}, long)
}

func ends(t *testing.T, s *datastore.Store) {
	t.Helper()
	l := lease.New(s)
	first := acquire(t, l, ticket(1), brief)
	second := acquireLater(t, l, ticket(1))
	if second.Token <= first.Token {
		t.Errorf("token %d after %d", second.Token, first.Token)
	}
}

func renewing(t *testing.T, s *datastore.Store) {
	t.Helper()
	l := lease.New(s)
	first := acquire(t, l, ticket(1), long/4)
	if err := l.Renew(t.Context(), first, long); err != nil {
		t.Fatal(err)
	}
	_, err := l.Acquire(t.Context(), ticket(1), long)
	f, _ := fault.As(err)
	if f == nil || f.RetryAfter < long/2 {
		t.Errorf("after renewing for %s: %v", long, err)
	}
}

func lost(t *testing.T, s *datastore.Store) {
	t.Helper()
	l := lease.New(s)
	first := acquire(t, l, ticket(1), brief)
	second := acquireLater(t, l, ticket(1))
	wantConflict(t, l.Renew(t.Context(), first, long), "renewing a lost lease")
	wantConflict(t, l.Release(t.Context(), first), "releasing a lost lease")
	if err := l.Release(t.Context(), second); err != nil {
		t.Errorf("the loser took the winner's lease: %v", err)
	}
	wantConflict(t, l.Renew(t.Context(), second, long), "renewing a released lease")
}

// race lets many take one lease over and over; each checks that it is alone.
func race(t *testing.T, s *datastore.Store) {
	t.Helper()
	const workers, rounds = 8, 15
	l := lease.New(s)
	var inside atomic.Int32
	var last atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for done := 0; done < rounds; {
				got, err := l.Acquire(t.Context(), ticket(1), long)
				if fault.Is(err, fault.Conflict) {
					continue
				}
				if err != nil {
					t.Errorf("acquiring: %v", err)
					return
				}
				if inside.Add(1) != 1 {
					t.Error("two holders at once")
				}
				if before := last.Swap(got.Token); before >= got.Token {
					t.Errorf("token %d after %d", got.Token, before)
				}
				inside.Add(-1)
				done++
				if err := l.Release(t.Context(), got); err != nil {
					t.Errorf("releasing: %v", err)
				}
			}
		})
	}
	all.Wait()
}

// withoutFence: what a power cut may take is the last second; the clock stands in.
func withoutFence(t *testing.T, s *datastore.Store) {
	t.Helper()
	l := lease.New(s)
	first := acquire(t, l, ticket(1), long)
	if err := s.Client().Del(t.Context(), lease.KeyOf(s, ticket(1)), s.Key(lease.Tag(ticket(1)), "fence")).Err(); err != nil {
		t.Fatal(err)
	}
	if second := acquire(t, l, ticket(1), long); second.Token <= first.Token {
		t.Errorf("token %d after %d", second.Token, first.Token)
	}
}

// timeRunsBack: a fail-over to a server whose clock is behind.
func timeRunsBack(t *testing.T, s *datastore.Store) {
	t.Helper()
	l := lease.New(s)
	const ahead = int64(1) << 52 // microseconds: the year 2112
	if err := s.Client().Set(t.Context(), s.Key(lease.Tag(ticket(1)), "fence"), ahead, 0).Err(); err != nil {
		t.Fatal(err)
	}
	before := ahead
	for range 3 {
		got := acquire(t, l, ticket(1), long)
		if got.Token <= before {
			t.Fatalf("token %d after %d", got.Token, before)
		}
		before = got.Token
		if err := l.Release(t.Context(), got); err != nil {
			t.Fatal(err)
		}
	}
}

func hold(t *testing.T, s *datastore.Store) {
	t.Helper()
	l := lease.New(s)
	const ttl = 3 * time.Second // a busy machine may not renew for a second
	holding, held, err := l.Hold(t.Context(), ticket(1), ttl)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-holding.Done():
		t.Errorf("lost although renewed: %v", context.Cause(holding))
	case <-time.After(ttl + ttl/2):
	}
	_, err = l.Acquire(t.Context(), ticket(1), ttl)
	wantConflict(t, err, "acquiring what is held")
	held.Release()
	if holding.Err() == nil {
		t.Error("the context outlives the lease")
	}
	acquire(t, l, ticket(1), ttl)
}

func holdLost(t *testing.T, s *datastore.Store) {
	t.Helper()
	l := lease.New(s)
	const ttl = 200 * time.Millisecond
	holding, held, err := l.Hold(t.Context(), ticket(1), ttl)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Release()
	// What a pause past the lease looks like from inside: somebody else's token.
	if err := s.Client().Set(t.Context(), lease.KeyOf(s, ticket(1)), "1", long).Err(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-holding.Done():
		wantConflict(t, context.Cause(holding), "losing a lease")
	case <-time.After(long):
		t.Error("the holder was not told")
	}
}
