//go:build e2e

package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
)

// answers counts what senders of webhooks were answered.
type answers struct {
	next *http.Transport

	mu     sync.Mutex
	counts map[int]int
}

func newAnswers() *answers {
	return &answers{next: &http.Transport{MaxIdleConnsPerHost: 16, IdleConnTimeout: 10 * time.Second}, counts: map[int]int{}}
}

// RoundTrip implements http.RoundTripper; a status of 0 stands for no answer.
func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.next.RoundTrip(r)
	status := 0
	if err == nil {
		status = resp.StatusCode
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.counts[status]++
	return resp, err
}

func (a *answers) all() (map[int]int, int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	sum, counts := 0, map[int]int{}
	for status, n := range a.counts {
		counts[status] = n
		if status == http.StatusAccepted {
			sum += n
		}
	}
	return counts, sum
}

// word is something that somebody wrote or attached, which must stand on the other side.
type word struct {
	ticket int
	text   string
	// toBoards tells that it was written in Alvao; file that it is a file's name.
	toBoards, file bool
}

// crowd are the people who work on both sides while the system is under attack.
type crowd struct {
	s *stack.Stack

	mu      sync.Mutex
	tickets []int
	words   []word
	deeds   int
	number  atomic.Int64
}

// enter opens a ticket that gets a work item.
func (c *crowd) enter(t *testing.T) int {
	t.Helper()
	made, err := c.s.Box.Alvao.CreateTicket(t.Context(), alvao.Requester, alvao.NewTicket{
		Name: fmt.Sprintf("Ticket of chaos %d", c.number.Add(1)), Description: "<p>Please look at this.</p>",
		Service: sandbox.Service, Requester: alvao.Requester, Solver: alvao.Solver, Status: "Development",
	})
	if err != nil {
		t.Errorf("opening a ticket: %v", err)
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tickets = append(c.tickets, made.ID)
	return made.ID
}

func (c *crowd) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.tickets)
}

// some is a ticket, likelier a late one, and its work item, 0 if there is none yet.
func (c *crowd) some(r *rand.Rand) (int, int) {
	c.mu.Lock()
	n := len(c.tickets)
	ticket := c.tickets[max(r.IntN(n), r.IntN(n))]
	c.mu.Unlock()
	return ticket, pairOf(c.s, ticket)
}

func (c *crowd) wrote(w word) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.words = append(c.words, w)
	c.deeds++
}

// work does one thing on either side, as people do. What a process refuses is not done.
func (c *crowd) work(t *testing.T, r *rand.Rand, most int) {
	t.Helper()
	ticket, workItem := c.some(r)
	text := fmt.Sprintf("word%dx", c.number.Add(1))
	box := c.s.Box
	switch n := r.IntN(20); {
	case n < 4 && c.size() < most:
		c.enter(t)
	case n < 9:
		status := []string{"Development", "Development pending", "Testing"}[r.IntN(3)]
		if box.Alvao.SetStatus(t.Context(), alvao.Solver, ticket, status) == nil {
			c.wrote(word{})
		}
	case workItem == 0:
	case n < 14:
		if _, err := box.AzureDevOps.As(developer).SetState(workItem, []string{"To Do", "Doing", "Done"}[r.IntN(3)]); err == nil {
			c.wrote(word{})
		}
	case n < 16:
		if _, err := box.Alvao.AddMessage(t.Context(), alvao.Requester, ticket, alvao.Message{Kind: alvao.KindEmail, HTML: "<p>" + text + "</p>"}); err == nil {
			c.wrote(word{ticket: ticket, text: text, toBoards: true})
		}
	case n < 18:
		if _, err := box.AzureDevOps.As(developer).Comment(workItem, "<div>"+text+"</div>", "html"); err == nil {
			c.wrote(word{ticket: ticket, text: text})
		}
	case n == 18:
		content := bytes.Repeat([]byte(text), 1+r.IntN(2000))
		_, err := box.Alvao.AddMessage(t.Context(), alvao.Requester, ticket, alvao.Message{
			Kind: alvao.KindEmail, HTML: "<p>with " + text + "m</p>", Attachments: []alvao.NewAttachment{{Name: text + ".log", Content: content}},
		})
		if err == nil {
			c.wrote(word{ticket: ticket, text: text + "m", toBoards: true})
			c.wrote(word{ticket: ticket, text: text + ".log", toBoards: true, file: true})
		}
	default:
		if _, err := box.AzureDevOps.As(developer).Attach(workItem, text+".patch", bytes.NewReader(bytes.Repeat([]byte(text), 1+r.IntN(2000)))); err == nil {
			c.wrote(word{ticket: ticket, text: text + ".patch", file: true})
		}
	}
}

// stream sends webhooks about the crowd's work items beside those that the systems send:
// late ones, early ones, and some again and again.
type stream struct {
	crowd  *crowd
	client *http.Client
	number atomic.Int64

	mu sync.Mutex
	// sent are bodies of which some are sent again.
	sent []string
}

// one sends an event until it is taken or the load is over.
func (m *stream) one(t *testing.T, r *rand.Rand, credentials func(*http.Request), over <-chan struct{}) {
	t.Helper()
	_, workItem := m.crowd.some(r)
	if workItem == 0 {
		return
	}
	body := m.body(r, workItem)
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, hookURL(m.crowd.s), bytes.NewReader([]byte(body)))
		if err != nil {
			t.Error(err)
			return
		}
		req.Header.Set("Content-Type", "application/json")
		credentials(req)
		resp, err := m.client.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusAccepted {
				return
			}
		}
		select {
		case <-over:
			return
		case <-again.C:
		}
	}
}

func (m *stream) body(r *rand.Rand, workItem int) string {
	const kept, repeated = 512, 5
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.sent) > 0 && r.IntN(repeated) == 0 {
		return m.sent[r.IntN(len(m.sent))]
	}
	revision := 1 + r.IntN(12)
	if r.IntN(8) == 0 {
		revision = 1_000_000 // a lie, which costs a look
	}
	body := `{"subscriptionId":"0b6a2b59-1e3f-4c11-8f5a-0000000000c5","notificationId":` + strconv.FormatInt(m.number.Add(1), 10) +
		`,"id":"6f1d3b3e-0b8a-4f5e-9a63-000000000000","eventType":"workitem.updated","resource":{"id":18,"workItemId":` +
		strconv.Itoa(workItem) + `,"rev":` + strconv.Itoa(revision) + `}}`
	if len(m.sent) < kept {
		m.sent = append(m.sent, body)
	} else {
		m.sent[r.IntN(kept)] = body
	}
	return body
}
