package schema

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// Value says what may stand behind a key.
type Value struct {
	// kind is what people are told it is, such as "true or false".
	kind string
	// leaf makes the schema of a value without keys of its own.
	leaf func() *jsonschema.Schema
	// object gives the keys of an object, of each item of a list, or of each entry of a map.
	object func() Object
	// wrap puts the object's schema into that list or map; nil: it stands alone.
	wrap func(*jsonschema.Schema) *jsonschema.Schema
	// within is how the page writes the way to a key below, such as "[]".
	within string
}

// Kind is what people are told the value is, such as "a number from 1 to 10".
func (v Value) Kind() string { return v.kind }

// Below is the object that a value holds, directly or in each of its items, and how the
// way into it is written: as nothing, [] or .NAME. Nil: it holds none.
func (v Value) Below() (*Object, string) {
	if v.object == nil {
		return nil, ""
	}
	object := v.object()
	return &object, v.within
}

// A reader asks for the names of keys alone, so schemas are made when they are wanted.
func leaf(kind string, schema func() *jsonschema.Schema) Value {
	return Value{kind: kind, leaf: schema}
}

const (
	typeText   = "string"
	typeWhole  = "integer"
	typeNumber = "number"
	typeFlag   = "boolean"
	typeObject = "object"
	typeList   = "array"
)

// Text is any text.
func Text() Value {
	return leaf("text", func() *jsonschema.Schema { return &jsonschema.Schema{Type: typeText} })
}

// Filled is a text of which something is left without the blanks around it.
func Filled() Value { return Pattern("text", `\S`) }

// Pattern is a text that a regular expression (ECMA 262) matches; kind says in words what
// it is.
func Pattern(kind, pattern string) Value {
	return leaf(kind, func() *jsonschema.Schema { return &jsonschema.Schema{Type: typeText, Pattern: pattern} })
}

// Words are a few words of which one must stand there.
func Words(words ...string) Value {
	quoted := make([]string, len(words))
	enum := make([]any, len(words))
	for i, word := range words {
		quoted[i], enum[i] = "`"+word+"`", word
	}
	return leaf(strings.Join(quoted, ", "), func() *jsonschema.Schema { return &jsonschema.Schema{Type: typeText, Enum: enum} })
}

// Flag is true or false.
func Flag() Value {
	return leaf("`true` or `false`", func() *jsonschema.Schema { return &jsonschema.Schema{Type: typeFlag} })
}

// Number is a number between two bounds.
func Number(least, most float64) Value {
	return leaf(fmt.Sprintf("a number from %v to %s", least, grouped(int64(most))), func() *jsonschema.Schema {
		return &jsonschema.Schema{Type: typeNumber, Minimum: &least, Maximum: &most}
	})
}

// Whole is a whole number between two bounds.
func Whole(least, most int64) Value {
	from, to := float64(least), float64(most)
	return leaf(fmt.Sprintf("a whole number from %s to %s", grouped(least), grouped(most)), func() *jsonschema.Schema {
		return &jsonschema.Schema{Type: typeWhole, Minimum: &from, Maximum: &to}
	})
}

// grouped writes a number with commas.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Span is a time span of at least a second, such as 1h30m.
func Span() Value {
	return Pattern("a time span of a second or more, such as `30s`, `5m` or `1h30m`",
		`^\s*\+?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+\s*$`)
}

// Or lets any of several values stand there; kind says in words what.
func Or(kind string, values ...Value) Value {
	return Value{kind: kind, leaf: func() *jsonschema.Schema {
		either := &jsonschema.Schema{}
		for _, value := range values {
			either.AnyOf = append(either.AnyOf, value.schema())
		}
		return either
	}}
}

// Keys is an object.
func Keys(object func() Object) Value { return Value{kind: "an object", object: object} }

// KeysOr is an object, or a text that holds one.
func KeysOr(kind, text string, object func() Object) Value {
	return Value{kind: kind, object: object, wrap: func(inner *jsonschema.Schema) *jsonschema.Schema {
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{inner, {Type: typeText, Pattern: `\S`, Description: text}}}
	}}
}

// List is a list of objects, at most so many; 0: any number.
func List(most int, object func() Object) Value {
	return Value{kind: listKind("a list of objects", most), object: object, within: "[]", wrap: func(item *jsonschema.Schema) *jsonschema.Schema {
		return &jsonschema.Schema{Type: typeList, Items: item, MaxItems: bound(most)}
	}}
}

// Texts is a list of values without keys, of at least and at most so many; 0: any number.
func Texts(least, most int, once bool, item Value) Value {
	return Value{kind: listKind("a list of "+item.kind, most), leaf: func() *jsonschema.Schema {
		return &jsonschema.Schema{Type: typeList, Items: item.schema(), MinItems: bound(least), MaxItems: bound(most), UniqueItems: once}
	}}
}

func listKind(kind string, most int) string {
	if most > 0 {
		return fmt.Sprintf("%s, at most %s", kind, grouped(int64(most)))
	}
	return kind
}

func bound(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// Map is an object whose keys a regular expression matches, each with an object; name is
// how the page writes such a key.
func Map(kind, name, pattern string, object func() Object) Value {
	return Value{kind: kind, object: object, within: "." + name, wrap: func(entry *jsonschema.Schema) *jsonschema.Schema {
		return &jsonschema.Schema{
			Type: typeObject, PatternProperties: map[string]*jsonschema.Schema{pattern: entry}, AdditionalProperties: never(),
		}
	}}
}

// TextMap is an object of texts under names of the writer's own, at least one, or a text
// that holds such an object.
func TextMap(kind, text string, value Value) Value {
	return Value{kind: kind, leaf: func() *jsonschema.Schema {
		least, one := 1, 1
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
			{Type: typeObject, AdditionalProperties: value.schema(), PropertyNames: &jsonschema.Schema{MinLength: &one}, MinProperties: &least},
			{Type: typeText, Pattern: `\S`, Description: text},
		}}
	}}
}

// never is the schema that nothing meets.
func never() *jsonschema.Schema { return &jsonschema.Schema{Not: &jsonschema.Schema{}} }

// schema gives the value's own schema.
func (v Value) schema() *jsonschema.Schema {
	if v.object == nil {
		if v.leaf == nil {
			return &jsonschema.Schema{} // check reports it
		}
		return v.leaf()
	}
	inner := v.object().schema()
	if v.wrap == nil {
		return inner
	}
	return v.wrap(inner)
}

// raw is a value of YAML as JSON.
func raw(value any) json.RawMessage {
	text, err := json.Marshal(value)
	if err != nil {
		return nil // what YAML can hold as a value of settings, JSON can
	}
	return text
}
