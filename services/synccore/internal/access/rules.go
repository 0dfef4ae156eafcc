package access

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/grpc"
)

// Rule says who may call a method.
type Rule struct {
	// Public methods need no credentials and are not counted; all else is zero.
	Public bool
	// Least is the least role that may call.
	Least Role
	// Edge lets the gateway call as well.
	Edge bool
	// Believed are the fields of the request, separated by commas, that the gateway alone may
	// fill, because what they say is taken as true; empty: there is none.
	Believed string
	// Writes has each call written to the audit log.
	Writes bool
	// Connector is the field of the request that names the connector: by its name, as
	// connectors/{connector} or as something below that. Empty: there is none.
	Connector string
	// Filtered: where the request names no connector or all of them, a caller of some
	// connectors is answered about these alone; without it they are refused.
	Filtered bool
	// Neutral: there is nothing of any connector in it.
	Neutral bool
}

// Rules is the table: every method that is served, by its full name. What is not in it
// can't be called, and sync-core does not start.
func Rules() map[string]Rule {
	const (
		events     = "/tandem.v1.EventService/"
		links      = "/tandem.v1.LinkService/"
		connectors = "/tandem.v1.ConnectorService/"
		resyncs    = "/tandem.v1.ResyncService/"
	)
	return map[string]Rule{
		events + "IngestEvent": {Least: Operator, Edge: true, Believed: "pushed,round", Writes: true, Connector: "connector"},
		events + "ListEvents":  {Least: Viewer, Connector: "parent", Filtered: true},
		events + "GetEvent":    {Least: Viewer, Connector: "name"},
		events + "ReplayEvent": {Least: Operator, Writes: true, Connector: "name"},

		links + "GetLink":         {Least: Viewer, Connector: "name"},
		links + "ListLinks":       {Least: Viewer, Connector: "parent", Filtered: true},
		links + "ListLinkHistory": {Least: Viewer, Connector: "name"},
		links + "WatchLinks":      {Least: Viewer, Connector: "parent"},
		links + "ExplainLink":     {Least: Viewer, Connector: "name"},
		links + "CreateLink":      {Least: Admin, Writes: true, Connector: "parent"},
		links + "SyncLink":        {Least: Operator, Writes: true, Connector: "name"},
		links + "DeleteLink":      {Least: Admin, Writes: true, Connector: "name"},

		connectors + "ListConnectors":   {Least: Viewer, Filtered: true},
		connectors + "GetConnector":     {Least: Viewer, Connector: "name"},
		connectors + "CheckConnector":   {Least: Operator, Connector: "name"},
		connectors + "ResyncConnector":  {Least: Operator, Writes: true, Connector: "name"},
		connectors + "ReleaseConnector": {Least: Admin, Writes: true, Connector: "name"},

		// These ask the vendors, and show what stands in tickets.
		connectors + "PreviewWorkItem": {Least: Operator, Connector: "name"},
		connectors + "ListExamples":    {Least: Operator, Connector: "name"},
		connectors + "DiffMapping":     {Least: Operator, Connector: "name"},

		resyncs + "StartResync":  {Least: Operator, Writes: true, Connector: "parent"},
		resyncs + "GetResync":    {Least: Viewer, Connector: "name"},
		resyncs + "ListResyncs":  {Least: Viewer, Connector: "parent"},
		resyncs + "CancelResync": {Least: Operator, Writes: true, Connector: "name"},
		resyncs + "CheckDrift":   {Least: Operator, Connector: "parent"},
		resyncs + "RepairDrift":  {Least: Operator, Writes: true, Connector: "name"},

		// Probes and load balancers have no credentials, and it tells no more than whether
		// sync-core serves.
		"/grpc.health.v1.Health/Check": {Public: true},
		"/grpc.health.v1.Health/List":  {Public: true},
		"/grpc.health.v1.Health/Watch": {Public: true},

		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      {Least: Viewer, Neutral: true},
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": {Least: Viewer, Neutral: true},
	}
}

// Covers tells whether every method of a server has its rule, and what to do about those
// that have none.
func Covers(rules map[string]Rule, services map[string]grpc.ServiceInfo) error {
	var errs []error
	for _, service := range slices.Sorted(maps.Keys(services)) {
		for _, method := range services[service].Methods {
			name := "/" + service + "/" + method.Name
			if _, ok := rules[name]; !ok {
				errs = append(errs, fmt.Errorf("the method %s has no rule, so nobody could call it: add a row to Rules in internal/access/rules.go, "+ //nolint:err113 // for a developer
					`such as "%s": {Least: Viewer, Connector: "name"}, with Writes: true if it changes anything`, name, name))
			}
		}
	}
	return errors.Join(errs...)
}
