package azuredevops

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

// The states of a subscription.
const (
	statusEnabled    = "enabled"
	statusProbation  = "onProbation"
	statusByUser     = "disabledByUser"
	statusBySystem   = "disabledBySystem"
	statusByInactive = "disabledByInactiveIdentity"
)

// The waits between attempts (Azure DevOps service hooks: troubleshooting page). After the last transient wait a
// failure counts as enduring; after the last enduring one the subscription is disabled.
func transientWaits() []time.Duration {
	return scaled(time.Second, 1, 2, 4, 8, 16, 32, 60, 60)
}

func enduringWaits() []time.Duration {
	return scaled(time.Minute, 20, 40, 80, 160, 320, 640, 900)
}

func scaled(unit time.Duration, n ...int) []time.Duration {
	out := make([]time.Duration, len(n))
	for i, v := range n {
		out[i] = time.Duration(v) * unit
	}
	return out
}

// Notification is one event for one subscription. Its number counts within the subscription; retries keep it.
type Notification struct {
	Subscription string
	Number       int
	EventID      string
	EventType    string
	Item, Rev    int
}

// Delivery is one attempt to send a notification, or the decision not to.
type Delivery struct {
	Notification
	At time.Time
	// Attempt counts from 1; 0 means that nothing was sent.
	Attempt int
	// Status is the HTTP status of the answer, 0 if there was none.
	Status int
	// Result is "delivered", "retrying", "failed", "terminal", or why nothing was sent: "dropped", "on probation",
	// "disabled".
	Result string
	// Error is what went wrong with the connection, if anything.
	Error string
	// Duration is how long the answer took.
	Duration time.Duration
	// Body is what was sent.
	Body []byte
}

// job is a notification on its way.
type job struct {
	Notification
	sub       *subscription
	event     *event
	body      []byte // rendered at the first attempt
	history   *notificationRecord
	due       time.Time
	seq       int
	attempt   int
	transient int // waits used
	enduring  int
}

// jobs is a heap by due time, then by age.
type jobs []*job

func (q *jobs) Len() int { return len(*q) }
func (q *jobs) Less(i, j int) bool {
	a, b := (*q)[i], (*q)[j]
	if !a.due.Equal(b.due) {
		return a.due.Before(b.due)
	}
	return a.seq < b.seq
}
func (q *jobs) Swap(i, j int) { (*q)[i], (*q)[j] = (*q)[j], (*q)[i] }

// Push is for container/heap.
func (q *jobs) Push(x any) {
	if j, isJob := x.(*job); isJob {
		*q = append(*q, j)
	}
}

// Pop is for container/heap.
func (q *jobs) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}

// hookEngine keeps the subscriptions and delivers. Its mutex is taken after the server's, never before.
type hookEngine struct {
	s      *Server
	opts   Hooks
	client *http.Client
	ctx    context.Context //nolint:containedctx // the life of the engine: ends the deliveries under way
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu      sync.Mutex
	subs    []*subscription
	queue   jobs
	seq     int
	running int
	paused  bool
	closed  bool
	wake    *time.Timer
	log     []Delivery
}

func newHookEngine(s *Server) *hookEngine {
	ctx, cancel := context.WithCancel(context.Background())
	client := s.opts.Hooks.Client
	if client == nil {
		client = &http.Client{
			Transport:     &http.Transport{MaxIdleConnsPerHost: s.opts.Hooks.Parallel},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return &hookEngine{s: s, opts: s.opts.Hooks, client: client, ctx: ctx, cancel: cancel}
}

func (h *hookEngine) close() {
	h.mu.Lock()
	h.closed = true
	h.queue = nil
	if h.wake != nil {
		h.wake.Stop()
	}
	h.mu.Unlock()
	h.cancel()
	h.work.Wait()
	h.client.CloseIdleConnections()
}

// wanted tells whether any subscription is for this kind of event.
func (h *hookEngine) wanted(kind string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.ContainsFunc(h.subs, func(s *subscription) bool { return s.EventType == kind })
}

// publish queues an event for the subscriptions that match. It is called with the server's mutex held.
func (h *hookEngine) publish(e *event, matches func(*subscription) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, sub := range h.subs {
		if sub.EventType != e.kind || !matches(sub) {
			continue
		}
		n := Notification{Subscription: sub.ID, EventID: e.id, EventType: e.kind, Item: e.it.id, Rev: e.upd.rev}
		if creator, known := h.s.user(sub.creator); known && creator.Inactive && sub.active() {
			sub.Status = statusByInactive
		}
		if !sub.active() {
			h.record(Delivery{Notification: n, Result: "disabled"})
			continue
		}
		if sub.Status == statusProbation { // not documented; assumed lost
			h.record(Delivery{Notification: n, Result: "on probation"})
			continue
		}
		sub.lastNumber++
		n.Number = sub.lastNumber
		h.enqueue(sub, e, n)
	}
	h.dispatch()
}

func (h *hookEngine) enqueue(sub *subscription, e *event, n Notification) {
	fate := Fate{}
	if h.opts.Intercept != nil {
		fate = h.opts.Intercept(n)
	}
	if fate.Drop {
		h.record(Delivery{Notification: n, Result: "dropped"})
		return
	}
	history := sub.remember(n, h.s.opts.Now())
	for range fate.Copies + 1 {
		h.seq++
		heap.Push(&h.queue, &job{Notification: n, sub: sub, event: e, history: history, due: h.now().Add(h.opts.Delay + fate.Delay), seq: h.seq})
	}
}

// now is real time, which retries and delays run on. The injected clock only dates what is recorded.
func (*hookEngine) now() time.Time {
	return time.Now() //nolint:forbidigo // waits are real, scaled by RetryScale
}

// dispatch starts what is due and sets the alarm for what is next. Call it with mu held.
func (h *hookEngine) dispatch() {
	if h.closed || h.paused {
		return
	}
	if h.wake != nil {
		h.wake.Stop()
	}
	for len(h.queue) > 0 && h.running < h.opts.Parallel {
		wait := h.queue[0].due.Sub(h.now())
		if wait > 0 {
			h.wake = time.AfterFunc(wait, func() {
				h.mu.Lock()
				defer h.mu.Unlock()
				h.dispatch()
			})
			return
		}
		j, isJob := heap.Pop(&h.queue).(*job)
		if !isJob {
			return
		}
		h.running++
		h.work.Go(func() { h.deliver(j) })
	}
}

// deliver makes one attempt.
func (h *hookEngine) deliver(j *job) {
	h.mu.Lock()
	sub := *j.sub
	gone := !j.sub.active() || j.sub.removed
	h.mu.Unlock()
	d := Delivery{Notification: j.Notification, Attempt: j.attempt + 1}
	if gone {
		d.Attempt, d.Result = 0, "disabled"
	} else {
		if j.body == nil {
			j.body = h.render(j, &sub)
		}
		d.Body = j.body
		begun := h.now()
		d.Status, d.Error = h.send(&sub, j.body)
		d.Duration = h.now().Sub(begun)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running--
	if !h.closed {
		if !gone {
			j.attempt++
			d.Result = h.judge(j, d.Status)
		}
		j.history.note(d, h.s.opts.Now())
		h.record(d)
	}
	h.dispatch()
}

func (h *hookEngine) render(j *job, sub *subscription) []byte {
	body, err := marshal(h.s.envelopeOf(j.event, sub, j.Number))
	if err != nil {
		return []byte("null")
	}
	return body
}

// send posts a body to the subscription's URL. It gives the status of the answer, or what was wrong with the connection.
func (h *hookEngine) send(sub *subscription, body []byte) (int, string) {
	ctx, cancel := context.WithTimeout(h.ctx, h.opts.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, sub.ConsumerInputs["url"], bytes.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	for line := range strings.SplitSeq(sub.ConsumerInputs["httpHeaders"], "\n") {
		if k, v, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			req.Header.Set(strings.TrimSpace(k), strings.TrimSpace(v))
		}
	}
	if user, password := sub.ConsumerInputs["basicAuthUsername"], sub.ConsumerInputs["basicAuthPassword"]; user != "" || password != "" {
		req.SetBasicAuth(user, password)
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	req.Header.Set("User-Agent", "VSServices/19.0 (sandbox)")
	req.Header.Set("X-Vss-Activityid", uuid.NewString())
	req.Header.Set("X-Vss-Subscriptionid", sub.ID)
	resp, err := h.client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20))
	_ = resp.Body.Close()
	return resp.StatusCode, ""
}

// judge decides what follows from an answer: nothing, another attempt, or the end of the subscription. A broken
// connection counts as transient, which is not documented.
func (h *hookEngine) judge(j *job, status int) string {
	sub := j.sub
	switch {
	case status >= 200 && status < 300:
		if sub.Status == statusProbation {
			sub.Status, sub.probationRetries = statusEnabled, 0
		}
		return "delivered"
	case status == http.StatusGone:
		sub.Status = statusBySystem
		return "terminal"
	}
	transient := status == 0 || status == http.StatusRequestTimeout || status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
	if waits := transientWaits(); transient && j.enduring == 0 && j.transient < len(waits) {
		h.again(j, waits[j.transient])
		j.transient++
		return "retrying"
	}
	waits := enduringWaits()
	if j.enduring == len(waits) {
		sub.Status = statusBySystem
		return "failed"
	}
	sub.Status = statusProbation
	sub.probationRetries = j.enduring
	sub.lastProbation = h.s.opts.Now()
	h.again(j, waits[j.enduring])
	j.enduring++
	return "retrying"
}

func (h *hookEngine) again(j *job, wait time.Duration) {
	h.seq++
	j.due, j.seq = h.now().Add(time.Duration(float64(wait)*h.opts.RetryScale)), h.seq
	heap.Push(&h.queue, j)
}

func (h *hookEngine) record(d Delivery) {
	d.At = h.s.opts.Now()
	if len(h.log) >= h.opts.LogSize {
		h.log = slices.Delete(h.log, 0, h.opts.LogSize/2)
	}
	h.log = append(h.log, d)
}

// Deliveries returns the log of attempts to deliver notifications, oldest first.
func (s *Server) Deliveries() []Delivery {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	return slices.Clone(s.hooks.log)
}

// PendingDeliveries is how many notifications wait or are under way, retries included.
func (s *Server) PendingDeliveries() int {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	return len(s.hooks.queue) + s.hooks.running
}

// PauseHooks holds notifications back until [Server.ResumeHooks].
func (s *Server) PauseHooks() {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	s.hooks.paused = true
}

// ResumeHooks lets what was held back go, newest first if reversed, and ends the pause. For an order that is certain
// also at the receiver, Hooks.Parallel must be 1.
func (s *Server) ResumeHooks(reversed bool) {
	h := s.hooks
	h.mu.Lock()
	defer h.mu.Unlock()
	h.paused = false
	if reversed {
		for _, j := range h.queue {
			j.seq, j.due = -j.seq, time.Time{}
		}
		heap.Init(&h.queue)
	}
	h.dispatch()
}

// DropHooks forgets all notifications that wait, as if they had never been, and tells how many.
func (s *Server) DropHooks() int {
	h := s.hooks
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.queue)
	for _, j := range h.queue {
		h.record(Delivery{Notification: j.Notification, Result: "dropped"})
	}
	h.queue = nil
	return n
}

// InterceptHooks sets who decides the fate of notifications from now on; nil ends it.
func (s *Server) InterceptHooks(decide func(Notification) Fate) {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	s.hooks.opts.Intercept = decide
}

// notificationError is how a failure reads in the notifications calls.
func notificationError(d Delivery) string {
	switch {
	case d.Error != "":
		return d.Error
	case d.Status >= 300:
		return fmt.Sprintf("%s (%d)", http.StatusText(d.Status), d.Status)
	}
	return ""
}
