package worker

import (
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
)

// Verdict is how the serving of an item ends.
type Verdict string

// The verdicts.
const (
	// Finish: served; nothing is kept.
	Finish Verdict = "done"
	// Again: served again after a time.
	Again Verdict = "retry"
	// GiveUp: kept as a dead letter.
	GiveUp Verdict = "dead"
)

// Outcome is a verdict with what the inbox must know to carry it out.
type Outcome struct {
	Verdict Verdict
	// After is how long to wait before the next attempt.
	After time.Duration
	// Counted tells that the attempt counts towards giving up.
	Counted bool
	// Unexpected tells that it counts among those that failed for no known reason.
	Unexpected bool
	// Held tells that a new hint must not shorten the wait: it is the system, not
	// the item, that can't serve.
	Held bool
	// Reason is one sentence for a person; empty for Finish.
	Reason string
}

const (
	firstBackoff = time.Second
	// lastBackoff bounds how late work goes on after an outage.
	lastBackoff = time.Minute
	// attemptsUnavailable keeps an item through about a day of a system's absence.
	attemptsUnavailable = 1500
	// attemptsInternal is how many attempts in a row may fail for no known reason. Others
	// before them don't count: what failed through an outage is tried anew after it.
	attemptsInternal = 10

	conflictWait  = 200 * time.Millisecond
	busyWait      = 30 * time.Second
	throttledWait = 30 * time.Second
	badTokenWait  = 30 * time.Second
)

// Decide turns the error of an attempt into an outcome. The delivery tells what failed
// before; jitter is a number in [0, 1) that spreads retries.
func Decide(err error, d inbox.Delivery, jitter float64) Outcome {
	if err == nil {
		return Outcome{Verdict: Finish}
	}
	out := Outcome{Verdict: Again, Reason: fault.Sentence(err)}
	told := time.Duration(0)
	if f, ok := fault.As(err); ok {
		told = f.RetryAfter
	}
	switch fault.KindOf(err) {
	case fault.Conflict:
		out.After = spread(orElse(told, conflictWait), jitter)
	case fault.Busy:
		out.After = orElse(told, busyWait)
	case fault.Throttled:
		out.After, out.Held = orElse(told, throttledWait)+time.Duration(jitter*float64(time.Second)), true
	case fault.BadToken:
		out.After, out.Held = spread(badTokenWait, jitter), true
	case fault.Unavailable:
		out = retryLater(out, d.Attempt, attemptsUnavailable, told, jitter)
		// Further hints say nothing about whether the system is back.
		out.Held = out.Verdict == Again
	case fault.Internal:
		out = retryLater(out, d.Unexpected, attemptsInternal, told, jitter)
		out.Unexpected = true
		if d.Attempt+1 >= attemptsUnavailable {
			// An item that fails now this way and now that ends by all its attempts.
			out.Verdict = GiveUp
		}
	case fault.Invalid, fault.NotFound, fault.Denied, fault.Refused, fault.Misconfigured:
		out.Verdict = GiveUp
	}
	return out
}

// retryLater tries again, the later the more attempts failed, and gives up in the end.
func retryLater(out Outcome, attempt, attempts int, told time.Duration, jitter float64) Outcome {
	out.Counted = true
	if attempt+1 >= attempts {
		out.Verdict = GiveUp
		return out
	}
	// Beyond twelve doublings the cap holds anyway.
	wait := min(firstBackoff<<min(max(attempt, 0), 12), lastBackoff)
	out.After = max(spread(wait, jitter), told)
	return out
}

// spread takes up to half of a wait away, so that items that failed together don't
// come back together.
func spread(wait time.Duration, jitter float64) time.Duration {
	return wait - time.Duration(jitter*float64(wait)/2)
}

func orElse(told, otherwise time.Duration) time.Duration {
	if told > 0 {
		return told
	}
	return otherwise
}
