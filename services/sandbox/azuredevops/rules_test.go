package azuredevops_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
)

const (
	taskURL = "/Alvaoproject/_apis/wit/workitems/$Task"
	bugURL  = "/Agile%20Project/_apis/wit/workitems/$Bug"
)

func title(s string) op { return add("System.Title", s) }

// What a create refuses. None of it is recorded; the codes are documented or reported.
func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	w := setup(t, func(o *azuredevops.Options) {
		p := azuredevops.Basic()
		p.Types[2].Required = []string{"Custom.Customer"}
		o.Projects = append(o.Projects, azuredevops.Project{Name: "Strict", Process: p})
		o.Fields = []azuredevops.Field{{ReferenceName: "Custom.Customer"}, {ReferenceName: "Custom.Level", AllowedValues: []string{"low", "high"}}}
	})
	long := strings.Repeat("ř", 256)
	cases := []struct {
		name, path string
		body       any
		status     int
		typeKey    any
		message    string
	}{
		{"no title", taskURL, []op{add("System.Description", "x")}, 400, "RuleValidationException", "TF401320: Rule Error for field Title. Error code: Required, InvalidEmpty."},
		{"empty title", taskURL, []op{title("")}, 400, "RuleValidationException", "TF401320: "},
		{"long title", taskURL, []op{title(long)}, 400, "WorkItemFieldInvalidException", "TF401326: Invalid field status 'InvalidTooLong' for field 'System.Title'."},
		{"not the initial state", taskURL, []op{title("x"), add("System.State", "Doing")}, 400, "RuleValidationException", "TF401320: Rule Error for field State."},
		{"unknown state", taskURL, []op{title("x"), add("System.State", "Nowhere")}, 400, "RuleValidationException", "TF401320: "},
		{"unknown field", taskURL, []op{title("x"), add("Custom.Nope", 1)}, 400, "WorkItemTrackingFieldDefinitionNotFoundException", "TF51535: Cannot find field Custom.Nope."},
		{"field of another type", taskURL, []op{title("x"), add("Microsoft.VSTS.TCM.ReproSteps", "x")}, 400, "WorkItemTrackingFieldDefinitionNotFoundException", "TF51535: "},
		{"read-only field", taskURL, []op{title("x"), add("System.BoardColumn", "x")}, 400, "WorkItemFieldInvalidException", "TF401326: Invalid field status 'ReadOnly' for field 'System.BoardColumn'."},
		{"wrong type", taskURL, []op{title("x"), add("Microsoft.VSTS.Common.Priority", "high")}, 400, "WorkItemFieldInvalidException", "TF401326: Invalid field status 'InvalidType'"},
		{"value not allowed", taskURL, []op{title("x"), add("Custom.Level", "huge")}, 400, "RuleValidationException", "TF401320: Rule Error for field Level."},
		{"twice the same field", taskURL, []op{title("x"), add("system.TITLE", "y")}, 400, "WorkItemFieldUpdateException", "VS403691: "},
		{"unknown person", taskURL, []op{title("x"), add("System.AssignedTo", "nobody@contoso.com")}, 400, "WorkItemFieldInvalidException", "unknown identity"},
		{"ambiguous person", taskURL, []op{title("x"), add("System.AssignedTo", "Twin")}, 400, "WorkItemFieldInvalidException", "unknown identity"},
		{"inactive person", taskURL, []op{title("x"), add("System.AssignedTo", "gone@contoso.com")}, 400, "WorkItemFieldInvalidException", "unknown identity"},
		{"unknown area", taskURL, []op{title("x"), add("System.AreaPath", `Alvaoproject\Nope`)}, 400, "WorkItemFieldInvalidTreeNameException", "TF401347: "},
		{"required custom field", "/Strict/_apis/wit/workitems/$Task", []op{title("x")}, 400, "RuleValidationException", "TF401320: Rule Error for field Customer."},
		{"created date without bypass", taskURL, []op{title("x"), add("System.CreatedDate", "2020-01-01")}, 400, "WorkItemFieldInvalidException", "ReadOnly"},
		{"format without text", taskURL, []op{title("x"), {"add", "/multilineFieldsFormat/System.Description", "Markdown"}}, 400, "WorkItemFieldInvalidException", "VS403319: "},
		{"unknown type", "/Alvaoproject/_apis/wit/workitems/$Bug", []op{title("x")}, 404, "WorkItemTypeNotFoundException", "Bug"},
		{"unknown project", "/Nope/_apis/wit/workitems/$Task", []op{title("x")}, 404, "ProjectDoesNotExistWithNameException", "TF200016: "},
		{"empty patch", taskURL, "[]", 400, "VssPropertyValidationException", "valid patch document"},
		{"unknown path", taskURL, []op{title("x"), {"add", "/nonsense", 1}}, 400, "InvalidPatchFieldNameException", ""},
		{"move", taskURL, []op{title("x"), {"move", "/fields/System.Title", 1}}, 400, "VssPropertyValidationException", ""},
		{"not JSON", taskURL, "nonsense", 400, nil, ""},
		{"not a list", taskURL, "{}", 400, nil, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := w.call("POST", c.path, c.body)
			if r.status != c.status || r.get("typeKey") != c.typeKey || !strings.Contains(string(r.raw), c.message) {
				t.Errorf("%d %s", r.status, r.raw)
			}
			if c.typeKey == nil && r.get("value", "Message") == nil {
				t.Errorf("the other body form: %s", r.raw)
			}
		})
	}
	t.Cleanup(func() {
		if n := len(w.Writes()); n != 0 {
			t.Errorf("%d writes were made by refused calls", n)
		}
	})
}

func TestRuleErrorsAreMachineReadable(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := w.must(400, "POST", taskURL, []op{add("System.State", "Done")})
	if r.get("$id") != "1" || r.get("errorCode") != 0.0 || r.get("eventId") != 3000.0 || r.get("innerException") != nil {
		t.Errorf("%s", r.raw)
	}
	if got := r.get("customProperties", "FieldReferenceName"); got != "System.State" {
		t.Errorf("field %v", got)
	}
	if a, b := r.get("customProperties", "RuleValidationErrors", 0, "fieldReferenceName"), r.get("customProperties", "RuleValidationErrors", 1, "fieldReferenceName"); a != "System.State" || b != "System.Title" {
		t.Errorf("errors %v, %v", a, b)
	}
}

func TestContentTypeMustBeJSONPatch(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, kind := range []string{"application/json", "", "text/plain"} {
		r := w.must(415, "POST", taskURL, []op{title("x")}, "Content-Type", kind)
		if r.get("typeKey") != "VssRequestContentTypeNotSupportedException" {
			t.Errorf("%s", r.raw)
		}
	}
	w.must(200, "POST", taskURL, []op{title("x")}, "Content-Type", "application/json-patch+json; charset=utf-8")
	w.must(200, "POST", "/Agile%20Project/_apis/wit/workitems/%24User%20Story", []op{title("x")})
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	w := setup(t)
	basic := w.task("x")
	for _, state := range []string{"Done", "To Do", "Doing", "done", "Doing"} {
		if _, err := w.As(jana).SetState(basic, state); err != nil {
			t.Errorf("Basic to %s: %v", state, err)
		}
	}
	bug := w.must(200, "POST", bugURL, []op{title("bug")}).id()
	steps := []struct {
		state string
		legal bool
	}{{"Closed", false}, {"Resolved", false}, {"Active", true}, {"Closed", false}, {"Resolved", true}, {"Closed", true}, {"New", false}, {"Active", true}}
	for _, s := range steps {
		status := 400
		if s.legal {
			status = 200
		}
		r := w.must(status, "PATCH", fmt.Sprintf("/_apis/wit/workitems/%d", bug), []op{add("System.State", s.state)})
		if !s.legal && r.get("customProperties", "FieldReferenceName") != "System.State" {
			t.Errorf("to %s: %s", s.state, r.raw)
		}
	}
	r := w.must(200, "GET", "/Agile%20Project/_apis/wit/workitemtypes/Bug", nil)
	if got := r.get("transitions", "", 0, "to"); got != "New" {
		t.Errorf("initial state %v", got)
	}
	if diff := cmp.Diff([]any{map[string]any{"to": "New", "actions": nil}, map[string]any{"to": "Active", "actions": nil}}, r.get("transitions", "New")); diff != "" {
		t.Error(diff)
	}
	states, moves := w.States("Agile Project", "Bug")
	if len(states) != 4 || states[2].Category != azuredevops.Resolved {
		t.Errorf("states %v", states)
	}
	if diff := cmp.Diff([]string{"Active"}, moves["New"]); diff != "" {
		t.Error(diff)
	}
}

func TestStateChangesSetReasonAndDates(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id := w.task("x")
	item := fmt.Sprintf("/_apis/wit/workitems/%d", id)
	before := w.must(200, "GET", item, nil)
	if before.field("System.Reason") != "Added to backlog" || before.field("System.State") != "To Do" {
		t.Errorf("%s", before.raw)
	}
	doing := w.must(200, "PATCH", item, []op{add("System.State", "Doing")})
	if doing.field("System.Reason") != "Started" || doing.field("Microsoft.VSTS.Common.StateChangeDate") != doing.field("System.ChangedDate") {
		t.Errorf("%s", doing.raw)
	}
	if doing.get("fields", "Microsoft.VSTS.Common.ActivatedBy", "uniqueName") != service {
		t.Errorf("%s", doing.raw)
	}
	renamed := w.must(200, "PATCH", item, []op{title("y"), add("System.Reason", "mine")})
	if renamed.field("Microsoft.VSTS.Common.StateChangeDate") != doing.field("Microsoft.VSTS.Common.StateChangeDate") || renamed.field("System.Reason") != "mine" {
		t.Errorf("%s", renamed.raw)
	}
	if renamed.field("System.ChangedDate") == doing.field("System.ChangedDate") {
		t.Error("two revisions have the same date")
	}
}

func TestRevisionTest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flavor  azuredevops.Flavor
		status  int
		typeKey string
		message string
	}{
		{azuredevops.Services, 412, "TestPatchOperationFailedException", "VS403351: Test Operation for path /rev failed"},
		{azuredevops.OnPremises, 409, "WorkItemRevisionMismatchException", "TF26071: "},
	} {
		t.Run(c.typeKey, func(t *testing.T) {
			t.Parallel()
			w := setup(t, func(o *azuredevops.Options) { o.Flavor = c.flavor })
			item := fmt.Sprintf("/_apis/wit/workitems/%d", w.task("x"))
			w.must(200, "PATCH", item, []op{{"test", "/rev", 1}, title("y")})
			r := w.must(c.status, "PATCH", item, []op{{"test", "/rev", 1}, title("z")})
			if r.get("typeKey") != c.typeKey || !strings.HasPrefix(r.text("message"), c.message) {
				t.Errorf("%s", r.raw)
			}
			if c.flavor == azuredevops.OnPremises && r.get("errorCode") != 600122.0 {
				t.Errorf("%s", r.raw)
			}
			if got := w.must(200, "GET", item, nil); got.field("System.Title") != "y" || got.get("rev") != 2.0 {
				t.Errorf("%s", got.raw)
			}
			w.must(412, "PATCH", item, []op{{"test", "/fields/System.Title", "nope"}, title("z")})
			w.must(200, "PATCH", item, []op{{5, "/fields/System.Title", "y"}, {0, "/fields/System.Title", "z"}})
		})
	}
}

func TestPatchVerbs(t *testing.T) {
	t.Parallel()
	w := setup(t)
	item := fmt.Sprintf("/_apis/wit/workitems/%d", w.task("x", add("System.Tags", "b, A;b")))
	steps := []struct {
		op     op
		status int
		field  string
		want   any
	}{
		{op{"replace", "/fields/System.AssignedTo", jana}, 400, "System.AssignedTo", nil},
		{op{"add", "/fields/System.AssignedTo", jana}, 200, "System.Title", "x"},
		{op{"remove", "/fields/System.AssignedTo", nil}, 200, "System.AssignedTo", nil},
		{op{"add", "/fields/System.Tags", "c"}, 200, "System.Tags", "A; b; c"},
		{op{"replace", "/fields/System.Tags", "a;d"}, 200, "System.Tags", "a; d"},
		{op{"add", "/fields/System.Tags", ""}, 200, "System.Tags", "a; d"},
		{op{"remove", "/fields/System.Tags", nil}, 200, "System.Tags", nil},
		{op{"add", "/fields/Microsoft.VSTS.Common.Priority", "1"}, 200, "Microsoft.VSTS.Common.Priority", 1.0},
		{op{"add", "/fields/Title", "by display name"}, 200, "System.Title", "by display name"},
	}
	for i, s := range steps {
		r := w.must(s.status, "PATCH", item, []op{s.op})
		if s.status == 200 && r.field(s.field) != s.want {
			t.Errorf("step %d: %v, want %v", i, r.field(s.field), s.want)
		}
	}
}

func TestAnEditThatChangesNothingMakesNoRevision(t *testing.T) {
	t.Parallel()
	w := setup(t)
	item := fmt.Sprintf("/_apis/wit/workitems/%d", w.task("x", add("System.Tags", "a")))
	before := w.LastWrite()
	for _, o := range []op{title("x"), add("System.State", "To Do"), add("System.Tags", "A"), add("System.AssignedTo", "")} {
		if r := w.must(200, "PATCH", item, []op{o}); r.get("rev") != 1.0 {
			t.Errorf("%v made revision %v", o, r.get("rev"))
		}
	}
	w.must(200, "PATCH", item+"?validateOnly=true", []op{title("would be")})
	if got := w.WritesSince(before); len(got) != 0 {
		t.Errorf("writes %v", got)
	}
}

func TestValidateOnly(t *testing.T) {
	t.Parallel()
	w := setup(t)
	r := w.must(200, "POST", taskURL+"?validateOnly=true", []op{title("x")})
	if r.field("System.Title") != "x" || r.id() > 0 {
		t.Errorf("%s", r.raw)
	}
	w.must(400, "POST", taskURL+"?validateOnly=true", []op{title("")})
	if w.Count() != 0 {
		t.Error("something was stored")
	}
	if id := w.task("first"); id != 1 {
		t.Errorf("an id was used up: %d", id)
	}
}

func TestPeople(t *testing.T) {
	t.Parallel()
	w := setup(t)
	item := fmt.Sprintf("/_apis/wit/workitems/%d", w.task("x"))
	me := w.must(200, "GET", "/_apis/identities?searchFilter=General&filterValue="+jana, nil).get("value", 0, "id")
	for _, value := range []any{jana, "JANA.DVORAKOVA@contoso.com", "Jana Dvořáková", "Somebody Else <" + jana + ">", map[string]any{"uniqueName": jana}, map[string]any{"id": me, "displayName": "x"}} {
		w.must(200, "PATCH", item, []op{add("System.AssignedTo", "")})
		if r := w.must(200, "PATCH", item, []op{add("System.AssignedTo", value)}); r.get("fields", "System.AssignedTo", "uniqueName") != jana {
			t.Errorf("%v: %s", value, r.raw)
		}
	}
	w.must(400, "PATCH", item, []op{add("System.AssignedTo", me)}) // a bare GUID is refused
}

func TestReporter(t *testing.T) {
	t.Parallel()
	w := setup(t)
	// Measured by others: without bypass it is taken silently and left unset.
	plain := w.must(200, "POST", taskURL, []op{title("x"), add("System.CreatedBy", jana)})
	if plain.get("fields", "System.CreatedBy", "uniqueName") != service {
		t.Errorf("%s", plain.raw)
	}
	w.must(400, "PATCH", fmt.Sprintf("/_apis/wit/workitems/%d", plain.id()), []op{add("System.CreatedBy", jana)})
	bypass := w.must(200, "POST", taskURL+"?bypassRules=true", []op{title("x"), add("System.CreatedBy", jana)})
	if bypass.get("fields", "System.CreatedBy", "uniqueName") != jana || bypass.get("fields", "System.ChangedBy", "uniqueName") != service {
		t.Errorf("%s", bypass.raw)
	}
	unknown := w.must(200, "POST", taskURL+"?bypassRules=true", []op{title("x"), add("System.CreatedBy", "Invalid Value")})
	if unknown.field("System.CreatedBy") != "Invalid Value" {
		t.Errorf("an unknown person is stored as text: %s", unknown.raw)
	}
	if item, _ := w.WorkItem(unknown.id()); item.CreatedBy != "Invalid Value" {
		t.Errorf("created by %q", item.CreatedBy)
	}
	item := fmt.Sprintf("/_apis/wit/workitems/%d?bypassRules=true", plain.id())
	for message, o := range map[string]op{
		"VS403417": add("System.ChangedBy", ""),
		"VS402624": add("System.ChangedDate", time.Now().Add(time.Hour).Format(time.RFC3339)),
		"VS402625": add("System.ChangedDate", "2001-01-01T00:00:00Z"),
	} {
		if r := w.must(400, "PATCH", item, []op{o}); !strings.Contains(string(r.raw), message) {
			t.Errorf("%s: %s", message, r.raw)
		}
	}
}

func TestFormats(t *testing.T) {
	t.Parallel()
	w := setup(t)
	id := w.task("x", add("System.Description", "*x*"), op{"add", "/multilineFieldsFormat/System.Description", "Markdown"})
	r := w.must(200, "PATCH", fmt.Sprintf("/_apis/wit/workitems/%d", id), []op{add("System.Description", "*y*")})
	if r.get("multilineFieldsFormat", "System.Description") != "markdown" {
		t.Errorf("an edit keeps the format: %s", r.raw)
	}
	old := setup(t, func(o *azuredevops.Options) { o.Flavor = azuredevops.OnPremises })
	r = old.must(200, "GET", fmt.Sprintf("/_apis/wit/workitems/%d", old.task("x")), nil)
	if strings.Contains(string(r.raw), "multilineFieldsFormat") {
		t.Errorf("%s", r.raw)
	}
}

func TestOtherLanguages(t *testing.T) {
	t.Parallel()
	w := setup(t, func(o *azuredevops.Options) {
		o.Projects = []azuredevops.Project{{Name: "Projekt", Process: azuredevops.Agile().Rename(map[string]string{"Bug": "Chyba", "New": "Nový", "Active": "Aktivní"})}}
	})
	r := w.must(200, "POST", "/Projekt/_apis/wit/workitems/$Chyba", []op{title("x")})
	if r.field("System.State") != "Nový" {
		t.Errorf("%s", r.raw)
	}
	item := fmt.Sprintf("/_apis/wit/workitems/%d", r.id())
	w.must(400, "PATCH", item, []op{add("System.State", "Active")})
	w.must(400, "PATCH", item, []op{add("System.State", "Resolved")})
	w.must(200, "PATCH", item, []op{add("System.State", "Aktivní")})
}

func TestRequiredInAState(t *testing.T) {
	t.Parallel()
	w := setup(t, func(o *azuredevops.Options) {
		p := azuredevops.Basic()
		p.Types[2].RequiredIn = map[string][]string{"Done": {"Microsoft.VSTS.Common.Activity"}}
		o.Projects = []azuredevops.Project{{Name: "Alvaoproject", Process: p}}
	})
	item := fmt.Sprintf("/_apis/wit/workitems/%d", w.task("x"))
	r := w.must(400, "PATCH", item, []op{add("System.State", "Done")})
	if r.get("customProperties", "FieldReferenceName") != "Microsoft.VSTS.Common.Activity" {
		t.Errorf("%s", r.raw)
	}
	w.must(200, "PATCH", item, []op{add("System.State", "Done"), add("Microsoft.VSTS.Common.Activity", "Testing")})
}
