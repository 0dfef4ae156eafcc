package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/tandem-sync/tandem/services/internal/telemetry"
)

// longestHeader is how much of a header of the sender goes into the log.
const longestHeader = 64

// instruments are the metrics of all sources.
type instruments struct {
	received metric.Int64Counter
	ignored  metric.Int64Counter
	duration metric.Float64Histogram
}

func newInstruments(meters metric.MeterProvider) (*instruments, error) {
	meter := meters.Meter("github.com/tandem-sync/tandem/services/gateway/internal/webhook")
	received, err := meter.Int64Counter("tandem.webhooks",
		metric.WithDescription("Webhooks received, by source and by what became of them."), metric.WithUnit("{webhook}"))
	if err != nil {
		return nil, fmt.Errorf("making the metric tandem.webhooks: %w", err)
	}
	ignored, err := meter.Int64Counter("tandem.webhooks.ignored",
		metric.WithDescription("Webhooks that asked for nothing, by source and reason."), metric.WithUnit("{webhook}"))
	if err != nil {
		return nil, fmt.Errorf("making the metric tandem.webhooks.ignored: %w", err)
	}
	duration, err := meter.Float64Histogram("tandem.webhook.duration",
		metric.WithDescription("Time from a webhook's header to its answer."), metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10))
	if err != nil {
		return nil, fmt.Errorf("making the metric tandem.webhook.duration: %w", err)
	}
	return &instruments{received: received, ignored: ignored, duration: duration}, nil
}

// sourceInstruments are the metrics of one source with their attributes made ahead,
// as making them costs more than counting.
type sourceInstruments struct {
	*instruments
	outcomes [outcomeCount]metric.MeasurementOption
	reasons  map[Ignored]metric.MeasurementOption
}

func (i *instruments) of(source string) *sourceInstruments {
	s := &sourceInstruments{instruments: i, reasons: map[Ignored]metric.MeasurementOption{}}
	for _, outcome := range Outcomes() {
		s.outcomes[outcome] = metric.WithAttributeSet(attribute.NewSet(
			attribute.String("source", source), attribute.String("result", outcome.String())))
	}
	for _, reason := range []Ignored{IgnoredTest, IgnoredEventType, IgnoredNoItem} {
		s.reasons[reason] = metric.WithAttributeSet(attribute.NewSet(
			attribute.String("source", source), attribute.String(telemetry.KeyReason, string(reason))))
	}
	return s
}

// observe counts the request, describes it on the span and writes its one log line.
func (h *handler) observe(r *http.Request, rec *record, took time.Duration) {
	ctx := r.Context()
	h.counts.received.Add(ctx, 1, h.counts.outcomes[rec.outcome])
	h.counts.duration.Record(ctx, took.Seconds(), h.counts.outcomes[rec.outcome])
	if option, ok := h.counts.reasons[rec.notice.Ignored]; ok {
		h.counts.ignored.Add(ctx, 1, option)
	}
	if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(spanAttributes(rec)...)
	}
	h.log(ctx, r, rec, took)
}

func spanAttributes(rec *record) []attribute.KeyValue {
	attributes := []attribute.KeyValue{attribute.String(telemetry.KeyOutcome, rec.outcome.String())}
	if rec.reason != "" {
		attributes = append(attributes, attribute.String(telemetry.KeyReason, rec.reason))
	}
	if n := &rec.notice; n.System != 0 {
		attributes = append(attributes,
			attribute.String(telemetry.KeyConnector, n.Connector),
			attribute.String(telemetry.KeySystem, n.System.String()),
			attribute.Int64(telemetry.KeyItem, n.ItemID),
			attribute.String(telemetry.KeyEventType, n.EventType))
	}
	return attributes
}

func (h *handler) log(ctx context.Context, r *http.Request, rec *record, took time.Duration) {
	level := slog.LevelWarn
	switch {
	case rec.outcome == Broken:
		level = slog.LevelError
	case rec.outcome.Status() == http.StatusAccepted:
		level = slog.LevelInfo
	}
	if !h.logger.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		slog.String("source", h.source.Name()),
		slog.String(telemetry.KeyOutcome, rec.outcome.String()),
		slog.Int("status", rec.outcome.Status()),
		slog.Float64(telemetry.KeyDurationMS, float64(took.Microseconds())/1000),
		slog.Int("body_bytes", rec.bytes),
		slog.String("peer", r.RemoteAddr))
	if n := &rec.notice; n.System != 0 {
		attrs = append(attrs,
			slog.String(telemetry.KeyConnector, n.Connector),
			slog.String(telemetry.KeySystem, n.System.String()),
			slog.Int64(telemetry.KeyItem, n.ItemID),
			slog.String(telemetry.KeyEventType, n.EventType),
			slog.String("event_id", n.EventID))
	}
	for _, optional := range [...]struct{ key, value string }{
		{telemetry.KeyReason, rec.reason},
		{telemetry.KeyError, rec.cause},
		{"stack", rec.stack},
		{"activity_id", clip(r.Header.Get("X-Vss-Activityid"))}, // for a case at Microsoft's support
	} {
		if optional.value != "" {
			attrs = append(attrs, slog.String(optional.key, optional.value))
		}
	}
	h.logger.LogAttrs(ctx, level, "webhook.handled", attrs...)
}

func clip(header string) string { return header[:min(len(header), longestHeader)] }
