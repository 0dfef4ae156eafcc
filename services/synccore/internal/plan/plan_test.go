package plan_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

func TestSeedProcess(t *testing.T) {
	t.Parallel()
	w := basic(t)
	w.setStatus("Development")
	w.converge(t)
	want := []plan.Kind{plan.Search, plan.Remember, plan.Create, plan.WriteExternalID, plan.Remember}
	if !slices.Equal(w.trail, want) {
		t.Errorf("entering Development took %v, want %v", w.trail, want)
	}
	if w.ticket.ExternalID != strconv.Itoa(workItemID) || w.link.State != item.LinkActive {
		t.Errorf("ticket %+v, link %+v", w.ticket, w.link)
	}
	w.setState("Doing")
	w.converge(t)
	if w.ticket.Status != "Development pending" {
		t.Errorf("after Doing the ticket is in %q", w.ticket.Status)
	}
	w.setState("Done")
	w.converge(t)
	if w.ticket.Status != "Testing" {
		t.Errorf("after Done the ticket is in %q", w.ticket.Status)
	}
	w.setStatus("Development")
	w.converge(t)
	if w.workItem.State != "To Do" {
		t.Errorf("back in Development the work item is in %q", w.workItem.State)
	}
	if w.created != 1 {
		t.Errorf("%d work items were made", w.created)
	}
}

func TestStatusChangeCosts(t *testing.T) {
	t.Parallel()
	w := basic(t)
	w.setStatus("Development")
	w.converge(t)
	w.trail, w.writes = nil, 0
	w.setState("Doing")
	w.converge(t)
	if !slices.Equal(w.trail, []plan.Kind{plan.SetStatus}) || w.writes != 1 {
		t.Errorf("one state change took %v and %d writes", w.trail, w.writes)
	}
	w.trail, w.writes = nil, 0
	w.converge(t)
	if len(w.trail) != 0 {
		t.Errorf("its echo took %v", w.trail)
	}
}

func TestUnmappedStatusCreatesNothing(t *testing.T) {
	t.Parallel()
	w := basic(t)
	w.setStatus("New")
	w.converge(t)
	if w.created != 0 || len(w.trail) != 0 {
		t.Errorf("made %d work items over %v", w.created, w.trail)
	}
}

func TestForeignServiceCreatesNothing(t *testing.T) {
	t.Parallel()
	w := basic(t)
	w.ticket.Service = "Payroll"
	w.setStatus("Development")
	w.converge(t)
	if w.created != 0 {
		t.Error("made a work item for another service's ticket")
	}
}

func TestForeignProcessCreatesNothing(t *testing.T) {
	t.Parallel()
	w := basic(t)
	w.rules.Process = "Incident"
	w.ticket.Process = "Development process"
	w.setStatus("Development")
	w.converge(t)
	if w.created != 0 {
		t.Error("made a work item for a ticket of another process")
	}
	w.ticket.Process = "incident"
	w.converge(t)
	if w.created != 1 {
		t.Error("made none for a ticket of the process")
	}
}

func TestOldTicketIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := basic(t)
	w.setStatus("Development")
	s := w.sides()
	s.LeaveAlone = true
	w.round(t, s, 0)
	if w.created != 0 {
		t.Error("made a work item for a ticket that was to be left alone")
	}
}

func TestCreateThatWasCutOffIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := basic(t)
	w.setStatus("Development")
	w.link = item.Link{Connector: "development", Ticket: ticketID, State: item.LinkCreating, Intended: w.now.Add(-10 * time.Second), Version: 1}
	s := w.sides()
	s.Searched = true
	step := plan.Next(w.link, s, w.rules)
	if step.Kind != plan.Wait || step.After != plan.Settle-10*time.Second {
		t.Fatalf("ten seconds after the intention: %+v", step)
	}
	s.Now = w.link.Intended.Add(plan.Settle)
	if step := plan.Next(w.link, s, w.rules); step.Kind != plan.Remember || !step.Link.Intended.Equal(s.Now) {
		t.Fatalf("after the settling time: %+v", step)
	}
	// A clock that was set back must not hold the ticket up for ever.
	s.Now = w.link.Intended.Add(-time.Hour)
	if step := plan.Next(w.link, s, w.rules); step.Kind != plan.Remember {
		t.Fatalf("with the clock set back: %+v", step)
	}
}

func TestOwnCreateIsAdoptedAndTheTicketDecides(t *testing.T) {
	t.Parallel()
	w := basic(t)
	w.setStatus("Testing")
	w.workItem = &item.WorkItem{ID: workItemID, Rev: 1, Type: "Task", State: "To Do", StateChanged: w.now.Add(time.Hour), Hyperlinks: []string{ticketURL}}
	w.converge(t)
	if w.created != 0 || w.workItem.State != "Done" || w.ticket.Status != "Testing" {
		t.Errorf("created %d, state %q, status %q", w.created, w.workItem.State, w.ticket.Status)
	}
}

func TestAdoptionByExternalID(t *testing.T) {
	t.Parallel()
	w := basic(t)
	w.setStatus("Development")
	w.ticket.ExternalID = " 45 "
	w.workItem = &item.WorkItem{ID: workItemID, Rev: 9, Type: "Task", State: "Doing", StateChanged: w.now.Add(time.Minute)}
	w.converge(t)
	if w.created != 0 || w.link.WorkItem != workItemID {
		t.Fatalf("created %d, link %+v", w.created, w.link)
	}
	if !slices.Contains(w.workItem.Hyperlinks, ticketURL) {
		t.Error("the adopted work item does not lead back")
	}
	if w.ticket.Status != "Development pending" {
		t.Errorf("the newer state did not win: %q", w.ticket.Status)
	}
}

// Whatever the server makes of the hyperlink, it is written once in a round.
func TestHyperlinkThatTheServerRewritesIsWrittenOnce(t *testing.T) {
	t.Parallel()
	w := basic(t)
	w.workItem = &item.WorkItem{ID: workItemID, Rev: 7, Type: "Task", State: "To Do"}
	w.link = item.Link{WorkItem: workItemID, State: item.LinkActive}
	w.setStatus("Development")
	w.ticket.ExternalID = strconv.Itoa(workItemID)
	s := w.sides()
	s.WorkItem = w.workItem
	if step := plan.Next(w.link, s, w.rules); step.Kind != plan.Mark {
		t.Fatalf("planned %s", step.Kind)
	}
	w.workItem.Hyperlinks = []string{"vstfs:///somewhere/else"}
	s.Marked = true
	if step := plan.Next(w.link, s, w.rules); step.Kind == plan.Mark {
		t.Error("marked again")
	}
}

func TestExternalIDOfNoWorkItem(t *testing.T) {
	t.Parallel()
	w := basic(t)
	w.setStatus("Development")
	w.ticket.ExternalID = "45"
	w.converge(t)
	if w.link.State != item.LinkParked || !strings.Contains(w.link.Reason, "45") || w.created != 0 {
		t.Fatalf("link %+v, created %d", w.link, w.created)
	}
	w.ticket.ExternalID = ""
	w.converge(t)
	if w.created != 1 || w.link.State != item.LinkActive {
		t.Errorf("after the field was cleared: created %d, link %+v", w.created, w.link)
	}
}

// An external id that is no number is another system's: nothing is made beside it, and
// a person is told why. Outside the StatusMap it is nobody's matter.
func TestExternalIDThatIsNoNumberIsNotOurs(t *testing.T) {
	t.Parallel()
	w := basic(t)
	w.setStatus("New")
	w.ticket.ExternalID = "JIRA-7"
	w.converge(t)
	if w.created != 0 || w.writes != 0 || w.link.State == item.LinkParked {
		t.Fatalf("created %d, wrote %d, link %+v", w.created, w.writes, w.link)
	}
	w.setStatus("Development")
	w.converge(t)
	w.converge(t)
	if w.created != 0 || w.writes != 0 || w.link.State != item.LinkParked || !strings.Contains(w.link.Reason, `"JIRA-7" is no work item number; clear the field`) {
		t.Fatalf("created %d, wrote %d, link %+v", w.created, w.writes, w.link)
	}
	if doubt := plan.TicketDoubt(w.link, w.ticket, plan.Listed{}, w.rules); doubt != plan.None {
		t.Errorf("doubt %v about what a person has to mend", doubt)
	}
	w.ticket.ExternalID = ""
	w.converge(t)
	if w.created != 1 || w.link.State != item.LinkActive || w.link.Reason != "" {
		t.Errorf("after the field was cleared: created %d, link %+v", w.created, w.link)
	}
}

// People write a work item's number as Azure DevOps shows it.
func TestExternalIDWithSign(t *testing.T) {
	t.Parallel()
	w := linked(t, basic(t))
	number := w.ticket.ExternalID
	for _, text := range []string{"#" + number, " # " + number, "0" + number} {
		w.ticket.ExternalID = text
		w.converge(t)
		if w.link.State != item.LinkActive || len(w.notes) != 0 || w.ticket.ExternalID != text {
			t.Errorf("%q: link %+v, notes %q, external id %q", text, w.link, w.notes, w.ticket.ExternalID)
		}
		if doubt := plan.TicketDoubt(w.link, w.ticket, plan.Listed{}, w.rules); doubt != plan.None {
			t.Errorf("%q: doubt %v", text, doubt)
		}
	}
	for _, text := range []string{"#", "##45", "#+45", "#-45", "45#"} {
		w.ticket.ExternalID = text
		w.converge(t)
		if w.link.State != item.LinkParked {
			t.Errorf("%q was taken for %s", text, number)
		}
	}
}

// An external id that was edited by hand parks the link; the other side is told once,
// however often it is edited, and once more when it is mended. One that was cleared is
// written again.
func TestExternalIDEditedByHand(t *testing.T) {
	t.Parallel()
	w := linked(t, basic(t))
	for _, value := range []string{"77", "INC-7", "78"} {
		w.ticket.ExternalID = value
		w.converge(t)
		w.converge(t)
		if w.link.State != item.LinkParked || w.ticket.ExternalID != value || !strings.Contains(w.link.Reason, value) {
			t.Fatalf("link %+v, external id %q", w.link, w.ticket.ExternalID)
		}
	}
	if len(w.notes) != 1 || !strings.HasPrefix(w.notes[0], `azureDevOps: The external id of the ticket was changed to "77"`) {
		t.Errorf("notes %q", w.notes)
	}
	w.ticket.ExternalID = "45"
	w.converge(t)
	if w.link.State != item.LinkActive || w.link.Reason != "" || len(w.notes) != 2 || !strings.Contains(w.notes[1], "carries the number 45 again") {
		t.Errorf("after it was put right: %+v, notes %q", w.link, w.notes)
	}
	w.ticket.ExternalID = ""
	w.converge(t)
	if w.link.State != item.LinkActive || w.ticket.ExternalID != "45" || len(w.notes) != 2 {
		t.Errorf("after it was cleared: %+v, external id %q, notes %q", w.link, w.ticket.ExternalID, w.notes)
	}
}

// linked brings a world to a work item in step with its ticket.
func linked(t *testing.T, w *world) *world {
	t.Helper()
	w.setStatus("Development")
	w.converge(t)
	if w.link.State != item.LinkActive || w.link.Agreed.Status != "Development" {
		t.Fatalf("not linked: %+v", w.link)
	}
	w.trail, w.writes = nil, 0
	return w
}

func TestMoveOverSeveralStates(t *testing.T) {
	t.Parallel()
	w := linked(t, agile(t))
	w.setStatus("Testing")
	w.converge(t)
	want := []plan.Kind{plan.ReadType, plan.Remember, plan.SetState, plan.SetState, plan.SetState}
	if !slices.Equal(w.trail, want) || w.workItem.State != "Closed" || w.link.Move != nil {
		t.Errorf("took %v to %q, move %v", w.trail, w.workItem.State, w.link.Move)
	}
}

func TestMoveThatIsNotPossibleIsParked(t *testing.T) {
	t.Parallel()
	w := linked(t, agile(t))
	delete(w.types.Transitions, "New")
	w.setStatus("Testing")
	w.converge(t)
	if w.link.State != item.LinkParked || !strings.Contains(w.link.Reason, "work item 45") && !strings.Contains(w.link.Reason, "Work item 45") {
		t.Errorf("link %+v", w.link)
	}
}

func TestRefusedChangeIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	w := linked(t, basic(t))
	w.refuses = true
	w.setStatus("Testing")
	w.converge(t)
	if w.link.State != item.LinkParked {
		t.Fatalf("link %+v", w.link)
	}
	w.trail = nil
	w.converge(t)
	if len(w.trail) != 0 {
		t.Errorf("a parked link was tried again without a change: %v", w.trail)
	}
	// Refused once more for the same reason, the history does not tell it again.
	again := plan.Refused(w.link, w.sides(), w.link.Reason)
	if other := plan.Refused(w.link, w.sides(), "Another reason."); again.Change != nil || other.Change == nil {
		t.Errorf("told of the same refusal: %+v, of another: %+v", again.Change, other.Change)
	}
	w.refuses = false
	s := w.sides()
	s.Force = true
	w.round(t, s, 0)
	if w.workItem.State != "Done" || w.link.State != item.LinkActive {
		t.Errorf("asked by a person: %q, %+v", w.workItem.State, w.link)
	}
}

func TestStatusThatMovesOnByItselfIsNoNews(t *testing.T) {
	t.Parallel()
	w := linked(t, basic(t))
	w.moves = map[string]string{"Testing": "Closed"}
	w.setState("Done")
	w.converge(t)
	w.trail = nil
	w.converge(t)
	if len(w.trail) != 0 || w.ticket.Status != "Closed" || w.workItem.State != "Done" {
		t.Errorf("took %v, %q, %q", w.trail, w.ticket.Status, w.workItem.State)
	}
}

// A person may be quicker than the reading that follows a write.
func TestEditBetweenWriteAndReadBackIsNotLost(t *testing.T) {
	t.Parallel()
	w := linked(t, basic(t))
	w.moves = map[string]string{"Testing": "Development"}
	w.setState("Done")
	w.converge(t)
	if w.ticket.Status != "Development" || w.workItem.State != "To Do" {
		t.Errorf("ended in %q and %q", w.ticket.Status, w.workItem.State)
	}
}

func TestConflictPolicies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy        mapping.Conflict
		ticketFirst   bool
		status, state string
	}{
		{mapping.ConflictAlvao, true, "Testing", "Done"},
		{mapping.ConflictAlvao, false, "Testing", "Done"},
		{mapping.ConflictAzureDevOps, true, "Development pending", "Doing"},
		{mapping.ConflictAzureDevOps, false, "Development pending", "Doing"},
		{mapping.ConflictNewest, true, "Development pending", "Doing"},
		{mapping.ConflictNewest, false, "Testing", "Done"},
	} {
		t.Run(fmt.Sprintf("%s ticket first %v", c.policy, c.ticketFirst), func(t *testing.T) {
			t.Parallel()
			w := linked(t, basic(t))
			w.rules.Conflict = c.policy
			if c.ticketFirst {
				w.setStatus("Testing")
				w.setState("Doing")
			} else {
				w.setState("Doing")
				w.setStatus("Testing")
			}
			s := w.sides()
			var lost bool
			for step := plan.Next(w.link, s, w.rules); step.Kind != plan.Rest; step = plan.Next(w.link, s, w.rules) {
				w.effect(step, &s)
				if !remembers(step.Kind) {
					continue
				}
				for _, change := range w.remember(step, &s) {
					lost = lost || change.Action == "conflict" &&
						strings.Contains(change.Detail, "Testing") && strings.Contains(change.Detail, "Doing")
				}
			}
			loser := item.Alvao
			if c.status == "Testing" {
				loser = item.AzureDevOps
			}
			if len(w.notes) != 1 || !strings.HasPrefix(w.notes[0], string(loser)) || !strings.Contains(w.notes[0], "Both sides changed") {
				t.Errorf("%s is to be told, and the notes are %q", loser, w.notes)
			}
			if w.ticket.Status != c.status || w.workItem.State != c.state {
				t.Errorf("ended in %q and %q", w.ticket.Status, w.workItem.State)
			}
			if !lost {
				t.Error("the losing value is not in the history")
			}
		})
	}
}
