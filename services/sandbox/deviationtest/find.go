package deviationtest

import (
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
)

// errNoTime leaves out the value, so that the problem has one name.
var errNoTime = errors.New("no time of RFC 3339")

// Formats has the library check the formats of texts.
func Formats() []openapi3.SchemaValidationOption {
	return []openapi3.SchemaValidationOption{
		openapi3.EnableFormatValidation(),
		openapi3.WithStringFormatValidator("uuid", openapi3.NewRegexpFormatValidator(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)),
		openapi3.WithStringFormatValidator("date-time", openapi3.NewCallbackValidator(func(s string) error {
			if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
				return errNoTime
			}
			return nil
		})),
	}
}

// Each calls fn for everything that the library found wrong: where, in words as [Problem.At], and what.
func Each(err error, fn func(at, what string)) { (&finder{fn}).collect("", err) }

type finder struct{ found func(at, what string) }

func (f *finder) collect(at string, err error) {
	if err == nil {
		return
	}
	var (
		several    openapi3.MultiError
		inRequest  *openapi3filter.RequestError
		inAnswer   *openapi3filter.ResponseError
		inSchema   *openapi3.SchemaError
		unreadable *openapi3filter.ParseError
	)
	switch {
	case isA(err, &several):
		for _, e := range several {
			f.collect(at, e)
		}
	case isA(err, &inRequest):
		if p := inRequest.Parameter; p != nil {
			at = p.In + " " + p.Name
		} else {
			at = "body"
		}
		f.inner(at, inRequest.Reason, inRequest.Err)
	case isA(err, &inAnswer):
		f.inner("body", inAnswer.Reason, inAnswer.Err)
	case isA(err, &inSchema):
		if inSchema.Origin != nil && !isA(inSchema.Origin, new(*openapi3.SchemaError)) && inSchema.SchemaField == "oneOf" {
			f.collect(at, inSchema.Origin)
			return
		}
		f.found(at+pointer(inSchema.JSONPointer()), plain(inSchema.Reason))
	case isA(err, &unreadable):
		f.found(at, "it can't be read: "+plain(unreadable.Reason))
	default:
		f.found(at, plain(err.Error()))
	}
}

func (f *finder) inner(at, reason string, err error) {
	if err == nil {
		f.found(at, plain(reason))
		return
	}
	f.collect(at, err)
}

// isA tells whether err itself, and none that it wraps, is of a type.
func isA[T error](err error, into *T) bool {
	e, is := err.(T) //nolint:errorlint // what it wraps is looked at in its turn
	if is {
		*into = e
	}
	return is
}

var digits = regexp.MustCompile(`^\d+$`)

// pointer is where in a body, with * for elements of lists.
func pointer(path []string) string {
	var b strings.Builder
	for _, p := range path {
		if digits.MatchString(p) {
			p = "*"
		}
		b.WriteString("/" + p)
	}
	return b.String()
}

var quoted = regexp.MustCompile(`"[^"]*"`)

// plain is a reason on one line without long values.
func plain(reason string) string {
	reason = strings.Join(strings.Fields(reason), " ")
	return quoted.ReplaceAllStringFunc(reason, func(s string) string {
		if len(s) > 40 {
			return `"…"`
		}
		return s
	})
}
