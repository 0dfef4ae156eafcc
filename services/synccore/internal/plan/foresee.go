package plan

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

// Adopt is what a round would do first for a ticket that already carries a work item's
// number.
const Adopt = "adopt-work-item"

// Either is what a round would write first where the newer of status and state stays and
// nobody has looked yet which that is: SetStatus or SetState.
const Either = "set-status-or-state"

// Foreseen is what a round would write first for a ticket and its work item, judged
// by Next itself from what lists show. The zero value: nothing, or something that
// lists don't show.
type Foreseen struct {
	// Kind is that of the step, or Adopt.
	Kind string
	// Detail says in short what, for people.
	Detail string
}

// ForeseeWorkItem judges a linked work item as a list shows it, beside a ticket that
// stands as the link remembers; nil: it could not be read. A link that never came to
// rest is work under way and foresees nothing.
func ForeseeWorkItem(link item.Link, workItem *item.WorkItem, rules Rules) Foreseen {
	if link.WorkItem == 0 || link.State == item.LinkGone || link.Agreed.Status == "" || workItem == nil || workItem.Deleted {
		return Foreseen{}
	}
	return foresee(link, item.Ticket{
		ID: link.Ticket, Service: rules.Service, Process: rules.Process, Status: stood(link).Status, ExternalID: stood(link).ExternalID,
	}, *workItem, rules)
}

// ForeseeTicket judges a listed ticket beside a work item that stands as the link
// remembers.
func ForeseeTicket(link item.Link, ticket item.Ticket, known Listed, rules Rules) Foreseen {
	switch {
	case ticket.Removed || link.State == item.LinkGone:
		return Foreseen{}
	case link.WorkItem == 0:
		// Lists may leave out what all their rows share.
		ticket.Service, ticket.Process = cmp.Or(ticket.Service, rules.Service), cmp.Or(ticket.Process, rules.Process)
		if ticket.ExternalID == "" && len(ticket.Custom) == 0 && link.Parked != nil {
			// Nor do they all show custom fields.
			ticket.ExternalID = link.Parked.ExternalID
		}
		return foreseePair(link, ticket, known, rules)
	case link.Agreed.Status == "":
		return Foreseen{}
	}
	if ticket.ExternalID == "" && len(ticket.Custom) == 0 {
		ticket.ExternalID = stood(link).ExternalID
	}
	return foresee(link, ticket, item.WorkItem{ID: link.WorkItem, State: stood(link).State}, rules)
}

// ForeseeMessages judges a link where messages never crossed: all that was said would.
func ForeseeMessages(link item.Link, rules Rules) Foreseen {
	if !rules.Messages || link.WorkItem == 0 || link.State == item.LinkGone || link.Agreed.Status == "" || link.TalkRev != 0 || !link.TalkSeen.IsZero() {
		return Foreseen{}
	}
	return Foreseen{Kind: string(Post), Detail: "its messages and files would cross"}
}

// stood is what both sides showed when the link came to rest.
func stood(link item.Link) item.Standstill {
	if link.Parked != nil {
		return *link.Parked
	}
	return item.Standstill{Status: link.Agreed.Status, State: link.Agreed.State, ExternalID: strconv.FormatInt(link.WorkItem, 10)}
}

func foresee(link item.Link, ticket item.Ticket, workItem item.WorkItem, rules Rules) Foreseen {
	rules.Messages = false
	if rules.Conflict == mapping.ConflictNewest && link.Move == nil && link.Parked == nil && remapped(link, rules) &&
		mapping.Same(ticket.Status, link.Agreed.Status) && mapping.Same(workItem.State, link.Agreed.State) && !rules.Map.Agree(workItem.State, ticket.Status) {
		// When the status changed is asked for only when a round is due.
		return Foreseen{Kind: Either, Detail: fmt.Sprintf(
			"%q and %q are paired no longer: the ticket's status or the work item's state would change, whichever is the older one", ticket.Status, workItem.State)}
	}
	switch step := Next(link, Sides{Ticket: ticket, WorkItem: &workItem, Listed: true}, rules); step.Kind {
	case SetStatus:
		return Foreseen{Kind: string(SetStatus), Detail: fmt.Sprintf("the ticket would go from %q to %q", ticket.Status, step.Status)}
	case SetState:
		return Foreseen{Kind: string(SetState), Detail: fmt.Sprintf("the work item would go from %q to %q", workItem.State, step.State)}
	case ReadType:
		// Which states lead there is asked for only when a work item is to move.
		return Foreseen{Kind: string(SetState), Detail: fmt.Sprintf("the work item would go from %q to %q",
			workItem.State, strings.Join(rules.Map.States(ticket.Status), `" or "`))}
	case WriteExternalID:
		return Foreseen{Kind: string(WriteExternalID), Detail: fmt.Sprintf("the ticket would be given the external id %d", step.WorkItem)}
	default:
		return Foreseen{}
	}
}

func foreseePair(link item.Link, ticket item.Ticket, known Listed, rules Rules) Foreseen {
	if link.Exists() && link.Parked == nil {
		// Its creation is under way.
		return Foreseen{}
	}
	switch step := Next(link, Sides{Ticket: ticket, LeaveAlone: known.Existing}, rules); step.Kind {
	case Search:
		return Foreseen{Kind: string(Create), Detail: fmt.Sprintf("a work item would be made for the ticket in %q", ticket.Status)}
	case ReadWorkItem:
		return Foreseen{Kind: Adopt, Detail: fmt.Sprintf("work item %d would be taken for the ticket's", step.WorkItem)}
	default:
		return Foreseen{}
	}
}
