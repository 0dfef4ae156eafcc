package reconcile

import (
	"crypto/sha256"
	"encoding/binary"
	"regexp"
	"strconv"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
	"github.com/tandem-sync/tandem/services/synccore/internal/richtext"
)

// markPrefix begins the tag of every work item that belongs to a ticket.
const markPrefix = "ALVAO-"

// MarkOf is the tag by which a ticket's work item is found again.
func MarkOf(ticket int64) string { return markPrefix + strconv.FormatInt(ticket, 10) }

// TicketOfMark reads what MarkOf wrote. Azure DevOps keeps tags as they were first
// written, so case says nothing.
func TicketOfMark(tag string) (int64, bool) {
	if len(tag) <= len(markPrefix) || !strings.EqualFold(tag[:len(markPrefix)], markPrefix) {
		return 0, false
	}
	ticket, err := strconv.ParseInt(tag[len(markPrefix):], 10, 64)
	return ticket, err == nil && ticket > 0
}

// The kinds of what has a source.
const (
	kindRecord  = "record"
	kindComment = "comment"
	kindFile    = "file"
)

// sourceOf names a message for ever: system/kind/number.
func sourceOf(side item.System, kind string, number int64) string {
	return string(side) + "/" + kind + "/" + strconv.FormatInt(number, 10)
}

// fileNumber makes a number of a file's name in Azure DevOps, a GUID, because
// references hold numbers.
func fileNumber(guid string) int64 {
	const digits18 = 1_000_000_000_000_000_000
	sum := sha256.Sum256([]byte(strings.ToLower(strings.Trim(guid, "{}"))))
	return int64(binary.BigEndian.Uint64(sum[:8])%(digits18-1)) + 1
}

// goneVersion is the version in the reference of a mirror whose source was deleted.
const goneVersion = 999_999_999

// contentHash is a short hash of what a message says in normal form. It fits into a
// reference as the version of its original, so that a mirror tells what it mirrors.
func contentHash(normal string) string {
	sum := sha256.Sum256([]byte(normal))
	return strconv.FormatUint(binary.BigEndian.Uint64(sum[:8])%(goneVersion-2)+2, 10)
}

// version is the hash as a reference holds it.
func version(hash string) int {
	if hash == plan.GoneHash {
		return goneVersion
	}
	n, err := strconv.Atoi(hash)
	if err != nil {
		return 0
	}
	return n
}

func hashOfVersion(version int) string {
	if version == goneVersion {
		return plan.GoneHash
	}
	return strconv.Itoa(version)
}

// reference is the mark of a mirror of source. What is said of a file is marked as a
// notice.
func (r *round) reference(source, hash string) richtext.Reference {
	parts := strings.Split(source, "/")
	number, _ := strconv.ParseInt(parts[2], 10, 64)
	ref := richtext.Reference{
		System: item.System(parts[0]), Item: r.link.Ticket, Message: number, Version: version(hash), Notice: parts[1] == kindFile,
	}
	if ref.System == item.AzureDevOps {
		ref.Item = r.link.WorkItem
	}
	return ref
}

// mirrored tells which source a text on one side mirrors, and the hash of what it
// mirrors. A mirror of anything else than this ticket or work item is a text like any
// other, since somebody carried it here.
func (r *round) mirrored(on item.System, text richtext.Message) (string, string) {
	ref, ok := text.Reference()
	from, of, kind := item.AzureDevOps, r.link.WorkItem, kindComment
	if on == item.AzureDevOps {
		from, of, kind = item.Alvao, r.link.Ticket, kindRecord
	}
	if !ok || ref.System != from || ref.Item != of {
		return "", ""
	}
	switch {
	case ref.Notice && ref.Version <= 1:
		// What stands for a file has a version, what is said of the item has none.
		kind = kindNote
	case ref.Notice:
		kind = kindFile
	}
	return sourceOf(from, kind, ref.Message), hashOfVersion(ref.Version)
}

// fileLine is what a work item says beside a file of ours.
var fileLine = regexp.MustCompile(`^Copied from Alvao ticket ([0-9]{1,18}) · alvao/file/([0-9]{1,18})$`)

func (r *round) fileComment(source string) string {
	return "Copied from Alvao ticket " + strconv.FormatInt(r.link.Ticket, 10) + " · " + source
}

// fileMirrored is mirrored for what a work item says beside a file.
func (r *round) fileMirrored(comment string) (string, string) {
	m := fileLine.FindStringSubmatch(strings.TrimSpace(comment))
	if m == nil || m[1] != strconv.FormatInt(r.link.Ticket, 10) {
		return "", ""
	}
	source := string(item.Alvao) + "/" + kindFile + "/" + m[2]
	return source, contentHash(source)
}
