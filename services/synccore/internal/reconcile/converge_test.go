package reconcile_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	sandboxfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// The length of the suite, and one history to play alone.
var (
	histories = flag.Int("histories", 200, "how many random histories are played")
	oneSeed   = flag.Uint64("history", 0, "the seed of the one history to be played")
)

// wrote is what somebody wrote on one side, with all its wordings.
type wrote struct {
	record  bool
	id      int
	words   []string
	deleted bool
}

// history is one random history of a linked pair.
type history struct {
	*chat

	rnd    *rand.Rand
	faults *sandboxfault.Set
	wrote  []*wrote
	files  map[string]bool // by name; true: attached in Alvao
	count  int
}

func (h *history) word() string {
	h.count++
	return fmt.Sprintf("word-%d-%d.", h.ticket, h.count)
}

// TestRandomHistoriesConverge plays random histories of people who talk, attach,
// edit, delete and move things on both sides, while hints are dropped and doubled, calls
// fail, answers are lost, and memory is. Once it is quiet, everything stands on the
// other side exactly once, and another round writes nothing.
func TestRandomHistoriesConverge(t *testing.T) {
	t.Parallel()
	const worlds = 4
	if *oneSeed != 0 {
		faults := sandboxfault.NewSet(*oneSeed)
		play(t, setup(t, talking, func(o *options) { o.faults = faults }), faults, *oneSeed)
		return
	}
	for n := range worlds {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			base := uint64(time.Now().UnixNano())
			for i := range max(1, *histories/worlds) {
				seed := base + uint64(i)
				faults := sandboxfault.NewSet(seed)
				ok := t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
					play(t, setup(t, talking, func(o *options) { o.faults = faults }), faults, seed)
				})
				if !ok {
					t.Fatalf("play it again with -run TestRandomHistoriesConverge -history %d", seed)
				}
			}
		})
	}
}

func play(t *testing.T, w *world, faults *sandboxfault.Set, seed uint64) {
	t.Helper()
	h := &history{
		chat: &chat{world: w, ticket: w.ticket(t, "Development")}, faults: faults, files: map[string]bool{},
		rnd: rand.New(rand.NewPCG(seed, 1)),
	}
	h.round(t)
	h.workItem = w.link(t, h.ticket).WorkItem
	for range 4 + h.rnd.IntN(16) {
		h.act(t)
		h.pass(time.Duration(h.rnd.IntN(20)) * time.Second)
	}
	h.settle(t)
	h.check(t)
	h.quiet(t)
}

// act lets one thing happen.
func (h *history) act(t *testing.T) {
	t.Helper()
	switch n := h.rnd.IntN(20); {
	case n < 3:
		word := h.word()
		made := h.write(t, "<p>"+word+"</p>")
		h.wrote = append(h.wrote, &wrote{record: true, id: made.ID, words: []string{word}})
	case n < 6:
		word := h.word()
		made := h.comment(t, "<div>"+word+"</div>")
		h.wrote = append(h.wrote, &wrote{id: made.ID, words: []string{word}})
	case n < 8:
		h.edit(t)
	case n == 8:
		h.remove(t)
	case n == 9:
		name := h.word() + "log"
		word := h.word()
		made := h.write(t, "<p>"+word+"</p>", standalvao.NewAttachment{Name: name, Content: []byte(name)})
		h.wrote = append(h.wrote, &wrote{record: true, id: made.ID, words: []string{word}})
		h.files[name] = true
	case n == 10:
		name := h.word() + "patch"
		h.attach(t, name, []byte(name))
		h.files[name] = false
	case n == 11:
		// It may be refused, as a rule of the process would.
		_ = h.desk.SetStatus(t.Context(), standalvao.Solver, int(h.ticket), []string{"Development", "Development pending", "Testing"}[h.rnd.IntN(3)])
	case n == 12:
		h.setState(t, h.workItem, []string{"To Do", "Doing", "Done"}[h.rnd.IntN(3)])
	case n == 13:
		k := link.TicketKey(name, h.ticket)
		if err := h.store.Client().Del(t.Context(), h.store.Key(lease.Tag(k), "mirrors")).Err(); err != nil {
			t.Fatal(err)
		}
	default:
		h.disturbedRound(t)
	}
}

func (h *history) pick() *wrote {
	if len(h.wrote) == 0 {
		return nil
	}
	if one := h.wrote[h.rnd.IntN(len(h.wrote))]; !one.deleted {
		return one
	}
	return nil
}

func (h *history) edit(t *testing.T) {
	t.Helper()
	one := h.pick()
	if one == nil {
		return
	}
	word := h.word()
	var err error
	if one.record {
		err = h.desk.EditMessage(t.Context(), standalvao.Requester, int(h.ticket), one.id, "<p>"+word+"</p>")
	} else {
		_, err = h.boards.As(developer).EditComment(int(h.workItem), one.id, "<p>"+word+"</p>")
	}
	if err != nil {
		t.Fatal(err)
	}
	one.words = append(one.words, word)
}

func (h *history) remove(t *testing.T) {
	t.Helper()
	one := h.pick()
	if one == nil {
		return
	}
	var err error
	if one.record {
		for name, here := range h.files {
			for _, r := range h.desk.Records(int(h.ticket)) {
				if here && r.ID == one.id && len(r.Attachments) == 1 && r.Attachments[0].Name == name {
					// A file that goes with its message may or may not have crossed before.
					delete(h.files, name)
				}
			}
		}
		err = h.desk.DeleteMessage(t.Context(), standalvao.Requester, int(h.ticket), one.id)
	} else {
		_, err = h.boards.As(developer).DeleteComment(int(h.workItem), one.id)
	}
	if err != nil {
		t.Fatal(err)
	}
	one.deleted = true
}

// disturbedRound serves a hint while a call fails or the process dies.
func (h *history) disturbedRound(t *testing.T) {
	t.Helper()
	switch h.rnd.IntN(4) {
	case 0:
		h.cuts.arm(1+h.rnd.IntN(10), h.rnd.IntN(2) == 0)
	case 1, 2:
		kinds := []sandboxfault.Kind{sandboxfault.KindLostReply, sandboxfault.KindCut, sandboxfault.KindUnavailable}
		rule := sandboxfault.Rule{
			Method: []string{http.MethodPost, http.MethodPatch, http.MethodPut}[h.rnd.IntN(3)], Kind: kinds[h.rnd.IntN(len(kinds))],
			Skip: h.rnd.IntN(4), Count: 1,
		}
		if _, err := h.faults.Add(rule); err != nil {
			t.Fatal(err)
		}
	default:
	}
	for range 1 + h.rnd.IntN(2) {
		_, err := h.engine.Handle(t.Context(), h.connector, hints(h.ticket))
		if told, ok := fault.As(err); err != nil && !errors.Is(err, errCut) && (!ok || told.Kind == fault.Internal || told.Kind == fault.Invalid) {
			t.Fatal(err)
		}
		h.pass(time.Duration(h.rnd.IntN(10)) * time.Second)
	}
	h.cuts.arm(0, false)
	h.faults.Clear()
}

// settle lets everything that is under way arrive, and serves what is left.
func (h *history) settle(t *testing.T) {
	t.Helper()
	h.pass(plan.Settle)
	for range 10 {
		_, err := h.engine.Handle(t.Context(), h.connector, hints(h.ticket))
		if err == nil {
			return
		}
		h.pass(plan.Settle)
	}
	t.Fatal("no round came to its end")
}

func (h *history) check(t *testing.T) {
	t.Helper()
	for _, one := range h.wrote {
		now := one.words[len(one.words)-1]
		copies, notices := len(h.records(now)), len(h.records(fmt.Sprintf("-C%d-V999999999-", one.id)))
		if one.record {
			copies, notices = len(h.comments(now)), len(h.comments(fmt.Sprintf("-R%d-V999999999-", one.id)))
			for _, before := range one.words[:len(one.words)-1] {
				if len(h.comments(before)) != 0 {
					t.Errorf("record %d still stands as %s", one.id, before)
				}
			}
		}
		ever := 0
		for _, word := range one.words {
			ever += len(h.records(word))
			if !one.record && len(h.records(word)) > 1 {
				t.Errorf("comment %d stands %d times as %s", one.id, len(h.records(word)), word)
			}
		}
		switch {
		case !one.deleted && (copies != 1 || notices != 0):
			t.Errorf("%+v stands %d times, retracted %d times", *one, copies, notices)
		case one.deleted && one.record && (copies != 0 || notices > 1):
			t.Errorf("deleted %+v stands %d times, retracted %d times", *one, copies, notices)
		case one.deleted && !one.record && ((ever > 0) != (notices == 1) || notices > 1):
			t.Errorf("deleted %+v stands %d times, retracted %d times", *one, ever, notices)
		}
	}
	for name, here := range h.files {
		copies := len(h.attached(name))
		if !here {
			copies = len(h.chat.files(name))
			for _, f := range h.chat.files(name) {
				if !bytes.Equal(f.Content, []byte(name)) {
					t.Errorf("file %s holds %q", name, f.Content)
				}
			}
		}
		if copies != 1 {
			t.Errorf("file %s stands %d times", name, copies)
		}
	}
	pairs := map[string]string{"Development": "To Do", "Development pending": "Doing", "Testing": "Done"}
	if status, state := h.status(t, h.ticket), h.state(t, h.workItem); pairs[status] != state {
		t.Errorf("ended in %q and %q", status, state)
	}
	if n := h.marked(h.ticket); n != 1 {
		t.Errorf("%d work items", n)
	}
	if t.Failed() {
		changes, _ := h.links.History(t.Context(), name, h.ticket, 0)
		for _, change := range changes {
			t.Logf("history: %s %s", change.Action, strings.TrimSpace(change.Detail))
		}
	}
}
