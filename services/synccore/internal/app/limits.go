package app

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/limiter"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// backgroundShare is the part of a vendor's budget that resyncs may use up: half, since
// what a call costs is an estimate.
const backgroundShare = .5

// limits are the limiters in use: one for all connectors with the same token. It is
// safe for concurrent use.
type limits struct {
	ledger *limiter.Ledger
	now    func() time.Time
	// waits measures how long calls wait for their turn.
	waits metric.Float64Histogram

	mu   sync.Mutex
	open map[limitKey]*shared
	// uses are the connectors' ways to them, for the gauges.
	uses map[*measured]struct{}
}

// limitKey tells limiters apart. What is configured for a connector's own pace is part
// of it; the account in Redis is the same for all of a token.
type limitKey struct {
	system              item.System
	account, credential string
	perSecond           float64
	concurrent          int
}

type shared struct {
	limiter *limiter.Limiter
	users   int
}

func newLimits(meter metric.Meter, ledger *limiter.Ledger, now func() time.Time) (*limits, error) {
	l := &limits{ledger: ledger, now: now, open: map[limitKey]*shared{}, uses: map[*measured]struct{}{}}
	var errs [4]error
	l.waits, errs[0] = meter.Float64Histogram("tandem.limiter.wait", metric.WithUnit("s"),
		metric.WithDescription("How long calls to a system waited for their turn: for a free place, for the rate, for the budget, or because the system asked to wait."),
		metric.WithExplicitBucketBoundaries(.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60, 300))
	pause, err := meter.Float64ObservableGauge("tandem.limiter.pause", metric.WithUnit("s"),
		metric.WithDescription("What is left of the time that a system asked to wait."))
	errs[1] = err
	used, err := meter.Float64ObservableGauge("tandem.limiter.used", metric.WithUnit("1"),
		metric.WithDescription("The part of a system's budget for the token that all replicas used up, by estimate."))
	errs[2] = err
	flight, err := meter.Int64ObservableGauge("tandem.limiter.in_flight",
		metric.WithDescription("Calls to a system that are under way from this replica with the connector's token."))
	errs[3] = err
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("making the limiter's metrics: %w", err)
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		for m := range l.uses {
			state := m.limiter.State()
			o.ObserveFloat64(pause, state.Pause.Seconds(), m.labels)
			o.ObserveInt64(flight, int64(state.InFlight), m.labels)
			if state.Limit > 0 {
				o.ObserveFloat64(used, state.Used/state.Limit, m.labels)
			}
		}
		return nil
	}, pause, used, flight)
	if err != nil {
		return nil, fmt.Errorf("registering the limiter's gauges: %w", err)
	}
	return l, nil
}

// gate gives a connector its way through the limiter of key. The function returned
// lets go of it.
func (l *limits) gate(connector string, key limitKey, rules limiter.Rules, whose func(http.Header) string) (*measured, func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.open[key]
	if one == nil {
		pace := outbound.PaceOptions{
			PerSecond: key.perSecond, Burst: int(math.Ceil(2 * key.perSecond)), Concurrent: key.concurrent, Now: l.now,
		}
		one = &shared{limiter: limiter.New(limiter.Options{
			Account: string(key.system) + " " + key.account, Credential: key.credential, Whose: whose, Rules: rules,
			Pace: outbound.NewPace(pace), Ledger: l.ledger, Now: l.now,
		})}
		l.open[key] = one
	}
	one.users++
	labels := []attribute.KeyValue{attribute.String("connector", connector), attribute.String("tandem.system", string(key.system))}
	m := &measured{
		limiter: one.limiter, waits: l.waits, now: l.now, labels: metric.WithAttributes(labels...),
		live: metric.WithAttributes(append(labels, attribute.String("work", "live"))...),
	}
	m.background = metric.WithAttributes(append(slices.Clip(labels), attribute.String("work", "background"))...)
	l.uses[m] = struct{}{}
	return m, sync.OnceFunc(func() { l.leave(m, key) })
}

func (l *limits) leave(m *measured, key limitKey) {
	l.mu.Lock()
	delete(l.uses, m)
	one := l.open[key]
	one.users--
	last := one.users == 0
	if last {
		delete(l.open, key)
	}
	l.mu.Unlock()
	if last {
		one.limiter.Close()
	}
}

// measured is a gate that tells how long calls waited in front of it.
type measured struct {
	limiter                  *limiter.Limiter
	waits                    metric.Float64Histogram
	labels, live, background metric.MeasurementOption
	now                      func() time.Time
}

// Enter implements outbound.Gate.
func (m *measured) Enter(ctx context.Context, writes bool) (func(*http.Response), error) {
	began := m.now()
	leave, err := m.limiter.Enter(ctx, writes) //nolint:bodyclose // leave takes an answer, it gives none
	labels := m.live
	if outbound.IsBackground(ctx) {
		labels = m.background
	}
	m.waits.Record(ctx, m.now().Sub(began).Seconds(), labels)
	return leave, err
}
