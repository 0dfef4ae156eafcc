package reconcile_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	standfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
)

// hook is a hint of a service hook, followed to the ticket that it belongs to.
func (w *world) hook(t *testing.T, workItem, revision int64) {
	t.Helper()
	h := reconcile.Hints{
		Key: item.Key{Connector: name, System: item.AzureDevOps, ID: workItem}, Received: w.clock(), Revision: revision,
	}
	report, err := w.engine.Handle(t.Context(), w.connector, h)
	if err != nil {
		t.Fatal(err)
	}
	if report.Forward == nil {
		t.Fatalf("the hint of work item %d was not forwarded: %s", workItem, report.Reason)
	}
	h.Key = *report.Forward
	if _, err := w.engine.Handle(t.Context(), w.connector, h); err != nil {
		t.Fatal(err)
	}
}

// TestEventsInReverseOrder: whatever order hints come in and how often, the newest state
// wins and is written once (azure-devops.md §8, 3).
func TestEventsInReverseOrder(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ticket := w.ticket(t, "Development")
	w.handle(t, ticket)
	made := w.link(t, ticket).WorkItem
	revision := func() int64 {
		shown, _ := w.boards.WorkItem(int(made))
		return int64(shown.Rev)
	}
	w.setState(t, made, "Doing")
	older := revision()
	w.setState(t, made, "Done")
	newer := revision()
	before := w.writes()
	for _, rev := range []int64{newer, older, newer, older, older} {
		w.hook(t, made, rev)
		if got := w.status(t, ticket); got != "Testing" {
			t.Fatalf("after the hint of revision %d: %q", rev, got)
		}
	}
	if n := w.writes() - before; n != 1 {
		t.Errorf("%d writes for one change", n)
	}
}

// TestCommentToldTwiceIsOneRecord: one comment raises commented and updated, which name
// the same revision (azure-devops.md §1.5 and §8, 4).
func TestCommentToldTwiceIsOneRecord(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	c.comment(t, "<p>only once</p>")
	shown, _ := c.boards.WorkItem(int(c.workItem))
	for range 3 {
		c.hook(t, c.workItem, int64(shown.Rev))
		c.hook(t, c.workItem, 0)
	}
	if n := len(c.records("only once")); n != 1 {
		t.Errorf("%d records", n)
	}
	c.quiet(t)
}

// TestLocalisedProject: types and states go by the names of the collection's language
// (azure-devops.md §1.3 and §8, 7); the names are those of a recorded event.
func TestLocalisedProject(t *testing.T) {
	t.Parallel()
	w := setup(t, agile, func(o *options) {
		o.boards.Projects[0].Process = standazure.Agile().Rename(map[string]string{"Bug": "任务", "New": "新建", "Active": "Aktivní", "Closed": "Zavřeno"})
		o.typeName = "任务"
		o.pairs = []item.Pair{{State: "新建", Status: "Development"}, {State: "aktivní ", Status: "Development pending"}, {State: "Zavřeno", Status: "Testing"}}
	})
	ticket := w.ticket(t, "Development")
	w.handle(t, ticket)
	made := w.link(t, ticket).WorkItem
	if got := w.state(t, made); got != "新建" {
		t.Errorf("made in %q", got)
	}
	w.setState(t, made, "Aktivní")
	w.handle(t, ticket)
	if got := w.status(t, ticket); got != "Development pending" {
		t.Errorf("status %q", got)
	}
	w.setStatus(t, ticket, "Testing")
	w.handle(t, ticket)
	if got := w.state(t, made); got != "Zavřeno" {
		t.Errorf("state %q", got)
	}
}

// TestConflictIsReadAnewAndBounded: somebody who writes between our read and our write
// is told by 412 (Services) or 409 TF26071 (Server); what is there then decides, and a
// server that says so for ever ends the round (azure-devops.md §2.4 and §8, 11).
func TestConflictIsReadAnewAndBounded(t *testing.T) {
	t.Parallel()
	const changed = `{"message":"TF26071: This work item has been changed by someone else since you opened it.","typeKey":"WorkItemRevisionMismatchException","errorCode":600122}`
	for name, status := range map[string]int{"412": http.StatusPreconditionFailed, "409 TF26071": http.StatusConflict} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faults := standfault.NewSet(1)
			w := setup(t, func(o *options) { o.faults = faults })
			ticket := w.ticket(t, "Development")
			w.handle(t, ticket)
			made := w.link(t, ticket).WorkItem
			rule := standfault.Rule{Method: http.MethodPatch, Kind: standfault.KindStatus, Status: status, Body: changed, Count: 3}
			if _, err := faults.Add(rule); err != nil {
				t.Fatal(err)
			}
			w.setStatus(t, ticket, "Testing")
			w.handle(t, ticket)
			if got := w.state(t, made); got != "Done" {
				t.Errorf("state %q", got)
			}
			rule.Count = 0
			if _, err := faults.Add(rule); err != nil {
				t.Fatal(err)
			}
			w.setStatus(t, ticket, "Development")
			w.boards.ResetCallCounts()
			if _, err := w.engine.Handle(t.Context(), w.connector, hints(ticket)); !fault.Is(err, fault.Conflict) {
				t.Errorf("a round that never got through ended with %v", err)
			}
			calls := 0
			for _, n := range w.boards.CallCounts() {
				calls += n
			}
			if calls > 15 {
				t.Errorf("%d calls of a server that refuses every write", calls)
			}
		})
	}
}

// late is a desk on which somebody else is faster each time.
type late struct {
	reconcile.Tickets

	faster func(n int)
	tries  int
}

func (l *late) SetStatus(context.Context, item.Ticket, string) (item.Ticket, error) {
	l.tries++
	l.faster(l.tries)
	return item.Ticket{}, fault.New(fault.Conflict, "Somebody changed the ticket at the same moment.")
}

// TestConflictOverTheTicketIsReadAnew: what somebody chose in Alvao between our read and
// our write stands, and who is always faster ends the round.
func TestConflictOverTheTicketIsReadAnew(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ticket := w.ticket(t, "Development")
	w.handle(t, ticket)
	made := w.link(t, ticket).WorkItem
	w.setState(t, made, "Doing")
	desk := &late{Tickets: w.connector.Tickets}
	w.connector.Tickets = desk
	desk.faster = func(int) { w.setStatus(t, ticket, "Testing") }
	w.handle(t, ticket)
	if got := w.state(t, made); got != "Done" || w.status(t, ticket) != "Testing" || desk.tries != 1 {
		t.Errorf("state %q, status %q after %d tries", got, w.status(t, ticket), desk.tries)
	}
	desk.tries, desk.faster = 0, func(int) {}
	w.setState(t, made, "Doing")
	if _, err := w.engine.Handle(t.Context(), w.connector, hints(ticket)); !fault.Is(err, fault.Conflict) || desk.tries != 4 {
		t.Errorf("%v after %d tries", err, desk.tries)
	}
}

// TestRuleRefusalIsNotRepeated: what a rule of the work item type forbids (TF401320) is
// parked with the field at fault, and asked for again only when either side changes
// (azure-devops.md §2.5 and §8, 13).
func TestRuleRefusalIsNotRepeated(t *testing.T) {
	t.Parallel()
	const activity = "Microsoft.VSTS.Common.Activity"
	w := setup(t, func(o *options) {
		process := standazure.Basic()
		for i := range process.Types {
			process.Types[i].RequiredIn = map[string][]string{"Done": {activity}}
		}
		o.boards.Projects = []standazure.Project{{Name: "Alvaoproject", Process: process}}
	})
	ticket := w.ticket(t, "Development")
	w.handle(t, ticket)
	made := w.link(t, ticket).WorkItem
	w.setStatus(t, ticket, "Testing")
	report := w.handle(t, ticket)
	parked := w.link(t, ticket)
	if !report.Parked || parked.State != item.LinkParked || !strings.Contains(parked.Reason, activity) || !strings.Contains(parked.Reason, "TF401320") {
		t.Fatalf("link %+v", parked)
	}
	w.boards.ResetCallCounts()
	for range 3 {
		w.handle(t, ticket)
	}
	for call, n := range w.boards.CallCounts() {
		if strings.HasPrefix(call, http.MethodPatch) {
			t.Errorf("%s was called %d times more", call, n)
		}
	}
	if _, err := w.boards.As(developer).Change(int(made), standazure.Set{Field: activity, Value: "Testing"}); err != nil {
		t.Fatal(err)
	}
	w.handle(t, ticket)
	if got := w.state(t, made); got != "Done" || w.link(t, ticket).State != item.LinkActive {
		t.Errorf("after the field was filled: %q, %+v", got, w.link(t, ticket))
	}
}

// TestDeletedIsToldFromForbidden: a work item that can't be read may lie in the recycle
// bin or be hidden from the token; neither makes another one (azure-devops.md §8, 16).
func TestDeletedIsToldFromForbidden(t *testing.T) {
	t.Parallel()
	w := setup(t)
	person := w.boards.As(developer)
	for _, tc := range []struct {
		destroy bool
		says    string
	}{{false, "was deleted in Azure DevOps and can be restored"}, {true, "was deleted for good in Azure DevOps, or the token may no longer read it"}} {
		ticket := w.ticket(t, "Development")
		w.handle(t, ticket)
		made := int(w.link(t, ticket).WorkItem)
		if err := person.Delete(made); err != nil {
			t.Fatal(err)
		}
		if tc.destroy {
			if err := person.Destroy(made); err != nil {
				t.Fatal(err)
			}
		}
		w.handle(t, ticket)
		if l := w.link(t, ticket); l.State != item.LinkGone || !strings.Contains(l.Reason, tc.says) {
			t.Errorf("destroyed %t: %s, %q", tc.destroy, l.State, l.Reason)
		}
	}
	if w.boards.Count() != 0 {
		t.Errorf("%d work items", w.boards.Count())
	}
}

// TestNotesThatLeaveTheActivityAlone: where a note does not count as activity of the
// ticket, a hint of Alvao's companion application brings it across (alvao.md §3.3).
func TestNotesThatLeaveTheActivityAlone(t *testing.T) {
	t.Parallel()
	c := chatting(t, func(o *options) { o.desk.Tenant.NotesAreSilent = true })
	c.round(t)
	before, _ := c.desk.Ticket(int(c.ticket))
	if _, err := c.desk.AddMessage(t.Context(), standalvao.Solver, int(c.ticket), standalvao.Message{
		Subject: "Quiet", HTML: "<p>hardly heard</p>", Kind: standalvao.KindNote,
	}); err != nil {
		t.Fatal(err)
	}
	if after, _ := c.desk.Ticket(int(c.ticket)); !after.LastActivity.Equal(before.LastActivity) {
		t.Fatal("the note counts as activity")
	}
	c.round(t)
	if n := len(c.comments("hardly heard")); n != 1 {
		t.Errorf("%d comments", n)
	}
	c.quiet(t)
}

// TestStatusReadBeforeItIsVisible: Alvao tells of a change inside its transaction, so
// that the first read may show the ticket as it was (alvao.md §3.2). What it accepted
// and does not show yet is waited for, not forgotten.
func TestStatusReadBeforeItIsVisible(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ticket := w.ticket(t, "Development")
	w.handle(t, ticket)
	w.setState(t, w.link(t, ticket).WorkItem, "Done")
	w.connector.Tickets = &slowToShow{Tickets: w.connector.Tickets, left: 1}
	_, err := w.engine.Handle(t.Context(), w.connector, hints(ticket))
	told, ok := fault.As(err)
	if !ok || told.Kind != fault.Busy || told.RetryAfter <= 0 || told.RetryAfter > time.Minute {
		t.Fatalf("got %v", err)
	}
	if agreed := w.link(t, ticket).Agreed; agreed.State == "Done" {
		t.Errorf("agreed on %+v, which nobody has seen", agreed)
	}
	w.handle(t, ticket)
	if got := w.status(t, ticket); got != "Testing" || w.link(t, ticket).Agreed.Status != "Testing" {
		t.Errorf("status %q, link %+v", got, w.link(t, ticket))
	}
}

// TestAttachmentsOfAnyName: file names are a person's: whatever stands in them, the file
// arrives under that name.
func TestAttachmentsOfAnyName(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	names := []string{"žluťoučký kůň.txt", `a"b&c#d?.txt`, "a+b %20.txt", "日本語.txt", strings.Repeat("x", 200) + ".txt"}
	for i, n := range names {
		c.write(t, fmt.Sprintf("<p>file %d</p>", i), standalvao.NewAttachment{Name: n, Content: []byte(n)})
		c.attach(t, "b-"+n, []byte(n))
	}
	c.round(t)
	var boards, desk []string
	for _, n := range names {
		boards = append(boards, slices.Repeat([]string{n}, len(c.attached(n)))...)
		desk = append(desk, slices.Repeat([]string{n}, len(c.files("b-"+n)))...)
	}
	if !slices.Equal(boards, names) || !slices.Equal(desk, names) {
		t.Errorf("in Azure DevOps %q, in Alvao %q", boards, desk)
	}
	c.quiet(t)
}
