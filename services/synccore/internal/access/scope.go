package access

import (
	"log/slog"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// everything is how a request names all connectors.
const everything = "-"

const collection = "connectors/"

// target is what a request is about.
type target struct {
	// resource is the value of the rule's field; empty if there is none.
	resource string
	// connector is the connector that it names; empty: none, or all.
	connector string
}

// targetOf reads the field of a request that names the connector.
func targetOf(req any, rule Rule) target {
	message, ok := req.(proto.Message)
	if !ok || rule.Connector == "" {
		return target{}
	}
	m := message.ProtoReflect()
	field := m.Descriptor().Fields().ByName(protoreflect.Name(rule.Connector))
	if field == nil || field.Kind() != protoreflect.StringKind || field.IsList() {
		return target{}
	}
	t := target{resource: m.Get(field).String()}
	t.connector = t.resource
	if name, ok := connectorIn(t.resource); ok {
		t.connector = name
	}
	if t.connector == everything {
		t.connector = ""
	}
	return t
}

// numbers are the numbers of the items that a request names beside its resource.
func numbers(req any) []slog.Attr {
	message, ok := req.(proto.Message)
	if !ok {
		return nil
	}
	var all []slog.Attr
	m := message.ProtoReflect()
	for _, name := range []protoreflect.Name{"ticket_id", "work_item_id", "item_id"} {
		if field := m.Descriptor().Fields().ByName(name); field != nil && field.Kind() == protoreflect.Int64Kind && m.Has(field) {
			all = append(all, slog.Int64(string(name), m.Get(field).Int()))
		}
	}
	return all
}

// fills gives the first of some fields, separated by commas, that a request has a value in;
// empty: none.
func fills(req any, names string) string {
	message, ok := req.(proto.Message)
	if !ok || names == "" {
		return ""
	}
	m := message.ProtoReflect()
	for name := range strings.SplitSeq(names, ",") {
		if field := m.Descriptor().Fields().ByName(protoreflect.Name(name)); field != nil && m.Has(field) {
			return name
		}
	}
	return ""
}

// connectorIn reads the connector out of a resource's name.
func connectorIn(name string) (string, bool) {
	rest, ok := strings.CutPrefix(name, collection)
	if !ok {
		return "", false
	}
	connector, _, _ := strings.Cut(rest, "/")
	return connector, true
}

// admits tells whether a request may be made in a scope: all that it names has to be in it.
func (s scope) admits(req any, rule Rule, asked target) bool {
	if s.all || rule.Neutral {
		return true
	}
	if asked.connector == "" && !rule.Filtered || asked.connector != "" && !s.holds(asked.connector) {
		return false
	}
	message, ok := req.(proto.Message)
	if !ok {
		return false
	}
	inside := true
	named(message.ProtoReflect(), func(connector string) {
		inside = inside && (s.holds(connector) || connector == everything && rule.Filtered)
	})
	return inside
}

// askNames adds the names to the fields that a request asks for where an answer is filtered
// by them.
func (s scope) askNames(req any, rule Rule) {
	message, ok := req.(proto.Message)
	if !ok || s.all || !rule.Filtered {
		return
	}
	m := message.ProtoReflect()
	mask := m.Descriptor().Fields().ByName("read_mask")
	if mask == nil || !m.Has(mask) {
		return
	}
	paths := m.Get(mask).Message().Descriptor().Fields().ByName("paths")
	if list := m.Mutable(mask).Message().Mutable(paths).List(); list.Len() > 0 {
		list.Append(protoreflect.ValueOfString("name"))
	}
}

// filter gives an answer without what is outside the scope, and false if what is left
// would still tell of it. What an answer is about is told by the fields called name: all
// that there are must be in the scope, and where the request named no connector, an element
// of a list without one is left out as well. The answer itself may be others' too and
// stays as it is.
func (s scope) filter(answer any, rule Rule, asked target) (any, bool) {
	if s.all || rule.Neutral {
		return answer, true
	}
	message, ok := answer.(proto.Message)
	if !ok {
		return nil, false
	}
	own := proto.Clone(message)
	m := own.ProtoReflect()
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if !field.IsList() || field.Message() == nil {
			return true
		}
		list, kept := value.List(), 0
		for i := range list.Len() {
			if inside, names := s.holdsAll(list.Get(i).Message()); inside && (names > 0 || asked.connector != "") {
				list.Set(kept, list.Get(i))
				kept++
			}
		}
		list.Truncate(kept)
		return true
	})
	inside, _ := s.holdsAll(m)
	return own, inside
}

// holdsAll tells whether all resources within a message are of connectors in the scope, and
// how many there are.
func (s scope) holdsAll(m protoreflect.Message) (bool, int) {
	inside, names := true, 0
	texts(m, func(field protoreflect.FieldDescriptor, text string) {
		if field.Name() != "name" {
			return
		}
		if connector, ok := connectorIn(text); ok {
			names++
			inside = inside && s.holds(connector)
		}
	})
	return inside, names
}

// named calls back for every text within a message that is a resource's name.
func named(m protoreflect.Message, found func(connector string)) {
	texts(m, func(_ protoreflect.FieldDescriptor, text string) {
		if connector, ok := connectorIn(text); ok {
			found(connector)
		}
	})
}

// texts calls back for every text within a message, with its field.
func texts(m protoreflect.Message, found func(field protoreflect.FieldDescriptor, text string)) {
	one := func(field, kind protoreflect.FieldDescriptor, v protoreflect.Value) {
		switch {
		case kind.Message() != nil:
			texts(v.Message(), found)
		case kind.Kind() == protoreflect.StringKind:
			found(field, v.String())
		}
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			value.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				one(field, field.MapValue(), v)
				return true
			})
		case field.IsList():
			for i := range value.List().Len() {
				one(field, field, value.List().Get(i))
			}
		default:
			one(field, field, value)
		}
		return true
	})
}
