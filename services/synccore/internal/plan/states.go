package plan

import (
	"fmt"
	"slices"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

// states brings the ticket's status and the work item's state together, and has the
// link remember under which map.
func states(link item.Link, sides Sides, rules Rules) Step {
	step := pairOf(link, sides, rules)
	switch step.Kind {
	case Remember:
		step.Link.Map = rules.Map.Print()
	case SetState, SetStatus:
		step.Map = rules.Map.Print()
	default:
	}
	return step
}

func pairOf(link item.Link, sides Sides, rules Rules) Step {
	now := present(sides)
	if parkedHere(link, sides) {
		return Step{Kind: Rest, Reason: link.Reason}
	}
	statusChanged := !mapping.Same(now.Status, link.Agreed.Status)
	stateChanged := !mapping.Same(now.State, link.Agreed.State) && !ownMove(link, now)

	if rules.Map.Agree(now.State, now.Status) {
		return settle(link, sides, "")
	}
	switch {
	case sides.Winner != "":
		return chosen(link, sides, rules)
	case statusChanged && stateChanged:
		return conflict(link, sides, rules)
	case statusChanged:
		return towardsStatus(link, sides, rules, nil)
	case stateChanged:
		return towardsState(link, sides, rules, nil)
	case link.Move != nil:
		// The ticket went back while the work item was being moved for it.
		return towardsStatus(link, sides, rules, nil)
	case remapped(link, rules):
		return remap(link, sides, rules)
	default:
		return settle(link, sides, "")
	}
}

// remapped tells that a link came to rest under another StatusMap, and that the
// present one pairs its status and its state with others.
func remapped(link item.Link, rules Rules) bool {
	return link.Map != "" && link.Map != rules.Map.Print() && !rules.Map.Agree(link.Agreed.State, link.Agreed.Status) &&
		rules.Map.NamesState(link.Agreed.State) && rules.Map.NamesStatus(link.Agreed.Status)
}

// remap brings a pair in step with a new map. Nobody changed either side, so the policy
// for conflicts says which one stays.
func remap(link item.Link, sides Sides, rules Rules) Step {
	var step Step
	if ticketWins(sides, rules) {
		step = towardsStatus(link, sides, rules, nil)
	} else {
		step = towardsState(link, sides, rules, nil)
	}
	if step.Kind == SetState || step.Kind == SetStatus {
		step.Reason = fmt.Sprintf("the StatusMap changed and pairs %q and %q no longer", sides.WorkItem.State, sides.Ticket.Status)
	}
	return step
}

func present(sides Sides) item.Pair {
	return item.Pair{Status: sides.Ticket.Status, State: sides.WorkItem.State}
}

// standstill is what a parked link compares to see whether anything changed.
func standstill(sides Sides) item.Standstill {
	still := item.Standstill{Status: sides.Ticket.Status, ExternalID: sides.Ticket.ExternalID, Activity: sides.Ticket.LastActivity}
	if sides.WorkItem != nil {
		still.State, still.Rev = sides.WorkItem.State, sides.WorkItem.Rev
	}
	return still
}

// Stirred tells that something happened to either side since a change was refused, so
// that it may be tried once more even where both show the same.
func Stirred(link item.Link, sides Sides) bool {
	return link.Parked != nil && (ticketStirred(link, sides.Ticket) || sides.WorkItem != nil && itemStirred(link, *sides.WorkItem))
}

func ticketStirred(link item.Link, ticket item.Ticket) bool {
	return !link.Parked.Activity.IsZero() && ticket.LastActivity.After(link.Parked.Activity)
}

func itemStirred(link item.Link, workItem item.WorkItem) bool {
	return link.Parked.Rev != 0 && workItem.Rev > link.Parked.Rev
}

// parkedHere tells that a change was refused and that nothing has changed since. A
// ticket without a linked work item has no state to compare: the item that its
// external id names may not have been read yet.
func parkedHere(link item.Link, sides Sides) bool {
	if link.Parked == nil || sides.Force {
		return false
	}
	now, then := standstill(sides), *link.Parked
	return mapping.Same(then.Status, now.Status) && then.ExternalID == now.ExternalID &&
		(link.WorkItem == 0 || mapping.Same(then.State, now.State))
}

// ownMove tells that the work item stands on a state that a stored move passes, so
// that it was moved there by us and not by a person.
func ownMove(link item.Link, now item.Pair) bool {
	return link.Move != nil && containsSame(link.Move.Path, now.State)
}

func containsSame(names []string, name string) bool {
	return slices.ContainsFunc(names, func(one string) bool { return mapping.Same(one, name) })
}

// settle remembers what both sides show as agreed, if that is news.
func settle(link item.Link, sides Sides, detail string) Step {
	now := present(sides)
	next := link
	next.Agreed = now
	next.Move, next.Parked = nil, nil
	next.State, next.Reason = item.LinkActive, ""
	if next.Agreed == link.Agreed && link.Move == nil && link.Parked == nil && link.State == item.LinkActive && link.Reason == "" {
		return Step{Kind: Rest, Reason: fmt.Sprintf("ticket %d in %q and work item %d in %q are in step", sides.Ticket.ID, now.Status, sides.WorkItem.ID, now.State)}
	}
	if detail != "" {
		return remember(next, "agree", detail)
	}
	return remember(next, "", fmt.Sprintf("%q and %q agree", now.Status, now.State))
}

// ticketWins tells which side the policy for conflicts favours.
func ticketWins(sides Sides, rules Rules) bool {
	switch rules.Conflict {
	case mapping.ConflictAlvao:
		return true
	case mapping.ConflictNewest:
		return sides.TicketChanged.After(sides.WorkItem.StateChanged)
	case mapping.ConflictAzureDevOps:
		return false
	default:
		return false
	}
}

// conflict lets the policy choose between two changes and keeps the losing one.
func conflict(link item.Link, sides Sides, rules Rules) Step {
	now := present(sides)
	lost := &item.LinkChange{Action: "conflict"}
	if ticketWins(sides, rules) {
		lost.Detail = fmt.Sprintf("Both sides changed; the ticket's status %q won over the work item's state %q (policy %s).", now.Status, now.State, rules.Conflict)
		return towardsStatus(link, sides, rules, lost)
	}
	lost.Detail = fmt.Sprintf("Both sides changed; the work item's state %q won over the ticket's status %q (policy %s).", now.State, now.Status, rules.Conflict)
	return towardsState(link, sides, rules, lost)
}

// chosen lets the side stay that a person chose, and keeps the losing value.
func chosen(link item.Link, sides Sides, rules Rules) Step {
	now := present(sides)
	lost := &item.LinkChange{Action: "repair"}
	if sides.Winner == item.Alvao {
		lost.Detail = fmt.Sprintf("A person chose the ticket's status %q over the work item's state %q.", now.Status, now.State)
		return towardsStatus(link, sides, rules, lost)
	}
	lost.Detail = fmt.Sprintf("A person chose the work item's state %q over the ticket's status %q.", now.State, now.Status)
	return towardsState(link, sides, rules, lost)
}

// towardsStatus brings the work item to where the ticket is.
func towardsStatus(link item.Link, sides Sides, rules Rules, lost *item.LinkChange) Step {
	now := present(sides)
	targets := rules.Map.States(now.Status)
	if len(targets) == 0 {
		step := settle(link, sides, fmt.Sprintf("The ticket's status %q is not in the StatusMap, so the work item stays in %q.", now.Status, now.State))
		step.Lost = lost
		return step
	}
	if sides.Type == nil {
		return Step{Kind: ReadType, Reason: "the type's states and transitions are needed"}
	}
	path := firstPath(*sides.Type, now.State, targets)
	if path == nil {
		return withLost(park(link, sides, fmt.Sprintf(
			"Work item %d can't go from %q to %q: its type %s has no such state or no transitions that lead there; move it by hand, or change the StatusMap.",
			sides.WorkItem.ID, now.State, targets[0], sides.WorkItem.Type)), lost)
	}
	if len(path) > 1 && !underWay(link.Move, now, path) {
		next := link
		next.Move = &item.Move{Status: now.Status, Path: path}
		// From here on the agreed state is where the move starts: a stop on the way is
		// told apart from an edit by the path.
		next.Agreed.State = now.State
		next.Parked = nil
		step := remember(next, "", "a move over several states is stored first")
		step.Lost = lost
		return step
	}
	return Step{
		Kind: SetState, State: path[0], Lost: lost,
		Reason: fmt.Sprintf("the ticket went to %q, which the StatusMap pairs with %q", now.Status, path[len(path)-1]),
	}
}

// underWay tells that the move to the status is stored already: at its start, or at
// one of its stops.
func underWay(move *item.Move, now item.Pair, path []string) bool {
	return move != nil && mapping.Same(move.Status, now.Status) &&
		(containsSame(move.Path, now.State) || slices.EqualFunc(move.Path, path, mapping.Same))
}

// towardsState brings the ticket to where the work item is.
func towardsState(link item.Link, sides Sides, rules Rules, lost *item.LinkChange) Step {
	now := present(sides)
	status, ok := rules.Map.Status(now.State)
	if !ok {
		step := settle(link, sides, fmt.Sprintf("The work item's state %q is not in the StatusMap, so the ticket stays in %q.", now.State, now.Status))
		step.Lost = lost
		return step
	}
	return Step{
		Kind: SetStatus, Status: status, Lost: lost,
		Reason: fmt.Sprintf("the work item went to %q, which the StatusMap pairs with %q", now.State, status),
	}
}

func withLost(step Step, lost *item.LinkChange) Step {
	step.Lost = lost
	return step
}

// park remembers that a change can't be made until either side changes.
func park(link item.Link, sides Sides, text string) Step {
	next := link
	next.State, next.Reason = item.LinkParked, text
	next.Move = nil
	still := standstill(sides)
	next.Parked = &still
	if link.State == item.LinkParked && link.Reason == text {
		// That it was tried once more is no news.
		return remember(next, "", text)
	}
	return remember(next, "park", text)
}

// firstPath is the shortest legal way from a state to the first target that can be
// reached at all, in the order of the targets; nil if none can.
func firstPath(workItemType item.WorkItemType, from string, targets []string) []string {
	for _, target := range targets {
		if path := Path(workItemType, from, target); path != nil {
			return path
		}
	}
	return nil
}

// Path is the shortest sequence of states that leads from one state to another
// along the type's transitions, without the first and with the last; ties go to the
// vendor's order. It is nil when the type lacks the target or no transitions lead
// there, and a direct move when the type tells no transitions.
func Path(workItemType item.WorkItemType, from, to string) []string {
	target := ""
	for _, state := range workItemType.States {
		if mapping.Same(state.Name, to) {
			target = state.Name
		}
	}
	if target == "" {
		return nil
	}
	if len(workItemType.Transitions) == 0 {
		return []string{target}
	}
	next := func(state string) []string {
		for name, states := range workItemType.Transitions {
			if name != "" && mapping.Same(name, state) {
				return states
			}
		}
		return nil
	}
	type visit struct {
		state string
		path  []string
	}
	seen := []string{from}
	queue := []visit{{state: from}}
	for len(queue) > 0 {
		here := queue[0]
		queue = queue[1:]
		for _, state := range next(here.state) {
			if containsSame(seen, state) {
				continue
			}
			seen = append(seen, state)
			path := append(slices.Clone(here.path), state)
			if mapping.Same(state, target) {
				return path
			}
			queue = append(queue, visit{state: state, path: path})
		}
	}
	return nil
}
