package azuredevops

import (
	"fmt"
	"html"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// The events of work items.
const (
	eventCreated   = "workitem.created"
	eventUpdated   = "workitem.updated"
	eventCommented = "workitem.commented"
	eventDeleted   = "workitem.deleted"
	eventRestored  = "workitem.restored"
)

// event is something that happened to an item and that subscriptions may want to hear of.
type event struct {
	id      string
	kind    string
	it      *item
	project *project
	upd     *update
	number  int // of the update
	snap    snapshot
	at      time.Time
	fields  map[string]bool // lower-case reference names of the fields that changed
	tags    []string
}

// raise hands an event to the subscriptions that match it. Call it with mu held.
func (s *Server) raise(kind string, it *item, u *update) {
	if !s.hooks.wanted(kind) {
		return
	}
	snap := it.now()
	snap.values, snap.relations = slices.Clone(snap.values), slices.Clone(snap.relations)
	e := &event{
		id: uuid.NewString(), kind: kind, it: it, project: it.project, upd: u, snap: snap, at: s.opts.Now().UTC(),
		number: slices.Index(it.updates, u) + 1, fields: map[string]bool{}, tags: splitTags(it.text(s.fields.must(fieldTags))),
	}
	for _, ch := range u.changes {
		e.fields[strings.ToLower(ch.def.ReferenceName)] = true
	}
	if u.comment != nil {
		e.fields[strings.ToLower(fieldHistory)] = true
	}
	s.hooks.publish(e, func(sub *subscription) bool { return s.matches(sub, e) })
}

// matches applies a subscription's filters to an event.
func (s *Server) matches(sub *subscription, e *event) bool {
	input := func(name string) string { return strings.TrimSpace(sub.PublisherInputs[name]) }
	if id := input("projectId"); id != "" && !strings.EqualFold(id, e.project.id) {
		return false
	}
	if area := input("areaPath"); area != "" {
		have := strings.ToLower(str(e.snap.values.get(s.fields.must(fieldArea))))
		if want := strings.ToLower(strings.Trim(area, `\`)); have != want && !strings.HasPrefix(have, want+`\`) {
			return false
		}
	}
	if kind := input("workItemType"); kind != "" && !strings.EqualFold(kind, e.it.kind.Name) {
		return false
	}
	if tag := input("tag"); tag != "" && !slices.ContainsFunc(e.tags, func(t string) bool { return strings.EqualFold(t, tag) }) {
		return false
	}
	switch e.kind {
	case eventUpdated:
		if field := input("changedFields"); field != "" {
			d := s.fields.find(field)
			return d != nil && e.fields[strings.ToLower(d.ReferenceName)]
		}
		if strings.EqualFold(input("linksChanged"), "true") {
			return len(e.upd.added)+len(e.upd.removed) > 0
		}
	case eventCommented:
		if pattern := input("commentPattern"); pattern != "" {
			return e.upd.comment != nil && strings.Contains(strings.ToLower(e.upd.comment.text), strings.ToLower(pattern))
		}
	}
	return true
}

// envelope is the body of a notification, in the recorded order of keys.
type envelope struct {
	SubscriptionID  string               `json:"subscriptionId"`
	NotificationID  int                  `json:"notificationId"`
	ID              string               `json:"id"`
	EventType       string               `json:"eventType"`
	PublisherID     string               `json:"publisherId"`
	Message         *formatted           `json:"message"`
	DetailedMessage *formatted           `json:"detailedMessage"`
	Resource        any                  `json:"resource,omitempty"`
	ResourceVersion string               `json:"resourceVersion"`
	Containers      map[string]container `json:"resourceContainers"`
	CreatedDate     string               `json:"createdDate"`
}

type formatted struct {
	Text     string `json:"text,omitempty"`
	HTML     string `json:"html,omitempty"`
	Markdown string `json:"markdown,omitempty"`
}

type container struct {
	ID      string `json:"id"`
	BaseURL string `json:"baseUrl,omitempty"`
}

// envelopeOf renders a notification as it is sent now.
func (s *Server) envelopeOf(e *event, sub *subscription, notification int) envelope {
	s.mu.RLock()
	defer s.mu.RUnlock()
	here := s.here()
	out := envelope{
		SubscriptionID: sub.ID, NotificationID: notification, ID: e.id, EventType: e.kind, PublisherID: "tfs",
		ResourceVersion: "1.0", CreatedDate: e.at.Format("2006-01-02T15:04:05.0000000Z"), Containers: s.containers(e.project.id),
		Message:         s.message(e, sub.ConsumerInputs["messagesToSend"], false),
		DetailedMessage: s.message(e, sub.ConsumerInputs["detailedMessagesToSend"], true),
	}
	switch strings.ToLower(sub.ConsumerInputs["resourceDetailsToSend"]) {
	case "none":
	case "minimal": // "keys only" (Azure DevOps service hooks: web hooks page); which keys is modelled
		out.Resource = s.minimal(here.at(e.project), e)
	default:
		out.Resource = s.resource(here.at(e.project), e)
	}
	return out
}

func (s *Server) containers(project string) map[string]container {
	base := s.here().root + "/"
	out := map[string]container{
		"collection": {s.collectionID, base},
		"project":    {project, base},
	}
	second := "account"
	if s.opts.Flavor == OnPremises {
		second = "server"
	}
	out[second] = container{derivedID(second, s.opts.Organization), base}
	return out
}

func (s *Server) minimal(at place, e *event) map[string]any {
	switch e.kind {
	case eventUpdated:
		return map[string]any{"id": e.number, "workItemId": e.it.id, "url": fmt.Sprintf("%s/updates/%d", at.itemURL(e.it.id), e.number)}
	case eventDeleted:
		return map[string]any{"id": e.it.id, "url": at.binURL(e.it.id)}
	}
	return map[string]any{"id": e.it.id, "url": at.itemURL(e.it.id)}
}

// resource renders the resource of an event at resourceVersion 1.0, which has identities as strings.
func (s *Server) resource(at place, e *event) any {
	v := view{strings: true, relations: true}
	switch e.kind {
	case eventUpdated:
		out := s.renderUpdate(at, e.it, e.number, true)
		out.RevisedDate = endOfTime
		snap := e.snap
		if s.opts.Quirks.LateRevision {
			snap = e.it.now()
		}
		revision := s.renderRevision(at, snap, v)
		out.Revision = &revision
		return out
	case eventDeleted:
		out := s.render(at, e.snap, view{strings: true})
		bin := at.binURL(e.it.id)
		out.URL, out.CommentRef = bin, nil
		out.Links = &linksJSON{
			Self: &link{bin}, WorkItemType: &link{at.scope + "/_apis/wit/workItemTypes/" + e.it.kind.Name}, Fields: &link{at.scope + "/_apis/wit/fields"},
		}
		return out
	}
	v.links = true
	out := s.render(at, e.snap, v)
	if e.kind != eventCommented {
		out.CommentRef = nil
	}
	return out
}

// message renders the short or the detailed message, or nil for "none".
func (s *Server) message(e *event, which string, detailed bool) *formatted {
	which = strings.ToLower(which)
	if which == "none" {
		return nil
	}
	verb := strings.TrimPrefix(e.kind, "workitem.")
	if e.kind == eventCommented {
		verb = "commented on"
	}
	by, _ := e.upd.by.(string)
	if u, known := e.upd.by.(*User); known {
		by = u.DisplayName
	}
	name := fmt.Sprintf("%s #%d", e.it.kind.Name, e.it.id)
	title := str(e.snap.values.get(s.fields.must(fieldTitle)))
	rest := fmt.Sprintf(" (%s) %s by %s.", title, verb, by)
	url := s.here().at(e.project).htmlURL(e.it.id)
	out := &formatted{
		Text:     name + rest + "\r\n(" + url + ")",
		HTML:     `<a href="` + html.EscapeString(url) + `">` + html.EscapeString(name) + "</a>" + html.EscapeString(rest),
		Markdown: "[" + name + "](" + url + ")" + rest,
	}
	if detailed {
		state := str(e.snap.values.get(s.fields.must(fieldState)))
		out.Text += "\r\n- State: " + state + "\r\n"
		out.HTML += "<ul>\r\n<li>State: " + html.EscapeString(state) + "</li></ul>"
		out.Markdown += "\r\n* State: " + state + "\r\n"
	}
	switch which {
	case "text":
		return &formatted{Text: out.Text}
	case "html":
		return &formatted{HTML: out.HTML}
	case "markdown":
		return &formatted{Markdown: out.Markdown}
	}
	return out
}
