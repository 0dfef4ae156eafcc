package reconcile_test

import (
	"maps"
	"strings"
	"testing"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/crossing"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// deskNote lets the solver write an internal note.
func (c *chat) deskNote(t *testing.T, html string, visible bool, files ...standalvao.NewAttachment) standalvao.Record {
	t.Helper()
	made, err := c.desk.AddMessage(t.Context(), standalvao.Solver, int(c.ticket), standalvao.Message{
		Kind: standalvao.KindNote, Subject: "Note", HTML: html, ShowToRequester: visible, Attachments: files,
	})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// ruled has messages cross as rules say, in a tenant that tells who may see a record.
func ruled(rules crossing.Rules) func(*options) {
	return func(o *options) {
		o.messages.Rules = rules
		o.desk.Tenant.LogShowsVisibility = true
	}
}

func TestOnlyWhatTheRequesterMaySee(t *testing.T) {
	t.Parallel()
	c := chatting(t, ruled(crossing.Rules{OnlyVisible: true}))
	file := standalvao.NewAttachment{Name: "plan.txt", Content: []byte("plan")}
	inner := c.deskNote(t, "<p>the customer is wrong</p>", false, file)
	c.deskNote(t, "<p>we are on it</p>", true)
	c.comment(t, "<p>comments have no such mark</p>")
	c.round(t)
	if len(c.comments("the customer is wrong")) != 0 || len(c.attached("plan.txt")) != 0 || len(c.comments("we are on it")) != 1 {
		t.Errorf("comments %v", c.comments(""))
	}
	if len(c.records("comments have no such mark")) != 1 {
		t.Error("a comment stayed")
	}
	if kept := c.link(t, c.ticket).Withheld["only: visibleToRequester"]; kept < 2 {
		t.Errorf("withheld %v", c.link(t, c.ticket).Withheld)
	}
	c.quiet(t)
	// What becomes visible crosses then, with its file.
	if err := c.desk.ShowMessage(t.Context(), standalvao.Solver, int(c.ticket), inner.ID, true); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if len(c.comments("the customer is wrong")) != 1 || len(c.attached("plan.txt")) != 1 {
		t.Errorf("once it is visible: %v", c.comments(""))
	}
	c.quiet(t)
	// What is hidden again stays there as it was and is not kept up.
	if err := c.desk.ShowMessage(t.Context(), standalvao.Solver, int(c.ticket), inner.ID, false); err != nil {
		t.Fatal(err)
	}
	if err := c.desk.EditMessage(t.Context(), standalvao.Solver, int(c.ticket), inner.ID, "<p>the customer is very wrong</p>"); err != nil {
		t.Fatal(err)
	}
	c.quiet(t)
	if len(c.comments("the customer is wrong")) != 1 || len(c.comments("very wrong")) != 0 {
		t.Errorf("hidden again: %v", c.comments(""))
	}
	// That it was deleted is told all the same.
	if err := c.desk.DeleteMessage(t.Context(), standalvao.Solver, int(c.ticket), inner.ID); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if len(c.comments("the customer")) != 0 || len(c.comments("This message was deleted")) != 1 {
		t.Errorf("deleted: %v", c.comments(""))
	}
	c.quiet(t)
}

// Internal records cross too where nobody asks for less, as with Alvao's own connector.
func TestInternalRecordsCrossByDefault(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	c.deskNote(t, "<p>between us</p>", false)
	c.round(t)
	if len(c.comments("between us")) != 1 {
		t.Errorf("comments %v", c.comments(""))
	}
}

func TestRulesOnTextAndAuthor(t *testing.T) {
	t.Parallel()
	pattern := func(text string) crossing.Pattern {
		p, err := crossing.NewPattern(text)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	rules := crossing.Rules{List: []crossing.Rule{
		{Text: pattern(`(?i)#internal`)},
		{To: item.Alvao, Author: pattern(`^Jana`)},
	}}
	c := chatting(t, ruled(rules))
	note := c.deskNote(t, "<p>restart it <b>#INT</b>ernal</p>", true)
	c.deskNote(t, "<p>restarted</p>", true)
	c.comment(t, "<p>by Jana</p>")
	c.round(t)
	if len(c.comments("restart it")) != 0 || len(c.comments("restarted")) != 1 || len(c.records("by Jana")) != 0 {
		t.Errorf("comments %v, records %v", c.comments(""), c.records(""))
	}
	want := map[string]int{"rules[0]": 1, "rules[1]": 1}
	got := maps.Clone(c.link(t, c.ticket).Withheld)
	delete(got, "kinds")
	if !maps.Equal(got, want) {
		t.Errorf("withheld %v", got)
	}
	c.quiet(t)
	// A rule that comes later takes nothing back.
	c.connector.Messages.Rules.List = append(c.connector.Messages.Rules.List, crossing.Rule{})
	c.quiet(t)
	if len(c.comments("restarted")) != 1 {
		t.Errorf("comments %v", c.comments(""))
	}
	// An edit that takes the mark away lets the message cross under the former rules.
	c.connector.Messages.Rules = rules
	if err := c.desk.EditMessage(t.Context(), standalvao.Solver, int(c.ticket), note.ID, "<p>restart it</p>"); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if len(c.comments("restart it")) != 1 {
		t.Errorf("comments %v", c.comments(""))
	}
	c.quiet(t)
}

func TestDirectionThatIsOffIsNotWritten(t *testing.T) {
	t.Parallel()
	c := chatting(t, ruled(crossing.Rules{OffToAlvao: true}))
	gone := c.comment(t, "<p>to nobody</p>")
	c.attach(t, "shot.txt", []byte("x"))
	c.write(t, "<p>hello</p>")
	c.round(t)
	if n := len(c.records("")); n != 0 || len(c.comments("hello")) != 1 {
		t.Errorf("%d records, comments %v", n, c.comments(""))
	}
	if kept := c.link(t, c.ticket).Withheld["toAlvao: false"]; kept != 2 {
		t.Errorf("withheld %v", c.link(t, c.ticket).Withheld)
	}
	c.quiet(t)
	c.connector.Messages.Rules.OffToAlvao = false
	c.round(t)
	if len(c.records("to nobody")) != 1 || len(c.files("shot.txt")) != 1 {
		t.Errorf("once it is on: %v", c.records(""))
	}
	c.connector.Messages.Rules.OffToAlvao = true
	if _, err := c.boards.As(developer).DeleteComment(int(c.workItem), gone.ID); err != nil {
		t.Fatal(err)
	}
	before := len(c.records(""))
	c.quiet(t)
	if len(c.records("")) != before {
		t.Error("a deletion was told into a direction that is off")
	}
}

func TestFileTypesThatStayAreNamed(t *testing.T) {
	t.Parallel()
	types := func(names ...string) []crossing.FileType {
		list := make([]crossing.FileType, 0, len(names))
		for _, name := range names {
			one, err := crossing.NewFileType(name)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, one)
		}
		return list
	}
	c := chatting(t, ruled(crossing.Rules{Files: crossing.Files{Allow: types("txt", "image/*"), Deny: types("svg")}}))
	png := []byte("\x89PNG\r\n\x1a\nsmoke")
	made := c.write(t, "<p>three</p>", standalvao.NewAttachment{Name: "a.txt", ContentType: "text/plain", Content: []byte("a")},
		standalvao.NewAttachment{Name: "dump.bin", ContentType: "application/octet-stream", Content: []byte("b")},
		standalvao.NewAttachment{Name: "drawing.svg", ContentType: "image/svg+xml", Content: []byte("<svg/>")})
	if err := c.desk.EditMessage(t.Context(), standalvao.Requester, int(c.ticket), made.ID, `<p>three <img alt="x" src="data:image/bmp;base64,Qk0="></p>`); err != nil {
		t.Fatal(err)
	}
	c.attach(t, "photo", png)
	c.attach(t, "tool.zip", []byte("PK"))
	c.round(t)
	if len(c.attached("a.txt")) != 1 || len(c.attached("dump.bin")) != 0 || len(c.attached("drawing.svg")) != 0 {
		t.Error("other files than a.txt are attached")
	}
	for _, name := range []string{"dump.bin", "drawing.svg"} {
		if said := c.comments(name); len(said) != 1 || !strings.Contains(said[0], "was not carried over") {
			t.Errorf("about %s: %v", name, said)
		}
	}
	if said := c.records("tool.zip"); len(said) != 1 || len(said[0].Attachments) != 0 {
		t.Errorf("about tool.zip: %+v", said)
	}
	if said := c.comments("three"); len(said) != 1 || !strings.Contains(said[0], "_apis/wit/attachments") {
		t.Errorf("the inline image, which is of a type that crosses: %v", said)
	}
	c.quiet(t)
}

// The description of a new work item shows no message either that has to stay.
func TestFieldsShowOnlyWhatMayCross(t *testing.T) {
	t.Parallel()
	smoke, err := crossing.NewPattern("Smoke")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rules crossing.Rules
		told  bool
		shown bool
	}{
		{crossing.Rules{}, true, true},
		{crossing.Rules{OffToAzureDevOps: true, Kinds: []string{"Note"}}, true, true},
		{crossing.Rules{OnlyVisible: true}, true, true},
		// A tenant that does not tell who may see a record.
		{crossing.Rules{OnlyVisible: true}, false, false},
		{crossing.Rules{List: []crossing.Rule{{Text: smoke}}}, true, false},
	} {
		w := setup(t, ruled(tc.rules), func(o *options) { o.desk.Tenant.LogShowsVisibility = tc.told })
		ticket := w.ticket(t, "Development")
		w.handle(t, ticket)
		shown, _ := w.boards.WorkItem(int(w.link(t, ticket).WorkItem))
		if text, _ := shown.Fields["System.Description"].(string); strings.Contains(text, "Smoke") != tc.shown {
			t.Errorf("%+v: description %q", tc.rules, text)
		}
	}
}
