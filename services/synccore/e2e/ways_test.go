//go:build e2e

package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/tandem-sync/tandem/gen/tandem/v1" // its descriptors
)

// refusal is an error as both ways tell it; the zero value: there is none.
type refusal struct {
	// Status is the HTTP status, or what the gRPC code becomes.
	Status int
	Reason string
	// Violations are the fields that break a rule.
	Violations []string
	// Retry tells that a time to wait was told.
	Retry bool
}

// asking is what a call carries beside its request.
type asking struct {
	// Token is who calls; empty: nobody.
	Token string
	// Key makes a repeat harmless.
	Key string
	// Until ends a stream: it is asked after each message.
	Until func(proto.Message) bool
}

// way is how methods are called: gRPC or REST.
type way interface {
	// call calls a method and returns its answer, of a stream the last message, or how it
	// was refused.
	call(t *testing.T, method protoreflect.MethodDescriptor, request proto.Message, a asking) (proto.Message, refusal)
}

// methods are all methods of tandem.v1 by full name, such as tandem.v1.LinkService.GetLink.
func methods() map[protoreflect.FullName]protoreflect.MethodDescriptor {
	found := map[protoreflect.FullName]protoreflect.MethodDescriptor{}
	protoregistry.GlobalFiles.RangeFilesByPackage("tandem.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				found[service.Methods().Get(j).FullName()] = service.Methods().Get(j)
			}
		}
		return true
	})
	return found
}

// answerOf is an empty answer of a method.
func answerOf(t *testing.T, method protoreflect.MethodDescriptor) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(method.Output().FullName())
	if err != nil {
		t.Fatal(err)
	}
	return kind.New().Interface()
}

// overGRPC calls sync-core.
type overGRPC struct{ conn *grpc.ClientConn }

func (g overGRPC) call(t *testing.T, method protoreflect.MethodDescriptor, request proto.Message, a asking) (proto.Message, refusal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if a.Token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+a.Token)
	}
	if a.Key != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "idempotency-key", a.Key)
	}
	path := fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
	answer := answerOf(t, method)
	if !method.IsStreamingServer() {
		err := g.conn.Invoke(ctx, path, request, answer)
		return answer, refusalOf(t, err)
	}
	stream, err := g.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path)
	if err == nil {
		err = errors.Join(stream.SendMsg(request), stream.CloseSend())
	}
	for err == nil {
		answer = answerOf(t, method)
		if err = stream.RecvMsg(answer); err == nil && a.Until(answer) {
			return answer, refusal{}
		}
	}
	return answer, refusalOf(t, err)
}

// refusalOf reads a status.
func refusalOf(t *testing.T, err error) refusal {
	t.Helper()
	if err == nil {
		return refusal{}
	}
	state := status.Convert(err)
	r := refusal{Status: httpStatus(state.Code())}
	for _, detail := range state.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() != "tandem.v1" {
				t.Errorf("the domain of %v is %q", err, d.GetDomain())
			}
			r.Reason = d.GetReason()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				r.Violations = append(r.Violations, v.GetField())
			}
		case *errdetails.RetryInfo:
			r.Retry = d.GetRetryDelay().AsDuration() > 0
		}
	}
	if r.Reason == "" {
		t.Errorf("%v has no reason", err)
	}
	return r
}

// binding is one line of rest.yaml.
type binding struct {
	Selector           string
	Get, Post, Delete  string
	Body               string
	AdditionalBindings []binding `yaml:"additional_bindings"`
}

// verb is the HTTP method and the pattern of the path.
func (b binding) verb() (string, string) {
	switch {
	case b.Get != "":
		return http.MethodGet, b.Get
	case b.Post != "":
		return http.MethodPost, b.Post
	default:
		return http.MethodDelete, b.Delete
	}
}

// readBindings reads rest.yaml: by the method's full name, its bindings.
func readBindings(t *testing.T) map[protoreflect.FullName][]binding {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "proto", "tandem", "v1", "rest.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		HTTP struct{ Rules []binding }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	found := map[protoreflect.FullName][]binding{}
	for _, rule := range file.HTTP.Rules {
		found[protoreflect.FullName(rule.Selector)] = append([]binding{rule}, rule.AdditionalBindings...)
	}
	return found
}

// overREST calls the gateway.
type overREST struct {
	client   *http.Client
	url      string
	bindings map[protoreflect.FullName][]binding
	// called are the operations of the document that were.
	called map[string]bool
}

// inPath is the variable of a pattern, such as {name=connectors/*}.
var inPath = regexp.MustCompile(`\{(\w+)=([^}]+)\}`)

// httpRequest turns a request into one of HTTP, by the binding that its name fits.
func (o overREST) httpRequest(ctx context.Context, t *testing.T, method protoreflect.MethodDescriptor, request proto.Message) *http.Request {
	t.Helper()
	for _, one := range o.bindings[method.FullName()] {
		verb, pattern := one.verb()
		rest := proto.CloneOf(request)
		if variable := inPath.FindStringSubmatch(pattern); variable != nil {
			field := rest.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(variable[1]))
			name := rest.ProtoReflect().Get(field).String()
			shape := "^" + strings.ReplaceAll(regexp.QuoteMeta(variable[2]), `\*`, `[^/]+`) + "$"
			if !regexp.MustCompile(shape).MatchString(name) {
				continue
			}
			rest.ProtoReflect().Clear(field)
			pattern = strings.Replace(pattern, variable[0], name, 1)
		}
		body, err := protojson.Marshal(rest)
		if err != nil {
			t.Fatal(err)
		}
		address := o.url + pattern
		if one.Body == "" {
			var fields map[string]any
			if err := json.Unmarshal(body, &fields); err != nil {
				t.Fatal(err)
			}
			query := url.Values{}
			for name, value := range fields {
				query.Set(name, fmt.Sprint(value))
			}
			address, body = address+"?"+query.Encode(), nil
		}
		made, err := http.NewRequestWithContext(ctx, verb, address, strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	t.Fatalf("no binding of %s in rest.yaml fits %v", method.FullName(), request)
	return nil
}

func (o overREST) call(t *testing.T, method protoreflect.MethodDescriptor, request proto.Message, a asking) (proto.Message, refusal) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	asked := o.httpRequest(ctx, t, method, request)
	id := fmt.Sprintf("test-%s-%d", method.Name(), time.Now().UnixNano())
	asked.Header.Set("X-Request-Id", id)
	if a.Token != "" {
		asked.Header.Set("Authorization", "Bearer "+a.Token)
	}
	if a.Key != "" {
		asked.Header.Set("Idempotency-Key", a.Key)
	}
	response, err := o.client.Do(asked)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.TLS == nil || len(response.TLS.PeerCertificates) == 0 {
		t.Errorf("%s came without TLS", asked.URL)
	}
	if got := response.Header.Get("X-Request-Id"); got != id {
		t.Errorf("%s %s: X-Request-Id is %q, want %q", asked.Method, asked.URL, got, id)
	}
	if response.Header.Get("Trace-Id") == "" {
		t.Errorf("%s %s: there is no Trace-Id", asked.Method, asked.URL)
	}
	if response.StatusCode == http.StatusOK && method.IsStreamingServer() {
		return o.lines(t, method, asked, response, a)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	operation := wantDocumented(t, asked.Method, asked.URL.String(), response.StatusCode, response.Header, string(body))
	if o.called[operation] = true; operation == "" {
		t.Errorf("%s %s is not in the document", asked.Method, asked.URL)
	}
	answer := answerOf(t, method)
	if response.StatusCode != http.StatusOK {
		return answer, problemOf(t, response, body)
	}
	if err := protojson.Unmarshal(body, answer); err != nil {
		t.Errorf("%s %s answers %s: %v", asked.Method, asked.URL, body, err)
	}
	return answer, refusal{}
}

// lines reads a stream as lines of JSON.
func (o overREST) lines(t *testing.T, method protoreflect.MethodDescriptor, asked *http.Request, response *http.Response, a asking) (proto.Message, refusal) {
	t.Helper()
	if operation := wantDocumented(t, asked.Method, asked.URL.String(), response.StatusCode, response.Header, "{}"); operation != "" {
		o.called[operation] = true
	}
	if kind := response.Header.Get("Content-Type"); kind != "application/x-ndjson" {
		t.Errorf("a stream is %s", kind)
	}
	answer := answerOf(t, method)
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		wantDocumentedLine(t, lines.Bytes())
		var line struct{ Result, Error json.RawMessage }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line.Error != nil {
			return answer, problemOf(t, response, line.Error)
		}
		answer = answerOf(t, method)
		if err := protojson.Unmarshal(line.Result, answer); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		if a.Until(answer) {
			return answer, refusal{}
		}
	}
	t.Errorf("the stream ended without a word: %v", lines.Err())
	return answer, refusal{}
}

// problemOf reads a problem document.
func problemOf(t *testing.T, response *http.Response, body []byte) refusal {
	t.Helper()
	var p struct {
		Type, Title, Detail, Reason, TraceID string
		Status                               int
		Violations                           []struct{ Field, Description string }
	}
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	if p.Type != "about:blank" || p.Title != http.StatusText(p.Status) || p.Detail == "" || p.TraceID != response.Header.Get("Trace-Id") {
		t.Errorf("the problem is %s", body)
	}
	r := refusal{Status: p.Status, Reason: p.Reason, Retry: response.Header.Get("Retry-After") != ""}
	for _, v := range p.Violations {
		r.Violations = append(r.Violations, v.Field)
	}
	return r
}
