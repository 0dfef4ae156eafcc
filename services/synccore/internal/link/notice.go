package link

import (
	"context"
	_ "embed" // the script
	"encoding/json"
	"fmt"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
)

//go:embed lua/notice.lua
var noticeLua string

func (l *Links) noticesKey(k item.Key) string { return l.store.Key(lease.Tag(k), "notices") }

// Notices returns what is and was owed to the solver of a ticket, by the name of the
// message's source. It is empty for a ticket without any.
func (l *Links) Notices(ctx context.Context, connector string, ticket int64) (map[string]item.Notice, error) {
	texts, err := l.store.Client().HGetAll(ctx, l.noticesKey(TicketKey(connector, ticket))).Result()
	if err != nil {
		return nil, datastore.Fault(err, "reading notices")
	}
	notices := make(map[string]item.Notice, len(texts))
	for source, text := range texts {
		var notice item.Notice
		if err := json.Unmarshal([]byte(text), &notice); err != nil {
			return nil, fmt.Errorf("decoding stored notice of %s: %w", source, err)
		}
		notices[source] = notice
	}
	return notices, nil
}

// PutNotice stores next in place of known, adds changes (oldest first) to the link's
// history in the same step, and tells whether it did: false means that another notice is
// stored than known, or none, because somebody else was faster or the link is gone. It
// needs no lease, since it says what it replaces. Repeating it is harmless.
func (l *Links) PutNotice(ctx context.Context, connector string, ticket int64, source string, known, next item.Notice, changes ...item.LinkChange) (bool, error) {
	k := TicketKey(connector, ticket)
	old, err := encodeNotice(known)
	if err != nil {
		return false, err
	}
	text, err := encodeNotice(next)
	if err != nil {
		return false, err
	}
	entries, err := encodeChanges(changes)
	if err != nil {
		return false, err
	}
	stored, err := l.notice.Run(ctx, l.store.Client(), []string{l.noticesKey(k), l.linkKey(k), l.historyKey(k)},
		append([]any{source, old, text, HistoryCap}, entries...)...).Int()
	if err != nil {
		return false, datastore.Fault(err, "writing notice")
	}
	return stored == 1, nil
}

// encodeNotice writes a notice in the one way in which it is compared.
func encodeNotice(n item.Notice) ([]byte, error) {
	if !n.Due.IsZero() {
		n.Due = n.Due.UTC().Round(0)
	}
	text, err := json.Marshal(n)
	if err != nil {
		return nil, fmt.Errorf("encoding notice: %w", err)
	}
	return text, nil
}
