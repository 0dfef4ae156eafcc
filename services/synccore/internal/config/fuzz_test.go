package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/config"
)

// sound checks what holds for any text: a configuration or problems, each with a
// place, a sentence and a remedy, and a configuration that can be printed and read
// again.
func sound(t *testing.T, content string) {
	t.Helper()
	c, err := config.Parse("tandem.yaml", []byte(content))
	if err != nil {
		var problems config.Problems
		if c != nil || !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("Parse = %v, %v", c, err)
		}
		lines := strings.Count(content, "\n") + 1
		fatal := false
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Text == "" || p.Remedy == "" || p.Line > lines+1 && !strings.ContainsAny(content, "\r\u0085\u2028\u2029") {
				t.Fatalf("problem %+v of %d lines", p, lines)
			}
			fatal = fatal || !p.Warning
		}
		if !fatal {
			t.Fatalf("refused for warnings alone: %v", problems)
		}
		return
	}
	printed := c.Masked()
	again, err := config.Parse("printed.yaml", []byte(printed))
	if err != nil {
		t.Fatalf("the printed configuration is refused: %v\n%s", err, printed)
	}
	if again.Masked() != printed {
		t.Fatalf("printed twice:\n%s\n%s", printed, again.Masked())
	}
	for _, connector := range c.Connectors {
		if connector.Name == "" || connector.Token.IsZero() || connector.Rules.Project.Name == "" ||
			len(connector.Rules.Statuses.Pairs()) == 0 || connector.Alvao.URL == "" || connector.PollInterval <= 0 {
			t.Fatalf("an incomplete connector was accepted: %+v", connector)
		}
	}
}

func FuzzConfig(f *testing.F) {
	for _, pattern := range []string{"*.yaml", filepath.Join("broken", "*.yaml")} {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range files {
			content, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(content))
		}
	}
	f.Add(file("\n" + seedSettings(f)))
	f.Add("a: &a [*a]")
	f.Add("connectors: &c [*c]")
	f.Add("connectors:\n- &a {settings: *a, alvao: *a}")
	f.Add("? [a]\n: b")
	f.Add("!!binary aGk=: 1")
	f.Fuzz(sound)
}

func FuzzSettings(f *testing.F) {
	f.Add(seedSettings(f))
	f.Add("{}")
	f.Add("[]")
	f.Add(`{"URL": "https://dev.azure.com/\{organization}/\{project}"}`)
	f.Add(`{"AttributeMap": "{\"System.Title\": \"[$TicketTitle$]\"}", "AccessToken": 0}`)
	f.Add("{\"StatusMap\": {\"a\": \"b\", \"A\": \"b\"}}")
	f.Add("\t{\t\"x\": \"\\ud83d\\ude00\"}")
	f.Fuzz(func(t *testing.T, settings string) {
		sound(t, file("\n"+settings))
		sound(t, file(" |\n"+indent(settings, "      ")))
		// Quoted as JSON, whatever is in it stays one text.
		sound(t, file(" "+quoteJSON(settings)))
	})
}

// quoteJSON writes a text as a string that JSON and YAML read alike.
func quoteJSON(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(strings.ToValidUTF8(text, "")) + `"`
}
