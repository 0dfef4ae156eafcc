package richtext

// cutNote ends a text that was too long, fieldCutNote one in a field.
const (
	cutNote      = "[This message was too long and ends here. The full text is attached.]"
	fieldCutNote = "[This message was too long and ends here.]"
)

const (
	// blockWeight and runWeight stand for the marks around a block and a run when it
	// is estimated how much of a document fits.
	blockWeight = 16
	runWeight   = 8
	// minRoom is the least that is made of a limit, enough for the note.
	minRoom = 200
)

// fit writes a document in at most so many units (0: no limit): all of it, or its
// beginning and a note. True: it was cut.
func (c *Converter) fit(doc *document, format Format, limit int) (string, []Image, bool) {
	whole := doc
	if doc.cut {
		whole = &document{blocks: append(append([]*block(nil), doc.blocks...), note()), images: doc.images}
	}
	if limit <= 0 {
		text, images := c.write(whole, format)
		return text, images, false
	}
	total := weight(doc.blocks)
	// A document that can't possibly fit isn't written just to see that.
	if total <= 2*limit {
		if text, images := c.write(whole, format); size(text, images) <= limit {
			return text, images, false
		}
	}
	keep := min(total, limit)
	var best Result
	for range 6 {
		rest := keep
		short := &document{blocks: append(shorten(doc.blocks, &rest), note()), images: doc.images}
		short.blocks = prune(short.blocks)
		text, images := c.write(short, format)
		n := size(text, images)
		if n <= limit && len(text) >= len(best.Text) {
			best = Result{Text: text, Images: images}
		}
		if n <= limit && (n > limit*7/8 || keep >= total) {
			break
		}
		// By the share it was too long or too short, and a little less.
		keep = min(total, keep*limit/n*63/64)
	}
	if best.Text == "" {
		best.Text, best.Images = c.write(&document{blocks: []*block{note()}}, format)
	}
	return best.Text, best.Images, true
}

func note() *block { return &block{kind: paragraph, runs: []run{{text: cutNote, style: italic}}} }

// size is how long a text will be with its images filled in.
func size(text string, images []Image) int { return units(text) + imageRoom*len(images) }

// weight estimates how long blocks are when written.
func weight(blocks []*block) int {
	total := 0
	for _, b := range blocks {
		total += blockWeight + units(b.text) + weight(b.blocks)
		for _, r := range b.runs {
			total += r.weight()
		}
	}
	return total
}

func (r run) weight() int {
	n := runWeight + units(r.text) + len(r.href)
	if r.image > 0 {
		n += imageRoom
	}
	return n
}

// shorten copies blocks up to a weight, which it takes from rest.
func shorten(blocks []*block, rest *int) []*block {
	out := make([]*block, 0, len(blocks))
	for _, b := range blocks {
		if *rest <= blockWeight {
			*rest = 0
			break
		}
		*rest -= blockWeight
		short := *b
		short.blocks = shorten(b.blocks, rest)
		short.runs = nil
		if n := units(b.text); n > *rest {
			short.text = codeText(clip(b.text, *rest))
			*rest = 0
		} else {
			*rest -= n
		}
		for _, r := range b.runs {
			n := r.weight()
			if n <= *rest {
				*rest -= n
				short.runs = append(short.runs, r)
				continue
			}
			if r.image == 0 && *rest > runWeight+len(r.href) {
				r.text = clip(r.text, *rest-runWeight-len(r.href))
				short.runs = append(short.runs, r)
			}
			*rest = 0
			break
		}
		for len(short.runs) > 0 && last(short.runs).end {
			short.runs = short.runs[:len(short.runs)-1]
		}
		out = append(out, &short)
	}
	return out
}
