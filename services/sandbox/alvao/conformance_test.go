package alvao_test

import (
	"bytes"
	"io"
	"net/http"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox/alvao/conformtest"
	"github.com/tandem-sync/tandem/services/sandbox/deviationtest"
	"github.com/tandem-sync/tandem/services/sandbox/tape"
)

// validator is a transport that holds every exchange against Alvao's own OpenAPI document, where that covers the call.
// A request is checked only when the stand-in took it: tests send wrong ones on purpose.
type validator struct {
	t        *testing.T
	document *conformtest.Document
	ledger   *deviationtest.Ledger
	covered  map[string]int
}

// RoundTrip implements http.RoundTripper.
func (v *validator) RoundTrip(r *http.Request) (*http.Response, error) {
	var sent []byte
	if r.Body != nil {
		var err error
		if sent, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(sent))
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	got, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(got))
	if err != nil {
		return nil, err
	}
	x := tape.Exchange{
		By: tape.Server, Method: r.Method, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Scheme: "Basic",
		Header:  map[string]string{"Content-Type": r.Header.Get("Content-Type")},
		Request: tape.Body{Size: int64(len(sent)), Text: string(sent)},
		Status:  resp.StatusCode, Answer: map[string]string{"Content-Type": resp.Header.Get("Content-Type")},
		Reply: tape.Body{Size: int64(len(got)), Text: string(got)},
	}
	out := v.document.Check(x)
	problems := out.Problems
	if x.Status < http.StatusMultipleChoices {
		x.By = tape.Client
		problems = append(problems, v.document.Check(x).Problems...)
	}
	for _, p := range problems {
		if out.Covered && !v.ledger.Listed(p) {
			v.t.Errorf("%s\n%s\n%s", p, sent, got)
		}
	}
	if out.Covered {
		v.covered[out.Operation]++
	}
	return resp, nil
}

func TestConformance(t *testing.T) {
	t.Parallel()
	v := &validator{t, conformtest.Load(t), deviationtest.NewLedger(conformtest.Deviations()), map[string]int{}}
	d := newDesk(t, nil)
	d.client.Transport = v
	id := d.create(`{"name":"Printer","serviceId":109,"descriptionHtml":"<p>It is <b>broken</b></p>","requester":{"id":25},
		"priority":"High","attachments":[{"contentBytes":"aGVsbG8=","contentType":"text/plain","name":"a.txt"}],
		"customItems":{"TicketCategory":{"@odata.type":"#Alvao.Rest.Api.Models.SD.CustomItem","name":"TicketCategory","value":"x"}}}`)
	path := "/v1/tickets/" + id
	d.want(200, "GET", path+"?$expand=objects", "")
	d.want(404, "GET", "/v1/tickets/1", "")
	d.want(204, "PATCH", path, `{"name":"Plotter","impact":"Low","urgency":"High","requester":{"email":"jana.dvorakova@contoso.com"}}`)
	d.want(400, "PATCH", path, `{"priority":"Urgent"}`)
	d.want(404, "PATCH", "/v1/tickets/1", `{"name":"x"}`)
	d.want(204, "PUT", path+"/state", `{"stateName":"development"}`)
	d.want(201, "PUT", path+"/state", `{"stateId":45,"commentHtml":"<p>Try it</p>"}`)
	d.want(400, "PUT", path+"/state", `{"stateId":45}`)
	d.want(201, "PUT", path+"/solver", `{"solverId":26,"messageForSolverHtml":"Please"}`)
	d.want(400, "PUT", path+"/solver", `{"solverId":4711}`)
	d.want(204, "PUT", path+"/service", `{"serviceName":"IT support"}`)
	d.want(201, "PUT", path+"/service", `{"serviceId":109,"commentHtml":"back"}`)
	d.want(201, "POST", path+"/log", `{"subject":"Hi","kind":"Email","contentHtml":"<p>Hello</p>","fromPersonId":25,
		"attachments":[{"contentBytes":"aGVsbG8=","contentType":"text/plain","name":"b.txt"}]}`)
	d.want(400, "POST", path+"/log", `{"subject":"Hi","kind":"Sms"}`)
	d.want(404, "POST", "/v1/tickets/1/log", `{"subject":"Hi","kind":"Note"}`)
	d.want(200, "GET", "/v1/users?$filter=login%20eq%20%27jana.dvorakova@contoso.com%27&$top=2", "")
	d.want(201, "POST", "/webhooks/tickettransitionstostatus",
		`{"webhookUrl":"http://127.0.0.1:1/x","process":"Development process","status":"Development","service":"Development"}`)
	d.want(201, "POST", "/webhooks/ticketfieldchanged", `{"webhookUrl":"http://127.0.0.1:1/x","fieldId":2}`)
	d.want(200, "GET", "/webhooks/suggestcolumnsforticket", "")
	d.want(204, "DELETE", "/webhooks/1", "")
	d.want(404, "DELETE", "/webhooks/1", "")
	if len(v.covered) < 11 {
		t.Errorf("only %d operations of the document were seen: %v", len(v.covered), v.covered)
	}
}
