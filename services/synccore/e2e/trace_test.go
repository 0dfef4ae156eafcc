//go:build e2e

package e2e_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	trace "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

const (
	gateway = "tandem-gateway"
	core    = "tandem-synccore"
)

// tree is one trace.
type tree struct {
	t     *testing.T
	spans map[string]span
}

// want finds the one span below another (empty: the root) that has a service, name and
// kind, and attributes given as key=value.
func (tr tree) want(below, service, name string, kind trace.Span_SpanKind, attributes ...string) span {
	tr.t.Helper()
	found := tr.all(below, service, name, kind, attributes...)
	if len(found) != 1 {
		tr.t.Fatalf("%d spans %q of %s with %v below %q, want one; the trace:\n%s", len(found), name, service, attributes, tr.spans[below].GetName(), tr)
	}
	return found[0]
}

func (tr tree) all(below, service, name string, kind trace.Span_SpanKind, attributes ...string) []span {
	return slices.DeleteFunc(slices.Collect(maps.Values(tr.spans)), func(s span) bool {
		if s.parent() != below || s.service != service || s.GetName() != name || s.GetKind() != kind {
			return true
		}
		return slices.ContainsFunc(attributes, func(a string) bool {
			key, value, _ := strings.Cut(a, "=")
			return s.text(key) != value
		})
	})
}

// String draws the trace.
func (tr tree) String() string {
	var b strings.Builder
	var draw func(parent string, depth int)
	draw = func(parent string, depth int) {
		below := slices.DeleteFunc(slices.Collect(maps.Values(tr.spans)), func(s span) bool { return s.parent() != parent })
		slices.SortFunc(below, func(a, b span) int { return int(a.GetStartTimeUnixNano()) - int(b.GetStartTimeUnixNano()) })
		for _, s := range below {
			b.WriteString(strings.Repeat("  ", depth) + s.service + " " + s.GetKind().String()[len("SPAN_KIND_"):] + " " + s.GetName() + "\n")
			draw(s.id(), depth+1)
		}
	}
	draw("", 0)
	return b.String()
}

// whole fails unless all spans hang together below one root.
func (tr tree) whole() {
	tr.t.Helper()
	roots := 0
	for _, s := range tr.spans {
		if s.parent() == "" {
			roots++
		} else if _, ok := tr.spans[s.parent()]; !ok {
			tr.t.Errorf("the span %q of %s is an orphan: its parent %s is not in the trace", s.GetName(), s.service, s.parent())
		}
	}
	if roots != 1 {
		tr.t.Errorf("the trace has %d roots, want one:\n%s", roots, tr)
	}
}

// TestTrace follows one webhook of Azure DevOps from the gateway to Alvao, and then one
// whose first try fails.
func TestTrace(t *testing.T) {
	t.Parallel()
	sink := collect(t)
	s := start(t, stack.Options{Collector: sink.url})
	ticket, workItem := develop(t, s, "Follow me")
	rest(t, s)

	from := len(s.Core.Lines())
	setState(t, s, workItem, "Doing")
	awaitStatus(t, s, ticket, "Development pending", patience)
	first := awaitLine(t, s.Core, from, "the served ticket", func(l stack.Line) bool {
		return l.Text("msg") == "sync.handled" && l.Text("system") == "alvao" && l.Number("writes") == 1
	}).Text("trace_id")
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
	retried := awaitLine(t, s.Core, from, "the try that helped", func(l stack.Line) bool {
		return l.Text("msg") == "sync.handled" && l.Text("system") == "alvao" && l.Number("writes") == 1
	}).Text("trace_id")

	// Stopping sends what is left.
	if err := s.Gateway.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Core.Stop(); err != nil {
		t.Fatal(err)
	}

	tr := tree{t, sink.of(first)}
	t.Logf("one webhook:\n%s", tr)
	tr.whole()
	root := tr.want("", gateway, "POST /hooks/azure-devops/{connector}", trace.Span_SPAN_KIND_SERVER)
	client := tr.want(root.id(), gateway, "tandem.v1.EventService/IngestEvent", trace.Span_SPAN_KIND_CLIENT)
	server := tr.want(client.id(), core, "tandem.v1.EventService/IngestEvent", trace.Span_SPAN_KIND_SERVER)
	stored := tr.want(server.id(), core, "append inbox", trace.Span_SPAN_KIND_PRODUCER, "tandem.system=azureDevOps")
	item := tr.want(stored.id(), core, "process inbox", trace.Span_SPAN_KIND_CONSUMER, "tandem.system=azureDevOps", "tandem.outcome=forwarded")
	if item.number("tandem.item.id") != int64(workItem) {
		t.Errorf("the work item served is %d, want %d", item.number("tandem.item.id"), workItem)
	}
	served := tr.want(stored.id(), core, "process inbox", trace.Span_SPAN_KIND_CONSUMER, "tandem.system=alvao", "tandem.outcome=done")
	reconcile := tr.want(served.id(), core, "reconcile", trace.Span_SPAN_KIND_INTERNAL)
	tr.want(reconcile.id(), core, "PUT Alvao", trace.Span_SPAN_KIND_CLIENT, "tandem.system=alvao")
	if n := len(tr.all(reconcile.id(), core, "GET Azure DevOps", trace.Span_SPAN_KIND_CLIENT)); n != 2 {
		t.Errorf("%d reads of Azure DevOps, want those of the work item and of its comments", n)
	}
	if n := len(tr.all(reconcile.id(), core, "GET Alvao", trace.Span_SPAN_KIND_CLIENT)); n < 2 || n > 3 {
		t.Errorf("%d reads of Alvao, want those of the ticket and of its log, and perhaps of the status once written", n)
	}
	// Redis is seen where something is stored, looked up and remembered.
	for _, below := range []span{stored, item, served, reconcile} {
		if !slices.ContainsFunc(slices.Collect(maps.Values(tr.spans)), func(s span) bool {
			return s.parent() == below.id() && (s.text("db.system") == "redis" || s.text("db.system.name") == "redis")
		}) {
			t.Errorf("no Redis command below %q:\n%s", below.GetName(), tr)
		}
	}

	before := tree{t, sink.of(failed)}
	before.whole()
	before.want("", gateway, "POST /hooks/azure-devops/{connector}", trace.Span_SPAN_KIND_SERVER)
	after := tree{t, sink.of(retried)}
	t.Logf("the retry:\n%s", after)
	after.whole()
	if failed == retried {
		t.Fatal("the retry goes on in the trace of the first try")
	}
	again := after.want("", core, "process inbox", trace.Span_SPAN_KIND_CONSUMER, "tandem.outcome=done")
	if again.number("tandem.attempt") == 0 {
		t.Error("the retry's span tells of no attempt before")
	}
	links := 0
	for _, link := range again.GetLinks() {
		if (span{Span: &trace.Span{TraceId: link.GetTraceId()}}).trace() == failed {
			links++
			if _, ok := before.spans[(span{Span: &trace.Span{SpanId: link.GetSpanId()}}).id()]; !ok {
				t.Error("the link leads to no span of the first trace")
			}
		}
	}
	if links == 0 {
		t.Errorf("the retry's trace does not link to the first one: %v", again.GetLinks())
	}
	after.want(after.want(again.id(), core, "reconcile", trace.Span_SPAN_KIND_INTERNAL).id(), core, "PUT Alvao", trace.Span_SPAN_KIND_CLIENT)
}
