// Package memo remembers answers for a while, so that what rarely changes is not
// read for every item.
//
// The one invariant: of many that ask for the same missing answer at once, one
// reads and all get what it read. Errors are never remembered.
package memo

import (
	"context"
	"errors"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
)

var errWrongType = errors.New("remembered answer has another type")

// Memo holds up to a fixed number of answers. Safe for use by many goroutines.
type Memo[V any] struct {
	ttl   time.Duration
	now   func() time.Time
	kept  *lru.Cache[string, entry[V]]
	calls singleflight.Group
}

type entry[V any] struct {
	value   V
	expires time.Time
}

// New makes a Memo that keeps at most size answers, each for ttl.
func New[V any](size int, ttl time.Duration, now func() time.Time) *Memo[V] {
	kept, err := lru.New[string, entry[V]](max(1, size))
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	return &Memo[V]{ttl: ttl, now: now, kept: kept}
}

// Get returns the remembered answer, else reads it. read gets a context that is not
// cancelled with ctx, because others may wait for the same answer; it must end by
// itself. A caller whose ctx ends does not wait for it.
func (m *Memo[V]) Get(ctx context.Context, key string, read func(context.Context) (V, error)) (V, error) {
	if v, ok := m.Known(key); ok {
		return v, nil
	}
	result := m.calls.DoChan(key, func() (any, error) {
		v, err := read(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		m.Put(key, v)
		return v, nil
	})
	var none V
	select {
	case r := <-result:
		if r.Err != nil {
			return none, r.Err
		}
		v, ok := r.Val.(V)
		if !ok {
			return none, errWrongType
		}
		return v, nil
	case <-ctx.Done():
		return none, ctx.Err()
	}
}

// Known returns an answer that is remembered already.
func (m *Memo[V]) Known(key string) (V, bool) {
	if e, ok := m.kept.Get(key); ok && m.now().Before(e.expires) {
		return e.value, true
	}
	var none V
	return none, false
}

// Put remembers an answer that was learned another way.
func (m *Memo[V]) Put(key string, v V) {
	m.kept.Add(key, entry[V]{value: v, expires: m.now().Add(m.ttl)})
}

// Forget drops one answer.
func (m *Memo[V]) Forget(key string) { m.kept.Remove(key) }

// ForgetAll drops every answer.
func (m *Memo[V]) ForgetAll() { m.kept.Purge() }
