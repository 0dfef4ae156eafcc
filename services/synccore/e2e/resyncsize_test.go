//go:build e2e

package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
)

// resyncPairs is how many linked pairs are resynced; `make resync-large` asks for 100,000.
var resyncPairs = flag.Int("resync-pairs", 2_000, "how many linked pairs TestResyncOfManyPairs resyncs")

// mostOfResync is how much memory sync-core may take, in bytes.
const mostOfResync = 150 << 20

// pairs makes so many tickets and work items that are in step, and their links as a
// round would have left them.
func pairs(t *testing.T, s *stack.Stack, redis string, n int) {
	t.Helper()
	store, err := datastore.Open(t.Context(), datastore.Options{URL: redis})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	links, leases := link.New(store), lease.New(store)
	put := func(ctx context.Context, l item.Link) error {
		held, err := leases.Acquire(ctx, link.TicketKey(stack.Connector, l.Ticket), time.Minute)
		if err != nil {
			return err
		}
		if _, err := links.Put(ctx, held, l); err != nil {
			return err
		}
		return leases.Release(ctx, held)
	}
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(16)
	for i := range n {
		workItem, err := s.Box.AzureDevOps.As(developer).Create(sandbox.Project, "Task", "Pair "+strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
		ticket, err := s.Box.Alvao.CreateTicket(ctx, alvao.Requester, alvao.NewTicket{
			Name: "Pair " + strconv.Itoa(i), Service: sandbox.Service, Status: "Development", Custom: map[string]any{alvao.ExternalIDColumn: strconv.Itoa(workItem.ID)},
		})
		if err != nil {
			t.Fatal(err)
		}
		group.Go(func() error {
			return put(ctx, item.Link{
				Connector: stack.Connector, Ticket: int64(ticket.ID), WorkItem: int64(workItem.ID), State: item.LinkActive,
				Agreed: item.Pair{Status: "Development", State: workItem.State}, SeenRev: int64(workItem.Rev), TalkRev: int64(workItem.Rev),
				TalkSeen: time.Now().Add(time.Hour), Created: time.Now(),
			})
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// peak is the most memory that a process ever took; 0 where the system does not tell.
func peak(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(value)[0])
			return kib << 10
		}
	}
	return 0
}

// calls counts the requests that a sync-core has sent to Azure DevOps, those of all methods
// or of one alone.
func calls(t *testing.T, s *stack.Stack, method string) int {
	t.Helper()
	n := 0.0
	for name, value := range metrics(t, s.CoreAdmin) {
		if strings.HasPrefix(name, "http_client_request_duration_seconds_count{") && strings.Contains(name, `tandem_system="azureDevOps"`) &&
			strings.Contains(name, `http_request_method="`+method) {
			n += value
		}
	}
	return int(n)
}

// TestResyncOfManyPairs: a resync of pairs that are all in step costs one call of Azure
// DevOps for 200 of them, no write and little memory; one whose process is killed in the
// middle is gone on with, not begun anew. The links are put into Redis as a round would
// have left them; all else is real.
func TestResyncOfManyPairs(t *testing.T) { //nolint:paralleltest // it measures memory and calls
	redis := redistest.Start(t)
	s := start(t, stack.Options{Redis: redis.URL(), NoHooks: true, Connector: "    pollInterval: 1h\n"})
	awaitLine(t, s.Core, 0, "the first resync", func(l stack.Line) bool { return l.Text("msg") == "resync.done" })
	n := *resyncPairs
	began := time.Now()
	pairs(t, s, redis.URL(), n)
	t.Logf("%d pairs made within %s", n, time.Since(began).Round(time.Millisecond))
	conn, err := grpc.NewClient(s.CoreAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	client := tandemv1.NewResyncServiceClient(conn)
	begin := func() string {
		started, err := client.StartResync(t.Context(), &tandemv1.StartResyncRequest{Parent: "connectors/" + stack.Connector})
		if err != nil {
			t.Fatal(err)
		}
		return started.GetResync().GetName()
	}
	seen := int32(0)
	// until waits for a resync and holds that its progress only grows.
	until := func(id string, met func(*tandemv1.Resync) bool) *tandemv1.Resync {
		t.Helper()
		var latest *tandemv1.Resync
		await(t, patience+time.Duration(n)*time.Millisecond*5, "the resync", func() (bool, string) {
			got, err := client.GetResync(t.Context(), &tandemv1.GetResyncRequest{Name: id}, grpc.WaitForReady(true))
			if err != nil {
				return false, err.Error()
			}
			latest = got.GetResync()
			if latest.GetSeenCount() < seen {
				t.Errorf("the progress went back from %d to %v", seen, latest)
			}
			seen = latest.GetSeenCount()
			return met(latest), latest.String()
		})
		return latest
	}
	check := func(r *tandemv1.Resync) {
		t.Helper()
		if r.GetState() != tandemv1.Resync_STATE_SUCCEEDED || int(r.GetLinkCount()) != n || int(r.GetTicketCount()) != n ||
			r.GetSeenCount() != r.GetExpectedCount() || r.GetDriftedCount() != 0 || r.GetDifferingCount() != 0 {
			t.Errorf("it tells %v", r)
		}
	}
	writes, before := writesOf(s), calls(t, s, "")
	began = time.Now()
	check(until(begin(), func(r *tandemv1.Resync) bool { return r.GetEndTime() != nil }))
	took, cost := time.Since(began), calls(t, s, "")-before
	t.Logf("%d pairs: %d calls of Azure DevOps, %d writes, %s, at most %d MiB", n, cost, writesOf(s)-writes, took.Round(time.Millisecond), peak(t, s.Core.PID())>>20)
	if cost > (n+199)/200 {
		t.Errorf("%d calls of Azure DevOps, want at most one for 200 links", cost)
	}
	if more := writesOf(s) - writes; more != 0 {
		t.Errorf("%d writes", more)
	}
	if took := peak(t, s.Core.PID()); !raceEnabled && took > mostOfResync {
		t.Errorf("sync-core took %d MiB", took>>20)
	}

	// Killed in the middle, the next process goes on where it was. Each page takes a while,
	// so that there is a middle.
	pause := fault.Duration(4 * time.Second / time.Duration(n/200+1))
	if _, err := s.Box.Faults.Add(fault.Rule{ID: "slow", Method: http.MethodPost, Path: "/azuredevops/*/_apis/wit/workitemsbatch", Delay: pause}); err != nil {
		t.Fatal(err)
	}
	seen = 0
	id := begin()
	half := until(id, func(r *tandemv1.Resync) bool { return int(r.GetSeenCount()) >= n/2 })
	s.Core.Kill()
	if half.GetState() != tandemv1.Resync_STATE_RUNNING {
		t.Fatalf("it was over before it could be killed: %v", half)
	}
	if err := s.StartCore(t.Context()); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	end := until(id, func(r *tandemv1.Resync) bool { return r.GetEndTime() != nil })
	check(end)
	// Batches of work items are read by POST, and what else begins at the start by GET.
	left, batches := n-int(half.GetLinkCount()), calls(t, s, http.MethodPost)
	t.Logf("killed at %d of %d, resumed %d times: %d further calls, %s to the end (of which up to 45 s for the turn), at most %d MiB",
		half.GetSeenCount(), 2*n, end.GetResumedCount(), batches, time.Since(began).Round(time.Millisecond), peak(t, s.Core.PID())>>20)
	// The page in hand may have been read twice.
	if most := left/200 + 2; end.GetResumedCount() != 1 || batches > most {
		t.Errorf("resumed %d times with %d calls, want once with at most %d", end.GetResumedCount(), batches, most)
	}
	if more := writesOf(s) - writes; more != 0 {
		t.Errorf("%d writes", more)
	}
	if took := peak(t, s.Core.PID()); !raceEnabled && took > mostOfResync {
		t.Errorf("sync-core took %d MiB", took>>20)
	}
}
