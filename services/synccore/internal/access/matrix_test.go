package access_test

import (
	"crypto/tls"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/tandem-sync/tandem/services/synccore/internal/access"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
)

var update = flag.Bool("update", false, "write the golden matrix anew")

const (
	viewer    = "viewer-token-of-at-least-32-characters"
	operator  = "operator-token-of-at-least-32-characters"
	admin     = "admin-token-of-at-least-32-characters"
	edge      = "edge-token-of-at-least-32-characters"
	old       = "expired-token-of-at-least-32-characters"
	elsewhere = "other-connectors-token-of-at-least-32-characters"
	here      = "this-connectors-token-of-at-least-32-characters"
)

// everybody are callers of all kinds.
func everybody(w *world) config.Callers {
	token := func(name, role, text string, connectors ...string) config.CallerToken {
		return config.CallerToken{Name: name, Grant: config.Grant{Role: role, Connectors: connectors}, SHA256: access.Hash(text)}
	}
	ended := token("ended", config.RoleAdmin, old)
	ended.Expires = w.clock.now().Add(-time.Second)
	return config.Callers{
		Tokens: []config.CallerToken{
			token("viewer", config.RoleViewer, viewer), token("operator", config.RoleOperator, operator), token("admin", config.RoleAdmin, admin),
			token("edge", config.RoleEdge, edge), token("elsewhere", config.RoleAdmin, elsewhere, "other", "another"),
			token("here", config.RoleAdmin, here, connector), ended,
		},
		Certificates: []config.CallerCertificate{
			{Name: "gateway.contoso.com", Grant: config.Grant{Role: config.RoleEdge}},
			{Name: "reports", Grant: config.Grant{Role: config.RoleViewer}},
		},
		Issuers: []config.Issuer{{
			URL: w.issuer.url, Audience: audience, RolesClaim: "roles", Roles: []config.IssuerRole{
				{Value: "Tandem.Viewer", Grant: config.Grant{Role: config.RoleViewer}},
				{Value: "Tandem.Operator", Grant: config.Grant{Role: config.RoleOperator}},
				{Value: "Tandem.Admin", Grant: config.Grant{Role: config.RoleAdmin}},
			},
		}},
		Limit: config.CallLimit{PerSecond: 1e6, Burst: 1e6},
	}
}

// caller is one way to call.
type caller struct {
	name string
	conn grpc.ClientConnInterface
	auth []string
}

// callers are all ways to call, in groups that are answered alike.
func callers(t *testing.T, w *world) []caller {
	t.Helper()
	plain := w.dial(t)
	with := func(certificate tls.Certificate) grpc.ClientConnInterface { return w.dial(t, certificate) }
	bearer := func(token string) []string { return []string{"Bearer " + token} }
	signed := func(role string, change func(map[string]any)) []string {
		claims := w.claims(role)
		if change != nil {
			change(claims)
		}
		return bearer(w.issuer.token(t, "first", claims))
	}
	set := func(key string, value any) func(map[string]any) {
		return func(claims map[string]any) { claims[key] = value }
	}
	foreign := newIssuer(t)
	none := "eyJhbGciOiJub25lIn0." + strings.Split(signed("Admin", nil)[0], ".")[1] + "."
	shared := sign(t, jose.SigningKey{Algorithm: jose.HS256, Key: []byte("a-secret-that-is-32-characters-long")}, w.claims("Admin"))
	gateway := w.pki.issue(t, time.Hour, "x", "gateway.contoso.com")
	return []caller{
		{"no credentials", plain, nil},
		{"no credentials", plain, []string{"Anonymous"}},
		// What the gateway passes on is not the gateway's.
		{"no credentials", with(gateway), []string{"Anonymous"}},
		{"no credentials", with(w.pki.issue(t, time.Hour, "nobody")), nil},
		// The common name does not count beside other names.
		{"no credentials", with(w.pki.issue(t, time.Hour, "reports", "else.contoso.com")), nil},
		{"wrong token", plain, bearer("x")},
		{"wrong token", plain, bearer(viewer + "x")},
		{"wrong token", plain, bearer(viewer[:len(viewer)-1])},
		{"wrong token", plain, bearer(access.Hash(admin))},
		{"wrong token", plain, []string{"Basic " + admin}},
		{"wrong token", plain, []string{admin}},
		{"wrong token", plain, []string{"Bearer "}},
		{"wrong token", plain, []string{"Bearer " + admin, "Bearer " + admin}},
		{"wrong token", with(gateway), bearer("x")},
		{"wrong token", plain, bearer("a.b.c")},
		{"wrong token", plain, bearer(none)},
		{"wrong token", plain, bearer(shared)},
		{"wrong token", plain, bearer(foreign.token(t, "first", w.claims("Admin")))},
		{"wrong token", plain, signed("Admin", set("iss", "https://login.contoso.com"))},
		{"wrong token", plain, signed("Admin", set("nbf", w.clock.now().Add(time.Hour).Unix()))},
		{"wrong token", plain, signed("Admin", set("exp", nil))},
		{"expired", plain, bearer(old)},
		{"expired", plain, signed("Admin", set("exp", w.clock.now().Add(-time.Second).Unix()))},
		{"wrong audience", plain, signed("Admin", set("aud", "api://other"))},
		{"wrong audience", plain, signed("Admin", set("aud", nil))},
		{"no role", plain, signed("Nothing", nil)},
		{"no role", plain, signed("Admin", set("roles", nil))},
		{"viewer", plain, bearer(viewer)},
		{"viewer", plain, []string{"bearer " + viewer}},
		{"viewer", plain, signed("Viewer", nil)},
		{"viewer", plain, signed("Viewer", set("roles", "Tandem.Viewer"))},
		{"viewer", with(w.pki.issue(t, time.Hour, "reports")), nil},
		// Who shows a token is not helped by a certificate.
		{"viewer", with(gateway), bearer(viewer)},
		{"operator", plain, bearer(operator)},
		{"operator", plain, signed("Operator", set("aud", audience))},
		{"admin", plain, bearer(admin)},
		{"admin", plain, signed("Admin", nil)},
		{"admin", plain, signed("Viewer", set("roles", []string{"x", "Tandem.Viewer", "Tandem.Admin"}))},
		{"admin here", plain, bearer(here)},
		{"admin elsewhere", plain, bearer(elsewhere)},
		{"edge", plain, bearer(edge)},
		{"edge", with(gateway), nil},
	}
}

// TestMatrix calls every method in every way, for one connector and, where the method has
// that, for all. What is answered stands in testdata/matrix.txt, for people to read.
func TestMatrix(t *testing.T) {
	t.Parallel()
	w := setup(t, everybody)
	var out strings.Builder
	words := map[codes.Code]string{codes.OK: "yes", codes.Unauthenticated: "who?", codes.PermissionDenied: "no"}
	rules := access.Rules()
	all := callers(t, w)
	for _, m := range methods(t) {
		fmt.Fprintln(&out, m.name[1:])
		var targets []string
		if rule := rules[m.name]; rule.Connector != "" {
			targets = append(targets, connector)
			if rule.Filtered {
				targets = append(targets, "-")
			}
		} else {
			targets = append(targets, "")
		}
		for _, target := range targets {
			row := map[string]string{}
			var order []string
			for _, c := range all {
				_, err := call(t, c.conn, m, request(m, target), c.auth...)
				word, ok := words[code(err)]
				if !ok {
					t.Fatalf("%s as %s: %v", m.name, c.name, err)
				}
				if reached := len(w.takeReached()) > 0; reached != (err == nil) {
					t.Errorf("%s as %s: the handler was reached: %v, the answer is %v", m.name, c.name, reached, err)
				}
				if before, seen := row[c.name]; !seen {
					row[c.name], order = word, append(order, c.name)
				} else if before != word {
					t.Errorf("%s as %s %.30q: %s, but others of the kind: %s", m.name, c.name, c.auth, word, before)
				}
			}
			by := map[string][]string{}
			for _, name := range order {
				by[row[name]] = append(by[row[name]], name)
			}
			of := map[string]string{connector: "for a connector, ", "-": "for all connectors, "}[target]
			for _, word := range slices.Sorted(maps.Keys(by)) {
				fmt.Fprintf(&out, "  %s%s: %s\n", of, word, strings.Join(by[word], ", "))
			}
		}
	}
	path := filepath.Join("testdata", "matrix.txt")
	if *update {
		if err := os.WriteFile(path, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), out.String()); diff != "" {
		t.Errorf("who may call what (-want +got); if it is meant, go test ./internal/access -run TestMatrix -update:\n%s", diff)
	}
}

// TestEveryMethodHasARule: the table and what is served are the same, and a rule names a
// field that there is.
func TestEveryMethodHasARule(t *testing.T) {
	t.Parallel()
	rules, services := access.Rules(), map[string]grpc.ServiceInfo{}
	served := map[string]bool{}
	for _, m := range methods(t) {
		service, short, _ := strings.Cut(m.name[1:], "/")
		info := services[service]
		info.Methods = append(info.Methods, grpc.MethodInfo{Name: short})
		services[service] = info
		served[m.name] = true
		rule, known := rules[m.name]
		if !known {
			continue // Covers says so
		}
		if rule.Public && rule != (access.Rule{Public: true}) {
			t.Errorf("%s is public and has other rules: %+v", m.name, rule)
		}
		if reads := regexp.MustCompile("^(Get|List|Watch|Explain|Check|Preview|Diff|ServerReflection)").MatchString(string(m.desc.Name())); !rule.Public && rule.Writes == reads {
			t.Errorf("%s: Writes is %v, by its name it reads: %v", m.name, rule.Writes, reads)
		}
		if !rule.Public && rule.Least == access.None {
			t.Errorf("%s has no least role", m.name)
		}
		if rule.Connector != "" && m.desc.Input().Fields().ByName(protoName(rule.Connector)) == nil {
			t.Errorf("%s: the request has no field %s that could name the connector", m.name, rule.Connector)
		}
		if !rule.Public && rule.Connector == "" && !rule.Filtered && !rule.Neutral {
			t.Errorf("%s: say by Connector, Filtered or Neutral what callers of some connectors may see", m.name)
		}
		// A method that answers about one thing has nothing to filter.
		if rule.Filtered && rule.Writes {
			t.Errorf("%s writes for all connectors at once to a caller of some", m.name)
		}
	}
	if err := access.Covers(rules, services); err != nil {
		t.Error(err)
	}
	for name := range rules {
		if !served[name] {
			t.Errorf("the rule of %s is of no method", name)
		}
	}
	services["tandem.v1.NewService"] = grpc.ServiceInfo{Methods: []grpc.MethodInfo{{Name: "DoIt"}}}
	if err := access.Covers(rules, services); err == nil || !strings.Contains(err.Error(), `"/tandem.v1.NewService/DoIt": {`) {
		t.Errorf("a method without a rule: %v", err)
	}
}
