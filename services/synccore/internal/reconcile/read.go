package reconcile

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// read fetches both sides at once.
func (r *round) read(ctx context.Context, hints Hints) error {
	r.sides = plan.Sides{Now: r.engine.cfg.Now(), Force: hints.Force, Winner: hints.Winner}
	if err := r.readBoth(ctx); err != nil {
		return err
	}
	if r.sides.TicketChanged.IsZero() {
		r.sides.TicketChanged = hints.Received
	}
	// Our own messages stir both sides too: that costs one more try.
	r.sides.Force = r.sides.Force || plan.Stirred(r.link, r.sides)
	if r.link.WorkItem != 0 || r.sides.TicketGone || hints.Adopt {
		return nil
	}
	return r.leaveAlone(ctx)
}

func (r *round) readBoth(ctx context.Context) error {
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		ticket, err := r.connector.Tickets.Ticket(groupCtx, r.link.Ticket)
		if fault.Is(err, fault.NotFound) {
			r.sides.TicketGone = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading ticket %d: %w", r.link.Ticket, err)
		}
		r.sides.Ticket = ticket
		r.sides.TicketGone = ticket.Removed
		r.sides.TicketChanged = ticket.LastActivity
		return nil
	})
	if r.link.WorkItem != 0 {
		group.Go(func() error { return r.readWorkItem(groupCtx, r.link.WorkItem) })
	}
	return group.Wait()
}

// readAgain reads both sides once more.
func (r *round) readAgain(ctx context.Context) error {
	changed := r.sides.TicketChanged
	r.sides.WorkItem, r.sides.WorkItemGone = nil, false
	if err := r.readBoth(ctx); err != nil {
		return err
	}
	if r.sides.TicketChanged.IsZero() {
		r.sides.TicketChanged = changed
	}
	return nil
}

func (r *round) readWorkItem(ctx context.Context, id int64) error {
	workItem, err := r.connector.WorkItems.WorkItem(ctx, id)
	if fault.Is(err, fault.NotFound) {
		r.sides.WorkItemGone = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading work item %d: %w", id, err)
	}
	r.sides.WorkItem, r.sides.WorkItemGone = &workItem, false
	return nil
}
