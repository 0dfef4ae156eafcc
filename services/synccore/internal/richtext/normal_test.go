package richtext_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
)

// What vendors rewrite doesn't change what is said.
func TestNormalIsBlindToRewriting(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	const guid = "1d2c3b4a-aaaa-bbbb-cccc-ddddeeeeffff"
	html := func(s string) richtext.Source { return fromDevOps(s, richtext.HTML) }
	for name, pair := range map[string][2]richtext.Source{
		"entities":        {html("a &amp; b &lt; č"), html("a & b &#60; &#269;")},
		"attributes":      {html(`<a href="https://a.cz" title="x">y</a>`), html(`<a target=_blank rel=x href='https://a.cz'>y</a>`)},
		"wrappers":        {html("<p>a</p><p>b</p>"), html("<div><div>a</div><div>b</div></div>")},
		"empty lines":     {html("<p>a</p><p>b</p>"), html("<p>a</p><p>&nbsp;</p><p>b<br></p>")},
		"spaces":          {html("a  b\n c"), html("a&nbsp;b c ")},
		"tags":            {html("<b>a</b> <strike>b</strike>"), html("<strong>a</strong> <del>b</del>")},
		"emphasis":        {html("a <b>b</b>"), html("a b")},
		"joiners":         {html("@x #1"), html("@\u2060x #\u20601")},
		"composition":     {html("č"), html("c\u030c")},
		"bare links":      {html("see https://a.cz/x"), html(`see <a href="https://a.cz/x">https://a.cz/x</a>`)},
		"mail links":      {html("see a@a.cz"), html(`see <a href="mailto:a@a.cz">a@a.cz</a>`)},
		"struck spaces":   {html("<s>a&nbsp;</s>b"), fromDevOps("~~a~~&nbsp;b", richtext.Markdown)},
		"mentions":        {html(`<a href="#" data-vss-mention="version:2.0,x">@Jana</a> hi`), html("Jana hi")},
		"format":          {html("<ul><li>a</li></ul>"), fromDevOps("- a", richtext.Markdown)},
		"table head":      {html("<table><tr><th>a</th><th>b</th></tr></table>"), html("<table><tbody><tr><td>a</td><td>b</td><td></td></tr></tbody></table>")},
		"image addresses": {html(`<img src="https://dev.azure.com/contoso/p/_apis/wit/attachments/` + guid + `?fileName=a.png">`), html(`<img alt=x src="https://contoso.visualstudio.com/0b1c/_apis/wit/attachments/1D2C3B4A-aaaa-bbbb-cccc-ddddeeeeffff">`)},
		"rendered images": {html(`<img src="https://dev.azure.com/contoso/p/_apis/wit/attachments/` + guid + `?fileName=a.png">`), html("<img src='\x06/" + guid + "?fileName=b.png'>")},
		"Alvao's images":  {fromAlvao(`a <img src="cid:1.png">`, richtext.HTML), fromAlvao(`a <img src="/doc/77">`, richtext.HTML)},
	} {
		if diff := cmp.Diff(c.Read(pair[0]).Normal(), c.Read(pair[1]).Normal()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// What a person changes does.
func TestNormalSeesChanges(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	html := func(s string) richtext.Source { return fromDevOps(s, richtext.HTML) }
	image := func(n string) richtext.Source {
		return html(`<img src="https://dev.azure.com/contoso/p/_apis/wit/attachments/1d2c3b4a-aaaa-bbbb-cccc-ddddeeeefff` + n + `">`)
	}
	for name, pair := range map[string][2]richtext.Source{
		"a word":        {html("a b"), html("a c")},
		"letter case":   {html("a"), html("A")},
		"a line":        {html("a<br>b"), html("a b")},
		"struck out":    {html("a b"), html("a <s>b</s>")},
		"a link":        {html(`<a href="https://a.cz/1">x</a>`), html(`<a href="https://a.cz/2">x</a>`)},
		"a list":        {html("<ul><li>a</li></ul>"), html("<p>a</p>")},
		"a quote":       {html("<blockquote>a</blockquote>"), html("<p>a</p>")},
		"a cell":        {html("<table><tr><td>a</td><td>b</td></tr></table>"), html("<table><tr><td>a b</td><td></td></tr></table>")},
		"code's indent": {html("<pre>a\n  b</pre>"), html("<pre>a\nb</pre>")},
		"an image":      {image("0"), image("1")},
		"image gone":    {html("a"), html("a <img src='cid:x'>")},
		"a word joined": {html("ab"), html("a b")},
	} {
		if c.Read(pair[0]).Normal() == c.Read(pair[1]).Normal() {
			t.Errorf("%s: both are %q", name, c.Read(pair[0]).Normal())
		}
	}
}

func TestPlainText(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	src := fromDevOps("**Hello** [there](https://a.cz)\n\n- 👨‍👩‍👧‍👦x\n", richtext.Markdown)
	for limit, want := range map[int]string{
		0: "Hello there (https://a.cz)\n\n- 👨‍👩‍👧‍👦x", 1: "…", 6: "Hello…", 9: "Hello…", 12: "Hello there…", 50: "Hello there (https://a.cz)\n\n- 👨‍👩‍👧‍👦x", 33: "Hello there (https://a.cz)\n\n-…",
	} {
		if got := c.PlainText(src, limit); got != want {
			t.Errorf("at most %d: %q, want %q", limit, got, want)
		}
	}
}

// What a browser reads so must be read so: an inline element that ends late or early
// tears no paragraph, and undoes what it did.
func TestCrossingTags(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	for text, want := range map[string]string{
		"<b><p>one</b>two":                                         "<p><strong>one</strong>two</p>",
		"<a href='https://a.cz/'><p>one</a>two":                    `<p><a href="https://a.cz/">one</a>two</p>`,
		"<i><ul><li>a</i>b<li>c</ul>":                              "<ul>\n<li><em>a</em>b</li>\n<li>c</li>\n</ul>",
		"<s><div>a<u>b</s>c</u>d</div>":                            "<p><s>a</s><s><u>b</u></s><u>c</u>d</p>",
		"<sup><p>2</sup>x":                                         "<p>²x</p>",
		"<span hidden><p>a</span>b":                                "<p>b</p>",
		"<b><h2>a</b>b</h2>c":                                      "<h2><strong>a</strong>b</h2>\n<p>c</p>",
		`<a href="https://a.cz/#data:image/png;base64,aGk=">x</a>`: `<p><a href="https://a.cz/#data:image/png;base64,aGk=">x</a></p>`,
	} {
		if got := c.Convert(richtext.Source{Text: text, Format: richtext.HTML}, richtext.Target{Format: richtext.HTML}).Text; got != want {
			t.Errorf("%s became %q, want %q", text, got, want)
		}
	}
}

func TestMentioned(t *testing.T) {
	t.Parallel()
	const one, other = "8c8c7d32-6b1b-47f4-b2e9-30b477b5ab3d", "1601de0c-4613-60d7-a201-537155816713"
	text := "@<" + strings.ToUpper(one) + "> and @<" + other + ">, @<" + one + ">, @<x> @" + other
	if diff := cmp.Diff([]string{one, other}, richtext.Mentioned(richtext.Source{Text: text, Format: richtext.Markdown})); diff != "" {
		t.Error(diff)
	}
	if got := richtext.Mentioned(richtext.Source{Text: text, Format: richtext.HTML}); got != nil {
		t.Errorf("in HTML: %v", got)
	}
	var many strings.Builder
	for i := range 200 {
		fmt.Fprintf(&many, "@<%08d-0000-4000-8000-000000000000>", i)
	}
	if got := len(richtext.Mentioned(richtext.Source{Text: many.String(), Format: richtext.Markdown})); got != 40 {
		t.Errorf("%d people of one text", got)
	}
}
