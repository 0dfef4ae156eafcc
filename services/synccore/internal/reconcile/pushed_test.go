package reconcile_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	sandboxfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
	"github.com/tandem-sync/tandem/services/synccore/internal/pushed"
	"github.com/tandem-sync/tandem/services/synccore/internal/reconcile"
)

// toldTo is what the application told to the test's connector.
type toldTo struct{ logs *pushed.Logs }

func (p toldTo) Log(ctx context.Context, ticket int64) ([]item.PushedRecord, error) {
	return p.logs.Log(ctx, name, ticket)
}

func (p toldTo) Heard(ctx context.Context) (time.Time, error) { return p.logs.Heard(ctx, name) }

func (p toldTo) Round(ctx context.Context) (time.Time, error) { return p.logs.Round(ctx, name) }

// applicationHook takes what the application posts, as gateway and API do. The hints
// themselves are the test's matter.
func applicationHook(t *testing.T, logs *pushed.Logs) http.HandlerFunc {
	t.Helper()
	return func(_ http.ResponseWriter, r *http.Request) {
		var in struct {
			TicketID, ActID int64
			Record          *struct {
				AsOf, Created                                        time.Time
				Removed, Bare, ShowToRequester                       bool
				Mark, Subject, ContentHTML, ContentPlain, Kind, From string
				Attachments                                          []struct {
					ID, Size   int64
					Name, Link string
				}
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Errorf("the application posted something else: %v", err)
		}
		if in.Record == nil {
			return
		}
		p := item.PushedRecord{AsOf: in.Record.AsOf, Bare: in.Record.Bare, Record: item.Record{
			ID: in.ActID, Subject: in.Record.Subject, HTML: in.Record.ContentHTML, Plain: in.Record.ContentPlain, Kind: in.Record.Kind,
			From: in.Record.From, Created: in.Record.Created, ShowToRequester: in.Record.ShowToRequester,
			Important: in.Record.Mark == "important", Removed: in.Record.Removed,
		}}
		for _, a := range in.Record.Attachments {
			p.Attachments = append(p.Attachments, item.Attachment{ID: strconv.FormatInt(a.ID, 10), Name: a.Name, Size: a.Size, URL: a.Link})
		}
		if _, err := logs.Keep(context.WithoutCancel(r.Context()), name, in.TicketID, p); err != nil {
			t.Errorf("keeping what the application told: %v", err)
		}
	}
}

// byApplication has the application tell of the log, which can't be read.
func byApplication(o *options) { o.application = true }

// hintedRound waits until the application has told what happened, and runs a round.
func (c *chat) hintedRound(t *testing.T) {
	t.Helper()
	if err := c.desk.Quiet(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.round(t)
}

func toldChat(t *testing.T) *chat {
	t.Helper()
	w := setup(t, talking, byApplication)
	c := &chat{world: w, ticket: w.ticket(t, "Development")}
	c.hintedRound(t)
	c.workItem = w.link(t, c.ticket).WorkItem
	return c
}

func TestWhatTheApplicationTellsIsTheLog(t *testing.T) {
	t.Parallel()
	c := toldChat(t)
	if made, _ := c.boards.WorkItem(int(c.workItem)); !strings.Contains(fmt.Sprint(made.Fields["System.Description"]), "Smoke") {
		t.Errorf("the important message is not the description: %v", made.Fields["System.Description"])
	}
	written := c.write(t, "<p>It <b>burns</b></p>", standalvao.NewAttachment{Name: "fire.txt", ContentType: "text/plain", Content: []byte("hot")})
	c.comment(t, "<p>use water</p>")
	c.hintedRound(t)
	if n, m, f := len(c.comments("burns")), len(c.records("use water")), len(c.attached("fire.txt")); n != 1 || m != 1 || f != 1 {
		t.Fatalf("%d comments, %d records and %d files crossed", n, m, f)
	}
	if err := c.desk.Quiet(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.quiet(t)

	// An edit edits, and a file that goes with it is told as gone.
	if err := c.desk.EditMessage(t.Context(), standalvao.Requester, int(c.ticket), written.ID, "<p>It smoulders</p>"); err != nil {
		t.Fatal(err)
	}
	c.hintedRound(t)
	if n, m := len(c.comments("smoulders")), len(c.comments("burns")); n != 1 || m != 0 {
		t.Errorf("%d comments say the new text, %d the old one", n, m)
	}
	// A deletion is told once.
	if err := c.desk.DeleteMessage(t.Context(), standalvao.Requester, int(c.ticket), written.ID); err != nil {
		t.Fatal(err)
	}
	c.hintedRound(t)
	if n := len(c.comments("smoulders")); n != 0 {
		t.Errorf("%d comments still stand as if the message did", n)
	}
	if err := c.desk.Quiet(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.quiet(t)
}

// What the application did not tell of was not deleted.
func TestWhatIsNotToldOfIsNotGone(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	c.write(t, "<p>It burns</p>")
	c.round(t)
	if n := len(c.comments("burns")); n != 1 {
		t.Fatalf("%d comments", n)
	}
	// From now on the log can't be read, and the application, switched on just now, tells of
	// what happens from now on.
	before := c.connector.Tickets
	t.Cleanup(func() { c.connector.Tickets = before })
	c.connector.Tickets = onlyTold{c.connector.Tickets, item.Log{Partial: true, Records: []item.Record{
		{ID: 99_999, Kind: "Note", HTML: "<p>later</p>", From: "Eve", Created: c.clock(), Attachments: []item.Attachment{}},
	}}}
	r := c.handle(t, c.ticket)
	if slices.Contains(r.Steps, plan.Retract) || len(c.comments("burns")) != 1 || len(c.comments("later")) != 1 {
		t.Errorf("%v: %q", r.Steps, c.comments(""))
	}
	c.quiet(t)
}

// onlyTold knows a log that is told.
type onlyTold struct {
	reconcile.Tickets
	log item.Log
}

func (o onlyTold) Log(context.Context, int64) (item.Log, error) { return o.log, nil }

// A push that was lost comes with the application's next round of the hour.
func TestLostPushesAreToldAgain(t *testing.T) {
	t.Parallel()
	c := toldChat(t)
	c.desk.PauseHooks()
	written := c.write(t, "<p>It burns</p>")
	gone := c.write(t, "<p>Never mind</p>")
	c.desk.DropHooks()
	c.desk.ResumeHooks(false)
	c.hintedRound(t)
	if n := len(c.comments("burns")); n != 0 {
		t.Fatalf("%d comments of what nobody told", n)
	}
	c.desk.RunApplication()
	c.hintedRound(t)
	if n, m := len(c.comments("burns")), len(c.comments("Never mind")); n != 1 || m != 1 {
		t.Fatalf("%d and %d comments", n, m)
	}
	c.desk.PauseHooks()
	if err := c.desk.DeleteMessage(t.Context(), standalvao.Requester, int(c.ticket), gone.ID); err != nil {
		t.Fatal(err)
	}
	c.desk.DropHooks()
	c.desk.ResumeHooks(false)
	c.desk.RunApplication()
	c.hintedRound(t)
	if n, m := len(c.comments("burns")), len(c.comments("Never mind")); n != 1 || m != 0 {
		t.Errorf("%d and %d comments after the deletion of %d (of %d)", n, m, gone.ID, written.ID)
	}
	if err := c.desk.Quiet(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.quiet(t)
}

// Wherever the process dies, each message crosses once: what Tandem wrote into the log is
// told of too.
func TestToldMessagesCrossOnceWhereverItDies(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("tries each effect of a round")
	}
	for _, before := range []bool{false, true} {
		for at := 1; ; at++ {
			c := toldChat(t)
			c.write(t, "<p>It burns</p>")
			c.comment(t, "<p>use water</p>")
			if err := c.desk.Quiet(t.Context()); err != nil {
				t.Fatal(err)
			}
			rounds := c.tellingRounds()
			c.cuts.arm(at, before)
			_, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket))
			reached := c.cuts.count >= at
			c.cuts.arm(0, false)
			if !reached {
				if err != nil {
					t.Fatal(err)
				}
				break
			}
			for range 4 {
				if err := c.desk.Quiet(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err = c.engine.Handle(t.Context(), c.connector, hints(c.ticket)); err == nil {
					break
				}
				// What may stand there already waits until the application has told all.
				c.pass(10 * time.Minute)
				rounds.run(t)
			}
			if n, m := len(c.comments("burns")), len(c.records("use water")); err != nil || n != 1 || m != 1 {
				t.Errorf("died at %d (before: %t): %d comments, %d records, %v", at, before, n, m, err)
			}
		}
	}
}

// rounds has the application tell all records again, and tells when that was by the
// world's clock.
type rounds struct {
	reconcile.Tickets
	c  *chat
	at time.Time
}

// tellingRounds has rounds of the application count from now on.
func (c *chat) tellingRounds() *rounds {
	r := &rounds{Tickets: c.connector.Tickets, c: c}
	c.connector.Tickets = r
	return r
}

func (r *rounds) Log(ctx context.Context, ticket int64) (item.Log, error) {
	log, err := r.Tickets.Log(ctx, ticket)
	log.Told = r.at
	return log, err
}

func (r *rounds) run(t *testing.T) {
	t.Helper()
	began := r.c.clock()
	r.c.desk.RunApplication()
	if err := r.c.desk.Quiet(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.at = began
}

// What was cut off is not written again before the application has told all records; the
// other messages go on, and the ticket is looked at again by itself. That the application
// told of an earlier time is not enough.
func TestWhatMayStandThereWaitsForTheTelling(t *testing.T) {
	t.Parallel()
	c := toldChat(t)
	rounds := c.tellingRounds()
	c.pass(time.Minute)
	rounds.run(t)
	c.comment(t, "<p>use water</p>")
	c.desk.PauseHooks()
	// First it is stored that the message is posted; after the post it dies.
	c.cuts.arm(2, false)
	if _, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket)); err == nil || len(c.records("use water")) != 1 {
		t.Fatalf("%d records, %v", len(c.records("use water")), err)
	}
	c.cuts.arm(0, false)
	c.pass(plan.Settle)
	c.desk.DropHooks()
	c.desk.ResumeHooks(false)
	c.comment(t, "<p>or sand</p>")
	for range 3 {
		_, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket))
		f, ok := fault.As(err)
		if n, m := len(c.records("use water")), len(c.records("or sand")); !ok || f.Kind != fault.Busy || f.RetryAfter != 10*time.Minute || n != 1 || m != 1 {
			t.Fatalf("%d and %d records, %v", n, m, err)
		}
		c.pass(10 * time.Minute)
	}
	rounds.run(t)
	if _, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket)); err != nil || len(c.records("use water")) != 1 {
		t.Errorf("%d records, %v", len(c.records("use water")), err)
	}
	c.quiet(t)
}

// An application that can't tell all is not waited for for ever: people read a message
// twice rather than never.
func TestTheTellingIsWaitedForForHoursAlone(t *testing.T) {
	t.Parallel()
	c := toldChat(t)
	c.comment(t, "<p>use water</p>")
	c.cuts.arm(2, true)
	if _, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket)); err == nil || len(c.records("use water")) != 0 {
		t.Fatalf("%d records, %v", len(c.records("use water")), err)
	}
	c.cuts.arm(0, false)
	for range 6 {
		c.pass(50 * time.Minute)
		if _, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket)); !fault.Is(err, fault.Busy) || len(c.records("use water")) != 0 {
			t.Fatalf("%d records, %v", len(c.records("use water")), err)
		}
	}
	c.pass(time.Hour)
	if _, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket)); err != nil || len(c.records("use water")) != 1 {
		t.Errorf("%d records, %v", len(c.records("use water")), err)
	}
}

// What Alvao refused to take at the time can't stand there, and does not wait for the telling.
func TestWhatWasSlowedDownDoesNotWaitForTheTelling(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusTooManyRequests, http.StatusUnauthorized} {
		faults := sandboxfault.NewSet(1)
		w := setup(t, talking, byApplication, func(o *options) { o.faults = faults })
		c := &chat{world: w, ticket: w.ticket(t, "Development")}
		c.hintedRound(t)
		c.workItem = w.link(t, c.ticket).WorkItem
		slow := func() {
			if _, err := faults.Add(sandboxfault.Rule{Method: "POST", Path: "/AlvaoRestApi/**/log", Kind: sandboxfault.KindStatus, Status: status}); err != nil {
				t.Fatal(err)
			}
		}
		round := func(want bool, text string) {
			t.Helper()
			c.pass(time.Minute)
			_, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket))
			if n := len(c.records(text)); want && (err != nil || n != 1) || !want && (!fault.Is(err, fault.Throttled) && !fault.Is(err, fault.BadToken) || n != 0) {
				t.Errorf("%d: %d records of %q, %v", status, n, text, err)
			}
		}
		made := c.comment(t, "<p>use water</p>")
		slow()
		round(false, "use water")
		faults.Clear()
		round(true, "use water")
		if _, err := c.boards.As(developer).EditComment(int(c.workItem), made.ID, "<p>use sand</p>"); err != nil {
			t.Fatal(err)
		}
		slow()
		round(false, "use sand")
		faults.Clear()
		round(true, "use sand")
	}
}

// A link that knows not since when it remembers messages, as one of an older store or one
// that lost them, writes none again before the application has told all.
func TestWhatIsNotRememberedWaitsForTheTelling(t *testing.T) {
	t.Parallel()
	c := toldChat(t)
	rounds := c.tellingRounds()
	c.comment(t, "<p>use water</p>")
	c.desk.PauseHooks()
	if _, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket)); err != nil || len(c.records("use water")) != 1 {
		t.Fatalf("%d records, %v", len(c.records("use water")), err)
	}
	c.desk.DropHooks()
	c.desk.ResumeHooks(false)
	if err := c.store.Client().Del(t.Context(), c.store.Key(lease.Tag(link.TicketKey(name, c.ticket)), "mirrors")).Err(); err != nil {
		t.Fatal(err)
	}
	h := hints(c.ticket)
	h.Force = true
	if _, err := c.engine.Handle(t.Context(), c.connector, h); !fault.Is(err, fault.Busy) || len(c.records("use water")) != 1 {
		t.Fatalf("%d records, %v", len(c.records("use water")), err)
	}
	c.pass(10 * time.Minute)
	rounds.run(t)
	if _, err := c.engine.Handle(t.Context(), c.connector, h); err != nil || len(c.records("use water")) != 1 {
		t.Errorf("%d records, %v", len(c.records("use water")), err)
	}
}
