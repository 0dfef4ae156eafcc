// Package datastore opens the Redis that holds all of Tandem's state, and tells
// whether it can be trusted with it.
//
// Its one invariant: a Store that Open returned without the AllowVolatile option
// keeps what it acknowledged over a kill of the server, as far as the server's own
// settings tell. Measured with Redis 7.0.15: kill -9 under Debian's default
// settings loses every acknowledged write since the last snapshot, with an
// append-only file none.
//
// The embedded Redis is the same code path with the server in the process; it
// keeps nothing and is for demonstrations and tests.
package datastore

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// Embedded is the URL that starts a Redis inside the process.
const Embedded = "embedded"

// DefaultKeyPrefix begins every key unless Options say otherwise.
const DefaultKeyPrefix = "tandem:"

// InboxTag is the hash tag of the inbox, and so names the node of a cluster without
// which no event can be taken.
const InboxTag = "inbox"

// Options say which Redis to use and how.
type Options struct {
	// URL is redis://… for one server, redis+sentinel://… or redis+cluster://… (rediss… with
	// TLS), unix://… or the word embedded; address.go tells all forms.
	URL string
	// KeyPrefix begins every key, so that several installations can share a server.
	// Empty: DefaultKeyPrefix. It must not hold braces, which place keys in a cluster.
	KeyPrefix string
	// AllowVolatile accepts a Redis whose settings lose data. What would have been
	// refused is then told by Warnings.
	AllowVolatile bool
	// Replicas is how many replicas must have what RunReplicated writes. Zero value:
	// AutoReplicas.
	Replicas Replicas
	// TracerProvider, when set, makes a span of each command of a trace, without its
	// arguments.
	TracerProvider trace.TracerProvider
	// MeterProvider, when set, measures the connection pool and the commands.
	MeterProvider metric.MeterProvider
	// Ticks, when set, is the embedded Redis' only clock: its time is that of the
	// last tick. Nil: the machine's clock.
	Ticks <-chan time.Time
	// Dial, when set, makes the connections in place of the URL's network, to the address
	// that the URL, a sentinel or a cluster gave: for tests that keep the server in their own
	// process or stand between. Nil: the network is dialled.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Store is an open Redis. It is safe for concurrent use.
type Store struct {
	client   redis.UniversalClient
	options  *redis.UniversalOptions
	mode     mode
	prefix   string
	replicas Replicas
	warnings []string
	embedded *embedded
	// vitals are those of each server that RunReplicated wrote to, by its address.
	vitals sync.Map
	// refused counts what could not be stored; nil without a MeterProvider.
	refused metric.Int64Counter
}

// Open connects, checks that the server's settings do not lose data, and returns
// the store.
//
// It fails with fault.Unavailable when the server can't be reached, is still
// loading or refuses the credentials (trying again may help), and with
// fault.Misconfigured when the options or the server's settings are wrong (it does
// not).
func Open(ctx context.Context, o Options) (*Store, error) {
	s := &Store{prefix: o.KeyPrefix, replicas: o.Replicas}
	if s.prefix == "" {
		s.prefix = DefaultKeyPrefix
	}
	if strings.ContainsAny(s.prefix, "{}") {
		return nil, fault.New(fault.Misconfigured,
			"The Redis key prefix %q holds a brace, which decides where a cluster keeps a key; use a prefix without braces.", s.prefix)
	}
	if err := s.open(ctx, o); err != nil {
		_ = s.Close() // the first error is the one that tells
		return nil, err
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, o Options) error {
	var err error
	if s.options, err = s.read(o); err != nil {
		return err
	}
	s.client = redis.NewUniversalClient(s.options)
	if all, ok := s.client.(*redis.ClusterClient); ok {
		all.AddHook(attentive{all})
	}
	if err := s.instrument(o); err != nil {
		return err
	}
	if s.embedded != nil {
		s.warnings = append(s.warnings, "The embedded Redis keeps nothing when the process ends; use it for demonstrations only.")
		return nil
	}
	if err := s.Check(ctx); err != nil {
		return err
	}
	return s.checkSettings(ctx, o.AllowVolatile)
}

// read turns the URL into what the client needs, and starts the embedded
// server where the URL asks for it.
func (s *Store) read(o Options) (*redis.UniversalOptions, error) {
	if o.URL == Embedded {
		e, err := startEmbedded(o.Ticks)
		if err != nil {
			return nil, err
		}
		s.embedded = e
		return universal(&redis.Options{Addr: e.server.Addr()}), nil
	}
	a, err := parseAddress(o.URL)
	if err != nil {
		return nil, unreadable(o.URL, err)
	}
	s.mode = a.mode
	if o.Dial != nil {
		a.options.Dialer = o.Dial
	}
	return a.options, nil
}

// Client is the connection; it is closed by Close.
func (s *Store) Client() redis.UniversalClient { return s.client }

// Key names a key. Keys of one tag lie on one node of a cluster, so that one script
// can work on them.
func (s *Store) Key(tag, name string) string { return s.prefix + "{" + tag + "}:" + name }

// Warnings are sentences for the log about settings that may lose data and were
// accepted, or could not be seen.
func (s *Store) Warnings() []string { return s.warnings }

// Check tells whether the server takes writes. A replica, or a server that is out of
// memory, still answers a ping and is of no use. What it writes does not stay.
func (s *Store) Check(ctx context.Context) error {
	// With the tag of the inbox, on the node of a cluster that new events need.
	key := s.aliveKey()
	_, err := s.client.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, key, "1", time.Minute)
		pipe.Del(ctx, key)
		return nil
	})
	return s.counted(ctx, Fault(err, "asking Redis for a sign of life"))
}

// Close ends all connections, and the embedded server with its content.
func (s *Store) Close() error {
	var err error
	if s.client != nil {
		err = s.client.Close()
	}
	if s.embedded != nil {
		s.embedded.stop()
	}
	if err != nil {
		return fmt.Errorf("closing Redis: %w", err)
	}
	return nil
}

// masked is an address without its credentials.
func masked(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	hosts, first := splitHosts(rest)
	u, err := url.Parse("redis://" + first)
	// A password with an unescaped slash would make the host of what stands before it.
	if !found || err != nil || u.Host == "" || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
		return "(not shown, as it may hold a password)"
	}
	return scheme + "://" + strings.Join(hosts, ",")
}
