package inbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
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
	// Unexpected is how many of the last counted Retries, one after the other, were
	// Unexpected ones.
	Unexpected int
	// Lapses is how many workers took the item and vanished, one after the other: each
	// within a quarter of an hour of the one before, without a counted Retry between them,
	// and without a late word of the last one, which shows that it was only cut off.
	Lapses int
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
// returned, even if the context ended meanwhile. It fails with fault.Invalid, beside what
// it took, when other items can't be read, as a newer build may have stored them: they are
// put aside and tried again later, and become dead letters in the end.
func (b *Inbox) Receive(ctx context.Context, most int, block time.Duration) ([]Delivery, error) {
	most = min(max(most, 1), MaxReceive)
	waiting, cancel := context.WithTimeout(ctx, max(block, 0))
	defer cancel()
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("waiting for items: %w", err)
		}
		taken, next, err := b.take(ctx, most)
		if err != nil || len(taken) > 0 {
			return taken, err
		}
		if next == 0 {
			continue // more was due than one sweep takes
		}
		if waiting.Err() == nil {
			err = b.wait(waiting, next)
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
func (b *Inbox) take(ctx context.Context, most int) ([]Delivery, time.Duration, error) {
	// An answer that is not read would leave its items to nobody until they lapse.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.options.CommitTimeout)
	defer cancel()
	base, err := tokenBase()
	if err != nil {
		return nil, 0, err
	}
	answer, err := b.run(ctx, "receive", base, b.options.Replica, most,
		b.liveRun.Load(), b.options.LiveShare, b.options.Visibility.Milliseconds()).Slice()
	if err != nil {
		return nil, 0, datastore.Fault(err, "receiving items")
	}
	const head = 2
	next, _ := answer[0].(int64)
	liveRun, _ := answer[1].(int64)
	b.liveRun.Store(liveRun)
	taken := make([]Delivery, 0, len(answer)-head)
	var unread []error
	for _, answered := range answer[head:] {
		row := texts(answered)
		d, err := decodeDelivery(row)
		if err != nil {
			unread = append(unread, b.putAside(ctx, row, err))
			continue
		}
		taken = append(taken, d)
	}
	return taken, time.Duration(next) * time.Millisecond, errors.Join(unread...)
}

func texts(row any) []string {
	values, _ := row.([]any)
	v := make([]string, len(values))
	for i := range values {
		v[i], _ = values[i].(string)
	}
	return v
}

const (
	// firstAside and lastAside bound how long an item that can't be read is put aside; the
	// wait doubles in between. During an upgrade the next to take it may be able to.
	firstAside, lastAside = 5 * time.Second, 10 * time.Minute
	// asideTries is after how many tries it is given up: in more than a day.
	asideTries = 200
)

// putAside takes an item that this build can't read out of the way of the others: for a
// while, and in the end as a dead letter. It returns the error that tells of it.
func (b *Inbox) putAside(ctx context.Context, row []string, cause error) error {
	if len(row) != batchFields+deliveryFields {
		return cause // it comes back when its visibility ends
	}
	name, token := row[batchFields+3], row[batchFields+4]
	tries, _ := strconv.Atoi(row[batchFields]) // that may be what can't be read
	wait := lastAside
	if doubled := firstAside << min(max(tries, 0), 10); doubled < wait {
		wait = doubled
	}
	unread := fault.Wrap(cause, fault.Invalid,
		"This version of Tandem can't read what the inbox holds for %s, so it waits for one that can; if there is none, it is given up after a day.", name)
	script, args := "retry", []any{name, token, wait.Milliseconds(), "1", flag(true), fault.Sentence(unread), ""}
	if tries >= asideTries {
		unread = fault.Wrap(cause, fault.Invalid,
			"No version of Tandem that ran for a day could read what the inbox holds for %s; replay it with one that can.", name)
		script, args = "dead", []any{name, token, fault.Sentence(unread), "", b.options.MaxDead}
	}
	if err := b.run(ctx, script, args...).Err(); err != nil {
		return errors.Join(unread, datastore.Fault(err, "putting an item aside"))
	}
	return unread
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

// deliveryFields is how many values of an item follow those of its group.
const deliveryFields = 7

// decodeDelivery reads what the script tells of an item: its group, failed tries, the
// last reason and trace, its key, its token, unexpected failures, and lapses.
func decodeDelivery(v []string) (Delivery, error) {
	if len(v) != batchFields+deliveryFields {
		return Delivery{}, fmt.Errorf("decoding delivery: %d values", len(v))
	}
	g, err := decodeBatch(v)
	if err != nil {
		return Delivery{}, err
	}
	rest := v[batchFields:]
	var counts [3]int
	for i, text := range []string{rest[0], rest[5], rest[6]} {
		if counts[i], err = strconv.Atoi(text); err != nil {
			return Delivery{}, fmt.Errorf("decoding failures: %w", err)
		}
	}
	key, err := item.ParseKey(rest[3])
	if err != nil {
		return Delivery{}, fmt.Errorf("decoding delivery: %w", err)
	}
	token, err := strconv.ParseInt(rest[4], 10, 64)
	if err != nil {
		return Delivery{}, fmt.Errorf("decoding token: %w", err)
	}
	return Delivery{
		ID: g.id, Key: key, First: g.first, Last: g.last, Count: g.count, MaxRevision: g.revision,
		Attempt: counts[0], Unexpected: counts[1], Lapses: counts[2],
		LastReason: rest[1], LastTraceID: rest[2],
		Background: g.background, Force: g.force, TraceParents: g.traceParents, Token: token,
	}, nil
}

// wait returns when an item may be ready: when a stream has an entry, when next has
// passed (if positive), or when ctx ends.
func (b *Inbox) wait(ctx context.Context, next time.Duration) error {
	block := waitSlice
	if next > 0 {
		block = min(block, next)
	}
	if end, ok := ctx.Deadline(); ok {
		block = max(min(block, time.Until(end)), time.Millisecond) // Redis takes 0 for ever
	}
	lanes := []string{b.keys[0], b.keys[1], "0", "0"}
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
