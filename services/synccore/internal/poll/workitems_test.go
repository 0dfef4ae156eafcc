package poll_test

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
	"github.com/tandem-sync/tandem/services/synccore/internal/poll"
)

// project is a list of changes, told in batches of two.
type project struct {
	changes []item.WorkItem
	// asked is what was asked for, call by call.
	asked []string
	// forgets tells that no position is known any more.
	forgets bool
	// cutAt lets the nth call fail; 0: none.
	cutAt int
}

func (p *project) Changes(_ context.Context, position string, since time.Time) (item.Changes, error) {
	ask := position
	if position == "" {
		ask = since.Format(time.TimeOnly)
	}
	p.asked = append(p.asked, ask)
	if len(p.asked) == p.cutAt {
		return item.Changes{}, errCut
	}
	from := 0
	if position != "" {
		n, err := strconv.Atoi(position)
		if err != nil || p.forgets {
			return item.Changes{}, fault.New(fault.Invalid, "The position is not known.")
		}
		from = n
	}
	to := min(from+2, len(p.changes))
	return item.Changes{WorkItems: p.changes[from:to], Next: strconv.Itoa(to), Last: to == len(p.changes)}, nil
}

func (p *project) change(id, rev int64, state string) {
	p.changes = append(p.changes, item.WorkItem{ID: id, Rev: rev, State: state, Type: "Task"})
}

// changesBench is a bench whose links pair ticket n with work item 10+n.
func changesBench(t *testing.T, linked ...int64) (*bench, *project, *poll.WorkItemPoller) {
	t.Helper()
	b, p := setup(t), &project{}
	for _, ticket := range linked {
		b.link(t, item.Link{Ticket: ticket, WorkItem: 10 + ticket, State: item.LinkActive, Agreed: item.Pair{Status: "Development", State: "To Do"}, TalkRev: 1})
	}
	rules := b.poller.Rules
	rules.Messages = true
	return b, p, &poll.WorkItemPoller{
		Connector: name, Rules: rules, WorkItems: p, Links: b.links, Cursors: b.origins, Inbox: b.inbox,
		Now: func() time.Time { return b.now },
	}
}

func changesOnce(t *testing.T, p *poll.WorkItemPoller, want int) {
	t.Helper()
	if found, err := p.Once(t.Context()); err != nil || found != want {
		t.Errorf("%d found, want %d (%v)", found, want, err)
	}
}

func TestChangesOfLinkedWorkItemsAreToldOnce(t *testing.T) {
	t.Parallel()
	b, project, poller := changesBench(t, 1, 2, 3, 4)
	changesOnce(t, poller, 0)
	project.change(11, 1, "To Do")
	project.change(12, 2, "To Do")
	project.change(99, 5, "Done")
	project.change(13, 1, "Done")
	project.changes = append(project.changes, item.WorkItem{ID: 14, Rev: 1, State: "To Do", Deleted: true})
	changesOnce(t, poller, 3)
	// A message or a field, a state, a deletion; not what stands as the link remembers,
	// and not what belongs to no ticket.
	if ids := b.take(t); !slices.Equal(ids, []int64{12, 13, 14}) {
		t.Errorf("queued %v", ids)
	}
	changesOnce(t, poller, 0)
	if want := []string{"07:00:00", "0", "2", "4", "5"}; !slices.Equal(project.asked, want) {
		t.Errorf("asked for %v, want %v", project.asked, want)
	}
}

// The hints carry the revision, so that a round for what a hook told already is short.
func TestChangeCarriesItsRevision(t *testing.T) {
	t.Parallel()
	b, project, poller := changesBench(t, 1)
	project.change(11, 7, "Done")
	changesOnce(t, poller, 1)
	deliveries, err := b.inbox.Receive(t.Context(), 10, time.Millisecond)
	if err != nil || len(deliveries) != 1 {
		t.Fatalf("%v, %v", deliveries, err)
	}
	d := deliveries[0]
	if want := (item.Key{Connector: name, System: item.AzureDevOps, ID: 11}); d.Key != want || d.MaxRevision != 7 || d.Background {
		t.Errorf("%+v", d)
	}
	if err := b.inbox.Done(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// Whatever breaks, the position stands before what is not in the inbox.
func TestBrokenOffChangesAreReadAgain(t *testing.T) {
	t.Parallel()
	for name, breaks := range map[string]func(*bench, *project){
		"the list":            func(_ *bench, p *project) { p.cutAt = 2 },
		"the list at once":    func(_ *bench, p *project) { p.cutAt = 1 },
		"the inbox":           func(b *bench, _ *project) { b.inbox.failAt = 3 },
		"the inbox at once":   func(b *bench, _ *project) { b.inbox.failAt = 1 },
		"the inbox in middle": func(b *bench, _ *project) { b.inbox.failAt = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, project, poller := changesBench(t, 1, 2, 3, 4)
			for id := range int64(4) {
				project.change(11+id, 2, "Done")
			}
			breaks(b, project)
			if _, err := poller.Once(t.Context()); err == nil {
				t.Fatal("it did not break")
			}
			ids := b.take(t)
			if _, err := poller.Once(t.Context()); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, b.take(t)...)
			slices.Sort(ids)
			if !slices.Equal(slices.Compact(ids), []int64{11, 12, 13, 14}) {
				t.Errorf("queued %v", ids)
			}
		})
	}
}

// A position that is not known any more (another server, a restored one) costs a second
// look from the last time on and no change.
func TestForgottenPosition(t *testing.T) {
	t.Parallel()
	b, project, poller := changesBench(t, 1)
	changesOnce(t, poller, 0)
	b.now = at(20)
	changesOnce(t, poller, 0)
	project.change(11, 2, "Done")
	project.forgets, project.asked = true, nil
	b.now = at(40)
	changesOnce(t, poller, 1)
	// Nothing has changed since the position was reached.
	want := at(0).Add(-poll.Overlap).Format(time.TimeOnly)
	if !slices.Equal(project.asked, []string{"0", want}) {
		t.Errorf("asked for %v, want 0 and %s", project.asked, want)
	}
	if err := b.origins.SetCursor(t.Context(), name, "poll-changes", "nonsense"); err != nil {
		t.Fatal(err)
	}
	if _, err := poller.Once(t.Context()); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a position that nobody stored: %v", err)
	}
}

// A server that tells no position, or the same for ever, does not keep us busy.
func TestListThatDoesNotAdvance(t *testing.T) {
	t.Parallel()
	_, _, poller := changesBench(t)
	for _, next := range []string{"", "5"} {
		stuck := stuckProject{next: next}
		poller.WorkItems = &stuck
		changesOnce(t, poller, 0)
		if stuck.asked > 2 {
			t.Errorf("next %q: asked %d times", next, stuck.asked)
		}
	}
}

type stuckProject struct {
	next  string
	asked int
}

func (s *stuckProject) Changes(context.Context, string, time.Time) (item.Changes, error) {
	s.asked++
	return item.Changes{Next: s.next}, nil
}

// What changed before the settings did waits for the resync that judges them, what
// changes since is taken.
func TestWhatIsStillToBeJudgedIsLeft(t *testing.T) {
	t.Parallel()
	b, project, poller := changesBench(t, 1, 2, 3)
	poller.From = at(10)
	b.poller.From = at(10)
	b.now = at(20)
	project.changes = []item.WorkItem{
		{ID: 11, Rev: 2, State: "Done", Changed: at(9)}, {ID: 12, Rev: 2, State: "Done", Changed: at(10)}, {ID: 13, Rev: 2, State: "Done"},
	}
	changesOnce(t, poller, 2)
	if ids := b.take(t); !slices.Equal(ids, []int64{12, 13}) {
		t.Errorf("queued work items %v", ids)
	}
	b.desk.set(ticket(1, "Testing", 9))
	b.desk.set(ticket(2, "Testing", 10))
	b.desk.set(item.Ticket{ID: 3, Status: "Testing"})
	if found := b.poll(t); found != 2 {
		t.Errorf("%d tickets found", found)
	}
	if ids := b.take(t); !slices.Equal(ids, []int64{2, 3}) {
		t.Errorf("queued tickets %v", ids)
	}
}

func TestWorkItemThatIsBack(t *testing.T) {
	t.Parallel()
	b, project, poller := changesBench(t)
	b.link(t, item.Link{Ticket: 1, WorkItem: 11, State: item.LinkGone, Away: item.AzureDevOps, Reason: "gone"})
	b.link(t, item.Link{Ticket: 2, WorkItem: 12, State: item.LinkGone, Away: item.Alvao, Reason: "gone"})
	project.changes = []item.WorkItem{{ID: 11, Rev: 4, Deleted: true}, {ID: 12, Rev: 4, State: "Done"}}
	changesOnce(t, poller, 0)
	project.change(11, 5, "Done")
	changesOnce(t, poller, 1)
	if plan.ChangeDoubt(item.Link{WorkItem: 11, State: item.LinkGone, Away: item.AzureDevOps}, &item.WorkItem{ID: 11, Elsewhere: true}, poller.Rules) != plan.None {
		t.Error("an item in another project counts as back")
	}
	_ = b.take(t)
}
