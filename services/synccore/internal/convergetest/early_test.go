package convergetest_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// TestToldBeforeItIsVisible: Alvao tells of a change inside its transaction (alvao.md
// §3.2), so that a hint may arrive before what it tells of can be read. It is looked at
// again until it can, long before the next poll, and that counts as no failure.
func TestToldBeforeItIsVisible(t *testing.T) {
	t.Parallel()
	const invisible = 7 * time.Second
	plain := shape{workers: 1, conflict: "newest", format: item.HTML, existing: "ignore"}
	built, application := plain, plain
	application.application = true
	// newer is a ticket that is made while the test goes on.
	var newer atomic.Int64
	for name, tc := range map[string]struct {
		shape shape
		// linked tells that the change is of a ticket that has a work item.
		linked bool
		change func(ctx context.Context, h *history, ticket int) error
		seen   func(h *history, ticket int) bool
	}{
		"a status, told by a webhook": {
			built, false,
			func(ctx context.Context, h *history, ticket int) error {
				return h.desk.SetStatus(ctx, standalvao.Solver, ticket, "Development")
			},
			func(h *history, ticket int) bool { return h.linkOf(ticket).WorkItem != 0 },
		},
		"a status that comes back, told by the application": {
			application, true,
			func(ctx context.Context, h *history, ticket int) error {
				return h.desk.SetStatus(ctx, standalvao.Solver, ticket, "Testing")
			},
			func(h *history, ticket int) bool {
				w, _ := h.boards.WorkItem(int(h.linkOf(ticket).WorkItem))
				return w.State == "Done"
			},
		},
		"a new ticket, told by the application": {
			application, false,
			func(ctx context.Context, h *history, _ int) error {
				made, err := h.desk.CreateTicket(ctx, standalvao.Requester, standalvao.NewTicket{Name: "New", Service: service, Status: "Development"})
				newer.Store(int64(made.ID))
				return err
			},
			func(h *history, _ int) bool {
				made := int(newer.Load())
				return made != 0 && h.linkOf(made).WorkItem != 0
			},
		},
		"a message, told by the application": {
			application, true,
			func(ctx context.Context, h *history, ticket int) error {
				_, err := h.desk.AddMessage(ctx, standalvao.Solver, ticket, standalvao.Message{HTML: "<p>hardly there</p>"})
				return err
			},
			func(h *history, ticket int) bool {
				for _, c := range h.boards.Comments(int(h.linkOf(ticket).WorkItem)) {
					if strings.Contains(c.Text, "hardly there") {
						return true
					}
				}
				return false
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, err := newWorld(t.Context(), 1, tc.shape, silent())
				if err != nil {
					t.Fatal(err)
				}
				h := &history{world: w, ctx: t.Context(), known: map[int]item.Link{}}
				defer func() {
					if err := w.close(); err != nil {
						t.Error(err)
					}
				}()
				must(t, h.revive(h.ctx))
				must(t, h.pass(time.Second, time.Second))
				status := "New"
				if tc.linked {
					status = "Development"
				}
				made, err := h.desk.CreateTicket(h.ctx, standalvao.Requester, standalvao.NewTicket{Name: "Printer", Service: service, Status: status})
				must(t, err)
				h.tickets = append(h.tickets, made.ID)
				// Just after a poll, so that the next one is far.
				must(t, h.pass(pollEvery+10*time.Second, time.Second))
				if tc.linked && h.linkOf(made.ID).WorkItem == 0 {
					t.Fatal("the ticket has no work item")
				}
				h.desk.SetDelivery(standalvao.Delivery{VisibleAfter: invisible})
				changed := make(chan error, 1)
				go func() { changed <- tc.change(h.ctx, h, made.ID) }()
				must(t, h.pass(invisible-time.Second, 200*time.Millisecond))
				stats, err := h.queue.Stats(h.ctx)
				must(t, err)
				records, _, err := h.queue.List(h.ctx, "development", "waiting", 10, "")
				must(t, err)
				if stats.Waiting != 1 || len(records) != 1 || records[0].Failures != 0 || records[0].Held || !strings.Contains(records[0].Reason, "not visible there yet") {
					t.Fatalf("before it is visible: %+v, %+v", stats, records)
				}
				if tc.seen(h, made.ID) {
					t.Fatal("it was seen before it was visible")
				}
				must(t, h.pass(invisible+2*time.Second, 200*time.Millisecond))
				must(t, <-changed)
				if !tc.seen(h, made.ID) {
					t.Error("it was not seen although it has been visible for a while")
				}
				must(t, h.pass(40*time.Second, time.Second))
				if stats, err := h.queue.Stats(h.ctx); err != nil || stats.Waiting+stats.Running+stats.QueuedLive != 0 || stats.Dead != 0 {
					t.Errorf("afterwards: %+v, %v", stats, err)
				}
			})
		})
	}
}

// TestNothingBehindAHint: a hint of a change that never shows itself, such as one whose
// transaction was rolled back, is looked at a few times and let go.
func TestNothingBehindAHint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(t.Context(), 1, shape{workers: 1, conflict: "newest", format: item.HTML, existing: "ignore"}, silent())
		if err != nil {
			t.Fatal(err)
		}
		h := &history{world: w, ctx: t.Context(), known: map[int]item.Link{}}
		defer func() { must(t, w.close()) }()
		must(t, h.revive(h.ctx))
		must(t, h.pass(30*time.Second, time.Second))
		reads := func() int {
			n := 0
			for call, times := range h.desk.Calls() {
				if strings.HasPrefix(call, "GET /v1/tickets/{id} ") {
					n += times
				}
			}
			return n
		}
		made, err := h.desk.CreateTicket(h.ctx, standalvao.Requester, standalvao.NewTicket{Name: "Printer", Service: service})
		must(t, err)
		must(t, h.pass(20*time.Second, time.Second))
		account := h.desk.Persons()
		tandemID := 0
		for _, p := range account {
			if p.Login == standalvao.ApplicationAccount {
				tandemID = p.ID
			}
		}
		for what, tc := range map[string]struct {
			ticket, person, least, most int
		}{
			"no such ticket":            {4711, 25, 4, 9},
			"a ticket without a change": {made.ID, 25, 3, 7},
			"Tandem's own change":       {made.ID, tandemID, 1, 1},
			"nobody's change":           {made.ID, 0, 1, 1},
		} {
			before := reads()
			event, _ := eventOf("/hooks/alvao", fmt.Appendf(nil, `{"requestId":%d,"personId":%d}`, tc.ticket, tc.person))
			event.Received = time.Now()
			_, err := h.queue.Append(h.ctx, event)
			must(t, err)
			must(t, h.pass(80*time.Second, time.Second))
			if n := reads() - before; n < tc.least || n > tc.most {
				t.Errorf("%s: read %d times", what, n)
			}
			if stats, err := h.queue.Stats(h.ctx); err != nil || stats.Waiting+stats.Dead != 0 {
				t.Errorf("%s: %+v, %v", what, stats, err)
			}
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
