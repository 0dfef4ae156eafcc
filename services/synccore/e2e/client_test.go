//go:build e2e

package e2e_test

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// tool is a program of .tools, which make tools builds.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "..", ".bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make tools", err)
	}
	return path
}

// runIn runs a command in a folder that knows nothing of this workspace, and returns what
// it prints.
func runIn(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), name, args...)
	command.Dir = dir
	command.Env = append(append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod -buildvcs=false"), env...)
	var problems strings.Builder
	command.Stderr = &problems
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, problems.String())
	}
	return string(out)
}

// TestGeneratedClient: a generator from elsewhere makes a client of the document that the
// gateway serves, and a program that knows Tandem by it alone works against a stack as
// `make up` starts it.
func TestGeneratedClient(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{})
	ticket, workItem := develop(t, s, "For the portal")
	rest(t, s)
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum", "main.go"} {
		content, err := os.ReadFile(filepath.Join("testdata", "client", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status, served := get(t, s.GatewayURL+"/openapi.json")
	if status != http.StatusOK {
		t.Fatalf("the document is answered %d", status)
	}
	if err := os.Mkdir(filepath.Join(dir, "tandem"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "openapi.json"), []byte(served), 0o600); err != nil {
		t.Fatal(err)
	}
	runIn(t, dir, nil, tool(t, "oapi-codegen"), "-generate", "client,models", "-package", "tandem", "-o", "tandem/client.gen.go", "openapi.json")
	runIn(t, dir, nil, "go", "build", "-o", "portal", ".")
	got := runIn(t, dir, nil, filepath.Join(dir, "portal"), s.GatewayURL, strconv.Itoa(ticket))
	got = exampleResync.ReplaceAllString(got, "RESYNC")
	want := "connector connectors/development healthy true, asked as portal-1\n" +
		"link " + strconv.Itoa(ticket) + " with " + strconv.Itoa(workItem) + " is STATE_ACTIVE\n" +
		"previewed a Task called For the portal\n" +
		"resync connectors/development/resyncs/RESYNC\n" +
		"resync connectors/development/resyncs/RESYNC\n" +
		"watching from true\n" +
		"problem 404 Not Found: Ticket 999999 has no link in connector \"development\".\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the client tells (-want +got):\n%s", diff)
	}
}

// TestGrpcurl: a tool that knows nothing of Tandem finds its way by reflection, over TLS and
// with a token.
func TestGrpcurl(t *testing.T) {
	t.Parallel()
	s := overTLS(t)
	grpcurl := tool(t, "grpcurl")
	ask := func(args ...string) string {
		t.Helper()
		return runIn(t, t.TempDir(), nil, grpcurl, append([]string{"-cacert", s.Certificates.CA, "-H", "authorization: Bearer " + watcherToken}, args...)...)
	}
	listed := ask(s.CoreAddr, "list")
	for full, method := range methods() {
		service := string(method.Parent().FullName())
		if !strings.Contains(listed, service+"\n") {
			t.Errorf("%s is not listed:\n%s", service, listed)
		}
		if told := ask(s.CoreAddr, "describe", string(full)); !strings.Contains(told, string(method.Input().FullName())) {
			t.Errorf("%s is described as %s", full, told)
		}
	}
	if got := ask(s.CoreAddr, "tandem.v1.ConnectorService/ListConnectors"); !strings.Contains(got, `"name": "connectors/development"`) {
		t.Errorf("the connectors are %s", got)
	}
	// What is refused says so with everything that a program needs.
	command := exec.CommandContext(t.Context(), grpcurl, "-cacert", s.Certificates.CA, "-H", "authorization: Bearer "+watcherToken,
		"-d", `{"parent": "connectors/development", "page_size": -1, "filter": "x"}`, s.CoreAddr, "tandem.v1.LinkService/ListLinks")
	out, err := command.CombinedOutput()
	for _, want := range []string{"InvalidArgument", "INVALID_REQUEST", `"field": "page_size"`, `"field": "filter"`} {
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("a wrong request is answered %v %s, want %s", err, out, want)
		}
	}
	// Without TLS nothing is told, and without a token no more than health.
	if out, err := exec.CommandContext(t.Context(), grpcurl, "-plaintext", "-max-time", "5", s.CoreAddr, "list").CombinedOutput(); err == nil {
		t.Errorf("in the clear it lists %s", out)
	}
	if out, err := exec.CommandContext(t.Context(), grpcurl, "-cacert", s.Certificates.CA, s.CoreAddr, "list").CombinedOutput(); err == nil || !regexp.MustCompile(`Unauthenticated|credentials`).Match(out) {
		t.Errorf("without a token it answers %v %s", err, out)
	}
}
