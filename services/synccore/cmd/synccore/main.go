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
	"runtime/debug"
	"syscall"
	_ "time/tzdata" // alvao.timeZone must work in an image without a zone database

	"github.com/alecthomas/kong"

	"github.com/tandem-sync/tandem/services/synccore/internal/app"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
)

// commands is the command line.
type commands struct {
	Serve       serveCommand `cmd:"" default:"withargs" help:"Serve until stopped (the default)."`
	CheckConfig checkCommand `cmd:"" help:"Check a configuration file without opening anything, and tell every problem at once."`
	Hooks       hooksCommand `cmd:"" help:"Print the webhook addresses and credentials to enter at Azure DevOps and Alvao."`
	Version     struct{}     `cmd:"" help:"Print the version."`
}

type serveCommand struct{ app.Config }

type checkCommand struct {
	File string `arg:"" type:"path" help:"Configuration file."`
}

type hooksCommand struct {
	File string `name:"config" env:"TANDEM_CONFIG" required:"" type:"path" help:"Configuration file."`
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
		if !config.Check(out, line.CheckConfig.File) {
			return errNotFine
		}
		return nil
	case "hooks":
		return app.PrintHooks(out, line.Hooks.File)
	case "version":
		_, err := fmt.Fprintln(out, version())
		return err
	default:
		line.Serve.Version = version()
		core, err := app.New(ctx, line.Serve.Config, out)
		if err != nil {
			return err
		}
		return core.Run(ctx)
	}
}

// version is what the Go toolchain recorded of the build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			return setting.Value
		}
	}
	return info.Main.Version
}
