package link_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
)

// BenchmarkQuery reads pages of 100 links, with a filter and an order, of more and more
// links: the time and the 99th percentile must not grow with them.
func BenchmarkQuery(b *testing.B) {
	const page = 100
	server := redistest.Start(b)
	store := server.Open(b)
	links := link.New(store)
	for _, size := range []int64{1_000, 10_000, 100_000} {
		connector := fmt.Sprintf("of%d", size)
		fill(b, store, connector, size)
		// The first question of all has the index compared with the links.
		if _, _, err := links.Query(b.Context(), connector, link.Query{Descending: true}, page, ""); err != nil {
			b.Fatal(err)
		}
		for name, q := range map[string]link.Query{
			"parked-newest-first": {States: []item.LinkState{item.LinkParked}, Order: link.ByUpdate, Descending: true},
			"all-newest-first":    {Order: link.ByUpdate, Descending: true},
			"active-by-work-item": {States: []item.LinkState{item.LinkActive}, Order: link.ByWorkItem},
			"by-ticket":           {},
		} {
			b.Run(fmt.Sprintf("%s/links=%d", name, size), func(b *testing.B) {
				took := make([]time.Duration, 0, b.N)
				token := ""
				for b.Loop() {
					begun := time.Now()
					found, next, err := links.Query(b.Context(), connector, q, page, token)
					took = append(took, time.Since(begun))
					if err != nil || next != "" && len(found) != page {
						b.Fatalf("%d links, %v", len(found), err)
					}
					token = next
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			})
		}
	}
}

// fill stores links as Put does, many at once.
func fill(tb testing.TB, store *datastore.Store, connector string, size int64) {
	tb.Helper()
	const batch = 1000
	states := []item.LinkState{item.LinkActive, item.LinkActive, item.LinkActive, item.LinkParked}
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	index := "links/" + connector
	for first := int64(1); first <= size; first += batch {
		pipe := store.Client().Pipeline()
		for n := first; n < first+batch && n <= size; n++ {
			one := item.Link{
				Connector: connector, Ticket: n, TicketURL: "https://contoso.onalvao.com/AlvaoWebApp/Ticket/1", WorkItem: 7*n%size + 1,
				WorkItemURL: "https://dev.azure.com/contoso/project/_workitems/edit/1", State: states[n%4], Agreed: item.Pair{Status: "Development", State: "To Do"},
				Created: at, Updated: at.Add(time.Duration(n*7919%size) * time.Second),
			}
			text, err := json.Marshal(one)
			if err != nil {
				tb.Fatal(err)
			}
			pipe.HSet(tb.Context(), store.Key(lease.Tag(link.TicketKey(connector, n)), "link"), "v", "1", "w", one.WorkItem, "j", text, "c", "1")
			pipe.ZAdd(tb.Context(), store.Key(index, "tickets"), redis.Z{Member: fmt.Sprintf("%019d:1", n)})
		}
		if _, err := pipe.Exec(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
}

// effort is a go-redis hook that counts what Redis is asked for and how many entries it
// gives.
type effort struct{ commands, entries int }

// DialHook implements redis.Hook.
func (e *effort) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (e *effort) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		e.count(cmd)
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (e *effort) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, all []redis.Cmder) error {
		err := next(ctx, all)
		for _, cmd := range all {
			e.count(cmd)
		}
		return err
	}
}

func (e *effort) count(cmd redis.Cmder) {
	e.commands++
	switch answer := cmd.(type) {
	case *redis.ZSliceCmd:
		e.entries += len(answer.Val())
	case *redis.StringSliceCmd:
		e.entries += len(answer.Val())
	case *redis.SliceCmd:
		e.entries += len(answer.Val())
	}
}

// TestPagesCostTheSame counts what a page asks of Redis, the first one and one from the
// middle: it is the same however many links there are.
func TestPagesCostTheSame(t *testing.T) {
	t.Parallel()
	const page = 50
	store := redistest.Embedded(t)
	links := link.New(store)
	spent := &effort{}
	store.Client().AddHook(spent)
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	queries := map[string]link.Query{
		"by ticket":               {},
		"by ticket, backwards":    {Descending: true},
		"newest first":            {Order: link.ByUpdate, Descending: true},
		"oldest first":            {Order: link.ByUpdate},
		"by work item":            {Order: link.ByWorkItem},
		"by work item, backwards": {Order: link.ByWorkItem, Descending: true},
		"parked, newest first":    {States: []item.LinkState{item.LinkParked}, Order: link.ByUpdate, Descending: true},
		"two states":              {States: []item.LinkState{item.LinkParked, item.LinkActive}},
		"since":                   {Order: link.ByUpdate, From: at.Add(time.Second)},
		"one ticket":              {Ticket: 77},
	}
	const small, large = 700, 7000
	cost := map[string]effort{}
	for _, size := range []int64{small, large} {
		connector := fmt.Sprintf("of%d", size)
		fill(t, store, connector, size)
		if _, _, err := links.Query(t.Context(), connector, link.Query{Descending: true}, page, ""); err != nil {
			t.Fatal(err)
		}
		for name, q := range queries {
			token := ""
			for n := range 3 {
				*spent = effort{}
				found, next, err := links.Query(t.Context(), connector, q, page, token)
				if err != nil || len(found) == 0 {
					t.Fatalf("%s: %d links, %v", name, len(found), err)
				}
				token = next
				key := fmt.Sprintf("%s, page %d", name, n)
				if size == small {
					cost[key] = *spent
				} else if diff := cmp.Diff(cost[key], *spent, cmp.AllowUnexported(effort{})); diff != "" {
					t.Errorf("%s costs otherwise of %d links than of %d (-few +many):\n%s", key, large, small, diff)
				}
				if token == "" {
					break
				}
			}
		}
	}
}
