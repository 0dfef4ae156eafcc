// Package resync compares everything that a connector covers with what its links
// remember, and puts what differs into the inbox as background work.
//
// Its one invariant: it only ever reads and appends hints, and it appends none before
// everything was compared and what rounds would write was judged. What a difference
// means is decided by the round that serves the hint, on a read of its own, so that an
// incomplete list can't make anything look deleted.
//
// It goes from page to page and keeps nothing of an item in memory. After each page what
// was found and where to go on are stored in one step, so that another process can go on
// with it: no page counts twice, and none is left out.
package resync

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"strconv"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// batch is how many work items one call reads (azure-devops.md §2.1).
const batch = 200

// The phases of a resync, in their order. The cursor is the token of a page of links, or
// a position in the list of tickets.
const (
	phaseLinks   = ""
	phaseTickets = "tickets"
	// phaseUnlisted looks for linked tickets that Alvao did not list.
	phaseUnlisted = "unlisted"
	phaseJudge    = "judge"
	phaseAppend   = "append"
	phaseEnd      = "end"
)

// ErrCancelled is the end of a resync that a person cancelled.
var ErrCancelled = errors.New("the resync was cancelled")

// Tickets lists the tickets of the connector's service.
type Tickets interface {
	// Pages yields the service's tickets from a position on.
	Pages(ctx context.Context, from int) iter.Seq2[item.TicketPage, error]
}

// WorkItems reads many work items at once.
type WorkItems interface {
	// WorkItems reads up to 200 work items; those that can't be read are left out.
	WorkItems(ctx context.Context, ids []int64) ([]item.WorkItem, error)
}

// Links tells what is remembered.
type Links interface {
	Count(ctx context.Context, connector string) (int, error)
	GetMany(ctx context.Context, connector string, tickets []int64) (map[int64]item.Link, error)
	// Reindex makes sure that the tickets' links are listed.
	Reindex(ctx context.Context, connector string, tickets []int64) error
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

// Store keeps where a resync is.
type Store interface {
	// Save stores the resync and what was found since it was last stored, in one step,
	// and tells whether it is to be cancelled.
	Save(ctx context.Context, run item.Resync, found item.ResyncFound) (cancel bool, err error)
	// Has tells which of the tickets are in a set of what was found.
	Has(ctx context.Context, id string, set item.ResyncSet, tickets []int64) ([]bool, error)
	// Hints returns hints that were found, from a position on.
	Hints(ctx context.Context, id string, from, n int) ([]item.ResyncHint, error)
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
	Store          Store
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

// Run goes on with a resync from where it is: it compares all links with their work
// items, 200 in a call, and all tickets of the service with their links, and then puts
// what differs into the inbox. It returns the resync as it is at the end, be that an error;
// ErrCancelled tells that a person wanted none.
func (r *Resync) Run(ctx context.Context, at item.Resync) (item.Resync, error) {
	w := &work{Resync: r, at: at, looked: r.Now()}
	w.foreseen = brake.Foresight{Writes: maps.Clone(at.Writes)}
	for _, one := range at.Examples {
		w.foreseen.Examples = append(w.foreseen.Examples, brake.Example(one))
	}
	err := w.run(ctx)
	return w.at, err
}

// work is one resync under way.
type work struct {
	*Resync

	at     item.Resync
	looked time.Time
	// foreseen is what rounds would write, to the tickets in the set of the counted.
	foreseen brake.Foresight
	// found is what the present page brought.
	found item.ResyncFound
	// guesses are the writes that the present page lets foresee.
	guesses []brake.Example
}

func (w *work) run(ctx context.Context) error {
	for {
		var err error
		switch w.at.Phase {
		case phaseLinks:
			err = w.links(ctx)
		case phaseTickets:
			err = w.tickets(ctx)
		case phaseUnlisted:
			err = w.unlisted(ctx)
		case phaseJudge:
			err = w.judge(ctx)
		case phaseAppend:
			err = w.append(ctx)
		case phaseEnd:
			return nil
		default:
			return fmt.Errorf("the resync is in the phase %q, which this version does not know", w.at.Phase) //nolint:err113 // nobody tells it apart
		}
		if err == nil {
			continue
		}
		if errors.Is(err, ErrCancelled) || ctx.Err() != nil || w.at.Phase == phaseJudge || w.at.Phase == phaseAppend {
			return err
		}
		return errors.Join(err, w.cut(ctx, err))
	}
}

// save stores where the resync is, and what the page brought.
func (w *work) save(ctx context.Context, phase, cursor string) error {
	if err := w.count(ctx); err != nil {
		return err
	}
	w.at.Phase, w.at.Cursor = phase, cursor
	w.at.Drifted += len(w.found.Hints)
	w.at.Foreseen, w.at.Writes, w.at.Examples = w.foreseen.Total(), maps.Clone(w.foreseen.Writes), nil
	for _, one := range w.foreseen.Examples {
		w.at.Examples = append(w.at.Examples, item.Planned(one))
	}
	now := w.Now()
	w.at.Spent += max(now.Sub(w.looked), 0)
	w.looked = now
	found := w.found
	w.found = item.ResyncFound{}
	cancel, err := w.Store.Save(ctx, w.at, found)
	if err != nil {
		return fmt.Errorf("noting how far the resync is: %w", err)
	}
	if cancel {
		return ErrCancelled
	}
	return nil
}

// count takes the guesses of a page over, each ticket once.
func (w *work) count(ctx context.Context) error {
	if len(w.guesses) == 0 {
		return nil
	}
	tickets := make([]int64, len(w.guesses))
	for i, one := range w.guesses {
		tickets[i] = one.Ticket
	}
	known, err := w.Store.Has(ctx, w.at.ID, item.SetCounted, tickets)
	if err != nil {
		return fmt.Errorf("looking what was counted: %w", err)
	}
	fresh := make(map[int64]struct{}, len(tickets))
	for i, one := range w.guesses {
		if _, again := fresh[one.Ticket]; known[i] || again {
			continue
		}
		fresh[one.Ticket] = struct{}{}
		w.foreseen.Add(one)
		w.found.Counted = append(w.found.Counted, one.Ticket)
	}
	w.guesses = nil
	return nil
}

// links compares all links with their work items.
func (w *work) links(ctx context.Context) error {
	if w.at.Cursor == "" {
		there, err := w.Links.Count(ctx, w.Connector)
		if err != nil {
			return fmt.Errorf("counting links: %w", err)
		}
		w.at.LinksThere = there
	}
	links, next, err := w.Links.List(ctx, w.Connector, batch, w.at.Cursor)
	if err != nil {
		return fmt.Errorf("listing links: %w", err)
	}
	if err := w.compareLinks(ctx, links); err != nil {
		return err
	}
	if next == "" {
		return w.save(ctx, phaseTickets, "0")
	}
	return w.save(ctx, phaseLinks, next)
}

func (w *work) compareLinks(ctx context.Context, links []item.Link) error {
	byID, err := readWorkItems(ctx, w.WorkItems, links)
	if err != nil {
		return err
	}
	for _, link := range links {
		w.at.Links++
		workItem := byID[link.WorkItem]
		if link.State == item.LinkGone && workItem != nil && !workItem.Deleted && !workItem.Elsewhere {
			// What went may have been the ticket, so the list of tickets has the last word.
			w.found.Back = append(w.found.Back, link.Ticket)
		}
		doubt := plan.WorkItemDoubt(link, workItem, w.Rules)
		if doubt == plan.None {
			continue
		}
		written := plan.ForeseeWorkItem(link, workItem, w.Rules)
		if written.Kind == "" && w.SettingsChanged {
			written = plan.ForeseeMessages(link, w.Rules)
		}
		w.foresee(link, link.Ticket, written)
		w.hint(link, link.Ticket, "", doubt)
	}
	return nil
}

// readWorkItems reads the work items of a page of links in one call.
func readWorkItems(ctx context.Context, from WorkItems, links []item.Link) (map[int64]*item.WorkItem, error) {
	ids := make([]int64, 0, len(links))
	for _, link := range links {
		if link.WorkItem != 0 {
			ids = append(ids, link.WorkItem)
		}
	}
	byID := make(map[int64]*item.WorkItem, len(ids))
	if len(ids) == 0 {
		return byID, nil
	}
	workItems, err := from.WorkItems(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("reading %d work items: %w", len(ids), err)
	}
	for i := range workItems {
		byID[workItems[i].ID] = &workItems[i]
	}
	return byID, nil
}

// tickets compares all tickets of the service with their links.
func (w *work) tickets(ctx context.Context) error {
	from, err := strconv.Atoi(w.at.Cursor)
	if err != nil {
		return fmt.Errorf("reading where the list of tickets goes on: %w", err)
	}
	for page, err := range w.Tickets.Pages(ctx, from) {
		if err != nil {
			return fmt.Errorf("listing tickets: %w", err)
		}
		if page.There > 0 {
			w.at.TicketsThere = page.There
		}
		if err := w.compareTickets(ctx, page.Tickets); err != nil {
			return err
		}
		if err := w.save(ctx, phaseTickets, strconv.Itoa(page.Next)); err != nil {
			return err
		}
	}
	w.at.TicketsThere = w.at.Tickets
	return w.save(ctx, phaseUnlisted, "")
}

func (w *work) compareTickets(ctx context.Context, tickets []item.Ticket) error {
	ids := make([]int64, len(tickets))
	for i := range tickets {
		ids[i] = tickets[i].ID
	}
	links, err := w.Links.GetMany(ctx, w.Connector, ids)
	if err != nil {
		return fmt.Errorf("reading the links of %d tickets: %w", len(ids), err)
	}
	linked := make([]int64, 0, len(links))
	for id := range links {
		linked = append(linked, id)
	}
	if err := w.Links.Reindex(ctx, w.Connector, linked); err != nil {
		return fmt.Errorf("looking whether %d links are listed: %w", len(linked), err)
	}
	var gone []int64
	for _, id := range ids {
		switch link := links[id]; {
		case link.State == item.LinkGone:
			gone = append(gone, id)
		case link.Exists():
			w.found.Listed = append(w.found.Listed, id)
		}
	}
	are, err := w.Store.Has(ctx, w.at.ID, item.SetBack, gone)
	if err != nil {
		return fmt.Errorf("looking which work items are back: %w", err)
	}
	back := make(map[int64]bool, len(gone))
	for i, id := range gone {
		back[id] = are[i]
	}
	for i := range tickets {
		w.at.Tickets++
		if err := w.compareTicket(ctx, links[tickets[i].ID], tickets[i], back[tickets[i].ID]); err != nil {
			return err
		}
	}
	return nil
}

func (w *work) compareTicket(ctx context.Context, link item.Link, ticket item.Ticket, back bool) error {
	known := plan.Listed{WorkItemBack: back}
	if link.WorkItem == 0 && w.IgnoreExisting {
		var err error
		known.Existing, err = w.Origins.IsExisting(ctx, w.Connector, ticket.ID)
		if err != nil {
			return fmt.Errorf("looking whether ticket %d is an old one: %w", ticket.ID, err)
		}
	}
	doubt := plan.TicketDoubt(link, ticket, known, w.Rules)
	if doubt == plan.None {
		return nil
	}
	written := plan.ForeseeTicket(link, ticket, known, w.Rules)
	if made := written.Kind == string(plan.Create) || written.Kind == plan.Adopt; !made || w.SettingsChanged && !ticket.Created.After(w.Since) {
		w.foresee(link, ticket.ID, written)
	}
	w.hint(link, ticket.ID, ticket.Status, doubt)
	return nil
}

// unlisted lets rounds look for the tickets that have links and are not in the list:
// they may be destroyed, or moved to another service.
func (w *work) unlisted(ctx context.Context) error {
	links, next, err := w.Links.List(ctx, w.Connector, batch, w.at.Cursor)
	if err != nil {
		return fmt.Errorf("listing links: %w", err)
	}
	var ids []int64
	byID := make(map[int64]item.Link, len(links))
	for _, link := range links {
		// One that was made meanwhile was looked at then.
		if link.State != item.LinkGone && !link.Created.After(w.at.Began) {
			ids = append(ids, link.Ticket)
			byID[link.Ticket] = link
		}
	}
	listed, err := w.Store.Has(ctx, w.at.ID, item.SetListed, ids)
	if err != nil {
		return fmt.Errorf("looking which tickets were listed: %w", err)
	}
	for i, id := range ids {
		if !listed[i] {
			w.hint(byID[id], id, "", plan.Strong)
		}
	}
	if next == "" {
		return w.save(ctx, phaseJudge, "")
	}
	return w.save(ctx, phaseUnlisted, next)
}

// foresee counts a ticket that would be written to.
func (w *work) foresee(link item.Link, ticket int64, written plan.Foreseen) {
	if written.Kind != "" {
		w.guesses = append(w.guesses, brake.Example{Kind: written.Kind, Ticket: ticket, WorkItem: link.WorkItem, Detail: written.Detail})
	}
}

// hint notes that a ticket has to be looked at; where the doubt is slight, once within
// the inbox' memory of events.
func (w *work) hint(link item.Link, ticket int64, status string, doubt plan.Doubt) {
	h := item.ResyncHint{Ticket: ticket}
	if doubt == plan.Slight {
		h.ID = "resync/" + w.Connector + "/" + strconv.FormatInt(ticket, 10) + "/" + strconv.FormatInt(link.Version, 10) + "/" + status
	}
	w.found.Hints = append(w.found.Hints, h)
}

// judge has it judged whether what was foreseen has to wait.
func (w *work) judge(ctx context.Context) error {
	if w.Judge != nil {
		w.foreseen.Links = w.at.Links
		hold, err := w.Judge(ctx, w.foreseen)
		if err != nil {
			return fmt.Errorf("judging the resync: %w", err)
		}
		w.stop(hold)
	}
	return w.save(ctx, phaseAppend, "")
}

func (w *work) stop(hold bool) {
	if w.at.Stop = hold; hold {
		w.at.Held = w.foreseen.Total()
	}
}

// cut ends a resync of which a list broke off. The rest of it is unknown, and only what
// would never have to wait goes on.
func (w *work) cut(ctx context.Context, cause error) error {
	if err := w.count(ctx); err != nil {
		return err
	}
	w.at.Error = fault.Sentence(cause)
	w.stop(w.Judge != nil && w.foreseen.Total() >= w.Spare)
	if err := w.save(ctx, phaseAppend, ""); err != nil {
		return err
	}
	for w.at.Phase == phaseAppend {
		if err := w.append(ctx); err != nil {
			return err
		}
	}
	return nil
}

// append puts some of what differs into the inbox, but for what has to wait.
func (w *work) append(ctx context.Context) error {
	hints, err := w.Store.Hints(ctx, w.at.ID, w.at.Appended, batch)
	if err != nil {
		return fmt.Errorf("reading what differs: %w", err)
	}
	if len(hints) == 0 {
		return w.save(ctx, phaseEnd, "")
	}
	waits := make([]bool, len(hints))
	if w.at.Stop {
		tickets := make([]int64, len(hints))
		for i, h := range hints {
			tickets[i] = h.Ticket
		}
		if waits, err = w.Store.Has(ctx, w.at.ID, item.SetCounted, tickets); err != nil {
			return fmt.Errorf("looking what has to wait: %w", err)
		}
	}
	for i, h := range hints {
		if waits[i] {
			continue
		}
		if err := w.store(ctx, h); err != nil {
			return err
		}
	}
	w.at.Appended += len(hints)
	return w.save(ctx, phaseAppend, "")
}

func (w *work) store(ctx context.Context, h item.ResyncHint) error {
	stored, err := w.Inbox.Append(ctx, item.Event{
		ID:         h.ID,
		Key:        item.Key{Connector: w.Connector, System: item.Alvao, ID: h.Ticket},
		Type:       EventType,
		Payload:    payload(w.Connector, w.at.ID),
		Received:   w.Now(),
		Background: true,
	})
	if err != nil {
		return fmt.Errorf("storing a hint for ticket %d: %w", h.Ticket, err)
	}
	if stored {
		w.at.Differing++
	}
	return nil
}
