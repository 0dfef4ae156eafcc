package azuredevops

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/lenient"
)

type wireType struct {
	Name        lenient.Text `json:"name"`
	IsDisabled  lenient.Bool `json:"isDisabled"`
	States      lenient.List[wireState]
	Transitions map[string]lenient.List[struct {
		To lenient.Text `json:"to"`
	}] `json:"transitions"`
}

type wireState struct {
	Name     lenient.Text `json:"name"`
	Category lenient.Text `json:"category"`
}

// Types lists the names of the project's work item types that may be used. The
// answer is remembered for DescriptionTTL.
func (c *Client) Types(ctx context.Context) ([]string, error) {
	return c.names.Get(ctx, "", func(ctx context.Context) ([]string, error) {
		var answer struct {
			Value lenient.List[wireType] `json:"value"`
		}
		_, err := c.do(ctx, call{
			method: http.MethodGet, path: c.inProject("/wit/workitemtypes"),
			subject: "the work item types of project " + c.at.project, deed: "read",
		}, &answer)
		if err != nil {
			return nil, err
		}
		var names []string
		for _, t := range answer.Value {
			if t.Name != "" && !bool(t.IsDisabled) {
				names = append(names, string(t.Name))
			}
		}
		return names, nil
	})
}

// Type describes a work item type: its states and which may follow which. name is
// compared without regard to case; the description carries the server's spelling. A
// type that does not exist is Misconfigured. Remembered for DescriptionTTL.
func (c *Client) Type(ctx context.Context, name string) (item.WorkItemType, error) {
	return c.types.Get(ctx, fold(name), func(ctx context.Context) (item.WorkItemType, error) {
		return c.readType(ctx, name)
	})
}

func (c *Client) readType(ctx context.Context, name string) (item.WorkItemType, error) {
	var t wireType
	path := c.inProject("/wit/workitemtypes/" + url.PathEscape(name))
	subject := "work item type " + name
	_, err := c.do(ctx, call{method: http.MethodGet, path: path, subject: subject, deed: "read"}, &t)
	if fault.Is(err, fault.NotFound) {
		err = fault.Wrap(err, fault.Misconfigured,
			"Project %s has no work item type %s; correct System.WorkItemType in the AttributeMap.", c.at.project, name)
	}
	if err != nil {
		return item.WorkItemType{}, err
	}
	// Older servers tell the states only here (azure-devops.md §2.5).
	if len(t.States) == 0 {
		var states struct {
			Value lenient.List[wireState] `json:"value"`
		}
		if _, err := c.do(ctx, call{
			method: http.MethodGet, path: path + "/states", subject: "the states of " + subject, deed: "read",
		}, &states); err != nil {
			return item.WorkItemType{}, err
		}
		t.States = states.Value
	}
	out := item.WorkItemType{Name: string(t.Name)}
	if out.Name == "" {
		out.Name = name
	}
	for _, s := range t.States {
		if s.Name != "" {
			out.States = append(out.States, item.State{Name: string(s.Name), Category: string(s.Category)})
		}
	}
	if len(t.Transitions) > 0 {
		out.Transitions = make(map[string][]string, len(t.Transitions))
	}
	for from, moves := range t.Transitions {
		for _, m := range moves {
			// A state is listed as its own successor.
			if to := string(m.To); to != "" && !strings.EqualFold(to, from) {
				out.Transitions[from] = append(out.Transitions[from], to)
			}
		}
	}
	return out, nil
}

// Fields describes the fields of a work item type by reference name. What the type
// requires comes from the type, how a field holds its value from the project's
// catalogue. Remembered for DescriptionTTL; the map must not be changed.
func (c *Client) Fields(ctx context.Context, typeName string) (map[string]item.Field, error) {
	return c.fields.Get(ctx, fold(typeName), func(ctx context.Context) (map[string]item.Field, error) {
		return c.readFields(ctx, typeName)
	})
}

type wireField struct {
	ReferenceName  lenient.Text `json:"referenceName"`
	Name           lenient.Text `json:"name"`
	Type           lenient.Text `json:"type"`
	ReadOnly       lenient.Bool `json:"readOnly"`
	IsIdentity     lenient.Bool `json:"isIdentity"`
	AlwaysRequired lenient.Bool `json:"alwaysRequired"`
}

func (c *Client) readFields(ctx context.Context, typeName string) (map[string]item.Field, error) {
	known, err := c.catalog.Get(ctx, "", c.readCatalog)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Value lenient.List[wireField] `json:"value"`
	}
	_, err = c.do(ctx, call{
		method: http.MethodGet, path: c.inProject("/wit/workitemtypes/" + url.PathEscape(typeName) + "/fields"),
		subject: "the fields of work item type " + typeName, deed: "read",
	}, &answer)
	if err != nil {
		return nil, err
	}
	fields := make(map[string]item.Field, len(answer.Value))
	for _, w := range answer.Value {
		reference := string(w.ReferenceName)
		if reference == "" {
			continue
		}
		field, ok := known[reference]
		if !ok {
			field = item.Field{Reference: reference, Type: item.FieldText}
		}
		field.Name = string(w.Name)
		field.Required = bool(w.AlwaysRequired)
		fields[reference] = field
	}
	return fields, nil
}

func (c *Client) readCatalog(ctx context.Context) (map[string]item.Field, error) {
	var answer struct {
		Value lenient.List[wireField] `json:"value"`
	}
	_, err := c.do(ctx, call{
		method: http.MethodGet, path: c.inProject("/wit/fields"),
		subject: "the fields of project " + c.at.project, deed: "read",
	}, &answer)
	if err != nil {
		return nil, err
	}
	fields := make(map[string]item.Field, len(answer.Value))
	for _, w := range answer.Value {
		if w.ReferenceName == "" {
			continue
		}
		kind := fieldKind(string(w.Type), bool(w.IsIdentity))
		fields[string(w.ReferenceName)] = item.Field{
			Reference: string(w.ReferenceName),
			Name:      string(w.Name),
			Type:      kind,
			// Area and iteration path are listed as read-only though they are set by
			// every move of an item (fields example of the specification).
			ReadOnly: bool(w.ReadOnly) && kind != item.FieldTreePath,
		}
	}
	return fields, nil
}

func fieldKind(kind string, identity bool) item.FieldType {
	if identity {
		return item.FieldIdentity
	}
	switch kind {
	case "html":
		return item.FieldHTML
	case "integer", "picklistInteger":
		return item.FieldInteger
	case "double", "picklistDouble":
		return item.FieldDouble
	case "dateTime":
		return item.FieldDateTime
	case "boolean":
		return item.FieldBoolean
	case "identity":
		return item.FieldIdentity
	case "treePath":
		return item.FieldTreePath
	case "history":
		return item.FieldHistory
	default:
		return item.FieldText
	}
}
