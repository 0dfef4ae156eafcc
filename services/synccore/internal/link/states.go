package link

import (
	"context"
	_ "embed" // the scripts
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
)

// The index of states answers Query: of each state three sorted sets hold its tickets,
// by number, by the time of the link's last change, and by work item. An entry is
// written before its link, in the same round trip, so that no link is without one;
// entries of links that have moved on are dropped by the writer, and else by the next
// reader that meets them. On a cluster the round trip is two, and a kill between them
// may leave a link without its newest entry: List, which every resync runs over all
// links, compares and mends.

//go:embed lua/fix.lua
var fixLua string

//go:embed lua/drop.lua
var dropLua string

// states lists the states whose tickets are indexed.
func states() []item.LinkState {
	return []item.LinkState{item.LinkCreating, item.LinkActive, item.LinkParked, item.LinkGone}
}

// Order is what Query orders by.
type Order string

// The orders.
const (
	ByTicket   Order = "ticket"
	ByUpdate   Order = "updated"
	ByWorkItem Order = "workitem"
)

// stateKey names a sorted set of the index.
func (l *Links) stateKey(connector string, state item.LinkState, order Order) string {
	return l.store.Key("links/"+connector, string(state)+"/by-"+string(order))
}

// stateKeys are the three sets of a state, in the order that the scripts expect.
func (l *Links) stateKeys(connector string, state item.LinkState) []string {
	return []string{
		l.stateKey(connector, state, ByTicket), l.stateKey(connector, state, ByUpdate), l.stateKey(connector, state, ByWorkItem),
	}
}

// score is a link's place in an order. Times count in microseconds, which a score holds
// exactly until the year 2255. A link without a work item stands before all that have
// one, and no two at the same place.
func score(known item.Link, order Order) float64 {
	switch order {
	case ByUpdate:
		return timeScore(known.Updated)
	case ByWorkItem:
		if known.WorkItem == 0 {
			return -float64(known.Ticket)
		}
		return float64(known.WorkItem)
	case ByTicket:
		return float64(known.Ticket)
	default:
		return float64(known.Ticket)
	}
}

func timeScore(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro())
}

// scoreText is a score as Redis reads it, without loss.
func scoreText(score float64) string { return strconv.FormatFloat(score, 'f', -1, 64) }

// indexState has a link's entry written by pipe, before the link.
func (l *Links) indexState(ctx context.Context, pipe redis.Pipeliner, want item.Link) {
	member := strconv.FormatInt(want.Ticket, 10)
	for _, order := range []Order{ByTicket, ByUpdate, ByWorkItem} {
		pipe.ZAdd(ctx, l.stateKey(want.Connector, want.State, order), redis.Z{Score: score(want, order), Member: member})
	}
}

// left drops the entries of states that a link is not in any more.
func (l *Links) left(ctx context.Context, stored item.Link, old string) error {
	for _, state := range states() {
		if state == stored.State || old != "" && old != string(state) {
			continue
		}
		if err := l.dropState(ctx, stored, state); err != nil {
			return err
		}
	}
	return nil
}

// dropState drops a link's entry of one state, unless it was made after the link.
func (l *Links) dropState(ctx context.Context, known item.Link, state item.LinkState) error {
	err := l.drop.Run(ctx, l.store.Client(), l.stateKeys(known.Connector, state),
		strconv.FormatInt(known.Ticket, 10), scoreText(timeScore(known.Updated))).Err()
	return datastore.Fault(err, "dropping ticket from index of states")
}

// refused mends the entry of a link that could not be written: what is stored counts.
func (l *Links) refused(ctx context.Context, want item.Link) error {
	known, err := l.Get(ctx, want.Connector, want.Ticket)
	if err != nil {
		return err
	}
	known.Connector, known.Ticket = want.Connector, want.Ticket
	return l.fixState(ctx, known, want.State, scoreText(timeScore(want.Updated)))
}

// fixState puts the entry right that known has in seenState with the time seen, unless
// it is another one by now; known.Exists tells whether it is to have one.
func (l *Links) fixState(ctx context.Context, known item.Link, seenState item.LinkState, seen string) error {
	keys := l.stateKeys(known.Connector, seenState)
	if known.Exists() {
		keys = append(keys, l.stateKeys(known.Connector, known.State)...)
	}
	err := l.fix.Run(ctx, l.store.Client(), keys, strconv.FormatInt(known.Ticket, 10), seen,
		scoreText(score(known, ByTicket)), scoreText(score(known, ByUpdate)), scoreText(score(known, ByWorkItem))).Err()
	return datastore.Fault(err, "mending index of states")
}

// heal compares the index of states with links that were read, and mends what differs.
func (l *Links) heal(ctx context.Context, connector string, links []item.Link) error {
	byState := map[item.LinkState][]item.Link{}
	for _, one := range links {
		byState[one.State] = append(byState[one.State], one)
	}
	type asked struct {
		links  []item.Link
		answer *redis.SliceCmd
	}
	pipe := l.store.Client().Pipeline()
	var all []asked
	for state, of := range byState {
		arguments := make([]any, 0, len(of)+2)
		arguments = append(arguments, "ZMSCORE", l.stateKey(connector, state, ByUpdate))
		for _, one := range of {
			arguments = append(arguments, one.Ticket)
		}
		// As texts: which entry has no score must be told from one whose score is 0.
		command := redis.NewSliceCmd(ctx, arguments...)
		_ = pipe.Process(ctx, command) // told by Exec
		all = append(all, asked{of, command})
	}
	if len(all) == 0 {
		return nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return datastore.Fault(err, "comparing index of states")
	}
	for _, one := range all {
		for i, answer := range one.answer.Val() {
			text, _ := answer.(string)
			if at, err := strconv.ParseFloat(text, 64); err == nil && at == timeScore(one.links[i].Updated) {
				continue
			}
			if err := l.fixState(ctx, one.links[i], one.links[i].State, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// complete makes sure that all links of a connector are in the index of states: those
// that were stored before there was one are added, once.
func (l *Links) complete(ctx context.Context, connector string) error {
	done := l.store.Key("links/"+connector, "states-complete")
	there, err := l.store.Client().Exists(ctx, done).Result()
	if err != nil || there == 1 {
		return datastore.Fault(err, "looking at index of states")
	}
	for token := ""; ; {
		_, next, err := l.List(ctx, connector, MaxPageSize, token)
		if err != nil {
			return err
		}
		if token = next; next == "" {
			break
		}
	}
	return datastore.Fault(l.store.Client().Set(ctx, done, "1", 0).Err(), "noting that the index of states is complete")
}

// idle tells which of the tickets nobody holds the lease of.
func (l *Links) idle(ctx context.Context, connector string, tickets []int64) (map[int64]bool, error) {
	pipe := l.store.Client().Pipeline()
	leases := make([]*redis.IntCmd, len(tickets))
	for i, ticket := range tickets {
		leases[i] = pipe.Exists(ctx, lease.KeyOf(l.store, TicketKey(connector, ticket)))
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, datastore.Fault(err, "reading leases")
	}
	free := make(map[int64]bool, len(tickets))
	for i, ticket := range tickets {
		free[ticket] = leases[i].Val() == 0
	}
	return free, nil
}
