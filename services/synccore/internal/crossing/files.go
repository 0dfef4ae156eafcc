package crossing

import (
	"errors"
	"regexp"
	"slices"
	"strings"
)

// MaxTypes is how many types a list of files may name.
const MaxTypes = 200

// Files says which types of files cross. The zero value lets all pass.
type Files struct {
	// Allow names the types that cross; empty: all. Deny names types that don't, even
	// if they are allowed.
	Allow, Deny []FileType
}

// FileType is the ending of a file's name, such as pdf or tar.gz, or a content type,
// such as application/pdf or image/*. It is in small letters.
type FileType string

var (
	fileEnding  = regexp.MustCompile(`^[a-z0-9][a-z0-9_+-]{0,30}(\.[a-z0-9][a-z0-9_+-]{0,30}){0,3}$`)
	contentType = regexp.MustCompile(`^[a-z0-9][a-z0-9.+-]{0,80}/(\*|[a-z0-9][a-z0-9.+_-]{0,120})$`)
)

// NewFileType reads a type as people write it. The error's text is a clause for the
// administrator.
func NewFileType(text string) (FileType, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	if contentType.MatchString(text) {
		return FileType(text), nil
	}
	text = strings.TrimPrefix(strings.TrimPrefix(text, "*"), ".")
	if !fileEnding.MatchString(text) {
		return "", errors.New("it is neither a file's ending nor a content type")
	}
	return FileType(text), nil
}

// Refuses tells whether a file stays. The content type is empty as long as it is not
// known: then only what is sure already is refused. What a file holds is not looked
// into.
func (f Files) Refuses(name, kind string) bool {
	name = strings.ToLower(strings.TrimRight(name, " ."))
	kind, _, _ = strings.Cut(strings.ToLower(kind), ";")
	kind = strings.TrimSpace(kind)
	is := func(t FileType) bool { return t.is(name, kind) }
	switch {
	case slices.ContainsFunc(f.Deny, is):
		return true
	case len(f.Allow) == 0 || slices.ContainsFunc(f.Allow, is):
		return false
	default:
		return kind != "" || !slices.ContainsFunc(f.Allow, FileType.ofContent)
	}
}

func (t FileType) ofContent() bool { return strings.Contains(string(t), "/") }

// is tells whether a file of that name and content type, both in small letters, is of
// the type.
func (t FileType) is(name, kind string) bool {
	if !t.ofContent() {
		return strings.HasSuffix(name, "."+string(t))
	}
	if family, all := strings.CutSuffix(string(t), "*"); all {
		return strings.HasPrefix(kind, family)
	}
	return kind == string(t)
}
