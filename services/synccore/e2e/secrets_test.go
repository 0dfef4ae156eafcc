//go:build e2e

package e2e_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/access"
)

// TestSecretsStaySecret plants secrets and a confidential message, works, fails and
// recovers with everything logged that can be, and looks for them wherever a person or
// another program could see them.
func TestSecretsStaySecret(t *testing.T) {
	t.Parallel()
	const (
		token    = "q7Zp4Xv2mB9sLw6nKd3RtYh8"
		password = "Cx5%Jf1!gT0+uQe/Vb=N7"
		message  = "the-merger-with-Fabrikam-is-secret"
		caller   = "tandem_Jw8Kp3Zr6Nf1Ty5Qb9Xd2Hc7Vm4Ls"
		forged   = "tandem_Wq2Er4Ty6Ui8Op0As1Df3Gh5Jk7Lz"
	)
	sink := collect(t)
	s := start(t, stack.Options{
		Collector: sink.url, Token: token, Password: password, Notices: true,
		Callers:  fmt.Sprintf("  anonymous: admin\n  limit: {perSecond: 100000, burst: 1000000}\n  tokens:\n    - {name: portal, role: viewer, sha256: %q}\n", access.Hash(caller)),
		CoreArgs: []string{"--log-level", "debug"}, GatewayArgs: []string{"--log-level", "debug"},
		Sandbox: sandbox.Options{
			AzureDevOps: azuredevops.Options{Tokens: []azuredevops.Token{{Secret: token, Owner: "tandem@contoso.com", Rights: azuredevops.AllRights}}},
			Alvao: alvao.Options{Accounts: []alvao.Account{
				{Login: alvao.ApplicationAccount, Password: password, Role: alvao.RoleManager, ReadsContacts: true},
			}},
		},
	})
	needles := plantedSecrets(t, s, token, password)
	needles["the message"] = message
	needles["a caller's token"], needles["a token that is none"], needles["the gateway's token"] = caller, forged, s.GatewayToken
	needles["the mail server's password"] = sandbox.MailPassword
	needles["the webhook's signature"] = "sandbox-signature"
	needles["the solver's address"] = alvao.Solver
	var seen bytes.Buffer // what was answered
	hit := func(method, url, body string, change func(*http.Request)) {
		_, answer, header := send(t, method, url, body, change)
		fmt.Fprintln(&seen, answer, header)
	}

	made, err := s.Box.Alvao.CreateTicket(t.Context(), alvao.Requester, alvao.NewTicket{
		Name: "Quarterly report", Description: "<p>" + message + "</p>", Service: sandbox.Service, Requester: alvao.Requester, Solver: alvao.Solver,
	})
	if err != nil {
		t.Fatal(err)
	}
	setStatus(t, s, made.ID, "Development")
	workItem := awaitPair(t, s, made.ID)
	if item, _ := s.Box.AzureDevOps.WorkItem(workItem); !strings.Contains(fmt.Sprint(item.Fields["System.Description"]), message) {
		t.Fatal("the message did not arrive, so that this test would prove nothing")
	}
	// The solver is told of a comment, and then neither mail server nor Teams is any use.
	comment := func() {
		if _, err := s.Box.AzureDevOps.As(developer).Comment(workItem, "<p>"+message+"</p>", "html"); err != nil {
			t.Fatal(err)
		}
	}
	comment()
	await(t, recovery, "the solver is told", func() (bool, string) {
		return len(s.Box.Mail.Mails()) == 1 && len(s.Box.Teams.Cards()) == 1, "nobody is"
	})
	for _, rule := range []fault.Rule{
		{ID: "mail", Path: "/mail/recipient", Kind: fault.KindStatus, Status: 450},
		{ID: "mail", Path: "/mail/recipient", Kind: fault.KindStatus, Status: 550},
		{ID: "mail", Path: "/mail/auth", Kind: fault.KindStatus, Status: 535},
		{ID: "teams", Path: "/teams/**", Kind: fault.KindLostReply},
		{ID: "teams", Path: "/teams/**", Kind: fault.KindStatus, Status: 404},
	} {
		if _, err := s.Box.Faults.Add(rule); err != nil {
			t.Fatal(err)
		}
		from := len(s.Core.Lines())
		comment()
		awaitLine(t, s.Core, from, "a notice under "+string(rule.Kind), func(l stack.Line) bool {
			return l.Text("msg") == "sync.handled" && l.Text("system") == "notice"
		})
	}
	s.Box.Faults.Clear()

	// All doors, with right and wrong keys.
	for _, key := range []string{"", needles["the Azure DevOps hook password"], needles["the Azure DevOps hook password"] + "x"} {
		change := func(r *http.Request) { r.SetBasicAuth("tandem", key) }
		hit(http.MethodPost, hookURL(s), updated("0b6a2b59-1e3f-4c11-8f5a-000000000005", 1, workItem), change)
		hit(http.MethodPost, hookURL(s), "{", change)
	}
	for _, key := range []string{needles["Alvao's token"], needles["Alvao's token"][1:], needles["the hook secret"]} {
		hit(http.MethodPost, s.GatewayURL+"/hooks/alvao/development/"+url.PathEscape(key), `{"requestId":1001,"personId":2}`, nil)
	}

	for _, key := range []string{caller, forged, s.GatewayToken, caller + " " + forged} {
		change := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key) }
		hit(http.MethodGet, s.GatewayURL+"/v1/connectors", "", change)
		hit(http.MethodGet, s.GatewayURL+"/v1/connectors?access_token="+url.QueryEscape(key), "", change)
		hit(http.MethodPost, s.GatewayURL+"/v1/connectors/development:release", `{"brakeId":"x"}`, change)
		hit(http.MethodPost, s.GatewayURL+"/v1/connectors/development/links/1:sync", "{", func(r *http.Request) { r.Header.Set("Authorization", "Basic "+key) })
	}
	for _, args := range [][]string{
		{"check-config", "--print", s.ConfigFile},
		// A Redis that refuses, with a password in its address; it gives up at once.
		{"serve", "--config", s.ConfigFile, "--insecure-grpc", "--redis", "redis://tandem:" + url.QueryEscape(password) + "@127.0.0.1:1/zero", "--log-level", "debug"},
		{"resync", "--insecure-grpc", "--core", s.CoreAddr, "--core-token-file", filepath.Join(filepath.Dir(s.ConfigFile), "gateway-token")},
	} {
		out, err := exec.CommandContext(t.Context(), filepath.Join(programs, "synccore"), args...).CombinedOutput()
		if (err == nil) != (args[0] == "check-config") {
			t.Errorf("synccore %s: %v %s", args[0], err, out)
		}
		seen.Write(out)
	}

	// Both systems refuse, cut and lose; the tokens are refused and accepted again.
	for _, rule := range []fault.Rule{
		{ID: "1", Kind: fault.KindCut},
		{ID: "1", Kind: fault.KindStatus, Status: 400, Body: `{"message":"no"}`},
		{ID: "1", Kind: fault.KindStatus, Status: 302, Headers: map[string]string{"Location": "https://login.invalid/"}},
		{ID: "1", Path: "/AlvaoRestApi/**", Kind: fault.KindStatus, Status: 401, Body: `{"message":"no"}`},
		{ID: "1", Path: "/azuredevops/**", Kind: fault.KindSignIn},
	} {
		if _, err := s.Box.Faults.Add(rule); err != nil {
			t.Fatal(err)
		}
		from := len(s.Core.Lines())
		send(t, http.MethodPost, fmt.Sprintf("%s/v1/connectors/development/links/%d:sync", s.GatewayURL, made.ID), "{}", nil)
		awaitLine(t, s.Core, from, "a try under "+string(rule.Kind), func(l stack.Line) bool { return l.Text("msg") == "sync.handled" })
		a := &asker{t: t, s: s, called: map[string]bool{}}
		a.ask("", http.MethodPost, "/v1/connectors/development:check", "{}", 200)
		a.ask("", http.MethodGet, "/v1/connectors", "", 200)
		a.ask("", http.MethodGet, "/v1/connectors/development/events", "", 200)
		a.ask("", http.MethodGet, fmt.Sprintf("/v1/connectors/development/links/%d", made.ID), "", 200)
		a.ask("", http.MethodGet, fmt.Sprintf("/v1/connectors/development/links/%d/history", made.ID), "", 200)
		seen.WriteString(a.answers.String())
		s.Box.Faults.Clear()
	}
	for _, admin := range []string{s.GatewayAdmin, s.CoreAdmin} {
		hit(http.MethodGet, admin+"/metrics", "", nil)
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

// findNone looks for secrets, in the forms in which they could stand, and for enough text
// to be looked through.
func findNone(t *testing.T, needles map[string]string, places map[string][]byte) {
	t.Helper()
	for place, text := range places {
		if len(text) < 1000 {
			t.Errorf("%s holds %d bytes, so that this test proves nothing", place, len(text))
		}
		folded := bytes.ToLower(text)
		for name, needle := range needles {
			for _, form := range []string{needle, url.QueryEscape(needle), url.PathEscape(needle), strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(":"+needle)), "="), strings.Trim(fmt.Sprintf("%q", needle), `"`)} {
				if at := bytes.Index(folded, []byte(strings.ToLower(form))); at >= 0 {
					t.Errorf("%s stands in %s: …%q…", name, place, text[max(0, at-200):min(len(text), at+len(form))])
					break
				}
			}
		}
	}
}

// plantedSecrets are all forms in which a secret of this stack could show.
func plantedSecrets(t *testing.T, s *stack.Stack, token, password string) map[string]string {
	t.Helper()
	needles := map[string]string{"the access token": token, "Alvao's password": password, "the hook secret": s.Secret}
	for name, purpose := range map[string]string{
		"the Azure DevOps hook password": "azure-devops",
		"Alvao's token":                  "alvao/" + stack.Connector,
		"the application's key":          "alvao-application/" + stack.Connector,
	} {
		key, err := sandbox.HookKey(s.Secret, "tandem/v1/hook/"+purpose)
		if err != nil {
			t.Fatal(err)
		}
		needles[name] = key
	}
	encode := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	needles["the access token as Basic"] = strings.TrimRight(encode(":"+token), "=")
	needles["Alvao's password as Basic"] = strings.TrimRight(encode(alvao.ApplicationAccount+":"+password), "=")
	needles["the hook password as Basic"] = strings.TrimRight(encode("tandem:"+needles["the Azure DevOps hook password"]), "=")
	return needles
}
