// Command openapi3 reads on its standard input the OpenAPI 2.0 document that
// protoc-gen-openapiv2 makes, and writes what is served: OpenAPI 3.0, which generators of
// clients expect, with what 2.0 has no words for.
//
// Its one invariant: it invents no method, field or text of one; these are the protos'.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
)

// prefix is the package of all our messages, which their names in the document go without.
const prefix = "tandem.v1."

const problemType = "application/problem+json"

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "openapi3:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	text, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("reading the document: %w", err)
	}
	for _, before := range []string{`"#/definitions/`, `    "`} {
		text = bytes.ReplaceAll(text, []byte(before+prefix), []byte(before))
	}
	var old openapi2.T
	if err := json.Unmarshal(text, &old); err != nil {
		return fmt.Errorf("reading the document: %w", err)
	}
	document, err := openapi2conv.ToV3(&old)
	if err != nil {
		return fmt.Errorf("converting the document: %w", err)
	}
	if err := complete(document); err != nil {
		return err
	}
	if text, err = json.MarshalIndent(document, "", "  "); err != nil {
		return fmt.Errorf("writing the document: %w", err)
	}
	// References are followed where it is read.
	read, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return fmt.Errorf("reading what was made: %w", err)
	}
	if err := read.Validate(context.Background()); err != nil {
		return fmt.Errorf("checking what was made: %w", err)
	}
	_, err = out.Write(append(text, '\n'))
	return err
}

// complete adds what is true of all methods: who may call, what can be sent beside the
// request, and that errors are problem documents and not plain JSON.
func complete(document *openapi3.T) error {
	document.Servers = openapi3.Servers{{URL: "/"}}
	document.Components.SecuritySchemes = openapi3.SecuritySchemes{"bearer": {Value: &openapi3.SecurityScheme{
		Type: "http", Scheme: "bearer", Description: "A token that the configuration names as a caller's, or a JWT of an issuer that it names.",
	}}}
	// An empty requirement says that a call without one may be let in.
	document.Security = *openapi3.NewSecurityRequirements().
		With(openapi3.NewSecurityRequirement().Authenticate("bearer")).With(openapi3.NewSecurityRequirement())
	document.Components.Parameters = openapi3.ParametersMap{"RequestId": {Value: openapi3.NewHeaderParameter("X-Request-Id").
		WithDescription("A name for the request, at most 128 letters, digits and -_.:, which the answer carries too.").
		WithSchema(openapi3.NewStringSchema())}}
	document.Components.Headers = openapi3.Headers{}
	for name, description := range map[string]string{
		"X-Request-Id": "The request's own.",
		"Trace-Id":     "Finds the request in logs and traces, as 32 hex digits.",
		"Retry-After":  "How many seconds to wait before it is worth a repeat.",
	} {
		document.Components.Headers[name] = &openapi3.HeaderRef{Value: &openapi3.Header{Parameter: openapi3.Parameter{
			Description: description, Schema: openapi3.NewStringSchema().NewRef(),
		}}}
	}
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			operation.Parameters = append(operation.Parameters, &openapi3.ParameterRef{Ref: "#/components/parameters/RequestId"})
			// The first sentence is what lists of methods show.
			if first, _, more := strings.Cut(operation.Summary, ". "); more {
				operation.Summary, operation.Description = first+".", operation.Summary
			}
			if err := answers(operation); err != nil {
				return fmt.Errorf("%s %s: %w", method, path, err)
			}
		}
	}
	return nil
}

var errNoAnswer = errors.New("the document tells nothing of the answer, or of errors")

// answers completes what a method answers.
func answers(operation *openapi3.Operation) error {
	failed := operation.Responses.Default()
	if failed == nil || operation.Responses.Status(200) == nil {
		return errNoAnswer
	}
	for status, response := range operation.Responses.Map() {
		response.Value.Headers = openapi3.Headers{}
		for _, name := range []string{"X-Request-Id", "Trace-Id", "Retry-After"} {
			if name != "Retry-After" || status == "default" {
				response.Value.Headers[name] = &openapi3.HeaderRef{Ref: "#/components/headers/" + name}
			}
		}
	}
	for _, content := range failed.Value.Content {
		failed.Value.Content = openapi3.Content{problemType: content}
	}
	return nil
}
