package alvao

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/nearest"
)

// Names of the checks.
const (
	checkAccount    = "alvao.account"
	checkClock      = "alvao.clock"
	checkService    = "alvao.service"
	checkExternalID = "alvao.external-id"
	checkLog        = "alvao.log"
	checkActivity   = "alvao.activity-filter"
	checkPeople     = "alvao.people"
)

// Check asks the live tenant what it can do and whether the settings fit. It probes
// anew what was found missing before, writes nothing, and goes on after a finding as
// far as the finding allows.
func (c *Client) Check(ctx context.Context) []item.Finding {
	c.forgetFound()
	found, sample, usable := c.checkService(ctx)
	if !usable {
		return found
	}
	found = append(found, c.checkActivity(ctx))
	if sample == 0 {
		return found
	}
	ticket, err := c.Ticket(ctx, sample)
	if err != nil {
		return append(found, failed(checkExternalID, err, "Give the account the role Manager on the service "+c.service+"."))
	}
	return append(found, c.checkExternalID(ctx, ticket), c.checkLog(ctx, ticket.ID), c.checkPeople(ctx, ticket))
}

// checkService tells whether the account can list the service, how far the clocks
// differ, and gives one ticket to look at closer; 0: there is none. false: nothing
// else is worth asking.
func (c *Client) checkService(ctx context.Context) ([]item.Finding, int64, bool) {
	var p page
	answer, err := c.do(ctx, call{
		method: http.MethodGet, path: "/v1/tickets?" + c.query(Query{Service: c.service, Top: 1}, way{}, 0),
		subject: "the tickets of service " + c.service, deed: "list",
	}, &p)
	switch {
	case fault.Is(err, fault.BadToken), fault.Is(err, fault.Unavailable), fault.Is(err, fault.Throttled), fault.Is(err, fault.NotFound):
		return []item.Finding{failed(checkAccount, err, "Check the Alvao URL, and the credentials of the application account.")}, 0, false
	case err != nil:
		return []item.Finding{failed(checkService, err, "Give the account the role Manager on the service "+c.service+".")}, 0, false
	}
	found := []item.Finding{{Check: checkAccount, Severity: item.OK, Detail: "Alvao accepts the account at " + c.base + "."}}
	if at := answer.Date(); !at.IsZero() {
		found = append(found, c.words().Clock(checkClock, c.now().Sub(at)))
	}
	if len(p.Value) == 0 {
		return append(found, item.Finding{
			Check: checkService, Severity: item.Warning,
			Detail: fmt.Sprintf("The account sees no ticket of service %s, so the service is empty, has another name, or is closed to the account.", c.service),
			Remedy: "Compare the name with Alvao's tree of services and give the account the role Manager on it.",
		}), 0, true
	}
	detail := fmt.Sprintf("The account sees tickets of service %s.", c.service)
	if p.Count != nil {
		detail = fmt.Sprintf("The account sees %d tickets of service %s.", *p.Count, c.service)
	}
	return append(found, item.Finding{Check: checkService, Severity: item.OK, Detail: detail}), int64(p.Value[0].ID), true
}

// checkActivity tries the ways of listing active tickets.
func (c *Client) checkActivity(ctx context.Context) item.Finding {
	for _, err := range c.Tickets(ctx, Query{Service: c.service, ActiveSince: c.now(), Top: 1}) {
		if err != nil {
			return failed(checkActivity, err, "Run the check again.")
		}
	}
	n := c.listing.known(c.now())
	if n == 0 {
		return item.Finding{Check: checkActivity, Severity: item.OK, Detail: "Alvao lists tickets by the time of their last activity."}
	}
	return item.Finding{
		Check: checkActivity, Severity: item.Warning,
		Detail: fmt.Sprintf("Alvao does not filter tickets by the time of their last activity, so every poll reads: %s.", ways()[n].name),
		Remedy: "Ask Alvao for filtering by lastActivityDate, or poll less often.",
	}
}

// externalIDTitle is the title of the field in Alvao's own connector; its column is
// not public (alvao.md §2.2).
const externalIDTitle = "external application"

// checkExternalID looks for the field on a ticket, then in the list of ticket fields.
// Both may leave out what exists: a ticket its empty fields, the list the columns
// behind the titles. So a field that isn't found is a warning.
func (c *Client) checkExternalID(ctx context.Context, ticket item.Ticket) item.Finding {
	if _, ok := customItems(ticket.Custom).get(c.external); ok {
		return item.Finding{Check: checkExternalID, Severity: item.OK, Detail: "Tickets have the custom field " + c.external + "."}
	}
	names := slices.Sorted(maps.Keys(ticket.Custom))
	columns, err := c.columns(ctx)
	titled := ""
	for _, column := range columns {
		// The list may tell a column with its table.
		bare := column[strings.LastIndex(column, ".")+1:]
		if strings.EqualFold(bare, c.external) {
			return item.Finding{Check: checkExternalID, Severity: item.OK, Detail: "Alvao knows the ticket field " + column + "."}
		}
		if strings.HasPrefix(fold(column), externalIDTitle) {
			titled = column
		}
		names = append(names, bare)
	}
	f := item.Finding{
		Check: checkExternalID, Severity: item.Warning,
		Detail: fmt.Sprintf("Alvao shows no custom field with the database column %s on tickets%s.", c.external, nearest.Perhaps(c.external, names)),
		Remedy: "Create the custom field for tickets in Alvao, or set externalIdField to its database column; without it no ticket can be linked.",
	}
	switch {
	case titled != "":
		f.Detail = fmt.Sprintf("Alvao has the ticket field %s, but does not tell whether its database column is %s.", titled, c.external)
		f.Remedy = "Compare externalIdField with the column shown in Alvao's administration of custom fields."
	case err != nil:
		f.Detail = fmt.Sprintf("Alvao does not tell which fields tickets have, so the database column %s can't be checked.", c.external)
	}
	return f
}

func (c *Client) columns(ctx context.Context) ([]string, error) {
	all, err := c.fields(ctx)
	names := make([]string, 0, len(all))
	for _, column := range all {
		names = append(names, string(column.Name))
	}
	return names, err
}

func (c *Client) checkLog(ctx context.Context, ticket int64) item.Finding {
	log, err := c.Log(ctx, ticket)
	switch {
	case err == nil && log.Partial:
		if heard, silent, err := c.applicationHeard(ctx); err == nil && silent {
			return item.Finding{
				Check: checkLog, Severity: item.Warning, Remedy: wakeApplication,
				Detail: fmt.Sprintf("Alvao does not show the messages of tickets, and its application has told of none since %s UTC although tickets changed.", heard.UTC().Format(time.DateTime)),
			}
		}
		return item.Finding{Check: checkLog, Severity: item.OK, Detail: "Alvao does not show the messages of tickets, but its application tells of them."}
	case err == nil:
		return item.Finding{Check: checkLog, Severity: item.OK, Detail: "Alvao shows the messages of tickets."}
	case errors.Is(err, ErrLogUnreadable):
		return item.Finding{
			Check: checkLog, Severity: item.Warning, Detail: fault.Sentence(err),
			Remedy: "Ask Alvao for a version whose REST API shows the log of tickets, or set SyncCommunication to false; message variables stay empty without it.",
		}
	default:
		return failed(checkLog, err, "Give the account the role Manager on the service "+c.service+".")
	}
}

func (c *Client) checkPeople(ctx context.Context, ticket item.Ticket) item.Finding {
	if ticket.RequesterID == 0 {
		return item.Finding{Check: checkPeople, Severity: item.OK, Detail: "The ticket that was looked at has no requester, so reading people was not tried."}
	}
	if _, err := c.Person(ctx, ticket.RequesterID); err != nil {
		return item.Finding{
			Check: checkPeople, Severity: item.Warning, Detail: fault.Sentence(err),
			Remedy: "Add the account to the group Contact readers in Alvao; without it, variables about people stay empty.",
		}
	}
	return item.Finding{Check: checkPeople, Severity: item.OK, Detail: "The account may read people."}
}

func failed(check string, err error, remedy string) item.Finding {
	return item.Finding{Check: check, Severity: item.Error, Detail: fault.Sentence(err), Remedy: remedy}
}
