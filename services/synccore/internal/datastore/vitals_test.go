package datastore

import (
	"testing"
	"time"
)

// TestNeed: how many replicas a write waits for, as the server's replicas come and go.
func TestNeed(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	v := &vitals{now: func() time.Time { return now }}
	const (
		none    = "master_replid:a\r\nconnected_slaves:0\r\n"
		one     = "master_replid:a\r\nconnected_slaves:1\r\nslave0:ip=127.0.0.1,port=1,state=online,offset=5,lag=0\r\n"
		syncing = "master_replid:a\r\nconnected_slaves:1\r\nslave0:ip=127.0.0.1,port=1,state=send_bulk,offset=0,lag=0\r\n"
		other   = "master_replid:b\r\nconnected_slaves:0\r\n"
	)
	for n, step := range []struct {
		said string
		pass time.Duration
		want int
	}{
		{none, 0, 0},
		{syncing, 0, 0}, // it is of no use yet
		{one, 0, 1},
		// It may be the server that a fail-over has left behind.
		{none, time.Second, 1},
		{none, stickiness - 2*time.Second, 1},
		// It stayed alone: the replica is dead.
		{none, 3 * time.Second, 0},
		{one, 0, 1},
		// Another server, whose history holds what was confirmed, has none.
		{other, 0, 0},
	} {
		now = now.Add(step.pass)
		v.take(step.said)
		if got := v.need(AutoReplicas); got != step.want {
			t.Errorf("step %d: it waits for %d, want %d", n, got, step.want)
		}
		if got := v.need(NoReplicas); got != 0 {
			t.Errorf("step %d: told to wait for none, it waits for %d", n, got)
		}
		if got := v.need(2); got != 2 {
			t.Errorf("step %d: told to wait for 2, it waits for %d", n, got)
		}
	}
}

func TestFull(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]bool{
		"used_memory:100\r\nmaxmemory:0\r\n":   false,
		"used_memory:90\r\nmaxmemory:100\r\n":  false,
		"used_memory:91\r\nmaxmemory:100\r\n":  true,
		"used_memory:200\r\nmaxmemory:100\r\n": true,
		"":                                     false,
	} {
		v := &vitals{now: time.Now}
		v.take(said)
		if v.full() != want {
			t.Errorf("%q: full %t, want %t", said, !want, want)
		}
	}
}

func TestParseReplicas(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Replicas{"": AutoReplicas, "auto": AutoReplicas, "0": NoReplicas, "1": 1, "5": 5} {
		if got, err := ParseReplicas(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"-1", "6", "all", "1.5"} {
		if _, err := ParseReplicas(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
