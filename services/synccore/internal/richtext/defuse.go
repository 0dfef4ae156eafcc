package richtext

import (
	"slices"
	"strings"
)

// The characters that stand in for others while goldmark reads, and are no
// characters of any text. What they replace would make it look through all that
// follows for what isn't there, or build far more than was written; they come out
// again as what they were, in code, too.
const (
	standsForNothing = '\ufdd0'
	standsForBracket = '\ufdd1'
	standsForParen   = '\ufdd2'
	standsForColon   = '\ufdd3'
	standsForDash    = '\ufdd4'
)

// defuse makes Markdown cheap to read.
func defuse(s string) string {
	if strings.Contains(s, "\xef\xb7") {
		s = strings.Map(func(r rune) rune {
			if r >= standsForNothing && r <= standsForDash {
				return -1
			}
			return r
		}, s)
	}
	return narrow(guard(shallow(s)))
}

// restore undoes defuse.
func restore(s string) string {
	return strings.NewReplacer(
		string(standsForNothing), "", string(standsForBracket), "[", string(standsForParen), "(",
		string(standsForColon), ":", string(standsForDash), "-",
	).Replace(s)
}

// shallow keeps quotes and lists on one line from nesting deeper than anything
// that is shown: each level costs a pass over all lines that follow.
func shallow(s string) string {
	var out strings.Builder
	changed := false
	for line := range strings.Lines(s) {
		end, deeper := opening(line, 2*maxContainers)
		out.WriteString(line[:end])
		if deeper {
			changed = true
			out.WriteRune(standsForNothing)
		}
		out.WriteString(line[end:])
	}
	if !changed {
		return s
	}
	return out.String()
}

// narrow keeps tables from being larger than what was written: each row is filled
// up to the columns of the head, so that a short text makes a huge table. And it
// keeps definitions of links from being too many in a row, each of which goldmark
// 1.8.7 copies once for each before it.
func narrow(s string) string {
	const (
		most  = 60_000 // cells of all tables
		inRow = 200    // definitions one after the other
	)
	if !strings.Contains(s, "|") && !strings.Contains(s, "]:") {
		return s
	}
	lines := strings.SplitAfter(s, "\n")
	// How many lines follow each one without an empty line.
	follow := make([]int, len(lines)+1)
	for i, line := range slices.Backward(lines) {
		if strings.TrimSpace(line) != "" {
			follow[i] = follow[i+1] + 1
		}
	}
	cells, definitions := 0, 0
	for i, line := range lines {
		if !strings.Contains(line, "]:") {
			definitions = 0
		} else if definitions++; definitions > inRow {
			lines[i] = strings.ReplaceAll(line, "]:", "]"+string(standsForColon))
		}
		if strings.Contains(line, "-") && strings.Trim(line, " \t\r\n>|:-+*0123456789.)") == "" {
			columns := strings.Count(line, "|") + 1
			if columns*follow[i] > most-cells {
				// No longer the line below a table's head.
				lines[i] = strings.ReplaceAll(line, "-", string(standsForDash))
				continue
			}
			cells += columns * follow[i]
		}
	}
	return strings.Join(lines, "")
}

// guard takes out brackets that make goldmark 1.8.7 look through all that follows
// and find nothing: "[a](" two hundred thousand times took it five minutes. No
// message means a link by them.
func guard(s string) string {
	const deepest = 64
	var out strings.Builder
	from, open := 0, 0
	replace := func(at int, by rune) {
		out.WriteString(s[from:at])
		out.WriteRune(by)
		from = at + 1
	}
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '\n':
			if i+1 < len(s) && s[i+1] == '\n' {
				open = 0
			}
		case '[':
			if open++; open > deepest {
				replace(i, standsForBracket)
			}
		case ']':
			open = max(0, open-1)
			if i+1 < len(s) && s[i+1] == '(' && !closes(s[i+1:]) {
				replace(i+1, standsForParen)
			}
		}
	}
	if from == 0 {
		return s
	}
	out.WriteString(s[from:])
	return out.String()
}

// closes tells that the bracket at the start of s is closed where a link's can be.
func closes(s string) bool {
	depth := 0
	for i := 0; i < len(s) && i < 2*maxAddress && depth <= 8; i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return true
			}
		}
	}
	return false
}

// opening is how long the signs of so many quotes and items are that a line
// starts with, and whether more of them follow.
func opening(line string, most int) (int, bool) {
	end := 0
	for range most {
		size := blockSign(line[end:])
		if size == 0 {
			return end, false
		}
		end += size
	}
	return end, blockSign(line[end:]) > 0
}

// blockSign is the length of the sign of a quote or an item at the start of s,
// with the spaces before it; 0: there is none.
func blockSign(s string) int {
	body := strings.TrimLeft(s, " \t")
	at := len(s) - len(body)
	digits := len(body) - len(strings.TrimLeft(body, "0123456789"))
	switch {
	case body == "":
		return 0
	case body[0] == '>':
		return at + 1
	case strings.IndexByte("-+*", body[0]) >= 0 && len(body) > 1 && (body[1] == ' ' || body[1] == '\t'):
		return at + 1
	case digits > 0 && digits < 10 && len(body) > digits+1 && strings.IndexByte(".)", body[digits]) >= 0 && body[digits+1] == ' ':
		return at + digits + 1
	default:
		return 0
	}
}
