package worker_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/worker"
)

func TestDecideByKind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		err     error
		attempt int
		verdict worker.Verdict
		counted bool
		held    bool
	}{
		{"done", nil, 3, worker.Finish, false, false},
		{"conflict is never counted", fault.New(fault.Conflict, "x"), 900, worker.Again, false, false},
		{"busy is never counted", fault.New(fault.Busy, "x"), 900, worker.Again, false, false},
		{"throttled holds", fault.New(fault.Throttled, "x"), 900, worker.Again, false, true},
		{"bad token holds", fault.New(fault.BadToken, "x"), 900, worker.Again, false, true},
		{"unavailable counts", fault.New(fault.Unavailable, "x"), 0, worker.Again, true, true},
		{"unavailable for a day", fault.New(fault.Unavailable, "x"), 1499, worker.GiveUp, true, false},
		{"plain error counts", errors.New("x"), 0, worker.Again, true, false},
		{"plain error after an outage", errors.New("x"), 900, worker.Again, true, false},
		{"plain error for a day, among others", errors.New("x"), 1499, worker.GiveUp, true, false},
		{"invalid", fault.New(fault.Invalid, "x"), 0, worker.GiveUp, false, false},
		{"denied", fault.New(fault.Denied, "x"), 0, worker.GiveUp, false, false},
		{"misconfigured", fault.New(fault.Misconfigured, "x"), 0, worker.GiveUp, false, false},
		{"refused outside a round", fault.New(fault.Refused, "x"), 0, worker.GiveUp, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := worker.Decide(c.err, inbox.Delivery{Attempt: c.attempt}, 0.5)
			if got.Verdict != c.verdict || got.Counted != c.counted || got.Held != c.held {
				t.Errorf("got %+v", got)
			}
			if (got.Reason == "") != (c.verdict == worker.Finish) {
				t.Errorf("reason %q with verdict %s", got.Reason, got.Verdict)
			}
			if got.Verdict == worker.Again && got.After <= 0 {
				t.Errorf("waits %s", got.After)
			}
		})
	}
}

// Failures for no known reason count by themselves: ten in a row are enough, however many
// others were before them, and the first of them is followed by a quick retry.
func TestDecideUnexpected(t *testing.T) {
	t.Parallel()
	for n := range 10 {
		got := worker.Decide(errors.New("x"), inbox.Delivery{Attempt: 100 + n, Unexpected: n}, 0)
		want := worker.Again
		if n == 9 {
			want = worker.GiveUp
		}
		if got.Verdict != want || !got.Unexpected || !got.Counted {
			t.Errorf("after %d in a row: %+v", n, got)
		}
		if n == 0 && got.After != time.Second {
			t.Errorf("the first is tried again after %s", got.After)
		}
	}
	if got := worker.Decide(fault.New(fault.Unavailable, "x"), inbox.Delivery{Attempt: 9, Unexpected: 9}, 0); got.Unexpected || got.Verdict != worker.Again {
		t.Errorf("an outage after them: %+v", got)
	}
}

func TestDecideWaits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		attempt := rapid.IntRange(0, 200).Draw(t, "attempt")
		jitter := rapid.Float64Range(0, 0.999).Draw(t, "jitter")
		told := time.Duration(rapid.IntRange(0, 7200).Draw(t, "told")) * time.Second
		kind := rapid.SampledFrom([]fault.Kind{fault.Unavailable, fault.Throttled, fault.Busy}).Draw(t, "kind")

		tried := func(n int) inbox.Delivery { return inbox.Delivery{Attempt: n} }
		got := worker.Decide(fault.New(kind, "x").After(told), tried(attempt), jitter)
		if got.After < told {
			t.Fatalf("waits %s though told %s", got.After, told)
		}
		if got.After > max(told, time.Minute)+time.Second {
			t.Fatalf("waits %s, longer than the cap", got.After)
		}
		if kind == fault.Unavailable {
			later := worker.Decide(fault.New(kind, "x"), tried(attempt+1), jitter)
			now := worker.Decide(fault.New(kind, "x"), tried(attempt), jitter)
			if later.After < now.After {
				t.Fatalf("attempt %d waits %s, the next only %s", attempt, now.After, later.After)
			}
		}
	})
}
