package redact

import (
	"regexp"
	"strings"
)

// rule is one shipped pattern. Text without any of its literals, or without a run of
// token signs of the least length, is not looked through.
type rule struct {
	name     string
	literals []string
	least    int
	re       *regexp.Regexp
	valid    func(string) bool
	scan     func(text, name string, found []Span) []Span
}

func (r *rule) find(text string, found []Span) []Span {
	there := len(r.literals) == 0
	for _, literal := range r.literals {
		there = there || strings.Contains(text, literal)
	}
	switch {
	case !there:
		return found
	case r.scan != nil:
		return r.scan(text, r.name, found)
	default:
		return matches(r.re, r.name, r.valid, text, found)
	}
}

const privateKey = "private key"

// Names lists the shipped patterns.
func Names() []string {
	names := make([]string, 0, 16)
	for _, one := range shippedRules() {
		names = append(names, one.name)
	}
	return append(names, cardNumber)
}

// The forms are as their vendors publish them: Azure DevOps "Use personal access
// tokens" (84 signs with AZDO, before that 52 of base32), AWS IAM "Unique identifiers",
// GitHub "About authentication" and GitLab "Token overview" (prefixes), Slack "Token
// types" and "Sending messages using incoming webhooks", RFC 7519 (JWT), RFC 7468
// (PEM), RFC 6750 and RFC 9110 §11.6.2 (headers), Azure Storage "Configure connection
// strings".
var (
	awsKeyID      = regexp.MustCompile(`\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b`)
	awsSecret     = regexp.MustCompile(`(?i)\baws_?(?:secret)?_?(?:access)?_?key["'\s]{0,3}[:=]["'\s]{0,3}([A-Za-z0-9/+]{40})(?:[^A-Za-z0-9/+]|$)`)
	github        = regexp.MustCompile(`\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})`)
	gitlab        = regexp.MustCompile(`\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[A-Za-z0-9_-]{20,}`)
	slack         = regexp.MustCompile(`\b(?:xox[a-z](?:\.xox[a-z])?|xapp|xwfp)-[A-Za-z0-9-]{10,}|hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]{20,}`)
	google        = regexp.MustCompile(`\bAIza[0-9A-Za-z_-]{35}\b`)
	npm           = regexp.MustCompile(`\bnpm_[A-Za-z0-9]{36}\b`)
	stripe        = regexp.MustCompile(`\b[sr]k_(?:live|test)_[0-9A-Za-z]{16,}`)
	bearer        = regexp.MustCompile(`(?i)\bbearer[ \t\x{a0}]+([A-Za-z0-9._~+/=-]{20,})`)
	authorization = regexp.MustCompile(`(?i)\b(?:authorization["']?[ \t\x{a0}]*[:=][ \t\x{a0}]*["']?(?:basic|bearer|token|negotiate)[ \t\x{a0}]+|(?:x-api-key|api-key|ocp-apim-subscription-key)["']?[ \t\x{a0}]*[:=][ \t\x{a0}]*["']?)([A-Za-z0-9._~+/=-]{8,})`)
	storageKey    = regexp.MustCompile(`(?i)\b(?:Account|SharedAccess)Key=([A-Za-z0-9+/]{43,86}={1,2})`)
)

// shippedRules are the shipped patterns but for card numbers.
func shippedRules() []rule {
	return []rule{
		{name: privateKey, literals: []string{pemBegin}, scan: privateKeys},
		{name: "Azure DevOps token", least: oldToken, scan: azureDevOpsTokens},
		{name: "AWS key", least: 20, literals: []string{"AKIA", "ASIA", "ABIA", "ACCA"}, re: awsKeyID},
		{name: "AWS key", least: 40, literals: []string{"aws", "AWS", "Aws"}, re: awsSecret},
		{name: "GitHub token", least: 32, literals: []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"}, re: github},
		{name: "GitLab token", least: 25, literals: []string{"gl"}, re: gitlab},
		{name: "Slack token", least: 15, literals: []string{"xox", "xapp-", "xwfp-", "hooks.slack.com/"}, re: slack},
		{name: "Google API key", least: 39, literals: []string{"AIza"}, re: google},
		{name: "npm token", least: 40, literals: []string{"npm_"}, re: npm},
		{name: "Stripe key", least: 24, literals: []string{"k_live_", "k_test_"}, re: stripe},
		{name: "web token", least: 19, literals: []string{"eyJ"}, scan: webTokens},
		{name: "authorization header", least: 8, literals: []string{"uthorization", "UTHORIZATION", "-key", "-Key", "-KEY"}, re: authorization},
		{name: "authorization header", least: 20, literals: []string{"earer", "EARER"}, re: bearer, valid: digited},
		{name: "storage key", least: 44, literals: []string{"Key=", "key=", "KEY="}, re: storageKey},
	}
}

// The lengths of Azure DevOps' tokens, and where the newer ones are marked.
const (
	oldToken, newToken = 52, 84
	tokenMark          = 76
)

// azureDevOpsTokens finds words of exactly these lengths: newer ones with the mark, and
// older ones in base32 that have both letters and digits.
func azureDevOpsTokens(text, name string, found []Span) []Span {
	for i := 0; i < len(text); {
		from := i
		for i < len(text) && (text[i] == '_' || baseSign(text[i]) && text[i] != '+' && text[i] != '/' && text[i] != '=') {
			i++
		}
		word := text[from:i]
		switch {
		case len(word) == newToken && strings.HasPrefix(word[tokenMark:], "AZDO"),
			len(word) == oldToken && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz234567") == "" && digited(word) && strings.Trim(word, "234567") != "":
			found = append(found, Span{From: from, To: i, Name: name})
		}
		if word == "" {
			i++
		}
	}
	return found
}

func digited(s string) bool { return strings.ContainsAny(s, "0123456789") }

// webTokens finds what begins like the Base64 of a JSON object and goes on with two
// to four further parts behind dots.
func webTokens(text, name string, found []Span) []Span {
	const shortestHead, shortestBody, mostParts = 13, 4, 5
	sign := func(c byte) bool { return c == '_' || c == '-' || baseSign(c) && c != '+' && c != '/' && c != '=' }
	for at := 0; ; {
		next := strings.Index(text[at:], "eyJ")
		if next < 0 {
			return found
		}
		from := at + next
		to, parts := from, 0
		for parts < mostParts {
			end := to
			for end < len(text) && sign(text[end]) {
				end++
			}
			size := end - to
			if parts == 0 && size < shortestHead || parts == 1 && size < shortestBody {
				break
			}
			to = end
			parts++
			if end == len(text) || text[end] != '.' || parts == mostParts {
				break
			}
			to++
		}
		if parts > 2 && (from == 0 || !sign(text[from-1])) {
			to -= len(text[from:to]) - len(strings.TrimRight(text[from:to], "."))
			found = append(found, Span{From: from, To: to, Name: name})
		}
		at = max(to, from+len("eyJ"))
	}
}

const pemBegin, pemEnd, pemDashes = "-----BEGIN ", "-----END ", "-----"

// privateKeys finds blocks from their head to their end, or, where the end is
// missing, to the last line that can be part of a key.
func privateKeys(text, name string, found []Span) []Span {
	for at := 0; ; {
		next := strings.Index(text[at:], pemBegin)
		if next < 0 {
			return found
		}
		from := at + next
		at = from + len(pemBegin)
		if size := keyMark(text[from:], pemBegin); size > 0 {
			at = keyEnd(text, from+size)
			found = append(found, Span{From: from, To: at, Name: name})
		}
	}
}

// keyMark is the length of the line that begins or ends a private key at the start of
// s; 0: there is none.
func keyMark(s, begins string) int {
	const longest = 60
	rest, is := strings.CutPrefix(s, begins)
	if !is {
		return 0
	}
	label, _, is := strings.Cut(rest[:min(len(rest), longest)], pemDashes)
	if !is || !strings.HasSuffix(strings.TrimSuffix(label, " BLOCK"), "PRIVATE KEY") {
		return 0
	}
	return len(begins) + len(label) + len(pemDashes)
}

// keyEnd is where a private key ends whose head ends at a place.
func keyEnd(text string, from int) int {
	// lines is the end of the last piece that is long enough for a line of a key.
	lines := from
	for at := from; at < len(text); {
		switch {
		case strings.HasPrefix(text[at:], "-----"):
			if size := keyMark(text[at:], pemEnd); size > 0 {
				return at + size
			}
			return lines
		case strings.HasPrefix(text[at:], "\u00a0"):
			at += len("\u00a0")
		case keySign(text[at]):
			end := at + 1
			for end < len(text) && baseSign(text[at]) && baseSign(text[end]) {
				end++
			}
			if end-at >= shortestLine || text[end-1] == '=' && lines > from {
				lines = end
			}
			at = end
		default:
			return lines
		}
	}
	return lines
}

// shortestLine is what a line of a key has at least, but for the last.
const shortestLine = 24

// keySign tells that a byte can be part of a key, its headers, or of the signs around
// its lines.
func keySign(c byte) bool { return baseSign(c) || strings.IndexByte("\r\n\t ,:-\"'\\>", c) >= 0 }

func baseSign(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '='
}
