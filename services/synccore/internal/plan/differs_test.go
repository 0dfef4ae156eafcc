package plan_test

import (
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// doubt judges the world as a resync does: from a row of a list of tickets and a row
// of a list of work items.
func (w *world) doubt(showsCustom bool) plan.Doubt {
	row := w.ticket
	row.Removed = w.removed
	row.Custom = map[string]string{"Building": "A"}
	if !showsCustom {
		row.ExternalID, row.Custom = "", nil
	}
	var workItem *item.WorkItem
	if w.workItem != nil && !w.gone {
		workItem = w.workItem
	}
	known := plan.Listed{WorkItemBack: workItem != nil}
	return max(plan.TicketDoubt(w.link, row, known, w.rules), plan.WorkItemDoubt(w.link, workItem, w.rules))
}

// What a round would do something about is never passed over, and once a round has
// come to rest there is no doubt left: a resync of an unchanged pair queues nothing.
func TestDoubtMatchesTheNextRound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		for range rapid.IntRange(1, 14).Draw(t, "events") {
			w.now = w.now.Add(time.Minute)
			switch rapid.IntRange(0, 10).Draw(t, "event") {
			case 0, 1, 2:
				w.setStatus(drawStatus(t))
			case 3, 4:
				if w.workItem != nil {
					w.setState(drawState(t, w))
				}
			case 5:
				w.removed = !w.removed
			case 6:
				w.gone = w.workItem != nil && !w.gone
			case 7:
				w.refuses = !w.refuses
			case 8:
				w.ticket.ExternalID = rapid.SampledFrom([]string{"", "45", "99", "INC-7", "-1"}).Draw(t, "external id")
			case 9:
				w.ticket.LastActivity = w.now
			case 10:
				if w.workItem != nil {
					w.workItem.Rev++
				}
			}
			shows := rapid.Bool().Draw(t, "the list shows custom fields")
			// Where custom fields are not shown, what a person did to the number can't be
			// seen.
			told := shows || (w.ticket.ExternalID == "" && w.link.WorkItem == 0)
			next := plan.Next(w.link, w.sides(), w.rules)
			// A round that was cut off is repeated for its hints; whether a state closes the
			// work item, no list tells.
			cutOff := next.Kind == plan.ReadType && w.link.Parked != nil
			if next.Kind != plan.Rest && !cutOff && told && w.doubt(shows) == plan.None {
				t.Fatalf("%s is due (%s), yet there is no doubt: ticket %+v, work item %+v, link %+v", next.Kind, next.Reason, w.ticket, w.workItem, w.link)
			}
			if rapid.Bool().Draw(t, "a round runs") {
				w.round(t, w.sides(), rapid.IntRange(0, 5).Draw(t, "crash after effect"))
			}
		}
		w.converge(t)
		if p := w.link.Parked; p != nil && p.ExternalID != "" && p.ExternalID != strconv.FormatInt(w.link.WorkItem, 10) {
			// Parked on another item's number: whatever happens to either side, it is looked
			// at again, and nothing is written.
			return
		}
		if w.doubt(true) != plan.None {
			t.Fatalf("doubt after coming to rest: parked %+v trail %v; ticket %+v, work item %+v (gone %v), link %+v", w.link.Parked, w.trail, w.ticket, w.workItem, w.gone, w.link)
		}
		// What decides about a ticket that has no work item in spite of its number is not
		// shown by such a list.
		if (w.ticket.ExternalID == "" || w.link.WorkItem != 0) && w.doubt(false) == plan.Strong {
			t.Fatalf("strong doubt after coming to rest: ticket %+v, work item %+v, link %+v", w.ticket, w.workItem, w.link)
		}
	})
}

func TestDoubtAboutOldTickets(t *testing.T) {
	t.Parallel()
	w := basic(t)
	shown := map[string]string{"Building": "A"}
	for name, tc := range map[string]struct {
		ticket item.Ticket
		known  plan.Listed
		want   plan.Doubt
	}{
		"mapped, nothing told":             {item.Ticket{Status: "Development"}, plan.Listed{Existing: true}, plan.Slight},
		"mapped, told to carry no number":  {item.Ticket{Status: "Development", Custom: shown}, plan.Listed{Existing: true}, plan.None},
		"mapped, carries a number":         {item.Ticket{Status: "Development", ExternalID: "7"}, plan.Listed{Existing: true}, plan.Strong},
		"left the mapped statuses":         {item.Ticket{Status: "New"}, plan.Listed{Existing: true}, plan.Strong},
		"mapped and new":                   {item.Ticket{Status: "Development"}, plan.Listed{}, plan.Strong},
		"unmapped and new":                 {item.Ticket{Status: "New"}, plan.Listed{}, plan.None},
		"of another service":               {item.Ticket{Status: "Development", Service: "Payroll"}, plan.Listed{}, plan.None},
		"carries what is no number of one": {item.Ticket{Status: "Development", ExternalID: "INC-7"}, plan.Listed{}, plan.Strong},
		"the same, but old":                {item.Ticket{Status: "Development", ExternalID: "INC-7"}, plan.Listed{Existing: true}, plan.None},
		"the same, and unmapped":           {item.Ticket{Status: "New", ExternalID: "INC-7"}, plan.Listed{}, plan.None},
	} {
		if got := plan.TicketDoubt(item.Link{}, tc.ticket, tc.known, w.rules); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

func TestDoubtAboutWorkItems(t *testing.T) {
	t.Parallel()
	active := item.Link{WorkItem: 9, State: item.LinkActive, Agreed: item.Pair{Status: "Development", State: "To Do"}}
	change := func(f func(*item.Link)) item.Link {
		l := active
		f(&l)
		return l
	}
	same := &item.WorkItem{ID: 9, State: "to do"}
	for name, tc := range map[string]struct {
		link     item.Link
		workItem *item.WorkItem
		want     plan.Doubt
	}{
		"in step":                   {active, same, plan.None},
		"another state":             {active, &item.WorkItem{ID: 9, State: "Done"}, plan.Strong},
		"can't be read":             {active, nil, plan.Strong},
		"deleted":                   {active, &item.WorkItem{ID: 9, State: "To Do", Deleted: true}, plan.Strong},
		"a move is under way":       {change(func(l *item.Link) { l.Move = &item.Move{Path: []string{"Done"}} }), same, plan.Strong},
		"nothing was agreed yet":    {change(func(l *item.Link) { l.Agreed.Status = "" }), same, plan.Strong},
		"gone, and still gone":      {change(func(l *item.Link) { l.State = item.LinkGone }), nil, plan.None},
		"no work item known":        {item.Link{State: item.LinkCreating}, nil, plan.None},
		"parked, and still so":      {change(func(l *item.Link) { l.Parked = &item.Standstill{State: "Done"} }), &item.WorkItem{ID: 9, State: "Done"}, plan.None},
		"parked, and edited since":  {change(func(l *item.Link) { l.Parked = &item.Standstill{State: "Done", Rev: 4} }), &item.WorkItem{ID: 9, Rev: 5, State: "Done"}, plan.Strong},
		"parked, at that revision":  {change(func(l *item.Link) { l.Parked = &item.Standstill{State: "Done", Rev: 4} }), &item.WorkItem{ID: 9, Rev: 4, State: "Done"}, plan.None},
		"parked, and moved since":   {change(func(l *item.Link) { l.Parked = &item.Standstill{State: "Done"} }), same, plan.Strong},
		"parked, and can't be read": {change(func(l *item.Link) { l.Parked = &item.Standstill{State: "Done"} }), nil, plan.Strong},
	} {
		if got := plan.WorkItemDoubt(tc.link, tc.workItem, plan.Rules{}); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}
