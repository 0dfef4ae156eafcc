package app_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/gateway/internal/app"
)

// issue writes a certificate of its own authority with that serial number, and its key,
// each at once.
func issue(t *testing.T, certificate, key string, serial int64) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "gateway"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &own.PublicKey, own)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: raw}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		writeFile(t, path+".new", string(pem.EncodeToMemory(block)))
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestServesTLS: webhooks and the API over HTTP/2 and HTTP/1.1, with a certificate that is
// renewed while the gateway runs.
func TestServesTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "gateway.pem"), filepath.Join(dir, "gateway.key")
	issue(t, certificate, key, 1)
	g := start(t, newCore(t), func(c *app.Config) { c.TLS = app.ServingTLS{Cert: certificate, Key: key} })
	for _, version := range []int{2, 1} {
		transport := &http.Transport{ForceAttemptHTTP2: version == 2, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		g.client = &http.Client{Transport: transport}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+g.Addr().String()+"/hooks/azure-devops", strings.NewReader(updated))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		g.basic(t)(request)
		response, err := g.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		transport.CloseIdleConnections()
		if response.StatusCode != http.StatusAccepted || response.ProtoMajor != version {
			t.Errorf("a webhook is answered %s over %s, want 202 over HTTP/%d", response.Status, response.Proto, version)
		}
	}
	serial := func() int64 {
		dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true}}
		conn, err := dialer.DialContext(t.Context(), "tcp", g.Addr().String())
		if err != nil {
			return 0
		}
		defer func() { _ = conn.Close() }()
		shown, ok := conn.(*tls.Conn)
		if !ok {
			return 0
		}
		return shown.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("it shows the certificate %d", got)
	}
	// Half a renewal changes nothing.
	writeFile(t, key+".new", "half")
	if err := os.Rename(key+".new", key); err != nil {
		t.Fatal(err)
	}
	eventually(t, "half a renewal is told of", func() bool { return strings.Contains(g.log.String(), "certificate.reload_failed") })
	if got := serial(); got != 1 {
		t.Errorf("after half a renewal it shows the certificate %d", got)
	}
	issue(t, certificate, key, 2)
	eventually(t, "the new certificate is shown", func() bool { return serial() == 2 })
	// Nobody is answered in the clear.
	plain, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+g.Addr().String()+"/v1/connectors", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := g.client.Do(plain)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("in the clear it answers %s", response.Status)
	}
}

func TestTLSNeedsBothFiles(t *testing.T) {
	t.Parallel()
	for want, files := range map[string]app.ServingTLS{
		"--tls-cert and --tls-key":      {Cert: "/nowhere/a.pem"},
		"the gateway's own certificate": {Cert: "/nowhere/a.pem", Key: "/nowhere/a.key"},
	} {
		cfg := settings(t)
		cfg.Core, cfg.TLS, cfg.LogOutput = "127.0.0.1:1", files, &buffer{}
		a, err := app.New(t.Context(), cfg)
		if err == nil {
			err = errors.Join(a.Close(), errors.New("it starts")) //nolint:err113 // for the message below
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("with %+v: %v, want %q", files, err, want)
		}
	}
}
