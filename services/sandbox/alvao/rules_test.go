package alvao_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/sandbox/alvao"
)

// message reads the text of an error in whichever of the three bodies it comes.
func message(t *testing.T, raw string) string {
	t.Helper()
	body := decode[struct {
		Message string
		Error   struct{ Code, Message string }
		Title   string
		Errors  map[string][]string
	}](t, raw)
	for _, list := range body.Errors {
		return list[0]
	}
	return body.Message + body.Error.Message
}

func TestStatusRules(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		ticket alvao.NewTicket
		before func(t *testing.T, d *desk, id int)
		body   string
		status int
		text   string
		after  string
	}{
		{name: "by name, whatever its case", body: `{"stateName":" DEVELOPMENT "}`, status: 204, after: "Development"},
		{name: "by id", body: `{"stateId":43}`, status: 204, after: "Development"},
		{name: "with a comment", body: `{"stateId":43,"commentForRequesters":"Soon"}`, status: 201, after: "Development"},
		{name: "already there", body: `{"stateName":"New"}`, status: 400, text: "already is in the status", after: "New"},
		{name: "unknown", body: `{"stateName":"Doing"}`, status: 400, text: "does not exist", after: "New"},
		{name: "of another process", body: `{"stateId":62}`, status: 400, text: "does not exist", after: "New"},
		{name: "none", body: `{}`, status: 400, text: "required", after: "New"},
		{name: "deleted is no status to choose", body: `{"stateName":"Deleted"}`, status: 400, text: "not permitted", after: "New"},
		{
			name: "approval running", body: `{"stateId":43}`, status: 400, text: "approval", after: "New",
			before: func(t *testing.T, d *desk, id int) {
				t.Helper()
				must(t, d.StartApproval(t.Context(), alvao.ServiceManager, id))
			},
		},
		{
			name: "not among the permitted", ticket: alvao.NewTicket{Service: "IT support"}, body: `{"stateName":"Closed"}`, status: 400,
			text: "not permitted", after: "New",
		},
		{
			name: "a required field is empty", ticket: alvao.NewTicket{Service: "IT support"}, body: `{"stateName":"In progress"}`,
			status: 400, text: "required fields: solverId", after: "New",
		},
		{
			name: "a required field is filled", ticket: alvao.NewTicket{Service: "IT support", Solver: alvao.Solver},
			body: `{"stateName":"In progress"}`, status: 204, after: "In progress",
		},
		{
			name: "resolved passes on to closed", ticket: alvao.NewTicket{Service: "IT support"}, body: `{"stateName":"Resolved"}`,
			status: 204, after: "Closed",
		},
		{
			name: "open child tickets", body: `{"stateName":"Closed"}`, status: 400, text: "open child tickets", after: "New",
			before: func(t *testing.T, d *desk, id int) { t.Helper(); d.ticket(alvao.NewTicket{Parent: id}) },
		},
		{
			name: "closed child tickets", body: `{"stateName":"Closed"}`, status: 204, after: "Closed",
			before: func(t *testing.T, d *desk, id int) {
				t.Helper()
				d.ticket(alvao.NewTicket{Parent: id, Status: "Closed"})
			},
		},
		{
			name: "deleted", body: `{"stateName":"Development"}`, status: 400, text: "deleted", after: "Deleted",
			before: func(t *testing.T, d *desk, id int) {
				t.Helper()
				must(t, d.DeleteTicket(t.Context(), alvao.Solver, id))
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, nil)
			ticket := d.ticket(tt.ticket)
			if tt.before != nil {
				tt.before(t, d, ticket.ID)
			}
			raw := d.want(tt.status, "PUT", "/v1/tickets/"+idOf(ticket)+"/state", tt.body)
			if tt.text != "" && !strings.Contains(message(t, raw), tt.text) {
				t.Errorf("got %s, want it to say %q", raw, tt.text)
			}
			if got, _ := d.Ticket(ticket.ID); got.Status != tt.after {
				t.Errorf("the ticket is in %s, want %s", got.Status, tt.after)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestResolvingMakesTheManagerSolver(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(o *alvao.Options) {
		o.Accounts = append(alvao.DefaultAccounts(), alvao.Account{Login: "solver-app", Password: "x", Role: alvao.RoleSolver})
		o.Directory = alvao.DefaultDirectory()
		o.Directory.Persons = append(o.Directory.Persons, alvao.Person{ID: 90, Login: "solver-app", IsApp: true})
	})
	ticket := d.ticket(alvao.NewTicket{})
	path := "/v1/tickets/" + idOf(ticket) + "/state"
	d.login, d.pass = "solver-app", "x"
	if got := message(t, d.want(400, "PUT", path, `{"stateName":"Resolved"}`)); !strings.Contains(got, "rights") {
		t.Errorf("got %q", got)
	}
	d.login, d.pass = "tandem", "tandem"
	d.want(204, "PUT", path, `{"stateName":"Resolved"}`)
	if got, _ := d.Ticket(ticket.ID); got.SolverLogin != "tandem" || got.ResolvedDate.IsZero() {
		t.Errorf("got %+v", got)
	}
}

func TestApprovalOutcomeMovesTheTicket(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	ticket := d.ticket(alvao.NewTicket{Status: "Deployment approval"})
	if err := d.SetStatus(t.Context(), alvao.Solver, ticket.ID, "Testing"); alvao.RuleOf(err) != alvao.RuleApproval {
		t.Errorf("got %v, want a refusal", err)
	}
	if raw := d.want(200, "GET", "/v1/tickets/"+idOf(ticket)+"/nextStates", ""); len(decode[struct{ Value []any }](t, raw).Value) != 0 {
		t.Errorf("statuses are offered during approval: %s", raw)
	}
	must(t, d.FinishApproval(t.Context(), alvao.ServiceManager, ticket.ID, false))
	if got, _ := d.Ticket(ticket.ID); got.Status != "Development" || got.InApproval {
		t.Errorf("got %+v", got)
	}
}

func TestNextStates(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	ticket := d.ticket(alvao.NewTicket{Service: "IT support"})
	raw := d.want(200, "GET", "/v1/tickets/"+idOf(ticket)+"/nextStates", "")
	want := `{"value":[{"id":62,"name":"In progress","requiredFields":["solverId"]},{"id":63,"name":"Resolved","requiredFields":[]}]}`
	if diff := cmp.Diff(want, raw); diff != "" {
		t.Error(diff)
	}
}

func TestRights(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(o *alvao.Options) {
		o.Directory = alvao.DefaultDirectory()
		o.Directory.Persons = append(o.Directory.Persons, alvao.Person{ID: 90, Login: "reader", IsApp: true})
		o.Accounts = append(alvao.DefaultAccounts(), alvao.Account{
			Login: "reader", Password: "x", Services: map[string]alvao.Role{"Development": alvao.RoleReader},
		})
		o.Bearer = func(token string) (string, bool) { return "tandem", token == "good" }
	})
	mine, other := d.ticket(alvao.NewTicket{}), d.ticket(alvao.NewTicket{Service: "IT support"})
	d.login, d.pass = "reader", "x"
	d.want(200, "GET", "/v1/tickets/"+idOf(mine), "")
	d.want(403, "GET", "/v1/tickets/"+idOf(other), "")
	if diff := cmp.Diff([]int{mine.ID}, d.list("$orderby=id")); diff != "" {
		t.Error(diff)
	}
	d.want(201, "POST", "/v1/tickets/"+idOf(mine)+"/log", `{"subject":"x","kind":"Note"}`)
	d.want(403, "PUT", "/v1/tickets/"+idOf(mine)+"/state", `{"stateId":43}`)
	d.want(403, "PATCH", "/v1/tickets/"+idOf(mine), `{"name":"x"}`)
	d.want(403, "GET", "/v1/users", "")
	d.want(403, "POST", "/v1/tickets", `{"name":"x","serviceId":110}`)
	for _, c := range [][2]string{{"reader", "y"}, {"nobody", "x"}, {alvao.Requester, ""}, {"", ""}} {
		d.login, d.pass = c[0], c[1]
		if _, h, _ := d.do("GET", "/v1/tickets", ""); h.Get("WWW-Authenticate") == "" {
			t.Errorf("%v was let in", c)
		}
		d.want(401, "GET", "/v1/tickets", "")
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	for body, want := range map[string]struct {
		status int
		text   string
	}{
		`{"name":"x"}`:               {400, "serviceId field is required"},
		`{"serviceId":109}`:          {400, "name field is required"},
		`{"name":"x","serviceId":1}`: {400, "does not exist"},
		`{"name":"x","serviceId":109,"priority":"Urgent"}`: {400, "The value Urgent is invalid."},
		`{"name":"x","serviceId":109,"requester":{"id":29}}`: {
			400, "The requester Sean O'Neil has no SLA for the service Development.",
		},
		`{"name":"x","serviceId":109,"requester":{"id":4711}}`:                             {400, "no user with the ID 4711"},
		`{"name":"x","serviceId":"abc"}`:                                                   {400, "could not be converted"},
		`{"name":"x","serviceId":109,"surprise":1}`:                                        {400, "surprise"},
		`{"name":"x","serviceId":109}{}`:                                                   {400, "more than one"},
		`{"name":"x","serviceId":109,"attachments":[{"name":"a.EXE","contentBytes":""}]}`:  {400, ".exe"},
		`{"name":"x","serviceId":109,"attachments":[{"name":"a.png","contentBytes":"#"}]}`: {400, "Base64"},
		`{"name":"x","serviceId":109,"customItems":{"NoSuch":{}}}`:                         {400, "does not exist"},
		`{"name":"x","serviceId":109,"customItems":{"TicketCategory":"plain"}}`:            {400, "@odata.type"},
	} {
		if raw := d.want(want.status, "POST", "/v1/tickets", body); !strings.Contains(message(t, raw), want.text) {
			t.Errorf("%s: got %s, want it to say %q", body, raw, want.text)
		}
	}
	if all, _ := d.WriteCounts(); all != 0 {
		t.Errorf("a refused create left %d writes: %+v", all, d.Writes())
	}
	if _, h, raw := d.do("POST", "/v1/tickets", `{"name":"x","serviceId":109}`); !strings.HasSuffix(h.Get("Location"), "/AlvaoRestApi/v1/tickets/"+decode[struct{ ID json.Number }](t, raw).ID.String()) {
		t.Errorf("Location is %q", h.Get("Location"))
	}
}

func TestCustomItems(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	ticket := d.ticket(alvao.NewTicket{Custom: map[string]any{"TicketCategory": "a"}})
	item := func(name, value string) string {
		return `{"customItems":{"` + name + `":{"@odata.type":"#Alvao.Rest.Api.Models.SD.CustomItem","name":"` + name + `","value":` + value + `}}}`
	}
	path := "/v1/tickets/" + idOf(ticket)
	d.want(204, "PATCH", path, item("ExternalTicketId", `"18"`))
	d.want(400, "PATCH", path, item("ExternalTicketId", `18`))
	d.want(400, "PATCH", path, item("ExternalTicketId", `"`+strings.Repeat("9", 51)+`"`))
	d.want(204, "PATCH", path, item("EstimatedHours", `1.5`))
	d.want(400, "PATCH", path, item("EstimatedHours", `"soon"`))
	d.want(204, "PATCH", path, item("TicketCategory", `null`))
	type custom struct {
		CustomItems map[string]struct{ Value any }
	}
	got := decode[custom](t, d.want(200, "GET", path, "")).CustomItems
	if got["ExternalTicketId"].Value != "18" || got["EstimatedHours"].Value != 1.5 || got["TicketCategory"].Value != nil || len(got) != 4 {
		t.Errorf("got %v", got)
	}
	if raw := d.want(200, "GET", "/v1/tickets?$filter=id eq "+idOf(ticket), ""); strings.Contains(raw, "customItems") {
		t.Errorf("a list shows custom items: %s", raw)
	}
}

func TestLedgerAndWatchers(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	seen := make(chan alvao.Write, 100)
	stop := d.OnWrite(func(w alvao.Write) { seen <- w })
	ticket := d.ticket(alvao.NewTicket{})
	must(t, d.SetStatus(t.Context(), alvao.Solver, ticket.ID, "Development"))
	d.want(204, "PUT", "/v1/tickets/"+idOf(ticket)+"/state", `{"stateName":"Testing"}`)
	d.want(400, "PUT", "/v1/tickets/"+idOf(ticket)+"/state", `{"stateName":"Testing"}`)
	d.want(204, "PATCH", "/v1/tickets/"+idOf(ticket), `{"name":"A ticket"}`)
	var got []string
	for range 4 {
		w := <-seen
		got = append(got, string(w.Op)+" "+w.Login+" "+w.Account+" "+w.From+">"+w.To)
	}
	want := []string{
		"ticket.create jana.dvorakova@contoso.com  >New", "record.create jana.dvorakova@contoso.com  >",
		"ticket.status petr.svoboda@contoso.com  New>Development", "ticket.status tandem tandem Development>Testing",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if all, app := d.WriteCounts(); all != 4 || app != 1 {
		t.Errorf("counted %d writes, %d by applications", all, app)
	}
	if n := len(d.WritesAfter(2)); n != 2 {
		t.Errorf("got %d writes after the second", n)
	}
	if n := d.Calls()["PUT /v1/tickets/{id}/state 400"]; n != 1 {
		t.Errorf("calls are %v", d.Calls())
	}
	stop()
	d.ticket(alvao.NewTicket{})
	if len(seen) != 0 {
		t.Error("a stopped watcher was called")
	}
}

func TestGoneAndBack(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	ticket := d.ticket(alvao.NewTicket{Status: "Development"})
	path := "/v1/tickets/" + idOf(ticket)
	must(t, d.DeleteTicket(t.Context(), alvao.Solver, ticket.ID))
	if raw := d.want(200, "GET", path, ""); !strings.Contains(raw, `"removedDate"`) || !strings.Contains(raw, `"stateName":"Deleted"`) {
		t.Errorf("got %s", raw)
	}
	must(t, d.RestoreTicket(t.Context(), alvao.Solver, ticket.ID))
	if raw := d.want(200, "GET", path, ""); strings.Contains(raw, `"removedDate"`) || !strings.Contains(raw, `"stateName":"New"`) {
		t.Errorf("got %s", raw)
	}
	must(t, d.DestroyTicket(t.Context(), alvao.Solver, ticket.ID))
	if raw := d.want(404, "GET", path, ""); raw != "" {
		t.Errorf("404 has the body %q", raw)
	}
	if err := d.SetStatus(t.Context(), alvao.Solver, ticket.ID, "Testing"); !errors.Is(err, alvao.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if got := d.list("$orderby=lastActivityDate"); len(got) != 0 {
		t.Errorf("a destroyed ticket is listed: %v", got)
	}
}

// TestConcurrentWriters holds that of many writers of one status exactly one is taken each time, and that nothing of a
// ticket's log is lost.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	ticket := d.ticket(alvao.NewTicket{})
	before := len(d.Records(ticket.ID))
	const writers, notes = 8, 20
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range notes {
				_, err := d.AddMessage(t.Context(), alvao.Solver, ticket.ID, alvao.Message{Kind: alvao.KindNote, Plain: "x"})
				if err != nil {
					t.Error(err)
				}
				_ = d.SetStatus(t.Context(), alvao.Solver, ticket.ID, "Development")
				_ = d.Tickets()
			}
		})
	}
	wg.Wait()
	records := d.Records(ticket.ID)
	if len(records)-before != writers*notes+1 {
		t.Errorf("got %d records, want %d", len(records)-before, writers*notes+1)
	}
	for i := 1; i < len(records); i++ {
		if records[i].ID == records[i-1].ID {
			t.Errorf("record %d stands twice", records[i].ID)
		}
	}
}

func TestClockIsInjected(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 10, 0, 0, 123456789, time.FixedZone("", 3600))
	d := newDesk(t, func(o *alvao.Options) { o.Now = func() time.Time { return at } })
	ticket := d.ticket(alvao.NewTicket{})
	if raw := d.want(200, "GET", "/v1/tickets/"+idOf(ticket), ""); !strings.Contains(raw, `"createdDate":"2026-11-21T09:00:00.123Z"`) {
		t.Errorf("got %s", raw)
	}
}
