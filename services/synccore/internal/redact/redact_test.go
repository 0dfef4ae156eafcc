package redact_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/redact"
)

// The secrets here are made up: put together so that no scanner takes this file for a
// leak, and of the forms that their vendors publish.
func secrets() map[string]string {
	letters := "abcdefghijklmnopqrstuvwxyz"
	many := strings.Repeat(letters+strings.ToUpper(letters)+"0123456789", 3)
	return map[string]string{
		"AZURE new":   many[:76] + "AZDO" + "1a2B",
		"AZURE old":   strings.Repeat(letters+"234567", 2)[:52],
		"AWS id":      "AKIA" + "IOSFODNN7EXAMPLE",
		"AWS secret":  "aws_secret_access_key = " + many[:38] + "/+",
		"GitHub":      "ghp_" + many[:36],
		"GitHub new":  "github_pat_" + many[:40],
		"GitLab":      "glpat-" + many[:20],
		"Slack":       "xoxb-" + "123456789012-" + many[:20],
		"Slack hook":  "https://hooks.slack.com/services/T00000000/B00000000/" + many[:24],
		"Google":      "AIza" + many[:35],
		"npm":         "npm_" + many[:36],
		"Stripe":      "sk_live_" + many[:24],
		"web token":   "eyJ" + "hbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0." + many[:43],
		"basic":       "Authorization: Basic " + "dXNlcjpwYXNz",
		"bearer":      "authorization: bearer " + many[:32],
		"bearer bare": "Bearer " + many[:22] + "1234",
		"api key":     "Ocp-Apim-Subscription-Key: " + many[:32],
		"storage":     "AccountKey=" + many[:86] + "==",
		"bus":         "SharedAccessKey=" + many[:43] + "=",
		"key":         "-----BEGIN RSA " + "PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\n" + many[:64] + "\n" + many[:30] + "==\n-----END RSA PRIVATE KEY-----",
		"key in line": "-----BEGIN OPENSSH " + "PRIVATE KEY----- " + many[:64] + " \u00a0 " + many[:64] + " -----END OPENSSH PRIVATE KEY-----",
		"key cut":     "-----BEGIN " + "PRIVATE KEY-----\n" + many[:64] + "\n" + many[:64],
		"pgp":         "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----\n" + many[:64] + "\n=aBcD\n-----END PGP PRIVATE KEY BLOCK-----",
		"Visa":        "4111111111111111",
		"Visa spaced": "4111 1111 1111 1111",
		"Visa hard":   "4111\u00a01111\u00a01111\u00a01111",
		"Visa dashed": "4111-1111-1111-1111",
		"Mastercard":  "5555555555554444",
		"MC 2 series": "2223003122003222",
		"Amex":        "3782 822463 10005",
		"Diners":      "3056 930902 5904",
		"Discover":    "6011111111111117",
		"JCB":         "3530111333300000",
		"UnionPay":    "6200000000000005",
		"Maestro":     "6759649826438453",
	}
}

func TestShippedPatternsFindSecrets(t *testing.T) {
	t.Parallel()
	r := redact.New(true, nil, nil)
	for name, secret := range secrets() {
		for _, around := range [][2]string{{"", ""}, {"Use ", " please."}, {"číslo:", ", děkuji"}, {"(", ")"}, {"\"", "\"\n"}} {
			text := around[0] + secret + around[1]
			got := r.Text(text)
			tail := secret[len(secret)-12:]
			if strings.Contains(got, tail) || !strings.Contains(got, "[redacted: ") || !strings.HasPrefix(got, around[0]) || !strings.HasSuffix(got, around[1]) {
				t.Errorf("%s in %q: %q", name, text, got)
			}
			if again := r.Text(got); again != got {
				t.Errorf("%s, redacted twice: %q", name, again)
			}
		}
	}
}

func TestWhatOnlyLooksLikeASecretStays(t *testing.T) {
	t.Parallel()
	r := redact.New(true, nil, nil)
	letters := "abcdefghijklmnopqrstuvwxyz"
	for _, text := range []string{
		"", "The bearer of this letter", "bearer responsibilities-and-obligations", "basic internationalization", "Authorization: see the handbook",
		"the ticket T20241234SD of 2026-11-21 15:04:05.123456789", "phone +420 123 456 789 012, IBAN CZ65 0800 0000 1920 0014 5399",
		"4111111111111112", "4111 1111 1111 1112", "41111111111111111", "4111 1111 1111 111", "order 1234567890123456",
		"GUID 8c8c7d32-6b1b-47f4-b2e9-30b477b5ab3d", "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"1732200000000", "EAN 4006381333931", "x4111111111111111", "4111111111111111x", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
		"-----BEGIN PUBLIC KEY-----", strings.Repeat(letters, 2), "eyJ", "ghp_short", "sk_live_", "xox-files", "AKIA", "AccountKey=later",
		"https://dev.azure.com/contoso/Alvaoproject/_workitems/edit/4111", "aws key: in the safe",
	} {
		if found := r.Find(text); len(found) != 0 {
			t.Errorf("%q: %v", text, found)
		}
	}
	// The words after a key that was cut off stay.
	cut := secrets()["key cut"] + "\nplease do not use it any more, Jana"
	if got := r.Text(cut); got != "[redacted: private key]\nplease do not use it any more, Jana" {
		t.Errorf("after a key that was cut off: %q", got)
	}
}

// Letters of every part of the alphabet, and digits, make a word.
func TestEverySignOfAToken(t *testing.T) {
	t.Parallel()
	r := redact.New(true, nil, nil)
	for _, tail := range []string{"aaaa", "zzzz", "AAAA", "ZZZZ", "0000", "9999"} {
		token := "ghp_" + strings.Repeat(tail, 9)
		if got := r.Text(token); !strings.HasPrefix(got, "[redacted") {
			t.Errorf("%q stays: %q", token, got)
		}
	}
	pattern(t, "longest", strings.Repeat("a", redact.MaxPattern))
}

func pattern(t *testing.T, name, text string) redact.Pattern {
	t.Helper()
	p, err := redact.NewPattern(name, text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOwnPatterns(t *testing.T) {
	t.Parallel()
	r := redact.New(false, nil, []redact.Pattern{
		pattern(t, "zákaznické číslo", `\bKD-[0-9]{8}\b`), pattern(t, "password", `(?i)\bpassword: *(\S+)`), pattern(t, "word", `\bKD\b`),
	})
	got := r.Text("KD-12345678 has the Password: hunter2 and 4111111111111111")
	if want := "[redacted: zákaznické číslo] has the Password: [redacted: password] and 4111111111111111"; got != want {
		t.Errorf("got %q", got)
	}
	if redact.New(false, nil, nil) != nil || redact.New(true, redact.Names(), nil) != nil {
		t.Error("nothing to look for is looked for")
	}
	if got := (*redact.Redactor)(nil).Text("4111111111111111"); got != "4111111111111111" {
		t.Errorf("nil found %q", got)
	}
	if got := redact.New(true, []string{"card number"}, nil).Text("4111111111111111 " + secrets()["npm"]); got != "4111111111111111 [redacted: npm token]" {
		t.Errorf("without cards: %q", got)
	}
	for _, bad := range [][2]string{
		{"", "a"},
		{"a]b", "a"},
		{" a", "a"},
		{strings.Repeat("a", 41), "a"},
		{"a", "("},
		{"a", "a*"},
		{"a", "(?=a)"},
		{"a", "(a{1000}){1000}"},
		{"a", strings.Repeat("a", redact.MaxPattern+1)},
	} {
		if _, err := redact.NewPattern(bad[0], bad[1]); err == nil {
			t.Errorf("%.20q, %.20q was taken", bad[0], bad[1])
		}
	}
	if p := pattern(t, "n", "x"); p.Name() != "n" || p.String() != "x" {
		t.Errorf("reads %q, %q", p.Name(), p.String())
	}
}

// A secret between any words is found, and the words stay.
func TestSecretsAmongWords(t *testing.T) {
	t.Parallel()
	r := redact.New(true, nil, nil)
	all := secrets()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	word := rapid.SampledFrom([]string{"hello", "žluťoučký", "12", "3.", "(", "#7", "@jana", "—", "🎉", "a-b", "x=1", "\n", "T1SD"})
	rapid.Check(t, func(t *rapid.T) {
		before := strings.Join(rapid.SliceOfN(word, 0, 5).Draw(t, "before"), " ")
		after := strings.Join(rapid.SliceOfN(word, 0, 5).Draw(t, "after"), " ")
		secret := all[rapid.SampledFrom(names).Draw(t, "secret")]
		got := r.Text(before + " " + secret + "; " + after)
		if strings.Contains(got, secret[len(secret)-12:]) {
			t.Fatalf("left in %q", got)
		}
		if !strings.HasPrefix(got, before+" ") || !strings.HasSuffix(got, after) {
			t.Fatalf("the words became %q", got)
		}
	})
}

// checkSpans holds for every text.
func checkSpans(t interface {
	Helper()
	Fatalf(format string, args ...any)
}, text string, found []redact.Span,
) {
	t.Helper()
	end := 0
	for _, s := range found {
		if s.From < end || s.To <= s.From || s.To > len(text) || s.Name == "" {
			t.Fatalf("spans %v of %d bytes", found, len(text))
		}
		if utf8.ValidString(text) && (!utf8.ValidString(text[:s.From]) || !utf8.ValidString(text[s.From:s.To])) {
			t.Fatalf("%v cuts a sign of %q in two", s, text)
		}
		end = s.To
	}
}

func FuzzFind(f *testing.F) {
	for _, secret := range secrets() {
		f.Add(secret, `\S+@\S+`)
	}
	f.Add("4111 1111 1111 1111 4111 1111 1111 1111", `[0-9]{4}`)
	shipped := redact.New(true, nil, nil)
	f.Fuzz(func(t *testing.T, text, own string) {
		checkSpans(t, text, shipped.Find(text))
		p, err := redact.NewPattern("own", own)
		if err != nil {
			return
		}
		both := redact.New(true, nil, []redact.Pattern{p})
		found := both.Find(text)
		checkSpans(t, text, found)
		if got := both.Text(text); len(found) == 0 && got != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

func TestSeveralSecretsInOneText(t *testing.T) {
	t.Parallel()
	wide := pattern(t, "wide", `card .{10,30}`)
	all := secrets()
	text := "card 4111111111111111 then " + all["npm"] + " then 5555555555554444, " + all["AWS id"]
	for want, r := range map[string]*redact.Redactor{
		"card [redacted: card number] then [redacted: npm token] then [redacted: card number], [redacted: AWS key]": redact.New(true, nil, nil),
		// What overlaps is one, and goes by the name of what begins first.
		"[redacted: wide] then [redacted: card number], [redacted: AWS key]": redact.New(true, nil, []redact.Pattern{wide}),
	} {
		if got := r.Text(text); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	// Of two that begin together the longer one gives the name.
	both := redact.New(false, nil, []redact.Pattern{pattern(t, "short", "card"), pattern(t, "long", "card [0-9]+")})
	if got := both.Text("card 7."); got != "[redacted: long]." {
		t.Errorf("got %q", got)
	}
}

// A large piece of what looks most like a secret is looked through at once.
func TestHostileTextsCostLittle(t *testing.T) {
	t.Parallel()
	r := redact.New(true, nil, nil)
	const size = 1 << 18
	for name, part := range map[string]string{
		"heads of keys": "-----BEGIN PRIVATE KEY-----\n", "heads and dashes": "-----BEGIN PRIVATE KEY----- -----", "digits": "4", "groups": "4111 ", "card groups": "4111 1111 1111 1112 ",
		"web tokens": "eyJabcdefghijkl.", "dots": "eyJ.", "bearers": "bearer ", "letters": "a", "base32": "abcdefg234567", "slashes": "aws_secret_access_key=", "prefixes": "ghp_xoxb-AKIAnpm_glpat-",
	} {
		text := strings.Repeat(part, size/len(part))
		began := time.Now()
		checkSpans(t, text, r.Find(text))
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	prose := strings.Repeat("Řádek textu s tučným slovem, číslem #12 a odkazem https://contoso.com/a/b uprostřed. ", 30)
	r := redact.New(true, nil, nil)
	for name, text := range map[string]string{"prose": prose, "secret": prose + secrets()["GitHub"], "digits": strings.Repeat("4111 1111 1111 1112 ", 100)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				r.Find(text)
			}
		})
	}
}
