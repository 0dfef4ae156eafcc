package app

import (
	"errors"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/tandem-sync/tandem/services/synccore/internal/access"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
)

// The limits of the gRPC API.
const (
	// maxMessage is the most bytes of one request: a payload of 64 KiB with room.
	maxMessage = 256 << 10
	// maxHeaders is the most bytes of a call's metadata; signed tokens may hold 10 KB.
	maxHeaders = 32 << 10
	// maxStreams is the most calls under way on one connection. A gateway has 512 webhooks
	// in flight by default.
	maxStreams = 1024
	// handshakeWithin is how long a connection may take to become one.
	handshakeWithin = 10 * time.Second
	// requestWithin is how long the request of a call may take to arrive.
	requestWithin = 10 * time.Second
	// connectionAge is when a connection is replaced, so that its certificates and the
	// balance between replicas are not for ever; calls on it have connectionGrace to end.
	connectionAge, connectionGrace = time.Hour, 5 * time.Minute
	// idleWithin is how long a connection without any call is kept.
	idleWithin = 15 * time.Minute
)

// serverLimits are the server's options that hold for every caller.
func serverLimits() []grpc.ServerOption {
	intime := punctual{within: requestWithin}
	return []grpc.ServerOption{
		grpc.InTapHandle(intime.tap),
		grpc.StatsHandler(intime),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.ConnectionTimeout(handshakeWithin),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			Time: 30 * time.Second, Timeout: 10 * time.Second, MaxConnectionIdle: idleWithin,
			MaxConnectionAge: connectionAge, MaxConnectionAgeGrace: connectionGrace,
		}),
	}
}

// checkTransport tells whether it is said how the API is protected.
func (c Config) checkTransport() error {
	switch {
	case c.InsecureGRPC && c.TLS != (transport.Files{}):
		return fault.New(fault.Misconfigured, "The settings insecure-grpc and tls-cert, tls-key or tls-client-ca contradict each other; give one of them.")
	case !c.InsecureGRPC && (c.TLS.Certificate == "" || c.TLS.Key == ""):
		return fault.New(fault.Misconfigured, "How the gRPC API is protected is not said; name a certificate with --tls-cert and --tls-key, or ask for plaintext on a private network with --insecure-grpc.")
	}
	return nil
}

// protection is how the API is protected on its way.
func (a *App) protection() (credentials.TransportCredentials, error) {
	if a.cfg.InsecureGRPC {
		return insecure.NewCredentials(), nil
	}
	way, err := transport.NewServer(a.cfg.TLS, a.tel.Logger)
	if err != nil {
		return nil, fault.Wrap(err, fault.Misconfigured, "The certificates of the gRPC API can't be used; check --tls-cert, --tls-key and --tls-client-ca.")
	}
	return way, nil
}

// guard makes what stands before the API, with the callers of the configuration.
func (a *App) guard(now func() time.Time) (*access.Guard, error) {
	guard := access.New(access.Options{Logger: a.tel.Logger, Now: now, Transport: issuerTransport})
	return guard, guard.Apply(a.file.Callers)
}

// issuerTransport is the way to an issuer of tokens, which is asked once an hour.
func issuerTransport(caFile string) (http.RoundTripper, error) {
	way, err := outbound.Transport(caFile)
	if err != nil {
		return nil, err
	}
	way.DisableKeepAlives = true
	return way, nil
}

// complete tells whether each method that is served has its rule.
func (a *App) complete() error {
	if err := access.Covers(access.Rules(), a.server.GetServiceInfo()); err != nil {
		return errors.Join(fault.New(fault.Internal, "A method of the API has no rule that says who may call it."), err)
	}
	return nil
}
