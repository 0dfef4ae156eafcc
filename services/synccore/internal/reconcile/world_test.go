package reconcile_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/origin"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
	"github.com/tandem-sync/tandem/services/synccore/internal/pushed"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const name = "development"

// world is an engine with real clients, both stand-in systems and an embedded Redis.
type world struct {
	desk      *standalvao.Server
	boards    *standazure.Server
	links     *link.Links
	origins   *origin.Origins
	engine    *reconcile.Engine
	connector reconcile.Connector
	cuts      *cuts
	store     *datastore.Store
	// witness notes connections to anywhere but both systems.
	witness *witness
	// planted are the faults before both systems, if a test asked for any.
	planted *fault.Set

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

type options struct {
	pairs    []item.Pair
	typeName string
	boards   standazure.Options
	desk     standalvao.Options
	conflict mapping.Conflict
	// talk has messages cross, as messages say.
	talk     bool
	messages reconcile.Messages
	reporter string
	// attributes are further entries of the AttributeMap.
	attributes []mapping.AttributeText
	faults     *fault.Set
	// application has Alvao's application tell of records, which REST then does not show.
	application bool
}

// talking has messages cross.
func talking(o *options) { o.talk = true }

func setup(t *testing.T, change ...func(*options)) *world {
	t.Helper()
	o := options{
		typeName: "Task", conflict: mapping.ConflictNewest, reporter: "Default",
		pairs: []item.Pair{
			{State: "To Do", Status: "Development"}, {State: "Doing", Status: "Development pending"}, {State: "Done", Status: "Testing"},
		},
	}
	for _, f := range change {
		f(&o)
	}
	w := &world{now: time.Now(), cuts: &cuts{}}
	mux := http.NewServeMux()
	var handler http.Handler = mux
	if o.faults != nil {
		handler = o.faults.Middleware(mux)
	}
	host := httptest.NewServer(handler)
	t.Cleanup(host.Close)

	o.boards.BaseURL = host.URL + "/azuredevops"
	w.boards = standazure.New(o.boards)
	t.Cleanup(func() {
		if err := w.boards.Close(); err != nil {
			t.Errorf("closing the stand-in Azure DevOps: %v", err)
		}
	})
	mux.Handle("/azuredevops/", http.StripPrefix("/azuredevops", w.boards))
	o.desk.BaseURL = host.URL
	store := redistest.Embedded(t)
	w.store = store
	t.Cleanup(host.Close) // what the application posts is served while there is a store
	logs, err := pushed.New(store, pushed.Limits{}, w.clock)
	if err != nil {
		t.Fatal(err)
	}
	if o.application {
		o.desk.Tenant.LogUnreadable, o.desk.Tenant.NoWebhooks = true, true
		o.desk.Application = &standalvao.Application{URL: host.URL + "/application", Skip: []string{standalvao.ApplicationAccount}, Bodies: true}
		mux.Handle("/application", applicationHook(t, logs))
	}
	desk, err := standalvao.New(o.desk)
	if err != nil {
		t.Fatal(err)
	}
	w.desk = desk
	t.Cleanup(desk.Close)
	mux.Handle("/AlvaoRestApi/", desk)

	rules, problems := mapping.Compile(mapping.Settings{
		ConnectorType: "AzureDevOps", URL: host.URL + "/azuredevops/contoso/Alvaoproject", AccessToken: "0",
		AttributeMap: append([]mapping.AttributeText{
			{Field: "System.Title", Value: "[$TicketTitle$]"},
			{Field: "System.Description", Value: "[$LatestImportantMessage$]"},
			{Field: "System.WorkItemType", Value: o.typeName},
		}, o.attributes...),
		StatusMap: o.pairs, TicketReporter: o.reporter, SyncCommunication: o.talk,
	}, mapping.Policy{Conflict: o.conflict, ExistingTickets: mapping.ExistingIgnore})
	if len(problems) > 0 {
		t.Fatalf("settings: %v", problems)
	}
	secret := func(s string) func() (string, error) { return func() (string, error) { return s, nil } }
	w.witness = &witness{home: strings.TrimPrefix(host.URL, "http://")}
	pool := &http.Transport{DialContext: w.witness.dial}
	t.Cleanup(pool.CloseIdleConnections)
	tickets, err := alvao.New(alvao.Options{
		BaseURL: host.URL + "/AlvaoRestApi", Service: "Development", Username: "tandem", Password: secret("tandem"),
		Base: pool, Now: w.clock, PerSecond: 10_000, Burst: 10_000,
		Pushed: toldTo{logs},
	})
	if err != nil {
		t.Fatal(err)
	}
	workItems, err := azuredevops.New(azuredevops.Options{
		ProjectURL: rules.Project.URL(), Credential: azuredevops.PAT(secret("sandbox-pat")), Base: pool, Now: w.clock,
	})
	if err != nil {
		t.Fatal(err)
	}
	w.links, w.origins = link.New(store), origin.New(store)
	if err := w.origins.MarkComplete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	w.engine = reconcile.New(reconcile.Config{
		Links: cutLinks{w.links, w.cuts}, Leases: lease.New(store), Origins: w.origins,
		Tracers: noop.NewTracerProvider(), Now: w.clock,
	})
	w.connector = reconcile.Connector{
		Name: name, Service: "Development", Rules: rules,
		Tickets: cutTickets{tickets, w.cuts}, WorkItems: cutWorkItems{workItems, w.cuts}, TicketOfURL: tickets.TicketOfURL,
	}
	w.connector.Messages = o.messages
	w.connector.Messages.Desk, w.connector.Messages.Boards = host.URL+"/AlvaoRestApi/", rules.Project.URL()
	return w
}

// agile is a project whose bugs go New, Active, Resolved, Closed, one step at a time.
func agile(o *options) {
	o.boards.Projects = []standazure.Project{{Name: "Alvaoproject", Process: standazure.Agile()}}
	o.typeName = "Bug"
	o.pairs = []item.Pair{
		{State: "New", Status: "Development"}, {State: "Active", Status: "Development pending"}, {State: "Closed", Status: "Testing"},
	}
}

func (w *world) ticket(t *testing.T, status string) int64 {
	t.Helper()
	made, err := w.desk.CreateTicket(t.Context(), standalvao.Requester, standalvao.NewTicket{
		Name: "Printer is on fire", Description: "<p>Smoke & flames</p>", Service: "Development", Status: status,
	})
	if err != nil {
		t.Fatal(err)
	}
	return int64(made.ID)
}

func (w *world) setStatus(t *testing.T, ticket int64, status string) {
	t.Helper()
	if err := w.desk.SetStatus(t.Context(), standalvao.Solver, int(ticket), status); err != nil {
		t.Fatal(err)
	}
}

func (w *world) setState(t *testing.T, workItem int64, state string) {
	t.Helper()
	if _, err := w.boards.As("jana.dvorakova@contoso.com").SetState(int(workItem), state); err != nil {
		t.Fatal(err)
	}
}

func hints(ticket int64) reconcile.Hints {
	return reconcile.Hints{Key: item.Key{Connector: name, System: item.Alvao, ID: ticket}, Received: time.Now()}
}

func (w *world) handle(t *testing.T, ticket int64) reconcile.Report {
	t.Helper()
	report, err := w.engine.Handle(t.Context(), w.connector, hints(ticket))
	if err != nil {
		t.Fatalf("ticket %d: %v", ticket, err)
	}
	return report
}

func (w *world) link(t *testing.T, ticket int64) item.Link {
	t.Helper()
	l, err := w.links.Get(t.Context(), name, ticket)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (w *world) status(t *testing.T, ticket int64) string {
	t.Helper()
	shown, ok := w.desk.Ticket(int(ticket))
	if !ok {
		t.Fatalf("ticket %d is gone", ticket)
	}
	return shown.Status
}

func (w *world) state(t *testing.T, workItem int64) string {
	t.Helper()
	shown, ok := w.boards.WorkItem(int(workItem))
	if !ok {
		t.Fatalf("work item %d is gone", workItem)
	}
	return shown.State
}

// writes counts what Tandem wrote to either system.
func (w *world) writes() int {
	_, desk := w.desk.WriteCounts()
	boards := 0
	for _, write := range w.boards.Writes() {
		if write.REST && write.By != "jana.dvorakova@contoso.com" {
			boards++
		}
	}
	return int(desk) + boards
}

// marked counts the work items that carry a ticket's mark.
func (w *world) marked(ticket int64) int {
	return len(w.boards.Tagged("ALVAO-" + strconv.FormatInt(ticket, 10)))
}

var errCut = errors.New("the process died here")

// cuts counts the effects of a round and dies at one of them, before or after it.
type cuts struct {
	mu     sync.Mutex
	count  int
	at     int
	before bool
	names  []string
	// first, by the name of an effect, is run once before it.
	first map[string]func()
}

// happens lets something happen just before an effect.
func (c *cuts) happens(what string, do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.first = map[string]func(){what: do}
}

func (c *cuts) arm(at int, before bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count, c.at, c.before, c.names = 0, at, before, nil
}

// effect runs one effect, or dies before or after it.
func effect[T any](c *cuts, what string, do func() (T, error)) (T, error) {
	c.mu.Lock()
	c.count++
	c.names = append(c.names, what)
	die := c.count == c.at
	first := c.first[what]
	delete(c.first, what)
	c.mu.Unlock()
	if first != nil {
		first()
	}
	var none T
	if die && c.before {
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

func (c cutLinks) Put(ctx context.Context, held lease.Lease, l item.Link, changes ...item.LinkChange) (item.Link, error) {
	return effect(c.cuts, "put link", func() (item.Link, error) { return c.Links.Put(ctx, held, l, changes...) })
}

func (c cutLinks) PutMirror(ctx context.Context, held lease.Lease, source string, mirror item.Mirror) error {
	_, err := effect(c.cuts, "put mirror", func() (struct{}, error) {
		return struct{}{}, c.Links.PutMirror(ctx, held, source, mirror)
	})
	return err
}

type cutTickets struct {
	*alvao.Client

	cuts *cuts
}

func (c cutTickets) SetStatus(ctx context.Context, ticket item.Ticket, status string) (item.Ticket, error) {
	return effect(c.cuts, string(plan.SetStatus), func() (item.Ticket, error) { return c.Client.SetStatus(ctx, ticket, status) })
}

func (c cutTickets) SetExternalID(ctx context.Context, ticket item.Ticket, value string) (item.Ticket, error) {
	return effect(c.cuts, string(plan.WriteExternalID), func() (item.Ticket, error) { return c.Client.SetExternalID(ctx, ticket, value) })
}

func (c cutTickets) AddRecord(ctx context.Context, ticket int64, record item.NewRecord) (item.Record, error) {
	return effect(c.cuts, "add record", func() (item.Record, error) { return c.Client.AddRecord(ctx, ticket, record) })
}

type cutWorkItems struct {
	*azuredevops.Client

	cuts *cuts
}

func (c cutWorkItems) Create(ctx context.Context, draft item.Draft) (item.WorkItem, error) {
	return effect(c.cuts, string(plan.Create), func() (item.WorkItem, error) { return c.Client.Create(ctx, draft) })
}

func (c cutWorkItems) SetState(ctx context.Context, id, rev int64, state string) (item.WorkItem, error) {
	return effect(c.cuts, string(plan.SetState), func() (item.WorkItem, error) { return c.Client.SetState(ctx, id, rev, state) })
}

func (c cutWorkItems) AddMark(ctx context.Context, id, rev int64, mark, url, text string) (item.WorkItem, error) {
	return effect(c.cuts, string(plan.Mark), func() (item.WorkItem, error) { return c.Client.AddMark(ctx, id, rev, mark, url, text) })
}

func (c cutWorkItems) AddComment(ctx context.Context, project string, id int64, text string, format item.TextFormat) (item.Comment, error) {
	return effect(c.cuts, "add comment", func() (item.Comment, error) { return c.Client.AddComment(ctx, project, id, text, format) })
}

func (c cutWorkItems) EditComment(ctx context.Context, project string, id, comment int64, text string, format item.TextFormat) (item.Comment, error) {
	return effect(c.cuts, "edit comment", func() (item.Comment, error) {
		return c.Client.EditComment(ctx, project, id, comment, text, format)
	})
}

func (c cutWorkItems) UploadFile(ctx context.Context, project string, file item.Upload) (string, error) {
	return effect(c.cuts, "upload file", func() (string, error) { return c.Client.UploadFile(ctx, project, file) })
}

func (c cutWorkItems) AttachFile(ctx context.Context, id, rev int64, address, comment string) (item.WorkItem, error) {
	return effect(c.cuts, "attach file", func() (item.WorkItem, error) { return c.Client.AttachFile(ctx, id, rev, address, comment) })
}

// slowToShow answers a change of status with the ticket as it was before, some times.
type slowToShow struct {
	reconcile.Tickets

	left int
}

func (s *slowToShow) SetStatus(ctx context.Context, ticket item.Ticket, status string) (item.Ticket, error) {
	now, err := s.Tickets.SetStatus(ctx, ticket, status)
	if err == nil && s.left > 0 {
		s.left--
		return ticket, nil
	}
	return now, err
}
