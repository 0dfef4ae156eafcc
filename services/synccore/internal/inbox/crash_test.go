package inbox_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

func key(n int64) item.Key {
	return item.Key{Connector: "development", System: item.AzureDevOps, ID: n}
}

func open(t *testing.T, server *redistest.Server, o inbox.Options) *inbox.Inbox {
	t.Helper()
	box, err := inbox.New(server.Open(t), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() }) // it has nothing to fail with
	return box
}

// TestKilledRedis kills the server with kill -9 under load, several times, and starts
// it again. Whatever was acknowledged is served, each hint once unless its answer was
// lost, and callers meet nothing but "unavailable".
//
// The server writes before it answers (appendfsync always). With everysec it puts its
// writing off for up to two seconds while the disk is slow, and a kill in that time costs
// what was acknowledged meanwhile: polls find that again.
func TestKilledRedis(t *testing.T) {
	t.Parallel()
	const writers, kills = 8, 4
	server := redistest.Start(t, "--appendfsync", "always")
	// A short patience, as in a gateway's deadline, so that writers meet the outage.
	box := open(t, server, inbox.Options{Visibility: time.Second, CommitTimeout: 300 * time.Millisecond})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var mu sync.Mutex
	acknowledged, refused := map[item.Key]bool{}, map[item.Key]bool{}
	var writing sync.WaitGroup
	for w := range int64(writers) {
		writing.Go(func() {
			for n := int64(1); ctx.Err() == nil; n++ {
				k := key(w*1_000_000 + n)
				_, err := box.Append(context.WithoutCancel(ctx), item.Event{ID: k.String(), Key: k})
				mu.Lock()
				if err == nil {
					acknowledged[k] = true
				} else {
					refused[k] = true
				}
				mu.Unlock()
				if err != nil && !fault.Is(err, fault.Unavailable) {
					t.Errorf("appending: %v", err)
					return
				}
			}
		})
	}
	for range kills {
		before := count(&mu, acknowledged)
		await(t, func() bool { return count(&mu, acknowledged) > before+200 })
		met := count(&mu, refused)
		server.Kill()
		await(t, func() bool { return count(&mu, refused) > met })
		server.Restart(t)
	}
	stop()
	writing.Wait()

	served := map[item.Key]int{}
	for {
		deliveries, err := box.Receive(t.Context(), inbox.MaxReceive, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(deliveries) == 0 {
			break
		}
		for _, d := range deliveries {
			served[d.Key]++
			if err := box.Done(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
	}
	lost := 0
	for k := range acknowledged {
		if served[k] != 1 {
			lost++
		}
	}
	t.Logf("%d acknowledged, %d refused, %d served over %d kills", len(acknowledged), len(refused), len(served), kills)
	if lost > 0 {
		t.Errorf("%d of %d acknowledged hints were lost or served twice", lost, len(acknowledged))
	}
}

func count(mu *sync.Mutex, m map[item.Key]bool) int {
	mu.Lock()
	defer mu.Unlock()
	return len(m)
}

// await waits until done says so.
func await(t *testing.T, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatal("it does not happen")
		case <-ticker.C:
		}
	}
}

// TestKilledBetweenSteps kills the server after each step of an item's way; what was
// answered is still so after the restart.
func TestKilledBetweenSteps(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	const visibility = 500 * time.Millisecond
	box := open(t, server, inbox.Options{Visibility: visibility})
	ctx := t.Context()
	var d inbox.Delivery
	receive := func(t *testing.T) {
		t.Helper()
		got, err := box.Receive(ctx, 10, time.Minute)
		if err != nil || len(got) != 1 {
			t.Fatalf("%d items, %v", len(got), err)
		}
		d = got[0]
	}
	ok := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	wait := inbox.RetryOptions{After: visibility, Counted: true, Reason: "soon"}
	held := inbox.RetryOptions{After: time.Hour, Held: true}
	for _, step := range []struct {
		name string
		do   func(t *testing.T)
		want inbox.Stats
	}{
		{"append", func(t *testing.T) {
			t.Helper()
			_, err := box.Append(ctx, item.Event{ID: "1", Key: key(1)})
			ok(t, err)
		}, inbox.Stats{QueuedLive: 1}},
		{"receive", receive, inbox.Stats{Running: 1}},
		{"hint while running", func(t *testing.T) {
			t.Helper()
			_, err := box.Append(ctx, item.Event{ID: "2", Key: key(1)})
			ok(t, err)
		}, inbox.Stats{Running: 1}},
		{"lapse", receive, inbox.Stats{Running: 1}},
		{"retry", func(t *testing.T) { t.Helper(); ok(t, box.Retry(ctx, d, wait)) }, inbox.Stats{Waiting: 1}},
		{"due", receive, inbox.Stats{Running: 1}},
		{"hold", func(t *testing.T) { t.Helper(); ok(t, box.Retry(ctx, d, held)) }, inbox.Stats{Waiting: 1}},
		{"release", func(t *testing.T) { t.Helper(); ok(t, box.ReleaseHeld(ctx, key(1).Connector)) }, inbox.Stats{QueuedLive: 1}},
		{"receive again", receive, inbox.Stats{Running: 1}},
		{"dead", func(t *testing.T) { t.Helper(); ok(t, box.Dead(ctx, d, "broken", "")) }, inbox.Stats{Dead: 1}},
		{"replay", func(t *testing.T) { t.Helper(); _, err := box.Replay(ctx, d.Key.Connector, d.ID); ok(t, err) }, inbox.Stats{QueuedLive: 1}},
		{"receive replayed", receive, inbox.Stats{Running: 1}},
		{"forward", func(t *testing.T) { t.Helper(); ok(t, box.Forward(ctx, d, key(2))) }, inbox.Stats{QueuedLive: 1}},
		{"receive forwarded", receive, inbox.Stats{Running: 1}},
		{"done", func(t *testing.T) { t.Helper(); ok(t, box.Done(ctx, d)) }, inbox.Stats{}},
	} {
		step.do(t)
		server.Kill()
		server.Restart(t)
		got, err := box.Stats(ctx)
		if err != nil {
			t.Fatalf("after %s: %v", step.name, err)
		}
		got.OldestAge, got.LiveDelay = 0, 0
		if got != step.want {
			t.Fatalf("after %s: %+v, want %+v", step.name, got, step.want)
		}
	}
	if d.Count != 2 || d.Key != key(2) {
		t.Errorf("the last delivery has %d hints for %s", d.Count, d.Key)
	}
	for _, id := range []string{"1", "2"} {
		if stored, err := box.Append(ctx, item.Event{ID: id, Key: key(1)}); stored || err != nil {
			t.Errorf("hint %s again: stored %t, %v", id, stored, err)
		}
	}
}

// TestRefusingRedis: a server that answers but stores nothing (attack R24) makes every
// door for new work say so in a sentence, and needs no hand on Tandem to be used again.
// Out of memory, Redis still takes the outcomes of what runs, whose scripts begin by
// freeing something.
func TestRefusingRedis(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, on, off, want string
	}{
		{"out of memory", "CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "maxmemory"},
		{"read-only replica", "REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "replica"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			box := open(t, server, inbox.Options{})
			ctx := t.Context()
			for n := range int64(2) {
				if _, err := box.Append(ctx, item.Event{Key: key(n + 1)}); err != nil {
					t.Fatal(err)
				}
			}
			got, err := box.Receive(ctx, 1, 0)
			if err != nil || len(got) != 1 {
				t.Fatalf("%v %v", got, err)
			}
			before, err := box.Stats(ctx)
			if err != nil {
				t.Fatal(err)
			}
			server.Must(t, c.on)
			calls := map[string]func() error{
				"append":  func() error { _, err := box.Append(ctx, item.Event{ID: "x", Key: key(3)}); return err },
				"receive": func() error { _, err := box.Receive(ctx, 1, 0); return err },
				"extend":  func() error { return box.Extend(ctx, got[0]) },
			}
			for name, call := range calls {
				err := call()
				if !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.Sentence(err), c.want) {
					t.Errorf("%s: %v, want a sentence about %s", name, err, c.want)
				}
			}
			server.Must(t, c.off)
			after, err := box.Stats(ctx)
			if err != nil {
				t.Fatal(err)
			}
			before.OldestAge, before.LiveDelay, after.OldestAge, after.LiveDelay = 0, 0, 0, 0
			if before != after {
				t.Errorf("a refused step left something: %+v, before %+v", after, before)
			}
			if stored, err := box.Append(ctx, item.Event{ID: "x", Key: key(3)}); !stored || err != nil {
				t.Errorf("after it was healed: stored %t, %v", stored, err)
			}
			if err := box.Done(ctx, got[0]); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDeadRedis: a server that is not there ends a call at its deadline.
func TestDeadRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	box := open(t, server, inbox.Options{})
	server.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := box.Append(ctx, item.Event{Key: key(1)}); err == nil {
		t.Error("stored in a dead server")
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s to give up at a deadline of 300 ms", took)
	}
	if _, err := box.Receive(t.Context(), 1, time.Minute); !fault.Is(err, fault.Unavailable) {
		t.Errorf("receiving: %v, want unavailable", err)
	}
}
