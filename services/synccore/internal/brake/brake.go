// Package brake decides whether a mass change has to wait for a person.
//
// Its one invariant: what a person lets go is the change that was told to that
// person: the same settings, and no more writes than were counted then.
package brake

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// MaxExamples is how many examples of each kind of write are told.
const MaxExamples = 5

// ReleaseLasts is how long what a person let go may go on to be written. After that
// what is left is braked anew.
const ReleaseLasts = 24 * time.Hour

// Settings say when a change is a mass change.
type Settings struct {
	// Share is the share of a connector's links that may be written to, from 0 to 1; 1
	// or more: everything may, creations too.
	Share float64
	// AtLeast is how many writes are never held back if there are fewer.
	AtLeast int
}

// Example is one write that was foreseen.
type Example struct {
	Kind     string `json:"kind"`
	Ticket   int64  `json:"ticket"`
	WorkItem int64  `json:"workItem,omitempty"`
	// Detail says what would be written.
	Detail string `json:"detail"`
}

// Foresight counts what would be written.
type Foresight struct {
	// Links is how many links the connector has.
	Links int `json:"links"`
	// Writes counts items that would be written to, by the kind of the first write.
	Writes   map[string]int `json:"writes"`
	Examples []Example      `json:"examples"`
}

// Add counts a write.
func (f *Foresight) Add(e Example) {
	if f.Writes == nil {
		f.Writes = map[string]int{}
	}
	f.Writes[e.Kind]++
	if f.Writes[e.Kind] <= MaxExamples {
		f.Examples = append(f.Examples, e)
	}
}

// Total is how many items would be written to.
func (f *Foresight) Total() int {
	total := 0
	for _, n := range f.Writes {
		total += n
	}
	return total
}

// Kinds lists the kinds of writes in order.
func (f *Foresight) Kinds() []string { return slices.Sorted(maps.Keys(f.Writes)) }

// Brakes tells whether so much has to wait.
func (s Settings) Brakes(f *Foresight) bool {
	total := f.Total()
	return s.Share < 1 && total >= max(s.AtLeast, 1) && float64(total) > s.Share*float64(f.Links)
}

// State is a mass change that waits, or that was let go. The zero value is neither.
type State struct {
	// Settings is the fingerprint of the settings under which it was foreseen.
	Settings string `json:"settings"`
	// Since is when it was first held.
	Since     time.Time `json:"since"`
	Foresight Foresight `json:"foresight"`
	// Released is when a person let it go; zero: it waits.
	Released time.Time `json:"released,omitzero"`
}

// Exists tells that there is a mass change.
func (s State) Exists() bool { return !s.Since.IsZero() }

// Held tells that the mass change waits.
func (s State) Held() bool { return s.Exists() && s.Released.IsZero() }

// ID names the change that waits: another change of the settings has another, and so
// has one that grew.
func (s State) ID() string {
	if !s.Exists() {
		return ""
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", s.Settings, s.Since.UnixNano(), s.Foresight.Total()))
	return hex.EncodeToString(sum[:6])
}

// Sentence says for a person what would be written and what to do.
func (s State) Sentence() string {
	parts := make([]string, 0, len(s.Foresight.Writes))
	for _, kind := range s.Foresight.Kinds() {
		parts = append(parts, fmt.Sprintf("%d × %s", s.Foresight.Writes[kind], kind))
	}
	return fmt.Sprintf("A resync would write to %d items at once (%s), and the connector has %d links; "+
		"look at the examples, then release the change, or take back the settings that cause it.",
		s.Foresight.Total(), strings.Join(parts, ", "), s.Foresight.Links)
}

// Verdict is what a resync has to do.
type Verdict int

// The verdicts.
const (
	// Go: everything may be written, and nothing waits any more.
	Go Verdict = iota
	// GoOn: everything may be written; it belongs to what a person let go.
	GoOn
	// Hold: what was counted has to wait, as State says.
	Hold
)

// Judge tells what to do about what a resync foresees under settings of a
// fingerprint, and the state to store.
func Judge(s Settings, known State, fingerprint string, foreseen Foresight, now time.Time) (Verdict, State) {
	if !s.Brakes(&foreseen) {
		return Go, State{}
	}
	same := known.Exists() && known.Settings == fingerprint
	if same && !known.Held() && foreseen.Total() <= known.Foresight.Total() && now.Sub(known.Released) < ReleaseLasts {
		return GoOn, known
	}
	next := State{Settings: fingerprint, Since: now, Foresight: foreseen}
	if same && known.Held() {
		next.Since = known.Since
	}
	return Hold, next
}
