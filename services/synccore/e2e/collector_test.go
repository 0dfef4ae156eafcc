//go:build e2e

package e2e_test

import (
	"context"
	"encoding/hex"
	"net"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// spans is an OTLP collector that keeps what it gets.
type spans struct {
	collector.UnimplementedTraceServiceServer

	// url is its address as the programs' flag takes it.
	url string

	mu  sync.Mutex
	all []span
	raw [][]byte
}

// span is a span with the service that made it.
type span struct {
	*trace.Span

	service string
}

func (s span) trace() string  { return hex.EncodeToString(s.GetTraceId()) }
func (s span) id() string     { return hex.EncodeToString(s.GetSpanId()) }
func (s span) parent() string { return hex.EncodeToString(s.GetParentSpanId()) }

// text is an attribute as text; empty if there is none of that name.
func (s span) text(key string) string {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// number is an attribute as a number; 0 if there is none of that name.
func (s span) number(key string) int64 {
	for _, a := range s.GetAttributes() {
		if a.GetKey() == key {
			return a.GetValue().GetIntValue()
		}
	}
	return 0
}

func collect(t *testing.T) *spans {
	t.Helper()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &spans{url: "http://" + listener.Addr().String()}
	server := grpc.NewServer()
	collector.RegisterTraceServiceServer(server, s)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("collecting spans: %v", err)
		}
	})
	return s
}

// Export implements the collector's service.
func (s *spans) Export(_ context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	raw, err := proto.Marshal(req)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw = append(s.raw, raw)
	for _, resource := range req.GetResourceSpans() {
		service := ""
		for _, a := range resource.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, one := range scope.GetSpans() {
				s.all = append(s.all, span{one, service})
			}
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

// of are the spans of a trace by id.
func (s *spans) of(traceID string) map[string]span {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := map[string]span{}
	for _, one := range s.all {
		if one.trace() == traceID {
			found[one.id()] = one
		}
	}
	return found
}

// bytes is everything that was sent.
func (s *spans) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []byte
	for _, raw := range s.raw {
		all = append(all, raw...)
	}
	return all
}
