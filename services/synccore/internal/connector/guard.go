package connector

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// heard takes what an error says about a system's view of the token.
func (r *running) heard(ctx context.Context, system item.System, err error) {
	if proves(err) {
		r.health.note(system)
	}
	if fault.Is(err, fault.BadToken) && r.health.refuse(system, fault.Sentence(err), r.deps.Now()) {
		r.deps.Logger.ErrorContext(ctx, "connector.unhealthy", slog.String("connector", r.cfg.Name),
			slog.String("system", string(system)), slog.String("reason", fault.Sentence(err)))
	}
}

// judge takes what the outcome of a call that was really made says, either way.
func (r *running) judge(ctx context.Context, system item.System, err error) {
	if proves(err) {
		r.healed(ctx, system)
		return
	}
	r.heard(ctx, system, err)
}

// proves tells whether the outcome of a call that was really made shows that the
// system accepts the token: an answer does, even one that refuses the deed.
func proves(err error) bool {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.NotFound, fault.Conflict, fault.Denied, fault.Refused, fault.Busy, fault.Misconfigured:
		return true
	case fault.Internal, fault.BadToken, fault.Throttled, fault.Unavailable:
		return err == nil
	default:
		return false
	}
}

// probe asks each system that refuses the token whether it still does, with one call,
// and lets held work go once both accept it. Where another process polls, it also asks
// the systems that have not answered this one yet, so that it can tell how they fare.
func (r *running) probe(ctx context.Context) {
	if r.probed { // at the start there is enough else that asks
		for _, system := range r.health.silent() {
			if err := r.ask(ctx, system); ctx.Err() == nil {
				r.judge(ctx, system, err)
			}
		}
	}
	r.probed = true
	for _, refusal := range r.health.refusals() {
		err := r.ask(ctx, refusal.System)
		if ctx.Err() != nil {
			return
		}
		r.judge(ctx, refusal.System, err)
	}
}

// ask makes one call that changes nothing.
func (r *running) ask(ctx context.Context, system item.System) error {
	if system == item.AzureDevOps {
		// Whether there is a work item 1 is of no matter.
		_, err := r.clients.WorkItems.WorkItems(ctx, []int64{1})
		return err
	}
	for _, err := range r.clients.Tickets.ActiveSince(ctx, r.deps.Now().Add(-time.Minute)) {
		return err
	}
	return nil
}

// healed notes that a system accepts the token.
func (r *running) healed(ctx context.Context, system item.System) {
	if !r.health.accept(system) {
		return
	}
	r.deps.Logger.InfoContext(ctx, "connector.healthy", slog.String("connector", r.cfg.Name), slog.String("system", string(system)))
	if len(r.health.refusals()) == 0 {
		r.release(ctx)
	}
}

// release lets held work go.
func (r *running) release(ctx context.Context) {
	if err := r.deps.Inbox.ReleaseHeld(ctx, r.cfg.Name); err != nil {
		// Held work comes by itself when its time is over.
		r.deps.Logger.WarnContext(ctx, "connector.release", slog.String("connector", r.cfg.Name), slog.String("error", err.Error()))
	}
}

// guarded makes a call unless its system is known to refuse the token: accounts that
// keep knocking get locked, and calls that are bound to fail use up the budget.
func guarded[T any](ctx context.Context, r *running, system item.System, call func() (T, error)) (T, error) {
	if err := r.health.allow(system); err != nil {
		var none T
		return none, err
	}
	value, err := call()
	r.heard(ctx, system, err)
	return value, err
}

// guardedFile is guarded for the opening of a file.
func guardedFile(
	ctx context.Context, r *running, system item.System, file item.Attachment,
	open func(context.Context, item.Attachment) (io.ReadCloser, int64, string, error),
) (io.ReadCloser, int64, string, error) {
	var size int64
	var kind string
	content, err := guarded(ctx, r, system, func() (io.ReadCloser, error) {
		content, n, k, err := open(ctx, file)
		size, kind = n, k
		return content, err
	})
	return content, size, kind, err
}

// guardedTickets are a connector's tickets behind its health.
type guardedTickets struct {
	Tickets

	r *running
}

// Ticket implements reconcile.Tickets.
func (g guardedTickets) Ticket(ctx context.Context, id int64) (item.Ticket, error) {
	return guarded(ctx, g.r, item.Alvao, func() (item.Ticket, error) { return g.Tickets.Ticket(ctx, id) })
}

// SetStatus implements reconcile.Tickets.
func (g guardedTickets) SetStatus(ctx context.Context, ticket item.Ticket, status string) (item.Ticket, error) {
	return guarded(ctx, g.r, item.Alvao, func() (item.Ticket, error) { return g.Tickets.SetStatus(ctx, ticket, status) })
}

// SetExternalID implements reconcile.Tickets.
func (g guardedTickets) SetExternalID(ctx context.Context, ticket item.Ticket, value string) (item.Ticket, error) {
	return guarded(ctx, g.r, item.Alvao, func() (item.Ticket, error) { return g.Tickets.SetExternalID(ctx, ticket, value) })
}

// Records implements reconcile.Tickets.
func (g guardedTickets) Log(ctx context.Context, ticketID int64) (item.Log, error) {
	return guarded(ctx, g.r, item.Alvao, func() (item.Log, error) { return g.Tickets.Log(ctx, ticketID) })
}

// Person implements reconcile.Tickets.
func (g guardedTickets) Person(ctx context.Context, id int64) (item.Person, error) {
	return guarded(ctx, g.r, item.Alvao, func() (item.Person, error) { return g.Tickets.Person(ctx, id) })
}

// Account implements reconcile.Tickets.
func (g guardedTickets) Account(ctx context.Context) (int64, error) {
	return guarded(ctx, g.r, item.Alvao, func() (int64, error) { return g.Tickets.Account(ctx) })
}

// AddRecord implements reconcile.Tickets.
func (g guardedTickets) AddRecord(ctx context.Context, ticketID int64, record item.NewRecord) (item.Record, error) {
	return guarded(ctx, g.r, item.Alvao, func() (item.Record, error) { return g.Tickets.AddRecord(ctx, ticketID, record) })
}

// OpenFile implements reconcile.Tickets.
func (g guardedTickets) OpenFile(ctx context.Context, file item.Attachment) (io.ReadCloser, int64, string, error) {
	return guardedFile(ctx, g.r, item.Alvao, file, g.Tickets.OpenFile)
}

// ActiveSince implements Tickets.
func (g guardedTickets) ActiveSince(ctx context.Context, since time.Time) iter.Seq2[item.Ticket, error] {
	return g.list(ctx, g.Tickets.ActiveSince(ctx, since))
}

// All implements Tickets.
func (g guardedTickets) All(ctx context.Context) iter.Seq2[item.Ticket, error] {
	return g.list(ctx, g.Tickets.All(ctx))
}

// TicketsByID implements Tickets.
func (g guardedTickets) TicketsByID(ctx context.Context, ids []int64) ([]item.Ticket, error) {
	return guarded(ctx, g.r, item.Alvao, func() ([]item.Ticket, error) { return g.Tickets.TicketsByID(ctx, ids) })
}

// Pages implements Tickets.
func (g guardedTickets) Pages(ctx context.Context, from int) iter.Seq2[item.TicketPage, error] {
	return func(yield func(item.TicketPage, error) bool) {
		for page, err := range g.Tickets.Pages(ctx, from) {
			g.r.heard(ctx, item.Alvao, err)
			if !yield(page, err) {
				return
			}
		}
	}
}

// list hears of the error that a list ends with. Its turn is not taken while the
// token is refused.
func (g guardedTickets) list(ctx context.Context, tickets iter.Seq2[item.Ticket, error]) iter.Seq2[item.Ticket, error] {
	return func(yield func(item.Ticket, error) bool) {
		for ticket, err := range tickets {
			g.r.heard(ctx, item.Alvao, err)
			if !yield(ticket, err) {
				return
			}
		}
		g.r.heard(ctx, item.Alvao, ctx.Err()) // an empty list is an answer, too
	}
}

// project is WorkItems under a name that leaves its method of that name free.
type project interface{ WorkItems }

// guardedWorkItems are a connector's work items behind its health.
type guardedWorkItems struct {
	project

	r *running
}

// WorkItem implements reconcile.WorkItems.
func (g guardedWorkItems) WorkItem(ctx context.Context, id int64) (item.WorkItem, error) {
	return guarded(ctx, g.r, item.AzureDevOps, func() (item.WorkItem, error) { return g.project.WorkItem(ctx, id) })
}

// WorkItems implements resync.WorkItems.
func (g guardedWorkItems) WorkItems(ctx context.Context, ids []int64) ([]item.WorkItem, error) {
	return guarded(ctx, g.r, item.AzureDevOps, func() ([]item.WorkItem, error) { return g.project.WorkItems(ctx, ids) })
}

// Changes implements poll.Changed.
func (g guardedWorkItems) Changes(ctx context.Context, position string, since time.Time) (item.Changes, error) {
	return guarded(ctx, g.r, item.AzureDevOps, func() (item.Changes, error) { return g.project.Changes(ctx, position, since) })
}

// AllTags implements WorkItems.
func (g guardedWorkItems) AllTags(ctx context.Context, position string) (item.Changes, error) {
	return guarded(ctx, g.r, item.AzureDevOps, func() (item.Changes, error) { return g.project.AllTags(ctx, position) })
}

// FindByMark implements reconcile.WorkItems.
func (g guardedWorkItems) FindByMark(ctx context.Context, mark, ticketURL string) ([]item.WorkItem, error) {
	return guarded(ctx, g.r, item.AzureDevOps, func() ([]item.WorkItem, error) { return g.project.FindByMark(ctx, mark, ticketURL) })
}

// Create implements reconcile.WorkItems.
func (g guardedWorkItems) Create(ctx context.Context, draft item.Draft) (item.WorkItem, error) {
	return guarded(ctx, g.r, item.AzureDevOps, func() (item.WorkItem, error) { return g.project.Create(ctx, draft) })
}

// SetState implements reconcile.WorkItems.
func (g guardedWorkItems) SetState(ctx context.Context, id, rev int64, state string) (item.WorkItem, error) {
	return guarded(ctx, g.r, item.AzureDevOps, func() (item.WorkItem, error) { return g.project.SetState(ctx, id, rev, state) })
}

// AddMark implements reconcile.WorkItems.
func (g guardedWorkItems) AddMark(ctx context.Context, id, rev int64, mark, ticketURL, text string) (item.WorkItem, error) {
	return guarded(ctx, g.r, item.AzureDevOps, func() (item.WorkItem, error) {
		return g.project.AddMark(ctx, id, rev, mark, ticketURL, text)
	})
}

// Type implements reconcile.WorkItems.
func (g guardedWorkItems) Type(ctx context.Context, name string) (item.WorkItemType, error) {
	return guarded(ctx, g.r, item.AzureDevOps, func() (item.WorkItemType, error) { return g.project.Type(ctx, name) })
}

// Fields implements reconcile.WorkItems.
func (g guardedWorkItems) Fields(ctx context.Context, typeName string) (map[string]item.Field, error) {
	return guarded(ctx, g.r, item.AzureDevOps, func() (map[string]item.Field, error) { return g.project.Fields(ctx, typeName) })
}

// Comments implements reconcile.WorkItems.
func (g guardedWorkItems) Comments(ctx context.Context, project string, workItem int64) ([]item.Comment, error) {
	return guarded(ctx, g.r, item.AzureDevOps, func() ([]item.Comment, error) { return g.project.Comments(ctx, project, workItem) })
}

// AddComment implements reconcile.WorkItems.
func (g guardedWorkItems) AddComment(ctx context.Context, project string, workItem int64, text string, format item.TextFormat) (item.Comment, error) {
	return guarded(ctx, g.r, item.AzureDevOps, func() (item.Comment, error) {
		return g.project.AddComment(ctx, project, workItem, text, format)
	})
}

// EditComment implements reconcile.WorkItems.
func (g guardedWorkItems) EditComment(ctx context.Context, project string, workItem, comment int64, text string, format item.TextFormat) (item.Comment, error) {
	return guarded(ctx, g.r, item.AzureDevOps, func() (item.Comment, error) {
		return g.project.EditComment(ctx, project, workItem, comment, text, format)
	})
}

// UploadFile implements reconcile.WorkItems.
func (g guardedWorkItems) UploadFile(ctx context.Context, project string, file item.Upload) (string, error) {
	return guarded(ctx, g.r, item.AzureDevOps, func() (string, error) { return g.project.UploadFile(ctx, project, file) })
}

// AttachFile implements reconcile.WorkItems.
func (g guardedWorkItems) AttachFile(ctx context.Context, workItem, rev int64, address, comment string) (item.WorkItem, error) {
	return guarded(ctx, g.r, item.AzureDevOps, func() (item.WorkItem, error) {
		return g.project.AttachFile(ctx, workItem, rev, address, comment)
	})
}

// OpenFile implements reconcile.WorkItems.
func (g guardedWorkItems) OpenFile(ctx context.Context, file item.Attachment) (io.ReadCloser, int64, string, error) {
	return guardedFile(ctx, g.r, item.AzureDevOps, file, g.project.OpenFile)
}

// FindIdentity implements reconcile.WorkItems.
func (g guardedWorkItems) FindIdentity(ctx context.Context, name string) (item.Identity, bool, error) {
	found := false
	who, err := guarded(ctx, g.r, item.AzureDevOps, func() (item.Identity, error) {
		who, ok, err := g.project.FindIdentity(ctx, name)
		found = ok
		return who, err
	})
	return who, found && err == nil, err
}
