package template

import (
	"fmt"
	"strings"
	"unicode"
)

// Template is a parsed text. The zero value renders to nothing. It is immutable
// and safe for concurrent use.
type Template struct {
	text     string
	segments []segment
	needs    Needs
}

// segment is a stretch of literal text, or a variable when render is set.
type segment struct {
	literal string
	value   func(Data) content
}

// Needs tells what has to be fetched, beside the ticket, before rendering.
type Needs struct {
	// Log asks for the ticket's log records.
	Log bool
	// Requester, RequestedFor and Solver ask for these persons.
	Requester, RequestedFor, Solver bool
	// Managers asks for the manager of each of the persons above that is needed.
	Managers bool
}

// Union is what either of two texts needs.
func (n Needs) Union(o Needs) Needs {
	return Needs{
		Log:          n.Log || o.Log,
		Requester:    n.Requester || o.Requester,
		RequestedFor: n.RequestedFor || o.RequestedFor,
		Solver:       n.Solver || o.Solver,
		Managers:     n.Managers || o.Managers,
	}
}

// Problem is something wrong with a template's text.
type Problem struct {
	// Offset is the byte at which the faulty part starts.
	Offset int
	// Variable is the name as written, without brackets; empty if it is not about one.
	Variable string
	// Text is one sentence that says what is wrong.
	Text string
	// Remedy is one sentence that says what to do.
	Remedy string
	// Warning tells that the template works all the same.
	Warning bool
}

// Parse reads a template. It always returns a usable template, in which every
// part that has a problem renders as it is written, and all the problems at once.
func Parse(text string) (Template, []Problem) {
	t := Template{text: text}
	var problems []Problem
	known := newCatalogue()
	for offset := 0; offset < len(text); {
		start := strings.Index(text[offset:], opening)
		if start < 0 {
			t.segments = withLiteral(t.segments, text[offset:])
			break
		}
		start += offset
		t.segments = withLiteral(t.segments, text[offset:start])
		inner := start + len(opening)
		length := strings.Index(text[inner:], closing)
		// A second opening before the closing means that the first was never closed.
		if next := strings.Index(text[inner:], opening); length < 0 || (next >= 0 && next < length) {
			problems = append(problems, Problem{
				Offset: start,
				Text:   "a variable starts with [$ and is never closed",
				Remedy: "Close it with $], as in [$TicketTitle$]",
			})
			t.segments = withLiteral(t.segments, opening)
			offset = inner
			continue
		}
		end := inner + length + len(closing)
		name := removeBlanks(text[inner : inner+length])
		v, problem := known.find(name)
		if problem != nil {
			problem.Offset = start
			problem.Variable = name
			problems = append(problems, *problem)
			t.segments = withLiteral(t.segments, text[start:end])
		} else {
			t.segments = append(t.segments, segment{value: v.value})
			t.needs = t.needs.Union(v.needs)
		}
		offset = end
	}
	problems = append(problems, strayTags(t)...)
	return t, problems
}

const (
	opening = "[$"
	closing = "$]"
)

// Needs tells what has to be fetched to render t.
func (t Template) Needs() Needs { return t.needs }

// String is the text that was parsed.
func (t Template) String() string { return t.text }

// Constant tells whether t holds no variable and so renders alike for every ticket.
func (t Template) Constant() bool {
	for _, s := range t.segments {
		if s.value != nil {
			return false
		}
	}
	return true
}

// withLiteral adds text to the literal that segments end in, or as a new one.
func withLiteral(segments []segment, text string) []segment {
	if text == "" {
		return segments
	}
	if last := len(segments) - 1; last >= 0 && segments[last].value == nil {
		segments[last].literal += text
		return segments
	}
	return append(segments, segment{literal: text})
}

// strayTags warns of tags other than <b> in the template's own text: whoever wrote
// them expects formatting and will get them shown.
func strayTags(t Template) []Problem {
	var problems []Problem
	for _, s := range t.segments {
		for _, tag := range tagLike(s.literal) {
			problems = append(problems, Problem{
				Offset:  max(0, strings.Index(t.text, tag)),
				Text:    fmt.Sprintf("the tag %s is shown as it is written", tag),
				Remedy:  "Use <b>…</b> only, which is all that Alvao's templates know, or remove the tag",
				Warning: true,
			})
		}
	}
	return problems
}

// tagLike lists what looks like an HTML tag and is not <b>.
func tagLike(text string) []string {
	var tags []string
	for {
		start := strings.IndexByte(text, '<')
		if start < 0 {
			return tags
		}
		text = text[start:]
		end := strings.IndexByte(text, '>')
		if end < 0 {
			return tags
		}
		name := strings.TrimPrefix(text[1:end], "/")
		if name != "" && name[0] < unicode.MaxASCII && unicode.IsLetter(rune(name[0])) && !strings.EqualFold(name, "b") {
			tags = append(tags, text[:end+1])
		}
		text = text[1:]
	}
}

func removeBlanks(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, name)
}
