package rebuild_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
	"github.com/tandem-sync/tandem/services/synccore/internal/rebuild"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
)

// world is both systems as plain values, what is remembered, and what was done.
type world struct {
	tickets   []item.Ticket
	workItems []item.WorkItem
	known     map[int64]item.Link
	complete  bool
	existing  []int64
	fresh     []int64
	marked    bool
	broken    map[int64]error

	mu     sync.Mutex
	rounds map[int64]int64
	told   map[int64]string
}

func (w *world) Pages(context.Context, int) iter.Seq2[item.TicketPage, error] {
	return func(yield func(item.TicketPage, error) bool) { yield(item.TicketPage{Tickets: w.tickets}, nil) }
}

func (w *world) Ticket(_ context.Context, id int64) (item.Ticket, error) {
	for _, t := range w.tickets {
		if t.ID == id {
			t.Custom = map[string]string{"told": "1"}
			if id == 6 {
				t.ExternalID = "106" // the list did not tell
			}
			return t, nil
		}
	}
	return item.Ticket{}, fault.New(fault.NotFound, "None.")
}

func (w *world) AllTags(_ context.Context, position string) (item.Changes, error) {
	half := len(w.workItems) / 2
	if position == "" {
		return item.Changes{WorkItems: w.workItems[:half], Next: "2"}, nil
	}
	return item.Changes{WorkItems: w.workItems[half:], Next: "3", Last: true}, nil
}

func (w *world) WorkItems(_ context.Context, ids []int64) ([]item.WorkItem, error) {
	var found []item.WorkItem
	for _, one := range w.workItems {
		if slices.Contains(ids, one.ID) && !one.Deleted {
			found = append(found, one)
		}
	}
	return found, nil
}

func (w *world) Reindex(context.Context, string, []int64) error { return nil }

func (w *world) GetMany(context.Context, string, []int64) (map[int64]item.Link, error) {
	return w.known, nil
}

func (w *world) IsComplete(context.Context, string) (bool, error) { return w.complete, nil }

func (w *world) AddExisting(_ context.Context, _ string, tickets ...int64) error {
	w.existing = append(w.existing, tickets...)
	return nil
}

func (w *world) RemoveExisting(_ context.Context, _ string, tickets ...int64) error {
	w.fresh = append(w.fresh, tickets...)
	return nil
}

func (w *world) MarkComplete(context.Context, string) error {
	w.marked = true
	return nil
}

func (w *world) rebuild(t *testing.T) *rebuild.Rebuild {
	t.Helper()
	statuses, problems := mapping.NewStatusMap([]item.Pair{{State: "To Do", Status: "Development"}, {State: "Done", Status: "Testing"}})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	w.rounds, w.told = map[int64]int64{}, map[int64]string{}
	return &rebuild.Rebuild{
		Connector: "development", Rules: plan.Rules{Map: statuses, Conflict: mapping.ConflictAlvao}, IgnoreExisting: true,
		Tickets: w, WorkItems: w, Links: w, Origins: w, TicketOfMark: reconcile.TicketOfMark,
		Round: func(_ context.Context, ticket, marked int64) (rebuild.Outcome, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.rounds[ticket] = marked
			return rebuild.Outcome{WorkItem: ticket + 100, Writes: 1, Reason: "in step"}, w.broken[ticket]
		},
		Tell: func(p rebuild.Pair) { w.told[p.Ticket] = p.By + ": " + p.Says },
	}
}

var started = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

func lost() *world {
	told := map[string]string{"told": "1"}
	ticket := func(id int64, status, external string) item.Ticket {
		return item.Ticket{ID: id, Status: status, ExternalID: external, Custom: told, Created: started.Add(-time.Hour)}
	}
	fresh := ticket(9, "Development", "")
	fresh.Created = started.Add(time.Hour)
	return &world{
		tickets: []item.Ticket{
			ticket(1, "Development", "101"), // both
			ticket(2, "Development", ""),    // the mark alone
			ticket(3, "Testing", "103"),     // the number alone, and not in step
			ticket(4, "Testing", "101"),     // a person gave it another's number
			ticket(5, "New", ""),            // nothing of ours
			{ID: 6, Status: "Development"},  // the list tells no numbers
			ticket(7, "Closed", "107"),      // its work item was deleted
			ticket(8, "Development", ""),    // in a mapped status, without a mark
			fresh,
			ticket(10, "Development", "INC-5"),
		},
		workItems: []item.WorkItem{
			{ID: 101, Rev: 3, State: "To Do", Tags: []string{"urgent", "alvao-1"}},
			{ID: 102, Rev: 1, State: "To Do", Tags: []string{"ALVAO-2"}},
			{ID: 99, Rev: 3, State: "To Do", Tags: []string{"ALVAO-"}},
			{ID: 103, Rev: 3, State: "To Do"},
			{ID: 106, Rev: 2, State: "To Do"},
			{ID: 107, Deleted: true, Tags: []string{"ALVAO-7"}},
			{ID: 150, Rev: 2, State: "To Do", Tags: []string{"ALVAO-50"}},
			{ID: 202, Rev: 4, State: "To Do", Tags: []string{"ALVAO-2"}}, // a copy of 102
		},
		broken: map[int64]error{},
	}
}

func TestDryRunTellsAndWritesNothing(t *testing.T) {
	t.Parallel()
	w := lost()
	r := w.rebuild(t)
	r.DryRun = true
	result, err := r.Run(t.Context())
	if err != nil || len(w.rounds)+len(w.existing)+len(w.fresh) != 0 || w.marked {
		t.Errorf("%v; it did %v", err, w)
	}
	if want := (rebuild.Result{Tickets: 10, WorkItems: 8, Marked: 5, Linked: 5, Alone: 3}); result != want {
		t.Errorf("%+v, want %+v", result, want)
	}
	for ticket, says := range map[int64]string{
		1: "both: would be linked; in step", 2: "mark: would be linked; in step", 3: "number: would be linked; not in step: by the policy alvao the work item would go to \"Done\"",
		4: "belongs to ticket 1", 6: "number: would be linked", 7: "can't be read", 50: "not listed",
	} {
		if !strings.Contains(w.told[ticket], says) {
			t.Errorf("of ticket %d it tells %q, want %q", ticket, w.told[ticket], says)
		}
	}
}

func TestEachPairIsLookedAtOnce(t *testing.T) {
	t.Parallel()
	w := lost()
	w.complete = true // so that it does not wait
	w.known = map[int64]item.Link{3: {Ticket: 3, WorkItem: 103, Agreed: item.Pair{Status: "Testing", State: "Done"}}}
	w.broken = map[int64]error{
		1: fault.New(fault.Busy, "An approval runs."), 7: fault.New(fault.Unavailable, "Azure DevOps is away."),
	}
	r := w.rebuild(t)
	r.NewSince = started
	result, err := r.Run(t.Context())
	if !errors.Is(err, rebuild.ErrIncomplete) {
		t.Errorf("one failed: %v", err)
	}
	if diff := cmp.Diff(map[int64]int64{1: 101, 2: 102, 6: 0, 7: 107}, w.rounds); diff != "" {
		t.Errorf("rounds, by the mark: %s", diff)
	}
	if result.Known != 1 || result.Linked != 4 || result.Failed != 1 || result.New != 1 || result.Alone != 2 {
		t.Errorf("%+v", result)
	}
	// What is old was noted when the connector started; that one ticket is new is certain.
	if diff := cmp.Diff([]int64{9}, w.fresh); diff != "" || len(w.existing) != 0 || w.marked {
		t.Errorf("noted %v and %v, complete: %v", w.fresh, w.existing, w.marked)
	}
}
