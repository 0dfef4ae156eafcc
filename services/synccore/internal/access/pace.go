package access

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
)

// callersKept is how many callers' paces are remembered; a caller who was forgotten
// begins anew.
const callersKept = 10_000

// streamsEach is how many streams a caller may have open at once, such as watches. Each
// looks for news all the time, and all that come by the gateway share one connection.
const streamsEach = 64

// pace bounds how often each caller calls, and how many streams each has open.
type pace struct {
	mu       sync.Mutex
	limiters *lru.Cache[string, *rate.Limiter]
	// streams are the open streams of the callers that have any.
	streams map[string]int
}

func newPace() *pace {
	limiters, err := lru.New[string, *rate.Limiter](callersKept)
	if err != nil {
		panic(err) // only a size below one is refused
	}
	return &pace{limiters: limiters, streams: map[string]int{}}
}

func keyOf(c Caller) string { return c.Kind + " " + c.Name + " " + c.Subject }

// open counts a stream of a caller; false: they have as many as they may. Where it is true
// the stream must be closed.
func (p *pace) open(c Caller) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := keyOf(c)
	if p.streams[key] >= streamsEach {
		return false
	}
	p.streams[key]++
	return true
}

func (p *pace) close(c Caller) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := keyOf(c)
	if p.streams[key]--; p.streams[key] <= 0 {
		delete(p.streams, key)
	}
}

// wait is how long a caller has to wait for the next call; zero: they may call now.
func (p *pace) wait(c Caller, limit config.CallLimit, now time.Time) time.Duration {
	if limit.PerSecond <= 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key := keyOf(c)
	limiter, ok := p.limiters.Get(key)
	if !ok {
		limiter = rate.NewLimiter(rate.Limit(limit.PerSecond), limit.Burst)
		p.limiters.Add(key, limiter)
	}
	if limiter.Limit() != rate.Limit(limit.PerSecond) {
		limiter.SetLimitAt(now, rate.Limit(limit.PerSecond))
	}
	if limiter.Burst() != limit.Burst {
		limiter.SetBurstAt(now, limit.Burst)
	}
	reservation := limiter.ReserveN(now, 1)
	delay := reservation.DelayFrom(now)
	if delay > 0 {
		reservation.CancelAt(now)
	}
	return delay
}
