package azuredevops

import (
	"cmp"
	"hash/fnv"
	"slices"
	"strings"
	"time"
)

// item is one work item. What it was at an earlier revision is found by folding its updates.
type item struct {
	id, rev   int
	project   *project
	kind      *WorkItemType
	values    fieldValues
	formats   map[string]string // reference name to "markdown"; absent means HTML
	relations []relation
	updates   []*update
	comments  []*comment
	removed   *removal // set while the item is in the recycle bin
	visibleAt time.Time
}

// removal is when and by whom an item was deleted.
type removal struct {
	at time.Time
	by *User
}

// relation is one entry of an item's relations.
type relation struct {
	id       int
	kind     relationType
	target   int    // work item, for links between work items
	url      string // hyperlink or artifact
	blob     *blob  // attachment
	name     string
	comment  string
	at       time.Time // when it was added
	resource time.Time // when an attached file was uploaded
}

// betweenItems tells whether the relation links two work items, which changes no revision.
func (r relation) betweenItems() bool { return r.kind.opposite != "" }

// same tells whether two relations mean the same, which the service refuses to have twice.
func (r relation) same(o relation) bool {
	return r.kind.ref == o.kind.ref && r.target == o.target && r.blob == o.blob && strings.EqualFold(r.url, o.url)
}

// rank orders the relations of an item. The service returns them in another order than they were added, and removal
// counts in the returned order. Odd targets before even ones is a rule that gives the recorded orders; the rest is
// scattered in a stable way.
func (r relation) rank() uint32 {
	if r.betweenItems() {
		return uint32(r.target&1^1)<<31 | uint32(r.target)&(1<<31-1) //nolint:gosec // ids are positive and below 2^31
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(r.kind.ref + "|" + r.url))
	if r.blob != nil {
		_, _ = h.Write([]byte(r.blob.id))
	}
	return h.Sum32()
}

func sortRelations(rs []relation) {
	slices.SortFunc(rs, func(a, b relation) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.id, b.id))
	})
}

// change is what an update did to one field. A nil old means it had no value, a nil next that it has none now.
type change struct {
	def       *fieldDef
	old, next any
}

// update is one change of an item. Its number is its place in item.updates, beginning with 1.
type update struct {
	rev       int
	by        any // *User, or the text of an unknown person set with bypassRules
	as        *User
	at        time.Time // when it was made: the ChangedDate if the revision changed
	changes   []change
	added     []relation
	removed   []relation
	comment   *commentVersion
	watermark int
	sameRev   bool // only links between work items changed
}

// journalEntry is one revision in the order they were made, over all items.
type journalEntry struct {
	it  *item
	upd *update
}

func (it *item) text(d *fieldDef) string {
	text, _ := it.values.get(d).(string)
	return text
}

// last is the update that made the present revision.
func (it *item) last() *update {
	for _, u := range slices.Backward(it.updates) {
		if !u.sameRev {
			return u
		}
	}
	return it.updates[0]
}

// snapshot is an item as of a revision.
type snapshot struct {
	it        *item
	rev       int
	values    fieldValues
	relations []relation
	made      *update // the update that made the revision
	until     string  // when the next revision replaced it
}

// now is the present snapshot.
func (it *item) now() snapshot {
	return snapshot{it: it, rev: it.rev, values: it.values, relations: it.relations, made: it.last(), until: endOfTime}
}

// as is the snapshot of a revision, or false if there was none.
func (it *item) as(rev int) (snapshot, bool) {
	if rev < 1 || rev > it.rev {
		return snapshot{}, false
	}
	if rev == it.rev {
		return it.now(), true
	}
	snap := snapshot{it: it, rev: rev}
	for _, u := range it.updates {
		if u.rev > rev {
			snap.until = stamp(u.at)
			break
		}
		for _, ch := range u.changes {
			snap.values.set(ch.def, ch.next)
		}
		for _, gone := range u.removed {
			snap.relations = slices.DeleteFunc(snap.relations, func(r relation) bool { return r.id == gone.id })
		}
		snap.relations = append(snap.relations, u.added...)
		if !u.sameRev {
			snap.made = u
		}
	}
	sortRelations(snap.relations)
	return snap, true
}

// value gives any field of the snapshot, computed ones included.
func (s *Server) value(snap snapshot, d *fieldDef) any {
	if !d.computed {
		return snap.values.get(d)
	}
	area, _ := snap.values.get(s.fields.must(fieldArea)).(string)
	cycle, _ := snap.values.get(s.fields.must(fieldIteration)).(string)
	switch d.ReferenceName {
	case fieldID:
		return snap.it.id
	case fieldRev:
		return snap.rev
	case fieldAreaID:
		return nodeID("area", snap.it.project.id, area)
	case fieldIterationID:
		return nodeID("iteration", snap.it.project.id, cycle)
	case fieldNode:
		return area[strings.LastIndexByte(area, '\\')+1:]
	case fieldAreaLevel1:
		first, _, _ := strings.Cut(area, `\`)
		return first
	case fieldIterationL1:
		first, _, _ := strings.Cut(cycle, `\`)
		return first
	case fieldAuthorizedDate:
		return snap.made.at
	case fieldRevisedDate:
		return snap.until
	case fieldAuthorizedAs:
		return snap.made.as
	case fieldPersonID:
		return snap.made.as.personID()
	case fieldWatermark:
		return snap.made.watermark
	case fieldParent:
		for _, r := range snap.relations {
			if r.kind.ref == "System.LinkTypes.Hierarchy-Reverse" {
				return r.target
			}
		}
	case fieldHistory:
		if v := snap.made.comment; v != nil && !v.deleted {
			return v.text
		}
	}
	return nil
}

// tagItem and untag keep the index of tags.
func (s *Server) tagItem(it *item) {
	for _, tag := range splitTags(it.text(s.fields.must(fieldTags))) {
		key := strings.ToLower(tag)
		s.tags[key] = append(s.tags[key], it)
	}
}

func (s *Server) untag(it *item) {
	for _, tag := range splitTags(it.text(s.fields.must(fieldTags))) {
		key := strings.ToLower(tag)
		rest := slices.DeleteFunc(s.tags[key], func(o *item) bool { return o == it })
		if len(rest) == 0 {
			delete(s.tags, key)
		} else {
			s.tags[key] = rest
		}
	}
}

// find gives an item that is not deleted.
func (s *Server) find(id int) (*item, error) {
	it, found := s.items[id]
	if !found || it.removed != nil {
		return nil, errNoItem(id)
	}
	return it, nil
}

// findIn gives an item that is not deleted and, if the path names a project, belongs to it now.
func (s *Server) findIn(c *call, id int) (*item, error) {
	it, err := s.find(id)
	if err != nil {
		return nil, err
	}
	if c.project != nil && it.project != c.project {
		return nil, errNoItem(id)
	}
	return it, nil
}
