// Package odata reads the part of OData version 4 that an ASP.NET service answers to in a URL ($filter, $orderby, $top,
// $skip, $count, $select, $expand, $search) and binds it to Go values.
//
// The invariant: what is not understood is refused with an error that says where, and never ignored, because a filter
// that is silently dropped answers with rows the caller did not ask for.
//
// The grammar is the common core of the OASIS "OData Version 4.01, Part 2: URL Conventions"; lambda, arithmetic, date
// functions and parameter aliases are left out.
package odata

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/alecthomas/participle/v2"
	"github.com/alecthomas/participle/v2/lexer"
)

// MaxExpression bounds the length of a $filter or $orderby in bytes, and so the depth to which it can nest.
const MaxExpression = 16 << 10

// maxDepth bounds nested parentheses and chained `not`.
const maxDepth = 100

// ErrTooLong is wrapped when an expression is longer than [MaxExpression] or nested too deeply.
var ErrTooLong = errors.New("the expression is too long")

// Query is the system query options of one request. Nil Top and Skip mean that the option was not given.
type Query struct {
	Filter  *Filter
	OrderBy []Order
	Top     *int
	Skip    *int
	Count   bool
	Select  []string
	Expand  []string
	Search  string
}

// Order is one key of $orderby.
type Order struct {
	Property string
	Desc     bool
}

// Parser reads query options. It may be used by several goroutines at once.
type Parser struct {
	filter *participle.Parser[Filter]
}

// NewParser builds a parser. It is costly enough to be shared.
func NewParser() *Parser {
	lex := lexer.MustSimple([]lexer.SimpleRule{
		{Name: "Date", Pattern: `\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,12})?)?(Z|[+-]\d{2}:\d{2})?)?`},
		{Name: "Number", Pattern: `-?\d+(\.\d+)?`},
		{Name: "String", Pattern: `'(''|[^'])*'`},
		{Name: "Ident", Pattern: `[A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*`},
		{Name: "Punct", Pattern: `[(),]`},
		{Name: "space", Pattern: `[ \t]+`},
	})
	return &Parser{filter: participle.MustBuild[Filter](participle.Lexer(lex), participle.UseLookahead(2))}
}

// Parse reads the options of a URL query. Names are matched without regard to case and with or without the leading `$`
// (4.01 §5.1: "services SHOULD support case-insensitive system query option names" and the optional prefix). Other
// parameters are ignored unless they begin with `$`.
func (p *Parser) Parse(values url.Values) (Query, error) {
	var q Query
	for name, all := range values {
		option := strings.ToLower(strings.TrimPrefix(name, "$"))
		if len(all) != 1 && isOption(option) {
			return Query{}, fmt.Errorf("query option '%s' was given more than once", name)
		}
		if !isOption(option) {
			if strings.HasPrefix(name, "$") {
				return Query{}, fmt.Errorf("the query parameter '%s' is not supported", name)
			}
			continue
		}
		if err := p.option(&q, option, all[0]); err != nil {
			return Query{}, err
		}
	}
	return q, nil
}

func isOption(name string) bool {
	switch name {
	case "filter", "orderby", "top", "skip", "count", "select", "expand", "search":
		return true
	}
	return false
}

func (p *Parser) option(q *Query, option, value string) error {
	var err error
	switch option {
	case "filter":
		q.Filter, err = p.ParseFilter(value)
	case "orderby":
		q.OrderBy, err = parseOrderBy(value)
	case "top":
		q.Top, err = parseCount("$top", value)
	case "skip":
		q.Skip, err = parseCount("$skip", value)
	case "count":
		switch strings.ToLower(value) {
		case "true":
			q.Count = true
		case "false":
		default:
			err = fmt.Errorf("invalid value '%s' for $count query option, expected 'true' or 'false'", value)
		}
	case "select":
		q.Select = list(value)
	case "expand":
		q.Expand = list(value)
	case "search":
		q.Search = strings.Trim(strings.TrimSpace(value), `"`)
	}
	return err
}

func parseCount(name, value string) (*int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || n < 0 {
		return nil, fmt.Errorf("invalid value '%s' for %s query option, a non-negative integer was expected", value, name)
	}
	return &n, nil
}

func list(value string) []string {
	var out []string
	for part := range strings.SplitSeq(value, ",") {
		if part = strings.TrimSpace(part); part != "" && part != "*" {
			out = append(out, part)
		}
	}
	return out
}

func parseOrderBy(text string) ([]Order, error) {
	if len(text) > MaxExpression {
		return nil, fmt.Errorf("$orderby: %w", ErrTooLong)
	}
	var out []Order
	for part := range strings.SplitSeq(text, ",") {
		words := strings.Fields(part)
		switch {
		case len(words) == 1:
			out = append(out, Order{Property: words[0]})
		case len(words) == 2 && strings.EqualFold(words[1], "asc"):
			out = append(out, Order{Property: words[0]})
		case len(words) == 2 && strings.EqualFold(words[1], "desc"):
			out = append(out, Order{Property: words[0], Desc: true})
		default:
			return nil, fmt.Errorf("syntax error in $orderby at '%s'", strings.TrimSpace(part))
		}
	}
	return out, nil
}

// ParseFilter reads one $filter expression. An empty one is refused, as ASP.NET does.
func (p *Parser) ParseFilter(text string) (*Filter, error) {
	if len(text) > MaxExpression || depth(text) > maxDepth {
		return nil, fmt.Errorf("$filter: %w", ErrTooLong)
	}
	f, err := p.filter.ParseString("", text)
	if err != nil {
		return nil, fmt.Errorf("syntax error in $filter: %w", err)
	}
	return f, nil
}

// depth over-estimates how deep the expression nests, so that the parser's recursion is bounded before it starts.
func depth(text string) int {
	open, deepest := 0, 0
	for _, r := range text {
		switch r {
		case '(':
			open++
			deepest = max(deepest, open)
		case ')':
			open--
		}
	}
	return deepest
}
