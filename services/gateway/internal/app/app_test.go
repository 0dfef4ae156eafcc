package app_test

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/encoding/prototext"

	"github.com/tandem-sync/tandem/services/gateway/internal/app"
)

// signed adds the headers of the Alvao application.
func signed(key, body string) func(*http.Request) {
	return func(r *http.Request) {
		timestamp := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write([]byte(timestamp + "." + body))
		r.Header.Set("X-Tandem-Timestamp", timestamp)
		r.Header.Set("X-Tandem-Signature", hex.EncodeToString(mac.Sum(nil)))
	}
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	g := start(t, newCore(t), nil)
	basic := g.basic(t)
	token := g.keys(t).AlvaoTokens("development")[0]
	key := g.keys(t).AlvaoApplicationKeys("development")[0]
	for _, tt := range []struct {
		name, path, body string
		change           func(*http.Request)
		code             int
		connector        string
		item             int64
	}{
		{"service hook", "/hooks/azure-devops", updated, basic, 202, "", 30},
		{"service hook with a slash", "/hooks/azure-devops/", updated, basic, 202, "", 30},
		{"service hook with connector", "/hooks/azure-devops/development", updated, basic, 202, "development", 30},
		{"service hook with connector and a slash", "/hooks/azure-devops/development/", updated, basic, 202, "development", 30},
		{"the seed's path with doubled slashes", "//AlvaoRestApi///Connectors/DevOpsCallback", updated, nil, 202, "", 30},
		{"a double slash where a name should be", "/hooks/azure-devops//", updated, nil, 401, "", 0},
		{"service hook without credentials", "/hooks/azure-devops", updated, nil, 401, "", 0},
		{"the seed's path", "/AlvaoRestApi/Connectors/DevOpsCallback", updated, nil, 202, "", 30},
		{"the seed's path in another case", "/alvaorestapi/connectors/DEVOPSCALLBACK/", updated, nil, 202, "", 30},
		{"the seed's path, short", "/Connectors/DevOpsCallback", updated, nil, 202, "", 30},
		{"the seed's path with credentials", "/Connectors/DevOpsCallback", updated, basic, 202, "", 30},
		{"the seed's path with wrong credentials", "/Connectors/DevOpsCallback", updated, func(r *http.Request) { r.SetBasicAuth("tandem", "x") }, 401, "", 0},
		{"Alvao's webhook", "/hooks/alvao/development/" + token, notice, nil, 202, "development", 123},
		{"Alvao's webhook with another connector's token", "/hooks/alvao/other/" + token, notice, nil, 401, "", 0},
		{"Alvao's webhook with a wrong token", "/hooks/alvao/development/x", notice, nil, 401, "", 0},
		{"Alvao application", "/hooks/alvao/development", pushed, signed(key, pushed), 202, "development", 123},
		{"Alvao application unsigned", "/hooks/alvao/development", pushed, nil, 401, "", 0},
		{"unknown path", "/hooks", updated, basic, 404, "", 0},
		{"unknown path below a hook", "/hooks/azure-devops/a/b", updated, basic, 404, "", 0},
	} {
		before := g.core.count()
		got := g.post(t, tt.path, tt.body, tt.change)
		if got.code != tt.code || !json.Valid([]byte(got.body)) {
			t.Errorf("%s: answer %d %s, want %d", tt.name, got.code, got.body, tt.code)
		}
		if tt.item == 0 {
			if g.core.count() != before {
				t.Errorf("%s: something was stored", tt.name)
			}
			continue
		}
		request, _ := g.core.last()
		if request.GetConnector() != tt.connector || request.GetItemId() != tt.item {
			t.Errorf("%s: stored %v, want item %d of connector %q", tt.name, request, tt.item, tt.connector)
		}
	}
	if got := g.do(t, http.MethodGet, "http://"+g.Addr().String()+"/hooks/azure-devops", "", nil); got.code != 405 || got.header.Get("Allow") != "POST" {
		t.Errorf("GET is answered %d, Allow: %q", got.code, got.header.Get("Allow"))
	}
}

func TestReplayIsRefused(t *testing.T) {
	t.Parallel()
	g := start(t, newCore(t), nil)
	sign := signed(g.keys(t).AlvaoApplicationKeys("development")[0], pushed)
	var headers http.Header
	if got := g.post(t, "/hooks/alvao/development", pushed, func(r *http.Request) { sign(r); headers = r.Header.Clone() }); got.code != 202 {
		t.Fatalf("answer %d %s", got.code, got.body)
	}
	if got := g.post(t, "/hooks/alvao/development", pushed, func(r *http.Request) { r.Header = headers }); got.code != 401 {
		t.Errorf("the replay is answered %d %s, want 401", got.code, got.body)
	}
}

func TestCallbackAuthBasic(t *testing.T) {
	t.Parallel()
	g := start(t, newCore(t), func(c *app.Config) { c.CallbackAuth = app.CallbackBasic })
	if got := g.post(t, "/Connectors/DevOpsCallback", updated, nil); got.code != 401 {
		t.Errorf("answer %d, want 401", got.code)
	}
	if got := g.post(t, "/Connectors/DevOpsCallback", updated, g.basic(t)); got.code != 202 {
		t.Errorf("answer %d, want 202", got.code)
	}
}

func TestCallbackLimit(t *testing.T) {
	t.Parallel()
	g := start(t, newCore(t), func(c *app.Config) { c.CallbackRate, c.CallbackBurst = 0.001, 2 })
	var codes []int
	for range 3 {
		codes = append(codes, g.post(t, "/Connectors/DevOpsCallback", updated, nil).code)
	}
	if fmt.Sprint(codes) != "[202 202 503]" {
		t.Errorf("answers %v, want 202, 202, 503", codes)
	}
}

// TestRotation rotates the hook secret as a person does, while the gateway runs.
func TestRotation(t *testing.T) {
	t.Parallel()
	second := filepath.Join(t.TempDir(), "previous")
	writeFile(t, second, firstSecret)
	g := start(t, newCore(t), func(c *app.Config) { c.HookSecretFile = append(c.HookSecretFile, second) })
	old := g.basic(t)
	code := func(credentials func(*http.Request)) int {
		return g.post(t, "/hooks/azure-devops", updated, credentials).code
	}
	if got := code(old); got != 202 {
		t.Fatalf("the first secret is answered %d", got)
	}

	writeFile(t, g.secrets[0], secondSecret) // the previous file still holds the first
	fresh := g.basic(t)
	eventually(t, "the new secret is valid", func() bool { return code(fresh) == 202 })
	if got := code(old); got != 202 {
		t.Errorf("the previous secret is answered %d during the rotation", got)
	}

	writeFile(t, second, secondSecret)
	eventually(t, "the old secret is refused", func() bool { return code(old) == 401 })
	if got := code(fresh); got != 202 {
		t.Errorf("the new secret is answered %d after the rotation", got)
	}
}

// TestCoreAway: while sync-core is away everything is answered 503 quickly, and soon
// after it is back everything works again.
func TestCoreAway(t *testing.T) {
	t.Parallel()
	c := newCore(t)
	g := start(t, c, nil)
	basic := g.basic(t)
	ready := func() bool { return g.admin(t, "/health/ready").code == 200 }
	eventually(t, "the gateway is ready", ready)

	c.stop()
	for range 5 {
		began := time.Now()
		got := g.post(t, "/hooks/azure-devops", updated, basic)
		if got.code != 503 || strings.Contains(got.body, c.address) {
			t.Fatalf("answer %d %s, want 503 without addresses", got.code, got.body)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("the answer took %v", took)
		}
	}
	if got := g.do(t, http.MethodGet, "http://"+g.Addr().String()+"/v1/connectors", "", nil); got.code != 503 || strings.Contains(got.body, c.address) {
		t.Errorf("the API answers %d %s, want 503 without addresses", got.code, got.body)
	}
	if got := g.admin(t, "/health/ready"); got.code != 503 || !strings.Contains(got.body, "sync-core") {
		t.Errorf("readiness is %d %s, want 503 with the reason", got.code, got.body)
	}
	if got := g.admin(t, "/health/live"); got.code != 200 {
		t.Errorf("liveness is %d, want 200: a restart would not help", got.code)
	}

	c.start(t)
	back := time.Now()
	eventually(t, "webhooks are stored again", func() bool { return g.post(t, "/hooks/azure-devops", updated, basic).code == 202 })
	if took := time.Since(back); took > 4*time.Second {
		t.Errorf("recovery took %v", took)
	}
	eventually(t, "the gateway is ready again", ready)

	c.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	if ready() {
		t.Error("the gateway is ready though sync-core is not serving")
	}
}

func TestAPI(t *testing.T) {
	t.Parallel()
	off := start(t, newCore(t), func(c *app.Config) { c.API = false })
	on := start(t, newCore(t), nil)
	shown := func(authorization string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", authorization) }
	}
	for _, tt := range []struct {
		name   string
		g      *gateway
		change func(*http.Request)
		code   int
	}{
		{"switched off", off, shown("Bearer " + apiToken), 404},
		// The gateway's own token is not lent to anybody.
		{"no token", on, nil, 401},
		{"wrong token", on, shown("Bearer x"), 401},
		{"token", on, shown("Bearer " + apiToken), 200},
	} {
		got := tt.g.do(t, http.MethodGet, "http://"+tt.g.Addr().String()+"/v1/connectors", "", tt.change)
		if got.code != tt.code || (tt.code == 200) != strings.Contains(got.body, "connectors/development") {
			t.Errorf("%s: answer %d %s, want %d", tt.name, got.code, got.body, tt.code)
		}
		if tt.g == on && got.header.Get("Trace-Id") == "" {
			t.Errorf("%s: no Trace-Id", tt.name)
		}
		if got := tt.g.do(t, http.MethodGet, "http://"+tt.g.Addr().String()+"/openapi.json", "", nil); got.code != 200 {
			t.Errorf("%s: /openapi.json is answered %d", tt.name, got.code)
		}
	}
}

// TestTrace: the sender's trace goes on through the gateway to sync-core, its
// baggage does not, and the answer names the trace.
func TestTrace(t *testing.T) {
	t.Parallel()
	g := start(t, newCore(t), nil)
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	basic := g.basic(t)
	got := g.post(t, "/hooks/azure-devops", updated, func(r *http.Request) {
		basic(r)
		r.Header.Set("Traceparent", "00-"+trace+"-00f067aa0ba902b7-01")
		r.Header.Set("Baggage", "planted=1")
	})
	if got.header.Get("Trace-Id") != trace {
		t.Errorf("Trace-Id is %q, want %s", got.header.Get("Trace-Id"), trace)
	}
	_, md := g.core.last()
	if parent := strings.Join(md.Get("traceparent"), ""); !strings.Contains(parent, trace) || strings.Contains(parent, "00f067aa0ba902b7") {
		t.Errorf("sync-core got traceparent %q, want trace %s and a span of the gateway's", parent, trace)
	}
	if baggage := md.Get("baggage"); len(baggage) != 0 {
		t.Errorf("sync-core got baggage %q", baggage)
	}
	if !strings.Contains(g.log.String(), `"trace_id":"`+trace) {
		t.Error("the log line has no trace id")
	}
	if own := g.post(t, "/hooks/azure-devops", updated, basic).header.Get("Trace-Id"); len(own) != 32 || own == trace {
		t.Errorf("without traceparent the Trace-Id is %q, want one of our own", own)
	}
}

// collected is an OTLP collector that keeps spans as text.
type collected struct {
	collector.UnimplementedTraceServiceServer

	mu   sync.Mutex
	text strings.Builder
}

func (c *collected) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.WriteString(prototext.MarshalOptions{Multiline: true}.Format(r))
	return &collector.ExportTraceServiceResponse{}, nil
}

// TestSecretsStayIn: no secret shows in spans, log, metrics or answers; the spans
// are named after routes.
func TestSecretsStayIn(t *testing.T) {
	t.Parallel()
	spans := &collected{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, spans)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() { server.Stop(); <-served })

	g := start(t, newCore(t), func(c *app.Config) { c.OTLPEndpoint = "http://" + listener.Addr().String() })
	keys := g.keys(t)
	token := keys.AlvaoTokens("development")[0]
	key := keys.AlvaoApplicationKeys("development")[0]
	secrets := []string{firstSecret, apiToken, coreToken, keys.AzureDevOpsPasswords()[0], token, key, "planted"}
	var answers strings.Builder
	add := func(a answer) { answers.WriteString(a.body + fmt.Sprint(a.header)) }
	add(g.post(t, "/hooks/azure-devops", strings.Replace(updated, `"rev"`, `"x":"planted","rev"`, 1), g.basic(t)))
	add(g.post(t, "/hooks/azure-devops", updated, func(r *http.Request) { r.SetBasicAuth("planted", "planted") }))
	add(g.post(t, "/hooks/alvao/development/"+token, notice, nil))
	add(g.post(t, "/hooks/alvao/other/"+token, notice, nil))
	add(g.post(t, "/hooks/alvao/development/planted?planted=planted", notice, nil))
	add(g.post(t, "/hooks/alvao/development", pushed, signed(key, pushed)))
	add(g.do(t, http.MethodGet, "http://"+g.Addr().String()+"/v1/connectors", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+apiToken) }))
	add(g.do(t, http.MethodGet, "http://"+g.Addr().String()+"/v1/connectors", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer planted") }))
	metrics := g.admin(t, "/metrics").body
	g.stop(t)

	spans.mu.Lock()
	defer spans.mu.Unlock()
	for place, text := range map[string]string{"spans": spans.text.String(), "log": g.log.String(), "metrics": metrics, "answers": answers.String()} {
		if text == "" {
			t.Errorf("%s: nothing was collected", place)
		}
		for i, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s show secret %d", place, i)
			}
		}
	}
	for _, name := range []string{
		"POST /hooks/azure-devops", "POST /hooks/alvao/{connector}/{token}", "POST /hooks/alvao/{connector}", "tandem.v1.EventService/IngestEvent",
	} {
		if !strings.Contains(spans.text.String(), strconv.Quote(name)) {
			t.Errorf("no span is called %q", name)
		}
	}
	for _, series := range []string{
		`tandem_webhooks_total{`, `source="azure-devops"`, `result="unauthorized"`, `source="alvao-application"`, `tandem_webhook_duration_seconds_bucket`,
	} {
		if !strings.Contains(metrics, series) {
			t.Errorf("/metrics lacks %s", series)
		}
	}
}

// TestSlowSenders: a body or a header that does not come to its end is cut off.
func TestSlowSenders(t *testing.T) {
	t.Parallel()
	g := start(t, newCore(t), func(c *app.Config) { c.ReadTimeout = 200 * time.Millisecond })
	send := func(text string) net.Conn {
		var dialer net.Dialer
		conn, err := dialer.DialContext(t.Context(), "tcp", g.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	body := send("POST /Connectors/DevOpsCallback HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"eventType\":")
	response, err := http.ReadResponse(bufio.NewReader(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("a slow body is answered %d, want 503", response.StatusCode)
	}
	header := send("POST /Connectors/DevOpsCallback HTTP/1.1\r\nHost: x\r\nX-Slow: ")
	if err := header.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	rest := make([]byte, 1024)
	for {
		if _, err = header.Read(rest); err != nil {
			break
		}
	}
	if timeout, ok := err.(net.Error); ok && timeout.Timeout() { //nolint:errorlint // the connection's own error.
		t.Error("a slow header is not cut off")
	}
}

// TestDrain: told to stop, the gateway is unready at once, finishes what is in hand
// and then stops.
func TestDrain(t *testing.T) {
	t.Parallel()
	c := newCore(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	c.hold = func() {
		close(entered)
		<-leave
	}
	g := start(t, c, nil)
	result := make(chan answer, 1)
	basic := g.basic(t)
	go func() { result <- g.post(t, "/hooks/azure-devops", updated, basic) }()
	<-entered

	g.cancel()
	eventually(t, "the gateway is unready", func() bool { return g.admin(t, "/health/ready").code == 503 })
	select {
	case err := <-g.stopped:
		t.Fatalf("Run returned %v with a request in hand", err)
	default:
	}
	close(leave)
	if got := <-result; got.code != 202 {
		t.Errorf("the request in hand is answered %d %s, want 202", got.code, got.body)
	}
	g.stop(t)
	if !strings.Contains(g.log.String(), "gateway.stopped") {
		t.Error("the log does not say that the gateway stopped")
	}
}

// TestGraceEnds: what takes longer than the grace time is cut off.
func TestGraceEnds(t *testing.T) {
	t.Parallel()
	c := newCore(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	c.hold = func() {
		close(entered)
		<-leave
	}
	g := start(t, c, func(c *app.Config) { c.Grace = 50 * time.Millisecond })
	basic := g.basic(t)
	failed := make(chan error, 1)
	go func() {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+g.Addr().String()+"/hooks/azure-devops", strings.NewReader(updated))
		if err != nil {
			failed <- err
			return
		}
		r.Header.Set("Content-Type", "application/json")
		basic(r)
		response, err := g.client.Do(r)
		if err == nil {
			_ = response.Body.Close()
		}
		failed <- err
	}()
	<-entered
	g.stop(t)
	if err := <-failed; err == nil {
		t.Error("the request was answered though it was cut off")
	}
	close(leave)
	if !strings.Contains(g.log.String(), "gateway.cut_off") {
		t.Error("the log does not say that a request was cut off")
	}
}
