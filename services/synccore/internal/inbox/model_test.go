package inbox_test

import (
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox/inboxtest"
)

func TestModelWithTime(t *testing.T) {
	t.Parallel()
	store, advance := redistest.Clocked(t)
	inboxtest.Model(t, func() (*datastore.Store, func(time.Duration)) {
		if err := store.Client().FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		return store, advance
	})
}

func TestModelOnRedis(t *testing.T) {
	t.Parallel()
	store := redistest.Start(t).Open(t)
	inboxtest.Model(t, func() (*datastore.Store, func(time.Duration)) {
		if err := store.Client().FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		return store, nil
	})
}
