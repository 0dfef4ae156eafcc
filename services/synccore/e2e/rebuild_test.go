//go:build e2e

package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// command runs synccore with arguments and gives its exit code and what it printed.
func command(t *testing.T, args ...string) (int, string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), filepath.Join(programs, "synccore"), args...)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode(), out.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, out.String()
}

// TestRebuildLinks empties Redis under the running programs and has the links made anew:
// nothing is made twice, and the sync goes on.
func TestRebuildLinks(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	s := start(t, stack.Options{Redis: redis.URL(), Connector: "    pollInterval: 5s\n"})
	type pair struct{ ticket, workItem int }
	var pairs []pair
	for i := range 3 {
		ticket, workItem := develop(t, s, fmt.Sprintf("Pair %d", i))
		pairs = append(pairs, pair{ticket, workItem})
		if _, err := s.Box.Alvao.AddMessage(t.Context(), alvao.Solver, ticket, alvao.Message{
			Subject: "News", HTML: "<p>Look at the file.</p>", Attachments: []alvao.NewAttachment{{Name: "log.txt", ContentType: "text/plain", Content: []byte("x")}},
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Box.AzureDevOps.As(developer).Comment(workItem, "On it.", "html"); err != nil {
			t.Fatal(err)
		}
	}
	shape := func() string {
		var all []string
		for _, p := range pairs {
			shown, _ := s.Box.AzureDevOps.WorkItem(p.workItem)
			all = append(all, fmt.Sprintf("%d: %d work items, %d comments, %d files, %d records", p.ticket,
				len(s.Box.AzureDevOps.Tagged(fmt.Sprintf("ALVAO-%d", p.ticket))), len(s.Box.AzureDevOps.Comments(p.workItem)),
				len(shown.Relations), len(s.Box.Alvao.Records(p.ticket))))
		}
		return strings.Join(all, "\n")
	}
	await(t, recovery, "everything to have crossed", func() (bool, string) {
		for _, p := range pairs {
			if len(attachedTo(s, p.workItem, "log.txt")) != 1 || len(s.Box.AzureDevOps.Comments(p.workItem)) < 2 || len(s.Box.Alvao.Records(p.ticket)) < 3 {
				return false, shape()
			}
		}
		return true, ""
	})
	rest(t, s)
	before, writes := shape(), writesOf(s)

	redis.Must(t, "FLUSHALL")
	args := []string{"rebuild-links", "--connector", stack.Connector, "--config", s.ConfigFile, "--redis", redis.URL()}
	code, out := command(t, append(args, "--dry-run")...)
	t.Logf("dry run:\n%s", out)
	if code != 0 || strings.Count(out, "would be linked; in step") != len(pairs) || !strings.Contains(out, "3 pairs would be linked with 0 writes") {
		t.Errorf("the dry run exits with %d", code)
	}
	code, out = command(t, args...)
	t.Logf("rebuilding:\n%s", out)
	if code != 0 || !strings.Contains(out, "0 could not be looked at") {
		t.Errorf("rebuilding exits with %d", code)
	}
	code, out = command(t, args...)
	if code != 0 || !strings.Contains(out, "3 were linked already") {
		t.Errorf("rebuilding once more exits with %d:\n%s", code, out)
	}
	rest(t, s)
	if after := shape(); after != before || writesOf(s) != writes {
		t.Errorf("%d writes; before\n%s\nand after\n%s", writesOf(s)-writes, before, after)
	}

	// The sync goes on, both ways.
	setState(t, s, pairs[0].workItem, "Doing")
	awaitStatus(t, s, pairs[0].ticket, "Development pending", recovery)
	setStatus(t, s, pairs[1].ticket, "Testing")
	await(t, recovery, "the work item to be done", func() (bool, string) {
		shown, _ := s.Box.AzureDevOps.WorkItem(pairs[1].workItem)
		return shown.State == "Done", "it is in " + shown.State
	})
	develop(t, s, "A new one")
	rest(t, s)
	writes = writesOf(s)
	if code, out := command(t, "resync", "--insecure-grpc", "--core", s.CoreAddr, "--timeout", "60s"); code != 0 {
		t.Errorf("a resync exits with %d:\n%s", code, out)
	}
	rest(t, s)
	if n := writesOf(s) - writes; n != 0 {
		t.Errorf("a further resync wrote %d times", n)
	}
}

// TestDriftCommand shows what differs while the sync is held back, and repairs it both
// ways.
func TestDriftCommand(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{NoHooks: true, Connector: "    pollInterval: 1h\n"})
	awaitLine(t, s.Core, 0, "the first resync", func(l stack.Line) bool { return l.Text("msg") == "resync.done" })
	tickets := []int{open(t, s, "First"), open(t, s, "Second")}
	for _, ticket := range tickets {
		setStatus(t, s, ticket, "Development")
	}
	if code, out := command(t, "resync", "--insecure-grpc", "--core", s.CoreAddr); code != 0 {
		t.Fatalf("a resync exits with %d:\n%s", code, out)
	}
	workItems := []int{awaitPair(t, s, tickets[0]), awaitPair(t, s, tickets[1])}
	rest(t, s)
	drift := func(what string, code int, says string, args ...string) {
		t.Helper()
		got, out := command(t, append([]string{"drift", "--insecure-grpc", "--core", s.CoreAddr, "--connector", stack.Connector}, args...)...)
		t.Logf("%s:\n%s", what, out)
		if got != code || !strings.Contains(out, says) {
			t.Errorf("%s: exit code %d, want %d, and %q", what, got, code, says)
		}
	}
	// Nothing tells of these: there are no hooks, and the next poll is in an hour.
	setState(t, s, workItems[0], "Done")
	setStatus(t, s, tickets[1], "Testing")
	writes := writesOf(s)
	drift("two differ", 4, "the ticket went there from")
	if n := writesOf(s) - writes; n != 0 {
		t.Errorf("looking wrote %d times", n)
	}
	drift("the ticket wins", 0, "repaired", "--ticket", strconv.Itoa(tickets[0]), "--repair", "alvao")
	if shown, _ := s.Box.AzureDevOps.WorkItem(workItems[0]); shown.State != "To Do" {
		t.Errorf("the work item is in %s", shown.State)
	}
	drift("the work item wins", 0, "repaired", "--repair", "azure-devops")
	if shown, _ := s.Box.Alvao.Ticket(tickets[1]); shown.Status != "Development" {
		t.Errorf("the ticket is in %s", shown.Status)
	}
}
