package notice_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	sandboxfault "github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/letter"
	"github.com/tandem-sync/tandem/services/synccore/internal/mail"
	"github.com/tandem-sync/tandem/services/synccore/internal/notice"
)

func TestTells(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.comment(5, "<p>Which <b>printer</b> is it?</p>")
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	mails, cards := w.post.Mails(), w.chat.Cards()
	if len(mails) != 1 || len(cards) != 1 {
		t.Fatalf("%d mails, %d cards", len(mails), len(cards))
	}
	m, c := mails[0], cards[0]
	if m.To != address || !m.TLS || m.User != "tandem" || m.MessageID != "tandem.development.1001.7.5@contoso.com" {
		t.Errorf("mail %+v", m)
	}
	if want := "[T1001SD] Jana Dvořáková commented on Task 7: Printer is on fire"; m.Subject != want || c.Lines[0] != want {
		t.Errorf("subject %q, title %q", m.Subject, c.Lines[0])
	}
	for form, text := range map[string]string{"text": m.Text, "HTML": m.HTML, "card": c.Text()} {
		for _, want := range []string{"Petr Svoboda", "Which printer is it?", "https://desk.example/Ticket/1001", "https://boards.example/_workitems/edit/7"} {
			if !strings.Contains(text, want) {
				t.Errorf("the %s lacks %q:\n%s", form, want, text)
			}
		}
	}
	if diff := cmp.Diff(map[string]string{
		"Open the ticket": "https://desk.example/Ticket/1001", "Open the work item": "https://boards.example/_workitems/edit/7",
	}, c.Links); diff != "" {
		t.Error(diff)
	}
	if !slices.Equal(c.Mentions, []string{address}) {
		t.Errorf("mentions %v", c.Mentions)
	}
	w.settled()
	reads := w.desk.reads
	if err := w.handle(); err != nil || len(w.post.Mails()) != 1 || len(w.chat.Cards()) != 1 || w.desk.reads != reads {
		t.Errorf("served again: %v, %d mails, %d cards, %d reads", err, len(w.post.Mails()), len(w.chat.Cards()), w.desk.reads-reads)
	}
	if w.counted("email", "told") != 1 || w.counted("teams", "told") != 1 || w.counted("email", "failed") != 0 {
		t.Error("the metric is wrong")
	}
	for _, span := range w.spans.GetSpans() {
		if text := fmt.Sprint(span.Attributes, span.Name); strings.Contains(text, "@") || strings.Contains(text, "printer") {
			t.Errorf("a span tells %s", text)
		}
	}
	if n := len(w.spans.GetSpans()); n != 2 {
		t.Errorf("%d spans", n)
	}
}

// Who is mentioned in Markdown is told by name.
func TestMentionsAreNames(t *testing.T) {
	t.Parallel()
	const id = "8c8c7d32-6b1b-47f4-b2e9-30b477b5ab3d"
	w := setup(t)
	w.comment(5, "@<"+strings.ToUpper(id)+"> please look")
	w.desk.change(func(d *desk) {
		d.comments[len(d.comments)-1].Format, d.names = item.Markdown, map[string]string{id: "Eva Malá"}
	})
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	if mails := w.post.Mails(); len(mails) != 1 || !strings.Contains(mails[0].Text, "Eva Malá please look") {
		t.Errorf("mails %+v", mails)
	}
}

// Whatever dies when, in the end each comment has one mail by its Message-ID and one card
// by its id, and more than one only where death came between the send and its memory.
func TestDeathAtEveryEffect(t *testing.T) {
	t.Parallel()
	for _, before := range []bool{true, false} {
		for at := 1; ; at++ {
			w := setup(t)
			w.comment(5, "one")
			w.comment(6, "two")
			w.cuts.arm(at, before)
			_ = w.handle()
			died := w.cuts.hit()
			w.cuts.arm(0, false)
			// The lease of the dead is over.
			if err := w.handle(); err != nil {
				t.Fatalf("effect %d, before %v: %v", at, before, err)
			}
			if err := w.handle(); err != nil {
				t.Fatal(err)
			}
			w.settled()
			want := []string{"tandem.development.1001.7.5@contoso.com", "tandem.development.1001.7.6@contoso.com"}
			if diff := cmp.Diff(want, w.mailIDs()); diff != "" {
				t.Errorf("effect %d, before %v: %s", at, before, diff)
			}
			var ids []string
			again := 0
			for _, c := range w.chat.Cards() {
				if !slices.Contains(ids, c.ID) {
					ids = append(ids, c.ID)
				} else if again++; !strings.Contains(c.Text(), "may have been posted before") {
					t.Errorf("effect %d, before %v: a card came again and does not say so", at, before)
				}
			}
			if len(ids) != 2 {
				t.Errorf("effect %d, before %v: cards %v", at, before, ids)
			}
			// Of each comment the effects are: sending, send, told on both channels, and done.
			const each = 7
			window := 0
			if step := (at - 1) % each; died && (before && (step == 2 || step == 5) || !before && (step == 1 || step == 4)) {
				window = 1
			}
			if extra := len(w.post.Mails()) - 2 + again; extra != window {
				t.Errorf("effect %d, before %v: %d were sent again, want %d", at, before, extra, window)
			}
			if !died {
				if at < 10 {
					t.Errorf("there are only %d effects", at-1)
				}
				break
			}
		}
	}
}

// A mail server that is away costs nothing but time: Teams goes on, nothing is sent
// twice, and what is owed is sent when the server is back.
func TestOutage(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"connect", "auth", "sender", "recipient", "data"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.comment(5, "one")
			w.plant(sandboxfault.Rule{ID: "away", Method: "SMTP", Path: "/mail/" + kind, Kind: sandboxfault.KindUnavailable})
			err := w.handle()
			if !fault.Is(err, fault.Unavailable) {
				t.Fatalf("%v", err)
			}
			if strings.Contains(err.Error(), "petr") {
				t.Errorf("the error tells the address: %v", err)
			}
			w.comment(6, "two")
			if err := w.handle(); !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Busy) {
				t.Errorf("%v", err)
			}
			if n := len(w.chat.Cards()); n != 2 || len(w.post.Mails()) != 0 {
				t.Errorf("%d cards, %d mails", n, len(w.post.Mails()))
			}
			w.faults.Remove("away")
			w.pass(time.Minute)
			if err := w.handle(); err != nil {
				t.Fatal(err)
			}
			w.settled()
			if len(w.post.Mails()) != 2 || len(w.mailIDs()) != 2 || len(w.chat.Cards()) != 2 {
				t.Errorf("%d mails, %d cards", len(w.post.Mails()), len(w.chat.Cards()))
			}
			if len(w.history()) != 0 {
				t.Errorf("history %q", w.history())
			}
		})
	}
}

// A server that can't be reached is left alone for a while, so that its time-outs don't
// keep the workers.
func TestServerThatHangs(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.conn.Channels.Mail = w.mailer(func(o *mail.Options) { o.Timeout = 300 * time.Millisecond })
	w.conn.Channels.Teams = nil
	w.comment(5, "one")
	w.plant(sandboxfault.Rule{ID: "hangs", Method: "SMTP", Path: "/mail/connect", Delay: sandboxfault.Duration(time.Minute)})
	if err := w.handle(); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("%v", err)
	}
	n := w.post.Connections()
	err := w.handle()
	if f, ok := fault.As(err); !ok || f.Kind != fault.Busy || f.RetryAfter <= 0 || w.post.Connections() != n {
		t.Errorf("%v, %d connections more", err, w.post.Connections()-n)
	}
	w.faults.Clear()
	w.pass(time.Minute)
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	if len(w.post.Mails()) != 1 {
		t.Errorf("%d mails", len(w.post.Mails()))
	}
}

// What can't be told is told in the history, once, and not tried for ever.
func TestDropped(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		do    func(w *world)
		says  string
		cards int
	}{
		{"no solver", func(w *world) { w.desk.change(func(d *desk) { d.ticket.SolverID = 0 }) }, "has no solver", 1},
		{"a solver that is not shown", func(w *world) { w.desk.change(func(d *desk) { d.person.ID = 12 }) }, "Contact readers", 1},
		{"no address", func(w *world) { w.desk.change(func(d *desk) { d.person.Email = " " }) }, "no e-mail address", 1},
		{"no address at all", func(w *world) { w.desk.change(func(d *desk) { d.person.Email = "see Outlook" }) }, "is not an address", 1},
		{"several addresses", func(w *world) { w.desk.change(func(d *desk) { d.person.Email = "a@b.cz, c@d.cz" }) }, "is not an address", 1},
		{"an address with a line", func(w *world) { w.desk.change(func(d *desk) { d.person.Email = "a@b.cz\r\nRCPT TO:<eve@evil.cz>" }) }, "is not an address", 1},
		{"unknown recipient", func(w *world) {
			w.plant(sandboxfault.Rule{Method: "SMTP", Path: "/mail/recipient", Kind: sandboxfault.KindStatus, Status: 550})
		}, "refuses the solver's e-mail address (550)", 1},
		{"a mail that is not taken", func(w *world) {
			w.plant(sandboxfault.Rule{Method: "SMTP", Path: "/mail/data", Kind: sandboxfault.KindStatus, Status: 554})
		}, "refuses the mail (554)", 1},
		{"a card that is not taken", func(w *world) {
			w.plant(sandboxfault.Rule{Path: "/teams", Kind: sandboxfault.KindStatus, Status: 400})
		}, "does not take the card (400)", 0},
		{"ticket removed", func(w *world) { w.desk.change(func(d *desk) { d.ticket.Removed = true }) }, "the ticket was removed", 0},
		{"work item deleted", func(w *world) { w.desk.change(func(d *desk) { d.workItem.Deleted = true }) }, "the work item was deleted", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.comment(5, "one")
			tc.do(w)
			for range 3 {
				if err := w.handle(); err != nil {
					t.Fatal(err)
				}
			}
			w.settled()
			if h := w.history(); len(h) != 1 || !strings.Contains(h[0], tc.says) || !strings.Contains(h[0], "comment 5") || strings.Contains(h[0], "@") {
				t.Errorf("history %q", h)
			}
			if len(w.chat.Cards()) != tc.cards {
				t.Errorf("%d cards", len(w.chat.Cards()))
			}
		})
	}
}

// Trouble that an administrator has to mend leaves what is owed as it is.
func TestMisconfigured(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		rule sandboxfault.Rule
		kind fault.Kind
	}{
		{"sender", sandboxfault.Rule{Method: "SMTP", Path: "/mail/sender", Kind: sandboxfault.KindStatus, Status: 553}, fault.Misconfigured},
		{"password", sandboxfault.Rule{Method: "SMTP", Path: "/mail/auth", Kind: sandboxfault.KindStatus, Status: 535}, fault.Busy},
		{"webhook", sandboxfault.Rule{Path: "/teams", Kind: sandboxfault.KindStatus, Status: 404}, fault.Misconfigured},
		{"throttled", sandboxfault.Rule{Path: "/teams", Kind: sandboxfault.KindThrottle}, fault.Busy},
		{"away", sandboxfault.Rule{Path: "/teams", Kind: sandboxfault.KindUnavailable}, fault.Unavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.comment(5, "one")
			w.plant(tc.rule)
			if err := w.handle(); !fault.Is(err, tc.kind) || strings.Contains(err.Error(), "signature") {
				t.Fatalf("%v", err)
			}
			w.faults.Clear()
			w.pass(time.Hour)
			if err := w.handle(); err != nil {
				t.Fatal(err)
			}
			w.settled()
			if len(w.post.Mails()) != 1 || len(w.chat.Cards()) != 1 || len(w.history()) != 0 {
				t.Errorf("%d mails, %d cards, history %q", len(w.post.Mails()), len(w.chat.Cards()), w.history())
			}
			// Only an answer that leaves it open makes the card doubt itself.
			if doubts := strings.Contains(w.chat.Cards()[0].Text(), "may have been posted before"); doubts != (tc.kind == fault.Unavailable) {
				t.Errorf("the card doubts: %v", doubts)
			}
		})
	}
}

// Of two troubles the one that heals by itself counts, so that nothing is given up too
// soon.
func TestTroubleThatHealsCounts(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.comment(5, "one")
	w.plant(sandboxfault.Rule{Method: "SMTP", Path: "/mail/sender", Kind: sandboxfault.KindStatus, Status: 553})
	w.plant(sandboxfault.Rule{Path: "/teams", Kind: sandboxfault.KindUnavailable})
	if err := w.handle(); !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
}

// An answer that is lost is the one case in which something is sent again: the mail as
// the same, the card with a word about it.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.comment(5, "one")
	w.plant(sandboxfault.Rule{Method: "SMTP", Path: "/mail/data", Kind: sandboxfault.KindLostReply, Count: 1})
	w.plant(sandboxfault.Rule{Path: "/teams", Kind: sandboxfault.KindLostReply, Count: 1})
	if err := w.handle(); !fault.Is(err, fault.Unavailable) {
		t.Fatalf("%v", err)
	}
	w.pass(time.Minute)
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	w.settled()
	if len(w.mailIDs()) != 1 || len(w.post.Mails()) != 2 {
		t.Errorf("mails %v of %d", w.mailIDs(), len(w.post.Mails()))
	}
	cards := w.chat.Cards()
	if len(cards) != 2 || strings.Contains(cards[0].Text(), "before") || !strings.Contains(cards[1].Text(), "may have been posted before") {
		t.Errorf("cards %+v", cards)
	}
}

// A comment that is gone before anybody was told is not told of.
func TestCommentDeleted(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.comment(5, "one")
	w.comment(6, "two")
	w.desk.change(func(d *desk) {
		d.comments[0].Deleted = true
		d.comments = d.comments[:1]
	})
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	w.settled()
	if len(w.post.Mails())+len(w.chat.Cards())+len(w.history()) != 0 {
		t.Error("somebody was told")
	}
}

// A channel that is switched on later does not tell of what was settled before, and what
// is owed when all are switched off is forgotten.
func TestChannelsChange(t *testing.T) {
	t.Parallel()
	w := setup(t)
	all := w.conn.Channels
	w.conn.Channels.Teams = nil
	w.comment(5, "one")
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	w.conn.Channels = notice.Channels{}
	w.comment(6, "two")
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	w.conn.Channels = all
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	if len(w.post.Mails()) != 1 || len(w.chat.Cards()) != 0 {
		t.Errorf("%d mails, %d cards", len(w.post.Mails()), len(w.chat.Cards()))
	}
}

// Of many workers one sends, each comment once.
func TestManyWorkers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for id := range int64(5) {
		w.comment(id+1, "one")
	}
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for range 50 {
				err := w.handle()
				if err == nil {
					return
				}
				if !fault.Is(err, fault.Throttled) && !fault.Is(err, fault.Conflict) {
					t.Error(err)
					return
				}
			}
		})
	}
	workers.Wait()
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	w.settled()
	if len(w.post.Mails()) != 5 || len(w.chat.Cards()) != 5 || len(w.mailIDs()) != 5 {
		t.Errorf("%d mails, %d cards", len(w.post.Mails()), len(w.chat.Cards()))
	}
}

// Hostile titles, names and comments stay what they are: text in their place.
func TestHostileText(t *testing.T) {
	t.Parallel()
	w := setup(t)
	evil := "Fire\r\nBcc: eve@evil.example\r\n\r\n<script>alert(1)</script> [click](https://evil.example) <at>everyone</at> **bold**"
	w.desk.change(func(d *desk) {
		d.ticket.Title, d.person.Name, d.workItem.Title, d.workItem.State = evil, evil, evil, evil
	})
	w.comment(5, `<p>{{.Secret}} <img src="https://tracker.example/x.png"> </p><script>alert(2)</script><p>Ticket T1<br>.<br>QUIT</p>`+
		strings.Repeat("<p>long</p>", 50_000))
	w.desk.change(func(d *desk) { d.comments[0].Author = evil })
	template, problems := letter.Parse("{{.Ticket.Title}}", "{{.Ticket.Title}}\n{{.Solver.Name}}\n{{.Comment.Author}}\n{{.Comment.Quoted}}\n")
	if problems != nil {
		t.Fatal(problems)
	}
	w.conn.Channels.Letter = template
	if err := w.handle(); err != nil {
		t.Fatal(err)
	}
	m, c := w.post.Mails()[0], w.chat.Cards()[0]
	if len(m.Header["Bcc"]) != 0 || m.To != address || len(m.Header["Subject"]) != 1 || !strings.HasPrefix(m.Subject, "Fire Bcc: eve@evil.example <script>") {
		t.Errorf("header %q", m.Header)
	}
	for _, bad := range []string{"<script", "<img", "<at>", "tracker.example"} {
		if strings.Contains(strings.ToLower(m.HTML), bad) && bad != "tracker.example" {
			t.Errorf("the HTML holds %s: %s", bad, m.HTML)
		}
	}
	if strings.Contains(m.Text, "alert(2)") || len(m.Text) > 8<<10 || len(c.Raw) > 28<<10 {
		t.Errorf("text of %d bytes, card of %d", len(m.Text), len(c.Raw))
	}
	if !strings.Contains(m.Text, "> .\n") {
		t.Errorf("a line with a dot was lost: %q", m.Text[:500])
	}
	// Only text runs hold what comes from outside; the one Markdown block is the mention.
	if n := strings.Count(string(c.Raw), `"TextBlock"`); n != 1 {
		t.Errorf("%d text blocks", n)
	}
	for _, line := range c.Lines {
		if strings.HasPrefix(line, "<at>") && strings.ContainsAny(strings.TrimSuffix(strings.TrimPrefix(line, "<at>"), "</at>"), "<>[]*()") {
			t.Errorf("the mention holds markup: %s", line)
		}
	}
}

// What can't be read now is read later; nothing is settled meanwhile.
func TestSystemAway(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.comment(5, "one")
	w.desk.change(func(d *desk) { d.err = fault.New(fault.BadToken, "Alvao refuses the password.") })
	if err := w.handle(); !fault.Is(err, fault.BadToken) {
		t.Errorf("%v", err)
	}
	w.desk.change(func(d *desk) { d.err = nil })
	if err := w.handle(); err != nil || len(w.post.Mails()) != 1 {
		t.Errorf("%v, %d mails", err, len(w.post.Mails()))
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, f := range w.conn.Channels.Check(t.Context()) {
		if f.Severity != item.OK {
			t.Errorf("%+v", f)
		}
	}
	w.plant(sandboxfault.Rule{Method: "SMTP", Path: "/mail/auth", Kind: sandboxfault.KindStatus, Status: 535})
	found := w.conn.Channels.Check(t.Context())
	if len(found) != 2 || found[0].Severity != item.Error || !strings.Contains(found[0].Detail, "535") || found[0].Remedy == "" {
		t.Errorf("%+v", found)
	}
	if len(w.post.Mails()) != 0 {
		t.Error("a check sent a mail")
	}
	if found := (notice.Channels{}).Check(t.Context()); len(found) != 0 {
		t.Errorf("%+v", found)
	}
}
