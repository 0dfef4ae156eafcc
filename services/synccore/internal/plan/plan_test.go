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

const (
	ticketID   = 123
	workItemID = 45
	ticketURL  = "https://contoso.onalvao.com/Alvao/Ticket/123"
	service    = "Development"
)

// start is when every test's world begins.
func start() time.Time { return time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC) }

// world is a model of both systems and the link, in which steps take effect without
// any I/O.
type world struct {
	now      time.Time
	rules    plan.Rules
	types    item.WorkItemType
	link     item.Link
	ticket   item.Ticket
	changed  time.Time // when the ticket's status changed
	workItem *item.WorkItem
	gone     bool // the work item was deleted
	removed  bool // the ticket was removed
	// moves is what Alvao makes of a status by itself, e.g. Resolved into Closed.
	moves map[string]string
	// refuses tells that the work item's state can't be changed.
	refuses bool
	// created counts the work items that were made.
	created int
	// writes counts the effects on either system.
	writes int
	// notes are what the sides were told, posted the number of the last one.
	notes  []string
	posted int64
	// trail lists the kinds of the steps taken.
	trail []plan.Kind
}

func statusMap(t interface{ Fatalf(string, ...any) }, pairs ...string) mapping.StatusMap {
	var list []item.Pair
	for i := 0; i < len(pairs); i += 2 {
		list = append(list, item.Pair{State: pairs[i], Status: pairs[i+1]})
	}
	m, problems := mapping.NewStatusMap(list)
	if len(problems) > 0 {
		t.Fatalf("status map: %v", problems)
	}
	return m
}

// basic is the seed's example: the Basic process' Task against a development ticket.
func basic(t interface{ Fatalf(string, ...any) }) *world {
	return &world{
		now: start(),
		rules: plan.Rules{
			Service:  service,
			Map:      statusMap(t, "To Do", "Development", "Doing", "Development pending", "Done", "Testing"),
			Conflict: mapping.ConflictNewest,
		},
		types:  item.WorkItemType{Name: "Task", States: []item.State{{Name: "To Do"}, {Name: "Doing"}, {Name: "Done"}, {Name: "Removed"}}},
		link:   item.Link{Connector: "development", Ticket: ticketID, State: item.LinkCreating},
		ticket: item.Ticket{ID: ticketID, Service: service, Status: "New", URL: ticketURL},
	}
}

// agile has transitions that force a way over Active and Resolved.
func agile(t interface{ Fatalf(string, ...any) }) *world {
	w := basic(t)
	w.rules.Map = statusMap(t, "New", "Development", "Active", "Development pending", "Closed", "Testing")
	w.types = item.WorkItemType{
		Name:   "Bug",
		States: []item.State{{Name: "New"}, {Name: "Active"}, {Name: "Resolved"}, {Name: "Closed"}},
		Transitions: map[string][]string{
			"": {"New"}, "New": {"Active"}, "Active": {"Resolved", "New"}, "Resolved": {"Closed", "Active"}, "Closed": {"Active"},
		},
	}
	return w
}

func (w *world) setStatus(status string) {
	w.now = w.now.Add(time.Minute)
	w.ticket.Status, w.ticket.LastActivity, w.changed = status, w.now, w.now
}

func (w *world) setState(state string) {
	w.now = w.now.Add(time.Minute)
	w.workItem.State, w.workItem.StateChanged = state, w.now
	w.workItem.Rev++
}

// sides is what a round reads first.
func (w *world) sides() plan.Sides {
	s := plan.Sides{Now: w.now, Ticket: w.ticket, TicketGone: w.removed, TicketChanged: w.changed}
	if w.link.WorkItem != 0 {
		w.read(&s)
	}
	s.Force = plan.Stirred(w.link, s)
	return s
}

func (w *world) read(s *plan.Sides) {
	if w.workItem == nil {
		s.WorkItemGone = true
		return
	}
	seen := *w.workItem
	seen.Deleted = w.gone
	s.WorkItem = &seen
}

// effect lets one step take effect on the systems, and returns false when a system
// refuses it.
func (w *world) effect(step plan.Step, s *plan.Sides) bool {
	switch step.Kind {
	case plan.ReadWorkItem:
		s.WorkItem = nil
		if w.workItem == nil || w.workItem.ID != step.WorkItem {
			s.WorkItemGone = true
			return true
		}
		w.read(s)
	case plan.ReadType:
		s.Type = &w.types
	case plan.Search:
		s.Searched = true
		if w.workItem != nil && !w.gone {
			w.read(s)
		}
	case plan.Create:
		w.created++
		w.writes++
		initial := w.types.States[0].Name
		w.workItem = &item.WorkItem{ID: workItemID, Rev: 1, Type: w.types.Name, State: initial, StateChanged: w.now, Hyperlinks: []string{ticketURL}}
		w.read(s)
	case plan.Mark:
		w.writes++
		w.workItem.Hyperlinks = append(w.workItem.Hyperlinks, ticketURL)
		w.workItem.Rev++
		w.read(s)
	case plan.WriteExternalID:
		w.writes++
		w.ticket.ExternalID = strconv.FormatInt(step.WorkItem, 10)
		s.Ticket = w.ticket
	case plan.SetState:
		if w.refuses {
			return false
		}
		w.writes++
		w.setState(step.State)
		w.read(s)
	case plan.SetStatus:
		w.writes++
		w.setStatus(step.Status)
		if moved, ok := w.moves[step.Status]; ok {
			w.ticket.Status = moved
		}
		s.Ticket = w.ticket
	case plan.PostNote:
		w.writes++
		w.notes = append(w.notes, string(w.link.Note.To)+": "+w.link.Note.Text)
		w.posted = w.link.Note.Number
	case plan.FindNote:
		s.NoteSought, s.NoteFound = true, w.posted == w.link.Note.Number
	case plan.Remember, plan.Rest, plan.Wait, plan.BeginNote,
		plan.ReadMessages, plan.BeginPost, plan.Post, plan.Edit, plan.Retract, plan.RememberMirror:
	}
	return true
}

// remember stores what follows from a step.
func (w *world) remember(step plan.Step, s *plan.Sides) []item.LinkChange {
	next, changes := plan.Applied(w.link, step, *s)
	next.Version = w.link.Version + 1
	w.link = next
	if next.State == item.LinkCreating {
		s.Intended = true
	}
	if step.Kind == plan.Remember && next.State == item.LinkParked {
		s.Force = false
	}
	if step.Kind == plan.BeginNote {
		s.Noting = true
	}
	return changes
}

func remembers(kind plan.Kind) bool {
	return !slices.Contains([]plan.Kind{plan.Rest, plan.Wait, plan.ReadWorkItem, plan.ReadType, plan.Search, plan.FindNote}, kind)
}

// round runs until rest. crashAfter > 0 stops that many effects into the round,
// after the effect and before it is remembered; the round then reports false.
func (w *world) round(t interface{ Fatalf(string, ...any) }, s plan.Sides, crashAfter int) bool {
	effects := 0
	for range 64 {
		step := plan.Next(w.link, s, w.rules)
		if step.Kind == plan.Rest {
			return true
		}
		if step.Kind == plan.Wait {
			w.now = w.now.Add(step.After)
			s.Now = w.now
			continue
		}
		w.trail = append(w.trail, step.Kind)
		ok := w.effect(step, &s)
		if !ok {
			w.remember(plan.Refused(w.link, s, "refused"), &s)
			continue
		}
		if !remembers(step.Kind) {
			continue
		}
		effects++
		if effects == crashAfter {
			return false
		}
		w.remember(step, &s)
	}
	t.Fatalf("no rest after 64 steps: %v", w.trail)
	return false
}

func (w *world) converge(t interface{ Fatalf(string, ...any) }) {
	w.round(t, w.sides(), 0)
}

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

func TestExternalIDThatIsNoNumberIsNotOurs(t *testing.T) {
	t.Parallel()
	w := basic(t)
	w.setStatus("Development")
	w.ticket.ExternalID = "JIRA-7"
	w.converge(t)
	if w.created != 0 || w.writes != 0 {
		t.Errorf("created %d, wrote %d", w.created, w.writes)
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

// What goes is shown by the link and told to the other side, once, and nothing else
// is written; what comes back is taken up again.
func TestGoneAndBack(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		leave, back func(*world)
		to          item.System
		says        string
	}{
		"work item deleted": {
			func(w *world) { w.gone = true }, func(w *world) { w.gone = false }, item.Alvao, "was deleted in Azure DevOps",
		},
		"work item moved to another project": {
			func(w *world) { w.workItem.Elsewhere, w.workItem.Project = true, "Archive" },
			func(w *world) { w.workItem.Elsewhere = false }, item.Alvao, `moved to the project "Archive"`,
		},
		"ticket removed": {
			func(w *world) { w.removed = true }, func(w *world) { w.removed = false }, item.AzureDevOps, "was removed in Alvao",
		},
		"ticket moved to another service": {
			func(w *world) { w.ticket.Service = "IT support" }, func(w *world) { w.ticket.Service = service },
			item.AzureDevOps, `moved to the service "IT support"`,
		},
		"ticket of another process": {
			func(w *world) { w.rules.Process, w.ticket.Process = "Change", "Incident" },
			func(w *world) { w.ticket.Process = "Change" }, item.AzureDevOps, `given the process "Incident"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := linked(t, basic(t))
			w.writes = 0
			c.leave(w)
			w.converge(t)
			w.converge(t)
			if w.link.State != item.LinkGone || w.writes != 1 || len(w.notes) != 1 ||
				!strings.HasPrefix(w.notes[0], string(c.to)) || !strings.Contains(w.notes[0], c.says) || !strings.Contains(w.link.Reason, c.says) {
				t.Fatalf("gone: %+v, %d writes, notes %q", w.link, w.writes, w.notes)
			}
			c.back(w)
			w.converge(t)
			w.converge(t)
			if w.link.State != item.LinkActive || w.link.Reason != "" || w.writes != 2 || len(w.notes) != 2 || !strings.HasPrefix(w.notes[1], string(c.to)) {
				t.Fatalf("back: %+v, %d writes, notes %q", w.link, w.writes, w.notes)
			}
			w.setState("Doing")
			w.converge(t)
			if w.ticket.Status != "Development pending" {
				t.Errorf("once back, the ticket is in %q", w.ticket.Status)
			}
		})
	}
}

// Where both are gone nobody is told.
func TestBothGone(t *testing.T) {
	t.Parallel()
	w := linked(t, basic(t))
	w.writes, w.gone, w.removed = 0, true, true
	w.converge(t)
	if w.link.State != item.LinkGone || w.writes != 0 || w.link.Note != nil || w.created != 1 {
		t.Errorf("%+v, %d writes", w.link, w.writes)
	}
}

// A type change is told once; the states of the new type count.
func TestTypeChanged(t *testing.T) {
	t.Parallel()
	w := linked(t, basic(t))
	w.writes = 0
	w.workItem.Type = "Bug"
	w.types = agile(t).types
	w.types.States = append(w.types.States, item.State{Name: "To Do"})
	w.types.Transitions["To Do"] = []string{"Done"}
	w.types.States = append(w.types.States, item.State{Name: "Done"})
	w.converge(t)
	w.converge(t)
	if len(w.notes) != 1 || !strings.Contains(w.notes[0], "from type Task to Bug") || w.link.State != item.LinkActive || w.writes != 1 {
		t.Fatalf("%+v, %d writes, notes %q", w.link, w.writes, w.notes)
	}
	w.setStatus("Testing")
	w.converge(t)
	if w.workItem.State != "Done" {
		t.Errorf("the work item is in %q", w.workItem.State)
	}
}

// A closing that the StatusMap does not carry over is told once, and so is a reopening.
func TestClosedAndReopened(t *testing.T) {
	t.Parallel()
	w := linked(t, basic(t))
	w.types.States[3].Category = "Removed"
	tell := func(want string) {
		t.Helper()
		w.notes = nil
		w.converge(t)
		w.converge(t)
		if len(w.notes) != 1 || !strings.Contains(w.notes[0], want) {
			t.Fatalf("notes %q, want %q", w.notes, want)
		}
	}
	w.setStatus("Closed")
	w.ticket.Closed = w.now
	tell(`azureDevOps: The ticket was closed in Alvao (status "Closed"`)
	w.setStatus("New")
	w.ticket.Closed = time.Time{}
	tell(`azureDevOps: The ticket was reopened in Alvao`)
	w.setState("Removed")
	tell(`alvao: Work item 45 was closed in Azure DevOps (state "Removed"`)
	w.setState("Doing")
	tell(`alvao: Work item 45 was reopened in Azure DevOps (state "Doing")`)
	if w.ticket.Status != "Development pending" {
		t.Errorf("the ticket is in %q", w.ticket.Status)
	}
	// One that the StatusMap carries over speaks for itself.
	w.notes = nil
	w.setStatus("Testing")
	w.ticket.Closed = w.now
	w.converge(t)
	if len(w.notes) != 0 || w.workItem.State != "Done" {
		t.Errorf("notes %q, work item in %q", w.notes, w.workItem.State)
	}
}

// A note that was cut off is looked for and, if it is not there, written again once it
// can't arrive any more.
func TestNoteThatWasCutOff(t *testing.T) {
	t.Parallel()
	for _, arrived := range []bool{true, false} {
		w := linked(t, basic(t))
		w.removed = true
		if arrived {
			// After the third effect: gone, begun, posted.
			w.round(t, w.sides(), 3)
		} else {
			w.round(t, w.sides(), 2)
			began := *w.link.Note
			began.Posting = w.now
			w.link.Note = &began
		}
		w.converge(t)
		if len(w.notes) != 1 || w.link.Note != nil {
			t.Errorf("arrived %v: notes %q, link %+v", arrived, w.notes, w.link)
		}
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
			if w.ticket.Status != c.status || w.workItem.State != c.state {
				t.Errorf("ended in %q and %q", w.ticket.Status, w.workItem.State)
			}
			if !lost {
				t.Error("the losing value is not in the history")
			}
		})
	}
}
