package letter

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/agnivade/levenshtein"
)

// The parts of a template.
const (
	Subject = "subject"
	Body    = "body"
)

// Error is what is wrong with one part of a template.
type Error struct {
	// Part is Subject or Body.
	Part string
	// Line counts from 1.
	Line int
	// Text is one sentence that says what is wrong, and Remedy one that says what to do,
	// both without a full stop.
	Text, Remedy string
}

// Error gives both sentences.
func (e *Error) Error() string {
	return fmt.Sprintf("line %d of the %s: %s; %s", e.Line, e.Part, e.Text, e.Remedy)
}

// functions are what a template may call. None of them makes text of nothing, so that no
// template makes a long letter of a short one.
var functions = []string{"and", "or", "not", "eq", "ne"} //nolint:gochecknoglobals // a constant list

// Fields are the names that a template may use, such as .Ticket.Title.
func Fields() []string { return fieldsOf(reflect.TypeFor[Data](), "") }

func fieldsOf(t reflect.Type, prefix string) []string {
	var names []string
	for field := range t.Fields() {
		name := prefix + "." + field.Name
		if field.Type.Kind() == reflect.Struct {
			names = append(names, fieldsOf(field.Type, name)...)
			continue
		}
		names = append(names, name)
	}
	return names
}

// parseMessage is how text/template words its errors: template: NAME:LINE: TEXT.
var parseMessage = regexp.MustCompile(`^template: [a-z]+:([0-9]+):(?:[0-9]+:)? ?(.*)$`)

func compile(name, text string) (*template.Template, *Error) {
	if len(text) > MaxTemplate {
		return nil, &Error{name, 1, fmt.Sprintf("it is longer than %d KiB", MaxTemplate>>10), "Shorten it"}
	}
	parsed, err := template.New(name).Option("missingkey=error").Parse(text)
	if err != nil {
		failure := &Error{name, 1, err.Error(), "Close every {{ with }} and every if with {{end}}"}
		if m := parseMessage.FindStringSubmatch(err.Error()); m != nil {
			failure.Line, _ = strconv.Atoi(m[1])
			failure.Text = m[2]
		}
		return nil, failure
	}
	if len(parsed.Templates()) > 1 {
		return nil, &Error{name, 1, "it defines further templates", "Write one text without define and block"}
	}
	c := checker{name: name, text: text, fields: Fields()}
	if parsed.Tree == nil || parse.IsEmptyTree(parsed.Root) {
		return nil, &Error{name, 1, "it is empty", "Give it a text, or remove the key for the usual one"}
	}
	if failure := c.list(parsed.Root); failure != nil {
		return nil, failure
	}
	return parsed, nil
}

// checker walks a template. Since nothing in it may change what the dot is, each field
// can be checked by its name, also where no example would lead; since nothing in it may
// repeat, a letter is not longer than its template and the values named there.
type checker struct {
	name, text string
	fields     []string
}

func (c *checker) fail(node parse.Node, remedy, format string, args ...any) *Error {
	at := min(max(0, int(node.Position())), len(c.text))
	return &Error{c.name, 1 + strings.Count(c.text[:at], "\n"), fmt.Sprintf(format, args...), remedy}
}

func (c *checker) list(list *parse.ListNode) *Error {
	if list == nil {
		return nil
	}
	for _, node := range list.Nodes {
		var failure *Error
		switch node := node.(type) {
		case *parse.TextNode, *parse.CommentNode:
		case *parse.ActionNode:
			_, failure = c.pipe(node.Pipe)
		case *parse.IfNode:
			if _, failure = c.pipe(node.Pipe); failure == nil {
				failure = c.list(node.List)
			}
			if failure == nil {
				failure = c.list(node.ElseList)
			}
		default:
			failure = c.fail(node, "Use fields such as {{.Ticket.Title}} and {{if .Solver.Name}} … {{else}} … {{end}}",
				"only fields, if and else can be used here")
		}
		if failure != nil {
			return failure
		}
	}
	return nil
}

// sort is what a value is: text, or true or false.
type sort int

const (
	textual sort = iota
	truthful
)

func (c *checker) pipe(pipe *parse.PipeNode) (sort, *Error) {
	if len(pipe.Decl) > 0 {
		return textual, c.fail(pipe, "Use the fields themselves", "variables can't be used here")
	}
	var value sort
	for i, command := range pipe.Cmds {
		var piped []sort
		if i > 0 {
			piped = []sort{value}
		}
		var failure *Error
		if value, failure = c.command(command, piped); failure != nil {
			return textual, failure
		}
	}
	return value, nil
}

func (c *checker) command(command *parse.CommandNode, piped []sort) (sort, *Error) {
	name, isCall := command.Args[0].(*parse.IdentifierNode)
	if !isCall {
		if len(command.Args) > 1 || len(piped) > 0 {
			return textual, c.fail(command, "Write one field between {{ and }}", "%s takes no arguments", command.Args[0])
		}
		return c.value(command.Args[0])
	}
	if !slices.Contains(functions, name.Ident) {
		return textual, c.fail(command, "Known here are "+strings.Join(functions, ", "), "the function %s can't be used here", name.Ident)
	}
	sorts := make([]sort, 0, len(command.Args))
	for _, arg := range command.Args[1:] {
		one, failure := c.value(arg)
		if failure != nil {
			return textual, failure
		}
		sorts = append(sorts, one)
	}
	return c.call(command, name.Ident, append(sorts, piped...))
}

// call checks what a function is given and tells what it gives.
func (c *checker) call(node parse.Node, name string, given []sort) (sort, *Error) {
	most := 8
	least := 1
	switch name {
	case "not":
		most = 1
	case "ne":
		least, most = 2, 2
	case "eq":
		least = 2
	}
	if len(given) < least || len(given) > most {
		return textual, c.fail(node, "Give it the values to look at, as in {{if eq .Ticket.Status \"Testing\"}}", "%s is given %d values", name, len(given))
	}
	if name == "eq" || name == "ne" {
		if slices.Contains(given, truthful) {
			return textual, c.fail(node, "Compare fields and texts", "%s compares what is true or false with a text", name)
		}
		return truthful, nil
	}
	if name == "not" || slices.Contains(given, truthful) {
		return truthful, nil
	}
	return textual, nil
}

// value checks a field, a text or what stands in parentheses.
func (c *checker) value(node parse.Node) (sort, *Error) {
	switch node := node.(type) {
	case *parse.StringNode:
		return textual, nil
	case *parse.PipeNode:
		return c.pipe(node)
	case *parse.FieldNode:
		field := "." + strings.Join(node.Ident, ".")
		if slices.Contains(c.fields, field) {
			return textual, nil
		}
		return textual, c.fail(node, c.nearest(field), "there is no field %s", field)
	default:
		return textual, c.fail(node, "Known fields are "+strings.Join(c.fields, " "), "%s can't be used here", node)
	}
}

func (c *checker) nearest(field string) string {
	best, distance := "", len(field)/3+2
	for _, known := range c.fields {
		if d := levenshtein.ComputeDistance(strings.ToLower(field), strings.ToLower(known)); d < distance {
			best, distance = known, d
		}
	}
	if best != "" {
		return "Did you mean " + best + "?"
	}
	return "Known fields are " + strings.Join(c.fields, " ")
}
