package azuredevops

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Field is a field that work items may have.
type Field struct {
	// ReferenceName is unique without regard to case, for example "Custom.Customer".
	ReferenceName string
	// Name is what people see; left empty it is the last part of ReferenceName.
	Name string
	// Type is one of the service's field types: string, integer, double, boolean, dateTime, html, plainText, treePath,
	// history, identity. Empty means string.
	Type string
	// ReadOnly fields can't be written (TF401326).
	ReadOnly bool
	// Types are the work item types that have the field; empty means all.
	Types []string
	// AllowedValues are the only values it may have, if given.
	AllowedValues []string
}

// The fields whose names the rules need.
const (
	fieldID             = "System.Id"
	fieldArea           = "System.AreaPath"
	fieldProject        = "System.TeamProject"
	fieldNode           = "System.NodeName"
	fieldAreaLevel1     = "System.AreaLevel1"
	fieldAreaID         = "System.AreaId"
	fieldRev            = "System.Rev"
	fieldAuthorizedDate = "System.AuthorizedDate"
	fieldRevisedDate    = "System.RevisedDate"
	fieldIterationID    = "System.IterationId"
	fieldIteration      = "System.IterationPath"
	fieldIterationL1    = "System.IterationLevel1"
	fieldType           = "System.WorkItemType"
	fieldState          = "System.State"
	fieldReason         = "System.Reason"
	fieldAssignedTo     = "System.AssignedTo"
	fieldCreatedDate    = "System.CreatedDate"
	fieldCreatedBy      = "System.CreatedBy"
	fieldChangedDate    = "System.ChangedDate"
	fieldChangedBy      = "System.ChangedBy"
	fieldAuthorizedAs   = "System.AuthorizedAs"
	fieldPersonID       = "System.PersonId"
	fieldWatermark      = "System.Watermark"
	fieldIsDeleted      = "System.IsDeleted"
	fieldCommentCount   = "System.CommentCount"
	fieldTitle          = "System.Title"
	fieldStateChange    = "Microsoft.VSTS.Common.StateChangeDate"
	fieldActivatedDate  = "Microsoft.VSTS.Common.ActivatedDate"
	fieldActivatedBy    = "Microsoft.VSTS.Common.ActivatedBy"
	fieldResolvedDate   = "Microsoft.VSTS.Common.ResolvedDate"
	fieldResolvedBy     = "Microsoft.VSTS.Common.ResolvedBy"
	fieldClosedDate     = "Microsoft.VSTS.Common.ClosedDate"
	fieldClosedBy       = "Microsoft.VSTS.Common.ClosedBy"
	fieldDescription    = "System.Description"
	fieldHistory        = "System.History"
	fieldTags           = "System.Tags"
	fieldParent         = "System.Parent"
)

// builtIn lists the fields in the order the service writes them. Computed ones are made when an item is read and never
// stored. Fields with `on` belong only to the types whose process names them.
func builtIn() []fieldDef {
	def := func(ref, name, kind string, o ...option) fieldDef {
		d := fieldDef{Field: Field{ReferenceName: ref, Name: name, Type: kind}, everywhere: true}
		for _, f := range o {
			f(&d)
		}
		return d
	}
	return []fieldDef{
		def(fieldID, "ID", "integer", readOnly, computed, wide),
		def(fieldAreaID, "Area ID", "integer", readOnly, computed, wide),
		def(fieldArea, "Area Path", "treePath"),
		def(fieldProject, "Team Project", "string"),
		def(fieldNode, "Node Name", "string", readOnly, computed, wide),
		def(fieldAreaLevel1, "Area Level 1", "string", readOnly, computed, wide),
		def(fieldRev, "Rev", "integer", readOnly, computed, wide),
		def(fieldAuthorizedDate, "Authorized Date", "dateTime", readOnly, computed, wide),
		def(fieldRevisedDate, "Revised Date", "dateTime", readOnly, computed, wide),
		def(fieldIterationID, "Iteration ID", "integer", readOnly, computed, wide),
		def(fieldIteration, "Iteration Path", "treePath"),
		def(fieldIterationL1, "Iteration Level 1", "string", readOnly, computed, wide),
		def(fieldType, "Work Item Type", "string"),
		def(fieldState, "State", "string"),
		def(fieldReason, "Reason", "string"),
		def(fieldAssignedTo, "Assigned To", "identity"),
		def(fieldCreatedDate, "Created Date", "dateTime", bypassOnly),
		def(fieldCreatedBy, "Created By", "identity", bypassOnly),
		def(fieldChangedDate, "Changed Date", "dateTime", bypassOnly),
		def(fieldChangedBy, "Changed By", "identity", bypassOnly),
		def(fieldAuthorizedAs, "Authorized As", "identity", readOnly, computed, wide),
		def(fieldPersonID, "Person ID", "integer", readOnly, computed, wide),
		def(fieldWatermark, "Watermark", "integer", readOnly, computed, wide),
		def(fieldIsDeleted, "Is Deleted", "boolean", readOnly),
		def(fieldCommentCount, "Comment Count", "integer", readOnly),
		def(fieldTitle, "Title", "string"),
		def("System.BoardColumn", "Board Column", "string", readOnly),
		def("System.BoardColumnDone", "Board Column Done", "boolean", readOnly),
		def("System.BoardLane", "Board Lane", "string", readOnly),
		def(fieldStateChange, "State Change Date", "dateTime", readOnly),
		def(fieldActivatedDate, "Activated Date", "dateTime", readOnly),
		def(fieldActivatedBy, "Activated By", "identity", readOnly),
		def(fieldResolvedDate, "Resolved Date", "dateTime", readOnly),
		def(fieldResolvedBy, "Resolved By", "identity", readOnly),
		def("Microsoft.VSTS.Common.ResolvedReason", "Resolved Reason", "string", some),
		def(fieldClosedDate, "Closed Date", "dateTime", readOnly),
		def(fieldClosedBy, "Closed By", "identity", readOnly),
		def("Microsoft.VSTS.Common.Priority", "Priority", "integer", among("1", "2", "3", "4")),
		def("Microsoft.VSTS.Common.Severity", "Severity", "string", some, among("1 - Critical", "2 - High", "3 - Medium", "4 - Low")),
		def("Microsoft.VSTS.Common.ValueArea", "Value Area", "string", some, among("Architectural", "Business")),
		def("Microsoft.VSTS.Common.Activity", "Activity", "string", some),
		def("Microsoft.VSTS.Common.StackRank", "Stack Rank", "double"),
		def("Microsoft.VSTS.Scheduling.Effort", "Effort", "double", some),
		def("Microsoft.VSTS.Scheduling.StoryPoints", "Story Points", "double", some),
		def("Microsoft.VSTS.Scheduling.RemainingWork", "Remaining Work", "double", some),
		def("Microsoft.VSTS.Scheduling.OriginalEstimate", "Original Estimate", "double", some),
		def("Microsoft.VSTS.Scheduling.CompletedWork", "Completed Work", "double", some),
		def("Microsoft.VSTS.Scheduling.StartDate", "Start Date", "dateTime", some),
		def("Microsoft.VSTS.Scheduling.TargetDate", "Target Date", "dateTime", some),
		def("Microsoft.VSTS.Build.FoundIn", "Found In", "string", some),
		def("Microsoft.VSTS.Build.IntegrationBuild", "Integration Build", "string", some),
		def(fieldDescription, "Description", "html"),
		def("Microsoft.VSTS.Common.AcceptanceCriteria", "Acceptance Criteria", "html", some),
		def("Microsoft.VSTS.TCM.ReproSteps", "Repro Steps", "html", some),
		def("Microsoft.VSTS.TCM.SystemInfo", "System Info", "html", some),
		def(fieldHistory, "History", "history", computed),
		def(fieldTags, "Tags", "plainText"),
		def(fieldParent, "Parent", "integer", readOnly, computed),
	}
}

// fieldDef is a field as the stand-in knows it.
type fieldDef struct {
	Field
	order      int
	everywhere bool // every type has it
	computed   bool // made on reading
	wide       bool // shown only with $expand=all or by name
	bypassOnly bool // writable only with bypassRules
}

type option func(*fieldDef)

func readOnly(d *fieldDef)   { d.ReadOnly = true }
func computed(d *fieldDef)   { d.computed = true }
func wide(d *fieldDef)       { d.wide = true }
func bypassOnly(d *fieldDef) { d.bypassOnly = true }
func some(d *fieldDef)       { d.everywhere = false }

func among(values ...string) option { return func(d *fieldDef) { d.AllowedValues = values } }

// catalogue is all fields of an organisation.
type catalogue struct {
	defs   []*fieldDef
	byName map[string]*fieldDef // lower-case reference names and display names
}

func newCatalogue(custom []Field) *catalogue {
	c := &catalogue{byName: map[string]*fieldDef{}}
	add := func(d fieldDef) {
		d.order = len(c.defs)
		c.defs = append(c.defs, &d)
		c.byName[strings.ToLower(d.ReferenceName)] = &d
		if name := strings.ToLower(d.Name); c.byName[name] == nil {
			c.byName[name] = &d
		}
	}
	for _, d := range builtIn() {
		add(d)
	}
	for _, f := range custom {
		f.Type = orElse(f.Type, "string")
		f.Name = orElse(f.Name, f.ReferenceName[strings.LastIndexByte(f.ReferenceName, '.')+1:])
		add(fieldDef{Field: f, everywhere: len(f.Types) == 0})
	}
	return c
}

// find looks a field up by reference name or display name, both of which the service takes.
func (c *catalogue) find(name string) *fieldDef { return c.byName[strings.ToLower(name)] }

// must looks up a field the rules themselves name.
func (c *catalogue) must(name string) *fieldDef { return c.byName[strings.ToLower(name)] }

// on tells whether a type has the field.
func (d *fieldDef) on(t *WorkItemType) bool {
	return d.everywhere || slices.Contains(t.Fields, d.ReferenceName) ||
		slices.ContainsFunc(d.Types, func(n string) bool { return strings.EqualFold(n, t.Name) })
}

// long tells whether the field holds long text, and so may have a format.
func (d *fieldDef) long() bool { return d.Type == "html" }

// fieldValue is one value of a work item. Values are string, int, float64, bool, time.Time or *User; an unknown person
// set with bypassRules is a string.
type fieldValue struct {
	def   *fieldDef
	value any
}

// fieldValues are the values of an item, sorted by the order of their fields.
type fieldValues []fieldValue

func (v *fieldValues) search(d *fieldDef) (int, bool) {
	return slices.BinarySearchFunc(*v, d.order, func(f fieldValue, order int) int { return cmp.Compare(f.def.order, order) })
}

func (v *fieldValues) get(d *fieldDef) any {
	if i, ok := v.search(d); ok {
		return (*v)[i].value
	}
	return nil
}

// set stores a value; nil and the empty string clear it.
func (v *fieldValues) set(d *fieldDef, value any) {
	i, ok := v.search(d)
	switch {
	case value == nil || value == "":
		if ok {
			*v = slices.Delete(*v, i, i+1)
		}
	case ok:
		(*v)[i].value = value
	default:
		*v = slices.Insert(*v, i, fieldValue{d, value})
	}
}

// convert turns a JSON value into one of the field's type. It reports failure as the service's field status, which is
// empty if all is well.
func (d *fieldDef) convert(raw any) (any, string) {
	if raw == nil {
		return nil, ""
	}
	if s, ok := raw.(string); ok && s == "" {
		return nil, ""
	}
	switch d.Type {
	case "integer":
		return asInteger(raw)
	case "double":
		return asDouble(raw)
	case "boolean":
		return asBoolean(raw)
	case "dateTime":
		return asTime(raw)
	default:
		return asText(raw)
	}
}

const invalidType = "InvalidType"

func asInteger(raw any) (any, string) {
	switch x := raw.(type) {
	case float64:
		if x == math.Trunc(x) && math.Abs(x) < 1<<31 {
			return int(x), ""
		}
	case string:
		if n, err := strconv.ParseInt(strings.TrimSpace(x), 10, 32); err == nil {
			return int(n), ""
		}
	case int:
		return x, ""
	}
	return nil, invalidType
}

func asDouble(raw any) (any, string) {
	switch x := raw.(type) {
	case float64:
		return x, ""
	case int:
		return float64(x), ""
	case string:
		if f, err := strconv.ParseFloat(strings.TrimSpace(x), 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f, ""
		}
	}
	return nil, invalidType
}

func asBoolean(raw any) (any, string) {
	switch x := raw.(type) {
	case bool:
		return x, ""
	case string:
		if b, err := strconv.ParseBool(strings.ToLower(x)); err == nil {
			return b, ""
		}
	}
	return nil, invalidType
}

func asTime(raw any) (any, string) {
	switch x := raw.(type) {
	case time.Time:
		return toMillis(x), ""
	case string:
		if t, ok := parseTime(x); ok {
			return t, ""
		}
	}
	return nil, invalidType
}

func asText(raw any) (any, string) {
	switch x := raw.(type) {
	case string:
		return x, ""
	case float64:
		return strconv.FormatFloat(x, 'f', -1, 64), ""
	case int:
		return strconv.Itoa(x), ""
	case bool:
		return strconv.FormatBool(x), ""
	}
	return nil, invalidType
}

// parseTime reads the date forms the service takes. A time without zone is UTC.
func parseTime(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02T15:04", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02", "1/2/2006", "1/2/2006 15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return toMillis(t), true
		}
	}
	return time.Time{}, false
}

// toMillis cuts a time to what the service stores.
func toMillis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// stamp writes a time the way the service does: milliseconds without trailing zeros.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999Z") }

// endOfTime is the revised date of what is current.
const endOfTime = "9999-01-01T00:00:00Z"

// normalizeTags splits a tag text at `;` and `,`, trims, and drops doubles without regard to case. With merge it adds
// to tags that are there. The result is sorted and joined by "; ", as the service shows tags,
// with their number.
func normalizeTags(text, merge string) (string, int) {
	seen := map[string]string{}
	for _, source := range []string{merge, text} {
		for _, tag := range splitTags(source) {
			if key := strings.ToLower(tag); seen[key] == "" {
				seen[key] = tag
			}
		}
	}
	tags := slices.SortedFunc(maps.Values(seen), func(a, b string) int {
		return cmp.Compare(strings.ToLower(a), strings.ToLower(b))
	})
	return strings.Join(tags, "; "), len(tags)
}

// splitTags gives the single tags of a tag text.
func splitTags(text string) []string {
	var out []string
	for tag := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ';' || r == ',' }) {
		if tag = strings.TrimSpace(tag); tag != "" {
			out = append(out, tag)
		}
	}
	return out
}

// fieldsJSON writes fields as a JSON object in the given order.
type fieldsJSON []fieldJSON

type fieldJSON struct {
	name  string
	value any
}

// MarshalJSON writes the object.
func (f fieldsJSON) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, v := range f {
		if i > 0 {
			out = append(out, ',')
		}
		name, err := json.Marshal(v.name)
		if err != nil {
			return nil, err
		}
		value, err := marshal(v.value)
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, name...), ':'), value...)
	}
	return append(out, '}'), nil
}
