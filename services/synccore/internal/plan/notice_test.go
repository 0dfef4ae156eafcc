package plan_test

import (
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// A notice is asked for by a person's comment that came after the link was made, and not
// by anything else that crosses.
func TestWhatAsksForANotice(t *testing.T) {
	t.Parallel()
	now := start().Add(100 * time.Hour)
	comment := plan.Message{
		Source: "azureDevOps/comment/5", Side: item.AzureDevOps, Shape: plan.Text, Created: now.Add(-time.Minute), ID: 5, Hash: "17", Crosses: true, Target: "5",
	}
	for name, tc := range map[string]struct {
		change func(*plan.Message, *plan.Rules)
		asks   bool
	}{
		"a comment":                      {func(*plan.Message, *plan.Rules) {}, true},
		"notices are not wanted":         {func(_ *plan.Message, r *plan.Rules) { r.Notices = false }, false},
		"a file":                         {func(m *plan.Message, _ *plan.Rules) { m.Shape = plan.File }, false},
		"a record":                       {func(m *plan.Message, _ *plan.Rules) { m.Side = item.Alvao }, false},
		"older than the link":            {func(m *plan.Message, _ *plan.Rules) { m.Created = start().Add(-time.Second) }, false},
		"as old as the link":             {func(m *plan.Message, _ *plan.Rules) { m.Created = start() }, false},
		"older than is worth telling":    {func(m *plan.Message, _ *plan.Rules) { m.Created = now.Add(-plan.NoticeSpan) }, false},
		"just not too old":               {func(m *plan.Message, _ *plan.Rules) { m.Created = now.Add(-plan.NoticeSpan + time.Second) }, true},
		"of a clock that is ahead of us": {func(m *plan.Message, _ *plan.Rules) { m.Created = now.Add(time.Hour) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newTalk()
			m, rules := comment, k.rules
			rules.Notices = true
			tc.change(&m, &rules)
			sides := plan.Sides{Now: now, MessagesRead: true, Messages: []plan.Message{m}, Mirrors: map[string]item.Mirror{}}
			step, ok := plan.Talk(k.link, sides, rules)
			if !ok || step.Kind != plan.BeginPost {
				t.Fatalf("planned %+v", step)
			}
			if asks := !step.Mirror.Notify.IsZero(); asks != tc.asks {
				t.Errorf("asks %v", asks)
			}
		})
	}
}

// The wish outlives a round that was cut off, whether the comment had landed or not, and a
// mirror that is merely learned of has none.
func TestWishForANoticeIsKept(t *testing.T) {
	t.Parallel()
	k := newTalk()
	rules := k.rules
	rules.Notices = true
	now := start().Add(time.Hour)
	comment := plan.Message{Source: "azureDevOps/comment/5", Side: item.AzureDevOps, Shape: plan.Text, Created: now, ID: 5, Hash: "17", Crosses: true}
	mirror := plan.Message{
		Source: "alvao/record/9", Side: item.Alvao, Shape: plan.Text, Created: now, ID: 9, MirrorOf: comment.Source, MirrorHash: "17", Target: "9",
	}
	wish := item.Mirror{Hash: "17", Posting: now, Notify: now}
	sides := plan.Sides{Now: now.Add(plan.Settle), MessagesRead: true, Mirrors: map[string]item.Mirror{comment.Source: wish}}

	sides.Messages = []plan.Message{comment}
	if step, _ := plan.Talk(k.link, sides, rules); step.Kind != plan.BeginPost || !step.Mirror.Notify.Equal(now) {
		t.Errorf("not landed: %+v", step)
	}
	sides.Messages = []plan.Message{comment, mirror}
	if step, _ := plan.Talk(k.link, sides, rules); step.Kind != plan.RememberMirror || !step.Mirror.Notify.Equal(now) || !step.Mirror.Stands() {
		t.Errorf("landed: %+v", step)
	}
	mirror.MirrorHash = plan.GoneHash
	sides.Messages = []plan.Message{mirror}
	if step, _ := plan.Talk(k.link, sides, rules); step.Kind != plan.RememberMirror || !step.Mirror.Notify.IsZero() {
		t.Errorf("landed and gone: %+v", step)
	}
	mirror.MirrorHash = "17"
	sides.Messages, sides.Mirrors = []plan.Message{comment, mirror}, map[string]item.Mirror{}
	if step, _ := plan.Talk(k.link, sides, rules); step.Kind != plan.RememberMirror || !step.Mirror.Notify.IsZero() {
		t.Errorf("learned of: %+v", step)
	}
}
