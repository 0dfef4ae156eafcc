package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// Transport makes the connection pool below a chain. caFile names a PEM bundle of
// certificate authorities that are trusted beside the system's own, as on-premises
// installations need; empty: the system's alone.
func Transport(caFile string) (*http.Transport, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	pool, err := Authorities(caFile)
	if err != nil {
		return nil, err
	}
	config.RootCAs = pool
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       config,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConns:          100,
		// The default of 2 would close most connections after every burst.
		MaxIdleConnsPerHost: 32,
	}, nil
}

// Authorities are the system's certificate authorities and those of a PEM file; nil, the
// system's alone, without one.
func Authorities(caFile string) (*x509.CertPool, error) {
	if caFile == "" {
		return nil, nil //nolint:nilnil // crypto/tls takes nil for the system's own
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fmt.Errorf("reading certificate authorities: %w", err)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("the file %s holds no PEM certificate", caFile)
	}
	return pool, nil
}
