//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/tandem-sync/tandem/gen/openapi"
)

// document is the OpenAPI document, which answers may hold nothing beside.
var document = sync.OnceValues(func() (*openapi3.T, error) {
	read, err := openapi3.NewLoader().LoadFromData(openapi.Document)
	if err != nil {
		return nil, err
	}
	for _, schema := range read.Components.Schemas {
		if len(schema.Value.Properties) > 0 {
			no := false
			schema.Value.AdditionalProperties = openapi3.AdditionalProperties{Has: &no}
		}
	}
	return read, nil
})

// operations finds an operation of the document for a request.
var operations = sync.OnceValues(func() (routers.Router, error) {
	read, err := document()
	if err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(read)
})

// wantDocumented holds what the gateway answered at /v1 against the document, and returns
// the operation's id; empty: it is none, which only a problem may be the answer to.
func wantDocumented(t *testing.T, method, address string, status int, header http.Header, body string) string {
	t.Helper()
	at, err := url.Parse(address)
	if err != nil || status == 0 || !strings.HasPrefix(at.Path, "/v1/") {
		return ""
	}
	router, err := operations()
	if err != nil {
		t.Fatal(err)
	}
	asked, err := http.NewRequestWithContext(t.Context(), method, at.RequestURI(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	route, path, err := router.FindRoute(asked)
	if err != nil {
		if status < http.StatusBadRequest {
			t.Errorf("%s %s is answered %d and is not in the document: %v", method, address, status, err)
		}
		return ""
	}
	lines := strings.HasPrefix(header.Get("Content-Type"), "application/x-ndjson") // looked at one by one
	err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: asked, PathParams: path, Route: route},
		Status:                 status, Header: header, Body: io.NopCloser(bytes.NewReader([]byte(body))),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true, ExcludeResponseBody: lines},
	})
	if err != nil {
		t.Errorf("the answer to %s %s is not as the document says: %v\n%d %s", method, address, err, status, body)
	}
	return route.Operation.OperationID
}

// wantDocumentedLine holds one line of a watch against the document.
func wantDocumentedLine(t *testing.T, line []byte) {
	t.Helper()
	read, err := document()
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(line, &value); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if err := read.Components.Schemas["WatchLinksLine"].Value.VisitJSON(value); err != nil {
		t.Errorf("the line %s is not as the document says: %v", line, err)
	}
}
