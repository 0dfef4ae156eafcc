package linktest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
)

// at is a time of the tests' own clock.
func at(second int64) time.Time { return time.Date(2026, 3, 1, 0, 0, int(second), 0, time.UTC) }

// query reads all pages of a query.
func (b *bench) query(q link.Query, pageSize int) []int64 {
	b.t.Helper()
	var got []int64
	for token, first := "", true; first || token != ""; first = false {
		page, next, err := b.links.Query(b.ctx(), connector, q, pageSize, token)
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
	return got
}

func (b *bench) wantQuery(q link.Query, pageSize int, want ...int64) {
	b.t.Helper()
	if diff := gocmp.Diff(want, b.query(q, pageSize)); diff != "" {
		b.t.Errorf("%+v in pages of %d (-want +got):\n%s", q, pageSize, diff)
	}
}

func stated(ticket, workItem int64, state item.LinkState, second int64) item.Link {
	return item.Link{Connector: connector, Ticket: ticket, WorkItem: workItem, State: state, Updated: at(second)}
}

func (b *bench) queries() {
	b.t.Helper()
	one := b.put(stated(100, 7, item.LinkActive, 1))
	b.put(stated(9, 8, item.LinkParked, 2))
	b.put(stated(20, 5, item.LinkActive, 3))
	b.put(stated(3, 0, item.LinkCreating, 4))
	b.put(stated(1000, 6, item.LinkGone, 5))
	active, parked := []item.LinkState{item.LinkActive}, []item.LinkState{item.LinkParked}
	for _, size := range []int{1, 2, 3, 100} {
		b.wantQuery(link.Query{}, size, 3, 9, 20, 100, 1000)
		b.wantQuery(link.Query{Descending: true}, size, 1000, 100, 20, 9, 3)
		b.wantQuery(link.Query{Order: link.ByUpdate}, size, 100, 9, 20, 3, 1000)
		b.wantQuery(link.Query{Order: link.ByUpdate, Descending: true}, size, 1000, 3, 20, 9, 100)
		b.wantQuery(link.Query{Order: link.ByWorkItem}, size, 3, 20, 1000, 100, 9)
		b.wantQuery(link.Query{States: active}, size, 20, 100)
		b.wantQuery(link.Query{States: append(active, parked...), Order: link.ByUpdate, Descending: true}, size, 20, 9, 100)
		b.wantQuery(link.Query{Order: link.ByUpdate, From: at(2), Before: at(4)}, size, 9, 20)
		b.wantQuery(link.Query{Order: link.ByUpdate, Descending: true, From: at(2), Before: at(4)}, size, 20, 9)
	}
	b.wantQuery(link.Query{WorkItem: 8}, 10, 9)
	b.wantQuery(link.Query{WorkItem: 8, States: active}, 10)
	b.wantQuery(link.Query{WorkItem: 99}, 10)
	b.wantQuery(link.Query{Ticket: 20}, 10, 20)
	b.wantQuery(link.Query{Ticket: 21}, 10)
	// A link that moves on is found where it went, and nowhere else.
	one.State, one.Updated = item.LinkParked, at(9)
	one = b.put(one)
	b.wantQuery(link.Query{States: active}, 10, 20)
	b.wantQuery(link.Query{States: parked, Order: link.ByUpdate}, 10, 9, 100)
	held := b.lease(100)
	if err := b.links.Delete(b.ctx(), held, one); err != nil {
		b.t.Fatal(err)
	}
	b.wantQuery(link.Query{States: parked}, 10, 9)
	for order := range map[link.Order]bool{link.ByTicket: true, link.ByUpdate: true, link.ByWorkItem: true} {
		if n, err := b.store.Client().ZCard(b.ctx(), b.stateKey(item.LinkParked, order)).Result(); err != nil || n != 1 {
			b.t.Errorf("%d parked links by %s (%v), want the deleted one dropped", n, order, err)
		}
	}
}

func (b *bench) stateKey(state item.LinkState, order link.Order) string {
	return b.store.Key("links/"+connector, string(state)+"/by-"+string(order))
}

// queryTokens: a token holds for its own question only.
func (b *bench) queryTokens() {
	b.t.Helper()
	for n := int64(1); n <= 5; n++ {
		b.put(stated(n, n+10, item.LinkActive, n))
	}
	asked := link.Query{Order: link.ByUpdate}
	_, token, err := b.links.Query(b.ctx(), connector, asked, 2, "")
	if err != nil || token == "" {
		b.t.Fatal(token, err)
	}
	for _, other := range []link.Query{{Order: link.ByUpdate, Descending: true}, {Order: link.ByWorkItem}, {States: []item.LinkState{item.LinkActive}}, {}, {Ticket: 1}} {
		if _, _, err := b.links.Query(b.ctx(), connector, other, 2, token); !fault.Is(err, fault.Invalid) {
			b.t.Errorf("%+v with a token of %+v: %v", other, asked, err)
		}
	}
	for _, bad := range []string{"x", "e30", token[:len(token)-4]} {
		if _, _, err := b.links.Query(b.ctx(), connector, asked, 2, bad); !fault.Is(err, fault.Invalid) {
			b.t.Errorf("token %q: %v", bad, err)
		}
	}
}

// sameMoment: many links of one moment are paged through without one lost or doubled.
func (b *bench) sameMoment() {
	b.t.Helper()
	var want []int64
	for n := int64(101); n <= 123; n++ {
		b.put(stated(n, n, item.LinkActive, 7))
		want = append(want, n)
	}
	for _, size := range []int{1, 4, 22, 23, 24} {
		b.wantQuery(link.Query{Order: link.ByUpdate}, size, want...)
	}
	slices.Reverse(want)
	b.wantQuery(link.Query{Order: link.ByUpdate, Descending: true}, 5, want...)
}

// refusedMovesNothing: a writer that is refused leaves the index as the link is.
func (b *bench) refusedMovesNothing() {
	b.t.Helper()
	stored := b.put(stated(1, 5, item.LinkActive, 1))
	late := b.lease(1)
	b.release(late)
	wrong := stored
	wrong.State, wrong.Updated = item.LinkParked, at(50)
	_, err := b.links.Put(b.ctx(), late, wrong)
	b.wantConflict(err, "putting after the lease")
	wrong.State = item.LinkActive
	_, err = b.links.Put(b.ctx(), late, wrong)
	b.wantConflict(err, "putting after the lease")
	_, err = b.links.Put(b.ctx(), late, stated(2, 6, item.LinkActive, 1))
	b.wantConflict(err, "putting another's")
	for state, want := range map[item.LinkState]int64{item.LinkActive: 1, item.LinkParked: 0} {
		if n, err := b.store.Client().ZCard(b.ctx(), b.stateKey(state, link.ByUpdate)).Result(); err != nil || n != want {
			b.t.Errorf("%d entries of %s (%v), want %d", n, state, err, want)
		}
	}
	b.wantQuery(link.Query{Order: link.ByUpdate, Before: at(2)}, 10, 1)
}

// queryMends: entries that a kill left behind, links stored before there was an index,
// and entries that were lost are put right by whoever reads.
func (b *bench) queryMends() {
	b.t.Helper()
	b.put(stated(1, 5, item.LinkActive, 1))
	b.put(stated(2, 6, item.LinkActive, 2))
	client := b.store.Client()
	enter := func(state item.LinkState, ticket int64, second int64) {
		b.t.Helper()
		for order, score := range map[link.Order]float64{link.ByTicket: float64(ticket), link.ByUpdate: float64(at(second).UnixMicro()), link.ByWorkItem: float64(ticket + 4)} {
			if err := client.ZAdd(b.ctx(), b.stateKey(state, order), redis.Z{Score: score, Member: ticket}).Err(); err != nil {
				b.t.Fatal(err)
			}
		}
	}
	enter(item.LinkParked, 1, 9) // killed before the link was written
	enter(item.LinkParked, 77, 9)
	busy := b.lease(2)
	enter(item.LinkParked, 2, 9) // about to be written
	b.wantQuery(link.Query{States: []item.LinkState{item.LinkParked}}, 10)
	left, err := client.ZRange(b.ctx(), b.stateKey(item.LinkParked, link.ByUpdate), 0, -1).Result()
	if err != nil || !slices.Equal(left, []string{"2"}) {
		b.t.Errorf("parked entries %v %v, want that of the link about to be written", left, err)
	}
	// A link is found behind the entry of a state that it is not in, on whatever page.
	b.put(stated(4, 8, item.LinkParked, 3))
	held := b.lease(4)
	enter(item.LinkActive, 4, 3)
	b.wantQuery(link.Query{Descending: true}, 1, 4, 2, 1)
	b.release(held)
	b.wantQuery(link.Query{States: []item.LinkState{item.LinkActive}}, 10, 1, 2)
	held = b.lease(4)
	if err := b.links.Delete(b.ctx(), held, b.get(4)); err != nil {
		b.t.Fatal(err)
	}
	b.release(held)
	b.release(busy)
	for _, order := range []link.Order{link.ByTicket, link.ByUpdate, link.ByWorkItem} {
		if err := client.ZRem(b.ctx(), b.stateKey(item.LinkActive, order), "1").Err(); err != nil {
			b.t.Fatal(err)
		}
	}
	enter(item.LinkActive, 2, 40) // with another time than its link's
	b.wantTickets(10, 1, 2)
	b.wantQuery(link.Query{Order: link.ByUpdate, Before: at(9)}, 10, 1, 2)
	// A store from before there was the index.
	keys := []string{b.store.Key("links/"+connector, "states-complete")}
	for _, state := range []item.LinkState{item.LinkActive, item.LinkParked} {
		for _, order := range []link.Order{link.ByTicket, link.ByUpdate, link.ByWorkItem} {
			keys = append(keys, b.stateKey(state, order))
		}
	}
	if err := client.Del(b.ctx(), keys...).Err(); err != nil {
		b.t.Fatal(err)
	}
	b.wantQuery(link.Query{Order: link.ByUpdate, Descending: true}, 1, 2, 1)
}

// randomQueries compares with what a plain search through all links finds.
func (b *bench) randomQueries() {
	b.t.Helper()
	random := rand.New(rand.NewPCG(1, 2))
	all := []item.LinkState{item.LinkCreating, item.LinkActive, item.LinkParked, item.LinkGone}
	known := map[int64]item.Link{}
	second := int64(0)
	for range 250 {
		second += random.Int64N(2)
		ticket := 1 + random.Int64N(40)
		stored, there := known[ticket]
		held := b.lease(ticket)
		switch {
		case there && random.IntN(8) == 0:
			if err := b.links.Delete(b.ctx(), held, stored); err != nil {
				b.t.Fatal(err)
			}
			delete(known, ticket)
		default:
			if !there {
				stored = item.Link{Connector: connector, Ticket: ticket}
			}
			stored.State, stored.Updated = all[random.IntN(len(all))], at(second)
			if random.IntN(2) == 0 {
				stored.WorkItem = 1000 - ticket
			}
			put, err := b.links.Put(b.ctx(), held, stored)
			if err != nil {
				b.t.Fatal(err)
			}
			known[ticket] = put
		}
		b.release(held)
	}
	for range 60 {
		q := link.Query{Order: []link.Order{link.ByTicket, link.ByUpdate, link.ByWorkItem}[random.IntN(3)], Descending: random.IntN(2) == 0}
		for _, state := range all {
			if random.IntN(3) == 0 {
				q.States = append(q.States, state)
			}
		}
		if q.Order == link.ByUpdate && random.IntN(2) == 0 {
			q.From = at(random.Int64N(second))
			q.Before = q.From.Add(time.Duration(random.Int64N(60)) * time.Second)
		}
		b.wantQuery(q, 1+random.IntN(12), brute(known, q)...)
	}
}

// brute searches through all links.
func brute(known map[int64]item.Link, q link.Query) []int64 {
	var of []item.Link
	for _, one := range known {
		if (len(q.States) == 0 || slices.Contains(q.States, one.State)) &&
			(q.From.IsZero() || !one.Updated.Before(q.From)) && (q.Before.IsZero() || one.Updated.Before(q.Before)) {
			of = append(of, one)
		}
	}
	slices.SortFunc(of, func(a, b item.Link) int {
		order := 0
		switch q.Order {
		case link.ByUpdate:
			order = cmp.Or(a.Updated.Compare(b.Updated), cmp.Compare(strconv.FormatInt(a.Ticket, 10), strconv.FormatInt(b.Ticket, 10)))
		case link.ByWorkItem:
			order = cmp.Or(cmp.Compare(a.WorkItem, b.WorkItem), -cmp.Compare(a.Ticket, b.Ticket))
		case link.ByTicket:
			order = cmp.Compare(a.Ticket, b.Ticket)
		}
		if q.Descending {
			return -order
		}
		return order
	})
	var tickets []int64
	for _, one := range of {
		tickets = append(tickets, one.Ticket)
	}
	return tickets
}

// changes: every write is told, in order, and none twice behind its place.
func (b *bench) changes() {
	b.t.Helper()
	start, err := b.links.LastChange(b.ctx(), connector)
	if err != nil || start != "0-0" {
		b.t.Fatal(start, err)
	}
	first := b.put(linked(1, 5))
	b.put(linked(2, 6))
	first = b.put(first)
	held := b.lease(1)
	if err := b.links.Delete(b.ctx(), held, first); err != nil {
		b.t.Fatal(err)
	}
	got, err := b.links.Changes(b.ctx(), connector, start, 100)
	if err != nil {
		b.t.Fatal(err)
	}
	// A link that is new is told of twice: its first write only asked for the index.
	var told []string
	for _, one := range got {
		text := fmt.Sprintf("%d v%d", one.Ticket, one.Version)
		if len(told) == 0 || told[len(told)-1] != text {
			told = append(told, text)
		}
	}
	if diff := gocmp.Diff([]string{"1 v1", "2 v1", "1 v2", "1 v0"}, told); diff != "" {
		b.t.Errorf("(-want +got):\n%s", diff)
	}
	last, err := b.links.LastChange(b.ctx(), connector)
	if err != nil || last != got[len(got)-1].Position {
		b.t.Errorf("the last change is %q %v", last, err)
	}
	if rest, err := b.links.Changes(b.ctx(), connector, last, 100); err != nil || len(rest) != 0 {
		b.t.Errorf("behind the last: %v %v", rest, err)
	}
	if one, err := b.links.Changes(b.ctx(), connector, got[0].Position, 1); err != nil || len(one) != 1 || one[0].Position != got[1].Position {
		b.t.Errorf("one behind the first: %v %v", one, err)
	}
	for _, bad := range []string{"", "x", "1", "1-2-3", "-", "+", "$"} {
		if _, err := b.links.Changes(b.ctx(), connector, bad, 1); !fault.Is(err, fault.Invalid) {
			b.t.Errorf("behind %q: %v", bad, err)
		}
	}
}

// oldChanges: whoever comes back too late is told so.
func (b *bench) oldChanges() {
	b.t.Helper()
	b.put(linked(1, 5))
	early, err := b.links.LastChange(b.ctx(), connector)
	if err != nil {
		b.t.Fatal(err)
	}
	pipe := b.store.Client().Pipeline()
	for range link.ChangesKept + 500 {
		pipe.XAdd(b.ctx(), &redis.XAddArgs{
			Stream: b.store.Key("links/"+connector, "changes"), MaxLen: link.ChangesKept, Approx: true, Values: []any{"t", "1", "v", "2"},
		})
	}
	if _, err := pipe.Exec(b.ctx()); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.links.Changes(b.ctx(), connector, early, 1); !fault.Is(err, fault.NotFound) {
		b.t.Errorf("behind what is not kept any more: %v", err)
	}
	now, err := b.links.LastChange(b.ctx(), connector)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.links.Changes(b.ctx(), connector, now, 1); err != nil {
		b.t.Error(err)
	}
}
