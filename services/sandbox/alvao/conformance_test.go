package alvao_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// validator is a transport that holds every exchange against Alvao's own OpenAPI document, where that covers the call.
// An answer that breaks its schema fails the test. A request is checked only when the stand-in took it: tests send wrong
// ones on purpose.
type validator struct {
	t       *testing.T
	router  routers.Router
	covered map[string]int
}

// newValidator reads the document from the shared folder beside the repository.
func newValidator(t *testing.T) *validator {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	var raw []byte
	for {
		raw, err = os.ReadFile(filepath.Join(dir, "shared", "specs", "alvao", "apiDefinition.swagger.json"))
		if err == nil {
			break
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			if os.Getenv("CI") == "true" {
				t.Fatal("the shared folder with Alvao's OpenAPI document is missing")
			}
			t.Skip("the shared folder with Alvao's OpenAPI document is not beside this repository")
		}
		dir = parent
	}
	var v2 openapi2.T
	if err := json.Unmarshal(raw, &v2); err != nil {
		t.Fatal(err)
	}
	v3, err := openapi2conv.ToV3(&v2)
	if err != nil {
		t.Fatal(err)
	}
	v3.Servers = openapi3.Servers{{URL: "/AlvaoRestApi"}}
	router, err := gorillamux.NewRouter(v3)
	if err != nil {
		t.Fatal(err)
	}
	return &validator{t: t, router: router, covered: map[string]int{}}
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
	lookup := r.Clone(r.Context())
	lookup.Host, lookup.URL.Host, lookup.URL.Scheme = "", "", ""
	route, params, err := v.router.FindRoute(lookup)
	if err != nil {
		return resp, nil //nolint:nilerr // a call the document does not cover
	}
	lookup.Body = io.NopCloser(bytes.NewReader(sent))
	in := &openapi3filter.RequestValidationInput{
		Request: lookup, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true},
	}
	if resp.StatusCode < 300 {
		if err := openapi3filter.ValidateRequest(r.Context(), in); err != nil {
			v.t.Errorf("%s %s: the request breaks the document: %v\n%s", r.Method, r.URL.Path, err, sent)
		}
	}
	if resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusUnsupportedMediaType {
		return resp, nil // implied by HTTP, not in the document
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: resp.StatusCode, Header: resp.Header,
		Body: io.NopCloser(bytes.NewReader(got)), Options: in.Options,
	}
	if err := openapi3filter.ValidateResponse(r.Context(), out); err != nil && !undeclared(route, resp.StatusCode) {
		v.t.Errorf("%s %s: the answer %d breaks the document: %v\n%s", r.Method, r.URL.Path, resp.StatusCode, err, got)
	}
	v.covered[r.Method+" "+route.Path]++
	return resp, nil
}

// undeclared lists answers that the document leaves out and the facts give: PATCH of an unknown ticket is 404 like every
// other path with an id, an assignment of an unknown person is 400 like other bad input, and webhooks refuse bad names.
func undeclared(route *routers.Route, status int) bool {
	switch {
	case strings.HasPrefix(route.Path, "/webhooks/") && (status == 400 || status == 404):
		return true
	case route.Method == http.MethodPatch && status == 404, strings.HasSuffix(route.Path, "/solver") && status == 400:
		return true
	case route.Path == "/v1/users" && (status == 400 || status == 403):
		return true
	case strings.HasSuffix(route.Path, "/{ticketId}") && route.Method == http.MethodGet && status == 400:
		return true
	}
	return false
}

func TestConformance(t *testing.T) {
	t.Parallel()
	v := newValidator(t)
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
	// The validator itself must notice a broken answer.
	raw := []byte(`{"id":"12"}`)
	in := openapi3filter.RequestValidationInput{Options: &openapi3filter.Options{}}
	lookup, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/AlvaoRestApi/v1/tickets/12", nil)
	if err != nil {
		t.Fatal(err)
	}
	if in.Route, in.PathParams, err = v.router.FindRoute(lookup); err != nil {
		t.Fatal(err)
	}
	in.Request = lookup
	err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &in, Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(raw)),
	})
	if _, ok := errors.AsType[*openapi3filter.ResponseError](err); !ok {
		t.Errorf("a ticket with a text as id passed: %v", err)
	}
}
