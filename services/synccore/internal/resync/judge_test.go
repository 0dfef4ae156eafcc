package resync_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// judged has a resync judged, and gives what the judge was told last.
func (b *bench) judged(t *testing.T, hold bool) *brake.Foresight {
	t.Helper()
	told := &brake.Foresight{}
	b.resync.Spare = 3
	b.resync.Judge = func(_ context.Context, foreseen brake.Foresight) (bool, error) {
		if ids := b.take(t); len(ids) != 0 {
			t.Errorf("queued %v before it was judged", ids)
		}
		*told = foreseen
		return hold, nil
	}
	return told
}

func TestWhatWasCountedWaits(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	for id := int64(1); id <= 8; id++ {
		b.pair(t, id)
	}
	b.setState(1, "Done")
	b.change(2, func(t *item.Ticket) { t.Status = "Testing" })
	b.setState(3, "Done") // both changed: counted once
	b.change(3, func(t *item.Ticket) { t.Status = "Testing" })
	delete(b.workItems, 1004)                                                 // nothing would be written
	b.tickets = append(b.tickets, item.Ticket{ID: 20, Status: "Development"}) // new
	b.change(5, func(t *item.Ticket) { t.Removed = true })                    // nothing would be written
	b.setState(6, "Removed")                                                  // not mapped
	told := b.judged(t, true)
	result := b.run(t)
	// Ticket 3 is foreseen from either side by itself; the round finds both in step.
	if told.Links != 8 || told.Total() != 3 || told.Writes["set-status"] != 2 || told.Writes["set-state"] != 1 || result.Foreseen != 3 || result.Held != 3 {
		t.Errorf("told %+v, result %+v", told, result)
	}
	if ids := b.take(t); !slices.Equal(ids, []int64{4, 5, 6, 20}) {
		t.Errorf("queued %v", ids)
	}
	b.judged(t, false)
	if result := b.run(t); result.Held != 0 || result.Foreseen != 3 {
		t.Errorf("result %+v", result)
	}
	ids := b.take(t)
	if ids = slices.Compact(ids); !slices.Equal(ids, []int64{1, 2, 3, 4, 5, 6, 20}) {
		t.Errorf("let go, queued %v", ids)
	}
}

func TestCreationsAreCountedForChangedSettingsOnly(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	since := time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)
	b.tickets = []item.Ticket{
		{ID: 1, Status: "Development", Created: since.Add(-time.Hour)},
		{ID: 2, Status: "Development", ExternalID: "7", Created: since.Add(-time.Hour)},
		{ID: 3, Status: "Development", Created: since.Add(time.Minute)},
		{ID: 4, Status: "New", Created: since.Add(-time.Hour)},
	}
	told := b.judged(t, true)
	b.run(t)
	if told.Total() != 0 {
		t.Errorf("of new tickets: %+v", told)
	}
	if ids := b.take(t); !slices.Equal(ids, []int64{1, 2, 3}) {
		t.Errorf("queued %v", ids)
	}
	b.resync.SettingsChanged, b.resync.Since = true, since
	b.run(t)
	if told.Writes["create-work-item"] != 1 || told.Writes["adopt-work-item"] != 1 || told.Total() != 2 {
		t.Errorf("of changed settings: %+v", told)
	}
	if ids := b.take(t); !slices.Equal(ids, []int64{3}) {
		t.Errorf("queued %v", ids)
	}
}

// When a list breaks off, what would never have to wait goes on, and nothing else.
func TestJudgementOfAnIncompleteRead(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	for id := int64(1); id <= 6; id++ {
		b.pair(t, id)
	}
	b.judged(t, false)
	b.cutTickets = 3
	delete(b.workItems, 1006)
	for id := int64(1); id <= 2; id++ {
		b.setState(id, "Done")
	}
	if _, err := b.try(t); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if ids := b.take(t); !slices.Equal(ids, []int64{1, 2, 6}) {
		t.Errorf("queued %v", ids)
	}
	b.setState(3, "Done")
	if _, err := b.try(t); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if ids := b.take(t); !slices.Equal(ids, []int64{6}) {
		t.Errorf("as many as may have to wait: queued %v", ids)
	}
	b.resync.Judge = func(context.Context, brake.Foresight) (bool, error) { return false, errors.New("the store is away") }
	b.cutTickets = 0
	if _, err := b.try(t); err == nil {
		t.Error("an error of the judge is lost")
	}
	if ids := b.take(t); len(ids) != 0 {
		t.Errorf("without a judgement, queued %v", ids)
	}
}

// counting counts hints without a store behind.
type counting struct{ appended map[int64]int }

func (c counting) Append(_ context.Context, event item.Event) (bool, error) {
	c.appended[event.Key.ID]++
	return true, nil
}

// moved are pages of links all of whose work items moved.
type moved struct{ pages }

func (m moved) WorkItems(ctx context.Context, ids []int64) ([]item.WorkItem, error) {
	found, err := m.pages.WorkItems(ctx, ids)
	for i := range found {
		// The first hundred can't be read as they are: nothing is foreseen for them.
		found[i].State = "Done"
		found[i].Deleted = found[i].ID <= 100
	}
	return found, err
}

// Of any number of differences each is put into the inbox once.
func TestManyDifferences(t *testing.T) {
	t.Parallel()
	const total = 5_000
	b := setup(t, redistest.Embedded(t))
	b.resync.Links, b.resync.Tickets, b.resync.WorkItems = pages{total}, pages{total}, moved{pages{total}}
	for hold, want := range map[bool]int{true: 100, false: total} {
		inbox := counting{map[int64]int{}}
		b.resync.Inbox = inbox
		b.resync.Judge = func(_ context.Context, f brake.Foresight) (bool, error) {
			if f.Total() != total-100 || f.Links != total || len(inbox.appended) != 0 {
				t.Errorf("told %d of %d", f.Total(), f.Links)
			}
			return hold, nil
		}
		result, err := b.try(t)
		if err != nil || result.Differing != want || len(inbox.appended) != want {
			t.Errorf("hold %v: %+v, %d hints, %v", hold, result, len(inbox.appended), err)
		}
	}
}
