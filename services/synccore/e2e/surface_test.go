//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/access"
	"github.com/tandem-sync/tandem/services/synccore/internal/transport"
)

// httpStatus is what grpc-gateway and Google's API guide make of a code.
func httpStatus(code codes.Code) int {
	switch code {
	case codes.InvalidArgument, codes.FailedPrecondition, codes.OutOfRange:
		return http.StatusBadRequest
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists, codes.Aborted:
		return http.StatusConflict
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

const (
	// rootToken may do everything, watcherToken may read.
	rootToken    = "tandem_Hn4Vb7Kq2Zt9Wm6Xc3Rd8Ls5Pj1Fg0Ya"
	watcherToken = "tandem_Bd6Rk3Wp8Yx1Nf5Tq9Jc2Hv7Zs4Lm0Ge"
)

// overTLS starts a stack where everything is encrypted and everybody has to show who they
// are.
func overTLS(t *testing.T) *stack.Stack {
	t.Helper()
	return start(t, stack.Options{
		TLS: true, HTTPS: true, Connector: "    pollInterval: 1s\n",
		Callers: fmt.Sprintf("  limit: {perSecond: 100000, burst: 1000000}\n  tokens:\n    - {name: root, role: admin, sha256: %q}\n    - {name: watcher, role: viewer, sha256: %q}\n",
			access.Hash(rootToken), access.Hash(watcherToken)),
	})
}

// dialTLS reaches sync-core as a caller without a certificate.
func dialTLS(t *testing.T, s *stack.Stack) *grpc.ClientConn {
	t.Helper()
	conn, err := transport.Dial(transport.Client{Target: s.CoreAddr, Files: transport.Files{CA: s.Certificates.CA}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// TestEveryMethodOverTLS calls every method of every service over gRPC and over REST, both
// over TLS and with a token. A method that is new and not called here fails it.
func TestEveryMethodOverTLS(t *testing.T) {
	t.Parallel()
	s := overTLS(t)
	client := s.Certificates.Client()
	t.Cleanup(client.CloseIdleConnections)
	rest := overREST{client: client, url: s.GatewayURL, bindings: readBindings(t), called: map[string]bool{}}
	ways := map[string]way{"gRPC": overGRPC{dialTLS(t, s)}, "REST": rest}
	for _, name := range []string{"gRPC", "REST"} {
		u := &surface{t: t, s: s, name: name, way: ways[name], called: map[protoreflect.FullName]bool{}}
		u.everything()
		for method := range methods() {
			if !u.called[method] {
				t.Errorf("%s was not called over %s: add a call to surface_test.go", method, name)
			}
		}
	}
	read, err := document()
	if err != nil {
		t.Fatal(err)
	}
	for path, item := range read.Paths.Map() {
		for verb, operation := range item.Operations() {
			if !rest.called[operation.OperationID] {
				t.Errorf("%s %s (%s) was not called", verb, path, operation.OperationID)
			}
		}
	}
	sameRefusals(t, ways)
	sameReads(t, ways)
}

// surface calls methods one way.
type surface struct {
	t      *testing.T
	s      *stack.Stack
	name   string
	way    way
	called map[protoreflect.FullName]bool
}

// named finds a method by its service and name.
func named(t *testing.T, method string) protoreflect.MethodDescriptor {
	t.Helper()
	found, ok := methods()[protoreflect.FullName("tandem.v1."+method)]
	if !ok {
		t.Fatalf("there is no method %s", method)
	}
	return found
}

// ask calls a method, which must work.
func ask[T proto.Message](u *surface, method string, request proto.Message, with ...func(*asking)) T {
	u.t.Helper()
	return answerAs[T](u, method, request, refusal{}, with...)
}

// answerAs calls a method and wants that refusal.
func answerAs[T proto.Message](u *surface, method string, request proto.Message, want refusal, with ...func(*asking)) T {
	u.t.Helper()
	a := asking{Token: rootToken, Until: func(proto.Message) bool { return true }}
	for _, change := range with {
		change(&a)
	}
	found := named(u.t, method)
	u.called[found.FullName()] = true
	answer, got := u.way.call(u.t, found, request, a)
	if diff := cmp.Diff(want, got); diff != "" {
		u.t.Errorf("%s over %s (-want +got):\n%s", method, u.name, diff)
	}
	typed, ok := answer.(T)
	if !ok {
		u.t.Fatalf("%s answers a %T", method, answer)
	}
	return typed
}

// unheld calls a method until the link that it changes is not being worked on, as callers
// are told to.
func unheld[T proto.Message](u *surface, method string, request proto.Message, change ...func(*asking)) T {
	u.t.Helper()
	found := named(u.t, method)
	u.called[found.FullName()] = true
	var typed T
	asked := asking{Token: rootToken}
	for _, f := range change {
		f(&asked)
	}
	await(u.t, recovery, method+" is not held up", func() (bool, string) {
		answer, got := u.way.call(u.t, found, request, asked)
		typed, _ = answer.(T)
		return cmp.Equal(got, refusal{}), fmt.Sprintf("it is refused: %+v", got)
	})
	return typed
}

func (u *surface) check(what string, ok bool, got any) {
	u.t.Helper()
	if !ok {
		u.t.Errorf("over %s, %s: %v", u.name, what, got)
	}
}

func keyed(key string) func(*asking) { return func(a *asking) { a.Key = key } }

const room = "connectors/" + stack.Connector

// settle waits until nothing is in the inbox.
func (u *surface) settle() {
	u.t.Helper()
	await(u.t, recovery, "the inbox is empty", func() (bool, string) {
		waiting := ask[*tandemv1.ListEventsResponse](u, "EventService.ListEvents", &tandemv1.ListEventsRequest{Parent: room})
		return len(waiting.GetEvents()) == 0 && u.s.Box.AzureDevOps.PendingDeliveries() == 0, fmt.Sprint(waiting)
	})
}

// everything calls every method.
func (u *surface) everything() {
	ticket, workItem := develop(u.t, u.s, "Everything over "+u.name)
	u.settle()
	u.connectors(ticket)
	u.resyncs(ticket)
	u.links(ticket, workItem)
	u.events(ticket)
}

func (u *surface) connectors(ticket int) {
	all := ask[*tandemv1.ListConnectorsResponse](u, "ConnectorService.ListConnectors", &tandemv1.ListConnectorsRequest{ReadMask: &fieldmaskpb.FieldMask{Paths: []string{"name"}}})
	u.check("the connectors", len(all.GetConnectors()) == 1 && all.GetConnectors()[0].GetName() == room && all.GetConnectors()[0].GetStatusMap() == nil, all)
	one := ask[*tandemv1.GetConnectorResponse](u, "ConnectorService.GetConnector", &tandemv1.GetConnectorRequest{Name: room})
	u.check("the connector", one.GetConnector().GetHealthy() && len(one.GetConnector().GetStatusMap()) == 3, one)
	checked := ask[*tandemv1.CheckConnectorResponse](u, "ConnectorService.CheckConnector", &tandemv1.CheckConnectorRequest{Name: room})
	u.check("the check", len(checked.GetFindings()) > 3, checked)
	answerAs[*tandemv1.ReleaseConnectorResponse](u, "ConnectorService.ReleaseConnector", &tandemv1.ReleaseConnectorRequest{Name: room, BrakeId: "none"},
		refusal{Status: http.StatusBadRequest, Reason: "NOT_BRAKED"})
	asked := ask[*tandemv1.ResyncConnectorResponse](u, "ConnectorService.ResyncConnector", &tandemv1.ResyncConnectorRequest{Name: room})
	u.check("the resync that was asked for", asked.GetRequestTime() != nil, asked)
	preview := ask[*tandemv1.PreviewWorkItemResponse](u, "ConnectorService.PreviewWorkItem", &tandemv1.PreviewWorkItemRequest{Name: room, TicketId: int64(ticket)})
	u.check("the preview", preview.GetType() == "Task" && preview.GetFields()[0].GetReference() == "System.Title", preview)
	examples := ask[*tandemv1.ListExamplesResponse](u, "ConnectorService.ListExamples", &tandemv1.ListExamplesRequest{Name: room})
	u.check("the examples", len(examples.GetTickets()) > 0 && len(examples.GetWorkItems()) > 0, examples)
	draft := strings.Replace(fmt.Sprintf(stack.Settings, u.s.Box.ProjectURL()), `[$TicketTitle$]`, `Ticket: [$TicketTitle$]`, 1)
	diff := ask[*tandemv1.DiffMappingResponse](u, "ConnectorService.DiffMapping", &tandemv1.DiffMappingRequest{Name: room, Settings: draft})
	u.check("the diff", diff.GetDifferingCount() > 0, diff)
}

func (u *surface) resyncs(ticket int) {
	key := "resync-over-" + u.name
	begun := ask[*tandemv1.StartResyncResponse](u, "ResyncService.StartResync", &tandemv1.StartResyncRequest{Parent: room}, keyed(key)).GetResync()
	await(u.t, recovery, "the resync that was started", func() (bool, string) {
		got := ask[*tandemv1.GetResyncResponse](u, "ResyncService.GetResync", &tandemv1.GetResyncRequest{Name: begun.GetName()}).GetResync()
		return got.GetState() == tandemv1.Resync_STATE_SUCCEEDED, got.String()
	})
	// A repeat gets the resync that has ended meanwhile, and starts none.
	again := ask[*tandemv1.StartResyncResponse](u, "ResyncService.StartResync", &tandemv1.StartResyncRequest{Parent: room}, keyed(key)).GetResync()
	u.check("the repeat of StartResync", again.GetName() == begun.GetName() && again.GetState() == tandemv1.Resync_STATE_SUCCEEDED, again)
	answerAs[*tandemv1.StartResyncResponse](u, "ResyncService.StartResync", &tandemv1.StartResyncRequest{Parent: room},
		refusal{Status: http.StatusBadRequest, Reason: "INVALID_REQUEST", Violations: []string{"request_id"}}, keyed("two words"))
	listed := ask[*tandemv1.ListResyncsResponse](u, "ResyncService.ListResyncs", &tandemv1.ListResyncsRequest{Parent: room, ReadMask: &fieldmaskpb.FieldMask{Paths: []string{"name"}}})
	u.check("the resyncs", listed.GetResyncs()[0].GetName() == begun.GetName() && listed.GetResyncs()[0].GetStartTime() == nil, listed)
	ended := ask[*tandemv1.CancelResyncResponse](u, "ResyncService.CancelResync", &tandemv1.CancelResyncRequest{Name: begun.GetName()})
	u.check("cancelling one that has ended", ended.GetResync().GetState() == tandemv1.Resync_STATE_SUCCEEDED, ended)
	u.settle()
	drift := ask[*tandemv1.CheckDriftResponse](u, "ResyncService.CheckDrift", &tandemv1.CheckDriftRequest{Parent: room})
	u.check("the links compared", drift.GetComparedCount() > 0, drift)
	repaired := unheld[*tandemv1.RepairDriftResponse](u, "ResyncService.RepairDrift",
		&tandemv1.RepairDriftRequest{Name: linkOf(ticket), Winner: tandemv1.RepairDriftRequest_WINNER_ALVAO})
	u.check("the repair", repaired.GetWriteCount() == 0, repaired)
}

func linkOf(ticket int) string { return room + "/links/" + strconv.Itoa(ticket) }

func (u *surface) links(ticket, workItem int) {
	name := linkOf(ticket)
	link := ask[*tandemv1.GetLinkResponse](u, "LinkService.GetLink", &tandemv1.GetLinkRequest{Name: name}).GetLink()
	u.check("the link", link.GetWorkItemId() == int64(workItem) && link.GetState() == tandemv1.Link_STATE_ACTIVE, link)
	listed := ask[*tandemv1.ListLinksResponse](u, "LinkService.ListLinks",
		&tandemv1.ListLinksRequest{Parent: room, Filter: fmt.Sprintf("work_item_id = %d", workItem), OrderBy: "update_time desc", ReadMask: &fieldmaskpb.FieldMask{Paths: []string{"name", "work_item_id"}}})
	u.check("the links", len(listed.GetLinks()) == 1 && proto.Equal(listed.GetLinks()[0], &tandemv1.Link{Name: name, WorkItemId: int64(workItem)}), listed)
	told := ask[*tandemv1.WatchLinksResponse](u, "LinkService.WatchLinks", &tandemv1.WatchLinksRequest{Parent: room, ResumeToken: "0-0"}, func(a *asking) {
		a.Until = func(m proto.Message) bool {
			told, ok := m.(*tandemv1.WatchLinksResponse)
			return ok && told.GetLink().GetTicketId() == int64(ticket)
		}
	})
	u.check("the watch", told.GetResumeToken() != "" && told.GetLink().GetName() == name, told)
	var history []*tandemv1.LinkChange
	for page := ""; ; {
		part := ask[*tandemv1.ListLinkHistoryResponse](u, "LinkService.ListLinkHistory", &tandemv1.ListLinkHistoryRequest{Name: name, PageSize: 1, PageToken: page})
		history = append(history, part.GetChanges()...)
		if page = part.GetNextPageToken(); page == "" {
			break
		}
	}
	whole := ask[*tandemv1.ListLinkHistoryResponse](u, "LinkService.ListLinkHistory", &tandemv1.ListLinkHistoryRequest{Name: name})
	u.check("the history, entry by entry", len(history) > 0 && cmp.Equal(history, whole.GetChanges(), protocmp.Transform()), history)
	for _, asked := range []string{name, room + "/workItems/" + strconv.Itoa(workItem)} {
		why := ask[*tandemv1.ExplainLinkResponse](u, "LinkService.ExplainLink", &tandemv1.ExplainLinkRequest{Name: asked})
		u.check("the explanation of "+asked, why.GetTicketId() == int64(ticket) && why.GetSummary() != "", why)
	}
	answerAs[*tandemv1.ExplainLinkResponse](u, "LinkService.ExplainLink", &tandemv1.ExplainLinkRequest{Name: room + "/events/none"}, refusal{Status: http.StatusNotFound, Reason: "UNKNOWN_EVENT"})
	ask[*tandemv1.SyncLinkResponse](u, "LinkService.SyncLink", &tandemv1.SyncLinkRequest{Name: name})

	spare := int64(open(u.t, u.s, "By hand over "+u.name))
	made, err := u.s.Box.AzureDevOps.As(developer).Create(sandbox.Project, "Task", "By hand over "+u.name)
	if err != nil {
		u.t.Fatal(err)
	}
	create := &tandemv1.CreateLinkRequest{Parent: room, TicketId: spare, WorkItemId: int64(made.ID), ValidateOnly: true}
	dry := ask[*tandemv1.CreateLinkResponse](u, "LinkService.CreateLink", create)
	u.check("the link that would be made", dry.GetLink().GetWorkItemId() == int64(made.ID), dry)
	create.ValidateOnly = false
	// The ticket may be in a round of its own; the repeat is within the one that the first causes.
	first := unheld[*tandemv1.CreateLinkResponse](u, "LinkService.CreateLink", create, keyed("link-over-"+u.name))
	again := ask[*tandemv1.CreateLinkResponse](u, "LinkService.CreateLink", create, keyed("link-over-"+u.name))
	u.check("the repeat of CreateLink", again.GetLink().GetName() == first.GetLink().GetName(), again)
	other := proto.CloneOf(create)
	other.WorkItemId++
	answerAs[*tandemv1.CreateLinkResponse](u, "LinkService.CreateLink", other, refusal{Status: http.StatusConflict, Reason: "REQUEST_ID_REUSED"}, keyed("link-over-"+u.name))
	u.settle()
	gone := &tandemv1.DeleteLinkRequest{Name: first.GetLink().GetName(), Etag: "another", ValidateOnly: true}
	answerAs[*tandemv1.DeleteLinkResponse](u, "LinkService.DeleteLink", gone, refusal{Status: http.StatusConflict, Reason: "LINK_CHANGED", Retry: true})
	gone.Etag = ""
	unheld[*tandemv1.DeleteLinkResponse](u, "LinkService.DeleteLink", gone)
	ask[*tandemv1.GetLinkResponse](u, "LinkService.GetLink", &tandemv1.GetLinkRequest{Name: gone.GetName()})
	gone.ValidateOnly = false
	unheld[*tandemv1.DeleteLinkResponse](u, "LinkService.DeleteLink", gone)
	answerAs[*tandemv1.DeleteLinkResponse](u, "LinkService.DeleteLink", gone, refusal{Status: http.StatusNotFound, Reason: "UNKNOWN_LINK"})
}

func (u *surface) events(ticket int) {
	hint := func() proto.Message {
		return &tandemv1.IngestEventRequest{Connector: stack.Connector, System: tandemv1.System_SYSTEM_ALVAO, ItemId: int64(ticket)}
	}
	for _, want := range []tandemv1.IngestEventResponse_Disposition{tandemv1.IngestEventResponse_DISPOSITION_STORED, tandemv1.IngestEventResponse_DISPOSITION_DUPLICATE} {
		got := ask[*tandemv1.IngestEventResponse](u, "EventService.IngestEvent", hint(), keyed("event-over-"+u.name))
		u.check("the event", got.GetDisposition() == want, got)
	}
	if _, err := u.s.Box.Faults.Add(fault.Rule{ID: "no", Method: "POST", Path: "/azuredevops/**/workitems/$*", Kind: fault.KindStatus, Status: 400, Body: `{"message":"VS402625: planted"}`}); err != nil {
		u.t.Fatal(err)
	}
	doomed := open(u.t, u.s, "Doomed over "+u.name)
	setStatus(u.t, u.s, doomed, "Development")
	var dead *tandemv1.Event
	await(u.t, recovery, "a dead letter", func() (bool, string) {
		letters := ask[*tandemv1.ListEventsResponse](u, "EventService.ListEvents", &tandemv1.ListEventsRequest{Parent: room, State: tandemv1.Event_STATE_DEAD})
		if len(letters.GetEvents()) > 0 {
			dead = letters.GetEvents()[0]
		}
		return dead != nil, "there is none"
	})
	letter := ask[*tandemv1.GetEventResponse](u, "EventService.GetEvent", &tandemv1.GetEventRequest{Name: dead.GetName(), ReadMask: &fieldmaskpb.FieldMask{Paths: []string{"name", "reason"}}}).GetEvent()
	u.check("the dead letter", letter.GetName() == dead.GetName() && strings.Contains(letter.GetReason(), "planted") && letter.GetItemId() == 0, letter)
	ask[*tandemv1.ExplainLinkResponse](u, "LinkService.ExplainLink", &tandemv1.ExplainLinkRequest{Name: dead.GetName()})
	u.s.Box.Faults.Remove("no")
	ask[*tandemv1.ReplayEventResponse](u, "EventService.ReplayEvent", &tandemv1.ReplayEventRequest{Name: dead.GetName()})
	awaitPair(u.t, u.s, doomed)
	u.settle()
}

// sameRefusals has every method refused both ways, which must tell the same: that nobody
// calls, that a caller may not, and all that is wrong with a request at once.
func sameRefusals(t *testing.T, ways map[string]way) {
	t.Helper()
	mask := &fieldmaskpb.FieldMask{Paths: []string{"nothing"}}
	const noLink, noNumber = room + "/links/x", "name"
	invalid := func(violations ...string) refusal {
		return refusal{Status: http.StatusBadRequest, Reason: "INVALID_REQUEST", Violations: violations}
	}
	unknown := refusal{Status: http.StatusNotFound, Reason: "UNKNOWN_CONNECTOR"}
	const nobody = "connectors/nobody"
	wrong := map[string]struct {
		request proto.Message
		want    refusal
	}{
		"ConnectorService.ListConnectors":   {&tandemv1.ListConnectorsRequest{PageSize: -1, PageToken: "x", ReadMask: mask}, invalid("page_size", "page_token", "read_mask")},
		"ConnectorService.GetConnector":     {&tandemv1.GetConnectorRequest{Name: room, ReadMask: mask}, invalid("read_mask")},
		"ConnectorService.CheckConnector":   {&tandemv1.CheckConnectorRequest{Name: nobody}, unknown},
		"ConnectorService.ReleaseConnector": {&tandemv1.ReleaseConnectorRequest{Name: room}, invalid("brake_id")},
		"ConnectorService.ResyncConnector":  {&tandemv1.ResyncConnectorRequest{Name: nobody}, unknown},
		"ConnectorService.PreviewWorkItem":  {&tandemv1.PreviewWorkItemRequest{Name: room, TicketId: -1, Sample: &tandemv1.SampleTicket{TicketId: -1}}, invalid("sample", "ticket_id", "sample.ticket_id")},
		"ConnectorService.ListExamples":     {&tandemv1.ListExamplesRequest{Name: nobody}, unknown},
		"ConnectorService.DiffMapping":      {&tandemv1.DiffMappingRequest{Name: room, Days: -1, TicketLimit: -1}, invalid("settings", "days", "ticket_limit")},
		"ResyncService.StartResync":         {&tandemv1.StartResyncRequest{Parent: room, RequestId: "a b"}, invalid("request_id")},
		"ResyncService.GetResync":           {&tandemv1.GetResyncRequest{Name: room + "/resyncs/none", ReadMask: mask}, invalid("read_mask")},
		"ResyncService.ListResyncs":         {&tandemv1.ListResyncsRequest{Parent: room, PageSize: -1, PageToken: "x", ReadMask: mask}, invalid("page_size", "page_token", "read_mask")},
		"ResyncService.CancelResync":        {&tandemv1.CancelResyncRequest{Name: nobody + "/resyncs/none"}, unknown},
		"ResyncService.CheckDrift":          {&tandemv1.CheckDriftRequest{Parent: room, PageSize: -1, PageToken: "x"}, invalid("page_size", "page_token")},
		"ResyncService.RepairDrift":         {&tandemv1.RepairDriftRequest{Name: noLink, Winner: 9}, invalid(noNumber, "winner")},
		"EventService.IngestEvent":          {&tandemv1.IngestEventRequest{System: 9, Revision: -1, EventType: strings.Repeat("x", 200)}, invalid("system", "item_id", "revision", "event_type")},
		"EventService.ListEvents":           {&tandemv1.ListEventsRequest{Parent: room, PageSize: -1, PageToken: "x", ReadMask: mask}, invalid("page_size", "page_token", "read_mask")},
		"EventService.GetEvent":             {&tandemv1.GetEventRequest{Name: room + "/events/none", ReadMask: mask}, invalid("read_mask")},
		"EventService.ReplayEvent":          {&tandemv1.ReplayEventRequest{Name: room + "/events/none"}, refusal{Status: http.StatusNotFound, Reason: "UNKNOWN_EVENT"}},
		"LinkService.GetLink":               {&tandemv1.GetLinkRequest{Name: noLink, ReadMask: mask}, invalid(noNumber, "read_mask")},
		"LinkService.ListLinks":             {&tandemv1.ListLinksRequest{Parent: room, PageSize: -1, PageToken: "x", Filter: "reason = x", OrderBy: "reason", ReadMask: mask}, invalid("page_size", "order_by", "filter", "read_mask", "page_token")},
		"LinkService.WatchLinks":            {&tandemv1.WatchLinksRequest{Parent: room, ResumeToken: "x"}, invalid("resume_token")},
		"LinkService.ExplainLink":           {&tandemv1.ExplainLinkRequest{Name: noLink}, invalid(noNumber)},
		"LinkService.SyncLink":              {&tandemv1.SyncLinkRequest{Name: noLink}, invalid(noNumber)},
		"LinkService.CreateLink":            {&tandemv1.CreateLinkRequest{Parent: room, TicketId: -1, RequestId: "a b"}, invalid("ticket_id", "work_item_id", "request_id")},
		"LinkService.DeleteLink":            {&tandemv1.DeleteLinkRequest{Name: noLink}, invalid(noNumber)},
		"LinkService.ListLinkHistory":       {&tandemv1.ListLinkHistoryRequest{Name: noLink, PageSize: -1, PageToken: "x"}, invalid(noNumber, "page_size", "page_token")},
	}
	rules := access.Rules()
	for full, method := range methods() {
		c, ok := wrong[strings.TrimPrefix(string(full), "tandem.v1.")]
		if !ok {
			t.Errorf("%s is not refused here: add a row", full)
			continue
		}
		rule := rules[fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())]
		for name, one := range ways {
			for token, want := range map[string]refusal{
				"":           {Status: http.StatusUnauthorized, Reason: "UNAUTHENTICATED"},
				"wrong":      {Status: http.StatusUnauthorized, Reason: "UNAUTHENTICATED"},
				watcherToken: {Status: http.StatusForbidden, Reason: "PERMISSION_DENIED"},
				rootToken:    c.want,
			} {
				if token == watcherToken && rule.Least == access.Viewer {
					want = c.want
				}
				_, got := one.call(t, method, c.request, asking{Token: token, Until: func(proto.Message) bool { return true }})
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("%s over %s with token %q (-want +got):\n%s", full, name, token, diff)
				}
			}
		}
	}
	for name := range wrong {
		named(t, name) // a row without a method
	}
}

// sameReads has the same told both ways.
func sameReads(t *testing.T, ways map[string]way) {
	t.Helper()
	for method, request := range map[string]proto.Message{
		"ConnectorService.ListConnectors":  &tandemv1.ListConnectorsRequest{},
		"ConnectorService.GetConnector":    &tandemv1.GetConnectorRequest{Name: room},
		"ConnectorService.ListExamples":    &tandemv1.ListExamplesRequest{Name: room},
		"ConnectorService.PreviewWorkItem": &tandemv1.PreviewWorkItemRequest{Name: room, Sample: &tandemv1.SampleTicket{Title: "Grüße & <b>mehr</b>", Message: "<p>x</p>"}},
		"LinkService.ListLinks":            &tandemv1.ListLinksRequest{Parent: room, OrderBy: "update_time desc"},
		"ResyncService.ListResyncs":        &tandemv1.ListResyncsRequest{Parent: room},
		"ResyncService.CheckDrift":         &tandemv1.CheckDriftRequest{Parent: room, PageSize: 2},
	} {
		a := asking{Token: rootToken}
		overGRPC, refusedGRPC := ways["gRPC"].call(t, named(t, method), request, a)
		overREST, refusedREST := ways["REST"].call(t, named(t, method), request, a)
		if diff := cmp.Diff(overGRPC, overREST, protocmp.Transform()); diff != "" || refusedGRPC.Status != 0 || refusedREST.Status != 0 {
			text, _ := json.Marshal([]refusal{refusedGRPC, refusedREST})
			t.Errorf("%s, %s (-gRPC +REST):\n%s", method, text, diff)
		}
	}
}
