package outbound_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// TestPrivateAuthority: an installation on premises has a certificate of its own
// authority, which only the configured bundle makes trusted (alvao.md §5).
func TestPrivateAuthority(t *testing.T) {
	t.Parallel()
	private := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(private.Close)
	bundle := filepath.Join(t.TempDir(), "ca.pem")
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: private.Certificate().Raw})
	if err := os.WriteFile(bundle, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, trusted := range map[string]bool{"": false, bundle: true} {
		transport, err := outbound.Transport(file)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(transport.CloseIdleConnections)
		answer, err := outbound.NewClient(transport).Do(t.Context(), outbound.Request{Method: http.MethodGet, URL: private.URL})
		if trusted && (err != nil || answer.Status != http.StatusNoContent) {
			t.Errorf("with the bundle: %v, %v", answer.Status, err)
		}
		if !trusted && (err == nil || !strings.Contains(err.Error(), "certificate")) {
			t.Errorf("without it: %v, %v", answer.Status, err)
		}
	}
	for name, content := range map[string]string{"no certificate": "hello", "none.pem": ""} {
		file := filepath.Join(t.TempDir(), name)
		if content != "" {
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := outbound.Transport(file); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
