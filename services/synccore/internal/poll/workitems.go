package poll

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// changesCursor is the name of the position among the project's changes: when it was
// reached, a space, and the server's word for it.
const changesCursor = "poll-changes"

// Changed lists work items of the connector's project that changed.
type Changed interface {
	// Changes reads the batch after a position; an empty one begins at since. A position
	// that the server does not know is an Invalid fault.
	Changes(ctx context.Context, position string, since time.Time) (item.Changes, error)
}

// Linked finds the links of work items.
type Linked interface {
	// OfWorkItems gives the links that name any of the work items.
	OfWorkItems(ctx context.Context, connector string, workItems []int64) ([]item.Link, error)
}

// Cursors keeps positions between runs.
type Cursors interface {
	Cursor(ctx context.Context, connector, name string) (string, error)
	SetCursor(ctx context.Context, connector, name, value string) error
}

// WorkItemPoller polls one connector's project, since service hooks come late, are lost
// while they are on probation, and are switched off altogether (azure-devops.md §1.7).
// Its fields but From are required and must not change while Once runs.
type WorkItemPoller struct {
	Connector string
	Rules     plan.Rules
	WorkItems Changed
	Links     Linked
	Cursors   Cursors
	Inbox     Inbox
	Now       func() time.Time
	// From is as Poller has it.
	From time.Time
}

// Once reads what changed since the last time, batch by batch, and returns how many
// linked work items it put into the inbox. The first run begins FirstLook before now.
func (p *WorkItemPoller) Once(ctx context.Context) (int, error) {
	found := 0
	started := p.Now()
	position, since, err := p.position(ctx, started)
	if err != nil {
		return 0, err
	}
	for {
		changes, err := p.WorkItems.Changes(ctx, position, since)
		if position != "" && fault.Is(err, fault.Invalid) {
			// The server forgot the position, or is another one. What follows the last time
			// is read again.
			position = ""
			continue
		}
		if err != nil {
			return found, fmt.Errorf("listing changed work items: %w", err)
		}
		n, err := p.hint(ctx, changes.WorkItems, started)
		found += n
		if err != nil {
			return found, err
		}
		if changes.Next == "" || changes.Next == position {
			return found, nil
		}
		position = changes.Next
		if err := p.Cursors.SetCursor(ctx, p.Connector, changesCursor, p.reached(changes, since, started).UTC().Format(time.RFC3339Nano)+" "+position); err != nil {
			return found, fmt.Errorf("storing the position of the poll: %w", err)
		}
		if changes.Last {
			return found, nil
		}
	}
}

// reached is the time up to which everything is in the inbox: that of this look once
// nothing is left, else none that is new.
func (p *WorkItemPoller) reached(changes item.Changes, since, started time.Time) time.Time {
	if changes.Last {
		return started.Add(-Overlap)
	}
	return since
}

// position is how far the polls have come, and the time to begin at where that is of no
// use.
func (p *WorkItemPoller) position(ctx context.Context, now time.Time) (string, time.Time, error) {
	text, err := p.Cursors.Cursor(ctx, p.Connector, changesCursor)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("reading the position of the poll: %w", err)
	}
	if text == "" {
		return "", now.Add(-FirstLook), nil
	}
	at, position, _ := strings.Cut(text, " ")
	since, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("reading the position of the poll %q: %w", text, err)
	}
	return position, since, nil
}

// hint puts into the inbox what a round may find something to do about. The key is the
// work item's, as that of a service hook is, so that one look serves both.
func (p *WorkItemPoller) hint(ctx context.Context, changed []item.WorkItem, received time.Time) (int, error) {
	ids := make([]int64, len(changed))
	for i := range changed {
		ids[i] = changed[i].ID
	}
	links, err := p.Links.OfWorkItems(ctx, p.Connector, ids)
	if err != nil {
		return 0, fmt.Errorf("reading the links of %d work items: %w", len(ids), err)
	}
	byWorkItem := make(map[int64]item.Link, len(links))
	for _, link := range links {
		byWorkItem[link.WorkItem] = link
	}
	found := 0
	for i := range changed {
		workItem := &changed[i]
		link, linked := byWorkItem[workItem.ID]
		if !linked || past(workItem.Changed, p.From) || plan.ChangeDoubt(link, workItem, p.Rules) == plan.None {
			continue
		}
		stored, err := p.Inbox.Append(ctx, item.Event{
			ID:       "poll/" + p.Connector + "/w" + strconv.FormatInt(workItem.ID, 10) + "/" + strconv.FormatInt(workItem.Rev, 10) + "/" + strconv.FormatInt(link.Version, 10),
			Key:      item.Key{Connector: p.Connector, System: item.AzureDevOps, ID: workItem.ID},
			Type:     "poll",
			Revision: workItem.Rev,
			Received: received,
		})
		if err != nil {
			return found, fmt.Errorf("storing a hint for work item %d: %w", workItem.ID, err)
		}
		if stored {
			found++
		}
	}
	return found, nil
}
