package linktest

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
)

func (b *bench) wantMirrors(ticket int64, want map[string]item.Mirror) {
	b.t.Helper()
	got, err := b.links.Memory(b.ctx(), connector, ticket)
	if err != nil {
		b.t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.Mirrors); diff != "" {
		b.t.Errorf("mirrors of ticket %d (-want +got):\n%s", ticket, diff)
	}
}

// mirrors: what is put is told, the last one counts, and tickets are apart.
func (b *bench) mirrors() {
	b.wantMirrors(1, map[string]item.Mirror{})
	held := b.lease(1)
	// Since when anything is remembered is noted once, and is no mirror.
	began, err := b.links.BeginMemory(b.ctx(), held)
	again, errAgain := b.links.BeginMemory(b.ctx(), held)
	memory, errRead := b.links.Memory(b.ctx(), connector, 1)
	if err := errors.Join(err, errAgain, errRead); err != nil || began.IsZero() || !began.Equal(again) || !memory.Since.Equal(began) || len(memory.Mirrors) != 0 {
		b.t.Fatalf("%v, %v, %+v, %v", began, again, memory, err)
	}
	begun := item.Mirror{Hash: "17", Posting: time.Date(2026, 3, 2, 14, 5, 0, 7, time.UTC)}
	stands := item.Mirror{Target: "9001", Hash: "17"}
	for _, mirror := range []item.Mirror{begun, begun} {
		if err := b.links.PutMirror(b.ctx(), held, "alvao/record/1", mirror); err != nil {
			b.t.Fatal(err)
		}
	}
	b.wantMirrors(1, map[string]item.Mirror{"alvao/record/1": begun})
	gone := item.Mirror{Target: "7", Hash: "18", Gone: true}
	if err := b.links.PutMirror(b.ctx(), held, "alvao/record/1", stands); err != nil {
		b.t.Fatal(err)
	}
	if err := b.links.PutMirror(b.ctx(), held, "azureDevOps/comment/7", gone); err != nil {
		b.t.Fatal(err)
	}
	b.wantMirrors(1, map[string]item.Mirror{"alvao/record/1": stands, "azureDevOps/comment/7": gone})
	b.wantMirrors(2, map[string]item.Mirror{})
}

// mirrorNeedsLease: who lost the lease stores nothing.
func (b *bench) mirrorNeedsLease() {
	old := b.lease(1)
	b.release(old)
	b.wantConflict(b.links.PutMirror(b.ctx(), old, "alvao/record/1", item.Mirror{Target: "1"}), "putting a mirror without the lease")
	next := b.lease(1)
	b.wantConflict(b.links.PutMirror(b.ctx(), old, "alvao/record/1", item.Mirror{Target: "1"}), "putting a mirror under an old lease")
	b.wantMirrors(1, map[string]item.Mirror{})
	if err := b.links.PutMirror(b.ctx(), next, "alvao/record/1", item.Mirror{Target: "2"}); err != nil {
		b.t.Fatal(err)
	}
	b.wantMirrors(1, map[string]item.Mirror{"alvao/record/1": {Target: "2"}})
}

// mirrorsDeleted: they go with their link.
func (b *bench) mirrorsDeleted() {
	stored := b.put(linked(1, 42))
	held := b.lease(1)
	if err := b.links.PutMirror(b.ctx(), held, "alvao/record/1", item.Mirror{Target: "2"}); err != nil {
		b.t.Fatal(err)
	}
	if err := b.links.Delete(b.ctx(), held, stored); err != nil {
		b.t.Fatal(err)
	}
	b.wantMirrors(1, map[string]item.Mirror{})
}

// olderBuilds work on the same links during a rolling update and after one that was taken
// back: what they don't know looks to them like a mirror that stands nowhere, and what they
// noted as a number is understood.
func (b *bench) olderBuilds() {
	held := b.lease(1)
	if _, err := b.links.Put(b.ctx(), held, item.Link{Connector: connector, Ticket: 1, State: item.LinkActive}); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.links.BeginMemory(b.ctx(), b.lease(2)); err != nil {
		b.t.Fatal(err)
	}
	for ticket := range int64(2) {
		key := b.store.Key(lease.Tag(link.TicketKey(connector, ticket+1)), "mirrors")
		fields, err := b.store.Client().HGetAll(b.ctx(), key).Result()
		if err != nil || len(fields) == 0 {
			b.t.Fatalf("%v, %v", fields, err)
		}
		for source, text := range fields {
			var mirror item.Mirror
			if err := json.Unmarshal([]byte(text), &mirror); err != nil || mirror != (item.Mirror{}) {
				b.t.Errorf("an older build reads %s, %s, as %+v, %v", source, text, mirror, err)
			}
		}
		if err := b.store.Client().HSet(b.ctx(), key, "since", "1790000000000").Err(); err != nil {
			b.t.Fatal(err)
		}
		if memory, err := b.links.Memory(b.ctx(), connector, ticket+1); err != nil || memory.Since.UnixMilli() != 1790000000000 {
			b.t.Errorf("%+v, %v", memory, err)
		}
	}
}
