//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// While Redis is away the edge says 503, which Azure DevOps repeats; what Alvao does
// not repeat is polled for. Nothing is lost and nobody has to help.
func TestRedisAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := start(t, func(o *stack.Options) { o.Redis = server.URL() })
	first, second := newTicket(t, s, "Development"), newTicket(t, s, "Development")
	item1, item2 := workItemOf(t, s, first), workItemOf(t, s, second)
	settle(t, s)

	server.Kill()
	if status, text := post(t, s, "/hooks/azure-devops/"+stack.Connector, update("3e7d6a4c-0f0b-4c61-9d7b-6a1f0f5c2b11", 1, item1, 9), nil); status != http.StatusServiceUnavailable {
		t.Errorf("with Redis away: answered %d %s", status, text)
	}
	if _, err := s.Box.AzureDevOps.As(alvao.Solver).SetState(item1, "Doing"); err != nil {
		t.Fatal(err)
	}
	if err := s.Box.Alvao.SetStatus(t.Context(), alvao.Solver, second, "Testing"); err != nil {
		t.Fatal(err)
	}
	await(t, 20*time.Second, "the hook was tried in vain", func() (bool, string) {
		for _, d := range s.Box.AzureDevOps.Deliveries() {
			if d.Status == http.StatusServiceUnavailable {
				return true, ""
			}
		}
		return false, "no delivery was answered 503"
	})
	server.Restart(t)
	back := time.Now()
	awaitStatus(t, s, first, "Development pending", time.Minute)
	awaitState(t, s, item2, "Done", time.Minute)
	t.Logf("in step %s after Redis was back", time.Since(back).Round(time.Millisecond))
	onlyAnswers(t, s, http.StatusAccepted, http.StatusServiceUnavailable)
}

// The same with sync-core away, ended in turns by SIGTERM and by SIGKILL.
func TestCoreAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	s := start(t, func(o *stack.Options) { o.Redis = server.URL() })
	first, second := newTicket(t, s, "Development"), newTicket(t, s, "Development")
	item1, item2 := workItemOf(t, s, first), workItemOf(t, s, second)
	settle(t, s)
	for i, end := range []func(){
		func() {
			if err := s.Core.Stop(); err != nil {
				t.Errorf("stopping sync-core: %v", err)
			}
		},
		s.Core.Kill,
	} {
		state, wantStatus := []string{"Doing", "Done"}[i], []string{"Development pending", "Testing"}[i]
		status, wantState := []string{"Testing", "Development"}[i], []string{"Done", "To Do"}[i]
		end()
		if got, text := post(t, s, "/hooks/azure-devops/"+stack.Connector, update("3e7d6a4c-0f0b-4c61-9d7b-6a1f0f5c2b11", 10+i, item1, 90+i), nil); got != http.StatusServiceUnavailable {
			t.Errorf("with sync-core away: answered %d %s", got, text)
		}
		if _, err := s.Box.AzureDevOps.As(alvao.Solver).SetState(item1, state); err != nil {
			t.Fatal(err)
		}
		if err := s.Box.Alvao.SetStatus(t.Context(), alvao.Solver, second, status); err != nil {
			t.Fatal(err)
		}
		if err := s.StartCore(t.Context()); err != nil {
			t.Fatal(err)
		}
		awaitStatus(t, s, first, wantStatus, time.Minute)
		awaitState(t, s, item2, wantState, time.Minute)
	}
	onlyAnswers(t, s, http.StatusAccepted, http.StatusServiceUnavailable)
}

// onlyAnswers checks what Azure DevOps was ever answered, and that it keeps its hooks.
func onlyAnswers(t *testing.T, s *stack.Stack, allowed ...int) {
	t.Helper()
	for _, d := range s.Box.AzureDevOps.Deliveries() {
		if d.Status != 0 && !slices.Contains(allowed, d.Status) {
			t.Errorf("a delivery was answered %d", d.Status)
		}
	}
	for _, sub := range s.Box.AzureDevOps.Subscriptions() {
		if sub.Status != "enabled" {
			t.Errorf("a subscription is %s", sub.Status)
		}
	}
}

// sync-core is killed again and again while a thousand tickets enter Development: in
// the end each has one work item and one link.
func TestKilledWhileCreating(t *testing.T) {
	t.Parallel()
	const tickets = 1000
	server := redistest.Start(t)
	s := start(t, func(o *stack.Options) { o.Redis = server.URL() })
	ids := make([]int, tickets)
	for i := range ids {
		ids[i] = newTicket(t, s, "New")
	}
	began := time.Now()
	var people sync.WaitGroup
	people.Go(func() {
		for _, id := range ids {
			if err := s.Box.Alvao.SetStatus(t.Context(), alvao.Solver, id, "Development"); err != nil {
				t.Error(err)
			}
		}
	})
	const seed = 4711
	chance := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // repeatable
	made := func() int { return s.Box.AzureDevOps.Count() }
	for kill := range 5 {
		at := min(tickets-1, made()+50+chance.IntN(120))
		await(t, 2*time.Minute, fmt.Sprintf("%d work items are made", at), func() (bool, string) { return made() >= at, strconv.Itoa(made()) })
		s.Core.Kill()
		t.Logf("kill %d at %d work items", kill+1, made())
		if err := s.StartCore(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	people.Wait()
	await(t, 3*time.Minute, "every ticket has its work item", func() (bool, string) {
		linked := 0
		for _, ticket := range s.Box.Alvao.Tickets() {
			if ticket.Custom[alvao.ExternalIDColumn] != nil && fmt.Sprint(ticket.Custom[alvao.ExternalIDColumn]) != "" {
				linked++
			}
		}
		return linked == tickets, fmt.Sprintf("%d tickets carry a number, %d work items exist", linked, made())
	})
	settle(t, s)
	t.Logf("%d tickets and 5 kills took %s (seed %d)", tickets, time.Since(began).Round(time.Millisecond), seed)
	if made() != tickets {
		t.Errorf("there are %d work items", made())
	}
	for _, id := range ids {
		if n := len(s.Box.AzureDevOps.Tagged("ALVAO-" + strconv.Itoa(id))); n != 1 {
			t.Errorf("ticket %d has %d work items", id, n)
		}
	}
	if n := countLinks(t, s); n != tickets {
		t.Errorf("there are %d links", n)
	}
}

// countLinks pages through all links.
func countLinks(t *testing.T, s *stack.Stack) int {
	t.Helper()
	seen := map[string]bool{}
	token := ""
	for {
		var page struct {
			Links []struct {
				Name       string      `json:"name"`
				WorkItemID json.Number `json:"workItemId"`
				State      string      `json:"state"`
			} `json:"links"`
			NextPageToken string `json:"nextPageToken"`
		}
		get(t, s, "/v1/connectors/"+stack.Connector+"/links?pageSize=300&pageToken="+token, &page)
		for _, link := range page.Links {
			if link.State != "STATE_ACTIVE" || link.WorkItemID == "0" || seen[link.Name] {
				t.Errorf("link %+v", link)
			}
			seen[link.Name] = true
		}
		if page.NextPageToken == "" {
			return len(seen)
		}
		token = page.NextPageToken
	}
}
