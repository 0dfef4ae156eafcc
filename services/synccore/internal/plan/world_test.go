package plan_test

import (
	"slices"
	"strconv"
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
	// unseen tells that nobody can look for a note.
	unseen bool
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
		s.NoteSought, s.NoteFound, s.NoteUnseen = true, w.posted == w.link.Note.Number, w.unseen
	case plan.Remember, plan.Rest, plan.Wait, plan.Hold, plan.BeginNote,
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
	return !slices.Contains([]plan.Kind{plan.Rest, plan.Wait, plan.Hold, plan.ReadWorkItem, plan.ReadType, plan.Search, plan.FindNote}, kind)
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
