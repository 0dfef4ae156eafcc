package azuredevops

import (
	"maps"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// throttle is a budget for each identity over a sliding window. It is a model: documented are the window, the names and
// meaning of the headers, and the order "first late, then refused" (Azure DevOps: rate and usage limits page); what a
// call costs and where the thresholds are is not.
type throttle struct {
	mu    sync.Mutex
	rules Throttle
	used  map[string]*usage // by user id
}

// usage is what an identity used, in steps of a 300th of the window.
type usage struct {
	steps []step // oldest first
	sum   float64
	peak  float64
}

type step struct {
	begin time.Time
	units float64
}

func newThrottle(rules Throttle) *throttle { return &throttle{rules: rules, used: map[string]*usage{}} }

// SetThrottle changes the rate limits and forgets what was used. A zero Budget switches them off; other zero fields
// keep their values.
func (s *Server) SetThrottle(rules Throttle) {
	t := s.throttle
	t.mu.Lock()
	defer t.mu.Unlock()
	rules.Window = orElse(rules.Window, t.rules.Window)
	rules.ReadCost = orElse(rules.ReadCost, t.rules.ReadCost)
	rules.WriteCost = orElse(rules.WriteCost, t.rules.WriteCost)
	rules.SoftFactor = orElse(rules.SoftFactor, t.rules.SoftFactor)
	rules.NoticeFactor = orElse(rules.NoticeFactor, t.rules.NoticeFactor)
	rules.LongestDelay = orElse(rules.LongestDelay, t.rules.LongestDelay)
	t.rules = rules
	clear(t.used)
}

// PeakUsage is the most units that anybody had used within one window since the limits were set.
func (s *Server) PeakUsage() float64 {
	t := s.throttle
	t.mu.Lock()
	defer t.mu.Unlock()
	var peak float64
	for _, u := range t.used {
		peak = max(peak, u.peak)
	}
	return peak
}

// take charges a call to its identity. Near the budget it sets the headers, over it it holds the call back and asks to
// wait, and far over it, it refuses.
func (t *throttle) take(c *call, now func() time.Time, write bool) error {
	delay, err := t.charge(c, now(), write)
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.r.Context().Done():
		}
	}
	return err
}

func (t *throttle) charge(c *call, now time.Time, write bool) (time.Duration, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rules.Budget <= 0 {
		return 0, nil
	}
	cost := t.rules.ReadCost
	if write {
		cost = t.rules.WriteCost
	}
	u := t.used[c.user.ID]
	if u == nil {
		u = &usage{}
		t.used[c.user.ID] = u
	}
	u.forget(now.Add(-t.rules.Window))
	hard := t.rules.Budget * t.rules.SoftFactor
	refused := u.sum+cost > hard+1e-9
	if !refused {
		u.add(now, t.rules.Window/300, cost)
	}
	over := u.sum - t.rules.Budget
	if u.sum < t.rules.Budget*t.rules.NoticeFactor && !refused {
		return 0, nil
	}
	var delay time.Duration
	if over > 1e-9 && !refused {
		delay = time.Duration(float64(t.rules.LongestDelay) * over / (hard - t.rules.Budget))
	}
	last := now
	if len(u.steps) > 0 {
		last = u.steps[len(u.steps)-1].begin
	}
	maps.Copy(c.w.Header(), http.Header{
		"X-Ratelimit-Resource":  {"ConcurrentRequestsLimit/TSTU"},
		"X-Ratelimit-Delay":     {strconv.FormatFloat(delay.Seconds(), 'f', 3, 64)},
		"X-Ratelimit-Limit":     {strconv.FormatFloat(t.rules.Budget, 'f', -1, 64)},
		"X-Ratelimit-Remaining": {strconv.FormatFloat(math.Max(0, -over), 'f', -1, 64)},
		"X-Ratelimit-Reset":     {strconv.FormatInt(last.Add(t.rules.Window).Unix(), 10)},
	})
	if over > 1e-9 || refused {
		wait := u.until(now, t.rules.Window, t.rules.Budget-cost)
		c.w.Header().Set("Retry-After", strconv.Itoa(max(1, int(math.Ceil(wait.Seconds())))))
	}
	if refused {
		return 0, &Error{
			Status: http.StatusTooManyRequests, TypeKey: "RequestBlockedException",
			Message: "TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource 'TSTU' in namespace 'User'. For more information on why your request was blocked, see the topic \"Rate limits\" on the Microsoft Web site.",
		}
	}
	return delay, nil
}

func (u *usage) forget(before time.Time) {
	for len(u.steps) > 0 && !u.steps[0].begin.After(before) {
		u.sum = math.Max(0, u.sum-u.steps[0].units)
		u.steps = u.steps[1:]
	}
	if len(u.steps) == 0 {
		u.sum = 0
	}
}

func (u *usage) add(now time.Time, width time.Duration, cost float64) {
	begin := now.Truncate(max(width, time.Nanosecond))
	if n := len(u.steps); n == 0 || u.steps[n-1].begin.Before(begin) {
		u.steps = append(u.steps, step{begin: begin})
	}
	u.steps[len(u.steps)-1].units += cost
	u.sum += cost
	u.peak = max(u.peak, u.sum)
}

// until is how long it takes, with no further calls, before no more than target is used.
func (u *usage) until(now time.Time, window time.Duration, target float64) time.Duration {
	sum := u.sum
	for _, s := range u.steps {
		if sum <= target {
			break
		}
		sum -= s.units
		if sum <= target {
			return s.begin.Add(window).Sub(now)
		}
	}
	return 0
}
