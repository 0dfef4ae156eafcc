package alvao

import (
	"sync/atomic"
	"time"
)

// learnedTTL is how long it is believed what a tenant was found to take or to lack.
// Tenants are updated, and one odd answer proves little.
const learnedTTL = 10 * time.Minute

// learned is something found out about a tenant. The zero value: nothing was.
type learned struct{ at atomic.Pointer[lesson] }

type lesson struct {
	value int
	until time.Time
}

func (l *learned) note(value int, now time.Time) {
	l.at.Store(&lesson{value: value, until: now.Add(learnedTTL)})
}

func (l *learned) forget() { l.at.Store(nil) }

// known is what was noted; 0 if nothing was, or too long ago.
func (l *learned) known(now time.Time) int {
	if at := l.at.Load(); at != nil && now.Before(at.until) {
		return at.value
	}
	return 0
}
