package reconcile

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
	"github.com/tandem-sync/tandem/services/synccore/internal/template"
)

const (
	// statusVisibleAfter is how long Alvao is given to show a status it accepted.
	statusVisibleAfter = 2 * time.Second
	// rememberTimeout bounds the write to the link after an effect.
	rememberTimeout = 5 * time.Second
)

// mayCarryMark tells whether an event's body leaves it open that its work item is
// one of ours. Bodies carry the tags; one that was left out or cut short tells
// nothing. A forged body can only cause or save one read.
func mayCarryMark(payload []byte) bool {
	return len(payload) == 0 || !bytes.Contains(payload, []byte(`"fields"`)) || bytes.Contains(payload, []byte(markPrefix))
}

// take applies one step and remembers it.
func (r *round) take(ctx context.Context, step plan.Step) error {
	switch step.Kind {
	case plan.ReadWorkItem:
		if err := r.readWorkItem(ctx, step.WorkItem); err != nil {
			return err
		}
		r.sides.Ours, r.sides.Bearer = false, 0
		if r.sides.WorkItem != nil {
			r.sides.Ours, r.sides.Bearer = r.marked(*r.sides.WorkItem), r.bearer(*r.sides.WorkItem)
		}
		return r.ownerOf(ctx, step.WorkItem)
	case plan.ReadType:
		workItemType, err := r.connector.WorkItems.Type(ctx, r.sides.WorkItem.Type)
		if err != nil {
			return fmt.Errorf("reading the work item type %s: %w", r.sides.WorkItem.Type, err)
		}
		r.sides.Type = &workItemType
		return nil
	case plan.Search:
		return r.search(ctx)
	case plan.Remember:
		return r.remember(ctx, step)
	case plan.Create:
		return r.create(ctx, step)
	case plan.Mark:
		return r.mark(ctx, step)
	case plan.WriteExternalID:
		ticket, err := r.connector.Tickets.SetExternalID(ctx, r.sides.Ticket, strconv.FormatInt(step.WorkItem, 10))
		if err != nil {
			return fmt.Errorf("writing the external id to ticket %d: %w", r.link.Ticket, err)
		}
		r.sides.Ticket = ticket
		return r.wrote(ctx, step)
	case plan.SetState:
		workItem, err := r.connector.WorkItems.SetState(ctx, r.sides.WorkItem.ID, r.sides.WorkItem.Rev, step.State)
		if err != nil {
			return fmt.Errorf("moving work item %d to %q: %w", r.sides.WorkItem.ID, step.State, err)
		}
		r.sides.WorkItem = &workItem
		return r.wrote(ctx, step)
	case plan.SetStatus:
		return r.setStatus(ctx, step)
	case plan.ReadMessages, plan.BeginPost, plan.Post, plan.Edit, plan.Retract, plan.RememberMirror:
		return r.takeMessage(ctx, step)
	case plan.BeginNote, plan.FindNote, plan.PostNote:
		return r.takeNote(ctx, step)
	case plan.Rest, plan.Wait, plan.Hold:
		return nil
	default:
		return fmt.Errorf("plan made the unknown step %q", step.Kind)
	}
}

// ownerOf finds whether a work item belongs to another ticket already.
func (r *round) ownerOf(ctx context.Context, workItem int64) error {
	ticket, found, err := r.engine.cfg.Links.TicketOf(ctx, r.connector.Name, workItem)
	if err != nil {
		return fmt.Errorf("looking up the ticket of work item %d: %w", workItem, err)
	}
	r.sides.Taken = 0
	if found && ticket != r.link.Ticket {
		r.sides.Taken = ticket
	}
	return nil
}

func (r *round) search(ctx context.Context) error {
	found, err := r.connector.WorkItems.FindByMark(ctx, MarkOf(r.link.Ticket), r.sides.Ticket.URL)
	if err != nil {
		return fmt.Errorf("looking for the work item of ticket %d: %w", r.link.Ticket, err)
	}
	r.sides.Searched = true
	// Several can only come from outside, by copying an item with its links: the oldest
	// is the original.
	slices.SortFunc(found, func(a, b item.WorkItem) int { return cmp.Compare(a.ID, b.ID) })
	for i := range found {
		if err := r.ownerOf(ctx, found[i].ID); err != nil {
			return err
		}
		if r.sides.Taken == 0 {
			r.sides.WorkItem = &found[i]
			break
		}
	}
	return nil
}

func (r *round) create(ctx context.Context, step plan.Step) error {
	draft, strangers, err := r.draft(ctx)
	if err != nil {
		return err
	}
	workItem, err := r.connector.WorkItems.Create(ctx, draft)
	if err != nil {
		return fmt.Errorf("creating the work item of ticket %d: %w", r.link.Ticket, err)
	}
	r.sides.WorkItem = &workItem
	if err := r.wrote(ctx, step); err != nil {
		return err
	}
	for _, f := range strangers {
		detail := fmt.Sprintf("%s was left empty, because Azure DevOps knows no active user as %q", f.Reference, f.Value)
		change := plan.Step{Kind: plan.Remember, Link: r.link, Change: &item.LinkChange{Action: "leave-out", Detail: detail}}
		if err := r.remember(ctx, change); err != nil {
			return err
		}
	}
	return nil
}

// Preview renders the AttributeMap for a ticket as a round would that creates its work
// item. It writes nothing. Fields that name people are Persons where nobody has looked
// them up, or where nobody is known by that name.
func (e *Engine) Preview(ctx context.Context, connector Connector, ticket item.Ticket) (item.Draft, error) {
	r := &round{engine: e, connector: connector, link: item.Link{Connector: connector.Name, Ticket: ticket.ID}}
	r.sides.Ticket = ticket
	draft, strangers, err := r.draft(ctx)
	draft.Fields = append(draft.Fields, strangers...)
	return draft, err
}

// draft reads what the templates need, all at once, and renders them. Fields that name
// somebody whom Azure DevOps does not know are not part of the draft and come beside it.
func (r *round) draft(ctx context.Context) (item.Draft, []item.FieldValue, error) {
	ticket, rules := r.sides.Ticket, r.connector.Rules
	data, err := r.data(ctx, rules.Needs())
	if err != nil {
		return item.Draft{}, nil, err
	}
	typeName, err := rules.WorkItemType(data)
	if err != nil {
		return item.Draft{}, nil, fmt.Errorf("choosing the work item type for ticket %d: %w", ticket.ID, err)
	}
	fields, err := r.connector.WorkItems.Fields(ctx, typeName)
	if err != nil {
		return item.Draft{}, nil, fmt.Errorf("reading the fields of the work item type: %w", err)
	}
	tag := ticket.MessageTag
	if tag == "" {
		tag = strconv.FormatInt(ticket.ID, 10)
	}
	draft, err := rules.Draft(data, fields, MarkOf(ticket.ID), ticket.URL, "Alvao ticket "+tag)
	if err != nil {
		return item.Draft{}, nil, fmt.Errorf("rendering the work item of ticket %d: %w", ticket.ID, err)
	}
	strangers, err := r.people(ctx, &draft)
	if err != nil {
		return item.Draft{}, nil, err
	}
	draft.Reporter, draft.OtherNames, err = r.reporter(ctx, data)
	return draft, strangers, err
}

// data reads what the templates need of Alvao beside the ticket.
func (r *round) data(ctx context.Context, needs template.Needs) (template.Data, error) {
	ticket := r.sides.Ticket
	data := template.Data{Ticket: ticket, Location: r.connector.Location, Texts: r.engine.texts.Fields(r.deskSource())}
	group, groupCtx := errgroup.WithContext(ctx)
	person := func(needed bool, id int64, into **item.Person) {
		if !needed || id == 0 {
			return
		}
		group.Go(func() error {
			found, err := r.connector.Tickets.Person(groupCtx, id)
			if fault.Is(err, fault.NotFound) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("reading person %d: %w", id, err)
			}
			*into = &found
			return nil
		})
	}
	person(needs.Requester, ticket.RequesterID, &data.Requester)
	person(needs.RequestedFor, ticket.RequestedForID, &data.RequestedFor)
	person(needs.Solver, ticket.SolverID, &data.Solver)
	if needs.Log {
		group.Go(func() error {
			log, err := r.connector.Tickets.Log(groupCtx, ticket.ID)
			if fault.Is(err, fault.NotFound) {
				// Some tenants don't let the log be read (alvao.md §2.4): the variables then
				// show that there is no message.
				return nil
			}
			if err != nil {
				return fmt.Errorf("reading the log of ticket %d: %w", ticket.ID, err)
			}
			data.Records = r.forFields(standing(log.Records))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return template.Data{}, err
	}
	if needs.Managers {
		if err := r.managers(ctx, &data); err != nil {
			return template.Data{}, err
		}
	}
	return data, nil
}

// managers adds the names of the managers of the persons that were read.
func (r *round) managers(ctx context.Context, data *template.Data) error {
	data.Managers = map[int64]string{}
	for _, person := range []*item.Person{data.Requester, data.RequestedFor, data.Solver} {
		if person == nil || person.ManagerID == 0 {
			continue
		}
		manager, err := r.connector.Tickets.Person(ctx, person.ManagerID)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading manager %d: %w", person.ManagerID, err)
		}
		data.Managers[manager.ID] = manager.Name
	}
	return nil
}

func (r *round) mark(ctx context.Context, step plan.Step) error {
	workItem, err := r.connector.WorkItems.AddMark(ctx, r.sides.WorkItem.ID, r.sides.WorkItem.Rev,
		MarkOf(r.link.Ticket), r.sides.Ticket.URL, "Alvao ticket "+strconv.FormatInt(r.link.Ticket, 10))
	if err != nil {
		return fmt.Errorf("marking work item %d: %w", r.sides.WorkItem.ID, err)
	}
	r.sides.WorkItem, r.sides.Marked = &workItem, true
	return r.wrote(ctx, step)
}

func (r *round) setStatus(ctx context.Context, step plan.Step) error {
	before := r.sides.Ticket.Status
	ticket, err := r.connector.Tickets.SetStatus(ctx, r.sides.Ticket, step.Status)
	if err != nil {
		return fmt.Errorf("moving ticket %d to %q: %w", r.link.Ticket, step.Status, err)
	}
	if ticket.Status == before {
		// Remembering this would lose the change; Alvao shows it once its transaction is
		// through.
		return fault.New(fault.Busy, "Alvao accepted status %q for ticket %d but still shows %q; Tandem looks again shortly.",
			step.Status, r.link.Ticket, before).After(statusVisibleAfter)
	}
	r.sides.Ticket = ticket
	return r.wrote(ctx, step)
}

// wrote remembers a step that changed a system. The write to the link must not be
// given up because the caller stops: it is what keeps the effect from being repeated.
func (r *round) wrote(ctx context.Context, step plan.Step) error {
	r.report.Writes++
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberTimeout)
	defer cancel()
	return r.remember(ctx, step)
}

func (r *round) remember(ctx context.Context, step plan.Step) error {
	next, changes := plan.Applied(r.link, step, r.sides)
	if r.sides.Ticket.URL != "" {
		next.TicketURL = r.sides.Ticket.URL
	}
	now := r.engine.cfg.Now()
	next.Updated = now
	if next.Created.IsZero() {
		next.Created = now
	}
	span := trace.SpanContextFromContext(ctx)
	for i := range changes {
		changes[i].Time = now
		if span.HasTraceID() {
			changes[i].TraceID = span.TraceID().String()
		}
	}
	stored, err := r.engine.cfg.Links.Put(ctx, r.held, next, changes...)
	if err != nil {
		r.replaced = true
		return fmt.Errorf("remembering %s of ticket %d: %w", step.Kind, r.link.Ticket, err)
	}
	r.link = stored
	if step.Kind == plan.Remember && stored.State == item.LinkParked {
		r.sides.Force = false
	}
	if stored.State == item.LinkCreating {
		r.sides.Intended = true
	}
	return nil
}
