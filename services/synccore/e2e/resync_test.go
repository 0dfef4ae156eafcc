//go:build e2e

package e2e_test

import (
	"bytes"
	"errors"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// TestResyncCommand runs `synccore resync` as a scheduled job would, and looks at its
// exit code.
func TestResyncCommand(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{NoHooks: true, Connector: "    pollInterval: 1h\n    brake: {share: 1%, atLeast: 1}\n"})
	resync := func(what string, code int, says string, args ...string) {
		t.Helper()
		command := exec.CommandContext(t.Context(), filepath.Join(programs, "synccore"), append([]string{"resync", "--insecure-grpc", "--core", s.CoreAddr, "--timeout", "40s"}, args...)...)
		var out bytes.Buffer
		command.Stdout, command.Stderr = &out, &out
		err := command.Run()
		got := 0
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			got = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if got != code || !strings.Contains(out.String(), says) {
			t.Errorf("%s: exit code %d, want %d, and %q in:\n%s", what, got, code, says, out.String())
		}
		t.Logf("%s:\n%s", what, out.String())
	}
	awaitLine(t, s.Core, 0, "the first resync", func(l stack.Line) bool { return l.Text("msg") == "resync.done" })

	// Nothing tells of the ticket: there are no hooks, and the next poll is in an hour.
	ticket := open(t, s, "Nobody told")
	setStatus(t, s, ticket, "Development")
	resync("a new ticket", 0, "development: 0 links and 1 tickets compared within", "--connector", stack.Connector)
	workItem := awaitPair(t, s, ticket)
	rest(t, s)
	resync("nothing", 0, "1 links and 1 tickets compared")

	setStatus(t, s, ticket, "Testing")
	resync("a change beyond the brake", 3, "ReleaseConnector")
	if found, _ := s.Box.AzureDevOps.WorkItem(workItem); found.State != "To Do" {
		t.Errorf("the work item went to %s though the change waits", found.State)
	}
	resync("no connector", 1, "nobody", "--connector", "nobody")
	resync("no sync-core", 1, "Nothing listens at 127.0.0.1:1", "--core", "127.0.0.1:1", "--timeout", "20s")
	if _, err := s.Box.Faults.Add(fault.Rule{ID: "no", Method: http.MethodGet, Path: "/AlvaoRestApi/v1/tickets", Kind: fault.KindStatus, Status: http.StatusBadRequest}); err != nil {
		t.Fatal(err)
	}
	resync("Alvao refuses", 1, "broke off", "--connector", stack.Connector)
}
