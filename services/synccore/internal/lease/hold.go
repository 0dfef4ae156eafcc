package lease

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/tenure"
)

// Held is a lease that is being renewed.
type Held struct {
	Lease

	release func()
	why     func(error) error
}

// Release stops renewing and gives the lease back. It must be called once.
func (h Held) Release() { h.release() }

// Why is the reason that work under the lease failed with err: that the lease was lost
// (fault.Conflict), if it was, for whatever fails in a context that has ended says so in
// other words; else err. Call it before Release.
func (h Held) Why(err error) error { return h.why(err) }

// Hold takes the lease and renews it, four times within its time, until Release. It
// fails with fault.Conflict when somebody else holds the lease.
//
// The context ends when the lease is lost, with a fault.Conflict as its cause: a holder
// that was replaced, or may have been, must not go on. It may have been when the lease's
// time has passed since the last renewal that Redis confirmed. That time is measured from
// before the renewal was sent, so the holder stops before Redis gives the lease to another.
// A process that was stopped past that time may go on before the context has ended; whoever
// changes something asks tenure.Ended, which looks at the clock.
func (l *Leases) Hold(ctx context.Context, k item.Key, ttl time.Duration) (context.Context, Held, error) {
	return l.HoldAnd(ctx, k, ttl, nil)
}

// HoldAnd is Hold that asks more in the same round trip.
func (l *Leases) HoldAnd(ctx context.Context, k item.Key, ttl time.Duration, also Also) (context.Context, Held, error) {
	holding, cancel := context.WithCancelCause(ctx)
	lose := func() { cancel(Lost(k)) }
	var until deadline
	until.set(time.Now().Add(ttl)) //nolint:forbidigo // as below
	end := time.AfterFunc(ttl, lose)
	taken, err := l.acquireAnd(ctx, k, ttl, also)
	if err != nil {
		end.Stop()
		cancel(err)
		return ctx, Held{}, err
	}
	var renewing sync.WaitGroup
	renewing.Go(func() {
		ticker := time.NewTicker(ttl / 4)
		defer ticker.Stop()
		defer func() { end.Stop() }()
		for {
			select {
			case <-holding.Done():
				return
			case <-ticker.C:
			}
			next, sent := time.AfterFunc(ttl, lose), time.Now() //nolint:forbidigo // the lease's own time, beside its timer
			err := l.Renew(holding, taken, ttl)
			if err == nil {
				end.Stop()
				end = next
				until.set(sent.Add(ttl))
				continue
			}
			next.Stop()
			if fault.Is(err, fault.Conflict) {
				cancel(err)
				return
			}
			// A store that is away may be back before the lease's time is over.
		}
	})
	release := func() {
		cancel(context.Canceled)
		renewing.Wait()
		last, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer stop()
		// An error costs the next holder the rest of the lease's time and nothing else.
		_ = l.Release(last, taken)
	}
	why := func(err error) error {
		if err == nil || holding.Err() == nil || ctx.Err() != nil {
			return err
		}
		return fmt.Errorf("working under the lease of %s: %w", k, context.Cause(holding))
	}
	ended := func() error {
		if holding.Err() == nil && until.passed() {
			lose()
		}
		if holding.Err() == nil {
			return nil
		}
		return fmt.Errorf("holding the lease of %s: %w", k, context.Cause(holding))
	}
	return tenure.With(holding, ended), Held{Lease: taken, release: release, why: why}, nil
}

// deadline is when a lease ends at the latest, by this process' clock, which does not stand
// still while the process does.
type deadline struct{ at atomic.Pointer[time.Time] }

func (d *deadline) set(at time.Time) { d.at.Store(&at) }

func (d *deadline) passed() bool {
	return !time.Now().Before(*d.at.Load()) //nolint:forbidigo // the lease's own time
}
