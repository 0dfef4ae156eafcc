package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/weburl"
)

// pairing finds or makes the work item of a ticket that has none in the link.
func pairing(link item.Link, sides Sides, rules Rules) Step {
	ticket := sides.Ticket
	if !mapping.Same(ticket.Service, rules.Service) {
		return Step{Kind: Rest, Reason: fmt.Sprintf("ticket %d belongs to service %q, not to %q", ticket.ID, ticket.Service, rules.Service)}
	}
	if rules.Process != "" && !mapping.Same(ticket.Process, rules.Process) {
		return Step{Kind: Rest, Reason: fmt.Sprintf("ticket %d follows process %q, not %q", ticket.ID, ticket.Process, rules.Process)}
	}
	if ticket.ExternalID != "" {
		return adoptByExternalID(link, sides, rules)
	}
	if sides.Searched && sides.WorkItem != nil {
		return adopt(link, sides, fmt.Sprintf("Work item %d carries the mark of ticket %d and was adopted.", sides.WorkItem.ID, ticket.ID))
	}
	if len(rules.Map.States(ticket.Status)) == 0 {
		return Step{Kind: Rest, Reason: fmt.Sprintf("ticket %d has no work item and its status %q is not in the StatusMap", ticket.ID, ticket.Status)}
	}
	if sides.LeaveAlone {
		return Step{Kind: Rest, Reason: fmt.Sprintf("ticket %d was there before the connector first started and existingTickets is ignore", ticket.ID)}
	}
	if parkedHere(link, sides) {
		return Step{Kind: Rest, Reason: link.Reason}
	}
	if !sides.Searched {
		return Step{Kind: Search, Reason: "a work item with the ticket's mark may exist already"}
	}
	if sides.Intended {
		return Step{Kind: Create, Reason: fmt.Sprintf("ticket %d entered status %q", ticket.ID, ticket.Status)}
	}
	// An earlier round stored its intention and was cut off: its create may still
	// arrive, so nothing is created before that has become impossible.
	if link.State == item.LinkCreating && !link.Intended.IsZero() {
		if since := sides.Now.Sub(link.Intended); since >= 0 && since < Settle {
			return Step{Kind: Wait, After: Settle - since, Reason: "a create that was cut off may still take effect"}
		}
	}
	next := link
	next.State, next.Reason, next.Parked = item.LinkCreating, "", nil
	next.Intended = sides.Now
	return Step{Kind: Remember, Link: next, Reason: "the intention to create is stored first"}
}

func adoptByExternalID(link item.Link, sides Sides, rules Rules) Step {
	ticket := sides.Ticket
	id, numbered := itemNumber(ticket.ExternalID)
	if !numbered && (sides.LeaveAlone || len(rules.Map.States(ticket.Status)) == 0) {
		return Step{Kind: Rest, Reason: fmt.Sprintf("ticket %d carries the external id %q, which is no work item number", ticket.ID, ticket.ExternalID)}
	}
	if parkedHere(link, sides) {
		return Step{Kind: Rest, Reason: link.Reason}
	}
	if !numbered {
		return park(link, sides, fmt.Sprintf(
			"Ticket %d is in status %q and would get a work item, but its external id %q is no work item number; clear the field to have a new work item made, or write a work item's number into it.",
			ticket.ID, ticket.Status, ticket.ExternalID))
	}
	if sides.WorkItemGone {
		return park(link, sides, fmt.Sprintf(
			"Ticket %d carries the external id %d, but that work item does not exist or the token may not read it; clear the field to have a new work item made, or mend the right.",
			ticket.ID, id))
	}
	if sides.WorkItem == nil || sides.WorkItem.ID != id {
		return Step{Kind: ReadWorkItem, WorkItem: id, Reason: "the ticket carries a work item's number"}
	}
	if sides.Taken != 0 {
		return park(link, sides, fmt.Sprintf(
			"Ticket %d carries the external id %d, but that work item belongs to ticket %d; clear the field to have a new one made, or delete the other link.",
			ticket.ID, id, sides.Taken))
	}
	if sides.Bearer != 0 && !sides.Ours {
		// Its link may have been lost, and it may be looked at later.
		return park(link, sides, fmt.Sprintf(
			"Ticket %d carries the external id %d, but that work item bears the mark of ticket %d; clear the field to have a new one made, or take the mark off the work item and synchronise the ticket by hand.",
			ticket.ID, id, sides.Bearer))
	}
	if sides.Ours && (sides.WorkItem.Elsewhere || sides.WorkItem.Deleted) {
		// Its link was lost: it is gone, and may come back.
		return adopt(link, sides, fmt.Sprintf("Ticket %d and work item %d carry each other's number; the work item was adopted.", ticket.ID, id))
	}
	if sides.WorkItem.Elsewhere {
		return park(link, sides, fmt.Sprintf(
			"Ticket %d carries the external id %d, but that work item lies in the project %q; move it here, or clear the field to have a new one made.",
			ticket.ID, id, sides.WorkItem.Project))
	}
	if sides.WorkItem.Deleted {
		return park(link, sides, fmt.Sprintf(
			"Ticket %d carries the external id %d, but that work item was deleted; restore it, or clear the field to have a new one made.", ticket.ID, id))
	}
	return adopt(link, sides, fmt.Sprintf("Ticket %d already carried work item %d, which was adopted.", ticket.ID, id))
}

// itemNumber reads a work item's number as people write it, also "#11"; false: it is
// none.
func itemNumber(external string) (int64, bool) {
	digits := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(external), "#"))
	id, err := strconv.ParseInt(digits, 10, 64)
	return id, err == nil && id > 0 && digits[0] != '+'
}

// carries tells whether an external id is the number of that work item.
func carries(external string, workItem int64) bool {
	id, numbered := itemNumber(external)
	return numbered && id == workItem
}

// adopt takes sides.WorkItem as the ticket's own. An item that nobody has touched
// since it was made (revision 1) is our own create whose answer was lost: there the
// ticket decides. For any other one nothing was ever agreed.
func adopt(link item.Link, sides Sides, detail string) Step {
	next := link
	next.WorkItem = sides.WorkItem.ID
	next.WorkItemURL = sides.WorkItem.URL
	next.State, next.Reason, next.Parked = item.LinkActive, "", nil
	next.Agreed = item.Pair{}
	if sides.WorkItem.Rev == 1 {
		next.Agreed.State = sides.WorkItem.State
	}
	return remember(next, "adopt", detail)
}

// marks keeps the two marks that the link can be rebuilt from.
func marks(link item.Link, sides Sides) (Step, bool) {
	ticket, workItem := sides.Ticket, sides.WorkItem
	switch external := strings.TrimSpace(ticket.ExternalID); {
	case external == "":
		return Step{Kind: WriteExternalID, WorkItem: workItem.ID, Reason: "the ticket must carry the work item's number"}, true
	case !carries(external, workItem.ID):
		if parkedHere(link, sides) {
			return Step{Kind: Rest, Reason: link.Reason}, true
		}
		step := park(link, sides, fmt.Sprintf(
			"Ticket %d carries the external id %q but is linked to work item %d; write %d into the field, or delete the link.",
			ticket.ID, external, workItem.ID, workItem.ID))
		// What is edited once more is no more news.
		if link.Parked == nil || link.Parked.ExternalID == "" || carries(link.Parked.ExternalID, workItem.ID) {
			step.Link = tell(step.Link, sides, item.AzureDevOps, fmt.Sprintf(
				"The external id of the ticket was changed to %q in Alvao; nothing is kept in step until it is %d again.", external, workItem.ID))
		}
		return step, true
	}
	if p := link.Parked; p != nil && p.ExternalID != "" && !carries(p.ExternalID, workItem.ID) {
		next := link
		next.State, next.Reason, next.Parked = item.LinkActive, "", nil
		text := fmt.Sprintf("The ticket carries the number %d again; both are kept in step again.", workItem.ID)
		return remember(tell(next, sides, item.AzureDevOps, text), "mended", text), true
	}
	// Only before anything was agreed: a hyperlink that a person takes away later
	// stays away.
	if link.Agreed.Status == "" && ticket.URL != "" && !sides.Marked && !hasHyperlink(workItem, ticket.URL) {
		return Step{Kind: Mark, Reason: "the work item must lead back to its ticket"}, true
	}
	return Step{}, false
}

func hasHyperlink(workItem *item.WorkItem, url string) bool {
	page := weburl.Page(url)
	return slices.ContainsFunc(workItem.Hyperlinks, func(link string) bool { return weburl.Page(link) == page })
}
