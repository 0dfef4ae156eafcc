package ctl

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
)

func outputs() []string { return []string{tableOutput, jsonOutput, yamlOutput} }

func colours() []string { return []string{"auto", "always", "never"} }

func linkStates() []string { return []string{"active", "parked", "creating", "gone"} }

func eventStates() []string { return []string{"dead", "waiting", "running", "queued", "all"} }

// unknownCommand refuses a word that is none of a group's commands.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "; did you mean " + near[0] + "?"
	}
	return fmt.Errorf("%s has no command %q%s", cmd.CommandPath(), args[0], hint) //nolint:err113 // a sentence for a person
}

// completeWithin bounds what pressing the tab key may ask of the API.
const completeWithin = 2 * time.Second

// complete has a shell offer words: those of flags that know a few, connectors, and the
// tickets and events that a command may be about.
func (c *ctl) complete(root *cobra.Command) {
	words := map[string][]string{
		"output": outputs(), "color": colours(), "links list --state": linkStates(), "links watch --until": linkStates(), "dead-letters list --state": eventStates(),
		"explain --as": {"ticket", "work-item", "event"}, "links list --order-by": {"ticket_id", "work_item_id", "update_time", "update_time desc"},
	}
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		path := strings.TrimPrefix(cmd.CommandPath(), "tandemctl ")
		for name, offered := range words {
			on, flag, _ := strings.Cut(name, " --")
			if on == path {
				_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(offered, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
			}
		}
		switch path {
		case "links show", "links history", "links sync", "links watch", "explain", "preview":
			cmd.ValidArgsFunction = c.offer(c.tickets)
		case "dead-letters replay":
			cmd.ValidArgsFunction = c.offer(c.deadLetters)
		case "diff", "test":
			// Files, which a shell knows best.
		default:
			if cmd.ValidArgsFunction == nil && !cmd.HasSubCommands() {
				cmd.ValidArgsFunction = cobra.NoFileCompletions
			}
		}
		for _, below := range cmd.Commands() {
			visit(below)
		}
	}
	visit(root)
	for _, flag := range []string{"output", "color"} {
		_ = root.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words[flag], cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	}
	_ = root.RegisterFlagCompletionFunc("connector", c.offer(c.connectorNames)) // the flag is there
}

// offer makes a shell's words of what the API tells; without an answer there are none.
func (c *ctl) offer(list func(context.Context) ([]string, error)) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begin string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && cmd.Name() != "replay" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completeWithin)
		defer cancel()
		if err := c.plain(); err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all, err := list(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return slices.DeleteFunc(all, func(word string) bool { return !strings.HasPrefix(word, begin) }), cobra.ShellCompDirectiveNoFileComp
	}
}

func (c *ctl) connectorNames(ctx context.Context) ([]string, error) {
	all, err := call(ctx, c, tandemv1.NewConnectorServiceClient, tandemv1.ConnectorServiceClient.ListConnectors, &tandemv1.ListConnectorsRequest{PageSize: 1000})
	var names []string
	for _, one := range all.GetConnectors() {
		names = append(names, last(one.GetName()))
	}
	return names, err
}

// tickets are those whose links changed last, with how they fare.
func (c *ctl) tickets(ctx context.Context) ([]string, error) {
	parent, err := c.parent(ctx)
	if err != nil {
		return nil, err
	}
	all, err := call(ctx, c, tandemv1.NewLinkServiceClient, tandemv1.LinkServiceClient.ListLinks,
		&tandemv1.ListLinksRequest{Parent: parent, OrderBy: "update_time desc", PageSize: 50})
	var tickets []string
	for _, one := range all.GetLinks() {
		tickets = append(tickets, cobra.CompletionWithDesc(strconv.FormatInt(one.GetTicketId(), 10), enum(one.GetState(), "STATE_")+" "+one.GetReason()))
	}
	return tickets, err
}

func (c *ctl) deadLetters(ctx context.Context) ([]string, error) {
	all, err := call(ctx, c, tandemv1.NewEventServiceClient, tandemv1.EventServiceClient.ListEvents,
		&tandemv1.ListEventsRequest{Parent: "connectors/-", State: tandemv1.Event_STATE_DEAD, PageSize: 50})
	var events []string
	for _, one := range all.GetEvents() {
		events = append(events, cobra.CompletionWithDesc(one.GetName(), one.GetReason()))
	}
	return events, err
}
