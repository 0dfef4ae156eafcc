// Command tandemctl is Tandem's API for people at a terminal. See deploy/README.md for
// what to do with it, and `tandemctl help`.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	_ "golang.org/x/crypto/x509roots/fallback" // a small image has no certificate authorities; those of a system come first

	"github.com/tandem-sync/tandem/services/internal/telemetry"
	"github.com/tandem-sync/tandem/services/synccore/internal/ctl"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := ctl.Run(ctx, os.Args[1:], ctl.Terminal{Out: os.Stdout, Err: os.Stderr, Env: os.Getenv, Version: telemetry.Version()})
	stop()
	if err == nil {
		return
	}
	if !errors.Is(err, ctl.ErrShown) {
		fmt.Fprintln(os.Stderr, "tandemctl:", err)
	}
	os.Exit(1)
}
