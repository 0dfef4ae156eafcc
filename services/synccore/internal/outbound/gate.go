package outbound

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Gate decides when a call may go out. Pace is the gate of one process; one that
// all replicas share fits the same interface.
type Gate interface {
	// Enter waits for its turn; writes tells that the call may change something. It
	// returns a *WaitError at once where the wait would be longer than a worker should
	// hold on to its item, see Patient; calls marked as Background come after all others.
	// The function returned must be called once, with what was answered, or with nil
	// where nothing was.
	Enter(ctx context.Context, writes bool) (leave func(*http.Response), err error)
}

// WaitError tells that a call may not go out before For has passed.
type WaitError struct{ For time.Duration }

// Error says how long to wait.
func (e *WaitError) Error() string { return fmt.Sprintf("the system asked to wait another %s", e.For) }

// PaceOptions bound how fast a Pace lets calls out. Zero values take the defaults.
type PaceOptions struct {
	// PerSecond is the sustained rate; 0: not bounded.
	PerSecond float64
	// Burst is how many calls may go out at once after a pause; default PerSecond.
	Burst int
	// Concurrent is how many calls may be in flight; default 8.
	Concurrent int
	// Longest is how long Enter waits for a pause to end before it gives a WaitError,
	// unless the call is Patient; default 5 s.
	Longest time.Duration
	// Now is the clock.
	Now func() time.Time
}

// Pace is a Gate that bounds rate and concurrency and pauses everything while the
// other side asks to wait (see Advise). After a pause it begins anew with one call at
// a time, so that all who waited do not knock at once. Safe for use by many goroutines.
type Pace struct {
	rate    *rate.Limiter
	slots   *slots
	longest time.Duration
	now     func() time.Time

	mu    sync.Mutex
	until time.Time
}

// NewPace makes a Pace.
func NewPace(o PaceOptions) *Pace {
	if o.Concurrent <= 0 {
		o.Concurrent = 8
	}
	if o.Longest <= 0 {
		o.Longest = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now //nolint:forbidigo // the default of an injected clock
	}
	p := &Pace{slots: newSlots(o.Concurrent), longest: o.Longest, now: o.Now}
	if o.PerSecond > 0 {
		if o.Burst <= 0 {
			o.Burst = max(1, int(o.PerSecond))
		}
		p.rate = rate.NewLimiter(rate.Limit(o.PerSecond), o.Burst)
	}
	return p
}

// Enter implements Gate.
func (p *Pace) Enter(ctx context.Context, _ bool) (func(*http.Response), error) {
	if err := p.sitOut(ctx); err != nil {
		return nil, err
	}
	// A free slot may come at the moment at which the caller goes.
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	background := IsBackground(ctx)
	if err := p.slots.acquire(ctx, background); err != nil {
		return nil, err
	}
	// A pause may have begun while the slot was awaited.
	err := p.sitOut(ctx)
	if err == nil && p.rate != nil {
		err = p.rate.Wait(ctx)
	}
	if err != nil {
		p.slots.release(background)
		return nil, err
	}
	var once sync.Once
	return func(answer *http.Response) {
		once.Do(func() {
			p.heed(answer)
			p.slots.release(background)
		})
	}, nil
}

// Pause lets nothing out before until.
func (p *Pace) Pause(until time.Time) {
	p.mu.Lock()
	longer := until.After(p.until)
	if longer {
		p.until = until
	}
	p.mu.Unlock()
	if longer {
		p.slots.slow()
	}
}

// InFlight is how many calls are under way.
func (p *Pace) InFlight() int { return p.slots.inFlight() }

// Remaining is how long the present pause still lasts; 0: none.
func (p *Pace) Remaining() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, p.until.Sub(p.now()))
}

func (p *Pace) sitOut(ctx context.Context) error {
	for {
		left := p.Remaining()
		if left <= 0 {
			return nil
		}
		if left > Patience(ctx, p.longest) {
			return &WaitError{For: left}
		}
		if err := Sleep(ctx, left); err != nil {
			return err
		}
	}
}

func (p *Pace) heed(answer *http.Response) {
	if answer == nil {
		return
	}
	now := p.now()
	switch advice := Advise(answer.StatusCode, answer.Header, now); {
	case advice.Pause > 0:
		p.Pause(now.Add(advice.Pause))
	case advice.Pressed:
		p.slots.slow()
	default:
		p.slots.quicken()
	}
}

// Sleep waits so long, or until ctx ends, whose error it then gives.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
