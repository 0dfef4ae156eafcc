//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// groups are the kinds of Redis that can lose a server.
func groups() map[string]func(*testing.T) redistest.Group {
	const silence = 2 * time.Second
	return map[string]func(*testing.T) redistest.Group{
		"sentinel": func(t *testing.T) redistest.Group { t.Helper(); return redistest.StartPair(t, silence) },
		"cluster":  func(t *testing.T) redistest.Group { t.Helper(); return redistest.StartCluster(t, 1, silence) },
	}
}

// TestDemoOnGroups: the whole story over a cluster and over a pair behind sentinels.
func TestDemoOnGroups(t *testing.T) {
	t.Parallel()
	for name, start := range groups() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, errs, err := demo(t, "--redis", start(t).URL(), "--patience", patience.String())
			if err != nil || !strings.Contains(out, "All 8 steps held") {
				t.Fatalf("%v\n%s\n%s", err, out, errs)
			}
		})
	}
}

// TestFailOver: the primary of the inbox dies under a burst, its replica having lagged, while
// people work on both sides and work items are being made: Azure DevOps has made them, and
// answers while nobody is the primary, or before or after. There is exactly one for each ticket. Hooks are answered 202 or 503, and everything arrives without a
// poll: what was acknowledged is served, what was refused is repeated by Azure DevOps.
func TestFailOver(t *testing.T) {
	t.Parallel()
	for name, begin := range groups() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			group := begin(t)
			s := start(t, stack.Options{
				Redis:     group.URL(),
				Connector: "    pollInterval: 1h\n",
				Sandbox:   sandbox.Options{AzureDevOps: azuredevops.Options{Hooks: azuredevops.Hooks{RetryScale: 0.1}}},
			})
			const pairs = 6
			tickets, workItems := make([]int, pairs), make([]int, pairs)
			for i := range pairs {
				tickets[i], workItems[i] = develop(t, s, fmt.Sprintf("Pair %d", i+1))
			}
			rest(t, s)
			from := len(s.Box.AzureDevOps.Deliveries())
			primary, replica := group.Now(t)
			late := createSlowly(t, s, pairs)

			setState(t, s, workItems[0], "Doing")
			awaitStatus(t, s, tickets[0], "Development pending", patience)
			replica.Pause(t)
			for i := 1; i < pairs/2; i++ { // while no replica confirms
				setState(t, s, workItems[i], "Doing")
			}
			await(t, patience, "a delivery is refused for want of a replica", func() (bool, string) {
				for _, d := range s.Box.AzureDevOps.Deliveries()[from:] {
					if d.Status == http.StatusServiceUnavailable {
						return true, ""
					}
				}
				return false, "none is"
			})
			inFlight := slices.DeleteFunc(slices.Clone(late), func(ticket int) bool { return pairOf(s, ticket) != 0 })
			primary.Kill()
			replica.Resume(t)
			began := time.Now()
			for i := pairs / 2; i < pairs; i++ { // while nobody is the primary
				setState(t, s, workItems[i], "Doing")
			}
			credentials := genuine(t, s)
			number := 0
			await(t, recovery, "hooks are taken again", func() (bool, string) {
				number++
				status, answer, _ := send(t, http.MethodPost, hookURL(s), updated("0b6a2b59-1e3f-4c11-8f5a-0000000000f0", number, workItems[0]), credentials)
				if status != http.StatusAccepted && status != http.StatusServiceUnavailable {
					t.Errorf("a hook is answered %d %s", status, answer)
				}
				return status == http.StatusAccepted && group.Elsewhere(t, primary), fmt.Sprintf("it is answered %d %s", status, answer)
			})
			if took := time.Since(began); took > 15*time.Second {
				t.Errorf("nothing was taken for %s, want at most 15 s", took)
			} else {
				t.Logf("hooks were taken again after %s; the making of %d work items was not answered when the primary died", took.Round(time.Millisecond), len(inFlight))
			}
			for _, ticket := range tickets {
				awaitStatus(t, s, ticket, "Development pending", recovery)
			}
			for _, ticket := range late {
				workItem := awaitPair(t, s, ticket)
				await(t, recovery, fmt.Sprintf("the first message of ticket %d", ticket), func() (bool, string) {
					n := len(s.Box.AzureDevOps.Comments(workItem))
					return n == 1, fmt.Sprintf("there are %d", n)
				})
			}
			rest(t, s)
			for _, d := range s.Box.AzureDevOps.Deliveries() {
				if d.Status != http.StatusAccepted && d.Status != http.StatusServiceUnavailable {
					t.Errorf("a delivery was answered %d %s", d.Status, d.Error)
				}
			}
			if n, want := s.Box.AzureDevOps.Count(), pairs+len(late); n != want {
				t.Errorf("there are %d work items, want %d", n, want)
			}
			if len(inFlight) == 0 {
				t.Error("no making of a work item was under way")
			}
			// Creating takes three writes each, with the first message, and moving one.
			if n, want := writesOf(s), 4*pairs+3*len(late); n != want {
				t.Errorf("Tandem wrote %d times, want %d", n, want)
			}
		})
	}
}

// createSlowly has work items made one after the other whose making is answered seconds
// later, and returns their tickets when Azure DevOps has made them all, there having been so
// many before.
func createSlowly(t *testing.T, s *stack.Stack, before int) []int {
	t.Helper()
	const many, apart, late = 4, time.Second, 8 * time.Second
	// The same path is asked first whether it would be made (validateOnly), which is as slow.
	_, err := s.Box.Faults.Add(fault.Rule{Method: http.MethodPost, Path: "/azuredevops/**/workitems/$*", ReplyDelay: fault.Duration(late)})
	if err != nil {
		t.Fatal(err)
	}
	tickets := make([]int, many)
	for i := range tickets {
		tickets[i] = open(t, s, fmt.Sprintf("Made slowly %d", i+1))
		setStatus(t, s, tickets[i], "Development")
		time.Sleep(apart) //nolint:forbidigo // the answers are to come one after the other
	}
	await(t, patience, "the work items are made", func() (bool, string) {
		n := s.Box.AzureDevOps.Count()
		return n == before+many, fmt.Sprintf("there are %d work items", n)
	})
	for _, ticket := range tickets {
		if n := pairOf(s, ticket); n != 0 {
			t.Fatalf("ticket %d carries the number %d already: the answer was not slow enough", ticket, n)
		}
	}
	return tickets
}
