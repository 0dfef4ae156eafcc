package webhook_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/gateway/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/gateway/internal/webhook"
)

func hook() *azuredevops.Hook {
	return azuredevops.NewHook(azuredevops.Credentials{User: user, Passwords: func() []string { return []string{password, "previous-password"} }})
}

const updated = `{"subscriptionId":"98bd70de-8422-4fb4-a4fb-d2f8d9e50ee9","notificationId":4,"id":"5497320c-a2d3-4a44-9cf8-94bae49a821d",
	"eventType":"workitem.updated","resource":{"id":18,"workItemId":30,"rev":5}}`

func TestRefusals(t *testing.T) {
	t.Parallel()
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	var gzipped bytes.Buffer
	zip := gzip.NewWriter(&gzipped)
	_, _ = zip.Write([]byte(updated))
	_ = zip.Close()

	tests := []struct {
		name, body string
		change     func(*http.Request)
		status     int
		result     string
	}{
		{"good", updated, nil, 202, `{"result":"stored"}`},
		{"media type in capitals", updated, header("Content-Type", `Application/JSON; Charset="UTF-8"`), 202, "stored"},
		{"media type without charset", updated, header("Content-Type", "application/json"), 202, "stored"},
		{"identity encoding", updated, header("Content-Encoding", "identity"), 202, "stored"},
		{"byte order mark", "\ufeff" + updated, nil, 202, "stored"},

		{"GET", "", func(r *http.Request) { r.Method = http.MethodGet }, 405, "error"},
		{"PUT", updated, func(r *http.Request) { r.Method = http.MethodPut }, 405, "error"},
		{"no media type", updated, func(r *http.Request) { r.Header.Del("Content-Type") }, 415, "error"},
		{"form", updated, header("Content-Type", "application/x-www-form-urlencoded"), 415, "error"},
		{"text", updated, header("Content-Type", "text/plain"), 415, "error"},
		{"malformed media type", updated, header("Content-Type", "application/json; charset"), 415, "error"},
		{"other charset", updated, header("Content-Type", "application/json; charset=utf-16"), 415, "error"},
		{"gzip", gzipped.String(), header("Content-Encoding", "gzip"), 415, "error"},
		{"unannounced gzip", gzipped.String(), nil, 400, "error"},
		{"announced too large", strings.Repeat(" ", 70_001), nil, 413, "error"},
		{"chunked and too large", strings.Repeat(" ", 70_001), func(r *http.Request) { r.ContentLength = -1 }, 413, "error"},
		{"as large as may be", updated + strings.Repeat(" ", 70_000-len(updated)), nil, 202, "stored"},

		{"no credentials", updated, func(r *http.Request) { r.Header.Del("Authorization") }, 401, "error"},
		{"wrong credentials", updated, func(r *http.Request) { r.SetBasicAuth(user, "wrong") }, 401, "error"},

		{"empty body", "", nil, 400, "error"},
		{"only a byte order mark", "\ufeff", nil, 400, "error"},
		{"two byte order marks", "\ufeff\ufeff" + updated, nil, 400, "error"},
		{"array", "[" + updated + "]", nil, 400, "error"},
		{"broken off", updated[:len(updated)-1], nil, 400, "error"},
		{"something behind", updated + "x", nil, 400, "error"},
		{"not JSON", "eventType=workitem.updated", nil, 400, "error"},
		{"invalid UTF-8", strings.Replace(updated, "5497320c", "\xff\xfe", 1), nil, 400, "UTF-8"},
		{"UTF-16", "\xff\xfe{\x00}\x00", nil, 400, "error"},
		{"nested as deep as may be", deep(99), nil, 202, "stored"},
		{"nested too deep", deep(100), nil, 400, "deep"},
		{"nested far too deep", deep(30_000), nil, 400, "deep"},
		{"many brackets, but flat", strings.Replace(updated, `"rev":5`, `"rev":5,"l":[`+strings.Repeat("[],", 500)+`"[[[\"[[["]`, 1), nil, 202, "stored"},
		{"body breaks off", "", func(r *http.Request) { r.Body = io.NopCloser(iotest.ErrReader(io.ErrUnexpectedEOF)) }, 503, "error"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, func(c *webhook.Config) { c.MaxBody = 70_000 })
			w := post(t, s.Handler(hook()), tt.body, tt.change)
			want(t, w, tt.status, tt.result)
			if stored := len(s.core.received()) == 1; stored != (tt.status == 202) {
				t.Errorf("stored = %v with answer %d", stored, tt.status)
			}
			if tt.status == 405 && w.Header().Get("Allow") != "POST" {
				t.Errorf("405 without Allow: POST")
			}
			if got := strings.Count(s.log.String(), "webhook.handled"); got != 1 {
				t.Errorf("%d log lines, want 1", got)
			}
		})
	}
}

// deep is an event with lists nested inside its resource: the event, the resource
// and n-1 lists make n+1 levels.
func deep(n int) string {
	lists := n - 1
	return strings.Replace(updated, `"rev":5`, `"rev":5,"l":`+strings.Repeat("[", lists)+strings.Repeat("]", lists), 1)
}

func TestCodes(t *testing.T) {
	t.Parallel()
	own := func(code codes.Code, reason, text string) error {
		s, err := status.New(code, text).WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "tandem.v1"})
		if err != nil {
			t.Fatal(err)
		}
		return s.Err()
	}
	tests := []struct {
		name   string
		err    error
		status int
		text   string // must be in the answer
		not    string // must not be in the answer
	}{
		{"unknown connector", own(codes.NotFound, "UNKNOWN_CONNECTOR", "No connector is called nobody."), 404, "No connector is called nobody.", ""},
		{"invalid", own(codes.InvalidArgument, "INVALID_REQUEST", "Origin is needed."), 400, "Origin is needed.", ""},
		{"foreign NotFound", status.Error(codes.NotFound, "10.0.0.7 says no"), 404, "No connector", "10.0.0.7"},
		{"foreign InvalidArgument", status.Error(codes.InvalidArgument, "10.0.0.7 says no"), 400, "refused", "10.0.0.7"},
		{"store away", own(codes.Unavailable, "STORE_UNAVAILABLE", "Redis at 10.0.0.7 is away."), 503, "send it again", "10.0.0.7"},
		{"inbox full", own(codes.ResourceExhausted, "INBOX_FULL", "Full."), 503, "send it again", ""},
		{"internal", status.Error(codes.Internal, "nil pointer"), 503, "send it again", "nil"},
		{"unknown", errors.New("nil pointer"), 503, "send it again", "nil"},
		{"denied", status.Error(codes.PermissionDenied, "x"), 503, "send it again", ""},
		{"unauthenticated", status.Error(codes.Unauthenticated, "x"), 503, "send it again", ""},
		{"exists", status.Error(codes.AlreadyExists, "x"), 503, "send it again", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, nil)
			s.core.answer = func(context.Context, *tandemv1.IngestEventRequest) (*tandemv1.IngestEventResponse, error) {
				return nil, tt.err
			}
			w := post(t, s.Handler(hook()), updated, nil)
			want(t, w, tt.status, tt.text)
			if tt.not != "" && strings.Contains(w.Body.String(), tt.not) {
				t.Errorf("the answer %s shows %q", w.Body, tt.not)
			}
		})
	}
}

// TestUnavailableIsRetried: a call that failed once with UNAVAILABLE is tried again,
// any other is not.
func TestUnavailableIsRetried(t *testing.T) {
	t.Parallel()
	for code, calls := range map[codes.Code]int{codes.Unavailable: 2, codes.Internal: 1} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, nil)
			s.core.answer = func(context.Context, *tandemv1.IngestEventRequest) (*tandemv1.IngestEventResponse, error) {
				if len(s.core.received()) == 1 {
					return nil, status.Error(code, "once")
				}
				return &tandemv1.IngestEventResponse{Disposition: tandemv1.IngestEventResponse_DISPOSITION_STORED}, nil
			}
			w := post(t, s.Handler(hook()), updated, nil)
			if got := len(s.core.received()); got != calls {
				t.Errorf("%d calls, want %d", got, calls)
			}
			if wantStatus := map[int]int{1: 503, 2: 202}[calls]; w.Code != wantStatus {
				t.Errorf("answer %d, want %d", w.Code, wantStatus)
			}
		})
	}
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	s := newSetup(t, func(c *webhook.Config) { c.Timeout = 20 * time.Millisecond })
	s.core.answer = func(ctx context.Context, _ *tandemv1.IngestEventRequest) (*tandemv1.IngestEventResponse, error) {
		<-ctx.Done()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	want(t, post(t, s.Handler(hook()), updated, nil), 503, "send it again")
}

// TestSenderHangsUp: once the body is whole the event is stored, whether or not the
// sender waits for the answer.
func TestSenderHangsUp(t *testing.T) {
	t.Parallel()
	s := newSetup(t, nil)
	ctx, hangUp := context.WithCancel(t.Context())
	s.core.answer = func(inner context.Context, _ *tandemv1.IngestEventRequest) (*tandemv1.IngestEventResponse, error) {
		hangUp()
		select {
		case <-inner.Done():
			return nil, status.FromContextError(inner.Err()).Err()
		case <-time.After(50 * time.Millisecond):
			return &tandemv1.IngestEventResponse{Disposition: tandemv1.IngestEventResponse_DISPOSITION_STORED}, nil
		}
	}
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/hook", strings.NewReader(updated))
	r.Header.Set("Content-Type", jsonType)
	r.SetBasicAuth(user, password)
	w := httptest.NewRecorder()
	s.Handler(hook()).ServeHTTP(w, r)
	want(t, w, 202, "stored")
}

// TestOverload: with one place taken the next is asked to come back, and let in when
// the place is free.
func TestOverload(t *testing.T) {
	t.Parallel()
	s := newSetup(t, func(c *webhook.Config) { c.MaxInFlight = 1 })
	entered, leave := make(chan struct{}), make(chan struct{})
	s.core.answer = func(context.Context, *tandemv1.IngestEventRequest) (*tandemv1.IngestEventResponse, error) {
		entered <- struct{}{}
		<-leave
		return &tandemv1.IngestEventResponse{Disposition: tandemv1.IngestEventResponse_DISPOSITION_STORED}, nil
	}
	handler := s.Handler(hook())
	first := make(chan *httptest.ResponseRecorder)
	go func() { first <- post(t, handler, updated, nil) }()
	<-entered
	want(t, post(t, handler, updated, nil), 503, "too much")
	want(t, post(t, handler, updated, func(r *http.Request) { r.SetBasicAuth(user, "x") }), 401, "error") // needs no place
	close(leave)
	want(t, <-first, 202, "stored")
	go func() { <-entered }()
	want(t, post(t, handler, updated, nil), 202, "stored")
}

// TestPayload: the body goes along without its byte order mark up to 64 KiB, and is
// left out beyond.
func TestPayload(t *testing.T) {
	t.Parallel()
	s := newSetup(t, nil)
	handler := s.Handler(hook())
	pad := func(n int) string { return updated + strings.Repeat(" ", n-len(updated)) }
	want(t, post(t, handler, "\ufeff"+pad(64<<10), nil), 202, "stored")
	want(t, post(t, handler, pad(64<<10+1), nil), 202, "duplicate")
	got := s.core.received()
	if string(got[0].GetPayload()) != pad(64<<10) {
		t.Errorf("the payload of 64 KiB has %d bytes", len(got[0].GetPayload()))
	}
	if got[1].GetPayload() != nil {
		t.Errorf("the payload over 64 KiB has %d bytes, want none", len(got[1].GetPayload()))
	}
}

// nested is a Source that has another request handled while it reads one.
type nested struct {
	source
	inner func()
	body  *string
}

func (n nested) Read(_ *http.Request, body []byte) (webhook.Notice, error) {
	n.inner()
	*n.body = string(body)
	return webhook.Notice{System: webhook.Alvao, ItemID: 1}, nil
}

// TestBuffersAreNotShared: a buffer goes back to the pool only when its body is done
// with.
func TestBuffersAreNotShared(t *testing.T) {
	t.Parallel()
	s := newSetup(t, nil)
	outer, inner := `{"body":"outer"}`, `{"body":"inner"}`
	for range 100 { // as a pool may give any buffer
		var got string
		post(t, s.Handler(nested{source: source{fine, fine, nil}, body: &got, inner: func() {
			post(t, s.Handler(nested{source: source{fine, fine, nil}, body: new(string), inner: func() {}}), inner, nil)
		}}), outer, nil)
		if got != outer {
			t.Fatalf("the body became %s while another was read", got)
		}
	}
	for i, request := range s.core.received() {
		if want := []string{inner, outer}[i%2]; string(request.GetPayload()) != want {
			t.Fatalf("payload %d is %s, want %s", i, request.GetPayload(), want)
		}
	}
}

// source is a webhook.Source that does as the test says.
type source struct {
	authenticate, verify func() error
	read                 func() (webhook.Notice, error)
}

func (source) Name() string                                         { return "test" }
func (s source) Authenticate(*http.Request) error                   { return s.authenticate() }
func (s source) Verify(*http.Request, []byte) error                 { return s.verify() }
func (s source) Read(*http.Request, []byte) (webhook.Notice, error) { return s.read() }

func fine() error { return nil }

// TestFaultyCode: whatever goes wrong inside, the sender is asked to send again and
// a place is given back.
func TestFaultyCode(t *testing.T) {
	t.Parallel()
	notice := func() (webhook.Notice, error) {
		return webhook.Notice{System: webhook.Alvao, ItemID: 1}, nil
	}
	tests := map[string]source{
		"panic in Authenticate": {func() error { panic("planted-secret") }, fine, notice},
		"panic in Verify":       {fine, func() error { panic(errors.New("boom")) }, notice},
		"panic in Read": {fine, fine, func() (webhook.Notice, error) {
			return webhook.Notice{ItemID: int64(len(strings.Split("a", "b")[1:][0]))}, nil
		}},
		"unknown error":              {fine, fine, func() (webhook.Notice, error) { return webhook.Notice{}, errors.New("boom") }},
		"unknown error when proving": {func() error { return errors.New("boom") }, fine, notice},
	}
	for name, broken := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, func(c *webhook.Config) { c.MaxInFlight = 1 })
			for range 3 {
				want(t, post(t, s.Handler(broken), updated, nil), 503, "send the event again")
			}
			if len(s.core.received()) != 0 {
				t.Error("something was stored")
			}
			if log := s.log.String(); strings.Contains(log, "planted-secret") || !strings.Contains(log, `"level":"ERROR"`) {
				t.Errorf("log shows the panic's value or no error:\n%s", log)
			}
			want(t, post(t, s.Handler(source{fine, fine, notice}), updated, nil), 202, "stored")
		})
	}
}

// TestRelease: what could not be stored may be sent again, what was stored not.
func TestRelease(t *testing.T) {
	t.Parallel()
	for code, wantReleased := range map[codes.Code]bool{codes.OK: false, codes.Unavailable: true, codes.Internal: true, codes.NotFound: true} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			s := newSetup(t, nil)
			if code != codes.OK {
				s.core.answer = func(context.Context, *tandemv1.IngestEventRequest) (*tandemv1.IngestEventResponse, error) {
					return nil, status.Error(code, "no")
				}
			}
			released := false
			post(t, s.Handler(source{fine, fine, func() (webhook.Notice, error) {
				return webhook.Notice{System: webhook.Alvao, ItemID: 1, Release: func() { released = true }}, nil
			}}), updated, nil)
			if released != wantReleased {
				t.Errorf("released = %v after %s", released, code)
			}
		})
	}
}

func TestRequestFields(t *testing.T) {
	t.Parallel()
	s := newSetup(t, nil)
	notice := webhook.Notice{
		Connector: "c", System: webhook.AzureDevOps, ItemID: 30, EventID: "e", EventType: "workitem.updated", Revision: 5,
		Origin: webhook.Origin{AccountURL: "https://dev.azure.com/contoso/", ProjectID: "p", ProjectName: "Alvaoproject"},
	}
	post(t, s.Handler(source{fine, fine, func() (webhook.Notice, error) { return notice, nil }}), `{}`, nil)
	wantRequest := &tandemv1.IngestEventRequest{
		Connector: "c", System: tandemv1.System_SYSTEM_AZURE_DEVOPS, ItemId: 30, EventId: "e", EventType: "workitem.updated", Revision: 5,
		Origin:  &tandemv1.Origin{AccountUrl: "https://dev.azure.com/contoso/", ProjectId: "p", ProjectName: "Alvaoproject"},
		Payload: []byte(`{}`), ReceiveTime: s.core.received()[0].GetReceiveTime(),
	}
	if got := s.core.received()[0]; !proto.Equal(got, wantRequest) {
		t.Errorf("request is %v, want %v", got, wantRequest)
	}
	if got := s.core.received()[0].GetReceiveTime().AsTime(); !got.Equal(clock()) {
		t.Errorf("receive time is %v, want %v", got, clock())
	}
}

// TestSecretsStayOut: neither answers nor the log show credentials or bodies, at any
// level.
func TestSecretsStayOut(t *testing.T) {
	t.Parallel()
	s := newSetup(t, nil)
	handler := s.Handler(hook())
	body := strings.Replace(updated, `"rev":5`, `"rev":5,"secret":"planted-in-body"`, 1)
	var answers strings.Builder
	for _, change := range []func(*http.Request){
		nil,
		func(r *http.Request) { r.SetBasicAuth("planted-user", "planted-password") },
		func(r *http.Request) { r.Header.Set("Authorization", "Bearer planted-token") },
		func(r *http.Request) { r.Header.Set("Content-Type", "planted/type") },
		func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(body + "planted-tail")) },
		func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(strings.Replace(body, "workitem.updated", "planted.body", 1)))
			r.Header.Del("Authorization")
		},
	} {
		w := post(t, handler, body, change)
		answers.WriteString(w.Body.String())
	}
	for _, text := range []string{s.log.String(), answers.String()} {
		if strings.Contains(text, "planted") || strings.Contains(text, password) {
			t.Errorf("a planted secret shows:\n%s", text)
		}
	}
	if got := s.counted(t, "tandem.webhooks", "source", "azure-devops", "result", "unauthorized"); got != 3 {
		t.Errorf("%d wrong credentials counted, want 3", got)
	}
}
