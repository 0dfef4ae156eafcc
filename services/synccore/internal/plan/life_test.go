package plan_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

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

// TestNoteThatNobodyCanLookFor: it is not written again, and nobody claims that it came.
func TestNoteThatNobodyCanLookFor(t *testing.T) {
	t.Parallel()
	w := linked(t, basic(t))
	w.gone, w.unseen = true, true
	w.round(t, w.sides(), 2)
	began := *w.link.Note
	began.Posting = w.now
	w.link.Note = &began
	w.converge(t)
	if len(w.notes) != 0 || w.link.Note != nil {
		t.Errorf("notes %q, link %+v", w.notes, w.link)
	}
}
