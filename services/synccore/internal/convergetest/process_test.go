package convergetest_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/tandem-sync/tandem/services/synccore/internal/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/connector"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/letter"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/mail"
	"github.com/tandem-sync/tandem/services/synccore/internal/notice"
	"github.com/tandem-sync/tandem/services/synccore/internal/origin"
	"github.com/tandem-sync/tandem/services/synccore/internal/pushed"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
	"github.com/tandem-sync/tandem/services/synccore/internal/runs"
	"github.com/tandem-sync/tandem/services/synccore/internal/worker"
)

var errDead = errors.New("the process is dead")

// process is one sync-core: connectors and a worker over the shared Redis. It dies at
// a moment that was set before, after or just before an effect, and then does nothing
// more.
type process struct {
	w     *world
	redis *datastore.Store
	inbox *inbox.Inbox
	set   *connector.Set
	// logs is what Alvao's application told.
	logs  *pushed.Logs
	turn  *turnstile
	stop  context.CancelFunc
	ended chan struct{}

	mu   sync.Mutex
	dead bool
	// count counts effects; the process dies at the one numbered at, if not 0.
	count, at int
	before    bool
	// steps are all that the process did, by name and in order; it dies after the one that
	// end tells, if that is not nil.
	steps []string
	end   *ending
	// asleep is until when the process does nothing.
	asleep time.Time
}

// doom sets the effect, from now, at which the process dies.
func (p *process) doom(at int, before bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count, p.at, p.before = 0, at, before
}

func (p *process) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// taken are the steps so far. One that was ended may still be told something.
func (p *process) taken() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.steps)
}

// live runs a step, which may have an effect, if the process lives, and tells whether it
// lives on.
func (p *process) live(step string, effect bool, do func() error) error {
	p.w.hold(p, step)
	p.mu.Lock()
	if p.dead {
		p.mu.Unlock()
		return errDead
	}
	p.steps = append(p.steps, step)
	last := p.end.at(step)
	if effect {
		p.count++
		last = last || p.count == p.at
	}
	if last && p.before {
		p.dead = true
		p.mu.Unlock()
		return errDead
	}
	p.mu.Unlock()
	err := do()
	p.mu.Lock()
	defer p.mu.Unlock()
	if last {
		p.dead = true
	}
	if p.dead {
		return errDead
	}
	return err
}

// RoundTrip implements http.RoundTripper: the process' calls.
func (p *process) RoundTrip(r *http.Request) (*http.Response, error) {
	var answer *http.Response
	name, err := callName(r)
	if err != nil {
		return nil, err
	}
	err = p.live(name, r.Method != http.MethodGet, func() error {
		var err error
		answer, err = p.w.call(r) //nolint:bodyclose // the caller closes it
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

// DialHook implements redis.Hook.
func (p *process) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook. All that changes anything is a script.
func (p *process) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := p.live(p.w.commandName(cmd), cmd.Name() == "evalsha", func() error {
			if p.w.isPaused(p) {
				// A command that was on its way when the process was stopped is sent when it
				// wakes, whatever it may then know.
				return next(context.WithoutCancel(ctx), cmd)
			}
			return next(ctx, cmd)
		})
		p.w.heard(p, cmd)
		if errors.Is(err, errDead) {
			cmd.SetErr(err)
		}
		return err
	}
}

// ProcessPipelineHook implements redis.Hook.
func (p *process) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := p.live(p.w.together(cmds), true, func() error {
			if p.w.isPaused(p) {
				return next(context.WithoutCancel(ctx), cmds) // as of single commands
			}
			return next(ctx, cmds)
		})
		for _, cmd := range cmds {
			p.w.heard(p, cmd)
		}
		return err
	}
}

func (p *process) store(ctx context.Context, event item.Event) error {
	if event.Type == "round.finished" {
		return p.logs.KeepRound(ctx, name, roundOf(event.Payload))
	}
	if about, is := pushedOf(event.Payload); is && event.Key.System == item.Alvao {
		kept, err := p.logs.Keep(ctx, name, event.Key.ID, about.record)
		if err != nil || about.own || about.again && !kept.Changed {
			return err
		}
	}
	_, err := p.inbox.Append(ctx, event)
	return err
}

// turnstile lets the worker look into the inbox only when it is told to, so that an
// idle worker costs no time.
type turnstile struct {
	*inbox.Inbox

	look chan struct{}
	// more tells that the last look found something.
	more bool
}

// Receive implements worker.Inbox.
func (t *turnstile) Receive(ctx context.Context, most int, _ time.Duration) ([]inbox.Delivery, error) {
	for {
		if !t.more {
			select {
			case <-t.look:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		found, err := t.Inbox.Receive(ctx, most, 0)
		t.more = len(found) > 0
		if t.more || err != nil {
			return found, err
		}
	}
}

// told is what Alvao's application told the connector.
type told struct{ logs *pushed.Logs }

// Log implements alvao.Pushed.
func (t told) Log(ctx context.Context, ticket int64) ([]item.PushedRecord, error) {
	return t.logs.Log(ctx, name, ticket)
}

// Heard implements alvao.Pushed.
func (t told) Heard(ctx context.Context) (time.Time, error) { return t.logs.Heard(ctx, name) }

// Round implements alvao.Pushed.
func (t told) Round(ctx context.Context) (time.Time, error) { return t.logs.Round(ctx, name) }

// tickets and workItems give the clients the shapes that connectors ask for.
type tickets struct{ *alvao.Client }

func (c tickets) InStatus(ctx context.Context, statuses []string) iter.Seq2[item.Ticket, error] {
	return c.Tickets(ctx, alvao.Query{Service: c.Service(), Statuses: statuses})
}

type workItems struct{ *azuredevops.Client }

func (c workItems) CheckHooks(context.Context) []item.Finding { return nil }

func (c workItems) Prepare(ctx context.Context) error {
	_, err := c.Project(ctx)
	return err
}

func (c workItems) Check(ctx context.Context) []item.Finding {
	return c.Client.Check(ctx, azuredevops.Wants{Type: "Task"})
}

func (p *process) open(cfg config.Connector) (connector.Clients, error) {
	known := func(secret string) func() (string, error) { return func() (string, error) { return secret, nil } }
	desk, err := alvao.New(alvao.Options{
		BaseURL: cfg.Alvao.URL, Service: cfg.Alvao.Service, Username: "tandem", Password: known("tandem"), Base: p,
		PerSecond: 10_000, Burst: 10_000, Pushed: told{p.logs},
	})
	if err != nil {
		return connector.Clients{}, err
	}
	boards, err := azuredevops.New(azuredevops.Options{ProjectURL: cfg.Rules.Project.URL(), Credential: azuredevops.PAT(known("sandbox-pat")), Base: p})
	if err != nil {
		return connector.Clients{}, err
	}
	clients := connector.Clients{Tickets: tickets{desk}, WorkItems: workItems{boards}, Close: func() {}}
	if p.w.solved {
		template, problems := letter.Parse("", "")
		if len(problems) > 0 {
			return connector.Clients{}, problems[0]
		}
		clients.Channels = notice.Channels{Letter: template, Mail: postman{p}}
	}
	return clients, nil
}

// postman takes a process' mails.
type postman struct{ p *process }

// Send implements notice.Mailer.
func (m postman) Send(_ context.Context, letter mail.Mail) error {
	return m.p.live("mail send", true, func() error {
		m.p.w.mu.Lock()
		defer m.p.w.mu.Unlock()
		m.p.w.mails = append(m.p.w.mails, letter)
		return nil
	})
}

// Check implements notice.Mailer.
func (m postman) Check(context.Context) item.Finding { return item.Finding{} }

// start starts a process.
func (w *world) start(ctx context.Context) (*process, error) {
	p := &process{w: w, ended: make(chan struct{}), end: w.nextEnding()}
	var err error
	if p.redis, err = datastore.Open(ctx, w.redis.address()); err != nil {
		return nil, fmt.Errorf("opening Redis: %w", err)
	}
	if err := watch(ctx, p.redis, p); err != nil {
		return nil, err
	}
	if p.inbox, err = inbox.New(p.redis, inbox.Options{}); err != nil {
		return nil, err
	}
	if p.logs, err = pushed.New(p.redis, pushed.Limits{}, time.Now); err != nil {
		return nil, err
	}
	p.turn = &turnstile{Inbox: p.inbox, look: make(chan struct{})}
	links, leases, origins, logger := link.New(p.redis), lease.New(p.redis), origin.New(p.redis), w.logger
	tracers := tracenoop.NewTracerProvider()
	engine := reconcile.Config{Links: links, Leases: leases, Origins: origins, Tracers: tracers, Now: time.Now}
	if w.solved {
		engine.Inbox = p.inbox
	}
	notices, err := notice.New(notice.Config{Links: links, Leases: leases, Tracers: tracers, Meters: metricnoop.NewMeterProvider(), Now: time.Now})
	if err != nil {
		return nil, err
	}
	p.set = connector.NewSet(connector.Deps{
		Open: p.open, Links: links, Leases: leases, Origins: origins, Inbox: p.inbox, Runs: runs.New(p.redis),
		Logger: logger, Now: time.Now, Engine: reconcile.New(engine), Notices: notices,
	})
	work, err := worker.New(worker.Config{
		Inbox: p.turn, Handler: p.set.Handle, Logger: logger, Tracers: tracers, Meters: metricnoop.NewMeterProvider(),
		Now: time.Now, Concurrency: w.shape.workers, Upkeep: time.Minute, Chance: func() float64 { return 0.5 },
	})
	if err != nil {
		return nil, err
	}
	ctx, p.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := p.set.Apply(ctx, &config.Config{Resync: config.Resync{Interval: resyncEvery}, Connectors: []config.Connector{w.settings}}); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.ended)
		_ = work.Run(ctx)
	}()
	return p, nil
}

// finish stops a process; one that is dead already lets go of what it holds in memory.
func (p *process) finish() error {
	p.stop()
	<-p.ended
	p.set.Close()
	return errors.Join(p.inbox.Close(), p.redis.Close())
}

// silent is a logger for nobody.
func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }
