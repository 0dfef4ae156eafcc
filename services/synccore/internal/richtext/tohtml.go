package richtext

import (
	"html"
	"slices"
	"strconv"
	"strings"
)

// htmlWriter writes a document as HTML that needs no style sheet.
type htmlWriter struct {
	out    strings.Builder
	images placed
}

// blocks writes blocks, one a line: whoever takes the tags out still has lines.
func (w *htmlWriter) blocks(blocks []*block) {
	for _, b := range blocks {
		w.block(b)
		w.out.WriteByte('\n')
	}
}

func (w *htmlWriter) block(b *block) {
	switch b.kind {
	case paragraph:
		w.tagged("p", b)
	case heading:
		w.tagged("h"+strconv.Itoa(b.level), b)
	case quote:
		w.out.WriteString("<blockquote>\n")
		w.blocks(b.blocks)
		w.out.WriteString("</blockquote>")
	case list:
		w.list(b)
	case preformatted:
		w.out.WriteString("<pre><code")
		if b.lang != "" {
			w.out.WriteString(` class="language-` + b.lang + `"`)
		}
		w.out.WriteString(">" + html.EscapeString(b.text) + "</code></pre>")
	case table:
		w.table(b)
	case rule:
		w.out.WriteString("<hr>")
	case listItem, row, cell:
		w.blocks(b.blocks)
	}
}

func (w *htmlWriter) tagged(name string, b *block) {
	w.out.WriteString("<" + name + ">")
	w.runs(b.runs)
	w.out.WriteString("</" + name + ">")
}

func (w *htmlWriter) list(b *block) {
	name := "ul"
	if b.ordered {
		name = "ol"
	}
	w.out.WriteString("<" + name)
	if b.ordered && b.level != 1 {
		w.out.WriteString(` start="` + strconv.Itoa(b.level) + `"`)
	}
	w.out.WriteString(">\n")
	for _, i := range b.blocks {
		w.out.WriteString("<li>")
		w.inside(i.blocks)
		w.out.WriteString("</li>\n")
	}
	w.out.WriteString("</" + name + ">")
}

// inside writes the content of an item or a cell, its first paragraph bare.
func (w *htmlWriter) inside(blocks []*block) {
	if len(blocks) > 0 && blocks[0].kind == paragraph {
		w.runs(blocks[0].runs)
		blocks = blocks[1:]
	}
	if len(blocks) > 0 {
		w.out.WriteByte('\n')
		w.blocks(blocks)
	}
}

func (w *htmlWriter) table(b *block) {
	// Without a border nobody sees that it is a table; styles don't cross.
	w.out.WriteString("<table border=\"1\">\n<tbody>\n")
	for _, r := range b.blocks {
		w.out.WriteString("<tr>")
		for _, c := range r.blocks {
			name := "td"
			if c.head {
				name = "th"
			}
			w.out.WriteString("<" + name)
			if c.colspan > 1 {
				w.out.WriteString(` colspan="` + strconv.Itoa(c.colspan) + `"`)
			}
			if c.rowspan > 1 {
				w.out.WriteString(` rowspan="` + strconv.Itoa(c.rowspan) + `"`)
			}
			w.out.WriteString(">")
			w.inside(c.blocks)
			w.out.WriteString("</" + name + ">")
		}
		w.out.WriteString("</tr>\n")
	}
	w.out.WriteString("</tbody>\n</table>")
}

// styleTags are the elements of the styles, outermost first.
func styleTags(s style) []string {
	tags := make([]string, 0, 5)
	for _, t := range []struct {
		style style
		tag   string
	}{{strike, "s"}, {underline, "u"}, {bold, "strong"}, {italic, "em"}, {code, "code"}} {
		if s&t.style != 0 {
			tags = append(tags, t.tag)
		}
	}
	return tags
}

func (w *htmlWriter) runs(runs []run) {
	for i := 0; i < len(runs); {
		href := runs[i].href
		if href == "" {
			w.run(runs[i:])
			i++
			continue
		}
		w.out.WriteString(`<a href="` + html.EscapeString(href) + `">`)
		for ; i < len(runs) && runs[i].href == href; i++ {
			w.run(runs[i:])
		}
		w.out.WriteString("</a>")
	}
}

// run writes the first of some runs.
func (w *htmlWriter) run(runs []run) {
	r := runs[0]
	switch {
	case r.end:
		w.out.WriteString("<br>\n")
		return
	case r.image > 0:
		w.out.WriteString(`<img src="` + placeholder + strconv.Itoa(w.images.number(r.image)) + `" alt="` + html.EscapeString(r.text) + `">`)
		return
	}
	tags := styleTags(r.style)
	for _, t := range tags {
		w.out.WriteString("<" + t + ">")
	}
	w.out.WriteString(html.EscapeString(neutral(runs)))
	for _, tag := range slices.Backward(tags) {
		w.out.WriteString("</" + tag + ">")
	}
}
