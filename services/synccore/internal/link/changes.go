package link

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// ChangesKept is about how many of the newest changes of a connector's links can be
// read.
const ChangesKept = 10_000

// beginning is the place before the first change.
const beginning = "0-0"

// Change tells that a link was written.
type Change struct {
	// Position is the place in the order of changes.
	Position string
	Ticket   int64
	// Version is what the link's became if the write was not refused; 0: it was deleted.
	Version int64
}

func (l *Links) changesKey(connector string) string {
	return l.store.Key("links/"+connector, "changes")
}

// announce has a change told by pipe, right after the write. One that is refused is told
// of all the same.
func (l *Links) announce(ctx context.Context, pipe redis.Cmdable, connector string, ticket, version int64) *redis.StringCmd {
	return pipe.XAdd(ctx, &redis.XAddArgs{
		Stream: l.changesKey(connector), MaxLen: ChangesKept, Approx: true,
		Values: []any{"t", strconv.FormatInt(ticket, 10), "v", strconv.FormatInt(version, 10)},
	})
}

// LastChange is the place of the newest change.
func (l *Links) LastChange(ctx context.Context, connector string) (string, error) {
	last, err := l.store.Client().XRevRangeN(ctx, l.changesKey(connector), "+", "-", 1).Result()
	if err != nil {
		return "", datastore.Fault(err, "reading changes of links")
	}
	if len(last) == 0 {
		return beginning, nil
	}
	return last[0].ID, nil
}

var positionForm = regexp.MustCompile(`^[0-9]{1,18}-[0-9]{1,18}$`)

// Changes returns the next n changes behind a place, oldest first. It fails with
// fault.Invalid for a place that Tandem did not give out, and with fault.NotFound where
// some of the changes behind it are not kept any more.
func (l *Links) Changes(ctx context.Context, connector, behind string, n int) ([]Change, error) {
	if !positionForm.MatchString(behind) {
		return nil, fault.New(fault.Invalid, "The resume token is none that Tandem gave out.")
	}
	key := l.changesKey(connector)
	pipe := l.store.Client().Pipeline()
	entries := pipe.XRangeN(ctx, key, "("+behind, "+", int64(n))
	first := pipe.XRangeN(ctx, key, "-", "+", 1)
	length := pipe.XLen(ctx, key)
	at := pipe.XRangeN(ctx, key, behind, behind, 1)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, datastore.Fault(err, "reading changes of links")
	}
	// A place that is not there was trimmed, or is of a store that was lost or restored since.
	lost := behind != beginning && len(at.Val()) == 0
	if oldest := first.Val(); lost || length.Val() >= ChangesKept && len(oldest) == 1 && before(behind, oldest[0].ID) {
		return nil, fault.New(fault.NotFound, "What changed since the resume token is not kept any more; list the links and watch anew.")
	}
	changes := make([]Change, 0, len(entries.Val()))
	for _, entry := range entries.Val() {
		ticket, version := number(entry.Values["t"]), number(entry.Values["v"])
		changes = append(changes, Change{Position: entry.ID, Ticket: ticket, Version: version})
	}
	return changes, nil
}

// before tells whether one place of a stream comes before another.
func before(a, b string) bool {
	aTime, aCount, _ := strings.Cut(a, "-")
	bTime, bCount, _ := strings.Cut(b, "-")
	if aTime != bTime {
		return number(aTime) < number(bTime)
	}
	return number(aCount) < number(bCount)
}

func number(value any) int64 {
	text, _ := value.(string)
	n, _ := strconv.ParseInt(text, 10, 64) // only announce writes them
	return n
}
