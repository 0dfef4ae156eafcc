package azuredevops

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// operation is one step of a JSON Patch (RFC 6902). For fields, add both sets and
// overwrites, while replace fails on an empty field (azure-devops.md §2.2).
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

type relation struct {
	Rel        string            `json:"rel"`
	URL        string            `json:"url"`
	Attributes map[string]string `json:"attributes,omitempty"`
}

func setField(reference, value string) operation {
	return operation{Op: "add", Path: "/fields/" + pointer(reference), Value: value}
}

func addHyperlink(target, text string) operation {
	r := relation{Rel: relHyperlink, URL: target}
	if text != "" {
		r.Attributes = map[string]string{"comment": text}
	}
	return operation{Op: "add", Path: "/relations/-", Value: r}
}

func testRev(rev int64) operation { return operation{Op: "test", Path: "/rev", Value: rev} }

// pointer escapes a name for a JSON pointer (RFC 6901).
func pointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// Create makes a work item with its mark and hyperlink in the same call, so that it
// can be found again. It is sent once: where the reply is lost, the fault is
// Unavailable and the caller looks for the mark before it creates again. State must
// not be among the fields, for only the type's initial state is legal at creation
// (azure-devops.md §2.5). Empty values are not sent; of two values for one field the
// last counts, since Azure DevOps refuses both in one patch (VS403691).
//
// A Reporter is set where the token's account may bypass rules; where it may not, the
// item is made without one and ReporterDenied tells. A Reporter without ID is resolved
// by the server from its UniqueName. A field that names a Person whom the server does
// not know is left out.
func (c *Client) Create(ctx context.Context, d item.Draft) (item.WorkItem, error) {
	subject := "the work item of " + d.Mark
	if d.Type == "" {
		return item.WorkItem{}, misconfigured("The AttributeMap names no System.WorkItemType, so %s can't be made.", subject)
	}
	if d.Mark == "" || d.TicketURL == "" {
		return item.WorkItem{}, fault.New(fault.Invalid, "A work item without mark and ticket address could not be found again and is not made.")
	}
	q := call{
		method: http.MethodPost, path: c.createPath(d.Type), query: "$expand=relations",
		patch: true, subject: subject, deed: "create",
	}
	d, err := c.withoutStrangers(ctx, q, d)
	if err != nil {
		return item.WorkItem{}, err
	}
	if d.Reporter != nil {
		made, done, err := c.createReported(ctx, q, d)
		if done || err != nil {
			return made, err
		}
	}
	q.body = draftOperations(d)
	var w wireItem
	if _, err := c.do(ctx, q, &w); err != nil {
		return item.WorkItem{}, err
	}
	return c.workItem(w, q)
}

func (c *Client) createPath(kind string) string {
	return c.inProject("/wit/workitems/$" + url.PathEscape(kind))
}

func draftOperations(d item.Draft) []operation {
	operations := make([]operation, 0, len(d.Fields)+2)
	at := make(map[string]int, len(d.Fields))
	tags := ""
	for _, f := range d.Fields {
		name := fold(f.Reference)
		n, seen := at[name]
		switch {
		case name == fold(fieldTags):
			tags = f.Value
		case name == fold(fieldType), f.Value == "":
			// The type stands in the address; an empty value is no value.
		case seen:
			operations[n].Value = f.Value
		default:
			at[name] = len(operations)
			operations = append(operations, setField(f.Reference, f.Value))
		}
	}
	return append(operations, setField(fieldTags, withTag(tags, d.Mark)), addHyperlink(d.TicketURL, d.LinkText))
}

// SetState moves a work item to a state, provided it still has revision rev; 0 skips
// that proof. A changed item is a Conflict, a forbidden move is Refused.
func (c *Client) SetState(ctx context.Context, id, rev int64, state string) (item.WorkItem, error) {
	operations := make([]operation, 0, 2)
	if rev > 0 {
		operations = append(operations, testRev(rev))
	}
	operations = append(operations, setField(fieldState, state))
	return c.patch(ctx, id, operations, "move to "+state)
}

// AddMark gives an existing work item the tag mark and the hyperlink to its ticket,
// with text as the link's comment. It reads the item first, because tags are one
// field; one that has both already is not written. rev other than 0 must be the
// item's revision, else it is a Conflict.
func (c *Client) AddMark(ctx context.Context, id, rev int64, mark, ticketURL, text string) (item.WorkItem, error) {
	present, err := c.WorkItem(ctx, id)
	switch {
	case err != nil:
		return item.WorkItem{}, err
	case present.Deleted:
		return item.WorkItem{}, fault.New(fault.NotFound, "The %s lies in the recycle bin and can't be linked; restore it first.", workItemName(id))
	case rev > 0 && present.Rev != rev:
		return item.WorkItem{}, fault.New(fault.Conflict,
			"Somebody changed %s at the same moment; Tandem reads it anew and decides again.", workItemName(id))
	}
	tagged, linked := hasTag(present.Tags, mark), hasLink(present.Hyperlinks, ticketURL)
	if tagged && linked {
		return present, nil
	}
	guarded := []operation{testRev(present.Rev)}
	if !tagged {
		guarded = append(guarded, setField(fieldTags, withTag(strings.Join(present.Tags, ";"), mark)))
	}
	if linked {
		return c.patch(ctx, id, guarded, "mark")
	}
	marked, err := c.patch(ctx, id, append(guarded, addHyperlink(ticketURL, text)), "mark")
	if !relationExists(err) {
		return marked, err
	}
	// The server sees the same link where our comparison did not; the whole patch was
	// refused with it, so the tag goes alone.
	if tagged {
		return present, nil
	}
	return c.patch(ctx, id, guarded, "mark")
}

func (c *Client) patch(ctx context.Context, id int64, operations []operation, deed string) (item.WorkItem, error) {
	q := call{
		method: http.MethodPatch, path: workItemPath(id), query: "$expand=relations",
		body: operations, patch: true, subject: workItemName(id), deed: deed,
	}
	var w wireItem
	if _, err := c.do(ctx, q, &w); err != nil {
		return item.WorkItem{}, err
	}
	return c.workItem(w, q)
}
