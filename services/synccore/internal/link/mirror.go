package link

import (
	"context"
	_ "embed" // the script
	"encoding/json"
	"fmt"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
)

//go:embed lua/mirror.lua
var mirrorLua string

func (l *Links) mirrorsKey(k item.Key) string { return l.store.Key(lease.Tag(k), "mirrors") }

// Mirrors returns what is remembered of a ticket's mirrored messages and files, by
// the name of their source. It is empty for a ticket without any.
func (l *Links) Mirrors(ctx context.Context, connector string, ticket int64) (map[string]item.Mirror, error) {
	texts, err := l.store.Client().HGetAll(ctx, l.mirrorsKey(TicketKey(connector, ticket))).Result()
	if err != nil {
		return nil, datastore.Fault(err, "reading mirrors")
	}
	mirrors := make(map[string]item.Mirror, len(texts))
	for source, text := range texts {
		var mirror item.Mirror
		if err := json.Unmarshal([]byte(text), &mirror); err != nil {
			return nil, fmt.Errorf("decoding stored mirror of %s: %w", source, err)
		}
		mirrors[source] = mirror
	}
	return mirrors, nil
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
	if mirror.Posting.IsZero() {
		return nil
	}
	// That it is about to be posted outlives a fail-over before it is.
	return l.store.AwaitReplicas(ctx, lease.Tag(held.Key))
}
