package limiter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

const (
	// settleEvery is how often a busy replica tells what it used.
	settleEvery = time.Second
	// settleIn bounds one such call to Redis, and awayFor is how long a replica goes on by
	// itself after one failed.
	settleIn = time.Second
	awayFor  = 5 * time.Second
	// graceful is how long a background call waits before it gets a WaitError, unless it
	// is patient.
	graceful = 5 * time.Second
)

// Options make a Limiter. Pace and Now are required.
type Options struct {
	// Account and Credential name whose budget it is until an answer tells the identity:
	// the vendor's address, and how the configuration calls the credential. Neither is a
	// secret.
	Account, Credential string
	// Whose reads the vendor's name of the identity from an answer's headers; empty if
	// it is not told. nil: it never is.
	Whose func(http.Header) string
	Rules Rules
	// Pace is this replica's own gate.
	Pace *outbound.Pace
	// Ledger holds the accounts; nil: each replica is on its own.
	Ledger *Ledger
	Now    func() time.Time
}

// Limiter is the gate of all calls that are made with one token. It is safe for
// concurrent use.
type Limiter struct {
	o Options

	// asking is held by the call that fetches the next slice; the others wait for it.
	asking chan struct{}
	work   sync.WaitGroup

	mu sync.Mutex
	// name is the account's, by which it is found in Redis; whose is the identity it was
	// made of, empty as long as none was told.
	name, whose string
	// own is what this replica used.
	own *account
	// pending is what the others have not been told yet.
	spent   float64
	seen    *observation
	pause   time.Time
	urgent  bool
	settled time.Time
	// settling tells that Redis is being asked beside the way.
	settling, closed bool
	// slice is what background calls may still use of what was granted at granted;
	// blocked is when it is worth asking again.
	slice            float64
	granted, blocked time.Time
	used             float64
	// away tells that Redis could not be asked, and back when it is tried again.
	away bool
	back time.Time
}

// New makes a Limiter. Close ends what it does beside the way.
func New(o Options) *Limiter {
	return &Limiter{
		o: o, asking: make(chan struct{}, 1), own: newAccount(),
		name: nameOf(o.Account, "credential", o.Credential),
	}
}

// nameOf makes a short name without a secret, and the same in all replicas.
func nameOf(account, kind, who string) string {
	sum := sha256.Sum256([]byte(strings.ToLower(account) + "\x00" + kind + "\x00" + strings.ToLower(who)))
	return hex.EncodeToString(sum[:12])
}

// Enter implements outbound.Gate.
func (l *Limiter) Enter(ctx context.Context, writes bool) (func(*http.Response), error) {
	cost := l.o.Rules.cost(writes)
	charged := l.o.Rules.Limit > 0 && outbound.IsBackground(ctx)
	if charged {
		if err := l.draw(ctx, cost); err != nil {
			return nil, err
		}
	}
	leave, err := l.o.Pace.Enter(ctx, writes) //nolint:bodyclose // leave takes an answer, it gives none
	if err != nil {
		if charged {
			l.giveBack(cost)
		}
		return nil, err
	}
	if !charged {
		l.spend(cost) //nolint:contextcheck // what is told beside the way outlives the call
	}
	return func(answer *http.Response) { //nolint:contextcheck // as above
		l.heed(answer)
		leave(answer)
	}, nil
}

// Close ends what goes on beside the calls. Calls that are under way go on.
func (l *Limiter) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.work.Wait()
}

// State is what a Limiter tells of itself.
type State struct {
	// Pause is what is left of what the vendor asked to wait.
	Pause time.Duration
	// InFlight is how many calls are under way from this replica.
	InFlight int
	// Used and Limit are in the vendor's units, over the window and all replicas, by
	// estimate; 0 where the vendor names no limit.
	Used, Limit float64
	// Alone tells that the shared account can't be reached.
	Alone bool
}

// State tells how things stand.
func (l *Limiter) State() State {
	now := l.o.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	s := State{Pause: l.o.Pace.Remaining(), InFlight: l.o.Pace.InFlight(), Limit: l.o.Rules.Limit, Alone: l.away}
	if s.Limit > 0 {
		s.Used = max(l.own.used(l.o.Rules, now), l.recent(now))
	}
	return s
}

// recent is what the shared account said, unless that is long ago.
func (l *Limiter) recent(now time.Time) float64 {
	if now.Sub(l.settled) > l.o.Rules.Window {
		return 0
	}
	return l.used
}

// draw takes the cost of a background call from the slice, and fetches the next one
// when it is used up.
func (l *Limiter) draw(ctx context.Context, cost float64) error {
	patience := outbound.Patience(ctx, graceful)
	for {
		wait, ok := l.take(cost)
		if ok {
			return nil
		}
		if wait > patience {
			return &outbound.WaitError{For: wait}
		}
		if wait > 0 {
			if err := outbound.Sleep(ctx, wait); err != nil {
				return err
			}
			continue
		}
		select {
		case l.asking <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		// Whoever asked before may have got enough for all, or nothing for a while.
		if wait, ok := l.take(cost); ok {
			<-l.asking
			return nil
		} else if wait == 0 {
			l.settle(ctx, max(l.o.Rules.slice(), 4*cost))
		}
		<-l.asking
	}
}

// take takes the cost from the slice, or tells how long there is no point in asking.
func (l *Limiter) take(cost float64) (time.Duration, bool) {
	now := l.o.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	// What was granted long ago is about to leave the account's window.
	if now.Sub(l.granted) > l.o.Rules.Window/steps {
		l.slice = 0
	}
	// The fractions of a unit come as rounded text.
	if l.slice >= cost-1e-6 {
		l.slice = max(0, l.slice-cost)
		return 0, true
	}
	return max(0, l.blocked.Sub(now)), false
}

func (l *Limiter) giveBack(cost float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.slice += cost
}

// spend charges a live call.
func (l *Limiter) spend(cost float64) {
	now := l.o.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spent += cost
	l.tell(now)
}

// heed takes what an answer says, and passes it on.
func (l *Limiter) heed(answer *http.Response) {
	if answer == nil {
		return
	}
	now := l.o.Now()
	advice := outbound.Advise(answer.StatusCode, answer.Header, now)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.o.Whose != nil {
		if who := l.o.Whose(answer.Header); who != "" && who != l.whose {
			// From now on the budget is shared with whoever has this identity.
			l.name, l.whose, l.settled = nameOf(l.o.Account, "identity", who), who, time.Time{}
		}
	}
	if until := now.Add(advice.Pause); advice.Pause > 0 && until.After(l.pause) {
		l.pause, l.urgent = until, true
	}
	if advice.Told && l.o.Rules.Limit > 0 {
		// The vendor's limit may be another than ours; what counts is the part that is used.
		used := (1 - advice.Remaining/advice.Limit) * l.o.Rules.Limit
		l.seen = &observation{used: used, exact: advice.Remaining > 0}
		l.urgent = l.urgent || !l.seen.exact
	}
	l.tell(now)
}

// tell has the others told, beside the way, when there is something to tell and it is
// time. l.mu is held.
func (l *Limiter) tell(now time.Time) {
	if l.o.Ledger == nil || l.settling || l.closed || (!l.urgent && now.Sub(l.settled) < settleEvery) {
		return
	}
	l.settling = true
	l.work.Go(func() {
		l.settle(context.Background(), 0)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.settling = false
		if l.urgent {
			l.tell(l.o.Now())
		}
	})
}

// settle tells the shared account what was used and heard, and asks it for wanted
// units. Without it, the replica's own account answers.
func (l *Limiter) settle(ctx context.Context, wanted float64) {
	now := l.o.Now()
	l.mu.Lock()
	p := report{spent: l.spent, wanted: wanted, seen: l.seen, pause: max(0, l.pause.Sub(now))}
	// If Redis' answer is lost, what was told may or may not count. It is not told again:
	// what is missing is corrected by what the vendor says.
	l.spent, l.seen, l.urgent, l.settled = 0, nil, false, now
	name, ask := l.name, l.o.Ledger != nil && !now.Before(l.back)
	l.mu.Unlock()

	var s statement
	var err error
	if ask {
		bounded, cancel := context.WithTimeout(ctx, settleIn)
		s, err = l.o.Ledger.settle(bounded, name, l.o.Rules, p)
		cancel()
		if ctx.Err() != nil {
			// The caller is gone; that says nothing about Redis.
			return
		}
	}
	l.mu.Lock()
	if ask {
		l.away = err != nil
	}
	if err != nil {
		l.back = l.o.Now().Add(awayFor)
	}
	alone := l.o.Rules
	if l.away {
		// How many others there are is not known; three is usual.
		alone.Background /= 3
	}
	if !ask || err != nil {
		s.granted, s.wait = l.own.settle(alone, now, p.spent, p.wanted, p.seen)
		s.used = l.own.used(l.o.Rules, now)
	} else {
		l.own.settle(alone, now, p.spent+s.granted, 0, p.seen)
	}
	if s.granted > 0 {
		l.slice += s.granted
		l.granted = now
	}
	if s.wait > 0 {
		l.blocked = now.Add(s.wait)
	}
	l.used = s.used
	l.mu.Unlock()
	if s.pause > 0 {
		l.o.Pace.Pause(now.Add(s.pause))
	}
}
