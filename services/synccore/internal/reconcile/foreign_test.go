package reconcile_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestForeignAddressesAreNeverCalled: whoever writes a message decides where its images and links lead. Tandem, which
// holds the credentials of both systems, goes to neither of them.
func TestForeignAddressesAreNeverCalled(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var reached []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		reached = append(reached, fmt.Sprintf("%s http://%s%s, credential %q", r.Method, r.Host, r.URL, r.Header.Get("Authorization")))
	}))
	t.Cleanup(elsewhere.Close)
	c := chatting(t)
	const file = "/_apis/wit/attachments/098a279a-60b9-40a8-868b-b7fd00c0a439?fileName=x.png"
	home := strings.TrimPrefix(strings.TrimSuffix(c.connector.Messages.Desk, "/AlvaoRestApi/"), "http://")
	there := strings.TrimPrefix(elsewhere.URL, "http://")
	for n, source := range []string{
		elsewhere.URL + "/azuredevops/contoso" + file,
		elsewhere.URL + "/azuredevops/contoso/Alvaoproject" + file,
		elsewhere.URL + "/AlvaoRestApi/v1/attachments/1",
		"//" + there + "/azuredevops/contoso" + file,
		"//" + there + "/AlvaoRestApi/v1/attachments/1",
		"http://" + home + "@" + there + "/azuredevops/contoso" + file,
		"http://" + home + "@" + there + "/AlvaoRestApi/v1/attachments/1",
		"http://u:p@" + there + "/azuredevops/contoso" + file,
		`http:\\` + there + `\AlvaoRestApi\v1\attachments\1`,
		elsewhere.URL + "/logo.png",
	} {
		text := fmt.Sprintf(`<p>mark%d <img src="%s" alt="x"> <a href="%s">link</a></p>`, n, source, source)
		c.comment(t, text)
		c.write(t, text)
		if strings.HasPrefix(source, "http://") { // a hyperlink is absolute
			if _, err := c.boards.As(developer).Link(int(c.workItem), "Hyperlink", source, "see"); err != nil {
				t.Error(err)
			}
		}
		c.round(t)
		if len(c.records(fmt.Sprintf("mark%d ", n))) != 1 || len(c.comments(fmt.Sprintf("mark%d ", n))) != 2 {
			t.Errorf("%s: the texts themselves did not cross: %d records, %d comments", source, len(c.records("mark")), len(c.comments("mark")))
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(reached) > 0 {
		t.Errorf("reached %s", strings.Join(reached, "\n"))
	}
}
