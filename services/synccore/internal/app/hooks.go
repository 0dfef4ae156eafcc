package app

import (
	"fmt"
	"io"
	"strconv"
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
	number := map[string]int{} // of the next connector, by tenant
	for _, one := range cfg.Connectors {
		row("Connector", one.Name)
		row("Azure DevOps service hooks", one.Rules.Project.URL()+"/_settings/serviceHooks")
		row("  URL", subscription.Address(cfg.PublicURL, one.Name))
		row("  Basic authentication user name", hookkey.AzureDevOpsUser)
		row("  Basic authentication password", hookkey.AzureDevOpsPassword(hook))
		row("Alvao webhooks", one.Alvao.URL+"/webhooks")
		row("  webhookUrl", deskhook.Address(cfg.PublicURL, one.Name, hookkey.AlvaoToken(hook, one.Name)))
		row("Alvao application", "Administration - Settings - Advanced")
		for _, setting := range applicationSettings(cfg, one, number[one.Alvao.URL], hookkey.AlvaoApplicationKey(hook, one.Name)) {
			row("  "+setting.name, setting.value)
		}
		number[one.Alvao.URL]++
		row("")
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing: %w", err)
	}
	return nil
}

// setting is one that is entered in Alvao's administration.
type setting struct{ name, value string }

// applicationSettings are those with which the Alvao application serves a connector, as
// they are to be entered (deploy/alvao/README.md); number counts the connectors of one
// tenant from 0.
func applicationSettings(cfg *config.Config, one config.Connector, number int, key string) []setting {
	all := []setting{{"TandemUrl", cfg.PublicURL}}
	if one.Alvao.Credentials.Username != "" {
		all = append(all, setting{"TandemAccount", one.Alvao.Credentials.Username})
	}
	if one.Alvao.ExternalIDField != "" {
		all = append(all, setting{"TandemExternalIdField", one.Alvao.ExternalIDField})
	}
	for _, s := range []setting{
		{"TandemConnector", one.Name},
		{"TandemService", one.Alvao.Service},
		{"TandemKey", key},
		{"TandemProject", one.Rules.Project.URL()},
		{"TandemShowCommand", strconv.FormatBool(one.Settings.OpenCommand)},
	} {
		all = append(all, setting{s.name + strconv.Itoa(number), s.value})
	}
	return all
}
