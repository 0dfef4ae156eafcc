package poll_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/origin"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
	"github.com/tandem-sync/tandem/services/synccore/internal/poll"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const name = "development"

func start() time.Time { return time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC) }

var errCut = errors.New("the connection broke")

// desk is a list of tickets that is filtered by activity as a tenant does.
type desk struct {
	tickets []item.Ticket
	// since is what was asked for, poll by poll.
	since []time.Time
	// cutAfter breaks the list off after so many tickets; 0: never.
	cutAfter int
}

func (d *desk) ActiveSince(_ context.Context, since time.Time) iter.Seq2[item.Ticket, error] {
	return func(yield func(item.Ticket, error) bool) {
		d.since = append(d.since, since)
		for n, ticket := range d.tickets {
			if d.cutAfter > 0 && n == d.cutAfter {
				yield(item.Ticket{}, errCut)
				return
			}
			if !ticket.LastActivity.IsZero() && ticket.LastActivity.Before(since) {
				continue
			}
			if !yield(ticket, nil) {
				return
			}
		}
	}
}

func (d *desk) set(ticket item.Ticket) {
	i := slices.IndexFunc(d.tickets, func(t item.Ticket) bool { return t.ID == ticket.ID })
	if i < 0 {
		d.tickets = append(d.tickets, ticket)
		return
	}
	d.tickets[i] = ticket
}

// fragile is an inbox that fails at its nth event.
type fragile struct {
	*inbox.Inbox

	failAt, count int
}

func (f *fragile) Append(ctx context.Context, e item.Event) (bool, error) {
	f.count++
	if f.count == f.failAt {
		return false, errCut
	}
	return f.Inbox.Append(ctx, e)
}

// bench is a poller over the real stores in an embedded Redis.
type bench struct {
	desk    *desk
	inbox   *fragile
	links   *link.Links
	leases  *lease.Leases
	origins *origin.Origins
	poller  poll.Poller
	now     time.Time
}

func setup(t *testing.T) *bench {
	t.Helper()
	store := redistest.Embedded(t)
	queue, err := inbox.New(store, inbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := queue.Close(); err != nil {
			t.Error(err)
		}
	})
	statuses, problems := mapping.NewStatusMap([]item.Pair{{State: "To Do", Status: "Development"}, {State: "Done", Status: "Testing"}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	b := &bench{
		desk: &desk{}, inbox: &fragile{Inbox: queue}, links: link.New(store), leases: lease.New(store),
		origins: origin.New(store), now: start(),
	}
	b.poller = poll.Poller{
		Connector: name, Rules: plan.Rules{Map: statuses}, IgnoreExisting: true, Tickets: b.desk, Links: b.links,
		Origins: b.origins, Inbox: b.inbox, Now: func() time.Time { return b.now },
	}
	return b
}

func (b *bench) poll(t *testing.T) int {
	t.Helper()
	found, err := b.poller.Once(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (b *bench) position(t *testing.T) string {
	t.Helper()
	text, err := b.origins.Cursor(t.Context(), name, "poll")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (b *bench) link(t *testing.T, want item.Link) {
	t.Helper()
	want.Connector = name
	held, err := b.leases.Acquire(t.Context(), link.TicketKey(name, want.Ticket), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	known, err := b.links.Get(t.Context(), name, want.Ticket)
	if err != nil {
		t.Fatal(err)
	}
	want.Version = known.Version
	if _, err := b.links.Put(t.Context(), held, want); err != nil {
		t.Fatal(err)
	}
	if err := b.leases.Release(t.Context(), held); err != nil {
		t.Fatal(err)
	}
}

// take serves everything that is queued and gives its ticket numbers.
func (b *bench) take(t *testing.T) []int64 {
	t.Helper()
	var ids []int64
	deliveries, err := b.inbox.Receive(t.Context(), 100, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range deliveries {
		ids = append(ids, d.Key.ID)
		if err := b.inbox.Done(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(ids)
	return ids
}

func at(minutes int) time.Time { return start().Add(time.Duration(minutes) * time.Minute) }

func ticket(id int64, status string, minute int) item.Ticket {
	return item.Ticket{ID: id, Status: status, LastActivity: at(minute)}
}

func TestActivityIsToldOnceOverOverlappingPolls(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.poll(t)
	b.desk.set(ticket(1, "Development", 1))
	b.desk.set(ticket(2, "New", 1))
	b.now = at(2)
	if found := b.poll(t); found != 1 {
		t.Fatalf("%d found", found)
	}
	if ids := b.take(t); !slices.Equal(ids, []int64{1}) {
		t.Fatalf("queued %v", ids)
	}
	for minute := 2; minute < 8; minute++ {
		b.now = at(minute)
		if found := b.poll(t); found != 0 {
			t.Errorf("minute %d: %d found again", minute, found)
		}
	}
	// The list goes on from its newest activity, less the overlap.
	if want := at(1).Add(-poll.Overlap); !b.desk.since[len(b.desk.since)-1].Equal(want) {
		t.Errorf("asked since %s, want %s", b.desk.since[len(b.desk.since)-1], want)
	}
	// What became visible late, behind the position, is still found.
	b.desk.set(ticket(3, "Testing", -1))
	if found := b.poll(t); found != 1 {
		t.Errorf("%d found of what became visible late", found)
	}
}

// One status left and entered again within the same second, or on a tenant that tells
// no time, is news, since the link was written in between.
func TestSameStatusAgainIsNews(t *testing.T) {
	t.Parallel()
	for _, activity := range []time.Time{{}, at(1)} {
		b := setup(t)
		b.now = at(2)
		first := item.Ticket{ID: 1, Status: "Development", LastActivity: activity}
		b.desk.set(first)
		b.poll(t)
		b.take(t)
		b.link(t, item.Link{Ticket: 1, WorkItem: 9, State: item.LinkActive, Agreed: item.Pair{Status: "Development", State: "To Do"}})
		if found := b.poll(t); found != 0 {
			t.Errorf("activity %v: %d found of what is agreed", activity, found)
		}
		b.link(t, item.Link{Ticket: 1, WorkItem: 9, State: item.LinkActive, Agreed: item.Pair{Status: "Testing", State: "Done"}})
		if found := b.poll(t); found != 1 {
			t.Errorf("activity %v: back in Development, %d found", activity, found)
		}
		if found := b.poll(t); found != 0 {
			t.Errorf("activity %v: %d found again", activity, found)
		}
	}
}

func TestWhatTheLinkRemembersIsNotQueued(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.poll(t)
	b.now = at(5)
	still := &item.Standstill{Status: "Testing", State: "To Do", ExternalID: "12"}
	b.link(t, item.Link{Ticket: 1, WorkItem: 11, State: item.LinkActive, Agreed: item.Pair{Status: "Closed", State: "Done"}})
	b.link(t, item.Link{Ticket: 2, WorkItem: 12, State: item.LinkParked, Parked: still, Agreed: item.Pair{Status: "Development", State: "To Do"}})
	b.link(t, item.Link{Ticket: 3, WorkItem: 13, State: item.LinkGone, Reason: "gone"})
	b.desk.set(ticket(1, "closed", 1))
	b.desk.set(ticket(2, "Testing", 1))
	removed := ticket(3, "Deleted", 1)
	removed.Removed = true
	b.desk.set(removed)
	if found := b.poll(t); found != 0 {
		t.Errorf("%d found: %v", found, b.take(t))
	}
	for i := range b.desk.tickets {
		b.desk.tickets[i].LastActivity = at(4)
		b.desk.tickets[i].Status = "Development"
		b.desk.tickets[i].Removed = false
	}
	if found := b.poll(t); found != 3 {
		t.Errorf("%d found after all changed", found)
	}
}

func TestOldTicketsAreLeftAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.origins.AddExisting(t.Context(), name, 1, 2); err != nil {
		t.Fatal(err)
	}
	tells := map[string]string{"Building": "A"}
	b.desk.tickets = []item.Ticket{
		{ID: 1, Status: "Development", LastActivity: at(0), Custom: tells},
		{ID: 2, Status: "New", LastActivity: at(0), Custom: tells}, // it left, which a round notes
		{ID: 3, Status: "Development", LastActivity: at(0), Custom: tells},
	}
	b.poll(t)
	if ids := b.take(t); !slices.Equal(ids, []int64{2, 3}) {
		t.Errorf("queued %v", ids)
	}
	b.poller.IgnoreExisting = false
	b.desk.tickets[0].LastActivity = at(1)
	b.poll(t)
	if ids := b.take(t); !slices.Equal(ids, []int64{1}) {
		t.Errorf("with existingTickets: link, queued %v", ids)
	}
}

// A crash at any point costs a repeated read and never a ticket.
func TestPositionMovesOnlyBehindWhatIsStored(t *testing.T) {
	t.Parallel()
	for cut := 1; cut <= 3; cut++ {
		for _, where := range []string{"list", "inbox"} {
			b := setup(t)
			b.poll(t)
			before := b.position(t)
			b.now = at(9)
			for id := int64(1); id <= 4; id++ {
				b.desk.set(ticket(id, "Development", int(2*id)))
			}
			if where == "list" {
				b.desk.cutAfter = cut
			} else {
				b.inbox.failAt = b.inbox.count + cut
			}
			if _, err := b.poller.Once(t.Context()); !errors.Is(err, errCut) {
				t.Fatalf("%s, cut %d: %v", where, cut, err)
			}
			if after := b.position(t); after != before {
				t.Errorf("%s, cut %d: the position moved to %s", where, cut, after)
			}
			b.desk.cutAfter, b.inbox.failAt = 0, 0
			b.poll(t)
			if ids := b.take(t); !slices.Equal(ids, []int64{1, 2, 3, 4}) {
				t.Errorf("%s, cut %d: queued %v", where, cut, ids)
			}
			if want := at(8).Format(time.RFC3339Nano); b.position(t) != want {
				t.Errorf("%s, cut %d: position %s, want %s", where, cut, b.position(t), want)
			}
		}
	}
}

func TestClocksThatDiffer(t *testing.T) {
	t.Parallel()
	t.Run("theirs is ahead", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.poll(t)
		b.desk.set(ticket(1, "Development", 120))
		b.now = at(1)
		b.poll(t)
		if got := b.position(t); got != at(1).Format(time.RFC3339Nano) {
			t.Errorf("the position ran ahead to %s", got)
		}
	})
	t.Run("ours is ahead at the first poll", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.now = at(30)
		b.poll(t)
		b.desk.set(ticket(1, "Development", 1))
		b.now = at(31)
		if found := b.poll(t); found != 1 {
			t.Errorf("%d found of what happened by a slower clock", found)
		}
	})
	t.Run("ours is set back", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.desk.set(ticket(1, "Development", 0))
		b.poll(t)
		reached := b.position(t)
		b.now = at(-50)
		b.desk.set(ticket(2, "Development", -1))
		b.poll(t)
		if got := b.position(t); got != reached {
			t.Errorf("the position went from %s to %s", reached, got)
		}
	})
}

func TestBrokenPositionIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if err := b.origins.SetCursor(t.Context(), name, "poll", "yesterday"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.poller.Once(t.Context()); err == nil || !strings.Contains(err.Error(), "yesterday") {
		t.Errorf("%v", err)
	}
}

// Where messages cross, activity that the link has not seen is told, and what it has
// seen is not.
func TestActivityIsToldWhereMessagesCross(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.poller.Rules.Messages = true
	b.poll(t)
	seen := item.Link{Ticket: 1, WorkItem: 42, State: item.LinkActive, Agreed: item.Pair{Status: "Development", State: "To Do"}, TalkSeen: at(1)}
	b.link(t, seen)
	b.desk.set(ticket(1, "Development", 1))
	b.now = at(2)
	if found := b.poll(t); found != 0 {
		t.Errorf("%d found of what was seen", found)
	}
	b.desk.set(ticket(1, "Development", 2))
	b.now = at(3)
	if found := b.poll(t); found != 1 {
		t.Errorf("%d found of a new message", found)
	}
	b.poller.Rules.Messages = false
	b.desk.set(ticket(1, "Development", 3))
	b.now = at(4)
	if found := b.poll(t); found != 0 {
		t.Errorf("%d found where messages don't cross", found)
	}
}

func TestLookInTheMomentOfAnActivityIsRepeated(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.poller.Rules.Messages = true
	b.link(t, item.Link{
		Ticket: 1, WorkItem: 42, State: item.LinkActive, Agreed: item.Pair{Status: "Development", State: "To Do"},
		TalkSeen: at(1).Add(-time.Millisecond), // what a round remembers that looks too soon (reconcile, readMessages)
	})
	b.desk.set(ticket(1, "Development", 1))
	looks := 0
	for i := range 60 {
		b.now = at(1).Add(time.Duration(i) * time.Second)
		b.poll(t)
		looks += len(b.take(t))
	}
	if looks != 2 {
		t.Errorf("%d looks, want one at once and one when the moment is over", looks)
	}
}
