package azuredevops

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// draft is an item being changed. Nothing of it is seen by others until it is committed.
type draft struct {
	s       *Server
	e       edit
	it      *item // nil while creating
	project *project
	kind    *WorkItemType
	values  fieldValues
	formats map[string]string
	rels    []relation
	added   []relation
	removed []relation
	remarks int
	note    *note
	set     map[*fieldDef]bool // fields the caller gave
	broken  []ruleError
	at      time.Time
	by      any
}

// draftOf begins a change of an item, or of a new one if it is nil. Call it with mu held.
func (s *Server) draftOf(e edit, it *item, pr *project, kind *WorkItemType) *draft {
	d := &draft{s: s, e: e, it: it, project: pr, kind: kind, set: map[*fieldDef]bool{}, note: e.note, by: e.by, at: toMillis(s.opts.Now())}
	if it != nil {
		d.values, d.formats, d.rels = slices.Clone(it.values), maps.Clone(it.formats), slices.Clone(it.relations)
		if last := it.last().at; !d.at.After(last) {
			d.at = last.Add(time.Millisecond) // dates of revisions must increase
		}
		return d
	}
	d.put(fieldArea, pr.name)
	d.put(fieldProject, pr.name)
	d.put(fieldIteration, pr.name)
	d.put(fieldType, kind.Name)
	d.put(fieldState, kind.States[0].Name)
	d.put(fieldReason, kind.reason(kind.States[0].Name))
	d.put(fieldCommentCount, 0)
	for name, v := range kind.Defaults {
		d.put(name, v)
	}
	return d
}

func (d *draft) put(name string, v any) { d.values.set(d.s.fields.must(name), v) }

func (d *draft) get(name string) any { return d.values.get(d.s.fields.must(name)) }

// was is what a field was before the change.
func (d *draft) was(name string) any {
	if d.it == nil {
		return nil
	}
	return d.it.values.get(d.s.fields.must(name))
}

func (d *draft) id() int {
	if d.it == nil {
		return -1
	}
	return d.it.id
}

// build applies the edit to the draft, or says why it can't be.
func (d *draft) build() error {
	if d.it != nil && d.e.rest && d.it.rev >= d.s.opts.Limits.Revisions {
		return badRequest("WorkItemRevisionLimitExceededException", fmt.Sprintf("Work item %d has reached the limit of %d revisions.", d.it.id, d.s.opts.Limits.Revisions))
	}
	for _, step := range []func() error{d.move, d.setFields, d.setFormats, d.settle, d.relate} {
		if err := step(); err != nil {
			return err
		}
	}
	if len(d.broken) > 0 {
		return errRules(d.broken)
	}
	return nil
}

// move takes project and type first, because all other fields depend on them.
func (d *draft) move() error {
	var project, kind string
	given := map[string]bool{}
	for _, f := range d.e.fields {
		def := d.s.fields.find(f.name)
		if def == nil {
			continue
		}
		given[def.ReferenceName] = true
		switch def.ReferenceName {
		case fieldProject:
			project = str(f.value)
		case fieldType:
			kind = str(f.value)
		}
	}
	if project != "" && d.s.findProject(project) != d.project {
		target := d.s.findProject(project)
		switch {
		case target == nil:
			return badRequest("WorkItemTargetProjectDoesNotExistException", "The target project "+project+" does not exist.")
		case !given[fieldArea]:
			return badRequest("WorkItemTargetAreaPathNotProvidedException", "The area path of the target project must be provided.")
		case !given[fieldIteration]:
			return badRequest("WorkItemTargetIterationPathNotProvidedException", "The iteration path of the target project must be provided.")
		}
		d.project = target
		kind = orElse(kind, d.kind.Name)
		d.put(fieldProject, target.name)
	}
	if kind == "" {
		return nil
	}
	target := d.project.kind(kind)
	if target == nil {
		return badRequest("WorkItemTargetTypeDoesNotExistException", "The work item type "+kind+" does not exist in project "+d.project.name+".")
	}
	d.kind = target
	d.put(fieldType, target.Name)
	return nil
}

func (d *draft) setFields() error {
	for _, f := range d.e.fields {
		def := d.s.fields.find(f.name)
		if def == nil || !def.on(d.kind) {
			return errNoField(f.name)
		}
		if d.set[def] {
			return badRequest("WorkItemFieldUpdateException", fmt.Sprintf("VS403691: Update to work item %d had two or more updates for field with reference name '%s'. A field cannot be updated more than once in the same update.", d.id(), def.ReferenceName))
		}
		d.set[def] = true
		if err := d.setField(def, f); err != nil {
			return err
		}
	}
	return nil
}

func (d *draft) setField(def *fieldDef, f fieldEdit) error {
	switch {
	case def.ReferenceName == fieldProject, def.ReferenceName == fieldType:
		return nil // taken by move
	case d.it == nil && (def.ReferenceName == fieldID || def.ReferenceName == fieldParent || def.ReferenceName == fieldCreatedBy && !d.e.bypass):
		return nil // reported: a create takes these silently and leaves them unset
	case def.ReadOnly, def.bypassOnly && !d.e.bypass:
		return errFieldStatus(def, "ReadOnly")
	case f.must && !def.computed && d.values.get(def) == nil:
		return badRequest("PatchOperationFailedException", "Replace Operation for path /fields/"+def.ReferenceName+" failed, there is no value to replace.")
	}
	if def.Type == "identity" {
		return d.setPerson(def, f.value)
	}
	value, status := def.convert(f.value)
	if status != "" {
		return errFieldStatus(def, status)
	}
	switch def.ReferenceName {
	case fieldHistory:
		if text, _ := value.(string); text != "" {
			d.note = &note{text: text, format: "html"}
		}
		return d.checkLength(def, value)
	case fieldTags:
		return d.setTags(def, value, f.merges)
	case fieldArea, fieldIteration:
		return d.setNode(def, value)
	}
	if len(def.AllowedValues) > 0 && value != nil && !d.e.bypass {
		text, _ := asText(value)
		if !slices.Contains(def.AllowedValues, str(text)) {
			d.broken = append(d.broken, notInList(def))
		}
	}
	if err := d.checkLength(def, value); err != nil {
		return err
	}
	d.values.set(def, value)
	return nil
}

func (d *draft) checkLength(def *fieldDef, value any) error {
	var most int
	switch {
	case def.long(), def.ReferenceName == fieldHistory:
		most = d.s.opts.Limits.TextLength
	case def.Type == "string":
		most = d.s.opts.Limits.TitleLength
	default:
		return nil
	}
	if text, _ := value.(string); utf8.RuneCountInString(text) > most {
		return errFieldStatus(def, "InvalidTooLong")
	}
	return nil
}

func (d *draft) setPerson(def *fieldDef, raw any) error {
	if raw == nil || raw == "" {
		if def.ReferenceName == fieldChangedBy {
			return badRequest("WorkItemFieldInvalidException", "VS403417: The value of Changed By must not be empty.")
		}
		d.values.set(def, nil)
		return nil
	}
	var value any
	if u, known := d.s.resolvePerson(raw); known {
		value = u
	} else if text, isText := raw.(string); isText && d.e.bypass {
		value = text // silently stored (Microsoft's bypassRules example)
	} else {
		return errUnknownPerson(def, raw)
	}
	if def.ReferenceName == fieldChangedBy {
		d.by = value
		return nil
	}
	d.values.set(def, value)
	return nil
}

func (d *draft) setTags(def *fieldDef, value any, merges bool) error {
	text, _ := value.(string)
	merge := ""
	if merges && !d.s.opts.Quirks.AddTagsReplaces {
		merge, _ = d.values.get(def).(string)
	}
	joined, n := normalizeTags(text, merge)
	if n > d.s.opts.Limits.TagsPerItem {
		return badRequest("WorkItemTagLimitExceededException", fmt.Sprintf("Work item %d would exceed the limit of %d tags.", d.id(), d.s.opts.Limits.TagsPerItem))
	}
	d.values.set(def, joined)
	return nil
}

func (d *draft) setNode(def *fieldDef, value any) error {
	known := d.project.areas
	if def.ReferenceName == fieldIteration {
		known = d.project.cycles
	}
	path, found := d.project.node(str(value), known)
	if !found {
		return errTree(d.id(), def)
	}
	d.values.set(def, path)
	return nil
}

// setFormats takes the formats of long texts. Changing one needs the text in the same patch (VS403319).
func (d *draft) setFormats() error {
	for _, f := range d.e.formats {
		def := d.s.fields.find(f.name)
		if def == nil || !def.on(d.kind) {
			return errNoField(f.name)
		}
		if d.s.opts.Flavor == OnPremises || !def.long() || f.value != "markdown" && f.value != "html" {
			return badRequest("VssPropertyValidationException", "The format of "+def.ReferenceName+" can't be set to "+f.value+".")
		}
		if orElse(d.formats[def.ReferenceName], "html") == f.value {
			continue
		}
		if !d.set[def] {
			return badRequest("WorkItemFieldInvalidException", "VS403319: The type changed without a value for field "+def.ReferenceName+".")
		}
		if d.formats == nil {
			d.formats = map[string]string{}
		}
		if f.value == "html" {
			delete(d.formats, def.ReferenceName)
		} else {
			d.formats[def.ReferenceName] = f.value
		}
	}
	return nil
}

// settle applies the rules of the type: states, reasons, dates and required fields.
func (d *draft) settle() error {
	if err := d.settleState(); err != nil {
		return err
	}
	if err := d.settleDates(); err != nil {
		return err
	}
	if d.e.bypass {
		return nil
	}
	required := append([]string{fieldTitle}, d.kind.Required...)
	required = append(required, d.kind.RequiredIn[str(d.get(fieldState))]...)
	for _, name := range required {
		if def := d.s.fields.find(name); def != nil && d.values.get(def) == nil {
			d.broken = append(d.broken, missing(def))
		}
	}
	return nil
}

func (d *draft) settleState() error {
	def := d.s.fields.must(fieldState)
	before, after := str(d.was(fieldState)), str(d.get(fieldState))
	st, known := d.kind.state(after)
	switch {
	case known:
		after = st.Name
	case !d.set[def]: // a type change that leaves the state behind
		st, after = d.kind.States[0], d.kind.States[0].Name
	case !d.e.bypass:
		d.broken = append(d.broken, notInList(def))
		return nil
	}
	d.put(fieldState, after)
	if !d.e.bypass && d.set[def] {
		initial := d.kind.States[0].Name
		_, wasKnown := d.kind.state(before)
		if d.it == nil && after != initial || d.it != nil && wasKnown && !d.kind.allows(before, after) {
			d.broken = append(d.broken, notInList(def))
			return nil
		}
	}
	if before == after {
		return nil
	}
	if !d.set[d.s.fields.must(fieldReason)] {
		d.put(fieldReason, d.kind.reason(after))
	}
	d.put(fieldStateChange, d.at)
	if d.it == nil {
		return nil
	}
	switch st.Category {
	case InProgress:
		d.put(fieldActivatedDate, d.at)
		d.put(fieldActivatedBy, d.by)
		d.clear(fieldResolvedDate, fieldResolvedBy, fieldClosedDate, fieldClosedBy)
	case Resolved:
		d.put(fieldResolvedDate, d.at)
		d.put(fieldResolvedBy, d.by)
		d.clear(fieldClosedDate, fieldClosedBy)
	case Completed:
		d.put(fieldClosedDate, d.at)
		d.put(fieldClosedBy, d.by)
	case Proposed:
		d.clear(fieldActivatedDate, fieldActivatedBy, fieldResolvedDate, fieldResolvedBy, fieldClosedDate, fieldClosedBy)
	}
	return nil
}

func (d *draft) clear(names ...string) {
	for _, n := range names {
		d.put(n, nil)
	}
}

// settleDates takes over dates that were set with bypassRules.
func (d *draft) settleDates() error {
	now := toMillis(d.s.opts.Now())
	for _, name := range []string{fieldCreatedDate, fieldChangedDate} {
		def := d.s.fields.must(name)
		if !d.set[def] {
			continue
		}
		at, _ := d.values.get(def).(time.Time)
		switch {
		case at.IsZero():
			return errFieldStatus(def, "InvalidEmpty")
		case at.After(now):
			return badRequest("WorkItemDateInFutureException", "VS402624: The value of "+name+" must not be in the future.")
		case name == fieldChangedDate && d.it != nil && !at.After(d.it.last().at):
			return badRequest("WorkItemDatesNotIncreasingException", "VS402625: Dates must be increasing with each revision.")
		case name == fieldChangedDate:
			d.at = at
		}
	}
	return nil
}

// relate removes, changes and adds relations, in this order. Indexes count in the relations as they were.
func (d *draft) relate() error {
	for _, i := range append(slices.Clone(d.e.drops), d.remarkIndexes()...) {
		if d.it == nil || i >= len(d.it.relations) {
			return badRequest("PatchOperationFailedException", fmt.Sprintf("There is no relation with index %d.", i))
		}
	}
	for _, r := range d.e.remarks {
		for i := range d.rels {
			if d.rels[i].id == d.it.relations[r.index].id && d.rels[i].comment != r.comment {
				d.rels[i].comment = r.comment
				d.remarks++
			}
		}
	}
	for _, i := range d.e.drops {
		gone := d.it.relations[i]
		before := len(d.rels)
		d.rels = slices.DeleteFunc(d.rels, func(r relation) bool { return r.id == gone.id })
		if len(d.rels) < before {
			d.removed = append(d.removed, gone)
		}
	}
	for _, add := range d.e.adds {
		r, err := d.resolve(add)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(d.rels, r.same) {
			return badRequest("RelationAlreadyExistsException", "Relation already exists.") // recorded
		}
		d.rels, d.added = append(d.rels, r), append(d.added, r)
	}
	return d.countRelations()
}

func (d *draft) remarkIndexes() []int {
	out := make([]int, len(d.e.remarks))
	for i, r := range d.e.remarks {
		out[i] = r.index
	}
	return out
}

// resolve turns a relation as it was sent into one that points to something.
func (d *draft) resolve(add relationAdd) (relation, error) {
	kind, found := findRelationType(add.rel)
	if !found {
		return relation{}, badRequest("WorkItemTrackingLinkTypeNotFoundException", "The relation type "+add.rel+" does not exist.")
	}
	r := relation{kind: kind, comment: add.comment, at: d.at}
	target, err := url.Parse(add.url)
	if err != nil || add.url == "" {
		return relation{}, badRequest("ResourceLinkTargetUnspecifiedException", "The url of a relation must be given.")
	}
	last := target.Path[strings.LastIndexByte(target.Path, '/')+1:]
	switch {
	case kind.ref == relAttachment:
		b, complete, _ := d.s.blobs.get(last)
		if !complete {
			return relation{}, badRequest("WorkItemAttachmentNotFoundException", "The attachment "+last+" does not exist.")
		}
		r.blob, r.name, r.resource = b, orElse(orElse(add.name, target.Query().Get("fileName")), b.name), b.at
	case kind.opposite != "":
		id, err := strconv.Atoi(last)
		if err != nil || !strings.Contains(strings.ToLower(target.Path), "/_apis/wit/workitems/") {
			return relation{}, badRequest("VssPropertyValidationException", "The url of a link must be that of a work item.")
		}
		if _, err := d.s.find(id); err != nil {
			return relation{}, &Error{Status: http.StatusNotFound, TypeKey: "WorkItemLinkEndUnauthorizedAccessException", Message: errNoItem(id).Message}
		}
		if id == d.id() {
			return relation{}, badRequest("WorkItemLinkInvalidException", "TF201035: A work item can't be linked to itself.")
		}
		r.target = id
	default:
		if kind.ref == relHyperlink && !target.IsAbs() {
			return relation{}, badRequest("ResourceLinkTargetUnspecifiedException", "The url of a hyperlink must be absolute.")
		}
		r.url = add.url
	}
	return r, nil
}

func (d *draft) countRelations() error {
	files, parents := 0, 0
	for _, r := range d.rels {
		switch {
		case r.kind.ref == relAttachment:
			files++
		case r.kind.topology == "tree" && !r.kind.forward:
			parents++
		}
	}
	limits := d.s.opts.Limits
	switch {
	case len(d.added) == 0:
	case files > limits.AttachmentsPerItem:
		return badRequest("WorkItemAttachmentLimitExceededException", fmt.Sprintf("VS403313: Work item %d can't have more than %d attachments.", d.id(), limits.AttachmentsPerItem))
	case len(d.rels) > limits.LinksPerItem:
		return badRequest("WorkItemLinkLimitExceededException", fmt.Sprintf("Work item %d can't have more than %d links.", d.id(), limits.LinksPerItem))
	case parents > 1:
		return badRequest("WorkItemLinkAddExtraParentException", "TF201036: A work item can have only one parent.")
	}
	return nil
}
