package azuredevops

import (
	"fmt"
	"slices"
	"time"
)

// apply changes an item, or makes one of the given type if it is nil, and raises the hooks. It gives the item as it is
// then (for a mere validation, as it would be). Call it with mu held for writing.
func (s *Server) apply(e edit, it *item, pr *project, kind *WorkItemType) (*item, error) {
	if err := s.check(e, it); err != nil {
		return nil, err
	}
	d := s.draftOf(e, it, pr, kind)
	if err := d.build(); err != nil {
		return nil, err
	}
	if e.validate {
		return d.ghost(), nil
	}
	return s.commit(d), nil
}

// ghost is the item a validated edit would make.
func (d *draft) ghost() *item {
	u := &update{rev: 1, by: d.by, as: d.e.by, at: d.at}
	g := &item{id: d.id(), rev: 1, project: d.project, kind: d.kind, values: d.values, formats: d.formats, relations: d.rels, updates: []*update{u}}
	if d.it == nil {
		g.values.set(d.s.fields.must(fieldCreatedDate), d.at)
		g.values.set(d.s.fields.must(fieldCreatedBy), d.by)
		g.values.set(d.s.fields.must(fieldChangedDate), d.at)
		g.values.set(d.s.fields.must(fieldChangedBy), d.by)
		return g
	}
	g.rev, g.updates, g.comments = d.it.rev, d.it.updates, d.it.comments
	return g
}

// commit makes the draft what everybody sees. An edit that changes nothing makes no revision and raises nothing.
func (s *Server) commit(d *draft) *item {
	created := d.it == nil
	changes := d.diff()
	resources := d.remarks > 0 || slices.ContainsFunc(slices.Concat(d.added, d.removed), func(r relation) bool { return !r.betweenItems() })
	bumps := created || len(changes) > 0 || resources || d.note != nil
	if !bumps && len(d.added)+len(d.removed) == 0 {
		return d.it
	}
	it := d.it
	if created {
		s.lastItem++
		it = &item{id: s.lastItem, visibleAt: d.at.Add(s.indexLag)}
		s.items[it.id], s.order = it, append(s.order, it)
		d.it = it
		if !d.set[s.fields.must(fieldCreatedDate)] {
			d.put(fieldCreatedDate, d.at)
		}
		if d.get(fieldCreatedBy) == nil {
			d.put(fieldCreatedBy, d.by)
		}
	}
	u := &update{rev: it.rev, by: d.by, as: d.e.by, at: d.at, sameRev: !bumps}
	if bumps {
		it.rev++
		s.watermark++
		u.rev, u.watermark = it.rev, s.watermark
		u.comment = s.takeNote(it, d)
		d.put(fieldChangedDate, d.at)
		d.put(fieldChangedBy, d.by)
		d.put(fieldCommentCount, it.commentCount())
		u.changes = d.diff()
		s.journal = append(s.journal, journalEntry{it, u})
	}
	s.replace(it, d)
	u.added, u.removed = s.number(it, d.added), d.removed
	sortRelations(it.relations)
	it.updates = append(it.updates, u)
	s.mirror(it, u)
	s.record(d, it, u, created)
	return it
}

// replace puts the draft's content into the item and keeps the index of tags.
func (s *Server) replace(it *item, d *draft) {
	tags := s.fields.must(fieldTags)
	retag := it.text(tags) != str(d.values.get(tags))
	if retag {
		s.untag(it)
	}
	it.project, it.kind, it.values, it.formats, it.relations = d.project, d.kind, d.values, d.formats, d.rels
	if retag {
		s.tagItem(it)
	}
}

// number gives fresh relations their ids.
func (s *Server) number(it *item, added []relation) []relation {
	for i := range added {
		s.lastRelation++
		added[i].id = s.lastRelation
		for j := range it.relations {
			if it.relations[j].id == 0 && it.relations[j].same(added[i]) {
				it.relations[j].id = s.lastRelation
			}
		}
	}
	return added
}

// mirror keeps the opposite ends of links between work items, which get updates of their own but no revision.
func (s *Server) mirror(it *item, u *update) {
	for _, r := range slices.Concat(u.added, u.removed) {
		other, found := s.items[r.target]
		if !r.betweenItems() || !found {
			continue
		}
		opposite, _ := findRelationType(r.kind.opposite)
		back := relation{kind: opposite, target: it.id, comment: r.comment, at: u.at}
		echo := &update{rev: other.rev, by: u.by, as: u.as, at: u.at, sameRev: true}
		if slices.ContainsFunc(u.added, func(a relation) bool { return a.id == r.id }) {
			s.lastRelation++
			back.id = s.lastRelation
			other.relations, echo.added = append(slices.Clone(other.relations), back), []relation{back}
		} else {
			i := slices.IndexFunc(other.relations, back.same)
			if i < 0 {
				continue
			}
			echo.removed = []relation{other.relations[i]}
			other.relations = slices.Delete(slices.Clone(other.relations), i, i+1)
		}
		sortRelations(other.relations)
		other.updates = append(other.updates, echo)
	}
}

// diff lists what differs between the draft and the item it began with.
func (d *draft) diff() []change {
	var before fieldValues
	if d.it != nil && len(d.it.updates) > 0 {
		before = d.it.values
	}
	var out []change
	i, j := 0, 0
	for i < len(before) || j < len(d.values) {
		switch {
		case j == len(d.values) || i < len(before) && before[i].def.order < d.values[j].def.order:
			out = append(out, change{def: before[i].def, old: before[i].value})
			i++
		case i == len(before) || d.values[j].def.order < before[i].def.order:
			out = append(out, change{def: d.values[j].def, next: d.values[j].value})
			j++
		default:
			if !equal(before[i].value, d.values[j].value) {
				out = append(out, change{before[i].def, before[i].value, d.values[j].value})
			}
			i++
			j++
		}
	}
	return out
}

func equal(a, b any) bool {
	if t, isTime := a.(time.Time); isTime {
		u, both := b.(time.Time)
		return both && t.Equal(u)
	}
	return a == b
}

// takeNote stores the draft's comment, or its new version.
func (s *Server) takeNote(it *item, d *draft) *commentVersion {
	if d.note == nil {
		return nil
	}
	c := d.note.of
	if c == nil {
		s.lastComment++
		c = &comment{id: s.lastComment}
		it.comments = append(it.comments, c)
	}
	v := &commentVersion{of: c, number: len(c.versions) + 1, text: d.note.text, format: orElse(d.note.format, "html"), by: d.by, at: d.at, deleted: d.note.deleted}
	c.versions = append(c.versions, v)
	return v
}

// record writes the ledger, tells the watchers and raises the hook events of an update.
func (s *Server) record(d *draft, it *item, u *update, created bool) {
	w := Write{Kind: WriteUpdate, Item: it.id, Rev: it.rev, By: d.e.by.UniqueName, REST: d.e.rest, At: u.at}
	for _, ch := range u.changes {
		w.Fields = append(w.Fields, ch.def.ReferenceName)
	}
	for _, r := range u.added {
		w.Relations = append(w.Relations, r.kind.ref)
	}
	if u.comment != nil {
		w.Comment = u.comment.of.id
	}
	switch {
	case created:
		w.Kind = WriteCreate
	case d.note != nil && d.note.deleted:
		w.Kind = WriteCommentDelete
	case d.note != nil && d.note.of != nil:
		w.Kind = WriteCommentEdit
	case d.note != nil && len(d.e.fields) == 0:
		w.Kind = WriteComment
	}
	s.note(w)
	kind := eventUpdated
	if created {
		kind = eventCreated
	}
	s.raise(kind, it, u)
	if n := d.note; n != nil && (n.of == nil || s.opts.Quirks.CommentedOnEdit && !n.deleted) {
		s.raise(eventCommented, it, u)
	}
}

// remove puts an item into the recycle bin.
func (s *Server) remove(it *item, by *User, rest bool) {
	s.flip(it, by, true)
	s.untag(it)
	it.removed = &removal{at: it.last().at, by: by}
	s.note(Write{Kind: WriteDelete, Item: it.id, Rev: it.rev, By: by.UniqueName, REST: rest, At: it.last().at})
	s.raise(eventDeleted, it, it.last())
}

// restore takes an item out of the recycle bin.
func (s *Server) restore(it *item, by *User, rest bool) {
	it.removed = nil
	s.flip(it, by, nil)
	s.tagItem(it)
	s.note(Write{Kind: WriteRestore, Item: it.id, Rev: it.rev, By: by.UniqueName, REST: rest, At: it.last().at})
	s.raise(eventRestored, it, it.last())
}

// destroy removes an item from the recycle bin for good. There is no hook for it.
func (s *Server) destroy(it *item, by *User, rest bool) {
	delete(s.items, it.id)
	s.order = slices.DeleteFunc(s.order, func(o *item) bool { return o == it })
	s.note(Write{Kind: WriteDestroy, Item: it.id, Rev: it.rev, By: by.UniqueName, REST: rest, At: toMillis(s.opts.Now())})
}

// flip makes the revision that says whether an item is deleted.
func (s *Server) flip(it *item, by *User, deleted any) {
	d := s.draftOf(edit{by: by}, it, it.project, it.kind)
	d.put(fieldIsDeleted, deleted)
	d.put(fieldChangedDate, d.at)
	d.put(fieldChangedBy, by)
	s.watermark++
	it.rev++
	u := &update{rev: it.rev, by: by, as: by, at: d.at, changes: d.diff(), watermark: s.watermark}
	it.values = d.values
	it.updates = append(it.updates, u)
	s.journal = append(s.journal, journalEntry{it, u})
}

// errNotDeleted is the answer to restoring what is not in the recycle bin.
func errNotDeleted(id int) *Error {
	return badRequest("WorkItemInvalidRestoreRequestException", fmt.Sprintf("Work item %d is not deleted.", id))
}
