package datastore

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/extra/redisotel/v9"
	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

func (s *Store) instrument(o Options) error {
	client := s.client
	if o.TracerProvider != nil {
		err := redisotel.InstrumentTracing(client,
			redisotel.WithTracerProvider(withinTraces{TracerProvider: o.TracerProvider}),
			// Arguments are payloads and keys: never in a span.
			redisotel.WithDBStatement(false),
			redisotel.WithCallerEnabled(false),
			redisotel.WithDialFilter(true),
			redisotel.WithCommandFilter(untraced),
		)
		if err != nil {
			return fmt.Errorf("tracing Redis: %w", err)
		}
	}
	if o.MeterProvider != nil {
		err := redisotel.InstrumentMetrics(client,
			redisotel.WithMeterProvider(o.MeterProvider), redisotel.WithSemConvCompliantMetrics(true))
		if err != nil {
			return fmt.Errorf("measuring Redis: %w", err)
		}
		s.refused, err = o.MeterProvider.Meter("github.com/tandem-sync/tandem/services/synccore/datastore").Int64Counter("tandem.redis.refusals",
			metric.WithDescription("Writes that Redis refused, did not answer or was spared, by reason; also the probe of each second."))
		if err != nil {
			return fmt.Errorf("making the metric tandem.redis.refusals: %w", err)
		}
	}
	return nil
}

// counted counts a failure of storing something, and returns it.
func (s *Store) counted(ctx context.Context, err error) error {
	if reason := Reason(err); reason != "" && s.refused != nil {
		s.refused.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", reason)))
	}
	return err
}

// untraced leaves out the commands that say nothing of a change's way: waiting for
// work, health checks and logging in.
func untraced(cmd redis.Cmder) bool {
	switch cmd.Name() {
	case "xread", "ping", "info", "config":
		return true
	default:
		return redisotel.DefaultCommandFilter(cmd)
	}
}

// withinTraces makes spans only below others: waiting for work and looking after the
// inbox belong to no change, and would each be a trace of one span.
type withinTraces struct{ trace.TracerProvider }

// Tracer is part of trace.TracerProvider.
func (w withinTraces) Tracer(name string, options ...trace.TracerOption) trace.Tracer {
	return childTracer{Tracer: w.TracerProvider.Tracer(name, options...)}
}

type childTracer struct{ trace.Tracer }

// Start is part of trace.Tracer.
func (c childTracer) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, noop.Span{}
	}
	return c.Tracer.Start(ctx, name, options...) //nolint:spancheck // the caller ends it
}

// LogTo sends what the Redis client has to say to logger instead of the standard error
// stream, for debugging: mostly that it can't dial, twice a second and more, which
// whoever uses the store tells once. The client has one log for the whole process:
// call it once, before the first Open.
func LogTo(logger *slog.Logger) { redis.SetLogger(clientLog{logger}) }

type clientLog struct{ logger *slog.Logger }

// Printf is what the client's log asks for.
func (c clientLog) Printf(ctx context.Context, format string, v ...any) {
	c.logger.DebugContext(ctx, "redis.client", slog.String("detail", fmt.Sprintf(format, v...)))
}
