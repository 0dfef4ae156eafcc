package template_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
	"github.com/tandem-sync/tandem/services/synccore/internal/template"
)

func mustParse(t *testing.T, text string) template.Template {
	t.Helper()
	parsed, problems := template.Parse(text)
	if len(problems) > 0 {
		t.Fatalf("Parse(%q) has problems: %+v", text, problems)
	}
	return parsed
}

// texts is the boundary that texts pass, of a tenant at contoso.onalvao.com.
func texts() template.Texts {
	const desk = "https://contoso.onalvao.com/AlvaoRestApi/"
	return richtext.New().Fields(richtext.Source{Base: desk, Roots: []string{desk}})
}

// data is a ticket of which every variable has a value.
func data() template.Data {
	day := func(n int) time.Time { return time.Date(2026, 11, n, 9, 30, 0, 0, time.UTC) }
	return template.Data{
		Texts: texts(),
		Ticket: item.Ticket{
			ID: 45412, Title: "Printer <b>jams</b> & smells", MessageTag: "T45412HD",
			Service: "Development", Process: "Development process", Status: "New",
			URL: "https://contoso.onalvao.com/Alvao/Ticket/45412", SLA: "Gold",
			Priority: "High", Impact: "Low", Urgency: "Medium", DeviceNumber: "PC10",
			RelatedOrganization: "Contoso", Requester: "Jan Novák", RequestedFor: "Eva Malá", Solver: "Petr Svoboda",
			Custom: map[string]string{"TicketCategory": "monitor failure"}, Due: day(30), InitialRecordID: 900,
		},
		Requester: &item.Person{
			ID: 10, Name: "Jan Novák", Email: "jan@contoso.com", Email2: "jan2@contoso.com", Phone: "+420 1", Phone2: "+420 2",
			MobilePhone: "+420 3", Department: "Sales", Office: "B12", WorkPosition: "Clerk", Organization: "Contoso s.r.o.",
			OtherContacts: "pager 7", PersonalNumber: "0042", ManagerID: 12, AccountName: "jnovak", Custom: map[string]string{"Floor": "3"},
		},
		RequestedFor: &item.Person{ID: 11, Email: "eva@contoso.com", ManagerID: 12},
		Solver:       &item.Person{ID: 13, Email: "petr@contoso.com", Department: "IT"},
		Managers:     map[int64]string{12: "Ota Vedoucí"},
		Records: []item.Record{
			{ID: 903, Kind: "Process", Plain: "Status changed", Created: day(4), Important: false},
			{ID: 902, Kind: "Note", HTML: "<p>Use the <i>new</i> toner.</p><script>alert(1)</script>", Created: day(3), Important: true},
			{ID: 900, Kind: "Email", Subject: "Printer", HTML: "<p>It jams.</p><p>Please help.</p>", Created: day(1), Important: true, Attachments: []item.Attachment{{Name: "a.png"}, {Name: "b.txt"}}},
			{ID: 901, Kind: "Note", Plain: "Looked at it.", Created: day(2)},
		},
	}
}

func TestVariablesOfTheTicket(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"[$TicketID$]":                      "45412",
		"[$TicketMessageTag$]":              "T45412HD",
		"[$TicketMessageTagLink$]":          "T45412HD (https://contoso.onalvao.com/Alvao/Ticket/45412)",
		"[$TicketTitle$]":                   "Printer <b>jams</b> & smells",
		"[$TicketUrl$]":                     "https://contoso.onalvao.com/Alvao/Ticket/45412",
		"[$TicketDeadline$]":                "2026-11-30 09:30 UTC",
		"[$TicketStatus$]":                  "New",
		"[$TicketService$]":                 "Development",
		"[$TicketServiceProcess$]":          "Development process",
		"[$TicketProcess$]":                 "Development process",
		"[$TicketSLA$]":                     "Gold",
		"[$SLA$]":                           "Gold",
		"[$Priority$]/[$Impact$]":           "High/Low",
		"[$Urgency$]":                       "Medium",
		"[$sHdTicketDeviceCode$]":           "PC10",
		"[$RelatedAccountId$]":              "Contoso",
		"[$sHdTicketUser$]":                 "Jan Novák",
		"[$sHdTicketUserCompany$]":          "Contoso s.r.o.",
		"[$sHdTicketUserDepartment$]":       "Sales",
		"[$tHdTicketCust.TicketCategory$]":  "monitor failure",
		"[$tHdTicketCust.ticketcategory$]":  "monitor failure",
		"[$tHdTicketCust.Nothing$]":         "",
		"[$TicketRequesterName$]":           "Jan Novák",
		"[$TicketRequesterMobile$]":         "+420 3",
		"[$TicketRequesterEmail$]":          "jan@contoso.com",
		"[$TicketRequesterEmail2$]":         "jan2@contoso.com",
		"[$TicketRequesterPhoneToWork$]":    "+420 1",
		"[$TicketRequesterPhoneToWork2$]":   "+420 2",
		"[$TicketRequesterOtherContacts$]":  "pager 7",
		"[$TicketRequesterDepartment$]":     "Sales",
		"[$TicketRequesterPosition$]":       "Clerk",
		"[$TicketRequesterOffice$]":         "B12",
		"[$TicketRequesterManagerName$]":    "Ota Vedoucí",
		"[$TicketRequesterPersonalNumber$]": "0042",
		// The account is the organisation, not the login.
		"[$TicketRequesterAccountName$]":        "Contoso s.r.o.",
		"[$TicketRequester.tPersonCust.Floor$]": "3",
		"[$TicketRequestedForEmail$]":           "eva@contoso.com",
		"[$TicketRequestedForName$]":            "Eva Malá",
		"[$TicketRequestedForManagerName$]":     "Ota Vedoucí",
		"[$TicketSolverDepartment$]":            "IT",
		"[$TicketSolverManagerName$]":           "",
		"[$OriginalMessageSubject$]":            "Printer",
		"[$OriginalMessage$]":                   "It jams.\n\nPlease help.",
		"[$OriginalMessageAttachmentList$]":     "a.png, b.txt",
		"[$LatestImportantMessage$]":            "Use the new toner.",
		// Alvao's manual prints long names with a stray blank; case is of no matter.
		"[$TicketRequester.\n tPersonCust.Floor $]": "3",
		"[$ tickettitle $]":                         "Printer <b>jams</b> & smells",
		"no variable":                               "no variable",
		"price: 5$] [ $":                            "price: 5$] [ $",
		"<b>Bold</b> [$TicketID$]":                  "Bold 45412",
	} {
		if got := mustParse(t, text).Render(data(), template.Text); got != want {
			t.Errorf("Render(%q) = %q, want %q", text, got, want)
		}
	}
}

// Each name that Variables lists as available can be parsed and rendered, with and
// without data; each other one is refused as known.
func TestWholeListIsKnown(t *testing.T) {
	t.Parallel()
	list := template.Variables()
	if len(list) < 90 {
		t.Fatalf("only %d variables are known", len(list))
	}
	for _, v := range list {
		name := v.Name
		if strings.HasSuffix(name, ".") {
			name += "Column"
		}
		parsed, problems := template.Parse("[$" + name + "$]")
		if v.Unavailable != "" {
			if len(problems) != 1 || !strings.Contains(problems[0].Text, "not available here") {
				t.Errorf("%s: problems = %+v, want one that says not available", name, problems)
			}
			continue
		}
		if len(problems) > 0 {
			t.Errorf("%s: %+v", name, problems)
		}
		if parsed.Needs() != v.Needs {
			t.Errorf("%s needs %+v when parsed, %+v in the list", name, parsed.Needs(), v.Needs)
		}
		for _, target := range []template.Target{template.Text, template.Line, template.HTML, template.Value} {
			parsed.Render(template.Data{}, target)
			parsed.Render(data(), target)
		}
	}
}

func TestHTMLTarget(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"[$TicketTitle$]":                   "Printer &lt;b&gt;jams&lt;/b&gt; &amp; smells",
		"<B>[$TicketID$]</b> & more":        "<b>45412</b> &amp; more",
		"a\nb":                              "a<br>b",
		"[$LatestImportantMessage$]":        "Use the <em>new</em> toner.",
		"[$TicketMessageTagLink$]":          `<a href="https://contoso.onalvao.com/Alvao/Ticket/45412">T45412HD</a>`,
		"[$OriginalMessageAttachmentList$]": "a.png, b.txt",
	} {
		if got := mustParse(t, text).Render(data(), template.HTML); got != want {
			t.Errorf("Render(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestTicketInfo(t *testing.T) {
	t.Parallel()
	d := data()
	d.Ticket.Priority, d.Ticket.SLA = "", ""
	info := mustParse(t, "[$TicketInfo$]")
	wantText := "Ticket: T45412HD (https://contoso.onalvao.com/Alvao/Ticket/45412)\n" +
		"Name: Printer <b>jams</b> & smells\nService: Development\nStatus: New\nRequester: Jan Novák\n" +
		"Requested for: Eva Malá\nSolver: Petr Svoboda\nDeadline: 2026-11-30 09:30 UTC"
	if diff := cmp.Diff(wantText, info.Render(d, template.Text)); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	markup := info.Render(d, template.HTML)
	for _, want := range []string{
		"<tr><th>Ticket</th><td><a href=", "<td>Printer &lt;b&gt;jams&lt;/b&gt; &amp; smells</td>", "</table>",
	} {
		if !strings.Contains(markup, want) {
			t.Errorf("markup lacks %q: %s", want, markup)
		}
	}
}

// Whole tags for bold text are taken out of text, wherever they stand, and no half ones.
func TestBoldTagsInText(t *testing.T) {
	t.Parallel()
	d := data()
	for _, edge := range []string{"<b", "<b>", "</b>", "a<b", "x</b", "<b></b>", "<b>y</b>z", "<B>y</B>", "<b>a</b><b>c</b>"} {
		want := strings.NewReplacer("<b>", "", "</b>", "", "<B>", "", "</B>", "").Replace(edge)
		if got := mustParse(t, edge).Render(d, template.Text); got != want {
			t.Errorf("%q reads %q, want %q", edge, got, want)
		}
	}
}

func TestLatestImportantMessageFallsBack(t *testing.T) {
	t.Parallel()
	latest := mustParse(t, "[$LatestImportantMessage$]")
	d := data()
	for i := range d.Records {
		d.Records[i].Important = false
	}
	if got := latest.Render(d, template.Text); got != "It jams.\n\nPlease help." {
		t.Errorf("without marks = %q, want the founding message", got)
	}
	d.Ticket.InitialRecordID = 0
	d.Records = append(d.Records, item.Record{ID: 1, Kind: "Notification", Plain: "Ticket created"})
	if got := latest.Render(d, template.Text); got != "It jams.\n\nPlease help." {
		t.Errorf("without a founding record named = %q, want the oldest one of a person", got)
	}
	// Of one moment, the one that was numbered first.
	d.Records = []item.Record{{ID: 7, Kind: "Note", Plain: "second"}, {ID: 6, Kind: "Note", Plain: "first"}, {ID: 8, Kind: "Note", Plain: "third"}}
	if got := latest.Render(d, template.Text); got != "first" {
		t.Errorf("of records of one moment = %q, want the first", got)
	}
	d.Records = []item.Record{{ID: 5, Kind: "Note", HTML: "  "}}
	if got := latest.Render(d, template.HTML); got != "-" {
		t.Errorf("with an empty record = %q, want -", got)
	}
	d.Records = nil
	if got := latest.Render(d, template.HTML); got != "-" {
		t.Errorf("without records = %q, want -", got)
	}
}

func TestLineIsOneLineOf255(t *testing.T) {
	t.Parallel()
	for _, title := range []string{
		strings.Repeat("a", 300), strings.Repeat("ž", 300), strings.Repeat("🙂", 200),
		strings.Repeat("word ", 80), "two\r\nlines\tand a tab", strings.Repeat("x", 255), strings.Repeat("x", 256),
	} {
		d := data()
		d.Ticket.Title = title
		got := mustParse(t, "[$TicketTitle$]").Render(d, template.Line)
		if n := len(utf16.Encode([]rune(got))); n > template.LineLimit {
			t.Errorf("%.10q…: %d characters", title, n)
		}
		if strings.ContainsAny(got, "\r\n\t\uFFFD") {
			t.Errorf("%.10q… = %q holds a break or half a character", title, got)
		}
		joined := strings.Join(strings.Fields(title), " ")
		if cut := len(utf16.Encode([]rune(joined))) > template.LineLimit; cut != strings.HasSuffix(got, "…") {
			t.Errorf("%.10q… = %q: cut is %v", title, got, cut)
		}
		if head := strings.TrimSuffix(got, "…"); !strings.HasPrefix(joined, head) {
			t.Errorf("%q does not begin with %q", joined, head)
		}
	}
	d := data()
	d.Ticket.Title = strings.Repeat("x", 255)
	if got := mustParse(t, "[$TicketTitle$]").Render(d, template.Line); got != d.Ticket.Title {
		t.Errorf("255 characters were cut to %d", len(got))
	}
}

func TestDates(t *testing.T) {
	t.Parallel()
	d := data()
	d.Location = time.FixedZone("CET", 3600)
	due := mustParse(t, "[$TicketDeadline$]")
	if got := due.Render(d, template.Line); got != "2026-11-30 10:30 CET" {
		t.Errorf("for people = %q", got)
	}
	if got := due.Render(d, template.Value); got != "2026-11-30T09:30:00Z" {
		t.Errorf("for machines = %q", got)
	}
	d.Ticket.Due = time.Time{}
	if got := due.Render(d, template.Text); got != "" {
		t.Errorf("no deadline = %q", got)
	}
}

func TestReadableText(t *testing.T) {
	t.Parallel()
	for markup, want := range map[string]string{
		"<p>Hello <b>world</b> &amp; co</p><p>Second<br>line</p>":         "Hello world & co\n\nSecond\nline",
		"<table><tr><td>x</td><td>y</td></tr><tr><td>z</td></tr></table>": "x | y\nz",
		"<head><title>t</title><style>p{}</style></head><body>text":       "text",
		"a<script>alert('<p>')</script>b<!-- c -->":                       "ab",
		`see <a href="https://x.cz/">this</a><img src="cid:a.png@1">`:     "see this (https://x.cz/)[image: a.png]",
	} {
		d := template.Data{Texts: texts(), Records: []item.Record{{ID: 1, HTML: markup}}}
		if got := mustParse(t, "[$OriginalMessage$]").Render(d, template.Text); got != want {
			t.Errorf("text of %q = %q, want %q", markup, got, want)
		}
	}
}

// What comes in a requester's mail passes the same boundary as a message: no address
// of an image crosses, neither a tracker's nor one that would show nothing.
func TestRichValuesPassTheBoundary(t *testing.T) {
	t.Parallel()
	d := template.Data{Texts: texts(), Records: []item.Record{{ID: 1, HTML: `<p onclick="x()">a</p><img src="x" onerror="y()"><iframe src="z"></iframe>` +
		`<a href="javascript:alert(1)">b</a><form><input></form><style>p{}</style><script>alert(1)</script>` +
		`<img src="https://tracker.example/p.gif?u=1" width="1" height="1"><img src="https://tracker.example/shown.png?u=2">` +
		`<img src="cid:plan.png@01D0"><img src="/AlvaoRestApi/tickets/1/plan2.png"><p>ask @jan about #12</p>`}}}
	got := mustParse(t, "[$OriginalMessage$]").Render(d, template.HTML)
	for _, bad := range []string{
		"onclick", "onerror", "iframe", "javascript", "<form", "<input", "<style", "<script", "alert", "<img", "src=", "https:", "cid:", "/AlvaoRestApi", "@jan", "#12",
	} {
		if strings.Contains(strings.ToLower(got), strings.ToLower(bad)) {
			t.Errorf("%q is left in %q", bad, got)
		}
	}
	for _, want := range []string{
		"<p>a</p>", "[image not carried over: shown.png (tracker.example)]", "[image not carried over: plan.png]", "[image not carried over: plan2.png]",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is lost: %q", want, got)
		}
	}
}

// Without a boundary nothing of a message is taken for markup.
func TestMarkupWithoutBoundaryIsShown(t *testing.T) {
	t.Parallel()
	d := template.Data{Records: []item.Record{{ID: 1, HTML: "<p>a</p>"}}}
	if got := mustParse(t, "[$OriginalMessage$]").Render(d, template.HTML); got != "&lt;p&gt;a&lt;/p&gt;" {
		t.Errorf("HTML = %q", got)
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text   string
		offset int
		want   []string
	}{
		{"[$TicketTitel$]", 0, []string{"[$TicketTitel$] is not a variable that Alvao knows", "[$TicketTitle$]?"}},
		{"ab [$TicketNumber$]", 3, []string{"not a variable", "[$TicketID$]"}},
		{"[$TicketRequesterMail$]", 0, []string{"[$TicketRequesterEmail$]?"}},
		{"[$tHdTicketsCust.Category$]", 0, []string{"[$tHdTicketCust.Category$]?"}},
		{"[$SomethingElseEntirely$]", 0, []string{"not a variable", "list of variables"}},
		{"[$CommentForRequester$]", 0, []string{"not available here", "only Alvao itself"}},
		{"[$ApprovalByForm$]", 0, []string{"approvers", "Remove it"}},
		{"[$OriginalMessageAttachments$]", 0, []string{"solvers", "[$OriginalMessageAttachmentList$]"}},
		{"[$TicketUserCompany$]", 0, []string{"operators", "[$TicketRequesterAccountName$]"}},
		{"[$AlertNo$]", 0, []string{"Asset Management"}},
		{"[$TicketService.tHdSectionCust.X$]", 0, []string{"custom fields of services"}},
		{"[$TicketSolverAccount.tAccountCust.X$]", 0, []string{"organisations", "[$TicketSolverAccountName$]"}},
		{"[$tHdTicketCust.$]", 0, []string{"names no custom field"}},
		{"x [$$]", 2, []string{"names no variable"}},
		{"x [$TicketTitle", 2, []string{"never closed"}},
		{"[$TicketTitle [$TicketID$]", 0, []string{"never closed"}},
	} {
		parsed, problems := template.Parse(test.text)
		if len(problems) != 1 {
			t.Errorf("Parse(%q) has %d problems: %+v", test.text, len(problems), problems)
			continue
		}
		p := problems[0]
		for _, want := range test.want {
			if !strings.Contains(p.Text+" "+p.Remedy, want) {
				t.Errorf("Parse(%q): %q / %q lacks %q", test.text, p.Text, p.Remedy, want)
			}
		}
		if p.Offset != test.offset || p.Warning {
			t.Errorf("Parse(%q): offset %d, warning %v", test.text, p.Offset, p.Warning)
		}
		if parsed.String() != test.text {
			t.Errorf("String() = %q, want %q", parsed.String(), test.text)
		}
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, problems := template.Parse("[$A1$] <i>x</i> [$ApprovalByForm$] [$")
	if len(problems) != 5 {
		t.Fatalf("%d problems, want 5 (two of them about tags): %+v", len(problems), problems)
	}
	warnings := 0
	for _, p := range problems {
		if p.Warning {
			warnings++
		}
	}
	if warnings != 2 {
		t.Errorf("%d warnings, want one for each tag", warnings)
	}
	if last := problems[len(problems)-1]; last.Text != "the tag </i> is shown as it is written" || last.Offset != 11 {
		t.Errorf("the last problem is %+v, want the one about </i>", last)
	}
}

func TestNeeds(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]template.Needs{
		"[$TicketTitle$] [$TicketRequesterName$]":             {},
		"[$OriginalMessage$] [$TicketSolverEmail$]":           {Log: true, Solver: true},
		"[$TicketRequestedForManagerName$]":                   {RequestedFor: true, Managers: true},
		"[$TicketRequester.tPersonCust.X$]":                   {Requester: true},
		"[$LatestImportantMessage$] [$sHdTicketUserCompany$]": {Log: true, Requester: true},
	} {
		if got := mustParse(t, text).Needs(); got != want {
			t.Errorf("%q needs %+v, want %+v", text, got, want)
		}
	}
}

func TestConstant(t *testing.T) {
	t.Parallel()
	if !mustParse(t, "Task").Constant() || mustParse(t, "[$TicketID$]").Constant() {
		t.Error("Constant is wrong")
	}
}

func ExampleTemplate_Render() {
	title, _ := template.Parse("[$TicketMessageTag$]: [$TicketTitle$]")
	text, _ := template.Parse("<b>Requester:</b> [$TicketRequesterName$]\n[$OriginalMessage$]")
	data := template.Data{
		Texts:  richtext.New().Fields(richtext.Source{}),
		Ticket: item.Ticket{MessageTag: "T123SD", Title: "Cable < 2 m", Requester: "Jan Novák"},
		Records: []item.Record{{
			ID: 1, Kind: "Email", HTML: "<p>I need a cable.</p><script>alert('x')</script>",
		}},
	}
	fmt.Println(title.Render(data, template.Line))
	fmt.Println(text.Render(data, template.HTML))
	// Output:
	// T123SD: Cable < 2 m
	// <b>Requester:</b> Jan Novák<br>I need a cable.
}

func ExampleParse_problems() {
	_, problems := template.Parse("[$TicketTitel$] [$FeedbackUrl$]")
	for _, p := range problems {
		fmt.Printf("%d: %s. %s\n", p.Offset, p.Text, p.Remedy)
	}
	// Output:
	// 0: [$TicketTitel$] is not a variable that Alvao knows. Did you mean [$TicketTitle$]?
	// 16: [$FeedbackUrl$] is not available here: only Alvao itself can work it out, its REST API does not give it. Remove it
}

// One template serves many tickets at once.
func TestRenderIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	parsed := mustParse(t, "<b>[$TicketTitle$]</b> [$LatestImportantMessage$] [$TicketInfo$]")
	want := parsed.Render(data(), template.HTML)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 20 {
				if got := parsed.Render(data(), template.HTML); got != want {
					t.Errorf("Render = %q, want %q", got, want)
				}
			}
		})
	}
	group.Wait()
}

// Rendering is on the way of every new work item; it must stay far below the cost
// of one call to a vendor.
func BenchmarkRender(b *testing.B) {
	parsed, _ := template.Parse("<b>[$TicketTitle$]</b> [$LatestImportantMessage$]")
	d := data()
	for b.Loop() {
		parsed.Render(d, template.HTML)
	}
}

// masking stands in for what takes secrets out.
type masking struct{ template.Texts }

func (masking) RedactText(text string) string { return strings.ReplaceAll(text, "4111", "[gone]") }
func (masking) RedactHTML(markup string) string {
	return "<div>" + masking{}.RedactText(markup) + "</div>"
}

// What must not be shown is taken out before a line is cut, of what people read alone.
func TestRedaction(t *testing.T) {
	t.Parallel()
	d := data()
	d.Texts = masking{d.Texts}
	d.Ticket.Title = strings.Repeat("x", 252) + "4111"
	parsed := mustParse(t, "[$TicketTitle$]")
	for target, want := range map[template.Target]string{
		template.Line: strings.Repeat("x", 252) + "[g…", template.Text: strings.Repeat("x", 252) + "[gone]",
		template.HTML: "<div>" + strings.Repeat("x", 252) + "[gone]</div>", template.Value: d.Ticket.Title,
	} {
		if got := parsed.Render(d, target); got != want {
			t.Errorf("target %d: %q", target, got[200:])
		}
	}
}
