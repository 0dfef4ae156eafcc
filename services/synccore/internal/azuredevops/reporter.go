package azuredevops

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// codeNoBypass is the refusal of bypassRules without the permission "Bypass rules on
// work item updates" (reported: jira-azuredevops-migrator #662).
const codeNoBypass = "TF401322"

// ReporterDenied tells that Azure DevOps was found to refuse work items with a
// reporter of their own, for want of the permission "Bypass rules on work item
// updates". Until that is forgotten again, after DescriptionTTL, items are made by the
// token's account.
func (c *Client) ReporterDenied() bool { return c.noBypass.known(c.now()) }

// createReported makes the item with its reporter. false: it can't be made so and
// nothing was made; the caller makes it without.
//
// Setting the reporter needs bypassRules, which also lets through whatever the rules
// forbid and stores unknown people as text (azure-devops.md §2.6). So the item is
// first validated under the rules, without its reporter.
func (c *Client) createReported(ctx context.Context, q call, d item.Draft) (item.WorkItem, bool, error) {
	if c.ReporterDenied() {
		return item.WorkItem{}, false, nil
	}
	who, known, err := c.rehearse(ctx, q, d)
	if err != nil || !known {
		return item.WorkItem{}, false, err
	}
	q.query += "&bypassRules=true"
	q.body = append(draftOperations(d), operation{Op: "add", Path: "/fields/" + fieldCreatedBy, Value: map[string]string{
		"id": who.ID, "uniqueName": who.UniqueName, "displayName": who.DisplayName,
	}})
	var w wireItem
	if _, err = c.do(ctx, q, &w); err == nil {
		c.noBypass.clear()
		made, err := c.workItem(w, q)
		return made, true, err
	}
	told, refused := errors.AsType[*Error](err)
	switch {
	case !refused || !definite(err):
		return item.WorkItem{}, false, err
	case told.Code == codeNoBypass || fault.Is(err, fault.Denied):
		c.noBypass.note(c.now(), c.ttl)
	}
	// The same item has just passed the rules, so it is the reporter that is refused.
	return item.WorkItem{}, false, nil
}

// definite tells that the server refused, so that nothing was made.
func definite(err error) bool {
	switch fault.KindOf(err) {
	case fault.Denied, fault.Refused, fault.Invalid, fault.Misconfigured:
		return true
	default:
		return false
	}
}

// rehearse validates the item under the rules and resolves the reporter. A reporter
// without ID is somebody of whom only the user name is known, because the token may
// not look people up: the server is asked to resolve the name as an assignee would
// be, which it refuses for an unknown one. false: there is nobody of that name.
func (c *Client) rehearse(ctx context.Context, q call, d item.Draft) (item.Identity, bool, error) {
	who := *d.Reporter
	if who.ID != "" {
		err := c.validate(ctx, q, d)
		return who, err == nil, err
	}
	for _, name := range append([]string{who.UniqueName}, d.OtherNames...) {
		if name == "" {
			continue
		}
		found, known, err := c.resolved(ctx, q, d, name)
		if known || err != nil {
			return found, known, err
		}
	}
	return who, false, nil
}

// resolved asks whom the server takes a name for.
func (c *Client) resolved(ctx context.Context, q call, d item.Draft, name string) (item.Identity, bool, error) {
	d.Fields = append(slices.Clip(d.Fields), item.FieldValue{Reference: fieldAssignedTo, Value: name})
	q.query += "&validateOnly=true"
	q.body, q.reads, q.deed = draftOperations(d), true, "validate"
	var w wireItem
	if _, err := c.do(ctx, q, &w); err != nil {
		if !definite(err) {
			return item.Identity{}, false, err
		}
		// If it is the item rather than the name, creating it without a reporter tells.
		return item.Identity{}, false, nil
	}
	var found wireIdentity
	if raw, ok := w.Fields[fieldAssignedTo]; ok {
		_ = json.Unmarshal(raw, &found) // any JSON is taken
	}
	if found.ID == "" || fold(string(found.UniqueName)) != fold(name) {
		return item.Identity{}, false, nil
	}
	return item.Identity{ID: string(found.ID), UniqueName: string(found.UniqueName), DisplayName: string(found.DisplayName)}, true, nil
}

// checkReporter tells whether work items can be given a reporter, writing nothing.
func (c *Client) checkReporter(ctx context.Context, kind string) []item.Finding {
	return append([]item.Finding{c.checkIdentities(ctx)}, c.checkBypass(ctx, kind))
}

func (c *Client) checkIdentities(ctx context.Context) item.Finding {
	who, err := c.Identity(ctx)
	if err == nil {
		_, _, err = c.FindIdentity(ctx, who.Account)
	}
	switch {
	case err != nil:
		return failed(checkIdentities, err, "Run the check again.")
	case c.IdentitiesDenied():
		return item.Finding{
			Check: checkIdentities, Severity: item.Warning,
			Detail: "Identities looked up: no right, so a reporter is found only by a user name that Azure DevOps accepts as an assignee.",
			Remedy: "Add the scope Identity (Read) to the access token.",
		}
	default:
		return item.Finding{Check: checkIdentities, Severity: item.OK, Detail: "The access token may look people up."}
	}
}

func (c *Client) checkBypass(ctx context.Context, kind string) item.Finding {
	_, err := c.do(ctx, call{
		method: http.MethodPost, path: c.createPath(kind), query: "validateOnly=true&bypassRules=true",
		body:  []operation{setField(fieldTitle, "Tandem checks its rights")},
		patch: true, reads: true, subject: "a work item with a reporter", deed: "create",
	}, nil)
	told, refused := errors.AsType[*Error](err)
	switch {
	case err == nil:
		return item.Finding{Check: checkReporter, Severity: item.OK, Detail: "The access token may set the reporter of new work items."}
	case refused && (told.Code == codeNoBypass || fault.Is(err, fault.Denied)):
		c.noBypass.note(c.now(), c.ttl)
		return item.Finding{
			Check: checkReporter, Severity: item.Warning,
			Detail: "The access token's account may not set the reporter, so it is itself the reporter of all new work items.",
			Remedy: "Grant it the permission Bypass rules on work item updates in the project, or set TicketReporter to Default.",
		}
	default:
		return failed(checkReporter, err, "Run the check again.")
	}
}
