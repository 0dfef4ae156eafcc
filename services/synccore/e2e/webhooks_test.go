//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// fixtures is the folder of recorded deliveries, which lies beside the repository.
func fixtures(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		path := filepath.Join(dir, "shared", "fixtures", "azure-devops", "webhooks")
		if _, err := os.Stat(path); err == nil {
			return path
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	const text = "shared/fixtures is not beside the repository"
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	t.Skip(text)
	return ""
}

// delivery is what must come of a recorded body.
type delivery struct {
	status        int
	first, again  string
	takenOverFrom string // the event id that sync-core must be told
}

// deliveries says it for every file.
func deliveries() map[string]delivery {
	test := delivery{202, `{"result":"test"}`, `{"result":"test"}`, ""}
	ignored := delivery{202, `{"result":"ignored"}`, `{"result":"ignored"}`, ""}
	malformed := delivery{400, `"error"`, `"error"`, ""}
	stored := func(id string) delivery {
		return delivery{202, `{"result":"stored"}`, `{"result":"duplicate"}`, "azure-devops/" + id}
	}
	return map[string]delivery{
		"ResourceVersion-1.0.json":           stored("98bd70de-8422-4fb4-a4fb-d2f8d9e50ee9/4"),
		"ResourceVersion-3.1-preview.3.json": stored("b3038ecc-97eb-423f-ba25-1fcc5dc7b3c9/161"),
		"ResourceVersion-5.1-preview.3.json": stored("98bd70de-8422-4fb4-a4fb-d2f8d9e50ee9/3"),
		"TestEvent.json":                     test,
		"workitem.created.json":              test,
		"workitem.updated.json":              test,
		"workitem.commented.json":            test,
		"workitem.deleted.json":              test,
		"workitem.restored.json":             test,
		"build.complete.json":                ignored,
		"git.push.json":                      ignored,
		"git.pullrequest.created.json":       ignored,
		"git.pullrequest.merged.json":        ignored,
		"git.pullrequest.updated.json":       ignored,
		"message.posted.json":                ignored,
		"tfvc.checkin.json":                  ignored,
		"bad.notMappedEventType.json":        ignored,
		"bad.noEventType.json":               malformed,

		"not-strict/ResourceVersion-1.0.json.txt":           malformed,
		"not-strict/ResourceVersion-3.1-preview.3.json.txt": malformed,
		"not-strict/ResourceVersion-5.1-preview.3.json.txt": malformed,
	}
}

// TestRecordedWebhooks posts every recorded body to the running gateway. The ticket's
// work item has the number 30, of which the recorded updates speak; 18 is the update's.
func TestRecordedWebhooks(t *testing.T) {
	t.Parallel()
	dir := fixtures(t)
	s := start(t, stack.Options{Sandbox: sandbox.Options{AzureDevOps: azuredevops.Options{FirstID: 30}}})
	ticket, workItem := develop(t, s, "The thirtieth")
	if workItem != 30 {
		t.Fatalf("the work item is %d, want 30", workItem)
	}
	rest(t, s)
	writes := writesOf(s)
	all := deliveries()
	var names []string
	for _, pattern := range []string{"*.json", "not-strict/*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files match %s: %v", pattern, err)
		}
		for _, file := range files {
			name, err := filepath.Rel(dir, file)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := all[filepath.ToSlash(name)]; !ok {
				t.Errorf("%s has no line in this test", name)
				continue
			}
			names = append(names, filepath.ToSlash(name))
		}
	}
	if len(names) != len(all) {
		t.Errorf("there are %d files for %d lines", len(names), len(all))
	}
	for _, name := range names {
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		want, body := all[name], string(content)
		from := len(s.Core.Lines())
		for i, result := range []string{want.first, want.again, want.again} {
			status, answer, _ := send(t, http.MethodPost, hookURL(s), body, genuine(t, s))
			if status != want.status || !strings.Contains(answer, result) {
				t.Errorf("%s, delivery %d: %d %s, want %d %s", name, i+1, status, answer, want.status, result)
			}
		}
		if want.takenOverFrom == "" {
			continue
		}
		line := awaitLine(t, s.Core, from, name+" served", func(l stack.Line) bool {
			return l.Text("msg") == "sync.handled" && l.Text("system") == "azureDevOps"
		})
		if line.Number("item_id") != 30 || line.Text("outcome") != "forwarded" || line.Number("ticket_id") != float64(ticket) {
			t.Errorf("%s touched %v", name, line)
		}
		rest(t, s)
		if n := len(handled(s, from)); n != 2 {
			t.Errorf("%s was served in %d steps, want the work item's and the ticket's", name, n)
		}
		if !gatewaySaw(s, want.takenOverFrom) {
			t.Errorf("%s: the gateway tells of no event %s", name, want.takenOverFrom)
		}
	}
	for _, line := range handled(s, 0) {
		if id := line.Number("item_id"); id != 30 && id != float64(ticket) {
			t.Errorf("item %v was touched: %v", id, line)
		}
	}
	if n := writesOf(s); n != writes {
		t.Errorf("%d writes came of it, want none", n-writes)
	}
	counts := metrics(t, s.GatewayAdmin)
	for labels, want := range map[string]float64{`reason="test"`: 18, `reason="event_type"`: 24} {
		if got := sample(counts, "tandem_webhooks_ignored_total", `source="azure-devops"`, labels); got != want {
			t.Errorf("%v counted as ignored with %s, want %v", got, labels, want)
		}
	}
	// The mark in front of the stored ones is what a real one has; all kinds of encoding
	// marks are taken off.
	body, err := os.ReadFile(filepath.Join(dir, "ResourceVersion-1.0.json"))
	if err != nil {
		t.Fatal(err)
	}
	bare := strings.TrimPrefix(string(body), "\ufeff")
	for _, text := range []string{bare, "\ufeff" + bare} {
		if status, answer, _ := send(t, http.MethodPost, hookURL(s), text, genuine(t, s)); status != 202 || answer != `{"result":"duplicate"}` {
			t.Errorf("with or without a byte order mark: %d %s", status, answer)
		}
	}
}

func gatewaySaw(s *stack.Stack, eventID string) bool {
	for _, line := range s.Gateway.Lines() {
		if line.Text("msg") == "webhook.handled" && line.Text("event_id") == eventID {
			return true
		}
	}
	return false
}

// TestHookDoor tries every door with wrong keys and to wrong rooms.
func TestHookDoor(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{})
	key := func(purpose string) string {
		k, err := sandbox.HookKey(s.Secret, purpose)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	password, token := key("tandem/v1/hook/azure-devops"), key("tandem/v1/hook/alvao/"+stack.Connector)
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	event, origin := updated("0b6a2b59-1e3f-4c11-8f5a-000000000001", 1, 5), s.Box.ProjectURL()
	account := origin[:strings.LastIndex(origin, "/")+1]
	known := strings.Replace(event, `"resource":`, fmt.Sprintf(`"resourceContainers":{"account":{"baseUrl":%q},"project":{"id":%q}},"resource":`,
		account, projectID(t, s)), 1)
	foreign := strings.Replace(known, account, "https://dev.azure.com/fabrikam/", 1)
	for name, c := range map[string]struct {
		path, body string
		change     func(*http.Request)
		want       int
	}{
		"no credentials":                    {"/hooks/azure-devops/development", event, nil, 401},
		"wrong password":                    {"/hooks/azure-devops/development", event, basic("tandem", password[1:]), 401},
		"wrong user":                        {"/hooks/azure-devops/development", event, basic("admin", password), 401},
		"Alvao's token as password":         {"/hooks/azure-devops/development", event, basic("tandem", token), 401},
		"unknown connector":                 {"/hooks/azure-devops/nobody", event, basic("tandem", password), 404},
		"unknown origin":                    {"/hooks/azure-devops", foreign, basic("tandem", password), 404},
		"no origin":                         {"/hooks/azure-devops", event, basic("tandem", password), 400},
		"known origin":                      {"/hooks/azure-devops", known, basic("tandem", password), 202},
		"the old path, known origin":        {"/AlvaoRestApi/Connectors/DevOpsCallback", known, nil, 202},
		"the old path in any case":          {"/connectors/devopscallback", known, nil, 202},
		"the old path, unknown origin":      {"/Connectors/DevOpsCallback", foreign, nil, 404},
		"the old path, wrong password":      {"/Connectors/DevOpsCallback", known, basic("tandem", "x"), 401},
		"a token for Alvao":                 {"/hooks/alvao/development/" + token, `{"requestId":5,"personId":2}`, nil, 202},
		"a wrong token for Alvao":           {"/hooks/alvao/development/" + token[1:], `{"requestId":5,"personId":2}`, nil, 401},
		"another connector's token":         {"/hooks/alvao/nobody/" + token, `{"requestId":5,"personId":2}`, nil, 401},
		"an application without a seal":     {"/hooks/alvao/development", `{"ticketId":5}`, nil, 401},
		"no JSON":                           {"/hooks/azure-devops/development", `<event/>`, basic("tandem", password), 400},
		"JSON after JSON":                   {"/hooks/azure-devops/development", event + "{}", basic("tandem", password), 400},
		"too large":                         {"/hooks/azure-devops/development", event + strings.Repeat(" ", 5<<20), basic("tandem", password), 413},
		"not JSON by its type":              {"/hooks/azure-devops/development", event, func(r *http.Request) { basic("tandem", password)(r); r.Header.Set("Content-Type", "text/xml") }, 415},
		"an event of nothing in particular": {"/hooks/azure-devops/development", `{"eventType":"workitem.updated","resource":null}`, basic("tandem", password), 202},
	} {
		if status, answer, _ := send(t, http.MethodPost, s.GatewayURL+c.path, c.body, c.change); status != c.want {
			t.Errorf("%s: %d %s, want %d", name, status, answer, c.want)
		}
	}
	if status, _ := get(t, hookURL(s)); status != http.StatusMethodNotAllowed {
		t.Errorf("GET answers %d", status)
	}
}

// projectID is the GUID that the stand-in gave its project.
func projectID(t *testing.T, s *stack.Stack) string {
	t.Helper()
	for _, sub := range s.Box.AzureDevOps.Subscriptions() {
		if id := sub.PublisherInputs["projectId"]; id != "" {
			return id
		}
	}
	t.Fatal("no subscription names the project")
	return ""
}
