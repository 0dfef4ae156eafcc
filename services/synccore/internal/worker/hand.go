package worker

import (
	"context"
	"log/slog"
	"sync"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
)

// hands are the deliveries that are being served, by their tokens: when one was lost, the
// next delivery of the same item may come to this process before the first has ended. It
// is safe for concurrent use.
type hands struct {
	mu   sync.Mutex
	held map[int64]hand
}

// hand is one delivery being served, and how its handler is told to stop.
type hand struct {
	delivery inbox.Delivery
	lose     context.CancelCauseFunc
}

// take notes a delivery until the returned function is called, which must be done once. The
// context ends when the delivery is lost, with a fault.Conflict as its cause.
func (h *hands) take(ctx context.Context, d inbox.Delivery) (context.Context, func()) {
	held, lose := context.WithCancelCause(ctx)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = map[int64]hand{}
	}
	h.held[d.Token] = hand{delivery: d, lose: lose}
	return held, func() {
		lose(context.Canceled)
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.held, d.Token)
	}
}

func (h *hands) all() []hand {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]hand, 0, len(h.held))
	for _, one := range h.held {
		all = append(all, one)
	}
	return all
}

// lostBy is why the delivery that is served in ctx was lost; nil: it was not.
func lostBy(ctx context.Context) error {
	if cause := context.Cause(ctx); fault.Is(cause, fault.Conflict) {
		return cause
	}
	return nil
}

// beat tells the inbox what is still in hand, and stops the serving of what is not any
// more: another worker has it.
func (w *Worker) beat(ctx context.Context) {
	every(ctx, w.cfg.Heartbeat, func() {
		for _, one := range w.hands.all() {
			err := w.cfg.Inbox.Extend(ctx, one.delivery)
			switch {
			case err == nil || ctx.Err() != nil:
			case fault.Is(err, fault.Conflict):
				one.lose(err)
			default:
				w.cfg.Logger.WarnContext(ctx, "inbox.extend", slog.String("item", one.delivery.Key.String()), slog.String("error", err.Error()))
			}
		}
	})
}
