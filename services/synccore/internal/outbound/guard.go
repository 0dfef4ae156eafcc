package outbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/weburl"
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

// Renewer is a Credential that can be got anew when the other side refuses it.
type Renewer interface {
	Credential
	// Renew is told which value was refused. It tells whether another one is to be had;
	// it may refuse when it was asked a moment ago.
	Renew(ctx context.Context, refused string) bool
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

// RoundTrip sends r, or returns ErrForeign or ErrNoCredential and sends nothing. Where
// the credential is refused and can be renewed, r is sent once more if it can be: who
// was not let in has changed nothing.
func (g *Guard) RoundTrip(r *http.Request) (*http.Response, error) {
	if !g.holds(r) {
		closeBody(r)
		return nil, fmt.Errorf("calling %s: %w", weburl.HostPort(r.URL), ErrForeign)
	}
	value := ""
	if g.Credential != nil {
		var err error
		if value, err = g.Credential.Authorization(r.Context()); err != nil {
			closeBody(r)
			return nil, fmt.Errorf("%w: %w", ErrNoCredential, err)
		}
	}
	answer, err := g.send(r, value)
	renewer, ok := g.Credential.(Renewer)
	if err != nil || !ok || !refuses(answer) || !renewer.Renew(r.Context(), value) {
		return answer, err
	}
	again := r.Clone(r.Context())
	if r.Body != nil && r.Body != http.NoBody {
		if r.GetBody == nil {
			// The next call has the new credential.
			return answer, nil
		}
		if again.Body, err = r.GetBody(); err != nil {
			return answer, nil //nolint:nilerr // the first answer is an answer
		}
	}
	fresh, err := g.Credential.Authorization(r.Context())
	if err != nil {
		closeBody(again)
		return answer, nil //nolint:nilerr // the first answer is an answer
	}
	_, _ = io.CopyN(io.Discard, answer.Body, 64<<10)
	_ = answer.Body.Close()
	return g.send(again, fresh)
}

// refuses tells whether an answer turns the credential down: 401, or 203 with a page to
// sign in at (azure-devops.md §2.10).
func refuses(answer *http.Response) bool {
	return answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusNonAuthoritativeInfo
}

func (g *Guard) send(r *http.Request, value string) (*http.Response, error) {
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
