package datastore

import (
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// embedded is a Redis in the process. It does not let keys expire by itself: that
// is what the ticks are for.
type embedded struct {
	server *miniredis.Miniredis
	done   chan struct{}
	wait   sync.WaitGroup
}

func startEmbedded(ticks <-chan time.Time) (*embedded, error) {
	server := miniredis.NewMiniRedis()
	if err := server.Start(); err != nil {
		return nil, fmt.Errorf("starting the embedded Redis: %w", err)
	}
	e := &embedded{server: server, done: make(chan struct{})}
	// Fine enough for leases of seconds, rare enough to cost nothing with many keys.
	const resolution = 100 * time.Millisecond
	if ticks != nil {
		e.wait.Go(func() { e.drive(ticks, true) })
		return e, nil
	}
	ticker := time.NewTicker(resolution)
	e.wait.Go(func() {
		defer ticker.Stop()
		e.drive(ticker.C, false)
	})
	return e, nil
}

// drive lets keys expire as time passes. With own set, the server's TIME is that of
// the last tick; otherwise it is the machine's.
func (e *embedded) drive(ticks <-chan time.Time, own bool) {
	var last time.Time
	for {
		select {
		case <-e.done:
			return
		case t := <-ticks:
			if own {
				e.server.SetTime(t)
			}
			if elapsed := t.Sub(last); !last.IsZero() && elapsed > 0 {
				e.server.FastForward(elapsed)
			}
			last = t
		}
	}
}

func (e *embedded) stop() {
	close(e.done)
	e.wait.Wait()
	e.server.Close()
}
