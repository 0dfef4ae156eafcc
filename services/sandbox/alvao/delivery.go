package alvao

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// deliverer makes the calls that changes cause: each at most once, without retry, by a few workers, from a queue that
// never holds a writer up.
type deliverer struct {
	client  *http.Client
	timeout time.Duration
	now     func() time.Time
	report  func(webhookID int, at time.Time, err error)
	key     func() string // the application's signing key

	ctx    context.Context //nolint:containedctx // the life of the workers, ended by close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	random  *rand.Rand
	how     Delivery
	queue   []hint
	ready   *sync.Cond
	timers  map[*time.Timer]struct{}
	open    int           // hints neither delivered nor lost
	settled chan struct{} // closed when open falls to zero
	paused  bool
	closed  bool
	stats   DeliveryStats
}

// DeliveryStats counts what became of hints.
type DeliveryStats struct {
	Sent, Failed, Lost, Duplicated int
}

func newDeliverer(o *Options, report func(int, time.Time, error), key func() string) *deliverer {
	client := o.Client
	if client == nil {
		transport := &http.Transport{MaxIdleConnsPerHost: o.HookWorkers, IdleConnTimeout: time.Minute}
		client = &http.Client{Transport: transport}
	}
	d := &deliverer{
		client: client, timeout: o.HookTimeout, now: o.Now, report: report, key: key, how: o.Delivery,
		random: rand.New(rand.NewPCG(o.Seed, 1)), //nolint:gosec // repeatable chance is the point, nothing secret hangs on it
		timers: map[*time.Timer]struct{}{},
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.ready = sync.NewCond(&d.mu)
	for range o.HookWorkers {
		d.wg.Go(d.work)
	}
	return d
}

func (d *deliverer) set(how Delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.how = how
}

func (d *deliverer) visibleAfter() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.how.VisibleAfter
}

// pass lets time go by, unless the writer gives up or the stand-in closes.
func (d *deliverer) pass(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-d.ctx.Done():
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("waiting for the change to become visible: %w", ctx.Err())
	}
}

// send queues hints, after chance has had its say.
func (d *deliverer) send(hints []hint) {
	if len(hints) == 0 {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	for _, h := range hints {
		if d.how.Lose > 0 && d.random.Float64() < d.how.Lose {
			d.stats.Lost++
			continue
		}
		copies := 1
		if d.how.Duplicate > 0 && d.random.Float64() < d.how.Duplicate {
			d.stats.Duplicated++
			copies = 2
		}
		for range copies {
			d.schedule(h)
		}
	}
}

// inTurn makes calls one after the other, and when all were taken those that last gives. Chance has no say.
func (d *deliverer) inTurn(hints []hint, last func() []hint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	if d.open == 0 {
		d.settled = make(chan struct{})
	}
	d.open++
	d.wg.Go(func() {
		defer func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.done()
		}()
		for _, part := range []func() []hint{func() []hint { return hints }, last} {
			for _, h := range part() {
				if d.post(h) != nil {
					return
				}
			}
		}
	})
}

// schedule puts one call into the queue, now or later. The caller holds mu.
func (d *deliverer) schedule(h hint) {
	if d.open == 0 {
		d.settled = make(chan struct{})
	}
	d.open++
	delay := d.how.MinDelay
	if spread := d.how.MaxDelay - d.how.MinDelay; spread > 0 {
		delay += time.Duration(d.random.Int64N(int64(spread)))
	}
	if d.how.Reorder > 0 && d.random.Float64() < d.how.Reorder {
		by := d.how.ReorderBy
		if by <= 0 {
			by = 100 * time.Millisecond
		}
		delay += time.Duration(d.random.Int64N(int64(by)))
	}
	if delay <= 0 {
		d.queue = append(d.queue, h)
		d.ready.Signal()
		return
	}
	var timer *time.Timer
	timer = time.AfterFunc(delay, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.timers, timer)
		if !d.closed {
			d.queue = append(d.queue, h)
			d.ready.Signal()
		}
	})
	d.timers[timer] = struct{}{}
}

func (d *deliverer) work() {
	for {
		d.mu.Lock()
		for (len(d.queue) == 0 || d.paused) && !d.closed {
			d.ready.Wait()
		}
		if d.closed {
			d.mu.Unlock()
			return
		}
		h := d.queue[0]
		d.queue[0] = hint{}
		d.queue = d.queue[1:]
		d.mu.Unlock()

		err := d.post(h)
		d.report(h.webhookID, d.now(), err)

		d.mu.Lock()
		d.stats.Sent++
		if err != nil {
			d.stats.Failed++
		}
		d.done()
		d.mu.Unlock()
	}
}

// resume lets what was held back go, newest first if reversed.
func (d *deliverer) resume(reversed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.paused = false
	if reversed {
		slices.Reverse(d.queue)
	}
	d.ready.Broadcast()
}

// drop forgets the hints that wait in the queue.
func (d *deliverer) drop() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.queue)
	d.queue = nil
	d.stats.Lost += n
	for range n {
		d.done()
	}
	return n
}

// done takes one hint off the count. The caller holds mu.
func (d *deliverer) done() {
	d.open--
	if d.open == 0 {
		close(d.settled)
	}
}

func (d *deliverer) post(h hint) error {
	ctx, cancel := context.WithTimeout(d.ctx, d.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(h.body))
	if err != nil {
		return fmt.Errorf("preparing webhook: %w", err)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	if h.application {
		stamp := strconv.FormatInt(d.now().Unix(), 10)
		req.Header.Set("X-Tandem-Timestamp", stamp)
		req.Header.Set("X-Tandem-Signature", Sign(d.key(), stamp, h.body))
	}
	resp, err := d.client.Do(req)
	if err != nil {
		return fmt.Errorf("calling webhook: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the webhook answered %d", resp.StatusCode)
	}
	return nil
}

// Sign is the signature of a hint: lower-case hex of HMAC-SHA256 over `timestamp.body`, keyed with the bytes of key.
func Sign(key, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(timestamp))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// quiet waits until nothing is on its way.
func (d *deliverer) quiet(ctx context.Context) error {
	for {
		d.mu.Lock()
		open, settled := d.open, d.settled
		d.mu.Unlock()
		if open == 0 {
			return nil
		}
		select {
		case <-settled:
		case <-d.ctx.Done():
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("waiting for webhooks: %w", ctx.Err())
		}
	}
}

// close drops what is queued, cuts what is under way and waits for the workers.
func (d *deliverer) close() {
	d.mu.Lock()
	d.closed = true
	for timer := range d.timers {
		timer.Stop()
	}
	d.ready.Broadcast()
	d.mu.Unlock()
	d.cancel()
	d.wg.Wait()
	d.client.CloseIdleConnections()
}
