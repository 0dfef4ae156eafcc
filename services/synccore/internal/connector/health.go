package connector

import (
	"sync"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// probeEvery is how often an unhealthy connector lets one item through to see
// whether its token is accepted again.
const probeEvery = 15 * time.Second

// health remembers whether a system refuses the connector's token. The zero value
// is healthy. It is safe for concurrent use.
type health struct {
	mu     sync.Mutex
	reason string
	since  time.Time
	probe  time.Time
}

// note takes an error's news: a refused token makes the connector unhealthy.
func (h *health) note(err error, now time.Time) {
	if !fault.Is(err, fault.BadToken) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reason == "" {
		h.since = now
	}
	h.reason = fault.Sentence(err)
	h.probe = now.Add(probeEvery)
}

// admit tells whether an item may be tried now: always while healthy, else one at a
// time, to probe. The error is the reason to wait.
func (h *health) admit(now time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.reason == "" {
		return nil
	}
	if now.Before(h.probe) {
		return fault.New(fault.BadToken, "%s", h.reason)
	}
	h.probe = now.Add(probeEvery)
	return nil
}

// recover makes the connector healthy and tells whether it was not.
func (h *health) recover() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.reason != ""
	h.reason, h.since = "", time.Time{}
	return was
}

// state is the reason and since when it holds; empty while healthy.
func (h *health) state() (string, time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reason, h.since
}
