//go:build e2e

package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"

	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// asker calls the REST API and remembers which operations it called.
type asker struct {
	t      *testing.T
	s      *stack.Stack
	called map[string]bool
	// answers are all bodies that came.
	answers strings.Builder
}

// ask calls an operation, which must answer with the status, and decodes the answer.
func (a *asker) ask(operation, method, path, body string, want int) map[string]any {
	a.t.Helper()
	a.called[operation] = true
	status, answer, header := send(a.t, method, a.s.GatewayURL+path, body, nil)
	a.answers.WriteString(answer)
	if status != want {
		a.t.Errorf("%s %s answers %d %s, want %d", method, path, status, answer, want)
	}
	kind := "application/json"
	if want >= http.StatusBadRequest {
		kind = "application/problem+json"
	}
	if got := header.Get("Content-Type"); got != kind {
		a.t.Errorf("%s %s answers %s, want %s", method, path, got, kind)
	}
	var decoded map[string]any
	if err := json.Unmarshal([]byte(answer), &decoded); err != nil {
		a.t.Fatalf("%s %s answers %s: %v", method, path, answer, err)
	}
	return decoded
}

// at follows keys and indices into a decoded answer; nil if there is nothing.
func at(value any, steps ...any) any {
	for _, step := range steps {
		switch step := step.(type) {
		case string:
			object, _ := value.(map[string]any)
			value = object[step]
		case int:
			list, _ := value.([]any)
			if step >= len(list) {
				return nil
			}
			value = list[step]
		}
	}
	return value
}

// list is a list in a decoded answer; empty if there is none.
func list(value any, key string) []any {
	values, _ := at(value, key).([]any)
	return values
}

// TestREST calls every method that there is through the gateway.
func TestREST(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{})
	a := &asker{t: t, s: s, called: map[string]bool{}}
	ticket, workItem := develop(t, s, "Ask for me")
	rest(t, s)
	const parent = "/v1/connectors/development"
	link := fmt.Sprintf("%s/links/%d", parent, ticket)
	check := func(what string, got, want any) {
		t.Helper()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}

	all := a.ask("ConnectorService_ListConnectors", http.MethodGet, "/v1/connectors", "", 200)
	check("the connector listed", at(all, "connectors", 0, "name"), "connectors/development")
	one := a.ask("ConnectorService_GetConnector", http.MethodGet, parent, "", 200)
	check("its health", at(one, "connector", "healthy"), true)
	check("its second pair", at(one, "connector", "statusMap", 1, "status"), "Development pending")
	problem := a.ask("ConnectorService_GetConnector", http.MethodGet, "/v1/connectors/nobody", "", 404)
	check("the reason", at(problem, "reason"), "UNKNOWN_CONNECTOR")
	check("its brake", at(one, "connector", "brake"), nil)
	problem = a.ask("ConnectorService_ReleaseConnector", http.MethodPost, parent+":release", `{"brakeId": "nothing"}`, 400)
	check("the reason", at(problem, "reason"), "NOT_BRAKED")
	problem = a.ask("ConnectorService_ResyncConnector", http.MethodPost, "/v1/connectors/nobody:resync", "{}", 404)
	check("the reason", at(problem, "reason"), "UNKNOWN_CONNECTOR")
	asked := fmt.Sprint(at(a.ask("ConnectorService_ResyncConnector", http.MethodPost, parent+":resync", "{}", 200), "requestTime"))
	await(t, patience, "the resync that was asked for", func() (bool, string) {
		latest := at(a.ask("ConnectorService_GetConnector", http.MethodGet, parent, "", 200), "connector", "resync")
		return at(latest, "requestTime") == asked && at(latest, "endTime") != nil, fmt.Sprint(latest)
	})
	resync := fmt.Sprint(at(a.ask("ResyncService_StartResync", http.MethodPost, parent+"/resyncs", "{}", 200), "resync", "name"))
	await(t, patience, "the resync that was started", func() (bool, string) {
		got := at(a.ask("ResyncService_GetResync", http.MethodGet, "/v1/"+resync, "", 200), "resync")
		return at(got, "state") == "STATE_SUCCEEDED", fmt.Sprint(got)
	})
	check("the newest resync", at(a.ask("ResyncService_ListResyncs", http.MethodGet, parent+"/resyncs", "", 200), "resyncs", 0, "name"), resync)
	check("one that has ended", at(a.ask("ResyncService_CancelResync", http.MethodPost, "/v1/"+resync+":cancel", "{}", 200), "resync", "state"), "STATE_SUCCEEDED")
	problem = a.ask("ResyncService_CancelResync", http.MethodPost, parent+"/resyncs/none:cancel", "{}", 404)
	check("the reason", at(problem, "reason"), "UNKNOWN_RESYNC")
	rest(t, s)
	check("what was compared", at(a.ask("ResyncService_CheckDrift", http.MethodGet, parent+"/drifts", "", 200), "comparedCount"), 1)
	check("what was repaired", at(a.ask("ResyncService_RepairDrift", http.MethodPost, link+":repair", `{"winner":"WINNER_ALVAO"}`, 200), "writeCount"), 0)
	findings := a.ask("ConnectorService_CheckConnector", http.MethodPost, parent+":check", "{}", 200)
	for _, f := range list(findings, "findings") {
		if at(f, "severity") == "SEVERITY_ERROR" {
			t.Errorf("the check finds %v", f)
		}
	}

	check("the link's work item", at(a.ask("LinkService_GetLink", http.MethodGet, link, "", 200), "link", "workItemId"), workItem)
	check("the reason", at(a.ask("LinkService_GetLink", http.MethodGet, parent+"/links/999999", "", 404), "reason"), "UNKNOWN_LINK")
	check("the link listed", at(a.ask("LinkService_ListLinks", http.MethodGet, parent+"/links?page_size=5", "", 200), "links", 0, "ticketId"), ticket)
	history := a.ask("LinkService_ListLinkHistory", http.MethodGet, link+"/history", "", 200)
	if n := len(list(history, "changes")); n == 0 {
		t.Error("the history is empty")
	}
	from := len(s.Core.Lines())
	number := strconv.Itoa(ticket)
	askMappings(a, parent, number)
	check("the newest link", at(a.ask("LinkService_ListLinks", http.MethodGet, parent+"/links?filter=state%20%3D%20ACTIVE&orderBy=update_time%20desc&readMask=name", "", 200), "links", 0, "name"),
		"connectors/"+stack.Connector+"/links/"+number)
	check("the violation", at(a.ask("LinkService_ListLinks", http.MethodGet, parent+"/links?filter=reason%20%3D%20x", "", 400), "violations", 0, "field"), "filter")
	explained := a.ask("LinkService_ExplainLink", http.MethodGet, link+":explain", "", 200)
	check("the explained ticket", at(explained, "ticketId"), ticket)
	if at(explained, "decisions", 0, "rules", 0, "rule") == nil || at(explained, "decisions", 0, "traceId") == "" {
		t.Errorf("nothing is explained: %v", explained)
	}
	check("the explained work item's ticket", at(a.ask("LinkService_ExplainLink2", http.MethodGet, parent+"/workItems/"+strconv.Itoa(workItem)+":explain", "", 200), "ticketId"), ticket)
	a.ask("LinkService_ExplainLink3", http.MethodGet, parent+"/events/nothing:explain", "", 404)
	askWatch(a, parent, number)
	refusedPair := a.ask("LinkService_CreateLink", http.MethodPost, parent+"/links", `{"ticketId": "`+number+`", "workItemId": "999999"}`, 409)
	check("the reason", at(refusedPair, "reason"), "LINK_EXISTS")
	askResyncs(a, parent)
	a.ask("LinkService_SyncLink", http.MethodPost, link+":sync", "{}", 200)
	awaitLine(t, s.Core, from, "the look", func(l stack.Line) bool {
		return l.Text("msg") == "sync.handled" && l.Text("event_type") == "sync" && l.Text("outcome") == "done"
	})

	a.ask("LinkService_DeleteLink", http.MethodDelete, link, "", 200)
	check("the reason", at(a.ask("LinkService_GetLink", http.MethodGet, link, "", 404), "reason"), "UNKNOWN_LINK")

	ingested := a.ask("EventService_IngestEvent", http.MethodPost, "/v1/events:ingest",
		fmt.Sprintf(`{"connector":"development","system":"SYSTEM_ALVAO","itemId":"%d","eventId":"by-hand"}`, ticket), 200)
	check("the event", at(ingested, "disposition"), "DISPOSITION_STORED")
	refused := a.ask("EventService_IngestEvent", http.MethodPost, "/v1/events:ingest", `{"system":"SYSTEM_ALVAO","revision":"-1"}`, 400)
	if n := len(list(refused, "violations")); n != 3 {
		t.Errorf("%d violations are told, want all 3: %v", n, refused)
	}
	a.ask("EventService_IngestEvent", http.MethodPost, "/v1/events:ingest", `{"itemID":1}`, 400)

	// A change that can't be made becomes a dead letter, which can be looked at and
	// played again once the cause is gone.
	if _, err := s.Box.Faults.Add(fault.Rule{ID: "no", Method: "POST", Path: "/azuredevops/**/workitems/$*", Kind: fault.KindStatus, Status: 400, Body: `{"message":"VS402625: planted"}`}); err != nil {
		t.Fatal(err)
	}
	doomed := open(t, s, "Doomed")
	setStatus(t, s, doomed, "Development")
	var dead map[string]any
	await(t, patience, "a dead letter", func() (bool, string) {
		dead = a.ask("EventService_ListEvents", http.MethodGet, parent+"/events?state=STATE_DEAD", "", 200)
		return at(dead, "events", 0) != nil, "there is none"
	})
	name := fmt.Sprint(at(dead, "events", 0, "name"))
	letter := a.ask("EventService_GetEvent", http.MethodGet, "/v1/"+name, "", 200)
	check("the letter's item", at(letter, "event", "itemId"), doomed)
	check("the letter's state", at(letter, "event", "state"), "STATE_DEAD")
	if reason := fmt.Sprint(at(letter, "event", "reason")); len(reason) < 20 || !strings.Contains(reason, "planted") {
		t.Errorf("the letter's reason is %q", reason)
	}
	if id := fmt.Sprint(at(letter, "event", "traceId")); len(id) != 32 {
		t.Errorf("the letter's trace is %q", id)
	}
	if n := sample(metrics(t, s.CoreAdmin), "tandem_inbox_items", `state="dead"`); n != 1 {
		t.Errorf("the metric counts %v dead letters, want 1", n)
	}
	s.Box.Faults.Remove("no")
	a.ask("EventService_ReplayEvent", http.MethodPost, "/v1/"+name+":replay", "{}", 200)
	awaitPair(t, s, doomed)
	a.ask("EventService_GetEvent", http.MethodGet, parent+"/events/nothing", "", 404)

	// Nothing that the document names was left out.
	status, body := get(t, s.GatewayURL+"/openapi.json")
	if status != http.StatusOK {
		t.Fatalf("the document answers %d", status)
	}
	var document struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		} `json:"paths"`
	}
	if err := json.Unmarshal([]byte(body), &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Paths) < 10 {
		t.Errorf("the document names %d paths", len(document.Paths))
	}
	for path, methods := range document.Paths {
		for method, operation := range methods {
			if !a.called[operation.OperationID] {
				t.Errorf("%s %s (%s) was not called here", method, path, operation.OperationID)
			}
		}
	}
}

// TestGRPC asks for what tools ask: reflection and health.
func TestGRPC(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{})
	conn, err := grpc.NewClient(s.CoreAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{ListServices: "*"},
	}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, service := range answer.GetListServicesResponse().GetService() {
		names = append(names, service.GetName())
	}
	for _, want := range []string{"tandem.v1.EventService", "tandem.v1.LinkService", "tandem.v1.ConnectorService", "grpc.health.v1.Health"} {
		if !slices.Contains(names, want) {
			t.Errorf("reflection names %v, not %s", names, want)
		}
	}
	if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "tandem.v1.LinkService.GetLink"},
	}); err != nil {
		t.Fatal(err)
	}
	if answer, err = stream.Recv(); err != nil || len(answer.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("reflection describes no method: %v %v", answer, err)
	}
	await(t, patience, "gRPC health", func() (bool, string) {
		health, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
		return err == nil && health.GetStatus() == healthpb.HealthCheckResponse_SERVING, fmt.Sprint(health, err)
	})
	for _, admin := range []string{s.GatewayAdmin, s.CoreAdmin} {
		for _, path := range []string{"/health/live", "/health/ready"} {
			await(t, patience, admin+path, func() (bool, string) {
				status, body := get(t, admin+path)
				return status == http.StatusOK, fmt.Sprintf("it answers %d %s", status, body)
			})
		}
		if status, _, _ := exchange(t, http.MethodGet, admin+"/v1/connectors", "", nil); status != http.StatusNotFound {
			t.Errorf("the admin port serves the API: %d", status)
		}
	}
	for _, path := range []string{"/metrics", "/health/ready"} {
		if status, _ := get(t, s.GatewayURL+path); status != http.StatusNotFound {
			t.Errorf("the public port serves %s: %d", path, status)
		}
	}
}

// TestMetrics: what an operator watches is there after a little work.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{})
	ticket, workItem := develop(t, s, "Count me")
	setState(t, s, workItem, "Doing")
	awaitStatus(t, s, ticket, "Development pending", patience)
	rest(t, s)
	event := updated("0b6a2b59-1e3f-4c11-8f5a-0000000000ee", 1, workItem)
	for range 2 {
		send(t, http.MethodPost, hookURL(s), event, genuine(t, s))
	}
	send(t, http.MethodPost, hookURL(s), event, nil)
	rest(t, s)

	edge, inner := metrics(t, s.GatewayAdmin), metrics(t, s.CoreAdmin)
	for _, c := range []struct {
		samples map[string]float64
		name    string
		labels  []string
		least   float64
	}{
		{edge, "tandem_webhooks_total", []string{`source="azure-devops"`, `result="stored"`}, 2},
		{edge, "tandem_webhooks_total", []string{`source="azure-devops"`, `result="duplicate"`}, 1},
		{edge, "tandem_webhooks_total", []string{`source="azure-devops"`, `result="unauthorized"`}, 1},
		{edge, "tandem_webhooks_total", []string{`source="alvao"`, `result="stored"`}, 2},
		{edge, "tandem_webhook_duration_seconds_count", nil, 5},
		{inner, "tandem_reconciles_total", []string{`outcome="done"`, `connector="development"`}, 2},
		{inner, "tandem_reconciles_total", []string{`outcome="forwarded"`}, 1},
		{inner, "tandem_convergence_duration_seconds_count", []string{`connector="development"`, `direction="toAzureDevOps"`, `work="live"`}, 1},
		{inner, "tandem_convergence_duration_seconds_count", []string{`connector="development"`, `direction="toAlvao"`, `work="live"`}, 1},
		{inner, "tandem_inbox_items", []string{`state="dead"`}, 0},
		{inner, "tandem_inbox_items", []string{`state="queued_live"`}, 0},
		{inner, "tandem_inbox_age_seconds", nil, 0},
		{inner, "tandem_connectors_unhealthy", []string{`connector="development"`}, 0},
		{inner, "tandem_connectors_braked", []string{`connector="development"`}, 0},
		{inner, "http_client_request_duration_seconds_count", []string{`tandem_system="alvao"`, `http_request_method="PUT"`, `http_response_status_code="20`}, 1},
		{inner, "http_client_request_duration_seconds_count", []string{`tandem_system="azureDevOps"`, `http_request_method="POST"`, `http_response_status_code="200"`}, 1},
		{inner, "tandem_limiter_wait_seconds_count", []string{`tandem_system="alvao"`, `connector="development"`}, 3},
		{inner, "tandem_limiter_wait_seconds_count", []string{`tandem_system="azureDevOps"`, `work="live"`}, 3},
		{inner, "tandem_limiter_pause_seconds", []string{`tandem_system="azureDevOps"`}, 0},
		{inner, "tandem_limiter_in_flight", []string{`tandem_system="azureDevOps"`}, 0},
	} {
		found := false
		for key := range c.samples {
			found = found || strings.HasPrefix(key, c.name+"{")
		}
		if got := sample(c.samples, c.name, c.labels...); !found || got < c.least {
			t.Errorf("%s%v is %v (found %v), want at least %v", c.name, c.labels, got, found, c.least)
		}
	}
}

// TestStop: both end with 0 within the grace time, with work in hand too.
func TestStop(t *testing.T) {
	t.Parallel()
	s := start(t, stack.Options{CoreArgs: []string{"--grace", "2s"}, GatewayArgs: []string{"--grace", "2s"}})
	develop(t, s, "Goodbye")
	slow(t, s)
	send(t, http.MethodPost, hookURL(s), updated("0b6a2b59-1e3f-4c11-8f5a-0000000000ff", 1, 1), genuine(t, s))
	await(t, patience, "work in hand", func() (bool, string) {
		n := sample(metrics(t, s.CoreAdmin), "tandem_inbox_items", `state="running"`)
		return n > 0, "there is none"
	})
	for _, p := range []*stack.Program{s.Gateway, s.Core} {
		began := time.Now()
		if err := p.Stop(); err != nil {
			t.Errorf("%s ended with %v", filepath.Base(p.File()), err)
		}
		// The grace time, and what closing and flushing takes.
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("%s took %s", filepath.Base(p.File()), took)
		}
	}
}

// TestStopWithHungRedis: a Redis that is there and does not answer can't keep sync-core
// from ending.
func TestStopWithHungRedis(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	s := start(t, stack.Options{Redis: redis.URL(), CoreArgs: []string{"--grace", "2s"}})
	ticket, _ := develop(t, s, "Goodbye")
	slow(t, s)
	setStatus(t, s, ticket, "Testing")
	await(t, patience, "work in hand", func() (bool, string) {
		n := sample(metrics(t, s.CoreAdmin), "tandem_inbox_items", `state="running"`)
		return n > 0, "there is none"
	})
	redis.Pause(t)
	began := time.Now()
	if err := s.Core.Stop(); err != nil {
		t.Errorf("sync-core ended with %v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("sync-core took %s", took)
	} else {
		t.Logf("sync-core took %s", took.Round(time.Millisecond))
	}
	redis.Resume(t)
	// What was in hand is taken up again.
	s.Box.Faults.Clear()
	if err := s.StartCore(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitState(t, s, pairOf(s, ticket), "Done", recovery)
}

// TestRefusesToStart: what would lose data or can't work is refused with a sentence.
func TestRefusesToStart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := filepath.Join(dir, "broken.yaml")
	if err := os.WriteFile(broken, []byte("publicUrl: nowhere\nconnectors: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"sync-core with a broken file": {[]string{"synccore", "serve", "--config", broken, "--insecure-grpc", "--redis", "embedded", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, "broken.yaml:1:12: publicUrl"},
		"a check of a broken file":     {[]string{"synccore", "check-config", broken}, "broken.yaml:1:12: publicUrl"},
		"the gateway without a secret": {[]string{"gateway", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, "no hook secret is given"},
	} {
		command := exec.CommandContext(t.Context(), filepath.Join(programs, c.args[0]), c.args[1:]...)
		out, err := command.CombinedOutput()
		if err == nil || !strings.Contains(string(out), c.want) {
			t.Errorf("%s: %v\n%s\nwant an error with %q", name, err, out, c.want)
		}
	}
}

// askMappings tries settings on the ticket.
func askMappings(a *asker, parent, ticket string) {
	a.t.Helper()
	preview := a.ask("ConnectorService_PreviewWorkItem", http.MethodPost, parent+":preview", `{"ticketId": "`+ticket+`"}`, 200)
	if at(preview, "type") != "Task" || at(preview, "fields", 0, "reference") != "System.Title" {
		a.t.Errorf("previewed %v", preview)
	}
	examples := a.ask("ConnectorService_ListExamples", http.MethodGet, parent+"/examples", "", 200)
	if at(examples, "tickets", 0, "id") == nil || at(examples, "workItems", 0, "fields", "System.Title") == nil {
		a.t.Errorf("examples %v", examples)
	}
	draft := strings.Replace(fmt.Sprintf(stack.Settings, a.s.Box.ProjectURL()), `[$TicketTitle$]`, `Ticket: [$TicketTitle$]`, 1)
	body, err := json.Marshal(map[string]any{"settings": draft})
	if err != nil {
		a.t.Fatal(err)
	}
	diff := a.ask("ConnectorService_DiffMapping", http.MethodPost, parent+":diff", string(body), 200)
	if at(diff, "differences", 0, "field") != "System.Title" || at(diff, "differingCount") == float64(0) {
		a.t.Errorf("diff %v", diff)
	}
	wrong := a.ask("ConnectorService_DiffMapping", http.MethodPost, parent+":diff", `{"settings": "{}"}`, 400)
	if at(wrong, "violations", 1) == nil {
		a.t.Errorf("of empty settings %v", wrong)
	}
}

// askWatch has a change told by a watch.
func askWatch(a *asker, parent, ticket string) {
	a.t.Helper()
	a.called["LinkService_WatchLinks"] = true
	ctx, cancel := context.WithTimeout(a.t.Context(), patience)
	defer cancel()
	// From the beginning: the link was made before.
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, a.s.GatewayURL+parent+"/links:watch?resumeToken=0-0", nil)
	if err != nil {
		a.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		a.t.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if strings.Contains(lines.Text(), `"ticketId":"`+ticket+`"`) {
			return
		}
	}
	a.t.Errorf("the watch answers %s and does not tell of ticket %s", response.Status, ticket)
}

// askResyncs asks for a resync and compares one page.
func askResyncs(a *asker, parent string) {
	a.t.Helper()
	name, _ := at(a.ask("ResyncService_StartResync", http.MethodPost, parent+"/resyncs", "{}", 200), "resync", "name").(string)
	a.ask("ResyncService_GetResync", http.MethodGet, "/v1/"+name, "", 200)
	a.ask("ResyncService_ListResyncs", http.MethodGet, parent+"/resyncs", "", 200)
	a.ask("ResyncService_CancelResync", http.MethodPost, parent+"/resyncs/nothing:cancel", "{}", 404)
	a.ask("ResyncService_CheckDrift", http.MethodGet, parent+"/drifts", "", 200)
	a.ask("ResyncService_RepairDrift", http.MethodPost, parent+"/links/999999:repair", `{"winner": "WINNER_ALVAO"}`, 200)
}
