package api

import (
	"cmp"
	"context"
	"encoding/base64"
	"slices"
	"sort"
	"time"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
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
}

// ConnectorService implements tandem.v1.ConnectorService.
type ConnectorService struct {
	tandemv1.UnsafeConnectorServiceServer

	// Connectors is required.
	Connectors Connectors
}

// ListConnectors implements tandem.v1.ConnectorService.
func (s *ConnectorService) ListConnectors(_ context.Context, req *tandemv1.ListConnectorsRequest) (*tandemv1.ListConnectorsResponse, error) {
	var v violations
	size := pageSize(&v, req.GetPageSize(), largestPage)
	after, err := base64.RawURLEncoding.DecodeString(req.GetPageToken())
	v.check(err == nil, "page_token", "must be a next_page_token that this method sent")
	if err := v.err(); err != nil {
		return nil, err
	}
	all := s.Connectors.DescribeAll()
	slices.SortFunc(all, func(a, b Description) int { return cmp.Compare(a.Name, b.Name) })
	// A token names the last connector that was sent, so that one added or removed
	// meanwhile shifts nothing.
	start := sort.Search(len(all), func(i int) bool { return all[i].Name > string(after) })
	all = all[start:]
	resp := &tandemv1.ListConnectorsResponse{}
	if len(all) > size {
		all = all[:size]
		resp.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(all[size-1].Name))
	}
	for _, one := range all {
		resp.Connectors = append(resp.Connectors, connectorProto(one))
	}
	return resp, nil
}

// GetConnector implements tandem.v1.ConnectorService.
func (s *ConnectorService) GetConnector(_ context.Context, req *tandemv1.GetConnectorRequest) (*tandemv1.GetConnectorResponse, error) {
	var v violations
	name := connectorOf(&v, "name", req.GetName())
	if err := v.err(); err != nil {
		return nil, err
	}
	one, ok := s.Connectors.Describe(name)
	if !ok {
		return nil, noConnector(name)
	}
	return &tandemv1.GetConnectorResponse{Connector: connectorProto(one)}, nil
}

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
		resp.Findings = append(resp.Findings, &tandemv1.Finding{
			Check: one.Check, Severity: severityProto(one.Severity), Detail: one.Detail, Remedy: one.Remedy,
		})
	}
	slices.SortStableFunc(resp.GetFindings(), func(a, b *tandemv1.Finding) int {
		return cmp.Compare(b.GetSeverity(), a.GetSeverity())
	})
	return resp, nil
}

func connectorProto(d Description) *tandemv1.Connector {
	c := &tandemv1.Connector{
		Name:           "connectors/" + d.Name,
		AlvaoService:   d.AlvaoService,
		AlvaoUrl:       d.AlvaoURL,
		AzureDevopsUrl: d.AzureDevOpsURL,
		Healthy:        d.Unhealthy == "",
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
