// Package connector keeps the configured connectors running: it prepares each one,
// polls and resyncs it, serves its share of the inbox, and knows whether it is
// healthy.
//
// Its one invariant: an item is only served by a connector that is prepared, with the
// rules of one configuration from beginning to end; a connector whose token is
// refused by either system lets its work wait and gives nothing up.
package connector

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/deskhook"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/notice"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
	"github.com/tandem-sync/tandem/services/synccore/internal/poll"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
	"github.com/tandem-sync/tandem/services/synccore/internal/resync"
	"github.com/tandem-sync/tandem/services/synccore/internal/subscription"
)

// Tickets is what a connector needs of its Alvao tenant.
type Tickets interface {
	reconcile.Tickets
	// ActiveSince yields the service's tickets that were active at or after a time.
	ActiveSince(ctx context.Context, since time.Time) iter.Seq2[item.Ticket, error]
	// All yields the service's tickets.
	All(ctx context.Context) iter.Seq2[item.Ticket, error]
	// Pages yields the service's tickets page by page, from a position on.
	Pages(ctx context.Context, from int) iter.Seq2[item.TicketPage, error]
	// TicketsByID reads tickets in few calls; those that are not listed are left out.
	TicketsByID(ctx context.Context, ids []int64) ([]item.Ticket, error)
	// InStatus yields the service's tickets in any of the statuses.
	InStatus(ctx context.Context, statuses []string) iter.Seq2[item.Ticket, error]
	// Latest finds the youngest of the service's tickets; false: there is none.
	Latest(ctx context.Context) (item.Ticket, bool, error)
	// Raw reads a ticket as Alvao sends it.
	Raw(ctx context.Context, id int64) (map[string]any, error)
	// TicketOfURL recognises the URL of a ticket of this tenant.
	TicketOfURL(url string) (ticket int64, ok bool)
	// Check asks whether the connector can work.
	Check(ctx context.Context) []item.Finding
	// Capabilities tells what the tenant offers of what not every one does.
	Capabilities(ctx context.Context) []item.Capability
}

// WorkItems is what a connector needs of its Azure DevOps project.
type WorkItems interface {
	reconcile.WorkItems
	resync.WorkItems
	poll.Changed
	// Prepare resolves the project, so that Covers can be sure.
	Prepare(ctx context.Context) error
	// AllTags reads a batch of all work items with their tags.
	AllTags(ctx context.Context, position string) (item.Changes, error)
	// Covers tells whether an event of that origin belongs to the project.
	Covers(accountURL, projectID, projectName string) (match, known bool)
	// CheckHooks tells how the service hooks fare that lead to the connector.
	CheckHooks(ctx context.Context) []item.Finding
	// Raw reads a work item as Azure DevOps sends it.
	Raw(ctx context.Context, id int64) (map[string]any, error)
	// Validate asks whether a draft would be made, and writes nothing.
	Validate(ctx context.Context, draft item.Draft) []item.Finding
	// Check asks whether the connector can work.
	Check(ctx context.Context) []item.Finding
}

// Origins remembers where a connector stands in time.
type Origins interface {
	reconcile.Origins
	Cursor(ctx context.Context, connector, name string) (string, error)
	SetCursor(ctx context.Context, connector, name, value string) error
	AddExisting(ctx context.Context, connector string, tickets ...int64) error
	MarkComplete(ctx context.Context, connector string) error
	IsComplete(ctx context.Context, connector string) (bool, error)
	Note(ctx context.Context, connector, name string) (string, error)
	SetNote(ctx context.Context, connector, name, text string) error
}

// Links is where links are remembered.
type Links interface {
	Get(ctx context.Context, connector string, ticket int64) (item.Link, error)
	GetMany(ctx context.Context, connector string, tickets []int64) (map[int64]item.Link, error)
	// Reindex makes sure that the tickets' links are listed.
	Reindex(ctx context.Context, connector string, tickets []int64) error
	List(ctx context.Context, connector string, pageSize int, pageToken string) (links []item.Link, next string, err error)
	OfWorkItems(ctx context.Context, connector string, workItems []int64) ([]item.Link, error)
	Count(ctx context.Context, connector string) (int, error)
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

// Clients are a connector's ways to its two systems.
type Clients struct {
	Tickets   Tickets
	WorkItems WorkItems
	// Expiry is when the secret that opens a system ends; zero: not known. nil: neither
	// is.
	Expiry func(item.System) time.Time
	// Hooks is the way to the service hooks that Tandem sees to, HookPassword what they
	// sign in with at the gateway, read anew each time; nil where they are a person's
	// matter.
	Hooks        subscription.Boards
	HookPassword func() (string, error)
	// DeskHooks is the way to the webhooks at Alvao that Tandem sees to, DeskToken the
	// token in their address, read anew each time; nil where they are a person's matter.
	DeskHooks deskhook.Desk
	DeskToken func() (string, error)
	// Channels is how the solvers of tickets are told of comments.
	Channels notice.Channels
	// Close lets go of idle connections. It may be called while calls are under way.
	Close func()
}

// Deps is what connectors are made with. All fields but Notices, ProbeEvery and
// HooksEvery are
// required.
type Deps struct {
	// Open makes the clients of a connector. It must not call the systems.
	Open   func(cfg config.Connector) (Clients, error)
	Engine *reconcile.Engine
	// Notices tells solvers; nil where no connector's clients have channels.
	Notices *notice.Notifier
	Links   Links
	Leases  Leases
	Origins Origins
	Inbox   Inbox
	Runs    Runs
	Logger  *slog.Logger
	Now     func() time.Time
	// ProbeEvery is how often a system that refuses the token is asked again; 0 means
	// 15 s.
	ProbeEvery time.Duration
	// HooksEvery is how often it is looked after the webhooks of both systems, of which
	// Azure DevOps switches off those whose deliveries failed; 0 means 5 minutes.
	HooksEvery time.Duration
	// ResyncLook is how often it is looked whether a resync is due; 0 means 15 s.
	ResyncLook time.Duration
	// Decisions keeps what looks at items came to; nil: nobody does.
	Decisions Decisions
}

// Decisions keeps what looks at items came to, for who asks why.
type Decisions interface {
	NoteDecision(ctx context.Context, key item.Key, decision item.Decision) error
}

// running is one connector at work.
type running struct {
	cfg    config.Connector
	resync time.Duration
	// authorities is the content of the certificate files that the clients trust.
	authorities string
	deps        Deps
	clients     Clients
	tickets     guardedTickets
	workItems   guardedWorkItems
	health      health
	started     time.Time
	// redactToAzureDevOps and redactToAlvao are compiled once.
	redactToAzureDevOps, redactToAlvao *redact.Redactor
	// settings is the fingerprint of cfg.
	settings string
	// keeper sees to the service hooks; nil: a person does.
	keeper *subscription.Keeper
	// deskKeeper sees to the webhooks at Alvao; nil: a person does.
	deskKeeper *deskhook.Keeper
	// missed tells that service hooks may not have told of events since the last poll of
	// work items.
	missed atomic.Bool
	// deskMissed tells the same of webhooks at Alvao and of tickets.
	deskMissed atomic.Bool

	ready atomic.Bool
	// again asks for a probe now, resyncNow for a look whether a resync is due, hooksNow
	// and deskHooksNow for one after the webhooks of either system, changesNow and
	// ticketsNow for a poll of work items or of tickets.
	again, resyncNow, hooksNow, deskHooksNow, changesNow, ticketsNow chan struct{}

	resyncs retries
	// resynced tells that this process has seen that no resync is overdue. It is for the
	// goroutine that runs them.
	resynced bool
	// emptied is since when it is known that Redis lost what it held of the connector; zero:
	// it did not. It is for that goroutine, too, and for the one that prepares, before it.
	emptied time.Time
	// probed tells that probe ran before; for its goroutine alone.
	probed bool
	// listed tells that the tickets were noted that were there already, by the same.
	listed bool
	stop   context.CancelFunc
	done   sync.WaitGroup
}

func start(ctx context.Context, cfg config.Connector, resyncEvery time.Duration, deps Deps) (*running, error) {
	// Read before the clients read them: what changes in between is seen as a change.
	authorities := authoritiesOf(cfg)
	clients, err := deps.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("opening connector %s: %w", cfg.Name, err)
	}
	if deps.ProbeEvery <= 0 {
		deps.ProbeEvery = 15 * time.Second
	}
	if deps.HooksEvery <= 0 {
		deps.HooksEvery = 5 * time.Minute
	}
	if deps.ResyncLook <= 0 {
		deps.ResyncLook = resyncLook
	}
	r := &running{
		cfg: cfg, resync: resyncEvery, authorities: authorities, deps: deps, clients: clients,
		settings: fingerprint(cfg), started: deps.Now(), again: make(chan struct{}, 1), resyncNow: make(chan struct{}, 1),
		hooksNow: make(chan struct{}, 1), deskHooksNow: make(chan struct{}, 1), changesNow: make(chan struct{}, 1), ticketsNow: make(chan struct{}, 1),
	}
	r.keeper, r.deskKeeper = r.newKeeper(), r.newDeskKeeper()
	r.redact()
	r.tickets, r.workItems = guardedTickets{clients.Tickets, r}, guardedWorkItems{clients.WorkItems, r}
	ctx, r.stop = context.WithCancel(ctx)
	r.done.Go(func() { r.tend(ctx) })
	return r, nil
}

// redact compiles what must not be shown on the other side.
func (r *running) redact() {
	cfg := r.cfg.Redact
	found := redact.New(cfg.Shipped, cfg.Except, cfg.Patterns)
	if found == nil {
		return
	}
	if !cfg.OffToAzureDevOps {
		r.redactToAzureDevOps = found
	}
	if !cfg.OffToAlvao {
		r.redactToAlvao = found
	}
}

// close stops polling and resyncing; rounds in hand go on to their end.
func (r *running) close() {
	r.halt()
	r.clients.Close()
}

func (r *running) halt() {
	r.stop()
	r.done.Wait()
}

// askAgain has refused tokens tried now, and webhooks compared, since a file may
// have changed.
func (r *running) askAgain() {
	for _, asked := range []chan struct{}{r.again, r.hooksNow, r.deskHooksNow} {
		select {
		case asked <- struct{}{}:
		default:
		}
	}
}

// tend prepares the connector, however long that takes, then polls and resyncs.
func (r *running) tend(ctx context.Context) {
	if !r.prepared(ctx) {
		return
	}
	r.ready.Store(true)
	r.deps.Logger.InfoContext(ctx, "connector.ready", slog.String("connector", r.cfg.Name))
	r.release(ctx)

	// Each has a goroutine of its own, so that a long resync does not keep a poll or a
	// new token waiting.
	var all sync.WaitGroup
	all.Go(func() { r.tellCapabilities(ctx) })
	all.Go(func() { every(ctx, r.cfg.PollInterval, r.ticketsNow, r.runPoll) })
	all.Go(func() { every(ctx, r.cfg.PollInterval, r.changesNow, r.runChangesPoll) })
	// A resync is looked for often and run when it is due, so that one that was missed
	// while the process was down is made up for at start.
	all.Go(func() { every(ctx, min(r.resync, r.deps.ResyncLook), r.resyncNow, r.runResync) })
	all.Go(func() { every(ctx, r.deps.ProbeEvery, r.again, r.probe) })
	all.Go(func() { every(ctx, expiryEvery, nil, r.warnOfExpiry) })
	all.Go(func() { every(ctx, r.deps.HooksEvery, r.hooksNow, r.watchHooks) })
	if r.deskKeeper != nil {
		all.Go(func() { every(ctx, r.deps.HooksEvery, r.deskHooksNow, r.watchDeskHooks) })
	}
	all.Wait()
}

// every runs f at once, at each tick, and when asked, until ctx ends.
func every(ctx context.Context, interval time.Duration, asked <-chan struct{}, f func(context.Context)) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		f(ctx)
		select {
		case <-ctx.Done():
			return
		case <-asked:
		case <-ticker.C:
		}
	}
}

// prepared prepares the connector and tries again until it succeeds. It tells whether
// ctx is still alive.
func (r *running) prepared(ctx context.Context) bool {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, 30*time.Second
	for {
		err := r.prepare(ctx)
		if ctx.Err() != nil {
			return false
		}
		if err == nil {
			return true
		}
		wait := pause.NextBackOff()
		switch fault.KindOf(err) {
		case fault.BadToken:
			// It does not heal by being asked often, and accounts get locked.
			wait = max(wait, r.deps.ProbeEvery)
		case fault.Conflict:
			// Another process is preparing; it will not take long.
			wait = min(wait, time.Second)
		case fault.Busy:
			// It looks again when what it waits for is over.
			wait = r.settling()
		default:
		}
		r.deps.Logger.WarnContext(ctx, "connector.prepare", slog.String("connector", r.cfg.Name), slog.String("error", err.Error()))
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-r.again:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// prepare resolves the project and, at the very first start, notes the tickets that
// are already in a mapped status.
func (r *running) prepare(ctx context.Context) error {
	err := r.clients.WorkItems.Prepare(ctx)
	r.judge(ctx, item.AzureDevOps, err)
	if err != nil {
		return fmt.Errorf("resolving the project: %w", err)
	}
	complete, err := r.deps.Origins.IsComplete(ctx, r.cfg.Name)
	if err != nil {
		return fmt.Errorf("looking whether the connector started before: %w", err)
	}
	if complete {
		// It was the other system's refusal, if any, that is looked into from now on.
		return nil
	}
	return r.noteExisting(ctx)
}

// noteExisting takes the snapshot of the first start. One process at a time does, for
// what another one lists after the first has begun to serve is not old any more.
func (r *running) noteExisting(ctx context.Context) error {
	parent := ctx
	ctx, held, err := r.deps.Leases.Hold(ctx, r.turnKey(turnResync), turnTTL)
	if err != nil {
		return fmt.Errorf("waiting for the process that starts the connector: %w", err)
	}
	defer held.Release()
	complete, err := r.deps.Origins.IsComplete(ctx, r.cfg.Name)
	if err != nil {
		return fmt.Errorf("looking whether the connector started before: %w", err)
	}
	if complete {
		return nil
	}
	if !r.listed {
		owners, err := r.listExisting(ctx)
		r.judge(parent, item.Alvao, err)
		if err != nil {
			return err
		}
		had, err := r.marked(ctx, owners)
		r.judge(parent, item.AzureDevOps, err)
		if err != nil {
			return err
		}
		r.listed = true
		if had && r.emptied.IsZero() {
			r.noticeEmptied(ctx)
		}
	}
	if left := r.settling(); left > 0 {
		return fault.New(fault.Busy, "Redis holds nothing of connector %q any more; Tandem waits until what was being written has arrived.",
			r.cfg.Name).After(left)
	}
	if err := r.deps.Origins.MarkComplete(ctx, r.cfg.Name); err != nil {
		return fmt.Errorf("noting that the connector started: %w", err)
	}
	return nil
}

// resyncPatience is how long a call of a resync waits for its turn rather than give
// up: what it has compared so far would be lost.
const resyncPatience = 15 * time.Minute

// unhurried marks calls that nobody waits for.
func unhurried(ctx context.Context) context.Context {
	return outbound.Patient(outbound.Background(ctx), resyncPatience)
}

// listExisting notes the tickets that are in a mapped status, if they are to be left alone.
// It gives some of those that carry a work item's number, by that.
func (r *running) listExisting(ctx context.Context) (map[int64]int64, error) {
	const most = 500
	batch := make([]int64, 0, most)
	note := func() error {
		if err := r.deps.Origins.AddExisting(ctx, r.cfg.Name, batch...); err != nil {
			return fmt.Errorf("noting the tickets that are there already: %w", err)
		}
		batch = batch[:0]
		return nil
	}
	// Of tenants whose lists show no number, some tickets are read one by one.
	const looked, asked = 200, 20
	owners, reads := map[int64]int64{}, 0
	for ticket, err := range r.clients.Tickets.InStatus(ctx, statusesOf(r.cfg.Rules.Statuses)) {
		if err != nil {
			return nil, fmt.Errorf("listing the tickets that are there already: %w", err)
		}
		if ticket.ExternalID == "" && len(ticket.Custom) == 0 && reads < asked {
			reads++
			switch read, err := r.clients.Tickets.Ticket(ctx, ticket.ID); {
			case err == nil:
				ticket = read
			case !fault.Is(err, fault.NotFound):
				return nil, fmt.Errorf("reading ticket %d: %w", ticket.ID, err)
			}
		}
		if id, err := strconv.ParseInt(strings.TrimSpace(ticket.ExternalID), 10, 64); err == nil && id > 0 && len(owners) < looked {
			owners[id] = ticket.ID
		}
		if !r.ignoresExisting() {
			if len(owners) == looked {
				break
			}
			continue
		}
		if batch = append(batch, ticket.ID); len(batch) == most {
			if err := note(); err != nil {
				return nil, err
			}
		}
	}
	if err := note(); err != nil {
		return nil, err
	}
	return owners, nil
}

// marked tells whether any of the work items carries the mark of its ticket: then this is
// no first start, and Redis was emptied.
func (r *running) marked(ctx context.Context, owners map[int64]int64) (bool, error) {
	if len(owners) == 0 {
		return false, nil
	}
	workItems, err := r.clients.WorkItems.WorkItems(ctx, slices.Sorted(maps.Keys(owners)))
	if err != nil {
		return false, fmt.Errorf("looking whether tickets have work items already: %w", err)
	}
	return slices.ContainsFunc(workItems, func(one item.WorkItem) bool {
		return slices.ContainsFunc(one.Tags, func(tag string) bool {
			ticket, ok := reconcile.TicketOfMark(tag)
			return ok && ticket == owners[one.ID]
		})
	}), nil
}

func (r *running) runPoll(ctx context.Context) {
	missed := func(context.Context, time.Time) bool { return r.deskMissed.Load() }
	r.turn(ctx, turnPoll, r.cfg.PollInterval, []item.System{item.Alvao}, missed, func(ctx context.Context, _ lease.Lease) error {
		r.deskMissed.Store(false)
		from, err := r.from(ctx)
		if err != nil {
			return err
		}
		poller := poll.Poller{
			Connector: r.cfg.Name, Rules: r.forRound().PlanRules(), IgnoreExisting: r.ignoresExisting(), Tickets: r.tickets, Links: r.deps.Links,
			Origins: r.deps.Origins, Inbox: r.deps.Inbox, Now: r.deps.Now, From: from,
		}
		found, err := poller.Once(ctx)
		if found > 0 {
			r.deps.Logger.InfoContext(ctx, "poll.done", slog.String("connector", r.cfg.Name), slog.String("system", string(item.Alvao)), slog.Int("found", found))
		}
		return err
	})
}

func (r *running) runChangesPoll(ctx context.Context) {
	missed := func(context.Context, time.Time) bool { return r.missed.Load() }
	r.turn(ctx, turnChanges, r.cfg.PollInterval, []item.System{item.AzureDevOps}, missed, func(ctx context.Context, _ lease.Lease) error {
		r.missed.Store(false)
		from, err := r.from(ctx)
		if err != nil {
			return err
		}
		poller := poll.WorkItemPoller{
			Connector: r.cfg.Name, Rules: r.forRound().PlanRules(), WorkItems: r.workItems, Links: r.deps.Links,
			Cursors: r.deps.Origins, Inbox: r.deps.Inbox, Now: r.deps.Now, From: from,
		}
		found, err := poller.Once(ctx)
		if found > 0 {
			r.deps.Logger.InfoContext(ctx, "poll.done", slog.String("connector", r.cfg.Name), slog.String("system", string(item.AzureDevOps)), slog.Int("found", found))
		}
		return err
	})
}

// The connector's turns. Leases are named by item keys; no ticket or work item has
// the number 0 or less.
const (
	turnPoll   = "poll"
	turnResync = "resync"
	// turnChanges is the poll of work items.
	turnChanges = "changes"
	turnHooks   = "hooks"
	// turnDeskHooks is the look after the webhooks at Alvao.
	turnDeskHooks = "desk-hooks"
	turnTTL       = 30 * time.Second
)

func (r *running) turnKey(name string) item.Key {
	key := item.Key{Connector: r.cfg.Name, System: item.AzureDevOps}
	switch name {
	case turnPoll:
		key.System = item.Alvao
	case turnChanges:
		key.ID = -1
	case turnHooks:
		key.ID = -2
	case turnDeskHooks:
		key.System, key.ID = item.Alvao, -2
	}
	return key
}

// turn does work that one replica at a time does, and not again before every has
// passed, unless it is urgent. While a system that it needs refuses the token, there is
// no turn. An error is told; the next turn makes up for it.
func (r *running) turn(
	ctx context.Context, name string, every time.Duration, needs []item.System,
	urgent func(ctx context.Context, last time.Time) bool, work func(context.Context, lease.Lease) error,
) {
	if r.health.allow(needs...) != nil {
		return
	}
	parent := ctx
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
	if at, err := time.Parse(time.RFC3339Nano, last); err == nil && now.Sub(at) < every-every/10 && !at.After(now) &&
		(urgent == nil || !urgent(ctx, at)) {
		return
	}
	err = held.Why(work(ctx, held.Lease))
	if err == nil {
		err = r.deps.Origins.SetCursor(ctx, r.cfg.Name, name+"-at", now.UTC().Format(time.RFC3339Nano))
	}
	if err != nil && parent.Err() == nil {
		r.deps.Logger.WarnContext(ctx, name+".failed", slog.String("connector", r.cfg.Name), slog.String("error", err.Error()))
	}
}

func (r *running) ignoresExisting() bool {
	return r.cfg.Rules.ExistingTickets == mapping.ExistingIgnore
}

// authoritiesOf reads the certificate files that a connector's clients trust. One that
// can't be read is reported by those.
func authoritiesOf(cfg config.Connector) string {
	var all strings.Builder
	for _, path := range []string{cfg.Alvao.CAFile, cfg.AzureDevOps.CAFile, cfg.Notice.Mail.CAFile} {
		if path == "" {
			continue
		}
		content, err := os.ReadFile(path)
		if err == nil {
			all.Write(content)
		}
		all.WriteByte(0)
	}
	return all.String()
}
