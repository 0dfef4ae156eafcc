package alvao

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tidwall/btree"
)

// stripes is how many locks tickets are spread over, so that writers of different tickets rarely meet.
const stripes = 256

// store holds tickets and documents. Writers of one ticket follow each other (stripe lock); what readers see changes
// under mu, which is held for moments only.
type store struct {
	stripe [stripes]sync.Mutex

	mu         sync.RWMutex
	tickets    map[int]*ticket
	children   map[int][]int
	documents  map[int]*document
	byID       *btree.BTreeG[*ticket]
	byActivity *btree.BTreeG[*ticket]

	lastTicket, lastRecord, lastDocument atomic.Int64

	contentsMu sync.Mutex
	// contents are the files' contents by hash: many files of the same content are held once.
	contents map[[sha256.Size]byte][]byte
}

// intern gives the content that is held for all files that have it.
func (s *store) intern(content []byte) []byte {
	if len(content) == 0 {
		return content
	}
	sum := sha256.Sum256(content)
	s.contentsMu.Lock()
	defer s.contentsMu.Unlock()
	held, found := s.contents[sum]
	if !found {
		held = content
		s.contents[sum] = held
	}
	return held
}

func newStore() *store {
	s := &store{
		tickets: map[int]*ticket{}, children: map[int][]int{}, documents: map[int]*document{},
		contents: map[[sha256.Size]byte][]byte{},
		byID:     btree.NewBTreeG(func(a, b *ticket) bool { return a.id < b.id }),
		byActivity: btree.NewBTreeG(func(a, b *ticket) bool {
			if n := a.activity.Compare(b.activity); n != 0 {
				return n < 0
			}
			return a.id < b.id
		}),
	}
	s.lastTicket.Store(1000)
	s.lastRecord.Store(9000)
	s.lastDocument.Store(70)
	return s
}

func (s *store) lock(ticketID int) func() {
	m := &s.stripe[uint(ticketID)%stripes]
	m.Lock()
	return m.Unlock
}

func (s *store) ticket(id int) *ticket {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.tickets[id]
}

// ids lists all tickets.
func (s *store) ids() []int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.tickets))
}

func (s *store) document(id int) *document {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.documents[id]
}

// openChildren lists child tickets that are not closed.
func (s *store) openChildren(id int) []int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var open []int
	for _, child := range s.children[id] {
		if t := s.tickets[child]; t != nil && t.open() {
			open = append(open, child)
		}
	}
	return open
}

// put makes a version the visible one. The caller holds mu.
func (s *store) put(t *ticket) {
	if old := s.tickets[t.id]; old != nil {
		s.byActivity.Delete(old)
	} else if t.parent != 0 {
		s.children[t.parent] = append(s.children[t.parent], t.id)
	}
	s.tickets[t.id] = t
	s.byID.Set(t)
	s.byActivity.Set(t)
}

// drop removes a ticket for good. The caller holds mu.
func (s *store) drop(t *ticket) {
	delete(s.tickets, t.id)
	s.byID.Delete(t)
	s.byActivity.Delete(t)
	for _, r := range t.records {
		for _, d := range r.documents {
			delete(s.documents, d.id)
		}
	}
}

// actor is who makes a change: a person in the WebApp, or an application account through REST.
type actor struct {
	person  *Person
	account *Account
}

// draft is one change of one ticket on its way to being committed.
type draft struct {
	s    *Server
	who  actor
	now  time.Time
	t    *ticket
	old  *ticket // nil for a new ticket
	gone bool    // the ticket is destroyed

	added    []*document
	entered  []*Status
	changed  []string // `table.column`, as Alvao tells its applications
	records  []recordEvent
	writes   []Write
	activity bool
}

type recordEvent struct {
	event string // act.created, act.changed, act.removed
	r     *record
}

// change runs fn on a draft of the ticket and commits what it did.
func (s *Server) change(ctx context.Context, id int, who actor, fn func(*draft) error) (*draft, error) {
	defer s.store.lock(id)()
	old := s.store.ticket(id)
	if old == nil {
		return nil, fmt.Errorf("ticket %d: %w", id, ErrNotFound)
	}
	d := &draft{s: s, who: who, now: s.now(), old: old, t: old.clone()}
	if err := fn(d); err != nil {
		return nil, err
	}
	return d, s.commit(ctx, d)
}

// wrote notes a write for the ledger.
func (d *draft) wrote(op Op, fill func(*Write)) {
	w := Write{Op: op, TicketID: d.t.id, At: d.now, PersonID: d.who.person.ID, Person: d.who.person.Name, Login: d.who.person.Login}
	if d.who.account != nil {
		w.Account = d.who.account.Login
	}
	if fill != nil {
		fill(&w)
	}
	d.writes = append(d.writes, w)
	d.activity = true
}

// commit makes the draft visible and tells those who wait for it: after that, or before it where the tenant's hooks run
// inside the transaction.
func (s *Server) commit(ctx context.Context, d *draft) error {
	if len(d.writes) == 0 {
		return nil
	}
	if d.activity {
		d.t.activity = d.now
	}
	hints := s.hintsOf(d)
	if wait := s.hooks.visibleAfter(); wait > 0 && len(hints) > 0 {
		s.hooks.send(hints)
		if err := s.hooks.pass(ctx, wait); err != nil {
			return err
		}
		hints = nil
	}
	s.store.mu.Lock()
	if d.gone {
		s.store.drop(d.old)
	} else {
		for _, doc := range d.added {
			s.store.documents[doc.id] = doc
		}
		s.store.put(d.t)
	}
	s.ledger.add(d.writes)
	s.store.mu.Unlock()
	s.hooks.send(hints)
	return nil
}

// list takes the visible tickets between two bounds of an index, in its order, until fn says no. It works on a snapshot,
// so that writers do not wait for a long list.
func (s *store) list(index *btree.BTreeG[*ticket], desc bool, low, high *ticket, fn func(*ticket) bool) {
	s.mu.RLock()
	tree := index.Copy()
	s.mu.RUnlock()
	less := tree.Less
	switch {
	case !desc && low == nil:
		tree.Scan(func(t *ticket) bool { return (high == nil || !less(high, t)) && fn(t) })
	case !desc:
		tree.Ascend(low, func(t *ticket) bool { return (high == nil || !less(high, t)) && fn(t) })
	case high == nil:
		tree.Reverse(func(t *ticket) bool { return (low == nil || !less(t, low)) && fn(t) })
	default:
		tree.Descend(high, func(t *ticket) bool { return (low == nil || !less(t, low)) && fn(t) })
	}
}

// sameRecords replaces one record in a draft's log by a changed copy.
func (d *draft) replaceRecord(id int, change func(*record)) (*record, error) {
	i := slices.IndexFunc(d.t.records, func(r *record) bool { return r.id == id })
	if i < 0 {
		return nil, fmt.Errorf("record %d: %w", id, ErrNotFound)
	}
	r := *d.t.records[i]
	change(&r)
	d.t.records = slices.Clone(d.t.records)
	d.t.records[i] = &r
	return &r, nil
}
