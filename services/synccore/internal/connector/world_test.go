package connector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	standfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/connector"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/origin"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
	"github.com/tandem-sync/tandem/services/synccore/internal/runs"
	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
	"github.com/tandem-sync/tandem/services/synccore/internal/worker"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const (
	name     = "development"
	patience = 30 * time.Second
)

// systems are both stand-ins behind one listener, with faults between them and a
// caller, and a record of who is calling.
type systems struct {
	desk   *standalvao.Server
	boards *standazure.Server
	faults *standfault.Set
	url    string
	calls  *calls
}

// calls counts requests by the system that they go to, and how many lists of tickets
// are being read at once.
type calls struct {
	mu            sync.Mutex
	count         map[string]int
	lists, crowds int
}

func (c *calls) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		system := strings.Split(r.URL.Path, "/")[1]
		isList := strings.HasSuffix(r.URL.Path, "/v1/tickets")
		c.mu.Lock()
		c.count[system]++
		if isList {
			c.count["lists"]++
			c.lists++
			c.crowds = max(c.crowds, c.lists)
		}
		c.mu.Unlock()
		defer func() {
			if isList {
				c.mu.Lock()
				c.lists--
				c.mu.Unlock()
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func (c *calls) of(system string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[system]
}

func startSystems(t *testing.T, boards standazure.Options) *systems {
	t.Helper()
	s := &systems{faults: standfault.NewSet(1), calls: &calls{count: map[string]int{}}}
	mux := http.NewServeMux()
	host := httptest.NewServer(s.calls.watch(s.faults.Middleware(mux)))
	s.url = host.URL
	t.Cleanup(func() {
		s.faults.Clear()
		host.Close()
	})
	boards.BaseURL = host.URL + "/azuredevops"
	s.boards = standazure.New(boards)
	t.Cleanup(func() {
		if err := s.boards.Close(); err != nil {
			t.Error(err)
		}
	})
	mux.Handle("/azuredevops/", http.StripPrefix("/azuredevops", s.boards))
	desk, err := standalvao.New(standalvao.Options{BaseURL: host.URL})
	if err != nil {
		t.Fatal(err)
	}
	s.desk = desk
	t.Cleanup(desk.Close)
	mux.Handle("/AlvaoRestApi/", desk)
	return s
}

func (s *systems) disturb(t *testing.T, rule standfault.Rule) {
	t.Helper()
	if _, err := s.faults.Add(rule); err != nil {
		t.Fatal(err)
	}
}

func (s *systems) ticket(t *testing.T, status string) int64 {
	t.Helper()
	made, err := s.desk.CreateTicket(t.Context(), standalvao.Requester, standalvao.NewTicket{
		Name: "Printer is on fire", Description: "<p>Smoke</p>", Service: "Development", Status: status,
	})
	if err != nil {
		t.Fatal(err)
	}
	return int64(made.ID)
}

// log is a log that may be read while it is written.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// lines are the lines with that message.
func (l *log) lines(t *testing.T, message string) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []map[string]any
	for text := range strings.Lines(l.text.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("log line %q: %v", text, err)
		}
		if line["msg"] == message {
			found = append(found, line)
		}
	}
	return found
}

// replica is one process: a Set with a worker over the shared store.
type replica struct {
	*systems

	set     *connector.Set
	store   *datastore.Store
	inbox   *inbox.Inbox
	links   *link.Links
	origins *origin.Origins
	log     *log
	ctx     context.Context
	dir     string
	// leave ends the replica before the test does.
	leave func()
	// ahead is how far the clock of the process is ahead.
	ahead atomic.Int64
}

func (r *replica) now() time.Time { return time.Now().Add(time.Duration(r.ahead.Load())) }

// tickets and workItems give the clients the shapes that connectors ask for.
type tickets struct{ *alvao.Client }

func (c tickets) InStatus(ctx context.Context, statuses []string) iter.Seq2[item.Ticket, error] {
	return c.Tickets(ctx, alvao.Query{Service: c.Service(), Statuses: statuses})
}

type workItems struct{ *azuredevops.Client }

func (c workItems) Prepare(ctx context.Context) error {
	_, err := c.Project(ctx)
	return err
}

func (c workItems) Check(ctx context.Context) []item.Finding {
	return c.Client.Check(ctx, azuredevops.Wants{Type: "Task"})
}

// marked counts writes by whether somebody waits for them.
type marked struct {
	http.RoundTripper

	calls *calls
}

func (m marked) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodPatch || r.Method == http.MethodPut {
		kind := "live writes"
		if outbound.IsBackground(r.Context()) {
			kind = "background writes"
		}
		m.calls.mu.Lock()
		m.calls.count[kind]++
		m.calls.mu.Unlock()
	}
	return m.RoundTripper.RoundTrip(r)
}

func (c workItems) CheckHooks(ctx context.Context) []item.Finding {
	return c.Client.CheckHooks(ctx, azuredevops.Wants{Connector: name})
}

func open(t *testing.T, calls *calls, secrets *secret.Store) func(config.Connector) (connector.Clients, error) {
	t.Helper()
	read := func(ref secret.Ref) func() (string, error) {
		return func() (string, error) {
			value, err := secrets.Get(ref)
			return value.Reveal(), err
		}
	}
	return func(cfg config.Connector) (connector.Clients, error) {
		connections := &http.Transport{}
		pool := marked{connections, calls}
		desk, err := alvao.New(alvao.Options{
			BaseURL: cfg.Alvao.URL, Service: cfg.Alvao.Service, Username: "tandem", Password: read(cfg.Alvao.Credentials.Ref),
			Base: pool, PerSecond: 10_000, Burst: 10_000,
		})
		if err != nil {
			return connector.Clients{}, err
		}
		boards, err := azuredevops.New(azuredevops.Options{ProjectURL: cfg.Rules.Project.URL(), Credential: azuredevops.PAT(read(cfg.Token.Ref)), Base: pool})
		if err != nil {
			return connector.Clients{}, err
		}
		return connector.Clients{
			Tickets: tickets{desk}, WorkItems: workItems{boards}, Close: connections.CloseIdleConnections,
			Hooks: boards, HookPassword: read(cfg.AzureDevOps.Hooks.Secret),
			DeskHooks: desk, DeskToken: read(cfg.Alvao.Hooks.Secret),
		}, nil
	}
}

func newReplica(t *testing.T, s *systems, store *datastore.Store, dir string, change ...func(*connector.Deps)) *replica {
	t.Helper()
	queue, err := inbox.New(store, inbox.Options{Visibility: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	r := &replica{systems: s, store: store, inbox: queue, links: link.New(store), origins: origin.New(store), log: &log{}, dir: dir}
	logger := slog.New(slog.NewJSONHandler(r.log, nil))
	leases := lease.New(store)
	deps := connector.Deps{
		Open:  open(t, s.calls, &secret.Store{}),
		Links: r.links, Leases: leases, Origins: r.origins, Inbox: queue, Runs: runs.New(store), Logger: logger, Now: r.now,
		Engine: reconcile.New(reconcile.Config{
			Links: r.links, Leases: leases, Origins: r.origins, Tracers: tracenoop.NewTracerProvider(), Now: time.Now,
		}),
		// Only asked for in these tests, so that the calls can be counted.
		ProbeEvery: time.Hour,
	}
	for _, f := range change {
		f(&deps)
	}
	r.set = connector.NewSet(deps)
	w, err := worker.New(worker.Config{
		Inbox: queue, Handler: r.set.Handle, Logger: logger, Tracers: tracenoop.NewTracerProvider(), Meters: metricnoop.NewMeterProvider(),
		Now: time.Now, Concurrency: 8, Grace: 5 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	r.ctx = ctx
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := w.Run(ctx); err != nil {
			t.Errorf("running: %v", err)
		}
	}()
	r.leave = sync.OnceFunc(func() {
		stop()
		<-ended
		r.set.Close()
	})
	t.Cleanup(func() {
		s.faults.Clear()
		r.leave()
		if err := queue.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func setup(t *testing.T, change ...func(*standazure.Options)) *replica {
	t.Helper()
	var boards standazure.Options
	for _, f := range change {
		f(&boards)
	}
	dir := t.TempDir()
	write(t, dir, "pat", "sandbox-pat")
	write(t, dir, "password", "tandem")
	return newReplica(t, startSystems(t, boards), redistest.Embedded(t), dir)
}

func write(t *testing.T, dir, file, content string) {
	t.Helper()
	// As administrators do: written beside, then renamed into place.
	path := filepath.Join(dir, file)
	if err := os.WriteFile(path+".new", []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

// settings are one connector's; change may alter them.
func (r *replica) settings(t *testing.T, name string, change ...func(*config.Connector, *mapping.Settings)) config.Connector {
	t.Helper()
	c := config.Connector{
		Name:         name,
		Alvao:        config.Alvao{URL: r.url + "/AlvaoRestApi", Service: "Development", Credentials: config.Credentials{Username: "tandem", Credential: config.Credential{Ref: secret.Ref{File: filepath.Join(r.dir, "password")}}}},
		Token:        config.Credential{Ref: secret.Ref{File: filepath.Join(r.dir, "pat")}},
		Rules:        mapping.Rules{Conflict: mapping.ConflictNewest, ExistingTickets: mapping.ExistingIgnore},
		PollInterval: time.Hour,
		Settings: mapping.Settings{
			ConnectorType: "AzureDevOps", URL: r.url + "/azuredevops/contoso/Alvaoproject", AccessToken: "0",
			AttributeMap: []mapping.AttributeText{{Field: "System.Title", Value: "[$TicketTitle$]"}, {Field: "System.WorkItemType", Value: "Task"}},
			StatusMap: []item.Pair{
				{State: "To Do", Status: "Development"}, {State: "Doing", Status: "Development pending"}, {State: "Done", Status: "Testing"},
			},
			TicketReporter: "Default",
		},
	}
	for _, f := range change {
		f(&c, &c.Settings)
	}
	rules, problems := mapping.Compile(c.Settings, mapping.Policy{Conflict: c.Rules.Conflict, ExistingTickets: c.Rules.ExistingTickets})
	if len(problems) > 0 {
		t.Fatalf("settings: %v", problems)
	}
	c.Rules = rules
	return c
}

func (r *replica) apply(t *testing.T, connectors ...config.Connector) {
	t.Helper()
	if err := r.set.Apply(r.ctx, &config.Config{Resync: config.Resync{Interval: time.Hour}, Connectors: connectors}); err != nil {
		t.Fatal(err)
	}
}

// ready waits until a connector is ready and has polled and resynced for the first
// time, so that none finds what a test does next.
func (r *replica) ready(t *testing.T, name string) {
	t.Helper()
	eventually(t, name+" is ready", func() bool {
		summary, ok := r.set.Get(name)
		if !ok || !summary.Ready {
			return false
		}
		for _, turn := range []string{"poll-at", "changes-at", "resync-at"} {
			if at, err := r.origins.Cursor(t.Context(), name, turn); err != nil || at == "" {
				return false
			}
		}
		return true
	})
}

func (r *replica) hint(t *testing.T, connector string, ticket int64) {
	t.Helper()
	_, err := r.inbox.Append(t.Context(), item.Event{
		Key: item.Key{Connector: connector, System: item.Alvao, ID: ticket}, Type: "test", Received: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *replica) link(t *testing.T, connector string, ticket int64) item.Link {
	t.Helper()
	l, err := r.links.Get(t.Context(), connector, ticket)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (r *replica) linked(t *testing.T, connector string, ticket int64) func() bool {
	t.Helper()
	return func() bool {
		l := r.link(t, connector, ticket)
		return l.State == item.LinkActive && l.WorkItem != 0 && l.Agreed.Status != ""
	}
}

func (r *replica) stats(t *testing.T) inbox.Stats {
	t.Helper()
	stats, err := r.inbox.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stats
}

// quiet waits until nothing is queued or running.
func (r *replica) quiet(t *testing.T) {
	t.Helper()
	eventually(t, "quiet", func() bool {
		stats := r.stats(t)
		return stats.QueuedLive+stats.QueuedBackground+stats.Running == 0
	})
}

func (r *replica) refused(name string) []item.System {
	summary, _ := r.set.Get(name)
	var systems []item.System
	for _, refusal := range summary.Refusals {
		systems = append(systems, refusal.System)
	}
	slices.Sort(systems)
	return systems
}

// eventually waits for something that comes by itself.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(patience)
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal("waited in vain until " + what)
		}
	}
}
