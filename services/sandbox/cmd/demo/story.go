package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/sandbox"
	"github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/sandbox/fault"
	"github.com/tandem-sync/tandem/services/sandbox/mail"
	"github.com/tandem-sync/tandem/services/sandbox/stack"
	"github.com/tandem-sync/tandem/services/sandbox/teams"
)

// developer is who works in Azure DevOps.
const developer = alvao.Solver

// solverAddress is the e-mail address of the solver in Alvao.
const solverAddress = "petr.svoboda@contoso.com"

// teller plays the story and prints it.
type teller struct {
	out      io.Writer
	stack    *stack.Stack
	patience time.Duration

	ticket   int
	workItem int
	steps    int
	// faults are planted before the steps that they are listed by.
	faults map[int][]fault.Rule
	// asked is how many lines sync-core had logged when it was asked to look again.
	asked int
}

func (t *teller) say(format string, args ...any) { _, _ = fmt.Fprintf(t.out, format+"\n", args...) }

func round(d time.Duration) time.Duration {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

// expectation is something that must come true, and what to say if it does not.
type expectation struct {
	what string
	// met tells whether it is true, and what is there instead.
	met func() (ok bool, instead string)
}

// step lets a person act, waits for what must follow, and prints how long that took
// from the moment the webhook was sent.
func (t *teller) step(ctx context.Context, act string, do func() error, wants ...expectation) error {
	t.steps++
	for _, rule := range t.faults[t.steps] {
		if _, err := t.stack.Box.Faults.Add(rule); err != nil {
			return fmt.Errorf("planting a fault before step %d: %w", t.steps, err)
		}
	}
	began := time.Now() //nolint:forbidigo // the story tells how long each step takes
	if err := do(); err != nil {
		return fmt.Errorf("step %d, %s: %w", t.steps, act, err)
	}
	t.say("\n%d. %s", t.steps, act)
	for _, want := range wants {
		instead, ok := t.await(ctx, want)
		if !ok {
			t.say("   ✗ %-78s not within %s", want.what, t.patience)
			return fmt.Errorf("step %d, %s: expected that %s, but %s", t.steps, act, want.what, instead)
		}
		t.say("   ✓ %-78s %8s", want.what, round(time.Since(began)))
	}
	return nil
}

func (t *teller) await(ctx context.Context, want expectation) (string, bool) {
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		ok, instead := want.met()
		if ok {
			return "", true
		}
		select {
		case <-ctx.Done():
			return instead, false
		case <-ticker.C:
		}
	}
}

const (
	title   = "Invoices are printed twice"
	message = "<p>Since the update, <b>every invoice</b> comes out of the printer twice & nobody knows why.</p>"
	excerpt = "<strong>every invoice</strong> comes out of the printer twice &amp; nobody knows why."
)

// story is the example process of Alvao's manual, there and back.
func (t *teller) story(ctx context.Context) error {
	desk, boards := t.stack.Box.Alvao, t.stack.Box.AzureDevOps
	setStatus := func(status string) func() error {
		return func() error { return desk.SetStatus(ctx, alvao.Solver, t.ticket, status) }
	}
	setState := func(state string) func() error { //nolint:contextcheck // the stand-in's deliveries have a life of their own
		return func() error {
			_, err := boards.As(developer).SetState(t.workItem, state)
			return err
		}
	}
	open := func() error {
		made, err := desk.CreateTicket(ctx, alvao.Requester, alvao.NewTicket{
			Name: title, Description: message, Service: sandbox.Service, Requester: alvao.Requester, Solver: alvao.Solver,
		})
		if err != nil {
			return err
		}
		t.ticket = made.ID
		// Nothing tells Tandem of a ticket in a status that it has no use for: it is asked.
		t.asked = len(t.stack.Core.Lines())
		_, err = t.call(ctx, http.MethodPost, fmt.Sprintf("/links/%d:sync", t.ticket), strings.NewReader("{}"))
		return err
	}
	for _, s := range []struct {
		act   string
		do    func() error
		wants []expectation
	}{
		{"Jana opens a ticket in Alvao: " + strconv.Quote(title), open, []expectation{t.noWorkItem()}},
		{"The ticket enters Development", setStatus("Development"), t.created()},
		{"The developer moves the work item to Doing", setState("Doing"), []expectation{t.status("Development pending")}},
		{"The developer moves the work item to Done", setState("Done"), []expectation{t.status("Testing")}},
		{"Testing fails: the ticket goes back to Development", setStatus("Development"), []expectation{t.state("To Do")}},
		{"Jana writes a message, with a file", t.write(ctx), t.heard()},
		{"The developer comments, and attaches a file", t.comment(), append(t.answered(), t.told()...)}, //nolint:contextcheck // as above
		{"A person asks Tandem to look at the ticket once more", t.syncLink(ctx), []expectation{t.quiet()}},
	} {
		if err := t.step(ctx, s.act, s.do, s.wants...); err != nil {
			return err
		}
	}
	t.say("\nAll %d steps held: one ticket, one work item, in step in both directions, every message and file once, the solver told once, and no write more than needed.", t.steps)
	return nil
}

func (t *teller) noWorkItem() expectation {
	return expectation{"Tandem looks at it, and makes no work item for a ticket in New", func() (bool, string) {
		n := t.stack.Box.AzureDevOps.Count()
		return t.looked() && n == 0, fmt.Sprintf("it has looked: %v; there are %d work items", t.looked(), n)
	}}
}

// looked holds when the look that a person asked for was taken.
func (t *teller) looked() bool {
	return slices.ContainsFunc(t.stack.Core.Lines()[t.asked:], func(line stack.Line) bool {
		return line.Text("msg") == "sync.handled" && line["forced"] == true && line.Text("outcome") == "done"
	})
}

// created is all that must be true of the work item that a ticket became.
func (t *teller) created() []expectation {
	item := func(check func(azuredevops.WorkItem) (bool, string)) func() (bool, string) {
		return func() (bool, string) {
			made := t.stack.Box.AzureDevOps.Tagged("ALVAO-" + strconv.Itoa(t.ticket))
			if len(made) != 1 {
				return false, fmt.Sprintf("%d work items carry the ticket's tag", len(made))
			}
			t.workItem = made[0].ID
			return check(made[0])
		}
	}
	return []expectation{
		{"one work item of type Task exists, in the type's first state", item(func(w azuredevops.WorkItem) (bool, string) {
			return w.Type == "Task" && w.State == "To Do", fmt.Sprintf("it is a %s in %s", w.Type, w.State)
		})},
		{"its title is the ticket's", item(func(w azuredevops.WorkItem) (bool, string) {
			return w.Title == title, "its title is " + strconv.Quote(w.Title)
		})},
		{"its description is the ticket's message, as rich text", item(func(w azuredevops.WorkItem) (bool, string) {
			text, _ := w.Fields["System.Description"].(string)
			return strings.Contains(text, excerpt), "its description is " + strconv.Quote(text)
		})},
		{"its hyperlink leads back to the ticket", item(func(w azuredevops.WorkItem) (bool, string) {
			target := t.stack.PageURL + "/Alvao/Ticket/" + strconv.Itoa(t.ticket)
			return slices.ContainsFunc(w.Relations, func(r azuredevops.Relation) bool {
				return r.Rel == "Hyperlink" && r.URL == target
			}), fmt.Sprintf("its relations are %v, not %s", w.Relations, target)
		})},
		{"its reporter is the ticket's requester", item(func(w azuredevops.WorkItem) (bool, string) {
			return w.CreatedBy == alvao.Requester, "it is " + w.CreatedBy
		})},
		{"the ticket carries the work item's number", func() (bool, string) {
			ticket, _ := t.stack.Box.Alvao.Ticket(t.ticket)
			got := fmt.Sprint(ticket.Custom[alvao.ExternalIDColumn])
			return t.workItem != 0 && got == strconv.Itoa(t.workItem), "its external id is " + strconv.Quote(got)
		}},
		{"the message that the ticket was opened with stands as its first comment", func() (bool, string) {
			comments := t.stack.Box.AzureDevOps.Comments(t.workItem)
			return len(comments) == 1 && strings.Contains(comments[0].Text, "comes out of the printer twice"), fmt.Sprintf("there are %d comments", len(comments))
		}},
	}
}

func (t *teller) status(want string) expectation {
	return expectation{"the ticket follows to " + want, func() (bool, string) {
		ticket, _ := t.stack.Box.Alvao.Ticket(t.ticket)
		return ticket.Status == want, "it is in " + ticket.Status
	}}
}

func (t *teller) state(want string) expectation {
	return expectation{"the work item follows to " + want, func() (bool, string) {
		item, _ := t.stack.Box.AzureDevOps.WorkItem(t.workItem)
		return item.State == want, "it is in " + item.State
	}}
}

// What people say in the story, and the files they add.
const (
	question     = "It prints <i>three</i> copies by now."
	asked        = "It prints <em>three</em> copies by now."
	answerText   = "Which printer is it?"
	photo, patch = "printer.log", "fix.patch"
	// picture is pasted into a message, as both systems' editors do: a PNG of 4 × 4 points.
	picture = `<img alt="the queue" src="data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAQAAAAECAIAAAAmkwkpAAAAEElEQVR42mMwTpsJRwzEcQDrIxMhKmJgcwAAAABJRU5ErkJggg==">`
)

func (t *teller) write(ctx context.Context) func() error {
	return func() error {
		_, err := t.stack.Box.Alvao.AddMessage(ctx, alvao.Requester, t.ticket, alvao.Message{
			Subject: "Still broken", HTML: "<p>" + question + picture + "</p>",
			Attachments: []alvao.NewAttachment{{Name: photo, ContentType: "text/plain", Content: []byte("PC LOAD LETTER\n")}},
		})
		return err
	}
}

// heard holds when the message and its file stand at the work item, once.
func (t *teller) heard() []expectation {
	return []expectation{
		{"her message stands as one comment, with her name", func() (bool, string) {
			found := 0
			for _, c := range t.stack.Box.AzureDevOps.Comments(t.workItem) {
				if strings.Contains(c.Text, asked) && strings.Contains(c.Text, "Jana Dvořáková") {
					found++
				}
			}
			return found == 1, fmt.Sprintf("%d comments say it", found)
		}},
		{"the picture within it is shown from a file of Azure DevOps", func() (bool, string) {
			for _, c := range t.stack.Box.AzureDevOps.Comments(t.workItem) {
				if strings.Contains(c.Text, asked) {
					return strings.Contains(c.Text, "/_apis/wit/attachments/") && strings.Contains(c.Text, `alt="the queue"`), "it says " + strconv.Quote(c.Text)
				}
			}
			return false, "there is no such comment"
		}},
		{"her file is attached to the work item once", func() (bool, string) {
			item, _ := t.stack.Box.AzureDevOps.WorkItem(t.workItem)
			found := 0
			for _, r := range item.Relations {
				if r.Attachment != nil && r.Attachment.Name == photo {
					found++
				}
			}
			return found == 1, fmt.Sprintf("%d files of that name are attached", found)
		}},
	}
}

func (t *teller) comment() func() error {
	return func() error {
		person := t.stack.Box.AzureDevOps.As(developer)
		if _, err := person.Comment(t.workItem, "<div>"+answerText+picture+"</div>", "html"); err != nil {
			return err
		}
		_, err := person.Attach(t.workItem, patch, strings.NewReader("--- a\n+++ b\n"))
		return err
	}
}

// answered holds when the comment and the file stand in the ticket's log, once.
func (t *teller) answered() []expectation {
	count := func(is func(alvao.Record) bool) func() (bool, string) {
		return func() (bool, string) {
			found := 0
			for _, r := range t.stack.Box.Alvao.Records(t.ticket) {
				if is(r) {
					found++
				}
			}
			return found == 1, fmt.Sprintf("it stands there %d times", found)
		}
	}
	return []expectation{
		{"the comment stands in the ticket's log once, not shown to the requester", count(func(r alvao.Record) bool {
			return strings.Contains(r.HTML, answerText) && !r.ShowToRequester
		})},
		{"the picture within it came along as a file of its own", count(func(r alvao.Record) bool {
			return strings.Contains(r.HTML, answerText) && len(r.Attachments) == 1 && r.Attachments[0].ContentType == "image/png"
		})},
		{"the file stands in the ticket's log once", count(func(r alvao.Record) bool {
			return slices.ContainsFunc(r.Attachments, func(a alvao.Attachment) bool { return a.Name == patch })
		})},
	}
}

// told holds when the ticket's solver was told of the comment, once on each way, with
// links to both items.
func (t *teller) told() []expectation {
	// The numbers are known only when it is asked.
	ticketURL := func() string { return t.stack.PageURL + "/Alvao/Ticket/" + strconv.Itoa(t.ticket) }
	both := func(text string) bool {
		return strings.Contains(text, ticketURL()) && strings.Contains(text, "/_workitems/edit/"+strconv.Itoa(t.workItem)) && strings.Contains(text, answerText)
	}
	return []expectation{
		{"the ticket's solver was told by e-mail, once, with links to both", func() (bool, string) {
			mails := t.stack.Box.Mail.Mails()
			ok := len(mails) == 1 && mails[0].To == solverAddress && mails[0].TLS && both(mails[0].Text) && both(mails[0].HTML)
			return ok, fmt.Sprintf("there are %d mails%s", len(mails), firstOf(mails, func(m mail.Mail) string { return m.To + ": " + m.Text }))
		}},
		{"and in Teams, once", func() (bool, string) {
			cards := t.stack.Box.Teams.Cards()
			ok := len(cards) == 1 && both(cards[0].Text()) && len(cards[0].Links) == 2 && cards[0].Links["Open the ticket"] == ticketURL()
			return ok, fmt.Sprintf("there are %d cards%s", len(cards), firstOf(cards, teams.Card.Text))
		}},
	}
}

// firstOf shows the first of what is there.
func firstOf[T any](all []T, show func(T) string) string {
	if len(all) == 0 {
		return ""
	}
	return ", the first says " + strconv.Quote(show(all[0]))
}

// syncLink asks for a look through the gateway's REST API, which asks sync-core, once
// the echoes of what went before are served: their looks would count as this one.
func (t *teller) syncLink(ctx context.Context) func() error {
	return func() error {
		if err := t.stack.Box.Alvao.Quiet(ctx); err != nil {
			return fmt.Errorf("waiting for Alvao's webhooks: %w", err)
		}
		if instead, ok := t.await(ctx, expectation{met: t.resting(ctx)}); !ok {
			return fmt.Errorf("waiting for Tandem to come to rest: %s", instead)
		}
		t.asked = len(t.stack.Core.Lines())
		_, err := t.call(ctx, http.MethodPost, fmt.Sprintf("/links/%d:sync", t.ticket), strings.NewReader("{}"))
		return err
	}
}

// resting holds when nothing is on its way or in the inbox and sync-core has logged
// nothing for a while: the list alone may miss what moves in the inbox meanwhile.
func (t *teller) resting(ctx context.Context) func() (bool, string) {
	const still = 100 * time.Millisecond
	lines, since := -1, time.Time{}
	return func() (bool, string) {
		now := time.Now() //nolint:forbidigo // waiting for a while to pass
		if n := len(t.handled()); n != lines {
			lines, since = n, now
		}
		if now.Sub(since) < still {
			return false, "it is at work"
		}
		if n := t.stack.Box.AzureDevOps.PendingDeliveries(); n > 0 {
			return false, fmt.Sprintf("%d webhooks are on their way", n)
		}
		answer, err := t.call(ctx, http.MethodGet, "/events", http.NoBody)
		if err != nil {
			return false, err.Error()
		}
		return len(answer.Events) == 0, fmt.Sprintf("%d events are in the inbox", len(answer.Events))
	}
}

// handled are sync-core's log lines of served items.
func (t *teller) handled() []stack.Line {
	return slices.DeleteFunc(t.stack.Core.Lines(), func(l stack.Line) bool { return l.Text("msg") != "sync.handled" })
}

// answer is what the story needs of the API's answers.
type answer struct {
	Events []json.RawMessage `json:"events"`
}

// call calls the REST API below the connector.
func (t *teller) call(ctx context.Context, method, path string, body io.Reader) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, t.stack.GatewayURL+"/v1/connectors/"+stack.Connector+path, body)
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("the API answered %s", resp.Status)
	}
	var decoded answer
	err = json.NewDecoder(resp.Body).Decode(&decoded)
	return decoded, err
}

// needed is how many writes the story takes: the work item and its number in the
// ticket, two statuses, one state; a comment for each of two messages, a picture
// uploaded, a file uploaded and attached; a record for the comment, and one with the
// file.
const needed = 12

// quiet holds when a look was taken after the call and all writes so far are those
// that the story needed.
func (t *teller) quiet() expectation {
	return expectation{"both sides are in step, and Tandem wrote no more than needed", func() (bool, string) {
		_, writes := t.stack.Box.Alvao.WriteCounts()
		for _, write := range t.stack.Box.AzureDevOps.Writes() {
			// The service hooks were made before.
			if write.REST && write.By != developer && write.Kind != azuredevops.WriteSubscription {
				writes++
			}
		}
		return t.looked() && writes == needed, fmt.Sprintf("it has looked: %v; %d writes where %d are needed", t.looked(), writes, needed)
	}}
}
