package telemetry_test

import (
	"testing"

	"github.com/tandem-sync/tandem/services/internal/telemetry"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	if got := telemetry.Version(); got == "" {
		t.Error("Version is empty: it would be missing from traces")
	}
}
