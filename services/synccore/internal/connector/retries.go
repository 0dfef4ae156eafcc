package connector

import (
	"sync"
	"time"
)

// firstRetry is how long after its first failure costly work is tried again.
const firstRetry = time.Minute

// retries spaces out work that fails: a resync that can't succeed costs as much as one
// that does. The pause doubles with each failure, up to how often the work is done anyway.
// It is of this process; each replica has its own. It is safe for concurrent use; the zero
// value is ready.
type retries struct {
	mu    sync.Mutex
	pause time.Duration
	until time.Time
	asked bool
}

// ask lets the next due be true: whoever asked may have removed the cause.
func (r *retries) ask() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = true
}

// due tells whether the work may be tried now.
func (r *retries) due(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	asked := r.asked
	r.asked = false
	return asked || !now.Before(r.until)
}

// note takes in how a try ended.
func (r *retries) note(err error, now time.Time, longest time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.pause, r.until = 0, time.Time{}
		return
	}
	r.pause = min(max(2*r.pause, firstRetry), longest)
	r.until = now.Add(r.pause)
}
