package richtext

import "strings"

// plain reads plain text: its lines, its empty lines and its indentation.
func (b *builder) plain(s string) {
	s = b.limited(s, maxRead)
	s = strings.ReplaceAll(s, "\r\n", "\n")
	s = strings.ReplaceAll(s, "\r", "\n")
	b.look.keep = true
	b.text(s)
}

// limited cuts a source that is too long.
func (b *builder) limited(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	b.doc.cut = true
	return strings.ToValidUTF8(s[:limit], "")
}
