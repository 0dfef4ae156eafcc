package reconcile

import (
	"context"
	"fmt"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/mapping"
	"github.com/tandem-sync/tandem/services/synccore/internal/template"
)

// reporter finds who becomes the work item's reporter; nil: the token's owner. Only
// somebody whom Azure DevOps knows is ever named (azure-devops.md §2.6). Where the
// token may not look people up, the names go along for the server to resolve.
func (r *round) reporter(ctx context.Context, data template.Data) (*item.Identity, []string, error) {
	names, err := r.reporterNames(ctx, data)
	if err != nil {
		return nil, nil, err
	}
	for i, name := range names {
		who, found, err := r.connector.WorkItems.FindIdentity(ctx, name)
		if err != nil {
			return nil, nil, fmt.Errorf("looking up the reporter: %w", err)
		}
		if found {
			return &who, nil, nil
		}
		if r.connector.WorkItems.IdentitiesDenied() {
			return &item.Identity{UniqueName: name}, names[i+1:], nil
		}
	}
	return nil, nil, nil
}

// people looks up whom a draft's fields name. Those whom Azure DevOps does not know are
// taken out and returned. Where the token may not look people up, the names stay for
// the server to resolve.
func (r *round) people(ctx context.Context, draft *item.Draft) ([]item.FieldValue, error) {
	var kept, strangers []item.FieldValue
	for _, f := range draft.Fields {
		if f.Person {
			who, found, err := r.connector.WorkItems.FindIdentity(ctx, f.Value)
			switch {
			case err != nil:
				return nil, fmt.Errorf("looking up the person in %s: %w", f.Reference, err)
			case found:
				f.Value, f.Person = who.UniqueName, false
			case !r.connector.WorkItems.IdentitiesDenied():
				strangers = append(strangers, f)
				continue
			}
		}
		kept = append(kept, f)
	}
	draft.Fields = kept
	return strangers, nil
}

// reporterNames are the names by which the reporter may be known, the best first.
func (r *round) reporterNames(ctx context.Context, data template.Data) ([]string, error) {
	switch rule := r.connector.Rules.Reporter; rule.Mode {
	case mapping.ReporterUser:
		return []string{rule.User}, nil
	case mapping.ReporterRequester:
	case mapping.ReporterDefault:
		return nil, nil
	default:
		return nil, nil
	}
	person := data.Requester
	if person == nil && r.sides.Ticket.RequesterID != 0 {
		found, err := r.connector.Tickets.Person(ctx, r.sides.Ticket.RequesterID)
		if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Denied) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the requester of ticket %d: %w", r.link.Ticket, err)
		}
		person = &found
	}
	if person == nil {
		return nil, nil
	}
	var names []string
	for _, name := range []string{person.Login, person.Email, person.Email2} {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names, nil
}
