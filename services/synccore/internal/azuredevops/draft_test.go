package azuredevops_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	sandbox "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	faults "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// typedProject has fields of every type, a tree of areas, and a field that tasks
// require.
func typedProject(o *sandbox.Options) {
	o.Fields = []sandbox.Field{
		{ReferenceName: "Custom.Text"},
		{ReferenceName: "Custom.Html", Type: "html"},
		{ReferenceName: "Custom.Plain", Type: "plainText"},
		{ReferenceName: "Custom.Whole", Type: "integer"},
		{ReferenceName: "Custom.Real", Type: "double"},
		{ReferenceName: "Custom.Flag", Type: "boolean"},
		{ReferenceName: "Custom.Date", Type: "dateTime"},
		{ReferenceName: "Custom.Owner", Type: "identity"},
		{ReferenceName: "Custom.Pick", AllowedValues: []string{"Low", "High"}},
		{ReferenceName: "Custom.Fixed", ReadOnly: true},
	}
	o.Projects = []sandbox.Project{{Name: "Alvaoproject", Areas: []string{"Team", `Team\Web`}, Iterations: []string{"Sprint 1"}}}
}

func (o org) with(reference, value string, person bool) item.Draft {
	d := taskDraft("Task")
	d.Fields = append(d.Fields, item.FieldValue{Reference: reference, Value: value, Person: person})
	return d
}

// TestFieldTypes: a value of each field type arrives as that type.
func TestFieldTypes(t *testing.T) {
	t.Parallel()
	o := open(t, settings{change: typedProject})
	fields, err := o.Fields(t.Context(), "Task")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		reference, value string
		kind             item.FieldType
		want             any
	}{
		{"Custom.Text", "a < b", item.FieldText, "a < b"},
		{"Custom.Html", "<p>a &lt; b</p>", item.FieldHTML, "<p>a &lt; b</p>"},
		{"Custom.Plain", "a < b\nc", item.FieldText, "a < b\nc"},
		{"Custom.Whole", "7", item.FieldInteger, 7},
		{"Custom.Real", "1.5", item.FieldDouble, 1.5},
		{"Custom.Flag", "true", item.FieldBoolean, true},
		{"Custom.Date", "2026-12-24T10:00:00Z", item.FieldDateTime, time.Date(2026, 12, 24, 10, 0, 0, 0, time.UTC)},
		{"Custom.Owner", jana, item.FieldIdentity, jana},
		{"Custom.Pick", "High", item.FieldText, "High"},
		{"System.AreaPath", `Alvaoproject\Team\Web`, item.FieldTreePath, `Alvaoproject\Team\Web`},
		{"System.IterationPath", `Alvaoproject\Sprint 1`, item.FieldTreePath, `Alvaoproject\Sprint 1`},
		{"System.Tags", "red; blue", item.FieldText, "ALVAO-5; blue; red"},
	} {
		if got := fields[tc.reference].Type; got != tc.kind && (tc.reference != "Custom.Plain" || got == item.FieldHTML) {
			t.Errorf("%s is a %q, want %q", tc.reference, got, tc.kind)
		}
		made, err := o.Create(t.Context(), o.with(tc.reference, tc.value, false))
		if err != nil {
			t.Errorf("%s: %v", tc.reference, err)
			continue
		}
		seen, _ := o.Server.WorkItem(int(made.ID))
		got := seen.Fields[tc.reference]
		if user, ok := got.(sandbox.User); ok {
			got = user.UniqueName
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", tc.reference, diff)
		}
	}
	if fields["Custom.Fixed"].ReadOnly != true || fields["System.AreaPath"].ReadOnly {
		t.Error("which fields can be written is not told right")
	}
}

// TestValidate: each refusal is told with what to do about it, all at once, and nothing
// is written.
func TestValidate(t *testing.T) {
	t.Parallel()
	o := open(t, settings{change: func(options *sandbox.Options) {
		typedProject(options)
		basic := sandbox.Basic()
		for i := range basic.Types {
			if kind := &basic.Types[i]; kind.Name == "Issue" {
				kind.Required = append(kind.Required, "Custom.Pick")
			}
		}
		options.Projects[0].Process = basic
	}})
	type finding struct {
		severity item.Severity
		says     []string
	}
	for name, tc := range map[string]struct {
		draft item.Draft
		want  []finding
	}{
		"fine":       {o.with("Custom.Whole", "7", false), []finding{{item.OK, []string{"would make"}}}},
		"known":      {o.with("Custom.Owner", jana, true), []finding{{item.OK, nil}}},
		"stranger":   {o.with("Custom.Owner", "nobody@x", true), []finding{{item.Warning, []string{"Custom.Owner", `"nobody@x"`, "left out"}}}},
		"type":       {o.with("Custom.Whole", "seven", false), []finding{{item.Error, []string{"Custom.Whole", `"seven"`}}}},
		"picklist":   {o.with("Custom.Pick", "Hihg", false), []finding{{item.Error, []string{"Custom.Pick", `"Hihg"`, "Low, High (perhaps High)"}}}},
		"tree path":  {o.with("System.AreaPath", `Alvaoproject\Nowhere`, false), []finding{{item.Error, []string{"System.AreaPath", "full path"}}}},
		"iteration":  {o.with("System.IterationPath", "Nowhere", false), []finding{{item.Error, []string{"System.IterationPath", "full path"}}}},
		"read-only":  {o.with("Custom.Fixed", "x", false), []finding{{item.Error, []string{"Custom.Fixed"}}}},
		"too long":   {o.with("Custom.Text", strings.Repeat("x", 300), false), []finding{{item.Error, []string{"Custom.Text", "xxx…"}}}},
		"no field":   {o.with("Custom.None", "x", false), []finding{{item.Error, []string{"Custom.None"}}}},
		"wrong type": {func() item.Draft { d := taskDraft("Taks"); return d }(), []finding{{item.Error, []string{"type"}}}},
		"required": {
			func() item.Draft { d := taskDraft("Issue"); return d }(),
			[]finding{{item.Error, []string{"Issue requires the field Custom.Pick", "Low, High"}}},
		},
		"all at once": {
			func() item.Draft {
				d := o.with("Custom.Whole", "seven", false)
				d.Type = "Issue"
				d.Fields = append(d.Fields, item.FieldValue{Reference: "System.AreaPath", Value: "Nowhere"}, item.FieldValue{Reference: "Custom.Owner", Value: "nobody@x", Person: true})
				return d
			}(),
			[]finding{
				{item.Error, []string{"Custom.Whole"}},
				{item.Error, []string{"System.AreaPath"}},
				{item.Warning, []string{"Custom.Owner"}},
				{item.Error, []string{"Custom.Pick"}},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := o.Validate(t.Context(), tc.draft)
			if len(got) != len(tc.want) {
				t.Fatalf("%d findings: %+v", len(got), got)
			}
			for _, want := range tc.want {
				met := false
				for _, f := range got {
					sentence(t, f.Detail)
					if (f.Remedy == "") != (f.Severity == item.OK) {
						t.Errorf("%+v", f)
					}
					all := f.Severity == want.severity
					for _, part := range want.says {
						all = all && strings.Contains(f.Detail+" "+f.Remedy, part)
					}
					met = met || all
				}
				if !met {
					t.Errorf("nothing says %v %v: %+v", want.severity, want.says, got)
				}
			}
			if n := o.Server.Count(); n != 0 {
				t.Errorf("%d work items were made", n)
			}
		})
	}
}

func TestValidateTrouble(t *testing.T) {
	t.Parallel()
	o := open(t, settings{})
	if _, err := o.faults.Add(faults.Rule{Method: http.MethodPost, Kind: faults.KindStatus, Status: http.StatusBadGateway}); err != nil {
		t.Fatal(err)
	}
	got := o.Validate(t.Context(), taskDraft("Task"))
	if len(got) != 1 || got[0].Severity != item.Error || !strings.Contains(got[0].Remedy, "again") {
		t.Errorf("%+v", got)
	}
}

// TestStrangersAreLeftOut: nobody who is unknown keeps a work item from being made, and
// no unknown name becomes text in a field, not even beside a reporter, which is set
// with the rules bypassed (azure-devops.md §2.6).
func TestStrangersAreLeftOut(t *testing.T) {
	t.Parallel()
	for name, reporter := range map[string]*item.Identity{"without reporter": nil, "with reporter": {UniqueName: jana}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := open(t, settings{change: typedProject})
			d := o.with("Custom.Owner", "nobody@contoso.com", true)
			d.Fields = append(d.Fields, item.FieldValue{Reference: "System.AssignedTo", Value: jana, Person: true})
			d.Reporter = reporter
			made, err := o.Create(t.Context(), d)
			if err != nil {
				t.Fatal(err)
			}
			seen, _ := o.Server.WorkItem(int(made.ID))
			assigned, _ := seen.Fields["System.AssignedTo"].(sandbox.User)
			if _, filled := seen.Fields["Custom.Owner"]; filled || assigned.UniqueName != jana || (reporter != nil && seen.CreatedBy != jana) {
				t.Errorf("made %+v by %s", seen.Fields, seen.CreatedBy)
			}
			if o.Server.Count() != 1 {
				t.Errorf("%d work items", o.Server.Count())
			}
		})
	}
	o := open(t, settings{change: typedProject})
	d := o.with("Custom.Owner", "nobody@contoso.com", true)
	d.Fields = append(d.Fields, item.FieldValue{Reference: "Custom.Pick", Value: "None"})
	_, err := o.Create(t.Context(), d)
	wantKind(t, err, fault.Refused)
	d.Fields = d.Fields[:len(d.Fields)-1]
	if diff := cmp.Diff(o.with("Custom.Owner", "nobody@contoso.com", true), d, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("the caller's draft was changed: %s", diff)
	}
}
