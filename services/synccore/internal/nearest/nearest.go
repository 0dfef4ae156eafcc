// Package nearest finds the name that somebody meant who wrote another one.
//
// The one invariant: it only ever gives names that it was given, so that a suggestion
// is always one that works.
package nearest

import (
	"strings"

	"github.com/agnivade/levenshtein"
)

// Name is the candidate that name is a slip of, whatever the case; empty where none is
// near enough to be meant. Of equally near ones the first counts.
func Name(name string, candidates []string) string {
	name = strings.ToLower(name)
	best, distance := "", len(name)/3+2
	for _, candidate := range candidates {
		if d := levenshtein.ComputeDistance(name, strings.ToLower(candidate)); d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// Perhaps suggests the candidate nearest to name, to stand before a sentence's end;
// empty where none is near.
func Perhaps(name string, candidates []string) string {
	best := Name(name, candidates)
	if best == "" {
		return ""
	}
	return " (perhaps " + best + ")"
}
