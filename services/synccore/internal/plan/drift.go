package plan

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

// Differences tells in what a link differs from its sides as they are, and why; nil for a
// side: it is not there. What a link knows already, such as that its work item was
// deleted, is no difference; what was refused and waits is one for as long as the sides
// don't go together.
func Differences(link item.Link, ticket *item.Ticket, workItem *item.WorkItem, rules Rules) []item.Difference {
	sides := Sides{TicketGone: ticket == nil || ticket.Removed, WorkItem: workItem, WorkItemGone: workItem == nil}
	if ticket != nil {
		sides.Ticket = *ticket
	}
	if link.WorkItem == 0 {
		return unpaired(link, sides)
	}
	who, text := away(sides, rules)
	kinds := map[item.System]item.DriftKind{item.Alvao: item.DriftTicket, item.AzureDevOps: item.DriftWorkItem}
	switch {
	case link.State == item.LinkGone && text != "":
		return nil
	case link.State == item.LinkGone:
		kind := item.DriftWorkItem
		if link.Away == item.Alvao {
			kind = item.DriftTicket
		}
		return []item.Difference{{Kind: kind, Detail: "Both items are there again, and the link still says: " + link.Reason}}
	case text != "":
		return []item.Difference{{Kind: kinds[who], Detail: text}}
	}
	var found []item.Difference
	add := func(kind item.DriftKind, format string, args ...any) {
		found = append(found, item.Difference{Kind: kind, Detail: fmt.Sprintf(format, args...)})
	}
	external := strings.TrimSpace(ticket.ExternalID)
	if (external != "" || len(ticket.Custom) > 0) && external != strconv.FormatInt(link.WorkItem, 10) {
		add(item.DriftExternalID, "The ticket carries the external id %q instead of %d.", external, link.WorkItem)
	}
	if link.Type != "" && workItem.Type != "" && !mapping.Same(link.Type, workItem.Type) {
		add(item.DriftWorkItem, "The work item was changed from type %s to %s.", link.Type, workItem.Type)
	}
	if kind, text := stateDrift(link, present(sides), rules); text != "" {
		add(kind, "%s", text)
	}
	if link.Move != nil {
		add(item.DriftPending, "The work item is on its way to %q, for the ticket's status %q.", link.Move.Path[len(link.Move.Path)-1], link.Move.Status)
	}
	if link.Note != nil {
		add(item.DriftPending, "%s is still to be told: %s", link.Note.To.Title(), link.Note.Text)
	}
	if text := talkDrift(link, sides, rules); text != "" {
		add(item.DriftMessages, "%s", text)
	}
	return found
}

// unpaired tells of a link that has no work item yet.
func unpaired(link item.Link, sides Sides) []item.Difference {
	switch {
	case link.State == item.LinkGone || sides.TicketGone:
		return nil
	case link.Reason != "":
		return []item.Difference{{Kind: item.DriftPending, Detail: "There is no work item yet: " + link.Reason}}
	default:
		return []item.Difference{{Kind: item.DriftPending, Detail: "The work item is being made or looked for."}}
	}
}

// stateDrift tells how status and state differ, and why.
func stateDrift(link item.Link, now item.Pair, rules Rules) (item.DriftKind, string) {
	status, state := !mapping.Same(now.Status, link.Agreed.Status), !mapping.Same(now.State, link.Agreed.State)
	apart := !rules.Map.Agree(now.State, now.Status) && rules.Map.NamesState(now.State) && rules.Map.NamesStatus(now.Status)
	if !apart {
		if link.Parked != nil {
			return item.DriftPending, "A change waits: " + link.Reason
		}
		if status || state {
			return item.DriftBaseline, fmt.Sprintf("%q and %q need no change, and the link remembers %q and %q.", now.Status, now.State, link.Agreed.Status, link.Agreed.State)
		}
		return "", ""
	}
	says := fmt.Sprintf("The StatusMap does not pair %q with %q: ", now.Status, now.State)
	switch {
	case link.Parked != nil:
		return item.DriftState, says + "a change was refused. " + link.Reason
	case link.Agreed.Status == "":
		return item.DriftState, says + "they were never brought together."
	case status && state:
		return item.DriftState, says + fmt.Sprintf("the ticket went there from %q, the work item from %q.", link.Agreed.Status, link.Agreed.State)
	case status:
		return item.DriftState, says + fmt.Sprintf("the ticket went there from %q.", link.Agreed.Status)
	case state:
		return item.DriftState, says + fmt.Sprintf("the work item went there from %q.", link.Agreed.State)
	default:
		return item.DriftState, says + "it is another one than when they were last in step."
	}
}

// talkDrift tells whether messages may differ.
func talkDrift(link item.Link, sides Sides, rules Rules) string {
	if !rules.Messages {
		return ""
	}
	desk := sides.Ticket.LastActivity.After(link.TalkSeen)
	boards := sides.WorkItem.Rev > link.TalkRev
	switch {
	case link.TalkRev == 0 && link.TalkSeen.IsZero():
		return "Messages and files were never compared."
	case desk && boards:
		return "Something happened to both sides since messages and files were last compared."
	case desk:
		return "Something happened to the ticket since messages and files were last compared."
	case boards:
		return "Something happened to the work item since messages and files were last compared."
	default:
		return ""
	}
}

// FirstLook tells in short what a round would make of a ticket and its work item whose
// link was lost.
func FirstLook(ticket item.Ticket, workItem item.WorkItem, rules Rules) string {
	sides := Sides{Ticket: ticket, TicketChanged: ticket.LastActivity, WorkItem: &workItem}
	now := present(sides)
	status, mapped := rules.Map.Status(now.State)
	states := rules.Map.States(now.Status)
	switch {
	case rules.Map.Agree(now.State, now.Status):
		return "in step"
	case workItem.Rev == 1 && len(states) > 0:
		return fmt.Sprintf("the work item is as it was made and would go to %q", states[0])
	case ticketWins(sides, rules) && len(states) > 0:
		return fmt.Sprintf("not in step: by the policy %s the work item would go to %q", rules.Conflict, states[0])
	case !ticketWins(sides, rules) && mapped:
		return fmt.Sprintf("not in step: by the policy %s the ticket would go to %q", rules.Conflict, status)
	default:
		return "the StatusMap does not name both, so they stay as they are"
	}
}
