package worker

import (
	"sync"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

const (
	// burstMemory is how long a served item is remembered: hints that follow within
	// that time may be a burst.
	burstMemory = time.Second
	// burstQuiet is how long no hint may have come before a burst counts as over. It is
	// what a second change within burstMemory waits.
	burstQuiet = 100 * time.Millisecond
	// burstMost is how long a burst is waited for at most.
	burstMost = 2 * time.Second
	// recentMost bounds the memory.
	recentMost = 100_000
)

// recent remembers which items were served a moment ago, so that a burst of hints on
// one item costs the round that its first hint started and one more after its last. It
// is this process' own memory: with several replicas a burst costs a round of each at
// most. It is safe for concurrent use; the zero value is ready.
type recent struct {
	mu     sync.Mutex
	served map[item.Key]time.Time
}

// pause is how long a delivery is to wait for the rest of its burst; 0: it is none.
func (r *recent) pause(d inbox.Delivery, now time.Time) time.Duration {
	r.mu.Lock()
	at, known := r.served[d.Key]
	r.mu.Unlock()
	switch {
	case d.Force || d.Background || !Fresh(d):
		return 0
	case !known || now.Sub(at) > burstMemory+burstMost:
		return 0
	case d.First.Received.Sub(at) > burstMemory || now.Sub(d.First.Received) > burstMost:
		return 0
	default:
		// Times of the edge and of this process differ by their clocks: what seems to
		// come from the future is new.
		return max(0, burstQuiet-max(0, now.Sub(d.Last.Received)))
	}
}

// note remembers that an item was served.
func (r *recent) note(k item.Key, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.served == nil || len(r.served) >= recentMost {
		// Forgetting all at once costs a few rounds and keeps this simple.
		r.served = map[item.Key]time.Time{}
	}
	r.served[k] = now
}

// Fresh tells that a delivery is served for the first time: of a try before, nobody
// knows how far it came.
func Fresh(d inbox.Delivery) bool { return d.Attempt == 0 && d.LastReason == "" }
