package richtext_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
)

const cardMark = "[redacted: card number]"

// token is a made-up one of GitHub's form.
func token() string { return "ghp_" + strings.Repeat("aB3", 12) }

func pem() string {
	return "-----BEGIN " + "PRIVATE KEY-----|" + strings.Repeat(strings.Repeat("MIIEvAIB", 8)+"|", 4) + "aGVsbG8=|-----END PRIVATE KEY-----"
}

func TestWhatMustNotBeShownIsTakenOut(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	shipped := redact.New(true, nil, nil)
	for _, tc := range []struct {
		name   string
		format richtext.Format
		text   string
		// html and plain are what is left.
		html string
	}{
		{"plain words", richtext.HTML, "<p>Hello <b>you</b></p>", "<p>Hello <strong>you</strong></p>"},
		{"in one piece", richtext.HTML, "<p>pay with 4111111111111111, thanks</p>", "<p>pay with " + cardMark + ", thanks</p>"},
		{"divided by tags", richtext.HTML, "<p>4111 <b>1111</b> 11<i>11</i> 1111!</p>", "<p>" + cardMark + "!</p>"},
		{"divided by a raised piece", richtext.HTML, "<p>4111<sup>1111</sup>1111<sub>1111</sub> m<sup>2</sup></p>", "<p>" + cardMark + " m²</p>"},
		{"torn by tags that cross", richtext.HTML, "<b><p>4111</b>111111111111", "<p><strong>" + cardMark + "</strong></p>"},
		{"divided by entities", richtext.HTML, "<p>4111&nbsp;1111&#160;1111&#32;11&#49;1</p>", "<p>" + cardMark + "</p>"},
		{"divided by signs of no width", richtext.HTML, "<p>4111&#8203;1111&shy;1111<wbr>1111</p>", "<p>" + cardMark + "</p>"},
		{"begun bold", richtext.HTML, "<p><b>no 4111</b>111111111111 ok</p>", "<p><strong>no " + cardMark + "</strong> ok</p>"},
		{"in code", richtext.HTML, "<p>run <code>login " + token() + "</code></p>", "<p>run <code>login [redacted: GitHub token]</code></p>"},
		{"in preformatted text", richtext.HTML, "<pre>export T=" + token() + "\nls</pre>", "<pre><code>export T=[redacted: GitHub token]\nls</code></pre>"},
		{"in a table", richtext.HTML, "<table><tr><td>card</td><td>4111111111111111</td></tr></table>", "<table border=\"1\">\n<tbody>\n<tr><td>card</td><td>" + cardMark + "</td></tr>\n</tbody>\n</table>"},
		{"over several lines", richtext.HTML, "<p>key:<br>" + strings.ReplaceAll(pem(), "|", "<br>") + "<br>bye</p>", "<p>key:<br>\n[redacted: private key]<br>\nbye</p>"},
		{"over several paragraphs", richtext.HTML, "<p>key:</p><p>" + strings.ReplaceAll(pem(), "|", "</p><p>") + "</p><p>bye</p>", "<p>key:</p>\n<p>[redacted: private key]</p>\n<p>bye</p>"},
		{"over items", richtext.HTML, "<ul><li>a</li><li>" + strings.ReplaceAll(pem(), "|", "</li><li>") + "</li></ul>", "<ul>\n<li>a</li>\n<li>[redacted: private key]</li>\n</ul>"},
		{
			"in an address", richtext.HTML, `<p>see <a href="https://x.cz/?t=` + token() + `&a=1">here</a>.</p>`,
			"<p>see here [redacted: GitHub token].</p>",
		},
		{
			"in an escaped address", richtext.HTML, `<p><a href="https://x.cz/4111%201111%201111%201111">pay</a> <a href="https://x.cz/?c=4111+1111+1111+1111">now</a></p>`,
			"<p>pay " + cardMark + " now " + cardMark + "</p>",
		},
		{"in a bare address", richtext.HTML, "<p>https://x.cz/?t=" + token() + "</p>", "<p>https://x.cz/?t=[redacted: GitHub token]</p>"},
		{"another link stays", richtext.HTML, `<p>4111111111111111 <a href="https://x.cz/">x</a></p>`, `<p>` + cardMark + ` <a href="https://x.cz/">x</a></p>`},
		{
			"in an alternative text", richtext.HTML, `<p><img src="/AlvaoRestApi/v1/attachments/7" alt="4111 1111 1111 1111"></p>`,
			`<p><img src="https://a.cz/1" alt="` + cardMark + `"></p>`,
		},
		{"in a note about an image", richtext.HTML, `<p><img src="https://evil.cz/4111111111111111.png"></p>`, "<p>[image not carried over: " + cardMark + ".png (evil.cz)]</p>"},
		{"in Markdown", richtext.Markdown, "the **4111** 1111 1111 1111\n\n```\n" + strings.ReplaceAll(pem(), "|", "\n") + "\n```", "<p>the <strong>" + cardMark + "</strong></p>\n<pre><code>[redacted: private key]</code></pre>"},
		{"in plain text", richtext.Plain, "a\nAuthorization: Bearer " + strings.Repeat("x1", 10) + "\nb", "<p>a<br>\nAuthorization: Bearer [redacted: authorization header]<br>\nb</p>"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			src := fromAlvao(tc.text, tc.format)
			normal := c.Read(src).Normal()
			src.Redact = shipped
			got := c.Convert(src, richtext.Target{Format: richtext.HTML})
			if diff := cmp.Diff(tc.html, got.WithImages(at("https://a.cz/1"))); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if c.Read(src).Normal() != normal {
				t.Error("what the author said is something else now")
			}
			for _, image := range got.Images {
				if len(shipped.Find(image.Name)) > 0 {
					t.Errorf("an image is called %s", image.Name)
				}
			}
		})
	}
}

func TestFullTextIsRedactedToo(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	src := fromAlvao("<p>"+strings.Repeat("word ", 3000)+"</p><p>4111 <b>1111</b> 1111 1111</p>", richtext.HTML)
	src.Redact = redact.New(true, nil, nil)
	got := c.Convert(src, richtext.Target{Format: richtext.Markdown, Max: 9000})
	if !got.Truncated || strings.Contains(got.Full, "1111") || !strings.Contains(got.Full, cardMark) {
		t.Errorf("truncated %v, the full text ends in %q", got.Truncated, got.Full[max(0, len(got.Full)-100):])
	}
	if plain := c.PlainText(src, 0); strings.Contains(plain, "1111") {
		t.Error("the plain text shows it")
	}
}

func TestFieldsAreLeftAloneUnlessTheyHoldASecret(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	shipped := redact.New(true, nil, nil)
	for text, want := range map[string]string{
		`<div style="x"><b>Hello</b><img src="/a.png"></div>`: `<div style="x"><b>Hello</b><img src="/a.png"></div>`,
		`<div>4111<b>1111</b>11111111</div>`:                  "<p>" + cardMark + "</p>",
		`<div title="4111111111111111">Hello</div>`:           "<p>Hello</p>",
		`<a href="https://x.cz/4111111111111111">Hello</a>`:   "<p>Hello " + cardMark + "</p>",
		`<pre>411111&#8203;1111111111</pre>`:                  "<pre><code>" + cardMark + "</code></pre>",
		``:                                                    ``,
	} {
		if got := c.RedactHTML(richtext.Source{Text: text, Format: richtext.HTML, Redact: shipped}); strings.TrimSpace(got) != want {
			t.Errorf("%q became %q", text, got)
		}
		if got := c.RedactHTML(richtext.Source{Text: text, Format: richtext.HTML}); got != text {
			t.Errorf("with nothing to look for, %q became %q", text, got)
		}
	}
}

// Whatever is around and inside of a secret, and whatever the patterns take out,
// nothing of it is left, the markup holds, and what is left says the same on the other
// side.
func TestRedactedTextsHold(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	var greedy []redact.Pattern
	for _, text := range []string{`(?s)word.*`, `\s+a`, `[\s\S]B`, `[0-9]`, `\x{fffc}`, `https?://\S+`} {
		p, err := redact.NewPattern("own", text)
		if err != nil {
			t.Fatal(err)
		}
		greedy = append(greedy, p)
	}
	rapid.Check(t, func(t *rapid.T) {
		src := source().Draw(t, "source")
		secret := rapid.SampledFrom([]string{"4111111111111111", token()}).Draw(t, "secret")
		if src.Format == richtext.HTML {
			at := rapid.IntRange(1, len(secret)-1).Draw(t, "divided")
			secret = secret[:at] + rapid.SampledFrom([]string{"", "<b>", "</b>", "<span>", "</i>", "&#8203;", "<u></u>", "<sup>", "</sub>"}).Draw(t, "by") + secret[at:]
		}
		if src.Format == richtext.HTML {
			// It isn't to begin within a tag that was never ended.
			src.Text += ">"
		}
		src.Text += " " + secret + " "
		src.Redact = redact.New(true, nil, nil)
		if rapid.Bool().Draw(t, "greedy") {
			src.Redact = redact.New(true, nil, greedy)
		}
		for _, format := range []richtext.Format{richtext.HTML, richtext.Markdown} {
			got := c.Convert(src, richtext.Target{Format: format})
			if bad := forbidden(t, got.Text, format); bad != "" {
				t.Fatalf("%s holds %s:\n%s", format, bad, got.Text)
			}
			back := richtext.Source{Text: got.WithImages(nil), Format: format}
			if plain := c.PlainText(back, 0); strings.Contains(plain, "41111111") || strings.Contains(plain, "aB3aB3aB3aB3") {
				t.Fatalf("%s shows the secret:\n%s", format, plain)
			}
			if len(got.Images) > 0 {
				continue
			}
			there := c.Convert(richtext.Source{Text: got.Text, Format: format}, richtext.Target{Format: richtext.HTML})
			if diff := cmp.Diff(c.Read(richtext.Source{Text: got.Text, Format: format}).Normal(), c.Read(richtext.Source{Text: there.Text, Format: richtext.HTML}).Normal()); diff != "" {
				t.Fatalf("%s says something else after another way (-once +twice):\n%s\n%s", format, diff, got.Text)
			}
		}
	})
}

func FuzzRedact(f *testing.F) {
	f.Add("<p>4111 <b>1111</b> 1111 1111 <a href='https://x.cz/?"+token()+"'>x</a></p>", `(?s)x.*`)
	f.Add("<ul><li>a<li>b</ul><img src=cid:a.png alt=4111111111111111>", `\s`)
	c := richtext.New()
	f.Fuzz(func(t *testing.T, text, own string) {
		p, err := redact.NewPattern("own", own)
		if err != nil {
			return
		}
		for _, format := range []richtext.Format{richtext.HTML, richtext.Markdown, richtext.Plain} {
			src := fromAlvao(text, format)
			src.Redact = redact.New(true, nil, []redact.Pattern{p})
			for _, to := range []richtext.Format{richtext.HTML, richtext.Markdown} {
				got := c.Convert(src, richtext.Target{Format: to, Max: 5000})
				if bad := forbidden(t, got.Text, to); bad != "" {
					t.Fatalf("%s holds %s:\n%s", to, bad, got.Text)
				}
			}
		}
	})
}
