package richtext

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// look is everything about the place in the source that decides how text there
// looks. An element changes it; the element's end brings the former one back.
type look struct {
	style style
	href  string
	// heading is the level of the heading around, 0 for none.
	heading int
	// shift is 1 in raised and -1 in lowered text.
	shift int8
	// keep tells that spaces and line ends count.
	keep bool
	// hidden tells that nothing here is shown.
	hidden bool
	// mention tells that this is the name of a mentioned person, its sign to be
	// dropped.
	mention bool
	// marker tells that this is the sign Outlook wrote before a list item.
	marker bool
	// outlook is the depth of the Outlook list item around.
	outlook int
}

// maxTitle is how many bytes of a title are read.
const maxTitle = 10_000

// raised is the shift as a style.
func (l look) raised() style {
	switch {
	case l.shift > 0:
		return raised
	case l.shift < 0:
		return lowered
	default:
		return 0
	}
}

// unsaid is the level of a row that the source forgot to open.
const unsaid = -1

// maxContainers is how deep lists, quotes and tables may nest; what is deeper is
// shown at that depth.
const maxContainers = 16

// builder makes a document out of a stream of text, looks and boundaries.
type builder struct {
	src    Source
	doc    *document
	roots  []*url.URL
	inline []string // the inlined images that were taken out of the source
	token  string   // what stands in for them, before their number

	look  look
	open  []*block // containers, the document's own first
	count int      // blocks and runs made

	leaf   *block // the paragraph or heading being written, nil for none
	buf    []byte // the text of its last run
	style  style
	href   string
	space  bool // a space is due before the next character
	breaks bool // a line end is due before the next character
	filled bool // the line has characters
	ink    bool // the line has characters that show

	pre     *block
	preText strings.Builder

	seen    map[string]int // images by their address
	dropped int            // images beyond the limit
}

func newBuilder(src Source) *builder {
	root := &block{kind: cell}
	return &builder{src: src, doc: &document{}, roots: roots(src.Roots), open: []*block{root}, seen: make(map[string]int)}
}

// title puts a line before all that is read.
func (b *builder) title(s string) {
	if s = strings.TrimSpace(b.limited(s, maxTitle)); s == "" {
		return
	}
	b.look.style = bold
	b.write(s)
	b.endParagraph()
	b.look.style = 0
	b.doc.titled = len(b.open[0].blocks) > 0
}

// finish closes everything and gives the document.
func (b *builder) finish() *document {
	b.endPre()
	b.endParagraph()
	if b.dropped > 0 {
		b.write(moreImagesNote(b.dropped))
		b.endParagraph()
	}
	root := b.open[0]
	root.blocks = outlookLists(root.blocks, 1)
	b.doc.blocks = prune(root.blocks)
	return b.doc
}

// container makes the innermost open block one that a paragraph may go into. A list, a
// table or a row gets the item or cell that the source forgot.
func (b *builder) container() {
	for {
		top := b.open[len(b.open)-1]
		var missing kind
		switch top.kind {
		case list:
			missing = listItem
		case table:
			missing = row
		case row:
			missing = cell
		case paragraph, heading, quote, listItem, preformatted, cell, rule:
			return
		default:
			return
		}
		b.add(&block{kind: missing})
		b.open = append(b.open, last(top.blocks))
	}
}

// add puts a block into the innermost container.
func (b *builder) add(child *block) {
	b.count++
	top := b.open[len(b.open)-1]
	top.blocks = append(top.blocks, child)
}

// enter opens a container. Where it would be too deep, its content goes to the one
// around.
func (b *builder) enter(child *block) {
	b.endParagraph()
	if len(b.open) >= maxContainers || b.count >= maxParts {
		return
	}
	top := b.open[len(b.open)-1]
	switch {
	case child.kind == listItem && top.kind != list:
		b.container()
		top = last(b.open)
		if n := len(top.blocks); n == 0 || top.blocks[n-1].kind != list {
			b.add(&block{kind: list})
		}
		b.open = append(b.open, last(top.blocks))
	case child.kind == list && top.kind == list && len(top.blocks) > 0:
		// A list right inside a list belongs to the item before.
		b.open = append(b.open, last(top.blocks))
	case child.kind == row && top.kind != table, child.kind == cell && top.kind != row && top.kind != table:
		return
	case child.kind == cell && top.kind == table:
		if n := len(top.blocks); n == 0 || top.blocks[n-1].level != unsaid {
			b.add(&block{kind: row, level: unsaid})
		}
		b.open = append(b.open, last(top.blocks))
	case child.kind != listItem && child.kind != row && child.kind != cell:
		b.container()
	}
	b.add(child)
	b.open = append(b.open, child)
}

// leave closes containers until so many are open.
func (b *builder) leave(depth int) {
	b.endParagraph()
	if depth >= 1 && depth < len(b.open) {
		b.open = b.open[:depth]
	}
}

// text adds text of the source, its references resolved.
func (b *builder) text(s string) {
	s = b.putInlined(s)
	switch {
	case b.look.hidden || b.full():
	case b.look.marker:
		if b.leaf == nil {
			b.newLeaf()
		}
		b.leaf.marker = strings.TrimSpace(b.leaf.marker + strings.Trim(clean(s), " \u00a0\t\n"))
	case b.pre != nil:
		b.preText.WriteString(strings.ReplaceAll(s, "\r\n", "\n"))
	case b.look.keep:
		for i, line := range strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n") {
			if i > 0 {
				b.lineBreak()
			}
			b.write(keepSpaces(line))
		}
	default:
		b.write(s)
	}
}

// full tells that the document holds all that may be read.
func (b *builder) full() bool {
	if b.count < maxParts {
		return false
	}
	b.doc.cut = true
	return true
}

// write adds text to the line, its spaces collapsed as a browser does.
func (b *builder) write(s string) {
	for i := 0; i < len(s); {
		c := s[i]
		if c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' {
			b.space = b.space || b.filled
			i++
			continue
		}
		if b.look.mention {
			b.look.mention = false
			if c == '@' {
				i++
				continue
			}
		}
		j := i + 1
		for j < len(s) && s[j] > ' ' {
			j++
		}
		b.word(s[i:max(j, i+1)])
		i = max(j, i+1)
	}
}

// word adds text without spaces.
func (b *builder) word(s string) {
	s = clean(s)
	if s == "" {
		return
	}
	b.begin()
	b.turn(b.look.style|b.look.raised(), b.look.href)
	b.buf = append(b.buf, s...)
	b.filled = true
	b.ink = b.ink || strings.Trim(s, "\u00a0") != ""
}

// begin opens a paragraph if none is open, and writes the line end that is due.
func (b *builder) begin() {
	if b.leaf == nil {
		b.newLeaf()
	}
	if b.breaks {
		b.flush()
		b.count++
		b.leaf.runs = append(b.leaf.runs, run{end: true})
		b.breaks, b.space = false, false
	}
}

func (b *builder) newLeaf() {
	b.leaf = &block{kind: paragraph, outlook: b.look.outlook}
	if b.look.heading > 0 {
		b.leaf.kind, b.leaf.level = heading, b.look.heading
	}
	b.breaks, b.space, b.filled, b.ink = false, false, false, false
}

// turn makes the next text look so, and writes the space that is due: inside
// what is common to both sides of it.
func (b *builder) turn(s style, href string) {
	if b.style == s && b.href == href {
		if b.space {
			b.buf = append(b.buf, ' ')
		}
		b.space = false
		return
	}
	if b.space {
		common := b.style & s
		shared := ""
		if b.href == href {
			shared = href
		}
		if common != b.style || shared != b.href {
			b.flush()
			b.style, b.href = common, shared
		}
		b.buf = append(b.buf, ' ')
		b.space = false
		if common == s && shared == href {
			return
		}
	}
	b.flush()
	b.style, b.href = s, href
}

// unlink ends a link, so that a space after it is outside even if another link to
// the same place follows.
func (b *builder) unlink() {
	b.flush()
	b.href = ""
}

// flush ends the run being written.
func (b *builder) flush() {
	if len(b.buf) > 0 && b.leaf != nil {
		b.count++
		b.leaf.runs = append(b.leaf.runs, run{text: string(b.buf), style: b.style, href: b.href})
	}
	b.buf = b.buf[:0]
}

// lineBreak ends the line as <br> does; an empty line ends the paragraph.
func (b *builder) lineBreak() {
	if b.pre != nil {
		b.preText.WriteByte('\n')
		return
	}
	if !b.ink {
		b.endParagraph()
		return
	}
	b.endLine()
}

// boundary ends the line as the edge of a <div> does: only if there is one.
func (b *builder) boundary() {
	switch {
	case b.pre != nil:
		if text := b.preText.String(); text != "" && text[len(text)-1] != '\n' {
			b.preText.WriteByte('\n')
		}
	case b.ink:
		b.endLine()
	case b.filled:
		b.endParagraph()
	}
}

func (b *builder) endLine() {
	b.trimLine()
	b.filled, b.ink = false, false
	// A heading is one line.
	b.breaks = b.leaf == nil || b.leaf.kind != heading
	b.space = !b.breaks
}

// trimLine takes the spaces off the end of the line.
func (b *builder) trimLine() {
	for {
		r, size := utf8.DecodeLastRune(b.buf)
		if r != ' ' && r != '\u00a0' {
			break
		}
		b.buf = b.buf[:len(b.buf)-size]
	}
	b.flush()
}

// endParagraph ends the paragraph or heading.
func (b *builder) endParagraph() {
	if b.pre != nil || b.leaf == nil {
		b.space = false
		return
	}
	leaf := b.leaf
	b.trimLine()
	if b.filled && !b.ink {
		// Nothing but hard spaces on the last line: nothing on it shows.
		for len(leaf.runs) > 0 && !last(leaf.runs).end {
			leaf.runs = leaf.runs[:len(leaf.runs)-1]
		}
	}
	for len(leaf.runs) > 0 && last(leaf.runs).end {
		leaf.runs = leaf.runs[:len(leaf.runs)-1]
	}
	b.leaf, b.style, b.href = nil, 0, ""
	b.breaks, b.space, b.filled, b.ink = false, false, false, false
	leaf.runs = tidy(leaf.runs)
	if len(leaf.runs) > 0 {
		b.place(leaf)
	}
}

// place puts a paragraph or the like into the innermost container that takes it.
func (b *builder) place(child *block) {
	depth := len(b.open)
	b.container()
	b.add(child)
	b.open = b.open[:depth]
}

// startPre opens preformatted text.
func (b *builder) startPre(lang string) {
	b.endParagraph()
	if b.full() {
		return
	}
	b.pre = &block{kind: preformatted, lang: lang}
	b.preText.Reset()
}

func (b *builder) endPre() {
	pre := b.pre
	if pre == nil {
		return
	}
	b.pre = nil
	pre.text = codeText(b.preText.String())
	if pre.text != "" {
		b.place(pre)
	}
}

// ruler draws a line across.
func (b *builder) ruler() {
	b.endParagraph()
	if b.pre == nil && !b.full() {
		b.place(&block{kind: rule})
	}
}

// picture puts an image on the line.
func (b *builder) picture(number int, alt string) {
	b.begin()
	b.turn(b.look.style&^code, b.look.href)
	b.flush()
	b.leaf.runs = append(b.leaf.runs, run{image: number, text: alt, style: b.look.style &^ code, href: b.look.href})
	b.filled, b.ink = true, true
}

func last[T any](s []T) T { return s[len(s)-1] }
