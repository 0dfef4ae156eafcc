package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// What was cut off is waited for as long as it may still arrive, counted from when it
// was stored, and a clock that was set back does not make that longer.
func TestHowLongWhatWasCutOffIsWaitedFor(t *testing.T) {
	t.Parallel()
	const source = "alvao/record/7"
	waits := map[string]struct {
		plan func(w *world, cut, now time.Time) plan.Step
		then plan.Kind
	}{
		"a create": {func(w *world, cut, now time.Time) plan.Step {
			w.setStatus("Development")
			s := w.sides()
			s.Now, s.Searched = now, true
			return plan.Next(item.Link{Version: 1, State: item.LinkCreating, Intended: cut}, s, w.rules)
		}, plan.Remember},
		"a note": {func(w *world, cut, now time.Time) plan.Step {
			w = linked(t, w)
			w.link.Note = &item.Note{Number: 1, To: item.Alvao, Text: "x", Posting: cut}
			s := w.sides()
			w.read(&s)
			s.Now, s.NoteSought = now, true
			return plan.Next(w.link, s, w.rules)
		}, plan.BeginNote},
		"a message": {func(w *world, cut, now time.Time) plan.Step {
			w = linked(t, w)
			w.rules.Messages = true
			s := w.sides()
			w.read(&s)
			s.Now, s.MessagesRead = now, true
			s.Messages = []plan.Message{{Source: source, Side: item.Alvao, Crosses: true, Hash: "h", Created: w.now}}
			s.Mirrors = map[string]item.Mirror{source: {Posting: cut, Hash: "h"}}
			return plan.Next(w.link, s, w.rules)
		}, plan.BeginPost},
	}
	for name, c := range waits {
		for _, tc := range []struct{ since, left time.Duration }{
			{0, plan.Settle}, {time.Second, plan.Settle - time.Second}, {plan.Settle - 1, 1}, {plan.Settle, 0}, {-1, 0}, {time.Hour, 0},
		} {
			w := basic(t)
			cut := w.now.Add(time.Hour)
			switch step := c.plan(w, cut, cut.Add(tc.since)); {
			case tc.left > 0 && (step.Kind != plan.Wait || step.After != tc.left):
				t.Errorf("%s, %s later: %s for %s, want to wait for %s", name, tc.since, step.Kind, step.After, tc.left)
			case tc.left == 0 && step.Kind != c.then:
				t.Errorf("%s, %s later: %s, want %s", name, tc.since, step.Kind, c.then)
			}
		}
	}
}

// The number of a note grows even where the clock stands still or goes back, and says
// what is back.
func TestNotesAreNumberedAndNameWhatIsBack(t *testing.T) {
	t.Parallel()
	for side, says := range map[item.System]string{item.AzureDevOps: "The work item is back", item.Alvao: "The ticket is back"} {
		w := linked(t, basic(t))
		w.link.State, w.link.Away = item.LinkGone, side
		for _, known := range []int64{0, w.now.Add(time.Hour).UnixMilli()} {
			w.link.Noted = known
			s := w.sides()
			w.read(&s)
			step := plan.Next(w.link, s, w.rules)
			if step.Kind != plan.Remember || step.Link.Note == nil || !strings.Contains(step.Link.Note.Text, says) {
				t.Fatalf("%s: %+v", side, step)
			}
			if want := max(known+1, w.now.UnixMilli()); step.Link.Noted != want || step.Link.Note.Number != want {
				t.Errorf("%s after %d: note %d, want %d", side, known, step.Link.Noted, want)
			}
		}
	}
}

// A revision counts as seen once the pair rests there, and not before.
func TestWhenARevisionCountsAsSeen(t *testing.T) {
	t.Parallel()
	agreed := item.Pair{Status: "Development", State: "To Do"}
	resting := item.Link{WorkItem: workItemID, State: item.LinkActive, Agreed: agreed}
	for name, tc := range map[string]struct {
		change func(*item.Link, *plan.Sides)
		want   int64
	}{
		"at rest":                 {func(*item.Link, *plan.Sides) {}, 9},
		"never backwards":         {func(l *item.Link, _ *plan.Sides) { l.SeenRev = 12 }, 12},
		"a move is under way":     {func(l *item.Link, _ *plan.Sides) { l.Move = &item.Move{Path: []string{"Done"}} }, 0},
		"the state is another":    {func(_ *item.Link, s *plan.Sides) { s.WorkItem.State = "Doing" }, 0},
		"the status is another":   {func(_ *item.Link, s *plan.Sides) { s.Ticket.Status = "Testing" }, 0},
		"another work item":       {func(_ *item.Link, s *plan.Sides) { s.WorkItem.ID = 99 }, 0},
		"no work item was read":   {func(_ *item.Link, s *plan.Sides) { s.WorkItem = nil }, 0},
		"the link names no other": {func(l *item.Link, _ *plan.Sides) { l.WorkItem = 0 }, 0},
	} {
		link := resting
		s := plan.Sides{Ticket: item.Ticket{Status: agreed.Status}, WorkItem: &item.WorkItem{ID: workItemID, Rev: 9, State: agreed.State, Type: "Task"}}
		tc.change(&link, &s)
		next, _ := plan.Applied(link, plan.Step{Kind: plan.Remember, Link: link}, s)
		if next.SeenRev != tc.want {
			t.Errorf("%s: %d is seen, want %d", name, next.SeenRev, tc.want)
		}
	}
}

// Up to where nobody could listen is remembered once.
func TestUnheardIsRememberedOnce(t *testing.T) {
	t.Parallel()
	w := linked(t, basic(t))
	s := w.sides()
	s.WorkItem = nil
	if _, news := plan.Unheard(w.link, s); news {
		t.Error("something is remembered of a work item that was not read")
	}
	w.read(&s)
	s.Ticket.LastActivity = w.now
	if _, news := plan.Unheard(item.Link{}, s); news {
		t.Error("something is remembered of no work item")
	}
	step, news := plan.Unheard(w.link, s)
	if want := (&item.Look{Rev: w.workItem.Rev, Activity: w.now}); !news || cmp.Diff(want, step.Link.Unheard) != "" {
		t.Fatalf("%+v", step)
	}
	if _, news := plan.Unheard(step.Link, s); news {
		t.Error("it is remembered twice")
	}
	later := s
	later.Ticket.LastActivity = w.now.Add(1)
	if _, news := plan.Unheard(step.Link, later); !news {
		t.Error("a later activity is not remembered")
	}
	newer := *s.WorkItem
	newer.Rev++
	s.WorkItem = &newer
	if _, news := plan.Unheard(step.Link, s); !news {
		t.Error("a newer revision is not remembered")
	}
}

// What a list shows of a link that could not be heard, has another type, or is away.
func TestDoubtAboutWhatChanged(t *testing.T) {
	t.Parallel()
	active := item.Link{WorkItem: 9, Type: "Task", State: item.LinkActive, Agreed: item.Pair{Status: "Development", State: "To Do"}, TalkRev: 4}
	change := func(f func(*item.Link)) item.Link {
		l := active
		f(&l)
		return l
	}
	shown := func(rev int64, kind string) *item.WorkItem {
		return &item.WorkItem{ID: 9, Rev: rev, Type: kind, State: "To Do"}
	}
	unheard := func(rev int64) item.Link { return change(func(l *item.Link) { l.Unheard = &item.Look{Rev: rev} }) }
	gone := func(away item.System) item.Link {
		return change(func(l *item.Link) { l.State, l.Away = item.LinkGone, away })
	}
	for name, tc := range map[string]struct {
		link     item.Link
		workItem *item.WorkItem
		want     plan.Doubt
	}{
		"heard up to here":            {active, shown(4, "Task"), plan.None},
		"said since":                  {active, shown(5, "Task"), plan.Strong},
		"unheard up to here":          {unheard(5), shown(5, "Task"), plan.Slight},
		"unheard, and more since":     {unheard(5), shown(6, "Task"), plan.Strong},
		"heard after all":             {unheard(3), shown(4, "Task"), plan.None},
		"another type":                {active, shown(4, "Bug"), plan.Strong},
		"the type is not told":        {active, shown(4, ""), plan.None},
		"the type was never told":     {change(func(l *item.Link) { l.Type = "" }), shown(4, "Bug"), plan.None},
		"back":                        {gone(item.AzureDevOps), shown(4, "Task"), plan.Strong},
		"the other side is away":      {gone(item.Alvao), shown(9, "Bug"), plan.None},
		"of a link without work item": {change(func(l *item.Link) { l.WorkItem, l.State, l.Away = 0, item.LinkGone, item.AzureDevOps }), shown(4, "Task"), plan.None},
	} {
		if got := plan.ChangeDoubt(tc.link, tc.workItem, plan.Rules{Messages: true}); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

// A ticket that was left parked without a work item is looked at once what parked it
// has changed.
func TestDoubtAboutParkedTicketsWithoutWorkItem(t *testing.T) {
	t.Parallel()
	w := basic(t)
	told := map[string]string{"Building": "A"}
	parked := item.Link{State: item.LinkParked, Parked: &item.Standstill{Status: "Development", ExternalID: "7"}}
	for name, tc := range map[string]struct {
		ticket item.Ticket
		want   plan.Doubt
	}{
		"as it was":                      {item.Ticket{Status: "Development", ExternalID: "7"}, plan.None},
		"the list shows no number":       {item.Ticket{Status: "Development"}, plan.Slight},
		"the number was cleared":         {item.Ticket{Status: "Development", Custom: told}, plan.Strong},
		"another number":                 {item.Ticket{Status: "Development", ExternalID: "8"}, plan.Strong},
		"no number of one":               {item.Ticket{Status: "Development", ExternalID: "0"}, plan.Strong},
		"left the map, no number of one": {item.Ticket{Status: "New", ExternalID: "INC-7"}, plan.None},
		"left the map":                   {item.Ticket{Status: "New", Custom: told}, plan.None},
		"left the map, carries a number": {item.Ticket{Status: "New", ExternalID: "7"}, plan.Strong},
	} {
		if got := plan.TicketDoubt(parked, tc.ticket, plan.Listed{}, w.rules); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}
