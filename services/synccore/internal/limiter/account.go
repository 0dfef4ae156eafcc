package limiter

import (
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
	steps = 25
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
	// units are the estimates by step; factor times their sum is what is taken as used.
	units  map[int64]float64
	factor float64
	heard  time.Time
}

func newAccount() *account { return &account{units: map[int64]float64{}, factor: 1} }

func (r Rules) step(now time.Time) int64 { return now.UnixMilli() / r.width() }

// width is the length of a step in milliseconds.
func (r Rules) width() int64 { return max(1, r.Window.Milliseconds()/steps) }

// advance forgets what left the window, and a correction that is too old.
func (a *account) advance(r Rules, now time.Time) {
	oldest := r.step(now) - steps
	for n := range a.units {
		if n < oldest {
			delete(a.units, n)
		}
	}
	if now.Sub(a.heard) > trust {
		a.factor = 1
	}
}

func (a *account) sum() float64 {
	total := 0.0
	for _, units := range a.units {
		total += units
	}
	return total
}

// settle charges what was spent, takes what the vendor said into account, and grants
// up to wanted units of background work. Where it grants nothing, wait is how long it
// takes until it may.
func (a *account) settle(r Rules, now time.Time, spent, wanted float64, seen *observation) (granted float64, wait time.Duration) {
	a.advance(r, now)
	a.units[r.step(now)] += spent
	if seen != nil {
		a.correct(r, now, *seen)
	}
	if wanted <= 0 {
		return 0, 0
	}
	room := r.Limit*r.Background/a.factor - a.sum()
	if room >= wanted/4 {
		granted = math.Min(wanted, room)
		a.units[r.step(now)] += granted
		return granted, 0
	}
	return 0, a.until(r, now, wanted/4-room)
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
			a.units[r.step(now)] += more
		}
		return
	}
	factor := seen.used / sum
	a.factor = math.Min(math.Max(factor, least), most)
	a.heard = now
	if factor > most {
		a.units[r.step(now)] += seen.used/most - sum
	}
}

// until is how long it takes until as many units have left the window.
func (a *account) until(r Rules, now time.Time, units float64) time.Duration {
	present := r.step(now)
	for n := present - steps; n <= present; n++ {
		units -= a.units[n]
		if units <= 0 {
			return time.UnixMilli((n + steps + 1) * r.width()).Sub(now)
		}
	}
	return r.Window
}

// used is how many units are taken as used.
func (a *account) used(r Rules, now time.Time) float64 {
	a.advance(r, now)
	return a.sum() * a.factor
}
