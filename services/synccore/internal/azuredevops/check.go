package azuredevops

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/nearest"
)

// Wants is what a connector's settings expect of the project.
type Wants struct {
	// Type is the work item type that is created.
	Type string
	// TypeVaries tells that the type depends on the ticket, so that Type is none.
	TypeVaries bool
	// States are the Azure DevOps states of the StatusMap.
	States []string
	// Fields are the reference names of the AttributeMap.
	Fields []string
	// Reporter tells that work items get a reporter other than the token's account.
	Reporter bool
	// Connector is the name of the connector whose service hooks are looked at; empty:
	// none are. DeskHost is the host of Alvao's REST API.
	Connector, DeskHost string
}

// Names of the checks.
const (
	checkToken   = "azure-devops.token" //nolint:gosec // a check's name
	checkClock   = "azure-devops.clock"
	checkProject = "azure-devops.project"
	checkType    = "azure-devops.type"
	checkStates  = "azure-devops.states"
	checkFields  = "azure-devops.fields"
	checkDraft   = "azure-devops.draft"
	checkHooks   = "azure-devops.hooks"

	checkIdentities = "azure-devops.identities"
	checkReporter   = "azure-devops.reporter"
)

// Check compares the live project with what the settings expect. It reads anew what
// is remembered otherwise, writes nothing, and goes on after a finding as far as the
// finding allows.
func (c *Client) Check(ctx context.Context, want Wants) []item.Finding {
	c.forget()
	var found []item.Finding
	token, usable := c.checkToken(ctx)
	found = append(found, token...)
	if !usable {
		return found
	}
	found = append(found, c.checkProject(ctx))
	if want.Connector != "" {
		found = append(found, c.CheckHooks(ctx, want)...)
	}
	if want.TypeVaries {
		return append(found, item.Finding{
			Check: checkType, Severity: item.OK, Detail: "The work item type depends on the ticket; it is checked for the youngest one.",
		})
	}
	if want.Type == "" {
		return append(found, item.Finding{
			Check: checkType, Severity: item.Error,
			Detail: "The AttributeMap names no work item type.",
			Remedy: "Add System.WorkItemType to the AttributeMap.",
		})
	}
	kind, exists := c.checkType(ctx, want.Type)
	found = append(found, kind...)
	if !exists {
		return found
	}
	found = append(found, c.checkStates(ctx, want)...)
	found = append(found, c.checkFields(ctx, want)...)
	if want.Reporter {
		found = append(found, c.checkReporter(ctx, want.Type)...)
	}
	return found
}

// forget drops what is remembered but the project's GUID, by which events are told
// apart meanwhile.
func (c *Client) forget() {
	c.identity.ForgetAll()
	c.types.ForgetAll()
	c.names.ForgetAll()
	c.fields.ForgetAll()
	c.catalog.ForgetAll()
	c.people.ForgetAll()
	c.others.ForgetAll()
	c.noIdentities.clear()
	c.noBypass.clear()
}

// checkToken tells whether the token works at all, and how far the clocks differ.
func (c *Client) checkToken(ctx context.Context) ([]item.Finding, bool) {
	q := connectionData()
	var w wireConnection
	answer, err := c.do(ctx, q, &w)
	var who Identity
	if err == nil {
		who, err = c.identified(w, q)
	}
	if err != nil {
		return []item.Finding{failed(checkToken, err, c.tokenRemedy(err))}, false
	}
	c.identity.Put("", who)
	found := []item.Finding{{
		Check: checkToken, Severity: item.OK,
		Detail: fmt.Sprintf("The access token belongs to %s (%s) in %s.", who.Name, who.Account, c.at.account),
	}}
	if at := answer.Date(); !at.IsZero() {
		found = append(found, c.words().Clock(checkClock, c.now().Sub(at)))
	}
	return found, true
}

func (c *Client) tokenRemedy(err error) string {
	if fault.Is(err, fault.Misconfigured) {
		return "Correct the URL in the connector's settings."
	}
	if passes(err) && !fault.Is(err, fault.BadToken) {
		return "Run the check again once " + c.at.account + " can be reached from here."
	}
	if c.entra {
		return "Add the application or managed identity to " + c.at.account + " as a user with a Basic licence, and grant it the project; check its entry in accessTokens."
	}
	return "Create a personal access token with the scopes Work Items (Read & write) and User Profile (Read) for " + c.at.account + " and store it where accessTokens points."
}

func (c *Client) checkProject(ctx context.Context) item.Finding {
	p, err := c.readProject(ctx, c.at.project)
	if err == nil {
		return item.Finding{Check: checkProject, Severity: item.OK, Detail: fmt.Sprintf("The project is %s (%s).", p.Name, p.ID)}
	}
	if kind := fault.KindOf(err); kind == fault.Denied || kind == fault.BadToken {
		// The token works, so only the scope is missing.
		return item.Finding{
			Check: checkProject, Severity: item.Warning,
			Detail: fmt.Sprintf("The access token may not read project %s, so its events are recognised by the project's name, which a rename changes.", c.at.project),
			Remedy: "Add the scope Project and Team (Read) to the token, or write the project's GUID into the URL.",
		}
	}
	return failed(checkProject, err, "Correct the URL in the connector's settings.")
}

func (c *Client) checkType(ctx context.Context, name string) ([]item.Finding, bool) {
	t, err := c.Type(ctx, name)
	if err == nil {
		return []item.Finding{{Check: checkType, Severity: item.OK, Detail: fmt.Sprintf("The work item type %s exists with %d states.", t.Name, len(t.States))}}, true
	}
	finding := failed(checkType, err, "Correct System.WorkItemType in the AttributeMap.")
	if names, err := c.Types(ctx); err == nil && len(names) > 0 {
		finding.Remedy = fmt.Sprintf("Set System.WorkItemType to one of: %s%s.", strings.Join(names, ", "), nearest.Perhaps(name, names))
	}
	return []item.Finding{finding}, false
}

func (c *Client) checkStates(ctx context.Context, want Wants) []item.Finding {
	t, err := c.Type(ctx, want.Type)
	if err != nil {
		return []item.Finding{failed(checkStates, err, "Run the check again.")}
	}
	names := make([]string, 0, len(t.States))
	for _, s := range t.States {
		names = append(names, s.Name)
	}
	var found []item.Finding
	for _, state := range want.States {
		if !containsFold(names, state) {
			found = append(found, item.Finding{
				Check: checkStates, Severity: item.Error,
				Detail: fmt.Sprintf("The StatusMap names the state %s, which %s does not have.", state, t.Name),
				Remedy: fmt.Sprintf("Use one of: %s%s.", strings.Join(names, ", "), nearest.Perhaps(state, names)),
			})
		}
	}
	if len(found) == 0 {
		found = append(found, item.Finding{Check: checkStates, Severity: item.OK, Detail: fmt.Sprintf("All %d states of the StatusMap exist in %s.", len(want.States), t.Name)})
	}
	return found
}

func (c *Client) checkFields(ctx context.Context, want Wants) []item.Finding {
	fields, err := c.Fields(ctx, want.Type)
	if err != nil {
		return []item.Finding{failed(checkFields, err, "Grant the token's account the right to view the project.")}
	}
	names := slices.Sorted(maps.Keys(fields))
	var found []item.Finding
	for _, reference := range want.Fields {
		if strings.EqualFold(reference, fieldType) {
			continue
		}
		at := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(n, reference) })
		switch {
		case at < 0:
			found = append(found, item.Finding{
				Check: checkFields, Severity: item.Error,
				Detail: fmt.Sprintf("The AttributeMap names the field %s, which %s does not have.", reference, want.Type),
				Remedy: fmt.Sprintf("Correct the reference name%s.", nearest.Perhaps(reference, names)),
			})
		case fields[names[at]].ReadOnly:
			found = append(found, item.Finding{
				Check: checkFields, Severity: item.Error,
				Detail: fmt.Sprintf("The AttributeMap names the field %s, which can't be written.", reference),
				Remedy: "Take it out of the AttributeMap.",
			})
		}
	}
	for _, name := range names {
		if f := fields[name]; f.Required && !f.ReadOnly && !containsFold(want.Fields, name) && !filledByServer(name) {
			found = append(found, item.Finding{
				Check: checkFields, Severity: item.Warning,
				Detail: fmt.Sprintf("%s requires the field %s, which the AttributeMap does not name, so creating is refused unless it has a default.", want.Type, name),
				Remedy: "Add the field to the AttributeMap, or give it a default in the process.",
			})
		}
	}
	if len(found) == 0 {
		found = append(found, item.Finding{Check: checkFields, Severity: item.OK, Detail: fmt.Sprintf("All %d fields of the AttributeMap can be written.", len(want.Fields))})
	}
	return found
}

// filledByServer names required fields that every new item gets by itself.
func filledByServer(reference string) bool {
	switch reference {
	case fieldState, fieldType, fieldProject, "System.AreaId", "System.IterationId", "System.AreaPath",
		"System.IterationPath", "System.Reason", "System.Id", "System.Rev", "System.CreatedBy", "System.CreatedDate",
		fieldChangedBy, fieldChangedDate, "Microsoft.VSTS.Common.ValueArea", "Microsoft.VSTS.Common.Priority":
		return true
	default:
		return false
	}
}

func containsFold(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, strings.TrimSpace(name)) })
}

func failed(check string, err error, remedy string) item.Finding {
	return item.Finding{Check: check, Severity: item.Error, Detail: fault.Sentence(err), Remedy: remedy}
}
