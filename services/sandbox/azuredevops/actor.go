package azuredevops

import (
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
)

// Actor is a person working with the service by hand: every change is made in their name, under the rules, and raises
// hooks just as by REST. Refusals are *[Error].
type Actor struct {
	s  *Server
	by string
}

// As lets a person act. Somebody unknown becomes a user.
func (s *Server) As(uniqueName string) *Actor {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.user(uniqueName); !known {
		s.users = append(s.users, complete(User{UniqueName: uniqueName}))
	}
	return &Actor{s, uniqueName}
}

// edit begins an edit in the actor's name. Call it with mu held.
func (a *Actor) edit() edit {
	u, _ := a.s.user(a.by)
	return edit{by: u}
}

// Set is a field to change, by reference name. A nil value clears it.
type Set struct {
	Field string
	Value any
}

func (e *edit) set(fields []Set) {
	for _, f := range fields {
		value := f.Value
		if u, isUser := value.(User); isUser {
			value = u.UniqueName
		}
		e.fields = append(e.fields, fieldEdit{name: f.Field, value: value})
	}
}

// change applies an edit to an item that is not deleted.
func (a *Actor) change(id int, fill func(*edit)) (WorkItem, error) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	it, err := a.s.find(id)
	if err != nil {
		return WorkItem{}, err
	}
	e := a.edit()
	fill(&e)
	if it, err = a.s.apply(e, it, it.project, it.kind); err != nil {
		return WorkItem{}, err
	}
	return a.s.look(it), nil
}

// Create makes a work item. Only the initial state of its type is legal.
func (a *Actor) Create(project, kind, title string, fields ...Set) (WorkItem, error) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	p := a.s.findProject(project)
	if p == nil {
		return WorkItem{}, errNoProject(project)
	}
	t := p.kind(kind)
	if t == nil {
		return WorkItem{}, errNoType(kind, project)
	}
	e := a.edit()
	e.set(append([]Set{{fieldTitle, title}}, fields...))
	it, err := a.s.apply(e, nil, p, t)
	if err != nil {
		return WorkItem{}, err
	}
	return a.s.look(it), nil
}

// Change sets fields.
func (a *Actor) Change(id int, fields ...Set) (WorkItem, error) {
	return a.change(id, func(e *edit) { e.set(fields) })
}

// SetState moves a work item to another state.
func (a *Actor) SetState(id int, state string) (WorkItem, error) {
	return a.Change(id, Set{fieldState, state})
}

// Move moves a work item to another project, to the root of its areas and iterations. Its type must exist there.
func (a *Actor) Move(id int, project string) (WorkItem, error) {
	a.s.mu.RLock()
	p := a.s.findProject(project)
	a.s.mu.RUnlock()
	if p == nil {
		return WorkItem{}, errNoProject(project)
	}
	return a.Change(id, Set{fieldProject, p.name}, Set{fieldArea, p.name}, Set{fieldIteration, p.name})
}

// ChangeType makes a work item one of another type. A state the new type lacks becomes its initial state.
func (a *Actor) ChangeType(id int, kind string) (WorkItem, error) {
	return a.Change(id, Set{fieldType, kind})
}

// Comment adds a comment; the format is "html" or "markdown", empty means html.
func (a *Actor) Comment(id int, text, format string) (Comment, error) {
	if err := a.s.checkNote(text); err != nil {
		return Comment{}, err
	}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	it, err := a.s.find(id)
	if err != nil {
		return Comment{}, err
	}
	e := a.edit()
	e.note = &note{text: text, format: orElse(format, "html")}
	if it, err = a.s.apply(e, it, it.project, it.kind); err != nil {
		return Comment{}, err
	}
	return lookComment(it, it.last().comment.of), nil
}

// EditComment gives a comment another text in its format.
func (a *Actor) EditComment(id, comment int, text string) (Comment, error) {
	if err := a.s.checkNote(text); err != nil {
		return Comment{}, err
	}
	return a.revise(id, comment, func(v *commentVersion) note { return note{text: text, format: v.format} })
}

// DeleteComment removes a comment.
func (a *Actor) DeleteComment(id, comment int) (Comment, error) {
	return a.revise(id, comment, func(v *commentVersion) note { return note{text: v.text, format: v.format, deleted: true} })
}

func (a *Actor) revise(id, comment int, next func(*commentVersion) note) (Comment, error) {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	it, err := a.s.find(id)
	if err != nil {
		return Comment{}, err
	}
	for _, cm := range it.comments {
		if cm.id == comment {
			if err := a.s.reviseComment(it, cm, next(cm.now()), a.edit().by, false); err != nil {
				return Comment{}, err
			}
			return lookComment(it, cm), nil
		}
	}
	return Comment{}, errNoComment(id, comment)
}

// Attach uploads a file and attaches it.
func (a *Actor) Attach(id int, name string, content io.Reader) (Attachment, error) {
	b := a.s.blobs.add(uuid.NewString(), name, toMillis(a.s.opts.Now()))
	if err := a.s.blobs.write(b, 0, content); err != nil {
		a.s.blobs.drop(b)
		return Attachment{}, uploadError(err)
	}
	return a.attach(id, b)
}

// attach attaches an uploaded file.
func (a *Actor) attach(id int, b *blob) (Attachment, error) {
	name := b.name
	a.s.mu.RLock()
	by := a.edit().by
	target := a.s.here().root + "/_apis/wit/attachments/" + b.id
	a.s.mu.RUnlock()
	a.s.uploaded(b, by, false)
	item, err := a.change(id, func(e *edit) {
		e.adds = append(e.adds, relationAdd{rel: relAttachment, url: target, name: name})
	})
	if err != nil {
		return Attachment{}, err
	}
	for _, r := range item.Relations {
		if r.Attachment != nil && r.Attachment.ID == b.id {
			return *r.Attachment, nil
		}
	}
	return Attachment{}, fmt.Errorf("attaching %s: it is not there", name)
}

// AttachZeros attaches a file of size zero bytes, which are not held, whatever the limit.
func (a *Actor) AttachZeros(id int, name string, size int64) (Attachment, error) {
	return a.attach(id, a.s.blobs.addZeros(uuid.NewString(), name, toMillis(a.s.opts.Now()), size))
}

// Link adds a relation to a URL: a hyperlink, or a link to the work item whose API URL it is.
func (a *Actor) Link(id int, rel, target, comment string) (WorkItem, error) {
	return a.change(id, func(e *edit) { e.adds = append(e.adds, relationAdd{rel: rel, url: target, comment: comment}) })
}

// Unlink removes the relations to a URL. It changes nothing if there is none.
func (a *Actor) Unlink(id int, target string) (WorkItem, error) {
	return a.change(id, func(e *edit) {
		it := a.s.items[id]
		at := a.s.here().at(it.project)
		for i, r := range it.relations {
			if strings.EqualFold(at.relationJSON(r).URL, target) {
				e.drops = append(e.drops, i)
			}
		}
	})
}

// Delete puts a work item into the recycle bin.
func (a *Actor) Delete(id int) error {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	it, err := a.s.find(id)
	if err != nil {
		return err
	}
	a.s.remove(it, a.edit().by, false)
	return nil
}

// Restore takes a work item out of the recycle bin.
func (a *Actor) Restore(id int) error {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	it, found := a.s.items[id]
	if !found {
		return errNoItem(id)
	}
	if it.removed == nil {
		return errNotDeleted(id)
	}
	a.s.restore(it, a.edit().by, false)
	return nil
}

// Destroy removes a work item from the recycle bin for good. No hook tells of it.
func (a *Actor) Destroy(id int) error {
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	it, found := a.s.items[id]
	if !found || it.removed == nil {
		return errNoItem(id)
	}
	a.s.destroy(it, a.edit().by, false)
	return nil
}

// Subscribe makes a service hook subscription in the actor's name and returns its id. The inputs are those of the
// service: publisher inputs such as projectId and changedFields, consumer inputs such as url and basicAuthPassword.
func (a *Actor) Subscribe(eventType string, publisherInputs, consumerInputs map[string]string) (string, error) {
	b := subscriptionBody{PublisherID: "tfs", EventType: eventType, ConsumerID: "webHooks", ConsumerActionID: "httpRequest", PublisherInputs: publisherInputs, ConsumerInputs: consumerInputs}
	if err := checkSubscription(&b); err != nil {
		return "", err
	}
	now := toMillis(a.s.opts.Now())
	sub := &subscription{ID: uuid.NewString(), Status: statusEnabled, creator: a.by, modifier: a.by, created: now, modified: now}
	a.s.mu.Lock()
	defer a.s.mu.Unlock()
	a.s.hooks.mu.Lock()
	defer a.s.hooks.mu.Unlock()
	a.s.fill(sub, &b)
	a.s.hooks.subs = append(a.s.hooks.subs, sub)
	a.s.note(Write{Kind: WriteSubscription, By: a.by, At: now})
	return sub.ID, nil
}
