package connector

import (
	"context"
	"log/slog"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
	"github.com/tandem-sync/tandem/services/synccore/internal/worker"
)

// noteTimeout bounds keeping a decision: the item is served without it.
const noteTimeout = 2 * time.Second

// note keeps what a look at an item came to. What was only handed on to the item's
// ticket says nothing yet.
func (s *Set) note(ctx context.Context, d inbox.Delivery, report reconcile.Report, failure error) {
	if s.deps.Decisions == nil || ctx.Err() != nil || failure == nil && report.Forward != nil {
		return
	}
	outcome := worker.Decide(failure, d, 0)
	decision := item.Decision{
		Time: s.deps.Now().UTC(), Event: d.Last.Type, Outcome: string(outcome.Verdict), Reason: report.Reason, Writes: report.Writes, Rules: report.Rules,
		TraceID: report.TraceID,
	}
	if outcome.Reason != "" {
		decision.Reason = outcome.Reason
	}
	for _, step := range report.Steps {
		decision.Steps = append(decision.Steps, string(step))
	}
	ctx, cancel := context.WithTimeout(ctx, noteTimeout)
	defer cancel()
	if err := s.deps.Decisions.NoteDecision(ctx, d.Key, decision); err != nil {
		s.deps.Logger.DebugContext(ctx, "decision.unkept", slog.String("connector", d.Key.Connector), slog.String("error", err.Error()))
	}
}
