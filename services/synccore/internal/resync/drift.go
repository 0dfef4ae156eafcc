package resync

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// MostDrift is how many links one page of a drift report compares at most.
const MostDrift = batch

// Desk reads tickets by their numbers.
type Desk interface {
	// TicketsByID reads tickets in few calls; those that are not listed are left out.
	TicketsByID(ctx context.Context, ids []int64) ([]item.Ticket, error)
	// Ticket reads one; fault.NotFound if there is none.
	Ticket(ctx context.Context, id int64) (item.Ticket, error)
}

// Boards reads work items by their numbers.
type Boards interface {
	WorkItems
	// WorkItem reads one; fault.NotFound if there is none.
	WorkItem(ctx context.Context, id int64) (item.WorkItem, error)
}

// Drift compares links with both of their sides. It only reads.
type Drift struct {
	Connector string
	Rules     plan.Rules
	Tickets   Desk
	WorkItems Boards
	Links     Links
}

// DriftPage is what a page of links brought.
type DriftPage struct {
	// Drifts are those that differ, Compared counts all.
	Drifts   []item.Drift
	Compared int
	// Next is the token of the next page; empty on the last.
	Next string
}

// Page compares up to size links. What a list leaves out is read one by one, so that
// nothing is called gone that was only left out.
func (d *Drift) Page(ctx context.Context, size int, token string) (DriftPage, error) {
	links, next, err := d.Links.List(ctx, d.Connector, min(max(size, 1), MostDrift), token)
	if err != nil {
		return DriftPage{}, fmt.Errorf("listing links: %w", err)
	}
	drifts, err := d.compare(ctx, links)
	return DriftPage{Drifts: drifts, Compared: len(links), Next: next}, err
}

// Of compares the link of one ticket; false: nothing differs, or there is no link.
func (d *Drift) Of(ctx context.Context, ticket int64) (item.Drift, bool, error) {
	known, err := d.Links.GetMany(ctx, d.Connector, []int64{ticket})
	if err != nil {
		return item.Drift{}, false, fmt.Errorf("reading the link of ticket %d: %w", ticket, err)
	}
	link, ok := known[ticket]
	if !ok {
		return item.Drift{}, false, nil
	}
	drifts, err := d.compare(ctx, []item.Link{link})
	if err != nil || len(drifts) == 0 {
		return item.Drift{}, false, err
	}
	return drifts[0], true, nil
}

func (d *Drift) compare(ctx context.Context, links []item.Link) ([]item.Drift, error) {
	var tickets map[int64]*item.Ticket
	var workItems map[int64]*item.WorkItem
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		var err error
		tickets, err = d.tickets(groupCtx, links)
		return err
	})
	group.Go(func() error {
		var err error
		workItems, err = d.workItems(groupCtx, links)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var drifts []item.Drift
	for _, link := range links {
		ticket, workItem := tickets[link.Ticket], workItems[link.WorkItem]
		found := plan.Differences(link, ticket, workItem, d.Rules)
		if len(found) == 0 {
			continue
		}
		one := item.Drift{Ticket: link.Ticket, WorkItem: link.WorkItem, Differences: found}
		if ticket != nil {
			one.Status = ticket.Status
		}
		if workItem != nil {
			one.State = workItem.State
		}
		drifts = append(drifts, one)
	}
	return drifts, nil
}

// singly is how many items are read at once, one by one.
const singly = 8

func (d *Drift) tickets(ctx context.Context, links []item.Link) (map[int64]*item.Ticket, error) {
	ids := make([]int64, len(links))
	for i, link := range links {
		ids[i] = link.Ticket
	}
	listed, err := d.Tickets.TicketsByID(ctx, ids)
	// A tenant that can't list by number is asked for each one.
	if err != nil && !fault.Is(err, fault.Invalid) {
		return nil, fmt.Errorf("reading %d tickets: %w", len(ids), err)
	}
	return completed(ctx, ids, listed, func(t *item.Ticket) int64 { return t.ID }, d.Tickets.Ticket)
}

func (d *Drift) workItems(ctx context.Context, links []item.Link) (map[int64]*item.WorkItem, error) {
	var ids []int64
	for _, link := range links {
		if link.WorkItem != 0 {
			ids = append(ids, link.WorkItem)
		}
	}
	if len(ids) == 0 {
		return map[int64]*item.WorkItem{}, nil
	}
	listed, err := d.WorkItems.WorkItems(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("reading %d work items: %w", len(ids), err)
	}
	return completed(ctx, ids, listed, func(w *item.WorkItem) int64 { return w.ID }, d.WorkItems.WorkItem)
}

// completed reads what a list left out.
func completed[T any](ctx context.Context, ids []int64, listed []T, number func(*T) int64, read func(context.Context, int64) (T, error)) (map[int64]*T, error) {
	all := make(map[int64]*T, len(ids))
	for i := range listed {
		all[number(&listed[i])] = &listed[i]
	}
	singles := make([]*T, len(ids))
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(singly)
	for i, id := range ids {
		if all[id] != nil {
			continue
		}
		group.Go(func() error {
			one, err := read(groupCtx, id)
			switch {
			case fault.Is(err, fault.NotFound):
				return nil
			case err != nil:
				return fmt.Errorf("reading item %d: %w", id, err)
			}
			singles[i] = &one
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, one := range singles {
		if one != nil {
			all[ids[i]] = one
		}
	}
	return all, nil
}
