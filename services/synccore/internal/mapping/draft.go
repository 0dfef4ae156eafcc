package mapping

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/template"
)

// WorkItemType is the type that a ticket's work item is to have. It is asked for
// first, because the fields that Draft wants are those of this type. An empty type
// is a fault of kind Misconfigured.
func (r Rules) WorkItemType(data template.Data) (string, error) {
	name := r.Type.Render(data, template.Value)
	if name == "" {
		return "", fault.New(fault.Misconfigured,
			"AttributeMap gives no work item type for ticket %d; check System.WorkItemType in the connector's settings.", data.Ticket.ID)
	}
	return name, nil
}

// Draft renders the AttributeMap for a ticket. Fields are those of the work item
// type, by reference name, as each of them says itself; mark, ticketURL and linkText go into the draft as they
// are. Each value takes the form of its field: text in one line of 255 characters,
// HTML, a number, a date (RFC 3339, UTC), true or false. An empty value leaves the
// field to its default and is not part of the draft, save the title, which must
// not be empty. Faults are of kind Misconfigured and name field and value.
func (r Rules) Draft(data template.Data, fields map[string]item.Field, mark, ticketURL, linkText string) (item.Draft, error) {
	typeName, err := r.WorkItemType(data)
	if err != nil {
		return item.Draft{}, err
	}
	draft := item.Draft{Type: typeName, Mark: mark, TicketURL: ticketURL, LinkText: linkText}
	for _, a := range r.Attributes {
		field, ok := findField(fields, a.Field)
		if !ok {
			return item.Draft{}, fault.New(fault.Misconfigured,
				"The work item type %q has no field %s, which AttributeMap fills for ticket %d; correct the name%s or remove it from the connector's settings.",
				typeName, a.Field, data.Ticket.ID, byDisplayName(fields, a.Field))
		}
		if field.ReadOnly {
			return item.Draft{}, fault.New(fault.Misconfigured,
				"The field %s can't be written, but AttributeMap fills it for ticket %d; remove it from the connector's settings.",
				field.Reference, data.Ticket.ID)
		}
		value, err := render(a.Value, field, data)
		if err != nil {
			return item.Draft{}, err
		}
		if value == "" && strings.EqualFold(field.Reference, fieldTitle) {
			return item.Draft{}, fault.New(fault.Misconfigured,
				"AttributeMap gives an empty title for the work item of ticket %d; check System.Title in the connector's settings.", data.Ticket.ID)
		}
		if value != "" {
			draft.Fields = append(draft.Fields, item.FieldValue{
				Reference: field.Reference, Value: value, Person: field.Type == item.FieldIdentity,
			})
		}
	}
	return draft, nil
}

// findField looks a field up; reference names know no case.
func findField(fields map[string]item.Field, reference string) (item.Field, bool) {
	if field, ok := fields[reference]; ok {
		return field, true
	}
	for key, field := range fields {
		if strings.EqualFold(key, reference) {
			return field, true
		}
	}
	return item.Field{}, false
}

// byDisplayName hints at the field whose shown name is the last part of a wrong
// reference name, as in Custom.Severity for Microsoft.VSTS.Common.Severity.
func byDisplayName(fields map[string]item.Field, reference string) string {
	last := reference[strings.LastIndexByte(reference, '.')+1:]
	best := ""
	for key, field := range fields {
		if strings.EqualFold(strings.ReplaceAll(field.Name, " ", ""), last) && (best == "" || key < best) {
			best = key
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// render fills one field's template in and checks that the field can hold it.
func render(t template.Template, field item.Field, data template.Data) (string, error) {
	switch field.Type {
	case item.FieldHTML, item.FieldHistory:
		return t.Render(data, template.HTML), nil
	case item.FieldText:
		return t.Render(data, template.Line), nil
	case item.FieldIdentity:
		return t.Render(data, template.Value), nil
	case item.FieldTreePath:
		return treePath(t.Render(data, template.Value)), nil
	case item.FieldInteger, item.FieldDouble, item.FieldDateTime, item.FieldBoolean:
		value := t.Render(data, template.Value)
		if value == "" {
			return "", nil
		}
		canonical, ok := typed(value, field.Type, data.Location)
		if !ok {
			return "", fault.New(fault.Misconfigured,
				"The field %s wants %s, but AttributeMap gives %q for ticket %d; correct the connector's settings.",
				field.Reference, wants(field.Type), shown(value), data.Ticket.ID)
		}
		return canonical, nil
	default:
		return t.Render(data, template.Text), nil
	}
}

// treePath writes an area or iteration path as Azure DevOps reads it: its nodes, which
// can't hold a slash of either kind (Azure DevOps: naming restrictions), parted by
// backslashes.
func treePath(value string) string {
	nodes := strings.FieldsFunc(value, func(r rune) bool { return r == '/' || r == '\\' })
	kept := nodes[:0]
	for _, node := range nodes {
		if node = strings.TrimSpace(node); node != "" {
			kept = append(kept, node)
		}
	}
	return strings.Join(kept, `\`)
}

// typed checks a value and writes it as Azure DevOps reads it.
func typed(value string, kind item.FieldType, location *time.Location) (string, bool) {
	switch kind {
	case item.FieldInteger:
		// Integer fields are 32 bits wide (Azure DevOps: Work item field index).
		if n, err := strconv.ParseInt(value, 10, 32); err == nil {
			return strconv.FormatInt(n, 10), true
		}
		// A field of Alvao's may hold the number with decimals.
		f, err := strconv.ParseFloat(value, 64)
		whole := err == nil && f == math.Trunc(f) && f >= math.MinInt32 && f <= math.MaxInt32
		return strconv.FormatFloat(f, 'f', 0, 64), whole
	case item.FieldDouble:
		f, err := strconv.ParseFloat(value, 64)
		return strconv.FormatFloat(f, 'g', -1, 64), err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
	case item.FieldBoolean:
		b, err := strconv.ParseBool(strings.ToLower(value))
		return strconv.FormatBool(b), err == nil
	case item.FieldDateTime:
		at, ok := parseDate(value, location)
		return at.UTC().Format(time.RFC3339), ok
	default:
		return value, true
	}
}

// parseDate reads a moment; one without a zone is meant in location.
func parseDate(value string, location *time.Location) (time.Time, bool) {
	if location == nil {
		location = time.UTC
	}
	if at, err := time.Parse(time.RFC3339, value); err == nil {
		return at, true
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05", "2006-01-02 15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, value, location); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

func wants(kind item.FieldType) string {
	switch kind {
	case item.FieldInteger:
		return "a whole number"
	case item.FieldDouble:
		return "a number"
	case item.FieldBoolean:
		return "true or false"
	case item.FieldDateTime:
		return "a date such as 2026-11-21 or 2026-11-21T15:04:00Z"
	default:
		return "another kind of value"
	}
}

// shown keeps a faulty value short: it may be a whole message.
func shown(value string) string {
	const limit = 60
	runes := []rune(value)
	if len(runes) <= limit {
		return value
	}
	return string(runes[:limit]) + "…"
}
