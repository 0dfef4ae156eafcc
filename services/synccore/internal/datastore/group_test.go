package datastore_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// TestEveryNodeIsLookedAt: a node that is a copy today takes the writes tomorrow, so its
// settings are refused as the primary's are, by its address.
func TestEveryNodeIsLookedAt(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) (redistest.Group, []*redistest.Server){
		"sentinel": func(t *testing.T) (redistest.Group, []*redistest.Server) {
			t.Helper()
			p := redistest.StartPair(t, time.Hour)
			return p, p.Servers
		},
		"cluster": func(t *testing.T) (redistest.Group, []*redistest.Server) {
			t.Helper()
			c := redistest.StartCluster(t, 1, time.Hour)
			return c, c.Servers
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			group, servers := start(t)
			store := group.Open(t)
			if told := store.Warnings(); len(told) > 0 {
				t.Errorf("it warns of servers that are right: %q", told)
			}
			if err := store.Check(t.Context()); err != nil {
				t.Error(err)
			}
			if !store.Durable(t.Context()) {
				t.Error("servers that are right are told to lose data")
			}
			for _, s := range servers {
				s.Must(t, "CONFIG SET maxmemory-policy allkeys-lru")
				_, err := open(t, datastore.Options{URL: group.URL()})
				sentence := fault.Sentence(err)
				if !fault.Is(err, fault.Misconfigured) || !strings.Contains(sentence, "noeviction") {
					t.Errorf("got %v, want a refusal of an eviction policy", err)
				}
				if s != servers[0] && !strings.Contains(sentence, s.Address()) {
					t.Errorf("%q does not name %s", sentence, s.Address())
				}
				s.Must(t, "CONFIG SET maxmemory-policy noeviction")
			}
			primary, _ := group.Now(t)
			primary.Must(t, "CONFIG SET appendonly no")
			if store.Durable(t.Context()) {
				t.Error("a primary without an append-only file is told to be durable")
			}
		})
	}
}

// TestReplicasThatNobodyMaySee: without INFO nobody sees that there are replicas, and none
// would be waited for. Where there are to be fail-overs that is refused, unless it is said
// how many there are.
func TestReplicasThatNobodyMaySee(t *testing.T) {
	t.Parallel()
	pair := redistest.StartPair(t, time.Hour)
	for _, s := range pair.Servers {
		s.Must(t, "ACL SETUSER blind on >secret ~* &* +@all -info")
	}
	url := strings.Replace(pair.URL(), "://", "://blind:secret@", 1)
	_, err := open(t, datastore.Options{URL: url})
	if told := fault.Sentence(err); !fault.Is(err, fault.Misconfigured) || !strings.Contains(told, "INFO") || !strings.Contains(told, "--redis-replicas") {
		t.Errorf("got %v, want a refusal that names INFO and what to do", err)
	}
	for _, o := range []datastore.Options{{URL: url, AllowVolatile: true}, {URL: url, Replicas: 1}, {URL: url, Replicas: datastore.NoReplicas}} {
		s, err := open(t, o)
		if err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		if told := strings.Contains(strings.Join(s.Warnings(), " "), "a fail-over loses"); told != o.AllowVolatile {
			t.Errorf("%+v: it is told that nobody sees replicas: %t", o, told)
		}
	}
}

// TestTLS: the address says who signed the server and who we are, and gives an ACL user.
func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certificates(t, dir)
	file := func(name string) string { return filepath.Join(dir, name) }
	server := redistest.Start(t, "--tls-port", "0", "--tls-cert-file", file("cert.pem"), "--tls-key-file", file("key.pem"), "--tls-ca-cert-file", file("ca.pem"))
	server.Must(t, "ACL SETUSER tandem on >secret ~tandem:* +@all -@admin")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	_ = listener.Close()
	server.Must(t, "CONFIG SET tls-port "+port)
	address := "rediss://tandem:secret@localhost:" + port + "/0"
	ours := "cert_file=" + file("cert.pem") + "&key_file=" + file("key.pem")
	s, err := open(t, datastore.Options{URL: address + "?ca_file=" + file("ca.pem") + "&" + ours})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	for name, settings := range map[string]string{
		"a stranger signed it":     "?max_retries=-1&" + ours,
		"it has another name":      "?max_retries=-1&server_name=redis.contoso.com&ca_file=" + file("ca.pem") + "&" + ours,
		"it does not know the two": "?max_retries=-1&ca_file=" + file("ca.pem"),
	} {
		if _, err := open(t, datastore.Options{URL: address + settings}); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s: got %v, want unavailable", name, err)
		}
	}
}

// certificates writes an authority and a certificate for localhost that it signed.
func certificates(t *testing.T, dir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, kind string, der []byte) {
		t.Helper()
		must(os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	ca, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	must(err)
	write("ca.pem", "CERTIFICATE", ca)
	leaf := template
	leaf.SerialNumber, leaf.Subject, leaf.IsCA, leaf.DNSNames = big.NewInt(2), pkix.Name{CommonName: "localhost"}, false, []string{"localhost"}
	leaf.KeyUsage = x509.KeyUsageDigitalSignature
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	cert, err := x509.CreateCertificate(rand.Reader, &leaf, &template, own.Public(), key)
	must(err)
	write("cert.pem", "CERTIFICATE", cert)
	der, err := x509.MarshalECPrivateKey(own)
	must(err)
	write("key.pem", "EC PRIVATE KEY", der)
}
