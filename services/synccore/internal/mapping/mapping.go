// Package mapping compiles a connector's settings into rules and turns a ticket
// into the draft of a work item.
//
// Its one invariant: rules that compiled without a problem need no further check,
// and everything that can only be found out with a real ticket ends in a fault
// that names the setting, the field and the value.
package mapping

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/nearest"
	"github.com/tandem-sync/tandem/services/synccore/internal/template"
)

// Settings is the content of Alvao's "Connector Settings" field, as an
// administrator wrote it (Alvao: Azure DevOps Connector page, version 26).
type Settings struct {
	// ConnectorType must be AzureDevOps.
	ConnectorType string
	// URL is the address of the Azure DevOps project.
	URL string
	// AccessToken is the number of a stored token.
	AccessToken string
	// AttributeMap gives work item fields and the templates of their values, in the
	// order written.
	AttributeMap []AttributeText
	// StatusMap pairs states with statuses, in the order written.
	StatusMap []item.Pair
	// SyncCommunication asks for messages and comments to be kept in step.
	SyncCommunication bool
	// OpenCommand asks for the command that opens the work item; the manual names
	// the key both DisplayOpenExternalCommand and ShowOpenExternalTicketCommand.
	OpenCommand bool
	// TicketReporter is Default, Requester or the name of an Azure DevOps user.
	TicketReporter string
}

// AttributeText is one entry of the AttributeMap as written.
type AttributeText struct {
	// Field is the field's reference name, such as System.Title.
	Field string
	// Value is the text of a template.
	Value string
}

// Conflict says which side wins when status and state changed on both.
type Conflict string

// The policies for conflicts.
const (
	// ConflictNewest lets the later change win.
	ConflictNewest Conflict = "newest"
	// ConflictAlvao lets the ticket win.
	ConflictAlvao Conflict = "alvao"
	// ConflictAzureDevOps lets the work item win.
	ConflictAzureDevOps Conflict = "azureDevOps"
)

// ExistingTickets says what happens to tickets that were there before the
// connector first started.
type ExistingTickets string

// The treatments of existing tickets.
const (
	// ExistingIgnore leaves them alone.
	ExistingIgnore ExistingTickets = "ignore"
	// ExistingLink treats them as new ones.
	ExistingLink ExistingTickets = "link"
)

// Policy holds the choices that Tandem adds to Alvao's settings.
type Policy struct {
	Conflict        Conflict
	ExistingTickets ExistingTickets
}

// Problem is something wrong with settings.
type Problem struct {
	// Path leads to the faulty key within the settings, such as AttributeMap,
	// System.Title.
	Path []string
	// Offset is the byte within the value at which the faulty part starts; 0 where it
	// is the value as a whole.
	Offset int
	// AtKey tells that the key itself is at fault.
	AtKey bool
	// Text is one sentence that says what is wrong.
	Text string
	// Remedy is one sentence that says what to do.
	Remedy string
	// Warning tells that the settings work all the same.
	Warning bool
}

// ReporterMode says how a work item's reporter is found.
type ReporterMode int

// The ways to find a reporter.
const (
	// ReporterDefault leaves it to the token's owner.
	ReporterDefault ReporterMode = iota
	// ReporterRequester takes the ticket's requester, paired by user name.
	ReporterRequester
	// ReporterUser takes a fixed user.
	ReporterUser
)

// Reporter is the compiled TicketReporter.
type Reporter struct {
	Mode ReporterMode
	// User is the user name where Mode is ReporterUser.
	User string
}

// Attribute is one compiled entry of the AttributeMap.
type Attribute struct {
	// Field is the field's reference name.
	Field string
	// Value is what it is filled with.
	Value template.Template
}

// Rules is a connector's compiled settings. It is immutable and safe for
// concurrent use.
type Rules struct {
	// Project is where the work items live.
	Project Project
	// AccessToken is the number of the stored token.
	AccessToken string
	// Statuses is the compiled StatusMap.
	Statuses StatusMap
	// Type is the work item type to create.
	Type template.Template
	// Attributes are the other fields to fill, in the order written.
	Attributes []Attribute
	// Reporter says who becomes a work item's reporter.
	Reporter Reporter
	// SyncCommunication asks for messages and comments to be kept in step.
	SyncCommunication bool
	// OpenCommand asks for the command that opens the work item from the ticket.
	OpenCommand bool
	// Conflict says who wins when both sides changed.
	Conflict Conflict
	// ExistingTickets says what happens to tickets from before the first start.
	ExistingTickets ExistingTickets
}

// Needs tells what has to be fetched, beside the ticket, to draft a work item.
func (r Rules) Needs() template.Needs {
	needs := r.Type.Needs()
	for _, a := range r.Attributes {
		needs = needs.Union(a.Value.Needs())
	}
	return needs
}

const (
	fieldTitle = "System.Title"
	fieldType  = "System.WorkItemType"
)

// Compile checks settings and makes rules of them. It reports all problems at
// once; the rules are fit for use if none of them is other than a warning.
func Compile(s Settings, policy Policy) (Rules, []Problem) {
	c := compiler{rules: Rules{
		AccessToken:       s.AccessToken,
		SyncCommunication: s.SyncCommunication,
		OpenCommand:       s.OpenCommand,
		Conflict:          policy.Conflict,
		ExistingTickets:   policy.ExistingTickets,
	}}
	if s.ConnectorType != "AzureDevOps" {
		c.report("ConnectorType", fmt.Sprintf("the connector type %q is not known", s.ConnectorType), "Write AzureDevOps")
	}
	c.project(s.URL)
	c.statuses(s.StatusMap)
	c.attributes(s.AttributeMap)
	c.reporter(s.TicketReporter)
	return c.rules, c.problems
}

type compiler struct {
	rules    Rules
	problems []Problem
}

func (c *compiler) report(key, text, remedy string) {
	c.problems = append(c.problems, Problem{Path: []string{key}, Text: text, Remedy: remedy})
}

func (c *compiler) project(raw string) {
	project, err := ParseProject(raw)
	if err != nil {
		c.report("URL", err.Error(), Remedy(err))
		return
	}
	c.rules.Project = project
}

func (c *compiler) statuses(pairs []item.Pair) {
	if len(pairs) == 0 {
		c.report("StatusMap", "it names no state, so that no work item would ever be created",
			`Name at least one state and its ticket status, as in {"To Do": "Development"}`)
		return
	}
	statuses, problems := NewStatusMap(pairs)
	for _, p := range problems {
		p.Path = append([]string{"StatusMap"}, p.Path...)
		c.problems = append(c.problems, p)
	}
	c.rules.Statuses = statuses
}

// governed are the fields that something other than the AttributeMap decides.
// It gives why, and what to do; both empty: the AttributeMap may fill the field.
func governed(field string) (string, string) {
	switch strings.ToLower(field) {
	case "system.state":
		return "the state is governed by StatusMap", "Remove it; the ticket's status decides the state"
	case "system.teamproject":
		return "the project is governed by URL", "Remove it and let URL name the project"
	case "system.createdby":
		return "the reporter is governed by TicketReporter", "Remove it and set TicketReporter"
	case "system.id", "system.rev", "system.changedby", "system.changeddate", "system.createddate", "system.watermark":
		return "Azure DevOps sets this field itself", "Remove it"
	default:
		return "", ""
	}
}

var referenceName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z0-9_-]+)+$`)

func (c *compiler) attributes(attributes []AttributeText) {
	seen := map[string]bool{}
	for _, a := range attributes {
		field := strings.TrimSpace(a.Field)
		path := []string{"AttributeMap", a.Field}
		key := strings.ToLower(field)
		why, remedy := governed(field)
		switch {
		case why != "":
			c.problems = append(c.problems, Problem{Path: path, AtKey: true, Text: why, Remedy: remedy})
			continue
		case !referenceName.MatchString(field):
			c.problems = append(c.problems, Problem{
				Path: path, AtKey: true,
				Text:   fmt.Sprintf("%q is not a field's reference name", field),
				Remedy: "Write the reference name, as in System.Title",
			})
			continue
		case seen[key]:
			c.problems = append(c.problems, Problem{
				Path: path, AtKey: true,
				Text:   fmt.Sprintf("the field %s is named twice", field),
				Remedy: "Keep one of the two; case does not tell fields apart",
			})
			continue
		}
		seen[key] = true
		value, problems := template.Parse(a.Value)
		for _, p := range problems {
			c.problems = append(c.problems, Problem{Path: path, Offset: p.Offset, Text: p.Text, Remedy: p.Remedy, Warning: p.Warning})
		}
		if key == strings.ToLower(fieldType) {
			c.rules.Type = value
		} else {
			c.rules.Attributes = append(c.rules.Attributes, Attribute{Field: field, Value: value})
		}
		if strings.TrimSpace(a.Value) == "" && (key == strings.ToLower(fieldType) || key == strings.ToLower(fieldTitle)) {
			c.problems = append(c.problems, Problem{
				Path:   path,
				Text:   "it is empty, and no work item can be created without it",
				Remedy: required(field),
			})
		}
	}
	for _, field := range []string{fieldTitle, fieldType} {
		if !seen[strings.ToLower(field)] {
			c.report("AttributeMap", field+" is missing, and no work item can be created without it", required(field))
		}
	}
}

func required(field string) string {
	if strings.EqualFold(field, fieldTitle) {
		return `Add "System.Title": "[$TicketTitle$]"`
	}
	return `Add "System.WorkItemType": "Task", or another type of your project`
}

func (c *compiler) reporter(name string) {
	name = strings.TrimSpace(name)
	switch {
	case name == "" || strings.EqualFold(name, "Default"):
		c.rules.Reporter = Reporter{Mode: ReporterDefault}
		return
	case strings.EqualFold(name, "Requester"):
		c.rules.Reporter = Reporter{Mode: ReporterRequester}
		return
	}
	c.rules.Reporter = Reporter{Mode: ReporterUser, User: name}
	if strings.ContainsAny(name, `@\`) {
		return
	}
	if word := nearest.Name(name, []string{"Default", "Requester"}); word != "" {
		c.report("TicketReporter", fmt.Sprintf("%q is neither Default nor Requester nor a user name", name), "Did you mean "+word+"?")
		return
	}
	c.problems = append(c.problems, Problem{
		Path: []string{"TicketReporter"}, Warning: true,
		Text:   fmt.Sprintf("%q does not look like an Azure DevOps user name", name),
		Remedy: `Write Default, Requester, or a name such as user@contoso.com or DOMAIN\user`,
	})
}
