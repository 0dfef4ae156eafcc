//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// TestRefusingRedis: attack R24. Redis answers and stores nothing; senders are told to come
// back, log and metric say why, and nobody has to do anything at Tandem afterwards.
func TestRefusingRedis(t *testing.T) {
	t.Parallel()
	ask := func(command string) func(*testing.T, *redistest.Server) {
		return func(t *testing.T, redis *redistest.Server) { t.Helper(); redis.Must(t, command) }
	}
	for name, c := range map[string]struct {
		on, off        func(*testing.T, *redistest.Server)
		reason, remedy string
	}{
		"out of memory":       {ask("CONFIG SET maxmemory 1"), ask("CONFIG SET maxmemory 0"), "maxmemory", "raise maxmemory"},
		"a read-only replica": {ask("REPLICAOF 127.0.0.1 1"), ask("REPLICAOF NO ONE"), "read_only", "point Tandem at the primary"},
		"the disk is full": {
			func(t *testing.T, redis *redistest.Server) { t.Helper(); redis.FillDisk(t) },
			func(t *testing.T, redis *redistest.Server) { t.Helper(); redis.FreeDisk(t) },
			"disk", "free disk space",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := redistest.StartOnDisk(t)
			s := start(t, stack.Options{
				Redis: redis.URL(),
				// What was refused comes by Azure DevOps' repetition alone.
				Connector: "    pollInterval: 1h\n",
				Sandbox:   sandbox.Options{AzureDevOps: azuredevops.Options{Hooks: azuredevops.Hooks{RetryScale: 0.25}}},
			})
			ticket, workItem := develop(t, s, "Refused for a while")
			rest(t, s)
			before := sample(metrics(t, s.CoreAdmin), "tandem_redis_refusals_total", `reason="`+c.reason+`"`)
			fromCore, fromGateway := len(s.Core.Lines()), len(s.Gateway.Lines())

			c.on(t, redis)
			number := 0
			hook := func() (int, string) {
				number++
				status, answer, _ := send(t, http.MethodPost, hookURL(s), updated("0b6a2b59-1e3f-4c11-8f5a-0000000000ee", number, workItem), genuine(t, s))
				return status, answer
			}
			// Redis writes its file a moment after it has answered.
			await(t, patience, "a hook is refused", func() (bool, string) {
				status, answer := hook()
				return status == http.StatusServiceUnavailable, fmt.Sprintf("it is answered %d %s", status, answer)
			})
			for range 5 {
				if status, answer := hook(); status != http.StatusServiceUnavailable {
					t.Errorf("a hook is answered %d %s, want 503", status, answer)
				}
			}
			setState(t, s, workItem, "Doing")
			line := awaitLine(t, s.Gateway, fromGateway, "the gateway's reason", func(l stack.Line) bool {
				return l.Text("msg") == "webhook.handled" && l.Number("status") == http.StatusServiceUnavailable
			})
			// A sync-core that has told the gateway that it is not ready is not asked again.
			if said := line.Text("error"); !strings.Contains(said, c.remedy) && !strings.Contains(said, "NOT_SERVING") {
				t.Errorf("the gateway says %q, want what to do: %s", said, c.remedy)
			}
			awaitLine(t, s.Core, fromCore, "sync-core's reason", func(l stack.Line) bool {
				return l.Text("msg") == "redis.refuses" && l.Text("reason") == c.reason && strings.Contains(l.Text("error"), c.remedy)
			})
			// The probe of each second goes on, whether anybody sends or not.
			await(t, patience, "the metric counts refusals", func() (bool, string) {
				n := sample(metrics(t, s.CoreAdmin), "tandem_redis_refusals_total", `reason="`+c.reason+`"`) - before
				return n >= 3, fmt.Sprintf("it counts %v for %s", n, c.reason)
			})
			await(t, patience, "sync-core says that it is not ready", func() (bool, string) {
				status, body := get(t, s.CoreAdmin+"/health/ready")
				return status == http.StatusServiceUnavailable, fmt.Sprintf("it answers %d %s", status, body)
			})

			c.off(t, redis)
			awaitStatus(t, s, ticket, "Development pending", recovery)
			await(t, patience, "hooks are taken again", func() (bool, string) {
				status, answer := hook()
				return status == http.StatusAccepted, fmt.Sprintf("it is answered %d %s", status, answer)
			})
			awaitLine(t, s.Core, fromCore, "the end of it", func(l stack.Line) bool {
				return l.Text("msg") == "redis.back" && l.Text("reason") == c.reason
			})
			for _, d := range s.Box.AzureDevOps.Deliveries() {
				if d.Status != http.StatusAccepted && d.Status != http.StatusServiceUnavailable {
					t.Errorf("a delivery was answered %d %s", d.Status, d.Error)
				}
			}
		})
	}
}
