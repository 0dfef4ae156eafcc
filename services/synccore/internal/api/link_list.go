package api

import (
	"context"
	"slices"
	"strings"
	"time"

	"go.einride.tech/aip/filtering"
	"go.einride.tech/aip/ordering"
	expr "google.golang.org/genproto/googleapis/api/expr/v1alpha1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	tandemv1 "github.com/tandem-sync/tandem/gen/tandem/v1"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/link"
)

// ListLinks implements tandem.v1.LinkService.
func (s *LinkService) ListLinks(ctx context.Context, req *tandemv1.ListLinksRequest) (*tandemv1.ListLinksResponse, error) {
	var v violations
	connector := connectorOf(&v, "parent", req.GetParent())
	size := pageSize(&v, req.GetPageSize(), largestPage)
	query := queryOf(&v, req.GetFilter(), req.GetOrderBy())
	mask := maskOf(&v, req.GetReadMask(), &tandemv1.Link{})
	place := openToken(&v, req.GetPageToken(), connector)
	if err := v.err(); err != nil {
		return nil, err
	}
	if _, ok := s.Connectors.Describe(connector); !ok {
		return nil, noConnector(connector)
	}
	links, next, err := s.Links.Query(ctx, connector, query, size, place)
	if err != nil {
		return nil, ofPage(err)
	}
	resp := &tandemv1.ListLinksResponse{NextPageToken: sealToken(next, connector)}
	for _, one := range links {
		shown := linkProto(one)
		mask.apply(shown)
		resp.Links = append(resp.Links, shown)
	}
	return resp, nil
}

// queryOf reads a filter and an order.
func queryOf(v *violations, filter, orderBy string) link.Query {
	var q link.Query
	q.Order, q.Descending = orderOf(v, orderBy)
	const longest = 1024
	if len(filter) > longest {
		v.add("filter", "must be at most 1024 bytes")
		return q
	}
	if strings.TrimSpace(filter) == "" {
		return q
	}
	var parser filtering.Parser
	parser.Init(filter)
	parsed, err := parser.Parse()
	if err != nil {
		v.add("filter", "can't be read: write comparisons joined with AND, such as state = PARKED AND work_item_id = 42")
		return q
	}
	f := filterReader{v: v, q: &q}
	f.all(parsed.GetExpr())
	if (!q.From.IsZero() || !q.Before.IsZero()) && q.Order != link.ByUpdate {
		v.add("order_by", "must be update_time where the filter compares update_time")
	}
	return q
}

// orderOf reads an order.
func orderOf(v *violations, text string) (link.Order, bool) {
	const rule = "must be ticket_id, work_item_id or update_time, perhaps with desc"
	var order ordering.OrderBy
	if err := order.UnmarshalString(text); err != nil || len(order.Fields) > 1 {
		v.add("order_by", rule)
		return link.ByTicket, false
	}
	if len(order.Fields) == 0 {
		return link.ByTicket, false
	}
	switch field := order.Fields[0]; snake(field.Path) {
	case "ticket_id":
		return link.ByTicket, field.Desc
	case "work_item_id":
		return link.ByWorkItem, field.Desc
	case "update_time":
		return link.ByUpdate, field.Desc
	default:
		v.add("order_by", rule)
		return link.ByTicket, false
	}
}

// filterReader turns a parsed filter into a query.
type filterReader struct {
	v *violations
	q *link.Query
	// stated tells that the filter names states already.
	stated bool
}

func (f *filterReader) refuse(description string) { f.v.add("filter", description) }

// all reads expressions that are joined with AND, whether the word stands there or not.
func (f *filterReader) all(e *expr.Expr) {
	call := e.GetCallExpr()
	switch call.GetFunction() {
	case filtering.FunctionAnd, filtering.FunctionFuzzyAnd:
		for _, one := range call.GetArgs() {
			f.all(one)
		}
	case filtering.FunctionOr:
		states, ok := f.states(e)
		if !ok {
			f.refuse("may join with OR only comparisons of state, such as (state = PARKED OR state = GONE)")
			return
		}
		f.setStates(states)
	default:
		f.compare(e)
	}
}

func (f *filterReader) setStates(states []item.LinkState) {
	if f.stated {
		f.refuse("may name states once: join them with OR in parentheses")
		return
	}
	f.stated, f.q.States = true, states
}

// states reads comparisons of state that are joined with OR.
func (f *filterReader) states(e *expr.Expr) ([]item.LinkState, bool) {
	call := e.GetCallExpr()
	switch call.GetFunction() {
	case filtering.FunctionOr:
		var all []item.LinkState
		for _, one := range call.GetArgs() {
			states, ok := f.states(one)
			if !ok {
				return nil, false
			}
			for _, state := range states {
				if !slices.Contains(all, state) {
					all = append(all, state)
				}
			}
		}
		return all, true
	case filtering.FunctionEquals:
		if len(call.GetArgs()) != 2 || wordOf(call.GetArgs()[0]) != "state" {
			return nil, false
		}
		state, ok := stateNamed(wordOf(call.GetArgs()[1]))
		return []item.LinkState{state}, ok
	default:
		return nil, false
	}
}

// compare reads one comparison.
func (f *filterReader) compare(e *expr.Expr) {
	call := e.GetCallExpr()
	if len(call.GetArgs()) != 2 {
		f.refuse("must consist of comparisons of state, ticket_id, work_item_id and update_time")
		return
	}
	operator, value := call.GetFunction(), call.GetArgs()[1]
	switch snake(wordOf(call.GetArgs()[0])) {
	case "state":
		states, ok := f.states(e)
		if !ok {
			f.refuse("may compare state only with =, to CREATING, ACTIVE, PARKED or GONE")
			return
		}
		f.setStates(states)
	case "ticket_id":
		f.number(operator, value, &f.q.Ticket, "ticket_id")
	case "work_item_id":
		f.number(operator, value, &f.q.WorkItem, "work_item_id")
	case "update_time":
		f.time(operator, value)
	default:
		f.refuse("may compare only state, ticket_id, work_item_id and update_time")
	}
}

func (f *filterReader) number(operator string, value *expr.Expr, into *int64, field string) {
	n := value.GetConstExpr().GetInt64Value()
	if operator != filtering.FunctionEquals || n <= 0 || *into != 0 {
		f.refuse("may compare " + field + " once, with = and a number greater than 0")
		return
	}
	*into = n
}

func (f *filterReader) time(operator string, value *expr.Expr) {
	at, err := time.Parse(time.RFC3339Nano, wordOf(value))
	if err != nil {
		f.refuse(`must compare update_time with a time such as "2026-03-01T00:00:00Z"`)
		return
	}
	// What is kept is exact to a microsecond.
	next := at.Add(time.Microsecond)
	switch {
	case operator == filtering.FunctionGreaterEquals && f.q.From.IsZero():
		f.q.From = at
	case operator == filtering.FunctionGreaterThan && f.q.From.IsZero():
		f.q.From = next
	case operator == filtering.FunctionLessThan && f.q.Before.IsZero():
		f.q.Before = at
	case operator == filtering.FunctionLessEquals && f.q.Before.IsZero():
		f.q.Before = next
	default:
		f.refuse("may compare update_time with >= or > once, and with < or <= once")
	}
}

// wordOf is a name, or what stands in quotation marks.
func wordOf(e *expr.Expr) string {
	if name := e.GetIdentExpr().GetName(); name != "" {
		return name
	}
	return e.GetConstExpr().GetStringValue()
}

func stateNamed(word string) (item.LinkState, bool) {
	switch strings.TrimPrefix(strings.ToUpper(word), "STATE_") {
	case "CREATING":
		return item.LinkCreating, true
	case "ACTIVE":
		return item.LinkActive, true
	case "PARKED":
		return item.LinkParked, true
	case "GONE":
		return item.LinkGone, true
	default:
		return "", false
	}
}

// snake is a field's name as the protos write it: JSON writes ticketId for ticket_id.
func snake(name string) string {
	var b strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// readMask is the fields of a message to return; nil: all.
type readMask map[protoreflect.Name]bool

// maskOf reads a read_mask. Only fields of the message itself can be named.
func maskOf(v *violations, mask *fieldmaskpb.FieldMask, of proto.Message) readMask {
	if len(mask.GetPaths()) == 0 {
		return nil
	}
	fields := of.ProtoReflect().Descriptor().Fields()
	kept := readMask{}
	for _, path := range mask.GetPaths() {
		if path == "*" {
			return nil
		}
		field := fields.ByName(protoreflect.Name(snake(path)))
		if field == nil {
			v.add("read_mask", "must name fields of the message itself, such as name")
			return nil
		}
		kept[field.Name()] = true
	}
	return kept
}

// apply clears what is not in the mask.
func (m readMask) apply(message proto.Message) {
	if m == nil {
		return
	}
	reflected := message.ProtoReflect()
	reflected.Range(func(field protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if !m[field.Name()] {
			reflected.Clear(field)
		}
		return true
	})
}
