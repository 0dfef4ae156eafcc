package plan_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// edit is a change by a person on one side, at its own time.
type edit struct {
	after  time.Duration
	status string // a ticket's new status, or
	state  string // a work item's new state
}

func (e edit) apply(w *world) {
	at := start().Add(e.after)
	if e.status != "" {
		w.ticket.Status, w.changed = e.status, at
	}
	if e.state != "" && w.workItem != nil {
		w.workItem.State, w.workItem.StateChanged = e.state, at
		w.workItem.Rev++
	}
	if w.now.Before(at) {
		w.now = at
	}
}

func drawWorld(t *rapid.T) *world {
	w := basic(t)
	if rapid.Bool().Draw(t, "agile") {
		w = agile(t)
	}
	if rapid.Bool().Draw(t, "two states for one status") {
		pairs := []string{}
		for _, p := range w.rules.Map.Pairs() {
			pairs = append(pairs, p.State, p.Status)
		}
		extra := map[string]string{"Task": "Removed", "Bug": "Resolved"}[w.types.Name]
		w.rules.Map = statusMap(t, append(pairs, extra, "Testing")...)
	}
	w.rules.Conflict = rapid.SampledFrom([]mapping.Conflict{mapping.ConflictNewest, mapping.ConflictAlvao, mapping.ConflictAzureDevOps}).Draw(t, "policy")
	return w
}

func drawStatus(t *rapid.T) string {
	return rapid.SampledFrom([]string{"New", "Development", "Development pending", "Testing", "Closed"}).Draw(t, "status")
}

func drawState(t *rapid.T, w *world) string {
	return rapid.SampledFrom(w.types.States).Draw(t, "state").Name
}

// agreed tells whether nothing is left that the map could say about both sides.
func (w *world) agreed() bool {
	if w.workItem == nil {
		return !w.rules.Map.NamesStatus(w.ticket.Status)
	}
	if !w.rules.Map.NamesStatus(w.ticket.Status) || !w.rules.Map.NamesState(w.workItem.State) {
		return true
	}
	return w.rules.Map.Agree(w.workItem.State, w.ticket.Status)
}

// After any history of edits and crashes, one more round takes no step at all, both
// sides agree as far as the map goes, and there is one work item.
func TestSecondPlanIsEmpty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		for range rapid.IntRange(1, 12).Draw(t, "edits") {
			w.now = w.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "seconds")) * time.Second)
			if rapid.Bool().Draw(t, "on the ticket") {
				w.setStatus(drawStatus(t))
			} else if w.workItem != nil {
				w.setState(drawState(t, w))
			}
			if rapid.Bool().Draw(t, "a round runs") {
				w.round(t, w.sides(), rapid.IntRange(0, 5).Draw(t, "crash after effect"))
			}
		}
		w.converge(t)
		trail, writes := len(w.trail), w.writes
		w.converge(t)
		if len(w.trail) != trail || w.writes != writes {
			t.Fatalf("the second round took %v", w.trail[trail:])
		}
		if !w.agreed() {
			t.Fatalf("came to rest with %q and %q, link %+v", w.ticket.Status, w.workItem.State, w.link)
		}
		if w.created > 1 {
			t.Fatalf("made %d work items", w.created)
		}
	})
}

// What one side was told maps back to where the other side is: nothing bounces.
func TestThereAndBackIsStable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.setStatus("Development")
		w.converge(t)
		status := rapid.SampledFrom([]string{"Development", "Development pending", "Testing"}).Draw(t, "status")
		w.setStatus(status)
		w.converge(t)
		if w.ticket.Status != status || !w.rules.Map.Agree(w.workItem.State, status) {
			t.Fatalf("status %q became %q with state %q", status, w.ticket.Status, w.workItem.State)
		}
		state := drawState(t, w)
		w.setState(state)
		w.converge(t)
		if w.workItem.State != state {
			t.Fatalf("state %q became %q", state, w.workItem.State)
		}
	})
}

// Two edits of one window end alike whichever is told first: only their own times and
// the policy count.
func TestBothOrdersOfTwoEditsEndAlike(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		pairs := drawWorld(t)
		one := edit{after: time.Duration(rapid.IntRange(3600, 7200).Draw(t, "first at")) * time.Second, status: drawStatus(t)}
		two := edit{after: time.Duration(rapid.IntRange(3600, 7200).Draw(t, "second at")) * time.Second, state: drawState(t, pairs)}
		end := func(edits ...edit) string {
			w := *pairs
			w.setStatus("Development")
			w.converge(t)
			for _, e := range edits {
				e.apply(&w)
			}
			w.converge(t)
			return fmt.Sprintf("%q %q", w.ticket.Status, w.workItem.State)
		}
		if a, b := end(one, two), end(two, one); a != b {
			t.Fatalf("one way %s, the other way %s", a, b)
		}
	})
}

// A crash after any effect, before it is remembered, ends as if there had been none.
func TestCrashAfterEveryEffectHeals(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		model := drawWorld(t)
		var edits []edit
		at := time.Hour
		for range rapid.IntRange(0, 3).Draw(t, "edits") {
			at += time.Duration(rapid.IntRange(1, 3600).Draw(t, "seconds")) * time.Second
			if rapid.Bool().Draw(t, "on the ticket") {
				edits = append(edits, edit{after: at, status: drawStatus(t)})
			} else {
				edits = append(edits, edit{after: at, state: drawState(t, model)})
			}
		}
		crashAt := rapid.IntRange(0, len(edits)).Draw(t, "crash in round")
		crashAfter := rapid.IntRange(1, 6).Draw(t, "crash after effect")
		end := func(crash bool) string {
			w := *model
			w.setStatus("Development")
			for i := 0; ; i++ {
				if crash && i == crashAt {
					w.round(t, w.sides(), crashAfter)
				}
				w.converge(t)
				if i == len(edits) {
					break
				}
				edits[i].apply(&w)
			}
			if w.created != 1 {
				t.Fatalf("made %d work items", w.created)
			}
			return fmt.Sprintf("%q %q", w.ticket.Status, w.workItem.State)
		}
		if calm, crashed := end(false), end(true); calm != crashed {
			t.Fatalf("without a crash %s, with it %s", calm, crashed)
		}
	})
}

// Path finds a way whenever one exists, along legal transitions only, and a shortest.
func TestPath(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := []string{"A", "B", "C", "D", "E"}
		kind := item.WorkItemType{Name: "T", Transitions: map[string][]string{"": {"A"}}}
		edges := map[[2]string]bool{}
		for _, from := range names {
			kind.States = append(kind.States, item.State{Name: from})
			for _, to := range names {
				if rapid.Bool().Draw(t, from+to) {
					kind.Transitions[from] = append(kind.Transitions[from], to)
					edges[[2]string{from, to}] = true
				}
			}
		}
		from, to := rapid.SampledFrom(names).Draw(t, "from"), rapid.SampledFrom(names).Draw(t, "to")
		if from == to {
			return
		}
		// Floyd and Warshall's distances are the oracle.
		const far = 99
		distance := map[[2]string]int{}
		for _, a := range names {
			for _, b := range names {
				distance[[2]string{a, b}] = far
				if edges[[2]string{a, b}] {
					distance[[2]string{a, b}] = 1
				}
			}
		}
		for _, via := range names {
			for _, a := range names {
				for _, b := range names {
					distance[[2]string{a, b}] = min(distance[[2]string{a, b}], distance[[2]string{a, via}]+distance[[2]string{via, b}])
				}
			}
		}
		got := plan.Path(kind, from, to)
		if want := distance[[2]string{from, to}]; want >= far {
			if got != nil {
				t.Fatalf("%s to %s: there is no way, got %v", from, to, got)
			}
			return
		} else if len(got) != want {
			t.Fatalf("%s to %s: %v, the shortest takes %d", from, to, got, want)
		}
		here := from
		for _, next := range got {
			if !edges[[2]string{here, next}] {
				t.Fatalf("%v uses %s to %s, which is not legal", got, here, next)
			}
			here = next
		}
		if here != to {
			t.Fatalf("%v does not lead to %s", got, to)
		}
	})
}

func TestPathWithoutTransitionsIsDirect(t *testing.T) {
	t.Parallel()
	kind := item.WorkItemType{States: []item.State{{Name: "To Do"}, {Name: "Done"}}}
	if got := plan.Path(kind, "To Do", "done"); len(got) != 1 || got[0] != "Done" {
		t.Errorf("got %v", got)
	}
	if got := plan.Path(kind, "To Do", "Finished"); got != nil {
		t.Errorf("a state that the type lacks: got %v", got)
	}
}
