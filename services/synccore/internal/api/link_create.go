package api

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

var requestID = regexp.MustCompile(`^[A-Za-z0-9_.:-]{0,128}$`)

// sentKey is the Idempotency-Key of a call over REST; empty: there is none.
func sentKey(ctx context.Context) string {
	if sent := metadata.ValueFromIncomingContext(ctx, "idempotency-key"); len(sent) == 1 {
		return sent[0]
	}
	return ""
}

// requestOf is the id by which a repeat of the request is known; empty: there is none.
func requestOf(ctx context.Context, v *violations, id string) string {
	if id == "" {
		id = sentKey(ctx)
	}
	v.check(requestID.MatchString(id), "request_id", "must be at most 128 letters, digits and signs of -_.:")
	return id
}

// CreateLink implements tandem.v1.LinkService.
func (s *LinkService) CreateLink(ctx context.Context, req *tandemv1.CreateLinkRequest) (*tandemv1.CreateLinkResponse, error) {
	var v violations
	connector := connectorOf(&v, "parent", req.GetParent())
	v.check(req.GetTicketId() > 0, "ticket_id", "must be greater than 0")
	v.check(req.GetWorkItemId() > 0, "work_item_id", "must be greater than 0")
	id := requestOf(ctx, &v, req.GetRequestId())
	if err := v.err(); err != nil {
		return nil, err
	}
	if _, ok := s.Connectors.Describe(connector); !ok {
		return nil, noConnector(connector)
	}
	if id != "" && !req.GetValidateOnly() {
		repeat, err := s.Links.ClaimRequest(ctx, connector, id, fmt.Sprintf("%d+%d", req.GetTicketId(), req.GetWorkItemId()))
		if fault.Is(err, fault.Refused) {
			return nil, refuse(codes.AlreadyExists, tandemv1.ErrorReason_ERROR_REASON_REQUEST_ID_REUSED, fault.Sentence(err))
		}
		if err != nil {
			return nil, Status(err)
		}
		if repeat {
			// What was made is told even while it is being worked on.
			known, err := s.Links.Get(ctx, connector, req.GetTicketId())
			if err != nil {
				return nil, Status(err)
			}
			if known.Exists() && known.WorkItem == req.GetWorkItemId() {
				return &tandemv1.CreateLinkResponse{Link: linkProto(known)}, nil
			}
		}
		return s.createOnce(ctx, connector, id, !repeat, req)
	}
	return s.create(ctx, connector, req)
}

// createOnce gives the request's id back if nothing came of the request, so that a mended
// one may have it. If that fails, the id is used up for a day, and the request may be
// repeated as it was.
func (s *LinkService) createOnce(ctx context.Context, connector, id string, fresh bool, req *tandemv1.CreateLinkRequest) (*tandemv1.CreateLinkResponse, error) {
	made, err := s.create(ctx, connector, req)
	if err != nil && fresh {
		const within = 5 * time.Second
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), within) // the caller may have left
		defer cancel()
		if released := s.Links.ReleaseRequest(last, connector, id); released != nil {
			trace.SpanFromContext(ctx).RecordError(released)
		}
	}
	return made, err
}

func (s *LinkService) create(ctx context.Context, connector string, req *tandemv1.CreateLinkRequest) (*tandemv1.CreateLinkResponse, error) {
	made, err := s.Connectors.Link(ctx, connector, req.GetTicketId(), req.GetWorkItemId(), req.GetValidateOnly())
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, noConnector(connector)
	case fault.Is(err, fault.Invalid):
		return nil, refuse(codes.FailedPrecondition, tandemv1.ErrorReason_ERROR_REASON_UNFIT_PAIR, fault.Sentence(err))
	case fault.Is(err, fault.Refused):
		return nil, refuse(codes.AlreadyExists, tandemv1.ErrorReason_ERROR_REASON_LINK_EXISTS, fault.Sentence(err))
	case err != nil:
		return nil, ofVendor(ofLink, err)
	}
	if !req.GetValidateOnly() {
		// If this fails, the next poll or resync finds the pair.
		_, err = s.Inbox.Append(ctx, item.Event{
			Key: item.Key{Connector: connector, System: item.Alvao, ID: req.GetTicketId()}, Type: "link", Force: true, Received: s.Now(),
		})
		if err != nil {
			return nil, Status(err)
		}
	}
	return &tandemv1.CreateLinkResponse{Link: linkProto(made)}, nil
}

// ofVendor is the status of what failed at Alvao or Azure DevOps, or otherwise.
func ofVendor(otherwise func(error) error, err error) error {
	switch fault.KindOf(err) {
	case fault.BadToken, fault.Denied:
		return refuse(codes.FailedPrecondition, tandemv1.ErrorReason_ERROR_REASON_VENDOR_UNAVAILABLE, fault.Sentence(err))
	case fault.Unavailable, fault.Throttled:
		return refuse(codes.Unavailable, tandemv1.ErrorReason_ERROR_REASON_VENDOR_UNAVAILABLE, fault.Sentence(err), retryOf(err)...)
	default:
		return otherwise(err)
	}
}
