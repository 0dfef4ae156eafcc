package richtext_test

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
)

// The corpus in testdata is one message a file: why it is there, what was
// written, and below it what a reader on the other side gets, in each format.
// `UPDATE_GOLDEN=1 go test ./internal/richtext -run Corpus` writes the latter anew,
// for a person to read the difference.

const (
	alvaoBase  = "https://contoso.onalvao.com/AlvaoRestApi/"
	alvaoRoot  = "https://contoso.onalvao.com/"
	devopsRoot = "https://dev.azure.com/contoso/"
	devopsBase = "https://dev.azure.com/contoso/Alvaoproject/"
	person     = "8c8c7d32-6b1b-47f4-b2e9-30b477b5ab3d"
)

// fromAlvao and fromDevOps are texts as the two systems would show them.
func fromAlvao(text string, format richtext.Format) richtext.Source {
	return richtext.Source{Text: text, Format: format, Base: alvaoBase, Roots: []string{alvaoRoot}}
}

func fromDevOps(text string, format richtext.Format) richtext.Source {
	return richtext.Source{
		Text: text, Format: format, Base: devopsBase, Roots: []string{devopsRoot, "https://contoso.visualstudio.com"},
		Mentions: map[string]string{strings.ToUpper(person): "Jana Dvořáková"},
	}
}

// direction is a way a message may take.
type direction struct {
	input, output string
	from          func(string, richtext.Format) richtext.Source
	format        richtext.Format
	to            richtext.Format
}

func directions() []direction {
	return []direction{
		{"alvao.html", "azuredevops.html", fromAlvao, richtext.HTML, richtext.HTML},
		{"alvao.html", "azuredevops.md", fromAlvao, richtext.HTML, richtext.Markdown},
		{"alvao.txt", "azuredevops.html", fromAlvao, richtext.Plain, richtext.HTML},
		{"alvao.txt", "azuredevops.md", fromAlvao, richtext.Plain, richtext.Markdown},
		{"azuredevops.html", "alvao.html", fromDevOps, richtext.HTML, richtext.HTML},
		{"azuredevops.md", "alvao.html", fromDevOps, richtext.Markdown, richtext.HTML},
	}
}

var directive = regexp.MustCompile(`(?m)^(max|repeat) ([0-9]+)$`)

func directives(comment []byte) map[string]int {
	out := map[string]int{"repeat": 1}
	for _, m := range directive.FindAllStringSubmatch(string(comment), -1) {
		out[m[1]], _ = strconv.Atoi(m[2])
	}
	return out
}

func corpus(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) < 60 {
		tb.Fatalf("found %d messages (%v), want at least 60", len(files), err)
	}
	return files
}

func TestCorpus(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	for _, file := range corpus(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			got, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			want := txtar.Format(got)
			input := got.Files[0]
			opts := directives(got.Comment)
			got.Files = got.Files[:1]
			for _, d := range directions() {
				if d.input != input.Name {
					continue
				}
				src := d.from(strings.Repeat(strings.TrimSuffix(string(input.Data), "\n"), opts["repeat"]), d.format)
				result := c.Convert(src, richtext.Target{Format: d.to, Max: opts["max"]})
				got.Files = append(got.Files, txtar.File{Name: "to " + d.output, Data: shown(result.Text)})
				if d.to == richtext.HTML {
					got.Files = append(got.Files, txtar.File{Name: "reads as", Data: shown(c.PlainText(filled(result, d.to), 0))})
					if len(result.Images) > 0 {
						got.Files = append(got.Files, txtar.File{Name: "images", Data: images(result.Images)})
					}
				}
				checkResult(t, c, d, src, result, opts["max"])
			}
			if len(got.Files) == 1 {
				t.Fatalf("%s is no input", input.Name)
			}
			have := txtar.Format(got)
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(file, have, 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), string(have)); diff != "" {
				t.Errorf("the message reads otherwise than it did (-want +got):\n%s", diff)
			}
		})
	}
}

// checkResult holds for every message.
func checkResult(t *testing.T, c *richtext.Converter, d direction, src richtext.Source, result richtext.Result, limit int) {
	t.Helper()
	if !utf8.ValidString(result.Text) {
		t.Error("the text is not valid UTF-8")
	}
	if bad := forbidden(t, result.Text, d.to); bad != "" {
		t.Errorf("%s holds %s", d.output, bad)
	}
	if limit > 0 && units(result.Text) > limit {
		t.Errorf("%s has %d characters, more than %d", d.output, units(result.Text), limit)
	}
	if result.Truncated != (result.Full != "") {
		t.Error("a truncated text comes with its full text, another one without")
	}
	converted := richtext.Source{Text: result.Text, Format: d.to}
	normal := c.Read(converted).Normal()
	if !result.Truncated && len(result.Images) == 0 {
		if diff := cmp.Diff(c.Read(src).Normal(), normal); diff != "" && !strings.Contains(result.Text, "tandem-image") {
			t.Errorf("%s says something else (-source +target):\n%s", d.output, diff)
		}
	}
	// And it can go back and forth from there.
	for _, format := range []richtext.Format{richtext.HTML, richtext.Markdown} {
		again := c.Convert(converted, richtext.Target{Format: format})
		back := c.Convert(richtext.Source{Text: again.Text, Format: format}, richtext.Target{Format: d.to})
		if diff := cmp.Diff(normal, c.Read(richtext.Source{Text: back.Text, Format: d.to}).Normal()); diff != "" && len(result.Images) == 0 {
			t.Errorf("%s by way of %s says something else (-first +second):\n%s\n%s", d.output, format, diff, again.Text)
		}
	}
}

// filled is a converted text after its images were uploaded.
func filled(r richtext.Result, format richtext.Format) richtext.Source {
	var addresses []string
	for i, img := range r.Images {
		addresses = append(addresses, fmt.Sprintf("%sfile/%d/%s", alvaoRoot, i, url.PathEscape(img.Name)))
	}
	return richtext.Source{Text: r.WithImages(at(addresses...)), Format: format, Roots: []string{alvaoRoot}}
}

// shown is a text as a golden has it: the middle of a very long one left out.
func shown(s string) []byte {
	const most = 6000
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most/4], "") + fmt.Sprintf("\n… %d characters in all …\n", units(s)) + strings.ToValidUTF8(s[len(s)-most/4:], "")
	}
	return []byte(strings.TrimRight(s, "\n") + "\n")
}

func images(list []richtext.Image) []byte {
	var b strings.Builder
	for i, img := range list {
		src := img.Src
		if len(src) > 60 && strings.HasPrefix(src, "data:") {
			src = src[:60] + "…"
		}
		fmt.Fprintf(&b, "%d: name %q, alt %q, from %q %q\n", i, img.Name, img.Alt, src, img.URL)
	}
	return []byte(b.String())
}

func units(s string) int {
	n := 0
	for _, r := range s {
		n++
		if r > 0xffff {
			n++
		}
	}
	return n
}
