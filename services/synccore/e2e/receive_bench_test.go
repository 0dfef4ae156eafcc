//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// bareEnv makes the test binary be the handler that the gateway is compared with.
const bareEnv = "TANDEM_BENCH_BARE_REDIS"

const (
	benchConnections = 16
	benchTime        = 5 * time.Second
)

// BenchmarkReceive compares how many webhooks a second are stored durably by gateway
// and sync-core together with what a bare handler stores that does SET NX and XADD by
// itself, over the same Redis with an append-only file, from 16 connections. Both run
// as processes of their own, in turns, so that a busy machine slows both. The events
// are of one work item, as one worker at a time serves that; while-serving-ratio is the
// same with 200 of them, where the workers take most of sync-core's and Redis's time.
func BenchmarkReceive(b *testing.B) {
	if os.Getenv(bareEnv) != "" {
		serveBare(b)
		return
	}
	server := redistest.Start(b)
	bare := startBare(b, server.URL())
	s, err := stack.Start(b.Context(), stack.Options{Bin: benchBin(b), Dir: b.TempDir(), Redis: server.URL(), NoHooks: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Errorf("closing: %v", err)
		}
	})
	password, err := sandbox.HookKey(s.Secret, "tandem/v1/hook/azure-devops")
	if err != nil {
		b.Fatal(err)
	}
	url := s.GatewayURL + "/hooks/azure-devops/" + stack.Connector
	var bareRates, tandemRates, servingRates, p99s []float64
	watched := map[string]int{"gateway": s.Gateway.PID(), "core": s.Core.PID(), "redis": server.Process().Pid}
	spent, events := map[string]time.Duration{}, 0.0
	for range 3 {
		rate, _ := load(b, bare, "", 1)
		bareRates = append(bareRates, rate)
		for name, pid := range watched {
			spent[name] -= cpuTime(b, pid)
		}
		rate, p99 := load(b, url, password, 1)
		for name, pid := range watched {
			spent[name] += cpuTime(b, pid)
		}
		events += rate * benchTime.Seconds()
		tandemRates, p99s = append(tandemRates, rate), append(p99s, float64(p99.Microseconds())/1000)
		rate, _ = load(b, url, password, 200)
		servingRates = append(servingRates, rate)
	}
	median := func(v []float64) float64 { slices.Sort(v); return v[len(v)/2] }
	b.ReportMetric(median(bareRates), "bare/s")
	b.ReportMetric(median(tandemRates), "tandem/s")
	b.ReportMetric(median(tandemRates)/median(bareRates), "ratio")
	b.ReportMetric(median(servingRates)/median(bareRates), "while-serving-ratio")
	b.ReportMetric(median(p99s), "p99-ms")
	for name, time := range spent {
		b.ReportMetric(float64(time.Microseconds())/events, name+"-cpu-µs/event")
	}
	b.ReportMetric(0, "ns/op")
}

// cpuTime is the processor time that a process has taken so far.
func cpuTime(b *testing.B, pid int) time.Duration {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skipf("processor times are not told here: %v", err)
	}
	// The name in parentheses may hold blanks; user and system time are the 12th and
	// 13th field after it, in hundredths of a second.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func benchBin(b *testing.B) string {
	b.Helper()
	dir := b.TempDir()
	build := exec.CommandContext(b.Context(), "go", "build", "-o", dir+"/", "./services/gateway/cmd/gateway", "./services/synccore/cmd/synccore")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("building: %v\n%s", err, out)
	}
	return dir
}

// load posts distinct events of some work items from all connections and returns how many a second were
// stored, and the 99th percentile of the answers' time.
func load(b *testing.B, url, password string, items int64) (float64, time.Duration) {
	b.Helper()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: benchConnections}}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(b.Context(), benchTime)
	defer cancel()
	var stored atomic.Int64
	var mu sync.Mutex
	var times []time.Duration
	var senders sync.WaitGroup
	began := time.Now()
	for range benchConnections {
		senders.Go(func() {
			var own []time.Duration
			for ctx.Err() == nil {
				n := benchEvents.Add(1)
				sent := time.Now()
				req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(benchEvent(n, items)))
				if err != nil {
					b.Error(err)
					return
				}
				req.Header.Set("Content-Type", "application/json; charset=utf-8")
				if password != "" {
					req.SetBasicAuth("tandem", password)
				}
				resp, err := client.Do(req)
				if err != nil {
					break
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusAccepted {
					b.Errorf("answered %s", resp.Status)
					return
				}
				stored.Add(1)
				own = append(own, time.Since(sent))
			}
			mu.Lock()
			times = append(times, own...)
			mu.Unlock()
		})
	}
	senders.Wait()
	slices.Sort(times)
	if len(times) == 0 {
		b.Fatal("nothing was stored")
	}
	return float64(stored.Load()) / time.Since(began).Seconds(), times[len(times)*99/100]
}

// benchEvents numbers events over all runs.
var benchEvents atomic.Int64

// benchEvent is an update of about 5 KB, of one of so many work items.
func benchEvent(n, items int64) []byte {
	return fmt.Appendf(nil, `{"subscriptionId":"3e7d6a4c-0f0b-4c61-9d7b-6a1f0f5c2b11","notificationId":%d,"id":"%032x","eventType":"workitem.updated",`+
		`"publisherId":"tfs","message":null,"detailedMessage":null,"resource":{"id":%d,"workItemId":%d,"rev":%d,`+
		`"fields":{"System.State":{"oldValue":"To Do","newValue":"Doing"}},"revision":{"id":%d,"rev":%d,"fields":{"System.Title":"A title",`+
		`"System.Tags":"urgent","System.Description":"%s"}}},"resourceVersion":"1.0","resourceContainers":{},"createdDate":"2026-03-02T08:00:00Z"}`,
		n, n, n, n%items+1, n, n%items+1, n, strings.Repeat("lorem ipsum ", 360))
}

func startBare(b *testing.B, url string) string {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0], "-test.run=^$", "-test.bench=BenchmarkReceive", "-test.benchtime=1x")
	cmd.Env = append(os.Environ(), bareEnv+"="+url)
	out, err := cmd.StderrPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address := make([]byte, 64)
	n, err := out.Read(address)
	if err != nil {
		b.Fatal(err)
	}
	return "http://" + strings.TrimSpace(string(address[:n]))
}

// serveBare is the handler to compare with: no authentication, no parsing, no trace.
func serveBare(b *testing.B) {
	b.Helper()
	options, err := redis.ParseURL(os.Getenv(bareEnv))
	if err != nil {
		b.Fatal(err)
	}
	client := redis.NewClient(options)
	var numbers atomic.Int64
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		key := "bare:" + strconv.FormatInt(numbers.Add(1), 10)
		if err := client.SetNX(r.Context(), key, 1, 72*time.Hour).Err(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if err := client.XAdd(r.Context(), &redis.XAddArgs{Stream: "bare", Values: []any{"body", body}}).Err(); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	})
	var listen net.ListenConfig
	listener, err := listen.Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	_, _ = fmt.Fprintln(os.Stderr, listener.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	b.Error(server.Serve(listener))
}
