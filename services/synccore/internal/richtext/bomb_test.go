package richtext_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
)

// bombs are texts that cost a careless reader a great deal.
func bombs() map[string]richtext.Source {
	html := func(s string) richtext.Source { return fromDevOps(s, richtext.HTML) }
	marked := func(s string) richtext.Source { return fromDevOps(s, richtext.Markdown) }
	attributes := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, " a%d=%d", i, i)
		}
		return b.String()
	}
	return map[string]richtext.Source{
		"100k divs":              html(strings.Repeat("<div>", 100_000) + "x"),
		"100k divs, closed":      html(strings.Repeat("<div>", 100_000) + "x" + strings.Repeat("</div>", 100_000)),
		"100k bold":              html(strings.Repeat("<b>x", 100_000)),
		"formatting and blocks":  html("<b><i><u><s><code><a href=https://a.cz>" + strings.Repeat("<p>x", 200_000)),
		"misnested":              html(strings.Repeat("<b><p></b></p>", 60_000)),
		"100k lists":             html(strings.Repeat("<ul><li>x", 100_000)),
		"100k quotes":            html(strings.Repeat("<blockquote>x", 100_000)),
		"100k tables":            html(strings.Repeat("<table><tr><td>x", 60_000)),
		"100k cells":             html("<table><tr>" + strings.Repeat("<td>x", 200_000)),
		"100k rows":              html("<table>" + strings.Repeat("<tr><td>x<td>y", 100_000)),
		"raised and lowered":     html(strings.Repeat("<sup>1</sup><sub>2</sub>", 50_000)),
		"spans":                  html("<table>" + strings.Repeat("<tr><td colspan=1000 rowspan=65000>x<td>y", 30_000)),
		"unmatched ends":         html("<div><p><b>" + strings.Repeat("</i></li></td>", 120_000)),
		"5 MB of style":          html("<style>" + strings.Repeat("p{color:red}", 420_000) + "</style>x"),
		"5 MB of style, open":    html("x<style>" + strings.Repeat("p{color:red}", 420_000)),
		"5 MB of comment":        html("x<!--" + strings.Repeat("<p>-", 1_200_000) + "-->y"),
		"5 MB of an attribute":   html("<p style='" + strings.Repeat("color:red;", 500_000) + "'>x"),
		"100k attributes":        html("<p" + attributes(100_000) + ">x"),
		"1M attributes":          html("<p" + attributes(1_000_000) + ">x"),
		"1M of one attribute":    html("<p" + strings.Repeat(" a=b", 1_000_000) + ">x"),
		"1M divs":                html(strings.Repeat("<div>", 1_000_000) + "x"),
		"tables in cells":        html(strings.Repeat("<table><tr><td><table><tbody><tr><th>", 30_000) + "x"),
		"SVG":                    html(strings.Repeat("<svg><use href='#a'/><foreignObject>", 50_000) + "x"),
		"MathML":                 html(strings.Repeat("<math><mtext><table><mglyph><style>", 40_000) + "x"),
		"10k images":             html(strings.Repeat("<img src=https://evil.example/x.png>", 10_000)),
		"10k different images":   html(strings.Repeat("<img src='cid:1'><img src='cid:2'>", 5_000)),
		"10 MB inlined":          html("<img src='data:image/png;base64," + strings.Repeat("iVBORw0K", 1_300_000) + "'>x"),
		"entities":               html("<p>" + strings.Repeat("&lt;&amp;&#x41;&nbsp;", 80_000)),
		"entity names":           html("<!DOCTYPE x [<!ENTITY a \"" + strings.Repeat("&b;", 100_000) + "\">]>" + strings.Repeat("&a;", 300_000)),
		"2 MB of text":           html(strings.Repeat("slovo ", 350_000)),
		"2 MB of one word":       html(strings.Repeat("slovo", 400_000)),
		"line ends":              html(strings.Repeat("x<br>", 400_000)),
		"empty elements":         html(strings.Repeat("<p></p>", 300_000)),
		"changing looks":         html(strings.Repeat("<b>x</b>y", 200_000)),
		"links":                  html(strings.Repeat("<a href=https://a.cz/x>x</a> ", 60_000)),
		"bare links":             html(strings.Repeat("https://a.cz/x ", 120_000)),
		"almost addresses":       html(strings.Repeat("a@", 900_000)),
		"combining marks":        html("e" + strings.Repeat("\u0301", 900_000)),
		"joined emoji":           html(strings.Repeat("👩\u200d", 280_000)),
		"outlook lists":          html(strings.Repeat("<p style='mso-list:l0 level9 lfo1'>x", 60_000)),
		"preformatted":           html("<pre>" + strings.Repeat("x\n", 900_000)),
		"backticks":              html("<code>" + strings.Repeat("`", 900_000) + "</code>"),
		"100k markdown quotes":   marked(strings.Repeat(">", 100_000) + "x\nx\n" + strings.Repeat(">", 100_000)),
		"markdown quotes, lines": marked(strings.Repeat(strings.Repeat("> ", 200)+"x\n", 2_000)),
		"markdown lists":         marked(strings.Repeat("- ", 100_000) + "x"),
		"markdown lists, steps": marked(func() string {
			var b strings.Builder
			for i := range 1_000 {
				b.WriteString(strings.Repeat(" ", i) + "- x\n")
			}
			return b.String()
		}()),
		"brackets":              marked(strings.Repeat("[", 400_000)),
		"brackets and ends":     marked(strings.Repeat("[a](", 200_000)),
		"brackets, some closed": marked(strings.Repeat(strings.Repeat("[a](", 7)+")", 30_000)),
		"images in images":      marked(strings.Repeat("![", 300_000)),
		"stars":                 marked(strings.Repeat("*a **b ", 100_000)),
		"stars in a row":        marked(strings.Repeat("*", 900_000)),
		"tildes":                marked(strings.Repeat("~a ~~b ", 100_000)),
		"rows of backticks": marked(func() string {
			var b strings.Builder
			for i := range 1_200 {
				b.WriteString(strings.Repeat("`", i) + " ")
			}
			return b.String()
		}()),
		"references":          marked(strings.Repeat("[a]: https://a.cz\n", 40_000) + strings.Repeat("[a]", 40_000)),
		"markdown tables":     marked(strings.Repeat("|", 20_000) + "\n" + strings.Repeat("|-", 20_000) + "\n" + strings.Repeat("|\n", 20_000)),
		"autolinks":           marked(strings.Repeat("<http://a ", 90_000)),
		"markdown html":       marked(strings.Repeat("<a b='", 150_000)),
		"comments":            marked(strings.Repeat("<!-- ", 180_000)),
		"markdown addresses":  marked(strings.Repeat("a@a", 170_000)),
		"dotted addresses":    marked(strings.Repeat("a.", 250_000) + "@"),
		"markdown bare links": marked(strings.Repeat("http://a.", 56_000)),
		"www":                 marked(strings.Repeat("www.", 128_000)),
		"open angles":         marked(strings.Repeat("<", 500_000)),
		"angles and brackets": marked(strings.Repeat("[a](<", 100_000)),
		"titles":              marked(strings.Repeat("[a](b \"", 70_000) + ")"),
		"half entities":       marked(strings.Repeat("&#x", 170_000)),
		"backslashes":         marked(strings.Repeat("\\", 500_000)),
		"nested emphasis":     marked(strings.Repeat("*a _b **c __d ", 36_000)),
		"closing emphasis":    marked(strings.Repeat("*a", 100_000) + strings.Repeat("b*", 100_000)),
		"closing brackets":    marked(strings.Repeat("[", 60_000) + strings.Repeat("]", 60_000)),
		"setext":              marked(strings.Repeat("a\n", 120_000) + "==="),
		"processing":          marked(strings.Repeat("<?", 250_000)),
		"declarations":        marked(strings.Repeat("<!A ", 125_000)),
		"character data":      marked(strings.Repeat("<![CDATA[", 55_000)),
		"markdown spaces":     marked(strings.Repeat("a"+strings.Repeat(" ", 500), 1_000)),
		"tables of one line":  marked(strings.Repeat("|a|b|c|d|\n|-|-|-|-|\n\n", 20_000)),
		"mentions":            marked(strings.Repeat("@<8c8c7d32-6b1b-47f4-b2e9-30b477b5ab3d>", 25_000)),
		"plain":               fromAlvao(strings.Repeat("  > x\n", 300_000), richtext.Plain),
		"plain line ends":     fromAlvao(strings.Repeat("\n", 2_000_000), richtext.Plain),
		"nothing but noughts": html(strings.Repeat("\x00", 2_000_000)),
		"broken characters":   html(strings.Repeat("\xff\xfe", 900_000)),
	}
}

// tolerable is far above what any of them takes here (see BenchmarkBombs), so that a
// busy machine with the race detector does not fail the test, and far below what a
// careless reader takes: minutes, or all of the memory.
const tolerable = 20 * time.Second

func TestBombs(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	for name, src := range bombs() {
		for _, format := range []richtext.Format{richtext.HTML, richtext.Markdown} {
			start := time.Now()
			result := c.Convert(src, richtext.Target{Format: format, Max: 150_000})
			if took := time.Since(start); took > tolerable {
				t.Errorf("%s took %v to become %s", name, took, format)
			}
			if n := units(result.Text); n > 150_000 {
				t.Errorf("%s became %d characters of %s", name, n, format)
			}
			if n := len(result.Full); n > 8<<20 {
				t.Errorf("%s has a full text of %d bytes", name, n)
			}
		}
	}
}

func BenchmarkBombs(b *testing.B) {
	c := richtext.New()
	for name, src := range bombs() {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Convert(src, richtext.Target{Format: richtext.Markdown, Max: 150_000})
			}
		})
	}
}

func BenchmarkConvert(b *testing.B) {
	c := richtext.New()
	text := strings.Repeat("<p>Řádek textu s <b>tučným</b> slovem, číslem #12 a znaky &lt;&amp;&gt; uprostřed.</p><ul><li>bod</li></ul>", 20)
	for _, bench := range []struct {
		name string
		src  richtext.Source
		to   richtext.Format
	}{
		{"HTML to HTML", fromAlvao(text, richtext.HTML), richtext.HTML},
		{"HTML to Markdown", fromAlvao(text, richtext.HTML), richtext.Markdown},
		{"Markdown to HTML", fromDevOps(c.Convert(fromAlvao(text, richtext.HTML), richtext.Target{Format: richtext.Markdown}).Text, richtext.Markdown), richtext.HTML},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(int64(len(bench.src.Text)))
			b.ReportAllocs()
			for b.Loop() {
				c.Convert(bench.src, richtext.Target{Format: bench.to, Max: 150_000})
			}
		})
		b.Run(bench.name+" with redaction", func(b *testing.B) {
			bench.src.Redact = redact.New(true, nil, nil)
			b.SetBytes(int64(len(bench.src.Text)))
			b.ReportAllocs()
			for b.Loop() {
				c.Convert(bench.src, richtext.Target{Format: bench.to, Max: 150_000})
			}
		})
	}
	b.Run("Normal", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		for b.Loop() {
			c.Read(fromAlvao(text, richtext.HTML)).Normal()
		}
	})
}
