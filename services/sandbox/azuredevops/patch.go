package azuredevops

import (
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// edit is a wish to change or create one work item, from a JSON Patch document or from the Go API.
type edit struct {
	by       *User // whose credentials ask
	rest     bool  // came by REST, for the ledger
	bypass   bool  // rules are not enforced
	validate bool  // nothing is stored

	tests   []patchTest
	fields  []fieldEdit
	formats []formatEdit
	adds    []relationAdd
	drops   []int // indexes into the relations as they are now
	remarks []remark
	note    *note
}

type patchTest struct {
	path  string
	value any
}

type fieldEdit struct {
	name   string
	value  any  // nil clears
	must   bool // `replace`, which needs a value to replace
	merges bool // `add`, which for tags adds
}

type formatEdit struct{ name, value string }

type relationAdd struct {
	rel, url      string
	name, comment string
}

// remark changes the comment of a relation.
type remark struct {
	index   int
	comment string
}

// note is a comment to add, or a new version of one.
type note struct {
	of      *comment // nil for a new one
	text    string
	format  string
	deleted bool
}

// operation is one JSON Patch operation as it arrives: the verb as a name or as the number old clients send (recorded).
type operation struct {
	Op    any    `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// verb names the operation.
func (o operation) verb() string {
	switch op := o.Op.(type) {
	case string:
		return strings.ToLower(op)
	case float64:
		verbs := []string{"add", "remove", "replace", "move", "copy", "test"}
		if i := int(op); op == float64(i) && i >= 0 && i < len(verbs) {
			return verbs[i]
		}
	}
	return ""
}

// readPatch reads the JSON Patch document of a request.
func (c *call) readPatch() (edit, error) {
	e := edit{by: c.user, rest: true, bypass: c.flag("bypassRules"), validate: c.flag("validateOnly")}
	kind, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json-patch+json" {
		return edit{}, &Error{
			Status: http.StatusUnsupportedMediaType, TypeKey: "VssRequestContentTypeNotSupportedException",
			Message: fmt.Sprintf("The request indicated a Content-Type of \"%s\" for method type \"%s\" which is not supported. Valid content types for this method are: application/json-patch+json.", kind, c.r.Method),
		}
	}
	if e.bypass && c.token.Rights&BypassRules == 0 {
		return edit{}, errForbidden(c.user, "Bypass rules on work item updates")
	}
	var raw json.RawMessage
	if err := c.decode(&raw); err != nil {
		return edit{}, err
	}
	return e, e.read(raw)
}

// read fills the edit from a JSON Patch document.
func (e *edit) read(raw []byte) error {
	var ops []operation
	if err := json.Unmarshal(raw, &ops); err != nil {
		return &malformed{"Error converting the request body to a JsonPatchDocument: " + err.Error()}
	}
	if len(ops) == 0 {
		return badRequest("VssPropertyValidationException", "You must pass a valid patch document in the body of the request.")
	}
	for _, op := range ops {
		if err := e.readOne(op); err != nil {
			return err
		}
	}
	return nil
}

func (e *edit) readOne(op operation) error {
	verb := op.verb()
	parts := strings.Split(strings.TrimPrefix(op.Path, "/"), "/")
	for i := range parts {
		parts[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(parts[i])
	}
	switch {
	case verb == "test":
		e.tests = append(e.tests, patchTest{op.Path, op.Value})
		return nil
	case verb != "add" && verb != "replace" && verb != "remove":
		return badRequest("VssPropertyValidationException", fmt.Sprintf("The operation %v is not supported for a work item.", op.Op))
	case len(parts) == 2 && parts[0] == "fields":
		f := fieldEdit{name: parts[1], value: op.Value, must: verb == "replace", merges: verb == "add"}
		if verb == "remove" {
			f.value = nil
		}
		e.fields = append(e.fields, f)
		return nil
	case len(parts) == 2 && strings.EqualFold(parts[0], "multilineFieldsFormat") && verb != "remove":
		value, _ := op.Value.(string)
		e.formats = append(e.formats, formatEdit{parts[1], strings.ToLower(value)})
		return nil
	case parts[0] == "relations":
		return e.readRelation(verb, parts[1:], op)
	}
	return badRequest("InvalidPatchFieldNameException", "The path "+op.Path+" is not one that can be changed.")
}

func (e *edit) readRelation(verb string, parts []string, op operation) error {
	wrong := badRequest("VssPropertyValidationException", "The path "+op.Path+" is not valid for the operation "+verb+".")
	if len(parts) == 1 && parts[0] == "-" && verb == "add" {
		value, isObject := op.Value.(map[string]any)
		if !isObject {
			return badRequest("VssPropertyValidationException", "A relation must be given as an object with rel and url.")
		}
		add := relationAdd{rel: str(value["rel"]), url: str(value["url"])}
		if attributes, found := value["attributes"].(map[string]any); found {
			add.name, add.comment = str(attributes["name"]), str(attributes["comment"])
		}
		e.adds = append(e.adds, add)
		return nil
	}
	if len(parts) == 0 {
		return wrong
	}
	index, err := strconv.Atoi(parts[0])
	switch {
	case err != nil || index < 0:
		return wrong
	case verb == "remove" && len(parts) == 1:
		e.drops = append(e.drops, index)
		return nil
	case len(parts) == 3 && parts[1] == "attributes" && parts[2] == "comment":
		e.remarks = append(e.remarks, remark{index, str(op.Value)})
		return nil
	}
	return wrong
}

func str(v any) string {
	s, _ := v.(string)
	return s
}

// check applies the `test` operations to an item as it is.
func (s *Server) check(e edit, it *item) error {
	for _, t := range e.tests {
		switch {
		case strings.EqualFold(t.path, "/rev"):
			want, status := asInteger(t.value)
			if it != nil && (status != "" || want != it.rev) {
				n, _ := want.(int)
				return errRevision(s.opts.Flavor, it.rev, n)
			}
		case strings.EqualFold(t.path, "/id"):
			if want, _ := asInteger(t.value); it != nil && want != it.id {
				return errTest(t.path, strconv.Itoa(it.id), fmt.Sprint(t.value))
			}
		case strings.HasPrefix(t.path, "/fields/"):
			d := s.fields.find(strings.TrimPrefix(t.path, "/fields/"))
			if d == nil {
				return errNoField(strings.TrimPrefix(t.path, "/fields/"))
			}
			if err := s.checkField(it, d, t); err != nil {
				return err
			}
		default:
			return badRequest("VssPropertyValidationException", "The path "+t.path+" can't be tested.")
		}
	}
	return nil
}

func (s *Server) checkField(it *item, d *fieldDef, t patchTest) error {
	if it == nil {
		return nil
	}
	have := s.value(it.now(), d)
	want, _ := d.convert(t.value)
	if u, isPerson := have.(*User); isPerson {
		if p, known := s.resolvePerson(t.value); known && p == u {
			return nil
		}
		return errTest(t.path, u.full(), fmt.Sprint(t.value))
	}
	if at, isTime := have.(time.Time); isTime {
		if w, both := want.(time.Time); both && w.Equal(at) {
			return nil
		}
	} else if have == want {
		return nil
	}
	return errTest(t.path, fmt.Sprint(have), fmt.Sprint(t.value))
}
