package runs

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
)

// Turn is a connector's turn to resync, as long as its lease is held. It is for one
// goroutine.
type Turn struct {
	runs *Runs
	held lease.Lease
}

// Turn returns the turn of which held, that of TurnKey, is the lease.
func (r *Runs) Turn(held lease.Lease) *Turn { return &Turn{runs: r, held: held} }

// Save stores a resync and what it found since it was last stored, in one step, and
// forgets those that are too old. It tells whether the resync is to be cancelled. It fails
// with fault.Conflict, and stores nothing, when the turn is over.
func (t *Turn) Save(ctx context.Context, run item.Resync, found item.ResyncFound) (bool, error) {
	connector := t.held.Key.Connector
	text, err := json.Marshal(run)
	if err != nil {
		return false, fmt.Errorf("encoding resync: %w", err)
	}
	args := []any{t.held.Token, run.ID, text, memory.Milliseconds()}
	for _, tickets := range [][]int64{found.Listed, found.Back, found.Counted} {
		args = append(args, len(tickets))
		for _, ticket := range tickets {
			args = append(args, ticket)
		}
	}
	args = append(args, len(found.Hints))
	for _, hint := range found.Hints {
		text, err := json.Marshal(hint)
		if err != nil {
			return false, fmt.Errorf("encoding hint: %w", err)
		}
		args = append(args, text)
	}
	if run.State.Ended() {
		old, err := t.old(ctx, connector, run.ID)
		if err != nil {
			return false, err
		}
		args = append(args, old...)
	}
	keys := []string{
		lease.KeyOf(t.runs.store, t.held.Key), t.runs.key(connector, "resyncs"), t.runs.key(connector, "resync-turn"), t.runs.key(connector, "resync-cancels"),
		t.runs.of(connector, run.ID, "listed"), t.runs.of(connector, run.ID, "back"), t.runs.of(connector, run.ID, "counted"), t.runs.of(connector, run.ID, "hints"),
	}
	answer, err := t.runs.save.Run(ctx, t.runs.store.Client(), keys, args...).Int64Slice()
	if err != nil {
		return false, datastore.Fault(err, "storing resync")
	}
	if answer[0] == 0 {
		return false, lease.Lost(t.held.Key)
	}
	if run.State.Ended() {
		t.drop(ctx, connector, run.ID)
	}
	return answer[1] == 1, nil
}

// old lists the ended resyncs beyond those that are kept.
func (t *Turn) old(ctx context.Context, connector, present string) ([]any, error) {
	all, err := t.runs.List(ctx, connector)
	if err != nil {
		return nil, err
	}
	var old []any
	for i, one := range all {
		if i >= Kept && one.State.Ended() && one.ID != present {
			old = append(old, one.ID)
		}
	}
	return old, nil
}

// drop forgets what is of no use after the end. What remains goes by itself.
func (t *Turn) drop(ctx context.Context, connector, id string) {
	for _, what := range []string{"listed", "back", "counted", "hints"} {
		_ = t.runs.store.Client().Unlink(ctx, t.runs.of(connector, id, what)).Err() // it has a time to live
	}
}

// Has tells which of the tickets are in a set of a resync, in their order.
func (t *Turn) Has(ctx context.Context, id string, set item.ResyncSet, tickets []int64) ([]bool, error) {
	if len(tickets) == 0 {
		return nil, nil
	}
	members := make([]any, len(tickets))
	for i, ticket := range tickets {
		members[i] = ticket
	}
	are, err := t.runs.store.Client().SMIsMember(ctx, t.runs.of(t.held.Key.Connector, id, string(set)), members...).Result()
	if err != nil {
		return nil, datastore.Fault(err, "looking up tickets of resync")
	}
	return are, nil
}

// Hints returns up to n hints of a resync from a position on.
func (t *Turn) Hints(ctx context.Context, id string, from, n int) ([]item.ResyncHint, error) {
	texts, err := t.runs.store.Client().LRange(ctx, t.runs.of(t.held.Key.Connector, id, "hints"), int64(from), int64(from+n-1)).Result()
	if err != nil {
		return nil, datastore.Fault(err, "reading hints of resync")
	}
	hints := make([]item.ResyncHint, len(texts))
	for i, text := range texts {
		if err := json.Unmarshal([]byte(text), &hints[i]); err != nil {
			return nil, fmt.Errorf("decoding hint of resync: %w", err)
		}
	}
	return hints, nil
}
