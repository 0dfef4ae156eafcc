package reconcile_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// leaving is a chat of which one side goes away.
func leaving(t *testing.T, format item.TextFormat) *chat {
	t.Helper()
	return chatting(t, func(o *options) {
		o.messages.Format = format
		o.boards.Projects = []standazure.Project{{Name: "Alvaoproject"}, {Name: "Archive"}}
	})
}

// told gives what Tandem itself says of the pair on each side.
func (c *chat) told() ([]string, []string) {
	var ticket, workItem []string
	for _, r := range c.desk.Records(int(c.ticket)) {
		if r.ByApplication && strings.Contains(r.HTML, "TANDEM-W"+strconv.FormatInt(c.workItem, 10)+"-N") {
			ticket = append(ticket, r.HTML)
		}
	}
	for _, one := range c.boards.Comments(int(c.workItem)) {
		if !one.Deleted && strings.Contains(one.Text, "TANDEM-A"+strconv.FormatInt(c.ticket, 10)+"-N") {
			workItem = append(workItem, one.Text)
		}
	}
	return ticket, workItem
}

// For each way in which one side goes and comes back: the link says so, the other side
// is told once each time, what was said meanwhile crosses afterwards, and nothing is
// deleted.
func TestGoneAndBackIsTold(t *testing.T) {
	t.Parallel()
	const elsewhere = "IT support"
	for name, way := range map[string]struct {
		leave, back func(context.Context, *chat) error
		// ticket tells that the ticket is the side that is told.
		ticket bool
		says   string
	}{
		"work item deleted and restored": {
			func(_ context.Context, c *chat) error { return c.boards.As(developer).Delete(int(c.workItem)) },
			func(_ context.Context, c *chat) error { return c.boards.As(developer).Restore(int(c.workItem)) },
			true, "was deleted in Azure DevOps",
		},
		"work item destroyed": {
			func(_ context.Context, c *chat) error {
				if err := c.boards.As(developer).Delete(int(c.workItem)); err != nil {
					return err
				}
				return c.boards.As(developer).Destroy(int(c.workItem))
			}, nil, true, "was deleted for good in Azure DevOps",
		},
		"work item moved to another project and back": {
			func(_ context.Context, c *chat) error {
				_, err := c.boards.As(developer).Move(int(c.workItem), "Archive")
				return err
			},
			func(_ context.Context, c *chat) error {
				_, err := c.boards.As(developer).Move(int(c.workItem), "Alvaoproject")
				return err
			},
			true, "moved to the project",
		},
		"ticket removed and restored": {
			func(ctx context.Context, c *chat) error {
				return c.desk.DeleteTicket(ctx, standalvao.Solver, int(c.ticket))
			},
			func(ctx context.Context, c *chat) error {
				return c.desk.RestoreTicket(ctx, standalvao.Solver, int(c.ticket))
			},
			false, "was removed in Alvao",
		},
		"ticket destroyed": {
			func(ctx context.Context, c *chat) error {
				return c.desk.DestroyTicket(ctx, standalvao.Solver, int(c.ticket))
			}, nil, false, "was removed in Alvao",
		},
		"ticket moved to another service and back": {
			func(ctx context.Context, c *chat) error {
				return c.desk.MoveToService(ctx, standalvao.Solver, int(c.ticket), elsewhere)
			},
			func(ctx context.Context, c *chat) error {
				return c.desk.MoveToService(ctx, standalvao.Solver, int(c.ticket), "Development")
			},
			false, "moved to the service",
		},
	} {
		for _, format := range []item.TextFormat{item.HTML, item.Markdown} {
			t.Run(name+" "+string(format), func(t *testing.T) {
				t.Parallel()
				c := leaving(t, format)
				if err := way.leave(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				c.round(t)
				c.quiet(t)
				side := func() []string {
					ticket, workItem := c.told()
					if way.ticket {
						return ticket
					}
					return workItem
				}
				l := c.link(t, c.ticket)
				if told := side(); l.State != item.LinkGone || !strings.Contains(l.Reason, way.says) || len(told) != 1 || !strings.Contains(told[0], way.says) {
					t.Fatalf("gone: %+v, told %q", l, side())
				}
				if way.back == nil {
					return
				}
				if err := way.back(t.Context(), c); err != nil {
					t.Fatal(err)
				}
				c.write(t, "<p>meanwhile</p>")
				c.round(t)
				c.quiet(t)
				l = c.link(t, c.ticket)
				if told := side(); l.State != item.LinkActive || l.Reason != "" || len(told) != 2 || !strings.Contains(told[1], "is back") {
					t.Fatalf("back: %+v, told %q", l, side())
				}
				if n := len(c.comments("meanwhile")); n != 1 {
					t.Errorf("what was written meanwhile stands %d times", n)
				}
			})
		}
	}
}

// A work item that goes between reading it and writing to it is looked at again, and
// nothing is given up.
func TestWorkItemThatGoesDuringARound(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	c.setStatus(t, c.ticket, "Testing")
	c.cuts.happens("set-state", func() {
		if err := c.boards.As(developer).Delete(int(c.workItem)); err != nil {
			t.Error(err)
		}
	})
	c.round(t)
	if l := c.link(t, c.ticket); l.State != item.LinkGone {
		t.Errorf("%+v", l)
	}
}

// A type change is told once, and the states of the new type count from then on.
func TestTypeChangeIsTold(t *testing.T) {
	t.Parallel()
	c := chatting(t, agile)
	c.setState(t, c.workItem, "Active")
	c.round(t)
	if _, err := c.boards.As(developer).ChangeType(int(c.workItem), "Task"); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	c.quiet(t)
	ticket, _ := c.told()
	if len(ticket) != 1 || !strings.Contains(ticket[0], "from type Bug to Task") {
		t.Fatalf("told %q", ticket)
	}
	// A Task knows no Resolved on the way.
	c.setStatus(t, c.ticket, "Testing")
	c.round(t)
	if state := c.state(t, c.workItem); state != "Closed" {
		t.Errorf("the work item is in %q", state)
	}
}

// Two tickets that carry one number: the second one is parked and says why.
func TestWorkItemOfAnotherTicketIsNotTaken(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	other := c.world.ticket(t, "New")
	if err := c.desk.SetField(t.Context(), standalvao.Solver, int(other), standalvao.ExternalIDColumn, strconv.FormatInt(c.workItem, 10)); err != nil {
		t.Fatal(err)
	}
	c.handle(t, other)
	l := c.link(t, other)
	if l.State != item.LinkParked || l.WorkItem != 0 || !strings.Contains(l.Reason, "belongs to ticket "+strconv.FormatInt(c.ticket, 10)) {
		t.Errorf("%+v", l)
	}
	if c.link(t, c.ticket).WorkItem != c.workItem {
		t.Error("the first ticket lost its work item")
	}
}

// What was written at the very time of the newest activity that a round read, as the
// tenant tells times, is not passed over: a resync looks once more.
func TestMessageOfTheSameMomentIsNotPassedOver(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	c.write(t, "<p>one</p>")
	c.round(t)
	shown, _ := c.desk.Ticket(int(c.ticket))
	if l := c.link(t, c.ticket); !l.TalkSeen.Before(shown.LastActivity) {
		t.Errorf("seen up to %v, and the activity is of %v", l.TalkSeen, shown.LastActivity)
	}
	c.pass(time.Minute)
	c.round(t)
	if l := c.link(t, c.ticket); l.TalkSeen.Before(shown.LastActivity.Truncate(time.Second)) {
		t.Errorf("a minute later, seen up to %v, and the activity is of %v", l.TalkSeen, shown.LastActivity)
	}
}

// A comment that can't be found because its work item is on its way elsewhere is not
// taken for one that somebody deleted: once the item is back, what changed is written.
func TestCommentOfAWorkItemThatLeaves(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]struct{ out, back func(*chat) error }{
		"moved": {
			func(c *chat) error { _, err := c.boards.As(developer).Move(int(c.workItem), "Archive"); return err },
			func(c *chat) error {
				_, err := c.boards.As(developer).Move(int(c.workItem), "Alvaoproject")
				return err
			},
		},
		"deleted": {
			func(c *chat) error { return c.boards.As(developer).Delete(int(c.workItem)) },
			func(c *chat) error { return c.boards.As(developer).Restore(int(c.workItem)) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := chatting(t, func(o *options) { o.boards.Projects = []standazure.Project{{Name: "Alvaoproject"}, {Name: "Archive"}} })
			edited := c.write(t, "<p>before</p>")
			withdrawn := c.write(t, "<p>withdrawn</p>")
			c.round(t)
			if err := c.desk.EditMessage(t.Context(), standalvao.Requester, int(c.ticket), edited.ID, "<p>after</p>"); err != nil {
				t.Fatal(err)
			}
			if err := c.desk.DeleteMessage(t.Context(), standalvao.Solver, int(c.ticket), withdrawn.ID); err != nil {
				t.Fatal(err)
			}
			c.cuts.happens("edit comment", func() {
				if err := leave.out(c); err != nil {
					t.Error(err)
				}
			})
			c.round(t)
			if l := c.link(t, c.ticket); l.State != item.LinkGone {
				t.Fatalf("the link is %s", l.State)
			}
			if err := leave.back(c); err != nil {
				t.Fatal(err)
			}
			c.round(t)
			if len(c.comments("after")) != 1 || len(c.comments("before")) != 0 || len(c.comments("withdrawn")) != 0 || len(c.comments("was deleted in Alvao")) != 1 {
				t.Errorf("comments %q", c.comments(""))
			}
			c.quiet(t)
		})
	}
}

// What Tandem itself says of an item is for those who work on it, also where messages
// are shown to the requester.
func TestOwnNotesAreInternal(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	c.connector.Messages.ShowToRequester = true
	c.comment(t, "<p>for the requester</p>")
	c.round(t)
	if err := c.boards.As(developer).Delete(int(c.workItem)); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	for text, shown := range map[string]bool{"for the requester": true, "can be restored": false} {
		records := c.records(text)
		if len(records) != 1 || records[0].ShowToRequester != shown {
			t.Errorf("%q: %+v, want it shown: %t", text, records, shown)
		}
	}
}
