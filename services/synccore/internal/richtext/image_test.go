package richtext_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
)

// at are places with these addresses.
func at(addresses ...string) []richtext.Place {
	places := make([]richtext.Place, len(addresses))
	for i, address := range addresses {
		places[i].Address = address
	}
	return places
}

// Pasted images share one name: each note is about its own.
func TestNotesAreAboutOneImageEach(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	src := fromAlvao(`<p>a <img src="cid:image.png@1"> b <img src="cid:image.png@2"></p>`, richtext.HTML)
	places := []richtext.Place{{}, {Attached: true}}
	for format, want := range map[richtext.Format]string{
		richtext.HTML:     `<p>a [image not carried over: image.png] b [image attached: image.png]</p>`,
		richtext.Markdown: `a \[image not carried over: image.png\] b \[image attached: image.png\]`,
	} {
		if diff := cmp.Diff(want, c.Convert(src, richtext.Target{Format: format}).WithImages(places)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestWithImages(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	src := fromAlvao(`<p>a <img src="cid:1.png" alt="one &quot;1&quot; [x]"> b <img src="cid:2.png"> c <img src="cid:1.png"></p>`+
		`<pre>![x](tandem-image:0) &lt;img src="tandem-image:0" alt=""&gt;</pre><p>![x](tandem-image:1) <code>![x](tandem-image:1)</code></p>`, richtext.HTML)
	for _, tc := range []struct {
		name      string
		format    richtext.Format
		addresses []string
		want      string
	}{
		{"filled in HTML", richtext.HTML, []string{"https://x.cz/a?b=1&c=2", "https://x.cz/2"}, `<p>a <img src="https://x.cz/a?b=1&amp;c=2" alt="one &#34;1&#34; [x]"> b <img src="https://x.cz/2" alt=""> c <img src="https://x.cz/a?b=1&amp;c=2" alt=""></p>
<pre><code>![x](tandem-image:0) &lt;img src=&#34;tandem-image:0&#34; alt=&#34;&#34;&gt;</code></pre>
<p>![x](tandem-image:1) <code>![x](tandem-image:1)</code></p>`},
		{"filled in Markdown", richtext.Markdown, []string{"https://x.cz/a(1).png?b=1&c=2", "https://x.cz/2"}, "a ![one \"1\" \\[x\\]](https://x.cz/a%281%29.png?b=1&amp;c=2) b ![](https://x.cz/2) c ![](https://x.cz/a%281%29.png?b=1&amp;c=2)\n\n" +
			"```\n![x](tandem-image\u2060:0) <img src=\"tandem-image\u2060:0\" alt=\"\">\n```\n\n!\\[x\\](tandem-image:1) `![x](tandem-image\u2060:1)`"},
		{"not carried over in HTML", richtext.HTML, nil, `<p>a [image not carried over: 1.png] b [image not carried over: 2.png] c [image not carried over: 1.png]</p>
<pre><code>![x](tandem-image:0) &lt;img src=&#34;tandem-image:0&#34; alt=&#34;&#34;&gt;</code></pre>
<p>![x](tandem-image:1) <code>![x](tandem-image:1)</code></p>`},
		{"not carried over in Markdown", richtext.Markdown, []string{"javascript:alert(1)", ""}, "a \\[image not carried over: 1.png\\] b \\[image not carried over: 2.png\\] c \\[image not carried over: 1.png\\]\n\n" +
			"```\n![x](tandem-image\u2060:0) <img src=\"tandem-image\u2060:0\" alt=\"\">\n```\n\n!\\[x\\](tandem-image:1) `![x](tandem-image\u2060:1)`"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, c.Convert(src, richtext.Target{Format: tc.format}).WithImages(at(tc.addresses...))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestInlinedImages(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	for src, want := range map[string]string{
		"data:image/png;base64,aGVsbG8=":      "image/png hello",
		"data:image/JPG;base64,aGVs\nbG8":     "image/jpeg hello",
		"DATA:image/gif;base64,aGVsbG8=":      "image/gif hello",
		"data:image/png;base64,####":          "image/png? no",
		"data:image/svg+xml;base64,aGVsbG8=":  "",
		"data:text/html;base64,aGVsbG8=":      "",
		"data:image/png,hello":                "",
		"data:image/png;base64,":              "image/png? no",
		"data:image/webp;base64,aGVs bG8":     "image/webp hello",
		"data:image/png;x=1;base64,aGVsbG8=":  "",
		"data:image/svg+xml,<svg onload=x />": "",
	} {
		list := c.Convert(fromAlvao(`<img src="`+src+`">`, richtext.HTML), richtext.Target{Format: richtext.HTML}).Images
		got := ""
		for _, img := range list {
			content, kind, ok := img.Inlined()
			got = fmt.Sprintf("%s %s", kind, content)
			if !ok {
				got = "image/png? no"
			}
		}
		if got != want {
			t.Errorf("%q gives %q, want %q", src, got, want)
		}
	}
}

// Our token is sent to nobody but the system's own attachments.
func TestImagesFromElsewhere(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	const guid = "1d2c3b4a-aaaa-bbbb-cccc-ddddeeeeffff"
	for src, want := range map[string]bool{
		"https://dev.azure.com/contoso/p/_apis/wit/attachments/" + guid + "?fileName=a.png":  true,
		"https://DEV.azure.com/contoso/p/_apis/wit/attachments/" + guid:                      true,
		"https://contoso.visualstudio.com/p/_apis/wit/attachments/" + guid:                   true,
		"/contoso/p/_apis/wit/attachments/" + guid:                                           true,
		"\x06/" + guid + "?fileName=a.png":                                                   true,
		"https://dev.azure.com/contoso/p/_apis/wit/workitems/1":                              false,
		"https://dev.azure.com/contoso/_apis/projects?x=/_apis/wit/attachments/" + guid:      false,
		"https://dev.azure.com/contoso/p/_apis/wit/attachments/" + guid + "/../../workitems": false,
		"https://dev.azure.com/fabrikam/p/_apis/wit/attachments/" + guid:                     false,
		"https://dev.azure.com/contosoevil/p/_apis/wit/attachments/" + guid:                  false,
		"http://dev.azure.com/contoso/p/_apis/wit/attachments/" + guid:                       false,
		"https://dev.azure.com:8443/contoso/p/_apis/wit/attachments/" + guid:                 false,
		"https://dev.azure.com@evil.example/contoso/p/_apis/wit/attachments/" + guid:         false,
		"https://x@dev.azure.com/contoso/p/_apis/wit/attachments/" + guid:                    false,
		"//evil.example/contoso/p/_apis/wit/attachments/" + guid:                             false,
		"https://dev.azure.com.evil.example/contoso/" + guid:                                 false,
		"https://dev.azure.com/contoso/../fabrikam/x.png":                                    false,
		"https://dev.azure.com/contoso/%2e%2e/fabrikam/x.png":                                false,
		`https://dev.azure.com\@evil.example/contoso/x.png`:                                  false,
		"file:///etc/passwd":                                         false,
		"gopher://dev.azure.com/contoso/x":                           false,
		"http://169.254.169.254/latest/meta-data":                    false,
		"http://[::ffff:127.0.0.1]/contoso/x.png":                    false,
		"http://2130706433/contoso/x.png":                            false,
		"blob:https://dev.azure.com/contoso/x":                       false,
		"tandem-image:0":                                             false,
		"tandem-inlined:0":                                           false,
		"\x06/nothing":                                               false,
		"about:blank":                                                false,
		"https://dev.azure.com/contoso/" + strings.Repeat("x", 3000): false,
	} {
		result := c.Convert(fromDevOps(`<p>x<img src="`+src+`"></p>`, richtext.HTML), richtext.Target{Format: richtext.HTML})
		if got := len(result.Images) == 1; got != want {
			t.Errorf("%q is carried over: %v, want %v (%s)", src, got, want, result.Text)
		}
		if !want && !strings.Contains(result.Text, "[image not carried over") {
			t.Errorf("%q leaves no note: %s", src, result.Text)
		}
	}
}

func TestImageNames(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	for src, want := range map[string]string{
		"cid:a.png@1": "a.png", "cid:image": "image-1.png", `x?fileName=..\..\evil/..%2Fx.png`: "evil_.._x.png", "x?fileName=" + strings.Repeat("ž", 300) + ".png": strings.Repeat("ž", 48) + ".png",
		"a%20b.jpg": "a b.jpg", "x?fileName=%00%0Aa.png": "a.png", "con%3Aa.png": "con_a.png",
		"data:image/jpeg;base64,aGVsbG8=": "image-1.jpg",
	} {
		list := c.Convert(fromAlvao(`<img src="`+src+`">`, richtext.HTML), richtext.Target{Format: richtext.HTML}).Images
		if len(list) != 1 || list[0].Name != want {
			t.Errorf("%q gives %+v, want the name %q", src, list, want)
		}
	}
}

func TestManyImages(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	var b strings.Builder
	for i := range 130 {
		fmt.Fprintf(&b, `<img src="cid:%d.png">`, i)
	}
	result := c.Convert(fromAlvao(b.String(), richtext.HTML), richtext.Target{Format: richtext.HTML})
	if len(result.Images) != 100 || !strings.Contains(result.Text, "[30 more images not carried over]") {
		t.Errorf("%d images, %s", len(result.Images), result.Text[len(result.Text)-100:])
	}
}

// The line that ends code is no part of an image's content before it.
func TestInlinedImageInCode(t *testing.T) {
	t.Parallel()
	c := richtext.New()
	got := c.Convert(fromDevOps("```\ndata:image/png;base64,aGVsbG8=\n```\nafter", richtext.Markdown), richtext.Target{Format: richtext.HTML})
	if want := "<pre><code>data:image/png;base64,aGVsbG8=</code></pre>\n<p>after</p>"; got.Text != want {
		t.Errorf("it became %q", got.Text)
	}
}
