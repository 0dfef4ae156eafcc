//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

const (
	// patience is how long something may take that should take milliseconds: the
	// machine may be busy with the other tests.
	patience = 40 * time.Second
	// recovery is how long a system may take to be in step again after a kill.
	recovery = 90 * time.Second
	// developer is who works in Azure DevOps, and solves tickets in Alvao.
	developer = alvao.Solver
	// unbound lifts the bound on calls to Alvao, which the stand-in does not need.
	unbound = "      limit: {perSecond: 5000, concurrent: 32}\n"
)

// programs is the folder with gateway, synccore, tandemctl and demo, built once for a run.
var programs string

func TestMain(m *testing.M) {
	if os.Getenv(bareEnv) != "" {
		os.Exit(m.Run()) // the benchmark's bare handler needs no programs
	}
	dir, err := build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs = dir
	// A cable that was cut in the middle of a message leaves the rest of it waiting (toxiproxy 2.5).
	const toxiproxy = "github.com/Shopify/toxiproxy/v2"
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction(toxiproxy+"/toxics.(*ToxicStub).Run"), goleak.IgnoreAnyFunction(toxiproxy+".(*ToxicLink).read"),
		goleak.IgnoreAnyFunction(toxiproxy+".(*ToxicLink).write"), goleak.Cleanup(func(code int) {
			_ = os.RemoveAll(dir)
			os.Exit(code)
		}))
}

// build builds the programs, with the race detector if the tests have it.
func build() (string, error) {
	dir, err := os.MkdirTemp("", "tandem-e2e-")
	if err != nil {
		return "", err
	}
	args := []string{"build", "-buildvcs=false", "-o", dir + string(filepath.Separator)}
	if raceEnabled {
		args = append(args, "-race")
	}
	const module = "github.com/tandem-sync/tandem/services/"
	args = append(args, module+"gateway/cmd/gateway", module+"synccore/cmd/synccore", module+"synccore/cmd/tandemctl", module+"sandbox/cmd/demo")
	command := exec.Command("go", args...)
	if out, err := command.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		return "", fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	return dir, nil
}

// start brings a stack up. When the test ends, both programs must stop in peace, having
// met no data race and no panic.
func start(t *testing.T, o stack.Options) *stack.Stack {
	t.Helper()
	if o.Bin == "" {
		o.Bin = programs
	}
	o.Dir = t.TempDir()
	o.Alvao += unbound
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, err := stack.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("stopping: %v", err)
		}
		for _, p := range []*stack.Program{s.Gateway, s.Core} {
			inspect(t, p)
		}
	})
	return s
}

// inspect looks through a program's log for what must never be there, and shows its end
// if the test failed.
func inspect(t *testing.T, p *stack.Program) {
	t.Helper()
	log, err := os.ReadFile(p.File())
	if err != nil {
		t.Error(err)
		return
	}
	for _, sign := range []string{"DATA RACE", "goroutine 1 [", "panic"} {
		if at := bytes.Index(log, []byte(sign)); at >= 0 {
			t.Errorf("%s met a %q:\n%s", filepath.Base(p.File()), sign, log[at:min(len(log), at+6000)])
		}
	}
	if t.Failed() {
		lines := strings.Split(strings.TrimSpace(string(log)), "\n")
		t.Logf("the end of %s:\n%s", filepath.Base(p.File()), strings.Join(lines[max(0, len(lines)-25):], "\n"))
	}
}

// await waits until met holds, and fails with what is there instead.
func await(t *testing.T, within time.Duration, what string, met func() (ok bool, instead string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for {
		ok, instead := met()
		if ok {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within %s; %s", what, within, instead)
		case <-ticker.C:
		}
	}
}

// awaitLine waits for a line of a program's log, from a number of lines on.
func awaitLine(t *testing.T, p *stack.Program, from int, what string, match func(stack.Line) bool) stack.Line {
	t.Helper()
	var found stack.Line
	await(t, patience, what, func() (bool, string) {
		for _, line := range p.Lines()[from:] {
			if match(line) {
				found = line
				return true, ""
			}
		}
		return false, "there is no such log line"
	})
	return found
}

// handled are sync-core's log lines of served items, from a number of lines on.
func handled(s *stack.Stack, from int) []stack.Line {
	var lines []stack.Line
	for _, line := range s.Core.Lines()[from:] {
		if line.Text("msg") == "sync.handled" {
			lines = append(lines, line)
		}
	}
	return lines
}

// open makes a ticket in status New.
func open(t *testing.T, s *stack.Stack, title string) int {
	t.Helper()
	made, err := s.Box.Alvao.CreateTicket(t.Context(), alvao.Requester, alvao.NewTicket{
		Name: title, Description: "<p>Please look at this.</p>", Service: sandbox.Service, Requester: alvao.Requester, Solver: alvao.Solver,
	})
	if err != nil {
		t.Fatal(err)
	}
	return made.ID
}

// develop makes a ticket, brings it into Development and waits for its work item; it
// returns both numbers.
func develop(t *testing.T, s *stack.Stack, title string) (int, int) {
	t.Helper()
	ticket := open(t, s, title)
	setStatus(t, s, ticket, "Development")
	return ticket, awaitPair(t, s, ticket)
}

func setStatus(t *testing.T, s *stack.Stack, ticket int, status string) {
	t.Helper()
	if err := s.Box.Alvao.SetStatus(t.Context(), alvao.Solver, ticket, status); err != nil {
		t.Fatal(err)
	}
}

func setState(t *testing.T, s *stack.Stack, workItem int, state string) {
	t.Helper()
	if _, err := s.Box.AzureDevOps.As(developer).SetState(workItem, state); err != nil {
		t.Fatal(err)
	}
}

// awaitPair waits until a ticket has its one work item and carries its number.
func awaitPair(t *testing.T, s *stack.Stack, ticket int) int {
	t.Helper()
	var workItem int
	await(t, recovery, fmt.Sprintf("the work item of ticket %d", ticket), func() (bool, string) {
		workItem = pairOf(s, ticket)
		made := s.Box.AzureDevOps.Tagged("ALVAO-" + strconv.Itoa(ticket))
		return workItem != 0 && len(made) == 1 && made[0].ID == workItem,
			fmt.Sprintf("the ticket carries %d and %d work items carry its tag", workItem, len(made))
	})
	return workItem
}

// pairOf is the number in a ticket's external-id field; 0: none.
func pairOf(s *stack.Stack, ticket int) int {
	found, _ := s.Box.Alvao.Ticket(ticket)
	number, _ := strconv.Atoi(fmt.Sprint(found.Custom[alvao.ExternalIDColumn]))
	return number
}

func awaitStatus(t *testing.T, s *stack.Stack, ticket int, want string, within time.Duration) {
	t.Helper()
	await(t, within, fmt.Sprintf("ticket %d in %q", ticket, want), func() (bool, string) {
		found, _ := s.Box.Alvao.Ticket(ticket)
		return found.Status == want, "it is in " + found.Status
	})
}

func awaitState(t *testing.T, s *stack.Stack, workItem int, want string, within time.Duration) {
	t.Helper()
	await(t, within, fmt.Sprintf("work item %d in %q", workItem, want), func() (bool, string) {
		found, _ := s.Box.AzureDevOps.WorkItem(workItem)
		return found.State == want, "it is in " + found.State
	})
}

// rest waits until nothing is on its way or in the inbox and sync-core has served
// nothing for a while: the list alone may miss what moves in the inbox meanwhile.
func rest(t *testing.T, s *stack.Stack) {
	t.Helper()
	const still = 150 * time.Millisecond
	served, since := -1, time.Time{}
	await(t, recovery, "Tandem comes to rest", func() (bool, string) {
		now := time.Now()
		if n := len(handled(s, 0)); n != served {
			served, since = n, now
		}
		if now.Sub(since) < still {
			return false, "it is at work"
		}
		if n := s.Box.AzureDevOps.PendingDeliveries(); n > 0 {
			return false, fmt.Sprintf("%d webhooks are on their way", n)
		}
		status, body := get(t, s.GatewayURL+"/v1/connectors/"+stack.Connector+"/events")
		return status == http.StatusOK && strings.Contains(body, `"events":[]`), fmt.Sprintf("the inbox says %d %s", status, body)
	})
}

// get reads a URL and returns status and body; status 0 means that nobody answered.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	status, body, _ := send(t, http.MethodGet, url, "", nil)
	return status, body
}

// send makes a request and returns status, body and header of its answer; status 0
// means that nobody answered. What the API answers must be as its document says.
func send(t *testing.T, method, url, body string, change func(*http.Request)) (int, string, http.Header) {
	t.Helper()
	status, answer, header := exchange(t, method, url, body, change)
	wantDocumented(t, method, url, status, header, answer)
	return status, answer, header
}

// exchange is send to what need not be the API.
func exchange(t *testing.T, method, url, body string, change func(*http.Request)) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(req)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error(), nil
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error(), nil
	}
	return resp.StatusCode, string(content), resp.Header
}

// genuine puts the credentials of service hooks into a request.
func genuine(t *testing.T, s *stack.Stack) func(*http.Request) {
	t.Helper()
	password, err := sandbox.HookKey(s.Secret, "tandem/v1/hook/azure-devops")
	if err != nil {
		t.Fatal(err)
	}
	return func(r *http.Request) { r.SetBasicAuth("tandem", password) }
}

// hookURL is where the connector's service hooks are sent.
func hookURL(s *stack.Stack) string { return s.GatewayURL + "/hooks/azure-devops/" + stack.Connector }

// updated is a service hook event about a work item; its revision is newer than any.
func updated(subscription string, notification, workItem int) string {
	return fmt.Sprintf(`{"subscriptionId":%q,"notificationId":%d,"id":"6f1d3b3e-0b8a-4f5e-9a63-000000000000","eventType":"workitem.updated",
"resource":{"id":18,"workItemId":%d,"rev":1000000}}`, subscription, notification, workItem)
}

// writesOf counts what Tandem wrote into both systems.
func writesOf(s *stack.Stack) int {
	_, writes := s.Box.Alvao.WriteCounts()
	all := int(writes)
	for _, write := range s.Box.AzureDevOps.Writes() {
		if byTandem(write) {
			all++
		}
	}
	return all
}

// byTandem tells a write of Tandem's token from one of a person. Service hooks, which
// Tandem makes once, are left out.
func byTandem(w azuredevops.Write) bool {
	return w.REST && w.By == "tandem@contoso.com" && w.Kind != azuredevops.WriteSubscription
}

// metrics are the samples of a /metrics page by name with labels, and by name alone
// summed up.
func metrics(t *testing.T, admin string) map[string]float64 {
	t.Helper()
	status, body := get(t, admin+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("metrics answer %d", status)
	}
	samples := map[string]float64{}
	for line := range strings.Lines(body) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		if line == "" || line[0] == '#' || at < 0 {
			continue
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Fatalf("metrics: %q", line)
		}
		samples[line[:at]] += value
		if name, _, labelled := strings.Cut(line[:at], "{"); labelled {
			samples[name] += value
		}
	}
	return samples
}

// sample sums the samples of a metric that have all the labels, given as name="value".
func sample(samples map[string]float64, name string, labels ...string) float64 {
	sum := 0.0
next:
	for key, value := range samples {
		if !strings.HasPrefix(key, name+"{") {
			continue
		}
		for _, label := range labels {
			if !strings.Contains(key, label) {
				continue next
			}
		}
		sum += value
	}
	return sum
}
