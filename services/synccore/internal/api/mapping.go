package api

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// SettingsError tells what is wrong with settings that are to be tried, all at once.
type SettingsError struct {
	// Problems are pairs of a path within the settings and what is wrong there.
	Problems [][2]string
}

func (e *SettingsError) Error() string { return "the settings are wrong" }

// Rendering is the work item that would be created for a ticket.
type Rendering struct {
	Ticket    int64
	TicketURL string
	Draft     item.Draft
	// Reporter is empty where it is the token's account.
	Reporter string
	States   []string
	Doubts   []item.Finding
}

// Difference is a value that other settings would give.
type Difference struct {
	Ticket                int64
	Field, Present, Draft string
}

// Comparison is what other settings would do differently.
type Comparison struct {
	Differences        []Difference
	Tickets, Differing int
	Truncated          bool
}

// Mappings tries settings on real items, and writes nothing. All fail with
// fault.NotFound where there is no such connector, and with a SettingsError where
// settings are wrong.
type Mappings interface {
	// Preview renders a ticket; fault.Invalid if there is none. Sample is not nil for one
	// that is made up, whose last message is given beside it.
	Preview(ctx context.Context, connector string, ticket int64, sample *item.Ticket, message, settings string) (Rendering, error)
	// Examples reads items of both sides as they are sent.
	Examples(ctx context.Context, connector string) (tickets, workItems []map[string]any, err error)
	// Compare renders the recent tickets with the connector's settings and with others.
	Compare(ctx context.Context, connector, settings string, since time.Time, most int) (Comparison, error)
}

// maxSettings is the most bytes of settings that are tried.
const maxSettings = 64 << 10

// PreviewWorkItem implements tandem.v1.ConnectorService.
func (s *ConnectorService) PreviewWorkItem(ctx context.Context, req *tandemv1.PreviewWorkItemRequest) (*tandemv1.PreviewWorkItemResponse, error) {
	var v violations
	name := connectorOf(&v, "name", req.GetName())
	sample := req.GetSample()
	switch {
	case req.GetTicketId() == 0 && sample == nil:
		v.add("ticket_id", "or sample is required")
	case req.GetTicketId() != 0 && sample != nil:
		v.add("sample", "must be absent where ticket_id is set")
	}
	v.check(req.GetTicketId() >= 0, "ticket_id", "must be greater than 0")
	v.check(sample.GetTicketId() >= 0, "sample.ticket_id", "must not be negative")
	v.check(len(req.GetSettings()) <= maxSettings, "settings", "must be at most 64 KiB")
	if err := v.err(); err != nil {
		return nil, err
	}
	var ticket *item.Ticket
	if sample != nil {
		ticket = sampleTicket(sample)
	}
	got, err := s.Mappings.Preview(ctx, name, req.GetTicketId(), ticket, sample.GetMessage(), req.GetSettings())
	if err != nil {
		return nil, ofMapping(name, err)
	}
	resp := &tandemv1.PreviewWorkItemResponse{
		TicketId: got.Ticket, Type: got.Draft.Type, Reporter: got.Reporter, States: got.States, Tag: got.Draft.Mark, TicketUrl: got.TicketURL,
	}
	for _, f := range got.Draft.Fields {
		resp.Fields = append(resp.Fields, &tandemv1.FieldDraft{Reference: f.Reference, Value: f.Value})
	}
	for _, one := range got.Doubts {
		resp.Warnings = append(resp.Warnings, findingProto(one))
	}
	return resp, nil
}

func sampleTicket(s *tandemv1.SampleTicket) *item.Ticket {
	return &item.Ticket{
		ID: s.GetTicketId(), Title: s.GetTitle(), Status: s.GetStatus(), Priority: s.GetPriority(), Impact: s.GetImpact(), Urgency: s.GetUrgency(),
		SLA: s.GetSla(), RequesterID: s.GetRequesterId(), Requester: s.GetRequester(), SolverID: s.GetSolverId(), Solver: s.GetSolver(),
		Custom: s.GetCustom(), MessageTag: s.GetMessageTag(),
	}
}

// ListExamples implements tandem.v1.ConnectorService.
func (s *ConnectorService) ListExamples(ctx context.Context, req *tandemv1.ListExamplesRequest) (*tandemv1.ListExamplesResponse, error) {
	var v violations
	name := connectorOf(&v, "name", req.GetName())
	if err := v.err(); err != nil {
		return nil, err
	}
	tickets, workItems, err := s.Mappings.Examples(ctx, name)
	if err != nil {
		return nil, ofMapping(name, err)
	}
	resp := &tandemv1.ListExamplesResponse{}
	if resp.Tickets, err = structs(tickets); err != nil {
		return nil, Status(err)
	}
	if resp.WorkItems, err = structs(workItems); err != nil {
		return nil, Status(err)
	}
	return resp, nil
}

func structs(objects []map[string]any) ([]*structpb.Struct, error) {
	var all []*structpb.Struct
	for _, object := range objects {
		one, err := structpb.NewStruct(object)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// DiffMapping implements tandem.v1.ConnectorService.
func (s *ConnectorService) DiffMapping(ctx context.Context, req *tandemv1.DiffMappingRequest) (*tandemv1.DiffMappingResponse, error) {
	const defaultDays, mostDays, defaultTickets, mostTickets = 7, 90, 100, 500
	var v violations
	name := connectorOf(&v, "name", req.GetName())
	v.check(req.GetSettings() != "" && len(req.GetSettings()) <= maxSettings, "settings", "is required, and must be at most 64 KiB")
	v.check(req.GetDays() >= 0 && req.GetDays() <= mostDays, "days", "must be from 1 to 90, or 0 for 7")
	v.check(req.GetTicketLimit() >= 0 && req.GetTicketLimit() <= mostTickets, "ticket_limit", "must be from 1 to 500, or 0 for 100")
	if err := v.err(); err != nil {
		return nil, err
	}
	days, most := int(req.GetDays()), int(req.GetTicketLimit())
	if days == 0 {
		days = defaultDays
	}
	if most == 0 {
		most = defaultTickets
	}
	got, err := s.Mappings.Compare(ctx, name, req.GetSettings(), s.Now().AddDate(0, 0, -days), most)
	if err != nil {
		return nil, ofMapping(name, err)
	}
	resp := &tandemv1.DiffMappingResponse{TicketCount: count32(got.Tickets), DifferingCount: count32(got.Differing), Truncated: got.Truncated}
	for _, one := range got.Differences {
		resp.Differences = append(resp.Differences, &tandemv1.MappingDifference{TicketId: one.Ticket, Field: one.Field, Present: one.Present, Draft: one.Draft})
	}
	return resp, nil
}

// ofMapping is the status of a try that failed.
func ofMapping(name string, err error) error {
	if wrong, ok := errors.AsType[*SettingsError](err); ok {
		var v violations
		for _, problem := range wrong.Problems {
			field := "settings"
			if problem[0] != "" {
				field += "." + problem[0]
			}
			v.add(field, problem[1])
		}
		return v.err()
	}
	switch fault.KindOf(err) {
	case fault.NotFound:
		return noConnector(name)
	case fault.Invalid, fault.Misconfigured, fault.Refused:
		return refuse(codes.FailedPrecondition, tandemv1.ErrorReason_ERROR_REASON_UNRENDERABLE, fault.Sentence(err))
	default:
		return ofVendor(Status, err)
	}
}

func findingProto(one item.Finding) *tandemv1.Finding {
	return &tandemv1.Finding{Check: one.Check, Severity: severityProto(one.Severity), Detail: one.Detail, Remedy: one.Remedy}
}
