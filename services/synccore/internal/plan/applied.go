package plan

import (
	"fmt"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Applied is what the link remembers after a step took effect, and what its history
// says. The sides are what was read back after the step. A status counts as agreed as
// it was written, not as it was read back: what stands there a moment later is what a
// rule or a person made of it, and is looked at as news.
func Applied(link item.Link, step Step, after Sides) (item.Link, []item.LinkChange) {
	var changes []item.LinkChange
	next := link
	switch step.Kind {
	case Remember:
		next = step.Link
		if step.Change != nil {
			changes = append(changes, *step.Change)
		}
	case Create:
		next.WorkItem = after.WorkItem.ID
		next.WorkItemURL = after.WorkItem.URL
		next.State, next.Reason, next.Parked = item.LinkActive, "", nil
		// The state is as Azure DevOps chose it and agreed with no status yet: so the
		// ticket decides what comes next.
		next.Agreed = item.Pair{State: after.WorkItem.State}
		changes = append(changes, item.LinkChange{Action: string(Create), Detail: fmt.Sprintf(
			"Work item %d was created because %s.", after.WorkItem.ID, step.Reason)})
	case Mark:
		changes = append(changes, item.LinkChange{Action: string(Mark), Detail: fmt.Sprintf(
			"Work item %d was given the hyperlink to ticket %d.", after.WorkItem.ID, after.Ticket.ID)})
	case WriteExternalID:
		changes = append(changes, item.LinkChange{Action: string(WriteExternalID), Detail: fmt.Sprintf(
			"Ticket %d was given the external id %d.", after.Ticket.ID, step.WorkItem)})
	case SetState:
		next.Agreed.State = after.WorkItem.State
		if link.Move == nil || last(link.Move.Path) == after.WorkItem.State {
			next.Agreed.Status = after.Ticket.Status
			next.Move = nil
		}
		next.State, next.Reason, next.Parked = item.LinkActive, "", nil
		changes = append(changes, item.LinkChange{Action: string(SetState), Detail: fmt.Sprintf(
			"Work item %d went to %q because %s.", after.WorkItem.ID, after.WorkItem.State, step.Reason)})
	case SetStatus:
		next.Agreed = item.Pair{Status: step.Status, State: after.WorkItem.State}
		next.State, next.Reason, next.Parked, next.Move = item.LinkActive, "", nil, nil
		changes = append(changes, item.LinkChange{Action: string(SetStatus), Detail: fmt.Sprintf(
			"Ticket %d went to %q because %s.", after.Ticket.ID, step.Status, step.Reason)})
	case BeginNote:
		next = begun(link, after.Now)
	case PostNote:
		next.Note = nil
		changes = append(changes, item.LinkChange{Action: "tell", Detail: link.Note.To.Title() + " was told: " + link.Note.Text})
	case Rest, Wait, Hold, ReadWorkItem, ReadType, Search, FindNote, ReadMessages, BeginPost, Post, Edit, Retract, RememberMirror:
		// These change nothing that is worth remembering.
	}
	if step.Lost != nil {
		changes = append(changes, *step.Lost)
		if step.Kind == SetState || step.Kind == SetStatus {
			// Whoever chose what lost works on the side that was overridden.
			next = tell(next, after, overridden(step.Kind), step.Lost.Detail)
		}
	}
	if after.WorkItem != nil && next.WorkItem == after.WorkItem.ID && next.Type == "" {
		next.Type = after.WorkItem.Type
	}
	if step.Map != "" {
		next.Map = step.Map
	}
	// A revision counts as seen only once nothing is left to do about it, since a hint
	// that speaks of a seen revision is not looked into again.
	if after.WorkItem != nil && next.WorkItem == after.WorkItem.ID && next.Move == nil && next.Agreed == present(after) {
		next.SeenRev = max(next.SeenRev, after.WorkItem.Rev)
	}
	return next, changes
}

// overridden is the side that a step of that kind writes to.
func overridden(kind Kind) item.System {
	if kind == SetState {
		return item.AzureDevOps
	}
	return item.Alvao
}

// Refused is the step that parks the link after a system refused a change with text.
func Refused(link item.Link, sides Sides, text string) Step {
	return park(link, sides, text)
}

func last(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return path[len(path)-1]
}
