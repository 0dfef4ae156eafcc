//go:build e2e

package e2e_test

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// flood is how many webhooks TestFlood sends; make flood sends a million.
var flood = flag.Int("flood", 10_000, "webhooks of TestFlood")

const (
	// floodItems is how many work items the flood is about; hints of one item are merged.
	floodItems = 2000
	// floodCore bounds the memory of sync-core in MiB, whatever comes. The race detector
	// multiplies it.
	floodCore, floodRace = 150, 8
	// floodID is how many bytes of Redis an event id may cost until it is forgotten, and
	// floodSets how many the sets of a half window cost that hold few.
	floodID, floodSets = 24, 8 << 20
	// floodQueue is how many bytes of Redis an item in the inbox may cost, its newest payload
	// aside; floodSlack is what the server itself may take more: buffers and fragments.
	floodQueue, floodSlack = 4 << 10, 16 << 20
)

// TestFlood: of so many webhooks 30 % are repeated and 1 % are malformed. All are answered, memory
// stays within bounds while they come, and what is left of them in Redis afterwards is
// their ids.
func TestFlood(t *testing.T) {
	t.Parallel()
	redis := redistest.Start(t)
	s := start(t, stack.Options{Redis: redis.URL(), NoHooks: true})
	password, err := sandbox.HookKey(s.Secret, "tandem/v1/hook/azure-devops")
	if err != nil {
		t.Fatal(err)
	}
	settle := func() int {
		var used int
		await(t, 10*recovery, "the inbox is empty", func() (bool, string) {
			all := metrics(t, s.CoreAdmin)
			n := sample(all, "tandem_inbox_items") - sample(all, "tandem_inbox_items", `state="dead"`)
			used, _ = strconv.Atoi(redis.Info(t, "memory")["used_memory"])
			return n == 0, fmt.Sprintf("it holds %v items", n)
		})
		return used
	}
	baseline := settle()
	malformed, duplicates := *flood/100, *flood*30/100
	unique := *flood - malformed - duplicates
	// Numbers below unique are new, those up to unique+duplicates repeat one that came before.
	order := make([]int, *flood)
	for i := range order {
		order[i] = i
	}
	rand.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })

	var (
		next                      atomic.Int64
		mu                        sync.Mutex
		answers                   = map[string]int{}
		senders                   sync.WaitGroup
		coreMost, redisMost, dept float64
	)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	began := time.Now()
	for range 16 {
		senders.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(order)); i = next.Add(1) - 1 {
				number := order[i]
				body := floodBody(number % unique)
				if number >= unique+duplicates {
					body = `{"eventType":"workitem.updated","resource":`
				}
				for { // as a vendor does that is told to come again
					answer := postOnce(t, client, hookURL(s), password, body)
					mu.Lock()
					answers[answer]++
					mu.Unlock()
					if !strings.HasPrefix(answer, "503") {
						break
					}
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { senders.Wait(); close(done) }()
	ticker := time.NewTicker(500 * time.Millisecond)
	defer ticker.Stop()
	for sending := true; sending; {
		select {
		case <-done:
			sending = false
		case <-ticker.C:
		}
		used, _ := strconv.ParseFloat(redis.Info(t, "memory")["used_memory"], 64)
		redisMost, coreMost = max(redisMost, used), max(coreMost, resident(t, s.Core.PID()))
		all := metrics(t, s.CoreAdmin)
		dept = max(dept, sample(all, "tandem_inbox_items")-sample(all, "tandem_inbox_items", `state="dead"`))
	}
	took := time.Since(began)
	left := settle()
	coreMost = max(coreMost, resident(t, s.Core.PID()))
	const mib = 1 << 20
	t.Logf("%d webhooks within %s, %.0f a second: %v", *flood, took.Round(time.Millisecond), float64(*flood)/took.Seconds(), answers)
	t.Logf("sync-core: at most %.0f MiB resident; the inbox: at most %.0f items", coreMost/mib, dept)
	t.Logf("Redis: %.1f MiB before, at most %.1f, %.1f after; %.1f bytes for each of %d ids",
		float64(baseline)/mib, redisMost/mib, float64(left)/mib, float64(left-baseline)/float64(unique), unique)
	if answers[`202 {"result":"stored"}`] != unique || answers[`202 {"result":"duplicate"}`] != duplicates || answers["400"] != malformed {
		t.Errorf("the answers are %v, want %d stored, %d duplicate, %d malformed", answers, unique, duplicates, malformed)
	}
	bound := float64(floodCore * mib)
	if raceEnabled {
		bound *= floodRace
	}
	if coreMost > bound {
		t.Errorf("sync-core took %.0f MiB, want at most %.0f", coreMost/mib, bound/mib)
	}
	kept := float64(baseline) + float64(unique*floodID) + floodSets
	if float64(left) > kept {
		t.Errorf("Redis holds %.1f MiB afterwards, want at most %.1f", float64(left)/mib, kept/mib)
	}
	if most := kept + floodItems*floodQueue + floodSlack; redisMost > most {
		t.Errorf("Redis held %.1f MiB, want at most %.1f", redisMost/mib, most/mib)
	}
}

func floodBody(number int) string {
	return updated("0b6a2b59-1e3f-4c11-8f5a-00000000f100", number+1, number%floodItems+1_000_000)
}

// postOnce sends a hook and returns status and body of the answer; of a malformed hook the
// status alone.
func postOnce(t *testing.T, client *http.Client, url, password, body string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return ""
	}
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth("tandem", password)
	resp, err := client.Do(req)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	if resp.StatusCode != http.StatusAccepted {
		return strconv.Itoa(resp.StatusCode)
	}
	return strconv.Itoa(resp.StatusCode) + " " + string(content)
}

// resident is the memory of a process in bytes that is in RAM.
func resident(t *testing.T, pid int) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(text))[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * float64(os.Getpagesize())
}
