package azuredevops

import (
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// comment is one comment of an item with all its versions, the last of which is what it is now.
type comment struct {
	id       int
	versions []*commentVersion
}

type commentVersion struct {
	of      *comment
	number  int
	text    string
	format  string // "html" or "markdown"
	by      any
	at      time.Time
	deleted bool
}

func (c *comment) now() *commentVersion   { return c.versions[len(c.versions)-1] }
func (c *comment) first() *commentVersion { return c.versions[0] }

func (it *item) commentCount() int {
	n := 0
	for _, c := range it.comments {
		if !c.now().deleted {
			n++
		}
	}
	return n
}

// commentJSON is a comment, with the keys of the schema.
type commentJSON struct {
	Mentions   *[]string `json:"mentions,omitempty"`
	WorkItemID int       `json:"workItemId,omitempty"`
	ID         int       `json:"id,omitempty"`
	CommentID  int       `json:"commentId,omitempty"` // instead of id, as a quirk
	Version    int       `json:"version"`
	Text       string    `json:"text"`
	CreatedBy  any       `json:"createdBy"`
	Created    string    `json:"createdDate"`
	ModifiedBy any       `json:"modifiedBy"`
	Modified   string    `json:"modifiedDate"`
	IsDeleted  bool      `json:"isDeleted,omitempty"`
	Format     string    `json:"format,omitempty"`
	Rendered   string    `json:"renderedText,omitempty"`
	URL        string    `json:"url"`
}

func (s *Server) commentJSON(it *item, v *commentVersion, rendered bool) commentJSON {
	at := s.here().at(it.project)
	first := v.of.first()
	none := []string{}
	out := commentJSON{
		Mentions: &none, WorkItemID: it.id, ID: v.of.id, Version: v.number, Text: v.text,
		CreatedBy: at.person(first.by), Created: stamp(first.at), ModifiedBy: at.person(v.by), Modified: stamp(v.at),
		IsDeleted: v.deleted, Format: v.format, URL: at.itemURL(it.id) + "/comments/" + strconv.Itoa(v.of.id),
	}
	if rendered {
		out.Rendered = v.text
		if v.format == "markdown" {
			out.Rendered = "<p>" + html.EscapeString(v.text) + "</p>\n"
		}
	}
	if s.opts.Quirks.CommentIDAsCommentID {
		out.CommentID, out.ID = out.ID, 0
	}
	return out
}

func wantsRendered(c *call) bool {
	e := strings.ToLower(c.query("$expand"))
	if bits, err := strconv.Atoi(e); err == nil { // 8 is renderedText, 16 renderedTextOnly, -17 all
		return bits&(8|16) != 0
	}
	return e == "all" || strings.HasPrefix(e, "renderedtext")
}

// commentIn finds the comment a path names.
func (s *Server) commentIn(c *call) (*item, *comment, error) {
	it, err := s.findIn(c, c.number(0))
	if err != nil {
		return nil, nil, err
	}
	for _, cm := range it.comments {
		if cm.id == c.number(1) {
			return it, cm, nil
		}
	}
	return nil, nil, errNoComment(it.id, c.number(1))
}

func errNoComment(item, id int) *Error {
	return &Error{Status: http.StatusNotFound, TypeKey: "CommentNotFoundException", Message: fmt.Sprintf("Comment %d of work item %d does not exist.", id, item)}
}

// serveComments lists the comments of an item, newest first unless told otherwise.
func (s *Server) serveComments(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, err := s.findIn(c, c.number(0))
	if err != nil {
		return answer{}, err
	}
	var all []*comment
	ids := splitList(c.query("ids"))
	for _, cm := range it.comments {
		if (!cm.now().deleted || c.flag("includeDeleted")) && (ids == nil || slices.Contains(ids, strconv.Itoa(cm.id))) {
			all = append(all, cm)
		}
	}
	if !strings.EqualFold(enum(c.query("order"), "", "asc", "desc"), "asc") {
		slices.Reverse(all)
	}
	total := len(all)
	if token := c.query("continuationToken"); token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		last, numErr := strconv.Atoi(string(raw))
		i := slices.IndexFunc(all, func(cm *comment) bool { return cm.id == last })
		if err != nil || numErr != nil || i < 0 {
			return answer{}, badRequest("ArgumentException", "The continuation token is not valid.")
		}
		all = all[i+1:]
	}
	top, _ := c.window(maxBatch)
	more := len(all) > top
	all = all[:min(top, len(all))]
	body := struct {
		TotalCount   int           `json:"totalCount"`
		Count        int           `json:"count"`
		Comments     []commentJSON `json:"comments"`
		NextPage     string        `json:"nextPage,omitempty"`
		Continuation string        `json:"continuationToken,omitempty"`
	}{TotalCount: total, Count: len(all), Comments: []commentJSON{}}
	for _, cm := range all {
		body.Comments = append(body.Comments, s.commentJSON(it, cm.now(), wantsRendered(c)))
	}
	if more && len(all) > 0 {
		body.Continuation = base64.RawURLEncoding.EncodeToString([]byte(strconv.Itoa(all[len(all)-1].id)))
		next := c.r.URL.Query()
		next.Set("continuationToken", body.Continuation)
		body.NextPage = s.here().at(it.project).itemURL(it.id) + "/comments?" + next.Encode()
	}
	return ok(body)
}

func (s *Server) serveComment(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, cm, err := s.commentIn(c)
	if err != nil {
		return answer{}, err
	}
	if cm.now().deleted && !c.flag("includeDeleted") {
		return answer{}, errNoComment(it.id, cm.id)
	}
	return ok(s.commentJSON(it, cm.now(), wantsRendered(c)))
}

// readNote reads text and format of a comment. Without a format it is HTML.
func (s *Server) readNote(c *call, format string) (note, error) {
	var body struct {
		Text *string `json:"text"`
	}
	if err := c.decode(&body); err != nil {
		return note{}, err
	}
	if body.Text == nil {
		return note{}, badRequest("ArgumentNullException", "Value cannot be null.\r\nParameter name: text")
	}
	switch f := strings.ToLower(c.query("format")); f {
	case "":
	case "html", "1":
		format = "html"
	case "markdown", "0":
		format = "markdown"
	default:
		return note{}, &malformed{"The value '" + f + "' is not valid for format."}
	}
	if s.opts.Flavor == OnPremises {
		format = "html"
	}
	return note{text: *body.Text, format: format}, s.checkNote(*body.Text)
}

// checkNote refuses texts that are empty or too long.
func (s *Server) checkNote(text string) error {
	if strings.TrimSpace(text) == "" {
		return badRequest("ArgumentException", "The text of a comment must not be empty.\r\nParameter name: text")
	}
	if len([]rune(text)) > s.opts.Limits.TextLength {
		return badRequest("CommentUpdateException", fmt.Sprintf("The comment is longer than %d characters.", s.opts.Limits.TextLength))
	}
	return nil
}

func (s *Server) serveAddComment(c *call) (answer, error) {
	n, err := s.readNote(c, "html")
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	it, err := s.findIn(c, c.number(0))
	if err != nil {
		return answer{}, err
	}
	it, err = s.apply(edit{by: c.user, rest: true, note: &n}, it, it.project, it.kind)
	if err != nil {
		return answer{}, err
	}
	return ok(s.commentJSON(it, it.last().comment, false))
}

func (s *Server) serveEditComment(c *call) (answer, error) {
	s.mu.RLock()
	_, cm, err := s.commentIn(c)
	format := "html"
	if err == nil {
		format = cm.now().format
	}
	s.mu.RUnlock()
	if err != nil {
		return answer{}, err
	}
	n, err := s.readNote(c, format)
	if err != nil {
		return answer{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	it, cm, err := s.commentIn(c)
	if err != nil {
		return answer{}, err
	}
	if err := s.reviseComment(it, cm, n, c.user, true); err != nil {
		return answer{}, err
	}
	return ok(s.commentJSON(it, cm.now(), false))
}

func (s *Server) serveDeleteComment(c *call) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	it, cm, err := s.commentIn(c)
	if err != nil {
		return answer{}, err
	}
	if err := s.reviseComment(it, cm, note{text: cm.now().text, format: cm.now().format, deleted: true}, c.user, true); err != nil {
		return answer{}, err
	}
	return ok(s.commentJSON(it, cm.now(), false))
}

// reviseComment gives a comment a new version. Whether the service makes a new revision of the item for it is not
// documented; here it does, and raises workitem.updated. Call it with mu held.
func (s *Server) reviseComment(it *item, cm *comment, n note, by *User, rest bool) error {
	if cm.now().deleted {
		return errNoComment(it.id, cm.id)
	}
	n.of = cm
	_, err := s.apply(edit{by: by, rest: rest, note: &n}, it, it.project, it.kind)
	return err
}

func (s *Server) serveCommentVersions(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, cm, err := s.commentIn(c)
	if err != nil {
		return answer{}, err
	}
	out := []commentJSON{}
	for _, v := range slices.Backward(cm.versions) {
		out = append(out, s.versionJSON(it, v))
	}
	return list(out)
}

func (s *Server) versionJSON(it *item, v *commentVersion) commentJSON {
	out := s.commentJSON(it, v, false)
	out.WorkItemID, out.Format, out.Mentions = 0, "", nil
	out.URL += "/versions/" + strconv.Itoa(v.number)
	return out
}

func (s *Server) serveCommentVersion(c *call) (answer, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	it, cm, err := s.commentIn(c)
	if err != nil {
		return answer{}, err
	}
	if n := c.number(2); n <= len(cm.versions) {
		return ok(s.versionJSON(it, cm.versions[n-1]))
	}
	return answer{}, &Error{Status: http.StatusNotFound, TypeKey: "CommentVersionNotFoundException", Message: fmt.Sprintf("Comment %d has no version %d.", cm.id, c.number(2))}
}
