package odata_test

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tandem-sync/tandem/services/sandbox/odata"
)

type row struct {
	id     int
	name   string
	solver *int
	active time.Time
	open   bool
}

func schema(name string) (odata.Property[row], error) {
	switch strings.ToLower(name) {
	case "id":
		return odata.Property[row]{Kind: odata.Int, Get: func(r row) odata.Value { return odata.Number(int64(r.id)) }}, nil
	case "name":
		return odata.Property[row]{Kind: odata.String, Get: func(r row) odata.Value { return odata.Text(r.name) }}, nil
	case "solverid":
		return odata.Property[row]{Kind: odata.Int, Get: func(r row) odata.Value {
			if r.solver == nil {
				return odata.Value{}
			}
			return odata.Number(int64(*r.solver))
		}}, nil
	case "active":
		return odata.Property[row]{Kind: odata.Date, Get: func(r row) odata.Value { return odata.Moment(r.active) }}, nil
	case "team": // nobody has one
		return odata.Property[row]{Kind: odata.String, Get: func(row) odata.Value { return odata.Value{} }}, nil
	case "open":
		return odata.Property[row]{Kind: odata.Bool, Get: func(r row) odata.Value { return odata.Flag(r.open) }}, nil
	}
	return odata.Property[row]{}, fmt.Errorf("could not find a property named '%s'", name)
}

func rows() []row {
	seven := 7
	at := func(h int) time.Time { return time.Date(2026, 11, 20, h, 0, 0, 0, time.UTC) }
	return []row{
		{1, "Printer", nil, at(1), true},
		{2, "O'Neil's mouse", &seven, at(2), true},
		{3, "printer again", &seven, at(3), false},
		{4, "Škoda", nil, at(3), false},
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	p := odata.NewParser()
	for filter, want := range map[string][]int{
		"id eq 2":                             {2},
		"id eq '2'":                           {2},
		"2 eq id":                             {2},
		"id in (1, 3,'4')":                    {1, 3, 4},
		"name in ('printer','ŠKODA')":         {1, 4},
		"name eq 'O''Neil''s mouse'":          {2},
		"solverId eq null":                    {1, 4},
		"solverId ne null":                    {2, 3},
		"solverId ne 7":                       {1, 4},
		"solverId gt 1":                       {2, 3},
		"startswith(name,'print')":            {1, 3},
		"not startswith(name,'print')":        {2, 4},
		"not (id eq 1 or id eq 2) and open":   {},
		"open and id gt 1 or id eq 4":         {2, 4},
		"open and (id gt 1 or id eq 4)":       {2},
		"open eq false":                       {3, 4},
		"active ge 2026-11-20T03:00:00Z":      {3, 4},
		"active gt 2026-11-20T03:00:00+01:00": {3, 4},
		"active lt 2026-11-20T02:00:00.5Z":    {1, 2},
		"contains(tolower(name),'again')":     {3},
		"endswith(name,'mouse') or id le 1":   {1, 2},
		"team eq ''":                          {},
		"team ne ''":                          {1, 2, 3, 4},
		"id ge 1.5":                           nil,
	} {
		t.Run(filter, func(t *testing.T) {
			t.Parallel()
			f, err := p.ParseFilter(filter)
			if err != nil {
				t.Fatal(err)
			}
			match, err := odata.Compile(f, schema)
			if err != nil {
				if want != nil {
					t.Fatal(err)
				}
				return
			}
			got := []int{}
			for _, r := range rows() {
				if match(r) {
					got = append(got, r.id)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFilterRefuses(t *testing.T) {
	t.Parallel()
	p := odata.NewParser()
	for _, filter := range []string{
		"", "id", "id eq", "eq 1", "id eq 1 and", "(id eq 1", "id eq 1)", "id == 1", "name eq 'x", "nosuch eq 1", "name eq 1",
		"id eq 'x'", "id and open", "not id eq 1", "active gt '2026-11-20T00:00:00Z'", "active gt 2026-11-20",
		"active gt 2026-11-20T00:00:00", "active gt 2026-11-20T03:00:00 01:00", "startswith(id,'1')", "startswith(name)",
		"substringof('a',name)", "id in ()", "id in (open)", "active gt 2026-13-40T00:00:00Z",
		strings.Repeat("(", 500) + "id eq 1" + strings.Repeat(")", 500),
	} {
		f, err := p.ParseFilter(filter)
		if err == nil {
			_, err = odata.Compile(f, schema)
		}
		if err == nil {
			t.Errorf("%q was taken", filter)
		}
	}
	if _, err := p.ParseFilter(strings.Repeat("a", odata.MaxExpression+1)); !errors.Is(err, odata.ErrTooLong) {
		t.Errorf("got %v, want ErrTooLong", err)
	}
}

func TestParseOptions(t *testing.T) {
	t.Parallel()
	p := odata.NewParser()
	q, err := p.Parse(url.Values{
		"$orderBy": {"active desc, id"}, "$top": {"10"}, "skip": {"5"}, "$count": {"true"},
		"$select": {"id,name"}, "$expand": {"objects"}, "$search": {`"jana"`}, "other": {"1", "2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	ten, five := 10, 5
	want := odata.Query{
		OrderBy: []odata.Order{{Property: "active", Desc: true}, {Property: "id"}}, Top: &ten, Skip: &five, Count: true,
		Select: []string{"id", "name"}, Expand: []string{"objects"}, Search: "jana",
	}
	if diff := cmp.Diff(want, q); diff != "" {
		t.Error(diff)
	}
	for _, bad := range []url.Values{
		{"$top": {"-1"}},
		{"$top": {"x"}},
		{"$count": {"maybe"}},
		{"$apply": {"x"}},
		{"$top": {"1", "2"}},
		{"$orderby": {"id sideways"}},
		{"$orderby": {""}},
		{"$filter": {""}},
	} {
		if _, err := p.Parse(bad); err == nil {
			t.Errorf("%v was taken", bad)
		}
	}
}

func TestSorterAndBounds(t *testing.T) {
	t.Parallel()
	by, err := odata.Sorter([]odata.Order{{Property: "solverId"}, {Property: "name", Desc: true}}, schema)
	if err != nil {
		t.Fatal(err)
	}
	all := rows()
	slices.SortFunc(all, by)
	got := []int{}
	for _, r := range all {
		got = append(got, r.id)
	}
	if diff := cmp.Diff([]int{4, 1, 3, 2}, got); diff != "" {
		t.Error(diff)
	}
	f, err := odata.NewParser().ParseFilter("(id gt '3' and open) and id le 9 and id ge 2 and (id eq 4 or open)")
	if err != nil {
		t.Fatal(err)
	}
	if b := f.BoundsOf("ID", odata.Int); b.Low.Int != 3 || b.High.Int != 9 {
		t.Errorf("got %+v", b)
	}
	if !f.Uses("open") || f.Uses("name") {
		t.Error("Uses is wrong")
	}
}

// FuzzFilter looks for panics, and for bounds that would hide a row which the filter itself lets through.
func FuzzFilter(f *testing.F) {
	for _, seed := range []string{
		"id eq 2", "solverId eq null", "solverId eq '123'", "startswith(name,'IT')", "open ne true and not startswith(name,'x')",
		"active ge 2026-11-20T03:00:00Z and (id gt 2 or name in ('a','b''c'))", "((id lt 3))", "id gt 1 and id lt 4",
	} {
		f.Add(seed)
	}
	p := odata.NewParser()
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := p.ParseFilter(text)
		if err != nil {
			return
		}
		match, err := odata.Compile(filter, schema)
		if err != nil {
			return
		}
		b := filter.BoundsOf("id", odata.Int)
		for _, r := range rows() {
			outside := b.Low.Kind != odata.Null && int64(r.id) < b.Low.Int || b.High.Kind != odata.Null && int64(r.id) > b.High.Int
			if match(r) && outside {
				t.Errorf("%q matches %+v outside of its bounds %+v", text, r, b)
			}
		}
	})
}

func BenchmarkFilter(b *testing.B) {
	p := odata.NewParser()
	for b.Loop() {
		f, err := p.ParseFilter("serviceName eq 'Development' and lastActivityDate ge 2026-11-20T03:00:00Z")
		if err != nil || f == nil {
			b.Fatal(err)
		}
	}
}
