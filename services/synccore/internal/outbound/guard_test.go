package outbound_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// replies is a transport that answers without a network.
type replies func(*http.Request) (*http.Response, error)

func (f replies) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func reply(status int, header http.Header, body string) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body))}
}

func origin(t *testing.T, raw string) outbound.Origin {
	t.Helper()
	o, err := outbound.ParseOrigin(raw)
	if err != nil {
		t.Fatalf("ParseOrigin(%q): %v", raw, err)
	}
	return o
}

func secret(s string) func() (string, error) { return func() (string, error) { return s, nil } }

func TestOriginHolds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		origin, target string
		want           bool
	}{
		{"https://dev.azure.com/contoso", "https://dev.azure.com/contoso/_apis/x", true},
		{"https://dev.azure.com/contoso", "https://DEV.azure.com:443/Contoso", true},
		{"https://dev.azure.com/contoso/", "https://dev.azure.com/contoso?x=1", true},
		{"https://dev.azure.com/contoso", "https://dev.azure.com/contoso2/_apis", false},
		{"https://dev.azure.com/contoso", "https://dev.azure.com/evil/_apis", false},
		{"https://dev.azure.com/contoso", "https://dev.azure.com/contoso/../evil/_apis", false},
		{"https://dev.azure.com/contoso", "https://dev.azure.com/contoso/%2e%2e/evil", false},
		{"https://dev.azure.com/contoso", "http://dev.azure.com/contoso/_apis", false},
		{"https://dev.azure.com/contoso", "https://dev.azure.com.evil.example/contoso", false},
		{"https://dev.azure.com/contoso", "https://dev.azure.com:8443/contoso", false},
		{"http://host:8080/tfs", "http://host:8080/TFS/Coll", true},
		{"http://host", "http://host/anything", true},
		{"http://[::1]:80", "http://[::1]/x", true},
	}
	for _, tc := range tests {
		t.Run(tc.origin+" "+tc.target, func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(tc.target)
			if err != nil {
				t.Fatal(err)
			}
			if got := origin(t, tc.origin).Holds(u); got != tc.want {
				t.Errorf("Holds = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestParseOriginRefuses(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"", "dev.azure.com/contoso", "ftp://host/x", "https://user:s3cret@host/x", "https://host/x?token=s3cret", "https://host/#s3cret", "https://", "https://.", "https://ho st/\x7f",
	} {
		_, err := outbound.ParseOrigin(raw)
		if err == nil {
			t.Errorf("ParseOrigin(%q) accepts", raw)
			continue
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("ParseOrigin(%q) repeats a secret: %v", raw, err)
		}
	}
}

// TestCredentialStaysHome is the package's invariant: whatever leads elsewhere gets
// no credential, redirects included.
func TestCredentialStaysHome(t *testing.T) {
	t.Parallel()
	var foreignCalls atomic.Int32
	foreign := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { foreignCalls.Add(1) }))
	t.Cleanup(foreign.Close)
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, ok := r.BasicAuth(); !ok || user != "u" || password != "p" {
			t.Errorf("home got credentials %q %q %v", user, password, ok)
		}
		http.Redirect(w, r, foreign.URL+"/signin", http.StatusFound)
	}))
	t.Cleanup(home.Close)
	transport, err := outbound.Transport("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	client := outbound.NewClient(&outbound.Guard{
		Origins: []outbound.Origin{origin(t, home.URL+"/api")}, Credential: outbound.Basic("u", secret("p\n")), Next: transport,
	})
	answer, err := client.Do(t.Context(), outbound.Request{Method: http.MethodGet, URL: home.URL + "/api/x"})
	if err != nil || answer.Status != http.StatusFound {
		t.Errorf("home answered %d, %v; want the redirect itself", answer.Status, err)
	}
	for _, target := range []string{foreign.URL + "/api", home.URL + "/other", home.URL + "/api/../other", home.URL + "/apiary"} {
		if _, err := client.Do(t.Context(), outbound.Request{Method: http.MethodGet, URL: target}); !errors.Is(err, outbound.ErrForeign) {
			t.Errorf("Do(%s) = %v, want ErrForeign", target, err)
		}
	}
	if n := foreignCalls.Load(); n != 0 {
		t.Errorf("the foreign host was called %d times", n)
	}
}

func TestGuardRefusesForeignHostHeader(t *testing.T) {
	t.Parallel()
	g := &outbound.Guard{
		Origins: []outbound.Origin{origin(t, "http://home/")}, Credential: outbound.Basic("", secret("p")),
		Next: replies(func(*http.Request) (*http.Response, error) {
			t.Error("the request was sent")
			return reply(200, nil, ""), nil
		}),
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://home/x", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "evil"
	resp, err := g.RoundTrip(r)
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, outbound.ErrForeign) {
		t.Errorf("got %v, want ErrForeign", err)
	}
}

// TestRotatedSecretCountsAtOnce: the file behind a credential is read for every call.
func TestRotatedSecretCountsAtOnce(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "pat")
	write := func(s string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func() (string, error) {
		data, err := os.ReadFile(file)
		return string(data), err
	}
	var sent []string
	client := outbound.NewClient(&outbound.Guard{
		Origins: []outbound.Origin{origin(t, "http://home")}, Credential: outbound.Basic("", read),
		Next: replies(func(r *http.Request) (*http.Response, error) {
			_, password, _ := r.BasicAuth()
			sent = append(sent, password)
			return reply(200, nil, "{}"), nil
		}),
	})
	call := func() error {
		_, err := client.Do(t.Context(), outbound.Request{Method: http.MethodGet, URL: "http://home/x"})
		return err
	}
	write("first\n")
	if err := call(); err != nil {
		t.Fatal(err)
	}
	write("second\r\n")
	if err := call(); err != nil {
		t.Fatal(err)
	}
	write(" \n")
	if err := call(); !errors.Is(err, outbound.ErrNoCredential) {
		t.Errorf("an empty secret gives %v, want ErrNoCredential", err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := call(); !errors.Is(err, outbound.ErrNoCredential) {
		t.Errorf("a missing file gives %v, want ErrNoCredential", err)
	}
	if len(sent) != 2 || sent[0] != "first" || sent[1] != "second" {
		t.Errorf("sent %q", sent)
	}
}

func TestAnswerIsCapped(t *testing.T) {
	t.Parallel()
	client := outbound.NewClient(replies(func(*http.Request) (*http.Response, error) {
		return reply(200, nil, "\xef\xbb\xbf{12345678}"), nil
	}))
	do := func(most int64) (outbound.Answer, error) {
		return client.Do(t.Context(), outbound.Request{Method: http.MethodGet, URL: "http://home/x", Cap: most})
	}
	if answer, err := do(13); err != nil || string(answer.Body) != "{12345678}" {
		t.Errorf("within the cap: %q, %v; want the body without its mark", answer.Body, err)
	}
	if _, err := do(12); !errors.Is(err, outbound.ErrTooLarge) {
		t.Errorf("above the cap: %v, want ErrTooLarge", err)
	}
}

// TestErrorsRepeatNoQuery: a query may name people.
func TestErrorsRepeatNoQuery(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken pipe")
	client := outbound.NewClient(replies(func(*http.Request) (*http.Response, error) { return nil, broken }))
	_, err := client.Do(t.Context(), outbound.Request{Method: http.MethodGet, URL: "http://home/x?$filter=login%20eq%20%27jan%27"})
	if !errors.Is(err, broken) || strings.Contains(err.Error(), "jan") || !strings.Contains(err.Error(), "GET /x") {
		t.Errorf("got %v", err)
	}
}

func TestLooksHTML(t *testing.T) {
	t.Parallel()
	tests := []struct {
		media, body string
		want        bool
	}{
		{"text/html; charset=utf-8", "", true},
		{"TEXT/HTML", "{}", true},
		{"application/json; charset=utf-8; api-version=7.1", "{}", false},
		{"application/json;odata.metadata=minimal", "<x>", false},
		{"", " \n<!DOCTYPE html>", true},
		{"", "{}", false},
		{"text/plain", "The controller for path", false},
		{";;;", "<html>", true},
	}
	for _, tc := range tests {
		a := outbound.Answer{Header: http.Header{"Content-Type": {tc.media}}, Body: []byte(tc.body)}
		if got := a.LooksHTML(); got != tc.want {
			t.Errorf("LooksHTML(%q, %q) = %v", tc.media, tc.body, got)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	tests := map[string]time.Duration{
		"":    0,
		"5":   5 * time.Second,
		"1.5": 1500 * time.Millisecond,
		"-3":  0, "0": 0, "NaN": 0, "soon": 0,
		"1e300": time.Hour, "+Inf": time.Hour, "86400": time.Hour,
		"Wed, 04 Mar 2026 05:06:17 GMT": 10 * time.Second,
		"Wed, 04 Mar 2026 05:06:00 GMT": 0,
		"Thu, 04 Mar 2027 05:06:00 GMT": time.Hour,
	}
	for value, want := range tests {
		if got := outbound.RetryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("RetryAfter(%q) = %s, want %s", value, got, want)
		}
	}
}

func FuzzParseOrigin(f *testing.F) {
	for _, seed := range []string{"https://dev.azure.com/contoso", "http://[::1]:80/x/../y", "https://h/%2e%2e/x", "HTTPS://H:443/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		o, err := outbound.ParseOrigin(raw)
		if err != nil {
			return
		}
		u, err := url.Parse(strings.TrimSpace(raw))
		if err != nil {
			t.Fatalf("accepted %q, which is no URL", raw)
		}
		if !o.Holds(u) {
			t.Errorf("the origin of %q does not hold it", raw)
		}
	})
}

// An address that is its own credential gets no Authorization header, and is guarded all
// the same.
func TestGuardWithoutCredential(t *testing.T) {
	t.Parallel()
	calls := 0
	guard := &outbound.Guard{
		Origins: []outbound.Origin{origin(t, "https://flows.example/x")},
		Next: replies(func(r *http.Request) (*http.Response, error) {
			calls++
			if _, there := r.Header["Authorization"]; there {
				t.Error("there is an Authorization header")
			}
			return reply(http.StatusAccepted, nil, ""), nil
		}),
	}
	for address, want := range map[string]int{"https://flows.example/x?sig=1": 1, "https://evil.example/x?sig=1": 0} {
		calls = 0
		answer, err := outbound.NewClient(guard).Do(t.Context(), outbound.Request{Method: http.MethodPost, URL: address})
		if calls != want || (err == nil) != (want == 1) || want == 1 && answer.Status != http.StatusAccepted {
			t.Errorf("%s: %d calls, %v", address, calls, err)
		}
	}
}

// TestCompressedAnswerIsCapped: the cap is on what an answer becomes, so one that is
// compressed a thousand times over takes no more memory than any other.
func TestCompressedAnswerIsCapped(t *testing.T) { //nolint:paralleltest // it measures
	var bomb bytes.Buffer
	w, err := gzip.NewWriterLevel(&bomb, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	piece := make([]byte, 1<<20)
	for range 1 << 7 {
		if _, err := w.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(bomb.Bytes())
	}))
	t.Cleanup(server.Close)
	transport, err := outbound.Transport("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	client := outbound.NewClient(transport)
	for _, tt := range []struct {
		most    int64
		allowed uint64
	}{{0, 192 << 20}, {1 << 20, 16 << 20}} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = client.Do(t.Context(), outbound.Request{Method: http.MethodGet, URL: server.URL, Cap: tt.most})
		runtime.ReadMemStats(&after)
		if !errors.Is(err, outbound.ErrTooLarge) {
			t.Errorf("got %v, want ErrTooLarge", err)
		}
		spent := after.TotalAlloc - before.TotalAlloc
		t.Logf("%d KiB that would become 128 MiB: %d MiB are allocated", bomb.Len()>>10, spent>>20)
		if spent > tt.allowed {
			t.Errorf("%d MiB are allocated with a cap of %d MiB", spent>>20, tt.most>>20)
		}
	}
	stream, err := client.Open(t.Context(), outbound.Request{Method: http.MethodGet, URL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(stream.Rest().Body); got > 64<<10 {
		t.Errorf("%d bytes of a refusal are read", got)
	}
}
