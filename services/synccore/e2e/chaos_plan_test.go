//go:build e2e

package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// blow is one thing that is done to the system. Blows of a seed are the same each time;
// what the system is just doing is not.
type blow struct {
	// after is how long after the end of the one before it comes.
	after time.Duration
	what  deedOfChaos
	// victim is who it befalls, long how long it lasts.
	victim string
	long   time.Duration
	// measured tells that everything else is well meanwhile, and that it is measured how
	// long it takes until both sides are in step again.
	measured bool
	// skew is by how much the clock of a sync-core that is started again is wrong.
	skew time.Duration
}

// deedOfChaos is what is done.
type deedOfChaos string

const (
	kill  deedOfChaos = "kill"
	pause deedOfChaos = "pause"
)

func (b blow) String() string {
	text := fmt.Sprintf("%s %s for %s", b.what, b.victim, b.long.Round(time.Millisecond))
	if b.measured {
		text += ", measured"
	}
	if b.skew != 0 {
		text += fmt.Sprintf(", its clock then wrong by %s", b.skew)
	}
	return text
}

// The parts that blows befall.
const (
	theGateway = "the gateway"
	theRedis   = "Redis"
	cores      = 3
)

func coreName(n int) string { return fmt.Sprintf("sync-core %d", n+1) }

// blows draws what befalls processes, one after the other, without end. Short tells that no
// pause outlasts a lease.
func blows(seed uint64, short bool) func() blow {
	r := rand.New(rand.NewPCG(seed, 21))
	n := 0
	return func() blow {
		n++
		b := blow{after: time.Duration(300+r.IntN(1700)) * time.Millisecond, what: kill, long: time.Duration(r.IntN(1200)) * time.Millisecond}
		switch r.IntN(10) {
		case 0, 1:
			b.victim = theGateway
		case 2, 3:
			b.victim = theRedis
		default:
			b.victim = coreName(r.IntN(cores))
			if r.IntN(3) == 0 {
				b.skew = []time.Duration{-10 * time.Minute, 10 * time.Minute, 90 * time.Second}[r.IntN(3)]
			}
		}
		if r.IntN(6) == 0 {
			b.what, b.skew, b.long = pause, 0, time.Duration(200+r.IntN(3000))*time.Millisecond
			if b.victim != theRedis && b.victim != theGateway && r.IntN(3) == 0 && !short {
				// Longer than a lease and than the inbox waits.
				b.long = 24 * time.Second
			}
		}
		// In turn of all kinds, so that a short run measures each.
		if every := 5; b.what == kill && n%every == 4 {
			b.measured, b.skew = true, 0
		}
		return b
	}
}

// squall is a toxic on a cable, or a fault of the systems.
type squall struct {
	after, long time.Duration
	cable       string
	toxic       string
	downstream  bool
	attributes  map[string]int
	// fault is what befalls calls of the systems instead; its chance is in hundredths.
	fault  string
	chance int
}

func (s squall) String() string {
	if s.fault != "" {
		return fmt.Sprintf("%d %% of calls: %s, for %s", s.chance, s.fault, s.long.Round(time.Millisecond))
	}
	return fmt.Sprintf("%s: %s %v for %s", s.cable, s.toxic, s.attributes, s.long.Round(time.Millisecond))
}

// squalls draws what befalls connections, without end.
func squalls(seed uint64, cables []string) func() squall {
	r := rand.New(rand.NewPCG(seed, 22))
	one := func(of ...int) int { return of[r.IntN(len(of))] }
	return func() squall {
		s := squall{
			after: time.Duration(200+r.IntN(2500)) * time.Millisecond, long: time.Duration(500+r.IntN(4000)) * time.Millisecond,
			cable: cables[r.IntN(len(cables))], downstream: r.IntN(2) == 0,
		}
		switch r.IntN(9) {
		case 0, 1:
			s.toxic, s.attributes = "latency", map[string]int{"latency": one(50, 200, 1000), "jitter": one(0, 50)}
		case 2:
			s.toxic, s.attributes = "bandwidth", map[string]int{"rate": one(16, 64)}
		case 3:
			s.toxic, s.attributes = "slicer", map[string]int{"average_size": 64, "size_variation": 32, "delay": one(10, 200)}
		case 4:
			s.toxic, s.attributes = "reset_peer", map[string]int{"timeout": one(0, 20, 200)}
		case 5:
			s.toxic, s.attributes = "timeout", map[string]int{"timeout": one(0, 100)}
		case 6:
			s.toxic = cutOff
		default:
			s.fault, s.chance = []string{"lost-reply", "cut", "unavailable", "throttle"}[r.IntN(4)], one(3, 10, 30)
		}
		return s
	}
}
