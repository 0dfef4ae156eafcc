package webhook_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/gateway/internal/app"
	"github.com/tandem-sync/tandem/services/gateway/internal/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	user     = "tandem"
	password = "correct-horse-battery-staple"
	jsonType = "application/json; charset=utf-8"
)

// clock is a fixed time, in 2026.
func clock() time.Time { return time.Unix(1_790_000_000, 0) }

// core is an EventService that keeps what it is told.
type core struct {
	tandemv1.UnimplementedEventServiceServer

	mu       sync.Mutex
	requests []*tandemv1.IngestEventRequest
	seen     map[string]bool
	answer   func(context.Context, *tandemv1.IngestEventRequest) (*tandemv1.IngestEventResponse, error)
}

func (c *core) IngestEvent(ctx context.Context, request *tandemv1.IngestEventRequest) (*tandemv1.IngestEventResponse, error) {
	c.mu.Lock()
	c.requests = append(c.requests, request)
	answer := c.answer
	duplicate := request.GetEventId() != "" && c.seen[request.GetEventId()]
	c.seen[request.GetEventId()] = true
	c.mu.Unlock()
	if answer != nil {
		return answer(ctx, request)
	}
	disposition := tandemv1.IngestEventResponse_DISPOSITION_STORED
	if duplicate {
		disposition = tandemv1.IngestEventResponse_DISPOSITION_DUPLICATE
	}
	return &tandemv1.IngestEventResponse{Disposition: disposition, Connector: "found"}, nil
}

func (c *core) received() []*tandemv1.IngestEventRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*tandemv1.IngestEventRequest(nil), c.requests...)
}

// startCore serves events over memory and returns a client made as the gateway
// makes it.
func startCore(tb testing.TB, events tandemv1.EventServiceServer) tandemv1.EventServiceClient {
	tb.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer()
	tandemv1.RegisterEventServiceServer(server, events)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	conn, err := app.DialCore(app.CoreConfig{Target: "passthrough:///core", Timeout: 5 * time.Second},
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		<-done
	})
	return tandemv1.NewEventServiceClient(conn)
}

// setup is a pipeline over a recording core, with its metrics and its log.
type setup struct {
	*webhook.Pipeline
	core   *core
	log    *buffer
	reader *sdkmetric.ManualReader
}

func newSetup(t *testing.T, change func(*webhook.Config)) *setup {
	t.Helper()
	s := &setup{core: &core{seen: map[string]bool{}}, log: &buffer{}, reader: sdkmetric.NewManualReader()}
	cfg := webhook.Config{
		Events: startCore(t, s.core),
		Logger: slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Meters: sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader)),
		Now:    clock,
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if s.Pipeline, err = webhook.New(cfg); err != nil {
		t.Fatal(err)
	}
	return s
}

// counted is the value of a counter for the given pairs of label and value.
func (s *setup) counted(t *testing.T, name string, pairs ...string) int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var want []attribute.KeyValue
	for i := 0; i < len(pairs); i += 2 {
		want = append(want, attribute.String(pairs[i], pairs[i+1]))
	}
	wantSet := attribute.NewSet(want...)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if m.Name != name || !ok {
				continue
			}
			for _, point := range sum.DataPoints {
				if point.Attributes.Equals(&wantSet) {
					return point.Value
				}
			}
		}
	}
	return 0
}

// post sends a body with the right credentials and the usual media type; change may
// alter the request.
func post(t *testing.T, handler http.Handler, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/hook", strings.NewReader(body))
	r.Header.Set("Content-Type", jsonType)
	r.SetBasicAuth(user, password)
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

func want(t *testing.T, w *httptest.ResponseRecorder, status int, body string) {
	t.Helper()
	if w.Code != status || !strings.Contains(w.Body.String(), body) {
		t.Errorf("answer is %d %s, want %d with %s", w.Code, w.Body, status, body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("the answer's media type is %q", got)
	}
}

// buffer is a bytes.Buffer that several goroutines may use.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

var _ io.Writer = (*buffer)(nil)
