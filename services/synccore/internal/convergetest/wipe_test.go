package convergetest_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	tracenoop "go.opentelemetry.io/otel/trace/noop"

	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/connector"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/pushed"
	"github.com/tandem-sync/tandem/services/synccore/internal/rebuild"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
	"github.com/tandem-sync/tandem/services/synccore/internal/runs"
)

// wipe empties Redis while everything goes on. Sometimes somebody notices soon, else the
// links are made anew before the end.
func (h *history) wipe(r *rand.Rand) {
	for _, t := range h.tickets {
		if w := h.linkOf(t).WorkItem; w != 0 {
			h.had[t] = w
		}
	}
	if err := h.redis.flush(); err != nil {
		h.failf("emptying Redis: %v", err)
		return
	}
	h.wiped = true
	if r.IntN(2) == 0 {
		_ = h.rebuild() // in foul weather it is done again at the end
	}
}

// rebuilt makes the links anew if Redis was emptied. It tells whether that failed.
func (h *history) rebuilt() bool {
	if !h.wiped {
		return false
	}
	if err := h.rebuild(); err != nil {
		h.failf("rebuilding: %v", err)
		return true
	}
	return h.quiet()
}

// rebuild is `synccore rebuild-links`, beside the process that runs. It may fail in foul
// weather.
func (h *history) rebuild() error {
	h.excuse()
	logs, err := pushed.New(h.observer, pushed.Limits{}, time.Now)
	if err != nil {
		return err
	}
	p := &process{w: h.world, redis: h.observer, inbox: h.queue, logs: logs}
	leases, tracers := lease.New(h.observer), tracenoop.NewTracerProvider()
	deps := connector.Deps{
		Open: p.open, Links: h.links, Leases: leases, Origins: h.origins, Inbox: h.queue, Runs: runs.New(h.observer), Logger: h.logger, Now: time.Now,
		Engine: reconcile.New(reconcile.Config{Links: h.links, Leases: leases, Origins: h.origins, Tracers: tracers, Now: time.Now}),
	}
	tell := func(pair rebuild.Pair) {
		if *verbose {
			fmt.Fprintf(os.Stdout, "  # %+v\n", pair)
		}
	}
	_, err = connector.Rebuild(h.ctx, h.settings, deps, connector.RebuildOptions{NewSince: h.began, Tell: tell})
	if err != nil {
		return err
	}
	h.wiped = false
	h.checkRebuilt()
	return nil
}

// checkRebuilt finds pairs that were not found again although something that tells of them
// stands.
func (h *history) checkRebuilt() {
	for ticket, workItem := range h.had {
		if h.lost[ticket] {
			continue
		}
		t, w, _ := h.reachable(ticket, workItem)
		if t.ID == 0 || !t.DeletedAt.IsZero() || t.Service != service || w.ID == 0 || w.Deleted || w.Project != project {
			continue
		}
		// Of several tickets that a person gave the number the mark decides.
		if !marked(w, ticket) && slices.ContainsFunc(h.tickets, func(other int) bool {
			shown, _ := h.desk.Ticket(other)
			return other != ticket && externalID(shown) == strconv.FormatInt(workItem, 10)
		}) {
			continue
		}
		// Tickets in no mapped status are not read one by one for the sake of a number that the
		// list does not show: they are found when they enter one.
		if !marked(w, ticket) && !h.shape.tenant.ListCustomItems && len(h.statusMap().States(t.Status)) == 0 {
			continue
		}
		if l := h.linkOf(ticket); l.WorkItem != workItem {
			h.failf("ticket %d belonged to work item %d and carries %q; after its link was made anew it is %+v", ticket, workItem, externalID(t), l)
		}
	}
}

// marked tells that a work item carries a ticket's mark and nothing speaks against it.
func marked(w standazure.WorkItem, ticket int) bool {
	return slices.ContainsFunc(w.Tags, func(tag string) bool { return strings.EqualFold(tag, "ALVAO-"+strconv.Itoa(ticket)) }) &&
		slices.ContainsFunc(w.Relations, func(l standazure.Relation) bool { return l.Rel == "Hyperlink" })
}

// excuse finds the pairs of which people removed what tells that they belong together:
// without Redis nobody can know.
func (h *history) excuse() {
	for ticket, workItem := range h.had {
		t, there := h.desk.Ticket(ticket)
		w, exists := h.boards.WorkItem(int(workItem))
		carried := externalID(t)
		tagged := exists && !w.Deleted && w.Project == project && marked(w, ticket)
		if !there || !exists || carried != strconv.FormatInt(workItem, 10) && (carried != "" || !tagged) {
			h.lost[ticket] = true
		}
	}
}
