package linktest

import (
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

func (b *bench) wantNotices(ticket int64, want map[string]item.Notice) {
	b.t.Helper()
	got, err := b.links.Notices(b.ctx(), connector, ticket)
	if err != nil {
		b.t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("notices of ticket %d (-want +got):\n%s", ticket, diff)
	}
}

// notices: a mirror that stands makes its notice due in the same step, once.
func (b *bench) notices() {
	const source = "azureDevOps/comment/7"
	b.put(linked(1, 42))
	held := b.lease(1)
	at := time.Date(2026, 3, 2, 14, 5, 0, 7, time.FixedZone("CET", 3600))
	put := func(mirror item.Mirror) {
		b.t.Helper()
		if err := b.links.PutMirror(b.ctx(), held, source, mirror); err != nil {
			b.t.Fatal(err)
		}
	}
	put(item.Mirror{Hash: "17", Posting: at, Notify: at})
	b.wantMirrors(1, map[string]item.Mirror{source: {Hash: "17", Posting: at.UTC(), Notify: at.UTC()}})
	put(item.Mirror{Hash: "17", Notify: at}) // left out: nothing stands there
	b.wantNotices(1, map[string]item.Notice{})
	put(item.Mirror{Target: "9", Hash: "17", Notify: at})
	b.wantMirrors(1, map[string]item.Mirror{source: {Target: "9", Hash: "17"}})
	due := item.Notice{Due: at.UTC()}
	b.wantNotices(1, map[string]item.Notice{source: due})
	b.wantNotices(2, map[string]item.Notice{})

	sending := item.Notice{Due: at, Email: item.NoticeSending}
	told := item.Notice{Due: at, Email: item.NoticeTold, Done: true}
	change := item.LinkChange{Time: at.UTC(), Action: "notice", Detail: "Nobody was told."}
	for _, step := range []struct {
		known, next item.Notice
		changes     []item.LinkChange
		stored      bool
	}{
		{due, sending, nil, true},
		{due, sending, nil, true}, // the same again, as if the answer was lost
		{due, told, nil, false},
		{sending, told, []item.LinkChange{change}, true},
		{sending, told, []item.LinkChange{change}, true},
		{due, sending, nil, false},
	} {
		stored, err := b.links.PutNotice(b.ctx(), connector, 1, source, step.known, step.next, step.changes...)
		if err != nil || stored != step.stored {
			b.t.Errorf("from %+v to %+v: %v, %v", step.known, step.next, stored, err)
		}
	}
	told.Due = at.UTC()
	b.wantNotices(1, map[string]item.Notice{source: told})
	history, err := b.links.History(b.ctx(), connector, 1, 1)
	if err != nil {
		b.t.Fatal(err)
	}
	if diff := cmp.Diff([]item.LinkChange{change}, history); diff != "" {
		b.t.Errorf("history: %s", diff)
	}
	if again, err := b.links.History(b.ctx(), connector, 1, 0); err != nil || len(again) > 1 && again[1].Action == "notice" {
		b.t.Errorf("the history says it twice: %+v, %v", again, err)
	}
	// A mirror that asks once more makes nothing due.
	put(item.Mirror{Target: "10", Hash: "18", Notify: at})
	b.wantNotices(1, map[string]item.Notice{source: told})
}

// noticesDeleted: they go with their link, and leave no history behind.
func (b *bench) noticesDeleted() {
	const source = "azureDevOps/comment/7"
	stored := b.put(linked(1, 42))
	held := b.lease(1)
	at := time.Date(2026, 3, 2, 14, 5, 0, 0, time.UTC)
	if err := b.links.PutMirror(b.ctx(), held, source, item.Mirror{Target: "9", Notify: at}); err != nil {
		b.t.Fatal(err)
	}
	if err := b.links.Delete(b.ctx(), held, stored); err != nil {
		b.t.Fatal(err)
	}
	b.wantNotices(1, map[string]item.Notice{})
	due := item.Notice{Due: at}
	if ok, err := b.links.PutNotice(b.ctx(), connector, 1, source, due, item.Notice{Due: at, Done: true}, item.LinkChange{Action: "notice"}); ok || err != nil {
		b.t.Errorf("a notice without a link was stored: %v, %v", ok, err)
	}
	b.wantNotices(1, map[string]item.Notice{})
}
