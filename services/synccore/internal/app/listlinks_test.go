package app_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/app"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
)

// manyLinks is the number of links that TestListLinksOfMany ends with; 100,000 in the long
// form, which holds the 99th percentile against its promise as well.
var manyLinks = flag.Int64("many-links", 10_000, "how many links TestListLinksOfMany lists")

// pages are requests for pages of 100 links, as portals and people make them.
func pages() map[string]*tandemv1.ListLinksRequest {
	const parent = "connectors/development"
	return map[string]*tandemv1.ListLinksRequest{
		"by ticket":               {Parent: parent},
		"by ticket, backwards":    {Parent: parent, OrderBy: "ticket_id desc"},
		"by work item":            {Parent: parent, OrderBy: "work_item_id"},
		"by work item, backwards": {Parent: parent, OrderBy: "work_item_id desc"},
		"oldest first":            {Parent: parent, OrderBy: "update_time"},
		"newest first":            {Parent: parent, OrderBy: "update_time desc"},
		"parked, newest first":    {Parent: parent, Filter: "state = PARKED", OrderBy: "update_time desc"},
		"active, by work item":    {Parent: parent, Filter: "state = ACTIVE", OrderBy: "work_item_id"},
		"parked or gone":          {Parent: parent, Filter: "state = PARKED OR state = GONE"},
		"since, newest first":     {Parent: parent, Filter: `update_time >= "2026-03-01T00:05:00Z" AND update_time < "2026-03-01T00:15:00Z"`, OrderBy: "update_time desc"},
		"one ticket":              {Parent: parent, Filter: "ticket_id = 77"},
		"one work item":           {Parent: parent, Filter: "work_item_id = 78"},
		"names alone":             {Parent: parent, OrderBy: "update_time desc", ReadMask: &fieldmaskpb.FieldMask{Paths: []string{"name", "state"}}},
	}
}

// TestListLinksOfMany asks for pages over gRPC as it is served: TLS, a caller's token, the
// limit on callers, a real redis-server. What a page costs must not grow with the number of
// links, be it the first one or one from the middle.
func TestListLinksOfMany(t *testing.T) { //nolint:paralleltest // it measures
	server := redistest.Start(t)
	w := setup(t)
	certificates, err := stack.MakeCertificates(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	text := w.config(callers("  limit: {perSecond: 100000, burst: 1000000}\n"), "development")
	w.write(t, "tandem.yaml", strings.Replace(text, "callers: {anonymous: admin, limit: {perSecond: 10000, burst: 10000}}\n", "", 1))
	core := w.run(t, func(c *app.Config) {
		c.InsecureGRPC, c.Redis, c.LogLevel = false, server.URL(), "warn"
		c.TLS = transport.Files{Certificate: certificates.Core, Key: certificates.CoreKey, CA: certificates.CA}
	})
	links := tandemv1.NewLinkServiceClient(connect(t, core.Addr(), certificates, "", ""))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+adminToken)
	store, err := datastore.Open(t.Context(), datastore.Options{URL: server.URL(), KeyPrefix: "tandem:"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()

	first := min(1000, *manyLinks/10)
	small := map[string]time.Duration{}
	for size, filled := first, int64(0); ; size = min(size*10, *manyLinks) {
		fillLinks(t, store, "development", filled, size)
		filled = size
		for _, name := range slices.Sorted(maps.Keys(pages())) {
			took := measure(ctx, t, links, pages()[name])
			half, p99 := took[len(took)/2], took[len(took)*99/100]
			t.Logf("%7d links, %-24s half within %8s, 99%% within %8s", size, name, half.Round(time.Microsecond), p99.Round(time.Microsecond))
			if size == first {
				small[name] = half
				continue
			}
			// What grows with the links would be ten times as much, or a hundred times.
			if limit := 3*small[name] + 5*time.Millisecond; half > limit {
				t.Errorf("%s: of %d links a page takes %s, of %d %s", name, first, small[name], size, half)
			}
			if *manyLinks >= 100_000 && p99 > 20*time.Millisecond {
				t.Errorf("%s: of %d links one page in a hundred takes longer than %s", name, size, p99)
			}
		}
		if size == *manyLinks {
			return
		}
	}
}

// measure asks for pages, in turn the first one and the next ones of a walk over all links,
// and gives how long each took, in order.
func measure(ctx context.Context, t *testing.T, links tandemv1.LinkServiceClient, req *tandemv1.ListLinksRequest) []time.Duration {
	t.Helper()
	rounds := 60
	if *manyLinks >= 100_000 {
		rounds = 500
	}
	req.PageSize = 100
	next := ""
	took := make([]time.Duration, 0, rounds)
	for i := range rounds {
		if req.PageToken = ""; i%2 == 1 || i > rounds/2 {
			req.PageToken = next
		}
		began := time.Now()
		page, err := links.ListLinks(ctx, req)
		spent := time.Since(began)
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 { // the first question of all has the index compared with the links
			took = append(took, spent)
		}
		if n := len(page.GetLinks()); n == 0 && req.GetPageToken() == "" || n != 100 && page.GetNextPageToken() != "" {
			t.Fatalf("a page of %v has %d links", req, n)
		}
		if i == 0 || req.GetPageToken() != "" {
			next = page.GetNextPageToken()
		}
	}
	slices.Sort(took)
	return took
}

// fillLinks stores links as package link does, many at once, of the tickets behind from up
// to size.
func fillLinks(t *testing.T, store *datastore.Store, connector string, from, size int64) {
	t.Helper()
	const batch = 1000
	states := []item.LinkState{item.LinkActive, item.LinkActive, item.LinkParked, item.LinkActive, item.LinkActive, item.LinkGone, item.LinkCreating}
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	index := "links/" + connector
	chance := rand.New(rand.NewPCG(1, uint64(size)))
	for first := from + 1; first <= size; first += batch {
		pipe := store.Client().Pipeline()
		for n := first; n < first+batch && n <= size; n++ {
			one := item.Link{
				Connector: connector, Ticket: n, TicketURL: fmt.Sprintf("https://contoso.onalvao.com/AlvaoWebApp/Ticket/%d", n),
				WorkItem: n + 1, WorkItemURL: fmt.Sprintf("https://dev.azure.com/contoso/project/_workitems/edit/%d", n+1),
				State: states[n%int64(len(states))], Agreed: item.Pair{Status: "Development", State: "To Do"},
				Created: at, Updated: at.Add(time.Duration(chance.Int64N(1200_000_000)) * time.Microsecond),
			}
			if one.State == item.LinkParked {
				one.Reason = "Azure DevOps refuses the state Done: the field Custom.Root must not be empty; fill it in there."
			}
			text, err := json.Marshal(one)
			if err != nil {
				t.Fatal(err)
			}
			pipe.HSet(t.Context(), store.Key(lease.Tag(link.TicketKey(connector, n)), "link"), "v", "1", "w", one.WorkItem, "j", text, "c", "1")
			pipe.ZAdd(t.Context(), store.Key(index, "tickets"), redis.Z{Member: fmt.Sprintf("%019d:1", n)})
			pipe.HSet(t.Context(), store.Key(index, "workitems"), one.WorkItem, fmt.Sprintf("%d:1", n))
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// The next question compares the index with the links.
	if err := store.Client().Del(t.Context(), store.Key(index, "states-complete")).Err(); err != nil {
		t.Fatal(err)
	}
}
