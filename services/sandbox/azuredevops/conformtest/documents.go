// Package conformtest holds exchanges with Azure DevOps against Microsoft's OpenAPI documents.
//
// The invariant: whatever departs from the documents is a [deviationtest.Problem] with a stable name. Which problems are right
// nonetheless, and by what evidence, is listed in deviations.go and nowhere else.
//
// The documents are Swagger 2.0 and leave three things to their reader, which documents.go does: operations under
// x-ms-paths are operations; what a definition inherits by allOf is its own; a definition's list of properties is
// complete, so an unknown key is a problem.
package conformtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"

	"github.com/tandem-sync/tandem/services/sandbox/deviationtest"
)

// files are the documents, below shared/specs/azure-devops.
func files() []string {
	return []string{"wit/workItemTracking.json", "hooks/serviceHooks.json", "ims/identities.json", "profile/profile.json"}
}

// Documents are the operations that Microsoft's documents describe.
type Documents struct {
	operations []operation
}

// operation is one call of a document.
type operation struct {
	name   string
	method string
	// before are the names of the path's segments up to _apis, after those behind it.
	before, after []string
	// fixed are query parameters that make the operation this one.
	fixed []string
	// version is what api-version must be.
	version string
	route   *routers.Route
}

// Load reads the documents, see [deviationtest.Shared].
func Load(tb testing.TB) *Documents {
	tb.Helper()
	d := &Documents{}
	for _, file := range files() {
		if err := d.add(deviationtest.Shared(tb, "specs/azure-devops/"+file)); err != nil {
			tb.Fatalf("%s: %v", file, err)
		}
	}
	slices.SortFunc(d.operations, func(a, b operation) int { return strings.Compare(a.name, b.name) })
	return d
}

func (d *Documents) add(raw []byte) error {
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		return err
	}
	paths := object(doc["paths"])
	maps.Copy(paths, object(doc["x-ms-paths"]))
	delete(doc, "x-ms-paths")
	definitions := object(doc["definitions"])
	for name := range definitions {
		definitions[name] = complete(definitions, object(definitions[name]))
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	var v2 openapi2.T
	if err := json.Unmarshal(raw, &v2); err != nil {
		return err
	}
	v3, err := openapi2conv.ToV3(&v2)
	if err != nil {
		return err
	}
	v3.Servers = openapi3.Servers{{URL: "https://dev.azure.com"}}
	for path, item := range v3.Paths.Map() {
		for method, op := range item.Operations() {
			d.operations = append(d.operations, newOperation(v3, path, item, method, op, object(object(paths[path])[strings.ToLower(method)])))
		}
	}
	return nil
}

func newOperation(doc *openapi3.T, path string, item *openapi3.PathItem, method string, op *openapi3.Operation, source map[string]any) operation {
	plain, query, _ := strings.Cut(path, "?")
	before, after, _ := strings.Cut(strings.Trim(plain, "/"), "/_apis/")
	o := operation{
		name: method + " " + after, method: method, before: strings.Split(before, "/"), after: strings.Split(after, "/"),
		route: &routers.Route{Spec: doc, Server: doc.Servers[0], Path: path, PathItem: item, Method: method, Operation: op},
	}
	if query != "" {
		o.name += "?" + query
		values, _ := url.ParseQuery(query)
		o.fixed = slices.Sorted(maps.Keys(values))
	}
	o.version = "7.1"
	parameters, _ := source["parameters"].([]any)
	for _, p := range parameters {
		ref, _ := object(p)["$ref"].(string)
		if _, preview, found := strings.Cut(ref, "api-Version-"); found {
			o.version += "-" + preview
		}
	}
	return o
}

// complete gives a definition with what it inherits, closed against unknown keys.
func complete(definitions, def map[string]any) map[string]any {
	out := maps.Clone(def)
	delete(out, "allOf")
	properties := map[string]any{}
	inherited, _ := def["allOf"].([]any)
	for _, base := range inherited {
		b := object(base)
		if ref, isRef := b["$ref"].(string); isRef {
			b = complete(definitions, object(definitions[strings.TrimPrefix(ref, "#/definitions/")]))
		}
		if b["type"] == "array" { // JsonPatchDocument: an object that is a list
			return b
		}
		maps.Copy(properties, object(b["properties"]))
	}
	maps.Copy(properties, object(def["properties"]))
	if len(properties) == 0 {
		return out
	}
	out["properties"] = properties
	if _, open := out["additionalProperties"]; !open {
		out["additionalProperties"] = false
	}
	return out
}

func object(v any) map[string]any {
	m, isMap := v.(map[string]any)
	if !isMap {
		return map[string]any{}
	}
	return m
}

// found is an operation that a request belongs to.
type found struct {
	operation

	parameters map[string]string
	notes      []string
}

// find gives the operation of a request, with notes on how its path differs from the document's. before and after are
// the path's segments around _apis, unescaped, beginning with the organisation.
func (d *Documents) find(method string, before, after []string, query url.Values) (found, bool) {
	var best found
	score := unfit
	for _, o := range d.operations {
		if o.method != method {
			continue
		}
		f, points := o.match(before, after, query)
		if points > score {
			best, score = f, points
		}
	}
	return best, score > unfit
}

// unfit is the score of what does not fit at all.
const unfit = -1000

// match tells how well a request fits the operation, see unfit.
func (o operation) match(before, after []string, query url.Values) (found, int) {
	if len(after) != len(o.after) {
		return found{}, unfit
	}
	f := found{operation: o, parameters: map[string]string{}}
	points := 0
	for _, name := range o.fixed {
		if !hasParameter(query, name) {
			return found{}, unfit
		}
		points += 10
	}
	// Lists of comments and of some comments differ by a required parameter alone.
	for _, p := range o.route.Operation.Parameters {
		switch {
		case p.Value == nil || p.Value.In != openapi3.ParameterInQuery:
		case hasParameter(query, p.Value.Name):
			points++
		case p.Value.Required:
			points -= 5
		}
	}
	for i, want := range o.after {
		have := after[i]
		name, isParameter := strings.CutPrefix(want, "{")
		typed, isType := strings.CutPrefix(want, "${")
		switch {
		case isType:
			if !strings.HasPrefix(have, "$") {
				return found{}, unfit
			}
			f.parameters[strings.TrimSuffix(typed, "}")] = have[1:]
		case isParameter:
			if strings.HasPrefix(have, "$") {
				return found{}, unfit
			}
			f.parameters[strings.TrimSuffix(name, "}")] = have
		case !strings.EqualFold(have, want):
			return found{}, unfit
		default:
			points += 100
			if have != want {
				f.notes = append(f.notes, "the path is in another letter case")
			}
		}
	}
	for i, name := range o.before {
		name = strings.Trim(name, "{}")
		if i < len(before) {
			f.parameters[name] = before[i]
			continue
		}
		f.parameters[name] = "left-out"
		f.notes = append(f.notes, "the path leaves out the "+name)
		points--
	}
	if len(before) > len(o.before) {
		f.notes = append(f.notes, fmt.Sprintf("the path has %d segments before _apis, not %d", len(before), len(o.before)))
		points -= 2
	}
	f.notes = slices.Compact(f.notes)
	return f, points
}

func hasParameter(query url.Values, name string) bool {
	for k := range query {
		if strings.EqualFold(k, name) {
			return true
		}
	}
	return false
}
