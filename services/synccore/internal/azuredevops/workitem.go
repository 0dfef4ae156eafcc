package azuredevops

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
)

// batchSize is how many items one batch read may name; more is VS403474.
const batchSize = 200

// Reference names that Tandem reads.
const (
	fieldProject      = "System.TeamProject"
	fieldType         = "System.WorkItemType"
	fieldState        = "System.State"
	fieldTitle        = "System.Title"
	fieldTags         = "System.Tags"
	fieldChangedBy    = "System.ChangedBy"
	fieldChangedDate  = "System.ChangedDate"
	fieldCommentCount = "System.CommentCount"
	fieldCreatedBy    = "System.CreatedBy"
	fieldAssignedTo   = "System.AssignedTo"
	fieldStateChanged = "Microsoft.VSTS.Common.StateChangeDate"

	relHyperlink = "Hyperlink"
)

// wireItem is a work item, of whatever API version and completeness.
type wireItem struct {
	ID        lenient.Int                `json:"id"`
	Rev       lenient.Int                `json:"rev"`
	Fields    lenient.Map                `json:"fields"`
	Relations lenient.List[wireRelation] `json:"relations"`
}

type wireRelation struct {
	Rel lenient.Text `json:"rel"`
	URL lenient.Text `json:"url"`
	// Attributes hold what else is told of the target.
	Attributes lenient.Map `json:"attributes"`
}

// wireIdentity is a person, who comes as an object or as "Name <unique name>"
// (azure-devops.md §1.3).
type wireIdentity struct {
	ID          lenient.Text `json:"id"`
	DisplayName lenient.Text `json:"displayName"`
	UniqueName  lenient.Text `json:"uniqueName"`
}

// UnmarshalJSON implements json.Unmarshaler.
func (p *wireIdentity) UnmarshalJSON(data []byte) error {
	type object wireIdentity
	var o object
	if json.Unmarshal(data, &o) == nil {
		*p = wireIdentity(o)
		return nil
	}
	var text lenient.Text
	_ = text.UnmarshalJSON(data)
	name, unique, both := strings.Cut(strings.TrimSuffix(string(text), ">"), "<")
	*p = wireIdentity{DisplayName: lenient.Text(strings.TrimSpace(name))}
	if both {
		p.UniqueName = lenient.Text(strings.TrimSpace(unique))
	}
	return nil
}

// WorkItem reads one work item with its relations. One that lies in the recycle bin
// comes back with Deleted set; one that the token's account can't see is NotFound,
// and nobody can tell whether it exists (azure-devops.md §2.10).
func (c *Client) WorkItem(ctx context.Context, id int64) (item.WorkItem, error) {
	if id <= 0 {
		return item.WorkItem{}, fault.New(fault.Invalid, "A work item's number must be positive, not %d.", id)
	}
	var w wireItem
	q := call{
		method: http.MethodGet, path: workItemPath(id), query: "$expand=relations",
		subject: workItemName(id), deed: "read",
	}
	_, err := c.do(ctx, q, &w)
	if fault.Is(err, fault.NotFound) {
		return c.deleted(ctx, id, err)
	}
	if err != nil {
		return item.WorkItem{}, err
	}
	found, err := c.workItem(w, q)
	if err != nil {
		return item.WorkItem{}, err
	}
	err = c.place(ctx, &found)
	return found, err
}

// deleted looks for an item in the recycle bin; missing is the error that made us look.
func (c *Client) deleted(ctx context.Context, id int64, missing error) (item.WorkItem, error) {
	var bin struct {
		ID       lenient.Int  `json:"id"`
		Project  lenient.Text `json:"project"`
		Type     lenient.Text `json:"type"`
		Resource wireItem     `json:"resource"`
	}
	_, err := c.do(ctx, call{
		method: http.MethodGet, path: c.inProject("/wit/recyclebin/" + strconv.FormatInt(id, 10)),
		subject: workItemName(id), deed: "find in the recycle bin",
	}, &bin)
	switch {
	case err == nil:
	case passes(err):
		return item.WorkItem{}, err
	default:
		// Whoever may not look into the bin learns no more than before.
		return item.WorkItem{}, missing
	}
	w := c.plain(bin.Resource)
	w.ID, w.Deleted = id, true
	w.URL = c.webURL(w.Project, id)
	return w, nil
}

// passes tells whether err is of a kind that heals by itself.
func passes(err error) bool {
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Throttled, fault.BadToken, fault.Internal:
		return true
	default:
		return false
	}
}

// WorkItems reads many work items in batches of 200, fields only: Hyperlinks and
// Attachments are empty. Items that don't exist, are deleted or can't be seen are left out, so ask
// WorkItem about each one that is missing. The order is the server's.
func (c *Client) WorkItems(ctx context.Context, ids []int64) ([]item.WorkItem, error) {
	return c.batch(ctx, ids, map[string]any{"fields": []string{
		"System.Id", "System.Rev", fieldProject, fieldType, fieldState, fieldTitle,
		fieldTags, fieldChangedBy, fieldChangedDate, fieldStateChanged, fieldCommentCount,
	}})
}

// batch reads ids with what is wanted of them: fields, or $expand (never both).
func (c *Client) batch(ctx context.Context, ids []int64, want map[string]any) ([]item.WorkItem, error) {
	found := make([]item.WorkItem, 0, len(ids))
	for part := range slices.Chunk(ids, batchSize) {
		body := map[string]any{"ids": part, "errorPolicy": "omit"}
		maps.Copy(body, want)
		var answer struct {
			// An omitted item is null.
			Value lenient.List[wireItem] `json:"value"`
		}
		q := call{
			method: http.MethodPost, path: "/_apis/wit/workitemsbatch", body: body, reads: true,
			subject: strconv.Itoa(len(part)) + " work items", deed: "read",
		}
		if _, err := c.do(ctx, q, &answer); err != nil {
			return nil, err
		}
		for _, w := range answer.Value {
			if w.ID > 0 {
				found = append(found, c.plain(w))
			}
		}
	}
	for i := range found {
		if err := c.place(ctx, &found[i]); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// workItem turns a wire item into the shared one, or says that it is none.
func (c *Client) workItem(w wireItem, q call) (item.WorkItem, error) {
	if w.ID <= 0 || w.Rev <= 0 {
		return item.WorkItem{}, fault.New(fault.Unavailable, "%s", c.words().OutOfReach(q.told(), "sent an answer that is no work item"))
	}
	return c.plain(w), nil
}

func (c *Client) plain(w wireItem) item.WorkItem {
	var changedBy wireIdentity
	if raw, ok := w.Fields[fieldChangedBy]; ok {
		_ = changedBy.UnmarshalJSON(raw)
	}
	changed := w.Fields.Text(fieldStateChanged)
	if changed == "" {
		changed = w.Fields.Text(fieldChangedDate)
	}
	out := item.WorkItem{
		ID:           int64(w.ID),
		Rev:          int64(w.Rev),
		Project:      w.Fields.Text(fieldProject),
		Type:         w.Fields.Text(fieldType),
		State:        w.Fields.Text(fieldState),
		Title:        w.Fields.Text(fieldTitle),
		Tags:         splitTags(w.Fields.Text(fieldTags)),
		Changed:      lenient.Time(w.Fields.Text(fieldChangedDate), nil),
		StateChanged: lenient.Time(changed, nil),
		ChangedBy:    string(changedBy.ID),
		CommentCount: -1,
	}
	if _, told := w.Fields[fieldCommentCount]; told {
		out.CommentCount = w.Fields.Int(fieldCommentCount)
	}
	out.URL = c.webURL(out.Project, out.ID)
	for _, r := range w.Relations {
		if r.Rel == relHyperlink && r.URL != "" {
			out.Hyperlinks = append(out.Hyperlinks, string(r.URL))
		}
		if file, ours := c.attachment(r); r.Rel == relAttachment && ours {
			out.Attachments = append(out.Attachments, file)
		}
	}
	return out
}

func workItemPath(id int64) string {
	return "/_apis/wit/workitems/" + strconv.FormatInt(id, 10)
}

// splitTags takes apart what System.Tags holds: tags between semicolons.
func splitTags(text string) []string {
	var tags []string
	for tag := range strings.SplitSeq(text, ";") {
		if tag = strings.TrimSpace(tag); tag != "" {
			tags = append(tags, tag)
		}
	}
	return tags
}

// withTag adds a tag to what System.Tags holds; text that has it is left as it is.
func withTag(text, tag string) string {
	tags := splitTags(text)
	if hasTag(tags, tag) {
		return strings.Join(tags, "; ")
	}
	return strings.Join(append(tags, tag), "; ")
}

// hasTag compares without regard to case, as Azure DevOps does.
func hasTag(tags []string, tag string) bool {
	return slices.ContainsFunc(tags, func(t string) bool { return strings.EqualFold(t, tag) })
}
