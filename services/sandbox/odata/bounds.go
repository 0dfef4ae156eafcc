package odata

import "strings"

// Bounds is what a filter says for certain about one property: every row it lets through lies between Low and High,
// both inclusive (a strict bound is widened, the filter itself still decides). Null means no bound.
type Bounds struct{ Low, High Value }

// BoundsOf reads the bounds of a property out of the conditions that are joined by `and` at the top, so that an index
// can be walked from there instead of every row being looked at.
func (f *Filter) BoundsOf(property string, kind Kind) Bounds {
	var b Bounds
	if f == nil || len(f.Rest) > 0 {
		return b
	}
	for _, c := range append([]*comparison{f.First.First}, f.First.Rest...) {
		if c.Op == "" && len(c.In) == 0 {
			if u := c.Left; !u.Not && u.Operand.Group != nil {
				b.merge(u.Operand.Group.BoundsOf(property, kind))
			}
			continue
		}
		if !c.Left.isProperty(property) || c.Right == nil || c.Right.Not || c.Right.Operand.Value == nil {
			continue
		}
		t, err := bindValue(c.Right.Operand.Value, func(string) (Property[struct{}], error) {
			return Property[struct{}]{}, nil
		})
		if err != nil || t.literal == nil {
			continue
		}
		v := *t.literal
		if v.Kind != kind {
			var ok bool
			if v, ok = coerce(&v, kind); !ok {
				continue
			}
		}
		switch c.Op {
		case "eq":
			b.merge(Bounds{Low: v, High: v})
		case "gt", "ge":
			b.merge(Bounds{Low: v})
		case "lt", "le":
			b.merge(Bounds{High: v})
		}
	}
	return b
}

func (b *Bounds) merge(other Bounds) {
	if other.Low.Kind != Null && (b.Low.Kind == Null || order(other.Low, b.Low) > 0) {
		b.Low = other.Low
	}
	if other.High.Kind != Null && (b.High.Kind == Null || order(other.High, b.High) < 0) {
		b.High = other.High
	}
}

func (u *unary) isProperty(name string) bool {
	return !u.Not && u.Operand.Value != nil && u.Operand.Value.Ident != nil && strings.EqualFold(*u.Operand.Value.Ident, name)
}

// Uses tells whether the filter names the property anywhere.
func (f *Filter) Uses(property string) bool {
	if f == nil {
		return false
	}
	for _, c := range append([]*conjunction{f.First}, f.Rest...) {
		for _, cmp := range append([]*comparison{c.First}, c.Rest...) {
			if cmp.Left.uses(property) || cmp.Right != nil && cmp.Right.uses(property) {
				return true
			}
		}
	}
	return false
}

func (u *unary) uses(property string) bool { return u.Operand.uses(property) }

func (o *operand) uses(property string) bool {
	switch {
	case o.Group != nil:
		return o.Group.Uses(property)
	case o.Call != nil:
		for _, a := range o.Call.Args {
			if a.uses(property) {
				return true
			}
		}
		return false
	default:
		return o.Value.Ident != nil && strings.EqualFold(*o.Value.Ident, property)
	}
}

// Sorter binds $orderby to a schema: a comparison of two rows. Null sorts first, as SQL Server has it.
func Sorter[T any](keys []Order, schema Schema[T]) (func(a, b T) int, error) {
	type key struct {
		get  func(T) Value
		desc bool
	}
	bound := make([]key, 0, len(keys))
	for _, k := range keys {
		p, err := schema(k.Property)
		if err != nil {
			return nil, err
		}
		bound = append(bound, key{get: p.Get, desc: k.Desc})
	}
	return func(a, b T) int {
		for _, k := range bound {
			if n := orderNulls(k.get(a), k.get(b)); n != 0 {
				if k.desc {
					return -n
				}
				return n
			}
		}
		return 0
	}, nil
}

func orderNulls(a, b Value) int {
	switch {
	case a.Kind == Null && b.Kind == Null:
		return 0
	case a.Kind == Null:
		return -1
	case b.Kind == Null:
		return 1
	}
	return order(a, b)
}
