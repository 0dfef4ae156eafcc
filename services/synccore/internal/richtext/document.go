package richtext

import "slices"

// document is a message without any markup: the only thing that is written from.
type document struct {
	blocks []*block
	// images are all images that may be carried over; a run names one by its
	// position, counted from 1.
	images []Image
	// titled tells that the first block is the source's title.
	titled bool
	// cut tells that the source was longer than what is read.
	cut bool
}

type kind uint8

const (
	paragraph kind = iota
	heading
	quote
	list
	listItem
	preformatted
	table
	row
	cell
	rule
)

// block is a part of a document. Paragraphs and headings hold runs, preformatted
// text its text, the others blocks: a list items, a table rows, a row cells.
type block struct {
	kind   kind
	runs   []run
	blocks []*block
	text   string
	// level is a heading's level, or the number an ordered list starts with.
	level   int
	ordered bool
	head    bool
	lang    string
	colspan int
	rowspan int
	// outlook is how deep in a list Outlook says that a paragraph is, and marker
	// the sign that it wrote before it.
	outlook int
	marker  string
}

// style is how a run looks.
type style uint8

const (
	bold style = 1 << iota
	italic
	underline
	strike
	code
	// raised and lowered text is only written so in a document that is not yet levelled.
	raised
	lowered
)

// run is a piece of a line: text of one look, an image, or the end of the line.
type run struct {
	text  string
	href  string
	style style
	// image is the image's number in the document, 0 for none. Its text is then the
	// alternative text.
	image int
	end   bool
}

// blank tells that a block shows nothing.
func (b *block) blank() bool {
	switch b.kind {
	case paragraph, heading:
		return len(b.runs) == 0
	case preformatted:
		return b.text == ""
	case rule:
		return false
	case row:
		for _, c := range b.blocks {
			if !c.blank() {
				return false
			}
		}
		return true
	case quote, list, listItem, table, cell:
		return len(b.blocks) == 0
	default:
		return true
	}
}

// prune drops what shows nothing and takes apart tables that only lay out a page.
func prune(blocks []*block) []*block {
	kept := make([]*block, 0, len(blocks))
	for _, b := range blocks {
		b.blocks = prune(b.blocks)
		switch {
		case b.kind == table && layout(b):
			for _, r := range b.blocks {
				for _, c := range r.blocks {
					kept = append(kept, c.blocks...)
				}
			}
		case b.kind == cell || !b.blank():
			// An empty cell keeps its column.
			kept = append(kept, b)
		}
	}
	return kept
}

// level writes raised and lowered text with signs of its own, for no format shows it
// otherwise.
func level(blocks []*block) {
	for _, b := range blocks {
		level(b.blocks)
		if !slices.ContainsFunc(b.runs, func(r run) bool { return r.style&(raised|lowered) != 0 }) {
			continue
		}
		line := seam{out: make([]run, 0, len(b.runs))}
		for _, r := range b.runs {
			switch {
			case r.style&raised != 0:
				r.text = shifted(r.text, 1)
			case r.style&lowered != 0:
				r.text = shifted(r.text, -1)
			}
			r.style &^= raised | lowered
			line.add(r)
		}
		b.runs = line.done()
	}
}

// layout tells that a table has one column: then it is there for its looks, as in
// newsletters.
func layout(t *block) bool {
	for _, r := range t.blocks {
		if len(r.blocks) > 1 {
			return false
		}
	}
	return true
}
