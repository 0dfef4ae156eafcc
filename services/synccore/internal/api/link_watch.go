package api

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
)

const (
	// watchEvery is how often a watch looks for changes.
	watchEvery = 250 * time.Millisecond
	// watchAlive is how long a watch is silent at most.
	watchAlive = 30 * time.Second
	// watchBatch is how many changes a watch reads at once.
	watchBatch = 200
)

// WatchLinks implements tandem.v1.LinkService.
func (s *LinkService) WatchLinks(req *tandemv1.WatchLinksRequest, stream grpc.ServerStreamingServer[tandemv1.WatchLinksResponse]) error {
	ctx := stream.Context()
	var v violations
	connector := connectorOf(&v, "parent", req.GetParent())
	if err := v.err(); err != nil {
		return err
	}
	if _, ok := s.Connectors.Describe(connector); !ok {
		return noConnector(connector)
	}
	at := req.GetResumeToken()
	if at == "" {
		last, err := s.Links.LastChange(ctx, connector)
		if err != nil {
			return Status(err)
		}
		at = last
	}
	w := watch{service: s, connector: connector, at: at, stream: stream}
	// What is wrong with the token is told before anything else.
	changes, err := s.Links.Changes(ctx, connector, at, watchBatch)
	if err != nil {
		return ofWatch(err)
	}
	if err := stream.Send(&tandemv1.WatchLinksResponse{ResumeToken: at}); err != nil {
		return err
	}
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	silent := time.Duration(0)
	for {
		told, err := w.tell(ctx, changes)
		if err != nil {
			return err
		}
		if silent += watchEvery; told {
			silent = 0
		} else if silent >= watchAlive {
			silent = 0
			if err := stream.Send(&tandemv1.WatchLinksResponse{ResumeToken: w.at}); err != nil {
				return err
			}
		}
		if len(changes) < watchBatch {
			select {
			case <-ctx.Done():
				return Status(ctx.Err())
			case <-ticker.C:
			}
		}
		if changes, err = s.Links.Changes(ctx, connector, w.at, watchBatch); err != nil {
			return ofWatch(err)
		}
	}
}

func ofWatch(err error) error {
	switch {
	case fault.Is(err, fault.NotFound):
		return refuse(codes.OutOfRange, tandemv1.ErrorReason_ERROR_REASON_RESUME_EXPIRED, fault.Sentence(err))
	case fault.Is(err, fault.Invalid):
		var v violations
		v.add("resume_token", "must be a resume_token that this method sent")
		return v.err()
	default:
		return Status(err)
	}
}

// watch is one caller's watch.
type watch struct {
	service   *LinkService
	connector string
	// at is the place of the last change that was told.
	at     string
	stream grpc.ServerStreamingServer[tandemv1.WatchLinksResponse]
	// early counts the looks at changes that were told of before they were written.
	early int
}

// tell sends the links that changed, each once, and tells whether it sent any.
func (w *watch) tell(ctx context.Context, changes []link.Change) (bool, error) {
	if len(changes) == 0 {
		return false, nil
	}
	expected := map[int64]int64{}
	order := make([]int64, 0, len(changes))
	for _, change := range changes {
		if _, seen := expected[change.Ticket]; !seen {
			order = append(order, change.Ticket)
		}
		expected[change.Ticket] = change.Version
	}
	known, err := w.service.Links.GetMany(ctx, w.connector, order)
	if err != nil {
		return false, Status(err)
	}
	// On a cluster a change may be told of a moment before it is written. A write that was
	// refused never comes.
	const looks = 3
	for ticket, version := range expected {
		if known[ticket].Version < version && w.early < looks {
			w.early++
			return false, nil
		}
	}
	w.early = 0
	last := changes[len(changes)-1].Position
	for i, ticket := range order {
		token := w.at
		if i == len(order)-1 {
			token = last
		}
		response := &tandemv1.WatchLinksResponse{ResumeToken: token}
		if one := known[ticket]; one.Exists() {
			response.Link = linkProto(one)
		} else {
			response.Deleted = true
			gone := linkProto(item.Link{Connector: w.connector, Ticket: ticket})
			response.Link = &tandemv1.Link{Name: gone.GetName(), TicketId: ticket}
		}
		if err := w.stream.Send(response); err != nil {
			return false, err
		}
	}
	w.at = last
	return true, nil
}
