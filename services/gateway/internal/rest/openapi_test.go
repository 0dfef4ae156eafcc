package rest_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/tandem-sync/tandem/gen/openapi"
	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
)

// documented finds an operation of the document for a request.
var documented = sync.OnceValues(func() (routers.Router, error) {
	document, err := openapi3.NewLoader().LoadFromData(openapi.Document)
	if err != nil {
		return nil, err
	}
	// What the document does not name must not be sent either.
	for _, schema := range document.Components.Schemas {
		if len(schema.Value.Properties) > 0 {
			no := false
			schema.Value.AdditionalProperties = openapi3.AdditionalProperties{Has: &no}
		}
	}
	return gorillamux.NewRouter(document)
})

// wantDocumented holds an answer against the document. What fits none of its operations
// must be a problem all the same.
func wantDocumented(t *testing.T, method, target string, w *httptest.ResponseRecorder) {
	t.Helper()
	router, err := documented()
	if err != nil {
		t.Fatal(err)
	}
	asked := httptest.NewRequestWithContext(t.Context(), method, target, http.NoBody)
	route, path, err := router.FindRoute(asked)
	if err != nil {
		if w.Code < http.StatusBadRequest && strings.HasPrefix(target, "/v1/") {
			t.Errorf("%s %s is answered %d and is not in the document: %v", method, target, w.Code, err)
		}
		return
	}
	err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: asked, PathParams: path, Route: route},
		Status:                 w.Code, Header: w.Header(), Body: io.NopCloser(bytes.NewReader(w.Body.Bytes())),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil {
		t.Errorf("the answer to %s %s is not as the document says: %v", method, target, err)
	}
}

// TestOpenAPIIsValid: generators of clients take the document.
func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	document, err := openapi3.NewLoader().LoadFromData(openapi.Document)
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	// Programs act on reasons: the document names those that there are.
	var want []any
	for number := range int32(len(tandemv1.ErrorReason_name)) + 100 {
		if name, ok := tandemv1.ErrorReason_name[number]; ok && number != 0 {
			want = append(want, strings.TrimPrefix(name, "ERROR_REASON_"))
		}
	}
	if got := document.Components.Schemas["Problem"].Value.Properties["reason"].Value.Enum; !slices.Equal(got, want) {
		t.Errorf("the document's reasons are\n%v, those of error_reason.proto\n%v: see openapi.yaml", got, want)
	}
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			errors := operation.Responses.Default()
			if errors == nil || errors.Value.Content["application/problem+json"].Schema.Ref != "#/components/schemas/Problem" {
				t.Errorf("%s %s does not say that errors are problems", method, path)
			}
		}
	}
	watch := document.Paths.Value("/v1/connectors/{connector}/links:watch").Get
	if watch == nil || watch.Responses.Status(http.StatusOK).Value.Content["application/x-ndjson"].Schema.Ref != "#/components/schemas/WatchLinksLine" {
		t.Error("the document does not say that a watch is lines of JSON")
	}
}
