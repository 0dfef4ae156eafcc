package api_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/api"
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
	w.connectors.resync = api.Resync{Began: w.now, Links: 3, Tickets: 4}
	w.connectors.mu.Unlock()
	under := &tandemv1.Resync{StartTime: timestamppb.New(w.now), LinkCount: 3, TicketCount: 4}
	if diff := cmp.Diff(under, get(), protocmp.Transform()); diff != "" {
		t.Errorf("under way (-want +got):\n%s", diff)
	}
	w.connectors.mu.Lock()
	w.connectors.resync = api.Resync{
		Began: w.now, Ended: w.now.Add(time.Second), Request: w.now.Add(-time.Second), Error: "Alvao is away.", Links: 3, Tickets: 4, Differing: 2, Held: 1,
	}
	w.connectors.mu.Unlock()
	ended := &tandemv1.Resync{
		StartTime: timestamppb.New(w.now), EndTime: timestamppb.New(w.now.Add(time.Second)), RequestTime: timestamppb.New(w.now.Add(-time.Second)),
		Error: "Alvao is away.", LinkCount: 3, TicketCount: 4, DifferingCount: 2, HeldCount: 1,
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
