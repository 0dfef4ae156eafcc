package template_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/template"
)

// hostile draws texts that would be markup if they were not escaped.
func hostile() *rapid.Generator[string] {
	pieces := rapid.SampledFrom([]string{
		"<", ">", "&", "\"", "'", "<b>", "</b>", "<script>", "</td>", "<!--", "-->", "&lt;", "&#60;", "[$TicketID$]", "\n", "\r\n", "\x00", "a", "ž", "🙂", " ",
	})
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(pieces, 0, 12).Draw(t, "pieces"), "") + rapid.String().Draw(t, "rest")
	})
}

// shape lists the elements of markup and its text.
func shape(markup string) ([]string, string) {
	var elements []string
	z := html.NewTokenizer(strings.NewReader(markup))
	var b strings.Builder
	for {
		switch z.Next() {
		case html.ErrorToken:
			return elements, b.String()
		case html.TextToken:
			b.Write(z.Text())
		default:
			name, _ := z.TagName()
			elements = append(elements, string(name))
			if string(name) == "br" {
				b.WriteByte('\n')
			}
		}
	}
}

func TestPlainValuesNeverMakeMarkup(t *testing.T) {
	t.Parallel()
	parsed, _ := template.Parse("<b>[$TicketTitle$]</b>[$tHdTicketCust.X$][$TicketRequesterDepartment$]")
	rapid.Check(t, func(t *rapid.T) {
		title, field, department := hostile().Draw(t, "title"), hostile().Draw(t, "field"), hostile().Draw(t, "department")
		got := parsed.Render(template.Data{
			Ticket:    item.Ticket{Title: title, Custom: map[string]string{"X": field}},
			Requester: &item.Person{Department: department},
		}, template.HTML)
		elements, text := shape(got)
		elements = slices.DeleteFunc(elements, func(name string) bool { return name == "br" })
		if !slices.Equal(elements, []string{"b", "b"}) {
			t.Fatalf("%q holds the tags %q, the template only one <b>…</b>", got, elements)
		}
		want := strings.Map(func(r rune) rune {
			if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
				return -1
			}
			return r
		}, strings.ReplaceAll(title+field+department, "\r\n", "\n"))
		if text != want {
			t.Fatalf("text of %q is %q, want %q", got, text, want)
		}
	})
}

func TestTextTargetsShowPlainValuesAsTheyAre(t *testing.T) {
	t.Parallel()
	parsed, _ := template.Parse("[$TicketTitle$]")
	rapid.Check(t, func(t *rapid.T) {
		title := hostile().Draw(t, "title")
		line := parsed.Render(template.Data{Ticket: item.Ticket{Title: title}}, template.Value)
		want := strings.Join(strings.Fields(strings.Map(func(r rune) rune {
			if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 {
				return -1
			}
			return r
		}, title)), " ")
		if line != want {
			t.Fatalf("%q became %q, want %q", title, line, want)
		}
	})
}

func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{
		"", "[$TicketTitle$]", "[$LatestImportantMessage$]", "[$ TicketID $]", "[$$]", "[$", "$]", "[$[$TicketID$]$]",
		"<b>x</b>[$tHdTicketCust.Á$]", "[$TicketRequester.tPersonCust.X$]", "<script>[$TicketInfo$]", "\x00\xff[$TicketUrl$]", "[$.$]", "[$a.b.c$]",
	} {
		f.Add(seed, "<p>value</p>")
	}
	boundary := texts()
	f.Fuzz(func(t *testing.T, text, value string) {
		parsed, problems := template.Parse(text)
		for _, p := range problems {
			if p.Offset < 0 || p.Offset > len(text) || p.Text == "" || p.Remedy == "" {
				t.Fatalf("problem %+v of %q", p, text)
			}
		}
		if parsed.String() != text {
			t.Fatalf("String() = %q, want %q", parsed.String(), text)
		}
		d := template.Data{
			Texts:   boundary,
			Ticket:  item.Ticket{Title: value, URL: value, MessageTag: value, Custom: map[string]string{"X": value}},
			Records: []item.Record{{ID: 1, HTML: value}},
		}
		for _, target := range []template.Target{template.Text, template.Line, template.HTML, template.Value} {
			got := parsed.Render(d, target)
			if !utf8.ValidString(got) {
				t.Fatalf("%q renders to invalid UTF-8 %q", text, got)
			}
			if target == template.Line && (strings.ContainsAny(got, "\n\r\t") || utf8.RuneCountInString(got) > template.LineLimit) {
				t.Fatalf("%q renders to no line: %q", text, got)
			}
			if target == template.HTML && strings.Contains(strings.ToLower(got), "<script") {
				t.Fatalf("%q renders to a script: %q", text, got)
			}
		}
	})
}
