package item_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

func TestParseKey(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]item.Key{
		"development/alvao/7":                         {Connector: "development", System: item.Alvao, ID: 7},
		"development/azureDevOps/9223372036854775807": {Connector: "development", System: item.AzureDevOps, ID: 1<<63 - 1},
		"development/notice/7":                        {Connector: "development", System: item.Notices, ID: 7},
	} {
		if got, err := item.ParseKey(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "/", "//", "a/alvao", "/alvao/7", "a/b/alvao/7", "a/Alvao/7", "a/jira/7", "a/alvao/", "a/alvao/0", "a/alvao/-7",
		"a/alvao/+7", "a/alvao/07", "a/alvao/7 ", "a/alvao/7.0", "a/alvao/0x7", "a/alvao/9223372036854775808", "a/alvao/7/", "a/alvao/٧",
	} {
		if got, err := item.ParseKey(text); err == nil {
			t.Errorf("%q was read as %+v", text, got)
		}
	}
}

func TestStates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		mirror item.Mirror
		stands bool
	}{
		{item.Mirror{}, false}, {item.Mirror{Target: "7"}, true}, {item.Mirror{Posting: now}, false}, {item.Mirror{Posting: now, Target: "7"}, false},
	} {
		if tc.mirror.Stands() != tc.stands {
			t.Errorf("%+v stands: %t", tc.mirror, !tc.stands)
		}
	}
	for state, settled := range map[item.NoticeState]bool{
		item.NoticeOwed: false, item.NoticeSending: false, item.NoticeTold: true, item.NoticeDropped: true,
	} {
		if state.Settled() != settled {
			t.Errorf("%q is settled: %t", state, !settled)
		}
	}
}

// A key has one text and a text one key.
func FuzzParseKey(f *testing.F) {
	for _, text := range []string{"development/alvao/7", "a/azureDevOps/1", "a/alvao/+7", "a/alvao/07", "a//7", "//", "\x00/alvao/1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := item.ParseKey(text)
		if err != nil {
			if key != (item.Key{}) {
				t.Errorf("%q was refused, yet gave %+v", text, key)
			}
			return
		}
		if key.String() != text {
			t.Errorf("%q was read as %+v, which is written %q", text, key, key.String())
		}
	})
}

func TestKeyRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := item.Key{
			Connector: rapid.StringMatching(`[a-z][a-z0-9-]{0,62}`).Draw(t, "connector"),
			System:    rapid.SampledFrom([]item.System{item.Alvao, item.AzureDevOps, item.Notices}).Draw(t, "system"),
			ID:        rapid.Int64Range(1, 1<<63-1).Draw(t, "id"),
		}
		if got, err := item.ParseKey(want.String()); err != nil || got != want {
			t.Fatalf("%+v became %+v, %v", want, got, err)
		}
	})
}

// What is stored of a link comes back, but for the version, which is the store's own.
func TestLinkKeepsEverythingInJSON(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 2, 8, 0, 0, 7, time.UTC)
	want := item.Link{
		Connector: "development", Ticket: 7, TicketURL: "t", WorkItem: 9, WorkItemURL: "w", State: item.LinkParked, Reason: "why",
		Agreed: item.Pair{Status: "Testing", State: "Done"}, Parked: &item.Standstill{Status: "New", State: "To Do", ExternalID: "9"},
		Move: &item.Move{Status: "Testing", Path: []string{"Doing", "Done"}}, SeenRev: 4, Map: "0badcafe", Withheld: map[string]int{"kinds": 2}, Intended: at, Created: at, Updated: at, Version: 12,
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got item.Link
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if got.Exists() || !want.Exists() {
		t.Error("the version travelled along")
	}
	want.Version = 0
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTitle(t *testing.T) {
	t.Parallel()
	if item.Alvao.Title() != "Alvao" || item.AzureDevOps.Title() != "Azure DevOps" || item.System("x").Title() != "x" {
		t.Error(item.Alvao.Title(), item.AzureDevOps.Title(), item.System("x").Title())
	}
}
