package connector

import (
	"regexp"

	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
)

// secretName is what fields are called whose content is not shown whatever it looks like.
var secretName = regexp.MustCompile(`(?i)passw|secret|apikey|api_key|credential|authorization|accesstoken|access_token`)

// longestExample bounds one text of an example, in bytes.
const longestExample = 16 << 10

// masked is an object of JSON with what looks like a secret taken out of its texts.
func masked(object map[string]any, masks *redact.Redactor) map[string]any {
	out := make(map[string]any, len(object))
	for name, value := range object {
		if text, isText := value.(string); isText && text != "" && secretName.MatchString(name) {
			out[name] = "[redacted: by its name]"
			continue
		}
		out[name] = maskedValue(value, masks)
	}
	return out
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
