package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tandem-sync/tandem/services/internal/telemetry"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/connector"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/limiter"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/origin"
	"github.com/tandem-sync/tandem/services/synccore/internal/pushed"
	"github.com/tandem-sync/tandem/services/synccore/internal/rebuild"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
)

// RebuildConfig says which links are made anew.
type RebuildConfig struct {
	// File, Redis, RedisPrefix and AllowVolatileRedis are those of Config.
	File, Redis, RedisPrefix string
	AllowVolatileRedis       bool
	// Connector is the connector's name.
	Connector string
	// DryRun tells that nothing is written anywhere.
	DryRun bool
	// NewSince is from when on tickets are the connector's, RFC 3339; empty: not known.
	NewSince string
	Version  string
}

// RebuildLinks makes the links of a connector anew from what both systems say, and
// writes what it does, or with DryRun would do, line by line. Sync-core may run
// meanwhile.
func RebuildLinks(ctx context.Context, cfg RebuildConfig, out, logs io.Writer) error {
	options := connector.RebuildOptions{DryRun: cfg.DryRun}
	if cfg.NewSince != "" {
		var err error
		if options.NewSince, err = time.Parse(time.RFC3339, cfg.NewSince); err != nil {
			return fault.New(fault.Misconfigured, "--new-since is %q; write a time such as 2026-03-02T14:05:00+01:00.", cfg.NewSince)
		}
	}
	file, err := config.Load(cfg.File)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(file.Connectors, func(c config.Connector) bool { return c.Name == cfg.Connector })
	if at < 0 {
		return fault.New(fault.NotFound, "%s has no connector %q.", cfg.File, cfg.Connector)
	}
	a := &App{file: file, cfg: Config{
		File: cfg.File, Redis: cfg.Redis, RedisPrefix: cfg.RedisPrefix, AllowVolatileRedis: cfg.AllowVolatileRedis, Version: cfg.Version,
	}}
	return errors.Join(a.rebuild(ctx, file.Connectors[at], options, out, logs), a.close())
}

func (a *App) rebuild(ctx context.Context, cfg config.Connector, options connector.RebuildOptions, out, errs io.Writer) error {
	level, err := telemetry.ParseLevel("warn")
	if err != nil {
		return err
	}
	a.tel, err = telemetry.Start(ctx, telemetry.Config{Service: "tandem-synccore", Version: a.cfg.Version, SampleRatio: 1, LogWriter: errs, LogLevel: level})
	if err != nil {
		return fmt.Errorf("starting telemetry: %w", err)
	}
	a.closers = append(a.closers, func() error { return a.tel.Shutdown(context.WithoutCancel(ctx)) })
	if err := a.openStore(ctx); err != nil {
		return err
	}
	now := time.Now //nolint:forbidigo // the one place where the clock enters this command
	links, leases, origins := link.New(a.store), lease.New(a.store), origin.New(a.store)
	logs, err := pushed.New(a.store, pushed.Limits{}, now)
	if err != nil {
		return err
	}
	opener, err := newOpener(a.tel, limiter.NewLedger(a.store), logs, a.cfg.Version, now)
	if err != nil {
		return err
	}
	deps := connector.Deps{
		Open: opener.open, Links: links, Leases: leases, Origins: origins, Logger: a.tel.Logger, Now: now,
		// The lines that are written tell what happens; nobody traces a command.
		Engine: reconcile.New(reconcile.Config{Links: links, Leases: leases, Origins: origins, Tracers: noop.NewTracerProvider(), Now: now}),
	}
	options.Tell = func(pair rebuild.Pair) { printPair(out, pair) }
	result, err := connector.Rebuild(ctx, cfg, deps, options)
	summary(out, cfg.Name, result, options.DryRun)
	if err != nil {
		return fmt.Errorf("rebuilding the links of connector %s: %w", cfg.Name, err)
	}
	return nil
}

func printPair(out io.Writer, pair rebuild.Pair) {
	number := "-"
	if pair.WorkItem != 0 {
		number = strconv.FormatInt(pair.WorkItem, 10)
	}
	fmt.Fprintf(out, "ticket %d (%s), work item %s (%s), by %s: %s\n", pair.Ticket, dash(pair.Status), number, dash(pair.State), pair.By, pair.Says)
}

// summary is the last lines of a rebuild.
func summary(out io.Writer, name string, r rebuild.Result, dry bool) {
	linked, news := "linked", "get a work item as soon as they are looked at"
	if dry {
		linked, news = "would be linked", "would get a work item"
	}
	fmt.Fprintf(out, "%s: %d tickets and %d work items looked through, %d of these with a mark\n", name, r.Tickets, r.WorkItems, r.Marked)
	fmt.Fprintf(out, "%s: %d pairs %s with %d writes, %d were linked already, %d could not be looked at\n", name, r.Linked, linked, r.Writes, r.Known, r.Failed)
	if r.New > 0 {
		fmt.Fprintf(out, "%s: %d tickets in a mapped status without a work item %s\n", name, r.New, news)
	}
	if r.Alone > 0 {
		fmt.Fprintf(out, "%s: %d tickets in a mapped status without a work item are left alone, as those from before the connector; --new-since tells from when on they are not\n", name, r.Alone)
	}
}
