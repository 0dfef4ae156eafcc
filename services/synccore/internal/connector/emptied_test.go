package connector_test

import (
	"testing"
	"time"

	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	standfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// TestFreshStartOverEmptiedRedis: a sync-core that begins anew can't know that Redis was
// emptied, but by the marks that it finds. Then it makes none until what
// was just being made has arrived.
func TestFreshStartOverEmptiedRedis(t *testing.T) {
	t.Parallel()
	store := redistest.Embedded(t)
	dir := t.TempDir()
	write(t, dir, "pat", "sandbox-pat")
	write(t, dir, "password", "tandem")
	s := startSystems(t, standazure.Options{})
	first := newReplica(t, s, store, dir)
	first.apply(t, first.settings(t, name, linkOld))
	first.ready(t, name)
	old := first.ticket(t, "Development")
	first.hint(t, name, old)
	eventually(t, "the first ticket has a work item", first.linked(t, name, old))
	first.quiet(t)

	s.disturb(t, standfault.Rule{
		ID: "slow", Method: "POST", Path: "/azuredevops/**/workitems/$*", Delay: standfault.Duration(5 * time.Second), Count: 1,
	})
	ticket := first.ticket(t, "Development")
	first.hint(t, name, ticket)
	eventually(t, "its work item is being made", func() bool { return s.faults.Rules()[0].Hits > 0 })
	if err := store.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	second := newReplica(t, s, store, dir)
	second.apply(t, second.settings(t, name, linkOld))
	second.hint(t, name, ticket)
	eventually(t, "it notices", func() bool { return len(second.log.lines(t, "connector.emptied")) == 1 })
	eventually(t, "the work item arrives", func() bool { return s.boards.Count() == 2 })
	if summary, _ := second.set.Get(name); summary.Ready {
		t.Error("it did not wait")
	}
	second.ahead.Store(int64(time.Minute))             // what was being made has arrived by now
	second.apply(t, second.settings(t, name, linkOld)) // which has it look at once
	second.ready(t, name)
	second.hint(t, name, ticket)
	eventually(t, "the work item is adopted", second.linked(t, name, ticket))
	if n := s.boards.Count(); n != 2 {
		t.Errorf("%d work items for 2 tickets", n)
	}
}
