package app_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/access"
	"github.com/tandem-sync/tandem/services/synccore/internal/app"
	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
)

// connect is a client that shows a certificate, if one is given, and tokens, if any are.
func connect(t *testing.T, address string, c stack.Certificates, certificate, key string, options ...grpc.DialOption) *grpc.ClientConn {
	t.Helper()
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	config.RootCAs.AppendCertsFromPEM(pem)
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			t.Fatal(err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	conn, err := grpc.NewClient(address, append(options, grpc.WithTransportCredentials(credentials.NewTLS(config)))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

const (
	adminToken = "admin-token-of-at-least-32-characters"
	scoped     = "scoped-token-of-at-least-32-characters"
)

// callers is a configuration's list of them.
func callers(roles string) string {
	return fmt.Sprintf(`callers:
  certificates: [{name: gateway.tandem.example, role: edge}]
  tokens:
    - {name: boss, role: admin, sha256: "%s"}
%s`, access.Hash(adminToken), roles)
}

// TestCallersOverTLS: who may call is asked over TLS, of a running sync-core, while the
// configuration changes; and what is told of all connectors is cut to the caller's.
func TestCallersOverTLS(t *testing.T) {
	t.Parallel()
	w := setup(t)
	certificates, err := stack.MakeCertificates(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	write := func(roles string) {
		text := w.config(callers(roles), "development", "other")
		w.write(t, "tandem.yaml", strings.Replace(text, "callers: {anonymous: admin, limit: {perSecond: 10000, burst: 10000}}\n", "", 1))
	}
	portal := fmt.Sprintf("    - {name: portal, role: viewer, connectors: [other], sha256: %q}\n", access.Hash(scoped))
	write(portal)
	core, err := app.New(t.Context(), w.settings(func(c *app.Config) {
		c.InsecureGRPC = false
		c.TLS = transport.Files{Certificate: certificates.Core, Key: certificates.CoreKey, CA: certificates.CA}
	}), w.log)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	go func() { done <- core.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	plain := connect(t, core.Addr(), certificates, "", "")
	gateway := connect(t, core.Addr(), certificates, certificates.Gateway, certificates.GatewayKey)
	as := func(token string) func() (*tandemv1.ListEventsResponse, error) {
		return func() (*tandemv1.ListEventsResponse, error) {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
			return tandemv1.NewEventServiceClient(plain).ListEvents(ctx, &tandemv1.ListEventsRequest{Parent: "connectors/-"})
		}
	}
	for i, connector := range []string{"development", "other"} {
		if _, err := tandemv1.NewEventServiceClient(gateway).IngestEvent(t.Context(), &tandemv1.IngestEventRequest{
			Connector: connector, System: tandemv1.System_SYSTEM_ALVAO, ItemId: int64(900_000 + i), EventType: "x",
		}); err != nil {
			t.Fatalf("the gateway brings an event: %v", err)
		}
	}
	if _, err := tandemv1.NewEventServiceClient(gateway).ListEvents(t.Context(), &tandemv1.ListEventsRequest{Parent: "connectors/-"}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the gateway reads: %v", err)
	}
	if _, err := tandemv1.NewEventServiceClient(plain).ListEvents(t.Context(), &tandemv1.ListEventsRequest{Parent: "connectors/-"}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("nobody reads: %v", err)
	}
	seen, err := as(scoped)()
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range seen.GetEvents() {
		if !strings.HasPrefix(event.GetName(), "connectors/other/") {
			t.Errorf("the caller of one connector sees %s", event.GetName())
		}
	}
	portalCtx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+scoped)
	list, err := tandemv1.NewConnectorServiceClient(plain).ListConnectors(portalCtx, &tandemv1.ListConnectorsRequest{})
	if err != nil || len(list.GetConnectors()) != 1 || list.GetConnectors()[0].GetName() != "connectors/other" {
		t.Errorf("the caller of one connector lists %v, %v", list, err)
	}
	list, err = tandemv1.NewConnectorServiceClient(plain).ListConnectors(
		metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+adminToken), &tandemv1.ListConnectorsRequest{})
	if err != nil || len(list.GetConnectors()) != 2 {
		t.Errorf("the administrator lists %v, %v", list, err)
	}
	// A caller is withdrawn while sync-core runs.
	write("")
	eventually(t, "the token is refused", func() bool { _, err := as(scoped)(); return status.Code(err) == codes.Unauthenticated })
	// A list that can't be read changes nothing.
	write("    - {name: portal, role: viewer, secret: {file: " + w.path("none") + "}}\n")
	eventually(t, "it is told", func() bool { return len(w.log.lines(t, "callers.refused")) > 0 })
	if _, err := as(adminToken)(); err != nil {
		t.Errorf("after a list that can't be read: %v", err)
	}
	for _, token := range []string{scoped, adminToken} {
		if strings.Contains(w.log.String(), token) {
			t.Error("the log shows a token")
		}
	}
}

// zeros is a gzip stream that becomes so many zeros.
func zeros(t *testing.T, n int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(w, zeroReader{}, n); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// rawCodec sends bytes as they are.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	raw, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("%T is sent, not bytes", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(raw)}, nil
}

func (rawCodec) Unmarshal(mem.BufferSlice, any) error { return nil }

var _ encoding.CodecV2 = rawCodec{}

// TestHostileCallers: what is too large is refused soon, before it takes any room, and
// connections that come to nothing keep nobody out.
func TestHostileCallers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	core := w.run(t)
	list := func(token string, extra ...string) error {
		ctx := metadata.AppendToOutgoingContext(t.Context(), extra...)
		_, err := core.events.ListEvents(ctx, &tandemv1.ListEventsRequest{Parent: "connectors/-", PageToken: token})
		return err
	}
	if err := list(""); err != nil {
		t.Fatal(err)
	}
	const method = "/tandem.v1.EventService/ListEvents"
	bomb := zeros(t, 64<<20) // far more than a message may be
	for name, tt := range map[string]struct {
		call func() error
		code codes.Code
	}{
		"a huge page token": {func() error { return list(strings.Repeat("A", 200<<10)) }, codes.InvalidArgument},
		"a huge message":    {func() error { return list(strings.Repeat("A", 300<<10)) }, codes.ResourceExhausted},
		"a huge header":     {func() error { return list("", "x-large", strings.Repeat("A", 64<<10)) }, codes.Internal}, // gRPC's client refuses to send it, as the server told it
		"a method that is none": {func() error {
			return core.conn.Invoke(t.Context(), "/tandem.v1.EventService/Nothing", &tandemv1.ListEventsRequest{}, &tandemv1.ListEventsResponse{})
		}, codes.Unimplemented},
		"a gzip bomb": {func() error {
			conn, err := grpc.NewClient(core.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithCompressor(oldCompressor{bomb})) //nolint:staticcheck // the way to send bytes that are made by hand
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close() }()
			return conn.Invoke(t.Context(), method, []byte("x"), new([]byte), grpc.ForceCodecV2(rawCodec{}))
		}, codes.ResourceExhausted},
	} {
		began := time.Now()
		err := tt.call()
		if status.Code(err) != tt.code {
			t.Errorf("%s: %v, want %s", name, err, tt.code)
		}
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("%s took %s", name, took)
		}
		if st := status.Convert(err); len(st.Message()) > 4096 {
			t.Errorf("%s is refused in %d bytes", name, len(st.Message()))
		}
	}
	const halfOpen = 300
	for range halfOpen {
		conn, err := net.Dial("tcp", core.Addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
	fresh, err := grpc.NewClient(core.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = fresh.Close() })
	if _, err := tandemv1.NewEventServiceClient(fresh).ListEvents(t.Context(), &tandemv1.ListEventsRequest{Parent: "connectors/-"}); err != nil {
		t.Errorf("beside %d half-open connections: %v", halfOpen, err)
	}
}

// oldCompressor sends one and the same content, whatever there was to compress.
type oldCompressor struct{ content []byte }

func (c oldCompressor) Do(w io.Writer, _ []byte) error {
	_, err := w.Write(c.content)
	return err
}

func (c oldCompressor) Type() string { return "gzip" }
