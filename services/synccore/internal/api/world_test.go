package api_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/api"
	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/pushed"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// connectors are configured connectors: by name, the project that each covers.
type connectors struct {
	mu       sync.Mutex
	projects map[string]string
	// away tells that no connector has reached its project.
	away     bool
	findings []item.Finding
	able     []item.Capability
	checkErr error
	broken   api.Description
	brake    brake.State
	resync   item.Resync
	resyncs  []item.Resync
	drifts   []item.Drift
	repairs  []item.System
	vendor   error
	// links answers Link, tried holds what was last asked of Mappings.
	links    func(ticket, workItem int64, dry bool) (item.Link, error)
	tried    []any
	tryErr   error
	rendered api.Rendering
	compared api.Comparison
}

func (c *connectors) Link(_ context.Context, _ string, ticket, workItem int64, dry bool) (item.Link, error) {
	return c.links(ticket, workItem, dry)
}

func (c *connectors) Preview(_ context.Context, name string, ticket int64, sample *item.Ticket, message, settings string) (api.Rendering, error) {
	c.tried = []any{name, ticket, sample, message, settings}
	return c.rendered, c.tryErr
}

func (c *connectors) Examples(context.Context, string) ([]map[string]any, []map[string]any, error) {
	return []map[string]any{{"id": 7.0, "name": "Printer"}}, []map[string]any{{"id": 9.0, "fields": map[string]any{"System.Title": "Printer"}}}, c.tryErr
}

func (c *connectors) Compare(_ context.Context, name, settings string, since time.Time, most int) (api.Comparison, error) {
	c.tried = []any{name, settings, since, most}
	return c.compared, c.tryErr
}

func (c *connectors) Resync(_ context.Context, name string) (item.Resync, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name != "development" {
		return item.Resync{}, nil
	}
	return c.resync, nil
}

func (c *connectors) AskResync(_ context.Context, _, _ string) (item.Resync, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return item.Resync{ID: "asked", State: item.ResyncWaiting, Reason: item.ResyncAsked, Asked: c.resync.Began.Add(time.Hour)}, nil
}

func (c *connectors) Resyncs(context.Context, string) ([]item.Resync, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.resyncs), nil
}

func (c *connectors) ResyncOf(_ context.Context, _, id string) (item.Resync, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range c.resyncs {
		if one.ID == id {
			return one, nil
		}
	}
	return item.Resync{}, fault.New(fault.NotFound, "There is no resync %q.", id)
}

func (c *connectors) CancelResync(ctx context.Context, name, id string) (item.Resync, error) {
	one, err := c.ResyncOf(ctx, name, id)
	one.Cancelling = true
	return one, err
}

func (c *connectors) CheckDrift(_ context.Context, _ string, size int, token string) ([]item.Drift, int, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if token == "wrong" {
		return nil, 0, "", fault.New(fault.Invalid, "The page token is none.")
	}
	return c.drifts, size, "next", c.vendor
}

func (c *connectors) RepairDrift(_ context.Context, _ string, ticket int64, winner item.System) (api.Repaired, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.repairs = append(c.repairs, winner)
	if ticket == 409 {
		return api.Repaired{}, fault.New(fault.Conflict, "Another worker is changing it.")
	}
	return api.Repaired{Writes: 1, Outcome: "Both are in step.", Left: &item.Drift{Ticket: ticket}}, c.vendor
}

func (c *connectors) Brake(_ context.Context, name string) (brake.State, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name != "development" {
		return brake.State{}, nil
	}
	return c.brake, nil
}

func (c *connectors) Release(_ context.Context, _, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.brake.Exists() || c.brake.ID() != id {
		return fault.New(fault.Refused, "Nothing of the kind waits.")
	}
	c.brake.Released = c.brake.Since.Add(time.Hour)
	return nil
}

func (c *connectors) Describe(name string) (api.Description, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	project, ok := c.projects[name]
	if !ok {
		return api.Description{}, false
	}
	d := api.Description{
		Name: name, AlvaoService: "Development", AlvaoURL: "https://contoso.onalvao.com/AlvaoRestApi",
		AzureDevOpsURL: "https://dev.azure.com/contoso/" + project, StatusMap: []item.Pair{{State: "To Do", Status: "Development"}, {State: "Done", Status: "Testing"}},
	}
	if c.broken.Name == name {
		d.Unhealthy, d.UnhealthySince = c.broken.Unhealthy, c.broken.UnhealthySince
	}
	return d, true
}

func (c *connectors) DescribeAll() []api.Description {
	c.mu.Lock()
	names := make([]string, 0, len(c.projects))
	for name := range c.projects {
		names = append(names, name)
	}
	c.mu.Unlock()
	var all []api.Description
	for _, name := range names {
		if d, ok := c.Describe(name); ok {
			all = append(all, d)
		}
	}
	return all
}

func (c *connectors) Find(account, _, project string) ([]string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away {
		return nil, fault.New(fault.Unavailable, "Not reached yet.")
	}
	var names []string
	for name, covered := range c.projects {
		if covered == project && strings.Contains(account, "contoso") {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, fault.New(fault.NotFound, "No connector covers it.")
	}
	slices.Sort(names)
	return names, nil
}

func (c *connectors) Check(context.Context, string) ([]item.Finding, error) {
	return c.findings, c.checkErr
}

func (c *connectors) Capabilities(context.Context, string) ([]item.Capability, error) {
	return c.able, nil
}

// world is the three services behind a real gRPC server, over the real stores.
type world struct {
	conn       *grpc.ClientConn
	connectors *connectors
	inbox      *inbox.Inbox
	pushed     *pushed.Logs
	links      *link.Links
	leases     *lease.Leases
	now        time.Time

	events  tandemv1.EventServiceClient
	api     tandemv1.LinkServiceClient
	rooms   tandemv1.ConnectorServiceClient
	resyncs tandemv1.ResyncServiceClient
}

func setup(tb testing.TB) *world {
	tb.Helper()
	return setupOn(tb, redistest.Embedded(tb), inbox.Options{})
}

func setupOn(tb testing.TB, store *datastore.Store, options inbox.Options) *world {
	tb.Helper()
	queue, err := inbox.New(store, options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := queue.Close(); err != nil {
			tb.Error(err)
		}
	})
	w := &world{
		connectors: &connectors{projects: map[string]string{"development": "Alvaoproject", "infrastructure": "Infra"}},
		inbox:      queue, links: link.New(store), leases: lease.New(store), now: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC),
	}
	now := func() time.Time { return w.now }
	if w.pushed, err = pushed.New(store, pushed.Limits{}, now); err != nil {
		tb.Fatal(err)
	}
	server := grpc.NewServer()
	tandemv1.RegisterEventServiceServer(server, &api.EventService{
		Inbox: queue, Pushed: w.pushed, Connectors: w.connectors, Now: now,
		TraceParent: func(context.Context) string { return "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" },
	})
	tandemv1.RegisterLinkServiceServer(server, &api.LinkService{Links: w.links, Leases: w.leases, Inbox: queue, Connectors: w.connectors, Now: now})
	tandemv1.RegisterConnectorServiceServer(server, &api.ConnectorService{Connectors: w.connectors, Mappings: w.connectors, Now: now})
	tandemv1.RegisterResyncServiceServer(server, &api.ResyncService{Connectors: w.connectors, Resyncs: w.connectors})
	pipe := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(pipe) }()
	conn, err := grpc.NewClient("passthrough:///pipe", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := conn.Close(); err != nil {
			tb.Error(err)
		}
		server.Stop()
		if err := <-served; err != nil {
			tb.Errorf("serving: %v", err)
		}
	})
	w.conn = conn
	w.events, w.api, w.rooms = tandemv1.NewEventServiceClient(conn), tandemv1.NewLinkServiceClient(conn), tandemv1.NewConnectorServiceClient(conn)
	w.resyncs = tandemv1.NewResyncServiceClient(conn)
	return w
}

// refusal is what an error told a caller.
type refusal struct {
	code       codes.Code
	reason     string
	text       string
	violations []string
	retryAfter time.Duration
}

func refusalOf(tb testing.TB, err error) refusal {
	tb.Helper()
	st, ok := status.FromError(err)
	if !ok {
		tb.Fatalf("no status: %v", err)
	}
	r := refusal{code: st.Code(), text: st.Message()}
	for _, detail := range st.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() != "tandem.v1" {
				tb.Errorf("domain %q", d.GetDomain())
			}
			r.reason = d.GetReason()
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				if v.GetDescription() == "" {
					tb.Errorf("a violation of %s says nothing", v.GetField())
				}
				r.violations = append(r.violations, v.GetField())
			}
		case *errdetails.RetryInfo:
			r.retryAfter = d.GetRetryDelay().AsDuration()
		}
	}
	return r
}

// wantRefusal checks code, reason and the violated fields, all of them and in order.
func wantRefusal(tb testing.TB, err error, code codes.Code, reason string, violations ...string) {
	tb.Helper()
	r := refusalOf(tb, err)
	if r.code != code || r.reason != reason || !slices.Equal(r.violations, violations) || r.text == "" && code != codes.OK {
		tb.Errorf("got %s %s %v (%s), want %s %s %v", r.code, r.reason, r.violations, r.text, code, reason, violations)
	}
}

func (w *world) put(tb testing.TB, want item.Link, changes ...item.LinkChange) item.Link {
	tb.Helper()
	held, err := w.leases.Acquire(tb.Context(), link.TicketKey(want.Connector, want.Ticket), time.Minute)
	if err != nil {
		tb.Fatal(err)
	}
	known, err := w.links.Get(tb.Context(), want.Connector, want.Ticket)
	if err != nil {
		tb.Fatal(err)
	}
	want.Version = known.Version
	stored, err := w.links.Put(tb.Context(), held, want, changes...)
	if err != nil {
		tb.Fatal(err)
	}
	if err := w.leases.Release(tb.Context(), held); err != nil {
		tb.Fatal(err)
	}
	return stored
}

func (w *world) receive(tb testing.TB, n int) []inbox.Delivery {
	tb.Helper()
	deliveries, err := w.inbox.Receive(tb.Context(), n, time.Millisecond)
	if err != nil {
		tb.Fatal(err)
	}
	return deliveries
}
