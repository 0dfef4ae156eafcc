package richtext

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

// joiner is put after the sign of a mention or of a work item number.
const joiner = '\u2060'

// clean drops what has no place in a message: controls, what has no width and no
// meaning (our joiner too), and signs that turn the reading order around for good.
func clean(s string) string {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), hidden(r):
			return -1
		case r >= 0xfdd0 && r <= 0xfdef, r&0xfffe == 0xfffe:
			return -1
		default:
			return r
		}
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// hidden tells a sign that nobody sees, and that would divide what is looked for.
func hidden(r rune) bool {
	switch r {
	case '\u200b', '\ufeff', '\u00ad', joiner, '\u202d', '\u202e':
		return true
	default:
		return false
	}
}

// codeText makes preformatted text one that survives both formats: no controls and
// hidden signs, no empty lines around, no spaces at the ends of lines.
func codeText(s string) string {
	s = strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
	s = strings.ReplaceAll(s, placeholderScheme+string(joiner)+":", placeholder)
	lines := strings.Split(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' && r != '\t' || hidden(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd")), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t\u00a0")
	}
	return strings.Trim(strings.Join(lines, "\n"), "\n")
}

// keepSpaces makes a line keep its indentation and its columns.
func keepSpaces(line string) string {
	line = strings.ReplaceAll(strings.TrimRight(line, " \t\r"), "\t", "    ")
	if !strings.Contains(line, "  ") && !strings.HasPrefix(line, " ") {
		return line
	}
	var b strings.Builder
	for i := range len(line) {
		if line[i] == ' ' && (i == 0 || line[i-1] == ' ' || i+1 < len(line) && line[i+1] == ' ') {
			b.WriteString("\u00a0")
			continue
		}
		b.WriteByte(line[i])
	}
	return b.String()
}

// shifted writes raised or lowered text. Digits have signs of their own; other
// raised text gets a ^, so that 10 to the n doesn't become 10n.
func shifted(s string, shift int8) string {
	const (
		plain   = "0123456789+-=()"
		raised  = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾"
		lowered = "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎"
	)
	trimmed := strings.TrimSpace(s)
	signs := []rune(raised)
	if shift < 0 {
		signs = []rune(lowered)
	}
	if strings.Trim(trimmed, plain) != "" {
		if shift > 0 && !strings.HasPrefix(trimmed, "^") {
			return strings.Replace(s, trimmed, "^"+trimmed, 1)
		}
		return s
	}
	return strings.Map(func(r rune) rune {
		if i := strings.IndexRune(plain, r); i >= 0 {
			return signs[i]
		}
		return r
	}, s)
}

// units counts as both vendors do: in UTF-16 units.
func units(s string) int {
	n := 0
	for _, r := range s {
		n += utf16.RuneLen(r)
	}
	return n
}

// firstUnits is the beginning of s of at most so many units, cut wherever.
func firstUnits(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	n := 0
	for i, r := range s {
		n += utf16.RuneLen(r)
		if n > limit {
			return s[:i]
		}
	}
	return s
}

// clip is the beginning of s of at most so many units. It ends between two words
// if one ends near, and never inside of what a reader sees as one character.
func clip(s string, limit int) string {
	end, word, n := 0, 0, 0
	for it := graphemes.FromString(s); it.Next(); {
		g := it.Value()
		n += units(g)
		if n > limit {
			break
		}
		end = it.End()
		if r, _ := utf8.DecodeRuneInString(g); unicode.IsSpace(r) {
			word = it.Start()
		}
	}
	if next, _ := utf8.DecodeRuneInString(s[end:]); end == len(s) || unicode.IsSpace(next) || word == 0 || end-word >= 60 {
		return s[:end]
	}
	return s[:word]
}

var bareLink = regexp.MustCompile(`(?i)\b(?:https?://|www\.)[^\s<>"'` + "`" + `\\^{}|]+|[a-z0-9._%+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+`)

// tidy joins runs that look alike and makes addresses in the text into links, so
// that both formats show them alike.
func tidy(runs []run) []run {
	line := seam{out: make([]run, 0, len(runs))}
	for _, r := range runs {
		if r.image > 0 || r.end || r.style&code != 0 || r.href != "" {
			line.add(r)
			continue
		}
		rest := r.text
		for rest != "" && mayLink(rest) {
			at := bareLink.FindStringIndex(rest)
			if at == nil {
				break
			}
			address := trimAddress(rest[at[0]:at[1]])
			href := webAddress(address)
			line.add(run{text: rest[:at[0]], style: r.style})
			line.add(run{text: address, style: r.style, href: href})
			rest = rest[at[0]+len(address):]
			if address == "" {
				break
			}
		}
		line.add(run{text: rest, style: r.style})
	}
	return line.done()
}

// seam joins runs that look alike.
type seam struct {
	out  []run
	same []string // the texts of the last run
}

func (s *seam) add(r run) {
	if r.text == "" && r.image == 0 && !r.end {
		return
	}
	if len(s.out) == 0 || !mergeable(last(s.out), r) {
		s.join()
		s.out = append(s.out, r)
	}
	s.same = append(s.same, r.text)
}

func (s *seam) join() {
	if len(s.same) > 1 {
		s.out[len(s.out)-1].text = strings.Join(s.same, "")
	}
	s.same = s.same[:0]
}

func (s *seam) done() []run {
	s.join()
	return s.out
}

// mayLink is a quick look whether bareLink could find anything.
func mayLink(s string) bool {
	return strings.Contains(s, "://") || strings.Contains(s, "@") || strings.Contains(s, "ww.") || strings.Contains(s, "WW.")
}

func mergeable(a, b run) bool {
	return a.image == 0 && b.image == 0 && !a.end && !b.end && a.style == b.style && a.href == b.href
}

// trimAddress takes what belongs to the sentence off the end of an address.
func trimAddress(s string) string {
	for s != "" {
		r, size := utf8.DecodeLastRuneInString(s)
		switch {
		case strings.ContainsRune(".,;:!?*_~'\"…„“”‘’»«\u00a0", r), r == ']' && !strings.Contains(s, "["):
		case r == ')' && strings.Count(s, ")") > strings.Count(s, "("):
		default:
			return s
		}
		s = s[:len(s)-size]
	}
	return s
}
