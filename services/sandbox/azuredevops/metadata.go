package azuredevops

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// window reads $top and $skip.
func (c *call) window(most int) (int, int) {
	top, skip := most, 0
	if n, err := strconv.Atoi(c.query("$top")); err == nil && n >= 0 {
		top = min(n, most)
	}
	if n, err := strconv.Atoi(c.query("$skip")); err == nil && n > 0 {
		skip = n
	}
	return top, skip
}

func (s *Server) stateJSON(t *WorkItemType) []map[string]string {
	out := make([]map[string]string, len(t.States))
	for i, st := range t.States {
		out[i] = map[string]string{"name": st.Name, "color": st.Color, "category": st.Category}
	}
	return out
}

type transition struct {
	To      string   `json:"to"`
	Actions []string `json:"actions"`
}

// transitionsJSON lists what the rules allow; a state leads to itself, and the empty name to the initial state.
func transitionsJSON(t *WorkItemType) map[string][]transition {
	out := map[string][]transition{}
	for _, from := range t.States {
		moves := []transition{{To: from.Name}}
		for _, to := range t.States {
			if to != from && t.allows(from.Name, to.Name) {
				moves = append(moves, transition{To: to.Name})
			}
		}
		out[from.Name] = moves
	}
	if len(t.States) > 0 {
		out[""] = []transition{{To: t.States[0].Name}}
	}
	return out
}

func (s *Server) typeJSON(p *project, t *WorkItemType) map[string]any {
	at := s.here().at(p)
	var fields []map[string]any
	for _, d := range s.fields.defs {
		if d.on(t) {
			fields = append(fields, s.typeFieldJSON(t, d, false))
		}
	}
	self := at.scope + "/_apis/wit/workItemTypes/" + url.PathEscape(t.Name)
	return map[string]any{
		"name": t.Name, "referenceName": t.ReferenceName, "description": t.Description, "color": t.Color,
		"icon":       map[string]string{"id": t.Icon, "url": at.root + "/_apis/wit/workItemIcons/" + t.Icon + "?color=" + t.Color + "&v=2"},
		"isDisabled": false, "xmlForm": "", "fields": fields, "fieldInstances": fields,
		"transitions": transitionsJSON(t), "states": s.stateJSON(t),
		"_links": map[string]link{"self": {self}}, "url": self,
	}
}

func (s *Server) typeFieldJSON(t *WorkItemType, d *fieldDef, expand bool) map[string]any {
	out := map[string]any{
		"alwaysRequired": d.ReferenceName == fieldTitle || slices.Contains(t.Required, d.ReferenceName), "defaultValue": nil,
		"referenceName": d.ReferenceName, "name": d.Name, "url": s.here().root + "/_apis/wit/fields/" + d.ReferenceName,
	}
	if v, found := t.Defaults[d.ReferenceName]; found {
		text, _ := asText(v)
		out["defaultValue"] = text
	}
	if !expand {
		return out
	}
	out["dependentFields"] = []any{}
	switch {
	case d.ReferenceName == fieldState:
		names := make([]string, len(t.States))
		for i, st := range t.States {
			names[i] = st.Name
		}
		out["allowedValues"] = names
	case d.Type == "identity":
		people := []any{}
		for _, u := range s.users {
			people = append(people, s.here().person(u))
		}
		out["allowedValues"] = people
	default:
		out["allowedValues"] = append([]string{}, d.AllowedValues...)
	}
	return out
}

func (s *Server) serveTypes(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []map[string]any
	for _, t := range c.project.types {
		all = append(all, s.typeJSON(c.project, t))
	}
	return list(all)
}

// kindOf finds the work item type the path names.
func (c *call) kindOf(name string) (*WorkItemType, error) {
	if t := c.project.kind(name); t != nil {
		return t, nil
	}
	return nil, errNoType(name, c.project.name)
}

func (s *Server) serveType(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := c.kindOf(c.args[0])
	if err != nil {
		return answer{}, err
	}
	return ok(s.typeJSON(c.project, t))
}

func (s *Server) serveStates(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := c.kindOf(c.args[0])
	if err != nil {
		return answer{}, err
	}
	return list(s.stateJSON(t))
}

func expandsAll(c *call) bool {
	e := strings.ToLower(enum(c.query("$expand"), "none", "allowedvalues", "dependentfields", "all"))
	return e == "all" || e == "allowedvalues"
}

func (s *Server) serveTypeFields(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := c.kindOf(c.args[0])
	if err != nil {
		return answer{}, err
	}
	var all []map[string]any
	for _, d := range s.fields.defs {
		if d.on(t) {
			all = append(all, s.typeFieldJSON(t, d, expandsAll(c)))
		}
	}
	return list(all)
}

func (s *Server) serveTypeField(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := c.kindOf(c.args[0])
	if err != nil {
		return answer{}, err
	}
	d := s.fields.find(c.args[1])
	if d == nil || !d.on(t) {
		return answer{}, &Error{Status: http.StatusNotFound, TypeKey: "WorkItemTypeFieldNotFoundException", Message: errNoField(c.args[1]).Message}
	}
	return ok(s.typeFieldJSON(t, d, expandsAll(c)))
}

func (s *Server) fieldJSON(d *fieldDef) map[string]any {
	kind := d.Type
	if kind == "identity" {
		kind = "string"
	}
	op := func(ref, name string) map[string]string {
		return map[string]string{"referenceName": "SupportedOperations." + ref, "name": name}
	}
	ops := []map[string]string{op("Equals", "="), op("NotEquals", "<>"), op("In", "In")}
	switch d.Type {
	case "treePath":
		ops = append(ops, op("Under", "Under"), op("NotUnder", "Not Under"))
	case "html", "history":
		ops = []map[string]string{op("ContainsWords", "Contains Words"), op("NotContainsWords", "Does Not Contain Words")}
	case "plainText":
		ops = []map[string]string{op("Contains", "Contains"), op("NotContains", "Does Not Contain")}
	}
	return map[string]any{
		"name": d.Name, "referenceName": d.ReferenceName, "description": nil, "type": kind, "usage": "workItem",
		"readOnly": d.ReadOnly, "canSortBy": d.Type != "html" && d.Type != "history", "isQueryable": true,
		"supportedOperations": ops, "isIdentity": d.Type == "identity", "isPicklist": false, "isPicklistSuggested": false,
		"url": s.here().root + "/_apis/wit/fields/" + d.ReferenceName,
	}
}

func (s *Server) serveFields(*call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []map[string]any
	for _, d := range s.fields.defs {
		all = append(all, s.fieldJSON(d))
	}
	return list(all)
}

func (s *Server) serveField(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	d := s.fields.find(c.args[0])
	if d == nil {
		return answer{}, &Error{Status: http.StatusNotFound, TypeKey: "WorkItemTrackingFieldDefinitionNotFoundException", Message: errNoField(c.args[0]).Message}
	}
	return ok(s.fieldJSON(d))
}

// relationType is a kind of relation. Those between work items have an opposite end.
type relationType struct {
	ref, name, opposite, topology string
	forward                       bool
}

// relationTypes are those of the recordings that make sense here.
func relationTypes() []relationType {
	return []relationType{
		{"Microsoft.VSTS.Common.Affects-Forward", "Affects", "Microsoft.VSTS.Common.Affects-Reverse", "dependency", true},
		{"Microsoft.VSTS.Common.Affects-Reverse", "Affected By", "Microsoft.VSTS.Common.Affects-Forward", "dependency", false},
		{"System.LinkTypes.Duplicate-Forward", "Duplicate", "System.LinkTypes.Duplicate-Reverse", "tree", true},
		{"System.LinkTypes.Duplicate-Reverse", "Duplicate Of", "System.LinkTypes.Duplicate-Forward", "tree", false},
		{"System.LinkTypes.Dependency-Forward", "Successor", "System.LinkTypes.Dependency-Reverse", "dependency", true},
		{"System.LinkTypes.Dependency-Reverse", "Predecessor", "System.LinkTypes.Dependency-Forward", "dependency", false},
		{"System.LinkTypes.Hierarchy-Forward", "Child", "System.LinkTypes.Hierarchy-Reverse", "tree", true},
		{"System.LinkTypes.Hierarchy-Reverse", "Parent", "System.LinkTypes.Hierarchy-Forward", "tree", false},
		{"System.LinkTypes.Related", "Related", "System.LinkTypes.Related", "network", false},
		{relAttachment, "Attached File", "", "", false},
		{relHyperlink, "Hyperlink", "", "", false},
		{relArtifact, "Artifact Link", "", "", false},
	}
}

const (
	relAttachment = "AttachedFile"
	relHyperlink  = "Hyperlink"
	relArtifact   = "ArtifactLink"
)

func findRelationType(ref string) (relationType, bool) {
	for _, t := range relationTypes() {
		if strings.EqualFold(t.ref, ref) {
			return t, true
		}
	}
	return relationType{}, false
}

func (s *Server) relationTypeJSON(t relationType) map[string]any {
	attributes := map[string]any{"usage": "resourceLink", "editable": false, "enabled": true}
	if t.opposite != "" {
		attributes = map[string]any{
			"usage": "workItemLink", "editable": strings.HasPrefix(t.ref, "Microsoft."), "enabled": true, "acyclic": t.topology != "network",
			"directional": t.topology != "network", "singleTarget": t.topology != "tree", "topology": t.topology, "remote": false,
		}
		if t.opposite != t.ref {
			attributes["isForward"], attributes["oppositeEndReferenceName"] = t.forward, t.opposite
		}
	}
	return map[string]any{
		"attributes": attributes, "referenceName": t.ref, "name": t.name,
		"url": s.here().root + "/_apis/wit/workItemRelationTypes/" + t.ref,
	}
}

func (s *Server) serveRelationTypes(*call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var all []map[string]any
	for _, t := range relationTypes() {
		all = append(all, s.relationTypeJSON(t))
	}
	return list(all)
}

func (s *Server) serveRelationType(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, found := findRelationType(c.args[0])
	if !found {
		return answer{}, &Error{Status: http.StatusNotFound, TypeKey: "WorkItemTrackingLinkTypeNotFoundException", Message: "The relation type " + c.args[0] + " does not exist."}
	}
	return ok(s.relationTypeJSON(t))
}
