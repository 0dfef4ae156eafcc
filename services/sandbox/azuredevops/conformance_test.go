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

// schema checks JSON against a definition of Microsoft's OpenAPI documents: types, and that every key is known.
type schema struct {
	doc   map[string]any
	extra []string // keys that are recorded or reported though the documents lack them
}

func load(t *testing.T, path string, extra ...string) schema {
	t.Helper()
	var doc map[string]any
	if err := json.Unmarshal(shared(t, path), &doc); err != nil {
		t.Fatal(err)
	}
	return schema{doc, extra}
}

func (s schema) definition(name string) map[string]any {
	d, _ := walk(s.doc, "definitions", name).(map[string]any)
	return d
}

// properties gives a definition's properties with those it inherits.
func (s schema) properties(def map[string]any) map[string]any {
	out := map[string]any{}
	inherited, _ := def["allOf"].([]any)
	for _, a := range inherited {
		ref, _ := walk(a, "$ref").(string)
		maps.Copy(out, s.properties(s.definition(strings.TrimPrefix(ref, "#/definitions/"))))
	}
	own, _ := def["properties"].(map[string]any)
	maps.Copy(out, own)
	return out
}

func (s schema) check(path string, v any, def map[string]any) []string {
	if ref, isRef := def["$ref"].(string); isRef {
		name := strings.TrimPrefix(ref, "#/definitions/")
		if name == "ReferenceLinks" {
			return nil // the document has the links one level too deep
		}
		return s.check(path, v, s.definition(name))
	}
	switch x := v.(type) {
	case nil:
		return nil
	case map[string]any:
		return s.checkObject(path, x, def)
	case []any:
		items, isArray := def["items"].(map[string]any)
		if !isArray {
			return []string{path + ": an array is not expected"}
		}
		var bad []string
		for i, e := range x {
			bad = append(bad, s.check(fmt.Sprintf("%s[%d]", path, i), e, items)...)
		}
		return bad
	case string:
		if kind := def["type"]; kind != nil && kind != "string" && kind != "object" {
			return []string{fmt.Sprintf("%s: a string where %v is expected", path, kind)}
		}
		if values, closed := def["enum"].([]any); closed && !slices.Contains(values, any(x)) {
			return []string{fmt.Sprintf("%s: %q is not one of %v", path, x, values)}
		}
	case float64:
		if kind := def["type"]; kind != "integer" && kind != "number" && kind != "object" {
			return []string{fmt.Sprintf("%s: a number where %v is expected", path, kind)}
		}
	case bool:
		if kind := def["type"]; kind != "boolean" && kind != "object" {
			return []string{fmt.Sprintf("%s: a boolean where %v is expected", path, kind)}
		}
	}
	return nil
}

func (s schema) checkObject(path string, x, def map[string]any) []string {
	if values, isMap := def["additionalProperties"].(map[string]any); isMap {
		var bad []string
		for k, e := range x {
			bad = append(bad, s.check(path+"."+k, e, values)...)
		}
		return bad
	}
	properties := s.properties(def)
	if len(properties) == 0 {
		return nil // free form
	}
	var bad []string
	for k, e := range x {
		p, known := properties[k].(map[string]any)
		switch {
		case known:
			bad = append(bad, s.check(path+"."+k, e, p)...)
		case !slices.Contains(s.extra, k):
			bad = append(bad, path+"."+k+" is not in the document")
		}
	}
	return bad
}

func TestAnswersFitTheOpenAPIDocuments(t *testing.T) {
	t.Parallel()
	w := setup(t)
	wit := load(t, "specs/azure-devops/wit/workItemTracking.json", "multilineFieldsFormat")
	hooks := load(t, "specs/azure-devops/hooks/serviceHooks.json")
	ims := load(t, "specs/azure-devops/ims/identities.json", "providerDisplayName", "subjectDescriptor", "isActive", "metaTypeId", "resourceVersion", "members", "memberOf", "memberIds", "properties", "descriptor", "id")
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
		schema       schema
		method, path string
		body         any
		definition   string
		list         bool
	}{
		{wit, "GET", item + "?$expand=all", nil, "WorkItem", false},
		{wit, "PATCH", item + "?validateOnly=true", []op{add("System.Title", "y")}, "WorkItem", false},
		{wit, "POST", "/Alvaoproject/_apis/wit/workitems/$Task", []op{add("System.Title", "z")}, "WorkItem", false},
		{wit, "GET", fmt.Sprintf("/_apis/wit/workitems?ids=%d&$expand=relations", id), nil, "WorkItem", true},
		{wit, "POST", "/_apis/wit/workitemsbatch", map[string]any{"ids": []int{id, 999}, "errorPolicy": "omit", "fields": []string{"System.Rev"}}, "WorkItem", true},
		{wit, "GET", item + "/updates", nil, "WorkItemUpdate", true},
		{wit, "GET", item + "/updates/2", nil, "WorkItemUpdate", false},
		{wit, "GET", item + "/revisions?$expand=all", nil, "WorkItem", true},
		{wit, "GET", item + "/revisions/1", nil, "WorkItem", false},
		{wit, "GET", item + "/comments?$expand=all", nil, "CommentList", false},
		{wit, "GET", fmt.Sprintf("%s/comments/%d", item, cm), nil, "Comment", false},
		{wit, "GET", fmt.Sprintf("%s/comments/%d/versions", item, cm), nil, "CommentVersion", true},
		{wit, "POST", "/Alvaoproject/_apis/wit/attachments?fileName=b.txt", []byte("x"), "AttachmentReference", false},
		{wit, "GET", "/Alvaoproject/_apis/wit/recyclebin", nil, "WorkItemDeleteShallowReference", true},
		{wit, "GET", fmt.Sprintf("/Alvaoproject/_apis/wit/recyclebin/%d", other), nil, "WorkItemDelete", false},
		{wit, "POST", "/Alvaoproject/_apis/wit/wiql", map[string]string{"query": "SELECT [System.Id] FROM WorkItems"}, "WorkItemQueryResult", false},
		{wit, "GET", "/Alvaoproject/_apis/wit/workitemtypes", nil, "WorkItemType", true},
		{wit, "GET", "/Alvaoproject/_apis/wit/workitemtypes/Task", nil, "WorkItemType", false},
		{wit, "GET", "/Alvaoproject/_apis/wit/workitemtypes/Task/states", nil, "WorkItemStateColor", true},
		{wit, "GET", "/Alvaoproject/_apis/wit/workitemtypes/Task/fields?$expand=all", nil, "WorkItemTypeFieldWithReferences", true},
		{wit, "GET", "/_apis/wit/fields", nil, "WorkItemField2", true},
		{wit, "GET", "/_apis/wit/fields/System.Title", nil, "WorkItemField2", false},
		{wit, "GET", "/_apis/wit/workitemrelationtypes", nil, "WorkItemRelationType", true},
		{hooks, "GET", "/_apis/hooks/subscriptions", nil, "Subscription", true},
		{hooks, "GET", "/_apis/hooks/subscriptions/" + sub, nil, "Subscription", false},
		{hooks, "GET", "/_apis/hooks/subscriptions/" + sub + "/notifications", nil, "Notification", true},
		{hooks, "POST", "/_apis/hooks/notificationsquery", map[string]any{"includeDetails": true}, "NotificationsQuery", false},
		{hooks, "POST", "/_apis/hooks/subscriptionsquery", map[string]any{"publisherId": "tfs"}, "SubscriptionsQuery", false},
		{ims, "GET", "/_apis/identities?searchFilter=General&filterValue=" + jana, nil, "Identity", true},
	}
	for _, c := range cases {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			t.Parallel()
			r := w.call(c.method, c.path, c.body)
			if r.status != 200 && r.status != 201 {
				t.Fatalf("%d %s", r.status, r.raw)
			}
			def := c.schema.definition(c.definition)
			if def == nil {
				t.Fatalf("no definition %s", c.definition)
			}
			v := r.get()
			if c.definition == "Identity" {
				prune(v, []string{"properties"}) // a bag of typed values, which the document describes as a class
			}
			if c.list {
				v = walk(v, "value")
				def = map[string]any{"type": "array", "items": def}
				if n, _ := walk(r.get(), "count").(float64); v == nil || int(n) != len(r.list("value")) {
					t.Fatalf("not a list: %s", r.raw)
				}
			}
			for _, bad := range c.schema.check("$", v, def) {
				t.Error(bad)
			}
		})
	}
}

// A checker that finds nothing proves nothing.
func TestTheSchemaCheckerFindsFaults(t *testing.T) {
	t.Parallel()
	wit := load(t, "specs/azure-devops/wit/workItemTracking.json")
	bad := wit.check("$", map[string]any{"id": "1", "version": 1.0, "commentId": 2.0, "format": "plain", "createdBy": map[string]any{"nickname": "x"}}, wit.definition("Comment"))
	slices.Sort(bad)
	want := []string{
		"$.commentId is not in the document", "$.createdBy.nickname is not in the document",
		`$.format: "plain" is not one of [markdown html]`, "$.id: a string where integer is expected",
	}
	if diff := cmp.Diff(want, bad); diff != "" {
		t.Error(diff)
	}
}
