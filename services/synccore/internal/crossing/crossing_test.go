package crossing_test

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/crossing"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

func pattern(t *testing.T, text string) crossing.Pattern {
	t.Helper()
	p, err := crossing.NewPattern(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWhatKeepsAMessage(t *testing.T) {
	t.Parallel()
	note := crossing.Message{From: item.Alvao, Kind: "Note", Author: "Jana Dvořáková", Text: "Restart it #internal"}
	mail := crossing.Message{From: item.Alvao, Kind: "Email", Visible: true, Author: "Petr Novák", Text: "It is on fire"}
	process := crossing.Message{From: item.Alvao, Kind: "Process", Text: "Approved"}
	comment := crossing.Message{From: item.AzureDevOps, Author: "build-bot", Text: "Build 7 failed"}
	for _, tc := range []struct {
		name  string
		rules crossing.Rules
		// want are the answers for note, mail, process and comment.
		want [4]string
	}{
		{"as Alvao's own connector", crossing.Rules{}, [4]string{"", "", "kinds", ""}},
		{"one way", crossing.Rules{OffToAlvao: true}, [4]string{"", "", "kinds", "toAlvao: false"}},
		{"the other way", crossing.Rules{OffToAzureDevOps: true}, [4]string{"toAzureDevOps: false", "toAzureDevOps: false", "toAzureDevOps: false", ""}},
		{"only what the requester may see", crossing.Rules{OnlyVisible: true}, [4]string{"only: visibleToRequester", "", "only: visibleToRequester", ""}},
		{"named kinds", crossing.Rules{Kinds: []string{"email"}}, [4]string{"kinds", "", "kinds", ""}},
		{
			"text and author",
			crossing.Rules{List: []crossing.Rule{{Text: pattern(t, `#internal\b`)}, {Author: pattern(t, `(?i)-BOT$`)}}},
			[4]string{"rules[0]", "", "kinds", "rules[1]"},
		},
		{
			"the first decides",
			crossing.Rules{List: []crossing.Rule{{Cross: true, Author: pattern(t, "Jana")}, {To: item.AzureDevOps}}},
			[4]string{"", "rules[1]", "rules[1]", ""},
		},
		{"a rule beats the kinds", crossing.Rules{List: []crossing.Rule{{Cross: true, Kinds: []string{"process"}}}}, [4]string{"", "", "", ""}},
		{
			"no rule beats the limits",
			crossing.Rules{OnlyVisible: true, OffToAlvao: true, List: []crossing.Rule{{Cross: true}}},
			[4]string{"only: visibleToRequester", "", "only: visibleToRequester", "toAlvao: false"},
		},
		{
			"kind and visibility are a record's",
			crossing.Rules{List: []crossing.Rule{{Kinds: []string{"Note"}, Visible: new(true)}, {Visible: new(false)}}},
			[4]string{"rules[1]", "", "rules[1]", ""},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for i, m := range []crossing.Message{note, mail, process, comment} {
				if got := tc.rules.Keeps(m); got != tc.want[i] {
					t.Errorf("message %d: kept by %q, want %q", i, got, tc.want[i])
				}
			}
		})
	}
}

func TestPatternsAreBounded(t *testing.T) {
	t.Parallel()
	for _, text := range []string{strings.Repeat("a", crossing.MaxPattern+1), "(", `(a{1000}){1000}`, `(?=x)`, `(a)\1`} {
		if _, err := crossing.NewPattern(text); err == nil {
			t.Errorf("%.30q was taken", text)
		}
	}
	if _, err := crossing.NewPattern(strings.Repeat("a", crossing.MaxPattern)); err != nil {
		t.Errorf("the longest pattern: %v", err)
	}
	if p := pattern(t, "a+"); p.String() != "a+" {
		t.Errorf("the pattern reads %q", p)
	}
}

func messages() *rapid.Generator[crossing.Message] {
	return rapid.Custom(func(t *rapid.T) crossing.Message {
		m := crossing.Message{
			From: item.AzureDevOps, Author: rapid.SampledFrom([]string{"", "Jana", "bot"}).Draw(t, "author"),
			Text: rapid.SampledFrom([]string{"", "a", "b", "ab"}).Draw(t, "text"),
		}
		if rapid.Bool().Draw(t, "of Alvao") {
			m.From, m.Visible = item.Alvao, rapid.Bool().Draw(t, "visible")
			m.Kind = rapid.SampledFrom([]string{"Note", "Email", "Process", "Notification"}).Draw(t, "kind")
		}
		return m
	})
}

func ruleSets(t *testing.T) *rapid.Generator[crossing.Rules] {
	t.Helper()
	patterns := []crossing.Pattern{{}, pattern(t, "a"), pattern(t, "^b$"), pattern(t, "Jana")}
	rule := rapid.Custom(func(t *rapid.T) crossing.Rule {
		return crossing.Rule{
			Cross: rapid.Bool().Draw(t, "cross"), To: rapid.SampledFrom([]item.System{"", item.Alvao, item.AzureDevOps}).Draw(t, "to"),
			Kinds:   rapid.SampledFrom([][]string{nil, {"Note"}, {"Process", "Email"}}).Draw(t, "kinds"),
			Visible: rapid.SampledFrom([]*bool{nil, new(true), new(false)}).Draw(t, "visible"),
			Author:  rapid.SampledFrom(patterns).Draw(t, "author"), Text: rapid.SampledFrom(patterns).Draw(t, "text"),
		}
	})
	return rapid.Custom(func(t *rapid.T) crossing.Rules {
		return crossing.Rules{
			OffToAzureDevOps: rapid.Bool().Draw(t, "off"), OffToAlvao: rapid.Bool().Draw(t, "off"), OnlyVisible: rapid.Bool().Draw(t, "only"),
			Kinds: rapid.SampledFrom([][]string{nil, {"Note"}, {"Process"}}).Draw(t, "kinds"), List: rapid.SliceOfN(rule, 0, 4).Draw(t, "rules"),
		}
	})
}

// What holds for any rules: limits are never lifted, a limit more never lets more
// pass, and what comes after the rule that decided plays no part.
func TestRulesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	all := ruleSets(t)
	rapid.Check(t, func(t *rapid.T) {
		r, m := all.Draw(t, "rules"), messages().Draw(t, "message")
		kept := r.Keeps(m)
		if kept != r.Keeps(m) {
			t.Fatal("asked twice, it answers differently")
		}
		if kept == "" && (r.OnlyVisible && m.Kind != "" && !m.Visible || r.OffToAlvao && m.To() == item.Alvao || r.OffToAzureDevOps && m.To() == item.AzureDevOps) {
			t.Fatalf("a limit was lifted for %+v", m)
		}
		for _, tighter := range []func(*crossing.Rules){
			func(r *crossing.Rules) { r.OnlyVisible = true },
			func(r *crossing.Rules) { r.OffToAlvao = true },
			func(r *crossing.Rules) { r.OffToAzureDevOps = true },
			func(r *crossing.Rules) { r.List = append([]crossing.Rule{{}}, r.List...) },
		} {
			more := r
			tighter(&more)
			if kept != "" && more.Keeps(m) == "" {
				t.Fatalf("a limit more lets %+v pass", m)
			}
		}
		for i := range r.List {
			shorter := r
			shorter.List = r.List[:i+1]
			if kept == "rules["+string(rune('0'+i))+"]" {
				shorter.List = append(slices.Clone(shorter.List), crossing.Rule{Cross: true})
				if shorter.Keeps(m) != kept {
					t.Fatalf("a later rule decides about %+v", m)
				}
			}
		}
	})
}

func TestFileTypes(t *testing.T) {
	t.Parallel()
	types := func(names ...string) []crossing.FileType {
		var list []crossing.FileType
		for _, name := range names {
			one, err := crossing.NewFileType(name)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, one)
		}
		return list
	}
	documents := crossing.Files{Allow: types("PDF", ".tar.gz", "image/*", "text/plain"), Deny: types("*.exe", "image/svg+xml")}
	for _, tc := range []struct {
		files      crossing.Files
		name, kind string
		refused    bool
	}{
		{crossing.Files{}, "anything.exe", "application/x-msdownload", false},
		{documents, "Report.PDF", "", false},
		{documents, "report.pdf", "application/pdf", false},
		{documents, "pdf", "application/pdf", true},
		{documents, "src.tar.gz", "application/gzip", false},
		{documents, "src.gz", "application/gzip", true},
		{documents, "src.gz", "", false}, // it may be an image by its content type
		{documents, "photo", "image/png; charset=binary", false},
		{documents, "photo.svg", "IMAGE/SVG+xml", true},
		{documents, "report.pdf.exe", "application/pdf", true},
		{documents, "report.exe. ", "", true},
		{documents, "notes", "text/plain;charset=utf-8", false},
		{documents, "page.html", "text/html", true},
		{crossing.Files{Allow: types("pdf")}, "a.zip", "", true},
		{crossing.Files{Deny: types("exe", "application/x-msdownload")}, "a.bin", "application/x-msdownload", true},
		{crossing.Files{Deny: types("exe")}, "a.zip", "application/zip", false},
	} {
		if got := tc.files.Refuses(tc.name, tc.kind); got != tc.refused {
			t.Errorf("%q of type %q: refused %v", tc.name, tc.kind, got)
		}
	}
	for _, bad := range []string{"", ".", "a b", "image/", "/png", "*/*", "a/b/c", "..", "ex*", strings.Repeat("a", 300)} {
		if got, err := crossing.NewFileType(bad); err == nil {
			t.Errorf("%q was read as %q", bad, got)
		}
	}
}

// What is refused by its name alone is refused whatever it turns out to be, and what
// is read is written so that it is read again.
func FuzzFileTypes(f *testing.F) {
	f.Add("pdf", "a.pdf", "application/pdf")
	f.Add("image/*", "a.tar.gz", "image/png")
	f.Fuzz(func(t *testing.T, text, name, kind string) {
		one, err := crossing.NewFileType(text)
		if err != nil {
			return
		}
		if again, err := crossing.NewFileType(string(one)); err != nil || again != one {
			t.Fatalf("%q was read as %q, which is read as %q: %v", text, one, again, err)
		}
		for _, files := range []crossing.Files{{Allow: []crossing.FileType{one}}, {Deny: []crossing.FileType{one}}} {
			if files.Refuses(name, "") && !files.Refuses(name, kind) {
				t.Fatalf("%+v refuses %q before it knows the type %q and not after", files, name, kind)
			}
		}
	})
}
