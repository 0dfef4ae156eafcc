package entra_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/entra"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

const (
	planted  = "planted~client-secret"
	tenant   = "11111111-2222-3333-4444-555555555555"
	clientID = "66666666-7777-8888-9999-000000000000"
	resource = "499b84ac-1321-427f-aa17-267ca6975798"
	life     = time.Hour
)

// authority stands in for Microsoft Entra's token endpoint and a machine's endpoint for
// managed identities. It is modelled on Microsoft's pages (OpenID configuration, client
// credentials flow, error response, managed identities: acquire a token); nothing of it
// is recorded. It works without a network, so that time can stand still.
type authority struct {
	mu      sync.Mutex
	secret  string
	asked   int
	hosts   map[string]int
	form    url.Values
	away    bool
	page    string
	expires time.Duration
	// elsewhere is where the configuration says that tokens are given.
	elsewhere string
	wait      time.Duration
}

func newAuthority() *authority {
	return &authority{secret: planted, hosts: map[string]int{}, expires: life}
}

// RoundTrip implements http.RoundTripper.
func (a *authority) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	wait := a.wait
	away := a.away
	a.hosts[r.URL.Host]++
	a.mu.Unlock()
	if wait > 0 {
		select {
		case <-time.After(wait):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if away {
		return nil, errors.New("dial tcp: connection refused")
	}
	in := r.Clone(r.Context())
	in.RequestURI = r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	out := httptest.NewRecorder()
	a.serve(out, in)
	resp := out.Result()
	resp.Request = r
	return resp, nil
}

func (a *authority) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	base := "https://" + r.URL.Host + "/" + tenant
	switch {
	case a.page != "":
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, a.page)
	case r.URL.Path == "/"+tenant+"/v2.0/.well-known/openid-configuration":
		endpoint := base + "/oauth2/v2.0/token"
		if a.elsewhere != "" {
			endpoint = a.elsewhere
		}
		answer(w, 200, map[string]any{"token_endpoint": endpoint, "authorization_endpoint": base + "/oauth2/v2.0/authorize", "issuer": base + "/v2.0"})
	case r.URL.Path == "/"+tenant+"/oauth2/v2.0/token" && r.Method == http.MethodPost:
		if err := r.ParseForm(); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		a.form = r.PostForm
		assertion := r.PostForm.Get("client_assertion")
		if r.PostForm.Get("client_secret") != a.secret && assertion == "" {
			answer(w, 401, map[string]any{
				"error": "invalid_client", "error_codes": []int{7000215},
				"error_description": "AADSTS7000215: Invalid client secret provided. You sent " + r.PostForm.Get("client_secret"),
			})
			return
		}
		a.token(w)
	case r.URL.Host == "169.254.169.254":
		if r.Header.Get("Metadata") != "true" || r.URL.Query().Get("resource") != resource || r.URL.Query().Get("client_id") == "nobody" {
			answer(w, 400, map[string]any{"error": "invalid_request", "error_description": "Identity not found"})
			return
		}
		a.asked++
		answer(w, 200, map[string]any{
			"access_token": fmt.Sprint("token-", a.asked), "expires_in": strconv.Itoa(int(a.expires.Seconds())), "token_type": "Bearer", "resource": resource,
		})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (a *authority) token(w http.ResponseWriter) {
	a.asked++
	answer(w, 200, map[string]any{
		"access_token": fmt.Sprint("token-", a.asked), "expires_in": int(a.expires.Seconds()), "ext_expires_in": int(a.expires.Seconds()), "token_type": "Bearer",
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (a *authority) set(change func(*authority)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(a)
}

func (a *authority) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked
}

func service(secret func() (string, error)) *entra.Application {
	return &entra.Application{Tenant: tenant, ClientID: clientID, Secret: secret}
}

func given(s string) func() (string, error) { return func() (string, error) { return s, nil } }

func open(t *testing.T, a *authority, o entra.Options) *entra.Source {
	t.Helper()
	o.Base, o.Now, o.Resource = a, time.Now, resource
	s, err := entra.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func want(t *testing.T, s *entra.Source, value string) {
	t.Helper()
	got, err := s.Authorization(t.Context())
	if err != nil || got != value {
		t.Errorf("got %q, %v; want %q", got, err, value)
	}
}

// refused checks an error: its kind, words it must have, and that it holds no secret.
func refused(t *testing.T, err error, kind fault.Kind, words ...string) {
	t.Helper()
	if !fault.Is(err, kind) {
		t.Errorf("got %v, want %v", err, kind)
		return
	}
	for _, word := range words {
		if !strings.Contains(fault.Sentence(err), word) {
			t.Errorf("%q lacks %q", fault.Sentence(err), word)
		}
	}
	if text := fmt.Sprintf("%v %+v", err, err); strings.Contains(text, "planted") || strings.Contains(text, "token-") {
		t.Errorf("a secret is told: %s", text)
	}
}

func TestClientSecret(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		s := open(t, a, entra.Options{Application: service(given(planted))})
		for range 3 {
			want(t, s, "Bearer token-1")
		}
		if a.form.Get("scope") != resource+"/.default openid offline_access profile" && !strings.HasPrefix(a.form.Get("scope"), resource+"/.default") {
			t.Errorf("scope %q", a.form.Get("scope"))
		}
		if a.form.Get("grant_type") != "client_credentials" || a.form.Get("client_id") != clientID {
			t.Errorf("form %v", a.form)
		}
		if len(a.hosts) != 1 || a.hosts["login.microsoftonline.com"] == 0 {
			t.Errorf("hosts %v were asked", a.hosts)
		}
	})
}

// TestRefreshBeforeExpiry: calls go on with the old token while the next one is fetched,
// also when that takes long, and when Entra is away for a while.
func TestRefreshBeforeExpiry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		s := open(t, a, entra.Options{Application: service(given(planted))})
		want(t, s, "Bearer token-1")
		<-time.After(life - 6*time.Minute)
		want(t, s, "Bearer token-1")
		synctest.Wait()
		if a.count() != 1 {
			t.Fatal("fetched too early")
		}
		<-time.After(2 * time.Minute)
		a.set(func(a *authority) { a.away = true })
		began := time.Now()
		want(t, s, "Bearer token-1")
		synctest.Wait()
		<-time.After(30 * time.Second)
		a.set(func(a *authority) { a.away, a.wait = false, 2*time.Second })
		want(t, s, "Bearer token-1")
		if waited := time.Since(began); waited != 30*time.Second {
			t.Errorf("calls waited %s for a token although they had one", waited-30*time.Second)
		}
		<-time.After(5 * time.Second)
		want(t, s, "Bearer token-2")
		// Without a token left, a call waits for one.
		a.set(func(a *authority) { a.wait = 0 })
		<-time.After(2 * life)
		want(t, s, "Bearer token-3")
	})
}

func TestManyWaitForOneFetch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		a.wait = time.Second
		s := open(t, a, entra.Options{Application: service(given(planted))})
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { want(t, s, "Bearer token-1") })
		}
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if _, err := s.Authorization(impatient); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that is gone: %v", err)
		}
		all.Wait()
	})
}

// TestRefused: 401 of the vendor fetches one new token, and not again at once.
func TestRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		s := open(t, a, entra.Options{Application: service(given(planted))})
		good, bodies := "Bearer token-2", []string{}
		vendor := answers(func(r *http.Request) (*http.Response, error) {
			if r.Body != nil {
				body, _ := io.ReadAll(r.Body)
				bodies = append(bodies, string(body))
			}
			status := 401
			if r.Header.Get("Authorization") == good {
				status = 200
			}
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
		})
		home, err := outbound.ParseOrigin("https://home")
		if err != nil {
			t.Fatal(err)
		}
		client := outbound.NewClient(&outbound.Guard{Origins: []outbound.Origin{home}, Credential: s, Next: vendor})
		post := func() int {
			got, err := client.Do(t.Context(), outbound.Request{Method: http.MethodPost, URL: "https://home/x", ContentType: "text/plain", Body: []byte("deed")})
			if err != nil {
				t.Fatal(err)
			}
			return got.Status
		}
		if status := post(); status != 200 || len(bodies) != 2 || bodies[0] != "deed" || bodies[1] != "deed" || a.count() != 2 {
			t.Errorf("status %d, sent %q, %d tokens", status, bodies, a.count())
		}
		good = "none"
		for range 5 {
			if status := post(); status != 401 {
				t.Errorf("status %d", status)
			}
		}
		if a.count() != 2 {
			t.Errorf("%d tokens within a minute, want 2", a.count())
		}
		<-time.After(2 * time.Minute)
		post()
		if a.count() != 3 {
			t.Errorf("%d tokens, want 3", a.count())
		}
	})
}

type answers func(*http.Request) (*http.Response, error)

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestTroubleWithEntra(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*authority)
		kind   fault.Kind
		words  []string
	}{
		"wrong secret": {func(a *authority) { a.secret = "another" }, fault.BadToken, []string{"AADSTS7000215", clientID, "not its id"}},
		"away":         {func(a *authority) { a.away = true }, fault.Unavailable, []string{"by itself"}},
		"a bad day":    {func(a *authority) { a.page = "<html>planted" }, fault.Unavailable, nil},
		"too slow":     {func(a *authority) { a.wait = time.Hour }, fault.Unavailable, nil},
		"elsewhere":    {func(a *authority) { a.elsewhere = "https://evil.example/token" }, fault.BadToken, []string{"another place"}},
		"plain http":   {func(a *authority) { a.elsewhere = "http://login.microsoftonline.com/token" }, fault.BadToken, []string{"another place"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newAuthority()
				tc.change(a)
				s := open(t, a, entra.Options{Application: service(given(planted))})
				_, err := s.Authorization(t.Context())
				refused(t, err, tc.kind, tc.words...)
				if a.hosts["evil.example"] != 0 {
					t.Error("another host was asked")
				}
				asked := a.hosts["login.microsoftonline.com"]
				_, again := s.Authorization(t.Context())
				refused(t, again, tc.kind)
				if a.hosts["login.microsoftonline.com"] != asked {
					t.Error("Entra was asked again at once")
				}
				a.set(func(a *authority) { a.secret, a.away, a.page, a.elsewhere, a.wait = planted, false, "", "", 0 })
				<-time.After(10 * time.Second)
				want(t, s, "Bearer token-1")
			})
		})
	}
}

// TestSecretIsReadAnew: a rotated secret counts with the next token.
func TestSecretIsReadAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		secret, broken := planted, error(nil)
		s := open(t, a, entra.Options{Application: service(func() (string, error) { return secret, broken })})
		want(t, s, "Bearer token-1")
		<-time.After(2 * life)
		a.set(func(a *authority) { a.secret = "planted-2" })
		_, err := s.Authorization(t.Context())
		refused(t, err, fault.BadToken)
		secret = "planted-2"
		<-time.After(10 * time.Second)
		want(t, s, "Bearer token-2")
		<-time.After(2 * life)
		broken = errors.New("no such file")
		_, err = s.Authorization(t.Context())
		refused(t, err, fault.BadToken, "can't be read")
	})
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tandem"}, NotAfter: time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	both := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})) +
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}))
	if until, err := entra.CertificateEnd(both); err != nil || !until.Equal(template.NotAfter) {
		t.Errorf("it ends %s, %v", until, err)
	}
	alone, _, _ := strings.Cut(both, "-----BEGIN PRIVATE")
	elliptic, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	odd, err := x509.MarshalPKCS8PrivateKey(elliptic)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		s := open(t, a, entra.Options{Application: &entra.Application{Tenant: tenant, ClientID: clientID, Certificate: given(both), Authority: "https://login.microsoftonline.us"}})
		want(t, s, "Bearer token-1")
		if strings.Count(a.form.Get("client_assertion"), ".") != 2 || a.form.Has("client_secret") || a.hosts["login.microsoftonline.us"] == 0 || len(a.hosts) != 1 {
			t.Errorf("hosts %v, form has %d values", a.hosts, len(a.form))
		}
		for name, content := range map[string]string{
			"no key": alone, "nothing": "planted", "another kind of key": alone +
				string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: odd})),
		} {
			bad := open(t, a, entra.Options{Application: &entra.Application{Tenant: tenant, ClientID: clientID, Certificate: given(content)}})
			_, err := bad.Authorization(t.Context())
			if refused(t, err, fault.BadToken, "certificate", clientID); t.Failed() {
				t.Fatal(name)
			}
		}
	})
}

func TestManagedIdentity(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		s := open(t, a, entra.Options{Managed: &entra.Managed{}})
		want(t, s, "Bearer token-1")
		if a.hosts["169.254.169.254"] != 1 || len(a.hosts) != 1 {
			t.Errorf("hosts %v were asked", a.hosts)
		}
		// The library's own cache must not give the refused token back.
		if !s.Renew(t.Context(), "Bearer token-1") {
			t.Error("a refused token was not renewed")
		}
		want(t, s, "Bearer token-2")
		other := open(t, a, entra.Options{Managed: &entra.Managed{ClientID: clientID}})
		want(t, other, "Bearer token-3")
		bad := open(t, a, entra.Options{Managed: &entra.Managed{ClientID: "nobody"}})
		_, err := bad.Authorization(t.Context())
		refused(t, err, fault.BadToken, "managed identity", "nobody")
	})
}

func TestUnusableOptions(t *testing.T) {
	t.Parallel()
	for _, o := range []entra.Options{
		{Resource: resource, Now: time.Now},
		{Application: service(given(planted)), Managed: &entra.Managed{}, Resource: resource, Now: time.Now},
		{Application: service(given(planted)), Now: time.Now},
		{Application: &entra.Application{Authority: "https://evil.example", Tenant: tenant, ClientID: clientID, Secret: given(planted)}, Resource: resource, Now: time.Now},
		{Application: &entra.Application{Authority: "http://login.microsoftonline.com", Tenant: tenant, ClientID: clientID, Secret: given(planted)}, Resource: resource, Now: time.Now},
	} {
		if _, err := entra.New(o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

func TestClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		a.wait = time.Hour
		s := open(t, a, entra.Options{Application: service(given(planted))})
		done := make(chan error)
		go func() { _, err := s.Authorization(t.Context()); done <- err }()
		synctest.Wait()
		s.Close()
		if err := <-done; err == nil {
			t.Error("a token came of a closed source")
		}
		if _, err := s.Authorization(t.Context()); err == nil {
			t.Error("a token came of a closed source")
		}
	})
}
