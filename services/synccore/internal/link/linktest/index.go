package linktest

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
)

func (b *bench) ticketOf() {
	b.t.Helper()
	l := b.put(created(1))
	b.wantTicketOf(5, 0)
	l.WorkItem = 5
	l = b.put(l)
	b.wantTicketOf(5, 1)
	l.WorkItem = 6
	l = b.put(l)
	b.wantTicketOf(5, 0)
	b.wantTicketOf(6, 1)
	l.WorkItem = 0
	b.put(l)
	b.wantTicketOf(6, 0)
}

func (b *bench) oneTicket() {
	b.t.Helper()
	first := b.put(linked(1, 5))
	second := b.put(created(2))
	held := b.lease(2)
	second.WorkItem = 5
	_, err := b.links.Put(b.ctx(), held, second)
	b.wantConflict(err, "linking a linked work item")
	_, err = b.links.Put(b.ctx(), b.lease(3), linked(3, 5))
	b.wantConflict(err, "creating a link with a linked work item")
	b.wantTicketOf(5, 1)
	b.wantLink(first)
	if b.get(3).Exists() {
		b.t.Error("a refused put stored a link")
	}
}

func (b *bench) refusedTakesNothing() {
	b.t.Helper()
	first := b.put(linked(1, 5))
	stale := b.lease(2)
	b.release(stale)
	_, err := b.links.Put(b.ctx(), stale, linked(2, 5))
	b.wantConflict(err, "putting after the lease")
	b.wantTicketOf(5, 1)
	b.wantLink(first)
}

// died leaves what a writer of the ticket leaves that dies after the index was
// written: its entry and its claim, but no link.
func (b *bench) died(writer lease.Lease, workItem int64) {
	b.t.Helper()
	token := strconv.FormatInt(writer.Token, 10)
	ticket := strconv.FormatInt(writer.Key.ID, 10)
	const digits = "0000000000000000000"
	for _, err := range []error{
		b.store.Client().HSet(b.ctx(), b.store.Key("links/"+connector, "workitems"), workItem, ticket+":"+token).Err(),
		b.store.Client().ZAdd(b.ctx(), b.store.Key("links/"+connector, "tickets"),
			redis.Z{Member: digits[len(ticket):] + ticket + ":" + token}).Err(),
	} {
		if err != nil {
			b.t.Fatal(err)
		}
	}
}

func (b *bench) deadClaim() {
	b.t.Helper()
	dead := b.lease(1)
	b.died(dead, 5)
	b.release(dead)
	b.wantTicketOf(5, 0)
	b.put(linked(2, 5))
	b.wantTicketOf(5, 2)
	b.put(linked(1, 6))
	b.wantTicketOf(6, 1)
}

// lostIndex: what a fail-over of the index' node to a replica that lagged leaves are links
// without entries and claims.
func (b *bench) lostIndex() {
	b.t.Helper()
	b.put(linked(1, 5))
	b.put(created(2))
	b.put(linked(3, 7))
	for _, index := range []string{"workitems", "tickets"} {
		if err := b.store.Client().Del(b.ctx(), b.store.Key("links/"+connector, index)).Err(); err != nil {
			b.t.Fatal(err)
		}
	}
	for range 2 {
		if err := b.links.Reindex(b.ctx(), connector, []int64{1, 2, 3, 4}); err != nil {
			b.t.Fatal(err)
		}
		b.wantTickets(10, 1, 2, 3)
		b.wantTicketOf(5, 1)
		b.wantTicketOf(7, 3)
	}
	_, err := b.links.Put(b.ctx(), b.lease(4), linked(4, 5))
	b.wantConflict(err, "linking a work item whose claim was lost")
}

func (b *bench) livingClaim() {
	b.t.Helper()
	busy := b.lease(1)
	b.died(busy, 5)
	held := b.lease(2)
	_, err := b.links.Put(b.ctx(), held, linked(2, 5))
	b.wantConflict(err, "linking a work item that is just being linked")
	if b.get(2).Exists() {
		b.t.Error("a refused put stored a link")
	}
	if _, err := b.links.Put(b.ctx(), busy, linked(1, 5)); err != nil {
		b.t.Errorf("the claim's owner: %v", err)
	}
	b.wantTicketOf(5, 1)
}

func (b *bench) letGo() {
	b.t.Helper()
	l := b.put(linked(1, 5))
	l.WorkItem = 6
	b.put(l)
	b.put(linked(2, 5))
	b.wantTicketOf(5, 2)
	b.wantTicketOf(6, 1)
}

func (b *bench) list() {
	b.t.Helper()
	for _, n := range []int64{100, 9, 10, 1 << 60, 2} {
		b.put(created(n))
	}
	for _, size := range []int{1, 2, 3, 5, 100} {
		b.wantTickets(size, 2, 9, 10, 100, 1<<60)
	}
	for _, token := range []string{"x", "-1", "[1", "1;"} {
		if _, _, err := b.links.List(b.ctx(), connector, 1, token); !fault.Is(err, fault.Invalid) {
			b.t.Errorf("page token %q: got %v, want invalid", token, err)
		}
	}
	if page, _, err := b.links.List(b.ctx(), connector, -5, ""); err != nil || len(page) != 1 {
		b.t.Errorf("page size -5: %d links, %v", len(page), err)
	}
}

func (b *bench) listWhileChanging() {
	b.t.Helper()
	for n := int64(10); n <= 50; n += 10 {
		b.put(created(n))
	}
	page, next, err := b.links.List(b.ctx(), connector, 2, "")
	if err != nil || len(page) != 2 || page[1].Ticket != 20 {
		b.t.Fatalf("%v %v", page, err)
	}
	b.put(created(5))
	b.put(created(15))
	b.put(created(35))
	held := b.lease(20) // the last one of the page before
	if err := b.links.Delete(b.ctx(), held, page[1]); err != nil {
		b.t.Fatal(err)
	}
	page, _, err = b.links.List(b.ctx(), connector, 10, next)
	if err != nil {
		b.t.Fatal(err)
	}
	want := []int64{30, 35, 40, 50}
	if len(page) != len(want) {
		b.t.Fatalf("the second page has %d links, want %d", len(page), len(want))
	}
	for i := range want {
		if page[i].Ticket != want[i] {
			b.t.Errorf("link %d of the second page is ticket %d, want %d", i, page[i].Ticket, want[i])
		}
	}
}

func (b *bench) listDeadEntries() {
	b.t.Helper()
	b.put(created(1))
	dead := b.lease(2)
	b.died(dead, 5)
	b.release(dead)
	dead = b.lease(1)
	b.died(dead, 6) // of a ticket that has a link, made by another
	b.release(dead)
	b.wantTickets(10, 1)
	if n, err := b.store.Client().ZCard(b.ctx(), b.store.Key("links/"+connector, "tickets")).Result(); err != nil || n != 1 {
		b.t.Errorf("the index holds %d entries (%v), want the dead ones dropped", n, err)
	}
	b.wantTickets(1, 1)
}

func (b *bench) listLivingEntry() {
	b.t.Helper()
	busy := b.lease(1)
	b.died(busy, 5)
	b.wantTickets(10)
	if _, err := b.links.Put(b.ctx(), busy, linked(1, 5)); err != nil {
		b.t.Fatal(err)
	}
	b.wantTickets(10, 1)
}

// lateDelete: a deleter is paused after the link was deleted; meanwhile the ticket is
// being linked with the same work item again, under a newer token.
func (b *bench) lateDelete() {
	b.t.Helper()
	first := b.put(linked(1, 5))
	held := b.lease(1)
	newer := held
	newer.Token += 10
	b.died(newer, 5)
	if err := b.links.Delete(b.ctx(), held, first); err != nil {
		b.t.Fatal(err)
	}
	claim, err := b.store.Client().HGet(b.ctx(), b.store.Key("links/"+connector, "workitems"), "5").Result()
	if err != nil || claim != "1:"+strconv.FormatInt(newer.Token, 10) {
		b.t.Errorf("the newer claim is now %q %v", claim, err)
	}
}

// raceForWorkItem lets tickets fight for one work item after the other: one wins each.
func (b *bench) raceForWorkItem() {
	b.t.Helper()
	const tickets, workItems = 6, 30
	for workItem := int64(1); workItem <= workItems; workItem++ {
		var won atomic.Int64
		var all sync.WaitGroup
		for n := range int64(tickets) {
			all.Go(func() {
				ticket := workItem*100 + n
				held, err := b.leases.Acquire(b.ctx(), link.TicketKey(connector, ticket), long)
				if err != nil {
					b.t.Errorf("acquire: %v", err)
					return
				}
				_, err = b.links.Put(b.ctx(), held, linked(ticket, workItem))
				switch {
				case err == nil:
					won.Add(1)
				case !fault.Is(err, fault.Conflict):
					b.t.Errorf("put: %v", err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			b.t.Errorf("work item %d belongs to %d tickets", workItem, won.Load())
		}
	}
}

// listBesideWriters lists while links are being made: no entry may be taken for dead
// before its link is written.
func (b *bench) listBesideWriters() {
	b.t.Helper()
	const links = 150
	made := make(chan struct{})
	var listing sync.WaitGroup
	for range 2 {
		listing.Go(func() {
			for {
				select {
				case <-made:
					return
				default:
				}
				if _, _, err := b.links.List(b.ctx(), connector, link.MaxPageSize, ""); err != nil {
					b.t.Errorf("list: %v", err)
					return
				}
			}
		})
	}
	var want []int64
	for n := int64(1); n <= links; n++ {
		b.put(linked(n, n+1000))
		want = append(want, n)
	}
	close(made)
	listing.Wait()
	b.wantTickets(link.MaxPageSize, want...)
}

// concurrent lets workers that lose their leases write links that fight for work
// items. Whatever happens: versions are counted without gap or doubling, no read is
// older than a write that was acknowledged before it, and no work item has two
// tickets.
func (b *bench) concurrent() {
	b.t.Helper()
	const workers, rounds, tickets, workItems = 6, 40, 3, 4
	var acknowledged [tickets + 1]writes
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range rounds {
				n := 1 + chance(tickets)
				before := acknowledged[n].last()
				known, err := b.links.Get(b.ctx(), connector, n)
				if err != nil {
					b.t.Errorf("get: %v", err)
					return
				}
				if known.Version < before {
					b.t.Errorf("ticket %d: read version %d after %d was acknowledged", n, known.Version, before)
				}
				ttl := long
				if chance(3) == 0 {
					ttl = time.Millisecond // most likely over before the put
				}
				held, err := b.leases.Acquire(b.ctx(), link.TicketKey(connector, n), ttl)
				if fault.Is(err, fault.Conflict) {
					continue
				}
				if err != nil {
					b.t.Errorf("acquire: %v", err)
					return
				}
				b.write(held, known, chance(workItems+1), &acknowledged[n])
				_ = b.leases.Release(b.ctx(), held) // may be lost
			}
		})
	}
	all.Wait()
	owner := map[int64]int64{}
	for n := int64(1); n <= tickets; n++ {
		l := b.get(n)
		for version := int64(1); version <= max(l.Version, acknowledged[n].last()); version++ {
			if times := acknowledged[n].times[version]; times != 1 {
				b.t.Errorf("ticket %d: version %d was acknowledged %d times", n, version, times)
			}
		}
		if l.WorkItem == 0 {
			continue
		}
		if other, taken := owner[l.WorkItem]; taken {
			b.t.Errorf("work item %d belongs to tickets %d and %d", l.WorkItem, other, n)
		}
		owner[l.WorkItem] = n
		b.wantTicketOf(l.WorkItem, n)
	}
}

func (b *bench) write(held lease.Lease, known item.Link, workItem int64, acknowledged *writes) {
	want := linked(held.Key.ID, workItem)
	want.Version = known.Version
	stored, err := b.links.Put(b.ctx(), held, want)
	if fault.Is(err, fault.Conflict) {
		return
	}
	if err != nil {
		b.t.Errorf("put: %v", err)
		return
	}
	acknowledged.add(stored.Version)
}

// writes are the acknowledged versions of one link.
type writes struct {
	mu    sync.Mutex
	times map[int64]int
	top   int64
}

func (w *writes) add(version int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.times == nil {
		w.times = make(map[int64]int)
	}
	w.times[version]++
	w.top = max(w.top, version)
}

func (w *writes) last() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.top
}

// chance is a number from 0 to n-1.
func chance(n int64) int64 { return rand.Int64N(n) }
