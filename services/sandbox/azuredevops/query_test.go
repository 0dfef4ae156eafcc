package azuredevops_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
)

// ids runs a query and gives the ids found.
func (w *world) ids(path, query string) []int {
	w.t.Helper()
	r := w.must(200, "POST", path, map[string]string{"query": query})
	out := []int{}
	for _, v := range r.list("workItems") {
		n, _ := walk(v, "id").(float64)
		out = append(out, int(n))
	}
	return out
}

func TestWIQL(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.task("Printer is broken", add("System.Tags", "ALVAO-1; urgent"), add("System.AreaPath", `Alvaoproject\Web\Shop`), add("Microsoft.VSTS.Common.Priority", 1)) // 1
	w.task("It's Jana's printer", add("System.Tags", "ALVAO-12"), add("System.AssignedTo", jana), add("System.Description", "paper jam, twice"))                  // 2
	w.must(200, "POST", bugURL, []op{title("Printer in another project"), add("System.Tags", "alvao-1")})                                                         // 3
	w.task("deleted", add("System.Tags", "ALVAO-1"))                                                                                                              // 4
	if err := w.As(jana).Delete(4); err != nil {
		t.Fatal(err)
	}
	if _, err := w.As(jana).SetState(2, "Doing"); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		where string
		want  []int
	}{
		{"", []int{1, 2, 3}},
		{"[System.Tags] CONTAINS 'ALVAO-1'", []int{1, 3}},
		{"[System.Tags] CONTAINS 'ALVAO'", []int{}},
		{"[System.Tags] NOT CONTAINS 'ALVAO-1'", []int{2}},
		{"[System.TeamProject] = @project AND [System.Tags] CONTAINS 'alvao-1'", []int{1}},
		{"[System.Tags] CONTAINS 'ALVAO-12' OR [System.Tags] CONTAINS 'ALVAO-1'", []int{1, 2, 3}},
		{"[System.Tags] CONTAINS 'ALVAO-12' OR [System.State] = 'To Do'", []int{1, 2}},
		{"[System.Title] CONTAINS 'PRINTER' AND NOT [System.TeamProject] <> 'Alvaoproject'", []int{1, 2}},
		{"[System.Title] CONTAINS 'It''s'", []int{2}},
		{`[System.Title] = "It's Jana's printer"`, []int{2}},
		{"[System.Description] CONTAINS WORDS 'jam paper'", []int{2}},
		{"[System.Description] CONTAINS WORDS 'jam scissors'", []int{}},
		{"[System.Id] IN (3, 1, 4711)", []int{1, 3}},
		{"([System.Id] = 2 OR [System.Id] = 3)", []int{2, 3}},
		{"[System.Id] NOT IN (2)", []int{1, 3}},
		{"[System.Id] >= 2 AND [System.Id] < 3", []int{2}},
		{"[System.State] <> 'To Do'", []int{2, 3}},
		{"[System.State] EVER 'To Do'", []int{1, 2}},
		{"[System.State] IN ('Doing', 'Done')", []int{2}},
		{"[System.AssignedTo] = '" + jana + "'", []int{2}},
		{"[Assigned To] = 'Jana Dvořáková'", []int{2}},
		{"[System.AssignedTo] = ''", []int{1, 3}},
		{"[System.AssignedTo] IS EMPTY", []int{1, 3}},
		{"[System.AssignedTo] IS NOT EMPTY", []int{2}},
		{"[System.CreatedBy] = @me", []int{1, 2, 3}},
		{`[System.AreaPath] UNDER 'Alvaoproject\Web'`, []int{1}},
		{`[System.AreaPath] UNDER 'Alvaoproject'`, []int{1, 2}},
		{`[System.AreaPath] NOT UNDER 'Alvaoproject'`, []int{3}},
		{"[Microsoft.VSTS.Common.Priority] < 2", []int{1}},
		{"[System.ChangedDate] >= @today - 1", []int{1, 2, 3}},
		{"[System.ChangedDate] > @today + 1", []int{}},
		{"[System.ChangedDate] >= '2001-01-01'", []int{1, 2, 3}},
	}
	for _, c := range cases {
		query := "SELECT [System.Id] FROM WorkItems"
		if c.where != "" {
			query += " WHERE " + c.where
		}
		if diff := cmp.Diff(c.want, w.ids("/Alvaoproject/_apis/wit/wiql", query)); diff != "" {
			t.Errorf("%s: %s", c.where, diff)
		}
	}
	if got := w.ids("/_apis/wit/wiql?$top=2", "Select System.Id From workitems order by [System.Title] desc, [System.Id]"); !cmp.Equal(got, []int{1, 3}) {
		t.Errorf("ordered: %v", got)
	}
	for _, bad := range []string{
		"", "SELECT", "SELECT [System.Id] FROM WorkItemLinks", "SELECT [System.Id] FROM WorkItems WHERE", "SELECT [System.Id] FROM WorkItems WHERE [System.Id",
		"SELECT [System.Id] FROM WorkItems WHERE [Nope] = 1", "SELECT [Nope] FROM WorkItems", "SELECT [System.Id] FROM WorkItems WHERE [System.Title] = 'x",
		"SELECT [System.Id] FROM WorkItems WHERE [System.Id] = 'x'", "SELECT [System.Id] FROM WorkItems WHERE [System.Title] UNDER 'x'",
		"SELECT [System.Id] FROM WorkItems WHERE [System.Description] CONTAINS 'x'", "SELECT [System.Id] FROM WorkItems extra",
		"SELECT [System.Id] FROM WorkItems WHERE [System.TeamProject] = @project", "SELECT [System.Id] FROM WorkItems WHERE [System.ChangedDate] > 'soon'",
		"SELECT [System.Id] FROM WorkItems WHERE " + strings.Repeat("(", 200) + "[System.Id] = 1",
	} {
		w.must(400, "POST", "/_apis/wit/wiql", map[string]string{"query": bad})
	}
}

func TestWIQLDatesNeedTimePrecision(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := setup(t, func(o *azuredevops.Options) { o.Now = func() time.Time { return now } })
	w.task("noon")
	now = now.Add(time.Hour)
	w.task("one o'clock")
	const query = "SELECT [System.Id] FROM WorkItems WHERE [System.ChangedDate] >= '2026-03-01T12:30:00Z'"
	r := w.must(400, "POST", "/_apis/wit/wiql", map[string]string{"query": query})
	if !strings.HasPrefix(r.text("message"), "You cannot supply a time with the date") {
		t.Errorf("%s", r.raw)
	}
	if got := w.ids("/_apis/wit/wiql?timePrecision=true", query); !cmp.Equal(got, []int{2}) {
		t.Errorf("%v", got)
	}
	if got := w.ids("/_apis/wit/wiql", "SELECT [System.Id] FROM WorkItems WHERE [System.ChangedDate] = '2026-03-01'"); !cmp.Equal(got, []int{1, 2}) {
		t.Errorf("%v", got)
	}
}

// The lag is modelled: the real one is not documented.
func TestNewItemsAreInvisibleToWIQLForAWhile(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	w := setup(t, func(o *azuredevops.Options) {
		o.Now = func() time.Time { return now }
		o.IndexLag = 5 * time.Second
		o.Limits.QueryResults = 1
	})
	id := w.task("x", add("System.Tags", "ALVAO-1"))
	const query = "SELECT [System.Id] FROM WorkItems WHERE [System.Tags] CONTAINS 'ALVAO-1'"
	if got := w.ids("/_apis/wit/wiql", query); len(got) != 0 {
		t.Errorf("visible at once: %v", got)
	}
	w.must(200, "GET", w.item(id), nil)
	now = now.Add(5 * time.Second)
	if got := w.ids("/_apis/wit/wiql", query); !cmp.Equal(got, []int{id}) {
		t.Errorf("still invisible: %v", got)
	}
	w.SetIndexLag(0)
	w.task("y", add("System.Tags", "ALVAO-1"))
	if r := w.must(400, "POST", "/_apis/wit/wiql", map[string]string{"query": query}); !strings.HasPrefix(r.text("message"), "VS402337: ") {
		t.Errorf("%s", r.raw)
	}
}

func TestPartialTagsQuirk(t *testing.T) {
	t.Parallel()
	w := setup(t, func(o *azuredevops.Options) { o.Quirks.PartialTags = true })
	w.task("x", add("System.Tags", "ALVAO-12"))
	if got := w.ids("/_apis/wit/wiql", "SELECT [System.Id] FROM WorkItems WHERE [System.Tags] CONTAINS 'ALVAO-1'"); len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestReadingMany(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for i := range 3 {
		w.task(strconv.Itoa(i))
	}
	r := w.must(200, "GET", "/_apis/wit/workitems?ids=3,1&fields=System.Title,System.AssignedTo", nil)
	if r.get("count") != 2.0 || r.get("value", 0, "id") != 3.0 || len(r.object("value", 0, "fields")) != 1 {
		t.Errorf("%s", r.raw)
	}
	w.must(404, "GET", "/_apis/wit/workitems?ids=1,4711", nil)
	r = w.must(200, "POST", "/_apis/wit/workitemsbatch", map[string]any{"ids": []int{1, 4711, 2}, "errorPolicy": "Omit", "$expand": "Relations"})
	if r.get("value", 1) != nil || r.get("value", 2, "id") != 2.0 {
		t.Errorf("%s", r.raw)
	}
	w.must(404, "POST", "/_apis/wit/workitemsbatch", map[string]any{"ids": []int{1, 4711}})
	ids := make([]int, 201)
	for i := range ids {
		ids[i] = i + 1
	}
	if r = w.must(400, "POST", "/_apis/wit/workitemsbatch", map[string]any{"ids": ids, "errorPolicy": "omit"}); !strings.HasPrefix(r.text("message"), "VS403474: ") {
		t.Errorf("%s", r.raw)
	}
	w.must(200, "POST", "/_apis/wit/workitemsbatch", map[string]any{"ids": ids[:200], "errorPolicy": 2, "fields": []string{"System.Rev"}})
	if r = w.must(400, "GET", "/_apis/wit/workitems/1?fields=System.Title&$expand=all", nil); r.get("typeKey") != "ConflictingParametersException" {
		t.Errorf("%s", r.raw)
	}
	w.must(400, "GET", "/_apis/wit/workitems/1?fields=Nope", nil)
}

func TestReporting(t *testing.T) {
	t.Parallel()
	w := setup(t)
	a, b := w.task("a"), w.task("b")
	doc := func(path string) response {
		return w.must(200, "GET", "/Alvaoproject/_apis/wit/reporting/workitemrevisions"+path, nil)
	}
	rows := func(r response) []string {
		out := []string{}
		for _, v := range r.list("values") {
			out = append(out, fmt.Sprintf("%v.%v", walk(v, "id"), walk(v, "rev")))
		}
		return out
	}
	first := doc("?$maxPageSize=1")
	if !cmp.Equal(rows(first), []string{"1.1"}) || first.get("isLastBatch") != false {
		t.Errorf("%s", first.raw)
	}
	if _, err := w.As(jana).SetState(a, "Doing"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.As(jana).Comment(b, "hi", ""); err != nil {
		t.Fatal(err)
	}
	second := doc("?continuationToken=" + first.text("continuationToken"))
	if !cmp.Equal(rows(second), []string{"2.1", "1.2", "2.2"}) || second.get("isLastBatch") != true {
		t.Errorf("%s", second.raw)
	}
	if got := second.get("values", 1, "fields", "System.ChangedBy"); got != "Jana Dvořáková <"+jana+">" {
		t.Errorf("changed by %v", got)
	}
	if got := rows(doc("?includeLatestOnly=true")); !cmp.Equal(got, []string{"1.2", "2.2"}) {
		t.Errorf("latest only: %v", got)
	}
	if got := rows(w.must(200, "GET", "/_apis/wit/reporting/workItemRevisions/discussions", nil)); !cmp.Equal(got, []string{"2.2"}) {
		t.Errorf("discussions: %v", got)
	}
	end := second.text("continuationToken")
	if r := doc("?continuationToken=" + end); len(rows(r)) != 0 || r.get("continuationToken") != end {
		t.Errorf("%s", r.raw)
	}
	if err := w.As(jana).Delete(a); err != nil {
		t.Fatal(err)
	}
	if got := rows(doc("?continuationToken=" + end)); len(got) != 0 {
		t.Errorf("deleted without asking: %v", got)
	}
	r := w.must(200, "POST", "/Alvaoproject/_apis/wit/reporting/workitemrevisions?continuationToken="+end, map[string]any{"includeDeleted": true, "fields": []string{"System.IsDeleted"}, "types": []string{"Task"}})
	if !cmp.Equal(rows(r), []string{"1.3"}) || r.get("values", 0, "fields", "System.IsDeleted") != true {
		t.Errorf("%s", r.raw)
	}
	if got := rows(doc("?startDateTime=2099-01-01T00:00:00Z")); len(got) != 0 {
		t.Errorf("%v", got)
	}
	w.must(400, "GET", "/_apis/wit/reporting/workitemrevisions?continuationToken=x", nil)
}

func FuzzWIQL(f *testing.F) {
	for _, seed := range []string{
		"SELECT [System.Id] FROM WorkItems WHERE [System.Tags] CONTAINS 'ALVAO-1' AND NOT ([System.State] IN ('a','b') OR [System.Id] > 3) ORDER BY [System.Id] DESC",
		"SELECT System.Id FROM WorkItems WHERE [System.ChangedDate] >= @today-3 ASOF '2020-01-01'", "select '' [ ]", "@", "SELECT [a] FROM WorkItems WHERE NOT NOT NOT [a] IS NOT EMPTY",
	} {
		f.Add(seed)
	}
	s := azuredevops.New(azuredevops.Options{})
	f.Cleanup(func() { _ = s.Close() })
	w := &world{Server: s}
	f.Fuzz(func(t *testing.T, query string) {
		if status := w.direct(t, "POST", "/contoso/Alvaoproject/_apis/wit/wiql?api-version=7.1", map[string]string{"query": query}); status != 200 && status != 400 {
			t.Errorf("%q: %d", query, status)
		}
	})
}

func FuzzPatch(f *testing.F) {
	for _, seed := range []string{
		`[{"op":"add","path":"/fields/System.Title","value":"x"},{"op":"test","path":"/rev","value":1}]`,
		`[{"op":5,"path":"/id","value":"x"},{"op":"remove","path":"/relations/0"},{"op":"add","path":"/relations/-","value":{"rel":"Hyperlink","url":"http://x/"}}]`,
		`[{"op":"replace","path":"/multilineFieldsFormat/System.Description","value":"Markdown"},{"op":"add","path":"/fields/System.Description","value":[1]}]`,
		`[{"op":"add","path":"/relations/0/attributes/comment","value":"c"},{"op":"add","path":"/fields/System.WorkItemType","value":"Issue"}]`,
		`[null]`, `{}`, `[{"op":"add","path":"~1","value":{}}]`,
	} {
		f.Add(seed)
	}
	s := azuredevops.New(azuredevops.Options{})
	f.Cleanup(func() { _ = s.Close() })
	item, err := s.As(jana).Create("Alvaoproject", "Task", "x")
	if err != nil {
		f.Fatal(err)
	}
	w := &world{Server: s}
	f.Fuzz(func(t *testing.T, body string) {
		for path, method := range map[string]string{
			fmt.Sprintf("/contoso/_apis/wit/workitems/%d", item.ID): "PATCH", "/contoso/Alvaoproject/_apis/wit/workitems/$Task": "POST",
		} {
			if status := w.direct(t, method, path+"?api-version=7.1&validateOnly=true", body); status >= 500 {
				t.Errorf("%q: %d", body, status)
			}
		}
	})
}
