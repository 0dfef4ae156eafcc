package transport_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority signs certificates into files of a folder.
type authority struct {
	dir, file   string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{dir: t.TempDir()}
	a.file = filepath.Join(a.dir, "ca.pem")
	a.key = newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.certificate, err = x509.ParseCertificate(raw); err != nil {
		t.Fatal(err)
	}
	write(t, a.file, block("CERTIFICATE", raw))
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func block(kind string, content []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
}

// issue makes the texts of a certificate and its key.
func (a *authority) issue(t *testing.T, serial int64, name string) (string, string) {
	t.Helper()
	own := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &own.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	return block("CERTIFICATE", raw), block("PRIVATE KEY", secret)
}

// files writes a certificate and its key.
func (a *authority) files(t *testing.T, serial int64, name string) transport.Files {
	t.Helper()
	certificate, key := a.issue(t, serial, name)
	f := transport.Files{Certificate: filepath.Join(a.dir, name+".pem"), Key: filepath.Join(a.dir, name+".key"), CA: a.file}
	write(t, f.Certificate, certificate)
	write(t, f.Key, key)
	return f
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(path+".new", []byte(content), 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
}

// server serves health and notes who called.
type server struct {
	address string
	log     *buffer

	mu            sync.Mutex
	client        string
	authorization []string
}

func serve(t *testing.T, files transport.Files) *server {
	t.Helper()
	s := &server{log: &buffer{}}
	way, err := transport.NewServer(files, slog.New(slog.NewJSONHandler(s.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.Creds(way), grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.client = ""
		if from, ok := peer.FromContext(ctx); ok {
			if info, ok := from.AuthInfo.(credentials.TLSInfo); ok && len(info.State.VerifiedChains) > 0 {
				s.client = info.State.VerifiedChains[0][0].Subject.CommonName
			}
		}
		md, _ := metadata.FromIncomingContext(ctx)
		s.authorization = md.Get("authorization")
		return next(ctx, req)
	}))
	healthpb.RegisterHealthServer(g, health.NewServer())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = listener.Addr().String()
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(listener) }()
	t.Cleanup(func() { g.Stop(); <-done })
	return s
}

func (s *server) who() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

// check asks for health on a new connection.
func check(t *testing.T, c transport.Client) error {
	t.Helper()
	conn, err := transport.Dial(c)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err = healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

// serial is the serial number of the certificate that a server shows.
func serial(t *testing.T, address string) int64 {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestWhoIsLetIn(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	s := serve(t, ours.files(t, 2, "synccore"))
	token := filepath.Join(ours.dir, "token")
	write(t, token, "the-token\n")
	own, foreign := ours.files(t, 3, "gateway"), theirs.files(t, 4, "gateway")
	foreign.CA = ours.file
	for name, tt := range map[string]struct {
		client transport.Client
		ok     bool
		is     string
	}{
		"without a certificate": {transport.Client{Files: transport.Files{CA: ours.file}}, true, ""},
		"with one":              {transport.Client{Files: own}, true, "gateway"},
		"with one and a token":  {transport.Client{Files: own, TokenFile: token}, true, "gateway"},
		"by the server's name":  {transport.Client{Files: own, ServerName: "synccore"}, true, "gateway"},
		// It is not shown: the server tells whose it takes.
		"of another authority":    {transport.Client{Files: foreign}, true, ""},
		"of another server":       {transport.Client{Files: own, ServerName: "other"}, false, ""},
		"trusting another":        {transport.Client{Files: transport.Files{CA: theirs.file}}, false, ""},
		"trusting the system's":   {transport.Client{}, false, ""},
		"in the clear":            {transport.Client{Insecure: true}, false, ""},
		"in the clear and not":    {transport.Client{Insecure: true, Files: own}, false, ""},
		"with a token of no file": {transport.Client{Files: own, TokenFile: token + "x"}, false, ""},
	} {
		tt.client.Target = s.address
		err := check(t, tt.client)
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
		s.mu.Lock()
		if tt.ok && s.client != tt.is {
			t.Errorf("%s: the client is %q, want %q", name, s.client, tt.is)
		}
		if tt.ok && tt.client.TokenFile != "" && (len(s.authorization) != 1 || s.authorization[0] != "Bearer the-token") {
			t.Errorf("%s: the authorization is %q", name, s.authorization)
		}
		s.mu.Unlock()
	}
	if strings.Contains(s.log.String(), "the-token") {
		t.Error("the log shows the token")
	}
}

// Certificates are replaced while both sides run, also those of the authority; what is half
// there changes nothing and is told once, without its content.
func TestRotation(t *testing.T) {
	t.Parallel()
	first, second := newAuthority(t, "first"), newAuthority(t, "second")
	files := first.files(t, 2, "synccore")
	s := serve(t, files)
	client := transport.Client{Target: s.address, Files: first.files(t, 3, "gateway")}
	if err := check(t, client); err != nil {
		t.Fatal(err)
	}
	certificate, key := first.issue(t, 5, "synccore")
	write(t, files.Certificate, certificate) // the key is still the old one
	for range 3 {
		if got := serial(t, s.address); got != 2 {
			t.Errorf("half replaced: the certificate is %d", got)
		}
	}
	if got := strings.Count(s.log.String(), "certificate.reload_failed"); got != 1 {
		t.Errorf("told %d times, want once: %s", got, s.log)
	}
	write(t, files.Key, key)
	if got := serial(t, s.address); got != 5 {
		t.Errorf("replaced: the certificate is %d", got)
	}
	for _, content := range []string{"", "no PEM"} {
		write(t, files.Certificate, content)
		if got := serial(t, s.address); got != 5 {
			t.Errorf("broken: the certificate is %d", got)
		}
	}
	write(t, files.Certificate, certificate)
	if err := check(t, client); err != nil {
		t.Error(err)
	}

	// Another authority: the server trusts clients of it from the next connection on.
	other := second.files(t, 6, "gateway")
	other.CA = first.file
	if err := check(t, transport.Client{Target: s.address, Files: other}); err != nil || s.who() != "" {
		t.Errorf("a client of an authority that is not trusted: %v, it is %q", err, s.who())
	}
	both, err := os.ReadFile(second.file)
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(first.file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, first.file, string(old)+string(both))
	if err := check(t, transport.Client{Target: s.address, Files: other}); err != nil || s.who() != "gateway" {
		t.Errorf("a client of an authority that is trusted since: %v, it is %q", err, s.who())
	}
	for _, secret := range []string{key, certificate} {
		for line := range strings.Lines(secret) {
			if len(line) > 40 && strings.Contains(s.log.String(), strings.TrimSpace(line)) {
				t.Fatal("the log shows what the files hold")
			}
		}
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "a")
	files := a.files(t, 2, "synccore")
	broken := filepath.Join(a.dir, "broken")
	write(t, broken, "hunter2-planted")
	for name, tt := range map[string]struct {
		files transport.Files
		want  string
	}{
		"a key alone":     {transport.Files{Key: files.Key}, "together"},
		"no such file":    {transport.Files{Certificate: files.Certificate, Key: files.Key + "x"}, "no such file"},
		"no PEM":          {transport.Files{Certificate: broken, Key: broken}, broken},
		"no authority":    {transport.Files{Certificate: files.Certificate, Key: files.Key, CA: broken}, "no certificate authority"},
		"another's key":   {transport.Files{Certificate: files.Certificate, Key: a.files(t, 3, "gateway").Key}, "no certificate with its key"},
		"swapped by hand": {transport.Files{Certificate: files.Key, Key: files.Certificate}, "no certificate with its key"},
	} {
		_, err := transport.NewServer(tt.files, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "planted") || strings.Contains(err.Error(), "BEGIN") {
			t.Errorf("%s: %v, want something about %q", name, err, tt.want)
		}
	}
}

type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
