package inbox

import (
	"context"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// defaultHold is how long a held item waits when it is not told.
const defaultHold = time.Minute

// Extend puts off the end of d's visibility to a full visibility from now. It fails
// with fault.Conflict when the item is no longer the caller's, who then must stop.
func (b *Inbox) Extend(ctx context.Context, d Delivery) error {
	return b.outcome(ctx, d, "extend", b.options.Visibility.Milliseconds())
}

// Done says that d was served. The item is forgotten, or ready again at once when
// hints came meanwhile. It fails with fault.Conflict, and does nothing, when the item
// is no longer the caller's.
func (b *Inbox) Done(ctx context.Context, d Delivery) error {
	return b.outcome(ctx, d, "done")
}

// RetryOptions say when and why an item is to be tried again.
type RetryOptions struct {
	// After is how long to wait; 0 or less: not at all. A hint that comes meanwhile, or
	// came while the item was served, ends the wait at once, unless Held.
	After time.Duration
	// Reason is one sentence for a person: why it waits and what to do.
	Reason string
	// TraceID names the trace of the try, as 32 hex digits.
	TraceID string
	// Counted says that the try counts towards giving up: the item was served, and that
	// failed. What merely had to wait is not counted; it says nothing about lapses either.
	Counted bool
	// Unexpected says of a counted try that it failed for no known reason. Such tries are
	// counted apart too, until one fails for another reason.
	Unexpected bool
	// Held says that a hint must not end the wait: the system throttles, or the
	// connector is unhealthy. Only its time or ReleaseHeld does. Without After it is a
	// minute.
	Held bool
}

// count is how the scripts take in that a try is counted.
func (o RetryOptions) count() string {
	switch {
	case !o.Counted:
		return "0"
	case o.Unexpected:
		return "2"
	default:
		return "1"
	}
}

// Retry puts d back to be tried again, with hints that came meanwhile merged in. It
// fails with fault.Conflict as Done does.
func (b *Inbox) Retry(ctx context.Context, d Delivery, o RetryOptions) error {
	if o.Held && o.After <= 0 {
		o.After = defaultHold
	}
	// A wait of less than a millisecond is still a wait.
	wait := max(o.After, 0)
	ms := (wait + time.Millisecond - 1).Milliseconds()
	return b.outcome(ctx, d, "retry", ms, o.count(), flag(o.Held), short(o.Reason), o.TraceID)
}

// Dead gives d up: a dead letter with the reason takes its place, to be read and
// replayed by people. Hints that came meanwhile, and later ones, start afresh. It
// fails with fault.Conflict as Done does.
func (b *Inbox) Dead(ctx context.Context, d Delivery, reason, traceID string) error {
	return b.outcome(ctx, d, "dead", short(reason), traceID, b.options.MaxDead)
}

// Forward finishes d and hands its hints to another item, in one step: a work item's
// hints are served under the key of its ticket. Hints for d's own item that came
// meanwhile stay with it. It fails with fault.Conflict as Done does.
func (b *Inbox) Forward(ctx context.Context, d Delivery, to item.Key) error {
	if to == d.Key {
		return fault.New(fault.Invalid, "An item's events can't be handed to the item itself (%s).", to)
	}
	if _, err := item.ParseKey(to.String()); err != nil {
		return fault.Wrap(err, fault.Invalid, "An item's events can't be handed to %q, which names no item.", to)
	}
	return b.outcome(ctx, d, "forward", to.String(), newID(to))
}

// outcome runs a script that works on a held item.
func (b *Inbox) outcome(ctx context.Context, d Delivery, script string, args ...any) error {
	name := d.Key.String()
	held, err := b.run(ctx, script, append([]any{name, d.Token}, args...)...).Int()
	if err != nil {
		return datastore.Fault(err, "storing outcome "+script)
	}
	if held == 0 {
		return fault.New(fault.Conflict,
			"The worker that served %s took too long and lost it to another; nothing is to be done, as the item is served again.", name)
	}
	return nil
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return "0"
}

func short(reason string) string {
	if len(reason) <= maxReason {
		return reason
	}
	return strings.ToValidUTF8(reason[:maxReason], "") + "…"
}
