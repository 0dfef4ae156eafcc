package azuredevops

import (
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// scope is what a route's path must or may name before `_apis`.
type scope int

const (
	anywhere    scope = iota // organisation, with or without project
	orgOnly                  // no project
	projectOnly              // a project, and maybe a team
)

// route is one operation. In its pattern {n} stands for a positive number, {} for anything, ${} for a name after a
// dollar sign. Segments match without regard to case, as the service's do.
type route struct {
	method  string
	pattern string
	scope   scope
	right   Rights
	preview bool // only preview versions exist
	costs   bool // charged as a write by the rate limits
	serve   func(*call) (answer, error)

	segments []string
}

// table is all that the stand-in answers.
func (s *Server) table() []route {
	const (
		get, post, put, patch, del, options = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions
		read, write                         = ReadWorkItems, WriteWorkItems
	)
	routes := []route{
		// Who and where.
		{method: get, pattern: "connectiondata", preview: true, serve: s.serveConnectionData},
		{method: get, pattern: "identities", right: ReadIdentities, serve: s.serveIdentities},
		{method: get, pattern: "profile/profiles/{}", scope: orgOnly, serve: s.serveProfile},
		{method: get, pattern: "resourceareas", serve: s.serveResourceAreas},
		{method: get, pattern: "resourceareas/{}", serve: s.serveResourceArea},
		{method: options, pattern: "", serve: s.serveLocations},
		{method: options, pattern: "{}", serve: s.serveLocations},
		{method: get, pattern: "projects", scope: orgOnly, serve: s.serveProjects},
		{method: get, pattern: "projects/{}", scope: orgOnly, serve: s.serveProject},

		// What work items can be.
		{method: get, pattern: "wit/workitemtypes", scope: projectOnly, right: read, serve: s.serveTypes},
		{method: get, pattern: "wit/workitemtypes/{}", scope: projectOnly, right: read, serve: s.serveType},
		{method: get, pattern: "wit/workitemtypes/{}/states", scope: projectOnly, right: read, serve: s.serveStates},
		{method: get, pattern: "wit/workitemtypes/{}/fields", scope: projectOnly, right: read, serve: s.serveTypeFields},
		{method: get, pattern: "wit/workitemtypes/{}/fields/{}", scope: projectOnly, right: read, serve: s.serveTypeField},
		{method: get, pattern: "wit/fields", right: read, serve: s.serveFields},
		{method: get, pattern: "wit/fields/{}", right: read, serve: s.serveField},
		{method: get, pattern: "wit/workitemrelationtypes", right: read, serve: s.serveRelationTypes},
		{method: get, pattern: "wit/workitemrelationtypes/{}", right: read, serve: s.serveRelationType},

		// Work items.
		{method: get, pattern: "wit/workitems", right: read, serve: s.serveItems},
		{method: get, pattern: "wit/workitems/${}", scope: projectOnly, right: read, serve: s.serveTemplate},
		{method: post, pattern: "wit/workitems/${}", scope: projectOnly, right: write, costs: true, serve: s.serveCreate},
		{method: get, pattern: "wit/workitems/{n}", right: read, serve: s.serveItem},
		{method: patch, pattern: "wit/workitems/{n}", right: write, costs: true, serve: s.servePatch},
		{method: del, pattern: "wit/workitems/{n}", right: write, costs: true, serve: s.serveDelete},
		{method: post, pattern: "wit/workitemsbatch", right: read, serve: s.serveBatch},
		{method: get, pattern: "wit/workitems/{n}/updates", right: read, serve: s.serveUpdates},
		{method: get, pattern: "wit/workitems/{n}/updates/{n}", right: read, serve: s.serveUpdate},
		{method: get, pattern: "wit/workitems/{n}/revisions", right: read, serve: s.serveRevisions},
		{method: get, pattern: "wit/workitems/{n}/revisions/{n}", right: read, serve: s.serveRevision},
		{method: get, pattern: "wit/recyclebin", scope: projectOnly, right: read, serve: s.serveBin},
		{method: get, pattern: "wit/recyclebin/{n}", right: read, serve: s.serveBinItem},
		{method: patch, pattern: "wit/recyclebin/{n}", right: write, costs: true, serve: s.serveRestore},
		{method: del, pattern: "wit/recyclebin/{n}", right: write, costs: true, serve: s.serveDestroy},
		{method: post, pattern: "wit/wiql", right: read, serve: s.serveWIQL},
		{method: get, pattern: "wit/reporting/workitemrevisions", right: read, serve: s.serveReporting},
		{method: post, pattern: "wit/reporting/workitemrevisions", right: read, serve: s.serveReporting},
		{method: get, pattern: "wit/reporting/workitemrevisions/discussions", right: read, preview: true, serve: s.serveDiscussions},

		// Comments.
		{method: get, pattern: "wit/workitems/{n}/comments", scope: projectOnly, right: read, preview: true, serve: s.serveComments},
		{method: post, pattern: "wit/workitems/{n}/comments", scope: projectOnly, right: write, preview: true, costs: true, serve: s.serveAddComment},
		{method: get, pattern: "wit/workitems/{n}/comments/{n}", scope: projectOnly, right: read, preview: true, serve: s.serveComment},
		{method: patch, pattern: "wit/workitems/{n}/comments/{n}", scope: projectOnly, right: write, preview: true, costs: true, serve: s.serveEditComment},
		{method: del, pattern: "wit/workitems/{n}/comments/{n}", scope: projectOnly, right: write, preview: true, costs: true, serve: s.serveDeleteComment},
		{method: get, pattern: "wit/workitems/{n}/comments/{n}/versions", scope: projectOnly, right: read, preview: true, serve: s.serveCommentVersions},
		{method: get, pattern: "wit/workitems/{n}/comments/{n}/versions/{n}", scope: projectOnly, right: read, preview: true, serve: s.serveCommentVersion},

		// Attachments.
		{method: post, pattern: "wit/attachments", right: write, costs: true, serve: s.serveUpload},
		{method: put, pattern: "wit/attachments/{}", right: write, costs: true, serve: s.serveChunk},
		{method: get, pattern: "wit/attachments/{}", right: read, serve: s.serveDownload},

		// Service hooks.
		{method: get, pattern: "hooks/subscriptions", scope: orgOnly, right: ManageHooks, serve: s.serveSubscriptions},
		{method: post, pattern: "hooks/subscriptions", scope: orgOnly, right: ManageHooks, costs: true, serve: s.serveSubscribe},
		{method: put, pattern: "hooks/subscriptions", scope: orgOnly, right: ManageHooks, costs: true, serve: s.serveResubscribe},
		{method: get, pattern: "hooks/subscriptions/{}", scope: orgOnly, right: ManageHooks, serve: s.serveSubscription},
		{method: put, pattern: "hooks/subscriptions/{}", scope: orgOnly, right: ManageHooks, costs: true, serve: s.serveResubscribe},
		{method: del, pattern: "hooks/subscriptions/{}", scope: orgOnly, right: ManageHooks, costs: true, serve: s.serveUnsubscribe},
		{method: get, pattern: "hooks/subscriptions/{}/notifications", scope: orgOnly, right: ManageHooks, serve: s.serveNotifications},
		{method: get, pattern: "hooks/subscriptions/{}/notifications/{n}", scope: orgOnly, right: ManageHooks, serve: s.serveNotification},
		{method: post, pattern: "hooks/subscriptionsquery", scope: orgOnly, right: ManageHooks, serve: s.serveSubscriptionsQuery},
		{method: post, pattern: "hooks/notificationsquery", scope: orgOnly, right: ManageHooks, serve: s.serveNotificationsQuery},
		{method: post, pattern: "hooks/testnotifications", scope: orgOnly, right: ManageHooks, costs: true, serve: s.serveTestNotification},
	}
	for i := range routes {
		if routes[i].pattern != "" {
			routes[i].segments = strings.Split(routes[i].pattern, "/")
		}
	}
	return routes
}

// locate takes the path apart and finds route and project.
func (s *Server) locate(c *call) (route, error) {
	lost := &noControllerError{c.r.URL.Path}
	segs := strings.Split(strings.Trim(c.r.URL.EscapedPath(), "/"), "/")
	for i, seg := range segs {
		plain, err := url.PathUnescape(seg)
		if err != nil {
			return route{}, lost
		}
		segs[i] = plain
	}
	if !strings.EqualFold(segs[0], s.opts.Organization) {
		return route{}, lost
	}
	apis := 1
	for apis < len(segs) && !strings.EqualFold(segs[apis], "_apis") {
		apis++
	}
	if apis > 3 || apis == len(segs) {
		return route{}, lost
	}
	for _, r := range s.routes {
		if r.method != c.r.Method || (r.scope == orgOnly) && apis > 1 || (r.scope == projectOnly) && apis == 1 {
			continue
		}
		args, found := r.match(segs[apis+1:])
		if !found {
			continue
		}
		c.args = args
		if apis > 1 {
			s.mu.RLock()
			c.project = s.findProject(segs[1])
			s.mu.RUnlock()
			if c.project == nil {
				return route{}, errNoProject(segs[1])
			}
		}
		return r, nil
	}
	return route{}, lost
}

func (r route) match(segs []string) ([]string, bool) {
	if len(segs) != len(r.segments) {
		return nil, false
	}
	var args []string
	for i, want := range r.segments {
		have := segs[i]
		switch want {
		case "{}":
			if strings.HasPrefix(have, "$") || have == "" {
				return nil, false
			}
			args = append(args, have)
		case "{n}":
			if n, err := strconv.ParseInt(have, 10, 32); err != nil || n < 1 {
				return nil, false
			}
			args = append(args, have)
		case "${}":
			name, found := strings.CutPrefix(have, "$")
			if !found || name == "" {
				return nil, false
			}
			args = append(args, name)
		default:
			if !strings.EqualFold(have, want) {
				return nil, false
			}
		}
	}
	return args, true
}

// number gives a {n} placeholder.
func (c *call) number(i int) int {
	n, err := strconv.Atoi(c.args[i])
	if err != nil {
		return 0
	}
	return n
}

var versionForm = regexp.MustCompile(`(?i)^(\d+(?:\.\d+)?)(-preview(?:\.\d+)?)?$`)

// checkVersion applies the service's rules about api-version, which may come as a query parameter or in Accept.
func (c *call) checkVersion(r route) error {
	v := c.query("api-version")
	if v == "" {
		if _, after, found := strings.Cut(strings.ToLower(c.r.Header.Get("Accept")), "api-version="); found {
			v, _, _ = strings.Cut(after, ";")
			v = strings.Trim(strings.TrimSpace(v), `"`)
		}
	}
	if v == "" {
		if r.method == http.MethodGet || r.method == http.MethodOptions {
			return nil
		}
		return badRequest("VssVersionNotSpecifiedException", `No api-version was supplied for the "`+r.method+`" request. The version must be supplied either as part of the Accept header (e.g. "application/json; api-version=1.0") or as a query parameter (e.g. "?api-version=1.0").`)
	}
	m := versionForm.FindStringSubmatch(v)
	if m == nil {
		return badRequest("VssInvalidApiResourceVersionException", "The api-version "+v+" is not in a valid format.")
	}
	if n, err := strconv.ParseFloat(m[1], 64); err != nil || n > 7.2 {
		return badRequest("VssVersionOutOfRangeException", "The requested REST API version of "+m[1]+" is out of range for this server. The latest REST API version this server supports is 7.2.")
	}
	if r.preview && m[2] == "" {
		return badRequest("VssInvalidPreviewVersionException", `The requested version "`+v+`" of the resource is under preview. The -preview flag must be supplied in the api-version for such requests. For example: "`+v+`-preview"`)
	}
	c.version = v
	return nil
}
