package worker_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/worker"
)

// lags counts what the histogram of convergence has seen, by direction and work.
func lags(t *testing.T, reader sdkmetric.Reader) map[string]uint64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	counts := map[string]uint64{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			histogram, ok := m.Data.(metricdata.Histogram[float64])
			if !ok || m.Name != "tandem.convergence.duration" {
				continue
			}
			for _, point := range histogram.DataPoints {
				get := func(name attribute.Key) string {
					value, _ := point.Attributes.Value(name)
					return value.AsString()
				}
				counts[get("connector")+" "+get("direction")+" "+get("work")] += point.Count
			}
		}
	}
	return counts
}

// TestLagIsToldByDirection sees that a change counts for the direction in which it was to
// go, even once its ticket stands for the work item, and that what only a resync asked for
// is kept apart: nobody's objective is missed by it.
func TestLagIsToldByDirection(t *testing.T) {
	t.Parallel()
	reader := sdkmetric.NewManualReader()
	b := setup(t, func(_ context.Context, d inbox.Delivery) (worker.Served, error) {
		if d.Key.System == item.AzureDevOps {
			ticket := key(d.Key.ID)
			return worker.Served{Forward: &ticket}, nil
		}
		return worker.Served{}, nil
	}, func(cfg *worker.Config) { cfg.Meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)) })
	b.append(t, item.Event{Key: key(1)})
	b.append(t, item.Event{Key: item.Key{Connector: "development", System: item.AzureDevOps, ID: 2}})
	b.append(t, item.Event{Key: key(3), Background: true})

	want := map[string]uint64{
		"development toAzureDevOps live": 1, "development toAlvao live": 1, "development toAzureDevOps background": 1,
	}
	deadline := time.After(30 * time.Second)
	for !maps.Equal(lags(t, reader), want) {
		select {
		case <-deadline:
			t.Fatalf("what was measured differs (-want +got):\n%s", cmp.Diff(want, lags(t, reader)))
		case <-time.After(10 * time.Millisecond):
		}
	}
}
