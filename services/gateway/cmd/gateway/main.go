// Command gateway receives the webhooks of Azure DevOps and Alvao and serves the API
// of sync-core as REST. 'gateway --help' lists its settings; 'gateway health' asks the
// gateway of this machine whether it is ready, 'gateway version' tells which it is.
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
	_ "time/tzdata" // TZ must work in an image without a zone database

	_ "golang.org/x/crypto/x509roots/fallback" // an image has no certificate authorities; those of a system come first

	"github.com/tandem-sync/tandem/services/gateway/internal/app"
	"github.com/tandem-sync/tandem/services/internal/telemetry"
)

// gcPercent trades memory for time: a webhook leaves 30 KB of garbage and the live
// heap is a few MB, so by default the collector would run many times a second.
// Measured under load: an eighth less CPU for 12 MiB more.
const gcPercent = 400

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	app.FollowCore()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "gateway:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	command := ""
	if len(args) > 0 && (args[0] == "health" || args[0] == "version") {
		command, args = args[0], args[1:]
	}
	cfg, err := app.Parse(args, out)
	if errors.Is(err, app.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	switch command {
	case "health":
		return telemetry.Probe(ctx, cfg.AdminListen)
	case "version":
		_, err := fmt.Fprintln(out, telemetry.Version())
		return err
	}
	cfg.LogOutput, cfg.Version = out, telemetry.Version()
	gateway, err := app.New(ctx, cfg)
	if err != nil {
		return err
	}
	return gateway.Run(ctx)
}
