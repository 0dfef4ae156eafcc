package connector_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/config"
	"github.com/tandem-sync/tandem/services/synccore/internal/connector"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
)

// drafted are settings of the same project with other fields.
func (r *replica) drafted(fields, statuses string) string {
	return `{"ConnectorType": "AzureDevOps", "URL": "` + r.url + `/azuredevops/contoso/Alvaoproject", "AccessToken": "0",
		"AttributeMap": {` + fields + `}, "StatusMap": {` + statuses + `}}`
}

const (
	sameFields   = `"System.Title": "[$TicketTitle$]", "System.WorkItemType": "Task"`
	sameStatuses = `"To Do": "Development", "Doing": "Development pending", "Done": "Testing"`
)

func TestPreviewIsWhatIsCreated(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name))
	r.ready(t, name)
	ticket := r.ticket(t, "Testing")
	before := r.calls.of("azuredevops")
	got, err := r.set.Preview(t.Context(), name, ticket, nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if r.calls.of("azuredevops") == before {
		t.Error("Azure DevOps was not asked")
	}
	if _, found, err := r.links.TicketOf(t.Context(), name, 1); err != nil || found {
		t.Error("a preview linked", err)
	}
	if diff := cmp.Diff([]string{"To Do", "Doing", "Done"}, got.States); diff != "" && !slices.Equal(got.States, []string{"To Do", "Done"}) {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	r.hint(t, name, ticket)
	var known item.Link
	eventually(t, "the work item is made", func() bool {
		known, err = r.links.Get(t.Context(), name, ticket)
		return err == nil && known.WorkItem != 0 && known.Agreed.Status != ""
	})
	raw, err := r.set.Examples(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	var made map[string]any
	for _, one := range raw.WorkItems {
		if one["id"] == float64(known.WorkItem) {
			made, _ = one["fields"].(map[string]any)
		}
	}
	if made["System.WorkItemType"] != got.Draft.Type || made["System.State"] != got.States[len(got.States)-1] {
		t.Errorf("previewed %+v, made %v", got, made)
	}
	for _, f := range got.Draft.Fields {
		if made[f.Reference] != f.Value {
			t.Errorf("previewed %s = %q, made %q", f.Reference, f.Value, made[f.Reference])
		}
	}
	again, err := r.set.Preview(t.Context(), name, ticket, nil, "")
	if err != nil || !slices.ContainsFunc(again.Doubts, func(f item.Finding) bool { return f.Check == "preview.link" }) {
		t.Errorf("of a linked ticket: %+v, %v", again, err)
	}
}

func TestPreviewDoubts(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name))
	r.ready(t, name)
	sample := &connector.Sample{Ticket: item.Ticket{Title: strings.Repeat("x", 300), Status: "Nowhere"}, Message: "<p>Smoke</p>"}
	settings := r.drafted(`"System.Title": "[$TicketTitle$]", "System.Description": "[$LatestImportantMessage$]", "System.AssignedTo": "nobody@nowhere.example", "System.Tags": "[$TicketSLA$]", "System.WorkItemType": "Task"`, sameStatuses)
	got, err := r.set.Preview(t.Context(), name, 0, sample, settings)
	if err != nil {
		t.Fatal(err)
	}
	var checks []string
	for _, doubt := range got.Doubts {
		checks = append(checks, doubt.Check)
		if doubt.Detail == "" || doubt.Remedy == "" {
			t.Errorf("%+v", doubt)
		}
	}
	for _, want := range []string{"preview.status", "preview.person", "preview.value"} {
		if !slices.Contains(checks, want) {
			t.Errorf("no doubt of %s among %v", want, checks)
		}
	}
	if len(got.States) != 0 {
		t.Errorf("states %v of an unmapped status", got.States)
	}
	at := slices.IndexFunc(got.Draft.Fields, func(f item.FieldValue) bool { return f.Reference == "System.Description" })
	if at < 0 || !strings.Contains(got.Draft.Fields[at].Value, "Smoke") {
		t.Errorf("fields %+v", got.Draft.Fields)
	}
	if got, err := r.set.Preview(t.Context(), name, 0, &connector.Sample{}, ""); err != nil || len(got.States) == 0 || len(got.Doubts) != 0 {
		t.Errorf("of an empty sample: %+v, %v", got, err)
	}
	_, err = r.set.Preview(t.Context(), name, 999999, nil, "")
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("of no ticket: %v", err)
	}
	if _, err = r.set.Preview(t.Context(), "other", 1, nil, ""); !fault.Is(err, fault.NotFound) {
		t.Errorf("of no connector: %v", err)
	}
	for _, wrong := range []string{"{", `{"ConnectorType": "Jira"}`, strings.ReplaceAll(r.drafted(sameFields, sameStatuses), "Alvaoproject", "Elsewhere")} {
		_, err := r.set.Preview(t.Context(), name, 0, sample, wrong)
		if problems, ok := errors.AsType[config.Problems](err); !ok || len(problems) == 0 {
			t.Errorf("settings %.40s: %v", wrong, err)
		}
	}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name))
	r.ready(t, name)
	first, second := r.ticket(t, "Development"), r.ticket(t, "Testing")
	r.ticket(t, "New")
	writes := r.calls.of("live writes") + r.calls.of("background writes")
	since := time.Now().Add(-time.Hour)
	same, err := r.set.Compare(t.Context(), name, r.drafted(sameFields, sameStatuses), since, 100)
	if err != nil || len(same.Differences) != 0 || same.Tickets != 3 || same.Truncated {
		t.Errorf("the same settings: %+v, %v", same, err)
	}
	got, err := r.set.Compare(t.Context(), name, r.drafted(`"System.Title": "Ticket: [$TicketTitle$]", "System.WorkItemType": "Bug"`, `"To Do": "Development"`), since, 100)
	if err != nil {
		t.Fatal(err)
	}
	want := map[int64][]string{first: {"System.Title", "type"}, second: {"System.Title", "state", "type"}}
	found := map[int64][]string{}
	for _, one := range got.Differences {
		found[one.Ticket] = append(found[one.Ticket], one.Field)
	}
	for _, fields := range found {
		slices.Sort(fields)
		// A Bug begins in a state of its own.
	}
	found[first] = slices.DeleteFunc(found[first], func(f string) bool { return f == "state" || f == "error" })
	if diff := cmp.Diff(want, found); diff != "" || got.Differing != 2 {
		t.Errorf("%+v (-want +got):\n%s", got, diff)
	}
	cut, err := r.set.Compare(t.Context(), name, r.drafted(sameFields, sameStatuses), since, 2)
	if err != nil || !cut.Truncated || cut.Tickets != 2 {
		t.Errorf("at most two: %+v, %v", cut, err)
	}
	if after := r.calls.of("live writes") + r.calls.of("background writes"); after != writes {
		t.Errorf("comparing wrote %d times", after-writes)
	}
}

func TestExamplesAreMasked(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name))
	r.ready(t, name)
	const planted = "ghp_" + "0123456789abcdefghijABCDEFGHIJ456789"
	for range 7 {
		_, err := r.desk.CreateTicket(t.Context(), standalvao.Requester, standalvao.NewTicket{Name: "Key " + planted, Description: "x", Service: "Development", Status: "New"})
		if err != nil {
			t.Fatal(err)
		}
	}
	got, err := r.set.Examples(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Tickets) != 5 {
		t.Errorf("%d tickets", len(got.Tickets))
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), planted) || !strings.Contains(string(text), "[redacted") {
		t.Errorf("the secret is shown, or nothing is: %.600s", text)
	}
}

func TestPairsAreLinkedByHand(t *testing.T) {
	t.Parallel()
	r := setup(t)
	r.apply(t, r.settings(t, name))
	r.ready(t, name)
	made := r.ticket(t, "Development")
	r.hint(t, name, made)
	var known item.Link
	eventually(t, "a work item is made", func() bool {
		var err error
		known, err = r.links.Get(t.Context(), name, made)
		return err == nil && known.State == item.LinkActive && known.Agreed.Status != ""
	})
	other := r.ticket(t, "New")
	pair := func(ticket, workItem int64, dry bool) (item.Link, error) {
		// A round may hold the ticket for a moment.
		for {
			got, err := r.set.Link(t.Context(), name, ticket, workItem, dry)
			if !fault.Is(err, fault.Conflict) {
				return got, err
			}
		}
	}
	for _, c := range []struct {
		ticket, workItem int64
		kind             fault.Kind
	}{
		{other, known.WorkItem, fault.Refused},
		{made, known.WorkItem + 1, fault.Refused},
		{999999, 999999, fault.Invalid},
		{other, 999999, fault.Invalid},
	} {
		if _, err := pair(c.ticket, c.workItem, true); !fault.Is(err, c.kind) {
			t.Errorf("ticket %d with %d: %v", c.ticket, c.workItem, err)
		}
	}
	if same, err := pair(made, known.WorkItem, false); err != nil || same.Version != known.Version {
		t.Errorf("the pair itself: %+v, %v", same, err)
	}
	// Freed, the work item can be given to the other ticket, which follows it then.
	r.forget(t, known)
	if dry, err := pair(other, known.WorkItem, true); err != nil || dry.WorkItem != known.WorkItem {
		t.Errorf("dry: %+v, %v", dry, err)
	}
	if there, err := r.links.Get(t.Context(), name, other); err != nil || there.Exists() {
		t.Errorf("a dry run linked: %+v, %v", there, err)
	}
	if _, err := pair(other, known.WorkItem, false); err != nil {
		t.Fatal(err)
	}
	r.hint(t, name, other)
	eventually(t, "the pair is in step", func() bool {
		got, err := r.links.Get(t.Context(), name, other)
		return err == nil && got.WorkItem == known.WorkItem && got.Agreed.Status != ""
	})
	history, err := r.links.History(context.WithoutCancel(t.Context()), name, other, 0)
	if err != nil || !slices.ContainsFunc(history, func(c item.LinkChange) bool { return c.Action == "link" }) {
		t.Errorf("history %+v, %v", history, err)
	}
}

// forget deletes a link.
func (r *replica) forget(t *testing.T, known item.Link) {
	t.Helper()
	leases := lease.New(r.store)
	eventually(t, "the link is deleted", func() bool {
		held, err := leases.Acquire(t.Context(), link.TicketKey(name, known.Ticket), time.Minute)
		if err != nil {
			return false
		}
		defer func() { _ = leases.Release(t.Context(), held) }()
		present, err := r.links.Get(t.Context(), name, known.Ticket)
		if err != nil {
			return false
		}
		return r.links.Delete(t.Context(), held, present) == nil
	})
}
