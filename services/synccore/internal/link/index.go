package link

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
)

// MaxPageSize is how many links one List returns at most.
const MaxPageSize = 1000

func (l *Links) ticketsKey(connector string) string {
	return l.store.Key("links/"+connector, "tickets")
}

func (l *Links) workItemsKey(connector string) string {
	return l.store.Key("links/"+connector, "workitems")
}

// entry is a member of the index of tickets. All have the score 0, so that Redis
// orders them as text; the number is padded to stand in numeric order.
func entry(ticket int64, token string) string { return fmt.Sprintf("%019d:%s", ticket, token) }

// readEntry is the ticket and the token of an entry.
func readEntry(member string) (int64, string) {
	number, token, _ := strings.Cut(member, ":")
	ticket, _ := strconv.ParseInt(number, 10, 64) // only entry writes members
	return ticket, token
}

// index makes held's ticket known to List, and workItem (unless 0) to TicketOf.
func (l *Links) index(ctx context.Context, held lease.Lease, workItem int64) error {
	connector, token := held.Key.Connector, strconv.FormatInt(held.Token, 10)
	present, err := l.store.Client().HGet(ctx, l.linkKey(held.Key), "v").Result()
	if err != nil && !datastore.Missing(err) {
		return datastore.Fault(err, "reading link")
	}
	if present == "" {
		err := l.store.Client().ZAdd(ctx, l.ticketsKey(connector), redis.Z{Member: entry(held.Key.ID, token)}).Err()
		if err != nil {
			return datastore.Fault(err, "indexing ticket")
		}
	}
	if workItem == 0 {
		return nil
	}
	return l.claimWorkItem(ctx, held, workItem)
}

// claimWorkItem makes held's ticket the one of workItem, unless another ticket is or
// is about to be.
func (l *Links) claimWorkItem(ctx context.Context, held lease.Lease, workItem int64) error {
	connector := held.Key.Connector
	field := strconv.FormatInt(workItem, 10)
	mine := strconv.FormatInt(held.Key.ID, 10) + ":" + strconv.FormatInt(held.Token, 10)
	present, err := l.store.Client().HGet(ctx, l.workItemsKey(connector), field).Result()
	if err != nil && !datastore.Missing(err) {
		return datastore.Fault(err, "reading claim of work item")
	}
	if present != "" && present != mine {
		number, token, _ := strings.Cut(present, ":")
		other, _ := strconv.ParseInt(number, 10, 64) // only this function writes claims
		if err := l.disputed(ctx, connector, other, token, workItem); err != nil {
			return err
		}
	}
	won, err := l.claim.Run(ctx, l.store.Client(), []string{l.workItemsKey(connector)}, field, present, mine).Int()
	if err != nil {
		return datastore.Fault(err, "claiming work item")
	}
	if won == 0 {
		return busy(workItem)
	}
	return nil
}

// disputed returns a fault when an older claim is alive. The lease is read before the
// link: once the lease is over, no link can be written under it.
func (l *Links) disputed(ctx context.Context, connector string, other int64, token string, workItem int64) error {
	k := TicketKey(connector, other)
	valid, err := l.store.Client().Get(ctx, lease.KeyOf(l.store, k)).Result()
	if err != nil && !datastore.Missing(err) {
		return datastore.Fault(err, "reading lease of other ticket")
	}
	known, err := l.Get(ctx, connector, other)
	if err != nil {
		return err
	}
	if known.WorkItem == workItem {
		return fault.New(fault.Conflict,
			"Work item %d already belongs to ticket %d; delete that link first, or choose another work item.", workItem, other)
	}
	if valid == token {
		return busy(workItem)
	}
	return nil
}

func busy(workItem int64) error {
	return fault.New(fault.Conflict, "Another ticket is just being linked with work item %d; it is tried again.", workItem)
}

// unindex drops the index entries of a link that was deleted under held; creator and
// workItem are what the link had stored.
func (l *Links) unindex(ctx context.Context, held lease.Lease, creator, workItem string) error {
	if creator == "" {
		return nil
	}
	client, connector := l.store.Client(), held.Key.Connector
	// Exactly the deleted link's entry: a link made anew meanwhile has another token.
	if err := client.ZRem(ctx, l.ticketsKey(connector), entry(held.Key.ID, creator)).Err(); err != nil {
		return datastore.Fault(err, "dropping ticket from index")
	}
	if workItem == "" || workItem == "0" {
		return nil
	}
	claimed, err := client.HGet(ctx, l.workItemsKey(connector), workItem).Result()
	if datastore.Missing(err) {
		return nil
	}
	if err != nil {
		return datastore.Fault(err, "reading claim of work item")
	}
	number, text, _ := strings.Cut(claimed, ":")
	token, _ := strconv.ParseInt(text, 10, 64) // only claimWorkItem writes claims
	// A claim made anew for the ticket after the deletion has a greater token.
	if number != strconv.FormatInt(held.Key.ID, 10) || token > held.Token {
		return nil
	}
	err = l.claim.Run(ctx, client, []string{l.workItemsKey(connector)}, workItem, claimed, "").Err()
	return datastore.Fault(err, "dropping claim of work item")
}

// Reindex makes sure that the links of tickets are in the index, and their work items
// claimed. On a cluster the index lies on a node of its own, and a fail-over there may lose
// entries of links that another node keeps. It writes nothing where nothing is missing; an
// entry of a link that is deleted meanwhile is dead, as any other.
func (l *Links) Reindex(ctx context.Context, connector string, tickets []int64) error {
	if len(tickets) == 0 {
		return nil
	}
	pipe := l.store.Client().Pipeline()
	stored := make([]*redis.SliceCmd, len(tickets))
	for i, ticket := range tickets {
		stored[i] = pipe.HMGet(ctx, l.linkKey(TicketKey(connector, ticket)), "c", "w")
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return datastore.Fault(err, "reading links")
	}
	var members, workItems, claims []string
	for i, ticket := range tickets {
		creator, _ := stored[i].Val()[0].(string)
		workItem, _ := stored[i].Val()[1].(string)
		if creator == "" {
			continue
		}
		members = append(members, entry(ticket, creator))
		if workItem != "" && workItem != "0" {
			workItems = append(workItems, workItem)
			claims = append(claims, strconv.FormatInt(ticket, 10)+":"+creator)
		}
	}
	if len(members) == 0 {
		return nil
	}
	pipe = l.store.Client().Pipeline()
	arguments := []any{"ZMSCORE", l.ticketsKey(connector)}
	for _, member := range members {
		arguments = append(arguments, member)
	}
	// As texts: which entry is missing must be told from one whose score is 0.
	listed := redis.NewSliceCmd(ctx, arguments...)
	_ = pipe.Process(ctx, listed) // told by Exec
	var claimed *redis.SliceCmd
	if len(workItems) > 0 {
		claimed = pipe.HMGet(ctx, l.workItemsKey(connector), workItems...)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return datastore.Fault(err, "comparing index of links")
	}
	pipe = l.store.Client().Pipeline()
	for i, at := range listed.Val() {
		if at == nil {
			pipe.ZAdd(ctx, l.ticketsKey(connector), redis.Z{Member: members[i]})
		}
	}
	if claimed != nil {
		for i, claim := range claimed.Val() {
			if claim == nil {
				pipe.HSetNX(ctx, l.workItemsKey(connector), workItems[i], claims[i])
			}
		}
	}
	if pipe.Len() == 0 {
		return nil
	}
	_, err := pipe.Exec(ctx)
	return datastore.Fault(err, "mending index of links")
}

// TicketOf returns the ticket whose link names workItem, and whether there is one.
func (l *Links) TicketOf(ctx context.Context, connector string, workItem int64) (int64, bool, error) {
	claimed, err := l.store.Client().HGet(ctx, l.workItemsKey(connector), strconv.FormatInt(workItem, 10)).Result()
	if datastore.Missing(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, datastore.Fault(err, "reading ticket of work item")
	}
	number, _, _ := strings.Cut(claimed, ":")
	ticket, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("decoding ticket of work item: %w", err)
	}
	known, err := l.Get(ctx, connector, ticket)
	if err != nil || known.WorkItem != workItem {
		return 0, false, err
	}
	return ticket, true, nil
}

// OfWorkItems returns the links that name any of the work items; most of a project's
// items have none, so it asks once for all.
func (l *Links) OfWorkItems(ctx context.Context, connector string, workItems []int64) ([]item.Link, error) {
	if len(workItems) == 0 {
		return nil, nil
	}
	fields := make([]string, len(workItems))
	for i, id := range workItems {
		fields[i] = strconv.FormatInt(id, 10)
	}
	claims, err := l.store.Client().HMGet(ctx, l.workItemsKey(connector), fields...).Result()
	if err != nil {
		return nil, datastore.Fault(err, "reading tickets of work items")
	}
	tickets := make([]int64, 0, len(claims))
	workItemOf := make(map[int64]int64, len(claims))
	for i, claim := range claims {
		text, claimed := claim.(string)
		if !claimed {
			continue
		}
		number, _, _ := strings.Cut(text, ":")
		ticket, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("decoding ticket of work item: %w", err)
		}
		tickets = append(tickets, ticket)
		workItemOf[ticket] = workItems[i]
	}
	known, err := l.GetMany(ctx, connector, tickets)
	if err != nil {
		return nil, err
	}
	links := make([]item.Link, 0, len(known))
	for ticket, link := range known {
		// A claim comes before its link does.
		if link.WorkItem == workItemOf[ticket] {
			links = append(links, link)
		}
	}
	return links, nil
}

// List returns links of a connector by ascending ticket number, and the token of the
// next page, which is empty on the last. pageSize is brought between 1 and
// MaxPageSize. A page may be shorter than asked for; its cost does not grow with the
// number of links, and links made or deleted meanwhile don't shift it.
func (l *Links) List(ctx context.Context, connector string, pageSize int, pageToken string) ([]item.Link, string, error) {
	pageSize = min(max(pageSize, 1), MaxPageSize)
	from := "-"
	if pageToken != "" {
		after, err := strconv.ParseInt(pageToken, 10, 64)
		if err != nil || after < 0 {
			return nil, "", fault.New(fault.Invalid, "The page token %q is none that Tandem gave out; start with the first page.", pageToken)
		}
		// ';' follows ':', so this is behind every entry of that ticket.
		from = fmt.Sprintf("(%019d;", after)
	}
	members, err := l.store.Client().ZRangeArgs(ctx, redis.ZRangeArgs{
		Key: l.ticketsKey(connector), ByLex: true, Start: from, Stop: "+", Count: int64(pageSize),
	}).Result()
	if err != nil {
		return nil, "", datastore.Fault(err, "listing links")
	}
	links, err := l.confirm(ctx, connector, members)
	if err != nil {
		return nil, "", err
	}
	if err := l.heal(ctx, connector, links); err != nil {
		return nil, "", err
	}
	next := ""
	if len(members) == pageSize {
		last, _ := readEntry(members[len(members)-1])
		next = strconv.FormatInt(last, 10)
	}
	return links, next, nil
}

// confirm reads the links that index members name, and drops members that are dead.
func (l *Links) confirm(ctx context.Context, connector string, members []string) ([]item.Link, error) {
	if len(members) == 0 {
		return nil, nil
	}
	pipe := l.store.Client().Pipeline()
	leases := make([]*redis.StringCmd, len(members))
	stored := make([]*redis.SliceCmd, len(members))
	for i, m := range members {
		ticket, _ := readEntry(m)
		k := TicketKey(connector, ticket)
		leases[i] = pipe.Get(ctx, lease.KeyOf(l.store, k))
		stored[i] = pipe.HMGet(ctx, l.linkKey(k), "v", "j", "c")
	}
	if _, err := pipe.Exec(ctx); err != nil && !datastore.Missing(err) {
		return nil, datastore.Fault(err, "reading links")
	}
	links := make([]item.Link, 0, len(members))
	var dead []any
	for i, m := range members {
		ticket, token := readEntry(m)
		values, err := stored[i].Result()
		if err != nil {
			return nil, datastore.Fault(err, "reading link")
		}
		creator, _ := values[2].(string)
		switch {
		case creator == token:
			known, err := decode(values)
			if err != nil {
				return nil, fmt.Errorf("reading link of ticket %d: %w", ticket, err)
			}
			links = append(links, known)
		case leases[i].Val() != token:
			dead = append(dead, m)
		}
	}
	if len(dead) == 0 {
		return links, nil
	}
	err := l.store.Client().ZRem(ctx, l.ticketsKey(connector), dead...).Err()
	return links, datastore.Fault(err, "dropping dead index entries")
}
