package access_test

import (
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
)

// The keys are fetched once, when they are needed, and again when a token names one that
// is not known, but not at everybody's whim.
func TestKeysAreFetchedSeldom(t *testing.T) {
	t.Parallel()
	w := setup(t, everybody)
	conn, get := w.dial(t), find(t, "GetLink")
	as := func(token string) codes.Code {
		_, err := call(t, conn, get, request(get, connector), "Bearer "+token)
		return code(err)
	}
	good := w.issuer.token(t, "first", w.claims("Viewer"))
	if n := w.issuer.fetched.Load(); n != 0 {
		t.Errorf("%d looks before anybody called", n)
	}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			if got := as(good); got != codes.OK {
				t.Errorf("a good token: %s", got)
			}
		})
	}
	group.Wait()
	foreign := newIssuer(t)
	for _, id := range []string{"first", "x", "y"} {
		foreign.rotate(t, id)
		for range 10 {
			if got := as(foreign.token(t, id, w.claims("Admin"))); got != codes.Unauthenticated {
				t.Errorf("a forged token: %s", got)
			}
		}
	}
	if n := w.issuer.fetched.Load(); n != 1 {
		t.Errorf("%d looks at the keys, want 1", n)
	}
	w.issuer.rotate(t, "second")
	w.clock.advance(11 * time.Second)
	if got := as(w.issuer.token(t, "second", w.claims("Viewer"))); got != codes.OK {
		t.Errorf("a new key: %s", got)
	}
	if got := as(good); got != codes.Unauthenticated {
		t.Errorf("a key that was withdrawn: %s", got)
	}
	if n := w.issuer.fetched.Load(); n != 2 {
		t.Errorf("%d looks at the keys, want 2", n)
	}
	// Another list of callers does not forget them.
	if err := w.guard.Apply(everybody(w)); err != nil {
		t.Fatal(err)
	}
	if got := as(w.issuer.token(t, "second", w.claims("Viewer"))); got != codes.OK || w.issuer.fetched.Load() != 2 {
		t.Errorf("after another list: %s, %d looks", got, w.issuer.fetched.Load())
	}
}

// An issuer that is away refuses nobody: those whose key is known are let in, and the
// others may come again.
func TestIssuerAway(t *testing.T) {
	t.Parallel()
	w := setup(t, everybody)
	conn, get := w.dial(t), find(t, "GetLink")
	as := func(token string) codes.Code {
		_, err := call(t, conn, get, request(get, connector), "Bearer "+token)
		return code(err)
	}
	token := func() string { return w.issuer.token(t, "first", w.claims("Viewer")) }
	w.issuer.down.Store(true)
	if got := as(token()); got != codes.Unavailable {
		t.Errorf("the keys were never fetched: %s", got)
	}
	w.issuer.down.Store(false)
	if got := as(token()); got != codes.Unavailable {
		t.Errorf("too soon for another look: %s", got)
	}
	w.clock.advance(11 * time.Second)
	if got := as(token()); got != codes.OK {
		t.Errorf("the issuer is back: %s", got)
	}
	w.issuer.down.Store(true)
	w.clock.advance(2 * time.Hour)
	if got := as(token()); got != codes.OK {
		t.Errorf("away for two hours: %s", got)
	}
	w.clock.advance(23 * time.Hour)
	if got := as(token()); got != codes.Unavailable {
		t.Errorf("away for more than a day: %s", got)
	}
}

// A claim within an object is named with a dot, and one with a dot in its name as it is.
func TestRolesClaim(t *testing.T) {
	t.Parallel()
	for claim, value := range map[string]any{
		"realm_access.roles": map[string]any{"roles": []any{"x", 7, "admins"}},
		"https://x.y/roles":  "admins",
		"roles":              []string{"admins"},
	} {
		w := setup(t, func(w *world) config.Callers {
			return config.Callers{Issuers: []config.Issuer{{
				URL: w.issuer.url, Audience: audience, RolesClaim: claim,
				Roles: []config.IssuerRole{{Value: "admins", Grant: config.Grant{Role: config.RoleAdmin, Connectors: []string{connector}}}},
			}}}
		})
		claims := w.claims("x")
		key := claim
		if claim == "realm_access.roles" {
			key = "realm_access"
		}
		claims[key] = value
		m := find(t, "DeleteLink")
		conn, token := w.dial(t), w.issuer.token(t, "first", claims)
		if _, err := call(t, conn, m, request(m, connector), "Bearer "+token); err != nil {
			t.Errorf("%s: %v", claim, err)
		}
		if _, err := call(t, conn, m, request(m, "other"), "Bearer "+token); code(err) != codes.PermissionDenied {
			t.Errorf("%s, another connector: %v", claim, err)
		}
	}
}
