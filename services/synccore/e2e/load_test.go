//go:build e2e

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// post sends many hooks at once and counts the answers by their result.
func post(t *testing.T, s *stack.Stack, bodies []string) map[string]int {
	t.Helper()
	credentials := genuine(t, s)
	var (
		group  errgroup.Group
		mu     sync.Mutex
		counts = map[string]int{}
	)
	group.SetLimit(16)
	for _, body := range bodies {
		group.Go(func() error {
			status, answer, _ := send(t, http.MethodPost, hookURL(s), body, credentials)
			mu.Lock()
			defer mu.Unlock()
			counts[strconv.Itoa(status)+" "+answer]++
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return counts
}

// slow makes each reading of a ticket take a while, so that a burst falls into one
// reconcile even on a busy machine.
func slow(t *testing.T, s *stack.Stack) {
	t.Helper()
	if _, err := s.Box.Faults.Add(fault.Rule{ID: "slow", Method: "GET", Path: "/AlvaoRestApi/v1/tickets/*", Delay: fault.Duration(4 * time.Second)}); err != nil {
		t.Fatal(err)
	}
}

// reconciles counts how often a ticket was served.
func reconciles(s *stack.Stack, from int) int {
	n := 0
	for _, line := range handled(s, from) {
		if line.Text("system") == "alvao" {
			n++
		}
	}
	return n
}

// TestBurst: 200 events on one item while a reconcile runs cost that one and one more.
func TestBurst(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{Redis: redistest.Start(t).URL()})
	_, workItem := develop(t, s, "Much ado")
	rest(t, s)
	from, writes := len(s.Core.Lines()), writesOf(s)
	slow(t, s)
	var bodies []string
	for i := range 200 {
		bodies = append(bodies, updated("0b6a2b59-1e3f-4c11-8f5a-00000000000b", i+1, workItem))
	}
	began := time.Now()
	counts := post(t, s, bodies)
	took := time.Since(began)
	if counts[`202 {"result":"stored"}`] != 200 {
		t.Fatalf("the answers are %v, want 200 stored", counts)
	}
	await(t, patience, "a reconcile", func() (bool, string) { return reconciles(s, from) > 0, "none was finished" })
	rest(t, s)
	n := reconciles(s, from)
	t.Logf("200 events within %s caused %d reconciles", took.Round(time.Millisecond), n)
	if n > 2 {
		t.Errorf("%d reconciles, want at most 2", n)
	}
	if n := writesOf(s); n != writes {
		t.Errorf("%d writes, want none", n-writes)
	}
}

// TestDuplicates: one event that is delivered 200 times is served once.
func TestDuplicates(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{Redis: redistest.Start(t).URL()})
	_, workItem := develop(t, s, "Once is enough")
	rest(t, s)
	from := len(s.Core.Lines())
	bodies := make([]string, 200)
	for i := range bodies {
		bodies[i] = updated("0b6a2b59-1e3f-4c11-8f5a-00000000000d", 7, workItem)
	}
	counts := post(t, s, bodies)
	if counts[`202 {"result":"stored"}`] != 1 || counts[`202 {"result":"duplicate"}`] != 199 {
		t.Errorf("the answers are %v, want one stored and 199 duplicate", counts)
	}
	await(t, patience, "a reconcile", func() (bool, string) { return reconciles(s, from) > 0, "none was finished" })
	rest(t, s)
	if n := reconciles(s, from); n != 1 {
		t.Errorf("%d reconciles, want one", n)
	}
	// A restart forgets nothing of that.
	if err := s.Core.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.StartCore(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, patience, "the gateway reaches sync-core again", func() (bool, string) {
		status, body := get(t, s.GatewayAdmin+"/health/ready")
		return status == http.StatusOK, body
	})
	if counts := post(t, s, bodies[:3]); counts[`202 {"result":"duplicate"}`] != 3 {
		t.Errorf("after a restart the answers are %v, want duplicates", counts)
	}
}

// TestKillWhileCreating kills sync-core again and again while a thousand tickets enter
// Development at once. Alvao's webhooks are not repeated: what they told a dead process
// is found by polling.
func TestKillWhileCreating(t *testing.T) {
	t.Parallel()
	const tickets = 1000
	server := redistest.Start(t)
	s := start(t, stack.Options{
		Redis:     server.URL(),
		Connector: "    pollInterval: 2s\n",
		Sandbox:   sandbox.Options{AzureDevOps: azuredevops.Options{IndexLag: 200 * time.Millisecond}},
	})
	ids := make([]int, tickets)
	for i := range ids {
		ids[i] = open(t, s, fmt.Sprintf("Ticket %d of many", i+1))
	}
	var entering errgroup.Group
	entering.SetLimit(32)
	began := time.Now()
	for _, id := range ids {
		entering.Go(func() error { return s.Box.Alvao.SetStatus(t.Context(), alvao.Solver, id, "Development") })
	}
	kills := 0
	for after := rand.IntN(60); after < tickets*9/10; after += 40 + rand.IntN(120) {
		await(t, recovery, fmt.Sprintf("%d work items", after), func() (bool, string) {
			n := s.Box.AzureDevOps.Count()
			return n >= after, fmt.Sprintf("there are %d", n)
		})
		s.Core.Kill()
		kills++
		if err := s.StartCore(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := entering.Wait(); err != nil {
		t.Fatal(err)
	}
	last := time.Now()
	await(t, recovery, "all tickets have their work item", func() (bool, string) {
		n := 0
		for _, id := range ids {
			if pairOf(s, id) != 0 {
				n++
			}
		}
		return n == tickets, fmt.Sprintf("%d have one, there are %d work items", n, s.Box.AzureDevOps.Count())
	})
	rest(t, s)
	t.Logf("%d tickets, sync-core killed %d times: %s in all, %s after the last restart",
		tickets, kills, time.Since(began).Round(time.Millisecond), time.Since(last).Round(time.Millisecond))

	creates := 0
	for _, write := range s.Box.AzureDevOps.Writes() {
		if write.Kind == azuredevops.WriteCreate {
			creates++
		}
	}
	if n := s.Box.AzureDevOps.Count(); n != tickets || creates != tickets {
		t.Errorf("%d work items, %d were ever created; want %d", n, creates, tickets)
	}
	pairs := map[int64]int64{}
	for _, id := range ids {
		made := s.Box.AzureDevOps.Tagged("ALVAO-" + strconv.Itoa(id))
		if len(made) != 1 || made[0].ID != pairOf(s, id) {
			t.Fatalf("ticket %d carries %d; %d work items carry its tag", id, pairOf(s, id), len(made))
		}
		pairs[int64(id)] = int64(made[0].ID)
	}
	checkLinks(t, s, pairs)
}

// checkLinks reads all links, page by page, over gRPC.
func checkLinks(t *testing.T, s *stack.Stack, pairs map[int64]int64) {
	t.Helper()
	conn, err := grpc.NewClient(s.CoreAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	client := tandemv1.NewLinkServiceClient(conn)
	seen, pages := map[int64]bool{}, 0
	for token := ""; ; {
		page, err := client.ListLinks(t.Context(), &tandemv1.ListLinksRequest{Parent: "connectors/" + stack.Connector, PageSize: 170, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, link := range page.GetLinks() {
			id := link.GetTicketId()
			if seen[id] {
				t.Errorf("the link of ticket %d is listed twice", id)
			}
			seen[id] = true
			if pairs[id] != link.GetWorkItemId() || link.GetState() != tandemv1.Link_STATE_ACTIVE || link.GetAgreedStatus() != "Development" || link.GetAgreedState() != "To Do" {
				t.Errorf("ticket %d belongs to %d, its link is %v", id, pairs[id], link)
			}
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if len(seen) != len(pairs) || pages < len(pairs)/170 {
		t.Errorf("%d links on %d pages, want %d links", len(seen), pages, len(pairs))
	}
}

// TestGoroutines: what a load leaves behind is no goroutine.
func TestGoroutines(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{})
	// The first ones open the connections that stay.
	_, workItem := develop(t, s, "Warming up")
	var bodies []string
	var number atomic.Int64
	for range 400 {
		bodies = append(bodies, updated("0b6a2b59-1e3f-4c11-8f5a-0000000000aa", int(number.Add(1)), workItem))
	}
	post(t, s, bodies[:100])
	rest(t, s)
	count := func(admin string) float64 { return metrics(t, admin)["go_goroutines"] }
	gatewayBefore, coreBefore := count(s.GatewayAdmin), count(s.CoreAdmin)
	for range 10 {
		develop(t, s, "Again")
	}
	post(t, s, bodies[100:])
	rest(t, s)
	// Connections and the workers that wait on them come and go.
	const slack = 25
	await(t, patience, "the goroutines are those of before", func() (bool, string) {
		gatewayNow, coreNow := count(s.GatewayAdmin), count(s.CoreAdmin)
		return gatewayNow <= gatewayBefore+slack && coreNow <= coreBefore+slack,
			fmt.Sprintf("the gateway has %v (%v before), sync-core %v (%v)", gatewayNow, gatewayBefore, coreNow, coreBefore)
	})
}
