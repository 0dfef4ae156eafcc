package alvao

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"
)

// Kind is the kind of a log record (tActKind).
type Kind string

// The kinds of log record. Process and Notification are written by the system.
const (
	KindEmail        Kind = "Email"
	KindPhoneCall    Kind = "PhoneCall"
	KindMeeting      Kind = "Meeting"
	KindLetter       Kind = "Letter"
	KindVoiceMessage Kind = "VoiceMessage"
	KindPaperNote    Kind = "PaperNote"
	KindForm         Kind = "Form"
	KindNote         Kind = "Note"
	KindProcess      Kind = "Process"
	KindOther        Kind = "Other"
	KindNotification Kind = "Notification"
)

func (k Kind) known() bool {
	switch k {
	case KindEmail, KindPhoneCall, KindMeeting, KindLetter, KindVoiceMessage, KindPaperNote, KindForm, KindNote,
		KindProcess, KindOther, KindNotification:
		return true
	}
	return false
}

// Mark is the mark on a record (tAct.ActMarkId). REST neither shows nor sets it.
type Mark int

// The marks.
const (
	MarkNone Mark = iota
	// MarkImportant is the flag on a request's specification; the founding record has it.
	MarkImportant
	// MarkSolution marks the record that answers the request.
	MarkSolution
)

// ticket is one committed version of a ticket. It is never changed once it can be seen, only replaced.
type ticket struct {
	id                         int
	name                       string
	service                    *Service
	process                    *Process
	status                     *Status
	requester, requestedFor    *Person
	requesterName              string // of a requester that is no person
	solver                     *Person
	team                       string
	teamID                     int
	priority, impact, urgency  string
	deviceNumber, organization string
	internalTarget             string
	internalTargetDate         time.Time
	slaID                      int
	slaName                    string
	created, activity          time.Time
	resolved, closed, removed  time.Time
	due                        time.Time
	initialRecord              int
	inApproval                 bool
	parent                     int
	objects                    []int
	custom                     map[string]any // by column name as in the directory
	records                    []*record
	removedRecords             []int
}

// clone makes a draft. Records are shared: a draft only appends, past what older versions can see, or replaces the slice.
func (t *ticket) clone() *ticket {
	c := *t
	c.custom = maps.Clone(t.custom)
	c.objects = slices.Clip(t.objects)
	return &c
}

func (t *ticket) tag() string { return "T" + strconv.Itoa(t.id) + "SD" }

func (t *ticket) open() bool { return t.status.Behavior != Closed && t.status.Behavior != Removed }

// record is one entry of the log; never changed once it can be seen.
type record struct {
	id                          int
	ticket                      int
	subject, html, plain        string
	kind                        Kind
	from                        string
	emailFrom, emailTo, emailCc string
	fromPerson, toPerson        *Person
	author                      *Person // who wrote it, also when it is on behalf of another
	created                     time.Time
	messageID                   string
	showToRequester             bool
	mark                        Mark
	documents                   []*document
}

// document is an attachment of a record.
type document struct {
	id          int
	ticket      int
	record      int
	name        string
	contentType string
	content     []byte
	zeros       int64 // length of a content of zero bytes that is not held
	created     time.Time
}

// open reads the content.
func (d *document) open() io.ReadSeeker {
	if d.zeros > 0 {
		return io.NewSectionReader(zeros{}, 0, d.zeros)
	}
	return bytes.NewReader(d.content)
}

// zeros is an endless content of zero bytes.
type zeros struct{}

// ReadAt implements io.ReaderAt.
func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// Ticket is what the Go API shows of a ticket: a copy that is the caller's own.
type Ticket struct {
	ID                                  int
	Name, MessageTag                    string
	ServiceID                           int
	Service, Process                    string
	StatusID                            int
	Status                              string // in the default names, whatever the tenant's language
	Priority                            string
	Requester, Solver                   string // names
	RequesterLogin, SolverLogin         string
	InApproval                          bool
	Created, LastActivity               time.Time
	ResolvedDate, ClosedDate, DeletedAt time.Time // zero when not
	InitialRecordID                     int
	Parent                              int
	Custom                              map[string]any
}

func (t *ticket) public() Ticket {
	out := Ticket{
		ID: t.id, Name: t.name, MessageTag: t.tag(), ServiceID: t.service.ID, Service: t.service.Name, Process: t.process.Name,
		StatusID: t.status.ID, Status: t.status.Name, Priority: t.priority, Requester: t.requesterName,
		InApproval: t.inApproval, Created: t.created, LastActivity: t.activity, ResolvedDate: t.resolved, ClosedDate: t.closed,
		DeletedAt: t.removed, InitialRecordID: t.initialRecord, Parent: t.parent, Custom: maps.Clone(t.custom),
	}
	if t.requester != nil {
		out.Requester, out.RequesterLogin = t.requester.Name, t.requester.Login
	}
	if t.solver != nil {
		out.Solver, out.SolverLogin = t.solver.Name, t.solver.Login
	}
	return out
}

// Record is what the Go API shows of a log record.
type Record struct {
	ID, TicketID          int
	Subject, HTML, Plain  string
	Kind                  Kind
	From, EmailFrom       string
	FromPersonID          int
	Author                string // login of the one who wrote it
	ByApplication         bool   // written through REST
	Created               time.Time
	ShowToRequester       bool
	Mark                  Mark
	Attachments           []Attachment
	EmailTo, EmailCc      string
	MessageID             string
	FromLogin, FromPerson string
}

// Attachment is what the Go API shows of an attachment. Content is shared and must not be changed.
type Attachment struct {
	ID                 int
	TicketID, RecordID int
	Name, ContentType  string
	Content            []byte
	Created            time.Time
}

func (d *document) public() Attachment {
	return Attachment{
		ID: d.id, TicketID: d.ticket, RecordID: d.record, Name: d.name, ContentType: d.contentType, Content: d.content, Created: d.created,
	}
}

func (r *record) public() Record {
	out := Record{
		ID: r.id, TicketID: r.ticket, Subject: r.subject, HTML: r.html, Plain: r.plain, Kind: r.kind, From: r.from,
		EmailFrom: r.emailFrom, EmailTo: r.emailTo, EmailCc: r.emailCc, Created: r.created, ShowToRequester: r.showToRequester,
		Mark: r.mark, MessageID: r.messageID,
	}
	if r.author != nil {
		out.Author, out.ByApplication = r.author.Login, r.author.IsApp
	}
	if r.fromPerson != nil {
		out.FromPersonID, out.FromLogin, out.FromPerson = r.fromPerson.ID, r.fromPerson.Login, r.fromPerson.Name
	}
	for _, d := range r.documents {
		out.Attachments = append(out.Attachments, d.public())
	}
	return out
}
