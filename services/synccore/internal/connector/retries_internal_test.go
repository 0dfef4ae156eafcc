package connector

import (
	"errors"
	"testing"
	"time"
)

func TestRetries(t *testing.T) {
	t.Parallel()
	failed := errors.New("x")
	var r retries
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for n, want := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
		if !r.due(now) {
			t.Fatalf("try %d is not due", n)
		}
		r.note(failed, now, 5*time.Minute)
		if r.due(now.Add(want - time.Second)) {
			t.Errorf("try %d is followed within %s", n, want)
		}
		now = now.Add(want)
	}
	r.note(failed, now, 5*time.Minute)
	r.ask()
	if !r.due(now) || r.due(now) {
		t.Error("asked once, it is not due once")
	}
	r.note(nil, now, 5*time.Minute)
	if !r.due(now) {
		t.Error("after a success it waits")
	}
	r.note(failed, now, 5*time.Minute)
	if !r.due(now.Add(time.Minute)) {
		t.Error("after a success it waits longer than at first")
	}
	r.note(failed, now, time.Second)
	if !r.due(now.Add(time.Second)) {
		t.Error("it waits longer than the work takes turns")
	}
}
