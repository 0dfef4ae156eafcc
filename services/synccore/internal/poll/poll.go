// Package poll finds tickets and work items that changed lately and puts them into the
// inbox, because webhooks may be lost without a trace: Alvao's are sent at most once
// (alvao.md §3.1), and those of Azure DevOps are held back or switched off after
// failures (azure-devops.md §1.7).
//
// Its one invariant: the position only moves forward after everything up to it is
// durably in the inbox, so a crash costs a repeated read and never a ticket.
package poll

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

const (
	// Overlap is how far behind the position a poll starts: transactions that were open
	// during the last poll become visible with an earlier time than others already seen.
	Overlap = 3 * time.Minute
	// FirstLook is how far back the first poll looks. The position is then still a time
	// of our clock, and theirs may be behind it.
	FirstLook = time.Hour
)

// cursorName is the name of the position in the store.
const cursorName = "poll"

// Tickets lists tickets of the connector's service.
type Tickets interface {
	// ActiveSince yields the service's tickets that were active at or after a time.
	ActiveSince(ctx context.Context, since time.Time) iter.Seq2[item.Ticket, error]
}

// Links tells what is remembered of a ticket.
type Links interface {
	Get(ctx context.Context, connector string, ticket int64) (item.Link, error)
}

// Origins keeps positions between runs, and knows the tickets that were there before
// the connector first started.
type Origins interface {
	Cursor(ctx context.Context, connector, name string) (string, error)
	SetCursor(ctx context.Context, connector, name, value string) error
	IsExisting(ctx context.Context, connector string, ticket int64) (bool, error)
}

// Inbox takes hints in.
type Inbox interface {
	Append(ctx context.Context, event item.Event) (stored bool, err error)
}

// Poller polls one connector's service. Its fields but From are required and must not
// change while Once runs.
type Poller struct {
	Connector string
	Rules     plan.Rules
	// IgnoreExisting tells that tickets from before the first start get no work item.
	IgnoreExisting bool
	Tickets        Tickets
	Links          Links
	Origins        Origins
	Inbox          Inbox
	Now            func() time.Time
	// From is since when the present settings count, where a resync still has to judge
	// them: what last happened before that is the resync's matter. Zero: nothing is.
	From time.Time
}

// Once reads what was active since the last time and returns how many tickets it put
// into the inbox. The first run begins FirstLook before now: what was there before is
// a matter for a resync.
func (p *Poller) Once(ctx context.Context) (int, error) {
	found := 0
	started := p.Now()
	position, known, err := p.position(ctx)
	if err != nil {
		return 0, err
	}
	if !known {
		position = started.Add(-FirstLook)
	}
	newest := position
	for ticket, err := range p.Tickets.ActiveSince(ctx, position.Add(-Overlap)) {
		if err != nil {
			return found, fmt.Errorf("listing active tickets: %w", err)
		}
		if ticket.LastActivity.After(newest) {
			newest = ticket.LastActivity
		}
		if past(ticket.LastActivity, p.From) {
			continue
		}
		stored, err := p.hint(ctx, ticket, started)
		if err != nil {
			return found, err
		}
		if stored {
			found++
		}
	}
	// A clock that is ahead on their side must not make us skip what comes meanwhile.
	if newest.After(started) {
		newest = started
	}
	// Nor may one that was set back on ours undo what was reached.
	if known && !newest.After(position) {
		return found, nil
	}
	if err := p.Origins.SetCursor(ctx, p.Connector, cursorName, newest.UTC().Format(time.RFC3339Nano)); err != nil {
		return found, fmt.Errorf("storing the position of the poll: %w", err)
	}
	return found, nil
}

// past tells that something is known to have happened before a time; no time is before
// none.
func past(at, from time.Time) bool { return !at.IsZero() && at.Before(from) }

// position is how far the polls have come; not known before the first.
func (p *Poller) position(ctx context.Context) (time.Time, bool, error) {
	text, err := p.Origins.Cursor(ctx, p.Connector, cursorName)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("reading the position of the poll: %w", err)
	}
	if text == "" {
		return time.Time{}, false, nil
	}
	position, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, false, fmt.Errorf("reading the position of the poll %q: %w", text, err)
	}
	return position, true, nil
}

// hint puts a ticket into the inbox if a round may find something to do, and tells
// whether that was news to the inbox.
func (p *Poller) hint(ctx context.Context, ticket item.Ticket, received time.Time) (bool, error) {
	link, err := p.Links.Get(ctx, p.Connector, ticket.ID)
	if err != nil {
		return false, fmt.Errorf("reading the link of ticket %d: %w", ticket.ID, err)
	}
	// Whether a work item that was gone is back is not known here; the look tells.
	known := plan.Listed{WorkItemBack: true}
	if link.WorkItem == 0 && p.IgnoreExisting {
		known.Existing, err = p.Origins.IsExisting(ctx, p.Connector, ticket.ID)
		if err != nil {
			return false, fmt.Errorf("looking whether ticket %d is an old one: %w", ticket.ID, err)
		}
	}
	if plan.TicketDoubt(link, ticket, known, p.Rules) == plan.None {
		return false, nil
	}
	stored, err := p.Inbox.Append(ctx, item.Event{
		ID:       p.eventID(ticket, link, received),
		Key:      item.Key{Connector: p.Connector, System: item.Alvao, ID: ticket.ID},
		Type:     "poll",
		Received: received,
	})
	if err != nil {
		return false, fmt.Errorf("storing a hint for ticket %d: %w", ticket.ID, err)
	}
	return stored, nil
}

// eventID lets the same activity be told once, however often polls overlap. The
// link's version tells two visits of one status apart where the times don't: they may
// be missing, or fall into one second. A look in the moment of the activity changes no
// version and is not the last word on its messages, so it doesn't count for later. Twice
// the moment, as the clock of the sync-core that looks may be behind.
func (p *Poller) eventID(ticket item.Ticket, link item.Link, received time.Time) string {
	id := "poll/" + p.Connector + "/" + strconv.FormatInt(ticket.ID, 10) +
		"/" + ticket.LastActivity.UTC().Format(time.RFC3339Nano) +
		"/" + strconv.FormatInt(link.Version, 10) + "/" + ticket.Status
	if received.Sub(ticket.LastActivity) < 2*plan.SameMoment {
		id += "/fresh"
	}
	return id
}
