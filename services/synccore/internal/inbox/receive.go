package inbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Want says what a receiver has room for.
type Want struct {
	// Max is how many items to return at most; at least 1, at most 256.
	Max int
	// LiveOnly is how many of Max are kept for live items, so that a background job
	// can't take every worker. 0: none.
	LiveOnly int
	// Block is how long to wait when nothing is ready; 0: not at all.
	Block time.Duration
}

// Delivery is an item to be served, with the hints that ask for it. It is the
// receiver's until its visibility ends, which Extend puts off.
type Delivery struct {
	// ID is the public id under which the API shows these hints.
	ID  string
	Key item.Key
	// First and Last are the oldest and the newest hint. After Forward their Key is
	// the item that was hinted at, not the delivery's. Last carries the newest payload
	// of any of them.
	First, Last item.Event
	// Count is how many hints are served together.
	Count int64
	// MaxRevision is the greatest revision any of them spoke of; 0: none did.
	MaxRevision int64
	// Attempt is 1 for the first try, one more after each counted Retry and after each
	// time that a worker took the item and never answered.
	Attempt int
	// LastReason and LastTraceID tell of the try before; empty for the first.
	LastReason, LastTraceID string
	// Background tells that all hints are background work.
	Background bool
	// TraceParents are those of the hints, the oldest first, at most 32.
	TraceParents []string
	// Token proves that the item is this receiver's.
	Token string
}

// waitSlice bounds one blocking call, and so how long a connection outlives a caller
// that has left.
const waitSlice = 2 * time.Second

// Receive takes up to want.Max items that are ready, live before background, and
// makes them the caller's. It returns an empty slice and no error when nothing became
// ready within want.Block.
//
// It fails with fault.Unavailable when Redis refuses or can't be reached, and with
// the context's error when that ends while nothing is ready. What was taken is
// always returned, even if the context ended meanwhile.
func (b *Inbox) Receive(ctx context.Context, want Want) ([]Delivery, error) {
	const most = 256
	want.Max = min(max(want.Max, 1), most)
	background := max(want.Max-max(want.LiveOnly, 0), 0)
	waiting, cancel := context.WithTimeout(ctx, want.Block)
	defer cancel()
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("waiting for items: %w", err)
		}
		taken, next, err := b.take(ctx, want.Max, background)
		if err != nil || len(taken) > 0 {
			return taken, err
		}
		if next == 0 {
			continue // more was due than one sweep takes
		}
		if waiting.Err() == nil {
			err = b.wait(waiting, next, background > 0)
		}
		if err != nil {
			return nil, err
		}
		if waiting.Err() != nil && ctx.Err() == nil {
			return nil, nil
		}
	}
}

// take receives what is ready, and tells the time until something is due; negative:
// nothing will be.
func (b *Inbox) take(ctx context.Context, most, background int) ([]Delivery, time.Duration, error) {
	// An answer that is not read would leave its items to nobody until they lapse.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.options.CommitTimeout)
	defer cancel()
	token := rand.Text()
	answer, err := b.run(ctx, "receive", token, b.options.Replica, most, background,
		b.liveRun.Load(), b.options.LiveShare, b.options.Visibility.Milliseconds()).Slice()
	if err != nil {
		return nil, 0, datastore.Fault(err, "receiving items")
	}
	const head = 2
	next, _ := answer[0].(int64)
	liveRun, _ := answer[1].(int64)
	b.liveRun.Store(liveRun)
	taken := make([]Delivery, 0, len(answer)-head)
	for _, row := range answer[head:] {
		d, err := decodeDelivery(row, token)
		if err != nil {
			return taken, 0, err
		}
		taken = append(taken, d)
	}
	return taken, time.Duration(next) * time.Millisecond, nil
}

func decodeDelivery(row any, token string) (Delivery, error) {
	values, _ := row.([]any)
	v := make([]string, len(values))
	for i := range values {
		v[i], _ = values[i].(string)
	}
	if len(v) != batchFields+4 {
		return Delivery{}, fmt.Errorf("decoding delivery: %d values", len(v))
	}
	g, err := decodeBatch(v)
	if err != nil {
		return Delivery{}, err
	}
	failed, err := strconv.Atoi(v[batchFields])
	if err != nil {
		return Delivery{}, fmt.Errorf("decoding attempts: %w", err)
	}
	key, err := item.ParseKey(v[batchFields+3])
	if err != nil {
		return Delivery{}, fmt.Errorf("decoding delivery: %w", err)
	}
	return Delivery{
		ID: g.id, Key: key, First: g.first, Last: g.last, Count: g.count, MaxRevision: g.revision,
		Attempt: failed + 1, LastReason: v[batchFields+1], LastTraceID: v[batchFields+2],
		Background: g.background, TraceParents: g.traceParents, Token: token,
	}, nil
}

// wait returns when an item may be ready: when a stream has an entry, when next has
// passed (if positive), or when ctx ends.
func (b *Inbox) wait(ctx context.Context, next time.Duration, background bool) error {
	block := waitSlice
	if next > 0 {
		block = min(block, next)
	}
	lanes := []string{b.keys[0], "0"}
	if background {
		lanes = []string{b.keys[0], b.keys[1], "0", "0"}
	}
	// The client does not end a blocked read when a context is cancelled; so the read
	// goes on beside the caller and ends within a slice.
	seen := make(chan error, 1)
	read := context.WithoutCancel(ctx)
	b.work.Go(func() {
		seen <- b.store.Client().XRead(read, &redis.XReadArgs{Streams: lanes, Count: 1, Block: block}).Err()
	})
	select {
	case err := <-seen:
		if errors.Is(err, redis.Nil) {
			return nil
		}
		return datastore.Fault(err, "waiting for items")
	case <-ctx.Done():
		return nil
	}
}
