package api

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lease"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
)

// Links is what LinkService needs of the link store.
type Links interface {
	Get(ctx context.Context, connector string, ticket int64) (item.Link, error)
	GetMany(ctx context.Context, connector string, tickets []int64) (map[int64]item.Link, error)
	Query(ctx context.Context, connector string, q link.Query, pageSize int, pageToken string) (links []item.Link, next string, err error)
	TicketOf(ctx context.Context, connector string, workItem int64) (ticket int64, found bool, err error)
	History(ctx context.Context, connector string, ticket int64, n int) ([]item.LinkChange, error)
	Delete(ctx context.Context, held lease.Lease, link item.Link, changes ...item.LinkChange) error
	// Decisions tells what the last looks at an item came to.
	Decisions(ctx context.Context, key item.Key) ([]item.Decision, error)
	// Changes lists what was written behind a place, LastChange tells the newest place.
	Changes(ctx context.Context, connector, behind string, n int) ([]link.Change, error)
	LastChange(ctx context.Context, connector string) (string, error)
	// ClaimRequest notes what a request id stands for, and tells whether it was noted before;
	// fault.Refused: for another request. ReleaseRequest forgets one that was not.
	ClaimRequest(ctx context.Context, connector, id, asks string) (repeat bool, err error)
	ReleaseRequest(ctx context.Context, connector, id string) error
}

// Leases gives one holder at a time the right to change a link.
type Leases interface {
	Hold(ctx context.Context, key item.Key, ttl time.Duration) (context.Context, lease.Held, error)
}

// deleteTTL is how long nobody else may change a link that is being deleted.
const deleteTTL = 10 * time.Second

// Appender is what takes hints in.
type Appender interface {
	// Append stores an event durably and tells whether it was new.
	Append(ctx context.Context, event item.Event) (stored bool, err error)
}

// Queue is what LinkService needs of the inbox.
type Queue interface {
	Appender
	// Get finds an event that has not been served.
	Get(ctx context.Context, connector, id string) (inbox.Record, error)
	// Of finds the events of an item that have not been served.
	Of(ctx context.Context, key item.Key) ([]inbox.Record, error)
}

// historyKept is how many entries of a link's history are kept.
const historyKept = 200

// LinkService implements tandem.v1.LinkService.
type LinkService struct {
	tandemv1.UnsafeLinkServiceServer

	// All fields are required.
	Links      Links
	Leases     Leases
	Inbox      Queue
	Connectors Connectors
	Now        func() time.Time
}

// GetLink implements tandem.v1.LinkService.
func (s *LinkService) GetLink(ctx context.Context, req *tandemv1.GetLinkRequest) (*tandemv1.GetLinkResponse, error) {
	var v violations
	connector, ticket := ticketOf(&v, req.GetName())
	mask := maskOf(&v, req.GetReadMask(), &tandemv1.Link{})
	if err := v.err(); err != nil {
		return nil, err
	}
	known, err := s.Links.Get(ctx, connector, ticket)
	if err != nil {
		return nil, Status(err)
	}
	if !known.Exists() {
		return nil, noLink(connector, ticket)
	}
	shown := linkProto(known)
	mask.apply(shown)
	return &tandemv1.GetLinkResponse{Link: shown}, nil
}

// SyncLink implements tandem.v1.LinkService.
func (s *LinkService) SyncLink(ctx context.Context, req *tandemv1.SyncLinkRequest) (*tandemv1.SyncLinkResponse, error) {
	var v violations
	connector, ticket := ticketOf(&v, req.GetName())
	if err := v.err(); err != nil {
		return nil, err
	}
	if _, ok := s.Connectors.Describe(connector); !ok {
		return nil, noConnector(connector)
	}
	_, err := s.Inbox.Append(ctx, item.Event{
		Key:      item.Key{Connector: connector, System: item.Alvao, ID: ticket},
		Type:     "sync",
		Force:    true,
		Received: s.Now(),
	})
	if err != nil {
		return nil, Status(err)
	}
	return &tandemv1.SyncLinkResponse{}, nil
}

// DeleteLink implements tandem.v1.LinkService.
func (s *LinkService) DeleteLink(ctx context.Context, req *tandemv1.DeleteLinkRequest) (*tandemv1.DeleteLinkResponse, error) {
	var v violations
	connector, ticket := ticketOf(&v, req.GetName())
	if err := v.err(); err != nil {
		return nil, err
	}
	ctx, held, err := s.Leases.Hold(ctx, item.Key{Connector: connector, System: item.Alvao, ID: ticket}, deleteTTL)
	if err != nil {
		return nil, ofLink(err)
	}
	defer held.Release()
	link, err := s.Links.Get(ctx, connector, ticket)
	switch {
	case err != nil:
		return nil, Status(err)
	case !link.Exists():
		return nil, noLink(connector, ticket)
	case req.GetEtag() != "" && req.GetEtag() != etag(link):
		return nil, ofLink(fault.New(fault.Conflict, "The link of ticket %d changed since it was read; read it again and decide anew.", ticket))
	case req.GetValidateOnly():
		return &tandemv1.DeleteLinkResponse{}, nil
	}
	change := item.LinkChange{
		Time: s.Now(), Action: "delete", Detail: fmt.Sprintf("The link of ticket %d and work item %d was deleted by hand.", ticket, link.WorkItem),
	}
	if span := trace.SpanContextFromContext(ctx); span.HasTraceID() {
		change.TraceID = span.TraceID().String()
	}
	err = s.Links.Delete(ctx, held.Lease, link, change)
	if err != nil {
		return nil, ofLink(err)
	}
	return &tandemv1.DeleteLinkResponse{}, nil
}

// ListLinkHistory implements tandem.v1.LinkService.
func (s *LinkService) ListLinkHistory(ctx context.Context, req *tandemv1.ListLinkHistoryRequest) (*tandemv1.ListLinkHistoryResponse, error) {
	var v violations
	connector, ticket := ticketOf(&v, req.GetName())
	size := pageSize(&v, req.GetPageSize(), historyKept)
	at := historyPlaceOf(&v, req.GetName(), req.GetPageToken())
	if err := v.err(); err != nil {
		return nil, err
	}
	wanted := historyKept
	if at == nil {
		wanted = min(size+1, historyKept)
	}
	changes, err := s.Links.History(ctx, connector, ticket, wanted)
	if err != nil {
		return nil, Status(err)
	}
	if len(changes) == 0 {
		return nil, noLink(connector, ticket)
	}
	changes = at.behind(changes)
	resp := &tandemv1.ListLinkHistoryResponse{}
	for i, change := range changes {
		if i == size {
			resp.NextPageToken = at.next(changes[:size]).token(req.GetName())
			break
		}
		resp.Changes = append(resp.Changes, changeProto(change))
	}
	return resp, nil
}

// ofLink is Status for a change of a link, which somebody else may be changing.
func ofLink(err error) error {
	if fault.Is(err, fault.Conflict) {
		return refuse(codes.Aborted, tandemv1.ErrorReason_ERROR_REASON_LINK_CHANGED, fault.Sentence(err), retryOf(err)...)
	}
	return Status(err)
}

// etag tells two states of a link apart.
func etag(link item.Link) string { return strconv.FormatInt(link.Version, 10) }

func noLink(connector string, ticket int64) error {
	return refuse(codes.NotFound, tandemv1.ErrorReason_ERROR_REASON_UNKNOWN_LINK,
		fmt.Sprintf("Ticket %d has no link in connector %q.", ticket, connector))
}

func noConnector(name string) error {
	return refuse(codes.NotFound, tandemv1.ErrorReason_ERROR_REASON_UNKNOWN_CONNECTOR,
		fmt.Sprintf("No connector is named %q; ListConnectors shows those there are.", name))
}

func linkName(connector string, ticket int64) string {
	return "connectors/" + connector + "/links/" + strconv.FormatInt(ticket, 10)
}

func linkProto(link item.Link) *tandemv1.Link {
	var withheld []*tandemv1.Withheld
	for _, setting := range slices.Sorted(maps.Keys(link.Withheld)) {
		withheld = append(withheld, &tandemv1.Withheld{Setting: setting, Count: count32(link.Withheld[setting])})
	}
	return &tandemv1.Link{
		Name:         linkName(link.Connector, link.Ticket),
		TicketId:     link.Ticket,
		TicketUrl:    link.TicketURL,
		WorkItemId:   link.WorkItem,
		WorkItemUrl:  link.WorkItemURL,
		State:        linkStateProto(link.State),
		Reason:       link.Reason,
		AgreedStatus: link.Agreed.Status,
		AgreedState:  link.Agreed.State,
		CreateTime:   timestamp(link.Created),
		UpdateTime:   timestamp(link.Updated),
		Etag:         etag(link),
		Withheld:     withheld,
	}
}

func linkStateProto(state item.LinkState) tandemv1.Link_State {
	switch state {
	case item.LinkCreating:
		return tandemv1.Link_STATE_CREATING
	case item.LinkActive:
		return tandemv1.Link_STATE_ACTIVE
	case item.LinkParked:
		return tandemv1.Link_STATE_PARKED
	case item.LinkGone:
		return tandemv1.Link_STATE_GONE
	default:
		return tandemv1.Link_STATE_UNSPECIFIED
	}
}

// timestamp leaves the zero time out.
func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
