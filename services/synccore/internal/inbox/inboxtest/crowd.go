package inboxtest

import (
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// crowd is many appenders and workers on few items, with a ledger beside them: the
// revision of a hint is a number that only rises, so a hint is served when a serving
// of its item began after it was stored.
type crowd struct {
	*bench
	replicas []*replica

	mu sync.Mutex
	// stored is the greatest revision that was acknowledged for an item, served the
	// greatest that a finished serving was given.
	stored, served map[item.Key]int64
	inHand         map[item.Key]int64
	taken          int
}

const (
	crowdItems    = 12
	crowdHints    = 1500
	crowdWorkers  = 4
	crowdReplicas = 3
	// crowdVisibility is longer than any serving here takes, so that only a worker that
	// leaves an item loses it.
	crowdVisibility = 2 * time.Second
)

func newCrowd(b *bench) *crowd {
	c := &crowd{
		bench: b, stored: map[item.Key]int64{}, served: map[item.Key]int64{}, inHand: map[item.Key]int64{},
	}
	for range crowdReplicas {
		c.replicas = append(c.replicas, b.open(inbox.Options{Visibility: crowdVisibility, LiveShare: 2}))
	}
	return c
}

func (c *crowd) run() {
	ctx, stop := context.WithCancel(c.ctx())
	defer stop()
	var appending, working sync.WaitGroup
	for n := range crowdReplicas {
		appending.Go(func() { c.append(n) })
		for range crowdWorkers {
			working.Go(func() { c.work(ctx, c.replicas[n]) })
		}
	}
	appending.Wait()
	c.drain()
	stop()
	working.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, revision := range c.stored {
		if c.served[k] < revision {
			c.t.Errorf("%s: revision %d was acknowledged, the last one served is %d", k, revision, c.served[k])
		}
	}
	if c.taken < crowdItems {
		c.t.Errorf("only %d servings", c.taken)
	}
}

// append stores hints, each of them twice. Only this goroutine stores hints of its
// items, so their revisions rise.
func (c *crowd) append(n int) {
	for i := range crowdHints / crowdReplicas {
		k := workItem(int64(n*crowdItems+i%(crowdItems/crowdReplicas)) + 1)
		e := item.Event{
			ID: strconv.Itoa(n) + "/" + strconv.Itoa(i), Key: k, Revision: int64(i + 1), Background: chance(3) == 0,
		}
		for try := range 2 {
			stored, err := c.replicas[(n+try)%crowdReplicas].Append(c.ctx(), e)
			if err != nil || stored != (try == 0) {
				c.t.Errorf("try %d of hint %s: stored %t, %v", try, e.ID, stored, err)
				return
			}
			if try == 0 {
				c.mu.Lock()
				c.stored[k] = e.Revision
				c.mu.Unlock()
			}
		}
	}
}

// drain waits until nothing is stored any more.
func (c *crowd) drain() {
	ctx, cancel := context.WithTimeout(c.ctx(), long)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		s, err := c.replicas[0].Stats(ctx)
		if err != nil {
			c.t.Errorf("counting: %v", err)
			return
		}
		if s.Items() == 0 && s.Dead == 0 {
			return
		}
		c.replay(ctx)
		<-ticker.C
	}
}

// replay puts every dead letter back.
func (c *crowd) replay(ctx context.Context) {
	letters, _, err := c.replicas[0].List(ctx, "", inbox.Dead, 100, "")
	if err != nil {
		c.t.Errorf("listing dead letters: %v", err)
	}
	for _, letter := range letters {
		if _, err := c.replicas[0].Replay(ctx, letter.Key.Connector, letter.ID); err != nil {
			c.t.Errorf("replaying: %v", err)
		}
	}
}

func (c *crowd) work(ctx context.Context, r *replica) {
	for ctx.Err() == nil {
		deliveries, err := r.Receive(ctx, 3, long)
		if err != nil && ctx.Err() == nil {
			c.t.Errorf("receiving: %v", err)
			return
		}
		for _, d := range deliveries {
			c.serve(r, d) //nolint:contextcheck // what is in hand is finished, whatever ends the receiving
		}
	}
}

func (c *crowd) serve(r *replica, d inbox.Delivery) {
	c.mu.Lock()
	if _, busy := c.inHand[d.Key]; busy {
		c.t.Errorf("%s is in two hands", d.Key)
	}
	c.inHand[d.Key] = d.Token
	c.taken++
	first := d.Attempt == 0 && d.LastReason == ""
	c.mu.Unlock()

	release := func(served bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.inHand, d.Key)
		if served {
			c.served[d.Key] = max(c.served[d.Key], d.MaxRevision)
		}
	}
	var err error
	switch choice := chance(20); {
	case choice == 0 && first:
		release(false) // the worker dies; the item comes back when its visibility ends
		return
	case choice < 4:
		release(false)
		err = r.Retry(c.ctx(), d, inbox.RetryOptions{After: time.Duration(1+chance(20)) * time.Millisecond, Counted: true, Held: chance(2) == 0})
	case choice == 4:
		release(false)
		err = r.Dead(c.ctx(), d, "broken", "")
	case choice < 7:
		if err := r.Extend(c.ctx(), d); err != nil {
			c.t.Errorf("extending %s: %v", d.Key, err)
		}
		fallthrough
	default:
		release(true)
		err = r.Done(c.ctx(), d)
	}
	if err != nil {
		kind := fault.KindOf(err)
		c.t.Errorf("outcome of %s: %s %v", d.Key, kind, err)
	}
}

// chance is a number from 0 to n-1.
func chance(n int) int { return rand.IntN(n) }
