package worker_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/worker"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// bench is a worker over a real inbox in an embedded Redis.
type bench struct {
	inbox *inbox.Inbox
	spans *tracetest.InMemoryExporter
	log   *lockedBuffer
	stop  context.CancelFunc
	ended chan struct{}
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) lines(t *testing.T) []map[string]any {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var lines []map[string]any
	for text := range strings.Lines(b.text.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("log line %q: %v", text, err)
		}
		lines = append(lines, line)
	}
	return lines
}

func setup(t *testing.T, handler worker.Handler, change ...func(*worker.Config)) *bench {
	t.Helper()
	return setupOn(t, redistest.Embedded(t), handler, change...)
}

func setupOn(t *testing.T, store *datastore.Store, handler worker.Handler, change ...func(*worker.Config)) *bench {
	t.Helper()
	queue, err := inbox.New(store, inbox.Options{Visibility: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{inbox: queue, spans: tracetest.NewInMemoryExporter(), log: &lockedBuffer{}, ended: make(chan struct{})}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(b.spans))
	cfg := worker.Config{
		Inbox: queue, Handler: handler, Logger: slog.New(slog.NewJSONHandler(b.log, nil)),
		Tracers: tracers, Meters: noop.NewMeterProvider(), Now: time.Now,
		Concurrency: 4, Heartbeat: 200 * time.Millisecond, Grace: 5 * time.Second,
	}
	for _, f := range change {
		f(&cfg)
	}
	w, err := worker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	b.stop = stop
	go func() {
		defer close(b.ended)
		if err := w.Run(ctx); err != nil {
			t.Errorf("running: %v", err)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-b.ended
		if err := queue.Close(); err != nil {
			t.Errorf("closing the inbox: %v", err)
		}
	})
	return b
}

func key(id int64) item.Key { return item.Key{Connector: "development", System: item.Alvao, ID: id} }

func (b *bench) append(t *testing.T, e item.Event) {
	t.Helper()
	if e.Received.IsZero() {
		e.Received = time.Now()
	}
	stored, err := b.inbox.Append(t.Context(), e)
	if err != nil || !stored {
		t.Fatalf("append: stored %v, %v", stored, err)
	}
}

// await waits for a value, and fails after a generous time.
func await[T any](t *testing.T, what string, values <-chan T) T {
	t.Helper()
	select {
	case v := <-values:
		return v
	case <-time.After(20 * time.Second):
		t.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// awaitDead waits until a dead letter of the connector is there.
func (b *bench) awaitDead(t *testing.T) inbox.Record {
	t.Helper()
	found := make(chan inbox.Record)
	go func() {
		ticker := time.NewTicker(10 * time.Millisecond)
		defer ticker.Stop()
		for range ticker.C {
			records, _, err := b.inbox.List(t.Context(), "development", inbox.Dead, 10, "")
			if err != nil {
				return
			}
			if len(records) > 0 {
				found <- records[0]
				return
			}
		}
	}()
	return await(t, "a dead letter", found)
}

func TestServes(t *testing.T) {
	t.Parallel()
	served := make(chan inbox.Delivery, 1)
	b := setup(t, func(_ context.Context, d inbox.Delivery) (worker.Served, error) {
		served <- d
		return worker.Served{}, nil
	})
	b.append(t, item.Event{Key: key(7), Type: "poll"})
	if d := await(t, "a delivery", served); d.Key != key(7) {
		t.Errorf("served %v", d.Key)
	}
}

func TestPermanentFaultBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	b := setup(t, func(context.Context, inbox.Delivery) (worker.Served, error) {
		return worker.Served{}, fault.New(fault.Misconfigured, "Field Custom.Nope does not exist; remove it from the AttributeMap.")
	})
	b.append(t, item.Event{Key: key(7), Type: "poll"})
	letter := b.awaitDead(t)
	if letter.Key != key(7) || !strings.Contains(letter.Reason, "Custom.Nope") || len(letter.TraceID) != 32 {
		t.Errorf("dead letter %+v", letter)
	}
}

func TestPanicIsAnErrorOfItsItemAlone(t *testing.T) {
	t.Parallel()
	served := make(chan item.Key, 8)
	b := setup(t, func(_ context.Context, d inbox.Delivery) (worker.Served, error) {
		if d.Key.ID == 1 {
			panic(fmt.Errorf("poison: %w", errors.ErrUnsupported))
		}
		if d.Key.ID == 3 {
			panic("a secret")
		}
		served <- d.Key
		return worker.Served{}, nil
	})
	b.append(t, item.Event{Key: key(1), Type: "poll"})
	b.append(t, item.Event{Key: key(3), Type: "poll"})
	b.append(t, item.Event{Key: key(2), Type: "poll"})
	if k := await(t, "the other item", served); k != key(2) {
		t.Errorf("served %v", k)
	}
	b.stop()
	<-b.ended
	var told bool
	for _, line := range b.log.lines(t) {
		text, _ := line["error"].(string)
		if strings.Contains(text, "a secret") {
			t.Error("the log shows what a panic of an unknown type held")
		}
		told = told || line["item_id"] == 1.0 && strings.Contains(text, "poison") && line["outcome"] == "retry"
	}
	if !told {
		t.Error("the panic is not in the log with its item")
	}
}

func TestSoftFaultIsTriedAgain(t *testing.T) {
	t.Parallel()
	var tries atomic.Int32
	done := make(chan inbox.Delivery, 1)
	b := setup(t, func(_ context.Context, d inbox.Delivery) (worker.Served, error) {
		if tries.Add(1) == 1 {
			return worker.Served{}, fault.New(fault.Conflict, "somebody was faster")
		}
		done <- d
		return worker.Served{}, nil
	})
	b.append(t, item.Event{Key: key(7), Type: "poll", TraceParent: "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"})
	d := await(t, "the second try", done)
	if d.Attempt != 0 || d.LastReason == "" {
		t.Errorf("a conflict was counted, or forgotten: %+v", d)
	}
	b.stop()
	<-b.ended
	// The first try goes on in the webhook's trace; the second has its own, with a link.
	spans := b.spans.GetSpans()
	if len(spans) != 2 {
		t.Fatalf("%d spans", len(spans))
	}
	const origin = "0123456789abcdef0123456789abcdef"
	if got := spans[0].SpanContext.TraceID().String(); got != origin {
		t.Errorf("the first try is in trace %s", got)
	}
	if got := spans[1].SpanContext.TraceID().String(); got == origin {
		t.Error("the second try goes on in the first one's trace")
	}
	if len(spans[1].Links) != 1 || spans[1].Links[0].SpanContext.TraceID().String() != origin {
		t.Errorf("the second try links to %v", spans[1].Links)
	}
}

func TestForwardedHintsAreServedUnderTheOtherKey(t *testing.T) {
	t.Parallel()
	ticket := key(7)
	done := make(chan inbox.Delivery, 1)
	b := setup(t, func(_ context.Context, d inbox.Delivery) (worker.Served, error) {
		if d.Key.System == item.AzureDevOps {
			return worker.Served{Forward: &ticket}, nil
		}
		done <- d
		return worker.Served{}, nil
	})
	b.append(t, item.Event{Key: item.Key{Connector: "development", System: item.AzureDevOps, ID: 45}, Type: "workitem.updated", Revision: 3})
	d := await(t, "the forwarded hint", done)
	if d.Key != ticket || d.MaxRevision != 3 || d.First.Type != "workitem.updated" {
		t.Errorf("served %+v", d)
	}
}

// beating tells of each heartbeat that the inbox took.
type beating struct {
	worker.Inbox

	beats chan struct{}
}

func (b beating) Extend(ctx context.Context, d inbox.Delivery) error {
	err := b.Inbox.Extend(ctx, d)
	select {
	case b.beats <- struct{}{}:
	case <-ctx.Done():
	}
	return err
}

func TestLongWorkIsNotTakenAway(t *testing.T) {
	t.Parallel()
	store, advance := redistest.Clocked(t)
	var serving, most atomic.Int32
	release := make(chan struct{})
	done := make(chan struct{}, 4)
	beats := make(chan struct{})
	b := setupOn(t, store, func(context.Context, inbox.Delivery) (worker.Served, error) {
		most.Store(max(most.Load(), serving.Add(1)))
		<-release
		serving.Add(-1)
		done <- struct{}{}
		return worker.Served{}, nil
	}, func(c *worker.Config) {
		c.Inbox = beating{c.Inbox, beats}
		c.Heartbeat = 10 * time.Millisecond
	})
	b.append(t, item.Event{Key: key(7), Type: "poll"})
	// Three times the visibility of two seconds passes; only heartbeats keep the item.
	for range 6 {
		await(t, "a heartbeat", beats)
		await(t, "a heartbeat that began after the last step of the clock", beats)
		advance(time.Second)
		if err := b.inbox.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	close(release)
	go func() {
		for range beats {
		}
	}()
	await(t, "the end of the work", done)
	b.stop()
	<-b.ended
	close(beats)
	if most.Load() != 1 || len(done) != 0 {
		t.Errorf("%d served the item at once, %d times more", most.Load(), len(done))
	}
}

// However fast hints come in, a burst of them costs the round that the first one
// started and one more after the last.
func TestBurstCostsTwoRounds(t *testing.T) {
	t.Parallel()
	served := make(chan inbox.Delivery, 300)
	b := setup(t, func(_ context.Context, d inbox.Delivery) (worker.Served, error) {
		served <- d
		return worker.Served{}, nil
	})
	const hints = 200
	var senders sync.WaitGroup
	for range hints {
		senders.Go(func() { b.append(t, item.Event{Key: key(7), Type: "workitem.updated"}) })
	}
	senders.Wait()
	var total int64
	rounds := 0
	for total < hints {
		total += await(t, "a round", served).Count
		rounds++
	}
	if rounds > 2 {
		t.Errorf("%d hints cost %d rounds", hints, rounds)
	}
}

func TestStopFinishesWhatIsInHand(t *testing.T) {
	t.Parallel()
	started, release := make(chan struct{}), make(chan struct{})
	b := setup(t, func(ctx context.Context, _ inbox.Delivery) (worker.Served, error) {
		close(started)
		select {
		case <-release:
			return worker.Served{}, nil
		case <-ctx.Done():
			return worker.Served{}, ctx.Err()
		}
	})
	b.append(t, item.Event{Key: key(7), Type: "poll"})
	await(t, "the start", started)
	b.stop()
	close(release)
	await(t, "the end", b.ended)
	lines := b.log.lines(t)
	if len(lines) != 1 || lines[0]["outcome"] != "done" {
		t.Errorf("log: %v", lines)
	}
}

func TestStopCutsOffAfterTheGraceTimeAndKeepsTheItem(t *testing.T) {
	t.Parallel()
	started := make(chan struct{}, 1)
	b := setup(t, func(ctx context.Context, _ inbox.Delivery) (worker.Served, error) {
		started <- struct{}{}
		<-ctx.Done()
		return worker.Served{}, errors.New("cut off")
	}, func(c *worker.Config) { c.Grace = 50 * time.Millisecond })
	b.append(t, item.Event{Key: key(7), Type: "poll"})
	await(t, "the start", started)
	b.stop()
	await(t, "the end", b.ended)
	stats, err := b.inbox.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if stats.Items() != 1 || stats.QueuedLive != 1 {
		t.Errorf("after the cut the inbox holds %+v, want the item ready for whoever comes next", stats)
	}
	if lines := b.log.lines(t); len(lines) != 1 || lines[0]["msg"] != "sync.cut" || lines[0]["item_id"] != 7.0 {
		t.Errorf("log: %v", lines)
	}
	// A stop is no try of the item's.
	next, err := b.inbox.Receive(t.Context(), 1, time.Second)
	if err != nil || len(next) != 1 || next[0].Attempt != 0 || next[0].Lapses != 0 {
		t.Errorf("%+v, %v", next, err)
	}
}
