// Command gateway receives the webhooks of Azure DevOps and Alvao and serves the API
// of sync-core as REST. 'gateway --help' lists its settings.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/tandem-sync/tandem/services/gateway/internal/app"
)

// gcPercent trades memory for time: a webhook leaves 30 KB of garbage and the live
// heap is a few MB, so by default the collector would run many times a second.
// Measured under load: an eighth less CPU for 12 MiB more.
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	cfg, err := app.Parse(args, out)
	if errors.Is(err, app.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	cfg.LogOutput = out
	if info, ok := debug.ReadBuildInfo(); ok {
		cfg.Version = info.Main.Version
	}
	gateway, err := app.New(ctx, cfg)
	if err != nil {
		return err
	}
	return gateway.Run(ctx)
}
