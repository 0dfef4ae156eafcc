package azuredevops

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
)

// commentsPage is how many comments one call asks for; a comment carries whole texts.
const commentsPage = 100

// wireComment is a comment. Its number is named id by the schema and commentId by
// Microsoft's examples (azure-devops.md §2.7).
type wireComment struct {
	ID           lenient.Int  `json:"id"`
	CommentID    lenient.Int  `json:"commentId"`
	Version      lenient.Int  `json:"version"`
	Text         lenient.Text `json:"text"`
	Format       lenient.Text `json:"format"`
	CreatedBy    wireIdentity `json:"createdBy"`
	CreatedDate  lenient.Text `json:"createdDate"`
	ModifiedDate lenient.Text `json:"modifiedDate"`
	IsDeleted    lenient.Bool `json:"isDeleted"`
}

type wireComments struct {
	Comments          lenient.List[wireComment] `json:"comments"`
	ContinuationToken lenient.Text              `json:"continuationToken"`
	NextPage          lenient.Text              `json:"nextPage"`
}

// next is the token of the next page; empty: there is none.
func (w wireComments) next() string {
	if w.ContinuationToken != "" || w.NextPage == "" {
		return string(w.ContinuationToken)
	}
	// The page's address is not called: it may lead anywhere.
	u, err := url.Parse(string(w.NextPage))
	if err != nil {
		return ""
	}
	return u.Query().Get("continuationToken")
}

func (w wireComment) comment() item.Comment {
	out := item.Comment{
		ID: int64(w.ID), Version: int64(w.Version), Text: string(w.Text), Format: item.HTML,
		Author: string(w.CreatedBy.DisplayName), AuthorID: string(w.CreatedBy.ID),
		Created: lenient.Time(string(w.CreatedDate), nil), Modified: lenient.Time(string(w.ModifiedDate), nil),
		Deleted: bool(w.IsDeleted),
	}
	if out.ID <= 0 {
		out.ID = int64(w.CommentID)
	}
	// Newer versions of the API may tell the format as a number, 0 being Markdown.
	if f := fold(string(w.Format)); f == string(item.Markdown) || f == "0" {
		out.Format = item.Markdown
	}
	return out
}

// Comments reads all comments of a work item, deleted ones too, oldest first. project
// is the one in which the item is now; empty: the client's.
func (c *Client) Comments(ctx context.Context, project string, workItem int64) ([]item.Comment, error) {
	q := c.commentCall(http.MethodGet, project, workItem, "")
	q.subject, q.deed = "the comments of "+workItemName(workItem), "read"
	// An absurdly long list ends the walk too: comments are among a work item's
	// 10,000 revisions.
	var out []item.Comment
	seen := map[int64]bool{}
	asked := map[string]bool{}
	for token := ""; !asked[token]; {
		asked[token] = true
		q.query = "$top=" + strconv.Itoa(commentsPage) + "&includeDeleted=true&order=asc"
		if token != "" {
			q.query += "&continuationToken=" + url.QueryEscape(token)
		}
		var page wireComments
		if _, err := c.do(ctx, q, &page); err != nil {
			return nil, err
		}
		for _, w := range page.Comments {
			if one := w.comment(); one.ID > 0 && !seen[one.ID] {
				seen[one.ID] = true
				if isGUID(one.AuthorID) && one.Author != "" {
					c.people.Put(personKey(one.AuthorID), &item.Identity{ID: one.AuthorID, DisplayName: one.Author})
				}
				out = append(out, one)
			}
		}
		if token = page.next(); token == "" {
			break
		}
	}
	return out, nil
}

// AddComment writes a comment. It is sent once: where the reply is lost, the fault is
// Unavailable and the caller looks for its mark among the Comments before it writes
// again. Markdown where SupportsMarkdown is false is Invalid, since the text would be
// shown raw.
func (c *Client) AddComment(ctx context.Context, project string, workItem int64, text string, format item.TextFormat) (item.Comment, error) {
	q := c.commentCall(http.MethodPost, project, workItem, "")
	q.subject, q.deed = "a comment on "+workItemName(workItem), "add"
	return c.writeComment(ctx, q, text, format)
}

// EditComment replaces the text of a comment; doing it twice makes no difference but
// one more version. A deleted comment is NotFound.
func (c *Client) EditComment(ctx context.Context, project string, workItem, comment int64, text string, format item.TextFormat) (item.Comment, error) {
	number := strconv.FormatInt(comment, 10)
	q := c.commentCall(http.MethodPatch, project, workItem, "/"+number)
	q.subject, q.deed = "comment "+number+" of "+workItemName(workItem), "change"
	return c.writeComment(ctx, q, text, format)
}

func (c *Client) writeComment(ctx context.Context, q call, text string, format item.TextFormat) (item.Comment, error) {
	if strings.TrimSpace(text) == "" {
		return item.Comment{}, fault.New(fault.Invalid, "Azure DevOps takes no empty comments, so Tandem does not %s %s.", q.deed, q.subject)
	}
	if format == item.Markdown && !c.SupportsMarkdown() {
		// A server behind an address of its own may still be Azure DevOps Services.
		if _, err := c.Identity(ctx); err != nil {
			return item.Comment{}, err
		}
		if !c.SupportsMarkdown() {
			return item.Comment{}, fault.New(fault.Invalid,
				"This Azure DevOps Server takes comments in HTML only, so Tandem does not %s %s in Markdown; set the connector's format to HTML.", q.deed, q.subject)
		}
	}
	if c.SupportsMarkdown() {
		// Left out it means HTML at first, but the present format at an edit.
		q.query = "format=" + string(item.HTML)
		if format == item.Markdown {
			q.query = "format=" + string(item.Markdown)
		}
	}
	q.body = map[string]string{"text": text}
	var w wireComment
	if _, err := c.do(ctx, q, &w); err != nil {
		return item.Comment{}, err
	}
	out := w.comment()
	if out.ID <= 0 {
		return item.Comment{}, fault.New(fault.Unavailable, "%s", c.words().OutOfReach(q.told(), "sent an answer that is no comment"))
	}
	return out, nil
}

// commentCall is a call to the comments of an item, which exist only in preview.
func (c *Client) commentCall(method, project string, workItem int64, rest string) call {
	preview := "-preview"
	if c.version == "7.1" {
		preview = "-preview.4"
	}
	return call{
		method: method, preview: preview,
		path: c.below(project, "/wit/workItems/"+strconv.FormatInt(workItem, 10)+"/comments"+rest),
	}
}

// SupportsMarkdown tells whether comments can be Markdown: on Azure DevOps Services,
// not on a Server (azure-devops.md §2.7). For an address that does not tell which it
// is, it is false until Identity or Check has asked.
func (c *Client) SupportsMarkdown() bool { return c.hosted.Load() }
