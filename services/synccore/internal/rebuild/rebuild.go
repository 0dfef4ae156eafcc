// Package rebuild makes the links of a connector anew from what both systems say, after
// Redis was lost: the number of the work item that each ticket carries, the tag and
// hyperlink of each work item, the references in mirrored messages and beside files.
//
// Its one invariant: it decides nothing about a pair. It finds tickets that had a work
// item, and has an ordinary round look at each, which adopts what is there and makes no
// work item; so rebuilding and the sync that runs beside it can't disagree.
package rebuild

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// Tickets reads the tickets of the connector's service.
type Tickets interface {
	Pages(ctx context.Context, from int) iter.Seq2[item.TicketPage, error]
	Ticket(ctx context.Context, id int64) (item.Ticket, error)
}

// WorkItems reads the work items of the connector's project.
type WorkItems interface {
	// AllTags reads a batch of all work items with their tags, deleted ones too.
	AllTags(ctx context.Context, position string) (item.Changes, error)
	WorkItems(ctx context.Context, ids []int64) ([]item.WorkItem, error)
}

// Links tells what is remembered already.
type Links interface {
	GetMany(ctx context.Context, connector string, tickets []int64) (map[int64]item.Link, error)
	// Reindex makes sure that the tickets' links are listed.
	Reindex(ctx context.Context, connector string, tickets []int64) error
}

// Origins notes the tickets that get no work item.
type Origins interface {
	IsComplete(ctx context.Context, connector string) (bool, error)
	AddExisting(ctx context.Context, connector string, tickets ...int64) error
	RemoveExisting(ctx context.Context, connector string, tickets ...int64) error
	MarkComplete(ctx context.Context, connector string) error
}

// Outcome is what a round made of a pair.
type Outcome struct {
	WorkItem int64
	Writes   int
	// Reason says how both stand, for people.
	Reason string
}

// Rebuild makes links anew. Its fields are required but NewSince and DryRun.
type Rebuild struct {
	Connector string
	Rules     plan.Rules
	// IgnoreExisting tells that tickets from before the connector get no work item.
	IgnoreExisting bool
	Tickets        Tickets
	WorkItems      WorkItems
	Links          Links
	Origins        Origins
	// TicketOfMark reads the tag of a work item that belongs to a ticket.
	TicketOfMark func(tag string) (ticket int64, ok bool)
	// Round has a round adopt a ticket's work item; marked is the one that carries its
	// mark, 0 if none does.
	Round func(ctx context.Context, ticket, marked int64) (Outcome, error)
	// Tell is told of each pair; never by two goroutines at once.
	Tell func(Pair)
	// NewSince is from when on tickets are the connector's: those that were made at or
	// after it and have no work item get one. Zero: nobody knows, so none does that stands
	// in a mapped status now.
	NewSince time.Time
	// DryRun tells that nothing is written anywhere.
	DryRun bool
}

// Pair is what was found of a ticket.
type Pair struct {
	Ticket, WorkItem int64
	Status, State    string
	// By says how they were found: number, mark or both.
	By string
	// Says tells what was done, or would be.
	Says string
}

// Result counts what was found.
type Result struct {
	// Tickets and WorkItems count what was looked through, Marked the work items that
	// carry a mark.
	Tickets, WorkItems, Marked int
	// Known counts the pairs that were linked already, Linked those that are now, Writes
	// what that wrote.
	Known, Linked, Writes int
	// Alone counts tickets in a mapped status that get no work item, New those that will.
	Alone, New int
	// Failed counts the pairs that could not be looked at.
	Failed int
}

// ErrIncomplete tells that some pairs could not be looked at; once the causes are gone, it
// goes on with those.
var ErrIncomplete = errors.New("some pairs could not be looked at")

// atOnce is how many pairs are looked at at once.
const atOnce = 8

// work is one rebuild under way.
type work struct {
	*Rebuild

	result Result
	mu     sync.Mutex
	// marks are the work items that carry a ticket's mark, by ticket; those left at the
	// end are of tickets that are not listed.
	marks map[int64][]int64
	// bearers are the tickets by the work item that bears their mark, owners by the one
	// that was theirs.
	bearers, owners map[int64]int64
}

// Run goes through both systems once. It holds the numbers of all pairs in memory.
func (r *Rebuild) Run(ctx context.Context) (Result, error) {
	w := &work{Rebuild: r, marks: map[int64][]int64{}, bearers: map[int64]int64{}, owners: map[int64]int64{}}
	if err := w.readMarks(ctx); err != nil {
		return w.result, err
	}
	complete, err := r.Origins.IsComplete(ctx, r.Connector)
	if err != nil {
		return w.result, fmt.Errorf("looking whether the connector noted what was there: %w", err)
	}
	if !complete && !r.DryRun {
		// A work item or message may still arrive that was being written when Redis was lost.
		if err := wait(ctx, plan.Settle); err != nil {
			return w.result, err
		}
	}
	for page, err := range r.Tickets.Pages(ctx, 0) {
		if err != nil {
			return w.result, fmt.Errorf("listing tickets: %w", err)
		}
		// A page may hold more than one call reads of work items.
		for part := range slices.Chunk(page.Tickets, batch) {
			if err := w.page(ctx, part, complete); err != nil {
				return w.result, err
			}
		}
	}
	for _, ticket := range slices.Sorted(maps.Keys(w.marks)) {
		r.Tell(Pair{Ticket: ticket, WorkItem: w.marks[ticket][0], By: "mark", Says: "left alone: the ticket is not listed, as it was removed or moved; they are paired anew should it come back"})
	}
	if w.result.Failed > 0 {
		return w.result, ErrIncomplete
	}
	if r.DryRun || complete {
		return w.result, nil
	}
	if err := r.Origins.MarkComplete(ctx, r.Connector); err != nil {
		return w.result, fmt.Errorf("noting that the connector knows what was there: %w", err)
	}
	return w.result, nil
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("waiting for what was under way: %w", ctx.Err())
	case <-timer.C:
		return nil
	}
}

// batch is how many work items one call reads (azure-devops.md §2.1).
const batch = 200

// readMarks finds all work items that carry a ticket's mark.
func (w *work) readMarks(ctx context.Context) error {
	for position := ""; ; {
		found, err := w.WorkItems.AllTags(ctx, position)
		if err != nil {
			return fmt.Errorf("looking for marked work items: %w", err)
		}
		for _, one := range found.WorkItems {
			w.result.WorkItems++
			for _, tag := range one.Tags {
				ticket, ok := w.TicketOfMark(tag)
				if !ok || slices.Contains(w.marks[ticket], one.ID) {
					continue
				}
				w.result.Marked++
				w.marks[ticket] = append(w.marks[ticket], one.ID)
				w.bearers[one.ID] = ticket
				// Several can only come from outside: the oldest is the original.
				slices.Sort(w.marks[ticket])
			}
		}
		if found.Last || found.Next == "" || found.Next == position {
			return nil
		}
		position = found.Next
	}
}

// candidate is a ticket that had a work item.
type candidate struct {
	ticket item.Ticket
	// number is what the ticket carries, marked what carries its mark; 0: nothing.
	number, marked int64
}

// workItem is the number of the work item that the ticket most likely belongs to.
func (c candidate) workItem() int64 {
	if c.number != 0 {
		return c.number
	}
	return c.marked
}

func (c candidate) by() string {
	switch {
	case c.number == c.marked:
		return "both"
	case c.number != 0:
		return "number"
	default:
		return "mark"
	}
}

// page looks at a page of tickets.
func (w *work) page(ctx context.Context, tickets []item.Ticket, complete bool) error {
	var found []candidate
	var ids, alone, fresh []int64
	for _, ticket := range tickets {
		w.result.Tickets++
		one, had, err := w.candidate(ctx, ticket)
		if err != nil {
			return err
		}
		switch {
		case had:
			found = append(found, one)
			ids = append(ids, one.workItem())
		case len(w.Rules.Map.States(ticket.Status)) == 0:
		case !w.NewSince.IsZero() && !ticket.Created.IsZero() && !ticket.Created.Before(w.NewSince):
			fresh = append(fresh, ticket.ID)
		case w.IgnoreExisting:
			alone = append(alone, ticket.ID)
		default:
			fresh = append(fresh, ticket.ID)
		}
	}
	w.result.Alone, w.result.New = w.result.Alone+len(alone), w.result.New+len(fresh)
	if err := w.note(ctx, alone, fresh, complete); err != nil || len(found) == 0 {
		return err
	}
	shown, err := w.WorkItems.WorkItems(ctx, ids)
	if err != nil {
		return fmt.Errorf("reading %d work items: %w", len(ids), err)
	}
	states := make(map[int64]item.WorkItem, len(shown))
	for _, one := range shown {
		states[one.ID] = one
	}
	return w.pair(ctx, found, states)
}

// candidate finds whether a ticket had a work item. A list that shows no custom fields
// tells nothing of a number; where it may matter the ticket itself is read.
func (w *work) candidate(ctx context.Context, ticket item.Ticket) (candidate, bool, error) {
	one := candidate{ticket: ticket}
	if marks := w.marks[ticket.ID]; len(marks) > 0 {
		one.marked = marks[0]
	}
	delete(w.marks, ticket.ID)
	if ticket.ExternalID == "" && len(ticket.Custom) == 0 && (one.marked != 0 || len(w.Rules.Map.States(ticket.Status)) > 0) {
		read, err := w.Tickets.Ticket(ctx, ticket.ID)
		switch {
		case fault.Is(err, fault.NotFound):
			return one, false, nil
		case err != nil:
			return one, false, fmt.Errorf("reading ticket %d: %w", ticket.ID, err)
		}
		one.ticket = read
	}
	number, err := strconv.ParseInt(strings.TrimSpace(one.ticket.ExternalID), 10, 64)
	if err == nil && number > 0 {
		one.number = number
	}
	return one, one.number != 0 || one.marked != 0, nil
}

// note has the connector know which tickets get no work item, and which do.
func (w *work) note(ctx context.Context, alone, fresh []int64, complete bool) error {
	if w.DryRun || !w.IgnoreExisting {
		return nil
	}
	if !complete {
		if err := w.Origins.AddExisting(ctx, w.Connector, alone...); err != nil {
			return fmt.Errorf("noting tickets that get no work item: %w", err)
		}
	}
	if err := w.Origins.RemoveExisting(ctx, w.Connector, fresh...); err != nil {
		return fmt.Errorf("noting tickets that get a work item: %w", err)
	}
	return nil
}

// pair looks at all candidates of a page.
func (w *work) pair(ctx context.Context, found []candidate, shown map[int64]item.WorkItem) error {
	tickets := make([]int64, len(found))
	for i, one := range found {
		tickets[i] = one.ticket.ID
	}
	known, err := w.Links.GetMany(ctx, w.Connector, tickets)
	if err != nil {
		return fmt.Errorf("reading the links of %d tickets: %w", len(tickets), err)
	}
	if !w.DryRun {
		if err := w.Links.Reindex(ctx, w.Connector, tickets); err != nil {
			return fmt.Errorf("looking whether %d links are listed: %w", len(tickets), err)
		}
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, one := range found {
		if ctx.Err() != nil {
			break
		}
		told := Pair{Ticket: one.ticket.ID, WorkItem: one.workItem(), Status: one.ticket.Status, By: one.by()}
		workItem, there := shown[told.WorkItem]
		if there {
			told.State = workItem.State
		}
		link := known[one.ticket.ID]
		other := w.owners[told.WorkItem]
		if bearer := w.bearers[told.WorkItem]; bearer != 0 && bearer != one.ticket.ID {
			other = bearer
		}
		switch {
		case link.WorkItem != 0 && link.Agreed.Status != "" && (link.TalkRev != 0 || !w.Rules.Messages):
			w.owners[link.WorkItem] = one.ticket.ID
			w.result.Known++
		case other != 0:
			// A person gave the ticket another one's number. The sync that goes on says so.
			told.Says = fmt.Sprintf("left alone: the work item belongs to ticket %d", other)
			w.tell(told)
		case w.DryRun:
			w.owners[told.WorkItem] = one.ticket.ID
			w.result.Linked++
			told.Says = "would be linked, but the work item can't be read in a list: it was deleted, moved, or is out of reach"
			if there {
				told.Says = "would be linked; " + plan.FirstLook(one.ticket, workItem, w.Rules)
			}
			w.tell(told)
		default:
			w.owners[told.WorkItem] = one.ticket.ID
			group.Go(func() error {
				w.round(ctx, one, told)
				return nil
			})
		}
	}
	_ = group.Wait() // what failed was counted
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("looking at %d pairs: %w", len(found), err)
	}
	return nil
}

func (w *work) tell(told Pair) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Tell(told)
}

// round has one pair looked at.
func (w *work) round(ctx context.Context, one candidate, told Pair) {
	outcome, err := w.Round(ctx, one.ticket.ID, one.marked)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.result.Writes += outcome.Writes
	linked := outcome.WorkItem != 0
	if linked {
		w.result.Linked++
		told.WorkItem = outcome.WorkItem
	}
	switch {
	case err == nil && linked:
		told.Says = fmt.Sprintf("linked, with %d writes: %s", outcome.Writes, outcome.Reason)
	case err == nil:
		told.Says = "left alone: " + outcome.Reason
	case fault.Is(err, fault.Busy) && linked:
		told.Says = "linked: " + fault.Sentence(err)
	default:
		w.result.Failed++
		told.Says = "failed: " + fault.Sentence(err)
	}
	w.Tell(told)
}
