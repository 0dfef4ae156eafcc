//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// outage is something that goes away and comes back.
type outage struct {
	away, back func(t *testing.T, s *stack.Stack, redis *redistest.Server)
	// deaf tells that nobody answers hooks meanwhile, not even with 503.
	deaf bool
}

func outages() map[string]outage {
	startCore := func(t *testing.T, s *stack.Stack, _ *redistest.Server) {
		t.Helper()
		if err := s.StartCore(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return map[string]outage{
		"redis is killed": {
			away: func(_ *testing.T, _ *stack.Stack, redis *redistest.Server) { redis.Kill() },
			back: func(t *testing.T, _ *stack.Stack, redis *redistest.Server) { t.Helper(); redis.Restart(t) },
		},
		"sync-core is stopped": {
			away: func(t *testing.T, s *stack.Stack, _ *redistest.Server) {
				t.Helper()
				if err := s.Core.Stop(); err != nil {
					t.Fatal(err)
				}
			},
			back: startCore,
		},
		"sync-core is killed": {
			away: func(_ *testing.T, s *stack.Stack, _ *redistest.Server) { s.Core.Kill() },
			back: startCore,
		},
		"the gateway is killed": {
			away: func(_ *testing.T, s *stack.Stack, _ *redistest.Server) { s.Gateway.Kill() },
			back: func(t *testing.T, s *stack.Stack, _ *redistest.Server) {
				t.Helper()
				if err := s.StartGateway(t.Context()); err != nil {
					t.Fatal(err)
				}
			},
			deaf: true,
		},
	}
}

// TestOutage takes something away, lets people work on both sides meanwhile, brings it
// back, and does nothing else: all that was done must arrive.
func TestOutage(t *testing.T) {
	t.Parallel()
	for name, o := range outages() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := redistest.Start(t)
			s := start(t, stack.Options{
				Redis:     redis.URL(),
				Connector: "    pollInterval: 1s\n",
				// Microsoft's first retries come after 1, 2, 4 … 60 seconds.
				Sandbox: sandbox.Options{AzureDevOps: azuredevops.Options{Hooks: azuredevops.Hooks{RetryScale: 0.25}}},
			})
			moved, itsItem := develop(t, s, "Moved in Alvao meanwhile")
			followed, itemMoved := develop(t, s, "Moved in Azure DevOps meanwhile")
			waiting := open(t, s, "Enters Development meanwhile")
			rest(t, s)

			o.away(t, s, redis)
			checkAway(t, s, o)
			from := len(s.Box.AzureDevOps.Deliveries())
			setStatus(t, s, moved, "Testing")
			setState(t, s, itemMoved, "Doing")
			setStatus(t, s, waiting, "Development")
			// Alvao does not repeat: its webhooks must have been lost before the end of the
			// outage. Azure DevOps must have been refused at least twice.
			if err := s.Box.Alvao.Quiet(t.Context()); err != nil {
				t.Fatal(err)
			}
			if failed := failures(s.Box.Alvao); failed < 2 {
				t.Errorf("%d of Alvao's webhooks failed, want those of both changes", failed)
			}
			await(t, patience, "Azure DevOps has tried twice", func() (bool, string) {
				n := len(s.Box.AzureDevOps.Deliveries()[from:])
				return n >= 2, fmt.Sprintf("%d attempts", n)
			})

			began := time.Now()
			o.back(t, s, redis)
			awaitState(t, s, itsItem, "Done", recovery)
			awaitStatus(t, s, followed, "Development pending", recovery)
			awaitPair(t, s, waiting)
			took := time.Since(began)
			rest(t, s)
			t.Logf("in step %s after the end of the outage", took.Round(time.Millisecond))
			for _, sub := range s.Box.AzureDevOps.Subscriptions() {
				if sub.Status != "enabled" {
					t.Errorf("the subscription for %s is %s", sub.EventType, sub.Status)
				}
			}
			for _, d := range s.Box.AzureDevOps.Deliveries() {
				if ok := d.Status == http.StatusAccepted || d.Status == http.StatusServiceUnavailable || o.deaf && d.Status == 0; !ok {
					t.Errorf("a delivery was answered %d %s", d.Status, d.Error)
				}
			}
			if n := s.Box.AzureDevOps.Count(); n != 3 {
				t.Errorf("there are %d work items, want 3", n)
			}
			// Three creations take three writes each, with the first message, the two moves one
			// each: nothing twice.
			if n := writesOf(s); n != 11 {
				t.Errorf("Tandem wrote %d times, want 11", n)
			}
			// And it all works again.
			setState(t, s, itemMoved, "Done")
			awaitStatus(t, s, followed, "Testing", patience)
		})
	}
}

// checkAway sees what a sender and a probe see during the outage.
func checkAway(t *testing.T, s *stack.Stack, o outage) {
	t.Helper()
	for i := range 5 {
		status, answer, _ := send(t, http.MethodPost, hookURL(s), updated("0b6a2b59-1e3f-4c11-8f5a-0000000000cc", i+1, 1), genuine(t, s))
		switch {
		case o.deaf && status != 0:
			t.Errorf("a dead gateway answers %d", status)
		case !o.deaf && status != http.StatusServiceUnavailable:
			t.Errorf("a hook is answered %d %s, want 503", status, answer)
		}
	}
	if o.deaf {
		return
	}
	await(t, patience, "the gateway says that it is not ready", func() (bool, string) {
		status, body := get(t, s.GatewayAdmin+"/health/ready")
		return status == http.StatusServiceUnavailable, fmt.Sprintf("it answers %d %s", status, body)
	})
	if status, _ := get(t, s.GatewayAdmin+"/health/live"); status != http.StatusOK {
		t.Errorf("the gateway's liveness is %d, want 200: a restart would help nothing", status)
	}
	// What a genuine event without use is answered does not depend on it.
	if status, answer, _ := send(t, http.MethodPost, hookURL(s), `{"eventType":"build.complete"}`, genuine(t, s)); status != http.StatusAccepted {
		t.Errorf("an event without use is answered %d %s", status, answer)
	}
}

// failures counts Alvao's webhook calls that were not taken.
func failures(desk *alvao.Server) int { return desk.DeliveryStats().Failed }
