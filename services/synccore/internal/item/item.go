// Package item is the vocabulary that all of sync-core shares: tickets, work
// items, events, links, and the keys that name them.
//
// Its one invariant: these are plain values. Nothing here does I/O, knows a
// vendor's JSON, or decides anything.
package item

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// System names one of the two systems that are kept together.
type System string

// The two systems.
const (
	Alvao       System = "alvao"
	AzureDevOps System = "azureDevOps"
)

// Notices stands in a Key for what a ticket's solver is still to be told; ID is the
// ticket. It is no system: such keys only name work in the inbox, beside the sync of the
// ticket, so that neither waits for the other.
const Notices System = "notice"

// Title is the system's name as people write it.
func (s System) Title() string {
	switch s {
	case Alvao:
		return "Alvao"
	case AzureDevOps:
		return "Azure DevOps"
	default:
		return string(s)
	}
}

// Key names one ticket or one work item of a connector, or a ticket's Notices. It is the unit of work:
// events of one key are served together and never by two workers at once.
type Key struct {
	Connector string
	System    System
	ID        int64
}

// String gives the form that ParseKey reads: connector/system/id.
func (k Key) String() string {
	return k.Connector + "/" + string(k.System) + "/" + strconv.FormatInt(k.ID, 10)
}

// ParseKey reads what Key.String wrote.
func ParseKey(s string) (Key, error) {
	parts := strings.Split(s, "/")
	if len(parts) != 3 || parts[0] == "" {
		return Key{}, fmt.Errorf("item key %q is not connector/system/id", s)
	}
	system := System(parts[1])
	if system != Alvao && system != AzureDevOps && system != Notices {
		return Key{}, fmt.Errorf("item key %q names no known system", s)
	}
	id, err := strconv.ParseInt(parts[2], 10, 64)
	// One item has one text: +7 and 07 would be further names of 7.
	if err != nil || id <= 0 || strconv.FormatInt(id, 10) != parts[2] {
		return Key{}, fmt.Errorf("item key %q has no positive number", s)
	}
	return Key{Connector: parts[0], System: system, ID: id}, nil
}

// Event is a hint that an item may have changed. It carries no truth.
type Event struct {
	// ID identifies the delivery; the inbox stores an ID once within its dedup
	// window. Empty: never a duplicate.
	ID  string
	Key Key
	// Type is the sender's own word for what happened, for people to read.
	Type string
	// Revision is the work item's revision that the event speaks of; 0: unknown.
	Revision int64
	// Payload is the body as received, for people to read; may be nil.
	Payload []byte
	// Received is when the edge accepted the event.
	Received time.Time
	// TraceParent is the W3C traceparent of the span that stored the event.
	TraceParent string
	// Force tells that a person asked for the look: a refused change is tried again,
	// and a wait is cut short.
	Force bool
	// Background marks work that waits behind live events (a resync).
	Background bool
}

// Ticket is a ticket as Alvao shows it (facts alvao.md §2.1).
type Ticket struct {
	ID         int64
	Title      string
	MessageTag string
	Service    string
	Process    string
	// Status and StatusID are the present status; StatusID is 0 if not told.
	Status   string
	StatusID int64
	// ExternalID is the content of the external-id custom field, trimmed.
	ExternalID string
	// URL leads a person to the ticket in the web application.
	URL string
	// InApproval tells that an approval runs, during which the status is fixed.
	InApproval bool
	// Removed tells that the ticket was deleted.
	Removed bool
	// LastActivity is when something last happened to the ticket; zero if not told.
	LastActivity time.Time
	// Custom holds the custom fields by database column name, as text.
	Custom map[string]string

	Priority, Impact, Urgency, SLA        string
	DeviceNumber, RelatedOrganization     string
	RequesterID, RequestedForID, SolverID int64
	Requester, RequestedFor, Solver       string
	SolverTeam                            string
	Created, Due, Resolved, Closed        time.Time
	// InitialRecordID is the log record that founded the ticket; 0 if not told.
	InitialRecordID int64
}

// Person is a user of Alvao (facts alvao.md §2.6).
type Person struct {
	ID                                             int64
	Name, Login, AccountName                       string
	Email, Email2, Phone, Phone2, MobilePhone      string
	Department, Office, WorkPosition, Organization string
	OtherContacts, PersonalNumber                  string
	ManagerID                                      int64
	Custom                                         map[string]string
}

// Record is one entry of a ticket's log (facts alvao.md §2.4).
type Record struct {
	ID              int64
	Subject         string
	HTML            string
	Plain           string
	Kind            string
	From            string
	Created         time.Time
	ShowToRequester bool
	// Important tells that the record carries the important mark; false where the
	// tenant's API does not tell.
	Important bool
	// Attachments are its files, inline images among them.
	Attachments []Attachment
	// Cut tells that the end of a long text is missing.
	Cut bool
	// Removed tells that the record was deleted. Only a partial Log lists such.
	Removed bool
	// RemovedFiles are the ids of files that were deleted of it. Only a partial Log
	// tells them.
	RemovedFiles []string
}

// WorkItem is a work item as Azure DevOps shows it (facts azure-devops.md §2).
type WorkItem struct {
	ID      int64
	Rev     int64
	Project string
	Type    string
	State   string
	Title   string
	Tags    []string
	// Hyperlinks are the targets of the item's Hyperlink relations.
	Hyperlinks []string
	// URL leads a person to the work item.
	URL string
	// Attachments are the targets of the item's AttachedFile relations.
	Attachments []Attachment
	// CommentCount is how many comments the item tells to have; -1 if not told.
	CommentCount int64
	// Deleted tells that the item is in the recycle bin or destroyed.
	Deleted bool
	// Elsewhere tells that the item lies in another project than the connector's.
	Elsewhere bool
	// Changed is when anything last changed; zero if not told.
	Changed time.Time
	// StateChanged is when the state last changed; zero if not told.
	StateChanged time.Time
	// ChangedBy is the identity GUID of the last author; empty if not told.
	ChangedBy string
}

// Changes is a batch of the work items that changed.
type Changes struct {
	WorkItems []WorkItem
	// Next is the position of the batch that follows, also where there is none yet.
	Next string
	// Last tells that there is nothing more at present.
	Last bool
}

// WorkItemType describes one type of a project: its states and which may follow
// which (facts azure-devops.md §2.5).
type WorkItemType struct {
	Name   string
	States []State
	// Transitions lists, by state, the states that may follow, in the vendor's
	// order. The key "" holds the states that are legal at creation. Empty where
	// the server tells none: then every move may be tried.
	Transitions map[string][]string
}

// State is one state of a work item type.
type State struct {
	Name string
	// Category is Proposed, InProgress, Resolved, Completed or Removed.
	Category string
}

// FieldType is how a work item field holds its value.
type FieldType string

// The field types that Tandem tells apart; every other one is treated as text.
const (
	FieldText     FieldType = "string"
	FieldHTML     FieldType = "html"
	FieldInteger  FieldType = "integer"
	FieldDouble   FieldType = "double"
	FieldDateTime FieldType = "dateTime"
	FieldBoolean  FieldType = "boolean"
	FieldIdentity FieldType = "identity"
	FieldTreePath FieldType = "treePath"
	FieldHistory  FieldType = "history"
)

// Field describes one field of a work item type.
type Field struct {
	// Reference is the reference name, e.g. System.Title.
	Reference string
	Name      string
	Type      FieldType
	ReadOnly  bool
	// Required tells that the type refuses an item without it.
	Required bool
}

// FieldValue is one field to set, its value already in the field's form.
type FieldValue struct {
	Reference string
	Value     string
	// Person tells that the value names somebody of whom it is not known whether Azure
	// DevOps knows them; the field is left out if it does not.
	Person bool
}

// Draft is a work item to be created.
type Draft struct {
	Type   string
	Fields []FieldValue
	// Mark is the tag by which the item is found again if the answer is lost.
	Mark string
	// TicketURL becomes the item's hyperlink; with Mark it proves whose it is.
	TicketURL string
	// LinkText is the comment of that hyperlink.
	LinkText string
	// Reporter becomes System.CreatedBy, which needs the right to bypass rules; nil:
	// the token's owner.
	Reporter *Identity
	// OtherNames are further names under which Azure DevOps may know a Reporter of whom
	// only names are known, the best first.
	OtherNames []string
}
