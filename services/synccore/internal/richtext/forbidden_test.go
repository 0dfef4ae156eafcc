package richtext_test

import (
	"bytes"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	goldhtml "github.com/yuin/goldmark/renderer/html"
	"golang.org/x/net/html"

	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
)

var (
	linkedNumber = regexp.MustCompile(`#[0-9]`)
	typedMention = regexp.MustCompile(`(?:^|[^\p{L}\p{N}])@[^\s\pZ\x{2060}]`)
)

// fataler is a test, of this package or of rapid.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// forbidden says what a text holds that must never cross; empty for nothing. It is
// written apart from the code under test, and on a browser's way of reading: what
// the page would hold is what counts. Markdown is rendered with all its HTML.
func forbidden(tb fataler, text string, format richtext.Format) string {
	tb.Helper()
	page := text
	if format == richtext.Markdown {
		var b bytes.Buffer
		md := goldmark.New(goldmark.WithExtensions(extension.GFM), goldmark.WithRendererOptions(goldhtml.WithUnsafe(), goldhtml.WithHardWraps()))
		if err := md.Convert([]byte(text), &b); err != nil {
			tb.Fatal(err)
		}
		page = b.String()
	}
	root, err := html.Parse(strings.NewReader(page))
	if err != nil {
		return fmt.Sprintf("what can't be parsed (%v)", err)
	}
	return forbiddenIn(root, false)
}

func forbiddenIn(n *html.Node, quiet bool) string {
	switch n.Type {
	case html.TextNode:
		if !quiet && linkedNumber.MatchString(n.Data) {
			return fmt.Sprintf("a link to a work item in %q", n.Data)
		}
		if !quiet && typedMention.MatchString(n.Data) {
			return fmt.Sprintf("a mention in %q", n.Data)
		}
	case html.CommentNode, html.DoctypeNode:
		return "a comment"
	case html.ElementNode:
		switch n.Data {
		case "html", "head", "body", "p", "br", "div", "ul", "ol", "li", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
			"strong", "em", "u", "s", "del", "table", "thead", "tbody", "tr", "th", "td":
		case "pre", "code":
			quiet = true
		case "a", "img":
			// An address shown as its own link is quiet, too.
			quiet = true
		default:
			return "an element " + n.Data
		}
		for _, a := range n.Attr {
			if bad := forbiddenAttribute(n.Data, a); bad != "" {
				return bad
			}
		}
	case html.DocumentNode, html.ErrorNode, html.RawNode:
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		if bad := forbiddenIn(c, quiet); bad != "" {
			return bad
		}
	}
	return ""
}

func forbiddenAttribute(element string, a html.Attribute) string {
	switch element + " " + a.Key {
	case "ol start", "td colspan", "td rowspan", "th colspan", "th rowspan", "td align", "th align", "img alt":
		return ""
	case "table border":
		return ""
	case "code class":
		if strings.HasPrefix(a.Val, "language-") {
			return ""
		}
	case "img src":
		if strings.HasPrefix(a.Val, "tandem-image:") {
			return ""
		}
	case "a href":
		u, err := url.Parse(a.Val)
		if err == nil && slices.Contains([]string{"http", "https", "mailto"}, u.Scheme) {
			return ""
		}
	}
	return fmt.Sprintf("%s %s=%q", element, a.Key, a.Val)
}
