package plan

import (
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

// SameMoment is how long after an activity another one may be told with the same time:
// tenants tell times to the second or finer. What is read sooner is looked at once more.
const SameMoment = 2 * time.Second

// Doubt says whether a round may find something to do, judged from what a list shows
// beside the link. It errs on the side of looking.
type Doubt int

// The degrees of doubt.
const (
	// None: a round would take no step.
	None Doubt = iota
	// Slight: the list does not show what decides. A look now and then is enough.
	Slight
	// Strong: something differs from what the link remembers.
	Strong
)

// Listed is what is known about a ticket beside its row in a list.
type Listed struct {
	// Existing tells that it was there before the connector first started, and that
	// such tickets get no work item.
	Existing bool
	// WorkItemBack tells that the work item of a link that is gone can be read.
	WorkItemBack bool
}

// TicketDoubt judges a listed ticket. Lists may lack custom fields (alvao.md §7), so
// an empty ExternalID means nothing unless other custom fields are there.
func TicketDoubt(link item.Link, ticket item.Ticket, known Listed, rules Rules) Doubt {
	gone := link.State == item.LinkGone
	switch {
	case link.Note != nil:
		return Strong
	case ticket.Removed:
		return when(link.Exists() && !gone)
	case link.WorkItem == 0:
		return pairingDoubt(link, ticket, known, rules)
	case gone:
		return when(known.WorkItemBack)
	}
	external := strings.TrimSpace(ticket.ExternalID)
	told := external != "" || len(ticket.Custom) > 0
	if link.Parked == nil {
		return max(when((told && !carries(external, link.WorkItem)) || !mapping.Same(ticket.Status, link.Agreed.Status)), talkDoubt(link, ticket, rules))
	}
	switch parked := strings.TrimSpace(link.Parked.ExternalID); {
	case !mapping.Same(ticket.Status, link.Parked.Status), told && external != parked:
		return Strong
	case !told && !carries(parked, link.WorkItem):
		return Slight
	case ticketStirred(link, ticket):
		return Strong
	case !carries(parked, link.WorkItem):
		// No messages cross while it is not clear whose they are.
		return None
	default:
		return talkDoubt(link, ticket, rules)
	}
}

// talkDoubt judges whether a ticket may hold messages that have not crossed.
func talkDoubt(link item.Link, ticket item.Ticket, rules Rules) Doubt {
	switch {
	case !rules.Messages:
		return None
	case ticket.LastActivity.IsZero():
		return Slight
	case !ticket.LastActivity.After(link.TalkSeen):
		return None
	case link.Unheard != nil && !ticket.LastActivity.After(link.Unheard.Activity):
		return Slight
	default:
		return Strong
	}
}

// pairingDoubt judges a ticket that has no work item in the link.
func pairingDoubt(link item.Link, ticket item.Ticket, known Listed, rules Rules) Doubt {
	if foreign(ticket.Service, rules.Service) || foreign(ticket.Process, rules.Process) {
		return None
	}
	external := strings.TrimSpace(ticket.ExternalID)
	mapped := len(rules.Map.States(ticket.Status)) > 0
	untold := external == "" && len(ticket.Custom) == 0
	_, numbered := itemNumber(external)
	switch {
	case link.Parked != nil:
		switch {
		case !mapping.Same(ticket.Status, link.Parked.Status):
			return when(mapped || numbered)
		case ticketStirred(link, ticket):
			return when(mapped || numbered)
		case untold && link.Parked.ExternalID != "":
			return Slight
		default:
			return when(external != link.Parked.ExternalID && (mapped || numbered))
		}
	case numbered:
		return Strong
	case known.Existing && mapped && untold:
		// It may carry a work item's number, which the list does not show.
		return Slight
	case known.Existing:
		// Once it has left the mapped statuses it counts as new when it comes back, which
		// a round has to note.
		return when(!mapped)
	default:
		return when(mapped)
	}
}

// WorkItemDoubt judges a linked work item as a list shows it; nil: it could not be
// read. Links that are gone are TicketDoubt's, since both items have to be there.
func WorkItemDoubt(link item.Link, workItem *item.WorkItem, rules Rules) Doubt {
	switch {
	case link.Note != nil:
		return Strong
	case link.WorkItem == 0 || link.State == item.LinkGone:
		return None
	case workItem == nil || workItem.Deleted || workItem.Elsewhere:
		return Strong
	case link.Type != "" && workItem.Type != "" && !mapping.Same(link.Type, workItem.Type):
		return Strong
	case rules.Messages && workItem.Rev > link.TalkRev && (link.Unheard == nil || workItem.Rev > link.Unheard.Rev):
		return Strong
	}
	// That they could not be read may have passed, which nothing shows.
	unheard := None
	if rules.Messages && workItem.Rev > link.TalkRev {
		unheard = Slight
	}
	return max(unheard, stateDoubt(link, workItem, rules))
}

// stateDoubt judges the state of a linked work item that is there.
func stateDoubt(link item.Link, workItem *item.WorkItem, rules Rules) Doubt {
	if link.Parked != nil {
		return when(!mapping.Same(link.Parked.State, workItem.State) || itemStirred(link, *workItem))
	}
	return when(link.Move != nil || link.Agreed.Status == "" || !mapping.Same(link.Agreed.State, workItem.State) || remapped(link, rules))
}

// ChangeDoubt judges a linked work item as a list of changes shows it. That one shows
// deleted items too, so a link that is gone because of its work item may be back.
func ChangeDoubt(link item.Link, workItem *item.WorkItem, rules Rules) Doubt {
	if link.WorkItem != 0 && link.State == item.LinkGone && link.Away == item.AzureDevOps {
		return when(!workItem.Deleted && !workItem.Elsewhere)
	}
	return WorkItemDoubt(link, workItem, rules)
}

func when(differs bool) Doubt {
	if differs {
		return Strong
	}
	return None
}
