package azuredevops

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// maxBatch is how many ids may be read at once.
const maxBatch = 200

func splitList(text string) []string {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	return strings.Split(text, ",")
}

// serveItem reads one work item.
func (s *Server) serveItem(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, err := s.findIn(c, c.number(0))
	if err != nil {
		return answer{}, err
	}
	v, err := s.viewOf(splitList(c.query("fields")), c.query("$expand"), true)
	if err != nil {
		return answer{}, err
	}
	return ok(s.render(s.here().at(it.project), it.now(), v))
}

// serveItems reads several work items by ?ids=.
func (s *Server) serveItems(c *call) (answer, error) {
	var ids []int
	for _, text := range splitList(c.query("ids")) {
		id, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			return answer{}, &malformed{"The value '" + text + "' is not valid for ids."}
		}
		ids = append(ids, id)
	}
	return s.readMany(c, ids, splitList(c.query("fields")), c.query("$expand"), enum(c.query("errorPolicy"), "", "fail", "omit"))
}

// serveBatch reads several work items named in the body.
func (s *Server) serveBatch(c *call) (answer, error) {
	var body struct {
		IDs         []int    `json:"ids"`
		Fields      []string `json:"fields"`
		Expand      any      `json:"$expand"`
		ErrorPolicy any      `json:"errorPolicy"`
	}
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	return s.readMany(c, body.IDs, body.Fields, body.Expand, enum(body.ErrorPolicy, "", "fail", "omit"))
}

// enum reads a value that clients send by name or by number, as a query parameter or in JSON; Microsoft's Node client
// sends numbers. names are those of the numbers from 0.
func enum(v any, names ...string) string {
	switch x := v.(type) {
	case string:
		if i, err := strconv.Atoi(x); err == nil && i >= 0 && i < len(names) {
			return names[i]
		}
		return x
	case float64:
		if i := int(x); i >= 0 && i < len(names) {
			return names[i]
		}
	}
	return ""
}

func (s *Server) readMany(c *call, ids []int, fields []string, expand any, policy string) (answer, error) {
	if len(ids) == 0 {
		return answer{}, badRequest("ArgumentException", "The ids of the work items must be given.")
	}
	if len(ids) > maxBatch {
		return answer{}, badRequest("VssPropertyValidationException", fmt.Sprintf("VS403474: You requested %d work items which exceeds the limit of %d.", len(ids), maxBatch))
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, err := s.viewOf(fields, expand, false)
	if err != nil {
		return answer{}, err
	}
	omit := strings.EqualFold(policy, "omit")
	found := make([]*itemJSON, 0, len(ids))
	for _, id := range ids {
		it, err := s.findIn(c, id)
		switch {
		case err == nil:
			at := s.here()
			if c.project != nil || v.relations || v.links {
				at = at.at(it.project)
			}
			one := s.render(at, it.now(), v)
			found = append(found, &one)
		case omit:
			found = append(found, nil) // an omitted item leaves a null in its place
		default:
			return answer{}, err
		}
	}
	return list(found)
}

// serveCreate makes a work item.
func (s *Server) serveCreate(c *call) (answer, error) {
	e, err := c.readPatch()
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	kind, err := c.kindOf(c.args[0])
	if err != nil {
		return answer{}, err
	}
	it, err := s.apply(e, nil, c.project, kind)
	if err != nil {
		return answer{}, err
	}
	return s.answerItem(c, it)
}

// answerItem answers a create or update: by default with relations and links, but without the computed fields
// (recorded).
func (s *Server) answerItem(c *call, it *item) (answer, error) {
	v := view{relations: true, links: true}
	if e := c.query("$expand"); e != "" {
		var err error
		if v, err = s.viewOf(nil, e, true); err != nil {
			return answer{}, err
		}
	}
	out := s.render(s.here().at(it.project), it.now(), v)
	return ok(out)
}

// servePatch changes a work item.
func (s *Server) servePatch(c *call) (answer, error) {
	e, err := c.readPatch()
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	it, err := s.findIn(c, c.number(0))
	if err != nil {
		return answer{}, err
	}
	it, err = s.apply(e, it, it.project, it.kind)
	if err != nil {
		return answer{}, err
	}
	return s.answerItem(c, it)
}

// serveTemplate gives the fields of a new item of a type, which is not stored.
func (s *Server) serveTemplate(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	kind, err := c.kindOf(c.args[0])
	if err != nil {
		return answer{}, err
	}
	d := s.draftOf(edit{by: c.user}, nil, c.project, kind)
	at := s.here().at(c.project)
	out := s.render(at, d.ghost().now(), view{links: true})
	out.ID, out.Rev, out.URL, out.Links = 0, 0, at.scope+"/_apis/wit/workItems/$"+kind.Name, nil
	return ok(out)
}

// serveUpdates lists what was done to an item.
func (s *Server) serveUpdates(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, err := s.findIn(c, c.number(0))
	if err != nil {
		return answer{}, err
	}
	top, skip := c.window(maxBatch)
	out := []updateJSON{}
	for n := skip + 1; n <= len(it.updates) && len(out) < top; n++ {
		u := s.renderUpdate(s.here().at(it.project), it, n, false)
		u.Links = nil
		out = append(out, u)
	}
	return list(out)
}

func (s *Server) serveUpdate(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, err := s.findIn(c, c.number(0))
	if err != nil {
		return answer{}, err
	}
	if c.number(1) > len(it.updates) {
		return answer{}, &Error{Status: http.StatusNotFound, TypeKey: "WorkItemIdRevisionNotFoundException", Message: fmt.Sprintf("Work item %d has no update %d.", it.id, c.number(1))}
	}
	return ok(s.renderUpdate(s.here().at(it.project), it, c.number(1), false))
}

// serveRevisions lists the item at each of its revisions.
func (s *Server) serveRevisions(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, err := s.findIn(c, c.number(0))
	if err != nil {
		return answer{}, err
	}
	v, err := s.viewOf(nil, c.query("$expand"), false)
	if err != nil {
		return answer{}, err
	}
	top, skip := c.window(maxBatch)
	out := []revisionJSON{}
	for rev := skip + 1; rev <= it.rev && len(out) < top; rev++ {
		if snap, found := it.as(rev); found {
			one := s.renderRevision(s.here().at(it.project), snap, v)
			if !v.links {
				one.Links = nil
			}
			out = append(out, one)
		}
	}
	return list(out)
}

func (s *Server) serveRevision(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, err := s.findIn(c, c.number(0))
	if err != nil {
		return answer{}, err
	}
	v, err := s.viewOf(nil, c.query("$expand"), true)
	if err != nil {
		return answer{}, err
	}
	snap, found := it.as(c.number(1))
	if !found {
		return answer{}, &Error{Status: http.StatusNotFound, TypeKey: "WorkItemIdRevisionNotFoundException", Message: fmt.Sprintf("Work item %d has no revision %d.", it.id, c.number(1))}
	}
	return ok(s.renderRevision(s.here().at(it.project), snap, v))
}

// deletedJSON is an item in the recycle bin.
type deletedJSON struct {
	ID          int       `json:"id"`
	Code        int       `json:"code"`
	Type        string    `json:"type"`
	Name        string    `json:"name"`
	Project     string    `json:"project"`
	DeletedDate string    `json:"deletedDate"`
	DeletedBy   string    `json:"deletedBy"`
	URL         string    `json:"url"`
	Resource    *itemJSON `json:"resource,omitempty"`
}

func (p place) binURL(id int) string { return p.scope + "/_apis/wit/recyclebin/" + strconv.Itoa(id) }

func (s *Server) deletedJSON(it *item, removed removal, url string, whole bool) deletedJSON {
	at := s.here().at(it.project)
	out := deletedJSON{
		ID: it.id, Code: http.StatusOK, Type: it.kind.Name, Name: it.text(s.fields.must(fieldTitle)), Project: it.project.name,
		DeletedDate: removed.at.Format("1/2/2006 3:04:05 PM"), DeletedBy: removed.by.full(), URL: url,
	}
	if whole {
		one := s.render(at, it.now(), view{})
		out.Resource = &one
	}
	return out
}

// serveDelete puts a work item into the recycle bin, or with destroy=true away for good.
func (s *Server) serveDelete(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, err := s.findIn(c, c.number(0))
	if err != nil {
		return answer{}, err
	}
	s.remove(it, c.user, true)
	out := s.deletedJSON(it, *it.removed, s.here().at(it.project).binURL(it.id), true)
	if c.flag("destroy") {
		s.destroy(it, c.user, true)
	}
	return ok(out)
}

// inBin finds a deleted item.
func (s *Server) inBin(c *call, id int) (*item, error) {
	it, found := s.items[id]
	if !found || c.project != nil && it.project != c.project {
		return nil, errNoItem(id)
	}
	if it.removed == nil {
		return nil, &Error{Status: http.StatusNotFound, TypeKey: "WorkItemNotFoundException", Message: fmt.Sprintf("Work item %d is not in the recycle bin.", id)}
	}
	return it, nil
}

func (s *Server) serveBin(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	at := s.here().at(c.project)
	if ids := splitList(c.query("ids")); ids != nil {
		out := []deletedJSON{}
		for _, text := range ids {
			id, _ := strconv.Atoi(strings.TrimSpace(text))
			if it, err := s.inBin(c, id); err == nil {
				out = append(out, s.deletedJSON(it, *it.removed, at.binURL(id), false))
			}
		}
		return list(out)
	}
	type shallow struct {
		ID  int    `json:"id"`
		URL string `json:"url"`
	}
	out := []shallow{}
	for _, it := range s.order {
		if it.removed != nil && it.project == c.project {
			out = append(out, shallow{it.id, at.binURL(it.id)})
		}
	}
	return list(out)
}

func (s *Server) serveBinItem(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, err := s.inBin(c, c.number(0))
	if err != nil {
		return answer{}, err
	}
	return ok(s.deletedJSON(it, *it.removed, s.here().at(it.project).binURL(it.id), true))
}

func (s *Server) serveRestore(c *call) (answer, error) {
	var body struct {
		IsDeleted *bool `json:"isDeleted"`
	}
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	if body.IsDeleted == nil || *body.IsDeleted {
		return answer{}, badRequest("WorkItemInvalidUpdateToIsDeletedFieldException", "Only isDeleted false can be set, to restore the work item.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if it, found := s.items[c.number(0)]; found && it.removed == nil {
		return answer{}, errNotDeleted(it.id)
	}
	it, err := s.inBin(c, c.number(0))
	if err != nil {
		return answer{}, err
	}
	removed := *it.removed
	s.restore(it, c.user, true)
	return ok(s.deletedJSON(it, removed, s.here().at(it.project).itemURL(it.id), true))
}

func (s *Server) serveDestroy(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, err := s.inBin(c, c.number(0))
	if err != nil {
		return answer{}, err
	}
	s.destroy(it, c.user, true)
	return answer{status: http.StatusNoContent}, nil
}
