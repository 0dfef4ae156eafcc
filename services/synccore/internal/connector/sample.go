package connector

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
)

// Sample is a ticket that is made up, with what was said in it last.
type Sample struct {
	Ticket item.Ticket
	// Message is its latest important message, as HTML; empty: none.
	Message string
}

// draft is the connector with other settings; empty: its own. They must be for the same
// project: the token is that of the connector.
func (r *running) draft(settings string) (reconcile.Connector, error) {
	if settings == "" {
		return r.forRound(), nil
	}
	drafted, err := r.cfg.WithSettings(settings)
	if err != nil {
		return reconcile.Connector{}, err
	}
	if drafted.Rules.Project.URL() != r.cfg.Rules.Project.URL() {
		return reconcile.Connector{}, config.Problems{{
			File: "settings", Path: "URL", Text: "it names another project than the connector's, " + r.cfg.Rules.Project.URL(),
			Remedy: "Settings are tried with the connector's own project and token",
		}}
	}
	c := r.forRound()
	c.Rules = drafted.Rules
	return c, nil
}

// Preview renders the work item that would be created for a ticket, or for one that is
// made up (sample is not nil), under other settings if they are not empty. It writes
// nothing. It fails with config.Problems where the settings are wrong, with
// fault.NotFound where there is no such connector, and fault.Invalid where there is no
// such ticket.
func (s *Set) Preview(ctx context.Context, name string, ticketID int64, sample *Sample, settings string) (reconcile.Rendering, error) {
	r := s.get(name)
	if r == nil {
		return reconcile.Rendering{}, noConnector(name)
	}
	c, err := r.draft(settings)
	if err != nil {
		return reconcile.Rendering{}, err
	}
	var ticket item.Ticket
	if sample != nil {
		ticket = r.filled(sample.Ticket, c)
		c.Tickets = madeUpTickets{c.Tickets, sample.Message, ticket.Requester}
	} else if ticket, err = c.Tickets.Ticket(ctx, ticketID); fault.Is(err, fault.NotFound) {
		return reconcile.Rendering{}, fault.Wrap(err, fault.Invalid, "Ticket %d does not exist, or the connector's account can't see it.", ticketID)
	} else if err != nil {
		return reconcile.Rendering{}, err
	}
	rendered, err := s.deps.Engine.Render(ctx, c, ticket)
	if err != nil {
		return reconcile.Rendering{}, err
	}
	for _, finding := range r.workItems.Validate(ctx, rendered.Draft) {
		if finding.Severity != item.OK {
			rendered.Doubts = append(rendered.Doubts, finding)
		}
	}
	if sample != nil {
		return rendered, nil
	}
	known, err := s.deps.Links.Get(ctx, name, ticketID)
	if err != nil {
		return reconcile.Rendering{}, err
	}
	if known.WorkItem != 0 {
		rendered.Doubts = append(rendered.Doubts, item.Finding{
			Check: "preview.link", Severity: item.Warning, Detail: "The ticket is linked with a work item already, so nothing would be created.",
			Remedy: "This is what would be created if it were not.",
		})
	}
	return rendered, nil
}

// filled is a made-up ticket with what every ticket of the service has.
func (r *running) filled(ticket item.Ticket, c reconcile.Connector) item.Ticket {
	base := madeUp(r.cfg.Alvao.Service, c.Rules)
	ticket.ID, ticket.Title = cmp.Or(ticket.ID, base.ID), cmp.Or(ticket.Title, base.Title)
	ticket.MessageTag, ticket.Status = cmp.Or(ticket.MessageTag, base.MessageTag), cmp.Or(ticket.Status, base.Status)
	ticket.Service, ticket.Process, ticket.URL = base.Service, r.cfg.Alvao.Process, base.URL
	return ticket
}

// madeUpTickets have nothing in their log but one message.
type madeUpTickets struct {
	reconcile.Tickets

	message, from string
}

// Log implements reconcile.Tickets.
func (m madeUpTickets) Log(context.Context, int64) (item.Log, error) {
	if m.message == "" {
		return item.Log{}, nil
	}
	return item.Log{Records: []item.Record{{ID: 1, HTML: m.message, Plain: m.message, Kind: "Request", From: m.from, Important: true}}}, nil
}

// Difference is a value that other settings would give.
type Difference struct {
	Ticket int64
	// Field is a field's reference name, or type, reporter, state or error.
	Field          string
	Present, Draft string
}

// Comparison is what other settings would do differently.
type Comparison struct {
	Differences []Difference
	// Tickets counts those that were rendered, Differing those with differences.
	Tickets, Differing int
	// Truncated tells that there were more tickets.
	Truncated bool
}

// compareAtOnce bounds how many tickets are rendered at the same time.
const compareAtOnce = 4

// Compare renders the tickets that were active since a time, at most so many of them,
// with the connector's settings and with others. It writes nothing. It fails as Preview
// does.
func (s *Set) Compare(ctx context.Context, name, settings string, since time.Time, most int) (Comparison, error) {
	r := s.get(name)
	if r == nil {
		return Comparison{}, noConnector(name)
	}
	drafted, err := r.draft(settings)
	if err != nil {
		return Comparison{}, err
	}
	ctx = outbound.Background(ctx)
	var out Comparison
	var ids []int64
	for ticket, err := range r.tickets.ActiveSince(ctx, since) {
		if err != nil {
			return Comparison{}, err
		}
		if ticket.Removed || slices.Contains(ids, ticket.ID) {
			continue
		}
		if len(ids) == most {
			out.Truncated = true
			break
		}
		ids = append(ids, ticket.ID)
	}
	slices.Sort(ids)
	results := make([][]Difference, len(ids))
	failures := make([]error, len(ids))
	var all sync.WaitGroup
	slots := make(chan struct{}, compareAtOnce)
	for i, id := range ids {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			results[i], failures[i] = s.compareOne(ctx, r.forRound(), drafted, id)
		})
	}
	all.Wait()
	for i := range ids {
		if failures[i] != nil {
			return Comparison{}, failures[i]
		}
		out.Tickets++
		if len(results[i]) > 0 {
			out.Differing++
			out.Differences = append(out.Differences, results[i]...)
		}
	}
	return out, nil
}

func (s *Set) compareOne(ctx context.Context, present, drafted reconcile.Connector, id int64) ([]Difference, error) {
	ticket, err := present.Tickets.Ticket(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	once := &readOnce{Tickets: present.Tickets, people: map[int64]item.Person{}}
	present.Tickets, drafted.Tickets = once, once
	before, err := s.values(ctx, present, ticket)
	if err != nil {
		return nil, err
	}
	after, err := s.values(ctx, drafted, ticket)
	if err != nil {
		return nil, err
	}
	var found []Difference
	for _, value := range before.order {
		if after.of[value] != before.of[value] {
			found = append(found, Difference{Ticket: id, Field: value, Present: before.of[value], Draft: after.of[value]})
		}
	}
	for _, value := range after.order {
		if _, there := before.of[value]; !there {
			found = append(found, Difference{Ticket: id, Field: value, Draft: after.of[value]})
		}
	}
	return found, nil
}

// values are what a work item would be made with, by name and in order.
type values struct {
	order []string
	of    map[string]string
}

func (v *values) add(name, value string) {
	if _, there := v.of[name]; !there {
		v.order = append(v.order, name)
	}
	v.of[name] = value
}

// values renders a ticket. That it can't be rendered is a value too, unless a system is
// to blame.
func (s *Set) values(ctx context.Context, c reconcile.Connector, ticket item.Ticket) (values, error) {
	v := values{of: map[string]string{}}
	if len(c.Rules.Statuses.States(ticket.Status)) == 0 {
		// Nothing would be created.
		return v, nil
	}
	rendered, err := s.deps.Engine.Render(ctx, c, ticket)
	switch fault.KindOf(err) {
	case fault.Misconfigured, fault.Invalid, fault.Refused:
		v.add("error", fault.Sentence(err))
		return v, nil
	default:
	}
	if err != nil {
		return v, err
	}
	v.add("type", rendered.Draft.Type)
	if len(rendered.States) > 0 {
		v.add("state", rendered.States[len(rendered.States)-1])
	}
	if rendered.Draft.Reporter != nil {
		v.add("reporter", rendered.Draft.Reporter.UniqueName)
	}
	for _, f := range rendered.Draft.Fields {
		v.add(f.Reference, f.Value)
	}
	return v, nil
}

// readOnce reads what the templates need of one ticket a single time.
type readOnce struct {
	reconcile.Tickets

	mu     sync.Mutex
	log    item.Log
	read   bool
	people map[int64]item.Person
}

// Log implements reconcile.Tickets.
func (o *readOnce) Log(ctx context.Context, ticket int64) (item.Log, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.read {
		log, err := o.Tickets.Log(ctx, ticket)
		if err != nil {
			return item.Log{}, err
		}
		o.log, o.read = log, true
	}
	log := o.log
	log.Records = slices.Clone(log.Records) // what is rendered leaves some out
	return log, nil
}

// Person implements reconcile.Tickets.
func (o *readOnce) Person(ctx context.Context, id int64) (item.Person, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if known, there := o.people[id]; there {
		return known, nil
	}
	person, err := o.Tickets.Person(ctx, id)
	if err == nil {
		o.people[id] = person
	}
	return person, err
}

// Examples are items of both sides as the systems send them, with what looks like a
// secret masked.
type Examples struct {
	Tickets, WorkItems []map[string]any
}

const (
	// examples is how many there are of each side at most.
	examples = 5
	// examplesSince is how far back they are looked for, and examplesAmong how many items
	// are looked at.
	examplesSince = 30 * 24 * time.Hour
	examplesAmong = 200
)

// Examples reads items of both sides: the tickets that were active last, and the work
// items that are linked with them or changed last.
func (s *Set) Examples(ctx context.Context, name string) (Examples, error) {
	r := s.get(name)
	if r == nil {
		return Examples{}, noConnector(name)
	}
	tickets, err := r.exampleTickets(ctx)
	if err != nil {
		return Examples{}, err
	}
	workItems, err := r.exampleWorkItems(ctx, tickets)
	if err != nil {
		return Examples{}, err
	}
	masks, err := exampleMasks(r.cfg.Redact.Patterns)
	if err != nil {
		return Examples{}, err
	}
	var out Examples
	for _, id := range tickets {
		raw, err := guarded(ctx, r, item.Alvao, func() (map[string]any, error) { return r.clients.Tickets.Raw(ctx, id) })
		if err != nil {
			return Examples{}, err
		}
		out.Tickets = append(out.Tickets, masked(raw, masks))
	}
	for _, id := range workItems {
		raw, err := guarded(ctx, r, item.AzureDevOps, func() (map[string]any, error) { return r.clients.WorkItems.Raw(ctx, id) })
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return Examples{}, err
		}
		out.WorkItems = append(out.WorkItems, masked(raw, masks))
	}
	return out, nil
}

func (r *running) exampleTickets(ctx context.Context) ([]int64, error) {
	var found []item.Ticket
	for ticket, err := range r.tickets.ActiveSince(ctx, r.deps.Now().Add(-examplesSince)) {
		if err != nil {
			return nil, err
		}
		if found = append(found, ticket); len(found) == examplesAmong {
			break
		}
	}
	if len(found) == 0 {
		latest, there, err := r.clients.Tickets.Latest(ctx)
		if err != nil || !there {
			return nil, err
		}
		found = append(found, latest)
	}
	slices.SortStableFunc(found, func(a, b item.Ticket) int { return b.LastActivity.Compare(a.LastActivity) })
	var ids []int64
	for _, ticket := range found {
		if !ticket.Removed && !slices.Contains(ids, ticket.ID) && len(ids) < examples {
			ids = append(ids, ticket.ID)
		}
	}
	return ids, nil
}

func (r *running) exampleWorkItems(ctx context.Context, tickets []int64) ([]int64, error) {
	known, err := r.deps.Links.GetMany(ctx, r.cfg.Name, tickets)
	if err != nil {
		return nil, err
	}
	var ids []int64
	for _, ticket := range tickets {
		if id := known[ticket].WorkItem; id != 0 {
			ids = append(ids, id)
		}
	}
	if len(ids) == examples {
		return ids, nil
	}
	changed, err := r.workItems.Changes(ctx, "", r.deps.Now().Add(-examplesSince))
	if err != nil {
		return nil, err
	}
	for _, one := range slices.Backward(changed.WorkItems) {
		if !one.Deleted && !one.Elsewhere && !slices.Contains(ids, one.ID) && len(ids) < examples {
			ids = append(ids, one.ID)
		}
	}
	return ids, nil
}

// Link links a ticket and a work item that both exist; see reconcile.Engine.Pair.
func (s *Set) Link(ctx context.Context, name string, ticket, workItem int64, dry bool) (item.Link, error) {
	r := s.get(name)
	if r == nil {
		return item.Link{}, noConnector(name)
	}
	return s.deps.Engine.Pair(ctx, r.forRound(), ticket, workItem, dry)
}
