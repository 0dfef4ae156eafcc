package inbox

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// MaxPageSize is how many records one List returns at most.
const MaxPageSize = 1000

// maxScan bounds how many items one List looks at, so that a page that finds few of
// a connector among many of others stays cheap; it is then short, with a next page.
const maxScan = 5000

// place is an item in the order of its state.
type place struct {
	name string // item key, or connector/id of a dead letter
	mark string // where the next page goes on
	due  float64
}

// List returns records of a connector (empty: of all) in one state (empty: in any), and
// the token of the next page, which is empty on the last. The order is that of serving:
// queued ones by when they became ready, live before background; waiting ones by when
// they are due; running ones by key; dead letters by when they died, the oldest first.
// Records that come or go meanwhile do not shift pages. A page may be shorter than asked
// for. Over all states what needs a person comes first: dead, waiting, running, queued;
// a record whose state changes between two pages may be on both or on neither.
func (b *Inbox) List(ctx context.Context, connector string, state State, pageSize int, pageToken string) ([]Record, string, error) {
	pageSize = min(max(pageSize, 1), MaxPageSize)
	if state != "" {
		return b.listState(ctx, connector, state, pageSize, pageToken)
	}
	states := []State{Dead, Waiting, Running, Queued}
	at := 0
	if pageToken != "" {
		name, rest, ok := strings.Cut(pageToken, ";")
		at = slices.Index(states, State(name))
		if !ok || at < 0 {
			return nil, "", badToken(pageToken)
		}
		pageToken = rest
	}
	var records []Record
	for ; at < len(states); at++ {
		found, next, err := b.listState(ctx, connector, states[at], pageSize-len(records), pageToken)
		if err != nil {
			return nil, "", err
		}
		records = append(records, found...)
		if next != "" {
			return records, string(states[at]) + ";" + next, nil
		}
		pageToken = ""
	}
	return records, "", nil
}

func (b *Inbox) listState(ctx context.Context, connector string, state State, pageSize int, pageToken string) ([]Record, string, error) {
	var records []Record
	for scanned := 0; scanned < maxScan; {
		places, err := b.places(ctx, connector, state, pageSize, pageToken)
		if err != nil {
			return nil, "", err
		}
		if len(places) == 0 {
			return records, "", nil
		}
		found, err := b.read(ctx, connector, state, places)
		if err != nil {
			return nil, "", err
		}
		for i, p := range places {
			if found[i] != nil {
				records = append(records, *found[i])
			}
			pageToken = p.mark
			if len(records) == pageSize {
				return records, pageToken, nil
			}
		}
		scanned += len(places)
	}
	return records, pageToken, nil
}

// places are the next n items of a state after a page token.
func (b *Inbox) places(ctx context.Context, connector string, state State, n int, token string) ([]place, error) {
	switch state {
	case Queued:
		return b.queuedPlaces(ctx, n, token)
	case Running:
		return b.runningPlaces(ctx, n, token)
	case Waiting:
		return b.waitingPlaces(ctx, n, token)
	case Dead:
		return b.deadPlaces(ctx, connector, n, token)
	default:
		return nil, fault.New(fault.Invalid, "There is no state %q; ask for queued, running, waiting or dead.", state)
	}
}

func badToken(token string) error {
	return fault.New(fault.Invalid, "The page token %q is none that Tandem gave out; start with the first page.", token)
}

// queuedPlaces reads the live stream, then the background one. Marks are l or b and
// the id of the entry.
func (b *Inbox) queuedPlaces(ctx context.Context, n int, token string) ([]place, error) {
	lane, after := "l", "0-0"
	if token != "" {
		lane, after = token[:1], token[1:]
		if (lane != "l" && lane != "b") || !streamID(after) {
			return nil, badToken(token)
		}
	}
	var places []place
	for i, name := range []string{"l", "b"} {
		if lane == "b" && name == "l" {
			continue // the page before had come to the background
		}
		entries, err := b.store.Client().XRangeN(ctx, b.keys[i], "("+after, "+", int64(n-len(places))).Result()
		if err != nil {
			return nil, datastore.Fault(err, "listing queued items")
		}
		for _, e := range entries {
			k, _ := e.Values["k"].(string)
			places = append(places, place{name: k, mark: name + e.ID})
		}
		if len(places) == n {
			break
		}
		after = "0-0"
	}
	return places, nil
}

func streamID(s string) bool {
	ms, seq, ok := strings.Cut(s, "-")
	// Redis refuses to go on after the last id there can be.
	_, errMs := strconv.ParseUint(ms, 10, 63)
	_, errSeq := strconv.ParseUint(seq, 10, 64)
	return ok && errMs == nil && errSeq == nil
}

// runningPlaces sorts all running items by key: extending moves them in their set, and
// they are never more than there are workers.
func (b *Inbox) runningPlaces(ctx context.Context, n int, token string) ([]place, error) {
	names, err := b.store.Client().ZRange(ctx, b.keys[3], 0, -1).Result()
	if err != nil {
		return nil, datastore.Fault(err, "listing running items")
	}
	slices.Sort(names)
	var places []place
	for _, name := range names {
		if name > token && len(places) < n {
			places = append(places, place{name: name, mark: name})
		}
	}
	return places, nil
}

// waitingPlaces reads the due set. Marks are the due time and the item key.
func (b *Inbox) waitingPlaces(ctx context.Context, n int, token string) ([]place, error) {
	score, last := "-inf", ""
	if token != "" {
		var ok bool
		score, last, ok = strings.Cut(token, "/")
		// ParseFloat reads more than Redis does: nan, 0x1p-2, 1_000.
		due, err := strconv.ParseFloat(score, 64)
		if !ok || err != nil || strconv.FormatFloat(due, 'f', -1, 64) != score || math.IsNaN(due) || math.IsInf(due, 0) {
			return nil, badToken(token)
		}
	}
	for skip := 0; ; skip += n {
		members, err := b.store.Client().ZRangeByScoreWithScores(ctx, b.keys[2],
			&redis.ZRangeBy{Min: score, Max: "+inf", Offset: int64(skip), Count: int64(n)}).Result()
		if err != nil {
			return nil, datastore.Fault(err, "listing waiting items")
		}
		var places []place
		for _, m := range members {
			name, _ := m.Member.(string)
			due := strconv.FormatFloat(m.Score, 'f', -1, 64)
			if due == score && name <= last {
				continue // due at the same moment, on the page before
			}
			places = append(places, place{name: name, mark: due + "/" + name, due: m.Score})
		}
		if len(places) > 0 || len(members) < n {
			return places, nil
		}
	}
}

// deadPlaces reads the index of dead letters. Marks are its members.
func (b *Inbox) deadPlaces(ctx context.Context, connector string, n int, token string) ([]place, error) {
	index, owner := b.prefix+"dead", ""
	if connector != "" {
		index, owner = index+":"+connector, connector+"/"
	}
	from := "-"
	if token != "" {
		from = "(" + token
	}
	members, err := b.store.Client().ZRangeArgs(ctx, redis.ZRangeArgs{
		Key: index, ByLex: true, Start: from, Stop: "+", Count: int64(n),
	}).Result()
	if err != nil {
		return nil, datastore.Fault(err, "listing dead letters")
	}
	places := make([]place, 0, len(members))
	for _, m := range members {
		_, name, _ := strings.Cut(m, ":")
		places = append(places, place{name: owner + name, mark: m})
	}
	return places, nil
}

// recordFields are what List shows of an item or dead letter: all but the payload.
func recordFields() []string {
	return []string{"s", "n", "m", "x", "o", "h", "d", "key", "wi", "wf", "wl", "wc", "wr", "wt", "wb", "wa"}
}

// read returns the records at places; nil where the item is another connector's, has
// changed its state meanwhile, or can't be read by this build.
func (b *Inbox) read(ctx context.Context, connector string, state State, places []place) ([]*Record, error) {
	kind := "item:"
	if state == Dead {
		kind = "letter:"
	}
	pipe := b.store.Client().Pipeline()
	replies := make([]*redis.SliceCmd, len(places))
	for i, p := range places {
		if connector == "" || strings.HasPrefix(p.name, connector+"/") {
			replies[i] = pipe.HMGet(ctx, b.prefix+kind+p.name, recordFields()...)
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, datastore.Fault(err, "reading records")
	}
	records := make([]*Record, len(places))
	for i, reply := range replies {
		if reply == nil {
			continue
		}
		fields := make(map[string]string)
		for n, name := range recordFields() {
			if v, ok := reply.Val()[n].(string); ok {
				fields[name] = v
			}
		}
		if fields["wi"] == "" {
			continue
		}
		r, err := decodePlace(places[i], state, fields)
		if err != nil {
			continue // Receive tells of it; it must not hide the others
		}
		if r.State == state {
			records[i] = &r
		}
	}
	return records, nil
}

func decodePlace(p place, state State, fields map[string]string) (Record, error) {
	if state == Dead {
		return decodeLetter(fields)
	}
	k, err := item.ParseKey(p.name)
	if err != nil {
		return Record{}, fmt.Errorf("decoding item of inbox: %w", err)
	}
	return decodeItem(k, fields, "w", p.due)
}
