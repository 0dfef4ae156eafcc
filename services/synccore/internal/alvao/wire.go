package alvao

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
)

// wireTicket is SD.Ticket of the OpenAPI, with what the live API adds to it
// (lastActivityDate). Keys are matched without regard to case.
type wireTicket struct {
	ID                  lenient.Int  `json:"id"`
	Name                lenient.Text `json:"name"`
	MessageTag          lenient.Text `json:"messageTag"`
	SLAName             lenient.Text `json:"slaName"`
	Priority            lenient.Text `json:"priority"`
	Impact              lenient.Text `json:"impact"`
	Urgency             lenient.Text `json:"urgency"`
	DeviceNumber        lenient.Text `json:"deviceNumber"`
	RelatedOrganization lenient.Text `json:"relatedOrganization"`
	RequesterID         lenient.Int  `json:"requesterId"`
	RequesterName       lenient.Text `json:"requesterName"`
	RequestedForID      lenient.Int  `json:"requestedForId"`
	RequestedForName    lenient.Text `json:"requestedForName"`
	SolverID            lenient.Int  `json:"solverId"`
	SolverName          lenient.Text `json:"solverName"`
	SolverTeamName      lenient.Text `json:"solverTeamName"`
	ServiceName         lenient.Text `json:"serviceName"`
	ProcessName         lenient.Text `json:"processName"`
	StateID             lenient.Int  `json:"stateId"`
	StateName           lenient.Text `json:"stateName"`
	CreatedDate         lenient.Text `json:"createdDate"`
	ResolvedDate        lenient.Text `json:"resolvedDate"`
	ClosedDate          lenient.Text `json:"closedDate"`
	RemovedDate         lenient.Text `json:"removedDate"`
	DueDate             lenient.Text `json:"dueDate"`
	LastActivityDate    lenient.Text `json:"lastActivityDate"`
	InitialActID        lenient.Int  `json:"initialActId"`
	InApproval          lenient.Bool `json:"inApproval"`
	CustomItems         customItems  `json:"customItems"`
}

// customItems are custom fields by column name. The documented shape is an object of
// objects with a value (alvao.md §2.2); plain values and a list of named values are
// read too.
type customItems map[string]string

// UnmarshalJSON implements json.Unmarshaler.
func (c *customItems) UnmarshalJSON(data []byte) error {
	*c = nil
	var fields lenient.Map
	_ = fields.UnmarshalJSON(data)
	out := make(customItems, len(fields))
	for name, raw := range fields {
		if !strings.HasPrefix(name, "@") {
			out[name] = customValue(raw)
		}
	}
	var named lenient.List[struct {
		Name  lenient.Text    `json:"name"`
		Value json.RawMessage `json:"value"`
	}]
	_ = named.UnmarshalJSON(data)
	for _, n := range named {
		if n.Name != "" {
			out[string(n.Name)] = scalar(n.Value)
		}
	}
	if len(out) > 0 {
		*c = out
	}
	return nil
}

func customValue(raw json.RawMessage) string {
	var wrapped struct {
		Value json.RawMessage `json:"value"`
	}
	if json.Unmarshal(raw, &wrapped) == nil {
		return scalar(wrapped.Value)
	}
	return scalar(raw)
}

func scalar(raw json.RawMessage) string {
	var text lenient.Text
	_ = text.UnmarshalJSON(raw)
	return string(text)
}

// get finds a column without regard to case.
func (c customItems) get(column string) (string, bool) {
	if value, ok := c[column]; ok {
		return value, true
	}
	for name, value := range c {
		if strings.EqualFold(name, column) {
			return value, true
		}
	}
	return "", false
}

// deletedStatus is the status that a deleted ticket shows (alvao.md §2.1).
const deletedStatus = "Deleted"

func (c *Client) ticket(w wireTicket) item.Ticket {
	external, _ := w.CustomItems.get(c.external)
	t := item.Ticket{
		ID:         int64(w.ID),
		Title:      string(w.Name),
		MessageTag: string(w.MessageTag),
		Service:    string(w.ServiceName),
		Process:    string(w.ProcessName),
		Status:     strings.TrimSpace(string(w.StateName)),
		StatusID:   int64(w.StateID),
		ExternalID: strings.TrimSpace(external),
		URL:        c.TicketURL(int64(w.ID)),
		InApproval: bool(w.InApproval),
		Custom:     w.CustomItems,

		Priority: string(w.Priority), Impact: string(w.Impact), Urgency: string(w.Urgency), SLA: string(w.SLAName),
		DeviceNumber: string(w.DeviceNumber), RelatedOrganization: string(w.RelatedOrganization),
		RequesterID: int64(w.RequesterID), RequestedForID: int64(w.RequestedForID), SolverID: int64(w.SolverID),
		Requester: string(w.RequesterName), RequestedFor: string(w.RequestedForName), Solver: string(w.SolverName),
		SolverTeam:      string(w.SolverTeamName),
		InitialRecordID: int64(w.InitialActID),

		LastActivity: lenient.Time(string(w.LastActivityDate), c.zone),
		Created:      lenient.Time(string(w.CreatedDate), c.zone),
		Due:          lenient.Time(string(w.DueDate), c.zone),
		Resolved:     lenient.Time(string(w.ResolvedDate), c.zone),
		Closed:       lenient.Time(string(w.ClosedDate), c.zone),
	}
	t.Removed = !lenient.Time(string(w.RemovedDate), c.zone).IsZero() || strings.EqualFold(t.Status, deletedStatus)
	c.learn(t)
	return t
}

// learn remembers the id of the ticket's status, so that it can be addressed by id
// afterwards: names are unique only inside a process (alvao.md §2.3).
func (c *Client) learn(t item.Ticket) {
	if t.StatusID > 0 && t.Process != "" && t.Status != "" {
		c.statuses.Put(statusKey(t.Process, t.Status), t.StatusID)
	}
}

func statusKey(process, status string) string { return fold(process) + "\x00" + fold(status) }

type wireRecord struct {
	ID              lenient.Int  `json:"id"`
	Subject         lenient.Text `json:"subject"`
	ContentHTML     lenient.Text `json:"contentHtml"`
	ContentPlain    lenient.Text `json:"contentPlain"`
	Created         lenient.Text `json:"created"`
	Kind            lenient.Text `json:"kind"`
	From            lenient.Text `json:"from"`
	ShowToRequester lenient.Bool `json:"showToRequester"`
	// Neither key of the important mark is in evidence; the OpenAPI has none, the
	// report views say "Marked as important" (alvao.md §2.4).
	Important         lenient.Bool               `json:"important"`
	MarkedAsImportant lenient.Bool               `json:"markedAsImportant"`
	Attachments       lenient.List[wireDocument] `json:"attachments"`
}

type wireDocument struct {
	ID   lenient.Int  `json:"id"`
	Name lenient.Text `json:"name"`
	Link lenient.Text `json:"link"`
	// Size is an assumption: the OpenAPI has none.
	Size lenient.Int `json:"size"`
}

func (c *Client) record(w wireRecord) item.Record {
	r := item.Record{
		ID:              int64(w.ID),
		Subject:         string(w.Subject),
		HTML:            string(w.ContentHTML),
		Plain:           string(w.ContentPlain),
		Kind:            string(w.Kind),
		From:            string(w.From),
		Created:         lenient.Time(string(w.Created), c.zone),
		ShowToRequester: bool(w.ShowToRequester),
		Important:       bool(w.Important) || bool(w.MarkedAsImportant),
	}
	for _, d := range w.Attachments {
		if d.Name == "" && d.Link == "" {
			continue
		}
		a := item.Attachment{Name: string(d.Name), Size: -1, URL: c.resolve(string(d.Link))}
		if d.ID > 0 {
			a.ID = strconv.FormatInt(int64(d.ID), 10)
		}
		if d.Size > 0 {
			a.Size = int64(d.Size)
		}
		r.Attachments = append(r.Attachments, a)
	}
	return r
}

type wirePerson struct {
	ID             lenient.Int  `json:"id"`
	Name           lenient.Text `json:"name"`
	Login          lenient.Text `json:"login"`
	AccountName    lenient.Text `json:"sAMAccountName"`
	Email          lenient.Text `json:"email"`
	Email2         lenient.Text `json:"email2"`
	Phone          lenient.Text `json:"phone"`
	Phone2         lenient.Text `json:"phone2"`
	MobilePhone    lenient.Text `json:"mobilePhone"`
	Department     lenient.Text `json:"department"`
	Office         lenient.Text `json:"office"`
	WorkPosition   lenient.Text `json:"workPosition"`
	Organization   lenient.Text `json:"organization"`
	OtherContacts  lenient.Text `json:"otherContacts"`
	PersonalNumber lenient.Text `json:"personalNumber"`
	ManagerID      lenient.Int  `json:"managerId"`
	CustomItems    customItems  `json:"customItems"`
	RemovedDate    lenient.Text `json:"removedDate"`
	IsDisabled     lenient.Bool `json:"isDisabled"`
	IsHidden       lenient.Bool `json:"isHidden"`
	IsGuest        lenient.Bool `json:"isGuest"`
	IsSystem       lenient.Bool `json:"isSystem"`
}

// usable tells whether the person may be matched with somebody (alvao.md §2.6).
func (w wirePerson) usable() bool {
	gone := !lenient.Time(string(w.RemovedDate), nil).IsZero()
	return !gone && !bool(w.IsDisabled) && !bool(w.IsHidden) && !bool(w.IsGuest) && !bool(w.IsSystem)
}

func person(w wirePerson) item.Person {
	return item.Person{
		ID:   int64(w.ID),
		Name: string(w.Name), Login: string(w.Login), AccountName: string(w.AccountName),
		Email: string(w.Email), Email2: string(w.Email2),
		Phone: string(w.Phone), Phone2: string(w.Phone2), MobilePhone: string(w.MobilePhone),
		Department: string(w.Department), Office: string(w.Office), WorkPosition: string(w.WorkPosition),
		Organization: string(w.Organization), OtherContacts: string(w.OtherContacts), PersonalNumber: string(w.PersonalNumber),
		ManagerID: int64(w.ManagerID),
		Custom:    w.CustomItems,
	}
}
