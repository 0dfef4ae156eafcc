//go:build e2e

package e2e_test

import (
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// guide is the page that tells how to call the API, cut into its blocks of code.
type guide struct {
	// overTLS and madeUp define the words rpc and rest, examples are lines that use them.
	overTLS, madeUp string
	examples        []string
	// programs are whole programs in Go.
	programs []string
}

func readGuide(t *testing.T) guide {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "proto", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var g guide
	for _, block := range regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		switch {
		case block[1] == "go":
			g.programs = append(g.programs, block[2])
		case block[1] != "sh":
			t.Errorf("there is a block of %q, which nothing runs:\n%s", block[1], block[2])
		case strings.Contains(block[2], "rpc() {") && strings.Contains(block[2], "-cacert"):
			g.overTLS = block[2]
		case strings.Contains(block[2], "rpc() {"):
			g.madeUp = block[2]
		default:
			g.examples = append(g.examples, strings.Split(strings.TrimSpace(block[2]), "\n")...)
		}
	}
	if g.overTLS == "" || g.madeUp == "" || len(g.programs) == 0 {
		t.Fatalf("the guide says no longer how to set out: %+v", g)
	}
	return g
}

// TestGuideNamesEveryService: each service is called by grpcurl, by curl and from Go.
func TestGuideNamesEveryService(t *testing.T) {
	t.Parallel()
	g := readGuide(t)
	examples := strings.Join(g.examples, "\n")
	paths := map[string]string{"ConnectorService": `(?m)^rest \$REST$`, "LinkService": "rest .*/links", "EventService": "rest .*/events", "ResyncService": "rest .*/resyncs"}
	for full, method := range methods() {
		service := string(method.Parent().Name())
		if !strings.Contains(examples, "tandem.v1."+service+"/") {
			t.Errorf("grpcurl does not call %s", service)
		}
		if pattern := paths[service]; pattern == "" || !regexp.MustCompile(pattern).MatchString(examples) {
			t.Errorf("curl does not call %s", service)
		}
		if !strings.Contains(strings.Join(g.programs, "\n"), "tandemv1.New"+service+"Client(") {
			t.Errorf("Go does not call %s", service)
		}
		if text, err := os.ReadFile(filepath.Join("..", "..", "..", "proto", "README.md")); err != nil || !strings.Contains(string(text), "`"+string(method.Name())+"`") {
			t.Errorf("the table does not name %s: %v", full, err)
		}
	}
}

// TestGuideOverTLS runs every example of the guide as it stands there, but for the ports and
// for how long it watches.
func TestGuideOverTLS(t *testing.T) {
	t.Parallel()
	g, s := readGuide(t), overTLS(t)
	dir := withToken(t, s)
	g.run(t, s, dir, g.overTLS)
	for _, program := range g.programs {
		runGo(t, s, program)
	}
}

// TestGuideMadeUp runs them against what `make up` starts.
func TestGuideMadeUp(t *testing.T) {
	t.Parallel()
	g := readGuide(t)
	g.run(t, start(t, stack.Options{Connector: "    pollInterval: 1s\n"}), t.TempDir(), g.madeUp)
}

// withToken is a folder with what an administrator gave to the portal.
func withToken(t *testing.T, s *stack.Stack) string {
	t.Helper()
	dir := t.TempDir()
	authority, err := os.ReadFile(s.Certificates.CA)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"ca.pem": string(authority), "portal.token": rootToken + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// here puts the stack's ports into a text.
func here(t *testing.T, s *stack.Stack, text string) string {
	t.Helper()
	gateway, err := url.Parse(s.GatewayURL)
	if err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll(text, "max-time 5", "max-time 1") // a watch tells that it is alive at once
	text = strings.ReplaceAll(text, "localhost:8080", gateway.Host)
	return strings.ReplaceAll(text, "localhost:9000", s.CoreAddr)
}

// run runs the examples in their order, about a stack with one pair and one dead letter.
func (g guide) run(t *testing.T, s *stack.Stack, dir, words string) {
	t.Helper()
	ticket, workItem := develop(t, s, "Invoices are printed twice")
	if ticket != 1001 || workItem != 1 {
		t.Fatalf("the examples are about ticket 1001 and work item 1, not %d and %d", ticket, workItem)
	}
	if _, err := s.Box.Faults.Add(fault.Rule{ID: "no", Method: "POST", Path: "/azuredevops/**/workitems/$*", Kind: fault.KindStatus, Status: 400, Body: `{"message":"VS402625: planted"}`}); err != nil {
		t.Fatal(err)
	}
	setStatus(t, s, open(t, s, "Doomed"), "Development")
	bin := filepath.Dir(tool(t, "grpcurl"))
	shell := func(line string) (string, error) {
		command := exec.CommandContext(t.Context(), "bash", "-c", "set -euo pipefail\n"+here(t, s, words+line))
		command.Dir, command.Env = dir, append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"))
		out, err := command.CombinedOutput()
		return string(out), err
	}
	event, resync := "", ""
	await(t, recovery, "a dead letter", func() (bool, string) {
		out, err := shell("rest $REST/development/events?state=STATE_DEAD")
		event = regexp.MustCompile(`connectors/development/events/([^"]+)`).FindString(out)
		return event != "", out + " " + errorText(err)
	})
	for _, line := range g.examples {
		line, _, _ = strings.Cut(line, "  #")
		line = strings.ReplaceAll(exampleResync.ReplaceAllString(line, resync), "connectors/development/events/EVENT", event)
		line = strings.ReplaceAll(line, "events/EVENT", "events/"+filepath.Base(event))
		var out string
		await(t, recovery, line, func() (bool, string) {
			var err error
			out, err = shell(line)
			watching := strings.Contains(line, "atch") && strings.Contains(out, "resumeToken") // it is ended, not refused
			// The link may be held by a round for a moment.
			return (err == nil || watching) && !strings.Contains(out, `"reason":"LINK_CHANGED"`), out[:min(len(out), 600)] + " " + errorText(err)
		})
		if id := exampleResync.FindString(out); id != "" && resync == "" {
			resync = id
		}
		first, _, _ := strings.Cut(strings.TrimSpace(out), "\n")
		if strings.HasPrefix(line, "rest ") && (!json.Valid([]byte(first)) && !json.Valid([]byte(out)) || strings.Contains(out, `"type":"about:blank"`)) {
			t.Errorf("%s\nanswers %s", line, out)
		}
	}
	s.Box.Faults.Clear()
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// runGo compiles a program as somebody outside would and runs it.
func runGo(t *testing.T, s *stack.Stack, program string) {
	t.Helper()
	dir := withToken(t, s)
	gen, err := filepath.Abs(filepath.Join("..", "..", "..", "gen"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(gen, name))
		if err != nil {
			t.Fatal(err)
		}
		if name == "go.mod" {
			content = []byte(strings.Replace(string(content), "module github.com/tandem-sync/tandem/gen", "module example.com/report", 1) +
				"\nrequire github.com/tandem-sync/tandem/gen v0.0.0\nreplace github.com/tandem-sync/tandem/gen => " + gen + "\n")
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(here(t, s, program)), 0o600); err != nil {
		t.Fatal(err)
	}
	runIn(t, dir, nil, "go", "build", "-o", "report", ".")
	out := runIn(t, dir, nil, filepath.Join(dir, "report"))
	for _, want := range []string{"connectors/development healthy: true\n", "connectors/development/links/1001 with work item 1\n", "watching, to go on from", "dead letters: ", "resync: connectors/development/resyncs/", "there is no such link\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("the program prints %s, want %q", out, want)
		}
	}
}
