package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// seek finds the work item that was the ticket's before its link was lost: by the number
// that the ticket carries, or by the mark that the work item does. Where there is none,
// the report's reason says so.
func (r *round) seek(ctx context.Context, marked int64) error {
	if r.sides.TicketGone {
		r.report.Reason = fmt.Sprintf("ticket %d was removed; it is paired anew should it come back", r.link.Ticket)
		return nil
	}
	if strings.TrimSpace(r.sides.Ticket.ExternalID) != "" {
		return nil
	}
	r.report.Reason = fmt.Sprintf("ticket %d carries no number, and no work item carries its mark", r.link.Ticket)
	if marked == 0 {
		return nil
	}
	if err := r.readWorkItem(ctx, marked); err != nil {
		return err
	}
	found := r.sides.WorkItem
	if found == nil || !r.marked(*found) || !slices.ContainsFunc(found.Hyperlinks, func(link string) bool {
		ticket, ok := r.connector.TicketOfURL(link)
		return ok && ticket == r.link.Ticket
	}) {
		r.sides.WorkItem = nil
		return nil
	}
	if err := r.ownerOf(ctx, marked); err != nil {
		return err
	}
	if r.sides.Taken != 0 {
		r.report.Reason = fmt.Sprintf("work item %d carries the mark of ticket %d and belongs to ticket %d", marked, r.link.Ticket, r.sides.Taken)
		r.sides.WorkItem = nil
		return nil
	}
	r.sides.Searched, r.report.Reason = true, ""
	return nil
}

// bearer is another ticket whose mark a work item has: its tag and a hyperlink to it; 0:
// none.
func (r *round) bearer(workItem item.WorkItem) int64 {
	for _, link := range workItem.Hyperlinks {
		ticket, ok := r.connector.TicketOfURL(link)
		if ok && ticket != r.link.Ticket && slices.ContainsFunc(workItem.Tags, func(tag string) bool { return strings.EqualFold(tag, MarkOf(ticket)) }) {
			return ticket
		}
	}
	return 0
}

// marked tells whether a work item carries the ticket's mark.
func (r *round) marked(workItem item.WorkItem) bool {
	return slices.ContainsFunc(workItem.Tags, func(tag string) bool { return strings.EqualFold(tag, MarkOf(r.link.Ticket)) })
}

// leaveAlone finds whether the ticket was there before the connector first started.
// One that has since left the mapped statuses counts as new when it comes back.
//
// Until the connector has noted such tickets, nothing can be said of any: Redis was
// emptied, and a work item that was just being made may still arrive.
func (r *round) leaveAlone(ctx context.Context) error {
	complete, err := r.engine.cfg.Origins.IsComplete(ctx, r.connector.Name)
	if err != nil {
		return fmt.Errorf("looking whether connector %s has noted what was there: %w", r.connector.Name, err)
	}
	if !complete {
		return fault.New(fault.Busy, "Redis holds nothing of connector %q any more; ticket %d waits until Tandem has looked what is there.",
			r.connector.Name, r.link.Ticket).After(plan.Settle)
	}
	if r.connector.Rules.ExistingTickets != mapping.ExistingIgnore {
		// The setting may have changed since the old tickets were noted.
		return nil
	}
	existing, err := r.engine.cfg.Origins.IsExisting(ctx, r.connector.Name, r.link.Ticket)
	if err != nil {
		return fmt.Errorf("looking whether ticket %d is an old one: %w", r.link.Ticket, err)
	}
	if !existing {
		return nil
	}
	if len(r.connector.Rules.Statuses.States(r.sides.Ticket.Status)) == 0 {
		if err := r.engine.cfg.Origins.RemoveExisting(ctx, r.connector.Name, r.link.Ticket); err != nil {
			return fmt.Errorf("forgetting that ticket %d is an old one: %w", r.link.Ticket, err)
		}
		return nil
	}
	r.sides.LeaveAlone = true
	return nil
}
