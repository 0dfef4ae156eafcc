// Package link remembers which ticket and work item belong together and what was
// last agreed between them.
//
// Its invariants: a link is only written by the holder of its ticket's lease, over
// the version that the holder read, in one step; and of two stored links of a
// connector no two name the same work item.
//
// # Keys
//
// A ticket's link, history and lease share the hash tag connector/alvao/ticket, so
// that one script checks the lease and writes the link. A connector's index (its
// tickets in order, and the ticket of each work item) has a tag of its own and is
// written *before* the link, so an index entry may name a link that was never
// written, and every reader of the index looks at the link itself:
//
//	died after            what is left                      what heals it
//	index written         an entry without a link           readers skip it; List drops it once its lease is over
//	link written          nothing missing
//	link deleted          an entry without a link           as above
//
// An entry carries the lease token under which it was made. A token that is not
// valid now never will be again, so an entry whose token is over and whose link
// does not confirm it is certain to be dead and may be taken over or dropped.
package link

import (
	"cmp"
	"context"
	_ "embed" // the scripts
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
)

//go:embed lua/put.lua
var putLua string

//go:embed lua/delete.lua
var deleteLua string

//go:embed lua/claim.lua
var claimLua string

const (
	// HistoryCap is how many entries of a link's history are kept.
	HistoryCap = 200
	// historyAfterDelete is how long the history of a deleted link can be read.
	historyAfterDelete = 30 * 24 * time.Hour
)

// Links is the store of links. It is safe for concurrent use.
type Links struct {
	store                      *datastore.Store
	put, delete, claim, mirror *redis.Script
	notice, fix, drop          *redis.Script
	remember                   *redis.Script
}

// New returns the links kept in store.
func New(store *datastore.Store) *Links {
	return &Links{
		store: store,
		put:   redis.NewScript(putLua), delete: redis.NewScript(deleteLua), claim: redis.NewScript(claimLua),
		mirror: redis.NewScript(mirrorLua), notice: redis.NewScript(noticeLua),
		fix: redis.NewScript(fixLua), drop: redis.NewScript(dropLua), remember: redis.NewScript(sinceLua),
	}
}

// TicketKey is the key whose lease allows to write the link of a ticket.
func TicketKey(connector string, ticket int64) item.Key {
	return item.Key{Connector: connector, System: item.Alvao, ID: ticket}
}

// KeyOf is the Redis key of a ticket's link. It is there as long as the link is.
func KeyOf(store *datastore.Store, connector string, ticket int64) string {
	return store.Key(lease.Tag(TicketKey(connector, ticket)), "link")
}

// PushedKey is the Redis key of what Alvao's application told of a ticket's log (package
// pushed). It stays for as long as the link, and after that as long as its history.
func PushedKey(store *datastore.Store, connector string, ticket int64) string {
	return store.Key(lease.Tag(TicketKey(connector, ticket)), "pushed")
}

func (l *Links) linkKey(k item.Key) string    { return KeyOf(l.store, k.Connector, k.ID) }
func (l *Links) historyKey(k item.Key) string { return l.store.Key(lease.Tag(k), "history") }

// Get returns the link of a ticket; the zero Link, whose Version is 0, when there is
// none.
func (l *Links) Get(ctx context.Context, connector string, ticket int64) (item.Link, error) {
	values, err := l.store.Client().HMGet(ctx, l.linkKey(TicketKey(connector, ticket)), "v", "j").Result()
	if err != nil {
		return item.Link{}, datastore.Fault(err, "reading link")
	}
	return decode(values)
}

// Asked is Get in the round trip that takes the ticket's lease: the second value gives what
// the first, which goes with it, was answered.
func (l *Links) Asked(connector string, ticket int64) (lease.Also, func() (item.Link, error)) {
	var asked *redis.SliceCmd
	ask := func(ctx context.Context, pipe redis.Pipeliner) {
		asked = pipe.HMGet(ctx, l.linkKey(TicketKey(connector, ticket)), "v", "j")
	}
	return ask, func() (item.Link, error) {
		values, err := asked.Result()
		if err != nil {
			return item.Link{}, datastore.Fault(err, "reading link")
		}
		return decode(values)
	}
}

// GetMany returns the links of those of the tickets that have one, by ticket.
func (l *Links) GetMany(ctx context.Context, connector string, tickets []int64) (map[int64]item.Link, error) {
	if len(tickets) == 0 {
		return nil, nil
	}
	pipe := l.store.Client().Pipeline()
	stored := make([]*redis.SliceCmd, len(tickets))
	for i, ticket := range tickets {
		stored[i] = pipe.HMGet(ctx, l.linkKey(TicketKey(connector, ticket)), "v", "j")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, datastore.Fault(err, "reading links")
	}
	links := make(map[int64]item.Link, len(tickets))
	for i, ticket := range tickets {
		known, err := decode(stored[i].Val())
		if err != nil {
			return nil, err
		}
		if known.Exists() {
			links[ticket] = known
		}
	}
	return links, nil
}

// decode reads the fields v and j of a stored link.
func decode(values []any) (item.Link, error) {
	version, _ := values[0].(string)
	text, _ := values[1].(string)
	if version == "" {
		return item.Link{}, nil
	}
	var stored item.Link
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		return item.Link{}, fmt.Errorf("decoding stored link: %w", err)
	}
	n, err := strconv.ParseInt(version, 10, 64)
	if err != nil {
		return item.Link{}, fmt.Errorf("decoding version of stored link: %w", err)
	}
	stored.Version = n
	return stored, nil
}

// Put stores want over the version it carries, adds changes (oldest first) to the
// history, and returns the link with its new version.
//
// It fails with fault.Conflict, and stores nothing, when held has ended or is not
// the ticket's lease, when another version is stored, or when the work item belongs
// to another ticket of the connector. Repeating a Put whose answer was lost is
// harmless. That a work item is about to be created is at a replica, where there are any,
// before it returns.
func (l *Links) Put(ctx context.Context, held lease.Lease, want item.Link, changes ...item.LinkChange) (item.Link, error) {
	k := TicketKey(want.Connector, want.Ticket)
	if held.Key != k {
		return item.Link{}, fault.New(fault.Conflict,
			"The link of ticket %d can't be changed under the lease of another item; the item is read and compared again.", want.Ticket)
	}
	text, err := json.Marshal(want)
	if err != nil {
		return item.Link{}, fmt.Errorf("encoding link: %w", err)
	}
	entries, err := encodeChanges(changes)
	if err != nil {
		return item.Link{}, err
	}
	keys := []string{l.linkKey(k), l.historyKey(k), lease.KeyOf(l.store, k), l.mirrorsKey(k)}
	write := func(indexed int) (verdict, error) {
		args := append([]any{held.Token, want.Version, text, want.WorkItem, indexed, HistoryCap, string(want.State)}, entries...)
		return l.write(ctx, want, keys, args)
	}
	v, err := write(0)
	if err == nil && v.word == "index" {
		if err := l.index(ctx, held, want.WorkItem); err != nil {
			return item.Link{}, errors.Join(err, l.refused(ctx, want))
		}
		v, err = write(1)
	}
	switch {
	case err != nil:
		return item.Link{}, err
	case v.word == "lost":
		return item.Link{}, errors.Join(lease.Lost(k), l.refused(ctx, want))
	case v.word == "version":
		return item.Link{}, errors.Join(stale(want, v.version), l.refused(ctx, want))
	}
	want.Version = v.version
	if v.version > 1 && v.state != string(want.State) {
		// The link is written; an entry too many is dropped by the next reader too.
		_ = l.left(ctx, want, v.state)
	}
	if want.State == item.LinkCreating {
		return want, l.store.AwaitReplicas(ctx, lease.Tag(k))
	}
	return want, nil
}

// verdict is what came of a write.
type verdict struct {
	word    string
	version int64
	// state is what the link's was before; empty: not told.
	state string
}

// write enters want into the index of states, writes it and has it told, in one round
// trip.
func (l *Links) write(ctx context.Context, want item.Link, keys []string, args []any) (verdict, error) {
	pipe := l.store.Client().Pipeline()
	l.indexState(ctx, pipe, want)
	written := l.put.EvalSha(ctx, pipe, keys, args...)
	l.announce(ctx, pipe, want.Connector, want.Ticket, want.Version+1)
	_, err := pipe.Exec(ctx)
	if redis.HasErrorPrefix(written.Err(), "NOSCRIPT") {
		// A Redis that was just started knows no scripts.
		written = l.put.Eval(ctx, l.store.Client(), keys, args...)
		announced := l.announce(ctx, l.store.Client(), want.Connector, want.Ticket, want.Version+1)
		if redis.HasErrorPrefix(err, "NOSCRIPT") {
			err = nil
		}
		err = cmp.Or(err, written.Err(), announced.Err())
	}
	if err != nil {
		return verdict{}, datastore.Fault(err, "writing link")
	}
	answer, err := written.Slice()
	if err != nil {
		return verdict{}, datastore.Fault(err, "writing link")
	}
	var v verdict
	v.word, _ = answer[0].(string)
	v.version, _ = answer[1].(int64)
	if len(answer) > 2 {
		v.state, _ = answer[2].(string)
	}
	return v, nil
}

func stale(l item.Link, stored int64) error {
	return fault.New(fault.Conflict,
		"The link of ticket %d changed meanwhile (version %d is stored, %d was read); the item is read and compared again.",
		l.Ticket, stored, l.Version)
}

// Delete forgets gone, whose version must be the stored one; its history can be read
// for another 30 days. Deleting a link that is not there does nothing. It fails with
// fault.Conflict as Put does.
func (l *Links) Delete(ctx context.Context, held lease.Lease, gone item.Link, changes ...item.LinkChange) error {
	k := TicketKey(gone.Connector, gone.Ticket)
	if held.Key != k {
		return fault.New(fault.Conflict,
			"The link of ticket %d can't be deleted under the lease of another item; try again.", gone.Ticket)
	}
	entries, err := encodeChanges(changes)
	if err != nil {
		return err
	}
	args := append([]any{held.Token, gone.Version, historyAfterDelete.Milliseconds()}, entries...)
	answer, err := l.delete.Run(ctx, l.store.Client(),
		[]string{l.linkKey(k), l.historyKey(k), lease.KeyOf(l.store, k), l.mirrorsKey(k), l.noticesKey(k), PushedKey(l.store, k.Connector, k.ID)}, args...).StringSlice()
	if err != nil {
		return datastore.Fault(err, "deleting link")
	}
	switch answer[0] {
	case "lost":
		return lease.Lost(k)
	case "version":
		stored, _ := strconv.ParseInt(answer[1], 10, 64) // only shown
		return stale(gone, stored)
	}
	if answer[1] == "" {
		return nil // it was deleted before
	}
	if err := l.announce(ctx, l.store.Client(), gone.Connector, gone.Ticket, 0).Err(); err != nil {
		return datastore.Fault(err, "telling that a link was deleted")
	}
	if err := l.left(ctx, item.Link{Connector: gone.Connector, Ticket: gone.Ticket, Updated: gone.Updated}, ""); err != nil {
		return err
	}
	return l.unindex(ctx, held, answer[1], answer[2])
}

// History returns the newest n entries of a link's history, the newest first; n of
// 0 or less means all that are kept.
func (l *Links) History(ctx context.Context, connector string, ticket int64, n int) ([]item.LinkChange, error) {
	if n <= 0 || n > HistoryCap {
		n = HistoryCap
	}
	texts, err := l.store.Client().LRange(ctx, l.historyKey(TicketKey(connector, ticket)), 0, int64(n)-1).Result()
	if err != nil {
		return nil, datastore.Fault(err, "reading link history")
	}
	changes := make([]item.LinkChange, 0, len(texts))
	for _, text := range texts {
		var c item.LinkChange
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			return nil, fmt.Errorf("decoding link history: %w", err)
		}
		changes = append(changes, c)
	}
	return changes, nil
}

func encodeChanges(changes []item.LinkChange) ([]any, error) {
	entries := make([]any, 0, len(changes))
	for _, c := range changes {
		text, err := json.Marshal(c)
		if err != nil {
			return nil, fmt.Errorf("encoding link history: %w", err)
		}
		entries = append(entries, text)
	}
	return entries, nil
}
