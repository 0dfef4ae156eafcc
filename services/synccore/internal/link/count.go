package link

import (
	"context"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
)

// Count tells how many links a connector has, or a few more: entries of links that were
// never written count until somebody lists them.
func (l *Links) Count(ctx context.Context, connector string) (int, error) {
	n, err := l.store.Client().ZCard(ctx, l.ticketsKey(connector)).Result()
	return int(n), datastore.Fault(err, "counting links")
}
