package link

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"hash/fnv"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Query says which links are wanted, and in which order.
type Query struct {
	// States are the states of the links; empty: any.
	States []item.LinkState
	// Ticket and WorkItem are the numbers of the one that is wanted; 0: any.
	Ticket, WorkItem int64
	// From and Before bound the time of the last change: From ≤ it < Before; zero: not
	// bounded. They need the order ByUpdate.
	From, Before time.Time
	// Order is ByTicket if empty.
	Order      Order
	Descending bool
}

// matches tells whether a link is among those wanted.
func (q Query) matches(known item.Link) bool {
	return known.Exists() &&
		(len(q.States) == 0 || slices.Contains(q.States, known.State)) &&
		(q.Ticket == 0 || q.Ticket == known.Ticket) && (q.WorkItem == 0 || q.WorkItem == known.WorkItem) &&
		(q.From.IsZero() || !known.Updated.Before(q.From)) && (q.Before.IsZero() || known.Updated.Before(q.Before))
}

// position is a place in an order, as a page token tells it.
type position struct {
	Score  float64 `json:"s"`
	Ticket string  `json:"t"`
	// Query is the fingerprint of what was asked for.
	Query string `json:"q"`
}

// compare orders places as Redis does.
func compare(aScore float64, aTicket string, b position) int {
	return cmp.Or(cmp.Compare(aScore, b.Score), cmp.Compare(aTicket, b.Ticket))
}

func (q Query) fingerprint() string {
	text, err := json.Marshal(q)
	if err != nil {
		return "" // plain values can always be encoded
	}
	h := fnv.New64a()
	_, _ = h.Write(text) // a hash takes everything
	return strconv.FormatUint(h.Sum64(), 36)
}

func (q Query) token(at position) (string, error) {
	at.Query = q.fingerprint()
	text, err := json.Marshal(at)
	return base64.RawURLEncoding.EncodeToString(text), err
}

func (q Query) position(token string) (*position, error) {
	if token == "" {
		return nil, nil //nolint:nilnil // no token: the beginning
	}
	var at position
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(text, &at)
	}
	if err != nil || at.Query != q.fingerprint() {
		return nil, fault.New(fault.Invalid, "The page token is none that Tandem gave out for this filter and order; start with the first page.")
	}
	return &at, nil
}

// Query returns the links that q wants, and the token of the next page, which is empty
// on the last. pageSize is brought between 1 and MaxPageSize. A page may be shorter than
// asked for; its cost does not grow with the number of links. Links made or deleted
// meanwhile don't shift it, nor do changed ones but in the order ByUpdate, where they
// move.
func (l *Links) Query(ctx context.Context, connector string, q Query, pageSize int, pageToken string) ([]item.Link, string, error) {
	pageSize = min(max(pageSize, 1), MaxPageSize)
	q.Order = cmp.Or(q.Order, ByTicket)
	if q.Ticket != 0 || q.WorkItem != 0 {
		return l.queryOne(ctx, connector, q, pageToken)
	}
	if len(q.States) == 0 && q.Order == ByTicket && !q.Descending {
		return l.List(ctx, connector, pageSize, pageToken)
	}
	at, err := q.position(pageToken)
	if err != nil {
		return nil, "", err
	}
	if err := l.complete(ctx, connector); err != nil {
		return nil, "", err
	}
	// Entries whose links have moved on are mended in passing; some in a row don't make
	// an empty page yet, but many must not make a slow one.
	const rounds = 4
	links := make([]item.Link, 0, pageSize)
	for range rounds {
		wanted := pageSize - len(links)
		found, more, err := l.entries(ctx, connector, q, at, wanted)
		if err != nil {
			return nil, "", err
		}
		confirmed, err := l.confirmed(ctx, connector, q, found)
		if err != nil {
			return nil, "", err
		}
		links = append(links, confirmed...)
		if !more {
			return links, "", nil
		}
		last := found[len(found)-1]
		at = &position{Score: last.score, Ticket: last.ticket}
		if len(links) >= pageSize {
			break
		}
	}
	token, err := q.token(*at)
	return links, token, err
}

// queryOne answers a question about a single ticket or work item.
func (l *Links) queryOne(ctx context.Context, connector string, q Query, pageToken string) ([]item.Link, string, error) {
	if pageToken != "" {
		return nil, "", fault.New(fault.Invalid, "The page token is none that Tandem gave out for this filter and order; start with the first page.")
	}
	ticket := q.Ticket
	if ticket == 0 {
		of, linked, err := l.TicketOf(ctx, connector, q.WorkItem)
		if err != nil || !linked {
			return nil, "", err
		}
		ticket = of
	}
	known, err := l.Get(ctx, connector, ticket)
	if err != nil || !q.matches(known) {
		return nil, "", err
	}
	return []item.Link{known}, "", nil
}

// found is an entry of the index of states.
type found struct {
	state  item.LinkState
	score  float64
	ticket string
}

// entries returns the next n entries behind a place, in order, and tells whether more
// follow.
func (l *Links) entries(ctx context.Context, connector string, q Query, behind *position, n int) ([]found, bool, error) {
	wanted := q.States
	if len(wanted) == 0 {
		wanted = states()
	}
	least, most := "-inf", "+inf"
	if !q.From.IsZero() {
		least = scoreText(timeScore(q.From))
	}
	if !q.Before.IsZero() {
		most = "(" + scoreText(timeScore(q.Before))
	}
	var all []found
	for _, state := range wanted {
		of, err := l.entriesOf(ctx, connector, q, state, behind, least, most, n+1)
		if err != nil {
			return nil, false, err
		}
		all = append(all, of...)
	}
	slices.SortFunc(all, func(a, b found) int {
		order := compare(a.score, a.ticket, position{Score: b.score, Ticket: b.ticket})
		if q.Descending {
			order = -order
		}
		return cmp.Or(order, cmp.Compare(a.state, b.state))
	})
	// A ticket may still be entered under a state that it left: both are met before the
	// place moves behind it.
	end := min(n, len(all))
	for end > 0 && end < len(all) && all[end].ticket == all[end-1].ticket && all[end].score == all[end-1].score {
		end++
	}
	return all[:end], end < len(all), nil
}

// entriesOf is entries of one state.
func (l *Links) entriesOf(ctx context.Context, connector string, q Query, state item.LinkState, behind *position, least, most string, n int) ([]found, error) {
	if behind != nil {
		if q.Descending {
			most = scoreText(behind.Score)
		} else {
			least = scoreText(behind.Score)
		}
	}
	from, to := least, most
	if q.Descending {
		from, to = most, least
	}
	var kept []found
	// Entries at the very place of the last one come again and are passed over.
	for offset := int64(0); ; {
		part, err := l.store.Client().ZRangeArgsWithScores(ctx, redis.ZRangeArgs{
			Key: l.stateKey(connector, state, q.Order), ByScore: true, Rev: q.Descending,
			Start: from, Stop: to, Offset: offset, Count: int64(n) + 1,
		}).Result()
		if err != nil {
			return nil, datastore.Fault(err, "reading index of states")
		}
		for _, z := range part {
			ticket, _ := z.Member.(string)
			if behind != nil {
				order := compare(z.Score, ticket, *behind)
				if q.Descending && order >= 0 || !q.Descending && order <= 0 {
					continue
				}
			}
			kept = append(kept, found{state: state, score: z.Score, ticket: ticket})
		}
		if offset += int64(len(part)); len(part) <= n || len(kept) >= n {
			return kept, nil
		}
	}
}

// confirmed reads the links that entries name, in their order, and mends the entries
// whose links have moved on and are at rest.
func (l *Links) confirmed(ctx context.Context, connector string, q Query, entries []found) ([]item.Link, error) {
	tickets := make([]int64, len(entries))
	for i, entry := range entries {
		ticket, err := strconv.ParseInt(entry.ticket, 10, 64)
		if err != nil {
			return nil, fault.Wrap(err, fault.Internal, "The index of links holds %q, which is no ticket.", entry.ticket)
		}
		tickets[i] = ticket
	}
	known, err := l.GetMany(ctx, connector, tickets)
	if err != nil {
		return nil, err
	}
	links := make([]item.Link, 0, len(entries))
	var stray []int
	for i, entry := range entries {
		one := known[tickets[i]]
		if one.State == entry.state && score(one, q.Order) == entry.score && q.matches(one) {
			links = append(links, one)
			continue
		}
		stray = append(stray, i)
	}
	if len(stray) == 0 {
		return links, nil
	}
	return links, l.mend(ctx, connector, entries, tickets, stray)
}

// mend puts stray entries right, unless somebody is about to write their links.
func (l *Links) mend(ctx context.Context, connector string, entries []found, tickets []int64, stray []int) error {
	of := make([]int64, len(stray))
	pipe := l.store.Client().Pipeline()
	seen := make([]*redis.FloatCmd, len(stray))
	for i, at := range stray {
		of[i] = tickets[at]
		seen[i] = pipe.ZScore(ctx, l.stateKey(connector, entries[at].state, ByUpdate), entries[at].ticket)
	}
	if _, err := pipe.Exec(ctx); err != nil && !datastore.Missing(err) {
		return datastore.Fault(err, "reading index of states")
	}
	free, err := l.idle(ctx, connector, of)
	if err != nil {
		return err
	}
	for i, at := range stray {
		if !free[of[i]] || seen[i].Err() != nil {
			continue
		}
		// What was read before it was known that nobody writes may be old.
		one, err := l.Get(ctx, connector, of[i])
		if err != nil {
			return err
		}
		one.Connector, one.Ticket = connector, of[i]
		if err := l.fixState(ctx, one, entries[at].state, scoreText(seen[i].Val())); err != nil {
			return err
		}
	}
	return nil
}
