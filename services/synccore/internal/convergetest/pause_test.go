package convergetest_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// asleepFor is how long a process is stopped: longer than a lease, than the inbox waits for
// a worker, and than an answer may be late.
const asleepFor = 90 * time.Second

// hold stops a process before the step at which one is to be, and keeps it stopped.
func (w *world) hold(p *process, step string) {
	w.mu.Lock()
	if w.paused == nil && w.pause.at(step) {
		w.paused, p.asleep = p, time.Now().Add(asleepFor)
	}
	until := p.asleep
	w.mu.Unlock()
	time.Sleep(time.Until(until)) //nolint:forbidigo // virtual time
}

// isPaused tells that a process is the one that was stopped.
func (w *world) isPaused(p *process) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.paused == p
}

// heard notes what Redis said to a process that was stopped.
func (w *world) heard(p *process, cmd redis.Cmder) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if answer, ok := cmd.(*redis.Cmd); ok && w.paused == p && p.asleep.Add(time.Second).After(time.Now()) {
		w.late = append(w.late, fmt.Sprintf("%s: %v", w.commandName(cmd), answer.Val()))
	}
}

// performPaused plays an act with two replicas, the first of which to come to a step is
// stopped before it and wakes after the other has taken over. It gives what was wrong, what
// the first tried when it was late, and whether it slept.
func performPaused(t *testing.T, a act, at ending) ([]string, []string, bool) {
	t.Helper()
	var problems, late []string
	slept := false
	synctest.Test(t, func(t *testing.T) {
		logger := silent()
		if *verbose {
			logger = slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug}))
		}
		w, err := newWorld(t.Context(), 1, a.shape(), logger)
		if err != nil {
			t.Fatal(err)
		}
		h := &history{world: w, ctx: t.Context(), known: map[int]item.Link{}}
		h.solved = strings.Contains(a.name, "solver")
		err = h.actOfTwo(a, at)
		if err := errors.Join(err, w.close()); err != nil {
			h.failf("the test itself failed: %v", err)
		}
		problems, late, slept = h.problems, w.late, w.paused != nil
	})
	return problems, late, slept
}

func (h *history) actOfTwo(a act, at ending) error {
	if a.before != nil {
		a.before(h)
	}
	if err := h.begin(); err != nil {
		return err
	}
	var err error
	if h.second, err = h.start(h.ctx); err != nil {
		return err
	}
	h.mu.Lock()
	h.pause = &ending{step: at.step, nth: at.nth}
	h.mu.Unlock()
	for _, do := range a.deeds {
		do(h)
		if h.quiet() {
			return nil
		}
	}
	// Whoever sleeps wakes before it is judged.
	if err := h.pass(asleepFor+time.Minute, 5*time.Second); err != nil || h.meet() {
		return err
	}
	h.check()
	h.checkSaidOnce()
	h.checkLetters()
	return nil
}

// TestSleeperCannotWrite stops one of two replicas before each step that writes what is
// remembered, until long after its lease has passed to the other one. What it then sends is
// refused where it is stored, and what it had written to a system before was adopted.
func TestSleeperCannotWrite(t *testing.T) {
	t.Parallel()
	tried := 0
	for i, result := range rehearse(t) {
		a := acts()[i]
		names, count := stepsOf(result.lives...)
		for _, name := range names {
			if !strings.HasPrefix(name, "link put") && !strings.HasPrefix(name, "link mirror") && name != "inbox done" && name != "inbox forward" {
				continue
			}
			if *crashes >= 0 && stopped[name] {
				continue
			}
			stopped[name] = true
			for nth := 1; nth <= count[name] && (nth == 1 || *crashes < 0); nth++ {
				problems, late, slept := performPaused(t, a, ending{step: name, nth: nth})
				if len(problems) > 0 {
					t.Errorf("%s, stopped before %s#%d:\n  %s", a.name, name, nth, strings.Join(problems, "\n  "))
				}
				if !slept {
					continue
				}
				tried++
				if !refusedLate(name, late) {
					t.Errorf("%s, stopped before %s#%d: what it sent when it woke was answered: %v", a.name, name, nth, late)
				}
			}
		}
	}
	t.Logf("%d times a process slept past its lease", tried)
	if tried < 15 {
		t.Error("that is too few to show anything")
	}
}

// stopped are the steps before which a process was stopped.
var stopped = map[string]bool{}

// refusedLate tells that Redis took nothing of what a step would have written.
func refusedLate(step string, said []string) bool {
	for _, one := range said {
		answer, found := strings.CutPrefix(one, step+": ")
		if !found || answer == "<nil>" { // the script was not known yet, and is sent as a whole
			continue
		}
		// What it does after that, it may do as anybody.
		return answer == "0" || strings.HasPrefix(answer, "[lost")
	}
	return false
}
