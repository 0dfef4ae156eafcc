//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	_ "github.com/tandem-sync/tandem/gen/tandem/v1" // all methods of it are called
	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/access"
)

// provider is an OpenID Connect provider: whom it signs tokens for may call.
type provider struct {
	url string
	key *ecdsa.PrivateKey
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func startProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{key: newKey(t)}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.url, "jwks_uri": p.url + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &p.key.PublicKey, KeyID: "k", Algorithm: string(jose.ES256), Use: "sig"}}})
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// token signs a token with a key.
func (p *provider) token(t *testing.T, key *ecdsa.PrivateKey, audience string, life time.Duration) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := json.Marshal(map[string]any{
		"iss": p.url, "aud": audience, "sub": "person", "roles": []string{"Tandem.Admin"}, "exp": time.Now().Add(life).Unix(),
	})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(claims)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// requestsOf are the requests that a method is called with. A method that is not among them
// fails the test: say here how its answer could show a secret, and in what.
func requestsOf(link, letter string) map[string][]string {
	const parent = `"connectors/development"`
	draft := func(settings string) string {
		text, _ := json.Marshal(settings)
		return string(text)
	}
	return map[string][]string{
		"EventService.IngestEvent":          {`{"connector":"development","system":"SYSTEM_ALVAO","itemId":"1","eventId":"x"}`, `{}`},
		"EventService.ListEvents":           {`{"parent":` + parent + `}`, `{"parent":"connectors/-","pageToken":"x"}`},
		"EventService.GetEvent":             {`{"name":"` + letter + `"}`, `{"name":"x"}`},
		"EventService.ReplayEvent":          {`{"name":"` + letter + `"}`},
		"LinkService.GetLink":               {`{"name":"` + link + `"}`},
		"LinkService.ListLinks":             {`{"parent":` + parent + `}`, `{"parent":` + parent + `,"filter":"x"}`},
		"LinkService.ListLinkHistory":       {`{"name":"` + link + `"}`},
		"LinkService.WatchLinks":            {`{"parent":` + parent + `,"resumeToken":"0-0"}`},
		"LinkService.ExplainLink":           {`{"name":"` + link + `"}`},
		"LinkService.CreateLink":            {`{"parent":` + parent + `,"ticketId":"999999","workItemId":"999998"}`},
		"LinkService.SyncLink":              {`{"name":"` + link + `"}`},
		"LinkService.DeleteLink":            {`{"name":"connectors/development/links/999999"}`},
		"ConnectorService.ListConnectors":   {`{}`},
		"ConnectorService.GetConnector":     {`{"name":` + parent + `}`},
		"ConnectorService.CheckConnector":   {`{"name":` + parent + `}`},
		"ConnectorService.ResyncConnector":  {`{"name":` + parent + `}`},
		"ConnectorService.ReleaseConnector": {`{"name":` + parent + `,"brakeId":"x"}`},
		"ConnectorService.PreviewWorkItem":  {`{"name":` + parent + `,"ticketId":"999999"}`},
		"ConnectorService.ListExamples":     {`{"name":` + parent + `}`},
		"ConnectorService.DiffMapping":      {`{"name":` + parent + `,"settings":` + draft(`{"ConnectorType":"AzureDevOps"}`) + `}`},
		"ResyncService.StartResync":         {`{"parent":` + parent + `}`},
		"ResyncService.GetResync":           {`{"name":"connectors/development/resyncs/x"}`},
		"ResyncService.ListResyncs":         {`{"parent":` + parent + `}`},
		"ResyncService.CancelResync":        {`{"name":"connectors/development/resyncs/x"}`},
		"ResyncService.CheckDrift":          {`{"parent":` + parent + `}`},
		"ResyncService.RepairDrift":         {`{"name":"` + link + `","winner":"WINNER_ALVAO"}`},
	}
}

// tandemMethods are all methods that are served.
func tandemMethods() []protoreflect.MethodDescriptor {
	var all []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage("tandem.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			for j := range file.Services().Get(i).Methods().Len() {
				all = append(all, file.Services().Get(i).Methods().Get(j))
			}
		}
		return true
	})
	slices.SortFunc(all, func(a, b protoreflect.MethodDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	return all
}

// toldBy calls a method and tells what came, errors with all their details.
func toldBy(ctx context.Context, conn *grpc.ClientConn, m protoreflect.MethodDescriptor, request string) (codes.Code, string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	in, out := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
	if err := protojson.Unmarshal([]byte(request), in); err != nil {
		return codes.Internal, err.Error()
	}
	name := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
	var err error
	if m.IsStreamingServer() {
		var stream grpc.ClientStream
		if stream, err = conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, name); err == nil {
			if err = stream.SendMsg(in); err == nil {
				_ = stream.CloseSend()
				err = stream.RecvMsg(out)
			}
		}
	} else {
		err = conn.Invoke(ctx, name, in, out)
	}
	text, _ := protojson.Marshal(out)
	if err != nil {
		text = fmt.Appendf(text, "%v %v", err, status.Convert(err).Proto())
	}
	return status.Code(err), string(text)
}

// TestSecretsStaySecretInEveryMethod calls every method that there is, over TLS, as whoever
// may and as whoever may not, with everything logged that can be, where both systems hold
// texts with passwords in them; and finds none of the callers' tokens, of the keys, of the
// systems' credentials and of those passwords in any answer, log line, span or metric.
func TestSecretsStaySecretInEveryMethod(t *testing.T) {
	t.Parallel()
	const (
		pat      = "Zx8Qm3Wn7Lb2Vk9Tr4Yc6Hd1Js5Gf0PaUeIoBtNwMq"
		password = "Bd7#Kp2!xW+zRt/Lm=Q9"
		portal   = "tandem_Yb6Nc1Xm8Vk3Lp5Hj9Gf2Ds7Qa4Ze"
		wrong    = "tandem_Uo3Iy8Tw1Rq6Em5Nb9Vc2Xz7Lk4Jh"
		inURL    = "Vw4Tn9Rb2Kx7Mq1Z"
		pasted   = "Gh5Jd8Ks3Lf6Pz1Xc9Vb4Nm7Qw2Er0Ty"
	)
	idp := startProvider(t)
	const audience = "api://tandem"
	tokens := map[string]string{
		"a signed token":                   idp.token(t, idp.key, audience, time.Hour),
		"an expired token":                 idp.token(t, idp.key, audience, -time.Hour),
		"a forged token":                   idp.token(t, newKey(t), audience, time.Hour),
		"a token for somebody else":        idp.token(t, idp.key, "api://other", time.Hour),
		"a caller's token":                 portal,
		"a token that is none":             wrong,
		"a signed token in pieces, joined": strings.ReplaceAll(idp.token(t, newKey(t), audience, time.Hour), ".", ""),
	}
	sink := collect(t)
	s := start(t, stack.Options{
		Collector: sink.url, Token: pat, Password: password, TLS: true,
		Callers: fmt.Sprintf(`  limit: {perSecond: 100000, burst: 1000000}
  tokens:
    - {name: portal, role: admin, sha256: %q}
  issuers:
    - {issuer: %q, audience: %q, rolesClaim: roles, roles: [{value: Tandem.Admin, role: admin}]}
`, access.Hash(portal), idp.url, audience),
		CoreArgs: []string{"--log-level", "debug"}, GatewayArgs: []string{"--log-level", "debug"},
		Sandbox: sandbox.Options{
			AzureDevOps: azuredevops.Options{Tokens: []azuredevops.Token{{Secret: pat, Owner: "tandem@contoso.com", Rights: azuredevops.AllRights}}},
			Alvao: alvao.Options{Accounts: []alvao.Account{
				{Login: alvao.ApplicationAccount, Password: password, Role: alvao.RoleManager, ReadsContacts: true},
			}},
		},
	})
	needles := plantedSecrets(t, s, pat, password)
	for name, token := range tokens {
		needles[name] = token
		if _, signature, found := strings.Cut(token, "."); found {
			needles["the claims and signature of "+name] = signature
		}
	}
	needles["a password in an address"], needles["a password that somebody pasted"] = inURL, pasted
	for _, file := range []string{s.Certificates.CoreKey, s.Certificates.GatewayKey} {
		key, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		needles["the key "+filepath.Base(file)] = strings.Split(string(key), "\n")[1]
	}

	// People write what they should not, and something fails for good.
	text := "<p>See https://tandem:" + inURL + "@build.contoso.com/x and use password: " + pasted + "</p>"
	made, err := s.Box.Alvao.CreateTicket(t.Context(), alvao.Requester, alvao.NewTicket{
		Name: "Build is red", Description: text, Service: sandbox.Service, Requester: alvao.Requester, Solver: alvao.Solver,
	})
	if err != nil {
		t.Fatal(err)
	}
	setStatus(t, s, made.ID, "Development")
	awaitPair(t, s, made.ID)
	if _, err := s.Box.Faults.Add(fault.Rule{ID: "no", Method: "POST", Path: "/azuredevops/**/workitems/$*", Kind: fault.KindStatus, Status: 400, Body: `{"message":"VS402625: planted"}`}); err != nil {
		t.Fatal(err)
	}
	doomed := open(t, s, "Doomed")
	setStatus(t, s, doomed, "Development")
	var seen bytes.Buffer
	ask := func(method, path, body, token string) string {
		_, answer, header := send(t, method, s.GatewayURL+path, body, func(r *http.Request) {
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
		})
		fmt.Fprintln(&seen, answer, header)
		return answer
	}
	letter := ""
	await(t, patience, "a dead letter", func() (bool, string) {
		var dead map[string]any
		answer := ask(http.MethodGet, "/v1/connectors/development/events?state=STATE_DEAD", "", portal)
		_ = json.Unmarshal([]byte(answer), &dead)
		letter, _ = at(dead, "events", 0, "name").(string)
		return letter != "", answer
	})
	s.Box.Faults.Remove("no")

	// The examples hold the text, so that what is not found was masked.
	if examples := ask(http.MethodGet, "/v1/connectors/development/examples", "", portal); !strings.Contains(examples, "build.contoso.com") {
		t.Errorf("the examples don't hold the planted text, so that this test would prove nothing: %.2000s", examples)
	}
	requests := requestsOf(fmt.Sprintf("connectors/development/links/%d", made.ID), letter)
	conn := protected(t, s)
	served := 0
	for _, m := range tandemMethods() {
		name := string(m.Parent().Name()) + "." + string(m.Name())
		if len(requests[name]) == 0 {
			t.Errorf("%s is called with nothing here; give it requests in requestsOf", name)
		}
		for _, request := range requests[name] {
			for who, token := range tokens {
				ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token)
				code, answer := toldBy(ctx, conn, m, request)
				fmt.Fprintln(&seen, answer)
				if may := who == "a signed token" || who == "a caller's token"; may == (code == codes.Unauthenticated) {
					t.Errorf("%s as %s: %s %s", name, who, code, answer)
				}
				if code == codes.OK {
					served++
				}
			}
			ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Basic "+portal+wrong, "x-api-key", portal)
			_, answer := toldBy(ctx, conn, m, request)
			fmt.Fprintln(&seen, answer)
		}
	}
	if served < 2*len(requests)/2 {
		t.Errorf("only %d calls were served", served)
	}
	for _, token := range tokens {
		ask(http.MethodGet, "/v1/connectors", "", token)
		ask(http.MethodPost, "/v1/connectors/development:check", "{}", token)
		ask(http.MethodPost, "/v1/connectors/development:preview", fmt.Sprintf(`{"ticketId":"%d"}`, doomed), token)
		ask(http.MethodDelete, "/v1/connectors/development/links/1", "", token)
		ask(http.MethodPost, "/v1/connectors/development/links", "{", token)
		ask(http.MethodGet, "/v1/nothing", "", token)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(programs, "synccore"), "check-config", "--print", s.ConfigFile).CombinedOutput()
	if err != nil {
		t.Errorf("%v %s", err, out)
	}
	seen.Write(out)
	for _, admin := range []string{s.GatewayAdmin, s.CoreAdmin} {
		_, body := get(t, admin+"/metrics")
		seen.WriteString(body)
	}
	audited := 0
	for _, line := range s.Core.Lines() {
		if line.Text("msg") == "api.audit" {
			audited++
			if line.Text("caller") == "" || line.Text("method") == "" || line.Text("code") == "" {
				t.Errorf("an audit line tells not who did what: %v", line)
			}
		}
	}
	if audited < 10 {
		t.Errorf("only %d lines are in the audit", audited)
	}
	for _, p := range []*stack.Program{s.Gateway, s.Core} {
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	places := map[string][]byte{"an answer or metric": seen.Bytes(), "a span": sink.bytes()}
	for _, p := range []*stack.Program{s.Gateway, s.Core} {
		log, err := os.ReadFile(p.File())
		if err != nil {
			t.Fatal(err)
		}
		places[p.File()] = log
	}
	findNone(t, needles, places)
}

// protected is a client of sync-core that shows no certificate.
func protected(t *testing.T, s *stack.Stack) *grpc.ClientConn {
	t.Helper()
	pem, err := os.ReadFile(s.Certificates.CA)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool(), ServerName: "localhost"}
	config.RootCAs.AppendCertsFromPEM(pem)
	conn, err := grpc.NewClient(s.CoreAddr, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
