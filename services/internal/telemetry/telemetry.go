// Package telemetry sets up logs, traces and metrics in the one way that both
// services share, because one trace only spans two processes if propagators,
// sampler and resource agree.
//
// Its one invariant: it is process plumbing alone. No domain type, no proto and no
// client lives here.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// flushTimeout bounds how long Shutdown waits for the collector.
const flushTimeout = 5 * time.Second

// Config says what to observe and where to send it. The zero value of every field
// but Service is usable.
type Config struct {
	// Service is the service.name of every span and metric, e.g. "tandem-gateway".
	Service string
	// Version is the service.version; empty: left out.
	Version string
	// Instance is the service.instance.id; empty: left out.
	Instance string
	// OTLPEndpoint is the URL of an OTLP/gRPC collector, e.g. http://jaeger:4317.
	// Empty: spans only lend their ids to the logs; nothing is recorded or exported.
	OTLPEndpoint string
	// SampleRatio is the share of new traces that are kept, above 0 to 1; 0 means 1.
	// A trace that began elsewhere keeps its decision.
	SampleRatio float64
	// LogWriter receives one JSON object per line. Required.
	LogWriter io.Writer
	// LogLevel is the least level that is written; the zero value is Info.
	LogLevel slog.Level
}

// Telemetry holds what a process logs, traces and measures with.
type Telemetry struct {
	// Logger writes JSON lines with trace_id and span_id of the context.
	Logger *slog.Logger
	// Tracers and Meters are also set as OpenTelemetry's globals.
	Tracers trace.TracerProvider
	Meters  metric.MeterProvider
	// Metrics serves the Prometheus text format.
	Metrics http.Handler

	shutdown []func(context.Context) error
}

// Start sets up logs, traces and metrics and makes them OpenTelemetry's globals. It
// opens no connection before the first span is exported, so a collector that is
// away hinders nothing.
func Start(ctx context.Context, cfg Config) (*Telemetry, error) {
	attrs := []attribute.KeyValue{attribute.String("service.name", cfg.Service)}
	if cfg.Version != "" {
		attrs = append(attrs, attribute.String("service.version", cfg.Version))
	}
	if cfg.Instance != "" {
		attrs = append(attrs, attribute.String("service.instance.id", cfg.Instance))
	}
	res, err := resource.Merge(resource.Default(), resource.NewSchemaless(attrs...))
	if err != nil {
		return nil, fmt.Errorf("describing the process: %w", err)
	}

	t := &Telemetry{Logger: slog.New(withTrace(slog.NewJSONHandler(cfg.LogWriter, &slog.HandlerOptions{Level: cfg.LogLevel})))}

	traceOptions := []sdktrace.TracerProviderOption{sdktrace.WithResource(res), sdktrace.WithSampler(sampler(cfg))}
	if cfg.OTLPEndpoint != "" {
		exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithEndpointURL(cfg.OTLPEndpoint))
		if err != nil {
			return nil, fmt.Errorf("opening the OTLP exporter: %w", err)
		}
		traceOptions = append(traceOptions, sdktrace.WithBatcher(exporter))
	}
	tracers := sdktrace.NewTracerProvider(traceOptions...)
	t.Tracers = tracers
	t.shutdown = append(t.shutdown, tracers.ForceFlush, tracers.Shutdown)

	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	reader, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening the Prometheus exporter: %w", err), tracers.Shutdown(ctx))
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithResource(res), sdkmetric.WithReader(reader))
	t.Meters = meters
	t.Metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	t.shutdown = append(t.shutdown, meters.Shutdown)

	otel.SetTracerProvider(tracers)
	otel.SetMeterProvider(meters)
	otel.SetTextMapPropagator(Propagator())
	logger, lasting := t.Logger, context.WithoutCancel(ctx)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		logger.WarnContext(lasting, "telemetry.error", slog.String(KeyError, err.Error()))
	}))
	return t, nil
}

// sampler keeps a share of the traces that begin here, and what a caller decided of
// those that began elsewhere. Where nothing is exported nothing is recorded either:
// spans then only lend their ids to the logs.
func sampler(cfg Config) sdktrace.Sampler {
	switch {
	case cfg.OTLPEndpoint == "":
		return sdktrace.NeverSample()
	case cfg.SampleRatio == 0:
		return sdktrace.ParentBased(sdktrace.AlwaysSample())
	default:
		return sdktrace.ParentBased(sdktrace.TraceIDRatioBased(cfg.SampleRatio))
	}
}

// Propagator carries the trace between processes and through the inbox: W3C
// traceparent, tracestate and baggage.
func Propagator() propagation.TextMapPropagator {
	return propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})
}

// Shutdown flushes and closes everything within five seconds, even if ctx has
// ended. It may be called on nil.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	if t == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	var errs []error
	for _, stop := range t.shutdown {
		errs = append(errs, stop(ctx))
	}
	return errors.Join(errs...)
}
