package schema

import (
	"encoding/json"
	"errors"
	"slices"
)

// takes tells whether a value meets the schema.
func (v Value) takes(value any) bool {
	resolved, err := v.schema().Resolve(nil)
	if err != nil {
		return false
	}
	text, err := json.Marshal(value)
	if err != nil {
		return false
	}
	var plain any
	return json.Unmarshal(text, &plain) == nil && resolved.Validate(plain) == nil
}

var errKeys = errors.New("the table of keys is not complete")

// Check tells what is left out of a table of keys, key by key: each has a description, an
// example, and either a default, or what holds without it, or is required.
func Check(root Object) []string { return check("", root) }

func check(path string, o Object) []string {
	var wrong []string
	seen := map[string]bool{}
	for _, key := range o.Keys {
		at := path + key.Name
		missing := func(bad bool, what string) {
			if bad {
				wrong = append(wrong, at+" "+what)
			}
		}
		missing(seen[key.Name], "stands there twice")
		missing(key.About == "", "has no description")
		missing(key.Example == "", "has no example")
		missing(key.Value.kind == "", "does not say what may stand there")
		count := 0
		for _, told := range []bool{key.Required, key.Default != "", key.Absent != ""} {
			if told {
				count++
			}
		}
		missing(count != 1, "wants exactly one of: required, a default, what holds without it")
		for what, text := range map[string]string{"an example": key.Example, "a default": key.Default} {
			if text != "" && key.Value.kind != "" && !key.Value.takes(parse(text)) {
				wrong = append(wrong, at+" has "+what+" that its own schema refuses")
			}
		}
		seen[key.Name] = true
		if below, within := key.Value.Below(); below != nil {
			wrong = append(wrong, check(at+within+".", *below)...)
		}
	}
	for _, group := range o.Ways {
		for _, way := range group {
			for _, name := range slices.Concat(way.Needs, way.Without) {
				if !seen[name] {
					wrong = append(wrong, path+name+" is part of a choice and no key")
				}
			}
		}
	}
	return wrong
}
