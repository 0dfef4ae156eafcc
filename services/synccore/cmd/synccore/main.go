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

	_ "golang.org/x/crypto/x509roots/fallback" // an image has no certificate authorities; those of a system come first

	"github.com/tandem-sync/tandem/services/synccore/internal/app"
)

// errNotFine ends check-config; the problems were printed.
var errNotFine = errors.New("the configuration can't be used as it is")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitCode(err))
	}
}

// exitCode tells failures apart that a job's watcher treats differently.
func exitCode(err error) int {
	const failed, held, differs = 1, 3, 4
	switch {
	case errors.Is(err, app.ErrHeld):
		return held
	case errors.Is(err, app.ErrDrift):
		return differs
	default:
		return failed
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	root := commands(out) //nolint:contextcheck // cobra hands ctx over
	root.SetArgs(args)
	root.SetOut(out)
	if err := root.ExecuteContext(ctx); err != nil {
		return fmt.Errorf("synccore: %w", err)
	}
	return nil
}
