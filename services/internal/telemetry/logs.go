package telemetry

import (
	"context"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// Keys of log lines and of span attributes that mean the same in both services.
const (
	KeyTraceID    = "trace_id"
	KeySpanID     = "span_id"
	KeyError      = "error"
	KeyConnector  = "connector"
	KeySystem     = "system"
	KeyItem       = "item_id"
	KeyTicket     = "ticket_id"
	KeyWorkItem   = "work_item_id"
	KeyEventType  = "event_type"
	KeyOutcome    = "outcome"
	KeyReason     = "reason"
	KeyAttempt    = "attempt"
	KeyDurationMS = "duration_ms"
)

// ParseLevel reads debug, info, warn or error.
func ParseLevel(s string) (slog.Level, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s)); err != nil {
		return 0, fmt.Errorf("log level %q is none of debug, info, warn, error", s)
	}
	return level, nil
}

// TraceID is the 32 hex digits of the context's trace, or empty without one.
func TraceID(ctx context.Context) string {
	span := trace.SpanContextFromContext(ctx)
	if !span.HasTraceID() {
		return ""
	}
	return span.TraceID().String()
}

// traceHandler adds the ids of the context's span to each line.
type traceHandler struct{ slog.Handler }

func withTrace(h slog.Handler) slog.Handler { return traceHandler{h} }

// Handle implements slog.Handler.
func (h traceHandler) Handle(ctx context.Context, record slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		record.AddAttrs(
			slog.String(KeyTraceID, span.TraceID().String()),
			slog.String(KeySpanID, span.SpanID().String()),
		)
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (h traceHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}
