// Package inbox is the durable queue of hints that items may have changed.
//
// Its one invariant: an item (a ticket or work item) stands in exactly one state, so
// it is never served by two workers at once, and every hint stored before a serving
// began or while it ran is followed by a serving that began after it.
//
// # States
//
// What is queued are items, not hints; hints of one item are merged.
//
//	idle     nothing is stored
//	queued   one entry in the live or the background stream
//	running  in the running set by the end of its visibility, with a token
//	waiting  in the due set by the time of its next try; held when hints must not
//	         wake it (its system throttles, its connector is unhealthy)
//
//	          hint              Receive       Done        Retry         Dead        lapse
//	idle      queued            –             –           –             –           –
//	queued    merged¹           running       –           –             –           –
//	running   kept for after    –             idle²       waiting³      idle² + L   queued
//	waiting   queued⁴           (due) queued  –           –             –           –
//
//	¹ a live hint moves a background item to the live stream   ² queued, if hints came
//	meanwhile   ³ queued, if hints came meanwhile and it is not to be held, or if there
//	is no wait   ⁴ merged only, if held   L: a dead letter is written
//
// # Atomic steps
//
// Each arrow of the table is one script, so there is no state between two of them.
// That is why the ready streams have no consumer group: XREADGROUP and "now it
// runs" would be two steps, the group's pending list would be a second truth about
// who serves what, and its consumers would need burying. Receive moves an entry out
// of the stream and the item to running in one script, and when there is nothing,
// waits with XREAD from the beginning of the (empty) streams, which takes nothing.
//
//	died between                          what is left           what heals it
//	Append stored | answer                stored, told as lost   the sender repeats it: a duplicate, or one more merged hint
//	Receive moved | answer                running, nobody knows  lapse: queued again when its visibility ends
//	Receive | any outcome                 running                lapse
//	outcome stored | answer               done                   the repeated outcome finds a stale token: fault.Conflict, no effect
//	Forward: item finished | other added  –                      one script
//	Dead: letter written | item finished  –                      one script
//
// A script's writes reach the append-only file as one transaction, so a torn file
// does not tear a step.
//
// # Time
//
// All times are those of Redis, taken inside the scripts: clocks of replicas may
// differ. Due and lapsed items are made ready by whoever receives next; a receiver
// with nothing to do sleeps no longer than until the next of them.
//
// # Cluster
//
// All keys share the hash tag inbox, so they lie in one slot. The keys of single
// items are made inside the scripts, from that prefix.
package inbox

import (
	"context"
	"embed"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
)

//go:embed lua/*.lua
var sources embed.FS

// The limits of what is kept of one item's hints.
const (
	// MaxPayload is the most bytes kept of a hint's payload; a longer one is left out.
	MaxPayload = 64 << 10
	// maxReason is the most bytes kept of a reason.
	maxReason = 4 << 10
)

// Options are the limits of the inbox. The zero value of each field means its
// default. Replicas should agree on them, but need not.
type Options struct {
	// Replica names this process to people; it decides nothing.
	Replica string
	// Visibility is how long a received item stays away from other workers without
	// Extend. Default 20 s.
	Visibility time.Duration
	// DedupWindow is how long an event id is remembered at least; half as long again at most.
	// Default 72 h, twice the 36 h over which Azure DevOps repeats a delivery
	// (azure-devops.md §1.7).
	DedupWindow time.Duration
	// MaxItems is how many items are stored at most; a hint for one more is refused.
	// Default 1,000,000.
	MaxItems int
	// DeadRetention is how long a dead letter is kept. Default 30 days.
	DeadRetention time.Duration
	// MaxDead is how many dead letters are kept at most. Default 10,000.
	MaxDead int
	// LiveShare is how many live items are received per background item while both
	// wait, so that background work does not starve. Default 15.
	LiveShare int
	// CommitTimeout is how long storing a batch of hints may take. Default 5 s.
	CommitTimeout time.Duration
	// MaxBatch is how many hints are stored in one step at most. Default 256.
	MaxBatch int
	// Tracers, when set, makes a span of each Append, which then is what serving the
	// hint descends from.
	Tracers trace.TracerProvider
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&o.Visibility, 20 * time.Second},
		{&o.DedupWindow, 72 * time.Hour},
		{&o.DeadRetention, 30 * 24 * time.Hour},
		{&o.CommitTimeout, 5 * time.Second},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	for _, d := range []struct {
		field *int
		value int
	}{
		{&o.MaxItems, 1_000_000},
		{&o.MaxDead, 10_000},
		{&o.LiveShare, 15},
		{&o.MaxBatch, 256},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	return o
}

// Inbox is one process' access to the queue. It is safe for concurrent use.
type Inbox struct {
	store   *datastore.Store
	options Options
	keys    []string
	prefix  string
	scripts map[string]*redis.Script
	tracer  trace.Tracer
	// liveRun counts the live items received since the last background one.
	liveRun atomic.Int64

	calls   chan *appendCall
	closing chan struct{}
	once    sync.Once
	// work is everything that runs in the background: the committer, and waits whose
	// caller has left.
	work sync.WaitGroup
}

// New opens the inbox kept in store. Close it before the store.
func New(store *datastore.Store, o Options) (*Inbox, error) {
	keys := newKeys(store)
	b := &Inbox{
		store: store, options: o.withDefaults(), prefix: keys.prefix, keys: keys.fixed,
		scripts: make(map[string]*redis.Script),
		calls:   make(chan *appendCall), closing: make(chan struct{}),
	}
	tracers := o.Tracers
	if tracers == nil {
		tracers = noop.NewTracerProvider()
	}
	b.tracer = tracers.Tracer("github.com/tandem-sync/tandem/services/synccore/inbox")
	core, err := sources.ReadFile("lua/core.lua")
	if err != nil {
		return nil, fmt.Errorf("reading script core: %w", err)
	}
	for _, name := range []string{
		"append", "receive", "extend", "done", "retry", "dead", "forward", "release", "replay", "maintain", "stats",
	} {
		body, err := sources.ReadFile("lua/" + name + ".lua")
		if err != nil {
			return nil, fmt.Errorf("reading script %s: %w", name, err)
		}
		b.scripts[name] = redis.NewScript(string(core) + string(body))
	}
	b.work.Go(b.commit)
	return b, nil
}

// Close stops storing and waits for what is under way. Items that were received and
// not finished become ready again when their visibility ends.
func (b *Inbox) Close() error {
	b.once.Do(func() { close(b.closing) })
	b.work.Wait()
	return nil
}

// Visibility is how long a received item stays away from other workers without
// Extend.
func (b *Inbox) Visibility() time.Duration { return b.options.Visibility }

// run calls a script with the fixed keys; the key prefix is its first argument.
func (b *Inbox) run(ctx context.Context, script string, args ...any) *redis.Cmd {
	return b.scripts[script].Run(ctx, b.store.Client(), b.keys, append([]any{b.prefix}, args...)...)
}

// Maintain makes due and lapsed items ready and drops dead letters that are too old
// or too many. Receive does the former too, so calling Maintain every half minute or
// so is enough; any number of replicas may.
func (b *Inbox) Maintain(ctx context.Context) error {
	const limit = 500
	for {
		dropped, err := b.run(ctx, "maintain",
			b.options.DeadRetention.Milliseconds(), b.options.MaxDead, limit).Int()
		if err != nil {
			return datastore.Fault(err, "maintaining inbox")
		}
		if dropped < limit {
			return nil
		}
	}
}

// ReleaseHeld makes the held items of a connector ready, because it is healthy again.
func (b *Inbox) ReleaseHeld(ctx context.Context, connector string) error {
	const limit = 500
	held, err := b.store.Client().SCard(ctx, b.prefix+"held:"+connector).Result()
	if err != nil {
		return datastore.Fault(err, "counting held items")
	}
	// Only as many as there were: what is held anew meanwhile stays held.
	for left := int(held); left > 0; left -= limit {
		if err := b.run(ctx, "release", connector, min(left, limit)).Err(); err != nil {
			return datastore.Fault(err, "releasing held items")
		}
	}
	return nil
}

// Stats is what the inbox holds at one moment.
type Stats struct {
	QueuedLive, QueuedBackground, Running, Waiting, Dead int64
	// OldestAge is how long ago the oldest hint that is not finished was stored, of the first
	// hundred; but for those that only have to wait, for an approval say.
	OldestAge time.Duration
	// LiveDelay is how long the next live item has been ready without a worker.
	LiveDelay time.Duration
}

// Items is how many items are stored, dead letters aside.
func (s Stats) Items() int64 { return s.QueuedLive + s.QueuedBackground + s.Running + s.Waiting }

// Stats counts what the inbox holds; its cost does not grow with that.
func (b *Inbox) Stats(ctx context.Context) (Stats, error) {
	n, err := b.run(ctx, "stats").Int64Slice()
	if err != nil {
		return Stats{}, datastore.Fault(err, "counting inbox")
	}
	return Stats{
		QueuedLive: n[0], QueuedBackground: n[1], Running: n[2], Waiting: n[3], Dead: n[4],
		OldestAge: time.Duration(n[5]) * time.Millisecond, LiveDelay: time.Duration(n[6]) * time.Millisecond,
	}, nil
}
