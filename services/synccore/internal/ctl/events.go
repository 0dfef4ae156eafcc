package ctl

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
)

func (c *ctl) events() *cobra.Command {
	group := &cobra.Command{Use: "dead-letters", Aliases: []string{"events"}, Short: "Show events that were given up or wait, and take them back.", Args: cobra.NoArgs}
	state := "dead"
	list := &cobra.Command{Use: "list", Short: "List dead letters, or events that wait.", Args: cobra.NoArgs}
	list.Flags().StringVar(&state, "state", state, "dead, waiting, running, queued or all.")
	list.RunE = func(cmd *cobra.Command, _ []string) error {
		parent := "connectors/-"
		if c.connector != "" {
			parent = "connectors/" + c.connector
		}
		wanted, ok := tandemv1.Event_State_value["STATE_"+strings.ToUpper(state)]
		if !ok && state != "all" {
			return fmt.Errorf("%w: --state must be dead, waiting, running, queued or all", errArguments)
		}
		all := &tandemv1.ListEventsResponse{}
		request := &tandemv1.ListEventsRequest{Parent: parent, State: tandemv1.Event_State(wanted), PageSize: 1000}
		for {
			page, err := call(cmd.Context(), c, tandemv1.NewEventServiceClient, tandemv1.EventServiceClient.ListEvents, request)
			if err != nil {
				return err
			}
			all.Events = append(all.Events, page.GetEvents()...)
			if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" {
				break
			}
		}
		return c.show(all, func() {
			var rows [][]string
			for _, one := range all.GetEvents() {
				what := "ticket "
				if one.GetSystem() == tandemv1.System_SYSTEM_AZURE_DEVOPS {
					what = "work item "
				}
				rows = append(rows, []string{
					one.GetName(), c.state(enum(one.GetState(), "STATE_")), what + strconv.FormatInt(one.GetItemId(), 10),
					at(one.GetReceiveTime()), strconv.Itoa(int(one.GetAttemptCount())), one.GetReason(),
				})
			}
			c.table("There are none.", []string{"EVENT", "STATE", "ITEM", "RECEIVED", "TRIES", "WHY"}, rows)
		})
	}
	replay := &cobra.Command{
		Use: "replay EVENT...", Short: "Take dead letters back, to be served at once.", Args: cobra.MinimumNArgs(1),
		Example: "  tandemctl dead-letters replay connectors/development/events/t1001-1a2b",
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				if !strings.Contains(name, "/") {
					parent, err := c.parent(cmd.Context())
					if err != nil {
						return err
					}
					name = parent + "/events/" + name
				}
				got, err := call(cmd.Context(), c, tandemv1.NewEventServiceClient, tandemv1.EventServiceClient.ReplayEvent, &tandemv1.ReplayEventRequest{Name: name})
				if err != nil {
					return err
				}
				if err := c.show(got.GetEvent(), func() { c.say("%s is served now.", got.GetEvent().GetName()) }); err != nil {
					return err
				}
			}
			return nil
		},
	}
	group.AddCommand(list, replay)
	return group
}
