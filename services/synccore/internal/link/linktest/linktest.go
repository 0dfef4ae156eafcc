// Package linktest is what any store of links must pass, whatever Redis is behind.
package linktest

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
)

const (
	connector = "development"
	long      = time.Minute
)

// Run runs the suite; open gives a store without keys.
func Run(t *testing.T, open func(testing.TB) *datastore.Store) {
	t.Helper()
	for name, test := range map[string]func(*bench){
		"no link is the zero link":                  (*bench).none,
		"put and get":                               (*bench).putAndGet,
		"put needs the lease":                       (*bench).needsLease,
		"a paused writer is refused":                (*bench).pausedWriter,
		"put needs the stored version":              (*bench).needsVersion,
		"a repeated put is harmless":                (*bench).repeated,
		"history is capped, newest first":           (*bench).history,
		"a work item leads to its ticket":           (*bench).ticketOf,
		"a work item has one ticket":                (*bench).oneTicket,
		"a refused put takes no work item":          (*bench).refusedTakesNothing,
		"a lost index is made anew":                 (*bench).lostIndex,
		"a dead claim does not block":               (*bench).deadClaim,
		"a living claim blocks":                     (*bench).livingClaim,
		"a work item let go is free":                (*bench).letGo,
		"list pages by number":                      (*bench).list,
		"pages survive inserts and deletes":         (*bench).listWhileChanging,
		"list skips and drops dead entries":         (*bench).listDeadEntries,
		"list keeps an entry about to be linked":    (*bench).listLivingEntry,
		"delete forgets and frees":                  (*bench).delete,
		"a late delete frees no newer claim":        (*bench).lateDelete,
		"delete needs lease and version":            (*bench).deleteRefused,
		"connectors are apart":                      (*bench).apart,
		"many tickets want one work item":           (*bench).raceForWorkItem,
		"list sees every link made beside it":       (*bench).listBesideWriters,
		"concurrent writers":                        (*bench).concurrent,
		"mirrors are told as put":                   (*bench).mirrors,
		"a mirror needs the lease":                  (*bench).mirrorNeedsLease,
		"older builds read what is remembered":      (*bench).olderBuilds,
		"mirrors go with their link":                (*bench).mirrorsDeleted,
		"a mirror that stands makes its notice due": (*bench).notices,
		"notices go with their link":                (*bench).noticesDeleted,
		"queries by state, time and work item":      (*bench).queries,
		"a page token is of one query":              (*bench).queryTokens,
		"links of one moment are all listed":        (*bench).sameMoment,
		"a refused put moves nothing":               (*bench).refusedMovesNothing,
		"queries mend what a kill left":             (*bench).queryMends,
		"random queries":                            (*bench).randomQueries,
		"changes are told in order":                 (*bench).changes,
		"changes that are not kept are missed":      (*bench).oldChanges,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			test(&bench{t: t, store: s, links: link.New(s), leases: lease.New(s)})
		})
	}
}

// bench is one test with its store.
type bench struct {
	t      *testing.T
	store  *datastore.Store
	links  *link.Links
	leases *lease.Leases
}

func (b *bench) ctx() context.Context { return b.t.Context() }

func (b *bench) lease(ticket int64) lease.Lease {
	b.t.Helper()
	got, err := b.leases.Acquire(b.ctx(), link.TicketKey(connector, ticket), long)
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

func (b *bench) release(l lease.Lease) {
	b.t.Helper()
	if err := b.leases.Release(b.ctx(), l); err != nil {
		b.t.Fatal(err)
	}
}

// put stores a link under a lease of its own.
func (b *bench) put(l item.Link, changes ...item.LinkChange) item.Link {
	b.t.Helper()
	held := b.lease(l.Ticket)
	defer b.release(held)
	got, err := b.links.Put(b.ctx(), held, l, changes...)
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

func (b *bench) get(ticket int64) item.Link {
	b.t.Helper()
	got, err := b.links.Get(b.ctx(), connector, ticket)
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

func (b *bench) wantLink(want item.Link) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.get(want.Ticket)); diff != "" {
		b.t.Errorf("link of ticket %d (-want +got):\n%s", want.Ticket, diff)
	}
}

func (b *bench) wantTicketOf(workItem, want int64) {
	b.t.Helper()
	got, found, err := b.links.TicketOf(b.ctx(), connector, workItem)
	if err != nil || got != want || found != (want != 0) {
		b.t.Errorf("ticket of work item %d: got %d %t %v, want %d", workItem, got, found, err, want)
	}
	// Asked for among others, the answer is the same.
	links, err := b.links.OfWorkItems(b.ctx(), connector, []int64{1 << 40, workItem, 1<<40 + 1})
	if err != nil || len(links) > 1 || (len(links) == 1) != found || found && (links[0].Ticket != got || links[0].WorkItem != workItem) {
		b.t.Errorf("links of work item %d: %+v %v, want that of ticket %d", workItem, links, err, want)
	}
}

func (b *bench) wantConflict(err error, doing string) {
	b.t.Helper()
	if !fault.Is(err, fault.Conflict) {
		b.t.Errorf("%s: got %v, want a conflict", doing, err)
	}
}

// wantTickets checks what List says, read in pages of that size.
func (b *bench) wantTickets(pageSize int, want ...int64) {
	b.t.Helper()
	var got []int64
	for token, first := "", true; first || token != ""; first = false {
		page, next, err := b.links.List(b.ctx(), connector, pageSize, token)
		if err != nil {
			b.t.Fatal(err)
		}
		if len(page) > pageSize {
			b.t.Errorf("a page of %d links, asked for %d", len(page), pageSize)
		}
		for _, l := range page {
			got = append(got, l.Ticket)
		}
		token = next
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("tickets in pages of %d (-want +got):\n%s", pageSize, diff)
	}
}

func created(ticket int64) item.Link {
	return item.Link{Connector: connector, Ticket: ticket, State: item.LinkCreating}
}

func linked(ticket, workItem int64) item.Link {
	return item.Link{Connector: connector, Ticket: ticket, WorkItem: workItem, State: item.LinkActive}
}

// full is a link with every field set.
func full(ticket, workItem int64) item.Link {
	at := time.Date(2026, 3, 4, 5, 6, 7, 89, time.UTC)
	return item.Link{
		Connector: connector, Ticket: ticket, TicketURL: "https://alvao.example/Ticket/1",
		WorkItem: workItem, WorkItemURL: "https://dev.azure.example/1", State: item.LinkParked,
		Reason: "Žluťoučký \"kůň\"\n<&>", Agreed: item.Pair{Status: "New", State: "To Do"},
		Map: "a map", Parked: &item.Standstill{Status: "Testing", State: "Done"}, Move: &item.Move{Status: "Testing", Path: []string{"Doing", "Done"}},
		SeenRev: 1 << 40, TalkRev: 1<<40 - 1, TalkSeen: at.Add(time.Hour), Unheard: &item.Look{Rev: 3, Activity: at}, Type: "Task", Away: item.Alvao,
		TicketClosed: true, WorkItemClosed: true, Note: &item.Note{Number: 7, To: item.Alvao, Text: "ž", Posting: at}, Noted: 7,
		Withheld: map[string]int{"a rule": 2}, Intended: at, Created: at.Add(time.Second), Updated: at.Add(time.Minute),
	}
}

func change(n int) item.LinkChange {
	return item.LinkChange{
		Time: time.Date(2026, 1, 1, 0, 0, n, 0, time.UTC), Action: "set-status", Detail: fmt.Sprintf("change %d", n),
		TraceID: "0af7651916cd43dd8448eb211c80319c",
	}
}

func (b *bench) historyKey(ticket int64) string {
	return b.store.Key(lease.Tag(link.TicketKey(connector, ticket)), "history")
}

func (b *bench) none() {
	b.t.Helper()
	got := b.get(1)
	if diff := cmp.Diff(item.Link{}, got); diff != "" || got.Exists() {
		b.t.Errorf("(-want +got):\n%s", diff)
	}
	b.wantTicketOf(1, 0)
	b.wantTickets(10)
	history, err := b.links.History(b.ctx(), connector, 1, 10)
	if err != nil || len(history) != 0 {
		b.t.Errorf("history: %v %v", history, err)
	}
}

func (b *bench) putAndGet() {
	b.t.Helper()
	value := reflect.ValueOf(full(1, 2))
	for i := range value.NumField() {
		// The version is the store's own.
		if name := value.Type().Field(i).Name; value.Field(i).IsZero() && name != "Version" {
			b.t.Errorf("the full link has no %s, so nobody knows that it is kept", name)
		}
	}
	first := b.put(created(1))
	if first.Version != 1 {
		b.t.Errorf("version %d, want 1", first.Version)
	}
	b.wantLink(first)
	want := full(1, 1<<40)
	want.Version = 1
	second := b.put(want)
	want.Version = 2
	if diff := cmp.Diff(want, second); diff != "" {
		b.t.Errorf("returned (-want +got):\n%s", diff)
	}
	b.wantLink(want)
	b.wantTickets(10, 1)
}

func (b *bench) needsLease() {
	b.t.Helper()
	held := b.lease(1)
	other := b.lease(2)
	_, err := b.links.Put(b.ctx(), other, created(1))
	b.wantConflict(err, "putting under another ticket's lease")
	forged := held
	forged.Token++
	_, err = b.links.Put(b.ctx(), forged, linked(1, 7), change(1))
	b.wantConflict(err, "putting with a token that is not the lease's")
	b.release(held)
	_, err = b.links.Put(b.ctx(), held, linked(1, 7), change(1))
	b.wantConflict(err, "putting after the lease")
	_, err = b.links.Put(b.ctx(), lease.Lease{Key: held.Key}, created(1))
	b.wantConflict(err, "putting without a lease")
	if b.get(1).Exists() {
		b.t.Error("a refused put stored a link")
	}
	if history, err := b.links.History(b.ctx(), connector, 1, 0); err != nil || len(history) != 0 {
		b.t.Errorf("a refused put left history: %v %v", history, err)
	}
}

// pausedWriter: attack R23. The first worker stops past its lease, the second writes,
// the first wakes up and writes what it knew.
func (b *bench) pausedWriter() {
	b.t.Helper()
	b.put(created(1))
	paused := b.lease(1)
	known := b.get(1)
	b.release(paused) // as if its time had passed
	second := linked(1, 10)
	second.Version = known.Version
	second = b.put(second)
	known.WorkItem = 11
	_, err := b.links.Put(b.ctx(), paused, known, change(1))
	b.wantConflict(err, "writing after a pause")
	b.wantLink(second)
	b.wantTicketOf(10, 1)
	b.wantTicketOf(11, 0)
}

func (b *bench) needsVersion() {
	b.t.Helper()
	first := b.put(created(1))
	held := b.lease(1)
	for _, version := range []int64{0, 2, -1, 1 << 50} {
		stale := linked(1, 5)
		stale.Version = version
		_, err := b.links.Put(b.ctx(), held, stale, change(1))
		b.wantConflict(err, fmt.Sprintf("putting over version %d", version))
	}
	b.wantLink(first)
	b.wantTicketOf(5, 0)
}

// repeated: the answer of a Put is lost, and the client sends it again.
func (b *bench) repeated() {
	b.t.Helper()
	held := b.lease(1)
	for range 3 {
		got, err := b.links.Put(b.ctx(), held, linked(1, 5), change(1))
		if err != nil || got.Version != 1 {
			b.t.Fatalf("version %d, %v", got.Version, err)
		}
	}
	history, err := b.links.History(b.ctx(), connector, 1, 0)
	if err != nil || len(history) != 1 {
		b.t.Errorf("history %v %v, want one entry", history, err)
	}
	_, err = b.links.Put(b.ctx(), held, linked(1, 6))
	b.wantConflict(err, "putting something else over an old version")
	b.release(held)
	again := b.lease(1)
	_, err = b.links.Put(b.ctx(), again, linked(1, 5))
	b.wantConflict(err, "repeating under another lease")
}

func (b *bench) history() {
	b.t.Helper()
	l := b.put(created(1), change(1), change(2))
	l = b.put(l, change(3))
	b.put(l)
	got, err := b.links.History(b.ctx(), connector, 1, 2)
	if err != nil {
		b.t.Fatal(err)
	}
	if diff := cmp.Diff([]item.LinkChange{change(3), change(2)}, got); diff != "" {
		b.t.Errorf("(-want +got):\n%s", diff)
	}
	l = b.get(1)
	many := make([]item.LinkChange, 0, link.HistoryCap+50)
	for n := range cap(many) {
		many = append(many, change(n))
	}
	b.put(l, many...)
	got, err = b.links.History(b.ctx(), connector, 1, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(got) != link.HistoryCap || got[0] != many[len(many)-1] {
		b.t.Errorf("%d entries, the first %v", len(got), got[0])
	}
	if kept, err := b.store.Client().LLen(b.ctx(), b.historyKey(1)).Result(); err != nil || kept != link.HistoryCap {
		b.t.Errorf("%d entries are kept %v, want %d", kept, err, link.HistoryCap)
	}
}

func (b *bench) deleteRefused() {
	b.t.Helper()
	first := b.put(linked(1, 5))
	held := b.lease(1)
	b.wantConflict(b.links.Delete(b.ctx(), b.lease(2), first), "deleting under another lease")
	stale := first
	stale.Version = 7
	b.wantConflict(b.links.Delete(b.ctx(), held, stale), "deleting another version")
	b.release(held)
	b.wantConflict(b.links.Delete(b.ctx(), held, first), "deleting after the lease")
	b.wantLink(first)
	b.wantTicketOf(5, 1)
	b.wantTickets(10, 1)
}

func (b *bench) delete() {
	b.t.Helper()
	first := b.put(linked(1, 5), change(1))
	b.put(linked(2, 6))
	held := b.lease(1)
	if err := b.links.Delete(b.ctx(), held, first, change(2)); err != nil {
		b.t.Fatal(err)
	}
	if err := b.links.Delete(b.ctx(), held, first); err != nil {
		b.t.Errorf("deleting again: %v", err)
	}
	b.release(held)
	if b.get(1).Exists() {
		b.t.Error("the link is still there")
	}
	b.wantTicketOf(5, 0)
	b.wantTickets(10, 2)
	history, err := b.links.History(b.ctx(), connector, 1, 0)
	if err != nil || len(history) != 2 {
		b.t.Errorf("history after delete: %v %v, want two entries", history, err)
	}
	if left, err := b.store.Client().TTL(b.ctx(), b.historyKey(1)).Result(); err != nil || left <= 0 {
		b.t.Errorf("the history of a deleted link stays for %s %v", left, err)
	}
	b.put(linked(3, 5))
	b.wantTicketOf(5, 3)
	again := b.put(linked(1, 9))
	if again.Version != 1 {
		b.t.Errorf("made anew with version %d, want 1", again.Version)
	}
	if left, err := b.store.Client().TTL(b.ctx(), b.historyKey(1)).Result(); err != nil || left > 0 {
		b.t.Errorf("the history of the link made anew goes after %s %v", left, err)
	}
	b.wantTickets(1, 1, 2, 3)
}

func (b *bench) apart() {
	b.t.Helper()
	b.put(linked(1, 5))
	held, err := b.leases.Acquire(b.ctx(), link.TicketKey("other", 1), long)
	if err != nil {
		b.t.Fatal(err)
	}
	other := linked(1, 5)
	other.Connector = "other"
	other.Reason = "of the other"
	if _, err := b.links.Put(b.ctx(), held, other); err != nil {
		b.t.Fatalf("the same work item in another connector: %v", err)
	}
	if got := b.get(1); got.Reason != "" {
		b.t.Errorf("the other connector's link: %+v", got)
	}
	b.wantTickets(10, 1)
}
