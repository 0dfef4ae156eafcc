package reconcile_test

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

func TestMessagesCrossBothWaysOnce(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	c.write(t, "<p>It is on <b>fire</b> & smoking &lt;here&gt;.</p>")
	c.comment(t, "<div>Have you tried <i>water</i>?</div>")
	c.round(t)
	got := c.comments("<strong>fire</strong> &amp; smoking &lt;here&gt;.")
	if len(got) != 1 {
		t.Fatalf("comments %v", c.comments(""))
	}
	for _, want := range []string{"About the printer", "Jana Dvořáková", "TANDEM-A" + strconv.FormatInt(c.ticket, 10) + "-R"} {
		if !strings.Contains(got[0], want) {
			t.Errorf("comment lacks %q: %s", want, got[0])
		}
	}
	records := c.records("Have you tried <em>water</em>?")
	if len(records) != 1 {
		t.Fatalf("records %+v", c.records(""))
	}
	if r := records[0]; r.ShowToRequester || r.Kind != standalvao.KindNote || r.From != "Jana Dvořáková" ||
		!strings.Contains(r.HTML, "TANDEM-W"+strconv.FormatInt(c.workItem, 10)+"-C") {
		t.Errorf("record %+v", r)
	}
	c.quiet(t)
	// What the ticket was founded with crosses as well; system noise does not.
	if n := len(c.comments("Smoke &amp; flames")); n != 1 {
		t.Errorf("the founding message stands %d times", n)
	}
	if n := len(c.comments("TANDEM-A")); n != 2 {
		t.Errorf("%d comments: %v", n, c.comments(""))
	}
}

func TestMessagesKeepTheirOrder(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	for i := range 12 {
		c.write(t, fmt.Sprintf("<p>message-%02d</p>", i))
		c.comment(t, fmt.Sprintf("<p>answer-%02d</p>", i))
	}
	c.round(t)
	var messages, answers []string
	for i := range 12 {
		messages = append(messages, fmt.Sprintf("message-%02d", i))
		answers = append(answers, fmt.Sprintf("answer-%02d", i))
	}
	var got []string
	for _, text := range c.comments("message-") {
		at := strings.Index(text, "message-")
		got = append(got, text[at:at+len("message-00")])
	}
	if !slices.Equal(got, messages) {
		t.Errorf("comments in the order %v", got)
	}
	got = nil
	for _, r := range c.records("answer-") {
		at := strings.Index(r.HTML, "answer-")
		got = append(got, r.HTML[at:at+len("answer-00")])
	}
	if !slices.Equal(got, answers) {
		t.Errorf("records in the order %v", got)
	}
	c.quiet(t)
}

func TestEditsFollow(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	message := c.write(t, "<p>first wording</p>")
	answer := c.comment(t, "<p>first answer</p>")
	c.round(t)
	if err := c.desk.EditMessage(t.Context(), standalvao.Requester, int(c.ticket), message.ID, "<p>second wording</p>"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.boards.As(developer).EditComment(int(c.workItem), answer.ID, "<p>second answer</p>"); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if len(c.comments("first wording")) != 0 || len(c.comments("second wording")) != 1 {
		t.Errorf("comments %v", c.comments("wording"))
	}
	// A record can't be changed, so another one says that it replaces it.
	if r := c.records("second answer"); len(r) != 1 || !strings.Contains(r[0].HTML, "replaces") || len(c.records("first answer")) != 1 {
		t.Errorf("records %+v", c.records("answer"))
	}
	c.quiet(t)
	// And back: the last record counts.
	if _, err := c.boards.As(developer).EditComment(int(c.workItem), answer.ID, "<p>first answer</p>"); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if n := len(c.records("first answer")); n != 2 {
		t.Errorf("the first wording stands %d times", n)
	}
	c.quiet(t)
}

func TestDeletionsAreToldOnce(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	message := c.write(t, "<p>regretted</p>")
	answer := c.comment(t, "<p>withdrawn</p>")
	c.round(t)
	if err := c.desk.DeleteMessage(t.Context(), standalvao.Requester, int(c.ticket), message.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.boards.As(developer).DeleteComment(int(c.workItem), answer.ID); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if len(c.comments("regretted")) != 0 || len(c.comments("was deleted in Alvao")) != 1 {
		t.Errorf("comments %v", c.comments(""))
	}
	if n := len(c.records("was deleted in Azure DevOps")); n != 1 {
		t.Errorf("the deletion is told %d times", n)
	}
	c.quiet(t)
}

func TestSilentRecordsAndOldOnesStay(t *testing.T) {
	t.Parallel()
	c := chatting(t, func(o *options) { o.messages.SinceLinked = true; o.messages.Rules.Kinds = []string{"Email"} })
	if n := len(c.comments("")); n != 0 {
		t.Errorf("%d comments of what was there before the link", n)
	}
	if _, err := c.desk.AddMessage(t.Context(), standalvao.Solver, int(c.ticket), standalvao.Message{
		Kind: standalvao.KindNote, Subject: "Internal", Plain: "between us",
	}); err != nil {
		t.Fatal(err)
	}
	c.write(t, "<p>hello</p>")
	c.round(t)
	if len(c.comments("between us")) != 0 || len(c.comments("hello")) != 1 {
		t.Errorf("comments %v", c.comments(""))
	}
}

func TestLogThatCantBeReadLeavesTheStateInStep(t *testing.T) {
	t.Parallel()
	c := chatting(t, func(o *options) { o.desk.Tenant.LogUnreadable = true })
	c.comment(t, "<p>anybody there?</p>")
	c.setState(t, c.workItem, "Done")
	r := c.handle(t, c.ticket)
	if c.status(t, c.ticket) != "Testing" || !strings.Contains(r.Reason, "messages stay where they are") {
		t.Errorf("status %q, reason %q", c.status(t, c.ticket), r.Reason)
	}
	if len(c.records("anybody there")) != 0 {
		t.Error("a comment crossed, though nobody could tell that it had")
	}
	c.quiet(t)
	// That is looked into now and then, and at once when either side goes on.
	doubts := func() (plan.Doubt, plan.Doubt) {
		ticket, err := c.connector.Tickets.Ticket(t.Context(), c.ticket)
		if err != nil {
			t.Fatal(err)
		}
		workItem, err := c.connector.WorkItems.WorkItem(t.Context(), c.workItem)
		if err != nil {
			t.Fatal(err)
		}
		l := c.link(t, c.ticket)
		rules := plan.Rules{Map: c.connector.Rules.Statuses, Messages: true}
		return plan.TicketDoubt(l, ticket, plan.Listed{}, rules), plan.WorkItemDoubt(l, &workItem, rules)
	}
	if ticket, workItem := doubts(); ticket != plan.Slight || workItem != plan.Slight {
		t.Errorf("doubts of %d and %d where nothing happened", ticket, workItem)
	}
	if r := c.handle(t, c.ticket); len(r.Steps) > 1 {
		t.Errorf("one more look took %v", r.Steps)
	}
	c.comment(t, "<p>hello?</p>")
	if _, workItem := doubts(); workItem != plan.Strong {
		t.Errorf("doubt of %d after a comment", workItem)
	}
}

func TestMarkdownWhereTheServerTakesIt(t *testing.T) {
	t.Parallel()
	c := chatting(t, func(o *options) { o.messages.Format = item.Markdown })
	client, ok := c.connector.WorkItems.(cutWorkItems)
	if !ok {
		t.Fatal("another client")
	}
	if _, err := client.Identity(t.Context()); err != nil {
		t.Fatal(err)
	}
	message := c.write(t, "<p>it is <b>hot</b>, see #12 and @petr</p>")
	c.round(t)
	all := c.boards.Comments(int(c.workItem))
	last := all[len(all)-1]
	if last.Format != "markdown" || !strings.Contains(last.Text, "it is **hot**") || strings.Contains(last.Text, "#12") || strings.Contains(last.Text, "@petr") {
		t.Errorf("comment %+v", last)
	}
	c.quiet(t)
	if err := c.desk.EditMessage(t.Context(), standalvao.Requester, int(c.ticket), message.ID, "<p>it is cold</p>"); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if len(c.comments("it is cold")) != 1 || len(c.comments("hot")) != 0 {
		t.Errorf("comments %v", c.comments("it is"))
	}
	c.quiet(t)
}

func TestPeopleTalkWhileAnApprovalRuns(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	c.setState(t, c.workItem, "Done")
	c.comment(t, "<p>please approve</p>")
	if err := c.desk.StartApproval(t.Context(), standalvao.Solver, int(c.ticket)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket)); !fault.Is(err, fault.Busy) {
		t.Fatalf("while an approval runs: %v", err)
	}
	if len(c.records("please approve")) != 1 {
		t.Error("the comment waits for the approval")
	}
}

func TestForgottenMirrorsAreRecognised(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	message := c.write(t, "<p>one</p>", standalvao.NewAttachment{Name: "a.txt", Content: []byte("a")})
	answer := c.comment(t, "<p>two</p>")
	c.attach(t, "b.txt", []byte("b"))
	gone := c.comment(t, "<p>three</p>")
	withdrawn := c.write(t, "<p>four</p>", standalvao.NewAttachment{Name: "c.txt", Content: []byte("c")})
	c.round(t)
	if err := c.desk.DeleteMessage(t.Context(), standalvao.Solver, int(c.ticket), withdrawn.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.boards.As(developer).EditComment(int(c.workItem), answer.ID, "<p>two, better</p>"); err != nil {
		t.Fatal(err)
	}
	if _, err := c.boards.As(developer).DeleteComment(int(c.workItem), gone.ID); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	before := c.writes()
	if err := c.store.Client().FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.origins.MarkComplete(t.Context(), c.connector.Name); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if c.link(t, c.ticket).WorkItem != c.workItem || c.writes() != before {
		t.Errorf("%d writes after the memory was lost", c.writes()-before)
	}
	c.quiet(t)
	// What was found again is kept in step.
	if err := c.desk.EditMessage(t.Context(), standalvao.Requester, int(c.ticket), message.ID, "<p>one, better</p>"); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if len(c.comments("one, better")) != 1 || c.writes() != before+1 {
		t.Errorf("comments %v", c.comments("one"))
	}
}

// A round without news reads each side twice.
func TestQuietRoundCostsFourCalls(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	c.write(t, "<p>one</p>")
	c.round(t)
	c.round(t)
	sum := func(calls map[string]int) int {
		n := 0
		for _, k := range calls {
			n += k
		}
		return n
	}
	c.boards.ResetCallCounts()
	desk := sum(c.desk.Calls())
	c.round(t)
	if n := sum(c.boards.CallCounts()); n > 2 {
		t.Errorf("%d calls of Azure DevOps: %v", n, c.boards.CallCounts())
	}
	if n := sum(c.desk.Calls()) - desk; n > 2 {
		t.Errorf("%d calls of Alvao", n)
	}
}

// A hint of a revision is an echo only when the messages up to it have crossed.
func TestRevisionIsSeenWithItsMessages(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	c.round(t)
	c.comment(t, "<p>new</p>")
	shown, _ := c.boards.WorkItem(int(c.workItem))
	// The state of the new revision is seen by a round that dies before the messages.
	c.cuts.arm(1, true)
	c.setStatus(t, c.ticket, "Testing")
	if _, err := c.engine.Handle(t.Context(), c.connector, hints(c.ticket)); err == nil {
		t.Fatal("nothing died")
	}
	c.cuts.arm(0, false)
	h := hints(c.ticket)
	h.Revision = int64(shown.Rev)
	if _, err := c.engine.Handle(t.Context(), c.connector, h); err != nil {
		t.Fatal(err)
	}
	if len(c.records("new")) != 1 {
		t.Error("the comment was taken for an echo")
	}
	c.round(t)
	shown, _ = c.boards.WorkItem(int(c.workItem))
	h.Revision = int64(shown.Rev)
	c.boards.ResetCallCounts()
	if _, err := c.engine.Handle(t.Context(), c.connector, h); err != nil || len(c.boards.CallCounts()) != 0 {
		t.Errorf("an echo was looked into: %v, %v", err, c.boards.CallCounts())
	}
}

// A file of 30 MiB passes through in pieces: what is held of it at any time is a small
// part. The stand-ins hold their files in memory and on disk all the time.
func TestLargeFileIsNotHeldInMemory(t *testing.T) { //nolint:paralleltest // it measures the memory of the process
	if testing.Short() {
		t.Skip("moves 30 MiB")
	}
	const size, most = 30 << 20, 15 << 20
	defer debug.SetGCPercent(debug.SetGCPercent(10)) // what is garbage already does not count
	c := chatting(t)
	c.write(t, "<p>a dump</p>", standalvao.NewAttachment{Name: "dump.bin", Content: make([]byte, size)})
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	done, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var highest uint64
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			runtime.ReadMemStats(&now)
			highest = max(highest, now.HeapAlloc)
			select {
			case <-done:
				peak <- highest
				return
			case <-tick.C:
			}
		}
	}()
	c.round(t)
	close(done)
	if highest := <-peak; highest > before.HeapAlloc+most {
		t.Errorf("%d MiB more were held for a file of %d MiB", (highest-before.HeapAlloc)>>20, size>>20)
	}
	if found := c.attached("dump.bin"); len(found) != 1 || found[0].Attachment.Size != size {
		t.Errorf("attached %+v", found)
	}
}

// A mention in Markdown holds a GUID; what crosses is the name.
func TestMentionsKeepTheirAddressee(t *testing.T) {
	t.Parallel()
	c := chatting(t)
	who, found, err := c.connector.WorkItems.FindIdentity(t.Context(), "petr.svoboda@contoso.com")
	if err != nil || !found {
		t.Fatal(found, err)
	}
	if _, err := c.boards.As(developer).Comment(int(c.workItem), "@<"+strings.ToUpper(who.ID)+"> please look", "markdown"); err != nil {
		t.Fatal(err)
	}
	c.round(t)
	if said := c.records("please look"); len(said) != 1 || !strings.Contains(said[0].HTML, "<p>Petr Svoboda please look</p>") {
		t.Errorf("records %+v", said)
	}
	c.quiet(t)
}
