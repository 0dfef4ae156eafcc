package richtext

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// neutral is the text of the first of some runs, written so that it mentions
// nobody and links to no work item. A sign and its name may differ in look.
func neutral(runs []run) string {
	r := runs[0]
	s := r.text
	before := rune(0)
	if r.style&code != 0 || !strings.ContainsAny(s, "@#") || r.href != "" && sameAddress(s, r.href) {
		return s
	}
	var b strings.Builder
	for i, c := range s {
		b.WriteRune(c)
		next, size := utf8.DecodeRuneInString(s[i+utf8.RuneLen(c):])
		if size == 0 && len(runs) > 1 {
			next, size = utf8.DecodeRuneInString(runs[1].text)
		}
		switch c {
		case '@':
			// An e-mail address has a word before its sign, of the same look.
			if size > 0 && !word(before) && !unicode.IsSpace(next) {
				b.WriteRune(joiner)
			}
		case '#':
			if size > 0 && unicode.IsDigit(next) {
				b.WriteRune(joiner)
			}
		}
		before = c
	}
	return b.String()
}

func word(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
