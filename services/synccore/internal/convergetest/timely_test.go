package convergetest_test

import (
	"bytes"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A real Redis has the machine's time, and the world that of its bubble. So that the same
// histories can be played over one, its scripts are told the bubble's time on the way: each
// is sent with a prelude that answers TIME in Redis' stead and makes of a moment at which a
// key expires how long it has left. That time passes is seen to by group.pass.

// prelude begins every script. The present time comes as the last argument, in microseconds.
const prelude = `local present = table.remove(ARGV)
local redis = setmetatable({ call = function(command, ...)
  if command == 'TIME' then
    return { string.sub(present, 1, -7), string.sub(present, -6) }
  elseif command == 'PEXPIREAT' then
    local key, at = ...
    return redis.call('PEXPIRE', key, string.format('%.0f', math.max(at - string.sub(present, 1, -4), 1)))
  end
  return redis.call(command, ...)
end }, { __index = redis })
`

// scribe knows scripts by their sums without the prelude, as stores know them, and gives the
// sums with it, as servers do.
type scribe struct {
	mu   sync.Mutex
	sums map[string]string
}

func sumOf(script string) string {
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}

// rewrite gives the words of a command as a server gets them.
func (s *scribe) rewrite(words []string) []string {
	if len(words) < 3 {
		return words
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch strings.ToLower(words[0]) {
	case "eval":
		s.sums[sumOf(words[1])] = sumOf(prelude + words[1])
		words[1] = prelude + words[1]
	case "evalsha":
		// One that was not seen yet is unknown to servers too, and comes again as a whole.
		if sum, ok := s.sums[words[1]]; ok {
			words[1] = sum
		}
	default:
		return words
	}
	return append(words, strconv.FormatInt(time.Now().UnixMicro(), 10))
}

// timely is a connection to a real Redis.
type timely struct {
	*net.TCPConn

	scribe *scribe
	// rest is the beginning of a command of which the end was not written yet.
	rest []byte
	// listening tells that the server speaks unasked (SUBSCRIBE), owes that it was asked.
	mu        sync.Mutex
	listening bool
	owes      bool
	deadline  time.Time
	over      sync.Once
	closed    chan struct{}
}

func (s *scribe) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, fmt.Errorf("no connection of TCP: %T", conn)
	}
	return &timely{TCPConn: tcp, scribe: s, closed: make(chan struct{})}, nil
}

// Write implements net.Conn.
func (c *timely) Write(p []byte) (int, error) {
	c.rest = append(c.rest, p...)
	var out bytes.Buffer
	for {
		words, length, err := wordsOf(c.rest)
		if err != nil {
			return 0, err
		}
		if length == 0 {
			break
		}
		c.rest = c.rest[length:]
		c.mu.Lock()
		c.owes = true
		c.listening = c.listening || strings.EqualFold(words[0], "subscribe")
		c.mu.Unlock()
		words = c.scribe.rewrite(words)
		fmt.Fprintf(&out, "*%d\r\n", len(words))
		for _, word := range words {
			fmt.Fprintf(&out, "$%d\r\n%s\r\n", len(word), word)
		}
	}
	if _, err := c.TCPConn.Write(out.Bytes()); err != nil {
		return 0, err
	}
	return len(p), nil
}

// ReadFrom keeps others from writing past Write.
func (c *timely) ReadFrom(r io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{c}, r)
}

// SetReadDeadline implements net.Conn.
func (c *timely) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	return c.TCPConn.SetReadDeadline(t)
}

// SetDeadline implements net.Conn.
func (c *timely) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Read implements net.Conn. While it waits for what a server says unasked, time passes: who
// reads from a network keeps a bubble's clock from moving, so it looks now and then.
func (c *timely) Read(p []byte) (int, error) {
	for {
		c.mu.Lock()
		listening, owes, deadline := c.listening, c.owes, c.deadline
		c.owes = false
		c.mu.Unlock()
		if !listening {
			return c.TCPConn.Read(p)
		}
		n, err := c.peep(p)
		for try := 0; owes && n == 0 && err == nil && try < answeredWithin; try++ {
			if err := syscall.Nanosleep(&syscall.Timespec{Nsec: 100_000}, nil); err != nil && !errors.Is(err, syscall.EINTR) {
				return 0, err
			}
			n, err = c.peep(p)
		}
		if n > 0 || err != nil {
			return n, err
		}
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return 0, os.ErrDeadlineExceeded
		}
		select {
		case <-c.closed:
			return 0, net.ErrClosed
		case <-time.After(time.Second):
		}
	}
}

// answeredWithin is how long an answer is waited for in the machine's time, in tenths of
// milliseconds.
const answeredWithin = 1000

// peep reads what is there, without waiting.
func (c *timely) peep(p []byte) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var n int
	var said error
	err = raw.Read(func(fd uintptr) bool {
		n, said = syscall.Read(int(fd), p)
		return true
	})
	switch {
	case err != nil:
		return 0, err
	case errors.Is(said, syscall.EAGAIN):
		return 0, nil
	case said != nil:
		return 0, said
	case n == 0:
		return 0, io.EOF
	default:
		return n, nil
	}
}

// Close implements net.Conn.
func (c *timely) Close() error {
	c.over.Do(func() { close(c.closed) })
	return c.TCPConn.Close()
}

// wordsOf reads one command as clients write them, and tells how long it was; 0: it is not
// complete.
func wordsOf(text []byte) ([]string, int, error) {
	at := 0
	number := func(kind byte) (int, bool, error) {
		end := bytes.Index(text[at:], []byte("\r\n"))
		if end < 0 {
			return 0, false, nil
		}
		if text[at] != kind {
			return 0, false, fmt.Errorf("a command has %q for %q", text[at], kind)
		}
		n, err := strconv.Atoi(string(text[at+1 : at+end]))
		at += end + len("\r\n")
		return n, err == nil, err
	}
	count, ok, err := number('*')
	if !ok {
		return nil, 0, err
	}
	words := make([]string, 0, count+1)
	for range count {
		size, ok, err := number('$')
		if !ok {
			return nil, 0, err
		}
		if len(text) < at+size+len("\r\n") {
			return nil, 0, nil
		}
		words = append(words, string(text[at:at+size]))
		at += size + len("\r\n")
	}
	return words, at, nil
}
