package connector

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/notice"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
	"github.com/tandem-sync/tandem/services/synccore/internal/worker"
)

const (
	// startingWait and longestStartingWait bound how soon an item is tried again while
	// its connector prepares: the longer that takes already, the later.
	startingWait, longestStartingWait = time.Second, 15 * time.Second
	// unknownWait is how soon an item is tried again whose connector this process
	// does not know: another one may have read a newer configuration already.
	unknownWait = 30 * time.Second
)

// Set is the connectors of the present configuration. It is safe for concurrent use.
type Set struct {
	deps Deps

	mu      sync.RWMutex
	running map[string]*running
}

// NewSet makes an empty Set.
func NewSet(deps Deps) *Set {
	return &Set{deps: deps, running: map[string]*running{}}
}

// Apply brings the set to a configuration: connectors that are new are started, those
// that are gone are stopped, those whose settings changed are replaced, and the rest
// are left in peace. ctx bounds the life of what is started. Connectors that can't be
// opened are reported together as a NotOpenedError, and go on with the settings that they had,
// if any; the others run.
func (s *Set) Apply(ctx context.Context, cfg *config.Config) error {
	s.mu.Lock()
	old := s.running
	next := make(map[string]*running, len(cfg.Connectors))
	var failed NotOpenedError
	for _, one := range cfg.Connectors {
		kept := old[one.Name]
		if kept != nil && kept.resync == cfg.Resync.Interval && same(kept.cfg, one) && kept.authorities == authoritiesOf(one) {
			next[one.Name] = kept
			// What changed may be the file of its token.
			kept.askAgain()
			continue
		}
		started, err := start(ctx, one, cfg.Resync.Interval, s.deps)
		if err != nil {
			failed.Names, failed.errs = append(failed.Names, one.Name), append(failed.errs, err)
			// The settings that worked are better than none.
			if kept != nil {
				next[one.Name] = kept
			}
			continue
		}
		next[one.Name] = started
	}
	s.running = next
	s.mu.Unlock()
	for name, one := range old {
		if next[name] != one {
			one.halt()
			if next[name] == nil {
				one.retire(ctx)
			}
			one.clients.Close()
			s.deps.Logger.InfoContext(ctx, "connector.stopped", slog.String("connector", name))
			// The one before may have held the turn when its successor first looked.
			next[name].lookAgain()
		}
	}
	if len(failed.Names) == 0 {
		return nil
	}
	return &failed
}

// NotOpenedError names the connectors that could not be opened; each error under it tells why.
type NotOpenedError struct {
	Names []string
	errs  []error
}

func (n *NotOpenedError) Error() string { return errors.Join(n.errs...).Error() }

// Unwrap gives the error of each.
func (n *NotOpenedError) Unwrap() []error { return n.errs }

// same tells whether two settings mean the same. Rules are compiled from the settings
// and the policies, and can't be compared themselves.
func same(a, b config.Connector) bool {
	if a.Rules.Conflict != b.Rules.Conflict || a.Rules.ExistingTickets != b.Rules.ExistingTickets {
		return false
	}
	a.Rules, b.Rules = mapping.Rules{}, mapping.Rules{}
	return reflect.DeepEqual(a, b)
}

// Close stops all connectors.
func (s *Set) Close() {
	s.mu.Lock()
	old := s.running
	s.running = map[string]*running{}
	s.mu.Unlock()
	for _, one := range old {
		one.close()
	}
}

func (s *Set) get(name string) *running {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.running[name]
}

// Handle serves one delivery of the inbox; it is the worker's handler.
func (s *Set) Handle(ctx context.Context, d inbox.Delivery) (worker.Served, error) {
	r := s.get(d.Key.Connector)
	if r == nil {
		return worker.Served{}, fault.New(fault.Unavailable,
			"Connector %q is not in the configuration; add it again, or ignore its events.", d.Key.Connector).After(unknownWait)
	}
	if err := r.health.allow(item.Alvao, item.AzureDevOps); err != nil {
		return worker.Served{}, err
	}
	if !r.ready.Load() {
		// Throttled rather than busy: the item is held and let go once the connector is
		// ready, so that hints do not knock meanwhile.
		wait := min(max(s.deps.Now().Sub(r.started), startingWait), longestStartingWait)
		return worker.Served{}, fault.New(fault.Throttled, "Connector %q has not reached its systems since it started; its work waits.", d.Key.Connector).After(wait)
	}
	if d.Key.System == item.Notices {
		attrs, err := s.deps.Notices.Handle(ctx, r.forNotices(), d.Key)
		return worker.Served{Attrs: attrs}, err
	}
	if d.Background {
		ctx = outbound.Background(ctx)
	}
	report, err := s.deps.Engine.Handle(ctx, r.forRound(), hints(d))
	s.settle(ctx, d, report.Writes, report.Parked, err)
	s.note(ctx, d, report, err)
	return worker.Served{Forward: report.Forward, Attrs: attrs(report)}, err
}

func (r *running) forRound() reconcile.Connector {
	return reconcile.Connector{
		Name: r.cfg.Name, Service: r.cfg.Alvao.Service, Process: r.cfg.Alvao.Process, Rules: r.cfg.Rules,
		Location: r.cfg.Alvao.Location, RedactToAzureDevOps: r.redactToAzureDevOps, RedactToAlvao: r.redactToAlvao,
		Tickets: r.tickets, WorkItems: r.workItems, TicketOfURL: r.tickets.TicketOfURL,
		Notices: r.clients.Channels.Wanted(),
		Messages: reconcile.Messages{
			SinceLinked: r.cfg.Messages.SinceLinked, ShowToRequester: r.cfg.Messages.ShowToRequester, Format: r.cfg.Messages.Format,
			MaxFile: r.cfg.Messages.MaxFile, Rules: r.cfg.Messages.Crossing, Desk: r.cfg.Alvao.URL + "/", Boards: r.cfg.Rules.Project.URL(),
		},
	}
}

func (r *running) forNotices() notice.Connector {
	return notice.Connector{
		Name: r.cfg.Name, Tickets: r.tickets, WorkItems: r.workItems, Channels: r.clients.Channels, Location: r.cfg.Alvao.Location,
		Boards: r.cfg.Rules.Project.URL(), Redact: r.redactToAlvao,
	}
}

func hints(d inbox.Delivery) reconcile.Hints {
	h := reconcile.Hints{Key: d.Key, Received: d.Last.Received, Force: d.Force, Payload: d.Last.Payload}
	h.Others = d.Count > 1 && (strings.HasPrefix(d.First.Type, "act.") || strings.HasPrefix(d.Last.Type, "act."))
	// Only hints that are served for the first time can be known to be echoes: of a try
	// before, it is not known how far it came.
	if worker.Fresh(d) {
		h.Revision = d.MaxRevision
	}
	return h
}

func attrs(report reconcile.Report) []slog.Attr {
	return []slog.Attr{
		slog.Int64("ticket_id", report.Ticket),
		slog.Int64("work_item_id", report.WorkItem),
		slog.Any("steps", report.Steps),
		slog.Int("writes", report.Writes),
		slog.Bool("parked", report.Parked),
		slog.String("rest", report.Reason),
	}
}

// Find names the connectors that cover an origin: fault.NotFound if there are none,
// fault.Unavailable while one that may cover it has not reached its project yet.
func (s *Set) Find(accountURL, projectID, projectName string) ([]string, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var sure []string
	unsure := false
	for name, r := range s.running {
		match, known := r.clients.WorkItems.Covers(accountURL, projectID, projectName)
		switch {
		case match && known:
			sure = append(sure, name)
		case match:
			unsure = true
		}
	}
	switch {
	case len(sure) > 0:
		slices.Sort(sure)
		return sure, nil
	case unsure:
		return nil, fault.New(fault.Unavailable, "The connectors have not reached Azure DevOps yet, so the event's connector can't be told; send it again.")
	default:
		return nil, fault.New(fault.NotFound, "No connector covers the project that the event came from; compare the URL in its settings with the project.")
	}
}

// Summary is what a connector tells of itself.
type Summary struct {
	Config config.Connector
	// Ready tells that it serves items.
	Ready bool
	// Checked tells that both systems have accepted or refused its token since it was
	// started; before, nothing is known.
	Checked bool
	// Refusals says which systems refuse its token, the longest first; empty: it is
	// healthy.
	Refusals []Refusal
	// Expiries says when its credentials end, as far as that is known.
	Expiries []Expiry
	// Degraded says in sentences what it can't do though it is healthy, such as hear of
	// changes at once; empty: nothing.
	Degraded string
	// Hooks counts the service hooks that Tandem sees to by their status, as they were
	// seen last; nil: it sees to none, or can't look.
	Hooks map[string]int
}

// Unhealthy says in sentences why the connector can't work, and since when; empty: it
// is healthy.
func (s Summary) Unhealthy() (string, time.Time) {
	if len(s.Refusals) == 0 {
		return "", time.Time{}
	}
	reasons := make([]string, 0, len(s.Refusals))
	for _, refusal := range s.Refusals {
		reasons = append(reasons, refusal.Reason)
	}
	return strings.Join(reasons, " "), s.Refusals[0].Since
}

// Get tells about one connector.
func (s *Set) Get(name string) (Summary, bool) {
	r := s.get(name)
	if r == nil {
		return Summary{}, false
	}
	return r.summary(), true
}

// List tells about all connectors, by name.
func (s *Set) List() []Summary {
	s.mu.RLock()
	all := make([]Summary, 0, len(s.running))
	for _, r := range s.running {
		all = append(all, r.summary())
	}
	s.mu.RUnlock()
	slices.SortFunc(all, func(a, b Summary) int { return cmp.Compare(a.Config.Name, b.Config.Name) })
	return all
}

func (r *running) summary() Summary {
	degraded, hooks := r.health.limited()
	return Summary{Config: r.cfg, Ready: r.ready.Load(), Checked: r.health.checked(), Refusals: r.health.refusals(), Degraded: degraded, Hooks: hooks, Expiries: r.expiries()}
}

// Check asks both systems, and the mail server if there is one, whether a connector can
// work. Nobody is told anything.
func (s *Set) Check(ctx context.Context, name string) ([]item.Finding, error) {
	r := s.get(name)
	if r == nil {
		return nil, fault.New(fault.NotFound, "No connector is named %q.", name)
	}
	hooks := r.checkHooks(ctx)
	found := slices.Concat(r.clients.WorkItems.Check(ctx), hooks, r.clients.Tickets.Check(ctx), r.checkDeskHooks(ctx), r.clients.Channels.Check(ctx), r.checkExpiry())
	if slices.ContainsFunc(found, func(f item.Finding) bool { return f.Severity == item.Error }) {
		return found, nil // what follows would only say the same in other words
	}
	return slices.Concat(found, r.checkStatuses(ctx), r.checkDraft(ctx)), nil
}

// Capabilities tells what a connector's tenant offers of what not every one does, tried
// anew.
func (s *Set) Capabilities(ctx context.Context, name string) ([]item.Capability, error) {
	r := s.get(name)
	if r == nil {
		return nil, fault.New(fault.NotFound, "No connector is named %q.", name)
	}
	return r.clients.Tickets.Capabilities(ctx), nil
}

// statusesOf lists the statuses of a map, each once, in order.
func statusesOf(m mapping.StatusMap) []string {
	var statuses []string
	for _, pair := range m.Pairs() {
		if !slices.ContainsFunc(statuses, func(s string) bool { return mapping.Same(s, pair.Status) }) {
			statuses = append(statuses, pair.Status)
		}
	}
	return statuses
}
