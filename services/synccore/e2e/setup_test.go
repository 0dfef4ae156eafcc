//go:build e2e

// Package e2e drives the real programs, with a real Redis and real webhooks, against
// both stand-in systems.
package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// bin is where TestMain puts the programs.
var bin string //nolint:gochecknoglobals // made once, read by all

func TestMain(m *testing.M) {
	if os.Getenv(bareEnv) != "" {
		os.Exit(m.Run())
	}
	dir, err := os.MkdirTemp("", "tandem-e2e-")
	if err == nil {
		bin = dir
		build := exec.CommandContext(context.Background(), "go", "build", "-o", dir+"/",
			"./services/gateway/cmd/gateway", "./services/synccore/cmd/synccore", "./services/sandbox/cmd/demo")
		build.Dir = filepath.Join("..", "..", "..")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	code := 1
	if err == nil {
		code = m.Run()
		if leaks := goleak.Find(goleak.IgnoreTopFunction("internal/poll.runtime_pollWait")); code == 0 && leaks != nil {
			_, _ = fmt.Fprintln(os.Stderr, leaks)
			code = 1
		}
	} else {
		_, _ = fmt.Fprintln(os.Stderr, "building the programs:", err)
	}
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// fast lets tests ask the stand-in Alvao as much as they like.
const fast = "      limit: {perSecond: 5000, concurrent: 64}\n"

// start brings a stack up for one test.
func start(t *testing.T, change ...func(*stack.Options)) *stack.Stack {
	t.Helper()
	o := stack.Options{
		Bin: bin, Dir: t.TempDir(), Alvao: fast, Connector: "    pollInterval: 1s\n",
		Sandbox: sandbox.Options{AzureDevOps: azuredevops.Options{Hooks: azuredevops.Hooks{RetryScale: 0.05}}},
	}
	for _, f := range change {
		f(&o)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := stack.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

// await waits until a condition holds; the condition says what is there instead.
func await(t *testing.T, within time.Duration, what string, met func() (bool, string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		ok, instead := met()
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not within %s: %s; instead %s", within, what, instead)
		case <-ticker.C:
		}
	}
}

func newTicket(t *testing.T, s *stack.Stack, status string) int {
	t.Helper()
	made, err := s.Box.Alvao.CreateTicket(t.Context(), alvao.Requester, alvao.NewTicket{
		Name: "Printer is on fire", Description: "<p>Smoke</p>", Service: sandbox.Service, Status: status,
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// workItemOf waits for the work item of a ticket.
func workItemOf(t *testing.T, s *stack.Stack, ticket int) int {
	t.Helper()
	var id int
	await(t, 30*time.Second, fmt.Sprintf("ticket %d has a work item", ticket), func() (bool, string) {
		made := s.Box.AzureDevOps.Tagged(fmt.Sprintf("ALVAO-%d", ticket))
		shown, _ := s.Box.Alvao.Ticket(ticket)
		if len(made) != 1 || fmt.Sprint(shown.Custom[alvao.ExternalIDColumn]) != fmt.Sprint(made[0].ID) {
			return false, fmt.Sprintf("%d work items, external id %v", len(made), shown.Custom[alvao.ExternalIDColumn])
		}
		id = made[0].ID
		return true, ""
	})
	return id
}

func awaitStatus(t *testing.T, s *stack.Stack, ticket int, want string, within time.Duration) {
	t.Helper()
	await(t, within, "the ticket is in "+want, func() (bool, string) {
		shown, _ := s.Box.Alvao.Ticket(ticket)
		return shown.Status == want, shown.Status
	})
}

func awaitState(t *testing.T, s *stack.Stack, workItem int, want string, within time.Duration) {
	t.Helper()
	await(t, within, "the work item is in "+want, func() (bool, string) {
		shown, _ := s.Box.AzureDevOps.WorkItem(workItem)
		return shown.State == want, shown.State
	})
}

// post sends a webhook as Azure DevOps does and returns the answer's status and body.
func post(t *testing.T, s *stack.Stack, path string, body []byte, header map[string]string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.GatewayURL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	if _, given := header["Authorization"]; !given {
		req.SetBasicAuth("tandem", hookPassword(t, s))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func hookPassword(t *testing.T, s *stack.Stack) string {
	t.Helper()
	password, err := sandbox.HookKey(s.Secret, "tandem/v1/hook/azure-devops")
	if err != nil {
		t.Fatal(err)
	}
	return password
}

// update is a change of a work item's state, as Azure DevOps tells it.
func update(subscription string, notification, workItem, rev int) []byte {
	return fmt.Appendf(nil, `{"subscriptionId":%q,"notificationId":%d,"id":"6872ee8c-b333-4eff-bfb9-0d5274943566","eventType":"workitem.updated",`+
		`"publisherId":"tfs","message":null,"resource":{"id":%d,"workItemId":%d,"rev":%d,"fields":{"System.State":{"oldValue":"To Do","newValue":"Doing"}}},`+
		`"resourceVersion":"1.0"}`, subscription, notification, notification+7, workItem, rev)
}

// get reads a JSON answer of the gateway's REST API.
func get(t *testing.T, s *stack.Stack, path string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.GatewayURL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		t.Fatalf("GET %s: %s %s", path, resp.Status, text)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
}

// handled are the log lines of served items that match.
func handled(s *stack.Stack, from int, match func(stack.Line) bool) []stack.Line {
	var found []stack.Line
	for _, line := range s.Core.Lines()[from:] {
		if line.Text("msg") == "sync.handled" && match(line) {
			found = append(found, line)
		}
	}
	return found
}

// scrape reads a program's metrics.
func scrape(t *testing.T, admin string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// metric adds up the samples of a scrape whose line begins like this.
func metric(text, prefix string) float64 {
	var sum float64
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, prefix) {
			var value float64
			if _, err := fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &value); err == nil {
				sum += value
			}
		}
	}
	return sum
}
