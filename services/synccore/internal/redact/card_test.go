package redact_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
)

// numberOf is a number of a length that begins as told and has the right check digit.
func numberOf(t *testing.T, beginning string, length int) string {
	t.Helper()
	body := (beginning + "8171625349807261817162")[:length-1]
	for check := range 10 {
		number, sum := body+strconv.Itoa(check), 0
		for i := range number {
			digit := int(number[len(number)-1-i] - '0')
			if i%2 == 1 {
				digit = digit*2/10 + digit*2%10
			}
			sum += digit
		}
		if sum%10 == 0 {
			return number
		}
	}
	t.Fatalf("%s has no check digit", body)
	return ""
}

// The beginnings and lengths are those that the issuers publish; their neighbours are
// nobody's, and a wrong check digit makes no number of one.
func TestIssuers(t *testing.T) {
	t.Parallel()
	r := redact.New(true, nil, nil)
	span := func(from, to int) []int {
		var out []int
		for n := from; n <= to; n++ {
			out = append(out, n)
		}
		return out
	}
	for _, issuer := range []struct {
		name, beginnings string
		lengths          []int
	}{
		{"Visa", "4000 4999", []int{16, 19}},
		{"Mastercard", "51 55 2221 2500 2720", []int{16}},
		{"American Express", "34 37", []int{15}},
		{"Diners Club", "300 305 36 38 39", span(14, 19)},
		{"Discover", "6011 65 644 649", span(16, 19)},
		{"UnionPay", "62", span(16, 19)},
		{"JCB", "3528 3589", span(16, 19)},
		{"Maestro", "5018 5020 5038 6304 6759 6761 6763", span(16, 19)},
		{"nobody", "1000 2220 2721 299 306 33 3527 3590 5017 5019 5021 5037 5039 50 56 6010 6012 63 6303 6305 643 66 6758 6760 6764 70 9999 0000", nil},
	} {
		for beginning := range strings.FieldsSeq(issuer.beginnings) {
			for length := 13; length <= 20; length++ {
				number := numberOf(t, beginning, length)
				found := r.Find("card " + number + ".")
				if want := slices.Contains(issuer.lengths, length); (len(found) == 1) != want {
					t.Errorf("%s: %s, of %d digits: found %v", issuer.name, number, length, found)
				}
				wrong := number[:length-1] + string('0'+(number[length-1]-'0'+1)%10)
				if found := r.Find("card " + wrong + "."); len(found) != 0 {
					t.Errorf("%s: %s with a wrong check digit: found %v", issuer.name, wrong, found)
				}
			}
		}
	}
}

// Numbers are printed in groups of those sizes and no others, with one separator between
// two.
func TestGroupsOfCards(t *testing.T) {
	t.Parallel()
	r := redact.New(true, nil, nil)
	for text, want := range map[string]bool{
		"4111 1111 1111 1111":                    true,
		"4111.1111.1111.1111":                    true,
		"4111\u20111111\u20111111\u20111111":     true,
		"4111\u202f1111\u202f1111\u202f1111":     true,
		"4111\u20101111\u20071111\u20091111":     true,
		"4111  1111 1111 1111":                   false,
		"4111,1111,1111,1111":                    false,
		"411 11111 1111 1111":                    false,
		"4111 1111 11111 111":                    false,
		"4111 1111 1111 1111 ":                   true,
		"4111 1111 1111 1111x":                   false,
		"x4111 1111 1111 1111":                   false,
		"4111 1111 1111 1111 1111":               true, // the first sixteen are one
		"3782 822463 10005":                      true,
		"3782 8224631 0005":                      false,
		"3056 930902 5904":                       true,
		numberGrouped(t, "4000", 4, 4, 4, 4, 3):  true,
		numberGrouped(t, "4000", 4, 4, 4, 3, 4):  false,
		"0123456789/4111111111111111/0123456789": true,
	} {
		if found := r.Find(text); (len(found) > 0) != want {
			t.Errorf("%q: found %v", text, found)
		}
	}
}

func numberGrouped(t *testing.T, beginning string, sizes ...int) string {
	t.Helper()
	length := 0
	for _, size := range sizes {
		length += size
	}
	number, groups := numberOf(t, beginning, length), make([]string, 0, len(sizes))
	for _, size := range sizes {
		groups, number = append(groups, number[:size]), number[size:]
	}
	return strings.Join(groups, " ")
}

// A text may hold any number of secrets, of which each is found where it stands.
func TestWhereSecretsEnd(t *testing.T) {
	t.Parallel()
	r := redact.New(true, nil, nil)
	const head = "eyJ" + "hbGciOiJIU"
	for text, want := range map[string]string{
		// A web token has three to five parts, the first of 13 signs at least, the second of 4.
		head + ".abcd.x":             "[redacted: web token]",
		head + ".abcd.x.y.z":         "[redacted: web token]",
		head + ".abcd..":             "[redacted: web token]..",
		head + ".abc.x":              head + ".abc.x",
		head[:12] + ".abcd.x":        head[:12] + ".abcd.x",
		head + ".abcd":               head + ".abcd",
		"a" + head + ".abcd.x":       "a" + head + ".abcd.x",
		"(" + head + ".abcd.x)":      "([redacted: web token])",
		"4111111111111111 and 4":     "[redacted: card number] and 4",
		"6 4111111111111111":         "6 [redacted: card number]",
		"4111111111111111":           "[redacted: card number]",
		"4111111111111111\u00e9":     "4111111111111111\u00e9",
		"4111 1111 1111 1111, 37828": "[redacted: card number], 37828",
	} {
		if got := r.Text(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
