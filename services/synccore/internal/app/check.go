package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
)

// CheckConnectorConfig says which connectors are checked.
type CheckConnectorConfig struct {
	// Connectors are names; empty: all.
	Connectors []string
	// Core is how sync-core is reached.
	Core transport.Client
	// Timeout bounds all of it.
	Timeout time.Duration
}

// ErrCheckFailed tells that a connector can't do its work.
var ErrCheckFailed = errors.New("not every connector can do its work")

// CheckConnector has a running sync-core check connectors, and writes what was found, the
// worst first, and what each Alvao tenant offers. It fails with ErrCheckFailed if a
// connector can't do its work.
func CheckConnector(ctx context.Context, cfg CheckConnectorConfig, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	w, closing, err := callCore(ctx, cfg.Core, out)
	if err != nil {
		return err
	}
	return errors.Join(w.check(ctx, cfg.Connectors), closing())
}

func (w *caller) check(ctx context.Context, names []string) error {
	if len(names) == 0 {
		var err error
		if names, err = w.all(ctx); err != nil {
			return err
		}
	}
	failed := false
	for _, name := range names {
		answer, err := w.connectors.CheckConnector(ctx, &tandemv1.CheckConnectorRequest{Name: "connectors/" + name})
		if err != nil {
			return fmt.Errorf("checking connector %s: %w", name, w.plain(err))
		}
		_, _ = fmt.Fprintf(w.out, "Connector %s\n", name)
		for _, f := range answer.GetFindings() {
			failed = failed || f.GetSeverity() == tandemv1.Finding_SEVERITY_ERROR
			w.row(word(f.GetSeverity().String(), "SEVERITY_"), f.GetCheck(), f.GetDetail(), f.GetRemedy())
		}
		_, _ = fmt.Fprintf(w.out, "What its Alvao tenant offers\n")
		for _, c := range answer.GetCapabilities() {
			title := c.GetTitle() + ": " + c.GetFound() + "."
			if c.GetFallback() != "" {
				title += " Instead: " + c.GetFallback() + "."
			}
			w.row(word(c.GetSupport().String(), "SUPPORT_"), c.GetName(), title, c.GetCost(), c.GetAsk())
		}
		_, _ = fmt.Fprintln(w.out)
	}
	if failed {
		return ErrCheckFailed
	}
	return nil
}

// row writes one line of a table, and what belongs to it below.
func (w *caller) row(word, name, first string, more ...string) {
	_, _ = fmt.Fprintf(w.out, "  %-8s %-33s %s\n", word, name, first)
	for _, line := range more {
		if line != "" {
			_, _ = fmt.Fprintf(w.out, "  %-8s %-33s %s\n", "", "", line)
		}
	}
}

func word(enum, prefix string) string { return strings.ToLower(strings.TrimPrefix(enum, prefix)) }
