package access_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
)

func protoName(name string) protoreflect.Name { return protoreflect.Name(name) }

func find(t *testing.T, name string) method {
	t.Helper()
	for _, m := range methods(t) {
		if strings.HasSuffix(m.name, "/"+name) {
			return m
		}
	}
	t.Fatalf("there is no method %s", name)
	return method{}
}

// Of an answer about several connectors a caller of some sees theirs.
func TestAnswersAreFiltered(t *testing.T) {
	t.Parallel()
	w := setup(t, everybody)
	conn := w.dial(t)
	w.answer = func(m method) protoreflect.Message {
		switch string(m.desc.Name()) {
		case "ListConnectors":
			return (&tandemv1.ListConnectorsResponse{
				NextPageToken: "next",
				Connectors:    []*tandemv1.Connector{{Name: "connectors/another"}, {Name: "connectors/development"}, {Name: "connectors/other"}, {Name: ""}},
			}).ProtoReflect()
		case "ListEvents":
			return (&tandemv1.ListEventsResponse{Events: []*tandemv1.Event{
				{Name: "connectors/development/events/1", Reason: "connectors/other"}, {Reason: "nobody's"}, {Name: "connectors/other/events/2"}, {Name: "connectors/others/events/2"},
			}}).ProtoReflect()
		default:
			return dynamicpb.NewMessage(m.desc.Output())
		}
	}
	for _, tt := range []struct {
		method, token string
		want          []string
	}{
		{"ListConnectors", admin, []string{"connectors/another", "connectors/development", "connectors/other", ""}},
		{"ListConnectors", elsewhere, []string{"connectors/another", "connectors/other"}},
		{"ListConnectors", here, []string{"connectors/development"}},
		{"ListEvents", elsewhere, []string{"connectors/other/events/2"}},
		{"ListEvents", here, []string{"connectors/development/events/1"}},
	} {
		m := find(t, tt.method)
		got, err := call(t, conn, m, request(m, "-"), "Bearer "+tt.token)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		list := got.Get(m.desc.Output().Fields().Get(0)).List()
		for i := range list.Len() {
			item := list.Get(i).Message()
			names = append(names, item.Get(item.Descriptor().Fields().ByName("name")).String())
		}
		if diff := cmp.Diff(tt.want, names); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.method, diff)
		}
	}
	// Names are asked for, since what has none would be left out.
	asked := &tandemv1.ListConnectorsRequest{ReadMask: &fieldmaskpb.FieldMask{Paths: []string{"healthy"}}}
	ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", "Bearer "+here))
	_, err := w.guard.Unary(ctx, asked, &grpc.UnaryServerInfo{FullMethod: tandemv1.ConnectorService_ListConnectors_FullMethodName}, func(_ context.Context, req any) (any, error) {
		if asked, ok := req.(*tandemv1.ListConnectorsRequest); !ok || !slices.Contains(asked.GetReadMask().GetPaths(), "name") {
			t.Errorf("asked for %v", req)
		}
		return &tandemv1.ListConnectorsResponse{}, nil
	})
	if err != nil {
		t.Error(err)
	}
	// Of one connector all is theirs that names no other.
	history := find(t, "ListLinkHistory")
	w.answer = func(method) protoreflect.Message {
		return (&tandemv1.ListLinkHistoryResponse{Changes: []*tandemv1.LinkChange{{Action: "park"}, {Detail: "connectors/other"}}}).ProtoReflect()
	}
	got, err := call(t, conn, history, request(history, connector), "Bearer "+here)
	if err != nil || got.Get(history.desc.Output().Fields().ByName("changes")).List().Len() != 2 {
		t.Errorf("a history: %v, %v", got, err)
	}
	examples := find(t, "ListExamples")
	w.answer = func(method) protoreflect.Message {
		raw, err := structpb.NewStruct(map[string]any{"name": "x", "deep": map[string]any{"title": "connectors/other"}})
		if err != nil {
			t.Error(err)
		}
		return (&tandemv1.ListExamplesResponse{Tickets: []*structpb.Struct{raw}}).ProtoReflect()
	}
	got, err = call(t, conn, examples, request(examples, connector), "Bearer "+here)
	if err != nil || got.Get(examples.desc.Output().Fields().ByName("tickets")).List().Len() != 1 {
		t.Errorf("examples: %v, %v", got, err)
	}
	// What is another's although it was not asked for does not leave either.
	m := find(t, "GetLink")
	w.answer = func(method) protoreflect.Message {
		return (&tandemv1.GetLinkResponse{Link: &tandemv1.Link{Name: "connectors/development/links/7"}}).ProtoReflect()
	}
	if _, err := call(t, conn, m, request(m, "other"), "Bearer "+elsewhere); code(err) != codes.PermissionDenied {
		t.Errorf("another's link: %v", err)
	}
}

// A request may not name another's connector anywhere.
func TestRequestsAreRead(t *testing.T) {
	t.Parallel()
	w := setup(t, everybody)
	conn := w.dial(t)
	for _, tt := range []struct {
		name string
		req  *tandemv1.IngestEventRequest
		code codes.Code
	}{
		{"theirs", &tandemv1.IngestEventRequest{Connector: "other"}, codes.OK},
		{"another's", &tandemv1.IngestEventRequest{Connector: connector}, codes.PermissionDenied},
		{"by origin", &tandemv1.IngestEventRequest{Origin: &tandemv1.Origin{ProjectId: "x"}}, codes.PermissionDenied},
		{"within", &tandemv1.IngestEventRequest{Connector: "other", Origin: &tandemv1.Origin{ProjectName: "connectors/development"}}, codes.PermissionDenied},
	} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+elsewhere)
		_, err := tandemv1.NewEventServiceClient(conn).IngestEvent(ctx, tt.req)
		if code(err) != tt.code {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.code)
		}
	}
}

// What Alvao's application told is taken as true, so the gateway alone may bring it.
func TestWhatIsBelievedComesByTheGateway(t *testing.T) {
	t.Parallel()
	w := setup(t, everybody)
	conn := w.dial(t)
	for token, want := range map[string]codes.Code{edge: codes.OK, admin: codes.PermissionDenied, operator: codes.PermissionDenied} {
		for _, tt := range []struct {
			req  *tandemv1.IngestEventRequest
			code codes.Code
		}{
			{&tandemv1.IngestEventRequest{Connector: connector, Pushed: &tandemv1.PushedRecord{}}, want},
			{&tandemv1.IngestEventRequest{Connector: connector, Round: &tandemv1.PushedRound{}}, want},
			{&tandemv1.IngestEventRequest{Connector: connector}, codes.OK},
		} {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
			if _, err := tandemv1.NewEventServiceClient(conn).IngestEvent(ctx, tt.req); code(err) != tt.code {
				t.Errorf("%s: %v, want %s", tt.req, err, tt.code)
			}
		}
	}
}

func TestRefusalsSayWhy(t *testing.T) {
	t.Parallel()
	w := setup(t, everybody)
	conn := w.dial(t)
	m := find(t, "DeleteLink")
	for token, want := range map[string]string{
		viewer:    "PERMISSION_DENIED Caller viewer has role viewer, which may not call /tandem.v1.LinkService/DeleteLink, which takes admin; an administrator",
		elsewhere: "PERMISSION_DENIED Caller elsewhere may not call this for the connector",
		"secret":  "UNAUTHENTICATED The bearer token is not known here.",
		old:       "UNAUTHENTICATED The token of caller ended has expired",
	} {
		_, err := call(t, conn, m, request(m, connector), "Bearer "+token)
		st := status.Convert(err)
		got := ""
		for _, detail := range st.Details() {
			if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetDomain() == "tandem.v1" {
				got = info.GetReason() + " " + st.Message()
			}
		}
		if !strings.HasPrefix(got, want) || strings.Contains(got, token) {
			t.Errorf("refused with %q, want %q", got, want)
		}
	}
}

// Who changes something is written down, also where it is refused; who reads is not, nor
// is the gateway.
func TestAudit(t *testing.T) {
	t.Parallel()
	w := setup(t, everybody)
	conn := w.dial(t)
	for _, tt := range []struct{ method, token string }{
		{"DeleteLink", admin},
		{"DeleteLink", viewer},
		{"DeleteLink", elsewhere},
		{"DeleteLink", "unknown"},
		{"GetLink", admin},
		{"IngestEvent", edge},
		{"SyncLink", w.issuer.token(t, "first", w.claims("Operator"))},
	} {
		m := find(t, tt.method)
		_, _ = call(t, conn, m, request(m, connector), "Bearer "+tt.token)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+admin)
	_, _ = tandemv1.NewLinkServiceClient(conn).CreateLink(ctx, &tandemv1.CreateLinkRequest{Parent: "connectors/" + connector, TicketId: 7, WorkItemId: 9})
	var got []string
	for line := range strings.Lines(w.log.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry["msg"] != "api.audit" {
			t.Fatalf("%s: %v", line, err)
		}
		got = append(got, fmt.Sprint(entry["caller"], " ", entry["caller_kind"], " ", entry["method"], " ", entry["connector"], " ", entry["resource"], " ", entry["code"], " ", entry["subject"], " ", entry["ticket_id"], " ", entry["work_item_id"]))
	}
	want := []string{
		"admin token /tandem.v1.LinkService/DeleteLink development connectors/development/things/7 OK <nil> <nil> <nil>",
		"viewer token /tandem.v1.LinkService/DeleteLink development connectors/development/things/7 PermissionDenied <nil> <nil> <nil>",
		"elsewhere token /tandem.v1.LinkService/DeleteLink development connectors/development/things/7 PermissionDenied <nil> <nil> <nil>",
		"Operator@contoso.com issuer /tandem.v1.LinkService/SyncLink development connectors/development/things/7 OK subject-Operator <nil> <nil>",
		"admin token /tandem.v1.LinkService/CreateLink development connectors/development OK <nil> 7 9",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("audit log (-want +got):\n%s", diff)
	}
}

// Each caller has a pace of their own; the gateway and health have none.
func TestPace(t *testing.T) {
	t.Parallel()
	w := setup(t, func(w *world) config.Callers {
		c := everybody(w)
		c.Limit = config.CallLimit{PerSecond: 0.5, Burst: 3}
		return c
	})
	conn := w.dial(t)
	get, ingest, check := find(t, "GetLink"), find(t, "IngestEvent"), find(t, "Check")
	as := func(m method, token string) error {
		_, err := call(t, conn, m, request(m, connector), "Bearer "+token)
		return err
	}
	for range 3 {
		if err := as(get, viewer); err != nil {
			t.Fatal(err)
		}
	}
	err := as(get, viewer)
	var wait time.Duration
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.RetryInfo); ok {
			wait = info.GetRetryDelay().AsDuration()
		}
	}
	if code(err) != codes.ResourceExhausted || wait <= time.Second || wait > 2*time.Second {
		t.Errorf("the fourth call: %v, wait %s", err, wait)
	}
	if err := as(get, admin); err != nil {
		t.Errorf("another caller: %v", err)
	}
	for range 10 {
		if err := as(ingest, edge); err != nil {
			t.Fatalf("the gateway: %v", err)
		}
		if err := as(check, viewer); err != nil {
			t.Fatalf("health: %v", err)
		}
	}
	w.clock.advance(wait)
	if err := as(get, viewer); err != nil {
		t.Errorf("after the wait: %v", err)
	}
	if err := as(get, viewer); code(err) != codes.ResourceExhausted {
		t.Errorf("too soon again: %v", err)
	}
}

// Callers change while calls are made, and mistakes change nothing.
func TestApply(t *testing.T) {
	t.Parallel()
	w := setup(t, func(*world) config.Callers { return config.Callers{} })
	conn, get := w.dial(t), find(t, "GetLink")
	as := func(token string) codes.Code {
		_, err := call(t, conn, get, request(get, connector), "Bearer "+token)
		return code(err)
	}
	none := func() codes.Code {
		_, err := call(t, conn, get, request(get, connector))
		return code(err)
	}
	if got := none(); got != codes.Unauthenticated {
		t.Errorf("nobody is configured: %s", got)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(viewer+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	callers := config.Callers{Tokens: []config.CallerToken{{Name: "portal", Grant: config.Grant{Role: "viewer"}, Secret: secret.Ref{File: file}}}}
	if err := w.guard.Apply(callers); err != nil || as(viewer) != codes.OK {
		t.Errorf("a token of a file: %v, %s", err, as(viewer))
	}
	for name, content := range map[string]string{"short": "short", "empty": ""} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := w.guard.Apply(callers); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "portal") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if as(viewer) != codes.OK || as("short") != codes.Unauthenticated {
		t.Error("a mistake changed who may call")
	}
	if err := w.guard.Apply(config.Callers{Anonymous: config.RoleViewer}); err != nil {
		t.Fatal(err)
	}
	if as(viewer) != codes.Unauthenticated || none() != codes.OK {
		t.Errorf("a token that was withdrawn: %s, nobody: %s", as(viewer), none())
	}
	deletion := find(t, "DeleteLink")
	if _, err := call(t, conn, deletion, request(deletion, connector)); code(err) != codes.PermissionDenied {
		t.Errorf("nobody deletes: %v", err)
	}
}

// stream opens the one stream that is not public, as somebody, and gives what receives.
func stream(t *testing.T, w *world, token string) func() error {
	t.Helper()
	m := find(t, "ServerReflectionInfo")
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token))
	t.Cleanup(cancel)
	s, err := w.dial(t).NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, m.name)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SendMsg(dynamicpb.NewMessage(m.desc.Input())); err != nil {
		t.Fatal(err)
	}
	return func() error { return s.RecvMsg(dynamicpb.NewMessage(m.desc.Output())) }
}

// A stream ends when its caller may no longer call.
func TestStreamsEnd(t *testing.T) {
	t.Parallel()
	w := setup(t, everybody)
	w.more = make(chan struct{})
	receive := stream(t, w, viewer)
	if err := receive(); err != nil {
		t.Fatal(err)
	}
	w.more <- struct{}{}
	if err := receive(); err != nil {
		t.Fatal(err)
	}
	changed := everybody(w)
	if err := w.guard.Apply(changed); err != nil { // anew, but the same
		t.Fatal(err)
	}
	w.more <- struct{}{}
	if err := receive(); err != nil {
		t.Fatalf("the callers are the same: %v", err)
	}
	changed.Tokens = changed.Tokens[1:]
	if err := w.guard.Apply(changed); err != nil {
		t.Fatal(err)
	}
	w.more <- struct{}{}
	if err := receive(); code(err) != codes.Unauthenticated {
		t.Errorf("the token was withdrawn: %v", err)
	}

	claims := w.claims("Viewer")
	claims["exp"] = w.clock.now().Add(20 * time.Minute).Unix()
	receive = stream(t, w, w.issuer.token(t, "first", claims))
	if err := receive(); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(time.Hour)
	w.more <- struct{}{}
	if err := receive(); code(err) != codes.Unauthenticated {
		t.Errorf("the token expired: %v", err)
	}
	// And one that nothing is sent on, at its time.
	claims = w.claims("Viewer")
	claims["exp"] = w.clock.now().Add(2 * time.Second).Unix()
	receive = stream(t, w, w.issuer.token(t, "first", claims))
	if err := receive(); err != nil {
		t.Fatal(err)
	}
	if err := receive(); code(err) != codes.Unauthenticated {
		t.Errorf("the token expired on a still stream: %v", err)
	}
}

// A connection may outlive its certificate; calls may not.
func TestCertificateEnds(t *testing.T) {
	t.Parallel()
	w := setup(t, everybody)
	conn, get := w.dial(t, w.pki.issue(t, 10*time.Minute, "reports")), find(t, "GetLink")
	if _, err := call(t, conn, get, request(get, connector)); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(11 * time.Minute)
	if _, err := call(t, conn, get, request(get, connector)); code(err) != codes.Unauthenticated {
		t.Errorf("after its end: %v", err)
	}
}

// A caller may have so many streams open and no more, whatever others have.
func TestStreamsAreBounded(t *testing.T) {
	t.Parallel()
	w := setup(t, everybody)
	w.more = make(chan struct{})
	const most = 64
	first := stream(t, w, viewer)
	for i := range most {
		receive := first
		if i > 0 {
			receive = stream(t, w, viewer)
		}
		if err := receive(); err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
	}
	err := stream(t, w, viewer)()
	if code(err) != codes.ResourceExhausted || len(status.Convert(err).Details()) != 2 {
		t.Errorf("one too many: %v", err)
	}
	if err := stream(t, w, admin)(); err != nil {
		t.Errorf("another caller: %v", err)
	}
	// Streams that ended make room.
	changed := everybody(w)
	changed.Tokens = changed.Tokens[1:]
	if err := w.guard.Apply(changed); err != nil {
		t.Fatal(err)
	}
	close(w.more)
	for first() == nil {
		continue
	}
	if err := w.guard.Apply(everybody(w)); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(30 * time.Second)
	for err = stream(t, w, viewer)(); code(err) == codes.ResourceExhausted && time.Now().Before(deadline); {
		err = stream(t, w, viewer)()
	}
	if code(err) == codes.ResourceExhausted {
		t.Errorf("after streams ended: %v", err)
	}
}
