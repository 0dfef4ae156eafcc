// Package app builds sync-core from its settings and runs it.
//
// Its one invariant: New either returns an App of which everything is open, or
// closes what it had opened; Run returns only after everything has stopped.
package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.opentelemetry.io/otel/propagation"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/tandem-sync/tandem/services/internal/telemetry"
	"github.com/tandem-sync/tandem/services/synccore/internal/access"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/connector"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/limiter"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/notice"
	"github.com/tandem-sync/tandem/services/synccore/internal/origin"
	"github.com/tandem-sync/tandem/services/synccore/internal/pushed"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
	"github.com/tandem-sync/tandem/services/synccore/internal/runs"
	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
	"github.com/tandem-sync/tandem/services/synccore/internal/worker"
)

// Config is the process' own settings, as flags and environment variables. The
// connectors are in the file that Config names.
type Config struct {
	// File is the configuration file with the connectors.
	File string
	// Listen is where the gRPC API is served.
	Listen string
	// TLS are the certificates of the gRPC API, InsecureGRPC serves it without any.
	TLS          transport.Files
	InsecureGRPC bool
	// AdminListen is where health and metrics are served.
	AdminListen string
	// Redis is the address of the store.
	Redis string
	// RedisPrefix begins every key.
	RedisPrefix string
	// RedisReplicas is how many replicas must have an event before it counts as stored:
	// a number, or auto; empty: auto.
	RedisReplicas string
	// AllowVolatileRedis accepts a Redis that may lose data.
	AllowVolatileRedis bool
	// Workers is how many items are served at once.
	Workers int
	// Grace is how long work in hand may go on after a stop was asked for.
	Grace time.Duration
	// OTLPEndpoint is the collector that traces go to.
	OTLPEndpoint string
	// SampleRatio is the share of traces that are kept.
	SampleRatio float64
	// LogLevel is the least level that is logged.
	LogLevel string
	// Version is told in telemetry.
	Version string
}

// App is sync-core, ready to run.
type App struct {
	cfg        Config
	file       *config.Config
	tel        *telemetry.Telemetry
	store      *datastore.Store
	inbox      *inbox.Inbox
	connectors *connector.Set
	worker     *worker.Worker
	pushed     *pushed.Logs
	access     *access.Guard
	server     *grpc.Server
	health     *health.Server
	admin      *http.Server
	listener   net.Listener
	adminList  net.Listener
	// stopping is closed when a stop was asked for.
	stopping chan struct{}
	closers  []func() error
}

// New opens everything: the configuration, telemetry, the store and both listeners.
// It waits for a Redis that is away, until ctx ends. Logs go to out.
func New(ctx context.Context, cfg Config, out io.Writer) (*App, error) {
	a := &App{cfg: cfg, stopping: make(chan struct{})}
	if err := a.open(ctx, out); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// check tells what is wrong with the process' own settings.
func (c Config) check() error {
	errs := []error{c.checkTransport()}
	if c.Workers < 0 || c.Workers > 10_000 {
		errs = append(errs, fault.New(fault.Misconfigured, "The setting workers is %d; give a number from 1 to 10000.", c.Workers))
	}
	if c.Grace < 0 {
		errs = append(errs, fault.New(fault.Misconfigured, "The setting grace is %s; give a time such as 10s.", c.Grace))
	}
	if !(c.SampleRatio >= 0 && c.SampleRatio <= 1) { // also true for NaN
		errs = append(errs, fault.New(fault.Misconfigured, "The setting sample-ratio is %v; give a share above 0 to 1.", c.SampleRatio))
	}
	if c.OTLPEndpoint != "" {
		// The exporter would only log it and send everything to its default.
		u, err := url.Parse(c.OTLPEndpoint)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			errs = append(errs, fault.New(fault.Misconfigured, "The setting otlp-endpoint is no URL; write it as in http://jaeger:4317."))
		}
	}
	return errors.Join(errs...)
}

func (a *App) open(ctx context.Context, out io.Writer) error {
	if err := a.cfg.check(); err != nil {
		return err
	}
	var err error
	a.file, err = config.Load(a.cfg.File)
	if err != nil {
		return err
	}
	level, err := telemetry.ParseLevel(a.cfg.LogLevel)
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	a.tel, err = telemetry.Start(ctx, telemetry.Config{
		Service: "tandem-synccore", Version: a.cfg.Version, Instance: host,
		OTLPEndpoint: a.cfg.OTLPEndpoint, SampleRatio: a.cfg.SampleRatio, LogWriter: out, LogLevel: level,
	})
	if err != nil {
		return fmt.Errorf("starting telemetry: %w", err)
	}
	a.closers = append(a.closers, func() error { return a.tel.Shutdown(context.WithoutCancel(ctx)) })
	for _, warning := range a.file.Warnings {
		a.tel.Logger.WarnContext(ctx, "config.warning", slog.String("problem", warning.String()))
	}
	if err := a.openStore(ctx); err != nil {
		return err
	}
	if err := a.build(host); err != nil {
		return err
	}
	if err := a.observe(); err != nil {
		return err
	}
	var listen net.ListenConfig
	if a.listener, err = listen.Listen(ctx, "tcp", a.cfg.Listen); err != nil {
		return fmt.Errorf("opening the gRPC address: %w", err)
	}
	a.closers = append(a.closers, ignoreClosed(a.listener.Close))
	if a.adminList, err = listen.Listen(ctx, "tcp", a.cfg.AdminListen); err != nil {
		return fmt.Errorf("opening the admin address: %w", err)
	}
	a.closers = append(a.closers, ignoreClosed(a.adminList.Close))
	return nil
}

// logRedis lets the Redis client's one log of the process be set once, since setting
// it while a client is at work is a race.
var logRedis sync.Once //nolint:gochecknoglobals // what it guards is the process' own

// openStore waits for Redis: it may start after us. One whose settings lose data is
// refused at once, because waiting would not mend them.
func (a *App) openStore(ctx context.Context) error {
	logRedis.Do(func() { datastore.LogTo(a.tel.Logger) })
	replicas, err := datastore.ParseReplicas(a.cfg.RedisReplicas)
	if err != nil {
		return err
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 100*time.Millisecond, 2*time.Second
	for told := false; ; told = true {
		store, err := datastore.Open(ctx, datastore.Options{
			URL: a.cfg.Redis, KeyPrefix: a.cfg.RedisPrefix,
			AllowVolatile: a.cfg.AllowVolatileRedis || a.file.AllowVolatileRedis, Replicas: replicas,
			TracerProvider: a.tel.Tracers, MeterProvider: a.tel.Meters,
		})
		if err == nil {
			if err = a.upgrade(ctx, store); err == nil {
				a.store = store
				a.closers = append(a.closers, store.Close)
				return nil
			}
			_ = store.Close() // the first error is the one that tells
		}
		if !fault.Is(err, fault.Unavailable) {
			return err
		}
		if !told {
			a.tel.Logger.WarnContext(ctx, "redis.away", slog.String("error", err.Error()))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for Redis: %w", err)
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// upgrade brings what Redis holds to this build's layout, and tells what opening it found.
func (a *App) upgrade(ctx context.Context, store *datastore.Store) error {
	for _, warning := range store.Warnings() {
		a.tel.Logger.WarnContext(ctx, "redis.warning", slog.String("problem", warning))
	}
	steps := inbox.Steps()
	fresh, err := store.Fresh(ctx)
	if err != nil {
		return err
	}
	from, err := store.Upgrade(ctx, steps)
	if err != nil {
		return err
	}
	if to := steps[len(steps)-1].To; from < to && !fresh {
		a.tel.Logger.InfoContext(ctx, "redis.upgraded", slog.Int("from", from), slog.Int("to", to))
	}
	return nil
}

// build makes the parts and puts them together.
func (a *App) build(replica string) error {
	var err error
	now := time.Now //nolint:forbidigo // the one place where the clock enters
	logger := a.tel.Logger
	a.inbox, err = inbox.New(a.store, inbox.Options{Replica: replica, Tracers: a.tel.Tracers})
	if err != nil {
		return fmt.Errorf("opening the inbox: %w", err)
	}
	a.closers = append(a.closers, a.inbox.Close)
	links, leases, origins := link.New(a.store), lease.New(a.store), origin.New(a.store)
	engine := reconcile.New(reconcile.Config{
		Links: links, Leases: leases, Origins: origins, Inbox: a.inbox, Tracers: a.tel.Tracers, Now: now,
	})
	// Most workers are for the sync, whatever a mail server does.
	const share, few = 4, 4
	notices, err := notice.New(notice.Config{
		Links: links, Leases: leases, Tracers: a.tel.Tracers, Meters: a.tel.Meters, Now: now,
		Concurrent: min(few, max(1, a.cfg.Workers/share)),
	})
	if err != nil {
		return err
	}
	a.pushed, err = pushed.New(a.store, pushed.Limits{}, now)
	if err != nil {
		return fmt.Errorf("opening the pushed logs: %w", err)
	}
	opener, err := newOpener(a.tel, limiter.NewLedger(a.store), a.pushed, a.cfg.Version, now)
	if err != nil {
		return err
	}
	a.connectors = connector.NewSet(connector.Deps{
		Open: opener.open, Engine: engine, Notices: notices, Links: links, Leases: leases, Origins: origins, Inbox: a.inbox,
		Runs: runs.New(a.store), Logger: logger, Now: now, Decisions: links,
	})
	// What the worker has to cut is put back, and telemetry flushed, within the rest.
	a.worker, err = worker.New(worker.Config{
		Inbox: a.inbox, Handler: a.connectors.Handle, Logger: logger, Tracers: a.tel.Tracers, Meters: a.tel.Meters, Now: now,
		Concurrency: a.cfg.Workers, Grace: a.cfg.Grace * 4 / 5, Heartbeat: a.inbox.Visibility() / 4,
	})
	if err != nil {
		return fmt.Errorf("making the worker: %w", err)
	}
	return a.serve(links, leases, now)
}

// Addr is where the gRPC API listens.
func (a *App) Addr() string { return a.listener.Addr().String() }

// AdminAddr is where health and metrics listen.
func (a *App) AdminAddr() string { return a.adminList.Addr().String() }

// Run serves until ctx ends, then stops within the grace time: no new work is taken,
// what is in hand is finished, and telemetry is flushed.
func (a *App) Run(ctx context.Context) error {
	if err := a.connectors.Apply(ctx, a.file); err != nil {
		a.connectors.Close()
		return errors.Join(err, a.close())
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		// It may have been stopped before it began.
		if err := a.server.Serve(a.listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			return fmt.Errorf("serving the gRPC API: %w", err)
		}
		return nil
	})
	group.Go(func() error {
		if err := a.admin.Serve(a.adminList); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serving health and metrics: %w", err)
		}
		return nil
	})
	group.Go(func() error { return a.worker.Run(ctx) })
	group.Go(func() error { a.watchFile(ctx); return nil })
	group.Go(func() error { a.watchStore(ctx); return nil })
	group.Go(func() error { <-ctx.Done(); a.stop(ctx); return nil })
	a.tel.Logger.InfoContext(ctx, "synccore.ready",
		slog.String("grpc", a.Addr()), slog.String("admin", a.AdminAddr()), slog.Int("connectors", len(a.file.Connectors)))
	err := group.Wait()
	a.connectors.Close()
	a.tel.Logger.InfoContext(ctx, "synccore.stopped")
	return errors.Join(err, a.close())
}

// watchFile takes changes of the configuration over. Where files can't be watched (a
// container may be out of watches), what runs goes on with what it has.
func (a *App) watchFile(ctx context.Context) {
	err := config.Watch(ctx, a.cfg.File, func(file *config.Config, err error) { a.reload(ctx, file, err) }, config.From(a.file))
	if err != nil {
		a.tel.Logger.ErrorContext(ctx, "config.unwatched", slog.String("error", err.Error()))
	}
}

// reload takes a changed configuration over. One that can't be loaded changes nothing; of
// one that can, each connector is taken over that can be opened, and the others go on with
// the settings that they had, if any.
func (a *App) reload(ctx context.Context, file *config.Config, err error) {
	if err != nil {
		a.tel.Logger.ErrorContext(ctx, "config.refused", slog.String("error", err.Error()))
		return
	}
	for _, warning := range file.Warnings {
		a.tel.Logger.WarnContext(ctx, "config.warning", slog.String("problem", warning.String()))
	}
	if err := a.access.Apply(file.Callers); err != nil {
		a.tel.Logger.ErrorContext(ctx, "callers.refused", slog.String("error", err.Error()), slog.String("effect", "those who could call before still can"))
	}
	err = a.connectors.Apply(ctx, file)
	if failed, is := errors.AsType[*connector.NotOpenedError](err); is {
		a.tel.Logger.ErrorContext(ctx, "config.applied", slog.Int("connectors", len(file.Connectors)-len(failed.Names)),
			slog.Any("failed", failed.Names), slog.String("error", err.Error()))
		return
	}
	a.tel.Logger.InfoContext(ctx, "config.applied", slog.Int("connectors", len(file.Connectors)))
}

// watchStore keeps the health service true to whether Redis can be written, and tells
// when and why it can't.
func (a *App) watchStore(ctx context.Context) {
	const interval = time.Second
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	refused, since := "", time.Time{}
	for {
		status := healthpb.HealthCheckResponse_SERVING
		check, cancel := context.WithTimeout(ctx, interval)
		err := a.store.Check(check)
		cancel()
		if ctx.Err() != nil {
			return
		}
		reason := datastore.Reason(err)
		if err != nil {
			status = healthpb.HealthCheckResponse_NOT_SERVING
		}
		switch {
		case reason != "" && reason != refused:
			if refused == "" {
				since = time.Now() //nolint:forbidigo // only told
			}
			a.tel.Logger.WarnContext(ctx, "redis.refuses", slog.String(telemetry.KeyReason, reason), slog.String("error", err.Error()))
		case reason == "" && refused != "":
			a.tel.Logger.InfoContext(ctx, "redis.back", slog.String(telemetry.KeyReason, refused),
				slog.Float64("seconds", time.Since(since).Seconds()))
		}
		refused = reason
		a.health.SetServingStatus("", status)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// stop ends the servers: first no caller is told to come, then open calls are
// finished, then what is left is cut.
func (a *App) stop(ctx context.Context) {
	a.health.Shutdown()
	close(a.stopping)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.cfg.Grace)
	defer cancel()
	finished := make(chan struct{})
	go func() {
		a.server.GracefulStop()
		close(finished)
	}()
	select {
	case <-finished:
	case <-ctx.Done():
		a.server.Stop()
		<-finished
	}
	if err := a.admin.Shutdown(ctx); err != nil {
		_ = a.admin.Close() // what a scraper holds open is cut
	}
}

func (a *App) close() error {
	var errs []error
	for _, closer := range slices.Backward(a.closers) {
		errs = append(errs, closer())
	}
	a.closers = nil
	return errors.Join(errs...)
}

// ignoreClosed makes closing what its server has closed already no error.
func ignoreClosed(closing func() error) func() error {
	return func() error {
		if err := closing(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	}
}

// traceParent gives the context's span in the form that the inbox keeps.
func traceParent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}
