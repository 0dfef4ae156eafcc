package azuredevops_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	faults "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

func person(id, account, more string) string {
	return `{"id":"` + id + `","providerDisplayName":"N ` + id + `","properties":{"SchemaClassName":{"$value":"User"},"Account":{"$type":"System.String","$value":"` + account + `"},"Mail":{"$value":"mail@` + id + `"}}` + more + `}`
}

// TestFindIdentity: exactly one active match counts (azure-devops.md §3.1). The shape
// is that of the specification's example, the people are made up.
func TestFindIdentity(t *testing.T) {
	t.Parallel()
	const on = `,"isActive":true`
	domain := `{"id":"d","providerDisplayName":"D","isActive":true,"properties":{"SchemaClassName":{"$value":"User"},"Domain":{"$value":"CONTOSO"},"Account":{"$value":"jdvorakova"}}}`
	cases := map[string]struct {
		name   string
		people []string
		want   string
		unique string
	}{
		"user name":                   {"U@x", []string{person("a", "u@x", on), person("b", "v@x", on)}, "a", "u@x"},
		"no isActive is inactive":     {"u@x", []string{person("a", "u@x", "")}, "", ""},
		"inactive":                    {"u@x", []string{person("a", "u@x", `,"isActive":false`), person("b", "u@x", on)}, "b", "u@x"},
		"two":                         {"u@x", []string{person("a", "u@x", on), person("b", "u@x", on)}, "", ""},
		"one told twice":              {"u@x", []string{person("a", "u@x", on), person("A", "u@x", on)}, "a", "u@x"},
		"e-mail":                      {"MAIL@b", []string{person("a", "u@x", on), person("b", "v@x", on)}, "b", "v@x"},
		"user name before e-mail":     {"mail@b", []string{person("a", "mail@b", on), person("b", "v@x", on)}, "a", "mail@b"},
		"two user names, one e-mail":  {"mail@b", []string{person("a", "mail@b", on), person("c", "mail@b", on), person("b", "v@x", on)}, "", ""},
		"display name is not enough":  {"N a", []string{person("a", "u@x", on)}, "", ""},
		"group":                       {"u@x", []string{strings.Replace(person("a", "u@x", on), `"User"`, `"Group"`, 1)}, "", ""},
		"container":                   {"u@x", []string{person("a", "u@x", on+`,"isContainer":true`)}, "", ""},
		"domain and user":             {`contoso\JDvorakova`, []string{domain}, "d", `CONTOSO\jdvorakova`},
		"user without domain":         {`jdvorakova`, []string{domain}, "d", `CONTOSO\jdvorakova`},
		"user of another domain":      {`other\jdvorakova`, []string{domain}, "", ""},
		"nobody":                      {"u@x", nil, "", ""},
		"nonsense":                    {"u@x", []string{"null", "5", `{"properties":[]}`}, "", ""},
		"a name with signs & percent": {"o'neil+%&@x", []string{person("a", "o'neil+%&@x", on)}, "a", "o'neil+%&@x"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := over(t, replies(func(r *http.Request) *http.Response {
				if r.URL.Host != "vssps.dev.azure.com" || r.URL.Path != "/contoso/_apis/identities" || r.URL.Query().Get("filterValue") != tc.name || r.URL.Query().Get("searchFilter") != "General" {
					t.Errorf("called %s", r.URL)
				}
				return plainAnswer(http.StatusOK, []byte(`{"value":[`+strings.Join(tc.people, ",")+`]}`))
			}))
			got, found, err := c.FindIdentity(t.Context(), " "+tc.name+" ")
			if err != nil || found != (tc.want != "") || !strings.EqualFold(got.ID, tc.want) || got.UniqueName != tc.unique {
				t.Errorf("got %+v, %v, %v", got, found, err)
			}
		})
	}
}

func TestIdentitiesRemembered(t *testing.T) {
	t.Parallel()
	status, calls := http.StatusOK, 0
	tokenFine := true
	c := over(t, replies(func(r *http.Request) *http.Response {
		if strings.HasSuffix(r.URL.Path, "/connectionData") {
			if tokenFine {
				return plainAnswer(http.StatusOK, []byte(me))
			}
			return plainAnswer(http.StatusUnauthorized, nil)
		}
		calls++
		return plainAnswer(status, []byte(`{"value":[]}`))
	}))
	look := func(name string, wantCalls int, want fault.Kind) {
		t.Helper()
		_, found, err := c.FindIdentity(t.Context(), name)
		if found || calls != wantCalls {
			t.Errorf("%s: found %v after %d calls", name, found, calls)
		}
		if want == fault.Internal && err != nil {
			t.Error(err)
		} else if want != fault.Internal {
			wantKind(t, err, want)
		}
	}
	look("", 0, fault.Internal)
	look("nobody@x", 1, fault.Internal)
	look("NOBODY@x", 1, fault.Internal)
	status = http.StatusInternalServerError
	look("other@x", 4, fault.Unavailable) // three tries, not remembered
	status, tokenFine = http.StatusUnauthorized, false
	look("other@x", 5, fault.BadToken)
	if c.IdentitiesDenied() {
		t.Error("a bad token is taken for a missing right")
	}
	tokenFine = true
	look("other@x", 6, fault.Internal)
	look("third@x", 6, fault.Internal)
	if !c.IdentitiesDenied() {
		t.Error("the missing right is not told")
	}
}

func (o org) reported(t *testing.T, reporter *item.Identity, change func(*item.Draft)) (string, error) {
	t.Helper()
	d := taskDraft("Task")
	d.Reporter = reporter
	if change != nil {
		change(&d)
	}
	made, err := o.Create(t.Context(), d)
	if err != nil {
		return "", err
	}
	seen, ok := o.Server.WorkItem(int(made.ID))
	if !ok {
		t.Fatalf("no work item %d", made.ID)
	}
	return seen.CreatedBy, nil
}

// TestReporter: the reporter is set where it may be, and only resolved people.
func TestReporter(t *testing.T) {
	t.Parallel()
	const tandem = "tandem@contoso.com"
	o := open(t, settings{})
	who, found, err := o.FindIdentity(t.Context(), strings.ToUpper(jana))
	if err != nil || !found || who.UniqueName != jana || who.ID == "" || who.DisplayName == "" {
		t.Fatalf("got %+v, %v, %v", who, found, err)
	}
	named := &item.Identity{UniqueName: jana}
	nobody := &item.Identity{UniqueName: "nobody@contoso.com"}
	for name, tc := range map[string]struct {
		reporter *item.Identity
		want     string
	}{
		"looked up": {&who, jana}, "by name alone": {named, jana}, "unknown name": {nobody, tandem}, "none": {nil, tandem}, "empty": {&item.Identity{}, tandem},
	} {
		if got, err := o.reported(t, tc.reporter, nil); err != nil || got != tc.want {
			t.Errorf("%s: created by %q, %v", name, got, err)
		}
	}
	alias := func(d *item.Draft) { d.OtherNames = []string{"", "nobody@contoso.com", jana} }
	if got, err := o.reported(t, &item.Identity{UniqueName: "jdvorakova"}, alias); err != nil || got != jana {
		t.Errorf("by her third name: created by %q, %v", got, err)
	}
	if o.ReporterDenied() || o.IdentitiesDenied() {
		t.Error("rights are said to be missing")
	}
	// Rules are kept: what a create without reporter refuses is refused with one too,
	// and no name that nobody has becomes text in a field (azure-devops.md §8, 15).
	before := o.Server.Count()
	_, err = o.reported(t, &who, func(d *item.Draft) {
		d.Fields = append(d.Fields, item.FieldValue{Reference: "System.AssignedTo", Value: "nobody@contoso.com"})
	})
	wantKind(t, err, fault.Invalid)
	_, err = o.reported(t, &who, func(d *item.Draft) {
		d.Fields = append(d.Fields, item.FieldValue{Reference: "System.State", Value: "Doing"})
	})
	wantKind(t, err, fault.Refused)
	if o.Server.Count() != before {
		t.Error("work items were made")
	}
	// A lost reply is not a refusal: nothing else is made.
	if _, err := o.faults.Add(faults.Rule{Kind: faults.KindLostReply, Method: http.MethodPost, Skip: 1, Count: 1}); err != nil {
		t.Fatal(err)
	}
	_, err = o.reported(t, &who, nil)
	wantKind(t, err, fault.Unavailable)
	if o.Server.Count() != before+1 {
		t.Errorf("%d work items were made", o.Server.Count()-before)
	}
}

// TestReporterWithoutRights: with the rights of Alvao's manual every item is made, by
// the token's account, and the missing rights are told, not asked for every time.
func TestReporterWithoutRights(t *testing.T) {
	t.Parallel()
	o := open(t, settings{token: "manual"})
	if _, found, err := o.FindIdentity(t.Context(), jana); err != nil || found || !o.IdentitiesDenied() {
		t.Errorf("found %v, %v, denied %v", found, err, o.IdentitiesDenied())
	}
	calls := func() int {
		n := 0
		for _, count := range o.Server.CallCounts() {
			n += count
		}
		return n
	}
	for n, most := range []int{3, 1} {
		before := calls()
		if got, err := o.reported(t, &item.Identity{UniqueName: jana}, nil); err != nil || got != "tandem@contoso.com" || !o.ReporterDenied() {
			t.Errorf("created by %q, %v, denied %v", got, err, o.ReporterDenied())
		}
		if took := calls() - before; took != most {
			t.Errorf("create %d took %d calls, want %d", n, took, most)
		}
	}
	found := map[string]item.Severity{}
	for _, f := range o.Check(t.Context(), azuredevops.Wants{Type: "Task", Reporter: true}) {
		sentence(t, f.Detail)
		if (f.Remedy == "") != (f.Severity == item.OK) {
			t.Errorf("%+v", f)
		}
		found[f.Check] = f.Severity
	}
	if found["azure-devops.identities"] != item.Warning || found["azure-devops.reporter"] != item.Warning || !o.ReporterDenied() {
		t.Errorf("found %v", found)
	}
	reader := open(t, settings{token: "reader"})
	_, err := reader.reported(t, &item.Identity{UniqueName: jana, ID: "x"}, nil)
	if !fault.Is(err, fault.Denied) && !fault.Is(err, fault.BadToken) {
		t.Errorf("got %v", err)
	}
	if reader.ReporterDenied() {
		t.Error("without the right to write, the right to bypass is not the matter")
	}
	free := open(t, settings{})
	for _, f := range free.Check(t.Context(), azuredevops.Wants{Type: "Task", Reporter: true}) {
		if f.Severity == item.Error || ((f.Check == "azure-devops.identities" || f.Check == "azure-devops.reporter") && f.Severity != item.OK) {
			t.Errorf("%+v", f)
		}
	}
	if free.Server.Count() != 0 {
		t.Error("the check made work items")
	}
}

// TestReporterResolvedAsAnother: whoever the server resolves a name to counts only if
// it is the name's owner.
func TestReporterResolvedAsAnother(t *testing.T) {
	t.Parallel()
	for assigned, want := range map[string]bool{
		`{"id":"` + guid + `","uniqueName":"U@x","displayName":"U"}`: true,
		`{"id":"` + guid + `","uniqueName":"other@x"}`:               false,
		`{"uniqueName":"u@x"}`:                                       false, `"U <u@x>"`: false, `null`: false,
	} {
		bypassed := false
		c, _ := answering(t, func(w http.ResponseWriter, r *http.Request) {
			bypassed = bypassed || r.URL.Query().Has("bypassRules")
			answerJSON(w, http.StatusOK, `{"id":973,"rev":1,"fields":{"System.AssignedTo":`+assigned+`}}`)
		})
		d := draft()
		d.Reporter = &item.Identity{UniqueName: "u@x"}
		if _, err := c.Create(t.Context(), d); err != nil || bypassed != want {
			t.Errorf("%s: bypassed %v, %v", assigned, bypassed, err)
		}
	}
}

// TestReporterRefusals plays refusals that the stand-in does not have. TF401322 is
// reported with 400 and with 403; the rest is modelled.
func TestReporterRefusals(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		status int
		body   string
		denied bool
		want   fault.Kind
		posts  int
	}{
		"TF401322":       {400, typed("TF401322: You don't have bypass rules permission.", "X", ""), true, fault.Internal, 3},
		"403":            {403, typed("Access denied.", "X", ""), true, fault.Internal, 3},
		"unknown person": {400, typed("no", "WorkItemFieldInvalidException", "600171"), false, fault.Internal, 3},
		"server error":   {500, "", false, fault.Unavailable, 2},
		"throttled":      {429, "", false, fault.Throttled, 2},
		"conflict":       {409, typed("TF26071: changed", "X", ""), false, fault.Conflict, 2},
		"token died":     {401, "", false, fault.BadToken, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, s := answering(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Has("bypassRules") {
					answerJSON(w, tc.status, tc.body)
					return
				}
				answerJSON(w, http.StatusOK, `{"id":973,"rev":1}`)
			})
			d := draft()
			d.Reporter = &item.Identity{ID: guid, UniqueName: "u@x", DisplayName: "U"}
			made, err := c.Create(t.Context(), d)
			if tc.want != fault.Internal {
				wantKind(t, err, tc.want)
			} else if err != nil || made.ID != 973 {
				t.Errorf("got %+v, %v", made, err)
			}
			if c.ReporterDenied() != tc.denied || len(s.all()) != tc.posts {
				t.Errorf("denied %v after %d posts", c.ReporterDenied(), len(s.all()))
			}
			got := make([]string, 0, 3)
			for _, r := range s.all() {
				reporter := 0
				for _, o := range operations(t, r) {
					if o.Path == "/fields/System.CreatedBy" {
						reporter++
						if diff := cmp.Diff(any(map[string]any{"id": guid, "uniqueName": "u@x", "displayName": "U"}), o.Value); diff != "" {
							t.Error(diff)
						}
					}
				}
				got = append(got, fmt.Sprint(strings.TrimPrefix(r.query, "api-version=7.1&$expand=relations"), " ", reporter))
			}
			if diff := cmp.Diff([]string{"&validateOnly=true 0", "&bypassRules=true 1", " 0"}[:tc.posts], got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestNames: display names by GUID, all unknown ones in one call, each asked for once
// (shape of the specification's example SearchByIds).
func TestNames(t *testing.T) {
	t.Parallel()
	const jana, petr, gone, author = "8c8c7d32-6b1b-47f4-b2e9-30b477b5ab3d", "1601de0c-4613-60d7-a201-537155816713", "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
	status, calls := http.StatusOK, 0
	c := over(t, replies(func(r *http.Request) *http.Response {
		if strings.Contains(r.URL.Path, "/comments") {
			return plainAnswer(http.StatusOK, []byte(`{"comments":[{"id":1,"text":"x","createdBy":{"id":"`+author+`","displayName":"Author"}}]}`))
		}
		if strings.HasSuffix(r.URL.Path, "/connectionData") {
			return plainAnswer(http.StatusOK, []byte(me))
		}
		calls++
		if got := r.URL.Query().Get("identityIds"); status == http.StatusOK && got != jana+","+petr+","+gone {
			t.Errorf("asked for %s", got)
		}
		return plainAnswer(status, []byte(`{"value":[null,{"id":"`+strings.ToUpper(jana)+`","providerDisplayName":"Jana","isActive":true},{"id":"`+petr+`","providerDisplayName":"P","customDisplayName":"Petr"}]}`))
	}))
	if _, err := c.Comments(t.Context(), "", 1); err != nil {
		t.Fatal(err)
	}
	all := []string{strings.ToUpper(jana), petr, gone, author, "no GUID&x=1"}
	want := map[string]string{jana: "Jana", petr: "Petr", author: "Author"}
	for range 2 {
		if diff := cmp.Diff(want, c.Names(t.Context(), all)); diff != "" || calls != 1 {
			t.Errorf("%d calls %s", calls, diff)
		}
	}
	// A token that may not look people up costs one more call, and what is known stays.
	status = http.StatusUnauthorized
	other := "00000000-0000-4000-8000-00000000000c"
	for range 2 {
		if diff := cmp.Diff(map[string]string{author: "Author"}, c.Names(t.Context(), []string{other, author})); diff != "" || calls != 2 {
			t.Errorf("%d calls %s", calls, diff)
		}
	}
}
