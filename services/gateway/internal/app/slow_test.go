package app_test

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/gateway/internal/app"
)

// slowConnections is how many connections TestSlowConnections holds; 10,000 in the long
// form.
var slowConnections = flag.Int("slow-connections", 1500, "how many slow connections TestSlowConnections holds")

// slowSenders is the variable that makes the test's program the senders of
// TestSlowConnections: the address, how many there are, and the hook password. They are a
// process of their own, as each process may have only so many files.
const slowSenders = "TANDEM_TEST_SLOW_SENDERS"

// slowKinds are ways to be slow: what is sent at once, after which a byte follows now and
// then where drip is set.
func slowKinds(password string) []struct {
	text string
	drip bool
} {
	slow := func(head string, drip bool) struct {
		text string
		drip bool
	} {
		return struct {
			text string
			drip bool
		}{strings.ReplaceAll(head, "\n", "\r\n"), drip}
	}
	const json = "Host: x\nContent-Type: application/json\nContent-Length: 200000\n"
	basic := (&http.Request{Header: http.Header{}})
	basic.SetBasicAuth("tandem", password)
	return []struct {
		text string
		drip bool
	}{
		slow("", false),
		slow("POST /hooks/azure-devops HTTP/1.1\nHost: x\nX-Slow: ", true),
		slow("POST /hooks/azure-devops HTTP/1.1\n"+json+"\n{", true),
		slow("POST /hooks/azure-devops HTTP/1.1\n"+json+"Authorization: "+basic.Header.Get("Authorization")+"\n\n{", true),
		slow("POST /Connectors/DevOpsCallback HTTP/1.1\n"+json+"\n{", true),
		slow("POST /hooks/alvao/development HTTP/1.1\n"+json+"X-Tandem-Timestamp: "+strconv.FormatInt(time.Now().Unix(), 10)+"\nX-Tandem-Signature: "+strings.Repeat("ab", 32)+"\n\n{", true),
		slow("POST /v1/events:ingest HTTP/1.1\n"+json+"\n{", true),
		slow("GET /openapi.json HTTP/1.1\nHost: x\n\n"+strings.Repeat("GET /openapi.json HTTP/1.1\nHost: x\n\n", 20), false),
		slow("PRI * HTTP/2.0\n\nSM\n\n", false),
		slow("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", false), // the beginning of TLS
	}
}

// sendSlowly holds connections until its input ends. It says when all are there, and when
// the first one that does not finish its header was cut off.
func sendSlowly(arguments string) {
	fields := strings.SplitN(arguments, " ", 3)
	address, password := fields[0], fields[2]
	n, err := strconv.Atoi(fields[1])
	if err != nil || !raiseFiles(uint64(n+100)) {
		fmt.Fprintln(os.Stdout, "can't", n, err)
		return
	}
	kinds := slowKinds(password)
	conns := make([]net.Conn, n)
	var open sync.WaitGroup
	gates := make(chan struct{}, 64)
	for i := range n {
		gates <- struct{}{}
		open.Go(func() {
			defer func() { <-gates }()
			conn, err := net.Dial("tcp", address)
			if err != nil {
				fmt.Fprintln(os.Stdout, "can't dial", i, err)
				return
			}
			conns[i] = conn
			_, _ = io.WriteString(conn, kinds[i%len(kinds)].text) // who was cut off already is none the less there
			if i%(2*len(kinds)) >= len(kinds) && !kinds[i%len(kinds)].drip {
				if tcp, ok := conn.(*net.TCPConn); ok {
					_ = tcp.CloseWrite() // half open
				}
			}
		})
	}
	open.Wait()
	fmt.Fprintln(os.Stdout, "ready")
	go func() {
		_, _ = io.Copy(io.Discard, conns[1])
		fmt.Fprintln(os.Stdout, "cut")
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, os.Stdin)
	}()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case <-ticker.C:
			for i, conn := range conns {
				if conn != nil && kinds[i%len(kinds)].drip {
					_, _ = io.WriteString(conn, "x")
				}
			}
		}
	}
}

// senders starts slow senders and gives what they say, line by line.
func senders(t *testing.T, address, password string, n int) <-chan string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", slowSenders, address, n, password))
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 16)
	read := make(chan struct{})
	go func() {
		defer close(read)
		scanner := bufio.NewScanner(output)
		for scanner.Scan() {
			select {
			case lines <- scanner.Text():
			default: // nobody wants so many
			}
		}
	}()
	t.Cleanup(func() {
		_ = input.Close()
		<-read
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	return lines
}

// TestSlowConnections holds connections that say nothing, that send a header or a body byte
// by byte, with credentials, with none and with such that only the whole body proves wrong,
// that never read their answer, or that are closed on one side; and meanwhile others are
// served as if there were none.
func TestSlowConnections(t *testing.T) { //nolint:paralleltest // it measures
	n := *slowConnections
	if !raiseFiles(uint64(n + 1000)) {
		t.Fatalf("this process may not open %d files", n+1000)
	}
	// Fewer places than there are slow senders of each kind.
	g := start(t, newCore(t), func(c *app.Config) { c.ReadTimeout, c.MaxInFlight = time.Minute, 64 })
	basic := g.basic(t)
	said := senders(t, g.Addr().String(), g.keys(t).AzureDevOpsPasswords()[0], n)
	hear := func(want string) {
		t.Helper()
		select {
		case line := <-said:
			if line != want {
				t.Fatalf("the senders say %q, want %q", line, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("the senders don't say %q", want)
		}
	}
	hear("ready")
	token, key := g.keys(t).AlvaoTokens("development")[0], g.keys(t).AlvaoApplicationKeys("development")[0]
	var took []time.Duration
	for i := range 200 {
		began := time.Now()
		got := g.post(t, "/hooks/azure-devops", updated, basic)
		took = append(took, time.Since(began))
		switch i % 3 {
		case 0:
			got.code = max(got.code, g.post(t, "/hooks/alvao/development/"+token, notice, nil).code)
		case 1:
			body := strings.Replace(pushed, "}", fmt.Sprintf(`,"n":%d}`, i), 1)
			got.code = max(got.code, g.post(t, "/hooks/alvao/development", body, signed(key, body)).code)
		default:
			answer := g.do(t, http.MethodGet, "http://"+g.Addr().String()+"/v1/connectors", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+apiToken) })
			if answer.code != http.StatusOK {
				t.Fatalf("the API answers %d %s", answer.code, answer.body)
			}
		}
		if got.code != http.StatusAccepted {
			t.Fatalf("answer %d %s", got.code, got.body)
		}
	}
	slices.Sort(took)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	t.Logf("%d slow connections: half of the webhooks within %s, all within %s; %d MiB in use", n, took[len(took)/2], took[len(took)-1], memory.Sys>>20)
	if half := took[len(took)/2]; half > 250*time.Millisecond {
		t.Errorf("half of the webhooks took longer than %s", half)
	}
	// A connection costs its buffers and goroutines, and no more.
	const each, beside = 32 << 10, 96 << 20
	if most := uint64(each*n + beside); memory.Sys > most {
		t.Errorf("%d MiB are in use, more than %d", memory.Sys>>20, most>>20)
	}
	if got := g.admin(t, "/health/live").code; got != http.StatusOK {
		t.Errorf("health is %d", got)
	}
	hear("cut")
}

// raiseFiles lets the process open so many files, and tells whether it may.
func raiseFiles(want uint64) bool {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return false
	}
	if limit.Cur >= want {
		return true
	}
	limit.Cur = want
	limit.Max = max(limit.Max, want)
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) == nil
}
