package odata

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Filter is a parsed $filter: a disjunction.
type Filter struct {
	First *conjunction   `parser:"@@"`
	Rest  []*conjunction `parser:"('or' @@)*"`
}

type conjunction struct {
	First *comparison   `parser:"@@"`
	Rest  []*comparison `parser:"('and' @@)*"`
}

// comparison is `operand`, `operand op operand` or `operand in (…)`.
type comparison struct {
	Left  *unary   `parser:"@@"`
	Op    string   `parser:"( @('eq'|'ne'|'gt'|'ge'|'lt'|'le')"`
	Right *unary   `parser:"  @@"`
	In    []*value `parser:"| 'in' '(' @@ (',' @@)* ')' )?"`
}

type unary struct {
	Not     bool     `parser:"@'not'?"`
	Operand *operand `parser:"@@"`
}

type operand struct {
	Group *Filter `parser:"  '(' @@ ')'"`
	Call  *call   `parser:"| @@"`
	Value *value  `parser:"| @@"`
}

type call struct {
	Name string     `parser:"@Ident '('"`
	Args []*operand `parser:"(@@ (',' @@)*)? ')'"`
}

type value struct {
	Date   *string `parser:"  @Date"`
	Number *string `parser:"| @Number"`
	String *string `parser:"| @String"`
	Ident  *string `parser:"| @Ident"`
}

// Kind is the type of a property or value.
type Kind int

// The kinds of value.
const (
	Null Kind = iota
	Bool
	Int
	Float
	String
	Date
)

// String names the kind as OData does.
func (k Kind) String() string {
	switch k {
	case Null:
		return "null"
	case Bool:
		return "Edm.Boolean"
	case Int:
		return "Edm.Int32"
	case Float:
		return "Edm.Double"
	case String:
		return "Edm.String"
	case Date:
		return "Edm.DateTimeOffset"
	}
	return "unknown"
}

// Value is a typed value; the zero Value is null.
type Value struct {
	Kind  Kind
	Int   int64 // also a Bool, as 0 or 1
	Float float64
	Str   string
	Time  time.Time
}

// Text makes a string value; the empty string is a value, not null.
func Text(s string) Value { return Value{Kind: String, Str: s} }

// Number makes an integer value.
func Number(n int64) Value { return Value{Kind: Int, Int: n} }

// Flag makes a boolean value.
func Flag(b bool) Value {
	if b {
		return Value{Kind: Bool, Int: 1}
	}
	return Value{Kind: Bool}
}

// Moment makes a point in time.
func Moment(t time.Time) Value { return Value{Kind: Date, Time: t} }

// Property is how a schema answers for a name: its kind and how to read it from a row.
type Property[T any] struct {
	Kind Kind
	Get  func(T) Value
}

// Schema finds a property by its name. Names come as the caller wrote them; the schema decides about letter case.
type Schema[T any] func(name string) (Property[T], error)

// Compile binds the filter to a schema. Types are checked here, so that the function it returns can't fail. Strings
// compare without regard to case, as SQL Server's usual collations do (modelled).
func Compile[T any](f *Filter, schema Schema[T]) (func(T) bool, error) {
	if f == nil {
		return func(T) bool { return true }, nil
	}
	t, err := bindFilter(f, schema)
	if err != nil {
		return nil, err
	}
	if t.kind != Bool {
		return nil, fmt.Errorf("the $filter expression must evaluate to a single boolean value, not %s", t.kind)
	}
	return func(row T) bool { return t.get(row).Int == 1 }, nil
}

// term is a bound sub-expression.
type term[T any] struct {
	kind    Kind
	literal *Value // set when it does not depend on the row
	get     func(T) Value
}

func literal[T any](v Value) term[T] {
	return term[T]{kind: v.Kind, literal: &v, get: func(T) Value { return v }}
}

func bindFilter[T any](f *Filter, schema Schema[T]) (term[T], error) {
	out, err := bindConjunction(f.First, schema)
	if err != nil || len(f.Rest) == 0 {
		return out, err
	}
	parts := []term[T]{out}
	for _, c := range f.Rest {
		t, err := bindConjunction(c, schema)
		if err != nil {
			return out, err
		}
		parts = append(parts, t)
	}
	return combine(parts, "or", 1)
}

func bindConjunction[T any](c *conjunction, schema Schema[T]) (term[T], error) {
	out, err := bindComparison(c.First, schema)
	if err != nil || len(c.Rest) == 0 {
		return out, err
	}
	parts := []term[T]{out}
	for _, one := range c.Rest {
		t, err := bindComparison(one, schema)
		if err != nil {
			return out, err
		}
		parts = append(parts, t)
	}
	return combine(parts, "and", 0)
}

// combine joins boolean terms; decided is the value at which the outcome stands.
func combine[T any](parts []term[T], op string, decided int64) (term[T], error) {
	for _, p := range parts {
		if p.kind != Bool {
			return term[T]{}, fmt.Errorf("operator '%s' needs boolean operands, not %s", op, p.kind)
		}
	}
	return term[T]{kind: Bool, get: func(row T) Value {
		for _, p := range parts {
			if p.get(row).Int == decided {
				return Flag(decided == 1)
			}
		}
		return Flag(decided != 1)
	}}, nil
}

func bindComparison[T any](c *comparison, schema Schema[T]) (term[T], error) {
	left, err := bindUnary(c.Left, schema)
	if err != nil {
		return left, err
	}
	switch {
	case len(c.In) > 0:
		return bindIn(left, c.In, schema)
	case c.Op == "":
		return left, nil
	}
	right, err := bindUnary(c.Right, schema)
	if err != nil {
		return right, err
	}
	return compare(left, c.Op, right)
}

func bindIn[T any](left term[T], values []*value, schema Schema[T]) (term[T], error) {
	members := make([]term[T], 0, len(values))
	for _, v := range values {
		t, err := bindValue(v, schema)
		if err != nil {
			return t, err
		}
		if t.literal == nil {
			return t, errors.New("the list of 'in' may hold literals only")
		}
		eq, err := compare(left, "eq", t)
		if err != nil {
			return t, err
		}
		members = append(members, eq)
	}
	return combine(members, "in", 1)
}

func compare[T any](left term[T], op string, right term[T]) (term[T], error) {
	left, right, err := align(left, right)
	if err != nil {
		return left, err
	}
	if left.kind == String && (op == "eq" || op == "ne") {
		return sameText(left, right, op == "eq"), nil
	}
	test := comparer(op)
	return term[T]{kind: Bool, get: func(row T) Value {
		a, b := left.get(row), right.get(row)
		if a.Kind == Null || b.Kind == Null {
			// Null equals only null, and orders with nothing (4.01 Part 2 §5.1.1.1).
			same := a.Kind == b.Kind
			return Flag(op == "eq" && same || op == "ne" && !same)
		}
		return Flag(test(order(a, b)))
	}}, nil
}

// sameText compares two strings for equality, without the copies that ordering them would make.
func sameText[T any](left, right term[T], want bool) term[T] {
	return term[T]{kind: Bool, get: func(row T) Value {
		a, b := left.get(row), right.get(row)
		return Flag((a.Kind == b.Kind && strings.EqualFold(a.Str, b.Str)) == want)
	}}
}

func comparer(op string) func(int) bool {
	switch op {
	case "eq":
		return func(n int) bool { return n == 0 }
	case "ne":
		return func(n int) bool { return n != 0 }
	case "gt":
		return func(n int) bool { return n > 0 }
	case "ge":
		return func(n int) bool { return n >= 0 }
	case "lt":
		return func(n int) bool { return n < 0 }
	default:
		return func(n int) bool { return n <= 0 }
	}
}

// align makes both sides one kind. A quoted integer is taken for an integer property, which Alvao accepts (the Zabbix
// template for Alvao asks `solverId eq '123'`; alvao.md §2.1).
func align[T any](left, right term[T]) (term[T], term[T], error) {
	if left.kind == right.kind || left.kind == Null || right.kind == Null {
		return left, right, nil
	}
	if v, ok := coerce(right.literal, left.kind); ok {
		return left, literal[T](v), nil
	}
	if v, ok := coerce(left.literal, right.kind); ok {
		return literal[T](v), right, nil
	}
	return left, right, fmt.Errorf(
		"a binary operator with incompatible types was detected: found operand types '%s' and '%s'", left.kind, right.kind)
}

func coerce(v *Value, to Kind) (Value, bool) {
	switch {
	case v == nil:
		return Value{}, false
	case v.Kind == String && to == Int:
		n, err := strconv.ParseInt(v.Str, 10, 64)
		return Number(n), err == nil
	case v.Kind == Int && to == Float:
		return Value{Kind: Float, Float: float64(v.Int)}, true
	}
	return Value{}, false
}

// order compares two values of one kind, neither null.
func order(a, b Value) int {
	switch a.Kind {
	case Date:
		return a.Time.Compare(b.Time)
	case String:
		return strings.Compare(strings.ToLower(a.Str), strings.ToLower(b.Str))
	case Float:
		return int(math.Copysign(1, a.Float-b.Float)) * boolInt(a.Float != b.Float)
	case Null, Bool, Int:
	}
	switch {
	case a.Int < b.Int:
		return -1
	case a.Int > b.Int:
		return 1
	}
	return 0
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func bindUnary[T any](u *unary, schema Schema[T]) (term[T], error) {
	t, err := bindOperand(u.Operand, schema)
	if err != nil || !u.Not {
		return t, err
	}
	if t.kind != Bool {
		return t, fmt.Errorf("operator 'not' needs a boolean operand, not %s", t.kind)
	}
	get := t.get
	return term[T]{kind: Bool, get: func(row T) Value { return Flag(get(row).Int != 1) }}, nil
}

func bindOperand[T any](o *operand, schema Schema[T]) (term[T], error) {
	switch {
	case o.Group != nil:
		return bindFilter(o.Group, schema)
	case o.Call != nil:
		return bindCall(o.Call, schema)
	default:
		return bindValue(o.Value, schema)
	}
}

func bindValue[T any](v *value, schema Schema[T]) (term[T], error) {
	switch {
	case v.Date != nil:
		t, err := ParseDate(*v.Date)
		if err != nil {
			return term[T]{}, err
		}
		return literal[T](Moment(t)), nil
	case v.Number != nil:
		return bindNumber[T](*v.Number)
	case v.String != nil:
		s := *v.String
		return literal[T](Text(strings.ReplaceAll(s[1:len(s)-1], "''", "'"))), nil
	}
	switch *v.Ident {
	case "null":
		return literal[T](Value{}), nil
	case "true":
		return literal[T](Flag(true)), nil
	case "false":
		return literal[T](Flag(false)), nil
	}
	p, err := schema(*v.Ident)
	if err != nil {
		return term[T]{}, err
	}
	return term[T]{kind: p.Kind, get: p.Get}, nil
}

func bindNumber[T any](text string) (term[T], error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return literal[T](Number(n)), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return term[T]{}, fmt.Errorf("'%s' is not a number", text)
	}
	return literal[T](Value{Kind: Float, Float: f}), nil
}

// ParseDate reads an Edm.DateTimeOffset literal. The offset is mandatory in OData, so a value without one is refused.
func ParseDate(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("the literal '%s' is not a DateTimeOffset with an offset", text)
}

func bindCall[T any](c *call, schema Schema[T]) (term[T], error) {
	args := make([]term[T], 0, len(c.Args))
	for _, a := range c.Args {
		t, err := bindOperand(a, schema)
		if err != nil {
			return t, err
		}
		if t.kind != String && t.kind != Null {
			return t, fmt.Errorf("function '%s' takes strings, not %s", c.Name, t.kind)
		}
		args = append(args, t)
	}
	var test func(s, part string) bool
	switch c.Name {
	case "startswith":
		test = strings.HasPrefix
	case "endswith":
		test = strings.HasSuffix
	case "contains":
		test = strings.Contains
	case "tolower", "toupper":
		// Strings compare without regard to case anyway, so these change nothing.
		if len(args) == 1 {
			return args[0], nil
		}
	default:
		return term[T]{}, fmt.Errorf("an unknown function with name '%s' was found", c.Name)
	}
	if len(args) != 2 || test == nil {
		return term[T]{}, fmt.Errorf("function '%s' was called with %d arguments", c.Name, len(args))
	}
	return term[T]{kind: Bool, get: func(row T) Value {
		a, b := args[0].get(row), args[1].get(row)
		if a.Kind == Null || b.Kind == Null {
			return Flag(false)
		}
		return Flag(test(strings.ToLower(a.Str), strings.ToLower(b.Str)))
	}}, nil
}
