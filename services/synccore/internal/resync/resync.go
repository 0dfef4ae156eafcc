// Package resync compares everything that a connector covers with what its links
// remember, and puts what differs into the inbox as background work.
//
// Its one invariant: it only ever reads and appends hints, and it appends none before
// everything was compared and what rounds would write was judged. What a difference
// means is decided by the round that serves the hint, on a read of its own, so that an
// incomplete list can't make anything look deleted.
package resync

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
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
	GetMany(ctx context.Context, connector string, tickets []int64) (map[int64]item.Link, error)
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
	// Judge is told what rounds would write and says whether that has to wait; nil:
	// nothing has to.
	Judge func(ctx context.Context, foreseen brake.Foresight) (hold bool, err error)
	// Spare is how many writes need no judgement, for when a list breaks off.
	Spare int
	// SettingsChanged tells that the settings are others than those of the last resync
	// that came to its end, at Since. Then what is only there because of them counts:
	// work items to be made for tickets from before, messages that never crossed.
	SettingsChanged bool
	Since           time.Time
}

// Result counts what a resync saw.
type Result struct {
	// Links and Tickets count what was compared; Differing what was put into the inbox.
	Links, Tickets, Differing int
	// Foreseen counts the items that rounds would write to, as far as that is judged;
	// Held those that have to wait.
	Foreseen, Held int
}

const (
	// mostHints is how many hints are held in memory until everything was judged. If
	// there are more, everything is compared a second time to append them.
	mostHints = 20_000
	// mostForeseen is how many items that would be written to are told apart. If there
	// are more and they have to wait, everything waits.
	mostForeseen = 200_000
)

// Run compares all links with their work items, 200 in a call, and all tickets of
// the service with their links. It holds one page in memory at a time, the numbers of
// the linked tickets, as what is not listed may be gone, and of what differs a bounded
// amount.
func (r *Resync) Run(ctx context.Context) (Result, error) {
	run := run{Resync: r, back: map[int64]struct{}{}, unseen: map[int64]struct{}{}, counted: map[int64]struct{}{}}
	cut := run.compare(ctx)
	run.result.Foreseen = run.foreseen.Total()
	hold, err := run.judge(ctx, cut != nil)
	if err != nil {
		return run.result, errors.Join(cut, err)
	}
	if hold {
		run.result.Held = run.result.Foreseen
	}
	if err := run.append(ctx, hold, cut != nil); err != nil {
		return run.result, errors.Join(cut, err)
	}
	return run.result, cut
}

// judge tells whether what was foreseen has to wait. When a list broke off, the rest
// of it is unknown, and only what would never have to wait goes on.
func (r *run) judge(ctx context.Context, cut bool) (bool, error) {
	switch {
	case r.Judge == nil:
		return false, nil
	case cut:
		return r.foreseen.Total() >= r.Spare, nil
	}
	r.foreseen.Links = r.result.Links
	hold, err := r.Judge(ctx, r.foreseen)
	if err != nil {
		return true, fmt.Errorf("judging the resync: %w", err)
	}
	return hold, nil
}

// append puts what differs into the inbox, but for what has to wait.
func (r *run) append(ctx context.Context, hold, cut bool) error {
	if hold && r.uncounted {
		return nil
	}
	skip := func(ticket int64) bool {
		_, counted := r.counted[ticket]
		return hold && counted
	}
	for _, h := range r.hints {
		if skip(h.ticket) {
			continue
		}
		if err := r.store(ctx, h); err != nil {
			return err
		}
	}
	if !r.more || cut {
		return nil
	}
	again := run{Resync: r.Resync, back: map[int64]struct{}{}, unseen: map[int64]struct{}{}, counted: r.counted, take: func(h hint) error {
		if skip(h.ticket) {
			return nil
		}
		return r.store(ctx, h)
	}}
	return again.compare(ctx)
}

func (r *run) compare(ctx context.Context) error {
	token := ""
	for {
		links, next, err := r.Links.List(ctx, r.Connector, batch, token)
		if err != nil {
			return fmt.Errorf("listing links: %w", err)
		}
		if err := r.compareLinks(ctx, links); err != nil {
			return err
		}
		if next == "" {
			break
		}
		token = next
	}
	page := make([]item.Ticket, 0, batch)
	for ticket, err := range r.Tickets.All(ctx) {
		if err != nil {
			return errors.Join(fmt.Errorf("listing tickets: %w", err), r.compareTickets(ctx, page))
		}
		if page = append(page, ticket); len(page) < batch {
			continue
		}
		if err := r.compareTickets(ctx, page); err != nil {
			return err
		}
		page = page[:0]
	}
	if err := r.compareTickets(ctx, page); err != nil {
		return err
	}
	return r.lookForUnseen(ctx)
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
	// foreseen is what rounds would write, to the tickets in counted; uncounted tells that
	// these are not all.
	foreseen  brake.Foresight
	counted   map[int64]struct{}
	uncounted bool
	// hints are those to be appended; more tells that there are others.
	hints []hint
	more  bool
	// take, if set, is given each hint at once, and nothing is foreseen.
	take func(hint) error
}

// hint is that a ticket has to be looked at.
type hint struct {
	ticket int64
	// id keeps a slight doubt from being looked into again and again; may be empty.
	id string
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
		if err := r.hint(link, ticket, "", plan.Strong); err != nil {
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
		doubt := plan.WorkItemDoubt(link, workItem, r.Rules)
		if doubt == plan.None {
			continue
		}
		if r.take == nil {
			written := plan.ForeseeWorkItem(link, workItem, r.Rules)
			if written.Kind == "" && r.SettingsChanged {
				written = plan.ForeseeMessages(link, r.Rules)
			}
			r.foresee(link, link.Ticket, written)
		}
		if err := r.hint(link, link.Ticket, "", doubt); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) compareTickets(ctx context.Context, tickets []item.Ticket) error {
	ids := make([]int64, len(tickets))
	for i := range tickets {
		ids[i] = tickets[i].ID
	}
	links, err := r.Links.GetMany(ctx, r.Connector, ids)
	if err != nil {
		return fmt.Errorf("reading the links of %d tickets: %w", len(ids), err)
	}
	for i := range tickets {
		r.result.Tickets++
		if err := r.compareTicket(ctx, links[tickets[i].ID], tickets[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) compareTicket(ctx context.Context, link item.Link, ticket item.Ticket) error {
	delete(r.unseen, ticket.ID)
	known := plan.Listed{}
	_, known.WorkItemBack = r.back[ticket.ID]
	if link.WorkItem == 0 && r.IgnoreExisting {
		var err error
		known.Existing, err = r.Origins.IsExisting(ctx, r.Connector, ticket.ID)
		if err != nil {
			return fmt.Errorf("looking whether ticket %d is an old one: %w", ticket.ID, err)
		}
	}
	doubt := plan.TicketDoubt(link, ticket, known, r.Rules)
	if doubt == plan.None {
		return nil
	}
	if r.take == nil {
		written := plan.ForeseeTicket(link, ticket, known, r.Rules)
		if made := written.Kind == string(plan.Create) || written.Kind == plan.Adopt; !made || r.SettingsChanged && !ticket.Created.After(r.Since) {
			r.foresee(link, ticket.ID, written)
		}
	}
	return r.hint(link, ticket.ID, ticket.Status, doubt)
}

// foresee counts a ticket that would be written to, once.
func (r *run) foresee(link item.Link, ticket int64, written plan.Foreseen) {
	if written.Kind == "" {
		return
	}
	if _, known := r.counted[ticket]; known {
		return
	}
	if len(r.counted) >= mostForeseen {
		r.uncounted = true
	} else {
		r.counted[ticket] = struct{}{}
	}
	r.foreseen.Add(brake.Example{Kind: written.Kind, Ticket: ticket, WorkItem: link.WorkItem, Detail: written.Detail})
}

// hint notes that a ticket has to be looked at; where the doubt is slight, once within
// the inbox' memory of events.
func (r *run) hint(link item.Link, ticket int64, status string, doubt plan.Doubt) error {
	h := hint{ticket: ticket}
	if doubt == plan.Slight {
		h.id = "resync/" + r.Connector + "/" + strconv.FormatInt(ticket, 10) + "/" + strconv.FormatInt(link.Version, 10) + "/" + status
	}
	switch {
	case r.take != nil:
		return r.take(h)
	case r.more:
	case len(r.hints) == mostHints:
		r.hints, r.more = nil, true
	default:
		r.hints = append(r.hints, h)
	}
	return nil
}

func (r *run) store(ctx context.Context, h hint) error {
	stored, err := r.Inbox.Append(ctx, item.Event{
		ID:         h.id,
		Key:        item.Key{Connector: r.Connector, System: item.Alvao, ID: h.ticket},
		Type:       "resync",
		Received:   r.Now(),
		Background: true,
	})
	if err != nil {
		return fmt.Errorf("storing a hint for ticket %d: %w", h.ticket, err)
	}
	if stored {
		r.result.Differing++
	}
	return nil
}
