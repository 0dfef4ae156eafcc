package webhook_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
)

// fixtures is the folder of recorded deliveries, which lies beside the repository.
func fixtures(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		path := filepath.Join(dir, "shared", "fixtures", "azure-devops", "webhooks")
		if _, err := os.Stat(path); err == nil {
			return path
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	if os.Getenv("CI") == "true" {
		tb.Fatal("shared/fixtures is missing beside the repository; CI must have it")
	}
	tb.Skip("shared/fixtures is not beside the repository, so the recorded deliveries can't be replayed")
	return ""
}

func fixture(tb testing.TB, name string) string {
	tb.Helper()
	content, err := os.ReadFile(filepath.Join(fixtures(tb), name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(content)
}

// TestFixtures sends every recorded delivery twice.
func TestFixtures(t *testing.T) {
	t.Parallel()
	updated := func(subscription, notification string) *tandemv1.IngestEventRequest {
		return &tandemv1.IngestEventRequest{
			System: tandemv1.System_SYSTEM_AZURE_DEVOPS, ItemId: 30, Revision: 5, EventType: "workitem.updated",
			EventId: "azure-devops/" + subscription + "/" + notification,
			Origin: &tandemv1.Origin{
				AccountUrl: "https://dev.azure.com/", ProjectId: "4cfab79e-7973-4d9d-b9df-253531404bba", ProjectName: "ExampleProject",
			},
		}
	}
	type answer struct {
		status  int
		first   string
		again   string
		request *tandemv1.IngestEventRequest
	}
	test := answer{202, `{"result":"test"}`, `{"result":"test"}`, nil}
	ignored := answer{202, `{"result":"ignored"}`, `{"result":"ignored"}`, nil}
	malformed := answer{400, `"error"`, `"error"`, nil}
	stored := func(subscription, notification string) answer {
		return answer{202, `{"result":"stored"}`, `{"result":"duplicate"}`, updated(subscription, notification)}
	}
	wants := map[string]answer{
		"ResourceVersion-1.0.json":           stored("98bd70de-8422-4fb4-a4fb-d2f8d9e50ee9", "4"),
		"ResourceVersion-3.1-preview.3.json": stored("b3038ecc-97eb-423f-ba25-1fcc5dc7b3c9", "161"),
		"ResourceVersion-5.1-preview.3.json": stored("98bd70de-8422-4fb4-a4fb-d2f8d9e50ee9", "3"),
		"TestEvent.json":                     test,
		"workitem.created.json":              test,
		"workitem.updated.json":              test,
		"workitem.commented.json":            test,
		"workitem.deleted.json":              test,
		"workitem.restored.json":             test,
		"build.complete.json":                ignored,
		"git.push.json":                      ignored,
		"git.pullrequest.created.json":       ignored,
		"git.pullrequest.merged.json":        ignored,
		"git.pullrequest.updated.json":       ignored,
		"message.posted.json":                ignored,
		"tfvc.checkin.json":                  ignored,
		"bad.notMappedEventType.json":        ignored,
		"bad.noEventType.json":               malformed,

		"not-strict/ResourceVersion-1.0.json.txt":           malformed,
		"not-strict/ResourceVersion-3.1-preview.3.json.txt": malformed,
		"not-strict/ResourceVersion-5.1-preview.3.json.txt": malformed,
	}
	dir := fixtures(t)
	for _, pattern := range []string{"*.json", "not-strict/*"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files match %s: %v", pattern, err)
		}
		for _, file := range files {
			name, err := filepath.Rel(dir, file)
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := wants[filepath.ToSlash(name)]; !ok {
				t.Errorf("%s has no line in this table", name)
			}
		}
	}
	for name, expected := range wants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := fixture(t, name)
			s := newSetup(t, nil)
			handler := s.Handler(hook())
			want(t, post(t, handler, body, nil), expected.status, expected.first)
			want(t, post(t, handler, body, nil), expected.status, expected.again)

			requests := s.core.received()
			if expected.request == nil {
				if len(requests) != 0 {
					t.Errorf("%d events were stored, want none", len(requests))
				}
				return
			}
			if len(requests) != 2 {
				t.Fatalf("%d events reached sync-core, want both deliveries", len(requests))
			}
			if diff := cmp.Diff(expected.request, requests[0], protocmp.Transform(),
				protocmp.IgnoreFields(&tandemv1.IngestEventRequest{}, "payload", "receive_time")); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
			if string(requests[0].GetPayload()) != strings.TrimPrefix(body, "\ufeff") {
				t.Error("the payload is not the body")
			}
		})
	}
}

// TestIgnoredIsCounted: what asks for nothing is counted with its reason.
func TestIgnoredIsCounted(t *testing.T) {
	t.Parallel()
	s := newSetup(t, nil)
	handler := s.Handler(hook())
	for _, name := range []string{"TestEvent.json", "workitem.updated.json", "build.complete.json", "bad.notMappedEventType.json", "git.push.json"} {
		post(t, handler, fixture(t, name), nil)
	}
	post(t, handler, `{"eventType":"workitem.deleted","resource":null}`, nil)
	post(t, handler, updated, func(r *http.Request) { r.SetBasicAuth(user, "x") })
	for reason, count := range map[string]int64{"test": 2, "event_type": 3, "no_item": 1} {
		if got := s.counted(t, "tandem.webhooks.ignored", "source", "azure-devops", "reason", reason); got != count {
			t.Errorf("%d ignored with reason %s, want %d", got, reason, count)
		}
	}
	for result, count := range map[string]int64{"test": 2, "ignored": 4, "unauthorized": 1} {
		if got := s.counted(t, "tandem.webhooks", "source", "azure-devops", "result", result); got != count {
			t.Errorf("%d counted as %s, want %d", got, result, count)
		}
	}
}
