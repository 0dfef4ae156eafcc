package config

import (
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// document is a text of YAML or JSON: the file, or a string within it.
type document struct {
	text string
	// lines are those of text, for places within values.
	lines []string
	// indented tells, by line from 1, how many blanks a repair put in front.
	indented map[int]int
	// host is the string that holds this text; nil for the file itself.
	host *value
}

func newDocument(content []byte, host *value) *document {
	text := strings.TrimPrefix(string(content), "\ufeff")
	return &document{text: text, lines: strings.Split(text, "\n"), host: host}
}

// unreadable says why a document is no YAML at all.
type unreadable struct {
	line, column int
	text, remedy string
}

// load parses the document. What fails is tried once more after those repairs that
// can't change its meaning, since settings are pasted from elsewhere.
func (d *document) load() (*yaml.Node, *unreadable) {
	node, err := parseYAML(d.text)
	if err != nil {
		text, indented := repair(d.text)
		if repaired, again := parseYAML(text); again == nil {
			d.indented = indented
			node, err = repaired, nil
		}
	}
	if err == nil {
		return node, nil
	}
	if errors.Is(err, errNothing) {
		return nil, &unreadable{1, 1, "there is nothing in it", "See the example in the README"}
	}
	if errors.Is(err, errSeveral) {
		return nil, &unreadable{1, 1, "it holds several documents, set apart by lines of three dashes", "Keep one document in the file"}
	}
	failure := &unreadable{line: 1, column: 1, text: "it can't be read as YAML or JSON", remedy: "Check quotes, commas, brackets and indentation around this place"}
	if at, ok := errors.AsType[*yaml.LoadError](err); ok {
		if slip, ok := d.slip(at.ContextMark.Line, at.ContextMark.Column); ok {
			return nil, slip
		}
		// A quote that is missing makes YAML look elsewhere.
		for n, line := range d.lines {
			if pastedJSON.MatchString(line) {
				if slip, ok := d.slip(n+1, len(line)); ok {
					return nil, slip
				}
			}
		}
		if at.Mark.Line > 0 {
			failure.line, failure.column = at.Mark.Line, max(1, at.Mark.Column)
		}
		if at.ContextMark.Line > 0 && at.ContextMark.Line != failure.line {
			failure.text += ": what begins at " + d.place(at.ContextMark.Line, max(1, at.ContextMark.Column)).String() + " goes wrong here"
		}
		// Only messages of the scanner and the parser are about the text; they quote
		// none of it.
		if at.Message != "" && len(at.Message) < 100 {
			failure.text += " (" + at.Message + ")"
		}
	}
	return nil, failure
}

// pastedJSON is how the first line of settings looks.
var pastedJSON = regexp.MustCompile(`^\s*(settings:\s*)?\{\s*"`)

// slip finds the place where pasted JSON that begins at a place goes wrong. YAML takes a
// line without its comma as the continuation of the one before, and notices only at the
// end of the file.
func (d *document) slip(line, column int) (*unreadable, bool) {
	if line < 1 || line > len(d.lines) {
		return nil, false
	}
	before := len(strings.Join(d.lines[:line-1], "\n"))
	if line > 1 {
		before++
	}
	begins := strings.IndexByte(d.text[before:], '{')
	if begins < 0 || begins > max(0, column) {
		return nil, false
	}
	rest := d.text[before+begins:]
	if !strings.HasPrefix(strings.TrimSpace(rest[1:]), `"`) {
		return nil, false // braces of YAML, without quotes
	}
	var value any
	at, ok := errors.AsType[*json.SyntaxError](json.NewDecoder(strings.NewReader(rest)).Decode(&value))
	if !ok || at.Offset < 1 || int(at.Offset) > len(rest) {
		return nil, false
	}
	read := rest[:at.Offset-1]
	failure := &unreadable{
		line: line + strings.Count(read, "\n"), text: "the JSON that begins at " + d.place(line, begins+1).String() + " goes wrong here",
		remedy: "Check the comma, quote or bracket here and at the end of the line before",
	}
	if newline := strings.LastIndexByte(read, '\n'); newline >= 0 {
		failure.column = utf8.RuneCountInString(read[newline+1:]) + 1
	} else {
		failure.column = begins + utf8.RuneCountInString(read) + 1
	}
	return failure, true
}

var (
	errNothing = errors.New("no document")
	errSeveral = errors.New("several documents")
)

func parseYAML(text string) (*yaml.Node, error) {
	if strings.TrimSpace(text) == "" {
		return nil, errNothing
	}
	loader, err := yaml.NewLoader(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	var node, next yaml.Node
	if err := loader.Load(&node); errors.Is(err, io.EOF) {
		return nil, errNothing
	} else if err != nil {
		return nil, err
	}
	if err := loader.Load(&next); err == nil {
		return nil, errSeveral
	}
	if node.Kind != yaml.DocumentNode || len(node.Content) == 0 || node.Content[0].Tag == "!!null" {
		return nil, errNothing
	}
	return node.Content[0], nil
}

// spot is a place in the file, or, if within is set, one within a text that begins
// there.
type spot struct {
	line, column int
	within       string
}

// String names the spot in a sentence.
func (s spot) String() string {
	if s.within != "" {
		return s.within
	}
	return "line " + strconv.Itoa(s.line)
}

// locate gives the place of a node in the file, or of a byte within its value.
func (d *document) locate(node *yaml.Node, offset int) spot {
	line, column := node.Line, node.Column
	if offset > 0 && node.Kind == yaml.ScalarNode && line >= 1 && line <= len(d.lines) && offset <= len(node.Value) {
		// Exact only if the value stands in the text as it is, on its first line.
		source := d.lines[line-1]
		from := min(max(0, column-1), len(source))
		if i := strings.Index(source[from:], node.Value); i >= 0 {
			column += utf8.RuneCountInString(source[from : from+i+offset])
		}
	}
	return d.place(line, column)
}

// place gives the place in the file of a place in the document.
func (d *document) place(line, column int) spot {
	if d.host == nil {
		return spot{line: line, column: max(1, column-d.indented[line])}
	}
	outer := d.host.doc
	node := d.host.node
	// A block of lines keeps each line as it is, behind some indentation: there the
	// place can be told exactly.
	if node.Style&yaml.LiteralStyle != 0 && line >= 1 && line <= len(d.lines) {
		if at := node.Line + line; at >= 1 && at <= len(outer.lines) {
			source, inner := strings.TrimRight(outer.lines[at-1], "\r"), strings.TrimRight(d.lines[line-1], "\r")
			if inner != "" && strings.HasSuffix(source, inner) {
				return outer.place(at, column+len(source)-len(inner))
			}
		}
	}
	at := outer.locate(node, 0)
	here := "line " + strconv.Itoa(line) + ", column " + strconv.Itoa(max(1, column-d.indented[line])) + " of its text"
	if at.within != "" {
		here += ", which is at " + at.within
	}
	return spot{line: at.line, column: at.column, within: here}
}

// repair makes YAML of what is well-meant JSON: escaped braces, as the manual's
// form of the URL has them; surrogate pairs; tabs as indentation; and an object
// pasted behind "settings:" without indentation. It tells by how much it indented
// each line.
func repair(text string) (string, map[int]int) {
	text = escapes.ReplaceAllStringFunc(text, func(found string) string {
		switch {
		case found == `\{`:
			return "{"
		case found == `\}`:
			return "}"
		case len(found) == 12:
			high, err := strconv.ParseUint(found[2:6], 16, 16)
			low, err2 := strconv.ParseUint(found[8:12], 16, 16)
			if err != nil || err2 != nil {
				return found
			}
			return string(utf16.DecodeRune(rune(high), rune(low)))
		default:
			return found
		}
	})
	lines := strings.Split(text, "\n")
	indented := map[int]int{}
	for i := 0; i < len(lines); i++ {
		lines[i] = untab(lines[i])
		found := settingsLine.FindStringSubmatch(lines[i])
		if found == nil {
			continue
		}
		wanted := len(found[1]) + 2
		depth := depthAfter(0, found[2])
		started := strings.TrimSpace(found[2]) != ""
		for i+1 < len(lines) && (depth > 0 || !started) {
			next := untab(lines[i+1])
			if trimmed := strings.TrimSpace(next); !started && trimmed != "" {
				if !strings.HasPrefix(trimmed, "{") {
					break
				}
				started = true
			}
			i++
			if add := wanted - leading(next); add > 0 && strings.TrimSpace(next) != "" {
				next = strings.Repeat(" ", wanted) + next
				indented[i+1] = wanted
			}
			depth = depthAfter(depth, next)
			lines[i] = next
		}
	}
	return strings.Join(lines, "\n"), indented
}

var (
	escapes      = regexp.MustCompile(`\\\\|\\\{|\\\}|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}`)
	settingsLine = regexp.MustCompile(`^([ ]*(?:-[ ]+)?)settings:[ ]*(\{.*)?$`)
)

// untab turns the tabs that a line begins with into blanks, one for one, so that
// columns stay.
func untab(line string) string {
	rest := strings.TrimLeft(line, " \t")
	return strings.Repeat(" ", len(line)-len(rest)) + rest
}

func leading(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// depthAfter counts the brackets that are open after a line of JSON.
func depthAfter(depth int, line string) int {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		}
	}
	return depth
}
