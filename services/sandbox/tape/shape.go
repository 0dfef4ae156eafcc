package tape

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// shapeOf names what makes an exchange different from another to a schema: not its values but their kinds.
func shapeOf(x Exchange) string {
	var b strings.Builder
	// Who sends, from which test, does not count.
	agent, _, _ := strings.Cut(x.Header["User-Agent"], "/")
	fmt.Fprintf(&b, "%s %s %s %s%s %v\n", x.By, agent, x.Method, x.Host, pathShape(x.Path), x.Scheme != "")
	query, _ := url.ParseQuery(strings.ReplaceAll(x.Query, ";", "%3B"))
	for _, name := range slices.Sorted(maps.Keys(query)) {
		fmt.Fprintf(&b, "?%s=%s\n", name, queryShape(name, query.Get(name)))
	}
	for _, name := range slices.Sorted(maps.Keys(x.Header)) {
		if name == "Content-Type" || name == "Accept" {
			fmt.Fprintf(&b, "%s: %s\n", name, media(x.Header[name]))
		}
	}
	fmt.Fprintf(&b, "%s\n%d %s\n%s\n", bodyShape(x.Request), x.Status, media(x.Answer["Content-Type"]), bodyShape(x.Reply))
	return b.String()
}

func media(contentType string) string {
	m, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return contentType
	}
	return m
}

var (
	guid   = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	number = regexp.MustCompile(`^\d+$`)
	word   = regexp.MustCompile(`^[A-Za-z]{1,20}$`)
)

// pathShape keeps the words of a path: behind _apis as they are, before it only how many there are.
func pathShape(path string) string {
	segments := strings.Split(path, "/")
	apis := slices.IndexFunc(segments, func(s string) bool { return strings.EqualFold(s, "_apis") })
	for i, s := range segments {
		switch {
		case i < apis:
			segments[i] = ""
		case guid.MatchString(s):
			segments[i] = "{guid}"
		case number.MatchString(s):
			segments[i] = "{n}"
		}
	}
	return strings.Join(segments, "/")
}

// queryShape keeps a value only where it is one of a few.
func queryShape(name, value string) string {
	if strings.EqualFold(name, "api-version") {
		return value
	}
	if word.MatchString(value) && !strings.EqualFold(name, "fileName") && !strings.EqualFold(name, "filterValue") {
		return value
	}
	return textShape(value)
}

func textShape(s string) string {
	switch {
	case s == "":
		return "empty"
	case guid.MatchString(s):
		return "guid"
	case number.MatchString(s):
		return "digits"
	}
	if _, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return "time"
	}
	return "text"
}

func bodyShape(b Body) string {
	if b.Text == "" {
		return fmt.Sprintf("%v %v", b.Size > 0, b.Cut)
	}
	var v any
	if err := json.Unmarshal([]byte(b.Text), &v); err != nil {
		return "no JSON"
	}
	out, err := json.Marshal(valueShape("", v))
	if err != nil {
		return err.Error()
	}
	return string(out)
}

// valueShape reduces JSON to its keys and the kinds of its values; a list becomes the set of its elements' shapes.
func valueShape(key string, v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[k] = valueShape(k, e)
		}
		return out
	case []any:
		set := map[string]bool{}
		for _, e := range x {
			shape, err := json.Marshal(valueShape("", e))
			if err == nil {
				set[string(shape)] = true
			}
		}
		return slices.Sorted(maps.Keys(set))
	case string:
		if closed(key) {
			return x
		}
		return textShape(x)
	case float64:
		if x != float64(int64(x)) {
			return "fraction"
		}
	}
	return fmt.Sprintf("%T", v)
}

// closed names keys whose values are one of a few.
func closed(key string) bool {
	switch key {
	case "op", "rel", "format", "status", "type", "errorPolicy", "$expand", "category", "usage", "typeKey", "publisherId", "eventType", "queryType", "queryResultType",
		"kind", "priority", "impact", "urgency":
		return true
	default:
		return false
	}
}
