// Package access decides who may call the gRPC API: it finds out who a caller is, asks
// one table of rules whether they may, and writes down who changed what.
//
// Its one invariant: a call reaches its handler only if the table has a rule for its
// method and the caller, as they have proved to be, satisfies it for every connector that
// the request names; and of an answer about several connectors nothing leaves that the
// caller may not see. Whatever is not said to be allowed is refused.
package access

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// Options are what a Guard needs. All are required.
type Options struct {
	Logger *slog.Logger
	Now    func() time.Time
	// Transport makes the way to an issuer that is trusted by the certificates of a PEM
	// file as well; empty: by the system's alone.
	Transport func(caFile string) (http.RoundTripper, error)
}

// Guard stands before all methods. It may be used by many goroutines; callers change with
// Apply while it is at work.
type Guard struct {
	options Options
	rules   map[string]Rule
	policy  atomic.Pointer[policy]
	pace    *pace
}

// policy is who may call, as it was configured at one time.
type policy struct {
	// anonymous is who shows nothing; nil: nobody may.
	anonymous *Caller
	// tokens are the callers by the SHA-256 of their tokens.
	tokens map[[sha256.Size]byte]Caller
	// certificates are the callers by the name in their certificates.
	certificates map[string]Caller
	issuers      []*issuer
	limit        config.CallLimit
}

// New makes a Guard that lets nobody in until Apply.
func New(options Options) *Guard {
	g := &Guard{options: options, rules: Rules(), pace: newPace()}
	g.policy.Store(&policy{})
	return g
}

// Apply takes over who may call. It fails, and changes nothing, if a token's secret can't
// be read or is too short to be one.
func (g *Guard) Apply(callers config.Callers) error {
	next := &policy{
		tokens: map[[sha256.Size]byte]Caller{}, certificates: map[string]Caller{}, limit: callers.Limit,
	}
	if callers.Anonymous != "" {
		next.anonymous = &Caller{Name: "anonymous", Kind: kindAnonymous, grants: []grant{grantOf(config.Grant{Role: callers.Anonymous})}}
	}
	var errs []error
	for _, token := range callers.Tokens {
		hash, err := hashOf(token)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		next.tokens[hash] = Caller{Name: token.Name, Kind: kindToken, Expires: token.Expires, grants: []grant{grantOf(token.Grant)}}
	}
	for _, certificate := range callers.Certificates {
		next.certificates[certificate.Name] = Caller{Name: certificate.Name, Kind: kindCertificate, grants: []grant{grantOf(certificate.Grant)}}
	}
	known := g.policy.Load().issuers
	for _, settings := range callers.Issuers {
		one, err := g.issuer(settings, known)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		next.issuers = append(next.issuers, one)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	g.policy.Store(next)
	return nil
}

func hashOf(token config.CallerToken) ([sha256.Size]byte, error) {
	var hash [sha256.Size]byte
	if token.Secret.IsZero() {
		raw, err := hex.DecodeString(token.SHA256)
		if err != nil || copy(hash[:], raw) != len(hash) {
			return hash, fault.New(fault.Misconfigured, "The sha256 of caller %s is no SHA-256 in hexadecimal; write what 'synccore token' prints.", token.Name)
		}
		return hash, nil
	}
	value, err := token.Secret.Read()
	if err != nil {
		return hash, fault.Wrap(err, fault.Misconfigured, "The token of caller %s can't be read from %s; make it readable to sync-core.", token.Name, token.Secret)
	}
	if len(value.Reveal()) < config.MinCallerToken {
		return hash, fault.New(fault.Misconfigured, "The token of caller %s in %s is shorter than %d characters; make one with 'openssl rand -hex 32'.",
			token.Name, token.Secret, config.MinCallerToken)
	}
	return sha256.Sum256([]byte(value.Reveal())), nil
}

// Hash is a token's hash as the configuration holds it.
func Hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// issuer gives the issuer as it was before if nothing about it changed, with the keys that
// it has fetched, and else a new one.
func (g *Guard) issuer(settings config.Issuer, known []*issuer) (*issuer, error) {
	ca, err := authorities(settings.CAFile)
	if err != nil {
		return nil, fault.Wrap(err, fault.Misconfigured, "The certificate authorities of issuer %s can't be read; make the file readable to sync-core.", settings.URL)
	}
	for _, one := range known {
		if one.settings.URL == settings.URL && one.ca == ca {
			return newIssuer(settings, ca, one.keys, g.options.Now), nil
		}
	}
	transport, err := g.options.Transport(settings.CAFile)
	if err != nil {
		return nil, fmt.Errorf("preparing the way to issuer %s: %w", settings.URL, err)
	}
	return newIssuer(settings, ca, newKeys(settings.URL, transport, g.options.Now), g.options.Now), nil
}

// authorities is what a file of certificate authorities holds, to notice a change.
func authorities(file string) ([sha256.Size]byte, error) {
	if file == "" {
		return [sha256.Size]byte{}, nil
	}
	content, err := os.ReadFile(file)
	return sha256.Sum256(content), err
}

// audit writes down a call that changes something, whether or not it was let through.
func (g *Guard) audit(ctx context.Context, c Caller, method string, asked target, outcome string, about ...slog.Attr) {
	attrs := []slog.Attr{
		slog.String("caller", c.Name), slog.String("caller_kind", c.Kind), slog.String("method", method),
		slog.String("resource", asked.resource), slog.String("code", outcome),
	}
	if asked.connector != "" {
		attrs = append(attrs, slog.String("connector", asked.connector))
	}
	if c.Subject != "" {
		attrs = append(attrs, slog.String("subject", c.Subject))
	}
	g.options.Logger.LogAttrs(ctx, slog.LevelInfo, "api.audit", append(attrs, about...)...)
}
