package azuredevops

import (
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// WorkItem is a work item as it is now, for looking at. It is a copy.
type WorkItem struct {
	ID, Rev int
	// Project, Type, Title and State are plain names.
	Project, Type, Title, State, Reason string
	// URL is the API's, HTMLURL a person's.
	URL, HTMLURL string
	// Tags are single tags, sorted.
	Tags []string
	// Fields are all stored values by reference name: string, int, float64, bool, time.Time or [User].
	Fields map[string]any
	// Formats are the formats of long texts that are not HTML.
	Formats map[string]string
	// Relations are all relations in the order the API returns them.
	Relations []Relation
	// Comments is how many comments there are that are not deleted.
	Comments int
	// CreatedBy and ChangedBy are unique names, or the text of an unknown person.
	CreatedBy, ChangedBy     string
	CreatedDate, ChangedDate time.Time
	// Deleted is true while the item is in the recycle bin.
	Deleted bool
}

// Relation is one relation of a work item.
type Relation struct {
	// Rel is its kind, for example "Hyperlink", "AttachedFile" or "System.LinkTypes.Related".
	Rel string
	// URL is the hyperlink, or the API's URL of what is linked.
	URL string
	// Target is the linked work item, 0 for other kinds.
	Target int
	// Comment is the relation's comment.
	Comment string
	// Attachment is set for attached files.
	Attachment *Attachment
}

// Attachment is a file attached to a work item.
type Attachment struct {
	// ID is the GUID, Name the file name in this relation.
	ID, Name string
	// Size is in bytes, SHA256 in hexadecimal.
	Size   int64
	SHA256 string
	// Added is when it was attached.
	Added time.Time
}

// Comment is a comment as it is now.
type Comment struct {
	ID, Item, Version int
	// Text is in Format, which is "html" or "markdown".
	Text, Format string
	// CreatedBy and ChangedBy are unique names.
	CreatedBy, ChangedBy     string
	CreatedDate, ChangedDate time.Time
	Deleted                  bool
}

// nameOf is the unique name of a person value.
func nameOf(v any) string {
	if u, isUser := v.(*User); isUser {
		return u.UniqueName
	}
	return str(v)
}

// look copies an item. Call it with mu held.
func (s *Server) look(it *item) WorkItem {
	at := s.here().at(it.project)
	text := func(name string) string { return it.text(s.fields.must(name)) }
	w := WorkItem{
		ID: it.id, Rev: it.rev, Project: it.project.name, Type: it.kind.Name, Title: text(fieldTitle), State: text(fieldState), Reason: text(fieldReason),
		URL: at.itemURL(it.id), HTMLURL: at.htmlURL(it.id), Tags: splitTags(text(fieldTags)), Fields: map[string]any{}, Formats: maps.Clone(it.formats),
		Comments: it.commentCount(), CreatedBy: nameOf(it.values.get(s.fields.must(fieldCreatedBy))), ChangedBy: nameOf(it.values.get(s.fields.must(fieldChangedBy))),
		Deleted: it.removed != nil,
	}
	w.CreatedDate, _ = it.values.get(s.fields.must(fieldCreatedDate)).(time.Time)
	w.ChangedDate, _ = it.values.get(s.fields.must(fieldChangedDate)).(time.Time)
	for _, v := range it.values {
		if u, isUser := v.value.(*User); isUser {
			w.Fields[v.def.ReferenceName] = *u
		} else {
			w.Fields[v.def.ReferenceName] = v.value
		}
	}
	for _, r := range it.relations {
		w.Relations = append(w.Relations, s.lookRelation(at, r))
	}
	return w
}

func (s *Server) lookRelation(at place, r relation) Relation {
	out := Relation{Rel: r.kind.ref, URL: at.relationJSON(r).URL, Target: r.target, Comment: r.comment}
	if r.blob != nil {
		out.Attachment = &Attachment{ID: r.blob.id, Name: r.name, Size: r.blob.size, SHA256: s.blobs.sha256(r.blob), Added: r.at}
	}
	return out
}

// WorkItem returns a work item, deleted ones included. It tells whether there is one.
func (s *Server) WorkItem(id int) (WorkItem, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, found := s.items[id]
	if !found {
		return WorkItem{}, false
	}
	return s.look(it), true
}

// WorkItems returns the work items of a project, or of all if the name is empty, by id; deleted ones included.
func (s *Server) WorkItems(project string) []WorkItem {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := []WorkItem{}
	for _, it := range s.order {
		if project == "" || strings.EqualFold(project, it.project.name) {
			out = append(out, s.look(it))
		}
	}
	return out
}

// Tagged returns the work items that bear a tag and are not deleted, by the time they got it.
func (s *Server) Tagged(tag string) []WorkItem {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := []WorkItem{}
	for _, it := range s.tags[strings.ToLower(tag)] {
		out = append(out, s.look(it))
	}
	return out
}

// Count is how many work items there are, without the deleted ones.
func (s *Server) Count() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	n := 0
	for _, it := range s.order {
		if it.removed == nil {
			n++
		}
	}
	return n
}

// Comments returns the comments of a work item, oldest first; deleted ones included.
func (s *Server) Comments(id int) []Comment {
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, found := s.items[id]
	if !found {
		return nil
	}
	out := make([]Comment, len(it.comments))
	for i, cm := range it.comments {
		out[i] = lookComment(it, cm)
	}
	return out
}

func lookComment(it *item, cm *comment) Comment {
	first, now := cm.first(), cm.now()
	return Comment{
		ID: cm.id, Item: it.id, Version: now.number, Text: now.text, Format: now.format, Deleted: now.deleted,
		CreatedBy: nameOf(first.by), CreatedDate: first.at, ChangedBy: nameOf(now.by), ChangedDate: now.at,
	}
}

// OpenAttachment reads an uploaded file by its GUID. Errors are *[Error] with status 404.
func (s *Server) OpenAttachment(id string) (io.ReadCloser, error) {
	b, complete, _ := s.blobs.get(id)
	if !complete {
		return nil, errNoAttachment(id)
	}
	return s.blobs.open(b)
}

// States returns the states of a work item type in their order, and for each the states it may go to. It returns nothing
// for an unknown project or type.
func (s *Server) States(project, kind string) ([]State, map[string][]string) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.findProject(project)
	if p == nil || p.kind(kind) == nil {
		return nil, nil
	}
	t := p.kind(kind)
	moves := map[string][]string{}
	for from, to := range transitionsJSON(t) {
		for _, m := range to {
			if m.To != from {
				moves[from] = append(moves[from], m.To)
			}
		}
	}
	return slices.Clone(t.States), moves
}

// Subscription is a service hook subscription as it is now, without its password.
type Subscription struct {
	ID, EventType, URL, Status string
	// PublisherInputs are the filters, with what the server added.
	PublisherInputs map[string]string
	// ConsumerInputs say where and how it posts.
	ConsumerInputs map[string]string
	// Creator and Modifier are unique names.
	Creator, Modifier string
	Created, Modified time.Time
	// Sent counts its notifications.
	Sent int
}

// Subscriptions returns the service hook subscriptions, oldest first.
func (s *Server) Subscriptions() []Subscription {
	s.hooks.mu.Lock()
	defer s.hooks.mu.Unlock()
	out := []Subscription{}
	for _, sub := range s.hooks.subs {
		shown := maps.Clone(sub.ConsumerInputs)
		delete(shown, "basicAuthPassword")
		out = append(out, Subscription{
			ID: sub.ID, EventType: sub.EventType, URL: sub.ConsumerInputs["url"], Status: sub.Status,
			PublisherInputs: maps.Clone(sub.PublisherInputs), ConsumerInputs: shown, Creator: sub.creator, Modifier: sub.modifier,
			Created: sub.created, Modified: sub.modified, Sent: sub.lastNumber,
		})
	}
	return out
}
