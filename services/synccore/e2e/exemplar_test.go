//go:build e2e

package e2e_test

import (
	"net/http"
	"regexp"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// TestExemplars reads the latency histograms as Prometheus does: a point leads to the
// trace that it was measured in.
func TestExemplars(t *testing.T) {
	t.Parallel()
	sink := collect(t)
	s := start(t, stack.Options{Collector: sink.url})
	develop(t, s, "Follow the point")
	rest(t, s)

	read := func(admin, histogram string) []string {
		t.Helper()
		status, body, _ := send(t, http.MethodGet, admin+"/metrics", "", func(r *http.Request) {
			r.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
		})
		if status != http.StatusOK {
			t.Fatalf("metrics answer %d", status)
		}
		var traces []string
		// histogram_bucket{…} 1 # {span_id="…",trace_id="…"} 0.02 1760000000.0
		line := regexp.MustCompile(`(?m)^` + histogram + `_bucket\{[^}]*\} \S+ # \{[^}]*trace_id="([0-9a-f]{32})"[^}]*\}`)
		for _, found := range line.FindAllStringSubmatch(body, -1) {
			traces = append(traces, found[1])
		}
		if len(traces) == 0 {
			t.Errorf("%s has no exemplar", histogram)
		}
		return traces
	}
	ids := append(read(s.GatewayAdmin, "tandem_webhook_duration_seconds"), read(s.CoreAdmin, "tandem_convergence_duration_seconds")...)
	// Stopping sends what is left.
	if err := s.Gateway.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Core.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if len(sink.of(id)) == 0 {
			t.Errorf("nobody was sent the trace %s, which an exemplar names", id)
		}
	}
}
