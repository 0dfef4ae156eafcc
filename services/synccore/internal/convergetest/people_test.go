package convergetest_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
)

// wording is what a message says at one time.
type wording struct {
	word  string
	image []byte // shown inside; nil: none
}

// said is a message that somebody wrote.
type said struct {
	ticket, workItem int // workItem is 0 for a record
	id               int
	words            []wording
	at               time.Time
	deleted          bool
	// unmirrored tells that somebody deleted its copy.
	unmirrored bool
}

func (s *said) record() bool { return s.workItem == 0 }

// filed is a file that somebody attached.
type filed struct {
	ticket, workItem int // workItem is 0 for a file of a record
	name             string
	content          []byte
	record           int
	at               time.Time
	// gone tells that it went with its message, so that it may or may not have crossed.
	gone bool
}

// step is one thing that happens, with the seed of its details.
type step struct {
	number int
	what   string
	seed   uint64
	// after is how long it is quiet before it, and blind tells that nobody at Tandem
	// looks until the next one.
	after time.Duration
	blind bool
}

func (s step) String() string {
	text := fmt.Sprintf("%d: %s after %v", s.number, s.what, s.after)
	if s.blind {
		text += ", unseen"
	}
	return text
}

type deed struct {
	name   string
	weight int
	do     func(h *history, r *rand.Rand)
}

// deeds are the things that happen.
func deeds() []deed {
	return []deed{
		{"open a ticket", 3, (*history).openTicket},
		{"set a status", 10, (*history).setStatus},
		{"set a state", 10, (*history).setState},
		{"write a message", 8, (*history).write},
		{"comment", 8, (*history).comment},
		{"edit a message", 8, (*history).edit},
		{"retouch a message", 4, (*history).retouch},
		{"delete a message", 4, (*history).erase},
		{"delete a copy", 1, (*history).eraseCopy},
		{"attach to a message", 3, (*history).attachToMessage},
		{"attach to a work item", 3, (*history).attachToWorkItem},
		{"delete a work item", 3, (*history).deleteWorkItem},
		{"restore a work item", 4, (*history).restoreWorkItem},
		{"destroy a work item", 1, (*history).destroyWorkItem},
		{"move a work item", 3, (*history).moveWorkItem},
		{"change a type", 3, (*history).changeType},
		{"change a title", 3, (*history).changeTitle},
		{"remove a mark", 3, (*history).removeMark},
		{"close a ticket", 2, (*history).closeTicket},
		{"remove a ticket", 3, (*history).removeTicket},
		{"bring a ticket back", 4, (*history).restoreTicket},
		{"destroy a ticket", 1, (*history).destroyTicket},
		{"move a ticket", 2, (*history).moveTicket},
		{"edit an external id", 4, (*history).editExternalID},
		{"mend an external id", 5, (*history).mendExternalID},
		{"adopt a work item", 2, (*history).adopt},
		{"start an approval", 2, (*history).startApproval},
		{"end an approval", 3, (*history).endApproval},
		{"kill the process", 8, (*history).doom},
		{"lose Redis", 2, (*history).wipe},
		{"forget mirrors", 2, (*history).forget},
		{"turn the weather", 6, (*history).turn},
		{"refuse the token", 2, (*history).refuseToken},
	}
}

func (h *history) ticket(r *rand.Rand) int {
	if len(h.tickets) == 0 {
		return 0
	}
	return h.tickets[r.IntN(len(h.tickets))]
}

// pair is a ticket with its work item, 0 if it has none.
func (h *history) pair(r *rand.Rand) (int, int) {
	t := h.ticket(r)
	return t, int(h.linkOf(t).WorkItem)
}

// linkOf is a ticket's link, as it was last where it can't be read.
func (h *history) linkOf(ticket int) item.Link {
	if h.redis.away() {
		return h.known[ticket]
	}
	l, err := h.links.Get(h.ctx, name, int64(ticket))
	if err != nil {
		h.failf("reading the link of ticket %d: %v", ticket, err)
	}
	h.known[ticket] = l
	return l
}

func (h *history) word() string {
	h.count++
	return "word" + strconv.Itoa(h.count) + "x"
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// dress puts a word into a text as people write it.
func dress(r *rand.Rand, word string) string {
	return fmt.Sprintf(pick(r,
		"<p>%s</p>", "<div>%s</div>", "%s", "<p>Zdravím, <b>%s</b> &amp; žluťoučký kůň &lt;3 🐴</p>",
		"<ul><li>first</li><li>%s<ul><li>#123 and @jana</li></ul></li></ul>", "<table><tr><td>%s</td><td>b</td></tr></table>",
		"<blockquote><p>they said</p></blockquote><p>%s</p>", "<p>%s</p><script>alert(1)</script>", "<pre>if a < b { %s }</pre>",
		`<p style="color:red" onclick="x()">%s</p><p><a href="javascript:alert(1)">here</a></p>`, "<p>line<br>%s</p>", "<p><b>unclosed %s",
	), word)
}

// image is a picture nobody else has.
func (h *history) image() []byte {
	h.count++
	return append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), fmt.Sprintf("%d-%d", h.seed, h.count)...)
}

func inlined(image []byte) string {
	return `<p><img src="data:image/png;base64,` + base64.StdEncoding.EncodeToString(image) + `" alt="screen"></p>`
}

func (h *history) openTicket(r *rand.Rand) {
	const most = 6
	if len(h.tickets) >= most {
		return
	}
	word := h.word()
	made, err := h.desk.CreateTicket(h.ctx, standalvao.Requester, standalvao.NewTicket{
		Name: "About " + h.word(), Service: service, Description: dress(r, word), Status: pick(r, "", "Development", "Development", "Development pending", "Testing"),
		Solver: pick(r, "", standalvao.Solver),
	})
	if err != nil {
		h.failf("opening a ticket: %v", err)
		return
	}
	h.tickets = append(h.tickets, made.ID)
	h.said = append(h.said, &said{ticket: made.ID, id: made.InitialRecordID, words: []wording{{word: word}}, at: time.Now()})
}

func (h *history) setStatus(r *rand.Rand) {
	// The process may refuse it.
	_ = h.desk.SetStatus(h.ctx, standalvao.Solver, h.ticket(r), pick(r, "New", "Analysis", "Development", "Development pending", "Testing", "Development", "Testing"))
}

func (h *history) setState(r *rand.Rand) {
	_, w := h.pair(r)
	_, _ = h.boards.As(developer).SetState(w, pick(r, h.shape.states()...))
}

func (h *history) write(r *rand.Rand) {
	t := h.ticket(r)
	said := &said{ticket: t, words: []wording{{word: h.word()}}, at: time.Now()}
	m := standalvao.Message{Subject: pick(r, "", "Re: printer", "Smoke & <fire>"), HTML: dress(r, said.words[0].word), ShowToRequester: r.IntN(2) == 0}
	m.Kind = pick(r, standalvao.KindEmail, standalvao.KindNote)
	switch r.IntN(5) {
	case 0:
		said.words[0].image = h.image()
		m.HTML += inlined(said.words[0].image)
	case 1:
		said.words[0].image = h.image()
		m.HTML += `<p><img src="cid:screen.png@1"></p>`
		m.Attachments = []standalvao.NewAttachment{{Name: "screen.png", ContentType: "image/png", Content: said.words[0].image}}
	case 2:
		m.HTML, m.Plain = "", "Hello <there>,\n\n"+said.words[0].word+" & so on"
	default:
	}
	h.post(said, m)
}

func (h *history) post(s *said, m standalvao.Message) {
	made, err := h.desk.AddMessage(h.ctx, pick2(m.Kind == standalvao.KindNote, standalvao.Solver, standalvao.Requester), s.ticket, m)
	if err != nil {
		return
	}
	s.id = made.ID
	h.said = append(h.said, s)
}

func pick2[T any](is bool, yes, no T) T {
	if is {
		return yes
	}
	return no
}

func (h *history) comment(r *rand.Rand) {
	t, w := h.pair(r)
	said := &said{ticket: t, workItem: w, words: []wording{{word: h.word()}}, at: time.Now()}
	text, format := dress(r, said.words[0].word), "html"
	switch r.IntN(4) {
	case 0:
		said.words[0].image = h.image()
		text += inlined(said.words[0].image)
	case 1:
		format, text = "markdown", "**"+said.words[0].word+"**\n\n- a\n- b <c>\n\n#12 `x`"
	default:
	}
	made, err := h.boards.As(developer).Comment(w, text, format)
	if err != nil {
		return
	}
	said.id = made.ID
	h.said = append(h.said, said)
}

// message finds one that is not deleted; nil if chance finds none.
func (h *history) message(r *rand.Rand) *said {
	if len(h.said) == 0 {
		return nil
	}
	// Late ones are likelier to be under way.
	if s := h.said[max(r.IntN(len(h.said)), r.IntN(len(h.said)))]; !s.deleted {
		return s
	}
	return nil
}

func (h *history) rewrite(s *said, text string) error {
	if s.record() {
		return h.desk.EditMessage(h.ctx, standalvao.Requester, s.ticket, s.id, text)
	}
	_, err := h.boards.As(developer).EditComment(s.workItem, s.id, text)
	return err
}

func (h *history) edit(r *rand.Rand) {
	s := h.message(r)
	if s == nil {
		return
	}
	next := wording{word: h.word()}
	text := dress(r, next.word)
	if r.IntN(4) == 0 && !h.markdown(s) {
		next.image = h.image()
		text += inlined(next.image)
	}
	if h.markdown(s) {
		text = next.word
	}
	if h.rewrite(s, text) == nil {
		s.words = append(s.words, next)
	}
}

// markdown tells whether a message is a comment in Markdown.
func (h *history) markdown(s *said) bool {
	for _, c := range h.boards.Comments(s.workItem) {
		if c.ID == s.id {
			return c.Format == "markdown"
		}
	}
	return false
}

// retouch saves a message anew in other markup: it reads the same.
func (h *history) retouch(r *rand.Rand) {
	s := h.message(r)
	if s == nil || s.words[len(s.words)-1].image != nil || h.markdown(s) {
		return
	}
	now := s.words[len(s.words)-1].word
	if h.rewrite(s, "<p>"+now+"</p>") != nil {
		return
	}
	// What it read before may have been more than the word.
	s.words = append(s.words, wording{word: now})
	if h.meet() {
		return
	}
	_ = h.rewrite(s, pick(r, "<div> "+now+"\n</div>", "<p><span>"+now+"</span></p>\n", "<div><div>"+now+"</div></div>"))
}

func (h *history) erase(r *rand.Rand) {
	s := h.message(r)
	if s == nil {
		return
	}
	var err error
	if s.record() {
		err = h.desk.DeleteMessage(h.ctx, standalvao.Requester, s.ticket, s.id)
	} else {
		_, err = h.boards.As(developer).DeleteComment(s.workItem, s.id)
	}
	if err != nil {
		return
	}
	s.deleted = true
	for _, f := range h.files {
		if s.record() && f.record == s.id {
			f.gone = true
		}
	}
}

// eraseCopy deletes the comment that is the copy of a record.
func (h *history) eraseCopy(r *rand.Rand) {
	s := h.message(r)
	if s == nil || !s.record() {
		return
	}
	w := int(h.linkOf(s.ticket).WorkItem)
	for _, c := range h.boards.Comments(w) {
		if c.CreatedBy == tandem && strings.Contains(c.Text, fmt.Sprintf("-R%d-", s.id)) {
			if _, err := h.boards.As(developer).DeleteComment(w, c.ID); err == nil {
				s.unmirrored = true
			}
		}
	}
}

func (h *history) attachToMessage(r *rand.Rand) {
	t := h.ticket(r)
	f := &filed{ticket: t, name: h.word() + ".log", at: time.Now()}
	f.content = bytes.Repeat([]byte(f.name), 1+r.IntN(400))
	s := &said{ticket: t, words: []wording{{word: h.word()}}, at: time.Now()}
	h.post(s, standalvao.Message{
		Subject: "A file", HTML: dress(r, s.words[0].word), Attachments: []standalvao.NewAttachment{{Name: f.name, Content: f.content}},
	})
	if s.id != 0 {
		f.record = s.id
		h.files = append(h.files, f)
	}
}

func (h *history) attachToWorkItem(r *rand.Rand) {
	t, w := h.pair(r)
	f := &filed{ticket: t, workItem: w, name: h.word() + ".patch", at: time.Now()}
	f.content = bytes.Repeat([]byte(f.name), 1+r.IntN(400))
	if _, err := h.boards.As(developer).Attach(w, f.name, bytes.NewReader(f.content)); err == nil {
		h.files = append(h.files, f)
	}
}

func (h *history) deleteWorkItem(r *rand.Rand) {
	_, w := h.pair(r)
	_ = h.boards.As(developer).Delete(w)
}

func (h *history) restoreWorkItem(*rand.Rand) {
	for _, t := range h.tickets {
		if h.boards.As(developer).Restore(int(h.linkOf(t).WorkItem)) == nil {
			return
		}
	}
}

func (h *history) destroyWorkItem(r *rand.Rand) {
	_, w := h.pair(r)
	_ = h.boards.As(developer).Delete(w)
	_ = h.boards.As(developer).Destroy(w)
}

func (h *history) moveWorkItem(r *rand.Rand) {
	_, w := h.pair(r)
	shown, ok := h.boards.WorkItem(w)
	if ok {
		_, _ = h.boards.As(developer).Move(w, pick2(shown.Project == project, elsewhere, project))
	}
}

func (h *history) changeType(r *rand.Rand) {
	_, w := h.pair(r)
	_, _ = h.boards.As(developer).ChangeType(w, pick(r, h.shape.kinds()...))
}

func setTitle(title string) standazure.Set {
	return standazure.Set{Field: "System.Title", Value: title}
}

func (h *history) changeTitle(r *rand.Rand) {
	t, w := h.pair(r)
	if r.IntN(2) == 0 {
		_ = h.desk.SetField(h.ctx, standalvao.Solver, t, "name", "Now about "+h.word())
		return
	}
	_, _ = h.boards.As(developer).Change(w, setTitle("Now "+h.word()))
}

// removeMark takes the tag or the hyperlink away by which a work item is known.
func (h *history) removeMark(r *rand.Rand) {
	_, w := h.pair(r)
	if r.IntN(2) == 0 {
		_, _ = h.boards.As(developer).Change(w, standazure.Set{Field: "System.Tags", Value: pick(r, "", "urgent")})
		return
	}
	shown, _ := h.boards.WorkItem(w)
	for _, relation := range shown.Relations {
		if relation.Rel == "Hyperlink" {
			_, _ = h.boards.As(developer).Unlink(w, relation.URL)
		}
	}
}

func (h *history) closeTicket(r *rand.Rand) {
	_ = h.desk.SetStatus(h.ctx, standalvao.Solver, h.ticket(r), pick(r, "Resolved", "Closed"))
}

func (h *history) removeTicket(r *rand.Rand) {
	_ = h.desk.DeleteTicket(h.ctx, standalvao.Solver, h.ticket(r))
}

func (h *history) restoreTicket(*rand.Rand) {
	for _, t := range h.tickets {
		if h.desk.RestoreTicket(h.ctx, standalvao.Solver, t) == nil {
			return
		}
	}
}

func (h *history) destroyTicket(r *rand.Rand) {
	_ = h.desk.DestroyTicket(h.ctx, standalvao.Solver, h.ticket(r))
}

func (h *history) moveTicket(r *rand.Rand) {
	t := h.ticket(r)
	if shown, ok := h.desk.Ticket(t); ok {
		_ = h.desk.MoveToService(h.ctx, standalvao.Solver, t, pick2(shown.Service == service, "IT support", service))
	}
}

func (h *history) setExternalID(t int, value string) {
	_ = h.desk.SetField(h.ctx, standalvao.Solver, t, standalvao.ExternalIDColumn, value)
}

func (h *history) editExternalID(r *rand.Rand) {
	t, w := h.pair(r)
	_, other := h.pair(r)
	h.setExternalID(t, pick(r, "", strconv.Itoa(other), strconv.Itoa(w+1000), "INC-7", "-1", " "+strconv.Itoa(w)+" "))
}

func (h *history) mendExternalID(*rand.Rand) {
	for _, t := range h.tickets {
		shown, ok := h.desk.Ticket(t)
		w := strconv.FormatInt(h.linkOf(t).WorkItem, 10)
		if ok && externalID(shown) != w && w != "0" {
			h.setExternalID(t, w)
			return
		}
	}
}

func externalID(t standalvao.Ticket) string {
	text, _ := t.Custom[standalvao.ExternalIDColumn].(string)
	return strings.TrimSpace(text)
}

// adopt writes the number of a work item that somebody made into a ticket without one.
func (h *history) adopt(r *rand.Rand) {
	t, w := h.pair(r)
	if shown, ok := h.desk.Ticket(t); w != 0 || !ok || externalID(shown) != "" {
		return
	}
	made, err := h.boards.As(developer).Create(project, h.shape.kinds()[0], "Made by hand "+h.word())
	if err != nil {
		h.failf("making a work item: %v", err)
		return
	}
	h.setExternalID(t, strconv.Itoa(made.ID))
}

func (h *history) startApproval(r *rand.Rand) {
	_ = h.desk.StartApproval(h.ctx, standalvao.Solver, h.ticket(r))
}

func (h *history) endApproval(r *rand.Rand) {
	for _, t := range h.tickets {
		if h.desk.FinishApproval(h.ctx, standalvao.Solver, t, r.IntN(2) == 0) == nil {
			return
		}
	}
}

// doom lets the process die at one of its next effects.
func (h *history) doom(r *rand.Rand) {
	if p := h.alive(); p != nil {
		p.doom(1+r.IntN(60), r.IntN(2) == 0)
	}
}

// forget loses what is remembered of a ticket's messages.
func (h *history) forget(r *rand.Rand) {
	k := link.TicketKey(name, int64(h.ticket(r)))
	if err := h.observer.Client().Del(h.ctx, h.observer.Key(lease.Tag(k), "mirrors")).Err(); err != nil {
		h.failf("forgetting mirrors: %v", err)
	}
}

// refuseToken lets a system refuse Tandem's token for a while.
func (h *history) refuseToken(r *rand.Rand) {
	which := pick(r, "(?i)/azuredevops/", "(?i)/AlvaoRestApi/")
	h.struckFor(pick(r, http.StatusUnauthorized, http.StatusNonAuthoritativeInfo), time.Duration(10+r.IntN(180))*time.Second, regexp.MustCompile(which))
}

// turn lets the weather become better or worse.
func (h *history) turn(r *rand.Rand) {
	h.calmly(false, pick(r, uint64(0), 20, 60, 150, 400))
}
