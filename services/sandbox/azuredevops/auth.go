package azuredevops

import (
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// tokenKey is how a token is looked up.
type tokenKey struct {
	secret string
	bearer bool
}

// AddToken makes a credential valid, replacing one with the same secret. An owner who is not known yet becomes a user.
func (s *Server) AddToken(t Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.user(t.Owner); !known {
		s.users = append(s.users, complete(User{UniqueName: t.Owner}))
	}
	s.tokens[tokenKey{t.Secret, t.Bearer}] = &t
}

// RevokeToken makes a credential invalid.
func (s *Server) RevokeToken(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.tokens, tokenKey{secret, false})
	delete(s.tokens, tokenKey{secret, true})
}

// AddUser makes a person known, or replaces who has the same unique name.
func (s *Server) AddUser(u User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := complete(u)
	for i, old := range s.users {
		if strings.EqualFold(old.UniqueName, u.UniqueName) {
			if u.ID == "" {
				fresh.ID = old.ID
			}
			s.users[i] = fresh
			return
		}
	}
	s.users = append(s.users, fresh)
}

// authenticate finds who is calling.
func (s *Server) authenticate(c *call) error {
	var key tokenKey
	if bearer, found := strings.CutPrefix(c.r.Header.Get("Authorization"), "Bearer "); found {
		key = tokenKey{strings.TrimSpace(bearer), true}
	} else if _, password, found := c.r.BasicAuth(); found {
		key = tokenKey{password, false}
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t, found := s.tokens[key]; found && key.secret != "" {
		c.token = t
		c.user, _ = s.user(t.Owner)
		return nil
	}
	page := c.r.Method == http.MethodGet || c.r.Method == http.MethodPost
	return &signInError{page: page && !s.opts.Refuse401}
}

// throttle is a leaking budget for each identity. It is a model: only the header names and the order "first late, then
// refused" are documented (Azure DevOps: rate and usage limits page).
type throttle struct {
	rules Throttle
	mu    sync.Mutex
	used  map[string]usage // by user id
}

type usage struct {
	units float64
	at    time.Time
}

func newThrottle(rules Throttle) *throttle { return &throttle{rules: rules, used: map[string]usage{}} }

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
	t.rules = rules
	clear(t.used)
}

// take charges a call to its identity. Over the budget it sets the headers; far over it, it refuses.
func (t *throttle) take(c *call, now time.Time, write bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rules.Budget <= 0 {
		return nil
	}
	cost := t.rules.ReadCost
	if write {
		cost = t.rules.WriteCost
	}
	perSecond := t.rules.Budget / t.rules.Window.Seconds()
	u := t.used[c.user.ID]
	if !u.at.IsZero() {
		u.units = math.Max(0, u.units-now.Sub(u.at).Seconds()*perSecond)
	}
	u.at = now
	refused := u.units+cost > t.rules.Budget*t.rules.SoftFactor
	if !refused {
		u.units += cost
	}
	t.used[c.user.ID] = u
	over := u.units - t.rules.Budget
	if over <= 0 && !refused {
		return nil
	}
	wait := max(1, int(math.Ceil(math.Max(over, cost)/perSecond)))
	maps.Copy(c.w.Header(), http.Header{
		"Retry-After":           {strconv.Itoa(wait)},
		"X-Ratelimit-Resource":  {"ConcurrentRequestsLimit/TSTU"},
		"X-Ratelimit-Delay":     {strconv.FormatFloat(math.Max(0, over)/perSecond, 'f', 3, 64)},
		"X-Ratelimit-Limit":     {strconv.FormatFloat(t.rules.Budget, 'f', -1, 64)},
		"X-Ratelimit-Remaining": {strconv.FormatFloat(math.Max(0, -over), 'f', -1, 64)},
		"X-Ratelimit-Reset":     {strconv.FormatInt(now.Add(time.Duration(wait)*time.Second).Unix(), 10)},
	})
	if refused {
		return &Error{
			Status: http.StatusTooManyRequests, TypeKey: "RequestBlockedException",
			Message: "TF400733: The request has been canceled: Request was blocked due to exceeding usage of resource 'TSTU' in namespace 'User'. For more information on why your request was blocked, see the topic \"Rate limits\" on the Microsoft Web site.",
		}
	}
	return nil
}
