package alvao_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/sandbox/alvao"
)

// ticking is a clock that moves a second each time it is read.
func ticking() func() time.Time {
	var n atomic.Int64
	start := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	return func() time.Time { return start.Add(time.Duration(n.Add(1)) * time.Second) }
}

func TestListTickets(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(o *alvao.Options) { o.Now = ticking() })
	var all []alvao.Ticket
	for i := range 6 {
		service := "Development"
		if i%3 == 2 {
			service = "IT support"
		}
		all = append(all, d.ticket(alvao.NewTicket{Name: fmt.Sprintf("Ticket %d", i), Service: service}))
	}
	must(t, d.SetStatus(t.Context(), alvao.Solver, all[0].ID, "Development"))
	must(t, d.SetSolver(t.Context(), alvao.Solver, all[1].ID, alvao.Solver))
	for i := range all {
		all[i], _ = d.Ticket(all[i].ID)
	}
	pick := func(n ...int) []int {
		var out []int
		for _, i := range n {
			out = append(out, all[i].ID)
		}
		return out
	}
	stamp := func(i int) string { return all[i].LastActivity.Format(time.RFC3339Nano) }
	for query, want := range map[string][]int{
		"":                                     pick(0, 1, 2, 3, 4, 5),
		"$orderby=id desc":                     pick(5, 4, 3, 2, 1, 0),
		"$filter=serviceName eq 'Development'": pick(0, 1, 3, 4),
		"$filter=serviceName eq 'Development' and stateName ne 'New'":                                   pick(0),
		"$filter=solverId eq null and startswith(serviceName,'it')":                                     pick(2, 5),
		"$filter=solverId eq '26'":                                                                      pick(1),
		"$filter=id in ('" + idOf(all[1]) + "'," + idOf(all[4]) + ")":                                   pick(1, 4),
		"$filter=id gt " + idOf(all[2]) + "&$top=2":                                                     pick(3, 4),
		"$filter=lastActivityDate ge " + stamp(5):                                                       pick(0, 1, 5),
		"$filter=lastActivityDate ge " + stamp(5) + "&$orderby=lastActivityDate":                        pick(5, 0, 1),
		"$filter=lastActivityDate gt " + stamp(5) + "&$orderby=lastActivityDate desc,id desc":           pick(1, 0),
		"$filter=lastActivityDate ge " + stamp(5) + "&$orderby=lastActivityDate,id&$skip=1&$top=1":      pick(0),
		"$filter=lastActivityDate le " + stamp(3) + "&$orderby=lastActivityDate desc":                   pick(3, 2),
		"$filter=lastActivityDate le " + stamp(3) + " or id eq " + idOf(all[0]):                         pick(0, 2, 3),
		"$filter=not (lastActivityDate le " + stamp(3) + ")&$orderby=id":                                pick(0, 1, 4, 5),
		"$orderby=serviceName desc,name desc&$top=3":                                                    pick(5, 2, 4),
		"$orderby=lastActivityDate desc,id&$top=2":                                                      pick(1, 0),
		"$filter=removedDate eq null and resolvedDate eq null and inApproval eq false&$skip=4":          pick(4, 5),
		"$filter=contains(name,'ticket 3')":                                                             pick(3),
		"$filter=createdDate lt " + url.QueryEscape(all[1].Created.Format("2006-01-02T15:04:05+00:00")): pick(0),
		"$top=0": nil,
	} {
		if diff := cmp.Diff(want, d.list(query)); diff != "" {
			t.Errorf("%s:\n%s", query, diff)
		}
	}
	got := decode[struct {
		Count int `json:"@odata.count"`
		Value []map[string]any
	}](t, d.want(200, "GET", "/v1/tickets?$count=true&$top=2&$select=id,stateName,customItems&$orderby=lastActivityDate desc", ""))
	if got.Count != 6 || len(got.Value) != 2 || len(got.Value[0]) != 3 || got.Value[0]["customItems"] == nil {
		t.Errorf("got %+v", got)
	}
	for query, text := range map[string]string{
		"$filter=nosuch eq 1":           "nosuch",
		"$filter=customItems/X eq 'y'":  "customItems/X",
		"$filter=id":                    "boolean",
		"$filter=id eq":                 "$filter",
		"$orderby=nosuch":               "nosuch",
		"$top=-1":                       "$top",
		"$expand=log":                   "log",
		"$select=nosuch":                "nosuch",
		"$skiptoken=1":                  "skiptoken",
		"$filter=stateName eq 4":        "incompatible",
		"$filter=createdDate gt 'soon'": "incompatible",
	} {
		if got := message(t, d.want(400, "GET", "/v1/tickets?"+query, "")); !strings.Contains(got, text) {
			t.Errorf("%s: got %q, want it to say %q", query, got, text)
		}
	}
	d.want(404, "GET", "/v1/tickets?$filter=id in ("+strings.Repeat("1,", 1500)+"1)", "")
}

func TestPages(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(o *alvao.Options) { o.PageSize = 4 })
	for range 10 {
		d.ticket(alvao.NewTicket{})
	}
	type page struct {
		Next  string `json:"@odata.nextLink"`
		Value []struct{ ID int }
	}
	var seen []int
	path := "/v1/tickets?$filter=serviceName eq 'Development'&$orderby=id"
	for pages := 0; path != ""; pages++ {
		if pages > 3 {
			t.Fatal("the pages do not end")
		}
		p := decode[page](t, d.want(200, "GET", path, ""))
		for _, v := range p.Value {
			seen = append(seen, v.ID)
		}
		path = strings.TrimPrefix(p.Next, d.url)
	}
	if len(seen) != 10 || !slices.IsSorted(seen) {
		t.Errorf("got %v", seen)
	}
	// With $top there is no further page: what is cut is cut silently.
	if p := decode[page](t, d.want(200, "GET", "/v1/tickets?$top=5", "")); p.Next != "" || len(p.Value) != 5 {
		t.Errorf("got %+v", p)
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	png := []byte("\x89PNG\r\n\x1a\n not really")
	ticket := d.ticket(alvao.NewTicket{Description: "<p>It &lt;broke&gt;</p>"})
	path := "/v1/tickets/" + idOf(ticket) + "/log"
	type record struct {
		ID                                       int
		Kind, Subject, ContentHTML, ContentPlain string
		From, EmailFrom                          string
		FromPersonID                             int
		Attachments                              []struct {
			ID         int
			Name, Link string
		}
	}
	first := decode[record](t, d.want(201, "POST", path, `{"subject":"A picture","kind":"Note","contentPlain":"a < b\nc","fromPersonId":25,
		"attachments":[{"name":"ř.png","contentType":"image/png","contentBytes":"`+base64.StdEncoding.EncodeToString(png)+`"}]}`))
	if first.ContentHTML != "a &lt; b<br>c" || first.FromPersonID != 25 || first.From != "Jana Dvořáková" || first.EmailFrom != alvao.Requester {
		t.Errorf("got %+v", first)
	}
	link := first.Attachments[0].Link
	_, header, body := d.do("GET", strings.TrimPrefix(link, d.url), "")
	if body != string(png) || header.Get("Content-Type") != "image/png" || !strings.Contains(header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%s gave %v %q", link, header, body)
	}
	must(t, d.SetStatus(t.Context(), alvao.Solver, ticket.ID, "Development"))
	kinds := func(query string) []string {
		var out []string
		for _, r := range decode[struct{ Value []record }](t, d.want(200, "GET", path+query, "")).Value {
			out = append(out, r.Kind)
		}
		return out
	}
	for query, want := range map[string][]string{
		"": {"Form", "Note", "Process"},
		"?$filter=id gt " + strconv.Itoa(first.ID) + "&$orderby=id":   {"Process"},
		"?$filter=kind ne 'Process'&$orderby=id desc":                 {"Note", "Form"},
		"?$orderby=created desc,id desc&$top=1":                       {"Process"},
		"?$filter=fromPersonId eq 25 and contains(subject,'picture')": {"Note"},
	} {
		if diff := cmp.Diff(want, kinds(query)); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
	gone, err := d.AddPerson(alvao.Person{Login: "gone@contoso.com", IsDisabled: true})
	must(t, err)
	for body, text := range map[string]string{
		`{"subject":"x","kind":"Note","fromPersonId":` + strconv.Itoa(gone.ID) + `}`: "can't create records",
		`{"kind":"Note"}`: "subject",
		`{"subject":"x"}`: "invalid",
		`{"subject":"x","kind":"Note","fromPersonId":29}`:  "can't create records",
		`{"subject":"x","kind":"Note","fromPersonId":28}`:  "can't create records",
		`{"subject":"x","kind":"Note","fromPersonId":999}`: "no user",
		`{"subject":"x","kind":"Note","created":"soon"}`:   "not a date",
	} {
		if got := message(t, d.want(400, "POST", path, body)); !strings.Contains(got, text) {
			t.Errorf("%s: got %q", body, got)
		}
	}
	must(t, d.EditMessage(t.Context(), alvao.Solver, ticket.ID, first.ID, "<b>Changed</b>"))
	if got := d.Records(ticket.ID)[1]; got.HTML != "<b>Changed</b>" || got.Plain != "Changed" || !got.ByApplication {
		t.Errorf("got %+v", got)
	}
	must(t, d.DeleteMessage(t.Context(), alvao.Solver, ticket.ID, first.ID))
	if diff := cmp.Diff([]string{"Form", "Process"}, kinds("")); diff != "" {
		t.Error(diff)
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	logins := func(query string) []string {
		var out []string
		for _, p := range decode[struct{ Value []struct{ Login string } }](t, d.want(200, "GET", "/v1/users?"+query, "")).Value {
			out = append(out, p.Login)
		}
		return out
	}
	for query, want := range map[string][]string{
		"$filter=login eq 'JANA.DVORAKOVA@contoso.com'": {alvao.Requester},
		"$filter=Email eq 'petr.svoboda@contoso.com'":   {alvao.Solver},
		"$filter=id eq 27":                      {alvao.ServiceManager},
		"$filter=id eq '27'":                    {alvao.ServiceManager},
		"$filter=name eq 'Sean O''Neil'":        {"sean.oneil@fabrikam.com"},
		"$search=svoboda":                       {alvao.Solver},
		"search=svoboda&top=1":                  {alvao.Solver},
		"$filter=isApp eq true":                 {alvao.ApplicationAccount},
		"$filter=email eq 'nobody@contoso.com'": nil,
		"$filter=isDisabled eq true or removedDate ne null&$orderBy=login":     {"jan.novotny@contoso.com"},
		"$filter=endswith(login,'@contoso.com')&$orderby=lastName desc&$top=1": {alvao.Solver},
	} {
		if diff := cmp.Diff(want, logins(query)); diff != "" {
			t.Errorf("%s: %s", query, diff)
		}
	}
	p, err := d.AddPerson(alvao.Person{Login: "new@contoso.com", FirstName: "A", LastName: "B"})
	if err != nil || p.ID == 0 || p.Name != "A B" {
		t.Errorf("got %+v, %v", p, err)
	}
	if _, err := d.AddPerson(alvao.Person{Login: "NEW@contoso.com"}); err == nil {
		t.Error("a login was given twice")
	}
}

func TestHTTPManners(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(o *alvao.Options) { o.MaxBody = 1000 })
	ticket := d.ticket(alvao.NewTicket{})
	d.want(200, "GET", "/V1/Tickets/"+idOf(ticket), "")
	d.want(404, "GET", "/v1/tickets/abc", "")
	d.want(404, "GET", "/v1/nothing", "")
	d.want(405, "DELETE", "/v1/tickets/"+idOf(ticket), "")
	d.want(413, "POST", "/v1/tickets", `{"name":"`+strings.Repeat("x", 2000)+`","serviceId":109}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.url+"/v1/tickets", strings.NewReader("name=x"))
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("tandem", "tandem")
	resp, err := d.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("a form was answered %d", resp.StatusCode)
	}
}

func BenchmarkPollOfLargeDesk(b *testing.B) {
	s, err := alvao.New(alvao.Options{Now: ticking()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var last alvao.Ticket
	for range 100_000 {
		if last, err = s.CreateTicket(b.Context(), alvao.Requester, alvao.NewTicket{Name: "x"}); err != nil {
			b.Fatal(err)
		}
	}
	for name, query := range map[string]string{
		"changed": "$filter=" + url.QueryEscape("serviceName eq 'Development' and lastActivityDate ge "+last.LastActivity.Add(-time.Hour).Format(time.RFC3339)) + "&$orderby=lastActivityDate,id&$top=100",
		"page":    "$filter=" + url.QueryEscape("serviceName eq 'Development' and id gt "+strconv.Itoa(last.ID-50_000)) + "&$orderby=id&$top=200",
		"whole":   "$filter=" + url.QueryEscape("stateName eq 'Testing'") + "&$orderby=name&$top=100",
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				req := newRequest(b, "/AlvaoRestApi/v1/tickets?"+query)
				w := &discard{header: http.Header{}}
				s.ServeHTTP(w, req)
				if w.status != 200 {
					b.Fatal(w.status)
				}
			}
		})
	}
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

func newRequest(b *testing.B, target string) *http.Request {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	req.SetBasicAuth("tandem", "tandem")
	return req
}
