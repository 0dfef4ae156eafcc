package reconcile_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"go.opentelemetry.io/otel/trace/noop"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
)

// tray is an inbox that keeps what it is given, and how many notices were due then.
type tray struct {
	w  *world
	mu sync.Mutex
	// due holds, for each hint, how many notices were due when it came.
	due []int
}

func (i *tray) Append(ctx context.Context, event item.Event) (bool, error) {
	return effect(i.w.cuts, "append", func() (bool, error) {
		notices, err := i.w.links.Notices(ctx, event.Key.Connector, event.Key.ID)
		if err != nil || event.Key.System != item.Notices {
			return false, fmt.Errorf("%+v: %w", event.Key, err)
		}
		i.mu.Lock()
		defer i.mu.Unlock()
		i.due = append(i.due, len(notices))
		return true, nil
	})
}

// last is how many notices were due when the last hint came; -1: there was none.
func (i *tray) last() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.due) == 0 {
		return -1
	}
	return i.due[len(i.due)-1]
}

// telling is a chat whose solver is told of comments.
func telling(t *testing.T, change ...func(*options)) (*chat, *tray) {
	t.Helper()
	c := chatting(t, change...)
	c.round(t)
	tray := &tray{w: c.world}
	c.engine = reconcile.New(reconcile.Config{
		Links: cutLinks{c.links, c.cuts}, Leases: lease.New(c.store), Origins: c.origins, Inbox: tray, Tracers: noop.NewTracerProvider(), Now: c.clock,
	})
	c.connector.Notices = true
	return c, tray
}

func (c *chat) notices(t *testing.T) map[string]item.Notice {
	t.Helper()
	notices, err := c.links.Notices(t.Context(), name, c.ticket)
	if err != nil {
		t.Fatal(err)
	}
	return notices
}

// Only a comment of a person that crosses makes a notice, once, whatever becomes of the
// comment later.
func TestCommentsMakeNotices(t *testing.T) {
	t.Parallel()
	c, tray := telling(t)
	c.write(t, "<p>from Alvao</p>")
	c.attach(t, "a.txt", []byte("file"))
	c.round(t)
	if len(c.notices(t)) != 0 || tray.last() != -1 {
		t.Fatalf("notices %v", c.notices(t))
	}
	made := c.comment(t, "<p>from Azure DevOps</p>")
	c.round(t)
	source := fmt.Sprintf("azureDevOps/comment/%d", made.ID)
	notice, there := c.notices(t)[source]
	if len(c.notices(t)) != 1 || !there || notice.Done || notice.Due.IsZero() || tray.last() != 1 {
		t.Fatalf("notices %v, hints %v", c.notices(t), tray.due)
	}
	// As long as it is owed, a round that may follow one that was cut off sees to it.
	c.round(t)
	if len(tray.due) != 2 {
		t.Errorf("%d hints", len(tray.due))
	}
	done := notice
	done.Done = true
	if ok, err := c.links.PutNotice(t.Context(), name, c.ticket, source, notice, done); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if _, err := c.boards.As(developer).EditComment(int(c.workItem), made.ID, "<p>from Azure DevOps, edited</p>"); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if len(c.records("edited")) == 0 {
		t.Error("the edit did not cross")
	}
	if _, err := c.boards.As(developer).DeleteComment(int(c.workItem), made.ID); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if now := c.notices(t); len(now) != 1 || now[source] != done || len(tray.due) != 2 {
		t.Errorf("notices %v, %d hints", now, len(tray.due))
	}
	c.quiet(t)
}

// Nobody is told where the connector tells nobody.
func TestNoNoticesUnlessWanted(t *testing.T) {
	t.Parallel()
	c, tray := telling(t)
	c.connector.Notices = false
	c.comment(t, "<p>quiet</p>")
	c.round(t)
	if len(c.notices(t)) != 0 || tray.last() != -1 {
		t.Errorf("notices %v", c.notices(t))
	}
}

// Wherever a round dies, the comment that it carries makes one notice, and a hint comes
// after it was made.
func TestNoticesSurviveDeath(t *testing.T) {
	t.Parallel()
	prepare := func(t *testing.T) (*chat, *tray) {
		t.Helper()
		c, tray := telling(t)
		c.comment(t, "<p>one</p>")
		c.comment(t, "<p>two</p>")
		return c, tray
	}
	calm, _ := prepare(t)
	calm.cuts.arm(0, false)
	calm.round(t)
	effects := len(calm.cuts.names)
	if effects < 8 {
		t.Fatalf("only these effects: %v", calm.cuts.names)
	}
	for at := 1; at <= effects; at++ {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d %s, before %v", at, calm.cuts.names[at-1], before), func(t *testing.T) {
				t.Parallel()
				c, tray := prepare(t)
				c.cuts.arm(at, before)
				if _, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket)); err == nil {
					t.Fatal("nothing died")
				}
				c.cuts.arm(0, false)
				c.pass(plan.Settle)
				c.round(t)
				c.pass(plan.Settle)
				c.round(t)
				if len(c.records("one")) != 1 || len(c.records("two")) != 1 {
					t.Errorf("%d and %d records", len(c.records("one")), len(c.records("two")))
				}
				if n := len(c.notices(t)); n != 2 || tray.last() != 2 {
					t.Errorf("%d notices, the last hint knew %d", n, tray.last())
				}
			})
		}
	}
}
