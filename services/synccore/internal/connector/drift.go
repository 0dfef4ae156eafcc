package connector

import (
	"context"
	"slices"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
	"github.com/tandem-sync/tandem/services/synccore/internal/resync"
)

// Repaired is what came of a repair.
type Repaired struct {
	// Writes counts the writes to either system.
	Writes int
	// Outcome is one sentence: how both stand, or what is in the way.
	Outcome string
	// Drift is what still differs; nil: nothing.
	Drift *item.Drift
}

func (r *running) drift() *resync.Drift {
	return &resync.Drift{
		Connector: r.cfg.Name, Rules: r.forRound().PlanRules(), Tickets: r.tickets, WorkItems: r.workItems, Links: r.deps.Links,
	}
}

// reachable finds a connector that can speak to both of its systems.
func (s *Set) reachable(name string) (*running, error) {
	r := s.get(name)
	if r == nil {
		return nil, noConnector(name)
	}
	if err := r.health.allow(item.Alvao, item.AzureDevOps); err != nil {
		return nil, err
	}
	if !r.ready.Load() {
		return nil, fault.New(fault.Unavailable, "Connector %q has not reached its systems since it started; try again shortly.", name)
	}
	return r, nil
}

// CheckDrift compares up to size links of a connector with both of their sides, and
// writes nothing.
func (s *Set) CheckDrift(ctx context.Context, name string, size int, token string) (resync.DriftPage, error) {
	r, err := s.reachable(name)
	if err != nil {
		return resync.DriftPage{}, err
	}
	return r.drift().Page(ctx, size, token)
}

// RepairDrift brings a ticket and its work item in step now. Where status and state
// differ, winner is the side that stays; empty: the configuration says which.
// fault.Conflict: the link is being worked on.
func (s *Set) RepairDrift(ctx context.Context, name string, ticket int64, winner item.System) (Repaired, error) {
	r, err := s.reachable(name)
	if err != nil {
		return Repaired{}, err
	}
	key := item.Key{Connector: name, System: item.Alvao, ID: ticket}
	report, err := s.deps.Engine.Handle(ctx, r.forRound(), reconcile.Hints{Key: key, Received: s.deps.Now(), Force: true, Winner: winner})
	repaired := Repaired{Writes: report.Writes, Outcome: report.Reason}
	if err != nil {
		switch fault.KindOf(err) {
		case fault.Refused, fault.Invalid, fault.Denied, fault.Misconfigured, fault.Busy:
			// It is what a person has to know of the repair, not a failure of the call.
			repaired.Outcome = fault.Sentence(err)
		default:
			return Repaired{}, err
		}
	}
	left, differs, err := r.drift().Of(ctx, ticket)
	if err != nil {
		return Repaired{}, err
	}
	// Messages were just compared; what happened to either side since was most likely the
	// repair itself.
	left.Differences = slices.DeleteFunc(left.Differences, func(d item.Difference) bool { return d.Kind == item.DriftMessages })
	if differs && len(left.Differences) > 0 {
		repaired.Drift = &left
	}
	return repaired, nil
}
