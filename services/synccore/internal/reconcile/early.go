package reconcile

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// Alvao tells of a change inside its transaction (alvao.md §3.2): what a hint tells of
// may not be visible yet when it is looked for.
const (
	// unseenItem is how long a ticket or a record that a hint names is waited for.
	unseenItem = time.Minute
	// unseenChange is how long a ticket that shows no sign of the change is looked at
	// again; after that the polls find it.
	unseenChange = 15 * time.Second
	// firstLook is the pause before the first look again; each one after it comes after
	// as long as has passed since the hint.
	firstLook = time.Second
	// unseenOthers is how long it is looked again where several hints were merged, of which
	// only the newest tells what to look for; after that the polls find it.
	unseenOthers = 2 * time.Second
	// sameChange is how much older than its hint a change may be told to be.
	sameChange = 2 * time.Second
)

// told is what a webhook of Alvao's says beside the ticket's number.
type told struct {
	Event string `json:"event"`
	// RequestID is the ticket in built-in webhooks, TicketID in those of the application.
	RequestID lenient.Int `json:"requestId"`
	TicketID  lenient.Int `json:"ticketId"`
	// ActID is the record, 0 if it is about none; PersonID who did it, 0 if not told.
	ActID    lenient.Int `json:"actId"`
	PersonID lenient.Int `json:"personId"`
}

// toldOf reads the newest hint; false: it is no webhook of Alvao's about this ticket.
func toldOf(hints Hints) (told, bool) {
	var t told
	if len(hints.Payload) == 0 || json.Unmarshal(hints.Payload, &t) != nil {
		return told{}, false
	}
	return t, int64(t.RequestID) == hints.Key.ID || int64(t.TicketID) == hints.Key.ID
}

// unseen has the hint served again soon if what it tells of is not visible yet; nil: it
// is, or was waited for long enough. It is asked after a round that came to rest.
func (r *round) unseen(ctx context.Context, hints Hints) error {
	t, ok := toldOf(hints)
	since := r.engine.cfg.Now().Sub(hints.Received)
	if ok = ok || hints.Others; !ok || hints.Received.IsZero() || since < 0 || since >= unseenItem {
		return nil
	}
	absent := r.sides.TicketGone && r.sides.Ticket.ID == 0
	later := func(what string) error {
		return fault.New(fault.Busy, "Alvao told of %s that is not visible there yet; Tandem looks again.", what).After(max(since, firstLook))
	}
	switch {
	case absent && r.link.WorkItem == 0:
		return later(fmt.Sprintf("ticket %d", r.link.Ticket))
	case absent:
		return nil
	case t.ActID > 0 && t.Event != "act.removed" && r.sides.MessagesRead && !r.sides.LogPartial && !slices.Contains(r.talk.records, int64(t.ActID)):
		return later(fmt.Sprintf("record %d of ticket %d", t.ActID, r.link.Ticket))
	case hints.Others && since < unseenOthers && r.sides.MessagesRead && !r.sides.LogPartial:
		return later(fmt.Sprintf("several changes of ticket %d, one of which may be", r.link.Ticket))
	case since >= unseenChange || r.changed() || !r.stale(hints):
		return nil
	case t.PersonID == 0 || r.ours(ctx, int64(t.PersonID)):
		return nil
	default:
		return later(fmt.Sprintf("a change of ticket %d", r.link.Ticket))
	}
}

// changed tells that the round found something to do, so that it saw a change.
func (r *round) changed() bool {
	return slices.ContainsFunc(r.report.Steps, func(kind plan.Kind) bool {
		switch kind {
		case plan.ReadWorkItem, plan.ReadType, plan.ReadMessages, plan.Search, plan.Remember:
			return false
		default:
			return true
		}
	})
}

// stale tells that the ticket shows no activity of the hint's time.
func (r *round) stale(hints Hints) bool {
	return r.sides.Ticket.LastActivity.Before(hints.Received.Add(-sameChange))
}

// ours tells that a person is the account that Tandem itself writes with, or that it is
// not known who that is: then every change might be.
func (r *round) ours(ctx context.Context, person int64) bool {
	account, err := r.connector.Tickets.Account(ctx)
	return err != nil || account == person
}

// numbers are the numbers of records.
func numbers(records []item.Record) []int64 {
	all := make([]int64, len(records))
	for i, record := range records {
		all[i] = record.ID
	}
	return all
}
