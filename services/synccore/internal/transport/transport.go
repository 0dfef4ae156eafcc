// Package transport protects the gRPC API on its way: with certificates that are read
// from files and may be replaced while it serves, or, where an operator asks for it by
// name, not at all.
//
// Its one invariant: every connection begins with the newest certificates that were whole
// when it began; a file that is missing, half written or of another key never replaces
// good ones.
package transport

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"

	"google.golang.org/grpc/credentials"
)

// maxFile is the most bytes of a file of certificates.
const maxFile = 1 << 20

// Files name PEM files. All are optional, but a certificate and its key come together.
type Files struct {
	// Certificate holds this side's certificate and what leads to its authority, Key its
	// private key.
	Certificate, Key string
	// CA holds the authorities that sign the other side's certificates.
	CA string
}

// NewServer makes a server's credentials. With a CA, clients may show a certificate; one
// that no authority of it has signed ends the connection.
func NewServer(files Files, logger *slog.Logger) (credentials.TransportCredentials, error) {
	return newRotating(files, logger, func(m *material) *tls.Config {
		config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*m.own}}
		if m.authorities != nil {
			config.ClientCAs, config.ClientAuth = m.authorities, tls.VerifyClientCertIfGiven
		}
		return config
	})
}

// NewClient makes a client's credentials. Without a CA the system's authorities count. name
// is the name in the server's certificate; empty: the host of the target.
func NewClient(files Files, name string, logger *slog.Logger) (credentials.TransportCredentials, error) {
	return newRotating(files, logger, func(m *material) *tls.Config {
		config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: m.authorities, ServerName: name}
		if m.own != nil {
			config.Certificates = []tls.Certificate{*m.own}
		}
		return config
	})
}

// material is what the files held.
type material struct {
	own         *tls.Certificate
	authorities *x509.CertPool
	sum         [sha256.Size]byte
}

// rotating reads the files anew for each connection. Connections are few, as each carries
// many calls.
type rotating struct {
	files  Files
	logger *slog.Logger
	make   func(*material) *tls.Config

	mu    *sync.Mutex
	state *state
}

type state struct {
	good     *material
	reported string
}

func newRotating(files Files, logger *slog.Logger, config func(*material) *tls.Config) (credentials.TransportCredentials, error) {
	good, err := read(files)
	if err != nil {
		return nil, err
	}
	return &rotating{files: files, logger: logger, make: config, mu: &sync.Mutex{}, state: &state{good: good}}, nil
}

// current is TLS with what the files hold now, or held when they were good last.
func (r *rotating) current(ctx context.Context) credentials.TransportCredentials {
	r.mu.Lock()
	defer r.mu.Unlock()
	fresh, err := read(r.files)
	switch {
	case err != nil && err.Error() != r.state.reported:
		r.state.reported = err.Error()
		r.logger.WarnContext(ctx, "certificate.reload_failed", slog.String("error", err.Error()), slog.String("effect", "the certificates read before stay in use"))
	case err == nil:
		r.state.reported = ""
		if fresh.sum != r.state.good.sum {
			r.state.good = fresh
			r.logger.InfoContext(ctx, "certificate.reloaded", slog.String("file", r.files.Certificate))
		}
	}
	return credentials.NewTLS(r.make(r.state.good))
}

// ClientHandshake implements credentials.TransportCredentials.
func (r *rotating) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return r.current(ctx).ClientHandshake(ctx, authority, conn)
}

// ServerHandshake implements credentials.TransportCredentials.
func (r *rotating) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return r.current(context.Background()).ServerHandshake(conn)
}

// Info implements credentials.TransportCredentials.
func (r *rotating) Info() credentials.ProtocolInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	return credentials.NewTLS(r.make(r.state.good)).Info()
}

// Clone implements credentials.TransportCredentials.
func (r *rotating) Clone() credentials.TransportCredentials {
	c := *r
	return &c
}

// OverrideServerName implements credentials.TransportCredentials, as it has to; gRPC no
// longer calls it.
func (r *rotating) OverrideServerName(string) error { return errors.ErrUnsupported }

// read reads all files. Its errors name paths and never content.
func read(files Files) (*material, error) {
	m := &material{}
	hash := sha256.New()
	if (files.Certificate == "") != (files.Key == "") {
		return nil, errors.New("a certificate and its key have to be given together")
	}
	if files.Certificate != "" {
		certificate, err := readFile(files.Certificate)
		if err != nil {
			return nil, err
		}
		key, err := readFile(files.Key)
		if err != nil {
			return nil, err
		}
		pair, err := tls.X509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("%s and %s are no certificate with its key in PEM: %w", files.Certificate, files.Key, err)
		}
		m.own = &pair
		hash.Write(certificate)
		hash.Write(key)
	}
	if files.CA != "" {
		content, err := readFile(files.CA)
		if err != nil {
			return nil, err
		}
		m.authorities = x509.NewCertPool()
		if !m.authorities.AppendCertsFromPEM(content) {
			return nil, fmt.Errorf("%s holds no certificate authority in PEM", files.CA)
		}
		hash.Write(content)
	}
	hash.Sum(m.sum[:0])
	return m, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading certificates: %w", err)
	}
	content, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("reading certificates: %w", err)
	}
	return content, nil
}
