package reconcile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
)

// attached is a file that stands on one side.
type attached struct {
	side item.System
	// source names a file of a person's, mirrorOf the file that ours mirrors.
	source, mirrorOf string
	// target is how the file is named as somebody's mirror.
	target string
	file   *item.Attachment
}

// postFile attaches a record's file to the work item.
func (r *round) postFile(ctx context.Context, source string, file item.Attachment) (string, error) {
	content, target, err := r.unsent(ctx, source, file)
	if err != nil || target != "" {
		return target, err
	}
	defer content.close()
	address, err := r.upload(ctx, content.Name, content.ContentType, content.Size, content.Content)
	if err != nil {
		return "", err
	}
	// Without a revision: what else happened to the work item does not matter here.
	workItem, err := r.connector.WorkItems.AttachFile(ctx, r.link.WorkItem, 0, address, r.fileComment(source))
	if err != nil {
		return "", fmt.Errorf("attaching the file %q to work item %d: %w", file.Name, r.link.WorkItem, err)
	}
	r.report.Writes++
	r.sides.WorkItem = &workItem
	r.talk.sums[source] = content.sum()
	id, _, _ := r.connector.WorkItems.AttachmentOfURL(address)
	r.talk.files = append(r.talk.files, attached{side: item.AzureDevOps, mirrorOf: source, target: id, file: &file})
	return id, nil
}

// postFileRecord adds a work item's file to the ticket, in a record of its own.
func (r *round) postFileRecord(ctx context.Context, source, hash string, file item.Attachment) (string, error) {
	content, target, err := r.unsent(ctx, source, file)
	if err != nil || target != "" {
		return target, err
	}
	defer content.close()
	sentence := fmt.Sprintf("The file %s was attached to work item %d.", file.Name, r.link.WorkItem)
	target, err = r.addRecord(ctx, item.NewRecord{
		Subject: "File: " + file.Name, Kind: noteKind, HTML: r.notice(source, hash, sentence, item.HTML),
		ShowToRequester: r.connector.Messages.ShowToRequester, Files: []item.Upload{content.Upload},
	})
	if err != nil {
		return "", err
	}
	r.talk.sums[source] = content.sum()
	r.talk.files = append(r.talk.files, attached{side: item.Alvao, mirrorOf: source, target: target, file: &file})
	return target, nil
}

// unsent opens a file to be carried, unless it stands on the other side already, be it
// that it was attached twice or that people attached it on both sides: then it tells as
// what it stands there. Files are the same that have the same name and content.
func (r *round) unsent(ctx context.Context, source string, file item.Attachment) (opened, string, error) {
	from, _, _ := strings.Cut(source, "/")
	side := item.System(from)
	most := r.connector.Messages.maxFile()
	for _, other := range r.talk.files {
		target := r.standsOpposite(side, other)
		alike := strings.EqualFold(strings.TrimSpace(other.file.Name), strings.TrimSpace(file.Name)) &&
			(other.file.Size < 0 || file.Size < 0 || other.file.Size == file.Size)
		if target == "" || !alike || other.source == source || other.mirrorOf == source {
			continue
		}
		own, err := r.sum(ctx, attached{side: side, source: source, file: &file}, most)
		if err != nil {
			return opened{}, "", errors.Join(errSource, err)
		}
		theirs, err := r.sum(ctx, other, most)
		if passing(err) {
			return opened{}, "", errors.Join(errSource, err)
		}
		if err == nil && own == theirs {
			return opened{}, target, nil
		}
	}
	content, err := r.open(ctx, r.opener(side), file, most)
	if err != nil {
		return opened{}, "", errors.Join(errSource, err)
	}
	return content, "", nil
}

// standsOpposite tells as what a file stands opposite to side; empty: it does not.
func (r *round) standsOpposite(side item.System, f attached) string {
	if f.side != side {
		return f.target
	}
	original := f.mirrorOf
	if original == "" {
		known := r.sides.Mirrors[f.source]
		if known.Gone || !known.Posting.IsZero() {
			return ""
		}
		for _, other := range r.talk.files {
			// What stands for a file that was left out is no file.
			if other.side != side && (other.mirrorOf == f.source || known.Content != "" && other.target == known.Target) {
				return other.target
			}
		}
		return ""
	}
	for _, other := range r.talk.files {
		if other.source == original {
			return other.target
		}
	}
	return ""
}

// standsFor tells whether the mirror of a file is that of another one as well.
func (r *round) standsFor(source string, mirror item.Mirror) bool {
	for other, known := range r.sides.Mirrors {
		_, there := r.talk.said[other]
		if other != source && there && known.Target == mirror.Target && known.Content == mirror.Content && known.Content != "" {
			return true
		}
	}
	return false
}

// sum is the hash of a file's content. A content that nobody has read yet is read.
func (r *round) sum(ctx context.Context, f attached, most int64) (string, error) {
	source := f.source
	if f.mirrorOf != "" {
		source = f.mirrorOf
	}
	if sum := r.talk.sums[source]; sum != "" {
		return sum, nil
	}
	if sum := r.sides.Mirrors[source].Content; sum != "" {
		return sum, nil
	}
	content, _, err := r.measure(ctx, r.opener(f.side), *f.file, most)
	if err == nil {
		r.talk.sums[source] = content
	}
	return content, err
}

// measure reads a file to its end and gives the hash of its content and its size. It
// reads no more than most.
func (r *round) measure(ctx context.Context, from opener, file item.Attachment, most int64) (string, int64, error) {
	if file.Size > most {
		return "", 0, tooLarge(file.Name, file.Size, most)
	}
	content, size, _, err := from(ctx, file)
	if err != nil {
		return "", 0, fmt.Errorf("reading the file %q: %w", file.Name, err)
	}
	defer content.Close()
	if size > most {
		return "", 0, tooLarge(file.Name, size, most)
	}
	sum := sha256.New()
	size, err = io.Copy(sum, io.LimitReader(content, most+1))
	switch {
	case err != nil:
		return "", 0, fmt.Errorf("reading the file %q: %w", file.Name, err)
	case size > most:
		return "", 0, fault.New(fault.Refused, "The file %q holds more than the %d MiB that cross.", file.Name, most>>20)
	}
	return hex.EncodeToString(sum.Sum(nil)), size, nil
}

// opened is a file being read. Its content is hashed on the way.
type opened struct {
	item.Upload

	close  func()
	hashed hash.Hash
}

// sum is the hash of what was read, as soon as that is all.
func (o opened) sum() string { return hex.EncodeToString(o.hashed.Sum(nil)) }

type opener func(ctx context.Context, file item.Attachment) (io.ReadCloser, int64, string, error)

// opener opens files of one side.
func (r *round) opener(side item.System) opener {
	if side == item.Alvao {
		return r.connector.Tickets.OpenFile
	}
	return r.connector.WorkItems.OpenFile
}

// open opens a file of a system that is of a type that crosses and does not hold more
// than most. Both systems must be told the size before the content: where it is not
// known, the file is read twice.
func (r *round) open(ctx context.Context, from opener, file item.Attachment, most int64) (opened, error) {
	types := r.connector.Messages.Rules.Files
	if types.Refuses(file.Name, "") {
		return opened{}, otherType(file.Name)
	}
	if file.Size > most {
		return opened{}, tooLarge(file.Name, file.Size, most)
	}
	content, size, kind, err := from(ctx, file)
	if err != nil {
		return opened{}, fmt.Errorf("reading the file %q: %w", file.Name, err)
	}
	if types.Refuses(file.Name, cmp.Or(kind, unknownType)) {
		_ = content.Close()
		return opened{}, otherType(file.Name)
	}
	if size < 0 {
		size = file.Size
	}
	if size > most {
		_ = content.Close()
		return opened{}, tooLarge(file.Name, size, most)
	}
	if size < 0 {
		_ = content.Close()
		if _, size, err = r.measure(ctx, from, file, most); err != nil {
			return opened{}, err
		}
		if content, _, kind, err = from(ctx, file); err != nil {
			return opened{}, fmt.Errorf("reading the file %q: %w", file.Name, err)
		}
	}
	hashed := sha256.New()
	return opened{
		Upload: item.Upload{Name: file.Name, ContentType: kind, Size: size, Content: io.TeeReader(content, hashed)},
		close:  func() { _ = content.Close() }, hashed: hashed,
	}, nil
}

// unknownType is what a file of no told content type counts as (RFC 9110 §8.3).
const unknownType = "application/octet-stream"

func otherType(name string) error {
	return fault.New(fault.Refused, "Files of the type of %q don't cross.", name)
}

func tooLarge(name string, size, most int64) error {
	return fault.New(fault.Refused, "The file %q holds %d MiB, more than the %d MiB that cross.", name, (size+1<<20-1)>>20, most>>20)
}
