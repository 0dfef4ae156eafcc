package alvao

import (
	"context"
	"maps"
	"net/http"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Ticket reads one ticket; NotFound where there is none or the account can't see it.
func (c *Client) Ticket(ctx context.Context, id int64) (item.Ticket, error) {
	if id <= 0 {
		return item.Ticket{}, fault.New(fault.Invalid, "A ticket's number must be positive, not %d.", id)
	}
	q := call{method: http.MethodGet, path: ticketPath(id), subject: ticketName(id), deed: "read"}
	var w wireTicket
	if _, err := c.do(ctx, q, &w); err != nil {
		return item.Ticket{}, err
	}
	if int64(w.ID) != id {
		return item.Ticket{}, fault.New(fault.Unavailable, "%s", c.words().OutOfReach(q.told(), "sent an answer that is another ticket or none"))
	}
	return c.ticket(w), nil
}

// SetStatus moves a ticket to a status and returns the ticket as read back, whose
// status may differ: a status can pass on to another by itself (alvao.md §2.3). While
// an approval runs the fault is Busy; any other refusal is Refused with Alvao's words.
func (c *Client) SetStatus(ctx context.Context, ticket item.Ticket, status string) (item.Ticket, error) {
	status = strings.TrimSpace(status)
	key := statusKey(ticket.Process, status)
	byName := map[string]any{"stateName": status}
	body := byName
	id, remembered := c.statuses.Known(key)
	if remembered {
		body = map[string]any{"stateId": id}
	}
	q := call{
		method: http.MethodPut, path: ticketPath(ticket.ID) + "/state", body: body,
		subject: ticketName(ticket.ID), deed: "move to " + status,
	}
	answer, err := c.do(ctx, q, nil)
	if answer.Status != http.StatusBadRequest {
		if err != nil {
			return item.Ticket{}, err
		}
		return c.Ticket(ctx, ticket.ID)
	}
	c.statuses.Forget(key)
	present, readErr := c.Ticket(ctx, ticket.ID)
	if readErr == nil && remembered && !strings.EqualFold(present.Status, status) && !present.InApproval {
		// The status may have another number by now; its name is what was asked for.
		q.body = byName
		if answer, err = c.do(ctx, q, nil); answer.Status != http.StatusBadRequest {
			if err != nil {
				return item.Ticket{}, err
			}
			return c.Ticket(ctx, ticket.ID)
		}
	}
	switch {
	case readErr != nil:
		return item.Ticket{}, readErr
	case strings.EqualFold(present.Status, status):
		// Somebody else was faster with the same move.
		return present, nil
	case present.InApproval:
		return item.Ticket{}, fault.Wrap(err, fault.Busy,
			"An approval runs on ticket %d, so it can't move to %s before that ends; Tandem waits for it.", ticket.ID, status).After(approvalWait)
	default:
		return item.Ticket{}, fault.Wrap(err, fault.Refused,
			"Alvao does not let ticket %d go from %s to %s%s; mend there what it names, and Tandem tries again as soon as the ticket or its work item changes.",
			ticket.ID, present.Status, status, toldBy(err))
	}
}

// customItem is the shape in which custom fields are written (Alvao: Power Platform
// custom connector).
type customItem struct {
	Type  string `json:"@odata.type"`
	Name  string `json:"name"`
	Value string `json:"value"`
}

// SetExternalID writes the external-id field and returns the ticket with it. It is
// not read back: the answer 204 says that it was stored.
func (c *Client) SetExternalID(ctx context.Context, ticket item.Ticket, value string) (item.Ticket, error) {
	_, err := c.do(ctx, call{
		method: http.MethodPatch, path: ticketPath(ticket.ID),
		body: map[string]any{"customItems": map[string]customItem{
			c.external: {Type: "#Alvao.Rest.Api.Models.SD.CustomItem", Name: c.external, Value: value},
		}},
		subject: "field " + c.external + " of " + ticketName(ticket.ID), deed: "write",
	}, nil)
	if err != nil {
		return item.Ticket{}, err
	}
	ticket.ExternalID = value
	ticket.Custom = maps.Clone(ticket.Custom)
	if ticket.Custom == nil {
		ticket.Custom = make(map[string]string, 1)
	}
	ticket.Custom[c.external] = value
	return ticket, nil
}
