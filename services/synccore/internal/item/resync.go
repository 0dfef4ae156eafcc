package item

import "time"

// ResyncState says how far a resync is.
type ResyncState string

// The states of a resync.
const (
	// ResyncWaiting: it was asked for and has not begun.
	ResyncWaiting ResyncState = "waiting"
	// ResyncRunning: it is under way, or the process that ran it died and another one
	// goes on with it.
	ResyncRunning ResyncState = "running"
	// ResyncSucceeded: everything was compared, and what differed put into the inbox.
	ResyncSucceeded ResyncState = "succeeded"
	// ResyncFailed: it broke off.
	ResyncFailed ResyncState = "failed"
	// ResyncCancelled: a person ended it.
	ResyncCancelled ResyncState = "cancelled"
)

// Ended tells that nothing more comes of the resync itself.
func (s ResyncState) Ended() bool {
	return s == ResyncSucceeded || s == ResyncFailed || s == ResyncCancelled
}

// ResyncReason says why a resync is made.
type ResyncReason string

// The reasons.
const (
	ResyncScheduled ResyncReason = "scheduled"
	ResyncAsked     ResyncReason = "asked"
	// ResyncSettings: the connector's settings are others than those of the resync before.
	ResyncSettings ResyncReason = "settings"
	// ResyncOverdue: it was due while no process ran.
	ResyncOverdue ResyncReason = "overdue"
)

// Resync is one comparison of everything that a connector covers.
type Resync struct {
	// ID orders the resyncs of a connector by when they were made.
	ID     string       `json:"id"`
	State  ResyncState  `json:"state"`
	Reason ResyncReason `json:"reason"`
	// Settings is the fingerprint of the settings under which it compares; empty while
	// it waits.
	Settings string `json:"settings,omitempty"`
	// Asked is when a person asked for it; zero: nobody did. Request is that of the latest
	// request that it answers; zero: there was none.
	Asked   time.Time `json:"asked,omitzero"`
	Request time.Time `json:"request,omitzero"`
	Began   time.Time `json:"began,omitzero"`
	Ended   time.Time `json:"ended,omitzero"`
	// Spent is how long it has been at work, without the time in which no process was.
	Spent time.Duration `json:"spent,omitempty"`
	// Resumed is how often another process went on with it.
	Resumed int `json:"resumed,omitempty"`
	// Error is the sentence that says why it broke off; empty: it did not.
	Error string `json:"error,omitempty"`

	// Links and Tickets count what was compared so far, LinksThere and TicketsThere what
	// there is as far as that is known; 0: not known.
	Links        int `json:"links,omitempty"`
	Tickets      int `json:"tickets,omitempty"`
	LinksThere   int `json:"linksThere,omitempty"`
	TicketsThere int `json:"ticketsThere,omitempty"`
	// Drifted counts the hints that were found, Appended those of them that were looked
	// at when they were put into the inbox, Differing those that the inbox took as new.
	Drifted   int `json:"drifted,omitempty"`
	Appended  int `json:"appended,omitempty"`
	Differing int `json:"differing,omitempty"`
	// Foreseen counts the items that rounds would write to, Held those that have to wait
	// for a person.
	Foreseen int `json:"foreseen,omitempty"`
	Held     int `json:"held,omitempty"`

	// Phase and Cursor are where it goes on after a process died; their meaning is
	// package resync's.
	Phase  string `json:"phase,omitempty"`
	Cursor string `json:"cursor,omitempty"`
	// Writes and Examples tell what was foreseen, by kind.
	Writes   map[string]int `json:"writes,omitempty"`
	Examples []Planned      `json:"examples,omitempty"`
	// Stop tells that what was foreseen has to wait.
	Stop bool `json:"stop,omitempty"`

	// Cancelling tells that a person asked for its end. Written, Failed and Settled count
	// the tickets that rounds have served since: those that were written to, those of
	// which something was refused or failed, and all. They go on after the end. They are
	// kept beside the resync, so that nothing overwrites them.
	Cancelling bool `json:"-"`
	Written    int  `json:"-"`
	Failed     int  `json:"-"`
	Settled    int  `json:"-"`
}

// Planned is one write that was foreseen.
type Planned struct {
	Kind     string `json:"kind"`
	Ticket   int64  `json:"ticket"`
	WorkItem int64  `json:"workItem,omitempty"`
	Detail   string `json:"detail"`
}

// Answers tells that it has ended and that no request of that time needs another one.
func (r Resync) Answers(asked time.Time) bool {
	return asked.IsZero() || r.State.Ended() && !r.Request.Before(asked)
}

// Left estimates how long it still takes; false: that can't be told.
func (r Resync) Left() (time.Duration, bool) {
	seen, there := r.Links+r.Tickets, max(r.LinksThere, r.Links)+max(r.TicketsThere, r.Tickets)
	if r.State != ResyncRunning || seen == 0 || r.TicketsThere == 0 || r.Spent <= 0 {
		return 0, false
	}
	return time.Duration(float64(r.Spent) * float64(there-seen) / float64(seen)), true
}

// ResyncOutcome is what a round made of one ticket that a resync put into the inbox.
type ResyncOutcome string

// The outcomes.
const (
	OutcomeNothing ResyncOutcome = "nothing"
	OutcomeWritten ResyncOutcome = "written"
	OutcomeFailed  ResyncOutcome = "failed"
)

// ResyncSet names a set of tickets that is kept while a resync is under way.
type ResyncSet string

// The sets, as in ResyncFound.
const (
	SetListed  ResyncSet = "listed"
	SetBack    ResyncSet = "back"
	SetCounted ResyncSet = "counted"
)

// ResyncHint is that a ticket has to be looked at.
type ResyncHint struct {
	Ticket int64 `json:"t"`
	// ID keeps a slight doubt from being looked into again and again; may be empty.
	ID string `json:"id,omitempty"`
}

// ResyncFound is what one page of a resync found, to be kept beside where it goes on.
type ResyncFound struct {
	// Listed are linked tickets that Alvao listed, Back tickets whose link is gone and
	// whose work item can be read, Counted those of which a write was foreseen.
	Listed, Back, Counted []int64
	Hints                 []ResyncHint
}

// TicketPage is one page of a list of tickets.
type TicketPage struct {
	Tickets []Ticket
	// Next is where the next page begins, There how many there are in all; 0: not told.
	Next, There int
}
