package app

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/deskhook"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/hookkey"
	"github.com/tandem-sync/tandem/services/synccore/internal/subscription"
)

// PrintHooks writes the webhook addresses and credentials that an administrator
// enters at Azure DevOps and Alvao. They are secrets: whoever has them can cause
// reads, though nothing worse.
func PrintHooks(out io.Writer, file string) error {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	if cfg.PublicURL == "" || len(cfg.HookSecrets) == 0 {
		return fault.New(fault.Misconfigured, "%s sets no publicUrl or no hookSecrets, so there are no webhooks; set both, or leave Tandem to poll and resync.", file)
	}
	value, err := cfg.HookSecrets[0].Read()
	if err != nil {
		return err
	}
	hook := value.Reveal()
	if err := hookkey.Check(hook); err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { _, _ = fmt.Fprintln(table, strings.Join(cells, "\t")) }
	for _, one := range cfg.Connectors {
		row("Connector", one.Name)
		row("Azure DevOps service hooks", one.Rules.Project.URL()+"/_settings/serviceHooks")
		row("  URL", subscription.Address(cfg.PublicURL, one.Name))
		row("  Basic authentication user name", hookkey.AzureDevOpsUser)
		row("  Basic authentication password", hookkey.AzureDevOpsPassword(hook))
		row("Alvao webhooks", one.Alvao.URL+"/webhooks")
		row("  webhookUrl", deskhook.Address(cfg.PublicURL, one.Name, hookkey.AlvaoToken(hook, one.Name)))
		row("Alvao application", "")
		row("  URL", cfg.PublicURL+"/hooks/alvao/"+one.Name)
		row("  key", hookkey.AlvaoApplicationKey(hook, one.Name))
		row("")
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}
