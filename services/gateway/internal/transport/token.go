package transport

import (
	"context"

	"google.golang.org/grpc"
)

// Token shows a bearer token with a call.
type Token struct {
	// Current gives the token that is valid now.
	Current func() string
	// InTheClear shows it on a connection without protection as well.
	InTheClear bool
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (t Token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + t.Current()}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (t Token) RequireTransportSecurity() bool { return !t.InTheClear }

// Showing makes calls over conn that show a token. The connection itself stays without
// one, for calls that are made for somebody else.
func Showing(conn grpc.ClientConnInterface, token Token) grpc.ClientConnInterface {
	return showing{conn, token}
}

type showing struct {
	grpc.ClientConnInterface

	token Token
}

// Invoke implements grpc.ClientConnInterface.
func (s showing) Invoke(ctx context.Context, method string, args, reply any, options ...grpc.CallOption) error {
	return s.ClientConnInterface.Invoke(ctx, method, args, reply, append(options, grpc.PerRPCCredentials(s.token))...)
}

// NewStream implements grpc.ClientConnInterface.
func (s showing) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	return s.ClientConnInterface.NewStream(ctx, desc, method, append(options, grpc.PerRPCCredentials(s.token))...)
}
