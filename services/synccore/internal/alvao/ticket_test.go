package alvao_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // a machine may have no time zones

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// fullTicket is SD.Ticket of the OpenAPI with every property (modelled, not recorded).
const fullTicket = `{"@odata.context":"x","id":123,"name":"Monitor flickers","messageTag":"T123SD","slaId":1,"slaName":"Gold","priority":"High","impact":"Low","urgency":"Medium",` +
	`"deviceNumber":"PC7","relatedOrganization":"Contoso","requesterId":10,"requesterName":"Jan Novák","requestedForId":12,"requestedForName":"Eva","solverId":11,"solverName":"Ota",` +
	`"solverTeamId":7,"solverTeamName":"Devs","serviceId":109,"serviceName":"Development","processName":"Development process","stateId":42,"stateName":"Development",` +
	`"createdDate":"2026-03-01T10:00:00Z","dueDate":"2026-03-09T10:00:00+01:00","lastActivityDate":"2026-03-04T05:00:00.123Z","initialActId":900,"inApproval":false,"objects":[{"objectId":5}],` +
	`"customItems":{"@odata.type":"#x","ExternalTicketId":{"@odata.type":"#Alvao.Rest.Api.Models.SD.CustomItem","name":"ExternalTicketId","value":" 973 "},"Size":{"name":"Size","value":3},"Empty":{"name":"Empty","value":null}}}`

func full() item.Ticket {
	return item.Ticket{
		ID: 123, Title: "Monitor flickers", MessageTag: "T123SD", Service: "Development", Process: "Development process",
		Status: "Development", StatusID: 42, ExternalID: "973", URL: "https://contoso.onalvao.com/Alvao/Ticket/123",
		LastActivity: time.Date(2026, 3, 4, 5, 0, 0, 123e6, time.UTC),
		Custom:       map[string]string{"ExternalTicketId": " 973 ", "Size": "3", "Empty": ""},
		Priority:     "High", Impact: "Low", Urgency: "Medium", SLA: "Gold", DeviceNumber: "PC7", RelatedOrganization: "Contoso",
		RequesterID: 10, RequestedForID: 12, SolverID: 11, Requester: "Jan Novák", RequestedFor: "Eva", Solver: "Ota", SolverTeam: "Devs",
		Created: time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC), Due: time.Date(2026, 3, 9, 9, 0, 0, 0, time.UTC), InitialRecordID: 900,
	}
}

func TestTicket(t *testing.T) {
	t.Parallel()
	c, s := answering(t, options(), func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "application/json" || r.Header.Get("User-Agent") != "tandem-test" {
			t.Errorf("headers %v", r.Header)
		}
		answerJSON(w, http.StatusOK, fullTicket)
	})
	got, err := c.Ticket(t.Context(), 123)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(full(), got); diff != "" {
		t.Error(diff)
	}
	if r := s.all()[0]; r.method != http.MethodGet || r.path != "/v1/tickets/123" || r.raw != "" {
		t.Errorf("called %+v", r)
	}
	if _, err := c.Ticket(t.Context(), 5); !fault.Is(err, fault.Unavailable) {
		t.Errorf("another ticket in the answer: %v", err)
	}
	if _, err := c.Ticket(t.Context(), -1); !fault.Is(err, fault.Invalid) {
		t.Errorf("number -1: %v", err)
	}
}

// TestTolerantDecoding: what tenants are known or suspected to send (alvao.md §2).
func TestTolerantDecoding(t *testing.T) {
	t.Parallel()
	prague, err := time.LoadLocation("Europe/Prague")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		body  string
		check func(item.Ticket) bool
	}{
		"ids as strings":            {`{"id":"123","stateId":"42","requesterId":"10","solverTeamId":"team"}`, func(k item.Ticket) bool { return k.ID == 123 && k.StatusID == 42 && k.RequesterID == 10 }},
		"capitalised keys":          {`{"Id":123,"Name":"x","StateName":"New","CustomItems":{"externalticketid":{"Value":"9"}}}`, func(k item.Ticket) bool { return k.Title == "x" && k.Status == "New" && k.ExternalID == "9" }},
		"plain custom values":       {`{"id":123,"customItems":{"ExternalTicketId":973,"Flag":true}}`, func(k item.Ticket) bool { return k.ExternalID == "973" && k.Custom["Flag"] == "true" }},
		"custom values as list":     {`{"id":123,"customItems":[{"name":"ExternalTicketId","value":"973"},null,7]}`, func(k item.Ticket) bool { return k.ExternalID == "973" }},
		"no custom values":          {`{"id":123,"customItems":null}`, func(k item.Ticket) bool { return k.ExternalID == "" && k.Custom == nil }},
		"custom values of no form":  {`{"id":123,"customItems":"?"}`, func(k item.Ticket) bool { return k.Custom == nil }},
		"date without offset":       {`{"id":123,"createdDate":"2026-03-04T06:00:00"}`, func(k item.Ticket) bool { return k.Created.Equal(time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)) }},
		"date that is none":         {`{"id":123,"createdDate":"soon","dueDate":5,"closedDate":null}`, func(k item.Ticket) bool { return k.Created.IsZero() && k.Due.IsZero() && k.Closed.IsZero() }},
		"removed by date":           {`{"id":123,"removedDate":"2026-03-04T06:00:00Z"}`, func(k item.Ticket) bool { return k.Removed }},
		"removed by status":         {`{"id":123,"stateName":"deleted"}`, func(k item.Ticket) bool { return k.Removed }},
		"not removed by empty date": {`{"id":123,"removedDate":"0001-01-01T00:00:00"}`, func(k item.Ticket) bool { return !k.Removed }},
		"approval as word":          {`{"id":123,"inApproval":"True"}`, func(k item.Ticket) bool { return k.InApproval }},
		"status with blanks":        {`{"id":123,"stateName":" New ","_links":{"self":{"href":"x"}}}`, func(k item.Ticket) bool { return k.Status == "New" }},
		"a BOM":                     {"\ufeff" + `{"id":123}`, func(k item.Ticket) bool { return k.ID == 123 }},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options()
			o.DefaultLocation = prague
			c, _ := answering(t, o, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, tc.body) })
			got, err := c.Ticket(t.Context(), 123)
			if err != nil || !tc.check(got) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestTicketURLs(t *testing.T) {
	t.Parallel()
	tests := []struct{ base, web, page string }{
		{"https://contoso.onalvao.com/AlvaoRestApi", "", "https://contoso.onalvao.com/Alvao/Ticket/7"},
		{"https://Contoso.example:8443/sub/RestApi/", "", "https://Contoso.example:8443/sub/Alvao/Ticket/7"},
		{"https://api.contoso.com", "", "https://api.contoso.com/Alvao/Ticket/7"},
		{"http://127.0.0.1:8088/AlvaoRestApi", "", "http://127.0.0.1:8088/Alvao/Ticket/7"},
		{base, "https://desk.contoso.com/Alvao/", "https://desk.contoso.com/Alvao/Ticket/7"},
		{base, "https://desk.contoso.com/t/{id}/view?x=1", "https://desk.contoso.com/t/7/view?x=1"},
	}
	for _, tc := range tests {
		o := options()
		o.BaseURL, o.WebURL = tc.base, tc.web
		c := client(t, o)
		if got := c.TicketURL(7); got != tc.page {
			t.Errorf("%s %s: %s, want %s", tc.base, tc.web, got, tc.page)
		}
		for _, same := range []string{tc.page, strings.ToUpper(tc.page), strings.Replace(tc.page, "https:", "http:", 1)} {
			if id, ok := c.TicketOfURL(same); !ok || id != 7 {
				t.Errorf("%s is not recognised as 7: %d, %v", same, id, ok)
			}
		}
		for _, other := range []string{"", strings.Replace(tc.page, "7", "x", 1), "https://elsewhere/Alvao/Ticket/7", tc.page + "/log", strings.Replace(tc.page, "7", "-7", 1)} {
			if id, ok := c.TicketOfURL(other); ok && other != tc.page {
				t.Errorf("%q is taken for ticket %d", other, id)
			}
		}
	}
}

func TestUnusableOptions(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*alvao.Options){
		"no URL":           func(o *alvao.Options) { o.BaseURL = "" },
		"no scheme":        func(o *alvao.Options) { o.BaseURL = "contoso.onalvao.com/AlvaoRestApi" },
		"password in URL":  func(o *alvao.Options) { o.BaseURL = "https://u:s3cret-word@host/x" },
		"no service":       func(o *alvao.Options) { o.Service = " " },
		"no user":          func(o *alvao.Options) { o.Username = "" },
		"no password":      func(o *alvao.Options) { o.Password = nil },
		"colon in user":    func(o *alvao.Options) { o.Username = "a:b" },
		"web URL no URL":   func(o *alvao.Options) { o.WebURL = "contoso/Alvao" },
		"web URL no https": func(o *alvao.Options) { o.WebURL = "javascript://x/{id}" },
	} {
		o := options()
		change(&o)
		if _, err := alvao.New(o); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			wantKind(t, err, fault.Misconfigured)
		}
	}
}

// TestErrorModel: alvao.md §1.2. The bodies are modelled after the facts.
func TestErrorModel(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, media, body string
		status            int
		header            string
		want              fault.Kind
		says              string
		wait              time.Duration
	}{
		{name: "message", status: 400, body: `{ "message": "The field is too long." }`, want: fault.Invalid, says: "(The field is too long)"},
		{name: "OData", status: 400, body: `{ "error": { "code": "400", "message": "The requester Host has no SLA for the service X." } }`, want: fault.Invalid, says: "no SLA for the service X"},
		{name: "problem", status: 400, body: `{ "title": "One or more validation errors occurred.", "errors": { "priority": ["The value Medium is invalid."], "a": "plain" } }`, want: fault.Invalid, says: "(a: plain priority: The value Medium is invalid)"},
		{name: "problem without reasons", status: 400, body: `{"title":"Bad","detail":"Because."}`, want: fault.Invalid, says: "(Because)"},
		{name: "bare string", status: 400, body: `"Nope"`, want: fault.Invalid, says: "(Nope)"},
		{name: "plain text", status: 400, media: "text/plain", body: "Nope\r\nagain", want: fault.Invalid, says: "(Nope again)"},
		{name: "empty", status: 400, want: fault.Invalid},
		{name: "page", status: 400, media: "text/html", body: "<html>secret internals</html>", want: fault.Invalid},
		{name: "401", status: 401, want: fault.BadToken, says: "user name and password"},
		{name: "sign-in page", status: 200, media: "text/html", body: "<html>", want: fault.BadToken},
		{name: "redirect", status: 302, want: fault.BadToken},
		{name: "403", status: 403, body: `{"message":"You may not."}`, want: fault.Denied, says: "role Manager"},
		{name: "404", status: 404, want: fault.NotFound, says: "ticket 123"},
		{name: "404 by IIS", status: 404, media: "text/html", body: "<html>", want: fault.NotFound},
		{name: "409", status: 409, want: fault.Conflict},
		{name: "412", status: 412, want: fault.Conflict},
		{name: "413", status: 413, want: fault.Invalid},
		{name: "429", status: 429, header: "45", want: fault.Throttled, wait: 45 * time.Second},
		{name: "503", status: 503, header: "45", want: fault.Unavailable, wait: 45 * time.Second},
		{name: "500", status: 500, body: `{"message":"deadlock"}`, want: fault.Unavailable},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, s := answering(t, options(), func(w http.ResponseWriter, _ *http.Request) {
				if tc.header != "" {
					w.Header().Set("Retry-After", tc.header)
				}
				if tc.media != "" {
					w.Header().Set("Content-Type", tc.media)
				} else {
					w.Header().Set("Content-Type", "application/json")
				}
				w.WriteHeader(tc.status)
				_, _ = w.Write([]byte(tc.body))
			})
			_, err := c.SetExternalID(t.Context(), full(), "9")
			wantKind(t, err, tc.want)
			f, ok := fault.As(err)
			if !ok || !strings.Contains(f.Text, tc.says) || f.RetryAfter != tc.wait || strings.Contains(err.Error(), "internals") {
				t.Errorf("got %v, wait %s", err, f.RetryAfter)
			}
			if told, ok := errors.AsType[*alvao.Error](err); !ok || told.Status != tc.status {
				t.Errorf("cause %+v", told)
			}
			if len(s.all()) != 1 {
				t.Errorf("a write was sent %d times", len(s.all()))
			}
		})
	}
}

func TestSetExternalID(t *testing.T) {
	t.Parallel()
	o := options()
	o.ExternalIDField = "DevOpsId"
	c, s := answering(t, o, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	before := full()
	got, err := c.SetExternalID(t.Context(), before, "974")
	if err != nil || got.ExternalID != "974" || got.Custom["DevOpsId"] != "974" || got.Title != before.Title {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, changed := before.Custom["DevOpsId"]; changed {
		t.Error("the caller's ticket was changed")
	}
	want := request{
		method: http.MethodPatch, path: "/v1/tickets/123", query: map[string][]string{},
		body: `{"customItems":{"DevOpsId":{"@odata.type":"#Alvao.Rest.Api.Models.SD.CustomItem","name":"DevOpsId","value":"974"}}}`,
	}
	if diff := cmp.Diff([]request{want}, s.all(), cmp.AllowUnexported(request{})); diff != "" {
		t.Error(diff)
	}
}

// TestSetStatus: refusals are modelled after alvao.md §2.3.
func TestSetStatus(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		status  int
		answer  string
		present string
		read    int
		want    fault.Kind
		says    string
		now     string
	}{
		"moved":              {status: 204, present: "Testing", now: "Testing"},
		"moved, logged":      {status: 201, answer: `"9001"`, present: "Testing", now: "Testing"},
		"passed on":          {status: 204, present: "Closed", now: "Closed"},
		"approval runs":      {status: 400, answer: `{"message":"Approval in progress."}`, present: `Development","inApproval":true,"x":"`, want: fault.Busy, says: "approval runs on ticket 123"},
		"required fields":    {status: 400, answer: `{"message":"Fill in Category."}`, present: "Development", want: fault.Refused, says: "from Development to Testing (Fill in Category)"},
		"somebody was first": {status: 400, answer: `{"message":"Already there."}`, present: "testing", now: "testing"},
		"no right":           {status: 403, want: fault.Denied, says: "may not move to Testing ticket 123"},
		"gone":               {status: 404, want: fault.NotFound},
		"unread":             {status: 204, read: 503, want: fault.Unavailable},
		"refused and unread": {status: 400, read: 401, want: fault.BadToken},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := answering(t, options(), func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.Method == http.MethodPut:
					answerJSON(w, tc.status, tc.answer)
				case tc.read != 0:
					w.Header().Set("Retry-After", "30")
					w.WriteHeader(tc.read)
				default:
					answerJSON(w, http.StatusOK, `{"id":123,"stateName":"`+tc.present+`"}`)
				}
			})
			got, err := c.SetStatus(t.Context(), full(), " Testing ")
			if tc.want != 0 {
				wantKind(t, err, tc.want)
				if f, _ := fault.As(err); !strings.Contains(f.Text, tc.says) {
					t.Errorf("%q does not say %q", f.Text, tc.says)
				}
			} else if err != nil || got.Status != tc.now {
				t.Errorf("got %+v, %v", got, err)
			}
			if r := s.all()[0]; r.method != http.MethodPut || r.path != "/v1/tickets/123/state" || r.body != `{"stateName":"Testing"}` {
				t.Errorf("sent %+v", r)
			}
		})
	}
}

// TestSetStatusByID: once a status' id is known it is preferred over the name, within
// its process. One that is refused is forgotten, and the name has a try at once: the
// number may be of a status that was replaced.
func TestSetStatusByID(t *testing.T) {
	t.Parallel()
	const id, name = `{"stateId":43}`, `{"stateName":"TESTING"}`
	refuses := ""
	c, s := answering(t, options(), func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/124"):
			answerJSON(w, http.StatusOK, `{"id":124,"processName":"Development process","stateId":43,"stateName":"Testing"}`)
		case r.Method == http.MethodGet:
			answerJSON(w, http.StatusOK, fullTicket)
		default:
			if body, _ := io.ReadAll(r.Body); refuses != "" && strings.Contains(refuses, string(body)) {
				answerJSON(w, http.StatusBadRequest, `{"message":"Unknown status."}`)
				return
			}
			w.WriteHeader(http.StatusNoContent)
		}
	})
	if _, err := c.Ticket(t.Context(), 124); err != nil {
		t.Fatal(err)
	}
	other := full()
	other.Process = "Another process"
	for i, step := range []struct {
		ticket  item.Ticket
		refuses string
		bodies  []string
		fails   bool
	}{
		{full(), "", []string{id}, false},
		{other, "", []string{name}, false},
		{full(), id, []string{id, name}, false},
		{full(), "", []string{name}, false},
		{full(), id + name, []string{name}, true},
	} {
		refuses = step.refuses
		before := len(s.all())
		_, err := c.SetStatus(t.Context(), step.ticket, "TESTING")
		if (err != nil) != step.fails {
			t.Errorf("step %d: %v", i, err)
		}
		var bodies []string
		for _, r := range s.all()[before:] {
			if r.method == http.MethodPut {
				bodies = append(bodies, r.body)
			}
		}
		if diff := cmp.Diff(step.bodies, bodies); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
	}
	// What refuses the name too is told in its words, after one try of each.
	if _, err := c.Ticket(t.Context(), 124); err != nil {
		t.Fatal(err)
	}
	refuses = id + name
	before := len(s.all())
	_, err := c.SetStatus(t.Context(), full(), "TESTING")
	wantKind(t, err, fault.Refused)
	if n := len(s.all()) - before; n != 3 {
		t.Errorf("%d calls, want two tries and a look between them", n)
	}
}

func FuzzTicket(f *testing.F) {
	for _, seed := range []string{fullTicket, `{"Id":"123","customItems":[{"name":"a"}]}`, `[]`, `null`, `"x"`, `<html>`, `{"error":{"message":{}}}`, `{"errors":{"a":[1,null,{"b":2}]}}`} {
		f.Add([]byte(seed), 200)
		f.Add([]byte(seed), 400)
	}
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		if status < 200 || status > 499 || status == 408 || status == 429 {
			return
		}
		c, _ := answering(t, options(), func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, status, string(body)) })
		for _, err := range c.Tickets(t.Context(), alvao.Query{Top: 10}) {
			if _, ok := fault.As(err); err != nil && !ok {
				t.Errorf("%v is no fault", err)
			}
		}
		got, err := c.SetStatus(t.Context(), full(), "Testing")
		if err == nil && got.ID != 123 {
			t.Errorf("accepted %+v from %q", got, body)
		}
		if _, ok := fault.As(err); err != nil && !ok {
			t.Errorf("%v is no fault", err)
		}
	})
}
