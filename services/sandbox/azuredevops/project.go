package azuredevops

import (
	"fmt"
	"hash/fnv"
	"net/url"
	"slices"
	"strings"
	"time"
)

// project is a project in being.
type project struct {
	id, name  string
	process   Process
	types     []*WorkItemType
	areas     []string // lower-case paths below the project, without its name
	cycles    []string // the same for iterations
	updatedAt time.Time
}

func newProject(organization string, p Project, at time.Time) *project {
	if p.Process.Name == "" && len(p.Process.Types) == 0 {
		p.Process = Basic()
	}
	pr := &project{
		id: orElse(p.ID, derivedID("project", organization, p.Name)), name: p.Name, process: p.Process,
		areas: lower(p.Areas), cycles: lower(p.Iterations), updatedAt: at,
	}
	for _, t := range p.Process.Types {
		pr.types = append(pr.types, &t)
	}
	return pr
}

func lower(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = strings.ToLower(strings.Trim(p, `\`))
	}
	return out
}

// kind finds a work item type by name or reference name.
func (p *project) kind(name string) *WorkItemType {
	for _, t := range p.types {
		if strings.EqualFold(t.Name, name) || strings.EqualFold(t.ReferenceName, name) {
			return t
		}
	}
	return nil
}

// node checks an area or iteration path and gives it with the project's present name.
func (p *project) node(path string, known []string) (string, bool) {
	path = strings.Trim(path, `\`)
	root, rest, deeper := strings.Cut(path, `\`)
	if !strings.EqualFold(root, p.name) {
		return "", false
	}
	if deeper && !slices.Contains(known, strings.ToLower(rest)) {
		return "", false
	}
	if deeper {
		return p.name + `\` + rest, true
	}
	return p.name, true
}

// nodeID is a stable number for an area or iteration.
func nodeID(kind, project, path string) int {
	h := fnv.New32a()
	_, _ = fmt.Fprintf(h, "%s/%s/%s", kind, project, strings.ToLower(path))
	return int(h.Sum32()%90_000) + 10_000
}

// findProject finds a project by name or GUID. Call it with mu held.
func (s *Server) findProject(name string) *project {
	for _, p := range s.projects {
		if strings.EqualFold(p.name, name) || strings.EqualFold(p.id, name) {
			return p
		}
	}
	return nil
}

// AddProject makes a project and returns its GUID. A project of that name is left as it is.
func (s *Server) AddProject(p Project) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.findProject(p.Name); known != nil {
		return known.id
	}
	fresh := newProject(s.opts.Organization, p, toMillis(s.opts.Now()))
	s.projects = append(s.projects, fresh)
	return fresh.id
}

// RenameProject gives a project another name; its GUID stays. The paths of its work items follow, without new
// revisions. It tells whether there was such a project and the new name was free.
func (s *Server) RenameProject(name, fresh string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.findProject(name)
	if p == nil || s.findProject(fresh) != nil {
		return false
	}
	old := p.name
	p.name, p.updatedAt = fresh, toMillis(s.opts.Now())
	renamed := func(path any) any {
		t, _ := path.(string)
		return fresh + strings.TrimPrefix(t, old)
	}
	for _, it := range s.order {
		if it.project == p {
			for _, f := range []string{fieldArea, fieldIteration} {
				it.values.set(s.fields.must(f), renamed(it.values.get(s.fields.must(f))))
			}
			it.values.set(s.fields.must(fieldProject), fresh)
		}
	}
	return true
}

// DeleteProject removes a project with its work items. It tells whether there was one.
func (s *Server) DeleteProject(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.findProject(name)
	if p == nil {
		return false
	}
	s.projects = slices.DeleteFunc(s.projects, func(q *project) bool { return q == p })
	for _, it := range s.order {
		if it.project == p {
			s.untag(it)
			delete(s.items, it.id)
		}
	}
	s.order = slices.DeleteFunc(s.order, func(it *item) bool { return it.project == p })
	return true
}

func (s *Server) projectJSON(p *project) map[string]any {
	return map[string]any{
		"id": p.id, "name": p.name, "url": s.here().root + "/_apis/projects/" + p.id, "state": "wellFormed",
		"revision": 1, "visibility": "private", "lastUpdateTime": stamp(p.updatedAt),
	}
}

func (s *Server) serveProjects(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	top, skip := c.window(100)
	all := make([]map[string]any, 0, len(s.projects))
	for i, p := range s.projects {
		if i >= skip && len(all) < top {
			all = append(all, s.projectJSON(p))
		}
	}
	return list(all)
}

func (s *Server) serveProject(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := s.findProject(c.args[0])
	if p == nil {
		return answer{}, errNoProject(c.args[0])
	}
	body := s.projectJSON(p)
	root := s.here().root
	team := derivedID("team", p.id)
	body["_links"] = map[string]link{
		"self":       {root + "/_apis/projects/" + p.id},
		"collection": {root + "/_apis/projectCollections/" + s.collectionID},
		"web":        {root + "/" + url.PathEscape(p.name)},
	}
	body["defaultTeam"] = map[string]string{"id": team, "name": p.name + " Team", "url": root + "/_apis/projects/" + p.id + "/teams/" + team}
	if c.flag("includeCapabilities") {
		body["capabilities"] = map[string]any{
			"processTemplate": map[string]string{"templateName": p.process.Name, "templateTypeId": p.process.ID},
			"versioncontrol":  map[string]string{"sourceControlType": "Git", "gitEnabled": "True", "tfvcEnabled": "False"},
		}
	}
	return ok(body)
}
