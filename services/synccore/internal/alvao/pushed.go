package alvao

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Pushed is what Alvao's application told of the logs of tickets.
type Pushed interface {
	// Log is what was told of a ticket's log, the oldest record first.
	Log(ctx context.Context, ticket int64) ([]item.PushedRecord, error)
	// Heard is when the application last told of a record of any ticket; zero: never.
	Heard(ctx context.Context) (time.Time, error)
	// Round is when the last round of the application that came to its end began; zero: none
	// did.
	Round(ctx context.Context) (time.Time, error)
}

// cutNote ends a text whose end was left out.
const cutNote = "[The end of this message is too long to be carried over; it stands in Alvao.]"

// Log reads the log of a ticket. Where the REST API does not show it (see Records), it is
// what the application told, and partial; where no application ever told anything either,
// or leaves texts to the REST API, the fault is NotFound with ErrLogUnreadable behind it. The important mark, which the
// REST API is not known to show (alvao.md §2.4), is taken from the application in either
// case.
func (c *Client) Log(ctx context.Context, ticketID int64) (item.Log, error) {
	records, err := c.Records(ctx, ticketID, 0)
	unreadable := errors.Is(err, ErrLogUnreadable)
	if c.pushed == nil || err != nil && !unreadable {
		return item.Log{Records: records}, err
	}
	heard, heardErr := c.hasApplication(ctx)
	if heardErr != nil {
		return item.Log{}, heardErr
	}
	if !heard {
		return item.Log{Records: records}, err
	}
	var round time.Time
	if unreadable {
		// Before the records: what is told between the two is no part of them.
		if round, heardErr = c.pushed.Round(ctx); heardErr != nil {
			return item.Log{}, fmt.Errorf("reading when Alvao's application told all: %w", heardErr)
		}
	}
	told, toldErr := c.pushed.Log(ctx, ticketID)
	if toldErr != nil {
		return item.Log{}, fmt.Errorf("reading what Alvao's application told of %s: %w", ticketName(ticketID), toldErr)
	}
	if !unreadable {
		mark(records, told)
		return item.Log{Records: records}, nil
	}
	log := item.Log{Partial: true, Told: round}
	for _, t := range told {
		if t.Bare && !t.Removed {
			// The application leaves texts to the REST API, ours among them: nobody could tell
			// what has crossed already.
			return item.Log{}, err
		}
		log.Records = append(log.Records, c.told(t))
	}
	return log, nil
}

// mark adds the marks that the application told of.
func mark(records []item.Record, told []item.PushedRecord) {
	for i := range records {
		at, found := slices.BinarySearchFunc(told, records[i].ID, func(t item.PushedRecord, id int64) int {
			return int(min(max(t.ID-id, -1), 1))
		})
		if found && told[at].Important {
			records[i].Important = true
		}
	}
}

// told makes of what was told a record like those that are read.
func (c *Client) told(t item.PushedRecord) item.Record {
	r := t.Record
	if r.Cut {
		if r.HTML != "" {
			r.HTML += "<p>" + cutNote + "</p>"
		}
		if r.Plain != "" {
			r.Plain += "\n\n" + cutNote
		}
	}
	r.Attachments = slices.Clone(r.Attachments)
	for i := range r.Attachments {
		r.Attachments[i].URL = c.resolve(r.Attachments[i].URL)
	}
	return r
}

// hasApplication tells whether the application ever told of a record.
func (c *Client) hasApplication(ctx context.Context) (bool, error) {
	if c.heard.known(c.now()) != 0 {
		return true, nil
	}
	at, err := c.pushed.Heard(ctx)
	if err != nil {
		return false, fmt.Errorf("reading whether Alvao's application was heard: %w", err)
	}
	if at.IsZero() {
		return false, nil
	}
	c.heard.note(1, c.now())
	return true, nil
}
