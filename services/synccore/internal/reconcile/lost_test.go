package reconcile_test

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
)

// overtaken has the lease of a ticket go to another worker just before a create, and makes
// the create when the holder was told.
type overtaken struct {
	reconcile.WorkItems

	store *datastore.Store
	key   item.Key
}

func (o overtaken) Create(ctx context.Context, draft item.Draft) (item.WorkItem, error) {
	if err := o.store.Client().Set(ctx, lease.KeyOf(o.store, o.key), "1", time.Minute).Err(); err != nil {
		return item.WorkItem{}, err
	}
	select {
	case <-ctx.Done():
	case <-time.After(time.Minute):
	}
	return o.WorkItems.Create(ctx, draft)
}

// A worker that lost its ticket to another stops, and that is no failure of the ticket:
// whatever the call that was cut off says, the other worker serves it.
func TestLostLeaseIsAConflict(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id := w.ticket(t, "Development")
	engine := reconcile.New(reconcile.Config{
		Links: w.links, Leases: lease.New(w.store), Origins: w.origins, Tracers: noop.NewTracerProvider(), Now: w.clock,
		LeaseTTL: 2 * time.Second,
	})
	w.connector.WorkItems = overtaken{w.connector.WorkItems, w.store, hints(id).Key}
	_, err := engine.Handle(t.Context(), w.connector, hints(id))
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("got %s: %v, want a conflict", fault.KindOf(err), err)
	}
	if n := w.marked(id); n != 0 {
		t.Errorf("%d work items were made by a worker that was told to stop", n)
	}
}
