// Package letter writes what a ticket's solver is told of a comment: a subject and a
// text, from a template that the administrator may change.
//
// Its one invariant: a template that Parse takes can be filled in for every comment, with
// a text of bounded length, and no value from outside can leave its line: a title can't
// make a header, an author no paragraph of ours.
package letter

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode"
)

// The limits, in bytes. A template that says more than this was not meant as a letter.
const (
	// MaxTemplate is the longest template.
	MaxTemplate = 16 << 10
	// maxSubject and maxText are the longest letter; what is longer is cut.
	maxSubject = 250
	maxText    = 64 << 10
	// maxLine is the most of one value, and maxComment of a comment's text.
	maxLine    = 300
	maxComment = 4 << 10
)

// The templates that count where the configuration has none.
const (
	DefaultSubject = `[{{.Ticket.Tag}}] {{.Comment.Author}} commented on {{.WorkItem.Type}} {{.WorkItem.ID}}: {{.Ticket.Title}}`
	DefaultBody    = `{{if .Solver.Name}}Hello {{.Solver.Name}},

{{end}}{{.Comment.Author}} commented on {{.WorkItem.Type}} {{.WorkItem.ID}} ({{.WorkItem.State}}) on {{.Comment.Time}}:

{{.Comment.Quoted}}

Ticket {{.Ticket.Tag}} {{.Ticket.Title}}
{{.Ticket.URL}}

{{.WorkItem.Type}} {{.WorkItem.ID}} {{.WorkItem.Title}}
{{.WorkItem.URL}}

You get this message because you solve the ticket in Alvao.
`
)

// Data is what a template may name. Every value is text, and all but Comment.Text and
// Comment.Quoted are of one line.
type Data struct {
	Connector string
	Ticket    Ticket
	WorkItem  WorkItem
	Comment   Comment
	Solver    Solver
}

// Ticket is the ticket that the comment landed in.
type Ticket struct{ ID, Tag, Title, Status, Service, URL string }

// WorkItem is the work item that was commented on.
type WorkItem struct{ ID, Type, Title, State, URL string }

// Comment is the comment. Text is plain and shortened; Quoted is the same with "> " before
// each line.
type Comment struct{ ID, Author, Time, Text, Quoted string }

// Solver is who is told.
type Solver struct{ Name string }

// Letter is a template filled in.
type Letter struct {
	// Subject is one line.
	Subject string
	// Text is plain text with lines that end in "\n".
	Text string
}

// Template writes letters. It is safe for concurrent use.
type Template struct{ subject, body *template.Template }

// Parse reads a template; empty texts mean the defaults. What is wrong is an *Error or
// several, joined.
func Parse(subject, body string) (*Template, []*Error) {
	if subject == "" {
		subject = DefaultSubject
	}
	if body == "" {
		body = DefaultBody
	}
	var errs []*Error
	t := &Template{}
	for _, part := range []struct {
		name, text string
		into       **template.Template
	}{{Subject, subject, &t.subject}, {Body, body, &t.body}} {
		parsed, err := compile(part.name, part.text)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		*part.into = parsed
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return t, nil
}

// Write fills the template in. The values of d may be anything: they are made harmless.
func (t *Template) Write(d Data) (Letter, error) {
	d = d.tamed()
	subject, err := render(t.subject, d, 4*maxSubject)
	if err != nil {
		return Letter{}, err
	}
	text, err := render(t.body, d, maxText)
	if err != nil {
		return Letter{}, err
	}
	return Letter{Subject: line(subject, maxSubject), Text: lines(text, maxText) + "\n"}, nil
}

func render(t *template.Template, d Data, most int) (string, error) {
	out := capped{most: most}
	w := writer{out: &out, data: reflect.ValueOf(d)}
	if err := w.list(t.Root); err != nil {
		return "", fmt.Errorf("filling in the %s: %w", t.Name(), err)
	}
	return out.text.String(), nil
}

// capped keeps the beginning of what is written.
type capped struct {
	text strings.Builder
	most int
}

func (c *capped) write(text string) {
	if room := c.most - c.text.Len(); room > 0 {
		c.text.WriteString(text[:min(room, len(text))])
	}
}

// tamed returns d with values that can't leave their place.
func (d Data) tamed() Data {
	for _, value := range []*string{
		&d.Connector, &d.Ticket.ID, &d.Ticket.Tag, &d.Ticket.Title, &d.Ticket.Status, &d.Ticket.Service,
		&d.WorkItem.ID, &d.WorkItem.Type, &d.WorkItem.Title, &d.WorkItem.State,
		&d.Comment.ID, &d.Comment.Author, &d.Comment.Time, &d.Solver.Name,
	} {
		*value = line(*value, maxLine)
	}
	const maxURL = 2 << 10
	d.Ticket.URL, d.WorkItem.URL = address(d.Ticket.URL, maxURL), address(d.WorkItem.URL, maxURL)
	d.Comment.Text = lines(d.Comment.Text, maxComment)
	d.Comment.Quoted = "> " + strings.ReplaceAll(d.Comment.Text, "\n", "\n> ")
	if d.Comment.Text == "" {
		d.Comment.Quoted = ""
	}
	return d
}

// address is a URL, or nothing where it is not one line without blanks.
func address(url string, most int) string {
	if len(url) > most || strings.ContainsFunc(url, func(r rune) bool { return unicode.IsSpace(r) || hidden(r) }) {
		return ""
	}
	return url
}

// hidden tells what has no place in a letter: controls, what turns the reading order
// around, and what can't be seen.
func hidden(r rune) bool {
	switch {
	case unicode.IsControl(r), r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
		return true
	case r == '\u200b', r == '\u2060', r == '\ufeff', r == '\u00ad', r == unicode.ReplacementChar, r == '\u2028', r == '\u2029':
		return true
	default:
		return false
	}
}

// line makes one line of a text, of at most so many bytes.
func line(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		if hidden(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text[:min(len(text), 8*most)], ""))
	return cut(strings.Join(strings.Fields(text), " "), most)
}

// lines keeps the line breaks of a text and nothing else that moves the pen.
func lines(text string, most int) string {
	text = strings.ReplaceAll(strings.ReplaceAll(text[:min(len(text), 8*most)], "\r\n", "\n"), "\r", "\n")
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\u2028' || r == '\u2029' || r == '\v' || r == '\f':
			return '\n'
		case hidden(r):
			return -1
		default:
			return r
		}
	}, strings.ToValidUTF8(text, ""))
	return cut(strings.Trim(text, "\n"), most)
}

// cut ends a text that is too long with an ellipsis.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const dots = "…"
	return strings.TrimSpace(strings.ToValidUTF8(text[:most-len(dots)], "")) + dots
}

// Time writes a time as letters show it.
func Time(at time.Time, in *time.Location) string {
	if in != nil {
		at = at.In(in)
	} else {
		at = at.UTC()
	}
	return at.Format("2006-01-02 15:04 MST")
}

// Number writes a number as letters show it.
func Number(n int64) string { return strconv.FormatInt(n, 10) }
