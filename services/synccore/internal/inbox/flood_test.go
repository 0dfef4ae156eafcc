package inbox_test

import (
	"flag"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// flood is how many hints TestFlood stores; make flood stores a million.
var flood = flag.Int("flood", 50_000, "hints of TestFlood") //nolint:gochecknoglobals // a test's flag

// TestFlood: of so many hints 30 % are repeated. While nobody serves them Redis holds an
// item and its newest payload each, however many hints came; once they are served, the
// ids.
func TestFlood(t *testing.T) {
	t.Parallel()
	const (
		items   = 5000
		payload = 1000
		// perItem bounds an item with its payload, perID an id, and sets what the sets of
		// ids cost where each holds few; slack is the server's own.
		perItem, perID, sets, slack = payload + 2500, 24, 8 << 20, 16 << 20
	)
	server := redistest.Start(t)
	box := opened(t, server.Open(t))
	used := func() int {
		t.Helper()
		n, err := strconv.Atoi(server.Info(t, "memory")["used_memory"])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	baseline := used()
	var heap runtime.MemStats
	runtime.ReadMemStats(&heap)
	before := heap.HeapAlloc
	unique := *flood * 7 / 10
	var next, stored atomic.Int64
	var callers sync.WaitGroup
	began := time.Now()
	text := []byte(strings.Repeat("x", payload))
	for range 64 {
		callers.Go(func() {
			for n := int(next.Add(1)) - 1; n < *flood; n = int(next.Add(1)) - 1 {
				id := n % unique
				isNew, err := box.Append(t.Context(), item.Event{
					ID: "azure-devops/0b6a2b59-1e3f-4c11-8f5a-00000000f100/" + strconv.Itoa(id), Key: key(int64(id%items) + 1), Payload: text,
				})
				if err != nil {
					t.Error(err)
					return
				}
				if isNew {
					stored.Add(1)
				}
			}
		})
	}
	callers.Wait()
	took := time.Since(began)
	full := used()
	runtime.GC()
	runtime.ReadMemStats(&heap)
	served := drainAll(t, box)
	left := used()
	const mib = 1 << 20
	t.Logf("%d hints, %d new, within %s (%.0f a second)", *flood, stored.Load(), took.Round(time.Millisecond), float64(*flood)/took.Seconds())
	t.Logf("Redis: %.1f MiB before, %.1f with all of %d items queued, %.1f after: %.1f bytes for each of %d ids",
		float64(baseline)/mib, float64(full)/mib, items, float64(left)/mib, float64(left-baseline)/float64(unique), unique)
	t.Logf("this process: %.1f MiB of heap before, %.1f with all queued", float64(before)/mib, float64(heap.HeapAlloc)/mib)
	if int(stored.Load()) != unique || len(served) != min(items, unique) {
		t.Errorf("%d were new and %d items served, want %d and %d", stored.Load(), len(served), unique, items)
	}
	kept := baseline + unique*perID + sets
	if left > kept {
		t.Errorf("Redis holds %d bytes afterwards, want at most %d", left, kept)
	}
	if most := kept + items*perItem + slack; full > most {
		t.Errorf("Redis held %d bytes, want at most %d", full, most)
	}
	if int(heap.HeapAlloc) > int(before)+32*mib {
		t.Errorf("the heap grew from %d to %d bytes", before, heap.HeapAlloc)
	}
}

// TestNearlyFull: before Redis has to refuse everything, what is new is refused, and what is
// there can be served, which makes room.
func TestNearlyFull(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	box := opened(t, server.Open(t))
	text := []byte(strings.Repeat("x", 60_000))
	for n := range int64(200) {
		if _, err := box.Append(t.Context(), item.Event{Key: key(n + 1), Payload: text}); err != nil {
			t.Fatal(err)
		}
	}
	used, err := strconv.Atoi(server.Info(t, "memory")["used_memory"])
	if err != nil {
		t.Fatal(err)
	}
	server.Must(t, "CONFIG SET maxmemory "+strconv.Itoa(used*105/100))
	await(t, func() bool {
		_, err := box.Append(t.Context(), item.Event{Key: key(1)})
		return fault.Is(err, fault.Unavailable) && datastore.Reason(err) == "maxmemory" && strings.Contains(fault.Sentence(err), "90 %")
	})
	deliveries, err := box.Receive(t.Context(), inbox.MaxReceive, 0)
	if err != nil || len(deliveries) != 200 {
		t.Fatalf("%d items, %v", len(deliveries), err)
	}
	for _, d := range deliveries {
		if err := box.Extend(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if err := box.Done(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	await(t, func() bool {
		stored, err := box.Append(t.Context(), item.Event{Key: key(1)})
		return err == nil && stored
	})
}
