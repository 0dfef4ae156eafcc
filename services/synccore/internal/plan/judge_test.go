package plan_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// TestJudgeAgreesWithNext: whatever both sides show, a rule stops exactly where Next
// has nothing to do, and what acts last is the step that Next takes.
func TestJudgeAgreesWithNext(t *testing.T) {
	t.Parallel()
	statuses := statusMap(t, "To Do", "Development", "Doing", "Development pending", "Done", "Testing")
	rapid.Check(t, func(t *rapid.T) {
		some := func(name string, of ...string) string { return rapid.SampledFrom(of).Draw(t, name) }
		status := func(name string) string {
			return some(name, "Development", "Testing", "Development pending", "Elsewhere", "")
		}
		state := func(name string) string { return some(name, "To Do", "Doing", "Done", "Blocked", "") }
		rules := plan.Rules{Service: service, Process: some("process", "", "Any"), Map: statuses, Conflict: "alvao", Messages: rapid.Bool().Draw(t, "messages")}
		link := item.Link{Ticket: ticketID, Agreed: item.Pair{Status: status("agreed status"), State: state("agreed state")}, State: item.LinkActive, Version: 1}
		sides := plan.Sides{
			Now: start(), TicketGone: rapid.Bool().Draw(t, "gone"), LeaveAlone: rapid.Bool().Draw(t, "leave alone"), Searched: rapid.Bool().Draw(t, "searched"),
			Ticket: item.Ticket{ID: ticketID, Service: some("service", service, "Sales"), Process: some("its process", "Any", "Other"), Status: status("status"), ExternalID: some("external", "", "45", "x")},
		}
		if rapid.Bool().Draw(t, "linked") {
			link.WorkItem = workItemID
			sides.WorkItem = &item.WorkItem{ID: workItemID, State: state("state"), Deleted: rapid.Bool().Draw(t, "deleted")}
		}
		if rapid.Bool().Draw(t, "parked") {
			link.State, link.Reason = item.LinkParked, "It was refused."
			link.Parked = &item.Standstill{Status: sides.Ticket.Status, ExternalID: sides.Ticket.ExternalID}
			if sides.WorkItem != nil {
				link.Parked.State = sides.WorkItem.State
			}
		}
		next := plan.Next(link, sides, rules)
		said := plan.Judge(link, sides, rules, next)
		if len(said) == 0 {
			t.Fatal("no rule was asked")
		}
		last := said[len(said)-1]
		for i, v := range said {
			if v.Rule == "" || v.Detail == "" || !strings.HasSuffix(v.Detail, ".") {
				t.Errorf("rule %d: %+v", i, v)
			}
			if v.Said != item.SaidPass && i != len(said)-1 {
				t.Errorf("rule %d of %d ends it: %+v", i, len(said), v)
			}
		}
		rests := next.Kind == plan.Rest || next.Kind == plan.Wait
		if rests && last.Said != item.SaidStop {
			t.Errorf("Next says %+v, the rules %+v", next, said)
		}
		// What only changes the link is told by the rule behind it.
		tells := []plan.Kind{plan.Create, plan.Search, plan.SetState, plan.SetStatus, plan.ReadType, plan.WriteExternalID, plan.Mark, plan.ReadMessages}
		if slices.Contains(tells, next.Kind) && (last.Said != item.SaidAct || last.Rule != string(next.Kind)) {
			t.Errorf("Next says %+v, the rules %+v", next, said)
		}
	})
}

func TestCreation(t *testing.T) {
	t.Parallel()
	statuses := statusMap(t, "To Do", "Development", "Done", "Testing", "Nowhere", "Lost")
	kind := item.WorkItemType{
		Name: "Task", States: []item.State{{Name: "To Do"}, {Name: "Doing"}, {Name: "Done"}, {Name: "Nowhere"}},
		Transitions: map[string][]string{"": {"To Do"}, "To Do": {"Doing"}, "Doing": {"Done", "To Do"}},
	}
	for status, want := range map[string][]string{
		"Development": {"To Do"}, "testing": {"To Do", "Doing", "Done"}, "Lost": {"To Do", ""}, "Unmapped": nil,
	} {
		if got := plan.Creation(kind, statuses, status); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", status, got, want)
		}
	}
	kind.Transitions = nil
	if got := plan.Creation(kind, statuses, "Testing"); !slices.Equal(got, []string{"To Do", "Done"}) {
		t.Errorf("without transitions: %q", got)
	}
}
