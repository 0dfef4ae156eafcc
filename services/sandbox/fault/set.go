// Package fault breaks HTTP exchanges on purpose: a middleware that delays, throttles, refuses, cuts or loses the
// answers of the routes one names, and a small JSON API to switch that at run time.
//
// The invariant: a request that no rule takes reaches the handler untouched, and a rule that has rested (Count) or was
// removed never takes another one.
//
// Rules are asked in the order they were added; the first that takes the request decides alone. All of this is a test
// device: none of it is recorded from a vendor.
package fault

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox/tape"
)

// maxRules bounds a set, so that a runaway caller of the JSON API can't fill the memory.
const maxRules = 1000

// ErrTooManyRules is returned when a set is full.
var ErrTooManyRules = errors.New("too many fault rules")

// Set is a changeable list of rules, and the middleware and JSON API over it. The zero value is not usable; call
// [NewSet]. All methods may be called from several goroutines.
type Set struct {
	mu     sync.Mutex
	rules  []*active
	lastID int
	random *rand.Rand

	tape *tape.Tape
}

// active is a rule in force.
type active struct {
	Rule
	seen int
	gone chan struct{} // closed when the rule is removed, which ends its delays
}

// NewSet makes an empty set. The seed fixes the outcome of Probability, so that a run can be repeated.
func NewSet(seed uint64) *Set {
	return &Set{tape: tape.Open(), random: rand.New(rand.NewPCG(seed, seed))} //nolint:gosec // repeatable chance is the point, nothing secret hangs on it
}

// Add puts a rule in force and returns its id. A rule with the id of one in force replaces it and starts counting anew.
func (s *Set) Add(r Rule) (string, error) {
	if r.Kind == "" {
		r.Kind = KindPass
	}
	if err := r.check(); err != nil {
		return "", err
	}
	r.Hits = 0
	s.mu.Lock()
	defer s.mu.Unlock()
	a := &active{Rule: r, gone: make(chan struct{})}
	if r.ID == "" {
		s.lastID++
		a.ID = strconv.Itoa(s.lastID)
	}
	for i, old := range s.rules {
		if old.ID == a.ID {
			close(old.gone)
			s.rules[i] = a
			return a.ID, nil
		}
	}
	if len(s.rules) >= maxRules {
		return "", ErrTooManyRules
	}
	s.rules = append(s.rules, a)
	return a.ID, nil
}

// Remove takes the rule out of force, ending delays it holds. It tells whether there was one.
func (s *Set) Remove(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, a := range s.rules {
		if a.ID == id {
			close(a.gone)
			s.rules = append(s.rules[:i:i], s.rules[i+1:]...)
			return true
		}
	}
	return false
}

// Clear takes all rules out of force, ending the delays they hold.
func (s *Set) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.rules {
		close(a.gone)
	}
	s.rules = nil
}

// Rules returns the rules in force with their hits, in the order they are asked.
func (s *Set) Rules() []Rule {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Rule, len(s.rules))
	for i, a := range s.rules {
		out[i] = a.Rule
	}
	return out
}

// take finds the rule that decides about this request, and counts it.
func (s *Set) take(req *http.Request) (Rule, <-chan struct{}, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.rules {
		if a.Count > 0 && a.Hits >= a.Count || !a.matches(req) {
			continue
		}
		a.seen++
		if a.seen <= a.Skip {
			continue
		}
		if a.Probability > 0 && s.random.Float64() >= a.Probability {
			continue
		}
		a.Hits++
		return a.Rule, a.gone, true
	}
	return Rule{}, nil, false
}

// wait passes the time, unless the caller hangs up or the rule is removed. It tells whether the caller is still there.
func wait(req *http.Request, d Duration, gone <-chan struct{}) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(time.Duration(d))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-gone:
	case <-req.Context().Done():
		return false
	}
	return true
}

// Act finds and counts the rule that decides about an act that is no HTTP request, such as a step of SMTP, passes its
// Delay, and returns it. Which kinds have a meaning is the caller's to say. False: no rule takes the act, or the context
// ended first.
func (s *Set) Act(ctx context.Context, method, path string) (Rule, bool) {
	req := (&http.Request{Method: method, URL: &url.URL{Path: path}}).WithContext(ctx)
	rule, gone, hit := s.take(req)
	if !hit || !wait(req, rule.Delay, gone) {
		return Rule{}, false
	}
	return rule, true
}
