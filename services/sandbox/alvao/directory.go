package alvao

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Directory is what an administrator sets up: processes with their statuses, services, persons and custom columns.
type Directory struct {
	Processes []Process
	Services  []Service
	Persons   []Person
	// Columns are the custom columns of tickets (table tHdTicketCust).
	Columns []Column
}

// Process is a ticket type: a set of statuses.
type Process struct {
	ID       int
	Name     string
	Names    map[string]string // by language, beside Name
	Statuses []Status          // the first is the one of a new ticket
}

// Behavior is the system behaviour of a status (TicketStateBehavior).
type Behavior int

// The behaviours that change what the service desk does.
const (
	// Ordinary has none.
	Ordinary Behavior = iota
	// Resolved sets the resolved date; the tickets may be reopened.
	Resolved
	// Closed sets the closed date and needs all child tickets closed.
	Closed
	// Removed marks a deleted ticket.
	Removed
)

// Status is one status of a process. Names are unique within a process, at most 64 characters.
type Status struct {
	ID       int
	Name     string
	Names    map[string]string
	Behavior Behavior
	// Next are the permitted next statuses by Name; nil permits all.
	Next []string
	// Required are columns that must have a value before the status can be entered: custom column names, or `solverId`.
	Required []string
	// Then is a status into which the ticket passes at once ("Change automatically to Closed").
	Then string
	// NotifiesRequester logs a Notification record when the status is entered.
	NotifiesRequester bool
	// StartsApproval puts the ticket into approval when the status is entered; Approved and Rejected name the statuses
	// the outcome leads to, if any.
	StartsApproval     bool
	Approved, Rejected string
}

// Service is a section in which tickets are kept.
type Service struct {
	ID      int
	Name    string
	Process string
	SLA     string
	SLAID   int
	// SolverTeam and SolverTeamID name the team that gets new tickets.
	SolverTeam   string
	SolverTeamID int
	// CustomItems are the service's custom columns (table tHdSectionCust), such as ConnectorSettings.
	CustomItems map[string]string
}

// Person is a user. Field names follow Common.Person of the OpenAPI document.
type Person struct {
	ID                                          int
	Login, FirstName, LastName, Name            string
	Email, Email2, Phone, Phone2, MobilePhone   string
	Department, Office, WorkPosition            string
	Organization, OtherContacts, PersonalNumber string
	SAMAccountName, AzureADObjectID, Timezone   string
	ManagerID, SubstituteID, LocaleID           int
	IsSystem, IsHidden, IsShared, IsDisabled    bool
	IsGuest, IsApp                              bool
	CreatedDate, RemovedDate                    time.Time
	// NoSLA makes creating tickets for this requester fail, as a missing SLA does.
	NoSLA bool
	// NoRecords refuses records on behalf of this person (`fromPersonId`), as for one without access to the ticket.
	NoRecords bool
}

// ColumnKind is the type of a custom column (Alvao documentation: create custom item).
type ColumnKind string

// The types a custom column can have.
const (
	ColumnText     ColumnKind = "nvarchar"
	ColumnInt      ColumnKind = "int"
	ColumnFloat    ColumnKind = "float"
	ColumnBit      ColumnKind = "bit"
	ColumnDateTime ColumnKind = "datetime"
	ColumnUser     ColumnKind = "user"
)

// Column is a custom column of tickets.
type Column struct {
	ID   int
	Name string // database name, the key in customItems
	// Title is what people see.
	Title string
	Kind  ColumnKind
	// MaxLength bounds a text in characters; zero means no bound.
	MaxLength int
}

// StatusColumn is the id of the status among the suggested columns, for [TopicField].
const StatusColumn = columnStatus

// Columns of tickets that `ticketfieldchanged` can watch. Ids are the stand-in's own.
const (
	columnName = iota + 1
	columnStatus
	columnService
	columnSolver
	columnPriority
	columnRequester
)

// systemColumns are the columns every ticket has, in the order they are suggested.
func systemColumns() []struct {
	id              int
	name            string
	title, titleInC string
} {
	return []struct {
		id              int
		name            string
		title, titleInC string
	}{
		{columnName, "tHdTicket.sHdTicket", "Name", "Název"},
		{columnStatus, "tHdTicket.TicketStateId", "Status", "Stav"},
		{columnService, "tHdTicket.liHdTicketHdSectionId", "Service", "Služba"},
		{columnSolver, "tHdTicket.liHdTicketSolverPersonId", "Solver", "Řešitel"},
		{columnPriority, "tHdTicket.Priority", "Priority", "Priorita"},
		{columnRequester, "tHdTicket.liHdTicketUserPersonId", "Requester", "Žadatel"},
	}
}

func columnProperty(id int) string {
	for _, c := range systemColumns() {
		if c.id == id {
			return c.name
		}
	}
	return ""
}

// directory is a Directory made ready for look-ups. All but persons is fixed.
type directory struct {
	processes map[string]*Process // by lower-case Name
	statuses  map[*Status]*Process
	services  []*Service
	columns   []*Column

	mu      sync.RWMutex
	persons []*Person
	byID    map[int]*Person
	byLogin map[string]*Person
}

func newDirectory(d *Directory) (*directory, error) {
	out := &directory{
		processes: map[string]*Process{}, statuses: map[*Status]*Process{},
		byID: map[int]*Person{}, byLogin: map[string]*Person{},
	}
	for i := range d.Processes {
		p := d.Processes[i]
		p.Statuses = append([]Status(nil), p.Statuses...)
		if len(p.Statuses) == 0 {
			return nil, fmt.Errorf("process %q has no status", p.Name)
		}
		out.processes[strings.ToLower(p.Name)] = &p
		for j := range p.Statuses {
			out.statuses[&p.Statuses[j]] = &p
		}
	}
	for i := range d.Services {
		s := d.Services[i]
		if out.processes[strings.ToLower(s.Process)] == nil {
			return nil, fmt.Errorf("service %q has the unknown process %q", s.Name, s.Process)
		}
		out.services = append(out.services, &s)
	}
	for i := range d.Columns {
		c := d.Columns[i]
		out.columns = append(out.columns, &c)
	}
	for _, p := range d.Persons {
		if _, err := out.addPerson(p); err != nil {
			return nil, err
		}
	}
	if len(out.services) == 0 {
		return nil, errors.New("there is no service")
	}
	return out, nil
}

func (d *directory) addPerson(p Person) (*Person, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	login := strings.ToLower(p.Login)
	if login == "" || d.byLogin[login] != nil || d.byID[p.ID] != nil && p.ID != 0 {
		return nil, fmt.Errorf("person %q: the login and the id must be new", p.Login)
	}
	if p.ID == 0 {
		p.ID = len(d.persons) + 1
		for d.byID[p.ID] != nil {
			p.ID++
		}
	}
	if p.Name == "" {
		p.Name = strings.TrimSpace(p.FirstName + " " + p.LastName)
	}
	d.persons = append(d.persons, &p)
	d.byID[p.ID], d.byLogin[login] = &p, &p
	return &p, nil
}

func (d *directory) person(id int) *Person {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.byID[id]
}

func (d *directory) login(login string) *Person {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.byLogin[strings.ToLower(login)]
}

func (d *directory) allPersons() []*Person {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return slices.Clip(d.persons)
}

func (d *directory) process(s *Service) *Process { return d.processes[strings.ToLower(s.Process)] }

func (d *directory) service(id int) *Service {
	for _, s := range d.services {
		if s.ID == id {
			return s
		}
	}
	return nil
}

func (d *directory) serviceNamed(name string) *Service {
	for _, s := range d.services {
		if sameName(s.Name, name) {
			return s
		}
	}
	return nil
}

func (d *directory) processNamed(name, language string) *Process {
	for _, p := range d.processes {
		if sameName(p.name(language), name) {
			return p
		}
	}
	return nil
}

func (d *directory) column(name string) *Column {
	for _, c := range d.columns {
		if strings.EqualFold(c.Name, name) {
			return c
		}
	}
	return nil
}

// sameName compares names as Alvao's database does: without regard to case and outer blanks.
func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSpace(a), strings.TrimSpace(b))
}

func (p *Process) name(language string) string { return localised(p.Name, p.Names, language) }

func (s *Status) name(language string) string { return localised(s.Name, s.Names, language) }

func localised(name string, names map[string]string, language string) string {
	if n, ok := names[language]; ok {
		return n
	}
	return name
}

// status finds a status by its name in the default names.
func (p *Process) status(name string) *Status {
	return p.statusIn(name, "")
}

// statusIn finds a status by the name it has in a language.
func (p *Process) statusIn(name, language string) *Status {
	for i := range p.Statuses {
		if sameName(p.Statuses[i].name(language), name) {
			return &p.Statuses[i]
		}
	}
	return nil
}

func (p *Process) statusID(id int) *Status {
	for i := range p.Statuses {
		if p.Statuses[i].ID == id {
			return &p.Statuses[i]
		}
	}
	return nil
}
