package reconcile

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// Rendering is the work item that would be created for a ticket.
type Rendering struct {
	Ticket item.Ticket
	// Draft is what would be sent.
	Draft item.Draft
	// States are the states that it would pass, as plan.Creation tells them.
	States []string
	// Doubts are what a person should look at before they trust it.
	Doubts []item.Finding
}

// The checks that doubts come from.
const (
	doubtStatus   = "preview.status"
	doubtService  = "preview.service"
	doubtPerson   = "preview.person"
	doubtReporter = "preview.reporter"
	doubtValue    = "preview.value"
)

// Render renders the AttributeMap for a ticket as a round would that creates its work
// item, and the way over the states that it would take. It writes nothing.
func (e *Engine) Render(ctx context.Context, connector Connector, ticket item.Ticket) (Rendering, error) {
	r := &round{engine: e, connector: connector, link: item.Link{Connector: connector.Name, Ticket: ticket.ID}}
	r.sides.Ticket = ticket
	draft, strangers, err := r.draft(ctx)
	if err != nil {
		return Rendering{}, err
	}
	kind, err := connector.WorkItems.Type(ctx, draft.Type)
	if err != nil {
		return Rendering{}, fmt.Errorf("reading the work item type %s: %w", draft.Type, err)
	}
	out := Rendering{Ticket: ticket, Draft: draft, States: plan.Creation(kind, connector.Rules.Statuses, ticket.Status)}
	out.doubtStates(ticket, draft.Type)
	if ticket.Service != "" && !mapping.Same(ticket.Service, connector.Service) {
		out.doubt(doubtService, item.Error, fmt.Sprintf("The ticket is of service %q and not of the connector's, %q, so nothing would be created.", ticket.Service, connector.Service),
			"Choose a ticket of that service.")
	}
	for _, f := range strangers {
		out.doubt(doubtPerson, item.Warning, fmt.Sprintf("%s would be left empty, because Azure DevOps knows no active user as %q.", f.Reference, f.Value),
			"Fill the field with the user name or the e-mail address of a user of Azure DevOps.")
	}
	if draft.Reporter == nil && connector.Rules.Reporter.Mode != mapping.ReporterDefault {
		out.doubt(doubtReporter, item.Warning, "The reporter that TicketReporter asks for is not exactly one active user of Azure DevOps, so it would be the access token's account.",
			"Nothing need be done if such people are not meant to have access to Azure DevOps.")
	}
	out.doubtValues(connector.Rules, strangers)
	return out, nil
}

func (r *Rendering) doubt(check string, severity item.Severity, detail, remedy string) {
	r.Doubts = append(r.Doubts, item.Finding{Check: check, Severity: severity, Detail: detail, Remedy: remedy})
}

func (r *Rendering) doubtStates(ticket item.Ticket, typeName string) {
	switch {
	case len(r.States) == 0:
		r.doubt(doubtStatus, item.Error, fmt.Sprintf("The ticket's status %q is not in the StatusMap, so nothing would be created.", ticket.Status),
			"Add the status to the StatusMap if such tickets are to have work items.")
	case r.States[len(r.States)-1] == "":
		r.States = r.States[:len(r.States)-1]
		r.doubt(doubtStatus, item.Warning, fmt.Sprintf("A %s made in %q can't be moved to a state that the StatusMap pairs with %q: no transitions lead there.", typeName, r.States[0], ticket.Status),
			"Pair the status with a state that the type has, or change its transitions.")
	}
}

// longestLine is the most that a text field in one line holds (azure-devops.md §2.4).
const longestLine = 255

// doubtValues looks at values that came out otherwise than an administrator may expect.
func (r *Rendering) doubtValues(rules mapping.Rules, strangers []item.FieldValue) {
	for _, a := range rules.Attributes {
		is := func(f item.FieldValue) bool { return strings.EqualFold(f.Reference, a.Field) }
		at := slices.IndexFunc(r.Draft.Fields, is)
		switch {
		case at < 0 && slices.ContainsFunc(strangers, is):
		case at < 0:
			r.doubt(doubtValue, item.Warning, a.Field+" would be left to its default, because its template gives nothing for this ticket.",
				"Nothing need be done if the field may be empty.")
		case len([]rune(r.Draft.Fields[at].Value)) == longestLine:
			r.doubt(doubtValue, item.Warning, fmt.Sprintf("%s would be cut to %d characters, which is what the field holds.", a.Field, longestLine),
				"Put long texts into a field of several lines, such as System.Description.")
		case strings.Contains(r.Draft.Fields[at].Value, "[$"):
			r.doubt(doubtValue, item.Warning, fmt.Sprintf("The value of %s still has a mark of a template in it.", a.Field), "Look whether a variable is misspelt.")
		}
	}
}

// Pair links a ticket and a work item that both exist, or with dry only looks whether
// it could. It fails with fault.Invalid where one of them can't be linked, fault.Refused
// where either is linked with another, and fault.Conflict while the ticket is worked on.
// Pairing a pair again does nothing. Nothing is written at either system.
func (e *Engine) Pair(ctx context.Context, connector Connector, ticketID, workItemID int64, dry bool) (item.Link, error) {
	ctx, held, err := e.cfg.Leases.Hold(ctx, item.Key{Connector: connector.Name, System: item.Alvao, ID: ticketID}, e.cfg.LeaseTTL)
	if err != nil {
		return item.Link{}, fmt.Errorf("taking the lease of ticket %d: %w", ticketID, err)
	}
	defer held.Release()
	link, err := e.cfg.Links.Get(ctx, connector.Name, ticketID)
	if err != nil {
		return item.Link{}, fmt.Errorf("reading the link of ticket %d: %w", ticketID, err)
	}
	if link.WorkItem == workItemID {
		return link, nil
	}
	if link.WorkItem != 0 {
		return item.Link{}, fault.New(fault.Refused, "Ticket %d is linked with work item %d; delete that link first.", ticketID, link.WorkItem)
	}
	if other, found, err := e.cfg.Links.TicketOf(ctx, connector.Name, workItemID); err != nil {
		return item.Link{}, fmt.Errorf("looking up the ticket of work item %d: %w", workItemID, err)
	} else if found {
		return item.Link{}, fault.New(fault.Refused, "Work item %d is linked with ticket %d; delete that link first.", workItemID, other)
	}
	if !link.Exists() {
		link = item.Link{Connector: connector.Name, Ticket: ticketID}
	}
	r := &round{engine: e, connector: connector, held: held.Lease, link: link, report: &Report{}}
	if err := r.fit(ctx, workItemID); err != nil {
		return item.Link{}, held.Why(err)
	}
	next := r.link
	next.WorkItem, next.WorkItemURL, next.TicketURL = workItemID, r.sides.WorkItem.URL, r.sides.Ticket.URL
	next.State, next.Reason, next.Parked, next.Agreed = item.LinkActive, "", nil, item.Pair{}
	if dry {
		return next, nil
	}
	detail := fmt.Sprintf("Ticket %d and work item %d were linked by hand.", ticketID, workItemID)
	step := plan.Step{Kind: plan.Remember, Link: next, Change: &item.LinkChange{Action: "link", Detail: detail}}
	if err := r.remember(ctx, step); err != nil {
		return item.Link{}, held.Why(err)
	}
	return r.link, nil
}

// fit reads both sides and tells whether they can be linked.
func (r *round) fit(ctx context.Context, workItemID int64) error {
	if err := r.readBoth(ctx); err != nil {
		return err
	}
	if err := r.readWorkItem(ctx, workItemID); err != nil {
		return err
	}
	ticket, workItem, id := r.sides.Ticket, r.sides.WorkItem, r.link.Ticket
	switch {
	case r.sides.TicketGone:
		return fault.New(fault.Invalid, "Ticket %d does not exist, was removed, or can't be seen by the connector's account.", id)
	case !mapping.Same(ticket.Service, r.connector.Service):
		return fault.New(fault.Invalid, "Ticket %d is of service %q; this connector is for %q.", id, ticket.Service, r.connector.Service)
	case r.connector.Process != "" && !mapping.Same(ticket.Process, r.connector.Process):
		return fault.New(fault.Invalid, "Ticket %d follows process %q; this connector is for %q.", id, ticket.Process, r.connector.Process)
	case workItem == nil || workItem.Deleted:
		return fault.New(fault.Invalid, "Work item %d does not exist, was deleted, or can't be seen by the connector's token.", workItemID)
	case workItem.Elsewhere:
		return fault.New(fault.Invalid, "Work item %d lies in the project %q, not in the connector's.", workItemID, workItem.Project)
	case ticket.ExternalID != "" && strings.TrimSpace(ticket.ExternalID) != strconv.FormatInt(workItemID, 10):
		return fault.New(fault.Invalid, "Ticket %d carries the external id %q; clear the field, or write %d into it.", id, ticket.ExternalID, workItemID)
	default:
		return nil
	}
}
