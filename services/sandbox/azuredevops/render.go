package azuredevops

import (
	"net/url"
	"strconv"
	"strings"
	"time"
)

// itemJSON is a work item, with the recorded keys in the recorded order.
type itemJSON struct {
	ID         int                `json:"id,omitempty"`
	Rev        int                `json:"rev,omitempty"`
	Fields     fieldsJSON         `json:"fields"`
	Formats    *map[string]string `json:"multilineFieldsFormat,omitempty"`
	Relations  []relationJSON     `json:"relations,omitempty"`
	CommentRef *commentRef        `json:"commentVersionRef,omitempty"`
	Links      *linksJSON         `json:"_links,omitempty"`
	URL        string             `json:"url"`
}

type commentRef struct {
	ID      int    `json:"commentId"`
	Version int    `json:"version"`
	URL     string `json:"url"`
}

type relationJSON struct {
	Rel        string         `json:"rel"`
	URL        string         `json:"url"`
	Attributes map[string]any `json:"attributes"`
}

// linksJSON is `_links` in the recorded order.
type linksJSON struct {
	Self              *link `json:"self,omitempty"`
	WorkItemUpdates   *link `json:"workItemUpdates,omitempty"`
	WorkItemRevisions *link `json:"workItemRevisions,omitempty"`
	WorkItemComments  *link `json:"workItemComments,omitempty"`
	Parent            *link `json:"parent,omitempty"`
	HTML              *link `json:"html,omitempty"`
	WorkItemType      *link `json:"workItemType,omitempty"`
	Fields            *link `json:"fields,omitempty"`
}

// view says what of an item is asked for.
type view struct {
	only      []*fieldDef // nil means all
	wide      bool        // computed fields too
	relations bool
	links     bool
	strings   bool // identities as "Display <unique>", as hooks of resourceVersion 1.0 have them
}

func (p place) itemURL(id int) string { return p.scope + "/_apis/wit/workItems/" + strconv.Itoa(id) }

// htmlURL is where a person opens the item.
func (p place) htmlURL(id int) string { return p.scope + "/_workitems/edit/" + strconv.Itoa(id) }

// render makes the answer for an item at a revision. Call it with mu held.
func (s *Server) render(at place, snap snapshot, v view) itemJSON {
	out := itemJSON{ID: snap.it.id, Rev: snap.rev, Fields: s.renderFields(at, snap, v), URL: at.itemURL(snap.it.id)}
	if s.opts.Flavor == Services && v.only == nil {
		formats := snap.it.formats
		if formats == nil {
			formats = map[string]string{}
		}
		out.Formats = &formats
	}
	if c := snap.made.comment; c != nil && v.only == nil && !c.deleted {
		out.CommentRef = at.commentRef(snap.it.id, c)
	}
	if v.relations {
		out.Relations = s.renderRelations(at, snap.relations)
	}
	if v.links {
		self := at.itemURL(snap.it.id)
		out.Links = &linksJSON{
			Self: &link{self}, WorkItemUpdates: &link{self + "/updates"}, WorkItemRevisions: &link{self + "/revisions"},
			WorkItemComments: &link{self + "/comments"}, HTML: &link{at.htmlURL(snap.it.id)},
			WorkItemType: &link{at.scope + "/_apis/wit/workItemTypes/" + url.PathEscape(snap.it.kind.Name)}, Fields: &link{at.scope + "/_apis/wit/fields"},
		}
	}
	return out
}

func (p place) commentRef(item int, v *commentVersion) *commentRef {
	return &commentRef{v.of.id, v.number, p.itemURL(item) + "/comments/" + strconv.Itoa(v.of.id) + "/versions/" + strconv.Itoa(v.number)}
}

func (s *Server) renderFields(at place, snap snapshot, v view) fieldsJSON {
	out := make(fieldsJSON, 0, len(snap.values)+4)
	defs := v.only
	if defs == nil {
		defs = s.fields.defs
	}
	for _, d := range defs {
		if v.only == nil && (d.wide && !v.wide || !d.on(snap.it.kind)) {
			continue
		}
		if value := s.value(snap, d); value != nil {
			out = append(out, fieldJSON{d.ReferenceName, at.valueJSON(value, v.strings)})
		}
	}
	return out
}

// valueJSON renders a field's value.
func (p place) valueJSON(value any, strings bool) any {
	switch x := value.(type) {
	case time.Time:
		return stamp(x)
	case *User:
		if strings {
			return x.full()
		}
		return p.person(x)
	}
	return value
}

func (s *Server) renderRelations(at place, rs []relation) []relationJSON {
	out := make([]relationJSON, len(rs))
	for i, r := range rs {
		out[i] = at.relationJSON(r)
	}
	return out
}

// relationJSON renders a relation. The service puts the project's GUID into the URLs of links (recorded) and drops the
// file name from those of attachments (reported).
func (p place) relationJSON(r relation) relationJSON {
	if r.betweenItems() {
		attributes := map[string]any{"isLocked": false, "name": r.kind.name}
		if r.comment != "" {
			attributes["comment"] = r.comment
		}
		return relationJSON{r.kind.ref, p.itemURL(r.target), attributes}
	}
	attributes := map[string]any{
		"authorizedDate": stamp(r.at), "id": r.id, "resourceCreatedDate": stamp(r.at), "resourceModifiedDate": stamp(r.at), "revisedDate": endOfTime,
	}
	if r.comment != "" {
		attributes["comment"] = r.comment
	}
	target := r.url
	if r.blob != nil {
		target = p.scope + "/_apis/wit/attachments/" + r.blob.id
		attributes["name"], attributes["resourceSize"] = r.name, r.blob.size
		attributes["resourceCreatedDate"], attributes["resourceModifiedDate"] = stamp(r.resource), stamp(r.resource)
	}
	return relationJSON{r.kind.ref, target, attributes}
}

// updateJSON is one update of an item.
type updateJSON struct {
	ID          int              `json:"id"`
	WorkItemID  int              `json:"workItemId"`
	Rev         int              `json:"rev"`
	RevisedBy   any              `json:"revisedBy"`
	RevisedDate string           `json:"revisedDate"`
	Fields      fieldsJSON       `json:"fields,omitempty"`
	Relations   *relationChanges `json:"relations,omitempty"`
	Links       map[string]link  `json:"_links,omitempty"`
	URL         string           `json:"url"`
	Revision    *revisionJSON    `json:"revision,omitempty"`
}

type relationChanges struct {
	Added   []relationJSON `json:"added,omitempty"`
	Removed []relationJSON `json:"removed,omitempty"`
}

// revisionJSON is an item at a revision, whose links and url point to the revision.
type revisionJSON itemJSON

type fieldUpdate struct {
	Old any `json:"oldValue,omitempty"`
	New any `json:"newValue,omitempty"`
}

// renderUpdate renders the update with the given number. Call it with mu held.
func (s *Server) renderUpdate(at place, it *item, number int, strings bool) updateJSON {
	u := it.updates[number-1]
	self := at.itemURL(it.id) + "/updates/" + strconv.Itoa(number)
	out := updateJSON{
		ID: number, WorkItemID: it.id, Rev: u.rev, RevisedBy: at.namedPerson(u.by), RevisedDate: endOfTime,
		Links: map[string]link{
			"self": {self}, "workItemUpdates": {at.itemURL(it.id) + "/updates"}, "parent": {at.itemURL(it.id)}, "html": {at.htmlURL(it.id)},
		},
		URL: self,
	}
	for _, later := range it.updates[number:] {
		if !later.sameRev {
			out.RevisedDate = stamp(later.at)
			break
		}
	}
	if len(u.added)+len(u.removed) > 0 {
		out.Relations = &relationChanges{s.renderRelations(at, u.added), s.renderRelations(at, u.removed)}
	}
	if !u.sameRev {
		out.Fields = s.renderChanges(at, it, number, strings)
	}
	return out
}

// renderChanges renders what an update did to the fields, the computed ones included, in the order of the fields.
func (s *Server) renderChanges(at place, it *item, number int, strings bool) fieldsJSON {
	u := it.updates[number-1]
	var prev *update
	for _, earlier := range it.updates[:number-1] {
		if !earlier.sameRev {
			prev = earlier
		}
	}
	byDef := make(map[*fieldDef]fieldUpdate, len(u.changes)+8)
	for _, ch := range u.changes {
		byDef[ch.def] = fieldUpdate{at.valueJSON(ch.old, strings), at.valueJSON(ch.next, strings)}
	}
	set := func(name string, old, next any) { byDef[s.fields.must(name)] = fieldUpdate{old, next} }
	if prev == nil {
		first, _ := it.as(1)
		for _, d := range s.fields.defs {
			if d.computed && d.wide {
				set(d.ReferenceName, nil, at.valueJSON(s.value(first, d), strings))
			}
		}
	} else {
		set(fieldRev, prev.rev, u.rev)
		set(fieldAuthorizedDate, stamp(prev.at), stamp(u.at))
		set(fieldRevisedDate, stamp(u.at), endOfTime)
		set(fieldWatermark, prev.watermark, u.watermark)
		if prev.as != u.as {
			set(fieldAuthorizedAs, at.valueJSON(prev.as, strings), at.valueJSON(u.as, strings))
			set(fieldPersonID, prev.as.personID(), u.as.personID())
		}
	}
	if u.comment != nil {
		set(fieldHistory, nil, u.comment.text)
	}
	out := make(fieldsJSON, 0, len(byDef))
	for _, d := range s.fields.defs {
		if v, found := byDef[d]; found {
			out = append(out, fieldJSON{d.ReferenceName, v})
		}
	}
	return out
}

// renderRevision renders an item at a revision, for the revisions calls and inside hook events.
func (s *Server) renderRevision(at place, snap snapshot, v view) revisionJSON {
	v.links = false
	out := s.render(at, snap, v)
	parent := at.itemURL(snap.it.id)
	self := parent + "/revisions/" + strconv.Itoa(snap.rev)
	out.Links = &linksJSON{Self: &link{self}, WorkItemRevisions: &link{parent + "/revisions"}, Parent: &link{parent}}
	out.URL = self
	return revisionJSON(out)
}

// viewOf reads $expand and fields.
func (s *Server) viewOf(fields []string, how any, single bool) (view, error) {
	v := view{links: single}
	expand := strings.ToLower(enum(how, "none", "relations", "fields", "links", "all"))
	switch expand {
	case "", "none":
	case "relations":
		v.relations = true
	case "fields":
		v.wide = true
	case "links":
		v.links = true
	case "all":
		v.wide, v.relations, v.links = true, true, true
	default:
		return view{}, &malformed{"The value '" + expand + "' is not valid for $expand."}
	}
	if len(fields) == 0 {
		return v, nil
	}
	if v.wide || v.relations {
		return view{}, badRequest("ConflictingParametersException", "The expand parameter can not be used with the fields parameter.")
	}
	v.links = expand == "links"
	v.only = []*fieldDef{}
	for _, name := range fields {
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		d := s.fields.find(name)
		if d == nil {
			return view{}, errNoField(name)
		}
		v.only = append(v.only, d)
	}
	return v, nil
}
