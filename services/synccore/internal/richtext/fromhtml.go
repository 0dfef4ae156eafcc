package richtext

import (
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// maxOpen is how many elements are remembered as open. Elements within more of
// them than that have no effect; their text is kept.
const maxOpen = 128

// maxToken is the longest tag, comment, style or piece of text that is read, in bytes: the
// tokenizer keeps a place for each attribute, many times what it takes in the text. A page
// of Outlook has styles of some hundred KB.
const maxToken = 6 << 20

// element is an open element: what it has changed is undone at its end.
type element struct {
	name  atom.Atom
	look  look
	depth int // containers that were open before it
	pre   bool
	tight bool // a paragraph that is only a line
}

// htmlReader turns tokens into calls of a builder. It knows as much of HTML's
// rules about missing tags as messages need, and unlike a browser's algorithm it
// never does the same work twice.
type htmlReader struct {
	*builder
	elements []element
	opened   map[atom.Atom]int
}

// html reads HTML, a fragment or a whole page.
func (b *builder) html(s string) {
	b.tokens(b.takeInlined(b.limited(s, maxRaw)), maxRead)
}

// tokens reads HTML whose inlined images have been taken out.
func (b *builder) tokens(s string, limit int) {
	r := htmlReader{builder: b, opened: make(map[atom.Atom]int)}
	z := html.NewTokenizer(strings.NewReader(s))
	z.SetMaxBuf(maxToken)
	read := 0
	raw := false // the next text is a script's, a style's or the like
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			b.doc.cut = b.doc.cut || errors.Is(z.Err(), html.ErrBufferExceeded)
			return
		}
		if !raw || kind != html.TextToken {
			if read += len(z.Raw()); read > limit && kind != html.EndTagToken {
				b.doc.cut = true
				return
			}
		}
		switch kind {
		case html.TextToken:
			if !raw {
				r.text(string(z.Text()))
			}
			raw = false
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			a := atom.Lookup(name)
			raw = unread(a)
			if a != 0 {
				r.start(a, z, more)
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			raw = false
			if a := atom.Lookup(name); a != 0 {
				r.end(a)
			}
		case html.CommentToken, html.DoctypeToken, html.ErrorToken:
		}
	}
}

// unread tells that the tokenizer gives an element's content as one text, which is
// no part of the message.
func unread(a atom.Atom) bool {
	switch a {
	case atom.Script, atom.Style, atom.Title, atom.Iframe, atom.Noembed, atom.Noframes, atom.Noscript:
		return true
	default:
		return false
	}
}

// attributes are the few that matter.
type attributes struct {
	href, src, alt, title, class, style, mention, kind, width, height, start, colspan, rowspan string
	hidden, checked                                                                            bool
}

func readAttributes(z *html.Tokenizer, more bool) attributes {
	var a attributes
	for more {
		var key, value []byte
		key, value, more = z.TagAttr()
		set := func(to *string) {
			if *to == "" {
				*to = string(value)
			}
		}
		switch string(key) {
		case "href":
			set(&a.href)
		case "src":
			set(&a.src)
		case "alt":
			set(&a.alt)
		case "title":
			set(&a.title)
		case "class":
			set(&a.class)
		case "style":
			set(&a.style)
		case "data-vss-mention":
			set(&a.mention)
		case "type":
			set(&a.kind)
		case "width":
			set(&a.width)
		case "height":
			set(&a.height)
		case "start":
			set(&a.start)
		case "colspan":
			set(&a.colspan)
		case "rowspan":
			set(&a.rowspan)
		case "hidden":
			a.hidden = true
		case "checked":
			a.checked = true
		}
	}
	if len(a.style) > maxAddress {
		a.style = a.style[:maxAddress]
	}
	a.style = strings.ReplaceAll(strings.ToLower(a.style), " ", "")
	return a
}

// start opens an element.
func (r *htmlReader) start(name atom.Atom, z *html.Tokenizer, more bool) {
	attr := readAttributes(z, more)
	if r.void(name, attr) {
		return
	}
	r.imply(name)
	if len(r.elements) >= maxOpen {
		if isBlock(name) {
			r.boundary()
		}
		return
	}
	e := element{name: name, look: r.look, depth: len(r.open)}
	if hiddenStyle(attr) {
		r.look.hidden = true
	}
	switch name {
	case atom.Pre, atom.Listing, atom.Xmp:
		if r.pre == nil && !r.look.hidden {
			r.startPre(language(attr.class))
			e.pre = r.pre != nil
		}
	case atom.Code:
		if r.pre == nil {
			r.look.style |= code
		} else if r.preText.Len() == 0 && r.pre.lang == "" {
			r.pre.lang = language(attr.class)
		}
	default:
		if r.pre != nil {
			if isBlock(name) {
				r.boundary()
			}
			break
		}
		r.styled(name)
		e.tight = name == atom.P && tightParagraph(attr)
		r.structure(name, attr, e.tight)
		r.dress(name, attr)
	}
	r.elements = append(r.elements, e)
	r.opened[name]++
}

// tightParagraph tells that a paragraph has no space around, as Outlook's have
// not: then it is a line.
func tightParagraph(attr attributes) bool {
	return outlookClass.MatchString(attr.class) || zeroMargin.MatchString(attr.style)
}

// end closes an element and what was left open in it.
func (r *htmlReader) end(name atom.Atom) {
	if r.opened[name] == 0 {
		switch {
		case name == atom.Br:
			r.lineBreak()
		case isBlock(name):
			r.boundary()
		}
		return
	}
	// A table cell isn't left by the end of something opened before it.
	within := false // a block within the element is still open
	for i, v := range slices.Backward(r.elements) {
		if v.name == name {
			if within && !isBlock(name) && r.drop(i) {
				return
			}
			r.close(i)
			return
		}
		within = within || isBlock(v.name)
		if fence(v.name) && !fence(name) {
			if isBlock(name) {
				r.boundary()
			}
			return
		}
	}
}

// drop undoes the element at position i alone and leaves what was opened in it, as a
// browser does with <b><p>…</b>…: the paragraph goes on. False: it must be closed with
// all that is in it.
func (r *htmlReader) drop(i int) bool {
	before, after := r.elements[i].look, r.elements[i+1].look
	if r.elements[i].name == atom.Q || before.outlook != after.outlook || before.marker != after.marker {
		return false
	}
	r.opened[r.elements[i].name]--
	r.elements = slices.Delete(r.elements, i, i+1)
	undo := func(l *look) {
		l.style &^= after.style &^ before.style
		if l.href == after.href {
			l.href = before.href
		}
		if l.shift == after.shift {
			l.shift = before.shift
		}
		l.keep = l.keep && (before.keep || !after.keep)
		l.hidden = l.hidden && (before.hidden || !after.hidden)
		l.mention = l.mention && before.mention
	}
	for j := i; j < len(r.elements); j++ {
		undo(&r.elements[j].look)
	}
	undo(&r.look)
	return true
}

// close undoes the elements from position i on.
func (r *htmlReader) close(i int) {
	for len(r.elements) > i {
		e := last(r.elements)
		r.elements = r.elements[:len(r.elements)-1]
		r.opened[e.name]--
		switch {
		case e.pre:
			r.endPre()
		case r.pre != nil:
			if isBlock(e.name) {
				r.boundary()
			}
			continue
		case e.name == atom.A:
			r.unlink()
		case e.name == atom.Q:
			r.text("”")
		case r.look.outlook != e.look.outlook, paragraphEnd(e.name) && !e.tight:
			r.endParagraph()
		case isBlock(e.name):
			r.boundary()
		}
		if len(r.open) > e.depth {
			r.leave(e.depth)
		}
		r.look = e.look
	}
}

// imply closes what the start of an element ends without saying so.
func (r *htmlReader) imply(name atom.Atom) {
	var ends, within func(atom.Atom) bool
	switch {
	case name == atom.Li:
		ends, within = is(atom.Li), is(atom.Ul, atom.Ol, atom.Menu, atom.Dir, atom.Td, atom.Th)
	case name == atom.Tr || name == atom.Tbody || name == atom.Thead || name == atom.Tfoot:
		ends, within = is(atom.Tr), is(atom.Table)
	case name == atom.Td || name == atom.Th:
		ends, within = is(atom.Td, atom.Th), is(atom.Tr, atom.Table)
	case name == atom.Dt || name == atom.Dd:
		ends, within = is(atom.Dt, atom.Dd), is(atom.Dl, atom.Td, atom.Th)
	case isBlock(name) && r.opened[atom.P] > 0:
		ends, within = is(atom.P), isBlock
	default:
		return
	}
	for i, v := range slices.Backward(r.elements) {
		if ends(v.name) {
			r.close(i)
			return
		}
		if within(v.name) {
			return
		}
	}
}

func is(names ...atom.Atom) func(atom.Atom) bool {
	return func(a atom.Atom) bool { return slices.Contains(names, a) }
}

// isBlock tells that an element starts and ends a line.
func isBlock(a atom.Atom) bool {
	switch a {
	case atom.Address, atom.Article, atom.Aside, atom.Blockquote, atom.Caption, atom.Center, atom.Dd, atom.Details, atom.Dialog,
		atom.Dir, atom.Div, atom.Dl, atom.Dt, atom.Fieldset, atom.Figcaption, atom.Figure, atom.Footer, atom.Form, atom.H1, atom.H2,
		atom.H3, atom.H4, atom.H5, atom.H6, atom.Header, atom.Hr, atom.Legend, atom.Li, atom.Listing, atom.Main, atom.Menu, atom.Nav,
		atom.Ol, atom.Option, atom.P, atom.Pre, atom.Section, atom.Summary, atom.Table, atom.Tbody, atom.Td, atom.Tfoot, atom.Th,
		atom.Thead, atom.Tr, atom.Ul, atom.Xmp:
		return true
	default:
		return false
	}
}

// container tells that an element holds paragraphs of its own.
func container(a atom.Atom) bool {
	return fence(a) || is(atom.Ul, atom.Ol, atom.Menu, atom.Dir, atom.Li, atom.Blockquote)(a)
}

// fence tells that an element keeps to itself what is left open in it.
func fence(a atom.Atom) bool {
	return is(atom.Table, atom.Tbody, atom.Thead, atom.Tfoot, atom.Tr, atom.Td, atom.Th, atom.Caption)(a)
}

// paragraphEnd tells that an element has space below.
func paragraphEnd(a atom.Atom) bool {
	return container(a) || is(atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6)(a)
}

// anchor starts a link, or the name of a mentioned person. Azure DevOps marks a
// person with version:2.0 and a work item, which may stay a link, with version:1.0
// (azure-devops.md §2.7).
func (r *htmlReader) anchor(attr attributes) {
	r.look.href = ""
	if strings.HasPrefix(strings.TrimSpace(attr.mention), "version:2") {
		r.look.mention = true
		return
	}
	r.look.href = r.address(attr.href)
}

// span is how many columns or rows a cell covers.
func span(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n < 2 {
		return 0
	}
	return min(n, 50)
}

// void handles elements that have no end.
func (r *htmlReader) void(name atom.Atom, attr attributes) bool {
	switch name {
	case atom.Br:
		if !r.look.hidden {
			r.lineBreak()
		}
	case atom.Hr:
		if !r.look.hidden {
			r.ruler()
		}
	case atom.Img:
		tiny := hiddenStyle(attr) || speck(attr.width) || speck(attr.height) || speckStyle.MatchString(attr.style)
		r.image(attr.src, attr.alt, attr.title, tiny)
	case atom.Input:
		if strings.EqualFold(attr.kind, "checkbox") {
			box := "☐ "
			if attr.checked {
				box = "☑ "
			}
			r.text(box)
		}
	case atom.Wbr, atom.Meta, atom.Link, atom.Base, atom.Col, atom.Area, atom.Source, atom.Track, atom.Embed, atom.Param,
		atom.Html, atom.Head, atom.Body, atom.Script, atom.Style, atom.Title, atom.Iframe, atom.Noembed, atom.Noframes, atom.Noscript:
	default:
		return false
	}
	return true
}

func hiddenStyle(attr attributes) bool {
	return attr.hidden || strings.Contains(attr.style, "display:none") || strings.Contains(attr.style, "visibility:hidden") ||
		strings.Contains(attr.style, "mso-hide:all")
}

var (
	speckStyle   = regexp.MustCompile(`(?:^|;)(?:max-)?(?:width|height):[0-2](?:px|pt)?(?:!important)?(?:;|$)`)
	languageName = regexp.MustCompile(`(?:^|\s)(?:language|lang)-([0-9A-Za-z+#_-]{1,30})(?:\s|$)`)
	boldStyle    = regexp.MustCompile(`(?:^|;)font-weight:(?:bold|bolder|[6-9]00)`)
	outlookLevel = regexp.MustCompile(`mso-list:.*?level([1-9])`)
	outlookClass = regexp.MustCompile(`(?:^|\s)Mso(?:Normal|PlainText|NoSpacing|ListParagraph)`)
	zeroMargin   = regexp.MustCompile(`(?:^|;)margin:0(?:px|pt|cm|in)?(?:;|$)`)
)

// speck tells that a length is of a pixel or two: a tracker's or a spacer's.
func speck(s string) bool {
	n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(s), "px"))
	return err == nil && n >= 0 && n <= 2
}

func language(class string) string {
	if m := languageName.FindStringSubmatch(class); m != nil {
		return m[1]
	}
	return ""
}

// dress applies what the style attribute says and the formats can show.
func (r *htmlReader) dress(name atom.Atom, attr attributes) {
	s := attr.style
	if s == "" {
		return
	}
	if boldStyle.MatchString(s) {
		r.look.style |= bold
	}
	if strings.Contains(s, "font-style:italic") {
		r.look.style |= italic
	}
	if strings.Contains(s, "line-through") {
		r.look.style |= strike
	}
	if strings.Contains(s, "white-space:pre") && !strings.Contains(s, "white-space:pre-line") {
		r.look.keep = true
	}
	if strings.Contains(s, "border-top:solid") && name == atom.Div && r.leaf != nil {
		// Outlook's line above the message that is answered.
		r.ruler()
	}
	if strings.Contains(s, "mso-list:ignore") {
		r.look.marker = r.look.outlook > 0
	} else if m := outlookLevel.FindStringSubmatch(s); m != nil {
		r.endParagraph()
		r.look.outlook = int(m[1][0] - '0')
	}
}

// styled applies what the element's name says about the look.
func (r *htmlReader) styled(name atom.Atom) {
	switch name {
	case atom.B, atom.Strong, atom.Dt:
		r.look.style |= bold
	case atom.I, atom.Em, atom.Cite, atom.Dfn, atom.Var:
		r.look.style |= italic
	case atom.U, atom.Ins:
		r.look.style |= underline
	case atom.S, atom.Strike, atom.Del:
		r.look.style |= strike
	case atom.Kbd, atom.Samp, atom.Tt:
		r.look.style |= code
	case atom.Sup:
		r.look.shift = 1
	case atom.Sub:
		r.look.shift = -1
	default:
	}
}

// structure applies what the element's name says about the structure.
func (r *htmlReader) structure(name atom.Atom, attr attributes, tight bool) {
	if container(name) {
		r.look.heading, r.look.outlook = 0, 0
	}
	switch name {
	case atom.P:
		if tight {
			r.boundary()
		} else {
			r.endParagraph()
		}
	case atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6:
		r.endParagraph()
		r.look.heading = int(name.String()[1] - '0')
	case atom.Ul, atom.Menu, atom.Dir:
		r.enter(&block{kind: list})
	case atom.Ol:
		start, err := strconv.Atoi(attr.start)
		if err != nil || start < 0 || start > 999_999_999 {
			start = 1
		}
		r.enter(&block{kind: list, ordered: true, level: start})
	case atom.Li:
		r.enter(&block{kind: listItem})
	case atom.Blockquote:
		r.enter(&block{kind: quote})
	case atom.Table:
		r.enter(&block{kind: table})
	case atom.Tr, atom.Caption:
		r.enter(&block{kind: row})
	case atom.Td, atom.Th:
		r.enter(&block{kind: cell, head: name == atom.Th, colspan: span(attr.colspan), rowspan: span(attr.rowspan)})
	case atom.A:
		r.anchor(attr)
	case atom.Q:
		r.text("“")
	default:
		if isBlock(name) {
			r.boundary()
		}
	}
}
