// Package worker serves the inbox: it takes items, hands each to the handler, and
// turns what came of it into done, retry or dead letter.
//
// Its one invariant: a delivery ends in exactly one of these, or in none: then the
// process died or was cut off, the inbox gives the item to somebody else, and the
// handler must be able to serve it again. A handler whose delivery was given to somebody
// else is told to stop: its context ends.
package worker

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

const (
	scope = "github.com/tandem-sync/tandem/services/synccore/worker"
	// block is how long one Receive waits for work.
	block = 2 * time.Second
	// settleTimeout bounds telling the inbox how a delivery ended.
	settleTimeout = 5 * time.Second
	// putBackTimeout bounds putting back what a shutdown cut off.
	putBackTimeout = time.Second
)

// Inbox is the queue that is served.
type Inbox interface {
	Receive(ctx context.Context, most int, block time.Duration) ([]inbox.Delivery, error)
	Extend(ctx context.Context, d inbox.Delivery) error
	Done(ctx context.Context, d inbox.Delivery) error
	Retry(ctx context.Context, d inbox.Delivery, options inbox.RetryOptions) error
	Dead(ctx context.Context, d inbox.Delivery, reason, traceID string) error
	Forward(ctx context.Context, d inbox.Delivery, to item.Key) error
	Maintain(ctx context.Context) error
}

// Served is what a handler made of a delivery.
type Served struct {
	// Forward hands the hints to another item; nil: they were served.
	Forward *item.Key
	// Attrs are added to the log line.
	Attrs []slog.Attr
}

// Handler serves one delivery. It is called from many goroutines, never for two
// deliveries of one item at once but while the first, which was lost to the second, is
// being stopped. The fault kind of its error decides what follows.
type Handler func(ctx context.Context, d inbox.Delivery) (Served, error)

// Config is what a Worker is made of. Inbox, Handler, Logger, Tracers, Meters and
// Now are required.
type Config struct {
	Inbox   Inbox
	Handler Handler
	Logger  *slog.Logger
	Tracers trace.TracerProvider
	Meters  metric.MeterProvider
	Now     func() time.Time
	// Concurrency is how many items are served at once; 0 means 32.
	Concurrency int
	// Heartbeat is how often the inbox is told that a delivery is still in hand; it
	// must be well below the inbox' visibility time. 0 means 5 s.
	Heartbeat time.Duration
	// Upkeep is how often due, abandoned and outdated entries are looked after, beside
	// what receiving does of that. 0 means 10 s.
	Upkeep time.Duration
	// Grace is how long deliveries in hand may go on after the context ended; 0
	// means 10 s.
	Grace time.Duration
	// Chance gives numbers in [0, 1) that spread retries; it is called from many
	// goroutines. Nil: by chance.
	Chance func() float64
}

// Worker serves the inbox until its context ends.
type Worker struct {
	cfg        Config
	tracer     trace.Tracer
	propagator propagation.TraceContext
	served     metric.Int64Counter
	lag        metric.Float64Histogram

	hands  hands
	recent recent
	// alone is held by the item that is served apart from others of its kind (lapse.go).
	alone chan struct{}
	// due tells upkeep of items that are to be ready sooner than it would look.
	due chan time.Duration
}

// New makes a Worker.
func New(cfg Config) (*Worker, error) {
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 32
	}
	if cfg.Heartbeat == 0 {
		cfg.Heartbeat = 5 * time.Second
	}
	if cfg.Upkeep == 0 {
		cfg.Upkeep = 10 * time.Second
	}
	if cfg.Grace == 0 {
		cfg.Grace = 10 * time.Second
	}
	if cfg.Chance == nil {
		cfg.Chance = rand.Float64
	}
	meter := cfg.Meters.Meter(scope)
	served, err := meter.Int64Counter("tandem.reconciles",
		metric.WithDescription("Items served, by connector and outcome."))
	if err != nil {
		return nil, fmt.Errorf("making the counter of served items: %w", err)
	}
	lag, err := meter.Float64Histogram("tandem.convergence.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from the receipt of an item's oldest hint until both sides agreed."),
		metric.WithExplicitBucketBoundaries(.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800))
	if err != nil {
		return nil, fmt.Errorf("making the histogram of convergence: %w", err)
	}
	return &Worker{
		cfg: cfg, tracer: cfg.Tracers.Tracer(scope), served: served, lag: lag,
		alone: make(chan struct{}, 1), due: make(chan time.Duration, 64),
	}, nil
}

// Run serves until ctx ends, then finishes what is in hand within the grace time.
// What is left then is put back as it was, for another worker or this one's next start.
func (w *Worker) Run(ctx context.Context) error {
	// Deliveries outlive ctx by the grace time.
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var serving, keeping sync.WaitGroup
	keep, stopKeeping := context.WithCancel(work)
	defer stopKeeping()
	keeping.Go(func() { w.beat(keep) })
	keeping.Go(func() { w.upkeep(ctx) })

	slots := make(chan struct{}, w.cfg.Concurrency)
	w.receive(ctx, slots, func(d inbox.Delivery) {
		serving.Go(func() {
			defer func() { <-slots }()
			w.serve(work, d)
		})
	})

	finished := make(chan struct{})
	go func() {
		serving.Wait()
		close(finished)
	}()
	timer := time.NewTimer(w.cfg.Grace)
	defer timer.Stop()
	select {
	case <-finished:
	case <-timer.C:
		cut()
		<-finished
	}
	stopKeeping()
	keeping.Wait()
	return nil
}

// receive hands deliveries on, as many as there are free slots.
func (w *Worker) receive(ctx context.Context, slots chan struct{}, hand func(inbox.Delivery)) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, time.Second
	away := false
	for ctx.Err() == nil {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return
		}
		free := 1
		for free < w.cfg.Concurrency {
			select {
			case slots <- struct{}{}:
				free++
				continue
			default:
			}
			break
		}
		deliveries, err := w.cfg.Inbox.Receive(ctx, free, block)
		for range free - len(deliveries) {
			<-slots
		}
		for _, d := range deliveries {
			hand(d)
		}
		if fault.Is(err, fault.Invalid) {
			w.cfg.Logger.ErrorContext(ctx, "inbox.unreadable", slog.String("error", err.Error()))
			err = nil
		}
		if err == nil {
			if away {
				w.cfg.Logger.InfoContext(ctx, "inbox.back")
				away = false
			}
			pause.Reset()
			continue
		}
		if ctx.Err() != nil {
			return
		}
		if !away {
			w.cfg.Logger.ErrorContext(ctx, "inbox.away", slog.String("error", err.Error()))
			away = true
		}
		wait(ctx, pause.NextBackOff())
	}
}

// upkeep makes waiting items ready when they are due and takes over abandoned ones: at
// each interval, and when it is reminded of an item that is due sooner.
func (w *Worker) upkeep(ctx context.Context) {
	timer := time.NewTimer(w.cfg.Upkeep)
	defer timer.Stop()
	next := w.cfg.Now().Add(w.cfg.Upkeep)
	for {
		select {
		case <-ctx.Done():
			return
		case after := <-w.due:
			if at := w.cfg.Now().Add(after); at.Before(next) {
				next = at
				timer.Reset(after)
			}
		case <-timer.C:
			// While Redis is away, receive says so.
			_ = w.cfg.Inbox.Maintain(ctx)
			next = w.cfg.Now().Add(w.cfg.Upkeep)
			timer.Reset(w.cfg.Upkeep)
		}
	}
}

// remind lets upkeep look when an item is due. A receiver that waits already would
// notice only when its wait is over.
func (w *Worker) remind(after time.Duration) {
	select {
	case w.due <- after + time.Millisecond:
	default: // upkeep is busy looking
	}
}

func (w *Worker) serve(ctx context.Context, d inbox.Delivery) {
	ctx, drop := w.hands.take(ctx, d)
	defer drop()
	started := w.cfg.Now()
	if pause := w.recent.pause(d, started); pause > 0 {
		// Without a reason it does not count as tried before.
		if err := w.cfg.Inbox.Retry(context.WithoutCancel(ctx), d, inbox.RetryOptions{After: pause, Held: true}); err == nil {
			w.remind(pause)
			return
		}
	}
	done, mine := w.turn(ctx, d)
	if !mine {
		return
	}
	defer done()
	ctx, options := w.span(ctx, d)
	ctx, span := w.tracer.Start(ctx, "process inbox", options...)
	defer span.End()
	served, err := w.handle(ctx, d)
	lost := err != nil && lostBy(ctx) != nil
	if err != nil && ctx.Err() != nil && !lost {
		span.SetStatus(codes.Error, "cut off by shutdown")
		w.putBack(ctx, d)
		return
	}
	if lost {
		err = lostBy(ctx) // the handler tells in its own words that it was stopped
	}
	outcome := Decide(err, d, w.cfg.Chance())
	verdict := string(outcome.Verdict)
	var settleErr error
	switch {
	case lost:
		verdict = "lost" // there is nothing to tell the inbox
	case err == nil && served.Forward != nil:
		verdict = "forwarded"
		fallthrough
	default:
		settleErr = w.settle(ctx, d, served, outcome)
	}
	w.recent.note(d.Key, w.cfg.Now())

	span.SetAttributes(attribute.String("tandem.outcome", verdict), attribute.String("tandem.reason", outcome.Reason))
	if err != nil {
		span.SetStatus(codes.Error, fault.KindOf(err).String())
	}
	// Telling people brings no sides together; it has a metric of its own.
	if d.Key.System != item.Notices {
		w.measure(ctx, d, verdict)
	}
	w.log(ctx, d, line{served: served, verdict: verdict, outcome: outcome, err: err, settleErr: settleErr, took: w.cfg.Now().Sub(started)})
}

func (w *Worker) measure(ctx context.Context, d inbox.Delivery, verdict string) {
	w.served.Add(ctx, 1, metric.WithAttributes(
		attribute.String("connector", d.Key.Connector), attribute.String("outcome", verdict)))
	if verdict == string(Finish) {
		w.lag.Record(ctx, w.cfg.Now().Sub(d.First.Received).Seconds(), metric.WithAttributes(
			attribute.String("connector", d.Key.Connector), attribute.String("direction", direction(d)), attribute.String("work", work(d))))
	}
}

// direction is where the oldest hint's change was to be carried. A hint of a work item is
// still one after it was handed to the ticket.
func direction(d inbox.Delivery) string {
	if d.First.Key.System == item.AzureDevOps {
		return "toAlvao"
	}
	return "toAzureDevOps"
}

// work tells whether somebody waits for it, or only a resync asked.
func work(d inbox.Delivery) string {
	if d.Background {
		return "background"
	}
	return "live"
}

// putBack hands over what a shutdown cut off: without a word to the inbox it would only
// be found abandoned after its visibility time. It does not count as tried.
func (w *Worker) putBack(ctx context.Context, d inbox.Delivery) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), putBackTimeout)
	defer cancel()
	attrs := []slog.Attr{
		slog.String("connector", d.Key.Connector), slog.String("system", string(d.Key.System)), slog.Int64("item_id", d.Key.ID),
	}
	if err := w.cfg.Inbox.Retry(ctx, d, inbox.RetryOptions{}); err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	w.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "sync.cut", attrs...)
}

// handle calls the handler, unless the item is not to be served any more; a panic in it is
// an error of its item alone.
func (w *Worker) handle(ctx context.Context, d inbox.Delivery) (served Served, err error) { //nolint:nonamedreturns // recover sets err
	defer func() {
		if cause := recover(); cause != nil {
			// A value of an unknown type may hold what somebody wrote, or a secret.
			text := fmt.Sprintf("of type %T", cause)
			if known, ok := cause.(error); ok {
				text = known.Error()
			}
			err = fmt.Errorf("panic while serving %s: %s\n%s", d.Key, text, debug.Stack())
		}
	}()
	if err := deadly(d); err != nil {
		return Served{}, err
	}
	return w.cfg.Handler(ctx, d)
}

// settle tells the inbox how the delivery ended, even while shutting down.
func (w *Worker) settle(ctx context.Context, d inbox.Delivery, served Served, out Outcome) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	traceID := trace.SpanContextFromContext(ctx).TraceID().String()
	switch out.Verdict {
	case Finish:
		if served.Forward != nil {
			return w.cfg.Inbox.Forward(ctx, d, *served.Forward)
		}
		return w.cfg.Inbox.Done(ctx, d)
	case Again:
		defer w.remind(out.After)
		return w.cfg.Inbox.Retry(ctx, d, inbox.RetryOptions{
			After: out.After, Reason: out.Reason, Counted: out.Counted, Unexpected: out.Unexpected, Held: out.Held, TraceID: traceID,
		})
	case GiveUp:
		return w.cfg.Inbox.Dead(ctx, d, out.Reason, traceID)
	default:
		return fmt.Errorf("unknown verdict %q", out.Verdict)
	}
}

// span lets the first attempt go on in the trace of the webhook, so that one
// trace shows the whole way; a retry starts a trace of its own that links to it,
// else traces would grow for days (OpenTelemetry: messaging spans).
func (w *Worker) span(ctx context.Context, d inbox.Delivery) (context.Context, []trace.SpanStartOption) {
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(
			attribute.String("messaging.system", "redis"),
			attribute.String("messaging.operation.type", "process"),
			attribute.String("messaging.destination.name", "inbox"),
			attribute.String("tandem.connector", d.Key.Connector),
			attribute.String("tandem.system", string(d.Key.System)),
			attribute.Int64("tandem.item.id", d.Key.ID),
			attribute.Int("tandem.attempt", d.Attempt),
			attribute.Int64("tandem.hints", d.Count),
		),
	}
	for _, parent := range d.TraceParents {
		origin := trace.SpanContextFromContext(w.propagator.Extract(ctx, propagation.MapCarrier{"traceparent": parent}))
		if origin.IsValid() {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: origin}))
		}
	}
	if Fresh(d) && len(d.TraceParents) > 0 {
		ctx = w.propagator.Extract(ctx, propagation.MapCarrier{"traceparent": d.TraceParents[0]})
	} else {
		options = append(options, trace.WithNewRoot())
	}
	return ctx, options
}

// line is what the wide log line of one delivery tells.
type line struct {
	served    Served
	verdict   string
	outcome   Outcome
	err       error
	settleErr error
	took      time.Duration
}

func (w *Worker) log(ctx context.Context, d inbox.Delivery, l line) {
	attrs := []slog.Attr{
		slog.String("connector", d.Key.Connector),
		slog.String("system", string(d.Key.System)),
		slog.Int64("item_id", d.Key.ID),
		slog.String("event_type", d.First.Type),
		slog.Int64("hints", d.Count),
		slog.Bool("forced", d.Force),
		slog.Int("attempt", d.Attempt),
		slog.Int("lapses", d.Lapses),
		slog.String("outcome", l.verdict),
		slog.Float64("duration_ms", float64(l.took.Microseconds())/1000),
	}
	attrs = append(attrs, l.served.Attrs...)
	level := slog.LevelInfo
	if l.err != nil {
		level = slog.LevelWarn
		attrs = append(attrs,
			slog.String("reason", l.outcome.Reason),
			slog.String("kind", fault.KindOf(l.err).String()),
			slog.String("error", l.err.Error()),
			slog.Float64("again_after_ms", float64(l.outcome.After.Milliseconds())))
	}
	if l.outcome.Verdict == GiveUp {
		level = slog.LevelError
	}
	if l.settleErr != nil {
		level = slog.LevelWarn
		attrs = append(attrs, slog.String("settle_error", l.settleErr.Error()))
	}
	w.cfg.Logger.LogAttrs(ctx, level, "sync.handled", attrs...)
}

// every calls f at each tick until ctx ends.
func every(ctx context.Context, interval time.Duration, f func()) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			f()
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
