package alvao_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/sandbox/alvao"
)

// receiver takes hints and keeps them.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
	seen   []http.Header
	status int
	onHint func()
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusAccepted}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		raw, err := io.ReadAll(req.Body)
		if err != nil {
			t.Error(err)
		}
		if r.onHint != nil {
			r.onHint()
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bodies, r.seen = append(r.bodies, string(raw)), append(r.seen, req.Header.Clone())
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got(t *testing.T, d *desk) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	must(t, d.Quiet(ctx))
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.bodies
	r.bodies = nil
	return out
}

func TestStatusWebhook(t *testing.T) {
	t.Parallel()
	d, r := newDesk(t, nil), newReceiver(t)
	for _, body := range []string{
		`{"webhookUrl":"` + r.URL + `","process":"development PROCESS","status":"Development"}`,
		`{"webhookUrl":"` + r.URL + `/resolved","process":"Incident","status":"Closed","service":"IT support"}`,
	} {
		status, h, raw := d.do("POST", "/webhooks/tickettransitionstostatus", body)
		id := decode[struct{ ID int }](t, raw).ID
		if status != 201 || !strings.HasSuffix(h.Get("Location"), "/webhooks/"+strconv.Itoa(id)) {
			t.Errorf("got %d %v %s", status, h, raw)
		}
	}
	ticket, other := d.ticket(alvao.NewTicket{}), d.ticket(alvao.NewTicket{Service: "IT support"})
	if got := r.got(t, d); got != nil {
		t.Errorf("a new ticket caused %v", got)
	}
	must(t, d.SetStatus(t.Context(), alvao.Solver, ticket.ID, "Development"))
	// Resolved passes on to Closed, which the webhook is about.
	must(t, d.SetStatus(t.Context(), alvao.ServiceManager, other.ID, "Resolved"))
	must(t, d.SetStatus(t.Context(), alvao.Solver, ticket.ID, "Testing"))
	want := []string{`{"requestId":` + idOf(ticket) + `,"personId":26}`, `{"requestId":` + idOf(other) + `,"personId":27}`}
	got := r.got(t, d)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	d.want(204, "PUT", "/v1/tickets/"+idOf(ticket)+"/state", `{"stateId":43}`)
	if diff := cmp.Diff([]string{`{"requestId":` + idOf(ticket) + `,"personId":9}`}, r.got(t, d)); diff != "" {
		t.Error(diff)
	}
	for body, text := range map[string]string{
		`{"webhookUrl":"ftp://x","process":"Incident","status":"Closed"}`:                "URL",
		`{"webhookUrl":"http://x","process":"No","status":"Closed"}`:                     "process",
		`{"webhookUrl":"http://x","process":"Incident","status":"Testing"}`:              "status",
		`{"webhookUrl":"http://x","process":"Incident","status":"Closed","service":"x"}`: "service",
		`{"webhookUrl":"http://x","status":"Closed"}`:                                    "process",
	} {
		if got := message(t, d.want(400, "POST", "/webhooks/tickettransitionstostatus", body)); !strings.Contains(got, text) {
			t.Errorf("%s: got %q", body, got)
		}
	}
}

func TestFieldWebhook(t *testing.T) {
	t.Parallel()
	d, r := newDesk(t, nil), newReceiver(t)
	fields := map[string]int{}
	for _, c := range decode[[]struct {
		ID   int
		Name string
	}](t, d.want(200, "GET", "/webhooks/suggestcolumnsforticket", "")) {
		fields[c.Name] = c.ID
	}
	d.want(400, "POST", "/webhooks/ticketfieldchanged", `{"webhookUrl":"http://x","fieldId":999}`)
	d.want(201, "POST", "/webhooks/ticketfieldchanged", `{"webhookUrl":"`+r.URL+`","fieldId":`+strconv.Itoa(fields["Status"])+`,"service":"Development"}`)
	d.want(201, "POST", "/webhooks/ticketfieldchanged", `{"webhookUrl":"`+r.URL+`","fieldId":`+strconv.Itoa(fields["ExternalTicketId"])+`}`)
	// What a new ticket begins with is no change of a field.
	ticket := d.ticket(alvao.NewTicket{Status: "Development", Custom: map[string]any{"ExternalTicketId": "4"}})
	other := d.ticket(alvao.NewTicket{Service: "IT support"})
	must(t, d.SetStatus(t.Context(), alvao.Solver, ticket.ID, "Testing"))
	must(t, d.SetStatus(t.Context(), alvao.Solver, other.ID, "Resolved"))
	must(t, d.SetField(t.Context(), alvao.Solver, ticket.ID, "name", "Another"))
	must(t, d.SetField(t.Context(), alvao.Solver, other.ID, "ExternalTicketId", "5"))
	want := []string{`{"requestId":` + idOf(ticket) + `,"personId":26}`, `{"requestId":` + idOf(other) + `,"personId":26}`}
	got := r.got(t, d)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWebhookIsCalledOnce(t *testing.T) {
	t.Parallel()
	d, r := newDesk(t, nil), newReceiver(t)
	r.status = http.StatusServiceUnavailable
	id, err := d.Subscribe(alvao.Subscription{URL: r.URL, Topic: alvao.TopicStatus, Process: "Development process", Status: "Testing"})
	must(t, err)
	ticket := d.ticket(alvao.NewTicket{Status: "Testing"})
	if got := r.got(t, d); len(got) != 1 {
		t.Errorf("a failing webhook for ticket %d was called %d times", ticket.ID, len(got))
	}
	if w := d.Webhooks()[0]; w.ID != id || w.ErrorMessage == "" || w.LastInvoked.IsZero() || w.Failures != 1 {
		t.Errorf("got %+v", w)
	}
	if !d.Unsubscribe(id) || d.Unsubscribe(id) {
		t.Error("removing a webhook once is not what happened")
	}
}

func TestDeliveryAgainstTheReceiver(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		delivery alvao.Delivery
		check    func(t *testing.T, n int, order []string)
	}{
		{"lose", alvao.Delivery{Lose: 1}, func(t *testing.T, n int, _ []string) {
			t.Helper()
			if n != 0 {
				t.Errorf("%d hints came through", n)
			}
		}},
		{"lose some", alvao.Delivery{Lose: 0.5}, func(t *testing.T, n int, _ []string) {
			t.Helper()
			if n == 0 || n >= 40 {
				t.Errorf("%d of 40 hints came through", n)
			}
		}},
		{"duplicate", alvao.Delivery{Duplicate: 1}, func(t *testing.T, n int, _ []string) {
			t.Helper()
			if n != 80 {
				t.Errorf("40 hints came %d times", n)
			}
		}},
		{
			"delay and reorder",
			alvao.Delivery{MinDelay: time.Millisecond, MaxDelay: 2 * time.Millisecond, Reorder: 0.5, ReorderBy: 50 * time.Millisecond},
			func(t *testing.T, n int, order []string) {
				t.Helper()
				if n != 40 || slices.IsSorted(order) {
					t.Errorf("%d hints came, in order: %t", n, slices.IsSorted(order))
				}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, r := newDesk(t, func(o *alvao.Options) { o.Delivery, o.Seed, o.HookWorkers = tt.delivery, 7, 1 }), newReceiver(t)
			_, err := d.Subscribe(alvao.Subscription{URL: r.URL, Topic: alvao.TopicStatus, Process: "Development process", Status: "New"})
			must(t, err)
			for range 40 {
				d.ticket(alvao.NewTicket{})
			}
			got := r.got(t, d)
			tt.check(t, len(got), got)
		})
	}
}

func TestHintBeforeTheTransactionIsVisible(t *testing.T) {
	t.Parallel()
	d, r := newDesk(t, nil), newReceiver(t)
	_, err := d.Subscribe(alvao.Subscription{URL: r.URL, Topic: alvao.TopicStatus, Process: "Development process", Status: "Testing"})
	must(t, err)
	ticket := d.ticket(alvao.NewTicket{})
	seen := make(chan string, 10)
	r.onHint = func() {
		now, _ := d.Ticket(ticket.ID)
		seen <- now.Status
	}
	d.SetDelivery(alvao.Delivery{VisibleAfter: 300 * time.Millisecond})
	must(t, d.SetStatus(t.Context(), alvao.Solver, ticket.ID, "Testing"))
	if got := <-seen; got != "New" {
		t.Errorf("the receiver read %s while the transaction was open", got)
	}
	if now, _ := d.Ticket(ticket.ID); now.Status != "Testing" {
		t.Errorf("after it the ticket is in %s", now.Status)
	}
	if got := r.got(t, d); len(got) != 1 {
		t.Errorf("%d hints were sent", len(got))
	}
}

func TestApplicationHints(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	d := newDesk(t, func(o *alvao.Options) {
		o.HookWorkers = 1
		o.Application = &alvao.Application{URL: r.URL, Key: "key", Skip: []string{"tandem"}, Bodies: true}
	})
	ticket := d.ticket(alvao.NewTicket{Description: "<p>x</p>"})
	must(t, d.SetStatus(t.Context(), alvao.Solver, ticket.ID, "Testing"))
	_, err := d.AddMessage(t.Context(), alvao.Solver, ticket.ID, alvao.Message{Kind: alvao.KindNote, HTML: "<b>y</b>", Mark: alvao.MarkSolution})
	must(t, err)
	d.want(204, "PUT", "/v1/tickets/"+idOf(ticket)+"/state", `{"stateName":"Development"}`)
	var events []string
	got := r.got(t, d)
	for i, raw := range got {
		b := decode[struct {
			Event, Properties         string
			TicketID, ActID, PersonID int
			Record                    *struct{ ContentHTML, Mark, Kind string }
		}](t, raw)
		event := b.Event + " " + b.Properties
		if b.Record != nil {
			event += b.Record.Kind + " " + b.Record.ContentHTML + " " + b.Record.Mark
		}
		events = append(events, event)
		h := r.seen[i]
		if h.Get("X-Tandem-Signature") != alvao.Sign("key", h.Get("X-Tandem-Timestamp"), []byte(raw)) || b.TicketID != ticket.ID {
			t.Errorf("hint %d is not signed right: %v", i, h)
		}
	}
	want := []string{
		"ticket.created ", "act.created Form <p>x</p> important", "ticket.changed tHdTicket.TicketStateId",
		"act.created Process  ", "act.created Note <b>y</b> solution", "act.created Process  ",
	}
	if diff := cmp.Diff(want, events); diff != "" {
		t.Error(diff)
	}
	// HMAC-SHA256("key", "1.{}"), computed with OpenSSL.
	if got := alvao.Sign("key", "1", []byte("{}")); got != "1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224" {
		t.Errorf("got %s", got)
	}
	d.SetApplication(nil)
	d.ticket(alvao.NewTicket{})
	if got := r.got(t, d); got != nil {
		t.Errorf("switched off, it still posts %v", got)
	}
}

func TestPausedHints(t *testing.T) {
	t.Parallel()
	d, r := newDesk(t, func(o *alvao.Options) { o.HookWorkers = 1 }), newReceiver(t)
	_, err := d.Subscribe(alvao.Subscription{URL: r.URL, Topic: alvao.TopicStatus, Process: "Development process", Status: "New"})
	must(t, err)
	d.PauseHooks()
	for range 3 {
		d.ticket(alvao.NewTicket{})
	}
	if n := d.DropHooks(); n != 3 {
		t.Errorf("dropped %d", n)
	}
	var want []string
	for range 3 {
		want = append(want, `{"requestId":`+idOf(d.ticket(alvao.NewTicket{}))+`,"personId":25}`)
	}
	slices.Reverse(want)
	d.ResumeHooks(true)
	if diff := cmp.Diff(want, r.got(t, d)); diff != "" {
		t.Error(diff)
	}
}

func TestCloseCutsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	d, r := newDesk(t, nil), newReceiver(t)
	reached, release := make(chan struct{}), make(chan struct{})
	r.onHint = func() { close(reached); <-release }
	_, err := d.Subscribe(alvao.Subscription{URL: r.URL, Topic: alvao.TopicStatus, Process: "Development process", Status: "New"})
	must(t, err)
	d.ticket(alvao.NewTicket{})
	<-reached
	d.Close()
	close(release)
	d.Close()
}
