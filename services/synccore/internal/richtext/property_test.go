package richtext_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
)

// scrap is a piece of text: words, and every sign that means something somewhere.
func scrap() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{
			"a", "B", "word", "žluťoučký", "č", "1", "12.", "3)", "2024", " ", " ", " ", "  ", "\t", "\n", "\u00a0", "*", "**", "_", "__", "~", "~~",
			"`", "```", "#", "# ", "#1", "-", "- ", "---", "+ ", "=", "===", ">", "<", "&", "&amp;", "&lt;", "&#65;", "|", "| --- |", "!", "[", "]", "(", ")", "](", "[x]",
			"[^1]:", "\\", "@", "@x", "@<8c8c7d32-6b1b-47f4-b2e9-30b477b5ab3d>", "a@b.cz", ":", ":x:", "$", "\"", "'", ".", ",", "http://a.cz", "https://a.cz/x_y?a=1&b=2#3",
			"www.a.cz", "ftp://a.b", "://", "<b>", "</b>", "<!--", "-->", "<br>", "🎉", "👍🏽", "e\u0301", "\u200b", "\u2060", "שלום", "T1SD", "AB#5", "…", "“", "tandem-image:0", "![x](tandem-image:0)", "data:image/png;base64,aGVsbG8=", "tandem-inlined:0;",
		}),
		rapid.String(),
	)
}

func scraps() *rapid.Generator[string] {
	return rapid.Map(rapid.SliceOfN(scrap(), 0, 12), func(s []string) string { return strings.Join(s, "") })
}

// soup is HTML as nobody should write it: tags opened and closed at random.
func soup() *rapid.Generator[string] {
	tags := []string{
		"p", "div", "br", "b", "i", "u", "s", "strong", "em", "code", "pre", "ul", "ol", "li", "table", "tr", "td", "th", "blockquote", "h2", "h6",
		"a href='https://a.cz/x'", "a href='javascript:x'", "a data-vss-mention='version:2.0,x'", "span style='font-weight:bold'", "sup", "sub", "hr", "q",
		"p class=MsoNormal", "p style='mso-list:l0 level2 lfo1'", "span style='mso-list:Ignore'", "div style='white-space:pre'", "ol start=3",
		"td colspan=2", "td rowspan=3", "script", "style", "tbody", "dl", "dd", "dt", "center", "x-y", "svg", "img src=https://evil.example/x.png", "input type=checkbox", "div hidden",
	}
	piece := rapid.OneOf(
		rapid.Map(rapid.SampledFrom(tags), func(s string) string { return "<" + s + ">" }),
		rapid.Map(rapid.SampledFrom(tags), func(s string) string { return "</" + strings.Fields(s)[0] + ">" }),
		rapid.Map(scrap(), func(s string) string {
			return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
		}),
		scrap(),
	)
	return rapid.Map(rapid.SliceOfN(piece, 0, 30), func(s []string) string { return strings.Join(s, "") })
}

// marked is Markdown as people might write it, and worse.
func marked() *rapid.Generator[string] {
	starts := rapid.SampledFrom([]string{"", "", "- ", "1. ", "> ", "  ", "    ", "# ", "```\n", "| a | b |\n| --- | --- |\n| ", "- [ ] ", "  - ", "> > ", "---\n", "![x](", "[y](https://a.cz) ", "* * ", "\t"})
	line := rapid.Custom(func(t *rapid.T) string { return starts.Draw(t, "start") + scraps().Draw(t, "text") })
	return rapid.Map(rapid.SliceOfN(line, 0, 8), func(s []string) string { return strings.Join(s, "\n") })
}

// source is a text in any format.
func source() *rapid.Generator[richtext.Source] {
	return rapid.OneOf(
		rapid.Map(soup(), func(s string) richtext.Source { return fromAlvao(s, richtext.HTML) }),
		rapid.Map(marked(), func(s string) richtext.Source { return fromDevOps(s, richtext.Markdown) }),
		rapid.Map(scraps(), func(s string) richtext.Source { return fromAlvao(s, richtext.Plain) }),
	)
}

// What is converted says the same, holds nothing forbidden, and says the same
// still after going on to the other format and back.
func TestConversionKeepsWhatIsSaid(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	rapid.Check(t, func(t *rapid.T) {
		src := source().Draw(t, "source")
		normal := c.Read(src).Normal()
		for _, format := range []richtext.Format{richtext.HTML, richtext.Markdown} {
			result := c.Convert(src, richtext.Target{Format: format})
			if bad := forbidden(t, result.Text, format); bad != "" {
				t.Fatalf("%s holds %s:\n%s", format, bad, result.Text)
			}
			if len(result.Images) > 0 {
				continue
			}
			once := richtext.Source{Text: result.Text, Format: format}
			if diff := cmp.Diff(normal, c.Read(once).Normal()); diff != "" {
				t.Fatalf("%s says something else (-source +target):\n%s\n%s", format, diff, result.Text)
			}
			for _, over := range []richtext.Format{richtext.HTML, richtext.Markdown} {
				there := c.Convert(once, richtext.Target{Format: over})
				back := c.Convert(richtext.Source{Text: there.Text, Format: over}, richtext.Target{Format: format})
				if diff := cmp.Diff(normal, c.Read(richtext.Source{Text: back.Text, Format: format}).Normal()); diff != "" {
					t.Fatalf("%s by way of %s says something else (-source +target):\n%s\n%s\n%s", format, over, diff, there.Text, back.Text)
				}
			}
		}
	})
}

// A text that came out of a conversion is left exactly as it is by another.
func TestConversionOfHTMLSettles(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	rapid.Check(t, func(t *rapid.T) {
		once := c.Convert(source().Draw(t, "source"), richtext.Target{Format: richtext.HTML})
		if len(once.Images) > 0 {
			return
		}
		twice := c.Convert(richtext.Source{Text: once.Text, Format: richtext.HTML}, richtext.Target{Format: richtext.HTML})
		// A space that does not break may be lost from the end of a paragraph.
		settled := func(s string) string { return strings.ReplaceAll(s, "\u00a0</", "</") }
		if diff := cmp.Diff(settled(once.Text), settled(twice.Text)); diff != "" {
			t.Fatalf("the second conversion changes (-once +twice):\n%s", diff)
		}
	})
}

// A text too long ends within the limit, in whole characters, and starts like the
// whole one.
func TestTruncation(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	rapid.Check(t, func(t *rapid.T) {
		src := source().Draw(t, "source")
		src.Text = strings.Repeat(src.Text+"\n", rapid.IntRange(1, 200).Draw(t, "times"))
		format := rapid.SampledFrom([]richtext.Format{richtext.HTML, richtext.Markdown}).Draw(t, "format")
		limit := rapid.IntRange(3700, 9000).Draw(t, "limit")
		result := c.Convert(src, richtext.Target{Format: format, Max: limit})
		if n := units(result.Text) + 300*len(result.Images); n > limit-3500 {
			t.Fatalf("%d characters of %d", n, limit-3500)
		}
		if bad := forbidden(t, result.Text, format); bad != "" {
			t.Fatalf("%s holds %s:\n%s", format, bad, result.Text)
		}
		if result.Truncated != strings.Contains(result.Text, "The full text is attached") || result.Truncated != (result.Full != "") {
			t.Fatalf("truncated is %v: %q, full %d", result.Truncated, result.Text, len(result.Full))
		}
		if !result.Truncated {
			return
		}
		head := strings.Fields(c.Read(src).Normal())
		cut := strings.Fields(c.Read(richtext.Source{Text: result.Text, Format: format}).Normal())
		// Further on, what is nested too deep for the limit may be told flatter.
		if n := min(len(cut)-20, 40) / 2; n > 0 && len(result.Images) == 0 && cmp.Diff(head[:n], cut[:n]) != "" {
			t.Fatalf("the beginning reads otherwise: %s\n%q\n%q", cmp.Diff(head[:n], cut[:n]), src.Text[:min(len(src.Text), 300)], result.Text[:min(len(result.Text), 300)])
		}
	})
}
