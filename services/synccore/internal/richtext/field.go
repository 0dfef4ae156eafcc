package richtext

import "strings"

// Fields brings texts into the fields of an item, among words of others. It is safe
// for concurrent use.
type Fields struct {
	texts *Converter
	src   Source
}

// Fields is for texts of one source, whose Text does not count.
func (c *Converter) Fields(src Source) Fields { return Fields{texts: c, src: src} }

// HTML is markup as a field shows it: a text of one paragraph without tags around it,
// so that it may stand within a line. All images become notes, as a field has no place
// of its own for files.
func (f Fields) HTML(markup string) string {
	doc := f.read(markup)
	w := htmlWriter{images: placed{doc: doc}}
	if len(doc.blocks) == 1 && doc.blocks[0].kind == paragraph {
		w.runs(doc.blocks[0].runs)
	} else {
		w.blocks(doc.blocks)
	}
	text := strings.TrimSuffix(f.texts.policy.Sanitize(w.out.String()), "\n")
	return Result{Text: text, Images: w.images.used, format: HTML}.WithImages(nil)
}

// Plain is HTML without markup.
func (f Fields) Plain(markup string) string { return plain(f.read(markup)) }

// RedactHTML is a field's HTML without what must not be shown of it.
func (f Fields) RedactHTML(markup string) string {
	f.src.Text, f.src.Format = markup, HTML
	return f.texts.RedactHTML(f.src)
}

// RedactText is a field's plain text without what must not be shown of it.
func (f Fields) RedactText(text string) string { return f.src.Redact.Text(text) }

// read reads markup. One that is too long ends early and says so.
func (f Fields) read(markup string) *document {
	f.src.Text, f.src.Format = markup, HTML
	doc := f.texts.readShown(f.src)
	if doc.cut {
		doc.blocks = append(doc.blocks, &block{kind: paragraph, runs: []run{{text: fieldCutNote, style: italic}}})
	}
	return doc
}
