// Package reconcile brings one ticket and its work item together.
//
// A round reads the link and both sides, asks plan for one step, applies it,
// remembers what came of it, and asks again until there is nothing left to do. The
// hint that caused the round only says where to look.
//
// The one invariant: every effect on a system is followed by a write to the link
// under the same lease before the next effect, and whatever a crash leaves between
// the two is healed by the next round: a state or status is read, a created work
// item is found by its mark.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
)

// maxSteps bounds one round apart from its messages. A creation with a long way
// through the states takes about ten; more means that a system does not keep what it
// is told.
const maxSteps = 32

// maxConflicts is how often a round reads both sides anew because somebody was faster.
// After that its hints wait a little like any conflict.
const maxConflicts = 3

// Tickets is what a round needs of Alvao.
type Tickets interface {
	// Ticket reads a ticket; fault.NotFound if there is none.
	Ticket(ctx context.Context, id int64) (item.Ticket, error)
	// SetStatus moves a ticket and returns it as read back.
	SetStatus(ctx context.Context, ticket item.Ticket, status string) (item.Ticket, error)
	// SetExternalID writes the external-id field and returns the ticket with it.
	SetExternalID(ctx context.Context, ticket item.Ticket, value string) (item.Ticket, error)
	// Log reads a ticket's log, or what Alvao's application told of it.
	Log(ctx context.Context, ticketID int64) (item.Log, error)
	// Person reads a user.
	Person(ctx context.Context, id int64) (item.Person, error)
	// Account is the person that the calls are made as; fault.NotFound if that can't be
	// told.
	Account(ctx context.Context) (person int64, err error)
	// AddRecord writes a record, once: an answer that is lost is not asked for again.
	AddRecord(ctx context.Context, ticketID int64, record item.NewRecord) (item.Record, error)
	// OpenFile opens a file of a record; the caller closes it. The size is -1 if not told.
	OpenFile(ctx context.Context, file item.Attachment) (content io.ReadCloser, size int64, contentType string, err error)
}

// WorkItems is what a round needs of Azure DevOps.
type WorkItems interface {
	// WorkItem reads a work item; fault.NotFound if there is none.
	WorkItem(ctx context.Context, id int64) (item.WorkItem, error)
	// FindByMark reads the work items that carry the tag and the ticket's hyperlink.
	FindByMark(ctx context.Context, mark, ticketURL string) ([]item.WorkItem, error)
	// Create makes a work item, once: an answer that is lost is not asked for again.
	Create(ctx context.Context, draft item.Draft) (item.WorkItem, error)
	// SetState moves a work item that is still at revision rev; else fault.Conflict.
	SetState(ctx context.Context, id, rev int64, state string) (item.WorkItem, error)
	// AddMark gives a work item the tag and the ticket's hyperlink.
	AddMark(ctx context.Context, id, rev int64, mark, ticketURL, text string) (item.WorkItem, error)
	// Type describes a work item type.
	Type(ctx context.Context, name string) (item.WorkItemType, error)
	// Fields describes the fields of a work item type by reference name.
	Fields(ctx context.Context, typeName string) (map[string]item.Field, error)
	// Comments reads all comments, deleted ones too, oldest first.
	Comments(ctx context.Context, project string, workItem int64) ([]item.Comment, error)
	// AddComment writes a comment, once: an answer that is lost is not asked for again.
	AddComment(ctx context.Context, project string, workItem int64, text string, format item.TextFormat) (item.Comment, error)
	// EditComment changes a comment; fault.NotFound if it was deleted.
	EditComment(ctx context.Context, project string, workItem, comment int64, text string, format item.TextFormat) (item.Comment, error)
	// SupportsMarkdown tells whether comments can be Markdown.
	SupportsMarkdown() bool
	// UploadFile stores a file and gives its address.
	UploadFile(ctx context.Context, project string, file item.Upload) (address string, err error)
	// AttachFile attaches an uploaded file to a work item at revision rev; 0: at any.
	AttachFile(ctx context.Context, workItem, rev int64, address, comment string) (item.WorkItem, error)
	// OpenFile opens a file for reading; the caller closes it. The size is -1 if not told.
	OpenFile(ctx context.Context, file item.Attachment) (content io.ReadCloser, size int64, contentType string, err error)
	// AttachmentOfURL recognises the address of a file of the account.
	AttachmentOfURL(raw string) (id, name string, ok bool)
	// FindIdentity finds the one active person of that user name or e-mail address.
	FindIdentity(ctx context.Context, name string) (item.Identity, bool, error)
	// Names are the display names of people by their GUIDs, in lower case; whoever can't
	// be looked up is missing.
	Names(ctx context.Context, ids []string) map[string]string
	// IdentitiesDenied tells that the token may not look people up.
	IdentitiesDenied() bool
}

// Links is where links are remembered.
type Links interface {
	Get(ctx context.Context, connector string, ticket int64) (item.Link, error)
	// Asked is Get in the round trip that takes the ticket's lease.
	Asked(connector string, ticket int64) (ask lease.Also, read func() (item.Link, error))
	Put(ctx context.Context, held lease.Lease, link item.Link, changes ...item.LinkChange) (item.Link, error)
	TicketOf(ctx context.Context, connector string, workItem int64) (ticket int64, found bool, err error)
	// Memory tells where the ticket's messages and files stand on the other side.
	Memory(ctx context.Context, connector string, ticket int64) (item.Memory, error)
	// BeginMemory notes once since when that is remembered, and tells it.
	BeginMemory(ctx context.Context, held lease.Lease) (time.Time, error)
	// PutMirror remembers where one stands; fault.Conflict if held has ended.
	PutMirror(ctx context.Context, held lease.Lease, source string, mirror item.Mirror) error
	// Notices tells what is and was owed to the ticket's solver.
	Notices(ctx context.Context, connector string, ticket int64) (map[string]item.Notice, error)
}

// Leases gives one holder at a time the right to change a ticket's link.
type Leases interface {
	Hold(ctx context.Context, key item.Key, ttl time.Duration) (context.Context, lease.Held, error)
	// HoldAnd is Hold that asks more in the same round trip.
	HoldAnd(ctx context.Context, key item.Key, ttl time.Duration, also lease.Also) (context.Context, lease.Held, error)
}

// Origins knows the tickets that were there before a connector first started.
type Origins interface {
	IsExisting(ctx context.Context, connector string, ticket int64) (bool, error)
	// IsComplete tells whether the connector has noted them.
	IsComplete(ctx context.Context, connector string) (bool, error)
	RemoveExisting(ctx context.Context, connector string, tickets ...int64) error
}

// Connector is one pairing as a round needs it. It must not change during a round.
type Connector struct {
	Name string
	// Service is the service whose tickets get work items, Process narrows that to one
	// process; empty: any.
	Service   string
	Process   string
	Rules     mapping.Rules
	Tickets   Tickets
	WorkItems WorkItems
	// Location is the time zone of dates that people read in work items; nil: UTC.
	Location *time.Location
	// TicketOfURL recognises the URL of a ticket of this tenant.
	TicketOfURL func(url string) (ticket int64, ok bool)
	// Messages says how messages cross, if Rules.SyncCommunication asks for it.
	Messages Messages
	// Notices has the ticket's solver told of comments; Config.Inbox takes them.
	Notices bool
	// RedactToAzureDevOps and RedactToAlvao find what must not be shown on the other
	// side; nil: nothing.
	RedactToAzureDevOps, RedactToAlvao *redact.Redactor
}

// Hints is what is known of why a round runs.
type Hints struct {
	Key item.Key
	// Received is when the newest hint arrived.
	Received time.Time
	// Force tells that a person asked for the round.
	Force bool
	// Winner is the side that a person chose to stay where status and state differ; empty:
	// nobody did.
	Winner item.System
	// Adopt has the round take over a work item that was the ticket's before, and make
	// none. Marked is the one that carries the ticket's mark; 0: not known.
	Adopt  bool
	Marked int64
	// Revision is the newest revision that the hints speak of, if all of them are of
	// work item revisions and none was served before; else 0.
	Revision int64
	// Payload is the newest hint's body; may be nil.
	Payload []byte
	// Others tells that older hints of Alvao's application about records were merged with
	// the newest one, whose bodies are not kept.
	Others bool
}

// Report says what a round did, for the log line and for the worker.
type Report struct {
	Ticket   int64
	WorkItem int64
	// Steps lists the kinds of the steps that were taken, in order.
	Steps []plan.Kind
	// Writes counts the writes to either system.
	Writes int
	// Reason says why nothing more was to do.
	Reason string
	// Forward names the ticket that the hints belong to; nil: served here.
	Forward *item.Key
	// Parked tells that a change waits because a system refused it.
	Parked bool
	// Rules tells rule by rule why the round began as it did.
	Rules []item.Verdict
	// TraceID names the trace of the round; empty: there is none.
	TraceID string
}

// Config is what an Engine is made of. All fields are required but LeaseTTL and Inbox.
type Config struct {
	Links   Links
	Leases  Leases
	Origins Origins
	Tracers trace.TracerProvider
	Now     func() time.Time
	// LeaseTTL is how long a holder that vanished keeps others out; 0 means 20 s.
	LeaseTTL time.Duration
	// Inbox takes in the notices of tickets; nil: nobody is told anything.
	Inbox Inbox
}

// Engine runs rounds. It is safe for concurrent use; two rounds of one ticket
// exclude each other through the lease.
type Engine struct {
	cfg    Config
	tracer trace.Tracer
	texts  *richtext.Converter
}

// New makes an Engine.
func New(cfg Config) *Engine {
	if cfg.LeaseTTL == 0 {
		cfg.LeaseTTL = 20 * time.Second
	}
	return &Engine{
		cfg: cfg, texts: richtext.New(),
		tracer: cfg.Tracers.Tracer("github.com/tandem-sync/tandem/services/synccore/reconcile"),
	}
}

// Handle serves the hints of one item. The error's fault kind says what the worker
// must do; the report is valid beside an error too.
func (e *Engine) Handle(ctx context.Context, connector Connector, hints Hints) (Report, error) {
	if hints.Key.System == item.AzureDevOps {
		return e.resolve(ctx, connector, hints)
	}
	ctx, span := e.tracer.Start(ctx, "reconcile", trace.WithAttributes(
		attribute.String("tandem.connector", connector.Name),
		attribute.Int64("tandem.ticket.id", hints.Key.ID),
	))
	defer span.End()

	report, err := e.round(ctx, connector, hints)
	if span.SpanContext().HasTraceID() {
		report.TraceID = span.SpanContext().TraceID().String()
	}
	span.SetAttributes(
		attribute.Int64("tandem.work_item.id", report.WorkItem),
		attribute.Int("tandem.writes", report.Writes),
		attribute.String("tandem.reason", report.Reason),
	)
	if err != nil {
		span.SetStatus(codes.Error, fault.KindOf(err).String())
	}
	return report, err
}

// resolve finds the ticket that a work item's hints belong to. An item that is not
// linked may still be ours, if the link was lost: its hyperlink tells.
func (e *Engine) resolve(ctx context.Context, connector Connector, hints Hints) (Report, error) {
	report := Report{WorkItem: hints.Key.ID}
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		report.TraceID = span.TraceID().String()
	}
	ticket, found, err := e.cfg.Links.TicketOf(ctx, connector.Name, hints.Key.ID)
	if err != nil {
		return report, fmt.Errorf("looking up the ticket of work item %d: %w", hints.Key.ID, err)
	}
	if found {
		report.Ticket = ticket
		report.Forward = &item.Key{Connector: connector.Name, System: item.Alvao, ID: ticket}
		return report, nil
	}
	if !mayCarryMark(hints.Payload) {
		report.Reason = fmt.Sprintf("work item %d is not linked", hints.Key.ID)
		return report, nil
	}
	workItem, err := connector.WorkItems.WorkItem(ctx, hints.Key.ID)
	if fault.Is(err, fault.NotFound) {
		report.Reason = fmt.Sprintf("work item %d does not exist and is not linked", hints.Key.ID)
		return report, nil
	}
	if err != nil {
		return report, fmt.Errorf("reading work item %d: %w", hints.Key.ID, err)
	}
	for _, link := range workItem.Hyperlinks {
		ticket, ok := connector.TicketOfURL(link)
		if ok && slices.ContainsFunc(workItem.Tags, func(tag string) bool { return strings.EqualFold(tag, MarkOf(ticket)) }) {
			report.Ticket = ticket
			report.Forward = &item.Key{Connector: connector.Name, System: item.Alvao, ID: ticket}
			return report, nil
		}
	}
	report.Reason = fmt.Sprintf("work item %d is not linked and carries no ticket's mark", hints.Key.ID)
	return report, nil
}

func (e *Engine) round(ctx context.Context, connector Connector, hints Hints) (Report, error) {
	report := Report{Ticket: hints.Key.ID}
	ask, read := e.cfg.Links.Asked(connector.Name, hints.Key.ID)
	ctx, held, err := e.cfg.Leases.HoldAnd(ctx, hints.Key, e.cfg.LeaseTTL, ask)
	if err != nil {
		return report, fmt.Errorf("taking the lease of ticket %d: %w", hints.Key.ID, err)
	}
	defer held.Release()
	err = e.underLease(ctx, held.Lease, read, connector, hints, &report)
	return report, held.Why(err)
}

// underLease is a round whose lease is held as long as ctx lasts. What it did is added to
// report. read gives the link as it was under the lease.
func (e *Engine) underLease(
	ctx context.Context, held lease.Lease, read func() (item.Link, error), connector Connector, hints Hints, report *Report,
) error {
	link, err := read()
	if err != nil {
		return fmt.Errorf("reading the link of ticket %d: %w", hints.Key.ID, err)
	}
	report.WorkItem = link.WorkItem
	if settled(link) && hints.Revision > 0 && hints.Revision <= seen(link, connector) && !hints.Force {
		report.Reason = fmt.Sprintf("revision %d of work item %d was seen already", hints.Revision, link.WorkItem)
		return nil
	}
	if !link.Exists() {
		link = item.Link{Connector: connector.Name, Ticket: hints.Key.ID, State: item.LinkCreating}
	}
	r := &round{engine: e, connector: connector, held: held, link: link, report: report, doubtful: hints.Revision == 0}
	if err := r.read(ctx, hints); err != nil {
		return err
	}
	if hints.Adopt && r.link.WorkItem == 0 {
		if err := r.seek(ctx, hints.Marked); err != nil || report.Reason != "" {
			return err
		}
	}
	err = r.run(ctx)
	if err == nil {
		err = r.unseen(ctx, hints)
	}
	report.WorkItem = r.link.WorkItem
	report.Parked = r.link.State == item.LinkParked
	return err
}

// settled tells that nothing was left to do when the link was last written.
func settled(link item.Link) bool {
	return link.State == item.LinkActive && link.Move == nil && link.Agreed.Status != ""
}

// seen is the revision up to which nothing is left to do. Where messages cross, those
// must have, too.
func seen(link item.Link, connector Connector) int64 {
	if connector.Rules.SyncCommunication {
		heard := link.TalkRev
		if link.Unheard != nil {
			heard = max(heard, link.Unheard.Rev)
		}
		return min(link.SeenRev, heard)
	}
	return link.SeenRev
}

// round is one round of one ticket.
type round struct {
	engine    *Engine
	connector Connector
	held      lease.Lease
	link      item.Link
	sides     plan.Sides
	report    *Report
	// replaced tells that the link could not be written: this round is over.
	replaced bool
	talk     talk
	// mute says why no messages cross in this round; empty: they do.
	mute string
	// taken is how many steps were taken.
	taken int
	// missed tells that something was not found in this round that was there before.
	missed bool
	// conflicts is how many writes of this round came too late.
	conflicts int
	// doubtful tells that an earlier round for the same hints may have been cut off.
	doubtful bool
}

// run takes steps until there is nothing left to do.
func (r *round) run(ctx context.Context) error {
	for r.more() {
		step := plan.Next(r.link, r.sides, r.rules())
		if r.report.Rules == nil {
			r.report.Rules = plan.Judge(r.link, r.sides, r.rules(), step)
		}
		switch step.Kind {
		case plan.Rest:
			r.report.Reason = r.reason(step.Reason)
			if r.mute == "" {
				return nil
			}
			look, news := plan.Unheard(r.link, r.sides)
			if !news {
				return nil
			}
			step = look
			r.report.Steps = append(r.report.Steps, step.Kind)
		case plan.Wait, plan.Hold:
			return fault.New(fault.Busy, "Ticket %d waits: %s.", r.link.Ticket, step.Reason).After(step.After)
		default:
			r.report.Steps = append(r.report.Steps, step.Kind)
		}
		err := r.take(ctx, step)
		if err == nil && step.Lost != nil {
			// What was chosen is remembered, and the rest follows from that.
			r.sides.Winner = ""
		}
		if err == nil || r.silenced(step, err) {
			continue
		}
		switch fault.KindOf(err) {
		case fault.Conflict:
			// Somebody else wrote either side meanwhile: what they show now decides. A
			// conflict over the link means that another round took over.
			if r.conflicts++; r.link.WorkItem == 0 || r.replaced || r.conflicts > maxConflicts {
				return err
			}
			if err := r.readAgain(ctx); err != nil {
				return err
			}
		case fault.NotFound:
			// Something went away between reading it and writing to it: looking once more
			// tells what.
			if r.missed || r.link.WorkItem == 0 {
				return err
			}
			r.missed = true
			if err := r.readAgain(ctx); err != nil {
				return err
			}
		case fault.Refused:
			if err := r.park(ctx, err); err != nil {
				return err
			}
		case fault.Invalid, fault.Denied, fault.Misconfigured:
			// Given up by the worker; the link says so too.
			return errors.Join(err, r.park(ctx, err))
		case fault.Busy:
			// An approval takes days, during which people go on talking.
			return errors.Join(err, r.talkMeanwhile(ctx))
		default:
			return err
		}
	}
	return fault.New(fault.Internal, "Ticket %d did not come to rest within %d steps; look at its history for a rule that moves it back.", r.link.Ticket, maxSteps)
}

// talkMeanwhile carries messages while the state has to wait.
func (r *round) talkMeanwhile(ctx context.Context) error {
	if r.link.WorkItem == 0 || r.sides.WorkItem == nil {
		return nil
	}
	for r.more() {
		step, ok := plan.Talk(r.link, r.sides, r.rules())
		if !ok || step.Kind == plan.Wait || step.Kind == plan.Hold {
			return nil
		}
		r.report.Steps = append(r.report.Steps, step.Kind)
		if err := r.take(ctx, step); err != nil && !r.silenced(step, err) {
			return err
		}
	}
	return nil
}

// PlanRules is what the connector's settings decide, for the planner and for whoever
// judges as it does.
func (c Connector) PlanRules() plan.Rules {
	return plan.Rules{
		Service: c.Service, Process: c.Process, Map: c.Rules.Statuses, Conflict: c.Rules.Conflict,
		Messages: c.Rules.SyncCommunication, SinceLinked: c.Messages.SinceLinked, Notices: c.Notices,
		OffToAlvao: c.Messages.Rules.OffToAlvao, OffToAzureDevOps: c.Messages.Rules.OffToAzureDevOps,
	}
}

func (r *round) rules() plan.Rules {
	rules := r.connector.PlanRules()
	rules.Messages = rules.Messages && r.mute == ""
	return rules
}

// more counts a step, and tells whether the round may take it. Messages may take some
// each.
func (r *round) more() bool {
	const each = 4
	r.taken++
	return r.taken <= maxSteps+each*(len(r.sides.Messages)+len(r.sides.Mirrors))
}

// silenced tells that a step on messages failed in a way that concerns them all, such
// as a log that can't be read: they stay as they are, and the state goes on.
func (r *round) silenced(step plan.Step, err error) bool {
	if !onMessages(step.Kind) || r.replaced {
		return false
	}
	switch fault.KindOf(err) {
	case fault.NotFound, fault.Denied, fault.Misconfigured, fault.Refused, fault.Invalid:
		r.mute = fault.Sentence(err)
		return true
	default:
		return false
	}
}

// reason says why nothing more was to do, and why messages stay.
func (r *round) reason(rest string) string {
	if r.mute == "" {
		return rest
	}
	return rest + "; messages stay where they are: " + r.mute
}

func onMessages(kind plan.Kind) bool {
	switch kind {
	case plan.ReadMessages, plan.BeginPost, plan.Post, plan.Edit, plan.Retract, plan.RememberMirror:
		return true
	default:
		return false
	}
}

func (r *round) park(ctx context.Context, cause error) error {
	return r.remember(ctx, plan.Refused(r.link, r.sides, fault.Sentence(cause)))
}
