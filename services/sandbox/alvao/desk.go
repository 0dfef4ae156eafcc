package alvao

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// NewTicket is a ticket to be made by a person.
type NewTicket struct {
	Name string
	// Service by name; empty means the first one of the directory.
	Service string
	// Description is the HTML of the founding record.
	Description string
	// Requester by login; empty means the one who creates.
	Requester string
	// Solver by login; empty means none.
	Solver string
	// Status by default name, entered right after the first one as a person would; empty means the first one.
	Status string
	// Priority; empty means Medium.
	Priority    string
	Parent      int
	Custom      map[string]any
	Attachments []NewAttachment
	// Created backdates the ticket; zero means now.
	Created time.Time
}

// Message is a record written by a person.
type Message struct {
	// Kind; empty means Email.
	Kind    Kind
	Subject string
	// HTML or Plain is the text; the other is derived.
	HTML, Plain     string
	ShowToRequester bool
	Mark            Mark
	Attachments     []NewAttachment
	// OnBehalf is the login of the person it is from, if that is another.
	OnBehalf string
}

// by makes a person the actor.
func (s *Server) by(login string) (actor, error) {
	p := s.dir.login(login)
	if p == nil {
		return actor{}, fmt.Errorf("person %q: %w", login, ErrNotFound)
	}
	return actor{person: p}, nil
}

// CreateTicket makes a ticket as a person with the given login. The rules of the service desk apply to it as to one made
// through REST.
func (s *Server) CreateTicket(ctx context.Context, login string, in NewTicket) (Ticket, error) {
	who, err := s.by(login)
	if err != nil {
		return Ticket{}, err
	}
	req := createRequest{
		name: in.Name, html: in.Description, priority: in.Priority, parent: in.Parent, attachments: in.Attachments,
		created: in.Created, requester: who.person, service: s.dir.services[0],
	}
	if in.Service != "" {
		if req.service = s.dir.serviceNamed(in.Service); req.service == nil {
			return Ticket{}, fmt.Errorf("service %q: %w", in.Service, ErrNotFound)
		}
	}
	for _, p := range []struct {
		login string
		into  **Person
	}{{in.Requester, &req.requester}, {in.Solver, &req.solver}} {
		if p.login == "" {
			continue
		}
		if *p.into = s.dir.login(p.login); *p.into == nil {
			return Ticket{}, fmt.Errorf("person %q: %w", p.login, ErrNotFound)
		}
	}
	req.more = func(d *draft) error {
		for _, name := range slices.Sorted(maps.Keys(in.Custom)) {
			column := s.dir.column(name)
			if column == nil {
				return fmt.Errorf("column %q: %w", name, ErrNotFound)
			}
			if err := d.setCustom(column, in.Custom[name]); err != nil {
				return err
			}
		}
		if in.Status == "" || sameName(in.Status, d.t.status.Name) {
			return nil
		}
		to := d.t.process.status(in.Status)
		if to == nil {
			return refuse(RuleUnknownStatus, "The process %q has no status %q.", d.t.process.Name, in.Status)
		}
		return d.setStatus(to)
	}
	t, err := s.create(ctx, who, req)
	if err != nil {
		return Ticket{}, err
	}
	return t.public(), nil
}

// update runs one change of a ticket as a person.
func (s *Server) update(ctx context.Context, login string, ticketID int, fn func(*draft) error) error {
	who, err := s.by(login)
	if err != nil {
		return err
	}
	_, err = s.change(ctx, ticketID, who, fn)
	return err
}

// SetStatus moves a ticket to a status, by its default name, as a person. All rules apply.
func (s *Server) SetStatus(ctx context.Context, login string, ticketID int, status string) error {
	return s.update(ctx, login, ticketID, func(d *draft) error {
		to := d.t.process.status(status)
		if to == nil {
			return refuse(RuleUnknownStatus, "The process %q has no status %q.", d.t.process.Name, status)
		}
		return d.setStatus(to)
	})
}

// AddMessage writes a record into the log of a ticket as a person.
func (s *Server) AddMessage(ctx context.Context, login string, ticketID int, m Message) (Record, error) {
	var r *record
	err := s.update(ctx, login, ticketID, func(d *draft) error {
		in := newRecord{
			subject: m.Subject, html: m.HTML, plain: m.Plain, kind: m.Kind, showToRequester: m.ShowToRequester, mark: m.Mark,
			attachments: m.Attachments,
		}
		if in.kind == "" {
			in.kind = KindEmail
		}
		if in.subject == "" {
			in.subject = d.t.name
		}
		if m.OnBehalf != "" {
			if in.fromPerson = s.dir.login(m.OnBehalf); in.fromPerson == nil {
				return fmt.Errorf("person %q: %w", m.OnBehalf, ErrNotFound)
			}
		}
		var err error
		if r, err = d.addRecord(in); err == nil {
			d.keepActivity(in.kind)
		}
		return err
	})
	if err != nil {
		return Record{}, err
	}
	return r.public(), nil
}

// EditMessage changes the HTML of a record, as the one who wrote it may in the WebApp.
func (s *Server) EditMessage(ctx context.Context, login string, ticketID, recordID int, html string) error {
	return s.update(ctx, login, ticketID, func(d *draft) error {
		r, err := d.replaceRecord(recordID, func(r *record) { r.html, r.plain = html, ""; r.bothContents() })
		if err != nil {
			return err
		}
		d.records = append(d.records, recordEvent{"act.changed", r})
		d.wrote(OpRecordChange, func(w *Write) { w.RecordID, w.Kind, w.Detail = r.id, r.kind, r.subject })
		return nil
	})
}

// ShowMessage lets the requester see a record, or hides it.
func (s *Server) ShowMessage(ctx context.Context, login string, ticketID, recordID int, show bool) error {
	return s.update(ctx, login, ticketID, func(d *draft) error {
		r, err := d.replaceRecord(recordID, func(r *record) { r.showToRequester = show })
		if err != nil {
			return err
		}
		d.records = append(d.records, recordEvent{"act.changed", r})
		d.wrote(OpRecordChange, func(w *Write) { w.RecordID, w.Kind, w.Detail = r.id, r.kind, r.subject })
		return nil
	})
}

// DeleteMessage removes a record with its attachments.
func (s *Server) DeleteMessage(ctx context.Context, login string, ticketID, recordID int) error {
	return s.update(ctx, login, ticketID, func(d *draft) error {
		i := slices.IndexFunc(d.t.records, func(r *record) bool { return r.id == recordID })
		if i < 0 {
			return fmt.Errorf("record %d: %w", recordID, ErrNotFound)
		}
		r := d.t.records[i]
		d.t.records = slices.Delete(slices.Clone(d.t.records), i, i+1)
		d.t.removedRecords = append(slices.Clip(d.t.removedRecords), r.id)
		d.records = append(d.records, recordEvent{"act.removed", r})
		d.wrote(OpRecordRemove, func(w *Write) { w.RecordID, w.Kind, w.Detail = r.id, r.kind, r.subject })
		return nil
	})
}

// SetField sets the name, the priority or a custom column of a ticket.
func (s *Server) SetField(ctx context.Context, login string, ticketID int, field string, value any) error {
	return s.update(ctx, login, ticketID, func(d *draft) error {
		text, _ := value.(string)
		switch strings.ToLower(field) {
		case "name":
			d.setText(&d.t.name, "name", columnProperty(columnName), text)
			return nil
		case "priority":
			if err := checkPriority(text); err != nil {
				return err
			}
			d.setText(&d.t.priority, "priority", columnProperty(columnPriority), text)
			return nil
		}
		column := s.dir.column(field)
		if column == nil {
			return fmt.Errorf("column %q: %w", field, ErrNotFound)
		}
		return d.setCustom(column, value)
	})
}

// SetSolver assigns a ticket; an empty solver takes it away.
func (s *Server) SetSolver(ctx context.Context, login string, ticketID int, solver string) error {
	p := s.dir.login(solver)
	if p == nil && solver != "" {
		return fmt.Errorf("person %q: %w", solver, ErrNotFound)
	}
	return s.update(ctx, login, ticketID, func(d *draft) error {
		if d.t.solver != p {
			d.setSolver(p)
		}
		return nil
	})
}

// MoveToService moves a ticket to another service.
func (s *Server) MoveToService(ctx context.Context, login string, ticketID int, service string) error {
	to := s.dir.serviceNamed(service)
	if to == nil {
		return fmt.Errorf("service %q: %w", service, ErrNotFound)
	}
	return s.update(ctx, login, ticketID, func(d *draft) error { return d.setService(to) })
}

// StartApproval puts a ticket into approval, during which its status stands still.
func (s *Server) StartApproval(ctx context.Context, login string, ticketID int) error {
	return s.update(ctx, login, ticketID, func(d *draft) error { return d.setApproval(true, false) })
}

// FinishApproval ends the approval. Where the status says so, the outcome moves the ticket.
func (s *Server) FinishApproval(ctx context.Context, login string, ticketID int, approved bool) error {
	return s.update(ctx, login, ticketID, func(d *draft) error { return d.setApproval(false, approved) })
}

// DeleteTicket moves a ticket to the process's status for removed tickets and dates its removal. It stays readable.
func (s *Server) DeleteTicket(ctx context.Context, login string, ticketID int) error {
	return s.update(ctx, login, ticketID, func(d *draft) error {
		if !d.t.removed.IsZero() {
			return refuse(RuleRemoved, "Ticket %s has been deleted.", d.t.tag())
		}
		d.t.inApproval = false
		if to := d.t.process.withBehavior(Removed); to != nil {
			d.enter(to)
		}
		d.t.removed = d.now
		d.touched("tHdTicket.dHdTicketRemoved")
		d.wrote(OpTicketRemove, nil)
		return nil
	})
}

// RestoreTicket brings a deleted ticket back, in its process's first status.
func (s *Server) RestoreTicket(ctx context.Context, login string, ticketID int) error {
	return s.update(ctx, login, ticketID, func(d *draft) error {
		if d.t.removed.IsZero() {
			return refuse(RuleSame, "Ticket %s is not deleted.", d.t.tag())
		}
		d.enter(&d.t.process.Statuses[0])
		d.t.removed = time.Time{}
		d.touched("tHdTicket.dHdTicketRemoved")
		d.wrote(OpTicketRestore, nil)
		return nil
	})
}

// DestroyTicket removes a ticket for good; after it REST answers 404.
func (s *Server) DestroyTicket(ctx context.Context, login string, ticketID int) error {
	return s.update(ctx, login, ticketID, func(d *draft) error {
		d.gone = true
		d.wrote(OpTicketDestroy, nil)
		return nil
	})
}

func (p *Process) withBehavior(b Behavior) *Status {
	for i := range p.Statuses {
		if p.Statuses[i].Behavior == b {
			return &p.Statuses[i]
		}
	}
	return nil
}

// keepActivity leaves the date of the last activity alone where the tenant's notes do not count.
func (d *draft) keepActivity(kind Kind) {
	if kind == KindNote && d.s.opts.Tenant.NotesAreSilent {
		d.activity = false
	}
}

// Ticket returns a ticket as it now is.
func (s *Server) Ticket(id int) (Ticket, bool) {
	t := s.store.ticket(id)
	if t == nil {
		return Ticket{}, false
	}
	return t.public(), true
}

// Tickets returns all tickets, oldest first.
func (s *Server) Tickets() []Ticket {
	var out []Ticket
	s.store.list(s.store.byID, false, nil, nil, func(t *ticket) bool {
		out = append(out, t.public())
		return true
	})
	return out
}

// RecentTickets returns up to limit tickets, those with the latest activity first.
func (s *Server) RecentTickets(limit int) []Ticket {
	var out []Ticket
	if limit <= 0 {
		return nil
	}
	s.store.list(s.store.byActivity, true, nil, nil, func(t *ticket) bool {
		out = append(out, t.public())
		return len(out) < limit
	})
	return out
}

// Records returns the log of a ticket, oldest first, system records included; nil if there is no such ticket.
func (s *Server) Records(ticketID int) []Record {
	t := s.store.ticket(ticketID)
	if t == nil {
		return nil
	}
	out := make([]Record, 0, len(t.records))
	for _, r := range t.records {
		out = append(out, r.public())
	}
	return out
}

// Attachment returns an attachment by its id.
func (s *Server) Attachment(id int) (Attachment, bool) {
	doc := s.store.document(id)
	if doc == nil {
		return Attachment{}, false
	}
	return doc.public(), true
}

// Persons returns everyone in the directory.
func (s *Server) Persons() []Person {
	all := s.dir.allPersons()
	out := make([]Person, len(all))
	for i, p := range all {
		out[i] = *p
	}
	return out
}

// AddPerson puts somebody into the directory; an id of zero is given one.
func (s *Server) AddPerson(p Person) (Person, error) {
	added, err := s.dir.addPerson(p)
	if err != nil {
		return Person{}, err
	}
	return *added, nil
}

// Services returns the services, and Statuses those of a service's process, by default names.
func (s *Server) Services() []Service {
	out := make([]Service, len(s.dir.services))
	for i, svc := range s.dir.services {
		out[i] = *svc
	}
	return out
}

// Statuses returns the statuses of the process of a service; nil if there is no such service.
func (s *Server) Statuses(service string) []Status {
	svc := s.dir.serviceNamed(service)
	if svc == nil {
		return nil
	}
	return slices.Clone(s.dir.process(svc).Statuses)
}

// Subscribe adds a webhook as an administrator would, without a call. Names are default names.
func (s *Server) Subscribe(sub Subscription) (int, error) {
	sub, err := s.checkSubscription(sub, "")
	if err != nil {
		return 0, err
	}
	return s.webhooks.add(sub, s.now()), nil
}

// Unsubscribe removes a webhook and tells whether there was one.
func (s *Server) Unsubscribe(id int) bool { return s.webhooks.remove(id) }

// Webhooks returns all webhooks with how they fared.
func (s *Server) Webhooks() []Webhook { return s.webhooks.list() }

// SetDelivery changes how hints are delivered from now on.
func (s *Server) SetDelivery(how Delivery) { s.hooks.set(how) }

// SetApplication switches the companion application on, over or (nil) off.
func (s *Server) SetApplication(app *Application) { s.application.Store(app) }

// PauseHooks holds hints back until [Server.ResumeHooks].
func (s *Server) PauseHooks() {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	s.hooks.paused = true
}

// ResumeHooks lets held back hints go, newest first if reversed. For an order that is certain also at the receiver,
// HookWorkers must be 1.
func (s *Server) ResumeHooks(reversed bool) { s.hooks.resume(reversed) }

// DropHooks forgets the hints that are held back, as if they had been lost, and tells how many.
func (s *Server) DropHooks() int { return s.hooks.drop() }

// DeliveryStats counts what became of hints so far.
func (s *Server) DeliveryStats() DeliveryStats {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	return s.hooks.stats
}

// Quiet waits until no hint is on its way.
func (s *Server) Quiet(ctx context.Context) error { return s.hooks.quiet(ctx) }

// Writes returns the ledger, oldest first, as far as it is kept.
func (s *Server) Writes() []Write { return s.ledger.after(0) }

// WritesAfter returns the writes after one, by sequence number.
func (s *Server) WritesAfter(seq int64) []Write { return s.ledger.after(seq) }

// WriteCounts tells how many writes there were ever, and how many of them through REST.
func (s *Server) WriteCounts() (int64, int64) { return s.ledger.counts() }

// OnWrite calls fn for every write from now on, in order and one at a time, soon after it became visible. It returns
// what ends that; a call under way may still be running then.
func (s *Server) OnWrite(fn func(Write)) func() { return s.ledger.watch(fn) }

// Calls counts the REST calls that were answered, by `METHOD route status`.
func (s *Server) Calls() map[string]int {
	s.callsMu.Lock()
	defer s.callsMu.Unlock()
	return maps.Clone(s.calls)
}
