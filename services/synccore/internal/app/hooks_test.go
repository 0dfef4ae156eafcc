package app_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/app"
	"github.com/tandem-sync/tandem/services/synccore/internal/hookkey"
)

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func TestHooksAreWhatTheGatewayExpects(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.write(t, "tandem.yaml", w.config("", "development", "support"))
	var out bytes.Buffer
	if err := app.PrintHooks(&out, w.path("tandem.yaml")); err != nil {
		t.Fatal(err)
	}
	hook := strings.Repeat("h", 40)
	for _, want := range []string{
		"https://tandem.contoso.com/hooks/azure-devops/development", "https://tandem.contoso.com/hooks/azure-devops/support",
		hookkey.AzureDevOpsPassword(hook), "https://tandem.contoso.com/hooks/alvao/support/" + hookkey.AlvaoToken(hook, "support"),
		hookkey.AlvaoApplicationKey(hook, "development"), w.url + "/azuredevops/contoso/Alvaoproject/_settings/serviceHooks",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lacks %s:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), hook) {
		t.Error("the hook secret itself is printed")
	}
}

// TestApplicationSettingsAreCopied: what Alvao's administrator enters for the application
// stands there name by name, the settings that were pasted among it.
func TestApplicationSettingsAreCopied(t *testing.T) {
	t.Parallel()
	w := setup(t)
	hook := strings.Repeat("h", 40)
	text := w.config("", "development", "support")
	at := strings.LastIndex(text, `"StatusMap"`)
	w.write(t, "tandem.yaml", text[:at]+`"DisplayOpenExternalCommand": true, "ShowOpenExternalTicketCommand": false, `+text[at:])
	var out bytes.Buffer
	if err := app.PrintHooks(&out, w.path("tandem.yaml")); err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for line := range strings.Lines(out.String()) {
		if cells := strings.Fields(line); len(cells) == 2 && strings.HasPrefix(cells[0], "Tandem") {
			rows[cells[0]] = cells[1]
		}
	}
	project := w.url + "/azuredevops/contoso/Alvaoproject"
	want := map[string]string{
		"TandemUrl": "https://tandem.contoso.com", "TandemAccount": "tandem", "TandemExternalIdField": rows["TandemExternalIdField"],
		"TandemConnector0": "development", "TandemService0": "Development", "TandemKey0": hookkey.AlvaoApplicationKey(hook, "development"),
		"TandemProject0": project, "TandemShowCommand0": "true",
		"TandemConnector1": "support", "TandemService1": rows["TandemService1"], "TandemKey1": hookkey.AlvaoApplicationKey(hook, "support"),
		"TandemProject1": w.url + "/azuredevops/contoso/Other", "TandemShowCommand1": "false",
	}
	if diff := cmp.Diff(want, rows); diff != "" || rows["TandemService1"] == "" || rows["TandemExternalIdField"] == "" {
		t.Errorf("(-want +got):\n%s\n%s", diff, out.String())
	}
}

func TestHooksThatCanNotBePrinted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	fine := w.config("", "development")
	for name, tc := range map[string]struct{ config, hook, says string }{
		"no public URL": {strings.Replace(fine, "publicUrl: https://tandem.contoso.com\n", "", 1), strings.Repeat("h", 40), "publicUrl"},
		"no secret":     {strings.Replace(fine, "hookSecrets:", "#", 1), strings.Repeat("h", 40), "hookSecrets"},
		"short secret":  {fine, "short", "5 characters"},
		"empty secret":  {fine, "\n", "empty"},
		"broken":        {"connectors: 7", "x", "connectors"},
	} {
		w.write(t, "tandem.yaml", tc.config)
		w.write(t, "hook", tc.hook)
		var out bytes.Buffer
		err := app.PrintHooks(&out, w.path("tandem.yaml"))
		if err == nil || !strings.Contains(err.Error(), tc.says) || out.Len() != 0 {
			t.Errorf("%s: %v, printed %q", name, err, out.String())
		}
	}
	if err := app.PrintHooks(&bytes.Buffer{}, w.path("none.yaml")); err == nil {
		t.Error("a file that does not exist is read")
	}
}
