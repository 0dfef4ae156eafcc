package page

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/tandem-sync/tandem/services/sandbox/azuredevops"
)

// maxFile bounds an attachment that is shown, in bytes.
const maxFile = 64 << 20

// Field names used here.
const (
	fieldDescription = "System.Description"
	fieldAssignedTo  = "System.AssignedTo"
	fieldState       = "System.State"
)

// WorkItemSystem shows a stand-in Azure DevOps as a [System].
type WorkItemSystem struct {
	server  *azuredevops.Server
	project string
	kinds   []string
	// name gives the display name of a unique name.
	name   func(login string) string
	clean  *cleaner
	ticket *regexp.Regexp

	mu     sync.Mutex
	states map[int]string // the state last told, for "from"
}

// NewWorkItemSystem makes the right side of the page: one project, in which items of the given types may be created.
// name gives people's display names; it may return what it was given.
func NewWorkItemSystem(server *azuredevops.Server, project string, kinds []string, name func(login string) string) *WorkItemSystem {
	return &WorkItemSystem{
		server: server, project: project, kinds: kinds, name: name, states: map[int]string{},
		clean:  newCleaner(regexp.MustCompile(`(?i)(?:https?:)?[^"'\s]*/_apis/wit/attachments/([0-9a-f-]{36})[^"'\s]*`), WorkItems),
		ticket: regexp.MustCompile(`(?i)/Alvao/Ticket/(\d+)$`),
	}
}

// Items implements [System]. The ledger tells which items changed last, so that a large project is not copied.
func (s *WorkItemSystem) Items(limit int) []Item {
	last := s.server.LastWrite()
	var ids []int
	for span := 10 * limit; ; span *= 10 {
		writes := s.server.WritesSince(max(last-span, 0))
		ids = ids[:0]
		seen := map[int]bool{}
		for _, w := range slices.Backward(writes) {
			if w.Item != 0 && !seen[w.Item] {
				seen[w.Item] = true
				ids = append(ids, w.Item)
			}
		}
		if len(ids) >= limit || span >= last {
			break
		}
	}
	out := make([]Item, 0, limit)
	for _, id := range ids {
		if it, err := s.Item(id); err == nil && len(out) < limit {
			out = append(out, brief(it))
		}
	}
	return out
}

// Item implements [System].
func (s *WorkItemSystem) Item(id int) (Item, error) {
	w, ok := s.server.WorkItem(id)
	if !ok || !strings.EqualFold(w.Project, s.project) {
		return Item{}, fmt.Errorf("work item %d: %w", id, ErrNotFound)
	}
	out := Item{
		ID: w.ID, Tag: "#" + strconv.Itoa(w.ID), Title: w.Title, Kind: w.Type, State: w.State, Requester: s.name(w.CreatedBy),
		Pair: s.pair(w), Created: w.CreatedDate, Changed: w.ChangedDate, Deleted: w.Deleted, Actions: []string{"delete"},
		Messages: []Note{}, Attachments: []FileRef{},
	}
	if w.Deleted {
		out.Actions = []string{"restore", "destroy"}
	}
	switch who := w.Fields[fieldAssignedTo].(type) {
	case azuredevops.User:
		out.Assignee = who.DisplayName
	case string:
		out.Assignee = who
	}
	if text, ok := w.Fields[fieldDescription].(string); ok {
		out.Description = s.show(text, w.Formats[fieldDescription])
	}
	_, moves := s.server.States(w.Project, w.Type)
	out.States = append([]string{w.State}, moves[w.State]...)
	// The type's own order reads better than "present state first".
	if states, _ := s.server.States(w.Project, w.Type); len(states) > 0 {
		at := func(name string) int {
			return slices.IndexFunc(states, func(st azuredevops.State) bool { return st.Name == name })
		}
		slices.SortFunc(out.States, func(a, b string) int { return at(a) - at(b) })
	}
	for _, c := range s.server.Comments(id) {
		if !c.Deleted {
			out.Messages = append(out.Messages, Note{ID: c.ID, Author: s.name(c.CreatedBy), At: c.CreatedDate, HTML: s.show(c.Text, c.Format)})
		}
	}
	for _, r := range w.Relations {
		if a := r.Attachment; a != nil {
			out.Attachments = append(out.Attachments, FileRef{
				ID: a.ID, Name: a.Name, Size: a.Size, URL: "/sandbox/api/" + WorkItems + "/attachments/" + a.ID,
			})
		}
	}
	return out, nil
}

// show makes a long text safe. Markdown is shown as it was written.
func (s *WorkItemSystem) show(text, format string) string {
	if strings.EqualFold(format, "markdown") {
		return strings.ReplaceAll(html.EscapeString(text), "\n", "<br>")
	}
	return s.clean.html(text)
}

// pair reads the ticket's id from the hyperlink to the ticket, else from the tag.
func (s *WorkItemSystem) pair(w azuredevops.WorkItem) int {
	for _, r := range w.Relations {
		if m := s.ticket.FindStringSubmatch(r.URL); r.Rel == "Hyperlink" && m != nil {
			id, _ := strconv.Atoi(m[1])
			return id
		}
	}
	for _, tag := range w.Tags {
		if text, ok := strings.CutPrefix(tag, "ALVAO-"); ok {
			if id, err := strconv.Atoi(text); err == nil {
				return id
			}
		}
	}
	return 0
}

// refused gives the service's error the page's meaning.
func refused(err error) error {
	if e, ok := errors.AsType[*azuredevops.Error](err); ok && e.Status == http.StatusNotFound {
		return fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	return err
}

// Create implements [System].
//
//nolint:contextcheck // hooks outlive the request
func (s *WorkItemSystem) Create(_ context.Context, in New) (int, error) {
	who, kind := s.server.As(in.By), in.Kind
	if kind == "" {
		kind = s.kinds[0]
	}
	var fields []azuredevops.Set
	if in.Description != "" {
		fields = append(fields, azuredevops.Set{Field: fieldDescription, Value: asHTML(in.Description)})
	}
	w, err := who.Create(s.project, kind, in.Title, fields...)
	if err == nil && in.State != "" && in.State != w.State {
		_, err = who.SetState(w.ID, in.State)
	}
	return w.ID, refused(err)
}

// SetState implements [System].
//
//nolint:contextcheck // hooks outlive the request
func (s *WorkItemSystem) SetState(_ context.Context, by string, id int, state string) error {
	_, err := s.server.As(by).SetState(id, state)
	return refused(err)
}

// AddMessage implements [System].
//
//nolint:contextcheck // hooks outlive the request
func (s *WorkItemSystem) AddMessage(_ context.Context, id int, in Message) error {
	who, text := s.server.As(in.By), in.HTML
	if text == "" {
		text = strings.ReplaceAll(html.EscapeString(in.Text), "\n", "<br>")
	}
	if text != "" {
		if _, err := who.Comment(id, text, "html"); err != nil {
			return refused(err)
		}
	}
	for _, f := range in.Files {
		if _, err := who.Attach(id, f.Name, strings.NewReader(string(f.Content))); err != nil {
			return refused(err)
		}
	}
	return nil
}

// Act implements [System].
//
//nolint:contextcheck // hooks outlive the request
func (s *WorkItemSystem) Act(_ context.Context, by string, id int, action string) error {
	who := s.server.As(by)
	switch action {
	case "delete":
		return refused(who.Delete(id))
	case "restore":
		return refused(who.Restore(id))
	case "destroy":
		return refused(who.Destroy(id))
	}
	return fmt.Errorf("action %q: %w", action, ErrNotFound)
}

// Attachment implements [System]. The service keeps no content type, so it is told from the content.
func (s *WorkItemSystem) Attachment(id string) (File, error) {
	r, err := s.server.OpenAttachment(id)
	if err != nil {
		return File{}, refused(err)
	}
	defer func() { _ = r.Close() }()
	content, err := io.ReadAll(io.LimitReader(r, maxFile))
	if err != nil {
		return File{}, fmt.Errorf("reading attachment: %w", err)
	}
	return File{ContentType: http.DetectContentType(content), Content: content}, nil
}

// People implements [System]; who may act is the service desk's matter.
func (s *WorkItemSystem) People() []Person { return nil }

// Kinds implements [System].
func (s *WorkItemSystem) Kinds() []string { return s.kinds }

// Watch implements [System]. The channel only says that something was written; what, is read from the ledger, so that a
// late reader misses nothing.
func (s *WorkItemSystem) Watch(fn func(Event)) func() {
	last := s.server.LastWrite()
	changes, end := s.server.Watch()
	var wg sync.WaitGroup
	wg.Go(func() {
		for range changes {
			for _, w := range s.server.WritesSince(last) {
				last = w.Seq
				if e, ok := s.event(w); ok {
					fn(e)
				}
			}
		}
	})
	return func() {
		end()
		wg.Wait()
	}
}

// event tells a write as the page does; false if it is not about a work item that people see.
func (s *WorkItemSystem) event(w azuredevops.Write) (Event, bool) {
	if w.Item == 0 {
		return Event{}, false
	}
	fields := slices.DeleteFunc(slices.Clone(w.Fields), computed)
	e := Event{ID: w.Item, At: w.At, By: s.name(w.By), Application: w.REST, Detail: strings.Join(fields, ", ")}
	now, _ := s.server.WorkItem(w.Item)
	s.mu.Lock()
	before := s.states[w.Item]
	s.states[w.Item] = now.State
	s.mu.Unlock()
	switch w.Kind {
	case azuredevops.WriteCreate:
		e.Verb, e.To, e.Detail = "created", now.State, now.Title
	case azuredevops.WriteUpdate:
		e.Verb = "changed"
		switch {
		case slices.Contains(w.Fields, fieldState):
			e.Verb, e.From, e.To, e.Detail = "moved", before, now.State, ""
		case len(fields) == 0 && slices.Contains(w.Relations, "AttachedFile"):
			e.Verb, e.Detail = "attached", "a file"
		case len(fields) == 0:
			e.Detail = "links"
		}
	case azuredevops.WriteComment:
		e.Verb, e.Detail = "wrote", ""
	case azuredevops.WriteCommentEdit:
		e.Verb, e.Detail = "edited", ""
	case azuredevops.WriteCommentDelete:
		e.Verb, e.Detail = "deleted", "a comment"
	case azuredevops.WriteDelete, azuredevops.WriteDestroy:
		e.Verb, e.Detail = "deleted", ""
	case azuredevops.WriteRestore:
		e.Verb, e.Detail = "restored", ""
	case azuredevops.WriteUpload, azuredevops.WriteSubscription:
		return Event{}, false
	}
	return e, true
}

// computed fields change with every revision and are not worth telling.
func computed(field string) bool {
	switch field {
	case "System.ChangedDate", "System.ChangedBy", "System.Rev", "System.Watermark", "System.AuthorizedDate", "System.RevisedDate",
		"System.AuthorizedAs", "System.PersonId", "System.CommentCount":
		return true
	}
	return strings.HasPrefix(field, "Microsoft.VSTS.Common.")
}
