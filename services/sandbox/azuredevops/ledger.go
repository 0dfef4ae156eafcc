package azuredevops

import (
	"slices"
	"time"
)

// WriteKind says what was written.
type WriteKind string

// The kinds of writes in the ledger.
const (
	WriteCreate        WriteKind = "create"
	WriteUpdate        WriteKind = "update"
	WriteComment       WriteKind = "comment"
	WriteCommentEdit   WriteKind = "commentEdit"
	WriteCommentDelete WriteKind = "commentDelete"
	WriteUpload        WriteKind = "upload" // of an attachment, before it is linked
	WriteDelete        WriteKind = "delete"
	WriteRestore       WriteKind = "restore"
	WriteDestroy       WriteKind = "destroy"
	WriteSubscription  WriteKind = "subscription" // a service hook was made, changed or removed
)

// Write is one accepted change. What was refused, only validated, or changed nothing is not in the ledger.
type Write struct {
	// Seq counts all writes from 1.
	Seq int
	// At is when, Kind what.
	At   time.Time
	Kind WriteKind
	// Item and Rev are the work item and the revision it was left at; 0 where there is none.
	Item, Rev int
	// By is the unique name of whose credentials asked, REST whether by HTTP or by the Go API.
	By   string
	REST bool
	// Fields are the reference names of the fields that changed, Relations the kinds of the relations added.
	Fields, Relations []string
	// Comment is the id of the comment written, if one was.
	Comment int
	// Attachment is the GUID of the file uploaded, Size its length in bytes.
	Attachment string
	Size       int64
}

// maxWrites bounds the ledger; the older half goes when it is full.
const maxWrites = 1_000_000

type ledger struct {
	seq  int
	list []Write
}

// note appends to the ledger and tells the watchers. Call it with mu held.
func (s *Server) note(w Write) {
	s.ledger.seq++
	w.Seq = s.ledger.seq
	if len(s.ledger.list) >= maxWrites {
		s.ledger.list = slices.Clone(s.ledger.list[maxWrites/2:])
	}
	s.ledger.list = append(s.ledger.list, w)
	s.watchers.tell(Change{Seq: w.Seq, Kind: w.Kind, Item: w.Item, Rev: w.Rev})
}

// Writes returns the ledger of accepted changes, oldest first.
func (s *Server) Writes() []Write {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.Clone(s.ledger.list)
}

// WritesSince returns the writes with a Seq above the given one, so that a test can look at what a step added.
func (s *Server) WritesSince(seq int) []Write {
	s.mu.RLock()
	defer s.mu.RUnlock()
	i, _ := slices.BinarySearchFunc(s.ledger.list, seq+1, func(w Write, seq int) int { return w.Seq - seq })
	return slices.Clone(s.ledger.list[i:])
}

// LastWrite is the Seq of the newest write, 0 if there is none.
func (s *Server) LastWrite() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.ledger.seq
}

// Change tells a watcher that something was written. What there is now is to be read.
type Change struct {
	// Seq and Kind are those of the ledger entry.
	Seq  int
	Kind WriteKind
	// Item and Rev are the work item concerned, 0 if none.
	Item, Rev int
}

// watchers are those who want to hear of changes.
type watchers struct {
	closed bool
	list   []chan Change
}

// tell hands a change to all watchers; who is slow loses the oldest.
func (w *watchers) tell(c Change) {
	for _, ch := range w.list {
		select {
		case ch <- c:
			continue
		default:
		}
		select {
		case <-ch:
		default:
		}
		select {
		case ch <- c:
		default:
		}
	}
}

func (w *watchers) close() {
	for _, ch := range w.list {
		close(ch)
	}
	w.list, w.closed = nil, true
}

// Watch returns a channel on which every write is told, and a function that ends it. A reader that is more than 256
// changes late misses the oldest, so it should read the state anew rather than count. The channel is closed by that
// function and by [Server.Close].
func (s *Server) Watch() (<-chan Change, func()) {
	ch := make(chan Change, 256)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watchers.closed {
		close(ch)
		return ch, func() {}
	}
	s.watchers.list = append(s.watchers.list, ch)
	return ch, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if i := slices.Index(s.watchers.list, ch); i >= 0 {
			s.watchers.list = slices.Delete(s.watchers.list, i, i+1)
			close(ch)
		}
	}
}
