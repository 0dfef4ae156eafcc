package outbound_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

func pace(o outbound.PaceOptions) *outbound.Pace {
	o.Now = time.Now
	return outbound.NewPace(o)
}

// enter takes a place, and gives what leaves it with a good answer.
func enter(t *testing.T, ctx context.Context, p *outbound.Pace) func() { //nolint:revive // the test comes first
	t.Helper()
	return enterFor(t, ctx, p, &http.Response{StatusCode: http.StatusOK})
}

func enterFor(t *testing.T, ctx context.Context, p *outbound.Pace, answer *http.Response) func() { //nolint:revive // the test comes first
	t.Helper()
	leave, err := p.Enter(ctx, false) //nolint:bodyclose // leave takes an answer, it gives none
	if err != nil {
		t.Error(err)
		return func() {}
	}
	return func() { leave(answer) }
}

// TestLiveGoesFirst: background calls leave a quarter of the places free, and wait
// while anybody else does.
func TestLiveGoesFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pace(outbound.PaceOptions{Concurrent: 4})
		later := outbound.Background(t.Context())
		var background []func()
		for range 3 {
			background = append(background, enter(t, later, p))
		}
		var mu sync.Mutex
		var order []string
		var all sync.WaitGroup
		queue := func(ctx context.Context, name string) {
			all.Go(func() {
				leave := enter(t, ctx, p)
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				<-time.After(time.Second)
				leave()
			})
			synctest.Wait()
		}
		queue(later, "background")
		queue(t.Context(), "live 1")
		queue(t.Context(), "live 2")
		queue(t.Context(), "live 3")
		if len(order) != 1 || order[0] != "live 1" {
			t.Errorf("%v went, want live 1 on the place that is kept free", order)
		}
		background[0]()
		// The last two places become free in one moment, and are noted in any order.
		all.Wait()
		if order[len(order)-1] != "background" && order[len(order)-2] != "background" {
			t.Errorf("%v went, want the background call with the last", order)
		}
		background[1]()
		background[2]()
		if n := p.InFlight(); n != 0 {
			t.Errorf("%d places are lost", n)
		}
	})
}

// TestSlowStart: after a pause one call goes out, and with each good answer one more.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pace(outbound.PaceOptions{Concurrent: 8})
		enterFor(t, t.Context(), p, &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Retry-After": {"2"}}})()
		most, running := 0, 0
		var mu sync.Mutex
		var all sync.WaitGroup
		began, first := time.Now(), map[time.Duration]int{}
		for range 40 {
			all.Go(func() {
				leave := enter(t, t.Context(), p)
				mu.Lock()
				running++
				most = max(most, running)
				first[time.Since(began)/time.Second]++
				mu.Unlock()
				<-time.After(time.Second)
				mu.Lock()
				running--
				mu.Unlock()
				leave()
			})
		}
		all.Wait()
		if first[2] != 1 || first[3] != 2 || first[4] != 4 || most != 8 {
			t.Errorf("calls that went out in each second: %v, %d at once; want 1, 2, 4 after the pause, and 8 at once in the end", first, most)
		}
	})
}

// TestTurnsAreNotLost: a caller that goes as its turn comes gives it on.
func TestTurnsAreNotLost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := pace(outbound.PaceOptions{Concurrent: 2})
		var all sync.WaitGroup
		for n := range 500 {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(n%7)*time.Millisecond)
				defer cancel()
				if n%3 == 0 {
					ctx = outbound.Background(ctx)
				}
				leave, err := p.Enter(ctx, false) //nolint:bodyclose // leave takes an answer, it gives none
				if err != nil {
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
					return
				}
				<-time.After(time.Millisecond)
				leave(nil)
			})
		}
		all.Wait()
		if n := p.InFlight(); n != 0 {
			t.Errorf("%d places are lost", n)
		}
		one, two := enter(t, t.Context(), p), enter(t, t.Context(), p)
		one()
		two()
	})
}

// TestPatience: a patient call sits a long pause out, another is told to come again.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tries := 0
		client := chain(replies(func(*http.Request) (*http.Response, error) {
			if tries++; tries%2 == 1 {
				return reply(429, http.Header{"Retry-After": {"120"}}, ""), nil
			}
			return reply(200, nil, "fine"), nil
		}), outbound.PaceOptions{})
		began := time.Now()
		answer, err := get(outbound.Patient(t.Context(), 5*time.Minute), client)
		if err != nil || answer.Status != 200 || time.Since(began) != 2*time.Minute {
			t.Errorf("%d, %v after %s", answer.Status, err, time.Since(began))
		}
		if answer, err := get(outbound.Patient(t.Context(), time.Minute), client); err != nil || answer.Status != 429 {
			t.Errorf("%d, %v", answer.Status, err)
		}
	})
}

// TestHeldBackCallsAreNotCut: Azure DevOps holds calls back by up to 30 s; a create that
// is cut then would be made twice.
func TestHeldBackCallsAreNotCut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := chain(replies(func(r *http.Request) (*http.Response, error) {
			select {
			case <-time.After(31 * time.Second):
				return reply(200, nil, "{}"), nil
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}), outbound.PaceOptions{})
		answer, err := client.Do(t.Context(), outbound.Request{Method: http.MethodPost, URL: "http://home/x", ContentType: "application/json", Body: []byte("{}")})
		if err != nil || answer.Status != 200 {
			t.Errorf("%d, %v", answer.Status, err)
		}
	})
}
