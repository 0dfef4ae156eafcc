package datastore

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// Replicas is how many replicas must have a write before it counts as stored.
type Replicas int

const (
	// AutoReplicas is one where the server has any, else none.
	AutoReplicas Replicas = 0
	// NoReplicas waits for none: a fail-over loses what the new server had not got.
	NoReplicas Replicas = -1
)

// ParseReplicas reads "auto" or a number.
func ParseReplicas(text string) (Replicas, error) {
	if text == "" || text == "auto" {
		return AutoReplicas, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 5 {
		return 0, fault.New(fault.Misconfigured, "The number of Redis replicas to wait for is %q; give auto, or a number from 0 to 5.", text)
	}
	if n == 0 {
		return NoReplicas, nil
	}
	return Replicas(n), nil
}

const (
	// replicaPatience is how long a write waits for replicas. One that is slower is not in
	// step, and would lose the write in a fail-over.
	replicaPatience = 2 * time.Second
	// stickiness is how long a server that lost its replicas is not believed to have none.
	// It may be the one that a fail-over has just left behind, and takes writes that nobody
	// will see: a sentinel tells such a server after 8 s, and looks at it every 10 s
	// (sentinel.c: SENTINEL_PUBLISH_PERIOD*4, SENTINEL_INFO_PERIOD).
	stickiness = 20 * time.Second
	// vitalsAge is how long what the server said of itself is believed.
	vitalsAge = time.Second
	// fullShare is how much of its maxmemory the server may use before nothing new is
	// taken: what is left is for serving and finishing what is there, which frees memory.
	fullShare = 0.9
)

// vitals are what a server said of itself last.
type vitals struct {
	mu sync.Mutex
	// now is replaced in tests; nil: the machine's clock.
	now   func() time.Time
	asked time.Time
	// replicas are in step; id names the server's history, which changes in a fail-over.
	replicas int
	id       string
	// lastSeen is when a server of that history had a replica last; zero: never.
	lastSeen time.Time
	// used and limit are its memory in bytes; limit 0: none is set.
	used, limit int64
}

// vitalsOf are those of one server; a cluster has several, each with replicas of its own.
func (s *Store) vitalsOf(client *redis.Client) *vitals {
	v, _ := s.vitals.LoadOrStore(client.Options().Addr, &vitals{})
	return v.(*vitals) //nolint:forcetypeassert,errcheck // nothing else is stored
}

func (v *vitals) clock() time.Time {
	if v.now != nil {
		return v.now()
	}
	return time.Now() //nolint:forbidigo // how old a piece of news is; tests replace it
}

// ask asks the server again when what it said is older than age.
func (v *vitals) ask(ctx context.Context, client *redis.Client, age time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.asked.IsZero() && v.clock().Sub(v.asked) < age {
		return
	}
	text, err := client.Info(ctx, "replication", "memory").Result()
	if err != nil {
		v.asked = v.clock() // forbidden, or away: then the write that comes next tells of it
		return
	}
	v.take(text)
}

func (v *vitals) take(text string) {
	info := readInfo(text)
	v.asked = v.clock()
	if id := info["master_replid"]; id != v.id {
		v.id, v.lastSeen = id, time.Time{}
	}
	v.replicas = 0
	for name, value := range info {
		if strings.HasPrefix(name, "slave") && strings.Contains(value, "state=online") {
			v.replicas++
		}
	}
	if v.replicas > 0 {
		v.lastSeen = v.asked
	}
	v.used, _ = strconv.ParseInt(info["used_memory"], 10, 64)
	v.limit, _ = strconv.ParseInt(info["maxmemory"], 10, 64)
}

// need is how many replicas a write has to reach.
func (v *vitals) need(asked Replicas) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case asked > 0:
		return int(asked)
	case asked == NoReplicas:
		return 0
	case v.replicas > 0:
		return 1
	case !v.lastSeen.IsZero() && v.clock().Sub(v.lastSeen) < stickiness:
		return 1
	default:
		return 0
	}
}

// full tells whether the server has too little memory left to take more.
func (v *vitals) full() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.limit > 0 && float64(v.used) > fullShare*float64(v.limit)
}

// errAlone is a write that is stored at one server and nowhere else.
func errAlone(have, want int) error {
	return fault.Wrap(errReplicas, fault.Unavailable,
		"Redis stored something that %d of %d replicas confirmed in time, so a fail-over would lose it and it does not count; "+
			"bring the replica back, or start sync-core with --redis-replicas 0.", have, want)
}

// errNearlyFull is a refusal before Redis has to refuse everything.
func errNearlyFull() error {
	return fault.Wrap(errMemory, fault.Unavailable,
		"Redis uses more than 90 %% of its maxmemory, so nothing new is taken while what is there is served; raise maxmemory.")
}

// RunReplicated runs a script that stores something new, and returns when Options.Replicas
// have it too. All keys must share tag. It fails with fault.Unavailable, and may have
// stored everything or nothing, when the server refuses, can't be reached, or too few
// replicas confirm in time; repeating it must be safe. It stores nothing when the server
// is about to run out of memory.
func (s *Store) RunReplicated(ctx context.Context, script *redis.Script, tag string, keys []string, args ...any) (*redis.Cmd, error) {
	if s.embedded != nil {
		cmd := script.Run(ctx, s.client, keys, args...)
		return cmd, Fault(cmd.Err(), "storing")
	}
	for try := 0; ; try++ {
		cmd, err := s.runReplicated(ctx, script, tag, keys, args)
		const tries = 3
		if err == nil || try == tries || ctx.Err() != nil || !s.moved(ctx, err) {
			return cmd, s.counted(ctx, Fault(err, "storing"))
		}
	}
}

// patience is how long replicas are waited for: less than the client waits for an answer.
func (s *Store) patience() time.Duration { return min(replicaPatience, s.options.ReadTimeout*2/3) }

// moved tells whether a cluster has another server for the keys now, and asks it which.
func (s *Store) moved(ctx context.Context, err error) bool {
	if all, ok := s.client.(*redis.ClusterClient); ok && outdated(err) {
		all.ReloadState(ctx)
		return redis.HasErrorPrefix(err, "MOVED ")
	}
	return false
}

// outdated tells an error that may come of an old idea of which node of a cluster holds what.
func outdated(err error) bool {
	if err == nil || errors.Is(err, redis.Nil) || errors.Is(err, context.Canceled) {
		return false
	}
	reply, ok := errors.AsType[redis.Error](err)
	if !ok {
		return true // nobody answered
	}
	return slices.Contains([]string{"MOVED", "ASK", "READONLY", "CLUSTERDOWN"}, refusal(reply))
}

// attentive has a cluster asked for its nodes after a command that failed. By itself the
// client asks once a minute, and when it is sent elsewhere; a dead node sends nobody.
type attentive struct{ client *redis.ClusterClient }

// DialHook is part of redis.Hook.
func (attentive) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook is part of redis.Hook.
func (a attentive) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if outdated(err) {
			a.client.ReloadState(ctx)
		}
		return err
	}
}

// ProcessPipelineHook is part of redis.Hook.
func (a attentive) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if outdated(err) {
			a.client.ReloadState(ctx)
		}
		return err
	}
}

func (s *Store) runReplicated(ctx context.Context, script *redis.Script, tag string, keys []string, args []any) (*redis.Cmd, error) {
	client, err := s.nodeOf(ctx, s.Key(tag, ""))
	if err != nil {
		return nil, err
	}
	v := s.vitalsOf(client)
	v.ask(ctx, client, vitalsAge)
	if v.full() {
		return nil, errNearlyFull()
	}
	need := v.need(s.replicas)
	if need == 0 {
		cmd := script.Run(ctx, client, keys, args...)
		return cmd, cmd.Err()
	}
	cmd, have, err := s.confirmed(ctx, client, script, tag, keys, args, need)
	if err != nil || have >= need {
		return cmd, err
	}
	// Those that it waited for may be gone; then the server is alone, or was left behind.
	v.ask(ctx, client, 0)
	if v.need(s.replicas) == 0 {
		return cmd, nil
	}
	return cmd, errAlone(have, need)
}

// AwaitReplicas returns when what this process wrote to the server of a tag is at as many
// replicas as RunReplicated waits for. Where it fails the write stands, but a fail-over
// may lose it.
func (s *Store) AwaitReplicas(ctx context.Context, tag string) error {
	if s.embedded != nil {
		return nil
	}
	client, err := s.nodeOf(ctx, s.Key(tag, ""))
	if err != nil {
		return s.counted(ctx, Fault(err, "finding the server"))
	}
	v := s.vitalsOf(client)
	v.ask(ctx, client, vitalsAge)
	need := v.need(s.replicas)
	if need == 0 {
		return nil
	}
	var acked *redis.Cmd
	_, err = client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		// WAIT speaks of the writes of its own connection, and of all before them.
		pipe.Set(ctx, s.Key(tag, "barrier"), "1", time.Minute)
		acked = pipe.Do(ctx, "wait", need, s.patience().Milliseconds())
		return nil
	})
	if err != nil {
		return s.counted(ctx, Fault(err, "waiting for replicas"))
	}
	have, _ := acked.Val().(int64)
	if int(have) >= need {
		return nil
	}
	v.ask(ctx, client, 0)
	if v.need(s.replicas) == 0 {
		return nil
	}
	return s.counted(ctx, errAlone(int(have), need))
}

// confirmed runs the script and waits for replicas, in one round trip over one
// connection: WAIT speaks of the writes of its own connection. A script that stored
// nothing, since it had stored it before, is no write, so another one goes ahead of WAIT.
func (s *Store) confirmed(ctx context.Context, client *redis.Client, script *redis.Script, tag string, keys []string, args []any, need int) (*redis.Cmd, int, error) {
	for _, run := range []func(context.Context, redis.Pipeliner) *redis.Cmd{
		func(ctx context.Context, pipe redis.Pipeliner) *redis.Cmd {
			return script.EvalSha(ctx, pipe, keys, args...)
		},
		func(ctx context.Context, pipe redis.Pipeliner) *redis.Cmd {
			return script.Eval(ctx, pipe, keys, args...)
		},
	} {
		var (
			cmd   *redis.Cmd
			acked *redis.Cmd
		)
		_, err := client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			cmd = run(ctx, pipe)
			pipe.Set(ctx, s.Key(tag, "barrier"), "1", time.Minute)
			acked = pipe.Do(ctx, "wait", need, s.patience().Milliseconds())
			return nil
		})
		if cmd.Err() != nil && redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") {
			continue
		}
		if cmd.Err() != nil {
			err = cmd.Err()
		}
		have, _ := acked.Val().(int64) // not there if it was refused
		return cmd, int(have), err
	}
	return nil, 0, redis.ErrClosed // not reached: EVAL brings its script along
}
