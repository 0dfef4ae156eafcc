package reconcile

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/propagation"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Inbox takes in that a ticket's solver is to be told something.
type Inbox interface {
	Append(ctx context.Context, event item.Event) (stored bool, err error)
}

// NoticeEvent is the type of the hints that announce makes.
const NoticeEvent = "notice"

// announce puts the ticket's notices into the inbox, as work of its own that does not
// hold up the sync. If the process dies before this, the notices stay due, and the next
// round, which the inbox sees to, finds them when it reads the messages.
func (r *round) announce(ctx context.Context) error {
	if r.engine.cfg.Inbox == nil {
		return nil
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	_, err := r.engine.cfg.Inbox.Append(ctx, item.Event{
		Key:  item.Key{Connector: r.connector.Name, System: item.Notices, ID: r.link.Ticket},
		Type: NoticeEvent, Received: r.engine.cfg.Now(), TraceParent: carrier["traceparent"],
	})
	if err != nil {
		return fmt.Errorf("announcing the notices of ticket %d: %w", r.link.Ticket, err)
	}
	return nil
}

// owed tells whether the ticket has notices that were made due and not settled. It is
// only asked where an earlier round may have been cut off before it announced them.
func (r *round) owed(ctx context.Context) (bool, error) {
	if !r.connector.Notices || !r.doubtful {
		return false, nil
	}
	notices, err := r.engine.cfg.Links.Notices(ctx, r.connector.Name, r.link.Ticket)
	if err != nil {
		return false, fmt.Errorf("reading the notices of ticket %d: %w", r.link.Ticket, err)
	}
	for _, notice := range notices {
		if !notice.Done {
			return true, nil
		}
	}
	return false, nil
}
