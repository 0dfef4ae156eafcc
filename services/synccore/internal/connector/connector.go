// Package connector keeps the configured connectors running: it prepares each one,
// polls and resyncs it, serves its share of the inbox, and knows whether it is
// healthy.
//
// Its one invariant: an item is only served by a connector that is prepared, with the
// rules of one configuration from beginning to end; a connector whose token is
// refused lets its work wait and gives nothing up.
package connector

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/poll"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
	"github.com/tandem-sync/tandem/services/synccore/internal/resync"
)

// Tickets is what a connector needs of its Alvao tenant.
type Tickets interface {
	reconcile.Tickets
	// ActiveSince yields the service's tickets that were active at or after a time.
	ActiveSince(ctx context.Context, since time.Time) iter.Seq2[item.Ticket, error]
	// All yields the service's tickets.
	All(ctx context.Context) iter.Seq2[item.Ticket, error]
	// InStatus yields the service's tickets in any of the statuses.
	InStatus(ctx context.Context, statuses []string) iter.Seq2[item.Ticket, error]
	// TicketOfURL recognises the URL of a ticket of this tenant.
	TicketOfURL(url string) (ticket int64, ok bool)
	// Check asks whether the connector can work.
	Check(ctx context.Context) []item.Finding
}

// WorkItems is what a connector needs of its Azure DevOps project.
type WorkItems interface {
	reconcile.WorkItems
	resync.WorkItems
	// Prepare resolves the project, so that Covers can be sure.
	Prepare(ctx context.Context) error
	// Covers tells whether an event of that origin belongs to the project.
	Covers(accountURL, projectID, projectName string) (match, known bool)
	// Check asks whether the connector can work.
	Check(ctx context.Context) []item.Finding
}

// Origins remembers where a connector stands in time.
type Origins interface {
	reconcile.Origins
	poll.Cursors
	AddExisting(ctx context.Context, connector string, tickets ...int64) error
	MarkComplete(ctx context.Context, connector string) error
	IsComplete(ctx context.Context, connector string) (bool, error)
}

// Links is where links are remembered.
type Links interface {
	Get(ctx context.Context, connector string, ticket int64) (item.Link, error)
	List(ctx context.Context, connector string, pageSize int, pageToken string) (links []item.Link, next string, err error)
}

// Inbox takes hints in and lets held work go.
type Inbox interface {
	Append(ctx context.Context, event item.Event) (stored bool, err error)
	ReleaseHeld(ctx context.Context, connector string) error
}

// Leases gives one replica at a time a connector's turn.
type Leases interface {
	Hold(ctx context.Context, key item.Key, ttl time.Duration) (context.Context, lease.Held, error)
}

// Deps is what connectors are made with. All fields are required.
type Deps struct {
	// Open makes the two clients of a connector. It must not call them.
	Open    func(cfg config.Connector) (Tickets, WorkItems, error)
	Engine  *reconcile.Engine
	Links   Links
	Leases  Leases
	Origins Origins
	Inbox   Inbox
	Logger  *slog.Logger
	Now     func() time.Time
}

// running is one connector at work.
type running struct {
	cfg       config.Connector
	resync    time.Duration
	deps      Deps
	tickets   Tickets
	workItems WorkItems
	health    health

	ready atomic.Bool
	stop  context.CancelFunc
	done  sync.WaitGroup
}

func start(ctx context.Context, cfg config.Connector, resyncEvery time.Duration, deps Deps) (*running, error) {
	tickets, workItems, err := deps.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("opening connector %s: %w", cfg.Name, err)
	}
	r := &running{cfg: cfg, resync: resyncEvery, deps: deps, tickets: tickets, workItems: workItems}
	ctx, r.stop = context.WithCancel(ctx)
	r.done.Go(func() { r.tend(ctx) })
	return r, nil
}

// close stops polling and resyncing; rounds in hand go on to their end.
func (r *running) close() {
	r.stop()
	r.done.Wait()
}

// tend prepares the connector, however long that takes, then polls and resyncs.
func (r *running) tend(ctx context.Context) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, 30*time.Second
	for {
		err := r.prepare(ctx)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return
		}
		r.health.note(err, r.deps.Now())
		r.deps.Logger.WarnContext(ctx, "connector.prepare", slog.String("connector", r.cfg.Name), slog.String("error", err.Error()))
		if !sleep(ctx, pause.NextBackOff()) {
			return
		}
	}
	r.recovered(ctx)
	r.ready.Store(true)
	r.deps.Logger.InfoContext(ctx, "connector.ready", slog.String("connector", r.cfg.Name))

	polls := time.NewTicker(r.cfg.PollInterval)
	defer polls.Stop()
	// A resync is looked for often and run when it is due, so that one that was missed
	// while the process was down is made up for at start.
	resyncs := time.NewTicker(min(r.resync, time.Minute))
	defer resyncs.Stop()
	r.runResync(ctx)
	r.runPoll(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-polls.C:
			r.runPoll(ctx)
		case <-resyncs.C:
			r.runResync(ctx)
		}
	}
}

// prepare resolves the project and, at the very first start, notes the tickets that
// are already in a mapped status.
func (r *running) prepare(ctx context.Context) error {
	if err := r.workItems.Prepare(ctx); err != nil {
		return fmt.Errorf("resolving the project: %w", err)
	}
	complete, err := r.deps.Origins.IsComplete(ctx, r.cfg.Name)
	if err != nil {
		return fmt.Errorf("looking whether the connector started before: %w", err)
	}
	if complete {
		return nil
	}
	if r.cfg.Rules.ExistingTickets == mapping.ExistingIgnore {
		var batch []int64
		for ticket, err := range r.tickets.InStatus(ctx, statusesOf(r.cfg.Rules.Statuses)) {
			if err != nil {
				return fmt.Errorf("listing the tickets that are there already: %w", err)
			}
			if batch = append(batch, ticket.ID); len(batch) == 500 {
				if err := r.deps.Origins.AddExisting(ctx, r.cfg.Name, batch...); err != nil {
					return fmt.Errorf("noting the tickets that are there already: %w", err)
				}
				batch = batch[:0]
			}
		}
		if len(batch) > 0 {
			if err := r.deps.Origins.AddExisting(ctx, r.cfg.Name, batch...); err != nil {
				return fmt.Errorf("noting the tickets that are there already: %w", err)
			}
		}
	}
	if err := r.deps.Origins.MarkComplete(ctx, r.cfg.Name); err != nil {
		return fmt.Errorf("noting that the connector started: %w", err)
	}
	return nil
}

func (r *running) runPoll(ctx context.Context) {
	r.turn(ctx, turnPoll, r.cfg.PollInterval, func(ctx context.Context) error {
		poller := poll.Poller{
			Connector: r.cfg.Name, Map: r.cfg.Rules.Statuses, Tickets: r.tickets, Links: r.deps.Links,
			Cursors: r.deps.Origins, Inbox: r.deps.Inbox, Now: r.deps.Now,
		}
		found, err := poller.Once(ctx)
		if found > 0 {
			r.deps.Logger.InfoContext(ctx, "poll.done", slog.String("connector", r.cfg.Name), slog.Int("found", found))
		}
		return err
	})
}

func (r *running) runResync(ctx context.Context) {
	r.turn(ctx, turnResync, r.resync, func(ctx context.Context) error {
		run := resync.Resync{
			Connector: r.cfg.Name, Map: r.cfg.Rules.Statuses, Tickets: r.tickets, WorkItems: r.workItems,
			Links: r.deps.Links, Inbox: r.deps.Inbox, Now: r.deps.Now,
		}
		result, err := run.Run(ctx)
		if err != nil {
			return err
		}
		r.deps.Logger.InfoContext(ctx, "resync.done", slog.String("connector", r.cfg.Name),
			slog.Int("links", result.Links), slog.Int("tickets", result.Tickets), slog.Int("differing", result.Differing))
		return nil
	})
}

// The connector's turns. Leases are named by item keys; no ticket or work item has
// the number 0.
const (
	turnPoll   = "poll"
	turnResync = "resync"
	turnTTL    = 30 * time.Second
)

func (r *running) turnKey(name string) item.Key {
	if name == turnPoll {
		return item.Key{Connector: r.cfg.Name, System: item.Alvao}
	}
	return item.Key{Connector: r.cfg.Name, System: item.AzureDevOps}
}

// turn does work that one replica at a time does, and not again before every has
// passed. An error is told and noted; the next turn makes up for it.
func (r *running) turn(ctx context.Context, name string, every time.Duration, work func(context.Context) error) {
	ctx, held, err := r.deps.Leases.Hold(ctx, r.turnKey(name), turnTTL)
	if err != nil {
		// Another replica has the turn, or Redis is away and every one says so.
		return
	}
	defer held.Release()
	last, err := r.deps.Origins.Cursor(ctx, r.cfg.Name, name+"-at")
	if err != nil {
		return
	}
	now := r.deps.Now()
	// A tick that comes a little early must not lose its turn.
	if at, err := time.Parse(time.RFC3339Nano, last); err == nil && now.Sub(at) < every-every/10 && !at.After(now) {
		return
	}
	if err := work(ctx); err != nil {
		if ctx.Err() == nil {
			r.health.note(err, now)
			r.deps.Logger.WarnContext(ctx, name+".failed", slog.String("connector", r.cfg.Name), slog.String("error", err.Error()))
		}
		return
	}
	if err := r.deps.Origins.SetCursor(ctx, r.cfg.Name, name+"-at", now.UTC().Format(time.RFC3339Nano)); err != nil {
		r.deps.Logger.WarnContext(ctx, name+".failed", slog.String("connector", r.cfg.Name), slog.String("error", err.Error()))
	}
}

// sleep waits and tells whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
