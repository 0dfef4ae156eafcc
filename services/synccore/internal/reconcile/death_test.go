package reconcile_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"golang.org/x/sync/errgroup"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	sandboxfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// The process dies before or after each effect on messages and files in turn, alone
// and in pairs; every one of them crosses exactly once all the same.
func TestDeathAmongMessages(t *testing.T) {
	t.Parallel()
	png := []byte("\x89PNG\r\n\x1a\nsmoke")
	prepare := func(t *testing.T) *chat {
		t.Helper()
		c := chatting(t)
		early, answer := c.write(t, "<p>first wording</p>"), c.comment(t, "<p>first answer</p>")
		regretted, withdrawn := c.write(t, "<p>regretted</p>"), c.comment(t, "<p>withdrawn</p>")
		c.round(t)
		steps := []func() error{
			func() error {
				return c.desk.EditMessage(t.Context(), standalvao.Requester, int(c.ticket), early.ID, "<p>second wording</p>")
			},
			func() error {
				_, err := c.boards.As(developer).EditComment(int(c.workItem), answer.ID, "<p>second answer</p>")
				return err
			},
			func() error {
				return c.desk.DeleteMessage(t.Context(), standalvao.Requester, int(c.ticket), regretted.ID)
			},
			func() error {
				_, err := c.boards.As(developer).DeleteComment(int(c.workItem), withdrawn.ID)
				return err
			},
		}
		for _, do := range steps {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}
		made := c.write(t, "<p>with a file</p>", standalvao.NewAttachment{Name: "smoke.png", ContentType: "image/png", Content: png},
			standalvao.NewAttachment{Name: "a.txt", Content: []byte("a")})
		if err := c.desk.EditMessage(t.Context(), standalvao.Requester, int(c.ticket), made.ID,
			fmt.Sprintf(`<p>new message <img src="/AlvaoRestApi/v1/attachments/%d" alt="smoke"></p>`, made.Attachments[0].ID)); err != nil {
			t.Fatal(err)
		}
		c.comment(t, "<p>new answer</p>")
		c.attach(t, "b.txt", []byte("b"))
		c.attach(t, "virus.exe", []byte("MZ"))
		return c
	}
	check := func(t *testing.T, c *chat) {
		t.Helper()
		for what, n := range map[string]int{
			"first wording": len(c.comments("first wording")), "regretted": len(c.comments("regretted")),
			"virus.exe as a file": len(c.files("virus.exe")), "the image as a file": len(c.attached("smoke.png")),
		} {
			if n != 0 {
				t.Errorf("%s stands %d times", what, n)
			}
		}
		for what, n := range map[string]int{
			"second wording": len(c.comments("second wording")), "second answer": len(c.records("second answer")),
			"regret": len(c.comments("This message was deleted in Alvao")), "withdrawal": len(c.records("was deleted in Azure DevOps")),
			"new message": len(c.comments("new message")), "new answer": len(c.records("new answer")),
			"a.txt": len(c.attached("a.txt")), "b.txt": len(c.files("b.txt")), "virus.exe": len(c.records("virus.exe")),
		} {
			if n != 1 {
				t.Errorf("%s stands %d times", what, n)
			}
		}
	}
	calm := prepare(t)
	calm.cuts.arm(0, false)
	calm.round(t)
	check(t, calm)
	effects := slices.Clone(calm.cuts.names)
	if len(effects) < 20 {
		t.Fatalf("only these effects: %v", effects)
	}
	for first := 1; first <= len(effects); first++ {
		for _, second := range []int{0, 3} {
			for _, before := range []bool{true, false} {
				t.Run(fmt.Sprintf("%d %s, then %d, before %v", first, effects[first-1], second, before), func(t *testing.T) {
					t.Parallel()
					c := prepare(t)
					for _, at := range []int{first, second} {
						c.cuts.arm(at, before)
						_, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket))
						if at == first && err == nil {
							t.Fatal("nothing died")
						}
						c.pass(plan.Settle)
					}
					c.cuts.arm(0, false)
					c.round(t)
					check(t, c)
					c.quiet(t)
				})
			}
		}
	}
}

// The answer to each write is lost in turn: what was written is found again, and
// nothing is written anew before it could have arrived.
func TestLostAnswersAmongMessages(t *testing.T) {
	t.Parallel()
	for skip := range 6 {
		t.Run(strconv.Itoa(skip), func(t *testing.T) {
			t.Parallel()
			faults := sandboxfault.NewSet(1)
			c := chatting(t, func(o *options) { o.faults = faults })
			c.write(t, "<p>message</p>", standalvao.NewAttachment{Name: "a.txt", Content: []byte("a")})
			c.comment(t, "<p>answer</p>")
			c.attach(t, "b.txt", []byte("b"))
			for _, method := range []string{http.MethodPost, http.MethodPatch} {
				if _, err := faults.Add(sandboxfault.Rule{Method: method, Kind: sandboxfault.KindLostReply, Skip: skip, Count: 1}); err != nil {
					t.Fatal(err)
				}
			}
			for range 4 {
				_, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket))
				if told, ok := fault.As(err); err != nil && (!ok || told.Kind != fault.Unavailable && told.Kind != fault.Busy) {
					t.Fatal(err)
				} else if err != nil {
					c.pass(told.RetryAfter)
				}
			}
			c.round(t)
			for what, n := range map[string]int{
				"message": len(c.comments(">message<")), "answer": len(c.records("answer")),
				"a.txt": len(c.attached("a.txt")), "b.txt": len(c.files("b.txt")),
			} {
				if n != 1 {
					t.Errorf("%s stands %d times", what, n)
				}
			}
			c.quiet(t)
		})
	}
}

func TestTwentyTicketsAtOnce(t *testing.T) {
	t.Parallel()
	w := setup(t, talking)
	var chats []*chat
	for i := range 20 {
		c := &chat{world: w, ticket: w.ticket(t, "Development")}
		w.handle(t, c.ticket)
		c.workItem = w.link(t, c.ticket).WorkItem
		c.write(t, fmt.Sprintf("<p>message %d.</p>", i))
		c.comment(t, fmt.Sprintf("<p>answer %d.</p>", i))
		chats = append(chats, c)
	}
	var group errgroup.Group
	for _, c := range chats {
		group.Go(func() error {
			_, err := w.engine.Handle(t.Context(), w.connector, hints(c.ticket))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for i, c := range chats {
		if len(c.comments(fmt.Sprintf("message %d.", i))) != 1 || len(c.records(fmt.Sprintf("answer %d.", i))) != 1 {
			t.Errorf("pair %d: %v, %v", i, c.comments(""), c.records(""))
		}
		c.quiet(t)
	}
}
