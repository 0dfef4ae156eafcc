package datastore

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

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
}

// Durable tells whether the server keeps what it acknowledges, as it is set now: an
// administrator may change settings while it runs, and a disk may fill up. What the
// server does not let be seen counts as right. It asks the server.
func (s *Store) Durable(ctx context.Context) bool {
	if s.embedded != nil {
		return false
	}
	found := s.readSettings(ctx)
	return found.lastWrite != "err" && !slices.ContainsFunc(found.problems(), func(p problem) bool { return p.volatile })
}

// checkSettings refuses a server that loses data, or warns where it was allowed to.
func (s *Store) checkSettings(ctx context.Context, allowVolatile bool) error {
	found := s.readSettings(ctx)
	for _, p := range found.problems() {
		if p.volatile && allowVolatile {
			s.warnings = append(s.warnings, p.text+" It is accepted because volatile Redis is allowed.")
			continue
		}
		return fault.New(fault.Misconfigured, "%s", p.text)
	}
	s.warnings = append(s.warnings, found.warnings()...)
	return nil
}

// readSettings asks in both ways there are, as hosted servers often forbid one of
// them: CONFIG is @admin, INFO is @dangerous.
func (s *Store) readSettings(ctx context.Context) settings {
	var found settings
	for _, section := range []string{"server", "persistence", "memory"} {
		text, err := s.client.Info(ctx, section).Result()
		if err != nil {
			continue // forbidden: told as "could not be seen"
		}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			switch name {
			case "redis_version":
				found.version = value
			case "aof_enabled":
				found.appendOnly = map[string]string{"0": "no", "1": "yes"}[value]
			case "aof_last_write_status":
				found.lastWrite = value
			case "maxmemory_policy":
				found.eviction = value
			}
		}
	}
	for name, into := range map[string]*string{
		"appendonly": &found.appendOnly, "appendfsync": &found.appendFsync, "maxmemory-policy": &found.eviction,
	} {
		values, err := s.client.ConfigGet(ctx, name).Result()
		if err == nil && values[name] != "" {
			*into = values[name]
		}
	}
	return found
}

// problem is a setting that Tandem does not work with.
type problem struct {
	text string
	// volatile: the setting loses data, which an operator may accept.
	volatile bool
}

func (f settings) problems() []problem {
	var list []problem
	if f.version != "" && !atLeast(f.version, 7, 0) {
		list = append(list, problem{text: fmt.Sprintf(
			"Redis is version %s, and Tandem needs 7.0 or newer; upgrade the server.", f.version)})
	}
	if f.appendOnly == "no" {
		list = append(list, problem{volatile: true, text: "Redis has appendonly set to no and loses acknowledged events " +
			"when it dies; set appendonly yes in redis.conf (or CONFIG SET appendonly yes, then CONFIG REWRITE)."})
	}
	if f.eviction != "" && f.eviction != "noeviction" {
		list = append(list, problem{volatile: true, text: fmt.Sprintf("Redis has maxmemory-policy set to %s and throws links "+
			"and events away when memory is short; set maxmemory-policy noeviction.", f.eviction)})
	}
	return list
}

func (f settings) warnings() []string {
	var list []string
	if f.appendFsync == "no" {
		list = append(list, "Redis has appendfsync set to no, so a power cut may lose half a minute of events; set appendfsync everysec.")
	}
	var unseen []string
	for name, value := range map[string]string{"version": f.version, "appendonly": f.appendOnly, "maxmemory-policy": f.eviction} {
		if value == "" {
			unseen = append(unseen, name)
		}
	}
	if len(unseen) > 0 {
		list = append(list, fmt.Sprintf("Redis does not let this user see %s (neither CONFIG GET nor INFO); make sure by hand "+
			"that it is 7.0 or newer with appendonly yes and maxmemory-policy noeviction.", inOrder(unseen)))
	}
	return list
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
