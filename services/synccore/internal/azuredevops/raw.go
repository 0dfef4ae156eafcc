package azuredevops

import (
	"context"
	"net/http"
)

// Raw reads one work item as Azure DevOps sends it, with its relations.
func (c *Client) Raw(ctx context.Context, id int64) (map[string]any, error) {
	var sent map[string]any
	_, err := c.do(ctx, call{
		method: http.MethodGet, path: workItemPath(id), query: "$expand=relations", subject: workItemName(id), deed: "read",
	}, &sent)
	return sent, err
}
