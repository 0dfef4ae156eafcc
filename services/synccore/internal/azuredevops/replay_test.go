package azuredevops_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"os"
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
		Headers            map[string]string
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
		Rel, URL   string
		Attributes struct {
			Name, Comment                       string
			ResourceSize                        *int64
			AuthorizedDate, ResourceCreatedDate time.Time
		}
	} `json:"relations"`
	URL string `json:"url"`
}

func (r recordedItem) matches(t *testing.T, got item.WorkItem) {
	t.Helper()
	got.Elsewhere = false // recordings and examples are of many projects
	text := func(name string) string {
		s, ok := r.Fields[name].(string)
		if !ok && r.Fields[name] != nil {
			t.Errorf("recorded %s is %T", name, r.Fields[name])
		}
		return s
	}
	want := item.WorkItem{
		ID: r.ID, Rev: r.Rev, Project: text("System.TeamProject"), Type: text("System.WorkItemType"),
		State: text("System.State"), Title: text("System.Title"), Deleted: got.Deleted, Elsewhere: got.Elsewhere, URL: got.URL, CommentCount: -1,
	}
	if count, ok := r.Fields["System.CommentCount"].(float64); ok {
		want.CommentCount = int64(count)
	}
	if tags := text("System.Tags"); tags != "" {
		want.Tags = strings.Split(tags, "; ")
	}
	for _, relation := range r.Relations {
		switch a := relation.Attributes; relation.Rel {
		case "Hyperlink":
			want.Hyperlinks = append(want.Hyperlinks, relation.URL)
		case "AttachedFile":
			id := attachmentID.FindString(relation.URL)
			file := item.Attachment{ID: id, Name: a.Name, Size: -1, URL: relation.URL, Added: a.AuthorizedDate, Comment: a.Comment}
			if a.ResourceSize != nil {
				file.Size = *a.ResourceSize
			}
			want.Attachments = append(want.Attachments, file)
		}
	}
	// Only an object with an id tells who it is; a text names somebody who can't be told from another.
	if who, ok := r.Fields["System.ChangedBy"].(map[string]any); ok && who["id"] != nil {
		id, isText := who["id"].(string)
		if !isText {
			t.Errorf("recorded identity id is %T", who["id"])
		}
		want.ChangedBy = id
	}
	at := func(name string) time.Time {
		when := text(name)
		if when == "" {
			return time.Time{}
		}
		parsed, err := time.Parse(time.RFC3339Nano, when)
		if err != nil {
			t.Errorf("recorded time: %v", err)
		}
		return parsed
	}
	want.Changed, want.StateChanged = at("System.ChangedDate"), at("Microsoft.VSTS.Common.StateChangeDate")
	if want.StateChanged.IsZero() {
		want.StateChanged = want.Changed
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

var (
	attachmentID = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)

	itemPath    = regexp.MustCompile(`/_apis/wit/workItems/(\d+)(\?|$)`)
	createPath  = regexp.MustCompile(`/([^/]+)/_apis/wit/workItems/\$Task`)
	projectPath = regexp.MustCompile(`/_apis/projects/([^/?]+)(\?|$)`)
)

// notOurs are recorded calls that this client has no counterpart of, with the reason.
func notOurs() []struct{ call, reason string } {
	return []struct{ call, reason string }{
		{`POST /contoso/_apis/projects`, "Tandem makes no projects"},
		{`DELETE /contoso/_apis/projects/[0-9a-f-]{36}`, "Tandem removes no projects"},
		{`POST /contoso/_apis/projects/[^/]+/teams`, "Tandem makes no teams"},
		{`GET /contoso/_apis/projects(\?stateFilter=all)?`, "the project stands in the settings and is read by its name"},
		{`GET /contoso/_apis/wit/workItemRelationTypes`, "the two relations that Tandem writes exist everywhere"},
	}
}

// notOurWrites are recorded patches whose answer is read here, but which are never sent.
const notOurWrites = "/relations/"

// TestReplay plays every recorded interaction: as the answer to the call of this client that it belongs to, and where
// the client makes the same write, as the request that must come out. What it has no call for is listed with a reason;
// an interaction that is neither covered nor listed fails.
func TestReplay(t *testing.T) {
	t.Parallel()
	played, listed := make(map[string]int), make(map[string]int)
	play := func(kind string, one interaction, how func(*testing.T, interaction)) {
		played[kind]++
		t.Run(one.name, func(t *testing.T) { t.Parallel(); how(t, one) })
	}
	all := recordings(t)
	for _, one := range all {
		request := one.Request
		switch p := request.Path; {
		case itemPath.MatchString(p) && request.Method == http.MethodDelete:
			play("error without JSON", one, replayNoRoute)
		case itemPath.MatchString(p):
			play("work item "+request.Method, one, replayItem)
		case createPath.MatchString(p):
			play("create", one, replayCreate)
		case strings.Contains(p, "/_apis/wit/workItems?"):
			play("batch", one, replayBatch)
		case strings.Contains(p, "/_apis/wit/wiql"):
			play("query", one, replayQuery)
		case strings.HasSuffix(p, "/_apis/ConnectionData"):
			play("connection data", one, replayIdentity)
		case projectPath.MatchString(p) && request.Method == http.MethodGet:
			play("project", one, replayProject)
		case strings.Contains(p, "/_apis/Identities?searchFilter="):
			play("identities", one, replayPerson)
		default:
			call := request.Method + " " + p
			at := slices.IndexFunc(notOurs(), func(n struct{ call, reason string }) bool {
				return regexp.MustCompile("^" + n.call + "$").MatchString(call)
			})
			if at < 0 {
				t.Errorf("%s: %s is neither covered nor listed", one.name, call)
				continue
			}
			listed[notOurs()[at].reason]++
		}
	}
	want := map[string]int{
		"work item GET": 29, "work item PATCH": 4, "create": 6, "batch": 2, "query": 4, "connection data": 1,
		"project": 22, "identities": 15, "error without JSON": 1,
	}
	if diff := cmp.Diff(want, played); diff != "" {
		t.Error(diff)
	}
	covered, left := 0, 0
	for _, n := range played {
		covered += n
	}
	for _, n := range listed {
		left += n
	}
	for _, n := range notOurs() {
		if listed[n.reason] == 0 {
			t.Errorf("listed but not recorded: %s", n.call)
		}
	}
	t.Logf("%d of %d recorded interactions covered: %v; %d listed: %v", covered, len(all), played, left, listed)
	if covered+left != len(all) || len(all) != 122 {
		t.Errorf("%d covered and %d listed of %d", covered, left, len(all))
	}
}

func replayNoRoute(t *testing.T, one interaction) {
	t.Helper()
	_, err := one.client(t, "P").SetState(t.Context(), 1, 0, "x")
	wantKind(t, err, fault.Misconfigured)
	if !strings.Contains(err.Error(), "The controller for path") || !strings.Contains(err.Error(), one.Response.Headers["activityid"]) {
		t.Errorf("the log is not told: %v", err)
	}
}

func replayItem(t *testing.T, one interaction) {
	t.Helper()
	var want recordedItem
	decode(t, one.Response.Body, &want)
	patched := one.Request.Method == http.MethodPatch
	if patched {
		// The write itself is none of ours: only links between work items are recorded.
		var wrote []op
		decode(t, one.Request.Body, &wrote)
		for _, o := range wrote {
			if !strings.HasPrefix(o.Path, notOurWrites) || strings.Contains(string(one.Request.Body), "Hyperlink") || strings.Contains(string(one.Request.Body), "AttachedFile") {
				t.Errorf("a recorded write that Tandem makes too is not compared: %s", one.Request.Body)
			}
		}
	}
	project, _ := want.Fields["System.TeamProject"].(string)
	if project == "" {
		project = "P"
	}
	read := func(i interaction) item.WorkItem {
		c := i.client(t, project)
		got, err := c.WorkItem(t.Context(), want.ID)
		if patched {
			got, err = c.SetState(t.Context(), want.ID, 0, "x")
		}
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := read(one)
	want.matches(t, got)

	// The same with people as texts, as servers and older versions tell them, and with the relations as hyperlinks,
	// which are those that count: modelled on the recording (azure-devops.md §1.3).
	other := one
	text := personObject.ReplaceAllString(string(one.Response.Body), `"$1 <$2>"`)
	other.Response.Body = json.RawMessage(strings.ReplaceAll(text, `"System.LinkTypes.Hierarchy-Forward"`, `"Hyperlink"`))
	if text == string(one.Response.Body) {
		t.Error("no person was recorded as an object")
	}
	var links []string
	for _, r := range want.Relations {
		if r.Rel == "System.LinkTypes.Hierarchy-Forward" {
			links = append(links, r.URL)
		}
	}
	got.ChangedBy, got.Hyperlinks = "", links
	if diff := cmp.Diff(got, read(other)); diff != "" {
		t.Errorf("with people as texts: %s", diff)
	}

	// A read is sent as it was recorded.
	if _, query, _ := strings.Cut(one.Request.Path, "?"); query == "$expand=relations" {
		c, sent := answering(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, string(one.Response.Body)) })
		if _, err := c.WorkItem(t.Context(), want.ID); err != nil {
			t.Fatal(err)
		}
		r := sent.all()[0]
		if r.method != one.Request.Method || !strings.EqualFold(r.path+"?$expand=relations", one.Request.Path) || r.query != "api-version=7.1&"+query {
			t.Errorf("sent %s %s?%s, recorded %s", r.method, r.path, r.query, one.Request.Path)
		}
	}
}

// personObject finds an identity as recorded; it holds one object of its own, its links.
var personObject = regexp.MustCompile(`\{\s*"displayName":\s*"([^"]*)",(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*"uniqueName":\s*"([^"]*)"(?:[^{}]|\{[^{}]*\})*\}`)

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
			if !sameMedia(r.Header.Get("Content-Type"), one.Request.Headers["content-type"]) {
				t.Errorf("sent as %s, recorded %s", r.Header.Get("Content-Type"), one.Request.Headers["content-type"])
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

func sameMedia(a, b string) bool {
	x, _, errA := mime.ParseMediaType(a)
	y, _, errB := mime.ParseMediaType(b)
	return errA == nil && errB == nil && x == y
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
	if values.Get("searchFilter") == "DirectoryAlias" {
		// Found by another name; here the person is looked for by the user name.
		name = answer.Value[0].Properties["Account"].Value
	}
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
			Changed: time.Date(2023, 6, 27, 20, 8, 38, 163e6, time.UTC), StateChanged: time.Date(2023, 6, 27, 12, 16, 4, 840e6, time.UTC), URL: "https://dev.azure.com/contoso/DevOpsDemo/_workitems/edit/12",
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

// TestCapturedItems reads work items that others captured, some of a Server and with people as texts.
func TestCapturedItems(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(shared(t, "fixtures", "azure-devops", "webhooks", "resources"), "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, file := range files {
		name := filepath.Base(file)
		if strings.HasPrefix(name, "WorkItem.22.Update") {
			continue // what changed, not what is
		}
		read++
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var want recordedItem
			decode(t, bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")), &want)
			got, err := over(t, replies(func(*http.Request) *http.Response { return plainAnswer(http.StatusOK, body) })).WorkItem(t.Context(), want.ID)
			if err != nil {
				t.Fatal(err)
			}
			want.matches(t, got)
		})
	}
	if read != 10 {
		t.Errorf("%d items were read", read)
	}
}
