package alvao

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox/odata"
	"github.com/tandem-sync/tandem/services/sandbox/tape"
)

// Server is the stand-in: an http.Handler for AlvaoRestApi, and the service desk behind it. All methods may be called
// from several goroutines. Close it when done.
type Server struct {
	opts        Options
	dir         *directory
	accounts    map[string]*Account // by lower-case login
	store       *store
	webhooks    *webhooks
	hooks       *deliverer
	ledger      *ledger
	application atomic.Pointer[Application]

	applicationTimes times

	base    atomic.Pointer[string] // scheme, host and port; empty: each request's
	parser  *odata.Parser
	routed  http.Handler
	handler http.Handler // around routed, what is around every call

	callsMu sync.Mutex
	calls   map[string]int

	large chan struct{} // a place for each large body that may be read at once

	done chan struct{}
	wg   sync.WaitGroup
	once sync.Once
}

// New starts a service desk. It fails only on a contradiction in the options.
func New(opts Options) (*Server, error) {
	opts.defaults()
	dir, err := newDirectory(opts.Directory)
	if err != nil {
		return nil, fmt.Errorf("reading directory: %w", err)
	}
	s := &Server{
		opts: opts, dir: dir, accounts: map[string]*Account{}, store: newStore(), webhooks: &webhooks{byID: map[int]*Webhook{}},
		ledger: newLedger(opts.LedgerLimit), parser: odata.NewParser(), calls: map[string]int{}, done: make(chan struct{}),
		large: make(chan struct{}, 4),
	}
	for _, a := range opts.Accounts {
		p := dir.login(a.Login)
		if p == nil || !p.IsApp {
			return nil, fmt.Errorf("account %q: there is no application person with that login", a.Login)
		}
		s.accounts[strings.ToLower(a.Login)] = &a
	}
	s.application.Store(opts.Application)
	s.SetBaseURL(opts.BaseURL)
	s.hooks = newDeliverer(&s.opts, s.webhooks.invoked, func() string {
		if app := s.application.Load(); app != nil {
			return app.Key
		}
		return ""
	})
	s.routed = s.routes()
	s.handler = tape.Open().Handler(tape.Server, http.HandlerFunc(s.handle))
	s.wg.Go(func() { s.ledger.run(s.done) })
	return s, nil
}

// Close stops deliveries and callbacks and waits for them. The data stays readable.
func (s *Server) Close() {
	s.once.Do(func() {
		close(s.done)
		s.hooks.close()
		s.wg.Wait()
	})
}

// SetBaseURL tells scheme, host and port for links in answers, for when they are known only after listening. Empty takes
// them from each request.
func (s *Server) SetBaseURL(base string) {
	base = strings.TrimRight(base, "/")
	s.base.Store(&base)
}

// now is the time as SQL Server keeps it, near enough: whole milliseconds, UTC.
func (s *Server) now() time.Time { return s.opts.Now().UTC().Truncate(time.Millisecond) }

func (s *Server) language(a *Account) string {
	if a != nil && a.Language != "" {
		return a.Language
	}
	return s.opts.Tenant.Language
}
