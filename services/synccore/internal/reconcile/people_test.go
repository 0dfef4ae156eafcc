package reconcile_test

import (
	"slices"
	"strings"
	"testing"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

// TestPeopleInFields: a field that names somebody is filled if Azure DevOps knows them,
// whether or not the token may look people up, and left out if not. Both are told in
// the history where it is known.
func TestPeopleInFields(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		value  string
		rights standazure.Rights
		want   string
		told   bool
	}{
		"known":                     {"[$TicketSolverEmail$]", standazure.AllRights, standalvao.Solver, false},
		"unknown":                   {"nobody@contoso.com", standazure.AllRights, "", true},
		"known, without looking":    {"[$TicketSolverEmail$]", standazure.WorkItems, standalvao.Solver, false},
		"unknown, without looking":  {"nobody@contoso.com", standazure.WorkItems, "", false},
		"nobody at all":             {"[$TicketRequestedForEmail2$]", standazure.AllRights, "", false},
		"one of two with that name": {"Twin", standazure.AllRights, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, func(o *options) {
				o.attributes = []mapping.AttributeText{{Field: "System.AssignedTo", Value: tc.value}}
				o.boards.Tokens = []standazure.Token{{Secret: "sandbox-pat", Owner: "tandem@contoso.com", Rights: tc.rights}}
			})
			made, err := w.desk.CreateTicket(t.Context(), standalvao.Requester, standalvao.NewTicket{
				Name: "x", Service: "Development", Status: "Development", Solver: standalvao.Solver,
			})
			if err != nil {
				t.Fatal(err)
			}
			ticket := int64(made.ID)
			w.handle(t, ticket)
			shown, _ := w.boards.WorkItem(int(w.link(t, ticket).WorkItem))
			assigned, _ := shown.Fields["System.AssignedTo"].(standazure.User)
			if assigned.UniqueName != tc.want || (tc.want == "" && shown.Fields["System.AssignedTo"] != nil) {
				t.Errorf("assigned to %v, want %q", shown.Fields["System.AssignedTo"], tc.want)
			}
			history, err := w.links.History(t.Context(), "development", ticket, 0)
			if err != nil {
				t.Fatal(err)
			}
			told := slices.ContainsFunc(history, func(h item.LinkChange) bool { return strings.Contains(h.Detail, "System.AssignedTo was left empty") })
			if told != tc.told {
				t.Errorf("told %v, want %v: %+v", told, tc.told, history)
			}
			if w.marked(ticket) != 1 {
				t.Errorf("%d work items", w.marked(ticket))
			}
		})
	}
}
