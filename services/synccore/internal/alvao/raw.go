package alvao

import (
	"context"
	"net/http"
)

// Raw reads one ticket as Alvao sends it.
func (c *Client) Raw(ctx context.Context, id int64) (map[string]any, error) {
	var sent map[string]any
	_, err := c.do(ctx, call{method: http.MethodGet, path: ticketPath(id), subject: ticketName(id), deed: "read"}, &sent)
	return sent, err
}
