package transport

import (
	"context"
	"crypto/tls"
	"log/slog"
	"sync/atomic"
	"time"
)

// Serving is the certificate that the gateway shows to those who call it.
type Serving struct {
	files   Files
	current atomic.Pointer[material]
}

// NewServing reads a certificate and its key.
func NewServing(certificate, key string) (*Serving, error) {
	s := &Serving{files: Files{Certificate: certificate, Key: key}}
	good, err := read(s.files)
	if err != nil {
		return nil, err
	}
	s.current.Store(good)
	return s, nil
}

// Config is for the server. Callers are many, so the files are not read for each of them;
// Run does.
func (s *Serving) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.current.Load().own, nil },
	}
}

// Run looks at the files at each interval until ctx ends. What is missing, half written or
// of another key changes nothing.
func (s *Serving) Run(ctx context.Context, interval time.Duration, logger *slog.Logger) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	reported := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		fresh, err := read(s.files)
		switch {
		case err != nil && err.Error() != reported:
			reported = err.Error()
			logger.WarnContext(ctx, "certificate.reload_failed", slog.String("error", err.Error()), slog.String("effect", "the certificates read before stay in use"))
		case err == nil:
			reported = ""
			if fresh.sum != s.current.Load().sum {
				s.current.Store(fresh)
				logger.InfoContext(ctx, "certificate.reloaded", slog.String("file", s.files.Certificate))
			}
		}
	}
}
