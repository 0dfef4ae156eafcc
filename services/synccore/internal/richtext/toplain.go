package richtext

import (
	"strconv"
	"strings"
)

// plain writes a document as text that reads well without any markup.
func plain(doc *document) string {
	w := plainWriter{doc: doc}
	w.blocks(doc.blocks, "", "")
	return strings.TrimRight(w.out.String(), "\n")
}

type plainWriter struct {
	doc *document
	out strings.Builder
}

// blocks writes blocks with an empty line between two that need one. The first line gets the
// prefix first, the others rest.
func (w *plainWriter) blocks(blocks []*block, first, rest string) {
	for i, b := range blocks {
		if i > 0 {
			if first == "" && rest == "" || !tight(blocks[i-1], b) {
				w.out.WriteString(strings.TrimRight(rest, " ") + "\n")
			}
			first = rest
		}
		w.block(b, first, rest)
	}
}

func (w *plainWriter) block(b *block, first, rest string) {
	switch b.kind {
	case paragraph, heading:
		w.lines(plainRuns(b.runs, w.doc), first, rest)
	case preformatted:
		w.lines(b.text, first, rest)
	case quote:
		w.blocks(b.blocks, first+"> ", rest+"> ")
	case list:
		for i, entry := range b.blocks {
			mark := "- "
			if b.ordered {
				mark = strconv.Itoa(b.level+i) + ". "
			}
			if i > 0 {
				first = rest
			}
			w.blocks(entry.blocks, first+mark, rest+strings.Repeat(" ", len(mark)))
		}
	case table:
		for i, r := range b.blocks {
			if i > 0 {
				first = rest
			}
			cells := make([]string, len(r.blocks))
			for j, c := range r.blocks {
				cells[j] = strings.ReplaceAll(plainRuns(flatten(c.blocks), w.doc), "\n", " / ")
			}
			w.lines(strings.Join(cells, " | "), first, rest)
		}
	case rule:
		w.lines("----------", first, rest)
	case listItem, row, cell:
		w.blocks(b.blocks, first, rest)
	}
}

func (w *plainWriter) lines(s, first, rest string) {
	for i, line := range strings.Split(s, "\n") {
		if i > 0 {
			first = rest
		}
		w.out.WriteString(strings.TrimRight(first+line, " ") + "\n")
	}
}

// plainRuns writes runs as text, the address of a link after its text.
func plainRuns(runs []run, doc *document) string {
	var b strings.Builder
	for i := 0; i < len(runs); i++ {
		r := runs[i]
		from := b.Len()
		for ; ; i++ {
			switch {
			case runs[i].end:
				b.WriteByte('\n')
			case runs[i].image > 0:
				b.WriteString("[image: " + doc.images[runs[i].image-1].Name + "]")
			default:
				b.WriteString(runs[i].text)
			}
			if r.href == "" || i+1 >= len(runs) || runs[i+1].href != r.href {
				break
			}
		}
		if r.href != "" && !sameAddress(b.String()[from:], r.href) {
			b.WriteString(" (" + r.href + ")")
		}
	}
	return b.String()
}

// flatten makes one paragraph of blocks, for where only one fits: a cell of a
// Markdown table.
func flatten(blocks []*block) []run {
	var out []run
	for _, b := range blocks {
		var part []run
		switch b.kind {
		case paragraph, heading:
			part = b.runs
		case preformatted:
			for line := range strings.SplitSeq(b.text, "\n") {
				if part != nil {
					part = append(part, run{end: true})
				}
				if line = strings.TrimSpace(line); line != "" {
					part = append(part, run{text: line, style: code})
				}
			}
		case rule:
			continue
		case list:
			for _, entry := range b.blocks {
				if part != nil {
					part = append(part, run{end: true})
				}
				part = append(part, run{text: "• "})
				part = append(part, flatten(entry.blocks)...)
			}
		case row:
			for _, c := range b.blocks {
				inner := flatten(c.blocks)
				if part != nil && inner != nil {
					part = append(part, run{text: ", "})
				}
				part = append(part, inner...)
			}
		case quote, table, listItem, cell:
			part = flatten(b.blocks)
		}
		if len(part) == 0 {
			continue
		}
		if out != nil {
			out = append(out, run{end: true})
		}
		out = append(out, part...)
	}
	return out
}
