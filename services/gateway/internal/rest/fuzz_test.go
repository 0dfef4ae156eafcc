package rest_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/tandem-sync/tandem/gen/openapi"
	"github.com/tandem-sync/tandem/services/gateway/internal/app"
	"github.com/tandem-sync/tandem/services/gateway/internal/rest"
)

// operations are all methods and paths of the document, so that one that comes is fuzzed.
func operations(tb testing.TB) []string {
	tb.Helper()
	var document struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(openapi.Document, &document); err != nil {
		tb.Fatal(err)
	}
	var all []string
	for path, methods := range document.Paths {
		for method := range methods {
			all = append(all, strings.ToUpper(method)+" "+path)
		}
	}
	slices.Sort(all)
	if len(all) < 20 {
		tb.Fatalf("only %d operations were found", len(all))
	}
	return all
}

// FuzzREST sends what there can be to every operation of the API, before a sync-core that is
// content with everything: whatever is wrong is the sender's fault, and said so as a problem.
func FuzzREST(f *testing.F) {
	all := operations(f)
	for i := range all {
		f.Add(uint8(i), "development", "", "{}", "Bearer x", "")
		f.Add(uint8(i), "a%2fb%00", "pageSize=-1&filter=%22&readMask=..,", "[[[", "Bearer \xff", "\xff")
		f.Add(uint8(i), "..", "a.b.c=1&parent=x&resumeToken=%ff", `{"settings":{"a":[1e999]}}`, strings.Repeat("a", 20_000), strings.Repeat("k", 2000))
		f.Add(uint8(i), "-", "page_size=99999999999&order_by=%00", "\xef\xbb\xbf{}", "", "k")
		f.Add(uint8(i), "x:watch", "%zz", strings.Repeat(`{"a":`, 10_000), "Basic", "")
		f.Add(uint8(i), "1", "ticketId=1e3&ticket_id=2", `{"ticketId":"x","a":null,"a":1}`, "Bearer a, Bearer b", "")
	}
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(grpc.MaxRecvMsgSize(256<<10), grpc.MaxHeaderListSize(32<<10), grpc.ForceServerCodecV2(encoding.GetCodecV2(proto.Name)),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			if err := stream.RecvMsg(&emptypb.Empty{}); err != nil {
				return err
			}
			return stream.SendMsg(&emptypb.Empty{})
		}))
	healthpb.RegisterHealthServer(server, health.NewServer())
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	conn, err := app.DialCore(app.CoreConfig{Target: "passthrough:///core", Timeout: 20 * time.Second},
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = conn.Close(); server.Stop(); <-done })
	handler, err := rest.NewAPI(f.Context(), conn)
	if err != nil {
		f.Fatal(err)
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, number uint8, part, query, body, authorization, key string) {
		method, pattern, _ := strings.Cut(all[int(number)%len(all)], " ")
		var path strings.Builder
		for rest := pattern; rest != ""; {
			before, after, found := strings.Cut(rest, "{")
			path.WriteString(before)
			if !found {
				break
			}
			path.WriteString(part)
			_, rest, _ = strings.Cut(after, "}")
		}
		target, err := url.ParseRequestURI(path.String())
		if err != nil {
			return // net/http itself refuses it
		}
		target.RawQuery = query
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		r := (&http.Request{
			Method: method, URL: target, Host: "x", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, RequestURI: target.RequestURI(),
			Header: http.Header{"Content-Type": {"application/json"}}, Body: http.NoBody, RemoteAddr: "192.0.2.1:1",
		}).WithContext(ctx)
		if authorization != "" {
			r.Header["Authorization"] = []string{authorization}
		}
		if key != "" {
			r.Header["Idempotency-Key"] = []string{key}
		}
		if method == http.MethodPost {
			r.Body = http.MaxBytesReader(nil, nopCloser{strings.NewReader(body)}, 1<<30)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code >= 500 {
			t.Errorf("%s %s?%s is answered %d %s", method, target.Path, query, w.Code, w.Body)
		}
		if kind := w.Header().Get("Content-Type"); w.Code >= 400 && (kind != "application/problem+json" || !json.Valid(w.Body.Bytes())) {
			t.Errorf("%s %s?%s is answered %d as %s: %s", method, target.Path, query, w.Code, kind, w.Body)
		}
		if w.Body.Len() > 64<<10 {
			t.Errorf("%s %s is answered in %d bytes", method, target.Path, w.Body.Len())
		}
	})
}

type nopCloser struct{ *strings.Reader }

func (nopCloser) Close() error { return nil }
