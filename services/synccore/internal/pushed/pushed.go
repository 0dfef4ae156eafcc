// Package pushed keeps what Alvao's application told of the logs of tickets. Where a
// tenant's REST API does not show the log this is the truth about it: there is nowhere
// else to read it again.
//
// Its invariants: what Keep returned for is stored as durably as anything in Redis; of
// two states of one record the later one counts, whatever order they arrive in; and for
// as long as a ticket has a link, what was told of it stays, but for what Limits cut off.
// What a log lacks was therefore never told or was cut off, and never deleted in Alvao:
// a deletion is kept as one.
//
// When the application has told all records of late once more, it says so (KeepRound):
// what it has not told by then did not stand there when it began.
//
// # Keys
//
// One hash for each ticket, in the slot of its link and lease: a field for each record,
// and the field bytes with the sum of their lengths. Of a ticket without a link it goes
// with its time, which each push begins anew; of a ticket with a link it has none. A link
// that comes to be ends the time with the next push or reading, and one that is deleted
// begins it (package link).
package pushed

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
)

//go:embed lua/*.lua
var sources embed.FS

// Limits bound what is kept. The zero value of each field means its default.
type Limits struct {
	// Records is how many records of one ticket are kept. Default 2,000.
	Records int
	// Bytes is how much of one ticket is kept. Default 8 MiB.
	Bytes int
	// Unlinked is how long the log of a ticket without a link is kept after the last
	// push. Default 60 days.
	Unlinked time.Duration
}

// noteEvery is how often it is written down that a connector's application was heard.
const noteEvery = time.Minute

// Logs is the store of all connectors. It is safe for concurrent use.
type Logs struct {
	store                    *datastore.Store
	limits                   Limits
	now                      func() time.Time
	keep, read, heard, round *redis.Script
	// known stores nothing.
	known *redis.Script

	mu    sync.Mutex
	noted map[string]time.Time // by connector, of which there are few
}

// New returns the logs kept in store.
func New(store *datastore.Store, limits Limits, now func() time.Time) (*Logs, error) {
	if limits.Records <= 0 {
		limits.Records = 2000
	}
	if limits.Bytes <= 0 {
		limits.Bytes = 8 << 20
	}
	if limits.Unlinked <= 0 {
		limits.Unlinked = 60 * 24 * time.Hour
	}
	l := &Logs{store: store, limits: limits, now: now, noted: map[string]time.Time{}, known: redis.NewScript("return 1")}
	for name, script := range map[string]**redis.Script{"keep": &l.keep, "read": &l.read, "heard": &l.heard, "round": &l.round} {
		body, err := sources.ReadFile("lua/" + name + ".lua")
		if err != nil {
			return nil, fmt.Errorf("reading script %s: %w", name, err)
		}
		*script = redis.NewScript(string(body))
	}
	return l, nil
}

func (l *Logs) keys(connector string, ticket int64) []string {
	return []string{link.PushedKey(l.store, connector, ticket), link.KeyOf(l.store, connector, ticket)}
}

func (l *Logs) tag(connector string, ticket int64) string {
	return lease.Tag(link.TicketKey(connector, ticket))
}

// Kept says what became of a push.
type Kept struct {
	// Changed tells that more is known than before.
	Changed bool
	// Dropped is how many older records were dropped to make room.
	Dropped int
}

// maxTries is how often Keep begins anew when others write the same record.
const maxTries = 20

// Keep stores what was told of one record. It fails with fault.Unavailable when Redis
// refuses or can't be reached; repeating it is harmless.
func (l *Logs) Keep(ctx context.Context, connector string, ticket int64, r item.PushedRecord) (Kept, error) {
	keys, field := l.keys(connector, ticket), strconv.FormatInt(r.ID, 10)
	for range maxTries {
		text, err := l.store.Client().HGet(ctx, keys[0], field).Result()
		if err != nil && !datastore.Missing(err) {
			return Kept{}, datastore.Fault(err, "reading pushed record")
		}
		if err := l.hear(ctx, connector, text == ""); err != nil {
			return Kept{}, err
		}
		known, err := decode(text)
		if err != nil {
			return Kept{}, err
		}
		next, changed := merge(known, fromRecord(r))
		if next == nil {
			// What is known of it may have been stored by a try that no replica confirmed.
			_, err := l.store.RunReplicated(ctx, l.known, l.tag(connector, ticket), keys)
			return Kept{}, err
		}
		raw, err := encode(*next)
		if err != nil {
			return Kept{}, err
		}
		// On a cluster it lies on another node than the inbox, so it waits for its own replica.
		kept, err := l.store.RunReplicated(ctx, l.keep, l.tag(connector, ticket), keys, field, text, raw,
			l.limits.Unlinked.Milliseconds(), l.limits.Records, l.limits.Bytes)
		if err != nil {
			return Kept{}, datastore.Fault(err, "keeping pushed record")
		}
		answer, err := kept.Int64Slice()
		if err != nil {
			return Kept{}, datastore.Fault(err, "keeping pushed record")
		}
		if answer[0] == 1 {
			return Kept{Changed: changed, Dropped: int(answer[1])}, nil
		}
	}
	return Kept{}, fault.New(fault.Unavailable, "Record %d of ticket %d changes faster than it can be stored; send it again.", r.ID, ticket)
}

// Log returns what was told of a ticket's log, removed records among it, the oldest
// first; empty if nothing was.
func (l *Logs) Log(ctx context.Context, connector string, ticket int64) ([]item.PushedRecord, error) {
	answer, err := l.read.Run(ctx, l.store.Client(), l.keys(connector, ticket)).StringSlice()
	if err != nil {
		return nil, datastore.Fault(err, "reading pushed log")
	}
	records := make([]item.PushedRecord, 0, len(answer)/2)
	for i := 0; i+1 < len(answer); i += 2 {
		if answer[i] == "bytes" {
			continue
		}
		id, err := strconv.ParseInt(answer[i], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("decoding pushed log: %w", err)
		}
		e, err := decode(answer[i+1])
		if err != nil {
			return nil, err
		}
		if e == nil {
			return nil, errEmpty
		}
		records = append(records, e.record(id))
	}
	slices.SortFunc(records, func(a, b item.PushedRecord) int { return int(min(max(a.ID-b.ID, -1), 1)) })
	return records, nil
}

var errEmpty = errors.New("decoding pushed log: a record is empty")

func (l *Logs) roundKey(connector string) string { return l.store.Key("pushed/"+connector, "round") }

// KeepRound notes that the application of a connector has told again all records that it
// tells of, which took so long. It is to be called when all of them are stored.
func (l *Logs) KeepRound(ctx context.Context, connector string, took time.Duration) error {
	if err := l.hear(ctx, connector, false); err != nil {
		return err
	}
	if err := l.round.Run(ctx, l.store.Client(), []string{l.roundKey(connector)}, took.Milliseconds()).Err(); err != nil {
		return datastore.Fault(err, "noting that the application told all")
	}
	return nil
}

// Round is when the last round that KeepRound was told of began, by the clock of Redis;
// zero: there was none.
func (l *Logs) Round(ctx context.Context, connector string) (time.Time, error) {
	at, err := l.store.Client().Get(ctx, l.roundKey(connector)).Int64()
	if datastore.Missing(err) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, datastore.Fault(err, "reading when the application told all")
	}
	return time.UnixMilli(at).UTC(), nil
}

func (l *Logs) heardKey(connector string) string { return l.store.Key("pushed/"+connector, "heard") }

// Heard is when the application of a connector last told of a record, to the minute;
// zero: never.
func (l *Logs) Heard(ctx context.Context, connector string) (time.Time, error) {
	at, err := l.store.Client().Get(ctx, l.heardKey(connector)).Int64()
	if datastore.Missing(err) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, datastore.Fault(err, "reading when the application was heard")
	}
	return time.UnixMilli(at).UTC(), nil
}

// hear notes that the application of a connector speaks. With a record that is new it
// does so in any case: Redis may have been emptied since.
func (l *Logs) hear(ctx context.Context, connector string, isNew bool) error {
	now := l.now()
	l.mu.Lock()
	last, noted := l.noted[connector]
	l.mu.Unlock()
	if age := now.Sub(last); !isNew && noted && age >= 0 && age < noteEvery {
		return nil
	}
	if err := l.heard.Run(ctx, l.store.Client(), []string{l.heardKey(connector)}, now.UnixMilli()).Err(); err != nil {
		return datastore.Fault(err, "noting that the application was heard")
	}
	l.mu.Lock()
	l.noted[connector] = now
	l.mu.Unlock()
	return nil
}
