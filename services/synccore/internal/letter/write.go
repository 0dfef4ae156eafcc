package letter

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"text/template/parse"
)

// errUnchecked tells of a part of a template that the checker does not let pass.
var errUnchecked = errors.New("the template holds what can't be used")

// writer fills in a template that the checker has let pass. It gives what text/template
// would: that one can call methods by name, whereupon the linker keeps every exported
// method of the whole program, a quarter of it.
type writer struct {
	out  *capped
	data reflect.Value
}

func (w *writer) list(list *parse.ListNode) error {
	if list == nil {
		return nil
	}
	for _, node := range list.Nodes {
		if err := w.node(node); err != nil {
			return err
		}
	}
	return nil
}

func (w *writer) node(node parse.Node) error {
	switch node := node.(type) {
	case *parse.TextNode:
		w.out.write(string(node.Text))
	case *parse.CommentNode:
	case *parse.ActionNode:
		v, err := w.pipe(node.Pipe)
		if err != nil {
			return err
		}
		w.out.write(v.String())
	case *parse.IfNode:
		v, err := w.pipe(node.Pipe)
		if err != nil {
			return err
		}
		if v.isTrue() {
			return w.list(node.List)
		}
		return w.list(node.ElseList)
	default:
		return fmt.Errorf("%w: %s", errUnchecked, node)
	}
	return nil
}

// value is a text, or true or false.
type value struct {
	sort  sort
	text  string
	truth bool
}

func truthOf(truth bool) value { return value{sort: truthful, truth: truth} }

// String is the value as a letter shows it.
func (v value) String() string {
	if v.sort == truthful {
		return strconv.FormatBool(v.truth)
	}
	return v.text
}

func (v value) isTrue() bool {
	if v.sort == truthful {
		return v.truth
	}
	return v.text != ""
}

func (w *writer) pipe(pipe *parse.PipeNode) (value, error) {
	var v value
	for i, command := range pipe.Cmds {
		var piped []value
		if i > 0 {
			piped = []value{v}
		}
		var err error
		if v, err = w.command(command, piped); err != nil {
			return value{}, err
		}
	}
	return v, nil
}

func (w *writer) command(command *parse.CommandNode, piped []value) (value, error) {
	name, isCall := command.Args[0].(*parse.IdentifierNode)
	if !isCall {
		return w.value(command.Args[0])
	}
	given := make([]value, 0, len(command.Args))
	for _, arg := range command.Args[1:] {
		v, err := w.value(arg)
		if err != nil {
			return value{}, err
		}
		given = append(given, v)
	}
	given = append(given, piped...)
	if len(given) == 0 {
		return value{}, fmt.Errorf("%w: %s", errUnchecked, command)
	}
	return call(name, given)
}

func call(name *parse.IdentifierNode, given []value) (value, error) {
	first, others := given[0], given[1:]
	same := func(v value) bool { return v == first }
	switch name.Ident {
	case "not":
		return truthOf(!first.isTrue()), nil
	case "and", "or":
		// The first that settles it, or the last.
		for _, v := range given {
			if v.isTrue() == (name.Ident == "or") {
				return v, nil
			}
		}
		return given[len(given)-1], nil
	case "eq":
		return truthOf(slices.ContainsFunc(others, same)), nil
	case "ne":
		return truthOf(!slices.ContainsFunc(others, same)), nil
	default:
		return value{}, fmt.Errorf("%w: %s", errUnchecked, name)
	}
}

func (w *writer) value(node parse.Node) (value, error) {
	switch node := node.(type) {
	case *parse.StringNode:
		return value{text: node.Text}, nil
	case *parse.PipeNode:
		return w.pipe(node)
	case *parse.FieldNode:
		v := w.data
		for _, name := range node.Ident {
			if v.Kind() == reflect.Struct {
				v = v.FieldByName(name)
			}
		}
		if v.IsValid() && v.Kind() == reflect.String {
			return value{text: v.String()}, nil
		}
	}
	return value{}, fmt.Errorf("%w: %s", errUnchecked, node)
}
