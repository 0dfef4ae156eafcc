// Package secret reads secrets through references, so that a configuration file
// holds none.
//
// Its one invariant: a Value shows its content to Reveal alone. Printing,
// formatting, marshalling or logging it gives a mask.
package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
)

// MaxSize is how many bytes a secret may have; more is surely the wrong file.
const MaxSize = 64 << 10

const mask = "***"

// Value is a secret. Its zero value is the absence of one. Values are not to be
// compared with ==.
type Value struct {
	// A pointer, because fmt prints what is behind an unexported field of a caller's
	// struct without asking for methods, but never what is behind a pointer there.
	content *string
}

// NewValue wraps content, without the blanks around it.
func NewValue(content string) Value {
	content = strings.TrimSpace(content)
	if content == "" {
		return Value{}
	}
	return Value{content: &content}
}

// Reveal gives the secret itself, for the one call that needs it.
func (v Value) Reveal() string {
	if v.content == nil {
		return ""
	}
	return *v.content
}

// IsZero tells whether there is no secret.
func (v Value) IsZero() bool { return v.content == nil }

// String gives a mask.
func (v Value) String() string { return mask }

// GoString gives a mask.
func (v Value) GoString() string { return mask }

// Format gives a mask for every verb; without it, %d would show the field.
func (v Value) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, mask) }

// MarshalText gives a mask.
func (v Value) MarshalText() ([]byte, error) { return []byte(mask), nil }

// MarshalJSON gives a mask.
func (v Value) MarshalJSON() ([]byte, error) { return json.Marshal(mask) }

// LogValue gives a mask.
func (v Value) LogValue() slog.Value { return slog.StringValue(mask) }

// Ref says where a secret is. Exactly one of its fields is set; the zero value
// refers to nothing. A Ref is no secret: it may be shown.
type Ref struct {
	// File is the path of a file that holds the secret and nothing else.
	File string `json:"file,omitempty" yaml:"file,omitempty"`
	// Env is the name of an environment variable.
	Env string `json:"env,omitempty" yaml:"env,omitempty"`
}

// IsZero tells whether r refers to nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// String names the place for a person.
func (r Ref) String() string {
	switch {
	case r.File != "":
		return "file " + r.File
	case r.Env != "":
		return "environment variable " + r.Env
	default:
		return "nothing"
	}
}

// Read reads the secret now, without a Store. Its errors name the place and never
// the content.
func (r Ref) Read() (Value, error) {
	switch {
	case r.File != "":
		value, _, err := readFile(r.File)
		return value, err
	case r.Env != "":
		content, ok := os.LookupEnv(r.Env)
		if !ok {
			return Value{}, fmt.Errorf("reading a secret: the environment variable %s is not set", r.Env)
		}
		return checked(content, r)
	default:
		return Value{}, errors.New("reading a secret: the reference is empty")
	}
}

// Store reads secrets and keeps them until their file changes. It is safe for
// concurrent use; the zero value is ready.
type Store struct {
	mu    sync.Mutex
	files map[string]kept
}

type kept struct {
	value Value
	stamp fs.FileInfo
}

// Get gives the present content of a secret. A file costs one stat call as long as
// it stays the same. While a file that was read before is missing, empty or
// unreadable, as it is for a moment when it is replaced, the last content counts.
func (s *Store) Get(ref Ref) (Value, error) {
	if ref.File == "" {
		return ref.Read()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	last, known := s.files[ref.File]
	if stamp, err := os.Stat(ref.File); err == nil && known && same(stamp, last.stamp) {
		return last.value, nil
	}
	value, stamp, err := readFile(ref.File)
	switch {
	case err != nil && known:
		return last.value, nil
	case err != nil:
		return Value{}, err
	}
	if s.files == nil {
		s.files = map[string]kept{}
	}
	s.files[ref.File] = kept{value: value, stamp: stamp}
	return value, nil
}

func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// readFile reads and stamps one and the same file, even if it is replaced meanwhile.
func readFile(path string) (Value, fs.FileInfo, error) {
	file, err := os.Open(path)
	if err != nil {
		return Value{}, nil, fmt.Errorf("reading a secret: %w", err)
	}
	defer func() { _ = file.Close() }()
	stamp, err := file.Stat()
	if err != nil {
		return Value{}, nil, fmt.Errorf("reading a secret: %w", err)
	}
	if stamp.IsDir() {
		return Value{}, nil, fmt.Errorf("reading a secret: %s is a folder", path)
	}
	content, err := io.ReadAll(io.LimitReader(file, MaxSize+1))
	if err != nil {
		return Value{}, nil, fmt.Errorf("reading a secret: %w", err)
	}
	value, err := checked(string(content), Ref{File: path})
	return value, stamp, err
}

func checked(content string, ref Ref) (Value, error) {
	if len(content) > MaxSize {
		return Value{}, fmt.Errorf("reading a secret: %s holds more than %d KiB", ref, MaxSize>>10)
	}
	value := NewValue(content)
	if value.IsZero() {
		return Value{}, fmt.Errorf("reading a secret: %s is empty", ref)
	}
	return value, nil
}
