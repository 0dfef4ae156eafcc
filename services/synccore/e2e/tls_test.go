//go:build e2e

package e2e_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
)

// TestOverTLS: gateway and sync-core know each other by certificates alone; webhooks and the
// API work, the certificates are replaced while both run, and the gateway's right is not
// lent to callers.
func TestOverTLS(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{TLS: true, Callers: "  limit: {perSecond: 1000, burst: 1000}\n"})
	ticket, workItem := develop(t, s, "Over TLS")
	setState(t, s, workItem, "Doing")
	awaitStatus(t, s, ticket, "Development pending", patience)
	for _, change := range []func(*http.Request){
		func(*http.Request) {},
		func(r *http.Request) { r.Header.Set("Authorization", "Anonymous") },
		func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") },
	} {
		for path, body := range map[string]string{"/v1/events:ingest": `{"connector":"development","system":"SYSTEM_ALVAO","itemId":"1"}`, "/v1/connectors/development:resync": "{}"} {
			if status, answer, _ := send(t, http.MethodPost, s.GatewayURL+path, body, change); status != http.StatusUnauthorized {
				t.Errorf("nobody calls %s: %d %s", path, status, answer)
			}
		}
	}
	// Nobody speaks in the clear, and the certificates are renewed in place.
	if conn, err := transport.Dial(transport.Client{Target: s.CoreAddr, Insecure: true}); err != nil {
		t.Fatal(err)
	} else {
		defer func() { _ = conn.Close() }()
		if err := healthy(t, conn, 5*time.Second); err == nil {
			t.Error("sync-core is spoken to in the clear")
		}
	}
	if _, _, err := s.Certificates.Issue("core", "localhost", "synccore"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Certificates.Issue("gateway", "gateway.tandem.example"); err != nil {
		t.Fatal(err)
	}
	if err := s.Gateway.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.StartGateway(t.Context()); err != nil {
		t.Fatal(err)
	}
	setState(t, s, workItem, "Done")
	awaitStatus(t, s, ticket, "Testing", recovery)
	awaitLine(t, s.Core, 0, "sync-core takes its new certificate", func(l stack.Line) bool { return l.Text("msg") == "certificate.reloaded" })
}

// healthy asks for gRPC health.
func healthy(t *testing.T, conn *grpc.ClientConn, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	_, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}
