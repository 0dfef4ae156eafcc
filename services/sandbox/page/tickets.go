package page

import (
	"context"
	"errors"
	"fmt"
	"html"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/microcosm-cc/bluemonday"

	"github.com/tandem-sync/tandem/services/sandbox/alvao"
)

// TicketSystem shows a stand-in Alvao as a [System].
type TicketSystem struct {
	desk *alvao.Server
	// column holds the id of the work item.
	column string
	clean  *cleaner
}

// NewTicketSystem makes the left side of the page. externalID is the custom column with the work item's id.
func NewTicketSystem(desk *alvao.Server, externalID string) *TicketSystem {
	return &TicketSystem{
		desk: desk, column: externalID,
		clean: newCleaner(regexp.MustCompile(`(?i)(?:https?://[^"'\s/]+)?/AlvaoRestApi/v1/attachments/(\d+)`), Tickets),
	}
}

// cleaner makes HTML safe to show on this origin, and lets pictures come from here.
type cleaner struct {
	policy *bluemonday.Policy
	files  *regexp.Regexp
	into   string
}

func newCleaner(files *regexp.Regexp, side string) *cleaner {
	policy := bluemonday.UGCPolicy()
	policy.AllowRelativeURLs(true)
	policy.RequireNoFollowOnLinks(true)
	policy.AddTargetBlankToFullyQualifiedLinks(true)
	return &cleaner{policy: policy, files: files, into: "/sandbox/api/" + side + "/attachments/$1"}
}

func (c *cleaner) html(s string) string {
	return c.policy.Sanitize(c.files.ReplaceAllString(s, c.into))
}

// Items implements [System].
func (s *TicketSystem) Items(limit int) []Item {
	tickets := s.desk.RecentTickets(limit)
	out := make([]Item, 0, len(tickets))
	for _, t := range tickets {
		out = append(out, brief(s.item(t)))
	}
	return out
}

// Item implements [System].
func (s *TicketSystem) Item(id int) (Item, error) {
	t, ok := s.desk.Ticket(id)
	if !ok {
		return Item{}, fmt.Errorf("ticket %d: %w", id, ErrNotFound)
	}
	return s.item(t), nil
}

func (s *TicketSystem) item(t alvao.Ticket) Item {
	out := Item{
		ID: t.ID, Tag: t.MessageTag, Title: t.Name, Kind: t.Service, State: t.Status, Requester: t.Requester, Assignee: t.Solver,
		Created: t.Created, Changed: t.LastActivity, Deleted: !t.DeletedAt.IsZero(), Messages: []Note{}, Attachments: []FileRef{},
	}
	if id, ok := t.Custom[s.column].(string); ok {
		out.Pair, _ = strconv.Atoi(strings.TrimSpace(id))
	}
	for _, st := range s.desk.Statuses(t.Service) {
		if st.Behavior != alvao.Removed || st.Name == t.Status {
			out.States = append(out.States, st.Name)
		}
	}
	switch {
	case out.Deleted:
		out.Actions = []string{"restore"}
	case t.InApproval:
		out.Notes, out.Actions = []string{"approval running"}, []string{"approve", "reject", "delete"}
	default:
		out.Actions = []string{"start-approval", "delete"}
	}
	for _, r := range s.desk.Records(t.ID) {
		for _, a := range r.Attachments {
			id := strconv.Itoa(a.ID)
			out.Attachments = append(out.Attachments, FileRef{
				ID: id, Name: a.Name, Size: int64(len(a.Content)), URL: "/sandbox/api/" + Tickets + "/attachments/" + id,
			})
		}
		if r.ID == t.InitialRecordID {
			out.Description = s.clean.html(r.HTML)
			continue
		}
		note := Note{
			ID: r.ID, Author: r.From, At: r.Created, Kind: string(r.Kind), HTML: s.clean.html(r.HTML), Internal: !r.ShowToRequester,
			System: r.Kind == alvao.KindProcess || r.Kind == alvao.KindNotification,
		}
		if note.HTML == "" {
			note.HTML = html.EscapeString(r.Subject)
		}
		out.Messages = append(out.Messages, note)
	}
	return out
}

// Create implements [System].
func (s *TicketSystem) Create(ctx context.Context, in New) (int, error) {
	t, err := s.desk.CreateTicket(ctx, in.By, alvao.NewTicket{
		Name: in.Title, Service: in.Kind, Description: asHTML(in.Description), Status: in.State,
	})
	return t.ID, notFound(err)
}

// asHTML takes text that does not begin with a tag as plain.
func asHTML(text string) string {
	if strings.HasPrefix(strings.TrimSpace(text), "<") {
		return text
	}
	return strings.ReplaceAll(html.EscapeString(text), "\n", "<br>")
}

// notFound gives the desk's error the page's meaning.
func notFound(err error) error {
	if errors.Is(err, alvao.ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// SetState implements [System].
func (s *TicketSystem) SetState(ctx context.Context, by string, id int, state string) error {
	return notFound(s.desk.SetStatus(ctx, by, id, state))
}

// AddMessage implements [System].
func (s *TicketSystem) AddMessage(ctx context.Context, id int, in Message) error {
	m := alvao.Message{Kind: alvao.KindNote, HTML: in.HTML, Plain: in.Text, ShowToRequester: in.Visible}
	if in.Visible {
		m.Kind = alvao.KindEmail
	}
	for _, f := range in.Files {
		m.Attachments = append(m.Attachments, alvao.NewAttachment{Name: f.Name, ContentType: f.ContentType, Content: f.Content})
	}
	_, err := s.desk.AddMessage(ctx, in.By, id, m)
	return notFound(err)
}

// Act implements [System].
func (s *TicketSystem) Act(ctx context.Context, by string, id int, action string) error {
	switch action {
	case "start-approval":
		return notFound(s.desk.StartApproval(ctx, by, id))
	case "approve", "reject":
		return notFound(s.desk.FinishApproval(ctx, by, id, action == "approve"))
	case "delete":
		return notFound(s.desk.DeleteTicket(ctx, by, id))
	case "restore":
		return notFound(s.desk.RestoreTicket(ctx, by, id))
	}
	return fmt.Errorf("action %q: %w", action, ErrNotFound)
}

// Attachment implements [System].
func (s *TicketSystem) Attachment(id string) (File, error) {
	n, _ := strconv.Atoi(id)
	a, ok := s.desk.Attachment(n)
	if !ok {
		return File{}, fmt.Errorf("attachment %s: %w", id, ErrNotFound)
	}
	return File{Name: a.Name, ContentType: a.ContentType, Content: a.Content}, nil
}

// People implements [System]: those who could sit at a desk.
func (s *TicketSystem) People() []Person {
	var out []Person
	for _, p := range s.desk.Persons() {
		if p.IsApp || p.IsSystem || p.IsGuest || p.IsDisabled || p.NoRecords || !p.RemovedDate.IsZero() {
			continue
		}
		out = append(out, Person{Login: p.Login, Name: p.Name})
	}
	slices.SortFunc(out, func(a, b Person) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Kinds implements [System].
func (s *TicketSystem) Kinds() []string {
	var out []string
	for _, svc := range s.desk.Services() {
		out = append(out, svc.Name)
	}
	return out
}

// Watch implements [System].
func (s *TicketSystem) Watch(fn func(Event)) func() {
	return s.desk.OnWrite(func(w alvao.Write) {
		e := Event{ID: w.TicketID, At: w.At, By: w.Person, Application: w.ByApplication(), From: w.From, To: w.To, Detail: w.Detail}
		switch w.Op {
		case alvao.OpTicketCreate:
			e.Verb = "created"
		case alvao.OpTicketStatus:
			e.Verb = "moved"
		case alvao.OpRecordCreate:
			if t, ok := s.desk.Ticket(w.TicketID); ok && t.InitialRecordID == w.RecordID {
				return // the founding record is the ticket's description
			}
			e.Verb = "wrote"
		case alvao.OpRecordChange:
			e.Verb = "edited"
		case alvao.OpTicketRemove, alvao.OpTicketDestroy, alvao.OpRecordRemove:
			e.Verb = "deleted"
		case alvao.OpTicketRestore:
			e.Verb = "restored"
		case alvao.OpApproval, alvao.OpTicketSolver, alvao.OpTicketService, alvao.OpTicketUpdate:
			e.Verb, e.Detail = "changed", strings.Join(append(w.Fields, strings.TrimPrefix(string(w.Op), "ticket.")), ", ")
			if w.Op == alvao.OpTicketUpdate {
				e.Detail = strings.Join(w.Fields, ", ")
			}
		case alvao.OpWebhookCreate, alvao.OpWebhookDelete:
			return
		}
		fn(e)
	})
}
