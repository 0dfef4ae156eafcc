package alvao

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
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
	// IDs are the numbers of tickets, few enough for one query; empty: every one.
	IDs []int64
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
	// open tells that closed tickets are not listed.
	open bool
}

// ways are the ways of listing active tickets, the cheapest first.
func ways() []way {
	none := func(time.Time) string { return "" }
	return []way{
		{name: "filtered by the time of activity", filter: func(t time.Time) string { return "lastActivityDate ge " + instant(t) }, order: "id"},
		{name: "sorted by the time of activity", filter: none, order: "lastActivityDate desc", sorted: true},
		{name: "all open tickets", filter: func(time.Time) string { return "closedDate eq null" }, order: "id", open: true},
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

// Pages lists the tickets of the client's service page by page, from a position that a
// page before gave as Next; 0: from the beginning. The order may be any, and tickets that
// are deleted meanwhile shift the rest: a list that goes on at a position may lack some.
func (c *Client) Pages(ctx context.Context, from int) iter.Seq2[item.TicketPage, error] {
	return c.listPages(ctx, Query{Service: c.service}, from)
}

// idsInQuery is how many numbers of up to ten digits fit into a query.
const idsInQuery = 60

// TicketsByID reads tickets of any service by their numbers. Those that are not listed,
// such as removed ones, are left out. It fails with fault.Invalid on a tenant that can't
// list by number, which nobody has tried (alvao.md §2.1).
func (c *Client) TicketsByID(ctx context.Context, ids []int64) ([]item.Ticket, error) {
	found := make([]item.Ticket, 0, len(ids))
	for part := range slices.Chunk(ids, idsInQuery) {
		for ticket, err := range c.Tickets(ctx, Query{IDs: part}) {
			if err != nil {
				return nil, err
			}
			found = append(found, ticket)
		}
	}
	return found, nil
}

// Latest finds the youngest ticket of the client's service; false: there is none.
func (c *Client) Latest(ctx context.Context) (item.Ticket, bool, error) {
	var latest item.Ticket
	found := false
	_, err := c.list(ctx, Query{Service: c.service, Top: 1}, way{order: provenOrder}, 0, func(p item.TicketPage, _ error) bool {
		if len(p.Tickets) > 0 {
			latest, found = p.Tickets[0], true
		}
		return !found
	})
	return latest, found, err
}

// Tickets lists tickets page by page and holds one page at a time. The list ends with
// the first error. A ticket that changes meanwhile may come twice. Custom fields may
// be missing in lists (alvao.md §7), so ExternalID counts only where it is not empty.
func (c *Client) Tickets(ctx context.Context, q Query) iter.Seq2[item.Ticket, error] {
	return func(yield func(item.Ticket, error) bool) {
		for page, err := range c.listPages(ctx, q, 0) {
			for _, ticket := range page.Tickets {
				if !yield(ticket, nil) {
					return
				}
			}
			if err != nil {
				yield(item.Ticket{}, err)
				return
			}
		}
	}
}

// listPages is Tickets by pages, from a position on.
func (c *Client) listPages(ctx context.Context, q Query, from int) iter.Seq2[item.TicketPage, error] {
	return func(yield func(item.TicketPage, error) bool) {
		all, takes := ways(), &c.listing
		if q.ActiveSince.IsZero() {
			all, takes = plainWays(), &c.plainListing
		}
		known := takes.known(c.now())
		for n := known; ; n++ {
			begun, err := c.list(ctx, q, all[n], from, yield)
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
				yield(item.TicketPage{}, err)
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
func (c *Client) list(ctx context.Context, q Query, w way, from int, yield func(item.TicketPage, error) bool) (bool, error) {
	query := c.query(q, w, from)
	seen, given, first, begun := from, 0, lenient.Int(0), false
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
		seen += len(p.Value)
		tickets, last := c.rows(p, q, w, given)
		given += len(tickets)
		listed := item.TicketPage{Tickets: tickets, Next: seen}
		if p.Count != nil {
			listed.There = int(*p.Count)
		}
		if !yield(listed, nil) || last {
			return begun, nil
		}
		next, more := c.next(p, query, seen)
		if !more {
			return begun, nil
		}
		if query = next; query == "" {
			query = c.query(q, w, seen)
		}
	}
}

// rows are those tickets of a page that were asked for, and whether the list ends there.
func (c *Client) rows(p page, q Query, w way, given int) ([]item.Ticket, bool) {
	tickets := make([]item.Ticket, 0, len(p.Value))
	for _, each := range p.Value {
		t := c.ticket(each)
		old := !t.LastActivity.IsZero() && t.LastActivity.Before(q.ActiveSince.Truncate(time.Second))
		if old && w.sorted {
			return tickets, true
		}
		if t.ID <= 0 || old || !wanted(t, q) {
			continue
		}
		tickets = append(tickets, t)
		if given+len(tickets) == q.Top {
			return tickets, true
		}
	}
	return tickets, false
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
	numbers := make([]string, 0, len(q.IDs))
	for _, id := range q.IDs {
		numbers = append(numbers, "id eq "+strconv.FormatInt(id, 10))
	}
	if q.Service != "" {
		service = "serviceName eq " + literal(q.Service)
	}
	if w.filter != nil {
		active = w.filter(q.ActiveSince)
	}
	var o odata
	o.add("$filter", and(service, status, active, strings.Join(numbers, " or ")))
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
