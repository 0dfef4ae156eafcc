package api_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// every are all methods of tandem.v1, by name.
func every(tb testing.TB) []protoreflect.MethodDescriptor {
	tb.Helper()
	var all []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage("tandem.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				all = append(all, methods.Get(j))
			}
		}
		return true
	})
	slices.SortFunc(all, func(a, b protoreflect.MethodDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	if len(all) < 14 {
		tb.Fatalf("only %d methods were found", len(all))
	}
	return all
}

// filled fills every field of a request: texts with text, numbers with number, lists with
// one element, messages likewise down to a depth.
func filled(m protoreflect.Message, text string, number int64, depth int) {
	scalar := func(field protoreflect.FieldDescriptor) (protoreflect.Value, bool) {
		switch field.Kind() {
		case protoreflect.StringKind:
			return protoreflect.ValueOfString(text), true
		case protoreflect.BytesKind:
			return protoreflect.ValueOfBytes([]byte(text)), true
		case protoreflect.BoolKind:
			return protoreflect.ValueOfBool(number%2 == 1), true
		case protoreflect.EnumKind:
			return protoreflect.ValueOfEnum(protoreflect.EnumNumber(number)), true
		case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
			return protoreflect.ValueOfInt32(int32(number)), true
		case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
			return protoreflect.ValueOfInt64(number), true
		case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
			return protoreflect.ValueOfUint32(uint32(number)), true
		case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
			return protoreflect.ValueOfUint64(uint64(number)), true
		case protoreflect.FloatKind:
			return protoreflect.ValueOfFloat32(float32(number)), true
		case protoreflect.DoubleKind:
			return protoreflect.ValueOfFloat64(float64(number)), true
		default:
			return protoreflect.Value{}, false
		}
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		switch value, ok := scalar(field); {
		case field.IsMap():
		case field.IsList() && ok:
			m.Mutable(field).List().Append(value)
		case field.IsList() && depth > 0:
			filled(m.Mutable(field).List().AppendMutable().Message(), text, number, depth-1)
		case ok:
			m.Set(field, value)
		case field.Message() != nil && depth > 0:
			filled(m.Mutable(field).Message(), text, number, depth-1)
		}
	}
}

// FuzzRequests sends whatever there can be to every method: each answers or refuses in
// words, soon, and nothing breaks. A method that comes needs nothing here.
func FuzzRequests(f *testing.F) {
	methods := every(f)
	for i, m := range methods {
		for _, seed := range []struct {
			text   string
			number int64
		}{
			{"", 0},
			{"connectors/development", 1},
			{"connectors/development/links/1", 7},
			{"connectors/development/events/t1-a", 1 << 40},
			{"connectors/-", -1},
			{"connectors/{}/links/\x00", 1 << 62},
			{strings.Repeat("a", 100_000), 1 << 31},
			{"1", 3},
			{"{\"a\":[[[[", 2},
			{"bnVsbA", -1 << 63},
			{strings.Repeat("[", 20_000), 5},
			{"state=STATE_PARKED AND", 1},
			{"update_time desc", 2},
			{"connectors/development/workItems/7", 3},
			{"*", 1},
		} {
			in := dynamicpb.NewMessage(m.Input())
			filled(in, seed.text, seed.number, 3)
			raw, err := proto.Marshal(in)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), raw)
		}
	}
	w := setup(f)
	for id := int64(1); id < 4; id++ {
		if _, err := w.events.IngestEvent(f.Context(), alvaoEvent(id)); err != nil {
			f.Fatal(err)
		}
		w.put(f, item.Link{Connector: "development", Ticket: id, WorkItem: id + 100, State: item.LinkActive}, item.LinkChange{Action: "adopt"})
	}
	f.Fuzz(func(t *testing.T, number uint8, raw []byte) {
		m := methods[int(number)%len(methods)]
		in := dynamicpb.NewMessage(m.Input())
		if proto.Unmarshal(raw, in) != nil {
			return // gRPC itself refuses it
		}
		if size := in.ProtoReflect().Descriptor().Fields().ByName("ticket_limit"); size != nil {
			in.Clear(size) // many tickets take their time
		}
		// A stream that waits for news is left.
		within := 20 * time.Second
		if m.IsStreamingServer() {
			within = 20 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), within)
		defer cancel()
		err := invoke(ctx, w.conn, m, in)
		if m.IsStreamingServer() && ctx.Err() != nil {
			return
		}
		switch r := refusalOf(t, err); r.code {
		case codes.OK:
		case codes.InvalidArgument, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.Aborted, codes.OutOfRange, codes.ResourceExhausted:
			if r.text == "" || r.reason == "" {
				t.Errorf("%s refuses without a word: %+v", m.FullName(), r)
			}
			if len(r.text) > 20_000 {
				t.Errorf("%s refuses in %d bytes", m.FullName(), len(r.text))
			}
		default:
			t.Errorf("%s answers %+v to %v", m.FullName(), r, in)
		}
	})
}

// invoke makes a call of any kind with one request and reads one answer.
func invoke(ctx context.Context, conn *grpc.ClientConn, m protoreflect.MethodDescriptor, in proto.Message) error {
	name := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
	out := dynamicpb.NewMessage(m.Output())
	if !m.IsStreamingServer() {
		return conn.Invoke(ctx, name, in, out)
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, name)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(in); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if err := stream.RecvMsg(out); status.Code(err) != codes.Unknown {
		return err
	}
	return nil // the end of the stream
}
