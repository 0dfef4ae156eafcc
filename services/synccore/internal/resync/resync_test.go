package resync_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/origin"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
	"github.com/tandem-sync/tandem/services/synccore/internal/resync"
	"github.com/tandem-sync/tandem/services/synccore/internal/runs"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const name = "development"

var errCut = errors.New("the connection broke")

// systems are both systems as lists of plain values.
type systems struct {
	tickets   []item.Ticket
	workItems map[int64]item.WorkItem
	// calls counts the batches that were read, most is the greatest one.
	calls, most int
	// cutTickets and cutWorkItems break a list off after so many tickets or batches; 0:
	// never.
	cutTickets, cutWorkItems int
	// from are the positions from which tickets were listed.
	from []int
}

func (s *systems) Pages(_ context.Context, from int) iter.Seq2[item.TicketPage, error] {
	const size = 100
	s.from = append(s.from, from)
	return func(yield func(item.TicketPage, error) bool) {
		for from < len(s.tickets) {
			end := min(from+size, len(s.tickets))
			cut := s.cutTickets > 0 && s.cutTickets <= end
			if cut {
				end = s.cutTickets
			}
			if !yield(item.TicketPage{Tickets: s.tickets[from:end], Next: end, There: len(s.tickets)}, nil) {
				return
			}
			if cut {
				yield(item.TicketPage{}, errCut)
				return
			}
			from = end
		}
	}
}

func (s *systems) WorkItems(_ context.Context, ids []int64) ([]item.WorkItem, error) {
	s.calls++
	s.most = max(s.most, len(ids))
	if s.cutWorkItems > 0 && s.calls > s.cutWorkItems {
		return nil, errCut
	}
	found := make([]item.WorkItem, 0, len(ids))
	for _, id := range ids {
		if workItem, ok := s.workItems[id]; ok {
			found = append(found, workItem)
		}
	}
	return found, nil
}

// bench is a resync over the real stores.
type bench struct {
	*systems

	inbox   *inbox.Inbox
	links   *link.Links
	leases  *lease.Leases
	origins *origin.Origins
	runs    *runs.Runs
	resync  resync.Resync
}

func setup(tb testing.TB, store *datastore.Store) *bench {
	tb.Helper()
	queue, err := inbox.New(store, inbox.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := queue.Close(); err != nil {
			tb.Error(err)
		}
	})
	statuses, problems := mapping.NewStatusMap([]item.Pair{{State: "To Do", Status: "Development"}, {State: "Done", Status: "Testing"}})
	if len(problems) > 0 {
		tb.Fatal(problems)
	}
	b := &bench{
		systems: &systems{workItems: map[int64]item.WorkItem{}}, inbox: queue, links: link.New(store),
		leases: lease.New(store), origins: origin.New(store),
		runs: runs.New(store),
	}
	b.resync = resync.Resync{
		Connector: name, Rules: plan.Rules{Map: statuses}, IgnoreExisting: true, Tickets: b.systems, WorkItems: b.systems,
		Links: b.links, Origins: b.origins, Inbox: b.inbox, Now: time.Now,
	}
	return b
}

func (b *bench) put(tb testing.TB, want item.Link) {
	tb.Helper()
	want.Connector = name
	held, err := b.leases.Acquire(tb.Context(), link.TicketKey(name, want.Ticket), time.Minute)
	if err != nil {
		tb.Fatal(err)
	}
	known, err := b.links.Get(tb.Context(), name, want.Ticket)
	if err != nil {
		tb.Fatal(err)
	}
	want.Version = known.Version
	if _, err := b.links.Put(tb.Context(), held, want); err != nil {
		tb.Fatal(err)
	}
	if err := b.leases.Release(tb.Context(), held); err != nil {
		tb.Fatal(err)
	}
}

// pair puts a ticket and its work item, id + 1000, in step.
func (b *bench) pair(tb testing.TB, id int64) {
	tb.Helper()
	b.tickets = append(b.tickets, item.Ticket{ID: id, Status: "Development"})
	b.workItems[id+1000] = item.WorkItem{ID: id + 1000, State: "To Do"}
	b.put(tb, item.Link{Ticket: id, WorkItem: id + 1000, State: item.LinkActive, Agreed: item.Pair{Status: "Development", State: "To Do"}})
}

func (b *bench) change(id int64, f func(*item.Ticket)) {
	i := slices.IndexFunc(b.tickets, func(t item.Ticket) bool { return t.ID == id })
	f(&b.tickets[i])
}

func (b *bench) setState(id int64, state string) {
	b.workItems[id+1000] = item.WorkItem{ID: id + 1000, State: state}
}

// runs a new resync under the turn's lease, as a connector does.
func (b *bench) try(tb testing.TB) (item.Resync, error) {
	tb.Helper()
	return b.goOn(tb, item.Resync{ID: runs.NewID(time.Now(), nil), State: item.ResyncRunning, Began: time.Now()})
}

// goOn goes on with a resync where it is.
func (b *bench) goOn(tb testing.TB, at item.Resync) (item.Resync, error) {
	tb.Helper()
	held, err := b.leases.Acquire(tb.Context(), runs.TurnKey(name), time.Minute)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = b.leases.Release(tb.Context(), held) }()
	b.resync.Store = b.runs.Turn(held)
	if _, err := b.resync.Store.Save(tb.Context(), at, item.ResyncFound{}); err != nil {
		tb.Fatal(err)
	}
	return b.resync.Run(tb.Context(), at)
}

func (b *bench) run(tb testing.TB) item.Resync {
	tb.Helper()
	result, err := b.try(tb)
	if err != nil {
		tb.Fatal(err)
	}
	return result
}

// take serves everything that is queued and gives its ticket numbers.
func (b *bench) take(tb testing.TB) []int64 {
	tb.Helper()
	var ids []int64
	for {
		deliveries, err := b.inbox.Receive(tb.Context(), 100, time.Millisecond)
		if err != nil {
			tb.Fatal(err)
		}
		for _, d := range deliveries {
			if d.Key.System != item.Alvao || d.Key.Connector != name || d.First.Type != "resync" || !d.First.Background {
				tb.Errorf("hint %+v for %s", d.First, d.Key)
			}
			ids = append(ids, d.Key.ID)
			if err := b.inbox.Done(tb.Context(), d); err != nil {
				tb.Fatal(err)
			}
		}
		if len(deliveries) == 0 {
			slices.Sort(ids)
			return ids
		}
	}
}

func TestUnchangedCostsOneCallPer200AndNoHint(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	const pairs = 450
	for id := int64(1); id <= pairs; id++ {
		b.pair(t, id)
	}
	result := b.run(t)
	if result.Links != pairs || result.Tickets != pairs || result.Drifted+result.Differing+result.Foreseen != 0 {
		t.Errorf("result %+v", result)
	}
	if b.calls != 3 || b.most != 200 {
		t.Errorf("%d calls, the greatest of %d", b.calls, b.most)
	}
	if ids := b.take(t); len(ids) != 0 {
		t.Errorf("queued %v", ids)
	}
}

func TestDifferencesOnBothSides(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	for id := int64(1); id <= 12; id++ {
		b.pair(t, id)
	}
	b.change(1, func(t *item.Ticket) { t.Status = "Testing" })
	b.setState(2, "Done")
	delete(b.workItems, 1003) // 3: deleted, or out of reach
	b.workItems[1004] = item.WorkItem{ID: 1004, State: "To Do", Deleted: true}
	b.change(5, func(t *item.Ticket) { t.Removed = true })
	b.change(6, func(t *item.Ticket) { t.ExternalID = "77" })
	b.put(t, item.Link{Ticket: 7, WorkItem: 1007, State: item.LinkActive, Agreed: item.Pair{Status: "Development", State: "To Do"}, Move: &item.Move{Status: "Testing", Path: []string{"Done"}}})
	b.put(t, item.Link{Ticket: 8, WorkItem: 1008, State: item.LinkActive, Agreed: item.Pair{State: "To Do"}}) // created and cut off
	b.tickets = append(b.tickets, item.Ticket{ID: 20, Status: "Development"}, item.Ticket{ID: 21, Status: "New"}, item.Ticket{ID: 22, Status: "New", ExternalID: "5"},
		item.Ticket{ID: 23, Status: "New", ExternalID: "INC-5"}, item.Ticket{ID: 24, Status: "Development", Removed: true})
	b.put(t, item.Link{Ticket: 25, State: item.LinkCreating}) // cut off before the create
	b.tickets = append(b.tickets, item.Ticket{ID: 25, Status: "Development"})
	result := b.run(t)
	want := []int64{1, 2, 3, 4, 5, 6, 7, 8, 20, 22, 25}
	if ids := b.take(t); !slices.Equal(ids, want) {
		t.Errorf("queued %v, want %v", ids, want)
	}
	if result.Differing < len(want) {
		t.Errorf("result %+v", result)
	}
}

func TestParkedAndGone(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	park := func(id int64, status, state string) {
		b.pair(t, id)
		b.change(id, func(t *item.Ticket) { t.Status = status })
		b.setState(id, state)
		b.put(t, item.Link{
			Ticket: id, WorkItem: id + 1000, State: item.LinkParked, Reason: "refused", Agreed: item.Pair{Status: "Development", State: "To Do"},
			Parked: &item.Standstill{Status: status, State: state, ExternalID: strconv.FormatInt(id+1000, 10)},
		})
	}
	gone := func(id int64) {
		b.pair(t, id)
		b.put(t, item.Link{Ticket: id, WorkItem: id + 1000, State: item.LinkGone, Reason: "gone", Agreed: item.Pair{Status: "Development", State: "To Do"}})
	}
	park(1, "Development", "Done")
	park(2, "Development", "Done")
	park(3, "Development", "Done")
	gone(4) // its ticket was removed
	b.change(4, func(t *item.Ticket) { t.Removed = true })
	gone(5) // its ticket was destroyed
	b.tickets = slices.DeleteFunc(b.tickets, func(t item.Ticket) bool { return t.ID == 5 })
	gone(6) // its work item was deleted
	delete(b.workItems, 1006)
	gone(7) // and this one's was restored
	gone(9) // this one's lies in the recycle bin
	b.workItems[1009] = item.WorkItem{ID: 1009, State: "To Do", Deleted: true}
	// Parked before it had a work item: the type does not exist.
	b.put(t, item.Link{Ticket: 8, State: item.LinkParked, Reason: "no such type", Parked: &item.Standstill{Status: "Development"}})
	b.tickets = append(b.tickets, item.Ticket{ID: 8, Status: "Development"})

	b.run(t)
	if ids := b.take(t); !slices.Equal(ids, []int64{7}) {
		t.Errorf("queued %v", ids)
	}
	b.setState(2, "To Do")
	b.change(3, func(t *item.Ticket) { t.Status = "Testing" })
	b.change(4, func(t *item.Ticket) { t.Removed = false })
	b.change(8, func(t *item.Ticket) { t.Status = "Testing" })
	b.run(t)
	if ids := b.take(t); !slices.Equal(ids, []int64{2, 3, 4, 7, 8}) {
		t.Errorf("after changes, queued %v", ids)
	}
}

// A ticket that was destroyed or moved to another service is in no list any more: a
// round looks for it, until its link says that it is gone.
func TestTicketsThatAreNotListedAreLookedFor(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	for id := int64(1); id <= 3; id++ {
		b.pair(t, id)
	}
	b.tickets = slices.DeleteFunc(b.tickets, func(t item.Ticket) bool { return t.ID == 2 })
	b.run(t)
	if ids := b.take(t); !slices.Equal(ids, []int64{2}) {
		t.Errorf("queued %v", ids)
	}
	b.put(t, item.Link{Ticket: 2, WorkItem: 1002, State: item.LinkGone, Reason: "gone", Agreed: item.Pair{Status: "Development", State: "To Do"}})
	b.run(t)
	if ids := b.take(t); len(ids) != 0 {
		t.Errorf("once it is gone, queued %v", ids)
	}
}

func TestOldTicketsAreLookedAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	if err := b.origins.AddExisting(t.Context(), name, 1, 2, 3); err != nil {
		t.Fatal(err)
	}
	tells := map[string]string{"Building": "A"}
	b.tickets = []item.Ticket{
		{ID: 1, Status: "Development"}, // the list does not tell whether it carries a number
		{ID: 2, Status: "Development", Custom: tells},
		{ID: 3, Status: "Development", ExternalID: "9"},
	}
	b.run(t)
	if ids := b.take(t); !slices.Equal(ids, []int64{1, 3}) {
		t.Errorf("queued %v", ids)
	}
	b.run(t)
	if ids := b.take(t); !slices.Equal(ids, []int64{3}) {
		t.Errorf("the second resync queued %v", ids)
	}
	b.change(2, func(t *item.Ticket) { t.Status = "New" })
	b.run(t)
	if ids := b.take(t); !slices.Equal(ids, []int64{2, 3}) {
		t.Errorf("after one left the mapped statuses, queued %v", ids)
	}
	b.resync.IgnoreExisting = false
	b.run(t)
	if ids := b.take(t); !slices.Equal(ids, []int64{1, 3}) {
		t.Errorf("with existingTickets: link, queued %v", ids)
	}
}

// A list that breaks off makes nothing look deleted: it gives an error, and no hint
// but for what differs in what was read.
func TestNothingIsConcludedFromAnIncompleteRead(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	for id := int64(1); id <= 210; id++ {
		b.pair(t, id)
	}
	b.cutTickets = 7
	if _, err := b.try(t); !errors.Is(err, errCut) {
		t.Fatalf("tickets: %v", err)
	}
	b.cutTickets, b.cutWorkItems, b.calls = 0, 1, 0
	if _, err := b.try(t); !errors.Is(err, errCut) {
		t.Fatalf("work items: %v", err)
	}
	if ids := b.take(t); len(ids) != 0 {
		t.Errorf("queued %v", ids)
	}
}

func TestFullInboxEndsTheRun(t *testing.T) {
	t.Parallel()
	store := redistest.Embedded(t)
	b := setup(t, store)
	small, err := inbox.New(store, inbox.Options{MaxItems: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = small.Close() })
	b.resync.Inbox = small
	for id := int64(1); id <= 5; id++ {
		b.tickets = append(b.tickets, item.Ticket{ID: id, Status: "Development"})
	}
	if result, err := b.try(t); err == nil || result.Differing != 2 {
		t.Errorf("%+v, %v", result, err)
	}
}

// pages are links without a store behind them, so that only what Run itself keeps is
// measured.
type pages struct{ total int64 }

func (p pages) of(id int64) item.Link {
	return item.Link{Connector: name, Ticket: id, WorkItem: id, State: item.LinkActive, Agreed: item.Pair{Status: "Development", State: "To Do"}, Version: 1}
}

func (p pages) Get(_ context.Context, _ string, id int64) (item.Link, error) { return p.of(id), nil }

func (p pages) List(_ context.Context, _ string, size int, token string) ([]item.Link, string, error) {
	from := int64(0)
	if token != "" {
		if _, err := fmt.Sscan(token, &from); err != nil {
			return nil, "", err
		}
	}
	links := make([]item.Link, 0, size)
	for id := from + 1; id <= min(from+int64(size), p.total); id++ {
		links = append(links, p.of(id))
	}
	if from+int64(size) >= p.total {
		return links, "", nil
	}
	return links, strconv.FormatInt(from+int64(size), 10), nil
}

func (p pages) GetMany(ctx context.Context, connector string, tickets []int64) (map[int64]item.Link, error) {
	links := make(map[int64]item.Link, len(tickets))
	for _, ticket := range tickets {
		one, err := p.Get(ctx, connector, ticket)
		if err != nil {
			return nil, err
		}
		links[ticket] = one
	}
	return links, nil
}

func (p pages) Reindex(context.Context, string, []int64) error { return nil }

func (p pages) Count(context.Context, string) (int, error) { return int(p.total), nil }

func (p pages) Pages(_ context.Context, from int) iter.Seq2[item.TicketPage, error] {
	return func(yield func(item.TicketPage, error) bool) {
		for int64(from) < p.total {
			page := item.TicketPage{Next: int(min(int64(from)+200, p.total)), There: int(p.total)}
			for ; from < page.Next; from++ {
				page.Tickets = append(page.Tickets, item.Ticket{ID: int64(from) + 1, Status: "Development"})
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

func (p pages) WorkItems(_ context.Context, ids []int64) ([]item.WorkItem, error) {
	found := make([]item.WorkItem, 0, len(ids))
	for _, id := range ids {
		found = append(found, item.WorkItem{ID: id, State: "To Do"})
	}
	return found, nil
}

// What is allocated per link does not grow with their number, and is about the links'
// own size: nothing but the present page is kept.
func BenchmarkResync(b *testing.B) {
	for _, total := range []int64{2_000, 20_000, 200_000} {
		b.Run(strconv.FormatInt(total, 10), func(b *testing.B) {
			bench := setup(b, redistest.Embedded(b))
			bench.resync.Links, bench.resync.Tickets, bench.resync.WorkItems = pages{total}, pages{total}, pages{total}
			b.ReportAllocs()
			for b.Loop() {
				if result, err := bench.try(b); err != nil || result.Differing != 0 {
					b.Fatal(result, err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(total), "ns/link")
		})
	}
}

// Where messages cross, a work item's new revision and a ticket's new activity are
// differences until a round has seen them.
func TestMessagesAreDifferences(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	b.resync.Rules.Messages = true
	seen := time.Date(2026, 3, 2, 14, 5, 0, 0, time.UTC)
	pair := func(id int64, rev int64, activity time.Time) {
		b.tickets = append(b.tickets, item.Ticket{ID: id, Status: "Development", LastActivity: activity})
		b.workItems[id+1000] = item.WorkItem{ID: id + 1000, Rev: rev, State: "To Do"}
		b.put(t, item.Link{
			Ticket: id, WorkItem: id + 1000, State: item.LinkActive, Agreed: item.Pair{Status: "Development", State: "To Do"},
			TalkRev: 5, TalkSeen: seen,
		})
	}
	pair(1, 5, seen)
	pair(2, 6, seen)
	pair(3, 5, seen.Add(time.Second))
	result, err := b.try(t)
	if err != nil || result.Differing != 2 {
		t.Errorf("%+v, %v", result, err)
	}
	b.resync.Rules.Messages = false
	if result, err = b.try(t); err != nil || result.Differing != 0 {
		t.Errorf("where messages don't cross: %+v, %v", result, err)
	}
}
