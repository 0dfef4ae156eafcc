package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing wrong with a configuration file.
type Problem struct {
	// File is the file's name as it was given.
	File string
	// Line and Column count from 1; 0: the file as a whole.
	Line, Column int
	// Within leads on within a text that is embedded at Line and Column, such as
	// "line 3, column 7 of the text"; empty where Line and Column are exact.
	Within string
	// Path names the setting, as in connectors[0].settings.StatusMap["To Do"].
	Path string
	// Text is one sentence that says what is wrong, without a full stop.
	Text string
	// Remedy is one sentence that says what to do, without a full stop.
	Remedy string
	// Warning tells that the configuration works all the same.
	Warning bool
}

// at gives p its place.
func (p Problem) at(s spot) Problem {
	p.Line, p.Column, p.Within = s.line, s.column, s.within
	return p
}

// String gives "file:line:col: path: sentence. Remedy.".
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Path != "" {
		b.WriteString(p.Path)
		if p.Within != "" {
			b.WriteString(" (" + p.Within + ")")
		}
		b.WriteString(": ")
	}
	b.WriteString(sentence(p.Text))
	if p.Remedy != "" {
		b.WriteString(" " + sentence(p.Remedy))
	}
	return b.String()
}

func sentence(text string) string {
	if strings.HasSuffix(text, "?") {
		return text
	}
	return text + "."
}

// Problems is all that is wrong with a file, in the file's order. As an error it
// holds at least one.
type Problems []Problem //nolint:errname // it is a list of problems first; warnings travel in it too

// Error lists the problems, one a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

func (p Problems) sort() {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Within, b.Within))
	})
}

// split parts what forbids the configuration from warnings.
func (p Problems) split() (Problems, Problems) {
	var fatal, warnings Problems
	for _, problem := range p {
		if problem.Warning {
			warnings = append(warnings, problem)
		} else {
			fatal = append(fatal, problem)
		}
	}
	return fatal, warnings
}
