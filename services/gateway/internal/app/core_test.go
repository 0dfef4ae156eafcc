package app_test

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/gateway/internal/app"
	"github.com/tandem-sync/tandem/services/gateway/internal/hooksecret"
	"github.com/tandem-sync/tandem/services/gateway/internal/secretfile"
)

func TestMain(m *testing.M) {
	if arguments := os.Getenv(slowSenders); arguments != "" {
		sendSlowly(arguments)
		return
	}
	goleak.VerifyTestMain(m)
}

const (
	updated = `{"subscriptionId":"98bd70de-8422-4fb4-a4fb-d2f8d9e50ee9","notificationId":4,"eventType":"workitem.updated","resource":{"id":18,"workItemId":30,"rev":5}}`
	pushed  = `{"event":"act.created","ticketId":123,"actId":7,"personId":25}`
	notice  = `{"requestId":123,"personId":25}`
)

// core is sync-core's place on the network. It can go away and come back.
type core struct {
	tandemv1.UnimplementedEventServiceServer
	tandemv1.UnimplementedConnectorServiceServer

	address string
	server  *grpc.Server
	health  *health.Server
	served  chan struct{}

	mu       sync.Mutex
	requests []*tandemv1.IngestEventRequest
	metadata []metadata.MD
	hold     func()

	// with registers more, and options are the server's, where they are set.
	with    func(*grpc.Server)
	options []grpc.ServerOption
}

// forget drops what was stored.
func (c *core) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests, c.metadata = nil, nil
}

func (c *core) IngestEvent(ctx context.Context, request *tandemv1.IngestEventRequest) (*tandemv1.IngestEventResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	c.mu.Lock()
	c.requests, c.metadata = append(c.requests, request), append(c.metadata, md)
	hold := c.hold
	c.mu.Unlock()
	if hold != nil {
		hold()
	}
	return &tandemv1.IngestEventResponse{Disposition: tandemv1.IngestEventResponse_DISPOSITION_STORED}, nil
}

// ListConnectors answers whoever shows apiToken, as sync-core does.
func (c *core) ListConnectors(ctx context.Context, _ *tandemv1.ListConnectorsRequest) (*tandemv1.ListConnectorsResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if shown := md.Get("authorization"); len(shown) != 1 || shown[0] != "Bearer "+apiToken {
		return nil, status.Error(codes.Unauthenticated, "The bearer token is not known here.")
	}
	return &tandemv1.ListConnectorsResponse{Connectors: []*tandemv1.Connector{{Name: "connectors/development"}}}, nil
}

func (c *core) last() (*tandemv1.IngestEventRequest, metadata.MD) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.requests) == 0 {
		return nil, nil
	}
	return c.requests[len(c.requests)-1], c.metadata[len(c.metadata)-1]
}

func (c *core) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.requests)
}

func newCore(tb testing.TB) *core {
	tb.Helper()
	c := &core{address: "127.0.0.1:0"}
	c.start(tb)
	tb.Cleanup(c.stop)
	return c
}

// start listens, on the same address as before if there was one.
func (c *core) start(tb testing.TB) {
	tb.Helper()
	var listener net.Listener
	eventually(tb, "the address of sync-core is free", func() bool {
		var err error
		listener, err = net.Listen("tcp", c.address)
		return err == nil
	})
	c.address = listener.Addr().String()
	c.server, c.health, c.served = grpc.NewServer(c.options...), health.NewServer(), make(chan struct{})
	tandemv1.RegisterEventServiceServer(c.server, c)
	tandemv1.RegisterConnectorServiceServer(c.server, c)
	healthpb.RegisterHealthServer(c.server, c.health)
	if c.with != nil {
		c.with(c.server)
	}
	go func(server *grpc.Server, served chan struct{}) {
		defer close(served)
		_ = server.Serve(listener)
	}(c.server, c.served)
}

func (c *core) stop() {
	c.server.Stop()
	<-c.served
}

// gateway is a running gateway.
type gateway struct {
	*app.App
	core    *core
	secrets []string // paths of hook secret files
	log     *buffer
	client  *http.Client
	cancel  context.CancelFunc
	stopped chan error
}

const (
	firstSecret  = "first-secret-of-at-least-32-characters"
	secondSecret = "second-secret-of-at-least-32-characters"
	apiToken     = "planted-api-token-0123456789"
	coreToken    = "planted-core-token-of-at-least-32-characters"
)

func writeFile(tb testing.TB, path, content string) {
	tb.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// settings are those of a gateway on free ports, without --core.
func settings(tb testing.TB) app.Config {
	tb.Helper()
	dir := tb.TempDir()
	secret := filepath.Join(dir, "hook-secret")
	writeFile(tb, secret, firstSecret)
	token := filepath.Join(dir, "core-token")
	writeFile(tb, token, coreToken)
	cfg, err := app.Parse([]string{
		"--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0", "--hook-secret-file=" + secret, "--secret-interval=10ms", "--log-level=debug",
		"--insecure-grpc", "--core-token-file=" + token,
	}, &buffer{})
	if err != nil {
		tb.Fatal(err)
	}
	cfg.LogOutput = &buffer{}
	return cfg
}

func start(tb testing.TB, c *core, change func(*app.Config)) *gateway {
	tb.Helper()
	cfg := settings(tb)
	cfg.Core = c.address
	if change != nil {
		change(&cfg)
	}
	log := &buffer{}
	cfg.LogOutput = log
	a, err := app.New(tb.Context(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background()) //nolint:usetesting // it ends before the clean-up, not with the test.
	g := &gateway{
		App: a, core: c, secrets: cfg.HookSecretFile, log: log,
		client: &http.Client{Transport: &http.Transport{}}, cancel: cancel, stopped: make(chan error, 1),
	}
	go func() { g.stopped <- a.Run(ctx) }()
	tb.Cleanup(func() {
		g.client.CloseIdleConnections()
		g.stop(tb)
	})
	return g
}

// stop ends the gateway and waits; again: nothing.
func (g *gateway) stop(tb testing.TB) {
	tb.Helper()
	g.cancel()
	if err, running := <-g.stopped; running {
		close(g.stopped)
		if err != nil {
			tb.Errorf("Run = %v", err)
		}
	}
}

// keys are the values derived from the gateway's first hook secret file as it is now.
func (g *gateway) keys(tb testing.TB) *hooksecret.Ring {
	tb.Helper()
	files, err := secretfile.Open(hooksecret.Rule(), g.secrets[0])
	if err != nil {
		tb.Fatal(err)
	}
	return hooksecret.New(files)
}

func (g *gateway) basic(tb testing.TB) func(*http.Request) {
	tb.Helper()
	password := g.keys(tb).AzureDevOpsPasswords()[0]
	return func(r *http.Request) { r.SetBasicAuth("tandem", password) }
}

// answer is a response whose body was read.
type answer struct {
	code   int
	body   string
	header http.Header
}

func (g *gateway) do(t *testing.T, method, url, body string, change func(*http.Request)) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
	}
	if change != nil {
		change(r)
	}
	response, err := g.client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var buf bytes.Buffer
	if _, err := buf.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, buf.String(), response.Header}
}

func (g *gateway) post(t *testing.T, path, body string, change func(*http.Request)) answer {
	t.Helper()
	return g.do(t, http.MethodPost, "http://"+g.Addr().String()+path, body, change)
}

func (g *gateway) admin(t *testing.T, path string) answer {
	t.Helper()
	return g.do(t, http.MethodGet, "http://"+g.AdminAddr().String()+path, "", nil)
}

// eventually waits until condition holds.
func eventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			tb.Fatalf("after 10 s it still does not hold that %s", what)
		}
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
