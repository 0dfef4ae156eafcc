// Package resync compares everything that a connector covers with what its links
// remember, and puts what differs into the inbox as background work.
//
// Its one invariant: it only ever reads and appends hints. What a difference means
// is decided by the round that serves the hint, on a read of its own, so that an
// incomplete list can't make anything look deleted.
package resync

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// batch is how many work items one call reads (azure-devops.md §2.1).
const batch = 200

// Tickets lists the tickets of the connector's service.
type Tickets interface {
	// All yields the service's tickets.
	All(ctx context.Context) iter.Seq2[item.Ticket, error]
}

// WorkItems reads many work items at once.
type WorkItems interface {
	// WorkItems reads up to 200 work items; those that can't be read are left out.
	WorkItems(ctx context.Context, ids []int64) ([]item.WorkItem, error)
}

// Links tells what is remembered.
type Links interface {
	Get(ctx context.Context, connector string, ticket int64) (item.Link, error)
	List(ctx context.Context, connector string, pageSize int, pageToken string) (links []item.Link, next string, err error)
}

// Origins knows the tickets that were there before the connector first started.
type Origins interface {
	IsExisting(ctx context.Context, connector string, ticket int64) (bool, error)
}

// Inbox takes hints in.
type Inbox interface {
	Append(ctx context.Context, event item.Event) (stored bool, err error)
}

// Resync compares one connector. Its fields are required and must not change while
// Run runs.
type Resync struct {
	Connector string
	Rules     plan.Rules
	// IgnoreExisting tells that tickets from before the first start get no work item.
	IgnoreExisting bool
	Tickets        Tickets
	WorkItems      WorkItems
	Links          Links
	Origins        Origins
	Inbox          Inbox
	Now            func() time.Time
}

// Result counts what a resync saw.
type Result struct {
	// Links and Tickets count what was compared; Differing what was put into the inbox.
	Links, Tickets, Differing int
}

// Run compares all links with their work items, 200 in a call, and all tickets of
// the service with their links. It holds one page in memory at a time, and the
// numbers of the linked tickets, as what is not listed may be gone.
func (r *Resync) Run(ctx context.Context) (Result, error) {
	run := run{Resync: r, back: map[int64]struct{}{}, unseen: map[int64]struct{}{}}
	token := ""
	for {
		links, next, err := r.Links.List(ctx, r.Connector, batch, token)
		if err != nil {
			return run.result, fmt.Errorf("listing links: %w", err)
		}
		if err := run.compareLinks(ctx, links); err != nil {
			return run.result, err
		}
		if next == "" {
			break
		}
		token = next
	}
	for ticket, err := range r.Tickets.All(ctx) {
		if err != nil {
			return run.result, fmt.Errorf("listing tickets: %w", err)
		}
		run.result.Tickets++
		if err := run.compareTicket(ctx, ticket); err != nil {
			return run.result, err
		}
	}
	return run.result, run.lookForUnseen(ctx)
}

// run is one resync under way.
type run struct {
	*Resync

	result Result
	// back holds the tickets whose link is gone and whose work item can be read. What
	// went may have been the ticket, so the list of tickets has the last word.
	back map[int64]struct{}
	// unseen holds the tickets that have links and were not listed yet.
	unseen map[int64]struct{}
}

// lookForUnseen lets rounds look for the tickets that have links and are not in the
// list: they may be destroyed, or moved to another service.
func (r *run) lookForUnseen(ctx context.Context) error {
	for _, ticket := range slices.Sorted(maps.Keys(r.unseen)) {
		link, err := r.Links.Get(ctx, r.Connector, ticket)
		if err != nil {
			return fmt.Errorf("reading the link of ticket %d: %w", ticket, err)
		}
		if !link.Exists() || link.State == item.LinkGone {
			continue
		}
		if err := r.hint(ctx, link, ticket, "", plan.Strong); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) compareLinks(ctx context.Context, links []item.Link) error {
	ids := make([]int64, 0, len(links))
	for _, link := range links {
		if link.WorkItem != 0 {
			ids = append(ids, link.WorkItem)
		}
	}
	byID := make(map[int64]*item.WorkItem, len(ids))
	if len(ids) > 0 {
		workItems, err := r.WorkItems.WorkItems(ctx, ids)
		if err != nil {
			return fmt.Errorf("reading %d work items: %w", len(ids), err)
		}
		for i := range workItems {
			byID[workItems[i].ID] = &workItems[i]
		}
	}
	for _, link := range links {
		r.result.Links++
		if link.State != item.LinkGone {
			r.unseen[link.Ticket] = struct{}{}
		}
		workItem := byID[link.WorkItem]
		if link.State == item.LinkGone && workItem != nil && !workItem.Deleted && !workItem.Elsewhere {
			r.back[link.Ticket] = struct{}{}
		}
		if err := r.hint(ctx, link, link.Ticket, "", plan.WorkItemDoubt(link, workItem, r.Rules)); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) compareTicket(ctx context.Context, ticket item.Ticket) error {
	delete(r.unseen, ticket.ID)
	link, err := r.Links.Get(ctx, r.Connector, ticket.ID)
	if err != nil {
		return fmt.Errorf("reading the link of ticket %d: %w", ticket.ID, err)
	}
	known := plan.Listed{}
	_, known.WorkItemBack = r.back[ticket.ID]
	if link.WorkItem == 0 && r.IgnoreExisting {
		known.Existing, err = r.Origins.IsExisting(ctx, r.Connector, ticket.ID)
		if err != nil {
			return fmt.Errorf("looking whether ticket %d is an old one: %w", ticket.ID, err)
		}
	}
	return r.hint(ctx, link, ticket.ID, ticket.Status, plan.TicketDoubt(link, ticket, known, r.Rules))
}

// hint puts a ticket into the inbox where there is doubt; where it is slight, once
// within the inbox' memory of events.
func (r *run) hint(ctx context.Context, link item.Link, ticket int64, status string, doubt plan.Doubt) error {
	if doubt == plan.None {
		return nil
	}
	id := ""
	if doubt == plan.Slight {
		id = "resync/" + r.Connector + "/" + strconv.FormatInt(ticket, 10) + "/" + strconv.FormatInt(link.Version, 10) + "/" + status
	}
	stored, err := r.Inbox.Append(ctx, item.Event{
		ID:         id,
		Key:        item.Key{Connector: r.Connector, System: item.Alvao, ID: ticket},
		Type:       "resync",
		Received:   r.Now(),
		Background: true,
	})
	if err != nil {
		return fmt.Errorf("storing a hint for ticket %d: %w", ticket, err)
	}
	if stored {
		r.result.Differing++
	}
	return nil
}
