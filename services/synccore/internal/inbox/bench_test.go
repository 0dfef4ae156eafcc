package inbox_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// callers calls f, b.N times in all, from so many goroutines.
func callers(b *testing.B, many int, f func(n int64) error) {
	b.Helper()
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	for range many {
		all.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				if err := f(n); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "hints/s")
}

func event(n int64) item.Event {
	return item.Event{
		ID: strconv.FormatInt(n, 10), Key: key(n), Type: "workitem.updated", Received: time.Now(),
		Payload: []byte(strings.Repeat("x", 2000)),
	}
}

// BenchmarkAppend stores hints of as many items, gathered and each by itself.
func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{1, 256} {
		for _, many := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("batch=%d/callers=%d", batch, many), func(b *testing.B) {
				box, err := inbox.New(redistest.Start(b).Open(b), inbox.Options{MaxBatch: batch, MaxItems: 100_000_000})
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = box.Close() }()
				callers(b, many, func(n int64) error {
					_, err := box.Append(b.Context(), event(n))
					return err
				})
			})
		}
	}
}

// BenchmarkBare is what a bare handler does for each hint over a connection of its own:
// SET NX and XADD in one script, without items, states or coalescing.
func BenchmarkBare(b *testing.B) {
	script := redis.NewScript(`if redis.call('SET', KEYS[1], '1', 'NX', 'PX', ARGV[1]) then
  redis.call('XADD', KEYS[2], '*', 'e', ARGV[2])
end
return 1`)
	for _, many := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", many), func(b *testing.B) {
			store := redistest.Start(b).Open(b)
			callers(b, many, func(n int64) error {
				e := event(n)
				return script.Run(b.Context(), store.Client(),
					[]string{store.Key("bare", e.ID), store.Key("bare", "stream")}, time.Hour.Milliseconds(), e.Payload).Err()
			})
		})
	}
}

// BenchmarkServe takes items and finishes them.
func BenchmarkServe(b *testing.B) {
	for name, open := range map[string]func(*testing.B) *inbox.Inbox{
		"embedded": func(b *testing.B) *inbox.Inbox {
			b.Helper()
			box, err := inbox.New(redistest.Embedded(b), inbox.Options{})
			if err != nil {
				b.Fatal(err)
			}
			return box
		},
		"redis-server": func(b *testing.B) *inbox.Inbox {
			b.Helper()
			box, err := inbox.New(redistest.Start(b).Open(b), inbox.Options{})
			if err != nil {
				b.Fatal(err)
			}
			return box
		},
	} {
		b.Run(name, func(b *testing.B) {
			box := open(b)
			defer func() { _ = box.Close() }()
			var storing sync.WaitGroup
			for w := range int64(16) {
				storing.Go(func() {
					for n := w; n < int64(b.N); n += 16 {
						if _, err := box.Append(context.WithoutCancel(b.Context()), event(n+1)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			storing.Wait()
			var left atomic.Int64
			left.Store(int64(b.N))
			var serving sync.WaitGroup
			b.ResetTimer()
			for range 16 {
				serving.Go(func() {
					for left.Load() > 0 {
						deliveries, err := box.Receive(b.Context(), 4, 0)
						if err != nil {
							b.Error(err)
							return
						}
						for _, d := range deliveries {
							if err := box.Done(b.Context(), d); err != nil {
								b.Error(err)
							}
							left.Add(-1)
						}
					}
				})
			}
			serving.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "items/s")
		})
	}
}
