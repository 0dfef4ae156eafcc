package sandbox_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox"
)

// What people were told is shown, and forgotten when asked to.
func TestNotices(t *testing.T) {
	t.Parallel()
	_, base := start(t, sandbox.Options{})
	do := func(method, url string, body []byte) (int, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, content
	}
	card := []byte(`{"type":"message","id":"1","attachments":[{"contentType":"application/vnd.microsoft.card.adaptive",
		"content":{"type":"AdaptiveCard","body":[{"type":"RichTextBlock","inlines":[{"type":"TextRun","text":"hello"}]}]}}]}`)
	for address, want := range map[string]int{
		sandbox.TeamsURL(base): http.StatusAccepted, sandbox.TeamsURL(base) + "x": http.StatusUnauthorized, base + "/teams/workflows/sandbox": http.StatusUnauthorized,
	} {
		if got, _ := do(http.MethodPost, address, card); got != want {
			t.Errorf("%s answers %d", address, got)
		}
	}
	for body, want := range map[string]int{"{}": http.StatusBadRequest, string(bytes.Repeat([]byte(" "), 29<<10)): http.StatusRequestEntityTooLarge} {
		if got, _ := do(http.MethodPost, sandbox.TeamsURL(base), []byte(body)); got != want {
			t.Errorf("a bad card is answered %d", got)
		}
	}
	var told struct {
		Mails []any `json:"mails"`
		Cards []struct {
			Lines []string `json:"lines"`
		} `json:"cards"`
	}
	for _, want := range []int{1, 0} {
		_, content := do(http.MethodGet, base+"/sandbox/api/notices", nil)
		if err := json.Unmarshal(content, &told); err != nil {
			t.Fatal(err)
		}
		if len(told.Cards) != want || told.Mails == nil || want == 1 && told.Cards[0].Lines[0] != "hello" {
			t.Errorf("%+v", told)
		}
		do(http.MethodDelete, base+"/sandbox/api/notices", nil)
	}
	if got, _ := do(http.MethodPost, base+"/sandbox/api/notices", nil); got != http.StatusMethodNotAllowed {
		t.Errorf("POST is answered %d", got)
	}
}
