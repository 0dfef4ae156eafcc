package reconcile

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tandem-sync/tandem/services/synccore/internal/fault"
	"github.com/tandem-sync/tandem/services/synccore/internal/item"
	"github.com/tandem-sync/tandem/services/synccore/internal/plan"
)

// carryTimeout bounds carrying one message with its files.
const carryTimeout = 10 * time.Minute

// takeMessage applies one step on messages.
func (r *round) takeMessage(ctx context.Context, step plan.Step) error {
	ctx, cancel := context.WithTimeout(ctx, carryTimeout)
	defer cancel()
	switch step.Kind {
	case plan.ReadMessages:
		return r.readMessages(ctx)
	case plan.BeginPost:
		r.sides.Posting = step.Source
		return r.mirror(ctx, step.Source, step.Mirror)
	case plan.RememberMirror:
		return r.mirror(ctx, step.Source, step.Mirror)
	case plan.Post:
		return r.post(ctx, step)
	case plan.Edit:
		return r.edit(ctx, step)
	case plan.Retract:
		return r.retract(ctx, step)
	default:
		return fmt.Errorf("plan made the unknown step %q", step.Kind)
	}
}

// mirror remembers where a message stands.
func (r *round) mirror(ctx context.Context, source string, mirror item.Mirror) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberTimeout)
	defer cancel()
	if err := r.engine.cfg.Links.PutMirror(ctx, r.held, source, mirror); err != nil {
		r.replaced = true
		return fmt.Errorf("remembering where %s stands: %w", source, err)
	}
	r.sides.Mirrors[source] = mirror
	return nil
}

// post carries one message across. An answer that is lost is waited for: the message
// may still arrive, and a second one must not.
func (r *round) post(ctx context.Context, step plan.Step) error {
	s := r.talk.said[step.Source]
	var target string
	var err error
	switch {
	case s.comment != nil:
		target, err = r.postRecord(ctx, step, *s.comment)
	case s.file != nil && s.record != nil:
		target, err = r.postFile(ctx, step, *s.file)
	case s.file != nil:
		target, err = r.postFileRecord(ctx, step, *s.file)
	default:
		target, err = r.postComment(ctx, step, *s.record)
	}
	switch fault.KindOf(err) {
	case fault.Refused, fault.Invalid:
		if err == nil {
			break
		}
		target, err = r.leaveOut(ctx, step, err)
	default:
	}
	if fault.Is(err, fault.Unavailable) {
		return fault.Wrap(err, fault.Unavailable, "%s", fault.Sentence(err)).After(plan.Settle)
	}
	if err != nil {
		return err
	}
	r.report.Writes++
	return r.mirror(ctx, step.Source, item.Mirror{Target: target, Hash: step.Mirror.Hash})
}

// postComment writes a record as a comment.
func (r *round) postComment(ctx context.Context, step plan.Step, record item.Record) (string, error) {
	text, err := r.commentText(ctx, step, record)
	if err != nil {
		return "", err
	}
	made, err := r.connector.WorkItems.AddComment(ctx, r.sides.WorkItem.Project, r.link.WorkItem, text, item.HTML)
	if err != nil {
		return "", fmt.Errorf("commenting on work item %d: %w", r.link.WorkItem, err)
	}
	return strconv.FormatInt(made.ID, 10), nil
}

// postRecord writes a comment as a record, internal by default.
func (r *round) postRecord(ctx context.Context, step plan.Step, comment item.Comment) (string, error) {
	text, files, closeFiles, err := r.recordText(ctx, step, comment)
	if err != nil {
		return "", err
	}
	defer closeFiles()
	return r.addRecord(ctx, item.NewRecord{
		Subject: fmt.Sprintf("Comment on work item %d", r.link.WorkItem), HTML: text, Kind: "Note",
		From: comment.Author, Files: files,
	})
}

func (r *round) addRecord(ctx context.Context, record item.NewRecord) (string, error) {
	made, err := r.connector.Tickets.AddRecord(ctx, r.link.Ticket, record)
	if err != nil {
		return "", fmt.Errorf("adding a record to ticket %d: %w", r.link.Ticket, err)
	}
	return strconv.FormatInt(made.ID, 10), nil
}

// postFile attaches a record's file to the work item.
func (r *round) postFile(ctx context.Context, step plan.Step, file item.Attachment) (string, error) {
	content, size, kind, err := r.connector.Tickets.OpenFile(ctx, file)
	if err != nil {
		return "", fmt.Errorf("reading the file %q of ticket %d: %w", file.Name, r.link.Ticket, err)
	}
	defer func() { _ = content.Close() }()
	url, err := r.connector.WorkItems.UploadFile(ctx, r.sides.WorkItem.Project, item.Upload{Name: file.Name, ContentType: kind, Size: size, Content: content})
	if err != nil {
		return "", fmt.Errorf("uploading the file %q: %w", file.Name, err)
	}
	workItem, err := r.connector.WorkItems.AttachFile(ctx, r.link.WorkItem, r.sides.WorkItem.Rev, url, r.fileComment(step))
	if err != nil {
		return "", fmt.Errorf("attaching the file %q to work item %d: %w", file.Name, r.link.WorkItem, err)
	}
	r.sides.WorkItem = &workItem
	return url, nil
}

// postFileRecord adds a work item's file to the ticket, in a record of its own.
func (r *round) postFileRecord(ctx context.Context, step plan.Step, file item.Attachment) (string, error) {
	content, size, kind, err := r.connector.WorkItems.OpenFile(ctx, file)
	if err != nil {
		return "", fmt.Errorf("reading the file %q of work item %d: %w", file.Name, r.link.WorkItem, err)
	}
	defer func() { _ = content.Close() }()
	return r.addRecord(ctx, item.NewRecord{
		Subject: "File: " + file.Name, Kind: "Note",
		HTML:  r.note(step, fmt.Sprintf("The file %s was attached to work item %d.", file.Name, r.link.WorkItem)),
		Files: []item.Upload{{Name: file.Name, ContentType: kind, Size: size, Content: content}},
	})
}

// leaveOut says on the other side that a message could not be carried over, and why.
func (r *round) leaveOut(ctx context.Context, step plan.Step, cause error) (string, error) {
	s := r.talk.said[step.Source]
	what := "A message"
	if s.file != nil {
		what = fmt.Sprintf("The file %q", s.file.Name)
	}
	sentence := fmt.Sprintf("%s was not carried over: %s", what, fault.Sentence(cause))
	if strings.HasPrefix(step.Source, string(item.Alvao)) {
		made, err := r.connector.WorkItems.AddComment(ctx, r.sides.WorkItem.Project, r.link.WorkItem, r.note(step, sentence), item.HTML)
		if err != nil {
			return "", fmt.Errorf("commenting on work item %d: %w", r.link.WorkItem, err)
		}
		return strconv.FormatInt(made.ID, 10), nil
	}
	return r.addRecord(ctx, item.NewRecord{Subject: "Not carried over", Kind: "Note", HTML: r.note(step, sentence)})
}
