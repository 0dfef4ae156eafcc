package richtext

import (
	"bytes"
	"regexp"
	"slices"
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
	personMention = regexp.MustCompile(`^` + anyMention.String())
	anyMention    = regexp.MustCompile(`@<([0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})>`)
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
	s := b.limited(b.takeInlined(b.limited(src.Text, maxRaw)), maxRead)
	if head := firstUnits(s, maxMarkdown); head != s {
		s, b.doc.cut = head, true
	}
	s = defuse(s)
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
		b.plain(restore(s))
		return
	}
	// Each character of Markdown is at most a tag or two.
	b.tokens(restore(out.String()), 16*maxRead)
}

// maxMentioned is how many people are looked for in one text.
const maxMentioned = 40

// Mentioned lists the ids whose names Source.Mentions is to tell, in lower case. In
// HTML a mention has the name beside it.
func Mentioned(src Source) []string {
	if src.Format != Markdown {
		return nil
	}
	var ids []string
	rest := firstUnits(src.Text, maxMarkdown)
	for len(ids) < maxMentioned {
		at := anyMention.FindStringSubmatchIndex(rest)
		if at == nil {
			break
		}
		if id := strings.ToLower(rest[at[2]:at[3]]); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		rest = rest[at[1]:]
	}
	return ids
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
