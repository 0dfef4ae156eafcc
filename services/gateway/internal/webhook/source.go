package webhook

import (
	"net/http"
	"time"
)

// Source is one kind of sender: how it proves who it is and how its envelope reads.
// Its methods may be called by many goroutines at once. An error that is a *RefusalError
// decides the answer, envelope.ErrMalformed is answered 400, any other error 503.
type Source interface {
	// Name names the source in metrics and logs, e.g. "azure-devops". It must not
	// change.
	Name() string
	// Authenticate judges what can be judged before the body is read. It must take
	// the same time for a wrong secret as for a right one.
	Authenticate(r *http.Request) error
	// Verify judges what only the body can prove, such as a signature. raw is the
	// body byte for byte and must not be kept.
	Verify(r *http.Request, raw []byte) error
	// Read takes the envelope out of body, which is valid UTF-8 without a byte order
	// mark and not nested too deeply; whether it is well-formed JSON is for Read to
	// find out. body must not be kept.
	Read(r *http.Request, body []byte) (Notice, error)
}

// System is where an item lives.
type System int

// The systems.
const (
	Alvao System = iota + 1
	AzureDevOps
)

// String names the system as logs show it.
func (s System) String() string {
	switch s {
	case Alvao:
		return "alvao"
	case AzureDevOps:
		return "azure-devops"
	default:
		return "unknown"
	}
}

// Ignored says why a notice asks for nothing. It is a label of a metric, so the
// values are few and fixed.
type Ignored string

// The reasons. The zero value means that the notice asks for something.
const (
	// IgnoredTest: the vendor's own sample, sent by a Test button.
	IgnoredTest Ignored = "test"
	// IgnoredEventType: a kind of event that Tandem has no use for.
	IgnoredEventType Ignored = "event_type"
	// IgnoredNoItem: the notice does not say which item it speaks of.
	IgnoredNoItem Ignored = "no_item"
)

// Notice is what an envelope says.
type Notice struct {
	// Ignored, if set, says that there is nothing to store; the other fields are
	// then for the log only.
	Ignored Ignored
	// Connector is the connector that the URL names; empty: to be found by Origin.
	Connector string
	// System is where the item lives.
	System System
	// ItemID is the number of the ticket or work item, above 0.
	ItemID int64
	// EventID identifies the delivery, for finding duplicates; empty: never one. At
	// most 256 bytes.
	EventID string
	// EventType is the sender's own word for what happened; at most 128 bytes.
	EventType string
	// Revision is the work item's revision that the notice speaks of; 0 if unknown.
	Revision int64
	// Origin is where an Azure DevOps event came from.
	Origin Origin
	// Pushed is what the notice tells of a record of the ticket's log; nil: nothing.
	Pushed *PushedRecord
	// Round is how long the round took of which the notice tells the end; nil: it tells of
	// none.
	Round *time.Duration
	// Payload is kept for people in place of the body; nil: the body is.
	Payload []byte
	// Release, if set, is called when the notice could not be stored, so that the
	// sender may send the very same again.
	Release func()
}

// Origin is what an Azure DevOps event says of where it came from. Each field may
// be empty.
type Origin struct {
	AccountURL  string
	ProjectID   string
	ProjectName string
}

// Mark is how a log record is marked in Alvao.
type Mark int

// The marks.
const (
	NoMark Mark = iota
	MarkImportant
	MarkSolution
)

// PushedRecord is a record of a ticket's log as Alvao's application told it. The limits
// of its texts are those of tandem.v1.PushedRecord, and so is what each field means.
type PushedRecord struct {
	ID                                 int64
	AsOf, Created                      time.Time
	Removed, Bare, Cut, Own, Again     bool
	Mark                               Mark
	ShowToRequester                    bool
	Subject, HTML, Plain, Kind, Author string
	Files                              []PushedFile
}

// PushedFile is an attachment of a PushedRecord.
type PushedFile struct {
	ID   int64
	Name string
	// Size is in bytes; nil: not told.
	Size *int64
	Link string
}

// RefusalError decides the answer to the sender.
type RefusalError struct {
	// Outcome decides the status.
	Outcome Outcome
	// Text is one sentence for the sender, without anything that came from it.
	Text string
	// Cause is for the log: which check failed, in a word or two.
	Cause string
	// Challenge is the value of the WWW-Authenticate header, if any.
	Challenge string
}

// Error gives the sentence and the cause.
func (r *RefusalError) Error() string {
	if r.Cause == "" {
		return r.Text
	}
	return r.Text + " (" + r.Cause + ")"
}

// Denied refuses credentials. The sender is never told what was wrong with them;
// cause is for the log.
func Denied(cause, challenge string) *RefusalError {
	return &RefusalError{Outcome: Unauthorized, Text: "The credentials are missing or wrong.", Cause: cause, Challenge: challenge}
}

// Refused refuses a body; text is one sentence that says what is wrong with it.
func Refused(text string) *RefusalError {
	return &RefusalError{Outcome: Malformed, Text: text}
}
