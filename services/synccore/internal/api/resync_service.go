package api

import (
	"context"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

const (
	// resyncsKept is how many resyncs of a connector are remembered.
	resyncsKept = 50
	// largestDrift is how many links one page of CheckDrift compares at most.
	largestDrift = 200
)

// Repaired is what came of a repair.
type Repaired struct {
	// Writes counts the writes to either system.
	Writes int
	// Outcome is one sentence: how both stand, or what is in the way.
	Outcome string
	// Left is what still differs; nil: nothing.
	Left *item.Drift
}

// Resyncs is what ResyncService needs of the running connectors. All fail with
// fault.NotFound for a connector that is not there.
type Resyncs interface {
	// AskResync asks for a resync and returns the one that waits, or that the same request id
	// got before; empty: there is none.
	AskResync(ctx context.Context, name, request string) (item.Resync, error)
	// ResyncOf tells about one; fault.NotFound if there is none of that id.
	ResyncOf(ctx context.Context, name, id string) (item.Resync, error)
	// Resyncs tells about those that are remembered, the newest first.
	Resyncs(ctx context.Context, name string) ([]item.Resync, error)
	// CancelResync ends one; fault.NotFound if there is none of that id.
	CancelResync(ctx context.Context, name, id string) (item.Resync, error)
	// CheckDrift compares links with both of their sides.
	CheckDrift(ctx context.Context, name string, size int, token string) (drifts []item.Drift, compared int, next string, err error)
	// RepairDrift brings a ticket and its work item in step; fault.Conflict while the link
	// is being worked on.
	RepairDrift(ctx context.Context, name string, ticket int64, winner item.System) (Repaired, error)
}

// ResyncService implements tandem.v1.ResyncService.
type ResyncService struct {
	tandemv1.UnsafeResyncServiceServer

	// Both are required.
	Connectors Connectors
	Resyncs    Resyncs
}

// known refuses connectors that are not there.
func (s *ResyncService) known(name string) error {
	if _, ok := s.Connectors.Describe(name); !ok {
		return noConnector(name)
	}
	return nil
}

// StartResync implements tandem.v1.ResyncService.
func (s *ResyncService) StartResync(ctx context.Context, req *tandemv1.StartResyncRequest) (*tandemv1.StartResyncResponse, error) {
	var v violations
	name := connectorOf(&v, "parent", req.GetParent())
	request := requestOf(ctx, &v, req.GetRequestId())
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.known(name); err != nil {
		return nil, err
	}
	asked, err := s.Resyncs.AskResync(ctx, name, request)
	if err != nil {
		return nil, ofResync(err)
	}
	return &tandemv1.StartResyncResponse{Resync: resyncProto(name, asked)}, nil
}

// GetResync implements tandem.v1.ResyncService.
func (s *ResyncService) GetResync(ctx context.Context, req *tandemv1.GetResyncRequest) (*tandemv1.GetResyncResponse, error) {
	var v violations
	name, id := childOf(&v, req.GetName(), "resyncs")
	mask := maskOf(&v, req.GetReadMask(), &tandemv1.Resync{})
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.known(name); err != nil {
		return nil, err
	}
	one, err := s.Resyncs.ResyncOf(ctx, name, id)
	if err != nil {
		return nil, ofResync(err)
	}
	shown := resyncProto(name, one)
	mask.apply(shown)
	return &tandemv1.GetResyncResponse{Resync: shown}, nil
}

// ListResyncs implements tandem.v1.ResyncService.
func (s *ResyncService) ListResyncs(ctx context.Context, req *tandemv1.ListResyncsRequest) (*tandemv1.ListResyncsResponse, error) {
	var v violations
	name := connectorOf(&v, "parent", req.GetParent())
	size := pageSize(&v, req.GetPageSize(), resyncsKept)
	before := openToken(&v, req.GetPageToken(), name)
	mask := maskOf(&v, req.GetReadMask(), &tandemv1.Resync{})
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.known(name); err != nil {
		return nil, err
	}
	all, err := s.Resyncs.Resyncs(ctx, name)
	if err != nil {
		return nil, ofResync(err)
	}
	resp := &tandemv1.ListResyncsResponse{}
	last := ""
	for _, one := range all {
		// A token names the last one that was sent, so that a new one shifts nothing.
		if before != "" && one.ID >= before {
			continue
		}
		if len(resp.GetResyncs()) == size {
			resp.NextPageToken = sealToken(last, name)
			break
		}
		shown := resyncProto(name, one)
		mask.apply(shown)
		resp.Resyncs, last = append(resp.Resyncs, shown), one.ID
	}
	return resp, nil
}

// CancelResync implements tandem.v1.ResyncService.
func (s *ResyncService) CancelResync(ctx context.Context, req *tandemv1.CancelResyncRequest) (*tandemv1.CancelResyncResponse, error) {
	var v violations
	name, id := childOf(&v, req.GetName(), "resyncs")
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.known(name); err != nil {
		return nil, err
	}
	one, err := s.Resyncs.CancelResync(ctx, name, id)
	if err != nil {
		return nil, ofResync(err)
	}
	return &tandemv1.CancelResyncResponse{Resync: resyncProto(name, one)}, nil
}

// CheckDrift implements tandem.v1.ResyncService.
func (s *ResyncService) CheckDrift(ctx context.Context, req *tandemv1.CheckDriftRequest) (*tandemv1.CheckDriftResponse, error) {
	var v violations
	name := connectorOf(&v, "parent", req.GetParent())
	size := pageSize(&v, req.GetPageSize(), largestDrift)
	place := openToken(&v, req.GetPageToken(), name)
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.known(name); err != nil {
		return nil, err
	}
	drifts, compared, next, err := s.Resyncs.CheckDrift(ctx, name, size, place)
	if fault.Is(err, fault.Invalid) {
		return nil, ofPage(err)
	}
	if err != nil {
		return nil, ofVendor(Status, err)
	}
	resp := &tandemv1.CheckDriftResponse{ComparedCount: count32(compared), NextPageToken: sealToken(next, name)}
	for _, one := range drifts {
		resp.Drifts = append(resp.Drifts, driftProto(name, one))
	}
	return resp, nil
}

// RepairDrift implements tandem.v1.ResyncService.
func (s *ResyncService) RepairDrift(ctx context.Context, req *tandemv1.RepairDriftRequest) (*tandemv1.RepairDriftResponse, error) {
	var v violations
	name, ticket := ticketOf(&v, req.GetName())
	winner, ok := map[tandemv1.RepairDriftRequest_Winner]item.System{
		tandemv1.RepairDriftRequest_WINNER_UNSPECIFIED:  "",
		tandemv1.RepairDriftRequest_WINNER_ALVAO:        item.Alvao,
		tandemv1.RepairDriftRequest_WINNER_AZURE_DEVOPS: item.AzureDevOps,
	}[req.GetWinner()]
	v.check(ok, "winner", "must be one of the sides, or left out")
	if err := v.err(); err != nil {
		return nil, err
	}
	if err := s.known(name); err != nil {
		return nil, err
	}
	repaired, err := s.Resyncs.RepairDrift(ctx, name, ticket, winner)
	if fault.Is(err, fault.Conflict) {
		return nil, ofLink(err)
	}
	if err != nil {
		return nil, ofVendor(Status, err)
	}
	resp := &tandemv1.RepairDriftResponse{WriteCount: count32(repaired.Writes), Outcome: repaired.Outcome}
	if repaired.Left != nil {
		resp.Drift = driftProto(name, *repaired.Left)
	}
	return resp, nil
}

// ofResync is Status for what is asked of resyncs: what is not found is the resync.
func ofResync(err error) error {
	if fault.Is(err, fault.NotFound) {
		return refuse(codes.NotFound, tandemv1.ErrorReason_ERROR_REASON_UNKNOWN_RESYNC, fault.Sentence(err))
	}
	return Status(err)
}

// resyncProto is nil if there was no resync.
func resyncProto(connector string, r item.Resync) *tandemv1.Resync {
	if r.ID == "" {
		return nil
	}
	out := &tandemv1.Resync{
		Name: "connectors/" + connector + "/resyncs/" + r.ID, State: resyncStateProto(r.State), Reason: resyncReasonProto(r.Reason),
		StartTime: timestamp(r.Began), EndTime: timestamp(r.Ended), RequestTime: timestamp(r.Request), Error: r.Error,
		LinkCount: count32(r.Links), TicketCount: count32(r.Tickets), SeenCount: count32(r.Links + r.Tickets),
		DriftedCount: count32(r.Drifted), DifferingCount: count32(r.Differing), HeldCount: count32(r.Held),
		WrittenCount: count32(r.Written), FailedCount: count32(r.Failed), SettledCount: count32(r.Settled),
		ResumedCount: count32(r.Resumed), Cancelling: r.Cancelling,
	}
	if r.State == item.ResyncWaiting {
		out.RequestTime = timestamp(r.Asked)
	}
	if r.TicketsThere > 0 {
		out.ExpectedCount = count32(max(r.LinksThere, r.Links) + max(r.TicketsThere, r.Tickets))
	}
	if left, told := r.Left(); told {
		out.Remaining = durationpb.New(left)
	}
	return out
}

func resyncStateProto(state item.ResyncState) tandemv1.Resync_State {
	switch state {
	case item.ResyncWaiting:
		return tandemv1.Resync_STATE_WAITING
	case item.ResyncRunning:
		return tandemv1.Resync_STATE_RUNNING
	case item.ResyncSucceeded:
		return tandemv1.Resync_STATE_SUCCEEDED
	case item.ResyncFailed:
		return tandemv1.Resync_STATE_FAILED
	case item.ResyncCancelled:
		return tandemv1.Resync_STATE_CANCELLED
	default:
		return tandemv1.Resync_STATE_UNSPECIFIED
	}
}

func resyncReasonProto(reason item.ResyncReason) tandemv1.Resync_Reason {
	switch reason {
	case item.ResyncScheduled:
		return tandemv1.Resync_REASON_SCHEDULED
	case item.ResyncAsked:
		return tandemv1.Resync_REASON_ASKED
	case item.ResyncSettings:
		return tandemv1.Resync_REASON_SETTINGS_CHANGED
	case item.ResyncOverdue:
		return tandemv1.Resync_REASON_OVERDUE
	default:
		return tandemv1.Resync_REASON_UNSPECIFIED
	}
}

func driftProto(connector string, d item.Drift) *tandemv1.Drift {
	out := &tandemv1.Drift{
		Name: linkName(connector, d.Ticket), TicketId: d.Ticket, WorkItemId: d.WorkItem, Status: d.Status, State: d.State,
	}
	kinds := map[item.DriftKind]tandemv1.Difference_Kind{
		item.DriftState: tandemv1.Difference_KIND_STATE, item.DriftMessages: tandemv1.Difference_KIND_MESSAGES,
		item.DriftTicket: tandemv1.Difference_KIND_TICKET, item.DriftWorkItem: tandemv1.Difference_KIND_WORK_ITEM,
		item.DriftExternalID: tandemv1.Difference_KIND_EXTERNAL_ID, item.DriftPending: tandemv1.Difference_KIND_PENDING,
		item.DriftBaseline: tandemv1.Difference_KIND_BASELINE,
	}
	for _, one := range d.Differences {
		out.Differences = append(out.Differences, &tandemv1.Difference{Kind: kinds[one.Kind], Detail: one.Detail})
	}
	return out
}
