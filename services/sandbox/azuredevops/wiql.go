package azuredevops

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// queryReference names a work item in a query result.
type queryReference struct {
	ID  int    `json:"id"`
	URL string `json:"url"`
}

// serveWIQL runs a query. As with the service, the project of the path only gives @project a meaning; it does not
// narrow the query down.
func (s *Server) serveWIQL(c *call) (answer, error) {
	var body struct {
		Query string `json:"query"`
	}
	if err := c.decode(&body); err != nil {
		return answer{}, err
	}
	q, err := parseWIQL(body.Query)
	if err != nil {
		return answer{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	run := &wiqlRun{s: s, c: c, precise: c.flag("timePrecision"), now: toMillis(s.opts.Now())}
	found, err := run.run(q)
	if err != nil {
		return answer{}, err
	}
	if top := c.query("$top"); top != "" {
		n, err := strconv.Atoi(top)
		if err != nil || n < 1 {
			return answer{}, &malformed{"The value '" + top + "' is not valid for $top."}
		}
		found = found[:min(n, len(found))]
	}
	if most := s.opts.Limits.QueryResults; len(found) > most {
		return answer{}, badRequest("WorkItemTrackingQueryResultSizeLimitExceededException", fmt.Sprintf("VS402337: The number of work items returned exceeds the size limit of %d. Change the query to return fewer items.", most))
	}
	return s.queryAnswer(c, run, q, found)
}

func (s *Server) queryAnswer(c *call, run *wiqlRun, q query, found []*item) (answer, error) {
	at := s.here()
	if c.project != nil {
		at = at.at(c.project)
	}
	type column struct {
		Ref  string `json:"referenceName"`
		Name string `json:"name"`
		URL  string `json:"url"`
	}
	columns := make([]column, len(q.columns))
	for i, name := range q.columns {
		d := s.fields.find(name)
		if d == nil {
			return answer{}, errNoField(name)
		}
		columns[i] = column{d.ReferenceName, d.Name, s.here().root + "/_apis/wit/fields/" + d.ReferenceName}
	}
	items := make([]queryReference, len(found))
	for i, it := range found {
		items[i] = queryReference{it.id, at.itemURL(it.id)}
	}
	return ok(struct {
		QueryType  string           `json:"queryType"`
		ResultType string           `json:"queryResultType"`
		AsOf       string           `json:"asOf"`
		Columns    []column         `json:"columns"`
		WorkItems  []queryReference `json:"workItems"`
	}{"flat", "workItem", stamp(run.now), columns, items})
}

// wiqlRun is one evaluation of a query.
type wiqlRun struct {
	s       *Server
	c       *call
	precise bool
	now     time.Time
}

// test decides about one item.
type test func(*item) bool

func (r *wiqlRun) run(q query) ([]*item, error) {
	keep := test(func(*item) bool { return true })
	candidates := r.s.order
	if q.where != nil {
		var err error
		if keep, err = r.compile(q.where); err != nil {
			return nil, err
		}
		if few, narrowed := r.narrow(q.where); narrowed {
			candidates = few
		}
	}
	var found []*item
	for _, it := range candidates {
		if it.removed == nil && !it.visibleAt.After(r.now) && keep(it) {
			found = append(found, it)
		}
	}
	return found, r.sort(found, q.order)
}

func (r *wiqlRun) sort(found []*item, order []ordering) error {
	defs := make([]*fieldDef, len(order))
	for i, o := range order {
		if defs[i] = r.s.fields.find(o.field); defs[i] == nil {
			return errNoField(o.field)
		}
	}
	slices.SortStableFunc(found, func(a, b *item) int {
		for i, d := range defs {
			n := compareValues(r.s.value(a.now(), d), r.s.value(b.now(), d))
			if order[i].descending {
				n = -n
			}
			if n != 0 {
				return n
			}
		}
		return cmp.Compare(a.id, b.id)
	})
	return nil
}

// narrow finds the few items that can match, from conditions on ids and tags that hold for all of them.
func (r *wiqlRun) narrow(c condition) ([]*item, bool) {
	switch x := c.(type) {
	case both:
		if few, narrowed := r.narrow(x.left); narrowed {
			return few, true
		}
		return r.narrow(x.right)
	case either:
		left, narrowed := r.narrow(x.left)
		right, alsoNarrowed := r.narrow(x.right)
		if !narrowed || !alsoNarrowed {
			return nil, false
		}
		all := slices.Concat(left, right)
		slices.SortFunc(all, func(a, b *item) int { return cmp.Compare(a.id, b.id) })
		return slices.Compact(all), true
	case comparison:
		d := r.s.fields.find(x.field)
		switch {
		case d == nil:
		case d.ReferenceName == fieldID && (x.operator == "=" || x.operator == "IN"):
			var few []*item
			for _, v := range x.values {
				if id, err := strconv.Atoi(v.text); err == nil && r.s.items[id] != nil {
					few = append(few, r.s.items[id])
				}
			}
			return few, true
		case d.ReferenceName == fieldTags && !r.s.opts.Quirks.PartialTags && x.operator == "CONTAINS" && !x.values[0].macro:
			return slices.Clone(r.s.tags[strings.ToLower(strings.TrimSpace(x.values[0].text))]), true
		}
	}
	return nil, false
}

func (r *wiqlRun) compile(c condition) (test, error) {
	switch x := c.(type) {
	case both:
		left, right, err := r.compileTwo(x.left, x.right)
		return func(it *item) bool { return left(it) && right(it) }, err
	case either:
		left, right, err := r.compileTwo(x.left, x.right)
		return func(it *item) bool { return left(it) || right(it) }, err
	case inverse:
		of, err := r.compile(x.of)
		return func(it *item) bool { return !of(it) }, err
	case comparison:
		return r.compileComparison(x)
	}
	return nil, wiqlError("a condition is missing")
}

func (r *wiqlRun) compileTwo(a, b condition) (test, test, error) {
	left, err := r.compile(a)
	if err != nil {
		return nil, nil, err
	}
	right, err := r.compile(b)
	return left, right, err
}

func (r *wiqlRun) compileComparison(x comparison) (test, error) {
	d := r.s.fields.find(x.field)
	if d == nil {
		return nil, badRequest("SyntaxException", "TF51005: The query references a field that does not exist. The error is caused by «["+x.field+"]».")
	}
	if x.operator == "EMPTY" {
		return func(it *item) bool { return r.s.value(it.now(), d) == nil }, nil
	}
	values := make([]any, len(x.values))
	for i, o := range x.values {
		v, err := r.resolve(d, o)
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	if operator, ever := strings.CutPrefix(x.operator, "EVER "); ever {
		match, err := r.matcher(d, operator, values)
		return func(it *item) bool {
			return slices.ContainsFunc(it.updates, func(u *update) bool {
				return slices.ContainsFunc(u.changes, func(ch change) bool { return ch.def == d && match(ch.next) })
			})
		}, err
	}
	match, err := r.matcher(d, x.operator, values)
	if err != nil {
		return nil, err
	}
	if !d.computed {
		return func(it *item) bool { return match(it.values.get(d)) }, nil
	}
	return func(it *item) bool { return match(r.s.value(it.now(), d)) }, nil
}

// resolve turns an operand into a value of the field's type.
func (r *wiqlRun) resolve(d *fieldDef, o operand) (any, error) {
	if o.macro {
		switch o.text {
		case "@project":
			if r.c.project == nil {
				return nil, badRequest("SyntaxException", "TF51011: The macro @project needs a project in the path of the request.")
			}
			return r.c.project.name, nil
		case "@me":
			return r.c.user.UniqueName, nil
		case "@today":
			return r.now.Truncate(24*time.Hour).AddDate(0, 0, o.offset), nil
		}
		return nil, wiqlError("the macro " + o.text + " is not known")
	}
	if d.Type == "dateTime" {
		at, valid := parseTime(o.text)
		switch {
		case o.text == "":
			return nil, nil
		case !valid:
			return nil, wiqlError("«" + o.text + "» is not a date")
		case !r.precise && !at.Equal(at.Truncate(24*time.Hour)):
			return nil, badRequest("SyntaxException", "You cannot supply a time with the date when running a query using date precision. The error is caused by «["+d.ReferenceName+"]».")
		}
		return at, nil
	}
	if d.Type == "integer" || d.Type == "double" {
		v, status := d.convert(o.text)
		if status != "" {
			return nil, wiqlError("«" + o.text + "» is not a number")
		}
		return v, nil
	}
	return o.text, nil
}

// matcher builds the test of one field value.
func (r *wiqlRun) matcher(d *fieldDef, operator string, values []any) (func(any) bool, error) {
	first := values[0]
	switch operator {
	case "=":
		return func(v any) bool { return r.same(v, first) }, nil
	case "<>":
		return func(v any) bool { return !r.same(v, first) }, nil
	case "<":
		return func(v any) bool { return v != nil && r.compare(v, first) < 0 }, nil
	case ">":
		return func(v any) bool { return v != nil && r.compare(v, first) > 0 }, nil
	case "<=":
		return func(v any) bool { return v != nil && r.compare(v, first) <= 0 }, nil
	case ">=":
		return func(v any) bool { return v != nil && r.compare(v, first) >= 0 }, nil
	case "IN":
		return func(v any) bool {
			return slices.ContainsFunc(values, func(w any) bool { return r.same(v, w) })
		}, nil
	case "UNDER":
		if d.Type != "treePath" {
			return nil, wiqlError("UNDER needs a path field")
		}
		root := strings.ToLower(strings.TrimRight(str(first), `\`))
		return func(v any) bool {
			path := strings.ToLower(str(v))
			return path == root || strings.HasPrefix(path, root+`\`)
		}, nil
	case "CONTAINS":
		return contains(d, str(first), r.s.opts.Quirks.PartialTags)
	case "CONTAINS WORDS":
		wanted := words(str(first))
		return func(v any) bool {
			have := words(plainText(v))
			return !slices.ContainsFunc(wanted, func(w string) bool {
				return !slices.ContainsFunc(have, func(h string) bool {
					return h == w || strings.HasSuffix(w, "*") && strings.HasPrefix(h, strings.TrimSuffix(w, "*"))
				})
			})
		}, nil
	}
	return nil, wiqlError("the operator " + operator + " is not supported")
}

// contains is the operator CONTAINS. On tags it means one whole tag.
func contains(d *fieldDef, wanted string, parts bool) (func(any) bool, error) {
	if d.ReferenceName == fieldTags && !parts {
		wanted = strings.TrimSpace(wanted)
		return func(v any) bool {
			return slices.ContainsFunc(splitTags(str(v)), func(t string) bool { return strings.EqualFold(t, wanted) })
		}, nil
	}
	if d.Type == "html" || d.Type == "history" {
		return nil, wiqlError("the operator CONTAINS can't be used on the long text field " + d.ReferenceName)
	}
	wanted = strings.ToLower(wanted)
	return func(v any) bool { return strings.Contains(strings.ToLower(plainText(v)), wanted) }, nil
}

func plainText(v any) string {
	if u, isPerson := v.(*User); isPerson {
		return u.full()
	}
	return str(v)
}

func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '*' && r != '_'
	})
}

// same tells whether a field value equals an operand.
func (r *wiqlRun) same(v, operand any) bool {
	if a, isText := v.(string); isText {
		if b, both := operand.(string); both {
			return strings.EqualFold(a, b)
		}
	}
	return r.compare(v, operand) == 0
}

// compare orders a field value and an operand: days unless the query is precise, people by any of their names.
func (r *wiqlRun) compare(v, operand any) int {
	if v == nil && (operand == nil || operand == "") {
		return 0
	}
	if u, isPerson := v.(*User); isPerson {
		name := str(operand)
		if strings.EqualFold(name, u.UniqueName) || strings.EqualFold(name, u.DisplayName) || strings.EqualFold(name, u.full()) {
			return 0
		}
		return cmp.Or(strings.Compare(strings.ToLower(u.DisplayName), strings.ToLower(name)), 1)
	}
	if at, isTime := v.(time.Time); isTime && !r.precise {
		v = at.Truncate(24 * time.Hour)
	}
	return compareValues(v, operand)
}

// compareValues orders two values of one field; none comes first.
func compareValues(a, b any) int {
	switch x := a.(type) {
	case nil:
		if b == nil {
			return 0
		}
		return -1
	case string:
		if y, same := b.(string); same {
			return compareText(x, y)
		}
	case int:
		if y, same := b.(int); same {
			return cmp.Compare(x, y)
		}
	case float64:
		if y, same := b.(float64); same {
			return cmp.Compare(x, y)
		}
	case time.Time:
		if y, same := b.(time.Time); same {
			return x.Compare(y)
		}
	case *User:
		if y, same := b.(*User); same {
			return compareText(x.DisplayName, y.DisplayName)
		}
	}
	if b == nil {
		return 1
	}
	return compareText(fmt.Sprint(a), fmt.Sprint(b))
}

// compareText orders texts without regard to case.
func compareText(a, b string) int {
	if strings.EqualFold(a, b) {
		return 0
	}
	return cmp.Or(strings.Compare(strings.ToLower(a), strings.ToLower(b)), strings.Compare(a, b))
}
