package azuredevops_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

const (
	taskType = `{"name":"Task","referenceName":"Microsoft.VSTS.WorkItemTypes.Task","transitions":{"To Do":[{"to":"To Do","actions":null},{"to":"Doing"},{"to":"Done"}],"Doing":[{"to":"To Do"},{"to":"Doing"},{"to":"Done"}],"":[{"to":"To Do","actions":null}]}}`
	states   = `{"count":3,"value":[{"name":"To Do","color":"b2b2b2","category":"Proposed"},{"name":"Doing","category":"InProgress"},{"name":"Done","category":"Completed"}]}`
)

func projectHandler(id string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusOK, `{"id":"`+id+`","name":"Alvaoproject","state":"wellFormed"}`)
	}
}

// routes answers by the end of the path.
func routes(bodies map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for end, body := range bodies {
			if strings.HasSuffix(r.URL.Path, end) {
				answerJSON(w, http.StatusOK, body)
				return
			}
		}
		answerJSON(w, http.StatusNotFound, typed("VS402323: Work item type does not exist.", "WorkItemTypeNotFoundException", ""))
	}
}

func TestType(t *testing.T) {
	t.Parallel()
	c, s := answering(t, routes(map[string]string{"/workitemtypes/task": taskType, "/workitemtypes/task/states": states}))
	want := item.WorkItemType{
		Name:   "Task",
		States: []item.State{{Name: "To Do", Category: "Proposed"}, {Name: "Doing", Category: "InProgress"}, {Name: "Done", Category: "Completed"}},
		Transitions: map[string][]string{
			"": {"To Do"}, "To Do": {"Doing", "Done"}, "Doing": {"To Do", "Done"},
		},
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			got, err := c.Type(t.Context(), "task")
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	wg.Wait()
	if _, err := c.Type(t.Context(), " TASK "); err != nil {
		t.Errorf("another spelling is read again: %v", err)
	}
	if n := len(s.all()); n != 2 {
		t.Errorf("%d calls, want the type and its states once", n)
	}
	_, err := c.Type(t.Context(), "Tsk")
	wantKind(t, err, fault.Misconfigured)
}

func TestTypeWithItsStates(t *testing.T) {
	t.Parallel()
	c, s := answering(t, routes(map[string]string{"/workitemtypes/Bug": `{"name":"Bug","states":[{"name":"New","category":"Proposed"}],"transitions":null}`}))
	got, err := c.Type(t.Context(), "Bug")
	if err != nil || len(got.States) != 1 || got.Transitions != nil || len(s.all()) != 1 {
		t.Errorf("got %+v, %v after %d calls", got, err, len(s.all()))
	}
}

func TestTypes(t *testing.T) {
	t.Parallel()
	c, _ := answering(t, routes(map[string]string{"/workitemtypes": `{"value":[{"name":"Task"},{"name":"Old","isDisabled":true},{"name":"Issue"}]}`}))
	got, err := c.Types(t.Context())
	if diff := cmp.Diff([]string{"Task", "Issue"}, got); diff != "" || err != nil {
		t.Errorf("%s %v", diff, err)
	}
}

const (
	catalogue = `{"value":[{"name":"Title","referenceName":"System.Title","type":"string","readOnly":false},` +
		`{"name":"Description","referenceName":"System.Description","type":"html"},{"name":"Area Path","referenceName":"System.AreaPath","type":"treePath","readOnly":true},` +
		`{"name":"Assigned To","referenceName":"System.AssignedTo","type":"string","isIdentity":true},{"name":"ID","referenceName":"System.Id","type":"integer","readOnly":true},` +
		`{"name":"Size","referenceName":"Custom.Size","type":"picklistInteger"},{"name":"Elsewhere","referenceName":"Custom.Elsewhere","type":"double"}]}`
	typeFields = `{"value":[{"name":"Title","referenceName":"System.Title","alwaysRequired":true},{"name":"Description","referenceName":"System.Description"},` +
		`{"name":"Area Path","referenceName":"System.AreaPath"},{"name":"Assigned To","referenceName":"System.AssignedTo"},{"name":"ID","referenceName":"System.Id"},` +
		`{"name":"Size","referenceName":"Custom.Size","alwaysRequired":true},{"name":"New","referenceName":"Custom.New"}]}`
)

func TestFields(t *testing.T) {
	t.Parallel()
	c, s := answering(t, routes(map[string]string{"/workitemtypes/Task/fields": typeFields, "/wit/fields": catalogue}))
	want := map[string]item.Field{
		"System.Title":       {Reference: "System.Title", Name: "Title", Type: item.FieldText, Required: true},
		"System.Description": {Reference: "System.Description", Name: "Description", Type: item.FieldHTML},
		"System.AreaPath":    {Reference: "System.AreaPath", Name: "Area Path", Type: item.FieldTreePath},
		"System.AssignedTo":  {Reference: "System.AssignedTo", Name: "Assigned To", Type: item.FieldIdentity},
		"System.Id":          {Reference: "System.Id", Name: "ID", Type: item.FieldInteger, ReadOnly: true},
		"Custom.Size":        {Reference: "Custom.Size", Name: "Size", Type: item.FieldInteger, Required: true},
		"Custom.New":         {Reference: "Custom.New", Name: "New", Type: item.FieldText},
	}
	for range 2 {
		got, err := c.Fields(t.Context(), "Task")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
	if n := len(s.all()); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}

// TestImpatientCaller: one who goes away does not spoil the answer for others.
func TestImpatientCaller(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	entered := make(chan struct{}, 1)
	c, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-release
		answerJSON(w, http.StatusOK, `{"value":[{"name":"Task"}]}`)
	})
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error)
	go func() {
		_, err := c.Types(ctx)
		left <- err
	}()
	<-entered
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(release)
	if got, err := c.Types(t.Context()); err != nil || len(got) != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestProject(t *testing.T) {
	t.Parallel()
	const id = "d54eda2e-82d5-4ec7-b6ea-bb444a5c6a70"
	c, s := answering(t, projectHandler(id))
	for range 2 {
		if p, err := c.Project(t.Context()); err != nil || p.ID != id || p.Name != "Alvaoproject" {
			t.Errorf("got %+v, %v", p, err)
		}
	}
	if r := s.all(); len(r) != 1 || r[0].path != "/contoso/_apis/projects/Alvaoproject" {
		t.Errorf("asked %v", r)
	}
	c, _ = answering(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, `{"id":"x"}`) })
	_, err := c.Project(t.Context())
	wantKind(t, err, fault.Unavailable)
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	c, s := answering(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, me) })
	who, err := c.Identity(t.Context())
	if err != nil || who.ID != "9a9ea5ac-60c5-68ff-a08c-7090eb685d57" || who.Name != "Robin Novak (FABRIKAM LIMITED)" || who.Account != "user1@contoso.com" {
		t.Errorf("got %+v, %v", who, err)
	}
	if r := s.all()[0]; r.query != "api-version=7.1-preview" {
		t.Errorf("asked %+v; the resource is in preview", r)
	}
	for body, want := range map[string]fault.Kind{
		`{"authenticatedUser":{"id":"aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa","providerDisplayName":"Anonymous"}}`: fault.BadToken,
		`{}`: fault.Unavailable,
	} {
		c, _ := answering(t, func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, body) })
		_, err := c.Identity(t.Context())
		wantKind(t, err, want)
	}
}
