package access

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
)

// issuer believes tokens that one issuer signed for one audience.
type issuer struct {
	settings config.Issuer
	// ca tells the certificate authorities apart that the keys are fetched under.
	ca       [sha256.Size]byte
	keys     *keys
	verifier *oidc.IDTokenVerifier
	grants   map[string]grant
}

// algorithms are the signatures that are believed: those that only the issuer can make.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}
}

func newIssuer(settings config.Issuer, ca [sha256.Size]byte, k *keys, now func() time.Time) *issuer {
	var names []string
	for _, a := range algorithms() {
		names = append(names, string(a))
	}
	i := &issuer{
		settings: settings, ca: ca, keys: k, grants: map[string]grant{},
		verifier: oidc.NewVerifier(settings.URL, k, &oidc.Config{ClientID: settings.Audience, SupportedSigningAlgs: names, Now: now}),
	}
	for _, role := range settings.Roles {
		i.grants[role.Value] = grantOf(role.Grant)
	}
	return i
}

// verify asks the issuers that a token names whether it is theirs.
func verify(ctx context.Context, issuers []*issuer, token string) (Caller, error) {
	claimed, ok := issuerIn(token)
	if !ok {
		return Caller{}, unauthenticated("The bearer token is neither known here nor a signed token.")
	}
	refusal := unauthenticated("The token's issuer is not one that callers.issuers names.")
	for _, one := range issuers {
		if one.settings.URL != claimed {
			continue
		}
		var away bool
		verified, err := one.verifier.Verify(context.WithValue(ctx, awayKey{}, &away), token)
		if err == nil {
			return one.caller(verified)
		}
		if away {
			return Caller{}, keysAway(claimed)
		}
		// What it says of the token may quote it.
		if _, expired := errors.AsType[*oidc.TokenExpiredError](err); expired {
			refusal = unauthenticated("The token has expired; get a new one from its issuer.")
		} else {
			refusal = unauthenticated("The token is not valid here: its signature, audience or time is wrong.")
		}
	}
	return Caller{}, refusal
}

// issuerIn reads who a token says has signed it, which is not believed.
func issuerIn(token string) (string, bool) {
	signed, err := jose.ParseSignedCompact(token, algorithms())
	if err != nil {
		return "", false
	}
	var claims struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		return "", false
	}
	return claims.Issuer, true
}

// caller is who a verified token speaks of.
func (i *issuer) caller(token *oidc.IDToken) (Caller, error) {
	var claims map[string]any
	if err := token.Claims(&claims); err != nil {
		return Caller{}, unauthenticated("The token's claims can't be read.")
	}
	c := Caller{Name: token.Subject, Kind: kindIssuer, Subject: token.Subject, Expires: token.Expiry}
	// People are told by their name, applications by their id (Microsoft identity
	// platform, access token claims).
	for _, claim := range []string{"preferred_username", "upn", "azp", "appid", "client_id"} {
		if name, ok := claims[claim].(string); ok && name != "" {
			c.Name = short(name)
			break
		}
	}
	for _, value := range values(claims, i.settings.RolesClaim) {
		if g, ok := i.grants[value]; ok {
			c.grants = append(c.grants, g)
		}
	}
	return c, nil
}

// values reads a claim that is a text or a list of texts; a dot leads into an object.
func values(claims map[string]any, path string) []string {
	found, ok := claims[path]
	if !ok {
		first, rest, nested := strings.Cut(path, ".")
		inner, isObject := claims[first].(map[string]any)
		if !nested || !isObject {
			return nil
		}
		return values(inner, rest)
	}
	switch found := found.(type) {
	case string:
		return []string{found}
	case []any:
		var texts []string
		for _, one := range found {
			if text, ok := one.(string); ok {
				texts = append(texts, text)
			}
		}
		return texts
	default:
		return nil
	}
}

// short keeps a name that its issuer chose from filling the log.
func short(name string) string {
	const longest = 200
	if len(name) <= longest {
		return name
	}
	return strings.ToValidUTF8(name[:longest], "")
}
