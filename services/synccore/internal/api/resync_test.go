package api_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

func TestResyncIsShownAndAskedFor(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const name = "connectors/development"
	get := func() *tandemv1.Resync {
		got, err := w.rooms.GetConnector(t.Context(), &tandemv1.GetConnectorRequest{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return got.GetConnector().GetResync()
	}
	if got := get(); got != nil {
		t.Errorf("before the first one: %v", got)
	}
	w.connectors.mu.Lock()
	w.connectors.resync = item.Resync{
		ID: "r1", State: item.ResyncRunning, Reason: item.ResyncScheduled, Began: w.now, Links: 3, Tickets: 4, LinksThere: 3, TicketsThere: 11, Spent: 7 * time.Second,
	}
	w.connectors.mu.Unlock()
	under := &tandemv1.Resync{
		Name: name + "/resyncs/r1", State: tandemv1.Resync_STATE_RUNNING, Reason: tandemv1.Resync_REASON_SCHEDULED,
		StartTime: timestamppb.New(w.now), LinkCount: 3, TicketCount: 4, SeenCount: 7, ExpectedCount: 14, Remaining: durationpb.New(7 * time.Second),
	}
	if diff := cmp.Diff(under, get(), protocmp.Transform()); diff != "" {
		t.Errorf("under way (-want +got):\n%s", diff)
	}
	w.connectors.mu.Lock()
	w.connectors.resync = item.Resync{
		ID: "r1", State: item.ResyncFailed, Reason: item.ResyncOverdue, Began: w.now, Ended: w.now.Add(time.Second), Request: w.now.Add(-time.Second),
		Error: "Alvao is away.", Links: 3, Tickets: 4, Drifted: 5, Differing: 2, Held: 1, Written: 1, Failed: 2, Settled: 3, Resumed: 1,
	}
	w.connectors.mu.Unlock()
	ended := &tandemv1.Resync{
		Name: name + "/resyncs/r1", State: tandemv1.Resync_STATE_FAILED, Reason: tandemv1.Resync_REASON_OVERDUE,
		StartTime: timestamppb.New(w.now), EndTime: timestamppb.New(w.now.Add(time.Second)), RequestTime: timestamppb.New(w.now.Add(-time.Second)),
		Error: "Alvao is away.", LinkCount: 3, TicketCount: 4, SeenCount: 7, DriftedCount: 5, DifferingCount: 2, HeldCount: 1,
		WrittenCount: 1, FailedCount: 2, SettledCount: 3, ResumedCount: 1,
	}
	if diff := cmp.Diff(ended, get(), protocmp.Transform()); diff != "" {
		t.Errorf("at its end (-want +got):\n%s", diff)
	}

	_, err := w.rooms.ResyncConnector(t.Context(), &tandemv1.ResyncConnectorRequest{})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "name")
	_, err = w.rooms.ResyncConnector(t.Context(), &tandemv1.ResyncConnectorRequest{Name: "connectors/sales"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_CONNECTOR")
	asked, err := w.rooms.ResyncConnector(t.Context(), &tandemv1.ResyncConnectorRequest{Name: name})
	if err != nil || !asked.GetRequestTime().AsTime().Equal(w.now.Add(time.Hour)) || asked.GetConnector().GetName() != name {
		t.Errorf("asked: %v, %v", asked, err)
	}
}

func TestResyncService(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const name = "connectors/development"
	w.connectors.mu.Lock()
	w.connectors.resyncs = []item.Resync{
		{ID: "c", State: item.ResyncWaiting, Reason: item.ResyncAsked, Asked: w.now},
		{ID: "b", State: item.ResyncSucceeded, Reason: item.ResyncSettings},
		{ID: "a", State: item.ResyncCancelled, Reason: item.ResyncScheduled},
	}
	w.connectors.mu.Unlock()
	started, err := w.resyncs.StartResync(t.Context(), &tandemv1.StartResyncRequest{Parent: name})
	if err != nil || started.GetResync().GetName() != name+"/resyncs/asked" || started.GetResync().GetState() != tandemv1.Resync_STATE_WAITING ||
		started.GetResync().GetRequestTime() == nil {
		t.Errorf("started %v, %v", started, err)
	}
	_, err = w.resyncs.StartResync(t.Context(), &tandemv1.StartResyncRequest{Parent: "development"})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "parent")
	_, err = w.resyncs.StartResync(t.Context(), &tandemv1.StartResyncRequest{Parent: "connectors/sales"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_CONNECTOR")

	got, err := w.resyncs.GetResync(t.Context(), &tandemv1.GetResyncRequest{Name: name + "/resyncs/b"})
	if err != nil || got.GetResync().GetState() != tandemv1.Resync_STATE_SUCCEEDED || got.GetResync().GetReason() != tandemv1.Resync_REASON_SETTINGS_CHANGED {
		t.Errorf("got %v, %v", got, err)
	}
	_, err = w.resyncs.GetResync(t.Context(), &tandemv1.GetResyncRequest{Name: name + "/resyncs/z"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_RESYNC")
	_, err = w.resyncs.GetResync(t.Context(), &tandemv1.GetResyncRequest{Name: name})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "name")

	var names []string
	for token := ""; ; {
		page, err := w.resyncs.ListResyncs(t.Context(), &tandemv1.ListResyncsRequest{Parent: name, PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range page.GetResyncs() {
			names = append(names, one.GetName()[len(name+"/resyncs/"):])
		}
		if token = page.GetNextPageToken(); token == "" {
			break
		}
	}
	if diff := cmp.Diff([]string{"c", "b", "a"}, names); diff != "" {
		t.Errorf("listed: %s", diff)
	}
	_, err = w.resyncs.ListResyncs(t.Context(), &tandemv1.ListResyncsRequest{Parent: name, PageSize: -1, PageToken: "?"})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "page_size", "page_token")

	cancelled, err := w.resyncs.CancelResync(t.Context(), &tandemv1.CancelResyncRequest{Name: name + "/resyncs/c"})
	if err != nil || !cancelled.GetResync().GetCancelling() {
		t.Errorf("cancelled %v, %v", cancelled, err)
	}
	_, err = w.resyncs.CancelResync(t.Context(), &tandemv1.CancelResyncRequest{Name: name + "/resyncs/z"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_RESYNC")
}

func TestDriftIsShownAndRepaired(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const name = "connectors/development"
	w.connectors.mu.Lock()
	w.connectors.drifts = []item.Drift{{
		Ticket: 7, WorkItem: 8, Status: "Testing", State: "To Do",
		Differences: []item.Difference{{Kind: item.DriftState, Detail: "They differ."}, {Kind: item.DriftMessages, Detail: "News."}},
	}}
	w.connectors.mu.Unlock()
	got, err := w.resyncs.CheckDrift(t.Context(), &tandemv1.CheckDriftRequest{Parent: name, PageSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	want := &tandemv1.CheckDriftResponse{
		Drifts: []*tandemv1.Drift{{
			Name: name + "/links/7", TicketId: 7, WorkItemId: 8, Status: "Testing", State: "To Do",
			Differences: []*tandemv1.Difference{
				{Kind: tandemv1.Difference_KIND_STATE, Detail: "They differ."}, {Kind: tandemv1.Difference_KIND_MESSAGES, Detail: "News."},
			},
		}}, ComparedCount: 200, NextPageToken: got.GetNextPageToken(),
	}
	if got.GetNextPageToken() == "" {
		t.Error("there is no next page")
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	_, err = w.resyncs.CheckDrift(t.Context(), &tandemv1.CheckDriftRequest{Parent: name, PageToken: "wrong"})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "page_token")
	_, err = w.resyncs.CheckDrift(t.Context(), &tandemv1.CheckDriftRequest{Parent: "connectors/sales"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_CONNECTOR")

	for _, winner := range []tandemv1.RepairDriftRequest_Winner{
		tandemv1.RepairDriftRequest_WINNER_UNSPECIFIED, tandemv1.RepairDriftRequest_WINNER_ALVAO, tandemv1.RepairDriftRequest_WINNER_AZURE_DEVOPS,
	} {
		repaired, err := w.resyncs.RepairDrift(t.Context(), &tandemv1.RepairDriftRequest{Name: name + "/links/7", Winner: winner})
		if err != nil || repaired.GetWriteCount() != 1 || repaired.GetOutcome() == "" || repaired.GetDrift().GetTicketId() != 7 {
			t.Errorf("repaired %v, %v", repaired, err)
		}
	}
	w.connectors.mu.Lock()
	if diff := cmp.Diff([]item.System{"", item.Alvao, item.AzureDevOps}, w.connectors.repairs); diff != "" {
		t.Errorf("winners: %s", diff)
	}
	w.connectors.vendor = fault.New(fault.Unavailable, "Alvao is away.").After(time.Minute)
	w.connectors.mu.Unlock()
	_, err = w.resyncs.RepairDrift(t.Context(), &tandemv1.RepairDriftRequest{Name: name + "/links/7", Winner: 9})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "winner")
	_, err = w.resyncs.RepairDrift(t.Context(), &tandemv1.RepairDriftRequest{Name: name + "/links/409"})
	wantRefusal(t, err, codes.Aborted, "LINK_CHANGED")
	if got := refusalOf(t, err).retryAfter; got != time.Second {
		t.Errorf("of a link that is being worked on, to wait %s is told", got)
	}
	_, err = w.resyncs.RepairDrift(t.Context(), &tandemv1.RepairDriftRequest{Name: name + "/links/7"})
	wantRefusal(t, err, codes.Unavailable, "VENDOR_UNAVAILABLE")
	if got := refusalOf(t, err).retryAfter; got != time.Minute {
		t.Errorf("of a vendor who said a minute, to wait %s is told", got)
	}
	_, err = w.resyncs.CheckDrift(t.Context(), &tandemv1.CheckDriftRequest{Parent: name})
	wantRefusal(t, err, codes.Unavailable, "VENDOR_UNAVAILABLE")
}
