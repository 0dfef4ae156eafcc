package access

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
)

// nobody is the scheme of a call that the gateway makes for somebody who showed no
// credentials: whoever carries it is not the gateway, whatever the connection's
// certificate says.
const nobody = "anonymous"

// authenticate finds out who calls. Credentials that are shown and wrong are refused even
// where none are needed.
func (g *Guard) authenticate(ctx context.Context, p *policy) (Caller, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	switch shown := md.Get("authorization"); {
	case len(shown) > 1:
		return Caller{}, unauthenticated("The call carries several authorizations; send one.")
	case len(shown) == 1:
		scheme, token, _ := strings.Cut(shown[0], " ")
		if strings.EqualFold(scheme, nobody) && token == "" {
			return p.unknown()
		}
		if !strings.EqualFold(scheme, "Bearer") || token == "" {
			return Caller{}, unauthenticated(`The authorization is not of the form "Bearer TOKEN".`)
		}
		return g.bearer(ctx, p, token)
	}
	if leaf := certificate(ctx); leaf != nil {
		for _, name := range namesOf(leaf) {
			if c, ok := p.certificates[name]; ok {
				c.Expires = leaf.NotAfter
				return g.current(c, "certificate")
			}
		}
	}
	return p.unknown()
}

// unknown is who shows nothing.
func (p *policy) unknown() (Caller, error) {
	if p.anonymous == nil {
		return Caller{}, unauthenticated(`The call carries no credentials that are known here; send "authorization: Bearer TOKEN" or use a client certificate that callers names.`)
	}
	return *p.anonymous, nil
}

func (g *Guard) bearer(ctx context.Context, p *policy, token string) (Caller, error) {
	// What the time of the look-up tells is about hashes, of which no token can be made.
	if c, ok := p.tokens[sha256.Sum256([]byte(token))]; ok {
		return g.current(c, "token")
	}
	if len(p.issuers) > 0 && strings.Count(token, ".") == 2 {
		c, err := verify(ctx, p.issuers, token)
		if err != nil {
			return Caller{}, err
		}
		return c, nil
	}
	return Caller{}, unauthenticated("The bearer token is not known here.")
}

// current refuses proofs that have ended.
func (g *Guard) current(c Caller, what string) (Caller, error) {
	if !c.Expires.IsZero() && !g.options.Now().Before(c.Expires) {
		return Caller{}, unauthenticated("The " + what + " of caller " + c.Name + " has expired; give them a new one.")
	}
	return c, nil
}

// certificate is the client's certificate, if it was verified.
func certificate(ctx context.Context) *x509.Certificate {
	from, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	info, ok := from.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 || len(info.State.VerifiedChains[0]) == 0 {
		return nil
	}
	return info.State.VerifiedChains[0][0]
}

// namesOf are the names that a certificate proves.
func namesOf(leaf *x509.Certificate) []string {
	names := append([]string(nil), leaf.DNSNames...)
	for _, uri := range leaf.URIs {
		names = append(names, uri.String())
	}
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = append(names, leaf.Subject.CommonName)
	}
	return names
}

func keysAway(issuer string) error {
	return refuse(codes.Unavailable, tandemv1.ErrorReason_ERROR_REASON_ISSUER_UNAVAILABLE,
		"The keys of "+issuer+" can't be fetched, so its tokens can't be checked; try again shortly.")
}
