package fault_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/tandem-sync/tandem/services/sandbox/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const whole = "0123456789"

// setup starts a server whose handler counts its calls and answers ten bytes.
func setup(t *testing.T, rules ...fault.Rule) (*fault.Set, *httptest.Server, *atomic.Int64) {
	t.Helper()
	set := fault.NewSet(1)
	for _, r := range rules {
		if _, err := set.Add(r); err != nil {
			t.Fatalf("adding rule: %v", err)
		}
	}
	calls := new(atomic.Int64)
	srv := httptest.NewServer(set.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		_, _ = io.WriteString(w, whole)
	})))
	t.Cleanup(func() { srv.Client().CloseIdleConnections(); srv.Close() })
	return set, srv, calls
}

func do(t *testing.T, srv *httptest.Server, method, path string) (int, http.Header, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(b), err
}

func TestMatching(t *testing.T) {
	t.Parallel()
	cases := []struct {
		method, pattern, path string
		want                  bool
	}{
		{"", "", "/anything/at/all", true},
		{"POST", "", "/x", false},
		{"GET", "/a/b", "/A/b", true},
		{"", "/a/*", "/a/b", true},
		{"", "/a/*", "/a/b/c", false},
		{"", "/a/*", "/a", false},
		{"", "/a/**", "/a/b/c", true},
		{"", "/a/**", "/a", true},
		{"", "**/workitems/*", "/azuredevops/contoso/_apis/wit/workItems/7", true},
		{"", "**/workitems/*", "/azuredevops/contoso/_apis/wit/workItems/7/comments", false},
		{"", "**/workitems/*/**/x", "/o/workitems/7/a/b/x", true},
		{"", "**/workitems/$t*", "/o/workitems/$Task", true},
	}
	for _, c := range cases {
		t.Run(c.pattern+" "+c.path, func(t *testing.T) {
			t.Parallel()
			_, srv, _ := setup(t, fault.Rule{Method: c.method, Path: c.pattern, Kind: fault.KindUnavailable})
			status, _, _, err := do(t, srv, http.MethodGet, c.path)
			if err != nil {
				t.Fatal(err)
			}
			if got := status == http.StatusServiceUnavailable; got != c.want {
				t.Errorf("hit = %v, want %v", got, c.want)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	cases := []struct {
		rule                            fault.Rule
		status                          int
		retryAfter, contentType, inBody string
	}{
		{fault.Rule{Kind: fault.KindThrottle}, 429, "1", "application/json; charset=utf-8", "planted"},
		{fault.Rule{Kind: fault.KindThrottle, RetryAfter: fault.Duration(1500 * time.Millisecond)}, 429, "2", "application/json; charset=utf-8", "planted"},
		{fault.Rule{Kind: fault.KindUnavailable}, 503, "", "application/json; charset=utf-8", "planted"},
		{fault.Rule{Kind: fault.KindStatus, Status: 418, Body: "tea", ContentType: "text/plain"}, 418, "", "text/plain", "tea"},
		{fault.Rule{Kind: fault.KindSignIn}, 203, "", "text/html; charset=utf-8", "Sign In"},
	}
	for _, c := range cases {
		t.Run(string(c.rule.Kind), func(t *testing.T) {
			t.Parallel()
			_, srv, calls := setup(t, c.rule)
			status, header, body, err := do(t, srv, http.MethodPost, "/x")
			if err != nil {
				t.Fatal(err)
			}
			if status != c.status || header.Get("Retry-After") != c.retryAfter ||
				header.Get("Content-Type") != c.contentType || !strings.Contains(body, c.inBody) {
				t.Errorf("got %d %q %q %q", status, header.Get("Retry-After"), header.Get("Content-Type"), body)
			}
			if calls.Load() != 0 {
				t.Error("the handler was reached")
			}
		})
	}
}

func TestPassAddsHeadersOnly(t *testing.T) {
	t.Parallel()
	_, srv, _ := setup(t, fault.Rule{
		RetryAfter: fault.Duration(3 * time.Second), Headers: map[string]string{"X-RateLimit-Remaining": "0"},
		Delay: fault.Duration(time.Millisecond), ReplyDelay: fault.Duration(time.Millisecond),
	})
	status, header, body, err := do(t, srv, http.MethodGet, "/x")
	if err != nil || status != 200 || body != whole {
		t.Fatalf("got %d %q %v", status, body, err)
	}
	if header.Get("Retry-After") != "3" || header.Get("X-Ratelimit-Remaining") != "0" {
		t.Errorf("headers: %v", header)
	}
}

func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rule fault.Rule
		sent string
	}{
		{fault.Rule{Kind: fault.KindLostReply, Method: "POST"}, ""},
		{fault.Rule{Kind: fault.KindCut}, whole[:5]},
		{fault.Rule{Kind: fault.KindCut, CutAfter: 3}, whole[:3]},
		{fault.Rule{Kind: fault.KindCut, CutAfter: 99}, whole[:9]},
	} {
		t.Run(string(c.rule.Kind), func(t *testing.T) {
			t.Parallel()
			_, srv, calls := setup(t, c.rule)
			_, _, body, err := do(t, srv, http.MethodPost, "/x")
			if err == nil || body != c.sent {
				t.Errorf("got %q, %v; want %q and an error", body, err, c.sent)
			}
			if calls.Load() != 1 {
				t.Errorf("handler ran %d times, want once: the effect must stand", calls.Load())
			}
		})
	}
}

func TestSkipCountAndProbability(t *testing.T) {
	t.Parallel()
	set, srv, _ := setup(t, fault.Rule{Kind: fault.KindUnavailable, Skip: 1, Count: 2})
	var got []int
	for range 5 {
		status, _, _, err := do(t, srv, http.MethodGet, "/x")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, status)
	}
	if diff := cmp.Diff([]int{200, 503, 503, 200, 200}, got); diff != "" {
		t.Error(diff)
	}
	if hits := set.Rules()[0].Hits; hits != 2 {
		t.Errorf("hits = %d", hits)
	}
	set.Clear()
	if _, err := set.Add(fault.Rule{Kind: fault.KindUnavailable, Probability: 0.5}); err != nil {
		t.Fatal(err)
	}
	hit := 0
	for range 100 {
		if status, _, _, err := do(t, srv, http.MethodGet, "/x"); err == nil && status == 503 {
			hit++
		}
	}
	if hit < 25 || hit > 75 {
		t.Errorf("half a chance hit %d of 100", hit)
	}
}

func TestRemovingARuleEndsItsDelay(t *testing.T) {
	t.Parallel()
	set, srv, _ := setup(t, fault.Rule{ID: "slow", Delay: fault.Duration(time.Hour)})
	done := make(chan error, 1)
	go func() { _, _, _, err := do(t, srv, http.MethodGet, "/x"); done <- err }()
	for set.Rules()[0].Hits == 0 {
		if t.Context().Err() != nil {
			t.Fatal("the request never came")
		}
		runtime.Gosched()
	}
	if !set.Remove("slow") || set.Remove("slow") {
		t.Error("removing once must do, twice must not")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestAPI(t *testing.T) {
	t.Parallel()
	set := fault.NewSet(1)
	srv := httptest.NewServer(http.StripPrefix("/sandbox/faults", set))
	t.Cleanup(func() { srv.Client().CloseIdleConnections(); srv.Close() })
	call := func(method, path, body string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+"/sandbox/faults"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, strings.TrimSpace(string(b))
	}
	steps := []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "", "", 200, `{"rules":[]}`},
		{"POST", "", `{"kind":"throttle","path":"/a/*","retryAfter":"2s","count":1}`, 201, `{"id":"1","path":"/a/*","kind":"throttle","retryAfter":"2s","count":1,"hits":0}`},
		{"POST", "", `{"kind":"magic"}`, 400, `{"message":"unknown kind \"magic\""}`},
		{"POST", "", `{"kind":"status"}`, 400, `{"message":"kind \"status\" needs a status between 200 and 599, got 0"}`},
		{"POST", "", `{"knd":"cut"}`, 400, `{"message":"json: unknown field \"knd\""}`},
		{"GET", "/", "", 200, `{"rules":[{"id":"1","path":"/a/*","kind":"throttle","retryAfter":"2s","count":1,"hits":0}]}`},
		{"PUT", "", `{"rules":[{"id":"x","kind":"cut"},{"kind":"bad"}]}`, 400, `{"message":"unknown kind \"bad\""}`},
		{"PUT", "", `{"rules":[{"id":"x","kind":"cut"}]}`, 200, `{"rules":[{"id":"x","kind":"cut","hits":0}]}`},
		{"DELETE", "/nope", "", 404, `{"message":"no such rule"}`},
		{"DELETE", "/x", "", 204, ``},
		{"PATCH", "", "", 405, `{"message":"method not allowed"}`},
		{"DELETE", "", "", 204, ``},
	}
	for _, s := range steps {
		status, body := call(s.method, s.path, s.body)
		if status != s.status || body != s.want {
			t.Errorf("%s %s %s: got %d %s, want %d %s", s.method, s.path, s.body, status, body, s.status, s.want)
		}
	}
}

func FuzzMatch(f *testing.F) {
	f.Add("**/workitems/*", "/a/_apis/wit/workitems/7")
	f.Add("/a/**/**/b", "/a/b")
	f.Add("/[a-", "/a")
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if len(pattern) > 100 || len(path) > 100 {
			return
		}
		set := fault.NewSet(1)
		if _, err := set.Add(fault.Rule{Path: pattern, Kind: fault.KindUnavailable}); err != nil {
			return
		}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
		req.URL.Path = path
		set.Middleware(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), req)
	})
}
