package azuredevops_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	sandbox "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// told names each of the changes: number, revision, state, and whether it is deleted.
func told(c item.Changes) []string {
	var out []string
	for _, w := range c.WorkItems {
		text := fmt.Sprintf("%d.%d %s %s", w.ID, w.Rev, w.Type, w.State)
		if w.Deleted {
			text += " deleted"
		}
		out = append(out, text)
	}
	return out
}

// TestChanges: what was changed after a position is listed once, at its newest, on every form of the product.
func TestChanges(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]settings{
		"services": {}, "rights of Alvao's manual": {token: "manual"},
		"server": {change: func(o *sandbox.Options) { o.Flavor = sandbox.OnPremises }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := open(t, s)
			var ids [3]int64
			for i := range ids {
				made, err := o.Create(t.Context(), taskDraft("Task"))
				if err != nil {
					t.Fatal(err)
				}
				ids[i] = made.ID
			}
			position := ""
			next := func(want ...string) {
				t.Helper()
				changes, err := o.Changes(t.Context(), position, time.Now().Add(-time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				if got := told(changes); !slices.Equal(got, want) || !changes.Last || changes.Next == "" {
					t.Errorf("%v, want %v (last %t, next %q)", got, want, changes.Last, changes.Next)
				}
				position = changes.Next
			}
			next("1.1 Task To Do", "2.1 Task To Do", "3.1 Task To Do")
			next()
			for _, state := range []string{"Doing", "Done"} {
				if _, err := o.SetState(t.Context(), ids[1], 0, state); err != nil {
					t.Fatal(err)
				}
			}
			if err := o.Server.As(jana).Delete(int(ids[0])); err != nil {
				t.Fatal(err)
			}
			next("2.3 Task Done", "1.2 Task To Do deleted")
			if err := o.Server.As(jana).Restore(int(ids[0])); err != nil {
				t.Fatal(err)
			}
			next("1.3 Task To Do")

			later, err := o.Changes(t.Context(), "", time.Now().Add(time.Hour))
			if err != nil || len(later.WorkItems) != 0 {
				t.Errorf("%v, %v", told(later), err)
			}
			if _, err := o.Changes(t.Context(), "nonsense", time.Time{}); !fault.Is(err, fault.Invalid) {
				t.Errorf("a position that is none: %v", err)
			}
		})
	}
}

// TestChangesOfOlderServers: the position of the next batch may stand in a link alone, with plain semicolons as in the
// document's examples.
func TestChangesOfOlderServers(t *testing.T) {
	t.Parallel()
	for link, want := range map[string]string{
		"https://x/_apis/wit/reporting/workItemRevisions?continuationToken=842;5;3&api-version=2.0":     "842;5;3",
		"https://x/_apis/wit/reporting/workItemRevisions?api-version=2.0&continuationtoken=842%3B5%3B3": "842;5;3",
		"https://x/_apis/wit/reporting/workItemRevisions?watermark=12":                                  "",
		"https://x/_apis/wit/reporting/workItemRevisions?continuationToken=%zz":                         "",
		"": "",
	} {
		c, s := answering(t, func(w http.ResponseWriter, _ *http.Request) {
			answerJSON(w, http.StatusOK, `{"values":[null,7,{"id":0},{"id":4,"rev":2,"fields":{"System.IsDeleted":true}}],"nextLink":"`+link+`","isLastBatch":true}`)
		})
		changes, err := c.Changes(t.Context(), "813;350;1", time.Time{})
		if err != nil || changes.Next != want || len(changes.WorkItems) != 1 || !changes.WorkItems[0].Deleted {
			t.Errorf("%s: %+v, %v", link, changes, err)
		}
		if asked := s.all()[0]; !strings.Contains(asked.query, "continuationToken=813%3B350%3B1") || strings.Contains(asked.query, "startDateTime") {
			t.Errorf("asked %s", asked.query)
		}
	}
}
