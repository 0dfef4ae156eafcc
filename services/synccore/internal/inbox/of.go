package inbox

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// mostLetters is how many dead letters of one item Of returns at most.
const mostLetters = 10

// Of returns the records of one item: the one that waits or is served, if there is one,
// and its newest dead letters. It goes through the connector's dead letters, of which
// there are only so many, and is for people who ask.
func (b *Inbox) Of(ctx context.Context, k item.Key) ([]Record, error) {
	var records []Record
	present, found, err := b.current(ctx, k, "")
	if err != nil {
		return nil, err
	}
	if found {
		records = append(records, present)
	}
	const batch = 1000
	var members []string
	pattern := "*:" + idPrefix(k) + "-*"
	for cursor := uint64(0); ; {
		// Members and scores by turns.
		part, next, err := b.store.Client().ZScan(ctx, b.prefix+"dead:"+k.Connector, cursor, pattern, batch).Result()
		if err != nil {
			return nil, datastore.Fault(err, "looking for dead letters")
		}
		for i := 0; i < len(part); i += 2 {
			members = append(members, part[i])
		}
		if cursor = next; cursor == 0 {
			break
		}
	}
	slices.Sort(members) // by the time of death
	slices.Reverse(members)
	members = slices.Compact(members) // a scan may tell one twice
	for _, member := range members[:min(len(members), mostLetters)] {
		_, id, _ := strings.Cut(member, ":")
		fields, err := b.store.Client().HGetAll(ctx, b.prefix+"letter:"+k.Connector+"/"+id).Result()
		if err != nil {
			return nil, datastore.Fault(err, "reading dead letter")
		}
		if len(fields) == 0 {
			continue
		}
		letter, err := decodeLetter(fields)
		if err != nil {
			return nil, fmt.Errorf("reading dead letter %s: %w", id, err)
		}
		records = append(records, letter)
	}
	return records, nil
}

// idPrefix is how the public ids of an item's records begin.
func idPrefix(k item.Key) string {
	letter := "t"
	switch k.System {
	case item.AzureDevOps:
		letter = "w"
	case item.Notices:
		letter = "n"
	case item.Alvao:
	}
	return letter + strconv.FormatInt(k.ID, 10)
}
