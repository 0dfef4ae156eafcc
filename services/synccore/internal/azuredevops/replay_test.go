package azuredevops_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// interaction is one recorded request and its answer.
type interaction struct {
	name    string
	Request struct {
		Method, Host, Path string
		Body               json.RawMessage
	}
	Response struct {
		Status  int
		Headers map[string]string
		Body    json.RawMessage
	}
}

func recordings(t *testing.T) []interaction {
	t.Helper()
	dir := shared(t, "fixtures", "azure-devops", "recordings")
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no recordings in %s: %v", dir, err)
	}
	var all []interaction
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var list []interaction
		decode(t, data, &list)
		for n, one := range list {
			one.name = fmt.Sprintf("%s/%d %s", strings.TrimSuffix(filepath.Base(file), ".json"), n, one.Request.Method)
			all = append(all, one)
		}
	}
	return all
}

// answer gives back what was recorded: a string body is not JSON.
func (i interaction) answer() *http.Response {
	body := []byte(i.Response.Body)
	var text string
	if json.Unmarshal(body, &text) == nil {
		body = []byte(text)
	}
	r := plainAnswer(i.Response.Status, body)
	r.Header = http.Header{}
	for name, value := range i.Response.Headers {
		r.Header.Set(name, value)
	}
	return r
}

func (i interaction) client(t *testing.T, project string) *azuredevops.Client {
	t.Helper()
	c, err := azuredevops.New(azuredevops.Options{
		ProjectURL: "https://dev.azure.com/contoso/" + project, Now: clock,
		Credential: azuredevops.PAT(func() (string, error) { return pat, nil }),
		Base:       replies(func(*http.Request) *http.Response { return i.answer() }),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// recordedItem is a second, strict reading of a recorded work item.
type recordedItem struct {
	ID        int64          `json:"id"`
	Rev       int64          `json:"rev"`
	Fields    map[string]any `json:"fields"`
	Relations []struct {
		Rel, URL string
	} `json:"relations"`
}

func (r recordedItem) matches(t *testing.T, got item.WorkItem) {
	t.Helper()
	text := func(name string) string {
		s, ok := r.Fields[name].(string)
		if !ok && r.Fields[name] != nil {
			t.Errorf("recorded %s is %T", name, r.Fields[name])
		}
		return s
	}
	want := item.WorkItem{
		ID: r.ID, Rev: r.Rev, Project: text("System.TeamProject"), Type: text("System.WorkItemType"),
		State: text("System.State"), Title: text("System.Title"), Deleted: got.Deleted, URL: got.URL, CommentCount: -1,
	}
	if count, ok := r.Fields["System.CommentCount"].(float64); ok {
		want.CommentCount = int64(count)
	}
	if tags := text("System.Tags"); tags != "" {
		want.Tags = strings.Split(tags, "; ")
	}
	for _, relation := range r.Relations {
		if relation.Rel == "Hyperlink" {
			want.Hyperlinks = append(want.Hyperlinks, relation.URL)
		}
	}
	if who, ok := r.Fields["System.ChangedBy"].(map[string]any); ok {
		id, isText := who["id"].(string)
		if !isText {
			t.Errorf("recorded identity id is %T", who["id"])
		}
		want.ChangedBy = id
	}
	when := text("Microsoft.VSTS.Common.StateChangeDate")
	if when == "" {
		when = text("System.ChangedDate")
	}
	if when != "" {
		at, err := time.Parse(time.RFC3339Nano, when)
		if err != nil {
			t.Errorf("recorded time: %v", err)
		}
		want.StateChanged = at
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

var (
	itemPath    = regexp.MustCompile(`/_apis/wit/workItems/(\d+)(\?|$)`)
	createPath  = regexp.MustCompile(`/([^/]+)/_apis/wit/workItems/\$Task`)
	projectPath = regexp.MustCompile(`/_apis/projects/([^/?]+)(\?|$)`)
)

// TestReplay reads every recorded answer that belongs to a call this client makes.
// What is not ours yet is counted, so that nothing is passed over unseen.
func TestReplay(t *testing.T) {
	t.Parallel()
	played := make(map[string]int)
	for _, one := range recordings(t) {
		request := one.Request
		var kind string
		switch p := request.Path; {
		case itemPath.MatchString(p) && request.Method == http.MethodDelete:
			kind = "error without JSON"
			t.Run(one.name, func(t *testing.T) {
				t.Parallel()
				_, err := one.client(t, "P").SetState(t.Context(), 1, 0, "x")
				wantKind(t, err, fault.Misconfigured)
				if !strings.Contains(err.Error(), "The controller for path") || !strings.Contains(err.Error(), one.Response.Headers["activityid"]) {
					t.Errorf("the log is not told: %v", err)
				}
			})
		case itemPath.MatchString(p):
			kind = "work item " + request.Method
			t.Run(one.name, func(t *testing.T) { t.Parallel(); replayItem(t, one) })
		case createPath.MatchString(p):
			kind = "create"
			t.Run(one.name, func(t *testing.T) { t.Parallel(); replayCreate(t, one) })
		case strings.Contains(p, "/_apis/wit/workItems?"):
			kind = "batch"
			t.Run(one.name, func(t *testing.T) { t.Parallel(); replayBatch(t, one) })
		case strings.Contains(p, "/_apis/wit/wiql"):
			kind = "query"
			t.Run(one.name, func(t *testing.T) { t.Parallel(); replayQuery(t, one) })
		case strings.HasSuffix(p, "/_apis/ConnectionData"):
			kind = "connection data"
			t.Run(one.name, func(t *testing.T) { t.Parallel(); replayIdentity(t, one) })
		case projectPath.MatchString(p) && request.Method == http.MethodGet:
			kind = "project"
			t.Run(one.name, func(t *testing.T) { t.Parallel(); replayProject(t, one) })
		case strings.Contains(p, "/_apis/Identities?searchFilter=General"):
			kind = "identities"
			t.Run(one.name, func(t *testing.T) { t.Parallel(); replayPerson(t, one) })
		default:
			// Lists of projects, creating and deleting projects and teams, relation types
			// and other identity reads: no call of this client answers to them.
			kind = "not ours"
		}
		played[kind]++
	}
	want := map[string]int{
		"work item GET": 29, "work item PATCH": 4, "create": 6, "batch": 2, "query": 4, "connection data": 1,
		"project": 22, "identities": 13, "error without JSON": 1, "not ours": 122 - 82,
	}
	if diff := cmp.Diff(want, played); diff != "" {
		t.Error(diff)
	}
}

func replayItem(t *testing.T, one interaction) {
	t.Helper()
	var want recordedItem
	decode(t, one.Response.Body, &want)
	project, _ := want.Fields["System.TeamProject"].(string)
	if project == "" {
		project = "P"
	}
	c := one.client(t, project)
	got, err := c.WorkItem(t.Context(), want.ID)
	if one.Request.Method == http.MethodPatch {
		got, err = c.SetState(t.Context(), want.ID, 0, "x")
	}
	if err != nil {
		t.Fatal(err)
	}
	want.matches(t, got)
}

func replayCreate(t *testing.T, one interaction) {
	t.Helper()
	project := createPath.FindStringSubmatch(one.Request.Path)[1]
	var wrote []op
	decode(t, one.Request.Body, &wrote)
	d := item.Draft{Type: "Task", Mark: mark, TicketURL: ticketURL}
	for _, o := range wrote {
		value, ok := o.Value.(string)
		if !ok {
			t.Fatalf("recorded value is %T", o.Value)
		}
		d.Fields = append(d.Fields, item.FieldValue{Reference: strings.TrimPrefix(o.Path, "/fields/"), Value: value})
	}
	var sent []op
	c, err := azuredevops.New(azuredevops.Options{
		ProjectURL: "https://dev.azure.com/contoso/" + project, Now: clock,
		Credential: azuredevops.PAT(func() (string, error) { return pat, nil }),
		Base: replies(func(r *http.Request) *http.Response {
			if !strings.EqualFold(r.URL.Path, strings.Split(one.Request.Path, "?")[0]) || r.Method != one.Request.Method {
				t.Errorf("called %s %s, recorded is %s", r.Method, r.URL, one.Request.Path)
			}
			if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
				t.Error(err)
			}
			return one.answer()
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Create(t.Context(), d)
	if diff := cmp.Diff(wrote, sent[:len(wrote)]); diff != "" || len(sent) != len(wrote)+2 {
		t.Errorf("beside mark and hyperlink the recorded patch is sent: %s", diff)
	}
	if one.Response.Status != http.StatusOK {
		wantKind(t, err, fault.Misconfigured)
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var want recordedItem
	decode(t, one.Response.Body, &want)
	want.matches(t, got)
}

func replayBatch(t *testing.T, one interaction) {
	t.Helper()
	var want struct{ Value []recordedItem }
	decode(t, one.Response.Body, &want)
	got, err := one.client(t, "P").WorkItems(t.Context(), []int64{1})
	if err != nil || len(got) != len(want.Value) {
		t.Fatalf("got %d of %d items, %v", len(got), len(want.Value), err)
	}
	for n, w := range want.Value {
		w.matches(t, got[n])
	}
}

// replayQuery follows a recorded query into the batch read of what it found.
func replayQuery(t *testing.T, one interaction) {
	t.Helper()
	var want struct{ WorkItems []struct{ ID int64 } }
	decode(t, one.Response.Body, &want)
	var read []int64
	c := over(t, replies(func(r *http.Request) *http.Response {
		if strings.HasSuffix(r.URL.Path, "/wiql") {
			return one.answer()
		}
		var body struct{ IDs []int64 }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		read = body.IDs
		var items []string
		for _, id := range body.IDs {
			items = append(items, marked(int(id), mark, ticketURL))
		}
		return plainAnswer(http.StatusOK, []byte(`{"value":[`+strings.Join(items, ",")+`]}`))
	}))
	got, err := c.FindByMark(t.Context(), mark, ticketURL)
	if err != nil || len(got) != len(want.WorkItems) {
		t.Fatalf("found %d of %d, %v", len(got), len(want.WorkItems), err)
	}
	for _, w := range want.WorkItems {
		if !slices.Contains(read, w.ID) {
			t.Errorf("%d was found but not read", w.ID)
		}
	}
}

func replayIdentity(t *testing.T, one interaction) {
	t.Helper()
	who, err := one.client(t, "P").Identity(t.Context())
	// The header of the same answer carries the id too.
	id, _, _ := strings.Cut(one.Response.Headers["x-vss-userdata"], ":")
	if err != nil || id == "" || who.ID != id || who.Account != "user1@contoso.com" {
		t.Errorf("got %+v, %v; want id %s", who, err, id)
	}
}

// replayPerson finds in a recorded search whoever a strict reading finds there.
func replayPerson(t *testing.T, one interaction) {
	t.Helper()
	type property struct {
		Value string `json:"$value"`
	}
	var answer struct {
		Value []struct {
			ID                  string              `json:"id"`
			ProviderDisplayName string              `json:"providerDisplayName"`
			CustomDisplayName   string              `json:"customDisplayName"`
			IsActive            bool                `json:"isActive"`
			Properties          map[string]property `json:"properties"`
		}
	}
	decode(t, one.Response.Body, &answer)
	_, query, _ := strings.Cut(one.Request.Path, "?")
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	name := values.Get("filterValue")
	var want []item.Identity
	for _, p := range answer.Value {
		account := p.Properties["Account"].Value
		if p.IsActive && p.Properties["SchemaClassName"].Value == "User" && strings.EqualFold(account, name) {
			shown := p.CustomDisplayName
			if shown == "" {
				shown = p.ProviderDisplayName
			}
			want = append(want, item.Identity{ID: p.ID, UniqueName: account, DisplayName: shown})
		}
	}
	c := one.client(t, "P")
	got, found, err := c.FindIdentity(t.Context(), name)
	if one.Response.Status != http.StatusOK {
		t.Logf("%d for %s: %v %v", one.Response.Status, name, found, err)
		if found {
			t.Errorf("found %+v in a refusal", got)
		}
		return
	}
	if err != nil || found != (len(want) == 1) || (found && got != want[0]) {
		t.Errorf("%s: got %+v, %v, %v; want %+v", name, got, found, err, want)
	}
}

func replayProject(t *testing.T, one interaction) {
	t.Helper()
	name := projectPath.FindStringSubmatch(one.Request.Path)[1]
	c := one.client(t, name)
	var want struct{ ID, Name string }
	decode(t, one.Response.Body, &want)
	p, err := c.Project(t.Context())
	if err != nil || p.ID != want.ID || p.Name != want.Name {
		t.Errorf("got %+v, %v", p, err)
	}
	if match, known := c.Covers("https://dev.azure.com/contoso/", want.ID, ""); !match || !known {
		t.Errorf("Covers its own project: %v, %v", match, known)
	}
}

// TestRestFixtures: real answers of another organisation, values blanked upstream.
func TestRestFixtures(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]item.WorkItem{
		"work_item_create.json": {}, "work_item_update.json": {},
		"work_item_get.json": {
			ID: 12, Rev: 7, Project: "DevOpsDemo", Elsewhere: true, Type: "Issue", State: "To Do", Title: "DevOpsDemo", Tags: []string{"test2"}, CommentCount: 3,
			StateChanged: time.Date(2023, 6, 27, 12, 16, 4, 840e6, time.UTC), URL: "https://dev.azure.com/contoso/DevOpsDemo/_workitems/edit/12",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(shared(t, "fixtures", "azure-devops", "rest", name))
			if err != nil {
				t.Fatal(err)
			}
			c := over(t, replies(func(*http.Request) *http.Response { return plainAnswer(http.StatusOK, body) }))
			got, err := c.WorkItem(t.Context(), 12)
			if err != nil {
				t.Fatal(err)
			}
			if want.ID == 0 {
				if got.State == "" || got.Project == "" || got.StateChanged.IsZero() {
					t.Errorf("got %+v", got)
				}
				return
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestSpecExamples decodes the examples of Microsoft's specification.
func TestSpecExamples(t *testing.T) {
	t.Parallel()
	dir := shared(t, "specs", "azure-devops", "wit", "httpExamples")
	example := func(t *testing.T, file string) (int, json.RawMessage) {
		t.Helper()
		data, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		var e struct {
			Responses map[string]struct{ Body json.RawMessage }
		}
		decode(t, data, &e)
		if r, ok := e.Responses["200"]; ok {
			return 200, r.Body
		}
		return 0, nil
	}
	client := func(t *testing.T, body []byte) *azuredevops.Client {
		t.Helper()
		return over(t, replies(func(*http.Request) *http.Response { return plainAnswer(http.StatusOK, body) }))
	}
	items, err := filepath.Glob(filepath.Join(dir, "workItems", "*.json"))
	if err != nil || len(items) < 20 {
		t.Fatalf("%d examples, %v", len(items), err)
	}
	single, lists := 0, 0
	for _, file := range items {
		status, body := example(t, path.Join("workItems", filepath.Base(file)))
		var list struct{ Value []recordedItem }
		var one recordedItem
		switch {
		case status == 0:
		case json.Unmarshal(body, &list) == nil && len(list.Value) > 0:
			lists++
			got, err := client(t, body).WorkItems(t.Context(), []int64{1})
			if err != nil || len(got) != len(list.Value) {
				t.Errorf("%s: %d of %d, %v", filepath.Base(file), len(got), len(list.Value), err)
			}
		case json.Unmarshal(body, &one) == nil && one.ID > 0:
			single++
			got, err := client(t, body).WorkItem(t.Context(), one.ID)
			if err != nil || got.ID != one.ID || got.Rev != one.Rev || got.State != one.Fields["System.State"] {
				t.Errorf("%s: %+v, %v", filepath.Base(file), got, err)
			}
		default:
			t.Logf("%s is neither an item nor a list", filepath.Base(file))
		}
	}
	if single < 18 || lists < 6 {
		t.Errorf("%d items and %d lists were read", single, lists)
	}
	for name, check := range map[string]func(t *testing.T, body json.RawMessage){
		"workItemTypes/GET__wit_workItemTypes_Bug.json": func(t *testing.T, body json.RawMessage) {
			t.Helper()
			c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Path, "/states") {
					_, states := example(t, "workItemTypeStates/GET__workitem_type_states.json")
					body = states
				}
				answerJSON(w, http.StatusOK, string(body))
			})
			kind, err := c.Type(t.Context(), "Bug")
			if err != nil || len(kind.States) != 5 || kind.States[2] != (item.State{Name: "CustomState", Category: "InProgress"}) ||
				!slices.Equal(kind.Transitions[""], []string{"New"}) || !slices.Contains(kind.Transitions["Active"], "Resolved") || slices.Contains(kind.Transitions["Active"], "Active") {
				t.Errorf("got %+v, %v", kind, err)
			}
		},
		"workItemTypes/GET__wit_workItemTypes.json": func(t *testing.T, body json.RawMessage) {
			t.Helper()
			names, err := client(t, body).Types(t.Context())
			if err != nil || !slices.Contains(names, "Bug") || !slices.Contains(names, "Task") {
				t.Errorf("got %v, %v", names, err)
			}
		},
		"workItemTypesField/GET__workItemType_fields_expand.json": func(t *testing.T, body json.RawMessage) {
			t.Helper()
			_, catalogue := example(t, "fields/GET__wit_fields.json")
			c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "workitemtypes") {
					answerJSON(w, http.StatusOK, string(body))
					return
				}
				answerJSON(w, http.StatusOK, string(catalogue))
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
		},
		"recycleBin/GET__wit_recyclebin__id_.json": func(t *testing.T, body json.RawMessage) {
			t.Helper()
			c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "recyclebin") {
					answerJSON(w, http.StatusOK, string(body))
					return
				}
				answerJSON(w, http.StatusNotFound, missing)
			})
			got, err := c.WorkItem(t.Context(), 72)
			if err != nil || !got.Deleted || got.ID != 72 || got.State != "New" || got.Type != "Product Backlog Item" {
				t.Errorf("got %+v, %v", got, err)
			}
		},
		"workItemsBatch/POST__wit_WorkItemsBatch_ids-_ids__fields-_columns_.json": func(t *testing.T, body json.RawMessage) {
			t.Helper()
			got, err := client(t, body).WorkItems(t.Context(), []int64{297, 299, 300})
			if err != nil || len(got) != 3 || got[1].ID != 299 || got[1].Rev != 7 || got[1].Type != "Task" {
				t.Errorf("got %+v, %v", got, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status, body := example(t, name)
			if status != 200 {
				t.Fatal("the example has no 200")
			}
			check(t, body)
		})
	}
}
