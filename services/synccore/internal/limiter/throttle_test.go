package limiter_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"

	sandbox "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/limiter"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// handled sends requests to a handler without a network, so that time may stand still.
type handled struct{ handler http.Handler }

// latency is how long a call takes by itself.
const latency = 20 * time.Millisecond

func (h handled) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	in := r.Clone(r.Context())
	in.Body, in.RequestURI, in.Host = io.NopCloser(bytes.NewReader(body)), r.URL.RequestURI(), r.URL.Host
	out := httptest.NewRecorder()
	h.handler.ServeHTTP(out, in)
	<-time.After(latency)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	resp := out.Result()
	resp.Request = r
	return resp, nil
}

// fleet is three replicas with one token before one organisation, over one Redis.
type fleet struct {
	boards   *sandbox.Server
	redis    *miniredis.Miniredis
	limiters []*limiter.Limiter
	clients  []*azuredevops.Client
	items    []int64
}

const replicas = 3

func newFleet(t *testing.T, rules limiter.Rules, throttle sandbox.Throttle) *fleet {
	t.Helper()
	f := &fleet{redis: miniredis.NewMiniRedis()}
	t.Cleanup(f.redis.Close)
	f.boards = sandbox.New(sandbox.Options{BaseURL: "http://boards"})
	t.Cleanup(func() {
		if err := f.boards.Close(); err != nil {
			t.Error(err)
		}
	})
	for range replicas {
		l := limiter.New(limiter.Options{
			Account: "http://boards/contoso", Credential: "file pat", Whose: azuredevops.WhoseAnswer, Rules: rules,
			Pace:   outbound.NewPace(outbound.PaceOptions{Concurrent: 16, Now: time.Now}),
			Ledger: ledgerOf(clientOf(t, f.redis.Dial)), Now: time.Now,
		})
		t.Cleanup(l.Close)
		boards, err := azuredevops.New(azuredevops.Options{
			ProjectURL: "http://boards/contoso/Alvaoproject", Credential: azuredevops.PAT(func() (string, error) { return "sandbox-pat", nil }),
			Base: handled{f.boards}, Gate: l, Now: time.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		f.limiters, f.clients = append(f.limiters, l), append(f.clients, boards)
	}
	for n := range replicas {
		made, err := f.clients[0].Create(t.Context(), item.Draft{
			Type: "Task", Mark: fmt.Sprint("alvao-", n), TicketURL: fmt.Sprint("https://desk/Ticket/", n), LinkText: "x", Fields: []item.FieldValue{{Reference: "System.Title", Value: "x"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		f.items = append(f.items, made.ID)
	}
	f.boards.SetThrottle(throttle)
	return f
}

// tally counts how long deeds took longer than their calls.
type tally struct {
	mu           sync.Mutex
	deeds        int
	total, worst time.Duration
}

func (a *tally) add(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deeds++
	a.total += d
	a.worst = max(a.worst, d)
}

func (a *tally) mean() time.Duration { return a.total / time.Duration(max(1, a.deeds)) }

func (a *tally) String() string {
	return fmt.Sprintf("%d deeds, %s on average, %s at worst", a.deeds, a.mean(), a.worst)
}

// persist does a deed as the worker does: what is throttled comes again when told.
func persist(ctx context.Context, deed func(context.Context) error) error {
	for {
		err := deed(ctx)
		f, ok := fault.As(err)
		if !ok || !fault.Is(err, fault.Throttled) {
			return err
		}
		timer := time.NewTimer(max(time.Second, f.RetryAfter))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

const callsPerRound = 2

// round reads an item and writes a comment.
func (f *fleet) round(replica int) func(context.Context) error {
	return func(ctx context.Context) error {
		if _, err := f.clients[replica].WorkItem(ctx, f.items[replica]); err != nil {
			return err
		}
		_, err := f.clients[replica].AddComment(ctx, "", f.items[replica], "text", item.HTML)
		return err
	}
}

// overload lets more events come than the budget carries, and no resync.
func (f *fleet) overload(t *testing.T, length time.Duration) *tally {
	t.Helper()
	live := &tally{}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var all sync.WaitGroup
	for replica := range replicas {
		for range 40 {
			all.Go(func() {
				for ctx.Err() == nil {
					err := persist(ctx, f.round(replica))
					if ctx.Err() == nil && err != nil {
						t.Errorf("a deed failed: %v", err)
						return
					}
					live.add(0)
				}
			})
		}
	}
	all.Wait()
	return live
}

// play runs a resync in every replica without a pause, and an event in each every five
// seconds, for some time. What begins while they learn is not counted.
func (f *fleet) play(t *testing.T, length, learning time.Duration) (*tally, *tally) {
	t.Helper()
	live, later := &tally{}, &tally{}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	start := time.Now()
	var all sync.WaitGroup
	run := func(ctx context.Context, into *tally, deed func(context.Context) error) bool {
		began := time.Now()
		err := persist(ctx, deed)
		if err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a deed failed: %v", err)
			return false
		}
		if began.Sub(start) >= learning {
			into.add(max(0, time.Since(began)-callsPerRound*latency))
		}
		return err == nil
	}
	for replica := range replicas {
		for range 8 {
			all.Go(func() {
				background := outbound.Background(ctx)
				for goesOn := true; goesOn && ctx.Err() == nil; {
					goesOn = run(background, later, f.round(replica))
				}
			})
		}
		all.Go(func() {
			ticker := time.NewTicker(5 * time.Second)
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-ticker.C:
					all.Go(func() { run(ctx, live, f.round(replica)) })
				}
			}
		})
	}
	all.Wait()
	return live, later
}

// TestThreeReplicasKeepTheBudget is the vendor's model at work: 200 units in any five
// minutes, delays over it, 429 far over it (modelled; none was ever recorded).
func TestThreeReplicasKeepTheBudget(t *testing.T) {
	t.Parallel()
	rules := limiter.Rules{Limit: 200, Window: 5 * time.Minute, Background: .5, Read: .01, Write: .05}
	vendor := sandbox.Throttle{Budget: 200, Window: 5 * time.Minute, ReadCost: .01, WriteCost: .05, SoftFactor: 1.25, LongestDelay: 30 * time.Second}
	for name, tc := range map[string]struct {
		change func(*sandbox.Throttle)
		// learning is how long it may take until costs that nobody told are known.
		learning time.Duration
	}{
		"costs as thought":            {func(*sandbox.Throttle) {}, 0},
		"calls cost a third":          {func(v *sandbox.Throttle) { v.ReadCost, v.WriteCost = .0033, .0167 }, 0},
		"thrice, and told beforehand": {func(v *sandbox.Throttle) { v.ReadCost, v.WriteCost, v.NoticeFactor = .03, .15, .1 }, 0},
		"calls cost five times":       {func(v *sandbox.Throttle) { v.ReadCost, v.WriteCost = .05, .25 }, 6 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				vendor := vendor
				tc.change(&vendor)
				f := newFleet(t, rules, vendor)
				live, later := f.play(t, 12*time.Minute, tc.learning)
				peak := f.boards.PeakUsage()
				t.Logf("live: %s; resync: %s; at most %.1f units", live, later, peak)
				if peak > 210 {
					t.Errorf("%.1f units were used within five minutes, want at most 210", peak)
				}
				if live.mean() > later.mean()/10 {
					t.Errorf("live events waited %s, resync %s; want at most a tenth", live.mean(), later.mean())
				}
			})
		})
	}
}

// TestLiveWorkAlone: where events alone are more than the budget carries, the vendor's
// word is what holds them back.
func TestLiveWorkAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, limiter.Rules{Limit: 200, Window: 5 * time.Minute, Background: .5, Read: .01, Write: .05},
			sandbox.Throttle{Budget: 200, Window: 5 * time.Minute, ReadCost: .05, WriteCost: .1, SoftFactor: 1.25, LongestDelay: 30 * time.Second})
		live := f.overload(t, 11*time.Minute)
		t.Logf("%d deeds, at most %.1f units", live.deeds, f.boards.PeakUsage())
		if peak := f.boards.PeakUsage(); peak > 210 || live.deeds < 2000 {
			t.Errorf("%.1f units within five minutes and %d deeds, want at most 210 and at least 2000", peak, live.deeds)
		}
	})
}

// TestRedisGoesAway: replicas that can't reach each other stay below the budget, and
// live work notices nothing.
func TestRedisGoesAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, limiter.Rules{Limit: 200, Window: 5 * time.Minute, Background: .5, Read: .01, Write: .05},
			sandbox.Throttle{Budget: 200, Window: 5 * time.Minute, ReadCost: .01, WriteCost: .05, SoftFactor: 1.25})
		f.redis.SetError("LOADING Redis is loading the dataset in memory")
		live, later := f.play(t, 7*time.Minute, 0)
		t.Logf("live: %s; resync: %s; at most %.1f units", live, later, f.boards.PeakUsage())
		if !f.limiters[0].State().Alone {
			t.Error("the limiter does not tell that it is alone")
		}
		if f.boards.PeakUsage() > 200 || live.worst > time.Second || later.deeds < 1000 {
			t.Errorf("live: %s; resync: %s; %.1f units", live, later, f.boards.PeakUsage())
		}
		f.redis.SetError("")
		if live, _ := f.play(t, 2*time.Minute, 0); live.worst > time.Second || f.limiters[0].State().Alone {
			t.Errorf("with Redis back: live: %s, %+v", live, f.limiters[0].State())
		}
	})
}
