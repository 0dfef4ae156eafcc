package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
)

// How event ids are remembered: as numbers in sets, one set for each bucket and half of
// the dedup window. An id is looked for in the sets of this half and of the two before, and
// a set ends with the third half after its own; so an id is known for one to one and a half
// windows.
//
// Redis keeps a set of up to 512 numbers as a sorted array of 8 bytes each
// (set-max-intset-entries), so an id costs about 11 bytes where a million came, against
// about 130 with a key for each. From 8 million within 36 hours on the sets outgrow that,
// and an id costs what it did.
//
// The number is half of a SHA-256 prefix and the bucket another 14 bits of it. Two ids that
// agree in those 78 bits would cost one hint, which the next poll finds again.

// buckets is a power of two.
const buckets = 1 << 14

// seen is where an id is remembered: its bucket, and its number within; empty for no id.
func seen(id string) (string, string) {
	if id == "" {
		return "", ""
	}
	sum := sha256.Sum256([]byte(id))
	return place16(sum[:])
}

// place16 reads bucket and number from the first bytes of a digest.
func place16(digest []byte) (string, string) {
	bucket := binary.BigEndian.Uint16(digest[8:]) % buckets
	number := int64(binary.BigEndian.Uint64(digest)) //nolint:gosec // all bits are wanted
	return strconv.Itoa(int(bucket)), strconv.FormatInt(number, 10)
}

// half is half the dedup window, in milliseconds.
func (o Options) half() int64 { return max(1, (o.DedupWindow.Milliseconds()+1)/2) }

// Steps bring the inbox of an older store to this layout.
func Steps() []datastore.Step {
	return []datastore.Step{{
		// Builds that know layout 1 alone remember ids apart, which costs a reading each.
		To: compactLayout, Readable: 1, Run: compact,
	}}
}

// compactLayout is the first layout that remembers ids in sets.
const compactLayout = 2

// compact moves ids from a key each into the sets. What it moved it does not meet again, so
// it goes on where it was stopped, and two of it do no harm.
func compact(ctx context.Context, store *datastore.Store) error {
	core, err := sources.ReadFile("lua/core.lua")
	if err != nil {
		return fmt.Errorf("reading script core: %w", err)
	}
	body, err := sources.ReadFile("lua/compact.lua")
	if err != nil {
		return fmt.Errorf("reading script compact: %w", err)
	}
	script := redis.NewScript(string(core) + string(body))
	b := newKeys(store)
	half := Options{}.withDefaults().half()
	const batch = 500
	return store.Scan(ctx, datastore.InboxTag, b.prefix+"seen:*", batch, func(ctx context.Context, keys []string) error {
		args := []any{b.prefix, half}
		for _, key := range keys {
			name := strings.TrimPrefix(key, b.prefix+"seen:")
			digest, err := base64.RawURLEncoding.DecodeString(name)
			if err != nil || len(digest) < 10 {
				continue // none of ours; it ends by itself
			}
			bucket, number := place16(digest)
			args = append(args, name, bucket, number)
		}
		return datastore.Fault(script.Run(ctx, store.Client(), b.fixed, args...).Err(), "compacting event ids")
	})
}

// layout is the names of the inbox' keys: prefix begins each, fixed are those that every
// script is given.
type layout struct {
	prefix string
	fixed  []string
}

func newKeys(store *datastore.Store) layout {
	key := func(name string) string { return store.Key(datastore.InboxTag, name) }
	return layout{prefix: key(""), fixed: []string{key("live"), key("background"), key("due"), key("running"), key("age")}}
}
