package pushed_test

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/pushed"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestLogs(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, open func(testing.TB) *datastore.Store) {
		t.Helper()
		for name, test := range map[string]func(*bench){
			"what was told comes back":                    (*bench).comesBack,
			"the later state counts":                      (*bench).later,
			"a removed record keeps what it was":          (*bench).removed,
			"files that went are remembered":              (*bench).files,
			"a bare push keeps the text":                  (*bench).bare,
			"old records make room":                       (*bench).room,
			"pushes at once are all kept":                 (*bench).atOnce,
			"it stays as long as the link":                (*bench).stays,
			"when the application was heard":              (*bench).heard,
			"when all was told again":                     (*bench).rounds,
			"a Redis that does not answer is unavailable": (*bench).away,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := &bench{T: t, store: open(t), now: time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)}
				b.logs = b.open(pushed.Limits{Records: 5, Bytes: 4096})
				test(b)
			})
		}
	})
}

type bench struct {
	*testing.T

	store *datastore.Store
	logs  *pushed.Logs
	now   time.Time
}

func (b *bench) open(limits pushed.Limits) *pushed.Logs {
	b.Helper()
	logs, err := pushed.New(b.store, limits, func() time.Time { return b.now })
	if err != nil {
		b.Fatal(err)
	}
	return logs
}

func at(second int) time.Time { return time.Date(2026, 3, 1, 10, 0, second, 123000, time.UTC) }

func note(id int64, second int, text string, files ...string) item.PushedRecord {
	r := item.PushedRecord{AsOf: at(second), Record: item.Record{
		ID: id, Subject: "About", HTML: "<p>" + text + "</p>", Plain: text, Kind: "Note", From: "Eve", Created: at(0), ShowToRequester: true,
	}}
	for _, f := range files {
		r.Attachments = append(r.Attachments, item.Attachment{ID: f, Name: "file " + f, Size: -1})
	}
	return r
}

func (b *bench) keep(want pushed.Kept, r item.PushedRecord) {
	b.Helper()
	if got, err := b.logs.Keep(b.Context(), "a", 7, r); err != nil || got != want {
		b.Errorf("keeping record %d: %+v, %v, want %+v", r.ID, got, err, want)
	}
}

func (b *bench) want(records ...item.PushedRecord) {
	b.Helper()
	got, err := b.logs.Log(b.Context(), "a", 7)
	if err != nil {
		b.Fatal(err)
	}
	if records == nil {
		records = []item.PushedRecord{}
	}
	if diff := cmp.Diff(records, got); diff != "" {
		b.Errorf("the log (-want +got):\n%s", diff)
	}
}

var changed, same = pushed.Kept{Changed: true}, pushed.Kept{}

func (b *bench) comesBack() {
	b.want()
	whole := note(12, 1, "Žluťoučký <kůň> \x00 \"'", "3", "4")
	whole.Important, whole.Cut = true, true
	whole.Attachments[0].Size, whole.Attachments[0].URL = 0, "v1/attachments/3"
	b.keep(changed, whole)
	b.keep(changed, note(9, 1, "older"))
	b.keep(changed, item.PushedRecord{AsOf: at(1), Bare: true, Record: item.Record{ID: 1 << 40, Important: true}})
	b.keep(same, whole)
	b.want(note(9, 1, "older"), whole, item.PushedRecord{AsOf: at(1), Bare: true, Record: item.Record{ID: 1 << 40, Important: true}})
	for _, other := range []struct {
		connector string
		ticket    int64
	}{{"b", 7}, {"a", 8}} {
		if got, err := b.logs.Log(b.Context(), other.connector, other.ticket); err != nil || len(got) != 0 {
			b.Errorf("%+v has %v, %v", other, got, err)
		}
	}
}

func (b *bench) later() {
	b.keep(changed, note(1, 5, "second"))
	b.keep(same, note(1, 4, "first"))
	b.want(note(1, 5, "second"))
	b.keep(changed, note(1, 5, "of the same moment"))
	b.keep(same, note(1, 9, "of the same moment"))
	b.keep(same, note(1, 8, "between"))
	b.want(note(1, 9, "of the same moment"))
}

func (b *bench) removed() {
	b.keep(changed, note(1, 1, "text", "3"))
	b.keep(changed, item.PushedRecord{AsOf: at(2), Record: item.Record{ID: 1, Removed: true}})
	b.keep(same, note(1, 1, "text", "3"))
	b.keep(same, item.PushedRecord{AsOf: at(3), Record: item.Record{ID: 1, Removed: true}})
	b.keep(changed, item.PushedRecord{AsOf: at(3), Record: item.Record{ID: 2, Removed: true}})
	b.want(
		item.PushedRecord{AsOf: at(3), Record: item.Record{ID: 1, Removed: true, Attachments: []item.Attachment{{ID: "3", Name: "file 3", Size: -1}}}},
		item.PushedRecord{AsOf: at(3), Record: item.Record{ID: 2, Removed: true}},
	)
	// Restored, as Alvao lets an administrator do.
	b.keep(changed, note(1, 6, "text", "3"))
}

func (b *bench) files() {
	b.keep(changed, note(1, 1, "text", "3", "4"))
	b.keep(changed, note(1, 2, "text", "4"))
	without := note(1, 2, "text", "4")
	without.RemovedFiles = []string{"3"}
	b.want(without)
	b.keep(changed, note(1, 3, "text"))
	none := note(1, 3, "text")
	none.RemovedFiles = []string{"3", "4"}
	b.want(none)
	b.keep(changed, note(1, 4, "text", "3"))
	back := note(1, 4, "text", "3")
	back.RemovedFiles = []string{"4"}
	b.want(back)
}

func (b *bench) bare() {
	whole := note(1, 1, "text", "3")
	b.keep(changed, whole)
	b.keep(changed, item.PushedRecord{AsOf: at(2), Bare: true, Record: item.Record{ID: 1, Important: true}})
	whole.AsOf, whole.Important, whole.ShowToRequester = at(2), true, false
	b.want(whole)
}

func (b *bench) room() {
	for id := int64(1); id <= 5; id++ {
		b.keep(changed, note(id, 1, "x"))
	}
	b.keep(pushed.Kept{Changed: true, Dropped: 1}, note(10, 1, "x"))
	b.want(note(1, 1, "x"), note(3, 1, "x"), note(4, 1, "x"), note(5, 1, "x"), note(10, 1, "x"))
	// One told of late is older than the others and stays all the same.
	b.keep(pushed.Kept{Changed: true, Dropped: 1}, note(2, 1, "x"))
	b.want(note(1, 1, "x"), note(2, 1, "x"), note(4, 1, "x"), note(5, 1, "x"), note(10, 1, "x"))
	long := strings.Repeat("y", 1850)
	b.keep(pushed.Kept{Changed: true, Dropped: 2}, note(10, 2, long))
	b.want(note(1, 1, "x"), note(5, 1, "x"), note(10, 2, long))
	b.keep(changed, note(10, 3, "short again"))
	b.keep(changed, note(11, 1, "x"))
	b.want(note(1, 1, "x"), note(5, 1, "x"), note(10, 3, "short again"), note(11, 1, "x"))
}

func (b *bench) atOnce() {
	logs := b.open(pushed.Limits{})
	var group sync.WaitGroup
	for n := range 24 {
		group.Go(func() {
			if _, err := logs.Keep(b.Context(), "a", 7, note(int64(n%3+1), n, strconv.Itoa(n))); err != nil {
				b.Error(err)
			}
		})
	}
	group.Wait()
	b.want(note(1, 21, "21"), note(2, 22, "22"), note(3, 23, "23"))
}

// stays: without a link the log has its time, and with one it has none.
func (b *bench) stays() {
	ctx, key := b.Context(), link.PushedKey(b.store, "a", 7)
	ttl := func(want time.Duration) {
		b.Helper()
		got, err := b.store.Client().PTTL(ctx, key).Result()
		if err != nil || got > want || got < want-time.Minute {
			b.Errorf("the log goes in %v (%v), want %v", got, err, want)
		}
	}
	const unlinked = 60 * 24 * time.Hour
	b.keep(changed, note(1, 1, "x"))
	ttl(unlinked)

	links, leases := link.New(b.store), lease.New(b.store)
	held, err := leases.Acquire(ctx, link.TicketKey("a", 7), time.Minute)
	if err != nil {
		b.Fatal(err)
	}
	known, err := links.Put(ctx, held, item.Link{Connector: "a", Ticket: 7})
	if err != nil {
		b.Fatal(err)
	}
	ttl(unlinked)
	b.want(note(1, 1, "x"))
	ttl(-1)
	b.keep(changed, note(2, 1, "x"))
	ttl(-1)
	if err := links.Delete(ctx, held, known); err != nil {
		b.Fatal(err)
	}
	ttl(30 * 24 * time.Hour)
	b.want(note(1, 1, "x"), note(2, 1, "x"))
}

func (b *bench) heard() {
	heard := func(logs *pushed.Logs, want time.Time) {
		b.Helper()
		if got, err := logs.Heard(b.Context(), "a"); err != nil || !got.Equal(want) {
			b.Errorf("heard at %v, %v, want %v", got, err, want)
		}
	}
	heard(b.logs, time.Time{})
	first := b.now
	b.keep(changed, note(1, 1, "x"))
	heard(b.logs, first)
	b.now = first.Add(59 * time.Second)
	b.keep(changed, note(1, 2, "y"))
	heard(b.logs, first)
	// Redis was emptied: what is told again must not count as never told.
	if err := b.store.Client().Del(b.Context(), b.store.Key("pushed/a", "heard")).Err(); err != nil {
		b.Fatal(err)
	}
	b.keep(changed, note(2, 1, "x"))
	heard(b.logs, b.now)
	b.now = first.Add(time.Hour)
	b.keep(changed, note(3, 1, "x"))
	heard(b.open(pushed.Limits{}), first.Add(time.Hour))
	b.now = first // a replica whose clock is behind
	if _, err := b.open(pushed.Limits{}).Keep(b.Context(), "a", 7, note(4, 1, "x")); err != nil {
		b.Error(err)
	}
	heard(b.logs, first.Add(time.Hour))
	if got, err := b.logs.Heard(b.Context(), "b"); err != nil || !got.IsZero() {
		b.Errorf("b was heard at %v, %v", got, err)
	}
}

// rounds: the beginning of the last round counts by the clock of Redis, an earlier one takes
// nothing back, and connectors are apart.
func (b *bench) rounds() {
	if at, err := b.logs.Round(b.Context(), "a"); err != nil || !at.IsZero() {
		b.Errorf("%v, %v", at, err)
	}
	before := time.Now()
	for _, took := range []time.Duration{time.Minute, time.Hour} {
		if err := b.logs.KeepRound(b.Context(), "a", took); err != nil {
			b.Fatal(err)
		}
	}
	at, err := b.logs.Round(b.Context(), "a")
	if off := at.Sub(before.Add(-time.Minute)); err != nil || off < -time.Second || off > time.Minute {
		b.Errorf("it began at %v (%v off), %v", at, off, err)
	}
	if heard, err := b.logs.Heard(b.Context(), "a"); err != nil || heard.IsZero() {
		b.Errorf("heard at %v, %v", heard, err)
	}
	if at, err := b.logs.Round(b.Context(), "b"); err != nil || !at.IsZero() {
		b.Errorf("%v, %v", at, err)
	}
}

func (b *bench) away() {
	ctx, cancel := context.WithDeadline(b.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := b.logs.Keep(ctx, "a", 7, note(1, 1, "x")); !fault.Is(err, fault.Unavailable) {
		b.Errorf("keeping: %v", err)
	}
	if _, err := b.logs.Log(ctx, "a", 7); !fault.Is(err, fault.Unavailable) {
		b.Errorf("reading: %v", err)
	}
	if _, err := b.logs.Heard(ctx, "a"); !fault.Is(err, fault.Unavailable) {
		b.Errorf("heard: %v", err)
	}
}
