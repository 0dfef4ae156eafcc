package api

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/inbox"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// The limits that event_service.proto states, in bytes.
const (
	maxEventID   = 256
	maxEventType = 128
	maxURL       = 1024
	maxName      = 256
	maxPayload   = 64 << 10
)

// Inbox is what EventService needs of the inbox.
type Inbox interface {
	Appender
	List(ctx context.Context, connector string, state inbox.State, pageSize int, pageToken string) ([]inbox.Record, string, error)
	Get(ctx context.Context, connector, id string) (inbox.Record, error)
	Replay(ctx context.Context, connector, id string) (inbox.Record, error)
}

// EventService implements tandem.v1.EventService.
type EventService struct {
	tandemv1.UnsafeEventServiceServer

	// All fields are required. TraceParent gives the W3C traceparent of a context.
	Inbox       Inbox
	Pushed      Pushed
	Connectors  Connectors
	Now         func() time.Time
	TraceParent func(ctx context.Context) string
}

// longestUnderway is how long before its storing an event may be said to have been received:
// senders repeat for less. A clock that is wrong, or a lie, must not spoil the objective.
const longestUnderway = 72 * time.Hour

// nearest is a time, or the nearest one that is neither before from nor after to.
func nearest(at, from, to time.Time) time.Time {
	switch {
	case at.Before(from):
		return from
	case at.After(to):
		return to
	default:
		return at
	}
}

// IngestEvent implements tandem.v1.EventService.
func (s *EventService) IngestEvent(ctx context.Context, req *tandemv1.IngestEventRequest) (*tandemv1.IngestEventResponse, error) {
	if key := sentKey(ctx); req.GetEventId() == "" && key != "" {
		req.EventId = key // it is this call's own
	}
	system, err := checkIngest(req)
	if err != nil {
		return nil, err
	}
	connectors, err := s.connectorsFor(req)
	if err != nil {
		return nil, err
	}
	if disposition, err := s.keep(ctx, req); err != nil || disposition != 0 {
		return &tandemv1.IngestEventResponse{Disposition: disposition, Connector: req.GetConnector()}, err
	}
	received := s.Now()
	if told := req.GetReceiveTime(); told != nil {
		received = nearest(told.AsTime(), received.Add(-longestUnderway), received)
	}
	disposition := tandemv1.IngestEventResponse_DISPOSITION_DUPLICATE
	for _, connector := range connectors {
		event := item.Event{
			Key:         item.Key{Connector: connector, System: system, ID: req.GetItemId()},
			Type:        req.GetEventType(),
			Revision:    req.GetRevision(),
			Payload:     req.GetPayload(),
			Received:    received,
			TraceParent: s.TraceParent(ctx),
		}
		if req.GetEventId() != "" {
			// Several connectors may serve one project; each takes the delivery once.
			event.ID = connector + "/" + req.GetEventId()
		}
		stored, err := s.Inbox.Append(ctx, event)
		if err != nil {
			return nil, Status(err)
		}
		if stored {
			disposition = tandemv1.IngestEventResponse_DISPOSITION_STORED
		}
	}
	return &tandemv1.IngestEventResponse{Disposition: disposition, Connector: strings.Join(connectors, ",")}, nil
}

func checkIngest(req *tandemv1.IngestEventRequest) (item.System, error) {
	var v violations
	var system item.System
	switch req.GetSystem() {
	case tandemv1.System_SYSTEM_ALVAO:
		system = item.Alvao
		v.check(req.GetConnector() != "", "connector", "is required for SYSTEM_ALVAO")
	case tandemv1.System_SYSTEM_AZURE_DEVOPS:
		system = item.AzureDevOps
		v.check(req.GetConnector() != "" || req.GetOrigin() != nil, "origin", "is required when connector is empty")
	case tandemv1.System_SYSTEM_UNSPECIFIED:
		v.add("system", "is required")
	default:
		v.add("system", "must be a value of the enum")
	}
	v.check(req.GetItemId() > 0 || req.GetRound() != nil, "item_id", "must be greater than 0")
	v.check(req.GetRevision() >= 0, "revision", "must not be negative")
	v.check(len(req.GetConnector()) <= maxName, "connector", "must be at most 256 bytes")
	v.check(len(req.GetEventId()) <= maxEventID, "event_id", "must be at most 256 bytes")
	v.check(len(req.GetEventType()) <= maxEventType, "event_type", "must be at most 128 bytes")
	v.check(len(req.GetPayload()) <= maxPayload, "payload", "must be at most 64 KiB")
	v.check(len(req.GetOrigin().GetAccountUrl()) <= maxURL, "origin.account_url", "must be at most 1024 bytes")
	v.check(len(req.GetOrigin().GetProjectId()) <= maxName, "origin.project_id", "must be at most 256 bytes")
	v.check(len(req.GetOrigin().GetProjectName()) <= maxName, "origin.project_name", "must be at most 256 bytes")
	checkPushed(&v, req)
	checkRound(&v, req)
	v.check(req.GetReceiveTime() == nil || req.GetReceiveTime().IsValid(), "receive_time", "must be a valid time")
	return system, v.err()
}

// connectorsFor finds who takes an event: the connector that is named, else all
// that cover its origin.
func (s *EventService) connectorsFor(req *tandemv1.IngestEventRequest) ([]string, error) {
	if name := req.GetConnector(); name != "" {
		if _, ok := s.Connectors.Describe(name); !ok {
			return nil, noConnector(name)
		}
		return []string{name}, nil
	}
	origin := req.GetOrigin()
	names, err := s.Connectors.Find(origin.GetAccountUrl(), origin.GetProjectId(), origin.GetProjectName())
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, refuse(codes.NotFound, tandemv1.ErrorReason_ERROR_REASON_UNKNOWN_CONNECTOR, fault.Sentence(err))
	case fault.Is(err, fault.Unavailable):
		return nil, refuse(codes.Unavailable, tandemv1.ErrorReason_ERROR_REASON_NOT_READY, fault.Sentence(err), retryOf(err)...)
	case err != nil:
		return nil, Status(err)
	}
	return names, nil
}

// ListEvents implements tandem.v1.EventService.
func (s *EventService) ListEvents(ctx context.Context, req *tandemv1.ListEventsRequest) (*tandemv1.ListEventsResponse, error) {
	var v violations
	connector := connectorOf(&v, "parent", req.GetParent())
	size := pageSize(&v, req.GetPageSize(), largestPage)
	state, ok := stateOf(req.GetState())
	v.check(ok, "state", "must be a value of the enum")
	place := openToken(&v, req.GetPageToken(), connector, string(state))
	mask := maskOf(&v, req.GetReadMask(), &tandemv1.Event{})
	if err := v.err(); err != nil {
		return nil, err
	}
	of := connector
	if connector == "-" {
		of = ""
	} else if _, ok := s.Connectors.Describe(connector); !ok {
		return nil, noConnector(connector)
	}
	records, next, err := s.Inbox.List(ctx, of, state, size, place)
	if err != nil {
		return nil, ofPage(err)
	}
	resp := &tandemv1.ListEventsResponse{NextPageToken: sealToken(next, connector, string(state))}
	for _, record := range records {
		shown := eventProto(record)
		mask.apply(shown)
		resp.Events = append(resp.Events, shown)
	}
	return resp, nil
}

// GetEvent implements tandem.v1.EventService.
func (s *EventService) GetEvent(ctx context.Context, req *tandemv1.GetEventRequest) (*tandemv1.GetEventResponse, error) {
	var v violations
	connector, id := childOf(&v, req.GetName(), "events")
	mask := maskOf(&v, req.GetReadMask(), &tandemv1.Event{})
	if err := v.err(); err != nil {
		return nil, err
	}
	record, err := s.Inbox.Get(ctx, connector, id)
	if err != nil {
		return nil, Status(err)
	}
	shown := eventProto(record)
	mask.apply(shown)
	return &tandemv1.GetEventResponse{Event: shown}, nil
}

// ReplayEvent implements tandem.v1.EventService. What was refused is tried again even
// if neither side has changed, since the cause may be mended elsewhere.
func (s *EventService) ReplayEvent(ctx context.Context, req *tandemv1.ReplayEventRequest) (*tandemv1.ReplayEventResponse, error) {
	var v violations
	connector, id := childOf(&v, req.GetName(), "events")
	if err := v.err(); err != nil {
		return nil, err
	}
	record, err := s.Inbox.Replay(ctx, connector, id)
	if err != nil {
		return nil, Status(err)
	}
	return &tandemv1.ReplayEventResponse{Event: eventProto(record)}, nil
}

func stateOf(state tandemv1.Event_State) (inbox.State, bool) {
	switch state {
	case tandemv1.Event_STATE_UNSPECIFIED:
		return "", true
	case tandemv1.Event_STATE_DEAD:
		return inbox.Dead, true
	case tandemv1.Event_STATE_QUEUED:
		return inbox.Queued, true
	case tandemv1.Event_STATE_RUNNING:
		return inbox.Running, true
	case tandemv1.Event_STATE_WAITING:
		return inbox.Waiting, true
	default:
		return "", false
	}
}

func eventProto(r inbox.Record) *tandemv1.Event {
	event := &tandemv1.Event{
		Name:            fmt.Sprintf("connectors/%s/events/%s", r.Key.Connector, r.ID),
		ItemId:          r.Key.ID,
		EventType:       r.Last.Type,
		AttemptCount:    int32(min(r.Failures, 1<<30)), //nolint:gosec // bounded on the same line
		CoalescedCount:  max(r.Count-1, 0),
		ReceiveTime:     timestamp(r.First.Received),
		NextAttemptTime: timestamp(r.Due),
		Reason:          r.Reason,
		TraceId:         r.TraceID,
		Payload:         r.Last.Payload,
	}
	switch r.Key.System {
	case item.Alvao, item.Notices: // what a ticket's solver is to be told belongs to the ticket; the type says "notice"
		event.System = tandemv1.System_SYSTEM_ALVAO
	case item.AzureDevOps:
		event.System = tandemv1.System_SYSTEM_AZURE_DEVOPS
	}
	switch r.State {
	case inbox.Queued:
		event.State = tandemv1.Event_STATE_QUEUED
	case inbox.Running:
		event.State = tandemv1.Event_STATE_RUNNING
	case inbox.Waiting:
		event.State = tandemv1.Event_STATE_WAITING
	case inbox.Dead:
		event.State = tandemv1.Event_STATE_DEAD
	}
	return event
}
