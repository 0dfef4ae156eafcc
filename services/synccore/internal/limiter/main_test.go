package limiter_test

import (
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }
