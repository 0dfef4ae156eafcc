package azuredevops_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	sandbox "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	faults "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

const jana = "jana.dvorakova@contoso.com"

// org is a running stand-in, the faults before it, and our client of it. The stand-in
// is an independent reading of the same papers.
type org struct {
	*azuredevops.Client

	Server *sandbox.Server
	faults *faults.Set
}

type settings struct {
	project, token string
	change         func(*sandbox.Options)
	client         func(*azuredevops.Options)
}

func open(t *testing.T, s settings) org {
	t.Helper()
	if s.project == "" {
		s.project = "Alvaoproject"
	}
	if s.token == "" {
		s.token = "all"
	}
	const tandem = "tandem@contoso.com"
	options := sandbox.Options{
		Projects: []sandbox.Project{{Name: "Alvaoproject"}, {Name: "Agile Project", Process: sandbox.Agile()}},
		Users:    []sandbox.User{{UniqueName: tandem, DisplayName: "Tandem Service"}, {UniqueName: jana}},
		Tokens: []sandbox.Token{
			{Secret: "all", Owner: tandem, Rights: sandbox.AllRights},
			{Secret: "manual", Owner: tandem, Rights: sandbox.WorkItems},
			{Secret: "reader", Owner: tandem, Rights: sandbox.ReadWorkItems},
		},
	}
	if s.change != nil {
		s.change(&options)
	}
	server := sandbox.New(options)
	planted := faults.NewSet(1)
	listener := httptest.NewServer(planted.Middleware(http.StripPrefix("/azuredevops", server)))
	server.SetBaseURL(listener.URL + "/azuredevops")
	transport, err := outbound.Transport("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		listener.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	o := azuredevops.Options{
		ProjectURL: listener.URL + "/azuredevops/contoso/" + strings.ReplaceAll(s.project, " ", "%20"), Base: transport,
		Credential: azuredevops.PAT(func() (string, error) { return s.token + "\n", nil }),
	}
	if s.client != nil {
		s.client(&o)
	}
	c, err := azuredevops.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return org{c, server, planted}
}

func taskDraft(kind string) item.Draft {
	return item.Draft{
		Type: kind, Mark: mark, TicketURL: ticketURL, LinkText: "Alvao ticket T5SD",
		Fields: []item.FieldValue{
			{Reference: "System.Title", Value: "Žluťoučký kůň & co"},
			{Reference: "System.Description", Value: "<p>a &lt; b</p>"},
			{Reference: "System.Tags", Value: "alvao"},
			{Reference: "Microsoft.VSTS.Common.Priority", Value: "3"},
		},
	}
}

// TestStory walks the way of one work item on every form of the product.
func TestStory(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]settings{
		"services": {}, "rights of Alvao's manual": {token: "manual"},
		"server":              {change: func(o *sandbox.Options) { o.Flavor = sandbox.OnPremises }},
		"tags replaced":       {change: func(o *sandbox.Options) { o.Quirks.AddTagsReplaces = true }},
		"tags found by parts": {change: func(o *sandbox.Options) { o.Quirks.PartialTags = true }},
		"401 for all":         {change: func(o *sandbox.Options) { o.Refuse401 = true }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			open(t, s).story(t)
		})
	}
}

func (o org) story(t *testing.T) {
	t.Helper()
	who, err := o.Identity(t.Context())
	if err != nil || who.Name != "Tandem Service" || who.Account != "tandem@contoso.com" {
		t.Errorf("identity %+v, %v", who, err)
	}
	decoy := taskDraft("Issue")
	decoy.Mark = "ALVAO-55"
	if _, err := o.Create(t.Context(), decoy); err != nil {
		t.Fatal(err)
	}
	made, err := o.Create(t.Context(), taskDraft("Task"))
	if err != nil {
		t.Fatal(err)
	}
	want := item.WorkItem{
		ID: made.ID, Rev: 1, Project: "Alvaoproject", Type: "Task", State: "To Do", Title: "Žluťoučký kůň & co",
		Tags: []string{"alvao", mark}, Hyperlinks: []string{ticketURL}, URL: o.WebURL(made.ID), Changed: made.Changed, StateChanged: made.StateChanged, ChangedBy: who.ID,
	}
	slices.Sort(made.Tags)
	slices.Sort(want.Tags)
	if diff := cmp.Diff(want, made); diff != "" || made.StateChanged.IsZero() || made.Changed.IsZero() {
		t.Error(diff)
	}
	seen, ok := o.Server.WorkItem(int(made.ID))
	if !ok || seen.Fields["System.Description"] != "<p>a &lt; b</p>" || seen.Relations[0].Comment != "Alvao ticket T5SD" || seen.HTMLURL == "" {
		t.Errorf("the server shows %+v", seen)
	}

	found, err := o.FindByMark(t.Context(), mark, strings.ToUpper(ticketURL))
	if err != nil || len(found) != 1 || found[0].ID != made.ID {
		t.Errorf("found %+v, %v", found, err)
	}
	moved, err := o.SetState(t.Context(), made.ID, made.Rev, "Doing")
	if err != nil || moved.State != "Doing" || moved.Rev != 2 || !moved.StateChanged.After(made.StateChanged.Add(-1)) {
		t.Errorf("moved %+v, %v", moved, err)
	}
	_, err = o.SetState(t.Context(), made.ID, made.Rev, "Done")
	wantKind(t, err, fault.Conflict)
	_, err = o.SetState(t.Context(), made.ID, moved.Rev, "Dun")
	wantKind(t, err, fault.Refused)
	if !strings.Contains(fault.Sentence(err), "System.State") {
		t.Errorf("%q does not name the field", fault.Sentence(err))
	}
	read, err := o.WorkItem(t.Context(), made.ID)
	if diff := cmp.Diff(moved, read); diff != "" || err != nil {
		t.Errorf("read back: %s %v", diff, err)
	}

	// What a person made by hand is adopted.
	theirs, err := o.Server.As(jana).Create("Alvaoproject", "Task", "By hand", sandbox.Set{Field: "System.Tags", Value: "hers"})
	if err != nil {
		t.Fatal(err)
	}
	id := int64(theirs.ID)
	marked, err := o.AddMark(t.Context(), id, int64(theirs.Rev), "ALVAO-6", "https://alvao/Alvao/Ticket/6", "Alvao ticket T6SD")
	slices.Sort(marked.Tags)
	if err != nil || !slices.Equal(marked.Tags, []string{"ALVAO-6", "hers"}) || len(marked.Hyperlinks) != 1 {
		t.Errorf("marked %+v, %v", marked, err)
	}
	again, err := o.AddMark(t.Context(), id, 0, "ALVAO-6", "https://ALVAO/Alvao/Ticket/6/", "")
	if err != nil || again.Rev != marked.Rev {
		t.Errorf("marking twice wrote: %+v, %v", again, err)
	}
	if all, err := o.WorkItems(t.Context(), []int64{made.ID, 9999, id}); err != nil || len(all) != 2 || all[0].Rev != 2 || all[1].Title != "By hand" {
		t.Errorf("batch %+v, %v", all, err)
	}
	o.gone(t, made.ID)
}

// gone follows an item into another project, the recycle bin and beyond.
func (o org) gone(t *testing.T, id int64) {
	t.Helper()
	by := o.Server.As(jana)
	if _, err := by.Move(int(id), "Agile Project"); err != nil {
		t.Fatal(err)
	}
	moved, err := o.WorkItem(t.Context(), id)
	if err != nil || moved.Project != "Agile Project" || !strings.HasSuffix(moved.URL, "/contoso/Agile%20Project/_workitems/edit/"+strings.TrimPrefix(o.WebURL(id), o.AccountURL()+"/Alvaoproject/_workitems/edit/")) {
		t.Errorf("moved %+v, %v", moved, err)
	}
	if _, err := by.Move(int(id), "Alvaoproject"); err != nil {
		t.Fatal(err)
	}
	if err := by.Delete(int(id)); err != nil {
		t.Fatal(err)
	}
	deleted, err := o.WorkItem(t.Context(), id)
	if err != nil || !deleted.Deleted || deleted.ID != id {
		t.Errorf("deleted %+v, %v", deleted, err)
	}
	_, err = o.SetState(t.Context(), id, 0, "Done")
	wantKind(t, err, fault.NotFound)
	_, err = o.AddMark(t.Context(), id, 0, mark, ticketURL, "")
	wantKind(t, err, fault.NotFound)
	if none, err := o.WorkItems(t.Context(), []int64{id}); err != nil || len(none) != 0 {
		t.Errorf("batch %+v, %v", none, err)
	}
	if err := by.Destroy(int(id)); err != nil {
		t.Fatal(err)
	}
	_, err = o.WorkItem(t.Context(), id)
	wantKind(t, err, fault.NotFound)
}

func TestLegalPath(t *testing.T) {
	t.Parallel()
	o := open(t, settings{project: "Agile Project"})
	kind, err := o.Type(t.Context(), "user story")
	if err != nil || kind.Name != "User Story" || !slices.Contains(kind.Transitions["New"], "Active") || slices.Contains(kind.Transitions["New"], "Closed") ||
		!slices.Equal(kind.Transitions[""], []string{"New"}) || len(kind.States) != 5 || kind.States[2].Category != "InProgress" {
		t.Errorf("got %+v, %v", kind, err)
	}
	made, err := o.Create(t.Context(), taskDraft("User Story"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = o.SetState(t.Context(), made.ID, made.Rev, "Closed")
	wantKind(t, err, fault.Refused)
	for _, state := range []string{"Active", "Resolved", "Closed"} {
		if made, err = o.SetState(t.Context(), made.ID, made.Rev, state); err != nil || made.State != state {
			t.Fatalf("%s: %+v, %v", state, made, err)
		}
	}
	fields, err := o.Fields(t.Context(), "User Story")
	if err != nil || fields["System.Description"].Type != item.FieldHTML || fields["System.AssignedTo"].Type != item.FieldIdentity ||
		!fields["System.Title"].Required || !fields["System.Id"].ReadOnly || fields["System.AreaPath"].ReadOnly || fields["Microsoft.VSTS.Common.Priority"].Type != item.FieldInteger {
		t.Errorf("fields %+v, %v", fields, err)
	}
	names, err := o.Types(t.Context())
	if err != nil || !slices.Contains(names, "Bug") || !slices.Contains(names, "User Story") {
		t.Errorf("types %v, %v", names, err)
	}
}

func TestWrongSettings(t *testing.T) {
	t.Parallel()
	bad := func(reference, value string) item.Draft {
		d := taskDraft("Task")
		d.Fields = append(d.Fields, item.FieldValue{Reference: reference, Value: value})
		return d
	}
	tests := map[string]struct {
		settings settings
		draft    item.Draft
		want     fault.Kind
	}{
		"no such project":  {settings{project: "Nowhere"}, taskDraft("Task"), fault.Misconfigured},
		"no such type":     {settings{}, taskDraft("Tsk"), fault.Misconfigured},
		"no such field":    {settings{}, bad("Custom.Nope", "x"), fault.Misconfigured},
		"read-only field":  {settings{}, bad("System.Watermark", "7"), fault.Misconfigured},
		"unknown person":   {settings{}, bad("System.AssignedTo", "nobody@nowhere"), fault.Invalid},
		"state at create":  {settings{}, bad("System.State", "Doing"), fault.Refused},
		"no right":         {settings{token: "reader"}, taskDraft("Task"), fault.Denied},
		"wrong token":      {settings{token: "wrong"}, taskDraft("Task"), fault.BadToken},
		"wrong token, 401": {settings{token: "wrong", change: func(o *sandbox.Options) { o.Refuse401 = true }}, taskDraft("Task"), fault.BadToken},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := open(t, tc.settings)
			_, err := o.Create(t.Context(), tc.draft)
			if name == "no right" && fault.Is(err, fault.BadToken) {
				// Whether a missing scope is 401 or 403 is not documented.
				return
			}
			wantKind(t, err, tc.want)
			if n := o.Server.Count(); n != 0 {
				t.Errorf("%d work items were made", n)
			}
		})
	}
}

// TestLostReply is why a create is never repeated: the mark finds what was made.
func TestLostReply(t *testing.T) {
	t.Parallel()
	o := open(t, settings{})
	plant := func(rule faults.Rule) {
		t.Helper()
		o.faults.Clear()
		if _, err := o.faults.Add(rule); err != nil {
			t.Fatal(err)
		}
	}
	plant(faults.Rule{Kind: faults.KindLostReply, Method: http.MethodPost, Count: 1})
	_, err := o.Create(t.Context(), taskDraft("Task"))
	wantKind(t, err, fault.Unavailable)
	if n := o.Server.Count(); n != 1 {
		t.Fatalf("%d work items after a lost reply", n)
	}
	// The search gets over a short trouble by itself, though it is a POST.
	plant(faults.Rule{Kind: faults.KindUnavailable, Path: "/azuredevops/contoso/Alvaoproject/_apis/wit/wiql", Count: 1})
	found, err := o.FindByMark(t.Context(), mark, ticketURL)
	if err != nil || len(found) != 1 {
		t.Errorf("found %+v, %v", found, err)
	}
	plant(faults.Rule{Kind: faults.KindSignIn})
	_, err = o.WorkItem(t.Context(), 1)
	wantKind(t, err, fault.BadToken)
	plant(faults.Rule{Kind: faults.KindCut, Method: http.MethodPatch, Count: 1})
	_, err = o.SetState(t.Context(), found[0].ID, found[0].Rev, "Doing")
	wantKind(t, err, fault.Unavailable)
	if seen, ok := o.Server.WorkItem(int(found[0].ID)); !ok || seen.State != "Doing" {
		t.Errorf("the move did not take effect: %+v", seen)
	}
}

func TestLiveCheck(t *testing.T) {
	t.Parallel()
	fit := azuredevops.Wants{Type: "task", States: []string{"To Do", "Doing", "Done"}, Fields: []string{"System.Title", "System.Description", "System.WorkItemType"}}
	for name, tc := range map[string]struct {
		settings settings
		bad      string
	}{
		"fits": {}, "rights of the manual": {settings: settings{token: "manual"}}, "wrong token": {settings{token: "wrong"}, "azure-devops.token"},
		"no such project": {settings{project: "Nowhere"}, "azure-devops.project"}, "other process": {settings{project: "Agile Project"}, "azure-devops.states"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := open(t, tc.settings)
			failed := map[string]bool{}
			for _, f := range o.Check(t.Context(), fit) {
				sentence(t, f.Detail)
				if f.Severity == item.Error {
					failed[f.Check] = true
				} else if f.Severity != item.OK {
					t.Logf("%+v", f)
				}
			}
			if (tc.bad != "") != (len(failed) > 0) || (tc.bad != "" && !failed[tc.bad]) {
				t.Errorf("failed: %v, want %q", failed, tc.bad)
			}
		})
	}
}

// TestCoversOwnEvents: what the stand-in says of itself in events is ours.
func TestCoversOwnEvents(t *testing.T) {
	t.Parallel()
	o := open(t, settings{})
	p, err := o.Project(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if match, known := o.Covers(o.Server.URL()+"/", p.ID, ""); !match || !known {
		t.Errorf("Covers = %v, %v", match, known)
	}
	if !o.Server.RenameProject("Alvaoproject", "Renamed") {
		t.Fatal("not renamed")
	}
	if match, known := o.Covers(o.Server.URL(), p.ID, "Renamed"); !match || !known {
		t.Errorf("after a rename: %v, %v", match, known)
	}
	_, err = o.Create(t.Context(), taskDraft("Task"))
	if err != nil && !fault.Is(err, fault.Misconfigured) {
		t.Errorf("after a rename: %v", err)
	}
	if told, ok := errors.AsType[*azuredevops.Error](err); ok && told.ActivityID == "" {
		t.Error("no ActivityId for the log")
	}
}

// A work item that was moved can be read with the same token; it says so, alone and in
// a batch. A project that was merely renamed is still the same one.
func TestWorkItemElsewhere(t *testing.T) {
	t.Parallel()
	o := open(t, settings{change: func(o *sandbox.Options) {
		o.Projects = append(o.Projects, sandbox.Project{Name: "Archive"})
	}})
	if _, err := o.Project(t.Context()); err != nil {
		t.Fatal(err)
	}
	made, err := o.Server.As(jana).Create("Alvaoproject", "Task", "Printer")
	if err != nil {
		t.Fatal(err)
	}
	look := func(want bool) {
		t.Helper()
		one, err := o.WorkItem(t.Context(), int64(made.ID))
		if err != nil {
			t.Fatal(err)
		}
		all, err := o.WorkItems(t.Context(), []int64{int64(made.ID)})
		if err != nil || len(all) != 1 {
			t.Fatal(all, err)
		}
		if one.Elsewhere != want || all[0].Elsewhere != want {
			t.Errorf("in %q: elsewhere %v, in a batch %v", one.Project, one.Elsewhere, all[0].Elsewhere)
		}
	}
	look(false)
	if _, err := o.Server.As(jana).Move(made.ID, "Archive"); err != nil {
		t.Fatal(err)
	}
	look(true)
	if _, err := o.Server.As(jana).Move(made.ID, "Alvaoproject"); err != nil {
		t.Fatal(err)
	}
	look(false)
	if !o.Server.RenameProject("Alvaoproject", "Alvao project 2") {
		t.Fatal("the project was not renamed")
	}
	look(false)
}
