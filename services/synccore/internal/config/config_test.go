package config_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/secret"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// seedSettings is the recorded default value of Alvao's settings field (Alvao:
// Azure DevOps Connector page, version 26).
func seedSettings(tb testing.TB) string {
	tb.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "alvao-default-settings.json"))
	if err != nil {
		tb.Fatal(err)
	}
	return string(content)
}

// file is a configuration with one connector, whose settings are what is given
// behind the colon.
func file(settings string) string {
	return `accessTokens:
  "0": {env: TOKEN}
connectors:
  - name: development
    alvao:
      url: https://contoso.onalvao.com/AlvaoRestApi
      service: Development
      credentials: {username: tandem, password: {env: PASSWORD}}
    settings:` + settings + "\n"
}

func indent(text, with string) string {
	return with + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+with)
}

func parse(t *testing.T, content string) *config.Config {
	t.Helper()
	c, err := config.Parse("tandem.yaml", []byte(content))
	if err != nil {
		t.Fatalf("Parse: %v\n%s", err, content)
	}
	return c
}

// refused parses a wrong configuration and gives its problems.
func refused(t *testing.T, content string) config.Problems {
	t.Helper()
	c, err := config.Parse("tandem.yaml", []byte(content))
	var problems config.Problems
	if !errors.As(err, &problems) || c != nil {
		t.Fatalf("Parse = %v, %v, want problems\n%s", c, err, content)
	}
	return problems
}

// only wants a single problem and looks for texts in its line.
func only(t *testing.T, content string, want ...string) config.Problem {
	t.Helper()
	problems := refused(t, content)
	fatal := 0
	var found config.Problem
	for _, p := range problems {
		if !p.Warning {
			fatal++
			found = p
		}
	}
	if fatal != 1 {
		t.Fatalf("%d problems, want one:\n%v\n%s", fatal, problems, content)
	}
	for _, w := range want {
		if !strings.Contains(found.String(), w) {
			t.Errorf("%q lacks %q", found, w)
		}
	}
	return found
}

func TestSeedSettingsAreAcceptedUnchanged(t *testing.T) {
	t.Parallel()
	seed := seedSettings(t)
	want := mapping.Settings{
		ConnectorType: "AzureDevOps",
		URL:           "https://dev.azure.com/Alvao/Alvaoproject",
		AccessToken:   "0",
		AttributeMap: []mapping.AttributeText{
			{Field: "System.Title", Value: "[$TicketTitle$]"},
			{Field: "System.Description", Value: "[$LatestImportantMessage$]"},
			{Field: "System.WorkItemType", Value: "Task"},
		},
		StatusMap: []item.Pair{
			{State: "To Do", Status: "Development"},
			{State: "Doing", Status: "Development pending"},
			{State: "Done", Status: "Testing"},
		},
		SyncCommunication: true, OpenCommand: true, TicketReporter: "Requester",
	}
	for name, settings := range map[string]string{
		"indented below the key":    "\n" + indent(seed, "      "),
		"behind the key":            " " + strings.TrimSpace(indent(seed, "      ")),
		"pasted without indenting":  "\n" + seed,
		"pasted behind the key":     " " + seed,
		"indented by tabs":          "\n" + indent(seed, "\t\t\t\t"),
		"with lines of Windows":     "\n" + strings.ReplaceAll(indent(seed, "      "), "\n", "\r\n"),
		"as a block of text":        " |\n" + indent(seed, "      "),
		"as a folded text":          " >-\n" + indent(seed, "      "),
		"as a quoted text":          " " + strconv.Quote(seed),
		"as a single-quoted text":   " '" + strings.TrimSpace(indent(seed, "      ")) + "'",
		"as a block of text, tabs":  " |\n" + indent(seed, "      \t"),
		"by an anchor and an alias": " &s\n" + indent(seed, "      "),
	} {
		c := parse(t, file(settings))
		if diff := cmp.Diff(want, c.Connectors[0].Settings); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if len(c.Warnings) > 0 || c.Connectors[0].Token.Ref != (secret.Ref{Env: "TOKEN"}) {
			t.Errorf("%s: warnings %v, token %v", name, c.Warnings, c.Connectors[0].Token)
		}
	}
}

func TestWholeFileMayBeJSON(t *testing.T) {
	t.Parallel()
	c := parse(t, "\ufeff"+`{"accessTokens": {"0": {"env": "TOKEN"}},
	"connectors": [{"name": "development",
		"alvao": {"url": "https:\/\/contoso.onalvao.com\/AlvaoRestApi", "service": "V\u00fdvoj \ud83d\ude00",
			"credentials": {"username": "tandem", "password": {"env": "PASSWORD"}}},
		"settings": `+strconv.Quote(seedSettings(t))+`}]}`)
	if got := c.Connectors[0].Alvao.Service; got != "Vývoj 😀" {
		t.Errorf("service = %q", got)
	}
	if len(c.Connectors[0].Rules.Statuses.Pairs()) != 3 {
		t.Errorf("settings = %+v", c.Connectors[0].Settings)
	}
}

// with puts one more key into the seed's settings.
func with(t *testing.T, key string) string {
	t.Helper()
	return file("\n" + indent(strings.Replace(seedSettings(t), "{\n", "{\n"+key+",\n", 1), "      "))
}

// instead replaces a part of the seed's settings.
func instead(t *testing.T, part, other string) string {
	t.Helper()
	settings := seedSettings(t)
	if !strings.Contains(settings, part) {
		t.Fatalf("the seed's settings lack %q", part)
	}
	return file("\n" + indent(strings.Replace(settings, part, other, 1), "      "))
}

func TestTrapOpenCommandHasTwoNames(t *testing.T) {
	t.Parallel()
	const display = "\"DisplayOpenExternalCommand\": true,\n"
	for content, want := range map[string]bool{
		instead(t, display, ""): true,
		instead(t, display, `"DisplayOpenExternalCommand": false,`):                                        false,
		instead(t, display, `"ShowOpenExternalTicketCommand": false,`):                                     false,
		instead(t, display, `"DisplayOpenExternalCommand": true, "ShowOpenExternalTicketCommand": false,`): false,
		instead(t, display, `"ShowOpenExternalTicketCommand": true, "DisplayOpenExternalCommand": false,`): true,
	} {
		if got := parse(t, content).Connectors[0].Rules.OpenCommand; got != want {
			t.Errorf("open command = %v, want %v for\n%s", got, want, content)
		}
	}
	only(t, instead(t, display, `"DisplayOpenExternalCommand": "true",`), "DisplayOpenExternalCommand", "without quotes")
}

func TestTrapAccessTokenMayBeTextOrNumber(t *testing.T) {
	t.Parallel()
	const token = `"AccessToken": "0"`
	for _, written := range []string{`"AccessToken": "0"`, `"AccessToken": 0`, `"AccessToken": " 0 "`} {
		c := parse(t, instead(t, token, written))
		if c.Connectors[0].Token.Env != "TOKEN" || c.Connectors[0].Settings.AccessToken != "0" {
			t.Errorf("%s: token %v of %q", written, c.Connectors[0].Token, c.Connectors[0].Settings.AccessToken)
		}
	}
	only(t, instead(t, token, `"AccessToken": 7`), "there is no access token 7", `Add "7"`)
	only(t, instead(t, token, `"AccessToken": 1.5`), "a number where the number of a token")
	only(t, instead(t, token, `"AccessToken": "first"`), `"first" is not the number`)
	// A token itself put here by mistake is not repeated.
	p := only(t, instead(t, token, `"AccessToken": "abcdefghijklmnopqrstuvwxyz234567"`), "not the number of a token")
	if strings.Contains(p.String(), "abcdef") {
		t.Errorf("%q shows the token", p)
	}
}

func TestTrapAttributeMapMayBeText(t *testing.T) {
	t.Parallel()
	seed := seedSettings(t)
	from := strings.Index(seed, `"AttributeMap": `) + len(`"AttributeMap": `)
	object := seed[from : from+strings.Index(seed[from:], "}")+1]
	want := parse(t, file("\n"+indent(seed, "      "))).Connectors[0].Settings.AttributeMap
	for _, content := range []string{
		instead(t, object, strconv.Quote(object)),
		file(" " + strconv.Quote(strings.Replace(seed, object, strconv.Quote(object), 1))),
	} {
		if diff := cmp.Diff(want, parse(t, content).Connectors[0].Settings.AttributeMap); diff != "" {
			t.Errorf("AttributeMap (-want +got):\n%s", diff)
		}
	}
}

func TestTrapOrderOfStatusMapIsKept(t *testing.T) {
	t.Parallel()
	var states, pairs []string
	for i := range 40 {
		state := fmt.Sprintf("S%02d", (i*17)%40)
		states = append(states, state)
		pairs = append(pairs, fmt.Sprintf("%q: %q", state, "Status "+strconv.Itoa(i%3)))
	}
	content := instead(t, `"To Do": "Development",`, strings.Join(pairs, ", ")+",")
	var got []string
	for _, p := range parse(t, content).Connectors[0].Rules.Statuses.Pairs()[:40] {
		got = append(got, p.State)
	}
	if diff := cmp.Diff(states, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestTrapSeveralStatesForOneStatus(t *testing.T) {
	t.Parallel()
	c := parse(t, instead(t, `"Doing": "Development pending"`, `"Doing": "Development", "Approved": "development"`))
	if diff := cmp.Diff([]string{"To Do", "Doing", "Approved"}, c.Connectors[0].Rules.Statuses.States("Development")); diff != "" {
		t.Errorf("States (-want +got):\n%s", diff)
	}
}

func TestTrapUnknownKeysAreRefusedByName(t *testing.T) {
	t.Parallel()
	only(t, with(t, `"SyncComunication": true`), "settings.SyncComunication", "the key SyncComunication is not known", "Did you mean SyncCommunication?")
	only(t, with(t, `"BeginState": "New"`), "BeginState", "before version 26")
	only(t, strings.Replace(file(" "+strings.TrimSpace(indent(seedSettings(t), "      "))), "service:", "sevrice: x\n      service:", 1),
		"connectors[0].alvao.sevrice", "Did you mean service?")
	only(t, "publicURL: x\nconnectors: []\n", ":1:1:", "the key publicURL is not known", "Did you mean publicUrl?")
	only(t, "zzz: x\nconnectors: []\n", "known here are publicUrl")
}

func TestTrapDuplicateKeysAreRefusedByName(t *testing.T) {
	t.Parallel()
	only(t, with(t, `"URL": "https://dev.azure.com/a/b"`), "settings.URL", "a second time, after line 11")
	only(t, instead(t, `"Done": "Testing"`, `"Done": "Testing", "Done": "Resolved"`), `StatusMap.Done`, "a second time")
	only(t, instead(t, `"Done": "Testing"`, `"Done": "Testing", " dONE ": "Resolved"`), `StatusMap[" dONE "]`, "named twice")
	only(t, instead(t, `"System.WorkItemType": "Task"`, `"System.WorkItemType": "Task", "system.title": "x"`), `AttributeMap["system.title"]`, "named twice")
	only(t, "connectors: []\nconnectors: []\n", ":2:1:", "the key connectors stands here a second time, after line 1")
	// Within a text, and within a text within a text.
	twice := strings.Replace(seedSettings(t), `"Done": "Testing"`, `"Done": "Testing", "Done": "Resolved"`, 1)
	p := only(t, file(" "+strconv.Quote(twice)), "StatusMap.Done (line 13, column 20 of its text)", "after line 13, column 1 of its text")
	if p.Line != 9 || p.Column != 15 {
		t.Errorf("place = %d:%d, want that of the text", p.Line, p.Column)
	}
	attributes := `"AttributeMap": "{\"System.Title\": \"x\", \"System.WorkItemType\": \"Task\", \"System.Title\": \"y\"}", "Old": {`
	nested := strings.Replace(seedSettings(t), `"AttributeMap": {`, attributes, 1)
	if problems := refused(t, file(" "+strconv.Quote(nested))); !strings.Contains(problems.Error(),
		`AttributeMap["System.Title"] (line 1, column 54 of its text, which is at line 5, column 17 of its text)`) {
		t.Errorf("problems:\n%v", problems)
	}
}

func TestTrapUnknownVariablesAreRefusedByName(t *testing.T) {
	t.Parallel()
	p := only(t, instead(t, `"[$TicketTitle$]"`, `"No. [$TicketNumber$]"`), `AttributeMap["System.Title"]`, "[$TicketNumber$]", "[$TicketID$]")
	if p.Line != 15 || p.Column != 28 {
		t.Errorf("place = %d:%d, want that of the variable", p.Line, p.Column)
	}
	only(t, instead(t, "[$LatestImportantMessage$]", "[$FeedbackUrl$]"), "not available here")
}

func TestTrapStatesAndStatusesAreRefusedByName(t *testing.T) {
	t.Parallel()
	only(t, instead(t, `"Done": "Testing"`, `"Done": ""`), "StatusMap.Done", `the state "Done" maps to no ticket status`)
	only(t, instead(t, `"Done": "Testing"`, `"Done": null`), "StatusMap.Done", "it is empty")
	only(t, instead(t, `"Done": "Testing"`, `"Done": ["Testing"]`), "StatusMap.Done", "a list where text is wanted")
	only(t, instead(t, `"Done": "Testing"`, `"": "Testing"`), `StatusMap[""]`, "state is empty")
	only(t, instead(t, `"Done": "Testing"`, `"Done": 5`), "StatusMap.Done", `Put it in quotes: "5"`)
	only(t, instead(t, `"System.WorkItemType": "Task"`, `"System.WorkItemType": "Task", "System.State": "Doing"`),
		`AttributeMap["System.State"]`, "governed by StatusMap")
}

func TestTrapEscapedBraces(t *testing.T) {
	t.Parallel()
	const url = `"https://dev.azure.com/Alvao/Alvaoproject"`
	for _, written := range []string{`"https://dev.azure.com/\{contoso}/\{Tandem}"`, `'https://dev.azure.com/\{contoso}/\{Tandem}'`, `"https://dev.azure.com/{contoso}/{Tandem}"`} {
		got := parse(t, instead(t, url, written)).Connectors[0].Rules.Project
		if got != (mapping.Project{Account: "https://dev.azure.com/contoso", Name: "Tandem"}) {
			t.Errorf("%s = %+v", written, got)
		}
	}
	only(t, instead(t, url, `"https://dev.azure.com/\{organization}/\{project}"`), "settings.URL", "placeholder {organization}", "Put your own")
	only(t, file(" |\n"+indent(strings.Replace(seedSettings(t), url, `"https://dev.azure.com/\{organization}/\{project}"`, 1), "      ")),
		"tandem.yaml:12:14:", "placeholder {organization}")
}

func TestTrapReporter(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]mapping.Reporter{
		`"Default"`:          {Mode: mapping.ReporterDefault},
		`"requester"`:        {Mode: mapping.ReporterRequester},
		`"user@contoso.com"`: {Mode: mapping.ReporterUser, User: "user@contoso.com"},
	} {
		if got := parse(t, instead(t, `"Requester"`, written)).Connectors[0].Rules.Reporter; got != want {
			t.Errorf("%s = %+v, want %+v", written, got, want)
		}
	}
	if got := parse(t, instead(t, "true,\n\"TicketReporter\": \"Requester\"", "true")).Connectors[0].Rules.Reporter; got != (mapping.Reporter{}) {
		t.Errorf("without TicketReporter = %+v, want the token's owner", got)
	}
	only(t, instead(t, `"Requester"`, `"Requestor"`), "TicketReporter", "Did you mean Requester?")
	only(t, instead(t, `"Requester"`, `true`), "TicketReporter", "true or false where text is wanted")
}

func TestTrapConnectorType(t *testing.T) {
	t.Parallel()
	only(t, instead(t, `"AzureDevOps"`, `"GitHub"`), "settings.ConnectorType", "Write AzureDevOps")
	only(t, instead(t, "\"ConnectorType\": \"AzureDevOps\",\n", ""), "settings.ConnectorType: it is missing")
}

// A problem within a block of lines has its exact place in the file.
func TestPlacesWithinBlocksAreExact(t *testing.T) {
	t.Parallel()
	settings := strings.Replace(seedSettings(t), "[$TicketTitle$]", "x [$TicketTitel$]", 1)
	for _, content := range []string{
		file(" |\n" + indent(settings, "      ")),
		file("\n" + indent(settings, "      ")),
		strings.ReplaceAll(file(" |\n"+indent(settings, "      ")), "\n", "\r\n"),
	} {
		p := only(t, content, "TicketTitel")
		line := strings.Split(content, "\n")[p.Line-1]
		if p.Within != "" || !strings.HasPrefix(line[p.Column-1:], "[$TicketTitel$]") {
			t.Errorf("place = %d:%d (%s), which is %q", p.Line, p.Column, p.Within, line[p.Column-1:])
		}
	}
	// What a repair indented is reported where it really stands.
	p := only(t, file("\n"+strings.Replace(seedSettings(t), `"Done"`, `"Done": "x", "Done"`, 1)), "a second time")
	if p.Line != 22 || p.Column != 14 {
		t.Errorf("place = %d:%d, want 22:14", p.Line, p.Column)
	}
}

func TestEffectiveConfiguration(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile(filepath.Join("testdata", "full.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c := parse(t, string(content))
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
	golden(t, "full.masked.yaml", c.Masked())
	golden(t, "defaults.masked.yaml", parse(t, file("\n"+indent(seedSettings(t), "      "))).Masked())
	// What is printed can be read again and means the same.
	again := parse(t, c.Masked())
	if diff := cmp.Diff(c.Masked(), again.Masked()); diff != "" {
		t.Errorf("printed twice (-first +second):\n%s", diff)
	}
	if got := c.Connector("helpdesk"); got == nil || got.Alvao.Service != "Helpdesk" || c.Connector("x") != nil {
		t.Errorf("Connector(helpdesk) = %+v", got)
	}
	if c.Connectors[0].PollInterval != 90*time.Second {
		t.Errorf("poll interval = %v", c.Connectors[0].PollInterval)
	}
}

// TestManagedHooks: Tandem sees to the service hooks where it can, unless told not to.
func TestManagedHooks(t *testing.T) {
	t.Parallel()
	ref := secret.Ref{Env: "HOOK"}
	for name, tc := range map[string]struct {
		head, connector string
		want            config.Hooks
		warnings        int
	}{
		"by default":        {"publicUrl: https://t.example/\nhookSecrets: [{env: HOOK}, {env: BEFORE}]\n", "", config.Hooks{PublicURL: "https://t.example", Secret: ref}, 0},
		"with other keys":   {"publicUrl: https://t.example\nhookSecrets: [{env: HOOK}]\n", "{apiVersion: 7.0}", config.Hooks{PublicURL: "https://t.example", Secret: ref}, 0},
		"on":                {"publicUrl: https://t.example\nhookSecrets: [{env: HOOK}]\n", "{manageHooks: true}", config.Hooks{PublicURL: "https://t.example", Secret: ref}, 0},
		"off":               {"publicUrl: https://t.example\nhookSecrets: [{env: HOOK}]\n", "{manageHooks: false}", config.Hooks{}, 0},
		"without a URL":     {"hookSecrets: [{env: HOOK}]\n", "", config.Hooks{}, 0},
		"without a secret":  {"publicUrl: https://t.example\n", "", config.Hooks{}, 1},
		"on without a URL":  {"hookSecrets: [{env: HOOK}]\n", "{manageHooks: true}", config.Hooks{}, 1},
		"off without a URL": {"hookSecrets: [{env: HOOK}]\n", "{manageHooks: false}", config.Hooks{}, 0},
	} {
		text := tc.head + "callers: {tokens: [{name: gateway, role: edge, secret: {env: EDGE}}]}\n" + file("\n"+indent(seedSettings(t), "      "))
		if tc.connector != "" {
			text = strings.Replace(text, "    settings:", "    azureDevOps: "+tc.connector+"\n    settings:", 1)
		}
		c := parse(t, text)
		if on := tc.head != "" && c.HookSecrets != nil && c.PublicURL != ""; c.Connectors[0].Alvao.Hooks.Managed() != on {
			t.Errorf("%s: those at Alvao are managed: %v", name, !on)
		}
		at := "      service: Development\n"
		if off := parse(t, strings.Replace(text, at, at+"      manageHooks: false\n", 1)); off.Connectors[0].Alvao.Hooks.Managed() {
			t.Errorf("%s: those at Alvao are managed although they were not to be", name)
		}
		if got := c.Connectors[0].AzureDevOps.Hooks; got != tc.want || got.Managed() != (tc.want != config.Hooks{}) || len(c.Warnings) != tc.warnings {
			t.Errorf("%s: %+v, %v", name, got, c.Warnings)
		}
	}
}

// Five different mistakes are all reported, with line, field and remedy.
func TestCheckReportsEveryMistake(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "broken", "*.yaml"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%d broken files, %v", len(files), err)
	}
	for _, path := range files {
		var out strings.Builder
		if config.Check(&out, path, false) {
			t.Errorf("%s is taken for fine", path)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		golden(t, filepath.Join("broken", name+".txt"), strings.ReplaceAll(out.String(), path, filepath.Base(path)))
	}
}

func TestCheckOfAFineFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, "token", "pat")
	write(t, dir, "hook", strings.Repeat("x", 31))
	write(t, dir, "ca.pem", "no certificate")
	path := write(t, dir, "tandem.yaml", `hookSecrets: [{file: hook}]
accessTokens: {"0": {file: token}}
connectors:
  - name: development
    alvao: {url: "http://127.0.0.1:8080/AlvaoRestApi", service: Development, caFile: ca.pem,
            credentials: {username: tandem, password: {file: nowhere}}}
    settings:
`+indent(seedSettings(t), "      "))
	var out strings.Builder
	if !config.Check(&out, path, false) {
		t.Errorf("refused:\n%s", &out)
	}
	for _, want := range []string{
		"is fine: 1 connector, 3 warnings.\n", "warning: hookSecrets[0]: the hook secret has 31 characters",
		"connectors[0].alvao.credentials.password: reading a secret: open " + filepath.Join(dir, "nowhere"),
		"connectors[0].alvao.caFile: reading certificates",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "xxxx") || strings.Contains(out.String(), "pat") && strings.Contains(out.String(), "pat\n") {
		t.Errorf("output shows a secret:\n%s", &out)
	}
	out.Reset()
	if config.Check(&out, filepath.Join(dir, "missing.yaml"), false) || !strings.Contains(out.String(), "the file can't be read: no such file") {
		t.Errorf("a missing file: %s", &out)
	}
}

func TestSecretsInTheFileAreRefusedAndNotRepeated(t *testing.T) {
	t.Parallel()
	for _, content := range []string{
		"accessTokens: {\"0\": hunter2hunter2}\nconnectors: []\n",
		"hookSecrets: [hunter2hunter2]\nconnectors: []\n",
		strings.Replace(file("\n"+indent(seedSettings(t), "      ")), "{env: PASSWORD}", "hunter2hunter2", 1),
	} {
		if p := only(t, content, "a secret does not belong into this file"); strings.Contains(p.String(), "hunter2") {
			t.Errorf("%q repeats the secret", p)
		}
	}
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// The recorded default settings are those of the manual that the seed quotes.
func TestRecordedSettingsAreTheSeeds(t *testing.T) {
	t.Parallel()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		seed := filepath.Join(dir, "shared", "seeds", "alvao-azure-devops-connector.txt")
		if content, err := os.ReadFile(seed); err == nil {
			if !strings.Contains(string(content), strings.TrimSpace(seedSettings(t))) {
				t.Errorf("%s holds other settings than testdata", seed)
			}
			return
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("there is no folder shared/seeds above the repository, which CI must have")
	}
	t.Skip("there is no folder shared/seeds above the repository to compare with")
}

// A secret that stands where none should be is refused without being repeated.
func TestCheckRepeatsNoSecret(t *testing.T) {
	t.Parallel()
	const planted = "hunter2-planted"
	dir := t.TempDir()
	for name, change := range map[string][2]string{
		"a token itself":             {"connectors:\n", "accessTokens: {\"0\": " + planted + "}\nconnectors:\n"},
		"a hook secret itself":       {"connectors:\n", "hookSecrets: [" + planted + "]\nconnectors:\n"},
		"a caller's token as a hash": {"connectors:\n", "callers: {tokens: [{name: a, role: viewer, sha256: " + planted + "}]}\nconnectors:\n"},
		"a caller's token itself":    {"connectors:\n", "callers: {tokens: [{name: a, role: viewer, secret: " + planted + "}]}\nconnectors:\n"},
		"in an issuer's address":     {"connectors:\n", "callers: {issuers: [{issuer: \"https://u:" + planted + "@x.example\", audience: a, roles: []}]}\nconnectors:\n"},
		"in the public address":      {"connectors:\n", "publicUrl: https://u:" + planted + "@x.example\nconnectors:\n"},
		"in the project's address":   {"https://dev.azure.com/", "https://u:" + planted + "@dev.azure.com/"},
		"in Alvao's address":         {"https://contoso.onalvao.com/", "https://u:" + planted + "@contoso.onalvao.com/"},
	} {
		text := file("\n" + indent(seedSettings(t), "      "))
		if !strings.Contains(text, change[0]) {
			t.Fatalf("%s: there is no %q in\n%s", name, change[0], text)
		}
		path := filepath.Join(dir, "tandem.yaml")
		if err := os.WriteFile(path, []byte(strings.Replace(text, change[0], change[1], 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if config.Check(&out, path, true) {
			t.Errorf("%s is taken for fine", name)
		}
		if strings.Contains(out.String(), planted) {
			t.Errorf("%s is repeated: %s", name, out.String())
		}
	}
}
