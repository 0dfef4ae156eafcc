// Package plan decides what to do next for one ticket and its work item.
//
// Next is a pure function from what the link remembers and what both sides show
// to a single step; Applied and Refused are the pure functions from a step's result
// to what the link remembers afterwards. The engine applies a step, remembers, and
// asks again until Next says Rest.
//
// The one invariant: a step is only ever planned from what was read, so once both
// sides and the link hold still, Next says Rest and goes on saying it. A crash
// between any two steps leaves a link and two sides from which Next goes on.
//
// What decides about state and status, where "changed" means: since both last agreed.
//
//	ticket changed | work item changed | what is planned
//	---------------+-------------------+------------------------------------------------
//	no             | no                | Rest
//	yes            | no                | SetState to the status' first reachable state
//	no             | yes               | SetStatus to the state's status
//	yes            | yes               | the conflict policy names the side that wins; then as above
//	any            | any               | they agree under the map: Remember, nothing is written
//	               |                   | the winning value has no counterpart: Remember, nothing is written
package plan

import (
	"maps"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

// Settle is how long after an unanswered create the work item may still turn up:
// longer than the 30 s by which Azure DevOps delays throttled calls at most
// (azure-devops.md §3.3). Until then nothing is created again.
const Settle = 32 * time.Second

// Kind names what a step does.
type Kind string

// The kinds of steps.
const (
	// Rest: there is nothing to do; Reason says why.
	Rest Kind = "rest"
	// Wait: nothing can be decided before After has passed.
	Wait Kind = "wait"
	// Hold: as Wait, and nothing else is left to do meanwhile.
	Hold Kind = "hold"
	// ReadWorkItem: work item WorkItem must be read before anything is decided.
	ReadWorkItem Kind = "read-work-item"
	// ReadType: the description of the work item's type is needed.
	ReadType Kind = "read-type"
	// Search: the work item must be looked for by its mark.
	Search Kind = "search"
	// Create: a work item must be made.
	Create Kind = "create-work-item"
	// Mark: the work item must be marked with the ticket's hyperlink and tag.
	Mark Kind = "mark-work-item"
	// WriteExternalID: the ticket must be given the work item's number.
	WriteExternalID Kind = "write-external-id"
	// SetState: the work item must be moved to State.
	SetState Kind = "set-state"
	// SetStatus: the ticket must be moved to Status.
	SetStatus Kind = "set-status"
	// Remember: nothing is written to a system; the link becomes Link.
	Remember Kind = "remember"
	// ReadMessages: the messages of both sides must be read.
	ReadMessages Kind = "read-messages"
	// BeginPost: that Source is being posted must be remembered as Mirror.
	BeginPost Kind = "begin-post"
	// Post: Source must be posted on the other side.
	Post Kind = "post-message"
	// Edit: the mirror of Source must be brought up to date.
	Edit Kind = "edit-message"
	// Retract: the mirror of Source must say that its source was deleted.
	Retract Kind = "retract-message"
	// RememberMirror: Source stands on the other side as Mirror says.
	RememberMirror Kind = "remember-mirror"
	// BeginNote: that the link's note is being written must be remembered.
	BeginNote Kind = "begin-note"
	// FindNote: it must be looked for on the side that it is for.
	FindNote Kind = "find-note"
	// PostNote: it must be written there.
	PostNote Kind = "post-note"
)

// Step is what to do next. Which fields are set depends on the Kind.
type Step struct {
	Kind Kind
	// Reason says in one sentence why, for people.
	Reason string
	// State is the target of SetState.
	State string
	// Status is the target of SetStatus.
	Status string
	// WorkItem is the number that ReadWorkItem reads and WriteExternalID writes.
	WorkItem int64
	// After is how long Wait waits.
	After time.Duration
	// Link is what Remember remembers.
	Link item.Link
	// Change is what Remember adds to the link's history; nil: nothing worth telling.
	Change *item.LinkChange
	// Source is the message that a step on messages is about, and Mirror what is
	// remembered of it.
	Source string
	Mirror item.Mirror
	// Lost is the change that a conflict overrode, for the history; nil: none.
	Lost *item.LinkChange
	// Map tells the StatusMap that asks for SetState or SetStatus.
	Map string
}

// Rules is what the connector's settings decide.
type Rules struct {
	// Service is the Alvao service whose tickets get work items.
	Service string
	// Process restricts that to tickets of one process; empty: any.
	Process  string
	Map      mapping.StatusMap
	Conflict mapping.Conflict
	// Messages tells that messages and files cross.
	Messages bool
	// SinceLinked leaves out what is older than the link.
	SinceLinked bool
	// Notices tells that the ticket's solver is told of comments.
	Notices bool
	// OffToAzureDevOps and OffToAlvao tell that no message is written that way, not even
	// that one was deleted.
	OffToAzureDevOps, OffToAlvao bool
}

// Sides is what both systems show, and what is known about the looking itself.
type Sides struct {
	// Now is the present time.
	Now    time.Time
	Ticket item.Ticket
	// TicketGone tells that the ticket does not exist any more or was removed.
	TicketGone bool
	// TicketChanged is the best knowledge of when the ticket's status changed; zero:
	// unknown.
	TicketChanged time.Time
	// LeaveAlone tells that the ticket was there before the connector first started
	// and that such tickets get no work item.
	LeaveAlone bool
	// Force tells that a person asked for a look: a parked change is tried again.
	Force bool
	// Winner is the side that a person chose to stay where status and state differ;
	// empty: nobody chose, or it was done.
	Winner item.System

	// WorkItem is the linked, found or adopted work item as read; nil: not read.
	WorkItem *item.WorkItem
	// WorkItemGone tells that WorkItem could not be found when it was read.
	WorkItemGone bool
	// Listed tells that both sides are as lists show them, which lack much: what they
	// lack is not missed, and nobody is told of it.
	Listed bool
	// Taken is the other ticket that WorkItem belongs to; 0: none.
	Taken int64
	// Ours tells that WorkItem, read by the number that the ticket carries, has the
	// ticket's mark: it was the ticket's before the link was lost.
	Ours bool
	// Bearer is another ticket whose mark that work item has; 0: none.
	Bearer int64
	// Searched tells that the mark was looked for; WorkItem holds what was found.
	Searched bool
	// Intended tells that the link's intention to create was stored in this round,
	// so that no earlier create can be under way.
	Intended bool
	// Marked tells that the work item was marked in this round: what the server made of
	// the hyperlink is its matter.
	Marked bool
	// Type describes the work item's type; nil: not read.
	Type *item.WorkItemType

	// Noting tells that writing the link's note was stored in this round, so that no
	// earlier writing can be under way. NoteSought tells that it was looked for, NoteFound
	// that it is there.
	Noting, NoteSought, NoteFound bool
	// NoteUnseen tells that nobody can look for it, so that it is not written twice.
	NoteUnseen bool

	// MessagesRead tells that Messages holds every message of both sides, and Mirrors
	// all that is remembered of them.
	MessagesRead bool
	Messages     []Message
	Mirrors      map[string]item.Mirror
	// LogPartial tells that Messages may lack some of Alvao's (item.Log).
	LogPartial bool
	// LogTold is item.Log.Told, and MemorySince when the memory of messages began; both are
	// known only where LogPartial is.
	LogTold, MemorySince time.Time
	// Posting is the source whose posting was stored in this round, so that no earlier
	// posting can be under way.
	Posting string
	// TalkRev and TalkSeen are the work item's revision and the ticket's last activity
	// that were read before the messages: these hold all up to them.
	TalkRev  int64
	TalkSeen time.Time
}

// Next says what to do next.
func Next(link item.Link, sides Sides, rules Rules) Step {
	held := false
	if link.WorkItem != 0 && (sides.WorkItem != nil || sides.WorkItemGone) {
		step, ok := note(link, sides)
		if held = step.Kind == Hold; ok && !held {
			return step
		}
	}
	step := items(link, sides, rules)
	if held && step.Kind == Rest {
		return hold()
	}
	return step
}

// items is Next apart from the link's note.
func items(link item.Link, sides Sides, rules Rules) Step {
	if link.WorkItem == 0 {
		if sides.TicketGone {
			return leave(link, sides, item.Alvao, "The ticket was removed in Alvao.")
		}
		return pairing(link, sides, rules)
	}
	if sides.WorkItem == nil && !sides.WorkItemGone {
		return Step{Kind: ReadWorkItem, WorkItem: link.WorkItem, Reason: "the linked work item must be read"}
	}
	if who, text := away(sides, rules); text != "" {
		return leave(link, sides, who, text)
	}
	if link.State == item.LinkGone {
		return back(link, sides)
	}
	if step, ok := turns(link, sides, rules); ok {
		return step
	}
	if step, needed := marks(link, sides); needed {
		return step
	}
	step := states(link, sides, rules)
	if step.Kind != Rest {
		return step
	}
	// What a rule keeps from moving does not keep people from talking.
	if talk, ok := Talk(link, sides, rules); ok {
		return talk
	}
	return step
}

// Talk says what to do next about messages alone, where the state has to wait. false:
// nothing.
func Talk(link item.Link, sides Sides, rules Rules) (Step, bool) {
	if step, ok := messages(link, sides, rules); ok {
		return step, true
	}
	if !rules.Messages {
		return Step{}, false
	}
	kept := withheld(link, sides, rules)
	if sides.TalkRev <= link.TalkRev && !sides.TalkSeen.After(link.TalkSeen) && link.Unheard == nil && maps.Equal(kept, link.Withheld) {
		return Step{}, false
	}
	next := link
	next.Withheld, next.Unheard = kept, nil
	next.TalkRev = max(next.TalkRev, sides.TalkRev)
	if sides.TalkSeen.After(next.TalkSeen) {
		next.TalkSeen = sides.TalkSeen
	}
	return remember(next, "", "the messages up to here have crossed"), true
}

// Unheard says up to where both sides are known although their messages can't be read,
// so that only what comes later makes them worth another look. false: that is
// remembered.
func Unheard(link item.Link, sides Sides) (Step, bool) {
	if link.WorkItem == 0 || sides.WorkItem == nil {
		return Step{}, false
	}
	look := item.Look{Rev: sides.WorkItem.Rev, Activity: sides.Ticket.LastActivity}
	if known := link.Unheard; known != nil && known.Rev == look.Rev && known.Activity.Equal(look.Activity) {
		return Step{}, false
	}
	next := link
	next.Unheard = &look
	return remember(next, "", "the messages up to here can't be read"), true
}

func remember(next item.Link, action, detail string) Step {
	step := Step{Kind: Remember, Reason: detail, Link: next}
	if action != "" {
		step.Change = &item.LinkChange{Action: action, Detail: detail}
	}
	return step
}
