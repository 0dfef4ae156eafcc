// Package conformtest holds exchanges with AlvaoRestApi against Alvao's own OpenAPI document (certified Power Platform
// connector, v1.2), as far as that covers the call.
//
// The invariant: a call is either in the document, or listed in uncovered.go with the mark that its evidence has. What
// departs from the document is a [deviationtest.Problem]; which are right nonetheless is listed in deviations.go.
//
// The document is taken at its word beyond what it says: a schema's list of properties is complete, so that an unknown
// key is a problem.
package conformtest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/tandem-sync/tandem/services/sandbox/deviationtest"
	"github.com/tandem-sync/tandem/services/sandbox/tape"
)

// Base is the path of AlvaoRestApi in what is checked.
const Base = "/AlvaoRestApi"

// Link stands for the address of a file, which is wherever the answer that told of it says.
const Link = "attachments[].link"

// Sides of an exchange.
const (
	request = "request"
	reply   = "answer"
)

// Document is what Alvao's document describes.
type Document struct{ router routers.Router }

// Load reads the document, see [deviationtest.Shared].
func Load(tb testing.TB) *Document {
	tb.Helper()
	d, err := read(deviationtest.Shared(tb, "specs/alvao/apiDefinition.swagger.json"))
	if err != nil {
		tb.Fatal(err)
	}
	return d
}

func read(raw []byte) (*Document, error) {
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	closeObjects(doc)
	raw, err := json.Marshal(doc)
	if err != nil {
		return nil, err
	}
	var v2 openapi2.T
	if err := json.Unmarshal(raw, &v2); err != nil {
		return nil, err
	}
	v3, err := openapi2conv.ToV3(&v2)
	if err != nil {
		return nil, err
	}
	v3.Servers = openapi3.Servers{{URL: Base}}
	router, err := gorillamux.NewRouter(v3)
	if err != nil {
		return nil, err
	}
	return &Document{router}, nil
}

// closeObjects closes every schema that lists properties against unknown keys.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, lists := v["properties"].(map[string]any); lists && v["type"] == "object" {
			if _, open := v["additionalProperties"]; !open {
				v["additionalProperties"] = false
			}
		}
		for _, inner := range v {
			closeObjects(inner)
		}
	case []any:
		for _, inner := range v {
			closeObjects(inner)
		}
	}
}

// Outcome is what checking an exchange gave.
type Outcome struct {
	// Operation is method and path, such as "GET /v1/tickets/{ticketId}"; empty where nothing was to be checked.
	Operation string
	// Covered tells that the document has the operation.
	Covered bool
	// Request and Answer tell which side was looked at: the request if sync-core sent it, the answer if the stand-in gave
	// it.
	Request, Answer bool
	Problems        []deviationtest.Problem
}

func (o *Outcome) problem(side, at, what string) {
	p := deviationtest.Problem{Operation: o.Operation, Side: side, At: at, What: what}
	if !slices.Contains(o.Problems, p) {
		o.Problems = append(o.Problems, p)
	}
}

// Check holds an exchange against the document.
func (d *Document) Check(x tape.Exchange) Outcome {
	path, isAlvao := below(x.Path)
	if !isAlvao {
		return Outcome{}
	}
	out := Outcome{Request: x.By == tape.Client || fromTandem(x), Answer: x.By == tape.Server && x.Status != 0}
	if !out.Request && !out.Answer {
		return Outcome{}
	}
	query, err := url.ParseQuery(strings.ReplaceAll(x.Query, ";", "%3B"))
	if err != nil {
		out.problem(request, "query", "it can't be read")
		query = url.Values{}
	}
	in, err := d.input(x, path, query)
	out.Operation = x.Method + " " + generic(path)
	if in != nil && err == nil {
		out.Covered, out.Operation = true, x.Method+" "+in.Route.Path
	}
	if !out.Covered && x.Header["Accept"] == "*/*" {
		out.Operation = x.Method + " " + Link
	}
	// What the stand-in refused may have been wrong on purpose.
	if out.Request && (x.By == tape.Client || x.Status != http.StatusBadRequest) {
		out.checkRequest(x, in, query)
	}
	if out.Answer {
		out.checkAnswer(x, in)
	}
	return out
}

// below is the path below Base, without regard to letter case and to where Base lies.
func below(path string) (string, bool) {
	at := strings.Index(strings.ToLower(path), strings.ToLower(Base)+"/")
	if at < 0 {
		return "", false
	}
	return path[at+len(Base):], true
}

// fromTandem tells requests of sync-core from those that tests send to the stand-in: it says what it accepts.
func fromTandem(x tape.Exchange) bool {
	return x.Header["Accept"] == "application/json" || x.Header["Accept"] == "*/*"
}

var number = regexp.MustCompile(`^\d+$`)

// generic is a path without values.
func generic(path string) string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if number.MatchString(s) {
			segments[i] = "{id}"
		}
	}
	return strings.Join(segments, "/")
}

// input is the exchange as the library reads it; nil with an error where the document has no such call.
func (d *Document) input(x tape.Exchange, path string, query url.Values) (*openapi3filter.RequestValidationInput, error) {
	body := x.Request.Text
	target := url.URL{Path: Base + path, RawQuery: query.Encode()}
	r, err := http.NewRequestWithContext(context.Background(), x.Method, target.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	if body == "" {
		r.Body = http.NoBody
	}
	for k, v := range x.Header {
		r.Header.Set(k, v)
	}
	route, parameters, err := d.router.FindRoute(r)
	if err != nil {
		return nil, err
	}
	return &openapi3filter.RequestValidationInput{
		Request: r, PathParams: parameters, QueryParams: query, Route: route,
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true,
			RejectWhenRequestBodyNotSpecified: true, SkipSettingDefaults: true, ExcludeRequestBody: x.Request.Cut,
			SchemaValidationOptions: deviationtest.Formats(),
		},
	}, nil
}

func (o *Outcome) checkRequest(x tape.Exchange, in *openapi3filter.RequestValidationInput, query url.Values) {
	if x.Scheme == "" {
		o.problem(request, "header Authorization", "no credential is sent")
	}
	if in == nil {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if in.Route.Operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, name) == nil {
			o.problem(request, "query "+name, "the parameter is not in the document")
		}
	}
	deviationtest.Each(openapi3filter.ValidateRequest(context.Background(), in), func(at, what string) { o.problem(request, at, what) })
}

func (o *Outcome) checkAnswer(x tape.Exchange, in *openapi3filter.RequestValidationInput) {
	success := x.Status >= 200 && x.Status <= 299
	if !success {
		o.checkRefusal(x)
	}
	if in == nil || x.Reply.Cut {
		return
	}
	if !success {
		if x.Status != http.StatusUnauthorized && in.Route.Operation.Responses.Status(x.Status) == nil {
			o.problem(reply, "status", fmt.Sprintf("%d is not in the document", x.Status))
		}
		return
	}
	if in.Route.Operation.Responses.Status(x.Status) == nil {
		o.problem(reply, "status", fmt.Sprintf("%d is not in the document", x.Status))
		return
	}
	answer := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: x.Status, Header: http.Header{}, Options: in.Options,
		Body: io.NopCloser(strings.NewReader(x.Reply.Text)),
	}
	for k, v := range x.Answer {
		answer.Header.Set(k, v)
	}
	deviationtest.Each(openapi3filter.ValidateResponse(context.Background(), answer), func(at, what string) { o.problem(reply, at, what) })
}

// checkRefusal holds what is no success against the three bodies that are in evidence (alvao.md §1.2), and against none.
func (o *Outcome) checkRefusal(x tape.Exchange) {
	media, _, _ := mime.ParseMediaType(x.Answer["Content-Type"])
	if x.Reply.Cut || x.Reply.Size == 0 || media == "text/plain" { // IIS answers by itself, too
		return
	}
	var body map[string]json.RawMessage
	if err := json.Unmarshal([]byte(x.Reply.Text), &body); err != nil {
		o.problem(reply, "body", "a refusal is no JSON object")
		return
	}
	keys := map[string]bool{}
	for key := range body {
		keys[strings.ToLower(key)] = true
	}
	if !keys["message"] && !keys["error"] && (!keys["title"] || !keys["errors"]) {
		o.problem(reply, "body", "a refusal has none of the known shapes")
	}
}
