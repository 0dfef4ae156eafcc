// Package deviationtest names the ways in which HTTP exchanges depart from a vendor's OpenAPI document, and keeps account
// of those that are right nonetheless.
//
// The invariant: a departure has a name without values, so that the same one has the same name in every run, and one that
// nobody listed is never passed over.
package deviationtest

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"sync/atomic"
)

// Problem is one way in which an exchange departs from the document.
type Problem struct {
	// Operation is method and path, such as "GET wit/workitems/{id}"; for a call that no document has, as it was sent.
	Operation string
	// Side is "request" or "answer".
	Side string
	// At is where in a body, with * for list elements; or "query", "path", "status" and the like.
	At string
	// What is wrong, without values.
	What string
}

// String gives all of it on one line, which is what a deviation matches.
func (p Problem) String() string {
	return p.Operation + " | " + p.Side + " | " + p.At + " | " + p.What
}

// Deviation is a way to depart from the document that is right nonetheless.
type Deviation struct {
	Name string
	// Evidence says why: a section of the team's facts, an example beside the document, a recording. "Modelled" marks what
	// nobody outside the vendor can prove.
	Evidence string
	// Pattern matches the problem's whole line, see [Problem.String].
	Pattern string
}

// Ledger sorts problems into those that are listed and those that are not. Safe for use by many goroutines.
type Ledger struct {
	deviations []Deviation
	patterns   []*regexp.Regexp
	seen       []atomic.Int64
}

// NewLedger begins with the deviations given.
func NewLedger(deviations []Deviation) *Ledger {
	l := &Ledger{deviations: deviations, seen: make([]atomic.Int64, len(deviations))}
	for _, d := range deviations {
		l.patterns = append(l.patterns, regexp.MustCompile(`^(?:`+d.Pattern+`)$`))
	}
	return l
}

// Listed tells whether a deviation covers the problem.
func (l *Ledger) Listed(p Problem) bool {
	line, listed := p.String(), false
	for i, pattern := range l.patterns {
		if pattern.MatchString(line) {
			l.seen[i].Add(1)
			listed = true
		}
	}
	return listed
}

// Counts says how often each deviation occurred, the most frequent first.
func (l *Ledger) Counts() []string {
	order := make([]int, len(l.deviations))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(l.seen[b].Load(), l.seen[a].Load()) })
	out := make([]string, 0, len(order))
	for _, i := range order {
		out = append(out, fmt.Sprintf("%6d  %s", l.seen[i].Load(), l.deviations[i].Name))
	}
	return out
}

// Unused are the names of deviations that matched nothing.
func (l *Ledger) Unused() []string {
	var out []string
	for i, d := range l.deviations {
		if l.seen[i].Load() == 0 {
			out = append(out, d.Name)
		}
	}
	return out
}
