package reconcile_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
)

func TestSeedProcess(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ticket := w.ticket(t, "New")
	if r := w.handle(t, ticket); r.Writes != 0 {
		t.Errorf("a ticket in New led to %v", r.Steps)
	}
	w.setStatus(t, ticket, "Development")
	w.handle(t, ticket)
	made := w.link(t, ticket).WorkItem
	shown, ok := w.boards.WorkItem(int(made))
	if !ok || shown.Type != "Task" || shown.Title != "Printer is on fire" || shown.State != "To Do" {
		t.Fatalf("work item %d: %+v", made, shown)
	}
	if text, _ := shown.Fields["System.Description"].(string); !strings.Contains(text, "Smoke &amp; flames") {
		t.Errorf("description %q", text)
	}
	desk, _ := w.desk.Ticket(int(ticket))
	if got := fmt.Sprint(desk.Custom[standalvao.ExternalIDColumn]); !strings.Contains(got, strconv.FormatInt(made, 10)) {
		t.Errorf("external id %q, want %d", got, made)
	}
	var hyperlinks []string
	for _, r := range shown.Relations {
		if r.Rel == "Hyperlink" {
			hyperlinks = append(hyperlinks, r.URL)
		}
	}
	if len(hyperlinks) != 1 || !strings.HasSuffix(hyperlinks[0], "/Alvao/Ticket/"+strconv.FormatInt(ticket, 10)) {
		t.Errorf("hyperlinks %v", hyperlinks)
	}

	w.setState(t, made, "Doing")
	w.handle(t, ticket)
	if got := w.status(t, ticket); got != "Development pending" {
		t.Errorf("after Doing: %q", got)
	}
	w.setState(t, made, "Done")
	w.handle(t, ticket)
	if got := w.status(t, ticket); got != "Testing" {
		t.Errorf("after Done: %q", got)
	}
	w.setStatus(t, ticket, "Development")
	w.handle(t, ticket)
	if got := w.state(t, made); got != "To Do" {
		t.Errorf("after Development: %q", got)
	}
	before := w.writes()
	if r := w.handle(t, ticket); r.Writes != 0 || w.writes() != before {
		t.Errorf("an echo wrote %d times: %v", r.Writes, r.Steps)
	}
}

// One change costs at most two reads and one write on each side that is touched.
func TestStatusChangeCostsFewCalls(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ticket := w.ticket(t, "Development")
	w.handle(t, ticket)
	made := w.link(t, ticket).WorkItem
	sum := func(calls map[string]int) int {
		n := 0
		for _, c := range calls {
			n += c
		}
		return n
	}
	w.setState(t, made, "Doing")
	w.boards.ResetCallCounts()
	desk := sum(w.desk.Calls())
	w.handle(t, ticket)
	if n := sum(w.boards.CallCounts()); n > 2 {
		t.Errorf("%d calls of Azure DevOps: %v", n, w.boards.CallCounts())
	}
	if n := sum(w.desk.Calls()) - desk; n > 3 {
		t.Errorf("%d calls of Alvao", n)
	}
	w.setStatus(t, ticket, "Testing")
	w.boards.ResetCallCounts()
	w.handle(t, ticket)
	// The type's states are read once and remembered.
	w.setStatus(t, ticket, "Development")
	w.boards.ResetCallCounts()
	w.handle(t, ticket)
	if n := sum(w.boards.CallCounts()); n > 3 {
		t.Errorf("%d calls of Azure DevOps: %v", n, w.boards.CallCounts())
	}
}

func TestEchoOfOwnRevisionIsNotRead(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ticket := w.ticket(t, "Development")
	w.handle(t, ticket)
	w.setStatus(t, ticket, "Testing")
	w.handle(t, ticket)
	seen := w.link(t, ticket).SeenRev
	w.boards.ResetCallCounts()
	h := hints(ticket)
	h.Revision = seen
	report, err := w.engine.Handle(t.Context(), w.connector, h)
	if err != nil {
		t.Fatal(err)
	}
	if len(w.boards.CallCounts()) != 0 {
		t.Errorf("an echo of revision %d was read: %v (%s)", seen, w.boards.CallCounts(), report.Reason)
	}
	h.Revision = seen + 1
	if _, err := w.engine.Handle(t.Context(), w.connector, h); err != nil {
		t.Fatal(err)
	}
	if len(w.boards.CallCounts()) == 0 {
		t.Error("a new revision was not read")
	}
}

func TestMoveOverSeveralStates(t *testing.T) {
	t.Parallel()
	w := setup(t, agile)
	ticket := w.ticket(t, "Testing")
	w.handle(t, ticket)
	l := w.link(t, ticket)
	if got := w.state(t, l.WorkItem); got != "Closed" || l.Move != nil || l.Agreed.State != "Closed" {
		t.Errorf("state %q, link %+v", got, l)
	}
}

func TestRefusedStatusIsParkedAndTakenUpAgain(t *testing.T) {
	t.Parallel()
	w := setup(t, func(o *options) {
		dir := standalvao.DefaultDirectory()
		for i := range dir.Processes[0].Statuses {
			if dir.Processes[0].Statuses[i].Name == "Testing" {
				dir.Processes[0].Statuses[i].Required = []string{"TestResult"}
			}
		}
		o.desk.Directory = dir
	})
	ticket := w.ticket(t, "Development")
	w.handle(t, ticket)
	made := w.link(t, ticket).WorkItem
	w.setState(t, made, "Done")
	if r := w.handle(t, ticket); !r.Parked {
		t.Fatalf("not parked: %+v", r)
	}
	l := w.link(t, ticket)
	if l.State != item.LinkParked || l.Reason == "" {
		t.Fatalf("link %+v", l)
	}
	if r := w.handle(t, ticket); r.Writes != 0 || len(r.Steps) != 0 {
		t.Errorf("parked, yet it took %v", r.Steps)
	}
	if err := w.desk.SetField(t.Context(), standalvao.Solver, int(ticket), "TestResult", "passed"); err != nil {
		t.Fatal(err)
	}
	h := hints(ticket)
	h.Force = true
	if _, err := w.engine.Handle(t.Context(), w.connector, h); err != nil {
		t.Fatal(err)
	}
	if got := w.status(t, ticket); got != "Testing" || w.link(t, ticket).State != item.LinkActive {
		t.Errorf("after the field was filled: %q, %+v", got, w.link(t, ticket))
	}
}

func TestApprovalIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ticket := w.ticket(t, "Development")
	w.handle(t, ticket)
	w.setState(t, w.link(t, ticket).WorkItem, "Done")
	if err := w.desk.StartApproval(t.Context(), standalvao.Solver, int(ticket)); err != nil {
		t.Fatal(err)
	}
	_, err := w.engine.Handle(t.Context(), w.connector, hints(ticket))
	if !fault.Is(err, fault.Busy) {
		t.Fatalf("while an approval runs: %v", err)
	}
	if err := w.desk.FinishApproval(t.Context(), standalvao.Solver, int(ticket), true); err != nil {
		t.Fatal(err)
	}
	w.handle(t, ticket)
	if got := w.status(t, ticket); got != "Testing" {
		t.Errorf("after the approval: %q", got)
	}
}

func TestSettingsThatDoNotFitAreGivenUpAndShown(t *testing.T) {
	t.Parallel()
	w := setup(t, func(o *options) { o.typeName = "Taks" })
	ticket := w.ticket(t, "Development")
	_, err := w.engine.Handle(t.Context(), w.connector, hints(ticket))
	if !fault.Is(err, fault.Misconfigured) || !strings.Contains(err.Error(), "Taks") {
		t.Fatalf("an unknown type: %v", err)
	}
	if l := w.link(t, ticket); l.State != item.LinkParked || !strings.Contains(l.Reason, "Taks") {
		t.Errorf("link %+v", l)
	}
}

func TestWorkItemEventFindsItsTicket(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ticket := w.ticket(t, "Development")
	w.handle(t, ticket)
	made := w.link(t, ticket).WorkItem
	key := item.Key{Connector: name, System: item.AzureDevOps, ID: made}
	report, err := w.engine.Handle(t.Context(), w.connector, reconcile.Hints{Key: key})
	if err != nil || report.Forward == nil || report.Forward.ID != ticket {
		t.Fatalf("linked: %+v, %v", report, err)
	}

	// Without the link, the hyperlink tells.
	w2 := setup(t)
	w2.connector.WorkItems = w.connector.WorkItems
	w2.connector.TicketOfURL = w.connector.TicketOfURL
	report, err = w2.engine.Handle(t.Context(), w2.connector, reconcile.Hints{Key: key})
	if err != nil || report.Forward == nil || report.Forward.ID != ticket {
		t.Fatalf("by its mark: %+v, %v", report, err)
	}

	// What says that it carries no mark is not even read.
	other, err := w.boards.As("jana.dvorakova@contoso.com").Create("Alvaoproject", "Task", "Not ours")
	if err != nil {
		t.Fatal(err)
	}
	w.boards.ResetCallCounts()
	key.ID = int64(other.ID)
	report, err = w.engine.Handle(t.Context(), w.connector, reconcile.Hints{Key: key, Payload: []byte(`{"resource":{"fields":{"System.Tags":"urgent"}}}`)})
	if err != nil || report.Forward != nil || len(w.boards.CallCounts()) != 0 {
		t.Errorf("a foreign item: %+v, %v, calls %v", report, err, w.boards.CallCounts())
	}
	report, err = w.engine.Handle(t.Context(), w.connector, reconcile.Hints{Key: key})
	if err != nil || report.Forward != nil {
		t.Errorf("a foreign item without a body: %+v, %v", report, err)
	}
}

func TestTicketsFromBeforeTheStartAreLeftAlone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ticket := w.ticket(t, "Development")
	// As in a store in which the first start has not been noted wholly.
	if err := w.store.Client().HDel(t.Context(), w.store.Key("origin/"+name, "facts"), "complete").Err(); err != nil {
		t.Fatal(err)
	}
	if err := w.origins.AddExisting(t.Context(), name, ticket); err != nil {
		t.Fatal(err)
	}
	if err := w.origins.MarkComplete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	w.handle(t, ticket)
	if w.boards.Count() != 0 {
		t.Fatal("an old ticket got a work item")
	}
	// Once it has left the mapped statuses, it counts as new.
	w.setStatus(t, ticket, "Analysis")
	w.handle(t, ticket)
	w.setStatus(t, ticket, "Development")
	w.handle(t, ticket)
	if w.boards.Count() != 1 {
		t.Errorf("%d work items after it came back", w.boards.Count())
	}
}

func TestGoneAndBack(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ticket := w.ticket(t, "Development")
	w.handle(t, ticket)
	made := w.link(t, ticket).WorkItem
	person := w.boards.As("jana.dvorakova@contoso.com")
	if err := person.Delete(int(made)); err != nil {
		t.Fatal(err)
	}
	w.handle(t, ticket)
	if l := w.link(t, ticket); l.State != item.LinkGone || l.Reason == "" {
		t.Fatalf("deleted: %+v", l)
	}
	if err := person.Restore(int(made)); err != nil {
		t.Fatal(err)
	}
	w.setState(t, made, "Doing")
	w.handle(t, ticket)
	if l := w.link(t, ticket); l.State != item.LinkActive || w.status(t, ticket) != "Development pending" {
		t.Errorf("restored: %+v, %q", l, w.status(t, ticket))
	}
	if w.marked(ticket) != 1 {
		t.Errorf("%d work items", w.marked(ticket))
	}
}

// The process dies before or after each effect in turn, alone and in pairs; the rounds
// that follow end as if it had not.
func TestDeathAtEveryEffect(t *testing.T) {
	t.Parallel()
	for _, process := range []struct {
		name   string
		change []func(*options)
		status string
		state  string
	}{
		{name: "a way of one step", status: "Testing", state: "Done"},
		{name: "a way of three steps", change: []func(*options){agile}, status: "Testing", state: "Closed"},
	} {
		t.Run(process.name, func(t *testing.T) {
			t.Parallel()
			// A first run without a death tells how many effects there are.
			calm := setup(t, process.change...)
			calm.cuts.arm(0, false)
			calm.handle(t, calm.ticket(t, process.status))
			effects := slices.Clone(calm.cuts.names)
			if len(effects) < 7 {
				t.Fatalf("only these effects: %v", effects)
			}
			for first := 1; first <= len(effects); first++ {
				for second := range 4 {
					for _, before := range []bool{true, false} {
						t.Run(fmt.Sprintf("%d %s, then %d, before %v", first, effects[first-1], second, before), func(t *testing.T) {
							t.Parallel()
							w := setup(t, process.change...)
							ticket := w.ticket(t, process.status)
							for _, at := range []int{first, second} {
								w.cuts.arm(at, before)
								_, err := w.engine.Handle(t.Context(), w.connector, hints(ticket))
								if at == first && err == nil {
									t.Fatal("nothing died")
								}
								w.pass(plan.Settle)
							}
							w.cuts.arm(0, false)
							w.handle(t, ticket)
							l := w.link(t, ticket)
							if w.marked(ticket) != 1 || w.boards.Count() != 1 {
								t.Fatalf("%d work items, %d with the mark", w.boards.Count(), w.marked(ticket))
							}
							if got := w.state(t, l.WorkItem); got != process.state || w.status(t, ticket) != process.status {
								t.Fatalf("ended in %q and %q", got, w.status(t, ticket))
							}
							wrote := w.writes()
							w.handle(t, ticket)
							if w.writes() != wrote {
								t.Error("another round wrote again")
							}
						})
					}
				}
			}
		})
	}
}

func TestReportNamesWhatWasDone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ticket := w.ticket(t, "Development")
	report := w.handle(t, ticket)
	if report.Writes != 2 || !slices.Contains(report.Steps, plan.Create) || report.WorkItem == 0 || report.Ticket != ticket {
		t.Errorf("report %+v", report)
	}
	history, err := w.links.History(t.Context(), name, ticket, 10)
	if err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, change := range history {
		actions = append(actions, change.Action)
	}
	if !slices.Equal(actions, []string{"write-external-id", "create-work-item"}) {
		t.Errorf("history %v", actions)
	}
}

// TestAdoptedHyperlinkIsRecognised: an item that Alvao's own connector linked leads back
// to its ticket, however that address is spelt; nothing is written to it for that.
func TestAdoptedHyperlinkIsRecognised(t *testing.T) {
	t.Parallel()
	for name, spell := range map[string]func(string) string{
		"as it is":       func(u string) string { return u },
		"in capitals":    strings.ToUpper,
		"with a slash":   func(u string) string { return u + "/" },
		"another scheme": func(u string) string { return strings.Replace(u, "http://", "https://", 1) },
		"escaped":        func(u string) string { return strings.Replace(u, "Ticket", "%54icket", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			made, err := w.boards.As(developer).Create("Alvaoproject", "Task", "From Alvao's own connector")
			if err != nil {
				t.Fatal(err)
			}
			ticket, err := w.desk.CreateTicket(t.Context(), standalvao.Solver, standalvao.NewTicket{
				Name: "x", Service: "Development", Status: "Development", Custom: map[string]any{standalvao.ExternalIDColumn: strconv.Itoa(made.ID)},
			})
			if err != nil {
				t.Fatal(err)
			}
			shown, err := w.connector.Tickets.Ticket(t.Context(), int64(ticket.ID))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.boards.As(developer).Link(made.ID, "Hyperlink", spell(shown.URL), ""); err != nil {
				t.Fatal(err)
			}
			report := w.handle(t, int64(ticket.ID))
			if l := w.link(t, int64(ticket.ID)); l.WorkItem != int64(made.ID) || l.State != item.LinkActive || l.Agreed.Status == "" {
				t.Errorf("%+v after %v", l, report.Steps)
			}
			if slices.Contains(report.Steps, plan.Mark) {
				t.Errorf("it was marked: %v", report.Steps)
			}
		})
	}
}
