package plan

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

// away tells which side can't be kept in step at present, and why; empty: none.
func away(sides Sides, rules Rules) (item.System, string) {
	ticket, workItem := sides.Ticket, sides.WorkItem
	switch {
	case sides.TicketGone:
		return item.Alvao, "The ticket was removed in Alvao; the work item is left as it is."
	case foreign(ticket.Service, rules.Service):
		return item.Alvao, fmt.Sprintf("The ticket was moved to the service %q in Alvao; the work item is left as it is.", ticket.Service)
	case foreign(ticket.Process, rules.Process):
		return item.Alvao, fmt.Sprintf("The ticket was given the process %q in Alvao; the work item is left as it is.", ticket.Process)
	case workItem == nil:
		return item.AzureDevOps, "The work item was deleted for good in Azure DevOps, or the token may no longer read it; the ticket is left as it is."
	case workItem.Deleted:
		return item.AzureDevOps, "The work item was deleted in Azure DevOps and can be restored there; the ticket is left as it is."
	case workItem.Elsewhere:
		return item.AzureDevOps, fmt.Sprintf("The work item was moved to the project %q in Azure DevOps; the ticket is left as it is.", workItem.Project)
	default:
		return "", ""
	}
}

// foreign tells whether what a ticket says of itself is another than the connector's;
// what is not said is not.
func foreign(told, wanted string) bool {
	return told != "" && wanted != "" && !mapping.Same(told, wanted)
}

// leave remembers that one side is away, and that the other is to be told.
func leave(link item.Link, sides Sides, who item.System, text string) Step {
	if !link.Exists() || link.State == item.LinkGone {
		return Step{Kind: Rest, Reason: cmp.Or(link.Reason, text)}
	}
	next := link
	next.State, next.Reason, next.Away = item.LinkGone, text, who
	next.Parked, next.Move = nil, nil
	if link.WorkItem != 0 {
		next = tell(next, sides, opposite(who), text+" Nothing is deleted; Tandem goes on when it is back.")
	}
	return remember(next, "gone", text)
}

// back remembers that both sides are there again.
func back(link item.Link, sides Sides) Step {
	next := link
	next.State, next.Reason, next.Away = item.LinkActive, "", ""
	what := "ticket"
	if link.Away == item.AzureDevOps {
		what = "work item"
	}
	if link.Away != "" {
		next = tell(next, sides, opposite(link.Away), "The "+what+" is back; both are kept in step again.")
	}
	return remember(next, "back", "Both items are there again.")
}

func opposite(side item.System) item.System {
	if side == item.Alvao {
		return item.AzureDevOps
	}
	return item.Alvao
}

// tell has one side told. What it was to be told before and was not counts no more.
func tell(next item.Link, sides Sides, to item.System, text string) item.Link {
	next.Noted = max(next.Noted+1, sides.Now.UnixMilli())
	next.Note = &item.Note{Number: next.Noted, To: to, Text: text}
	return next
}

// note writes down what one side is still to be told, once: that it is being written
// is stored first, and of a writing that was cut off it is found out whether it came.
func note(link item.Link, sides Sides) (Step, bool) {
	n := link.Note
	if n == nil {
		return Step{}, false
	}
	if !listens(n.To, sides) {
		next := link
		next.Note = nil
		return remember(next, "untold", "Nobody could be told: "+n.Text), true
	}
	switch {
	case n.Posting.IsZero() && (n.To != item.Alvao || link.Agreed.Status != ""):
	case n.Posting.IsZero() && !sides.NoteSought:
		return Step{Kind: FindNote, Reason: "the ticket may have been told before the memory of it was lost"}, true
	case n.Posting.IsZero():
		if sides.untold(sides.MemorySince) {
			return hold(), true
		}
	case sides.Noting:
		return Step{Kind: PostNote, Reason: n.Text}, true
	case !sides.NoteSought:
		return Step{Kind: FindNote, Reason: "a note that was cut off may have arrived"}, true
	case sides.NoteUnseen:
		return Untold(link, "Whether it arrived can't be found out, so it is not said again: "+n.Text), true
	case sides.NoteFound:
		next := link
		next.Note = nil
		return remember(next, "tell", n.To.Title()+" was told: "+n.Text), true
	default:
		if since := sides.Now.Sub(n.Posting); since >= 0 && since < Settle {
			return Step{Kind: Wait, After: Settle - since, Reason: "a note that was cut off may still arrive"}, true
		}
		if n.To == item.Alvao && sides.untold(n.Posting) {
			return hold(), true
		}
	}
	return Step{Kind: BeginNote, Reason: "that a note is written is stored first"}, true
}

// listens tells whether a side can be written to.
func listens(side item.System, sides Sides) bool {
	if side == item.Alvao {
		return !sides.TicketGone
	}
	return sides.WorkItem != nil && !sides.WorkItem.Deleted
}

// Untold is the step that gives a note up because its side does not take it.
func Untold(link item.Link, reason string) Step {
	next := link
	next.Note = nil
	return remember(next, "untold", reason)
}

// turns finds changes in what the items are that no state or status shows.
func turns(link item.Link, sides Sides, rules Rules) (Step, bool) {
	if sides.Listed {
		return Step{}, false
	}
	ticket, workItem := sides.Ticket, sides.WorkItem
	next := link
	if link.Type != "" && workItem.Type != "" && !mapping.Same(link.Type, workItem.Type) {
		next.Type = workItem.Type
		text := fmt.Sprintf("Work item %d was changed from type %s to %s in Azure DevOps; its states count as the StatusMap names them.",
			workItem.ID, link.Type, workItem.Type)
		return remember(tell(next, sides, item.Alvao, text), "type", text), true
	}
	// A closing that the StatusMap carries over speaks for itself.
	closed := !ticket.Closed.IsZero()
	switch {
	case closed && !link.TicketClosed && len(rules.Map.States(ticket.Status)) == 0:
		next.TicketClosed = true
		text := fmt.Sprintf("The ticket was closed in Alvao (status %q, which is not in the StatusMap); the work item is left in %q.", ticket.Status, workItem.State)
		return remember(tell(next, sides, item.AzureDevOps, text), "closed", text), true
	case !closed && link.TicketClosed:
		next.TicketClosed = false
		text := fmt.Sprintf("The ticket was reopened in Alvao (status %q).", ticket.Status)
		return remember(tell(next, sides, item.AzureDevOps, text), "reopened", text), true
	}
	return turnsOfWorkItem(link, sides, rules)
}

func turnsOfWorkItem(link item.Link, sides Sides, rules Rules) (Step, bool) {
	workItem, next := sides.WorkItem, link
	_, mapped := rules.Map.Status(workItem.State)
	if mapped && !link.WorkItemClosed {
		return Step{}, false
	}
	closed := false
	if !mapped {
		if mapping.Same(workItem.State, link.Agreed.State) {
			return Step{}, false
		}
		if sides.Type == nil {
			return Step{Kind: ReadType, Reason: "whether the state closes the work item is told by its type"}, true
		}
		closed = closes(*sides.Type, workItem.State)
	}
	switch {
	case closed && !link.WorkItemClosed:
		next.WorkItemClosed = true
		text := fmt.Sprintf("Work item %d was closed in Azure DevOps (state %q, which is not in the StatusMap); the ticket is left in %q.",
			workItem.ID, workItem.State, sides.Ticket.Status)
		return remember(tell(next, sides, item.Alvao, text), "closed", text), true
	case !closed && link.WorkItemClosed:
		next.WorkItemClosed = false
		text := fmt.Sprintf("Work item %d was reopened in Azure DevOps (state %q).", workItem.ID, workItem.State)
		return remember(tell(next, sides, item.Alvao, text), "reopened", text), true
	default:
		return Step{}, false
	}
}

// closes tells whether nothing more is done in a state.
func closes(kind item.WorkItemType, state string) bool {
	for _, s := range kind.States {
		if mapping.Same(s.Name, state) {
			return strings.EqualFold(s.Category, "Completed") || strings.EqualFold(s.Category, "Removed")
		}
	}
	return false
}

// begun is the link once a note is being written.
func begun(link item.Link, now time.Time) item.Link {
	note := *link.Note
	note.Posting = now
	link.Note = &note
	return link
}
