// Package lease lets one worker at a time change a ticket and its work item.
//
// Its one invariant: of two leases ever given out for one key, the later has the
// greater token, and at most one token is valid at any moment. A worker may be
// paused past its lease and not know it, so whoever writes checks the token in the
// same step as the write (package link does); the lease alone protects nothing.
//
// Time is Redis' time: the clocks of the replicas play no part.
package lease

import (
	"context"
	_ "embed" // the scripts
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

//go:embed lua/acquire.lua
var acquireLua string

//go:embed lua/renew.lua
var renewLua string

//go:embed lua/release.lua
var releaseLua string

// fenceMemory is how long the last token of an unused key is remembered. After it
// the clock alone keeps tokens rising, which holds unless the server's clock was
// set back by more than this.
const fenceMemory = 7 * 24 * time.Hour

// Lease is the right to change what Key names, for as long as it is renewed.
type Lease struct {
	Key item.Key
	// Token is greater than that of every earlier lease of Key; 0: no lease.
	Token int64
}

// Leases gives out leases. It is safe for concurrent use.
type Leases struct {
	store                   *datastore.Store
	acquire, renew, release *redis.Script
}

// New returns the leases kept in store.
func New(store *datastore.Store) *Leases {
	return &Leases{
		store:   store,
		acquire: redis.NewScript(acquireLua), renew: redis.NewScript(renewLua), release: redis.NewScript(releaseLua),
	}
}

// KeyOf is the Redis key that holds the valid token of k, as decimal text, while a
// lease is held. It shares its cluster slot with the other keys tagged Tag(k).
func KeyOf(store *datastore.Store, k item.Key) string { return store.Key(Tag(k), "lease") }

// Tag is the hash tag of everything that is written under a lease of k.
func Tag(k item.Key) string { return k.String() }

// Acquire takes the lease of k for ttl. It fails with fault.Conflict, and the time
// until the present lease ends as RetryAfter, when another holds it.
//
// When Redis' answer is lost after the lease was given, nobody holds it and it
// ends with its ttl.
func (l *Leases) Acquire(ctx context.Context, k item.Key, ttl time.Duration) (Lease, error) {
	return l.acquireAnd(ctx, k, ttl, nil)
}

// Also asks Redis more in the round trip that takes a lease, of keys with the lease's tag. It
// may be called twice, and is answered whether the lease is given or not.
type Also func(ctx context.Context, pipe redis.Pipeliner)

func (l *Leases) acquireAnd(ctx context.Context, k item.Key, ttl time.Duration, also Also) (Lease, error) {
	keys := []string{KeyOf(l.store, k), l.store.Key(Tag(k), "fence")}
	answer, err := l.take(ctx, keys, also, ttl.Milliseconds(), fenceMemory.Milliseconds()).Slice()
	if err != nil {
		return Lease{}, datastore.Fault(err, "acquiring lease")
	}
	if text, _ := answer[0].(string); text != "" {
		token, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return Lease{}, datastore.Fault(err, "reading lease token")
		}
		return Lease{Key: k, Token: token}, nil
	}
	left, _ := answer[1].(int64)
	return Lease{}, fault.New(fault.Conflict,
		"Another worker is changing %s %d; it is tried again when that one is done.", noun(k), k.ID).
		After(time.Duration(left) * time.Millisecond)
}

// take runs the script, and asks the rest right behind it.
func (l *Leases) take(ctx context.Context, keys []string, also Also, args ...any) *redis.Cmd {
	if also == nil {
		return l.acquire.Run(ctx, l.store.Client(), keys, args...)
	}
	together := func(run func(context.Context, redis.Scripter, []string, ...any) *redis.Cmd) *redis.Cmd {
		pipe := l.store.Client().Pipeline()
		taken := run(ctx, pipe, keys, args...)
		also(ctx, pipe)
		_, _ = pipe.Exec(ctx) // each answer has its own error
		return taken
	}
	taken := together(l.acquire.EvalSha)
	if redis.HasErrorPrefix(taken.Err(), "NOSCRIPT") {
		// A Redis that was just started knows no scripts.
		taken = together(l.acquire.Eval)
	}
	return taken
}

// Renew lets the lease end ttl from now. It fails with fault.Conflict when the lease
// has ended, even if nobody took it since.
func (l *Leases) Renew(ctx context.Context, held Lease, ttl time.Duration) error {
	n, err := l.renew.Run(ctx, l.store.Client(), []string{KeyOf(l.store, held.Key)}, held.Token, ttl.Milliseconds()).Int()
	return outcome(held, n, err, "renewing lease")
}

// Release ends the lease. It fails with fault.Conflict when it had ended before,
// which a worker that is done may ignore.
func (l *Leases) Release(ctx context.Context, held Lease) error {
	n, err := l.release.Run(ctx, l.store.Client(), []string{KeyOf(l.store, held.Key)}, held.Token).Int()
	return outcome(held, n, err, "releasing lease")
}

func outcome(held Lease, n int, err error, doing string) error {
	if err != nil {
		return datastore.Fault(err, doing)
	}
	if n == 0 {
		return Lost(held.Key)
	}
	return nil
}

// Lost is the fault of a worker whose lease of k has ended.
func Lost(k item.Key) error {
	return fault.New(fault.Conflict,
		"The worker that was changing %s %d was too slow and lost its turn; the item is read and compared again.", noun(k), k.ID)
}

func noun(k item.Key) string {
	if k.System == item.AzureDevOps {
		return "work item"
	}
	return "ticket"
}
