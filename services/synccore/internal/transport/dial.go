package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
)

// Client says how a command reaches a running sync-core.
type Client struct {
	// Target is the gRPC target, e.g. 127.0.0.1:9000 or dns:///synccore:9000.
	Target string
	// Files protect the way; ServerName is the name in the server's certificate, empty: the
	// target's host.
	Files      Files
	ServerName string
	// TokenFile holds the bearer token to show; empty: none.
	TokenFile string
	// Insecure goes without protection.
	Insecure bool
}

var errBoth = errors.New("--insecure-grpc and certificate files contradict each other; give one of them")

// Dial sets up the connection; it is made when it is first used.
func Dial(c Client, extra ...grpc.DialOption) (*grpc.ClientConn, error) {
	way, err := c.credentials()
	if err != nil {
		return nil, fmt.Errorf("setting up the client of sync-core: %w", err)
	}
	options := append([]grpc.DialOption{grpc.WithTransportCredentials(way)}, extra...)
	if c.TokenFile != "" {
		token := Token{Ref: secret.Ref{File: c.TokenFile}, InTheClear: c.Insecure}
		if _, err := token.header(); err != nil {
			return nil, fmt.Errorf("setting up the client of sync-core: %w", err)
		}
		options = append(options, grpc.WithPerRPCCredentials(token))
	}
	conn, err := grpc.NewClient(c.Target, options...)
	if err != nil {
		return nil, fmt.Errorf("setting up the client of sync-core: %w", err)
	}
	return conn, nil
}

func (c Client) credentials() (credentials.TransportCredentials, error) {
	if c.Insecure {
		if c.Files != (Files{}) {
			return nil, errBoth
		}
		return insecure.NewCredentials(), nil
	}
	return NewClient(c.Files, c.ServerName, slog.New(slog.DiscardHandler))
}

// Token shows a bearer token with each call, as its file holds it then.
type Token struct {
	Ref secret.Ref
	// InTheClear shows it on a connection without protection as well.
	InTheClear bool
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (t Token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	header, err := t.header()
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": header}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (t Token) RequireTransportSecurity() bool { return !t.InTheClear }

// header is what the call shows, as the file holds it now.
func (t Token) header() (string, error) {
	value, err := t.Ref.Read()
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(value.Reveal())
	return "Bearer " + token, oneLine(token, t.Ref.String())
}
