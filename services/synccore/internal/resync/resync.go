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
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
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

// Inbox takes hints in.
type Inbox interface {
	Append(ctx context.Context, event item.Event) (stored bool, err error)
}

// Resync compares one connector. Its fields are required and must not change while
// Run runs.
type Resync struct {
	Connector string
	Map       mapping.StatusMap
	Tickets   Tickets
	WorkItems WorkItems
	Links     Links
	Inbox     Inbox
	Now       func() time.Time
}

// Result counts what a resync saw.
type Result struct {
	// Links and Tickets count what was compared; Differing what was put into the inbox.
	Links, Tickets, Differing int
}

// Run compares all links with their work items, 200 in a call, and all tickets of
// the service with their links. It holds one page in memory at a time.
func (r *Resync) Run(ctx context.Context) (Result, error) {
	var result Result
	token := ""
	for {
		links, next, err := r.Links.List(ctx, r.Connector, batch, token)
		if err != nil {
			return result, fmt.Errorf("listing links: %w", err)
		}
		if err := r.compareLinks(ctx, links, &result); err != nil {
			return result, err
		}
		if next == "" {
			break
		}
		token = next
	}
	for ticket, err := range r.Tickets.All(ctx) {
		if err != nil {
			return result, fmt.Errorf("listing tickets: %w", err)
		}
		result.Tickets++
		if err := r.compareTicket(ctx, ticket, &result); err != nil {
			return result, err
		}
	}
	return result, nil
}

func (r *Resync) compareLinks(ctx context.Context, links []item.Link, result *Result) error {
	ids := make([]int64, 0, len(links))
	for _, link := range links {
		if link.WorkItem != 0 {
			ids = append(ids, link.WorkItem)
		}
	}
	byID := make(map[int64]item.WorkItem, len(ids))
	if len(ids) > 0 {
		workItems, err := r.WorkItems.WorkItems(ctx, ids)
		if err != nil {
			return fmt.Errorf("reading %d work items: %w", len(ids), err)
		}
		for _, workItem := range workItems {
			byID[workItem.ID] = workItem
		}
	}
	for _, link := range links {
		result.Links++
		workItem, read := byID[link.WorkItem]
		if !r.linkDiffers(link, workItem, read) {
			continue
		}
		if err := r.append(ctx, link.Ticket, result); err != nil {
			return err
		}
	}
	return nil
}

func (r *Resync) linkDiffers(link item.Link, workItem item.WorkItem, read bool) bool {
	switch link.State {
	case item.LinkCreating:
		return true
	case item.LinkGone:
		return read
	case item.LinkParked:
		return link.Parked == nil || !read || !mapping.Same(link.Parked.State, workItem.State)
	case item.LinkActive:
		return !read || link.Move != nil || !mapping.Same(link.Agreed.State, workItem.State)
	default:
		return true
	}
}

func (r *Resync) compareTicket(ctx context.Context, ticket item.Ticket, result *Result) error {
	link, err := r.Links.Get(ctx, r.Connector, ticket.ID)
	if err != nil {
		return fmt.Errorf("reading the link of ticket %d: %w", ticket.ID, err)
	}
	var differs bool
	switch {
	case !link.Exists() || link.WorkItem == 0:
		differs = !ticket.Removed && (ticket.ExternalID != "" || len(r.Map.States(ticket.Status)) > 0)
	case link.State == item.LinkParked && link.Parked != nil:
		differs = !mapping.Same(ticket.Status, link.Parked.Status)
	case link.State == item.LinkGone:
		differs = false
	default:
		differs = ticket.Removed || !mapping.Same(ticket.Status, link.Agreed.Status)
	}
	if !differs {
		return nil
	}
	return r.append(ctx, ticket.ID, result)
}

func (r *Resync) append(ctx context.Context, ticket int64, result *Result) error {
	_, err := r.Inbox.Append(ctx, item.Event{
		Key:        item.Key{Connector: r.Connector, System: item.Alvao, ID: ticket},
		Type:       "resync",
		Received:   r.Now(),
		Background: true,
	})
	if err != nil {
		return fmt.Errorf("storing a hint for ticket %d: %w", ticket, err)
	}
	result.Differing++
	return nil
}
