package lease

import (
	"context"
	"sync"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Held is a lease that is being renewed.
type Held struct {
	Lease

	release func()
}

// Release stops renewing and gives the lease back. It must be called once.
func (h Held) Release() { h.release() }

// Hold takes the lease and renews it, four times within its time, until Release. The
// context ends when the lease is lost: a holder that was replaced must not go on. It
// fails with fault.Conflict when somebody else holds the lease.
func (l *Leases) Hold(ctx context.Context, k item.Key, ttl time.Duration) (context.Context, Held, error) {
	taken, err := l.Acquire(ctx, k, ttl)
	if err != nil {
		return ctx, Held{}, err
	}
	holding, cancel := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		ticker := time.NewTicker(ttl / 4)
		defer ticker.Stop()
		for {
			select {
			case <-holding.Done():
				return
			case <-ticker.C:
				// A store that is away may be back before the lease's time is over.
				if err := l.Renew(holding, taken, ttl); fault.Is(err, fault.Conflict) {
					cancel(err)
					return
				}
			}
		}
	})
	return holding, Held{Lease: taken, release: func() {
		cancel(context.Canceled)
		renewing.Wait()
		last, end := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer end()
		// An error costs the next holder the rest of the lease's time and nothing else.
		_ = l.Release(last, taken)
	}}, nil
}
