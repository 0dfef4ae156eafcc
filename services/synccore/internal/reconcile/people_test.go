package reconcile_test

import (
	"fmt"
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

// TestReporterByUserNameThenEMail: the requester is found by the user name, else by an
// e-mail address, whether or not the token may look people up; where two fit, nobody is
// guessed; and that nobody was found is asked for once, not for every ticket.
func TestReporterByUserNameThenEMail(t *testing.T) {
	t.Parallel()
	const owner = "tandem@contoso.com"
	users := []standazure.User{
		{UniqueName: owner},
		{UniqueName: "eva.mala@contoso.com"},
		{UniqueName: "twin.one@contoso.com", Mail: "twin@contoso.com"},
		{UniqueName: "twin.two@contoso.com", Mail: "twin@contoso.com"},
		{UniqueName: "left@contoso.com", Inactive: true},
		{UniqueName: "mail.only@contoso.com", Mail: "post@contoso.com"},
	}
	for name, tc := range map[string]struct {
		person standalvao.Person
		want   string
		// blind is who it is where the token may not look people up.
		blind string
	}{
		"by user name":           {standalvao.Person{Login: "EVA.mala@contoso.com", Email: "x@contoso.com"}, "eva.mala@contoso.com", "eva.mala@contoso.com"},
		"by e-mail":              {standalvao.Person{Login: "emala", Email: "eva.mala@contoso.com"}, "eva.mala@contoso.com", "eva.mala@contoso.com"},
		"by second e-mail":       {standalvao.Person{Login: "emala", Email: "x@contoso.com", Email2: "eva.mala@contoso.com"}, "eva.mala@contoso.com", "eva.mala@contoso.com"},
		"by e-mail kept there":   {standalvao.Person{Login: "post", Email: "post@contoso.com"}, "mail.only@contoso.com", owner},
		"two with that e-mail":   {standalvao.Person{Login: "twin", Email: "twin@contoso.com"}, owner, owner},
		"one that is not active": {standalvao.Person{Login: "left@contoso.com"}, owner, owner},
		"nobody":                 {standalvao.Person{Login: "nobody", Email: "nobody@contoso.com"}, owner, owner},
	} {
		for rights, want := range map[standazure.Rights]string{
			standazure.AllRights: tc.want, standazure.AllRights &^ standazure.ReadIdentities: tc.blind,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w := setup(t, func(o *options) {
					o.reporter = "Requester"
					o.boards.Users = users
					o.boards.Tokens = []standazure.Token{{Secret: "sandbox-pat", Owner: owner, Rights: rights}}
				})
				person := tc.person
				person.Name = "Eva Malá"
				added, err := w.desk.AddPerson(person)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 {
					made, err := w.desk.CreateTicket(t.Context(), standalvao.Solver, standalvao.NewTicket{
						Name: "x", Service: "Development", Status: "Development", Requester: added.Login,
					})
					if err != nil {
						t.Fatal(err)
					}
					w.handle(t, int64(made.ID))
					shown, _ := w.boards.WorkItem(int(w.link(t, int64(made.ID)).WorkItem))
					if shown.CreatedBy != want {
						t.Errorf("created by %q, want %q", shown.CreatedBy, want)
					}
				}
				lookups := 0
				for call, n := range w.boards.CallCounts() {
					if strings.Contains(strings.ToLower(call), "identities") {
						lookups += n
					}
				}
				if names := 3; lookups > names {
					t.Errorf("%d lookups for two tickets of one person", lookups)
				}
			})
		}
	}
}

func TestReporterIsTheRequesterIfKnown(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		reporter, want string
	}{
		{"Requester", standalvao.Requester},
		{standalvao.Solver, standalvao.Solver},
		{"nobody@contoso.com", ""},
		{"Default", ""},
	} {
		t.Run(tc.reporter, func(t *testing.T) {
			t.Parallel()
			w := setup(t, func(o *options) { o.reporter = tc.reporter })
			ticket := w.ticket(t, "Development")
			w.handle(t, ticket)
			shown, _ := w.boards.WorkItem(int(w.link(t, ticket).WorkItem))
			owner := setupOwner(w, ticket)
			want := tc.want
			if want == "" {
				want = owner
			}
			if shown.CreatedBy != want {
				t.Errorf("created by %q, want %q", shown.CreatedBy, want)
			}
		})
	}
}

// setupOwner is whom the token belongs to: the one who last changed the item.
func setupOwner(w *world, ticket int64) string {
	for _, write := range w.boards.Writes() {
		if write.REST && write.Kind == standazure.WriteCreate {
			return write.By
		}
	}
	return fmt.Sprintf("nobody made a work item for ticket %d", ticket)
}
