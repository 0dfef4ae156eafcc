package richtext

import (
	"slices"
	"strconv"
	"strings"
)

// markdownWriter writes a document as CommonMark with GitHub's tables and struck
// text, without HTML but for the line ends in cells, which have no other sign.
//
// No library writes it: what must hold here is that text stays exactly that text,
// and html-to-markdown 2.5.2 leaves &amp;lt; to become <, drops hard spaces, gives
// up on a table with two lines in a cell and takes a second for a megabyte.
type markdownWriter struct {
	out    strings.Builder
	images placed
}

func (w *markdownWriter) text() string { return strings.TrimRight(w.out.String(), "\n") }

// blocks writes blocks behind a prefix, whose first line stands already behind it,
// with an empty line between two.
func (w *markdownWriter) blocks(blocks []*block, prefix string) {
	other := false
	for i, b := range blocks {
		if i > 0 {
			before := blocks[i-1]
			// Two lists in a row need different signs, else they are one.
			other = b.kind == list && before.kind == list && before.ordered == b.ordered && !other
			if prefix == "" || !tight(before, b) {
				w.out.WriteString(strings.TrimRight(prefix, " ") + "\n")
			}
			w.out.WriteString(prefix)
		}
		w.block(b, prefix, other)
	}
}

// tight tells that b can follow a paragraph of an item without an empty line.
func tight(before, b *block) bool {
	return before.kind == paragraph && b.kind == list && (!b.ordered || b.level == 1)
}

func (w *markdownWriter) block(b *block, prefix string, other bool) {
	switch b.kind {
	case paragraph:
		for i, line := range lines(b.runs) {
			if i > 0 {
				w.out.WriteString("  \n" + prefix)
			}
			w.out.WriteString(w.line(line, false))
		}
		w.out.WriteByte('\n')
	case heading:
		text := w.line(slices.Concat(lines(b.runs)...), false)
		if strings.HasSuffix(text, "#") && !strings.HasSuffix(text, `\#`) {
			text = text[:len(text)-1] + `\#`
		}
		w.out.WriteString(strings.Repeat("#", b.level) + " " + text + "\n")
	case quote:
		w.out.WriteString("> ")
		w.blocks(b.blocks, prefix+"> ")
	case list:
		w.list(b, prefix, other)
	case preformatted:
		w.pre(b, prefix)
	case table:
		w.table(b, prefix)
	case rule:
		// With dashes or stars an item that holds one would be one itself.
		w.out.WriteString("___\n")
	case listItem, row, cell:
		w.blocks(b.blocks, prefix)
	}
}

func (w *markdownWriter) list(b *block, prefix string, other bool) {
	loose := slices.ContainsFunc(b.blocks, func(i *block) bool {
		return len(i.blocks) > 2 || len(i.blocks) == 2 && !tight(i.blocks[0], i.blocks[1])
	})
	for n, i := range b.blocks {
		if n > 0 {
			if loose {
				w.out.WriteString(strings.TrimRight(prefix, " ") + "\n")
			}
			w.out.WriteString(prefix)
		}
		mark := "- "
		switch {
		case b.ordered && other:
			mark = strconv.Itoa(min(b.level+n, 999_999_999)) + ") "
		case b.ordered:
			mark = strconv.Itoa(min(b.level+n, 999_999_999)) + ". "
		case other:
			mark = "* "
		}
		w.out.WriteString(mark)
		w.blocks(i.blocks, prefix+strings.Repeat(" ", len(mark)))
	}
}

func (w *markdownWriter) pre(b *block, prefix string) {
	fence := strings.Repeat("`", max(3, longest(b.text, '`')+1))
	w.out.WriteString(fence + b.lang + "\n")
	for line := range strings.SplitSeq(unplaced(b.text), "\n") {
		w.out.WriteString(strings.TrimRight(prefix+line, " ") + "\n")
	}
	w.out.WriteString(prefix + fence + "\n")
}

// unplaced keeps text that can't be escaped from being taken for a placeholder.
func unplaced(s string) string {
	return strings.ReplaceAll(s, placeholder, placeholderScheme+string(joiner)+":")
}

// longest is the length of the longest row of c in s.
func longest(s string, c byte) int {
	most, n := 0, 0
	for i := range len(s) {
		if s[i] != c {
			n = 0
			continue
		}
		n++
		most = max(most, n)
	}
	return most
}

// table writes a table; its first row is the head, as Markdown wants one.
func (w *markdownWriter) table(b *block, prefix string) {
	rows, columns := grid(b)
	for i, r := range rows {
		if i > 0 {
			w.out.WriteString(prefix)
		}
		for j := range columns {
			text := ""
			if j < len(r) && r[j] != nil {
				text = w.cell(r[j])
			}
			if text != "" {
				text += " "
			}
			w.out.WriteString("| " + text)
		}
		w.out.WriteString("|\n")
		if i == 0 {
			w.out.WriteString(prefix + strings.Repeat("| --- ", columns) + "|\n")
		}
	}
}

func (w *markdownWriter) cell(c *block) string {
	var parts []string
	for _, line := range lines(flatten(c.blocks)) {
		parts = append(parts, w.line(line, true))
	}
	return strings.Join(parts, "<br>")
}

// grid lays out a table's cells in columns, nil where another cell spans.
func grid(t *block) ([][]*block, int) {
	const most = 100
	columns := 0
	var below []int // rows that a cell above still covers, by column
	rows := make([][]*block, len(t.blocks))
	for i, r := range t.blocks {
		var cells []*block
		covered := func() bool {
			if n := len(cells); n < len(below) && below[n] > 0 {
				below[n]--
				cells = append(cells, nil)
				return true
			}
			return false
		}
		for _, c := range r.blocks {
			for covered() {
			}
			for n := range max(1, c.colspan) {
				for len(below) <= len(cells) {
					below = append(below, 0)
				}
				below[len(cells)] = max(0, c.rowspan-1)
				if n > 0 {
					c = nil
				}
				cells = append(cells, c)
				if c == nil {
					c = &block{}
				}
			}
			if len(cells) >= most {
				break
			}
		}
		for covered() {
		}
		rows[i] = cells
		columns = max(columns, len(cells))
	}
	return rows, columns
}

// lines splits runs at the ends of lines.
func lines(runs []run) [][]run {
	var out [][]run
	from := 0
	for i, r := range runs {
		if r.end {
			out = append(out, runs[from:i])
			from = i + 1
		}
	}
	return append(out, runs[from:])
}
