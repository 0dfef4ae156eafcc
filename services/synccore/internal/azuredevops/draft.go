package azuredevops

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
	"github.com/tandem-sync/tandem/services/synccore/internal/nearest"
	"github.com/tandem-sync/tandem/services/synccore/internal/outbound"
)

// withoutStrangers leaves out the fields that name somebody whom the server does not
// know. It asks under the rules and writes nothing: with bypassRules such names would
// be stored as text (azure-devops.md §2.6). Other refusals are left to the create.
func (c *Client) withoutStrangers(ctx context.Context, q call, d item.Draft) (item.Draft, error) {
	d.Fields = slices.Clone(d.Fields)
	for slices.ContainsFunc(d.Fields, func(f item.FieldValue) bool { return f.Person }) {
		err := c.validate(ctx, q, d)
		if err != nil && !definite(err) {
			return d, err
		}
		stranger := slices.IndexFunc(d.Fields, func(f item.FieldValue) bool { return f.Person && accuses(err, f.Reference) })
		if stranger < 0 {
			break
		}
		d.Fields = slices.Delete(d.Fields, stranger, stranger+1)
	}
	return d, nil
}

// validate asks whether a draft would be made, as q creates it, and writes nothing.
func (c *Client) validate(ctx context.Context, q call, d item.Draft) error {
	q.query += "&validateOnly=true"
	q.body, q.reads, q.deed = draftOperations(d), true, "validate"
	_, err := c.do(ctx, q, nil)
	return err
}

// accuses tells whether a refusal is about a field.
func accuses(err error, reference string) bool {
	told, ok := errors.AsType[*Error](err)
	if !ok || !definite(err) {
		return false
	}
	return strings.EqualFold(told.Field, reference) ||
		slices.ContainsFunc(told.Broken, func(b BrokenRule) bool { return strings.EqualFold(b.Field, reference) }) ||
		told.Field == "" && len(told.Broken) == 0 && strings.Contains(fold(told.Message), "'"+fold(reference)+"'")
}

// Validate asks the server whether it would make a work item of a draft, and tells
// each refusal with what to do about it. Nothing is written.
func (c *Client) Validate(ctx context.Context, d item.Draft) []item.Finding {
	q := call{
		method: http.MethodPost, path: c.createPath(d.Type), patch: true, query: "$expand=none",
		subject: "the work item of " + d.Mark, deed: "validate",
	}
	var found []item.Finding
	d.Fields = slices.Clone(d.Fields)
	// A field that is refused is left out of the next try, so that all are found.
	for range len(d.Fields) + 1 {
		err := c.validate(ctx, q, d)
		if err == nil {
			break
		}
		if !definite(err) {
			return append(found, failed(checkDraft, err, "Run the check again."))
		}
		before := len(d.Fields)
		var rest []item.FieldValue
		for _, f := range d.Fields {
			if accuses(err, f.Reference) {
				found = append(found, c.unfit(ctx, d.Type, f, err))
			} else {
				rest = append(rest, f)
			}
		}
		d.Fields = rest
		lacking := c.lacking(ctx, d, err)
		found = append(found, lacking...)
		if len(rest) < before {
			continue
		}
		if len(lacking) == 0 {
			found = append(found, failed(checkDraft, err, "Correct the AttributeMap in the connector's settings, or the rules of the work item type."))
		}
		break
	}
	if len(found) == 0 {
		found = append(found, item.Finding{
			Check: checkDraft, Severity: item.OK, Detail: fmt.Sprintf("Azure DevOps would make the work item of %s.", d.Mark),
		})
	}
	return found
}

// unfit is the finding about a value that a field does not take.
func (c *Client) unfit(ctx context.Context, kind string, f item.FieldValue, err error) item.Finding {
	if f.Person {
		return item.Finding{
			Check: checkDraft, Severity: item.Warning,
			Detail: fmt.Sprintf("The AttributeMap fills %s with %q, whom Azure DevOps does not know, so the field is left out.", f.Reference, shortened(f.Value)),
			Remedy: "Give the person access to the organisation, or fill the field with a user name that Azure DevOps knows.",
		}
	}
	finding := item.Finding{
		Check: checkDraft, Severity: item.Error,
		Detail: fmt.Sprintf("Azure DevOps does not take %q for the field %s%s.", shortened(f.Value), f.Reference, reasonFor(err, f.Reference)),
		Remedy: "Correct the field's value in the AttributeMap.",
	}
	fields, failure := c.Fields(ctx, kind)
	switch described := fields[f.Reference]; {
	case failure != nil:
	case described.Type == item.FieldTreePath:
		finding.Remedy = `Write the full path of a node that the project has, such as Project\Team.`
	case described.Type != item.FieldIdentity && described.Type != item.FieldHTML:
		if allowed := c.allowed(ctx, kind, f.Reference); len(allowed) > 0 {
			finding.Remedy = fmt.Sprintf("Use one of: %s%s.", strings.Join(allowed, ", "), nearest.Perhaps(f.Value, allowed))
		}
	}
	return finding
}

// lacking are the findings about fields that a refusal names and the draft does not
// fill.
func (c *Client) lacking(ctx context.Context, d item.Draft, err error) []item.Finding {
	told, ok := errors.AsType[*Error](err)
	if !ok {
		return nil
	}
	var found []item.Finding
	for _, b := range told.Broken {
		if !strings.Contains(fold(b.Flags), "invalidempty") || slices.ContainsFunc(d.Fields, func(f item.FieldValue) bool { return strings.EqualFold(f.Reference, b.Field) }) {
			continue
		}
		remedy := "Add it to the AttributeMap, or give it a default in the process."
		if allowed := c.allowed(ctx, d.Type, b.Field); len(allowed) > 0 {
			remedy = fmt.Sprintf("Add it to the AttributeMap with one of: %s.", strings.Join(allowed, ", "))
		}
		found = append(found, item.Finding{
			Check: checkDraft, Severity: item.Error,
			Detail: fmt.Sprintf("%s requires the field %s, which the AttributeMap leaves empty.", d.Type, b.Field), Remedy: remedy,
		})
	}
	return found
}

func reasonFor(err error, reference string) string {
	told, ok := errors.AsType[*Error](err)
	if !ok {
		return ""
	}
	for _, b := range told.Broken {
		if strings.EqualFold(b.Field, reference) && b.Message != "" {
			return " (" + strings.TrimRight(b.Message, ". ") + ")"
		}
	}
	if strings.EqualFold(told.Field, reference) || len(told.Broken) == 0 {
		return " (" + strings.TrimRight(told.Message, ". ") + ")"
	}
	return ""
}

// mostAllowed is how many allowed values are worth telling.
const mostAllowed = 20

// allowed lists the values of a picklist; none where the field takes any, where they
// are too many to tell, or where they can't be read.
func (c *Client) allowed(ctx context.Context, kind, reference string) []string {
	var w struct {
		AllowedValues lenient.List[lenient.Text] `json:"allowedValues"`
	}
	_, err := c.do(ctx, call{
		method: http.MethodGet, path: c.inProject("/wit/workitemtypes/" + url.PathEscape(kind) + "/fields/" + url.PathEscape(reference)),
		query: "$expand=allowedValues", subject: "the field " + reference, deed: "read",
	}, &w)
	if err != nil || len(w.AllowedValues) > mostAllowed {
		return nil
	}
	var values []string
	for _, v := range w.AllowedValues {
		if v != "" {
			values = append(values, string(v))
		}
	}
	return values
}

// shortened keeps a value short that may be a whole message.
func shortened(value string) string {
	runes := []rune(outbound.OneLine(value))
	if len(runes) <= 60 {
		return string(runes)
	}
	return string(runes[:59]) + "…"
}
