package worker_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/worker"
)

// past is a time that a clocked Redis is moved by, beyond the visibility of any item here.
const past = 21 * time.Second

// lapsing has items taken by so many workers that vanish, one after the other.
func lapsing(t *testing.T, store *datastore.Store, advance func(time.Duration), lapses int, ids ...int64) {
	t.Helper()
	box, err := inbox.New(store, inbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = box.Close() }()
	for _, id := range ids {
		if _, err := box.Append(t.Context(), item.Event{Key: key(id), Type: "poll"}); err != nil {
			t.Fatal(err)
		}
	}
	for range lapses {
		got, err := box.Receive(t.Context(), inbox.MaxReceive, 0)
		if err != nil || len(got) != len(ids) {
			t.Fatalf("%d items, %v", len(got), err)
		}
		advance(past)
	}
}

func TestItemThatEndsItsWorkersIsGivenUpUnserved(t *testing.T) {
	t.Parallel()
	store, advance := redistest.Clocked(t)
	lapsing(t, store, advance, 5, 7)
	b := setupOn(t, store, func(context.Context, inbox.Delivery) (worker.Served, error) {
		t.Error("it was served once more")
		return worker.Served{}, nil
	})
	letter := b.awaitDead(t)
	if letter.Key != key(7) || !strings.Contains(letter.Reason, "last 5 workers that served development/alvao/7") {
		t.Errorf("dead letter %+v", letter)
	}
}

// A few kills of healthy processes find the same item in hand.
func TestBystanderOfKillsIsServed(t *testing.T) {
	t.Parallel()
	store, advance := redistest.Clocked(t)
	lapsing(t, store, advance, 4, 7)
	served := make(chan inbox.Delivery, 1)
	setupOn(t, store, func(_ context.Context, d inbox.Delivery) (worker.Served, error) {
		served <- d
		return worker.Served{}, nil
	})
	if d := await(t, "the bystander", served); d.Lapses != 4 {
		t.Errorf("%+v", d)
	}
}

// Items that vanished with their worker again and again are served one at a time: it is
// one of them that ends the workers, and the others must not count on with it.
func TestSuspectsAreServedAlone(t *testing.T) {
	t.Parallel()
	store, advance := redistest.Clocked(t)
	lapsing(t, store, advance, 2, 1, 2, 3, 4)
	box, err := inbox.New(store, inbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	var serving atomic.Int32
	var once sync.Once
	served := make(chan inbox.Delivery, 4)
	handler := func(ctx context.Context, d inbox.Delivery) (worker.Served, error) {
		if serving.Add(1) > 1 {
			t.Error("two are served at once")
		}
		defer serving.Add(-1)
		once.Do(func() {
			// The others don't wait in hand, where they would lapse with it.
			for range time.Tick(5 * time.Millisecond) {
				stats, err := box.Stats(ctx)
				if err != nil || stats.Waiting == 3 || serving.Load() > 1 {
					return
				}
			}
		})
		served <- d
		return worker.Served{}, nil
	}
	setupOn(t, store, handler, func(c *worker.Config) { c.Inbox, c.Upkeep = box, 10*time.Millisecond })
	limit := time.After(20 * time.Second)
	for n := 0; n < 4; {
		select {
		case d := <-served:
			n++
			if d.Lapses != 2 {
				t.Errorf("%+v", d)
			}
			advance(2 * time.Second) // the others come again
		case <-time.After(200 * time.Millisecond):
			if n > 0 {
				advance(2 * time.Second)
			}
		case <-limit:
			t.Fatalf("only %d were served", n)
		}
	}
}

// parting is an inbox that is out of reach for heartbeats until the gate opens, and tells
// of each one that it took.
type parting struct {
	worker.Inbox

	gate  chan struct{}
	beats chan int64
}

func (p parting) Extend(ctx context.Context, d inbox.Delivery) error {
	select {
	case <-p.gate:
	case <-ctx.Done():
		return ctx.Err()
	}
	err := p.Inbox.Extend(ctx, d)
	if err == nil {
		select {
		case p.beats <- d.Token:
		default:
		}
	}
	return err
}

// The inbox gave the item to somebody else, here the same process: the first serving is
// told to stop, ends, and takes nothing away from the second.
func TestLostDeliveryIsStopped(t *testing.T) {
	t.Parallel()
	store, advance := redistest.Clocked(t)
	first, second := make(chan inbox.Delivery, 1), make(chan inbox.Delivery, 1)
	stopped, release := make(chan error, 1), make(chan struct{})
	p := parting{gate: make(chan struct{}), beats: make(chan int64)}
	b := setupOn(t, store, func(ctx context.Context, d inbox.Delivery) (worker.Served, error) {
		if d.Lapses == 0 {
			first <- d
			<-ctx.Done()
			stopped <- context.Cause(ctx)
			return worker.Served{}, errors.New("cut off, in the words of some client")
		}
		second <- d
		select {
		case <-release:
			return worker.Served{}, nil
		case <-ctx.Done():
			return worker.Served{}, ctx.Err()
		}
	}, func(c *worker.Config) {
		p.Inbox = c.Inbox
		c.Inbox = p
		c.Heartbeat, c.Upkeep = 10*time.Millisecond, 10*time.Millisecond
	})
	b.append(t, item.Event{Key: key(7), Type: "poll"})
	await(t, "the first serving", first)
	advance(past)
	taken := await(t, "the second serving", second)
	close(p.gate)
	if err := await(t, "the first to be stopped", stopped); !strings.Contains(err.Error(), "lost it to another") {
		t.Errorf("it was stopped by %v", err)
	}
	// The first one's line is written when it has ended.
	for ended := false; !ended; {
		for _, line := range b.log.lines(t) {
			ended = ended || line["outcome"] == "lost"
		}
		if token := await(t, "a heartbeat of the second", p.beats); token != taken.Token {
			t.Fatalf("a heartbeat of %d", token)
		}
	}
	await(t, "a heartbeat of the second, after the first has ended", p.beats)
	await(t, "another one", p.beats)
	close(release)
	b.stop()
	<-b.ended
	outcomes := map[any]int{}
	for _, line := range b.log.lines(t) {
		outcomes[line["outcome"]]++
		if line["outcome"] == "lost" && line["kind"] != "conflict" {
			t.Errorf("it is told as %v", line)
		}
	}
	if outcomes["lost"] != 1 || outcomes["done"] != 1 {
		t.Errorf("outcomes %v", outcomes)
	}
}

// What this build can't read is told, and is no outage.
func TestUnreadableItemIsTold(t *testing.T) {
	t.Parallel()
	store := redistest.Embedded(t)
	box, err := inbox.New(store, inbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = box.Close() }()
	for id := range int64(2) {
		if _, err := box.Append(t.Context(), item.Event{Key: key(id + 1), Type: "poll"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Client().HSet(t.Context(), store.Key("inbox", "item:"+key(1).String()), "wf", "{}").Err(); err != nil {
		t.Fatal(err)
	}
	served := make(chan inbox.Delivery, 2)
	b := setupOn(t, store, func(_ context.Context, d inbox.Delivery) (worker.Served, error) {
		served <- d
		return worker.Served{}, nil
	})
	if d := await(t, "the other item", served); d.Key != key(2) {
		t.Errorf("served %+v", d)
	}
	b.stop()
	<-b.ended
	told := 0
	for _, line := range b.log.lines(t) {
		switch text, _ := line["error"].(string); line["msg"] {
		case "inbox.unreadable":
			told++
			if !strings.Contains(text, key(1).String()) {
				t.Errorf("the item is not named: %s", text)
			}
		case "inbox.away":
			t.Errorf("told as an outage: %s", text)
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

// After an outage, an error that nobody expected is tried again, and given up when it
// comes ten times in a row.
func TestUnexpectedErrorAfterAnOutage(t *testing.T) {
	t.Parallel()
	const outage, unexpected = 12, 10
	store, advance := redistest.Clocked(t)
	// Longer than time is moved by while the item is in hand.
	box, err := inbox.New(store, inbox.Options{Visibility: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = box.Close() })
	tries := 0
	b := setupOn(t, store, func(context.Context, inbox.Delivery) (worker.Served, error) {
		if tries++; tries <= outage {
			return worker.Served{}, fault.New(fault.Unavailable, "away")
		}
		return worker.Served{}, errors.New("x")
	}, func(c *worker.Config) { c.Inbox, c.Upkeep = box, 10*time.Millisecond })
	b.append(t, item.Event{Key: key(7), Type: "poll"})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		stats, err := b.inbox.Stats(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if stats.Dead == 1 {
			break
		}
		if stats.Waiting == 1 {
			advance(time.Minute)
		}
	}
	if letter := b.awaitDead(t); letter.Failures != outage+unexpected {
		t.Errorf("given up after %d failures, want %d", letter.Failures, outage+unexpected)
	}
}
