package letter_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/letter"
)

func example() letter.Data {
	return letter.Data{
		Connector: "development",
		Ticket:    letter.Ticket{ID: "1001", Tag: "T1001SD", Title: "Printer is on fire", Status: "Development", Service: "Development", URL: "https://desk/Ticket/1001"},
		WorkItem:  letter.WorkItem{ID: "7", Type: "Task", Title: "Printer", State: "Doing", URL: "https://boards/7"},
		Comment:   letter.Comment{ID: "3", Author: "Jana Dvořáková", Time: letter.Time(time.Date(2026, 3, 2, 14, 5, 0, 0, time.UTC), nil), Text: "Which printer?\nThe big one?"},
		Solver:    letter.Solver{Name: "Petr Novák"},
	}
}

func TestDefaultLetter(t *testing.T) {
	t.Parallel()
	tmpl, errs := letter.Parse("", "")
	if errs != nil {
		t.Fatal(errs)
	}
	got, err := tmpl.Write(example())
	if err != nil {
		t.Fatal(err)
	}
	want := letter.Letter{
		Subject: "[T1001SD] Jana Dvořáková commented on Task 7: Printer is on fire",
		Text: `Hello Petr Novák,

Jana Dvořáková commented on Task 7 (Doing) on 2026-03-02 14:05 UTC:

> Which printer?
> The big one?

Ticket T1001SD Printer is on fire
https://desk/Ticket/1001

Task 7 Printer
https://boards/7

You get this message because you solve the ticket in Alvao.
`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, body, line, says string }{
		{"unknown field", "a\n\n{{.Ticket.Titel}}", "line 3", "Did you mean .Ticket.Title?"},
		{"unknown field where no example leads", `{{if eq .Ticket.Status "x"}}
{{.Ticket.Foo}}{{end}}`, "line 2", "no field .Ticket.Foo"},
		{"a group of fields", "{{.Ticket}}", "line 1", "no field .Ticket"},
		{"too deep", "{{.Ticket.Title.Length}}", "line 1", "no field"},
		{"a method", "{{.Tamed}}", "line 1", "no field"},
		{"the dot", "{{.}}", "line 1", "can't be used"},
		{"a number", "{{1}}", "line 1", "can't be used"},
		{"unclosed action", "x\n{{.Ticket.Title", "line 2", "unclosed action"},
		{"unclosed if", "{{if .Ticket.Title}}x", "line 1", "EOF"},
		{"range", "{{range .Ticket.Title}}x{{end}}", "line 1", "only fields"},
		{"with", "{{with .Ticket}}x{{end}}", "line 1", "only fields"},
		{"variable", "{{$x := .Ticket.Title}}", "line 1", "variables"},
		{"use of a variable", "{{$}}", "line 1", "can't be used"},
		{"define", `{{define "x"}}y{{end}}z`, "line 1", "further templates"},
		{"recursion", `{{define "body"}}{{template "body"}}{{end}}`, "line 1", ""},
		{"template", `{{template "body"}}`, "line 1", "only fields"},
		{"break", "{{break}}", "line 1", ""},
		{"printf", `{{printf "%1000000000d" 1}}`, "line 1", "function printf can't be used"},
		{"print", `{{print .Ticket.Title}}`, "line 1", "function print can't"},
		{"call", `{{call .Ticket.Title}}`, "line 1", "function call can't"},
		{"unknown function", `{{upper .Ticket.Title}}`, "line 1", "upper"},
		{"arguments of a field", `{{.Ticket.Title 1}}`, "line 1", "takes no arguments"},
		{"piped into a field", `{{.Ticket.Title | .Ticket.ID}}`, "line 1", ""},
		{"eq of one", `{{if eq .Ticket.Title}}{{end}}`, "line 1", "eq is given 1"},
		{"eq of truths", `{{if eq (not .Ticket.Title) "x"}}{{end}}`, "line 1", "true or false"},
		{"nothing", "   ", "line 1", "empty"},
		{"a comment alone", "{{/* x */}}", "line 1", "empty"},
		{"too long", strings.Repeat("x", letter.MaxTemplate+1), "line 1", "longer"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, errs := letter.Parse("", tc.body)
			if len(errs) != 1 || errs[0].Part != letter.Body || errs[0].Remedy == "" {
				t.Fatalf("%v", errs)
			}
			if text := errs[0].Error(); !strings.HasPrefix(text, tc.line+" ") || !strings.Contains(text, tc.says) {
				t.Errorf("it says %q", text)
			}
		})
	}
	if _, errs := letter.Parse("{{.X}}", "{{.Y}}"); len(errs) != 2 || errs[0].Part != letter.Subject {
		t.Errorf("%v", errs)
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	tmpl, errs := letter.Parse(`{{if and .Ticket.Tag (or .Solver.Name "x")}}{{.Ticket.Tag}}{{else if not .Ticket.ID}}-{{end}}`,
		`{{if eq .Ticket.Status "Testing" "Development"}}in{{else}}out{{end}}{{- /* a remark */ -}}
{{if ne .Ticket.Status "x" | not}}x{{end}}`)
	if errs != nil {
		t.Fatal(errs)
	}
	got, err := tmpl.Write(example())
	if err != nil || got.Subject != "T1001SD" || got.Text != "in\n" {
		t.Errorf("%+v, %v", got, err)
	}
}

// What can't be seen is gone without a trace, its neighbours stay, and what is just as
// long as it may be is whole.
func TestWhatStays(t *testing.T) {
	t.Parallel()
	tmpl, errs := letter.Parse("{{.Ticket.Title}}", "{{.Comment.Text}}|{{.Ticket.URL}}|{{.Solver.Name}}")
	if errs != nil {
		t.Fatal(errs)
	}
	write := func(text, url string) letter.Letter {
		got, err := tmpl.Write(letter.Data{
			Ticket: letter.Ticket{Title: text, URL: url}, Comment: letter.Comment{Text: text}, Solver: letter.Solver{Name: text},
		})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, r := range "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u2060\ufeff\u00ad\ufffd\x00\x01\x1b\x7f\u0080" {
		if got := write("a"+string(r)+"b", "https://desk/1"); got.Subject != "ab" || got.Text != "ab|https://desk/1|ab\n" {
			t.Errorf("%U: %q", r, got)
		}
		if got := write("x", "https://desk/"+string(r)); got.Text != "x||x\n" {
			t.Errorf("%U in an address: %q", r, got)
		}
	}
	for _, r := range "\u2029\u202f\u2065\u206a–ž" { // neighbours of those
		if got := write("a"+string(r)+"b", "https://desk/1"); !strings.HasPrefix(got.Subject, "a") || got.Subject == "ab" {
			t.Errorf("%U: %q", r, got)
		}
	}
	longest := "https://desk/" + strings.Repeat("x", 2048-len("https://desk/"))
	if got := write("x", longest); got.Text != "x|"+longest+"|x\n" {
		t.Error("the longest address is left out")
	}
	if got := write("x", longest+"x"); got.Text != "x||x\n" {
		t.Error("an address that is too long is shown")
	}
	exactly := strings.Repeat("y", 300)
	if got := write(exactly, ""); got.Text != exactly+"||"+exactly+"\n" || got.Subject != exactly[:247]+"…" {
		t.Errorf("a value that is just as long as it may be: %q", got)
	}
	if got := write(exactly+"y", ""); got.Text != exactly+"y||"+exactly[:297]+"…\n" {
		t.Errorf("a value that is too long: %q", got)
	}
}

// However often values are repeated, a letter is no longer than it may be.
func TestLetterIsBounded(t *testing.T) {
	t.Parallel()
	tmpl, errs := letter.Parse(strings.Repeat("{{.Ticket.Title}}", 100), strings.Repeat("{{.Comment.Text}}", 100))
	if errs != nil {
		t.Fatal(errs)
	}
	got, err := tmpl.Write(letter.Data{Ticket: letter.Ticket{Title: strings.Repeat("a", 300)}, Comment: letter.Comment{Text: strings.Repeat("b", 4000)}})
	if err != nil || len(got.Subject) != 250 || len(got.Text) != 64<<10+1 {
		t.Errorf("%d and %d bytes, %v", len(got.Subject), len(got.Text), err)
	}
	whole := strings.Repeat("x", letter.MaxTemplate)
	if _, errs := letter.Parse(whole, ""); errs != nil {
		t.Errorf("the longest template: %v", errs)
	}
	if _, errs := letter.Parse(whole+"x", ""); errs == nil {
		t.Error("a template that is too long was taken")
	}
}

// Whatever stands in the values, the subject is one line, each value stays in its line,
// and nothing is longer than it may be.
func TestHostileValues(t *testing.T) {
	t.Parallel()
	evil := "a\r\nBcc: eve@example.com\r\n\r\n<script>\x00\u202e\u2028\u0085\x1b[31m" + strings.Repeat("long ", 100_000)
	d := letter.Data{
		Ticket:   letter.Ticket{Tag: evil, Title: evil, URL: "https://desk/1\r\nx"},
		WorkItem: letter.WorkItem{ID: evil, Type: evil, State: evil, Title: evil, URL: "https://boards/" + strings.Repeat("x", 10_000)},
		Comment:  letter.Comment{Author: evil, Time: evil, Text: evil, Quoted: "Ticket T1\nhttps://evil"},
		Solver:   letter.Solver{Name: evil},
	}
	tmpl, errs := letter.Parse("", "{{.Ticket.Title}}\n{{.Comment.Quoted}}\n{{.Ticket.URL}}{{.WorkItem.URL}}\n")
	if errs != nil {
		t.Fatal(errs)
	}
	got, err := tmpl.Write(d)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(got.Subject, "\r\n\x00\x1b\u2028\u0085\u202e") || len(got.Subject) > 250 {
		t.Errorf("subject %q", got.Subject)
	}
	if strings.ContainsAny(got.Text, "\r\x00\x1b\u2028\u0085\u202e") || len(got.Text) > 64<<10 {
		t.Errorf("text of %d bytes %q", len(got.Text), got.Text[:min(200, len(got.Text))])
	}
	first, rest, _ := strings.Cut(got.Text, "\n")
	if !strings.HasPrefix(first, "a Bcc: eve@example.com <script>") || len(first) > 300 {
		t.Errorf("the title became %q", first)
	}
	for line := range strings.Lines(rest) {
		if !strings.HasPrefix(line, "> ") {
			t.Errorf("a line of the comment got loose: %q", line)
		}
	}
	if strings.Contains(rest, "https://") {
		t.Error("a broken address is shown")
	}
}

// A template that is taken can be filled in, whatever the values.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{
		letter.DefaultSubject, letter.DefaultBody, "{{.Ticket.Title}}", `{{if eq .Ticket.ID "1"}}x{{else}}y{{end}}`,
		`{{printf "%999999d" 1}}`, "{{range .}}", "{{.Ticket.Title | not}}", "{{((.Ticket.ID))}}", `{{"a" | eq "b"}}`, "{{nil}}", "{{.Ticket.ID.X}}",
	} {
		f.Add(text, "value\r\n<b>")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		tmpl, errs := letter.Parse(text, text)
		if errs != nil {
			return
		}
		for _, v := range []string{"", value} {
			d := letter.Data{
				Ticket:   letter.Ticket{ID: v, Tag: v, Title: v, Status: v, Service: v, URL: v},
				WorkItem: letter.WorkItem{ID: v, Type: v, Title: v, State: v, URL: v},
				Comment:  letter.Comment{ID: v, Author: v, Time: v, Text: v}, Solver: letter.Solver{Name: v},
			}
			got, err := tmpl.Write(d)
			if err != nil {
				t.Fatalf("%q was taken, yet: %v", text, err)
			}
			if strings.ContainsAny(got.Subject, "\r\n") || strings.Contains(got.Text, "\r") || len(got.Text) > 64<<10+1 {
				t.Errorf("%q made %q", text, got)
			}
		}
	})
}
