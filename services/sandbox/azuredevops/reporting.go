package azuredevops

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// reportFilter is what the reporting calls can narrow down.
type reportFilter struct {
	Fields             []string `json:"fields"`
	Types              []string `json:"types"`
	IncludeDeleted     bool     `json:"includeDeleted"`
	IncludeLatestOnly  bool     `json:"includeLatestOnly"`
	IncludeIdentityRef bool     `json:"includeIdentityRef"`

	discussions bool
}

// serveReporting streams revisions in the order they were made: the way to poll for changes.
func (s *Server) serveReporting(c *call) (answer, error) {
	f := reportFilter{
		Fields: splitList(c.query("fields")), Types: splitList(c.query("types")), IncludeDeleted: c.flag("includeDeleted"),
		IncludeLatestOnly: c.flag("includeLatestOnly"), IncludeIdentityRef: c.flag("includeIdentityRef"), discussions: c.flag("includeDiscussionChangesOnly"),
	}
	if c.r.Method == http.MethodPost {
		if err := c.decode(&f); err != nil {
			return answer{}, err
		}
	}
	return s.report(c, f)
}

// serveDiscussions streams only the revisions that hold comments.
func (s *Server) serveDiscussions(c *call) (answer, error) {
	return s.report(c, reportFilter{discussions: true})
}

// revisionRow is one revision of a report.
type revisionRow struct {
	ID     int        `json:"id"`
	Rev    int        `json:"rev"`
	Fields fieldsJSON `json:"fields"`
}

func (s *Server) report(c *call, f reportFilter) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	start, err := s.reportStart(c)
	if err != nil {
		return answer{}, err
	}
	v := view{wide: true, strings: !f.IncludeIdentityRef}
	if len(f.Fields) > 0 {
		if v, err = s.viewOf(f.Fields, "", false); err != nil {
			return answer{}, err
		}
		v.strings = !f.IncludeIdentityRef
	}
	size := 1000
	if n, err := strconv.Atoi(c.query("$maxPageSize")); err == nil && n > 0 {
		size = min(n, size)
	}
	rows := []revisionRow{}
	i := start
	for ; i < len(s.journal) && len(rows) < size; i++ {
		e := s.journal[i]
		if !s.reported(c, f, e) {
			continue
		}
		if snap, found := e.it.as(e.upd.rev); found {
			rows = append(rows, revisionRow{e.it.id, e.upd.rev, s.renderFields(s.here().at(e.it.project), snap, v)})
		}
	}
	last := "0;0;0"
	if i > 0 {
		e := s.journal[i-1]
		last = fmt.Sprintf("%d;%d;%d", e.upd.watermark, e.it.id, e.upd.rev)
	}
	at := s.here()
	if c.project != nil {
		at = at.at(c.project)
	}
	path := "/_apis/wit/reporting/workItemRevisions"
	if f.discussions && c.r.URL.Query().Get("includeDiscussionChangesOnly") == "" {
		path += "/discussions"
	}
	next := c.r.URL.Query()
	next.Del("startDateTime")
	next.Set("continuationToken", last)
	return ok(struct {
		Values       []revisionRow `json:"values"`
		NextLink     string        `json:"nextLink"`
		Continuation string        `json:"continuationToken"`
		IsLastBatch  bool          `json:"isLastBatch"`
	}{rows, at.scope + path + "?" + next.Encode(), last, i == len(s.journal)})
}

// reportStart finds where in the journal a report begins.
func (s *Server) reportStart(c *call) (int, error) {
	if token := c.query("continuationToken"); token != "" {
		if plain, err := url.QueryUnescape(token); err == nil {
			token = plain
		}
		first, _, _ := strings.Cut(token, ";")
		mark, err := strconv.Atoi(first)
		if err != nil {
			return 0, badRequest("ArgumentException", "The continuation token is not valid.")
		}
		return sort.Search(len(s.journal), func(i int) bool { return s.journal[i].upd.watermark > mark }), nil
	}
	if since := c.query("startDateTime"); since != "" {
		at, valid := parseTime(since)
		if !valid {
			return 0, &malformed{"The value '" + since + "' is not valid for startDateTime."}
		}
		for i, e := range s.journal {
			if !e.upd.at.Before(at) {
				return i, nil
			}
		}
		return len(s.journal), nil
	}
	return 0, nil
}

func (s *Server) reported(c *call, f reportFilter, e journalEntry) bool {
	switch {
	case s.items[e.it.id] != e.it, c.project != nil && e.it.project != c.project:
		return false
	case e.it.removed != nil && !f.IncludeDeleted:
		return false
	case f.IncludeLatestOnly && e.upd.rev != e.it.rev:
		return false
	case f.discussions && e.upd.comment == nil:
		return false
	}
	return len(f.Types) == 0 || slices.ContainsFunc(f.Types, func(t string) bool { return strings.EqualFold(strings.TrimSpace(t), e.it.kind.Name) })
}
