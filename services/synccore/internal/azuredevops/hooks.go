package azuredevops

import (
	"context"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// The paths at which the gateway takes service hooks (Alvao's manual names the second).
const (
	hooksPath    = "/hooks/azure-devops"
	callbackPath = "/connectors/devopscallback"
)

// leadsTo tells whether a subscription leads to a connector of Tandem: the address by
// which anybody reaches the gateway is not known here, its paths are.
func (w wireHook) leadsTo(connector, deskHost, project string) bool {
	u, err := url.Parse(w.address())
	if err != nil || (w.projectID() != "" && project != "" && !strings.EqualFold(w.projectID(), project)) {
		return false
	}
	at := strings.ToLower(strings.TrimRight(u.Path, "/"))
	switch {
	case strings.HasSuffix(at, hooksPath):
		return true
	case strings.HasSuffix(path.Dir(at), hooksPath):
		return strings.EqualFold(path.Base(at), connector)
	default:
		// At Alvao's own host the callback is that of Alvao's own connector.
		return strings.HasSuffix(at, callbackPath) && !strings.EqualFold(u.Host, deskHost)
	}
}

// CheckHooks tells how the service hooks fare that lead to the connector: Azure DevOps
// puts those that failed on probation and then switches them off, and says so only
// here (azure-devops.md §1.7). It writes nothing.
func (c *Client) CheckHooks(ctx context.Context, want Wants) []item.Finding {
	list, err := c.listHooks(ctx)
	switch fault.KindOf(err) {
	case fault.Denied, fault.BadToken, fault.NotFound, fault.Misconfigured, fault.Invalid:
		if err != nil {
			// Alvao's manual does not ask for the right.
			return []item.Finding{{
				Check: checkHooks, Severity: item.OK,
				Detail: "The access token may not see service hooks, so whether they are switched on is to be looked up in the project's settings.",
			}}
		}
	default:
		if err != nil {
			return []item.Finding{failed(checkHooks, err, "Run the check again.")}
		}
	}
	ours := slices.DeleteFunc(list, func(w wireHook) bool {
		return !w.leadsTo(want.Connector, want.DeskHost, c.projectID())
	})
	if len(ours) == 0 {
		return []item.Finding{{
			Check: checkHooks, Severity: item.Warning,
			Detail: "No service hook of the project leads to this connector, so changes in Azure DevOps are seen only when it is polled.",
			Remedy: "Enter what the command synccore hooks prints under Project settings, Service hooks.",
		}}
	}
	var found []item.Finding
	for _, w := range ours {
		if f, sick := sickness(w); sick && !slices.Contains(found, f) {
			found = append(found, f)
		}
	}
	if len(found) == 0 {
		found = append(found, item.Finding{Check: checkHooks, Severity: item.OK, Detail: fmt.Sprintf("All %d service hooks that lead to this connector are switched on.", len(ours))})
	}
	return found
}

// sickness is the finding about a subscription that is not simply switched on.
func sickness(w wireHook) (item.Finding, bool) {
	f := item.Finding{Check: checkHooks, Severity: item.Warning}
	switch strings.ToLower(string(w.Status)) {
	case "", "enabled":
		return item.Finding{}, false
	case "onprobation":
		f.Detail = fmt.Sprintf("The service hook for %s is on probation because deliveries failed, so events are late or lost.", w.EventType)
		f.Remedy = "See that Azure DevOps reaches the gateway and that the hook's password is right; the next delivery that succeeds ends the probation."
	case "disabledbyuser":
		f.Detail = fmt.Sprintf("The service hook for %s was switched off by a person.", w.EventType)
		f.Remedy = "Switch it on under Project settings, Service hooks."
	case "disabledbyinactiveidentity":
		f.Detail = fmt.Sprintf("The service hook for %s was switched off because the account that created it is not active any more.", w.EventType)
		f.Remedy = "Create it anew with a service account."
	default:
		f.Detail = fmt.Sprintf("The service hook for %s was switched off by Azure DevOps because deliveries failed.", w.EventType)
		f.Remedy = "See that Azure DevOps reaches the gateway and that the hook's password is right, then switch the hook on under Project settings, Service hooks."
	}
	return f, true
}
