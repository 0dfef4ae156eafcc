// Package envelope reads a few chosen members out of a JSON object in one pass.
//
// Its one invariant: the whole body is checked while it is walked, so a Walk that
// returns nil has seen exactly one well-formed JSON object and nothing behind it.
// What is not asked for is skipped without being decoded, which is why receiving a
// webhook costs a tenth of what unmarshalling it would.
package envelope

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// ErrMalformed is returned, wrapped, when a body is not one well-formed JSON object.
var ErrMalformed = errors.New("the body is not one well-formed JSON object")

// longestName is the longest member name that can be asked for; longer ones are
// skipped unread.
const longestName = 64

// Parser walks bodies. The zero value is ready and may be used by many goroutines
// at once; it reuses decoders between calls.
type Parser struct {
	pool sync.Pool
}

// Member is called for each member of an object, in the order of the body. The
// name is in lower case, because captured deliveries exist in camelCase and in
// PascalCase (azure-devops.md §1.2). It must consume the value with exactly one
// call on r, which makes name invalid. A name that occurs twice is reported twice.
type Member func(r *Reader, name []byte) error

// Walk calls member for each member of the object that body holds. body must be
// valid UTF-8 and must not change during the call; nothing of it is kept.
func (p *Parser) Walk(body []byte, member Member) error {
	r, ok := p.pool.Get().(*Reader)
	if !ok {
		r = &Reader{}
	}
	defer func() {
		r.reset(nil)
		p.pool.Put(r)
	}()
	r.reset(body)

	if r.dec.PeekKind() != jsontext.KindBeginObject {
		return ErrMalformed
	}
	if err := r.Object(member); err != nil {
		return err
	}
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: something follows it", ErrMalformed)
	}
	return nil
}

// Reader stands before one value of the body. It is only valid inside a Member.
type Reader struct {
	buf  bytes.Buffer
	dec  jsontext.Decoder
	name [longestName]byte
}

func (r *Reader) reset(body []byte) {
	r.buf = *bytes.NewBuffer(body)
	// Duplicate names and lone surrogates are a sender's blemish, not an attack on
	// us: refusing them would only cost a hint. Raw bytes were checked by the caller.
	r.dec.Reset(&r.buf, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
}

// Object calls member for each member of the value if that is an object; any other
// value is skipped.
func (r *Reader) Object(member Member) error {
	if r.dec.PeekKind() != jsontext.KindBeginObject {
		return r.Skip()
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return malformed(err)
	}
	for {
		switch r.dec.PeekKind() {
		case jsontext.KindEndObject:
			_, err := r.dec.ReadToken()
			return malformed(err)
		case jsontext.KindString:
			raw, err := r.dec.ReadValue()
			if err != nil {
				return malformed(err)
			}
			if err := member(r, r.lower(raw)); err != nil {
				return err
			}
		default:
			return malformed(r.dec.SkipValue())
		}
	}
}

// Skip passes over the value.
func (r *Reader) Skip() error { return malformed(r.dec.SkipValue()) }

// String returns the value if it is a string, else an empty one.
func (r *Reader) String() (string, error) {
	if r.dec.PeekKind() != jsontext.KindString {
		return "", r.Skip()
	}
	token, err := r.dec.ReadToken()
	if err != nil {
		return "", malformed(err)
	}
	return token.String(), nil
}

// Raw returns the value as it stands in the body. It is only valid inside the Member.
func (r *Reader) Raw() ([]byte, error) {
	raw, err := r.dec.ReadValue()
	if err != nil {
		return nil, malformed(err)
	}
	return raw, nil
}

// Int returns the value if it is an integer, also one written as a string, and
// whether it is; it is not for everything else, such as null, 1.5, "" or a number beyond 64 bits.
func (r *Reader) Int() (int64, bool, error) {
	kind := r.dec.PeekKind()
	if kind != jsontext.KindNumber && kind != jsontext.KindString {
		return 0, false, r.Skip()
	}
	raw, err := r.dec.ReadValue()
	if err != nil {
		return 0, false, malformed(err)
	}
	if kind == jsontext.KindString {
		raw = raw[1 : len(raw)-1]
	}
	n, parseErr := strconv.ParseInt(string(raw), 10, 64)
	if parseErr != nil {
		return 0, false, nil //nolint:nilerr // a value that is no integer is an answer, not a failure.
	}
	return n, true, nil
}

// lower returns the name in lower case without its quotes; empty if it is longer
// than any name that can be asked for. Letters beyond ASCII stay as they are.
func (r *Reader) lower(quoted jsontext.Value) []byte {
	name := quoted[1 : len(quoted)-1]
	if len(name) > longestName {
		return nil
	}
	if bytes.IndexByte(name, '\\') >= 0 {
		plain, err := jsontext.AppendUnquote(r.name[:0], quoted)
		if err != nil {
			return nil
		}
		name = plain
	}
	out := r.name[:0]
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		out = append(out, c)
	}
	return out
}

func malformed(err error) error {
	if err == nil {
		return nil
	}
	// The decoder's text may quote the body, so it is not passed on.
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		return fmt.Errorf("%w: it breaks off or goes wrong at byte %d", ErrMalformed, syntax.ByteOffset)
	}
	return fmt.Errorf("%w: it breaks off", ErrMalformed)
}
