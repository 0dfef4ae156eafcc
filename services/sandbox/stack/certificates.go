package stack

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// gatewayName is the name in the gateway's certificate.
const gatewayName = "gateway.tandem.example"

// Certificates are PEM files by which gateway and sync-core know each other, and by which
// callers know them.
type Certificates struct {
	// CA is the authority that has signed both.
	CA string
	// Core is sync-core's certificate, Gateway the gateway's.
	Core, CoreKey, Gateway, GatewayKey string

	authority *x509.Certificate
	key       *ecdsa.PrivateKey
	dir       string
}

// MakeCertificates makes an authority and a certificate for each program.
func MakeCertificates(dir string) (Certificates, error) {
	c := Certificates{dir: dir, CA: filepath.Join(dir, "ca.pem")}
	var err error
	if c.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return c, fmt.Errorf("making certificates: %w", err)
	}
	template := template("authority of a stack")
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &c.key.PublicKey, c.key)
	if err != nil {
		return c, fmt.Errorf("making certificates: %w", err)
	}
	if c.authority, err = x509.ParseCertificate(raw); err != nil {
		return c, fmt.Errorf("making certificates: %w", err)
	}
	if err := writePEM(c.CA, "CERTIFICATE", raw); err != nil {
		return c, err
	}
	if c.Core, c.CoreKey, err = c.Issue("core", "localhost", "synccore"); err != nil {
		return c, err
	}
	c.Gateway, c.GatewayKey, err = c.Issue("gateway", gatewayName, "localhost")
	return c, err
}

// Issue makes a certificate with those names and writes it and its key to files that are
// called so. Files that are there already are replaced, as when certificates are renewed.
func (c Certificates) Issue(file string, names ...string) (certificate, key string, err error) { //nolint:nonamedreturns // they tell the two paths apart
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("making certificates: %w", err)
	}
	template := template(names[0])
	template.DNSNames, template.IPAddresses = names, []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	raw, err := x509.CreateCertificate(rand.Reader, template, c.authority, &own.PublicKey, c.key)
	if err != nil {
		return "", "", fmt.Errorf("making certificates: %w", err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return "", "", fmt.Errorf("making certificates: %w", err)
	}
	certificate, key = filepath.Join(c.dir, file+".pem"), filepath.Join(c.dir, file+".key.pem")
	return certificate, key, errors.Join(writePEM(certificate, "CERTIFICATE", raw), writePEM(key, "PRIVATE KEY", secret))
}

// Client is an HTTP client that trusts the authority.
func (c Certificates) Client() *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(c.authority)
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func template(name string) *x509.Certificate {
	now := time.Now() //nolint:forbidigo // certificates count from now on
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		serial = big.NewInt(now.UnixNano())
	}
	return &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
	}
}

// writePEM puts a file into place at once.
func writePEM(path, kind string, content []byte) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content})
	if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
		return fmt.Errorf("writing a certificate: %w", err)
	}
	return nil
}
