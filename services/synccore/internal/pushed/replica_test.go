package pushed_test

import (
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/pushed"
)

// TestLaggingReplica: on a cluster a log lies on another node than the inbox. While no
// replica of that one confirms, nothing is taken, and telling it again is no way around it.
func TestLaggingReplica(t *testing.T) {
	t.Parallel()
	cluster := redistest.StartCluster(t, 1, time.Hour)
	cluster.Now(t)
	store := cluster.Open(t)
	logs, err := pushed.New(store, pushed.Limits{}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	record := item.PushedRecord{AsOf: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)}
	record.ID, record.HTML = 1, "<p>Hello</p>"
	keep := func(ticket int64) error {
		_, err := logs.Keep(t.Context(), "development", ticket, record)
		return err
	}
	const tickets = 3
	for n := range int64(tickets) { // until each node is known to have a replica
		began, err := time.Now(), keep(n+1)
		for err != nil && time.Since(began) < time.Minute {
			err = keep(n + 1)
		}
	}
	for _, replica := range cluster.Servers[3:] {
		replica.Pause(t)
	}
	record.AsOf, record.HTML = record.AsOf.Add(time.Second), "<p>Hello again</p>"
	for n := range int64(tickets) {
		for range 2 {
			if err := keep(n + 1); !fault.Is(err, fault.Unavailable) {
				t.Errorf("ticket %d: %v, want a refusal for want of replicas", n+1, err)
			}
		}
	}
	for _, replica := range cluster.Servers[3:] {
		replica.Resume(t)
	}
	for n := range int64(tickets) {
		if err := keep(n + 1); err != nil {
			t.Error(err)
		}
	}
}
