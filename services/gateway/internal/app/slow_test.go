package app_test

import (
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/gateway/internal/app"
)

// slowConnections is how many connections TestSlowConnections holds; 10,000 in the long
// form.
var slowConnections = flag.Int("slow-connections", 1000, "how many slow connections TestSlowConnections holds")

// TestSlowConnections holds connections that say nothing, that send a header byte by byte,
// that send a body so, and that never read their answer, and meanwhile others are served as
// if there were none. Both ends are in this process, so it needs twice as many files.
func TestSlowConnections(t *testing.T) { //nolint:paralleltest // it measures
	n := *slowConnections
	const beside = 500 // what the process has open besides
	if !raiseFiles(t, uint64(2*n+beside)) {
		n = canHold(t, beside)
	}
	g := start(t, newCore(t), func(c *app.Config) { c.ReadTimeout = time.Minute })
	basic := g.basic(t)
	address := g.Addr().String()
	var open sync.WaitGroup
	conns := make([]net.Conn, n)
	gates := make(chan struct{}, 64)
	for i := range n {
		gates <- struct{}{}
		open.Go(func() {
			defer func() { <-gates }()
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Errorf("connection %d: %v", i, err)
				return
			}
			conns[i] = conn
			text := ""
			switch i % 4 {
			case 1:
				text = "POST /hooks/azure-devops HTTP/1.1\r\nHost: x\r\nX-Slow: "
			case 2:
				text = fmt.Sprintf("POST /hooks/azure-devops HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\nX-N: %d\r\n\r\n{", i)
			case 3:
				text = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
			}
			if _, err := io.WriteString(conn, text); err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
		})
	}
	open.Wait()
	t.Cleanup(func() {
		for _, conn := range conns {
			if conn != nil {
				_ = conn.Close()
			}
		}
	})
	// One byte more of each now and then, as slow senders do.
	stop, dripped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(dripped)
		ticker := time.NewTicker(200 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				return
			case <-ticker.C:
				for i, conn := range conns {
					if conn != nil && (i%4 == 1 || i%4 == 2) {
						_, _ = io.WriteString(conn, "x")
					}
				}
			}
		}
	}()
	var took []time.Duration
	for range 200 {
		began := time.Now()
		if got := g.post(t, "/hooks/azure-devops", updated, basic); got.code != http.StatusAccepted {
			t.Fatalf("answer %d %s", got.code, got.body)
		}
		took = append(took, time.Since(began))
	}
	close(stop)
	<-dripped
	slices.Sort(took)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Logf("%d slow connections: half of the webhooks within %s, all within %s; %d MiB in use", n, took[len(took)/2], took[len(took)-1], memory.Sys>>20)
	if half := took[len(took)/2]; half > 250*time.Millisecond {
		t.Errorf("half of the webhooks took longer than %s", half)
	}
	if got := g.admin(t, "/health/live").code; got != http.StatusOK {
		t.Errorf("health is %d", got)
	}
	// Whoever does not finish a header is cut off.
	eventually(t, "a connection without a header is closed", func() bool {
		_ = conns[1].SetReadDeadline(time.Now().Add(time.Millisecond))
		_, err := conns[1].Read(make([]byte, 1))
		netErr, waits := err.(net.Error) //nolint:errorlint // a connection's own error
		return err != nil && (!waits || !netErr.Timeout())
	})
}

// raiseFiles lets the process open so many files, and tells whether it may.
func raiseFiles(t *testing.T, want uint64) bool {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur >= want {
		return true
	}
	limit.Cur = want
	limit.Max = max(limit.Max, want)
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) == nil
}

// canHold is how many connections the process can hold both ends of.
func canHold(t *testing.T, beside int) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := (int(limit.Cur) - beside) / 2
	t.Logf("no more than %d files can be opened here, so %d connections are held", limit.Cur, n)
	return n
}
