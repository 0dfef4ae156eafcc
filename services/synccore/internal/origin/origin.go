// Package origin remembers where a connector stands in time: which tickets were
// there before it first started, and how far its polls have read since.
//
// Its one invariant: until the first-start snapshot is marked complete, nothing may
// be concluded from a ticket's absence; afterwards tickets only ever leave the set.
package origin

import (
	"context"
	_ "embed" // the script

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

//go:embed lua/existing.lua
var existingLua string

// Origins is the memory of all connectors. It is safe for concurrent use.
type Origins struct {
	store    *datastore.Store
	existing *redis.Script
}

// New returns the memory kept in store.
func New(store *datastore.Store) *Origins {
	return &Origins{store: store, existing: redis.NewScript(existingLua)}
}

func (o *Origins) existingKey(connector string) string {
	return o.store.Key("origin/"+connector, "existing")
}

func (o *Origins) factsKey(connector string) string {
	return o.store.Key("origin/"+connector, "facts")
}

// AddExisting notes tickets that were there when the connector first started. It may
// be called in any number of batches, and again after a crash. It fails with
// fault.Conflict, and notes nothing, once the snapshot is complete: a process that was
// stopped while it made one knows no better than the one that made it since.
func (o *Origins) AddExisting(ctx context.Context, connector string, tickets ...int64) error {
	if len(tickets) == 0 {
		return nil
	}
	noted, err := o.existing.Run(ctx, o.store.Client(), []string{o.existingKey(connector), o.factsKey(connector)}, members(tickets)...).Int()
	if err != nil {
		return datastore.Fault(err, "noting existing tickets")
	}
	if noted == 0 {
		return fault.New(fault.Conflict, "Another process has noted the tickets of connector %q that were there before it; nothing is to be done.", connector)
	}
	return nil
}

// IsExisting tells whether ticket was there when the connector first started.
func (o *Origins) IsExisting(ctx context.Context, connector string, ticket int64) (bool, error) {
	is, err := o.store.Client().SIsMember(ctx, o.existingKey(connector), ticket).Result()
	return is, datastore.Fault(err, "looking up existing ticket")
}

// RemoveExisting lets the connector treat tickets as if they had come after it.
func (o *Origins) RemoveExisting(ctx context.Context, connector string, tickets ...int64) error {
	if len(tickets) == 0 {
		return nil
	}
	err := o.store.Client().SRem(ctx, o.existingKey(connector), members(tickets)...).Err()
	return datastore.Fault(err, "forgetting existing tickets")
}

// MarkComplete says that the first-start snapshot holds every existing ticket. Call
// it after the last AddExisting.
func (o *Origins) MarkComplete(ctx context.Context, connector string) error {
	err := o.store.Client().HSet(ctx, o.factsKey(connector), "complete", "1").Err()
	return datastore.Fault(err, "completing first-start snapshot")
}

// IsComplete tells whether MarkComplete was called.
func (o *Origins) IsComplete(ctx context.Context, connector string) (bool, error) {
	is, err := o.store.Client().HExists(ctx, o.factsKey(connector), "complete").Result()
	return is, datastore.Fault(err, "reading first-start snapshot")
}

// Cursor is the position of that name, as SetCursor stored it; empty when there is
// none.
func (o *Origins) Cursor(ctx context.Context, connector, name string) (string, error) {
	position, err := o.store.Client().HGet(ctx, o.factsKey(connector), "cursor/"+name).Result()
	if datastore.Missing(err) {
		return "", nil
	}
	return position, datastore.Fault(err, "reading cursor")
}

// SetCursor stores a position. The last call wins: one that a process makes which was stopped
// past its turn moves the position back, and costs reading something again.
func (o *Origins) SetCursor(ctx context.Context, connector, name, position string) error {
	err := o.store.Client().HSet(ctx, o.factsKey(connector), "cursor/"+name, position).Err()
	return datastore.Fault(err, "storing cursor")
}

// Note is what SetNote stored under that name; empty when there is nothing.
func (o *Origins) Note(ctx context.Context, connector, name string) (string, error) {
	text, err := o.store.Client().HGet(ctx, o.factsKey(connector), "note/"+name).Result()
	if datastore.Missing(err) {
		return "", nil
	}
	return text, datastore.Fault(err, "reading note")
}

// SetNote stores something about a connector that all replicas share; empty drops it.
// The last call wins.
func (o *Origins) SetNote(ctx context.Context, connector, name, text string) error {
	if text == "" {
		return datastore.Fault(o.store.Client().HDel(ctx, o.factsKey(connector), "note/"+name).Err(), "dropping note")
	}
	return datastore.Fault(o.store.Client().HSet(ctx, o.factsKey(connector), "note/"+name, text).Err(), "storing note")
}

func members(tickets []int64) []any {
	list := make([]any, len(tickets))
	for i, t := range tickets {
		list[i] = t
	}
	return list
}
