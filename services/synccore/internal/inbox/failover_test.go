package inbox_test

import (
	"context"
	"flag"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// failOvers is how many fail-overs TestFailOver plays on each group of servers.
var failOvers = flag.Int("failovers", 1, "fail-overs of each group of servers; make test-redis plays 4")

// silence is how long a primary is missed before another takes its place. Real ones are
// given more; it is what most of an outage lasts.
const silence = 2 * time.Second

func groups(t *testing.T) map[string]func(*testing.T) redistest.Group {
	t.Helper()
	return map[string]func(*testing.T) redistest.Group{
		"sentinel": func(t *testing.T) redistest.Group { t.Helper(); return redistest.StartPair(t, silence) },
		"cluster":  func(t *testing.T) redistest.Group { t.Helper(); return redistest.StartCluster(t, 1, silence) },
	}
}

// load stores hints until it is stopped, and keeps account of the answers.
type load struct {
	mu                    sync.Mutex
	acknowledged, refused map[item.Key]bool
	last                  time.Time
	gap                   time.Duration
	stop                  context.CancelFunc
	writing               sync.WaitGroup
}

func startLoad(t *testing.T, box *inbox.Inbox, writers int64) *load {
	t.Helper()
	l := &load{acknowledged: map[item.Key]bool{}, refused: map[item.Key]bool{}, last: time.Now()}
	ctx, stop := context.WithCancel(t.Context())
	l.stop = stop
	t.Cleanup(func() { stop(); l.writing.Wait() })
	for w := range writers {
		l.writing.Go(func() {
			for n := int64(1); ctx.Err() == nil; n++ {
				k := key(w*1_000_000 + n)
				_, err := box.Append(context.WithoutCancel(ctx), item.Event{ID: k.String(), Key: k})
				l.note(k, err)
				if err != nil && !fault.Is(err, fault.Unavailable) {
					t.Errorf("appending: %v", err)
					return
				}
			}
		})
	}
	return l
}

func (l *load) note(k item.Key, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.refused[k] = true
		return
	}
	l.acknowledged[k] = true
	now := time.Now()
	l.gap, l.last = max(l.gap, now.Sub(l.last)), now
}

func (l *load) count() (int, int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged), len(l.refused)
}

// awaitMore waits until so many more hints were acknowledged.
func (l *load) awaitMore(t *testing.T, more int) {
	t.Helper()
	before, _ := l.count()
	await(t, func() bool { now, _ := l.count(); return now >= before+more })
}

// outage is the longest time without an acknowledgement since it was called last.
func (l *load) outage() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	gap := l.gap
	l.gap, l.last = 0, time.Now()
	return gap
}

// drainAll serves everything, and counts by item.
func drainAll(t *testing.T, box *inbox.Inbox) map[item.Key]int {
	t.Helper()
	served := map[item.Key]int{}
	for {
		deliveries, err := box.Receive(t.Context(), inbox.MaxReceive, 0)
		if err != nil {
			t.Fatal(err)
		}
		if len(deliveries) == 0 {
			return served
		}
		for _, d := range deliveries {
			served[d.Key]++
			if err := box.Done(t.Context(), d); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestFailOver: attack R7. The replica hangs for three seconds, so that it lags; then the
// primary dies and it takes its place: what was acknowledged is there. So it is when
// nobody dies and the two are exchanged, and when the primary dies out of the blue.
func TestFailOver(t *testing.T) {
	t.Parallel()
	for name, start := range groups(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			group := start(t)
			box := opened(t, group.Open(t))
			l := startLoad(t, box, 8)
			for round := range *failOvers {
				primary, replica := group.Now(t)
				l.awaitMore(t, 200)
				l.outage()
				began := time.Now()
				how := "killed, its replica lagging"
				switch round % 3 {
				case 0:
					replica.Pause(t)
					time.Sleep(3 * time.Second) //nolint:forbidigo // the attack's own time
					l.outage()                  // what the replica hung is not Tandem's time
					primary.Kill()
					replica.Resume(t)
				case 1:
					how = "exchanged"
					await(t, func() bool { return group.Whole(t) }) // who died before copies the new one
					group.FailOver(t)
				default:
					how = "killed"
					primary.Kill()
				}
				await(t, func() bool { return l.lately(began) && group.Elsewhere(t, primary) })
				l.awaitMore(t, 200)
				outage := l.outage()
				if primary.Kill(); round+1 < *failOvers {
					primary.Restart(t)
				}
				t.Logf("primary %s: %s without an acknowledgement", how, outage.Round(time.Millisecond))
				if most := 15 * time.Second; outage > most {
					t.Errorf("nothing was stored for %s, want at most %s", outage, most)
				}
			}
			l.stop()
			l.writing.Wait()
			served := drainAll(t, box)
			lost := 0
			for k := range l.acknowledged {
				if served[k] != 1 {
					lost++
				}
			}
			t.Logf("%d acknowledged, %d refused, %d served", len(l.acknowledged), len(l.refused), len(served))
			if lost > 0 {
				t.Errorf("%d of %d acknowledged hints were lost or served twice", lost, len(l.acknowledged))
			}
		})
	}
}

func (l *load) lately(since time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last.After(since)
}

func opened(t *testing.T, store *datastore.Store) *inbox.Inbox {
	t.Helper()
	// A short patience, as in a gateway's deadline, so that writers meet the outage.
	box, err := inbox.New(store, inbox.Options{CommitTimeout: 4 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() }) // it has nothing to fail with
	return box
}

// TestLaggingReplica: while no replica confirms, nothing is acknowledged, and repeating an
// event that one server has stored is no way around it.
func TestLaggingReplica(t *testing.T) {
	t.Parallel()
	pair := redistest.StartPair(t, time.Hour)
	box := opened(t, pair.Open(t))
	_, replica := pair.Now(t)
	e := func(n int) item.Event { return item.Event{ID: strconv.Itoa(n), Key: key(int64(n))} }
	if stored, err := box.Append(t.Context(), e(1)); !stored || err != nil {
		t.Fatalf("stored %t, %v", stored, err)
	}
	replica.Pause(t)
	for range 2 {
		if stored, err := box.Append(t.Context(), e(2)); !fault.Is(err, fault.Unavailable) || datastore.Reason(err) != "replicas" {
			t.Errorf("stored %t, %v; want a refusal for want of replicas", stored, err)
		}
	}
	replica.Resume(t)
	await(t, func() bool {
		stored, err := box.Append(t.Context(), e(2))
		if err == nil && stored {
			t.Error("the first try was stored, so the next is a duplicate")
		}
		return err == nil
	})
}
