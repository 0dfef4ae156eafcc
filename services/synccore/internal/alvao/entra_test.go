package alvao_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// bearer is a token of Microsoft Entra.
type bearer string

func (b bearer) Authorization(context.Context) (string, error) { return "Bearer " + string(b), nil }

// A token that Alvao refuses is told as a token: nobody looks for a password that there is
// none of.
func TestRefusedTokenIsToldAsOne(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusUnauthorized, http.StatusNonAuthoritativeInfo, http.StatusFound} {
		o := options()
		o.Username, o.Password, o.Credential = "", nil, bearer("secret-token")
		o.Base = replies(func(r *http.Request) (*http.Response, error) {
			if got := r.Header.Get("Authorization"); got != "Bearer secret-token" {
				t.Errorf("credentials %q", got)
			}
			w := httptest.NewRecorder()
			w.WriteHeader(status)
			return w.Result(), nil
		})
		_, err := client(t, o).Ticket(t.Context(), 1)
		wantKind(t, err, fault.BadToken)
		if text := fault.Sentence(err); strings.Contains(text, "password") || strings.Contains(text, "secret-token") || !strings.Contains(text, "token that Microsoft Entra gives") || !strings.Contains(text, "clientId") {
			t.Errorf("%d: %q", status, text)
		}
	}
}
