package letter_test

import (
	"bytes"
	"strings"
	"testing"
	"text/template"
	"unicode"

	"github.com/tandem-sync/tandem/services/synccore/internal/letter"
)

// FuzzLikeTextTemplate compares what is written with what text/template makes of the
// same template, which is what the guide refers to.
func FuzzLikeTextTemplate(f *testing.F) {
	for _, text := range []string{
		letter.DefaultSubject, letter.DefaultBody, "{{.Ticket.Title}}", `{{if eq .Ticket.ID "1"}}x{{else}}y{{end}}`,
		`{{if eq .Ticket.ID "1" "7" "two"}}x{{else if .Solver.Name}}y{{else}}z{{end}}`, "{{.Ticket.Title | not}}", "{{((.Ticket.ID))}}",
		`{{"two" | eq "b" "two"}}`, `{{ne .Ticket.ID "two"}}`, `{{and .Ticket.ID .Solver.Name}}`, `{{or .Solver.Name "nobody"}}`, `{{or (not .Ticket.ID) .Ticket.Tag}}`,
		`{{and (eq .Ticket.ID "two") (ne .Ticket.Tag "")}}`, "a {{- .Ticket.ID -}} b", "{{/* nothing */}}x", `{{not (or .Solver.Name .Connector)}}`, "{{if .Connector}}{{end}}x",
	} {
		f.Add(text, "two")
		f.Add(text, "")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		plain := func(r rune) bool { return r >= ' ' && r < unicode.MaxASCII || r == '\n' }
		if text == "" || strings.ContainsFunc(text+value, func(r rune) bool { return !plain(r) }) || strings.ContainsAny(value, " \n") || len(value) > 100 {
			return // what letters change for safety's sake is tested elsewhere
		}
		tmpl, errs := letter.Parse("", text)
		if errs != nil {
			return
		}
		d := letter.Data{Ticket: letter.Ticket{ID: value, Tag: "T1", Title: value}, Comment: letter.Comment{Author: value, Text: "x", Quoted: "> x"}, Connector: value}
		got, err := tmpl.Write(d)
		if err != nil {
			t.Fatal(err)
		}
		var want bytes.Buffer
		if err := template.Must(template.New("x").Parse(text)).Execute(&want, d); err != nil {
			t.Fatal(err)
		}
		if want := strings.Trim(want.String(), "\n") + "\n"; len(want) < 60_000 && got.Text != want {
			t.Errorf("%q with %q makes %q, want %q", text, value, got.Text, want)
		}
	})
}
