package datastore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// settings are the facts about a server that decide whether it keeps what it
// acknowledged. An empty value could not be seen.
type settings struct {
	version     string
	appendOnly  string
	appendFsync string
	eviction    string
	// lastWrite is how the last write to the append-only file went: "ok" or "err".
	lastWrite string
	// told tells that the server lets INFO be asked, without which nobody sees its replicas.
	told bool
}

// Durable tells whether the servers that take writes keep what they acknowledge, as they
// are set now: an administrator may change settings while they run, a disk may fill up,
// and after a fail-over it is another server. What a server does not let be seen counts as
// right. It asks the servers.
func (s *Store) Durable(ctx context.Context) bool {
	if s.embedded != nil {
		return false
	}
	durable := true
	for _, n := range s.primaries(ctx) {
		found, _ := readSettings(ctx, n.client) // one that is away loses nothing
		if found.lastWrite == "err" || slices.ContainsFunc(found.problems(""), func(p problem) bool { return p.volatile }) {
			durable = false
		}
	}
	return durable
}

// checkSettings refuses servers that lose data, or warns where it was allowed to. In a
// cluster and behind sentinels any node may be the next to take writes, so all are looked
// at; one that can't be reached now is told of.
func (s *Store) checkSettings(ctx context.Context, allowVolatile bool) error {
	nodes, done := s.nodes(ctx)
	defer done()
	for _, n := range nodes {
		found, seen := readSettings(ctx, n.client)
		if !seen {
			s.warnings = append(s.warnings, fmt.Sprintf("Redis at %s can't be reached, so nobody knows whether it would keep data; "+
				"make sure by hand that it has appendonly yes and maxmemory-policy noeviction.", n.name))
			continue
		}
		for _, p := range append(found.problems(n.name), s.unseenReplicas(n.name, found)...) {
			if p.mild {
				s.warnings = append(s.warnings, p.text)
				continue
			}
			if p.volatile && allowVolatile {
				s.warnings = append(s.warnings, p.text+" It is accepted because volatile Redis is allowed.")
				continue
			}
			return fault.New(fault.Misconfigured, "%s", p.text)
		}
		s.warnings = append(s.warnings, found.warnings(n.name)...)
	}
	return nil
}

// readSettings asks in both ways there are, as hosted servers often forbid one of
// them: CONFIG is @admin, INFO is @dangerous. It tells whether the server answered at all.
func readSettings(ctx context.Context, client *redis.Client) (settings, bool) {
	var found settings
	answered := false
	heard := func(err error) bool {
		var reply redis.Error
		answered = answered || err == nil || errors.As(err, &reply)
		return err == nil // forbidden: told as "could not be seen"
	}
	text, err := client.Info(ctx, "server", "persistence", "memory").Result()
	if heard(err) {
		found.told = true
		info := readInfo(text)
		found.version = info["redis_version"]
		found.appendOnly = map[string]string{"0": "no", "1": "yes"}[info["aof_enabled"]]
		found.lastWrite = info["aof_last_write_status"]
		found.eviction = info["maxmemory_policy"]
	}
	for name, into := range map[string]*string{
		"appendonly": &found.appendOnly, "appendfsync": &found.appendFsync, "maxmemory-policy": &found.eviction,
	} {
		values, err := client.ConfigGet(ctx, name).Result()
		if heard(err) && values[name] != "" {
			*into = values[name]
		}
	}
	return found, answered
}

// readInfo takes an answer of INFO apart.
func readInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info
}

// problem is a setting that Tandem does not work with.
type problem struct {
	text string
	// volatile: the setting loses data, which an operator may accept.
	volatile bool
	// mild: it is only told.
	mild bool
}

// unseenReplicas finds whether writes would wait for no replica only because nobody sees
// that there are any. Where there is to be a fail-over, it would lose what was acknowledged.
func (s *Store) unseenReplicas(node string, found settings) []problem {
	if found.told || s.replicas != AutoReplicas {
		return nil
	}
	return []problem{{volatile: true, mild: s.mode == single, text: named(node) + " does not let this user run INFO, so nobody sees " +
		"whether it has replicas, none is waited for, and a fail-over loses acknowledged events; grant the user +info, " +
		"or say with --redis-replicas how many there are (0: none)."}}
}

// problems are told with the node's name; empty where there is but one.
func (f settings) problems(node string) []problem {
	redis := named(node)
	var list []problem
	if f.version != "" && !atLeast(f.version, 7, 0) {
		list = append(list, problem{text: fmt.Sprintf(
			"%s is version %s, and Tandem needs 7.0 or newer; upgrade the server.", redis, f.version)})
	}
	if f.appendOnly == "no" {
		list = append(list, problem{volatile: true, text: redis + " has appendonly set to no and loses acknowledged events " +
			"when it dies; set appendonly yes in redis.conf (or CONFIG SET appendonly yes, then CONFIG REWRITE)."})
	}
	if f.eviction != "" && f.eviction != "noeviction" {
		list = append(list, problem{volatile: true, text: fmt.Sprintf("%s has maxmemory-policy set to %s and throws links "+
			"and events away when memory is short; set maxmemory-policy noeviction.", redis, f.eviction)})
	}
	return list
}

func (f settings) warnings(node string) []string {
	redis := named(node)
	var list []string
	if f.appendFsync == "no" {
		list = append(list, redis+" has appendfsync set to no, so a power cut may lose half a minute of events; set appendfsync everysec.")
	}
	var unseen []string
	for name, value := range map[string]string{"version": f.version, "appendonly": f.appendOnly, "maxmemory-policy": f.eviction} {
		if value == "" {
			unseen = append(unseen, name)
		}
	}
	if len(unseen) > 0 {
		list = append(list, fmt.Sprintf("%s does not let this user see %s (neither CONFIG GET nor INFO); make sure by hand "+
			"that it is 7.0 or newer with appendonly yes and maxmemory-policy noeviction.", redis, inOrder(unseen)))
	}
	return list
}

// named begins a sentence about a node.
func named(node string) string {
	if node == "" {
		return "Redis"
	}
	return "Redis at " + node
}

// atLeast compares the first two numbers of a version; what is no version passes,
// as servers that speak Redis' protocol count in their own way.
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return true
	}
	a, errA := strconv.Atoi(parts[0])
	b, errB := strconv.Atoi(parts[1])
	if errA != nil || errB != nil {
		return true
	}
	return a > major || (a == major && b >= minor)
}
