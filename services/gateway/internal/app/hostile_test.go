package app_test

import (
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/gateway/internal/app"
)

// TestHostileRequests: what is too large, compressed, too deep or no text is answered with
// a clear 4xx, soon, by every door.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	g := start(t, newCore(t), nil)
	basic, key := g.basic(t), g.keys(t).AlvaoApplicationKeys("development")[0]
	doors := map[string]func(body string) func(*http.Request){
		"/hooks/azure-devops":             func(string) func(*http.Request) { return basic },
		"/hooks/azure-devops/development": func(string) func(*http.Request) { return basic },
		"/Connectors/DevOpsCallback":      func(string) func(*http.Request) { return nil },
		"/hooks/alvao/development/" + g.keys(t).AlvaoTokens("development")[0]: func(string) func(*http.Request) { return nil },
		"/hooks/alvao/development": func(body string) func(*http.Request) { return signed(key, body) },
		"/v1/events:ingest":        func(string) func(*http.Request) { return nil },
	}
	for path, credentials := range doors {
		for name, tt := range map[string]struct {
			body   string
			header [2]string
			codes  []int
		}{
			"a byte too much": {strings.Repeat(" ", 4<<20+1), [2]string{}, []int{413}},
			"gzip":            {"\x1f\x8b\x08\x00", [2]string{"Content-Encoding", "gzip"}, []int{415}},
			"deflate":         {"x", [2]string{"Content-Encoding", "deflate, gzip"}, []int{415}},
			"brackets":        {strings.Repeat("[", 100_000), [2]string{}, []int{400}},
			"objects":         {strings.Repeat(`{"a":`, 20_000), [2]string{}, []int{400}},
			"no UTF-8":        {"{\"a\":\"\xff\xfe\"}", [2]string{}, []int{400}},
			"noughts":         {strings.Repeat("\x00", 1000), [2]string{}, []int{400}},
			"keys twice":      {`{"requestId":1,"requestId":2,"eventType":"a","eventType":"b","event":"a","event":"b","connector":"a","connector":"b"}`, [2]string{}, []int{400, 202}}, // a hint at worst
			"nothing":         {"", [2]string{"Content-Type", "application/json"}, []int{400, 200}},                                                                                    // an empty request is one; sync-core says what it lacks
			"no object":       {"null", [2]string{}, []int{400, 200}},
			"a huge number":   {`{"requestId":1e999999999,"resource":{"id":1e999999999},"ticketId":1e999999999,"itemId":1e999999999}`, [2]string{}, []int{400}},
		} {
			began := time.Now()
			got := g.post(t, path, tt.body, func(r *http.Request) {
				if set := credentials(tt.body); set != nil {
					set(r)
				}
				if tt.header[0] != "" {
					r.Header.Set(tt.header[0], tt.header[1])
				}
			})
			took := time.Since(began)
			if fits := slices.Contains(tt.codes, got.code); !fits || len(got.body) > 2000 || took > 10*time.Second {
				t.Errorf("%s at %s is answered %d %.200s after %s, want %v", name, path, got.code, got.body, took, tt.codes)
			}
		}
		// A header that is too long is refused before anything is read.
		got := g.post(t, path, "{}", func(r *http.Request) { r.Header.Set("X-Large", strings.Repeat("a", 80<<10)) })
		if got.code != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("a huge header at %s is answered %d", path, got.code)
		}
	}
	if strings.Contains(g.log.String(), "panic") {
		t.Error("there was a panic")
	}
}

// watched is a sync-core whose watches last.
type watched struct {
	tandemv1.UnimplementedLinkServiceServer

	mu   sync.Mutex
	open int
}

func (w *watched) WatchLinks(_ *tandemv1.WatchLinksRequest, stream grpc.ServerStreamingServer[tandemv1.WatchLinksResponse]) error {
	w.mu.Lock()
	w.open++
	w.mu.Unlock()
	if err := stream.Send(&tandemv1.WatchLinksResponse{ResumeToken: "1-1"}); err != nil {
		return err
	}
	<-stream.Context().Done()
	return nil
}

// TestWatchesLeaveRoom: readers of the API, however many and however long, take no place
// that webhooks need.
func TestWatchesLeaveRoom(t *testing.T) {
	t.Parallel()
	c := newCore(t)
	c.stop()
	watches := &watched{}
	c.with = func(server *grpc.Server) { tandemv1.RegisterLinkServiceServer(server, watches) }
	c.options = []grpc.ServerOption{grpc.MaxConcurrentStreams(400)} // the shipped 1,024 would take as many connections more
	c.start(t)
	g := start(t, c, nil)
	eventually(t, "the gateway is ready", func() bool { return g.admin(t, "/health/ready").code == http.StatusOK })
	var opened, refused int
	for range 300 {
		conn, err := net.Dial("tcp", g.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		if _, err := io.WriteString(conn, "GET /v1/connectors/development/links:watch HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 12)
		_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
		if _, err := io.ReadFull(conn, line); err != nil {
			t.Fatal(err)
		}
		switch code := string(line[9:]); code {
		case "200":
			opened++
		case "503":
			refused++
		default:
			t.Fatalf("a watch is answered %s", code)
		}
	}
	if opened != 256 || refused != 44 {
		t.Errorf("%d watches are open and %d were refused, want 256 and 44", opened, refused)
	}
	if got := g.post(t, "/hooks/azure-devops", updated, g.basic(t)); got.code != http.StatusAccepted {
		t.Errorf("beside them a webhook is answered %d %s", got.code, got.body)
	}
	if got := g.do(t, http.MethodGet, "http://"+g.Addr().String()+"/v1/connectors", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+apiToken) }); got.code != http.StatusOK {
		t.Errorf("beside them a call is answered %d %s", got.code, got.body)
	}
}

// FuzzHooks sends bodies to every door for webhooks, as whoever may: it is stored, or the
// sender is told what is wrong with it.
func FuzzHooks(f *testing.F) {
	for door := range uint8(5) {
		for _, body := range []string{updated, pushed, notice, "", "{", "null", "[]", "{}", `{"a":"\ud800"}`, strings.Repeat("[", 200), "\xef\xbb\xbf" + updated, `{"requestId":-1,"personId":1e99}`, `{"event":"act.created","ticketId":1,"record":{"html":"<p>"}}`} {
			f.Add(door, "application/json", []byte(body))
		}
		f.Add(door, "text/html;;;\xff", []byte(updated))
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))
	g := start(f, newCore(f), func(c *app.Config) { c.LogLevel, c.CallbackRate, c.CallbackBurst = "error", 1e9, 1e9 })
	password, token, key := g.keys(f).AzureDevOpsPasswords()[0], g.keys(f).AlvaoTokens("development")[0], g.keys(f).AlvaoApplicationKeys("development")[0]
	f.Fuzz(func(t *testing.T, door uint8, contentType string, body []byte) {
		g.core.forget()
		path := []string{"/hooks/azure-devops", "/hooks/azure-devops/development", "/Connectors/DevOpsCallback", "/hooks/alvao/development/" + token, "/hooks/alvao/development"}[door%5]
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+g.Addr().String()+path, strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		switch door % 5 {
		case 0, 1:
			r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("tandem:"+password)))
		case 4:
			signed(key, string(body))(r)
		}
		response, err := g.client.Do(r)
		if err != nil {
			return // net/http's client refuses the header
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		switch response.StatusCode {
		case http.StatusAccepted, http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType:
		case http.StatusUnauthorized:
			if door%5 != 4 { // the same body within a second is a replay
				t.Errorf("answer 401 %s", text)
			}
		default:
			t.Errorf("%s is answered %d %s", path, response.StatusCode, text)
		}
		if len(text) > 2000 {
			t.Errorf("the answer has %d bytes", len(text))
		}
	})
}
