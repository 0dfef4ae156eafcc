package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
)

// ErrDrift tells that something differs, or still does after a repair.
var ErrDrift = errors.New("some tickets and work items are not in step")

// DriftConfig says what is compared, and what is repaired.
type DriftConfig struct {
	Connector string
	// Core is how sync-core is reached.
	Core transport.Client
	// Tickets are the only ones to be shown and repaired; empty: all.
	Tickets []int64
	// Repair is the side that wins: alvao or azure-devops, or policy for what the
	// configuration says; empty: nothing is repaired.
	Repair string
	// Timeout bounds all of it.
	Timeout time.Duration
}

// Drift has a running sync-core compare every link of a connector with both of its sides,
// and writes what differs as a table. With Repair it has that repaired. It fails with
// ErrDrift while something differs.
func Drift(ctx context.Context, cfg DriftConfig, out io.Writer) error {
	winner, ok := map[string]tandemv1.RepairDriftRequest_Winner{
		"": 0, "policy": tandemv1.RepairDriftRequest_WINNER_UNSPECIFIED, "alvao": tandemv1.RepairDriftRequest_WINNER_ALVAO,
		"azure-devops": tandemv1.RepairDriftRequest_WINNER_AZURE_DEVOPS,
	}[cfg.Repair]
	if !ok {
		return fmt.Errorf("--repair is %q: name the side that wins, alvao or azure-devops, or policy", cfg.Repair) //nolint:err113 // nobody tells it apart
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	w, closing, err := callCore(ctx, cfg.Core, out)
	if err != nil {
		return err
	}
	return errors.Join(w.drift(ctx, cfg, winner), closing())
}

func (w *caller) drift(ctx context.Context, cfg DriftConfig, winner tandemv1.RepairDriftRequest_Winner) error {
	table := tabwriter.NewWriter(w.out, 0, 0, 2, ' ', 0)
	compared, differing, left := 0, 0, 0
	for token := ""; ; {
		call, cancel := context.WithTimeout(ctx, time.Minute)
		page, err := w.resyncs.CheckDrift(call, &tandemv1.CheckDriftRequest{Parent: "connectors/" + cfg.Connector, PageSize: 200, PageToken: token})
		cancel()
		if err != nil {
			_ = table.Flush()
			return fmt.Errorf("comparing the links of connector %s: %w", cfg.Connector, w.plain(err))
		}
		compared += int(page.GetComparedCount())
		for _, one := range page.GetDrifts() {
			if len(cfg.Tickets) > 0 && !slices.Contains(cfg.Tickets, one.GetTicketId()) {
				continue
			}
			if differing++; differing == 1 {
				fmt.Fprintln(table, "TICKET\tSTATUS\tWORK ITEM\tSTATE\tWHAT\tWHY")
			}
			rows(table, one)
			if cfg.Repair == "" {
				left++
				continue
			}
			differs, err := w.repair(ctx, table, one, winner)
			if err != nil {
				_ = table.Flush()
				return err
			}
			if differs {
				left++
			}
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the table: %w", err)
	}
	w.say(cfg.Connector, fmt.Sprintf("%d links compared, %d differ, %d after this", compared, differing, left))
	if left > 0 {
		return ErrDrift
	}
	return nil
}

// rows are the lines of the table about one link.
func rows(table io.Writer, one *tandemv1.Drift) {
	for i, difference := range one.GetDifferences() {
		about := "\t\t\t"
		if i == 0 {
			workItem := "-"
			if one.GetWorkItemId() != 0 {
				workItem = strconv.FormatInt(one.GetWorkItemId(), 10)
			}
			about = strings.Join([]string{strconv.FormatInt(one.GetTicketId(), 10), dash(one.GetStatus()), workItem, dash(one.GetState())}, "\t")
		}
		kind := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(difference.GetKind().String(), "KIND_"), "_", " "))
		fmt.Fprintf(table, "%s\t%s\t%s\n", about, kind, difference.GetDetail())
	}
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// repair has one link repaired, and tells whether it still differs.
func (w *caller) repair(ctx context.Context, table io.Writer, one *tandemv1.Drift, winner tandemv1.RepairDriftRequest_Winner) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	done, err := w.resyncs.RepairDrift(ctx, &tandemv1.RepairDriftRequest{Name: one.GetName(), Winner: winner})
	if err != nil {
		return false, fmt.Errorf("repairing the link of ticket %d: %w", one.GetTicketId(), w.plain(err))
	}
	says := "repaired"
	if done.GetDrift() != nil {
		says = "still differs"
	}
	fmt.Fprintf(table, "\t\t\t\t%s\t%d writes; %s\n", says, done.GetWriteCount(), done.GetOutcome())
	return done.GetDrift() != nil, nil
}
