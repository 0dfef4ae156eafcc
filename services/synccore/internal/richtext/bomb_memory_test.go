//go:build !race

package richtext_test

import (
	"runtime"
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
)

// TestBombsTakeLittleMemory bounds what a bomb allocates in all, which is more than it ever
// holds at once. The race detector multiplies that, so it is not part of it.
func TestBombsTakeLittleMemory(t *testing.T) { //nolint:paralleltest // it measures
	c := richtext.New()
	var before, after runtime.MemStats
	for name, src := range bombs() {
		runtime.ReadMemStats(&before)
		result := c.Convert(src, richtext.Target{Format: richtext.HTML, Max: 150_000})
		runtime.ReadMemStats(&after)
		spent := int64(after.TotalAlloc - before.TotalAlloc)
		t.Logf("%-24s %4d KiB become %4d KiB, %4d MiB are allocated", name, len(src.Text)>>10, len(result.Text)>>10, spent>>20)
		if spent > 250<<20 {
			t.Errorf("%s allocates %d MiB", name, spent>>20)
		}
	}
}
