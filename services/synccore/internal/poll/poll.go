// Package poll finds tickets that were active lately and puts them into the inbox,
// because Alvao's webhooks are sent at most once and may be lost without a trace
// (alvao.md §3.1).
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
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

// Overlap is how far behind the position a poll starts: transactions that were open
// during the last poll become visible with an earlier time than others already seen.
const Overlap = 3 * time.Minute

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

// Cursors keeps positions between runs.
type Cursors interface {
	Cursor(ctx context.Context, connector, name string) (string, error)
	SetCursor(ctx context.Context, connector, name, value string) error
}

// Inbox takes hints in.
type Inbox interface {
	Append(ctx context.Context, event item.Event) (stored bool, err error)
}

// Poller polls one connector's service. Its fields are required and must not change
// while Once runs.
type Poller struct {
	Connector string
	Map       mapping.StatusMap
	Tickets   Tickets
	Links     Links
	Cursors   Cursors
	Inbox     Inbox
	Now       func() time.Time
}

// Once reads what was active since the last time and returns how many tickets it put
// into the inbox. The first run only sets the position: what was there before is a
// matter for a resync.
func (p *Poller) Once(ctx context.Context) (int, error) {
	found := 0
	started := p.Now()
	text, err := p.Cursors.Cursor(ctx, p.Connector, cursorName)
	if err != nil {
		return 0, fmt.Errorf("reading the position of the poll: %w", err)
	}
	since := started
	if text != "" {
		since, err = time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return 0, fmt.Errorf("reading the position of the poll %q: %w", text, err)
		}
	}
	newest := since
	for ticket, err := range p.Tickets.ActiveSince(ctx, since.Add(-Overlap)) {
		if err != nil {
			return found, fmt.Errorf("listing active tickets: %w", err)
		}
		if ticket.LastActivity.After(newest) {
			newest = ticket.LastActivity
		}
		news, err := p.news(ctx, ticket)
		if err != nil {
			return found, err
		}
		if !news {
			continue
		}
		stored, err := p.Inbox.Append(ctx, item.Event{
			// The same activity is told once, however often polls overlap.
			ID:       "poll/" + p.Connector + "/" + strconv.FormatInt(ticket.ID, 10) + "/" + ticket.LastActivity.UTC().Format(time.RFC3339Nano) + "/" + ticket.Status,
			Key:      item.Key{Connector: p.Connector, System: item.Alvao, ID: ticket.ID},
			Type:     "poll",
			Received: started,
		})
		if err != nil {
			return found, fmt.Errorf("storing a hint for ticket %d: %w", ticket.ID, err)
		}
		if stored {
			found++
		}
	}
	// A clock that is ahead on their side must not make us skip what comes meanwhile.
	if newest.After(started) {
		newest = started
	}
	if err := p.Cursors.SetCursor(ctx, p.Connector, cursorName, newest.UTC().Format(time.RFC3339Nano)); err != nil {
		return found, fmt.Errorf("storing the position of the poll: %w", err)
	}
	return found, nil
}

// news tells whether a ticket shows something that its link does not remember.
func (p *Poller) news(ctx context.Context, ticket item.Ticket) (bool, error) {
	link, err := p.Links.Get(ctx, p.Connector, ticket.ID)
	if err != nil {
		return false, fmt.Errorf("reading the link of ticket %d: %w", ticket.ID, err)
	}
	if !link.Exists() || link.WorkItem == 0 {
		return ticket.ExternalID != "" || len(p.Map.States(ticket.Status)) > 0, nil
	}
	return ticket.Removed != (link.State == item.LinkGone) || !mapping.Same(ticket.Status, link.Agreed.Status), nil
}
