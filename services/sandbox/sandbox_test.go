package sandbox_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start serves a sandbox and returns it with its base URL.
func start(t *testing.T, o sandbox.Options) (*sandbox.Sandbox, string) {
	t.Helper()
	box, err := sandbox.New(o)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(box.Handler)
	box.SetBaseURL(srv.URL)
	t.Cleanup(func() {
		box.Page.Close()
		srv.Close()
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	return box, srv.URL
}

// client follows no redirect and keeps no connection.
func client() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func get(t *testing.T, url, login, password string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if password != "" {
		req.SetBasicAuth(login, password)
	}
	resp, err := client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(raw)
}

func TestOneListener(t *testing.T) {
	t.Parallel()
	box, base := start(t, sandbox.Options{})
	ticket, err := box.Alvao.CreateTicket(t.Context(), alvao.Requester, alvao.NewTicket{Name: "Printer"})
	if err != nil {
		t.Fatal(err)
	}
	item, err := box.AzureDevOps.As(alvao.Requester).Create(sandbox.Project, "Task", "Printer")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := box.ProjectURL(), base+"/azuredevops/contoso/Alvaoproject"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	id := strconv.Itoa(ticket.ID)
	for path, want := range map[string]int{
		"/": 200, "/sandbox/api/board": 200, "/AlvaoRestApi/v1/tickets/" + id: 200, "/alvaorestapi/V1/tickets/" + id: 200,
		"/azuredevops/contoso/_apis/wit/workitems/1?api-version=7.1": 200, "/nothing": 404,
		"/Alvao/Ticket/" + id: 302, "/azuredevops/contoso/Alvaoproject/_workitems/edit/" + strconv.Itoa(item.ID): 302,
	} {
		login, password := sandbox.Login, sandbox.Password
		if strings.HasPrefix(path, "/azuredevops") {
			login, password = "", sandbox.Token
		}
		if got, h, raw := get(t, base+path, login, password); got != want || want == 302 && !strings.Contains(h.Get("Location"), "/#") {
			t.Errorf("%s: got %d %v, want %d: %.200s", path, got, h, want, raw)
		}
	}
	if _, err := box.Faults.Add(fault.Rule{Path: "/AlvaoRestApi/**", Kind: fault.KindUnavailable}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/AlvaoRestApi/v1/tickets": 503, "/sandbox/api/tickets/" + id: 200} {
		if got, _, _ := get(t, base+path, sandbox.Login, sandbox.Password); got != want {
			t.Errorf("with a fault, %s: got %d, want %d", path, got, want)
		}
	}
}

// gateway stands for the real one: it checks credentials and keeps what came.
type gateway struct {
	*httptest.Server
	mu   sync.Mutex
	came []string
	more chan struct{}
}

func newGateway(t *testing.T) *gateway {
	t.Helper()
	g := &gateway{more: make(chan struct{}, 1000)}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var body struct {
			EventType string
			Event     string
			RequestID int
		}
		if err := json.Unmarshal(raw, &body); err != nil {
			t.Errorf("%v in %s", err, raw)
		}
		what := r.URL.Path + " " + body.EventType + body.Event
		if body.RequestID != 0 {
			what += "hint"
		}
		if _, password, ok := r.BasicAuth(); ok {
			what += " " + password[:8]
		}
		if sig := r.Header.Get("X-Tandem-Signature"); sig != "" {
			key, err := sandbox.HookKey(secret, "tandem/v1/hook/alvao-application/dev")
			if err != nil {
				t.Error(err)
			}
			if sig != alvao.Sign(key, r.Header.Get("X-Tandem-Timestamp"), raw) {
				t.Errorf("%s is signed wrong", what)
			}
			what += " signed"
		}
		g.mu.Lock()
		g.came = append(g.came, what)
		g.mu.Unlock()
		w.WriteHeader(http.StatusAccepted)
		g.more <- struct{}{}
	}))
	t.Cleanup(g.Close)
	return g
}

// wait returns what came, sorted, once it is n.
func (g *gateway) wait(t *testing.T, n int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for range n {
		select {
		case <-g.more:
		case <-ctx.Done():
			g.mu.Lock()
			defer g.mu.Unlock()
			t.Fatalf("only these came: %q", g.came)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	out := slices.Sorted(slices.Values(g.came))
	g.came = nil
	return out
}

const secret = "0123456789abcdef0123456789abcdef"

func TestConnect(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	box, _ := start(t, sandbox.Options{})
	other, _ := start(t, sandbox.Options{})
	if err := other.Connect(sandbox.Hooks{Gateway: g.URL, Connector: "dev", Secret: secret, AlvaoAlone: true}); err != nil || len(other.AzureDevOps.Subscriptions()) != 0 || len(other.Alvao.Webhooks()) == 0 {
		t.Errorf("%v, %+v", err, other.AzureDevOps.Subscriptions())
	}
	if err := box.Connect(sandbox.Hooks{Gateway: g.URL + "/", Connector: "dev", Secret: secret + "\n", Application: true}); err != nil {
		t.Fatal(err)
	}
	if n := len(box.AzureDevOps.Subscriptions()); n != sandbox.ServiceHooks {
		t.Errorf("there are %d subscriptions", n)
	}
	// Computed by another implementation of HKDF from the secret and the purposes.
	const password, token = "7914cf8062e2e660fd38bff2b70cc884a84f35e39dec959996dda57e1959526d", "ee109db69058d8b4a328fe822bbca689863519178e049d8b62e87262230047c6"
	if _, err := box.AzureDevOps.As(alvao.Solver).Create(sandbox.Project, "Task", "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := box.Alvao.CreateTicket(t.Context(), alvao.Requester, alvao.NewTicket{Name: "x"}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"/hooks/alvao/dev act.created signed",
		"/hooks/alvao/dev ticket.created signed",
		"/hooks/alvao/dev/" + token + " hint",
		"/hooks/azure-devops/dev workitem.created " + password[:8],
	}
	if diff := cmp.Diff(want, g.wait(t, len(want))); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []sandbox.Hooks{{}, {Gateway: g.URL, Connector: "dev", Secret: "short"}, {Gateway: "://", Connector: "dev", Secret: secret}} {
		if err := box.Connect(bad); err == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func TestConnectAsTheManualSays(t *testing.T) {
	t.Parallel()
	g := newGateway(t)
	box, _ := start(t, sandbox.Options{})
	if err := box.Connect(sandbox.Hooks{Gateway: g.URL, Connector: "dev", Secret: secret, Callback: true, Field: true}); err != nil {
		t.Fatal(err)
	}
	jana := box.AzureDevOps.As(alvao.Requester)
	item, err := jana.Create(sandbox.Project, "Task", "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jana.Comment(item.ID, "not told", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := jana.SetState(item.ID, "Doing"); err != nil {
		t.Fatal(err)
	}
	got := g.wait(t, 1)
	if diff := cmp.Diff([]string{"/AlvaoRestApi/Connectors/DevOpsCallback workitem.updated"}, got); diff != "" {
		t.Error(diff)
	}
	if hooks := box.Alvao.Webhooks(); len(hooks) != 1 || hooks[0].Topic != alvao.TopicField {
		t.Errorf("got %+v", hooks)
	}
}
