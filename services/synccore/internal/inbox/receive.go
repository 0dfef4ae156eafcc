package inbox

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Delivery is an item to be served, with the hints that ask for it. It is the
// receiver's until its visibility ends, which Extend puts off.
type Delivery struct {
	// ID is the public id under which the API shows these hints.
	ID  string
	Key item.Key
	// First and Last are the hints that came first and last; a replayed or forwarded one
	// comes when that is done. Their Key is the item that was hinted at, which after
	// Forward is not the delivery's. Last carries the newest payload of any of them.
	First, Last item.Event
	// Count is how many hints are served together.
	Count int64
	// MaxRevision is the greatest revision that the hints speak of; 0 unless all of them
	// speak of one, as then nothing can be concluded from it.
	MaxRevision int64
	// Attempt is how many tries failed before this one: counted Retries, and workers
	// that took the item and never answered.
	Attempt int
	// Redelivered tells that it was tried before, counted or not.
	Redelivered bool
	// LastReason and LastTraceID tell of the try before; empty for the first.
	LastReason, LastTraceID string
	// Background tells that all hints are background work.
	Background bool
	// Force tells that a person asked by any of the hints.
	Force bool
	// TraceParents are those of the hints, the oldest first, at most 32.
	TraceParents []string
	// Token proves that the item is this receiver's; it differs between all deliveries
	// of a process.
	Token int64
}

// waitSlice bounds one blocking call, and so how long a connection outlives a caller
// that has left.
const waitSlice = time.Second

// MaxReceive is how many items one Receive returns at most.
const MaxReceive = 256

// Receive takes up to most items (at least 1, at most MaxReceive) that are ready, and
// makes them the caller's: live ones first, though background ones do not starve. It
// returns none and no error when nothing became ready within block; 0 or less does
// not wait.
//
// It fails with fault.Unavailable when Redis refuses or can't be reached, and with
// the context's error when that ends while nothing is ready. What was taken is always
// returned, even if the context ended meanwhile.
func (b *Inbox) Receive(ctx context.Context, most int, block time.Duration) ([]Delivery, error) {
	most = min(max(most, 1), MaxReceive)
	return b.receive(ctx, most, most, block)
}

// ReceiveLive is Receive that leaves background items where they are: for a caller
// that keeps some of its workers free for live ones.
func (b *Inbox) ReceiveLive(ctx context.Context, most int, block time.Duration) ([]Delivery, error) {
	return b.receive(ctx, min(max(most, 1), MaxReceive), 0, block)
}

func (b *Inbox) receive(ctx context.Context, most, background int, block time.Duration) ([]Delivery, error) {
	waiting, cancel := context.WithTimeout(ctx, max(block, 0))
	defer cancel()
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("waiting for items: %w", err)
		}
		taken, next, err := b.take(ctx, most, background)
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
	base, err := tokenBase()
	if err != nil {
		return nil, 0, err
	}
	answer, err := b.run(ctx, "receive", base, b.options.Replica, most, background,
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
		d, err := decodeDelivery(row)
		if err != nil {
			return taken, 0, err
		}
		taken = append(taken, d)
	}
	return taken, time.Duration(next) * time.Millisecond, nil
}

// tokenBase is a random number after which MaxReceive numbers are free to be tokens.
// It stays in the range that a script's numbers hold exactly.
func tokenBase() (int64, error) {
	const choices = 1 << 44
	n, err := rand.Int(rand.Reader, big.NewInt(choices))
	if err != nil {
		return 0, fmt.Errorf("making a token: %w", err)
	}
	return n.Int64() * MaxReceive, nil
}

// decodeDelivery reads what the script tells of an item: its group, failed tries, the
// last reason and trace, its key, whether it was tried before, and its token.
func decodeDelivery(row any) (Delivery, error) {
	values, _ := row.([]any)
	v := make([]string, len(values))
	for i := range values {
		v[i], _ = values[i].(string)
	}
	const more = 6
	if len(v) != batchFields+more {
		return Delivery{}, fmt.Errorf("decoding delivery: %d values", len(v))
	}
	g, err := decodeBatch(v)
	if err != nil {
		return Delivery{}, err
	}
	rest := v[batchFields:]
	attempt, err := strconv.Atoi(rest[0])
	if err != nil {
		return Delivery{}, fmt.Errorf("decoding attempts: %w", err)
	}
	key, err := item.ParseKey(rest[3])
	if err != nil {
		return Delivery{}, fmt.Errorf("decoding delivery: %w", err)
	}
	token, err := strconv.ParseInt(rest[5], 10, 64)
	if err != nil {
		return Delivery{}, fmt.Errorf("decoding token: %w", err)
	}
	return Delivery{
		ID: g.id, Key: key, First: g.first, Last: g.last, Count: g.count, MaxRevision: g.revision,
		Attempt: attempt, Redelivered: rest[4] == "1", LastReason: rest[1], LastTraceID: rest[2],
		Background: g.background, Force: g.force, TraceParents: g.traceParents, Token: token,
	}, nil
}

// wait returns when an item may be ready: when a stream has an entry, when next has
// passed (if positive), or when ctx ends.
func (b *Inbox) wait(ctx context.Context, next time.Duration, background bool) error {
	block := waitSlice
	if next > 0 {
		block = min(block, next)
	}
	if end, ok := ctx.Deadline(); ok {
		block = max(min(block, time.Until(end)), time.Millisecond) // Redis takes 0 for ever
	}
	lanes := []string{b.keys[0], "0"}
	if background {
		lanes = []string{b.keys[0], b.keys[1], "0", "0"}
	}
	// The client does not end a blocked read when a context is cancelled; so the read
	// goes on beside the caller and ends within a slice, or, when Redis does not answer,
	// a little later.
	seen := make(chan error, 1)
	b.work.Go(func() {
		read, cancel := context.WithTimeout(context.WithoutCancel(ctx), block+waitSlice)
		defer cancel()
		seen <- b.store.Client().XRead(read, &redis.XReadArgs{Streams: lanes, Count: 1, Block: block}).Err()
	})
	select {
	case err := <-seen:
		if datastore.Missing(err) {
			return nil
		}
		return datastore.Fault(err, "waiting for items")
	case <-ctx.Done():
		return nil
	}
}
