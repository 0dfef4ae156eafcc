package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/api"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

func TestLinkIsShown(t *testing.T) {
	t.Parallel()
	w := setup(t)
	stored := w.put(t, item.Link{
		Connector: "development", Ticket: 7, TicketURL: "https://t/7", WorkItem: 9, WorkItemURL: "https://w/9", State: item.LinkParked,
		Reason: "Refused.", Agreed: item.Pair{Status: "Development", State: "To Do"}, Created: w.now, Updated: w.now.Add(time.Hour),
	})
	got, err := w.api.GetLink(t.Context(), &tandemv1.GetLinkRequest{Name: "connectors/development/links/7"})
	if err != nil {
		t.Fatal(err)
	}
	l := got.GetLink()
	if l.GetName() != "connectors/development/links/7" || l.GetTicketId() != 7 || l.GetTicketUrl() != "https://t/7" || l.GetWorkItemId() != 9 ||
		l.GetWorkItemUrl() != "https://w/9" || l.GetState() != tandemv1.Link_STATE_PARKED || l.GetReason() != "Refused." ||
		l.GetAgreedStatus() != "Development" || l.GetAgreedState() != "To Do" || !l.GetCreateTime().AsTime().Equal(w.now) ||
		!l.GetUpdateTime().AsTime().Equal(w.now.Add(time.Hour)) || l.GetEtag() != strconv.FormatInt(stored.Version, 10) {
		t.Errorf("%v", l)
	}
	w.put(t, stored)
	again, err := w.api.GetLink(t.Context(), &tandemv1.GetLinkRequest{Name: "connectors/development/links/7"})
	if err != nil || again.GetLink().GetEtag() == l.GetEtag() {
		t.Errorf("the etag stayed %q, %v", l.GetEtag(), err)
	}
	for state, want := range map[item.LinkState]tandemv1.Link_State{
		item.LinkCreating: tandemv1.Link_STATE_CREATING, item.LinkActive: tandemv1.Link_STATE_ACTIVE, item.LinkGone: tandemv1.Link_STATE_GONE,
	} {
		w.put(t, item.Link{Connector: "development", Ticket: 7, State: state})
		got, err := w.api.GetLink(t.Context(), &tandemv1.GetLinkRequest{Name: "connectors/development/links/7"})
		if err != nil || got.GetLink().GetState() != want || got.GetLink().GetCreateTime() != nil {
			t.Errorf("%s: %v, %v", state, got, err)
		}
	}
}

func TestUnknownLinks(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, err := w.api.GetLink(t.Context(), &tandemv1.GetLinkRequest{Name: "connectors/development/links/7"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_LINK")
	_, err = w.api.ListLinkHistory(t.Context(), &tandemv1.ListLinkHistoryRequest{Name: "connectors/development/links/7"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_LINK")
	_, err = w.api.ListLinks(t.Context(), &tandemv1.ListLinksRequest{Parent: "connectors/sales"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_CONNECTOR")
	_, err = w.api.SyncLink(t.Context(), &tandemv1.SyncLinkRequest{Name: "connectors/sales/links/7"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_CONNECTOR")
	for _, name := range []string{"", "connectors/development/links/0", "connectors/development/links/-7", "connectors/development/links/+7", "connectors/development/links/07", "connectors/development/links/x", "connectors/development/events/7", "connectors/development/links/9223372036854775808"} {
		_, err := w.api.GetLink(t.Context(), &tandemv1.GetLinkRequest{Name: name})
		wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "name")
		_, err = w.api.SyncLink(t.Context(), &tandemv1.SyncLinkRequest{Name: name})
		wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "name")
		_, err = w.api.ListLinkHistory(t.Context(), &tandemv1.ListLinkHistoryRequest{Name: name, PageSize: -1})
		wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "name", "page_size")
	}
	_, err = w.api.ListLinks(t.Context(), &tandemv1.ListLinksRequest{Parent: "connectors/a/b", PageSize: -2})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "parent", "page_size")
	_, err = w.api.ListLinks(t.Context(), &tandemv1.ListLinksRequest{Parent: "connectors/development", PageToken: "x"})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "page_token")
}

func TestLinkPagesSurviveInserts(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, id := range []int64{10, 20, 30, 40, 50} {
		w.put(t, item.Link{Connector: "development", Ticket: id, State: item.LinkActive})
	}
	var seen []int64
	token := ""
	for {
		list, err := w.api.ListLinks(t.Context(), &tandemv1.ListLinksRequest{Parent: "connectors/development", PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range list.GetLinks() {
			seen = append(seen, l.GetTicketId())
		}
		if token == "" {
			w.put(t, item.Link{Connector: "development", Ticket: 5, State: item.LinkActive})
			w.put(t, item.Link{Connector: "development", Ticket: 35, State: item.LinkActive})
		}
		if token = list.GetNextPageToken(); token == "" {
			break
		}
	}
	if !slices.Equal(seen, []int64{10, 20, 30, 35, 40, 50}) {
		t.Errorf("saw %v", seen)
	}
	other, err := w.api.ListLinks(t.Context(), &tandemv1.ListLinksRequest{Parent: "connectors/infrastructure"})
	if err != nil || len(other.GetLinks()) != 0 {
		t.Errorf("another connector's: %v, %v", other, err)
	}
}

func TestSyncLinkForcesALook(t *testing.T) {
	t.Parallel()
	w := setup(t)
	// Even a ticket that waits for its system is looked at, and one without a link.
	if _, err := w.api.SyncLink(t.Context(), &tandemv1.SyncLinkRequest{Name: "connectors/development/links/7"}); err != nil {
		t.Fatal(err)
	}
	got := w.receive(t, 5)
	if len(got) != 1 || got[0].Key.ID != 7 || got[0].Key.System != item.Alvao || !got[0].First.Force || !got[0].First.Received.Equal(w.now) {
		t.Errorf("queued %+v", got)
	}
}

func TestLinkIsDeleted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const link = "connectors/development/links/7"
	remove := func(etag string) error {
		_, err := w.api.DeleteLink(t.Context(), &tandemv1.DeleteLinkRequest{Name: link, Etag: etag})
		return err
	}
	wantRefusal(t, remove(""), codes.NotFound, "UNKNOWN_LINK")
	stored := w.put(t, item.Link{Connector: "development", Ticket: 7, WorkItem: 9, State: item.LinkActive})
	wantRefusal(t, remove("0"), codes.Aborted, "LINK_CHANGED")
	// Nothing is taken away from under a round.
	held, err := w.leases.Acquire(t.Context(), item.Key{Connector: "development", System: item.Alvao, ID: 7}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, remove(""), codes.Aborted, "LINK_CHANGED")
	if err := w.leases.Release(t.Context(), held); err != nil {
		t.Fatal(err)
	}
	if err := remove(strconv.FormatInt(stored.Version, 10)); err != nil {
		t.Fatal(err)
	}
	_, err = w.api.GetLink(t.Context(), &tandemv1.GetLinkRequest{Name: link})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_LINK")
	// The work item is free for another ticket, and what was done is still told.
	if _, found, err := w.links.TicketOf(t.Context(), "development", 9); err != nil || found {
		t.Errorf("the work item is still taken: %t, %v", found, err)
	}
	history, err := w.api.ListLinkHistory(t.Context(), &tandemv1.ListLinkHistoryRequest{Name: link})
	if err != nil || len(history.GetChanges()) == 0 || history.GetChanges()[0].GetAction() != "delete" {
		t.Errorf("%v, %v", history, err)
	}
	for _, name := range []string{"", "connectors/development/links/0", "connectors/development"} {
		_, err := w.api.DeleteLink(t.Context(), &tandemv1.DeleteLinkRequest{Name: name})
		wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "name")
	}
}

func TestHistoryNewestFirst(t *testing.T) {
	t.Parallel()
	w := setup(t)
	l := item.Link{Connector: "development", Ticket: 7, State: item.LinkActive}
	for n := range 60 {
		w.put(t, l, item.LinkChange{Time: w.now.Add(time.Duration(n) * time.Second), Action: "set-state", Detail: strconv.Itoa(n), TraceID: "0af7651916cd43dd8448eb211c80319c"})
	}
	for size, want := range map[int32]int{0: 50, 2: 2, 1000: 60} {
		got, err := w.api.ListLinkHistory(t.Context(), &tandemv1.ListLinkHistoryRequest{Name: "connectors/development/links/7", PageSize: size})
		if err != nil || len(got.GetChanges()) != want {
			t.Fatalf("size %d: %d entries, %v", size, len(got.GetChanges()), err)
		}
		first := got.GetChanges()[0]
		if first.GetDetail() != "59" || first.GetAction() != "set-state" || first.GetTraceId() == "" || !first.GetChangeTime().AsTime().Equal(w.now.Add(59*time.Second)) {
			t.Errorf("newest %v", first)
		}
	}
}

func TestConnectors(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.connectors.broken = api.Description{Name: "development", Unhealthy: "The token is refused.", UnhealthySince: w.now}
	got, err := w.rooms.GetConnector(t.Context(), &tandemv1.GetConnectorRequest{Name: "connectors/development"})
	if err != nil {
		t.Fatal(err)
	}
	c := got.GetConnector()
	if c.GetName() != "connectors/development" || c.GetHealthy() || c.GetReason() != "The token is refused." || !c.GetReasonTime().AsTime().Equal(w.now) ||
		c.GetAlvaoService() != "Development" || c.GetAzureDevopsUrl() != "https://dev.azure.com/contoso/Alvaoproject" || len(c.GetStatusMap()) != 2 ||
		c.GetStatusMap()[0].GetState() != "To Do" || c.GetStatusMap()[1].GetStatus() != "Testing" {
		t.Errorf("%v", c)
	}
	well, err := w.rooms.GetConnector(t.Context(), &tandemv1.GetConnectorRequest{Name: "connectors/infrastructure"})
	if err != nil || !well.GetConnector().GetHealthy() || well.GetConnector().GetReasonTime() != nil || well.GetConnector().GetReason() != "" {
		t.Errorf("%v, %v", well, err)
	}
	_, err = w.rooms.GetConnector(t.Context(), &tandemv1.GetConnectorRequest{Name: "connectors/sales"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_CONNECTOR")
	_, err = w.rooms.GetConnector(t.Context(), &tandemv1.GetConnectorRequest{Name: "development"})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "name")

	w.connectors.findings = []item.Finding{
		{Check: "azure-devops.token", Severity: item.OK, Detail: "Fine."},
		{Check: "alvao.service", Severity: item.Error, Detail: "None.", Remedy: "Make one."},
		{Check: "alvao.log", Severity: item.Warning, Detail: "Unreadable.", Remedy: "Live with it."},
	}
	w.connectors.able = []item.Capability{
		{Name: "alvao.log", Title: "read", Support: item.Missing, Found: "refused", Fallback: "told", Cost: "Late.", Ask: "Ask."},
		{Name: "alvao.people", Support: item.Offered},
		{Name: "alvao.services", Support: item.Unknown},
	}
	check, err := w.rooms.CheckConnector(t.Context(), &tandemv1.CheckConnectorRequest{Name: "connectors/development"})
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, f := range check.GetFindings() {
		order = append(order, f.GetCheck()+" "+f.GetSeverity().String()+" "+f.GetRemedy())
	}
	if want := []string{"alvao.service SEVERITY_ERROR Make one.", "alvao.log SEVERITY_WARNING Live with it.", "azure-devops.token SEVERITY_OK "}; !slices.Equal(order, want) {
		t.Errorf("findings %v", order)
	}
	able := check.GetCapabilities()
	if len(able) != 3 || able[0].GetName() != "alvao.log" || able[0].GetTitle() != "read" || able[0].GetSupport() != tandemv1.Capability_SUPPORT_MISSING ||
		able[0].GetFound() != "refused" || able[0].GetFallback() != "told" || able[0].GetCost() != "Late." || able[0].GetAsk() != "Ask." ||
		able[1].GetSupport() != tandemv1.Capability_SUPPORT_OFFERED || able[2].GetSupport() != tandemv1.Capability_SUPPORT_UNKNOWN {
		t.Errorf("capabilities %v", able)
	}
	_, err = w.rooms.CheckConnector(t.Context(), &tandemv1.CheckConnectorRequest{Name: "connectors/sales"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_CONNECTOR")
	_, err = w.rooms.CheckConnector(t.Context(), &tandemv1.CheckConnectorRequest{})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "name")
	// It went from the configuration between being found and being checked.
	w.connectors.checkErr = fault.New(fault.NotFound, "Gone.")
	_, err = w.rooms.CheckConnector(t.Context(), &tandemv1.CheckConnectorRequest{Name: "connectors/development"})
	wantRefusal(t, err, codes.NotFound, "UNKNOWN_CONNECTOR")
}

func TestConnectorPagesSurviveInserts(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.connectors.projects = map[string]string{"b": "", "d": "", "f": "", "h": ""}
	var seen []string
	token := ""
	for {
		list, err := w.rooms.ListConnectors(t.Context(), &tandemv1.ListConnectorsRequest{PageSize: 2, PageToken: token})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range list.GetConnectors() {
			seen = append(seen, strings.TrimPrefix(c.GetName(), "connectors/"))
		}
		if token == "" {
			w.connectors.mu.Lock()
			delete(w.connectors.projects, "d") // the one that the token names
			w.connectors.projects["a"], w.connectors.projects["e"] = "", ""
			w.connectors.mu.Unlock()
		}
		if token = list.GetNextPageToken(); token == "" {
			break
		}
	}
	if !slices.Equal(seen, []string{"b", "d", "e", "f", "h"}) {
		t.Errorf("saw %v", seen)
	}
	_, err := w.rooms.ListConnectors(t.Context(), &tandemv1.ListConnectorsRequest{PageSize: -1, PageToken: "!"})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "page_size", "page_token")
}

// The cause of an error stays out of what is sent and is there for the log.
func TestStatusKeepsTheCauseToItself(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err    error
		code   codes.Code
		reason string
	}{
		{errors.New("s3cret"), codes.Internal, "INTERNAL"},
		{fmt.Errorf("decoding s3cret: %w", io.ErrUnexpectedEOF), codes.Internal, "INTERNAL"},
		{fault.Wrap(errors.New("s3cret"), fault.Unavailable, "Redis is away."), codes.Unavailable, "STORE_UNAVAILABLE"},
		// The store's own time ran out, not the caller's.
		{fault.Wrap(fmt.Errorf("s3cret: %w", context.DeadlineExceeded), fault.Unavailable, "Redis is away."), codes.Unavailable, "STORE_UNAVAILABLE"},
		{fmt.Errorf("s3cret: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "STORE_UNAVAILABLE"},
		{fmt.Errorf("s3cret: %w", context.Canceled), codes.Canceled, "STORE_UNAVAILABLE"},
		{fault.Wrap(errors.New("s3cret"), fault.Misconfigured, "Mend it."), codes.FailedPrecondition, "VENDOR_UNAVAILABLE"},
	} {
		err := api.Status(tc.err)
		wantRefusal(t, err, tc.code, tc.reason)
		if text := status.Convert(err).Message(); strings.Contains(text, "s3cret") {
			t.Errorf("%v: told %q", tc.err, text)
		}
		if !strings.Contains(err.Error(), "s3cret") || !errors.Is(err, tc.err) {
			t.Errorf("%v: the log gets %q", tc.err, err)
		}
		if again := api.Status(err); again != err { //nolint:errorlint // the very same
			t.Errorf("%v became %v", err, again)
		}
	}
	if api.Status(nil) != nil {
		t.Error("no error became one")
	}
}
