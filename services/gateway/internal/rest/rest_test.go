package rest_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/gateway/internal/app"
	"github.com/tandem-sync/tandem/services/gateway/internal/rest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "a-token-of-the-api"

// core implements one method of each service and keeps what it is told.
type core struct {
	tandemv1.UnimplementedEventServiceServer
	tandemv1.UnimplementedLinkServiceServer
	tandemv1.UnimplementedConnectorServiceServer

	mu       sync.Mutex
	events   *tandemv1.ListEventsRequest
	ingested *tandemv1.IngestEventRequest
	sync     *tandemv1.SyncLinkRequest
	metadata metadata.MD
	fail     error
}

func (c *core) note(ctx context.Context, set func()) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.metadata, _ = metadata.FromIncomingContext(ctx)
	if c.fail == nil {
		set()
	}
	return c.fail
}

func (c *core) ListEvents(ctx context.Context, r *tandemv1.ListEventsRequest) (*tandemv1.ListEventsResponse, error) {
	return &tandemv1.ListEventsResponse{Events: []*tandemv1.Event{{Name: "connectors/a/events/1", ItemId: 7, State: tandemv1.Event_STATE_DEAD}}, NextPageToken: "n"},
		c.note(ctx, func() { c.events = r })
}

func (c *core) IngestEvent(ctx context.Context, r *tandemv1.IngestEventRequest) (*tandemv1.IngestEventResponse, error) {
	return &tandemv1.IngestEventResponse{Disposition: tandemv1.IngestEventResponse_DISPOSITION_STORED}, c.note(ctx, func() { c.ingested = r })
}

func (c *core) SyncLink(ctx context.Context, r *tandemv1.SyncLinkRequest) (*tandemv1.SyncLinkResponse, error) {
	return &tandemv1.SyncLinkResponse{}, c.note(ctx, func() { c.sync = r })
}

func (c *core) ListConnectors(ctx context.Context, _ *tandemv1.ListConnectorsRequest) (*tandemv1.ListConnectorsResponse, error) {
	return &tandemv1.ListConnectorsResponse{}, c.note(ctx, func() {})
}

func start(t *testing.T, c *core) http.Handler {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	tandemv1.RegisterEventServiceServer(server, c)
	tandemv1.RegisterLinkServiceServer(server, c)
	tandemv1.RegisterConnectorServiceServer(server, c)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	conn, err := app.DialCore(app.CoreConfig{Target: "passthrough:///core", Timeout: 2 * time.Second},
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-done
	})
	handler, err := rest.NewAPI(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return handler
}

func call(t *testing.T, handler http.Handler, method, target, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	wantDocumented(t, method, target, w)
	return w
}

// problem is what a problem document says.
type problem struct {
	Type, Title, Detail, Reason string
	Status                      int
	Violations                  []map[string]string
}

func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int, reason string) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("answer %d %q is no JSON: %v", w.Code, w.Body, err)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("media type %q, want application/problem+json", got)
	}
	if w.Code != status || p.Status != status || p.Reason != reason || p.Type != "about:blank" || p.Title != http.StatusText(status) || p.Detail == "" {
		t.Errorf("answer %d %+v, want %d with reason %q", w.Code, p, status, reason)
	}
	return p
}

// TestAuthorizationIsPassedOn: sync-core decides by what the caller sent, and never takes a
// call for the gateway's own.
func TestAuthorizationIsPassedOn(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		sent []string
		want []string
	}{
		"token":   {[]string{"Bearer " + token}, []string{"Bearer " + token}},
		"none":    {nil, []string{"Anonymous"}},
		"empty":   {[]string{""}, []string{"Anonymous"}},
		"Basic":   {[]string{"Basic abc"}, []string{"Basic abc"}},
		"several": {[]string{"Bearer a", "Bearer b"}, []string{"Bearer a", "Bearer b"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &core{}
			w := call(t, start(t, c), http.MethodGet, "/v1/connectors", "", func(r *http.Request) { r.Header["Authorization"] = tt.sent })
			if w.Code != 200 {
				t.Errorf("answer %d %s", w.Code, w.Body)
			}
			if diff := cmp.Diff(tt.want, c.metadata.Get("authorization")); diff != "" {
				t.Errorf("authorization (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("from another site's page", func(t *testing.T) {
		t.Parallel()
		c := &core{}
		w := call(t, start(t, c), http.MethodPost, "/v1/events:ingest", "{}", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") })
		if w.Code != 403 || c.metadata != nil {
			t.Errorf("answer %d %s", w.Code, w.Body)
		}
	})
}

// TestJSONNames: requests and answers speak protobuf's JSON names.
func TestJSONNames(t *testing.T) {
	t.Parallel()
	c := &core{}
	handler := start(t, c)

	w := call(t, handler, http.MethodGet, "/v1/connectors/-/events?pageSize=3&pageToken=p&state=STATE_DEAD", "", nil)
	if w.Code != 200 {
		t.Fatalf("answer %d %s", w.Code, w.Body)
	}
	if c.events.GetParent() != "connectors/-" || c.events.GetPageSize() != 3 || c.events.GetPageToken() != "p" || c.events.GetState() != tandemv1.Event_STATE_DEAD {
		t.Errorf("request is %v", c.events)
	}
	var got struct {
		Events []map[string]any `json:"events"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(w.Body.String(), `"nextPageToken":"n"`) || len(got.Events) != 1 {
		t.Fatalf("no nextPageToken or no event in %s", w.Body)
	}
	event := got.Events[0]
	want := map[string]any{"name": "connectors/a/events/1", "itemId": "7", "state": "STATE_DEAD", "attemptCount": 0.0, "system": "SYSTEM_UNSPECIFIED"}
	for key, value := range want {
		if diff := cmp.Diff(value, event[key]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}

	w = call(t, handler, http.MethodPost, "/v1/events:ingest", `{"connector":"a","system":"SYSTEM_ALVAO","itemId":"7","eventId":"e"}`, nil)
	if w.Code != 200 || c.ingested.GetItemId() != 7 || c.ingested.GetEventId() != "e" {
		t.Errorf("answer %d %s to request %v", w.Code, w.Body, c.ingested)
	}
	w = call(t, handler, http.MethodPost, "/v1/connectors/a/links/9:sync", `{}`, nil)
	if w.Code != 200 || c.sync.GetName() != "connectors/a/links/9" {
		t.Errorf("answer %d %s to request %v", w.Code, w.Body, c.sync)
	}
}

// TestRequestIDIsPassedOn: sync-core's log tells by what name a caller knows the call.
func TestRequestIDIsPassedOn(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string][]string{"portal-7": {"portal-7"}, "no name": nil, "": nil} {
		c := &core{}
		call(t, start(t, c), http.MethodGet, "/v1/connectors", "", func(r *http.Request) { r.Header.Set("X-Request-Id", sent) })
		if diff := cmp.Diff(want, c.metadata.Get("x-request-id")); diff != "" {
			t.Errorf("%q (-want +got):\n%s", sent, diff)
		}
	}
}

// TestNothingElseIsPassedOn: sync-core sees no header but the authorization.
func TestNothingElseIsPassedOn(t *testing.T) {
	t.Parallel()
	c := &core{}
	w := call(t, start(t, c), http.MethodGet, "/v1/connectors", "", func(r *http.Request) {
		r.Header.Set("Grpc-Metadata-X", "planted")
		r.Header.Set("Cookie", "planted")
		r.Header.Set("Grpc-Timeout", "1n")
	})
	if w.Code != 200 {
		t.Fatalf("answer %d %s", w.Code, w.Body)
	}
	for key, values := range c.metadata {
		if text := strings.Join(values, " "); key != "authorization" && strings.Contains(text, token) || strings.Contains(text, "planted") {
			t.Errorf("metadata %s is %q", key, text)
		}
	}
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	handler := start(t, &core{})
	for _, tt := range []struct {
		name, method, target, body string
		status                     int
	}{
		{"no such path", http.MethodGet, "/v1/nothing/here/at/all/x", "", 404},
		{"wrong method", http.MethodDelete, "/v1/connectors", "", 405},
		{"unknown field", http.MethodPost, "/v1/events:ingest", `{"conector":"a"}`, 400},
		{"malformed", http.MethodPost, "/v1/events:ingest", `{`, 400},
		{"wrong type", http.MethodGet, "/v1/connectors?pageSize=many", "", 400},
		{"unknown parameter", http.MethodGet, "/v1/connectors/a/events?state=NOPE", "", 400},
		{"too large", http.MethodPost, "/v1/events:ingest", `{"connector":"` + strings.Repeat("a", 256<<10) + `"}`, 413},
		{"no UTF-8", http.MethodPost, "/v1/events:ingest", "{\"connector\":\"\xff\xfe\"}", 400},
		{"no UTF-8 in a path", http.MethodPost, "/v1/connectors/%ff/links/1:sync", "{}", 400},
		{"no UTF-8 in a query", http.MethodGet, "/v1/connectors?pageToken=%ff%fe", "", 400},
		{"a broken query", http.MethodGet, "/v1/connectors?pageToken=%zz", "", 400},
		{"compressed", http.MethodPost, "/v1/events:ingest", "\x1f\x8b\x08\x00", 400},
		{"a number that is none", http.MethodPost, "/v1/events:ingest", `{"itemId":1e400}`, 400},
		{"twice the same", http.MethodPost, "/v1/events:ingest", `{"connector":"a","connector":"b"}`, 400},
		{"deep", http.MethodPost, "/v1/events:ingest", strings.Repeat("[", 100_000), 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			reason := "INVALID_REQUEST"
			if tt.status == http.StatusNotFound || tt.status == http.StatusMethodNotAllowed {
				reason = "UNKNOWN_METHOD"
			}
			wantProblem(t, call(t, handler, tt.method, tt.target, tt.body, nil), tt.status, reason)
		})
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	own := func(code codes.Code, text string, details ...protoadapt.MessageV1) error {
		s, err := status.New(code, text).WithDetails(details...)
		if err != nil {
			t.Fatal(err)
		}
		return s.Err()
	}
	info := func(reason string) protoadapt.MessageV1 {
		return protoadapt.MessageV1Of(&errdetails.ErrorInfo{Reason: reason, Domain: "tandem.v1"})
	}
	for _, tt := range []struct {
		name   string
		err    error
		status int
		reason string
		detail string
		not    string
	}{
		{"unknown link", own(codes.NotFound, "Ticket 7 has no link.", info("UNKNOWN_LINK")), 404, "UNKNOWN_LINK", "Ticket 7 has no link.", ""},
		{"store away", own(codes.Unavailable, "Redis can't be reached.", info("STORE_UNAVAILABLE")), 503, "STORE_UNAVAILABLE", "Redis can't be reached.", ""},
		{"foreign reason", own(codes.NotFound, "Nothing.", protoadapt.MessageV1Of(&errdetails.ErrorInfo{Reason: "X", Domain: "example.com"})), 404, "", "Nothing.", ""},
		{"internal without details", status.Error(codes.Internal, "nil pointer at 10.0.0.7"), 500, "", "unexpected error", "10.0.0.7"},
		{"unknown", errors.New("nil pointer at 10.0.0.7"), 500, "", "unexpected error", "10.0.0.7"},
		{"unavailable by gRPC", status.Error(codes.Unavailable, "dial tcp 10.0.0.7"), 503, "CORE_UNAVAILABLE", "try again", "10.0.0.7"},
		{"unimplemented", status.Error(codes.Unimplemented, "unknown method"), 501, "", "different versions", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := call(t, start(t, &core{fail: tt.err}), http.MethodPost, "/v1/connectors/a/links/9:sync", "{}", nil)
			p := wantProblem(t, w, tt.status, tt.reason)
			if tt.status == http.StatusServiceUnavailable && tt.reason == "CORE_UNAVAILABLE" && w.Header().Get("Retry-After") != "1" {
				t.Errorf("Retry-After is %q", w.Header().Get("Retry-After"))
			}
			if !strings.Contains(p.Detail, tt.detail) || tt.not != "" && strings.Contains(w.Body.String(), tt.not) {
				t.Errorf("detail is %q, want it to say %q and not %q", p.Detail, tt.detail, tt.not)
			}
		})
	}
	t.Run("credentials", func(t *testing.T) {
		t.Parallel()
		w := call(t, start(t, &core{fail: own(codes.Unauthenticated, "The token has expired.", info("UNAUTHENTICATED"))}), http.MethodGet, "/v1/connectors", "", nil)
		wantProblem(t, w, 401, "UNAUTHENTICATED")
		if got := w.Header().Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") {
			t.Errorf("WWW-Authenticate is %q", got)
		}
		w = call(t, start(t, &core{fail: own(codes.PermissionDenied, "No.", info("PERMISSION_DENIED"))}), http.MethodGet, "/v1/connectors", "", nil)
		wantProblem(t, w, 403, "PERMISSION_DENIED")
		w = call(t, start(t, &core{fail: own(codes.ResourceExhausted, "Too often.", info("RATE_LIMITED"),
			protoadapt.MessageV1Of(&errdetails.RetryInfo{RetryDelay: durationpb.New(20 * time.Millisecond)}))}), http.MethodGet, "/v1/connectors", "", nil)
		wantProblem(t, w, 429, "RATE_LIMITED")
		if got := w.Header().Get("Retry-After"); got != "1" {
			t.Errorf("Retry-After is %q, want 1", got)
		}
	})
	t.Run("violations and retry", func(t *testing.T) {
		t.Parallel()
		err := own(codes.InvalidArgument, "The request breaks a rule.", info("INVALID_REQUEST"),
			protoadapt.MessageV1Of(&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "name", Description: "It is required."}}}),
			protoadapt.MessageV1Of(&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)}))
		w := call(t, start(t, &core{fail: err}), http.MethodPost, "/v1/connectors/a/links/9:sync", "{}", nil)
		p := wantProblem(t, w, 400, "INVALID_REQUEST")
		if diff := cmp.Diff([]map[string]string{{"field": "name", "description": "It is required."}}, p.Violations); diff != "" {
			t.Errorf("violations (-want +got):\n%s", diff)
		}
		if got := w.Header().Get("Retry-After"); got != "2" {
			t.Errorf("Retry-After is %q, want 2", got)
		}
	})
}

func TestOpenAPI(t *testing.T) {
	t.Parallel()
	w := call(t, rest.OpenAPI(), http.MethodGet, "/openapi.json", "", func(r *http.Request) { r.Header.Del("Authorization") })
	var document struct {
		Paths map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &document); err != nil || w.Code != 200 || document.Paths["/v1/connectors"] == nil {
		t.Errorf("answer %d, %v: no document with /v1/connectors", w.Code, err)
	}
	wantProblem(t, call(t, rest.OpenAPI(), http.MethodPost, "/openapi.json", "", nil), 405, "")
	wantProblem(t, call(t, rest.NotFound(), http.MethodGet, "/x", "", nil), 404, "")
}
