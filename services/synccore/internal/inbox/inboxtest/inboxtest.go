// Package inboxtest is what any inbox must pass, whatever Redis is behind.
package inboxtest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

const (
	// brief is a visibility that a test can wait for.
	brief = 150 * time.Millisecond
	// long is a wait that no test sees the end of, and the patience of those that wait
	// for something that must happen.
	long = time.Minute
)

// Run runs the suite; open gives a store without keys.
func Run(t *testing.T, open func(testing.TB) *datastore.Store) {
	t.Helper()
	for name, test := range map[string]func(*bench){
		"a hint is served once":                     (*bench).once,
		"what is stored comes back":                 (*bench).comesBack,
		"200 duplicates are one hint":               (*bench).duplicates,
		"an id is forgotten with its window":        (*bench).window,
		"hints without id are never duplicates":     (*bench).noID,
		"a hint needs an item":                      (*bench).needsItem,
		"a long payload is left out":                (*bench).longPayload,
		"a burst of 200 is at most two deliveries":  (*bench).burst,
		"a revision counts if every hint has one":   (*bench).revisions,
		"traceparents are kept up to 32":            (*bench).traces,
		"a full inbox refuses new items":            (*bench).full,
		"many new items fill it exactly":            (*bench).crowdedFull,
		"a caller that leaves hurts nobody":         (*bench).leaving,
		"nothing is stored after close":             (*bench).closed,
		"receive waits for a hint":                  (*bench).waits,
		"receive gives up in time":                  (*bench).givesUp,
		"receive ends with its context":             (*bench).cancelled,
		"receive wakes for what is due":             (*bench).wakesWhenDue,
		"live before background":                    (*bench).liveFirst,
		"background does not starve":                (*bench).noStarvation,
		"a live hint promotes a background item":    (*bench).promotes,
		"a hint while running is served after":      (*bench).whileRunning,
		"what is not finished comes back":           (*bench).lapses,
		"lapses are counted apart":                  (*bench).lapsesApart,
		"who speaks late did not vanish":            (*bench).lateWord,
		"unexpected failures are counted in a row":  (*bench).unexpected,
		"what can't be read keeps nothing back":     (*bench).unreadable,
		"extend keeps an item":                      (*bench).extends,
		"a stale token does nothing":                (*bench).stale,
		"a counted retry counts":                    (*bench).counted,
		"a hint ends a soft wait":                   (*bench).softWait,
		"a hint while running ends a soft retry":    (*bench).softRetry,
		"a held wait ends by release or time":       (*bench).heldWait,
		"release leaves other connectors alone":     (*bench).releaseApart,
		"a dead letter is kept and replayed":        (*bench).deadLetter,
		"a replayed letter joins what is stored":    (*bench).replayJoins,
		"dead letters are capped, the oldest first": (*bench).deadCap,
		"dead letters end with their retention":     (*bench).deadRetention,
		"forward hands hints on":                    (*bench).forward,
		"forward meets an item in any state":        (*bench).forwardMeets,
		"list shows each state in pages":            (*bench).list,
		"pages of dead letters survive inserts":     (*bench).listDead,
		"bad tokens and states are refused":         (*bench).badTokens,
		"get finds a record in every state":         (*bench).get,
		"stats count":                               (*bench).stats,
		"what only waits is not old":                (*bench).patients,
		"many workers, each item in one hand":       (*bench).crowd,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(&bench{t: t, store: open(t)})
		})
	}
}

// bench is one test with its store.
type bench struct {
	t     *testing.T
	store *datastore.Store
}

func (b *bench) ctx() context.Context { return b.t.Context() }

// open opens an inbox as a replica would.
func (b *bench) open(o inbox.Options) *replica {
	b.t.Helper()
	box, err := inbox.New(b.store, o)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		if err := box.Close(); err != nil {
			b.t.Error(err)
		}
	})
	return &replica{Inbox: box, t: b.t}
}

// wantOnlyDedup checks that the drained inbox holds nothing but what it remembers of
// event ids.
func (b *bench) wantOnlyDedup() {
	b.t.Helper()
	// Beside them the one key that makes a write of what was a duplicate.
	for _, k := range redistest.Keys(b.t, b.store, strings.TrimSuffix(b.store.Key("x", ""), "{x}:")+"*") {
		if !strings.HasPrefix(k, b.store.Key("inbox", "ids:")) && k != b.store.Key("inbox", "barrier") {
			b.t.Errorf("key %s is left after everything was served", k)
		}
	}
}

// replica is an inbox with the steps that tests are made of.
type replica struct {
	*inbox.Inbox
	t *testing.T
}

func ticket(n int64) item.Key { return item.Key{Connector: "development", System: item.Alvao, ID: n} }

func workItem(n int64) item.Key {
	return item.Key{Connector: "development", System: item.AzureDevOps, ID: n}
}

// hint is an event without an id.
func hint(k item.Key) item.Event { return item.Event{Key: k, Type: "poll"} }

func background(k item.Key) item.Event {
	return item.Event{Key: k, Type: "resync", Background: true}
}

func (r *replica) append(events ...item.Event) {
	r.t.Helper()
	for _, e := range events {
		stored, err := r.Append(r.t.Context(), e)
		if err != nil || !stored {
			r.t.Fatalf("appending %+v: stored %t, %v", e, stored, err)
		}
	}
}

// receive takes what is ready now.
func (r *replica) receive(most int) []inbox.Delivery {
	r.t.Helper()
	got, err := r.Receive(r.t.Context(), most, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	return got
}

// one takes the only item that is ready or becomes so.
func (r *replica) one() inbox.Delivery {
	r.t.Helper()
	got, err := r.Receive(r.t.Context(), inbox.MaxReceive, long)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(got) != 1 {
		r.t.Fatalf("%d items are ready, want one: %+v", len(got), got)
	}
	return got[0]
}

func (r *replica) wantNone() {
	r.t.Helper()
	if got := r.receive(inbox.MaxReceive); len(got) != 0 {
		r.t.Fatalf("%d items are ready, want none: %+v", len(got), got)
	}
}

// wantItems checks which items are ready, in order, and takes them.
func (r *replica) wantItems(most int, want ...item.Key) []inbox.Delivery {
	r.t.Helper()
	got := r.receive(most)
	var keys []item.Key
	for _, d := range got {
		keys = append(keys, d.Key)
	}
	if diff := cmp.Diff(want, keys); diff != "" {
		r.t.Fatalf("items received (-want +got):\n%s", diff)
	}
	return got
}

func (r *replica) done(deliveries ...inbox.Delivery) {
	r.t.Helper()
	for _, d := range deliveries {
		r.ok(r.Done(r.t.Context(), d))
	}
}

func (r *replica) retry(d inbox.Delivery, o inbox.RetryOptions) {
	r.t.Helper()
	r.ok(r.Retry(r.t.Context(), d, o))
}

func (r *replica) dead(d inbox.Delivery, reason string) {
	r.t.Helper()
	r.ok(r.Dead(r.t.Context(), d, reason, "0af7651916cd43dd8448eb211c80319c"))
}

func (r *replica) ok(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *replica) wantFault(err error, kind fault.Kind, doing string) {
	r.t.Helper()
	if !fault.Is(err, kind) {
		r.t.Errorf("%s: got %v, want %s", doing, err, kind)
	}
}

func (r *replica) wantStats(want inbox.Stats) {
	r.t.Helper()
	got, err := r.Stats(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	got.OldestAge, got.LiveDelay = 0, 0
	if diff := cmp.Diff(want, got); diff != "" {
		r.t.Errorf("stats (-want +got):\n%s", diff)
	}
}

// pages reads a listing to its end.
func (r *replica) pages(connector string, state inbox.State, size int) []inbox.Record {
	r.t.Helper()
	var all []inbox.Record
	token := ""
	for range 10_000 {
		page, next, err := r.List(r.t.Context(), connector, state, size, token)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(page) > size {
			r.t.Errorf("a page of %d records, asked for %d", len(page), size)
		}
		all = append(all, page...)
		if next == "" {
			return all
		}
		token = next
	}
	r.t.Fatal("the listing does not end")
	return nil
}

func (r *replica) wantListed(connector string, state inbox.State, want ...item.Key) {
	r.t.Helper()
	for _, size := range []int{1, 2, 100} {
		var keys []item.Key
		for _, record := range r.pages(connector, state, size) {
			if record.State != state {
				r.t.Errorf("record of %s is %s, want %s", record.Key, record.State, state)
			}
			keys = append(keys, record.Key)
		}
		if diff := cmp.Diff(want, keys); diff != "" {
			r.t.Errorf("%s records of %q in pages of %d (-want +got):\n%s", state, connector, size, diff)
		}
	}
}
