package alvao_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	sandbox "github.com/tandem-sync/tandem/services/sandbox/alvao"
	faults "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// tenant is a running stand-in, the faults before it, and our client of it. The
// stand-in is an independent reading of the same papers.
type tenant struct {
	*alvao.Client
	Server *sandbox.Server
	faults *faults.Set
}

func open(t *testing.T, set func(*sandbox.Options), change func(*alvao.Options)) tenant {
	t.Helper()
	var so sandbox.Options
	if set != nil {
		set(&so)
	}
	server, err := sandbox.New(so)
	if err != nil {
		t.Fatal(err)
	}
	planted := faults.NewSet(1)
	listener := httptest.NewServer(planted.Middleware(server))
	transport, err := outbound.Transport("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		listener.Close()
		server.Close()
	})
	o := alvao.Options{
		BaseURL: listener.URL + "/AlvaoRestApi", Service: "Development", Username: "tandem", Base: transport,
		Password: func() (string, error) { return "tandem\n", nil }, PerSecond: 1e6, Burst: 1000, PageSize: 20,
	}
	if change != nil {
		change(&o)
	}
	return tenant{client(t, o), server, planted}
}

func (n tenant) file(t *testing.T, in sandbox.NewTicket) int64 {
	t.Helper()
	ticket, err := n.Server.CreateTicket(t.Context(), sandbox.Requester, in)
	if err != nil {
		t.Fatal(err)
	}
	return int64(ticket.ID)
}

// TestActivityIsToldByItsCost: the way that is left to find what changed says what it lacks.
func TestActivityIsToldByItsCost(t *testing.T) {
	t.Parallel()
	for cost, kind := range map[string]sandbox.Tenant{
		"": {},
		"Every poll reads one more page than it needs.": {NoActivityFilter: true},
		"Every poll reads all open tickets of the service, and what happens to a closed one, that it was closed among it, is seen at the next resync.": {
			NoActivityFilter: true, NoActivityOrder: true,
		},
	} {
		n := open(t, func(o *sandbox.Options) { o.Tenant = kind }, nil)
		for _, one := range n.Capabilities(t.Context()) {
			if one.Name == alvao.CapabilityActivity && one.Cost != cost {
				t.Errorf("%+v: %+v", kind, one)
			}
		}
	}
}

// TestEveryTenant runs one story on each tenant a customer may have.
func TestEveryTenant(t *testing.T) {
	t.Parallel()
	tenants := map[string]sandbox.Tenant{
		"plain": {}, "string ids": {StringIDs: true}, "capital keys": {CapitalKeys: true}, "nulls": {Nulls: true},
		"no offsets": {NoOffsets: true}, "no log": {LogUnreadable: true}, "no filter": {NoActivityFilter: true},
		"no order": {NoActivityFilter: true, NoActivityOrder: true}, "custom items in lists": {ListCustomItems: true},
		"all at once": {
			StringIDs: true, CapitalKeys: true, NoOffsets: true, LogUnreadable: true, NoActivityFilter: true, NoActivityOrder: true,
			NoWebhooks: true, NoNextStates: true, NoServices: true, Errors: sandbox.ErrorsProblem,
		},
	}
	for name, kind := range tenants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := open(t, func(o *sandbox.Options) { o.Tenant = kind }, nil)
			n.story(t, kind)
		})
	}
}

func (n tenant) story(t *testing.T, kind sandbox.Tenant) {
	t.Helper()
	id := n.file(t, sandbox.NewTicket{
		Name: "Monitor flickers & O'Neil", Description: "<p>It <b>flickers</b></p>", Solver: sandbox.Solver, Status: "Development",
		Attachments: []sandbox.NewAttachment{{Name: "a.txt", Content: []byte("x")}},
	})
	ticket, err := n.Ticket(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if ticket.Status != "Development" || ticket.StatusID != 43 || ticket.Process != "Development process" || ticket.Service != "Development" ||
		ticket.Title != "Monitor flickers & O'Neil" || ticket.RequesterID != 25 || ticket.SolverID != 26 || ticket.ExternalID != "" || ticket.Removed || ticket.InApproval {
		t.Errorf("got %+v", ticket)
	}
	if at, ok := n.TicketOfURL(ticket.URL); !ok || at != id {
		t.Errorf("%s is not its own page", ticket.URL)
	}
	if age := time.Since(ticket.Created); age < -time.Minute || age > time.Minute {
		t.Errorf("created %s ago", age)
	}

	if _, err := n.SetExternalID(t.Context(), ticket, "973"); err != nil {
		t.Fatal(err)
	}
	moved, err := n.SetStatus(t.Context(), ticket, "development PENDING")
	if err != nil || moved.Status != "Development pending" || moved.ExternalID != "973" {
		t.Errorf("moved %+v, %v", moved, err)
	}
	stored, ok := n.Server.Ticket(int(id))
	if !ok || stored.Status != "Development pending" || stored.Custom["ExternalTicketId"] != "973" {
		t.Errorf("the desk shows %+v", stored)
	}

	person, err := n.Person(t.Context(), ticket.RequesterID)
	if err != nil || person.Login != sandbox.Requester || person.ManagerID != 27 || person.AccountName != `CONTOSO\jdvorakova` {
		t.Errorf("requester %+v, %v", person, err)
	}
	if person, err = n.FindPerson(t.Context(), strings.ToUpper(sandbox.Solver)); err != nil || person.ID != 26 {
		t.Errorf("solver %+v, %v", person, err)
	}
	_, err = n.FindPerson(t.Context(), "jan.novotny@contoso.com") // disabled
	wantKind(t, err, fault.NotFound)
	_, err = n.FindPerson(t.Context(), "o'nobody")
	wantKind(t, err, fault.NotFound)

	records, err := n.Records(t.Context(), id, ticket.InitialRecordID-1)
	if kind.LogUnreadable {
		wantKind(t, err, fault.NotFound)
	} else if err != nil || len(records) == 0 || records[0].ID != ticket.InitialRecordID || !strings.Contains(records[0].HTML, "<b>flickers</b>") ||
		len(records[0].Attachments) != 1 || records[0].Attachments[0].Name != "a.txt" {
		t.Errorf("records %+v, %v", records, err)
	}
	n.lists(t, id)
	n.checks(t, kind)
}

// lists compares what listing gives with what the desk holds, over several pages.
func (n tenant) lists(t *testing.T, id int64) {
	t.Helper()
	want := []int64{id}
	for i := range 45 {
		want = append(want, n.file(t, sandbox.NewTicket{Name: "n" + strconv.Itoa(i), Created: time.Now().Add(-time.Hour)}))
	}
	n.file(t, sandbox.NewTicket{Name: "elsewhere", Service: "IT support"})
	var got []int64
	for ticket, err := range n.All(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, ticket.ID)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if err := n.Server.SetStatus(t.Context(), sandbox.Solver, int(want[7]), "Testing"); err != nil {
		t.Fatal(err)
	}
	found := map[int64]bool{}
	for ticket, err := range n.ActiveSince(t.Context(), time.Now().Add(-time.Minute)) {
		if err != nil {
			t.Fatal(err)
		}
		found[ticket.ID] = true
	}
	if !found[id] || !found[want[7]] {
		t.Errorf("what was active is not listed: %v", found)
	}
	found = map[int64]bool{}
	for ticket, err := range n.ActiveSince(t.Context(), time.Now().Add(time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		found[ticket.ID] = true
	}
	if len(found) != 0 {
		t.Errorf("nothing was active in the future, yet %d tickets are listed", len(found))
	}
}

func severities(found []item.Finding) map[string]item.Severity {
	out := make(map[string]item.Severity, len(found))
	for _, f := range found {
		out[f.Check] = f.Severity
	}
	return out
}

func (n tenant) checks(t *testing.T, kind sandbox.Tenant) {
	t.Helper()
	want := map[string]item.Severity{
		"alvao.account": item.OK, "alvao.clock": item.OK, "alvao.service": item.OK, "alvao.activity-filter": item.OK,
		"alvao.external-id": item.OK, "alvao.log": item.OK, "alvao.people": item.OK,
	}
	if kind.LogUnreadable {
		want["alvao.log"] = item.Warning
	}
	if kind.NoActivityFilter {
		want["alvao.activity-filter"] = item.Warning
	}
	found := n.Check(t.Context())
	if diff := cmp.Diff(want, severities(found)); diff != "" {
		t.Errorf("%s\n%+v", diff, found)
	}
	for _, f := range found {
		sentence(t, f.Detail)
		if (f.Remedy == "") != (f.Severity == item.OK) {
			t.Errorf("%s: remedy %q for %s", f.Check, f.Remedy, f.Severity)
		}
	}
}

// TestCzechTenant: names are in the tenant's default language (alvao.md §2.3).
func TestCzechTenant(t *testing.T) {
	t.Parallel()
	n := open(t, func(o *sandbox.Options) { o.Tenant.Language = "cs" }, nil)
	id := n.file(t, sandbox.NewTicket{Name: "Žluťoučký kůň", Status: "Development"})
	ticket, err := n.Ticket(t.Context(), id)
	if err != nil || ticket.Status != "Vývoj" || !strings.HasSuffix(ticket.Process, " vývoje") {
		t.Fatalf("got %+v, %v", ticket, err)
	}
	for _, status := range []string{"Testování", "Vývoj", "testování"} {
		if ticket, err = n.SetStatus(t.Context(), ticket, status); err != nil || !strings.EqualFold(ticket.Status, status) {
			t.Errorf("%s: %+v, %v", status, ticket, err)
		}
	}
	count := 0
	for _, err := range n.Tickets(t.Context(), alvao.Query{Service: "Development", Statuses: []string{"Testování", "Schválení nasazení"}}) {
		if err != nil {
			t.Fatal(err)
		}
		count++
	}
	if count != 1 {
		t.Errorf("%d tickets are listed", count)
	}
}

func TestRefusedMoves(t *testing.T) {
	t.Parallel()
	n := open(t, nil, func(o *alvao.Options) { o.Service = "IT support" })
	id := n.file(t, sandbox.NewTicket{Name: "required", Service: "IT support"})
	ticket, err := n.Ticket(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for status, says := range map[string]string{
		"In progress": "required fields", "Closed": "not permitted", "Nonsense": "from New to Nonsense",
	} {
		_, err := n.SetStatus(t.Context(), ticket, status)
		wantKind(t, err, fault.Refused)
		if !strings.Contains(fault.Sentence(err), says) {
			t.Errorf("%q does not say %q", fault.Sentence(err), says)
		}
	}
	// Resolved passes on to Closed by itself.
	if moved, err := n.SetStatus(t.Context(), ticket, "Resolved"); err != nil || moved.Status != "Closed" {
		t.Errorf("got %+v, %v", moved, err)
	}
	if again, err := n.SetStatus(t.Context(), ticket, "Closed"); err != nil || again.Status != "Closed" {
		t.Errorf("the status it already has: %+v, %v", again, err)
	}

	d := open(t, nil, nil)
	id = d.file(t, sandbox.NewTicket{Name: "approval", Status: "Deployment approval"})
	if ticket, err = d.Ticket(t.Context(), id); err != nil || !ticket.InApproval {
		t.Fatalf("got %+v, %v", ticket, err)
	}
	_, err = d.SetStatus(t.Context(), ticket, "Testing")
	wantKind(t, err, fault.Busy)
	if f, ok := fault.As(err); !ok || f.RetryAfter <= 0 {
		t.Errorf("no time to wait in %v", err)
	}
	if err := d.Server.DeleteTicket(t.Context(), sandbox.ServiceManager, int(id)); err == nil {
		if ticket, err = d.Ticket(t.Context(), id); err != nil || !ticket.Removed {
			t.Errorf("deleted ticket %+v, %v", ticket, err)
		}
	}
	_, err = d.Ticket(t.Context(), 99999)
	wantKind(t, err, fault.NotFound)
}

func TestRights(t *testing.T) {
	t.Parallel()
	account := func(a sandbox.Account) func(*sandbox.Options) {
		return func(o *sandbox.Options) {
			a.Login, a.Password = "tandem", "tandem"
			o.Accounts = []sandbox.Account{a}
		}
	}
	reader := open(t, account(sandbox.Account{Role: sandbox.RoleReader}), nil)
	id := reader.file(t, sandbox.NewTicket{Name: "x", Status: "Development"})
	ticket, err := reader.Ticket(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	_, err = reader.SetStatus(t.Context(), ticket, "Testing")
	wantKind(t, err, fault.Denied)
	_, err = reader.SetExternalID(t.Context(), ticket, "1")
	wantKind(t, err, fault.Denied)
	_, err = reader.Person(t.Context(), ticket.RequesterID)
	wantKind(t, err, fault.Denied)
	if got := severities(reader.Check(t.Context())); got["alvao.people"] != item.Warning || got["alvao.account"] != item.OK {
		t.Errorf("got %v", got)
	}

	stranger := open(t, account(sandbox.Account{}), nil)
	stranger.file(t, sandbox.NewTicket{Name: "x"})
	got := severities(stranger.Check(t.Context()))
	if diff := cmp.Diff(map[string]item.Severity{
		"alvao.account": item.OK, "alvao.clock": item.OK, "alvao.service": item.Warning, "alvao.activity-filter": item.OK,
	}, got); diff != "" {
		t.Error(diff)
	}

	wrong := open(t, nil, func(o *alvao.Options) { o.Password = func() (string, error) { return "wrong", nil } })
	if got := severities(wrong.Check(t.Context())); len(got) != 1 || got["alvao.account"] != item.Error {
		t.Errorf("got %v", got)
	}
	_, err = wrong.Ticket(t.Context(), 1)
	wantKind(t, err, fault.BadToken)

	other := open(t, nil, func(o *alvao.Options) { o.ExternalIDField = "ExternalTicketIdd" })
	other.file(t, sandbox.NewTicket{Name: "x"})
	for _, f := range other.Check(t.Context()) {
		if f.Check == "alvao.external-id" && (f.Severity != item.Warning || !strings.Contains(f.Detail, "perhaps ExternalTicketId)")) {
			t.Errorf("got %+v", f)
		}
	}
	_, err = other.SetExternalID(t.Context(), item.Ticket{ID: 1}, "1")
	if !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.NotFound) {
		t.Errorf("a field that does not exist: %v", err)
	}
}

// TestTrouble plants faults before the desk.
func TestTrouble(t *testing.T) {
	t.Parallel()
	n := open(t, nil, nil)
	id := n.file(t, sandbox.NewTicket{Name: "x", Status: "Development"})
	ticket, err := n.Ticket(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	plant := func(t *testing.T, rule faults.Rule) {
		t.Helper()
		n.faults.Clear()
		if _, err := n.faults.Add(rule); err != nil {
			t.Fatal(err)
		}
	}
	// A read gets over a short trouble by itself.
	for _, kind := range []faults.Kind{faults.KindUnavailable, faults.KindCut, faults.KindLostReply} {
		plant(t, faults.Rule{Kind: kind, Method: http.MethodGet, Count: 1})
		_, err := n.Ticket(t.Context(), id)
		if kind == faults.KindCut {
			wantKind(t, err, fault.Unavailable)
		} else if err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	// A write whose reply is lost is not repeated, and the fault says that it is open.
	plant(t, faults.Rule{Kind: faults.KindLostReply, Method: http.MethodPut, Count: 1})
	_, err = n.SetStatus(t.Context(), ticket, "Testing")
	wantKind(t, err, fault.Unavailable)
	if now, ok := n.Server.Ticket(int(id)); !ok || now.Status != "Testing" {
		t.Errorf("the change did not take effect: %+v", now)
	}
	if again, err := n.SetStatus(t.Context(), ticket, "Testing"); err != nil || again.Status != "Testing" {
		t.Errorf("the next try: %+v, %v", again, err)
	}
	plant(t, faults.Rule{Kind: faults.KindThrottle, RetryAfter: faults.Duration(30 * time.Second)})
	_, err = n.Ticket(t.Context(), id)
	wantKind(t, err, fault.Throttled)
	if f, ok := fault.As(err); !ok || f.RetryAfter != 30*time.Second {
		t.Errorf("waits %v", err)
	}
	n.faults.Clear()
	_, err = n.Ticket(t.Context(), id)
	wantKind(t, err, fault.Throttled)
}
