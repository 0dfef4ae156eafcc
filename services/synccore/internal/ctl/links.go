package ctl

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
)

func (c *ctl) links() *cobra.Command {
	group := &cobra.Command{Use: "links", Short: "Show links, watch them, make them, have them looked at.", Args: cobra.NoArgs}
	group.AddCommand(c.linksList(), c.linksShow(), c.linksHistory(), c.linksWatch(), c.linksCreate(), c.linksSync())
	return group
}

func (c *ctl) linksList() *cobra.Command {
	var filter, order, state string
	limit := 0
	cmd := &cobra.Command{Use: "list", Short: "List links.", Args: cobra.NoArgs, Example: `  tandemctl links list --state parked
  tandemctl links list --filter 'update_time >= "2026-03-01T00:00:00Z"' --order-by 'update_time desc' --limit 20`}
	cmd.Flags().StringVar(&filter, "filter", "", `Only links that meet it, e.g. 'state = PARKED AND work_item_id = 42'.`)
	cmd.Flags().StringVar(&state, "state", "", "Only links in that state: creating, active, parked or gone.")
	cmd.Flags().StringVar(&order, "order-by", "", `ticket_id, work_item_id or update_time, perhaps with desc.`)
	cmd.Flags().IntVar(&limit, "limit", 100, "How many links at most; 0: all.")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		parent, err := c.parent(cmd.Context())
		if err != nil {
			return err
		}
		if state != "" {
			if !slices.Contains(linkStates(), state) {
				return fmt.Errorf("%w: --state must be creating, active, parked or gone, not %q", errArguments, state)
			}
			only := "state = " + strings.ToUpper(state)
			if filter = strings.TrimSpace(filter); filter != "" {
				only += " AND " + filter
			}
			filter = only
		}
		all := &tandemv1.ListLinksResponse{}
		request := &tandemv1.ListLinksRequest{Parent: parent, Filter: filter, OrderBy: order, PageSize: 1000}
		for {
			if left := limit - len(all.GetLinks()); limit > 0 {
				request.PageSize = int32(min(left, 1000)) //nolint:gosec // bounded on the same line
			}
			page, err := call(cmd.Context(), c, tandemv1.NewLinkServiceClient, tandemv1.LinkServiceClient.ListLinks, request)
			if err != nil {
				return err
			}
			all.Links = append(all.Links, page.GetLinks()...)
			all.NextPageToken = page.GetNextPageToken()
			if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" || limit > 0 && len(all.GetLinks()) >= limit {
				break
			}
		}
		return c.show(all, func() {
			var rows [][]string
			for _, one := range all.GetLinks() {
				rows = append(rows, c.linkRow(one))
			}
			c.table("There are no such links.", []string{"TICKET", "WORK ITEM", "STATE", "AGREED", "CHANGED", "WHY"}, rows)
			if all.GetNextPageToken() != "" {
				fmt.Fprintf(c.terminal.Err, "There are more; give a greater --limit.\n")
			}
		})
	}
	return cmd
}

func (c *ctl) linkRow(one *tandemv1.Link) []string {
	agreed := ""
	if one.GetAgreedStatus() != "" || one.GetAgreedState() != "" {
		agreed = one.GetAgreedStatus() + " / " + one.GetAgreedState()
	}
	return []string{
		number(one.GetTicketId()), number(one.GetWorkItemId()), c.state(enum(one.GetState(), "STATE_")), agreed, at(one.GetUpdateTime()), one.GetReason(),
	}
}

// ticket reads the argument of a command that is about one ticket.
func (c *ctl) ticket(cmd *cobra.Command, args []string) (string, error) {
	parent, err := c.parent(cmd.Context())
	if err != nil {
		return "", err
	}
	if n, err := strconv.ParseInt(args[0], 10, 64); err != nil || n <= 0 {
		return "", fmt.Errorf("%w: %q is no ticket number", errArguments, args[0])
	}
	return parent + "/links/" + args[0], nil
}

func (c *ctl) linksShow() *cobra.Command {
	return &cobra.Command{Use: "show TICKET", Short: "Show the link of a ticket.", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		name, err := c.ticket(cmd, args)
		if err != nil {
			return err
		}
		got, err := call(cmd.Context(), c, tandemv1.NewLinkServiceClient, tandemv1.LinkServiceClient.GetLink, &tandemv1.GetLinkRequest{Name: name})
		if err != nil {
			return err
		}
		return c.show(got.GetLink(), func() { c.oneLink(got.GetLink()) })
	}}
}

func (c *ctl) oneLink(one *tandemv1.Link) {
	c.say("Ticket %d  %s", one.GetTicketId(), one.GetTicketUrl())
	c.say("Work item %d  %s", one.GetWorkItemId(), one.GetWorkItemUrl())
	c.say("%s since %s", c.state(enum(one.GetState(), "STATE_")), at(one.GetUpdateTime()))
	if one.GetReason() != "" {
		c.say("%s", clean(one.GetReason()))
	}
	if one.GetAgreedStatus() != "" {
		c.say("Agreed: %s / %s", one.GetAgreedStatus(), one.GetAgreedState())
	}
}

func (c *ctl) linksHistory() *cobra.Command {
	return &cobra.Command{Use: "history TICKET", Short: "Show what was done to the link of a ticket, the newest first.", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		name, err := c.ticket(cmd, args)
		if err != nil {
			return err
		}
		got, err := call(cmd.Context(), c, tandemv1.NewLinkServiceClient, tandemv1.LinkServiceClient.ListLinkHistory, &tandemv1.ListLinkHistoryRequest{Name: name, PageSize: 200})
		if err != nil {
			return err
		}
		return c.show(got, func() { c.changes(got.GetChanges()) })
	}}
}

func (c *ctl) changes(changes []*tandemv1.LinkChange) {
	var rows [][]string
	for _, one := range changes {
		rows = append(rows, []string{at(one.GetChangeTime()), one.GetAction(), one.GetDetail(), one.GetTraceId()})
	}
	c.table("Nothing was done yet.", []string{"WHEN", "WHAT", "WHY", "TRACE"}, rows)
}

func (c *ctl) linksWatch() *cobra.Command {
	from, until := "", ""
	cmd := &cobra.Command{
		Use: "watch [TICKET]", Short: "Tell each change of links as it happens, until interrupted.", Args: cobra.MaximumNArgs(1),
		Example: "  tandemctl links watch\n  tandemctl links watch 1001 --until active",
	}
	cmd.Flags().StringVar(&from, "from", "", "Resume token of an earlier watch: what changed since is told first.")
	cmd.Flags().StringVar(&until, "until", "", "End when the ticket's link is in that state: active, parked or gone.")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		parent, err := c.parent(cmd.Context())
		if err != nil {
			return err
		}
		only := ""
		if len(args) == 1 {
			if only, err = c.ticket(cmd, args); err != nil {
				return err
			}
		}
		if until != "" && !slices.Contains(linkStates(), until) {
			return fmt.Errorf("%w: --until must be active, parked or gone, not %q", errArguments, until)
		}
		if until != "" && only == "" {
			return fmt.Errorf("%w: --until needs a ticket", errArguments)
		}
		conn, err := c.dial()
		if err != nil {
			return err
		}
		client := tandemv1.NewLinkServiceClient(conn)
		watch, err := client.WatchLinks(cmd.Context(), &tandemv1.WatchLinksRequest{Parent: parent, ResumeToken: from})
		if err != nil {
			return c.told(err)
		}
		for first := true; ; first = false {
			got, err := watch.Recv()
			if errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled {
				return nil // the caller left
			}
			if err != nil {
				return c.told(err)
			}
			if first && until != "" {
				// It may be there already; what happens from here on is told.
				now, err := client.GetLink(cmd.Context(), &tandemv1.GetLinkRequest{Name: only})
				if err == nil {
					got = &tandemv1.WatchLinksResponse{Link: now.GetLink(), ResumeToken: got.GetResumeToken()}
				}
			}
			if got.GetLink() == nil || only != "" && got.GetLink().GetName() != only {
				continue
			}
			if err := c.show(got, func() { c.watched(got) }); err != nil {
				return err
			}
			if until != "" && enum(got.GetLink().GetState(), "STATE_") == until {
				return nil
			}
		}
	}
	return cmd
}

func (c *ctl) watched(got *tandemv1.WatchLinksResponse) {
	one := got.GetLink()
	if got.GetDeleted() {
		c.say("ticket %d: %s", one.GetTicketId(), c.paint("the link was deleted"))
		return
	}
	line := fmt.Sprintf("%s  ticket %d, work item %d: %s", at(one.GetUpdateTime()), one.GetTicketId(), one.GetWorkItemId(), c.state(enum(one.GetState(), "STATE_")))
	if one.GetAgreedStatus() != "" {
		line += fmt.Sprintf(", agreed on %s / %s", one.GetAgreedStatus(), one.GetAgreedState())
	}
	if one.GetReason() != "" {
		line += ". " + one.GetReason()
	}
	c.say("%s", clean(line))
}

func (c *ctl) linksCreate() *cobra.Command {
	dry, id := false, ""
	cmd := &cobra.Command{Use: "create TICKET WORK-ITEM", Short: "Link a ticket and a work item that both exist.", Args: cobra.ExactArgs(2)}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "Only look whether it could be done.")
	cmd.Flags().StringVar(&id, "request-id", "", "A word of your own that makes a repeat harmless.")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		parent, err := c.parent(cmd.Context())
		if err != nil {
			return err
		}
		ticket, err1 := strconv.ParseInt(args[0], 10, 64)
		workItem, err2 := strconv.ParseInt(args[1], 10, 64)
		if err1 != nil || err2 != nil {
			return fmt.Errorf("%w: both must be numbers", errArguments)
		}
		got, err := call(cmd.Context(), c, tandemv1.NewLinkServiceClient, tandemv1.LinkServiceClient.CreateLink,
			&tandemv1.CreateLinkRequest{Parent: parent, TicketId: ticket, WorkItemId: workItem, ValidateOnly: dry, RequestId: id})
		if err != nil {
			return err
		}
		return c.show(got.GetLink(), func() {
			if dry {
				c.say("Ticket %d and work item %d can be linked.", ticket, workItem)
				return
			}
			c.oneLink(got.GetLink())
		})
	}
	return cmd
}

func (c *ctl) linksSync() *cobra.Command {
	return &cobra.Command{Use: "sync TICKET", Short: "Have a ticket looked at now; a parked link is tried again.", Args: cobra.ExactArgs(1), RunE: func(cmd *cobra.Command, args []string) error {
		name, err := c.ticket(cmd, args)
		if err != nil {
			return err
		}
		got, err := call(cmd.Context(), c, tandemv1.NewLinkServiceClient, tandemv1.LinkServiceClient.SyncLink, &tandemv1.SyncLinkRequest{Name: name})
		if err != nil {
			return err
		}
		return c.show(got, func() { c.say("Ticket %s is looked at now.", args[0]) })
	}}
}

func (c *ctl) explain() *cobra.Command {
	what := ""
	cmd := &cobra.Command{
		Use: "explain TICKET", Short: "Say rule by rule why a ticket, a work item or an event did or did not lead to a write.", Args: cobra.ExactArgs(1),
		Example: "  tandemctl explain 1001\n  tandemctl explain 42 --as work-item",
	}
	cmd.Flags().StringVar(&what, "as", "ticket", "What the argument is: ticket, work-item or event.")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		parent, err := c.parent(cmd.Context())
		if err != nil {
			return err
		}
		collection, ok := map[string]string{"ticket": "links", "work-item": "workItems", "event": "events"}[what]
		if !ok {
			return fmt.Errorf("%w: --as must be ticket, work-item or event", errArguments)
		}
		got, err := call(cmd.Context(), c, tandemv1.NewLinkServiceClient, tandemv1.LinkServiceClient.ExplainLink,
			&tandemv1.ExplainLinkRequest{Name: parent + "/" + collection + "/" + args[0]})
		if err != nil {
			return err
		}
		return c.show(got, func() { c.explained(got) })
	}
	return cmd
}

func (c *ctl) explained(got *tandemv1.ExplainLinkResponse) {
	c.say("%s\n", clean(got.GetSummary()))
	if got.GetLink() != nil {
		c.oneLink(got.GetLink())
		c.say("")
	}
	for _, one := range got.GetWaiting() {
		c.say("Event %s is %s: %s", last(one.GetName()), c.state(one.GetState()), clean(one.GetReason()))
	}
	for _, one := range got.GetDecisions() {
		c.say("%s  looked because of %q: %s, %d writes  trace %s", at(one.GetDecideTime()), one.GetEventType(), one.GetOutcome(), one.GetWriteCount(), one.GetTraceId())
		var rows [][]string
		for _, rule := range one.GetRules() {
			rows = append(rows, []string{c.state(enum(rule.GetVerdict(), "VERDICT_")), rule.GetRule(), rule.GetDetail()})
		}
		if len(rows) > 0 {
			c.table("", []string{"VERDICT", "RULE", "WHAT IT LOOKED AT"}, rows)
		}
		if one.GetReason() != "" {
			c.say("In the end: %s", clean(one.GetReason()))
		}
		c.say("")
	}
	if len(got.GetChanges()) > 0 {
		c.changes(got.GetChanges())
	}
}
