//go:build e2e

package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/synccore/internal/datastore/redistest"
)

// names is a DNS server that tells one set of addresses for every name, as that of a
// cluster does for a Service without an address of its own.
type names struct {
	address string

	mu        sync.Mutex
	addresses []netip.Addr
}

func serveNames(t *testing.T, addresses ...netip.Addr) *names {
	t.Helper()
	var listen net.ListenConfig
	conn, err := listen.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{address: conn.LocalAddr().String(), addresses: addresses}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			size, peer, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			if answer := n.answer(buf[:size]); answer != nil {
				_, _ = conn.WriteTo(answer, peer) // who gets none asks again
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return n
}

// set replaces the addresses.
func (n *names) set(addresses ...netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addresses = addresses
}

// answer is nil for what is no question.
func (n *names) answer(question []byte) []byte {
	var message dnsmessage.Message
	if err := message.Unpack(question); err != nil || len(message.Questions) != 1 {
		return nil
	}
	asked := message.Questions[0]
	reply := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: message.ID, Response: true, Authoritative: true, RecursionAvailable: true},
		Questions: message.Questions,
	}
	if asked.Type == dnsmessage.TypeA {
		n.mu.Lock()
		for _, address := range n.addresses {
			reply.Answers = append(reply.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: asked.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: address.As4()},
			})
		}
		n.mu.Unlock()
	}
	packed, err := reply.Pack()
	if err != nil {
		return nil
	}
	return packed
}

// pour sends a webhook for one work item after the other from several senders until it
// is told to stop; each sender repeats what was answered 503, as Azure DevOps does.
type pour struct {
	mu sync.Mutex
	// stored are the work items whose event was taken; answers counts the statuses.
	stored  map[int]bool
	answers map[int]int

	next, taken atomic.Int64
	stop        chan struct{}
	senders     sync.WaitGroup
}

// firstPoured is a number that no work item of the stand-in has: what is served is a
// look at something that is not there.
const firstPoured = 5_000_000

func startPouring(t *testing.T, s *stack.Stack) *pour {
	t.Helper()
	const senders, pause = 6, 5 * time.Millisecond
	p := &pour{stored: map[int]bool{}, answers: map[int]int{}, stop: make(chan struct{})}
	credentials := genuine(t, s)
	for range senders {
		p.senders.Go(func() {
			ticker := time.NewTicker(pause)
			defer ticker.Stop()
			for {
				select {
				case <-p.stop:
					return
				case <-ticker.C:
				}
				p.deliver(t, s, int(p.next.Add(1)), credentials)
			}
		})
	}
	t.Cleanup(p.end)
	return p
}

// deliver sends an event until it is taken.
func (p *pour) deliver(t *testing.T, s *stack.Stack, n int, credentials func(*http.Request)) {
	t.Helper()
	body := updated("0b6a2b59-1e3f-4c11-8f5a-0000000000ee", n, firstPoured+n)
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for t.Context().Err() == nil {
		status, _, _ := send(t, http.MethodPost, hookURL(s), body, credentials)
		p.mu.Lock()
		p.answers[status]++
		if status/100 == 2 {
			p.stored[firstPoured+n] = true
		}
		p.mu.Unlock()
		if status != http.StatusServiceUnavailable {
			p.taken.Add(1)
			return
		}
		<-again.C
	}
}

// end stops the senders once each has delivered what it has in hand.
func (p *pour) end() {
	select {
	case <-p.stop:
	default:
		close(p.stop)
	}
	p.senders.Wait()
}

// more waits until so many further events were taken.
func (p *pour) more(t *testing.T, n int64) {
	t.Helper()
	from := p.taken.Load()
	await(t, patience, fmt.Sprintf("%d more events are taken", n), func() (bool, string) {
		now := p.taken.Load()
		return now >= from+n, fmt.Sprintf("%d were", now-from)
	})
}

// longestUpdate is less than the half minute that gRPC waits by itself before it looks
// a name up again.
const longestUpdate = 20 * time.Second

// TestRollingUpdate replaces sync-core while webhooks pour in, as Kubernetes does: the
// new one serves before the old one is told to stop, and the name that the gateway was
// given leads to another address. Nothing is lost, nothing is served twice, and a
// sender sees nothing but 2xx and 503.
func TestRollingUpdate(t *testing.T) {
	t.Parallel()
	old, next := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	dns := serveNames(t, old)
	port := ""
	s := start(t, stack.Options{
		Redis: redistest.Start(t).URL(), NoHooks: true, CoreListen: old.String() + ":0",
		CoreTarget: func(address string) string {
			_, port, _ = net.SplitHostPort(address)
			return "dns://" + dns.address + "/synccore.tandem.test.:" + port
		},
	})
	p := startPouring(t, s)
	p.more(t, 100)

	began := time.Now()
	beside, err := s.StartCoreBeside(t.Context(), net.JoinHostPort(next.String(), port))
	if err != nil {
		t.Fatal(err)
	}
	defer inspect(t, beside)
	dns.set(old, next)
	p.more(t, 50)
	// Whoever looks the name up from now on finds the new one alone.
	dns.set(next)
	if err := s.Core.Stop(); err != nil {
		t.Errorf("the old sync-core did not end in peace: %v", err)
	}
	p.more(t, 100)
	took := time.Since(began)
	if took > longestUpdate {
		t.Errorf("the update took %s, want at most %s: the gateway follows too slowly", took, longestUpdate)
	}
	p.end()

	served := func() (map[int]int, int) {
		counts, retries := map[int]int{}, 0
		for _, program := range []*stack.Program{s.Core, beside} {
			for _, line := range program.Lines() {
				if id := int(line.Number("item_id")); line.Text("msg") == "sync.handled" && id > firstPoured {
					if line.Text("outcome") == "retry" {
						retries++
						continue
					}
					counts[id]++
				}
			}
		}
		return counts, retries
	}
	await(t, patience, "every event that was taken is served", func() (bool, string) {
		counts, _ := served()
		return len(counts) >= len(p.stored), fmt.Sprintf("%d of %d are", len(counts), len(p.stored))
	})
	counts, retries := served()
	for id := range p.stored {
		if counts[id] != 1 {
			t.Errorf("the event of work item %d was served %d times", id, counts[id])
		}
	}
	byNext := 0
	for _, line := range beside.Lines() {
		if line.Text("msg") == "rpc.served" {
			byNext++
		}
	}
	if byNext < 100 {
		t.Errorf("the new sync-core answered %d calls, want those of at least 100 events", byNext)
	}
	for status, n := range p.answers {
		if status/100 != 2 && status != http.StatusServiceUnavailable {
			t.Errorf("%d webhooks were answered %d", n, status)
		}
	}
	t.Logf("%d events within %s of the update's begin: answers %v, %d tried again", len(p.stored), took.Round(time.Millisecond), p.answers, retries)
}
