package alvao_test

import (
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox/alvao"
)

// TestTenants checks each way in which a tenant may differ, on one ticket in Development with one note.
func TestTenants(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		tenant  alvao.Tenant
		path    string // {id} is the ticket
		status  int
		has     []string
		hasNone []string
	}{
		{"plain", alvao.Tenant{}, "/v1/tickets/{id}", 200, []string{`"stateId":43`, `Z"`}, []string{"null,", `"solverId"`}},
		{
			"string ids",
			alvao.Tenant{StringIDs: true},
			"/v1/tickets/{id}", 200,
			[]string{`"id":"{id}"`, `"stateId":"43"`, `"serviceId":"109"`},
			[]string{`"stateId":43`},
		},
		{
			"capital keys",
			alvao.Tenant{CapitalKeys: true},
			"/v1/users?$filter=id eq 25&$count=true", 200,
			[]string{`"Id":25`, `"Email":`, `"value":[`, `"@odata.count":1`},
			[]string{`"id"`, `"Value"`},
		},
		{
			"capital keys in custom items",
			alvao.Tenant{CapitalKeys: true},
			"/v1/tickets/{id}", 200,
			[]string{`"CustomItems":{`, `"Value":"18"`, `"@odata.type"`},
			[]string{`"value"`},
		},
		{"nulls", alvao.Tenant{Nulls: true}, "/v1/tickets/{id}", 200, []string{`"solverId":null`, `"removedDate":null`}, nil},
		{"no offsets", alvao.Tenant{NoOffsets: true}, "/v1/tickets/{id}", 200, []string{`"createdDate":"20`}, []string{`Z"`}},
		{"log unreadable", alvao.Tenant{LogUnreadable: true}, "/v1/tickets/{id}/log", 404, nil, nil},
		{
			"no filter by activity",
			alvao.Tenant{NoActivityFilter: true},
			"/v1/tickets?$filter=id gt 1 and lastActivityDate gt 2026-01-01T00:00:00Z", 400,
			[]string{`{"error":{"code":"400","message":"The property 'lastActivityDate'`},
			nil,
		},
		{"but by order", alvao.Tenant{NoActivityFilter: true}, "/v1/tickets?$orderby=lastActivityDate desc", 200, []string{"{id}"}, nil},
		{"nor by order", alvao.Tenant{NoActivityOrder: true}, "/v1/tickets?$orderby=lastActivityDate desc", 400, nil, nil},
		{"custom items in lists", alvao.Tenant{ListCustomItems: true}, "/v1/tickets", 200, []string{`"ExternalTicketId"`}, nil},
		{"visibility in the log", alvao.Tenant{LogShowsVisibility: true}, "/v1/tickets/{id}/log", 200, []string{`"showToRequester":true`}, nil},
		{"relative links", alvao.Tenant{RelativeLinks: true}, "/v1/tickets/{id}/log", 200, []string{`"link":"/AlvaoRestApi/v1/attachments/`}, nil},
		{
			"Czech",
			alvao.Tenant{Language: "cs"},
			"/v1/tickets?$filter=stateName eq 'Vývoj' and processName eq 'Proces vývoje'", 200,
			[]string{`"stateName":"Vývoj"`, `"processName":"Proces vývoje"`}, //nolint:misspell // Czech
			nil,
		},
		{"Czech columns", alvao.Tenant{Language: "cs"}, "/webhooks/suggestcolumnsforticket", 200, []string{`"Stav"`}, []string{`"Status"`}},
		{"no status column", alvao.Tenant{NoStatusColumn: true}, "/webhooks/suggestcolumnsforticket", 200, nil, []string{`"Status"`}},
		{"no webhooks", alvao.Tenant{NoWebhooks: true}, "/webhooks/suggestcolumnsforticket", 404, nil, nil},
		{"services", alvao.Tenant{}, "/v1/services", 200, []string{`"id":109`, `"name":"Development"`, `"ConnectorSettings"`}, nil},
		{"no services", alvao.Tenant{NoServices: true}, "/v1/services", 404, nil, nil},
		{"no next states", alvao.Tenant{NoNextStates: true}, "/v1/tickets/{id}/nextStates", 404, nil, nil},
		{"errors as message", alvao.Tenant{Errors: alvao.ErrorsMessage}, "/v1/tickets?$top=x", 400, []string{`{"message":`}, nil},
		{"errors as problem", alvao.Tenant{Errors: alvao.ErrorsProblem}, "/v1/tickets?$top=x", 400, []string{`"errors":{"$":[`}, nil},
		{"errors as OData", alvao.Tenant{Errors: alvao.ErrorsOData}, "/v1/tickets?$top=x", 400, []string{`{"error":{"code":"400"`}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDesk(t, func(o *alvao.Options) { o.Tenant = tt.tenant })
			ticket := d.ticket(alvao.NewTicket{
				Status: "Development", Custom: map[string]any{"ExternalTicketId": "18"},
				Attachments: []alvao.NewAttachment{{Name: "a.txt", Content: []byte("x")}},
			})
			fill := func(s string) string { return strings.ReplaceAll(s, "{id}", idOf(ticket)) }
			raw := d.want(tt.status, "GET", fill(tt.path), "")
			for _, want := range tt.has {
				if !strings.Contains(raw, fill(want)) {
					t.Errorf("%s is missing in %s", want, raw)
				}
			}
			for _, want := range tt.hasNone {
				if strings.Contains(raw, want) {
					t.Errorf("%s is in %s", want, raw)
				}
			}
		})
	}
}

func TestCzechTenantTakesCzechNames(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(o *alvao.Options) { o.Tenant.Language = "cs" })
	ticket := d.ticket(alvao.NewTicket{})
	path := "/v1/tickets/" + idOf(ticket) + "/state"
	d.want(400, "PUT", path, `{"stateName":"Development"}`)
	d.want(204, "PUT", path, `{"stateName":"vývoj"}`)
	d.want(400, "POST", "/webhooks/tickettransitionstostatus", `{"webhookUrl":"http://x","process":"Development process","status":"Testing"}`)
	d.want(201, "POST", "/webhooks/tickettransitionstostatus", `{"webhookUrl":"http://x","process":"Proces vývoje","status":"Testování"}`)
	if got := d.Webhooks()[0]; got.Status != "Testing" {
		t.Errorf("got %+v", got)
	}
}

func TestSilentNotes(t *testing.T) {
	t.Parallel()
	for silent, moved := range map[bool]bool{false: true, true: false} {
		d := newDesk(t, func(o *alvao.Options) { o.Tenant.NotesAreSilent, o.Now = silent, ticking() })
		ticket := d.ticket(alvao.NewTicket{})
		d.want(201, "POST", "/v1/tickets/"+idOf(ticket)+"/log", `{"subject":"x","kind":"Note"}`)
		got, _ := d.Ticket(ticket.ID)
		if got.LastActivity.After(ticket.LastActivity) != moved {
			t.Errorf("silent %t: activity moved from %v to %v", silent, ticket.LastActivity, got.LastActivity)
		}
		d.want(201, "POST", "/v1/tickets/"+idOf(ticket)+"/log", `{"subject":"x","kind":"Email"}`)
		if again, _ := d.Ticket(ticket.ID); !again.LastActivity.After(got.LastActivity) {
			t.Error("an e-mail did not move the activity")
		}
	}
}
