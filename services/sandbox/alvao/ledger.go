package alvao

import (
	"slices"
	"sync"
	"time"
)

// Op says what a write did.
type Op string

// The writes.
const (
	OpTicketCreate  Op = "ticket.create"
	OpTicketUpdate  Op = "ticket.update"
	OpTicketStatus  Op = "ticket.status"
	OpTicketSolver  Op = "ticket.solver"
	OpTicketService Op = "ticket.service"
	OpApproval      Op = "ticket.approval"
	OpTicketRemove  Op = "ticket.remove"
	OpTicketRestore Op = "ticket.restore"
	OpTicketDestroy Op = "ticket.destroy"
	OpRecordCreate  Op = "record.create"
	OpRecordChange  Op = "record.change"
	OpRecordRemove  Op = "record.remove"
	OpWebhookCreate Op = "webhook.create"
	OpWebhookDelete Op = "webhook.delete"
)

// Write is one entry of the ledger: who changed what.
type Write struct {
	// Seq counts from 1 without gaps.
	Seq int64
	At  time.Time
	Op  Op
	// TicketID, RecordID and WebhookID are what was written; zero where it does not apply.
	TicketID, RecordID, WebhookID int
	// PersonID, Person and Login are who did it. Account is set as well if it came through REST.
	PersonID      int
	Person, Login string
	Account       string
	// From and To are the statuses, services or solvers of a move.
	From, To string
	// Fields are the names of changed fields, custom columns by their column name.
	Fields []string
	// Kind is the kind of the record; Process and Notification are the system's own.
	Kind Kind
	// Detail is the subject of a record or the name of a ticket.
	Detail string
}

// ByApplication tells whether the write came through REST.
func (w Write) ByApplication() bool { return w.Account != "" }

// ledger keeps writes in order and tells watchers of them, in order, from a goroutine of its own.
type ledger struct {
	limit int

	mu       sync.Mutex
	seq      int64
	writes   []Write // the newest of them
	byApp    int64
	watchers map[int]func(Write)
	lastID   int
	pending  []Write
	wake     chan struct{}
}

func newLedger(limit int) *ledger {
	return &ledger{limit: limit, watchers: map[int]func(Write){}, wake: make(chan struct{}, 1)}
}

func (l *ledger) add(writes []Write) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range writes {
		l.seq++
		w.Seq = l.seq
		if w.ByApplication() {
			l.byApp++
		}
		l.writes = append(l.writes, w)
		if len(l.watchers) > 0 {
			l.pending = append(l.pending, w)
		}
	}
	// Dropping half at once keeps the cost of trimming constant per write.
	if len(l.writes) > l.limit {
		l.writes = slices.Clone(l.writes[len(l.writes)-l.limit/2:])
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *ledger) after(seq int64) []Write {
	l.mu.Lock()
	defer l.mu.Unlock()
	i, _ := slices.BinarySearchFunc(l.writes, seq, func(w Write, seq int64) int {
		if w.Seq <= seq {
			return -1
		}
		return 1
	})
	return slices.Clone(l.writes[i:])
}

// counts gives all writes, and those by applications.
func (l *ledger) counts() (int64, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seq, l.byApp
}

func (l *ledger) watch(fn func(Write)) func() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lastID++
	id := l.lastID
	l.watchers[id] = fn
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.watchers, id)
	}
}

// run tells watchers until done is closed.
func (l *ledger) run(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case <-l.wake:
		}
		l.mu.Lock()
		pending := l.pending
		l.pending = nil
		fns := make([]func(Write), 0, len(l.watchers))
		for _, fn := range l.watchers {
			fns = append(fns, fn)
		}
		l.mu.Unlock()
		for _, w := range pending {
			for _, fn := range fns {
				fn(w)
			}
		}
	}
}
