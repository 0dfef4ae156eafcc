package datastore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// refusals are the words with which Redis begins an error that heals without a
// change of Tandem, and what a person can do about each (Redis manual: error
// replies of "Redis administration", "Replication", "Cluster specification").
func refusals() map[string]string {
	return map[string]string{
		"OOM":         "Redis has used up its maxmemory and refuses to store anything; raise maxmemory.",
		"MISCONF":     "Redis can't write to its disk and refuses to store anything; free disk space or repair the disk.",
		"READONLY":    "Redis is a read-only replica; point Tandem at the primary or wait for the fail-over to end.",
		"LOADING":     "Redis is loading its data after a start; Tandem continues when it is done.",
		"MASTERDOWN":  "Redis is a replica that lost its primary; Tandem continues when the fail-over is done.",
		"MOVED":       "The Redis cluster is moving keys, or failing over; Tandem tries again.",
		"ASK":         "The Redis cluster is moving keys; Tandem tries again.",
		"CLUSTERDOWN": "The Redis cluster does not serve all keys; bring its missing nodes back.",
		"TRYAGAIN":    "The Redis cluster is moving keys; Tandem tries again.",
		"NOREPLICAS":  "Redis has fewer replicas in step than min-replicas-to-write asks for; bring its replicas back.",
		"NOAUTH":      "Redis asks for a user and password; add them to Tandem's Redis address.",
		"WRONGPASS":   "Redis refuses Tandem's user or password; correct them in Tandem's Redis address.",
		"NOPERM":      "Redis' access list forbids Tandem's user a command or key; allow it ~PREFIX* and +@all -@admin.",
		"BUSY":        "Redis is busy with a script of somebody else; Tandem tries again.",
		"UNKILLABLE":  "Redis is busy with a script of somebody else; Tandem tries again.",
	}
}

// The causes of refusals that are Tandem's own, as Redis would name them.
var (
	errMemory   = errors.New("OOM used_memory is near maxmemory")
	errReplicas = errors.New("NOREPLICAS too few replicas confirmed a write")
)

// Reasons why Redis stores nothing, as metrics and logs name them.
const (
	ReasonUnreachable = "unreachable"
	ReasonOther       = "other"
)

// reasons name the same words for metrics.
func reasons() map[string]string {
	return map[string]string{
		"OOM": "maxmemory", "MISCONF": "disk", "READONLY": "read_only", "LOADING": "loading", "MASTERDOWN": "fail_over",
		"CLUSTERDOWN": "cluster", "TRYAGAIN": "cluster", "MOVED": "cluster", "ASK": "cluster", "NOREPLICAS": "replicas",
		"NOAUTH": "credentials", "WRONGPASS": "credentials", "NOPERM": "forbidden", "BUSY": "busy", "UNKILLABLE": "busy",
	}
}

// Reason names in a word why Redis stores nothing, for a metric: there are about a dozen.
// It is empty where err is none of Redis, such as a cancelled context.
func Reason(err error) string {
	if err == nil || errors.Is(err, context.Canceled) {
		return ""
	}
	reply, ok := errors.AsType[redis.Error](err)
	switch {
	case errors.Is(err, errMemory):
		return reasons()["OOM"]
	case errors.Is(err, errReplicas):
		return reasons()["NOREPLICAS"]
	case !ok:
		return ReasonUnreachable
	}
	if name, ok := reasons()[refusal(reply)]; ok {
		return name
	}
	return ReasonOther
}

// refusal is the word with which Redis begins an error.
func refusal(reply redis.Error) string {
	word, _, _ := strings.Cut(strings.TrimPrefix(reply.Error(), "-"), " ")
	return word
}

// Fault gives an error of go-redis the kind a caller can act on: everything that
// heals by itself or by an operator's hand is fault.Unavailable. A cancelled
// context stays what it is, and so does what can only be a mistake in Tandem.
// A nil error gives nil. doing is a gerund phrase for the log.
func Fault(err error, doing string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if fault.Is(err, fault.Unavailable) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	var reply redis.Error
	if !errors.As(err, &reply) {
		return fault.Wrap(fmt.Errorf("%s: %w", doing, err), fault.Unavailable,
			"Redis can't be reached or does not answer in time; Tandem tries again by itself.")
	}
	if text, ok := refusals()[refusal(reply)]; ok {
		return fault.Wrap(fmt.Errorf("%s: %w", doing, err), fault.Unavailable, "%s", text)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Missing tells Redis' answer that there is nothing from a failure.
func Missing(err error) bool { return errors.Is(err, redis.Nil) }

// inOrder lists words the same way each time.
func inOrder(words []string) string {
	slices.Sort(words)
	return strings.Join(words, ", ")
}
