package convergetest_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"
	"time"

	standalvao "github.com/tandem-sync/tandem/services/sandbox/alvao"
	standazure "github.com/tandem-sync/tandem/services/sandbox/azuredevops"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
)

// check says what has not converged.
func (h *history) check() {
	h.checkCreated()
	for _, t := range h.tickets {
		if !h.lost[t] {
			h.checkPair(t)
		}
	}
	for _, s := range h.said {
		if !h.lost[s.ticket] {
			h.checkMessage(s)
		}
	}
	for _, f := range h.files {
		if !h.lost[f.ticket] {
			h.checkFile(f)
		}
	}
	if stats, err := h.queue.Stats(h.ctx); err != nil || stats.Dead != 0 {
		records, _, _ := h.queue.List(h.ctx, name, "dead", 10, "")
		h.failf("%d dead letters (%v): %+v", stats.Dead, err, records)
	}
	before := h.writes()
	if h.resync() || h.quiet() {
		return
	}
	if after := h.writes(); len(after) != len(before) {
		h.failf("a further resync wrote: %s", strings.Join(after[len(before):], "; "))
	}
}

// writes lists what Tandem wrote to either system.
func (h *history) writes() []string {
	var list []string
	for _, w := range h.boards.Writes() {
		if w.REST && w.By == tandem {
			list = append(list, fmt.Sprintf("work item %d: %s %v %v comment %d", w.Item, w.Kind, w.Fields, w.Relations, w.Comment))
		}
	}
	for _, w := range h.desk.Writes() {
		if w.ByApplication() {
			list = append(list, fmt.Sprintf("ticket %d: %s %s→%s %v %s", w.TicketID, w.Op, w.From, w.To, w.Fields, w.Detail))
		}
	}
	return list
}

// checkCreated finds tickets for which more than one work item was made, and what
// Tandem must never do.
func (h *history) checkCreated() {
	for ticket, n := range h.created {
		if n > 1 && !h.lost[ticket] {
			h.failf("%d work items were made for ticket %d", n, ticket)
		}
	}
	for _, w := range h.boards.Writes() {
		if w.REST && w.By == tandem && (w.Kind == standazure.WriteDelete || w.Kind == standazure.WriteDestroy || w.Kind == standazure.WriteCommentDelete) {
			h.failf("Tandem itself wrote %+v", w)
		}
	}
	linked := map[int64]int{}
	for _, t := range h.tickets {
		if w := h.linkOf(t).WorkItem; w != 0 {
			if other := linked[w]; other != 0 {
				h.failf("work item %d belongs to the tickets %d and %d", w, other, t)
			}
			linked[w] = t
		}
	}
}

// reachable tells whether a ticket and its work item are there to be kept in step.
func (h *history) reachable(ticket int, workItem int64) (standalvao.Ticket, standazure.WorkItem, string) {
	t, ok := h.desk.Ticket(ticket)
	if !ok {
		return t, standazure.WorkItem{}, "the ticket was destroyed"
	}
	w, there := h.boards.WorkItem(int(workItem))
	switch {
	case !t.DeletedAt.IsZero():
		return t, w, "the ticket was removed"
	case t.Service != service:
		return t, w, "the ticket was moved"
	case workItem == 0:
		return t, w, "the ticket has no work item"
	case !there:
		return t, w, "the work item was destroyed"
	case w.Deleted:
		return t, w, "the work item was deleted"
	case w.Project != project:
		return t, w, "the work item was moved"
	case externalID(t) != strconv.FormatInt(workItem, 10):
		return t, w, "the external id was changed"
	default:
		return t, w, ""
	}
}

var (
	// ownNote is the reference of what Tandem itself says of an item or of a file.
	ownNote = regexp.MustCompile(`TANDEM-[AW][0-9]+-N([0-9]+)-[0-9A-Z]{6}`)
	// ofItem is that of what it says of an item, which has no version.
	ofItem = regexp.MustCompile(`TANDEM-[AW][0-9]+-N[0-9]+-[0-9A-Z]{6}\b`)
)

// checkNotes finds whether the side that is left was told that the other one went, and
// nothing was told twice.
func (h *history) checkNotes(ticket int, l item.Link, untold bool) {
	notes := map[item.System]map[string]int{item.Alvao: {}, item.AzureDevOps: {}}
	for _, r := range h.desk.Records(ticket) {
		for _, m := range ownNote.FindAllStringSubmatch(r.HTML, -1) {
			if r.ByApplication {
				notes[item.Alvao][m[1]]++
			}
		}
	}
	for _, c := range h.boards.Comments(int(l.WorkItem)) {
		for _, m := range ownNote.FindAllStringSubmatch(c.Text, -1) {
			if c.CreatedBy == tandem {
				notes[item.AzureDevOps][m[1]]++
			}
		}
	}
	for side, numbers := range notes {
		for number, n := range numbers {
			if n > 1 {
				h.failf("ticket %d, work item %d: %s is told %d times by note %s", ticket, l.WorkItem, side, n, number)
			}
		}
	}
	t, there := h.desk.Ticket(ticket)
	w, exists := h.boards.WorkItem(int(l.WorkItem))
	exists, there = exists && !w.Deleted, there && t.DeletedAt.IsZero()
	left := item.Alvao
	if l.Away == item.Alvao || l.State == item.LinkParked {
		left = item.AzureDevOps
	}
	listens := left == item.Alvao && there || left == item.AzureDevOps && exists
	if listens && !untold && len(notes[left]) == 0 {
		h.failf("ticket %d, work item %d: the link is %s (%s), and nobody was told on the side of %s", ticket, l.WorkItem, l.State, l.Reason, left)
	}
}

func (h *history) statusMap() mapping.StatusMap { return h.believed }

// checkPair looks at one ticket, its work item and what the link says of them.
func (h *history) checkPair(ticket int) {
	l := h.linkOf(ticket)
	t, w, away := h.reachable(ticket, l.WorkItem)
	if l.Exists() {
		h.checkHistory(ticket, l)
	}
	if l.WorkItem == 0 {
		mapped := len(h.statusMap().States(t.Status)) > 0
		if l.State != item.LinkParked && mapped && away == "the ticket has no work item" && externalID(t) == "" && !h.wasThere(ticket) {
			h.failf("ticket %d in %q has no work item: %+v", ticket, t.Status, l)
		}
		return
	}
	switch away {
	case "":
	case "the external id was changed":
		if l.State != item.LinkParked {
			h.failf("ticket %d: %s to %q, and the link is %s (%s)", ticket, away, externalID(t), l.State, l.Reason)
		}
		return
	default:
		if l.State != item.LinkGone {
			h.failf("ticket %d: %s, and the link is %s (%s)", ticket, away, l.State, l.Reason)
		}
		return
	}
	agree := h.statusMap().Agree(w.State, t.Status)
	_, mappedState := h.statusMap().Status(w.State)
	mappedStatus := len(h.statusMap().States(t.Status)) > 0
	switch l.State {
	case item.LinkActive:
		if !agree && mappedState && mappedStatus && !t.InApproval {
			h.failf("ticket %d in %q and work item %d in %q do not agree: %+v", ticket, t.Status, w.ID, w.State, l)
		}
	case item.LinkParked:
		if agree {
			h.failf("ticket %d in %q and work item %d in %q agree and are parked: %s", ticket, t.Status, w.ID, w.State, l.Reason)
		}
		h.checkParked(t, w, l)
	case item.LinkCreating, item.LinkGone:
		h.failf("ticket %d and work item %d are both there, and the link is %s (%s)", ticket, w.ID, l.State, l.Reason)
	}
}

// wasThere tells whether a ticket counts as one from before the connector.
func (h *history) wasThere(ticket int) bool {
	existing, err := h.origins.IsExisting(h.ctx, name, int64(ticket))
	return err == nil && existing && h.shape.existing == mapping.ExistingIgnore
}

// checkParked finds whether what a link waits for is really in the way: nobody can do
// it by hand either.
func (h *history) checkParked(t standalvao.Ticket, w standazure.WorkItem, l item.Link) {
	if l.Reason == "" {
		h.failf("ticket %d is parked without a reason", t.ID)
	}
	states, moves := h.boards.States(project, w.Type)
	reach := map[string]bool{w.State: true}
	for range states {
		for from := range reach {
			for _, to := range moves[from] {
				reach[to] = true
			}
		}
	}
	way := false
	for _, state := range h.statusMap().States(t.Status) {
		way = way || reach[state]
	}
	status, mapped := h.statusMap().Status(w.State)
	back := mapped && h.desk.SetStatus(h.ctx, standalvao.Solver, t.ID, status) == nil
	if way && (back || !mapped) {
		h.failf("ticket %d in %q and work item %d in %q are parked although nothing is in the way: %s", t.ID, t.Status, w.ID, w.State, l.Reason)
	}
}

// checkHistory finds whether the link's history tells how it came to where it is.
func (h *history) checkHistory(ticket int, l item.Link) {
	changes, err := h.links.History(h.ctx, name, int64(ticket), 0)
	if err != nil {
		h.failf("reading the history of ticket %d: %v", ticket, err)
	}
	told := map[string]bool{}
	for _, c := range changes {
		told[c.Action] = true
		if c.Detail == "" || c.Time.IsZero() {
			h.failf("the history of ticket %d tells %+v", ticket, c)
		}
	}
	want := map[item.LinkState]string{item.LinkParked: "park", item.LinkGone: "gone"}[l.State]
	if want != "" && !told[want] {
		h.failf("ticket %d is %s, and its history does not tell", ticket, l.State)
	}
	if l.WorkItem != 0 && (l.State == item.LinkGone || l.State == item.LinkParked && strings.Contains(l.Reason, "but is linked to")) {
		h.checkNotes(ticket, l, told["untold"])
	}
	if l.WorkItem != 0 && !told["create-work-item"] && !told["adopt"] && len(changes) < 200 {
		h.failf("the history of ticket %d does not tell where work item %d comes from", ticket, l.WorkItem)
	}
}

// copies counts the comments, or records, of Tandem that hold a text.
func (h *history) copies(s *said, workItem int64, holding string) int {
	n := 0
	if s.record() {
		for _, c := range h.boards.Comments(int(workItem)) {
			if c.CreatedBy == tandem && !c.Deleted && strings.Contains(c.Text, holding) {
				n++
			}
		}
		return n
	}
	for _, r := range h.desk.Records(s.ticket) {
		if r.ByApplication && strings.Contains(r.HTML, holding) {
			n++
		}
	}
	return n
}

var (
	ofAlvao  = regexp.MustCompile(`TANDEM-A`)
	ofBoards = regexp.MustCompile(`TANDEM-W`)
	active   = regexp.MustCompile(`(?i)<script|onclick|javascript:`)
)

// checkMessage looks for a message on the other side.
func (h *history) checkMessage(s *said) {
	l := h.linkOf(s.ticket)
	_, _, away := h.reachable(s.ticket, l.WorkItem)
	if l.WorkItem == 0 || !s.record() && s.workItem != int(l.WorkItem) {
		return
	}
	kind, noticeMark := "record", fmt.Sprintf("-R%d-V999999999-", s.id)
	if !s.record() {
		kind, noticeMark = "comment", fmt.Sprintf("-C%d-V999999999-", s.id)
	}
	now := s.words[len(s.words)-1]
	copies, notices := h.copies(s, l.WorkItem, now.word), h.copies(s, l.WorkItem, noticeMark)
	ever, seen := 0, map[string]bool{}
	for _, w := range s.words {
		if seen[w.word] {
			continue
		}
		seen[w.word] = true
		n := h.copies(s, l.WorkItem, w.word)
		ever += n
		if n > 1 && (n != 2 || !h.retouched(s, w.word)) {
			h.failf("%s %d of ticket %d stands %d times as %s", kind, s.id, s.ticket, n, w.word)
		}
		if s.record() && n > 0 && w.word != now.word && away == "" {
			h.failf("record %d of ticket %d still stands as %s", s.id, s.ticket, w.word)
		}
	}
	excused := away != "" || s.unmirrored || h.shape.mute() || h.shape.sinceLinked && s.at.Before(l.Created.Add(time.Second))
	switch {
	case excused:
	case !s.deleted && (copies < 1 || notices != 0):
		h.failf("%s %d of ticket %d (%s) stands %d times and is retracted %d times", kind, s.id, s.ticket, now.word, copies, notices)
	case s.deleted && s.record() && (copies != 0 || notices > 1):
		h.failf("the deleted record %d of ticket %d stands %d times and is retracted %d times", s.id, s.ticket, copies, notices)
	case s.deleted && !s.record() && ((ever > 0) != (notices == 1) || notices > 1):
		h.failf("the deleted comment %d of ticket %d stands %d times and is retracted %d times", s.id, s.ticket, ever, notices)
	}
	if !excused && !s.deleted && now.image != nil {
		h.checkImage(s, l, now)
	}
	h.checkOurs(s, l)
}

// retouched tells whether a wording was written twice, once with more text around it.
func (h *history) retouched(s *said, word string) bool {
	n := 0
	for _, w := range s.words {
		if w.word == word {
			n++
		}
	}
	return n > 1 && !s.record()
}

// checkOurs finds mirrors of mirrors, and what must never cross.
func (h *history) checkOurs(s *said, l item.Link) {
	for _, c := range h.boards.Comments(int(l.WorkItem)) {
		if c.CreatedBy == tandem && !c.Deleted && (ofBoards.MatchString(c.Text) || active.MatchString(c.Text)) {
			h.failf("comment %d of work item %d is a copy of what came from there, or active: %s", c.ID, l.WorkItem, c.Text)
		}
	}
	for _, r := range h.desk.Records(s.ticket) {
		if r.ByApplication && (ofAlvao.MatchString(r.HTML) || active.MatchString(r.HTML)) {
			h.failf("record %d of ticket %d is a copy of what came from there, or active: %s", r.ID, s.ticket, r.HTML)
		}
		// What Tandem itself says of an item is for those who work on it.
		shown := h.shape.reveal && !ofItem.MatchString(r.HTML)
		if r.ByApplication && r.ShowToRequester != shown && r.Kind == standalvao.KindNote {
			h.failf("record %d of ticket %d is shown to the requester: %v", r.ID, s.ticket, r.ShowToRequester)
		}
	}
}

var attachmentURL = regexp.MustCompile(`_apis/wit/attachments/([0-9a-fA-F-]{36})`)

// checkImage looks for a message's image inside its copy.
func (h *history) checkImage(s *said, l item.Link, now wording) {
	if s.record() {
		for _, c := range h.boards.Comments(int(l.WorkItem)) {
			if c.CreatedBy != tandem || c.Deleted || !strings.Contains(c.Text, now.word) {
				continue
			}
			for _, m := range attachmentURL.FindAllStringSubmatch(c.Text, -1) {
				if bytes.Equal(h.blob(m[1]), now.image) {
					return
				}
			}
		}
	} else {
		for _, r := range h.desk.Records(s.ticket) {
			if !r.ByApplication || !strings.Contains(r.HTML, now.word) {
				continue
			}
			for _, a := range r.Attachments {
				if bytes.Equal(a.Content, now.image) {
					return
				}
			}
		}
	}
	h.failf("the image in %s of ticket %d did not cross", now.word, s.ticket)
}

func (h *history) blob(id string) []byte {
	content, err := h.boards.OpenAttachment(id)
	if err != nil {
		return nil
	}
	defer content.Close()
	all, _ := io.ReadAll(content)
	return all
}

// checkFile looks for a file on the other side.
func (h *history) checkFile(f *filed) {
	l := h.linkOf(f.ticket)
	_, w, away := h.reachable(f.ticket, l.WorkItem)
	if l.WorkItem == 0 || f.workItem != 0 && f.workItem != int(l.WorkItem) {
		return
	}
	n, right := 0, true
	if f.workItem == 0 {
		for _, r := range w.Relations {
			if r.Attachment != nil && r.Attachment.Name == f.name {
				n++
				right = right && bytes.Equal(h.blob(r.Attachment.ID), f.content)
			}
		}
	} else {
		for _, r := range h.desk.Records(f.ticket) {
			for _, a := range r.Attachments {
				if r.ByApplication && a.Name == f.name {
					n++
					right = right && bytes.Equal(a.Content, f.content)
				}
			}
		}
	}
	excused := away != "" || f.gone || h.shape.mute() || h.shape.sinceLinked && f.at.Before(l.Created.Add(time.Second))
	if n > 1 || !right || n != 1 && !excused {
		h.failf("file %s of ticket %d stands %d times, as it was: %v", f.name, f.ticket, n, right)
	}
}

// duel lets both sides of a pair that agrees change at once: the rule says who wins.
func (h *history) duel(r *rand.Rand) {
	for _, ticket := range h.tickets {
		l := h.linkOf(ticket)
		t, w, away := h.reachable(ticket, l.WorkItem)
		if away != "" || l.State != item.LinkActive || t.InApproval || !h.statusMap().Agree(w.State, t.Status) {
			continue
		}
		h.fight(r, t, w)
		return
	}
}

func (h *history) fight(r *rand.Rand, t standalvao.Ticket, w standazure.WorkItem) {
	var state, status string
	_, moves := h.boards.States(project, w.Type)
	for _, s := range moves[w.State] {
		if to, ok := h.statusMap().Status(s); ok && to != t.Status && len(moves[s]) > 0 {
			state = s
		}
	}
	for _, s := range []string{"Development", "Development pending", "Testing"} {
		if s != t.Status && !h.statusMap().Agree(state, s) {
			status = s
		}
	}
	if state == "" || status == "" {
		return
	}
	deskFirst := r.IntN(2) == 0
	edit := func(desk bool) bool {
		if desk {
			return h.desk.SetStatus(h.ctx, standalvao.Solver, t.ID, status) == nil
		}
		_, err := h.boards.As(developer).SetState(w.ID, state)
		return err == nil
	}
	// Nobody looks between the two.
	if err := h.bury(); err != nil {
		h.failf("stopping: %v", err)
		return
	}
	first := edit(deskFirst)
	time.Sleep(5 * time.Second) //nolint:forbidigo // virtual time
	if second := edit(!deskFirst); !first || !second || h.meet() {
		return
	}
	deskWins := map[mapping.Conflict]bool{
		mapping.ConflictAlvao: true, mapping.ConflictAzureDevOps: false, mapping.ConflictNewest: !deskFirst,
	}[h.shape.conflict]
	l := h.linkOf(t.ID)
	nowT, nowW, _ := h.reachable(t.ID, l.WorkItem)
	if l.State == item.LinkParked {
		return
	}
	if deskWins && nowT.Status != status || !deskWins && nowW.State != state {
		h.failf("ticket %d went to %q and work item %d to %q (ticket first: %v): by the rule %s they ended in %q and %q",
			t.ID, status, w.ID, state, deskFirst, h.shape.conflict, nowT.Status, nowW.State)
	}
	changes, _ := h.links.History(h.ctx, name, int64(t.ID), 10)
	lost := pick2(deskWins, state, h.local(status))
	for _, c := range changes {
		if c.Action == "conflict" && strings.Contains(c.Detail, lost) {
			return
		}
	}
	h.failf("the history of ticket %d does not tell that %q lost", t.ID, lost)
}
