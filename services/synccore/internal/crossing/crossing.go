// Package crossing decides which messages and files may pass from one system to the
// other.
//
// Its one invariant: the answer depends on the message and the settings alone, so
// that it is the same in every round, and a refusal names the setting that it comes
// from.
//
// What is asked, in this order; the first answer counts:
//
//	toAzureDevOps, toAlvao     a direction that is off lets nothing pass
//	only: visibleToRequester   a record that the requester may not see stays
//	rules                      the first that matches says whether it crosses
//	kinds                      a record of another kind stays
//
// So no rule lifts the first two, and one can let a record of any kind pass.
package crossing

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// The limits on what administrators may write. Patterns take time in proportion to
// the text and to their own length, whatever they say.
const (
	MaxRules   = 100
	MaxPattern = 1000
)

// Rules says what crosses. The zero value lets everything pass but what Alvao writes
// by itself, as Alvao's own connector does (alvao.md §2.4). It must not be changed
// while it is in use.
type Rules struct {
	// OffToAzureDevOps and OffToAlvao stop a direction altogether.
	OffToAzureDevOps, OffToAlvao bool
	// OnlyVisible keeps back records that the ticket's requester may not see.
	OnlyVisible bool
	// List is asked in its order.
	List []Rule
	// Kinds are the kinds of records that cross where no rule matches; empty: all but
	// Process and Notification.
	Kinds []string
	// Files says which types of files cross.
	Files Files
}

// Rule decides about messages that match everything it names.
type Rule struct {
	// Cross is the decision.
	Cross bool
	// To narrows the rule to a direction; empty: both.
	To item.System
	// Kinds narrows it to records of these kinds; empty: any, comments and files too.
	Kinds []string
	// Visible narrows it to records that the requester may see, or may not see; nil:
	// both, comments and files too.
	Visible *bool
	// Author and Text must be found in the author's name and in the text; the zero
	// Pattern: any.
	Author, Text Pattern
}

// Pattern is a regular expression as RE2 knows it. The zero value matches everything.
type Pattern struct {
	text     string
	compiled *regexp.Regexp
}

// NewPattern compiles a pattern. The error's text is a clause for the administrator.
func NewPattern(text string) (Pattern, error) {
	if len(text) > MaxPattern {
		return Pattern{}, fmt.Errorf("the pattern is longer than %d bytes", MaxPattern)
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return Pattern{}, fmt.Errorf("it is no regular expression (%s)", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return Pattern{text: text, compiled: compiled}, nil
}

// String is the pattern as it was written.
func (p Pattern) String() string { return p.text }

func (p Pattern) matches(s string) bool { return p.compiled == nil || p.compiled.MatchString(s) }

// Message is what is asked about.
type Message struct {
	// From is the system where it was written.
	From item.System
	// Kind is a record's kind; empty for a comment or a work item's file.
	Kind string
	// Visible tells that the requester may see a record.
	Visible bool
	// Author is the author's name as the system shows it; empty where it is not told.
	Author string
	// Text is what it says, without markup; of a work item's file its name.
	Text string
}

// To is the system that it would go to.
func (m Message) To() item.System {
	if m.From == item.Alvao {
		return item.AzureDevOps
	}
	return item.Alvao
}

// Keeps names the setting that keeps a message back; empty: it crosses.
func (r Rules) Keeps(m Message) string {
	switch {
	case r.OffToAzureDevOps && m.To() == item.AzureDevOps:
		return "toAzureDevOps: false"
	case r.OffToAlvao && m.To() == item.Alvao:
		return "toAlvao: false"
	case r.OnlyVisible && m.Kind != "" && !m.Visible:
		return "only: visibleToRequester"
	}
	for i, rule := range r.List {
		if !rule.matches(m) {
			continue
		}
		if rule.Cross {
			return ""
		}
		return fmt.Sprintf("rules[%d]", i)
	}
	if m.Kind != "" && !r.takes(m.Kind) {
		return "kinds"
	}
	return ""
}

// takes tells whether records of a kind cross where no rule matches.
func (r Rules) takes(kind string) bool {
	if len(r.Kinds) > 0 {
		return containsFold(r.Kinds, kind)
	}
	return !strings.EqualFold(kind, "Process") && !strings.EqualFold(kind, "Notification")
}

func (r Rule) matches(m Message) bool {
	switch {
	case r.To != "" && r.To != m.To():
		return false
	case len(r.Kinds) > 0 && !containsFold(r.Kinds, m.Kind):
		return false
	case r.Visible != nil && (m.Kind == "" || *r.Visible != m.Visible):
		return false
	default:
		return r.Author.matches(m.Author) && r.Text.matches(m.Text)
	}
}

func containsFold(list []string, word string) bool {
	return slices.ContainsFunc(list, func(one string) bool { return strings.EqualFold(one, word) })
}
