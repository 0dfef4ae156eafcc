package convergetest_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
)

// memory is the Redis of a world, whose time is the bubble's.
type memory interface {
	// address is how it is opened.
	address() datastore.Options
	// pass lets keys expire, so much time having passed.
	pass(d time.Duration) error
	// flush empties it.
	flush() error
	// ready tells whether a look into the inbox would find anything.
	ready(store *datastore.Store) bool
	// away tells that nobody can be asked now.
	away() bool
	close()
}

// embedded is a Redis at the end of a pipe.
type embedded struct{ *miniredis.Miniredis }

func inMemory() memory { return embedded{miniredis.NewMiniRedis()} }

func (e embedded) address() datastore.Options {
	return datastore.Options{URL: "redis://memory", AllowVolatile: true, Dial: e.dial}
}

// dial connects to Redis. What is written is taken at once, as a system's buffers do: the
// pipe itself has none, and a client that sends many commands before it reads an answer
// would wait for a server that waits for it.
func (e embedded) dial(context.Context, string, string) (net.Conn, error) {
	conn, err := e.Dial()
	if err != nil {
		return nil, err
	}
	b := &buffered{Conn: conn, out: make(chan []byte, 1<<12), ended: make(chan struct{})}
	go b.pump()
	return b, nil
}

// buffered is a connection whose Write does not wait for the reader.
type buffered struct {
	net.Conn

	out   chan []byte
	once  sync.Once
	ended chan struct{}
}

func (b *buffered) pump() {
	for {
		select {
		case text := <-b.out:
			if _, err := b.Conn.Write(text); err != nil {
				_ = b.Close()
				return
			}
		case <-b.ended:
			return
		}
	}
}

// Write implements net.Conn.
func (b *buffered) Write(text []byte) (int, error) {
	select {
	case b.out <- slices.Clone(text):
		return len(text), nil
	case <-b.ended:
		return 0, net.ErrClosed
	}
}

// Close implements net.Conn.
func (b *buffered) Close() error {
	b.once.Do(func() { close(b.ended) })
	return b.Conn.Close()
}

func (e embedded) pass(d time.Duration) error { e.FastForward(d); return nil }
func (e embedded) flush() error               { e.FlushAll(); return nil }
func (e embedded) away() bool                 { return false }
func (e embedded) close()                     { e.Close() }

// ready looks into Redis past its protocol, which costs next to nothing.
func (e embedded) ready(store *datastore.Store) bool {
	for _, lane := range lanes() {
		if entries, err := e.Stream(store.Key(datastore.InboxTag, lane)); err == nil && len(entries) > 0 {
			return true
		}
	}
	now := float64(time.Now().UnixMilli())
	for _, set := range timed() {
		// Not SortedSet, whose map goes on changing.
		key := store.Key(datastore.InboxTag, set)
		members, _ := e.ZMembers(key)
		for _, member := range members {
			if at, err := e.ZScore(key, member); err == nil && at <= now {
				return true
			}
		}
	}
	return false
}

// lanes are the inbox's streams, and timed its sets of what is ready at a time.
func lanes() []string { return []string{"live", "background"} }
func timed() []string { return []string{"due", "running"} }

// watch has all commands of a store pass by a hook. Those of a cluster do at its nodes: what
// is written to one of them alone would not pass by the cluster.
func watch(ctx context.Context, store *datastore.Store, hook redis.Hook) error {
	all, ok := store.Client().(*redis.ClusterClient)
	if !ok {
		store.Client().AddHook(hook)
		return nil
	}
	all.OnNewNode(func(node *redis.Client) { node.AddHook(hook) })
	err := all.ForEachShard(ctx, func(_ context.Context, node *redis.Client) error {
		node.AddHook(hook)
		return nil
	})
	if err != nil {
		return fmt.Errorf("listing the cluster's nodes: %w", err)
	}
	return nil
}
