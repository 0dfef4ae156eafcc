// Package runs keeps the resyncs of connectors: those that wait, the one that is under
// way with where it goes on, and the last ones that ended.
//
// Its one invariant: where a resync goes on and what it found until there are written in
// one step, by the holder of the connector's turn alone; so whoever goes on after a
// process died has compared every page once.
//
// # Keys
//
// All keys of a connector's resyncs share the hash tag of the turn's lease:
//
//	resyncs              hash: id → JSON, the last Kept of them
//	resync-turn          hash: waiting → id
//	resync-request/<id>  id of the resync that a request of that id got, for a day
//	resync-cancels       hash: id → 1 for those that are to be cancelled
//	resync/<id>/listed, back, counted   sets of tickets
//	resync/<id>/hints    list of what has to be looked at
//	resync/<id>/outcomes hash: ticket → outcome, and counts under #outcome
//
// What belongs to one resync goes a week after it was last written.
package runs

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed" // the scripts
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
)

//go:embed lua/ask.lua
var askLua string

//go:embed lua/cancel.lua
var cancelLua string

//go:embed lua/save.lua
var saveLua string

//go:embed lua/settle.lua
var settleLua string

const (
	// Kept is how many resyncs of a connector are remembered.
	Kept = 50
	// memory is how long what belongs to one resync is kept after it was last written.
	memory = 7 * 24 * time.Hour
	// requestsFor is how long the id of a request is known.
	requestsFor = 24 * time.Hour
)

// Runs is the store of resyncs. It is safe for concurrent use.
type Runs struct {
	store                     *datastore.Store
	ask, cancel, save, settle *redis.Script
}

// New returns the resyncs kept in store.
func New(store *datastore.Store) *Runs {
	return &Runs{
		store: store,
		ask:   redis.NewScript(askLua), cancel: redis.NewScript(cancelLua), save: redis.NewScript(saveLua), settle: redis.NewScript(settleLua),
	}
}

// TurnKey is the key whose lease allows to run a connector's resyncs. No work item has
// the number 0.
func TurnKey(connector string) item.Key {
	return item.Key{Connector: connector, System: item.AzureDevOps}
}

func (r *Runs) key(connector, name string) string {
	return r.store.Key(lease.Tag(TurnKey(connector)), name)
}

func (r *Runs) of(connector, id, what string) string {
	return r.key(connector, "resync/"+id+"/"+what)
}

// stamp is the time in an id.
const stamp = "20060102.150405.000000"

// NewID is an id for a resync that is made now, which comes behind all of those that there
// are, whatever the clocks of the replicas say.
func NewID(now time.Time, there []item.Resync) string {
	var chance [2]byte
	_, _ = rand.Read(chance[:])          // never fails
	now = now.Truncate(time.Microsecond) // what an id shows of it
	for _, one := range there {
		before, err := time.Parse(stamp, strings.Replace(one.ID[:min(len(one.ID), len(stamp))], "-", ".", 2))
		if err == nil && !now.After(before) {
			now = before.Add(time.Microsecond)
		}
	}
	return strings.ReplaceAll(now.UTC().Format(stamp), ".", "-") + "-" + hex.EncodeToString(chance[:])
}

// Ask stores a resync that waits for its turn, and returns it, or the one that waits
// already. A request id that asked before gets what it got then; empty: there is none.
func (r *Runs) Ask(ctx context.Context, connector, request string, want item.Resync) (item.Resync, error) {
	text, err := json.Marshal(want)
	if err != nil {
		return item.Resync{}, fmt.Errorf("encoding resync: %w", err)
	}
	keys := []string{r.key(connector, "resyncs"), r.key(connector, "resync-turn")}
	if request != "" {
		keys = append(keys, r.key(connector, "resync-request/"+request))
	}
	answer, err := r.ask.Run(ctx, r.store.Client(), keys, want.ID, text, requestsFor.Milliseconds()).StringSlice()
	if err != nil {
		return item.Resync{}, datastore.Fault(err, "asking for resync")
	}
	return decode(answer[1])
}

// Waiting is the resync that waits; false: none does.
func (r *Runs) Waiting(ctx context.Context, connector string) (item.Resync, bool, error) {
	id, err := r.store.Client().HGet(ctx, r.key(connector, "resync-turn"), "waiting").Result()
	if datastore.Missing(err) {
		return item.Resync{}, false, nil
	}
	if err != nil {
		return item.Resync{}, false, datastore.Fault(err, "reading waiting resync")
	}
	known, err := r.Get(ctx, connector, id)
	if fault.Is(err, fault.NotFound) {
		return item.Resync{}, false, nil
	}
	return known, err == nil, err
}

// Get returns a resync with what rounds have made of it; fault.NotFound if there is none
// of that id any more.
func (r *Runs) Get(ctx context.Context, connector, id string) (item.Resync, error) {
	text, err := r.store.Client().HGet(ctx, r.key(connector, "resyncs"), id).Result()
	if datastore.Missing(err) {
		return item.Resync{}, unknown(connector, id)
	}
	if err != nil {
		return item.Resync{}, datastore.Fault(err, "reading resync")
	}
	known, err := decode(text)
	if err != nil {
		return item.Resync{}, err
	}
	all := []item.Resync{known}
	err = r.complete(ctx, connector, all)
	return all[0], err
}

func unknown(connector, id string) error {
	return fault.New(fault.NotFound, "Connector %q has no resync %q; only the last %d are kept.", connector, id, Kept)
}

// List returns the resyncs that are kept, the newest first, with what rounds have made
// of them.
func (r *Runs) List(ctx context.Context, connector string) ([]item.Resync, error) {
	texts, err := r.store.Client().HGetAll(ctx, r.key(connector, "resyncs")).Result()
	if err != nil {
		return nil, datastore.Fault(err, "listing resyncs")
	}
	all := make([]item.Resync, 0, len(texts))
	for _, text := range texts {
		known, err := decode(text)
		if err != nil {
			return nil, err
		}
		all = append(all, known)
	}
	slices.SortFunc(all, func(a, b item.Resync) int { return cmp.Compare(b.ID, a.ID) })
	return all, r.complete(ctx, connector, all)
}

// complete adds what is kept beside.
func (r *Runs) complete(ctx context.Context, connector string, all []item.Resync) error {
	if len(all) == 0 {
		return nil
	}
	pipe := r.store.Client().Pipeline()
	cancels := pipe.HKeys(ctx, r.key(connector, "resync-cancels"))
	counts := make([]*redis.SliceCmd, len(all))
	for i, one := range all {
		counts[i] = pipe.HMGet(ctx, r.of(connector, one.ID, "outcomes"),
			"#"+string(item.OutcomeNothing), "#"+string(item.OutcomeWritten), "#"+string(item.OutcomeFailed))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return datastore.Fault(err, "reading outcomes of resyncs")
	}
	for i := range all {
		one := &all[i]
		one.Cancelling = slices.Contains(cancels.Val(), one.ID) && !one.State.Ended()
		var n [3]int
		for j, value := range counts[i].Val() {
			text, _ := value.(string)
			n[j], _ = strconv.Atoi(text) // nothing is 0
		}
		one.Written, one.Failed, one.Settled = n[1], n[2], n[0]+n[1]+n[2]
	}
	return nil
}

// Cancel ends a resync: one that waits at once, one that is under way when its process
// gets to know. One that has ended is left as it is. It fails with fault.NotFound if there
// is none of that id.
func (r *Runs) Cancel(ctx context.Context, connector, id string, now time.Time) (item.Resync, error) {
	known, err := r.Get(ctx, connector, id)
	if err != nil || known.State.Ended() {
		return known, err
	}
	known.State, known.Ended, known.Request = item.ResyncCancelled, now, known.Asked
	text, err := json.Marshal(known)
	if err != nil {
		return item.Resync{}, fmt.Errorf("encoding resync: %w", err)
	}
	found, err := r.cancel.Run(ctx, r.store.Client(),
		[]string{r.key(connector, "resyncs"), r.key(connector, "resync-turn"), r.key(connector, "resync-cancels")}, id, text).Int()
	if err != nil {
		return item.Resync{}, datastore.Fault(err, "cancelling resync")
	}
	if found == 0 {
		return item.Resync{}, unknown(connector, id)
	}
	return r.Get(ctx, connector, id)
}

// Settle notes what a round made of a ticket that a resync put into the inbox. The last
// time counts, but that nothing was left to do after a write.
func (r *Runs) Settle(ctx context.Context, connector, id string, ticket int64, outcome item.ResyncOutcome) error {
	err := r.settle.Run(ctx, r.store.Client(), []string{r.key(connector, "resyncs"), r.of(connector, id, "outcomes")},
		id, ticket, string(outcome), memory.Milliseconds()).Err()
	return datastore.Fault(err, "noting outcome of resync")
}

func decode(text string) (item.Resync, error) {
	var known item.Resync
	if err := json.Unmarshal([]byte(text), &known); err != nil {
		return item.Resync{}, fmt.Errorf("decoding stored resync: %w", err)
	}
	return known, nil
}
