//go:build e2e

package e2e_test

import (
	"net/http"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// TestNobodyIsTheGateway: where the gateway is known by its certificate alone, a caller
// whose authorization gRPC can't carry must not be taken for it.
func TestNobodyIsTheGateway(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{TLS: true, Callers: "  limit: {perSecond: 1000, burst: 1000}\n"})
	const event = `{"connector":"development","system":"SYSTEM_ALVAO","itemId":"1"}`
	for authorization, want := range map[string]int{
		"Bearer \xff":     http.StatusBadRequest,
		"\u017elu\u0165":  http.StatusBadRequest,
		"Bearer a":        http.StatusUnauthorized,
		"":                http.StatusUnauthorized,
		"Anonymous":       http.StatusUnauthorized,
		"Anonymous a":     http.StatusUnauthorized,
		"Bearer Ā\u0100a": http.StatusBadRequest,
	} {
		status, answer, _ := send(t, http.MethodPost, s.GatewayURL+"/v1/events:ingest", event, func(r *http.Request) { r.Header.Set("Authorization", authorization) })
		if status != want {
			t.Errorf("%q brings an event: %d %s, want %d", authorization, status, answer, want)
		}
	}
}
