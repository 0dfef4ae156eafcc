//go:build e2e

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// redisUnderAttack is the Redis of a system under attack. Nothing befalls it while it is
// paused.
type redisUnderAttack interface {
	kill()
	// revive undoes kill: afterwards somebody takes writes again.
	revive()
	pause()
	resume()
	// account tells how it fared; empty: there is nothing to tell.
	account() string
}

// oneUnderAttack is a server that keeps what it acknowledges.
type oneUnderAttack struct {
	t      *testing.T
	server *redistest.Server
}

func (o *oneUnderAttack) kill()           { o.server.Kill() }
func (o *oneUnderAttack) revive()         { o.server.Restart(o.t) }
func (o *oneUnderAttack) pause()          { o.server.Pause(o.t) }
func (o *oneUnderAttack) resume()         { o.server.Resume(o.t) }
func (o *oneUnderAttack) account() string { return "" }

// groupUnderAttack is several servers: what is killed or paused is a primary, and it comes
// back as the replica of the one that has taken its place.
type groupUnderAttack struct {
	t     *testing.T
	group redistest.Group
	r     *rand.Rand
	// victim is the primary that was killed or paused last.
	victim *redistest.Server
	// missing is how long nobody took writes after each kill.
	missing []time.Duration
}

// choose takes a primary of a group that is whole.
func (g *groupUnderAttack) choose() {
	redistest.Await(g.t, "every primary has its replica", func() bool { return g.group.Whole(g.t) })
	list := g.group.Primaries(g.t)
	g.victim = list[g.r.IntN(len(list))]
}

func (g *groupUnderAttack) kill() { g.choose(); g.victim.Kill() }

func (g *groupUnderAttack) revive() {
	began := time.Now()
	redistest.Await(g.t, "a replica takes over", func() bool {
		return g.group.Serving(g.t) && !slices.Contains(g.group.Primaries(g.t), g.victim)
	})
	g.missing = append(g.missing, time.Since(began))
	g.group.Return(g.t, g.victim)
}

func (g *groupUnderAttack) pause() { g.choose(); g.victim.Pause(g.t) }

// resume may be that of a server whose place was taken meanwhile.
func (g *groupUnderAttack) resume() { g.victim.Resume(g.t) }

func (g *groupUnderAttack) account() string {
	slices.Sort(g.missing)
	return fmt.Sprintf("%d primaries of Redis died, and a replica had taken over within: %v", len(g.missing), rounded(g.missing))
}
