//go:build e2e && jaeger

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// jaeger is a running Jaeger.
type jaeger struct{ collector, query string }

// startJaeger starts the Jaeger that .ci/jaeger.sh builds; TANDEM_JAEGER names another.
func startJaeger(t *testing.T) jaeger {
	t.Helper()
	program := os.Getenv("TANDEM_JAEGER")
	if program == "" {
		program = "../../../.bin/jaeger"
	}
	free := func() string {
		var config net.ListenConfig
		listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
		return listener.Addr().String()
	}
	collector, query := free(), free()
	log, err := os.Create(filepath.Join(t.TempDir(), "jaeger.log"))
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(context.WithoutCancel(t.Context()), program, "--collector.otlp.grpc.host-port", collector, "--query.http-server.host-port", query,
		"--collector.otlp.http.host-port", free(), "--query.grpc-server.host-port", free(), "--collector.grpc-server.host-port", free(),
		"--collector.http-server.host-port", free(), "--admin.http.host-port", free())
	command.Env = []string{"SPAN_STORAGE_TYPE=memory", "OTEL_TRACES_SAMPLER=always_off", "PATH=" + os.Getenv("PATH")}
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		t.Fatalf("%v; make jaeger-test builds it", err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait() // killed: that is no error here
		if text, err := os.ReadFile(log.Name()); t.Failed() && err == nil {
			t.Logf("the end of Jaeger's log:\n%s", text[max(0, len(text)-3000):])
		}
		_ = log.Close()
	})
	j := jaeger{"http://" + collector, "http://" + query}
	await(t, patience, "Jaeger answers", func() (bool, string) {
		status, body := get(t, j.query+"/api/services")
		return status == http.StatusOK, body
	})
	return j
}

// seen is one trace as Jaeger's query API tells it.
type seen struct {
	Spans     []seenSpan                              `json:"spans"`
	Processes map[string]struct{ ServiceName string } `json:"processes"`
}

type seenSpan struct {
	TraceID       string   `json:"traceID"`
	ID            string   `json:"spanID"`
	OperationName string   `json:"operationName"`
	ProcessID     string   `json:"processID"`
	Warnings      []string `json:"warnings"`
	References    []struct {
		RefType string `json:"refType"`
		TraceID string `json:"traceID"`
		SpanID  string `json:"spanID"`
	} `json:"references"`
	Tags []struct {
		Key   string `json:"key"`
		Value any    `json:"value"`
	} `json:"tags"`
}

func (s seenSpan) tag(key string) string {
	for _, tag := range s.Tags {
		if tag.Key == key {
			return fmt.Sprint(tag.Value)
		}
	}
	return ""
}

// parent is the span's parent in its own trace; empty for a root. As Jaeger's own page
// does, it takes a FOLLOWS_FROM for one: that is what Jaeger makes of a parent that is
// linked to as well.
func (s seenSpan) parent() string {
	for _, kind := range []string{"CHILD_OF", "FOLLOWS_FROM"} {
		for _, r := range s.References {
			if r.RefType == kind && r.TraceID == s.TraceID {
				return r.SpanID
			}
		}
	}
	return ""
}

// trace asks for a trace until it is there as a whole: spans of two programs come in
// batches.
func (j jaeger) trace(t *testing.T, id string, whole func(seen) string) seen {
	t.Helper()
	var found seen
	await(t, patience, "the trace "+id+" in Jaeger", func() (bool, string) {
		status, body := get(t, j.query+"/api/traces/"+id)
		var answer struct {
			Data []seen `json:"data"`
		}
		if err := json.Unmarshal([]byte(body), &answer); status != http.StatusOK || err != nil || len(answer.Data) != 1 {
			return false, fmt.Sprintf("it answers %d %.300s", status, body)
		}
		found = answer.Data[0]
		if instead := found.hangsTogether(); instead != "" {
			return false, instead
		}
		instead := whole(found)
		return instead == "", instead
	})
	for _, s := range found.Spans {
		for _, warning := range s.Warnings {
			// What waits in the inbox begins after its parent has ended.
			if !strings.HasPrefix(warning, "clock skew adjustment disabled") {
				t.Errorf("Jaeger warns of the span %q: %s", s.OperationName, warning)
			}
		}
	}
	return found
}

// hangsTogether says what is wrong with the tree; empty: one root, no missing parent.
func (s seen) hangsTogether() string {
	ids := map[string]bool{}
	for _, one := range s.Spans {
		ids[one.ID] = true
	}
	roots := 0
	for _, one := range s.Spans {
		if parent := one.parent(); parent == "" {
			roots++
		} else if !ids[parent] {
			return fmt.Sprintf("the parent of %q is missing", one.OperationName)
		}
	}
	if roots != 1 {
		return fmt.Sprintf("there are %d roots: %s", roots, s)
	}
	return ""
}

// String lists the spans that have no parent, with what they refer to.
func (s seen) String() string {
	var b strings.Builder
	for _, one := range s.Spans {
		if one.parent() == "" {
			fmt.Fprintf(&b, "\n%s %q %v", s.Processes[one.ProcessID].ServiceName, one.OperationName, one.References)
		}
	}
	return b.String()
}

// count counts the spans of a service whose name and tags, given as key=value, are these.
func (s seen) count(service, name string, tags ...string) int {
	n := 0
next:
	for _, one := range s.Spans {
		if s.Processes[one.ProcessID].ServiceName != service || name != "" && one.OperationName != name {
			continue
		}
		for _, tag := range tags {
			if key, value, _ := strings.Cut(tag, "="); one.tag(key) != value {
				continue next
			}
		}
		n++
	}
	return n
}

// lacks tells which of the wanted spans are missing; each is given as service, name and
// tags.
func (s seen) lacks(wanted [][]string) string {
	for _, w := range wanted {
		if s.count(w[0], w[1], w[2:]...) == 0 {
			return fmt.Sprintf("no span %v", w)
		}
	}
	return ""
}

// TestJaeger asks a real Jaeger for the trace of one webhook, and for that of one whose
// first try fails.
func TestJaeger(t *testing.T) {
	t.Parallel()
	j := startJaeger(t)
	s := start(t, stack.Options{Collector: j.collector, Redis: redistest.Start(t).URL()})
	ticket, workItem := develop(t, s, "Follow me")
	rest(t, s)

	from := len(s.Core.Lines())
	setState(t, s, workItem, "Doing")
	awaitStatus(t, s, ticket, "Development pending", patience)
	writes := func(l stack.Line) bool {
		return l.Text("msg") == "sync.handled" && l.Text("system") == "alvao" && l.Number("writes") == 1
	}
	first := awaitLine(t, s.Core, from, "the served ticket", writes).Text("trace_id")
	reconcile := [][]string{
		{core, "reconcile"},
		{core, "PUT Alvao", "span.kind=client", "tandem.system=alvao"},
		{core, "GET Alvao", "span.kind=client"},
		{core, "GET Azure DevOps", "span.kind=client", "tandem.system=azureDevOps"},
		{core, "", "db.system=redis"},
	}
	whole := j.trace(t, first, func(tr seen) string {
		return tr.lacks(append([][]string{
			{gateway, "POST /hooks/azure-devops/{connector}", "span.kind=server"},
			{gateway, "tandem.v1.EventService/IngestEvent", "span.kind=client"},
			{core, "tandem.v1.EventService/IngestEvent", "span.kind=server"},
			{core, "append inbox", "span.kind=producer"},
			{core, "process inbox", "span.kind=consumer", "tandem.outcome=done"},
		}, reconcile...))
	})
	t.Logf("one webhook: %d spans", len(whole.Spans))

	rest(t, s)
	from = len(s.Core.Lines())
	if _, err := s.Box.Faults.Add(fault.Rule{ID: "away", Method: "PUT", Path: "/AlvaoRestApi/v1/tickets/*/state", Kind: fault.KindUnavailable}); err != nil {
		t.Fatal(err)
	}
	setState(t, s, workItem, "Done")
	failed := awaitLine(t, s.Core, from, "a failed try", func(l stack.Line) bool {
		return l.Text("msg") == "sync.handled" && l.Text("outcome") == "retry"
	}).Text("trace_id")
	s.Box.Faults.Remove("away")
	awaitStatus(t, s, ticket, "Testing", patience)
	retried := awaitLine(t, s.Core, from, "the try that helped", writes).Text("trace_id")
	if retried == failed {
		t.Fatal("the retry goes on in the trace of the first try")
	}
	before := j.trace(t, failed, func(tr seen) string {
		return tr.lacks([][]string{{gateway, "POST /hooks/azure-devops/{connector}"}, {core, "process inbox", "tandem.outcome=retry"}})
	})
	after := j.trace(t, retried, func(tr seen) string { return tr.lacks(reconcile) })
	linked := 0
	for _, one := range after.Spans {
		for _, r := range one.References {
			for _, earlier := range before.Spans {
				if r.TraceID == failed && r.SpanID == earlier.ID {
					linked++
				}
			}
		}
	}
	if linked == 0 {
		t.Error("no span of the retry's trace links to a span of the first try's")
	}
}
