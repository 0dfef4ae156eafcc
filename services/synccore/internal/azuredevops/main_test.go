package azuredevops_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tandem-sync/tandem/services/sandbox/tape"
	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	projectURL = "https://dev.azure.com/contoso/Alvaoproject"
	pat        = "s3cret-pat"
)

// replies is a transport that answers without a network.
type replies func(*http.Request) *http.Response

func (f replies) RoundTrip(r *http.Request) (*http.Response, error) {
	return tape.Open().Transport(answers(f)).RoundTrip(r)
}

// answers is replies without a tape.
type answers func(*http.Request) *http.Response

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func clock() time.Time { return time.Date(2026, 3, 31, 18, 40, 0, 0, time.UTC) }

// over makes a client whose requests end in transport.
func over(t *testing.T, transport http.RoundTripper) *azuredevops.Client {
	t.Helper()
	c, err := azuredevops.New(azuredevops.Options{
		ProjectURL: projectURL, Credential: azuredevops.PAT(func() (string, error) { return pat, nil }),
		Base: transport, Now: clock, UserAgent: "tandem-test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answering makes a client that is answered by handler and keeps what it sent.
func answering(t *testing.T, handler http.HandlerFunc) (*azuredevops.Client, *sent) {
	t.Helper()
	s := &sent{}
	return over(t, replies(func(r *http.Request) *http.Response {
		s.keep(t, r)
		w := httptest.NewRecorder()
		handler(w, r)
		return w.Result()
	})), s
}

type request struct {
	method, path, query, contentType string
	body                             string
}

// sent keeps requests in their order.
type sent struct {
	mu   sync.Mutex
	list []request
}

func (s *sent) keep(t *testing.T, r *http.Request) {
	t.Helper()
	body := ""
	if r.Body != nil {
		data, err := io.ReadAll(r.Body)
		if err != nil {
			t.Errorf("reading request: %v", err)
		}
		body = string(data)
	}
	r.Body = io.NopCloser(strings.NewReader(body))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, request{r.Method, r.URL.EscapedPath(), r.URL.RawQuery, r.Header.Get("Content-Type"), body})
}

func (s *sent) all() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list
}

func answerJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8; api-version=7.1")
	w.Header().Set("ActivityId", "c31b6211-aa01-4888-89c5-7bf34b75b942")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func wantKind(t *testing.T, err error, want fault.Kind) {
	t.Helper()
	f, ok := fault.As(err)
	if !ok || f.Kind != want {
		t.Errorf("got %v (%s), want %s", err, fault.KindOf(err), want)
		return
	}
	sentence(t, f.Text)
}

// sentence checks what every fault's text must be: one sentence without a secret.
func sentence(t *testing.T, text string) {
	t.Helper()
	if text == "" || !strings.HasSuffix(text, ".") || strings.ContainsAny(text, "\n\r") || strings.Contains(text, pat) || strings.Contains(text, "%!") {
		t.Errorf("%q is not one sentence for a person", text)
	}
}

// shared gives the path of a file of the vendors' papers beside the repository.
func shared(t *testing.T, parts ...string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		found := filepath.Join(append([]string{dir, "shared"}, parts...)...)
		if _, err := os.Stat(found); err == nil {
			return found
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("no folder shared/%s beside the repository", filepath.Join(parts...))
	}
	t.Skipf("no folder shared/%s beside the repository: the vendors' papers are not here", filepath.Join(parts...))
	return ""
}

func decode(t *testing.T, data []byte, into any) {
	t.Helper()
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("decoding %.80q: %v", data, err)
	}
}
