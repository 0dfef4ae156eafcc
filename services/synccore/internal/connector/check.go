package connector

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/nearest"
)

// Names of the checks.
const (
	checkAttributes = "settings.attribute-map"
	checkReporter   = "settings.ticket-reporter"
	checkStatuses   = "settings.status-map"
)

// statusSample is how many tickets are looked at for the statuses that there are.
const statusSample = 1000

// checkStatuses tells which statuses of the StatusMap no ticket is in. Alvao lists no
// statuses of a process (alvao.md §2.3), so a misspelt one shows itself only so.
func (r *running) checkStatuses(ctx context.Context) []item.Finding {
	var there []string
	seen := func(status string) bool {
		return slices.ContainsFunc(there, func(s string) bool { return mapping.Same(s, status) })
	}
	looked := 0
	for ticket, err := range r.clients.Tickets.All(ctx) {
		if err != nil {
			return []item.Finding{failed(checkStatuses, err, "Run the check again.")}
		}
		if ticket.Status != "" && !seen(ticket.Status) {
			there = append(there, ticket.Status)
		}
		if looked++; looked == statusSample {
			break
		}
	}
	var unseen []string
	for _, status := range statusesOf(r.cfg.Rules.Statuses) {
		if seen(status) {
			continue
		}
		for _, err := range r.clients.Tickets.InStatus(ctx, []string{status}) {
			if err == nil {
				there = append(there, status)
			}
			break
		}
		if !seen(status) {
			unseen = append(unseen, strconv.Quote(status)+nearest.Perhaps(status, there))
		}
	}
	if len(unseen) == 0 {
		return []item.Finding{{Check: checkStatuses, Severity: item.OK, Detail: "There are tickets in every status of the StatusMap."}}
	}
	return []item.Finding{{
		Check: checkStatuses, Severity: item.Warning,
		Detail: fmt.Sprintf("No ticket of service %s is in the status %s, which the StatusMap names.", r.cfg.Alvao.Service, strings.Join(unseen, " or ")),
		Remedy: "Compare the spelling with the statuses of the process in Alvao; a status that no ticket has reached yet is no mistake.",
	}}
}

// checkDraft renders the AttributeMap for the youngest ticket, or for one that is made
// up, and asks Azure DevOps whether it would make that work item. Nothing is written.
func (r *running) checkDraft(ctx context.Context) []item.Finding {
	// The check's own calls, not those that the connector's health holds back.
	c := r.forRound()
	c.Tickets, c.WorkItems = r.clients.Tickets, r.clients.WorkItems
	ticket, found, err := r.clients.Tickets.Latest(ctx)
	if err == nil && found {
		// Lists may leave custom fields out.
		ticket, err = r.clients.Tickets.Ticket(ctx, ticket.ID)
	}
	switch {
	case err != nil:
		return []item.Finding{failed(checkAttributes, err, "Run the check again.")}
	case !found:
		ticket = madeUp(r.cfg.Alvao.Service, c.Rules)
	}
	draft, err := r.deps.Engine.Preview(ctx, c, ticket)
	if err != nil {
		return []item.Finding{failed(checkAttributes, err, "Correct the AttributeMap in the connector's settings.")}
	}
	return append(r.checkKnown(draft, ticket), r.clients.WorkItems.Validate(ctx, draft)...)
}

// tellCapabilities logs once, at start, what the tenant lacks of what Tandem is built on,
// so that it shows itself by name rather than by what does not happen later.
func (r *running) tellCapabilities(ctx context.Context) {
	for _, one := range r.clients.Tickets.Capabilities(ctx) {
		if one.Support != item.Missing {
			continue
		}
		r.deps.Logger.InfoContext(ctx, "connector.capability", slog.String("connector", r.cfg.Name), slog.String("capability", one.Name),
			slog.String("found", one.Found), slog.String("fallback", one.Fallback), slog.String("cost", one.Cost))
	}
}

// madeUp is a ticket for a service that has none.
func madeUp(service string, rules mapping.Rules) item.Ticket {
	t := item.Ticket{ID: 1, MessageTag: "T1", Title: "Tandem checks its settings", Service: service, URL: "https://tandem.invalid/Ticket/1"}
	if pairs := rules.Statuses.Pairs(); len(pairs) > 0 {
		t.Status = pairs[0].Status
	}
	return t
}

// checkKnown tells whether the reporter was found who is to be one.
func (r *running) checkKnown(draft item.Draft, ticket item.Ticket) []item.Finding {
	if draft.Reporter != nil {
		return nil
	}
	switch rule := r.cfg.Rules.Reporter; rule.Mode {
	case mapping.ReporterUser:
		return []item.Finding{{
			Check: checkReporter, Severity: item.Warning,
			Detail: fmt.Sprintf("TicketReporter names %q, which is not exactly one active user of Azure DevOps, so the access token's account is the reporter.", rule.User),
			Remedy: "Correct the user name, or set TicketReporter to Default or Requester.",
		}}
	case mapping.ReporterRequester:
		if ticket.RequesterID == 0 {
			return nil
		}
		return []item.Finding{{
			Check: checkReporter, Severity: item.Warning,
			Detail: fmt.Sprintf("The requester of ticket %d is not exactly one active user of Azure DevOps by user name or e-mail, so the access token's account is the reporter.", ticket.ID),
			Remedy: "Nothing need be done if such requesters are not meant to have access to Azure DevOps.",
		}}
	case mapping.ReporterDefault:
		return nil
	default:
		return nil
	}
}

func failed(check string, err error, remedy string) item.Finding {
	return item.Finding{Check: check, Severity: item.Error, Detail: fault.Sentence(err), Remedy: remedy}
}
