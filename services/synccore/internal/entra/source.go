package entra

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

const (
	// ahead is how long before its end a token is fetched anew, at the latest.
	ahead = 5 * time.Minute
	// margin is how long before its end a token is not used any more, since clocks differ.
	margin = 30 * time.Second
	// again is how soon Entra is asked again after it failed.
	again = 5 * time.Second
	// forced is how soon a token that the other side refused is fetched anew once more.
	forced = time.Minute
	// patience bounds one fetch.
	patience = 30 * time.Second
)

// Application is a service principal's way to a token. Exactly one of Secret and
// Certificate is set.
type Application struct {
	// Authority is one of Authorities; empty: the first of them.
	Authority string
	// Tenant is the directory's id or domain, ClientID the application's id.
	Tenant, ClientID string
	// Secret and Certificate are read anew for every token. Certificate is PEM with the
	// private key, not encrypted.
	Secret, Certificate func() (string, error)
}

// Options make a Source. Exactly one of Application and Managed, and Resource and Now
// are required.
type Options struct {
	Application *Application
	// Managed asks for the machine's managed identity.
	Managed *Managed
	// Resource is the application that the token is for; the scope is its .default.
	Resource string
	// Base sends the requests; nil: http.DefaultTransport.
	Base http.RoundTripper
	Now  func() time.Time
}

// Managed is a managed identity.
type Managed struct {
	// ClientID chooses a user-assigned identity; empty: the system-assigned one.
	ClientID string
}

// Source is an outbound.Renewer that gives tokens of Entra. It is safe for concurrent
// use.
type Source struct {
	now   func() time.Time
	fetch func(context.Context) (token, error)

	flight singleflight.Group
	ctx    context.Context //nolint:containedctx // it bounds what is fetched beside the way
	end    context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	present token
	// renewed is when a refused token was last fetched anew.
	renewed time.Time
	// failure is what the last fetch failed with, at failed.
	failure error
	failed  time.Time
}

type token struct {
	value string
	// refresh is when to fetch the next one, if before its end.
	refresh, expires time.Time
}

// New makes a Source. It sends nothing; unusable options are a Misconfigured fault.
func New(o Options) (*Source, error) {
	if o.Base == nil {
		o.Base = http.DefaultTransport
	}
	s := &Source{now: o.Now}
	var err error
	switch {
	case (o.Application == nil) == (o.Managed == nil) || o.Resource == "" || o.Now == nil:
		return nil, errors.New("a source of tokens needs one way, a resource and a clock")
	case o.Managed != nil:
		s.fetch = managed(*o.Managed, o.Resource, o.Base)
	default:
		s.fetch, err = application(*o.Application, o.Resource, o.Base)
	}
	if err != nil {
		return nil, err
	}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s, nil
}

// Close ends what is fetched beside the way. Nothing can be fetched afterwards.
func (s *Source) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.end()
	s.work.Wait()
}

// Authorization implements outbound.Credential. Its errors are faults: BadToken where
// Entra refuses the application, Unavailable where it can't be asked.
func (s *Source) Authorization(ctx context.Context) (string, error) {
	now := s.now()
	s.mu.Lock()
	present, failure := s.present, s.failure
	rest := failure != nil && now.Sub(s.failed) < again
	s.mu.Unlock()
	if now.Before(present.expires.Add(-margin)) {
		if !rest && !now.Before(present.refresh) {
			// Calls go on with what there is.
			_, _ = s.start() //nolint:contextcheck // it outlives the call
		}
		return "Bearer " + present.value, nil
	}
	if rest {
		return "", failure
	}
	fresh, err := s.wait(ctx)
	if err != nil {
		return "", err
	}
	return "Bearer " + fresh.value, nil
}

// Renew implements outbound.Renewer.
func (s *Source) Renew(ctx context.Context, refused string) bool {
	now := s.now()
	s.mu.Lock()
	if "Bearer "+s.present.value != refused {
		// Somebody else was quicker.
		s.mu.Unlock()
		return true
	}
	if now.Sub(s.renewed) < forced {
		s.mu.Unlock()
		return false
	}
	s.renewed = now
	s.mu.Unlock()
	fresh, err := s.wait(ctx)
	return err == nil && "Bearer "+fresh.value != refused
}

// wait fetches a token, together with whoever else needs one.
func (s *Source) wait(ctx context.Context) (token, error) {
	done, err := s.start() //nolint:contextcheck // others may wait for it too
	if err != nil {
		return token{}, err
	}
	select {
	case <-ctx.Done():
		return token{}, ctx.Err()
	case result := <-done:
		if result.Err != nil {
			return token{}, result.Err
		}
		fresh, ok := result.Val.(token)
		if !ok {
			return token{}, errors.New("no token was fetched")
		}
		return fresh, nil
	}
}

// start fetches a token unless that is under way.
func (s *Source) start() (<-chan singleflight.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fault.New(fault.Unavailable, "The connector is being stopped.")
	}
	s.work.Add(1)
	out := make(chan singleflight.Result, 1)
	in := s.flight.DoChan("", func() (any, error) {
		ctx, cancel := context.WithTimeout(s.ctx, patience)
		defer cancel()
		fresh, err := s.fetch(ctx)
		s.keep(fresh, err)
		return fresh, err
	})
	go func() {
		defer s.work.Done()
		out <- <-in
	}()
	return out, nil
}

func (s *Source) keep(fresh token, err error) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure, s.failed = err, now
	if err != nil {
		return
	}
	latest := fresh.expires.Add(-ahead)
	if fresh.refresh.IsZero() || fresh.refresh.After(latest) {
		fresh.refresh = latest
	}
	s.present = fresh
}
