package worker

import (
	"context"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
)

// An item may kill the process that serves it, say by its size. Nobody is left to count
// that as a failure, so the inbox counts the workers that took it and vanished
// (inbox.Delivery.Lapses), and after some the item is given up before it is served once
// more.
//
// Those that were in hand beside it lapse with it, and must not be given up. Most are done
// before the next time. The rest, which vanished as often as it did, are served one at a
// time from the second time on, in each process: then it is the killer alone that goes on
// counting, and whoever is served while it waits is done. What waits for its turn is put
// back at once rather than kept, or it would lapse too. So a bystander counts two, and one
// more for each process that dies by another cause while its turn is.
//
// A process that is killed by another cause (a rolling update, a node that goes away)
// counts too: five in a row must find the same item in hand, within a quarter of an hour
// of each other, without one of them coming to an end with it. A stop in order puts items
// back, which is no lapse. A worker that was cut off from Redis and comes back takes its
// lapse back.
const (
	// aloneFrom is from how many lapses on an item is served alone.
	aloneFrom = 2
	// mostLapses is after how many lapses an item is given up.
	mostLapses = 5
	// aloneWait is how long an item waits for its turn to be served alone, before it asks
	// again.
	aloneWait = 2 * time.Second
)

// deadly is the reason to give an item up unserved; nil: there is none.
func deadly(d inbox.Delivery) error {
	if d.Lapses < mostLapses {
		return nil
	}
	return fault.New(fault.Refused,
		"Each of the last %d workers that served %s ended without a word (killed, or out of memory), so it is not served any more; look for what ended them in their logs, and replay the event.",
		d.Lapses, d.Key)
}

// turn waits for nothing: it tells whether the delivery may be served now, with what to
// call when it was; else it has put the delivery back.
func (w *Worker) turn(ctx context.Context, d inbox.Delivery) (func(), bool) {
	if d.Lapses < aloneFrom {
		return func() {}, true
	}
	select {
	case w.alone <- struct{}{}:
		return func() { <-w.alone }, true
	default:
	}
	pause := spread(aloneWait, w.cfg.Chance())
	if err := w.cfg.Inbox.Retry(context.WithoutCancel(ctx), d, inbox.RetryOptions{After: pause, Held: true, Reason: d.LastReason, TraceID: d.LastTraceID}); err != nil {
		// Nobody else was told to serve it.
		return func() {}, true
	}
	w.remind(pause)
	return nil, false
}
