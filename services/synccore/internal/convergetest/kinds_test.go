package convergetest_test

import (
	"context"
	"log/slog"
	"sync"

	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// kindsTaken is a log handler that keeps which kinds of steps rounds took.
type kindsTaken struct {
	tell slog.Handler

	mu    sync.Mutex
	kinds map[string]bool
}

// Enabled implements slog.Handler.
func (k *kindsTaken) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (k *kindsTaken) Handle(ctx context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if steps, ok := a.Value.Any().([]plan.Kind); ok {
			k.mu.Lock()
			defer k.mu.Unlock()
			for _, step := range steps {
				k.kinds[string(step)] = true
			}
		}
		return true
	})
	if k.tell != nil {
		return k.tell.Handle(ctx, r)
	}
	return nil
}

// WithAttrs implements slog.Handler.
func (k *kindsTaken) WithAttrs([]slog.Attr) slog.Handler { return k }

// WithGroup implements slog.Handler.
func (k *kindsTaken) WithGroup(string) slog.Handler { return k }
