package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
	"go.yaml.in/yaml/v4"
)

// draft is the one that editors know best.
const draft = "http://json-schema.org/draft-07/schema#"

// JSON is the schema of a file that holds the object, as text with a line's end. Nothing
// in it is referred to, since editors show descriptions best where they stand.
func JSON(title string, root Object) ([]byte, error) {
	if wrong := check("", root); len(wrong) > 0 {
		return nil, fmt.Errorf("%w: %s", errKeys, strings.Join(wrong, "; "))
	}
	whole := root.schema()
	whole.Schema, whole.Title, whole.Description = draft, title, root.About
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(whole); err != nil {
		return nil, fmt.Errorf("writing the schema: %w", err)
	}
	return text.Bytes(), nil
}

func (o Object) schema() *jsonschema.Schema {
	s := &jsonschema.Schema{Type: typeObject, Properties: map[string]*jsonschema.Schema{}, AdditionalProperties: never()}
	for _, key := range o.Keys {
		property := key.Value.schema()
		property.Description = key.hint()
		if key.Default != "" {
			property.Default = raw(parse(key.Default))
		}
		property.Examples = []any{parse(key.Example)}
		s.Properties[key.Name] = property
		s.PropertyOrder = append(s.PropertyOrder, key.Name)
		if key.Required {
			s.Required = append(s.Required, key.Name)
		}
	}
	for _, group := range o.Ways {
		choice := &jsonschema.Schema{}
		for _, way := range group {
			one := &jsonschema.Schema{Required: way.Needs}
			for _, name := range way.Without {
				if one.Properties == nil {
					one.Properties = map[string]*jsonschema.Schema{}
				}
				one.Properties[name] = never()
			}
			choice.AnyOf = append(choice.AnyOf, one)
		}
		s.AllOf = append(s.AllOf, choice)
	}
	return s
}

// hint is what an editor shows.
func (k Key) hint() string {
	text := k.About
	switch {
	case k.Required:
		text += "\n\nRequired."
	case k.Default != "":
		text += "\n\nDefault: `" + k.Default + "`"
	default:
		text += "\n\nWithout it: " + k.Absent + "."
	}
	return text + "\n\nExample: `" + k.Example + "`"
}

// parse reads a value as it would stand in the file. Dates stay text.
func parse(text string) any {
	var node yaml.Node
	if err := yaml.Unmarshal([]byte(text), &node); err != nil || len(node.Content) == 0 {
		return text
	}
	return Plain(node.Content[0])
}

// Plain is a node of YAML as JSON would hold it: keys and dates are texts.
func Plain(node *yaml.Node) any {
	switch node.Kind {
	case yaml.AliasNode:
		return Plain(node.Alias)
	case yaml.MappingNode:
		object := map[string]any{}
		for i := 0; i+1 < len(node.Content); i += 2 {
			object[node.Content[i].Value] = Plain(node.Content[i+1])
		}
		return object
	case yaml.SequenceNode:
		list := make([]any, len(node.Content))
		for i, item := range node.Content {
			list[i] = Plain(item)
		}
		return list
	default:
	}
	switch node.ShortTag() {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(node.Value, "true")
	case "!!int", "!!float":
		var number json.Number
		if json.Unmarshal([]byte(node.Value), &number) == nil {
			return number
		}
	}
	return node.Value
}
