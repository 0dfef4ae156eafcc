package azuredevops

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
)

const fieldIsDeleted = "System.IsDeleted"

// changesSize is how many items one batch of changes holds at most, as the server itself has it.
const changesSize = "1000"

// Changes reads a batch of the project's work items that changed after position, each at its newest revision and with
// its type and state alone, deleted ones among them. An empty position starts at since. What a batch returns as Next
// is the position of the next one; a position that the server does not know is an Invalid fault.
//
// Links between work items and edited comments don't make a revision, so they are no changes here
// (azure-devops.md §2.3, §2.9).
func (c *Client) Changes(ctx context.Context, position string, since time.Time) (item.Changes, error) {
	return c.changes(ctx, position, since)
}

// AllTags reads a batch of all the project's work items, each at its newest revision and with its type, state and tags
// alone, deleted ones among them. Position is that of Changes; empty: the first batch.
func (c *Client) AllTags(ctx context.Context, position string) (item.Changes, error) {
	return c.changes(ctx, position, time.Time{}, fieldTags)
}

func (c *Client) changes(ctx context.Context, position string, since time.Time, more ...string) (item.Changes, error) {
	fields := append([]string{"System.Id", "System.Rev", fieldProject, fieldType, fieldState, fieldChangedDate, fieldIsDeleted}, more...)
	query := url.Values{
		"fields":            {strings.Join(fields, ",")},
		"includeDeleted":    {"true"},
		"includeLatestOnly": {"true"},
		"$maxPageSize":      {changesSize},
	}
	switch {
	case position != "":
		query.Set("continuationToken", position)
	case !since.IsZero():
		query.Set("startDateTime", since.UTC().Format(time.RFC3339))
	}
	var answer struct {
		Values lenient.List[wireItem] `json:"values"`
		Next   lenient.Text           `json:"nextLink"`
		Token  lenient.Text           `json:"continuationToken"`
		Last   lenient.Bool           `json:"isLastBatch"`
	}
	_, err := c.do(ctx, call{
		method: http.MethodGet, path: c.inProject("/wit/reporting/workitemrevisions"), query: query.Encode(),
		subject: "the latest changes of " + c.at.project, deed: "list",
	}, &answer)
	if err != nil {
		return item.Changes{}, err
	}
	out := item.Changes{Next: string(answer.Token), Last: bool(answer.Last), WorkItems: make([]item.WorkItem, 0, len(answer.Values))}
	if out.Next == "" {
		// The link alone tells it where the server is older, or writes it so.
		out.Next = positionOf(string(answer.Next))
	}
	for _, w := range answer.Values {
		if w.ID <= 0 {
			continue
		}
		one := c.plain(w)
		one.Deleted = strings.EqualFold(w.Fields.Text(fieldIsDeleted), "true")
		out.WorkItems = append(out.WorkItems, one)
	}
	return out, nil
}

// positionOf finds the position in the link to the next batch. It may hold plain semicolons, of which net/url makes
// nothing.
func positionOf(link string) string {
	_, query, _ := strings.Cut(link, "?")
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if position, err := url.QueryUnescape(value); err == nil && strings.EqualFold(name, "continuationToken") {
			return position
		}
	}
	return ""
}
