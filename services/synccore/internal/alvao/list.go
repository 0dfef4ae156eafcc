package alvao

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
)

// Query says which tickets to list. The zero value lists all that the account sees.
type Query struct {
	// Service is the name of a service; empty: every one.
	Service string
	// Statuses are names of statuses; empty: every one.
	Statuses []string
	// ActiveSince leaves out what was last active before; zero: nothing. Tickets of
	// which the activity is not told are always listed.
	ActiveSince time.Time
	// Top ends the list after so many tickets; 0: at its end.
	Top int
}

// way is one way of listing active tickets. Whether lastActivityDate can be filtered
// and sorted by is an assumption (alvao.md §2.1), so there are ways without.
type way struct {
	name   string
	filter func(since time.Time) string
	order  string
	// sorted tells that the list may end at the first ticket that is too old.
	sorted bool
}

// ways are the ways of listing active tickets, the cheapest first.
func ways() []way {
	none := func(time.Time) string { return "" }
	return []way{
		{name: "filtered by the time of activity", filter: func(t time.Time) string { return "lastActivityDate ge " + instant(t) }, order: "id"},
		{name: "sorted by the time of activity", filter: none, order: "lastActivityDate desc", sorted: true},
		{name: "all open tickets", filter: func(time.Time) string { return "closedDate eq null" }, order: "id"},
		{name: "all tickets", filter: none, order: "id"},
		{name: "all tickets by age", filter: none, order: provenOrder},
	}
}

// provenOrder is the one order that is known to be taken (alvao.md §2.1). Going by
// id is better, for new tickets then come last and shift no page.
const provenOrder = "createdDate desc"

// plainWays are the ways of listing whatever its activity.
func plainWays() []way { return []way{{order: "id"}, {order: provenOrder}} }

// ActiveSince lists the tickets of the client's service that were active at or after
// a time, in whatever way the tenant takes.
func (c *Client) ActiveSince(ctx context.Context, since time.Time) iter.Seq2[item.Ticket, error] {
	return c.Tickets(ctx, Query{Service: c.service, ActiveSince: since})
}

// All lists the tickets of the client's service.
func (c *Client) All(ctx context.Context) iter.Seq2[item.Ticket, error] {
	return c.Tickets(ctx, Query{Service: c.service})
}

// Latest finds the youngest ticket of the client's service; false: there is none.
func (c *Client) Latest(ctx context.Context) (item.Ticket, bool, error) {
	var latest item.Ticket
	found := false
	_, err := c.list(ctx, Query{Service: c.service, Top: 1}, way{order: provenOrder}, func(t item.Ticket, _ error) bool {
		latest, found = t, true
		return false
	})
	return latest, found, err
}

// Tickets lists tickets page by page and holds one page at a time. The list ends with
// the first error. A ticket that changes meanwhile may come twice. Custom fields may
// be missing in lists (alvao.md §7), so ExternalID counts only where it is not empty.
func (c *Client) Tickets(ctx context.Context, q Query) iter.Seq2[item.Ticket, error] {
	return func(yield func(item.Ticket, error) bool) {
		all, takes := ways(), &c.listing
		if q.ActiveSince.IsZero() {
			all, takes = plainWays(), &c.plainListing
		}
		known := takes.known(c.now())
		for n := known; ; n++ {
			begun, err := c.list(ctx, q, all[n], yield)
			if begun && n > known {
				takes.note(n, c.now())
			}
			if err == nil {
				return
			}
			// A refused first page says that the tenant does not take this way.
			refused := !begun && fault.Is(err, fault.Invalid)
			if refused && n == len(all)-1 {
				// Then it is not the way that is refused, or not always.
				takes.forget()
			}
			if !refused || n == len(all)-1 {
				yield(item.Ticket{}, err)
				return
			}
		}
	}
}

type page struct {
	Count    *lenient.Int             `json:"@odata.count"`
	NextLink lenient.Text             `json:"@odata.nextLink"`
	Value    lenient.List[wireTicket] `json:"value"`
}

// list goes through the pages of one way. The first result tells whether a page was
// read.
func (c *Client) list(ctx context.Context, q Query, w way, yield func(item.Ticket, error) bool) (bool, error) {
	query := c.query(q, w, 0)
	seen, given, first, begun := 0, 0, lenient.Int(0), false
	for {
		p, err := c.page(ctx, query)
		if err != nil {
			return begun, err
		}
		begun = true
		if len(p.Value) == 0 {
			return begun, nil
		}
		if first != 0 && p.Value[0].ID == first {
			return begun, fault.New(fault.Invalid,
				"Alvao lists the same tickets again instead of the next ones, so the list of %s is incomplete.", c.subject(q))
		}
		first = p.Value[0].ID
		for _, each := range p.Value {
			t := c.ticket(each)
			old := !t.LastActivity.IsZero() && t.LastActivity.Before(q.ActiveSince.Truncate(time.Second))
			if old && w.sorted {
				return begun, nil
			}
			if t.ID <= 0 || old || !wanted(t, q) {
				continue
			}
			given++
			if !yield(t, nil) || given == q.Top {
				return begun, nil
			}
		}
		seen += len(p.Value)
		next, more := c.next(p, query, seen)
		if !more {
			return begun, nil
		}
		if query = next; query == "" {
			query = c.query(q, w, seen)
		}
	}
}

func (c *Client) page(ctx context.Context, query string) (page, error) {
	var p page
	_, err := c.do(ctx, call{
		method: http.MethodGet, path: "/v1/tickets?" + query,
		subject: "the tickets of service " + c.service, deed: "list",
	}, &p)
	return p, err
}

// next tells whether there is another page, and its query where the server gave a
// link; else it is asked for by $skip. Of the link only the query is used: behind a
// reverse proxy it names a host that nobody outside can or should call.
func (c *Client) next(p page, query string, seen int) (string, bool) {
	if link := string(p.NextLink); link != "" {
		u, err := url.Parse(link)
		if err != nil || u.RawQuery == "" || u.RawQuery == query {
			return "", false
		}
		return u.RawQuery, true
	}
	// A server may cap $top without a word; then the count shows it.
	if p.Count != nil {
		return "", seen < int(*p.Count)
	}
	return "", len(p.Value) >= c.pageSize
}

// longestQuery keeps below IIS's default bound of 2,048 bytes (Microsoft: IIS request
// limits, maxQueryString), beyond which a query is answered as if there were no list.
const longestQuery = 1900

// query is the query of one page. Statuses that make it too long are left to wanted.
func (c *Client) query(q Query, w way, skip int) string {
	text := c.queryFor(q, w, skip)
	if len(text) > longestQuery && len(q.Statuses) > 0 {
		q.Statuses = nil
		text = c.queryFor(q, w, skip)
	}
	return text
}

func (c *Client) queryFor(q Query, w way, skip int) string {
	var statuses []string
	for _, s := range q.Statuses {
		statuses = append(statuses, "stateName eq "+literal(s))
	}
	status := strings.Join(statuses, " or ")
	if len(statuses) > 1 {
		status = "(" + status + ")"
	}
	service, active := "", ""
	if q.Service != "" {
		service = "serviceName eq " + literal(q.Service)
	}
	if w.filter != nil {
		active = w.filter(q.ActiveSince)
	}
	var o odata
	o.add("$filter", and(service, status, active))
	o.add("$orderby", w.order)
	size := c.pageSize
	if q.Top > 0 {
		size = min(size, q.Top)
	}
	o.addInt("$top", size)
	o.addInt("$skip", skip)
	o.add("$count", "true")
	return o.String()
}

// wanted checks again what the server was asked for, where the ticket tells it.
func wanted(t item.Ticket, q Query) bool {
	if q.Service != "" && t.Service != "" && fold(t.Service) != fold(q.Service) {
		return false
	}
	if len(q.Statuses) == 0 {
		return true
	}
	for _, s := range q.Statuses {
		if fold(s) == fold(t.Status) {
			return true
		}
	}
	return false
}

func (c *Client) subject(q Query) string {
	if q.Service == "" {
		return "tickets"
	}
	return "service " + q.Service
}
