// Package fault sorts errors by what a caller has to do about them.
//
// Its one invariant: a Fault's text is one sentence for a person and is safe to
// show; it never holds a secret or a payload. Everything that no caller acts on
// stays a plain wrapped error and counts as Internal.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind is a class of failure.
type Kind int

// The kinds, with what the worker does about each.
const (
	// Internal is any error of no other kind: retried with backoff, then given up.
	Internal Kind = iota
	// Invalid: the input breaks a rule and never becomes right by itself: given up.
	Invalid
	// NotFound: the item does not exist or can't be seen; the planner decides.
	NotFound
	// Conflict: somebody else was faster (revision, stale lease): re-read at once;
	// not counted as an attempt.
	Conflict
	// Denied: the account lacks a right for this item: given up, with the right named.
	Denied
	// BadToken: the system refuses the connector's credentials: the connector is
	// unhealthy and its work waits; nothing is given up.
	BadToken
	// Throttled: wait for RetryAfter; not counted.
	Throttled
	// Unavailable: network, 5xx, time-outs: retried with backoff, counted.
	Unavailable
	// Refused: a business rule of the system forbids the change (transition,
	// required field): parked until either side changes.
	Refused
	// Busy: the item can't change right now but will (an approval runs): wait for
	// RetryAfter; not counted.
	Busy
	// Misconfigured: the connector's settings don't fit the system (unknown field,
	// type, project): given up, with the setting named.
	Misconfigured
)

// String names the kind as logs and metrics show it.
func (k Kind) String() string {
	names := [...]string{
		"internal", "invalid", "not_found", "conflict", "denied", "bad_token",
		"throttled", "unavailable", "refused", "busy", "misconfigured",
	}
	if k < 0 || int(k) >= len(names) {
		return "unknown"
	}
	return names[k]
}

// Fault is an error with a kind.
type Fault struct {
	Kind Kind
	// Text is one sentence for a person: what happened, to which item, what to do.
	Text string
	// RetryAfter is how long to wait where the kind says so; 0: not told.
	RetryAfter time.Duration
	// Err is the cause for the log; may be nil.
	Err error
}

// New makes a Fault from a kind and a sentence.
func New(kind Kind, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Text: fmt.Sprintf(format, args...)}
}

// Wrap makes a Fault that keeps its cause for the log. The cause's text is not
// shown to people.
func Wrap(cause error, kind Kind, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Text: fmt.Sprintf(format, args...), Err: cause}
}

// After returns a copy that asks to wait d.
func (f *Fault) After(d time.Duration) *Fault {
	c := *f
	c.RetryAfter = d
	return &c
}

// Error gives the sentence, and the cause in brackets.
func (f *Fault) Error() string {
	if f.Err == nil {
		return f.Text
	}
	return f.Text + " (" + f.Err.Error() + ")"
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// As finds the first Fault in err's chain.
func As(err error) (*Fault, bool) {
	var f *Fault
	ok := errors.As(err, &f)
	return f, ok
}

// KindOf is the kind of the first Fault in err's chain, else Internal.
func KindOf(err error) Kind {
	f, ok := As(err)
	if !ok {
		return Internal
	}
	return f.Kind
}

// Is tells whether err is a Fault of that kind.
func Is(err error, kind Kind) bool {
	f, ok := As(err)
	return ok && f.Kind == kind
}

// Sentence is what a person may read about err: the Fault's text, else a neutral one.
func Sentence(err error) string {
	if f, ok := As(err); ok {
		return f.Text
	}
	return "Tandem met an unexpected error; its log has the details under the same trace id."
}
