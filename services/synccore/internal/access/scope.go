package access

import (
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

// filter gives an answer without what is outside the scope, and false if what is left
// would still tell of it. The answer itself may be others' as well and stays as it is.
func (s scope) filter(answer any, rule Rule, asked target) (any, bool) {
	if s.all || rule.Neutral {
		return answer, true
	}
	message, ok := answer.(proto.Message)
	if !ok {
		return nil, false
	}
	own := proto.Clone(message)
	return own, s.strip(own.ProtoReflect(), asked)
}

func (s scope) strip(m protoreflect.Message, asked target) bool {
	fits := true
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			// The keys and values are a vendor's own, of the connector that was asked about.
			fits = asked.connector != ""
		case field.IsList() && field.Message() != nil:
			list := value.List()
			kept := 0
			for i := range list.Len() {
				if s.tells(list.Get(i).Message(), asked) {
					list.Set(kept, list.Get(i))
					kept++
				}
			}
			list.Truncate(kept)
		case field.IsList() && field.Kind() == protoreflect.StringKind:
			for i := range value.List().Len() {
				if name, ok := connectorIn(value.List().Get(i).String()); ok && !s.holds(name) {
					fits = false
				}
			}
		case field.Message() != nil:
			named(value.Message(), func(connector string) { fits = fits && s.holds(connector) })
		case field.Kind() == protoreflect.StringKind:
			if name, ok := connectorIn(value.String()); ok && !s.holds(name) {
				fits = false
			}
		}
		return fits
	})
	return fits
}

// tells reports whether an element of a list is of connectors in the scope. One that
// names none is of the connector that was asked about, if one was, and else can't be told
// to be.
func (s scope) tells(m protoreflect.Message, asked target) bool {
	count, inside := 0, true
	named(m, func(connector string) {
		count++
		inside = inside && s.holds(connector)
	})
	return (count > 0 || asked.connector != "") && inside
}

// named calls back for every resource name within a message.
func named(m protoreflect.Message, found func(connector string)) {
	text := func(v protoreflect.Value) {
		if connector, ok := connectorIn(v.String()); ok {
			found(connector)
		}
	}
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			value.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				switch {
				case field.MapValue().Message() != nil:
					named(v.Message(), found)
				case field.MapValue().Kind() == protoreflect.StringKind:
					text(v)
				}
				return true
			})
		case field.IsList():
			for i := range value.List().Len() {
				switch {
				case field.Message() != nil:
					named(value.List().Get(i).Message(), found)
				case field.Kind() == protoreflect.StringKind:
					text(value.List().Get(i))
				}
			}
		case field.Message() != nil:
			named(value.Message(), found)
		case field.Kind() == protoreflect.StringKind:
			text(value)
		}
		return true
	})
}
