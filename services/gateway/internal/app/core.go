package app

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc/filters"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // lets the client watch the health that sync-core tells
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/resolver/dns"
)

const (
	// A page of 1,000 events or links stays far below.
	maxReceive = 16 << 20
	maxSend    = 4 << 20

	// checkTimeout bounds CheckConnector, which asks both vendors.
	checkTimeout = 60 * time.Second
)

// CoreConfig says how sync-core is reached.
type CoreConfig struct {
	// Target is the gRPC target, e.g. 127.0.0.1:9000 or dns:///synccore:9000.
	Target string
	// Credentials protect the way; nil: nothing does.
	Credentials credentials.TransportCredentials
	// Timeout bounds each call but CheckConnector.
	Timeout time.Duration
	// Tracers and Meters observe the calls; nil: OpenTelemetry's globals.
	Tracers trace.TracerProvider
	Meters  metric.MeterProvider
	// Propagator carries the trace; nil: OpenTelemetry's global.
	Propagator propagation.TextMapPropagator
}

// lookAgain is how soon the names of sync-cores may be looked up again after a
// connection ended. gRPC's 30 s would leave nobody to call when sync-cores are replaced
// one after the other.
const lookAgain = time.Second

// FollowCore has connections of this process follow the names of sync-cores closely.
// It must be called before the first connection is made, and once.
func FollowCore() { dns.SetMinResolutionInterval(lookAgain) }

// DialCore makes the client connection to sync-core and begins to connect; it does
// not wait. While sync-core is away calls fail within a quarter of a second, and
// within about a second after it is back they succeed again. extra comes last, for
// tests.
func DialCore(cfg CoreConfig, extra ...grpc.DialOption) (*grpc.ClientConn, error) {
	service, err := serviceConfig(cfg.Timeout)
	if err != nil {
		return nil, err
	}
	observe := []otelgrpc.Option{otelgrpc.WithFilter(filters.Not(filters.HealthCheck()))}
	if cfg.Tracers != nil {
		observe = append(observe, otelgrpc.WithTracerProvider(cfg.Tracers))
	}
	if cfg.Meters != nil {
		observe = append(observe, otelgrpc.WithMeterProvider(cfg.Meters))
	}
	if cfg.Propagator != nil {
		observe = append(observe, otelgrpc.WithPropagators(cfg.Propagator))
	}
	way := cfg.Credentials
	if way == nil {
		way = insecure.NewCredentials()
	}
	options := append([]grpc.DialOption{
		grpc.WithTransportCredentials(way),
		grpc.WithDefaultServiceConfig(service),
		grpc.WithDisableServiceConfig(), // none from DNS
		grpc.WithStatsHandler(otelgrpc.NewClientHandler(observe...)),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxReceive), grpc.MaxCallSendMsgSize(maxSend)),
		// A dead peer is noticed while calls wait on it. The server must allow pings
		// at this rate (keepalive.EnforcementPolicy, 5 minutes by default).
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 5 * time.Second}),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
			MinConnectTimeout: 2 * time.Second,
		}),
		grpc.WithIdleTimeout(0), // the first webhook of the morning should not pay for connecting
	}, extra...)
	conn, err := grpc.NewClient(cfg.Target, options...)
	if err != nil {
		return nil, fmt.Errorf("setting up the client of sync-core: %w", err)
	}
	conn.Connect()
	return conn, nil
}

// serviceConfig declares per method what may be retried. IngestEvent is safe to
// repeat by contract and reads are by nature; what changes something else is not
// repeated. While most calls fail, throttling stops the retries, so that an outage
// is not made worse.
func serviceConfig(timeout time.Duration) (string, error) {
	const events, links, connectors = "tandem.v1.EventService", "tandem.v1.LinkService", "tandem.v1.ConnectorService"
	const resyncs = "tandem.v1.ResyncService"
	type method = map[string]any
	config := map[string]any{
		"loadBalancingConfig": []any{map[string]any{"round_robin": map[string]any{}}},
		// One that stops, or that has lost Redis, gets no calls while another one serves.
		"healthCheckConfig": map[string]any{"serviceName": ""},
		"methodConfig": []method{
			{
				"name": []any{
					map[string]any{"service": events, "method": "IngestEvent"},
					map[string]any{"service": events, "method": "ListEvents"},
					map[string]any{"service": events, "method": "GetEvent"},
					map[string]any{"service": links, "method": "GetLink"},
					map[string]any{"service": links, "method": "ListLinks"},
					map[string]any{"service": links, "method": "ListLinkHistory"},
					map[string]any{"service": links, "method": "ExplainLink"},
					map[string]any{"service": connectors, "method": "ListConnectors"},
					map[string]any{"service": connectors, "method": "GetConnector"},
					map[string]any{"service": resyncs, "method": "GetResync"},
					map[string]any{"service": resyncs, "method": "ListResyncs"},
				},
				"timeout": protoDuration(timeout),
				"retryPolicy": map[string]any{
					"maxAttempts": 3, "initialBackoff": "0.05s", "maxBackoff": "0.2s", "backoffMultiplier": 2,
					"retryableStatusCodes": []string{"UNAVAILABLE"},
				},
			},
			{
				"name": []any{
					map[string]any{"service": connectors, "method": "CheckConnector"},
					map[string]any{"service": connectors, "method": "PreviewWorkItem"},
					map[string]any{"service": connectors, "method": "ListExamples"},
					map[string]any{"service": connectors, "method": "DiffMapping"},
					map[string]any{"service": resyncs, "method": "CheckDrift"},
					map[string]any{"service": resyncs, "method": "RepairDrift"},
				},
				"timeout": protoDuration(max(timeout, checkTimeout)),
			},
			// It lasts as long as its caller stays.
			{"name": []any{map[string]any{"service": links, "method": "WatchLinks"}}},
			{
				"name": []any{
					map[string]any{"service": events},
					map[string]any{"service": links},
					map[string]any{"service": connectors},
					map[string]any{"service": resyncs},
				},
				"timeout": protoDuration(timeout),
			},
		},
		"retryThrottling": map[string]any{"maxTokens": 100, "tokenRatio": 0.5},
	}
	encoded, err := json.Marshal(config)
	if err != nil {
		return "", fmt.Errorf("encoding the service config: %w", err)
	}
	return string(encoded), nil
}

func protoDuration(d time.Duration) string {
	return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) + "s"
}
