package api_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

const (
	stored    = tandemv1.IngestEventResponse_DISPOSITION_STORED
	duplicate = tandemv1.IngestEventResponse_DISPOSITION_DUPLICATE
)

func alvaoEvent(id int64) *tandemv1.IngestEventRequest {
	return &tandemv1.IngestEventRequest{Connector: "development", System: tandemv1.System_SYSTEM_ALVAO, ItemId: id, EventType: "alvao.webhook"}
}

func azureEvent(id int64) *tandemv1.IngestEventRequest {
	return &tandemv1.IngestEventRequest{
		System: tandemv1.System_SYSTEM_AZURE_DEVOPS, ItemId: id, EventId: "azure-devops/1/1", EventType: "workitem.updated",
		Origin: &tandemv1.Origin{AccountUrl: "https://dev.azure.com/contoso/", ProjectName: "Alvaoproject"},
	}
}

func TestIngestStoresWhatItWasTold(t *testing.T) {
	t.Parallel()
	w := setup(t)
	req := azureEvent(30)
	req.Revision, req.Payload, req.ReceiveTime = 7, []byte(`{"a":1}`), timestamppb.New(w.now.Add(-time.Second))
	resp, err := w.events.IngestEvent(t.Context(), req)
	if err != nil || resp.GetDisposition() != stored || resp.GetConnector() != "development" {
		t.Fatalf("%v, %v", resp, err)
	}
	got := w.receive(t, 5)
	if len(got) != 1 {
		t.Fatalf("%d deliveries", len(got))
	}
	d := got[0]
	if d.Key != (item.Key{Connector: "development", System: item.AzureDevOps, ID: 30}) || d.MaxRevision != 7 || string(d.Last.Payload) != `{"a":1}` ||
		!d.First.Received.Equal(w.now.Add(-time.Second)) || d.First.Type != "workitem.updated" ||
		!slices.Equal(d.TraceParents, []string{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}) {
		t.Errorf("%+v", d)
	}
	// What can't be is as near as can be.
	for said, want := range map[time.Time]time.Time{{}: w.now.Add(-72 * time.Hour), w.now.AddDate(900, 0, 0): w.now} {
		req := azureEvent(40 + int64(said.Year()))
		req.EventId, req.ReceiveTime = said.String(), timestamppb.New(said)
		if _, err := w.events.IngestEvent(t.Context(), req); err != nil {
			t.Fatal(err)
		}
		if got := w.receive(t, 1); len(got) != 1 || !got[0].First.Received.Equal(want) {
			t.Errorf("received %v is taken as %+v, want %v", said, got, want)
		}
	}
	// Without a time, it is now.
	if _, err := w.events.IngestEvent(t.Context(), alvaoEvent(8)); err != nil {
		t.Fatal(err)
	}
	if got := w.receive(t, 5); len(got) != 1 || !got[0].First.Received.Equal(w.now) {
		t.Errorf("%+v", got)
	}
}

func TestIngestTakesADeliveryOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for n, want := range []tandemv1.IngestEventResponse_Disposition{stored, duplicate, duplicate} {
		if resp, err := w.events.IngestEvent(t.Context(), azureEvent(30)); err != nil || resp.GetDisposition() != want {
			t.Errorf("delivery %d: %v, %v", n, resp, err)
		}
	}
	// Without an id nothing is a duplicate.
	for range 2 {
		if resp, err := w.events.IngestEvent(t.Context(), alvaoEvent(8)); err != nil || resp.GetDisposition() != stored {
			t.Errorf("%v, %v", resp, err)
		}
	}
}

func TestIngestForAllConnectorsOfAProject(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.connectors.projects["support"] = "Alvaoproject"
	resp, err := w.events.IngestEvent(t.Context(), azureEvent(30))
	if err != nil || resp.GetConnector() != "development,support" || resp.GetDisposition() != stored {
		t.Fatalf("%v, %v", resp, err)
	}
	var names []string
	for _, d := range w.receive(t, 5) {
		names = append(names, d.Key.String())
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"development/azureDevOps/30", "support/azureDevOps/30"}) {
		t.Errorf("queued %v", names)
	}
	if resp, err := w.events.IngestEvent(t.Context(), azureEvent(30)); err != nil || resp.GetDisposition() != duplicate {
		t.Errorf("again: %v, %v", resp, err)
	}
	// One that is added later takes a repeated delivery too.
	w.connectors.projects["third"] = "Alvaoproject"
	if resp, err := w.events.IngestEvent(t.Context(), azureEvent(30)); err != nil || resp.GetDisposition() != stored {
		t.Errorf("with a third: %v, %v", resp, err)
	}
	if got := w.receive(t, 5); len(got) != 1 || got[0].Key.Connector != "third" {
		t.Errorf("queued %v", got)
	}
}

func TestIngestTellsAllViolationsAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	long := strings.Repeat("x", 2000)
	_, err := w.events.IngestEvent(t.Context(), &tandemv1.IngestEventRequest{
		Connector: long, System: 99, ItemId: -1, Revision: -1, EventId: long, EventType: long, Payload: make([]byte, 64<<10+1),
		Origin:      &tandemv1.Origin{AccountUrl: long, ProjectId: long, ProjectName: long},
		ReceiveTime: &timestamppb.Timestamp{Nanos: -1},
	})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "system", "item_id", "revision", "connector", "event_id", "event_type",
		"payload", "origin.account_url", "origin.project_id", "origin.project_name", "receive_time")
	if text := refusalOf(t, err).text; strings.Contains(text, "xxx") {
		t.Error("the refusal repeats what was sent")
	}
	_, err = w.events.IngestEvent(t.Context(), &tandemv1.IngestEventRequest{})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "system", "item_id")
	_, err = w.events.IngestEvent(t.Context(), &tandemv1.IngestEventRequest{System: tandemv1.System_SYSTEM_ALVAO, ItemId: 1})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "connector")
	_, err = w.events.IngestEvent(t.Context(), &tandemv1.IngestEventRequest{System: tandemv1.System_SYSTEM_AZURE_DEVOPS, ItemId: 1})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "origin")
	if got := w.receive(t, 5); len(got) != 0 {
		t.Errorf("stored %v", got)
	}
	// At the limits, all is well.
	edge := azureEvent(1<<63 - 1)
	edge.EventId, edge.EventType, edge.Payload = strings.Repeat("i", 256), strings.Repeat("t", 128), make([]byte, 64<<10)
	if _, err := w.events.IngestEvent(t.Context(), edge); err != nil {
		t.Error(err)
	}
}

func TestIngestWhenNobodyTakesIt(t *testing.T) {
	t.Parallel()
	w := setup(t)
	unknown := alvaoEvent(1)
	unknown.Connector = "sales"
	_, err := w.events.IngestEvent(t.Context(), unknown)
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_CONNECTOR")
	foreign := azureEvent(1)
	foreign.Origin.ProjectName = "Elsewhere"
	_, err = w.events.IngestEvent(t.Context(), foreign)
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_CONNECTOR")
	w.connectors.away = true
	_, err = w.events.IngestEvent(t.Context(), azureEvent(1))
	wantRefusal(t, err, codes.Unavailable, "NOT_READY")
}

func TestIngestIntoAFullInbox(t *testing.T) {
	t.Parallel()
	w := setupOn(t, redistest.Embedded(t), inbox.Options{MaxItems: 1})
	if _, err := w.events.IngestEvent(t.Context(), alvaoEvent(1)); err != nil {
		t.Fatal(err)
	}
	_, err := w.events.IngestEvent(t.Context(), alvaoEvent(2))
	wantRefusal(t, err, codes.ResourceExhausted, "INBOX_FULL")
	if r := refusalOf(t, err); r.retryAfter <= 0 {
		t.Error("not told when to try again")
	}
	if _, err := w.events.IngestEvent(t.Context(), alvaoEvent(1)); err != nil {
		t.Errorf("an item that is there already: %v", err)
	}
	_, err = w.api.SyncLink(t.Context(), &tandemv1.SyncLinkRequest{Name: "connectors/development/links/2"})
	wantRefusal(t, err, codes.ResourceExhausted, "INBOX_FULL")
}

func TestRedisAway(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	w := setupOn(t, server.Open(t), inbox.Options{})
	if _, err := w.events.IngestEvent(t.Context(), alvaoEvent(1)); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	calls := map[string]func(context.Context) error{
		"IngestEvent": func(ctx context.Context) error { _, err := w.events.IngestEvent(ctx, alvaoEvent(1)); return err },
		"ListEvents": func(ctx context.Context) error {
			_, err := w.events.ListEvents(ctx, &tandemv1.ListEventsRequest{Parent: "connectors/-"})
			return err
		},
		"GetEvent": func(ctx context.Context) error {
			_, err := w.events.GetEvent(ctx, &tandemv1.GetEventRequest{Name: "connectors/development/events/t1-a"})
			return err
		},
		"ReplayEvent": func(ctx context.Context) error {
			_, err := w.events.ReplayEvent(ctx, &tandemv1.ReplayEventRequest{Name: "connectors/development/events/t1-a"})
			return err
		},
		"GetLink": func(ctx context.Context) error {
			_, err := w.api.GetLink(ctx, &tandemv1.GetLinkRequest{Name: "connectors/development/links/1"})
			return err
		},
		"ListLinks": func(ctx context.Context) error {
			_, err := w.api.ListLinks(ctx, &tandemv1.ListLinksRequest{Parent: "connectors/development"})
			return err
		},
		"SyncLink": func(ctx context.Context) error {
			_, err := w.api.SyncLink(ctx, &tandemv1.SyncLinkRequest{Name: "connectors/development/links/1"})
			return err
		},
		"DeleteLink": func(ctx context.Context) error {
			_, err := w.api.DeleteLink(ctx, &tandemv1.DeleteLinkRequest{Name: "connectors/development/links/1"})
			return err
		},
		"ListLinkHistory": func(ctx context.Context) error {
			_, err := w.api.ListLinkHistory(ctx, &tandemv1.ListLinkHistoryRequest{Name: "connectors/development/links/1"})
			return err
		},
	}
	for name, call := range calls {
		err := call(t.Context())
		if r := refusalOf(t, err); r.code != codes.Unavailable || r.reason != "STORE_UNAVAILABLE" || strings.Contains(r.text, "127.0.0.1") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	server.Restart(t)
	// The connection pool looks for it once a second.
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		_, err := w.events.IngestEvent(ctx, alvaoEvent(2))
		if err == nil {
			return
		}
		if status.Code(err) != codes.Unavailable {
			t.Fatalf("after Redis came back: %v", err)
		}
	}
}

// dead gives an item up and returns the name of its dead letter.
func (w *world) dead(t *testing.T, id int64, reason string) string {
	t.Helper()
	req := alvaoEvent(id)
	req.Payload = []byte("body")
	if _, err := w.events.IngestEvent(t.Context(), req); err != nil {
		t.Fatal(err)
	}
	for _, d := range w.receive(t, 100) {
		if d.Key.ID != id {
			t.Fatalf("received %s", d.Key)
		}
		if err := w.inbox.Dead(t.Context(), d, reason, "0af7651916cd43dd8448eb211c80319c"); err != nil {
			t.Fatal(err)
		}
	}
	list, err := w.events.ListEvents(t.Context(), &tandemv1.ListEventsRequest{Parent: "connectors/development", PageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, event := range list.GetEvents() {
		if event.GetItemId() == id {
			return event.GetName()
		}
	}
	t.Fatalf("no dead letter of ticket %d", id)
	return ""
}

func TestDeadLetterIsShownAndReplayed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	name := w.dead(t, 8, "No such type.")
	if !strings.HasPrefix(name, "connectors/development/events/") {
		t.Fatalf("name %q", name)
	}
	list, err := w.events.ListEvents(t.Context(), &tandemv1.ListEventsRequest{Parent: "connectors/-"})
	if err != nil || len(list.GetEvents()) != 1 || list.GetEvents()[0].GetPayload() != nil || list.GetNextPageToken() != "" {
		t.Fatalf("%v, %v", list, err)
	}
	got, err := w.events.GetEvent(t.Context(), &tandemv1.GetEventRequest{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	e := got.GetEvent()
	if e.GetState() != tandemv1.Event_STATE_DEAD || e.GetReason() != "No such type." || string(e.GetPayload()) != "body" || e.GetItemId() != 8 ||
		e.GetSystem() != tandemv1.System_SYSTEM_ALVAO || e.GetTraceId() != "0af7651916cd43dd8448eb211c80319c" || !e.GetReceiveTime().AsTime().Equal(w.now) || e.GetName() != name {
		t.Errorf("%v", e)
	}
	replayed, err := w.events.ReplayEvent(t.Context(), &tandemv1.ReplayEventRequest{Name: name})
	if err != nil || replayed.GetEvent().GetState() != tandemv1.Event_STATE_QUEUED {
		t.Fatalf("%v, %v", replayed, err)
	}
	if got := w.receive(t, 5); len(got) != 1 || got[0].Key.ID != 8 {
		t.Errorf("after the replay, received %v", got)
	}
	_, err = w.events.ReplayEvent(t.Context(), &tandemv1.ReplayEventRequest{Name: name})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_EVENT")
	_, err = w.events.GetEvent(t.Context(), &tandemv1.GetEventRequest{Name: "connectors/development/events/t8-none"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_EVENT")
}

func TestListEventsByState(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ingest := func(id int64) {
		if _, err := w.events.IngestEvent(t.Context(), alvaoEvent(id)); err != nil {
			t.Fatal(err)
		}
	}
	ingest(1)
	ingest(1)
	running := w.receive(t, 1)[0]
	ingest(2)
	waiting := w.receive(t, 1)[0]
	if err := w.inbox.Retry(t.Context(), waiting, inbox.RetryOptions{After: time.Hour, Reason: "Alvao is away.", Counted: true}); err != nil {
		t.Fatal(err)
	}
	ingest(3)
	w.connectors.projects["infrastructure"] = "Infra"
	for state, want := range map[tandemv1.Event_State]int64{
		tandemv1.Event_STATE_RUNNING: running.Key.ID, tandemv1.Event_STATE_WAITING: 2, tandemv1.Event_STATE_QUEUED: 3,
	} {
		list, err := w.events.ListEvents(t.Context(), &tandemv1.ListEventsRequest{Parent: "connectors/development", State: state})
		if err != nil || len(list.GetEvents()) != 1 {
			t.Fatalf("%s: %v, %v", state, list, err)
		}
		e := list.GetEvents()[0]
		if e.GetItemId() != want || e.GetState() != state {
			t.Errorf("%s: %v", state, e)
		}
		if state == tandemv1.Event_STATE_WAITING && (e.GetReason() != "Alvao is away." || e.GetAttemptCount() != 1 || e.GetNextAttemptTime() == nil) {
			t.Errorf("waiting: %v", e)
		}
		if state == tandemv1.Event_STATE_RUNNING && e.GetCoalescedCount() != 1 {
			t.Errorf("running: %v", e)
		}
		none, err := w.events.ListEvents(t.Context(), &tandemv1.ListEventsRequest{Parent: "connectors/infrastructure", State: state})
		if err != nil || len(none.GetEvents()) != 0 {
			t.Errorf("%s of another connector: %v, %v", state, none, err)
		}
	}
}

// Without a state, events of all states are listed, over as many pages as it takes.
func TestListEventsOfAnyState(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for id := int64(1); id <= 3; id++ {
		w.dead(t, id, "Given up.")
	}
	for id := int64(4); id <= 6; id++ {
		if _, err := w.events.IngestEvent(t.Context(), alvaoEvent(id)); err != nil {
			t.Fatal(err)
		}
	}
	waiting := w.receive(t, 1)[0]
	if err := w.inbox.Retry(t.Context(), waiting, inbox.RetryOptions{After: time.Hour, Reason: "Alvao is away."}); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int32{1, 2, 3, 4, 6, 100} {
		var got []string
		token := ""
		for range 20 {
			page, err := w.events.ListEvents(t.Context(), &tandemv1.ListEventsRequest{Parent: "connectors/-", PageSize: size, PageToken: token})
			if err != nil || len(page.GetEvents()) > int(size) {
				t.Fatalf("%v, %v", page, err)
			}
			for _, e := range page.GetEvents() {
				got = append(got, fmt.Sprintf("%d %s", e.GetItemId(), strings.TrimPrefix(e.GetState().String(), "STATE_")))
			}
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
		want := []string{"1 DEAD", "2 DEAD", "3 DEAD", "4 WAITING", "5 QUEUED", "6 QUEUED"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("by pages of %d (-want +got):\n%s", size, diff)
		}
	}
	for _, token := range []string{"x", "dead", "parked;", ";", "waiting;x"} {
		_, err := w.events.ListEvents(t.Context(), &tandemv1.ListEventsRequest{Parent: "connectors/-", PageToken: token})
		wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "page_token")
	}
}

// Pages stay what they are while events come and go.
func TestEventPagesSurviveInserts(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for id := int64(1); id <= 7; id++ {
		w.dead(t, id, "Given up.")
	}
	var seen []int64
	token := ""
	for page := 0; ; page++ {
		list, err := w.events.ListEvents(t.Context(), &tandemv1.ListEventsRequest{Parent: "connectors/development", PageSize: 3, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.GetEvents() {
			seen = append(seen, e.GetItemId())
		}
		if token = list.GetNextPageToken(); token == "" {
			break
		}
		if page == 0 {
			// One that was shown goes, and another comes.
			if _, err := w.events.ReplayEvent(t.Context(), &tandemv1.ReplayEventRequest{Name: list.GetEvents()[0].GetName()}); err != nil {
				t.Fatal(err)
			}
			for _, d := range w.receive(t, 5) {
				if err := w.inbox.Done(t.Context(), d); err != nil {
					t.Fatal(err)
				}
			}
			w.dead(t, 8, "Given up.")
		}
	}
	if !slices.Equal(seen, []int64{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("saw %v", seen)
	}
}

func TestEventNamesAndPagesAreChecked(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, name := range []string{"", "connectors", "connectors/development", "connectors//events/t1-a", "connectors/development/events/", "connectors/development/links/1", "connectors/development/events/a/b", "/connectors/development/events/a"} {
		_, err := w.events.GetEvent(t.Context(), &tandemv1.GetEventRequest{Name: name})
		wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "name")
		_, err = w.events.ReplayEvent(t.Context(), &tandemv1.ReplayEventRequest{Name: name})
		wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "name")
	}
	_, err := w.events.ListEvents(t.Context(), &tandemv1.ListEventsRequest{Parent: "development", PageSize: -1, State: 77})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "parent", "page_size", "state")
	_, err = w.events.ListEvents(t.Context(), &tandemv1.ListEventsRequest{Parent: "connectors/sales"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_CONNECTOR")
	for state, tokens := range map[tandemv1.Event_State][]string{
		tandemv1.Event_STATE_QUEUED:  {"x", "l", "l1", "l-1-0", "b18446744073709551615-18446744073709551615", "l18446744073709551615-18446744073709551615", "é"},
		tandemv1.Event_STATE_WAITING: {"x", "/", "nan/x", "inf/x", "-inf/x", "0x1p-2/x", "1_0/x", "1e3/x", "+1/x", "1"},
	} {
		for _, token := range tokens {
			_, err := w.events.ListEvents(t.Context(), &tandemv1.ListEventsRequest{Parent: "connectors/-", State: state, PageToken: token})
			if r := refusalOf(t, err); r.code != codes.InvalidArgument || !slices.Equal(r.violations, []string{"page_token"}) {
				t.Errorf("%s, token %q: %+v", state, token, r)
			}
		}
	}
}

// Whatever is sent is stored or refused in words, and never breaks anything.
func FuzzIngestEvent(f *testing.F) {
	f.Add("development", int32(1), int64(7), "id", "type", int64(3), "https://dev.azure.com/contoso/", "", "Alvaoproject", []byte("{}"), int64(0), int32(0))
	f.Add("", int32(2), int64(30), "azure-devops/1/1", "workitem.updated", int64(0), "https://dev.azure.com/contoso/", "guid", "Alvaoproject", []byte(nil), int64(1<<40), int32(5))
	f.Add("a/b{c}", int32(1), int64(-1), "\x00", "\n", int64(-5), "::", "{}", "*", []byte{0xff, 0xfe}, int64(-1<<62), int32(-1))
	f.Add("development", int32(2), int64(1<<62), strings.Repeat("i", 300), "", int64(1<<62), "", "", "", make([]byte, 70_000), int64(253402300799), int32(999999999))
	w := setup(f)
	f.Fuzz(func(t *testing.T, connector string, system int32, id int64, eventID, eventType string, revision int64, account, projectID, project string, payload []byte, seconds int64, nanos int32) {
		req := &tandemv1.IngestEventRequest{
			Connector: connector, System: tandemv1.System(system), ItemId: id, EventId: eventID, EventType: eventType, Revision: revision,
			Origin:  &tandemv1.Origin{AccountUrl: account, ProjectId: projectID, ProjectName: project},
			Payload: payload, ReceiveTime: &timestamppb.Timestamp{Seconds: seconds, Nanos: nanos},
		}
		ctx := context.WithoutCancel(t.Context())
		resp, err := w.events.IngestEvent(ctx, req)
		if err == nil {
			if d := resp.GetDisposition(); (d != stored && d != duplicate) || resp.GetConnector() == "" {
				t.Errorf("%v", resp)
			}
			for _, d := range w.receive(t, 5) {
				if d.Key.ID != id || d.Last.Type != eventType {
					t.Errorf("stored %+v", d)
				}
				if err := w.inbox.Done(ctx, d); err != nil {
					t.Error(err)
				}
			}
			return
		}
		// Text that is not UTF-8 is refused by protobuf itself, on our side of the wire.
		if r := refusalOf(t, err); r.code != codes.InvalidArgument && r.code != codes.NotFound && !strings.Contains(r.text, "invalid UTF-8") {
			t.Errorf("%+v", r)
		}
	})
}

func FuzzNames(f *testing.F) {
	for _, seed := range []string{"connectors/development/events/t1-a", "connectors/development/links/1", "connectors/development/links/+1", "connectors/-", "connectors/{}/links/01", "", "//", "connectors/development/events/t9223372036854775808-x", "connectors/a\nb/links/7"} {
		f.Add(seed, "", int32(0), int32(0))
	}
	f.Add("connectors/-", "nan/x", int32(3), int32(5))
	f.Add("connectors/-", "l9-9", int32(1), int32(-5))
	f.Add("connectors/development", "99999999999999999999", int32(1), int32(1<<30))
	f.Add("connectors/development/links/1", "0", int32(0), int32(0))
	w := setup(f)
	for id := int64(1); id < 4; id++ {
		if _, err := w.events.IngestEvent(f.Context(), alvaoEvent(id)); err != nil {
			f.Fatal(err)
		}
		w.put(f, item.Link{Connector: "development", Ticket: id, State: item.LinkActive}, item.LinkChange{Action: "adopt"})
	}
	f.Fuzz(func(t *testing.T, name, token string, state, size int32) {
		ctx := context.WithoutCancel(t.Context())
		calls := map[string]func() error{
			"GetEvent": func() error { _, err := w.events.GetEvent(ctx, &tandemv1.GetEventRequest{Name: name}); return err },
			"ReplayEvent": func() error {
				_, err := w.events.ReplayEvent(ctx, &tandemv1.ReplayEventRequest{Name: name})
				return err
			},
			"ListEvents": func() error {
				_, err := w.events.ListEvents(ctx, &tandemv1.ListEventsRequest{Parent: name, PageToken: token, PageSize: size, State: tandemv1.Event_State(state)})
				return err
			},
			"GetLink": func() error {
				got, err := w.api.GetLink(ctx, &tandemv1.GetLinkRequest{Name: name})
				if err == nil && got.GetLink().GetName() != name {
					return fmt.Errorf("asked for %q, got %q", name, got.GetLink().GetName())
				}
				return err
			},
			"ListLinks": func() error {
				_, err := w.api.ListLinks(ctx, &tandemv1.ListLinksRequest{Parent: name, PageToken: token, PageSize: size})
				return err
			},
			"ListLinkHistory": func() error {
				_, err := w.api.ListLinkHistory(ctx, &tandemv1.ListLinkHistoryRequest{Name: name, PageSize: size})
				return err
			},
			"DeleteLink": func() error {
				_, err := w.api.DeleteLink(ctx, &tandemv1.DeleteLinkRequest{Name: name, Etag: token})
				return err
			},
			"SyncLink": func() error { _, err := w.api.SyncLink(ctx, &tandemv1.SyncLinkRequest{Name: name}); return err },
			"GetConnector": func() error {
				_, err := w.rooms.GetConnector(ctx, &tandemv1.GetConnectorRequest{Name: name})
				return err
			},
			"ListConnectors": func() error {
				_, err := w.rooms.ListConnectors(ctx, &tandemv1.ListConnectorsRequest{PageToken: token, PageSize: size})
				return err
			},
		}
		for method, call := range calls {
			r := refusalOf(t, call())
			switch r.code {
			case codes.OK, codes.InvalidArgument, codes.NotFound:
			case codes.Aborted: // an etag of another state of the link
			default:
				if !strings.Contains(r.text, "invalid UTF-8") {
					t.Errorf("%s of %q with token %q: %+v", method, name, token, r)
				}
			}
		}
	})
}
