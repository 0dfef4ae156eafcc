//go:build e2e

package e2e_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// sink is an OTLP collector that keeps what it is sent.
type sink struct {
	collector.UnimplementedTraceServiceServer

	mu    sync.Mutex
	spans []span
}

// span is a span with the service that made it.
type span struct {
	*tracepb.Span

	service string
}

func (s span) id() string     { return hex.EncodeToString(s.GetSpanId()) }
func (s span) parent() string { return hex.EncodeToString(s.GetParentSpanId()) }
func (s span) trace() string  { return hex.EncodeToString(s.GetTraceId()) }

func (s span) attribute(key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return strings.Trim(fmt.Sprint(a.GetValue().GetValue()), "{}&")
		}
	}
	return ""
}

// Export implements the collector's service.
func (s *sink) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, resource := range req.GetResourceSpans() {
		service := ""
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, one := range scope.GetSpans() {
				s.spans = append(s.spans, span{one, service})
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// all are the spans so far that match.
func (s *sink) all(match func(span) bool) []span {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []span
	for _, one := range s.spans {
		if match(one) {
			found = append(found, one)
		}
	}
	return found
}

func startSink(t *testing.T) (*sink, string) {
	t.Helper()
	var listen net.ListenConfig
	listener, err := listen.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, server := &sink{}, grpc.NewServer()
	collector.RegisterTraceServiceServer(server, s)
	go func() { _ = server.Serve(listener) }() // it ends with Stop
	t.Cleanup(server.Stop)
	return s, "http://" + listener.Addr().String()
}

// One trace leads from the webhook through both programs and the inbox to the vendor
// calls, without an orphan.
func TestTraceOfOneWebhook(t *testing.T) {
	t.Parallel()
	spans, endpoint := startSink(t)
	s := start(t, func(o *stack.Options) { o.Collector = endpoint })
	ticket := newTicket(t, s, "Development")
	workItem := workItemOf(t, s, ticket)
	settle(t, s)
	if _, err := s.Box.AzureDevOps.As(alvao.Solver).SetState(workItem, "Doing"); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, s, ticket, "Development pending", 20*time.Second)
	settle(t, s)

	var line stack.Line
	for _, l := range handled(s, 0, func(l stack.Line) bool {
		steps, _ := l["steps"].([]any)
		return l.Text("system") == "alvao" && slices.Contains(steps, any("set-status"))
	}) {
		line = l
	}
	id := line.Text("trace_id")
	if len(id) != 32 {
		t.Fatalf("the log line names no trace: %v", line)
	}
	var tree []span
	await(t, 20*time.Second, "the whole trace is there", func() (bool, string) {
		tree = spans.all(func(one span) bool { return one.trace() == id })
		roots := slices.DeleteFunc(slices.Clone(tree), func(one span) bool { return one.parent() != "" })
		puts := slices.DeleteFunc(slices.Clone(tree), func(one span) bool { return one.GetName() != "PUT Alvao" })
		return len(roots) == 1 && len(puts) == 1 && len(orphans(tree)) == 0, fmt.Sprintf("%d spans, roots %d, writes %d, orphans %v", len(tree), len(roots), len(puts), orphans(tree))
	})
	// From the write at the vendor back to the webhook.
	byID := map[string]span{}
	for _, one := range tree {
		byID[one.id()] = one
	}
	var way []string
	for _, one := range tree {
		if one.GetName() != "PUT Alvao" {
			continue
		}
		for at, ok := one, true; ok; at, ok = byID[at.parent()] {
			way = append(way, at.service+": "+at.GetName())
		}
	}
	slices.Reverse(way)
	want := []string{
		"tandem-gateway: POST /hooks/azure-devops/{connector}",
		"tandem-gateway: tandem.v1.EventService/IngestEvent",
		"tandem-synccore: tandem.v1.EventService/IngestEvent",
		"tandem-synccore: append inbox",
		"tandem-synccore: process inbox",
		"tandem-synccore: reconcile",
		"tandem-synccore: PUT Alvao",
	}
	if !slices.Equal(way, want) {
		t.Errorf("the way is\n%s\nwant\n%s", strings.Join(way, "\n"), strings.Join(want, "\n"))
	}
	redis := slices.ContainsFunc(tree, func(one span) bool { return one.attribute("db.system") != "" || one.attribute("db.system.name") != "" })
	if !redis {
		t.Error("no Redis command is in the trace")
	}
}

// orphans are spans whose parent is missing.
func orphans(tree []span) []string {
	var found []string
	for _, one := range tree {
		if one.parent() != "" && !slices.ContainsFunc(tree, func(other span) bool { return other.id() == one.parent() }) {
			found = append(found, one.GetName())
		}
	}
	return found
}

// A retry has a trace of its own, linked to the webhook's.
func TestTraceOfARetry(t *testing.T) {
	t.Parallel()
	spans, endpoint := startSink(t)
	s := start(t, func(o *stack.Options) { o.Collector = endpoint })
	ticket := newTicket(t, s, "Development")
	workItem := workItemOf(t, s, ticket)
	settle(t, s)
	if _, err := s.Box.Faults.Add(fault.Rule{Method: "PUT", Path: "/AlvaoRestApi/**", Kind: fault.KindUnavailable, Count: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Box.AzureDevOps.As(alvao.Solver).SetState(workItem, "Doing"); err != nil {
		t.Fatal(err)
	}
	awaitStatus(t, s, ticket, "Development pending", 30*time.Second)
	await(t, 20*time.Second, "a linked trace of the retry", func() (bool, string) {
		retries := spans.all(func(one span) bool {
			return one.GetName() == "process inbox" && one.parent() == "" && len(one.GetLinks()) > 0
		})
		for _, retry := range retries {
			for _, link := range retry.GetLinks() {
				origin := hex.EncodeToString(link.GetTraceId())
				if origin != retry.trace() && len(spans.all(func(one span) bool {
					return one.trace() == origin && strings.HasPrefix(one.GetName(), "POST /hooks/")
				})) > 0 {
					return true, ""
				}
			}
		}
		return false, fmt.Sprintf("%d roots with links", len(retries))
	})
}
