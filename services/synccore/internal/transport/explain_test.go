package transport_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
)

// The texts are those of grpc-go 1.85 and crypto/tls of Go 1.26, as they came when they
// were caused by hand; ctl's tests cause most of them for real.
func TestUnreached(t *testing.T) {
	t.Parallel()
	flags := transport.Flags{Address: "--core", CA: "--core-ca", Name: "--core-server-name", Insecure: "--insecure-grpc", Certificate: "--core-cert"}
	client := transport.Client{Target: "core:9000", Insecure: true}
	for text, want := range map[string]string{
		`connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`:                                                                                 "Nothing listens at core:9000; start sync-core, or give its address with --core.",
		`connection error: desc = "transport: authentication handshake failed: tls: first record does not look like a TLS handshake"`:                                                                  "sync-core at core:9000 serves in plaintext; call it with --insecure-grpc",
		`connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority"`:                                      "name its PEM file with --core-ca.",
		`connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate is valid for localhost, synccore, not elsewhere"`:                  "give the one that is in it with --core-server-name.",
		`connection error: desc = "transport: authentication handshake failed: tls: failed to verify certificate: x509: certificate has expired or is not yet valid: current time 2026 is after 2025"`: "has expired or is not valid yet",
		`connection error: desc = "error reading server preface: remote error: tls: unknown certificate authority"`:                                                                                    "refuses the client's certificate",
		`connection error: desc = "error reading server preface: EOF"`:                                                                                                                                 "leave --insecure-grpc out",
		`connection error: desc = "error reading server preface: http2: frame too large, note that the frame header looked like an HTTP/1.1 header"`:                                                   "is no gRPC server; give sync-core's port, usually 9000, with --core.",
		`name resolver error: produced zero addresses`:                                                   "There is no host of the name in core:9000; correct --core.",
		`connection error: desc = "transport: Error while dialing: dial tcp 10.0.0.1:9000: i/o timeout"`: "does not answer; compare --core",
		`connection error: desc = "something new"`:                                                       `can't be reached (connection error: desc = "something new")`,
	} {
		got, is := client.Unreached(status.Error(codes.Unavailable, text), flags)
		if !is || !strings.Contains(got, want) {
			t.Errorf("%s\n is told as %q, %v; want %q", text, got, is, want)
		}
	}
	// What sync-core itself says stays as it is.
	for _, err := range []error{status.Error(codes.Unavailable, "Redis can't be reached."), status.Error(codes.NotFound, "No connection is here."), nil} {
		if got, is := client.Unreached(err, flags); is {
			t.Errorf("%v is told as %q", err, got)
		}
	}
}
