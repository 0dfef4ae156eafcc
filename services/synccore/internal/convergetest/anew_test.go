package convergetest_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// TestLinksMadeAnew empties Redis where only one mark is left that tells what belongs
// together, or where one tells a lie: after `synccore rebuild-links` every ticket has the
// work item that it had, and both go on as if nothing had been.
func TestLinksMadeAnew(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(h *history, one, other int){
		"nothing happens": func(*history, int, int) {},
		// In no mapped status, so that no round would look for a work item by itself.
		"a ticket that left development loses its number": func(h *history, one, _ int) {
			h.must(h.desk.SetStatus(h.ctx, standalvao.Solver, one, "Analysis"))
			h.setExternalID(one, "")
		},
		"a work item loses its mark": func(h *history, one, _ int) {
			_, err := h.boards.As(tester).Change(int(h.had[one]), standazure.Set{Field: "System.Tags", Value: ""})
			h.must(err)
		},
		// It is looked at before the ticket whose work item it is.
		"another ticket is given the number": func(h *history, one, other int) {
			h.setExternalID(other, strconv.FormatInt(h.had[one], 10))
			h.must(h.desk.SetStatus(h.ctx, standalvao.Solver, other, "Development"))
		},
		"another ticket is given the number, and the ticket has lost it": func(h *history, one, other int) {
			h.setExternalID(one, "")
			h.setExternalID(other, strconv.FormatInt(h.had[one], 10))
			h.must(h.desk.SetStatus(h.ctx, standalvao.Solver, other, "Development"))
		},
	} {
		for _, running := range []bool{false, true} {
			which := map[bool]string{false: "while nothing runs", true: "while all goes on"}[running]
			t.Run(name+" "+which, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					w, err := newWorld(t.Context(), 1, plain(), silent())
					if err != nil {
						t.Fatal(err)
					}
					h := &history{world: w, ctx: t.Context(), known: map[int]item.Link{}, had: map[int]int64{}, lost: map[int]bool{}, began: time.Now()}
					err = h.loseAndRebuild(meanwhile, running)
					if err := errors.Join(err, w.close()); err != nil {
						h.failf("the test itself failed: %v", err)
					}
					if len(h.problems) > 0 {
						t.Errorf("it did not converge:\n  %s", strings.Join(h.problems, "\n  "))
					}
				})
			})
		}
	}
}

func (h *history) loseAndRebuild(meanwhile func(h *history, one, other int), running bool) error {
	if err := h.begin(); err != nil {
		return err
	}
	h.enter("New") // the one that is given what is not its own, and so has the lower number
	h.enter("Development")
	other, one := h.tickets[0], h.tickets[1]
	if h.quiet() {
		return nil
	}
	h.had[one] = h.linkOf(one).WorkItem
	if h.had[one] == 0 {
		return errors.New("the ticket has no work item")
	}
	if !running {
		if err := h.bury(); err != nil {
			return err
		}
	}
	if err := h.redis.flush(); err != nil {
		return err
	}
	h.wiped = true
	meanwhile(h, one, other)
	if running && h.quiet() {
		return nil
	}
	if err := h.rebuild(); err != nil {
		return err
	}
	if h.lost[one] {
		return errors.New("a mark is left, and the test says that none is")
	}
	if h.meet() {
		return nil
	}
	h.checkRebuilt()
	h.check()
	h.checkSaidOnce()
	return nil
}
