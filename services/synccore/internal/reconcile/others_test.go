package reconcile_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
)

// Of several hints that were merged only the newest tells what to look for. What one
// before it told of may still not be visible although that is: it is looked for a little
// longer, which counts as no failure.
func TestMergedHintsAreLookedForToo(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	late := c.write(t, "<p>It burns</p>")
	before := c.connector.Tickets
	hidden := onlyTold{Tickets: before}
	seen := c.write(t, "<p>It smoulders</p>")
	var err error
	if hidden.log, err = before.Log(t.Context(), c.ticket); err != nil {
		t.Fatal(err)
	}
	for i, record := range hidden.log.Records {
		if record.ID == int64(late.ID) {
			// Its transaction is not through.
			hidden.log.Records = append(hidden.log.Records[:i], hidden.log.Records[i+1:]...)
			break
		}
	}
	c.connector.Tickets = hidden
	h := hints(c.ticket)
	h.Received, h.Payload = c.clock(), fmt.Appendf(nil, `{"event":"act.created","ticketId":%d,"actId":%d,"personId":1}`, c.ticket, seen.ID)
	h.Others = true
	if _, err := c.engine.Handle(t.Context(), c.connector, h); !fault.Is(err, fault.Busy) || len(c.comments("smoulders")) != 1 || len(c.comments("burns")) != 0 {
		t.Fatalf("%v, %q", err, c.comments(""))
	}
	c.connector.Tickets = before
	c.pass(time.Second)
	if _, err := c.engine.Handle(t.Context(), c.connector, h); !fault.Is(err, fault.Busy) || len(c.comments("burns")) != 1 {
		t.Fatalf("%v, %q", err, c.comments(""))
	}
	// Not for ever.
	c.pass(time.Second)
	if _, err := c.engine.Handle(t.Context(), c.connector, h); err != nil {
		t.Fatal(err)
	}
}

// A record that a hint names is waited for longer than a change that can be guessed at only:
// its transaction may take a while, and the ticket may have changed otherwise meanwhile.
func TestNamedRecordIsWaitedFor(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	late := c.write(t, "<p>It burns</p>")
	before := c.connector.Tickets
	c.connector.Tickets = onlyTold{Tickets: before} // its transaction is not through
	h := hints(c.ticket)
	h.Received, h.Payload = c.clock(), fmt.Appendf(nil, `{"event":"act.created","ticketId":%d,"actId":%d,"personId":1}`, c.ticket, late.ID)
	c.pass(40 * time.Second)
	if _, err := c.engine.Handle(t.Context(), c.connector, h); !fault.Is(err, fault.Busy) {
		t.Fatalf("%v", err)
	}
	c.connector.Tickets = before
	if _, err := c.engine.Handle(t.Context(), c.connector, h); err != nil || len(c.comments("burns")) != 1 {
		t.Fatalf("%v, %q", err, c.comments(""))
	}
	// Not for ever.
	c.connector.Tickets = onlyTold{Tickets: before}
	c.pass(time.Minute)
	if _, err := c.engine.Handle(t.Context(), c.connector, h); err != nil {
		t.Fatal(err)
	}
}
