package rest_test

import (
	"encoding/json"
	"testing"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"

	"github.com/tandem-sync/tandem/gen/openapi"
)

// TestOpenAPIIsValid: generators of clients take the document, after the conversion that
// most of them begin with.
func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	var told openapi2.T
	if err := json.Unmarshal(openapi.Document, &told); err != nil {
		t.Fatal(err)
	}
	document, err := openapi2conv.ToV3(&told)
	if err != nil {
		t.Fatal(err)
	}
	if err := document.Validate(t.Context()); err != nil {
		t.Error(err)
	}
}
