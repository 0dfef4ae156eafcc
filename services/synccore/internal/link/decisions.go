package link

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
)

const (
	// DecisionsKept is how many of an item's last decisions can be read, for decisionsFor.
	DecisionsKept = 3
	decisionsFor  = 72 * time.Hour
	// requestsFor is how long a request id is known.
	requestsFor = 24 * time.Hour
)

func (l *Links) decisionsKey(k item.Key) string { return l.store.Key(lease.Tag(k), "decisions") }

// NoteDecision keeps what a look at an item came to, in place of the oldest one kept.
func (l *Links) NoteDecision(ctx context.Context, k item.Key, d item.Decision) error {
	text, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encoding decision: %w", err)
	}
	key := l.decisionsKey(k)
	_, err = l.store.Client().Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.LPush(ctx, key, text)
		pipe.LTrim(ctx, key, 0, DecisionsKept-1)
		pipe.Expire(ctx, key, decisionsFor)
		return nil
	})
	return datastore.Fault(err, "writing decision")
}

// Decisions returns what the last looks at an item came to, the newest first.
func (l *Links) Decisions(ctx context.Context, k item.Key) ([]item.Decision, error) {
	texts, err := l.store.Client().LRange(ctx, l.decisionsKey(k), 0, -1).Result()
	if err != nil {
		return nil, datastore.Fault(err, "reading decisions")
	}
	decisions := make([]item.Decision, 0, len(texts))
	for _, text := range texts {
		var d item.Decision
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			return nil, fmt.Errorf("decoding decision: %w", err)
		}
		decisions = append(decisions, d)
	}
	return decisions, nil
}

// ClaimRequest notes under an id of the caller's what a request asks for, and tells whether
// that was noted before. It fails with fault.Refused if the id stands for another one already.
func (l *Links) ClaimRequest(ctx context.Context, connector, id, asks string) (bool, error) {
	known, err := l.store.Client().SetArgs(ctx, l.requestKey(connector, id), asks, redis.SetArgs{Mode: "NX", Get: true, TTL: requestsFor}).Result()
	switch {
	case datastore.Missing(err):
		return false, nil
	case err != nil:
		return false, datastore.Fault(err, "noting request id")
	case known == asks:
		return true, nil
	}
	return false, fault.New(fault.Refused, "The request id %q was used for another request; choose a new one.", id)
}

// ReleaseRequest forgets an id that the caller claimed first, because nothing came of its
// request.
func (l *Links) ReleaseRequest(ctx context.Context, connector, id string) error {
	return datastore.Fault(l.store.Client().Del(ctx, l.requestKey(connector, id)).Err(), "forgetting request id")
}

func (l *Links) requestKey(connector, id string) string {
	return l.store.Key("links/"+connector, "request/"+id)
}
