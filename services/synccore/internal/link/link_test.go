package link_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/link/linktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestLinks(t *testing.T) {
	t.Parallel()
	redistest.Each(t, linktest.Run)
}
