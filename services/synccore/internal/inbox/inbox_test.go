package inbox_test

import (
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox/inboxtest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestInbox(t *testing.T) {
	t.Parallel()
	redistest.Each(t, inboxtest.Run)
}
