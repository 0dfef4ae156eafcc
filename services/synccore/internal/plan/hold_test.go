package plan_test

import (
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// Where Alvao's log is what its application tells, what may have been written to it already
// is held back until that has told all, and no longer than some hours. Nothing else waits.
func TestHeldUntilTold(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	const source = "azureDevOps/comment/7"
	comment := plan.Message{Source: source, Side: item.AzureDevOps, Shape: plan.Text, Created: ago(time.Hour), Hash: "new", Crosses: true}
	for name, tc := range map[string]struct {
		mirror   item.Mirror
		unknown  bool // nothing is remembered of it
		since    time.Time
		told     time.Time
		whole    bool // the log can be read
		posting  string
		deleted  bool
		want     plan.Kind
		reversed bool // it is a record of Alvao's
	}{
		"a comment of today":                  {unknown: true, since: ago(2 * time.Hour), want: plan.BeginPost},
		"one from before the memory began":    {unknown: true, since: ago(30 * time.Minute), want: plan.Hold},
		"the same, and all was told":          {unknown: true, since: ago(30 * time.Minute), told: ago(28 * time.Minute), want: plan.BeginPost},
		"the same, told just before":          {unknown: true, since: ago(30 * time.Minute), told: ago(29 * time.Minute), want: plan.Hold},
		"the same, of a log that can be read": {unknown: true, since: ago(30 * time.Minute), whole: true, want: plan.BeginPost},
		"the same, a record":                  {unknown: true, since: ago(30 * time.Minute), reversed: true, want: plan.BeginPost},
		"a post that was cut off":             {mirror: item.Mirror{Hash: "new", Posting: ago(10 * time.Minute)}, want: plan.Hold},
		"the same, hours ago":                 {mirror: item.Mirror{Hash: "new", Posting: ago(6 * time.Hour)}, want: plan.BeginPost},
		"the same, a moment ago":              {mirror: item.Mirror{Hash: "new", Posting: ago(time.Second)}, want: plan.Wait},
		"the same, told since":                {mirror: item.Mirror{Hash: "new", Posting: ago(10 * time.Minute)}, told: ago(5 * time.Minute), want: plan.BeginPost},
		"the same, by a clock that was wrong": {mirror: item.Mirror{Hash: "new", Posting: ago(-24 * time.Hour)}, want: plan.BeginPost},
		"an edit is stored first":             {mirror: item.Mirror{Target: "9", Hash: "old"}, want: plan.BeginPost},
		"an edit that was stored":             {mirror: item.Mirror{Target: "9", Hash: "old", Changing: now}, posting: source, want: plan.Edit},
		"an edit that was cut off":            {mirror: item.Mirror{Target: "9", Hash: "old", Changing: ago(10 * time.Minute)}, want: plan.Hold},
		"an edit of a log that can be read":   {mirror: item.Mirror{Target: "9", Hash: "old"}, whole: true, want: plan.Edit},
		"a deletion is stored first":          {mirror: item.Mirror{Target: "9", Hash: "new"}, deleted: true, want: plan.BeginPost},
		"a deletion that was stored":          {mirror: item.Mirror{Target: "9", Hash: "new", Changing: now}, posting: source, deleted: true, want: plan.Retract},
		"a deletion that was cut off":         {mirror: item.Mirror{Target: "9", Hash: "new", Changing: ago(10 * time.Minute)}, deleted: true, want: plan.Hold},
		"a deletion after the memory was lost": {
			mirror: item.Mirror{Target: "9", Hash: "new"}, since: ago(10 * time.Minute), deleted: true, want: plan.Hold,
		},
		"a deletion of a log that can be read": {mirror: item.Mirror{Target: "9", Hash: "new"}, whole: true, deleted: true, want: plan.Retract},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := comment
			if tc.reversed {
				m.Source, m.Side = "alvao/record/7", item.Alvao
			}
			m.Deleted = tc.deleted
			sides := plan.Sides{
				Now: now, MessagesRead: true, Messages: []plan.Message{m}, Mirrors: map[string]item.Mirror{}, Posting: tc.posting,
				LogPartial: !tc.whole, LogTold: tc.told, MemorySince: tc.since,
			}
			if !tc.unknown {
				sides.Mirrors[m.Source] = tc.mirror
			}
			link := item.Link{WorkItem: 3, Created: ago(3 * time.Hour)}
			step, ok := plan.Talk(link, sides, plan.Rules{Messages: true})
			if !ok || step.Kind != tc.want || step.Kind == plan.Hold && step.After != 10*time.Minute {
				t.Fatalf("%+v, want %s", step, tc.want)
			}
			if tc.want != plan.Hold {
				return
			}
			// The others go on.
			other := comment
			other.Source, other.Created = "azureDevOps/comment/8", now
			sides.Messages = append(sides.Messages, other)
			if step, _ := plan.Talk(link, sides, plan.Rules{Messages: true}); step.Kind != plan.BeginPost || step.Source != other.Source {
				t.Errorf("%+v", step)
			}
		})
	}
}

// So is a note to people in Alvao of which nobody knows whether it was written.
func TestNoteHeldUntilTold(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, tc := range map[string]struct {
		posting, told, since time.Time
		status               string
		whole                bool
		want                 plan.Kind
	}{
		"it was cut off":                  {posting: ago(10 * time.Minute), status: "Development", want: plan.Hold},
		"it was cut off, and all is told": {posting: ago(10 * time.Minute), told: ago(5 * time.Minute), status: "Development", want: plan.BeginNote},
		"of a log that can be read":       {posting: ago(10 * time.Minute), status: "Development", whole: true, want: plan.BeginNote},
		"the memory of it was lost":       {since: ago(10 * time.Minute), want: plan.Hold},
		"the same, and all is told":       {since: ago(10 * time.Minute), told: ago(5 * time.Minute), want: plan.BeginNote},
	} {
		link := item.Link{
			WorkItem: 3, State: item.LinkGone, Away: item.AzureDevOps, Agreed: item.Pair{Status: tc.status},
			Note: &item.Note{Number: 1, To: item.Alvao, Text: "It is gone.", Posting: tc.posting},
		}
		sides := plan.Sides{
			Now: now, WorkItemGone: true, Ticket: item.Ticket{ID: 7}, NoteSought: true,
			LogPartial: !tc.whole, LogTold: tc.told, MemorySince: tc.since,
		}
		if step := plan.Next(link, sides, plan.Rules{}); step.Kind != tc.want {
			t.Errorf("%s: %+v, want %s", name, step, tc.want)
		}
	}
}
