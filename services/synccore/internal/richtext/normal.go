package richtext

import (
	"bytes"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Message is a text that was read, to be compared with others. It is not kept: it is
// many times the size of the text.
type Message struct{ doc *document }

// Read reads a text. Nothing is taken out of it.
func (c *Converter) Read(src Source) Message { return Message{doc: c.read(src)} }

// Normal is what a text says, in a form that two texts share exactly if they say
// the same: it doesn't change when a vendor reorders attributes, escapes
// otherwise, turns <div> into <p>, adds or drops empty lines, hard spaces, word
// joiners, wrappers or links on bare addresses, or moves an image to another
// address of the same attachment. It is for comparing and hashing, not for reading.
//
// Emphasis doesn't count: a change of nothing but bold is no change, since not
// all of it survives both formats; a line struck through does, as that changes
// what is said.
func (m Message) Normal() string {
	n := normalWriter{doc: m.doc}
	n.blocks(m.doc.blocks, "")
	return strings.Join(n.lines, "\n")
}

type normalWriter struct {
	doc   *document
	lines []string
}

func (n *normalWriter) blocks(blocks []*block, prefix string) {
	for _, b := range blocks {
		n.block(b, prefix)
	}
}

func (n *normalWriter) block(b *block, prefix string) {
	switch b.kind {
	case paragraph:
		n.runs(b.runs, prefix)
	case heading:
		n.runs(b.runs, prefix+"# ")
	case quote:
		n.blocks(b.blocks, prefix+"> ")
	case list:
		sign := "- "
		if b.ordered {
			sign = "1 "
		}
		for _, i := range b.blocks {
			n.blocks(i.blocks, prefix+sign)
		}
	case preformatted:
		for line := range strings.SplitSeq(b.text, "\n") {
			n.lines = append(n.lines, prefix+"` "+norm.NFC.String(line))
		}
	case table:
		for _, r := range b.blocks {
			cells := make([]string, 0, len(r.blocks))
			for _, c := range r.blocks {
				if text := n.text(flatten(c.blocks)); text != "" {
					cells = append(cells, text)
				}
			}
			n.lines = append(n.lines, prefix+strings.Join(cells, " | "))
		}
	case rule:
		n.lines = append(n.lines, prefix+"---")
	case listItem, row, cell:
		n.blocks(b.blocks, prefix)
	}
}

func (n *normalWriter) runs(runs []run, prefix string) {
	for _, l := range lines(runs) {
		if text := n.text(l); text != "" {
			n.lines = append(n.lines, prefix+text)
		}
	}
}

// text is what runs say, on one line.
func (n *normalWriter) text(runs []run) string {
	var b []byte
	seen := false // text struck out, its end not yet marked
	for i := 0; i < len(runs); {
		href := runs[i].href
		struck := runs[i].style & strike
		from := len(b)
		for ; i < len(runs) && runs[i].href == href && runs[i].style&strike == struck; i++ {
			switch {
			case runs[i].end:
				b = append(b, ' ')
			case runs[i].image > 0:
				b = append(b, "\ufffc"+imageIdentity(n.doc.images[runs[i].image-1].Src)...)
			default:
				b = append(b, runs[i].text...)
			}
		}
		text := string(b[from:])
		if href != "" && strings.TrimSpace(text) != "" && !sameAddress(text, href) {
			b = append(b, "<"+href+">"...)
		}
		seen = seen || struck != 0 && strings.TrimSpace(text) != ""
		if seen && (i == len(runs) || runs[i].style&strike == 0) {
			// A space at its end may come to stand behind it.
			end := len(bytes.TrimRightFunc(b, unicode.IsSpace))
			b = slices.Insert(b, end, '~')
			seen = false
		}
	}
	return norm.NFC.String(strings.Join(strings.Fields(string(b)), " "))
}
