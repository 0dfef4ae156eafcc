package conformtest_test

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tandem-sync/tandem/services/sandbox/azuredevops/conformtest"
	"github.com/tandem-sync/tandem/services/sandbox/deviationtest"
	"github.com/tandem-sync/tandem/services/sandbox/tape"
)

// example is one of the answers that Microsoft gives beside its documents.
type example struct {
	file     string // such as comments/GET__….json
	exchange tape.Exchange
}

// examples reads those that a document's operations refer to. The references differ from the files in letter case, and
// some files are left out of the reference material; those are passed over.
func examples(t *testing.T, document string) []example {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]operation `json:"paths"`
		More  map[string]map[string]operation `json:"x-ms-paths"`
	}
	if err := json.Unmarshal(deviationtest.Shared(t, "specs/azure-devops/"+document), &doc); err != nil {
		t.Fatal(err)
	}
	dir := deviationtest.SharedPath(t, "specs/azure-devops/"+path.Dir(document))
	files := map[string]string{}
	for _, file := range exampleFiles(t, path.Dir(document)) {
		name, err := filepath.Rel(dir, file)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.ToLower(filepath.ToSlash(name))] = file
	}
	var out []example
	for _, paths := range []map[string]map[string]operation{doc.Paths, doc.More} {
		for where, operations := range paths {
			for method, o := range operations {
				for _, ref := range o.Examples {
					file, there := files[strings.ToLower(path.Clean(ref.Ref))]
					if there {
						out = append(out, readExample(t, file, method, where)...)
					}
				}
			}
		}
	}
	return out
}

func exampleFiles(t *testing.T, area string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(deviationtest.SharedPath(t, "specs/azure-devops/"+area), "httpExamples", "*", "*.json"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no examples of %s: %v", area, err)
	}
	return found
}

type operation struct {
	Examples map[string]struct {
		Ref string `json:"$ref"`
	} `json:"x-ms-examples"`
}

func readExample(t *testing.T, file, method, where string) []example {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var e struct {
		Responses map[string]struct {
			Body json.RawMessage `json:"body"`
		} `json:"responses"`
	}
	if err := json.Unmarshal(data, &e); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	plain, query, _ := strings.Cut(where, "?")
	var out []example
	for status, r := range e.Responses {
		x := tape.Exchange{
			By: tape.Server, Method: strings.ToUpper(method), Path: strings.NewReplacer("{", "", "}", "", "$", "%24").Replace(plain), Query: strings.NewReplacer("{", "", "}", "").Replace(query),
			Answer: map[string]string{"Content-Type": "application/json; charset=utf-8"}, Reply: tape.Body{Size: int64(len(r.Body)), Text: string(r.Body)},
		}
		if err := json.Unmarshal([]byte(status), &x.Status); err != nil {
			t.Fatalf("%s: status %s", file, status)
		}
		out = append(out, example{path.Join(filepath.Base(filepath.Dir(file)), filepath.Base(file)), x})
	}
	return out
}

// contradictions are the examples that contradict the document they belong to, in ways that no deviation covers.
// What of them sync-core reads, its own tests read from the same files.
func contradictions() map[string]string {
	return map[string]string{
		"comments/GET__wit_workitems__issueId__comments_1.json":            `commentId for id`,
		"comments/GET__wit_workitems__issueId__comments_2.json":            `commentId for id`,
		"comments/GET__wit_workitems__issueId__comments_3.json":            `commentId for id`,
		"comments/GET__wit_workitems__issueId__comments__commentId_1.json": `commentId for id`,
		"comments/PATCH__wit_workitems__taskId__comments_1.json":           `commentId for id`,
		"comments/POST__wit_workitems__taskId__comments_create.json":       `commentId for id`,
		"recycleBin/GET__wit_recyclebin.json":                              `the id is a text`,
		"recycleBin/GET__wit_recyclebin__ids_.json":                        `the id is a text`,
		"recycleBin/GET__wit_recyclebin__id_.json":                         `the id is a text, keys begin with capitals`,
		"updates/GET__list_of_workitem_updates_projectscope.json":          `a person's name is an object`,
		"workItems/DELETE__wit_workitems_id_.json":                         `204, though what was deleted is told`,
		"fields/POST_wit_field.json":                                       `a description is null`,
		"subscriptions/GET__hooks_subscriptions_.json":                     `a resourceVersion is null`,
		"subscriptions/GET__hooks_subscriptions__subscriptionId_.json":     `a resourceVersion is null`,
		"consumers/GET__hooks_consumers.json":                              `a number's bounds are numbers, not texts`,
	}
}

// orphans are examples that no operation refers to: comments as they were at version 3.0, by revision.
func orphans() []string {
	return []string{
		"comments/GET__wit_workitems__taskId__comments_1.json", "comments/GET__wit_workitems__taskId__comments_1_collectionscope.json",
		"comments/GET__wit_workitems__taskId__comments_2.json", "comments/GET__wit_workitems__taskId__comments_2_collectionscope.json",
	}
}

// TestMicrosoftsExamples holds the examples against the documents that they stand beside, by the same check as live
// traffic: a deviation whose evidence is an example is proved, and where an example contradicts the schema it is listed.
func TestMicrosoftsExamples(t *testing.T) {
	t.Parallel()
	documents := conformtest.Load(t)
	ledger := deviationtest.NewLedger(slices.DeleteFunc(conformtest.Deviations(), func(d deviationtest.Deviation) bool {
		return d.Name == "comments with commentId" || d.Name == "null where a field has no description"
	}))
	seen, contradicting := map[string]bool{}, map[string]bool{}
	for _, doc := range []string{"wit/workItemTracking.json", "hooks/serviceHooks.json", "ims/identities.json"} {
		for _, e := range examples(t, doc) {
			seen[e.file] = true
			out := documents.Check(e.exchange)
			if !out.Answer {
				t.Errorf("%s was held against nothing", e.file)
			}
			for _, p := range out.Problems {
				if ledger.Listed(p) {
					continue
				}
				contradicting[e.file] = true
				if contradictions()[e.file] == "" {
					t.Errorf("%s contradicts its document: %s", e.file, p)
				}
			}
		}
	}
	for file, how := range contradictions() {
		if !contradicting[file] {
			t.Errorf("%s is said to contradict its document (%s), and does not", file, how)
		}
	}
	for _, area := range []string{"wit", "hooks", "ims"} {
		for _, file := range exampleFiles(t, area) {
			name := path.Join(filepath.Base(filepath.Dir(file)), filepath.Base(file))
			if seen[name] == slices.Contains(orphans(), name) {
				t.Errorf("%s: an operation refers to it: %v", name, seen[name])
			}
		}
	}
	if len(seen) < 97 {
		t.Errorf("only %d examples were checked", len(seen))
	}
}
