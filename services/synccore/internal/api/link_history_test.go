package api_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// TestHistoryInPages: each entry is told once, in order, though several are of one moment
// and others are added between the pages.
func TestHistoryInPages(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const name = "connectors/development/links/7"
	stored := w.put(t, item.Link{Connector: "development", Ticket: 7, WorkItem: 9, State: item.LinkActive})
	add := func(actions ...string) {
		var changes []item.LinkChange
		for _, action := range actions {
			changes = append(changes, item.LinkChange{Time: w.now, Action: action})
		}
		stored = w.put(t, stored, changes...)
		w.now = w.now.Add(time.Second)
	}
	add("a")
	add("b", "c", "d", "e", "f")
	add("g", "h")
	whole, err := w.api.ListLinkHistory(t.Context(), &tandemv1.ListLinkHistoryRequest{Name: name})
	if err != nil || len(whole.GetChanges()) != 8 || whole.GetNextPageToken() != "" {
		t.Fatalf("the history is %v, %v", whole, err)
	}
	want := actions(whole)
	for size := int32(1); size <= 8; size++ {
		var told []string
		request := &tandemv1.ListLinkHistoryRequest{Name: name, PageSize: size}
		for {
			page, err := w.api.ListLinkHistory(t.Context(), request)
			if err != nil || len(page.GetChanges()) > int(size) || len(page.GetChanges()) == 0 {
				t.Fatalf("pages of %d: %v, %v", size, page, err)
			}
			told = append(told, actions(page)...)
			if request.PageToken = page.GetNextPageToken(); request.GetPageToken() == "" {
				break
			}
			add(fmt.Sprintf("new %d", size)) // comes before all that was told
		}
		if at := slices.Index(told, want[0]); !slices.Equal(told[at:], want) {
			t.Errorf("pages of %d tell %v, want %v", size, told, want)
		}
	}
	first, err := w.api.ListLinkHistory(t.Context(), &tandemv1.ListLinkHistoryRequest{Name: name, PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	// A token is good for its own request, and what is none is told with everything else.
	for _, token := range []string{"x", "AAAAAAAA", first.GetNextPageToken()} {
		_, err := w.api.ListLinkHistory(t.Context(), &tandemv1.ListLinkHistoryRequest{Name: "connectors/development/links/8", PageToken: token, PageSize: -1})
		wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "page_size", "page_token")
	}
}

func actions(page *tandemv1.ListLinkHistoryResponse) []string {
	var all []string
	for _, change := range page.GetChanges() {
		all = append(all, change.GetAction())
	}
	return all
}

// TestTokensAreOfTheirRequest: a page token of one list is none of another.
func TestTokensAreOfTheirRequest(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for ticket := range int64(3) {
		w.put(t, item.Link{Connector: "development", Ticket: ticket + 1, WorkItem: ticket + 1, State: item.LinkActive})
	}
	page, err := w.api.ListLinks(t.Context(), &tandemv1.ListLinksRequest{Parent: "connectors/development", PageSize: 1})
	if err != nil || page.GetNextPageToken() == "" {
		t.Fatalf("%v, %v", page, err)
	}
	token := page.GetNextPageToken()
	_, err = w.api.ListLinks(t.Context(), &tandemv1.ListLinksRequest{Parent: "connectors/infrastructure", PageToken: token, PageSize: -1})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "page_size", "page_token")
	_, err = w.events.ListEvents(t.Context(), &tandemv1.ListEventsRequest{Parent: "connectors/development", PageToken: token, State: 9})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "state", "page_token")
	_, err = w.resyncs.CheckDrift(t.Context(), &tandemv1.CheckDriftRequest{Parent: "connectors/infrastructure", PageToken: token})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "page_token")
	_, err = w.api.ListLinks(t.Context(), &tandemv1.ListLinksRequest{Parent: "connectors/development", PageToken: token, OrderBy: "update_time"})
	wantRefusal(t, err, codes.InvalidArgument, "INVALID_REQUEST", "page_token")
}
