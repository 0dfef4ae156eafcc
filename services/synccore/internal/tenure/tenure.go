// Package tenure lets whoever is about to change something ask, at the last moment, whether
// the right to do so still lasts.
//
// A context alone does not tell: it ends when a timer is served, and a process that was
// stopped in the middle of its work, as a virtual machine is while it moves to another host,
// goes on with that work before it serves its timers. What it changes in a system then, it
// changes without being the one who may.
//
// Its one invariant: the answer is the clock's, not a timer's.
package tenure

import "context"

type key struct{}

// With gives a context whose users may change something until ended returns an error, which
// then is why not. It is called by many goroutines and must not block.
func With(ctx context.Context, ended func() error) context.Context {
	return context.WithValue(ctx, key{}, ended)
}

// Ended is why the users of ctx must not change anything any more; nil: they may, or nobody
// set a bound.
func Ended(ctx context.Context) error {
	if ended, ok := ctx.Value(key{}).(func() error); ok {
		return ended()
	}
	return nil
}
