package connector

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
)

// secretName is what fields are called whose content is not shown whatever it looks like.
var secretName = regexp.MustCompile(`(?i)passw|passphrase|heslo|secret|apikey|api_key|credential|authorization|accesstoken|access_token`)

// exampleMasks find what may be a secret in an example. What crosses is searched for forms
// that are certain, so that no word of a person is lost; an example loses nothing by a word
// too many.
func exampleMasks(own []redact.Pattern) (*redact.Redactor, error) {
	all := slices.Clone(own)
	for _, one := range []struct{ name, text string }{
		{"password in an address", `(?i)[a-z][a-z0-9+.-]*://[^\s/@:"'<>]*:([^\s/@"'<>]+)@`},
		{"password", `(?i)(?:passw(?:or)?d|passphrase|pwd|heslo|secret|token|api[_ -]?key|access[_ -]?key|account[_ -]?key|client[_ -]?secret)(?:["']|&quot;)?\s*(?:[:=]|\bis\b|\bje\b)(?:\s|["']|&quot;|&nbsp;|<[^<>]{1,40}>)*([^\s"'<>,;&]{4,})`},
		{"authorization", `(?i)\b(?:bearer|basic)\s+([a-z0-9._~+/=-]{8,})`},
	} {
		pattern, err := redact.NewPattern(one.name, one.text)
		if err != nil {
			return nil, fmt.Errorf("compiling mask %s: %w", one.name, err)
		}
		all = append(all, pattern)
	}
	return redact.New(true, nil, all), nil
}

// longestExample bounds one text of an example, in bytes.
const longestExample = 16 << 10

// hidden stands for what is masked because of its field's name.
const hidden = "[redacted: by its name]"

// masked is an object of JSON with what looks like a secret taken out of its texts.
func masked(object map[string]any, masks *redact.Redactor) map[string]any {
	out := make(map[string]any, len(object))
	// Custom fields are told as objects that hold their name beside their value.
	named := false
	for _, key := range []string{"name", "referenceName", "key"} {
		text, isText := object[key].(string)
		named = named || isText && secretName.MatchString(text)
	}
	for name, value := range object {
		switch {
		case secretName.MatchString(name), named && strings.EqualFold(name, "value"):
			out[name] = hide(value)
		default:
			out[name] = maskedValue(value, masks)
		}
	}
	return out
}

// hide masks all there is in a value but names and what is empty.
func hide(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, one := range v {
			if name == "name" || strings.HasPrefix(name, "@odata.") {
				out[name] = one
			} else {
				out[name] = hide(one)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			out[i] = hide(one)
		}
		return out
	case nil, bool:
		return v
	case string:
		if v == "" {
			return v
		}
	}
	return hidden
}

func maskedValue(value any, masks *redact.Redactor) any {
	switch v := value.(type) {
	case map[string]any:
		return masked(v, masks)
	case []any:
		out := make([]any, len(v))
		for i, one := range v {
			out[i] = maskedValue(one, masks)
		}
		return out
	case string:
		text := masks.Text(v)
		if len(text) > longestExample {
			text = string([]rune(text[:longestExample])) + "… [cut]"
		}
		return text
	default:
		return value
	}
}
