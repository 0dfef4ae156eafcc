package limiter

import (
	"context"
	"math"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

func someRules(t *rapid.T) Rules {
	return Rules{
		Limit: rapid.Float64Range(1, 1000).Draw(t, "limit"), Window: rapid.SampledFrom([]time.Duration{time.Second, time.Minute, 5 * time.Minute}).Draw(t, "window"),
		Background: rapid.Float64Range(.1, 1).Draw(t, "share"), Read: .01, Write: .05,
	}
}

// TestBackgroundKeepsToItsShare: whatever happens, background work is granted no more
// than its share within any window, and less while live work is busy.
func TestBackgroundKeepsToItsShare(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := someRules(t)
		a := newAccount()
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		type grant struct {
			at    time.Time
			units float64
		}
		var grants, spends []grant
		within := func(all []grant, span time.Duration) float64 {
			total := 0.0
			for _, g := range all {
				if now.Sub(g.at) < span {
					total += g.units
				}
			}
			return total
		}
		for range rapid.IntRange(1, 60).Draw(t, "n") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(r.Window/8)).Draw(t, "pass")))
			spent := rapid.SampledFrom([]float64{0, 0, r.Limit / 100, r.Limit / 10}).Draw(t, "spent")
			wanted := rapid.SampledFrom([]float64{0, r.slice(), r.Limit}).Draw(t, "wanted")
			granted, wait := a.settle(r, now, spent, wanted, nil)
			spends = append(spends, grant{now, spent})
			if granted > 0 {
				grants = append(grants, grant{now, granted})
			}
			switch {
			case granted < 0 || granted > wanted || wait < 0 || wait > r.Window:
				t.Fatalf("granted %v of %v, wait %v", granted, wanted, wait)
			case wanted > 0 && (granted > 0) == (wait > 0):
				t.Fatalf("granted %v and wait %v", granted, wait)
			}
			share := r.Limit*r.Background + 1e-6
			if used := within(grants, r.Window); used > share {
				t.Fatalf("background used %v within a window, want at most %v", used, share)
			}
			if granted > 0 && within(grants, r.Window)+within(spends, r.Window) > share {
				t.Fatal("granted although live work needs its share")
			}
			if used := within(grants, r.Window/parts-r.Window/steps); used > share/parts+1e-6 {
				t.Fatalf("background used %v within a fifth of the window, want at most %v", used, share/parts)
			}
			if len(a.live)+len(a.later) > 2*(steps+1) {
				t.Fatal("the account grows")
			}
		}
		// After a whole quiet window there is room again.
		if granted, _ := a.settle(r, now.Add(r.Window+2*r.Window/steps), 0, r.slice(), nil); granted <= 0 {
			t.Fatal("nothing is granted after a quiet window")
		}
	})
}

// TestVendorIsRight: after an observation the account agrees with the vendor, unless
// that only told a lower bound.
func TestVendorIsRight(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := someRules(t)
		a := newAccount()
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		before := rapid.Float64Range(0, r.Limit).Draw(t, "before")
		a.settle(r, now, before, 0, nil)
		seen := observation{used: rapid.Float64Range(0, 2*r.Limit).Draw(t, "used"), exact: rapid.Bool().Draw(t, "exact")}
		a.settle(r, now, 0, 0, &seen)
		got := a.used(r, now)
		switch {
		case !seen.exact && got < math.Max(before, seen.used)-1e-6:
			t.Errorf("used %v after at least %v was told", got, seen.used)
		case seen.exact && seen.used >= before*least && before >= r.Limit/20 && math.Abs(got-seen.used) > 1e-6*r.Limit:
			t.Errorf("used %v after exactly %v was told", got, seen.used)
		case got < seen.used-1e-6*r.Limit:
			t.Errorf("used %v after %v was told", got, seen.used)
		}
		if a.used(r, now.Add(2*r.Window)) != 0 {
			t.Error("something is left after the window")
		}
		if a.advance(r, now.Add(trust+time.Second)); a.factor != 1 {
			t.Error("a correction outlives its time")
		}
	})
}

// TestSharedAccount: the script does what account does, on every kind of Redis.
func TestSharedAccount(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, open func(testing.TB) *datastore.Store) {
		t.Helper()
		ledger := NewLedger(open(t))
		names := 0
		rapid.Check(t, func(rt *rapid.T) {
			names++
			name := string(rune('a'+names%26)) + time.Duration(names).String()
			// One step is longer than the test, so that Redis' clock plays no part.
			r := Rules{Limit: rapid.Float64Range(1, 1000).Draw(rt, "limit"), Window: 1000 * time.Hour, Background: rapid.Float64Range(.1, 1).Draw(rt, "share")}
			a := newAccount()
			now := time.Now()
			for range rapid.IntRange(1, 8).Draw(rt, "n") {
				p := report{spent: rapid.Float64Range(0, r.Limit/10).Draw(rt, "spent"), wanted: rapid.SampledFrom([]float64{0, r.slice(), r.Limit}).Draw(rt, "wanted")}
				if rapid.Bool().Draw(rt, "observed") {
					p.seen = &observation{used: rapid.Float64Range(0, r.Limit*2).Draw(rt, "used"), exact: rapid.Bool().Draw(rt, "exact")}
				}
				got, err := ledger.settle(t.Context(), name, r, p)
				if err != nil {
					rt.Fatal(err)
				}
				granted, wait := a.settle(r, now, p.spent, p.wanted, p.seen)
				used := a.used(r, now)
				near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-6*r.Limit+1e-6*math.Abs(b) }
				if !near(got.granted, granted) || !near(got.used, used) || (got.wait-wait).Abs() > time.Minute || got.pause != 0 {
					rt.Fatalf("Redis says %+v, the model granted %v, wait %v, used %v", got, granted, wait, used)
				}
			}
		})
	})
}

// TestPauseIsShared: the longest pause counts, for everybody.
func TestPauseIsShared(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, open func(testing.TB) *datastore.Store) {
		t.Helper()
		ledger := NewLedger(open(t))
		for _, pause := range []time.Duration{time.Minute, 2 * time.Minute, time.Second} {
			if _, err := ledger.settle(t.Context(), "x", Rules{}, report{pause: pause}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := ledger.settle(t.Context(), "x", Rules{}, report{})
		if err != nil || got.pause > 2*time.Minute || got.pause < time.Minute {
			t.Errorf("%+v, %v; want what is left of two minutes", got, err)
		}
		other, err := ledger.settle(t.Context(), "y", Rules{}, report{})
		if err != nil || other.pause != 0 {
			t.Errorf("another account: %+v, %v", other, err)
		}
	})
}

// TestSharedAccountSlides: the script's window slides as the model's does.
func TestSharedAccountSlides(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := miniredis.NewMiniRedis()
		defer server.Close()
		client := redis.NewClient(&redis.Options{
			Dialer: func(context.Context, string, string) (net.Conn, error) { return server.Dial() }, Protocol: 2, DisableIdentity: true,
			MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		})
		defer func() { _ = client.Close() }()
		ledger := newLedger(client, func(tag, name string) string { return "{" + tag + "}:" + name })
		chance := rand.New(rand.NewPCG(1, 2))
		r := Rules{Limit: 200, Window: 5 * time.Minute, Background: .5}
		a := newAccount()
		granted := 0
		for n := range 3000 {
			<-time.After(time.Duration(chance.Int64N(int64(20 * time.Second))).Truncate(time.Millisecond))
			p := report{spent: chance.Float64() * 4, wanted: 8 * chance.Float64()}
			if chance.IntN(50) == 0 {
				p.seen = &observation{used: chance.Float64() * 200, exact: chance.IntN(2) == 0}
			}
			got, err := ledger.settle(t.Context(), "x", r, p)
			if err != nil {
				t.Fatal(err)
			}
			want, wait := a.settle(r, time.Now(), p.spent, p.wanted, p.seen)
			if used := a.used(r, time.Now()); math.Abs(got.granted-want) > 1e-3 || math.Abs(got.used-used) > 1e-3 || (got.wait-wait).Abs() > time.Millisecond {
				t.Fatalf("%d: Redis says %+v, the model granted %v, wait %v, used %v", n, got, want, wait, used)
			}
			if want > 0 {
				granted++
			}
		}
		if granted < 300 || granted > 2700 {
			t.Errorf("%d of 3000 were granted; the test sees one side alone", granted)
		}
	})
}
