package azuredevops_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// example is an answer that Microsoft's documents give for a call.
type example struct {
	name   string // folder and file
	status int
	body   json.RawMessage
}

// examples reads all of an area; one without an answer has status 0.
func examples(t *testing.T, area string) []example {
	t.Helper()
	root := shared(t, "specs", "azure-devops", area, "httpExamples")
	files, err := filepath.Glob(filepath.Join(root, "*", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples in %s: %v", root, err)
	}
	out := make([]example, 0, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			Responses map[string]struct{ Body json.RawMessage }
		}
		decode(t, data, &e)
		x := example{name: filepath.Base(filepath.Dir(file)) + "/" + filepath.Base(file)}
		for status, r := range e.Responses {
			if x.status, err = strconv.Atoi(status); err != nil {
				t.Fatalf("%s: %v", x.name, err)
			}
			x.body = r.Body
		}
		out = append(out, x)
	}
	return out
}

// client makes a client of the organisation that the examples are of, answered by answer, or by the example alone.
func (e example) client(t *testing.T, answer func(*http.Request) *http.Response) *azuredevops.Client {
	t.Helper()
	if answer == nil {
		answer = func(*http.Request) *http.Response { return e.answer() }
	}
	c, err := azuredevops.New(azuredevops.Options{
		ProjectURL: "https://dev.azure.com/fabrikam/Fabrikam-Fiber-Git", Credential: azuredevops.PAT(func() (string, error) { return pat, nil }),
		Base: answers(answer), Now: clock, ChunkAbove: 10,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (e example) answer() *http.Response { return plainAnswer(e.status, e.body) }

// readings tell which examples belong to a call of this client, and compare what the call makes of each with a second,
// strict reading.
func readings() []struct {
	files string
	read  func(*testing.T, example, map[string]example)
} {
	return []struct {
		files string
		read  func(*testing.T, example, map[string]example)
	}{
		{`workItems/(GET__wit_WorkItems_id( _asOf)?\.json|(PATCH|POST).*)`, readItemExample},
		{`workItems/GET__wit_WorkItems_ids.*|workItemsBatch/.*`, readItemsExample},
		{`workItemRevisions/(GET|POST)__wit_reporting_workItemRevisions(_.*)?\.json`, readChangesExample},
		{`wiql/GET__wit_get_id_workitems\.json`, readQueryExample},
		{`recycleBin/GET__wit_recyclebin__id_\.json`, readBinExample},
		{`comments/GET__wit_workitems__issueId__comments_\d\.json`, readCommentsExample},
		{`comments/(POST|PATCH).*`, readCommentExample},
		{`attachments/POST__wit.*`, readUploadExample},
		{`attachments/POST_wit_attachments_filename_chunked_register\.json`, readChunksExample},
		{`workItemTypes/GET__wit_workItemTypes\.json`, readTypesExample},
		{`workItemTypes/GET__wit_workItemTypes_Bug\.json`, readTypeExample},
		{`workItemTypesField/GET__workItemType_fields(_expand)?\.json`, readFieldsExample},
		{`subscriptions/GET__hooks_subscriptions_\.json`, readHooksExample},
		{`subscriptions/(POST|PUT|DELETE).*`, readHookExample},
	}
}

// unread are the examples that belong to no call of this client, with the reason.
func unread() []struct{ files, reason string } {
	return []struct{ files, reason string }{
		{`attachments/PUT.*|fields/GET__wit_fields\.json|workItemTypeStates/.*`, "read together with another one"},
		{`attachments/GET.*`, "a file, whose example has no body"},
		{`comments/GET__wit_workitems__taskId__comments_.*`, "comments as they were at version 3.0, to which no operation refers"},
		{`comments/(DELETE.*|GET__wit_workitems__issueId__comments__commentId_1\.json)`, "comments are listed, written and edited, never read alone nor removed"},
		{`fields/(GET__wit_fields__fieldName_|POST|UPDATE).*|workItemTypesField/GET__workItemType_field(_expand)?\.json`, "fields are read all at once and never changed"},
		{`recycleBin/(DELETE|PATCH|GET__wit_recyclebin\.json|GET__wit_recyclebin__ids_).*`, "one item is looked for in the recycle bin; none is restored or destroyed"},
		{`(revisions|updates)/.*`, "what changed is found by comparing the present, not by history"},
		{`wiql/GET__wit_wiql__queryId_\.json`, "a tree of links; Tandem asks for flat lists"},
		{`workItemRelationTypes/.*`, "the two relations that Tandem writes exist everywhere"},
		{`workItems/(DELETE|GET_work_item_template).*`, "work items are neither removed nor made from templates"},
		{`(actions|consumers|diagnostics|eventtypes|publishers)/.*`, "what hooks may be is known beforehand, and how they fare their status tells"},
		{`subscriptions/GET__hooks_subscriptions__subscriptionId_\.json`, "hooks are listed, never read alone"},
	}
}

// TestSpecExamples: every example of the documents on work items and on service hooks is either read by the call it
// belongs to, or listed with the reason why there is none. Examples that contradict their document are named by the
// stand-in's conformtest; those of them that are read here: comments with commentId in place of id, and a recycle bin
// whose id is a text and whose keys begin with capitals.
func TestSpecExamples(t *testing.T) {
	t.Parallel()
	all := map[string]example{}
	for _, area := range []string{"wit", "hooks"} {
		for _, e := range examples(t, area) {
			all[e.name] = e
		}
	}
	matches := func(files, name string) bool { return regexp.MustCompile("^(?:" + files + ")$").MatchString(name) }
	read, listed := map[string]int{}, map[string]int{}
	for name, e := range all {
		covered := 0
		for _, r := range readings() {
			if matches(r.files, name) {
				covered++
				read[r.files]++
				t.Run(name, func(t *testing.T) { t.Parallel(); r.read(t, e, all) })
			}
		}
		for _, u := range unread() {
			if matches(u.files, name) {
				covered++
				listed[u.reason]++
			}
		}
		if covered != 1 {
			t.Errorf("%s is covered or listed %d times", name, covered)
		}
	}
	for _, r := range readings() {
		if read[r.files] == 0 {
			t.Errorf("no example is %s", r.files)
		}
	}
	for _, u := range unread() {
		if listed[u.reason] == 0 {
			t.Errorf("no example is %s", u.files)
		}
	}
	t.Logf("%d examples: read %v, listed %v", len(all), read, listed)
}

func readItemExample(t *testing.T, e example, _ map[string]example) {
	t.Helper()
	var want recordedItem
	decode(t, e.body, &want)
	var got item.WorkItem
	var err error
	switch c := e.client(t, nil); {
	case strings.Contains(e.name, "/POST"):
		got, err = c.Create(t.Context(), draft())
	case strings.Contains(e.name, "/PATCH"):
		got, err = c.SetState(t.Context(), want.ID, 1, "Active")
	default:
		got, err = c.WorkItem(t.Context(), want.ID)
	}
	if err != nil || want.ID == 0 || want.Rev == 0 {
		t.Fatalf("%+v, %v", want, err)
	}
	want.matches(t, got)
}

func readItemsExample(t *testing.T, e example, _ map[string]example) {
	t.Helper()
	var want struct{ Value []recordedItem }
	decode(t, e.body, &want)
	got, err := e.client(t, nil).WorkItems(t.Context(), []int64{1})
	if err != nil || len(want.Value) == 0 || len(got) != len(want.Value) {
		t.Fatalf("%d of %d, %v", len(got), len(want.Value), err)
	}
	for n, w := range want.Value {
		w.matches(t, got[n])
	}
}

func readChangesExample(t *testing.T, e example, _ map[string]example) {
	t.Helper()
	var want struct {
		Values      []recordedItem
		IsLastBatch bool
	}
	decode(t, e.body, &want)
	got, err := e.client(t, nil).Changes(t.Context(), "1;2;3", time.Time{})
	if err != nil || len(want.Values) == 0 || len(got.WorkItems) != len(want.Values) || got.Last != want.IsLastBatch || strings.Count(got.Next, ";") != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for n, w := range want.Values {
		w.matches(t, got.WorkItems[n])
	}
}

func readQueryExample(t *testing.T, e example, _ map[string]example) {
	t.Helper()
	one := interaction{}
	one.Response.Status, one.Response.Body = e.status, e.body
	replayQuery(t, one)
}

func readBinExample(t *testing.T, e example, _ map[string]example) {
	t.Helper()
	c := e.client(t, func(r *http.Request) *http.Response {
		if strings.Contains(r.URL.Path, "recyclebin") {
			return e.answer()
		}
		return plainAnswer(http.StatusNotFound, []byte(missing))
	})
	got, err := c.WorkItem(t.Context(), 72)
	if err != nil || !got.Deleted || got.ID != 72 || got.State != "New" || got.Type != "Product Backlog Item" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// strictComment is a second reading of a comment as the examples have it.
type strictComment struct {
	CommentID   int64     `json:"commentId"`
	Version     int64     `json:"version"`
	Text        string    `json:"text"`
	CreatedDate time.Time `json:"createdDate"`
	CreatedBy   struct{ ID, DisplayName string }
}

func (w strictComment) matches(t *testing.T, got item.Comment) {
	t.Helper()
	if w.CommentID == 0 || got.ID != w.CommentID || got.Version != w.Version || got.Text != w.Text || !got.Created.Equal(w.CreatedDate) ||
		got.AuthorID != w.CreatedBy.ID || got.Author != w.CreatedBy.DisplayName || got.Format != item.HTML {
		t.Errorf("got %+v, want %+v", got, w)
	}
}

func readCommentsExample(t *testing.T, e example, _ map[string]example) {
	t.Helper()
	var want struct{ Comments []strictComment }
	decode(t, e.body, &want)
	c := e.client(t, func(r *http.Request) *http.Response {
		if r.URL.Query().Has("continuationToken") { // its next page leads nowhere here
			return plainAnswer(http.StatusOK, []byte(`{"comments":[]}`))
		}
		return e.answer()
	})
	got, err := c.Comments(t.Context(), "", 299)
	if err != nil || len(want.Comments) == 0 || len(got) != len(want.Comments) {
		t.Fatalf("%d of %d, %v", len(got), len(want.Comments), err)
	}
	for n, w := range want.Comments {
		w.matches(t, got[n])
	}
}

func readCommentExample(t *testing.T, e example, _ map[string]example) {
	t.Helper()
	var want strictComment
	decode(t, e.body, &want)
	c := e.client(t, nil)
	added, err := c.AddComment(t.Context(), "", 299, "x", item.HTML)
	if err != nil {
		t.Fatal(err)
	}
	want.matches(t, added)
	edited, err := c.EditComment(t.Context(), "", 299, 50, "x", item.HTML)
	if err != nil {
		t.Fatal(err)
	}
	want.matches(t, edited)
}

func readUploadExample(t *testing.T, e example, _ map[string]example) {
	t.Helper()
	var want struct{ ID, URL string }
	decode(t, e.body, &want)
	c := e.client(t, nil)
	got, err := c.UploadFile(t.Context(), "", item.Upload{Name: "x.txt", Size: 1, Content: strings.NewReader("x")})
	id, _, ours := c.AttachmentOfURL(got)
	if err != nil || got != want.URL || !ours || id != want.ID || e.status != http.StatusCreated {
		t.Errorf("%d: got %s, %v, want %s", e.status, got, err, want.URL)
	}
}

func readChunksExample(t *testing.T, e example, all map[string]example) {
	t.Helper()
	var want struct{ URL string }
	decode(t, e.body, &want)
	piece := all["attachments/PUT_wit_attachments_filename_chunked_content1.json"]
	pieces := 0
	c := e.client(t, func(r *http.Request) *http.Response {
		if r.Method == http.MethodPut {
			pieces++
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
			return piece.answer()
		}
		return e.answer()
	})
	got, err := c.UploadFile(t.Context(), "", item.Upload{Name: "x.txt", Size: 11, Content: strings.NewReader("hello world")})
	if err != nil || got != want.URL || pieces != 1 || piece.status != http.StatusCreated {
		t.Errorf("got %s in %d pieces, %v, want %s", got, pieces, err, want.URL)
	}
}

func readTypesExample(t *testing.T, e example, _ map[string]example) {
	t.Helper()
	var want struct{ Value []struct{ Name string } }
	decode(t, e.body, &want)
	names := make([]string, 0, len(want.Value))
	for _, w := range want.Value {
		names = append(names, w.Name)
	}
	got, err := e.client(t, nil).Types(t.Context())
	slices.Sort(got)
	slices.Sort(names)
	if diff := cmp.Diff(names, got); diff != "" || err != nil || len(got) == 0 {
		t.Error(diff, err)
	}
}

func readTypeExample(t *testing.T, e example, all map[string]example) {
	t.Helper()
	c := e.client(t, func(r *http.Request) *http.Response {
		if strings.HasSuffix(r.URL.Path, "/states") {
			return all["workItemTypeStates/GET__workitem_type_states.json"].answer()
		}
		return e.answer()
	})
	kind, err := c.Type(t.Context(), "Bug")
	if err != nil || len(kind.States) != 5 || kind.States[2] != (item.State{Name: "CustomState", Category: "InProgress"}) ||
		!slices.Equal(kind.Transitions[""], []string{"New"}) || !slices.Contains(kind.Transitions["Active"], "Resolved") || slices.Contains(kind.Transitions["Active"], "Active") {
		t.Errorf("got %+v, %v", kind, err)
	}
}

func readFieldsExample(t *testing.T, e example, all map[string]example) {
	t.Helper()
	c := e.client(t, func(r *http.Request) *http.Response {
		if strings.Contains(r.URL.Path, "workitemtypes") {
			return e.answer()
		}
		return all["fields/GET__wit_fields.json"].answer()
	})
	fields, err := c.Fields(t.Context(), "Bug")
	if err != nil || len(fields) != 56 {
		t.Fatalf("%d fields, %v", len(fields), err)
	}
	for name, want := range map[string]item.Field{
		"System.Title":         {Reference: "System.Title", Name: "Title", Type: item.FieldText, Required: true},
		"System.Description":   {Reference: "System.Description", Name: "Description", Type: item.FieldHTML},
		"System.IterationPath": {Reference: "System.IterationPath", Name: "Iteration Path", Type: item.FieldTreePath},
		"System.AssignedTo":    {Reference: "System.AssignedTo", Name: "Assigned To", Type: item.FieldIdentity},
		"System.Rev":           {Reference: "System.Rev", Name: "Rev", Type: item.FieldInteger, ReadOnly: true},
	} {
		if diff := cmp.Diff(want, fields[name]); diff != "" {
			t.Error(diff)
		}
	}
}

// strictHook is a second reading of a subscription as the examples have it.
type strictHook struct {
	ID, Status, EventType           string
	ResourceVersion                 *string
	CreatedDate                     time.Time
	PublisherInputs, ConsumerInputs map[string]string
}

func (w strictHook) matches(t *testing.T, got item.Hook) {
	t.Helper()
	want := item.Hook{
		ID: w.ID, Event: w.EventType, Status: item.HookStatus(w.Status), ProjectID: w.PublisherInputs["projectId"], URL: w.ConsumerInputs["url"],
		Created: w.CreatedDate,
		// No example asks for messages of kind none.
		Narrowed: w.PublisherInputs["areaPath"]+w.PublisherInputs["workItemType"]+w.PublisherInputs["commentPattern"] != "",
	}
	if w.Status == "" {
		want.Status = item.HookEnabled
	}
	if diff := cmp.Diff(want, got); diff != "" || w.ID == "" {
		t.Error(diff)
	}
}

func readHooksExample(t *testing.T, e example, _ map[string]example) {
	t.Helper()
	var want struct{ Value []strictHook }
	decode(t, e.body, &want)
	got, err := e.client(t, nil).Hooks(t.Context())
	if err != nil || len(want.Value) == 0 || len(got) != len(want.Value) {
		t.Fatalf("%d of %d, %v", len(got), len(want.Value), err)
	}
	for n, w := range want.Value {
		w.matches(t, got[n])
	}
}

func readHookExample(t *testing.T, e example, _ map[string]example) {
	t.Helper()
	const id = "fd672255-8b6b-4769-9260-beea83d752ce"
	c := e.client(t, nil)
	if strings.Contains(e.name, "/DELETE") {
		if err := c.RemoveHook(t.Context(), id, "build.complete"); err != nil || e.status != http.StatusNoContent {
			t.Errorf("%d: %v", e.status, err)
		}
		return
	}
	var want strictHook
	decode(t, e.body, &want)
	draft := item.HookDraft{Event: want.EventType, URL: want.ConsumerInputs["url"]}
	made, err := c.CreateHook(t.Context(), draft, "p")
	if err != nil {
		t.Fatal(err)
	}
	want.matches(t, made)
	changed, err := c.ReplaceHook(t.Context(), id, draft, "p")
	if err != nil {
		t.Fatal(err)
	}
	want.matches(t, changed)
}
