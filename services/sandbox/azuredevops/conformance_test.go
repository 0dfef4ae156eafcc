package azuredevops_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops/conformtest"
	"github.com/tandem-sync/tandem/services/sandbox/deviationtest"
	"github.com/tandem-sync/tandem/services/sandbox/tape"
)

// exchange is one recorded request and its answer.
type exchange struct {
	Request struct {
		Method, Path string
		Headers      map[string]string
		Body         json.RawMessage
	}
	Response struct {
		Status int
		Body   json.RawMessage
	}
}

// shape reduces JSON to its keys and types. Arrays keep the union of their elements' shapes.
func shape(v any) any {
	switch x := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, e := range x {
			out[k] = shape(e)
		}
		return out
	case []any:
		var all any
		for _, e := range x {
			all = union(all, shape(e))
		}
		return []any{all}
	case nil:
		return "null"
	}
	return fmt.Sprintf("%T", v)
}

func union(a, b any) any {
	x, isX := a.(map[string]any)
	y, isY := b.(map[string]any)
	if !isX || !isY {
		return b
	}
	out := maps.Clone(x)
	for k, v := range y {
		out[k] = union(x[k], v)
	}
	return out
}

func shapeOf(t *testing.T, raw []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v in %s", err, raw)
	}
	return shape(v)
}

// The whole life of four work items with links between them, as the Azure DevOps command line drove it in 2026, played
// again: every answer must have the recorded status, keys and types, and the recorded revisions and relations.
func TestRecordedRelationsReplay(t *testing.T) {
	t.Parallel()
	var tape []exchange
	if err := json.Unmarshal(shared(t, "fixtures/azure-devops/recordings/test_boards_releations_create_remove.json"), &tape); err != nil {
		t.Fatal(err)
	}
	const guid = "d54eda2e-82d5-4ec7-b6ea-bb444a5c6a70"
	w := setup(t, func(o *azuredevops.Options) {
		o.FirstID = 973
		o.Projects = []azuredevops.Project{{Name: "WIRel000001", ID: guid}}
	})
	played := 0
	for i, x := range tape {
		path := strings.TrimPrefix(x.Request.Path, "/contoso")
		if x.Request.Method != http.MethodGet && strings.HasPrefix(path, "/_apis/projects") || strings.HasSuffix(path, "workItemRelationTypes") {
			continue // projects aren't made by REST here; relation types have a test of their own
		}
		played++
		var body any
		if string(x.Request.Body) != "null" {
			body = strings.ReplaceAll(string(x.Request.Body), "https://dev.azure.com/contoso", w.URL())
		}
		r := w.call(x.Request.Method, path, body, "Content-Type", x.Request.Headers["content-type"])
		name := fmt.Sprintf("%d: %s %s", i, x.Request.Method, path)
		if r.status != x.Response.Status {
			t.Fatalf("%s: %d, recorded %d: %s", name, r.status, x.Response.Status, r.raw)
		}
		if diff := cmp.Diff(shapeOf(t, x.Response.Body), shapeOf(t, r.raw)); diff != "" {
			t.Errorf("%s: -recorded +here\n%s", name, diff)
		}
		var want any
		if err := json.Unmarshal(x.Response.Body, &want); err != nil {
			t.Fatal(err)
		}
		for _, path := range [][]any{{"id"}, {"rev"}, {"fields", "System.State"}, {"fields", "System.Reason"}, {"fields", "System.Rev"}, {"fields", "System.RevisedDate"}, {"multilineFieldsFormat"}} {
			if diff := cmp.Diff(walk(want, path...), r.get(path...)); diff != "" {
				t.Errorf("%s: %v: -recorded +here\n%s", name, path, diff)
			}
		}
		recorded, _ := walk(want, "relations").([]any)
		for n := range recorded {
			want, _ := walk(recorded, n, "url").(string)
			if here, _ := r.get("relations", n, "url").(string); here != strings.Replace(want, "https://dev.azure.com/contoso", w.URL(), 1) {
				t.Errorf("%s: relation %d is %s, recorded %s", name, n, here, want)
			}
		}
	}
	if played < 30 {
		t.Errorf("only %d exchanges were played", played)
	}
}

// Shapes of single recorded answers against the same calls here.
func TestRecordedShapes(t *testing.T) {
	t.Parallel()
	w := setup(t, func(o *azuredevops.Options) {
		o.FirstID = 41
		o.Projects = append(o.Projects, azuredevops.Project{Name: "WorkItemCreateShowUpdateDeleteTests"})
	})
	w.must(200, "POST", "/WorkItemCreateShowUpdateDeleteTests/_apis/wit/workitems/$Task", []op{add("System.Title", "Test2")})
	find := func(file, method, part string) exchange {
		var tape []exchange
		if err := json.Unmarshal(shared(t, "fixtures/azure-devops/recordings/"+file+".json"), &tape); err != nil {
			t.Fatal(err)
		}
		for _, x := range tape {
			if x.Request.Method == method && strings.Contains(x.Request.Path, part) {
				return x
			}
		}
		t.Fatalf("no %s %s in %s", method, part, file)
		return exchange{}
	}
	const queryShow, pulls, items = "test_queryShow", "test_pull_request_createUpdateVoteListAbandonReactivateCompleteReviewers", "test_workItemCreateShowUpdateDelete"
	cases := []struct {
		name    string
		x       exchange
		path    string
		missing []string // keys of people that are not modelled
	}{
		{"WIQL", find(queryShow, "POST", "/wiql"), "", nil},
		{"batch by ids", find(queryShow, "GET", "ids=41"), "", nil},
		{"connection data", find(pulls, "GET", "ConnectionData"), "", []string{"customDisplayName"}},
		{"identity search", find(pulls, "GET", "Identities"), "/_apis/Identities?searchFilter=DirectoryAlias&filterValue=tandem", []string{"customDisplayName", "MetadataUpdateDate", "PUID"}},
		{"unknown project", find(items, "POST", "/workItems/$Task"), "/Nowhere/_apis/wit/workItems/$Task", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := c.path
			if path == "" {
				path = strings.TrimPrefix(c.x.Request.Path, "/contoso")
			}
			var body any
			if string(c.x.Request.Body) != "null" {
				body = string(c.x.Request.Body)
			}
			r := w.call(c.x.Request.Method, path, body, "Content-Type", c.x.Request.Headers["content-type"])
			if r.status != c.x.Response.Status {
				t.Fatalf("%d, recorded %d: %s", r.status, c.x.Response.Status, r.raw)
			}
			want := shapeOf(t, c.x.Response.Body)
			prune(want, c.missing)
			if diff := cmp.Diff(want, shapeOf(t, r.raw)); diff != "" {
				t.Errorf("-recorded +here\n%s", diff)
			}
		})
	}
}

// prune removes keys at any depth.
func prune(v any, keys []string) {
	switch x := v.(type) {
	case map[string]any:
		for k, e := range x {
			if slices.Contains(keys, k) {
				delete(x, k)
			} else {
				prune(e, keys)
			}
		}
	case []any:
		for _, e := range x {
			prune(e, keys)
		}
	}
}

// Every operation of the documents that the stand-in has, held against them with a library; the same is done with all
// exchanges of all suites by `make conformance`.
func TestAnswersFitTheOpenAPIDocuments(t *testing.T) {
	t.Parallel()
	documents := conformtest.Load(t)
	ledger := deviationtest.NewLedger(conformtest.Deviations())
	w := setup(t)
	id := w.task("conforming", add("System.Tags", "b; a"), add("System.Description", "<b>x</b>"), add("System.AssignedTo", jana))
	other := w.task("other")
	file := w.must(201, "POST", "/Alvaoproject/_apis/wit/attachments?fileName=a.txt", []byte("hello"))
	item := fmt.Sprintf("/Alvaoproject/_apis/wit/workitems/%d", id)
	w.must(200, "PATCH", item, []op{
		add("System.State", "Doing"), relation("Hyperlink", "https://alvao.example/1"), relation("AttachedFile", file.text("url")),
		relation("System.LinkTypes.Related", fmt.Sprintf("%s/_apis/wit/workitems/%d", w.URL(), other)),
	})
	cm := w.must(200, "POST", item+"/comments?format=markdown", map[string]string{"text": "*hi*"}).id()
	sub := w.must(200, "POST", "/_apis/hooks/subscriptions", hookBody("workitem.updated", "http://127.0.0.1:9/", nil)).text("id")
	w.must(200, "DELETE", fmt.Sprintf("/Alvaoproject/_apis/wit/workitems/%d", other), nil)

	cases := []struct {
		method, path string
		body         any
		operation    string
	}{
		{"GET", item + "?$expand=all", nil, "GET wit/workitems/{id}"},
		{"PATCH", item + "?validateOnly=true", []op{add("System.Title", "y")}, "PATCH wit/workitems/{id}"},
		{"POST", "/Alvaoproject/_apis/wit/workitems/$Task", []op{add("System.Title", "z")}, "POST wit/workitems/${type}"},
		{"GET", fmt.Sprintf("/_apis/wit/workitems?ids=%d&$expand=relations", id), nil, "GET wit/workitems"},
		{"POST", "/_apis/wit/workitemsbatch", map[string]any{"ids": []int{id, 999}, "errorPolicy": "omit", "fields": []string{"System.Rev"}}, "POST wit/workitemsbatch"},
		{"GET", item + "/updates", nil, "GET wit/workItems/{id}/updates"},
		{"GET", item + "/updates/2", nil, "GET wit/workItems/{id}/updates/{updateNumber}"},
		{"GET", item + "/revisions?$expand=all", nil, "GET wit/workItems/{id}/revisions"},
		{"GET", item + "/revisions/1", nil, "GET wit/workItems/{id}/revisions/{revisionNumber}"},
		{"GET", item + "/comments?$expand=all", nil, "GET wit/workItems/{workItemId}/comments"},
		{"GET", fmt.Sprintf("%s/comments/%d", item, cm), nil, "GET wit/workItems/{workItemId}/comments/{commentId}"},
		{"GET", fmt.Sprintf("%s/comments/%d/versions", item, cm), nil, "GET wit/workItems/{workItemId}/comments/{commentId}/versions"},
		{"POST", "/Alvaoproject/_apis/wit/attachments?fileName=b.txt", []byte("x"), "POST wit/attachments"},
		{"GET", "/Alvaoproject/_apis/wit/recyclebin", nil, "GET wit/recyclebin"},
		{"GET", fmt.Sprintf("/Alvaoproject/_apis/wit/recyclebin/%d", other), nil, "GET wit/recyclebin/{id}"},
		{"POST", "/Alvaoproject/_apis/wit/wiql", map[string]string{"query": "SELECT [System.Id] FROM WorkItems"}, "POST wit/wiql"},
		{"GET", "/Alvaoproject/_apis/wit/workitemtypes", nil, "GET wit/workitemtypes"},
		{"GET", "/Alvaoproject/_apis/wit/workitemtypes/Task", nil, "GET wit/workitemtypes/{type}"},
		{"GET", "/Alvaoproject/_apis/wit/workitemtypes/Task/states", nil, "GET wit/workitemtypes/{type}/states"},
		{"GET", "/Alvaoproject/_apis/wit/workitemtypes/Task/fields?$expand=all", nil, "GET wit/workitemtypes/{type}/fields"},
		{"GET", "/_apis/wit/fields", nil, "GET wit/fields"},
		{"GET", "/_apis/wit/fields/System.Title", nil, "GET wit/fields/{fieldNameOrRefName}"},
		{"GET", "/_apis/wit/workitemrelationtypes", nil, "GET wit/workitemrelationtypes"},
		{"GET", "/Alvaoproject/_apis/wit/reporting/workitemrevisions", nil, "GET wit/reporting/workitemrevisions"},
		{"GET", "/_apis/hooks/subscriptions", nil, "GET hooks/subscriptions"},
		{"GET", "/_apis/hooks/subscriptions/" + sub, nil, "GET hooks/subscriptions/{subscriptionId}"},
		{"GET", "/_apis/hooks/subscriptions/" + sub + "/notifications", nil, "GET hooks/subscriptions/{subscriptionId}/notifications"},
		{"POST", "/_apis/hooks/notificationsquery", map[string]any{"includeDetails": true}, "POST hooks/notificationsquery"},
		{"POST", "/_apis/hooks/subscriptionsquery", map[string]any{"publisherId": "tfs"}, "POST hooks/subscriptionsquery"},
		{"GET", "/_apis/identities?searchFilter=General&filterValue=" + jana, nil, "GET identities"},
	}
	for _, c := range cases {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			t.Parallel()
			r := w.call(c.method, c.path, c.body)
			if r.status != 200 && r.status != 201 {
				t.Fatalf("%d %s", r.status, r.raw)
			}
			path, query, _ := strings.Cut(c.path, "?")
			out := documents.Check(tape.Exchange{
				By: tape.Server, Method: c.method, Path: "/contoso" + path, Query: query, Status: r.status,
				Answer: map[string]string{"Content-Type": r.header.Get("Content-Type"), "Activityid": r.header.Get("ActivityId")},
				Reply:  tape.Body{Size: int64(len(r.raw)), Text: string(r.raw)},
			})
			if out.Operation != c.operation || !out.Answer {
				t.Errorf("held against %q, want %q", out.Operation, c.operation)
			}
			for _, p := range out.Problems {
				if !ledger.Listed(p) {
					t.Error(p)
				}
			}
		})
	}
}
