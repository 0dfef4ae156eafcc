package telemetry_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/internal/telemetry"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	status, body := http.StatusOK, ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/health/ready" {
			t.Errorf("the probe asks for %s", r.URL.Path)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	_, port, _ := strings.Cut(strings.TrimPrefix(server.URL, "http://"), ":")
	for _, address := range []string{":" + port, "0.0.0.0:" + port, "[::]:" + port, "127.0.0.1:" + port} {
		if err := telemetry.Probe(t.Context(), address); err != nil {
			t.Errorf("Probe(%q) = %v, want none", address, err)
		}
	}
	status, body = http.StatusServiceUnavailable, "Redis can't be reached"
	if err := telemetry.Probe(t.Context(), ":"+port); err == nil || !strings.Contains(err.Error(), body) {
		t.Errorf("Probe = %v, want one that says %q", err, body)
	}
	server.Close()
	for _, address := range []string{":" + port, "nowhere"} {
		if err := telemetry.Probe(t.Context(), address); err == nil {
			t.Errorf("Probe(%q) takes nobody for ready", address)
		}
	}
}
