package azuredevops

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
	"github.com/tandem-sync/tandem/services/synccore/internal/weburl"
)

// FindByMark looks for the work items of the project that carry the tag mark and a
// hyperlink to ticketURL, the lowest number first. The tag finds, the hyperlink
// proves: people copy tags. How soon a new item is found is not documented
// (azure-devops.md §9), so nothing found is proof only after a while.
func (c *Client) FindByMark(ctx context.Context, mark, ticketURL string) ([]item.WorkItem, error) {
	ids, err := c.query(ctx, "SELECT [System.Id] FROM WorkItems WHERE [System.TeamProject] = @project"+
		" AND [System.Tags] CONTAINS "+literal(mark)+" ORDER BY [System.Id]", mark)
	if err != nil || len(ids) == 0 {
		return nil, err
	}
	if len(ids) > batchSize {
		// CONTAINS may also find marks that begin alike; only the tags are read of many.
		if ids, err = c.tagged(ctx, ids, mark); err != nil {
			return nil, err
		}
	}
	items, err := c.batch(ctx, ids, map[string]any{"$expand": "relations"})
	if err != nil {
		return nil, err
	}
	items = slices.DeleteFunc(items, func(w item.WorkItem) bool {
		return !hasTag(w.Tags, mark) || !hasLink(w.Hyperlinks, ticketURL)
	})
	slices.SortFunc(items, func(a, b item.WorkItem) int { return int(a.ID - b.ID) })
	return items, nil
}

func (c *Client) tagged(ctx context.Context, ids []int64, mark string) ([]int64, error) {
	items, err := c.batch(ctx, ids, map[string]any{"fields": []string{"System.Id", fieldTags}})
	if err != nil {
		return nil, err
	}
	var kept []int64
	for _, w := range items {
		if hasTag(w.Tags, mark) {
			kept = append(kept, w.ID)
		}
	}
	return kept, nil
}

// query runs a WIQL query and gives the numbers it finds.
func (c *Client) query(ctx context.Context, wiql, subject string) ([]int64, error) {
	var answer struct {
		WorkItems lenient.List[struct {
			ID lenient.Int `json:"id"`
		}] `json:"workItems"`
	}
	_, err := c.do(ctx, call{
		method: http.MethodPost, path: c.inProject("/wit/wiql"), query: "timePrecision=true",
		body: map[string]string{"query": wiql}, reads: true, subject: "the work item of " + subject, deed: "look for",
	}, &answer)
	if err != nil {
		return nil, err
	}
	ids := make([]int64, 0, len(answer.WorkItems))
	for _, w := range answer.WorkItems {
		if w.ID > 0 {
			ids = append(ids, int64(w.ID))
		}
	}
	return ids, nil
}

// literal is a WIQL string; an apostrophe is doubled (WIQL syntax reference).
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// hasLink compares addresses the way a server may have rewritten them.
func hasLink(links []string, target string) bool {
	want := weburl.Page(target)
	return slices.ContainsFunc(links, func(link string) bool { return weburl.Page(link) == want })
}

func relationExists(err error) bool {
	var told *Error
	return errors.As(err, &told) && told.TypeKey == typeRelationExists
}
