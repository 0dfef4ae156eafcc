package app

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/internal/telemetry"
	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/connector"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/limiter"
)

// signIn stands in for Microsoft Entra: it gives each application's token to who knows
// the secret (modelled on the client credentials flow; not recorded).
type signIn struct {
	mu     sync.Mutex
	secret string
	// tokens are what is given, by the scope.
	tokens map[string]string
	asked  int
	away   bool
}

func (s *signIn) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errors.New("no route to host")
	}
	if r.URL.Host != "login.microsoftonline.com" {
		return nil, fmt.Errorf("asked %s", r.URL.Host)
	}
	body := []byte{}
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	base := "https://" + r.URL.Host + "/contoso.com"
	status, answer := http.StatusOK, map[string]any{"token_endpoint": base + "/token", "authorization_endpoint": base + "/authorize", "issuer": base}
	if r.URL.Path == "/contoso.com/token" {
		s.asked++
		scope, _, _ := strings.Cut(form.Get("scope"), " ")
		answer = map[string]any{"access_token": s.tokens[scope], "expires_in": 3600, "token_type": "Bearer"}
		if form.Get("client_secret") != s.secret {
			status, answer = http.StatusUnauthorized, map[string]any{"error": "invalid_client", "error_codes": []int{7000215}, "error_description": form.Get("client_secret")}
		}
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(text)), Request: r}, nil
}

const (
	desk  = "00112233-4455-6677-8899-aabbccddeeff"
	where = `
accessTokens:
  "0": {entra: {tenant: contoso.com, clientId: 0f0e0d0c-0b0a-0908-0706-050403020100, clientSecret: {file: %[2]s}}, expires: 2027-01-31}
connectors:
  - name: development
    alvao:
      url: %[1]s/AlvaoRestApi
      service: Development
      externalIdField: %[3]s
      credentials: {application: %[4]s, entra: {tenant: contoso.com, clientId: 0f0e0d0c-0b0a-0908-0706-050403020100, clientSecret: {file: %[2]s}}}
    settings: {"ConnectorType": "AzureDevOps", "URL": "%[1]s/azuredevops/contoso/Alvaoproject", "AccessToken": "0",
      "AttributeMap": {"System.Title": "[$TicketTitle$]", "System.WorkItemType": "Task"}, "StatusMap": {"To Do": "Development"}}
`
)

// TestSignInByEntra: both systems are entered with tokens of Entra, a refused one is
// got anew once, and what goes wrong is told in a sentence without a secret.
func TestSignInByEntra(t *testing.T) {
	t.Parallel()
	const first, second, deskToken, planted = "planted-token-1", "planted-token-2", "planted-desk", "planted-secret"
	box, err := sandbox.New(sandbox.Options{
		AzureDevOps: azuredevops.Options{Tokens: []azuredevops.Token{{Secret: first, Owner: "app@contoso.com", Rights: azuredevops.AllRights, Bearer: true}}},
		Alvao:       alvao.Options{Bearer: func(token string) (string, bool) { return alvao.ApplicationAccount, token == deskToken }},
	})
	if err != nil {
		t.Fatal(err)
	}
	host := httptest.NewServer(box.Handler)
	box.SetBaseURL(host.URL)
	t.Cleanup(func() {
		host.Close()
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	file := filepath.Join(t.TempDir(), "secret")
	write := func(content string) {
		if err := os.WriteFile(file+".new", []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write(planted)
	cfg, err := config.Parse("tandem.yaml", fmt.Appendf(nil, where, host.URL, file, alvao.ExternalIDColumn, desk))
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	tel, err := telemetry.Start(t.Context(), telemetry.Config{Service: "test", LogWriter: &log, SampleRatio: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.Shutdown(t.Context()) })
	// The clock is moved by hand; the library's own clock is the machine's.
	var mu sync.Mutex
	ahead := time.Duration(0)
	now := func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return time.Now().Add(ahead)
	}
	o, err := newOpener(tel, limiter.NewLedger(redistest.Embedded(t)), nil, "test", now)
	if err != nil {
		t.Fatal(err)
	}
	entra := &signIn{secret: planted, tokens: map[string]string{azuredevopsScope: first, desk + "/.default": deskToken}}
	o.entra = entra
	clients, err := o.open(cfg.Connectors[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(clients.Close)
	if err := clients.WorkItems.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, finding := range clients.Tickets.Check(t.Context()) {
		if finding.Check == "alvao.account" && finding.Severity != item.OK {
			t.Errorf("Alvao: %+v", finding)
		}
	}
	if entra.asked != 2 {
		t.Errorf("%d tokens were asked for, want one for each system", entra.asked)
	}
	if at := clients.Expiry(item.AzureDevOps); !at.Equal(time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC)) || !clients.Expiry(item.Alvao).IsZero() {
		t.Errorf("they end at %s and %s", at, clients.Expiry(item.Alvao))
	}

	// The token is revoked: the next one is fetched in the same call.
	box.AzureDevOps.RevokeToken(first)
	box.AzureDevOps.AddToken(azuredevops.Token{Secret: second, Owner: "app@contoso.com", Rights: azuredevops.AllRights, Bearer: true})
	entra.mu.Lock()
	entra.tokens[azuredevopsScope] = second
	entra.mu.Unlock()
	if _, err := clients.WorkItems.WorkItems(t.Context(), []int64{1}); err != nil {
		t.Errorf("after the token was revoked: %v", err)
	}

	for name, tc := range map[string]struct {
		change func()
		kind   fault.Kind
		words  string
	}{
		"a wrong secret": {func() { write("planted-another") }, fault.BadToken, "AADSTS7000215"},
		"Entra away":     {func() { entra.mu.Lock(); defer entra.mu.Unlock(); entra.away = true }, fault.Unavailable, "by itself"},
	} {
		mu.Lock()
		ahead += 2 * time.Hour
		mu.Unlock()
		tc.change()
		_, err := clients.WorkItems.WorkItems(t.Context(), []int64{1})
		if !fault.Is(err, tc.kind) || !strings.Contains(fault.Sentence(err), tc.words) || strings.Contains(fmt.Sprintf("%+v", err), "planted") {
			t.Errorf("%s: %v", name, err)
		}
		for _, finding := range append(clients.WorkItems.Check(t.Context()), clients.Tickets.Check(t.Context())...) {
			if strings.Contains(finding.Detail+finding.Remedy, "planted") {
				t.Errorf("%s: %+v", name, finding)
			}
		}
		entra.mu.Lock()
		entra.away = false
		entra.mu.Unlock()
		write(planted)
	}
	if strings.Contains(log.String(), "planted") {
		t.Errorf("the log holds a secret:\n%s", &log)
	}
}

const azuredevopsScope = "499b84ac-1321-427f-aa17-267ca6975798/.default"

// TestConnectorsWithOneTokenShareALimiter: and it goes with the last of them.
func TestConnectorsWithOneTokenShareALimiter(t *testing.T) {
	t.Parallel()
	tel, err := telemetry.Start(t.Context(), telemetry.Config{Service: "test", LogWriter: io.Discard, SampleRatio: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.Shutdown(t.Context()) })
	o, err := newOpener(tel, nil, nil, "test", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	text.WriteString(`
accessTokens: {"0": {env: A}, "1": {env: B}}
connectors:
`)
	for name, rest := range map[string]string{"a": "contoso/One/0", "b": "contoso/Two/0", "c": "contoso/Three/1", "d": "fabrikam/One/0"} {
		parts := strings.Split(rest, "/")
		fmt.Fprintf(&text, `  - name: %s
    alvao: {url: https://contoso.onalvao.com/AlvaoRestApi, service: %s, credentials: {username: tandem, password: {env: P}}}
    settings: {"ConnectorType": "AzureDevOps", "URL": "https://dev.azure.com/%s/%s", "AccessToken": "%s",
      "AttributeMap": {"System.Title": "x", "System.WorkItemType": "Task"}, "StatusMap": {"To Do": "Development"}}
`, name, name, parts[0], parts[1], parts[2])
	}
	cfg, err := config.Parse("tandem.yaml", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]connector.Clients{}
	for _, one := range cfg.Connectors {
		clients, err := o.open(one)
		if err != nil {
			t.Fatal(err)
		}
		all[one.Name] = clients
	}
	limiters := map[*limiter.Limiter]int{}
	for use := range o.limits.uses {
		limiters[use.limiter]++
	}
	// Alvao's one account; and the first token at contoso, the second there, the first
	// elsewhere.
	if len(limiters) != 4 || len(o.limits.open) != 4 || len(o.limits.uses) != 8 {
		t.Errorf("%d limiters for %d ways", len(limiters), len(o.limits.uses))
	}
	all["a"].Close()
	all["a"].Close()
	if len(o.limits.open) != 4 {
		t.Error("a limiter in use is gone")
	}
	for _, name := range []string{"b", "c", "d"} {
		all[name].Close()
	}
	if len(o.limits.open) != 0 || len(o.limits.uses) != 0 {
		t.Errorf("%d limiters are left", len(o.limits.open))
	}
}
