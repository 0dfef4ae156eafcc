package richtext

import (
	"regexp"

	"github.com/microcosm-cc/bluemonday"
)

var (
	allowedHref        = regexp.MustCompile(`^(?i:https?://|mailto:)`)
	allowedPlaceholder = regexp.MustCompile(`^` + placeholder + `[0-9]+$`)
	allowedLanguage    = regexp.MustCompile(`^language-[0-9A-Za-z+#_-]{1,30}$`)
	allowedNumber      = regexp.MustCompile(`^[0-9]{1,9}$`)
	allowedBorder      = regexp.MustCompile(`^1$`)
)

// newPolicy is what HTML may hold when it leaves: structure, links of people and
// placeholders of images. No style, class, id, script, handler, form, frame, data.
func newPolicy() *bluemonday.Policy {
	p := bluemonday.NewPolicy()
	p.AllowElements(
		"p", "br", "div", "span", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "code", "hr",
		"b", "strong", "i", "em", "u", "s", "table", "thead", "tbody", "tr", "th", "td",
	)
	p.AllowAttrs("start").Matching(allowedNumber).OnElements("ol")
	p.AllowAttrs("colspan", "rowspan").Matching(allowedNumber).OnElements("td", "th")
	p.AllowAttrs("border").Matching(allowedBorder).OnElements("table")
	p.AllowAttrs("class").Matching(allowedLanguage).OnElements("code")
	p.AllowAttrs("href").Matching(allowedHref).OnElements("a")
	p.AllowAttrs("src").Matching(allowedPlaceholder).OnElements("img")
	p.AllowAttrs("alt").OnElements("img")
	p.RequireParseableURLs(true)
	p.AllowURLSchemes("http", "https", "mailto", placeholderScheme)
	return p
}
