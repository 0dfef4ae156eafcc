package plan

import (
	"fmt"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

// Judge tells rule by rule why Next said next of a link and two sides. It decides
// nothing: a rule that stops or acts is one that Next heeded.
func Judge(link item.Link, sides Sides, rules Rules, next Step) []item.Verdict {
	j := judge{next: next}
	if link.WorkItem == 0 {
		j.unlinked(link, sides, rules)
	} else {
		j.linked(link, sides, rules)
	}
	switch {
	case j.over:
	case next.Kind == Rest:
		j.say("in-step", item.SaidStop, sentence(next.Reason))
	case next.Kind == Wait:
		j.say("wait", item.SaidStop, sentence(next.Reason))
	default:
		j.say(string(next.Kind), item.SaidAct, sentence(next.Reason))
	}
	return j.said
}

type judge struct {
	next Step
	said []item.Verdict
	// over tells that a rule has stopped everything.
	over bool
}

func (j *judge) say(rule string, said item.Said, detail string) {
	if j.over {
		return
	}
	if said == item.SaidStop && j.next.Kind != Rest && j.next.Kind != Wait {
		said = item.SaidPass // Next goes on: something else must be put right first
	}
	j.said = append(j.said, item.Verdict{Rule: rule, Said: said, Detail: detail})
	j.over = said == item.SaidStop
}

// ask says that a rule passes, or that it stops.
func (j *judge) ask(rule string, passes bool, format string, args ...any) {
	said := item.SaidStop
	if passes {
		said = item.SaidPass
	}
	j.say(rule, said, fmt.Sprintf(format, args...))
}

func (j *judge) unlinked(link item.Link, sides Sides, rules Rules) {
	ticket := sides.Ticket
	j.ask("ticket", !sides.TicketGone, "%s", map[bool]string{
		true: "The ticket was removed in Alvao, or can't be seen.", false: "The ticket is there.",
	}[sides.TicketGone])
	j.ask("service", mapping.Same(ticket.Service, rules.Service), "The ticket is of service %q; the connector's is %q.", ticket.Service, rules.Service)
	if rules.Process != "" {
		j.ask("process", mapping.Same(ticket.Process, rules.Process), "The ticket follows process %q; the connector's is %q.", ticket.Process, rules.Process)
	}
	j.ask("link", true, "The ticket has no work item yet.")
	if ticket.ExternalID != "" {
		if j.next.Kind == Rest && j.next.Reason != link.Reason {
			j.say("external-id", item.SaidStop, sentence(j.next.Reason))
		} else {
			j.ask("external-id", true, "The ticket carries the number %s.", ticket.ExternalID)
		}
	} else {
		j.ask("external-id", true, "The ticket carries no work item's number.")
		states := rules.Map.States(ticket.Status)
		if len(states) == 0 {
			j.say("status-map", item.SaidStop, fmt.Sprintf("The status %q is not in the StatusMap, so no work item is made.", ticket.Status))
		} else {
			j.ask("status-map", true, "The StatusMap pairs the status %q with %q.", ticket.Status, strings.Join(states, `", "`))
		}
		j.ask("existing-tickets", !sides.LeaveAlone, "%s", map[bool]string{
			true: "The ticket was there before the connector first started, and existingTickets is ignore.", false: "The ticket is none that existingTickets leaves alone.",
		}[sides.LeaveAlone])
	}
	j.parked(link, sides)
}

func (j *judge) linked(link item.Link, sides Sides, rules Rules) {
	j.ask("link", true, "The ticket is linked with work item %d.", link.WorkItem)
	if sides.WorkItem == nil && !sides.WorkItemGone {
		return
	}
	if _, text := away(sides, rules); text != "" {
		j.say("both-there", item.SaidStop, text)
		if sides.WorkItem == nil {
			return
		}
	}
	j.ask("both-there", true, "Both the ticket and the work item are there.")
	j.parked(link, sides)
	now := present(sides)
	statusChanged := !mapping.Same(now.Status, link.Agreed.Status)
	stateChanged := !mapping.Same(now.State, link.Agreed.State) && !ownMove(link, now)
	switch {
	case link.Agreed.Status == "" && link.Agreed.State == "":
		j.ask("changed", true, "Nothing was agreed yet; the ticket shows %q and the work item %q.", now.Status, now.State)
	case statusChanged && stateChanged:
		j.ask("changed", true, "Both sides changed since they agreed on %q and %q: the ticket shows %q and the work item %q.",
			link.Agreed.Status, link.Agreed.State, now.Status, now.State)
	case statusChanged:
		j.ask("changed", true, "The ticket went from %q to %q; the work item stayed in %q.", link.Agreed.Status, now.Status, now.State)
	case stateChanged:
		j.ask("changed", true, "The work item went from %q to %q; the ticket stayed in %q.", link.Agreed.State, now.State, now.Status)
	default:
		j.ask("changed", true, "Neither status nor state changed since they agreed on %q and %q.", link.Agreed.Status, link.Agreed.State)
	}
	switch agree := rules.Map.Agree(now.State, now.Status); {
	case agree:
		j.ask("status-map", true, "The StatusMap pairs %q with %q, so neither has to move.", now.State, now.Status)
	case !rules.Map.NamesStatus(now.Status):
		j.ask("status-map", true, "The status %q is not in the StatusMap.", now.Status)
	case !rules.Map.NamesState(now.State):
		j.ask("status-map", true, "The state %q is not in the StatusMap.", now.State)
	default:
		j.ask("status-map", true, "The StatusMap does not pair %q with %q.", now.State, now.Status)
		if statusChanged && stateChanged {
			who := "work item"
			if ticketWins(sides, rules) {
				who = "ticket"
			}
			j.ask("conflict", true, "Both changed; the policy %s lets the %s win.", rules.Conflict, who)
		}
	}
	if !rules.Messages {
		j.ask("messages", true, "Messages don't cross: SyncCommunication is off, or the log can't be read.")
	}
}

func (j *judge) parked(link item.Link, sides Sides) {
	if link.Parked == nil {
		return
	}
	if parkedHere(link, sides) {
		j.say("parked", item.SaidStop, link.Reason)
		return
	}
	j.ask("parked", true, "A change was refused before, and something has changed since or a person asked: it is tried again.")
}

// sentence makes a sentence of a reason.
func sentence(reason string) string {
	if reason == "" {
		return ""
	}
	text := strings.ToUpper(reason[:1]) + reason[1:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}

// Creation is the way over the states that a work item takes which is made for a ticket
// in a status: first the state that it is made in, last the one that the StatusMap asks
// for. It is nil where the status is not in the map, and ends in "" where no
// transitions lead to any of the map's states.
func Creation(workItemType item.WorkItemType, statuses mapping.StatusMap, status string) []string {
	targets := statuses.States(status)
	if len(targets) == 0 {
		return nil
	}
	var first string
	switch initial := workItemType.Transitions[""]; {
	case len(initial) > 0:
		first = initial[0]
	case len(workItemType.States) > 0:
		first = workItemType.States[0].Name
	}
	if containsSame(targets, first) {
		return []string{first}
	}
	path := firstPath(workItemType, first, targets)
	if path == nil {
		return []string{first, ""}
	}
	return append([]string{first}, path...)
}
