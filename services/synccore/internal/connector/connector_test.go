package connector_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	standfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/connector"
	"github.com/tandem-sync/tandem/services/synccore/internal/crossing"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
)

func linkOld(c *config.Connector, _ *mapping.Settings) {
	c.Rules.ExistingTickets = mapping.ExistingLink
}

func TestSystemsThatComeLater(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/azuredevops/**", "/AlvaoRestApi/**"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			r := setup(t)
			r.disturb(t, standfault.Rule{Path: path, Kind: standfault.KindUnavailable})
			r.apply(t, r.settings(t, name))
			ticket := r.ticket(t, "New")
			// They have been away for long, so the hint is held for the longest time.
			r.ahead.Store(int64(time.Hour))
			r.hint(t, name, ticket)
			eventually(t, "the hint waits", func() bool { return r.stats(t).Waiting == 1 })
			if summary, _ := r.set.Get(name); summary.Ready || len(summary.Refusals) != 0 {
				t.Errorf("while a system is away: %+v", summary)
			}
			r.faults.Clear()
			began := time.Now()
			r.ready(t, name)
			eventually(t, "the hint is served", func() bool { return r.stats(t).Items() == 0 })
			if took := time.Since(began); took > 12*time.Second {
				t.Errorf("what was held was let go after %s", took)
			}
			r.ahead.Store(0)
			if err := r.desk.SetStatus(t.Context(), standalvao.Solver, int(ticket), "Development"); err != nil {
				t.Fatal(err)
			}
			r.hint(t, name, ticket)
			eventually(t, "the ticket has a work item", r.linked(t, name, ticket))
			if dead := r.stats(t).Dead; dead != 0 {
				t.Errorf("%d dead letters", dead)
			}
		})
	}
}

func TestFindBeforeAndAfterTheProjectIsReached(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.disturb(t, standfault.Rule{Path: "/azuredevops/**", Kind: standfault.KindUnavailable})
	account := r.url + "/azuredevops/contoso/"
	if _, err := r.set.Find(account, "", "Alvaoproject"); !fault.Is(err, fault.NotFound) {
		t.Errorf("without connectors: %v", err)
	}
	r.apply(t, r.settings(t, name), r.settings(t, "support"))
	const guid = "11111111-2222-3333-4444-555555555555"
	if _, err := r.set.Find(account, guid, ""); !fault.Is(err, fault.Unavailable) {
		t.Errorf("before the project is reached: %v", err)
	}
	r.faults.Clear()
	r.ready(t, name)
	r.ready(t, "support")
	if names, err := r.set.Find(account, "", "Alvaoproject"); err != nil || !slices.Equal(names, []string{name, "support"}) {
		t.Errorf("%v, %v", names, err)
	}
	if _, err := r.set.Find(account, guid, ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("another project: %v", err)
	}
}

func TestFirstStart(t *testing.T) {
	t.Parallel()
	t.Run("ignore", func(t *testing.T) {
		t.Parallel()
		r := setup(t)
		old := r.ticket(t, "Development")
		r.apply(t, r.settings(t, name))
		r.ready(t, name)
		fresh := r.ticket(t, "Development")
		r.hint(t, name, old)
		r.hint(t, name, fresh)
		eventually(t, "the new ticket has a work item", r.linked(t, name, fresh))
		r.quiet(t)
		if r.boards.Count() != 1 || r.link(t, name, old).Exists() {
			t.Errorf("%d work items", r.boards.Count())
		}
		// The setting changes: the old ones are linked from now on.
		r.apply(t, r.settings(t, name, linkOld))
		r.ready(t, name)
		r.hint(t, name, old)
		eventually(t, "the old ticket has a work item", r.linked(t, name, old))
	})
	t.Run("link", func(t *testing.T) {
		t.Parallel()
		r := setup(t)
		old := []int64{r.ticket(t, "Development"), r.ticket(t, "Testing")}
		r.ticket(t, "New")
		r.apply(t, r.settings(t, name, linkOld))
		for _, ticket := range old {
			eventually(t, "an old ticket has a work item", r.linked(t, name, ticket))
		}
		r.quiet(t)
		if r.boards.Count() != 2 {
			t.Errorf("%d work items", r.boards.Count())
		}
	})
	t.Run("only once", func(t *testing.T) {
		t.Parallel()
		r := setup(t)
		r.apply(t, r.settings(t, name))
		r.ready(t, name)
		r.apply(t)
		ticket := r.ticket(t, "Development") // while it is not configured
		r.apply(t, r.settings(t, name))
		r.ready(t, name)
		r.hint(t, name, ticket)
		eventually(t, "the ticket has a work item", r.linked(t, name, ticket))
	})
}

// TestBackgroundWorkIsMarked: the calls for what a resync found let others go first.
func TestBackgroundWorkIsMarked(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name))
	r.ready(t, name)
	writes := func(kind string) int {
		r.calls.mu.Lock()
		defer r.calls.mu.Unlock()
		return r.calls.count[kind]
	}
	found := r.ticket(t, "Development")
	_, err := r.inbox.Append(t.Context(), item.Event{
		Key: item.Key{Connector: name, System: item.Alvao, ID: found}, Type: "resync", Received: time.Now(), Background: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the ticket has a work item", r.linked(t, name, found))
	r.quiet(t)
	background := writes("background writes")
	if background == 0 || writes("live writes") != 0 {
		t.Errorf("%d background and %d live writes for what a resync found", background, writes("live writes"))
	}
	told := r.ticket(t, "Development")
	r.hint(t, name, told)
	eventually(t, "the other ticket has a work item", r.linked(t, name, told))
	r.quiet(t)
	if writes("background writes") != background || writes("live writes") == 0 {
		t.Errorf("%d more background and %d live writes for what an event told of", writes("background writes")-background, writes("live writes"))
	}
}

// A poll alone keeps things going where there are no webhooks.
func TestPollsFindWhatNobodyTold(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name, func(c *config.Connector, _ *mapping.Settings) { c.PollInterval = 50 * time.Millisecond }))
	r.ready(t, name)
	ticket := r.ticket(t, "Development")
	eventually(t, "the ticket has a work item", r.linked(t, name, ticket))
}

// What happens to a work item while no hook tells is found too, whatever it is, and the
// link needs no resync for it.
func TestPollsFindWhatNoHookTold(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name, func(c *config.Connector, s *mapping.Settings) {
		c.PollInterval, s.SyncCommunication = 50*time.Millisecond, true
	}))
	r.ready(t, name)
	ticket := r.ticket(t, "Development")
	eventually(t, "the ticket has a work item", r.linked(t, name, ticket))
	r.quiet(t)
	workItem, board := int(r.link(t, name, ticket).WorkItem), r.boards.As("jana.dvorakova@contoso.com")
	if _, err := board.SetState(workItem, "Doing"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the status follows", func() bool { shown, _ := r.desk.Ticket(int(ticket)); return shown.Status == "Development pending" })
	if _, err := board.Comment(workItem, "the cable is loose", ""); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the comment crosses", func() bool {
		return slices.ContainsFunc(r.desk.Records(int(ticket)), func(one standalvao.Record) bool { return strings.Contains(one.HTML, "the cable is loose") })
	})
	if err := board.Delete(workItem); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is gone", func() bool { return r.link(t, name, ticket).State == item.LinkGone })
	if err := board.Restore(workItem); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is back", func() bool { return r.link(t, name, ticket).State == item.LinkActive })
	if got := len(r.log.lines(t, "resync.done")); got > 1 {
		t.Errorf("%d resyncs", got)
	}
}

func TestUnchangedConnectorsAreLeftRunning(t *testing.T) {
	t.Parallel()
	r := setup(t)
	ca := filepath.Join(r.dir, "ca.pem")
	write(t, r.dir, "ca.pem", "one")
	private := func(c *config.Connector, _ *mapping.Settings) {
		c.Alvao.CAFile = ca
		// Patterns are compiled each time that the file is read.
		text, err := crossing.NewPattern(`(?i)#internal|^(a|b)+$`)
		if err != nil {
			t.Fatal(err)
		}
		own, err := redact.NewPattern("own", `\bKD-[0-9]{8}\b`)
		if err != nil {
			t.Fatal(err)
		}
		c.Messages.Crossing.List = []crossing.Rule{{Text: text}}
		c.Redact = config.Redact{Shipped: true, Patterns: []redact.Pattern{own}}
	}
	r.apply(t, r.settings(t, name), r.settings(t, "support"), r.settings(t, "private", private))
	for _, each := range []string{name, "support", "private"} {
		r.ready(t, each)
	}
	started := func(name string) int {
		n := 0
		for _, line := range r.log.lines(t, "connector.ready") {
			if line["connector"] == name {
				n++
			}
		}
		return n
	}
	// The same again, in another order, with one changed.
	r.apply(t, r.settings(t, "private", private), r.settings(t, "support", func(_ *config.Connector, s *mapping.Settings) {
		s.StatusMap = s.StatusMap[:2]
	}), r.settings(t, name))
	eventually(t, "the changed one is ready again", func() bool { return started("support") == 2 })
	if started(name) != 1 || started("private") != 1 {
		t.Errorf("started %d and %d times", started(name), started("private"))
	}
	// The certificates that a client trusts are read when it is made.
	if err := os.WriteFile(ca, []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.apply(t, r.settings(t, "private", private), r.settings(t, name))
	eventually(t, "the one with new certificates is ready again", func() bool { return started("private") == 2 })
	if started(name) != 1 {
		t.Errorf("started %d times", started(name))
	}
	var stopped []any
	for _, line := range r.log.lines(t, "connector.stopped") {
		stopped = append(stopped, line["connector"])
	}
	if !slices.Contains(stopped, any("support")) || !slices.Contains(stopped, any("private")) || slices.Contains(stopped, any(name)) {
		t.Errorf("stopped %v", stopped)
	}
	if _, ok := r.set.Get("support"); ok {
		t.Error("a connector that was removed is still there")
	}
	names := []string{}
	for _, each := range r.set.List() {
		names = append(names, each.Config.Name)
	}
	if !slices.Equal(names, []string{name, "private"}) {
		t.Errorf("connectors %v", names)
	}
}

// A round that is under way ends by the settings that it began with; what comes after
// it goes by the new ones.
func TestSettingsChangeWhileWorkIsUnderWay(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name))
	r.ready(t, name)
	ticket := r.ticket(t, "Development")
	r.hint(t, name, ticket)
	eventually(t, "the ticket has a work item", r.linked(t, name, ticket))
	r.quiet(t)

	r.disturb(t, standfault.Rule{ID: "slow", Method: "PATCH", Path: "/azuredevops/**", Delay: standfault.Duration(time.Minute)})
	if err := r.desk.SetStatus(t.Context(), standalvao.Solver, int(ticket), "Testing"); err != nil {
		t.Fatal(err)
	}
	r.hint(t, name, ticket)
	writing := func() bool { return r.faults.Rules()[0].Hits > 0 }
	eventually(t, "the round writes", writing)
	// Testing now means Doing.
	swapped := func(_ *config.Connector, s *mapping.Settings) {
		s.StatusMap = []item.Pair{{State: "To Do", Status: "Development"}, {State: "Doing", Status: "Testing"}}
	}
	r.apply(t, r.settings(t, name, swapped))
	r.ready(t, name)
	r.faults.Remove("slow")
	made := int(r.link(t, name, ticket).WorkItem)
	eventually(t, "the round ended by the old settings", func() bool {
		shown, _ := r.boards.WorkItem(made)
		return shown.State == "Done"
	})
	r.quiet(t)
	if err := r.desk.SetStatus(t.Context(), standalvao.Solver, int(ticket), "Development"); err != nil {
		t.Fatal(err)
	}
	r.hint(t, name, ticket)
	eventually(t, "back", func() bool { shown, _ := r.boards.WorkItem(made); return shown.State == "To Do" })
	r.quiet(t)
	if err := r.desk.SetStatus(t.Context(), standalvao.Solver, int(ticket), "Testing"); err != nil {
		t.Fatal(err)
	}
	r.hint(t, name, ticket)
	eventually(t, "the new settings hold", func() bool { shown, _ := r.boards.WorkItem(made); return shown.State == "Doing" })
	if dead := r.stats(t).Dead; dead != 0 {
		t.Errorf("%d dead letters", dead)
	}
}

func TestRemovedAndAddedAgainWhileWorkIsUnderWay(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name))
	r.ready(t, name)
	ticket := r.ticket(t, "Development")
	r.disturb(t, standfault.Rule{ID: "slow", Method: "POST", Path: "/azuredevops/**/workitems/*", Delay: standfault.Duration(time.Minute)})
	r.hint(t, name, ticket)
	eventually(t, "the round creates", func() bool { return r.faults.Rules()[0].Hits > 0 })
	other := r.ticket(t, "Development")
	r.apply(t)
	r.hint(t, name, other)
	eventually(t, "work of a connector that is not there waits", func() bool { return r.stats(t).Waiting == 1 })
	r.apply(t, r.settings(t, name))
	r.ready(t, name)
	r.faults.Remove("slow")
	eventually(t, "the first ticket has a work item", r.linked(t, name, ticket))
	r.hint(t, name, other) // a hint ends the wait
	eventually(t, "the second ticket has one", r.linked(t, name, other))
	if r.boards.Count() != 2 || r.stats(t).Dead != 0 {
		t.Errorf("%d work items, %d dead letters", r.boards.Count(), r.stats(t).Dead)
	}
}

// A connector that is taken out of the configuration leaves its links and both systems
// as they are; its events are nobody's. Put back, it goes on where it was.
func TestRemovedConnectorLeavesItsLinks(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name))
	r.ready(t, name)
	ticket := r.ticket(t, "Development")
	r.hint(t, name, ticket)
	eventually(t, "the ticket has a work item", r.linked(t, name, ticket))
	r.quiet(t)
	before, writes := r.link(t, name, ticket), len(r.boards.Writes())
	r.apply(t)
	if _, err := r.set.Find(r.url+"/azuredevops/contoso", "", "Alvaoproject"); !fault.Is(err, fault.NotFound) {
		t.Errorf("its events: %v", err)
	}
	if after := r.link(t, name, ticket); after.Version != before.Version || len(r.boards.Writes()) != writes {
		t.Errorf("the link is %+v, was %+v", after, before)
	}
	if err := r.desk.SetStatus(t.Context(), standalvao.Solver, int(ticket), "Testing"); err != nil {
		t.Fatal(err)
	}
	r.apply(t, r.settings(t, name))
	r.ready(t, name)
	r.hint(t, name, ticket)
	eventually(t, "it goes on", func() bool { shown, _ := r.boards.WorkItem(int(before.WorkItem)); return shown.State == "Done" })
	if r.boards.Count() != 1 {
		t.Errorf("%d work items", r.boards.Count())
	}
}

// Of several processes one at a time polls, and none more often than is asked for.
func TestOneReplicaAtATimePolls(t *testing.T) {
	t.Parallel()
	store := redistest.Embedded(t)
	dir := t.TempDir()
	write(t, dir, "pat", "sandbox-pat")
	write(t, dir, "password", "tandem")
	s := startSystems(t, standazure.Options{})
	replicas := []*replica{newReplica(t, s, store, dir), newReplica(t, s, store, dir), newReplica(t, s, store, dir)}
	s.disturb(t, standfault.Rule{Path: "/AlvaoRestApi/v1/tickets", Delay: standfault.Duration(30 * time.Millisecond)})
	const interval = 200 * time.Millisecond
	for _, r := range replicas {
		r.apply(t, r.settings(t, name, linkOld, func(c *config.Connector, _ *mapping.Settings) { c.PollInterval = interval }))
	}
	// Each lists tickets when it finds out at its start what the tenant offers.
	for _, r := range replicas {
		eventually(t, "it knows what the tenant offers", func() bool { return len(r.log.lines(t, "connector.capability")) > 0 })
	}
	resyncs := func() int {
		done := 0
		for _, r := range replicas {
			done += len(r.log.lines(t, "resync.done"))
		}
		return done
	}
	eventually(t, "there was a resync", func() bool { return resyncs() > 0 })
	s.calls.mu.Lock()
	before, began := s.calls.count["lists"], time.Now()
	s.calls.crowds = 0
	s.calls.mu.Unlock()
	eventually(t, "there were some polls", func() bool { return s.calls.of("lists") >= before+8 })
	took := time.Since(began)
	// A poll per interval, which may come a tenth early.
	if lists, most := s.calls.of("lists")-before, int(took/(interval*9/10))+2; lists > most {
		t.Errorf("%d lists in %s, at most %d are due", lists, took, most)
	}
	if done := resyncs(); done != 1 {
		t.Errorf("%d resyncs", done)
	}
	s.calls.mu.Lock()
	defer s.calls.mu.Unlock()
	// A list may end while the next turn, which is another replica's, begins.
	if s.calls.crowds > 2 {
		t.Errorf("%d lists were read at once", s.calls.crowds)
	}
}

// What lists the old tickets at the very first start is one process alone: a ticket
// that comes while another one begins to serve is not old.
func TestFirstStartOfSeveralReplicas(t *testing.T) {
	t.Parallel()
	store := redistest.Embedded(t)
	dir := t.TempDir()
	write(t, dir, "pat", "sandbox-pat")
	write(t, dir, "password", "tandem")
	s := startSystems(t, standazure.Options{})
	s.disturb(t, standfault.Rule{ID: "slow", Path: "/AlvaoRestApi/v1/tickets", Delay: standfault.Duration(time.Minute), Count: 1})
	first, second := newReplica(t, s, store, dir), newReplica(t, s, store, dir)
	first.apply(t, first.settings(t, name))
	eventually(t, "the first lists", func() bool { return s.faults.Rules()[0].Hits > 0 })
	second.apply(t, second.settings(t, name))
	eventually(t, "the second waits", func() bool { return len(second.log.lines(t, "connector.prepare")) > 0 })
	if s.calls.of("lists") != 1 {
		t.Errorf("%d lists", s.calls.of("lists"))
	}
	s.faults.Remove("slow")
	first.ready(t, name)
	second.ready(t, name)
}

func TestConnectorsThatCanNotBeOpened(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name))
	r.ready(t, name)
	bad := func(c *config.Connector, _ *mapping.Settings) { c.Alvao.URL = "ftp://nowhere" }
	cfg := &config.Config{Resync: config.Resync{Interval: time.Hour}, Connectors: []config.Connector{
		r.settings(t, name, bad), r.settings(t, "worse", bad), r.settings(t, "support"),
	}}
	err := r.set.Apply(r.ctx, cfg)
	if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "worse") {
		t.Errorf("%v", err)
	}
	var failed *connector.NotOpenedError
	if !errors.As(err, &failed) || !slices.Equal(failed.Names, []string{name, "worse"}) {
		t.Errorf("not opened: %+v", failed)
	}
	r.ready(t, "support")
	if summary, ok := r.set.Get(name); !ok || strings.HasPrefix(summary.Config.Alvao.URL, "ftp") {
		t.Errorf("the settings that worked were not kept: %+v", summary.Config.Alvao)
	}
	if _, ok := r.set.Get("worse"); ok {
		t.Error("a connector that can't be opened is there")
	}
}
