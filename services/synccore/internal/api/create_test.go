package api_test

import (
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/api"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

func TestCreateLink(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var failure error
	var dries []bool
	w.connectors.links = func(ticket, workItem int64, dry bool) (item.Link, error) {
		dries = append(dries, dry)
		return item.Link{Connector: "development", Ticket: ticket, WorkItem: workItem, State: item.LinkActive}, failure
	}
	ask := func(req *tandemv1.CreateLinkRequest) (*tandemv1.CreateLinkResponse, error) {
		req.Parent = "connectors/development"
		return w.api.CreateLink(t.Context(), req)
	}
	got, err := ask(&tandemv1.CreateLinkRequest{TicketId: 7, WorkItemId: 9, ValidateOnly: true, RequestId: "a"})
	if err != nil || got.GetLink().GetName() != "connectors/development/links/7" || got.GetLink().GetWorkItemId() != 9 {
		t.Fatal(got, err)
	}
	if queued := w.receive(t, 5); len(queued) != 0 {
		t.Errorf("validate_only queued %v", queued)
	}
	for range 2 { // a repeat is harmless
		if _, err := ask(&tandemv1.CreateLinkRequest{TicketId: 7, WorkItemId: 9, RequestId: "a"}); err != nil {
			t.Fatal(err)
		}
	}
	if queued := w.receive(t, 5); len(queued) != 1 || queued[0].Key.ID != 7 || !queued[0].Force {
		t.Errorf("queued %v", queued)
	}
	if diff := cmp.Diff([]bool{true, false, false}, dries); diff != "" {
		t.Error(diff)
	}
	// What it made is told even while somebody works on it.
	w.put(t, item.Link{Connector: "development", Ticket: 7, WorkItem: 9, State: item.LinkActive})
	failure = fault.New(fault.Conflict, "It is being worked on.")
	if again, err := ask(&tandemv1.CreateLinkRequest{TicketId: 7, WorkItemId: 9, RequestId: "a"}); err != nil || again.GetLink().GetWorkItemId() != 9 {
		t.Errorf("a repeat in the meantime: %v, %v", again, err)
	}
	_, err = ask(&tandemv1.CreateLinkRequest{TicketId: 7, WorkItemId: 10, RequestId: "a"})
	wantRefusal(t, err, codes.AlreadyExists, "REQUEST_ID_REUSED")
	for _, c := range []struct {
		kind   fault.Kind
		code   codes.Code
		reason string
	}{
		{fault.Invalid, codes.FailedPrecondition, "UNFIT_PAIR"},
		{fault.Refused, codes.AlreadyExists, "LINK_EXISTS"},
		{fault.Conflict, codes.Aborted, "LINK_CHANGED"},
		{fault.NotFound, codes.NotFound, "UNKNOWN_CONNECTOR"},
		{fault.Unavailable, codes.Unavailable, "VENDOR_UNAVAILABLE"},
		{fault.BadToken, codes.FailedPrecondition, "VENDOR_UNAVAILABLE"},
	} {
		failure = fault.New(c.kind, "No.")
		_, err := ask(&tandemv1.CreateLinkRequest{TicketId: 7, WorkItemId: 9})
		wantRefusal(t, err, c.code, c.reason)
	}
	// A request that came to nothing does not use its id up.
	failure = fault.New(fault.Invalid, "No.")
	_, err = ask(&tandemv1.CreateLinkRequest{TicketId: 8, WorkItemId: 99, RequestId: "b"})
	wantRefusal(t, err, codes.FailedPrecondition, "UNFIT_PAIR")
	failure = nil
	if _, err := ask(&tandemv1.CreateLinkRequest{TicketId: 8, WorkItemId: 9, RequestId: "b"}); err != nil {
		t.Errorf("the mended request: %v", err)
	}
	// A repeat that fails leaves the id to the request that went well.
	failure = fault.New(fault.Unavailable, "No.")
	_, err = ask(&tandemv1.CreateLinkRequest{TicketId: 8, WorkItemId: 9, RequestId: "b"})
	wantRefusal(t, err, codes.Unavailable, "VENDOR_UNAVAILABLE")
	_, err = ask(&tandemv1.CreateLinkRequest{TicketId: 8, WorkItemId: 10, RequestId: "b"})
	wantRefusal(t, err, codes.AlreadyExists, "REQUEST_ID_REUSED")
	_, err = w.api.CreateLink(t.Context(), &tandemv1.CreateLinkRequest{Parent: "x", TicketId: -1, RequestId: "a b"})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "parent", "ticket_id", "work_item_id", "request_id")
	_, err = w.api.CreateLink(t.Context(), &tandemv1.CreateLinkRequest{Parent: "connectors/sales", TicketId: 1, WorkItemId: 1})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_CONNECTOR")
}

func TestPreview(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.connectors.rendered = api.Rendering{
		Ticket: 7, TicketURL: "https://t/7", Reporter: "jana@contoso.com", States: []string{"To Do", "Doing"},
		Draft:  item.Draft{Type: "Task", Mark: "ALVAO-7", Fields: []item.FieldValue{{Reference: "System.Title", Value: "Printer"}}},
		Doubts: []item.Finding{{Check: "preview.status", Severity: item.Error, Detail: "No.", Remedy: "Do."}},
	}
	got, err := w.rooms.PreviewWorkItem(t.Context(), &tandemv1.PreviewWorkItemRequest{
		Name: "connectors/development", Settings: "{}",
		Sample: &tandemv1.SampleTicket{Title: "Printer", Status: "Development", Custom: map[string]string{"Severity": "1"}, Message: "Hi"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &tandemv1.PreviewWorkItemResponse{
		TicketId: 7, Type: "Task", Reporter: "jana@contoso.com", States: []string{"To Do", "Doing"}, Tag: "ALVAO-7", TicketUrl: "https://t/7",
		Fields:   []*tandemv1.FieldDraft{{Reference: "System.Title", Value: "Printer"}},
		Warnings: []*tandemv1.Finding{{Check: "preview.status", Severity: tandemv1.Finding_SEVERITY_ERROR, Detail: "No.", Remedy: "Do."}},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	asked := []any{"development", int64(0), &item.Ticket{Title: "Printer", Status: "Development", Custom: map[string]string{"Severity": "1"}}, "Hi", "{}"}
	if diff := cmp.Diff(asked, w.connectors.tried); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	_, err = w.rooms.PreviewWorkItem(t.Context(), &tandemv1.PreviewWorkItemRequest{Name: "x"})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "name", "ticket_id")
	_, err = w.rooms.PreviewWorkItem(t.Context(), &tandemv1.PreviewWorkItemRequest{Name: "connectors/development", TicketId: -1, Sample: &tandemv1.SampleTicket{TicketId: -1}})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "sample", "ticket_id", "sample.ticket_id")
	for _, c := range []struct {
		err    error
		code   codes.Code
		reason string
		fields []string
	}{
		{&api.SettingsError{Problems: [][2]string{{"URL", "is wrong"}, {"", "is nothing"}}}, codes.InvalidArgument, "INVALID_REQUEST", []string{"settings.URL", "settings"}},
		{fault.New(fault.NotFound, "None."), codes.NotFound, "UNKNOWN_CONNECTOR", nil},
		{fault.New(fault.Misconfigured, "Wrong."), codes.FailedPrecondition, "UNRENDERABLE", nil},
		{fault.New(fault.Unavailable, "Away."), codes.Unavailable, "VENDOR_UNAVAILABLE", nil},
	} {
		w.connectors.tryErr = c.err
		_, err := w.rooms.PreviewWorkItem(t.Context(), &tandemv1.PreviewWorkItemRequest{Name: "connectors/development", TicketId: 7})
		wantRefusal(t, err, c.code, c.reason, c.fields...)
		_, err = w.rooms.DiffMapping(t.Context(), &tandemv1.DiffMappingRequest{Name: "connectors/development", Settings: "{}"})
		wantRefusal(t, err, c.code, c.reason, c.fields...)
		_, err = w.rooms.ListExamples(t.Context(), &tandemv1.ListExamplesRequest{Name: "connectors/development"})
		wantRefusal(t, err, c.code, c.reason, c.fields...)
	}
}

func TestDiffMapping(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.connectors.compared = api.Comparison{
		Tickets: 3, Differing: 1, Truncated: true, Differences: []api.Difference{{Ticket: 7, Field: "type", Present: "Task", Draft: "Bug"}},
	}
	got, err := w.rooms.DiffMapping(t.Context(), &tandemv1.DiffMappingRequest{Name: "connectors/development", Settings: "{}"})
	want := &tandemv1.DiffMappingResponse{
		TicketCount: 3, DifferingCount: 1, Truncated: true, Differences: []*tandemv1.MappingDifference{{TicketId: 7, Field: "type", Present: "Task", Draft: "Bug"}},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if diff := cmp.Diff([]any{"development", "{}", w.now.AddDate(0, 0, -7), 100}, w.connectors.tried); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	_, err = w.rooms.DiffMapping(t.Context(), &tandemv1.DiffMappingRequest{Name: "x", Days: 91, TicketLimit: 501})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "name", "settings", "days", "ticket_limit")
}

func TestExamples(t *testing.T) {
	t.Parallel()
	w := setup(t)
	got, err := w.rooms.ListExamples(t.Context(), &tandemv1.ListExamplesRequest{Name: "connectors/development"})
	if err != nil || got.GetTickets()[0].AsMap()["name"] != "Printer" || got.GetWorkItems()[0].AsMap()["id"] != 9.0 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	w := setup(t)
	explain := func(name string) *tandemv1.ExplainLinkResponse {
		t.Helper()
		got, err := w.api.ExplainLink(t.Context(), &tandemv1.ExplainLinkRequest{Name: "connectors/development/" + name})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := explain("links/7"); got.GetSummary() == "" || got.GetTicketId() != 7 || got.GetLink() != nil || len(got.GetDecisions()) != 0 {
		t.Errorf("of nothing: %v", got)
	}
	ticket := item.Key{Connector: "development", System: item.Alvao, ID: 7}
	for n, d := range []item.Decision{
		{Event: "workitem.updated", Outcome: "done", Writes: 1, Steps: []string{"set-status"}, TraceID: "aa"},
		{Event: "poll", Outcome: "done", Reason: "rest", Rules: []item.Verdict{{Rule: "service", Said: item.SaidPass, Detail: "It is."}, {Rule: "status-map", Said: item.SaidStop, Detail: "The status is not in the StatusMap."}}, TraceID: "bb"},
	} {
		d.Time = w.now.Add(time.Duration(n) * time.Minute)
		if err := w.links.NoteDecision(t.Context(), ticket, d); err != nil {
			t.Fatal(err)
		}
	}
	got := explain("links/7")
	if got.GetSummary() != "Nothing was written: The status is not in the StatusMap." || len(got.GetDecisions()) != 2 || got.GetDecisions()[0].GetTraceId() != "bb" ||
		got.GetDecisions()[0].GetRules()[1].GetVerdict() != tandemv1.RuleVerdict_VERDICT_STOPPED || got.GetDecisions()[1].GetWriteCount() != 1 {
		t.Errorf("got %v", got)
	}
	// A link that is parked says so, whichever side is asked.
	w.put(t, item.Link{Connector: "development", Ticket: 7, WorkItem: 9, State: item.LinkParked, Reason: "A rule refused it."}, item.LinkChange{Time: w.now, Action: "park", Detail: "A rule refused it."})
	for _, name := range []string{"links/7", "workItems/9"} {
		of := explain(name)
		if of.GetSummary() != "A rule refused it." || of.GetTicketId() != 7 || of.GetWorkItemId() != 9 || len(of.GetChanges()) != 1 || len(of.GetDecisions()) != 2 {
			t.Errorf("%s: %v", name, of)
		}
	}
	// A dead letter comes before all, and can be asked about by its own name.
	if _, err := w.inbox.Append(t.Context(), item.Event{Key: ticket, Type: "webhook", Received: w.now}); err != nil {
		t.Fatal(err)
	}
	for _, d := range w.receive(t, 1) {
		if err := w.inbox.Dead(t.Context(), d, "Azure DevOps refuses the field.", "cc"); err != nil {
			t.Fatal(err)
		}
	}
	got = explain("links/7")
	if got.GetSummary() != "Azure DevOps refuses the field." || len(got.GetWaiting()) != 1 || got.GetWaiting()[0].GetState() != "dead" {
		t.Fatalf("got %v", got)
	}
	event := got.GetWaiting()[0].GetName()
	if again := explain(event[len("connectors/development/"):]); again.GetTicketId() != 7 || len(again.GetWaiting()) != 1 || len(again.GetDecisions()) != 2 {
		t.Errorf("%s: %v", event, again)
	}
	if got := explain("workItems/1234"); got.GetTicketId() != 0 || got.GetWorkItemId() != 1234 || got.GetSummary() == "" {
		t.Errorf("got %v", got)
	}
	for _, bad := range []string{"", "connectors/development/links/x", "connectors/development/links/07", "connectors/development/people/7"} {
		_, err := w.api.ExplainLink(t.Context(), &tandemv1.ExplainLinkRequest{Name: bad})
		wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "name")
	}
	_, err := w.api.ExplainLink(t.Context(), &tandemv1.ExplainLinkRequest{Name: "connectors/development/events/t7-zz"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_EVENT")
	_, err = w.api.ExplainLink(t.Context(), &tandemv1.ExplainLinkRequest{Name: "connectors/sales/links/7"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_CONNECTOR")
}

// TestManyViolations: what is told of them is bounded, since it travels in trailers.
func TestManyViolations(t *testing.T) {
	t.Parallel()
	w := setup(t)
	wrong := &api.SettingsError{}
	for i := range 5000 {
		wrong.Problems = append(wrong.Problems, [2]string{"key" + strconv.Itoa(i), strings.Repeat("ž", 1000)})
	}
	w.connectors.tryErr = wrong
	_, err := w.rooms.DiffMapping(t.Context(), &tandemv1.DiffMappingRequest{Name: "connectors/development", Settings: "{}"})
	state := status.Convert(err)
	if size := proto.Size(state.Proto()); size > 16<<10 || state.Code() != codes.InvalidArgument {
		t.Errorf("%v in %d bytes", state.Code(), size)
	}
	if text := state.Message(); !strings.Contains(text, "settings.key0 ") || !strings.Contains(text, "more are broken") || !utf8.ValidString(text) {
		t.Errorf("told %q", text)
	}
}
