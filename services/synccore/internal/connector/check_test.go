package connector_test

import (
	"slices"
	"strings"
	"testing"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

func TestCheckAsksBothSystems(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name))
	r.ready(t, name)
	findings, err := r.set.Check(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	sides := map[string]bool{}
	for _, f := range findings {
		side, _, _ := strings.Cut(f.Check, ".")
		sides[side] = true
	}
	if !sides["azure-devops"] || !sides["alvao"] {
		t.Errorf("findings %+v", findings)
	}
	if !slices.ContainsFunc(findings, func(f item.Finding) bool { return f.Check == "azure-devops.draft" && f.Severity == item.OK }) {
		t.Errorf("no draft was validated: %+v", findings)
	}
	if _, err := r.set.Check(t.Context(), "sales"); !fault.Is(err, fault.NotFound) {
		t.Errorf("%v", err)
	}
}

// A status that is misspelt shows itself in that no ticket is in it.
func TestCheckTellsStatusesThatNobodyIsIn(t *testing.T) {
	t.Parallel()
	r := setup(t)
	for _, status := range []string{"Development", "Testing"} {
		r.ticket(t, status)
	}
	told := func(pairs ...item.Pair) item.Finding {
		t.Helper()
		r.apply(t, r.settings(t, name, func(_ *config.Connector, s *mapping.Settings) { s.StatusMap = pairs }))
		findings, err := r.set.Check(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			if f.Check == "settings.status-map" {
				return f
			}
		}
		t.Fatalf("not told: %+v", findings)
		return item.Finding{}
	}
	if f := told(item.Pair{State: "To Do", Status: "development"}, item.Pair{State: "Done", Status: "Testing"}); f.Severity != item.OK {
		t.Errorf("%+v", f)
	}
	if f := told(item.Pair{State: "To Do", Status: "Development"}, item.Pair{State: "Done", Status: "Testin"}); f.Severity != item.Warning || !strings.Contains(f.Detail, `"Testin" (perhaps Testing)`) {
		t.Errorf("%+v", f)
	}
}

// TestCheckRendersTheAttributeMap: the AttributeMap is rendered for the youngest ticket,
// or for one that is made up, and Azure DevOps is asked whether it would take it.
func TestCheckRendersTheAttributeMap(t *testing.T) {
	t.Parallel()
	r := setup(t)
	attribute := func(field, value string) func(*config.Connector, *mapping.Settings) {
		return func(_ *config.Connector, s *mapping.Settings) {
			s.AttributeMap = append(s.AttributeMap, mapping.AttributeText{Field: field, Value: value})
		}
	}
	reporter := func(name string) func(*config.Connector, *mapping.Settings) {
		return func(_ *config.Connector, s *mapping.Settings) { s.TicketReporter = name }
	}
	const priority, assignee = "Microsoft.VSTS.Common.Priority", "System.AssignedTo"
	check := func(when string, change func(*config.Connector, *mapping.Settings), severity item.Severity, says ...string) {
		t.Helper()
		r.apply(t, r.settings(t, name, change))
		findings, err := r.set.Check(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			all := f.Severity == severity
			for _, part := range says {
				all = all && strings.Contains(f.Check+": "+f.Detail+" "+f.Remedy, part)
			}
			if all {
				return
			}
		}
		t.Errorf("%s: nothing says %v %v: %+v", when, severity, says, findings)
	}
	for _, tickets := range []string{"without a ticket", "with a ticket"} {
		check(tickets, attribute(priority, "2"), item.OK, "azure-devops.draft", "would make")
		check(tickets, attribute(priority, "9"), item.Error, "azure-devops.draft", priority, "1, 2, 3, 4")
		check(tickets, attribute(priority, "soon"), item.Error, "settings.attribute-map", priority, "whole number")
		check(tickets, attribute("System.AreaPath", "Elsewhere"), item.Error, "System.AreaPath", "full path")
		check(tickets, attribute(assignee, "nobody@contoso.com"), item.Warning, assignee, "nobody@contoso.com")
		check(tickets, reporter("nobody@contoso.com"), item.Warning, "settings.ticket-reporter", "nobody@contoso.com")
		if _, err := r.desk.CreateTicket(t.Context(), standalvao.Requester, standalvao.NewTicket{Name: "x", Service: "Development"}); err != nil {
			t.Fatal(err)
		}
	}
	if n := r.boards.Count(); n != 0 {
		t.Errorf("the checks made %d work items", n)
	}
}
