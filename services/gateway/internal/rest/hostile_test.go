package rest_test

import (
	"net/http"
	"strings"
	"testing"
)

// TestHostileHeaders: whatever stands in a header, the answer is the caller's fault or
// none: gRPC would refuse some of it in the gateway's own name.
func TestHostileHeaders(t *testing.T) {
	t.Parallel()
	handler := start(t, &core{})
	for name, tt := range map[string]struct {
		header, value string
		code          int
	}{
		"a long authorization":        {"Authorization", "Bearer " + strings.Repeat("a", 40<<10), 431},
		"an authorization in Latin-1": {"Authorization", "Bearer tok\xe9n", 400},
		"an authorization in UTF-8":   {"Authorization", "Bearer \u017elu\u0165", 400},
		"a long idempotency key":      {"Idempotency-Key", strings.Repeat("k", 40<<10), 431},
		"an idempotency key in UTF-8": {"Idempotency-Key", "\u017e", 400},
		"a long X-Forwarded-For":      {"X-Forwarded-For", strings.Repeat("1.2.3.4, ", 5000), 200},
		"an X-Forwarded-For of bytes": {"X-Forwarded-For", "\xff\xfe", 200},
		"an X-Forwarded-Host in UTF8": {"X-Forwarded-Host", "\u017e.example", 200},
		"a timeout that is none":      {"Grpc-Timeout", "soon", 200},
		"metadata of gRPC":            {"Grpc-Metadata-Authorization", "\xff", 200},
		"binary metadata":             {"Grpc-Metadata-X-Bin", "%%%", 200},
		"another method":              {"X-Http-Method-Override", "DELETE", 200},
		"a compressed body":           {"Content-Encoding", "gzip", 415},
		"a content type that is none": {"Content-Type", ";;;\xff", 200},
		"an Accept that is none":      {"Accept", "\xff/\xff", 200},
		"a long trace":                {"Traceparent", strings.Repeat("0", 40<<10), 200},
		"a long trace state":          {"Tracestate", strings.Repeat("a=b,", 10<<10), 200},
		"baggage":                     {"Baggage", strings.Repeat("a=b,", 10<<10), 200},
	} {
		w := call(t, handler, http.MethodGet, "/v1/connectors", "", func(r *http.Request) { r.Header[tt.header] = []string{tt.value} })
		if w.Code != tt.code {
			t.Errorf("%s is answered %d %s, want %d", name, w.Code, w.Body, tt.code)
		}
		if strings.Contains(w.Body.String(), strings.Repeat("a", 100)) {
			t.Errorf("%s is repeated in the answer", name)
		}
	}
	// Nor does it become the gateway's own call, as one without an authorization would.
	c := &core{}
	call(t, start(t, c), http.MethodGet, "/v1/connectors", "", func(r *http.Request) { r.Header["Authorization"] = []string{"", "Bearer \xff"} })
	if c.metadata != nil {
		t.Errorf("sync-core was called with %v", c.metadata.Get("authorization"))
	}
	w := call(t, handler, http.MethodGet, "/v1/connectors", "", func(r *http.Request) { r.Host = "\u017e\xff" })
	if w.Code >= 500 {
		t.Errorf("a host of bytes is answered %d %s", w.Code, w.Body)
	}
}
