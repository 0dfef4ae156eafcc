package connector

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/resync"
	"github.com/tandem-sync/tandem/services/synccore/internal/runs"
)

// Runs is where all replicas keep the resyncs of connectors.
type Runs interface {
	Ask(ctx context.Context, connector, request string, want item.Resync) (item.Resync, error)
	Waiting(ctx context.Context, connector string) (item.Resync, bool, error)
	Get(ctx context.Context, connector, id string) (item.Resync, error)
	List(ctx context.Context, connector string) ([]item.Resync, error)
	Cancel(ctx context.Context, connector, id string, now time.Time) (item.Resync, error)
	Settle(ctx context.Context, connector, id string, ticket int64, outcome item.ResyncOutcome) error
	Turn(held lease.Lease) *runs.Turn
}

// resyncLook is how often it is looked whether a resync is due, asked for, or was left
// behind by a process that died.
const resyncLook = 15 * time.Second

// runResync compares everything when that is due or asked for, when the settings are
// others than those that were compared under, or when another process died over it.
func (r *running) runResync(ctx context.Context) {
	if !r.resyncs.due(r.deps.Now()) || !r.remembers(ctx) {
		return
	}
	r.turn(ctx, turnResync, r.resync, []item.System{item.Alvao, item.AzureDevOps}, r.urgent, func(ctx context.Context, held lease.Lease) error {
		err := r.compareAll(ctx, held)
		r.resyncs.note(err, r.deps.Now(), r.resync)
		return err
	})
}

// compareAll runs the resync whose turn it is to its end.
func (r *running) compareAll(ctx context.Context, held lease.Lease) error {
	ctx = unhurried(ctx)
	last, err := note[basis](ctx, r.deps.Origins, r.cfg.Name, noteBasis)
	if err != nil {
		return err
	}
	turn := r.deps.Runs.Turn(held)
	at, err := r.beginResync(ctx, turn, last)
	if err != nil {
		return err
	}
	run := resync.Resync{
		Connector: r.cfg.Name, Rules: r.forRound().PlanRules(), IgnoreExisting: r.ignoresExisting(), Tickets: r.tickets, WorkItems: r.workItems,
		Links: r.deps.Links, Origins: r.deps.Origins, Inbox: r.deps.Inbox, Store: turn, Now: r.deps.Now,
		SettingsChanged: last.Settings != "" && last.Settings != r.settings, Since: last.At, Spare: r.cfg.Brake.AtLeast,
		Judge: func(ctx context.Context, foreseen brake.Foresight) (bool, error) {
			judged, err := r.judgeChange(ctx, foreseen)
			return judged == brake.Hold, err
		},
	}
	at, err = run.Run(ctx, at)
	if err != nil && ctx.Err() != nil {
		// Whoever has the turn next goes on with it.
		return err
	}
	return r.endResync(ctx, turn, at, err)
}

// endResync has all replicas know how a resync ended.
func (r *running) endResync(ctx context.Context, turn *runs.Turn, at item.Resync, cause error) error {
	at.Ended = r.deps.Now()
	switch {
	case errors.Is(cause, resync.ErrCancelled):
		at.State, cause = item.ResyncCancelled, nil
	case cause != nil || at.Error != "":
		at.State = item.ResyncFailed
		if at.Error == "" {
			at.Error = fault.Sentence(cause)
		}
		if cause == nil {
			// It broke off before the process died that ran it.
			cause = fault.New(fault.Unavailable, "%s", at.Error)
		}
	default:
		at.State = item.ResyncSucceeded
		if !at.Stop {
			if err := setNote(ctx, r.deps.Origins, r.cfg.Name, noteBasis, basis{Settings: r.settings, At: at.Began}); err != nil {
				return err
			}
		}
	}
	if _, err := turn.Save(ctx, at, item.ResyncFound{}); err != nil {
		return errors.Join(cause, err)
	}
	if cause == nil {
		r.deps.Logger.InfoContext(ctx, "resync.done", slog.String("connector", r.cfg.Name), slog.String("resync", at.ID),
			slog.String("state", string(at.State)), slog.String("why", string(at.Reason)), slog.Int("resumed", at.Resumed),
			slog.Int("links", at.Links), slog.Int("tickets", at.Tickets), slog.Int("differing", at.Differing),
			slog.Int("foreseen", at.Foreseen), slog.Int("held", at.Held))
	}
	return cause
}

// beginResync is the resync to run: the one that a process left behind, the one that was
// asked for, or a new one. All replicas know of it then.
func (r *running) beginResync(ctx context.Context, turn *runs.Turn, last basis) (item.Resync, error) {
	all, err := r.deps.Runs.List(ctx, r.cfg.Name)
	if err != nil {
		return item.Resync{}, err
	}
	next := item.Resync{ID: runs.NewID(r.deps.Now(), all), Reason: item.ResyncScheduled}
	for _, one := range all {
		next.Request = later(next.Request, one.Request)
		if next.TicketsThere == 0 && one.State == item.ResyncSucceeded {
			next.TicketsThere = one.TicketsThere
		}
		if one.State != item.ResyncRunning {
			continue
		}
		if one.Settings == r.settings {
			one.Resumed++
			_, err := turn.Save(ctx, one, item.ResyncFound{}) // a wish to cancel it is heard after the next page
			return one, err
		}
		one.State, one.Ended = item.ResyncFailed, r.deps.Now()
		one.Error = "The settings changed before it came to its end; the next resync compares everything under the new ones."
		if _, err := turn.Save(ctx, one, item.ResyncFound{}); err != nil {
			return item.Resync{}, err
		}
	}
	waiting, waits, err := r.deps.Runs.Waiting(ctx, r.cfg.Name)
	switch {
	case err != nil:
		return item.Resync{}, err
	case waits:
		waiting.TicketsThere, waiting.Request = next.TicketsThere, later(next.Request, waiting.Asked)
		next = waiting
	case last.Settings != "" && last.Settings != r.settings:
		next.Reason = item.ResyncSettings
	case !r.resynced && len(all) > 0:
		next.Reason = item.ResyncOverdue
	}
	r.resynced = true
	next.State, next.Settings, next.Began = item.ResyncRunning, r.settings, r.deps.Now()
	_, err = turn.Save(ctx, next, item.ResyncFound{})
	return next, err
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// urgent tells that a resync must not wait until the next is due.
func (r *running) urgent(ctx context.Context, last time.Time) bool {
	if r.unjudged(ctx, last) {
		return true
	}
	if _, waits, err := r.deps.Runs.Waiting(ctx, r.cfg.Name); err == nil && waits {
		return true
	}
	all, err := r.deps.Runs.List(ctx, r.cfg.Name)
	if err != nil {
		return false
	}
	for _, one := range all {
		if one.State == item.ResyncRunning {
			return true
		}
	}
	// That none is due now means that one ran while this process did, or just before.
	r.resynced = true
	return false
}

// settle notes what a round made of a ticket that a resync put into the inbox. That it
// can't be noted hinders nothing.
func (s *Set) settle(ctx context.Context, d inbox.Delivery, writes int, parked bool, err error) {
	id := resync.Of(d.Last)
	if id == "" {
		id = resync.Of(d.First)
	}
	if id == "" || s.deps.Runs == nil {
		return
	}
	outcome := item.OutcomeNothing
	switch {
	case err != nil || parked:
		outcome = item.OutcomeFailed
	case writes > 0:
		outcome = item.OutcomeWritten
	}
	_ = s.deps.Runs.Settle(ctx, d.Key.Connector, id, d.Key.ID, outcome) // a count for people
}

// Resync tells about the latest resync of a connector that began, whichever replica ran
// it; the zero value: there was none.
func (s *Set) Resync(ctx context.Context, name string) (item.Resync, error) {
	all, err := s.Resyncs(ctx, name)
	if err != nil {
		return item.Resync{}, err
	}
	for _, one := range all {
		if !one.Began.IsZero() {
			return one, nil
		}
	}
	return item.Resync{}, nil
}

// Resyncs tells about the resyncs of a connector that are remembered, the newest first.
func (s *Set) Resyncs(ctx context.Context, name string) ([]item.Resync, error) {
	if s.get(name) == nil {
		return nil, noConnector(name)
	}
	return s.deps.Runs.List(ctx, name)
}

// ResyncOf tells about one resync; fault.NotFound if there is none of that id.
func (s *Set) ResyncOf(ctx context.Context, name, id string) (item.Resync, error) {
	if s.get(name) == nil {
		return item.Resync{}, noConnector(name)
	}
	return s.deps.Runs.Get(ctx, name, id)
}

// AskResync asks for a resync now and returns it as it waits. If one waits already it is
// that one; a request id that asked before gets what it got then.
func (s *Set) AskResync(ctx context.Context, name, request string) (item.Resync, error) {
	r := s.get(name)
	if r == nil {
		return item.Resync{}, noConnector(name)
	}
	all, err := s.deps.Runs.List(ctx, name)
	if err != nil {
		return item.Resync{}, err
	}
	now := s.deps.Now().UTC()
	// The clocks of two replicas may differ.
	for _, one := range all {
		if before := later(one.Asked, one.Request); !now.After(before) {
			now = before.Add(time.Microsecond)
		}
	}
	want := item.Resync{ID: runs.NewID(now, all), State: item.ResyncWaiting, Reason: item.ResyncAsked, Asked: now}
	waits, err := s.deps.Runs.Ask(ctx, name, request, want)
	if err != nil {
		return item.Resync{}, err
	}
	s.deps.Logger.InfoContext(ctx, "resync.asked", slog.String("connector", name), slog.String("resync", waits.ID))
	// A replica that has the turn just now finds out by itself soon.
	r.lookAgain()
	return waits, nil
}

// CancelResync ends a resync that waits, or has the one that is under way end after the
// page in hand. One that has ended is left as it is.
func (s *Set) CancelResync(ctx context.Context, name, id string) (item.Resync, error) {
	if s.get(name) == nil {
		return item.Resync{}, noConnector(name)
	}
	cancelled, err := s.deps.Runs.Cancel(ctx, name, id, s.deps.Now())
	if err != nil {
		return item.Resync{}, err
	}
	s.deps.Logger.InfoContext(ctx, "resync.cancelled", slog.String("connector", name), slog.String("resync", id))
	return cancelled, nil
}

func noConnector(name string) error {
	return fault.New(fault.NotFound, "No connector is named %q.", name)
}
