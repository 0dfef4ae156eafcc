package template

import (
	"html"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Data is what a template is rendered from. Whatever Needs did not ask for may
// stay empty.
type Data struct {
	Ticket item.Ticket
	// Requester, RequestedFor and Solver are nil where the ticket has none or they
	// can't be read; their variables are then empty.
	Requester, RequestedFor, Solver *item.Person
	// Managers holds the names of managers by person id.
	Managers map[int64]string
	// Records is the ticket's log, in any order.
	Records []item.Record
	// Location is the time zone of dates for people; nil: UTC.
	Location *time.Location
	// Texts is what the texts pass through. Nil: markup is shown as it is written, and
	// nothing is taken out.
	Texts Texts
}

// Texts is the boundary between the two systems that texts pass: package richtext
// has one.
type Texts interface {
	// HTML is what a field shows of a message's markup, harmless and without a
	// paragraph around it where it is but one. Plain is the same without markup.
	HTML(markup string) string
	Plain(markup string) string
	// RedactHTML and RedactText take out of a whole field what must not be shown.
	RedactHTML(markup string) string
	RedactText(text string) string
}

// redacted is a rendered text without what must not be shown. Values for a machine
// are left alone.
func (d Data) redacted(text string, target Target) string {
	switch {
	case d.Texts == nil || target == Value:
		return text
	case target == HTML:
		return d.Texts.RedactHTML(text)
	default:
		return d.Texts.RedactText(text)
	}
}

// content is a variable's value before it meets its target. At most one of at
// and markup is set; text may stand beside markup as its plain form.
type content struct {
	text   string
	markup string
	at     time.Time
}

func (c content) empty() bool {
	return strings.TrimSpace(c.text) == "" && strings.TrimSpace(c.markup) == "" && c.at.IsZero()
}

func plain(text string) content { return content{text: text} }

func ofPerson(p *item.Person, value func(item.Person) string) content {
	if p == nil {
		return content{}
	}
	return plain(value(*p))
}

// ofRecord is a record's body: its HTML, which the text is made from as well so
// that both targets say the same, else its plain text.
func ofRecord(r item.Record) content {
	if strings.TrimSpace(r.HTML) != "" {
		return content{markup: r.HTML}
	}
	return plain(strings.TrimSpace(r.Plain))
}

// custom finds a custom field. SQL Server's column names know no case.
func custom(fields map[string]string, column string) string {
	if value, ok := fields[column]; ok {
		return value
	}
	for name, value := range fields {
		if strings.EqualFold(name, column) {
			return value
		}
	}
	return ""
}

// founding is the record that the ticket began with: the one that the ticket
// names, else the oldest that a person wrote.
func (d Data) founding() (item.Record, bool) {
	var oldest item.Record
	found := false
	for _, r := range d.Records {
		if d.Ticket.InitialRecordID != 0 && r.ID == d.Ticket.InitialRecordID {
			return r, true
		}
		if !human(r) {
			continue
		}
		if !found || before(r, oldest) {
			oldest, found = r, true
		}
	}
	return oldest, found
}

// latestImportant is the latest record that carries the important mark, else the
// founding one. The fallback is sound because Alvao marks the founding message
// when a ticket is made (Alvao: Important communication page), and needed because
// its REST API does not tell of marks.
func (d Data) latestImportant() (item.Record, bool) {
	var latest item.Record
	found := false
	for _, r := range d.Records {
		if r.Important && (!found || before(latest, r)) {
			latest, found = r, true
		}
	}
	if found {
		return latest, true
	}
	return d.founding()
}

func before(a, b item.Record) bool {
	if !a.Created.Equal(b.Created) {
		return a.Created.Before(b.Created)
	}
	return a.ID < b.ID
}

// human tells records of people from Alvao's own ones about status changes and
// notifications (alvao.md §2.4).
func human(r item.Record) bool {
	return !strings.EqualFold(r.Kind, "Process") && !strings.EqualFold(r.Kind, "Notification")
}

func tagLink(d Data) content {
	tag := d.Ticket.MessageTag
	if tag == "" || d.Ticket.URL == "" {
		return plain(tag)
	}
	return content{
		text:   tag + " (" + d.Ticket.URL + ")",
		markup: `<a href="` + html.EscapeString(d.Ticket.URL) + `">` + html.EscapeString(tag) + `</a>`,
	}
}

// info is Tandem's own stand-in for Alvao's table of basic information, whose
// exact rows only Alvao knows. Rows without a value are left out.
func info(d Data) content {
	t := d.Ticket
	due := ""
	if !t.Due.IsZero() {
		due = d.date(t.Due)
	}
	rows := []struct {
		name  string
		value content
	}{
		{"Ticket", tagLink(d)},
		{"Name", plain(t.Title)},
		{"Service", plain(t.Service)},
		{"Status", plain(t.Status)},
		{"Priority", plain(t.Priority)},
		{"SLA", plain(t.SLA)},
		{"Requester", plain(t.Requester)},
		{"Requested for", plain(t.RequestedFor)},
		{"Solver", plain(t.Solver)},
		{"Deadline", plain(due)},
	}
	var text, markup strings.Builder
	markup.WriteString("<table>")
	for _, row := range rows {
		if row.value.empty() {
			continue
		}
		if text.Len() > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(row.name + ": " + oneLine(row.value.text))
		cell := row.value.markup
		if cell == "" {
			cell = html.EscapeString(row.value.text)
		}
		markup.WriteString("<tr><th>" + row.name + "</th><td>" + cell + "</td></tr>")
	}
	markup.WriteString("</table>")
	return content{text: text.String(), markup: markup.String()}
}

// date writes a moment for people, language-neutral and with its zone.
func (d Data) date(at time.Time) string {
	location := d.Location
	if location == nil {
		location = time.UTC
	}
	return at.In(location).Format("2006-01-02 15:04 MST")
}
