package alvao_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/tandem-sync/tandem/services/sandbox/tape"
	"github.com/tandem-sync/tandem/services/synccore/internal/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	base     = "https://contoso.onalvao.com/AlvaoRestApi"
	password = "s3cret-word"
)

func clock() time.Time { return time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC) }

func secret() (string, error) { return password, nil }

// replies is a transport that answers without a network.
type replies func(*http.Request) (*http.Response, error)

func (f replies) RoundTrip(r *http.Request) (*http.Response, error) {
	return tape.Open().Transport(answers(f)).RoundTrip(r)
}

// answers is replies without a tape.
type answers func(*http.Request) (*http.Response, error)

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func options() alvao.Options {
	return alvao.Options{BaseURL: base, Service: "Development", Username: "tandem", Password: secret, Now: clock, UserAgent: "tandem-test"}
}

func client(t *testing.T, o alvao.Options) *alvao.Client {
	t.Helper()
	c, err := alvao.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type request struct {
	method, path string
	query        url.Values
	raw, body    string
}

// sent keeps requests in their order.
type sent struct {
	mu   sync.Mutex
	list []request
}

func (s *sent) all() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list
}

// answering makes a client that is answered by handler and keeps what it sent.
func answering(t *testing.T, o alvao.Options, handler http.HandlerFunc) (*alvao.Client, *sent) {
	t.Helper()
	s := &sent{}
	o.Base = replies(func(r *http.Request) (*http.Response, error) {
		body := ""
		if r.Body != nil {
			data, err := io.ReadAll(r.Body)
			if err != nil {
				t.Errorf("reading request: %v", err)
			}
			body = string(data)
		}
		if user, word, ok := r.BasicAuth(); !ok || user != "tandem" || word != password {
			t.Errorf("credentials %q %q", user, word)
		}
		s.mu.Lock()
		s.list = append(s.list, request{r.Method, strings.TrimPrefix(r.URL.EscapedPath(), "/AlvaoRestApi"), r.URL.Query(), r.URL.RawQuery, body})
		s.mu.Unlock()
		r.Body = io.NopCloser(strings.NewReader(body))
		w := httptest.NewRecorder()
		handler(w, r)
		return w.Result(), nil
	})
	return client(t, o), s
}

func answerJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json; odata.metadata=minimal; charset=utf-8")
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
	if text == "" || !strings.HasSuffix(text, ".") || strings.ContainsAny(text, "\n\r") || strings.Contains(text, password) || strings.Contains(text, "%!") {
		t.Errorf("%q is not one sentence for a person", text)
	}
}
