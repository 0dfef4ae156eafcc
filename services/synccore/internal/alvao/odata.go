package alvao

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// literal is an OData string; an apostrophe is doubled (OData 4.01 URL conventions).
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// instant is an OData date and time. Seconds are enough and every server reads them.
func instant(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// odata is a query in OData's own parameters, in the order they were added.
type odata struct{ parts []string }

func (o *odata) add(name, value string) {
	if value != "" {
		// A plus sign would be read as itself by servers that decode by RFC 3986.
		o.parts = append(o.parts, name+"="+strings.ReplaceAll(url.QueryEscape(value), "+", "%20"))
	}
}

func (o *odata) addInt(name string, value int) {
	if value > 0 {
		o.add(name, strconv.Itoa(value))
	}
}

func (o *odata) String() string { return strings.Join(o.parts, "&") }

func and(terms ...string) string {
	var kept []string
	for _, t := range terms {
		if t != "" {
			kept = append(kept, t)
		}
	}
	return strings.Join(kept, " and ")
}
