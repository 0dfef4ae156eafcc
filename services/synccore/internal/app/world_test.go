package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/app"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const patience = 30 * time.Second

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

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// lines are the lines with that message.
func (l *log) lines(t *testing.T, message string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for text := range strings.Lines(l.String()) {
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

// world is both stand-ins and a folder with a configuration for them.
type world struct {
	*sandbox.Sandbox

	url, dir string
	log      *log
}

func setup(t *testing.T) *world {
	t.Helper()
	box, err := sandbox.New(sandbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	host := httptest.NewServer(box.Handler)
	box.SetBaseURL(host.URL)
	w := &world{Sandbox: box, url: host.URL, dir: t.TempDir(), log: &log{}}
	t.Cleanup(func() {
		box.Faults.Clear()
		host.Close()
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	box.AzureDevOps.AddProject(azuredevops.Project{Name: "Other"})
	w.write(t, "pat", sandbox.Token)
	w.write(t, "password", sandbox.Password)
	w.write(t, "hook", strings.Repeat("h", 40))
	w.write(t, "tandem.yaml", w.config("", "development"))
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// write puts a file into place as editors and orchestrators do.
func (w *world) write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(w.path(name+".new"), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(w.path(name+".new"), w.path(name)); err != nil {
		t.Fatal(err)
	}
}

// config is a configuration with those connectors.
func (w *world) config(head string, connectors ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "publicUrl: https://tandem.contoso.com\nhookSecrets: [{file: %s}]\naccessTokens: {\"0\": {file: %s}}\ncallers: {anonymous: admin, limit: {perSecond: 10000, burst: 10000}}\n%sconnectors:\n", w.path("hook"), w.path("pat"), head)
	for _, name := range connectors {
		// No two may join the same pair, or share a ticket's field.
		project, field := sandbox.Project, alvao.ExternalIDColumn
		if name != "development" {
			project, field = "Other", "TicketCategory"
		}
		fmt.Fprintf(&b, `  - name: %s
    pollInterval: 1h
    azureDevOps: {manageHooks: false}
    alvao: {url: "%s/AlvaoRestApi", service: Development, manageHooks: false, externalIdField: %s, credentials: {username: tandem, password: {file: %s}}}
    settings:
      {"ConnectorType": "AzureDevOps", "URL": "%s/azuredevops/contoso/%s", "AccessToken": "0",
       "AttributeMap": {"System.Title": "[$TicketTitle$]", "System.WorkItemType": "Task"},
       "StatusMap": {"To Do": "Development", "Doing": "Development pending", "Done": "Testing"}, "TicketReporter": "Default"}
`, name, w.url, field, w.path("password"), w.url, project)
	}
	return b.String()
}

func (w *world) ticket(t *testing.T, status string) int64 {
	t.Helper()
	made, err := w.Alvao.CreateTicket(t.Context(), alvao.Requester, alvao.NewTicket{
		Name: "Printer is on fire", Description: "<p>Smoke</p>", Service: "Development", Status: status,
	})
	if err != nil {
		t.Fatal(err)
	}
	return int64(made.ID)
}

// settings are those of a process with an embedded Redis on free ports.
func (w *world) settings(change ...func(*app.Config)) app.Config {
	cfg := app.Config{
		File: w.path("tandem.yaml"), Listen: "127.0.0.1:0", InsecureGRPC: true, AdminListen: "127.0.0.1:0", Redis: "embedded", RedisPrefix: "tandem:",
		Workers: 4, Grace: 10 * time.Second, SampleRatio: 1, LogLevel: "info", Version: "test",
	}
	for _, f := range change {
		f(&cfg)
	}
	return cfg
}

// process is an App that runs.
type process struct {
	*app.App

	events     tandemv1.EventServiceClient
	links      tandemv1.LinkServiceClient
	connectors tandemv1.ConnectorServiceClient
	conn       *grpc.ClientConn
	stop       context.CancelFunc
	ended      chan error
}

func (w *world) run(t *testing.T, change ...func(*app.Config)) *process {
	t.Helper()
	core, err := app.New(t.Context(), w.settings(change...), w.log)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := grpc.NewClient(core.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	p := &process{
		App: core, conn: conn, stop: stop, ended: make(chan error, 1),
		events: tandemv1.NewEventServiceClient(conn), links: tandemv1.NewLinkServiceClient(conn), connectors: tandemv1.NewConnectorServiceClient(conn),
	}
	done := make(chan struct{})
	go func() {
		p.ended <- core.Run(ctx)
		close(done)
	}()
	t.Cleanup(func() {
		w.Faults.Clear()
		stop()
		<-done
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// end stops the process and gives what Run returned and how long that took.
func (p *process) end(t *testing.T) (time.Duration, error) {
	t.Helper()
	began := time.Now()
	p.stop()
	select {
	case err := <-p.ended:
		return time.Since(began), err
	case <-time.After(patience):
		t.Fatal("it does not end")
		return 0, nil
	}
}

// get asks the admin server; 0 is no answer.
func (p *process) get(t *testing.T, path string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.AdminAddr()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// names lists the connectors that are ready.
func (w *world) ready(t *testing.T) func(names ...string) bool {
	t.Helper()
	return func(names ...string) bool {
		is := map[any]bool{}
		for _, line := range w.log.lines(t, "connector.ready") {
			is[line["connector"]] = true
		}
		for _, name := range names {
			if !is[name] {
				return false
			}
		}
		return true
	}
}

func (p *process) linked(t *testing.T, connector string, ticket int64) func() bool {
	t.Helper()
	return func() bool {
		got, err := p.links.GetLink(t.Context(), &tandemv1.GetLinkRequest{Name: fmt.Sprintf("connectors/%s/links/%d", connector, ticket)})
		return err == nil && got.GetLink().GetAgreedStatus() != ""
	}
}

// eventually waits for something that comes by itself.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.After(patience)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for !is() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatal("waited in vain until " + what)
		}
	}
}
