package brake_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
)

func now() time.Time { return time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC) }

func writes(links, n int) brake.Foresight {
	f := brake.Foresight{Links: links}
	for i := range n {
		f.Add(brake.Example{Kind: "set-status", Ticket: int64(i + 1)})
	}
	return f
}

func TestWhenItBrakes(t *testing.T) {
	t.Parallel()
	usual := brake.Settings{Share: 0.2, AtLeast: 25}
	for _, tc := range []struct {
		settings     brake.Settings
		links, total int
		brakes       bool
	}{
		{usual, 60, 60, true},
		{usual, 30, 24, false},
		{usual, 30, 25, true},
		{usual, 125, 25, false},
		{usual, 124, 25, true},
		{usual, 1000, 200, false},
		{usual, 1000, 201, true},
		{usual, 0, 25, true},
		{usual, 0, 0, false},
		{brake.Settings{Share: 0, AtLeast: 1}, 1000, 1, true},
		{brake.Settings{Share: 0, AtLeast: 0}, 1000, 0, false},
		{brake.Settings{Share: 1, AtLeast: 1}, 10, 500, false},
	} {
		f := writes(tc.links, tc.total)
		if got := tc.settings.Brakes(&f); got != tc.brakes {
			t.Errorf("%+v, %d of %d: brakes %v", tc.settings, tc.total, tc.links, got)
		}
	}
}

func TestForesightIsBounded(t *testing.T) {
	t.Parallel()
	f := writes(10_000, 5000)
	f.Add(brake.Example{Kind: "create-work-item", Ticket: 7})
	if f.Total() != 5001 || len(f.Examples) != brake.MaxExamples+1 || !cmp.Equal(f.Kinds(), []string{"create-work-item", "set-status"}) {
		t.Errorf("total %d, %d examples, kinds %v", f.Total(), len(f.Examples), f.Kinds())
	}
	told := brake.State{Since: now(), Foresight: f}.Sentence()
	for _, want := range []string{"5001 items", "5000 × set-status", "1 × create-work-item", "10000 links"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q lacks %q", told, want)
		}
	}
}

func TestHeldReleasedAndOver(t *testing.T) {
	t.Parallel()
	usual := brake.Settings{Share: 0.2, AtLeast: 25}
	judge := func(known brake.State, settings string, n int, at time.Time) (brake.Verdict, brake.State) {
		t.Helper()
		verdict, next := brake.Judge(usual, known, settings, writes(100, n), at)
		if verdict == brake.Hold != next.Held() || verdict == brake.Go == next.Exists() {
			t.Errorf("verdict %d with %+v", verdict, next)
		}
		return verdict, next
	}
	_, held := judge(brake.State{}, "a", 60, now())
	if !held.Held() || held.ID() == "" || (brake.State{}).ID() != "" {
		t.Fatalf("held %+v", held)
	}
	// Judged again it is the same change; one that grew or is of other settings is not.
	if _, again := judge(held, "a", 60, now().Add(time.Hour)); again.ID() != held.ID() || !again.Since.Equal(held.Since) {
		t.Errorf("judged again: %+v", again)
	}
	if _, grown := judge(held, "a", 61, now().Add(time.Hour)); grown.ID() == held.ID() || !grown.Since.Equal(held.Since) {
		t.Errorf("grown: %+v", grown)
	}
	if _, other := judge(held, "b", 60, now().Add(time.Hour)); other.ID() == held.ID() || other.Since.Equal(held.Since) {
		t.Errorf("of other settings: %+v", other)
	}
	if verdict, over := judge(held, "b", 24, now()); verdict != brake.Go || over.Exists() {
		t.Errorf("below the share: %+v", over)
	}
	released := held
	released.Released = now().Add(time.Minute)
	if released.ID() != held.ID() || released.Held() {
		t.Errorf("released: %+v", released)
	}
	for _, tc := range []struct {
		settings string
		n        int
		after    time.Duration
		want     brake.Verdict
	}{
		{"a", 60, time.Hour, brake.GoOn},
		{"a", 30, time.Hour, brake.GoOn},
		{"a", 61, time.Hour, brake.Hold},
		{"b", 30, time.Hour, brake.Hold},
		{"a", 60, 25 * time.Hour, brake.Hold},
		{"a", 10, 25 * time.Hour, brake.Go},
	} {
		verdict, next := judge(released, tc.settings, tc.n, now().Add(tc.after))
		if verdict != tc.want || verdict == brake.GoOn && next.ID() != held.ID() || verdict == brake.Hold && next.ID() == held.ID() {
			t.Errorf("%+v: verdict %d, %+v", tc, verdict, next)
		}
	}
}

// Nothing ever goes that was not let go, whatever happened before; and the state comes
// back from the store as it was.
func TestOnlyWhatWasToldGoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		usual := brake.Settings{Share: 0.2, AtLeast: 25}
		var state brake.State
		var told brake.State // what was last let go
		at := now()
		for range rapid.IntRange(1, 12).Draw(t, "events") {
			at = at.Add(time.Duration(rapid.IntRange(1, 20).Draw(t, "hours")) * time.Hour)
			if rapid.Bool().Draw(t, "release") && state.Held() {
				state.Released, told = at, state
				continue
			}
			settings, n := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "settings"), rapid.IntRange(0, 60).Draw(t, "writes")
			verdict, next := brake.Judge(usual, state, settings, writes(100, n), at)
			if n >= 25 && verdict != brake.Hold {
				if told.Settings != settings || n > told.Foresight.Total() {
					t.Fatalf("%d writes of %s went, told was %+v", n, settings, told)
				}
			}
			if n < 25 && verdict != brake.Go {
				t.Fatalf("%d writes: %d", n, verdict)
			}
			text, err := json.Marshal(next)
			if err != nil {
				t.Fatal(err)
			}
			state = brake.State{}
			if err := json.Unmarshal(text, &state); err != nil || state.ID() != next.ID() {
				t.Fatalf("stored %+v, read %+v, %v", next, state, err)
			}
		}
	})
}
