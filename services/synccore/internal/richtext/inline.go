package richtext

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// none stands for the character before the first and after the last one.
const none = '\n'

// line writes the runs of one line.
func (w *markdownWriter) line(runs []run, inTable bool) string {
	l := markdownLine{writer: w, inTable: inTable}
	var parts []run // text that is Markdown already, with what is left to apply
	for i := 0; i < len(runs); {
		href := runs[i].href
		end := i + 1
		for end < len(runs) && runs[end].href == href {
			end++
		}
		if href == "" {
			for ; i < end; i++ {
				parts = append(parts, l.leaf(runs[i:]))
			}
			continue
		}
		var inner []run
		common := runs[i].style
		l.inLink = true
		for ; i < end; i++ {
			common &= runs[i].style
			inner = append(inner, l.leaf(runs[i:]))
		}
		l.inLink = false
		for k := range inner {
			inner[k].style &^= common
		}
		text := emphasise(inner, marks, '[', ']')
		parts = append(parts, run{text: "[" + text + "](" + markdownAddress(href) + ")", style: common &^ (code | underline)})
	}
	return escapeStart(emphasise(parts, marks, none, none), inTable)
}

// markdownLine writes the leaves of one line.
type markdownLine struct {
	writer  *markdownWriter
	inTable bool
	inLink  bool
}

// leaf writes the first of some runs, without its look.
func (l *markdownLine) leaf(runs []run) run {
	r := runs[0]
	looks := r.style &^ (code | underline)
	switch {
	case r.image > 0:
		n := l.writer.images.number(r.image)
		return run{text: "![" + escapeMarkdown(r.text) + "](" + placeholder + strconv.Itoa(n) + ")"}
	case r.style&code != 0 && strings.TrimSpace(r.text) != "" && (!l.inTable || !strings.Contains(r.text, "|")):
		return run{text: codeSpan(r.text), style: looks}
	}
	text := escapeMarkdown(neutral(runs))
	if l.inLink {
		// No reader makes links within a link.
		text = strings.NewReplacer(`\://`, "://", `www\.`, "www.").Replace(text)
	}
	if l.inTable {
		text = strings.ReplaceAll(text, "|", "&#124;")
	}
	// A run that ends in ! would make an image of a link after it.
	if strings.HasSuffix(text, "!") {
		text = text[:len(text)-1] + `\!`
	}
	return run{text: text, style: looks}
}

// codeSpan writes code within a line.
func codeSpan(s string) string {
	fence := strings.Repeat("`", longest(s, '`')+1)
	s = unplaced(s)
	if strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") || strings.HasPrefix(s, " ") && strings.HasSuffix(s, " ") {
		s = " " + s + " "
	}
	return fence + s + fence
}

// mark is a look and the signs that Markdown has for it, the better one first.
type mark struct {
	style style
	signs []string
}

// marks are the looks that Markdown has, outermost first.
func marks(depth int) (mark, bool) {
	switch depth {
	case 0:
		return mark{strike, []string{"~~"}}, true
	case 1:
		return mark{bold, []string{"**"}}, true
	case 2:
		return mark{italic, []string{"_", "*"}}, true
	default:
		return mark{}, false
	}
}

// emphasise joins runs and puts the signs of their looks around them, between the
// characters before and after. Where CommonMark would not take a sign for one (it
// stands in the middle of a word, say), the look is dropped: a look lost is better
// than signs shown. Only text struck out has to stay so, and gets the tag, which
// Azure DevOps takes in Markdown.
func emphasise(runs []run, of func(int) (mark, bool), before, after rune) string {
	return emphasiseFrom(runs, 0, of, before, after)
}

func emphasiseFrom(runs []run, depth int, of func(int) (mark, bool), before, after rune) string {
	m, ok := of(depth)
	if !ok || len(runs) == 0 {
		var b strings.Builder
		for _, r := range runs {
			apart(&b, r.text)
		}
		return b.String()
	}
	var groups [][]run
	for i, r := range runs {
		if i == 0 || r.style&m.style != runs[i-1].style&m.style {
			groups = append(groups, nil)
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], r)
	}
	var out strings.Builder
	for i, g := range groups {
		left, right := before, after
		if out.Len() > 0 {
			left, _ = utf8.DecodeLastRuneInString(out.String())
		}
		if i+1 < len(groups) {
			right = firstRune(groups[i+1], after)
		}
		if g[0].style&m.style == 0 {
			apart(&out, emphasiseFrom(g, depth+1, of, left, right))
			continue
		}
		apart(&out, m.around(g, depth, of, left, right))
	}
	return out.String()
}

// apart adds a piece of a line. Two spans of code side by side would be one.
func apart(b *strings.Builder, piece string) {
	if strings.HasPrefix(piece, "`") && strings.HasSuffix(b.String(), "`") {
		b.WriteRune(joiner)
	}
	b.WriteString(piece)
}

// around puts the signs around a group that has the look, if they will be signs.
func (m mark) around(g []run, depth int, of func(int) (mark, bool), left, right rune) string {
	for _, sign := range m.signs {
		s := rune(sign[0])
		text := emphasiseFrom(g, depth+1, of, s, s)
		core := strings.Trim(text, " \u00a0")
		if core == "" {
			break
		}
		lead, trail, _ := strings.Cut(text, core)
		l, r := left, right
		if lead != "" {
			l = ' '
		}
		if trail != "" {
			r = ' '
		}
		if flanks(s, core, l, r) {
			return lead + sign + core + sign + trail
		}
	}
	text := emphasiseFrom(g, depth+1, of, left, right)
	if m.style == strike && strings.Trim(text, " \u00a0") != "" {
		// What is struck out says the opposite when it isn't.
		return "<s>" + text + "</s>"
	}
	return text
}

// flanks tells that signs around the text open and close, by CommonMark's rules on
// flanking, on the safe side where its versions differ (symbols count as
// punctuation in some).
func flanks(sign rune, text string, left, right rune) bool {
	first, _ := utf8.DecodeRuneInString(text)
	final, _ := utf8.DecodeLastRuneInString(text)
	if slices.Contains([]rune{first, final, left, right}, sign) {
		return false
	}
	open := func(r rune) bool { return unicode.IsSpace(r) || asciiPunct(r) || unicode.IsPunct(r) }
	sticky := func(r rune) bool { return asciiPunct(r) || unicode.IsPunct(r) || unicode.IsSymbol(r) }
	switch {
	case unicode.IsSpace(first), unicode.IsSpace(final):
		return false
	case sign == '_':
		return open(left) && open(right)
	default:
		return (!sticky(first) || open(left)) && (!sticky(final) || open(right))
	}
}

func firstRune(runs []run, after rune) rune {
	for _, r := range runs {
		if r.text != "" {
			first, _ := utf8.DecodeRuneInString(r.text)
			return first
		}
	}
	return after
}

func asciiPunct(r rune) bool {
	return r < utf8.RuneSelf && (unicode.IsPunct(r) || unicode.IsSymbol(r))
}

// escapeStart escapes what at the start of a line would be the sign of a block, and
// hard spaces there, as some readers take bare ones off.
func escapeStart(s string, inTable bool) string {
	body := strings.TrimLeft(s, "\u00a0")
	if body != s {
		return strings.Repeat("&nbsp;", (len(s)-len(body))/len("\u00a0")) + body
	}
	if n := blockStart(s); n > 0 && !inTable {
		return s[:n-1] + `\` + s[n-1:]
	}
	return s
}

// escapeMarkdown makes Markdown of which the text is s.
func escapeMarkdown(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch c {
		case '\\', '`', '*', '[', ']', '~', '$':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '_':
			if i > 0 && i+1 < len(s) && alphanumeric(s[i-1]) && alphanumeric(s[i+1]) {
				b.WriteByte(c)
			} else {
				b.WriteString(`\_`)
			}
		case '<':
			b.WriteString("&lt;")
		case '>':
			b.WriteString("&gt;")
		case '&':
			if i+1 < len(s) && s[i+1] != '#' && !alphanumeric(s[i+1]) {
				b.WriteByte(c)
			} else {
				b.WriteString("&amp;")
			}
		case ':':
			// An address that isn't one of ours, or the name of an emoji.
			if strings.HasPrefix(s[i:], "://") || i+1 < len(s) && (s[i+1] == '+' || s[i+1] == '-' || letter(s[i+1])) {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		case '.':
			if i >= 3 && strings.EqualFold(s[i-3:i], "www") {
				b.WriteByte('\\')
			}
			b.WriteByte(c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// blockStart tells up to where the beginning of a line could be the sign of a
// block; the last character of it is the one to escape. 0: it could not.
func blockStart(s string) int {
	if s == "" {
		return 0
	}
	switch s[0] {
	case '#', '=', '|', '+', '-', ':':
		return 1
	}
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	if digits > 0 && digits < len(s) && (s[digits] == '.' || s[digits] == ')') {
		if digits+1 == len(s) || !alphanumeric(s[digits+1]) {
			return digits + 1
		}
	}
	return 0
}

func letter(c byte) bool       { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func alphanumeric(c byte) bool { return letter(c) || c >= '0' && c <= '9' }

// markdownAddress writes an address of a link. What would end it is escaped
// already; an & could be read as an entity (&lt= in a query is one).
func markdownAddress(s string) string { return strings.ReplaceAll(s, "&", "&amp;") }
