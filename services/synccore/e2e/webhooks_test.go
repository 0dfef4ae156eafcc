//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// fixtures is the folder of recorded webhook bodies beside the repository.
func fixtures(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../../../shared/fixtures/azure-devops/webhooks")
	if err == nil {
		_, err = os.Stat(dir)
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("the recorded webhooks are missing: %v", err)
		}
		t.Skipf("the recorded webhooks are not there: %v", err)
	}
	return dir
}

// Every recorded body gets the answer that keeps Azure DevOps from disabling the hook,
// and does what its kind means.
func TestRecordedWebhooks(t *testing.T) {
	t.Parallel()
	dir := fixtures(t)
	s := start(t, func(o *stack.Options) { o.NoHooks = true })
	var files []string
	for _, pattern := range []string{"*.json", "not-strict/*.txt", "resources/*.json"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		files = append(files, found...)
	}
	ignoredBefore := metric(scrape(t, s.GatewayAdmin), "tandem_webhooks_ignored_total{")
	ignored := 0
	for _, file := range files {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(file, dir+"/")
		want := http.StatusAccepted
		switch {
		case strings.HasPrefix(name, "not-strict/"), strings.HasPrefix(name, "resources/"), name == "bad.noEventType.json":
			want = http.StatusBadRequest
		case !strings.HasPrefix(name, "ResourceVersion"):
			ignored++ // a Test event, or a kind that Tandem has no use for
		}
		for range 2 {
			if got, text := post(t, s, "/hooks/azure-devops/"+stack.Connector, body, nil); got != want {
				t.Errorf("%s: answered %d %s, want %d", name, got, text, want)
			}
		}
	}
	if got := metric(scrape(t, s.GatewayAdmin), "tandem_webhooks_ignored_total{") - ignoredBefore; int(got) != 2*ignored {
		t.Errorf("%v bodies were counted as ignored, want %d", got, 2*ignored)
	}
	// The recorded updates speak of work item 30 by update 18.
	await(t, 10*time.Second, "work item 30 is looked at", func() (bool, string) {
		return len(handled(s, 0, func(l stack.Line) bool { return l.Number("item_id") == 30 })) > 0, "nothing"
	})
	for _, line := range handled(s, 0, func(stack.Line) bool { return true }) {
		if line.Number("item_id") != 30 {
			t.Errorf("item %v was looked at", line["item_id"])
		}
	}
}

func TestWhoMaySendWebhooks(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *stack.Options) { o.NoHooks = true })
	body := update("3e7d6a4c-0f0b-4c61-9d7b-6a1f0f5c2b11", 1, 5, 2)
	for _, c := range []struct {
		path   string
		header map[string]string
		want   int
	}{
		{"/hooks/azure-devops/" + stack.Connector, nil, http.StatusAccepted},
		{"/hooks/azure-devops/" + stack.Connector, map[string]string{"Authorization": ""}, http.StatusUnauthorized},
		{"/hooks/azure-devops/" + stack.Connector, map[string]string{"Authorization": "Basic dGFuZGVtOndyb25n"}, http.StatusUnauthorized},
		{"/hooks/azure-devops/nobody", nil, http.StatusNotFound},
		{"/hooks/alvao/" + stack.Connector + "/" + strings.Repeat("0", 64), nil, http.StatusUnauthorized},
		{"/hooks/alvao/" + stack.Connector, map[string]string{"Authorization": ""}, http.StatusUnauthorized},
		{"/hooks/azure-devops/" + stack.Connector, map[string]string{"Content-Type": "text/plain"}, http.StatusUnsupportedMediaType},
	} {
		if got, text := post(t, s, c.path, body, c.header); got != c.want {
			t.Errorf("%s %v: answered %d %s, want %d", c.path, c.header, got, text, c.want)
		}
	}
	large := []byte(`{"eventType":"workitem.updated","x":"` + strings.Repeat("x", 5<<20) + `"}`)
	if got, _ := post(t, s, "/hooks/azure-devops/"+stack.Connector, large, nil); got != http.StatusRequestEntityTooLarge {
		t.Errorf("5 MiB: answered %d", got)
	}
}

// A burst on one item costs the round that runs and one more.
func TestBurstOnOneItem(t *testing.T) {
	t.Parallel()
	s := start(t)
	workItem := workItemOf(t, s, newTicket(t, s, "Development"))
	settle(t, s)
	from := len(s.Core.Lines())
	sendAll(t, s, 200, func(n int) []byte { return update("3e7d6a4c-0f0b-4c61-9d7b-6a1f0f5c2b11", 1000+n, workItem, 50+n) })
	settle(t, s)
	rounds := handled(s, from, func(l stack.Line) bool { return l.Text("system") == "alvao" })
	var hints float64
	for _, line := range rounds {
		hints += line.Number("hints")
	}
	if len(rounds) > 2 || hints != 200 {
		t.Errorf("%d rounds served %v hints", len(rounds), hints)
	}
}

// The same delivery, however often it is repeated, is served once.
func TestDuplicateDeliveries(t *testing.T) {
	t.Parallel()
	s := start(t)
	workItem := workItemOf(t, s, newTicket(t, s, "Development"))
	settle(t, s)
	from := len(s.Core.Lines())
	body := update("3e7d6a4c-0f0b-4c61-9d7b-6a1f0f5c2b11", 77, workItem, 50)
	sendAll(t, s, 200, func(int) []byte { return body })
	settle(t, s)
	rounds := handled(s, from, func(l stack.Line) bool { return l.Text("system") == "alvao" })
	if len(rounds) != 1 || rounds[0].Number("hints") != 1 {
		t.Errorf("200 duplicates were served by %d rounds", len(rounds))
	}
	if got := metric(scrape(t, s.GatewayAdmin), `tandem_webhooks_total{`); got < 200 {
		t.Errorf("%v webhooks were counted", got)
	}
}

// sendAll posts n bodies from 16 connections.
func sendAll(t *testing.T, s *stack.Stack, n int, body func(n int) []byte) {
	t.Helper()
	work := make(chan int)
	failed := make(chan string, n)
	done := make(chan struct{})
	for range 16 {
		go func() {
			defer func() { done <- struct{}{} }()
			for i := range work {
				if status, text := post(t, s, "/hooks/azure-devops/"+stack.Connector, body(i), nil); status != http.StatusAccepted {
					failed <- fmt.Sprintf("%d %s", status, text)
				}
			}
		}()
	}
	for i := range n {
		work <- i
	}
	close(work)
	for range 16 {
		<-done
	}
	close(failed)
	if all := slices.Collect(func(yield func(string) bool) {
		for text := range failed {
			if !yield(text) {
				return
			}
		}
	}); len(all) > 0 {
		t.Fatalf("%d of %d were not accepted, such as %s", len(all), n, all[0])
	}
}

// settle waits until nothing is left to serve.
func settle(t *testing.T, s *stack.Stack) {
	t.Helper()
	if err := s.Box.Alvao.Quiet(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, time.Minute, "the inbox is empty", func() (bool, string) {
		pending := s.Box.AzureDevOps.PendingDeliveries()
		text := scrape(t, s.CoreAdmin)
		waiting := metric(text, "tandem_inbox_items{") - metric(text, `tandem_inbox_items{otel_scope_name="github.com/tandem-sync/tandem/services/synccore/app",otel_scope_schema_url="",otel_scope_version="",state="dead"`)
		return pending == 0 && waiting == 0, fmt.Sprintf("%d deliveries and %v items wait", pending, waiting)
	})
}
