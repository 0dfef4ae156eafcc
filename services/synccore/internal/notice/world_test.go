package notice_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	sandboxfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	standmail "github.com/tandem-sync/tandem/services/sandbox/mail"
	standteams "github.com/tandem-sync/tandem/services/sandbox/teams"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/letter"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/mail"
	"github.com/tandem-sync/tandem/services/synccore/internal/notice"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
	"github.com/tandem-sync/tandem/services/synccore/internal/teams"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const (
	name     = "development"
	ticket   = 1001
	workItem = 7
	address  = "petr.svoboda@contoso.com"
)

// world is a notifier over a real store, a mail server and a Teams webhook that stand in,
// and two systems that are values.
type world struct {
	t        *testing.T
	links    *link.Links
	leases   *lease.Leases
	post     *standmail.Server
	chat     *standteams.Server
	faults   *sandboxfault.Set
	notifier *notice.Notifier
	cuts     *cuts
	desk     *desk
	conn     notice.Connector
	spans    *tracetest.InMemoryExporter
	reader   *sdkmetric.ManualReader

	mu  sync.Mutex
	now time.Time
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// desk is both systems as they show themselves.
type desk struct {
	mu       sync.Mutex
	ticket   item.Ticket
	person   item.Person
	workItem item.WorkItem
	comments []item.Comment
	names    map[string]string
	err      error
	reads    int
}

func (d *desk) Ticket(context.Context, int64) (item.Ticket, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads++
	return d.ticket, d.err
}

func (d *desk) Person(_ context.Context, id int64) (item.Person, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.person.ID != id {
		return item.Person{}, fault.New(fault.NotFound, "There is no person %d.", id)
	}
	return d.person, nil
}

func (d *desk) WorkItem(context.Context, int64) (item.WorkItem, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.workItem, nil
}

func (d *desk) Comments(context.Context, string, int64) ([]item.Comment, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.comments), nil
}

func (d *desk) Names(_ context.Context, ids []string) map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := map[string]string{}
	for _, id := range ids {
		if name, known := d.names[id]; known {
			names[id] = name
		}
	}
	return names
}

// change changes what the systems show.
func (d *desk) change(f func(*desk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d)
}

func setup(t *testing.T) *world {
	t.Helper()
	now := time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC)
	w := &world{
		t: t, now: now, cuts: &cuts{}, faults: sandboxfault.NewSet(1), chat: standteams.New("signature"),
		spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader(),
	}
	store := redistest.Embedded(t)
	w.links, w.leases = link.New(store), lease.New(store)
	post, err := standmail.Start(t.Context(), "127.0.0.1:0", standmail.Options{User: "tandem", Password: "secret", Faults: w.faults})
	if err != nil {
		t.Fatal(err)
	}
	w.post = post
	host := httptest.NewServer(w.faults.Middleware(w.chat))
	t.Cleanup(func() {
		w.faults.Clear()
		host.Close()
		if err := post.Close(); err != nil {
			t.Error(err)
		}
	})
	w.desk = &desk{
		ticket: item.Ticket{ID: ticket, Title: "Printer is on fire", MessageTag: "T1001SD", Status: "Development", SolverID: 11, URL: "https://desk.example/Ticket/1001"},
		person: item.Person{ID: 11, Name: "Petr Svoboda", Login: address, Email: address},
		workItem: item.WorkItem{
			ID: workItem, Type: "Task", State: "Doing", Title: "Printer", Project: "Alvaoproject", URL: "https://boards.example/_workitems/edit/7",
		},
	}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader))
	w.notifier, err = notice.New(notice.Config{
		Links: cutLinks{w.links, w.cuts}, Leases: w.leases, Tracers: tracers, Meters: meters, Now: w.clock, Concurrent: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	template, problems := letter.Parse("", "")
	if problems != nil {
		t.Fatal(problems)
	}
	pool := &http.Transport{}
	t.Cleanup(pool.CloseIdleConnections)
	w.conn = notice.Connector{
		Name: name, Tickets: w.desk, WorkItems: w.desk, Boards: "https://boards.example/Alvaoproject",
		Channels: notice.Channels{
			Letter: template, Mail: cutMail{w.mailer(nil), w.cuts},
			Teams: cutTeams{teams.New(teams.Options{
				Address: func() (string, error) { return host.URL + "/teams?sig=signature", nil },
				Base:    pool, Gate: outbound.NewPace(outbound.PaceOptions{}), Now: w.clock, UserAgent: "test",
			}), w.cuts},
		},
	}
	w.link()
	return w
}

// mailer is a sender for the mail server that stands in.
func (w *world) mailer(change func(*mail.Options)) *mail.Sender {
	w.t.Helper()
	ca := filepath.Join(w.t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, w.post.Certificate(), 0o600); err != nil {
		w.t.Fatal(err)
	}
	o := mail.Options{
		Host: "127.0.0.1", Port: portOf(w.t, w.post.Addr()), TLS: mail.StartTLS, From: "Tandem <tandem@contoso.com>",
		User: "tandem", Password: func() (string, error) { return "secret", nil }, CAFile: ca, Timeout: 5 * time.Second, Now: w.clock,
	}
	if change != nil {
		change(&o)
	}
	sender, err := mail.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	return sender
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	port, err := strconv.Atoi(addr[len("127.0.0.1:"):])
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// link stores the link of the ticket.
func (w *world) link() {
	w.t.Helper()
	held, err := w.leases.Acquire(w.t.Context(), link.TicketKey(name, ticket), time.Minute)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = w.leases.Release(w.t.Context(), held) }()
	if _, err := w.links.Put(w.t.Context(), held, item.Link{Connector: name, Ticket: ticket, WorkItem: workItem, State: item.LinkActive}); err != nil {
		w.t.Fatal(err)
	}
}

// comment lets somebody comment, and the comment land.
func (w *world) comment(id int64, text string) {
	w.t.Helper()
	w.desk.change(func(d *desk) {
		d.comments = append(d.comments, item.Comment{ID: id, Text: text, Format: item.HTML, Author: "Jana Dvořáková", Created: w.clock()})
	})
	held, err := w.leases.Acquire(w.t.Context(), link.TicketKey(name, ticket), time.Minute)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = w.leases.Release(w.t.Context(), held) }()
	source := "azureDevOps/comment/" + strconv.FormatInt(id, 10)
	if err := w.links.PutMirror(w.t.Context(), held, source, item.Mirror{Target: "9", Hash: "5", Notify: w.clock()}); err != nil {
		w.t.Fatal(err)
	}
}

func key() item.Key { return item.Key{Connector: name, System: item.Notices, ID: ticket} }

func (w *world) handle() error {
	_, err := w.notifier.Handle(w.t.Context(), w.conn, key())
	return err
}

// mailIDs are the Message-IDs of the mails that were taken, each once.
func (w *world) mailIDs() []string {
	var ids []string
	for _, m := range w.post.Mails() {
		if !slices.Contains(ids, m.MessageID) {
			ids = append(ids, m.MessageID)
		}
	}
	slices.Sort(ids)
	return ids
}

// settled checks that nothing is owed any more.
func (w *world) settled() {
	w.t.Helper()
	notices, err := w.links.Notices(w.t.Context(), name, ticket)
	if err != nil {
		w.t.Fatal(err)
	}
	for source, n := range notices {
		if !n.Done {
			w.t.Errorf("%s is still owed: %+v", source, n)
		}
	}
}

// history are the entries about notices.
func (w *world) history() []string {
	w.t.Helper()
	changes, err := w.links.History(w.t.Context(), name, ticket, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	var details []string
	for _, c := range changes {
		if c.Action == "notice" {
			details = append(details, c.Detail)
		}
	}
	return details
}

// counted is the metric of one channel and outcome.
func (w *world) counted(channel, outcome string) int64 {
	w.t.Helper()
	var all metricdata.ResourceMetrics
	if err := w.reader.Collect(w.t.Context(), &all); err != nil {
		w.t.Fatal(err)
	}
	var n int64
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			sum, ok := m.Data.(metricdata.Sum[int64])
			if m.Name != "tandem.notices" || !ok {
				continue
			}
			for _, point := range sum.DataPoints {
				c, _ := point.Attributes.Value(attribute.Key("channel"))
				o, _ := point.Attributes.Value(attribute.Key("outcome"))
				if c.AsString() == channel && o.AsString() == outcome {
					n += point.Value
				}
			}
		}
	}
	return n
}

func (w *world) plant(rule sandboxfault.Rule) {
	w.t.Helper()
	if _, err := w.faults.Add(rule); err != nil {
		w.t.Fatal(err)
	}
}

var errCut = errors.New("the process died here")

// cuts counts effects and dies at one of them, before or after it.
type cuts struct {
	mu     sync.Mutex
	count  int
	at     int
	before bool
	dead   bool
}

func (c *cuts) arm(at int, before bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count, c.at, c.before, c.dead = 0, at, before, false
}

// hits tells whether it died.
func (c *cuts) hit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dead
}

// effect runs one effect, or dies before or after it; who died has no further effects.
func effect[T any](c *cuts, do func() (T, error)) (T, error) {
	c.mu.Lock()
	c.count++
	dead, die := c.dead, c.count == c.at
	c.dead = c.dead || die
	c.mu.Unlock()
	var none T
	if dead || die && c.before {
		return none, errCut
	}
	value, err := do()
	if die {
		return none, errCut
	}
	return value, err
}

type cutLinks struct {
	*link.Links

	cuts *cuts
}

func (c cutLinks) PutNotice(ctx context.Context, connector string, ticket int64, source string, known, next item.Notice, changes ...item.LinkChange) (bool, error) {
	return effect(c.cuts, func() (bool, error) {
		return c.Links.PutNotice(ctx, connector, ticket, source, known, next, changes...)
	})
}

type cutMail struct {
	*mail.Sender

	cuts *cuts
}

func (c cutMail) Send(ctx context.Context, m mail.Mail) error {
	_, err := effect(c.cuts, func() (struct{}, error) { return struct{}{}, c.Sender.Send(ctx, m) })
	return err
}

type cutTeams struct {
	*teams.Poster

	cuts *cuts
}

func (c cutTeams) Post(ctx context.Context, card teams.Card) error {
	_, err := effect(c.cuts, func() (struct{}, error) { return struct{}{}, c.Poster.Post(ctx, card) })
	return err
}
