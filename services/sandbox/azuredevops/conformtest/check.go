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

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"

	"github.com/tandem-sync/tandem/services/sandbox/deviationtest"
	"github.com/tandem-sync/tandem/services/sandbox/tape"
)

// Sides of an exchange.
const (
	request = "request"
	reply   = "answer"
)

// Outcome is what checking an exchange gave.
type Outcome struct {
	// Operation is empty where nothing was to be checked.
	Operation string
	// Request and Answer tell what was held against the documents.
	Request, Answer bool
	Problems        []deviationtest.Problem
}

// Check holds an exchange against the documents: the request if sync-core sent it, the answer if the stand-in gave it.
func (d *Documents) Check(x tape.Exchange) Outcome {
	before, after, isAPI := split(x)
	if !isAPI {
		return Outcome{}
	}
	c := checking{x: x, asks: x.By == tape.Client || fromTandem(x), answers: x.By == tape.Server && x.Status != 0}
	if !c.asks && !c.answers {
		return Outcome{}
	}
	var err error
	if c.query, err = url.ParseQuery(strings.ReplaceAll(x.Query, ";", "%3B")); err != nil {
		c.query = url.Values{}
	}
	op, known := d.find(x.Method, before, after, c.query)
	c.op = op
	switch {
	case known:
		c.out.Operation = op.name
	case c.answers && !c.asks && x.Status == http.StatusNotFound && strings.HasPrefix(x.Answer["Content-Type"], "text/plain"):
		return Outcome{} // both the documents and the stand-in know no such call
	default:
		c.out.Operation, c.out.Request, c.out.Answer = x.Method+" "+generic(after), c.asks, c.answers
		if c.asks || succeeded(x.Status) {
			c.problem(request, "path", "no document has this call")
		}
		c.checkRefusal()
		return c.out
	}
	c.input()
	if c.asks {
		c.out.Request = true
		c.checkRequest()
	}
	if c.answers {
		c.out.Answer = true
		c.checkAnswer()
	}
	return c.out
}

// fromTandem tells requests of sync-core from those that tests and other clients send to the stand-in.
func fromTandem(x tape.Exchange) bool {
	agent := x.Header["User-Agent"]
	microsofts := strings.HasPrefix(agent, "node-") || strings.HasPrefix(agent, "azure-devops-node-api/")
	return x.Header["X-Tfs-Fedauthredirect"] != "" && !microsofts
}

// split takes a path apart around _apis, beginning with the organisation in every form that URLs have.
func split(x tape.Exchange) ([]string, []string, bool) {
	segments := strings.Split(strings.Trim(x.Path, "/"), "/")
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return nil, nil, false
		}
		segments[i] = plain
	}
	apis := slices.IndexFunc(segments, func(s string) bool { return strings.EqualFold(s, "_apis") })
	if apis < 0 || apis == len(segments)-1 && x.Method != http.MethodOptions {
		return nil, nil, false
	}
	before, after := segments[:apis], segments[apis+1:]
	if organization, legacy := strings.CutSuffix(x.Host, ".visualstudio.com"); legacy {
		before = append([]string{organization}, before...)
	}
	if len(before) > 0 && (before[0] == "tfs" || before[0] == "azuredevops") {
		before = before[1:] // a Server's virtual folder, or the stand-in's
	}
	return before, after, true
}

var value = regexp.MustCompile(`^\$|^\d+$|^[0-9a-fA-F-]{36}$`)

// generic is a path behind _apis without values.
func generic(after []string) string {
	out := slices.Clone(after)
	for i, s := range out {
		if value.MatchString(s) || i > 0 && strings.EqualFold(out[i-1], "projects") {
			out[i] = "{}"
		}
	}
	return strings.ToLower(strings.Join(out, "/"))
}

type checking struct {
	x             tape.Exchange
	op            found
	asks, answers bool
	query         url.Values
	in            *openapi3filter.RequestValidationInput
	out           Outcome
}

func (c *checking) problem(side, at, what string) {
	p := deviationtest.Problem{Operation: c.out.Operation, Side: side, At: at, What: what}
	if !slices.Contains(c.out.Problems, p) {
		c.out.Problems = append(c.out.Problems, p)
	}
}

func (c *checking) input() {
	body := c.x.Request.Text
	if body == "" && c.x.Request.Size > 0 {
		body = "x" // what is no text is not kept; its type is checked all the same
	}
	target := url.URL{Scheme: "https", Host: "dev.azure.com", Path: c.x.Path, RawQuery: c.query.Encode()}
	r, err := http.NewRequestWithContext(context.Background(), c.x.Method, target.String(), strings.NewReader(body))
	if err != nil {
		c.problem(request, "path", "the URL is unusable")
		r = &http.Request{Method: c.x.Method, URL: &url.URL{}, Header: http.Header{}}
	}
	if body == "" {
		r.Body = http.NoBody
	}
	for k, v := range c.x.Header {
		r.Header.Set(k, v)
	}
	c.in = &openapi3filter.RequestValidationInput{
		Request: r, PathParams: c.op.parameters, QueryParams: c.query, Route: c.op.route,
		Options: &openapi3filter.Options{
			AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true,
			RejectWhenRequestBodyNotSpecified: true, SkipSettingDefaults: true, ExcludeRequestBody: c.x.Request.Cut,
			SchemaValidationOptions: deviationtest.Formats(),
		},
	}
}

func (c *checking) checkRequest() {
	for _, note := range c.op.notes {
		c.problem(request, "path", note)
	}
	if c.x.Scheme == "" {
		c.problem(request, "header Authorization", "no credential is sent")
	}
	for _, name := range slices.Sorted(maps.Keys(c.query)) {
		if strings.EqualFold(name, "api-version") {
			if v := c.query.Get(name); v != c.op.version {
				c.problem(request, "query api-version", v+" is sent, not "+c.op.version)
			}
			continue
		}
		declared := c.op.route.Operation.Parameters.GetByInAndName(openapi3.ParameterInQuery, name)
		if declared == nil {
			c.problem(request, "query "+name, "the parameter is not in the document")
		}
	}
	c.collect(request, openapi3filter.ValidateRequest(context.Background(), c.in))
}

func (c *checking) checkAnswer() {
	status := c.x.Status
	if !succeeded(status) {
		c.problem(reply, "status", "refusals are not in the documents")
		c.checkRefusal()
		return
	}
	if c.x.Reply.Cut {
		return
	}
	in := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: c.in, Status: http.StatusOK, Header: http.Header{}, Options: c.in.Options,
	}
	if status != http.StatusOK {
		c.problem(reply, "status", fmt.Sprintf("%d, not 200", status))
	}
	for k, v := range c.x.Answer {
		in.Header.Set(k, v)
	}
	text := c.x.Reply.Text
	if c.isList() {
		text = c.unwrap(text)
	}
	if text == "" && c.x.Reply.Size > 0 { // what is no text is not kept
		declared := c.op.route.Operation.Responses.Status(http.StatusOK).Value.Content
		if media, _, _ := mime.ParseMediaType(c.x.Answer["Content-Type"]); declared.Get(media) == nil {
			c.problem(reply, "header Content-Type", media+" is not in the document")
		}
		return
	}
	in.Body = io.NopCloser(strings.NewReader(text))
	c.collect(reply, openapi3filter.ValidateResponse(context.Background(), in))
}

// succeeded leaves out 203, which is how a bad token looks.
func succeeded(status int) bool {
	return status >= 200 && status <= 299 && status != http.StatusNonAuthoritativeInfo
}

// isList tells whether the document promises a bare list.
func (c *checking) isList() bool {
	declared := c.op.route.Operation.Responses.Status(http.StatusOK)
	if declared == nil || declared.Value == nil {
		return false
	}
	media := declared.Value.Content.Get("application/json")
	return media != nil && media.Schema != nil && media.Schema.Value.Type.Is("array")
}

// unwrap takes a list out of the envelope that the service puts around it.
func (c *checking) unwrap(text string) string {
	var envelope map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &envelope); err != nil {
		return text
	}
	c.problem(reply, "body", "a list comes as count and value")
	var list []json.RawMessage
	count := -1
	if json.Unmarshal(envelope["count"], &count) != nil || json.Unmarshal(envelope["value"], &list) != nil || list == nil ||
		count != len(list) || len(envelope) != 2 {
		c.problem(reply, "body", "the envelope of a list is not count and value")
	}
	return string(envelope["value"])
}

// refusal has the two shapes that error bodies have (azure-devops.md §2.10).
func refusal() *openapi3.Schema {
	text := openapi3.NewStringSchema
	exception := openapi3.NewObjectSchema().
		WithProperty("$id", text()).
		WithProperty("innerException", openapi3.NewObjectSchema().WithNullable()).
		WithProperty("message", text()).WithProperty("typeName", text()).WithProperty("typeKey", text()).
		WithProperty("errorCode", openapi3.NewIntegerSchema()).WithProperty("eventId", openapi3.NewIntegerSchema()).
		WithProperty("customProperties", openapi3.NewObjectSchema().WithAnyAdditionalProperties()).
		WithRequired([]string{"$id", "innerException", "message", "typeName", "typeKey", "errorCode", "eventId"}).
		WithoutAdditionalProperties()
	malformed := openapi3.NewObjectSchema().
		WithProperty("count", openapi3.NewIntegerSchema().WithEnum(1.0)).
		WithProperty("value", openapi3.NewObjectSchema().WithProperty("Message", text()).WithRequired([]string{"Message"}).WithoutAdditionalProperties()).
		WithRequired([]string{"count", "value"}).WithoutAdditionalProperties()
	return openapi3.NewOneOfSchema(exception, malformed)
}

// checkRefusal holds what is no success against the forms that refusals have.
func (c *checking) checkRefusal() {
	status, kind := c.x.Status, c.x.Answer["Content-Type"]
	media, _, _ := mime.ParseMediaType(kind)
	switch {
	case !c.answers || succeeded(status):
		return
	case status == http.StatusNonAuthoritativeInfo:
		if media != "text/html" {
			c.problem(reply, "header Content-Type", "203 comes with "+media)
		}
	case status == http.StatusUnauthorized && c.x.Reply.Size == 0:
		if !strings.HasPrefix(c.x.Answer["Www-Authenticate"], "Basic realm=") {
			c.problem(reply, "header WWW-Authenticate", "401 names no Basic realm")
		}
	case status == http.StatusNotFound && media == "text/plain":
	case status == http.StatusTooManyRequests && c.x.Answer["Retry-After"] == "":
		c.problem(reply, "header Retry-After", "429 names no time")
	default:
		var body any
		if err := json.Unmarshal([]byte(c.x.Reply.Text), &body); err != nil {
			c.problem(reply, "body", "a refusal is no JSON")
			return
		}
		if err := refusal().VisitJSON(body); err != nil {
			c.problem(reply, "body", fmt.Sprintf("a refusal (%d) has none of the known shapes", status))
		}
	}
	if c.x.Answer["Activityid"] == "" {
		c.problem(reply, "header ActivityId", "it is missing")
	}
}

// collect makes problems of what the library found.
func (c *checking) collect(side string, err error) {
	deviationtest.Each(err, func(at, what string) { c.problem(side, at, what) })
}
