// Package lenient decodes JSON values whose form vendors vary: numbers as strings,
// booleans as words, names as objects, times without zone.
//
// The one invariant: no JSON value, however odd, is an error. What can't be read is
// the zero value, and whoever needs the value checks for that.
package lenient

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// Int is a whole number that may be written as a number, a string or null.
type Int int64

// UnmarshalJSON implements json.Unmarshaler.
func (n *Int) UnmarshalJSON(data []byte) error {
	*n = Int(parseInt(scalar(data)))
	return nil
}

// Text is a string that may be written as a string, a number, a boolean or null.
// An object or array is empty text.
type Text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(data []byte) error {
	*t = Text(scalar(data))
	return nil
}

// Bool is a truth value that may be written as a boolean, a word or a number.
type Bool bool

// UnmarshalJSON implements json.Unmarshaler.
func (b *Bool) UnmarshalJSON(data []byte) error {
	word := strings.ToLower(strings.TrimSpace(scalar(data)))
	*b = Bool(word == "true" || word == "yes" || (word != "" && parseInt(word) != 0))
	return nil
}

// List is an array whose elements of another form are left out; anything but an
// array is empty.
type List[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (l *List[T]) UnmarshalJSON(data []byte) error {
	*l = nil
	var raw []json.RawMessage
	_ = json.Unmarshal(data, &raw) // anything but an array leaves it empty
	for _, element := range raw {
		var v T
		if bytes.Equal(element, []byte("null")) || json.Unmarshal(element, &v) != nil {
			continue
		}
		*l = append(*l, v)
	}
	return nil
}

// Map is an object whose values are kept as they are; anything but an object is empty.
type Map map[string]json.RawMessage

// UnmarshalJSON implements json.Unmarshaler.
func (m *Map) UnmarshalJSON(data []byte) error {
	var raw map[string]json.RawMessage
	_ = json.Unmarshal(data, &raw) // anything but an object leaves it empty
	*m = raw
	return nil
}

// Text gives the value of a key as text; empty if absent.
func (m Map) Text(key string) string { return scalar(m[key]) }

// Int gives the value of a key as a number; 0 if absent.
func (m Map) Int(key string) int64 { return parseInt(m.Text(key)) }

// Time reads a time as vendors write it. A time without zone is taken in zone (nil:
// UTC). Text that is no time, and the far ends by which vendors mean "never" (years
// 1 and 9999), are the zero time.
func Time(text string, zone *time.Location) time.Time {
	if zone == nil {
		zone = time.UTC
	}
	text = strings.TrimSpace(text)
	for _, layout := range [...]string{
		time.RFC3339Nano,
		"2006-01-02T15:04:05.999999999Z0700",
		"2006-01-02T15:04:05.999999999",
		"2006-01-02T15:04Z07:00",
		"2006-01-02T15:04",
		"2006-01-02 15:04:05.999999999",
		time.DateOnly,
	} {
		t, err := time.ParseInLocation(layout, text, zone)
		if err != nil {
			continue
		}
		if t.Year() <= 1 || t.Year() >= 9999 {
			return time.Time{}
		}
		return t.UTC()
	}
	return time.Time{}
}

// scalar is a JSON string, number or boolean as text; everything else is empty.
func scalar(data []byte) string {
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return ""
	}
	switch data[0] {
	case '"':
		var s string
		if json.Unmarshal(data, &s) != nil {
			return ""
		}
		return s
	case '{', '[', 'n':
		return ""
	default:
		return string(data)
	}
}

func parseInt(text string) int64 {
	text = strings.TrimSpace(text)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return n
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0
	}
	return int64(f)
}
