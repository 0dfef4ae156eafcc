package app

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// readyTimeout bounds asking sync-core how it is.
const readyTimeout = time.Second

// traced makes a server span with a fixed name. Baggage from outside is not taken
// over: it would travel on to every vendor call. otelhttp's own metrics are left out,
// as package webhook has finer ones.
func (a *App) traced(name string, handler http.Handler) http.Handler {
	return otelhttp.NewHandler(handler, name,
		otelhttp.WithTracerProvider(a.telemetry.Tracers),
		otelhttp.WithMeterProvider(noop.NewMeterProvider()),
		otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithSpanNameFormatter(func(string, *http.Request) string { return name }),
	)
}

// withoutToken hides the token of the URL from everything that describes requests,
// above all from spans. The handler finds it as the path value "token".
func withoutToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.PathValue("token")
		hidden := r.WithContext(r.Context())
		path := "/hooks/alvao/" + r.PathValue("connector") + "/-"
		hidden.URL = &url.URL{Path: path}
		hidden.RequestURI = hidden.URL.EscapedPath()
		hidden.SetPathValue("token", token)
		next.ServeHTTP(w, hidden)
	})
}

// singleSlashes serves a path with doubled slashes as if they were single. They come
// from a public address that was entered with a slash at its end, and a sender of
// webhooks does not follow redirects.
func singleSlashes(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawPath == "" && strings.Contains(r.URL.Path, "//") {
			r = r.WithContext(r.Context())
			u := *r.URL
			u.Path = doubled.ReplaceAllLiteralString(u.Path, "/")
			r.URL = &u
		}
		next.ServeHTTP(w, r)
	})
}

var doubled = regexp.MustCompile("/{2,}")

// foldedPath is a path that is matched whatever the case, as Windows' web server
// does for the URL that the seed's users were told to enter.
type foldedPath struct {
	path    string
	handler http.Handler
}

type foldedPaths []foldedPath

func (paths foldedPaths) or(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, p := range paths {
			if strings.EqualFold(strings.TrimSuffix(r.URL.Path, "/"), p.path) {
				p.handler.ServeHTTP(w, r)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (a *App) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health/live", func(w http.ResponseWriter, _ *http.Request) {
		writeHealth(w, http.StatusOK, health{Status: "live"})
	})
	mux.HandleFunc("GET /health/ready", func(w http.ResponseWriter, r *http.Request) {
		if reason := a.notReady(r.Context()); reason != "" {
			writeHealth(w, http.StatusServiceUnavailable, health{Status: "not ready", Reason: reason})
			return
		}
		writeHealth(w, http.StatusOK, health{Status: "ready"})
	})
	mux.Handle("GET /metrics", a.telemetry.Metrics)
	return mux
}

// notReady says why the gateway should get no traffic; empty: it should. sync-core's
// health counts, because without it every webhook is answered 503.
func (a *App) notReady(ctx context.Context) string {
	if a.stopping.Load() {
		return "the gateway is stopping"
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	answer, err := a.health.Check(ctx, &healthpb.HealthCheckRequest{})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return "" // it answers, so it is there
	case err != nil:
		return "sync-core can't be reached"
	case answer.GetStatus() != healthpb.HealthCheckResponse_SERVING:
		return "sync-core is not serving"
	default:
		return ""
	}
}

type health struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

func writeHealth(w http.ResponseWriter, code int, h health) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	body, err := json.Marshal(h)
	if err != nil {
		return // two strings can always be encoded
	}
	_, _ = w.Write(body) // a probe that hung up needs no answer
}
