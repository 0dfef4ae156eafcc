package api_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

func TestBrakeIsShownAndReleased(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const name = "connectors/development"
	get := func(name string) *tandemv1.Connector {
		got, err := w.rooms.GetConnector(t.Context(), &tandemv1.GetConnectorRequest{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return got.GetConnector()
	}
	if got := get(name); got.GetBrake() != nil {
		t.Errorf("with nothing waiting: %v", got)
	}
	state := brake.State{Settings: "f00d", Since: w.now, Foresight: brake.Foresight{Links: 60}}
	for id := range int64(30) {
		kind := "set-status"
		if id >= 20 {
			kind = "create-work-item"
		}
		state.Foresight.Add(brake.Example{Kind: kind, Ticket: id + 1, WorkItem: id + 100, Detail: "it would change"})
	}
	w.connectors.mu.Lock()
	w.connectors.brake = state
	w.connectors.mu.Unlock()
	shown := get(name).GetBrake()
	if shown.GetId() != state.ID() || !shown.GetHoldTime().AsTime().Equal(w.now) || shown.GetReleaseTime() != nil || shown.GetReason() == "" ||
		shown.GetLinkCount() != 60 || shown.GetItemCount() != 30 || len(shown.GetExamples()) != 2*brake.MaxExamples {
		t.Errorf("shown %v", shown)
	}
	if counts := shown.GetPlannedWrites(); len(counts) != 2 || counts[0].GetKind() != "create-work-item" || counts[0].GetCount() != 10 || counts[1].GetCount() != 20 {
		t.Errorf("counts %v", counts)
	}
	if e := shown.GetExamples()[0]; e.GetTicketId() != 1 || e.GetWorkItemId() != 100 || e.GetKind() != "set-status" || e.GetDetail() != "it would change" {
		t.Errorf("example %v", e)
	}
	list, err := w.rooms.ListConnectors(t.Context(), &tandemv1.ListConnectorsRequest{})
	if err != nil || len(list.GetConnectors()) != 2 || list.GetConnectors()[0].GetBrake().GetId() != state.ID() || list.GetConnectors()[1].GetBrake() != nil {
		t.Errorf("listed %v, %v", list, err)
	}

	for _, bad := range []struct {
		req    *tandemv1.ReleaseConnectorRequest
		code   codes.Code
		reason string
		fields []string
	}{
		{&tandemv1.ReleaseConnectorRequest{}, codes.InvalidArgument, "INVALID_REQUEST", []string{"name", "brake_id"}},
		{&tandemv1.ReleaseConnectorRequest{Name: name}, codes.InvalidArgument, "INVALID_REQUEST", []string{"brake_id"}},
		{&tandemv1.ReleaseConnectorRequest{Name: "connectors/sales", BrakeId: state.ID()}, codes.NotFound, "UNKNOWN_CONNECTOR", nil},
		{&tandemv1.ReleaseConnectorRequest{Name: name, BrakeId: "another"}, codes.FailedPrecondition, "NOT_BRAKED", nil},
	} {
		_, err := w.rooms.ReleaseConnector(t.Context(), bad.req)
		wantRefusal(t, err, bad.code, bad.reason, bad.fields...)
	}
	if get(name).GetBrake().GetReleaseTime() != nil {
		t.Error("a refused release let it go")
	}
	done, err := w.rooms.ReleaseConnector(t.Context(), &tandemv1.ReleaseConnectorRequest{Name: name, BrakeId: state.ID()})
	if err != nil || !done.GetConnector().GetBrake().GetReleaseTime().AsTime().Equal(w.now.Add(time.Hour)) || done.GetConnector().GetBrake().GetId() != state.ID() {
		t.Errorf("released: %v, %v", done, err)
	}
}

func TestWithheldIsShown(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.put(t, item.Link{Connector: "development", Ticket: 7, State: item.LinkActive, Withheld: map[string]int{"rules[0]": 2, "kinds": 5}})
	got, err := w.api.GetLink(t.Context(), &tandemv1.GetLinkRequest{Name: "connectors/development/links/7"})
	if err != nil {
		t.Fatal(err)
	}
	if kept := got.GetLink().GetWithheld(); len(kept) != 2 || kept[0].GetSetting() != "kinds" || kept[0].GetCount() != 5 || kept[1].GetSetting() != "rules[0]" {
		t.Errorf("withheld %v", kept)
	}
}
