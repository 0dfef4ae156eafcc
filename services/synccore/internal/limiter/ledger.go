package limiter

import (
	"context"
	_ "embed" // the script
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
)

//go:embed lua/settle.lua
var settleLua string

// Ledger keeps the accounts that replicas share in Redis. It is safe for concurrent
// use. Time is Redis' time.
type Ledger struct {
	client redis.Scripter
	key    func(tag, name string) string
	script *redis.Script
}

// NewLedger keeps the accounts in store.
func NewLedger(store *datastore.Store) *Ledger { return newLedger(store.Client(), store.Key) }

func newLedger(client redis.Scripter, key func(tag, name string) string) *Ledger {
	return &Ledger{client: client, key: key, script: redis.NewScript(settleLua)}
}

// report is what a replica tells about an account, and what it asks for.
type report struct {
	spent, wanted float64
	seen          *observation
	// pause is how long the vendor asked to wait, from now on.
	pause time.Duration
}

// statement is what an account says back.
type statement struct {
	granted float64
	wait    time.Duration
	used    float64
	// pause is what is left of the longest pause that any replica was told of.
	pause time.Duration
}

// settle does what account.settle does, for all replicas, in one step.
func (l *Ledger) settle(ctx context.Context, name string, r Rules, p report) (statement, error) {
	told, exact := "", "0"
	if p.seen != nil {
		told = decimal(p.seen.used)
		if p.seen.exact {
			exact = "1"
		}
	}
	keys := []string{l.key("limiter:"+name, "account")}
	answer, err := l.script.Run(ctx, l.client, keys,
		decimal(r.Limit), r.width(), steps, parts, decimal(r.Background), decimal(p.spent), decimal(p.wanted),
		told, exact, p.pause.Milliseconds(), decimal(least), decimal(most), trust.Milliseconds()).Slice()
	if err != nil {
		return statement{}, datastore.Fault(err, "settling what was used")
	}
	var s statement
	var wait, pause int64
	ok := len(answer) == 4
	if ok {
		s.granted, ok = fraction(answer[0], ok)
		wait, ok = milliseconds(answer[1], ok)
		s.used, ok = fraction(answer[2], ok)
		pause, ok = milliseconds(answer[3], ok)
	}
	if !ok {
		return statement{}, fmt.Errorf("settling what was used: Redis answered %d values that can't be read", len(answer))
	}
	s.wait, s.pause = time.Duration(wait)*time.Millisecond, time.Duration(pause)*time.Millisecond
	return s, nil
}

func fraction(v any, ok bool) (float64, bool) {
	text, isText := v.(string)
	n, err := strconv.ParseFloat(text, 64)
	return n, ok && isText && err == nil
}

func milliseconds(v any, ok bool) (int64, bool) {
	n, isInt := v.(int64)
	return n, ok && isInt
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'g', 9, 64) }
