package api_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// populated is a world with a link in each state.
func populated(t *testing.T) *world {
	t.Helper()
	w := setup(t)
	for i, state := range []item.LinkState{item.LinkActive, item.LinkParked, item.LinkGone, item.LinkActive, item.LinkCreating} {
		ticket := int64(10 * (i + 1))
		one := item.Link{Connector: "development", Ticket: ticket, State: state, Updated: w.now.Add(time.Duration(50-ticket) * time.Minute)}
		if state != item.LinkCreating {
			one.WorkItem = 100 - ticket
		}
		w.put(t, one)
	}
	return w
}

func (w *world) list(t *testing.T, filter, order string, size int32) []int64 {
	t.Helper()
	var seen []int64
	for token, first := "", true; first || token != ""; first = false {
		page, err := w.api.ListLinks(t.Context(), &tandemv1.ListLinksRequest{
			Parent: "connectors/development", PageSize: size, PageToken: token, Filter: filter, OrderBy: order,
		})
		if err != nil {
			t.Fatalf("%q by %q: %v", filter, order, err)
		}
		for _, l := range page.GetLinks() {
			seen = append(seen, l.GetTicketId())
		}
		token = page.GetNextPageToken()
	}
	return seen
}

func TestLinksAreFilteredAndOrdered(t *testing.T) {
	t.Parallel()
	w := populated(t)
	for _, c := range []struct {
		filter, order string
		want          []int64
	}{
		{"", "", []int64{10, 20, 30, 40, 50}},
		{"", "ticket_id desc", []int64{50, 40, 30, 20, 10}},
		{"", "updateTime", []int64{50, 40, 30, 20, 10}},
		{"", "work_item_id", []int64{50, 40, 30, 20, 10}},
		{"state = PARKED", "", []int64{20}},
		{"state = STATE_PARKED", "", []int64{20}},
		{`state = "parked"`, "", []int64{20}},
		{"(state = PARKED OR state = GONE)", "update_time desc", []int64{20, 30}},
		{"state = PARKED OR state = ACTIVE OR state = GONE", "work_item_id desc", []int64{10, 20, 30, 40}},
		{`update_time >= "2026-03-02T08:10:00Z" AND update_time < "2026-03-02T08:40:00Z"`, "update_time", []int64{40, 30, 20}},
		{`state = ACTIVE AND update_time > "2026-03-02T08:10:00Z"`, "update_time", []int64{10}},
		{`update_time <= "2026-03-02T08:10:00+00:00"`, "update_time", []int64{50, 40}},
		{"work_item_id = 80", "", []int64{20}},
		{"workItemId = 80 state = ACTIVE", "", nil},
		{"ticket_id = 30", "", []int64{30}},
	} {
		for _, size := range []int32{1, 2, 50} {
			if got := w.list(t, c.filter, c.order, size); !slices.Equal(got, c.want) {
				t.Errorf("%q by %q in pages of %d: %v, want %v", c.filter, c.order, size, got, c.want)
			}
		}
	}
}

func TestFiltersThatAreRefused(t *testing.T) {
	t.Parallel()
	w := populated(t)
	for _, filter := range []string{
		"state", "state = LOST", "state != PARKED", "NOT state = PARKED", "state = PARKED AND state = GONE", "state = PARKED OR ticket_id = 7",
		"reason = x", "ticket_id = 0", "ticket_id = x", "ticket_id > 5", "ticket_id = 1 AND ticket_id = 2", "(((", `state = "`,
		strings.Repeat("state = PARKED OR ", 60) + "state = GONE", strings.Repeat("(", 500),
	} {
		_, err := w.api.ListLinks(t.Context(), &tandemv1.ListLinksRequest{Parent: "connectors/development", Filter: filter})
		if r := refusalOf(t, err); r.code != codes.InvalidArgument || r.reason != "INVALID_REQUEST" || !slices.Contains(r.violations, "filter") {
			t.Errorf("%q: %+v", filter, r)
		}
	}
	_, err := w.api.ListLinks(t.Context(), &tandemv1.ListLinksRequest{
		Parent: "x", PageSize: -1, Filter: `update_time > "yesterday"`, OrderBy: "reason", ReadMask: &fieldmaskpb.FieldMask{Paths: []string{"no"}},
	})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "parent", "page_size", "order_by", "filter", "read_mask")
	_, err = w.api.ListLinks(t.Context(), &tandemv1.ListLinksRequest{Parent: "connectors/development", Filter: `update_time > "2026-03-02T08:10:00Z"`})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "order_by")
	page, err := w.api.ListLinks(t.Context(), &tandemv1.ListLinksRequest{Parent: "connectors/development", PageSize: 1, OrderBy: "update_time"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.api.ListLinks(t.Context(), &tandemv1.ListLinksRequest{Parent: "connectors/development", PageToken: page.GetNextPageToken()})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "page_token")
}

func TestReadMasks(t *testing.T) {
	t.Parallel()
	w := populated(t)
	mask := &fieldmaskpb.FieldMask{Paths: []string{"name", "workItemId"}}
	one, err := w.api.GetLink(t.Context(), &tandemv1.GetLinkRequest{Name: "connectors/development/links/20", ReadMask: mask})
	if err != nil {
		t.Fatal(err)
	}
	page, err := w.api.ListLinks(t.Context(), &tandemv1.ListLinksRequest{Parent: "connectors/development", ReadMask: mask})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*tandemv1.Link{one.GetLink(), page.GetLinks()[1]} {
		if l.GetName() != "connectors/development/links/20" || l.GetWorkItemId() != 80 || l.GetState() != 0 || l.GetTicketId() != 0 || l.GetEtag() != "" {
			t.Errorf("got %v", l)
		}
	}
	room, err := w.rooms.GetConnector(t.Context(), &tandemv1.GetConnectorRequest{Name: "connectors/development", ReadMask: &fieldmaskpb.FieldMask{Paths: []string{"healthy"}}})
	if err != nil || room.GetConnector().GetName() != "" || !room.GetConnector().GetHealthy() {
		t.Errorf("got %v, %v", room, err)
	}
	rooms, err := w.rooms.ListConnectors(t.Context(), &tandemv1.ListConnectorsRequest{ReadMask: &fieldmaskpb.FieldMask{Paths: []string{"*"}}})
	if err != nil || rooms.GetConnectors()[0].GetName() == "" {
		t.Errorf("got %v, %v", rooms, err)
	}
	_, err = w.rooms.GetConnector(t.Context(), &tandemv1.GetConnectorRequest{Name: "connectors/development", ReadMask: &fieldmaskpb.FieldMask{Paths: []string{"brake.id"}}})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "read_mask")
}

// FuzzFilter: whatever the filter, there is an answer or a violation.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{"state = PARKED", `update_time >= "2026-03-02T08:10:00Z"`, "a.b:c", "-state:x", "NOT (a OR b)", "f(x)", "ticket_id = 9223372036854775808"} {
		f.Add(seed, "update_time desc")
	}
	w := setup(f)
	f.Fuzz(func(t *testing.T, filter, order string) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := w.api.ListLinks(ctx, &tandemv1.ListLinksRequest{Parent: "connectors/development", Filter: strings.ToValidUTF8(filter, "?"), OrderBy: strings.ToValidUTF8(order, "?")})
		if r := refusalOf(t, err); err != nil && r.code != codes.InvalidArgument {
			t.Errorf("%q by %q: %+v", filter, order, r)
		}
	})
}
