package item

import "time"

// LinkState says whether a link is being kept in step.
type LinkState string

// The states of a link.
const (
	// LinkCreating: the intention to create is stored; the work item may or may
	// not exist already and is looked for by its mark before it is created.
	LinkCreating LinkState = "creating"
	// LinkActive: both sides are kept in step.
	LinkActive LinkState = "active"
	// LinkParked: a change was refused and waits for either side to change.
	LinkParked LinkState = "parked"
	// LinkGone: the ticket or work item was deleted or can't be reached.
	LinkGone LinkState = "gone"
)

// Pair is a ticket's status beside a work item's state.
type Pair struct {
	Status string `json:"status"`
	State  string `json:"state"`
}

// Standstill is what both sides showed when a change was refused: as long as they
// show the same, trying again is pointless.
type Standstill struct {
	Status     string `json:"status"`
	State      string `json:"state,omitempty"`
	ExternalID string `json:"externalId,omitempty"`
	// Rev is the work item's revision and Activity the ticket's last activity at that
	// time: what was refused for want of a field may go once somebody fills it in.
	Rev      int64     `json:"rev,omitempty"`
	Activity time.Time `json:"activity,omitzero"`
}

// Move is the intention to bring a work item to a state over several legal steps,
// stored before the first one so that a crash between two steps is told apart from
// an edit by a person.
type Move struct {
	// Status is the ticket's status that the move serves.
	Status string `json:"status"`
	// Path lists the states to pass, the last being the target.
	Path []string `json:"path"`
}

// Note is a sentence of Tandem's own to the people on one side.
type Note struct {
	// Number is the note's own among those of its link, even of one that was forgotten.
	Number int64 `json:"number"`
	// To is the side that is told.
	To   System `json:"to"`
	Text string `json:"text"`
	// Posting is when writing it was begun; zero: not yet.
	Posting time.Time `json:"posting,omitzero"`
}

// Look is how far both sides were when they were looked at.
type Look struct {
	// Rev is the work item's revision, Activity the ticket's last activity.
	Rev      int64     `json:"rev,omitempty"`
	Activity time.Time `json:"activity,omitzero"`
}

// Link is the memory that one ticket and one work item belong together, and what
// was last agreed between them. The zero WorkItem means that none is known yet.
type Link struct {
	Connector   string    `json:"connector"`
	Ticket      int64     `json:"ticket"`
	TicketURL   string    `json:"ticketUrl,omitempty"`
	WorkItem    int64     `json:"workItem,omitempty"`
	WorkItemURL string    `json:"workItemUrl,omitempty"`
	State       LinkState `json:"state"`
	// Reason is one sentence for a person; empty for an active link.
	Reason string `json:"reason,omitempty"`
	// Agreed is what both sides showed when they last agreed; the zero value: never.
	Agreed Pair `json:"agreed"`
	// Map tells the StatusMap under which they agreed; empty: unknown.
	Map string `json:"map,omitempty"`
	// Parked is what both sides showed when a change was refused.
	Parked *Standstill `json:"parked,omitempty"`
	// Move is a move under way; nil: none.
	Move *Move `json:"move,omitempty"`
	// SeenRev is the work item's revision that was last read or written.
	SeenRev int64 `json:"seenRev,omitempty"`
	// TalkRev is the work item's revision, and TalkSeen the ticket's last activity, up to
	// which messages and files have crossed.
	TalkRev  int64     `json:"talkRev,omitempty"`
	TalkSeen time.Time `json:"talkSeen,omitzero"`
	// Unheard is up to where messages could not be read; nil: they could.
	Unheard *Look `json:"unheard,omitempty"`
	// Type is the work item's type when it was last looked at; empty: not known.
	Type string `json:"type,omitempty"`
	// Away is the side that is gone while State is LinkGone.
	Away System `json:"away,omitempty"`
	// TicketClosed and WorkItemClosed tell that the other side was told of a closing
	// that the StatusMap does not carry over.
	TicketClosed   bool `json:"ticketClosed,omitempty"`
	WorkItemClosed bool `json:"workItemClosed,omitempty"`
	// Note is what one side is still to be told; nil: nothing. Noted is the number of the
	// last note there was.
	Note  *Note `json:"note,omitempty"`
	Noted int64 `json:"noted,omitempty"`
	// Withheld counts the messages and files that a setting keeps from crossing, by the
	// setting; nil: none.
	Withheld map[string]int `json:"withheld,omitempty"`
	// Intended is when creating was first decided.
	Intended time.Time `json:"intended,omitzero"`
	Created  time.Time `json:"created,omitzero"`
	Updated  time.Time `json:"updated,omitzero"`
	// Version counts the stored changes; 0: not stored yet. It is the value that
	// compare-and-swap compares and is set by the store alone.
	Version int64 `json:"-"`
}

// Exists tells whether the link was ever stored.
func (l Link) Exists() bool { return l.Version > 0 }

// LinkChange is one entry of a link's history.
type LinkChange struct {
	Time time.Time `json:"time"`
	// Action is what was done, e.g. "create-work-item".
	Action string `json:"action"`
	// Detail says in one sentence what was done and why.
	Detail  string `json:"detail"`
	TraceID string `json:"traceId,omitempty"`
}
