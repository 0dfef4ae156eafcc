package redact

import (
	"unicode"
	"unicode/utf8"
)

const (
	cardNumber = "card number"
	// shortestCard and longestCard bound the digits of a number (ISO/IEC 7812).
	shortestCard, longestCard = 14, 19
)

// group is a run of digits.
type group struct{ from, to int }

func (g group) size() int { return g.to - g.from }

// shapes are the groups in which cards print their numbers.
var shapes = [...][]int{{4, 4, 4, 4, 3}, {4, 4, 4, 4}, {4, 6, 5}, {4, 6, 4}} //nolint:gochecknoglobals // a constant list

// cards finds numbers of payment cards: of a length and a beginning that issuers use,
// in one group or in the groups that cards show, with a right check digit.
func cards(text string, found []Span) []Span {
	last := 0 // where the digits before ended
	for i := 0; i < len(text); {
		if c := text[i]; c < '0' || c > '9' {
			i++
			continue
		}
		before, _ := utf8.DecodeLastRuneInString(text[last:i])
		var groups [5]group
		n := groupsAt(text, i, &groups)
		first := groups[0]
		end := 0
		if !unicode.IsLetter(before) {
			end = cardAt(text, groups[:n])
		}
		if end > 0 {
			found = append(found, Span{From: first.from, To: end, Name: cardNumber})
			first.to = end
		}
		i, last = first.to, first.to
	}
	return found
}

// cardAt tells where a number ends that starts with the first group; 0: none does.
func cardAt(text string, groups []group) int {
	var digits [longestCard]byte
	if size := groups[0].size(); size >= shortestCard && size <= longestCard {
		n := copy(digits[:], text[groups[0].from:groups[0].to])
		if ends(text, groups[0].to) && isCard(digits[:n]) {
			return groups[0].to
		}
		return 0
	}
	for _, shape := range shapes {
		if len(groups) < len(shape) {
			continue
		}
		n, fits := 0, true
		for i, size := range shape {
			if groups[i].size() != size {
				fits = false
				break
			}
			n += copy(digits[n:], text[groups[i].from:groups[i].to])
		}
		if end := groups[len(shape)-1].to; fits && ends(text, end) && isCard(digits[:n]) {
			return end
		}
	}
	return 0
}

// groupsAt reads groups of digits with one separator between two, up to five.
func groupsAt(text string, at int, groups *[5]group) int {
	n := 0
	for n < len(groups) {
		end := at
		for end < len(text) && text[end] >= '0' && text[end] <= '9' {
			end++
		}
		groups[n] = group{at, end}
		n++
		size := separator(text[end:])
		next := end + size
		if size == 0 || next >= len(text) || text[next] < '0' || text[next] > '9' {
			break
		}
		at = next
	}
	return n
}

// separator is the length of what separates groups; 0: nothing does.
func separator(s string) int {
	r, size := utf8.DecodeRuneInString(s)
	switch r {
	case ' ', '-', '.', '\u00a0', '\u2007', '\u2009', '\u2010', '\u2011', '\u202f':
		return size
	default:
		return 0
	}
}

// ends tells that no word goes on at a place.
func ends(text string, at int) bool {
	r, size := utf8.DecodeRuneInString(text[at:])
	return size == 0 || !unicode.IsLetter(r)
}

func isCard(digits []byte) bool { return issued(digits) && luhn(digits) }

// issued tells that an issuer uses numbers of that beginning and length.
func issued(digits []byte) bool {
	prefix := func(n int) int {
		value := 0
		for _, d := range digits[:n] {
			value = value*10 + int(d-'0')
		}
		return value
	}
	two, three, four, n := prefix(2), prefix(3), prefix(4), len(digits)
	switch {
	case digits[0] == '4': // Visa
		return n == 16 || n == 19
	case two >= 51 && two <= 55, four >= 2221 && four <= 2720: // Mastercard
		return n == 16
	case two == 34, two == 37: // American Express
		return n == 15
	case two == 36, two == 38, two == 39, three >= 300 && three <= 305: // Diners Club
		return n >= 14
	case four == 6011, two == 65, three >= 644 && three <= 649, two == 62, four >= 3528 && four <= 3589: // Discover, UnionPay, JCB
		return n >= 16
	case four == 5018, four == 5020, four == 5038, four == 6304, four == 6759, four >= 6761 && four <= 6763: // Maestro
		return n >= 16
	default:
		return false
	}
}

// luhn tells that the last digit is the right check digit (ISO/IEC 7812-1, annex B).
func luhn(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}
