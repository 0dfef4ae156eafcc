package alvao_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// desk is a list of tickets behind OData's parameters (modelled, not recorded).
type desk struct {
	tickets []string
	// most caps $top without a word; 0: no cap.
	most int
	// links gives @odata.nextLink; counts gives @odata.count.
	links  string
	counts bool
	// refuses tells which parameter values are answered 400.
	refuses func(filter, order string) bool
	// stuck ignores $skip.
	stuck bool
}

func (d desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if d.refuses != nil && d.refuses(q.Get("$filter"), q.Get("$orderby")) {
		answerJSON(w, http.StatusBadRequest, `{"error":{"code":"400","message":"Could not find a property."}}`)
		return
	}
	number := func(name string) int {
		n, err := strconv.Atoi(q.Get(name))
		if err != nil {
			return 0
		}
		return n
	}
	skip, top := number("$skip")+number("$skiptoken"), number("$top")
	if d.stuck {
		skip = 0
	}
	if d.most > 0 {
		top = min(top, d.most)
	}
	from := min(skip, len(d.tickets))
	to := min(from+top, len(d.tickets))
	body := `{"value":[` + strings.Join(d.tickets[from:to], ",") + `]`
	if d.counts {
		body += `,"@odata.count":` + strconv.Itoa(len(d.tickets))
	}
	if d.links != "" && to < len(d.tickets) {
		body += fmt.Sprintf(`,"@odata.nextLink":"%s?$top=%d&$skiptoken=%d"`, d.links, top, to)
	}
	answerJSON(w, http.StatusOK, body+`}`)
}

func rows(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf(`{"id":%d,"serviceName":"Development","stateName":"New"}`, i+1)
	}
	return out
}

func ids(t *testing.T, c *alvao.Client, q alvao.Query) ([]int64, error) {
	t.Helper()
	var out []int64
	for ticket, err := range c.Tickets(t.Context(), q) {
		if err != nil {
			return out, err
		}
		out = append(out, ticket.ID)
	}
	return out, nil
}

func upTo(n int64) []int64 {
	out := make([]int64, n)
	for i := range out {
		out[i] = int64(i + 1)
	}
	return out
}

func TestPages(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		desk  desk
		calls int
	}{
		"by $skip, no count":             {desk{tickets: rows(25)}, 3},
		"full last page, no count":       {desk{tickets: rows(20)}, 3},
		"full last page, count":          {desk{tickets: rows(20), counts: true}, 2},
		"$top capped, count":             {desk{tickets: rows(25), counts: true, most: 7}, 4},
		"links":                          {desk{tickets: rows(25), links: base + "/v1/tickets"}, 3},
		"links, capped, no count":        {desk{tickets: rows(25), links: base + "/v1/tickets", most: 7}, 4},
		"links that name another host":   {desk{tickets: rows(25), links: "https://internal.example:9999/v1/tickets"}, 3},
		"links relative to the resource": {desk{tickets: rows(25), links: "tickets"}, 3},
		"none":                           {desk{}, 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options()
			o.PageSize = 10
			// Every request goes to the configured host; the credentials are checked there.
			c, s := answering(t, o, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Host != "contoso.onalvao.com" || r.URL.Path != "/AlvaoRestApi/v1/tickets" {
					t.Errorf("called %s", r.URL)
				}
				tc.desk.ServeHTTP(w, r)
			})
			got, err := ids(t, c, alvao.Query{Service: "Development"})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(upTo(int64(len(tc.desk.tickets))), append([]int64{}, got...)); diff != "" {
				t.Error(diff)
			}
			if len(s.all()) != tc.calls {
				t.Errorf("%d calls, want %d", len(s.all()), tc.calls)
			}
		})
	}
}

func TestListThatNeverEnds(t *testing.T) {
	t.Parallel()
	o := options()
	o.PageSize = 10
	c, s := answering(t, o, desk{tickets: rows(25), stuck: true}.ServeHTTP)
	_, err := ids(t, c, alvao.Query{})
	wantKind(t, err, fault.Invalid)
	if len(s.all()) != 2 {
		t.Errorf("%d calls", len(s.all()))
	}
}

func TestListStopsWhenToldTo(t *testing.T) {
	t.Parallel()
	o := options()
	o.PageSize = 10
	c, s := answering(t, o, desk{tickets: rows(100)}.ServeHTTP)
	for ticket, err := range c.All(t.Context()) {
		if err != nil || ticket.ID == 12 {
			break
		}
	}
	if got, err := ids(t, c, alvao.Query{Top: 3}); err != nil || len(got) != 3 {
		t.Errorf("got %v, %v", got, err)
	}
	if n := len(s.all()); n != 3 {
		t.Errorf("%d calls, want 2 and 1", n)
	}
	if top := s.all()[2].query.Get("$top"); top != "3" {
		t.Errorf("asked for %s", top)
	}
}

func TestListQuery(t *testing.T) {
	t.Parallel()
	c, s := answering(t, options(), desk{}.ServeHTTP)
	if _, err := ids(t, c, alvao.Query{Service: "O'Neil & Sons + 100%", Statuses: []string{"To Do", "It's done"}, ActiveSince: clock().Add(time.Millisecond)}); err != nil {
		t.Fatal(err)
	}
	r := s.all()[0]
	want := "serviceName eq 'O''Neil & Sons + 100%' and (stateName eq 'To Do' or stateName eq 'It''s done') and lastActivityDate ge 2026-03-04T05:06:07Z"
	if got := r.query.Get("$filter"); got != want {
		t.Errorf("filter %s", got)
	}
	if strings.Contains(r.raw, "+") || r.query.Get("$orderby") != "id" || r.query.Get("$top") != "200" || r.query.Get("$count") != "true" {
		t.Errorf("query %s", r.raw)
	}
}

// TestLongQuery: IIS answers a query of more than 2,048 bytes as if there were no list.
func TestLongQuery(t *testing.T) {
	t.Parallel()
	statuses := []string{"New"}
	for range 40 {
		statuses = append(statuses, "Schválení nasazení žluťoučkého koně")
	}
	c, s := answering(t, options(), desk{tickets: []string{rows(1)[0], `{"id":2,"stateName":"Closed"}`}}.ServeHTTP)
	got, err := ids(t, c, alvao.Query{Service: "Development", Statuses: statuses})
	if err != nil || len(got) != 1 || len(s.all()[0].raw) > 2048 {
		t.Errorf("got %v, %v with a query of %d bytes", got, err, len(s.all()[0].raw))
	}
}

// TestListChecksTheServer: what the server lets through although it was asked not to.
func TestListChecksTheServer(t *testing.T) {
	t.Parallel()
	c, _ := answering(t, options(), desk{tickets: []string{
		`{"id":1,"serviceName":"development","stateName":"new"}`, `{"id":2,"serviceName":"Other","stateName":"New"}`,
		`{"id":3,"serviceName":"Development","stateName":"Closed"}`, `{"id":4,"stateName":"New"}`, `{"name":"no id"}`, `null`,
	}}.ServeHTTP)
	got, err := ids(t, c, alvao.Query{Service: "Development", Statuses: []string{"New"}})
	if diff := cmp.Diff([]int64{1, 4}, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

// TestActiveSinceDegrades: alvao.md §2.1 asks for a way for every tenant.
func TestActiveSinceDegrades(t *testing.T) {
	t.Parallel()
	since := clock()
	active := func(id int, at time.Time) string {
		return fmt.Sprintf(`{"id":%d,"serviceName":"Development","lastActivityDate":%q}`, id, at.Format(time.RFC3339))
	}
	sorted := []string{active(1, since.Add(time.Hour)), active(2, since), active(3, since.Add(-time.Second)), active(4, since.Add(time.Hour))}
	untold := append(rows(2), active(3, since.Add(-time.Hour)))
	by := func(parts ...string) func(string, string) bool {
		return func(filter, order string) bool {
			for _, p := range parts {
				if strings.Contains(filter, p) || strings.Contains(order, p) {
					return true
				}
			}
			return false
		}
	}
	tests := map[string]struct {
		desk  desk
		want  []int64
		first int
		then  int
	}{
		"filter":          {desk{tickets: sorted}, []int64{1, 2, 4}, 1, 1},
		"sorted, cut off": {desk{tickets: sorted, refuses: by("lastActivityDate ge")}, []int64{1, 2}, 2, 1},
		"open tickets":    {desk{tickets: untold, refuses: by("lastActivityDate")}, []int64{1, 2}, 3, 1},
		"all tickets":     {desk{tickets: untold, refuses: by("lastActivityDate", "closedDate")}, []int64{1, 2}, 4, 1},
		"by age":          {desk{tickets: untold, refuses: func(_, order string) bool { return order != "createdDate desc" }}, []int64{1, 2}, 5, 1},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := answering(t, options(), tc.desk.ServeHTTP)
			for _, calls := range []int{tc.first, tc.then} {
				before := len(s.all())
				var got []int64
				for ticket, err := range c.ActiveSince(t.Context(), since) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, ticket.ID)
				}
				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Error(diff)
				}
				if n := len(s.all()) - before; n != calls {
					t.Errorf("%d calls, want %d: what the tenant takes is remembered", n, calls)
				}
			}
		})
	}
}

func TestAllDegrades(t *testing.T) {
	t.Parallel()
	c, s := answering(t, options(), desk{tickets: rows(3), refuses: func(_, order string) bool { return order != "createdDate desc" }}.ServeHTTP)
	for _, calls := range []int{2, 3} {
		if got, err := ids(t, c, alvao.Query{Service: "Development"}); err != nil || len(got) != 3 || len(s.all()) != calls {
			t.Errorf("got %v, %v after %d calls", got, err, len(s.all()))
		}
	}
}

// TestOddRefusals: what a tenant refused once is tried again after a while, and what it
// never took is not remembered at all.
func TestOddRefusals(t *testing.T) {
	t.Parallel()
	now := clock()
	o := options()
	o.Now = func() time.Time { return now }
	odd := map[string]bool{}
	c, s := answering(t, o, func(w http.ResponseWriter, r *http.Request) {
		filter, order := r.URL.Query().Get("$filter"), r.URL.Query().Get("$orderby")
		if odd["all"] || odd["active"] && strings.Contains(filter, "lastActivityDate") || odd["id"] && order == "id" {
			answerJSON(w, http.StatusBadRequest, `{}`)
			return
		}
		desk{tickets: rows(1)}.ServeHTTP(w, r)
	})
	look := func(name string, since time.Time, calls int, works bool) {
		t.Helper()
		before := len(s.all())
		_, err := ids(t, c, alvao.Query{Service: "Development", ActiveSince: since})
		if n := len(s.all()) - before; n != calls || works != (err == nil) {
			t.Errorf("%s: %d calls, want %d; %v", name, n, calls, err)
		}
	}
	look("at first", now, 1, true)
	odd["all"] = true
	look("nothing is taken", now, 5, false)
	odd["all"] = false
	look("and then all is", now, 1, true)
	odd["active"] = true
	look("one way is refused", now, 2, true)
	odd["active"] = false
	look("the next one is known", now, 1, true)
	if order := s.all()[len(s.all())-1].query.Get("$orderby"); order != "lastActivityDate desc" {
		t.Errorf("by %s", order)
	}
	now = now.Add(time.Hour)
	look("after a while", now, 1, true)
	if filter := s.all()[len(s.all())-1].query.Get("$filter"); !strings.Contains(filter, "lastActivityDate ge") {
		t.Errorf("filtered by %s: one odd refusal makes polls expensive for good", filter)
	}
	odd["id"] = true
	look("all of them", time.Time{}, 2, true)
	odd["id"] = false
	now = now.Add(time.Hour)
	look("all of them later", time.Time{}, 1, true)
	if order := s.all()[len(s.all())-1].query.Get("$orderby"); order != "id" {
		t.Errorf("by %s", order)
	}
}

func TestListTroubleIsTold(t *testing.T) {
	t.Parallel()
	refusal := func(status int) *alvao.Client {
		c, _ := answering(t, options(), func(w http.ResponseWriter, _ *http.Request) {
			if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
				w.Header().Set("Retry-After", "60")
			}
			w.WriteHeader(status)
		})
		return c
	}
	for status, want := range map[int]fault.Kind{401: fault.BadToken, 403: fault.Denied, 429: fault.Throttled, 503: fault.Unavailable, 400: fault.Invalid} {
		var last error
		count := 0
		for _, err := range refusal(status).ActiveSince(t.Context(), clock()) {
			last, count = err, count+1
		}
		wantKind(t, last, want)
		if count != 1 {
			t.Errorf("%d: told %d times", status, count)
		}
	}
	o := options()
	o.PageSize = 2
	page := 0
	c, _ := answering(t, o, func(w http.ResponseWriter, r *http.Request) {
		if page++; page == 2 {
			answerJSON(w, http.StatusBadRequest, `{}`)
			return
		}
		desk{tickets: rows(9)}.ServeHTTP(w, r)
	})
	var got []item.Ticket
	var last error
	for ticket, err := range c.ActiveSince(t.Context(), clock()) {
		if last = err; err == nil {
			got = append(got, ticket)
		}
	}
	// A refusal in the middle says nothing about the way of listing.
	wantKind(t, last, fault.Invalid)
	if len(got) != 2 || page != 2 {
		t.Errorf("%d tickets in %d calls", len(got), page)
	}
}
