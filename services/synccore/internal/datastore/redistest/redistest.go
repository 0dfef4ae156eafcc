// Package redistest gives tests a Redis: the embedded one always, and a real
// redis-server that the test starts itself.
//
// Its one invariant: a server started here is this test's alone and is gone, with its
// data, when the test ends.
package redistest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/tandem-sync/tandem/services/synccore/internal/datastore"
)

// patience is how long a server may take to answer after its start.
const patience = 30 * time.Second

// Server is a redis-server on a free port of the loopback interface.
type Server struct {
	port string
	dir  string
	// arguments are those of redis-server, made from the port.
	arguments func(port string) []string
	// patient: the server outlives a write beyond its file size limit.
	patient bool
	command *exec.Cmd
	exited  chan struct{}
}

// Main runs a package's tests and fails if one left a goroutine behind. go-redis's look for
// a server that went away is none: it ends by itself, up to a second after its pool was closed.
func Main(m *testing.M) {
	datastore.LogTo(slog.New(slog.DiscardHandler))
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
}

// Start starts a server with an append-only file, in a folder of its own. settings
// are further arguments of redis-server, such as "--appendonly", "no".
//
// Without a redis-server in PATH the test is skipped, unless CI is true or
// TANDEM_REQUIRE_REDIS is 1: then it fails.
func Start(tb testing.TB, settings ...string) *Server {
	tb.Helper()
	return launch(tb, false, func(port, dir string) []string {
		return append([]string{
			"--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "",
			"--appendonly", "yes", "--appendfsync", "everysec",
		}, settings...)
	})
}

// StartOnDisk is Start for a server whose disk the test can fill.
func StartOnDisk(tb testing.TB) *Server {
	tb.Helper()
	return launch(tb, true, func(port, dir string) []string {
		return []string{
			"--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "", "--appendonly", "yes", "--appendfsync", "everysec",
		}
	})
}

// FillDisk lets the server's files grow no more, as on a full disk; reads and memory are as
// before. It is modelled with a limit of the process (setrlimit RLIMIT_FSIZE), whose error
// is EFBIG in place of ENOSPC; Redis does the same with both.
func (s *Server) FillDisk(tb testing.TB) { tb.Helper(); s.limit(tb, "1") }

// FreeDisk ends FillDisk.
func (s *Server) FreeDisk(tb testing.TB) { tb.Helper(); s.limit(tb, "unlimited") }

func (s *Server) limit(tb testing.TB, size string) {
	tb.Helper()
	out, err := exec.CommandContext(tb.Context(), "prlimit", "--pid", strconv.Itoa(s.Process().Pid), "--fsize="+size+":").CombinedOutput() //nolint:gosec // a test's own arguments
	if err != nil {
		tb.Fatalf("limiting the files of redis-server: %v %s", err, out)
	}
}

// launch starts a redis-server of any kind.
func launch(tb testing.TB, patient bool, arguments func(port, dir string) []string) *Server {
	tb.Helper()
	need(tb)
	s := &Server{dir: tb.TempDir(), patient: patient}
	s.arguments = func(port string) []string { return arguments(port, s.dir) }
	tb.Cleanup(s.Kill)
	const tries = 5 // another process may take the free port first
	var err error
	for range tries {
		s.port = freePort(tb)
		if err = s.start(); err == nil {
			return s
		}
	}
	tb.Fatalf("starting redis-server: %v", err)
	return nil
}

// need skips or fails the test where there is no redis-server.
func need(tb testing.TB) {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		const text = "no redis-server in PATH (Debian: apt-get install redis-server)"
		if os.Getenv("CI") == "true" || os.Getenv("TANDEM_REQUIRE_REDIS") == "1" {
			tb.Fatal(text)
		}
		tb.Skip(text)
	}
}

func freePort(tb testing.TB) string {
	tb.Helper()
	var config net.ListenConfig
	l, err := config.Listen(context.WithoutCancel(tb.Context()), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	return port
}

// Restart starts a killed server again, with what it had written.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	if err := s.start(); err != nil {
		tb.Fatalf("restarting redis-server: %v", err)
	}
}

func (s *Server) start() error {
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		return fmt.Errorf("creating log: %w", err)
	}
	defer func() { _ = log.Close() }()
	words := append([]string{"redis-server"}, s.arguments(s.port)...)
	if s.patient {
		// The signal of that limit would end it; a shell can have it ignored.
		words = append([]string{"sh", "-c", `trap "" XFSZ; exec "$@"`, "sh"}, words...)
	}
	s.command = exec.CommandContext(context.Background(), words[0], words[1:]...) //nolint:gosec // a test's own arguments
	s.command.Stdout, s.command.Stderr = log, log
	s.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := s.command.Start(); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	s.exited = make(chan struct{})
	go func(command *exec.Cmd, exited chan struct{}) {
		_ = command.Wait() // killed: that is no error here
		close(exited)
	}(s.command, s.exited)
	return s.answers()
}

// answers waits until the server has loaded its data.
func (s *Server) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		reply, _ := s.Ask(ctx, "PING") // not up yet
		if reply == "+PONG" || strings.HasPrefix(reply, "-NOAUTH") || strings.HasPrefix(reply, "-NOPERM") {
			return nil
		}
		select {
		case <-s.exited:
			text, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			return errors.New("redis-server ended: " + string(text))
		case <-ctx.Done():
			return fmt.Errorf("waiting for redis-server: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

// Ask sends one command, given as words, over a connection of its own and returns the
// first line of the reply.
func (s *Server) Ask(ctx context.Context, command string) (string, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", s.Address())
	if err != nil {
		return "", fmt.Errorf("dialling: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline) // a fresh TCP connection takes it
	}
	if _, err := conn.Write([]byte(command + "\r\n")); err != nil {
		return "", fmt.Errorf("asking: %w", err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("reading reply: %w", err)
	}
	return strings.TrimSpace(line), nil
}

// Must is Ask that fails the test on an error reply.
func (s *Server) Must(tb testing.TB, command string) {
	tb.Helper()
	reply, err := s.Ask(tb.Context(), command)
	if err != nil || strings.HasPrefix(reply, "-") {
		tb.Fatalf("%s: %s %v", command, reply, err)
	}
}

// Kill ends the server as kill -9 does and waits until it is gone. Killing it again
// does nothing.
func (s *Server) Kill() {
	if s.command == nil || s.command.Process == nil {
		return
	}
	// Its children too, which write the append-only file anew; it may be gone already.
	_ = syscall.Kill(-s.command.Process.Pid, syscall.SIGKILL)
	<-s.exited
}

// Pause stops the server where it is, as a machine that hangs does, until Resume. It keeps
// its connections.
func (s *Server) Pause(tb testing.TB) { tb.Helper(); s.signal(tb, syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (s *Server) Resume(tb testing.TB) { tb.Helper(); s.signal(tb, syscall.SIGCONT) }

func (s *Server) signal(tb testing.TB, signal syscall.Signal) {
	tb.Helper()
	if err := s.Process().Signal(signal); err != nil {
		tb.Fatalf("sending %s: %v", signal, err)
	}
}

// Process is the server's process, for tests that watch or pause it.
func (s *Server) Process() *os.Process { return s.command.Process }

// Address is host:port.
func (s *Server) Address() string { return net.JoinHostPort("127.0.0.1", s.port) }

// URL is the server's address as Tandem's configuration has it.
func (s *Server) URL() string { return "redis://" + s.Address() + "/0" }

// Open opens the server for Tandem with a key prefix that no other test has.
func (s *Server) Open(tb testing.TB) *datastore.Store {
	tb.Helper()
	return open(tb, datastore.Options{URL: s.URL(), KeyPrefix: prefix()})
}

// Embedded opens an embedded Redis of the test's own.
func Embedded(tb testing.TB) *datastore.Store {
	tb.Helper()
	return open(tb, datastore.Options{URL: datastore.Embedded})
}

// Clocked opens an embedded Redis whose time stands still, but for calls of the
// returned function, which moves it by at least a millisecond.
func Clocked(tb testing.TB) (*datastore.Store, func(time.Duration)) {
	tb.Helper()
	ticks := make(chan time.Time)
	store := open(tb, datastore.Options{URL: datastore.Embedded, Ticks: ticks})
	present := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	advance := func(d time.Duration) {
		present = present.Add(d)
		ticks <- present
		ticks <- present // taken only when the first one has had its effect
	}
	advance(0)
	return store, advance
}

func open(tb testing.TB, o datastore.Options) *datastore.Store {
	tb.Helper()
	store, err := datastore.Open(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := store.Close(); err != nil {
			tb.Error(err)
		}
	})
	return store
}

// prefixes counts the prefixes given out, so that tests may share a server.
var prefixes atomic.Int64 //nolint:gochecknoglobals // of the process, as the servers are

func prefix() string { return "test" + strconv.FormatInt(prefixes.Add(1), 10) + ":" }

// Each runs a suite over every kind of Redis: the embedded one, a redis-server, a cluster
// of three, which refuses commands and scripts whose keys do not share a slot, and a pair
// behind sentinels. open gives each test of the suite a store without keys.
func Each(t *testing.T, suite func(t *testing.T, open func(testing.TB) *datastore.Store)) {
	t.Helper()
	for name, start := range map[string]func(*testing.T) func(testing.TB) *datastore.Store{
		"embedded":     func(*testing.T) func(testing.TB) *datastore.Store { return Embedded },
		"redis-server": func(t *testing.T) func(testing.TB) *datastore.Store { t.Helper(); return Start(t).Open },
		"cluster": func(t *testing.T) func(testing.TB) *datastore.Store {
			t.Helper()
			return StartCluster(t, 0, 15*time.Second).Open
		},
		"sentinel": func(t *testing.T) func(testing.TB) *datastore.Store {
			t.Helper()
			return StartPair(t, 30*time.Second).Open
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			suite(t, start(t))
		})
	}
}

// Keys are the store's keys that match a pattern, of all nodes.
func Keys(tb testing.TB, store *datastore.Store, pattern string) []string {
	tb.Helper()
	var (
		mu   sync.Mutex
		keys []string
	)
	read := func(ctx context.Context, c redis.Cmdable) error {
		found, err := c.Keys(ctx, pattern).Result()
		mu.Lock()
		defer mu.Unlock()
		keys = append(keys, found...)
		return err
	}
	var err error
	if all, ok := store.Client().(*redis.ClusterClient); ok {
		err = all.ForEachMaster(tb.Context(), func(ctx context.Context, c *redis.Client) error { return read(ctx, c) })
	} else {
		err = read(tb.Context(), store.Client())
	}
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}
