package outbound_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
	"github.com/tandem-sync/tandem/services/synccore/internal/tenure"
)

var errOver = errors.New("it is over")

// A change is not sent once the right to make it has ended, be it before the wait for a
// place or while the connection was made; reading goes on.
func TestLateChangesAreNotSent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		method string
		lasts  int64 // how many looks find that it lasts
		sent   bool
	}{
		"it lasts":                   {http.MethodPost, 1000, true},
		"ended before":               {http.MethodPost, 0, false},
		"ended while it was sent":    {http.MethodPost, 1, false},
		"a patch, ended while sent":  {http.MethodPatch, 1, false},
		"reading, ended long before": {http.MethodGet, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var whole atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if _, err := io.Copy(io.Discard, r.Body); err == nil {
					whole.Add(1)
				}
			}))
			defer server.Close()
			var looks atomic.Int64
			ctx := tenure.With(t.Context(), func() error {
				if looks.Add(1) > c.lasts {
					return errOver
				}
				return nil
			})
			client := outbound.NewClient(&outbound.Retry{
				Gate: outbound.NewPace(outbound.PaceOptions{}), Now: time.Now, Next: http.DefaultTransport, Attempts: 3,
			})
			request := outbound.Request{Method: c.method, URL: server.URL}
			if c.method != http.MethodGet {
				request.ContentType, request.Body = "text/plain", []byte(strings.Repeat("x", 100))
			}
			_, err := client.Do(ctx, request)
			if (whole.Load() == 1) != c.sent {
				t.Errorf("it arrived %d times", whole.Load())
			}
			if !c.sent && (!errors.Is(err, outbound.ErrLate) || !errors.Is(err, errOver)) {
				t.Errorf("the error is %v", err)
			}
			if c.sent && err != nil {
				t.Error(err)
			}
		})
	}
}
