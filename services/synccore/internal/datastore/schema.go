package datastore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// firstLayout is that of stores that name none.
const firstLayout = 1

// Step brings what a store holds from one layout to the next.
type Step struct {
	// To is the layout that it makes, one more than the one before.
	To int
	// Readable is the oldest layout whose builds can still work with it: during a rolling
	// update both are at work, and an update may have to be taken back.
	Readable int
	// Run does it. It goes on where another one was stopped, and two at once do no harm.
	Run func(ctx context.Context, s *Store) error
}

const (
	upgradeLock = 30 * time.Second
	upgradeLook = 100 * time.Millisecond
)

// Fresh tells whether nothing was ever kept in the store.
func (s *Store) Fresh(ctx context.Context) (bool, error) {
	known, err := s.client.Exists(ctx, s.layoutKey()).Result()
	if err != nil {
		return false, Fault(err, "reading the store's layout")
	}
	if known > 0 {
		return false, nil
	}
	const batch = 1000
	err = s.Scan(ctx, InboxTag, s.Key(InboxTag, "*"), batch, func(_ context.Context, keys []string) error {
		if slices.ContainsFunc(keys, func(key string) bool { return key != s.aliveKey() }) {
			return errUsed
		}
		return nil
	})
	if errors.Is(err, errUsed) {
		return false, nil
	}
	return err == nil, err
}

// errUsed ends the look for a key.
var errUsed = errors.New("the store is in use")

// Upgrade brings the store to the layout of the last step, and tells from which it came.
// Of several processes one does it, and the others wait. It fails with
// fault.Misconfigured when a newer build has made the store one that this build can't work
// with, and as Open does.
func (s *Store) Upgrade(ctx context.Context, steps []Step) (int, error) {
	known := firstLayout
	if len(steps) > 0 {
		known = steps[len(steps)-1].To
	}
	from := 0
	for {
		stored, readable, err := s.layout(ctx)
		if err != nil {
			return 0, err
		}
		if from == 0 {
			from = stored
		}
		if readable > known {
			return from, fault.New(fault.Misconfigured,
				"A newer version of Tandem has stored its data in Redis in layout %d, and this one knows layouts up to %d; "+
					"start the newer version, or give this one another --redis-prefix.", stored, known)
		}
		if stored >= known {
			return from, nil
		}
		mine, err := s.upgrade(ctx, steps)
		if err != nil || mine {
			return from, err
		}
		select {
		case <-ctx.Done():
			return from, Fault(ctx.Err(), "waiting for another process to upgrade Redis")
		case <-time.After(upgradeLook):
		}
	}
}

// aliveKey is written to see whether the store takes anything.
func (s *Store) aliveKey() string { return s.Key(InboxTag, "alive") }

func (s *Store) layoutKey() string { return s.Key("schema", "layout") }

// layout is the store's layout, and the oldest whose builds can work with it.
func (s *Store) layout(ctx context.Context) (int, int, error) {
	values, err := s.client.HMGet(ctx, s.layoutKey(), "version", "readable").Result()
	if err != nil {
		return 0, 0, Fault(err, "reading the store's layout")
	}
	numbers := [2]int{firstLayout, firstLayout}
	for i, value := range values {
		text, is := value.(string)
		if !is {
			continue
		}
		if numbers[i], err = strconv.Atoi(text); err != nil {
			return 0, 0, fmt.Errorf("reading the store's layout: %w", err)
		}
	}
	return numbers[0], numbers[1], nil
}

// upgrade runs the steps that are missing, unless another process is at it.
func (s *Store) upgrade(ctx context.Context, steps []Step) (bool, error) {
	key, token := s.Key("schema", "lock"), rand.Text()
	won, err := s.client.SetNX(ctx, key, token, upgradeLock).Result()
	if err != nil {
		return false, Fault(err, "locking the store for its upgrade")
	}
	if !won {
		return false, nil
	}
	working, done := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { s.keepLock(working, key, token) })
	defer func() {
		done()
		renewing.Wait()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = whileOurs("DEL").Run(last, s.client, []string{key}, token).Err() // it ends by itself
	}()
	// Another one may have finished between the look and the lock.
	stored, _, err := s.layout(working)
	if err != nil {
		return false, err
	}
	for _, step := range steps {
		if step.To <= stored {
			continue
		}
		if err := step.Run(working, s); err != nil {
			return false, fmt.Errorf("upgrading the store to layout %d: %w", step.To, err)
		}
		if err := s.client.HSet(working, s.layoutKey(), "version", step.To, "readable", step.Readable).Err(); err != nil {
			return false, Fault(err, "noting the store's layout")
		}
	}
	return true, nil
}

// keepLock puts the end of the lock off until ctx ends.
func (s *Store) keepLock(ctx context.Context, key, token string) {
	ticker := time.NewTicker(upgradeLock / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			// Without it a second process may join in, which does no harm.
			_ = whileOurs("PEXPIRE").Run(ctx, s.client, []string{key}, token, upgradeLock.Milliseconds()).Err()
		}
	}
}

// whileOurs is a script that does something to a lock if it has the token.
func whileOurs(command string) *redis.Script {
	return redis.NewScript(`if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('` + command + `', KEYS[1], unpack(ARGV, 2))
end
return 0`)
}

// Scan gives f all keys of a tag's node that match a pattern, in batches of about so many.
// What is stored or dropped meanwhile may be left out or come twice.
func (s *Store) Scan(ctx context.Context, tag, pattern string, batch int64, f func(ctx context.Context, keys []string) error) error {
	client, err := s.nodeOf(ctx, s.Key(tag, ""))
	if err != nil {
		return Fault(err, "looking for keys")
	}
	for cursor := uint64(0); ; {
		var keys []string
		keys, cursor, err = client.Scan(ctx, cursor, pattern, batch).Result()
		if err != nil {
			return Fault(err, "looking for keys")
		}
		if len(keys) > 0 {
			if err := f(ctx, keys); err != nil {
				return err
			}
		}
		if cursor == 0 {
			return nil
		}
	}
}
