package convergetest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// TestRoundTripsOfAChange counts how often a process asks Redis from the webhook of a change
// until its round and that of its echo are over, what is done in any case meanwhile included:
// what each costs is the network's time, and what is sent together
// costs it once.
func TestRoundTripsOfAChange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, err := newWorld(t.Context(), 1, plain(), silent())
		if err != nil {
			t.Fatal(err)
		}
		h := &history{world: w, ctx: t.Context(), known: map[int]item.Link{}}
		defer func() { must(t, w.close()) }()
		must(t, h.begin())
		h.enter("Development")
		// Just after a poll, so that the next one is far.
		must(t, h.pass(pollEvery+5*time.Second, time.Second))
		p := h.alive()
		for _, tc := range []struct {
			what string
			do   func(*history)
			most int
		}{
			{"a state, with its echo", state("Doing"), 42},
			{"a status, with its echo", status("Testing"), 53},
			{"a comment, with its echo", func(h *history) { h.answer(false) }, 42},
		} {
			p.mu.Lock()
			from := len(p.steps)
			p.mu.Unlock()
			tc.do(h)
			must(t, h.pass(25*time.Second, 500*time.Millisecond))
			var trips []string
			p.mu.Lock()
			for _, step := range p.steps[from:] {
				if !strings.HasPrefix(step, "desk ") && !strings.HasPrefix(step, "boards ") {
					trips = append(trips, step)
				}
			}
			p.mu.Unlock()
			t.Logf("%s: %d: %s", tc.what, len(trips), strings.Join(trips, "; "))
			if len(trips) > tc.most {
				t.Errorf("%s: Redis was asked %d times, want at most %d", tc.what, len(trips), tc.most)
			}
		}
	})
}
