package limiter

import (
	"maps"
	"math"
	"time"
)

// Rules are what a vendor allows an identity. The zero value says that it names no
// budget: then only what its answers say counts.
type Rules struct {
	// Limit is how many units may be used within any Window; 0: not known.
	Limit  float64
	Window time.Duration
	// Background is the part of Limit, above 0 to 1, that may be used up before
	// background work waits.
	Background float64
	// Read and Write are the units that a call costs, as far as anybody knows.
	Read, Write float64
}

func (r Rules) cost(writes bool) float64 {
	if writes {
		return r.Write
	}
	return r.Read
}

// slice is how many units are granted at once: a hundredth of the budget.
func (r Rules) slice() float64 { return r.Limit / steps / 4 }

const (
	// steps is how finely the window slides. What was used leaves it up to a step late.
	// parts is into how many parts of it background work is spread.
	steps, parts = 25, 5
	// least and most bound how far the costs may turn out from what they were thought to
	// be; what goes beyond is somebody else who uses the same identity.
	least, most = 0.1, 20
	// trust is how long a correction is believed without news.
	trust = time.Hour
)

// observation is what a vendor said about its own account.
type observation struct {
	// used is how many units it has counted within the window.
	used float64
	// exact is false where it may well be more.
	exact bool
}

// account is what was used within the window, by estimate. It is pure: the time comes
// from outside, and the script of the shared account does the same in Redis.
type account struct {
	// live and later are the estimates by step, later those of background work and of
	// whoever else uses the identity; factor times their sum is what is taken as used.
	live, later map[int64]float64
	factor      float64
	heard       time.Time
}

func newAccount() *account {
	return &account{live: map[int64]float64{}, later: map[int64]float64{}, factor: 1}
}

func (r Rules) step(now time.Time) int64 { return now.UnixMilli() / r.width() }

// width is the length of a step in milliseconds.
func (r Rules) width() int64 { return max(1, r.Window.Milliseconds()/steps) }

// advance forgets what left the window, and a correction that is too old.
func (a *account) advance(r Rules, now time.Time) {
	oldest := r.step(now) - steps
	gone := func(n int64, _ float64) bool { return n < oldest }
	maps.DeleteFunc(a.live, gone)
	maps.DeleteFunc(a.later, gone)
	if now.Sub(a.heard) > trust {
		a.factor = 1
	}
}

// since sums what was used from a step on.
func since(units map[int64]float64, first int64) float64 {
	total := 0.0
	for n, u := range units {
		if n >= first {
			total += u
		}
	}
	return total
}

func (a *account) sum() float64 { return since(a.live, 0) + since(a.later, 0) }

// settle charges what live calls spent, takes what the vendor said into account, and
// returns how many units of background work it grants, up to wanted. Where it grants
// nothing, it returns how long it takes until it may.
func (a *account) settle(r Rules, now time.Time, spent, wanted float64, seen *observation) (float64, time.Duration) {
	a.advance(r, now)
	a.live[r.step(now)] += spent
	if seen != nil {
		a.correct(r, now, *seen)
	}
	if wanted <= 0 {
		return 0, 0
	}
	present := r.step(now)
	if room := a.room(r, present); room >= wanted/4 {
		granted := math.Min(wanted, room)
		a.later[present] += granted
		return granted, 0
	}
	for n := present + 1; n <= present+steps; n++ {
		if a.room(r, n) >= wanted/4 {
			return 0, time.UnixMilli(n * r.width()).Sub(now)
		}
	}
	return 0, r.Window
}

// room is how much background work there is room for at a step, if nothing else
// happens until then. It leaves room for live work to go on as it did during the last
// fifth of the window, and spreads background work evenly, so that a burst of it does
// not stand in the way of live work for a whole window.
func (a *account) room(r Rules, at int64) float64 {
	share := r.Limit * r.Background / a.factor
	live := math.Max(since(a.live, at-steps), parts*since(a.live, at-steps/parts+1))
	return math.Min(share-live-since(a.later, at-steps), share/parts-since(a.later, at-steps/parts+1))
}

// correct makes the account agree with the vendor's. With much on our account the
// costs were wrong; with little, somebody else uses the identity too.
func (a *account) correct(r Rules, now time.Time, seen observation) {
	sum := a.sum()
	if !seen.exact && seen.used <= sum*a.factor {
		return
	}
	if sum < r.Limit/20 {
		if more := seen.used/a.factor - sum; more > 0 {
			a.later[r.step(now)] += more
		}
		return
	}
	factor := seen.used / sum
	a.factor = math.Min(math.Max(factor, least), most)
	a.heard = now
	if factor > most {
		a.later[r.step(now)] += seen.used/most - sum
	}
}

// used is how many units are taken as used.
func (a *account) used(r Rules, now time.Time) float64 {
	a.advance(r, now)
	return a.sum() * a.factor
}
