package datastore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func open(t *testing.T, o datastore.Options) (*datastore.Store, error) {
	t.Helper()
	s, err := datastore.Open(t.Context(), o)
	if err == nil {
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return s, err
}

// TestSettings: attack R24. A server that would lose data is refused with a sentence
// that names the setting and the remedy, unless that was allowed.
func TestSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		settings []string
		refused  string
		warned   string
	}{
		{"safe", nil, "", ""},
		{"no append-only file", []string{"--appendonly", "no"}, "appendonly yes", ""},
		{"eviction", []string{"--maxmemory-policy", "allkeys-lru"}, "noeviction", ""},
		{"eviction of volatile keys", []string{"--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl"}, "noeviction", ""},
		{"no fsync", []string{"--appendfsync", "no"}, "", "appendfsync everysec"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, c.settings...)
			s, err := open(t, datastore.Options{URL: server.URL()})
			if c.refused != "" {
				if !fault.Is(err, fault.Misconfigured) || !strings.Contains(fault.Sentence(err), c.refused) {
					t.Errorf("got %v, want a refusal that says %q", err, c.refused)
				}
				s, err = open(t, datastore.Options{URL: server.URL(), AllowVolatile: true})
			}
			if err != nil {
				t.Fatal(err)
			}
			told := strings.Join(s.Warnings(), "\n")
			if want := c.refused + c.warned; !strings.Contains(told, want) || (want == "") != (told == "") {
				t.Errorf("warnings %q, want one that says %q", told, want)
			}
			if err := s.Check(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRestrictedUser(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, "--appendonly", "no")
	server.Must(t, "ACL SETUSER seeing on >secret ~tandem:* +@all -@admin")
	server.Must(t, "ACL SETUSER blind on >secret ~tandem:* +@all -@admin -@dangerous")
	address := func(user string) string { return "redis://" + user + ":secret@" + server.Address() + "/0" }
	if _, err := open(t, datastore.Options{URL: address("seeing")}); !fault.Is(err, fault.Misconfigured) {
		t.Errorf("INFO tells what CONFIG may not: got %v, want a refusal", err)
	}
	s, err := open(t, datastore.Options{URL: address("blind")})
	if err != nil {
		t.Fatal(err)
	}
	told := strings.Join(s.Warnings(), "\n")
	if !strings.Contains(told, "appendonly") || !strings.Contains(told, "by hand") || !strings.Contains(told, "--redis-replicas") {
		t.Errorf("warnings %q", told)
	}
	err = s.Client().Set(t.Context(), "elsewhere", 1, 0).Err()
	if err := datastore.Fault(err, "writing elsewhere"); !fault.Is(err, fault.Unavailable) || !strings.Contains(fault.Sentence(err), "access list") {
		t.Errorf("a forbidden key: %v", err)
	}
	_, err = open(t, datastore.Options{URL: "redis://blind:canary-password@" + server.Address() + "/0"})
	if !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "canary-password") {
		t.Errorf("a wrong password: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]datastore.Options{
		"no address":  {},
		"no scheme":   {URL: "localhost:6379"},
		"bad port":    {URL: "redis://user:canary-password@host:x/0"},
		"bad escape":  {URL: "redis://user:canary-password@%zz/0"},
		"bad number":  {URL: "redis://user:canary-password@host:6379/zero"},
		"bad setting": {URL: "redis://user:canary-password@host:6379/0?pool_size=many"},
		"braces":      {URL: datastore.Embedded, KeyPrefix: "a{b}"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := open(t, o)
			if !fault.Is(err, fault.Misconfigured) {
				t.Errorf("got %v, want misconfigured", err)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows the password: %v", err)
			}
		})
	}
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	server.Kill()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err := datastore.Open(ctx, datastore.Options{URL: server.URL()})
	if !fault.Is(err, fault.Unavailable) {
		t.Errorf("got %v, want unavailable", err)
	}
	server.Restart(t)
	s, err := open(t, datastore.Options{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if err := s.Check(t.Context()); !fault.Is(err, fault.Unavailable) {
		t.Errorf("checking a dead server: %v", err)
	}
	server.Restart(t)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("checking after the restart: %v", err)
	}
}

// A server that answers and refuses writes is as good as away.
func TestCheckNeedsWrites(t *testing.T) {
	t.Parallel()
	for refusal, commands := range map[string][2]string{
		"replica":       {"REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"},
		"out of memory": {"CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"},
	} {
		t.Run(refusal, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			s, err := open(t, datastore.Options{URL: server.URL()})
			if err != nil {
				t.Fatal(err)
			}
			server.Must(t, commands[0])
			if err := s.Check(t.Context()); !fault.Is(err, fault.Unavailable) {
				t.Errorf("while it refuses: %v", err)
			}
			server.Must(t, commands[1])
			if err := s.Check(t.Context()); err != nil {
				t.Errorf("when it takes writes again: %v", err)
			}
		})
	}
}

func TestEmbeddedForgetsInTime(t *testing.T) {
	t.Parallel()
	store, advance := redistest.Clocked(t)
	ctx, client := t.Context(), store.Client()
	before, err := client.Time(ctx).Result()
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Set(ctx, "k", "v", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	advance(time.Minute - time.Millisecond)
	if n, err := client.Exists(ctx, "k").Result(); n != 1 || err != nil {
		t.Errorf("gone before its time: %d %v", n, err)
	}
	advance(time.Millisecond)
	if n, err := client.Exists(ctx, "k").Result(); n != 0 || err != nil {
		t.Errorf("there after its time: %d %v", n, err)
	}
	after, err := client.Time(ctx).Result()
	if err != nil || after.Sub(before) != time.Minute {
		t.Errorf("the server's time moved by %s, %v", after.Sub(before), err)
	}
}

func TestEmbeddedForgetsByItself(t *testing.T) {
	t.Parallel()
	store := redistest.Embedded(t)
	if err := store.Client().Set(t.Context(), "k", "v", 50*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		n, err := store.Client().Exists(ctx, "k").Result()
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
		<-ticker.C
	}
}

// TestSpansHoldNoArguments: a command's arguments are payloads.
func TestSpansHoldNoArguments(t *testing.T) {
	t.Parallel()
	spans := &recorder{}
	provider := provider{recorder: spans}
	s, err := open(t, datastore.Options{URL: datastore.Embedded, TracerProvider: provider})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Client().Get(t.Context(), "outside of any trace").Err(); !datastore.Missing(err) {
		t.Fatal(err)
	}
	ctx := trace.ContextWithSpanContext(t.Context(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled,
	}))
	if err := s.Client().Set(ctx, "key", "canary-value", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := s.Check(ctx); err != nil {
		t.Fatal(err)
	}
	told := strings.Join(spans.seen, "\n")
	if !strings.Contains(told, "set") {
		t.Errorf("no span of the command: %q", told)
	}
	for _, never := range []string{"canary-value", "ping", "xread", "get"} {
		if strings.Contains(told, never) {
			t.Errorf("the spans show %q: %s", never, told)
		}
	}
}

// recorder is a tracer that keeps the text of what spans are started with.
type recorder struct {
	noop.Tracer

	mu   sync.Mutex
	seen []string
}

// provider gives out one recorder.
type provider struct {
	noop.TracerProvider

	recorder *recorder
}

func (p provider) Tracer(string, ...trace.TracerOption) trace.Tracer { return p.recorder }

func (r *recorder) Start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	config := trace.NewSpanStartConfig(options...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, fmt.Sprint(name, config.Attributes()))
	return trace.ContextWithSpan(ctx, recording{}), recording{}
}

// recording is a span that asks for everything.
type recording struct{ noop.Span }

func (recording) IsRecording() bool { return true }

func TestFault(t *testing.T) {
	t.Parallel()
	if err := datastore.Fault(nil, "doing"); err != nil {
		t.Errorf("no error became %v", err)
	}
	if err := datastore.Fault(context.Canceled, "doing"); !errors.Is(err, context.Canceled) || fault.Is(err, fault.Unavailable) {
		t.Errorf("cancelled: %v", err)
	}
	for _, err := range []error{context.DeadlineExceeded, redis.ErrClosed, errors.New("dial tcp: refused")} {
		if got := datastore.Fault(err, "doing"); !fault.Is(got, fault.Unavailable) || !errors.Is(got, err) {
			t.Errorf("%v became %v", err, got)
		}
	}
	server := redistest.Start(t)
	s := server.Open(t)
	err := s.Client().Eval(t.Context(), "return nonsense()", nil).Err()
	if got := datastore.Fault(err, "doing"); fault.KindOf(got) != fault.Internal {
		t.Errorf("a mistake of Tandem became %v", got)
	}
	if _, err := s.Client().Get(t.Context(), "none").Result(); !datastore.Missing(err) {
		t.Errorf("a missing key: %v", err)
	}
}

func TestDurable(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	store := server.Open(t)
	for _, step := range []struct {
		command string
		want    bool
	}{
		{"CONFIG SET appendonly yes", true},
		{"CONFIG SET appendonly no", false},
		{"CONFIG SET appendonly yes", true},
		{"CONFIG SET maxmemory-policy allkeys-lru", false},
		{"CONFIG SET maxmemory-policy noeviction", true},
	} {
		server.Must(t, step.command)
		if got := store.Durable(t.Context()); got != step.want {
			t.Errorf("after %s it is durable: %t, want %t", step.command, got, step.want)
		}
	}
	if redistest.Embedded(t).Durable(t.Context()) {
		t.Error("the embedded Redis is told to be durable")
	}
}
