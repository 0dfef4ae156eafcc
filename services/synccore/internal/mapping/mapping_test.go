package mapping_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
	"github.com/tandem-sync/tandem/services/synccore/internal/template"
)

// seed is the default of Alvao's settings field (Alvao: Azure DevOps Connector page).
func seed() mapping.Settings {
	return mapping.Settings{
		ConnectorType: "AzureDevOps",
		URL:           "https://dev.azure.com/Alvao/Alvaoproject",
		AccessToken:   "0",
		AttributeMap: []mapping.AttributeText{
			{Field: "System.Title", Value: "[$TicketTitle$]"},
			{Field: "System.Description", Value: "[$LatestImportantMessage$]"},
			{Field: "System.WorkItemType", Value: "Task"},
		},
		StatusMap: []item.Pair{
			{State: "To Do", Status: "Development"},
			{State: "Doing", Status: "Development pending"},
			{State: "Done", Status: "Testing"},
		},
		SyncCommunication: true,
		OpenCommand:       true,
		TicketReporter:    "Requester",
	}
}

func compile(t *testing.T, s mapping.Settings) mapping.Rules {
	t.Helper()
	rules, problems := mapping.Compile(s, mapping.Policy{Conflict: mapping.ConflictNewest, ExistingTickets: mapping.ExistingIgnore})
	if len(problems) > 0 {
		t.Fatalf("problems: %+v", problems)
	}
	return rules
}

// fields are those of a Task that the tests fill.
func fields() map[string]item.Field {
	list := []item.Field{
		{Reference: "System.Title", Name: "Title", Type: item.FieldText, Required: true},
		{Reference: "System.Description", Name: "Description", Type: item.FieldHTML},
		{Reference: "System.History", Name: "History", Type: item.FieldHistory},
		{Reference: "System.AreaPath", Name: "Area Path", Type: item.FieldTreePath},
		{Reference: "System.AssignedTo", Name: "Assigned To", Type: item.FieldIdentity},
		{Reference: "System.AuthorizedAs", Name: "Authorized As", Type: item.FieldText, ReadOnly: true},
		{Reference: "Microsoft.VSTS.Common.Priority", Name: "Priority", Type: item.FieldInteger},
		{Reference: "Microsoft.VSTS.Scheduling.RemainingWork", Name: "Remaining Work", Type: item.FieldDouble},
		{Reference: "Microsoft.VSTS.Scheduling.DueDate", Name: "Due Date", Type: item.FieldDateTime},
		{Reference: "Custom.Urgent", Name: "Urgent", Type: item.FieldBoolean},
		{Reference: "Custom.Notes", Name: "Notes", Type: "plainText"},
	}
	byName := map[string]item.Field{}
	for _, f := range list {
		byName[f.Reference] = f
	}
	return byName
}

func ticket() template.Data {
	return template.Data{
		Ticket: item.Ticket{
			ID: 7, Title: "A < B", MessageTag: "T7SD", Due: time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC),
			Custom: map[string]string{"Prio": " 2 ", "Hours": "1.50", "Urgent": "True", "Wrong": "soon"},
		},
		Records: []item.Record{{ID: 1, HTML: "<p>Please <b>fix</b>.</p>", Important: true}},
		Texts:   richtext.New().Fields(richtext.Source{}),
	}
}

func TestSeedSettingsCompile(t *testing.T) {
	t.Parallel()
	rules := compile(t, seed())
	if rules.Project != (mapping.Project{Account: "https://dev.azure.com/Alvao", Name: "Alvaoproject"}) {
		t.Errorf("project = %+v", rules.Project)
	}
	if rules.Reporter.Mode != mapping.ReporterRequester || !rules.SyncCommunication || !rules.OpenCommand || rules.AccessToken != "0" {
		t.Errorf("rules = %+v", rules)
	}
	if rules.Needs() != (template.Needs{Log: true}) {
		t.Errorf("needs = %+v", rules.Needs())
	}
	draft, err := rules.Draft(ticket(), fields(), "ALVAO-7", "https://contoso.onalvao.com/Alvao/Ticket/7", "ALVAO ticket T7SD")
	if err != nil {
		t.Fatal(err)
	}
	want := item.Draft{
		Type: "Task",
		Fields: []item.FieldValue{
			{Reference: "System.Title", Value: "A < B"},
			{Reference: "System.Description", Value: "Please <strong>fix</strong>."},
		},
		Mark: "ALVAO-7", TicketURL: "https://contoso.onalvao.com/Alvao/Ticket/7", LinkText: "ALVAO ticket T7SD",
	}
	if diff := cmp.Diff(want, draft); diff != "" {
		t.Errorf("draft (-want +got):\n%s", diff)
	}
}

func TestDraftTakesTheFieldsForm(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ field, text, want string }{
		{"Microsoft.VSTS.Common.Priority", "[$tHdTicketCust.Prio$]", "2"},
		{"microsoft.vsts.common.priority", "3", "3"},
		{"Microsoft.VSTS.Scheduling.RemainingWork", "[$tHdTicketCust.Hours$]", "1.5"},
		{"Microsoft.VSTS.Scheduling.DueDate", "[$TicketDeadline$]", "2026-12-01T08:00:00Z"},
		{"Microsoft.VSTS.Scheduling.DueDate", "2026-12-24", "2026-12-24T00:00:00Z"},
		// Alvao may hold a whole number with decimals.
		{"Microsoft.VSTS.Common.Priority", "2.00", "2"},
		{"Microsoft.VSTS.Common.Priority", "-3.0", "-3"},
		// The ends of what such a field holds.
		{"Microsoft.VSTS.Common.Priority", "2147483647.0", "2147483647"},
		{"Microsoft.VSTS.Common.Priority", "-2147483648.0", "-2147483648"},
		{"Custom.Urgent", "[$tHdTicketCust.Urgent$]", "true"},
		{"Custom.Notes", "<b>[$TicketTitle$]</b>\nx", "A < B\nx"},
		{"System.History", "<b>[$TicketTitle$]</b>", "<b>A &lt; B</b>"},
		{"System.AreaPath", `Alvaoproject\[$TicketMessageTag$]`, `Alvaoproject\T7SD`},
		{"System.AreaPath", `/Alvaoproject / Team A/Web\`, `Alvaoproject\Team A\Web`},
		{"System.AreaPath", `\\Alvaoproject`, `Alvaoproject`},
		{"System.AreaPath", ` / \ `, ``},
		{"System.AssignedTo", "user@contoso.com", "user@contoso.com"},
		// Nothing to say leaves the field to its default.
		{"Microsoft.VSTS.Common.Priority", "[$tHdTicketCust.None$]", ""},
		{"System.Description", "", ""},
	} {
		s := seed()
		s.AttributeMap = []mapping.AttributeText{s.AttributeMap[0], s.AttributeMap[2], {Field: test.field, Value: test.text}}
		draft, err := compile(t, s).Draft(ticket(), fields(), "", "", "")
		if err != nil {
			t.Errorf("%s = %q: %v", test.field, test.text, err)
			continue
		}
		got := ""
		for _, f := range draft.Fields[1:] {
			got = f.Value
			if f.Person != (test.field == "System.AssignedTo") {
				t.Errorf("%s names a person: %v", test.field, f.Person)
			}
			if !strings.EqualFold(f.Reference, test.field) || fields()[f.Reference].Reference == "" {
				t.Errorf("the field %s is written as %s", test.field, f.Reference)
			}
		}
		if got != test.want || (got == "") != (len(draft.Fields) == 1) {
			t.Errorf("%s = %q: got %q, want %q", test.field, test.text, got, test.want)
		}
	}
}

func TestDraftFaults(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		field, text string
		want        []string
	}{
		{"Microsoft.VSTS.Common.Priority", "[$tHdTicketCust.Wrong$]", []string{"Microsoft.VSTS.Common.Priority", "whole number", `"soon"`, "ticket 7"}},
		{"Microsoft.VSTS.Common.Priority", "99999999999", []string{"whole number"}},
		{"Microsoft.VSTS.Common.Priority", "2.5", []string{"whole number", `"2.5"`}},
		{"Microsoft.VSTS.Common.Priority", "3e9", []string{"whole number"}},
		{"Microsoft.VSTS.Common.Priority", "2147483648.0", []string{"whole number"}},
		{"Microsoft.VSTS.Common.Priority", "-2147483649.0", []string{"whole number"}},
		// A faulty value is told whole as long as it is short.
		{"Custom.Urgent", strings.Repeat("m", 60), []string{strings.Repeat("m", 60) + `"`}},
		{"Custom.Urgent", strings.Repeat("m", 61), []string{strings.Repeat("m", 60) + "…"}},
		{"Microsoft.VSTS.Common.Priority", "Inf", []string{"whole number"}},
		{"Microsoft.VSTS.Scheduling.RemainingWork", "NaN", []string{"a number", `"NaN"`}},
		{"Microsoft.VSTS.Scheduling.DueDate", "tomorrow", []string{"a date", `"tomorrow"`}},
		{"Custom.Urgent", "maybe", []string{"true or false"}},
		{"Custom.DueDate", "2026-12-24", []string{"no field Custom.DueDate", "did you mean Microsoft.VSTS.Scheduling.DueDate?"}},
		{"Custom.Unheard", "x", []string{`"Task" has no field Custom.Unheard`, "correct the name"}},
		{"System.AuthorizedAs", "x", []string{"can't be written"}},
		{"System.Title", "[$tHdTicketCust.None$]", []string{"empty title", "ticket 7"}},
		{"System.WorkItemType", "[$tHdTicketCust.None$]", []string{"no work item type", "ticket 7"}},
	} {
		s := seed()
		s.AttributeMap = slices.DeleteFunc(s.AttributeMap, func(a mapping.AttributeText) bool { return a.Field == test.field })
		s.AttributeMap = append(s.AttributeMap, mapping.AttributeText{Field: test.field, Value: test.text})
		_, err := compile(t, s).Draft(ticket(), fields(), "", "", "")
		if !fault.Is(err, fault.Misconfigured) {
			t.Errorf("%s = %q: error %v is not Misconfigured", test.field, test.text, err)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s = %q: %q lacks %q", test.field, test.text, err, want)
			}
		}
	}
}

func TestCompileProblems(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		change  func(*mapping.Settings)
		path    []string
		want    []string
		warning bool
	}{
		"another connector": {func(s *mapping.Settings) { s.ConnectorType = "Jira" }, []string{"ConnectorType"}, []string{`"Jira"`, "Write AzureDevOps"}, false},
		"no statuses":       {func(s *mapping.Settings) { s.StatusMap = nil }, []string{"StatusMap"}, []string{"names no state"}, false},
		"a state twice": {
			func(s *mapping.Settings) {
				s.StatusMap = append(s.StatusMap, item.Pair{State: "TO  DO ", Status: "New"})
			},
			[]string{"StatusMap", "TO  DO "},
			[]string{"twice", `"To Do"`},
			false,
		},
		"an empty state": {
			func(s *mapping.Settings) { s.StatusMap[0].State = " " },
			[]string{"StatusMap", " "},
			[]string{"state is empty"},
			false,
		},
		"an empty status": {
			func(s *mapping.Settings) { s.StatusMap[0].Status = "" },
			[]string{"StatusMap", "To Do"},
			[]string{"maps to no ticket status"},
			false,
		},
		"the state in the attributes": {
			func(s *mapping.Settings) { s.AttributeMap[1].Field = "system.state" },
			[]string{"AttributeMap", "system.state"},
			[]string{"governed by StatusMap", "Remove it"},
			false,
		},
		"the project in the attributes": {
			func(s *mapping.Settings) { s.AttributeMap[1].Field = "System.TeamProject" },
			[]string{"AttributeMap", "System.TeamProject"},
			[]string{"governed by URL"},
			false,
		},
		"the reporter in the attributes": {
			func(s *mapping.Settings) { s.AttributeMap[1].Field = "System.CreatedBy" },
			[]string{"AttributeMap", "System.CreatedBy"},
			[]string{"TicketReporter"},
			false,
		},
		"a shown name": {
			func(s *mapping.Settings) { s.AttributeMap[1].Field = "Repro Steps" },
			[]string{"AttributeMap", "Repro Steps"},
			[]string{"reference name"},
			false,
		},
		"a field twice": {
			func(s *mapping.Settings) { s.AttributeMap[1].Field = "SYSTEM.TITLE" },
			[]string{"AttributeMap", "SYSTEM.TITLE"},
			[]string{"twice"},
			false,
		},
		"no title": {func(s *mapping.Settings) { s.AttributeMap = s.AttributeMap[1:] }, []string{"AttributeMap"}, []string{"System.Title is missing"}, false},
		"no type":  {func(s *mapping.Settings) { s.AttributeMap = s.AttributeMap[:2] }, []string{"AttributeMap"}, []string{"System.WorkItemType is missing"}, false},
		"an empty title": {
			func(s *mapping.Settings) { s.AttributeMap[0].Value = " " },
			[]string{"AttributeMap", "System.Title"},
			[]string{"empty"},
			false,
		},
		"an unknown variable": {
			func(s *mapping.Settings) { s.AttributeMap[0].Value = "x [$TicketNumber$]" },
			[]string{"AttributeMap", "System.Title"},
			[]string{"[$TicketNumber$]", "[$TicketID$]"},
			false,
		},
		"a slip in the reporter": {
			func(s *mapping.Settings) { s.TicketReporter = "Reqester" },
			[]string{"TicketReporter"},
			[]string{"Did you mean Requester?"},
			false,
		},
		"a reporter without a domain": {
			func(s *mapping.Settings) { s.TicketReporter = "jan.novak" },
			[]string{"TicketReporter"},
			[]string{"does not look like"},
			true,
		},
		"a tag in a template": {
			func(s *mapping.Settings) { s.AttributeMap[1].Value = "<i>x</i>" },
			[]string{"AttributeMap", "System.Description"},
			[]string{"shown as it is written"},
			true,
		},
	} {
		s := seed()
		test.change(&s)
		_, problems := mapping.Compile(s, mapping.Policy{})
		if len(problems) == 0 {
			t.Errorf("%s: no problem", name)
			continue
		}
		p := problems[0]
		if diff := cmp.Diff(test.path, p.Path); diff != "" {
			t.Errorf("%s: path (-want +got):\n%s", name, diff)
		}
		for _, want := range test.want {
			if !strings.Contains(p.Text+" "+p.Remedy, want) {
				t.Errorf("%s: %q / %q lacks %q", name, p.Text, p.Remedy, want)
			}
		}
		if p.Warning != test.warning {
			t.Errorf("%s: warning = %v", name, p.Warning)
		}
	}
}

func TestReporter(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]mapping.Reporter{
		"":                 {Mode: mapping.ReporterDefault},
		"default\t":        {Mode: mapping.ReporterDefault},
		"Requester":        {Mode: mapping.ReporterRequester},
		"REQUESTER":        {Mode: mapping.ReporterRequester},
		"user@contoso.com": {Mode: mapping.ReporterUser, User: "user@contoso.com"},
		`CONTOSO\jan`:      {Mode: mapping.ReporterUser, User: `CONTOSO\jan`},
	} {
		s := seed()
		s.TicketReporter = text
		if got := compile(t, s).Reporter; got != want {
			t.Errorf("%q = %+v, want %+v", text, got, want)
		}
	}
}

func TestParseProject(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]mapping.Project{
		"https://dev.azure.com/Alvao/Alvaoproject":                {Account: "https://dev.azure.com/Alvao", Name: "Alvaoproject"},
		" https://dev.azure.com/Alvao/Alvaoproject/ ":             {Account: "https://dev.azure.com/Alvao", Name: "Alvaoproject"},
		"https://dev.azure.com/Alvao/My%20Project":                {Account: "https://dev.azure.com/Alvao", Name: "My Project"},
		"https://dev.azure.com/Alvao/My Project":                  {Account: "https://dev.azure.com/Alvao", Name: "My Project"},
		"https://contoso.visualstudio.com/Proj":                   {Account: "https://contoso.visualstudio.com", Name: "Proj"},
		"https://contoso.visualstudio.com/DefaultCollection/Proj": {Account: "https://contoso.visualstudio.com/DefaultCollection", Name: "Proj"},
		"https://host/tfs/Collection/Proj":                        {Account: "https://host/tfs/Collection", Name: "Proj"},
		"https://host:8443/tfs/My%20Collection/Proj":              {Account: "https://host:8443/tfs/My%20Collection", Name: "Proj"},
		"http://127.0.0.1:8081/azuredevops/contoso/Alvaoproject":  {Account: "http://127.0.0.1:8081/azuredevops/contoso", Name: "Alvaoproject"},
		`https://dev.azure.com/\{contoso}/\{Alvaoproject}`:        {Account: "https://dev.azure.com/contoso", Name: "Alvaoproject"},
		`https://dev.azure.com/{contoso}/{Alvaoproject}`:          {Account: "https://dev.azure.com/contoso", Name: "Alvaoproject"},
	} {
		got, err := mapping.ParseProject(raw)
		if err != nil || got != want {
			t.Errorf("ParseProject(%q) = %+v, %v, want %+v", raw, got, err, want)
		}
		if again, err := mapping.ParseProject(got.URL()); err != nil || again != got {
			t.Errorf("ParseProject(%q) = %+v, %v, want %+v again", got.URL(), again, err, got)
		}
	}
	for raw, want := range map[string]string{
		`https://dev.azure.com/\{organization}/\{project}`:     "placeholder {organization}",
		"https://dev.azure.com/contoso/{Project}":              "placeholder {project}",
		"dev.azure.com/contoso/Proj":                           "does not begin with https://",
		"ftp://dev.azure.com/contoso/Proj":                     "does not begin with https://",
		"https://dev.azure.com/contoso":                        "names no project",
		"https://dev.azure.com":                                "empty or relative",
		"https://contoso.visualstudio.com/":                    "empty or relative",
		"https://dev.azure.com/contoso/Proj/_workitems/edit/5": "page within the project (_workitems/edit/5)",
		"https://dev.azure.com/contoso/Proj/Team":              "goes on behind the project's name",
		"https://contoso@dev.azure.com/contoso/Proj":           "user name",
		"https://dev.azure.com/contoso/Proj?x=1":               "? or #",
		"https:///contoso/Proj":                                "names no host",
		"https://dev.azure.com/con%zztoso/Proj":                "not an address",
		"https://dev.azure.com/contoso/../Proj":                "empty or relative",
		"":                                                     "does not begin with https://",
	} {
		got, err := mapping.ParseProject(raw)
		if err == nil || !strings.Contains(err.Error(), want) || mapping.Remedy(err) == "" {
			t.Errorf("ParseProject(%q) = %+v, %v, want an error with %q", raw, got, err, want)
		}
	}
}

func ExampleRules_Draft() {
	rules, problems := mapping.Compile(mapping.Settings{
		ConnectorType: "AzureDevOps",
		URL:           "https://dev.azure.com/contoso/Alvaoproject",
		AccessToken:   "0",
		AttributeMap: []mapping.AttributeText{
			{Field: "System.WorkItemType", Value: "Task"},
			{Field: "System.Title", Value: "[$TicketMessageTag$] [$TicketTitle$]"},
			{Field: "System.Description", Value: "Requested by <b>[$TicketRequesterName$]</b>"},
		},
		StatusMap: []item.Pair{{State: "To Do", Status: "Development"}},
	}, mapping.Policy{Conflict: mapping.ConflictNewest, ExistingTickets: mapping.ExistingIgnore})
	if len(problems) > 0 {
		fmt.Println(problems)
		return
	}
	draft, err := rules.Draft(template.Data{
		Ticket: item.Ticket{ID: 123, MessageTag: "T123SD", Title: "New cable", Requester: "Jan & Eva"},
	}, map[string]item.Field{
		"System.Title":       {Reference: "System.Title", Type: item.FieldText},
		"System.Description": {Reference: "System.Description", Type: item.FieldHTML},
	}, "ALVAO-123", "https://contoso.onalvao.com/Alvao/Ticket/123", "T123SD")
	fmt.Println(draft.Type, err)
	for _, f := range draft.Fields {
		fmt.Println(f.Reference, "=", f.Value)
	}
	// Output:
	// Task <nil>
	// System.Title = T123SD New cable
	// System.Description = Requested by <b>Jan &amp; Eva</b>
}
