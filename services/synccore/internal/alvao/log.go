package alvao

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
)

// ErrLogUnreadable is behind the NotFound fault of Records where the tenant's REST
// API does not show the log at all.
var ErrLogUnreadable = errors.New("the REST API does not show the ticket log")

// recordsPage is how many records one call asks for; a record carries whole texts.
const recordsPage = 100

// Records reads the log of a ticket above record sinceID, oldest first. That the log
// can be read is an assumption (alvao.md §2.4); where it can't, the fault is NotFound
// with ErrLogUnreadable behind it.
func (c *Client) Records(ctx context.Context, ticketID, sinceID int64) ([]item.Record, error) {
	if c.logDumb.known(c.now()) != 0 {
		return nil, c.noLog(nil)
	}
	var out []item.Record
	for {
		page, err := c.records(ctx, ticketID, sinceID)
		if err != nil {
			return nil, err
		}
		fresh := 0
		for _, r := range page {
			if r.ID > sinceID {
				out, sinceID, fresh = append(out, r), r.ID, fresh+1
			}
		}
		if len(page) != recordsPage || fresh == 0 {
			return out, nil
		}
	}
}

// records reads one page, sorted; where the server refuses the query it reads all.
func (c *Client) records(ctx context.Context, ticketID, sinceID int64) ([]item.Record, error) {
	var o odata
	if sinceID > 0 {
		o.add("$filter", "id gt "+strconv.FormatInt(sinceID, 10))
	}
	o.add("$orderby", "id")
	o.addInt("$top", recordsPage)
	records, err := c.readLog(ctx, ticketID, "?"+o.String())
	if fault.Is(err, fault.Invalid) {
		records, err = c.readLog(ctx, ticketID, "")
	}
	return records, err
}

func (c *Client) readLog(ctx context.Context, ticketID int64, query string) ([]item.Record, error) {
	var w struct {
		Value lenient.List[wireRecord] `json:"value"`
	}
	answer, err := c.do(ctx, call{
		method: http.MethodGet, path: ticketPath(ticketID) + "/log" + query,
		subject: "the log of " + ticketName(ticketID), deed: "read",
	}, &w)
	switch answer.Status {
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		// Writing to the log is offered at this address, reading is not.
		c.logDumb.note(1, c.now())
		return nil, c.noLog(err)
	case http.StatusNotFound:
		return nil, c.noLog(err)
	}
	if err != nil {
		return nil, err
	}
	records := make([]item.Record, 0, len(w.Value))
	for _, r := range w.Value {
		if r.ID > 0 {
			records = append(records, c.record(r))
		}
	}
	slices.SortFunc(records, func(a, b item.Record) int { return cmp.Compare(a.ID, b.ID) })
	return records, nil
}

func (c *Client) noLog(cause error) error {
	return fault.Wrap(errors.Join(ErrLogUnreadable, cause), fault.NotFound,
		"Alvao at %s does not show ticket logs over its REST API, so no messages cross; ask Alvao for a version that shows them, or set SyncCommunication to false.", c.base)
}
