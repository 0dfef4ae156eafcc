package convergetest_test

import (
	"bytes"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

// act is a short history whose every step a process may die after.
type act struct {
	name string
	// before happens while no process has ever run, and deeds one after the other, each
	// when the one before it has come to rest.
	before func(*history)
	deeds  []func(*history)
	// untold: the tenant's log is what the application tells of it.
	untold bool
}

func (a act) shape() shape {
	s := plain()
	s.tenant.LogUnreadable = a.untold
	return s
}

// plain is the shape of acts: nothing befalls webhooks, and one item is served at a time.
func plain() shape {
	return shape{
		conflict: mapping.ConflictNewest, format: item.HTML, existing: mapping.ExistingIgnore, application: true, workers: 1,
		tenant: standalvao.Tenant{},
	}
}

// acts are the histories. Together they make a process take every step that it can.
func acts() []act {
	return []act{
		{name: "a ticket enters development", deeds: []func(*history){
			func(h *history) { h.enter("New") },
			status("Development"),
		}},
		{name: "a ticket enters late, and both sides move", deeds: []func(*history){
			func(h *history) { h.enter("Testing") },
			state("Doing"), status("Development"), state("Done"),
			both(state("To Do"), status("Development pending")),
		}},
		{name: "people talk", deeds: []func(*history){
			func(h *history) { h.enter("Development") },
			func(h *history) { h.say(false) },
			func(h *history) { h.answer(false) },
			func(h *history) { h.say(true) },
			func(h *history) { h.answer(true) },
			func(h *history) { h.rewriteAll() },
			func(h *history) { h.eraseAll() },
		}},
		{name: "people attach files", deeds: []func(*history){
			func(h *history) { h.enter("Development") },
			func(h *history) { h.hand("from-alvao.log", false) },
			func(h *history) { h.hand("from-boards.patch", true) },
		}},
		{name: "the solver is told", deeds: []func(*history){
			func(h *history) { h.solved = true; h.enter("Development") },
			func(h *history) { h.answer(false) },
		}},
		{name: "a work item goes and comes back", deeds: []func(*history){
			func(h *history) { h.enter("Development") },
			func(h *history) { h.must(h.boards.As(developer).Delete(h.workItem())) },
			func(h *history) { h.must(h.boards.As(developer).Restore(h.workItem())) },
		}},
		{name: "a ticket goes and comes back", deeds: []func(*history){
			func(h *history) { h.enter("Development") },
			func(h *history) { h.must(h.desk.DeleteTicket(h.ctx, standalvao.Solver, h.first())) },
			func(h *history) { h.must(h.desk.RestoreTicket(h.ctx, standalvao.Solver, h.first())) },
		}},
		{name: "a work item made by hand is adopted", deeds: []func(*history){
			func(h *history) { h.enter("New") },
			func(h *history) {
				made, err := h.boards.As(developer).Create(project, "Task", "Made by hand")
				h.must(err)
				h.setExternalID(h.first(), strconv.Itoa(made.ID))
			},
			status("Development pending"),
		}},
		{name: "somebody else changes what belongs to both", deeds: []func(*history){
			func(h *history) { h.enter("Development") },
			func(h *history) { h.setExternalID(h.first(), "4711") },
			func(h *history) { h.setExternalID(h.first(), strconv.Itoa(h.workItem())) },
			func(h *history) {
				_, err := h.boards.As(developer).ChangeType(h.workItem(), "Issue")
				h.must(err)
			},
		}},
		{name: "an old ticket comes back", before: func(h *history) { h.enter("Development") }, deeds: []func(*history){
			status("Analysis"), status("Development"),
		}},
		{name: "the memory of messages is lost", deeds: []func(*history){
			func(h *history) { h.enter("Development") },
			func(h *history) { h.answer(false) },
			func(h *history) {
				h.forgetMirrors(h.first())
				h.say(false)
			},
		}},
		{name: "the memory of messages of an unreadable log is lost", untold: true, deeds: []func(*history){
			func(h *history) { h.enter("Development") },
			func(h *history) { h.answer(false) },
			func(h *history) {
				h.forgetMirrors(h.first())
				h.forgetTold(h.first())
				h.say(false)
			},
			func(h *history) { h.must(h.pass(80*time.Minute, 30*time.Second)) },
		}},
		{name: "a system is away", deeds: []func(*history){
			func(h *history) { h.enter("Development") },
			func(h *history) {
				h.struck(http.StatusServiceUnavailable, 4, regexp.MustCompile("(?i)^PATCH .*/workitems/"))
				status("Testing")(h)
			},
		}},
		{name: "a system asks to wait", deeds: []func(*history){
			func(h *history) { h.enter("Development") },
			func(h *history) {
				h.struck(http.StatusTooManyRequests, 2, regexp.MustCompile("(?i)^PATCH .*/workitems/"))
				status("Testing")(h)
			},
		}},
		{name: "a token is refused for a while", deeds: []func(*history){
			func(h *history) { h.enter("Development") },
			func(h *history) {
				h.struckFor(http.StatusUnauthorized, 40*time.Second, regexp.MustCompile("(?i)/azuredevops/"))
				status("Testing")(h)
			},
		}},
		{name: "a change is refused, and asked for again", deeds: []func(*history){
			func(h *history) { h.enter("Development") },
			func(h *history) {
				h.struckFor(http.StatusForbidden, time.Minute, regexp.MustCompile("(?i)^PATCH .*/workitems/"))
				status("Testing")(h)
			},
			func(h *history) {
				h.must(h.pass(time.Minute, 5*time.Second))
				h.replay()
			},
		}},
		{name: "a file is too large", deeds: []func(*history){
			func(h *history) { h.enter("Development") },
			func(h *history) {
				_, err := h.desk.AddMessage(h.ctx, standalvao.Requester, h.first(), standalvao.Message{
					Kind: standalvao.KindNote, HTML: "<p>It is large.</p>", Attachments: []standalvao.NewAttachment{{Name: "large.log", Content: make([]byte, maxFile+1)}},
				})
				h.must(err)
			},
			func(h *history) {
				_, err := h.boards.As(developer).Attach(h.workItem(), "large.bin", bytes.NewReader(make([]byte, maxFile+1)))
				h.must(err)
			},
		}},
		{name: "what is told of a removed ticket is not answered", deeds: []func(*history){
			func(h *history) { h.enter("Development") },
			func(h *history) {
				h.struck(http.StatusServiceUnavailable, 1, regexp.MustCompile("(?i)^POST .*/comments"))
				h.must(h.desk.DeleteTicket(h.ctx, standalvao.Solver, h.first()))
			},
		}},
		{name: "what is to be told of a removed ticket is not taken", deeds: []func(*history){
			func(h *history) { h.enter("Development") },
			func(h *history) {
				h.struckFor(http.StatusForbidden, time.Minute, regexp.MustCompile("(?i)^POST .*/comments"))
				h.must(h.desk.DeleteTicket(h.ctx, standalvao.Solver, h.first()))
			},
		}},
		{name: "a link is deleted by hand", deeds: []func(*history){
			func(h *history) { h.enter("Development") },
			func(h *history) { h.answer(false) },
			func(h *history) { h.unlink() },
		}},
		{name: "an answer takes long", deeds: []func(*history){
			func(h *history) { h.enter("New") },
			func(h *history) {
				h.slowed(12*time.Second, regexp.MustCompile(`(?i)/workitems/\$Task`))
				status("Development")(h)
			},
		}},
	}
}

func status(to string) func(*history) {
	return func(h *history) { h.must(h.desk.SetStatus(h.ctx, standalvao.Solver, h.first(), to)) }
}

func state(to string) func(*history) {
	return func(h *history) {
		_, err := h.boards.As(developer).SetState(h.workItem(), to)
		h.must(err)
	}
}

func both(deeds ...func(*history)) func(*history) {
	return func(h *history) {
		for _, do := range deeds {
			do(h)
		}
	}
}

func (h *history) must(err error) {
	if err != nil {
		h.failf("the act itself went wrong: %v", err)
	}
}

func (h *history) first() int { return h.tickets[0] }

func (h *history) workItem() int { return int(h.linkOf(h.first()).WorkItem) }

// enter opens a ticket in a status.
func (h *history) enter(in string) {
	word := h.word()
	ticket := standalvao.NewTicket{Name: "About " + h.word(), Service: service, Description: "<p>" + word + "</p>", Status: in}
	if h.solved {
		ticket.Solver = standalvao.Solver
	}
	made, err := h.desk.CreateTicket(h.ctx, standalvao.Requester, ticket)
	if err != nil {
		h.failf("opening a ticket: %v", err)
		return
	}
	h.tickets = append(h.tickets, made.ID)
	h.said = append(h.said, &said{ticket: made.ID, id: made.InitialRecordID, words: []wording{{word: word}}, at: time.Now()})
}

// say writes a message in Alvao, with an image or without.
func (h *history) say(image bool) {
	s := &said{ticket: h.first(), words: []wording{{word: h.word()}}, at: time.Now()}
	m := standalvao.Message{Kind: standalvao.KindNote, Subject: "Re", HTML: "<p>" + s.words[0].word + "</p>"}
	if image {
		s.words[0].image = h.image()
		m.HTML += inlined(s.words[0].image)
	}
	h.post(s, m)
}

// answer comments on the work item, with an image or without.
func (h *history) answer(image bool) {
	s := &said{ticket: h.first(), workItem: h.workItem(), words: []wording{{word: h.word()}}, at: time.Now()}
	text := "<div>" + s.words[0].word + "</div>"
	if image {
		s.words[0].image = h.image()
		text += inlined(s.words[0].image)
	}
	made, err := h.boards.As(developer).Comment(s.workItem, text, "html")
	h.must(err)
	s.id = made.ID
	h.said = append(h.said, s)
}

func (h *history) rewriteAll() {
	for _, s := range h.said {
		s.words = append(s.words, wording{word: h.word()})
		h.must(h.rewrite(s, "<p>"+s.words[len(s.words)-1].word+"</p>"))
	}
}

func (h *history) eraseAll() {
	for _, s := range h.said[1:] {
		if s.record() {
			h.must(h.desk.DeleteMessage(h.ctx, standalvao.Requester, s.ticket, s.id))
		} else {
			_, err := h.boards.As(developer).DeleteComment(s.workItem, s.id)
			h.must(err)
		}
		s.deleted = true
	}
}

// hand attaches a file to the work item or the ticket.
func (h *history) hand(name string, boards bool) {
	f := &filed{ticket: h.first(), name: h.word() + name, at: time.Now()}
	f.content = bytes.Repeat([]byte(f.name), 100)
	if boards {
		f.workItem = h.workItem()
		_, err := h.boards.As(developer).Attach(f.workItem, f.name, bytes.NewReader(f.content))
		h.must(err)
	} else {
		s := &said{ticket: f.ticket, words: []wording{{word: h.word()}}, at: time.Now()}
		h.post(s, standalvao.Message{
			Subject: "A file", HTML: "<p>" + s.words[0].word + "</p>", Attachments: []standalvao.NewAttachment{{Name: f.name, Content: f.content}},
		})
		f.record = s.id
	}
	h.files = append(h.files, f)
}

// replay asks for all dead letters again, and for a look at the ticket, as a person does
// over the API: of a process that died between parking the link and giving the item up,
// the link alone tells.
func (h *history) replay() {
	if p := h.alive(); p != nil {
		_ = p.store(h.ctx, item.Event{Key: link.TicketKey(name, int64(h.first())), Type: "sync", Received: time.Now(), Force: true})
	}
	// Who is not answered asks again.
	for range 3 {
		records, _, err := h.queue.List(h.ctx, name, "dead", 10, "")
		h.must(err)
		if len(records) == 0 {
			return
		}
		h.must(h.revive(h.ctx))
		for _, record := range records {
			_, _ = h.alive().inbox.Replay(h.ctx, name, record.ID)
		}
		h.must(h.pass(5*time.Second, time.Second))
	}
}

// unlink deletes the first ticket's link and has the ticket looked at, as the API does for a
// person. A process that dies meanwhile leaves either of it undone.
func (h *history) unlink() {
	p := h.alive()
	if p == nil {
		return
	}
	k := link.TicketKey(name, int64(h.first()))
	links := link.New(p.redis)
	ctx, held, err := lease.New(p.redis).Hold(h.ctx, k, time.Minute)
	if err != nil {
		return
	}
	if known, err := links.Get(ctx, name, k.ID); err == nil {
		_ = links.Delete(ctx, held.Lease, known, item.LinkChange{Time: time.Now(), Action: "delete", Detail: "by hand"})
	}
	held.Release()
	_ = p.store(h.ctx, item.Event{Key: k, Type: "sync", Received: time.Now(), Force: true})
}

// struck lets so many calls be answered with a status.
func (h *history) struck(status, times int, which *regexp.Regexp) {
	var struck atomic.Int64
	h.strikeWith(func(r *http.Request) *http.Response {
		if !which.MatchString(r.Method+" "+r.URL.Path) || struck.Add(1) > int64(times) {
			return nil
		}
		return refusal(r, status, 3)
	})
}

// struckFor lets calls be answered with a status for a while.
func (h *history) struckFor(status int, long time.Duration, which *regexp.Regexp) {
	until := time.Now().Add(long)
	h.strikeWith(func(r *http.Request) *http.Response {
		if time.Now().After(until) || !which.MatchString(r.Method+" "+r.URL.Path) {
			return nil
		}
		return refusal(r, status, 0)
	})
}

// slowed lets one call take long.
func (h *history) slowed(long time.Duration, which *regexp.Regexp) {
	var done atomic.Bool
	h.strikeWith(func(r *http.Request) *http.Response {
		if which.MatchString(r.Method+" "+r.URL.Path) && done.CompareAndSwap(false, true) {
			_ = h.linger(r.Context(), long)
		}
		return nil
	})
}

// forgetMirrors loses what is remembered of a ticket's messages.
func (h *history) forgetMirrors(ticket int) {
	k := link.TicketKey(name, int64(ticket))
	h.must(h.observer.Client().Del(h.ctx, h.observer.Key(lease.Tag(k), "mirrors")).Err())
}

// forgetTold loses what Alvao's application told of a ticket's log.
func (h *history) forgetTold(ticket int) {
	h.must(h.observer.Client().Del(h.ctx, link.PushedKey(h.observer, name, int64(ticket))).Err())
}

// checkSaidOnce finds whether Tandem said anything twice on either side: what it writes
// carries a reference of what it stands for.
func (h *history) checkSaidOnce() {
	for _, ticket := range h.tickets {
		seen := map[string]int{}
		for _, r := range h.desk.Records(ticket) {
			if ref := reference.FindString(r.HTML); r.ByApplication && ref != "" {
				seen["record "+ref]++
			}
		}
		for _, c := range h.boards.Comments(int(h.linkOf(ticket).WorkItem)) {
			if ref := reference.FindString(c.Text); c.CreatedBy == tandem && !c.Deleted && ref != "" {
				seen["comment "+ref]++
			}
		}
		for what, n := range seen {
			if n > 1 {
				h.failf("ticket %d: %s stands %d times", ticket, what, n)
			}
		}
	}
}

// reference is what Tandem's own texts carry.
var reference = regexp.MustCompile(`TANDEM-[AW][0-9]+-[RCN][0-9]+(-V[0-9]+)?-[0-9A-Z]{6}`)

// checkLetters finds whether the solver was told once of each comment, if he is to be told.
func (h *history) checkLetters() {
	if !h.solved {
		return
	}
	told := map[string]bool{}
	for _, m := range h.mails {
		told[m.ID] = true
	}
	comments := 0
	for _, s := range h.said {
		if !s.record() {
			comments++
		}
	}
	// A process that dies between the send and the memory of it sends the same mail again.
	if len(told) != comments || len(h.mails) > comments+h.deaths {
		ids := make([]string, len(h.mails))
		for i, m := range h.mails {
			ids[i] = m.ID
		}
		h.failf("%d comments, and the mails sent are %s", comments, strings.Join(ids, ", "))
	}
}
