package azuredevops_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	sandbox "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	faults "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// TestComments walks the way of comments on every form of the product.
func TestComments(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]settings{
		"services": {}, "server": {change: func(o *sandbox.Options) { o.Flavor = sandbox.OnPremises }},
		"commentId": {change: func(o *sandbox.Options) { o.Quirks.CommentIDAsCommentID = true }},
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); open(t, s).talk(t, name != "server") })
	}
}

func (o org) talk(t *testing.T, hosted bool) {
	t.Helper()
	who, err := o.Identity(t.Context())
	if err != nil || o.SupportsMarkdown() != hosted {
		t.Fatalf("markdown %v, %v", o.SupportsMarkdown(), err)
	}
	made, err := o.Create(t.Context(), taskDraft("Task"))
	if err != nil {
		t.Fatal(err)
	}
	id := int(made.ID)
	theirs, err := o.Server.As(jana).Comment(id, "<p>Příliš &lt;žluťoučký&gt;</p>", "")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := o.AddComment(t.Context(), "Alvaoproject", made.ID, "<b>ours</b>", item.HTML)
	if err != nil || ours.Text != "<b>ours</b>" || ours.AuthorID != who.ID || ours.Author != "Tandem Service" || ours.Version != 1 || ours.Created.IsZero() {
		t.Fatalf("added %+v, %v", ours, err)
	}
	format := item.HTML
	if hosted {
		format = item.Markdown
	} else {
		_, err := o.AddComment(t.Context(), "", made.ID, "*raw*", item.Markdown)
		wantKind(t, err, fault.Invalid)
	}
	edited, err := o.EditComment(t.Context(), "", made.ID, ours.ID, "now *other*", format)
	if err != nil || edited.ID != ours.ID || edited.Version != 2 || edited.Text != "now *other*" || edited.Format != format || edited.Modified.Before(edited.Created) {
		t.Errorf("edited %+v, %v", edited, err)
	}
	// A Markdown comment that is edited as HTML becomes HTML.
	if edited, err = o.EditComment(t.Context(), "", made.ID, ours.ID, "<i>back</i>", item.HTML); err != nil || edited.Format != item.HTML {
		t.Errorf("edited back %+v, %v", edited, err)
	}
	if _, err := o.Server.As(jana).DeleteComment(id, theirs.ID); err != nil {
		t.Fatal(err)
	}
	// More than one page, read in the project where the item is now.
	for n := range 230 {
		if _, err := o.Server.As(jana).Comment(id, fmt.Sprint("n", n), ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := o.Server.As(jana).Move(id, "Agile Project"); err != nil {
		t.Fatal(err)
	}
	all, err := o.Comments(t.Context(), "Agile Project", made.ID)
	if err != nil || len(all) != 232 {
		t.Fatalf("%d comments, %v", len(all), err)
	}
	if !all[0].Deleted || all[0].ID != int64(theirs.ID) || all[0].Author == "" || all[1].Deleted || all[1].Text != "<i>back</i>" || all[1].Version != 3 || all[231].Text != "n229" {
		t.Errorf("got %+v … %+v", all[:2], all[231])
	}
	if read, err := o.WorkItem(t.Context(), made.ID); err != nil || read.CommentCount != 231 {
		t.Errorf("the item tells %d comments, %v", read.CommentCount, err)
	}
	_, err = o.EditComment(t.Context(), "Agile Project", made.ID, int64(theirs.ID), "x", item.HTML)
	wantKind(t, err, fault.NotFound)
	_, err = o.AddComment(t.Context(), "Agile Project", made.ID, " \n", item.HTML)
	wantKind(t, err, fault.Invalid)
	_, err = o.Comments(t.Context(), "", 9999)
	wantKind(t, err, fault.NotFound)
}

// TestLostComment: an added comment is not sent again, and the fault says that it is
// open whether it stands there.
func TestLostComment(t *testing.T) {
	t.Parallel()
	o := open(t, settings{})
	made, err := o.Create(t.Context(), taskDraft("Task"))
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []faults.Kind{faults.KindLostReply, faults.KindCut, faults.KindUnavailable} {
		o.faults.Clear()
		if _, err := o.faults.Add(faults.Rule{Kind: kind, Method: http.MethodPost, Count: 1}); err != nil {
			t.Fatal(err)
		}
		_, err = o.AddComment(t.Context(), "", made.ID, "once", item.HTML)
		wantKind(t, err, fault.Unavailable)
		if !strings.Contains(fault.Sentence(err), "it is open whether") {
			t.Errorf("%q", fault.Sentence(err))
		}
	}
	if all, err := o.Comments(t.Context(), "", made.ID); err != nil || len(all) != 2 {
		t.Errorf("%d comments after two lost replies and a refusal, %v", len(all), err)
	}
}

// TestCommentWire compares what is sent with the specification: format is always
// told to Azure DevOps Services, never to a Server.
func TestCommentWire(t *testing.T) {
	t.Parallel()
	answer := func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, `{"id":50,"text":"x"}`) }
	services, sent := answering(t, answer)
	if _, err := services.AddComment(t.Context(), "Other Project", 299, "x", item.HTML); err != nil {
		t.Fatal(err)
	}
	if _, err := services.EditComment(t.Context(), "", 299, 50, "x", item.Markdown); err != nil {
		t.Fatal(err)
	}
	const versions = "api-version=7.1-preview.4&format="
	want := []request{
		{"POST", "/contoso/Other%20Project/_apis/wit/workItems/299/comments", versions + "html", "application/json", `{"text":"x"}`},
		{"PATCH", "/contoso/Alvaoproject/_apis/wit/workItems/299/comments/50", versions + "markdown", "application/json", `{"text":"x"}`},
	}
	if diff := cmp.Diff(want, sent.all(), cmp.AllowUnexported(request{})); diff != "" {
		t.Error(diff)
	}

	var queries []string
	server, err := azuredevops.New(azuredevops.Options{
		ProjectURL: "https://tfs.example/tfs/Coll/P", Credential: azuredevops.PAT(func() (string, error) { return pat, nil }), Now: clock,
		Base: replies(func(r *http.Request) *http.Response {
			queries = append(queries, r.URL.RawQuery)
			return plainAnswer(http.StatusOK, []byte(`{"commentId":50}`))
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := server.AddComment(t.Context(), "", 299, "x", item.HTML); err != nil || server.SupportsMarkdown() {
		t.Error(err)
	}
	if diff := cmp.Diff([]string{"api-version=7.0-preview"}, queries); diff != "" {
		t.Error(diff)
	}
}

func TestCommentPages(t *testing.T) {
	t.Parallel()
	page := func(ids string, more string) string { return `{"comments":[` + ids + `]` + more + `}` }
	for name, tc := range map[string]struct {
		pages map[string]string
		want  int
	}{
		"token":             {map[string]string{"": page(`{"id":1},null,5`, `,"continuationToken":"a&b"`), "a&b": page(`{"commentId":"2"}`, "")}, 2},
		"address alone":     {map[string]string{"": page(`{"id":1}`, `,"nextPage":"https://evil.example/x?continuationToken=n"`), "n": page(`{"id":2}`, "")}, 2},
		"the same again":    {map[string]string{"": page(`{"id":1}`, `,"continuationToken":"n"`), "n": page(`{"id":2},{"id":1}`, `,"continuationToken":"n"`)}, 2},
		"an empty token":    {map[string]string{"": page(`{"id":1}`, `,"continuationToken":""`)}, 1},
		"nothing to number": {map[string]string{"": page(`{"text":"x"}`, ``)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := answering(t, func(w http.ResponseWriter, r *http.Request) {
				answerJSON(w, http.StatusOK, tc.pages[r.URL.Query().Get("continuationToken")])
			})
			got, err := c.Comments(t.Context(), "", 1)
			if err != nil || len(got) != tc.want || len(s.all()) != len(tc.pages) {
				t.Errorf("%d comments in %d calls, %v", len(got), len(s.all()), err)
			}
		})
	}
}

func FuzzComments(f *testing.F) {
	for _, seed := range []string{
		`{"comments":[{"id":1,"text":"x","createdBy":{"id":"g","displayName":"R"},"createdDate":"2026-03-31T18:36:26.23Z","format":"markdown","isDeleted":true}],"continuationToken":"t"}`,
		`{"comments":[{"commentId":"2","createdBy":"R <r@x>","format":0}],"nextPage":"%zz"}`, `{"comments":{}}`, `[]`, "\ufeff{}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		calls := 0
		c := over(t, replies(func(*http.Request) *http.Response { calls++; return plainAnswer(http.StatusOK, body) }))
		got, err := c.Comments(t.Context(), "", 1)
		if err != nil && fault.KindOf(err) == fault.Internal {
			t.Errorf("no fault: %v", err)
		}
		if calls > 2 {
			t.Errorf("the same page was read %d times", calls)
		}
		for _, one := range got {
			if one.ID <= 0 || (one.Format != item.HTML && one.Format != item.Markdown) {
				t.Errorf("got %+v", one)
			}
		}
		_, err = c.AddComment(t.Context(), "", 1, "x", item.HTML)
		if err != nil && fault.KindOf(err) == fault.Internal {
			t.Errorf("no fault: %v", err)
		}
	})
}
