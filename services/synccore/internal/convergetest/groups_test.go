package convergetest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

var groupHistories = flag.Int("group-histories", 2, "how many random histories are played over a cluster, and over a pair behind sentinels, each with a fail-over")

// silence is how long a primary is missed before another takes its place. Real ones are
// given more.
const silence = time.Second

// group is several real servers of which some copy others, between histories as they were
// started: whole and empty.
type group struct {
	redistest.Group

	t *testing.T
	// asked is what is to be done out of the bubble, in the machine's time; done tells that
	// it was, and whether it failed.
	asked  chan func()
	done   chan bool
	scribe *scribe
}

func startGroup(t *testing.T, start func(*testing.T) redistest.Group) *group {
	t.Helper()
	g := &group{Group: start(t), t: t, asked: make(chan func()), done: make(chan bool), scribe: &scribe{sums: map[string]string{}}}
	go func() {
		for do := range g.asked {
			g.serve(do)
		}
	}()
	t.Cleanup(func() { close(g.asked) })
	return g
}

// serve does one thing. One that fails the test ends its goroutine (testing.T.Fatal), so
// that each has its own.
func (g *group) serve(do func()) {
	ok := make(chan bool, 1)
	go func() {
		fine := false
		defer func() { ok <- fine }()
		do()
		fine = true
	}()
	g.done <- <-ok
}

// outside does something out of the bubble, whose time stands still meanwhile.
func (g *group) outside(do func()) error {
	g.asked <- do
	if !<-g.done {
		return errors.New("the servers are not as they should be")
	}
	return nil
}

// mend brings back whatever died, and empties everything.
func (g *group) mend() {
	for _, s := range g.Members() {
		if !s.Running() {
			g.Return(g.t, s)
		}
	}
	redistest.Await(g.t, "all servers are back", func() bool { return g.Whole(g.t) })
	for _, s := range g.Primaries(g.t) {
		s.Must(g.t, "FLUSHALL")
	}
	redistest.Await(g.t, "the replicas are empty too", func() bool {
		for _, s := range g.Members() {
			if answer, err := s.Ask(g.t.Context(), "DBSIZE"); err != nil || answer != ":0" {
				return false
			}
		}
		return true
	})
}

// groupMemory is a group as the Redis of one world.
type groupMemory struct {
	*group

	shards []*shard
	// still tells that keys do not expire; down that a primary has died and no other is
	// there yet.
	still, down bool
}

// shard is a primary and its replica, and the time there.
type shard struct {
	servers []*redistest.Server
	clients []*redis.Client
	// virtual is how much of the bubble's time its keys have not lived through, real when
	// they last did, as milliseconds of the servers' own time.
	virtual time.Duration
	real    int64
}

// pass makes all keys of a primary expire by so many milliseconds of the bubble, less those
// that have really passed.
const passScript = `
if not string.find(redis.call('INFO', 'replication'), 'role:master', 1, true) then return 0 end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local by, last = tonumber(ARGV[1]), tonumber(ARGV[2])
if last > 0 then by = by - (now - last) end
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left >= 0 and left <= by then
    redis.call('DEL', key)
  elseif left >= 0 then
    redis.call('PEXPIRE', key, left - by)
  end
end
return now`

// over makes a group the Redis of a world. It must be called in the world's bubble.
func (g *group) over() *groupMemory {
	m := &groupMemory{group: g}
	members := g.Members()
	for i, s := range members {
		if i < len(members)/2 {
			m.shards = append(m.shards, &shard{})
		}
		of := m.shards[i%len(m.shards)]
		of.servers = append(of.servers, s)
		of.clients = append(of.clients, redis.NewClient(&redis.Options{
			Addr: s.Address(), Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1,
		}))
	}
	return m
}

func (m *groupMemory) address() datastore.Options {
	return datastore.Options{URL: m.URL(), Dial: m.scribe.dial}
}

func (m *groupMemory) pass(d time.Duration) error {
	for _, of := range m.shards {
		of.virtual += d
		if m.still {
			continue
		}
		if err := of.pass(); err != nil {
			return err
		}
	}
	return nil
}

// pass lets the keys of a shard live through what they have not yet.
func (s *shard) pass() error {
	var told []error
	for _, client := range s.clients {
		now, err := client.Eval(context.Background(), passScript, nil, s.virtual.Milliseconds(), s.real).Int64()
		if now > 0 {
			s.virtual -= s.virtual.Truncate(time.Millisecond)
			s.real = now
			return nil
		}
		told = append(told, err)
	}
	return fmt.Errorf("letting time pass: no server takes it: %w", errors.Join(told...))
}

func (m *groupMemory) flush() error {
	return m.outside(func() {
		for _, s := range m.Primaries(m.t) {
			s.Must(m.t, "FLUSHALL")
			if replica := m.ReplicaOf(m.t, s); replica != nil {
				redistest.InStep(m.t, m.Group, replica)
			}
		}
	})
}

func (m *groupMemory) ready(store *datastore.Store) bool {
	if m.down {
		return true
	}
	ctx, pipe := context.Background(), store.Client().Pipeline()
	var counts []*redis.IntCmd
	for _, lane := range lanes() {
		counts = append(counts, pipe.XLen(ctx, store.Key(datastore.InboxTag, lane)))
	}
	for _, set := range timed() {
		counts = append(counts, pipe.ZCount(ctx, store.Key(datastore.InboxTag, set), "-inf", strconv.FormatInt(time.Now().UnixMilli(), 10)))
	}
	_, err := pipe.Exec(ctx)
	return err != nil || slices.ContainsFunc(counts, func(n *redis.IntCmd) bool { return n.Val() > 0 })
}

func (m *groupMemory) away() bool { return m.down }

func (m *groupMemory) close() {
	for _, of := range m.shards {
		for _, client := range of.clients {
			_ = client.Close() // nothing is under way
		}
	}
	// A look for a server that went away ends up to a second after its pool was closed.
	time.Sleep(2 * time.Second) //nolint:forbidigo // virtual time
}

// failure is what befalls a primary.
type failure int

const (
	// killed: it dies out of the blue; lagging: it dies when its replica had hung for a
	// while; exchanged: an administrator has the replica take its place.
	killed failure = iota
	lagging
	exchanged
)

// credit is what keys live longer while their primary is missing, which is the machine's
// time and none of the bubble's.
const credit = 5 * time.Minute

// failOver lets a replica take the place of its primary while everything goes on.
func (h *history) failOver(r *rand.Rand) {
	m, ok := h.redis.(*groupMemory)
	if !ok {
		return
	}
	how, of := failure(r.IntN(3)), m.shards[r.IntN(len(m.shards))]
	if *verbose {
		fmt.Fprintf(os.Stdout, "  # %s of %d, a primary is %s\n", of.servers[0].Address(), len(m.shards), []string{"killed", "killed, its replica lagging", "exchanged"}[how])
	}
	if err := h.fail(r, m, of, how); err != nil {
		h.failf("the test itself failed: %v", err)
	}
}

func (h *history) fail(r *rand.Rand, m *groupMemory, of *shard, how failure) error {
	var primary, replica *redistest.Server
	err := m.outside(func() {
		list := m.Primaries(m.t)
		primary = of.servers[slices.IndexFunc(of.servers, func(s *redistest.Server) bool { return slices.Contains(list, s) })]
		replica = m.ReplicaOf(m.t, primary)
	})
	if err != nil {
		return err
	}
	if how == exchanged {
		return errors.Join(m.outside(func() { m.Promote(m.t, replica); m.await(primary) }), h.findAgain())
	}
	if err := m.lend(of, replica); err != nil {
		return err
	}
	if how == lagging {
		if err := m.outside(func() { replica.Pause(m.t) }); err != nil {
			return err
		}
		h.meanwhile(r)
	}
	m.down = true
	err = m.outside(func() {
		primary.Kill()
		if how == lagging {
			replica.Resume(m.t)
		}
	})
	if err != nil {
		return err
	}
	h.meanwhile(r)
	back := r.IntN(2) == 0
	err = m.outside(func() {
		m.await(primary)
		if back {
			m.Return(m.t, primary)
			redistest.Await(m.t, "the old primary copies the new one", func() bool { return m.Whole(m.t) })
		}
	})
	m.still = false
	err = errors.Join(err, h.tick(), h.findAgain())
	m.down = false
	return err
}

// findAgain waits until the observer has found the servers that take writes now.
func (h *history) findAgain() error {
	var err error
	for range 100 {
		time.Sleep(200 * time.Millisecond) //nolint:forbidigo // virtual time
		all, ok := h.observer.Client().(*redis.ClusterClient)
		if !ok {
			if err = h.observer.Check(h.ctx); err == nil {
				return nil
			}
			continue
		}
		all.ReloadState(h.ctx)
		synctest.Wait()
		err = all.ForEachMaster(h.ctx, func(ctx context.Context, node *redis.Client) error {
			return node.Set(ctx, "found", "", time.Millisecond).Err()
		})
		if err == nil || redis.HasErrorPrefix(err, "MOVED ") {
			return nil
		}
	}
	return err
}

// lend gives the keys of a shard more of the machine's time, which is taken back when time
// passes there again, and waits until its replica knows.
func (m *groupMemory) lend(of *shard, replica *redistest.Server) error {
	of.virtual -= credit
	if err := of.pass(); err != nil {
		return err
	}
	of.virtual += credit
	m.still = true
	return m.outside(func() { redistest.InStep(m.t, m.Group, replica) })
}

// await waits until another server has taken a primary's place.
func (m *groupMemory) await(old *redistest.Server) {
	redistest.Await(m.t, "a replica takes the place of its primary", func() bool {
		return m.Serving(m.t) && !slices.Contains(m.Primaries(m.t), old)
	})
}

// meanwhile lets people work and time pass while a group is not whole.
func (h *history) meanwhile(r *rand.Rand) {
	for range r.IntN(4) {
		[]func(*history, *rand.Rand){
			(*history).openTicket, (*history).setStatus, (*history).setState, (*history).write, (*history).comment,
		}[r.IntN(5)](h, r)
		if err := h.pass(time.Duration(r.IntN(2500))*time.Millisecond, 500*time.Millisecond); err != nil {
			h.failf("the test itself failed: %v", err)
		}
	}
}

// scriptOfGroup is a random history in whose middle a primary fails.
func scriptOfGroup(seed uint64) []step {
	script := scriptOf(seed)
	r := rand.New(rand.NewPCG(seed, 31))
	at := len(script)/4 + r.IntN(len(script)/2)
	return slices.Insert(script, at, step{number: len(script), what: "a Redis fails", seed: r.Uint64(), blind: true})
}

// TestRandomHistoriesOverGroups plays random histories over a Redis Cluster and over a pair
// behind sentinels, real servers, with a fail-over in the middle of each: what was
// acknowledged is not lost, and both systems converge, nothing being done twice.
func TestRandomHistoriesOverGroups(t *testing.T) {
	t.Parallel()
	datastore.LogTo(slog.New(slog.DiscardHandler))
	for name, start := range map[string]func(*testing.T) redistest.Group{
		"sentinel": func(t *testing.T) redistest.Group { t.Helper(); return redistest.StartPair(t, silence) },
		"cluster":  func(t *testing.T) redistest.Group { t.Helper(); return redistest.StartCluster(t, 1, silence) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := startGroup(t, start)
			base, n := uint64(time.Now().UnixNano()), *groupHistories
			if *oneSeed != 0 {
				base, n = *oneSeed, 1
			}
			began := time.Now()
			for i := range n {
				seed := base + uint64(i)
				script, err := chosen(scriptOfGroup(seed), *onlySteps)
				if err != nil {
					t.Fatal(err)
				}
				g.mend()
				if problems := g.play(t, seed, script); len(problems) > 0 {
					t.Fatalf("history %d (%+v) did not converge:\n  %s\nplay it again with: -run TestRandomHistoriesOverGroups/%s -story -history %d",
						seed, shapeOf(seed), strings.Join(problems, "\n  "), name, seed)
				}
			}
			t.Logf("%d histories, a fail-over in each, in %s", n, time.Since(began).Round(time.Millisecond))
		})
	}
}

func (g *group) play(t *testing.T, seed uint64, script []step) []string {
	t.Helper()
	problems, _ := taleOver(t, seed, shapeOf(seed), script, func() memory { return g.over() }, func(*history) {})
	return problems
}
