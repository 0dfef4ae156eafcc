package inbox

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// State is where a record stands.
type State string

// The states of a record.
const (
	Queued  State = "queued"
	Running State = "running"
	Waiting State = "waiting"
	Dead    State = "dead"
)

// Record is what the API shows: the hints of one item that are served together, or a
// dead letter.
type Record struct {
	ID    string
	Key   item.Key
	State State
	// First and Last are the oldest and the newest hint; only Get and Replay give
	// Last's payload.
	First, Last item.Event
	// Count is how many hints are served together.
	Count       int64
	MaxRevision int64
	// Failures is how often serving it was tried and failed.
	Failures   int
	Background bool
	// Force tells that a person asked by any of the hints.
	Force bool
	// Held tells that hints do not end the wait.
	Held bool
	// Due is when a waiting record is tried again.
	Due time.Time
	// Died is when a dead letter was written.
	Died time.Time
	// Reason is why a record waits or was given up.
	Reason string
	// TraceID names the trace of the last failed try.
	TraceID string
	// Replica serves a running record.
	Replica string
}

// Get returns the record with that public id. It fails with fault.NotFound when there
// is none: it was served, replayed, or is too old.
func (b *Inbox) Get(ctx context.Context, connector, id string) (Record, error) {
	k, ok := keyOfID(connector, id)
	if !ok {
		return Record{}, unknown(connector, id)
	}
	r, found, err := b.current(ctx, k, id)
	if err != nil || found {
		return r, err
	}
	fields, err := b.store.Client().HGetAll(ctx, b.prefix+"letter:"+connector+"/"+id).Result()
	if err != nil {
		return Record{}, datastore.Fault(err, "reading dead letter")
	}
	if len(fields) == 0 {
		return Record{}, unknown(connector, id)
	}
	return decodeLetter(fields)
}

// current is the stored record of an item; with id set, only if it has that id.
func (b *Inbox) current(ctx context.Context, k item.Key, id string) (Record, bool, error) {
	name := k.String()
	pipe := b.store.Client().TxPipeline()
	all := pipe.HGetAll(ctx, b.prefix+"item:"+name)
	due := pipe.ZScore(ctx, b.keys[2], name)
	if _, err := pipe.Exec(ctx); err != nil && !datastore.Missing(err) {
		return Record{}, false, datastore.Fault(err, "reading item of inbox")
	}
	fields := all.Val()
	if fields["s"] == "" {
		return Record{}, false, nil
	}
	group := "w"
	if id != "" && fields["pi"] == id {
		group = "p"
	} else if id != "" && fields["wi"] != id {
		return Record{}, false, nil
	}
	r, err := decodeItem(k, fields, group, due.Val())
	return r, err == nil, err
}

// Replay takes a dead letter back to be served at once, as if its hints had just
// come, and returns the record that they are part of now. It fails with
// fault.NotFound when there is no such dead letter.
func (b *Inbox) Replay(ctx context.Context, connector, id string) (Record, error) {
	if _, ok := keyOfID(connector, id); !ok {
		return Record{}, unknown(connector, id)
	}
	answer, err := b.run(ctx, "replay", connector, id, b.options.MaxItems).Slice()
	if err != nil {
		return Record{}, datastore.Fault(err, "replaying dead letter")
	}
	switch verdict, _ := answer[0].(int64); verdict {
	case 0:
		return Record{}, unknown(connector, id)
	case -1:
		return Record{}, full()
	}
	name, _ := answer[1].(string)
	k, err := item.ParseKey(name)
	if err != nil {
		return Record{}, fmt.Errorf("decoding dead letter: %w", err)
	}
	for _, as := range []string{id, ""} {
		r, found, err := b.current(ctx, k, as)
		if err != nil || found {
			return r, err
		}
	}
	// A worker was quicker than this reading.
	return Record{ID: id, Key: k, State: Queued}, nil
}

func unknown(connector, id string) error {
	return fault.New(fault.NotFound,
		"Connector %s has no event %s; it was served or replayed, or was kept for its time.", connector, id)
}

func decodeLetter(fields map[string]string) (Record, error) {
	k, err := item.ParseKey(fields["key"])
	if err != nil {
		return Record{}, fmt.Errorf("decoding dead letter: %w", err)
	}
	r, err := decodeItem(k, fields, "w", 0)
	if err != nil {
		return Record{}, err
	}
	died, err := strconv.ParseInt(fields["d"], 10, 64)
	if err != nil {
		return Record{}, fmt.Errorf("decoding dead letter: %w", err)
	}
	r.State, r.Died = Dead, time.UnixMilli(died).UTC()
	r.Reason, r.TraceID = fields["m"], fields["x"]
	return r, nil
}

// decodeItem reads a group of an item's hash; due is its score in the due set.
func decodeItem(k item.Key, fields map[string]string, group string, due float64) (Record, error) {
	v := make([]string, 0, batchFields)
	for _, f := range []string{"i", "f", "l", "p", "c", "r", "t", "b", "a"} {
		v = append(v, fields[group+f])
	}
	g, err := decodeBatch(v)
	if err != nil {
		return Record{}, err
	}
	r := Record{
		ID: g.id, Key: k, State: Queued, First: g.first, Last: g.last, Count: g.count,
		MaxRevision: g.revision, Background: g.background, Force: g.force,
	}
	if group == "p" {
		return r, nil // it starts afresh when the running one is done
	}
	r.Failures, err = strconv.Atoi(fields["n"])
	if err != nil {
		return Record{}, fmt.Errorf("decoding failures: %w", err)
	}
	r.TraceID = fields["x"]
	switch fields["s"] {
	case "r":
		r.State, r.Replica = Running, fields["o"]
	case "w":
		r.State, r.Held, r.Reason = Waiting, fields["h"] == "1", fields["m"]
		r.Due = time.UnixMilli(int64(due)).UTC()
	}
	return r, nil
}
