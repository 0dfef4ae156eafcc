//go:build e2e

package e2e_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// TestSleepingProcess stops a sync-core (SIGSTOP) after it has made a work item and before
// it can remember that. Another one takes over when the lease has passed, finds the work
// item by its mark and adopts it. When the first goes on (SIGCONT), what it would remember
// is refused, and it makes nothing a second time.
func TestSleepingProcess(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{Redis: redistest.Start(t).URL(), Connector: "    pollInterval: 2s\n"})
	create := fault.Rule{ID: "slow", Method: "POST", Path: "/azuredevops/**/workitems/$*", ReplyDelay: fault.Duration(5 * time.Second)}
	if _, err := s.Box.Faults.Add(create); err != nil {
		t.Fatal(err)
	}
	ticket := open(t, s, "Made by a sleeper")
	setStatus(t, s, ticket, "Development")
	await(t, patience, "the work item is made", func() (bool, string) { return s.Box.AzureDevOps.Count() == 1, "there is none" })
	if err := s.Core.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	asleep := time.Now()
	defer func() { _ = s.Core.Signal(syscall.SIGCONT) }() // else it could not be told to end
	if pairOf(s, ticket) != 0 {
		t.Fatal("the ticket carries the work item's number already: it was stopped too late")
	}

	second, err := s.StartCoreBeside(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inspect(t, second)
	workItem := awaitPair(t, s, ticket)
	await(t, recovery, "the message crosses", func() (bool, string) {
		n := len(s.Box.AzureDevOps.Comments(workItem))
		return n == 1, fmt.Sprintf("there are %d comments", n)
	})
	adopted := 0
	await(t, patience, "the second one is done", func() (bool, string) {
		for _, line := range second.Lines() {
			if line.Text("msg") == "sync.handled" && line.Text("outcome") == "done" && strings.Contains(fmt.Sprint(line["steps"]), "post-message") {
				adopted++
			}
		}
		return adopted > 0, "it has not served the ticket"
	})
	writes := writesOf(s)
	t.Logf("adopted by the second one %s after the first was stopped", time.Since(asleep).Round(100*time.Millisecond))

	from := len(s.Core.Lines())
	if err := s.Core.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	line := awaitLine(t, s.Core, from, "the first one notices that it slept", func(l stack.Line) bool {
		return l.Text("msg") == "sync.handled" && int(l.Number("item_id")) == ticket && l.Text("outcome") != "done"
	})
	t.Logf("the first one says: %s, %s", line.Text("outcome"), line.Text("reason"))
	if kind := line.Text("kind"); kind != "conflict" {
		t.Errorf("it ended with %q (%s), want a conflict", kind, line.Text("error"))
	}
	// It works as before.
	setState(t, s, workItem, "Doing")
	awaitStatus(t, s, ticket, "Development pending", recovery)
	creates := 0
	for _, write := range s.Box.AzureDevOps.Writes() {
		if write.Kind == azuredevops.WriteCreate {
			creates++
		}
	}
	if n := writesOf(s); creates != 1 || n != writes+1 {
		t.Errorf("%d work items were made, and Tandem wrote %d times after the first one woke; want 1 and once, for the new state", creates, n-writes)
	}
}
