// Package notice tells a ticket's solver of comments that landed in the ticket's log.
//
// Its one invariant: what is owed is remembered with the mirror of the comment, in one
// step, and each channel goes from owed over sending to told or dropped and never back
// from there. So nobody goes untold because of a crash, and nobody is told twice but in
// one case: the process died, or the connection broke, between the other side's yes and
// the memory of it. Then a mail is sent again under the same Message-ID, by which mail
// systems know it as the same, and a card says that it may have been posted before.
//
//	died before             what is left          what heals it
//	the mirror is stored    nothing due           the round finds the mirror by its reference, with the wish
//	the hint is in the inbox due, no hint         the inbox serves the round again, which reads what is due
//	sending is stored       owed                  the inbox serves the hint again
//	the send                sending               as above; it is sent as if again
//	told is stored          sending, sent         as above; it is sent again, as said
package notice

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/letter"
	"github.com/tandem-sync/tandem/services/synccore/internal/mail"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
	"github.com/tandem-sync/tandem/services/synccore/internal/teams"
	"github.com/tandem-sync/tandem/services/synccore/internal/tenure"
)

const (
	scope = "github.com/tandem-sync/tandem/services/synccore/notice"
	// leaseTTL is how long a worker that vanished keeps others from a ticket's notices.
	leaseTTL = 20 * time.Second
	// rememberTimeout bounds the write after a send.
	rememberTimeout = 5 * time.Second
	// crowdedWait is how soon an item is tried that found no free place.
	crowdedWait = 500 * time.Millisecond
	// refusedWait is how soon an item is tried whose mail server refuses the password. That
	// server is asked less often than that, and at once when the password is another.
	refusedWait = 30 * time.Second
	// maxComment is how much of a comment is told, in UTF-16 units.
	maxComment = 1500
)

// The channels, as metrics and spans name them.
const (
	email = "email"
	chat  = "teams"
)

// Tickets is what is needed of Alvao.
type Tickets interface {
	Ticket(ctx context.Context, id int64) (item.Ticket, error)
	Person(ctx context.Context, id int64) (item.Person, error)
}

// WorkItems is what is needed of Azure DevOps.
type WorkItems interface {
	WorkItem(ctx context.Context, id int64) (item.WorkItem, error)
	Comments(ctx context.Context, project string, workItem int64) ([]item.Comment, error)
	// Names are the display names of people by their GUIDs, in lower case.
	Names(ctx context.Context, ids []string) map[string]string
}

// Links is where what is owed is remembered.
type Links interface {
	Get(ctx context.Context, connector string, ticket int64) (item.Link, error)
	Notices(ctx context.Context, connector string, ticket int64) (map[string]item.Notice, error)
	// PutNotice stores next in place of known, and tells whether it did.
	PutNotice(ctx context.Context, connector string, ticket int64, source string, known, next item.Notice, changes ...item.LinkChange) (bool, error)
}

// Leases gives one worker at a time the right to send a ticket's notices.
type Leases interface {
	Hold(ctx context.Context, key item.Key, ttl time.Duration) (context.Context, lease.Held, error)
}

// Mailer sends mails.
type Mailer interface {
	Send(ctx context.Context, m mail.Mail) error
	Check(ctx context.Context) item.Finding
}

// Poster posts cards.
type Poster interface {
	Post(ctx context.Context, c teams.Card) error
	Check(ctx context.Context) item.Finding
}

// Channels is how a connector's solvers are told. The zero value: not at all.
type Channels struct {
	Letter *letter.Template
	// Mail and Teams are nil where the channel is not wanted.
	Mail  Mailer
	Teams Poster
}

// Wanted tells whether anybody is told at all.
func (c Channels) Wanted() bool { return c.Mail != nil || c.Teams != nil }

// Check asks whether the channels can work; nothing is sent.
func (c Channels) Check(ctx context.Context) []item.Finding {
	var findings []item.Finding
	if c.Mail != nil {
		findings = append(findings, c.Mail.Check(ctx))
	}
	if c.Teams != nil {
		findings = append(findings, c.Teams.Check(ctx))
	}
	return findings
}

// Connector is one pairing as it is needed here.
type Connector struct {
	Name      string
	Tickets   Tickets
	WorkItems WorkItems
	Channels  Channels
	// Location is the time zone of times in letters; nil: UTC.
	Location *time.Location
	// Boards is the address of the project in Azure DevOps.
	Boards string
	// Redact finds what must not be shown of what comes from there; nil: nothing.
	Redact *redact.Redactor
}

// Config is what a Notifier is made of. All fields but Concurrent are required.
type Config struct {
	Links   Links
	Leases  Leases
	Tracers trace.TracerProvider
	Meters  metric.MeterProvider
	Now     func() time.Time
	// Concurrent is how many tickets' notices are sent at once, so that a mail server that
	// hangs does not keep all workers from their work; 0 means 4.
	Concurrent int
}

// Notifier sends notices. It is safe for concurrent use.
type Notifier struct {
	cfg    Config
	tracer trace.Tracer
	sent   metric.Int64Counter
	texts  *richtext.Converter
	places chan struct{}
}

// New makes a Notifier.
func New(cfg Config) (*Notifier, error) {
	const few = 4
	if cfg.Concurrent <= 0 {
		cfg.Concurrent = few
	}
	sent, err := cfg.Meters.Meter(scope).Int64Counter("tandem.notices",
		metric.WithDescription("Attempts to tell a ticket's solver of a comment, by connector, channel and outcome: told, dropped or failed."))
	if err != nil {
		return nil, fmt.Errorf("making the counter of notices: %w", err)
	}
	return &Notifier{
		cfg: cfg, tracer: cfg.Tracers.Tracer(scope), sent: sent, texts: richtext.New(), places: make(chan struct{}, cfg.Concurrent),
	}, nil
}

// Handle sends what is owed to the solver of the ticket that key names. The fault kind of
// its error says what the worker must do; what was sent is remembered all the same.
func (n *Notifier) Handle(ctx context.Context, connector Connector, key item.Key) ([]slog.Attr, error) {
	select {
	case n.places <- struct{}{}:
		defer func() { <-n.places }()
	default:
		return nil, fault.New(fault.Throttled, "The notices of ticket %d wait until others are sent.", key.ID).After(crowdedWait)
	}
	ctx, held, err := n.cfg.Leases.Hold(ctx, key, leaseTTL)
	if err != nil {
		return nil, fmt.Errorf("taking the lease of the notices of ticket %d: %w", key.ID, err)
	}
	defer held.Release()
	r := &round{Notifier: n, connector: connector, ticket: key.ID}
	err = held.Why(r.run(ctx))
	return []slog.Attr{
		slog.Int64("ticket_id", key.ID), slog.Int64("work_item_id", r.link.WorkItem),
		slog.Int("owed", len(r.owed)), slog.Int("told", r.told), slog.Int("dropped", r.dropped),
	}, err
}

// owed is one notice that is not settled.
type owed struct {
	source string
	notice item.Notice
}

// round is one serving of one ticket.
type round struct {
	*Notifier

	connector Connector
	ticket    int64
	link      item.Link
	owed      []owed
	about     about
	// told and dropped count channels that were settled.
	told, dropped int
	// broken holds why a channel is given up in this round.
	broken map[string]error
}

// about is what the letters of one round are about, as read.
type about struct {
	ticket   item.Ticket
	workItem item.WorkItem
	comments []item.Comment
	// solver is nil where nobody can be told; then why says so.
	solver *item.Person
	why    string
}

func (r *round) run(ctx context.Context) error {
	notices, err := r.cfg.Links.Notices(ctx, r.connector.Name, r.ticket)
	if err != nil {
		return fmt.Errorf("reading the notices of ticket %d: %w", r.ticket, err)
	}
	for source, notice := range notices {
		if !notice.Done {
			r.owed = append(r.owed, owed{source, notice})
		}
	}
	if len(r.owed) == 0 {
		return nil
	}
	slices.SortFunc(r.owed, func(a, b owed) int {
		return cmp.Or(a.notice.Due.Compare(b.notice.Due), cmp.Compare(numberOf(a.source), numberOf(b.source)))
	})
	if r.link, err = r.cfg.Links.Get(ctx, r.connector.Name, r.ticket); err != nil {
		return fmt.Errorf("reading the link of ticket %d: %w", r.ticket, err)
	}
	if !r.connector.Channels.Wanted() || !r.link.Exists() {
		return r.close(ctx, "")
	}
	gone, err := r.read(ctx)
	if err != nil {
		return err
	}
	if gone != "" {
		return r.close(ctx, gone)
	}
	r.broken = map[string]error{}
	for _, one := range r.owed {
		if err := r.tell(ctx, one); err != nil {
			return err
		}
	}
	return r.trouble()
}

// trouble is why something is left to do: a fault that heals by itself before one that
// doesn't, so that the item is not given up too soon.
func (r *round) trouble() error {
	var first error
	for _, channel := range []string{email, chat} {
		err := r.broken[channel]
		if err == nil {
			continue
		}
		if first == nil || fault.Is(first, fault.Misconfigured) {
			first = err
		}
	}
	// A server that is to be left alone is no reason to hold the ticket: the next comment
	// may go by the other channel at once.
	if f, ok := fault.As(first); ok && (f.Kind == fault.Throttled || f.Kind == fault.BadToken) {
		wait := f.RetryAfter
		if wait <= 0 {
			wait = refusedWait
		}
		return fault.Wrap(first, fault.Busy, "%s", f.Text).After(wait)
	}
	return first
}

// read reads what the letters are about. A text says why there is nothing to tell.
func (r *round) read(ctx context.Context) (string, error) {
	var err error
	r.about.ticket, err = r.connector.Tickets.Ticket(ctx, r.ticket)
	if fault.Is(err, fault.NotFound) || err == nil && r.about.ticket.Removed {
		return "the ticket was removed", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading ticket %d: %w", r.ticket, err)
	}
	r.about.workItem, err = r.connector.WorkItems.WorkItem(ctx, r.link.WorkItem)
	if fault.Is(err, fault.NotFound) || err == nil && r.about.workItem.Deleted {
		return "the work item was deleted", nil
	}
	if err != nil {
		return "", fmt.Errorf("reading work item %d: %w", r.link.WorkItem, err)
	}
	r.about.comments, err = r.connector.WorkItems.Comments(ctx, r.about.workItem.Project, r.link.WorkItem)
	if err != nil {
		return "", fmt.Errorf("reading the comments of work item %d: %w", r.link.WorkItem, err)
	}
	if r.about.ticket.SolverID == 0 {
		r.about.why = "The ticket has no solver."
		return "", nil
	}
	solver, err := r.connector.Tickets.Person(ctx, r.about.ticket.SolverID)
	switch {
	case fault.Is(err, fault.NotFound), fault.Is(err, fault.Denied):
		r.about.why = "Alvao does not show the ticket's solver to the account; add it to the group Contact readers."
	case err != nil:
		return "", fmt.Errorf("reading the solver of ticket %d: %w", r.ticket, err)
	default:
		r.about.solver = &solver
	}
	return "", nil
}

// close settles all that is owed without telling anybody.
func (r *round) close(ctx context.Context, why string) error {
	for _, one := range r.owed {
		next := one.notice
		next.Done = true
		var changes []item.LinkChange
		if why != "" {
			changes = r.change(ctx, "Nobody was told of comment %d on work item %d: %s.", numberOf(one.source), r.link.WorkItem, why)
			r.dropped++
		}
		if err := r.put(ctx, one.source, one.notice, next, changes...); err != nil {
			return err
		}
	}
	return nil
}

// tell tells of one comment on every channel that is wanted and not settled.
func (r *round) tell(ctx context.Context, one owed) error {
	comment, there := r.comment(one.source)
	known := one.notice
	if !there {
		// There is nothing left to be told of.
		next := known
		next.Done = true
		return r.put(ctx, one.source, known, next)
	}
	data := r.data(ctx, comment)
	text, err := r.connector.Channels.Letter.Write(data)
	if err != nil {
		return fmt.Errorf("writing the notice of %s of ticket %d: %w", one.source, r.ticket, err)
	}
	mission := mission{round: r, source: one.source, comment: comment, data: data, text: text}
	if r.connector.Channels.Mail != nil {
		known, err = mission.take(ctx, email, known, func(n *item.Notice) *item.NoticeState { return &n.Email }, mission.mail)
		if err != nil {
			return err
		}
	}
	if r.connector.Channels.Teams != nil {
		known, err = mission.take(ctx, chat, known, func(n *item.Notice) *item.NoticeState { return &n.Teams }, mission.card)
		if err != nil {
			return err
		}
	}
	if (r.connector.Channels.Mail == nil || known.Email.Settled()) && (r.connector.Channels.Teams == nil || known.Teams.Settled()) {
		next := known
		next.Done = true
		return r.put(ctx, one.source, known, next)
	}
	return nil
}

func (r *round) comment(source string) (item.Comment, bool) {
	id := numberOf(source)
	for _, comment := range r.about.comments {
		if comment.ID == id {
			return comment, !comment.Deleted
		}
	}
	return item.Comment{}, false
}

// data is what the template may name.
func (r *round) data(ctx context.Context, comment item.Comment) letter.Data {
	ticket, workItem := r.about.ticket, r.about.workItem
	source := richtext.Source{Text: comment.Text, Format: richtext.HTML, Base: r.connector.Boards, Redact: r.connector.Redact}
	if comment.Format == item.Markdown {
		source.Format = richtext.Markdown
	}
	if mentioned := richtext.Mentioned(source); len(mentioned) > 0 {
		source.Mentions = r.connector.WorkItems.Names(ctx, mentioned)
	}
	tag := ticket.MessageTag
	if tag == "" {
		tag = letter.Number(ticket.ID)
	}
	d := letter.Data{
		Connector: r.connector.Name,
		Ticket: letter.Ticket{
			ID: letter.Number(ticket.ID), Tag: tag, Title: ticket.Title, Status: ticket.Status, Service: ticket.Service, URL: ticket.URL,
		},
		WorkItem: letter.WorkItem{
			ID: letter.Number(workItem.ID), Type: workItem.Type, Title: r.connector.Redact.Text(workItem.Title), State: workItem.State, URL: workItem.URL,
		},
		Comment: letter.Comment{
			ID: letter.Number(comment.ID), Author: comment.Author, Time: letter.Time(comment.Created, r.connector.Location),
			Text: r.texts.PlainText(source, maxComment),
		},
	}
	if r.about.solver != nil {
		d.Solver.Name = r.about.solver.Name
	}
	return d
}

// put remembers, even while a stop is under way.
func (r *round) put(ctx context.Context, source string, known, next item.Notice, changes ...item.LinkChange) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberTimeout)
	defer cancel()
	stored, err := r.cfg.Links.PutNotice(ctx, r.connector.Name, r.ticket, source, known, next, changes...)
	if err != nil {
		return fmt.Errorf("remembering the notice of %s of ticket %d: %w", source, r.ticket, err)
	}
	if !stored {
		return fault.New(fault.Conflict, "Another worker sends the notices of ticket %d, or its link was deleted; they are looked at again.", r.ticket)
	}
	return nil
}

// change is an entry of the link's history.
func (r *round) change(ctx context.Context, format string, args ...any) []item.LinkChange {
	entry := item.LinkChange{Time: r.cfg.Now(), Action: "notice", Detail: fmt.Sprintf(format, args...)}
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		entry.TraceID = span.TraceID().String()
	}
	return []item.LinkChange{entry}
}

// mission is telling of one comment.
type mission struct {
	*round

	source  string
	comment item.Comment
	data    letter.Data
	text    letter.Letter
}

// take brings one channel as far as it goes and returns what is remembered then. An error
// means that this could not be remembered.
func (m mission) take(
	ctx context.Context, channel string, known item.Notice, state func(*item.Notice) *item.NoticeState, send func(context.Context, bool) error,
) (item.Notice, error) {
	was := *state(&known)
	if _, broken := m.broken[channel]; broken || was.Settled() {
		return known, nil
	}
	sending := known
	*state(&sending) = item.NoticeSending
	if was != item.NoticeSending {
		if err := m.put(ctx, m.source, known, sending); err != nil {
			return known, err
		}
	}
	err := m.send(ctx, channel, was == item.NoticeSending, send)
	if err != nil && ctx.Err() != nil {
		// Cut off by a stop, or replaced by another worker: nobody knows what came of it.
		return sending, fmt.Errorf("telling of %s of ticket %d: %w", m.source, m.ticket, context.Cause(ctx))
	}
	next := sending
	switch {
	case err == nil:
		m.told++
		*state(&next) = item.NoticeTold
		return next, m.put(ctx, m.source, sending, next)
	case fault.Is(err, fault.Refused):
		m.dropped++
		*state(&next) = item.NoticeDropped
		return next, m.put(ctx, m.source, sending, next, m.change(ctx, "The solver was not told by %s of comment %d on work item %d: %s",
			title(channel), m.comment.ID, m.link.WorkItem, fault.Sentence(err))...)
	}
	return m.later(ctx, channel, known, sending, err)
}

// later leaves the channel alone for this round, and remembers where it is known that
// nothing was sent.
func (m mission) later(ctx context.Context, channel string, known, sending item.Notice, why error) (item.Notice, error) {
	m.broken[channel] = why
	if known != sending && unsent(why) {
		return known, m.put(ctx, m.source, sending, known)
	}
	return sending, nil
}

// unsent tells that a send that failed had no effect.
func unsent(err error) bool {
	switch fault.KindOf(err) {
	case fault.Throttled, fault.BadToken, fault.Misconfigured:
		return true
	default:
		return errors.Is(err, outbound.ErrUnsent)
	}
}

func title(channel string) string {
	if channel == chat {
		return "Teams"
	}
	return "e-mail"
}

// send sends once, seen by traces and metrics.
func (m mission) send(ctx context.Context, channel string, again bool, send func(context.Context, bool) error) error {
	ctx, span := m.tracer.Start(ctx, "notice "+channel, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(
		attribute.String("tandem.connector", m.connector.Name), attribute.Int64("tandem.ticket.id", m.ticket),
		attribute.Int64("tandem.work_item.id", m.link.WorkItem), attribute.Int64("tandem.comment.id", m.comment.ID),
		attribute.String("tandem.channel", channel), attribute.Bool("tandem.again", again),
	))
	defer span.End()
	err := tenure.Ended(ctx)
	if err == nil {
		err = send(ctx, again)
	}
	outcome := "told"
	switch {
	case fault.Is(err, fault.Refused):
		outcome = "dropped"
	case err != nil:
		outcome = "failed"
	}
	span.SetAttributes(attribute.String("tandem.outcome", outcome))
	if err != nil {
		span.SetStatus(codes.Error, fault.KindOf(err).String())
	}
	m.sent.Add(ctx, 1, metric.WithAttributes(
		attribute.String("connector", m.connector.Name), attribute.String("channel", channel), attribute.String("outcome", outcome)))
	return err
}

// ids are the comment's name and the ticket's, as mail systems see them.
func (m mission) ids() (string, string) {
	thread := "tandem." + m.connector.Name + "." + letter.Number(m.ticket)
	return thread + "." + letter.Number(m.link.WorkItem) + "." + letter.Number(m.comment.ID), thread
}

func (m mission) mail(ctx context.Context, _ bool) error {
	if m.about.solver == nil {
		return fault.New(fault.Refused, "%s", m.about.why)
	}
	to := strings.TrimSpace(cmp.Or(strings.TrimSpace(m.about.solver.Email), m.about.solver.Email2))
	if to == "" {
		return fault.New(fault.Refused, "The ticket's solver has no e-mail address in Alvao; enter one.")
	}
	id, thread := m.ids()
	html := m.texts.Convert(richtext.Source{Text: m.text.Text, Format: richtext.Plain}, richtext.Target{Format: richtext.HTML})
	return m.connector.Channels.Mail.Send(ctx, mail.Mail{
		To: to, Subject: m.text.Subject, Text: m.text.Text, HTML: html.WithImages(nil), ID: id, Thread: thread,
	})
}

func (m mission) card(ctx context.Context, again bool) error {
	id, _ := m.ids()
	card := teams.Card{
		ID: id, Title: m.text.Subject, Text: m.text.Text, Again: again,
		Links: []teams.Link{{Title: "Open the ticket", URL: m.about.ticket.URL}, {Title: "Open the work item", URL: m.about.workItem.URL}},
	}
	if solver := m.about.solver; solver != nil {
		card.Who, card.Mention = solver.Name, solver.Login
		if !strings.Contains(card.Mention, "@") {
			card.Mention = solver.Email
		}
	}
	return m.connector.Channels.Teams.Post(ctx, card)
}

// numberOf is the number at the end of a source's name.
func numberOf(source string) int64 {
	number, _ := strconv.ParseInt(source[strings.LastIndexByte(source, '/')+1:], 10, 64)
	return number
}
