package app_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/app"
	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
)

// TestWrongAddressIsToldSoon: a command that calls a sync-core which isn't there says so in
// a sentence, and does not wait as for one that starts anew.
func TestWrongAddressIsToldSoon(t *testing.T) {
	t.Parallel()
	began := time.Now()
	err := app.CheckConnector(t.Context(), app.CheckConnectorConfig{Core: transport.Client{Target: "127.0.0.1:1", Insecure: true}, Timeout: 5 * time.Minute}, io.Discard)
	if err == nil || !strings.HasPrefix(err.Error(), "Nothing listens at 127.0.0.1:1; start sync-core, or give its address with --core.") {
		t.Errorf("it is told as %v", err)
	}
	if took := time.Since(began); took > 20*time.Second { // 3 s on a machine at rest
		t.Errorf("it is told after %s", took)
	}
}
