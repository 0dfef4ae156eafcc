package azuredevops

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// query is a parsed WIQL statement of the flat kind.
type query struct {
	columns []string
	where   condition // nil means all
	order   []ordering
}

type ordering struct {
	field      string
	descending bool
}

// condition is a node of the WHERE clause.
type condition interface{ isCondition() }

type (
	both    struct{ left, right condition }
	either  struct{ left, right condition }
	inverse struct{ of condition }
	// comparison compares a field. The operator is upper case, without NOT.
	comparison struct {
		field    string
		operator string
		values   []operand
	}
)

func (both) isCondition()       {}
func (either) isCondition()     {}
func (inverse) isCondition()    {}
func (comparison) isCondition() {}

// operand is a literal, or a macro such as @today with an offset in days.
type operand struct {
	text   string
	macro  bool
	number bool
	offset int
}

// maxDepth bounds the nesting of parentheses.
const maxDepth = 100

type token struct {
	kind byte // 'w' word or operator, 'f' [field], 's' string, 'n' number, '@' macro, 0 end
	text string
}

type wiqlParser struct {
	tokens []token
	pos    int
	depth  int
}

// parseWIQL reads `SELECT … FROM WorkItems [WHERE …] [ORDER BY …] [ASOF …]`. Link queries are not supported.
func parseWIQL(text string) (query, error) {
	tokens, err := scanWIQL(text)
	if err != nil {
		return query{}, err
	}
	p := &wiqlParser{tokens: tokens}
	var q query
	if err := p.expect("SELECT"); err != nil {
		return query{}, err
	}
	for {
		field, err := p.field()
		if err != nil {
			return query{}, err
		}
		q.columns = append(q.columns, field)
		if !p.accept(",") {
			break
		}
	}
	if err := p.expect("FROM"); err != nil {
		return query{}, err
	}
	if !p.accept("WORKITEMS") {
		return query{}, p.unexpected("WorkItems")
	}
	if p.accept("WHERE") {
		if q.where, err = p.or(); err != nil {
			return query{}, err
		}
	}
	if p.accept("ORDER") {
		if q.order, err = p.ordering(); err != nil {
			return query{}, err
		}
	}
	if p.accept("ASOF") {
		if _, err := p.operand(); err != nil {
			return query{}, err
		}
	}
	if p.peek().kind != 0 {
		return query{}, p.unexpected("the end")
	}
	return q, nil
}

func scanWIQL(text string) ([]token, error) {
	var out []token
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case unicode.IsSpace(r):
			i += size
		case r == '[':
			end := strings.IndexByte(text[i:], ']')
			if end < 0 {
				return nil, wiqlError("a field name lacks its closing bracket")
			}
			out = append(out, token{'f', strings.TrimSpace(text[i+1 : i+end])})
			i += end + 1
		case r == '\'' || r == '"':
			value, next, err := scanString(text, i, byte(r))
			if err != nil {
				return nil, err
			}
			out = append(out, token{'s', value})
			i = next
		case strings.ContainsRune("(),", r):
			out = append(out, token{'w', string(r)})
			i += size
		case strings.ContainsRune("<>=", r):
			n := 1
			if two := text[i:min(i+2, len(text))]; two == "<>" || two == "<=" || two == ">=" {
				n = 2
			}
			out = append(out, token{'w', text[i : i+n]})
			i += n
		default:
			n := scanWord(text[i:])
			if n == 0 {
				return nil, wiqlError(fmt.Sprintf("%q is not expected", r))
			}
			out = append(out, wordToken(text[i:i+n]))
			i += n
		}
	}
	return out, nil
}

// scanString reads a quoted string, in which the quote is doubled, and tells where it ends.
func scanString(text string, from int, quote byte) (string, int, error) {
	var b strings.Builder
	for i := from + 1; i < len(text); i++ {
		if text[i] != quote {
			b.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == quote {
			b.WriteByte(quote)
			i++
			continue
		}
		return b.String(), i + 1, nil
	}
	return "", 0, wiqlError("a string lacks its closing quote")
}

func scanWord(text string) int {
	for i, r := range text {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("@._-+", r) {
			return i
		}
	}
	return len(text)
}

func wordToken(word string) token {
	first := word[0]
	switch {
	case first == '@':
		return token{'@', word}
	case first >= '0' && first <= '9', len(word) > 1 && (first == '-' || first == '+'):
		return token{'n', word}
	}
	return token{'w', word}
}

func (p *wiqlParser) peek() token {
	if p.pos < len(p.tokens) {
		return p.tokens[p.pos]
	}
	return token{}
}

// accept takes the next token if it is this word.
func (p *wiqlParser) accept(word string) bool {
	if t := p.peek(); t.kind == 'w' && strings.EqualFold(t.text, word) {
		p.pos++
		return true
	}
	return false
}

func (p *wiqlParser) expect(word string) error {
	if !p.accept(word) {
		return p.unexpected(word)
	}
	return nil
}

func (p *wiqlParser) unexpected(wanted string) error {
	have := p.peek().text
	if p.peek().kind == 0 {
		have = "the end of the query"
	}
	return wiqlError("expecting " + wanted + " at «" + have + "»")
}

// wiqlError is a syntax error in the service's form. The texts are modelled.
func wiqlError(what string) *Error {
	return badRequest("SyntaxException", "TF51006: The query statement is not valid: "+what+".")
}

func (p *wiqlParser) field() (string, error) {
	t := p.peek()
	if t.kind != 'f' && (t.kind != 'w' || strings.ContainsAny(t.text, "(),<>=")) {
		return "", p.unexpected("a field name")
	}
	p.pos++
	return t.text, nil
}

func (p *wiqlParser) ordering() ([]ordering, error) {
	if err := p.expect("BY"); err != nil {
		return nil, err
	}
	var out []ordering
	for {
		field, err := p.field()
		if err != nil {
			return nil, err
		}
		o := ordering{field: field, descending: p.accept("DESC")}
		if !o.descending {
			p.accept("ASC")
		}
		out = append(out, o)
		if !p.accept(",") {
			return out, nil
		}
	}
}

func (p *wiqlParser) or() (condition, error) {
	left, err := p.and()
	for err == nil && p.accept("OR") {
		var right condition
		right, err = p.and()
		left = either{left, right}
	}
	return left, err
}

func (p *wiqlParser) and() (condition, error) {
	left, err := p.unary()
	for err == nil && p.accept("AND") {
		var right condition
		right, err = p.unary()
		left = both{left, right}
	}
	return left, err
}

func (p *wiqlParser) unary() (condition, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, wiqlError("it is nested too deeply")
	}
	defer func() { p.depth-- }()
	switch {
	case p.accept("NOT"):
		of, err := p.unary()
		return inverse{of}, err
	case p.accept("("):
		of, err := p.or()
		if err != nil {
			return nil, err
		}
		return of, p.expect(")")
	}
	return p.comparison()
}

func (p *wiqlParser) comparison() (condition, error) {
	field, err := p.field()
	if err != nil {
		return nil, err
	}
	c := comparison{field: field}
	if p.accept("IS") {
		negated := p.accept("NOT")
		c.operator = "EMPTY"
		if err := p.expect("EMPTY"); err != nil {
			return nil, err
		}
		return negate(c, negated), nil
	}
	negated := p.accept("NOT")
	ever := p.accept("EVER")
	t := p.peek()
	if t.kind != 'w' {
		if ever {
			c.operator = "EVER ="
			v, err := p.operand()
			c.values = []operand{v}
			return negate(c, negated), err
		}
		return nil, p.unexpected("an operator")
	}
	p.pos++
	c.operator = strings.ToUpper(t.text)
	switch c.operator {
	case "=", "<>", "<", ">", "<=", ">=", "UNDER":
	case "CONTAINS":
		if p.accept("WORDS") {
			c.operator = "CONTAINS WORDS"
		}
	case "IN":
		c.values, err = p.operandList()
		return negate(c, negated), err
	default:
		p.pos--
		return nil, p.unexpected("an operator")
	}
	if ever {
		c.operator = "EVER " + c.operator
	}
	v, err := p.operand()
	c.values = []operand{v}
	return negate(c, negated), err
}

func negate(c condition, negated bool) condition {
	if negated {
		return inverse{c}
	}
	return c
}

func (p *wiqlParser) operandList() ([]operand, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	var out []operand
	for {
		v, err := p.operand()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		if !p.accept(",") {
			return out, p.expect(")")
		}
	}
}

func (p *wiqlParser) operand() (operand, error) {
	t := p.peek()
	switch {
	case t.kind == 's':
		p.pos++
		return operand{text: t.text}, nil
	case t.kind == 'n':
		p.pos++
		return operand{text: t.text, number: true}, nil
	case t.kind == 'w' && (strings.EqualFold(t.text, "true") || strings.EqualFold(t.text, "false")):
		p.pos++
		return operand{text: strings.ToLower(t.text)}, nil
	case t.kind == '@':
		p.pos++
		return p.macro(t.text)
	}
	return operand{}, p.unexpected("a value")
}

// macro reads @today, @today-1, @today - 1 and the like.
func (p *wiqlParser) macro(text string) (operand, error) {
	name, sign, digits := text, "", ""
	if i := strings.IndexAny(text, "+-"); i > 0 {
		name, sign, digits = text[:i], text[i:i+1], text[i+1:]
	} else if p.accept("-") {
		sign = "-"
	} else if p.accept("+") {
		sign = "+"
	} else if t := p.peek(); t.kind == 'n' && (t.text[0] == '-' || t.text[0] == '+') {
		sign, digits = t.text[:1], t.text[1:]
		p.pos++
	}
	if sign != "" && digits == "" {
		t := p.peek()
		if t.kind != 'n' {
			return operand{}, p.unexpected("a number of days")
		}
		digits = t.text
		p.pos++
	}
	op := operand{text: strings.ToLower(name), macro: true}
	if digits != "" {
		if _, err := fmt.Sscanf(digits, "%d", &op.offset); err != nil {
			return operand{}, wiqlError("«" + digits + "» is not a number of days")
		}
	}
	if sign == "-" {
		op.offset = -op.offset
	}
	return op, nil
}
