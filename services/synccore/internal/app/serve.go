package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc/filters"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/api"
	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
	"github.com/tandem-sync/tandem/services/synccore/internal/connector"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
)

// serve makes the gRPC server and the admin server.
func (a *App) serve(links *link.Links, leases *lease.Leases, now func() time.Time) error {
	var err error
	if a.access, err = a.guard(now); err != nil {
		return err
	}
	protection, err := a.protection()
	if err != nil {
		return err
	}
	a.server = grpc.NewServer(append(serverLimits(),
		grpc.Creds(protection),
		grpc.StatsHandler(otelgrpc.NewServerHandler(
			otelgrpc.WithTracerProvider(a.tel.Tracers), otelgrpc.WithMeterProvider(a.tel.Meters),
			otelgrpc.WithFilter(filters.Not(filters.HealthCheck())))),
		grpc.ChainUnaryInterceptor(a.logCall, a.access.Unary),
		grpc.ChainStreamInterceptor(a.endStream, a.access.Stream),
	)...)
	described := describer{a.connectors}
	tandemv1.RegisterEventServiceServer(a.server, &api.EventService{
		Inbox: a.inbox, Pushed: a.pushed, Connectors: described, Now: now, TraceParent: traceParent,
	})
	tandemv1.RegisterLinkServiceServer(a.server, &api.LinkService{
		Links: links, Leases: leases, Inbox: a.inbox, Connectors: described, Now: now,
	})
	tandemv1.RegisterConnectorServiceServer(a.server, &api.ConnectorService{
		Connectors: described, Mappings: mappings{a.connectors}, Now: now,
	})
	tandemv1.RegisterResyncServiceServer(a.server, &api.ResyncService{Connectors: described, Resyncs: described})
	a.health = health.NewServer()
	a.health.SetServingStatus("", healthpb.HealthCheckResponse_NOT_SERVING)
	healthpb.RegisterHealthServer(a.server, a.health)
	reflection.Register(a.server)
	if err := a.complete(); err != nil {
		return err
	}

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", a.tel.Metrics)
	mux.HandleFunc("GET /health/live", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /health/ready", func(w http.ResponseWriter, r *http.Request) {
		answer, err := a.health.Check(r.Context(), &healthpb.HealthCheckRequest{})
		if err != nil || answer.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			http.Error(w, "Redis can't be reached or refuses writes; the log says why.", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	a.admin = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second}
	return nil
}

// requestID is what a caller's own name of a call must look like to be logged, as in the
// gateway.
var requestID = regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,128}$`)

// logCall writes one line for each call and turns a panic into an error of that call.
func (a *App) logCall(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (resp any, err error) { //nolint:nonamedreturns // recover sets err
	if strings.HasPrefix(info.FullMethod, "/grpc.health.") {
		return handler(ctx, req)
	}
	started := time.Now() //nolint:forbidigo // measuring
	defer func() {
		if cause := recover(); cause != nil {
			err = a.panicked(ctx, info.FullMethod, cause)
		}
		level := slog.LevelInfo
		if code := status.Code(err); code == codes.Internal || code == codes.Unavailable {
			level = slog.LevelWarn
		}
		attrs := []slog.Attr{
			slog.String("method", info.FullMethod), slog.String("code", status.Code(err).String()),
			slog.Float64("duration_ms", float64(time.Since(started).Microseconds())/1000),
		}
		if err != nil {
			attrs = append(attrs, slog.String("error", err.Error()))
		}
		if id := metadata.ValueFromIncomingContext(ctx, "x-request-id"); len(id) == 1 && requestID.MatchString(id[0]) {
			attrs = append(attrs, slog.String("request_id", id[0]))
		}
		a.tel.Logger.LogAttrs(ctx, level, "rpc.served", attrs...)
	}()
	return handler(ctx, req)
}

// panicked logs a panic and makes it an error of its call. Values of unknown types are
// left out, as they may hold what was asked or a secret.
func (a *App) panicked(ctx context.Context, method string, cause any) error {
	text := fmt.Sprintf("panic of type %T", cause)
	if err, ok := cause.(error); ok {
		text = "panic: " + err.Error()
	}
	a.tel.Logger.ErrorContext(ctx, "rpc.panic", slog.String("method", method),
		slog.String("error", text), slog.String("stack", string(debug.Stack())))
	return api.Status(errors.New(text))
}

// endStream ends a stream when a stop is asked for: one that waits for news, such as
// Health.Watch, would use up the whole grace time.
func (a *App) endStream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) (err error) {
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		select {
		case <-a.stopping:
			cancel()
		case <-ended:
		}
	}()
	defer func() {
		if cause := recover(); cause != nil {
			err = a.panicked(ctx, info.FullMethod, cause)
		}
	}()
	return handler(srv, boundStream{stream, ctx})
}

// boundStream is a stream with a context of its own.
type boundStream struct {
	grpc.ServerStream

	ctx context.Context //nolint:containedctx // gRPC hands a stream's context over in this way
}

// Context implements grpc.ServerStream.
func (s boundStream) Context() context.Context { return s.ctx }

// observe makes the gauges that are read when they are scraped.
func (a *App) observe() error {
	meter := a.tel.Meters.Meter("github.com/tandem-sync/tandem/services/synccore/app")
	items, err := meter.Int64ObservableGauge("tandem.inbox.items", metric.WithDescription("Items in the inbox, by state."))
	if err != nil {
		return fmt.Errorf("making a gauge: %w", err)
	}
	age, err := meter.Float64ObservableGauge("tandem.inbox.age", metric.WithUnit("s"),
		metric.WithDescription("How long ago the oldest hint that is not finished was stored."))
	if err != nil {
		return fmt.Errorf("making a gauge: %w", err)
	}
	unhealthy, err := meter.Int64ObservableGauge("tandem.connectors.unhealthy",
		metric.WithDescription("1 for a connector and system that refuses its token, else 0."))
	if err != nil {
		return fmt.Errorf("making a gauge: %w", err)
	}
	expiry, err := meter.Float64ObservableGauge("tandem.token.expiry.timestamp", metric.WithUnit("s"),
		metric.WithDescription("When a connector's credential for a system ends, in seconds since 1970, where that is declared or told by a certificate."))
	if err != nil {
		return fmt.Errorf("making a gauge: %w", err)
	}
	braked, err := meter.Int64ObservableGauge("tandem.connectors.braked",
		metric.WithDescription("1 for a connector with a mass change that waits for a person, else 0."))
	if err != nil {
		return fmt.Errorf("making a gauge: %w", err)
	}
	hooks, err := meter.Int64ObservableGauge("tandem.hooks",
		metric.WithDescription("Service hooks that Tandem sees to, by the status in which they were seen last."))
	if err != nil {
		return fmt.Errorf("making a gauge: %w", err)
	}
	durable, err := meter.Int64ObservableGauge("tandem.redis.durable",
		metric.WithDescription("1 while Redis keeps what it acknowledges, 0 where its settings or its disk lose data."))
	if err != nil {
		return fmt.Errorf("making a gauge: %w", err)
	}
	_, err = meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		for _, one := range a.connectors.List() {
			for status, n := range one.Hooks {
				o.ObserveInt64(hooks, int64(n), metric.WithAttributes(
					attribute.String("connector", one.Config.Name), attribute.String("status", status)))
			}
			for _, end := range one.Expiries {
				o.ObserveFloat64(expiry, float64(end.At.Unix()), metric.WithAttributes(
					attribute.String("connector", one.Config.Name), attribute.String("system", string(end.System))))
			}
			for _, system := range []item.System{item.Alvao, item.AzureDevOps} {
				value := int64(0)
				if slices.ContainsFunc(one.Refusals, func(r connector.Refusal) bool { return r.System == system }) {
					value = 1
				}
				o.ObserveInt64(unhealthy, value, metric.WithAttributes(
					attribute.String("connector", one.Config.Name), attribute.String("system", string(system))))
			}
		}
		if err := a.observeBrakes(ctx, o, braked); err != nil {
			return err
		}
		stats, err := a.inbox.Stats(ctx)
		if err != nil {
			return err
		}
		for state, n := range map[string]int64{
			"queued_live": stats.QueuedLive, "queued_background": stats.QueuedBackground,
			"running": stats.Running, "waiting": stats.Waiting, "dead": stats.Dead,
		} {
			o.ObserveInt64(items, n, metric.WithAttributes(attribute.String("state", state)))
		}
		o.ObserveFloat64(age, stats.OldestAge.Seconds())
		// Redis answers, so what is told of it is true.
		kept := int64(0)
		if a.store.Durable(ctx) {
			kept = 1
		}
		o.ObserveInt64(durable, kept)
		return nil
	}, items, age, unhealthy, braked, hooks, expiry, durable)
	if err != nil {
		return fmt.Errorf("registering the gauges: %w", err)
	}
	return nil
}

func (a *App) observeBrakes(ctx context.Context, o metric.Observer, gauge metric.Int64Observable) error {
	for _, one := range a.connectors.List() {
		state, err := a.connectors.Brake(ctx, one.Config.Name)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return err
		}
		value := int64(0)
		if state.Held() {
			value = 1
		}
		o.ObserveInt64(gauge, value, metric.WithAttributes(attribute.String("connector", one.Config.Name)))
	}
	return nil
}

// describer shows connectors in the API's words.
type describer struct{ set *connector.Set }

// Describe implements api.Connectors.
func (d describer) Describe(name string) (api.Description, bool) {
	one, ok := d.set.Get(name)
	if !ok {
		return api.Description{}, false
	}
	return describe(one), true
}

// DescribeAll implements api.Connectors.
func (d describer) DescribeAll() []api.Description {
	var all []api.Description
	for _, one := range d.set.List() {
		all = append(all, describe(one))
	}
	return all
}

// Find implements api.Connectors.
func (d describer) Find(accountURL, projectID, projectName string) ([]string, error) {
	return d.set.Find(accountURL, projectID, projectName)
}

// Check implements api.Connectors.
func (d describer) Check(ctx context.Context, name string) ([]item.Finding, error) {
	return d.set.Check(ctx, name)
}

// Capabilities implements api.Connectors.
func (d describer) Capabilities(ctx context.Context, name string) ([]item.Capability, error) {
	return d.set.Capabilities(ctx, name)
}

// Brake implements api.Connectors.
func (d describer) Brake(ctx context.Context, name string) (brake.State, error) {
	return d.set.Brake(ctx, name)
}

// Release implements api.Connectors.
func (d describer) Release(ctx context.Context, name, id string) error {
	return d.set.Release(ctx, name, id)
}

// Resync implements api.Connectors.
func (d describer) Resync(ctx context.Context, name string) (item.Resync, error) {
	return d.set.Resync(ctx, name)
}

// AskResync implements api.Connectors and api.Resyncs.
func (d describer) AskResync(ctx context.Context, name, request string) (item.Resync, error) {
	return d.set.AskResync(ctx, name, request)
}

// ResyncOf implements api.Resyncs.
func (d describer) ResyncOf(ctx context.Context, name, id string) (item.Resync, error) {
	return d.set.ResyncOf(ctx, name, id)
}

// Resyncs implements api.Resyncs.
func (d describer) Resyncs(ctx context.Context, name string) ([]item.Resync, error) {
	return d.set.Resyncs(ctx, name)
}

// CancelResync implements api.Resyncs.
func (d describer) CancelResync(ctx context.Context, name, id string) (item.Resync, error) {
	return d.set.CancelResync(ctx, name, id)
}

// CheckDrift implements api.Resyncs.
func (d describer) CheckDrift(ctx context.Context, name string, size int, token string) ([]item.Drift, int, string, error) {
	page, err := d.set.CheckDrift(ctx, name, size, token)
	return page.Drifts, page.Compared, page.Next, err
}

// RepairDrift implements api.Resyncs.
func (d describer) RepairDrift(ctx context.Context, name string, ticket int64, winner item.System) (api.Repaired, error) {
	repaired, err := d.set.RepairDrift(ctx, name, ticket, winner)
	return api.Repaired{Writes: repaired.Writes, Outcome: repaired.Outcome, Left: repaired.Drift}, err
}

func describe(s connector.Summary) api.Description {
	reason, since := s.Unhealthy()
	return api.Description{
		Name: s.Config.Name, AlvaoService: s.Config.Alvao.Service, AlvaoURL: s.Config.Alvao.URL,
		AzureDevOpsURL: s.Config.Rules.Project.URL(), StatusMap: s.Config.Rules.Statuses.Pairs(),
		Checked: s.Checked, Unhealthy: reason, UnhealthySince: since, Degraded: s.Degraded,
	}
}
