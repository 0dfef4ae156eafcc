package api_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
)

// told waits for the next change of a watch.
func told(t *testing.T, watch tandemv1.LinkService_WatchLinksClient) *tandemv1.WatchLinksResponse {
	t.Helper()
	for {
		got, err := watch.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got.GetResumeToken() == "" {
			t.Errorf("no resume token: %v", got)
		}
		if got.GetLink() != nil {
			return got
		}
	}
}

func (w *world) watch(ctx context.Context, t *testing.T, token string) tandemv1.LinkService_WatchLinksClient {
	t.Helper()
	watch, err := w.api.WatchLinks(ctx, &tandemv1.WatchLinksRequest{Parent: "connectors/development", ResumeToken: token})
	if err != nil {
		t.Fatal(err)
	}
	first, err := watch.Recv()
	if err != nil || first.GetLink() != nil || first.GetResumeToken() == "" {
		t.Fatalf("the watch began with %v, %v", first, err)
	}
	return watch
}

func TestWatchTellsChanges(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	w.put(t, item.Link{Connector: "development", Ticket: 1, State: item.LinkActive})
	watch := w.watch(ctx, t, "")
	parked := w.put(t, item.Link{Connector: "development", Ticket: 7, WorkItem: 9, State: item.LinkParked, Reason: "Refused."})
	got := told(t, watch)
	if got.GetLink().GetTicketId() != 7 || got.GetLink().GetReason() != "Refused." || got.GetDeleted() {
		t.Errorf("told %v", got)
	}
	token := got.GetResumeToken()
	held, err := w.leases.Acquire(ctx, link.TicketKey("development", 7), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.links.Delete(ctx, held, parked); err != nil {
		t.Fatal(err)
	}
	for got = told(t, watch); !got.GetDeleted(); got = told(t, watch) {
		if got.GetLink().GetTicketId() != 7 {
			t.Errorf("told %v", got)
		}
	}
	if got.GetLink().GetName() != "connectors/development/links/7" || got.GetLink().GetTicketId() != 7 {
		t.Errorf("told %v", got)
	}
	// Who comes back is told what happened meanwhile.
	again := w.watch(ctx, t, token)
	if got := told(t, again); !got.GetDeleted() || got.GetLink().GetTicketId() != 7 {
		t.Errorf("told %v", got)
	}
}

func TestWatchRefusals(t *testing.T) {
	t.Parallel()
	w := setup(t)
	end := func(req *tandemv1.WatchLinksRequest) error {
		watch, err := w.api.WatchLinks(t.Context(), req)
		if err != nil {
			return err
		}
		_, err = watch.Recv()
		if errors.Is(err, io.EOF) {
			t.Error("the watch ended without a word")
		}
		return err
	}
	wantRefusal(t, end(&tandemv1.WatchLinksRequest{Parent: "x"}), codes.InvalidArgument, "INVALID_REQUEST", "parent")
	wantRefusal(t, end(&tandemv1.WatchLinksRequest{Parent: "connectors/sales"}), codes.NotFound, "UNKNOWN_CONNECTOR")
	wantRefusal(t, end(&tandemv1.WatchLinksRequest{Parent: "connectors/development", ResumeToken: "x"}), codes.InvalidArgument, "INVALID_REQUEST", "resume_token")
	// A store that was lost or restored since does not have the place: what changed meanwhile
	// is nowhere told.
	w.put(t, item.Link{Connector: "development", Ticket: 1, State: item.LinkActive})
	for _, token := range []string{"1-0", "9999999999999-0"} {
		wantRefusal(t, end(&tandemv1.WatchLinksRequest{Parent: "connectors/development", ResumeToken: token}), codes.OutOfRange, "RESUME_EXPIRED")
	}
}
