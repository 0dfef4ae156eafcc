package limiter_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/tandem-sync/tandem/services/synccore/internal/limiter"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

func clientOf(t *testing.T, dial func() (net.Conn, error)) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{
		Dialer: func(context.Context, string, string) (net.Conn, error) { return dial() }, Protocol: 2, DisableIdentity: true,
		PoolSize: 4, ContextTimeoutEnabled: true, MaxRetries: -1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func ledgerOf(client *redis.Client) *limiter.Ledger {
	return limiter.LedgerOver(client, func(tag, name string) string { return "{" + tag + "}:" + name })
}

func newLimiter(t *testing.T, ledger *limiter.Ledger, change func(*limiter.Options)) *limiter.Limiter {
	t.Helper()
	o := limiter.Options{
		Account: "https://dev.azure.com/contoso", Credential: "file pat", Ledger: ledger, Now: time.Now,
		Pace:  outbound.NewPace(outbound.PaceOptions{Concurrent: 16, Now: time.Now}),
		Rules: limiter.Rules{Limit: 200, Window: 5 * time.Minute, Background: .5, Read: .01, Write: .05},
		Whose: func(h http.Header) string { return h.Get("X-Whose") },
	}
	if change != nil {
		change(&o)
	}
	l := limiter.New(o)
	t.Cleanup(l.Close)
	return l
}

// call enters and leaves with an answer.
func call(ctx context.Context, l *limiter.Limiter, status int, header ...string) error {
	leave, err := l.Enter(ctx, false) //nolint:bodyclose // leave takes an answer, it gives none
	if err != nil {
		return err
	}
	h := http.Header{}
	for i := 0; i+1 < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	leave(&http.Response{StatusCode: status, Header: h})
	return nil
}

func paused(err error) bool {
	var wait *outbound.WaitError
	return errors.As(err, &wait)
}

// TestPauseReachesTheOthers: whoever has the same identity waits too, whatever its
// token is called; whoever has not, does not.
func TestPauseReachesTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := miniredis.NewMiniRedis()
		t.Cleanup(server.Close)
		ledger := ledgerOf(clientOf(t, server.Dial))
		named := func(credential string) *limiter.Limiter {
			return newLimiter(t, ledger, func(o *limiter.Options) { o.Credential = credential })
		}
		one, same, other, unnamed := named("file a"), named("file b"), named("file c"), named("file a")
		for l, who := range map[*limiter.Limiter]string{one: "jan", same: "JAN", other: "eva"} {
			if err := call(t.Context(), l, 200, "X-Whose", who); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if err := call(t.Context(), one, 200, "Retry-After", "60"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := call(t.Context(), one, 200); !paused(err) {
			t.Errorf("the limiter that was told: %v", err)
		}
		<-time.After(2 * time.Second)
		// The first call asks beside the way; the second one knows.
		for range 2 {
			_ = call(t.Context(), same, 200, "X-Whose", "jan")
			synctest.Wait()
		}
		if err := call(t.Context(), same, 200); !paused(err) {
			t.Errorf("another token of the same identity: %v", err)
		}
		for _, l := range []*limiter.Limiter{other, unnamed} {
			for range 3 {
				if err := call(t.Context(), l, 200); err != nil {
					t.Errorf("another identity: %v", err)
				}
				synctest.Wait()
			}
		}
		if state := same.State(); state.Pause < 50*time.Second || state.Pause > time.Minute {
			t.Errorf("%+v", state)
		}
		<-time.After(time.Minute)
		if err := call(t.Context(), same, 200); err != nil {
			t.Errorf("after the pause: %v", err)
		}
	})
}

// TestRedisIsNotInTheWay: with a Redis that hangs, live calls go out at once, and
// background calls after one short wait.
func TestRedisIsNotInTheWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var held []net.Conn
		client := clientOf(t, func() (net.Conn, error) {
			near, far := net.Pipe()
			mu.Lock()
			defer mu.Unlock()
			held = append(held, far)
			return near, nil
		})
		t.Cleanup(func() {
			for _, conn := range held {
				_ = conn.Close()
			}
		})
		l := newLimiter(t, ledgerOf(client), nil)
		began := time.Now()
		for range 100 {
			if err := call(t.Context(), l, 200, "X-Whose", "jan"); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(began); d != 0 {
			t.Errorf("live calls waited %s for Redis", d)
		}
		for range 100 {
			if err := call(outbound.Background(t.Context()), l, 200); err != nil {
				t.Fatal(err)
			}
		}
		if d := time.Since(began); d > 3*time.Second || !l.State().Alone {
			t.Errorf("background calls waited %s for Redis, %+v", d, l.State())
		}
	})
}

// TestNoRoundTripPerCall: what a call costs in Redis is next to nothing.
func TestNoRoundTripPerCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := miniredis.NewMiniRedis()
		t.Cleanup(server.Close)
		client, trips := clientOf(t, server.Dial), &trips{}
		client.AddHook(trips)
		l := newLimiter(t, ledgerOf(client), nil)
		for range 1000 {
			if err := call(t.Context(), l, 200, "X-Whose", "jan"); err != nil {
				t.Fatal(err)
			}
			if err := call(outbound.Background(t.Context()), l, 200); err != nil {
				t.Fatal(err)
			}
			<-time.After(10 * time.Millisecond)
		}
		// Ten seconds: about one report a second and one slice for two hundred calls.
		if n := trips.Load(); n > 20 || n < 5 {
			t.Errorf("Redis was asked %d times for 2000 calls in 10 s", n)
		}
		if used := l.State().Used; used < 15 || used > 30 {
			t.Errorf("%v units are taken as used, want about 20", used)
		}
	})
}

// TestBackgroundWaits: a patient call waits for the budget, another one is told to come
// again, and one whose caller is gone ends.
func TestBackgroundWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, nil, func(o *limiter.Options) { o.Rules.Read = 1 })
		ctx := outbound.Background(t.Context())
		calls, err := 0, error(nil)
		for ; err == nil && calls < 1000; calls++ {
			err = call(ctx, l, 200)
		}
		if !paused(err) || calls < 15 || calls > 25 {
			t.Fatalf("%v after %d calls; want the fifth part of half of 200", err, calls)
		}
		if err := call(t.Context(), l, 200); err != nil {
			t.Errorf("a live call: %v", err)
		}
		began := time.Now()
		if err := call(outbound.Patient(ctx, 10*time.Minute), l, 200); err != nil || time.Since(began) < 30*time.Second {
			t.Errorf("a patient call: %v after %s", err, time.Since(began))
		}
		for err = nil; err == nil; {
			err = call(ctx, l, 200)
		}
		short, cancel := context.WithTimeout(outbound.Patient(ctx, time.Hour), time.Second)
		defer cancel()
		if err := call(short, l, 200); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a caller that is gone: %v", err)
		}
	})
}

// trips counts the commands of a client.
type trips struct{ atomic.Int64 }

func (*trips) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (n *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		n.Add(1)
		return next(ctx, cmd)
	}
}

func BenchmarkEnter(b *testing.B) {
	l := limiter.New(limiter.Options{
		Account: "x", Pace: outbound.NewPace(outbound.PaceOptions{Concurrent: 16, Now: time.Now}), Now: time.Now,
		Rules: limiter.Rules{Limit: 200, Window: 5 * time.Minute, Background: .5, Read: .01, Write: .05},
	})
	answer := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"X-Vss-Userdata": {"x:y"}}}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			leave, err := l.Enter(b.Context(), false) //nolint:bodyclose // leave takes an answer, it gives none
			if err != nil {
				b.Fatal(err)
			}
			leave(answer)
		}
	})
}
