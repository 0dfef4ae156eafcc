// Command synccore is Tandem's core: it keeps tickets and work items in step. See
// services/README.md for its parts and deploy/README.md for running it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // alvao.timeZone must work in an image without a zone database

	"github.com/alecthomas/kong"
	_ "golang.org/x/crypto/x509roots/fallback" // an image has no certificate authorities; those of a system come first

	"github.com/tandem-sync/tandem/services/internal/telemetry"
	"github.com/tandem-sync/tandem/services/synccore/internal/app"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
)

// commands is the command line.
type commands struct {
	Serve       serveCommand  `cmd:"" default:"withargs" help:"Serve until stopped (the default)."`
	CheckConfig checkCommand  `cmd:"" help:"Check a configuration file without opening anything, and tell every problem at once."`
	Hooks       hooksCommand  `cmd:"" help:"Print the webhook addresses and credentials to enter at Azure DevOps and Alvao."`
	Health      healthCommand `cmd:"" help:"Ask the sync-core of this machine whether it is ready; the health check of its image."`
	Version     struct{}      `cmd:"" help:"Print the version."`
}

type serveCommand struct{ app.Config }

type checkCommand struct {
	File  string `arg:"" type:"path" help:"Configuration file."`
	Print bool   `help:"Print the configuration that is in effect, defaults included and secrets as references only."`
}

type hooksCommand struct {
	File string `name:"config" env:"TANDEM_CONFIG" required:"" type:"path" help:"Configuration file."`
}

type healthCommand struct {
	AdminListen string `default:"127.0.0.1:9001" env:"TANDEM_ADMIN_LISTEN" help:"Address of /health/ready, as sync-core was given it."`
}

// errNotFine ends check-config; the problems were printed.
var errNotFine = errors.New("the configuration can't be used as it is")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var line commands
	parser, err := kong.New(&line, kong.Name("synccore"), kong.Description("Keeps ALVAO Service Desk tickets and Azure DevOps work items moving together."),
		kong.Writers(out, os.Stderr))
	if err != nil {
		return fmt.Errorf("reading the command line: %w", err)
	}
	chosen, err := parser.Parse(args)
	if err != nil {
		return fmt.Errorf("reading the command line: %w", err)
	}
	switch chosen.Command() {
	case "check-config <file>":
		if !config.Check(out, line.CheckConfig.File, line.CheckConfig.Print) {
			return errNotFine
		}
		return nil
	case "hooks":
		return app.PrintHooks(out, line.Hooks.File)
	case "health":
		return telemetry.Probe(ctx, line.Health.AdminListen)
	case "version":
		_, err := fmt.Fprintln(out, telemetry.Version())
		return err
	default:
		line.Serve.Version = telemetry.Version()
		core, err := app.New(ctx, line.Serve.Config, out)
		if err != nil {
			return err
		}
		return core.Run(ctx)
	}
}
