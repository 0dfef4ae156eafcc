package limiter_test

import (
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"testing"

)

func TestMain(m *testing.M) { redistest.Main(m) }
