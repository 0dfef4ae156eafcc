package ctl

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/spf13/cobra"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
)

// lookEvery is how often a resync that is waited for is looked at.
const lookEvery = 300 * time.Millisecond

func (c *ctl) resync() *cobra.Command {
	group := &cobra.Command{Use: "resync", Short: "Compare everything now, and see how that goes.", Args: cobra.NoArgs}
	wait := true
	start := &cobra.Command{Use: "start", Short: "Compare everything that a connector covers. Exit code 1: it failed.", Args: cobra.NoArgs}
	start.Flags().BoolVar(&wait, "wait", wait, "Wait for the end and show how far it is.")
	start.RunE = func(cmd *cobra.Command, _ []string) error {
		parent, err := c.parent(cmd.Context())
		if err != nil {
			return err
		}
		got, err := call(cmd.Context(), c, tandemv1.NewResyncServiceClient, tandemv1.ResyncServiceClient.StartResync, &tandemv1.StartResyncRequest{Parent: parent})
		if err != nil {
			return err
		}
		one := got.GetResync()
		if wait {
			if one, err = c.await(cmd.Context(), one); err != nil {
				return err
			}
		}
		if err := c.show(one, func() { c.resyncs([]*tandemv1.Resync{one}) }); err != nil {
			return err
		}
		if one.GetState() == tandemv1.Resync_STATE_FAILED {
			return ErrShown
		}
		return nil
	}
	list := &cobra.Command{Use: "list", Short: "List the latest resyncs.", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		parent, err := c.parent(cmd.Context())
		if err != nil {
			return err
		}
		got, err := call(cmd.Context(), c, tandemv1.NewResyncServiceClient, tandemv1.ResyncServiceClient.ListResyncs, &tandemv1.ListResyncsRequest{Parent: parent})
		if err != nil {
			return err
		}
		return c.show(got, func() { c.resyncs(got.GetResyncs()) })
	}}
	group.AddCommand(start, list)
	return group
}

// await waits for the end of a resync, with a bar on the standard error.
func (c *ctl) await(ctx context.Context, one *tandemv1.Resync) (*tandemv1.Resync, error) {
	tracker := &progress.Tracker{Message: "comparing", Total: int64(one.GetExpectedCount())}
	bar := progress.NewWriter()
	if isTerminal(c.terminal.Err) {
		bar.SetOutputWriter(c.terminal.Err)
		bar.SetAutoStop(false)
		bar.SetUpdateFrequency(lookEvery)
		bar.AppendTracker(tracker)
		go bar.Render()
		defer bar.Stop()
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for one.GetState() == tandemv1.Resync_STATE_WAITING || one.GetState() == tandemv1.Resync_STATE_RUNNING {
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for the resync, which goes on: %w", ctx.Err())
		case <-ticker.C:
		}
		got, err := call(ctx, c, tandemv1.NewResyncServiceClient, tandemv1.ResyncServiceClient.GetResync, &tandemv1.GetResyncRequest{Name: one.GetName()})
		if err != nil {
			return nil, err
		}
		one = got.GetResync()
		tracker.UpdateTotal(int64(one.GetExpectedCount()))
		tracker.SetValue(int64(one.GetSeenCount()))
	}
	tracker.MarkAsDone()
	return one, nil
}

func (c *ctl) resyncs(all []*tandemv1.Resync) {
	var rows [][]string
	count := func(n int32) string { return strconv.Itoa(int(n)) }
	for _, one := range all {
		rows = append(rows, []string{
			last(one.GetName()), c.state(enum(one.GetState(), "STATE_")), at(one.GetStartTime()), at(one.GetEndTime()), count(one.GetSeenCount()),
			count(one.GetDifferingCount()), count(one.GetHeldCount()), one.GetError(),
		})
	}
	c.table("There was none yet.", []string{"RESYNC", "STATE", "BEGAN", "ENDED", "COMPARED", "DIFFERING", "HELD", "WHY"}, rows)
}
