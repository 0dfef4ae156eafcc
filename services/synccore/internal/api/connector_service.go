package api

import (
	"cmp"
	"context"
	"math"
	"slices"
	"sort"
	"time"

	"google.golang.org/grpc/codes"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/brake"
	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// Description is what a connector tells of itself.
type Description struct {
	Name           string
	AlvaoService   string
	AlvaoURL       string
	AzureDevOpsURL string
	// StatusMap holds the pairs in their order.
	StatusMap []item.Pair
	// Checked tells that both systems have accepted or refused its token since the start.
	Checked bool
	// Unhealthy is the sentence that says why it can't work; empty: it is healthy.
	Unhealthy      string
	UnhealthySince time.Time
	// Degraded says in sentences what it can't do though it is healthy; empty: nothing.
	Degraded string
}

// Connectors is what the API needs of the running connectors.
type Connectors interface {
	// Describe finds a connector by name.
	Describe(name string) (Description, bool)
	// DescribeAll lists all connectors.
	DescribeAll() []Description
	// Find names the connectors that cover an origin; fault.NotFound if none does,
	// fault.Unavailable while that can't be told.
	Find(accountURL, projectID, projectName string) ([]string, error)
	// Check asks both systems whether the connector can work.
	Check(ctx context.Context, name string) ([]item.Finding, error)
	// Capabilities tells what its Alvao tenant offers of what not every one does.
	Capabilities(ctx context.Context, name string) ([]item.Capability, error)
	// Brake tells about the mass change of a connector; the zero value: there is none.
	Brake(ctx context.Context, name string) (brake.State, error)
	// Release lets the mass change of that id go; fault.Refused if it does not wait.
	Release(ctx context.Context, name, id string) error
	// Resync tells about the latest resync of a connector that began; the zero value:
	// there was none.
	Resync(ctx context.Context, name string) (item.Resync, error)
	// AskResync asks for one now and returns it as it waits; the one whose Request is not
	// before its Asked is the answer. A request id that asked before gets what it got then.
	AskResync(ctx context.Context, name, request string) (item.Resync, error)
	// Link links a ticket and a work item that both exist, or with dry only looks whether it
	// could: fault.Invalid where one of them can't be linked, fault.Refused where either is
	// linked with another, fault.Conflict while the ticket is worked on.
	Link(ctx context.Context, name string, ticket, workItem int64, dry bool) (item.Link, error)
}

// ConnectorService implements tandem.v1.ConnectorService.
type ConnectorService struct {
	tandemv1.UnsafeConnectorServiceServer

	// All fields are required.
	Connectors Connectors
	Mappings   Mappings
	Now        func() time.Time
}

// ListConnectors implements tandem.v1.ConnectorService.
func (s *ConnectorService) ListConnectors(ctx context.Context, req *tandemv1.ListConnectorsRequest) (*tandemv1.ListConnectorsResponse, error) {
	var v violations
	size := pageSize(&v, req.GetPageSize(), largestPage)
	after := openToken(&v, req.GetPageToken())
	mask := maskOf(&v, req.GetReadMask(), &tandemv1.Connector{})
	if err := v.err(); err != nil {
		return nil, err
	}
	all := s.Connectors.DescribeAll()
	slices.SortFunc(all, func(a, b Description) int { return cmp.Compare(a.Name, b.Name) })
	// A token names the last connector that was sent, so that one added or removed
	// meanwhile shifts nothing.
	start := sort.Search(len(all), func(i int) bool { return all[i].Name > after })
	all = all[start:]
	resp := &tandemv1.ListConnectorsResponse{}
	if len(all) > size {
		all = all[:size]
		resp.NextPageToken = sealToken(all[size-1].Name)
	}
	for _, one := range all {
		shown, err := s.shown(ctx, one)
		if err != nil {
			return nil, err
		}
		mask.apply(shown)
		resp.Connectors = append(resp.Connectors, shown)
	}
	return resp, nil
}

// GetConnector implements tandem.v1.ConnectorService.
func (s *ConnectorService) GetConnector(ctx context.Context, req *tandemv1.GetConnectorRequest) (*tandemv1.GetConnectorResponse, error) {
	var v violations
	name := connectorOf(&v, "name", req.GetName())
	mask := maskOf(&v, req.GetReadMask(), &tandemv1.Connector{})
	if err := v.err(); err != nil {
		return nil, err
	}
	one, ok := s.Connectors.Describe(name)
	if !ok {
		return nil, noConnector(name)
	}
	shown, err := s.shown(ctx, one)
	if err != nil {
		return nil, err
	}
	mask.apply(shown)
	return &tandemv1.GetConnectorResponse{Connector: shown}, nil
}

// ReleaseConnector implements tandem.v1.ConnectorService.
func (s *ConnectorService) ReleaseConnector(ctx context.Context, req *tandemv1.ReleaseConnectorRequest) (*tandemv1.ReleaseConnectorResponse, error) {
	const longest = 64
	var v violations
	name := connectorOf(&v, "name", req.GetName())
	v.check(req.GetBrakeId() != "" && len(req.GetBrakeId()) <= longest, "brake_id", "must be the id of the connector's brake")
	if err := v.err(); err != nil {
		return nil, err
	}
	one, ok := s.Connectors.Describe(name)
	if !ok {
		return nil, noConnector(name)
	}
	err := s.Connectors.Release(ctx, name, req.GetBrakeId())
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, noConnector(name)
	case fault.Is(err, fault.Refused):
		return nil, refuse(codes.FailedPrecondition, tandemv1.ErrorReason_ERROR_REASON_NOT_BRAKED, fault.Sentence(err))
	case err != nil:
		return nil, Status(err)
	}
	shown, err := s.shown(ctx, one)
	if err != nil {
		return nil, err
	}
	return &tandemv1.ReleaseConnectorResponse{Connector: shown}, nil
}

// ResyncConnector implements tandem.v1.ConnectorService.
func (s *ConnectorService) ResyncConnector(ctx context.Context, req *tandemv1.ResyncConnectorRequest) (*tandemv1.ResyncConnectorResponse, error) {
	var v violations
	name := connectorOf(&v, "name", req.GetName())
	if err := v.err(); err != nil {
		return nil, err
	}
	one, ok := s.Connectors.Describe(name)
	if !ok {
		return nil, noConnector(name)
	}
	asked, err := s.Connectors.AskResync(ctx, name, "")
	if fault.Is(err, fault.NotFound) {
		// It was removed from the configuration a moment ago.
		return nil, noConnector(name)
	}
	if err != nil {
		return nil, Status(err)
	}
	shown, err := s.shown(ctx, one)
	if err != nil {
		return nil, err
	}
	return &tandemv1.ResyncConnectorResponse{Connector: shown, RequestTime: timestamp(asked.Asked)}, nil
}

// shown is a connector with its brake and its latest resync.
func (s *ConnectorService) shown(ctx context.Context, d Description) (*tandemv1.Connector, error) {
	c := connectorProto(d)
	state, err := s.Connectors.Brake(ctx, d.Name)
	if fault.Is(err, fault.NotFound) {
		// It was removed from the configuration a moment ago.
		return c, nil
	}
	if err != nil {
		return nil, Status(err)
	}
	c.Brake = brakeProto(state)
	latest, err := s.Connectors.Resync(ctx, d.Name)
	if fault.Is(err, fault.NotFound) {
		return c, nil
	}
	if err != nil {
		return nil, Status(err)
	}
	c.Resync = resyncProto(d.Name, latest)
	return c, nil
}

// brakeProto is nil if there is no mass change.
func brakeProto(state brake.State) *tandemv1.Brake {
	if !state.Exists() {
		return nil
	}
	b := &tandemv1.Brake{
		Id: state.ID(), HoldTime: timestamp(state.Since), ReleaseTime: timestamp(state.Released), Reason: state.Sentence(),
		LinkCount: count32(state.Foresight.Links), ItemCount: count32(state.Foresight.Total()),
	}
	for _, kind := range state.Foresight.Kinds() {
		b.PlannedWrites = append(b.PlannedWrites, &tandemv1.PlannedWrites{Kind: kind, Count: count32(state.Foresight.Writes[kind])})
	}
	for _, e := range state.Foresight.Examples {
		b.Examples = append(b.Examples, &tandemv1.PlannedWrite{Kind: e.Kind, TicketId: e.Ticket, WorkItemId: e.WorkItem, Detail: e.Detail})
	}
	return b
}

// count32 is a count as the contract holds it.
func count32(n int) int32 { return int32(min(max(n, 0), math.MaxInt32)) }

// CheckConnector implements tandem.v1.ConnectorService.
func (s *ConnectorService) CheckConnector(ctx context.Context, req *tandemv1.CheckConnectorRequest) (*tandemv1.CheckConnectorResponse, error) {
	var v violations
	name := connectorOf(&v, "name", req.GetName())
	if err := v.err(); err != nil {
		return nil, err
	}
	if _, ok := s.Connectors.Describe(name); !ok {
		return nil, noConnector(name)
	}
	findings, err := s.Connectors.Check(ctx, name)
	if fault.Is(err, fault.NotFound) {
		// It was removed from the configuration a moment ago.
		return nil, noConnector(name)
	}
	if err != nil {
		return nil, Status(err)
	}
	resp := &tandemv1.CheckConnectorResponse{}
	for _, one := range findings {
		resp.Findings = append(resp.Findings, findingProto(one))
	}
	slices.SortStableFunc(resp.GetFindings(), func(a, b *tandemv1.Finding) int {
		return cmp.Compare(b.GetSeverity(), a.GetSeverity())
	})
	capabilities, err := s.Connectors.Capabilities(ctx, name)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return nil, Status(err)
	}
	for _, one := range capabilities {
		resp.Capabilities = append(resp.Capabilities, &tandemv1.Capability{
			Name: one.Name, Title: one.Title, Support: supportProto(one.Support), Found: one.Found, Fallback: one.Fallback, Cost: one.Cost, Ask: one.Ask,
		})
	}
	return resp, nil
}

func supportProto(s item.Support) tandemv1.Capability_Support {
	switch s {
	case item.Offered:
		return tandemv1.Capability_SUPPORT_OFFERED
	case item.Missing:
		return tandemv1.Capability_SUPPORT_MISSING
	case item.Unknown:
		return tandemv1.Capability_SUPPORT_UNKNOWN
	default:
		return tandemv1.Capability_SUPPORT_UNSPECIFIED
	}
}

func connectorProto(d Description) *tandemv1.Connector {
	c := &tandemv1.Connector{
		Name:           "connectors/" + d.Name,
		AlvaoService:   d.AlvaoService,
		AlvaoUrl:       d.AlvaoURL,
		AzureDevopsUrl: d.AzureDevOpsURL,
		Healthy:        d.Unhealthy == "",
		Checked:        d.Checked,
		Reason:         d.Unhealthy,
		ReasonTime:     timestamp(d.UnhealthySince),
		Degraded:       d.Degraded,
	}
	for _, pair := range d.StatusMap {
		c.StatusMap = append(c.StatusMap, &tandemv1.StatusPair{State: pair.State, Status: pair.Status})
	}
	return c
}

func severityProto(s item.Severity) tandemv1.Finding_Severity {
	switch s {
	case item.OK:
		return tandemv1.Finding_SEVERITY_OK
	case item.Warning:
		return tandemv1.Finding_SEVERITY_WARNING
	case item.Error:
		return tandemv1.Finding_SEVERITY_ERROR
	default:
		return tandemv1.Finding_SEVERITY_UNSPECIFIED
	}
}
