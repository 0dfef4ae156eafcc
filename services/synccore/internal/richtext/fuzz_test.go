package richtext_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/tools/txtar"

	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
)

// seeds gives a fuzzer the corpus's messages of a format.
func seeds(f *testing.F, format richtext.Format) {
	f.Helper()
	for _, file := range corpus(f) {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for _, d := range directions() {
			if d.input == a.Files[0].Name && d.format == format {
				f.Add(string(a.Files[0].Data))
			}
		}
	}
}

// fuzzed holds for every input: the output is text without anything forbidden,
// within its limit, and says what the input says.
func fuzzed(t *testing.T, c *richtext.Converter, src richtext.Source) {
	t.Helper()
	normal := c.Read(src).Normal()
	for _, format := range []richtext.Format{richtext.HTML, richtext.Markdown} {
		result := c.Convert(src, richtext.Target{Format: format})
		if !utf8.ValidString(result.Text) {
			t.Fatal("the text is not valid UTF-8")
		}
		if bad := forbidden(t, result.Text, format); bad != "" {
			t.Fatalf("%s holds %s:\n%s", format, bad, result.Text)
		}
		if got := c.Read(richtext.Source{Text: result.Text, Format: format}).Normal(); got != normal && len(result.Images) == 0 && !result.Truncated {
			t.Fatalf("%s says something else:\n%q\n%q\n%s", format, normal, got, result.Text)
		}
		short := c.Convert(src, richtext.Target{Format: format, Max: 4000})
		if n := units(short.Text); n > 4000 {
			t.Fatalf("%d characters", n)
		}
		filled := short.WithImages(at("https://a.cz/x"))
		if strings.Contains(filled, `src="tandem-image:`) {
			t.Fatalf("a placeholder is left in %s", filled)
		}
	}
	c.PlainText(src, 100)
	if ref, ok := c.Read(src).Reference(); ok && !strings.Contains(c.PlainText(src, 0), "TANDEM-") {
		t.Fatalf("read %+v out of nothing", ref)
	}
}

func FuzzHTML(f *testing.F) {
	seeds(f, richtext.HTML)
	c := richtext.New()
	f.Fuzz(func(t *testing.T, text string) { fuzzed(t, c, fromAlvao(text, richtext.HTML)) })
}

func FuzzMarkdown(f *testing.F) {
	seeds(f, richtext.Markdown)
	c := richtext.New()
	f.Fuzz(func(t *testing.T, text string) { fuzzed(t, c, fromDevOps(text, richtext.Markdown)) })
}

func FuzzPlain(f *testing.F) {
	seeds(f, richtext.Plain)
	c := richtext.New()
	f.Fuzz(func(t *testing.T, text string) { fuzzed(t, c, fromAlvao(text, richtext.Plain)) })
}

func FuzzMirror(f *testing.F) {
	f.Add("Jana Dvořáková", "T1001SD", "https://contoso.com/1", "<p>Hi</p>", int64(1001), int64(9001), 0)
	f.Add("· 2026", "> x", "x", "**", int64(0), int64(1), 3)
	c := richtext.New()
	f.Fuzz(func(t *testing.T, author, label, address, text string, ticket, record int64, version int) {
		h := header()
		h.Author, h.Label, h.URL, h.Kind = author, label, address, label
		const most = 999_999_999_999_999_999
		h.Item, h.Message, h.Version = max(ticket, 0)%most, max(record, 0)%most, max(version, 0)%1000
		if h.Version == 1 {
			h.Version = 0
		}
		for _, format := range []richtext.Format{richtext.HTML, richtext.Markdown} {
			body := c.Convert(fromAlvao(text, richtext.HTML), richtext.Target{Format: format})
			mirror := richtext.Mirror(h, body.Text, format)
			got, ok := c.Read(richtext.Source{Text: mirror, Format: format}).Reference()
			if !ok || got != h.Reference {
				t.Fatalf("read %+v, %v from\n%s", got, ok, mirror)
			}
			if bad := forbidden(t, mirror, format); bad != "" {
				t.Fatalf("%s holds %s:\n%s", format, bad, mirror)
			}
		}
	})
}

func FuzzReference(f *testing.F) {
	f.Add("Jana · 2026-03-02 14:05 CET · Alvao T1\nCopied from Alvao · TANDEM-A1001-R9001-ZMEYSY")
	c := richtext.New()
	f.Fuzz(func(t *testing.T, text string) {
		ref, ok := c.Read(richtext.Source{Text: text, Format: richtext.Plain}).Reference()
		if !ok {
			return
		}
		h := header()
		h.Reference = ref
		again, ok := c.Read(richtext.Source{Text: richtext.Mirror(h, "", richtext.HTML), Format: richtext.HTML}).Reference()
		if !ok || again != ref {
			t.Fatalf("%+v is read as %+v, %v", ref, again, ok)
		}
	})
}
