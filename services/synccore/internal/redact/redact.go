// Package redact finds what must not leave a system in a text: tokens, keys and card
// numbers, and whatever else an administrator names.
//
// Its one invariant: it takes time in proportion to the text, whatever the text and
// the patterns are, and finds the same in the same text every time.
//
// What it ships with are the forms that vendors publish for their secrets, each known
// by a fixed prefix, length or check digit, because a pattern that is right most of
// the time takes words out of the sentences of people. Collections made for scanning
// code (gitleaks has more than two hundred rules, and weighs entropy) are not used:
// they take ordinary words for keys where the text is prose, and bring programs along.
package redact

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// The limits on what administrators may write.
const (
	MaxPatterns = 50
	MaxPattern  = 1000
)

// Pattern is something to be found.
type Pattern struct {
	name, text string
	compiled   *regexp.Regexp
}

var patternName = regexp.MustCompile(`^[\pL\pN][\pL\pN ._-]{0,39}$`)

// NewPattern compiles a pattern. If it has a group, only what the first one holds is
// taken out. The error's text is a clause for the administrator.
func NewPattern(name, text string) (Pattern, error) {
	if !patternName.MatchString(name) {
		return Pattern{}, errors.New("the name has other signs than letters, digits, blanks, dots and dashes, or is longer than 40")
	}
	if len(text) > MaxPattern {
		return Pattern{}, fmt.Errorf("the pattern is longer than %d bytes", MaxPattern)
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return Pattern{}, fmt.Errorf("it is no regular expression (%s)", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	if compiled.MatchString("") {
		return Pattern{}, errors.New("it matches where there is nothing")
	}
	return Pattern{name: name, text: text, compiled: compiled}, nil
}

// Name is what people read in place of what was found.
func (p Pattern) Name() string { return p.name }

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Redactor finds secrets. Nil finds nothing. It is immutable and safe for concurrent
// use.
type Redactor struct {
	shipped  []rule
	cards    bool
	patterns []Pattern
}

// New makes a Redactor of the shipped patterns, unless they are left out, and others.
// Without names shipped ones that are left out.
func New(shipped bool, without []string, patterns []Pattern) *Redactor {
	r := &Redactor{patterns: slices.Clone(patterns)}
	if shipped {
		r.cards = !slices.Contains(without, cardNumber)
		for _, one := range shippedRules() {
			if !slices.Contains(without, one.name) {
				r.shipped = append(r.shipped, one)
			}
		}
	}
	if len(r.shipped) == 0 && len(r.patterns) == 0 && !r.cards {
		return nil
	}
	return r
}

// Span is a stretch of a text, in bytes, that must not leave.
type Span struct {
	From, To int
	// Name says what it is.
	Name string
}

// Mark is what people read in the place of a span.
func (s Span) Mark() string { return "[redacted: " + s.Name + "]" }

// Find lists what must not leave, in the order of the text; no two spans overlap.
func (r *Redactor) Find(text string) []Span {
	if r == nil || text == "" {
		return nil
	}
	var found []Span
	longest, digits := survey(text)
	for i := range r.shipped {
		if longest >= r.shipped[i].least {
			found = r.shipped[i].find(text, found)
		}
	}
	if r.cards && digits >= shortestCard {
		found = cards(text, found)
	}
	for _, p := range r.patterns {
		found = matches(p.compiled, p.name, nil, text, found)
	}
	return merge(found)
}

// Text is the text with marks in the place of what must not leave.
func (r *Redactor) Text(text string) string {
	found := r.Find(text)
	if len(found) == 0 {
		return text
	}
	var b strings.Builder
	from := 0
	for _, s := range found {
		b.WriteString(text[from:s.From])
		b.WriteString(s.Mark())
		from = s.To
	}
	b.WriteString(text[from:])
	return b.String()
}

// matches adds what an expression finds: the first group, if there is one. The valid
// are kept; nil: all.
func matches(re *regexp.Regexp, name string, valid func(string) bool, text string, found []Span) []Span {
	for _, at := range re.FindAllStringSubmatchIndex(text, -1) {
		from, to := at[0], at[1]
		if len(at) > 2 && at[2] >= 0 {
			from, to = at[2], at[3]
		}
		if from < to && (valid == nil || valid(text[from:to])) {
			found = append(found, Span{From: from, To: to, Name: name})
		}
	}
	return found
}

// merge puts spans in order and joins those that overlap; the first one's name, or
// the longer one's where they start together, stays.
func merge(spans []Span) []Span {
	if len(spans) < 2 {
		return spans
	}
	slices.SortStableFunc(spans, func(a, b Span) int {
		if a.From != b.From {
			return a.From - b.From
		}
		return b.To - a.To
	})
	out := spans[:1]
	for _, s := range spans[1:] {
		last := &out[len(out)-1]
		if s.From < last.To {
			last.To = max(last.To, s.To)
			continue
		}
		out = append(out, s)
	}
	return out
}

// survey tells how long the longest run is of signs that tokens are made of, and how
// many digits there are: most texts hold nothing that could be a secret.
func survey(text string) (int, int) {
	longest, run, digits := 0, 0, 0
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			run++
		case c >= '0' && c <= '9':
			digits++
			run++
		case c == '_' || c == '-' || c == '.' || c == '/' || c == '+' || c == '=':
			run++
		default:
			longest = max(longest, run)
			run = 0
		}
	}
	return max(longest, run), digits
}
