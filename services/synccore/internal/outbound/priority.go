package outbound

import (
	"context"
	"time"
)

type (
	backgroundKey struct{}
	patienceKey   struct{}
)

// Background marks the calls made with the context as work that nobody waits for: a
// gate lets every other call go first, and keeps a part of what the other side allows
// free of it.
func Background(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

// IsBackground tells whether the context's calls are background work.
func IsBackground(ctx context.Context) bool {
	marked, ok := ctx.Value(backgroundKey{}).(bool)
	return ok && marked
}

// Patient lets the context's calls wait up to d in front of a gate, where others
// would get a WaitError sooner: for work that holds nothing that somebody waits for.
func Patient(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, patienceKey{}, d)
}

// Patience is how long a call may wait in front of a gate: what Patient said, at least
// otherwise.
func Patience(ctx context.Context, otherwise time.Duration) time.Duration {
	d, ok := ctx.Value(patienceKey{}).(time.Duration)
	if !ok {
		return otherwise
	}
	return max(d, otherwise)
}
