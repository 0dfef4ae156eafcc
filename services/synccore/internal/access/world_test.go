package access_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/health/grpc_health_v1" // its methods are in the table
	"google.golang.org/grpc/metadata"
	_ "google.golang.org/grpc/reflection/grpc_reflection_v1" // likewise
	_ "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	_ "github.com/tandem-sync/tandem/gen/tandem/v1" // all that is in it is served
	"github.com/tandem-sync/tandem/services/synccore/internal/access"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// method is a method of the API as its description tells.
type method struct {
	name      string
	desc      protoreflect.MethodDescriptor
	streaming bool
}

// methods are all methods of all services that sync-core serves.
func methods(t *testing.T) []method {
	t.Helper()
	var all []method
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if p := string(file.Package()); p != "tandem.v1" && p != "grpc.health.v1" && !strings.HasPrefix(p, "grpc.reflection.") {
			return true
		}
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				all = append(all, method{
					name: "/" + string(service.FullName()) + "/" + string(m.Name()), desc: m,
					streaming: m.IsStreamingServer() || m.IsStreamingClient(),
				})
			}
		}
		return true
	})
	slices.SortFunc(all, func(a, b method) int { return strings.Compare(a.name, b.name) })
	if len(all) < 15 {
		t.Fatalf("only %d methods were found", len(all))
	}
	return all
}

// clock is a time that tests move.
type clock struct{ nanos atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.nanos.Load()) }
func (c *clock) advance(d time.Duration) { c.nanos.Add(int64(d)) }

// world is a server of all methods behind a Guard, over TLS. Its handlers answer with what
// the test says.
type world struct {
	guard  *access.Guard
	clock  *clock
	log    *logBuffer
	issuer *testIssuer
	pki    *authority

	listener *bufconn.Listener
	// reached are the methods whose handlers were called.
	mu      sync.Mutex
	reached []string
	// answer makes what a handler answers; nil: an empty message. more, where it is set,
	// lets a stream send again.
	answer func(m method) protoreflect.Message
	more   chan struct{}
}

const (
	connector = "development"
	audience  = "api://tandem"
)

func setup(t *testing.T, callers func(*world) config.Callers) *world {
	t.Helper()
	w := &world{clock: &clock{}, log: &logBuffer{}, pki: newAuthority(t), listener: bufconn.Listen(1 << 20)}
	w.clock.nanos.Store(time.Now().UnixNano())
	w.issuer = newIssuer(t)
	w.guard = access.New(access.Options{
		Logger: slog.New(slog.NewJSONHandler(w.log, nil)), Now: w.clock.now,
		Transport: func(string) (http.RoundTripper, error) { return &http.Transport{DisableKeepAlives: true}, nil },
	})
	if err := w.guard.Apply(callers(w)); err != nil {
		t.Fatal(err)
	}
	pair := w.pki.issue(t, time.Hour, "bufnet")
	server := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(&tls.Config{
			MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, ClientCAs: w.pki.pool, ClientAuth: tls.VerifyClientCertIfGiven,
		})),
		grpc.ChainUnaryInterceptor(w.guard.Unary), grpc.ChainStreamInterceptor(w.guard.Stream),
	)
	services := map[string]*grpc.ServiceDesc{}
	for _, m := range methods(t) {
		name, _, _ := strings.Cut(m.name[1:], "/")
		if services[name] == nil {
			services[name] = &grpc.ServiceDesc{ServiceName: name, HandlerType: (*any)(nil)}
		}
		w.add(services[name], m)
	}
	for _, desc := range services {
		server.RegisterService(desc, w)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(w.listener) }()
	t.Cleanup(func() { server.Stop(); <-done })
	return w
}

func (w *world) reach(m method) protoreflect.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reached = append(w.reached, m.name)
	if w.answer != nil {
		return w.answer(m)
	}
	return dynamicpb.NewMessage(m.desc.Output())
}

// takeReached gives the methods that were reached since it was called last.
func (w *world) takeReached() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	taken := w.reached
	w.reached = nil
	return taken
}

// add has a method answered as its generated code would.
func (w *world) add(desc *grpc.ServiceDesc, m method) {
	short := string(m.desc.Name())
	if m.streaming {
		desc.Streams = append(desc.Streams, grpc.StreamDesc{
			StreamName: short, ServerStreams: m.desc.IsStreamingServer(), ClientStreams: m.desc.IsStreamingClient(),
			Handler: func(_ any, stream grpc.ServerStream) error {
				if err := stream.RecvMsg(dynamicpb.NewMessage(m.desc.Input())); err != nil {
					return err
				}
				for {
					if err := stream.SendMsg(w.reach(m)); err != nil || w.more == nil {
						return err
					}
					select {
					case <-w.more:
					case <-stream.Context().Done():
						return stream.Context().Err()
					}
				}
			},
		})
		return
	}
	desc.Methods = append(desc.Methods, grpc.MethodDesc{MethodName: short, Handler: func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		in := dynamicpb.NewMessage(m.desc.Input())
		if err := decode(in); err != nil {
			return nil, err
		}
		return interceptor(ctx, in, &grpc.UnaryServerInfo{Server: srv, FullMethod: m.name},
			func(context.Context, any) (any, error) { return w.reach(m).Interface(), nil })
	}})
}

// dial connects, with a client certificate if one is given.
func (w *world) dial(t *testing.T, certificates ...tls.Certificate) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///bufnet",
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12, RootCAs: w.pki.pool, ServerName: "bufnet", Certificates: certificates})),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return w.listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// request makes a request that names a connector, or all of them.
func request(m method, connector string) *dynamicpb.Message {
	in := dynamicpb.NewMessage(m.desc.Input())
	for _, name := range []protoreflect.Name{"name", "parent", "connector"} {
		field := m.desc.Input().Fields().ByName(name)
		if field == nil || field.Kind() != protoreflect.StringKind {
			continue
		}
		value := "connectors/" + connector
		switch name {
		case "connector":
			value = connector
		case "name":
			value += "/things/7"
		}
		in.Set(field, protoreflect.ValueOfString(value))
	}
	return in
}

// call makes a call as somebody and gives the answer's code.
func call(t *testing.T, conn grpc.ClientConnInterface, m method, in *dynamicpb.Message, authorization ...string) (*dynamicpb.Message, error) {
	t.Helper()
	ctx := metadata.NewOutgoingContext(t.Context(), metadata.MD{"authorization": authorization})
	out := dynamicpb.NewMessage(m.desc.Output())
	if !m.streaming {
		return out, conn.Invoke(ctx, m.name, in, out)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: m.desc.IsStreamingClient()}, m.name)
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(in); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	_ = stream.CloseSend()
	return out, stream.RecvMsg(out)
}

func code(err error) codes.Code { return status.Code(err) }

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	if a.certificate, err = x509.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.certificate)
	return a
}

func (a *authority) issue(t *testing.T, life time.Duration, name string, dns ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: dns,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(life),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if name == "bufnet" {
		template.DNSNames = []string{"bufnet"}
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

// testIssuer is an OpenID Connect provider.
type testIssuer struct {
	url  string
	keys map[string]*ecdsa.PrivateKey
	// fetched counts looks at the keys.
	fetched atomic.Int32
	down    atomic.Bool
	mu      sync.Mutex
}

func newIssuer(t *testing.T) *testIssuer {
	t.Helper()
	i := &testIssuer{keys: map[string]*ecdsa.PrivateKey{}}
	i.rotate(t, "first")
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(rw http.ResponseWriter, _ *http.Request) {
		if i.down.Load() {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		_ = json.NewEncoder(rw).Encode(map[string]any{"issuer": i.url, "jwks_uri": i.url + "/keys"})
	})
	mux.HandleFunc("/keys", func(rw http.ResponseWriter, _ *http.Request) {
		i.fetched.Add(1)
		var set jose.JSONWebKeySet
		i.mu.Lock()
		for id, key := range i.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: &key.PublicKey, KeyID: id, Algorithm: string(jose.ES256), Use: "sig"})
		}
		i.mu.Unlock()
		_ = json.NewEncoder(rw).Encode(set)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i.url = server.URL
	return i
}

// rotate replaces the issuer's keys by one.
func (i *testIssuer) rotate(t *testing.T, id string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	clear(i.keys)
	i.keys[id] = key
}

// token signs claims with the issuer's key of that id.
func (i *testIssuer) token(t *testing.T, id string, claims map[string]any) string {
	t.Helper()
	i.mu.Lock()
	key := i.keys[id]
	i.mu.Unlock()
	return sign(t, jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: id}}, claims)
}

func sign(t *testing.T, key jose.SigningKey, claims map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// claims are those of a good token with a role.
func (w *world) claims(role string) map[string]any {
	return map[string]any{
		"iss": w.issuer.url, "aud": []string{audience}, "sub": "subject-" + role, "preferred_username": role + "@contoso.com",
		"roles": []string{"Tandem." + role}, "exp": w.clock.now().Add(time.Hour).Unix(), "nbf": w.clock.now().Add(-time.Minute).Unix(),
	}
}

type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
