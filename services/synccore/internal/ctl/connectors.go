package ctl

import (
	"strconv"

	"github.com/spf13/cobra"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
)

func (c *ctl) connectors() *cobra.Command {
	group := &cobra.Command{Use: "connectors", Short: "Show connectors and check them.", Args: cobra.NoArgs}
	list := &cobra.Command{Use: "list", Short: "List all connectors.", Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		all, err := call(cmd.Context(), c, tandemv1.NewConnectorServiceClient, tandemv1.ConnectorServiceClient.ListConnectors, &tandemv1.ListConnectorsRequest{PageSize: 1000})
		if err != nil {
			return err
		}
		return c.show(all, func() {
			var rows [][]string
			for _, one := range all.GetConnectors() {
				state, why := "healthy", one.GetDegraded()
				if !one.GetChecked() {
					state, why = "not checked yet", "sync-core has just started; ask again in a moment"
				}
				if !one.GetHealthy() {
					state, why = "unhealthy", one.GetReason()
				}
				if waits := one.GetBrake(); waits != nil && waits.GetReleaseTime() == nil {
					why = waits.GetReason()
				}
				rows = append(rows, []string{last(one.GetName()), c.state(state), one.GetAlvaoService(), one.GetAzureDevopsUrl(), at(one.GetResync().GetEndTime()), why})
			}
			c.table("There are no connectors.", []string{"CONNECTOR", "STATE", "ALVAO SERVICE", "AZURE DEVOPS", "LAST RESYNC", "WHY"}, rows)
		})
	}}
	check := &cobra.Command{
		Use: "check", Short: "Ask both systems whether a connector can work. Nothing is written. Exit code 1: it can't.", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			name, err := c.parent(cmd.Context())
			if err != nil {
				return err
			}
			found, err := call(cmd.Context(), c, tandemv1.NewConnectorServiceClient, tandemv1.ConnectorServiceClient.CheckConnector, &tandemv1.CheckConnectorRequest{Name: name})
			if err != nil {
				return err
			}
			if err := c.show(found, func() { c.findings(found.GetFindings()) }); err != nil {
				return err
			}
			return worst(found.GetFindings())
		},
	}
	group.AddCommand(list, check)
	return group
}

func (c *ctl) findings(findings []*tandemv1.Finding) {
	var rows [][]string
	for _, one := range findings {
		what := one.GetDetail()
		if one.GetRemedy() != "" {
			what += "\n→ " + one.GetRemedy()
		}
		rows = append(rows, []string{c.state(enum(one.GetSeverity(), "SEVERITY_")), one.GetCheck(), what})
	}
	c.table("Nothing was found.", []string{"RESULT", "CHECK", "WHAT"}, rows)
}

// worst is ErrShown if anything keeps a connector from its work.
func worst(findings []*tandemv1.Finding) error {
	for _, one := range findings {
		if one.GetSeverity() == tandemv1.Finding_SEVERITY_ERROR {
			return ErrShown
		}
	}
	return nil
}

func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
