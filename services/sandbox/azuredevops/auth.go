package azuredevops

import (
	"net/http"
	"strings"
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
