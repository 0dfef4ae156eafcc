package webhook_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"google.golang.org/grpc"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/gateway/internal/webhook"
)

// direct is an EventServiceClient without a network.
type direct struct{ tandemv1.EventServiceClient }

func (direct) IngestEvent(context.Context, *tandemv1.IngestEventRequest, ...grpc.CallOption) (*tandemv1.IngestEventResponse, error) {
	return &tandemv1.IngestEventResponse{Disposition: tandemv1.IngestEventResponse_DISPOSITION_STORED}, nil
}

// storing is an EventService that stores nothing.
type storing struct {
	tandemv1.UnimplementedEventServiceServer
}

func (*storing) IngestEvent(context.Context, *tandemv1.IngestEventRequest) (*tandemv1.IngestEventResponse, error) {
	return &tandemv1.IngestEventResponse{Disposition: tandemv1.IngestEventResponse_DISPOSITION_STORED}, nil
}

func benchmark(b *testing.B, events tandemv1.EventServiceClient) {
	b.Helper()
	body := fixture(b, "ResourceVersion-1.0.json")
	pipeline, err := webhook.New(webhook.Config{
		Events: events, Now: clock,
		Logger: slog.New(slog.NewJSONHandler(io.Discard, nil)), //nolint:sloglint // writing the line is part of the cost.
		Meters: sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())),
	})
	if err != nil {
		b.Fatal(err)
	}
	handler := pipeline.Handler(hook())
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/hook", strings.NewReader(body))
			r.Header.Set("Content-Type", jsonType)
			r.SetBasicAuth(user, password)
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != http.StatusAccepted {
				b.Fatalf("answer %d %s", w.Code, w.Body)
			}
		}
	})
}

// BenchmarkPipeline is what receiving a real event of 5 KB costs without any network.
func BenchmarkPipeline(b *testing.B) { benchmark(b, direct{}) }

// BenchmarkPipelineGRPC adds the call, over memory, and the server that answers it.
func BenchmarkPipelineGRPC(b *testing.B) {
	benchmark(b, startCore(b, &storing{}))
}
