package template

import (
	"html"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"
)

// Target says what a template is rendered for.
type Target int

// The targets.
const (
	// Text is plain text of several lines.
	Text Target = iota
	// Line is one line of at most LineLimit characters, as work item titles and
	// other string fields hold it; what is cut off is shown by an ellipsis.
	Line
	// HTML is markup for a rich text field.
	HTML
	// Value is one line for a machine (a number, a date, a path, a person): nothing
	// is cut off and dates are RFC 3339 in UTC.
	Value
)

// LineLimit is how many characters a string field of a work item holds (Azure
// DevOps: Work item field index). They are counted as .NET counts them, in UTF-16
// code units.
const LineLimit = 255

// Render fills the template in. The result is valid UTF-8 without control
// characters other than line breaks and tabs.
func (t Template) Render(d Data, target Target) string {
	var b strings.Builder
	for _, s := range t.segments {
		switch {
		case s.value != nil:
			b.WriteString(d.write(s.value(d), target))
		case target == HTML:
			b.WriteString(literalHTML(s.literal))
		default:
			b.WriteString(dropBold(s.literal))
		}
	}
	text := clean(b.String())
	switch target {
	case Line:
		// Before it is cut: half a secret is not known for one.
		return shorten(d.redacted(oneLine(text), target), LineLimit)
	case Value:
		return oneLine(text)
	case Text:
		return d.redacted(strings.TrimSpace(text), target)
	case HTML:
		return d.redacted(text, target)
	default:
		return text
	}
}

// write turns one value into the target's form.
func (d Data) write(c content, target Target) string {
	if !c.at.IsZero() {
		if target == Value {
			return c.at.UTC().Format(time.RFC3339)
		}
		c.text = d.date(c.at)
	}
	switch {
	case c.markup == "", target != HTML && c.text != "":
	case d.Texts == nil:
		c.text = c.markup
	case target == HTML:
		return d.Texts.HTML(c.markup)
	default:
		return d.Texts.Plain(c.markup)
	}
	if target == HTML {
		return escape(c.text)
	}
	return c.text
}

// escape makes plain text safe in HTML and keeps its lines.
func escape(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.ReplaceAll(html.EscapeString(text), "\n", "<br>")
}

// literalHTML escapes the template's own text but for <b> and </b>.
func literalHTML(text string) string {
	return eachBold(text, escape, strings.ToLower)
}

func dropBold(text string) string {
	return eachBold(text, func(s string) string { return s }, func(string) string { return "" })
}

// eachBold cuts text at <b> and </b> and treats the tags apart from the rest.
func eachBold(text string, rest, tag func(string) string) string {
	var b strings.Builder
	from := 0
	for i := 0; i < len(text); i++ {
		if text[i] != '<' {
			continue
		}
		for _, t := range []string{"<b>", "</b>"} {
			if i+len(t) <= len(text) && strings.EqualFold(text[i:i+len(t)], t) {
				b.WriteString(rest(text[from:i]))
				b.WriteString(tag(t))
				from = i + len(t)
				i = from - 1
				break
			}
		}
	}
	b.WriteString(rest(text[from:]))
	return b.String()
}

// clean drops what no field accepts.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, text)
}

// oneLine joins lines and collapses blanks.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// shorten cuts text to at most limit UTF-16 code units, between characters, with
// an ellipsis in the last place.
func shorten(text string, limit int) string {
	units, cut := 0, 0
	for i, r := range text {
		if units <= limit-1 {
			cut = i
		}
		units += utf16.RuneLen(r)
		if units > limit {
			return strings.TrimRightFunc(text[:cut], unicode.IsSpace) + "…"
		}
	}
	return text
}
