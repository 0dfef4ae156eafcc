//go:build e2e

package e2e_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// How long the attack is. Without flags it is a short one, beside the other tests.
var (
	chaosLong   = flag.Duration("chaos", 12*time.Second, "how long the system is under attack")
	chaosKills  = flag.Int("chaos-kills", 3, "the attack goes on until there were so many kills")
	chaosEvents = flag.Int("chaos-events", 300, "the attack goes on until so many webhooks were accepted")
	chaosRate   = flag.Int("chaos-rate", 20, "how many webhooks a second are sent beside those of the systems")
	chaosRedis  = flag.String("chaos-redis", "", "the Redis under attack: cluster, sentinel, or, when empty, one server; killing it means killing a primary, until its replica has taken over")
	chaosSeed   = flag.Uint64("chaos-seed", 0, "the seed of the attack; 0: by the clock")
)

// mostRecovery is how long it may take after a kill until both sides are in step again.
const mostRecovery = 35 * time.Second

// chaos is the system under attack, and what came of it.
type chaos struct {
	*stack.Stack

	t      *testing.T
	seed   uint64
	redis  redisUnderAttack
	cables []*cable
	cores  []coreUnderAttack
	crowd  *crowd
	hooks  *answers
	probe  int
	// calm is held for reading by what befalls connections, and for writing while it must
	// not.
	calm sync.RWMutex

	mu          sync.Mutex
	asleep      map[string]bool
	kills       map[string]int
	pauses      map[string]int
	squalls     map[string]int
	skews       int
	recoveries  []time.Duration
	deadLetters int
	told        []string
}

// coreUnderAttack is a sync-core.
type coreUnderAttack struct {
	program *stack.Program
	address string
}

// TestChaos runs a gateway, three sync-cores and a Redis that keeps what it acknowledges,
// between the stand-in systems and under load, while processes are killed and paused, their
// clocks are wrong, connections are cut, slowed down and reset, calls fail, and webhooks are
// repeated and overtake each other. Then it is quiet and one resync runs. After that all
// that people did stands on the other side, once, and a further resync writes nothing.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed := *chaosSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("the seed of the attack is %d (-chaos-seed)", seed)
	c := newChaos(t, seed)
	began := time.Now()
	c.attack()
	attacked := time.Since(began)
	began = time.Now()
	c.settle()
	c.resync()
	c.settle()
	counts, accepted := c.hooks.all()
	t.Logf("%s of attack, quiet %s after it: %d tickets, %d things done by people; webhooks: %d accepted, answers %v",
		attacked.Round(time.Second), time.Since(began).Round(time.Second), c.crowd.size(), c.crowd.deeds, accepted, counts)
	slices.Sort(c.recoveries)
	t.Logf("kills %v, %d starts with a wrong clock, pauses %v, squalls %v", c.kills, c.skews, c.pauses, c.squalls)
	t.Logf("in step again after a kill within: %v", rounded(c.recoveries))
	if told := c.redis.account(); told != "" {
		t.Log(told)
	}
	c.judge(counts)
}

func rounded(all []time.Duration) []time.Duration {
	for i := range all {
		all[i] = all[i].Round(10 * time.Millisecond)
	}
	return all
}

// skewed builds sync-core with a clock that is wrong by what TANDEM_TEST_SKEW says, beside
// the gateway as it is. Both programs have one place where the clock comes in; nothing in
// the working tree is changed (go's -overlay). Timers are those of the machine.
func skewed(t *testing.T) string {
	t.Helper()
	const was, is = "	now := time.Now //", `	skew, _ := time.ParseDuration(os.Getenv("TANDEM_TEST_SKEW"))
	now := func() time.Time { return time.Now().Add(skew) } //`
	file, err := filepath.Abs(filepath.Join("..", "internal", "app", "app.go"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(source)
	if strings.Count(text, was) != 1 {
		t.Fatalf("%s holds %q %d times; mend the planted clock", file, was, strings.Count(text, was))
	}
	text = strings.Replace(text, was, is, 1)
	if !strings.Contains(text, "\t\"os\"\n") {
		text = strings.Replace(text, "import (\n", "import (\n\t\"os\"\n", 1)
	}
	dir := t.TempDir()
	planted, list := filepath.Join(dir, "app.go"), filepath.Join(dir, "overlay.json")
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {file: planted}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{planted: text, list: string(overlay)} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"build", "-buildvcs=false", "-overlay=" + list, "-o", filepath.Join(dir, "synccore")}
	if raceEnabled {
		args = append(args, "-race")
	}
	command := exec.CommandContext(t.Context(), "go", append(args, "github.com/tandem-sync/tandem/services/synccore/cmd/synccore")...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("building a sync-core with a wrong clock: %v\n%s", err, out)
	}
	if err := os.Symlink(filepath.Join(programs, "gateway"), filepath.Join(dir, "gateway")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// newChaos starts everything.
func newChaos(t *testing.T, seed uint64) *chaos {
	t.Helper()
	c := &chaos{
		t: t, seed: seed, asleep: map[string]bool{}, kills: map[string]int{}, pauses: map[string]int{}, squalls: map[string]int{}, hooks: newAnswers(),
	}
	bin := skewed(t)
	wires := newCables()
	lay := func(name, from, to string) *cable {
		one := wires.lay(t, name, from, to)
		c.cables = append(c.cables, one)
		return one
	}
	redis := ""
	if begin, ok := groups()[*chaosRedis]; ok {
		// Its servers tell clients and each other where they are, so there is no cable between.
		group := begin(t)
		c.redis, redis = &groupUnderAttack{t: t, group: group, r: rand.New(rand.NewPCG(seed, 24))}, group.URL()
	} else if *chaosRedis != "" {
		t.Fatalf("-chaos-redis %s is not known", *chaosRedis)
	} else {
		one := redistest.Start(t, "--appendfsync", "always")
		c.redis = &oneUnderAttack{t: t, server: one}
		redis = "redis://" + lay("sync-cores to Redis", "127.0.0.1:0", one.Address()).address() + "/0"
	}
	hosts := []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2"), netip.MustParseAddr("127.0.0.3")}
	dns := serveNames(t, hosts[0])
	var toCore *cable
	client := &http.Client{Transport: c.hooks, Timeout: 20 * time.Second}
	c.Stack = start(t, stack.Options{
		Bin: bin, Redis: redis, KeepLines: 20_000, Connector: "    pollInterval: 5s\n",
		Sandbox: sandbox.Options{
			Seed:        seed,
			Alvao:       alvao.Options{Client: client, Delivery: alvao.Delivery{Duplicate: 0.2, Reorder: 0.3, ReorderBy: time.Second}},
			AzureDevOps: azuredevops.Options{IndexLag: 300 * time.Millisecond, Hooks: azuredevops.Hooks{Client: client, RetryScale: 0.2, Parallel: 16, Intercept: fates(seed)}},
		},
		SandboxURL: func(url string) string {
			return "http://" + lay("sync-cores to both systems", "127.0.0.1:0", strings.TrimPrefix(url, "http://")).address()
		},
		CoreTarget: func(address string) string {
			if toCore == nil {
				toCore = lay("gateway to sync-core 1", hosts[0].String()+":0", address)
			}
			return "dns://" + dns.address + "/synccore.tandem.test.:" + toCore.port()
		},
	})
	c.cores = []coreUnderAttack{{c.Core, c.CoreAddr}}
	for n := 1; n < cores; n++ {
		p, err := c.StartCoreBeside(t.Context(), "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { inspect(t, p) })
		address := ""
		for _, line := range p.Lines() {
			if at := line.Text("grpc"); at != "" {
				address = at
			}
		}
		c.cores = append(c.cores, coreUnderAttack{p, address})
		lay("gateway to "+coreName(n), net.JoinHostPort(hosts[n].String(), toCore.port()), address)
	}
	dns.set(hosts...)
	t.Cleanup(c.hooks.next.CloseIdleConnections)
	c.crowd = &crowd{s: c.Stack}
	c.probe = c.crowd.enter(t)
	awaitPair(t, c.Stack, c.probe)
	// People leave the probe alone.
	c.crowd.tickets = nil
	for range 4 {
		c.crowd.enter(t)
	}
	return c
}

// fates repeats some service hooks and lets others be overtaken.
func fates(seed uint64) func(azuredevops.Notification) azuredevops.Fate {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 23))
	return func(azuredevops.Notification) azuredevops.Fate {
		mu.Lock()
		defer mu.Unlock()
		fate := azuredevops.Fate{}
		if r.IntN(5) == 0 {
			fate.Copies = 1 + r.IntN(2)
		}
		if r.IntN(3) == 0 {
			fate.Delay = time.Duration(r.IntN(1500)) * time.Millisecond
		}
		return fate
	}
}

// attack lets people work and everything befall the system until it was enough.
func (c *chaos) attack() {
	over := make(chan struct{})
	var busy sync.WaitGroup
	credentials := genuine(c.t, c.Stack)
	sender := &stream{crowd: c.crowd, client: &http.Client{Transport: c.hooks, Timeout: 20 * time.Second}}
	const workers, senders = 3, 12
	perSecond, most := 2.0, 40
	if *chaosLong > time.Minute {
		most = 300
	}
	for n := range workers + senders {
		r := rand.New(rand.NewPCG(c.seed, 100+uint64(n)))
		rate := perSecond
		if n >= workers {
			rate = float64(*chaosRate) / senders
		}
		busy.Go(func() {
			ticker := time.NewTicker(time.Duration(float64(time.Second) / rate))
			defer ticker.Stop()
			for {
				select {
				case <-over:
					return
				case <-ticker.C:
				}
				if n < workers {
					c.crowd.work(c.t, r, most)
				} else {
					sender.one(c.t, r, credentials, over)
				}
			}
		})
	}
	busy.Go(func() { c.weather(over) })
	c.strike(over)
	close(over)
	busy.Wait()
}

// pauseFor waits, and tells whether the attack goes on.
func pauseFor(over <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-over:
		return false
	case <-timer.C:
		return true
	}
}

// weather lets squalls come and go.
func (c *chaos) weather(over <-chan struct{}) {
	names := make([]string, len(c.cables))
	for i, one := range c.cables {
		names[i] = one.name
	}
	next := squalls(c.seed, names)
	for {
		s := next()
		if !pauseFor(over, s.after) {
			return
		}
		c.calm.RLock()
		if err := c.squall(s, over); err != nil {
			c.t.Errorf("%v: %v", s, err)
		}
		c.calm.RUnlock()
	}
}

func (c *chaos) squall(s squall, over <-chan struct{}) error {
	c.mu.Lock()
	if s.fault != "" {
		c.squalls["calls: "+s.fault]++
	} else {
		c.squalls["cables: "+s.toxic]++
	}
	c.mu.Unlock()
	if s.fault != "" {
		_, err := c.Box.Faults.Add(fault.Rule{
			ID: "squall", Kind: fault.Kind(s.fault), Probability: float64(s.chance) / 100, RetryAfter: fault.Duration(time.Second),
		})
		defer c.Box.Faults.Remove("squall")
		pauseFor(over, s.long)
		return err
	}
	at := slices.IndexFunc(c.cables, func(one *cable) bool { return one.name == s.cable })
	err := c.cables[at].ill(s.toxic, s.downstream, s.attributes)
	pauseFor(over, s.long)
	if err == nil {
		err = c.cables[at].well(c.t)
	}
	return err
}

// strike deals blows to processes until it was enough.
func (c *chaos) strike(over <-chan struct{}) {
	next := blows(c.seed, *chaosLong < time.Minute)
	began, told := time.Now(), time.Now()
	var sleepers sync.WaitGroup
	defer sleepers.Wait()
	for !c.t.Failed() {
		_, accepted := c.hooks.all()
		took := time.Since(began)
		if took > *chaosLong && c.killed() >= *chaosKills && accepted >= *chaosEvents {
			return
		}
		if took > 2**chaosLong+5*time.Minute {
			c.t.Errorf("there were only %d kills and %d webhooks accepted within %s", c.killed(), accepted, took)
			return
		}
		if time.Since(told) > 30*time.Second {
			told = time.Now()
			c.t.Logf("%s: %d kills, %d webhooks accepted, %d tickets, %d things done", took.Round(time.Second), c.killed(), accepted, c.crowd.size(), c.crowd.deeds)
		}
		b := next()
		pauseFor(over, b.after)
		c.mu.Lock()
		asleep := len(c.asleep)
		busy := c.asleep[b.victim]
		c.mu.Unlock()
		if busy || b.measured && asleep > 0 {
			continue
		}
		c.told = append(c.told, fmt.Sprintf("%s %v", time.Since(began).Round(time.Millisecond), b))
		c.deal(b, &sleepers)
	}
}

func (c *chaos) killed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, kills := range c.kills {
		n += kills
	}
	return n
}

// deal deals one blow.
func (c *chaos) deal(b blow, sleepers *sync.WaitGroup) {
	if b.what == pause {
		c.signal(b.victim, syscall.SIGSTOP)
		c.mu.Lock()
		c.pauses[b.victim]++
		c.asleep[b.victim] = true
		c.mu.Unlock()
		sleepers.Go(func() {
			pauseFor(nil, b.long)
			c.signal(b.victim, syscall.SIGCONT)
			c.mu.Lock()
			defer c.mu.Unlock()
			delete(c.asleep, b.victim)
		})
		return
	}
	if b.measured {
		c.calm.Lock()
		defer c.calm.Unlock()
	}
	inStep := func() (bool, string) { return true, "" }
	if b.measured {
		inStep = c.move()
	}
	began := time.Now()
	c.kill(b.victim)
	pauseFor(nil, b.long)
	c.revive(b)
	if !b.measured {
		return
	}
	await(c.t, 2*mostRecovery, "both sides are in step after: "+b.String(), inStep)
	took := time.Since(began)
	c.recoveries = append(c.recoveries, took)
	if took > mostRecovery {
		c.t.Errorf("%v: in step again only after %s", b, took)
	}
}

// move moves the probe's work item, or its ticket, and gives what tells whether the other
// side has followed.
func (c *chaos) move() func() (bool, string) {
	workItem := pairOf(c.Stack, c.probe)
	shown, _ := c.Box.AzureDevOps.WorkItem(workItem)
	states, statuses := []string{"To Do", "Doing", "Done"}, []string{"Development", "Development pending", "Testing"}
	next := (slices.Index(states, shown.State) + 1) % len(states)
	if len(c.recoveries)%2 == 0 {
		setState(c.t, c.Stack, workItem, states[next])
	} else {
		setStatus(c.t, c.Stack, c.probe, statuses[next])
	}
	return func() (bool, string) {
		ticket, _ := c.Box.Alvao.Ticket(c.probe)
		item, _ := c.Box.AzureDevOps.WorkItem(workItem)
		return ticket.Status == statuses[next] && item.State == states[next], fmt.Sprintf("they are in %q and %q", ticket.Status, item.State)
	}
}

func (c *chaos) core(victim string) coreUnderAttack {
	for n := range c.cores {
		if coreName(n) == victim {
			return c.cores[n]
		}
	}
	return coreUnderAttack{}
}

func (c *chaos) signal(victim string, signal syscall.Signal) {
	var err error
	switch victim {
	case theRedis:
		if signal == syscall.SIGSTOP {
			c.redis.pause()
		} else {
			c.redis.resume()
		}
	case theGateway:
		err = c.Gateway.Signal(signal)
	default:
		err = c.core(victim).program.Signal(signal)
	}
	if err != nil {
		c.t.Errorf("%v for %s: %v", signal, victim, err)
	}
}

func (c *chaos) kill(victim string) {
	c.mu.Lock()
	c.kills[victim]++
	c.mu.Unlock()
	switch victim {
	case theRedis:
		c.redis.kill()
	case theGateway:
		c.Gateway.Kill()
	default:
		c.core(victim).program.Kill()
	}
}

// revive starts a process again. A sync-core does not start while Redis can't be reached,
// and is started once more then, as Kubernetes does.
func (c *chaos) revive(b blow) {
	again := func() error { return nil }
	switch b.victim {
	case theRedis:
		c.redis.revive()
	case theGateway:
		again = func() error { return c.StartGateway(c.t.Context()) }
	default:
		one := c.core(b.victim)
		if b.skew != 0 {
			c.skews++
		}
		one.program.Env = []string{"TANDEM_TEST_SKEW=" + b.skew.String()}
		again = func() error { return c.StartBeside(c.t.Context(), one.program, one.address) }
	}
	var err error
	for range 40 {
		if err = again(); err == nil {
			return
		}
		pauseFor(nil, 250*time.Millisecond)
	}
	c.t.Fatalf("starting %s again: %v", b.victim, err)
}
