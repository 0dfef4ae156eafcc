package richtext

import (
	"cmp"
	"html"
	"net/url"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
)

// readShown reads a text without what must not be shown of it.
func (c *Converter) readShown(src Source) *document {
	doc := c.parse(src)
	if src.Redact != nil {
		(&censor{doc: doc}).censor(src.Redact)
	}
	level(doc.blocks)
	return doc
}

// RedactHTML is HTML without what must not be shown of it: as it is, where it holds
// nothing of the kind, else converted, its images replaced by notes.
func (c *Converter) RedactHTML(src Source) string {
	if src.Redact == nil {
		return src.Text
	}
	doc := c.parse(src)
	hit := (&censor{doc: doc}).censor(src.Redact)
	level(doc.blocks)
	// What is in an attribute that nobody reads crosses as little.
	if !hit && len(src.Redact.Find(html.UnescapeString(src.Text))) == 0 {
		return src.Text
	}
	text, images := c.write(doc, HTML)
	return Result{Text: text, Images: images, format: HTML}.WithImages(nil)
}

// censor takes out of a document what must not be shown. It looks at all of the text
// as people read it, in one piece, so that no tag, entity, line or paragraph hides
// what it divides.
type censor struct {
	doc    *document
	text   strings.Builder
	pieces []piece
	// addresses are the addresses of links: what was found in them, empty for nothing.
	addresses map[string]string
}

// piece is where a stretch of the text comes from; the zero value is a gap.
type piece struct {
	from int
	// run is the run whose text, line end or picture it is; alt tells that it is the
	// alternative text.
	run *run
	alt bool
	// block is the preformatted text that it is.
	block *block
	// href is the address that it is, as it stands or unescaped.
	href string
	// image is the image, counted from 1, whose name it is.
	image int
}

// censor tells whether it took anything out.
func (z *censor) censor(r *redact.Redactor) bool {
	pieces, size := extent(z.doc.blocks)
	z.pieces = make([]piece, 0, pieces+2*len(z.doc.images))
	z.text.Grow(size)
	z.collect(z.doc.blocks)
	z.aside()
	text := z.text.String()
	found := r.Find(text)
	if len(found) == 0 {
		return false
	}
	for i := range found {
		// A gap can't show the mark.
		for found[i].From < found[i].To-1 && text[found[i].From] == '\n' {
			found[i].From++
		}
	}
	at := 0
	for i := range z.pieces {
		p, end := &z.pieces[i], len(text)
		if i+1 < len(z.pieces) {
			end = z.pieces[i+1].from
		}
		for at < len(found) && found[at].To <= p.from {
			at++
		}
		if at < len(found) && found[at].From < end {
			z.replace(p, text[p.from:end], found[at:])
		}
	}
	z.settle(z.doc.blocks)
	z.doc.blocks = prune(z.doc.blocks)
	return true
}

// extent tells about how many pieces blocks have, and of how many bytes.
func extent(blocks []*block) (int, int) {
	pieces, size := 0, 0
	for _, b := range blocks {
		pieces += len(b.runs) + 1
		size += len(b.text) + 1
		for i := range b.runs {
			size += len(b.runs[i].text) + len(b.runs[i].href) + 1
		}
		n, m := extent(b.blocks)
		pieces, size = pieces+n, size+m
	}
	return pieces, size
}

func (z *censor) add(p piece, text string) {
	p.from = z.text.Len()
	z.pieces = append(z.pieces, p)
	z.text.WriteString(text)
}

// gap separates what is not read as one.
func (z *censor) gap() { z.add(piece{}, "\n") }

// collect adds what is read, in its order.
func (z *censor) collect(blocks []*block) {
	for _, b := range blocks {
		for i := range b.runs {
			r := &b.runs[i]
			switch {
			case r.end:
				z.add(piece{run: r}, "\n")
			case r.image > 0:
				z.add(piece{run: r}, "\ufffc")
			default:
				z.add(piece{run: r}, r.text)
			}
		}
		if b.text != "" {
			z.add(piece{block: b}, b.text)
		}
		z.gap()
		z.collect(b.blocks)
	}
}

// aside adds what is not read in its line: addresses, alternative texts and names.
func (z *censor) aside() {
	for _, p := range z.pieces {
		if p.run == nil {
			continue
		}
		if p.run.image > 0 && p.run.text != "" {
			z.add(piece{run: p.run, alt: true}, p.run.text)
			z.gap()
		}
		href := p.run.href
		if _, known := z.addresses[href]; known || href == "" {
			continue
		}
		if z.addresses == nil {
			z.addresses = map[string]string{}
		}
		z.addresses[href] = ""
		z.add(piece{href: href}, href)
		z.gap()
		if plain, err := url.QueryUnescape(href); err == nil && plain != href {
			z.add(piece{href: href}, plain)
			z.gap()
		}
	}
	for i, image := range z.doc.images {
		z.add(piece{image: i + 1}, image.Name)
		z.gap()
	}
}

// replace takes what was found out of one piece. A find that goes over several pieces
// is marked where it begins.
func (z *censor) replace(p *piece, text string, found []redact.Span) {
	var b strings.Builder
	from := 0
	for _, s := range found {
		begin := s.From - p.from
		if begin >= len(text) {
			break
		}
		if begin >= 0 {
			b.WriteString(text[from:begin])
			b.WriteString(s.Mark())
		}
		from = min(s.To-p.from, len(text))
	}
	b.WriteString(text[from:])
	left := b.String()
	switch {
	case p.href != "":
		z.addresses[p.href] = found[0].Mark()
	case p.block != nil:
		p.block.text = codeText(left)
	case p.image > 0:
		z.doc.images[p.image-1].Name = cmp.Or(fileName(left), "image")
	case p.run == nil:
	case p.run.end, p.run.image > 0 && !p.alt:
		*p.run = run{text: left}
	default:
		p.run.text = left
	}
}

// settle puts each paragraph into order again.
func (z *censor) settle(blocks []*block) {
	for _, b := range blocks {
		b.runs = z.settled(b.runs)
		z.settle(b.blocks)
	}
}

// settled drops what runs lost: their address, empty text, and line ends with nothing
// between. Text that was the address of its link shows a mark already; any other gets
// one, so that it is seen that there was more.
func (z *censor) settled(runs []run) []run {
	kept := make([]run, 0, len(runs))
	add := func(r run) {
		switch {
		case r.end && (len(kept) == 0 || last(kept).end), !r.end && r.image == 0 && r.text == "":
		case len(kept) > 0 && mergeable(last(kept), r):
			kept[len(kept)-1].text += r.text
		default:
			kept = append(kept, r)
		}
	}
	for i := 0; i < len(runs); {
		href, marked := runs[i].href, false
		mark := z.addresses[href]
		for ; i < len(runs) && runs[i].href == href; i++ {
			r := runs[i]
			marked = marked || strings.Contains(r.text, mark)
			if mark != "" {
				r.href = ""
			}
			add(r)
		}
		if !marked {
			add(run{text: " " + mark})
		}
	}
	for len(kept) > 0 && last(kept).end {
		kept = kept[:len(kept)-1]
	}
	return kept
}
