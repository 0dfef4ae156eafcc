package redistest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
)

// masters is how many primaries a cluster has: the least that Redis calls a cluster.
const masters = 3

// Cluster is a Redis Cluster of three primaries.
type Cluster struct {
	// Servers are the primaries as it was set up, then a round of replicas, and so on.
	Servers []*Server
}

// StartCluster starts three primaries with so many replicas each. timeout is the cluster's
// node timeout: a little later a replica takes the place of a primary that does not answer.
func StartCluster(tb testing.TB, replicas int, timeout time.Duration, settings ...string) *Cluster {
	tb.Helper()
	c := &Cluster{}
	for range masters * (1 + replicas) {
		// The usual port of the bus is ten thousand higher, which may be none.
		bus := map[string]string{}
		c.Servers = append(c.Servers, launch(tb, false, func(port, dir string) []string {
			if bus[port] == "" {
				bus[port] = freePort(tb)
			}
			return append([]string{
				"--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "",
				"--appendonly", "yes", "--appendfsync", "everysec", "--repl-diskless-sync-delay", "0",
				"--cluster-enabled", "yes", "--cluster-port", bus[port],
				"--cluster-node-timeout", strconv.FormatInt(timeout.Milliseconds(), 10), "--cluster-replica-validity-factor", "0",
			}, settings...)
		}))
	}
	const slots = 16384
	for i, s := range c.Servers {
		s.Must(tb, fmt.Sprintf("CLUSTER SET-CONFIG-EPOCH %d", i+1))
		if i < masters {
			s.Must(tb, fmt.Sprintf("CLUSTER ADDSLOTSRANGE %d %d", slots*i/masters, slots*(i+1)/masters-1))
		}
	}
	for _, s := range c.Servers[1:] {
		_, busPort, _ := strings.Cut(s.node(tb), "@")
		busPort, _, _ = strings.Cut(busPort, " ")
		busPort, _, _ = strings.Cut(busPort, ",")
		c.Servers[0].Must(tb, fmt.Sprintf("CLUSTER MEET 127.0.0.1 %s %s", s.port, busPort))
	}
	for _, s := range c.Servers {
		Await(tb, "the nodes know each other", func() bool {
			info := s.info(tb, "cluster")
			return info["cluster_state"] == "ok" && info["cluster_known_nodes"] == strconv.Itoa(len(c.Servers))
		})
	}
	for i, s := range c.Servers[masters:] {
		id, _, _ := strings.Cut(c.Servers[i%masters].node(tb), " ")
		s.Must(tb, "CLUSTER REPLICATE "+id)
	}
	for i, s := range c.Servers {
		Await(tb, "the replicas are in step", func() bool {
			info := s.info(tb, "replication")
			return i < masters && info["connected_slaves"] == strconv.Itoa(replicas) || i >= masters && info["master_link_status"] == "up"
		})
	}
	for _, s := range c.Servers {
		Await(tb, "the nodes know the replicas", func() bool {
			return strings.Count(s.nodes(tb), " slave ")+strings.Count(s.nodes(tb), ",slave ") == masters*replicas
		})
	}
	return c
}

// nodes is CLUSTER NODES: a line for each, with id, address@busport, roles, …
func (s *Server) nodes(tb testing.TB) string {
	tb.Helper()
	return Admin(tb, s, func(ctx context.Context, c *redis.Client) (string, error) { return c.ClusterNodes(ctx).Result() })
}

// node is the server's own line of nodes.
func (s *Server) node(tb testing.TB) string {
	tb.Helper()
	text := s.nodes(tb)
	for line := range strings.Lines(text) {
		if strings.Contains(line, "myself") {
			return line
		}
	}
	tb.Fatalf("a node does not know itself: %s", text)
	return ""
}

// info is CLUSTER INFO or a section of INFO.
func (s *Server) info(tb testing.TB, section string) map[string]string {
	tb.Helper()
	text := Admin(tb, s, func(ctx context.Context, c *redis.Client) (string, error) {
		if section == "cluster" {
			return c.ClusterInfo(ctx).Result()
		}
		return c.Info(ctx, section).Result()
	})
	found := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		found[name] = value
	}
	return found
}

// Info is a section of the server's INFO.
func (s *Server) Info(tb testing.TB, section string) map[string]string {
	tb.Helper()
	return s.info(tb, section)
}

// Admin asks a server something over a connection of its own.
func Admin[T any](tb testing.TB, s *Server, ask func(context.Context, *redis.Client) (T, error)) T {
	tb.Helper()
	client := redis.NewClient(&redis.Options{Addr: s.Address(), Protocol: 2, DisableIdentity: true})
	defer func() { _ = client.Close() }() // nothing is under way
	answer, err := ask(tb.Context(), client)
	if err != nil {
		tb.Fatalf("asking redis-server: %v", err)
	}
	return answer
}

// Await waits until met holds.
func Await(tb testing.TB, what string, met func() bool) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 2*patience)
	defer cancel()
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for !met() {
		select {
		case <-ctx.Done():
			tb.Fatalf("it does not come about that %s", what)
		case <-ticker.C:
		}
	}
}

// URL is the cluster's address as Tandem's configuration has it.
func (c *Cluster) URL() string {
	var hosts []string
	for _, s := range c.Servers {
		hosts = append(hosts, s.Address())
	}
	return "redis+cluster://" + strings.Join(hosts, ",")
}

// Open opens the cluster for Tandem with a key prefix that no other test has.
func (c *Cluster) Open(tb testing.TB) *datastore.Store {
	tb.Helper()
	return open(tb, datastore.Options{URL: c.URL(), KeyPrefix: prefix()})
}

// Running tells whether the server's process is there.
func (s *Server) Running() bool { return s.running() }

func (s *Server) running() bool {
	select {
	case <-s.exited:
		return false
	default:
		return true
	}
}

// Pair is a primary and its replica behind three sentinels.
type Pair struct {
	// Servers are the primary and its replica, as they were started.
	Servers   []*Server
	Sentinels []*Server
}

// Group is several servers of which some copy others.
type Group interface {
	// URL is the address as Tandem's configuration has it.
	URL() string
	// Open opens it for Tandem with a key prefix that no other test has.
	Open(tb testing.TB) *datastore.Store
	// Now returns the primary that holds the inbox and its replica, as they are now, both
	// in step; it waits until there are two.
	Now(tb testing.TB) (*Server, *Server)
	// Elsewhere tells whether another server than s is the primary that holds the inbox.
	Elsewhere(tb testing.TB, s *Server) bool
	// FailOver exchanges the two, as an administrator does before maintenance: nobody dies.
	FailOver(tb testing.TB)
	// Promote has a replica that is in step take the place of its primary, which lives on.
	Promote(tb testing.TB, replica *Server)
	// Members are all servers that hold data, as they were started, whatever they are now.
	Members() []*Server
	// Primaries are those that run and take writes now. All that run must answer.
	Primaries(tb testing.TB) []*Server
	// ReplicaOf is the server that copies a primary; nil: none that runs does.
	ReplicaOf(tb testing.TB, primary *Server) *Server
	// Serving tells whether every key has a primary.
	Serving(tb testing.TB) bool
	// Whole tells whether all servers run and every primary has its replica in step.
	Whole(tb testing.TB) bool
	// Return starts a member that died again, to copy whoever has taken its place.
	Return(tb testing.TB, s *Server)
}

// Members is part of Group.
func (c *Cluster) Members() []*Server { return c.Servers }

// Primaries is part of Group.
func (c *Cluster) Primaries(tb testing.TB) []*Server {
	tb.Helper()
	var list []*Server
	for _, s := range c.Servers {
		// Beyond eight words there are slots.
		if fields := s.fields(tb); len(fields) > 8 && strings.Contains(fields[2], "master") {
			list = append(list, s)
		}
	}
	return list
}

// ReplicaOf is part of Group.
func (c *Cluster) ReplicaOf(tb testing.TB, primary *Server) *Server {
	tb.Helper()
	return replicaOf(tb, c.Servers, primary)
}

// Serving is part of Group.
func (c *Cluster) Serving(tb testing.TB) bool {
	tb.Helper()
	for _, s := range c.Servers {
		if s.running() && s.info(tb, "cluster")["cluster_state"] != "ok" {
			return false
		}
	}
	return len(c.Primaries(tb)) == masters
}

// Whole is part of Group.
func (c *Cluster) Whole(tb testing.TB) bool {
	tb.Helper()
	return c.Serving(tb) && whole(tb, c.Servers, c.Primaries(tb))
}

// Return is part of Group.
func (c *Cluster) Return(tb testing.TB, s *Server) { tb.Helper(); s.Restart(tb) }

// fields are the words of a node's own line; nil: it does not run.
func (s *Server) fields(tb testing.TB) []string {
	tb.Helper()
	if !s.running() {
		return nil
	}
	return strings.Fields(s.node(tb))
}

// InStep waits until a replica has everything that its primary has now.
func InStep(tb testing.TB, g Group, replica *Server) {
	tb.Helper()
	Await(tb, "the replica has caught up", func() bool {
		for _, primary := range g.Primaries(tb) {
			if replica.info(tb, "replication")["master_port"] == primary.port {
				has, errHas := strconv.ParseInt(replica.info(tb, "replication")["slave_repl_offset"], 10, 64)
				all, errAll := strconv.ParseInt(primary.info(tb, "replication")["master_repl_offset"], 10, 64)
				return errHas == nil && errAll == nil && has >= all
			}
		}
		return false
	})
}

// replicaOf finds the server that copies another.
func replicaOf(tb testing.TB, all []*Server, primary *Server) *Server {
	tb.Helper()
	for _, s := range all {
		if s != primary && s.running() && s.info(tb, "replication")["master_port"] == primary.port {
			return s
		}
	}
	return nil
}

// whole tells whether all servers run and each primary has a replica in step.
func whole(tb testing.TB, all, primaries []*Server) bool {
	tb.Helper()
	for _, s := range all {
		if !s.running() {
			return false
		}
	}
	for _, primary := range primaries {
		replica := replicaOf(tb, all, primary)
		if replica == nil || replica.info(tb, "replication")["master_link_status"] != "up" ||
			!strings.Contains(primary.info(tb, "replication")["slave0"], "state=online") {
			return false
		}
	}
	return len(primaries) > 0
}

// primaryName is what the sentinels call the primary.
const primaryName = "tandem"

// StartPair starts a primary, a replica and three sentinels. down is how long a primary may
// be silent before the sentinels let the replica take its place.
func StartPair(tb testing.TB, down time.Duration, settings ...string) *Pair {
	tb.Helper()
	settings = append([]string{"--repl-diskless-sync-delay", "0"}, settings...)
	primary := Start(tb, settings...)
	p := &Pair{Servers: []*Server{primary, Start(tb, append(settings, "--replicaof", "127.0.0.1 "+primary.port)...)}}
	for range 3 {
		p.Sentinels = append(p.Sentinels, launch(tb, false, func(port, dir string) []string {
			file := filepath.Join(dir, "sentinel.conf")
			text := fmt.Sprintf("bind 127.0.0.1\nport %s\ndir %s\nsentinel monitor %[3]s 127.0.0.1 %[4]s 2\n"+
				"sentinel down-after-milliseconds %[3]s %[5]d\nsentinel failover-timeout %[3]s 10000\n",
				port, dir, primaryName, primary.port, down.Milliseconds())
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				tb.Fatal(err)
			}
			return []string{file, "--sentinel"}
		}))
	}
	Await(tb, "the replica is in step", func() bool {
		return strings.Contains(primary.info(tb, "replication")["slave0"], "state=online")
	})
	for _, s := range p.Sentinels {
		Await(tb, "the sentinels know each other and the replica", func() bool {
			known := s.info(tb, "sentinel")["master0"]
			return strings.Contains(known, "status=ok") && strings.Contains(known, "slaves=1") && strings.Contains(known, "sentinels=3")
		})
	}
	return p
}

// URL is the sentinels' address as Tandem's configuration has it.
func (p *Pair) URL() string {
	var hosts []string
	for _, s := range p.Sentinels {
		hosts = append(hosts, s.Address())
	}
	return "redis+sentinel://" + strings.Join(hosts, ",") + "/" + primaryName
}

// Open opens the pair for Tandem with a key prefix that no other test has.
func (p *Pair) Open(tb testing.TB) *datastore.Store {
	tb.Helper()
	return open(tb, datastore.Options{URL: p.URL(), KeyPrefix: prefix()})
}

// FailOver is part of Group.
func (p *Pair) FailOver(tb testing.TB) {
	tb.Helper()
	p.Sentinels[0].Must(tb, "SENTINEL FAILOVER "+primaryName)
}

// Promote is part of Group. There is but one replica.
func (p *Pair) Promote(tb testing.TB, _ *Server) { tb.Helper(); p.FailOver(tb) }

// Now is part of Group.
func (p *Pair) Now(tb testing.TB) (*Server, *Server) {
	tb.Helper()
	return now(tb, func() []*Server { return p.Servers })
}

// Elsewhere is part of Group.
func (p *Pair) Elsewhere(tb testing.TB, s *Server) bool {
	tb.Helper()
	other := p.Servers[0]
	if other == s {
		other = p.Servers[1]
	}
	return other.info(tb, "replication")["role"] == "master"
}

// Members is part of Group.
func (p *Pair) Members() []*Server { return p.Servers }

// Primaries is part of Group.
func (p *Pair) Primaries(tb testing.TB) []*Server {
	tb.Helper()
	var list []*Server
	for _, s := range p.Servers {
		if s.running() && s.info(tb, "replication")["role"] == "master" {
			list = append(list, s)
		}
	}
	return list
}

// ReplicaOf is part of Group.
func (p *Pair) ReplicaOf(tb testing.TB, primary *Server) *Server {
	tb.Helper()
	return replicaOf(tb, p.Servers, primary)
}

// Serving is part of Group.
func (p *Pair) Serving(tb testing.TB) bool {
	tb.Helper()
	list := p.Primaries(tb)
	if len(list) != 1 {
		return false
	}
	for _, s := range p.Sentinels {
		if !strings.Contains(s.info(tb, "sentinel")["master0"], "status=ok,address="+list[0].Address()) {
			return false
		}
	}
	return true
}

// Whole is part of Group.
func (p *Pair) Whole(tb testing.TB) bool {
	tb.Helper()
	if !p.Serving(tb) || !whole(tb, p.Servers, p.Primaries(tb)) {
		return false
	}
	// A sentinel that finds no replica good enough tries again only after twice its timeout.
	for _, s := range p.Sentinels {
		client := redis.NewSentinelClient(&redis.Options{Addr: s.Address(), Protocol: 2, DisableIdentity: true})
		known, err := client.Replicas(tb.Context(), primaryName).Result()
		_ = client.Close() // nothing is under way
		if err != nil || len(known) != 1 || known[0]["flags"] != "slave" || known[0]["master-link-status"] != "ok" {
			return false
		}
	}
	return true
}

// Return is part of Group. Sentinels would make a replica of it by themselves, after eight
// seconds in which it takes itself for the primary.
func (p *Pair) Return(tb testing.TB, s *Server) {
	tb.Helper()
	list := p.Primaries(tb)
	if len(list) != 1 {
		tb.Fatalf("there are %d primaries", len(list))
	}
	first := s.arguments
	s.arguments = func(port string) []string { return append(first(port), "--replicaof", "127.0.0.1 "+list[0].port) }
	s.Restart(tb)
	s.arguments = first
}

// Now is part of Group.
func (c *Cluster) Now(tb testing.TB) (*Server, *Server) {
	tb.Helper()
	return now(tb, func() []*Server {
		var of []*Server
		for _, s := range c.Servers {
			if s.running() && s.serves(tb) {
				of = append(of, s)
			}
		}
		for _, s := range c.Servers {
			if len(of) == 1 && s != of[0] && s.running() && s.info(tb, "replication")["master_port"] == of[0].port {
				of = append(of, s)
			}
		}
		return of
	})
}

// Elsewhere is part of Group.
func (c *Cluster) Elsewhere(tb testing.TB, s *Server) bool {
	tb.Helper()
	for _, other := range c.Servers {
		if other != s && other.running() && other.serves(tb) {
			return true
		}
	}
	return false
}

// FailOver is part of Group.
func (c *Cluster) FailOver(tb testing.TB) {
	tb.Helper()
	_, replica := c.Now(tb)
	c.Promote(tb, replica)
}

// Promote is part of Group.
func (*Cluster) Promote(tb testing.TB, replica *Server) {
	tb.Helper()
	replica.Must(tb, "CLUSTER FAILOVER")
}

// inboxSlot is the slot of everything tagged {inbox} (CLUSTER KEYSLOT).
const inboxSlot = 7080

// serves tells whether a node of a cluster is the primary of the inbox.
func (s *Server) serves(tb testing.TB) bool {
	tb.Helper()
	fields := strings.Fields(s.node(tb))
	if !strings.Contains(fields[2], "master") {
		return false
	}
	for _, slots := range fields[8:] {
		first, last, _ := strings.Cut(slots, "-")
		from, err := strconv.Atoi(first)
		to, errTo := strconv.Atoi(last)
		if err == nil && errTo == nil && from <= inboxSlot && inboxSlot <= to {
			return true
		}
	}
	return false
}

// now finds the primary among two servers, and the other once it is in step.
func now(tb testing.TB, servers func() []*Server) (*Server, *Server) {
	tb.Helper()
	var primary, replica *Server
	Await(tb, "a primary has its replica in step", func() bool {
		two := servers()
		if len(two) != 2 || !two[0].running() || !two[1].running() {
			return false
		}
		primary, replica = two[0], two[1]
		if primary.info(tb, "replication")["role"] == "slave" {
			primary, replica = replica, primary
		}
		of, to := primary.info(tb, "replication"), replica.info(tb, "replication")
		return of["role"] == "master" && strings.Contains(of["slave0"], "state=online") && to["master_link_status"] == "up" && to["master_port"] == primary.port
	})
	return primary, replica
}
