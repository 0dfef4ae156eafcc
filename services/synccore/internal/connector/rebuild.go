package connector

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
	"github.com/tandem-sync/tandem/services/synccore/internal/rebuild"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
)

// remembers tells whether Redis still holds what was noted when the connector started. If
// it was emptied meanwhile, no work item is made for a while, so that one that was just
// being made can be found; then what is there is noted anew, as at a first start. Links are
// made anew as their items come by, and all at once by a rebuild.
func (r *running) remembers(ctx context.Context) bool {
	complete, err := r.deps.Origins.IsComplete(ctx, r.cfg.Name)
	if err != nil {
		return false
	}
	if complete {
		r.emptied = time.Time{}
		return true
	}
	if r.emptied.IsZero() {
		r.noticeEmptied(ctx)
		r.listed = false
	}
	if r.settling() > 0 {
		return false
	}
	if err := r.noteExisting(ctx); err != nil {
		if ctx.Err() == nil {
			r.deps.Logger.WarnContext(ctx, "connector.prepare", slog.String("connector", r.cfg.Name), slog.String("error", err.Error()))
		}
		return false
	}
	r.emptied = time.Time{}
	return true
}

// noticeEmptied notes that Redis was emptied, and says so.
func (r *running) noticeEmptied(ctx context.Context) {
	r.emptied = r.deps.Now()
	r.deps.Logger.ErrorContext(ctx, "connector.emptied", slog.String("connector", r.cfg.Name),
		slog.String("reason", "Redis holds nothing of the connector any more; run synccore rebuild-links to make its links anew."))
}

// settling is for how long yet a work item may arrive that was being made when Redis was
// emptied.
func (r *running) settling() time.Duration {
	if r.emptied.IsZero() {
		return 0
	}
	return max(plan.Settle-r.deps.Now().Sub(r.emptied), 0)
}

// RebuildOptions say how links are made anew.
type RebuildOptions struct {
	// NewSince is from when on tickets are the connector's; zero: not known.
	NewSince time.Time
	// DryRun tells that nothing is written.
	DryRun bool
	// Tell is told of each pair, by one goroutine at a time.
	Tell func(rebuild.Pair)
}

// Rebuild makes the links of a connector anew from what both systems say. The connector
// may run meanwhile, in any process.
func Rebuild(ctx context.Context, cfg config.Connector, deps Deps, o RebuildOptions) (rebuild.Result, error) {
	clients, err := deps.Open(cfg)
	if err != nil {
		return rebuild.Result{}, fmt.Errorf("opening connector %s: %w", cfg.Name, err)
	}
	defer clients.Close()
	if err := clients.WorkItems.Prepare(ctx); err != nil {
		return rebuild.Result{}, fmt.Errorf("resolving the project: %w", err)
	}
	// It is never started: only its settings are used.
	r := &running{cfg: cfg, deps: deps, clients: clients, started: deps.Now()}
	r.redact()
	r.tickets, r.workItems = guardedTickets{clients.Tickets, r}, guardedWorkItems{clients.WorkItems, r}
	round := r.forRound()
	work := rebuild.Rebuild{
		Connector: cfg.Name, Rules: round.PlanRules(), IgnoreExisting: r.ignoresExisting(), Tickets: r.tickets, WorkItems: r.workItems,
		Links: deps.Links, Origins: deps.Origins, TicketOfMark: reconcile.TicketOfMark, Tell: o.Tell, NewSince: o.NewSince, DryRun: o.DryRun,
		Round: func(ctx context.Context, ticket, marked int64) (rebuild.Outcome, error) {
			report, err := deps.Engine.Handle(ctx, round, reconcile.Hints{
				Key: item.Key{Connector: cfg.Name, System: item.Alvao, ID: ticket}, Received: deps.Now(), Adopt: true, Marked: marked,
			})
			return rebuild.Outcome{WorkItem: report.WorkItem, Writes: report.Writes, Reason: report.Reason}, err
		},
	}
	return work.Run(unhurried(ctx))
}
