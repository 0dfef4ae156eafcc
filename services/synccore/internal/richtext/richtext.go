package richtext

import (
	"strings"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"

	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
)

// Format is how a text is written.
type Format string

// The formats. Plain can be read and is never a target.
const (
	HTML     Format = "html"
	Markdown Format = "markdown"
	Plain    Format = "plain"
)

// Source is a text as its system shows it.
type Source struct {
	// Title is a line before the text, which References don't know of; empty: none.
	Title  string
	Text   string
	Format Format
	// Base is the address that relative links and images are relative to; empty:
	// relative links become text, relative images notes.
	Base string
	// Roots are the addresses below which the system serves its attachments, such as
	// https://dev.azure.com/contoso/. An image from anywhere else is not carried
	// over, so that nobody can have our token sent elsewhere, or to another
	// organization on the same host. What is read from there must still be checked to
	// be an image.
	Roots []string
	// Mentions are the display names of people by the id that Markdown's @<id>
	// holds, in any letter case; Mentioned tells for whom they are wanted. Whoever is
	// missing is "someone". Leave it out where texts are compared: names change.
	Mentions map[string]string
	// Redact finds what Convert and PlainText must not show of the text; nil: nothing.
	// Normal and references don't know of it: what the author wrote stays what it is.
	Redact *redact.Redactor
}

// Target is what a text is to become.
type Target struct {
	// Format is HTML or Markdown.
	Format Format
	// Max is how many characters the target takes, counted as both vendors do, in
	// UTF-16 units of the marked-up text; 0: no limit but the one on input. Room
	// for what Mirror adds and for the addresses of images is kept free.
	Max int
}

// Result is a converted text.
type Result struct {
	// Text is in the target's format. Its images are placeholders until WithImages
	// fills them in.
	Text string
	// Images are the images in Text, in the order in which they first appear.
	Images []Image
	// Truncated tells that Text ends early, with a visible note.
	Truncated bool
	// Full is the whole text, plain, to be attached when Text is truncated; else
	// empty. It is plain because an attached HTML file would be active content.
	Full string

	format Format
}

// The limits on what is read. A message beyond them is cut, and says so.
const (
	// maxRaw is how many bytes are looked at, inlined images and styles included.
	maxRaw = 32 << 20
	// maxRead is how many bytes of HTML or plain text are read once inlined images
	// are taken out; styles and scripts don't count.
	maxRead = 1 << 20
	// maxMarkdown is how many characters (UTF-16 units) of Markdown are read: more
	// than any comment has (azure-devops.md §2.7 quotes 150,000).
	maxMarkdown = 200_000
	// maxImages is how many files Azure DevOps takes for one work item
	// (azure-devops.md §2.8).
	maxImages = 100
	// maxParts bounds the blocks and runs of a document.
	maxParts = 60_000
)

// Converter converts texts. It is safe for concurrent use.
type Converter struct {
	policy   *bluemonday.Policy
	markdown goldmark.Markdown
}

// New returns a converter. It is worth keeping: making one compiles its grammar.
func New() *Converter {
	return &Converter{policy: newPolicy(), markdown: newMarkdown()}
}

// Convert reads a text and writes it for the other system.
func (c *Converter) Convert(src Source, to Target) Result {
	doc := c.readShown(src)
	limit := to.Max
	if limit > 0 {
		limit = max(limit-mirrorRoom, minRoom)
	}
	text, images, cut := c.fit(doc, to.Format, limit)
	result := Result{Text: text, Images: images, Truncated: cut || doc.cut, format: to.Format}
	if result.Truncated {
		result.Full = plain(doc)
	}
	return result
}

// PlainText is a text without markup, for a subject, an e-mail or a list: at most
// limit UTF-16 units (0: no limit), ended with … where it was cut.
func (c *Converter) PlainText(src Source, limit int) string {
	text := plain(c.readShown(src))
	if limit > 0 && units(text) > limit {
		text = strings.TrimSpace(clip(text, limit-1)) + "…"
	}
	return text
}

// read brings a text of any format into a document.
func (c *Converter) read(src Source) *document {
	doc := c.parse(src)
	level(doc.blocks)
	return doc
}

// parse is read for a document that is not yet levelled: what was raised or lowered
// stands in it as it was written.
func (c *Converter) parse(src Source) *document {
	b := newBuilder(src)
	b.title(src.Title)
	switch src.Format {
	case Markdown:
		b.markdown(c.markdown, src)
	case Plain:
		b.plain(src.Text)
	case HTML:
		fallthrough
	default:
		b.html(src.Text)
	}
	return b.finish()
}

// write writes a document in a target's format.
func (c *Converter) write(doc *document, format Format) (string, []Image) {
	if format == Markdown {
		w := markdownWriter{images: placed{doc: doc}}
		w.blocks(doc.blocks, "")
		return w.text(), w.images.used
	}
	w := htmlWriter{images: placed{doc: doc}}
	w.blocks(doc.blocks)
	// What was written is harmless already. The policy is the second lock: it is
	// kept by people who do nothing else.
	return strings.TrimSuffix(c.policy.Sanitize(w.out.String()), "\n"), w.images.used
}

// placed numbers the images of a document in the order they are written.
type placed struct {
	doc     *document
	numbers map[int]int
	used    []Image
}

// number is the placeholder's number of an image of the document.
func (p *placed) number(image int) int {
	if n, found := p.numbers[image]; found {
		return n
	}
	if p.numbers == nil {
		p.numbers = make(map[int]int)
	}
	n := len(p.used)
	p.numbers[image] = n
	p.used = append(p.used, p.doc.images[image-1])
	return n
}
