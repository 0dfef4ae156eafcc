package memo_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/tandem-sync/tandem/services/synccore/internal/memo"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRemembersForItsTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	m := memo.New[int](2, time.Minute, func() time.Time { return now })
	reads := 0
	get := func(key string) int {
		t.Helper()
		v, err := m.Get(t.Context(), key, func(context.Context) (int, error) { reads++; return reads, nil })
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	if a, b := get("x"), get("x"); a != 1 || b != 1 {
		t.Errorf("got %d and %d, want one read", a, b)
	}
	now = now.Add(time.Minute)
	if v := get("x"); v != 2 {
		t.Errorf("got %d after its time, want a new read", v)
	}
	get("y")
	get("z") // pushes out x, the oldest
	if v := get("x"); v != 5 {
		t.Errorf("got %d, want the pushed-out answer read anew", v)
	}
	m.Put("x", 9)
	if v, ok := m.Known("x"); !ok || v != 9 {
		t.Errorf("Known = %d, %v", v, ok)
	}
	m.Forget("x")
	if _, ok := m.Known("x"); ok {
		t.Error("forgotten answer is known")
	}
	m.ForgetAll()
	if _, ok := m.Known("z"); ok {
		t.Error("forgotten answer is known")
	}
}

func TestErrorsAreNotRemembered(t *testing.T) {
	t.Parallel()
	m := memo.New[int](1, time.Minute, func() time.Time { return time.Time{} })
	broken := errors.New("broken")
	if _, err := m.Get(t.Context(), "", func(context.Context) (int, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if v, err := m.Get(t.Context(), "", func(context.Context) (int, error) { return 7, nil }); v != 7 || err != nil {
		t.Errorf("got %d, %v after an error", v, err)
	}
}

// TestOneReadsForAll also covers that the one who asked first may go away.
func TestOneReadsForAll(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := memo.New[int](1, time.Hour, func() time.Time { return time.Time{} })
		var reads int
		read := func(ctx context.Context) (int, error) {
			reads++
			select {
			case <-time.After(time.Second):
				return 42, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		hasty, leave := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := m.Get(hasty, "k", read); !errors.Is(err, context.Canceled) {
				t.Errorf("the hasty caller got %v", err)
			}
		})
		synctest.Wait()
		for range 10 {
			wg.Go(func() {
				if v, err := m.Get(t.Context(), "k", read); v != 42 || err != nil {
					t.Errorf("got %d, %v", v, err)
				}
			})
		}
		synctest.Wait()
		leave()
		wg.Wait()
		if reads != 1 {
			t.Errorf("read %d times, want once", reads)
		}
	})
}
