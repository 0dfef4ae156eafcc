package template

import (
	"html"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"github.com/microcosm-cc/bluemonday"
	nethtml "golang.org/x/net/html"
	"golang.org/x/net/html/atom"
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
			b.WriteString(t.write(s.value(d), d, target))
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
func (t Template) write(c content, d Data, target Target) string {
	if !c.at.IsZero() {
		if target == Value {
			return c.at.UTC().Format(time.RFC3339)
		}
		c.text = d.date(c.at)
	}
	switch {
	case target == HTML && c.markup != "":
		return t.policy.Sanitize(c.markup)
	case target == HTML:
		return escape(c.text)
	case c.text == "" && c.markup != "":
		return toText(c.markup)
	default:
		return c.text
	}
}

// newPolicy lets through what formats a message and nothing that runs, loads
// styles or submits. Tables keep their structure.
func newPolicy() *bluemonday.Policy {
	policy := bluemonday.UGCPolicy()
	policy.AllowElements("u", "s")
	policy.RequireNoFollowOnLinks(false)
	return policy
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

// toText makes readable plain text of HTML: paragraphs, rows and items on lines
// of their own, cells apart, nothing of scripts, styles and comments.
func toText(markup string) string {
	// The tokenizer never fails on a string other than by reaching its end.
	z := nethtml.NewTokenizer(strings.NewReader(markup))
	w := textWriter{}
	for {
		switch z.Next() {
		case nethtml.ErrorToken:
			return w.text()
		case nethtml.TextToken:
			w.add(string(z.Text()))
		case nethtml.StartTagToken, nethtml.SelfClosingTagToken:
			name, _ := z.TagName()
			w.open(atom.Lookup(name))
		case nethtml.EndTagToken:
			name, _ := z.TagName()
			w.close(atom.Lookup(name))
		case nethtml.CommentToken, nethtml.DoctypeToken:
		}
	}
}

// textWriter collects the lines of toText.
type textWriter struct {
	lines  []string
	line   strings.Builder
	hidden atom.Atom
	pre    int
}

func (w *textWriter) open(tag atom.Atom) {
	switch tag {
	case atom.Script, atom.Style, atom.Head, atom.Title:
		if w.hidden == 0 {
			w.hidden = tag
		}
	case atom.Body:
		// A head that was never closed ends here.
		w.hidden = 0
	case atom.Br:
		w.flush(true)
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Blockquote, atom.Table, atom.Ul, atom.Ol, atom.Hr:
		w.paragraph()
	case atom.Pre:
		w.paragraph()
		w.pre++
	case atom.Div, atom.Tr, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Dt, atom.Dd:
		w.flush(false)
	case atom.Li:
		w.flush(false)
		w.line.WriteString("- ")
	case atom.Td, atom.Th:
		if w.line.Len() > 0 {
			w.line.WriteString("\t")
		}
	}
}

func (w *textWriter) close(tag atom.Atom) {
	switch tag {
	case w.hidden:
		w.hidden = 0
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Blockquote, atom.Table, atom.Ul, atom.Ol:
		w.paragraph()
	case atom.Pre:
		w.paragraph()
		w.pre = max(0, w.pre-1)
	case atom.Div, atom.Tr, atom.Li, atom.Section, atom.Article, atom.Header, atom.Footer, atom.Dt, atom.Dd:
		w.flush(false)
	}
}

func (w *textWriter) add(text string) {
	if w.hidden != 0 {
		return
	}
	if w.pre > 0 {
		for i, line := range strings.Split(text, "\n") {
			if i > 0 {
				w.flush(true)
			}
			w.line.WriteString(line)
		}
		return
	}
	words := strings.Join(strings.Fields(text), " ")
	soFar := w.line.String()
	gapBefore := soFar != "" && !strings.HasSuffix(soFar, " ") && !strings.HasSuffix(soFar, "\t")
	if text != "" && unicode.IsSpace([]rune(text)[0]) && gapBefore {
		w.line.WriteByte(' ')
	}
	w.line.WriteString(words)
	if words != "" && strings.TrimRightFunc(text, unicode.IsSpace) != text {
		w.line.WriteByte(' ')
	}
}

// flush ends the line; an empty one is kept only if it was asked for.
func (w *textWriter) flush(keepEmpty bool) {
	line := strings.TrimRightFunc(w.line.String(), unicode.IsSpace)
	w.line.Reset()
	if line != "" || keepEmpty {
		w.lines = append(w.lines, line)
	}
}

// paragraph ends the line and leaves one empty line behind it.
func (w *textWriter) paragraph() {
	w.flush(false)
	if n := len(w.lines); n > 0 && w.lines[n-1] != "" {
		w.lines = append(w.lines, "")
	}
}

func (w *textWriter) text() string {
	w.flush(false)
	return strings.TrimSpace(strings.Join(w.lines, "\n"))
}
