package connector_test

import (
	"testing"
	"time"

	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	standfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/connector"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

// A resync that fails is not begun anew each time it is looked whether one is due, but
// after a pause that doubles; one that is asked for comes at once.
func TestFailingResyncIsSpacedOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "pat", "sandbox-pat")
	write(t, dir, "password", "tandem")
	r := newReplica(t, startSystems(t, standazure.Options{}), redistest.Embedded(t), dir, func(d *connector.Deps) { d.ResyncLook = 20 * time.Millisecond })
	r.apply(t, r.settings(t, name, func(c *config.Connector, _ *mapping.Settings) { c.PollInterval = 20 * time.Millisecond }))
	r.ready(t, name)
	r.disturb(t, standfault.Rule{Path: "/AlvaoRestApi/**", Kind: standfault.KindStatus, Status: 403})
	if err := r.origins.SetCursor(t.Context(), name, "resync-at", ""); err != nil {
		t.Fatal(err)
	}
	// Failed polls tell that time for many looks has passed.
	pass := func(want int) {
		t.Helper()
		eventually(t, "a failed resync", func() bool { return len(r.log.lines(t, "resync.failed")) >= want })
		polled := len(r.log.lines(t, "poll.failed"))
		eventually(t, "failed polls", func() bool { return len(r.log.lines(t, "poll.failed")) >= polled+20 })
		if got := len(r.log.lines(t, "resync.failed")); got != want {
			t.Fatalf("%d resyncs failed, want %d", got, want)
		}
	}
	pass(1)
	r.ahead.Add(int64(time.Minute))
	pass(2)
	r.ahead.Add(int64(time.Minute))
	pass(2)
	r.ahead.Add(int64(time.Minute))
	pass(3)
	// Other settings are tried at once, and what succeeds is not paused for.
	r.faults.Clear()
	r.apply(t, r.settings(t, name, func(c *config.Connector, _ *mapping.Settings) { c.PollInterval = time.Hour }))
	eventually(t, "the resync", func() bool { return len(r.log.lines(t, "resync.done")) >= 2 })
}
