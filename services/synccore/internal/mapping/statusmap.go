package mapping

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// StatusMap says which ticket status a work item state stands for. Several states
// may stand for one status; a state stands for one status only. The zero value
// maps nothing. It is immutable and safe for concurrent use.
//
// Names are compared without regard to case, surrounding blanks, runs of blanks
// and the ways in which Unicode can write one letter, since people type them and
// both systems show them localised (alvao.md §2.3).
type StatusMap struct {
	pairs    []item.Pair
	byState  map[string]int
	byStatus map[string][]int
	print    string
}

// NewStatusMap compiles pairs in their declared order. A problem's Path is the
// state that it is about; pairs with problems are left out.
func NewStatusMap(pairs []item.Pair) (StatusMap, []Problem) {
	m := StatusMap{byState: map[string]int{}, byStatus: map[string][]int{}}
	var problems []Problem
	for _, p := range pairs {
		written := p.State
		p = item.Pair{State: strings.TrimSpace(p.State), Status: strings.TrimSpace(p.Status)}
		switch first, known := m.byState[fold(p.State)]; {
		case p.State == "":
			problems = append(problems, Problem{
				Path:   []string{written},
				Text:   "a work item state is empty",
				Remedy: "Write the state's name as Azure DevOps shows it, such as To Do",
			})
		case p.Status == "":
			problems = append(problems, Problem{
				Path:   []string{written},
				Text:   fmt.Sprintf("the state %q maps to no ticket status", p.State),
				Remedy: "Write the status's name as Alvao shows it, or remove the state",
			})
		case known:
			problems = append(problems, Problem{
				Path:   []string{written},
				Text:   fmt.Sprintf("the state %q is named twice, here and as %q", p.State, m.pairs[first].State),
				Remedy: "Keep one of the two: a state can stand for one ticket status only",
			})
		default:
			m.byState[fold(p.State)] = len(m.pairs)
			m.byStatus[fold(p.Status)] = append(m.byStatus[fold(p.Status)], len(m.pairs))
			m.pairs = append(m.pairs, p)
		}
	}
	sum := sha256.New()
	for _, p := range m.pairs {
		fmt.Fprintf(sum, "%q %q\n", fold(p.State), fold(p.Status))
	}
	m.print = hex.EncodeToString(sum.Sum(nil)[:4])
	return m, problems
}

// Print is a short text that maps which say the same share, and others hardly do.
func (m StatusMap) Print() string { return m.print }

// Status is the ticket status that a state stands for; false if it is not mapped.
func (m StatusMap) Status(state string) (string, bool) {
	i, ok := m.byState[fold(state)]
	if !ok {
		return "", false
	}
	return m.pairs[i].Status, true
}

// States lists the states that stand for a status in declared order, the one to
// move to first; empty if the status is not mapped.
func (m StatusMap) States(status string) []string {
	indexes := m.byStatus[fold(status)]
	if len(indexes) == 0 {
		return nil
	}
	states := make([]string, len(indexes))
	for i, index := range indexes {
		states[i] = m.pairs[index].State
	}
	return states
}

// Agree tells whether state is mapped and stands for status.
func (m StatusMap) Agree(state, status string) bool {
	mapped, ok := m.Status(state)
	return ok && Same(mapped, status)
}

// NamesStatus tells whether any state stands for status.
func (m StatusMap) NamesStatus(status string) bool { return len(m.byStatus[fold(status)]) > 0 }

// NamesState tells whether state is mapped.
func (m StatusMap) NamesState(state string) bool {
	_, ok := m.byState[fold(state)]
	return ok
}

// Pairs lists the map in declared order.
func (m StatusMap) Pairs() []item.Pair { return append([]item.Pair(nil), m.pairs...) }

// Same tells whether two names of states or statuses mean the same one.
func Same(a, b string) bool { return a == b || fold(a) == fold(b) }

// fold gives equal texts for names that mean the same.
func fold(name string) string {
	plain := true
	for i := range len(name) {
		c := name[i]
		if c >= 0x80 || c < ' ' || (c == ' ' && (i == 0 || i == len(name)-1 || name[i-1] == ' ')) {
			plain = false
			break
		}
	}
	if plain {
		return strings.ToLower(name)
	}
	// Folding can undo a normal form, so the form comes last.
	name = cases.Fold().String(norm.NFC.String(name))
	return strings.Join(strings.Fields(norm.NFC.String(name)), " ")
}
