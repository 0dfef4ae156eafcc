package link

import (
	"context"
	_ "embed" // the script
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
)

//go:embed lua/mirror.lua
var mirrorLua string

//go:embed lua/since.lua
var sinceLua string

func (l *Links) mirrorsKey(k item.Key) string { return l.store.Key(lease.Tag(k), "mirrors") }

// sinceField is the field beside the sources that holds when the memory began. It lies in
// the same key, so that it is lost with what it speaks of. Builds that don't know it take
// its {"ms":…} for a mirror that stands nowhere, which they leave alone: during a rolling
// update, and after one that was taken back, they work on the same links.
const sinceField = "since"

// sinceOf reads what sinceField holds: {"ms":…}, or the milliseconds alone.
func sinceOf(text string) (time.Time, error) {
	var noted struct {
		MS int64 `json:"ms"`
	}
	if at, err := strconv.ParseInt(text, 10, 64); err == nil {
		return time.UnixMilli(at).UTC(), nil
	}
	if err := json.Unmarshal([]byte(text), &noted); err != nil {
		return time.Time{}, fmt.Errorf("decoding since when mirrors are remembered: %w", err)
	}
	return time.UnixMilli(noted.MS).UTC(), nil
}

// Memory returns what is remembered of a ticket's mirrored messages and files. It is
// empty for a ticket without any.
func (l *Links) Memory(ctx context.Context, connector string, ticket int64) (item.Memory, error) {
	texts, err := l.store.Client().HGetAll(ctx, l.mirrorsKey(TicketKey(connector, ticket))).Result()
	if err != nil {
		return item.Memory{}, datastore.Fault(err, "reading mirrors")
	}
	memory := item.Memory{Mirrors: make(map[string]item.Mirror, len(texts))}
	for source, text := range texts {
		if source == sinceField {
			if memory.Since, err = sinceOf(text); err != nil {
				return item.Memory{}, err
			}
			continue
		}
		var mirror item.Mirror
		if err := json.Unmarshal([]byte(text), &mirror); err != nil {
			return item.Memory{}, fmt.Errorf("decoding stored mirror of %s: %w", source, err)
		}
		memory.Mirrors[source] = mirror
	}
	return memory, nil
}

// BeginMemory notes that the memory of a ticket's messages begins now, unless that was
// noted before, and returns when it began. It fails with fault.Conflict when held has
// ended. Put does the same for a link that is new.
func (l *Links) BeginMemory(ctx context.Context, held lease.Lease) (time.Time, error) {
	at, err := l.remember.Run(ctx, l.store.Client(), []string{l.mirrorsKey(held.Key), lease.KeyOf(l.store, held.Key)}, held.Token).Text()
	if err != nil {
		return time.Time{}, datastore.Fault(err, "noting since when mirrors are remembered")
	}
	if at == "" {
		return time.Time{}, lease.Lost(held.Key)
	}
	return sinceOf(at)
}

// PutMirror remembers the mirror of one source, and in the same step makes its notice
// due if the mirror asks for that and stands; the wish is not kept then. It fails with
// fault.Conflict, and stores nothing, when held has ended. Repeating it is harmless. That
// something is about to be posted is at a replica, where there are any, before it returns.
func (l *Links) PutMirror(ctx context.Context, held lease.Lease, source string, mirror item.Mirror) error {
	var notice []byte
	if !mirror.Notify.IsZero() && mirror.Stands() {
		var err error
		if notice, err = encodeNotice(item.Notice{Due: mirror.Notify}); err != nil {
			return err
		}
		mirror.Notify = time.Time{}
	}
	text, err := json.Marshal(mirror)
	if err != nil {
		return fmt.Errorf("encoding mirror: %w", err)
	}
	stored, err := l.mirror.Run(ctx, l.store.Client(),
		[]string{l.mirrorsKey(held.Key), lease.KeyOf(l.store, held.Key), l.noticesKey(held.Key)}, held.Token, source, text, notice).Int()
	if err != nil {
		return datastore.Fault(err, "writing mirror")
	}
	if stored == 0 {
		return lease.Lost(held.Key)
	}
	if mirror.Posting.IsZero() && mirror.Changing.IsZero() {
		return nil
	}
	// That it is about to be posted outlives a fail-over before it is.
	return l.store.AwaitReplicas(ctx, lease.Tag(held.Key))
}
