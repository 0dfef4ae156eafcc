package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
)

const (
	// keysFresh is how long keys count without a look at the issuer, so that one which was
	// withdrawn ends; keysKept is how long they count while the issuer can't be reached.
	keysFresh = time.Hour
	keysKept  = 24 * time.Hour
	// keysPause is the least time between two looks, whatever tokens ask for.
	keysPause = 10 * time.Second
	// keysWithin bounds a look.
	keysWithin = 5 * time.Second
	// keysSize is the most bytes that are read of an issuer's answer.
	keysSize = 1 << 20
)

// errKeysAway tells that a token can't be judged, since the issuer's keys are not known.
var errKeysAway = errors.New("the issuer's keys can't be fetched")

// keys are the public keys of an issuer, fetched when a token asks for one that is not
// known. go-oidc's own would fetch for every token with a wrong signature.
type keys struct {
	issuer string
	client *http.Client
	now    func() time.Time

	known atomic.Pointer[keySet]
	// fetching serialises looks at the issuer; it guards what follows.
	fetching sync.Mutex
	looked   time.Time
	failed   bool
}

type keySet struct {
	set     jose.JSONWebKeySet
	fetched time.Time
}

func newKeys(issuer string, transport http.RoundTripper, now func() time.Time) *keys {
	return &keys{issuer: issuer, now: now, client: &http.Client{
		Transport: capped{transport}, Timeout: keysWithin,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// awayKey is the context's *bool that VerifySignature sets when the keys are not known;
// go-oidc keeps errors of a KeySet to itself.
type awayKey struct{}

// VerifySignature implements oidc.KeySet.
func (k *keys) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	signed, err := jose.ParseSignedCompact(token, algorithms())
	if err != nil {
		return nil, fmt.Errorf("reading a token: %w", err)
	}
	id := ""
	for _, signature := range signed.Signatures {
		id = signature.Header.KeyID
	}
	candidates, err := k.find(ctx, id)
	if err != nil {
		if away, ok := ctx.Value(awayKey{}).(*bool); ok {
			*away = true
		}
		return nil, err
	}
	for _, key := range candidates {
		if payload, err := signed.Verify(key); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("no key of the issuer has made the signature")
}

// find gives the keys with an id; all keys if a token names none.
func (k *keys) find(ctx context.Context, id string) ([]jose.JSONWebKey, error) {
	if known := k.known.Load(); known != nil && k.now().Sub(known.fetched) < keysFresh {
		if found := known.with(id); len(found) > 0 {
			return found, nil
		}
	}
	k.fetching.Lock()
	defer k.fetching.Unlock()
	known := k.known.Load()
	if known != nil && k.now().Sub(known.fetched) < keysFresh && len(known.with(id)) > 0 {
		return known.with(id), nil // somebody else has just fetched them
	}
	if k.looked.IsZero() || k.now().Sub(k.looked) >= keysPause {
		k.looked = k.now()
		// Others wait for the outcome, so it does not end with this caller.
		set, err := k.fetch(context.WithoutCancel(ctx))
		k.failed = err != nil
		if err == nil {
			known = &keySet{set: set, fetched: k.looked}
			k.known.Store(known)
		}
	}
	if known != nil && k.now().Sub(known.fetched) < keysKept {
		if found := known.with(id); len(found) > 0 || !k.failed {
			return found, nil
		}
	}
	return nil, errKeysAway
}

func (s *keySet) with(id string) []jose.JSONWebKey {
	all := s.set.Keys
	if id != "" {
		all = s.set.Key(id)
	}
	var found []jose.JSONWebKey
	for _, key := range all {
		// A secret among public keys would let anybody who reads them sign.
		if key.Use != "enc" && key.IsPublic() {
			found = append(found, key)
		}
	}
	return found
}

// fetch finds and reads the keys (OpenID Connect Discovery 1.0 §4).
func (k *keys) fetch(ctx context.Context) (jose.JSONWebKeySet, error) {
	var set jose.JSONWebKeySet
	ctx, cancel := context.WithTimeout(oidc.ClientContext(ctx, k.client), keysWithin)
	defer cancel()
	provider, err := oidc.NewProvider(ctx, k.issuer)
	if err != nil {
		return set, fmt.Errorf("asking the issuer for its configuration: %w", err)
	}
	var found struct {
		Keys string `json:"jwks_uri"`
	}
	if err := provider.Claims(&found); err != nil {
		return set, fmt.Errorf("reading the issuer's configuration: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, found.Keys, http.NoBody)
	if err != nil {
		return set, fmt.Errorf("asking the issuer for its keys: %w", err)
	}
	answer, err := k.client.Do(request)
	if err != nil {
		return set, fmt.Errorf("asking the issuer for its keys: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return set, fmt.Errorf("asking the issuer for its keys: it answers %d", answer.StatusCode)
	}
	if err := json.NewDecoder(answer.Body).Decode(&set); err != nil {
		return set, fmt.Errorf("reading the issuer's keys: %w", err)
	}
	return set, nil
}

// capped cuts answers that are too long to be what was asked for.
type capped struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (c capped) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer.Body = &cappedBody{Reader: io.LimitReader(answer.Body, keysSize), Closer: answer.Body}
	return answer, nil
}

type cappedBody struct {
	io.Reader
	io.Closer
}
