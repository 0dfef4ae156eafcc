package telemetry_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/internal/telemetry"
)

// Start sets OpenTelemetry's globals, so these cases share one process-wide set-up
// and run in turn.
func TestStart(t *testing.T) { //nolint:paralleltest // Start replaces process-wide state
	var log bytes.Buffer
	tel, err := telemetry.Start(t.Context(), telemetry.Config{Service: "tandem-test", Version: "1.2.3", LogWriter: &log})
	if err != nil {
		t.Fatal(err)
	}

	ctx, span := tel.Tracers.Tracer("test").Start(t.Context(), "work")
	tel.Logger.InfoContext(ctx, "hello", telemetry.KeyConnector, "development")
	span.End()

	var line map[string]any
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("log line %q is not JSON: %v", log.String(), err)
	}
	want := telemetry.TraceID(ctx)
	if len(want) != 32 || line[telemetry.KeyTraceID] != want {
		t.Errorf("log line has trace id %v, the context %q", line[telemetry.KeyTraceID], want)
	}

	counter, err := tel.Meters.Meter("test").Int64Counter("tandem.test.things")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(ctx, 3)
	answer := httptest.NewRecorder()
	tel.Metrics.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), "tandem_test_things_total{") {
		t.Errorf("the scrape lacks the counter:\n%s", body)
	}

	if err := tel.Shutdown(t.Context()); err != nil {
		t.Errorf("first shutdown: %v", err)
	}
	var none *telemetry.Telemetry
	if err := none.Shutdown(t.Context()); err != nil {
		t.Errorf("shutdown of nil: %v", err)
	}
}

func TestParseLevel(t *testing.T) {
	t.Parallel()
	if _, err := telemetry.ParseLevel("loud"); err == nil {
		t.Error("a level that does not exist was taken")
	}
	if level, err := telemetry.ParseLevel("warn"); err != nil || level.String() != "WARN" {
		t.Errorf("warn: got %v, %v", level, err)
	}
}

func TestTraceIDWithoutSpan(t *testing.T) {
	t.Parallel()
	if id := telemetry.TraceID(t.Context()); id != "" {
		t.Errorf("got %q", id)
	}
}
