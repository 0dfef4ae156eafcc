package azuredevops

import (
	"net/http"
	"slices"
)

// SetSubscriptionStatus puts a subscription into a status, one of the specification's words: what people do in the
// project's settings, and what failed deliveries do in the course of days.
func (s *Server) SetSubscriptionStatus(id, status string) error {
	if !slices.Contains([]string{statusEnabled, statusProbation, statusByUser, statusBySystem, statusByInactive}, status) {
		return badRequest("SubscriptionInputException", "There is no status "+status+".")
	}
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	sub, err := s.subscription(id)
	if err != nil {
		return err
	}
	sub.Status, sub.probationRetries = status, 0
	return nil
}

// SubscriptionPassword is the password that a subscription sends, which no call of the service shows.
func (s *Server) SubscriptionPassword(id string) (string, error) {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	sub, err := s.subscription(id)
	if err != nil {
		return "", err
	}
	return sub.ConsumerInputs["basicAuthPassword"], nil
}

// Unsubscribe removes a subscription in the actor's name.
func (a *Actor) Unsubscribe(id string) error {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	return a.s.unsubscribe(id, a.by, false)
}

// unsubscribe removes a subscription. Call it with the server's mutex held.
func (s *Server) unsubscribe(id, by string, rest bool) error {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	sub, err := s.subscription(id)
	if err != nil {
		return err
	}
	sub.removed = true
	s.hooks.subs = slices.DeleteFunc(s.hooks.subs, func(o *subscription) bool { return o == sub })
	s.note(Write{Kind: WriteSubscription, By: by, REST: rest, At: toMillis(s.opts.Now())})
	return nil
}

func (s *Server) serveUnsubscribe(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.unsubscribe(c.args[0], c.user.UniqueName, true); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
