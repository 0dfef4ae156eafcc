package azuredevops_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

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
