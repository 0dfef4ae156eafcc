package richtext

import (
	"bytes"
	"regexp"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer"
	goldhtml "github.com/yuin/goldmark/renderer/html"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
	"golang.org/x/net/html/atom"
)

var (
	// A person in a Markdown comment (azure-devops.md §2.7).
	personMention = regexp.MustCompile(`^@<([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})>`)
	// An image with a size is Azure DevOps' own addition to Markdown.
	sizedImage = regexp.MustCompile(`^!\[([^\[\]\n]*)\]\(([^()\s]+)\s+=[0-9]*x?[0-9]*\)`)
	tagName    = regexp.MustCompile(`^</?([A-Za-z][0-9A-Za-z-]*)`)
)

// newMarkdown reads what Azure DevOps takes for Markdown: GitHub's tables, lists
// of tasks, struck text and bare links; every line end in a comment shows
// (Azure DevOps: Markdown guidance, paragraphs and line breaks). HTML in it is
// passed on and read like any other HTML: leaving it out would lose what the
// author sees, and nothing in it survives the reader that HTML would not.
func newMarkdown() goldmark.Markdown {
	return goldmark.New(
		goldmark.WithExtensions(extension.GFM),
		goldmark.WithParserOptions(parser.WithInlineParsers(
			util.Prioritized(mentionParser{}, 50),
			util.Prioritized(imageParser{}, 51),
		)),
		goldmark.WithRendererOptions(
			goldhtml.WithHardWraps(), goldhtml.WithUnsafe(),
			renderer.WithNodeRenderers(util.Prioritized(unknownTags{}, 50)),
		),
	)
}

// markdown reads Markdown.
func (b *builder) markdown(md goldmark.Markdown, src Source) {
	s := b.limited(b.takeInlined(b.limited(src.Text, maxRaw)), maxMarkdown)
	s = narrow(guard(shallow(s)))
	pc := parser.NewContext()
	if len(src.Mentions) > 0 {
		names := make(map[string]string, len(src.Mentions))
		for id, name := range src.Mentions {
			names[strings.ToLower(id)] = name
		}
		pc.Set(mentionNames, names)
	}
	var out bytes.Buffer
	if err := md.Convert([]byte(s), &out, parser.WithContext(pc)); err != nil {
		// Only the writer can fail, and this one doesn't.
		b.plain(s)
		return
	}
	// Each character of Markdown is at most a tag or two.
	b.tokens(out.String(), 16*maxMarkdown)
}

// shallow keeps quotes and lists on one line from nesting deeper than anything
// that is shown: each level costs a pass over all lines that follow.
func shallow(s string) string {
	var out strings.Builder
	changed := false
	for line := range strings.Lines(s) {
		end, deeper := opening(line, 2*maxContainers)
		out.WriteString(line[:end])
		for deeper {
			changed = true
			line = line[end:]
			end, deeper = opening(line, 2*maxContainers)
		}
		if changed {
			out.WriteString(line[end:])
		}
	}
	if !changed {
		return s
	}
	return out.String()
}

// narrow keeps tables from being larger than what was written: each row is filled
// up to the columns of the head, so that a short text makes a huge table. And it
// keeps definitions of links from being too many in a row, each of which goldmark
// 1.8.7 copies once for each before it.
func narrow(s string) string {
	const (
		most  = 60_000 // cells of all tables
		inRow = 200    // definitions without an empty line
	)
	if !strings.Contains(s, "|") && !strings.Contains(s, "]:") {
		return s
	}
	var out strings.Builder
	columns, cells, definitions := 0, 0, 0
	for line := range strings.Lines(s) {
		if strings.Contains(line, "]:") {
			if definitions++; definitions%inRow == 0 {
				line = "\n" + line
			}
		}
		switch {
		case strings.TrimSpace(line) == "":
			columns = 0
		case strings.Contains(line, "-") && strings.Trim(line, " \t\r\n>|:-+*0123456789.)") == "":
			columns = max(columns, strings.Count(line, "|")+1)
			if cells += columns; cells > most {
				// No longer the line below a head.
				line = "\\" + line
				columns = 0
			}
		case columns > 0:
			if cells += columns; cells > most {
				line = "\n" + line
				columns = 0
			}
		}
		out.WriteString(line)
	}
	return out.String()
}

// guard escapes brackets that make goldmark 1.8.7 look through all that follows
// and find nothing: "[a](" two hundred thousand times took it five minutes. No
// message means a link by them.
func guard(s string) string {
	const deepest = 64
	var out strings.Builder
	from, open := 0, 0
	escape := func(at int) {
		out.WriteString(s[from:at])
		out.WriteByte('\\')
		from = at
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '\n':
			if i+1 < len(s) && s[i+1] == '\n' {
				open = 0
			}
		case '[':
			if open++; open > deepest {
				escape(i)
			}
		case ']':
			open = max(0, open-1)
			if i+1 < len(s) && s[i+1] == '(' && !closes(s[i+1:]) {
				escape(i + 1)
			}
		}
	}
	if from == 0 {
		return s
	}
	out.WriteString(s[from:])
	return out.String()
}

// closes tells that the bracket at the start of s is closed where a link's can be.
func closes(s string) bool {
	depth := 0
	for i := 0; i < len(s) && i < 2*maxAddress && depth <= 8; i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return true
			}
		}
	}
	return false
}

// opening is how long the signs of so many quotes and items are that a line
// starts with, and whether more of them follow.
func opening(line string, most int) (int, bool) {
	end := 0
	for range most {
		size := blockSign(line[end:])
		if size == 0 {
			return end, false
		}
		end += size
	}
	return end, blockSign(line[end:]) > 0
}

// blockSign is the length of the sign of a quote or an item at the start of s,
// with the spaces before it; 0: there is none.
func blockSign(s string) int {
	body := strings.TrimLeft(s, " \t")
	at := len(s) - len(body)
	digits := len(body) - len(strings.TrimLeft(body, "0123456789"))
	switch {
	case body == "":
		return 0
	case body[0] == '>':
		return at + 1
	case strings.IndexByte("-+*", body[0]) >= 0 && len(body) > 1 && (body[1] == ' ' || body[1] == '\t'):
		return at + 1
	case digits > 0 && digits < 10 && len(body) > digits+1 && strings.IndexByte(".)", body[digits]) >= 0 && body[digits+1] == ' ':
		return at + digits + 1
	default:
		return 0
	}
}

//nolint:gochecknoglobals // goldmark hands out keys of its contexts so
var mentionNames = parser.NewContextKey()

// mentionParser reads @<id>.
type mentionParser struct{}

// Trigger implements parser.InlineParser.
func (mentionParser) Trigger() []byte { return []byte{'@'} }

// Parse implements parser.InlineParser.
func (mentionParser) Parse(_ ast.Node, block text.Reader, pc parser.Context) ast.Node {
	line, _ := block.PeekLine()
	m := personMention.FindSubmatch(line)
	if m == nil {
		return nil
	}
	block.Advance(len(m[0]))
	name := "someone"
	if names, ok := pc.Get(mentionNames).(map[string]string); ok {
		if known := strings.TrimSpace(names[strings.ToLower(string(m[1]))]); known != "" {
			name = known
		}
	}
	return rawString([]byte(name))
}

func rawString(s []byte) *ast.String {
	n := ast.NewString(s)
	n.SetRaw(true)
	return n
}

// imageParser reads an image with a size; goldmark reads the others.
type imageParser struct{}

// Trigger implements parser.InlineParser.
func (imageParser) Trigger() []byte { return []byte{'!'} }

// Parse implements parser.InlineParser.
func (imageParser) Parse(_ ast.Node, block text.Reader, _ parser.Context) ast.Node {
	line, _ := block.PeekLine()
	m := sizedImage.FindSubmatch(line)
	if m == nil {
		return nil
	}
	block.Advance(len(m[0]))
	link := ast.NewLink()
	link.Destination = m[2]
	image := ast.NewImage(link)
	image.AppendChild(image, rawString(m[1]))
	return image
}

// unknownTags shows as text what looks like a tag and is none, such as the
// <String> of a List<String>.
type unknownTags struct{}

// RegisterFuncs implements renderer.NodeRenderer.
func (unknownTags) RegisterFuncs(reg renderer.NodeRendererFuncRegisterer) {
	reg.Register(ast.KindRawHTML, func(w util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
		if raw, ok := node.(*ast.RawHTML); ok && entering {
			writeTags(w, raw.Segments.Value(source))
		}
		return ast.WalkSkipChildren, nil
	})
	reg.Register(ast.KindHTMLBlock, func(w util.BufWriter, source []byte, node ast.Node, entering bool) (ast.WalkStatus, error) {
		if b, ok := node.(*ast.HTMLBlock); ok && entering {
			content := b.Lines().Value(source)
			if b.HasClosure() {
				content = append(content, b.ClosureLine.Value(source)...)
			}
			_, _ = w.WriteString("<div>")
			writeTags(w, content)
			_, _ = w.WriteString("</div>")
		}
		return ast.WalkContinue, nil
	})
}

// writeTags writes HTML, or the text that it is if its first tag isn't one.
func writeTags(w util.BufWriter, content []byte) {
	m := tagName.FindSubmatch(content)
	if m != nil && atom.Lookup(bytes.ToLower(m[1])) == 0 {
		content = util.EscapeHTML(content)
	}
	_, _ = w.Write(content)
}
