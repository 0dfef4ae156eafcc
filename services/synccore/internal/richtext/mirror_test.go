package richtext_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
)

func header() richtext.Header {
	return richtext.Header{
		Reference: richtext.Reference{System: item.Alvao, Item: 1001, Message: 9001},
		Author:    "Jana Dvořáková", Kind: "e-mail", Label: "T1001SD", URL: "https://contoso.onalvao.com/Alvao/Ticket/1001",
		Time: time.Date(2026, 3, 2, 14, 5, 0, 0, time.FixedZone("CET", 3600)),
	}
}

func headers() *rapid.Generator[richtext.Header] {
	return rapid.Custom(func(t *rapid.T) richtext.Header {
		version := rapid.IntRange(0, 100).Draw(t, "version")
		if version == 1 {
			version = 0
		}
		return richtext.Header{
			Reference: richtext.Reference{
				System: rapid.SampledFrom([]item.System{item.Alvao, item.AzureDevOps}).Draw(t, "system"),
				Item:   rapid.Int64Range(0, 999_999_999_999_999_999).Draw(t, "item"), Message: rapid.Int64Range(0, 999_999_999_999_999_999).Draw(t, "message"),
				Version: version, Notice: rapid.Bool().Draw(t, "notice"),
			},
			Author: scraps().Draw(t, "author"), Kind: scraps().Draw(t, "kind"), Label: scraps().Draw(t, "label"),
			URL:  rapid.OneOf(scraps(), rapid.Just("https://contoso.com/x_y(1)?a=1&b=2")).Draw(t, "url"),
			Time: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "time"), 0).In(time.FixedZone(rapid.SampledFrom([]string{"CET", "", "x y"}).Draw(t, "zone"), rapid.IntRange(-40000, 40000).Draw(t, "offset"))),
		}
	})
}

func TestMirrorReads(t *testing.T) {
	t.Parallel()
	const html = `<p><strong>Jana Dvořáková</strong> · 2026-03-02 14:05 CET · e-mail · <a href="https://contoso.onalvao.com/Alvao/Ticket/1001">Alvao T1001SD</a></p>
<p>Hi</p>
<p>Copied from Alvao · TANDEM-A1001-R9001-ZMEYSY</p>`
	if diff := cmp.Diff(html, richtext.Mirror(header(), "<p>Hi</p>", richtext.HTML)); diff != "" {
		t.Error(diff)
	}
	const markdown = `**Jana Dvořáková** · 2026-03-02 14:05 CET · e-mail · [Alvao T1001SD](https://contoso.onalvao.com/Alvao/Ticket/1001)

Hi

Copied from Alvao · TANDEM-A1001-R9001-ZMEYSY`
	if diff := cmp.Diff(markdown, richtext.Mirror(header(), "Hi", richtext.Markdown)); diff != "" {
		t.Error(diff)
	}
}

// What Mirror says, Reference reads, whatever stands in between and in the
// names, also after another conversion, and its body is the original's.
func TestMirrorIsRecognised(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	rapid.Check(t, func(t *rapid.T) {
		h := headers().Draw(t, "header")
		src := source().Draw(t, "source")
		for _, format := range []richtext.Format{richtext.HTML, richtext.Markdown} {
			body := c.Convert(src, richtext.Target{Format: format})
			text := richtext.Mirror(h, body.Text, format)
			mirror := richtext.Source{Text: text, Format: format}
			got, ok := c.Read(mirror).Reference()
			if !ok || got != h.Reference {
				t.Fatalf("read %+v, %v from\n%s", got, ok, text)
			}
			if bad := forbidden(t, text, format); bad != "" {
				t.Fatalf("%s holds %s:\n%s", format, bad, text)
			}
			if n := units(text) - units(body.Text); n > 3500 {
				t.Fatalf("the lines have %d characters", n)
			}
			if len(body.Images) == 0 {
				if diff := cmp.Diff(c.Read(src).Normal(), inner(c.Read(mirror).Normal())); diff != "" {
					t.Fatalf("the body says something else (-original +mirror):\n%s\n%s", diff, text)
				}
			}
			plainText := richtext.Source{Text: c.PlainText(mirror, 0), Format: richtext.Plain}
			if got, ok := c.Read(plainText).Reference(); !ok || got != h.Reference {
				t.Fatalf("read %+v, %v from plain\n%s", got, ok, plainText.Text)
			}
		}
	})
}

// inner is what stands between the first and the last line.
func inner(normal string) string {
	_, normal, _ = strings.Cut(normal, "\n")
	if at := strings.LastIndex(normal, "\n"); at >= 0 {
		return normal[:at]
	}
	return ""
}

// A title is read, shown and compared as a first line of the text, save that a mirror
// stays one: systems give records subjects of their own.
func TestTitle(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	for _, format := range []richtext.Format{richtext.HTML, richtext.Markdown, richtext.Plain} {
		src := richtext.Source{Title: " 5 < 6 & <b> @jan\n*x* ", Text: "Body", Format: format}
		if got, want := c.Read(src).Normal(), "5 < 6 & <b> @jan *x*\nBody"; got != want {
			t.Errorf("%s: Normal = %q, want %q", format, got, want)
		}
		if got, want := c.Convert(src, richtext.Target{Format: richtext.HTML}).Text, "<p><strong>5 &lt; 6 &amp; &lt;b&gt; @\u2060jan *x*</strong></p>\n<p>Body</p>"; got != want {
			t.Errorf("%s: HTML = %q, want %q", format, got, want)
		}
	}
	mirror := richtext.Source{Title: "Re: Printer", Text: richtext.Mirror(header(), "<p>Hi</p>", richtext.HTML), Format: richtext.HTML}
	if got, ok := c.Read(mirror).Reference(); !ok || got != header().Reference {
		t.Errorf("a titled mirror reads %+v, %v", got, ok)
	}
	if got, ok := c.Read(richtext.Source{Title: "only this", Format: richtext.HTML}).Reference(); ok {
		t.Errorf("a title alone reads %+v", got)
	}
}

// Whoever answers a mirrored message has text of their own above or below it, or
// quotes it: the answer is no mirror.
func TestQuotingIsNoMirror(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	rapid.Check(t, func(t *rapid.T) {
		format := rapid.SampledFrom([]richtext.Format{richtext.HTML, richtext.Markdown, richtext.Plain}).Draw(t, "format")
		made := format
		if format == richtext.Plain {
			made = richtext.Markdown
		}
		text := richtext.Mirror(headers().Draw(t, "header"), c.Convert(source().Draw(t, "source"), richtext.Target{Format: made}).Text, made)
		own := rapid.StringMatching(`[a-z]{1,20}( [a-z0-9.,]{1,9}){0,5}`).Draw(t, "own")
		quoted := "> " + strings.ReplaceAll(text, "\n", "\n> ")
		break2, open, shut := "\n\n", "", ""
		if format == richtext.HTML {
			break2, open, shut = "", "<p>", "</p>"
			quoted = "<blockquote>" + text + "</blockquote>"
		}
		own = open + own + shut
		for name, reply := range map[string]string{
			"above": own + break2 + text, "below": text + break2 + own, "quoted": quoted,
			"quoted above": own + break2 + quoted, "quoted below": quoted + break2 + own,
			"twice around": own + break2 + text + break2 + own,
		} {
			if ref, ok := c.Read(richtext.Source{Text: reply, Format: format}).Reference(); ok {
				t.Fatalf("%s: taken for the mirror of %+v:\n%s", name, ref, reply)
			}
		}
	})
}

// What the vendors do to a text on the way through their stores.
func TestMirrorSurvivesRewriting(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	h := header()
	html := richtext.Mirror(h, "<p>Body &amp; <b>more</b></p>", richtext.HTML)
	markdown := richtext.Mirror(h, "Body &amp; **more**", richtext.Markdown)
	for name, src := range map[string]richtext.Source{
		"lines in divs":      {Text: strings.NewReplacer("<p>", "<div>", "</p>", "</div>").Replace(html), Format: richtext.HTML},
		"on one line":        {Text: strings.ReplaceAll(html, "\n", ""), Format: richtext.HTML},
		"wrapped":            {Text: "<div class=x>" + html + "</div>", Format: richtext.HTML},
		"entities":           {Text: strings.ReplaceAll(html, "·", "&middot;"), Format: richtext.HTML},
		"hard spaces":        {Text: strings.ReplaceAll(html, " · ", "&nbsp;·&nbsp;"), Format: richtext.HTML},
		"numeric entities":   {Text: strings.ReplaceAll(html, "T", "&#84;"), Format: richtext.HTML},
		"link taken off":     {Text: strings.ReplaceAll(strings.ReplaceAll(html, `<a href="https://contoso.onalvao.com/Alvao/Ticket/1001">`, ""), "</a>", ""), Format: richtext.HTML},
		"link rewritten":     {Text: strings.ReplaceAll(html, "https://contoso", "https://safelinks.example/?u=https://contoso"), Format: richtext.HTML},
		"styled":             {Text: strings.ReplaceAll(html, "<p>", `<p style="margin:0" class="MsoNormal">`), Format: richtext.HTML},
		"breaks":             {Text: strings.NewReplacer("<p>", "", "</p>", "<br><br>").Replace(html), Format: richtext.HTML},
		"upper-case tags":    {Text: strings.NewReplacer("<p>", "<P>", "</p>", "</P>").Replace(html), Format: richtext.HTML},
		"empty lines around": {Text: "<p>&nbsp;</p>" + html + "<div><br></div>", Format: richtext.HTML},
		"windows lines":      {Text: strings.ReplaceAll(markdown, "\n", "\r\n"), Format: richtext.Markdown},
		"rendered":           {Text: c.Convert(richtext.Source{Text: markdown, Format: richtext.Markdown}, richtext.Target{Format: richtext.HTML}).Text, Format: richtext.HTML},
		"spaces added":       {Text: "\n\n" + markdown + "  \n\n", Format: richtext.Markdown},
		"without a body":     {Text: richtext.Mirror(h, "", richtext.HTML), Format: richtext.HTML},
		"empty, in divs":     {Text: strings.NewReplacer("<p>", "<div>", "</p>", "</div>").Replace(richtext.Mirror(h, "", richtext.HTML)), Format: richtext.HTML},
	} {
		got, ok := c.Read(src).Reference()
		if !ok || got != h.Reference {
			t.Errorf("%s: read %+v, %v from\n%s", name, got, ok, src.Text)
		}
		want := "Body & more"
		if strings.Contains(name, "out a body") || strings.Contains(name, "empty, ") {
			want = ""
		}
		if diff := cmp.Diff(want, inner(c.Read(src).Normal())); diff != "" {
			t.Errorf("%s: the body reads otherwise (-want +got):\n%s", name, diff)
		}
	}
}

func TestNearMissesAreNoMirror(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	text := c.PlainText(richtext.Source{Text: richtext.Mirror(header(), "<p>Hi</p>", richtext.HTML), Format: richtext.HTML}, 0)
	if _, ok := c.Read(richtext.Source{Text: text, Format: richtext.Plain}).Reference(); !ok {
		t.Fatalf("not even recognised unchanged:\n%s", text)
	}
	_, afterHeader, _ := strings.Cut(text, "\n")
	for name, s := range map[string]string{
		"another record":  strings.Replace(text, "R9001", "R9002", 1),
		"another ticket":  strings.Replace(text, "A1001-", "A1002-", 1),
		"leading zero":    strings.Replace(text, "R9001", "R09001", 1),
		"another system":  strings.Replace(text, "from Alvao", "from Azure DevOps", 1),
		"other kind":      strings.Replace(text, "R9001", "C9001", 1),
		"lower-case code": strings.Replace(text, "TANDEM-A1001-R9001-Z", "TANDEM-A1001-R9001-z", 1),
		"a word after":    text + " x",
		"a line after":    text + "\nx",
		"no header":       "\n" + afterHeader,
		"only the mark":   text[strings.LastIndex(text, "\n")+1:],
		"quoted header":   "> " + text,
		"no check code":   strings.TrimSuffix(text, "-ZMEYSY"),
		"empty":           "",
	} {
		if s == text {
			t.Fatalf("%s changes nothing", name)
		}
		if ref, ok := c.Read(richtext.Source{Text: s, Format: richtext.Plain}).Reference(); ok {
			t.Errorf("%s: taken for the mirror of %+v", name, ref)
		}
	}
}
