package outbound

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// Errors of the guard. Both mean that nothing was sent.
var (
	// ErrForeign: the request leads outside the places that may be called.
	ErrForeign = errors.New("address lies outside the configured system")
	// ErrNoCredential: the credential can't be read.
	ErrNoCredential = errors.New("credential can't be read")
)

// ErrUnsent tells that a call failed before anything of it was sent, so that it had no
// effect. Not every such failure says so.
var ErrUnsent = errors.New("nothing was sent")

// Credential gives the value of the Authorization header. It is asked for every
// request, so a rotated secret counts at once. It is called by many goroutines.
type Credential interface {
	Authorization(ctx context.Context) (string, error)
}

// Guard adds the credential to a request, and refuses every request that leads
// outside its origins, so no credential ever leaves for another host.
type Guard struct {
	Origins []Origin
	// Credential is attached to every request; nil: the address itself is the credential,
	// as a webhook's is.
	Credential Credential
	// Header is set on every request unless the request has that header.
	Header http.Header
	Next   http.RoundTripper
}

// RoundTrip sends r, or returns ErrForeign or ErrNoCredential and sends nothing.
func (g *Guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if !g.holds(r) {
		closeBody(r)
		return nil, fmt.Errorf("calling %s: %w", HostPort(r.URL), ErrForeign)
	}
	value := ""
	if g.Credential != nil {
		var err error
		if value, err = g.Credential.Authorization(r.Context()); err != nil {
			closeBody(r)
			return nil, fmt.Errorf("%w: %w", ErrNoCredential, err)
		}
	}
	out := r.Clone(r.Context())
	for name, values := range g.Header {
		if _, set := out.Header[name]; !set {
			out.Header[name] = values
		}
	}
	if g.Credential != nil {
		out.Header.Set("Authorization", value)
	}
	return g.Next.RoundTrip(out)
}

func (g *Guard) holds(r *http.Request) bool {
	// A Host header of its own would reach another virtual host.
	if r.Host != "" && !strings.EqualFold(r.Host, r.URL.Host) {
		return false
	}
	for _, o := range g.Origins {
		if o.Holds(r.URL) {
			return true
		}
	}
	return false
}

func closeBody(r *http.Request) {
	if r.Body != nil {
		_ = r.Body.Close()
	}
}
