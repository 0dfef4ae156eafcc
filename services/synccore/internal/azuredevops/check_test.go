package azuredevops_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

const me = `{"authenticatedUser":{"id":"9a9ea5ac-60c5-68ff-a08c-7090eb685d57","providerDisplayName":"Robin Novak","customDisplayName":"Robin Novak (FABRIKAM LIMITED)","isActive":true,"properties":{"Account":{"$type":"System.String","$value":"user1@contoso.com"}}}}`

// live answers like a project that fits; break changes one answer.
func live(t *testing.T, broken map[string]string, status map[string]int, skew time.Duration) *azuredevops.Client {
	t.Helper()
	bodies := map[string]string{
		"/_apis/connectionData":        me,
		"/_apis/projects/":             `{"id":"d54eda2e-82d5-4ec7-b6ea-bb444a5c6a70","name":"Alvaoproject"}`,
		"/workitemtypes":               `{"value":[{"name":"Task"},{"name":"Issue"}]}`,
		"/workitemtypes/Task":          taskType,
		"/workitemtypes/Task/states":   states,
		"/workitemtypes/Task/fields":   strings.Replace(typeFields, `"Custom.Size","alwaysRequired":true`, `"Custom.Size"`, 1),
		"/_apis/wit/fields":            catalogue,
		"/_apis/projects/Alvaoproject": `{"id":"d54eda2e-82d5-4ec7-b6ea-bb444a5c6a70","name":"Alvaoproject"}`,
	}
	maps.Copy(bodies, broken)
	c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", clock().Add(skew).Format(http.TimeFormat))
		for end, code := range status {
			if strings.HasSuffix(r.URL.Path, end) {
				answerJSON(w, code, typed("no", "WorkItemTypeNotFoundException", ""))
				return
			}
		}
		for end, body := range bodies {
			if strings.HasSuffix(r.URL.Path, end) {
				answerJSON(w, http.StatusOK, body)
				return
			}
		}
		t.Errorf("unexpected call %s", r.URL.Path)
	})
	return c
}

func wants() azuredevops.Wants {
	return azuredevops.Wants{
		Type: "Task", States: []string{"To Do", "doing", "Done"},
		Fields: []string{"System.WorkItemType", "System.Title", "system.description", "System.AreaPath"},
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	fine := map[string]item.Severity{
		"azure-devops.token": item.OK, "azure-devops.clock": item.OK, "azure-devops.project": item.OK,
		"azure-devops.type": item.OK, "azure-devops.states": item.OK, "azure-devops.fields": item.OK,
	}
	but := func(changes map[string]item.Severity) map[string]item.Severity {
		out := maps.Clone(fine)
		for check, severity := range changes {
			if severity == "" {
				delete(out, check)
			} else {
				out[check] = severity
			}
		}
		return out
	}
	tests := map[string]struct {
		change func(*azuredevops.Wants)
		bodies map[string]string
		status map[string]int
		skew   time.Duration
		want   map[string]item.Severity
		says   []string
	}{
		"all right": {want: fine, says: []string{"Robin Novak", "user1@contoso.com", "d54eda2e"}},
		"bad token": {
			status: map[string]int{"/connectionData": 401}, want: map[string]item.Severity{"azure-devops.token": item.Error},
			says: []string{"Work Items (Read & write)"},
		},
		"clock off": {skew: 10 * time.Minute, want: but(map[string]item.Severity{"azure-devops.clock": item.Warning}), says: []string{"10m0s"}},
		"scope missing": {
			status: map[string]int{"/projects/Alvaoproject": 401}, want: but(map[string]item.Severity{"azure-devops.project": item.Warning}),
			says: []string{"Project and Team (Read)"},
		},
		"no such project": {status: map[string]int{"/projects/Alvaoproject": 404}, want: but(map[string]item.Severity{"azure-devops.project": item.Error})},
		"no type named": {
			change: func(w *azuredevops.Wants) { w.Type = "" },
			want:   but(map[string]item.Severity{"azure-devops.type": item.Error, "azure-devops.states": "", "azure-devops.fields": ""}),
		},
		"no such type": {
			change: func(w *azuredevops.Wants) { w.Type = "Taks" }, status: map[string]int{"/workitemtypes/Taks": 404},
			want: but(map[string]item.Severity{"azure-devops.type": item.Error, "azure-devops.states": "", "azure-devops.fields": ""}),
			says: []string{"Task, Issue (perhaps Task)"},
		},
		"no such state": {
			change: func(w *azuredevops.Wants) { w.States = []string{"To Do", "Doin"} },
			want:   but(map[string]item.Severity{"azure-devops.states": item.Error}), says: []string{"(perhaps Doing)", "To Do, Doing, Done"},
		},
		"no such field": {
			change: func(w *azuredevops.Wants) { w.Fields = []string{"System.Titel"} },
			want:   but(map[string]item.Severity{"azure-devops.fields": item.Error}), says: []string{"(perhaps System.Title)"},
		},
		"read-only field": {
			change: func(w *azuredevops.Wants) { w.Fields = []string{"System.Title", "System.Id"} },
			want:   but(map[string]item.Severity{"azure-devops.fields": item.Error}), says: []string{"System.Id, which can't be written"},
		},
		"required field left out": {
			bodies: map[string]string{"/workitemtypes/Task/fields": typeFields},
			want:   but(map[string]item.Severity{"azure-devops.fields": item.Warning}), says: []string{"Task requires the field Custom.Size"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want := wants()
			if tc.change != nil {
				tc.change(&want)
			}
			found := live(t, tc.bodies, tc.status, tc.skew).Check(t.Context(), want)
			got, said := make(map[string]item.Severity), make([]string, 0, len(found))
			for _, f := range found {
				if got[f.Check] != item.Error {
					got[f.Check] = f.Severity
				}
				sentence(t, f.Detail)
				if (f.Remedy == "") != (f.Severity == item.OK) {
					t.Errorf("remedy %q for %s", f.Remedy, f.Severity)
				}
				said = append(said, f.Detail, f.Remedy)
			}
			text := strings.Join(said, "\n")
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n%s", diff, text)
			}
			for _, say := range tc.says {
				if !strings.Contains(text, say) {
					t.Errorf("%q is not said in:\n%s", say, text)
				}
			}
		})
	}
}

// TestCheckReadsAnew: a check that told what was remembered would hide the repair, and
// one that forgot the project would misplace the events that come meanwhile.
func TestCheckReadsAnew(t *testing.T) {
	t.Parallel()
	named, calls := "Doing", 0
	c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
		calls++
		switch {
		case strings.HasSuffix(r.URL.Path, "/workitemtypes/Task"):
			answerJSON(w, http.StatusOK, `{"name":"Task","states":[{"name":"`+named+`"}]}`)
		case strings.HasSuffix(r.URL.Path, "/connectionData"):
			answerJSON(w, http.StatusOK, me)
		case strings.HasSuffix(r.URL.Path, "/projects/Alvaoproject") && calls > 1:
			w.WriteHeader(http.StatusForbidden)
		default:
			answerJSON(w, http.StatusOK, `{"id":"d54eda2e-82d5-4ec7-b6ea-bb444a5c6a70","name":"Alvaoproject","value":[]}`)
		}
	})
	if _, err := c.Project(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"Doing", "Active"} {
		named = state
		for _, f := range c.Check(t.Context(), azuredevops.Wants{Type: "Task", States: []string{state}}) {
			if f.Check == "azure-devops.states" && f.Severity != item.OK {
				t.Errorf("%s: %+v", state, f)
			}
		}
	}
	if match, known := c.Covers("", "d54eda2e-82d5-4ec7-b6ea-bb444a5c6a70", ""); !match || !known {
		t.Error("the project's GUID was forgotten")
	}
}
