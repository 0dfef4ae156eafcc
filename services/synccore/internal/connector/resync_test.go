package connector_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	standfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// latest is what a replica tells of the latest resync.
func (r *replica) latest(t *testing.T) item.Resync {
	t.Helper()
	latest, err := r.set.Resync(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return latest
}

// askResync asks for a resync and waits for the end of the one that answers.
func (r *replica) askResync(t *testing.T) item.Resync {
	t.Helper()
	asked, err := r.set.AskResync(t.Context(), name, "")
	if err != nil {
		t.Fatal(err)
	}
	var latest item.Resync
	eventually(t, "the resync that was asked for ended", func() bool {
		latest = r.latest(t)
		return latest.State.Ended() && !latest.Request.Before(asked.Asked)
	})
	return latest
}

func TestResyncIsAskedFor(t *testing.T) {
	t.Parallel()
	s, store, dir := startSystems(t, standazure.Options{}), redistest.Embedded(t), t.TempDir()
	write(t, dir, "pat", "sandbox-pat")
	write(t, dir, "password", "tandem")
	r := newReplica(t, s, store, dir)
	if _, err := r.set.AskResync(t.Context(), name, ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("of no connector: %v", err)
	}
	if _, err := r.set.Resync(t.Context(), name); !fault.Is(err, fault.NotFound) {
		t.Errorf("told of no connector: %v", err)
	}
	cfg := r.settings(t, name, usual)
	r.apply(t, cfg)
	r.ready(t, name)
	tickets := r.pairs(t, 3)
	r.resyncs(t, 1)

	// None is due for an hour, nothing polls, and no event told of this one.
	missed := r.ticket(t, "Development")
	first := r.askResync(t)
	if first.Links != len(tickets) || first.Tickets != len(tickets)+1 || first.Differing != 1 || first.Error != "" {
		t.Errorf("the first resync tells %+v", first)
	}
	eventually(t, "what was missed is linked", r.linked(t, name, missed))
	r.quiet(t)

	// What is answered is not done again, and each request gets an answer of its own.
	other := newReplica(t, s, store, dir)
	other.apply(t, cfg)
	eventually(t, "the other replica is ready", func() bool { one, ok := other.set.Get(name); return ok && one.Ready })
	if got := other.latest(t); !got.Ended.Equal(first.Ended) {
		t.Errorf("the other replica tells %+v, want %+v", got, first)
	}
	other.ahead.Store(int64(-time.Hour)) // its clock is far behind
	second := other.askResync(t)
	if !second.Request.After(first.Request) {
		t.Errorf("the second request is at %v, the first was at %v", second.Request, first.Request)
	}

	// One that breaks off says why, and is answered nevertheless.
	s.disturb(t, standfault.Rule{ID: "no", Method: http.MethodGet, Path: "/AlvaoRestApi/v1/tickets", Kind: standfault.KindStatus, Status: http.StatusBadRequest})
	if failed := r.askResync(t); failed.Error == "" || strings.Contains(failed.Error, "unexpected") {
		t.Errorf("a resync without tickets tells %+v", failed)
	}
	s.faults.Clear()
	if again := r.askResync(t); again.Error != "" || again.Links != len(tickets)+1 {
		t.Errorf("the last resync tells %+v", again)
	}
}
