package app_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	standfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/app"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// Whatever is wrong, New says so and leaves nothing open (TestMain looks for what is
// left).
func TestNewFailsCleanly(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.write(t, "broken.yaml", "connectors: [{name: X}]\nretries: 3\n")
	w.write(t, "volatile.yaml", w.config("allowVolatileRedis: true\n", "development"))
	var listen net.ListenConfig
	taken, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	for name, tc := range map[string]struct {
		change func(*app.Config)
		says   []string
	}{
		"no file":              {func(c *app.Config) { c.File = w.path("none.yaml") }, []string{"none.yaml"}},
		"a broken file":        {func(c *app.Config) { c.File = w.path("broken.yaml") }, []string{"retries", "alvao"}},
		"log level":            {func(c *app.Config) { c.LogLevel = "loud" }, []string{"loud"}},
		"numbers, all at once": {func(c *app.Config) { c.Workers, c.Grace, c.SampleRatio = -1, -1, math.NaN() }, []string{"workers", "grace", "sample-ratio"}},
		"sample ratio":         {func(c *app.Config) { c.SampleRatio = 1.5 }, []string{"sample-ratio"}},
		"redis address":        {func(c *app.Config) { c.Redis = "http://user:s3cret@host" }, []string{"http://host"}},
		"redis prefix":         {func(c *app.Config) { c.RedisPrefix = "{a}" }, []string{"prefix"}},
		"address taken":        {func(c *app.Config) { c.Listen = taken.Addr().String() }, []string{"gRPC address", "in use"}},
		"admin address taken":  {func(c *app.Config) { c.AdminListen = taken.Addr().String() }, []string{"admin address", "in use"}},
		"no address":           {func(c *app.Config) { c.Listen = "nowhere" }, []string{"gRPC address"}},
		"collector":            {func(c *app.Config) { c.OTLPEndpoint = "::" }, []string{"otlp-endpoint"}},
	} {
		core, err := app.New(t.Context(), w.settings(tc.change), w.log)
		if err == nil {
			t.Errorf("%s: accepted", name)
			_ = core.Run(canceled(t))
			continue
		}
		for _, word := range tc.says {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q does not speak of %q", name, err, word)
			}
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: tells the password", name)
		}
	}
}

func canceled(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// A connector that can't be opened ends the start, with the others stopped again.
func TestRunEndsWhenAConnectorCanNotBeOpened(t *testing.T) {
	t.Parallel()
	w := setup(t)
	text := w.config("", "development", "support")
	i := strings.LastIndex(text, "service: Development")
	w.write(t, "tandem.yaml", text[:i]+"caFile: "+w.path("none.pem")+", "+text[i:])
	core, err := app.New(t.Context(), w.settings(), w.log)
	if err != nil {
		t.Fatal(err)
	}
	// With a context that never ends, what is left running is found by TestMain.
	if err := core.Run(context.WithoutCancel(t.Context())); err == nil || !strings.Contains(err.Error(), "support") {
		t.Errorf("%v", err)
	}
}

func TestWaitsForRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	server.Kill()
	w := setup(t)
	redis := func(c *app.Config) { c.Redis = server.URL() }

	ctx, cancel := context.WithCancel(t.Context())
	gave := make(chan error, 1)
	go func() {
		_, err := app.New(ctx, w.settings(redis), w.log)
		gave <- err
	}()
	eventually(t, "it says that Redis is away", func() bool { return len(w.log.lines(t, "redis.away")) == 1 })
	cancel()
	if err := <-gave; !fault.Is(err, fault.Unavailable) || !strings.Contains(err.Error(), "waiting for Redis") {
		t.Errorf("stopped while waiting: %v", err)
	}

	opened := make(chan *process, 1)
	go func() { opened <- w.run(t, redis) }()
	eventually(t, "it waits again", func() bool { return len(w.log.lines(t, "redis.away")) == 2 })
	server.Restart(t)
	p := <-opened
	eventually(t, "it is ready", func() bool { code, _ := p.get(t, "/health/ready"); return code == 200 })
}

func TestRefusesARedisThatLosesData(t *testing.T) {
	t.Parallel()
	for setting, args := range map[string][]string{
		"appendonly":       {"--appendonly", "no"},
		"maxmemory-policy": {"--maxmemory-policy", "allkeys-lru"},
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, args...)
			w := setup(t)
			redis := func(c *app.Config) { c.Redis = server.URL() }
			_, err := app.New(t.Context(), w.settings(redis), w.log)
			if !fault.Is(err, fault.Misconfigured) || !strings.Contains(err.Error(), setting) {
				t.Fatalf("%v", err)
			}
			w.write(t, "tandem.yaml", w.config("allowVolatileRedis: true\n", "development"))
			p := w.run(t, redis)
			if warnings := w.log.lines(t, "redis.warning"); len(warnings) == 0 || !strings.Contains(fmt.Sprint(warnings[0]["problem"]), setting) {
				t.Errorf("warnings %v", warnings)
			}
			if _, err := p.end(t); err != nil {
				t.Error(err)
			}
			w.write(t, "tandem.yaml", w.config("", "development"))
			p = w.run(t, redis, func(c *app.Config) { c.AllowVolatileRedis = true })
			if _, err := p.end(t); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestServes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := w.run(t)
	eventually(t, "the connector is ready", func() bool { return w.ready(t)("development") })
	ticket := w.ticket(t, "Development")
	resp, err := p.events.IngestEvent(t.Context(), &tandemv1.IngestEventRequest{Connector: "development", System: tandemv1.System_SYSTEM_ALVAO, ItemId: ticket})
	if err != nil || resp.GetDisposition() != tandemv1.IngestEventResponse_DISPOSITION_STORED {
		t.Fatalf("%v, %v", resp, err)
	}
	eventually(t, "the ticket has a work item", p.linked(t, "development", ticket))
	check, err := p.connectors.CheckConnector(t.Context(), &tandemv1.CheckConnectorRequest{Name: "connectors/development"})
	if err != nil || len(check.GetFindings()) < 4 {
		t.Errorf("%v, %v", check, err)
	}
	for _, f := range check.GetFindings() {
		if f.GetSeverity() == tandemv1.Finding_SEVERITY_ERROR {
			t.Errorf("finding %v", f)
		}
	}
	one, err := p.connectors.GetConnector(t.Context(), &tandemv1.GetConnectorRequest{Name: "connectors/development"})
	if err != nil || !one.GetConnector().GetHealthy() || len(one.GetConnector().GetStatusMap()) != 3 {
		t.Errorf("%v, %v", one, err)
	}

	stream, err := grpc_reflection_v1.NewServerReflectionClient(p.conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := &grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}
	if err := stream.Send(ask); err != nil {
		t.Fatal(err)
	}
	listed, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var services []string
	for _, s := range listed.GetListServicesResponse().GetService() {
		services = append(services, s.GetName())
	}
	for _, want := range []string{"tandem.v1.EventService", "tandem.v1.LinkService", "tandem.v1.ConnectorService", "grpc.health.v1.Health"} {
		if !slices.Contains(services, want) {
			t.Errorf("services %v lack %s", services, want)
		}
	}

	code, metrics := p.get(t, "/metrics")
	for _, want := range []string{"tandem_inbox_items", "tandem_connectors_unhealthy", "tandem_connectors_braked", `system="azureDevOps"`, "tandem_reconciles_total", "http_client_request_duration", "rpc_server"} {
		if code != 200 || !strings.Contains(metrics, want) {
			t.Errorf("metrics (%d) lack %s", code, want)
		}
	}
	if code, _ := p.get(t, "/health/live"); code != 200 {
		t.Errorf("live: %d", code)
	}
	calls := w.log.lines(t, "rpc.served")
	if len(calls) == 0 || !slices.ContainsFunc(calls, func(l map[string]any) bool {
		return l["method"] == "/tandem.v1.EventService/IngestEvent" && l["code"] == "OK"
	}) {
		t.Errorf("calls in the log: %v", calls)
	}
	if _, err := p.end(t); err != nil {
		t.Error(err)
	}
	for _, secret := range []string{"sandbox-pat", "Smoke", strings.Repeat("h", 40)} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the log tells %q", secret)
		}
	}
}

func TestReadinessFollowsRedis(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := setup(t)
	p := w.run(t, func(c *app.Config) { c.Redis = server.URL() })
	is := func(code int, want healthpb.HealthCheckResponse_ServingStatus) func() bool {
		return func() bool {
			got, err := healthpb.NewHealthClient(p.conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
			ready, _ := p.get(t, "/health/ready")
			return err == nil && got.GetStatus() == want && ready == code
		}
	}
	eventually(t, "it is ready", is(200, healthpb.HealthCheckResponse_SERVING))
	server.Kill()
	eventually(t, "it is not ready", is(503, healthpb.HealthCheckResponse_NOT_SERVING))
	if code, _ := p.get(t, "/health/live"); code != 200 {
		t.Errorf("live while Redis is away: %d", code)
	}
	if code, metrics := p.get(t, "/metrics"); code != 200 || !strings.Contains(metrics, "tandem_connectors_unhealthy") {
		t.Errorf("metrics while Redis is away: %d", code)
	}
	_, err := p.events.IngestEvent(t.Context(), &tandemv1.IngestEventRequest{Connector: "development", System: tandemv1.System_SYSTEM_ALVAO, ItemId: 1})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("an event while Redis is away: %v", err)
	}
	// The caller is told what happened, and the log why.
	failed := func(l map[string]any) bool {
		text, _ := l["error"].(string)
		return l["code"] == "Unavailable" && strings.Contains(text, "dial tcp")
	}
	if strings.Contains(err.Error(), "dial tcp") || !slices.ContainsFunc(w.log.lines(t, "rpc.served"), failed) {
		t.Errorf("told %v, logged %v", err, w.log.lines(t, "rpc.served"))
	}
	server.Restart(t)
	eventually(t, "it is ready again", is(200, healthpb.HealthCheckResponse_SERVING))
}

// The file is watched for real: a connector is added, a mistake changes nothing, and
// one is removed.
func TestConfigurationIsReloaded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := w.run(t)
	names := func() []string {
		list, err := p.connectors.ListConnectors(t.Context(), &tandemv1.ListConnectorsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, c := range list.GetConnectors() {
			names = append(names, strings.TrimPrefix(c.GetName(), "connectors/"))
		}
		return names
	}
	eventually(t, "the connector is ready", func() bool { return w.ready(t)("development") })
	w.write(t, "tandem.yaml", w.config("", "development", "support"))
	eventually(t, "there are two", func() bool { return slices.Equal(names(), []string{"development", "support"}) })
	eventually(t, "both are ready", func() bool { return w.ready(t)("development", "support") })
	ticket := w.ticket(t, "Development")
	if _, err := p.links.SyncLink(t.Context(), &tandemv1.SyncLinkRequest{Name: "connectors/support/links/" + itoa(ticket)}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new one works", p.linked(t, "support", ticket))

	w.write(t, "tandem.yaml", w.config("", "development", "Support!"))
	eventually(t, "the mistake is told", func() bool { return len(w.log.lines(t, "config.refused")) == 1 })
	if got := names(); !slices.Equal(got, []string{"development", "support"}) {
		t.Errorf("after a mistake: %v", got)
	}
	// What can be opened is taken over; what can't keeps its settings.
	w.write(t, "ca.pem", "no certificate")
	lame := strings.Replace(w.config("", "development", "support"), "externalIdField", "caFile: "+w.path("ca.pem")+", externalIdField", 1)
	w.write(t, "tandem.yaml", lame)
	eventually(t, "what failed is told", func() bool {
		lines := w.log.lines(t, "config.applied")
		last := lines[len(lines)-1]
		return last["connectors"] == 1.0 && fmt.Sprint(last["failed"]) == "[development]"
	})
	if got := names(); !slices.Equal(got, []string{"development", "support"}) {
		t.Errorf("with one that can't be opened: %v", got)
	}
	if n := len(w.log.lines(t, "config.refused")); n != 1 {
		t.Errorf("%d configurations were refused", n)
	}
	w.write(t, "tandem.yaml", w.config("", "support"))
	eventually(t, "one is gone", func() bool { return slices.Equal(names(), []string{"support"}) })
	if n := len(w.log.lines(t, "connector.ready")); n != 2 {
		t.Errorf("connectors started %d times", n)
	}
}

// A refused token heals when its file is replaced, with nothing else done.
func TestTokenFileIsReplaced(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.write(t, "pat", "wrong")
	p := w.run(t)
	healthy := func() bool {
		got, err := p.connectors.GetConnector(t.Context(), &tandemv1.GetConnectorRequest{Name: "connectors/development"})
		return err == nil && got.GetConnector().GetHealthy()
	}
	eventually(t, "the connector is unhealthy", func() bool { return !healthy() })
	if _, metrics := p.get(t, "/metrics"); !strings.Contains(metrics, `system="azureDevOps"} 1`) || !strings.Contains(metrics, `system="alvao"} 0`) {
		t.Error("the metric does not say which system refuses the token")
	}
	w.write(t, "pat", "sandbox-pat")
	eventually(t, "the connector is ready", func() bool { return w.ready(t)("development") && healthy() })
}

// A token may be allowed to read work items and not projects. Then an event finds its
// connector by the project's name.
func TestTokenThatMayNotReadProjects(t *testing.T) {
	t.Parallel()
	for _, answer := range []int{401, 403} {
		w := setup(t)
		rule := standfault.Rule{Path: "/azuredevops/contoso/_apis/projects/**", Kind: standfault.KindStatus, Status: answer, Body: "{}"}
		if _, err := w.Faults.Add(rule); err != nil {
			t.Fatal(err)
		}
		p := w.run(t)
		eventually(t, "the connector is ready", func() bool { return w.ready(t)("development") })
		resp, err := p.events.IngestEvent(t.Context(), &tandemv1.IngestEventRequest{
			System: tandemv1.System_SYSTEM_AZURE_DEVOPS, ItemId: 1,
			Origin: &tandemv1.Origin{AccountUrl: w.url + "/azuredevops/contoso/", ProjectId: "11111111-2222-3333-4444-555555555555", ProjectName: "Alvaoproject"},
		})
		if err != nil || resp.GetConnector() != "development" {
			t.Errorf("%d: %v, %v", answer, resp, err)
		}
	}
}

// What is in hand is finished, what comes is refused, and nothing is left.
func TestDrains(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := w.run(t)
	eventually(t, "the connector is ready", func() bool { return w.ready(t)("development") })
	watch, err := healthpb.NewHealthClient(p.conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	ticket := w.ticket(t, "Development")
	rule := standfault.Rule{ID: "slow", Method: "POST", Path: "/azuredevops/**/workitems/*", Delay: standfault.Duration(700 * time.Millisecond)}
	if _, err := w.Faults.Add(rule); err != nil {
		t.Fatal(err)
	}
	if _, err := p.links.SyncLink(t.Context(), &tandemv1.SyncLinkRequest{Name: "connectors/development/links/" + itoa(ticket)}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the round creates", func() bool { return w.Faults.Rules()[0].Hits > 0 })
	took, err := p.end(t)
	if err != nil {
		t.Errorf("ended with %v", err)
	}
	if took > 8*time.Second {
		t.Errorf("took %s, though all was done long before the grace time", took)
	}
	if w.AzureDevOps.Count() != 1 {
		t.Errorf("%d work items", w.AzureDevOps.Count())
	}
	done := w.log.lines(t, "sync.handled")
	if len(done) == 0 || done[len(done)-1]["outcome"] != "done" {
		t.Errorf("handled %v", done)
	}
	if len(w.log.lines(t, "synccore.stopped")) != 1 {
		t.Error("it does not say that it stopped")
	}
	for _, address := range []string{p.Addr(), p.AdminAddr()} {
		var dialer net.Dialer
		if conn, err := dialer.DialContext(t.Context(), "tcp", address); err == nil {
			_ = conn.Close()
			t.Errorf("%s is still open", address)
		}
	}
}

// What does not end by itself is cut when the grace time is over.
func TestGraceIsBounded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	p := w.run(t, func(c *app.Config) { c.Grace = 300 * time.Millisecond })
	eventually(t, "the connector is ready", func() bool { return w.ready(t)("development") })
	ticket := w.ticket(t, "Development")
	if _, err := w.Faults.Add(standfault.Rule{ID: "stuck", Path: "/azuredevops/**", Delay: standfault.Duration(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.links.SyncLink(t.Context(), &tandemv1.SyncLinkRequest{Name: "connectors/development/links/" + itoa(ticket)}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the round is stuck", func() bool { return w.Faults.Rules()[0].Hits > 0 })
	took, err := p.end(t)
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
	if took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}
