package link_test

import (
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/link/linktest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestLinks(t *testing.T) {
	t.Parallel()
	redistest.Each(t, linktest.Run)
}
