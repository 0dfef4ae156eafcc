package teams_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	standteams "github.com/tandem-sync/tandem/services/sandbox/teams"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
	"github.com/tandem-sync/tandem/services/synccore/internal/teams"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func poster(t *testing.T, address string) *teams.Poster {
	t.Helper()
	pool := &http.Transport{}
	t.Cleanup(pool.CloseIdleConnections)
	return teams.New(teams.Options{
		Address: func() (string, error) { return address, nil }, Base: pool, Gate: outbound.NewPace(outbound.PaceOptions{}),
		Now: time.Now, UserAgent: "tandem/test",
	})
}

func card() teams.Card {
	return teams.Card{
		ID: "tandem.development.1.2.3", Title: "[T1] **Jana** commented", Text: "one\n\n[x](https://evil.example)\n# two\n",
		Who: "Petr <at>Svoboda</at> *x*", Mention: "petr@contoso.com",
		Links: []teams.Link{{Title: "Open the ticket", URL: "https://desk/1"}, {Title: "Open the work item", URL: ""}},
	}
}

func TestPost(t *testing.T) {
	t.Parallel()
	stand := standteams.New("s&=+ %x")
	host := httptest.NewServer(stand)
	defer host.Close()
	if err := poster(t, host.URL+"/workflows/1?api-version=1&sig=s%26%3D%2B%20%25x\n").Post(t.Context(), card()); err != nil {
		t.Fatal(err)
	}
	cards := stand.Cards()
	if len(cards) != 1 {
		t.Fatalf("%d cards", len(cards))
	}
	got := cards[0]
	if got.ID != card().ID || strings.Join(got.Lines, "|") != "[T1] **Jana** commented|<at>Petr atSvoboda/at x</at>|one|[x](https://evil.example)|# two" {
		t.Errorf("lines %q", got.Lines)
	}
	if len(got.Links) != 1 || got.Links["Open the ticket"] != "https://desk/1" || len(got.Mentions) != 1 || got.Mentions[0] != "petr@contoso.com" {
		t.Errorf("%+v", got)
	}
	var raw struct {
		Attachments []struct {
			Content struct {
				Body []struct {
					Type string `json:"type"`
				} `json:"body"`
			} `json:"content"`
		} `json:"attachments"`
	}
	if err := json.Unmarshal(got.Raw, &raw); err != nil {
		t.Fatal(err)
	}
	markdown := 0
	for _, block := range raw.Attachments[0].Content.Body {
		if block.Type == "TextBlock" {
			markdown++
		}
	}
	if markdown != 1 {
		t.Errorf("%d blocks read Markdown, the mention alone may", markdown)
	}
}

func TestCardThatIsTooLong(t *testing.T) {
	t.Parallel()
	stand := standteams.New("s")
	host := httptest.NewServer(stand)
	defer host.Close()
	c := card()
	c.Text = strings.Repeat("a line of the comment \"<&>\" \u2028\n", 5000)
	if err := poster(t, host.URL+"?sig=s").Post(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if n := len(stand.Cards()[0].Raw); n > 28<<10 || n < 4<<10 {
		t.Errorf("%d bytes", n)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for status, kind := range map[int]fault.Kind{
		301: fault.Misconfigured, 302: fault.Misconfigured, 400: fault.Refused, 401: fault.Misconfigured, 403: fault.Misconfigured,
		404: fault.Misconfigured, 408: fault.Unavailable, 410: fault.Misconfigured, 413: fault.Refused, 429: fault.Throttled,
		500: fault.Unavailable, 502: fault.Unavailable, 503: fault.Unavailable,
	} {
		var elsewhere atomic.Int32
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
		host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if len(r.Header.Values("Authorization")) != 0 {
				t.Error("there is an Authorization header")
			}
			w.Header().Set("Location", other.URL)
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(r.URL.String()))
		}))
		err := poster(t, host.URL+"/x?sig=topsecret").Post(t.Context(), card())
		f, ok := fault.As(err)
		if !ok || f.Kind != kind || strings.Contains(err.Error(), "topsecret") || strings.Contains(err.Error(), host.URL) {
			t.Errorf("%d: %v", status, err)
		}
		if ok && kind == fault.Throttled && f.RetryAfter != 7*time.Second {
			t.Errorf("%d: wait %s", status, f.RetryAfter)
		}
		if elsewhere.Load() != 0 {
			t.Errorf("%d: a redirect was followed", status)
		}
		host.Close()
		other.Close()
	}
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	host := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	err := poster(t, host.URL+"/x?sig=topsecret").Post(t.Context(), card())
	if !fault.Is(err, fault.Unavailable) || errors.Is(err, outbound.ErrUnsent) || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("%v", err)
	}
	address := host.URL
	host.Close()
	err = poster(t, address+"/x?sig=topsecret").Post(t.Context(), card())
	if !fault.Is(err, fault.Unavailable) || !errors.Is(err, outbound.ErrUnsent) || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := poster(t, address+"/x?sig=topsecret").Post(ctx, card()); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "topsecret") {
		t.Errorf("%v", err)
	}
}

// What is no webhook is never called, and is not repeated to anybody.
func TestAddresses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{
		"", "topsecret", "http://example.com/?sig=topsecret", "https://user:topsecret@example.com/", "ftp://topsecret", "https://", "https:///topsecret",
		"://topsecret", "https://topsecret example.com/\x7f", "http://127.0.0.1.evil.example/topsecret",
	} {
		p := poster(t, bad)
		err := p.Post(t.Context(), card())
		if !fault.Is(err, fault.Misconfigured) || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%q: %v", bad, err)
		}
		if f := p.Check(t.Context()); f.Severity != item.Error || strings.Contains(f.Detail+f.Remedy, "topsecret") {
			t.Errorf("%q: %+v", bad, f)
		}
	}
	if f := poster(t, "https://prod-1.westeurope.logic.azure.com:443/workflows/1?sig=x").Check(t.Context()); f.Severity != item.OK {
		t.Errorf("%+v", f)
	}
}
