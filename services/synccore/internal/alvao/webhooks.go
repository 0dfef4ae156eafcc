package alvao

import (
	"context"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
)

// field is a field of tickets as the list for webhooks has it.
type field struct {
	ID   lenient.Int  `json:"id"`
	Name lenient.Text `json:"name"`
}

// fields lists the fields of tickets that webhooks can tell of.
func (c *Client) fields(ctx context.Context) ([]field, error) {
	var w lenient.List[field]
	_, err := c.do(ctx, call{
		method: http.MethodGet, path: "/webhooks/suggestcolumnsforticket", subject: "the fields of tickets", deed: "list",
	}, &w)
	return w, err
}

// StatusField finds the field by which one webhook tells of every status; 0: the list of
// fields does not have it. That it may be there is an assumption (alvao.md §3.1), and so
// is its name: the column, or its title in English or Czech. NotFound: the tenant offers
// no webhooks.
func (c *Client) StatusField(ctx context.Context) (int64, error) {
	all, err := c.fields(ctx)
	if err != nil {
		return 0, err
	}
	at := slices.IndexFunc(all, func(f field) bool {
		name := fold(string(f.Name))
		return f.ID > 0 && slices.Contains([]string{"status", "state", "stav", "ticketstateid"}, name[strings.LastIndex(name, ".")+1:])
	})
	if at < 0 {
		return 0, nil
	}
	return int64(all[at].ID), nil
}

// processSample is how many tickets are looked at for the processes that there are.
const processSample = 100

// Processes names the processes of the client's service, as the account sees them: what
// the services resource tells, which is an assumption (alvao.md §7), and those of the
// latest tickets.
func (c *Client) Processes(ctx context.Context) ([]string, error) {
	var found []string
	add := func(name string) {
		if name != "" && !slices.ContainsFunc(found, func(known string) bool { return fold(known) == fold(name) }) {
			found = append(found, name)
		}
	}
	services, err := c.services(ctx)
	switch fault.KindOf(err) {
	case fault.BadToken, fault.Unavailable, fault.Throttled:
		return nil, err
	default:
	}
	for _, s := range services {
		if fold(string(s.Name)) == fold(c.service) {
			add(string(s.Process))
		}
	}
	looked := 0
	_, err = c.list(ctx, Query{Service: c.service, Top: processSample}, way{order: provenOrder}, 0, func(p item.TicketPage, _ error) bool {
		for _, t := range p.Tickets {
			add(t.Process)
		}
		looked += len(p.Tickets)
		return looked < processSample
	})
	return found, err
}

// service is a service of the catalogue; its shape is an assumption (alvao.md §2).
type service struct {
	Name    lenient.Text `json:"name"`
	Process lenient.Text `json:"processName"`
}

func (c *Client) services(ctx context.Context) ([]service, error) {
	var o odata
	o.add("$filter", "name eq "+literal(c.service))
	var w struct {
		Value lenient.List[service] `json:"value"`
	}
	_, err := c.do(ctx, call{method: http.MethodGet, path: "/v1/services?" + o.String(), subject: "service " + c.service, deed: "read"}, &w)
	return w.Value, err
}

// wireHook is the body of the two calls that make a webhook for tickets.
type wireHook struct {
	URL     string `json:"webhookUrl"`
	Field   int64  `json:"fieldId,omitempty"`
	Process string `json:"process,omitempty"`
	Status  string `json:"status,omitempty"`
	Service string `json:"service,omitempty"`
}

// CreateWebhook makes a webhook and gives its number. Whether an answer that is lost made
// one can't be found out: Alvao lists no webhooks (alvao.md §3.1).
func (c *Client) CreateWebhook(ctx context.Context, h item.DeskHook) (int64, error) {
	q := call{
		method: http.MethodPost, path: "/webhooks/tickettransitionstostatus",
		body:    wireHook{URL: h.URL, Field: h.Field, Process: h.Process, Status: h.Status, Service: h.Service},
		subject: "a webhook for status " + h.Status, deed: "create",
		// The token, which ends the address: refusals repeat what they refuse.
		secret: h.URL[strings.LastIndex(h.URL, "/")+1:],
	}
	if h.Field != 0 {
		q.path, q.subject = "/webhooks/ticketfieldchanged", "a webhook for changes of the status"
	}
	var made struct {
		ID lenient.Int `json:"id"`
	}
	answer, err := c.do(ctx, q, &made)
	if err != nil {
		return 0, err
	}
	id := int64(made.ID)
	if id <= 0 {
		id, _ = strconv.ParseInt(path.Base(answer.Header.Get("Location")), 10, 64)
	}
	if id <= 0 {
		return 0, fault.New(fault.Unavailable, "%s", c.words().OutOfReach(q.told(), "sent an answer that names no webhook"))
	}
	return id, nil
}

// RemoveWebhook removes a webhook; NotFound where there is none of that number.
func (c *Client) RemoveWebhook(ctx context.Context, id int64) error {
	_, err := c.do(ctx, call{
		method: http.MethodDelete, path: "/webhooks/" + strconv.FormatInt(id, 10),
		subject: "webhook " + strconv.FormatInt(id, 10), deed: "remove",
	}, nil)
	return err
}
